// SPDX-License-Identifier: MPL-2.0
//! The interface to a neural network: its input features and its output activations.
//!
//! The network itself lives elsewhere: this crate makes its features and follows its activations,
//! and calls it through [`Network`]. Training takes the features from here as well, so that
//! training and serving cannot drift.

use crate::spectrum::{DITHER, Filterbank, Spectrum};

/// Name of the features, as it stands on the model's card; another feature set has another name.
pub const FEATURES: &str = "log-bands-1";
/// Frames per second.
pub const FRAME_RATE: f64 = 100.0;
/// Values in a frame of features.
pub const BANDS: usize = 80;

/// Centre of the lowest band in Hz.
const LOWEST: f64 = 40.0;
/// Bands are at least this far apart in Hz, which is what the window resolves, …
const SPACING: f64 = 22.0;
/// … and this many to the octave where that is wider. The highest of the [`BANDS`] is at 15 kHz.
const BANDS_PER_OCTAVE: f64 = 12.0;
/// Compression: a band at the reference level has the value log10(1 + GAIN).
const GAIN: f32 = 30.0;
/// The reference level falls by a factor e in this many seconds.
const RELEASE: f64 = 4.0;
/// Reference level (mean band magnitude, 1 is a full-scale sine) below which nothing is amplified:
/// music that peaks at −66 dBFS is above it most of the time.
const FLOOR: f32 = 5e-6;

/// Output of a network for one frame, probabilities 0 … 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activation {
    /// Of an onset.
    pub onset: f32,
    /// Of a beat.
    pub beat: f32,
    /// Of the first beat of a bar.
    pub downbeat: f32,
}

/// Why a [`Network`] did not run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A causal network over frames of features, with state.
///
/// The activation of frame `n` belongs to the instant [`Network::delay`] before the end of the
/// frame.
pub trait Network: Send {
    /// Processes `features`, whole frames of [`BANDS`] values in the order of time, and appends an
    /// [`Activation`] for each to `out`.
    ///
    /// # Errors
    /// When it cannot; then nothing was appended and its state is as it was.
    fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure>;

    /// Frames to process in one call: 1 has the least latency, more cost less.
    fn block(&self) -> usize {
        1
    }

    /// Seconds from the instant that an activation belongs to to the end of its frame.
    fn delay(&self) -> f64;

    /// Forgets the stream.
    fn reset(&mut self);
}

/// The features of one stream: the logarithm of a constant-Q-like spectrum, relative to the
/// stream's own level of late, so that they do not depend on the gain of the recording.
///
/// The bands are fixed in Hz. Those above half the sample rate are 0.
pub struct LogBands {
    spectrum: Spectrum,
    magnitude: Vec<f32>,
    bands: Filterbank,
    reference: f32,
    release: f32,
}

impl LogBands {
    /// For audio at `rate` Hz (≥ 8000).
    pub fn new(rate: u32) -> Self {
        let spectrum = Spectrum::of_attacks(rate);
        let bin_width = f64::from(rate) / spectrum.frame_len() as f64;
        Self {
            magnitude: vec![0.0; spectrum.bins()],
            bands: filterbank(spectrum.bins(), bin_width),
            spectrum,
            reference: FLOOR,
            release: (-1.0 / (RELEASE * FRAME_RATE)).exp() as f32,
        }
    }

    /// Samples in a frame.
    pub fn frame_len(&self) -> usize {
        self.spectrum.frame_len()
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.reference = FLOOR;
    }

    /// The features at the end of `frame` ([`Self::frame_len`] samples, full scale ±1), into `out`
    /// ([`BANDS`] values of 0 … about 4).
    pub fn next(&mut self, frame: &[f32], out: &mut [f32]) {
        let mut magnitude = std::mem::take(&mut self.magnitude);
        self.spectrum.magnitude(frame, &mut magnitude);
        self.of_magnitude(&magnitude, out);
        self.magnitude = magnitude;
    }

    /// The same from the magnitudes of [`Spectrum::of_attacks`], where they are known already.
    pub(crate) fn of_magnitude(&mut self, magnitude: &[f32], out: &mut [f32]) {
        self.bands.apply(magnitude, out);
        // A band's magnitude is relative to a full-scale sine: 1/4 of the window's length.
        let scale = 4.0 / self.spectrum.frame_len() as f32;
        out.iter_mut()
            .for_each(|x| *x = (*x * scale - DITHER).max(0.0));
        let mean = out.iter().sum::<f32>() / BANDS as f32;
        self.reference = (self.reference * self.release).max(mean).max(FLOOR);
        let gain = GAIN / self.reference;
        for x in out {
            *x = (1.0 + gain * *x).log10();
        }
    }
}

/// Centres of the bands in Hz, with one more at either end.
fn centres() -> Vec<f64> {
    let ratio = 2f64.powf(1.0 / BANDS_PER_OCTAVE);
    let mut centres = vec![LOWEST - SPACING];
    let mut hz = LOWEST;
    for _ in 0..=BANDS {
        centres.push(hz);
        hz = (hz + SPACING).max(hz * ratio);
    }
    centres
}

/// Triangles from centre to centre, each of area 1 in bins; a bin within the band counts at least
/// a little, so that no band is empty.
fn filterbank(bins: usize, bin_width: f64) -> Filterbank {
    let centres = centres();
    let mut bands = Filterbank::default();
    for edge in centres.windows(3) {
        let (start, centre, stop) = (edge[0], edge[1], edge[2]);
        let first = (start / bin_width).ceil() as usize;
        let last = (stop / bin_width).floor() as usize;
        if centre > (bins - 1) as f64 * bin_width {
            bands.push(0, []);
            continue;
        }
        let weight = |bin: usize| {
            let hz = bin as f64 * bin_width;
            let side = if hz <= centre { start } else { stop };
            (0.02 + (hz - side) / (centre - side)) as f32
        };
        let range = first..(last + 1).min(bins);
        let area: f32 = range.clone().map(weight).sum();
        bands.push(first, range.map(|bin| weight(bin) / area));
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn features(rate: u32, hz: f64, amplitude: f64) -> Vec<f32> {
        let mut bands = LogBands::new(rate);
        let frame: Vec<f32> = (0..bands.frame_len())
            .map(|t| (amplitude * (TAU * hz * t as f64 / f64::from(rate)).sin()) as f32)
            .collect();
        let mut out = vec![0.0; BANDS];
        bands.next(&frame, &mut out);
        out
    }

    #[test]
    fn the_bands_reach_from_the_bass_to_15_khz() {
        let centres = centres();
        assert!((centres[1] - 40.0).abs() < 1e-9);
        assert!(
            (14_000.0..16_000.0).contains(&centres[BANDS]),
            "{centres:?}"
        );
    }

    #[test]
    fn a_sine_shows_in_its_band_at_any_rate_and_level() {
        let centres = centres();
        for hz in [60.0, 440.0, 3_000.0] {
            let band = (1..=BANDS)
                .min_by(|&a, &b| (centres[a] - hz).abs().total_cmp(&(centres[b] - hz).abs()))
                .unwrap()
                - 1;
            for rate in [8_000, 22_050, 44_100, 48_000, 192_000] {
                for amplitude in [1.0, 0.05] {
                    let out = features(rate, hz, amplitude);
                    let top = (0..BANDS)
                        .max_by(|&a, &b| out[a].total_cmp(&out[b]))
                        .unwrap();
                    assert!(
                        top.abs_diff(band) <= 1,
                        "{hz} Hz at {rate}: {top}, not {band}"
                    );
                    assert!(out.iter().all(|x| x.is_finite() && *x >= 0.0));
                }
            }
        }
    }

    #[test]
    fn features_of_the_same_sound_are_alike_at_all_rates() {
        let (a, b) = (features(44_100, 440.0, 0.5), features(48_000, 440.0, 0.5));
        for (x, y) in a.iter().zip(&b) {
            assert!((x - y).abs() < 0.35, "{a:?} {b:?}");
        }
    }

    #[test]
    fn what_is_above_half_the_rate_is_silent() {
        let out = features(8_000, 1_000.0, 0.5);
        assert!(out[BANDS - 10..].iter().all(|&x| x == 0.0));
    }
}
