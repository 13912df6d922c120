// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, LazyLock, Mutex};

use dance_rhythm::bands::BandAnalyzer;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::protocol::{Event, Tempo, Timebase};
use super::sender::{Sender, Times};
use super::settings::{PROPERTIES, Secret, Settings};
use super::stats::Stats;
use super::{Protocol, midi, obs, os2l, osc, websocket, wled};
use crate::element::{category, metadata, or_post, pad_templates};
use crate::lock::lock;
use crate::marks::{self, Deduplicator, SourceMarks};
use crate::onsetdetect::downmix::Downmix;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| category("marknetsink", "Sends marks over the network"));

/// How long before they leave marks are taken from the stream, where it does not come live.
const AHEAD: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// Between READY→PAUSED and PAUSED→READY.
struct State {
    sender: Arc<Sender>,
    seen: Deduplicator,
    /// Where the stream is, in running time.
    position: gst::ClockTime,
    audio: Option<Audio>,
    /// Whether spectra are sent.
    wants_bands: bool,
}

/// The spectrum of a stream of raw audio.
struct Audio {
    info: gst_audio::AudioInfo,
    downmix: Downmix,
    analyzer: BandAnalyzer,
}

#[derive(Default)]
pub struct MarkNetSink {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    /// Those of the last run, after its end.
    last_stats: Mutex<Option<gst::Structure>>,
}

impl MarkNetSink {
    fn open(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let open = match settings.protocol {
            Protocol::Osc => osc::open,
            Protocol::Os2l => os2l::open,
            Protocol::Wled => wled::open,
            Protocol::WebSocket => websocket::open,
            Protocol::Obs => obs::open,
            Protocol::MidiClock => midi::open,
        };
        let (encode, connect) = open(&settings)
            .map_err(|text| gst::error_msg!(gst::ResourceError::Settings, ("{text}")))?;
        let times = Times {
            lead: gst::ClockTime::from_mseconds(settings.lead.into()),
            late_limit: gst::ClockTime::from_mseconds(settings.late_limit.into()),
        };
        gst::info!(CAT, imp = self, "{settings:?}");
        let sender = Sender::start(&self.obj(), times, settings.retry_limit, encode, connect)
            .map_err(|err| {
                gst::error_msg!(gst::CoreError::Thread, ("Could not start a thread: {err}"))
            })?;
        *lock(&self.state) = Some(State {
            sender: Arc::new(sender),
            seen: Deduplicator::default(),
            position: gst::ClockTime::ZERO,
            audio: None,
            wants_bands: settings.protocol == Protocol::Wled,
        });
        Ok(())
    }

    fn close(&self) {
        // Its threads may be in this element, and are waited for without the lock.
        let state = lock(&self.state).take();
        if let Some(state) = state {
            state.sender.stop();
            let stats = state.sender.stats();
            gst::info!(CAT, imp = self, "closed: {stats:?}");
            *lock(&self.last_stats) = Some(stats);
        }
    }

    fn sender(&self) -> Option<Arc<Sender>> {
        lock(&self.state).as_ref().map(|state| state.sender.clone())
    }

    fn take(&self, found: &[SourceMarks], segment: &gst::Segment) {
        if found.is_empty() {
            return;
        }
        let mut new = Vec::new();
        let sender = {
            let mut state = lock(&self.state);
            let Some(state) = state.as_mut() else { return };
            for SourceMarks { source, marks } in found {
                for mark in marks {
                    if state.seen.is_new(source, mark.id) {
                        new.push((source.clone(), mark.clone()));
                    } else {
                        state.sender.count_duplicate();
                    }
                }
            }
            state.sender.clone()
        };
        for (source, mark) in new {
            gst::trace!(CAT, imp = self, "{source}: {mark:?}");
            let time = segment.downcast_ref::<gst::ClockTime>();
            let at = mark
                .running_time
                .or_else(|| time.and_then(|time| time.to_running_time(mark.timestamp)));
            match at {
                Some(at) => sender.push(at, Event::Mark { source, mark }),
                None => sender.count_dropped(),
            }
        }
    }

    /// The running time of the buffer, and the spectra that are ready with it.
    fn follow(&self, buffer: &gst::BufferRef, segment: &gst::Segment) {
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else {
            return;
        };
        let Some(start) = buffer.pts().and_then(|pts| segment.to_running_time(pts)) else {
            return;
        };
        let mut found = Vec::new();
        let sender = {
            let mut state = lock(&self.state);
            let Some(state) = state.as_mut() else { return };
            state.position = start.saturating_add(buffer.duration().unwrap_or_default());
            if let Some(audio) = &mut state.audio {
                let rate = u64::from(audio.info.rate());
                match audio.downmix.mix(buffer, &audio.info) {
                    Ok(mono) => audio.analyzer.push(mono, |end, bands| {
                        let offset = gst::ClockTime::SECOND
                            .mul_div_floor(end as u64, rate)
                            .unwrap_or_default();
                        found.push((start + offset, bands));
                    }),
                    Err(err) => gst::warning!(CAT, imp = self, "no spectrum: {err}"),
                }
            }
            state.sender.clone()
        };
        for (at, bands) in found {
            sender.push(at, Event::Bands(Box::new(bands)));
        }
    }

    fn tempo(&self, s: &gst::StructureRef) {
        let tempo = Tempo {
            bpm: s.get("bpm").unwrap_or_default(),
            confidence: s.get("confidence").unwrap_or_default(),
            beats_per_bar: s.get("beats-per-bar").unwrap_or_default(),
        };
        if !tempo.bpm.is_finite() || !tempo.confidence.is_finite() {
            gst::warning!(
                CAT,
                imp = self,
                "passing over a tempo that is no number: {s}"
            );
            return;
        }
        let (sender, position) = {
            let state = lock(&self.state);
            let Some(state) = state.as_ref() else { return };
            (state.sender.clone(), state.position)
        };
        sender.push(position, Event::Tempo(tempo));
    }

    /// Ids may begin anew; what the stream has not come to is forgotten after a flush.
    fn begin(&self, flushed: bool) {
        let sender = {
            let mut state = lock(&self.state);
            let Some(state) = state.as_mut() else { return };
            state.seen.clear();
            if let Some(audio) = &mut state.audio {
                audio.analyzer.reset();
            }
            state.sender.clone()
        };
        if flushed {
            sender.flush();
        }
    }

    /// Called by the timer when the last mark has left.
    pub(super) fn post_end(&self, message: gst::Message) {
        let _ = self.parent_post_message(message);
    }
}

#[glib::object_subclass]
impl ObjectSubclass for MarkNetSink {
    const NAME: &'static str = "GstMarkNetSink";
    type Type = super::MarkNetSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for MarkNetSink {
    fn properties() -> &'static [glib::ParamSpec] {
        PROPERTIES.specs()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // On a side branch of a player no buffer may come while the others wait in PAUSED.
        obj.set_async(false);
        obj.set_enable_last_sample(false);
        // A late mark may ride on a buffer that has nothing left to show.
        obj.set_drop_out_of_segment(false);
        // The stream is taken in a little ahead, so that marks wait for their instant here; the base
        // class does the waiting and ends it at a pause, a flush and a stop.
        obj.set_sync(true);
        obj.set_ts_offset(-(AHEAD.nseconds().cast_signed()));
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let obj = self.obj();
        if spec.name() == "password" {
            // Past the log that the others go through.
            let text = value.get::<Option<String>>().ok().flatten();
            let text = text.filter(|text| !text.is_empty());
            lock(&self.settings).password = text.map(|text| Secret::new(&text));
            return;
        }
        if let Some([_, after]) = PROPERTIES.set(&*obj, &self.settings, value, spec) {
            let ahead = AHEAD + gst::ClockTime::from_mseconds(after.lead.into());
            if spec.name() == "lead" {
                obj.set_ts_offset(-(ahead.nseconds().cast_signed()));
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        if spec.name() != "stats" {
            return PROPERTIES.get(&self.settings, spec);
        }
        let stats = self.sender().map(|sender| sender.stats());
        stats
            .or_else(|| lock(&self.last_stats).clone())
            .unwrap_or_else(|| Stats::default().structure(false, 0))
            .to_value()
    }
}

impl GstObjectImpl for MarkNetSink {}

impl ElementImpl for MarkNetSink {
    metadata!(
        "Mark network sink",
        "Sink/Network/Metadata",
        "Sends rhythm marks by OSC, OS2L, WLED, WebSocket, OBS or MIDI clock at their instants"
    );

    pad_templates! {
        "sink": Sink Always gst::Caps::new_any();
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            // The base class starts at NULL→READY, where nothing is to be touched yet.
            gst::StateChange::ReadyToPaused => or_post(&*self.obj(), self.open())?,
            gst::StateChange::PlayingToPaused => {
                if let Some(sender) = self.sender() {
                    sender.pause();
                }
            }
            gst::StateChange::PausedToPlaying => {
                if let Some(sender) = self.sender() {
                    let obj = self.obj();
                    // An element alone has no clock.
                    let clock = obj.clock().unwrap_or_else(gst::SystemClock::obtain);
                    let base_time = obj.base_time().unwrap_or_else(|| clock.time());
                    sender.play(Timebase { clock, base_time });
                }
            }
            _ => (),
        }
        let result = self.parent_change_state(transition);
        let down = transition == gst::StateChange::PausedToReady;
        let failed = transition == gst::StateChange::ReadyToPaused && result.is_err();
        if down || failed {
            self.close();
        }
        result
    }

    fn post_message(&self, message: gst::Message) -> bool {
        if message.type_() == gst::MessageType::Eos
            && let Some(sender) = self.sender()
        {
            sender.end(message);
            return true;
        }
        self.parent_post_message(message)
    }
}

impl BaseSinkImpl for MarkNetSink {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        if let Some(state) = lock(&self.state).as_mut() {
            // Audio that is not raw has no spectrum.
            let info = gst_audio::AudioInfo::from_caps(caps).ok();
            state.audio = info.filter(|_| state.wants_bands).map(|info| Audio {
                downmix: Downmix::default(),
                analyzer: BandAnalyzer::new(info.rate()),
                info,
            });
        }
        self.parent_set_caps(caps)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let segment = self.obj().segment();
        self.take(&marks::read(buffer), &segment);
        self.follow(buffer, &segment);
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::CustomDownstream(_) => {
                let segment = self.obj().segment();
                self.take(marks::from_event(&event).as_slice(), &segment);
            }
            gst::EventView::CustomDownstreamSticky(sticky) => {
                if let Some(s) = sticky.structure()
                    && s.name() == marks::TEMPO_EVENT_NAME
                {
                    self.tempo(s);
                }
            }
            gst::EventView::StreamStart(_) => self.begin(false),
            gst::EventView::FlushStop(_) => self.begin(true),
            _ => (),
        }
        self.parent_event(event)
    }
}
