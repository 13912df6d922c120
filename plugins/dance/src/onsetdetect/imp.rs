use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use dance_rhythm::analyzer::{Analyzer, Config, Event};
use dance_rhythm::network::{Failure, Network};
use dance_rhythm::{beat, onset};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::clock::SampleClock;
use super::downmix::Downmix;
use super::{Emit, Method, Mode, network};
use crate::lock::lock;
use crate::marks::{self, Kind, Mark};
use crate::{model, sticky};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "onsetdetect",
        gst::DebugColorFlags::empty(),
        Some("Onsets, beats and tempo of music"),
    )
});

const DEFAULT_MIN_BPM: f64 = beat::DEFAULT_MIN_BPM;
const DEFAULT_MAX_BPM: f64 = beat::DEFAULT_MAX_BPM;
const DEFAULT_BEATS_PER_BAR: u32 = 0;
const DEFAULT_THRESHOLD: f32 = 1.0;
const DEFAULT_OFFSET: i64 = 0;
const DEFAULT_POST_MESSAGES: bool = true;
const DEFAULT_DEBIAS: bool = true;

const MIN_RATE: i32 = onset::MIN_RATE as i32;
/// The highest rate that PCM is made in; windows grow with the rate, so that there must be an end.
const MAX_RATE: i32 = 768_000;
const MAX_CHANNELS: i32 = 64;
/// Timestamps that leave the count of samples by more than this begin a new analysis, as the base
/// classes of audio do by default.
const ALIGNMENT_THRESHOLD: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// The same where the stream itself says that something is missing.
const DISCONT_THRESHOLD: gst::ClockTime = gst::ClockTime::from_mseconds(1);
/// A gap up to this long is heard as silence; after a longer one the analysis begins anew.
const LONGEST_SILENT_GAP: gst::ClockTime = gst::ClockTime::from_seconds(2);
/// The tag is sent after so many beats of one tempo …
const TAG_BEATS: u32 = 8;
/// … each of at least this confidence.
const TAG_CONFIDENCE: f64 = 0.5;
/// Marks in one `rhythm-marks` event at the end of a stream.
const MARKS_IN_EVENT: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Settings {
    method: Method,
    mode: Mode,
    min_bpm: f64,
    max_bpm: f64,
    beats_per_bar: u32,
    threshold: f32,
    debias: bool,
    offset: i64,
    post_messages: bool,
    emit: Emit,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            mode: Mode::default(),
            min_bpm: DEFAULT_MIN_BPM,
            max_bpm: DEFAULT_MAX_BPM,
            beats_per_bar: DEFAULT_BEATS_PER_BAR,
            threshold: DEFAULT_THRESHOLD,
            debias: DEFAULT_DEBIAS,
            offset: DEFAULT_OFFSET,
            post_messages: DEFAULT_POST_MESSAGES,
            emit: Emit::default(),
        }
    }
}

impl Settings {
    /// Hears through the network where there is one, else by the method; by SuperFlux for those
    /// that want a network.
    fn analyzer(
        &self,
        rate: u32,
        network: Option<Box<dyn Network>>,
    ) -> Result<Analyzer, dance_rhythm::analyzer::Error> {
        let config = Config {
            onset: onset::Config {
                rate,
                method: match self.method {
                    Method::Auto | Method::Model | Method::SuperFlux => onset::Method::SuperFlux,
                    Method::Mudar => onset::Method::Mudar,
                    Method::Librosa => onset::Method::Librosa,
                },
                threshold: self.threshold,
                debias: self.debias,
            },
            // The tempo is worth knowing only where beats are: it costs more than the onsets.
            beats: self.emit.intersects(Emit::BEAT | Emit::DOWNBEAT).then(|| {
                dance_rhythm::analyzer::Beats {
                    min_bpm: self.min_bpm,
                    max_bpm: self.max_bpm,
                    beats_per_bar: match self.beats_per_bar {
                        0 => Vec::new(),
                        n => vec![n as u8],
                    },
                }
            }),
            offline: self.mode == Mode::Offline,
        };
        Analyzer::with_network(&config, network)
    }

    /// The kind of mark under which an event is emitted, if at all.
    fn kind(&self, event: &Event) -> Option<Kind> {
        match event {
            Event::Onset(_) => self.emit.contains(Emit::ONSET).then_some(Kind::Onset),
            Event::Beat(beat) if beat.beat_in_bar == 1 && self.emit.contains(Emit::DOWNBEAT) => {
                Some(Kind::Downbeat)
            }
            Event::Beat(_) => self.emit.contains(Emit::BEAT).then_some(Kind::Beat),
            Event::Tempo(_) => None,
        }
    }
}

/// What waits in `aligned` mode until every mark before `end` is known.
enum Held {
    Buffer {
        buffer: gst::Buffer,
        /// Samples up to the end of the buffer.
        end: u64,
        /// Timestamp of its end.
        end_pts: gst::ClockTime,
    },
    Event {
        event: gst::Event,
        end: u64,
    },
}

impl Held {
    fn end(&self) -> u64 {
        match self {
            Held::Buffer { end, .. } | Held::Event { end, .. } => *end,
        }
    }
}

/// One stream of audio of one format.
struct Stream {
    info: gst_audio::AudioInfo,
    analyzer: Analyzer,
    clock: SampleClock,
    downmix: Downmix,
    /// `aligned` only, in the order of the stream.
    held: VecDeque<Held>,
    /// Marks that wait for their buffer (`aligned`) or for the end (`offline`).
    waiting: Vec<Mark>,
    /// Samples in the largest buffer so far: buffers are let go as a whole.
    largest_buffer: u64,
}

impl Stream {
    fn new(
        info: gst_audio::AudioInfo,
        settings: &Settings,
        network: Option<Box<dyn Network>>,
    ) -> Result<Self, dance_rhythm::analyzer::Error> {
        let rate = info.rate();
        Ok(Self {
            info,
            analyzer: settings.analyzer(rate, network)?,
            clock: SampleClock::new(rate),
            downmix: Downmix::default(),
            held: VecDeque::new(),
            waiting: Vec::new(),
            largest_buffer: 0,
        })
    }

    /// Samples that `aligned` mode must hear past an instant before all its marks are known.
    fn look_ahead(&self, settings: &Settings) -> u64 {
        // Marks that are moved back in time are known only so much later.
        let moved = (-settings.offset).max(0) as f64 / 1e9;
        ((self.analyzer.delay() + moved) * f64::from(self.info.rate())).ceil() as u64
    }

    /// How long `aligned` mode holds audio back.
    fn latency(&self, settings: &Settings) -> gst::ClockTime {
        let whole = self.largest_buffer.max(1);
        self.clock
            .duration(self.look_ahead(settings).div_ceil(whole) * whole)
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
    late: u64,
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

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    counts: Counts,
    next_id: u64,
    bpm: f64,
    steady: SteadyTempo,
    latency: Option<gst::ClockTime>,
    warned_invalid: bool,
    warned_broken: bool,
}

/// What a step of the analysis gives to the world, delivered once the state is unlocked.
#[derive(Default)]
struct Output {
    marks: Vec<Mark>,
    items: Vec<Item>,
    tempo_changed: bool,
    latency_changed: bool,
    warning: Option<String>,
    /// Why the network stopped.
    failure: Option<Failure>,
}

enum Item {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

impl State {
    /// Hears one buffer and passes it on.
    fn buffer(&mut self, buffer: gst::Buffer, settings: &Settings, source: &str, out: &mut Output) {
        // Backwards, attacks are decays: there is nothing to be heard.
        if self.segment.as_ref().is_some_and(|s| s.rate() < 0.0) {
            out.items.push(Item::Buffer(buffer));
            return;
        }
        if self.is_discontinuous(&buffer) {
            self.counts.discontinuities += 1;
            self.drain(settings, source, out);
        }
        let Some(stream) = &mut self.stream else {
            out.items.push(Item::Buffer(buffer));
            return;
        };
        let gap = buffer.flags().contains(gst::BufferFlags::GAP);
        let frames = buffer.size() / stream.info.bpf() as usize;
        let mono = if gap {
            Ok(stream.downmix.silence(frames))
        } else {
            stream.downmix.mix(&buffer, &stream.info)
        };
        let mut events = Vec::new();
        let samples = match mono {
            Ok(mono) => {
                stream.analyzer.push(mono, &mut |event| events.push(event));
                mono.len() as u64
            }
            // The programme goes on; the analysis hears silence.
            Err(err) => {
                self.counts.broken_buffers += 1;
                if !std::mem::replace(&mut self.warned_broken, true) {
                    out.warning = Some(format!("buffer not heard: {err}"));
                }
                let silence = stream.downmix.silence(frames);
                stream
                    .analyzer
                    .push(silence, &mut |event| events.push(event));
                frames as u64
            }
        };
        stream.clock.advance(buffer.pts(), samples);
        stream.largest_buffer = stream.largest_buffer.max(samples);
        self.counts.samples += samples;
        self.counts.invalid_samples += stream.analyzer.take_invalid_samples();
        if self.counts.invalid_samples > 0 && !std::mem::replace(&mut self.warned_invalid, true) {
            out.warning = Some(
                "audio holds samples that are not finite numbers; they are heard as silence and \
                 counted in the property 'stats'"
                    .to_owned(),
            );
        }
        let marks = self.marks(events, settings, out);
        let Some(stream) = &mut self.stream else {
            return;
        };
        match settings.mode {
            Mode::LowLatency => {
                out.items
                    .push(Item::Buffer(with_marks(buffer, source, &marks)));
            }
            Mode::Offline => {
                stream.waiting.extend(marks);
                out.items.push(Item::Buffer(buffer));
            }
            Mode::Aligned => {
                stream.waiting.extend(marks);
                let end_pts = stream.clock.expected().unwrap_or(gst::ClockTime::ZERO);
                stream.held.push_back(Held::Buffer {
                    buffer,
                    end: stream.clock.position(),
                    end_pts,
                });
                let latency = stream.latency(settings);
                if self.latency.replace(latency) != Some(latency) {
                    out.latency_changed = true;
                }
                let known = stream
                    .clock
                    .position()
                    .saturating_sub(stream.look_ahead(settings));
                self.release(known, source, out);
            }
        }
        if settings.mode != Mode::Offline
            && let Some(stream) = &mut self.stream
        {
            let position = stream.clock.position() as f64 / f64::from(stream.info.rate());
            // Nothing is reported so late.
            stream.clock.forget_before(position - 10.0);
        }
    }

    fn is_discontinuous(&self, buffer: &gst::BufferRef) -> bool {
        let expected = self.stream.as_ref().and_then(|s| s.clock.expected());
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

    /// Hears a gap of the stream as silence, or begins anew after a long one.
    fn gap(&mut self, event: gst::Event, settings: &Settings, source: &str, out: &mut Output) {
        let gst::EventView::Gap(gap) = event.view() else {
            return;
        };
        let (pts, duration) = gap.get();
        let Some(duration) = duration.filter(|d| *d <= LONGEST_SILENT_GAP) else {
            self.drain(settings, source, out);
            out.items.push(Item::Event(event));
            return;
        };
        let mut events = Vec::new();
        if let Some(stream) = &mut self.stream {
            let samples = duration
                .nseconds()
                .mul_div_round(u64::from(stream.info.rate()), 1_000_000_000)
                .unwrap_or(0);
            let silence = stream.downmix.silence(samples as usize);
            stream
                .analyzer
                .push(silence, &mut |event| events.push(event));
            stream.clock.advance(Some(pts), samples);
        }
        let marks = self.marks(events, settings, out);
        let Some(stream) = &mut self.stream else {
            out.items.push(Item::Event(event));
            return;
        };
        if settings.mode == Mode::LowLatency {
            out.items.extend(marks_events(source, &marks));
        } else {
            stream.waiting.extend(marks);
        }
        self.pass_event(event, out);
    }

    /// Passes a serialized event on in its place among the buffers.
    fn pass_event(&mut self, event: gst::Event, out: &mut Output) {
        match &mut self.stream {
            Some(stream) if !stream.held.is_empty() => {
                let end = stream.clock.position();
                stream.held.push_back(Held::Event { event, end });
            }
            _ => out.items.push(Item::Event(event)),
        }
    }

    /// Turns what the analysis says into marks; tempo goes out as event and tag.
    fn marks(&mut self, events: Vec<Event>, settings: &Settings, out: &mut Output) -> Vec<Mark> {
        let failure = self
            .stream
            .as_mut()
            .and_then(|stream| stream.analyzer.take_failure());
        out.failure = failure.or(out.failure.take());
        let mut marks = Vec::new();
        for event in events {
            match &event {
                Event::Tempo(tempo) => {
                    gst::debug!(CAT, "tempo {tempo:?}");
                    self.bpm = tempo.bpm;
                    out.tempo_changed = true;
                    out.items.push(Item::Event(marks::tempo_event(
                        tempo.bpm,
                        tempo.confidence,
                        tempo.beats_per_bar.into(),
                    )));
                }
                Event::Beat(beat) => {
                    if let Some(bpm) = self.steady.count(beat) {
                        let mut tags = gst::TagList::new();
                        tags.make_mut()
                            .add::<gst::tags::BeatsPerMinute>(&bpm, gst::TagMergeMode::Replace);
                        out.items.push(Item::Event(gst::event::Tag::new(tags)));
                    }
                }
                Event::Onset(_) => (),
            }
            marks.extend(self.mark(&event, settings));
        }
        // Offline marks are numbered and told at the end, in the order of their instants.
        if settings.mode != Mode::Offline {
            out.marks.extend(marks.iter().cloned());
        }
        marks
    }

    fn mark(&mut self, event: &Event, settings: &Settings) -> Option<Mark> {
        let kind = settings.kind(event)?;
        let clock = &self.stream.as_ref()?.clock;
        let place = |seconds: f64| {
            let pts = clock.pts(seconds).nseconds();
            gst::ClockTime::from_nseconds(pts.saturating_add_signed(settings.offset))
        };
        let mut mark = match *event {
            Event::Onset(onset) => {
                self.counts.onsets += 1;
                Mark {
                    id: 0,
                    kind,
                    timestamp: place(onset.time),
                    running_time: None,
                    stream_time: None,
                    strength: onset.strength,
                    confidence: onset.confidence,
                    bpm: None,
                    beat_in_bar: 0,
                    predicted: false,
                }
            }
            Event::Beat(beat) => {
                self.counts.beats += 1;
                self.counts.downbeats += u64::from(beat.beat_in_bar == 1);
                Mark {
                    id: 0,
                    kind,
                    timestamp: place(beat.time),
                    running_time: None,
                    stream_time: None,
                    strength: beat.strength,
                    confidence: beat.confidence,
                    bpm: Some(beat.bpm),
                    beat_in_bar: beat.beat_in_bar.into(),
                    predicted: beat.predicted,
                }
            }
            Event::Tempo(_) => return None,
        };
        if let Some(segment) = &self.segment {
            mark.running_time = segment.to_running_time(mark.timestamp);
            mark.stream_time = segment.to_stream_time(mark.timestamp);
        }
        if settings.mode != Mode::Offline {
            mark.id = self.next_id();
        }
        Some(mark)
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Lets held audio go up to the sample `known`, each buffer with the marks it holds.
    fn release(&mut self, known: u64, source: &str, out: &mut Output) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        while stream.held.front().is_some_and(|held| held.end() <= known) {
            match stream.held.pop_front() {
                Some(Held::Buffer {
                    buffer, end_pts, ..
                }) => {
                    let start = buffer.pts().unwrap_or(gst::ClockTime::ZERO);
                    let mut due: Vec<Mark> = stream
                        .waiting
                        .extract_if(.., |mark| mark.timestamp < end_pts)
                        .collect();
                    due.sort_by_key(|mark| (mark.timestamp, mark.kind));
                    self.counts.late +=
                        due.iter().filter(|mark| mark.timestamp < start).count() as u64;
                    out.items
                        .push(Item::Buffer(with_marks(buffer, source, &due)));
                }
                Some(Held::Event { event, .. }) => out.items.push(Item::Event(event)),
                None => return,
            }
        }
    }

    /// Ends the analysis of what was heard so far: its last marks go out, and it begins anew.
    fn drain(&mut self, settings: &Settings, source: &str, out: &mut Output) {
        let mut events = Vec::new();
        let Some(stream) = &mut self.stream else {
            return;
        };
        stream.analyzer.finish(&mut |event| events.push(event));
        let mut marks = self.marks(events, settings, out);
        match settings.mode {
            Mode::LowLatency => out.items.extend(marks_events(source, &marks)),
            Mode::Aligned => {
                if let Some(stream) = &mut self.stream {
                    stream.waiting.append(&mut marks);
                }
                self.release(u64::MAX, source, out);
            }
            Mode::Offline => {
                if let Some(stream) = &mut self.stream {
                    marks.append(&mut stream.waiting);
                }
                marks.sort_by_key(|mark| (mark.timestamp, mark.kind));
                for mark in &mut marks {
                    mark.id = self.next_id();
                }
                out.items.extend(marks_events(source, &marks));
                out.marks.append(&mut marks);
            }
        }
        self.restart();
    }

    /// Ends the analysis of what was heard so far and goes on by signal processing alone.
    fn go_on_without_network(
        &mut self,
        settings: &Settings,
        source: &str,
        out: &mut Output,
    ) -> Result<(), dance_rhythm::analyzer::Error> {
        self.drain(settings, source, out);
        if let Some(stream) = &mut self.stream {
            stream.analyzer = settings.analyzer(stream.info.rate(), None)?;
        }
        Ok(())
    }

    /// Forgets the stream up to here and its segment; returns the events that it held.
    fn flush(&mut self) -> Vec<gst::Event> {
        let held = self
            .stream
            .as_mut()
            .map(|stream| std::mem::take(&mut stream.held));
        let events = held.into_iter().flatten().filter_map(|held| match held {
            Held::Event { event, .. } => Some(event),
            Held::Buffer { .. } => None,
        });
        let events = events.collect();
        self.restart();
        self.segment = None;
        events
    }

    /// Forgets the stream up to here; its format stays.
    fn restart(&mut self) {
        self.steady = SteadyTempo::default();
        if let Some(stream) = &mut self.stream {
            stream.analyzer.reset();
            stream.clock.reset();
            stream.held.clear();
            // Only predictions past the end are left.
            stream.waiting.clear();
        }
    }

    /// Tells late joiners that the tempo they may have is none any more.
    fn forget_tempo(&mut self, out: &mut Output) {
        if self.bpm != 0.0 {
            self.bpm = 0.0;
            out.tempo_changed = true;
            out.items.push(Item::Event(marks::tempo_event(0.0, 0.0, 0)));
        }
    }
}

fn with_marks(mut buffer: gst::Buffer, source: &str, marks: &[Mark]) -> gst::Buffer {
    if !marks.is_empty() {
        marks::attach(buffer.make_mut(), source, marks);
    }
    buffer
}

fn marks_events<'a>(source: &'a str, marks: &'a [Mark]) -> impl Iterator<Item = Item> + 'a {
    marks
        .chunks(MARKS_IN_EVENT)
        .map(move |marks| Item::Event(marks::event(source, marks)))
}

/// What is heard with, from NULL to NULL.
#[derive(Default)]
struct Hearing {
    /// What was wanted when this was found; nothing before and after a failure.
    wanted: Option<(Method, model::Settings)>,
    /// `Auto` while it is not known.
    active: Method,
    ear: Ear,
}

impl Hearing {
    /// In the place of a network that failed, until the next start tries anew.
    const SUPERFLUX: Self = Self {
        wanted: None,
        active: Method::SuperFlux,
        ear: Ear::Without,
    };
}

/// How far a network is.
#[derive(Default)]
enum Ear {
    /// There is none.
    #[default]
    Without,
    /// From READY on.
    Found(Box<model::Found>),
    /// From PAUSED on, and still in READY after it, so that the next start is a fast one.
    Loaded(Arc<network::Loaded>),
}

pub struct OnsetDetect {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    network: Mutex<model::Settings>,
    hearing: Mutex<Hearing>,
    state: Mutex<State>,
}

impl OnsetDetect {
    /// Finds what the method needs, by cheap checks, unless that is done already.
    fn find(&self) -> Result<(), gst::ErrorMessage> {
        let method = lock(&self.settings).method;
        let wanted = (method, lock(&self.network).clone());
        if lock(&self.hearing).wanted.as_ref() == Some(&wanted) {
            return Ok(());
        }
        self.hear(Hearing::default());
        let (active, ear) = match method {
            Method::Auto | Method::Model => match model::find(&network::NEED, &wanted.1) {
                Ok(found) => (Method::Model, Ear::Found(Box::new(found))),
                Err(err) => {
                    self.do_without_network(&err)?;
                    (Method::SuperFlux, Ear::Without)
                }
            },
            method => (method, Ear::Without),
        };
        self.hear(Hearing {
            wanted: Some(wanted),
            active,
            ear,
        });
        Ok(())
    }

    /// Makes what was found ready to run.
    fn load(&self) -> Result<(), gst::ErrorMessage> {
        // The properties can be changed in READY.
        self.find()?;
        let found = {
            let mut hearing = lock(&self.hearing);
            match std::mem::take(&mut hearing.ear) {
                Ear::Found(found) => found,
                ear => {
                    hearing.ear = ear;
                    return Ok(());
                }
            }
        };
        let loaded = found
            .load(self.obj().upcast_ref(), network::Loaded::warm_up)
            .and_then(network::Loaded::new);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(err) => {
                self.hear(Hearing::default());
                self.do_without_network(&err)?;
                self.hear(Hearing::SUPERFLUX);
                return Ok(());
            }
        };
        lock(&self.hearing).ear = Ear::Loaded(Arc::new(loaded));
        self.obj().notify("active-execution-provider");
        Ok(())
    }

    /// Sets what is heard with, and tells who watches.
    fn hear(&self, hearing: Hearing) {
        let method = hearing.active;
        let before = std::mem::replace(&mut *lock(&self.hearing), hearing);
        if before.active != method {
            self.obj().notify("active-method");
        }
        if let Ear::Loaded(_) = before.ear {
            self.obj().notify("active-execution-provider");
        }
    }

    /// Whether another method in the place of the model would be an error.
    fn model_is_asked_for(&self) -> bool {
        let method = lock(&self.settings).method;
        method == Method::Model || method == Method::Auto && lock(&self.network).ask_for_model()
    }

    /// What to do about a network that cannot be had: fails where it was asked for.
    fn do_without_network(&self, err: &model::Error) -> Result<(), gst::ErrorMessage> {
        if self.model_is_asked_for() {
            return Err(err.message());
        }
        if err.is_absence() {
            gst::info!(CAT, imp = self, "hearing by superflux: {err}");
        } else {
            self.warn_of_network(err);
        }
        Ok(())
    }

    fn warn_of_network(&self, err: &dyn std::fmt::Display) {
        gst::element_imp_warning!(
            self,
            gst::LibraryError::Failed,
            ("the model cannot be used, superflux is in its place: {err}")
        );
    }

    /// The network for a new stream, if one is heard through.
    fn network(&self, settings: &Settings) -> Result<Option<Box<dyn Network>>, model::Error> {
        let loaded = match &lock(&self.hearing).ear {
            Ear::Loaded(loaded) => loaded.clone(),
            Ear::Without | Ear::Found(_) => return Ok(None),
        };
        // A file that is read ahead can be held back a little longer at no cost.
        let nobody_waits = match settings.mode {
            Mode::LowLatency => false,
            Mode::Aligned => !self.is_live(),
            Mode::Offline => true,
        };
        let frames = if nobody_waits { network::BLOCK } else { 1 };
        loaded.network(frames).map(Some)
    }

    /// Whether the sound comes as it happens, so that what is late cannot be caught up with.
    fn is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        !self.sinkpad.peer_query(&mut query) || query.result().0
    }

    /// Goes on without the network that has failed, or ends where it was asked for.
    fn network_failed(
        &self,
        failure: &Failure,
        settings: &Settings,
        out: &mut Output,
    ) -> Result<(), gst::FlowError> {
        if self.model_is_asked_for() {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Failed,
                ("the model has failed: {failure}")
            );
            return Err(gst::FlowError::Error);
        }
        let source = self.obj().name();
        // Nothing that the settings could get wrong is left to be found here.
        if let Err(err) = lock(&self.state).go_on_without_network(settings, &source, out) {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{err}"));
            return Err(gst::FlowError::Error);
        }
        self.warn_of_network(failure);
        self.hear(Hearing::SUPERFLUX);
        Ok(())
    }

    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "{buffer:?}");
        let settings = *lock(&self.settings);
        let source = self.obj().name();
        let mut out = Output::default();
        {
            let mut state = lock(&self.state);
            if state.stream.is_none() {
                drop(state);
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("audio without usable caps: need audio/x-raw of {MIN_RATE} to \
                      {MAX_RATE} Hz and at most {MAX_CHANNELS} channels")
                );
                return Err(gst::FlowError::NotNegotiated);
            }
            state.buffer(buffer, &settings, &source, &mut out);
        }
        self.deliver(out, &settings)
    }

    /// Gives the output of a step to bus and pad; no lock may be held, since both call back.
    fn deliver(
        &self,
        mut out: Output,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let failed = match out.failure.take() {
            Some(failure) => self.network_failed(&failure, settings, &mut out),
            None => Ok(()),
        };
        if let Some(warning) = out.warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{warning}"));
        }
        if out.latency_changed {
            let message = gst::message::Latency::builder().src(&*obj).build();
            // Without a bus there is nobody to tell.
            let _ = obj.post_message(message);
        }
        if out.tempo_changed {
            obj.notify("tempo");
        }
        if settings.post_messages {
            for mark in &out.marks {
                let _ = obj.post_message(mark.to_message(obj.upcast_ref()));
            }
        }
        let mut flow = Ok(gst::FlowSuccess::Ok);
        for item in out.items {
            match item {
                Item::Event(event) => {
                    self.srcpad.push_event(event);
                }
                Item::Buffer(buffer) if flow.is_ok() => flow = self.srcpad.push(buffer),
                Item::Buffer(_) => (),
            }
        }
        failed.and(flow)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{event:?}");
        let settings = *lock(&self.settings);
        let source = self.obj().name();
        let mut out = Output::default();
        match event.view() {
            gst::EventView::Caps(caps) => {
                let info = match gst_audio::AudioInfo::from_caps(caps.caps()) {
                    Ok(info) => info,
                    Err(err) => {
                        gst::element_imp_error!(
                            self,
                            gst::CoreError::Negotiation,
                            ("caps {} are not raw audio: {err}", caps.caps())
                        );
                        return false;
                    }
                };
                let known = lock(&self.state)
                    .stream
                    .as_ref()
                    .is_some_and(|stream| stream.info == info);
                if !known {
                    let network = self.network(&settings).or_else(|err| {
                        self.do_without_network(&err)?;
                        self.hear(Hearing::SUPERFLUX);
                        Ok(None)
                    });
                    let network = match network {
                        Ok(network) => network,
                        Err(message) => {
                            self.post_error_message(message);
                            return false;
                        }
                    };
                    let stream = match Stream::new(info, &settings, network) {
                        Ok(stream) => stream,
                        Err(err) => {
                            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{err}"));
                            return false;
                        }
                    };
                    let mut state = lock(&self.state);
                    state.drain(&settings, &source, &mut out);
                    state.stream = Some(stream);
                }
            }
            gst::EventView::Segment(segment) => {
                let mut state = lock(&self.state);
                let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                if state.segment != segment {
                    state.drain(&settings, &source, &mut out);
                    state.segment = segment;
                }
            }
            gst::EventView::Gap(_) => {
                lock(&self.state).gap(event, &settings, &source, &mut out);
                return self.deliver(out, &settings).is_ok();
            }
            gst::EventView::Eos(_) => {
                lock(&self.state).drain(&settings, &source, &mut out);
            }
            gst::EventView::FlushStop(_) => {
                let flushed = lock(&self.state).flush();
                let result = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                sticky::keep(&self.srcpad, flushed);
                let mut out = Output::default();
                lock(&self.state).forget_tempo(&mut out);
                let _ = self.deliver(out, &settings);
                return result;
            }
            _ if event.is_serialized() => {
                lock(&self.state).pass_event(event, &mut out);
                return self.deliver(out, &settings).is_ok();
            }
            _ => (),
        }
        // A failure here comes back with the next buffer; the event goes on all the same.
        let _ = self.deliver(out, &settings);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        // Upstream's pool could run dry under the buffers that `aligned` mode holds.
        if let gst::QueryViewMut::Allocation(_) = query.view_mut()
            && lock(&self.settings).mode == Mode::Aligned
        {
            return false;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Latency(latency) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let mut upstream = gst::query::Latency::new();
        if !self.sinkpad.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let own = self.latency();
        gst::debug!(CAT, imp = self, "upstream {min}..{max:?}, own {own}");
        latency.set(live, min + own, max.map(|max| max + own));
        true
    }

    /// How long audio is held back.
    fn latency(&self) -> gst::ClockTime {
        let settings = *lock(&self.settings);
        if settings.mode != Mode::Aligned {
            return gst::ClockTime::ZERO;
        }
        lock(&self.state)
            .stream
            .as_ref()
            .map_or(gst::ClockTime::ZERO, |stream| stream.latency(&settings))
    }

    fn stats(&self) -> gst::Structure {
        let counts = lock(&self.state).counts;
        gst::Structure::builder("stats")
            .field("samples", counts.samples)
            .field("invalid-samples", counts.invalid_samples)
            .field("broken-buffers", counts.broken_buffers)
            .field("discontinuities", counts.discontinuities)
            .field("onsets", counts.onsets)
            .field("beats", counts.beats)
            .field("downbeats", counts.downbeats)
            .field("late", counts.late)
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for OnsetDetect {
    const NAME: &'static str = "GstOnsetDetect";
    type Type = super::OnsetDetect;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let pad = |name: &str| {
            klass
                .pad_template(name)
                .map(|template| gst::Pad::builder_from_template(&template))
        };
        // Both templates are declared below, so that the fallbacks are never taken.
        let sinkpad = pad("sink")
            .unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Sink))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.sink_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_query(pad, query))
            })
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = pad("src")
            .unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Src))
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_query(pad, query))
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            network: Mutex::default(),
            hearing: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for OnsetDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut all = model::Settings::properties(network::NEED.file);
            all.extend([
                glib::ParamSpecEnum::builder::<Method>("method")
                    .nick("Method")
                    .blurb("What onsets and beats are heard with")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Method>("active-method")
                    .nick("Active method")
                    .blurb("What is really heard with; auto = not known before READY")
                    .read_only()
                    .build(),
                glib::ParamSpecString::builder("active-execution-provider")
                    .nick("Active execution provider")
                    .blurb("What the model really runs on, from PAUSED on; none = there is no model")
                    .read_only()
                    .build(),
                glib::ParamSpecEnum::builder::<Mode>("mode")
                    .nick("Mode")
                    .blurb("When marks come and whether the audio waits for them")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("min-bpm")
                    .nick("Minimum tempo")
                    .blurb("Slowest tempo in beats per minute that beats may have")
                    .minimum(beat::LOWEST_BPM)
                    .maximum(beat::HIGHEST_BPM)
                    .default_value(DEFAULT_MIN_BPM)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("max-bpm")
                    .nick("Maximum tempo")
                    .blurb("Fastest tempo in beats per minute that beats may have")
                    .minimum(beat::LOWEST_BPM)
                    .maximum(beat::HIGHEST_BPM)
                    .default_value(DEFAULT_MAX_BPM)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("beats-per-bar")
                    .nick("Beats per bar")
                    .blurb("Beats in a bar of the music, 0 = find out (3 or 4)")
                    .maximum(u32::from(beat::MOST_BEATS_PER_BAR))
                    .default_value(DEFAULT_BEATS_PER_BAR)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecFloat::builder("threshold")
                    .nick("Threshold")
                    .blurb("Factor on the onset threshold of the method: above 1 hears fewer onsets, below 1 more")
                    .minimum(0.01)
                    .maximum(100.0)
                    .default_value(DEFAULT_THRESHOLD)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("debias")
                    .nick("Remove bias")
                    .blurb("Take the known bias of method=librosa off its instants; the other methods always do")
                    .default_value(DEFAULT_DEBIAS)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecInt64::builder("offset")
                    .nick("Offset")
                    .blurb("Nanoseconds added to the instant of every mark, for lamps or screens that lag")
                    .minimum(-2_000_000_000)
                    .maximum(2_000_000_000)
                    .default_value(DEFAULT_OFFSET)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("post-messages")
                    .nick("Post messages")
                    .blurb("Post a rhythm-mark element message on the bus for every mark")
                    .default_value(DEFAULT_POST_MESSAGES)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecFlags::builder::<Emit>("emit")
                    .nick("Emit")
                    .blurb("Kinds of marks to emit; without beats and downbeats no tempo is sought")
                    .default_value(Emit::default())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("tempo")
                    .nick("Tempo")
                    .blurb("Tempo now in beats per minute, 0 = none")
                    .minimum(0.0)
                    .read_only()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counts of samples, of marks by kind, and of what went wrong")
                    .read_only()
                    .build(),
            ]);
            all
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        let mut network = lock(&self.network);
        let before = *settings;
        // GObject checked type and range against the param specs above.
        macro_rules! set {
            ($field:ident) => {
                if let Ok(value) = value.get() {
                    settings.$field = value;
                }
            };
        }
        match pspec.name() {
            "method" => set!(method),
            "mode" => set!(mode),
            "min-bpm" => set!(min_bpm),
            "max-bpm" => set!(max_bpm),
            "beats-per-bar" => set!(beats_per_bar),
            "threshold" => set!(threshold),
            "debias" => set!(debias),
            "offset" => set!(offset),
            "post-messages" => set!(post_messages),
            "emit" => set!(emit),
            name => {
                network.set(name, value);
            }
        }
        let after = *settings;
        drop((settings, network));
        gst::info!(CAT, imp = self, "{} is now {value:?}", pspec.name());
        if after.mode == Mode::Aligned && after.offset.min(0) != before.offset.min(0) {
            let obj = self.obj();
            let _ = obj.post_message(gst::message::Latency::builder().src(&*obj).build());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *lock(&self.settings);
        match pspec.name() {
            "method" => settings.method.to_value(),
            "mode" => settings.mode.to_value(),
            "min-bpm" => settings.min_bpm.to_value(),
            "max-bpm" => settings.max_bpm.to_value(),
            "beats-per-bar" => settings.beats_per_bar.to_value(),
            "threshold" => settings.threshold.to_value(),
            "debias" => settings.debias.to_value(),
            "offset" => settings.offset.to_value(),
            "post-messages" => settings.post_messages.to_value(),
            "emit" => settings.emit.to_value(),
            "active-method" => lock(&self.hearing).active.to_value(),
            "active-execution-provider" => match &lock(&self.hearing).ear {
                Ear::Loaded(loaded) => loaded.provider().to_value(),
                Ear::Without | Ear::Found(_) => None::<String>.to_value(),
            },
            "tempo" => lock(&self.state).bpm.to_value(),
            "stats" => self.stats().to_value(),
            name => {
                (lock(&self.network).get(name)).unwrap_or_else(|| pspec.default_value().clone())
            }
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [&self.sinkpad, &self.srcpad] {
            if let Err(err) = obj.add_pad(pad) {
                gst::error!(CAT, imp = self, "could not add {}: {err}", pad.name());
            }
        }
    }
}

impl GstObjectImpl for OnsetDetect {}

impl ElementImpl for OnsetDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Onset and beat detector",
                "Filter/Analyzer/Audio",
                "Marks the instants of onsets, beats and downbeats of music and tells its tempo",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_audio::AudioCapsBuilder::new()
                .format_list(gst_audio::AudioFormat::iter_raw())
                .layout_list([
                    gst_audio::AudioLayout::Interleaved,
                    gst_audio::AudioLayout::NonInterleaved,
                ])
                .rate_range(MIN_RATE..MAX_RATE + 1)
                .channels_range(1..=MAX_CHANNELS)
                .build();
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .into_iter()
            .filter_map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
            })
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => {
                let settings = *lock(&self.settings);
                // Every setting is tried here, where an application expects to hear of it.
                if let Err(err) = settings.analyzer(44_100, None) {
                    gst::element_imp_error!(self, gst::LibraryError::Settings, ("{err}"));
                    return Err(gst::StateChangeError);
                }
                self.or_post(self.find())?;
            }
            gst::StateChange::ReadyToPaused => {
                self.or_post(self.load())?;
                self.reset();
            }
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            // Statistics stay readable until the next start.
            let mut state = lock(&self.state);
            state.stream = None;
            state.segment = None;
            state.bpm = 0.0;
        }
        if transition == gst::StateChange::ReadyToNull {
            self.hear(Hearing::default());
        }
        Ok(success)
    }
}

impl OnsetDetect {
    /// Posts the error of a state change that fails.
    fn or_post(&self, result: Result<(), gst::ErrorMessage>) -> Result<(), gst::StateChangeError> {
        result.map_err(|message| {
            self.post_error_message(message);
            gst::StateChangeError
        })
    }

    /// A fresh start; ids go on, since consumers know marks by them.
    fn reset(&self) {
        let mut state = lock(&self.state);
        let next_id = state.next_id;
        *state = State {
            next_id,
            ..State::default()
        };
    }
}
