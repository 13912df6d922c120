// SPDX-License-Identifier: MPL-2.0
//! Picking the instants of rest from the curve of stillness.

use std::collections::VecDeque;

/// How a peak is reported from a ripple.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// A peak is so much above what is before it.
    pub rise: f64,
    /// It is complete when the curve is so much below it again …
    pub fall: f64,
    /// … or so many values after the peak's beginning.
    pub wait: i64,
    /// A peak begins where the curve is so much below its highest value: what rests began to.
    pub flat: f64,
}

/// A peak of the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// Number of the value at which it begins.
    pub at: i64,
    /// How much it is above what is before it.
    pub depth: f64,
}

/// Values that are kept for the beginning of a peak.
const KEPT: usize = 100;

/// Finds peaks as the values come.
#[derive(Debug, Default)]
pub(super) struct Picker {
    /// The lowest value since the last peak.
    low: Option<f64>,
    /// The highest value since then, once it is high enough.
    high: Option<f64>,
    reported: bool,
    recent: VecDeque<(i64, f64)>,
}

impl Picker {
    /// Takes a value and its number; returns the peak that is complete with it.
    pub fn next(&mut self, at: i64, value: f64, rule: &Rule) -> Option<Peak> {
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back((at, value));
        let low = *self.low.get_or_insert(value);
        let Some(mut highest) = self.high else {
            if value > low + rule.rise {
                self.high = Some(value);
                self.reported = false;
            } else {
                self.low = Some(low.min(value));
            }
            return None;
        };
        if value > highest {
            highest = value;
            self.high = Some(value);
        }
        let mut found = None;
        if !self.reported {
            let peak = self.peak(highest, low, rule);
            self.reported = value < highest - rule.fall || at - peak.at >= rule.wait;
            found = self.reported.then_some(peak);
        }
        if value < highest - rule.rise.max(rule.fall) {
            self.low = Some(value);
            self.high = None;
        }
        found
    }

    /// The peak that was not complete when the values ended; what was still rising is none.
    pub fn finish(&mut self, rule: &Rule) -> Option<Peak> {
        let highest = self.high.take()?;
        let low = self.low.take()?;
        let (end, _) = *self.recent.back()?;
        let peak = self.peak(highest, low, rule);
        (!self.reported && peak.at < end).then_some(peak)
    }

    fn peak(&self, highest: f64, low: f64, rule: &Rule) -> Peak {
        let is_highest = |&&(_, value): &&(i64, f64)| value < highest;
        let flat = |&&(_, value): &&(i64, f64)| value >= highest - rule.flat;
        // A report is never older than `wait`, also after a slow rise.
        let newest = self
            .recent
            .iter()
            .rev()
            .take(rule.wait.unsigned_abs() as usize + 1);
        let before = newest.skip_while(is_highest);
        let first = before.take_while(flat).last();
        Peak {
            at: first.or(self.recent.back()).map_or(0, |(at, _)| *at),
            depth: highest - low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        rise: 0.5,
        fall: 0.5,
        wait: 12,
        flat: 0.1,
    };

    fn peaks(values: &[f64], rule: &Rule) -> Vec<(usize, Peak)> {
        let mut picker = Picker::default();
        let mut found = Vec::new();
        for (n, value) in values.iter().enumerate() {
            found.extend(picker.next(n as i64, *value, rule).map(|peak| (n, peak)));
        }
        found.extend(picker.finish(rule).map(|peak| (values.len(), peak)));
        found
    }

    /// Up to 1 from value 5 on, there until 30, and down.
    fn table() -> Vec<f64> {
        (0..40)
            .map(|n| if (5..30).contains(&n) { 1.0 } else { 0.0 })
            .collect()
    }

    #[test]
    fn a_rest_begins_when_it_begins() {
        let peak = Peak { at: 5, depth: 1.0 };
        assert_eq!(peaks(&table(), &RULE), [(17, peak)]);
        assert_eq!(peaks(&table()[..10], &RULE), [(10, peak)]);
        let slow = Rule { wait: 90, ..RULE };
        assert_eq!(peaks(&table(), &slow), [(30, peak)]);
    }

    #[test]
    fn ripples_are_no_peaks_and_every_peak_is_one() {
        let ripple: Vec<f64> = (0..200).map(|n| (0.5 * f64::from(n)).sin() * 0.2).collect();
        assert!(peaks(&ripple, &RULE).is_empty());
        let waves: Vec<f64> = (0..500)
            .map(|n| -(std::f64::consts::TAU * f64::from(n) / 50.0).cos() + ripple[n as usize % 25])
            .collect();
        assert_eq!(peaks(&waves, &RULE).len(), 10);
    }
}
