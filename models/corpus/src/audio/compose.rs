// SPDX-License-Identifier: MPL-2.0
//! Makes up music: sections of bars, chords, and what each player does in them.

use super::effects::Amplifier;
use super::font::Note;
use super::groove::Take;
use super::kit::Piece;
use super::patterns::Pattern;
use super::repertoire::Repertoire;
use super::score::{Course, Grid, Meter};
use super::styles::{Role, Style, Voicing};
use crate::random::Random;

/// One stroke of a drum.
#[derive(Clone, Copy, Debug)]
pub struct Stroke {
    /// Seconds.
    pub time: f64,
    /// What is struck.
    pub piece: Piece,
    /// 0 … 1.
    pub velocity: f32,
}

/// One player's notes.
pub struct Part {
    /// What it does.
    pub role: Role,
    /// General MIDI program.
    pub program: u8,
    /// What it is played through.
    pub amplifier: Option<Amplifier>,
    /// Level beside the drums in dB.
    pub level: f64,
    /// What it plays, in any order.
    pub notes: Vec<Note>,
}

/// A piece of music.
pub struct Music {
    /// Its style's name.
    pub style: &'static str,
    /// Its beats.
    pub grid: Grid,
    /// Its drums.
    pub drums: Vec<Stroke>,
    /// Everyone else.
    pub parts: Vec<Part>,
    /// Where the drumming comes from, for the record.
    pub drummer: String,
    /// It was in the studio with a click: pumping and the like suit it.
    pub electronic: bool,
}

/// What is common to all players.
struct Song<'a> {
    grid: &'a Grid,
    /// Lateness of off-beats in sixths of their unit, and that unit in beats.
    swing: f64,
    unit: f64,
    loose: f64,
    scale: [i32; 7],
    key: i32,
    /// Degree of the chord of each bar.
    chords: Vec<i32>,
    sections: Vec<Section>,
    /// The last instant at which a note begins.
    end: f64,
}

struct Section {
    first: usize,
    bars: usize,
    drums: bool,
    /// One for each voice of the style.
    active: Vec<bool>,
    /// Its last bar rests after the first beat.
    stop: bool,
    fill: bool,
    /// A rhythm that several parts share.
    riff: Vec<(f64, i32)>,
}

const SCALES: &[(f64, [i32; 7])] = &[
    (4.0, [0, 2, 4, 5, 7, 9, 11]),
    (4.0, [0, 2, 3, 5, 7, 8, 10]),
    (1.0, [0, 2, 3, 5, 7, 9, 10]),
    (1.0, [0, 2, 4, 5, 7, 9, 10]),
    (0.5, [0, 1, 3, 5, 7, 8, 10]),
    (0.5, [0, 2, 3, 5, 7, 8, 11]),
];

const PROGRESSIONS: &[[i32; 4]] = &[
    [0, 4, 5, 3],
    [0, 3, 4, 0],
    [0, 5, 3, 4],
    [1, 4, 0, 0],
    [0, 6, 5, 4],
    [0, 0, 3, 4],
    [5, 3, 0, 4],
    [0, 0, 0, 0],
    [0, 3, 0, 4],
    [0, 2, 3, 3],
    [0, 6, 3, 0],
    [5, 4, 3, 4],
];

/// Music from about `start` seconds (negative: it is on already at 0) until `end`.
pub fn compose(
    repertoire: &'static Repertoire,
    takes: &[Take],
    start: f64,
    end: f64,
    random: &mut Random,
) -> Music {
    let choice: Vec<(f64, &Style)> = repertoire.styles.iter().map(|s| (s.weight, s)).collect();
    let style = random.weighted(&choice);
    let meter = random.weighted(&style.meters);
    // Compound beats are slower, eighths faster.
    let (low, high) = match meter.name {
        "6/8" | "12/8" => (40.0, 130.0f64.min(style.bpm.1.max(60.0))),
        "7/8" => (style.bpm.0.max(140.0), 215.0),
        _ if random.chance(0.08) => (40.0, 215.0),
        _ => style.bpm,
    };
    let bpm = low * (high / low).powf(random.unit());
    let electronic = style.loose < 0.002;
    let course = if random.chance(style.free) {
        random.weighted(&[
            (5.0, Course::Wandering),
            (1.0, Course::Ramp),
            (1.0, Course::Jump),
            (2.0, Course::Rubato),
        ])
    } else {
        random.weighted(&[
            (16.0, Course::Constant),
            (1.0, Course::Ramp),
            (1.5, Course::Jump),
        ])
    };
    let grid = Grid::new(meter, bpm, course, start, end, random);
    let swung = meter.division == 2 && random.chance(style.swing);
    let sections = sections(style, &grid, end, random);
    let progression = random.pick(PROGRESSIONS);
    let slow = if random.chance(0.2) { 2 } else { 1 };
    let song = Song {
        swing: if swung { random.range(0.3, 1.0) } else { 0.0 },
        unit: if bpm < 115.0 && style.name != "jazz" && random.chance(0.7) {
            0.5
        } else {
            1.0
        },
        loose: style.loose * random.range(0.3, 1.25),
        scale: random.weighted(SCALES),
        key: random.index(12) as i32,
        chords: (0..grid.bars())
            .map(|b| progression[b / slow % 4])
            .collect(),
        sections,
        end,
        grid: &grid,
    };
    let (drums, drummer) = drums(&song, style, &repertoire.patterns, takes, bpm, random);
    let mut parts = Vec::new();
    for (index, voicing) in style.voices.iter().enumerate() {
        if song.sections.iter().any(|s| s.active[index]) {
            parts.push(part(&song, index, voicing, random));
        }
    }
    Music {
        style: &style.name,
        drums,
        parts,
        drummer,
        electronic,
        grid,
    }
}

/// Cuts the bars into sections and says who plays in each.
fn sections(style: &Style, grid: &Grid, end: f64, random: &mut Random) -> Vec<Section> {
    let mut here: Vec<bool> = style
        .voices
        .iter()
        .map(|v| random.chance(v.chance))
        .collect();
    let mut drums = random.chance(style.drums);
    if !drums && !here.contains(&true) {
        match style.voices.len() {
            0 => drums = true,
            count => here[random.index(count)] = true,
        }
    }
    let intro = drums && here.contains(&true) && random.chance(0.2);
    let mut sections: Vec<Section> = Vec::new();
    let mut first = 0;
    while first < grid.bars() && grid.time((first * grid.meter.beats as usize) as f64) < end {
        let bars = random.weighted(&[(1.0, 1), (3.0, 2), (5.0, 4), (1.0, 3)]);
        let opening = sections.is_empty() && intro;
        let mut active: Vec<bool> = here.iter().map(|&h| h && random.chance(0.85)).collect();
        let beating = drums && !opening && random.chance(0.93);
        if !beating && !active.contains(&true) {
            active.clone_from(&here);
        }
        sections.push(Section {
            first,
            bars: bars.min(grid.bars() - first),
            // A style of drums alone has nothing else to rest on.
            drums: beating || (drums && !here.contains(&true)),
            active,
            stop: random.chance(0.05),
            fill: random.chance(0.4),
            riff: riff(grid.meter, random),
        });
        first += bars;
    }
    sections
}

/// Which instants of a bar are struck: the stronger the likelier, or the other way round with
/// `syncopation`.
fn rhythm(meter: Meter, density: f64, syncopation: f64, random: &mut Random) -> Vec<f64> {
    let fine = if meter.name == "7/8" { 1 } else { 2 };
    let steps = if meter.division == 3 { 3 } else { 2 * fine };
    let count = meter.beats * steps;
    let mut out: Vec<f64> = (0..count)
        .map(|k| f64::from(k) / f64::from(steps))
        .filter(|&p| {
            let w = meter.weight(p);
            let w = w + syncopation * (0.9 - 1.6 * w) * if w < 0.3 { 0.4 } else { 1.0 };
            random.chance(density * 1.4 * w)
        })
        .collect();
    if out.is_empty() {
        out.push(f64::from(random.index(meter.beats as usize) as u32));
    }
    out
}

/// A bar of power chords: instants and degrees over the chord's root.
fn riff(meter: Meter, random: &mut Random) -> Vec<(f64, i32)> {
    let beats = f64::from(meter.beats);
    let cell: &[f64] = if meter.division == 3 {
        random.pick(&[&[0.0, 1.0 / 3.0, 2.0 / 3.0][..], &[0.0, 2.0 / 3.0], &[0.0]])
    } else if meter.name == "7/8" {
        random.pick(&[&[0.0, 0.5][..], &[0.0]])
    } else {
        random.pick(&[
            &[0.0, 0.25, 0.5, 0.75][..],
            &[0.0, 0.5],
            &[0.0, 0.5],
            &[0.0, 0.5, 0.75],
            &[0.0, 0.25, 0.5],
            &[0.0],
        ])
    };
    let mut out = Vec::new();
    let broken = random
        .chance(0.5)
        .then(|| rhythm(meter, 0.7, random.range(0.0, 0.6), random));
    let instants: Vec<f64> = broken.unwrap_or_else(|| {
        (0..meter.beats)
            .flat_map(|b| cell.iter().map(move |c| f64::from(b) + c))
            .collect()
    });
    let moving = random.range(0.0, 0.4);
    for at in instants.into_iter().filter(|&a| a < beats) {
        let degree = if random.chance(moving) {
            random.pick(&[1, 2, 4, 6, 5])
        } else {
            0
        };
        out.push((at, degree));
    }
    out
}

impl Song<'_> {
    /// Seconds at a position in beats, swung.
    fn time(&self, position: f64) -> f64 {
        let scaled = position / self.unit;
        let part = scaled.fract();
        let late = (1.0 - (2.0 * part - 1.0).abs()) * self.swing / 6.0;
        self.grid.time((scaled + late) * self.unit)
    }

    /// A degree of the scale as semitones over C.
    fn degree(&self, degree: i32) -> i32 {
        self.key + self.scale[degree.rem_euclid(7) as usize] + 12 * degree.div_euclid(7)
    }

    /// The key of a degree that is nearest above `low`.
    fn above(&self, degree: i32, low: i32) -> i32 {
        low + (self.degree(degree) - low).rem_euclid(12)
    }
}

fn part(song: &Song, index: usize, voicing: &Voicing, random: &mut Random) -> Part {
    let program = random.pick(&voicing.programs);
    let mut player = Player {
        song,
        lag: 0.6 * song.loose * random.normal(),
        loud: random.range(60.0, 110.0),
        notes: Vec::new(),
    };
    let mut step = 7;
    for section in song.sections.iter().filter(|s| s.active[index]) {
        player.section(section, voicing.role, &mut step, random);
    }
    Part {
        role: voicing.role,
        program,
        amplifier: random
            .chance(voicing.amplified)
            .then(|| Amplifier::any(random)),
        level: voicing.level + random.range(-5.0, 4.0),
        notes: player.notes,
    }
}

struct Player<'a, 'b> {
    song: &'a Song<'b>,
    lag: f64,
    loud: f64,
    notes: Vec<Note>,
}

impl Player<'_, '_> {
    /// Notes of `keys` from one position to another, `share` of it held, each `spread` seconds
    /// after the one before.
    fn add(
        &mut self,
        positions: (f64, f64),
        keys: &[i32],
        share: f64,
        spread: f64,
        random: &mut Random,
    ) {
        let song = self.song;
        let (from, to) = (song.time(positions.0), song.time(positions.1));
        let time = from + self.lag + song.loose * random.normal();
        if from >= song.end {
            return;
        }
        let meter = song.grid.meter;
        let accent = meter.weight(positions.0.rem_euclid(f64::from(meter.beats)));
        let loud = self.loud + 14.0 * accent + 6.0 * random.normal();
        for (n, &key) in keys.iter().enumerate() {
            self.notes.push(Note {
                time: time + spread * n as f64 + if n > 0 { 0.0005 * random.unit() } else { 0.0 },
                seconds: ((to - from) * share).max(0.04),
                key: key.clamp(20, 108) as u8,
                velocity: (loud + 3.0 * random.normal()).clamp(16.0, 126.0) as u8,
            });
        }
    }

    /// Notes at `instants` of a bar, each until the next: what to play at each is `keys`'.
    fn bar(
        &mut self,
        base: f64,
        instants: &[f64],
        share: f64,
        mut keys: impl FnMut(usize, &mut Random) -> Vec<i32>,
        random: &mut Random,
    ) {
        let beats = f64::from(self.song.grid.meter.beats);
        for (n, &at) in instants.iter().enumerate() {
            let next = instants
                .get(n + 1)
                .copied()
                .unwrap_or(beats)
                .min(at + beats);
            let keys = keys(n, random);
            self.add((base + at, base + next), &keys, share, 0.0, random);
        }
    }

    fn section(&mut self, section: &Section, role: Role, step: &mut i32, random: &mut Random) {
        let song = self.song;
        let meter = song.grid.meter;
        let beats = f64::from(meter.beats);
        let division = f64::from(meter.division);
        let grid = |per: f64| -> Vec<f64> {
            let count = (beats * per).round() as u32;
            (0..count).map(|k| f64::from(k) / per).collect()
        };
        let off: Vec<f64> = (0..meter.beats)
            .map(|b| f64::from(b) + (division - 1.0) / division)
            .collect();
        // What stays the same through the section.
        let (density, syncopation) = match role {
            Role::Lead => (random.range(0.3, 0.75), random.range(0.0, 0.6)),
            Role::Bass => (random.range(0.4, 0.9), random.range(0.0, 0.5)),
            _ => (random.range(0.3, 0.8), random.range(0.0, 0.9)),
        };
        let pattern = match role {
            Role::Bass => match random.index(5) {
                0 => grid(1.0),
                1 if meter.name != "7/8" => grid(division),
                2 => vec![0.0],
                _ => rhythm(meter, density, syncopation, random),
            },
            Role::Walk => grid(1.0),
            Role::Strum if random.chance(0.4) => {
                grid(if random.chance(0.5) { division } else { 1.0 })
            }
            Role::OffBass | Role::Offbeat if random.chance(0.25) && meter.beats == 4 => {
                vec![1.0, 3.0]
            }
            Role::OffBass | Role::Offbeat => off,
            Role::Arpeggio | Role::Tremolo => {
                let per = if meter.division == 3 {
                    3.0
                } else if song.grid.bpm < 150.0 && meter.name != "7/8" {
                    random.pick(&[2.0, 4.0])
                } else {
                    random.pick(&[1.0, 2.0])
                };
                grid(per)
            }
            Role::Pad => vec![0.0],
            _ => rhythm(meter, density, syncopation, random),
        };
        let share = match role {
            Role::Pad => 1.0,
            Role::Comp | Role::Offbeat => random.range(0.15, 0.95),
            Role::Riff | Role::RiffBass => random.range(0.35, 0.98),
            Role::Strum => random.range(0.8, 1.1),
            _ => random.range(0.5, 1.02),
        };
        let low = match role {
            Role::Bass | Role::Walk | Role::OffBass | Role::RiffBass => 28 + random.index(6) as i32,
            Role::Riff => 36 + random.index(6) as i32,
            Role::Strum => 40 + random.index(6) as i32,
            Role::Lead => 55 + random.index(18) as i32,
            Role::Arpeggio | Role::Ostinato => 45 + random.index(24) as i32,
            Role::Tremolo => 40 + random.index(24) as i32,
            Role::Pad | Role::Comp | Role::Offbeat => 48 + random.index(16) as i32,
        };
        let tones = 3 + random.index(2);
        let open = random.chance(0.3);
        let order: Vec<usize> = (0..16).map(|_| random.index(6)).collect();
        let tune: Vec<i32> = (0..24)
            .map(|_| random.pick(&[0, 0, 2, 4, 7, 1, 6]))
            .collect();
        let spread = random.range(0.0015, 0.006);

        for bar in section.first..section.first + section.bars {
            let base = bar as f64 * beats;
            let Some(&chord) = song.chords.get(bar) else {
                return;
            };
            if section.stop && bar + 1 == section.first + section.bars {
                let key = song.above(chord, low);
                self.add((base, base + 1.0), &[key], 0.5, 0.0, random);
                continue;
            }
            let chord_tones: Vec<i32> = (0..tones as i32)
                .map(|n| song.above(chord + 2 * n, low) + if open && n == 1 { 12 } else { 0 })
                .collect();
            let root = song.above(chord, low);
            let mut ladder: Vec<i32> = chord_tones.clone();
            ladder.sort_unstable();
            ladder.extend_from_within(..);
            let half = ladder.len() / 2;
            ladder[half..].iter_mut().for_each(|k| *k += 12);
            match role {
                Role::Bass | Role::OffBass => {
                    let moving = random.range(0.0, 0.5);
                    let keys = |n: usize, random: &mut Random| {
                        let up = n > 0 && random.chance(moving);
                        vec![root + if up { random.pick(&[7, 12, 12, -5]) } else { 0 }]
                    };
                    self.bar(base, &pattern, share, keys, random);
                }
                Role::Walk => {
                    let next = song
                        .chords
                        .get(bar + 1)
                        .map_or(root, |&c| song.above(c, low));
                    let count = pattern.len();
                    let keys = |n: usize, random: &mut Random| {
                        vec![if n == 0 {
                            root
                        } else if n + 1 == count {
                            next + random.pick(&[-1, 1, 2, -2])
                        } else {
                            root + random.pick(&[3, 4, 5, 7, 12, 9])
                        }]
                    };
                    self.bar(base, &pattern, share, keys, random);
                }
                Role::Riff | Role::RiffBass => {
                    let instants: Vec<f64> = section.riff.iter().map(|r| r.0).collect();
                    let keys = |n: usize, _: &mut Random| {
                        let key = song.above(chord + section.riff[n].1, low);
                        if role == Role::Riff {
                            vec![key, key + 7, key + 12]
                        } else {
                            vec![key]
                        }
                    };
                    self.bar(base, &instants, share, keys, random);
                }
                Role::Strum => {
                    for (n, &at) in pattern.iter().enumerate() {
                        let next = pattern.get(n + 1).copied().unwrap_or(beats);
                        let mut keys = ladder.clone();
                        keys.truncate(6);
                        // Up-strokes touch the high strings only.
                        if (at * division).round() as i64 % meter.division as i64 != 0 {
                            keys.reverse();
                            keys.truncate(4);
                        }
                        self.add((base + at, base + next), &keys, share, spread, random);
                    }
                }
                Role::Comp | Role::Offbeat => {
                    for (n, &at) in pattern.iter().enumerate() {
                        let next = pattern.get(n + 1).copied().unwrap_or(beats).min(at + 2.0);
                        let span = (base + at, base + next);
                        self.add(span, &chord_tones, share, 0.001, random);
                    }
                }
                Role::Arpeggio => {
                    let straight = order[0] < 4;
                    let keys = |n: usize, _: &mut Random| {
                        let turn = 2 * (ladder.len() - 1).max(1);
                        let at = if straight {
                            let t = n % turn;
                            t.min(turn - t)
                        } else {
                            order[n % 16] % ladder.len()
                        };
                        vec![ladder[at.min(ladder.len() - 1)]]
                    };
                    self.bar(base, &pattern, share.max(0.8) + 0.4, keys, random);
                }
                Role::Pad => {
                    let tied = bar > section.first && song.chords[bar - 1] == chord;
                    if !tied {
                        let run = song.chords[bar..section.first + section.bars]
                            .iter()
                            .take_while(|&&c| c == chord)
                            .count();
                        let to = base + beats * run as f64;
                        self.add((base, to), &chord_tones, share, 0.0, random);
                    }
                }
                Role::Tremolo => {
                    let keys = |_: usize, _: &mut Random| vec![root + 12];
                    self.bar(base, &pattern, share, keys, random);
                }
                Role::Ostinato => {
                    let keys =
                        |n: usize, _: &mut Random| vec![song.above(chord + tune[n % 24], low)];
                    self.bar(base, &pattern, share, keys, random);
                }
                Role::Lead => {
                    if random.chance(0.12) {
                        continue;
                    }
                    let line = if random.chance(0.4) {
                        rhythm(meter, density, syncopation, random)
                    } else {
                        pattern.clone()
                    };
                    let start = song.above(0, low);
                    let keys = |_: usize, random: &mut Random| {
                        *step =
                            (*step + random.pick(&[-2, -1, -1, 1, 1, 2, 3, -3, 0])).clamp(0, 12);
                        vec![start + song.degree(*step) - song.key]
                    };
                    self.bar(base, &line, share, keys, random);
                }
            }
        }
    }
}

/// All strokes, and who plays them.
fn drums(
    song: &Song,
    style: &Style,
    patterns: &[Pattern],
    takes: &[Take],
    bpm: f64,
    random: &mut Random,
) -> (Vec<Stroke>, String) {
    let meter = song.grid.meter;
    let mut out: Vec<Stroke> = Vec::new();
    if !song.sections.iter().any(|s| s.drums) {
        return (out, "no drums".to_owned());
    }
    // A take is sped up or slowed down by a third at most, unless nothing else is there.
    let fitting: Vec<&Take> = takes
        .iter()
        .filter(|t| !t.fill && t.meter == meter.name && style.takes.contains(&t.style))
        .collect();
    let close: Vec<&Take> = fitting
        .iter()
        .copied()
        .filter(|t| (t.bpm / bpm).log2().abs() < 0.5)
        .collect();
    let fills: Vec<&Take> = takes
        .iter()
        .filter(|t| t.fill && t.meter == meter.name)
        .collect();
    let any = if close.is_empty() && random.chance(0.3) {
        &fitting
    } else {
        &close
    };
    let recorded = if style.name == "drums" { 0.75 } else { 0.5 };
    let take = (!any.is_empty() && random.chance(recorded)).then(|| random.pick(any));
    let patterns: Vec<&Pattern> = {
        let fits = |p: &&Pattern| {
            p.beats == meter.beats && p.steps.is_multiple_of(3) == (meter.division == 3)
        };
        let own: Vec<&Pattern> = patterns
            .iter()
            .filter(|p| fits(p) && style.patterns.contains(&p.style))
            .collect();
        if own.is_empty() {
            patterns.iter().filter(fits).collect()
        } else {
            own
        }
    };
    let beats = f64::from(meter.beats);
    let lag = 0.4 * song.loose * random.normal();
    let offset = take.map_or(0, |t| random.index(t.bars as usize));
    let mut pattern = random.pick(&patterns);
    for section in song.sections.iter().filter(|s| s.drums) {
        if random.chance(0.3) {
            pattern = random.pick(&patterns);
        }
        let crash = random.chance(0.4);
        for bar in section.first..section.first + section.bars {
            let base = bar as f64 * beats;
            let last = bar + 1 == section.first + section.bars;
            if last && section.stop {
                for piece in [Piece::Kick, Piece::Crash] {
                    let (time, velocity) = (song.grid.time(base) + lag, 0.9);
                    out.push(Stroke {
                        time,
                        piece,
                        velocity,
                    });
                }
                continue;
            }
            let mut hit = |position: f64, piece, velocity: f64| {
                out.push(Stroke {
                    time: position,
                    piece,
                    velocity: velocity.clamp(0.05, 1.0) as f32,
                });
            };
            // From here on the bar is a fill.
            let from = if last && section.fill && take.is_none() {
                beats - random.pick(&[1.0, 2.0, 0.5f64]).min(beats)
            } else {
                beats
            };
            let borrowed = (last && section.fill && !fills.is_empty() && random.chance(0.5))
                .then(|| (random.pick(&fills), 0));
            if let Some((take, at)) =
                borrowed.or(take.map(|t| (t, (bar + offset) % t.bars as usize)))
            {
                let start = at as f64 * beats;
                for s in &take.strokes {
                    if s.position >= start - 0.1 && s.position < start + beats - 0.1 {
                        let time = song.grid.time((base + s.position - start).max(0.0));
                        hit(time, s.piece, f64::from(s.velocity));
                    }
                }
                continue;
            }
            for (piece, line) in &pattern.lines {
                for (n, symbol) in line.bytes().enumerate() {
                    let at = n as f64 / f64::from(pattern.steps);
                    let velocity = match symbol {
                        b'X' => 0.95,
                        b'x' => 0.72,
                        b'o' => 0.38,
                        b'?' if random.chance(0.4) => 0.55,
                        _ => continue,
                    };
                    if at < from {
                        let time = song.time(base + at) + lag + 0.7 * song.loose * random.normal();
                        hit(time, *piece, velocity + 0.06 * random.normal());
                    }
                }
            }
            let per = if meter.division == 3 {
                3.0
            } else {
                random.pick(&[4.0, 4.0, 2.0, 3.0])
            };
            let mut at = from;
            while at < beats - 0.01 {
                let along = (at - from) / (beats - from);
                let piece = if along < 0.35 {
                    random.pick(&[Piece::Snare, Piece::HighTom])
                } else if along < 0.7 {
                    random.pick(&[Piece::Snare, Piece::MidTom])
                } else {
                    random.pick(&[Piece::LowTom, Piece::Snare])
                };
                let time = song.time(base + at) + lag + song.loose * random.normal();
                if !random.chance(0.12) {
                    hit(time, piece, 0.6 + 0.35 * along + 0.06 * random.normal());
                }
                at += 1.0 / per;
            }
            if crash && bar == section.first {
                hit(song.grid.time(base) + lag, Piece::Crash, 0.8);
            }
        }
    }
    out.retain(|s| s.time < song.end);
    let drummer = take.map_or_else(|| format!("pattern {}", pattern.style), |t| t.name.clone());
    (out, drummer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_and_metre_comes_up_and_plays() {
        let repertoire = Repertoire::shipped().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut meters = std::collections::BTreeSet::new();
        for index in 0..600 {
            let random = &mut Random::new(5, index);
            let music = compose(repertoire, &[], 0.5, 12.0, random);
            seen.insert(music.style);
            meters.insert(music.grid.meter.name);
            let count =
                music.drums.len() + music.parts.iter().map(|p| p.notes.len()).sum::<usize>();
            assert!(count > 3, "{index} {}", music.style);
            let parts = music.parts.iter().flat_map(|p| &p.notes);
            for note in parts {
                assert!(note.time.is_finite() && note.time < 12.2 && note.seconds > 0.0);
                assert!((20..=108).contains(&note.key) && (1..=127).contains(&note.velocity));
            }
        }
        assert_eq!(seen.len(), repertoire.styles.len());
        assert_eq!(meters.len(), 7);
    }
}
