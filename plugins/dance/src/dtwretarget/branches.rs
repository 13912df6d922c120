// SPDX-License-Identifier: MPL-2.0
//! What is known of the two branches.

use std::collections::VecDeque;
use std::time::Instant;

use dance_rhythm::retarget::Mark;
use gst::prelude::*;

use super::Kinds;
use super::marksfile::weight;
use crate::marks::{self, Deduplicator, Kind, SourceMarks};

pub(crate) type Segment = gst::FormattedSegment<gst::ClockTime>;

/// On which time both sides meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Running time: streams as they come.
    Running,
    /// Stream time: files, whose marks are known by their place in them.
    Stream,
}

impl Axis {
    /// A position of a segment on the axis, in seconds; negative before its beginning.
    pub(super) fn of(self, segment: &Segment, position: gst::ClockTime) -> Option<f64> {
        let time = match self {
            Axis::Running => segment.to_running_time_full(position)?,
            Axis::Stream => segment.to_stream_time_full(position)?,
        };
        Some(match time {
            gst::Signed::Positive(time) => time.seconds_f64(),
            gst::Signed::Negative(time) => -time.seconds_f64(),
        })
    }
}

/// A mark with its instant on the axis.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub at: f64,
    pub source: String,
    pub mark: marks::Mark,
}

/// How many marks of a side are kept in one pass: more than any look-ahead holds.
const MOST_MARKS: usize = 4096;

/// Music on one segment.
#[derive(Clone)]
pub(crate) struct Song {
    pub segment: Segment,
    pub seqnum: gst::Seqnum,
    /// PTS of its first music.
    pub first: Option<gst::ClockTime>,
    /// How far it has come on the axis.
    pub end: Option<f64>,
}

impl Song {
    pub(super) fn new(segment: Segment, seqnum: gst::Seqnum) -> Self {
        Self {
            segment,
            seqnum,
            first: None,
            end: None,
        }
    }

    /// Where its first music is on the axis.
    pub(super) fn start(&self, axis: Axis) -> Option<f64> {
        axis.of(&self.segment, self.first?)
    }
}

/// What both sides have.
#[derive(Default)]
pub(crate) struct Side {
    pub linked: bool,
    pub flushing: bool,
    /// The last flush.
    pub flushed_by: Option<gst::Seqnum>,
    pub eos: bool,
    pub segment: Option<Segment>,
    /// How far it has come on the axis: to the end of the last buffer.
    pub arrived: Option<f64>,
    /// When it last came further.
    pub progress: Option<Instant>,
    /// Marks not yet passed, in order.
    pub marks: VecDeque<Placed>,
    /// All marks so far.
    pub count: u64,
    pub seen: Deduplicator,
}

impl Side {
    pub(super) fn came_to(&mut self, at: f64) {
        if self.arrived.is_none_or(|before| at > before) {
            self.arrived = Some(at);
            self.progress = Some(Instant::now());
        }
    }

    /// Forgets what it was about; caps and links stay.
    pub(super) fn flush(&mut self) {
        self.eos = false;
        self.segment = None;
        self.arrived = None;
        self.progress = Some(Instant::now());
        self.marks.clear();
        self.seen.clear();
    }

    /// What was at its end goes on.
    pub(super) fn begin_segment(&mut self, segment: Option<Segment>) {
        self.eos = false;
        self.segment = segment;
    }

    pub(super) fn new_stream(&mut self) {
        self.eos = false;
        self.seen.clear();
    }

    /// Whether it has come to `at`, or will come no further.
    pub(super) fn has(&self, at: f64) -> bool {
        self.eos || !self.linked || self.arrived.is_some_and(|arrived| arrived >= at)
    }

    /// Takes the marks of `kinds` (`None` for visual beats), and returns how many were new.
    pub(super) fn take(
        &mut self,
        found: Vec<SourceMarks>,
        kinds: Option<Kinds>,
        axis: Axis,
        pad_offset: i64,
    ) -> usize {
        let mut new = 0;
        for SourceMarks { source, marks } in found {
            for mark in marks {
                let wanted = match kinds {
                    None => (mark.kind == Kind::VisualBeat).then_some(1.0),
                    Some(kinds) => weight(mark.kind, kinds),
                };
                let Some(weight) = wanted.filter(|_| self.seen.is_new(&source, mark.id)) else {
                    continue;
                };
                let Some(at) = self.place(&mark, axis, pad_offset) else {
                    continue;
                };
                let mark = marks::Mark {
                    strength: weight * mark.strength,
                    ..mark
                };
                let source = source.clone();
                let place = self.marks.partition_point(|other| other.at <= at);
                self.marks.insert(place, Placed { at, source, mark });
                if self.marks.len() > MOST_MARKS {
                    self.marks.pop_front();
                }
                self.count += 1;
                new += 1;
            }
        }
        new
    }

    fn place(&self, mark: &marks::Mark, axis: Axis, pad_offset: i64) -> Option<f64> {
        let known = match axis {
            Axis::Running => mark.running_time,
            Axis::Stream => mark.stream_time,
        };
        match known {
            // The pad's offset is in its segment, and in nothing that was written upstream.
            Some(time) if axis == Axis::Running => {
                Some(time.seconds_f64() + pad_offset as f64 * 1e-9)
            }
            Some(time) => Some(time.seconds_f64()),
            None => axis.of(self.segment.as_ref()?, mark.timestamp),
        }
    }

    /// The marks for the planner.
    pub(super) fn for_planner(&self) -> Vec<Mark> {
        let mark = |placed: &Placed| Mark {
            time: placed.at,
            strength: placed.mark.strength,
        };
        self.marks.iter().map(mark).collect()
    }
}

/// A frame of the video.
#[derive(Clone)]
pub(crate) struct Frame {
    pub buffer: gst::Buffer,
    /// Its instant on the axis, and its end.
    pub at: f64,
    pub end: f64,
}

/// Video on its way.
pub(crate) enum Item {
    Frame(Frame),
    Event(gst::Event),
}

/// The branch of the video.
#[derive(Default)]
pub(crate) struct Video {
    pub side: Side,
    pub queue: VecDeque<Item>,
    /// The last SEGMENT that came to its turn.
    pub turn: Option<gst::Seqnum>,
    /// The frame that is shown.
    pub current: Option<Frame>,
    pub info: Option<gst_video::VideoInfo>,
    /// The caps of what is next; and, once they have left, whether as those of video that passes as it is.
    pub caps: Option<(gst::Caps, Option<bool>)>,
    /// Frames per second of the output.
    pub rate: Option<gst::Fraction>,
    /// How long a frame lasts that does not say so, of those that come in.
    pub usual: gst::ClockTime,
}

/// Frame rate of the output where the input has none.
const FRAME_RATE: (i32, i32) = (30, 1);

/// The frame rate of the output for that input.
pub(super) fn rate_of(caps: &gst::CapsRef) -> gst::Fraction {
    let known = |name| {
        let rate = caps.structure(0)?.get::<gst::Fraction>(name).ok()?;
        (rate.numer() > 0 && rate.denom() > 0).then_some(rate)
    };
    let (numer, denom) = FRAME_RATE;
    known("framerate")
        .or_else(|| known("max-framerate"))
        .unwrap_or_else(|| gst::Fraction::new(numer, denom))
}

/// Whether frames lie where they can be read here.
pub(super) fn in_plain_memory(caps: &gst::CapsRef) -> bool {
    caps.features(0)
        .is_none_or(|features| features.is_equal(gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY.as_ref()))
}

impl Video {
    pub(super) fn flush(&mut self) -> VecDeque<Item> {
        self.side.flush();
        self.current = None;
        std::mem::take(&mut self.queue)
    }

    pub(super) fn next_frame(&self) -> Option<&Frame> {
        self.queue.iter().find_map(|item| match item {
            Item::Frame(frame) => Some(frame),
            Item::Event(_) => None,
        })
    }

    pub(super) fn frames(&self) -> usize {
        let frames = self
            .queue
            .iter()
            .filter(|item| matches!(item, Item::Frame(_)));
        frames.count()
    }

    /// The buffer as a frame; `None` if it lies outside its segment or has no time.
    pub(super) fn frame(&self, buffer: gst::Buffer, axis: Axis) -> Option<Frame> {
        let segment = self.side.segment.as_ref()?;
        let pts = buffer.pts()?;
        let duration = buffer.duration().unwrap_or(self.usual);
        let stop = pts.saturating_add(duration);
        segment.clip(pts, stop)?;
        let at = axis.of(segment, pts)?;
        let end = axis.of(segment, stop)?;
        Some(Frame {
            buffer,
            at,
            end: end.max(at),
        })
    }

    /// The time from one output picture to the next.
    pub(super) fn tick(&self) -> Option<gst::ClockTime> {
        self.after(1)
    }

    /// The time of `count` output pictures.
    pub(super) fn after(&self, count: u64) -> Option<gst::ClockTime> {
        time_of(count, self.rate?)
    }
}

/// The time of `count` pictures.
pub(super) fn time_of(count: u64, rate: gst::Fraction) -> Option<gst::ClockTime> {
    let (numer, denom) = (rate.numer().unsigned_abs(), rate.denom().unsigned_abs());
    let scaled = gst::ClockTime::SECOND.mul_div_round(count * u64::from(denom), numer.into());
    scaled.filter(|time| count == 0 || !time.is_zero())
}
