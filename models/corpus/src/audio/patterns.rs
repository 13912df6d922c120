// SPDX-License-Identifier: MPL-2.0
//! Drum patterns of one bar, by style. They stand in `data/patterns.toml`.

use super::kit::Piece;
use crate::Error;
use crate::data;
use serde::Deserialize;

/// One bar of drumming.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// What styles call for.
    pub style: String,
    /// Beats in its bar.
    #[serde(default = "four")]
    pub beats: u32,
    /// Steps in each beat.
    #[serde(default = "four")]
    pub steps: u32,
    /// What is struck at each step: `X` loud, `x` normal, `o` soft, `?` sometimes, `.` nothing.
    pub lines: Vec<(Piece, String)>,
}

fn four() -> u32 {
    4
}

/// The file, for errors.
const FILE: &str = "models/corpus/data/patterns.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pattern: Vec<Pattern>,
}

/// The patterns that ship.
///
/// # Errors
/// Naming the file and the key that is wrong.
pub fn read() -> Result<Vec<Pattern>, Error> {
    parse(include_str!("../../data/patterns.toml"))
}

fn parse(text: &str) -> Result<Vec<Pattern>, Error> {
    let File { pattern } = data::read(FILE, text)?;
    for (n, pattern) in pattern.iter().enumerate() {
        let key = |name: &str| format!("pattern[{n}].{name} ({})", pattern.style);
        if pattern.beats == 0 || pattern.steps == 0 {
            return Err(data::wrong(
                FILE,
                key("beats"),
                "a bar has beats, a beat steps",
            ));
        }
        let steps = pattern.beats * pattern.steps;
        for (m, (_, line)) in pattern.lines.iter().enumerate() {
            let key = key(&format!("lines[{m}]"));
            if let Some(symbol) = line.chars().find(|&c| !"Xxo?.".contains(c)) {
                let reason = format!("{symbol} is none of X, x, o, ? and .");
                return Err(data::wrong(FILE, key, reason));
            }
            if line.len() != steps as usize {
                let reason = format!("{line} has {} steps, not {steps}", line.len());
                return Err(data::wrong(FILE, key, reason));
            }
        }
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_patterns_are_read() {
        let patterns = read().unwrap();
        let waltz = patterns.iter().find(|p| p.style == "waltz").unwrap();
        assert_eq!((waltz.beats, waltz.steps), (3, 4));
        assert_eq!(waltz.lines[1], (Piece::Snare, "....x...x...".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_key() {
        let text = include_str!("../../data/patterns.toml");
        for (right, wrong, words) in [
            (
                "\"X.....?.X.x.....\"",
                "\"X.....?.X.x...\"",
                "pattern[0].lines[0] (rock)",
            ),
            (
                "\"X.....?.X.x.....\"",
                "\"X.....!.X.x.....\"",
                "! is none of",
            ),
            ("\"snare\"", "\"snair\"", "snair"),
            ("beats = 3", "beats = 0", "beats"),
            ("style = ", "stile = ", "stile"),
        ] {
            let changed = text.replacen(right, wrong, 1);
            assert_ne!(changed, text, "{right}");
            let error = parse(&changed).unwrap_err().to_string();
            assert!(error.starts_with(FILE) && error.contains(words), "{error}");
        }
    }
}
