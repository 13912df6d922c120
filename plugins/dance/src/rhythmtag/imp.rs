use std::sync::{LazyLock, Mutex};

use dance_rhythm::visual;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::meeting::{Meeting, Report};
use super::stream::{Counts, Item, Output, Settings, Stream};
use super::{Method, Mode};
use crate::lock::lock;
use crate::{hoof, marks, sticky};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rhythmtag",
        gst::DebugColorFlags::empty(),
        Some("Visual beats of dancing"),
    )
});

const DEFAULT_MIN_BPM: f64 = visual::DEFAULT_MIN_BPM;
const DEFAULT_MAX_BPM: f64 = visual::DEFAULT_MAX_BPM;
const DEFAULT_THRESHOLD: f32 = 1.0;
const DEFAULT_OFFSET: i64 = 0;
const DEFAULT_POST_MESSAGES: bool = true;
const DEFAULT_INTERVAL: gst::ClockTime = gst::ClockTime::from_seconds(5);
const MOST_INTERVAL: gst::ClockTime = gst::ClockTime::from_seconds(3600);
/// Video without any motion on it is told after so long.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            mode: Mode::default(),
            min_bpm: DEFAULT_MIN_BPM,
            max_bpm: DEFAULT_MAX_BPM,
            threshold: DEFAULT_THRESHOLD,
            offset: DEFAULT_OFFSET,
            post_messages: DEFAULT_POST_MESSAGES,
            interval: DEFAULT_INTERVAL,
        }
    }
}

#[derive(Default)]
struct State {
    /// From PAUSED on.
    stream: Option<Stream>,
    /// Whether there is music to compare with.
    has_audio: bool,
    meeting: Meeting,
    audio_segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// PTS of the first buffer, for what is told after a while.
    first: Option<gst::ClockTime>,
    warned: bool,
    /// Statistics and ids outlive the stream.
    counts: Counts,
    next_id: u64,
}

/// The request pad `audio` and its `audio_src`.
struct Audio {
    sink: gst::Pad,
    src: gst::Pad,
}

pub struct RhythmTag {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    audio: Mutex<Option<Audio>>,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl State {
    /// What is to be warned of: video of which no motion is known by now.
    fn lacks_motion(&mut self, at_the_end: bool) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let blind = stream.counts.buffers > 0 && stream.counts.frames == 0;
        if self.warned || !blind || stream.is_backwards() {
            return false;
        }
        let waited = self.first.zip(stream.last());
        let long = waited.is_some_and(|(first, last)| last.saturating_sub(first) >= PATIENCE);
        self.warned = at_the_end || long;
        self.warned
    }
}

impl RhythmTag {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "{buffer:?}");
        let settings = *lock(&self.settings);
        let source = self.obj().name();
        let mut out = Output::default();
        let motions = hoof::read(&buffer);
        let (report, blind) = {
            let mut state = lock(&self.state);
            let state = &mut *state;
            let Some(stream) = &mut state.stream else {
                return Err(gst::FlowError::Flushing);
            };
            let place = stream.running_time(&buffer);
            state.first = state.first.or(buffer.pts());
            stream.buffer(buffer, &motions, &settings, &source, &mut out);
            state.meeting.see(&out.marks);
            if let Some((start, end)) = place {
                state.meeting.seen_to(start, end);
            }
            let tells = state.has_audio && settings.mode != Mode::Offline;
            let report = if tells && !settings.interval.is_zero() {
                state.meeting.on_the_way(settings.interval)
            } else {
                None
            };
            (report, state.lacks_motion(false))
        };
        if blind {
            self.warn_of_no_motion();
        }
        let flow = self.deliver(out, &settings);
        self.tell(report);
        flow
    }

    fn warn_of_no_motion(&self) {
        gst::element_imp_warning!(
            self,
            gst::StreamError::Format,
            (
                "the video carries no {}: nothing can be seen without hoofflow before this element",
                hoof::META_NAME
            )
        );
    }

    /// Posts how music and motion lie; no lock may be held.
    fn tell(&self, report: Option<Report>) {
        if let Some(report) = report {
            let obj = self.obj();
            let message = gst::message::Element::builder(report.to_structure());
            // Without a bus there is nobody to tell.
            let _ = obj.post_message(message.src(&*obj).build());
        }
    }

    /// Gives the output of a step to bus and pad; no lock may be held, since both call back.
    fn deliver(
        &self,
        out: Output,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        if out.latency_changed {
            let message = gst::message::Latency::builder().src(&*obj).build();
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
        flow
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{event:?}");
        let settings = *lock(&self.settings);
        let source = self.obj().name();
        let mut out = Output::default();
        let mut report = None;
        let mut blind = false;
        let mut flushed = Vec::new();
        // Whether the event has its place among what is delivered.
        let mut passed = false;
        {
            let mut state = lock(&self.state);
            let state = &mut *state;
            // There is none before PAUSED, and then nothing flows but events.
            if let Some(stream) = &mut state.stream {
                match event.view() {
                    gst::EventView::Caps(caps) => {
                        stream.drain(&settings, &source, &mut out);
                        state.meeting.see(&out.marks);
                        stream.set_caps(caps.caps());
                    }
                    gst::EventView::Segment(segment) => {
                        let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                        if stream.segment != segment {
                            stream.drain(&settings, &source, &mut out);
                            state.meeting.see(&out.marks);
                            stream.segment = segment;
                        }
                    }
                    gst::EventView::Gap(gap) => {
                        let (_, duration) = gap.get();
                        if duration.is_none_or(|d| d > super::stream::LONGEST_GAP) {
                            stream.drain(&settings, &source, &mut out);
                        }
                        stream.pass_event(event.clone(), &mut out);
                        state.meeting.see(&out.marks);
                        passed = true;
                    }
                    gst::EventView::Eos(_) => {
                        stream.drain(&settings, &source, &mut out);
                        state.meeting.see(&out.marks);
                        report = state.meeting.motion_ended().filter(|_| state.has_audio);
                        blind = state.lacks_motion(true);
                    }
                    gst::EventView::FlushStop(_) => {
                        flushed = stream.flush();
                        state.meeting.flush_motion();
                        state.first = None;
                    }
                    gst::EventView::StreamStart(_) => {
                        stream.drain(&settings, &source, &mut out);
                        state.meeting.see(&out.marks);
                        state.meeting.motion_begins();
                    }
                    _ if event.is_serialized() => {
                        if let Some(motion) = hoof::from_event(&event) {
                            stream.motion(&motion, &settings, &source, &mut out);
                            state.meeting.see(&out.marks);
                        }
                        stream.pass_event(event.clone(), &mut out);
                        passed = true;
                    }
                    _ => (),
                }
            }
        }
        if blind {
            self.warn_of_no_motion();
        }
        // A failure here comes back with the next buffer; the event goes on all the same.
        let flow = self.deliver(out, &settings);
        self.tell(report);
        if passed {
            return flow.is_ok();
        }
        let result = gst::Pad::event_default(pad, Some(&*self.obj()), event);
        sticky::keep(&self.srcpad, flushed);
        result
    }

    fn audio_chain(
        &self,
        pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let found = marks::read(&buffer);
        {
            let mut state = lock(&self.state);
            let state = &mut *state;
            let segment = state.audio_segment.as_ref();
            state.meeting.hear(&found, segment);
            if let (Some(segment), Some(pts)) = (segment, buffer.pts()) {
                let end = pts.saturating_add(buffer.duration().unwrap_or_default());
                let place = segment.to_running_time(pts);
                if let Some((start, end)) = place.zip(segment.to_running_time(end)) {
                    state.meeting.heard_to(start, end);
                }
            }
        }
        let src = lock(&self.audio)
            .as_ref()
            .filter(|audio| audio.sink == *pad)
            .map(|audio| audio.src.clone());
        src.ok_or(gst::FlowError::Flushing)?.push(buffer)
    }

    fn audio_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        let report = {
            let mut state = lock(&self.state);
            let state = &mut *state;
            match event.view() {
                gst::EventView::Segment(segment) => {
                    state.audio_segment =
                        segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                    None
                }
                gst::EventView::FlushStop(_) => {
                    state.audio_segment = None;
                    state.meeting.flush_music();
                    None
                }
                gst::EventView::StreamStart(_) => {
                    state.meeting.music_begins();
                    None
                }
                gst::EventView::CustomDownstream(_) => {
                    if let Some(found) = marks::from_event(&event) {
                        let segment = state.audio_segment.as_ref();
                        state.meeting.hear(&[found], segment);
                    }
                    None
                }
                gst::EventView::Eos(_) => state.meeting.music_ended(),
                _ => None,
            }
        };
        self.tell(report);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let result = gst::Pad::query_default(pad, Some(&*self.obj()), query);
        let settings = *lock(&self.settings);
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
            && result
            && settings.mode == Mode::Aligned
        {
            // The pool must not run dry under the buffers that are held.
            let state = lock(&self.state);
            let held = (state.stream.as_ref()).map_or(0, |stream| stream.frames_held(&settings));
            drop(state);
            let pools: Vec<_> = allocation.allocation_pools().collect();
            for (n, (pool, size, min, max)) in pools.into_iter().enumerate() {
                let max = if max == 0 {
                    0
                } else {
                    max.saturating_add(held)
                };
                let min = min.saturating_add(held);
                allocation.set_nth_allocation_pool(n as u32, pool.as_ref(), size, min, max);
            }
        }
        result
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
        let settings = *lock(&self.settings);
        let state = lock(&self.state);
        let own = (state.stream.as_ref()).map_or(gst::ClockTime::ZERO, |s| s.latency(&settings));
        drop(state);
        gst::debug!(CAT, imp = self, "upstream {min}..{max:?}, own {own}");
        latency.set(live, min + own, max.map(|max| max + own));
        true
    }

    /// The pads that are one stream with `pad`.
    fn linked(&self, pad: &gst::Pad) -> gst::Iterator<gst::Pad> {
        let other = if *pad == self.sinkpad {
            Some(self.srcpad.clone())
        } else if *pad == self.srcpad {
            Some(self.sinkpad.clone())
        } else {
            lock(&self.audio).as_ref().map(|audio| {
                if audio.sink == *pad {
                    audio.src.clone()
                } else {
                    audio.sink.clone()
                }
            })
        };
        gst::Iterator::from_vec(other.into_iter().collect())
    }

    fn stats(&self) -> gst::Structure {
        let (counts, bpm) = {
            let state = lock(&self.state);
            match &state.stream {
                Some(stream) => (stream.counts, stream.bpm),
                None => (state.counts, 0.0),
            }
        };
        gst::Structure::builder("stats")
            .field("buffers", counts.buffers)
            .field("frames", counts.frames)
            .field("without-motion", counts.without_motion)
            .field("cuts", counts.cuts)
            .field("repeated", counts.repeated)
            .field("duplicates", counts.duplicates)
            .field("discontinuities", counts.discontinuities)
            .field("visual-beats", counts.visual_beats)
            .field("late", counts.late)
            .field("bpm", bpm)
            .build()
    }

    /// A pad of a template, with its links.
    fn pad(
        klass: &<Self as ObjectSubclass>::Class,
        template: &str,
        name: &str,
    ) -> gst::PadBuilder<gst::Pad> {
        let direction = if template.ends_with("src") {
            gst::PadDirection::Src
        } else {
            gst::PadDirection::Sink
        };
        // All templates are declared below, so that the fallback is never taken.
        klass
            .pad_template(template)
            .map_or_else(
                || gst::Pad::builder(direction),
                |template| gst::Pad::builder_from_template(&template),
            )
            .name(name)
            .iterate_internal_links_function(|pad, parent| {
                let none = || gst::Iterator::from_vec(Vec::new());
                Self::catch_panic_pad_function(parent, none, |imp| imp.linked(pad))
            })
            .flags(gst::PadFlags::PROXY_CAPS)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RhythmTag {
    const NAME: &'static str = "GstRhythmTag";
    type Type = super::RhythmTag;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let sinkpad = Self::pad(klass, "sink", "sink")
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
        let srcpad = Self::pad(klass, "src", "src")
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_query(pad, query))
            })
            .build();
        Self {
            sinkpad,
            srcpad,
            audio: Mutex::default(),
            settings: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for RhythmTag {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder::<Method>("method")
                    .nick("Method")
                    .blurb("What beats are seen with")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Mode>("mode")
                    .nick("Mode")
                    .blurb("When marks come and whether the video waits for them")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("min-bpm")
                    .nick("Minimum tempo")
                    .blurb("Slowest tempo in beats per minute that the motion may have")
                    .minimum(visual::LOWEST_BPM)
                    .maximum(visual::HIGHEST_BPM)
                    .default_value(DEFAULT_MIN_BPM)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("max-bpm")
                    .nick("Maximum tempo")
                    .blurb("Fastest tempo in beats per minute that the motion may have; beats are no closer than two thirds of its period")
                    .minimum(visual::LOWEST_BPM)
                    .maximum(visual::HIGHEST_BPM)
                    .default_value(DEFAULT_MAX_BPM)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecFloat::builder("threshold")
                    .nick("Threshold")
                    .blurb("Factor on how much motion must end: above 1 sees fewer beats, below 1 more")
                    .minimum(0.01)
                    .maximum(100.0)
                    .default_value(DEFAULT_THRESHOLD)
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
                glib::ParamSpecUInt64::builder("interval")
                    .nick("Interval")
                    .blurb("With the pad audio: nanoseconds of the stream between rhythm-alignment messages, 0 = only at the end")
                    .maximum(MOST_INTERVAL.nseconds())
                    .default_value(DEFAULT_INTERVAL.nseconds())
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("tempo")
                    .nick("Tempo")
                    .blurb("Tempo of the motion now in beats per minute, 0 = none")
                    .minimum(0.0)
                    .read_only()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counts of buffers, of frames whose motion was seen, of marks, and of what went wrong; the tempo")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
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
            "threshold" => set!(threshold),
            "offset" => set!(offset),
            "post-messages" => set!(post_messages),
            "interval" => {
                if let Ok(value) = value.get() {
                    settings.interval = gst::ClockTime::from_nseconds(value);
                }
            }
            _ => (),
        }
        let after = *settings;
        drop(settings);
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
            "threshold" => settings.threshold.to_value(),
            "offset" => settings.offset.to_value(),
            "post-messages" => settings.post_messages.to_value(),
            "interval" => settings.interval.nseconds().to_value(),
            "tempo" => {
                let state = lock(&self.state);
                state.stream.as_ref().map_or(0.0, |s| s.bpm).to_value()
            }
            "stats" => self.stats().to_value(),
            _ => pspec.default_value().clone(),
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

impl GstObjectImpl for RhythmTag {}

impl ElementImpl for RhythmTag {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Visual beat detector",
                "Filter/Analyzer/Video",
                "Marks the instants at which dancing comes to rest or turns round and tells how they lie on music",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let of = |name: &str| gst::Caps::builder(name).any_features().build();
            use gst::{PadDirection, PadPresence};
            [
                (
                    "sink",
                    PadDirection::Sink,
                    PadPresence::Always,
                    "video/x-raw",
                ),
                ("src", PadDirection::Src, PadPresence::Always, "video/x-raw"),
                (
                    "audio",
                    PadDirection::Sink,
                    PadPresence::Request,
                    "audio/x-raw",
                ),
                (
                    "audio_src",
                    PadDirection::Src,
                    PadPresence::Sometimes,
                    "audio/x-raw",
                ),
            ]
            .into_iter()
            .filter_map(|(name, direction, presence, caps)| {
                gst::PadTemplate::new(name, direction, presence, &of(caps)).ok()
            })
            .collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        templ: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        if templ.name_template() != "audio" {
            return None;
        }
        let obj = self.obj();
        let class = obj.class();
        let sink = Self::pad(class.as_ref(), "audio", "audio")
            .chain_function(|pad, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.audio_chain(pad, buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.audio_event(pad, event))
            })
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let src = Self::pad(class.as_ref(), "audio_src", "audio_src").build();
        {
            let mut audio = lock(&self.audio);
            if audio.is_some() {
                return None;
            }
            *audio = Some(Audio {
                sink: sink.clone(),
                src: src.clone(),
            });
        }
        lock(&self.state).has_audio = true;
        for pad in [&src, &sink] {
            // In NULL the state change activates them.
            let done = pad.set_active(obj.current_state() > gst::State::Ready);
            if let Err(err) = done.and_then(|()| obj.add_pad(pad)) {
                gst::error!(CAT, imp = self, "could not add {}: {err}", pad.name());
            }
        }
        Some(sink)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let taken = {
            let mut audio = lock(&self.audio);
            match &*audio {
                Some(found) if found.sink == *pad => audio.take(),
                _ => None,
            }
        };
        let Some(audio) = taken else { return };
        {
            let mut state = lock(&self.state);
            state.has_audio = false;
            state.audio_segment = None;
            state.meeting.flush_music();
        }
        for pad in [&audio.sink, &audio.src] {
            let _ = pad.set_active(false);
            if let Err(err) = self.obj().remove_pad(pad) {
                gst::error!(CAT, imp = self, "could not remove {}: {err}", pad.name());
            }
        }
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let wrong = |err: visual::Error| {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{err}"));
            gst::StateChangeError
        };
        let settings = *lock(&self.settings);
        match transition {
            // Every setting is tried here, where an application expects to hear of it.
            gst::StateChange::NullToReady => {
                settings.detector().map_err(wrong)?;
            }
            gst::StateChange::ReadyToPaused => {
                let mut state = lock(&self.state);
                // Ids go on, since consumers know marks by them.
                let next_id = state.next_id;
                let has_audio = state.has_audio;
                let stream = Stream::new(&settings, next_id);
                *state = State {
                    next_id,
                    has_audio,
                    ..State::default()
                };
                drop(state);
                lock(&self.state).stream = Some(stream.map_err(wrong)?);
            }
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            // Statistics stay readable until the next start.
            let mut state = lock(&self.state);
            if let Some(stream) = state.stream.take() {
                state.counts = stream.counts;
                state.next_id = stream.next_id;
            }
        }
        Ok(success)
    }
}
