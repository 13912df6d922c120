// SPDX-License-Identifier: MPL-2.0
//! Picking onsets from an onset function.

use std::collections::VecDeque;

/// Parameters of peak picking, in frames; the threshold in units of the onset function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// A peak is the maximum of this many frames before it …
    pub pre_max: usize,
    /// … and, with itself, of this many from it on (≥ 1).
    pub post_max: usize,
    /// It is at least the mean of this many frames before it …
    pub pre_avg: usize,
    /// … and, with itself, of this many from it on (≥ 1) …
    pub post_avg: usize,
    /// … plus this.
    pub delta: f32,
    /// After a peak this many frames are passed over.
    pub wait: usize,
}

impl Params {
    /// The defaults of librosa's `onset_detect` for `frame_rate` frames a second.
    pub fn librosa(frame_rate: f64) -> Self {
        let frames = |seconds: f64| (seconds * frame_rate).floor() as usize;
        Self {
            pre_max: frames(0.03),
            post_max: 1,
            pre_avg: frames(0.10),
            post_avg: frames(0.10) + 1,
            delta: 0.07,
            wait: frames(0.03),
        }
    }

    /// Frames after a peak that must be known before it can be decided on.
    pub fn look_ahead(&self) -> usize {
        self.post_max.max(self.post_avg).saturating_sub(1)
    }

    /// Frames before a peak that must still be known.
    fn look_back(&self) -> usize {
        self.pre_max.max(self.pre_avg)
    }

    /// Whether the value at `at` is a peak of `values`, cut off at both ends.
    fn peak(&self, values: impl Fn(usize) -> f32, len: usize, at: usize) -> bool {
        let value = values(at);
        let mut maximum =
            (at.saturating_sub(self.pre_max)..len.min(at + self.post_max)).map(&values);
        if maximum.any(|v| v > value) {
            return false;
        }
        let around = at.saturating_sub(self.pre_avg)..len.min(at + self.post_avg);
        let count = around.len().max(1) as f32;
        value >= around.map(&values).sum::<f32>() / count + self.delta
    }
}

/// The peaks of `values` (Böck, Krebs, Schedl, ISMIR 2012; the rules of librosa's `peak_pick`):
/// indices, ascending.
pub fn peak_pick(values: &[f32], params: &Params) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut n = 0;
    while n < values.len() {
        if params.peak(|k| values[k], values.len(), n) {
            peaks.push(n);
            n += params.wait;
        }
        n += 1;
    }
    peaks
}

/// [`peak_pick`] over a stream: each frame is decided on as soon as its look-ahead is there.
pub struct StreamPicker {
    params: Params,
    values: VecDeque<f32>,
    /// Frames to pass over.
    skip: usize,
    /// Frames that were decided on.
    decided: u64,
    /// Index in `values` of the next frame to decide on.
    at: usize,
}

impl StreamPicker {
    /// At the start of a stream.
    pub fn new(params: Params) -> Self {
        let span = params.look_back() + params.look_ahead() + 2;
        Self {
            params,
            values: VecDeque::with_capacity(span),
            skip: 0,
            decided: 0,
            at: 0,
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.values.clear();
        (self.skip, self.decided, self.at) = (0, 0, 0);
    }

    /// Takes the next value, in a unit of which `scale` is 1. Returns the index and the value of
    /// the peak that the frame [`Params::look_ahead`] frames ago was, if it was one.
    pub fn next(&mut self, value: f32, scale: f32) -> Option<(u64, f32)> {
        self.values.push_back(value);
        if self.values.len() <= self.at + self.params.look_ahead() {
            return None;
        }
        self.decide(scale)
    }

    /// Decides on the next frame with what is there; `None` as well when all were decided on, see
    /// [`Self::pending`].
    pub fn decide(&mut self, scale: f32) -> Option<(u64, f32)> {
        let n = self.decided;
        let value = *self.values.get(self.at)?;
        let params = Params {
            delta: self.params.delta * scale,
            ..self.params
        };
        let found = if self.skip > 0 {
            self.skip -= 1;
            false
        } else {
            params.peak(|k| self.values[k], self.values.len(), self.at)
        };
        self.decided += 1;
        if self.at == self.params.look_back() {
            self.values.pop_front();
        } else {
            self.at += 1;
        }
        if !found {
            return None;
        }
        self.skip = self.params.wait;
        Some((n, value))
    }

    /// Frames that were received but not decided on yet.
    pub fn pending(&self) -> usize {
        self.values.len() - self.at
    }
}

/// The causal picker of [`super::superflux`]: reports in the frame in which the function first
/// rises above its threshold, without waiting for the maximum.
pub struct Trigger {
    /// The newest value last.
    values: [f32; Self::MEAN + 1],
    since: usize,
}

impl Trigger {
    /// Frames before the present one whose mean is the local level.
    const MEAN: usize = 10;
    /// Frames before the present one that it must exceed, and for which a report holds.
    const COMBINE: usize = 3;
    /// The value exceeds the local mean by this factor and `delta` more.
    pub(super) const FACTOR: f32 = 1.7;

    /// Before the first value the function counts as zero.
    pub fn new() -> Self {
        Self {
            values: [0.0; Self::MEAN + 1],
            since: usize::MAX,
        }
    }

    /// Takes the next value; returns by how much it exceeds the local mean if it is an onset.
    pub fn next(&mut self, value: f32, delta: f32) -> Option<f32> {
        self.values.rotate_left(1);
        self.values[Self::MEAN] = value;
        self.since = self.since.saturating_add(1);
        let before = &self.values[..Self::MEAN];
        let mean = before.iter().sum::<f32>() / Self::MEAN as f32;
        let maximum = before[Self::MEAN - Self::COMBINE..]
            .iter()
            .fold(0.0f32, |m, &v| m.max(v));
        let onset = value >= Self::FACTOR * mean + delta && value >= maximum;
        if !onset || self.since <= Self::COMBINE {
            return None;
        }
        self.since = 0;
        Some(value - mean)
    }
}

impl Default for Trigger {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence() -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..500).map(|_| next() * next()).collect()
    }

    #[test]
    fn the_stream_finds_what_the_whole_finds() {
        let values = sequence();
        for frame_rate in [22_050.0 / 512.0, 100.0] {
            let params = Params::librosa(frame_rate);
            let mut picker = StreamPicker::new(params);
            let mut peaks = Vec::new();
            for &v in &values {
                peaks.extend(picker.next(v, 1.0).map(|(n, _)| n as usize));
            }
            while picker.pending() > 0 {
                peaks.extend(picker.decide(1.0).map(|(n, _)| n as usize));
            }
            assert!(peaks.len() > 20);
            assert_eq!(peaks, peak_pick(&values, &params));
        }
    }

    #[test]
    fn a_trigger_reports_a_rise_once_and_at_once() {
        let mut trigger = Trigger::new();
        let mut seen = Vec::new();
        for n in 0..60 {
            let value = match n {
                20 => 0.2,
                21 => 0.5,
                22 => 0.3,
                40 => 0.01,
                _ => 0.0,
            };
            if trigger.next(value, 0.014).is_some() {
                seen.push(n);
            }
        }
        assert_eq!(seen, [20]);
    }

    #[test]
    fn a_trigger_combines_three_frames_and_no_more() {
        let count = |apart: usize| {
            let mut trigger = Trigger::new();
            (0..60)
                .filter(|n| {
                    let value = if *n == 20 || *n == 20 + apart {
                        0.5
                    } else {
                        0.0
                    };
                    trigger.next(value, 0.014).is_some()
                })
                .count()
        };
        assert_eq!((count(3), count(4)), (1, 2));
    }

    #[test]
    fn a_trigger_needs_its_threshold_over_the_local_mean() {
        // A level of 0.1 for long: the threshold is 1.7 · 0.1 + delta.
        let rises = |value: f32| {
            let mut trigger = Trigger::new();
            let steady = (0..50).filter(|n| trigger.next(0.1, 0.05).is_some() && *n > 0);
            assert_eq!(steady.count(), 0);
            trigger.next(value, 0.05)
        };
        assert_eq!(rises(0.21), None);
        let excess = rises(0.23).unwrap();
        assert!((excess - 0.13).abs() < 1e-6, "{excess}");
        // Nor is it an onset while the function falls.
        let mut trigger = Trigger::new();
        let seen: Vec<usize> = (0..30)
            .filter(|&n| {
                let value = if n < 10 { 0.0 } else { 1.0 - 0.01 * n as f32 };
                trigger.next(value, 0.014).is_some()
            })
            .collect();
        assert_eq!(seen, [10]);
    }

    #[test]
    fn peaks_obey_each_parameter() {
        let params = Params {
            pre_max: 2,
            post_max: 3,
            pre_avg: 2,
            post_avg: 2,
            delta: 0.5,
            wait: 3,
        };
        assert_eq!((params.look_ahead(), params.look_back()), (2, 2));
        let at = |marks: &[(usize, f32)]| {
            let mut values = vec![0.0; 20];
            for &(n, value) in marks {
                values[n] = value;
            }
            peak_pick(&values, &params)
        };
        assert_eq!(at(&[(8, 1.0)]), [8]);
        // Not the maximum of what is before or after it.
        assert_eq!(at(&[(6, 1.2), (8, 1.0)]), [6]);
        assert_eq!(at(&[(8, 1.0), (10, 1.2)]), [10]);
        assert_eq!(at(&[(8, 1.0), (11, 1.2)]), [8]);
        // The mean over two before, itself and one after, plus delta: 0.25 + 0.5.
        assert!(at(&[(8, 0.66)]).is_empty());
        assert_eq!(at(&[(8, 0.67)]), [8]);
        // Passed over while it waits.
        assert_eq!(at(&[(4, 1.0), (7, 1.0), (8, 1.0)]), [4, 8]);
    }
}
