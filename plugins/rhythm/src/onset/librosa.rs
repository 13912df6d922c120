// SPDX-License-Identifier: MPL-2.0
//! librosa's `onset_strength` and `onset_detect` with their defaults.

use ndarray::{Array2, Axis};

use super::peak::{Params, peak_pick};
use crate::mel::{FRAME, HOP, mel_spectrogram, power_to_db};

/// Sample rate in Hz that librosa resamples to by default.
pub const RATE: u32 = 22_050;
/// Frames that the envelope is shifted late by: the lag and half a window.
pub const SHIFT: usize = 1 + FRAME / (2 * HOP);

/// The onset envelope of a mel spectrogram in dB (bands × frames), one value a frame: the mean
/// over bands of the positive difference to the frame before, shifted by [`SHIFT`].
pub fn strength_of(db: &Array2<f32>) -> Vec<f32> {
    let frames = db.len_of(Axis(1));
    let mut out = vec![0.0; frames];
    for (n, value) in out.iter_mut().enumerate().skip(SHIFT) {
        let (now, before) = (db.column(n - SHIFT + 1), db.column(n - SHIFT));
        let rise: f32 = now.iter().zip(before).map(|(a, b)| (a - b).max(0.0)).sum();
        *value = rise / db.len_of(Axis(0)) as f32;
    }
    out
}

/// `librosa.onset.onset_strength(y, sr)`: one value every 512 samples.
pub fn onset_strength(samples: &[f32], rate: f64) -> Vec<f32> {
    strength_of(&power_to_db(&mel_spectrogram(samples, rate)))
}

/// `librosa.onset.onset_detect(y, sr)`: frame indices. The envelope is scaled by its global
/// minimum and maximum, so this needs the whole signal; the streaming detector scales by the
/// maximum so far.
pub fn onset_detect(samples: &[f32], rate: f64) -> Vec<usize> {
    let mut envelope = onset_strength(samples, rate);
    let bounds = |v: &[f32]| {
        v.iter()
            .fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)))
    };
    let (low, high) = bounds(&envelope);
    if high <= low {
        return Vec::new();
    }
    let scale = high - low + f32::MIN_POSITIVE;
    envelope.iter_mut().for_each(|x| *x = (*x - low) / scale);
    peak_pick(&envelope, &Params::librosa(rate / HOP as f64))
}
