// SPDX-License-Identifier: MPL-2.0
//! From sample counts to buffer timestamps.

use std::collections::VecDeque;

/// Maps instants counted in samples since the analysis began to buffer timestamps.
///
/// Timestamps of live sources wander against the count of samples, so that one start and one rate
/// would drift away from the media; each buffer whose timestamp leaves the line of the one before
/// it by more than a sample begins a line of its own.
#[derive(Debug)]
pub struct SampleClock {
    rate: u32,
    anchors: VecDeque<Anchor>,
    position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    sample: u64,
    pts: gst::ClockTime,
}

impl SampleClock {
    /// A clock for audio of `rate` samples a second.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            anchors: VecDeque::new(),
            position: 0,
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.anchors.clear();
        self.position = 0;
    }

    /// Samples counted so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Timestamp that the next buffer should have, once there was a first.
    pub fn expected(&self) -> Option<gst::ClockTime> {
        let anchor = self.anchors.back()?;
        Some(anchor.pts + self.duration(self.position - anchor.sample))
    }

    /// Counts a buffer of `samples` with timestamp `pts`, or right after the last where it has none.
    pub fn advance(&mut self, pts: Option<gst::ClockTime>, samples: u64) {
        let expected = self.expected();
        let pts = pts.or(expected).unwrap_or(gst::ClockTime::ZERO);
        let sample = self.duration(1);
        if expected.is_none_or(|expected| pts.absdiff(expected) > sample) {
            self.anchors.push_back(Anchor {
                sample: self.position,
                pts,
            });
        }
        self.position += samples;
    }

    /// Timestamp of the instant `seconds` after the first sample; negative instants are clamped.
    pub fn pts(&self, seconds: f64) -> gst::ClockTime {
        let sample = (seconds.max(0.0) * f64::from(self.rate)) as u64;
        let anchor = self
            .anchors
            .iter()
            .rev()
            .find(|anchor| anchor.sample <= sample)
            .or(self.anchors.front());
        let Some(anchor) = anchor else {
            return gst::ClockTime::from_nseconds((seconds.max(0.0) * 1e9) as u64);
        };
        let since = seconds.max(0.0) - anchor.sample as f64 / f64::from(self.rate);
        let nanoseconds = (since * 1e9).round() as i64;
        gst::ClockTime::from_nseconds(anchor.pts.nseconds().saturating_add_signed(nanoseconds))
    }

    /// Drops what only instants before `seconds` need.
    pub fn forget_before(&mut self, seconds: f64) {
        let sample = (seconds.max(0.0) * f64::from(self.rate)) as u64;
        while self.anchors.get(1).is_some_and(|a| a.sample <= sample) {
            self.anchors.pop_front();
        }
    }

    /// Duration of a number of samples.
    pub fn duration(&self, samples: u64) -> gst::ClockTime {
        use gst::prelude::MulDiv as _;
        gst::ClockTime::from_nseconds(
            samples
                .mul_div_round(1_000_000_000, u64::from(self.rate))
                .unwrap_or(u64::MAX - 1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_follow_wandering_timestamps() {
        let ms = gst::ClockTime::from_mseconds;
        let mut clock = SampleClock::new(48_000);
        assert_eq!(clock.expected(), None);
        clock.advance(Some(ms(1000)), 4800);
        clock.advance(None, 4800);
        assert_eq!(clock.expected(), Some(ms(1200)));
        // Five milliseconds late: a line of its own, and the old one stands.
        clock.advance(Some(ms(1205)), 4800);
        assert_eq!(clock.pts(0.05), ms(1050));
        assert_eq!(clock.pts(0.2), ms(1205));
        assert_eq!(clock.pts(1.0), ms(2005), "the future follows the last line");
        assert_eq!(clock.pts(-1.0), ms(1000));
        clock.forget_before(0.25);
        assert_eq!(clock.anchors.len(), 1);
        assert_eq!(
            clock.pts(0.1),
            ms(1105),
            "what is forgotten follows the oldest line"
        );
    }
}
