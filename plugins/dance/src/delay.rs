// SPDX-License-Identifier: MPL-2.0
//! Media and the marks found in it, on their way downstream: the delay line of `aligned` mode, and what the other modes
//! do in its place.

use std::collections::VecDeque;

use gst::glib;
use gst::prelude::*;

use crate::element::post_latency;
use crate::marks::{self, Mark};

/// A segment in time.
pub(crate) type Segment = gst::FormattedSegment<gst::ClockTime>;

/// Whether timestamps mean the same in both segments: how far the stream has come, how long it is and how fast it is
/// played say nothing about them.
pub(crate) fn same_timestamps(before: Option<&Segment>, after: Option<&Segment>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return before.is_none() && after.is_none();
    };
    let places = |segment: &Segment| {
        let ends = (segment.start(), segment.stop());
        (ends, segment.time(), segment.base(), segment.offset())
    };
    (before.rate() < 0.0) == (after.rate() < 0.0) && places(before) == places(after)
}

/// Has LATENCY asked for again where the delay follows from the offset of the marks, which has changed.
pub(crate) fn offset_changed(element: &impl IsA<gst::Element>, mode: Mode, offset: [i64; 2]) {
    let [before, after] = offset.map(|offset| offset.min(0));
    if mode == Mode::Aligned && before != after {
        post_latency(element);
    }
}

/// Whether what waits must leave before the event, after which nothing follows, or something else.
pub(crate) fn ends_stream(event: &gst::Event) -> bool {
    use gst::EventType::{Eos, SegmentDone, StreamGroupDone};
    matches!(event.type_(), Eos | SegmentDone | StreamGroupDone)
}

/// Marks in one `rhythm-marks` event at the end of a stream.
const MARKS_IN_EVENT: usize = 1024;

/// When marks come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstRhythmMode")]
pub enum Mode {
    /// The media is not delayed; marks come late or are predicted.
    #[default]
    #[enum_value(
        name = "Media not delayed, marks a little late or predicted",
        nick = "low-latency"
    )]
    LowLatency,
    /// The media is delayed so that each mark rides on the buffer that holds its instant.
    #[enum_value(
        name = "Media delayed so that each mark rides on the buffer that holds its instant",
        nick = "aligned"
    )]
    Aligned,
    /// All marks at the end of the stream, from the whole of it.
    #[enum_value(
        name = "All marks at the end of the stream, from the whole of it",
        nick = "offline"
    )]
    Offline,
}

/// What goes downstream.
pub(crate) enum Item {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

/// What a step of an analysis brings about, delivered once nothing is locked.
#[derive(Default)]
pub(crate) struct Output {
    /// Marks to be announced on the bus.
    pub(crate) marks: Vec<Mark>,
    pub(crate) items: Vec<Item>,
    pub(crate) tempo_changed: bool,
    latency_changed: bool,
}

impl Output {
    /// Gives everything to bus and pad; no lock may be held, since both call back.
    ///
    /// # Errors
    /// Of the first buffer that is refused; the buffers after it are dropped, the events are not.
    pub(crate) fn deliver(
        self,
        element: &impl IsA<gst::Element>,
        srcpad: &gst::Pad,
        post_messages: bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.latency_changed {
            post_latency(element);
        }
        if self.tempo_changed {
            element.notify("tempo");
        }
        if post_messages {
            for mark in &self.marks {
                let _ = element.post_message(mark.to_message(element.upcast_ref()));
            }
        }
        let mut flow = Ok(gst::FlowSuccess::Ok);
        for item in self.items {
            match item {
                Item::Event(event) => {
                    srcpad.push_event(event);
                }
                Item::Buffer(buffer) if flow.is_ok() => flow = srcpad.push(buffer),
                Item::Buffer(_) => (),
            }
        }
        flow
    }

    fn events(&mut self, source: &str, marks: &[Mark]) {
        let events = marks.chunks(MARKS_IN_EVENT);
        self.items
            .extend(events.map(|marks| Item::Event(marks::event(source, marks))));
    }
}

/// What waits in `aligned` mode until every mark before it is known.
struct Held<P> {
    item: Item,
    /// Its end, as the analysis counts.
    end: P,
    /// Timestamp of its end.
    end_pts: gst::ClockTime,
}

/// A mark with its place in the stream.
pub(crate) struct Stamped {
    /// Its instant in the media, before any offset.
    instant: gst::ClockTime,
    mark: Mark,
}

/// A stream and its marks; `P` is the position that the analysis counts in, as samples or time.
pub(crate) struct DelayLine<P> {
    mode: Mode,
    source: String,
    pub(crate) segment: Option<Segment>,
    next_id: u64,
    /// `aligned` only, in the order of the stream.
    held: VecDeque<Held<P>>,
    /// Marks that wait for their buffer (`aligned`) or for the end (`offline`).
    waiting: Vec<Stamped>,
    latency: gst::ClockTime,
    /// Marks that came after their buffer had left.
    pub(crate) late: u64,
}

impl<P: Copy + Ord> DelayLine<P> {
    /// A line for marks of `source`, counted from `next_id`.
    pub(crate) fn new(mode: Mode, source: &str, next_id: u64) -> Self {
        Self {
            mode,
            source: source.to_owned(),
            segment: None,
            next_id,
            held: VecDeque::new(),
            waiting: Vec::new(),
            latency: gst::ClockTime::ZERO,
            late: 0,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The number of the next mark.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Whether the stream is played backwards.
    pub(crate) fn is_backwards(&self) -> bool {
        (self.segment.as_ref()).is_some_and(|segment| segment.rate() < 0.0)
    }

    /// Sets how long media is held back in `aligned` mode.
    pub(crate) fn set_latency(&mut self, latency: gst::ClockTime, out: &mut Output) {
        if self.mode == Mode::Aligned {
            out.latency_changed |= std::mem::replace(&mut self.latency, latency) != latency;
        }
    }

    /// Gives a mark, whose timestamp is its instant in the media, its place in the stream `offset` nanoseconds later,
    /// and its number, unless marks are numbered at the end.
    pub(crate) fn stamp(&mut self, mut mark: Mark, offset: i64, out: &mut Output) -> Stamped {
        let instant = mark.timestamp;
        let moved = instant.nseconds().saturating_add_signed(offset);
        mark.timestamp = gst::ClockTime::from_nseconds(moved);
        if let Some(segment) = &self.segment {
            mark.running_time = segment.to_running_time(mark.timestamp);
            mark.stream_time = segment.to_stream_time(mark.timestamp);
        }
        if self.mode != Mode::Offline {
            self.number(&mut mark, out);
        }
        Stamped { instant, mark }
    }

    fn number(&mut self, mark: &mut Mark, out: &mut Output) {
        mark.id = self.next_id;
        self.next_id += 1;
        out.marks.push(mark.clone());
    }

    /// Takes a buffer that ends at `end`, and the marks that have just been found.
    pub(crate) fn buffer(
        &mut self,
        buffer: gst::Buffer,
        end: P,
        end_pts: gst::ClockTime,
        marks: Vec<Stamped>,
        out: &mut Output,
    ) {
        let item = if self.mode == Mode::LowLatency {
            let marks: Vec<Mark> = marks.into_iter().map(|stamped| stamped.mark).collect();
            self.with_marks(buffer, &marks)
        } else {
            self.waiting.extend(marks);
            Item::Buffer(buffer)
        };
        if self.mode == Mode::Aligned {
            let held = Held { item, end, end_pts };
            self.held.push_back(held);
        } else {
            out.items.push(item);
        }
    }

    /// Takes marks that have been found where there is no buffer.
    pub(crate) fn marks(&mut self, marks: Vec<Stamped>, out: &mut Output) {
        if self.mode == Mode::LowLatency {
            let marks: Vec<Mark> = marks.into_iter().map(|stamped| stamped.mark).collect();
            out.events(&self.source, &marks);
        } else {
            self.waiting.extend(marks);
        }
    }

    /// Takes a serialized event, which keeps its place among the buffers; it ends with the last buffer, or at `end`.
    pub(crate) fn event(&mut self, event: gst::Event, end: Option<P>, out: &mut Output) {
        let item = Item::Event(event);
        match self.held.back() {
            Some(last) => {
                let (end, end_pts) = (end.unwrap_or(last.end), last.end_pts);
                self.held.push_back(Held { item, end, end_pts });
            }
            None => out.items.push(item),
        }
    }

    /// Lets held media go that ends at `known` at the latest, each buffer with the marks it holds.
    pub(crate) fn release(&mut self, known: P, out: &mut Output) {
        while self.held.front().is_some_and(|held| held.end <= known)
            && let Some(held) = self.held.pop_front()
        {
            self.let_go(held, out);
        }
    }

    fn let_go(&mut self, held: Held<P>, out: &mut Output) {
        let Item::Buffer(buffer) = held.item else {
            out.items.push(held.item);
            return;
        };
        let start = buffer.pts().unwrap_or(gst::ClockTime::ZERO);
        let is_due = |waiting: &mut Stamped| waiting.mark.timestamp < held.end_pts;
        let due = self
            .waiting
            .extract_if(.., is_due)
            .map(|stamped| stamped.mark);
        let due = in_order(due);
        self.late += due.iter().filter(|mark| mark.timestamp < start).count() as u64;
        let item = self.with_marks(buffer, &due);
        out.items.push(item);
    }

    /// Ends the stream at `end`, which the analysis has come to: its last marks and all media go out.
    pub(crate) fn drain(
        &mut self,
        marks: Vec<Stamped>,
        end: Option<gst::ClockTime>,
        out: &mut Output,
    ) {
        self.marks(marks, out);
        while let Some(held) = self.held.pop_front() {
            self.let_go(held, out);
        }
        // What an offset has moved past the end of the media goes out, what was predicted for after it does not.
        let is_of_media = |stamped: &Stamped| {
            !stamped.mark.predicted || end.is_some_and(|end| stamped.instant < end)
        };
        let left = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter(is_of_media);
        let mut left = in_order(left.map(|stamped| stamped.mark));
        if self.mode == Mode::Offline {
            left.iter_mut().for_each(|mark| self.number(mark, out));
        }
        out.events(&self.source, &left);
    }

    /// Forgets the stream and its segment; returns the events that it held.
    pub(crate) fn flush(&mut self) -> Vec<gst::Event> {
        let held = std::mem::take(&mut self.held).into_iter();
        self.waiting.clear();
        self.segment = None;
        let events = held.filter_map(|held| match held.item {
            Item::Event(event) => Some(event),
            Item::Buffer(_) => None,
        });
        events.collect()
    }

    fn with_marks(&self, mut buffer: gst::Buffer, marks: &[Mark]) -> Item {
        if !marks.is_empty() {
            // A new buffer of the same memory if anybody else has it.
            marks::attach(buffer.make_mut(), &self.source, marks);
        }
        Item::Buffer(buffer)
    }
}

fn in_order(marks: impl Iterator<Item = Mark>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = marks.collect();
    marks.sort_by_key(|mark| (mark.timestamp, mark.kind));
    marks
}
