// SPDX-License-Identifier: MPL-2.0
//! Music as it is written: strokes, notes, and what is common to all players.

use super::effects::Amplifier;
use super::font::Note;
use super::kit::Piece;
use super::score::Grid;
use super::styles::Role;

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
pub(super) struct Song<'a> {
    pub(super) grid: &'a Grid,
    /// Lateness of off-beats in sixths of their unit, and that unit in beats.
    pub(super) swing: f64,
    pub(super) unit: f64,
    pub(super) loose: f64,
    pub(super) scale: [i32; 7],
    pub(super) key: i32,
    /// Degree of the chord of each bar.
    pub(super) chords: Vec<i32>,
    pub(super) sections: Vec<Section>,
    /// The last instant at which a note begins.
    pub(super) end: f64,
}

pub(super) struct Section {
    pub(super) first: usize,
    pub(super) bars: usize,
    pub(super) drums: bool,
    /// One for each voice of the style.
    pub(super) active: Vec<bool>,
    /// Its last bar rests after the first beat.
    pub(super) stop: bool,
    pub(super) fill: bool,
    /// A rhythm that several parts share.
    pub(super) riff: Vec<(f64, i32)>,
}

impl Song<'_> {
    /// Seconds at a position in beats, swung.
    pub(super) fn time(&self, position: f64) -> f64 {
        let scaled = position / self.unit;
        let part = scaled.fract();
        let late = (1.0 - (2.0 * part - 1.0).abs()) * self.swing / 6.0;
        self.grid.time((scaled + late) * self.unit)
    }

    /// A degree of the scale as semitones over C.
    pub(super) fn degree(&self, degree: i32) -> i32 {
        self.key + self.scale[degree.rem_euclid(7) as usize] + 12 * degree.div_euclid(7)
    }

    /// The key of a degree that is nearest above `low`.
    pub(super) fn above(&self, degree: i32, low: i32) -> i32 {
        low + (self.degree(degree) - low).rem_euclid(12)
    }
}
