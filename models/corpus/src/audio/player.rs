// SPDX-License-Identifier: MPL-2.0
//! What one player plays over the chords of a song.

use super::effects::Amplifier;
use super::font::Note;
use super::music::{Part, Section, Song};
use super::score::rhythm;
use super::styles::{Role, Voicing};
use crate::random::Random;

/// The notes of the voice of that number.
pub(super) fn part(song: &Song, index: usize, voicing: &Voicing, random: &mut Random) -> Part {
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
