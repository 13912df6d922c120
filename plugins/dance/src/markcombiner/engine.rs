// SPDX-License-Identifier: MPL-2.0
//! What leaves at `src` next, and what it has to wait for.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::pending::Pending;
use super::properties::Settings;
use super::span::{Covered, Segment, Span, Spans, running_times};
use crate::combine::{self, Pace};
use crate::marks::{self, Deduplicator, SourceMarks};
use crate::tags::Tags;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    crate::element::category("markcombiner", "Carries marks from one branch to another")
});

/// A queue of media that lies about its timestamps is not to grow without end.
const MAX_BUFFERS: usize = 16_384;
/// How much media may wait for marks that come from the same thread, in files.
const MAX_INTERLEAVE: gst::ClockTime = gst::ClockTime::from_seconds(2);
const MAX_INTERLEAVE_BYTES: usize = 16 << 20;
/// How many tempo changes may wait for their place in the media.
const MAX_ASIDES: usize = 64;

/// Media on its way to `src`.
pub(crate) enum Item {
    Buffer(gst::Buffer, Span),
    Event(gst::Event),
}

/// What leaves at `src`, or is posted.
pub(crate) enum Out {
    Buffer(gst::Buffer),
    Event(gst::Event),
    /// The marks branch has made no progress for this long.
    Starved(gst::ClockTime),
}

pub(crate) type Next = combine::Next<State, Out>;

/// What the marks branch reports of the music besides marks.
pub(crate) enum Aside {
    Tempo(gst::Event),
    Bpm(f64),
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    media_buffers: u64,
    pub received: u64,
    pub attached: u64,
    pub late: u64,
    pub duplicates: u64,
    pub outside_segment: u64,
    pub dropped: u64,
    pub unattached: u64,
    deadlines_missed: u64,
    starvations: u64,
}

/// The branch on `marks`.
pub(crate) struct Marks {
    pub linked: bool,
    pub flushing: bool,
    pub eos: bool,
    pub segment: Option<Segment>,
    /// How far it has come, in running time.
    pub position: Option<gst::ClockTime>,
    /// Buffers came that have no running time.
    pub untimed: bool,
    /// When it last came further.
    progress: Instant,
    pub starved: bool,
    /// A seek has been sent up that will flush it; until then it speaks of the time before.
    pub seeking: bool,
    /// The last flushing seek that was sent up, and the last flush, which bears the number of its seek.
    pub last_seek: Option<gst::Seqnum>,
    pub flushed_by: Option<gst::Seqnum>,
    pub seen: Deduplicator,
    pub pending: Pending,
    asides: VecDeque<(gst::ClockTime, Aside)>,
}

/// The branch on `media`.
pub(crate) struct Media {
    pub flushing: bool,
    /// At the tail of the queue.
    pub spans: Spans,
    pub queue: VecDeque<Item>,
    pub buffers: usize,
    bytes: usize,
    /// Of what has left, if its format is time.
    segment: Option<Segment>,
    has_segment: bool,
    pub end: Option<gst::ClockTime>,
    pub eos: bool,
    tags: Tags,
    /// Whether a buffer has left since the start or the last flush.
    started: bool,
    /// The task is pushing.
    pub busy: bool,
}

pub(crate) struct State {
    pub marks: Marks,
    pub media: Media,
    pub pace: Pace,
    pub stats: Stats,
}

impl Default for State {
    fn default() -> Self {
        State {
            marks: Marks {
                linked: false,
                flushing: true,
                eos: false,
                segment: None,
                position: None,
                untimed: false,
                progress: Instant::now(),
                starved: false,
                seeking: false,
                last_seek: None,
                flushed_by: None,
                seen: Deduplicator::default(),
                pending: Pending::default(),
                asides: VecDeque::new(),
            },
            media: Media {
                flushing: true,
                spans: Spans::default(),
                queue: VecDeque::new(),
                buffers: 0,
                bytes: 0,
                segment: None,
                has_segment: false,
                end: None,
                eos: false,
                tags: Tags::default(),
                started: false,
                busy: false,
            },
            pace: Pace::default(),
            stats: Stats::default(),
        }
    }
}

impl Marks {
    pub fn came_to(&mut self, position: gst::ClockTime) {
        if self.position.is_none_or(|before| position > before) {
            self.position = Some(position);
            self.untimed = false;
            self.progressed();
        }
    }

    pub fn progressed(&mut self) {
        self.progress = Instant::now();
        self.starved = false;
    }

    pub fn flush(&mut self) {
        self.eos = false;
        self.segment = None;
        self.position = None;
        self.untimed = false;
        self.seeking = false;
        self.progressed();
        self.ids_restart();
        self.pending.clear();
        self.asides.clear();
    }

    /// A flushing seek goes up. One that comes once more, as from another sink, or whose flush has passed already, flushes
    /// nothing.
    pub fn seeks(&mut self, seqnum: gst::Seqnum) {
        let known = [self.last_seek.replace(seqnum), self.flushed_by];
        if !known.contains(&Some(seqnum)) {
            self.seeking = true;
        }
    }

    pub fn ids_restart(&mut self) {
        self.seen.clear();
        self.pending.clear_carried();
    }

    /// Running time of a mark on the buffers of this branch.
    pub fn running_time(&self, mark: &marks::Mark, pad_offset: i64) -> Option<gst::ClockTime> {
        match mark.running_time {
            // The pad's offset is in its segment, and in nothing that was written upstream.
            Some(time) if pad_offset >= 0 => {
                time.checked_add(gst::ClockTime::from_nseconds(pad_offset.unsigned_abs()))
            }
            Some(time) => {
                time.checked_sub(gst::ClockTime::from_nseconds(pad_offset.unsigned_abs()))
            }
            None => self.segment.as_ref()?.to_running_time(mark.timestamp),
        }
    }
}

impl Media {
    /// Forgets what it was about, and returns what has not left.
    pub fn flush(&mut self) -> VecDeque<Item> {
        self.buffers = 0;
        self.bytes = 0;
        self.spans.flush();
        self.segment = None;
        self.has_segment = false;
        self.end = None;
        self.eos = false;
        self.started = false;
        std::mem::take(&mut self.queue)
    }

    pub fn push(&mut self, item: Item) {
        if let Item::Buffer(buffer, _) = &item {
            self.buffers += 1;
            self.bytes += buffer.size();
        }
        self.queue.push_back(item);
    }

    /// Time from the start of the first buffer to the end of the last one.
    fn level(&self) -> Option<gst::ClockTime> {
        let mut timed = self.queue.iter().filter_map(|item| match item {
            Item::Buffer(_, span) => Some(*span),
            Item::Event(_) => None,
        });
        let Some(Span::Timed(first)) = timed.next() else {
            return None;
        };
        let Some(Span::Timed(last)) = timed.next_back() else {
            return None;
        };
        Some(last.end.saturating_sub(first.start))
    }

    /// Room for one more buffer: two at least, and beyond those as many as the latency lets wait.
    ///
    /// Outside live pipelines small ones may be more, since a demuxer without queues brings both
    /// branches in one thread, and what it has interleaved is to find room here.
    pub fn has_room(&self, latency: gst::ClockTime, live: bool) -> bool {
        let Some(level) = self.level() else {
            return self.buffers < 2;
        };
        let interleaved = !live && level <= MAX_INTERLEAVE && self.bytes < MAX_INTERLEAVE_BYTES;
        self.buffers < 2 || self.buffers < MAX_BUFFERS && (level <= latency || interleaved)
    }

    pub fn came_to(&mut self, end: gst::ClockTime) {
        self.end = Some(self.end.map_or(end, |before| before.max(end)));
    }
}

/// What the head of the queue has to wait for.
enum Wait {
    /// Nothing; its deadline may have passed.
    No {
        missed: bool,
    },
    /// Nothing any more, since the marks branch starves.
    Starved,
    For(Next),
}

impl State {
    /// Decides what comes next; `overdue` if the deadline of the head of the queue has passed.
    pub fn next(&mut self, settings: &Settings, overdue: bool) -> Next {
        let wait = match self.media.queue.front() {
            None => return Next::Change,
            Some(Item::Buffer(_, Span::Timed(covered))) => self.wait(settings, *covered, overdue),
            Some(_) => Wait::No { missed: false },
        };
        match wait {
            Wait::No { missed } => {
                self.stats.deadlines_missed += u64::from(missed);
                self.pace.waiting = None;
            }
            Wait::For(next) => {
                self.pace.waiting.get_or_insert_with(Instant::now);
                return next;
            }
            Wait::Starved => {
                self.marks.starved = true;
                self.marks.seeking = false;
                self.stats.starvations += 1;
                return Next::Push(vec![Out::Starved(settings.starve_timeout)]);
            }
        }
        let Some(item) = self.media.queue.pop_front() else {
            return Next::Change;
        };
        self.media.busy = true;
        Next::Push(match item {
            Item::Buffer(buffer, span) => self.with_marks(buffer, span),
            Item::Event(event) => self.with_asides(event),
        })
    }

    /// How much longer the marks may make no progress.
    fn time_to_starve(&self, settings: &Settings) -> Duration {
        let since = match self.pace.waiting {
            Some(waiting) => waiting.max(self.marks.progress),
            None => Instant::now(),
        };
        Duration::from(settings.starve_timeout).saturating_sub(since.elapsed())
    }

    fn wait(&self, settings: &Settings, covered: Covered, overdue: bool) -> Wait {
        const NOTHING: Wait = Wait::No { missed: false };
        let marks = &self.marks;
        if !marks.linked || marks.eos || marks.starved || marks.untimed {
            return NOTHING;
        }
        let enough = covered.end.saturating_add(settings.marks_delay);
        if !marks.seeking && marks.position.is_some_and(|position| position >= enough) {
            return NOTHING;
        }
        let Some(latency) = self.pace.latency else {
            return Wait::For(Next::Latency);
        };
        if latency.live {
            return match (overdue, self.pace.playing) {
                (true, _) => Wait::No { missed: true },
                (false, false) => Wait::For(Next::Change),
                (false, true) => {
                    let start = covered.bound.unwrap_or(covered.start);
                    Wait::For(Next::Clock(start.saturating_add(latency.min)))
                }
            };
        }
        // While paused nothing needs to move, but the first buffer is waited for downstream.
        if self.media.started && !self.pace.playing {
            return Wait::For(Next::Change);
        }
        let left = self.time_to_starve(settings);
        if left.is_zero() {
            Wait::Starved
        } else if latency.sure {
            Wait::For(Next::ChangeOr(left))
        } else {
            Wait::For(Next::Latency)
        }
    }

    /// The buffer with its marks, and before it the tempo that holds for it.
    fn with_marks(&mut self, mut buffer: gst::Buffer, span: Span) -> Vec<Out> {
        let Self {
            media,
            marks,
            stats,
            ..
        } = self;
        media.buffers -= 1;
        media.bytes -= buffer.size();
        media.started = true;
        stats.media_buffers += 1;
        let limit = match span {
            Span::Timed(covered) => covered.limit(),
            Span::Untimed => media.end.unwrap_or(gst::ClockTime::MAX),
            Span::Outside => media.end.unwrap_or_default(),
        };
        let mut items = asides(media, marks, limit);
        let taken = marks
            .pending
            .attach_to(&mut buffer, span, media.end, media.segment.as_ref());
        stats.attached += taken.attached;
        stats.late += taken.late;
        stats.duplicates += taken.duplicates;
        if taken.attached > 0 {
            gst::log!(CAT, "{taken:?} on {buffer:?}");
        }
        if let Span::Timed(covered) = span {
            media.came_to(covered.end);
        }
        items.push(Out::Buffer(buffer));
        items
    }

    /// The event, and before it what has to leave first.
    fn with_asides(&mut self, event: gst::Event) -> Vec<Out> {
        let Self {
            media,
            marks,
            stats,
            ..
        } = self;
        match event.view() {
            gst::EventView::StreamStart(_) => {
                media.eos = false;
                media.tags.new_stream();
                marks.pending.clear_carried();
            }
            gst::EventView::Segment(segment) => {
                media.has_segment = true;
                media.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
            }
            gst::EventView::Gap(gap) => {
                if let Some(end) = end_of_gap(media.segment.as_ref(), gap) {
                    media.came_to(end);
                }
            }
            gst::EventView::Tag(_) => return vec![Out::Event(media.tags.pass(event))],
            gst::EventView::Eos(_) | gst::EventView::SegmentDone(_) => {
                let mut items = asides(media, marks, gst::ClockTime::MAX);
                let end = media.end.unwrap_or_default();
                let late = marks.pending.take_before(end, media.segment.as_ref());
                for SourceMarks { source, marks } in late {
                    stats.late += marks.len() as u64;
                    stats.attached += marks.len() as u64;
                    items.push(Out::Event(marks::event(&source, &marks)));
                }
                if event.type_() == gst::EventType::Eos {
                    stats.unattached += marks.pending.clear();
                    media.eos = true;
                }
                items.push(Out::Event(event));
                return items;
            }
            _ => (),
        }
        vec![Out::Event(event)]
    }

    pub fn stats(&self) -> gst::Structure {
        let stats = &self.stats;
        gst::Structure::builder("stats")
            .field("media-buffers", stats.media_buffers)
            .field("received", stats.received)
            .field("attached", stats.attached)
            .field("late", stats.late)
            .field("duplicates", stats.duplicates)
            .field("outside-segment", stats.outside_segment)
            .field("dropped", stats.dropped)
            .field("unattached", stats.unattached)
            .field("pending", self.marks.pending.len() as u64)
            .field("deadlines-missed", stats.deadlines_missed)
            .field("starvations", stats.starvations)
            .build()
    }
}

impl combine::State for State {
    type Out = Out;

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn is_flushing(&self) -> bool {
        self.media.flushing
    }

    fn set_flushing(&mut self, flushing: bool) {
        self.media.flushing = flushing;
    }

    fn queue(&mut self, event: gst::Event) {
        self.media.push(Item::Event(event));
    }

    fn reopen(&mut self) {}

    fn sent(&mut self) -> bool {
        self.media.busy = false;
        let is_eos = |item: &Item| matches!(item, Item::Event(event) if event.type_() == gst::EventType::Eos);
        self.media.queue.iter().any(is_eos)
    }
}

/// What is known of the tempo before `limit`.
fn asides(media: &mut Media, marks: &mut Marks, limit: gst::ClockTime) -> Vec<Out> {
    let mut items = Vec::new();
    // Not before the events that every stream begins with.
    if !media.has_segment {
        return items;
    }
    while let Some((time, _)) = marks.asides.front()
        && *time < limit
        && let Some((_, aside)) = marks.asides.pop_front()
    {
        items.push(Out::Event(match aside {
            Aside::Tempo(event) => event,
            Aside::Bpm(bpm) => media.tags.with_bpm(bpm),
        }));
    }
    items
}

/// End of a gap in running time.
pub(super) fn end_of_gap(
    segment: Option<&Segment>,
    gap: &gst::event::Gap,
) -> Option<gst::ClockTime> {
    let (pts, duration) = gap.get();
    let end = pts.saturating_add(duration.unwrap_or_default());
    running_times(segment?, pts, end).map(|(_, end)| end)
}

impl Marks {
    pub fn push_aside(&mut self, aside: Aside) {
        // The newest says what holds.
        if self.asides.len() >= MAX_ASIDES {
            self.asides.pop_front();
        }
        let time = self.position.unwrap_or_default();
        self.asides.push_back((time, aside));
    }
}
