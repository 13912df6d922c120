// SPDX-License-Identifier: MPL-2.0
//! The period of a motion, by the autocorrelation of its stillness.

use super::envelope::RATE;

/// Centre of the tempo prior in beats a minute, and its standard deviation in octaves.
const USUAL: (f64, f64) = (125.0, 0.9);
/// Values that are slower than this many seconds are no rhythm.
const SLOW: f64 = 1.6;

/// How fast the beats of a motion are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tempo {
    /// Beats a minute.
    pub bpm: f64,
    /// Autocorrelation of the motion at one beat, 0 to 1.
    pub confidence: f64,
}

/// The tempo of a curve of [`RATE`] values a second within `[slowest, fastest]` beats a minute;
/// none where it is shorter than two periods of the slowest, or does not change.
pub(super) fn tempo(curve: &[f64], [slowest, fastest]: [f64; 2]) -> Option<Tempo> {
    let lag = |bpm: f64| 60.0 / bpm * RATE;
    let (first, last) = (lag(fastest).floor() as usize, lag(slowest).ceil() as usize);
    if first < 1 || curve.len() < 2 * last {
        return None;
    }
    let curve = high_pass(curve);
    let energy: f64 = curve.iter().map(|v| v * v).sum();
    if energy <= 1e-9 {
        return None;
    }
    // As if as many values met at each lag.
    let alike = |lag: usize| -> f64 {
        let sum: f64 = curve
            .iter()
            .zip(curve.iter().skip(lag))
            .map(|(a, b)| a * b)
            .sum();
        sum / energy * curve.len() as f64 / (curve.len() - lag) as f64
    };
    let values: Vec<f64> = (first - 1..=last + 1).map(alike).collect();
    let likely = |n: usize| {
        let octaves = (60.0 * RATE / (first - 1 + n) as f64 / USUAL.0).log2();
        (-0.5 * (octaves / USUAL.1).powi(2)).exp()
    };
    let inner = 1..values.len() - 1;
    let best = inner
        .filter(|&n| values[n] >= values[n - 1] && values[n] >= values[n + 1] && values[n] > 0.0)
        .max_by(|&a, &b| (values[a] * likely(a)).total_cmp(&(values[b] * likely(b))))?;
    let [before, here, after] = [values[best - 1], values[best], values[best + 1]];
    let bend = before - 2.0 * here + after;
    let off = if bend < 0.0 {
        0.5 * (before - after) / bend
    } else {
        0.0
    };
    let lag = (first - 1 + best) as f64 + off;
    Some(Tempo {
        bpm: (60.0 * RATE / lag).clamp(slowest, fastest),
        confidence: here.clamp(0.0, 1.0),
    })
}

/// Less the mean of the values around, [`SLOW`] seconds.
fn high_pass(curve: &[f64]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(curve.len() + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    for value in curve {
        sum += value;
        sums.push(sum);
    }
    let reach = (0.5 * SLOW * RATE) as usize;
    let mean = |n: usize| {
        let (start, end) = (n.saturating_sub(reach), (n + reach + 1).min(curve.len()));
        (sums[end] - sums[start]) / (end - start) as f64
    };
    curve
        .iter()
        .enumerate()
        .map(|(n, value)| value - mean(n))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_a_wave_is_found_within_a_percent() {
        for bpm in [62.0, 97.3, 120.0, 171.5] {
            let curve: Vec<f64> = (0..800)
                .map(|n| {
                    let beats = f64::from(n) / RATE * bpm / 60.0;
                    // On a slope, which is no rhythm.
                    (std::f64::consts::TAU * beats).cos().powi(5) + 0.002 * f64::from(n)
                })
                .collect();
            let found = tempo(&curve, [55.0, 215.0]).unwrap();
            assert!((found.bpm / bpm - 1.0).abs() < 0.01, "{bpm}: {found:?}");
            assert!(found.confidence > 0.7, "{bpm}: {found:?}");
        }
    }

    #[test]
    fn noise_and_stillness_have_none_to_speak_of() {
        assert_eq!(tempo(&[1.0; 800], [55.0, 215.0]), None);
        assert_eq!(tempo(&[1.0; 100], [55.0, 215.0]), None);
        let mut state = 1u32;
        let noise: Vec<f64> = (0..800)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state >> 8) / f64::from(1 << 24)
            })
            .collect();
        let found = tempo(&noise, [55.0, 215.0]);
        assert!(found.is_none_or(|t| t.confidence < 0.25), "{found:?}");
    }
}
