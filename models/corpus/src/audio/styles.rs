// SPDX-License-Identifier: MPL-2.0
//! Styles of music: who plays what, how fast, in which metres. They stand in `data/styles.toml`.

use super::patterns::Pattern;
use super::score::Meter;
use crate::Error;
use crate::data;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Bass: roots, drive or syncopation.
    Bass,
    /// Bass that walks a note a beat.
    Walk,
    /// Bass between the beats.
    OffBass,
    /// Bass and guitars in one riff of power chords.
    Riff,
    /// The same riff, single low notes.
    RiffBass,
    /// A guitar's strum, string after string.
    Strum,
    /// Chords in a rhythm of their own.
    Comp,
    /// Broken chords.
    Arpeggio,
    /// Held chords.
    Pad,
    /// Chords between the beats only.
    Offbeat,
    /// A melody.
    Lead,
    /// A short figure, repeated.
    Ostinato,
    /// One note again and again.
    Tremolo,
}

/// A part that may play.
#[derive(Clone, Debug, PartialEq)]
pub struct Voicing {
    /// How likely it is there.
    pub chance: f64,
    /// What it does.
    pub role: Role,
    /// General MIDI programs it may be, at least one.
    pub programs: Vec<u8>,
    /// How likely it goes through an amplifier.
    pub amplified: f64,
    /// Level beside the drums in dB.
    pub level: f64,
}

/// A style.
#[derive(Clone, Debug, PartialEq)]
pub struct Style {
    /// Its name.
    pub name: String,
    /// How often it is chosen.
    pub weight: f64,
    /// Beats per minute.
    pub bpm: (f64, f64),
    /// Metres with their weights, at least one.
    pub meters: Vec<(f64, Meter)>,
    /// How likely it swings.
    pub swing: f64,
    /// How likely there are drums.
    pub drums: f64,
    /// Styles of recorded drumming that fit.
    pub takes: Vec<String>,
    /// Styles of patterns that fit.
    pub patterns: Vec<String>,
    /// The other players.
    pub voices: Vec<Voicing>,
    /// Deviation of the players' timing in seconds.
    pub loose: f64,
    /// How likely the tempo is a player's own.
    pub free: f64,
}

/// The file, for errors.
const FILE: &str = "models/corpus/data/styles.toml";

/// The file as it is written: programs and metres may stand there by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    programs: BTreeMap<String, Vec<u8>>,
    metres: BTreeMap<String, Vec<(String, f64)>>,
    style: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    weight: f64,
    bpm: (f64, f64),
    metres: Named<(String, f64)>,
    swing: f64,
    drums: f64,
    takes: Vec<String>,
    patterns: Vec<String>,
    voices: Vec<WrittenVoice>,
    loose: f64,
    free: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenVoice {
    role: Role,
    programs: Named<u8>,
    chance: f64,
    amplified: f64,
    level: f64,
}

/// A list, or the name of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named<T> {
    Name(String),
    List(Vec<T>),
}

impl<T: Clone> Named<T> {
    /// The list, which must not be empty.
    fn list(self, known: &BTreeMap<String, Vec<T>>, key: &str) -> Result<Vec<T>, Error> {
        let list = match self {
            Self::List(list) => list,
            Self::Name(name) => known.get(&name).cloned().ok_or_else(|| {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                data::wrong(FILE, key, format!("{name} is none of {}", names.join(", ")))
            })?,
        };
        if list.is_empty() {
            return Err(data::wrong(FILE, key, "it is empty"));
        }
        Ok(list)
    }
}

/// The styles that ship, whose drumming is of `patterns`.
///
/// # Errors
/// Naming the file and the key that is wrong.
pub fn read(patterns: &[Pattern]) -> Result<Vec<Style>, Error> {
    parse(include_str!("../../data/styles.toml"), patterns)
}

fn parse(text: &str, patterns: &[Pattern]) -> Result<Vec<Style>, Error> {
    let File {
        programs,
        metres,
        style,
    } = data::read(FILE, text)?;
    if style.is_empty() {
        return Err(data::wrong(FILE, "style", "there is none"));
    }
    let read = |style: Written| read_style(style, &programs, &metres, patterns);
    style.into_iter().map(read).collect()
}

fn read_style(
    style: Written,
    programs: &BTreeMap<String, Vec<u8>>,
    metres: &BTreeMap<String, Vec<(String, f64)>>,
    patterns: &[Pattern],
) -> Result<Style, Error> {
    let key = |key: &str| format!("style.{}.{key}", style.name);
    let (low, high) = style.bpm;
    if !(low > 0.0 && low <= high && high.is_finite()) {
        let reason = format!("{low} to {high} are no tempi from slow to fast");
        return Err(data::wrong(FILE, key("bpm"), reason));
    }
    for (name, value) in [("weight", style.weight), ("loose", style.loose)] {
        if !(value >= 0.0 && value.is_finite()) {
            let reason = format!("{value} is negative or not finite");
            return Err(data::wrong(FILE, key(name), reason));
        }
    }
    for (name, value) in [
        ("swing", style.swing),
        ("drums", style.drums),
        ("free", style.free),
    ] {
        data::share(FILE, key(name), value)?;
    }
    for wanted in &style.patterns {
        if !patterns.iter().any(|pattern| pattern.style == *wanted) {
            let reason = format!("no pattern is of the style {wanted}");
            return Err(data::wrong(FILE, key("patterns"), reason));
        }
    }
    let mut voices = Vec::with_capacity(style.voices.len());
    for (n, voice) in style.voices.into_iter().enumerate() {
        let key = |name: &str| key(&format!("voices[{n}].{name}"));
        data::share(FILE, key("chance"), voice.chance)?;
        data::share(FILE, key("amplified"), voice.amplified)?;
        let programs = voice.programs.list(programs, &key("programs"))?;
        if let Some(program) = programs.iter().find(|&&program| program > 127) {
            let reason = format!("{program} is no General MIDI program, which are 0 … 127");
            return Err(data::wrong(FILE, key("programs"), reason));
        }
        voices.push(Voicing {
            chance: voice.chance,
            role: voice.role,
            programs,
            amplified: voice.amplified,
            level: voice.level,
        });
    }
    let meters = style.metres.list(metres, &key("metres"))?;
    let meters = meters.into_iter().map(|(name, weight)| {
        let meter = Meter::named(&name).ok_or_else(|| {
            data::wrong(FILE, key("metres"), format!("no metre is called {name}"))
        })?;
        Ok((weight, meter))
    });
    Ok(Style {
        meters: meters.collect::<Result<_, Error>>()?,
        name: style.name.clone(),
        weight: style.weight,
        bpm: style.bpm,
        swing: style.swing,
        drums: style.drums,
        takes: style.takes,
        patterns: style.patterns,
        voices,
        loose: style.loose,
        free: style.free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::patterns;

    #[test]
    fn the_shipped_styles_are_read() {
        let styles = read(&patterns::read().unwrap()).unwrap();
        let jazz = styles.iter().find(|style| style.name == "jazz").unwrap();
        assert_eq!(jazz.bpm, (60.0, 215.0));
        assert_eq!(jazz.meters[1], (0.25, Meter::THREE));
        assert_eq!(jazz.voices[2].programs, [26, 26, 4]);
        assert_eq!(jazz.voices[0].role, Role::Walk);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_key() {
        let text = include_str!("../../data/styles.toml");
        let patterns = patterns::read().unwrap();
        for (right, wrong, words) in [
            (
                "bpm = [70.0, 185.0]",
                "bpm = [185.0, 70.0]",
                "style.rock.bpm",
            ),
            ("swing = 0.05", "swing = 1.5", "style.rock.swing: 1.5"),
            (
                "\"rock\", \"half\", \"double\", \"tribal\"",
                "\"polka\"",
                "polka",
            ),
            (
                "programs = \"driven\"",
                "programs = \"drivn\"",
                "style.rock.voices[1].programs",
            ),
            (
                "programs = \"driven\"",
                "programs = []",
                "style.rock.voices[1].programs",
            ),
            (
                "programs = \"driven\"",
                "programs = [128]",
                "128 is no General MIDI",
            ),
            ("metres = \"four\"", "metres = \"for\"", "style.punk.metres"),
            ("four = [[\"4/4\"", "four = [[\"4/5\"", "4/5"),
            ("role = \"strum\"", "role = \"strom\"", "strom"),
            ("loose = 0.007", "lose = 0.007", "lose"),
        ] {
            let changed = text.replacen(right, wrong, 1);
            assert_ne!(changed, text, "{right}");
            let error = parse(&changed, &patterns).unwrap_err().to_string();
            assert!(error.starts_with(FILE) && error.contains(words), "{error}");
        }
    }
}
