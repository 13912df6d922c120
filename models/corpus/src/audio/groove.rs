// SPDX-License-Identifier: MPL-2.0
//! Drum performances from a folder laid out as the Groove MIDI Dataset (Gillick et al., ICML
//! 2019): `info.csv` and one MIDI file a take, played to a click.

use std::path::Path;

use midly::{MidiMessage, Timing, TrackEventKind};

use super::kit::Piece;
use super::midi;
use crate::{Error, Split};

/// One stroke of a drummer.
#[derive(Clone, Copy, Debug)]
pub struct Stroke {
    /// Beats of the take's metre since its start.
    pub position: f64,
    /// What is struck.
    pub piece: Piece,
    /// 0 … 1.
    pub velocity: f32,
}

/// One take.
#[derive(Clone, Debug)]
pub struct Take {
    /// The file, relative to the folder.
    pub name: String,
    /// The first word of its style.
    pub style: String,
    /// Tempo it was played at, in beats (of its metre) per minute.
    pub bpm: f64,
    /// Beats in a bar and their kind, as [`super::score::Meter`] names them.
    pub meter: &'static str,
    /// Beats in a bar.
    pub beats_per_bar: u32,
    /// A fill of a bar or so, not a groove.
    pub fill: bool,
    /// Strokes in order.
    pub strokes: Vec<Stroke>,
    /// Whole bars in it, at least 1.
    pub bars: u32,
}

/// All takes of a split: `train` rows to learn from, `validation` rows held out. Rows of the
/// dataset's own `test` split are left for tests.
///
/// # Errors
/// [`Error::Missing`] without the folder or its `info.csv`, [`Error::Broken`] for what cannot be
/// understood in it.
pub fn load(folder: &Path, split: Split) -> Result<Vec<Take>, Error> {
    let list = folder.join("info.csv");
    if !list.is_file() {
        return Err(Error::Missing {
            what: "list of a Groove MIDI folder",
            path: list,
        });
    }
    let text = std::fs::read_to_string(&list).map_err(|e| Error::broken(&list, e))?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        head.iter()
            .position(|&h| h == name)
            .ok_or_else(|| Error::broken(&list, format!("no column {name}")))
    };
    let columns = [
        column("midi_filename")?,
        column("style")?,
        column("bpm")?,
        column("beat_type")?,
        column("time_signature")?,
        column("split")?,
    ];
    let wanted = match split {
        Split::Training => "train",
        Split::Validation | Split::Test => "validation",
    };
    let mut takes = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let [
            Some(&file),
            Some(&style),
            Some(&bpm),
            Some(&kind),
            Some(&meter),
            Some(&row),
        ] = columns.map(|c| cells.get(c))
        else {
            return Err(Error::broken(&list, format!("short line: {line}")));
        };
        // Beats of the metre in quarter notes.
        let Some((meter, beats_per_bar, quarters)) = metre(meter).filter(|_| row == wanted) else {
            continue;
        };
        let quarter_bpm: f64 = bpm
            .parse()
            .map_err(|_| Error::broken(&list, format!("tempo {bpm}")))?;
        let path = folder.join(file);
        let strokes = read(&path, quarters)?;
        let Some(last) = strokes.last() else { continue };
        let bars = (last.position / f64::from(beats_per_bar) + 0.1)
            .ceil()
            .max(1.0) as u32;
        takes.push(Take {
            name: file.to_owned(),
            style: style.split('/').next().unwrap_or_default().to_owned(),
            bpm: quarter_bpm / quarters,
            meter,
            beats_per_bar,
            fill: kind == "fill",
            strokes,
            bars,
        });
    }
    if takes.is_empty() {
        return Err(Error::broken(&list, format!("no take of split {wanted}")));
    }
    Ok(takes)
}

fn metre(signature: &str) -> Option<(&'static str, u32, f64)> {
    match signature {
        "4-4" => Some(("4/4", 4, 1.0)),
        "3-4" => Some(("3/4", 3, 1.0)),
        "5-4" => Some(("5/4", 5, 1.0)),
        "6-8" => Some(("6/8", 2, 1.5)),
        _ => None,
    }
}

fn read(path: &Path, quarters: f64) -> Result<Vec<Stroke>, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::broken(path, e))?;
    parse(&bytes, quarters).map_err(|reason| Error::broken(path, reason))
}

/// The strokes of the drums in a Standard MIDI File, in order; a beat has that many quarters.
///
/// # Errors
/// What is wrong with the file.
pub fn parse(bytes: &[u8], quarters: f64) -> Result<Vec<Stroke>, String> {
    let file = midi::parse(bytes)?;
    let Timing::Metrical(ticks) = file.header.timing else {
        return Err("timed in seconds, not in beats".into());
    };
    if ticks.as_int() == 0 {
        return Err("0 ticks a quarter".into());
    }
    let beat = f64::from(ticks.as_int()) * quarters;
    let mut strokes = Vec::new();
    for track in &file.tracks {
        let mut at = 0u64;
        for event in track {
            at += u64::from(event.delta.as_int());
            if let TrackEventKind::Midi {
                message: MidiMessage::NoteOn { key, vel },
                ..
            } = event.kind
                && vel.as_int() > 0
                && let Some(piece) = Piece::of_key(key.as_int())
            {
                strokes.push(Stroke {
                    position: at as f64 / beat,
                    piece,
                    velocity: f32::from(vel.as_int()) / 127.0,
                });
            }
        }
    }
    strokes.sort_by(|a, b| a.position.total_cmp(&b.position));
    Ok(strokes)
}
