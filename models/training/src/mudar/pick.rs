// SPDX-License-Identifier: MPL-2.0
//! Marks from the probability of a visual beat, and what chance would score.

use dance_rhythm::metrics::f_measure;

/// A mark is right within so many seconds.
pub const WINDOW: f64 = 0.1;
/// The least probability of a mark.
pub const THRESHOLD: f32 = 0.3;
/// Marks are not closer than this, in seconds.
const GAP: f64 = 0.2;

/// Local maxima of at least `threshold`: the place between frames, by a parabola through the three around it, and the
/// probability.
#[must_use]
pub fn peaks(values: &[f32], threshold: f32) -> Vec<(f64, f32)> {
    let at = |n: usize| values.get(n).copied().unwrap_or(0.0);
    (0..values.len())
        .filter(|&n| at(n) >= threshold && at(n) >= at(n.wrapping_sub(1)) && at(n) > at(n + 1))
        .map(|n| {
            let (a, b, c) = (at(n.wrapping_sub(1)), at(n), at(n + 1));
            let bend = f64::from(a - 2.0 * b + c);
            let off = if bend < -1e-6 {
                (f64::from(a - c) / (2.0 * bend)).clamp(-0.5, 0.5)
            } else {
                0.0
            };
            (n as f64 + off, b)
        })
        .collect()
}

/// The times of peaks in seconds and their probability, the larger of two that are too close.
#[must_use]
pub fn marks(peaks: &[(f64, f32)], fps: f64) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for &(place, value) in peaks {
        let mark = (place / fps, f64::from(value));
        match kept.last_mut() {
            Some(last) if mark.0 - last.0 < GAP => {
                if mark.1 > last.1 {
                    *last = mark;
                }
            }
            _ => kept.push(mark),
        }
    }
    kept
}

/// The times of peaks in seconds, as [`marks`] keeps them.
#[must_use]
pub fn times(peaks: &[(f64, f32)], fps: f64) -> Vec<f64> {
    marks(peaks, fps).into_iter().map(|mark| mark.0).collect()
}

/// The times of the labels that are 1.
pub fn exact(labels: impl Iterator<Item = f32>, fps: f64) -> Vec<f64> {
    labels
        .enumerate()
        .filter(|(_, label)| *label > 0.9)
        .map(|(n, _)| n as f64 / fps)
        .collect()
}

/// The mean F of the marks shifted in a circle of `seconds`, by tenths of it.
#[must_use]
pub fn chance(truth: &[f64], found: &[f64], seconds: f64) -> f64 {
    let shifts = 1..10;
    let count = shifts.len() as f64;
    let sum: f64 = shifts
        .map(|k| {
            let by = seconds * f64::from(k) / 10.0;
            let mut moved: Vec<f64> = found.iter().map(|t| (t + by).rem_euclid(seconds)).collect();
            moved.sort_by(f64::total_cmp);
            f_measure(truth, &moved, WINDOW).f
        })
        .sum();
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_lie_between_frames_and_apart() {
        let values = [0.0, 0.2, 0.8, 0.8, 0.1, 0.0, 0.4, 0.0, 0.9, 0.0];
        let found = peaks(&values, 0.3);
        assert_eq!(found.len(), 3);
        assert!((found[0].0 - 2.5).abs() < 0.3, "{found:?}");
        let times = times(&found, 20.0);
        assert_eq!(times.len(), 2);
        assert!((times[1] - 0.4).abs() < 0.01, "{times:?}");
        let even: Vec<f64> = (0..10).map(f64::from).collect();
        assert!(chance(&even, &even, 10.0) > 0.99);
        let truth = [0.5, 1.7, 3.1, 4.2, 6.9, 8.0];
        assert!(chance(&truth, &truth, 10.0) < 0.5);
    }
}
