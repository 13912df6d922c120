// SPDX-License-Identifier: MPL-2.0
//! The video as it is analysed and held back.

use dance_rhythm::visual::{Beat, DELAY, Detector, Error, Frame, FrameMotion, Tempo};

use super::properties::Settings;
use crate::delay::{DelayLine, Item, Mode, Output, Stamped, ends_stream, same_timestamps};
use crate::hoof::{Hoof, Status};
use crate::marks::{Kind, Mark};

/// Buffers farther apart than this, where the stream says that something is missing, begin a new analysis; after a
/// longer gap in the motion the detector does so itself.
const LONGEST_GAP: gst::ClockTime = gst::ClockTime::from_mseconds(250);
/// Motion that is later than this behind its frame is not waited for.
const LONGEST_LAG: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// How long a frame is until it is known.
const USUAL_FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub buffers: u64,
    pub frames: u64,
    without_motion: u64,
    cuts: u64,
    repeated: u64,
    duplicates: u64,
    discontinuities: u64,
    visual_beats: u64,
}

/// One stream of video.
pub(super) struct Stream {
    detector: Detector,
    pub line: DelayLine<gst::ClockTime>,
    pub counts: Counts,
    /// In beats per minute, 0 = none.
    pub bpm: f64,
    /// Timestamp of the last motion.
    analysed: Option<gst::ClockTime>,
    /// End of the last buffer.
    end: Option<gst::ClockTime>,
    /// PTS of the last buffer.
    pub last: Option<gst::ClockTime>,
    /// Duration of a frame by the caps, and the longest by the buffers.
    frame: Option<gst::ClockTime>,
    longest: Option<gst::ClockTime>,
    /// How much later than its frame motion comes at most.
    lag: gst::ClockTime,
}

impl Stream {
    /// A stream whose marks are of `source` and counted from `next_id`.
    pub fn new(settings: &Settings, source: &str, next_id: u64) -> Result<Self, Error> {
        Ok(Self {
            detector: settings.detector()?,
            line: DelayLine::new(settings.mode, source, next_id),
            counts: Counts::default(),
            bpm: 0.0,
            analysed: None,
            end: None,
            last: None,
            frame: None,
            longest: None,
            lag: gst::ClockTime::ZERO,
        })
    }

    /// Where a buffer begins and ends in running time.
    pub fn running_time(
        &self,
        buffer: &gst::BufferRef,
    ) -> Option<(gst::ClockTime, gst::ClockTime)> {
        let segment = self.line.segment.as_ref()?;
        let pts = buffer.pts()?;
        let end = pts.saturating_add(buffer.duration().unwrap_or_default());
        segment
            .to_running_time(pts)
            .zip(segment.to_running_time(end))
    }

    /// Goes on with video of other caps, of a frame rate of 0 where it is variable.
    pub fn set_caps(&mut self, caps: &gst::CapsRef, settings: &Settings, out: &mut Output) {
        self.drain(settings, out);
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

    /// Goes on in another segment.
    pub fn set_segment(&mut self, segment: &gst::Segment, settings: &Settings, out: &mut Output) {
        let segment = segment.downcast_ref::<gst::ClockTime>().cloned();
        if !same_timestamps(self.line.segment.as_ref(), segment.as_ref()) {
            self.drain(settings, out);
        }
        self.line.segment = segment;
    }

    /// How long `aligned` mode holds video back, whole frames.
    pub fn latency(&self, settings: &Settings) -> gst::ClockTime {
        if self.line.mode() != Mode::Aligned {
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

    /// Analyses one buffer and passes it on.
    pub fn buffer(
        &mut self,
        buffer: gst::Buffer,
        motions: &[Hoof],
        settings: &Settings,
        out: &mut Output,
    ) {
        self.counts.buffers += 1;
        if self.line.is_backwards() {
            out.items.push(Item::Buffer(buffer));
            return;
        }
        let start = buffer.pts().or(self.end);
        if self.is_discontinuous(&buffer) {
            self.counts.discontinuities += 1;
            self.drain(settings, out);
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
            self.analyse(motion, &mut beats);
            if let Some(behind) = start.and_then(|start| start.checked_sub(motion.timestamp)) {
                self.lag = self.lag.max(behind.min(LONGEST_LAG));
            }
        }
        let marks = self.marks(&beats, settings, out);
        let end = self.end.unwrap_or(gst::ClockTime::ZERO);
        self.line.buffer(buffer, end, end, marks, out);
        self.line.set_latency(self.latency(settings), out);
        if let Some(known) = end.checked_sub(self.hold(settings)) {
            self.line.release(known, out);
        }
    }

    /// Passes a serialized event on in its place among the buffers; an end, or a gap that is too long, restarts the
    /// analysis.
    pub fn pass_event(&mut self, event: gst::Event, settings: &Settings, out: &mut Output) {
        let is_long = match event.view() {
            gst::EventView::Gap(gap) => gap.get().1.is_none_or(|duration| duration > LONGEST_GAP),
            _ => false,
        };
        if is_long || ends_stream(&event) {
            self.drain(settings, out);
        }
        self.line.event(event, None, out);
    }

    /// Analyses the motion of a frame that has passed without it, as a live analysis reports it at the end.
    pub fn motion(&mut self, motion: &Hoof, settings: &Settings, out: &mut Output) {
        let mut beats = Vec::new();
        self.analyse(motion, &mut beats);
        let marks = self.marks(&beats, settings, out);
        self.line.marks(marks, out);
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

    /// Analyses the motion of one frame.
    fn analyse(&mut self, motion: &Hoof, beats: &mut Vec<Beat>) {
        if self.analysed.is_some_and(|last| motion.timestamp <= last) {
            self.counts.duplicates += 1;
            return;
        }
        self.analysed = Some(motion.timestamp);
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

    /// Turns the beats that were found into marks.
    fn marks(&mut self, beats: &[Beat], settings: &Settings, out: &mut Output) -> Vec<Stamped> {
        let tempo = if self.line.mode() == Mode::Offline {
            beats.last().map(|beat| beat.tempo)
        } else {
            Some(self.detector.tempo())
        };
        if let Some(tempo) = tempo {
            let bpm = tempo.map_or(0.0, |tempo: Tempo| tempo.bpm);
            out.tempo_changed |= self.bpm != bpm;
            self.bpm = bpm;
        }
        self.counts.visual_beats += beats.len() as u64;
        let marks = beats.iter().map(|beat| {
            let instant = gst::ClockTime::from_nseconds((beat.time * 1e9).max(0.0) as u64);
            Mark {
                strength: beat.strength,
                confidence: beat.confidence,
                bpm: beat.tempo.map(|tempo| tempo.bpm),
                ..Mark::new(Kind::VisualBeat, instant)
            }
        });
        marks
            .map(|mark| self.line.stamp(mark, settings.offset, out))
            .collect()
    }

    /// Ends the analysis of the video so far: its last marks go out, and the analysis restarts.
    pub fn drain(&mut self, settings: &Settings, out: &mut Output) {
        let mut beats = Vec::new();
        self.detector.finish(&mut |beat| beats.push(beat));
        let marks = self.marks(&beats, settings, out);
        self.line.drain(marks, self.end, out);
        self.restart();
    }

    /// Forgets the stream up to here, and its segment; returns the events that it held.
    pub fn flush(&mut self) -> Vec<gst::Event> {
        self.restart();
        self.bpm = 0.0;
        self.line.flush()
    }

    /// Forgets the video up to here.
    fn restart(&mut self) {
        self.detector.reset();
        self.analysed = None;
        self.end = None;
        self.last = None;
    }

    pub fn stats(&self) -> gst::Structure {
        self.counts.to_structure(self.line.late, self.bpm)
    }
}

impl Counts {
    /// The property `stats`.
    pub fn to_structure(self, late: u64, bpm: f64) -> gst::Structure {
        let counts = self;
        gst::Structure::builder("stats")
            .field("buffers", counts.buffers)
            .field("frames", counts.frames)
            .field("without-motion", counts.without_motion)
            .field("cuts", counts.cuts)
            .field("repeated", counts.repeated)
            .field("duplicates", counts.duplicates)
            .field("discontinuities", counts.discontinuities)
            .field("visual-beats", counts.visual_beats)
            .field("late", late)
            .field("bpm", bpm)
            .build()
    }
}
