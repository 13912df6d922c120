// SPDX-License-Identifier: MPL-2.0
//! The audio as it is analysed and held back.

use std::sync::LazyLock;

use dance_rhythm::analyzer::{Analyzer, Error, Event};
use dance_rhythm::beat;
use dance_rhythm::network::{Failure, Network};
use gst::prelude::*;

use super::clock::SampleClock;
use super::downmix::Downmix;
use super::properties::Settings;
use crate::delay::{DelayLine, Item, Mode, Output, Stamped, same_timestamps};
use crate::marks::{self, Mark};
use crate::tags::Tags;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| crate::element::category("onsetdetect", "Onsets, beats and tempo of music"));

/// Timestamps that leave the count of samples by more than this begin a new analysis, as the base
/// classes of audio do by default.
const ALIGNMENT_THRESHOLD: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// The same where the stream itself says that something is missing.
const DISCONT_THRESHOLD: gst::ClockTime = gst::ClockTime::from_mseconds(1);
/// A gap up to this long is analysed as silence; after a longer one the analysis restarts.
const LONGEST_SILENT_GAP: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// The tag is sent after so many beats of one tempo …
const TAG_BEATS: u32 = 8;
/// … each of at least this confidence.
const TAG_CONFIDENCE: f64 = 0.5;
/// Seconds after its instant by which every mark is reported, unless `offline`.
const LATEST_REPORT: f64 = 10.0;

/// Audio of one format.
pub(super) struct Audio {
    pub info: gst_audio::AudioInfo,
    analyzer: Analyzer,
    clock: SampleClock,
    downmix: Downmix,
    /// Samples in the largest buffer so far: buffers are let go as a whole.
    largest_buffer: u64,
}

impl Audio {
    pub fn new(
        info: gst_audio::AudioInfo,
        settings: &Settings,
        network: Option<Box<dyn Network>>,
    ) -> Result<Self, Error> {
        let rate = info.rate();
        Ok(Self {
            info,
            analyzer: settings.analyzer(rate, network)?,
            clock: SampleClock::new(rate),
            downmix: Downmix::default(),
            largest_buffer: 0,
        })
    }

    /// Samples past an instant after which all its marks are known.
    fn look_ahead(&self, settings: &Settings) -> u64 {
        // Marks that are moved back in time are known only so much later.
        let moved = (-settings.offset).max(0) as f64 / 1e9;
        ((self.analyzer.delay() + moved) * f64::from(self.info.rate())).ceil() as u64
    }

    /// How long `aligned` mode holds audio back.
    fn latency(&self, settings: &Settings) -> gst::ClockTime {
        let whole = self.largest_buffer.max(1);
        let samples = self.look_ahead(settings).div_ceil(whole) * whole;
        self.clock.duration(samples)
    }

    /// Analyses `samples` of silence from `pts` on.
    fn silence(&mut self, pts: Option<gst::ClockTime>, samples: u64, events: &mut Vec<Event>) {
        let silence = self.downmix.silence(samples as usize);
        self.analyzer.push(silence, &mut |event| events.push(event));
        self.clock.advance(pts, samples);
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    samples: u64,
    invalid_samples: u64,
    broken_buffers: u64,
    discontinuities: u64,
    onsets: u64,
    beats: u64,
    downbeats: u64,
}

/// Watches for a tempo that holds, for the tag.
#[derive(Debug, Default)]
struct SteadyTempo {
    sum: f64,
    beats: u32,
    sent: Option<f64>,
}

impl SteadyTempo {
    /// Counts a beat; returns the tempo when the tag is due.
    fn count(&mut self, beat: &beat::Beat) -> Option<f64> {
        let mean = self.sum / f64::from(self.beats.max(1));
        let steady = self.beats == 0 || (beat.bpm / mean - 1.0).abs() < 0.03;
        if beat.confidence < TAG_CONFIDENCE || !steady {
            self.sum = 0.0;
            self.beats = 0;
        }
        self.sum += beat.bpm;
        self.beats += 1;
        let mean = self.sum / f64::from(self.beats);
        let due = self.beats >= TAG_BEATS && self.sent.is_none_or(|sent| (sent - mean).abs() > 1.0);
        due.then(|| *self.sent.insert(mean))
    }
}

/// What a step of the analysis brings about besides what goes out.
#[derive(Default)]
pub(super) struct Step {
    pub out: Output,
    pub warning: Option<String>,
    /// Why the network stopped.
    pub failure: Option<Failure>,
}

/// The stream, from PAUSED to READY.
pub(super) struct Stream {
    id: Option<String>,
    pub audio: Option<Audio>,
    pub line: DelayLine<u64>,
    counts: Counts,
    /// In beats per minute, 0 = none.
    pub bpm: f64,
    steady: SteadyTempo,
    tags: Tags,
    warned_invalid: bool,
    warned_broken: bool,
}

impl Stream {
    /// A stream whose marks are of `source` and counted from `next_id`.
    pub fn new(settings: &Settings, source: &str, next_id: u64) -> Self {
        Self {
            id: None,
            audio: None,
            line: DelayLine::new(settings.mode, source, next_id),
            counts: Counts::default(),
            bpm: 0.0,
            steady: SteadyTempo::default(),
            tags: Tags::default(),
            warned_invalid: false,
            warned_broken: false,
        }
    }

    /// How long `aligned` mode holds audio back.
    pub fn latency(&self, settings: &Settings) -> gst::ClockTime {
        match &self.audio {
            Some(audio) if self.line.mode() == Mode::Aligned => audio.latency(settings),
            _ => gst::ClockTime::ZERO,
        }
    }

    /// Analyses one buffer and passes it on.
    pub fn buffer(&mut self, buffer: gst::Buffer, settings: &Settings, step: &mut Step) {
        // Backwards, attacks are decays: there is nothing to be detected.
        let is_backwards = self.line.is_backwards();
        if !is_backwards && self.is_discontinuous(&buffer) {
            self.counts.discontinuities += 1;
            self.drain(settings, step);
        }
        let Some(audio) = self.audio.as_mut().filter(|_| !is_backwards) else {
            step.out.items.push(Item::Buffer(buffer));
            return;
        };
        let gap = buffer.flags().contains(gst::BufferFlags::GAP);
        let frames = buffer.size() / audio.info.bpf() as usize;
        let mono = if gap {
            Ok(audio.downmix.silence(frames))
        } else {
            audio.downmix.mix(&buffer, &audio.info)
        };
        let mut events = Vec::new();
        let samples = match mono {
            Ok(mono) => {
                audio.analyzer.push(mono, &mut |event| events.push(event));
                let samples = mono.len() as u64;
                audio.clock.advance(buffer.pts(), samples);
                samples
            }
            // The programme goes on; silence is analysed in its place.
            Err(err) => {
                self.counts.broken_buffers += 1;
                if !std::mem::replace(&mut self.warned_broken, true) {
                    step.warning = Some(format!("buffer not analysed: {err}"));
                }
                audio.silence(buffer.pts(), frames as u64, &mut events);
                frames as u64
            }
        };
        audio.largest_buffer = audio.largest_buffer.max(samples);
        self.counts.samples += samples;
        self.counts.invalid_samples += audio.analyzer.take_invalid_samples();
        if self.counts.invalid_samples > 0 && !std::mem::replace(&mut self.warned_invalid, true) {
            step.warning = Some(
                "audio holds samples that are not finite numbers; they are analysed as silence and \
                 counted in the property 'stats'"
                    .to_owned(),
            );
        }
        let position = audio.clock.position();
        let end_pts = audio.clock.expected().unwrap_or(gst::ClockTime::ZERO);
        let latency = audio.latency(settings);
        let known = position.saturating_sub(audio.look_ahead(settings));
        let marks = self.marks(events, settings, step);
        self.line
            .buffer(buffer, position, end_pts, marks, &mut step.out);
        self.line.set_latency(latency, &mut step.out);
        self.line.release(known, &mut step.out);
        if self.line.mode() != Mode::Offline
            && let Some(audio) = &mut self.audio
        {
            let seconds = position as f64 / f64::from(audio.info.rate());
            audio.clock.forget_before(seconds - LATEST_REPORT);
        }
    }

    fn is_discontinuous(&self, buffer: &gst::BufferRef) -> bool {
        let expected = self.audio.as_ref().and_then(|audio| audio.clock.expected());
        let (Some(pts), Some(expected)) = (buffer.pts(), expected) else {
            return false;
        };
        let limit = if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            DISCONT_THRESHOLD
        } else {
            ALIGNMENT_THRESHOLD
        };
        pts.absdiff(expected) > limit
    }

    /// Analyses a gap of the stream as silence, or restarts after a long one.
    pub fn gap(&mut self, event: gst::Event, settings: &Settings, step: &mut Step) {
        let gst::EventView::Gap(gap) = event.view() else {
            return;
        };
        let (pts, duration) = gap.get();
        let Some(duration) = duration.filter(|duration| *duration <= LONGEST_SILENT_GAP) else {
            self.drain(settings, step);
            step.out.items.push(Item::Event(event));
            return;
        };
        let mut events = Vec::new();
        if let Some(audio) = &mut self.audio {
            let rate = u64::from(audio.info.rate());
            let samples = duration.nseconds().mul_div_round(rate, 1_000_000_000);
            audio.silence(Some(pts), samples.unwrap_or(0), &mut events);
        }
        let marks = self.marks(events, settings, step);
        self.line.marks(marks, &mut step.out);
        self.pass_event(event, &mut step.out);
    }

    /// Passes a serialized event on in its place among the buffers.
    pub fn pass_event(&mut self, event: gst::Event, out: &mut Output) {
        let event = self.tags.pass(event);
        let position = self.audio.as_ref().map(|audio| audio.clock.position());
        self.line.event(event, position, out);
    }

    /// Turns what the analysis reports into marks; tempo goes out as event and tag.
    fn marks(&mut self, events: Vec<Event>, settings: &Settings, step: &mut Step) -> Vec<Stamped> {
        let Some(audio) = &mut self.audio else {
            return Vec::new();
        };
        step.failure = audio.analyzer.take_failure().or(step.failure.take());
        let mut marks = Vec::new();
        for event in events {
            match &event {
                Event::Tempo(tempo) => {
                    gst::debug!(CAT, "tempo {tempo:?}");
                    // The beat is lost, as in silence, where there is no confidence left.
                    if tempo.confidence > 0.0 {
                        let beats_per_bar = tempo.beats_per_bar.into();
                        self.set_tempo(tempo.bpm, tempo.confidence, beats_per_bar, step);
                    } else {
                        self.forget_tempo(step);
                    }
                }
                Event::Beat(beat) => {
                    if let Some(bpm) = self.steady.count(beat) {
                        step.out.items.push(Item::Event(self.tags.with_bpm(bpm)));
                    }
                }
                Event::Onset(_) => (),
            }
            if let Some(mark) = self.mark(&event, settings) {
                marks.push(self.line.stamp(mark, settings.offset, &mut step.out));
            }
        }
        marks
    }

    fn set_tempo(&mut self, bpm: f64, confidence: f64, beats_per_bar: u32, step: &mut Step) {
        self.bpm = bpm;
        step.out.tempo_changed = true;
        let event = marks::tempo_event(bpm, confidence, beats_per_bar);
        step.out.items.push(Item::Event(event));
    }

    /// The mark of an event, at its instant in the media, if it is emitted.
    fn mark(&mut self, event: &Event, settings: &Settings) -> Option<Mark> {
        let kind = settings.kind(event)?;
        let clock = &self.audio.as_ref()?.clock;
        Some(match event {
            Event::Onset(onset) => {
                self.counts.onsets += 1;
                Mark {
                    strength: onset.strength,
                    confidence: onset.confidence,
                    ..Mark::new(kind, clock.pts(onset.time))
                }
            }
            Event::Beat(beat) => {
                self.counts.beats += 1;
                self.counts.downbeats += u64::from(beat.beat_in_bar == 1);
                Mark {
                    strength: beat.strength,
                    confidence: beat.confidence,
                    bpm: Some(beat.bpm),
                    beat_in_bar: beat.beat_in_bar.into(),
                    predicted: beat.predicted,
                    ..Mark::new(kind, clock.pts(beat.time))
                }
            }
            Event::Tempo(_) => return None,
        })
    }

    /// Ends the analysis of the audio so far: its last marks go out, and the analysis restarts.
    pub fn drain(&mut self, settings: &Settings, step: &mut Step) {
        let mut events = Vec::new();
        let Some(audio) = &mut self.audio else {
            return;
        };
        audio.analyzer.finish(&mut |event| events.push(event));
        let end = audio.clock.expected();
        let marks = self.marks(events, settings, step);
        self.line.drain(marks, end, &mut step.out);
        self.restart();
    }

    /// Ends the analysis of the audio so far and goes on by signal processing alone.
    pub fn go_on_without_network(
        &mut self,
        settings: &Settings,
        step: &mut Step,
    ) -> Result<(), Error> {
        self.drain(settings, step);
        if let Some(audio) = &mut self.audio {
            audio.analyzer = settings.analyzer(audio.info.rate(), None)?;
        }
        Ok(())
    }

    /// Goes on with audio of another format.
    pub fn set_audio(&mut self, audio: Audio, settings: &Settings, step: &mut Step) {
        self.drain(settings, step);
        self.audio = Some(audio);
    }

    /// Goes on in another segment.
    pub fn set_segment(&mut self, segment: &gst::Segment, settings: &Settings, step: &mut Step) {
        let segment = segment.downcast_ref::<gst::ClockTime>().cloned();
        if !same_timestamps(self.line.segment.as_ref(), segment.as_ref()) {
            self.drain(settings, step);
        }
        self.line.segment = segment;
    }

    /// Takes the beginning of a stream; of another one than before nothing is known.
    pub fn begin(&mut self, id: &str, settings: &Settings, step: &mut Step) {
        if self.id.as_deref() != Some(id) {
            self.drain(settings, step);
            self.forget_tempo(step);
            self.tags = Tags::default();
            self.id = Some(id.to_owned());
        }
    }

    /// Forgets the stream up to here and its segment; returns the events that it held.
    pub fn flush(&mut self) -> Vec<gst::Event> {
        self.restart();
        self.line.flush()
    }

    /// Forgets the audio up to here; its format stays.
    fn restart(&mut self) {
        self.steady = SteadyTempo::default();
        if let Some(audio) = &mut self.audio {
            audio.analyzer.reset();
            audio.clock.reset();
        }
    }

    /// Announces to late joiners that the tempo they may have no longer holds.
    pub fn forget_tempo(&mut self, step: &mut Step) {
        if self.bpm != 0.0 {
            self.set_tempo(0.0, 0.0, 0, step);
        }
    }

    pub fn stats(&self) -> gst::Structure {
        let counts = &self.counts;
        gst::Structure::builder("stats")
            .field("samples", counts.samples)
            .field("invalid-samples", counts.invalid_samples)
            .field("broken-buffers", counts.broken_buffers)
            .field("discontinuities", counts.discontinuities)
            .field("onsets", counts.onsets)
            .field("beats", counts.beats)
            .field("downbeats", counts.downbeats)
            .field("late", self.line.late)
            .build()
    }
}
