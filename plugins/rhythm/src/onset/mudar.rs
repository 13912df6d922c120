// SPDX-License-Identifier: MPL-2.0
//! MuDaR's onset envelope (section 3.1.1, equations 1 and 2), as printed.
//!
//! Equation 1: the spectrum of a Hamming window of N samples around sample h·n. Equation 2: the
//! sum over all N bins (both signs of frequency) of the positive difference between the magnitude
//! and the maximum-filtered magnitude μ frames before. What the paper leaves open, and is set here:
//! N and h are librosa's 2048 and 512 at the paper's 16 kHz, so 128 ms and 32 ms at any rate;
//! the maximum filter is three bins wide, as in the work the paper cites for it; μ = 1; a local
//! maximum exceeds its two neighbours; the local mean spans 100 ms to either side and the threshold
//! over it is 0.035 of the largest value so far.

use super::Flux;
use super::peak::Params;
use crate::spectrum::{Spectrum, fft_friendly, hamming};

/// Seconds between frames: 512 samples at 16 kHz.
pub const HOP: f64 = 0.032;
/// Seconds in a window, before rounding to a length the FFT likes: 2048 samples at 16 kHz.
pub const WINDOW: f64 = 0.128;

/// How its peaks are picked, in frames of [`HOP`].
pub const PEAKS: Params = Params {
    pre_max: 1,
    post_max: 2,
    pre_avg: 3,
    post_avg: 4,
    delta: 0.035,
    wait: 1,
};

/// The onset envelope of one stream.
pub struct Envelope {
    spectrum: Spectrum,
    magnitude: Vec<f32>,
    before: Vec<f32>,
    /// First bin above 200 Hz and above 2 kHz.
    split: [usize; 2],
    started: bool,
}

impl Envelope {
    /// For audio at `rate` Hz.
    pub fn new(rate: f64) -> Self {
        let length = fft_friendly(WINDOW * rate);
        let spectrum = Spectrum::new(hamming(length));
        let bins = spectrum.bins();
        let bin = |hz: f64| ((hz * length as f64 / rate).ceil() as usize).min(bins);
        Self {
            magnitude: vec![0.0; bins],
            before: vec![0.0; bins],
            split: [bin(200.0), bin(2_000.0)],
            spectrum,
            started: false,
        }
    }

    /// Samples in a frame.
    pub fn frame_len(&self) -> usize {
        self.spectrum.frame_len()
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.started = false;
    }

    /// Equation 2 for `frame` ([`Self::frame_len`] samples), divided by N so that it does not
    /// depend on the rate; 0 for the first frame.
    pub fn next(&mut self, frame: &[f32]) -> Flux {
        std::mem::swap(&mut self.magnitude, &mut self.before);
        self.spectrum.magnitude(frame, &mut self.magnitude);
        if !std::mem::replace(&mut self.started, true) {
            return Flux::default();
        }
        let [low, mid] = self.split;
        let bins = self.magnitude.len();
        let scale = 2.0 / self.frame_len() as f32;
        let sum = |range: std::ops::Range<usize>| {
            let mut total = 0.0;
            for k in range {
                let past = &self.before[k.saturating_sub(1)..(k + 2).min(bins)];
                let reference = past.iter().fold(0.0f32, |m, &v| m.max(v));
                total += (self.magnitude[k] - reference).max(0.0);
            }
            total * scale
        };
        let (low_sum, mid_sum, high_sum) = (sum(0..low), sum(low..mid), sum(mid..bins));
        Flux {
            all: low_sum + mid_sum + high_sum,
            low: low_sum,
            mid: mid_sum,
            high: high_sum,
        }
    }
}
