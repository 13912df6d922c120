//! What leaves at `video_src` next, and what it has to wait for.

use std::time::{Duration, Instant};

use dance_rhythm::retarget::{Limits, Planner, TimeMap};

use super::Interpolation;
use super::branches::{Axis, Frame, Item, Segment, Side, Video};
use super::course::{Course, Settings};
use super::marksfile::FileMarks;
use super::picture;
use super::record::Record;
use crate::hoof;
use crate::marks::{self, SourceMarks};

/// A queue of frames that lie about their timestamps is not to grow without end.
const MAX_FRAMES: usize = 4096;
/// Frames that wait where nothing has to be looked at ahead.
const FRAMES: usize = 3;
/// Marks of a side that are kept for the path.
const MAX_PATH_MARKS: usize = 1 << 16;
/// Shares of a frame nearer than this to one of its ends are that end.
const NEAR: f64 = 0.02;
/// Without visual marks for so long, in seconds of the stream, the dance is taken to stand still.
const STATIC: f64 = 5.0;

/// What the element answers to LATENCY.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub live: bool,
    pub min: gst::ClockTime,
    pub max: Option<gst::ClockTime>,
    /// Whether every linked branch has answered.
    pub sure: bool,
}

/// What goes out.
pub(super) enum Out {
    Buffer(gst::Buffer),
    Event(gst::Event),
    Status(&'static str, [u64; 2]),
    Warning(String),
    /// The end: the path can be written.
    End,
}

/// What comes next.
pub(super) enum Next {
    Push(Vec<Out>),
    /// To be asked again.
    Again,
    /// A change of state.
    Change,
    /// A change of state, or this long.
    ChangeOr(Duration),
    /// A change of state, or this running time on the clock.
    Clock(gst::ClockTime),
    /// The latency, which is not known.
    Latency,
}

/// The timeline of the output: that of the music.
struct Begun {
    segment: Segment,
    first: gst::ClockTime,
}

/// A picture that is due.
#[derive(Clone, Copy)]
struct Step {
    pts: gst::ClockTime,
    duration: gst::ClockTime,
    output: f64,
    source: f64,
    speed: f64,
}

/// The output so far.
#[derive(Default)]
pub(super) struct Output {
    begun: Option<Begun>,
    course: Option<Course>,
    /// Video passes as it is.
    pub direct: bool,
    /// Pictures since it began.
    count: u64,
    step: Option<Step>,
    /// Source instant of the last step.
    last_source: Option<f64>,
    shown: Option<f64>,
    current_shown: bool,
    next_shown: bool,
    /// The last SEGMENT of the video, which only goes out where video passes as it is.
    segment: Option<gst::Event>,
    /// A buffer has left.
    pub started: bool,
    status: Option<&'static str>,
    warned: bool,
    /// The task is pushing.
    pub busy: bool,
    /// When the head began to wait.
    pub waiting: Option<Instant>,
    pub starved: bool,
}

pub(super) struct State {
    pub axis: Axis,
    pub limits: Limits,
    pub file: Option<FileMarks>,
    pub map: Option<TimeMap>,
    pub video: Video,
    pub audio: Side,
    /// PTS of the first music since the start or a flush.
    pub first_audio: Option<gst::ClockTime>,
    pub out: Output,
    pub record: Record,
    /// Instants of marks that came with the streams, visual and of the music.
    pub path_marks: [Vec<f64>; 2],
    pub path_written: bool,
    /// What downstream said; flushing while `video_src` is not active.
    pub flow: Result<gst::FlowSuccess, gst::FlowError>,
    pub playing: bool,
    pub latency: Option<Latency>,
    pub clock_id: Option<gst::SingleShotClockId>,
    pub last_seek: Option<(gst::Seqnum, bool)>,
}

impl Default for State {
    fn default() -> Self {
        let flushing = || Side {
            flushing: true,
            ..Side::default()
        };
        Self {
            axis: Axis::Running,
            limits: Limits::default(),
            file: None,
            map: None,
            video: Video {
                // The element does nothing before it comes.
                side: Side {
                    linked: true,
                    ..flushing()
                },
                ..Video::default()
            },
            audio: flushing(),
            first_audio: None,
            out: Output::default(),
            record: Record::default(),
            path_marks: Default::default(),
            path_written: false,
            flow: Err(gst::FlowError::Flushing),
            playing: false,
            latency: None,
            clock_id: None,
            last_seek: None,
        }
    }
}

impl State {
    /// Room for one more frame: a few at least, and beyond those as many as have to wait.
    pub(super) fn has_room(&self, settings: &Settings) -> bool {
        let frames = self.video.frames();
        if frames < FRAMES {
            return true;
        }
        if self.axis == Axis::Stream || self.out.direct || frames >= MAX_FRAMES {
            return false;
        }
        let newest = self.video.side.arrived.unwrap_or(0.0);
        let first = self.video.current.as_ref().or(self.video.next_frame());
        let tick = self.video.tick().map_or(0.1, gst::ClockTime::seconds_f64);
        let most = settings.look_ahead.seconds_f64() + settings.drift() + FRAMES as f64 * tick;
        first.is_none_or(|first| newest - first.at < most)
    }

    /// Begins the timeline anew, where the music is next.
    pub(super) fn begin_anew(&mut self) {
        let segment = self.out.segment.take();
        self.out = Output {
            segment,
            status: self.out.status,
            warned: self.out.warned,
            busy: self.out.busy,
            ..Output::default()
        };
        self.record.leap();
    }

    /// The video was flushed and the music was not: its timeline goes on where it was.
    pub(super) fn go_on_later(&mut self) {
        if let Some(begun) = &self.out.begun
            && self.first_audio.is_some()
            && let Some(gone) = self.video.after(self.out.count)
        {
            self.first_audio = Some(begun.first + gone);
        }
        self.begin_anew();
    }

    pub(super) fn note_marks(&mut self, side: usize, new: usize) {
        let placed = if side == 0 {
            &self.video.side.marks
        } else {
            &self.audio.marks
        };
        let times = &mut self.path_marks[side];
        // New ones are as a rule the last.
        for mark in placed.iter().rev().take(new) {
            if times.len() < MAX_PATH_MARKS {
                times.push(mark.at);
            }
        }
    }

    fn counts(&self) -> [u64; 2] {
        match &self.file {
            Some(file) => [file.visual.len() as u64, file.audio.len() as u64],
            None => [self.video.side.count, self.audio.count],
        }
    }

    /// Says once how it stands.
    fn status(&mut self, status: &'static str) -> Option<Out> {
        if self.out.status == Some(status) {
            return None;
        }
        self.out.status = Some(status);
        Some(Out::Status(status, self.counts()))
    }

    /// Decides what comes next; `overdue` if the deadline it was waited for has passed, so that what is known has to do.
    pub(super) fn next(&mut self, settings: &Settings, overdue: bool) -> Next {
        // What comes before the next frame goes before it.
        if let Some(Item::Event(event)) = self.video.queue.front() {
            if event.type_() != gst::EventType::Eos {
                return self.event();
            }
            if self.video.current.is_none() || self.out.direct {
                return self.end();
            }
        }
        if self.video.current.is_none() && self.video.queue.is_empty() {
            return Next::Change;
        }
        if self.out.direct {
            return match self.video.queue.pop_front() {
                Some(Item::Frame(frame)) => {
                    self.out.started = true;
                    Next::Push(vec![Out::Buffer(frame.buffer)])
                }
                _ => Next::Change,
            };
        }
        if self.out.begun.is_none() {
            return self.begin(settings, overdue);
        }
        match self.out.step {
            None => self.step(settings, overdue),
            Some(step) => self.picture(step, settings),
        }
    }

    /// The event at the head of the queue.
    fn event(&mut self) -> Next {
        let Some(Item::Event(event)) = self.video.queue.pop_front() else {
            return Next::Again;
        };
        match event.view() {
            gst::EventView::Caps(caps) => {
                // Memory of other kinds cannot be blended here.
                let plain = caps.caps().features(0).is_none_or(|features| {
                    features.is_equal(gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY.as_ref())
                });
                let info = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                self.video.info = info.filter(|_| plain);
                // A frame of the old format has no place under the new one.
                self.video.current = None;
                let mut caps = caps.caps_owned();
                let variable = caps
                    .structure(0)
                    .and_then(|s| s.get::<gst::Fraction>("framerate").ok())
                    .is_none_or(|rate| rate.numer() == 0);
                if let Some(rate) = self.video.rate.filter(|_| variable && !self.out.direct) {
                    let caps = caps.make_mut();
                    caps.set("framerate", rate);
                    if let Some(s) = caps.structure_mut(0) {
                        s.remove_field("max-framerate");
                    }
                }
                Next::Push(vec![Out::Event(gst::event::Caps::new(&caps))])
            }
            gst::EventView::Segment(_) => {
                if self.out.direct {
                    return Next::Push(vec![Out::Event(event)]);
                }
                self.out.segment = Some(event);
                Next::Again
            }
            _ => Next::Push(vec![Out::Event(event)]),
        }
    }

    /// Lets video pass as it is.
    fn pass(&mut self) -> Next {
        self.out.direct = true;
        let segment = self.out.segment.take().map(Out::Event);
        let status = self.status("no-audio");
        Next::Push(segment.into_iter().chain(status).collect())
    }

    fn begin(&mut self, settings: &Settings, overdue: bool) -> Next {
        let forward = |side: &Side| {
            side.segment
                .as_ref()
                .is_some_and(|segment| segment.rate() > 0.0)
        };
        let untimed = self.audio.segment.is_none() && self.first_audio.is_some();
        let no_audio = !self.audio.linked || self.audio.eos && self.first_audio.is_none();
        if !forward(&self.video.side) || no_audio || untimed || self.video.rate.is_none() {
            return self.pass();
        }
        let (Some(first), Some(segment)) = (self.first_audio, self.audio.segment.clone()) else {
            let frame = self.video.next_frame().map_or(0.0, |frame| frame.at);
            let wait = if overdue {
                None
            } else {
                self.wait(frame, [false, true], settings)
            };
            return wait.unwrap_or_else(|| self.pass());
        };
        if segment.rate() <= 0.0 {
            return self.pass();
        }
        let Some(output) = self.axis.of(&segment, first) else {
            return self.pass();
        };
        let [visual, audio] = self.counts();
        let status = match (&self.map, visual, audio) {
            (None, ..) => None,
            (Some(_), 0, _) => self.status("no-visual-marks"),
            (Some(_), _, 0) => self.status("no-audio-marks"),
            (Some(_), ..) => self.status("aligned"),
        };
        self.out.course = Some(match &self.map {
            Some(map) => Course::Map(map.clone()),
            None => {
                let (drift, strength) = (settings.drift(), settings.strength);
                Course::Live(Planner::new(self.limits, drift, strength, output))
            }
        });
        let event = gst::event::Segment::new(&segment);
        self.out.begun = Some(Begun { segment, first });
        Next::Push([Out::Event(event)].into_iter().chain(status).collect())
    }

    /// What to wait for until the picture of that instant leaves at the latest; `None` if that is now.
    /// `lacks` says which side has not come so far, the video or the music.
    fn wait(&mut self, output: f64, lacks: [bool; 2], settings: &Settings) -> Option<Next> {
        let Some(latency) = self.latency else {
            return Some(Next::Latency);
        };
        self.out.waiting.get_or_insert_with(Instant::now);
        if latency.live && self.axis == Axis::Running {
            if !self.playing {
                return Some(Next::Change);
            }
            let due = gst::ClockTime::from_nseconds((output.max(0.0) * 1e9) as u64);
            return Some(Next::Clock(due + latency.min));
        }
        if self.out.starved {
            return None;
        }
        // While paused nothing needs to move, but the first picture is waited for downstream.
        if self.out.started && !self.playing {
            return Some(Next::Change);
        }
        // A side that has come does not excuse the one that is waited for.
        let progress = [self.video.side.progress, self.audio.progress];
        let lacking = progress.into_iter().zip(lacks).filter(|(_, lacks)| *lacks);
        let last = lacking.filter_map(|(progress, _)| progress).max();
        let since = last.max(self.out.waiting)?;
        let timeout: Duration = settings.starve_timeout.into();
        let left = timeout.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Some(if latency.sure {
                Next::ChangeOr(left)
            } else {
                Next::Latency
            });
        }
        self.out.starved = true;
        Some(Next::Push(vec![Out::Warning(format!(
            "No progress for {}: video goes on without knowing what follows",
            settings.starve_timeout
        ))]))
    }

    /// Finds the next picture's place in the video.
    fn step(&mut self, settings: &Settings, overdue: bool) -> Next {
        let (Some(begun), Some(gone), Some(then)) = (
            &self.out.begun,
            self.video.after(self.out.count),
            self.video.after(self.out.count + 1),
        ) else {
            return self.pass();
        };
        let pts = begun.first + gone;
        let past = begun.segment.stop().is_some_and(|stop| pts >= stop);
        let Some(output) = self.axis.of(&begun.segment, pts).filter(|_| !past) else {
            return self.end();
        };
        let end = self.axis.of(&begun.segment, begun.first + then);
        let time = end.map_or(0.0, |end| end - output);
        let ahead = match self.axis {
            Axis::Running => settings.look_ahead.seconds_f64(),
            // One picture ahead of the music is no harm, and keeps a multiplexer going that takes turns.
            Axis::Stream => -time,
        };
        let offset = settings.offset as f64 * 1e-9;
        if self.audio.eos && self.audio.arrived.is_none_or(|end| output >= end - 1e-6) {
            return self.end();
        }
        let music = self.audio.has(output + ahead);
        let video = self.axis == Axis::Stream
            || self.video.side.has(output + ahead)
            || !self.has_room(settings);
        if video && music {
            self.out.starved = false;
        } else {
            if !overdue && let Some(wait) = self.wait(output, [!video, !music], settings) {
                return wait;
            }
            self.record.late += 1;
        }
        self.take_step(pts, then - gone, output, time, offset)
    }

    fn take_step(
        &mut self,
        pts: gst::ClockTime,
        duration: gst::ClockTime,
        output: f64,
        time: f64,
        offset: f64,
    ) -> Next {
        let source = match &mut self.out.course {
            None => output,
            Some(Course::Map(map)) => map.at(output),
            Some(Course::Live(planner)) => {
                let visual = self.video.side.for_planner();
                let mut audio = self.audio.for_planner();
                audio.iter_mut().for_each(|mark| mark.time += offset);
                let frames = self.video.queue.iter().rev().find_map(|item| match item {
                    Item::Frame(frame) => Some(frame.at),
                    Item::Event(_) => None,
                });
                let newest = frames.or(self.video.current.as_ref().map(|frame| frame.at));
                // The last frame of the video lasts as long as any.
                let rest = if self.video.side.eos { 2.0 * time } else { 0.0 };
                planner.step(output, &visual, &audio, newest.unwrap_or(0.0) + rest)
            }
        };
        let speed = match self.out.last_source {
            Some(before) if time > 0.0 => (source - before) / time,
            _ => 1.0,
        };
        self.out.last_source = Some(source);
        self.out.step = Some(Step {
            pts,
            duration,
            output,
            source,
            speed,
        });
        // Marks of the music that lie behind are of no use any more.
        while self
            .audio
            .marks
            .front()
            .is_some_and(|mark| mark.at + offset < output - 1.0)
        {
            self.audio.marks.pop_front();
        }
        Next::Again
    }

    /// Shows the picture that is due.
    fn picture(&mut self, step: Step, settings: &Settings) -> Next {
        let half = 0.5 * step.duration.seconds_f64();
        while let Some(Item::Frame(next)) = self.video.queue.front()
            && next.at <= step.source + 1e-9
        {
            if self.video.current.is_some() && !self.out.current_shown {
                self.record.dropped += 1;
            }
            let Some(Item::Frame(next)) = self.video.queue.pop_front() else {
                break;
            };
            self.video.current = Some(next);
            self.out.current_shown = std::mem::take(&mut self.out.next_shown);
        }
        // An event goes before the frame after it, and the frame before it goes first.
        let is_last = self.video.queue.front().is_some_and(
            |item| matches!(item, Item::Event(event) if event.type_() != gst::EventType::Eos),
        );
        if is_last && (self.out.current_shown || self.video.current.is_none()) {
            return Next::Again;
        }
        let next = self.video.next_frame().filter(|_| !is_last).cloned();
        if next.is_none() && !is_last && !self.video.side.eos && self.axis == Axis::Stream {
            return Next::Change;
        }
        let current = self.video.current.clone();
        let (frame, other) = match (current, next) {
            (None, None) => return Next::Change,
            (None, Some(next)) => {
                // Nothing has been there so far; files begin with their first frame all the same.
                if self.axis == Axis::Running && next.at > step.source + 2.0 * half {
                    self.out.step = None;
                    self.out.count += 1;
                    return Next::Again;
                }
                (next, None)
            }
            (Some(current), None) => {
                let is_over = step.source >= current.end.max(current.at + half) - 1e-6;
                if self.video.side.eos && !is_last && is_over {
                    return self.end();
                }
                (current, None)
            }
            (Some(current), Some(next)) => {
                let nearer_next = next.at - step.source < step.source - current.at;
                if settings.interpolation == Interpolation::Nearest {
                    if nearer_next {
                        (next, None)
                    } else {
                        (current, None)
                    }
                } else {
                    let share = (step.source - current.at) / (next.at - current.at).max(1e-9);
                    if share < NEAR {
                        (current, None)
                    } else if share > 1.0 - NEAR {
                        (next, None)
                    } else {
                        (current, Some((next, share)))
                    }
                }
            }
        };
        self.out.step = None;
        self.out.count += 1;
        let mut outs = Vec::new();
        let between = other.and_then(|(next, share)| {
            let nearer = if share > 0.5 { &next } else { &frame };
            self.between(&frame, &next, share, settings, &mut outs)
                .ok_or_else(|| nearer.clone())
                .map_or_else(
                    |nearer| Some((nearer.buffer.copy(), nearer.at, false)),
                    |buffer| Some((buffer, step.source, true)),
                )
        });
        let (mut buffer, at, made) =
            between.unwrap_or_else(|| (frame.buffer.copy(), frame.at, false));
        let is_current = (self.video.current.as_ref()).is_some_and(|current| current.at == at);
        if made || is_current {
            self.out.current_shown = true;
        }
        if made || !is_current {
            self.out.next_shown = true;
        }
        let repeated = !made && self.out.shown == Some(at);
        self.out.shown = Some(at);
        let Step {
            output,
            source,
            duration,
            ..
        } = step;
        self.record.picture(output, source, duration, repeated);
        self.dress(&mut buffer, step);
        self.out.started = true;
        self.out.waiting = None;
        if self.map.is_none() {
            outs.extend(self.live_status(step.output));
        }
        outs.push(Out::Buffer(buffer));
        Next::Push(outs)
    }

    /// Tells when marks begin to be followed, and when there are none.
    fn live_status(&mut self, output: f64) -> Option<Out> {
        let begun = self.out.begun.as_ref()?;
        let since = output - self.axis.of(&begun.segment, begun.first)?;
        match self.counts() {
            [visual, audio] if visual > 0 && audio > 0 => self.status("aligned"),
            [0, _] if since >= STATIC => self.status("no-visual-marks"),
            [_, 0] if since >= STATIC => self.status("no-audio-marks"),
            _ => None,
        }
    }

    fn between(
        &mut self,
        from: &Frame,
        to: &Frame,
        share: f64,
        settings: &Settings,
        outs: &mut Vec<Out>,
    ) -> Option<gst::Buffer> {
        let along = settings.interpolation == Interpolation::Flow;
        let info = self.video.info.as_ref();
        let made = info
            .filter(|info| picture::can_blend(info))
            .and_then(|info| picture::between(&from.buffer, &to.buffer, share, along, info));
        if made.is_none() && !self.out.warned {
            self.out.warned = true;
            let format = info.map_or("this memory".to_owned(), |info| info.format().to_string());
            outs.push(Out::Warning(format!(
                "Cannot blend frames of {format}: showing the nearer one"
            )));
        }
        made
    }

    /// Gives a picture its place on the timeline, and the marks that fall into it.
    fn dress(&mut self, buffer: &mut gst::Buffer, step: Step) {
        let end = step.source + step.speed.max(0.0) * step.duration.seconds_f64();
        let mut found: Vec<SourceMarks> = Vec::new();
        while let Some(mark) = self.video.side.marks.front()
            && mark.at < end
            && let Some(placed) = self.video.side.marks.pop_front()
        {
            let share = (placed.at - step.source) / (end - step.source).max(1e-9);
            let share = share.clamp(0.0, 1.0 - 1e-6);
            let into = (share * step.duration.nseconds() as f64) as u64;
            let pts = step.pts + gst::ClockTime::from_nseconds(into);
            let segment = self.out.begun.as_ref().map(|begun| &begun.segment);
            let mark = marks::Mark {
                timestamp: pts,
                running_time: segment.and_then(|segment| segment.to_running_time(pts)),
                stream_time: segment.and_then(|segment| segment.to_stream_time(pts)),
                ..placed.mark
            };
            match found.iter_mut().find(|found| found.source == placed.source) {
                Some(found) => found.marks.push(mark),
                None => found.push(SourceMarks {
                    source: placed.source,
                    marks: vec![mark],
                }),
            }
        }
        let discont = !self.out.started;
        let buffer = buffer.make_mut();
        buffer.foreach_meta_mut(|meta| {
            use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
            let name = meta
                .try_as_custom_meta()
                .map(|meta| meta.structure().name().to_string());
            let stale = [marks::META_NAME, hoof::META_NAME];
            let stale = name.is_some_and(|name| stale.contains(&name.as_str()));
            std::ops::ControlFlow::Continue(if stale { Remove } else { Keep })
        });
        buffer.set_pts(step.pts);
        buffer.set_dts(gst::ClockTime::NONE);
        buffer.set_duration(step.duration);
        buffer.set_offset(u64::MAX);
        buffer.set_offset_end(u64::MAX);
        if discont {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        } else {
            buffer.unset_flags(gst::BufferFlags::DISCONT);
        }
        for SourceMarks { source, marks } in &found {
            marks::attach(buffer, source, marks);
        }
    }

    /// The end of the music, of the motion, or of the segment.
    fn end(&mut self) -> Next {
        self.flow = Err(gst::FlowError::Eos);
        let status = match self.counts() {
            _ if self.out.direct => None,
            [0, _] => self.status("no-visual-marks"),
            [_, 0] => self.status("no-audio-marks"),
            _ => None,
        };
        let end = [Out::End, Out::Event(gst::event::Eos::new())];
        Next::Push(status.into_iter().chain(end).collect())
    }
}
