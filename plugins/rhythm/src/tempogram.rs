// SPDX-License-Identifier: MPL-2.0
//! Local autocorrelation of an onset envelope: the tempogram, equal to librosa's.
//!
//! P. Grosche, M. Müller, F. Kurth, "Cyclic tempogram", ICASSP 2010 (the autocorrelation kind).

use ndarray::Array2;

use crate::spectrum::hann;

/// Frames of a window, and lags: librosa's default.
pub const WINDOW: usize = 384;

/// The tempogram of `envelope`: [`WINDOW`] lags × one column a frame, each column divided by its
/// maximum; as `librosa.feature.tempogram(onset_envelope=…)`. Beyond its ends the envelope falls
/// to zero in a straight line over half a window.
pub fn tempogram(envelope: &[f32]) -> Array2<f32> {
    let half = WINDOW / 2;
    let count = envelope.len();
    let (Some(&first), Some(&last)) = (envelope.first(), envelope.last()) else {
        return Array2::zeros((WINDOW, 0));
    };
    let ramp = |from: f32, step: usize| from * (half - step) as f32 / half as f32;
    let padded: Vec<f32> = (0..half)
        .map(|k| ramp(first, half - k))
        .chain(envelope.iter().copied())
        .chain((1..=half).map(|k| ramp(last, k)))
        .collect();

    let window = hann(WINDOW);
    let mut out = Array2::zeros((WINDOW, count));
    let mut frame = vec![0.0f64; WINDOW];
    let mut lags = vec![0.0f64; WINDOW];
    for n in 0..count {
        for ((x, v), w) in frame.iter_mut().zip(&padded[n..]).zip(&window) {
            *x = f64::from(*v) * f64::from(*w);
        }
        for (lag, sum) in lags.iter_mut().enumerate() {
            *sum = frame.iter().zip(&frame[lag..]).map(|(a, b)| a * b).sum();
        }
        let peak = lags.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        // An empty window stays zero, as librosa's `normalize` leaves what it cannot scale.
        let scale = if peak > f64::from(f32::MIN_POSITIVE) {
            1.0 / peak
        } else {
            1.0
        };
        for (to, from) in out.column_mut(n).iter_mut().zip(&lags) {
            *to = (from * scale) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_train_peaks_at_its_period() {
        let envelope: Vec<f32> = (0..400).map(|n| f32::from(n % 20 == 0)).collect();
        let gram = tempogram(&envelope);
        assert_eq!(gram.dim(), (WINDOW, 400));
        assert!((gram[[0, 200]] - 1.0).abs() < 1e-6);
        assert!(gram[[20, 200]] > 0.8 && gram[[10, 200]] < 1e-6);
        assert_eq!(tempogram(&[0.0; 3]), Array2::<f32>::zeros((WINDOW, 3)));
        assert_eq!(tempogram(&[]).dim(), (WINDOW, 0));
    }
}
