// SPDX-License-Identifier: MPL-2.0
//! Written songs: MIDI files, each played in as many ways as there are clips.

use std::collections::BTreeMap;
use std::path::Path;

use midly::{MetaMessage, MidiMessage, Timing, TrackEventKind};

use super::effects::Amplifier;
use super::font::Note;
use super::kit::Piece;
use super::midi;
use super::music::{Music, Part, Stroke};
use super::score::{Course, Grid, Meter};
use super::styles::Role;
use crate::Error;
use crate::random::Random;

/// Notes nearer than this to a place are at it, in beats.
const NEAR: f64 = 0.04;
/// Least share of the notes at quarters or thirds of a beat: a file played without a click, whose
/// bar lines mean nothing, has less.
const IN_TIME: f64 = 0.7;
/// Voices of synthesizers: basses, leads, chords, pads.
const SYNTHETIC: [&[u8]; 4] = [
    &[38, 39, 87],
    &[80, 81, 82, 84, 86, 87],
    &[50, 51, 62, 63, 81, 90],
    &[88, 89, 90, 92, 93, 94, 95],
];

/// A written note, in beats of the song's metre.
#[derive(Clone, Copy, Debug)]
struct Written {
    at: f64,
    length: f64,
    key: u8,
    velocity: u8,
}

/// A MIDI file.
#[derive(Clone, Debug)]
pub struct Song {
    /// The file's name.
    pub name: String,
    meter: Meter,
    /// Tempo it begins in, in beats of its metre per minute.
    bpm: f64,
    bars: usize,
    /// Program and notes in order.
    parts: Vec<(u8, Vec<Written>)>,
    drums: Vec<Written>,
}

/// All songs in a folder that keep one known metre and lie on its beats; the others are left out.
///
/// # Errors
/// [`Error::Missing`] without the folder, [`Error::Broken`] for a file that is no MIDI file or a
/// folder of which nothing can be used.
pub fn load(folder: &Path) -> Result<Vec<Song>, Error> {
    if !folder.is_dir() {
        return Err(Error::Missing {
            what: "folder of songs",
            path: folder.to_owned(),
        });
    }
    let broken = |e| Error::broken(folder, e);
    let entries = std::fs::read_dir(folder).map_err(broken)?;
    let mut files = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    files.retain(|f| f.extension().is_some_and(|e| e.eq_ignore_ascii_case("mid")));
    files.sort();
    let mut songs = Vec::new();
    for file in &files {
        songs.extend(read(file)?);
    }
    if songs.is_empty() {
        return Err(Error::broken(folder, "no song in it that can be used"));
    }
    Ok(songs)
}

/// The metre of a time signature, and the quarters in one of its beats.
fn metre(numerator: u8, denominator_power: u8) -> Option<(Meter, f64)> {
    Some(match (numerator, denominator_power) {
        (4, 2) => (Meter::FOUR, 1.0),
        (3, 2) => (Meter::THREE, 1.0),
        (2, 2) => (Meter::TWO, 1.0),
        (2, 1) => (Meter::TWO, 2.0),
        (5, 2) => (Meter::FIVE, 1.0),
        (6, 3) => (Meter::SIX_EIGHT, 1.5),
        (12, 3) => (Meter::TWELVE_EIGHT, 1.5),
        (7, 3) => (Meter::SEVEN, 0.5),
        _ => return None,
    })
}

fn read(path: &Path) -> Result<Option<Song>, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::broken(path, e))?;
    let name = path.file_name().unwrap_or_default();
    parse(&name.to_string_lossy(), &bytes).map_err(|reason| Error::broken(path, reason))
}

/// The song in a Standard MIDI File; none where it has no single metre or nothing on its beats.
///
/// # Errors
/// What is wrong with the file.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Option<Song>, String> {
    let file = midi::parse(bytes)?;
    let Timing::Metrical(ticks) = file.header.timing else {
        return Ok(None);
    };
    let ticks = f64::from(ticks.as_int()).max(1.0);
    let events = || {
        file.tracks.iter().enumerate().flat_map(|(track, events)| {
            let mut at = 0u64;
            events.iter().map(move |event| {
                at += u64::from(event.delta.as_int());
                (track, at as f64 / ticks, event.kind)
            })
        })
    };
    let mut signature = None;
    let mut tempo: Option<(f64, u32)> = None;
    for (_, at, event) in events() {
        match event {
            TrackEventKind::Meta(MetaMessage::TimeSignature(beats, unit, ..)) => {
                if signature.is_some_and(|s| s != (beats, unit)) {
                    return Ok(None);
                }
                signature = Some((beats, unit));
            }
            TrackEventKind::Meta(MetaMessage::Tempo(micros))
                if tempo.is_none_or(|(first, _)| at < first) =>
            {
                tempo = Some((at, micros.as_int()));
            }
            _ => {}
        }
    }
    let (numerator, power) = signature.unwrap_or((4, 2));
    let Some((meter, quarters)) = metre(numerator, power) else {
        return Ok(None);
    };
    let micros = tempo.map_or(500_000, |t| t.1).max(1);
    let bpm = 60e6 / f64::from(micros) / quarters;

    let mut programs = [0u8; 16];
    let mut sounding: BTreeMap<(usize, u8, u8), (f64, u8, u8)> = BTreeMap::new();
    let mut parts: BTreeMap<(usize, u8, u8), Vec<Written>> = BTreeMap::new();
    let mut drums = Vec::new();
    let mut last = 0.0f64;
    for (track, at, event) in events() {
        let TrackEventKind::Midi { channel, message } = event else {
            continue;
        };
        let (channel, at) = (channel.as_int(), at / quarters);
        let (key, velocity) = match message {
            MidiMessage::ProgramChange { program } => {
                programs[usize::from(channel)] = program.as_int();
                continue;
            }
            MidiMessage::NoteOn { key, vel } => (key.as_int(), vel.as_int()),
            MidiMessage::NoteOff { key, .. } => (key.as_int(), 0),
            _ => continue,
        };
        last = last.max(at);
        if let Some((from, velocity, program)) = sounding.remove(&(track, channel, key)) {
            let note = Written {
                at: from,
                length: (at - from).max(0.02),
                key,
                velocity,
            };
            if channel == 9 {
                drums.push(note);
            } else {
                parts
                    .entry((track, channel, program))
                    .or_default()
                    .push(note);
            }
        }
        if velocity > 0 {
            let program = programs[usize::from(channel)];
            sounding.insert((track, channel, key), (at, velocity, program));
        }
    }
    let song = Song {
        name: name.to_owned(),
        meter,
        bpm,
        bars: (last / f64::from(meter.beats) - 0.1).ceil().max(1.0) as usize,
        parts: parts
            .into_iter()
            .map(|((_, _, program), notes)| (program, notes))
            .collect(),
        drums,
    };
    Ok(song.usable().then_some(song))
}

impl Song {
    fn notes(&self) -> impl Iterator<Item = &Written> {
        self.parts.iter().flat_map(|p| &p.1).chain(&self.drums)
    }

    /// Whether its notes lie on its grid, and on its beats rather than between them.
    fn usable(&self) -> bool {
        let near = |per: f64| {
            let at = |n: &&Written| (n.at * per - (n.at * per).round()).abs() < NEAR * per;
            self.notes().filter(at).count() as f64
        };
        let count = self.notes().count() as f64;
        let (beats, halves, thirds) = (near(1.0), near(2.0), near(3.0));
        let between = if self.meter.division == 3 {
            thirds
        } else {
            halves
        } - beats;
        count > 9.0
            && near(4.0) + thirds - beats >= IN_TIME * count
            && beats >= 0.5 * between
            && (30.0..300.0).contains(&self.bpm)
    }

    /// Plays it from some bar on, from about `start` seconds until `end`, again from its first bar
    /// where it is over: at another tempo, in another key, by players of other habits, with some
    /// of the parts missing, some on other instruments.
    pub fn perform(&self, start: f64, end: f64, random: &mut Random) -> Music {
        let bpm = (self.bpm * 2f64.powf(random.range(-0.2, 0.2))).clamp(40.0, 215.0);
        let course = random.weighted(&[
            (12.0, Course::Constant),
            (3.0, Course::Wandering),
            (0.7, Course::Ramp),
            (1.0, Course::Jump),
        ]);
        let grid = Grid::new(self.meter, bpm, course, start, end, random);
        let beats = f64::from(self.meter.beats);
        let whole = self.bars as f64 * beats;
        let first = random.index(self.bars) as f64 * beats;
        let loose = random.pick(&[0.0, 0.0, 0.002, 0.005, 0.009]);
        let shift = random.index(12) as i32 - 6;
        let synthetic = random.chance(0.3);
        let no_drums = !self.parts.is_empty() && random.chance(0.1);
        // Seconds and length of every time a note is played.
        let times = |note: &Written, random: &mut Random| -> Vec<(f64, f64)> {
            let mut out = Vec::new();
            let mut at = (note.at - first).rem_euclid(whole);
            while at < (grid.bars() - 1) as f64 * beats && grid.time(at) < end {
                let (from, to) = (grid.time(at), grid.time(at + note.length));
                out.push((from + loose * random.normal(), (to - from).max(0.04)));
                at += whole;
            }
            out
        };
        let mut drums = Vec::new();
        if !no_drums {
            for note in &self.drums {
                let Some(piece) = Piece::of_key(note.key) else {
                    continue;
                };
                drums.extend(times(note, random).into_iter().map(|(time, _)| Stroke {
                    time,
                    piece,
                    velocity: f32::from(note.velocity.max(8)) / 127.0,
                }));
            }
        }
        let mut parts = Vec::new();
        for (program, notes) in &self.parts {
            if random.chance(0.12) && (self.parts.len() > 1 || !drums.is_empty()) {
                continue;
            }
            let (role, kind) = match program {
                32..=39 => (Role::Bass, 0),
                48..=54 | 88..=95 => (Role::Pad, 3),
                56..=87 => (Role::Lead, 1),
                _ => (Role::Comp, 2),
            };
            let mut played = Vec::new();
            for note in notes {
                played.extend(times(note, random).into_iter().map(|(time, seconds)| Note {
                    time,
                    seconds,
                    key: (i32::from(note.key) + shift).clamp(20, 108) as u8,
                    velocity: note.velocity,
                }));
            }
            if played.is_empty() {
                continue;
            }
            let driven = match program {
                29..=31 => 0.6,
                24..=28 | 32..=39 => 0.15,
                _ => 0.03,
            };
            parts.push(Part {
                role,
                program: if synthetic && random.chance(0.8) {
                    random.pick(SYNTHETIC[kind])
                } else {
                    *program
                },
                amplifier: random.chance(driven).then(|| Amplifier::any(random)),
                level: random.range(-9.0, 0.0) - if role == Role::Pad { 4.0 } else { 0.0 },
                notes: played,
            });
        }
        Music {
            style: "song",
            drums,
            parts,
            drummer: self.name.clone(),
            electronic: synthetic,
            grid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn a_song_is_played_on_the_beats_it_was_written_on() {
        let fixture = Fixture::new();
        let songs = load(&fixture.path("songs")).unwrap();
        // The one in two metres and the one beside its beats are left out.
        let names: Vec<&str> = songs.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["march.mid", "waltz.mid"]);
        let waltz = &songs[1];
        assert_eq!((waltz.meter, waltz.bars), (Meter::THREE, 4));
        assert!((waltz.bpm - 100.0).abs() < 0.01);
        for index in 0..40 {
            let random = &mut Random::new(1, index);
            let music = waltz.perform(-0.5, 12.0, random);
            let beats: Vec<f64> = music.grid.beats().map(|b| b.0).collect();
            let downbeats = music.grid.beats().filter(|b| b.1 == 1).map(|b| b.0);
            let near = |t: f64, times: &[f64]| times.iter().any(|b| (b - t).abs() < 0.03);
            let downbeats: Vec<f64> = downbeats.collect();
            for stroke in &music.drums {
                let down = stroke.piece == Piece::Kick;
                assert!(near(stroke.time, if down { &downbeats } else { &beats }));
            }
            let notes = music.parts.iter().flat_map(|p| &p.notes);
            let all = notes
                .map(|n| n.time)
                .chain(music.drums.iter().map(|s| s.time));
            let last = all.fold(f64::MIN, f64::max);
            // A rest is 4 s at most, and 4 bars last 9.
            assert!(last > 7.0, "plays on to the end: {last}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let fixture = Fixture::new();
        let error = |path: &Path| load(path).unwrap_err().to_string();
        assert!(error(Path::new("/nowhere/songs")).contains("/nowhere/songs"));
        let folder = fixture.path("songs");
        std::fs::write(folder.join("broken.mid"), b"MThd").unwrap();
        assert!(error(&folder).contains("broken.mid"));
        let empty = fixture.path("kit-train");
        assert!(error(&empty).contains("kit-train"));
    }
}
