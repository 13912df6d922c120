// SPDX-License-Identifier: MPL-2.0
//! Mel spectrogram and decibels, equal to librosa's with its defaults.
//!
//! Power spectra of centred Hann windows (zeros beyond both ends), mel bands after M. Slaney's
//! Auditory Toolbox, each of constant energy.

use ndarray::Array2;

use crate::spectrum::{Filterbank, Spectrum, hann};

/// Mel bands that librosa makes by default.
pub const BANDS: usize = 128;
/// Samples in a frame, librosa's default.
pub const FRAME: usize = 2_048;
/// Samples between frames, librosa's default.
pub const HOP: usize = 512;

/// Slaney's mel scale: linear to 1 kHz, logarithmic above. Hz of a mel value.
fn mel_to_hz(mel: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    const KNEE: f64 = 1_000.0;
    let step = 6.4f64.ln() / 27.0;
    let knee = KNEE / LINEAR;
    if mel < knee {
        mel * LINEAR
    } else {
        KNEE * (step * (mel - knee)).exp()
    }
}

fn hz_to_mel(hz: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    const KNEE: f64 = 1_000.0;
    let step = 6.4f64.ln() / 27.0;
    if hz < KNEE {
        hz / LINEAR
    } else {
        KNEE / LINEAR + (hz / KNEE).ln() / step
    }
}

/// `bands` triangular mel filters from 0 Hz to half of `rate` over the bins of an FFT of `frame`
/// samples.
pub fn filterbank(rate: f64, frame: usize, bands: usize) -> Filterbank {
    let top = hz_to_mel(rate / 2.0);
    let edges: Vec<f64> = (0..bands + 2)
        .map(|k| mel_to_hz(top * k as f64 / (bands + 1) as f64))
        .collect();
    let bins = frame / 2 + 1;
    let mut bank = Filterbank::default();
    for edge in edges.windows(3) {
        let (low, centre, high) = (edge[0], edge[1], edge[2]);
        let weight = |bin: usize| {
            let hz = bin as f64 * rate / frame as f64;
            let side = ((hz - low) / (centre - low)).min((high - hz) / (high - centre));
            (side.max(0.0) * 2.0 / (high - low)) as f32
        };
        let first = (0..bins).find(|&b| weight(b) > 0.0).unwrap_or(0);
        let last = (first..bins).rfind(|&b| weight(b) > 0.0).unwrap_or(first);
        bank.push(first, (first..=last).map(weight));
    }
    bank
}

/// One mel spectrum at a time; nothing is allocated after construction.
pub struct Mel {
    spectrum: Spectrum,
    power: Vec<f32>,
    bank: Filterbank,
    rate: f64,
}

impl Mel {
    /// `bands` mel bands of frames of `frame` samples at `rate` Hz.
    pub fn new(rate: f64, frame: usize, bands: usize) -> Self {
        let spectrum = Spectrum::new(hann(frame));
        Self {
            power: vec![0.0; spectrum.bins()],
            spectrum,
            bank: filterbank(rate, frame, bands),
            rate,
        }
    }

    /// Mel bands.
    pub fn bands(&self) -> usize {
        self.bank.len()
    }

    /// The first band whose centre is at or above `hz`.
    pub fn first_above(&self, hz: f64) -> usize {
        let step = hz_to_mel(self.rate / 2.0) / (self.bands() + 1) as f64;
        let centre = |band: usize| mel_to_hz(step * (band + 1) as f64);
        (0..self.bands())
            .find(|&band| centre(band) >= hz)
            .unwrap_or(self.bands())
    }

    /// The mel power of `frame` into `out` ([`Self::bands`] values).
    pub fn next(&mut self, frame: &[f32], out: &mut [f32]) {
        self.spectrum.power(frame, &mut self.power);
        self.bank.apply(&self.power, out);
    }
}

/// Number of centred frames over `samples` samples: 1 + samples / hop.
pub fn frame_count(samples: usize) -> usize {
    1 + samples / HOP
}

/// The mel power spectrogram of `samples` at `rate` Hz: [`BANDS`] × [`frame_count`], as
/// `librosa.feature.melspectrogram(y, sr)`.
pub fn mel_spectrogram(samples: &[f32], rate: f64) -> Array2<f32> {
    let frames = frame_count(samples.len());
    let mut mel = Mel::new(rate, FRAME, BANDS);
    let mut out = Array2::zeros((BANDS, frames));
    let mut frame = vec![0.0; FRAME];
    let mut bands = vec![0.0; BANDS];
    for (n, mut column) in out.columns_mut().into_iter().enumerate() {
        let start = (n * HOP) as isize - (FRAME / 2) as isize;
        for (k, x) in frame.iter_mut().enumerate() {
            let at = start + k as isize;
            *x = usize::try_from(at)
                .ok()
                .and_then(|at| samples.get(at))
                .copied()
                .unwrap_or(0.0);
        }
        mel.next(&frame, &mut bands);
        for (to, from) in column.iter_mut().zip(&bands) {
            *to = *from;
        }
    }
    out
}

/// Power to decibels relative to 1, not below 1e-10 (librosa's `amin`).
pub fn decibel(power: f32) -> f32 {
    10.0 * power.max(1e-10).log10()
}

/// Decibels below the loudest value that everything quieter is raised to (librosa's `top_db`).
pub const TOP_DB: f32 = 80.0;

/// [`decibel`] of a whole spectrogram, raised to [`TOP_DB`] below its maximum, as
/// `librosa.power_to_db(S)`.
pub fn power_to_db(power: &Array2<f32>) -> Array2<f32> {
    let db = power.mapv(decibel);
    let top = db.iter().copied().fold(f32::MIN, f32::max);
    db.mapv(|x| x.max(top - TOP_DB))
}
