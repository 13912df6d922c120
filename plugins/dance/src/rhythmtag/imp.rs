// SPDX-License-Identifier: MPL-2.0
use std::sync::{LazyLock, Mutex};

use dance_rhythm::visual;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::alignment::{BeatAlignment, Report};
use super::properties::{PROPERTIES, Settings};
use super::stream::{Counts, Stream};
use crate::delay::{Mode, Output, Segment, offset_changed};
use crate::element::{add_pads, category, metadata, or_post, pad_templates};
use crate::lock::lock;
use crate::pads::{self, Guarded};
use crate::property::functions;
use crate::upstream::answer_latency;
use crate::{hoof, marks, sticky};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| category("rhythmtag", "Visual beats of dancing"));

/// A warning about video without any motion on it comes after so long.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

#[derive(Default)]
struct State {
    /// From PAUSED on; after it for its statistics.
    stream: Option<Stream>,
    is_running: bool,
    /// Whether there is music to compare with.
    has_audio: bool,
    alignment: BeatAlignment,
    audio_segment: Option<Segment>,
    /// PTS of the first buffer, for what is reported after a while.
    first: Option<gst::ClockTime>,
    warned: bool,
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

/// What a step of the analysis brings about.
#[derive(Default)]
struct Step {
    out: Output,
    report: Option<Report>,
    /// No motion is known of the video so far, which is to be warned of.
    lacks_motion: bool,
}

impl State {
    fn lacks_motion(&mut self, at_the_end: bool) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let lacks = stream.counts.buffers > 0 && stream.counts.frames == 0;
        if self.warned || !lacks || stream.line.is_backwards() {
            return false;
        }
        let waited = self.first.zip(stream.last);
        let long = waited.is_some_and(|(first, last)| last.saturating_sub(first) >= PATIENCE);
        self.warned = at_the_end || long;
        self.warned
    }

    fn buffer(&mut self, buffer: gst::Buffer, settings: &Settings, step: &mut Step) {
        let motions = hoof::read(&buffer);
        let Some(stream) = &mut self.stream else {
            return;
        };
        let place = stream.running_time(&buffer);
        self.first = self.first.or(buffer.pts());
        stream.buffer(buffer, &motions, settings, &mut step.out);
        self.alignment.add_motion(&step.out.marks);
        if let Some((start, end)) = place {
            self.alignment.motion_came_to(start, end);
        }
        let reports = self.has_audio && settings.mode != Mode::Offline;
        if reports && !settings.interval.is_zero() {
            step.report = self.alignment.due(settings.interval);
        }
        step.lacks_motion = self.lacks_motion(false);
    }

    /// Takes an event; whether it has its place among what is delivered.
    fn event(&mut self, event: &gst::Event, settings: &Settings, step: &mut Step) -> bool {
        // There is no stream before PAUSED, and then nothing flows but events.
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_running) else {
            return false;
        };
        let out = &mut step.out;
        let mut passed = false;
        match event.view() {
            gst::EventView::Caps(caps) => stream.set_caps(caps.caps(), settings, out),
            gst::EventView::Segment(segment) => {
                stream.set_segment(segment.segment(), settings, out)
            }
            gst::EventView::StreamStart(_) => {
                stream.drain(settings, out);
                self.alignment.motion_begins();
            }
            gst::EventView::Eos(_) => {
                stream.drain(settings, out);
                self.alignment.add_motion(&out.marks);
                step.report = self.alignment.motion_ended().filter(|_| self.has_audio);
                step.lacks_motion = self.lacks_motion(true);
                return false;
            }
            gst::EventView::FlushStop(_) => (),
            _ if event.is_serialized() => {
                if let Some(motion) = hoof::from_event(event) {
                    stream.motion(&motion, settings, out);
                }
                stream.pass_event(event.clone(), settings, out);
                passed = true;
            }
            _ => (),
        }
        self.alignment.add_motion(&out.marks);
        passed
    }
}

impl RhythmTag {
    fn sink_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "{buffer:?}");
        let settings = *lock(&self.settings);
        let mut step = Step::default();
        {
            let mut state = lock(&self.state);
            if !state.is_running {
                return Err(gst::FlowError::Flushing);
            }
            state.buffer(buffer, &settings, &mut step);
        }
        self.deliver(step, &settings)
    }

    /// Gives what a step brings about to bus and pad; no lock may be held, since both call back.
    fn deliver(&self, step: Step, settings: &Settings) -> Result<gst::FlowSuccess, gst::FlowError> {
        if step.lacks_motion {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "the video carries no {}: nothing can be detected without hoofflow before this element",
                    hoof::META_NAME
                )
            );
        }
        let flow = (step.out).deliver(&*self.obj(), &self.srcpad, settings.post_messages);
        self.post(step.report);
        flow
    }

    /// Posts how music and motion lie; no lock may be held.
    fn post(&self, report: Option<Report>) {
        if let Some(report) = report {
            let obj = self.obj();
            let message = gst::message::Element::builder(report.to_structure());
            // Fails only without a bus.
            let _ = obj.post_message(message.src(&*obj).build());
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{event:?}");
        let settings = *lock(&self.settings);
        let mut step = Step::default();
        let mut flushed = Vec::new();
        let passed = {
            let mut state = lock(&self.state);
            if let gst::EventView::FlushStop(_) = event.view() {
                flushed = (state.stream.as_mut()).map_or_else(Vec::new, Stream::flush);
                state.alignment.flush_motion();
                state.first = None;
            }
            state.event(&event, &settings, &mut step)
        };
        // A failure here comes back with the next buffer; the event goes on all the same.
        let flow = self.deliver(step, &settings);
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
            state.alignment.add_music(&found, segment);
            if let (Some(segment), Some(pts)) = (segment, buffer.pts()) {
                let end = pts.saturating_add(buffer.duration().unwrap_or_default());
                let place = segment.to_running_time(pts);
                if let Some((start, end)) = place.zip(segment.to_running_time(end)) {
                    state.alignment.music_came_to(start, end);
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
        let mut report = None;
        {
            let mut state = lock(&self.state);
            let state = &mut *state;
            match event.view() {
                gst::EventView::Segment(segment) => {
                    state.audio_segment = segment.segment().downcast_ref().cloned();
                }
                gst::EventView::FlushStop(_) => {
                    state.audio_segment = None;
                    state.alignment.flush_music();
                }
                gst::EventView::StreamStart(_) => state.alignment.music_begins(),
                gst::EventView::CustomDownstream(_) => {
                    let found = marks::from_event(&event);
                    let segment = state.audio_segment.as_ref();
                    state.alignment.add_music(found.as_slice(), segment);
                }
                gst::EventView::Eos(_) => report = state.alignment.music_ended(),
                _ => (),
            }
        }
        self.post(report);
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
        answer_latency(&*self.obj(), &self.sinkpad, pad, query, || {
            let settings = *lock(&self.settings);
            let state = lock(&self.state);
            let stream = state.stream.as_ref().filter(|_| state.is_running);
            stream.map_or(gst::ClockTime::ZERO, |stream| stream.latency(&settings))
        })
    }

    /// The pads that are one stream with `pad`.
    fn linked(&self, pad: &gst::Pad) -> Vec<gst::Pad> {
        if *pad == self.sinkpad {
            return vec![self.srcpad.clone()];
        }
        if *pad == self.srcpad {
            return vec![self.sinkpad.clone()];
        }
        let audio = lock(&self.audio);
        let other = audio.as_ref().map(|audio| {
            if audio.sink == *pad {
                audio.src.clone()
            } else {
                audio.sink.clone()
            }
        });
        other.into_iter().collect()
    }
}

/// The flags of a sink whose stream passes as it is.
fn proxy() -> gst::PadFlags {
    gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION
}

#[glib::object_subclass]
impl ObjectSubclass for RhythmTag {
    const NAME: &'static str = "GstRhythmTag";
    type Type = super::RhythmTag;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sinkpad = pads::build(class, "sink")
            .chain(Self::sink_chain)
            .event(Self::sink_event)
            .query(Self::sink_query)
            .links(Self::linked)
            .flags(proxy())
            .build();
        let srcpad = pads::build(class, "src")
            .query(Self::src_query)
            .links(Self::linked)
            .flags(gst::PadFlags::PROXY_CAPS)
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
    functions! {
        PROPERTIES of settings,
        "tempo" => |this| {
            let state = lock(&this.state);
            let stream = state.stream.as_ref().filter(|_| state.is_running);
            stream.map_or(0.0, |stream| stream.bpm).to_value()
        },
        "stats" => |this| match &lock(&this.state).stream {
            Some(stream) => stream.stats().to_value(),
            None => Counts::default().to_structure(0, 0.0).to_value(),
        };
        changed |this, [before, after]: &[Settings; 2]| {
            offset_changed(&*this.obj(), after.mode, [before.offset, after.offset]);
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        add_pads(&*self.obj(), [&self.sinkpad, &self.srcpad]);
    }
}

impl GstObjectImpl for RhythmTag {}

impl ElementImpl for RhythmTag {
    metadata!(
        "Visual beat detector",
        "Filter/Analyzer/Video",
        "Marks the instants at which dancing comes to rest or turns round and reports how they lie on music"
    );

    pad_templates! {
        "sink": Sink Always of("video/x-raw");
        "src": Src Always of("video/x-raw");
        "audio": Sink Request of("audio/x-raw");
        "audio_src": Src Sometimes of("audio/x-raw");
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        if template.name_template() != "audio" {
            return None;
        }
        let obj = self.obj();
        let class = obj.class();
        let sink = pads::build(class, "audio")
            .chain(Self::audio_chain)
            .event(Self::audio_event)
            .links(Self::linked)
            .flags(proxy())
            .build();
        let src = pads::build(class, "audio_src")
            .links(Self::linked)
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
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
            state.alignment.flush_music();
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
        let obj = self.obj();
        let or_wrong = |result: Result<(), visual::Error>| {
            let wrong = |err| gst::error_msg!(gst::LibraryError::Settings, ("{err}"));
            or_post(&*obj, result.map_err(wrong))
        };
        let settings = *lock(&self.settings);
        match transition {
            // Every setting is tried here, where an application expects the error.
            gst::StateChange::NullToReady => or_wrong(settings.detector().map(|_| ()))?,
            gst::StateChange::ReadyToPaused => or_wrong(self.start(&settings))?,
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            // Statistics stay readable until the next start.
            let mut state = lock(&self.state);
            state.is_running = false;
            let _ = state.stream.as_mut().map(Stream::flush);
        }
        Ok(success)
    }
}

impl RhythmTag {
    fn start(&self, settings: &Settings) -> Result<(), visual::Error> {
        let source = self.obj().name();
        let mut state = lock(&self.state);
        // Ids go on, since consumers know marks by them.
        let next_id = (state.stream.as_ref()).map_or(0, |stream| stream.line.next_id());
        *state = State {
            stream: Some(Stream::new(settings, &source, next_id)?),
            is_running: true,
            has_audio: state.has_audio,
            ..State::default()
        };
        Ok(())
    }
}

fn of(media: &str) -> gst::Caps {
    gst::Caps::builder(media).any_features().build()
}
