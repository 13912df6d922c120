// SPDX-License-Identifier: MPL-2.0
//! The input of the network in the paper MuDaR (section 4.1): 514 values a frame.

use ndarray::{Array2, Axis};

use crate::mel::{BANDS, mel_spectrogram, power_to_db};
use crate::onset::librosa::strength_of;
use crate::tempogram::{WINDOW, tempogram};

/// Sample rate in Hz that the features are computed at.
pub const RATE: u32 = 16_000;
/// Values in a frame: mel bands, beat, onset envelope, tempogram.
pub const VALUES: usize = BANDS + 2 + WINDOW;

/// MuDaR's frames of `samples` at [`RATE`]: 1 + samples / 512 rows (251 of 8 s) of [`VALUES`]
/// columns:
///
/// | columns | |
/// |---|---|
/// | 0 … 127 | mel power |
/// | 128 | beat, as given in `beats`; frames beyond its end have 0 |
/// | 129 | onset envelope |
/// | 130 … 513 | tempogram |
///
/// The paper names librosa with its defaults; each part equals librosa's over the same samples.
pub fn mudar_frames(samples: &[f32], beats: &[f32]) -> Array2<f32> {
    let mel = mel_spectrogram(samples, f64::from(RATE));
    let envelope = strength_of(&power_to_db(&mel));
    let gram = tempogram(&envelope);
    let mut out = Array2::zeros((mel.len_of(Axis(1)), VALUES));
    for (n, mut row) in out.rows_mut().into_iter().enumerate() {
        let beat = beats.get(n).copied().unwrap_or(0.0);
        let values = mel
            .column(n)
            .into_iter()
            .copied()
            .chain([beat, envelope[n]])
            .chain(gram.column(n).into_iter().copied());
        for (to, from) in row.iter_mut().zip(values) {
            *to = from;
        }
    }
    out
}
