// SPDX-License-Identifier: MPL-2.0
//! How well events agree with the truth, as mir_eval defines it.
//!
//! C. Raffel et al., "mir_eval: A transparent implementation of common MIR metrics", ISMIR 2014;
//! for beats M. Davies, N. Degara, M. Plumbley, "Evaluation methods for musical audio beat
//! tracking algorithms", Queen Mary University of London, C4DM-TR-09-06, 2009.
//!
//! All times are in seconds and ascending; a list that is not gives a score without meaning, never
//! a panic.

pub mod alignment;
pub mod retarget;

/// Tolerance in seconds of an onset in [`f_measure`].
pub const ONSET_WINDOW: f64 = 0.05;
/// Tolerance in seconds of a beat in [`f_measure`].
pub const BEAT_WINDOW: f64 = 0.07;
/// Beats before this many seconds do not count: see [`trim`].
pub const FIRST_BEAT: f64 = 5.0;
/// Tolerance of [`continuity`], for both phase and period, as a share of the beat's interval.
const CONTINUITY: f64 = 0.175;

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FMeasure {
    /// 2 · precision · recall / (precision + recall).
    pub f: f64,
    /// Share of the estimates that are true.
    pub precision: f64,
    /// Share of the truth that was found.
    pub recall: f64,
}

/// Shares of a beat sequence that are continuously right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Continuity {
    /// Correct metrical level, the longest continuous stretch.
    pub cmlc: f64,
    /// Correct metrical level, all stretches together.
    pub cmlt: f64,
    /// The best of the levels allowed (as annotated, off-beat, double, half), longest stretch.
    pub amlc: f64,
    /// The best of the levels allowed, all stretches together.
    pub amlt: f64,
}

/// The times from `first` on (mir_eval's `trim_beats`).
pub fn trim(times: &[f64], first: f64) -> &[f64] {
    &times[times.partition_point(|&t| t < first)..]
}

/// Pairs (index in `reference`, index in `estimate`) of a largest one-to-one matching within
/// ± `window` seconds, the ends included.
///
/// Every estimate may be matched to an interval of references, and the intervals ascend with the
/// estimates; then taking the first free reference for each is as good as a general bipartite
/// matching.
pub fn matches(reference: &[f64], estimate: &[f64], window: f64) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut r = 0;
    for (e, &time) in estimate.iter().enumerate() {
        while r < reference.len() && reference[r] < time - window {
            r += 1;
        }
        if r < reference.len() && reference[r] <= time + window {
            pairs.push((r, e));
            r += 1;
        }
    }
    pairs
}

/// Precision, recall and F of events: mir_eval's `onset.f_measure` with [`ONSET_WINDOW`] and
/// `beat.f_measure` with [`BEAT_WINDOW`] (after [`trim`] to [`FIRST_BEAT`]). All 0 when either
/// list is empty.
pub fn f_measure(reference: &[f64], estimate: &[f64], window: f64) -> FMeasure {
    let hits = matches(reference, estimate, window).len() as f64;
    if hits == 0.0 {
        return FMeasure::default();
    }
    let precision = hits / estimate.len() as f64;
    let recall = hits / reference.len() as f64;
    FMeasure {
        f: 2.0 * precision * recall / (precision + recall),
        precision,
        recall,
    }
}

/// mir_eval's `beat.continuity` (apply [`trim`] to both lists first). All 0 when either list has
/// fewer than two beats.
pub fn continuity(reference: &[f64], estimate: &[f64]) -> Continuity {
    if reference.len() < 2 || estimate.len() < 2 {
        return Continuity::default();
    }
    let double: Vec<f64> = reference
        .windows(2)
        .flat_map(|pair| [pair[0], 0.5 * (pair[0] + pair[1])])
        .chain(reference.last().copied())
        .collect();
    let every_other = |times: &[f64], from: usize| -> Vec<f64> {
        times.iter().skip(from).step_by(2).copied().collect()
    };
    let (cmlc, cmlt) = at_level(reference, estimate);
    let mut best = Continuity {
        cmlc,
        cmlt,
        amlc: cmlc,
        amlt: cmlt,
    };
    for variation in [
        every_other(&double, 1),
        every_other(reference, 0),
        every_other(reference, 1),
        double,
    ] {
        let (longest, total) = at_level(&variation, estimate);
        best.amlc = best.amlc.max(longest);
        best.amlt = best.amlt.max(total);
    }
    best
}

/// Longest continuous and total share of `estimate` that is right against this one `reference`.
fn at_level(reference: &[f64], estimate: &[f64]) -> (f64, f64) {
    let mut used = vec![false; reference.len()];
    let (mut total, mut run, mut longest) = (0usize, 0usize, 0usize);
    for (m, &time) in estimate.iter().enumerate() {
        let n = nearest(reference, time);
        if !used[n] && is_right(reference, n, estimate, m) {
            used[n] = true;
            total += 1;
            run += 1;
            longest = longest.max(run);
        } else {
            run = 0;
        }
    }
    let count = reference.len().max(estimate.len()) as f64;
    (longest as f64 / count, total as f64 / count)
}

/// Whether estimate `m` fits reference `n` in phase and in period. The interval compared is the
/// one before, or the one after where there is none before.
fn is_right(reference: &[f64], n: usize, estimate: &[f64], m: usize) -> bool {
    let before = |times: &[f64], i: usize| (i > 0).then(|| times[i] - times[i - 1]);
    let after = |times: &[f64], i: usize| times.get(i + 1).map(|next| next - times[i]);
    let (of_reference, of_estimate) = if m == 0 || n == 0 {
        (
            after(reference, n).or_else(|| before(reference, n)),
            after(estimate, m).or_else(|| before(estimate, m)),
        )
    } else {
        (before(reference, n), before(estimate, m))
    };
    let (Some(of_reference), Some(of_estimate)) = (of_reference, of_estimate) else {
        return false;
    };
    if of_reference == 0.0 {
        return false;
    }
    let phase = ((estimate[m] - reference[n]) / of_reference).abs();
    let period = (1.0 - of_estimate / of_reference).abs();
    phase < CONTINUITY && period < CONTINUITY
}

/// Index of the element of `times` (not empty) closest to `time`, the earlier one of two.
pub(crate) fn nearest(times: &[f64], time: f64) -> usize {
    let after = times.partition_point(|&t| t < time);
    if after == 0 {
        return 0;
    }
    if after == times.len() || time - times[after - 1] <= times[after] - time {
        return after - 1;
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases and mir_eval's own figures, made by `fixtures/metrics.py`.
    const FIXTURES: &str = include_str!("../../tests/fixtures/metrics.json");

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        let list = value.as_array().unwrap();
        list.iter().map(|x| x.as_f64().unwrap()).collect()
    }

    #[test]
    fn agrees_with_mir_eval() {
        let cases: serde_json::Value = serde_json::from_str(FIXTURES).unwrap();
        let cases = cases["cases"].as_array().unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let reference = numbers(&case["reference"]);
            let estimate = numbers(&case["estimate"]);
            let check = |metric: &str, ours: f64| {
                let theirs = case[metric].as_f64().unwrap();
                assert!(
                    (ours - theirs).abs() < 1e-9,
                    "{name}: {metric} {ours}, mir_eval {theirs}"
                );
            };
            let onsets = f_measure(&reference, &estimate, ONSET_WINDOW);
            check("onset_f", onsets.f);
            check("onset_precision", onsets.precision);
            check("onset_recall", onsets.recall);
            check(
                "onset_f_25",
                f_measure(&reference, &estimate, ONSET_WINDOW / 2.0).f,
            );
            let reference = trim(&reference, FIRST_BEAT);
            let estimate = trim(&estimate, FIRST_BEAT);
            check("beat_f", f_measure(reference, estimate, BEAT_WINDOW).f);
            let scores = continuity(reference, estimate);
            check("cmlc", scores.cmlc);
            check("cmlt", scores.cmlt);
            check("amlc", scores.amlc);
            check("amlt", scores.amlt);
        }
    }

    #[test]
    fn empty_lists_score_nothing() {
        assert_eq!(f_measure(&[], &[1.0], 0.05), FMeasure::default());
        assert_eq!(f_measure(&[1.0], &[], 0.05), FMeasure::default());
        assert_eq!(continuity(&[1.0], &[1.0, 2.0]), Continuity::default());
    }
}
