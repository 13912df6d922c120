// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, Mutex};

use dance_rhythm::network::{Failure, Network};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::properties::{PROPERTIES, Settings};
use super::stream::{Audio, CAT, Step, Stream};
use super::{Method, network};
use crate::delay::{Mode, ends_stream, offset_changed};
use crate::element::{add_pads, metadata, or_post, pad_templates};
use crate::lock::lock;
use crate::model::{self, ModelSlot, ModelState};
use crate::pads::{self, Guarded};
use crate::property::functions;
use crate::sticky;
use crate::upstream::{answer_latency, is_live};

const MIN_RATE: i32 = dance_rhythm::onset::MIN_RATE as i32;
/// The highest rate that PCM is made in; windows grow with the rate, so that there must be an end.
const MAX_RATE: i32 = 768_000;
const MAX_CHANNELS: i32 = 64;

pub struct OnsetDetect {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    model: ModelSlot<(Method, Arc<model::Settings>), Arc<network::Loaded>>,
    /// What is detected with; `Auto` while it is not known.
    active: Mutex<Method>,
    stream: Mutex<Stream>,
}

impl OnsetDetect {
    /// Finds what the method needs, by cheap checks, unless that is done already.
    fn find(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let wanted = (settings.method, settings.model);
        if self.model.is_for(&wanted) {
            return Ok(());
        }
        let obj = self.obj();
        self.model.clear(&*obj);
        self.set_active(Method::Auto);
        let (active, state) = match settings.method {
            Method::Auto | Method::Model => match model::find(&network::NEED, &wanted.1) {
                Ok(found) => (Method::Model, ModelState::Found(Box::new(found))),
                Err(err) => {
                    self.do_without_model(&err)?;
                    (Method::SuperFlux, ModelState::Idle)
                }
            },
            method => (method, ModelState::Idle),
        };
        self.model.set(&*obj, Some(wanted), state);
        self.set_active(active);
        Ok(())
    }

    /// Makes what was found ready to run.
    fn load(&self) -> Result<(), gst::ErrorMessage> {
        // The properties can be changed in READY.
        self.find()?;
        let make = |model, _: &_| network::Loaded::new(model).map(Arc::new);
        let loaded = self
            .model
            .load(&*self.obj(), network::Loaded::warm_up, make);
        loaded.or_else(|err| {
            self.set_active(Method::Auto);
            self.do_without_model(&err)?;
            self.set_active(Method::SuperFlux);
            Ok(())
        })
    }

    fn set_active(&self, method: Method) {
        if std::mem::replace(&mut *lock(&self.active), method) != method {
            self.obj().notify("active-method");
        }
    }

    /// Goes on without the model until the next start tries it again.
    fn fall_back(&self) {
        self.model.clear(&*self.obj());
        self.set_active(Method::SuperFlux);
    }

    /// Whether another method in the place of the model would be an error.
    fn model_is_asked_for(&self) -> bool {
        let settings = lock(&self.settings);
        settings.method == Method::Model
            || settings.method == Method::Auto && settings.model.ask_for_model()
    }

    /// What to do about a model that cannot be had: fails where it was asked for.
    fn do_without_model(&self, err: &model::Error) -> Result<(), gst::ErrorMessage> {
        if self.model_is_asked_for() {
            return Err(err.message());
        }
        if err.is_absence() {
            gst::info!(CAT, imp = self, "detecting by superflux: {err}");
        } else {
            self.warn_of_model(err);
        }
        Ok(())
    }

    fn warn_of_model(&self, err: &dyn std::fmt::Display) {
        gst::element_imp_warning!(
            self,
            gst::LibraryError::Failed,
            ("the model cannot be used, superflux is in its place: {err}")
        );
    }

    /// The network for a new stream, if there is a model.
    fn network(&self, mode: Mode) -> Result<Option<Box<dyn Network>>, model::Error> {
        let Some(loaded) = self.model.loaded() else {
            return Ok(None);
        };
        // A file that is read ahead can be held back a little longer at no cost.
        let nobody_waits = match mode {
            Mode::LowLatency => false,
            Mode::Aligned => is_live(&self.sinkpad) == Some(false),
            Mode::Offline => true,
        };
        let frames = if nobody_waits { network::BLOCK } else { 1 };
        loaded.network(frames).map(Some)
    }

    /// Goes on without the network that has failed, or ends where it was asked for.
    fn network_failed(
        &self,
        failure: &Failure,
        settings: &Settings,
        step: &mut Step,
    ) -> Result<(), gst::FlowError> {
        if self.model_is_asked_for() {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Failed,
                ("the model has failed: {failure}")
            );
            return Err(gst::FlowError::Error);
        }
        // Nothing that the settings could get wrong is left to be found here.
        if let Err(err) = lock(&self.stream).go_on_without_network(settings, step) {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{err}"));
            return Err(gst::FlowError::Error);
        }
        self.warn_of_model(failure);
        self.fall_back();
        Ok(())
    }

    fn sink_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "{buffer:?}");
        let settings = lock(&self.settings).clone();
        let mut step = Step::default();
        {
            let mut stream = lock(&self.stream);
            if stream.audio.is_none() {
                drop(stream);
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("audio without usable caps: need audio/x-raw of {MIN_RATE} to \
                      {MAX_RATE} Hz and at most {MAX_CHANNELS} channels")
                );
                return Err(gst::FlowError::NotNegotiated);
            }
            stream.buffer(buffer, &settings, &mut step);
        }
        self.deliver(step, &settings)
    }

    /// Gives what a step brings about to bus and pad; no lock may be held, since both call back.
    fn deliver(
        &self,
        mut step: Step,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let failed = match step.failure.take() {
            Some(failure) => self.network_failed(&failure, settings, &mut step),
            None => Ok(()),
        };
        if let Some(warning) = step.warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{warning}"));
        }
        let flow = step
            .out
            .deliver(&*self.obj(), &self.srcpad, settings.post_messages);
        failed.and(flow)
    }

    /// The analysis of audio of these caps; `None` if it is the one that is going on.
    fn audio(
        &self,
        caps: &gst::CapsRef,
        settings: &Settings,
    ) -> Result<Option<Audio>, gst::ErrorMessage> {
        let info = gst_audio::AudioInfo::from_caps(caps).map_err(|err| {
            gst::error_msg!(
                gst::CoreError::Negotiation,
                ("caps {caps} are not raw audio: {err}")
            )
        })?;
        let is_known = |audio: &Audio| audio.info == info;
        if lock(&self.stream).audio.as_ref().is_some_and(is_known) {
            return Ok(None);
        }
        let network = self.network(settings.mode).or_else(|err| {
            self.do_without_model(&err)?;
            self.fall_back();
            Ok(None)
        })?;
        let audio = Audio::new(info, settings, network);
        audio
            .map(Some)
            .map_err(|err| gst::error_msg!(gst::LibraryError::Settings, ("{err}")))
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{event:?}");
        let settings = lock(&self.settings).clone();
        let mut step = Step::default();
        match event.view() {
            gst::EventView::Caps(caps) => match self.audio(caps.caps(), &settings) {
                Ok(Some(audio)) => lock(&self.stream).set_audio(audio, &settings, &mut step),
                Ok(None) => (),
                Err(message) => {
                    self.post_error_message(message);
                    return false;
                }
            },
            gst::EventView::Segment(segment) => {
                lock(&self.stream).set_segment(segment.segment(), &settings, &mut step);
            }
            gst::EventView::Gap(_) => {
                lock(&self.stream).gap(event, &settings, &mut step);
                return self.deliver(step, &settings).is_ok();
            }
            gst::EventView::FlushStop(_) => {
                let flushed = lock(&self.stream).flush();
                let result = gst::Pad::event_default(pad, Some(&*self.obj()), event);
                sticky::keep(&self.srcpad, flushed);
                lock(&self.stream).forget_tempo(&mut step);
                let _ = self.deliver(step, &settings);
                return result;
            }
            _ if event.is_serialized() => {
                let mut stream = lock(&self.stream);
                if let gst::EventView::StreamStart(start) = event.view() {
                    stream.begin(start.stream_id(), &settings, &mut step);
                } else if ends_stream(&event) {
                    stream.drain(&settings, &mut step);
                }
                stream.pass_event(event, &mut step.out);
                drop(stream);
                return self.deliver(step, &settings).is_ok();
            }
            _ => (),
        }
        // A failure here comes back with the next buffer; the event goes on all the same.
        let _ = self.deliver(step, &settings);
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
        let own = || {
            let settings = lock(&self.settings).clone();
            lock(&self.stream).latency(&settings)
        };
        answer_latency(&*self.obj(), &self.sinkpad, pad, query, own)
    }

    /// A fresh start; ids go on, since consumers know marks by them.
    fn reset(&self) {
        let settings = lock(&self.settings).clone();
        let source = self.obj().name();
        let mut stream = lock(&self.stream);
        *stream = Stream::new(&settings, &source, stream.line.next_id());
    }
}

#[glib::object_subclass]
impl ObjectSubclass for OnsetDetect {
    const NAME: &'static str = "GstOnsetDetect";
    type Type = super::OnsetDetect;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sinkpad = pads::build(class, "sink")
            .chain(Self::sink_chain)
            .event(Self::sink_event)
            .query(Self::sink_query)
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = pads::build(class, "src")
            .query(Self::src_query)
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            model: ModelSlot::default(),
            active: Mutex::default(),
            stream: Mutex::new(Stream::new(&Settings::default(), "", 0)),
        }
    }
}

impl ObjectImpl for OnsetDetect {
    functions! {
        PROPERTIES of settings,
        "active-method" => |this| lock(&this.active).to_value(),
        "active-execution-provider" => |this| {
            let loaded = this.model.loaded();
            loaded.map(|loaded| loaded.provider().to_owned()).to_value()
        },
        "tempo" => |this| lock(&this.stream).bpm.to_value(),
        "stats" => |this| lock(&this.stream).stats().to_value();
        changed |this, [before, after]: &[Settings; 2]| {
            offset_changed(&*this.obj(), after.mode, [before.offset, after.offset]);
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        add_pads(&*self.obj(), [&self.sinkpad, &self.srcpad]);
    }
}

impl GstObjectImpl for OnsetDetect {}

impl ElementImpl for OnsetDetect {
    metadata!(
        "Onset and beat detector",
        "Filter/Analyzer/Audio",
        "Marks the instants of onsets, beats and downbeats of music and reports its tempo"
    );

    pad_templates! {
        "sink": Sink Always caps();
        "src": Src Always caps();
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let obj = self.obj();
        match transition {
            gst::StateChange::NullToReady => {
                let settings = lock(&self.settings).clone();
                // Every setting is tried here, where an application expects the error.
                let tried = settings.analyzer(44_100, None);
                let tried =
                    tried.map_err(|err| gst::error_msg!(gst::LibraryError::Settings, ("{err}")));
                or_post(&*obj, tried.and_then(|_| self.find()))?;
            }
            gst::StateChange::ReadyToPaused => {
                or_post(&*obj, self.load())?;
                self.reset();
            }
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            // Statistics stay readable until the next start.
            let mut stream = lock(&self.stream);
            stream.audio = None;
            stream.bpm = 0.0;
            let _ = stream.line.flush();
        }
        if transition == gst::StateChange::ReadyToNull {
            self.model.clear(&*obj);
            self.set_active(Method::Auto);
        }
        Ok(success)
    }
}

fn caps() -> gst::Caps {
    gst_audio::AudioCapsBuilder::new()
        .format_list(gst_audio::AudioFormat::iter_raw())
        .layout_list([
            gst_audio::AudioLayout::Interleaved,
            gst_audio::AudioLayout::NonInterleaved,
        ])
        .rate_range(MIN_RATE..MAX_RATE + 1)
        .channels_range(1..=MAX_CHANNELS)
        .build()
}
