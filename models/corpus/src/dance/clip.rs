// SPDX-License-Identifier: MPL-2.0
//! A clip: music, frames, and what is true of them.

use super::skeleton::JOINTS;
use ndarray::{Array3, Array4};
use serde::{Deserialize, Serialize};

/// Whether a dance follows the music it is shown with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// It does.
    Matched,
    /// It follows another song.
    WrongSong,
    /// It follows this one, that many seconds late.
    Shifted(f64),
    /// It follows this one, that many times as slow.
    Stretched(f64),
}

/// A beat of the music.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Seconds.
    pub time: f64,
    /// Its number in the bar; 1 is the downbeat, 0 unknown.
    pub bar_position: u32,
}

/// A stretch of time with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// What it is.
    pub name: String,
}

/// What is true of a whole clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Its number.
    pub index: u64,
    /// Seed of the corpus.
    pub seed: u64,
    /// `training`, `validation` or `test`.
    pub split: String,
    /// What is danced.
    pub genre: String,
    /// Whether the dance follows the music.
    pub lock: Lock,
    /// Moves in order, as `name/variation`; the recording's name for motion capture.
    pub moves: Vec<Span>,
    /// Phrases of the dance: those of one letter are alike.
    pub sections: Vec<Span>,
    /// Instants at which the body comes to rest or turns round.
    pub visual_beats: Vec<f64>,
    /// Onsets of the music.
    pub onsets: Vec<f64>,
    /// Beats of the music.
    pub beats: Vec<Beat>,
    /// Beats a minute.
    pub tempo: f64,
    /// Beats in a bar.
    pub meter: u32,
    /// The song.
    pub song: String,
    /// Its style, where it is known.
    pub style: String,
    /// Where in the song the clip begins, in seconds.
    pub offset: f64,
    /// Who dances.
    pub person: u64,
    /// Camera view, 0 … 8.
    pub view: usize,
    /// How the camera moves, its share and angle.
    pub camera: String,
    /// What is behind the dancer.
    pub backdrop: String,
    /// Whether the motion was captured.
    pub captured: bool,
    /// Frames, rows and columns.
    pub shape: [usize; 3],
    /// Frames a second.
    pub fps: f32,
    /// Samples a second.
    pub rate: u32,
}

/// Frames and what is true of each; T frames of H rows and W columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// T×H×W×3: red, green, blue.
    pub pixels: Array4<u8>,
    /// T−1×2×H×W: from each frame to the next, to the right and down, in pixels.
    pub forward: Array4<f32>,
    /// T−1×2×H×W: from each next frame back.
    pub backward: Array4<f32>,
    /// T−1×H×W: occluded in the next frame.
    pub occluded: Array3<bool>,
    /// T−1×H×W: pixels of each next frame that are occluded in the one before.
    pub uncovered: Array3<bool>,
    /// T×H×W: part labels, 0 the backdrop.
    pub parts: Array3<u8>,
    /// T×J×2: joints, columns and rows in pixels.
    pub joints: Array3<f32>,
}

impl Frames {
    /// `count` black frames.
    pub fn new(count: usize, [height, width]: [usize; 2]) -> Self {
        let pairs = count.saturating_sub(1);
        Self {
            pixels: Array4::zeros((count, height, width, 3)),
            forward: Array4::zeros((pairs, 2, height, width)),
            backward: Array4::zeros((pairs, 2, height, width)),
            occluded: Array3::from_elem((pairs, height, width), false),
            uncovered: Array3::from_elem((pairs, height, width), false),
            parts: Array3::zeros((count, height, width)),
            joints: Array3::zeros((count, JOINTS, 2)),
        }
    }

    /// T×H×W: where the dancer is.
    pub fn mask(&self) -> Array3<bool> {
        self.parts.mapv(|part| part > 0)
    }
}

/// A clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// What is true of the whole.
    pub info: Info,
    /// Mono, as long as the frames.
    pub music: Vec<f32>,
    /// Pictures and their truth.
    pub frames: Frames,
}

impl Frames {
    /// Mean difference, of 255, between each frame and the next where the flow leads, over pixels that
    /// are not occluded, of all or of the `dancer` alone; and without the flow, over the same pixels.
    pub fn warp_error(&self, dancer: bool) -> (f64, f64) {
        let (pairs, _, height, width) = self.forward.dim();
        let (mut sum, mut still, mut count) = (0.0f64, 0.0f64, 0u64);
        for t in 0..pairs {
            for y in 0..height {
                for x in 0..width {
                    if self.occluded[[t, y, x]] || dancer && self.parts[[t, y, x]] == 0 {
                        continue;
                    }
                    let goal = [0, 1].map(|k| self.forward[[t, k, y, x]]);
                    let px = (x as f32 + goal[0]).clamp(0.0, (width - 1) as f32);
                    let py = (y as f32 + goal[1]).clamp(0.0, (height - 1) as f32);
                    let (left, top) = (px as usize, py as usize);
                    let (fx, fy) = (px - left as f32, py - top as f32);
                    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
                    for c in 0..3 {
                        let at = |y: usize, x: usize| f32::from(self.pixels[[t + 1, y, x, c]]);
                        let upper = at(top, left) * (1.0 - fx) + at(top, right) * fx;
                        let lower = at(bottom, left) * (1.0 - fx) + at(bottom, right) * fx;
                        let here = f32::from(self.pixels[[t, y, x, c]]);
                        sum += f64::from((upper * (1.0 - fy) + lower * fy - here).abs());
                        still += f64::from((at(y, x) - here).abs());
                        count += 1;
                    }
                }
            }
        }
        let count = count.max(1) as f64;
        (sum / count, still / count)
    }
}
