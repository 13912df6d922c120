// SPDX-License-Identifier: MPL-2.0
//! Marks of both sides from a file of JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use dance_rhythm::retarget::Mark;
use serde::Deserialize;

use super::Kinds;
use crate::marks::Kind;

/// What of a line of `marksink` is of use here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    kind: String,
    timestamp: u64,
    #[serde(default)]
    running_time: Option<u64>,
    #[serde(default)]
    stream_time: Option<u64>,
    #[serde(default)]
    strength: f64,
}

/// The marks of a video and of a song, at their places in each.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct FileMarks {
    pub visual: Vec<Mark>,
    pub audio: Vec<Mark>,
}

/// What a mark of the music counts, and whether it counts at all.
///
/// The weight goes into the comparison of accents, where a downbeat stands above beats of the same strength.
pub(super) fn weight(kind: Kind, kinds: Kinds) -> Option<f64> {
    match kind {
        Kind::Beat => kinds.contains(Kinds::BEAT).then_some(1.0),
        Kind::Downbeat => kinds.contains(Kinds::DOWNBEAT).then_some(2.0),
        Kind::Onset => kinds.contains(Kinds::ONSET).then_some(0.5),
        Kind::VisualBeat => None,
    }
}

/// Reads a file of marks.
///
/// # Errors
/// If it cannot be read, or a line is no mark; says which line.
pub(super) fn read(path: &Path, kinds: Kinds) -> Result<FileMarks, String> {
    let file = File::open(path).map_err(|err| err.to_string())?;
    let mut marks = FileMarks::default();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|err| err.to_string())?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |what: String| format!("line {}: {what}", number + 1);
        let line: Line = serde_json::from_str(&line).map_err(|err| wrong(err.to_string()))?;
        let kind = Kind::from_name(&line.kind)
            .ok_or_else(|| wrong(format!("unknown kind '{}'", line.kind)))?;
        let time = line.stream_time.or(line.running_time);
        let time = time.unwrap_or(line.timestamp) as f64 * 1e-9;
        if kind == Kind::VisualBeat {
            marks.visual.push(Mark {
                time,
                strength: line.strength,
            });
        } else if let Some(weight) = weight(kind, kinds) {
            marks.audio.push(Mark {
                time,
                strength: weight * line.strength,
            });
        }
    }
    Ok(marks)
}
