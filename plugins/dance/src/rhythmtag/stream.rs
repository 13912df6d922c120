//! The video as it is seen and held back.

use std::collections::VecDeque;

use dance_rhythm::visual::{Beat, Config, DELAY, Detector, Error, Frame, FrameMotion, Tempo};

use super::Mode;
use crate::hoof::{Hoof, Status};
use crate::marks::{self, Kind, Mark};

/// Buffers farther apart than this, where the stream says that something is missing, begin a new analysis; after a
/// longer gap in the motion the detector does so itself.
pub(super) const LONGEST_GAP: gst::ClockTime = gst::ClockTime::from_mseconds(250);
/// Motion that is later than this behind its frame is not waited for.
const LONGEST_LAG: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// How long a frame is until it is known.
const USUAL_FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Marks in one `rhythm-marks` event at the end of a stream.
const MARKS_IN_EVENT: usize = 1024;

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub method: super::Method,
    pub mode: Mode,
    pub min_bpm: f64,
    pub max_bpm: f64,
    pub threshold: f32,
    pub offset: i64,
    pub post_messages: bool,
    pub interval: gst::ClockTime,
}

impl Settings {
    pub fn detector(&self) -> Result<Detector, Error> {
        Detector::new(Config {
            threshold: self.threshold.into(),
            min_bpm: self.min_bpm,
            max_bpm: self.max_bpm,
            offline: self.mode == Mode::Offline,
        })
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub buffers: u64,
    pub frames: u64,
    pub without_motion: u64,
    pub cuts: u64,
    pub repeated: u64,
    pub duplicates: u64,
    pub discontinuities: u64,
    pub visual_beats: u64,
    pub late: u64,
}

pub(super) enum Item {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

/// What waits in `aligned` mode until every mark before `end` is known.
struct Held {
    item: Item,
    end: gst::ClockTime,
}

/// What a step of the analysis gives to the world.
#[derive(Default)]
pub(super) struct Output {
    pub marks: Vec<Mark>,
    pub items: Vec<Item>,
    pub tempo_changed: bool,
    pub latency_changed: bool,
}

/// One stream of video.
pub(super) struct Stream {
    detector: Detector,
    pub segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub counts: Counts,
    pub next_id: u64,
    /// In beats per minute, 0 = none.
    pub bpm: f64,
    held: VecDeque<Held>,
    /// Marks that wait for their buffer (`aligned`) or for the end (`offline`).
    waiting: Vec<Mark>,
    /// Of the last motion.
    seen: Option<gst::ClockTime>,
    /// End of the last buffer.
    end: Option<gst::ClockTime>,
    /// PTS of the last buffer.
    last: Option<gst::ClockTime>,
    /// Duration of a frame by the caps, and the longest by the buffers.
    frame: Option<gst::ClockTime>,
    longest: Option<gst::ClockTime>,
    /// How much later than its frame motion comes at most.
    lag: gst::ClockTime,
    latency: Option<gst::ClockTime>,
}

impl Stream {
    pub fn new(settings: &Settings, next_id: u64) -> Result<Self, Error> {
        Ok(Self {
            detector: settings.detector()?,
            segment: None,
            counts: Counts::default(),
            next_id,
            bpm: 0.0,
            held: VecDeque::new(),
            waiting: Vec::new(),
            seen: None,
            end: None,
            last: None,
            frame: None,
            longest: None,
            lag: gst::ClockTime::ZERO,
            latency: None,
        })
    }

    pub fn is_backwards(&self) -> bool {
        self.segment.as_ref().is_some_and(|s| s.rate() < 0.0)
    }

    /// PTS of the last buffer.
    pub fn last(&self) -> Option<gst::ClockTime> {
        self.last
    }

    /// Where a buffer begins and ends in running time.
    pub fn running_time(
        &self,
        buffer: &gst::BufferRef,
    ) -> Option<(gst::ClockTime, gst::ClockTime)> {
        let segment = self.segment.as_ref()?;
        let pts = buffer.pts()?;
        let end = pts.saturating_add(buffer.duration().unwrap_or_default());
        segment
            .to_running_time(pts)
            .zip(segment.to_running_time(end))
    }

    /// Takes the frame rate of new caps, 0 for a variable one.
    pub fn set_caps(&mut self, caps: &gst::CapsRef) {
        let rate = caps
            .structure(0)
            .and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        self.frame = rate
            .filter(|rate| rate.numer() > 0 && rate.denom() > 0)
            .map(|rate| {
                let seconds = f64::from(rate.denom()) / f64::from(rate.numer());
                gst::ClockTime::from_nseconds((seconds * 1e9) as u64)
            });
        self.longest = None;
    }

    /// How long `aligned` mode holds video back, whole frames.
    pub fn latency(&self, settings: &Settings) -> gst::ClockTime {
        if settings.mode != Mode::Aligned {
            return gst::ClockTime::ZERO;
        }
        let frame = self.frame_duration();
        let hold = self.hold(settings).nseconds();
        frame * hold.div_ceil(frame.nseconds())
    }

    /// Frames that are held back at most.
    pub fn frames_held(&self, settings: &Settings) -> u32 {
        let frames = self.latency(settings).nseconds() / self.frame_duration().nseconds();
        u32::try_from(frames).unwrap_or(u32::MAX)
    }

    fn frame_duration(&self) -> gst::ClockTime {
        let frame = self.frame.max(self.longest).unwrap_or(USUAL_FRAME);
        frame.max(gst::ClockTime::MSECOND)
    }

    /// How far past the end of a buffer the video must be for its marks to be known.
    fn hold(&self, settings: &Settings) -> gst::ClockTime {
        // Marks that are moved back in time are known only so much later.
        let moved = gst::ClockTime::from_nseconds(settings.offset.min(0).unsigned_abs());
        let delay = gst::ClockTime::from_nseconds((DELAY * 1e9) as u64);
        delay + self.frame_duration() * 2 + self.lag + moved
    }

    /// Sees one buffer and passes it on.
    pub fn buffer(
        &mut self,
        buffer: gst::Buffer,
        motions: &[Hoof],
        settings: &Settings,
        source: &str,
        out: &mut Output,
    ) {
        self.counts.buffers += 1;
        if self.is_backwards() {
            out.items.push(Item::Buffer(buffer));
            return;
        }
        let start = buffer.pts().or(self.end);
        if self.is_discontinuous(&buffer) {
            self.counts.discontinuities += 1;
            self.drain(settings, source, out);
        }
        if let (Some(pts), Some(last)) = (buffer.pts(), self.last)
            && pts > last
            && pts - last <= LONGEST_GAP
        {
            self.longest = self.longest.max(Some(pts - last));
        }
        self.last = buffer.pts().or(self.last);
        let duration = buffer.duration().unwrap_or(self.frame_duration());
        self.end = start
            .map(|start| start + duration.min(LONGEST_GAP))
            .max(self.end);
        self.counts.without_motion += u64::from(motions.is_empty());
        let mut beats = Vec::new();
        for motion in motions {
            self.see(motion, &mut beats);
            if let Some(behind) = start.and_then(|start| start.checked_sub(motion.timestamp)) {
                self.lag = self.lag.max(behind.min(LONGEST_LAG));
            }
        }
        let marks = self.marks(&beats, settings, out);
        match settings.mode {
            Mode::LowLatency => out
                .items
                .push(Item::Buffer(with_marks(buffer, source, &marks))),
            Mode::Offline => {
                self.waiting.extend(marks);
                out.items.push(Item::Buffer(buffer));
            }
            Mode::Aligned => {
                self.waiting.extend(marks);
                let end = self.end.unwrap_or(gst::ClockTime::ZERO);
                self.held.push_back(Held {
                    item: Item::Buffer(buffer),
                    end,
                });
                let latency = self.latency(settings);
                if self.latency.replace(latency) != Some(latency) {
                    out.latency_changed = true;
                }
                let known = end.checked_sub(self.hold(settings));
                self.release(known, source, out);
            }
        }
    }

    /// Looks at the motion of a frame that has passed without it, as a live analysis tells it at the end.
    pub fn motion(&mut self, motion: &Hoof, settings: &Settings, source: &str, out: &mut Output) {
        let mut beats = Vec::new();
        self.see(motion, &mut beats);
        let marks = self.marks(&beats, settings, out);
        if settings.mode != Mode::LowLatency {
            self.waiting.extend(marks);
        } else if !marks.is_empty() {
            out.items.push(Item::Event(marks::event(source, &marks)));
        }
    }

    fn is_discontinuous(&self, buffer: &gst::BufferRef) -> bool {
        let (Some(pts), Some(last), Some(end)) = (buffer.pts(), self.last, self.end) else {
            return false;
        };
        let jumps = pts > end && pts - end > LONGEST_GAP;
        // Without a flush or a new segment time goes back only where it is said to.
        let goes_back = pts < last && buffer.flags().contains(gst::BufferFlags::DISCONT);
        jumps || goes_back
    }

    /// Looks at the motion of one frame.
    fn see(&mut self, motion: &Hoof, beats: &mut Vec<Beat>) {
        if self.seen.is_some_and(|seen| motion.timestamp <= seen) {
            self.counts.duplicates += 1;
            return;
        }
        self.seen = Some(motion.timestamp);
        self.counts.frames += 1;
        // Means of the picture's motion by direction, as large as they were.
        let histogram: Vec<f64> = motion.bins.iter().map(|b| b * motion.magnitude).collect();
        let content = match motion.status {
            Status::Flow => FrameMotion::Measured {
                interval: motion.interval.map_or(0.0, gst::ClockTime::seconds_f64),
                histogram: &histogram,
                moving: motion.moving,
                foreground: motion.foreground,
            },
            Status::Repeated => {
                self.counts.repeated += 1;
                FrameMotion::Repeated
            }
            Status::Cut => {
                self.counts.cuts += 1;
                FrameMotion::Unknown
            }
            Status::First => FrameMotion::Unknown,
        };
        let time = motion.timestamp.seconds_f64();
        self.detector.push(
            Frame {
                time,
                motion: content,
            },
            &mut |beat| beats.push(beat),
        );
    }

    /// Turns what was seen into marks.
    fn marks(&mut self, beats: &[Beat], settings: &Settings, out: &mut Output) -> Vec<Mark> {
        let offline = settings.mode == Mode::Offline;
        let tempo = if offline {
            beats.last().map(|beat| beat.tempo)
        } else {
            Some(self.detector.tempo())
        };
        if let Some(tempo) = tempo {
            let bpm = tempo.map_or(0.0, |tempo: Tempo| tempo.bpm);
            out.tempo_changed |= self.bpm != bpm;
            self.bpm = bpm;
        }
        let mut marks = Vec::with_capacity(beats.len());
        for beat in beats {
            let at = (beat.time * 1e9).max(0.0) as u64;
            let timestamp =
                gst::ClockTime::from_nseconds(at.saturating_add_signed(settings.offset));
            let mut mark = Mark {
                id: 0,
                kind: Kind::VisualBeat,
                timestamp,
                running_time: None,
                stream_time: None,
                strength: beat.strength,
                confidence: beat.confidence,
                bpm: beat.tempo.map(|tempo| tempo.bpm),
                beat_in_bar: 0,
                predicted: false,
            };
            if let Some(segment) = &self.segment {
                mark.running_time = segment.to_running_time(timestamp);
                mark.stream_time = segment.to_stream_time(timestamp);
            }
            self.counts.visual_beats += 1;
            // Offline marks are numbered and told at the end.
            if !offline {
                mark.id = self.next_id;
                self.next_id += 1;
                out.marks.push(mark.clone());
            }
            marks.push(mark);
        }
        marks
    }

    /// Passes a serialized event on in its place among the buffers.
    pub fn pass_event(&mut self, event: gst::Event, out: &mut Output) {
        let item = Item::Event(event);
        match self.held.back() {
            Some(last) => {
                let end = last.end;
                self.held.push_back(Held { item, end });
            }
            None => out.items.push(item),
        }
    }

    /// Lets held video go that ends at `known` at the latest, each buffer with the marks it holds.
    fn release(&mut self, known: Option<gst::ClockTime>, source: &str, out: &mut Output) {
        while self
            .held
            .front()
            .is_some_and(|held| Some(held.end) <= known)
        {
            match self.held.pop_front() {
                Some(Held {
                    item: Item::Buffer(buffer),
                    end,
                }) => {
                    let start = buffer.pts().unwrap_or(gst::ClockTime::ZERO);
                    let due = self.waiting.extract_if(.., |mark| mark.timestamp < end);
                    let mut due: Vec<Mark> = due.collect();
                    due.sort_by_key(|mark| mark.timestamp);
                    let late = due.iter().filter(|mark| mark.timestamp < start);
                    self.counts.late += late.count() as u64;
                    out.items
                        .push(Item::Buffer(with_marks(buffer, source, &due)));
                }
                Some(Held { item, .. }) => out.items.push(item),
                None => return,
            }
        }
    }

    /// Ends the analysis of what was seen so far: its last marks go out, and it begins anew.
    pub fn drain(&mut self, settings: &Settings, source: &str, out: &mut Output) {
        let mut beats = Vec::new();
        self.detector.finish(&mut |beat| beats.push(beat));
        let mut marks = self.marks(&beats, settings, out);
        match settings.mode {
            Mode::LowLatency => out.items.extend(events(source, &marks)),
            Mode::Aligned => {
                self.waiting.append(&mut marks);
                self.release(Some(gst::ClockTime::MAX), source, out);
                // What an offset has moved past the end of the video.
                out.items.extend(events(source, &self.waiting));
            }
            Mode::Offline => {
                self.waiting.append(&mut marks);
                let mut marks = std::mem::take(&mut self.waiting);
                marks.sort_by_key(|mark| mark.timestamp);
                for mark in &mut marks {
                    mark.id = self.next_id;
                    self.next_id += 1;
                }
                out.items.extend(events(source, &marks));
                out.marks.append(&mut marks);
            }
        }
        self.restart();
    }

    /// Forgets the stream up to here, and its segment; returns the events that it held.
    pub fn flush(&mut self) -> Vec<gst::Event> {
        let held = std::mem::take(&mut self.held).into_iter();
        let events = held.filter_map(|held| match held.item {
            Item::Event(event) => Some(event),
            Item::Buffer(_) => None,
        });
        let events = events.collect();
        self.restart();
        self.segment = None;
        self.bpm = 0.0;
        events
    }

    /// Forgets the stream up to here.
    pub fn restart(&mut self) {
        self.detector.reset();
        self.held.clear();
        self.waiting.clear();
        self.seen = None;
        self.end = None;
        self.last = None;
    }
}

fn with_marks(mut buffer: gst::Buffer, source: &str, marks: &[Mark]) -> gst::Buffer {
    if !marks.is_empty() {
        // A new buffer of the same memory if anybody else has it.
        marks::attach(buffer.make_mut(), source, marks);
    }
    buffer
}

fn events<'a>(source: &'a str, marks: &'a [Mark]) -> impl Iterator<Item = Item> + use<'a> {
    marks
        .chunks(MARKS_IN_EVENT)
        .map(move |marks| Item::Event(marks::event(source, marks)))
}
