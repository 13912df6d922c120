// SPDX-License-Identifier: MPL-2.0
//! From frames at any rate to two curves at [`RATE`]: how much moves, and how similar its
//! directions stay.

use std::collections::VecDeque;

use super::{Frame, FrameMotion};

/// Values a second of the curves.
pub(super) const RATE: f64 = 100.0;
/// Deviation in seconds of the Gaussian that they are smoothed with.
const SMOOTH: f64 = 0.04;
/// Values of the Gaussian to either side.
const REACH: usize = 10;
/// Seconds after which nothing is known any more of what was before.
pub(super) const LONGEST_GAP: f64 = 0.25;
/// Frames that repeat the one before for longer than this, in seconds, show something that rests;
/// within less they are a lower frame rate in a higher one.
const REST: f64 = 0.12;
/// The share of the speed in the measure of motion; that of what moves is 1. A network's errors are
/// far from normal, and single vectors that are wrong by much weigh little so.
const SPEED: f64 = 0.25;
/// The shortest time from frame to frame in seconds.
const SHORTEST: f64 = 1e-4;

/// One value of both curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Share of the picture that moves, times a power of its speed in pixels a second.
    pub motion: f64,
    /// Share of the motion that is the same in the frames before and after, 0 to 1.
    pub alike: f64,
}

/// Makes the curves, frame by frame.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    motion: Track,
    alike: Track,
    /// Of the last frame.
    time: Option<f64>,
    /// Of the frame that the next one is compared with in truth: the last that did not repeat
    /// another.
    since: f64,
    /// Motion a second by direction, of the last frame.
    histogram: Vec<f64>,
    /// Whether there is one.
    known: bool,
}

impl Envelope {
    /// Whether this frame does not follow on the last.
    pub fn is_gap(&self, time: f64) -> bool {
        self.time
            .is_some_and(|last| time <= last || time - last > LONGEST_GAP)
    }

    /// Takes the next frame, which must be no [gap](Self::is_gap).
    pub fn push(&mut self, frame: &Frame<'_>) {
        let last = self.time.replace(frame.time);
        match frame.motion {
            FrameMotion::Unknown => {
                self.known = false;
                self.since = frame.time;
            }
            FrameMotion::Repeated => {
                let since = last.map_or(frame.time, |_| self.since);
                if frame.time - since > REST {
                    self.motion.push(0.5 * (since + frame.time), 0.0);
                    // What rests does not turn.
                    self.alike.push(since.max(last.unwrap_or(since)), 1.0);
                    self.histogram.clear();
                    self.known = false;
                    // The next one lasts from here.
                    self.since = last.unwrap_or(frame.time);
                }
            }
            FrameMotion::Measured {
                interval,
                histogram,
                moving,
                foreground,
            } => {
                let own = frame.time - interval.clamp(SHORTEST, LONGEST_GAP);
                let start = last.map_or(own, |_| self.since);
                let interval = (frame.time - start).max(SHORTEST);
                let speed = (foreground / interval).max(0.0).powf(SPEED);
                self.motion
                    .push(0.5 * (start + frame.time), moving.max(0.0) * speed);
                if self.known && self.histogram.len() == histogram.len() {
                    self.alike.push(
                        start,
                        alike(
                            &self.histogram,
                            histogram.iter().map(|value| value / interval),
                        ),
                    );
                }
                self.histogram.clear();
                self.histogram
                    .extend(histogram.iter().map(|value| value / interval));
                self.known = true;
                self.since = frame.time;
            }
        }
    }

    /// Extends the curves with their last values, so that [`Self::next`] returns all that is known.
    pub fn finish(&mut self) {
        let end = |track: &Track| track.at + track.values.len() as i64;
        let end = end(&self.motion).max(end(&self.alike)) + REACH as i64;
        for track in [&mut self.motion, &mut self.alike] {
            if let Some(last) = track.values.back().copied() {
                let more = end - track.at - track.values.len() as i64;
                track.values.extend((0..more).map(|_| last));
            }
        }
    }

    /// Takes the next value of both curves that is known, and its number: values per second since
    /// 0.
    pub fn next(&mut self) -> Option<(i64, Point)> {
        // The curves begin at different values.
        let first = self.motion.at.max(self.alike.at);
        self.motion.skip_to(first);
        self.alike.skip_to(first);
        if self.motion.values.len() <= 2 * REACH || self.alike.values.len() <= 2 * REACH {
            return None;
        }
        let point = Point {
            motion: self.motion.smoothed(),
            alike: self.alike.smoothed(),
        };
        let at = self.motion.at + REACH as i64;
        self.motion.skip_to(first + 1);
        self.alike.skip_to(first + 1);
        Some((at, point))
    }
}

/// The share of two motions that they have in common, 0 to 1; 1 where there is none.
fn alike(before: &[f64], now: impl Iterator<Item = f64>) -> f64 {
    let (mut both, mut either) = (0.0, 0.0);
    for (a, b) in before.iter().zip(now) {
        both += a.min(b);
        either += a.max(b);
    }
    if either > 0.0 { both / either } else { 1.0 }
}

/// Values at any times, as values at [`RATE`] on straight lines between them.
#[derive(Debug, Default)]
struct Track {
    last: Option<(f64, f64)>,
    values: VecDeque<f64>,
    /// Number of the first value.
    at: i64,
}

impl Track {
    fn push(&mut self, time: f64, value: f64) {
        let Some((before, from)) = self.last.replace((time, value)) else {
            self.at = (time * RATE).ceil() as i64;
            return;
        };
        let mut next = self.at + self.values.len() as i64;
        // As far as LONGEST_GAP allows.
        while next as f64 / RATE <= time {
            let share = (next as f64 / RATE - before) / (time - before).max(SHORTEST);
            self.values
                .push_back(from + share.clamp(0.0, 1.0) * (value - from));
            next += 1;
        }
    }

    fn skip_to(&mut self, at: i64) {
        while self.at < at && self.values.pop_front().is_some() {
            self.at += 1;
        }
    }

    /// The smoothed value [`REACH`] after the first.
    fn smoothed(&self) -> f64 {
        let (mut sum, mut whole) = (0.0, 0.0);
        for (n, value) in self.values.iter().take(2 * REACH + 1).enumerate() {
            let off = (n as f64 - REACH as f64) / RATE / SMOOTH;
            let weight = (-0.5 * off * off).exp();
            sum += weight * value;
            whole += weight;
        }
        sum / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(frames: &[(f64, FrameMotion<'_>)]) -> Vec<(i64, Point)> {
        let mut envelope = Envelope::default();
        let mut out = Vec::new();
        for &(time, motion) in frames {
            assert!(!envelope.is_gap(time));
            envelope.push(&Frame { time, motion });
            out.extend(std::iter::from_fn(|| envelope.next()));
        }
        out
    }

    const RIGHT: [f64; 4] = [1.0, 0.0, 0.0, 0.0];

    fn motion(foreground: f64, histogram: &[f64]) -> FrameMotion<'_> {
        FrameMotion::Measured {
            interval: 0.04,
            histogram,
            moving: 0.1,
            foreground,
        }
    }

    #[test]
    fn a_lower_frame_rate_in_a_higher_one_moves_as_fast() {
        let twice = RIGHT.map(|v| 2.0 * v);
        let plain: Vec<_> = (0..50)
            .map(|n| (0.04 * f64::from(n), motion(2.0, &twice)))
            .collect();
        let padded: Vec<_> = (0..100)
            .map(|n| {
                let motion = if n % 2 == 1 {
                    FrameMotion::Repeated
                } else {
                    motion(2.0, &twice)
                };
                (0.02 * f64::from(n), motion)
            })
            .collect();
        let (plain, padded) = (curve(&plain), curve(&padded));
        assert!(plain.len() > 150 && padded.len() > 150);
        let level = plain[50].1;
        assert!((level.motion - 0.1 * 50f64.powf(SPEED)).abs() < 1e-9);
        for (at, point) in plain[10..].iter().chain(&padded[10..]) {
            assert!((point.motion - level.motion).abs() < 1e-9, "{at}");
            assert!((point.alike - 1.0).abs() < 1e-9, "{at}");
        }
    }

    #[test]
    fn what_repeats_for_long_rests_and_a_turn_is_a_dip() {
        let left = [0.0, 0.0, 1.0, 0.0];
        let frames: Vec<_> = (0..100)
            .map(|n| {
                let motion = match n {
                    0..25 => motion(1.0, &RIGHT),
                    25..50 => motion(1.0, &left),
                    50..75 => FrameMotion::Repeated,
                    _ => motion(1.0, &RIGHT),
                };
                (0.04 * f64::from(n), motion)
            })
            .collect();
        let curve = curve(&frames);
        let at = |time: f64| {
            let n = (time * RATE).round() as i64;
            curve.iter().find(|(at, _)| *at == n).unwrap().1
        };
        assert!(at(0.5).alike > 0.999 && at(1.5).alike > 0.999);
        // The flow of frame 25 began at frame 24.
        let lowest = curve
            .iter()
            .filter(|(at, _)| *at < 150)
            .min_by(|a, b| a.1.alike.total_cmp(&b.1.alike))
            .unwrap();
        assert_eq!(lowest.0, 96);
        assert!(lowest.1.alike < 0.7);
        assert!(at(2.5).motion < 1e-9, "{:?}", at(2.5));
        assert!(at(1.5).motion > 0.1 && at(3.5).motion > 0.1);
    }

    #[test]
    fn time_that_jumps_is_a_gap_and_the_end_is_as_what_was_before() {
        let mut envelope = Envelope::default();
        for n in 0..25 {
            let time = 1.0 + 0.04 * f64::from(n);
            assert!(!envelope.is_gap(time));
            let motion = motion(1.0, &RIGHT);
            envelope.push(&Frame { time, motion });
        }
        assert!(envelope.is_gap(1.96) && envelope.is_gap(2.3) && !envelope.is_gap(2.0));
        let known: Vec<_> = std::iter::from_fn(|| envelope.next()).collect();
        // The last frame is compared with the one at 1.92 s, less the reach of the Gaussian.
        assert_eq!(known.last().unwrap().0, 182);
        envelope.finish();
        let rest: Vec<_> = std::iter::from_fn(|| envelope.next()).collect();
        assert_eq!((rest[0].0, rest.last().unwrap().0), (183, 194));
        assert!((rest[11].1.motion - known[10].1.motion).abs() < 1e-9);
    }
}
