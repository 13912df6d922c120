// SPDX-License-Identifier: MPL-2.0
//! What became of the video: figures for `stats`, and the path as JSON.

use serde::Serialize;

/// Speeds are counted in steps of a hundredth up to this.
const SPEEDS: usize = 1001;
/// The path has at most this many points; then every other one is dropped.
const POINTS: usize = 1 << 16;

/// Figures in bounded memory, however long the stream.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub pictures: u64,
    pub repeated: u64,
    pub dropped: u64,
    pub late: u64,
    pub longest_freeze: gst::ClockTime,
    freeze: gst::ClockTime,
    speeds: Vec<u64>,
    fastest: f64,
    last: Option<[f64; 2]>,
    path: Vec<[f64; 2]>,
    /// Every how many pictures there is a point.
    every: u64,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            pictures: 0,
            repeated: 0,
            dropped: 0,
            late: 0,
            longest_freeze: gst::ClockTime::ZERO,
            freeze: gst::ClockTime::ZERO,
            speeds: vec![0; SPEEDS],
            fastest: 0.0,
            last: None,
            path: Vec::new(),
            every: 1,
        }
    }
}

/// The path as it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Path<'a> {
    version: u32,
    method: &'a str,
    visual: &'a [f64],
    audio: &'a [f64],
    path: &'a [[f64; 2]],
    /// Of how many pictures the path has one.
    every: u64,
    pictures: u64,
    repeated: u64,
    dropped: u64,
    speed_p50: f64,
    speed_p95: f64,
    speed_max: f64,
    longest_freeze: f64,
}

impl Record {
    /// A picture of `source` was shown at `output` (seconds) for `tick`; `repeated` if it is the one before again.
    pub(super) fn picture(
        &mut self,
        output: f64,
        source: f64,
        tick: gst::ClockTime,
        repeated: bool,
    ) {
        if self.pictures.is_multiple_of(self.every) {
            if self.path.len() >= POINTS {
                let mut keep = false;
                self.path.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.every *= 2;
            }
            self.path.push([output, source]);
        }
        self.pictures += 1;
        if repeated {
            self.repeated += 1;
            self.freeze += tick;
            self.longest_freeze = self.longest_freeze.max(self.freeze);
        } else {
            self.freeze = gst::ClockTime::ZERO;
        }
        if let Some([output_before, source_before]) = self.last.replace([output, source])
            && output > output_before
        {
            // A dance that goes round goes backward at times.
            let speed = ((source - source_before) / (output - output_before)).abs();
            self.fastest = self.fastest.max(speed);
            let step = (speed * 100.0).round() as usize;
            self.speeds[step.min(SPEEDS - 1)] += 1;
        }
    }

    /// What follows does not follow from what was.
    pub(super) fn leap(&mut self) {
        self.last = None;
        self.freeze = gst::ClockTime::ZERO;
    }

    /// The speed that a share of the steps does not exceed; 0 without any.
    pub(super) fn speed(&self, share: f64) -> f64 {
        let total: u64 = self.speeds.iter().sum();
        let wanted = (share * total as f64).ceil() as u64;
        let mut below = 0;
        let reached = |&count: &u64| {
            below += count;
            below >= wanted.max(1)
        };
        let step = self.speeds.iter().position(reached);
        step.map_or(0.0, |step| step as f64 / 100.0)
    }

    pub(super) fn fastest(&self) -> f64 {
        self.fastest
    }

    /// The path and the figures as JSON.
    ///
    /// # Errors
    /// If a number cannot be written as JSON.
    pub(super) fn json(
        &self,
        method: &str,
        visual: &[f64],
        audio: &[f64],
    ) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Path {
            version: 1,
            method,
            visual,
            audio,
            path: &self.path,
            every: self.every,
            pictures: self.pictures,
            repeated: self.repeated,
            dropped: self.dropped,
            speed_p50: self.speed(0.5),
            speed_p95: self.speed(0.95),
            speed_max: self.fastest,
            longest_freeze: self.longest_freeze.nseconds() as f64 * 1e-9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_pictures() {
        let tick = gst::ClockTime::from_mseconds(40);
        let mut record = Record::default();
        let mut source = 0.0;
        for n in 0..100u32 {
            record.picture(f64::from(n) * 0.04, source, tick, (10..13).contains(&n));
            source += if n < 60 { 0.04 } else { 0.06 };
        }
        assert_eq!((record.pictures, record.repeated), (100, 3));
        assert_eq!(record.longest_freeze, 3 * tick);
        assert_eq!((record.speed(0.5), record.speed(0.95)), (1.0, 1.5));
        assert!((record.fastest() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn hours_take_no_more_than_so_much() {
        let mut record = Record::default();
        for n in 0..300_000u32 {
            let at = f64::from(n) / 25.0;
            record.picture(at, at, gst::ClockTime::from_mseconds(40), false);
        }
        assert!(record.path.len() <= POINTS && record.path.len() > POINTS / 4);
        assert!(record.path.windows(2).all(|w| w[0][0] < w[1][0]));
    }
}
