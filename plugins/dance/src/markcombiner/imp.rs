use std::collections::VecDeque;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::pending::Pending;
use super::span::{Covered, Segment, Span, Spans, running_times};
use crate::lock::lock;
use crate::marks::{self, Deduplicator, SourceMarks};
use crate::sticky;
use crate::task::Task;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "markcombiner",
        gst::DebugColorFlags::empty(),
        Some("Carries marks from one branch to another"),
    )
});

/// Detectors report an onset up to 30 ms after its attack, at the end of an analysis window.
const DEFAULT_MARKS_DELAY: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// A frame of 24 frames a second, and the delay of the marks.
const DEFAULT_LATENCY: gst::ClockTime = gst::ClockTime::from_mseconds(100);
const DEFAULT_STARVE_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(5);

const MAX_SETTING: gst::ClockTime = gst::ClockTime::from_seconds(3600);

/// A queue of media that lies about its timestamps is not to grow without end.
const MAX_BUFFERS: usize = 16_384;
/// How much media may wait for marks that come from the same thread, in files.
const MAX_INTERLEAVE: gst::ClockTime = gst::ClockTime::from_seconds(2);
const MAX_INTERLEAVE_BYTES: usize = 16 << 20;
/// How many tempo changes may wait for their place in the media.
const MAX_ASIDES: usize = 64;
/// How soon an unanswered LATENCY query is asked again.
const LATENCY_RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
struct Settings {
    marks_delay: gst::ClockTime,
    latency: gst::ClockTime,
    starve_timeout: gst::ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            marks_delay: DEFAULT_MARKS_DELAY,
            latency: DEFAULT_LATENCY,
            starve_timeout: DEFAULT_STARVE_TIMEOUT,
        }
    }
}

/// What the element answers to LATENCY.
#[derive(Debug, Clone, Copy)]
struct Latency {
    live: bool,
    /// How long after its start, on the clock, a media buffer leaves at the latest.
    min: gst::ClockTime,
    max: Option<gst::ClockTime>,
    /// Whether every linked branch has answered.
    sure: bool,
}

/// Media on its way to `src`.
enum Item {
    Buffer(gst::Buffer, Span),
    Event(gst::Event),
}

/// What the marks branch says about the music besides marks.
enum Aside {
    Tempo(gst::Event),
    Bpm(f64),
}

/// What the head of the queue has to wait for.
enum Wait {
    /// Nothing; the deadline may have passed.
    No { missed: bool },
    /// A change of state.
    Change,
    /// A change of state, or this long.
    ChangeOr(Duration),
    /// A change of state, or this time on the clock.
    Clock(gst::Clock, gst::ClockTime),
    /// The latency, which is not known.
    Latency,
    /// Nothing any more, since the marks branch starves.
    Starved,
}

#[derive(Debug, Default, Clone)]
struct Stats {
    media_buffers: u64,
    received: u64,
    attached: u64,
    late: u64,
    duplicates: u64,
    outside_segment: u64,
    dropped: u64,
    unattached: u64,
    deadlines_missed: u64,
    starvations: u64,
}

/// The branch on `marks`.
struct Marks {
    linked: bool,
    flushing: bool,
    eos: bool,
    segment: Option<Segment>,
    /// How far it has come, in running time.
    position: Option<gst::ClockTime>,
    /// Buffers came that have no running time.
    untimed: bool,
    /// When it last came further.
    progress: Instant,
    starved: bool,
    /// A seek has been sent up that will flush it; until then it speaks of the time before.
    seeking: bool,
    seen: Deduplicator,
    pending: Pending,
    asides: VecDeque<(gst::ClockTime, Aside)>,
}

/// The branch on `media`.
struct Media {
    flushing: bool,
    /// At the tail of the queue.
    spans: Spans,
    queue: VecDeque<Item>,
    buffers: usize,
    bytes: usize,
    /// Of what has left, if its format is time.
    segment: Option<Segment>,
    has_segment: bool,
    end: Option<gst::ClockTime>,
    eos: bool,
    tags: Option<gst::TagList>,
    bpm: Option<f64>,
    /// When the head of the queue began to wait.
    waiting: Option<Instant>,
    /// Whether a buffer has left since the start or the last flush.
    started: bool,
    /// The task is pushing.
    busy: bool,
}

struct State {
    marks: Marks,
    media: Media,
    /// What downstream said; flushing while `src` is not active.
    flow: Result<gst::FlowSuccess, gst::FlowError>,
    playing: bool,
    latency: Option<Latency>,
    clock_id: Option<gst::SingleShotClockId>,
    stats: Stats,
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
                tags: None,
                bpm: None,
                waiting: None,
                started: false,
                busy: false,
            },
            flow: Err(gst::FlowError::Flushing),
            playing: false,
            latency: None,
            clock_id: None,
            stats: Stats::default(),
        }
    }
}

impl Marks {
    fn came_to(&mut self, position: gst::ClockTime) {
        if self.position.is_none_or(|before| position > before) {
            self.position = Some(position);
            self.untimed = false;
            self.progressed();
        }
    }

    fn progressed(&mut self) {
        self.progress = Instant::now();
        self.starved = false;
    }

    fn flush(&mut self) {
        self.eos = false;
        self.segment = None;
        self.position = None;
        self.untimed = false;
        self.seeking = false;
        self.progressed();
        self.ids_begin_anew();
        self.pending.clear();
        self.asides.clear();
    }

    fn ids_begin_anew(&mut self) {
        self.seen.clear();
        self.pending.clear_carried();
    }

    /// Running time of a mark on the buffers of this branch.
    fn running_time(&self, mark: &marks::Mark, pad_offset: i64) -> Option<gst::ClockTime> {
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
    fn flush(&mut self) -> VecDeque<Item> {
        self.buffers = 0;
        self.bytes = 0;
        self.spans.flush();
        self.segment = None;
        self.has_segment = false;
        self.end = None;
        self.eos = false;
        self.waiting = None;
        self.started = false;
        std::mem::take(&mut self.queue)
    }

    fn push(&mut self, item: Item) {
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
    fn has_room(&self, latency: gst::ClockTime, live: bool) -> bool {
        let Some(level) = self.level() else {
            return self.buffers < 2;
        };
        let interleaved = !live && level <= MAX_INTERLEAVE && self.bytes < MAX_INTERLEAVE_BYTES;
        self.buffers < 2 || self.buffers < MAX_BUFFERS && (level <= latency || interleaved)
    }

    fn came_to(&mut self, end: gst::ClockTime) {
        self.end = Some(self.end.map_or(end, |before| before.max(end)));
    }
}

pub struct MarkCombiner {
    media: gst::Pad,
    marks: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    changed: Condvar,
    task: Task,
}

impl MarkCombiner {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, timeout)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Has everybody look at the state again.
    fn kick(&self, state: &State) {
        self.changed.notify_all();
        if let Some(id) = &state.clock_id {
            id.unschedule();
        }
    }

    // The branch on `media`.

    fn media_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let latency = lock(&self.settings).latency;
        let mut state = lock(&self.state);
        loop {
            if state.media.flushing {
                return Err(gst::FlowError::Flushing);
            }
            state.flow?;
            let (limit, live) = state
                .latency
                .map_or((latency, false), |latency| (latency.min, latency.live));
            if state.media.has_room(limit, live) {
                break;
            }
            state = self.wait(state);
        }
        let span = state.media.spans.of(&buffer);
        gst::log!(CAT, imp = self, "media {buffer:?} covers {span:?}");
        state.media.push(Item::Buffer(buffer, span));
        self.changed.notify_all();
        Ok(gst::FlowSuccess::Ok)
    }

    fn media_event(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.media, "{event:?}");
        match event.view() {
            gst::EventView::FlushStart(_) => {
                {
                    let mut state = lock(&self.state);
                    state.media.flushing = true;
                    state.flow = Err(gst::FlowError::Flushing);
                    self.kick(&state);
                }
                let result = self.src.push_event(event);
                // Waits for the task to come to rest; there is none on an inactive pad.
                let _ = self.src.pause_task();
                result
            }
            gst::EventView::FlushStop(_) => {
                let result = self.src.push_event(event);
                let flushed = {
                    let mut state = lock(&self.state);
                    state.media.flushing = false;
                    state.marks.pending.clear_carried();
                    state.media.flush()
                };
                let events = flushed.into_iter().filter_map(|item| match item {
                    Item::Event(event) => Some(event),
                    Item::Buffer(..) => None,
                });
                sticky::keep(&self.src, events);
                self.start_task();
                result
            }
            _ if event.is_serialized() => self.queue_event(event),
            _ => self.src.push_event(event),
        }
    }

    fn queue_event(&self, event: gst::Event) -> bool {
        let is_eos = event.type_() == gst::EventType::Eos;
        let failed = {
            let mut state = lock(&self.state);
            if state.media.flushing {
                return false;
            }
            match event.view() {
                gst::EventView::Segment(segment) => {
                    state.media.spans.set_segment(segment.segment());
                }
                gst::EventView::Caps(caps) => state.media.spans.set_caps(caps.caps()),
                _ => (),
            }
            let begins = matches!(
                event.type_(),
                gst::EventType::StreamStart | gst::EventType::Segment
            );
            if begins && state.flow == Err(gst::FlowError::Eos) {
                // What was too much for the last segment may not be for the next one.
                drop(state);
                self.start_task();
                state = lock(&self.state);
            }
            match state.flow {
                Ok(_) => {
                    state.media.push(Item::Event(event));
                    self.changed.notify_all();
                    return true;
                }
                Err(err) => err,
            }
        };
        // Upstream sends nothing after an EOS to which it could be told.
        if is_eos {
            self.report_flow(failed);
        }
        false
    }

    fn report_flow(&self, err: gst::FlowError) {
        if !matches!(err, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error"),
                ["streaming stopped, reason {err}"]
            );
        }
    }

    fn media_query(&self, query: &mut gst::QueryRef) -> bool {
        if query.is_serialized() {
            let mut state = lock(&self.state);
            while !state.media.queue.is_empty() || state.media.busy {
                if state.media.flushing || state.flow.is_err() {
                    return false;
                }
                state = self.wait(state);
            }
        }
        let is_caps =
            query.type_() == gst::QueryType::Caps || query.type_() == gst::QueryType::AcceptCaps;
        if is_caps && !self.src.is_linked() {
            return gst::Pad::query_default(&self.media, Some(&*self.obj()), query);
        }
        self.src.peer_query(query)
    }

    // The branch on `marks`.

    fn marks_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let found = marks::read(&buffer);
        let (pts, duration) = (buffer.pts(), buffer.duration());
        gst::log!(
            CAT,
            imp = self,
            "{} sources in marks {buffer:?}",
            found.len()
        );
        // Its memory may be wanted upstream.
        drop(buffer);
        self.take_marks(found)?;
        let mut state = lock(&self.state);
        if state.marks.flushing {
            return Err(gst::FlowError::Flushing);
        }
        let before = state.marks.position;
        match (&state.marks.segment, pts) {
            (Some(segment), Some(pts)) => {
                let end = pts.saturating_add(duration.unwrap_or_default());
                if let Some((_, end)) = running_times(segment, pts, end) {
                    state.marks.came_to(end);
                }
            }
            _ => state.marks.untimed = true,
        }
        if state.marks.position != before || state.marks.untimed {
            self.kick(&state);
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn take_marks(&self, found: Vec<SourceMarks>) -> Result<(), gst::FlowError> {
        if found.is_empty() {
            return Ok(());
        }
        let pad_offset = self.marks.offset();
        let timeout = lock(&self.settings).starve_timeout.into();
        let media_linked = self.media.is_linked();
        let mut state = lock(&self.state);
        for SourceMarks { source, marks } in found {
            for mark in marks {
                state = self.make_room(state, timeout, media_linked);
                let State {
                    marks,
                    stats,
                    media,
                    ..
                } = &mut *state;
                if marks.flushing {
                    return Err(gst::FlowError::Flushing);
                }
                stats.received += 1;
                if !marks.seen.is_new(&source, mark.id) {
                    stats.duplicates += 1;
                    continue;
                }
                let Some(time) = marks.running_time(&mark, pad_offset) else {
                    gst::debug!(CAT, imp = self, "outside the segment: {mark:?}");
                    stats.outside_segment += 1;
                    continue;
                };
                if media.eos {
                    stats.unattached += 1;
                    continue;
                }
                gst::trace!(CAT, imp = self, "{source} at {time}: {mark:?}");
                marks.pending.push(&source, time, mark);
            }
        }
        Ok(())
    }

    /// Holds the marks branch up while too many marks wait for the media, if that is of use.
    fn make_room<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        timeout: Duration,
        media_linked: bool,
    ) -> MutexGuard<'a, State> {
        let mut since = Instant::now();
        let mut end = state.media.end;
        while state.marks.pending.is_full() && !state.marks.flushing {
            let live = state.latency.is_some_and(|latency| latency.live);
            let left = timeout.saturating_sub(since.elapsed());
            let hopeless = live || !media_linked || state.media.eos;
            if hopeless || left.is_zero() {
                state.marks.pending.drop_oldest();
                state.stats.dropped += 1;
                if state.stats.dropped == 1 {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "{} marks wait for media: dropping the oldest",
                        Pending::LIMIT
                    );
                }
                continue;
            }
            state = self.wait_for(state, left);
            // Media that moves, or may not move, will make room.
            if state.media.end != end || !state.playing {
                end = state.media.end;
                since = Instant::now();
            }
        }
        state
    }

    fn marks_event(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.marks, "{event:?}");
        if let Some(found) = marks::from_event(&event) {
            return self.take_marks(vec![found]).is_ok();
        }
        let mut state = lock(&self.state);
        let marks = &mut state.marks;
        match event.view() {
            gst::EventView::FlushStart(_) => marks.flushing = true,
            gst::EventView::FlushStop(_) => {
                marks.flush();
                marks.flushing = false;
            }
            _ if event.is_serialized() && marks.flushing => return false,
            gst::EventView::StreamStart(_) => {
                marks.eos = false;
                marks.ids_begin_anew();
            }
            gst::EventView::Segment(event) => {
                let segment = event.segment().downcast_ref::<gst::ClockTime>().cloned();
                let first = segment.as_ref().and_then(|segment| {
                    let backwards = segment.rate() < 0.0;
                    let first = if backwards {
                        segment.stop()
                    } else {
                        segment.start()
                    };
                    segment.to_running_time(first?)
                });
                marks.segment = segment;
                if let Some(first) = first {
                    marks.came_to(first);
                }
            }
            gst::EventView::Gap(gap) => {
                if let Some(end) = end_of_gap(marks.segment.as_ref(), gap) {
                    marks.came_to(end);
                }
            }
            gst::EventView::Eos(_) => marks.eos = true,
            gst::EventView::Tag(event) => {
                if let Some(bpm) = event.tag().get::<gst::tags::BeatsPerMinute>() {
                    push_aside(marks, Aside::Bpm(bpm.get()));
                }
            }
            gst::EventView::CustomDownstreamSticky(view)
                if view
                    .structure()
                    .is_some_and(|s| s.name() == marks::TEMPO_EVENT_NAME) =>
            {
                push_aside(marks, Aside::Tempo(event.clone()));
            }
            _ => (),
        }
        self.kick(&state);
        true
    }

    fn marks_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Drain(_) => true,
            // The buffers end here, in whatever memory upstream likes.
            gst::QueryViewMut::Allocation(_) => false,
            _ => gst::Pad::query_default(&self.marks, Some(&*self.obj()), query),
        }
    }

    // The pad `src`.

    fn src_event(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.src, "{event:?}");
        match event.view() {
            gst::EventView::Seek(seek) => {
                let (_, flags, ..) = seek.get();
                if flags.contains(gst::SeekFlags::FLUSH) {
                    lock(&self.state).marks.seeking = true;
                }
                // Branches of one demuxer know a seek that comes twice by its number.
                let result = self.media.push_event(event.clone());
                if !self.marks.push_event(event) {
                    let mut state = lock(&self.state);
                    state.marks.seeking = false;
                    self.kick(&state);
                }
                result
            }
            gst::EventView::Latency(_) => {
                let result = self.media.push_event(event.clone());
                if self.marks.is_linked() {
                    self.marks.push_event(event);
                }
                result
            }
            _ => self.media.push_event(event),
        }
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => {
                let Some(latency) = self.query_latency() else {
                    return false;
                };
                query.set(latency.live, latency.min, latency.max);
                true
            }
            // The queue is behind a task of its own.
            gst::QueryViewMut::Scheduling(query) => {
                query.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                query.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
            _ if self.media.is_linked() => self.media.peer_query(query),
            _ => gst::Pad::query_default(&self.src, Some(&*self.obj()), query),
        }
    }

    /// Asks both branches for their latency, and keeps what follows from it.
    fn query_latency(&self) -> Option<Latency> {
        let own = lock(&self.settings).latency;
        let ask = |pad: &gst::Pad| {
            let mut query = gst::query::Latency::new();
            pad.peer_query(&mut query).then(|| query.result())
        };
        let marks_linked = self.marks.is_linked();
        let media = ask(&self.media);
        let marks = marks_linked.then(|| ask(&self.marks)).flatten();
        let (media_live, media_min, media_max) = media.unwrap_or_default();
        let (marks_live, marks_min, _) = marks.unwrap_or_default();
        let min = if marks_linked {
            media_min.max(marks_min + own)
        } else {
            media_min
        };
        let latency = Latency {
            live: media_live || marks_live,
            min,
            // The queue holds `min` on top of what can wait upstream.
            max: media_max.map(|max| max + min),
            sure: media.is_some() && marks.is_some() == marks_linked,
        };
        gst::debug!(CAT, imp = self, "{latency:?}");
        {
            let mut state = lock(&self.state);
            state.latency = Some(latency);
            self.kick(&state);
        }
        media.map(|_| latency)
    }

    fn latency_changed(&self) {
        {
            let mut state = lock(&self.state);
            state.latency = None;
            self.kick(&state);
        }
        let obj = self.obj();
        // Posted without any lock held: the application may answer from a sync handler.
        let _ = obj.post_message(gst::message::Latency::builder().src(&*obj).build());
    }

    fn marks_linked(&self, linked: bool) {
        {
            let mut state = lock(&self.state);
            let marks = &mut state.marks;
            marks.linked = linked;
            // What is linked next begins afresh; marks that have come keep waiting.
            marks.eos = false;
            marks.segment = None;
            marks.position = None;
            marks.untimed = false;
            marks.seeking = false;
            marks.progressed();
        }
        self.latency_changed();
    }

    fn set_playing(&self, playing: bool) {
        let mut state = lock(&self.state);
        state.playing = playing;
        // Time spent in another state does not count.
        state.media.waiting = None;
        self.kick(&state);
    }

    // The task of `src`.

    /// Starts it on an active pad; not while the media are flushed, whose end starts it.
    fn start_task(&self) {
        let begins = || {
            let mut state = lock(&self.state);
            let begins = !state.media.flushing;
            if begins {
                state.flow = Ok(gst::FlowSuccess::Ok);
            }
            begins
        };
        let element = self.obj().downgrade();
        let result = self.task.start(&self.src, begins, move || {
            if let Some(element) = element.upgrade() {
                element.imp().iterate();
            }
        });
        if let Err(err) = result {
            gst::error!(CAT, imp = self, "no task for the source pad: {err}");
        }
    }

    fn activate_src(&self, active: bool) -> Result<(), gst::LoggableError> {
        self.task.set_active(active);
        if active {
            // As a rule the sink is activated after this, and starts it then.
            self.start_task();
            return Ok(());
        }
        {
            let mut state = lock(&self.state);
            state.flow = Err(gst::FlowError::Flushing);
            self.kick(&state);
        }
        self.src
            .stop_task()
            .map_err(|err| gst::loggable_error!(CAT, "no end of the source pad's task: {err}"))
    }

    /// Lets the head of the queue out as soon as it may go.
    fn iterate(&self) {
        let Some(items) = self.next() else {
            // Flushing, or failed: a flush or a new start begins again, and may have done so just now.
            self.task
                .rest(&self.src, || lock(&self.state).flow.is_err());
            return;
        };
        let mut result = Ok(gst::FlowSuccess::Ok);
        let mut eos = false;
        for item in items {
            match item {
                Item::Buffer(buffer, _) => result = self.src.push(buffer),
                Item::Event(event) => {
                    eos |= event.type_() == gst::EventType::Eos;
                    // What a refused event means comes back with the next buffer.
                    self.src.push_event(event);
                }
            }
        }
        let failed = {
            let mut state = lock(&self.state);
            state.media.busy = false;
            let failed = match result {
                // A flush in the meantime outranks what came of the push.
                Err(err) if state.flow.is_ok() => {
                    state.flow = Err(err);
                    let ended = state.media.queue.iter().any(|item| {
                        matches!(item, Item::Event(event) if event.type_() == gst::EventType::Eos)
                    });
                    ended.then_some(err)
                }
                _ => None,
            };
            self.changed.notify_all();
            failed
        };
        if let Some(err) = failed {
            self.report_flow(err);
        }
        if eos {
            gst::info!(
                CAT,
                imp = self,
                "end of media: {:?}",
                lock(&self.state).stats
            );
        }
    }

    /// What to push next, in order; `None` where nothing is to be pushed any more.
    fn next(&self) -> Option<Vec<Item>> {
        let settings = *lock(&self.settings);
        let mut state = lock(&self.state);
        loop {
            state.flow.ok()?;
            let wait = match state.media.queue.front() {
                None => Wait::Change,
                Some(Item::Buffer(_, Span::Timed(covered))) => {
                    self.what_to_wait_for(&state, &settings, *covered)
                }
                Some(_) => Wait::No { missed: false },
            };
            if !matches!(wait, Wait::No { .. }) && !state.media.queue.is_empty() {
                state.media.waiting.get_or_insert_with(Instant::now);
            }
            match wait {
                Wait::No { missed } => {
                    state.stats.deadlines_missed += u64::from(missed);
                    break;
                }
                Wait::Change => state = self.wait(state),
                Wait::ChangeOr(timeout) => state = self.wait_for(state, timeout),
                Wait::Clock(clock, deadline) => {
                    let id = clock.new_single_shot_id(deadline);
                    state.clock_id = Some(id.clone());
                    drop(state);
                    let _ = id.wait();
                    state = lock(&self.state);
                    state.clock_id = None;
                }
                Wait::Latency => {
                    // Where there was no answer yet, it is asked for again a little later.
                    if state.latency.is_some() {
                        state = self.wait_for(state, LATENCY_RETRY);
                    }
                    drop(state);
                    self.query_latency();
                    state = lock(&self.state);
                }
                Wait::Starved => {
                    state.marks.starved = true;
                    state.marks.seeking = false;
                    state.stats.starvations += 1;
                    drop(state);
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Failed,
                        (
                            "No progress of the marks for {}: media goes on without them",
                            settings.starve_timeout
                        ),
                        ["a branch without a queue, or too small a one, may hold the other up"]
                    );
                    state = lock(&self.state);
                }
            }
        }
        state.media.waiting = None;
        state.media.busy = true;
        let item = state.media.queue.pop_front()?;
        let items = match item {
            Item::Buffer(buffer, span) => self.with_marks(&mut state, buffer, span),
            Item::Event(event) => self.with_asides(&mut state, event),
        };
        self.changed.notify_all();
        Some(items)
    }

    /// How much longer the marks may make no progress.
    fn time_to_starve(&self, state: &State, settings: &Settings) -> Duration {
        let since = match state.media.waiting {
            Some(waiting) => waiting.max(state.marks.progress),
            None => Instant::now(),
        };
        Duration::from(settings.starve_timeout).saturating_sub(since.elapsed())
    }

    fn what_to_wait_for(&self, state: &State, settings: &Settings, covered: Covered) -> Wait {
        const NOTHING: Wait = Wait::No { missed: false };
        let marks = &state.marks;
        if !marks.linked || marks.eos || marks.starved || marks.untimed {
            return NOTHING;
        }
        let enough = covered.end.saturating_add(settings.marks_delay);
        if !marks.seeking && marks.position.is_some_and(|position| position >= enough) {
            return NOTHING;
        }
        let Some(latency) = state.latency else {
            return Wait::Latency;
        };
        if !latency.live {
            // While paused nothing needs to move, but the first buffer is waited for downstream.
            if state.media.started && !state.playing {
                return Wait::Change;
            }
            let left = self.time_to_starve(state, settings);
            return if left.is_zero() {
                Wait::Starved
            } else if latency.sure {
                Wait::ChangeOr(left)
            } else {
                Wait::Latency
            };
        }
        let obj = self.obj();
        let (true, Some(clock), Some(base_time)) = (state.playing, obj.clock(), obj.base_time())
        else {
            return Wait::Change;
        };
        let start = covered.bound.unwrap_or(covered.start);
        let deadline = base_time.saturating_add(start).saturating_add(latency.min);
        if clock.time() >= deadline {
            Wait::No { missed: true }
        } else {
            Wait::Clock(clock, deadline)
        }
    }

    /// The buffer with its marks, and before it the tempo that holds for it.
    fn with_marks(&self, state: &mut State, mut buffer: gst::Buffer, span: Span) -> Vec<Item> {
        let State {
            media,
            marks,
            stats,
            ..
        } = state;
        media.buffers -= 1;
        media.bytes -= buffer.size();
        media.started = true;
        stats.media_buffers += 1;
        let limit = match span {
            Span::Timed(covered) => covered.limit(),
            Span::Untimed => media.end.unwrap_or(gst::ClockTime::MAX),
            Span::Outside => media.end.unwrap_or_default(),
        };
        let mut items = self.asides(media, marks, limit);
        let taken = marks
            .pending
            .attach_to(&mut buffer, span, media.end, media.segment.as_ref());
        stats.attached += taken.attached;
        stats.late += taken.late;
        stats.duplicates += taken.duplicates;
        if taken.attached > 0 {
            gst::log!(CAT, imp = self, "{taken:?} on {buffer:?}");
        }
        if let Span::Timed(covered) = span {
            media.came_to(covered.end);
        }
        items.push(Item::Buffer(buffer, span));
        items
    }

    /// The event, and before it what has to leave first.
    fn with_asides(&self, state: &mut State, event: gst::Event) -> Vec<Item> {
        let State {
            media,
            marks,
            stats,
            ..
        } = state;
        match event.view() {
            gst::EventView::StreamStart(_) => {
                media.eos = false;
                media.tags = None;
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
            gst::EventView::Tag(tag) if tag.tag().scope() == gst::TagScope::Stream => {
                media.tags = Some(tag.tag_owned());
                if let Some(bpm) = media.bpm {
                    return vec![Item::Event(with_bpm(media.tags.as_ref(), bpm))];
                }
            }
            gst::EventView::Eos(_) => {
                let mut items = self.asides(media, marks, gst::ClockTime::MAX);
                let end = media.end.unwrap_or_default();
                for SourceMarks { source, marks } in
                    marks.pending.take_before(end, media.segment.as_ref())
                {
                    stats.late += marks.len() as u64;
                    stats.attached += marks.len() as u64;
                    items.push(Item::Event(marks::event(&source, &marks)));
                }
                stats.unattached += marks.pending.clear();
                media.eos = true;
                items.push(Item::Event(event));
                return items;
            }
            _ => (),
        }
        vec![Item::Event(event)]
    }

    /// What is known of the tempo before `limit`.
    fn asides(&self, media: &mut Media, marks: &mut Marks, limit: gst::ClockTime) -> Vec<Item> {
        let mut items = Vec::new();
        // Not before the events that every stream begins with.
        if !media.has_segment {
            return items;
        }
        while let Some((time, _)) = marks.asides.front()
            && *time < limit
            && let Some((_, aside)) = marks.asides.pop_front()
        {
            items.push(Item::Event(match aside {
                Aside::Tempo(event) => event,
                Aside::Bpm(bpm) => {
                    media.bpm = Some(bpm);
                    with_bpm(media.tags.as_ref(), bpm)
                }
            }));
        }
        items
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let stats = &state.stats;
        gst::Structure::builder("stats")
            .field("media-buffers", stats.media_buffers)
            .field("received", stats.received)
            .field("attached", stats.attached)
            .field("late", stats.late)
            .field("duplicates", stats.duplicates)
            .field("outside-segment", stats.outside_segment)
            .field("dropped", stats.dropped)
            .field("unattached", stats.unattached)
            .field("pending", state.marks.pending.len() as u64)
            .field("deadlines-missed", stats.deadlines_missed)
            .field("starvations", stats.starvations)
            .build()
    }
}

/// End of a gap in running time.
fn end_of_gap(segment: Option<&Segment>, gap: &gst::event::Gap) -> Option<gst::ClockTime> {
    let (pts, duration) = gap.get();
    let end = pts.saturating_add(duration.unwrap_or_default());
    running_times(segment?, pts, end).map(|(_, end)| end)
}

fn push_aside(marks: &mut Marks, aside: Aside) {
    // The newest tell what holds.
    if marks.asides.len() >= MAX_ASIDES {
        marks.asides.pop_front();
    }
    let time = marks.position.unwrap_or_default();
    marks.asides.push_back((time, aside));
}

/// The tags of the media with the tempo: a pad keeps one list of them.
fn with_bpm(tags: Option<&gst::TagList>, bpm: f64) -> gst::Event {
    let mut tags = tags.cloned().unwrap_or_default();
    tags.make_mut()
        .add::<gst::tags::BeatsPerMinute>(&bpm, gst::TagMergeMode::Replace);
    gst::event::Tag::new(tags)
}

#[glib::object_subclass]
impl ObjectSubclass for MarkCombiner {
    const NAME: &'static str = "GstMarkCombiner";
    type Type = super::MarkCombiner;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        // Static pads of templates that `pad_templates` names.
        #[allow(clippy::unwrap_used)]
        let builder = |name| gst::Pad::builder_from_template(&klass.pad_template(name).unwrap());
        let media = builder("media")
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.media_chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.media_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.media_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Ok(()),
                    |this| {
                        {
                            let mut state = lock(&this.state);
                            state.media.flushing = !active;
                            this.kick(&state);
                        }
                        if active {
                            this.start_task();
                        }
                        Ok(())
                    },
                )
            })
            .iterate_internal_links_function(|_, parent| {
                Self::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(vec![]),
                    |this| gst::Iterator::from_vec(vec![this.src.clone()]),
                )
            })
            .build();
        let marks = builder("marks")
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.marks_chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.marks_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.marks_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Ok(()),
                    |this| {
                        let mut state = lock(&this.state);
                        state.marks.flushing = !active;
                        this.kick(&state);
                        Ok(())
                    },
                )
            })
            // What comes in here does not go out.
            .iterate_internal_links_function(|_, _| gst::Iterator::from_vec(vec![]))
            .build();
        let src = builder("src")
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(query))
            })
            .activatemode_function(|pad, parent, mode, active| {
                if mode != gst::PadMode::Push {
                    return Err(gst::loggable_error!(CAT, "{mode:?} mode on {}", pad.name()));
                }
                Self::catch_panic_pad_function(parent, || Ok(()), |this| this.activate_src(active))
            })
            .iterate_internal_links_function(|_, parent| {
                Self::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(vec![]),
                    |this| gst::Iterator::from_vec(vec![this.media.clone()]),
                )
            })
            .build();
        MarkCombiner {
            media,
            marks,
            src,
            settings: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            task: Task::default(),
        }
    }
}

impl ObjectImpl for MarkCombiner {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let time = |name, nick, blurb, default: gst::ClockTime| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .maximum(MAX_SETTING.nseconds())
                    .default_value(default.nseconds())
                    .mutable_playing()
                    .build()
            };
            vec![
                time(
                    "marks-delay",
                    "Delay of the marks",
                    "How late after its instant a mark may come on the marks branch, in ns: media \
                     waits for the branch to be this far ahead of it",
                    DEFAULT_MARKS_DELAY,
                ),
                time(
                    "latency",
                    "Latency",
                    "In live pipelines, how long after the start of a media buffer its marks may \
                     come, on top of the marks' own latency, in ns: the duration of a buffer and \
                     marks-delay",
                    DEFAULT_LATENCY,
                ),
                time(
                    "starve-timeout",
                    "Timeout of starvation",
                    "In other pipelines, how long media waits for a marks branch that shows no \
                     progress, in ns of wall-clock time",
                    DEFAULT_STARVE_TIMEOUT,
                ),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb(
                        "Counts since READY: media-buffers sent; marks received, of them attached \
                         (late ones too), late, duplicates, outside-segment, dropped for want of \
                         room, unattached for want of media, pending; deadlines-missed and \
                         starvations",
                    )
                    .read_only()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [&self.media, &self.marks, &self.src] {
            if let Err(err) = obj.add_pad(pad) {
                gst::error!(CAT, imp = self, "no pad {}: {err}", pad.name());
            }
        }
        for (linked, connect) in [(true, "linked"), (false, "unlinked")] {
            let element = obj.downgrade();
            self.marks.connect(connect, false, move |_| {
                if let Some(element) = element.upgrade() {
                    element.imp().marks_linked(linked);
                }
                None
            });
        }
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let Ok(time) = value.get::<u64>().map(gst::ClockTime::from_nseconds) else {
            return;
        };
        let latency_changed = {
            let mut settings = lock(&self.settings);
            let before = settings.latency;
            match pspec.name() {
                "marks-delay" => settings.marks_delay = time,
                "latency" => settings.latency = time,
                "starve-timeout" => settings.starve_timeout = time,
                // GObject hands over the properties above only.
                _ => unreachable!(),
            }
            gst::info!(CAT, imp = self, "{settings:?}");
            before != settings.latency
        };
        if latency_changed {
            self.latency_changed();
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *lock(&self.settings);
        match pspec.name() {
            "marks-delay" => settings.marks_delay.nseconds().to_value(),
            "latency" => settings.latency.nseconds().to_value(),
            "starve-timeout" => settings.starve_timeout.nseconds().to_value(),
            "stats" => self.stats().to_value(),
            _ => unreachable!(),
        }
    }
}

impl GstObjectImpl for MarkCombiner {}

impl ElementImpl for MarkCombiner {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Mark combiner",
                "Generic/Metadata",
                "Carries rhythm marks from one branch to the buffers of another",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                ("media", gst::PadDirection::Sink),
                ("marks", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .into_iter()
            .filter_map(|(name, direction)| {
                let caps = gst::Caps::new_any();
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
            })
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => lock(&self.state).stats = Stats::default(),
            gst::StateChange::PlayingToPaused => self.set_playing(false),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToPlaying => self.set_playing(true),
            gst::StateChange::PausedToReady => {
                let mut state = lock(&self.state);
                let linked = state.marks.linked;
                // The statistics of what has ended can still be read.
                let stats = state.stats.clone();
                *state = State::default();
                state.marks.linked = linked;
                state.stats = stats;
            }
            _ => (),
        }
        Ok(success)
    }
}
