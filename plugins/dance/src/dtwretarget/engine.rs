// SPDX-License-Identifier: MPL-2.0
//! What leaves at `video_src` next, and what it has to wait for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dance_rhythm::retarget::{Limits, Planner, Rounds, TimeMap};

use super::End;
use super::branches::{Axis, Item, Segment, Side, Song, Video, in_plain_memory, rate_of};
use super::course::{Course, Settings};
use super::kept::Frames;
use super::marksfile::FileMarks;
use super::record::Record;
use crate::combine::{self, Pace};
use crate::delay::same_timestamps;

mod round;
mod steps;

/// Frames that wait where nothing has to be looked at ahead.
const FRAMES: usize = 3;
/// How many times as many frames may wait as the frame rate of the caps calls for: one that is not known may be higher, but
/// a queue of frames that lie about their timestamps is not to grow without end.
const DENSEST: f64 = 4.0;
/// Marks of a side that are kept for the path.
const MAX_PATH_MARKS: usize = 1 << 16;
/// What of a buffer of music goes out.
pub(super) struct Part {
    /// The part that lies in this segment, if any.
    pub clip: Option<Segment>,
    /// Nothing comes after it.
    pub is_last: bool,
}

/// What goes out.
pub(crate) enum Out {
    Buffer(gst::Buffer),
    Event(gst::Event),
    Status(&'static str, [u64; 2]),
    Warning(String),
    /// What was asked for cannot be had.
    Error(String),
    /// The length of the video, which upstream is to be asked for.
    Length,
    /// The end: the path can be written.
    End,
}

pub(crate) type Next = combine::Next<State, Out>;

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
    /// Which round of a video that goes round.
    round: usize,
}

/// The output so far.
#[derive(Default)]
pub(crate) struct Output {
    begun: Option<Begun>,
    course: Option<Course>,
    /// Video passes as it is.
    pub direct: bool,
    /// Pictures since it began.
    count: u64,
    step: Option<Step>,
    /// Source instant of the last step, and the round that it was in.
    last_source: Option<f64>,
    last_round: usize,
    /// When the last step is over.
    last_end: Option<f64>,
    shown: Option<f64>,
    current_shown: bool,
    next_shown: bool,
    /// The last SEGMENT of the video, which only goes out where video passes as it is.
    segment: Option<gst::Event>,
    /// A buffer has left.
    pub started: bool,
    status: Option<&'static str>,
    warned: bool,
    /// Which side, video or music, is waited for no more.
    starved: [bool; 2],
    /// Where the output ends on the axis, with `end=shortest` and as soon as it is known.
    pub over: Option<f64>,
    /// Music waits for the video no more, which does not come.
    pub unbound: bool,
}

pub(crate) struct State {
    pub axis: Axis,
    pub limits: Limits,
    pub file: Option<FileMarks>,
    pub map: Option<TimeMap>,
    /// Where in the music the output begins, in seconds.
    pub begins: f64,
    pub video: Video,
    pub audio: Side,
    /// Some music has come since the start or a flush.
    pub has_music: bool,
    /// Its EOS has gone out.
    pub music_ended: bool,
    /// The music that the output is on, and what follows it.
    pub songs: VecDeque<Song>,
    pub out: Output,
    /// How often the timeline was restarted.
    pub epoch: u64,
    pub record: Record,
    /// Instants of marks that came with the streams, visual and of the music.
    pub path_marks: [Vec<f64>; 2],
    pub path_written: bool,
    pub pace: Pace,
    /// How long the video is, in seconds of stream time, once upstream was asked; `Some(None)` where
    /// it does not know.
    pub length: Option<Option<f64>>,
    /// Frames have come with their motion.
    pub has_motion: bool,
    /// Of a video that goes round.
    pub rounds: Option<Rounds>,
    pub(super) frames: Option<Frames>,
    pub last_seek: Option<(gst::Seqnum, bool)>,
    /// The last seek without a flush, on stream time.
    pub looped: Option<gst::Seqnum>,
    /// Which of both branches, video and music, a seek has yet to flush.
    pub to_flush: [bool; 2],
    /// Since when one branch is flushed and the other is not.
    pub half_flushed: Option<Instant>,
    /// Video without timestamps was warned of.
    pub untimed: bool,
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
            begins: 0.0,
            video: Video {
                // The element does nothing before it comes.
                side: Side {
                    linked: true,
                    ..flushing()
                },
                ..Video::default()
            },
            audio: flushing(),
            has_music: false,
            music_ended: false,
            songs: VecDeque::new(),
            out: Output::default(),
            epoch: 0,
            record: Record::default(),
            path_marks: Default::default(),
            path_written: false,
            pace: Pace::default(),
            length: None,
            has_motion: false,
            rounds: None,
            frames: None,
            last_seek: None,
            looped: None,
            to_flush: [false; 2],
            half_flushed: None,
            untimed: false,
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
        let behind = (self.pace.latency).map_or(gst::ClockTime::ZERO, |latency| latency.behind);
        let ahead = match self.axis {
            Axis::Running => settings.look_ahead.seconds_f64() + settings.drift(),
            Axis::Stream => 0.0,
        };
        let wait = ahead + behind.seconds_f64();
        if self.out.direct || wait <= 0.0 {
            return false;
        }
        let newest = self.video.side.arrived.unwrap_or(0.0);
        let first = self.video.current.as_ref().or(self.video.next_frame());
        let tick = self.video.tick().map_or(0.1, gst::ClockTime::seconds_f64);
        let most = wait + FRAMES as f64 * tick;
        first.is_none_or(|first| newest - first.at < most)
            && (frames as f64) < DENSEST * most / tick
    }

    /// Restarts the timeline, where the music is next.
    pub(super) fn restart(&mut self) {
        let segment = self.out.segment.take();
        self.out = Output {
            segment,
            status: self.out.status,
            warned: self.out.warned,
            ..Output::default()
        };
        self.pace.waiting = None;
        self.epoch += 1;
        self.record.leap();
    }

    /// Restarts after an end that came without a flush: of what was left only the events of the stream count.
    fn restart_after_end(&mut self) {
        let left = std::mem::take(&mut self.video.queue).into_iter();
        self.video.queue = left
            .filter(|item| match item {
                Item::Event(event) => event.is_sticky() && event.type_() != gst::EventType::Eos,
                Item::Frame(_) => false,
            })
            .collect();
        self.video.current = None;
        self.restart();
    }

    /// Whether gaps of the video have a place in the output: it passes as it is, or may yet.
    pub(super) fn may_pass(&self) -> bool {
        self.out.direct || self.out.begun.is_none()
    }

    /// The video was flushed and the music was not: its timeline goes on where it was.
    pub(super) fn go_on_later(&mut self) {
        if let Some(begun) = &self.out.begun
            && let Some(gone) = self.video.after(self.out.count)
            && let Some(song) = self.songs.front_mut()
        {
            song.first = Some(begun.first + gone);
        }
        self.restart();
    }

    /// A seek goes up both branches.
    pub(super) fn seeks(&mut self, flushes: bool, seqnum: gst::Seqnum) {
        // A flush bears the number of its seek, and may have come by another way before.
        let flushed = [self.video.side.flushed_by, self.audio.flushed_by];
        self.to_flush = flushed.map(|by| flushes && by != Some(seqnum));
        self.half_flushed = None;
        self.looped = (!flushes && self.axis == Axis::Stream).then_some(seqnum);
    }

    /// A branch has been flushed: 0 for the video, 1 for the music.
    pub(super) fn flushed(&mut self, side: usize) {
        self.to_flush[side] = false;
        if self.to_flush[1 - side] {
            self.half_flushed = Some(Instant::now());
        }
    }

    /// How long to wait at most for the flush of the other branch: what was before a seek is not to be shown with what
    /// comes after it.
    fn half_flushed(&mut self, settings: &Settings) -> Option<Duration> {
        let since = self.half_flushed?;
        let timeout: Duration = settings.starve_timeout.into();
        let left = timeout.saturating_sub(since.elapsed());
        if self.to_flush == [false; 2] || left.is_zero() {
            self.to_flush = [false; 2];
            self.half_flushed = None;
            return None;
        }
        Some(left)
    }

    /// A segment of the music.
    pub(super) fn music_begins(&mut self, segment: Option<Segment>, seqnum: gst::Seqnum) {
        self.audio.begin_segment(segment.clone());
        let Some(segment) = segment else {
            return;
        };
        if let Some(last) = self.songs.back() {
            // One that only says where it is, or how long, is no other.
            let is_same = same_timestamps(Some(&last.segment), Some(&segment));
            if is_same && last.segment.rate() == segment.rate() {
                return;
            }
            // No music came in it.
            if last.first.is_none() {
                self.songs.pop_back();
            }
        }
        self.songs.push_back(Song::new(segment, seqnum));
    }

    /// The music has come that far.
    pub(super) fn music_came(
        &mut self,
        pts: Option<gst::ClockTime>,
        duration: Option<gst::ClockTime>,
    ) {
        let Some(pts) = pts else {
            return;
        };
        let end = pts.saturating_add(duration.unwrap_or_default());
        let (Some(segment), Some(song)) = (&self.audio.segment, self.songs.back_mut()) else {
            // Of no use, but a sign that nothing better comes.
            self.has_music = true;
            return;
        };
        let Some((Some(start), Some(end))) = segment.clip(pts, end) else {
            return;
        };
        let is_late = !std::mem::replace(&mut self.has_music, true) && self.out.direct;
        song.first.get_or_insert(start);
        if let Some(end) = self.axis.of(segment, end) {
            song.end = Some(song.end.map_or(end, |before| before.max(end)));
            self.audio.came_to(end);
        }
        if is_late {
            // Music that comes when it was waited for no more is followed all the same, from where it is.
            self.restart();
        }
    }

    /// Whether the output may yet turn out to end before a buffer of music, with `end=shortest`.
    pub(super) fn may_end_before(&self, buffer: &gst::BufferRef) -> bool {
        /// Music that goes ahead of the video where the end of that is not known.
        const AHEAD: f64 = 0.5;
        if self.out.direct || self.out.over.is_some() || self.out.unbound || self.pace.flow.is_err()
        {
            return false;
        }
        if self.out.begun.is_none() {
            return self.axis == Axis::Stream;
        }
        let start = (self.audio.segment.as_ref().zip(buffer.pts()))
            .and_then(|(segment, pts)| self.axis.of(segment, pts));
        // Live music waits for nothing.
        let live = self.pace.latency.is_some_and(|latency| latency.live);
        let shown = self.out.last_end.unwrap_or(f64::MIN);
        !live && start.is_some_and(|start| start > shown.max(self.begins) + AHEAD)
    }

    /// What of a buffer of music goes out, which is all of it but before the beginning and after the end of the output.
    pub(super) fn part_of_music(&self, buffer: &gst::BufferRef) -> Part {
        let (Some(segment), Some(pts)) = (&self.audio.segment, buffer.pts()) else {
            return Part {
                clip: self.audio.segment.clone(),
                is_last: false,
            };
        };
        let mut segment = segment.clone();
        let over = self
            .out
            .over
            .map(|over| gst::ClockTime::from_nseconds((over * 1e9).round() as u64));
        let over = over.and_then(|over| match self.axis {
            Axis::Running => segment.position_from_running_time(over),
            Axis::Stream => segment.position_from_stream_time(over),
        });
        let end = pts.saturating_add(buffer.duration().unwrap_or_default());
        let is_last = over.is_some_and(|over| end >= over);
        if let Some(over) = over.filter(|_| is_last) {
            segment.set_stop(over);
        }
        let begins = self.begins > 0.0 && segment.start().is_some_and(|start| end <= start);
        let is_over = over.is_some_and(|over| pts >= over);
        Part {
            clip: (!begins && !is_over).then_some(segment),
            is_last,
        }
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
        if let Some(left) = self.half_flushed(settings) {
            return Next::ChangeOr(left);
        }
        // What comes before the next frame goes before it.
        if let Some(Item::Event(event)) = self.video.queue.front() {
            match event.type_() {
                gst::EventType::Eos if self.video.queue.len() > 1 => {
                    // Another stream has followed, and goes on from there.
                    self.video.queue.pop_front();
                    return Next::Again;
                }
                gst::EventType::Eos if self.video.current.is_some() && !self.out.direct => (),
                gst::EventType::Eos => return self.end(),
                // Whether it leaves is known when the output begins.
                gst::EventType::Gap if self.out.begun.is_none() && !self.out.direct => {
                    return self.begin(settings, overdue);
                }
                _ if self.is_early() => (),
                _ => return self.event(),
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
        if self.is_late() {
            // Events go before; the next round is all that it waits for.
            if self.video.queue.pop_front().is_none() {
                return Next::Change;
            }
            self.record.dropped += 1;
            return Next::Again;
        }
        match self.out.step {
            None => self.step(settings, overdue),
            Some(step) => self.picture(step, settings),
        }
    }

    /// Whether the video has come to its new segment after a seek without a flush and the music has not: by stream time
    /// nothing else distinguishes one round of a loop from the other.
    fn is_early(&self) -> bool {
        let Some(Item::Event(event)) = self.video.queue.front() else {
            return false;
        };
        let mut songs = self.songs.iter().map(|song| song.seqnum);
        event.type_() == gst::EventType::Segment
            && self.looped == Some(event.seqnum())
            && songs.next() != self.looped
            // It is to come, or waits for its turn.
            && (self.audio.linked && !self.audio.eos || songs.any(|song| Some(song) == self.looped))
            && self.video.current.is_some()
            && self.out.begun.is_some()
    }

    /// Whether the music has come to its new segment after such a seek and the video has not.
    fn is_late(&self) -> bool {
        let song = self.songs.front().map(|song| song.seqnum);
        self.looped.is_some()
            && song == self.looped
            && self.video.turn != self.looped
            && !self.video.side.eos
    }

    /// The event at the head of the queue.
    fn event(&mut self) -> Next {
        let Some(Item::Event(event)) = self.video.queue.pop_front() else {
            return Next::Again;
        };
        match event.view() {
            gst::EventView::Caps(_) => {
                let is_sure = self.out.begun.is_some() || self.out.direct;
                let event = self.caps(event);
                if is_sure {
                    return Next::Push(vec![Out::Event(event)]);
                }
                // Whether a rate that changes may leave is known when the output begins.
                if let Some((_, left)) = &mut self.video.caps {
                    *left = None;
                }
                Next::Again
            }
            gst::EventView::Segment(_) => {
                self.video.turn = Some(event.seqnum());
                if self.looped == self.video.turn {
                    // What is shown was of the round before.
                    self.video.current = None;
                }
                self.out.segment = Some(event.clone());
                if self.out.direct {
                    return Next::Push(vec![Out::Event(event)]);
                }
                Next::Again
            }
            // Pictures fill it.
            gst::EventView::Gap(_) if !self.out.direct => Next::Again,
            _ => Next::Push(vec![Out::Event(event)]),
        }
    }

    /// Takes the caps of what comes next, and returns those of what leaves.
    pub(super) fn caps(&mut self, event: gst::Event) -> gst::Event {
        let gst::EventView::Caps(caps) = event.view() else {
            return event;
        };
        let caps = caps.caps_owned();
        // Memory of other kinds cannot be blended here.
        let plain = in_plain_memory(&caps);
        let info = gst_video::VideoInfo::from_caps(&caps).ok();
        self.video.info = info.filter(|_| plain);
        // A frame of the old format has no place under the new one.
        self.video.current = None;
        let rate = rate_of(&caps);
        if self.video.rate.is_some_and(|before| before != rate) && !self.out.direct {
            // Pictures are counted in the new rate from here on.
            self.go_on_later();
        }
        self.video.rate = Some(rate);
        self.video.caps = Some((caps, Some(self.out.direct)));
        self.leaving_caps(event.seqnum()).unwrap_or(event)
    }

    /// The caps under which video leaves: a rate that changes becomes one, unless it passes as it is.
    fn leaving_caps(&self, seqnum: gst::Seqnum) -> Option<gst::Event> {
        let (caps, _) = self.video.caps.as_ref()?;
        let mut caps = caps.clone();
        if !self.out.direct {
            let rate = rate_of(&caps);
            let caps = caps.make_mut();
            caps.set("framerate", rate);
            if let Some(s) = caps.structure_mut(0) {
                s.remove_field("max-framerate");
            }
        }
        Some(gst::event::Caps::builder(&caps).seqnum(seqnum).build())
    }

    /// The caps, if they have not left as video does now.
    fn due_caps(&mut self) -> Option<Out> {
        let direct = self.out.direct;
        let (caps, left) = self.video.caps.as_mut()?;
        let before = left.replace(direct);
        let is_fixed = |s: &gst::StructureRef| {
            s.get::<gst::Fraction>("framerate")
                .is_ok_and(|rate| rate.numer() > 0)
        };
        let same =
            before == Some(direct) || before.is_some() && caps.structure(0).is_some_and(is_fixed);
        (!same)
            .then(|| self.leaving_caps(gst::Seqnum::next()))?
            .map(Out::Event)
    }

    /// Lets video pass as it is.
    fn pass(&mut self) -> Next {
        self.out.direct = true;
        let caps = self.due_caps();
        let segment = self.out.segment.clone().map(Out::Event);
        let status = self.status("no-audio");
        Next::Push(caps.into_iter().chain(segment).chain(status).collect())
    }

    fn begin(&mut self, settings: &Settings, overdue: bool) -> Next {
        let forward = |side: &Side| {
            side.segment
                .as_ref()
                .is_some_and(|segment| segment.rate() > 0.0)
        };
        let untimed = self.audio.segment.is_none() && self.has_music;
        let no_audio = !self.audio.linked || self.audio.eos && !self.has_music;
        if !forward(&self.video.side) || no_audio || untimed || self.video.rate.is_none() {
            return self.pass();
        }
        let song = self.songs.front();
        let Some((first, song)) = song.and_then(|song| Some((song.first?, song.clone()))) else {
            let frame = self.video.next_frame().map_or(0.0, |frame| frame.at);
            let wait = if overdue {
                None
            } else {
                self.wait(frame, [false, true], settings)
            };
            return wait.unwrap_or_else(|| self.pass());
        };
        if song.segment.rate() <= 0.0 {
            return self.pass();
        }
        let Some(output) = self.axis.of(&song.segment, first) else {
            return self.pass();
        };
        if settings.end != End::Music
            && let Some(map) = &self.map
        {
            let Some(length) = self.length else {
                return Next::Push(vec![Out::Length]);
            };
            if settings.end == End::Shortest {
                self.out.over = length.map(|length| map.inverse(length));
            } else if self.rounds.is_none() {
                self.go_round(settings, length);
            }
        }
        let [visual, audio] = self.counts();
        let status = match (&self.map, visual, audio) {
            (None, ..) => None,
            (Some(_), 0, _) => self.status("no-visual-marks"),
            (Some(_), _, 0) => self.status("no-audio-marks"),
            (Some(_), ..) => self.status("aligned"),
        };
        self.out.course = Some(match &self.map {
            Some(_) if self.rounds.is_some() => Course::Rounds,
            Some(map) => Course::Map(map.clone()),
            None => {
                let (drift, strength) = (settings.drift(), settings.strength);
                Course::Live(Planner::new(self.limits, drift, strength, output))
            }
        });
        let caps = self.due_caps();
        let out = self.begin_song(&song, first);
        Next::Push(caps.into_iter().chain([out]).chain(status).collect())
    }

    /// Puts the output on that music.
    fn begin_song(&mut self, song: &Song, first: gst::ClockTime) -> Out {
        self.out.count = 0;
        self.out.begun = Some(Begun {
            segment: song.segment.clone(),
            first,
        });
        let event = gst::event::Segment::builder(&song.segment).seqnum(song.seqnum);
        Out::Event(event.build())
    }

    /// Goes on to the music that follows without a flush.
    fn next_song(&mut self) -> Next {
        self.songs.pop_front();
        let song = self.songs.front();
        let Some((first, song)) = song.and_then(|song| Some((song.first?, song.clone()))) else {
            return Next::Again;
        };
        if song.segment.rate() <= 0.0 {
            self.restart();
            return Next::Again;
        }
        if self.axis == Axis::Stream {
            // Wherever that is in the piece; running time just goes on.
            self.out.last_source = None;
            self.record.leap();
        }
        let out = self.begin_song(&song, first);
        // Where the music comes late, pictures are already there.
        if self.axis == Axis::Running
            && let (Some(end), Some(begin)) = (self.out.last_end, song.start(self.axis))
            && let Some(tick) = self.video.tick()
        {
            self.out.count = ((end - begin) / tick.seconds_f64() - 1e-3).ceil().max(0.0) as u64;
        }
        Next::Push(vec![out])
    }

    /// What to wait for until the picture of that instant leaves at the latest; `None` if that is now.
    /// `lacks` says which side has not come so far, the video or the music.
    fn wait(&mut self, output: f64, lacks: [bool; 2], settings: &Settings) -> Option<Next> {
        let Some(latency) = self.pace.latency else {
            return Some(Next::Latency);
        };
        self.pace.waiting.get_or_insert_with(Instant::now);
        if latency.live && self.axis == Axis::Running {
            if !self.pace.playing {
                return Some(Next::Change);
            }
            let due = gst::ClockTime::from_nseconds((output.max(0.0) * 1e9) as u64);
            return Some(Next::Clock(due + latency.min));
        }
        let starved = self.out.starved;
        let lacks_more = [lacks[0] && !starved[0], lacks[1] && !starved[1]];
        if lacks_more == [false; 2] {
            // Where neither side comes, what is known is shown and nothing beyond.
            let come = [self.video.side.arrived, self.audio.arrived];
            let known = come.into_iter().flatten().any(|come| output < come - 1e-6);
            return (lacks == [true; 2] && !known).then_some(Next::Change);
        }
        // While paused nothing needs to move, but the first picture is waited for downstream.
        if self.out.started && !self.pace.playing {
            return Some(Next::Change);
        }
        // A side that has come does not excuse the one that is waited for.
        let progress = [self.video.side.progress, self.audio.progress];
        let lacking = progress
            .into_iter()
            .zip(lacks_more)
            .filter(|(_, lacks)| *lacks);
        let last = lacking.filter_map(|(progress, _)| progress).max();
        let since = last.max(self.pace.waiting)?;
        let timeout: Duration = settings.starve_timeout.into();
        let left = timeout.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Some(if latency.sure {
                Next::ChangeOr(left)
            } else {
                Next::Latency
            });
        }
        self.out.starved = [starved[0] || lacks_more[0], starved[1] || lacks_more[1]];
        Some(Next::Push(vec![Out::Warning(format!(
            "No progress for {}: video goes on without knowing what follows",
            settings.starve_timeout
        ))]))
    }

    /// The end of the motion: that of everything, or only of what moves. `None` where the last picture stays.
    fn motion_ends(&mut self, step: Step, settings: &Settings) -> Option<Next> {
        match settings.end {
            End::Shortest => {
                // A length that upstream tells is that of sound and picture, which differ by a little.
                const LITTLE: f64 = 0.5;
                if self
                    .out
                    .over
                    .is_some_and(|over| over - step.output < LITTLE)
                {
                    return None;
                }
                self.out.over = Some(step.output);
                Some(self.end())
            }
            // As streams come, another may follow this one.
            _ if !self.audio.linked || self.axis == Axis::Running => Some(self.end()),
            // The last picture stays as long as there is music to show it to.
            End::Music => {
                let end = self.songs.front().and_then(|song| song.end);
                if end.is_some_and(|end| end > step.output + 1e-6) {
                    None
                } else if self.audio.eos {
                    Some(self.end())
                } else {
                    Some(Next::Change)
                }
            }
            End::Loop => {
                self.turn_at_the_end(settings);
                None
            }
        }
    }

    /// The end of the music, of the motion, or of the segment.
    fn end(&mut self) -> Next {
        self.pace.flow = Err(gst::FlowError::Eos);
        // A stream without a frame has its format and segment, too.
        let begun = self.out.begun.is_some() || self.out.direct;
        let caps = if begun { None } else { self.due_caps() };
        let segment = self.out.segment.clone().filter(|_| !begun).map(Out::Event);
        let status = match self.counts() {
            _ if self.out.direct => None,
            [0, _] => self.status("no-visual-marks"),
            [_, 0] => self.status("no-audio-marks"),
            _ => None,
        };
        let end = [Out::End, Out::Event(gst::event::Eos::new())];
        let first = caps.into_iter().chain(segment);
        Next::Push(first.chain(status).chain(end).collect())
    }
}

impl combine::State for State {
    type Out = Out;

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn is_flushing(&self) -> bool {
        self.video.side.flushing
    }

    fn set_flushing(&mut self, flushing: bool) {
        self.video.side.flushing = flushing;
    }

    fn queue(&mut self, event: gst::Event) {
        self.video.queue.push_back(Item::Event(event));
    }

    fn reopen(&mut self) {
        self.restart_after_end();
    }

    fn sent(&mut self) -> bool {
        self.video.side.eos
    }
}
