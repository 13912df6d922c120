// SPDX-License-Identifier: MPL-2.0
//! Clips as tensors: windows of music and dance, negatives, and labels.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use dance_rhythm::feature;
use dance_rhythm::mel::{BANDS, HOP};
use dance_rhythm::motion::Flow;
use dance_rhythm::motion::descriptor::{Describer, VALUES};
use half::f16;
use ndarray::{Array2, ArrayView2, s};

use super::analysis::{Motion, Status};
use super::example::{self, Example};
use dance_corpus::dance::{Info, Lock};
use dance_networks::mudar::{CHANNELS, SIDE};

/// Frames of music a second.
pub const MUSIC_RATE: f64 = feature::RATE as f64 / HOP as f64;
/// Numbers of a map.
pub const MAP: usize = CHANNELS * SIDE * SIDE;

/// A clip in memory, in as few bytes as it needs.
#[derive(Clone, Debug)]
pub struct Clip {
    /// What is true of the whole.
    pub info: Info,
    /// Frames of video a second, and how many there are.
    pub fps: f64,
    /// How many frames of video there are.
    pub frames: usize,
    /// t×1536.
    map: Vec<f16>,
    /// t×152.
    motion: Array2<f32>,
    /// n×514, mel power as ln(1 + x · 10⁴).
    music: Vec<f16>,
    /// Frames of music.
    heard: usize,
    /// Detected onsets in seconds.
    pub onsets: Vec<f32>,
}

/// What a map must be: a third of them would be too large for memory in float32.
const GAIN: f32 = 1e4;

impl Clip {
    /// From a file of features.
    ///
    /// # Errors
    /// As [`Example::load`], and when the features are of other sizes.
    pub fn load(path: &Path) -> Result<Self> {
        Self::new(Example::load(path)?).with_context(|| path.display().to_string())
    }

    /// From features.
    ///
    /// # Errors
    /// When they are of other sizes.
    pub fn new(example: Example) -> Result<Self> {
        let Example {
            info,
            music,
            motion,
        } = example;
        ensure!(
            motion.map.shape()[1..] == [CHANNELS, SIDE, SIDE],
            "maps of {:?}, not {CHANNELS} x {SIDE} x {SIDE}: other pictures than 128 x 128?",
            &motion.map.shape()[1..]
        );
        let fps = f64::from(info.fps);
        Ok(Self {
            frames: motion.status.len(),
            map: motion.map.iter().map(|x| f16::from_f32(*x)).collect(),
            motion: describe(&motion, fps)?,
            heard: music.frames.nrows(),
            music: music
                .frames
                .outer_iter()
                .flat_map(|row| {
                    let row = row.to_vec().into_iter().enumerate();
                    row.map(|(k, x)| if k < BANDS { (x * GAIN).ln_1p() } else { x })
                })
                .map(f16::from_f32)
                .collect(),
            onsets: music.onsets,
            fps,
            info,
        })
    }

    /// Whether the dance follows the music that it is shown with.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        self.info.lock == Lock::Matched
    }

    /// The maps of `count` frames from `first` on.
    pub fn map(&self, first: usize, count: usize) -> impl Iterator<Item = f32> + '_ {
        let range = first * MAP..(first + count) * MAP;
        self.map
            .get(range)
            .unwrap_or_default()
            .iter()
            .map(|x| x.to_f32())
    }

    /// The motion of `count` frames from `first` on.
    #[must_use]
    pub fn motion(&self, first: usize, count: usize) -> ArrayView2<'_, f32> {
        self.motion.slice(s![first..first + count, ..])
    }

    /// `count` frames of music from the instant `start` on: numbers, and times in seconds since then. Beyond the clip
    /// there is silence.
    #[must_use]
    pub fn music(&self, start: f64, count: usize) -> (Vec<f32>, Vec<f32>) {
        let first = (start * MUSIC_RATE).round() as i64;
        let mut numbers = Vec::with_capacity(count * feature::VALUES);
        let mut times = Vec::with_capacity(count);
        for n in first..first + count as i64 {
            times.push((n as f64 / MUSIC_RATE - start) as f32);
            let at = usize::try_from(n).ok().filter(|&n| n < self.heard);
            match at {
                Some(n) => {
                    let row = &self.music[n * feature::VALUES..][..feature::VALUES];
                    numbers.extend(row.iter().enumerate().map(|(k, x)| {
                        let x = x.to_f32();
                        if k < BANDS { x.exp_m1() / GAIN } else { x }
                    }));
                }
                None => numbers.resize(numbers.len() + feature::VALUES, 0.0),
            }
        }
        (numbers, times)
    }

    /// Labels of `count` frames from `first` on: 1 at the frames nearest to `events`, a half beside them.
    pub fn labels(&self, events: &[f64], first: usize, count: usize) -> Vec<f32> {
        let mut labels = vec![0.0f32; count];
        for time in events {
            let frame = (time * self.fps).round() as i64 - first as i64;
            for (off, value) in [(-1, 0.5), (0, 1.0), (1, 0.5)] {
                let at = usize::try_from(frame + off).ok();
                if let Some(label) = at.and_then(|at| labels.get_mut(at)) {
                    *label = label.max(value);
                }
            }
        }
        labels
    }

    /// Detected onsets, as float64.
    #[must_use]
    pub fn heard_onsets(&self) -> Vec<f64> {
        self.onsets.iter().map(|&t| f64::from(t)).collect()
    }
}

/// The numbers of each frame's motion.
///
/// # Errors
/// When the flow has no size.
pub fn describe(motion: &Motion, fps: f64) -> Result<Array2<f32>> {
    let (count, _, height, width) = motion.flow.dim();
    let mut describer = Describer::new().context("no histograms")?;
    let mut out = Array2::zeros((count, VALUES));
    // The flow is at a quarter of the analysed picture's resolution.
    let side = 4.0 * width.max(height) as f64;
    for (t, mut row) in out.outer_iter_mut().enumerate() {
        let plane = |axis: usize| -> Vec<f32> {
            motion
                .flow
                .slice(s![t, axis, .., ..])
                .iter()
                .copied()
                .collect()
        };
        let (x, y) = (plane(0), plane(1));
        let flow = Flow::new(width, height, &x, &y).context("a flow without a size")?;
        let known = matches!(motion.status[t], Status::Flow | Status::Repeated);
        let values = describer.next(known.then_some(&flow), side, 1.0 / fps);
        row.assign(&ndarray::arr1(&values));
    }
    Ok(out)
}

/// All clips of a folder.
///
/// # Errors
/// Naming the file that cannot be read.
pub fn load(folder: &Path, limit: Option<usize>) -> Result<Vec<Clip>> {
    let mut files = example::list(folder)?;
    if let Some(limit) = limit {
        files.truncate(limit);
    }
    files.iter().map(|path| Clip::load(path)).collect()
}

/// Equation 16: whether a piece of music differs enough in its rhythm to serve as a negative: the sum over frames of the
/// differences of the onsets, less `alpha` a frame, is positive.
#[must_use]
pub fn differs(positive: &[f32], negative: &[f32], alpha: f32) -> bool {
    let pairs = positive.iter().zip(negative);
    let sum: f32 = pairs.map(|(a, b)| (a - b).abs()).sum();
    sum - alpha * positive.len() as f32 > 0.0
}

/// Equation 17 with a tolerance: whether a shift in seconds is no multiple of an eighth note, by at least `tolerance` of
/// one. (At 8 frames a second and 120 beats a minute an eighth is two frames, and equality would forbid half of all
/// shifts and allow their neighbours.)
#[must_use]
pub fn is_off_the_beat(shift: f64, bpm: f64, tolerance: f64) -> bool {
    let eighth = 60.0 / bpm.max(1.0) / 2.0;
    let share = (shift / eighth).rem_euclid(1.0);
    share.min(1.0 - share) > tolerance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negatives_differ_and_shifts_are_off_the_beat() {
        let a = [1.0, 0.0, 0.0, 1.0];
        assert!(!differs(&a, &a, 0.1));
        assert!(differs(&a, &[0.0, 1.0, 1.0, 0.0], 0.5));
        assert!(!differs(&a, &[1.0, 0.0, 0.0, 0.0], 0.5));
        // An eighth at 120 beats a minute is a quarter of a second.
        assert!(!is_off_the_beat(0.25, 120.0, 0.2));
        assert!(!is_off_the_beat(-0.77, 120.0, 0.2));
        assert!(is_off_the_beat(0.125, 120.0, 0.2));
        assert!(is_off_the_beat(-0.31, 120.0, 0.2));
    }
}
