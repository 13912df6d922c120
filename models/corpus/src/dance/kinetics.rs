// SPDX-License-Identifier: MPL-2.0
//! The rhythm of a motion: how fast a body moves, and where it comes to rest or turns round.

use super::skeleton::{Figure, Pose};

/// Samples a second of speeds.
pub const RATE: f64 = 100.0;
/// Deviation in seconds of the Gaussian that speeds are smoothed with.
const SMOOTH: f64 = 0.025;
/// A minimum lies this much deeper than what is around it, as a share of the 90th percentile.
const PROMINENCE: f32 = 0.15;

/// Mean speed of the joints in metres a second, [`RATE`] times a second from `start` to `end`.
pub fn speeds(figure: &Figure, pose: &dyn Fn(f64) -> Pose, start: f64, end: f64) -> Vec<f32> {
    let count = ((end - start) * RATE).ceil().max(1.0) as usize + 1;
    let joints = |n: usize| figure.joints(&pose(start + n as f64 / RATE));
    let mut last = joints(0);
    let mut raw = Vec::with_capacity(count);
    for n in 1..=count {
        let now = joints(n);
        let moved: f32 = now.iter().zip(&last).map(|(a, b)| a.distance(*b)).sum();
        raw.push(moved / last.len() as f32 * RATE as f32);
        last = now;
    }
    smooth(&raw, SMOOTH * RATE)
}

/// Smooths with a Gaussian of `deviation` samples.
pub fn smooth(raw: &[f32], deviation: f64) -> Vec<f32> {
    let reach = (3.0 * deviation).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach)
        .map(|k| (-0.5 * (k as f64 / deviation).powi(2)).exp() as f32)
        .collect();
    let at = |n: isize| raw[n.clamp(0, raw.len() as isize - 1) as usize];
    let whole: f32 = kernel.iter().sum();
    (0..raw.len() as isize)
        .map(|n| {
            let parts = kernel.iter().zip(-reach..=reach);
            parts.map(|(w, k)| w * at(n + k)).sum::<f32>() / whole
        })
        .collect()
}

/// Numbers of the samples at which a curve has a minimum that stands out.
pub fn minima(curve: &[f32]) -> Vec<usize> {
    let mut sorted = curve.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(&high) = sorted.get(sorted.len() * 9 / 10) else {
        return Vec::new();
    };
    let depth = PROMINENCE * high;
    let (mut out, mut lowest, mut highest) = (Vec::new(), 0usize, 0usize);
    // Down by `depth` from a maximum, then up by it from the minimum.
    let mut falling = false;
    for n in 1..curve.len() {
        if falling {
            if curve[n] < curve[lowest] {
                lowest = n;
            } else if curve[n] > curve[lowest] + depth {
                out.push(lowest);
                falling = false;
                highest = n;
            }
        } else if curve[n] > curve[highest] {
            highest = n;
        } else if curve[n] < curve[highest] - depth {
            falling = true;
            lowest = n;
        }
    }
    out
}

/// Share of `times` within `window` seconds of any of `beats`; none without times.
pub fn hits(times: &[f64], beats: &[f64], window: f64) -> Option<f64> {
    let near = |t: &&f64| beats.iter().any(|b| (*t - b).abs() <= window);
    let count = times.iter().filter(near).count();
    (!times.is_empty()).then(|| count as f64 / times.len() as f64)
}

/// The mean of [`hits`] over all circular shifts of `times` within `length` seconds: what chance
/// scores with the same numbers of both.
pub fn null(times: &[f64], beats: &[f64], window: f64, length: f64) -> Option<f64> {
    // Many and a prime: shifts must not fall in with the beats.
    const SHIFTS: usize = 251;
    let mut sum = 0.0;
    for k in 0..SHIFTS {
        let by = (k as f64 + 0.5) / SHIFTS as f64 * length;
        let moved: Vec<f64> = times.iter().map(|t| (t + by).rem_euclid(length)).collect();
        sum += hits(&moved, beats, window)?;
    }
    Some(sum / SHIFTS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_stand_out_and_chance_is_what_it_is() {
        let curve: Vec<f32> = (0..400)
            .map(|n| {
                let t = n as f32 / 100.0;
                // Two minima a second, and a ripple that is none.
                1.0 - (std::f32::consts::TAU * 2.0 * t).cos() + 0.03 * (70.0 * t).sin()
            })
            .collect();
        let found = minima(&smooth(&curve, 2.0));
        let times: Vec<f64> = found.iter().map(|&n| n as f64 / 100.0).collect();
        assert_eq!(times.len(), 7, "{times:?}");
        let beats: Vec<f64> = (1..8).map(|k| 0.5 * f64::from(k)).collect();
        assert_eq!(hits(&times, &beats, 0.05), Some(1.0));
        let chance = null(&times, &beats, 0.05, 4.0).unwrap();
        // Seven windows of 0.1 s in 4 s.
        assert!((chance - 0.175).abs() < 0.02, "{chance}");
        assert_eq!(hits(&[], &beats, 0.05), None);
    }
}
