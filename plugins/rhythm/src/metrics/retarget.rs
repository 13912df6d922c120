// SPDX-License-Identifier: MPL-2.0
//! Smoothness of a retimed video, apart from whether it is aligned with its music.

use super::nearest;

/// Speeds between which motion looks natural.
const NATURAL: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// The figures of a retimed video.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Retiming {
    /// Median of the speeds, source over output.
    pub speed_p50: f64,
    /// 95 % of the speeds are no higher.
    pub speed_p95: f64,
    /// The highest speed.
    pub speed_max: f64,
    /// Share of the speeds outside 0.5 to 2, from 0 to 1.
    pub outside: f64,
    /// Longest time in seconds that a picture stays when it should have gone.
    pub freeze: f64,
    /// Output pictures that show the frame of the one before again.
    pub repeated: usize,
    /// Frames between the first and the last shown that are not shown.
    pub dropped: usize,
    /// Share of all frames of the source that are shown, from 0 to 1.
    pub retention: f64,
    /// Share of the output that shows what is within the source, from 0 to 1.
    pub coverage: f64,
}

/// Measures a retimed video: `shown` is the instant of the source, in seconds, that each output
/// picture is taken from, `tick` the seconds from one to the next, and `frames` are the instants of
/// the source's frames, ascending.
///
/// All figures are 0 without pictures or frames, or with a tick that is not positive.
#[must_use]
pub fn retiming(shown: &[f64], tick: f64, frames: &[f64]) -> Retiming {
    let (Some(&first), Some(&last)) = (frames.first(), frames.last()) else {
        return Retiming::default();
    };
    if shown.is_empty() || tick <= 0.0 || !tick.is_finite() {
        return Retiming::default();
    }
    let period = (last - first) / (frames.len() - 1).max(1) as f64;
    let inside = |time: &&f64| **time >= first - period && **time <= last + period;
    let covered = shown.iter().filter(inside).count();
    let indices: Vec<usize> = shown.iter().map(|&time| nearest(frames, time)).collect();
    let mut speeds: Vec<f64> = (shown.windows(2)).map(|w| (w[1] - w[0]) / tick).collect();
    speeds.sort_by(f64::total_cmp);
    let outside = (speeds.iter())
        .filter(|speed| !NATURAL.contains(*speed))
        .count();
    let mut run = 0;
    let mut result = Retiming {
        speed_p50: percentile(&speeds, 0.5),
        speed_p95: percentile(&speeds, 0.95),
        speed_max: speeds.last().copied().unwrap_or(0.0),
        outside: outside as f64 / speeds.len().max(1) as f64,
        coverage: covered as f64 / shown.len() as f64,
        ..Retiming::default()
    };
    let mut distinct = 1;
    for pair in indices.windows(2) {
        if pair[0] == pair[1] {
            result.repeated += 1;
            run += 1;
            result.freeze = result.freeze.max(f64::from(run) * tick);
        } else {
            distinct += 1;
            run = 0;
            result.dropped += pair[1].saturating_sub(pair[0] + 1);
        }
    }
    result.retention = f64::from(distinct) / frames.len() as f64;
    result
}

/// The value that a share of `sorted` does not exceed; 0 of nothing.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<f64> {
        (0..100).map(|n| f64::from(n) * 0.04).collect()
    }

    #[test]
    fn an_unchanged_video_keeps_everything() {
        let found = retiming(&frames(), 0.04, &frames());
        assert!((found.speed_p50 - 1.0).abs() < 1e-9 && (found.speed_max - 1.0).abs() < 1e-9);
        assert_eq!((found.repeated, found.dropped), (0, 0));
        assert_eq!((found.freeze, found.outside), (0.0, 0.0));
        assert!((found.retention - 1.0).abs() < 1e-9 && (found.coverage - 1.0).abs() < 1e-9);
    }

    #[test]
    fn freezes_and_leaps_are_seen() {
        // A frame that stays for three pictures more, then a leap of four frames, then past the
        // end.
        let mut shown = vec![0.0, 0.04, 0.04, 0.04, 0.04, 0.2];
        shown.extend([8.0, 8.04]);
        let found = retiming(&shown, 0.04, &frames());
        assert!((found.freeze - 0.12).abs() < 1e-9);
        assert_eq!((found.repeated, found.dropped), (4, 3 + 93));
        assert!((found.coverage - 0.75).abs() < 1e-9);
        assert!((found.retention - 0.04).abs() < 1e-9);
        assert!((found.outside - 5.0 / 7.0).abs() < 1e-9);
        assert_eq!(retiming(&[], 0.04, &frames()), Retiming::default());
        assert_eq!(retiming(&shown, 0.04, &[]), Retiming::default());
    }
}
