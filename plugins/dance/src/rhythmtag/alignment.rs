// SPDX-License-Identifier: MPL-2.0
//! How the beats of motion lie on those of music.

use std::collections::VecDeque;

use dance_rhythm::metrics::alignment::Alignment;

use crate::marks::{self, Deduplicator, SourceMarks};

/// Name of the element message.
pub(super) const MESSAGE_NAME: &str = "rhythm-alignment";
/// What a message on the way is about.
const WINDOW: gst::ClockTime = gst::ClockTime::from_seconds(30);
/// The newest beats of either kind that are kept, hours of them.
const MOST: usize = 16_384;
/// By when the visual beats before it are known for sure.
const SETTLED: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// A stream, in running time.
#[derive(Debug, Default)]
struct Branch {
    /// Ascending, in nanoseconds.
    beats: VecDeque<u64>,
    start: Option<gst::ClockTime>,
    end: Option<gst::ClockTime>,
    eos: bool,
}

impl Branch {
    fn beat(&mut self, at: gst::ClockTime) {
        let place = self.beats.partition_point(|beat| *beat <= at.nseconds());
        self.beats.insert(place, at.nseconds());
        if self.beats.len() > MOST {
            self.beats.pop_front();
        }
    }

    fn came_to(&mut self, start: gst::ClockTime, end: gst::ClockTime) {
        self.start = Some(self.start.map_or(start, |before| before.min(start)));
        self.end = Some(self.end.map_or(end, |before| before.max(end)));
    }

    fn seconds(&self) -> Vec<f64> {
        self.beats.iter().map(|beat| *beat as f64 / 1e9).collect()
    }
}

/// Both streams.
#[derive(Debug, Default)]
pub(super) struct BeatAlignment {
    music: Branch,
    motion: Branch,
    seen: Deduplicator,
    /// Up to where the last message reports.
    reported: Option<gst::ClockTime>,
}

/// What a message reports.
#[derive(Debug)]
pub(super) struct Report {
    span: [gst::ClockTime; 2],
    is_final: bool,
    counts: [u32; 2],
    alignment: Option<Alignment>,
}

impl BeatAlignment {
    pub fn flush_music(&mut self) {
        self.music = Branch::default();
        self.seen.clear();
        self.reported = None;
    }

    pub fn flush_motion(&mut self) {
        self.motion = Branch::default();
        self.reported = None;
    }

    pub fn music_begins(&mut self) {
        self.music.eos = false;
    }

    pub fn motion_begins(&mut self) {
        self.motion.eos = false;
    }

    /// Beats of the music.
    pub fn add_music(
        &mut self,
        found: &[SourceMarks],
        segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
    ) {
        for SourceMarks { source, marks } in found {
            for mark in marks.iter().filter(|mark| mark.kind.is_beat()) {
                let at = mark
                    .running_time
                    .or_else(|| segment?.to_running_time(mark.timestamp));
                if let Some(at) = at.filter(|_| self.seen.is_new(source, mark.id)) {
                    self.music.beat(at);
                }
            }
        }
    }

    pub fn music_came_to(&mut self, start: gst::ClockTime, end: gst::ClockTime) {
        self.music.came_to(start, end);
    }

    pub fn music_ended(&mut self) -> Option<Report> {
        self.music.eos = true;
        self.at_the_end()
    }

    /// Beats of the motion.
    pub fn add_motion(&mut self, found: &[marks::Mark]) {
        for at in found.iter().filter_map(|mark| mark.running_time) {
            self.motion.beat(at);
        }
    }

    pub fn motion_came_to(&mut self, start: gst::ClockTime, end: gst::ClockTime) {
        self.motion.came_to(start, end);
    }

    pub fn motion_ended(&mut self) -> Option<Report> {
        self.motion.eos = true;
        self.at_the_end()
    }

    fn at_the_end(&mut self) -> Option<Report> {
        if !self.music.eos || !self.motion.eos {
            return None;
        }
        let start = self.music.start.max(self.motion.start).unwrap_or_default();
        let end = self.music.end.min(self.motion.end).unwrap_or_default();
        Some(self.report([start, end.max(start)], true))
    }

    /// The report that is due every `interval`, where that is over.
    pub fn due(&mut self, interval: gst::ClockTime) -> Option<Report> {
        let settled = self.motion.end?.checked_sub(SETTLED)?;
        let end = settled.min(self.music.end?);
        let start = self.music.start.max(self.motion.start)?;
        let reported = *self.reported.get_or_insert(start);
        if end < reported + interval {
            return None;
        }
        self.reported = Some(end);
        Some(self.report([end.saturating_sub(WINDOW).max(start), end], false))
    }

    fn report(&self, span: [gst::ClockTime; 2], is_final: bool) -> Report {
        let count = |branch: &Branch| {
            let before = |time: gst::ClockTime| {
                let time = time.nseconds();
                branch.beats.partition_point(|beat| *beat < time)
            };
            before(span[1]).saturating_sub(before(span[0])) as u32
        };
        let seconds = span.map(|time| time.nseconds() as f64 / 1e9);
        Report {
            span,
            is_final,
            counts: [count(&self.music), count(&self.motion)],
            alignment: Alignment::new(&self.music.seconds(), &self.motion.seconds(), seconds),
        }
    }
}

impl Report {
    pub fn to_structure(&self) -> gst::Structure {
        let mut s = gst::Structure::builder(MESSAGE_NAME)
            .field("start", self.span[0])
            .field("end", self.span[1])
            .field("final", self.is_final)
            .field("music-beats", self.counts[0])
            .field("visual-beats", self.counts[1])
            .build();
        if let Some(found) = &self.alignment {
            if let Some(offset) = found.offset {
                s.set("offset", offset * 1e3);
            }
            s.set("hit-rate-50", found.hits[0]);
            s.set("hit-rate-100", found.hits[1]);
            s.set("null-50", found.null[0]);
            s.set("null-100", found.null[1]);
            s.set("mean-distance", found.distance.mean * 1e3);
            s.set("p95-distance", found.distance.p95 * 1e3);
        }
        s
    }
}
