// SPDX-License-Identifier: MPL-2.0
//! How well the beats of a motion lie on those of a music, against chance.
//!
//! Dances move so often that some movement is near any beat: a hit rate means nothing without what
//! the same beats score when they are slid past the music, their circular-shift null. In all
//! functions times are seconds and ascending.

use super::nearest;

/// The narrower window in seconds in which a beat is hit.
pub const NARROW: f64 = 0.05;
/// The wider window in seconds in which a beat is hit.
pub const WIDE: f64 = 0.1;
/// The largest offset between music and motion, in seconds, that [`offset`] searches.
pub const FARTHEST: f64 = 0.5;

/// Shifts of a null. Many, and a prime, so that they do not fall in with the beats.
const SHIFTS: usize = 251;
/// Half the width of the window in which [`offset`] counts differences as equal, in seconds.
const ALIKE: f64 = 0.05;
/// The share of its pairs that a difference loses that is the farthest.
const FAR: f64 = 0.2;

/// The share of `reference` with one of `estimate` within ± `window` seconds, the ends included;
/// none without `reference`.
#[must_use]
pub fn hit_rate(reference: &[f64], estimate: &[f64], window: f64) -> Option<f64> {
    let hits = differences(reference, estimate).filter(|d| d.abs() <= window);
    share(hits.count(), reference.len())
}

/// The mean of a score over circular shifts of `estimate` within `span`, from its start to its end
/// in seconds; none where the span is empty or the score is none.
///
/// Times outside of the span come back into it, as if it were wound up on a circle.
#[must_use]
pub fn shift_null(
    estimate: &[f64],
    span: [f64; 2],
    score: impl Fn(&[f64]) -> Option<f64>,
) -> Option<f64> {
    let [start, end] = span;
    let length = end - start;
    // Not so for a span that is not a number either.
    if length.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return None;
    }
    let mut sum = 0.0;
    let mut moved = Vec::with_capacity(estimate.len());
    for k in 0..SHIFTS {
        let by = (k as f64 + 0.5) / SHIFTS as f64 * length - start;
        moved.clear();
        moved.extend(estimate.iter().map(|t| (t + by).rem_euclid(length) + start));
        moved.sort_by(f64::total_cmp);
        sum += score(&moved)?;
    }
    Some(sum / SHIFTS as f64)
}

/// By how many seconds `estimate` is late against `reference`: the difference that most pairs of
/// the two have, give or take 50 ms, within ± `farthest`; of those that nearly as many have, that
/// which is nearest to 0. None where no pair is so near.
#[must_use]
pub fn offset(reference: &[f64], estimate: &[f64], farthest: f64) -> Option<f64> {
    let mut pairs: Vec<f64> = Vec::new();
    for &time in reference {
        let first = estimate.partition_point(|&t| t < time - farthest);
        let near = estimate.iter().skip(first);
        pairs.extend(
            near.take_while(|&&t| t <= time + farthest)
                .map(|&t| t - time),
        );
    }
    pairs.sort_by(f64::total_cmp);
    let around = |centre: f64| {
        let first = pairs.partition_point(|&d| d < centre - ALIKE);
        let end = pairs.partition_point(|&d| d <= centre + ALIKE);
        pairs.get(first..end).unwrap_or_default()
    };
    // The weight falls to 0 at the edges, so that a window is not chosen for what it just includes.
    let weight = |centre: f64| -> f64 {
        let alike = around(centre)
            .iter()
            .map(|d| 1.0 - (d - centre).abs() / ALIKE);
        // Beats repeat, and a difference of one more is as frequent but for the ends.
        (1.0 - FAR * centre.abs() / farthest) * alike.sum::<f64>()
    };
    let best = pairs.iter().copied().max_by(|&a, &b| {
        let by_weight = weight(a).total_cmp(&weight(b));
        by_weight.then(b.abs().total_cmp(&a.abs()))
    })?;
    let alike = around(best);
    Some(alike.iter().sum::<f64>() / alike.len() as f64)
}

/// How far apart two series of beats are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Mean |Δt| in seconds.
    pub mean: f64,
    /// 95 % of |Δt| are at most this, in seconds.
    pub p95: f64,
}

/// |Δt| from each of `reference` to the nearest of `estimate`, however far; none where either is empty.
#[must_use]
pub fn distance(reference: &[f64], estimate: &[f64]) -> Option<Distance> {
    let mut apart: Vec<f64> = differences(reference, estimate).map(f64::abs).collect();
    apart.sort_by(f64::total_cmp);
    let rank = (0.95 * apart.len() as f64).ceil() as usize;
    let p95 = *apart.get(rank.saturating_sub(1))?;
    let mean = apart.iter().sum::<f64>() / apart.len() as f64;
    Some(Distance { mean, p95 })
}

/// How the beats of a motion lie on those of a music.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// Beats of the music.
    pub music: usize,
    /// Beats of the motion.
    pub motion: usize,
    /// By how many seconds the motion is late, as [`offset`] within ± [`FARTHEST`]; none where
    /// nothing is near.
    pub offset: Option<f64>,
    /// [`hit_rate`] of the music's beats within [`NARROW`] and [`WIDE`].
    pub hits: [f64; 2],
    /// [`shift_null`] of either.
    pub null: [f64; 2],
    /// From each beat of the music to the nearest of the motion.
    pub distance: Distance,
}

impl Alignment {
    /// Of the beats within `span`, from its start to its end in seconds; none without any of the
    /// music or of the motion in it.
    #[must_use]
    pub fn new(music: &[f64], motion: &[f64], span: [f64; 2]) -> Option<Self> {
        let [music, motion] = [music, motion].map(|times| {
            let first = times.partition_point(|&t| t < span[0]);
            let end = times.partition_point(|&t| t < span[1]);
            times.get(first..end).unwrap_or_default()
        });
        let distance = distance(music, motion)?;
        let mut hits = [0.0; 2];
        let mut null = [0.0; 2];
        for (n, window) in [NARROW, WIDE].into_iter().enumerate() {
            hits[n] = hit_rate(music, motion, window)?;
            null[n] = shift_null(motion, span, |motion| hit_rate(music, motion, window))?;
        }
        Some(Self {
            music: music.len(),
            motion: motion.len(),
            offset: offset(music, motion, FARTHEST),
            hits,
            null,
            distance,
        })
    }
}

/// From each of `reference` to the nearest of `estimate`; nothing without any.
fn differences<'a>(
    reference: &'a [f64],
    estimate: &'a [f64],
) -> impl Iterator<Item = f64> + use<'a> {
    let to_nearest = |time: &f64| Some(estimate.get(nearest(estimate, *time))? - time);
    reference.iter().filter_map(to_nearest)
}

fn share(count: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(period: f64, count: usize, from: f64) -> Vec<f64> {
        (0..count).map(|n| from + period * n as f64).collect()
    }

    #[test]
    fn hits_are_counted_by_the_reference() {
        let music = [1.0, 2.0, 3.0, 4.0];
        let dance = [0.95, 1.04, 2.2, 4.1];
        assert_eq!(hit_rate(&music, &dance, NARROW), Some(0.25));
        assert_eq!(hit_rate(&music, &dance, 0.11), Some(0.5));
        assert_eq!(hit_rate(&dance, &music, NARROW + 1e-9), Some(0.5));
        assert_eq!(hit_rate(&[], &dance, NARROW), None);
        assert_eq!(hit_rate(&music, &[], NARROW), Some(0.0));
    }

    #[test]
    fn chance_hits_as_much_as_windows_cover() {
        let music = every(0.5, 40, 10.0);
        let dance = every(0.5, 40, 10.02);
        let chance = shift_null(&dance, [10.0, 30.0], |d| hit_rate(&music, d, 0.05)).unwrap();
        // Two windows of 0.05 s in 0.5 s.
        assert!((chance - 0.2).abs() < 0.01, "{chance}");
        // Where all that could be hit is hit, there is no lift.
        let dense = every(0.05, 400, 10.0);
        let chance = shift_null(&dense, [10.0, 30.0], |d| hit_rate(&music, d, 0.05)).unwrap();
        assert!(chance > 0.99, "{chance}");
        assert_eq!(shift_null(&dance, [1.0, 1.0], |_| Some(1.0)), None);
        assert_eq!(shift_null(&dance, [1.0, f64::NAN], |_| Some(1.0)), None);
    }

    #[test]
    fn the_offset_is_that_of_most_pairs() {
        let music = every(0.5, 40, 0.0);
        // Late by 80 ms, jitter around it, every third left out, some at random.
        let mut dance: Vec<f64> = (0..40)
            .filter(|n| n % 3 != 0)
            .map(|n| 0.5 * n as f64 + 0.08 + [0.01, -0.01][n % 2])
            .collect();
        dance.extend([1.71, 4.33, 9.97]);
        dance.sort_by(f64::total_cmp);
        let found = offset(&music, &dance, 0.25).unwrap();
        assert!((found - 0.08).abs() < 0.004, "{found}");
        let late: Vec<f64> = music.iter().map(|t| t - 0.2).collect();
        let found = offset(&music, &late, 0.24).unwrap();
        assert!((found + 0.2).abs() < 1e-9, "{found}");
        // A whole beat off is as good as none: the nearest counts.
        let found = offset(&music, &music, 0.6).unwrap();
        assert!(found.abs() < 1e-9, "{found}");
        assert_eq!(offset(&music, &[], 0.25), None);
        assert_eq!(offset(&[0.0], &[5.0], 0.25), None);
    }

    #[test]
    fn distances_are_to_the_nearest() {
        let music = every(1.0, 20, 0.0);
        let mut dance = music.clone();
        dance[3] += 0.3;
        let found = distance(&music, &dance).unwrap();
        assert!((found.mean - 0.3 / 20.0).abs() < 1e-12);
        assert_eq!(found.p95, 0.0);
        dance[7] -= 0.2;
        assert!((distance(&music, &dance).unwrap().p95 - 0.2).abs() < 1e-12);
        assert_eq!(distance(&[], &dance), None);
        assert_eq!(distance(&music, &[]), None);
    }

    #[test]
    fn an_alignment_is_of_what_lies_in_the_span() {
        let music = every(0.5, 100, 0.0);
        let dance = every(0.5, 100, 0.04);
        let found = Alignment::new(&music, &dance, [10.0, 20.0]).unwrap();
        assert_eq!((found.music, found.motion), (20, 20));
        assert_eq!(found.hits, [1.0, 1.0]);
        assert!((found.null[0] - 0.2).abs() < 0.02 && (found.null[1] - 0.4).abs() < 0.02);
        assert!((found.offset.unwrap() - 0.04).abs() < 1e-9);
        assert!((found.distance.mean - 0.04).abs() < 1e-9);
        assert_eq!(Alignment::new(&music, &dance, [60.0, 70.0]), None);
        assert_eq!(Alignment::new(&music, &[], [0.0, 10.0]), None);
    }
}
