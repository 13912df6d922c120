// SPDX-License-Identifier: MPL-2.0
//! SuperFlux: spectral flux with a maximum-filtered reference on a logarithmic filterbank.
//!
//! S. Böck and G. Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013.
//! Two things differ from the paper. The magnitudes are scaled by a slow reference of the stream's
//! own level before the logarithm, so that the function does not depend on the gain of the
//! recording. And the flux is taken as the logarithm of ratios, which is the same number as the
//! difference of logarithms and lets both spectra use the scale of the present frame.

use super::Flux;
use crate::spectrum::{DITHER, Filterbank, Spectrum};

/// Frames per second.
pub const FRAME_RATE: f64 = 100.0;
const BANDS_PER_OCTAVE: f64 = 24.0;
/// Range of the filterbank in Hz; the paper's 30 Hz … 17 kHz.
const RANGE: (f64, f64) = (30.0, 17_000.0);
/// Distance of the frames that are compared.
const LAG: usize = 2;
/// Compression: a band at the stream's reference level enters the logarithm as 1 + GAIN.
const GAIN: f32 = 12.0;
/// The reference level falls by a factor e in this many seconds.
const RELEASE: f64 = 4.0;
/// Reference level (mean band magnitude, 1 is a full-scale sine) below which nothing is amplified:
/// music that peaks at −66 dBFS is above it most of the time.
const FLOOR: f32 = 5e-6;
/// Bands whose ratios are multiplied before one logarithm is taken: six ratios of at most 1e6 stay
/// inside an f32.
const PRODUCT: usize = 6;

/// The onset function of one stream; feeds on the last [`Self::frame_len`] samples at each hop.
pub struct SuperFlux {
    spectrum: Spectrum,
    magnitude: Vec<f32>,
    bands: Filterbank,
    /// Band magnitudes of the last `LAG` frames and the present one, a ring; a zero on either side.
    history: [Vec<f32>; LAG + 1],
    ratios: Vec<f32>,
    /// First band above 200 Hz and above 2 kHz.
    split: [usize; 2],
    reference: f32,
    release: f32,
    frames: u64,
}

impl SuperFlux {
    /// For audio at `rate` Hz (≥ 8000).
    pub fn new(rate: u32) -> Self {
        let spectrum = Spectrum::of_attacks(rate);
        let bin_width = f64::from(rate) / spectrum.frame_len() as f64;
        let (bands, centres) = filterbank(spectrum.bins(), bin_width);
        let below = |hz: f64| centres.iter().take_while(|&&c| c < hz).count();
        Self {
            magnitude: vec![0.0; spectrum.bins()],
            history: std::array::from_fn(|_| vec![0.0; bands.len() + 2]),
            ratios: vec![0.0; bands.len()],
            split: [below(200.0), below(2_000.0)],
            spectrum,
            bands,
            reference: FLOOR,
            release: (-1.0 / (RELEASE * FRAME_RATE)).exp() as f32,
            frames: 0,
        }
    }

    /// Samples in a frame.
    pub fn frame_len(&self) -> usize {
        self.spectrum.frame_len()
    }

    /// The magnitudes of the last frame's spectrum.
    pub(crate) fn magnitude(&self) -> &[f32] {
        &self.magnitude
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        for bands in &mut self.history {
            bands.fill(0.0);
        }
        self.reference = FLOOR;
        self.frames = 0;
    }

    /// The flux at the end of `frame` ([`Self::frame_len`] samples), the mean over its bands of
    /// log10 of the rise.
    pub fn next(&mut self, frame: &[f32]) -> Flux {
        self.spectrum.magnitude(frame, &mut self.magnitude);
        let now = (self.frames % (LAG as u64 + 1)) as usize;
        let before = ((self.frames + 1) % (LAG as u64 + 1)) as usize;
        self.frames += 1;

        let mut present = std::mem::take(&mut self.history[now]);
        let count = self.bands.len();
        let bands = &mut present[1..=count];
        self.bands.apply(&self.magnitude, bands);
        // A band's magnitude is relative to a full-scale sine: 1/4 of the window's length.
        let scale = 4.0 / self.spectrum.frame_len() as f32;
        bands
            .iter_mut()
            .for_each(|x| *x = (*x * scale - DITHER).max(0.0));
        let mean = bands.iter().sum::<f32>() / count as f32;
        self.reference = (self.reference * self.release).max(mean).max(FLOOR);
        let gain = GAIN / self.reference;

        let past = &self.history[before];
        let ratios = &mut self.ratios;
        let mut sum = |from: usize, to: usize| {
            let present = &present[1 + from..1 + to];
            rise(present, &past[from..to + 2], &mut ratios[from..to], gain)
        };
        let [low, mid] = self.split;
        let (low_sum, mid_sum, high_sum) = (sum(0, low), sum(low, mid), sum(mid, count));
        self.history[now] = present;
        let per = |total: f32, bands: usize| total / bands.max(1) as f32;
        Flux {
            all: per(low_sum + mid_sum + high_sum, count),
            low: per(low_sum, low),
            mid: per(mid_sum, mid - low),
            high: per(high_sum, count - mid),
        }
    }
}

/// Sum over bands of log10((1 + g·present) / (1 + g·reference)) where that is a rise, `reference`
/// the largest of the three bands around it: `past` has one band more on either side. `ratios` is
/// scratch of the length of `present`.
fn rise(present: &[f32], past: &[f32], ratios: &mut [f32], gain: f32) -> f32 {
    let past = past.iter().zip(&past[1..]).zip(&past[2..]);
    for ((ratio, value), ((a, b), c)) in ratios.iter_mut().zip(present).zip(past) {
        let reference = a.max(*b).max(*c);
        *ratio = ((1.0 + gain * value) / (1.0 + gain * reference)).clamp(1.0, 1e6);
    }
    let parts = ratios.chunks(PRODUCT);
    parts.map(|part| part.iter().product::<f32>().log10()).sum()
}

/// Triangular filters at `BANDS_PER_OCTAVE`, each of area 1, centres snapped to bins and bins
/// that fall together merged, as the paper has it. Returns the bands and their centres in Hz.
fn filterbank(bins: usize, bin_width: f64) -> (Filterbank, Vec<f64>) {
    let mut edges: Vec<usize> = Vec::new();
    let top = RANGE.1.min((bins - 1) as f64 * bin_width);
    let first = (BANDS_PER_OCTAVE * (RANGE.0 / 440.0).log2()).ceil() as i32;
    let last = (BANDS_PER_OCTAVE * (top / 440.0).log2()).floor() as i32;
    for step in first..=last {
        let hz = 440.0 * 2f64.powf(f64::from(step) / BANDS_PER_OCTAVE);
        let bin = ((hz / bin_width).round() as usize).min(bins - 1);
        if edges.last() != Some(&bin) {
            edges.push(bin);
        }
    }
    let mut bands = Filterbank::default();
    let mut centres = Vec::new();
    for edge in edges.windows(3) {
        let (start, centre, stop) = (edge[0], edge[1], edge[2]);
        let weight = |bin: usize| {
            if bin <= centre {
                (bin - start) as f32 / (centre - start) as f32
            } else {
                (stop - bin) as f32 / (stop - centre) as f32
            }
        };
        let area: f32 = (start + 1..stop).map(weight).sum();
        bands.push(start + 1, (start + 1..stop).map(|bin| weight(bin) / area));
        centres.push(centre as f64 * bin_width);
    }
    (bands, centres)
}
