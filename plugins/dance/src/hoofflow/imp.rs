// SPDX-License-Identifier: MPL-2.0
use std::sync::{Arc, LazyLock, Mutex};

use dance_rhythm::motion::colour::Wheel;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::UniqueFlowCombiner;
use gst_video::VideoInfo;

use super::analysis::{self, Analysed, FlowAnalyzer, Loaded, Thread, Worker};
use super::flow_pad::{FORMAT, coloured};
use super::picture::Scaler;
use super::properties::{PROPERTIES, Settings};
use crate::delay::{Segment, ends_stream, same_timestamps};
use crate::element::{add_pads, category, metadata, or_post, pad_templates};
use crate::hoof::{self, Status};
use crate::lock::lock;
use crate::model::{self, ModelSlot, ModelState};
use crate::pads::{self, Guarded};
use crate::property::functions;
use crate::upstream::is_live;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| category("hoofflow", "Optical flow and its histograms"));

/// Timestamps of a frame rate are rounded; a frame this much early is in time.
const ROUNDING: gst::ClockTime = gst::ClockTime::from_mseconds(1);

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    frames: u64,
    analysed: u64,
    skipped: u64,
    first: u64,
    cuts: u64,
    repeated: u64,
    unreadable: u64,
    /// Nanoseconds of analysis.
    time: u64,
    slowest: u64,
}

/// What analyses the stream; only the thread of the stream locks it, and a state change after that has ended.
#[derive(Default)]
struct Work {
    scaler: Option<Scaler>,
    worker: Option<Worker>,
    /// The next frame before this is not analysed.
    due: Option<gst::ClockTime>,
    warned_of_time: bool,
    warned_of_frame: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub info: Option<VideoInfo>,
    segment: Option<Segment>,
    counts: Counts,
    pub flow_pad: Option<gst::Pad>,
    pub combiner: UniqueFlowCombiner,
}

pub struct HoofFlow {
    pub(super) sinkpad: gst::Pad,
    srcpad: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    pub(super) model: ModelSlot<(Arc<model::Settings>, [u32; 2]), Loaded>,
    work: Mutex<Work>,
    pub(super) state: Mutex<State>,
}

/// What a buffer brings about, once nothing is locked.
#[derive(Default)]
struct Outcome {
    analysed: Vec<Analysed>,
    skipped: u64,
    failure: Option<String>,
    warning: Option<String>,
}

impl Outcome {
    fn add(&mut self, result: Result<Analysed, String>) {
        match result {
            Ok(analysed) => self.analysed.push(analysed),
            Err(failure) => self.failure = Some(failure),
        }
    }
}

impl HoofFlow {
    /// Finds the model and the runtime, by cheap checks, unless that is done already.
    fn find(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let wanted = (settings.model.clone(), settings.size());
        if self.model.is_for(&wanted) {
            return Ok(());
        }
        let obj = self.obj();
        self.model.clear(&*obj);
        let found = model::find(&analysis::NEED, &settings.model).map_err(|err| err.message())?;
        self.model
            .set(&*obj, Some(wanted), ModelState::Found(Box::new(found)));
        Ok(())
    }

    /// Makes what was found ready to run.
    fn load(&self) -> Result<(), gst::ErrorMessage> {
        // The properties can be changed in READY.
        self.find()?;
        let make = |model, (_, size): &(_, _)| Loaded::new(model, *size);
        let loaded = self.model.load(&*self.obj(), analysis::warm_up, make);
        loaded.map_err(|err| err.message())
    }

    /// A fresh analysis, in a thread of its own where the pictures must not wait.
    fn worker(&self, settings: &Settings) -> Result<Worker, gst::ErrorMessage> {
        let unready = || gst::error_msg!(gst::LibraryError::Init, ("there is no model"));
        let loaded = self.model.loaded().ok_or_else(unready)?;
        let mut analyzer = FlowAnalyzer::new(&loaded, &settings.config())
            .map_err(|err| err.message())?
            .ok_or_else(unready)?;
        if is_live(&self.sinkpad) != Some(true) {
            return Ok(Worker::Inline(Box::new(analyzer)));
        }
        gst::info!(CAT, imp = self, "live: the analysis goes beside the video");
        let analyse = move |picture| analyzer.analyse(picture).map_err(|err| err.to_string());
        let thread = Thread::new(analyse).map_err(|err| {
            gst::error_msg!(
                gst::ResourceError::Failed,
                ("could not start the thread of the analysis: {err}")
            )
        })?;
        Ok(Worker::Thread(thread))
    }

    fn sink_chain(
        &self,
        _pad: &gst::Pad,
        mut buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "{buffer:?}");
        let settings = lock(&self.settings).clone();
        let (info, segment) = {
            let mut state = lock(&self.state);
            state.counts.frames += 1;
            (state.info.clone(), state.segment.clone())
        };
        let Some(info) = info else {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("video without usable caps: need video/x-raw")
            );
            return Err(gst::FlowError::NotNegotiated);
        };
        let outcome = self
            .analyse(&buffer, &info, segment.as_ref(), &settings)
            .map_err(|message| {
                self.post_error_message(message);
                gst::FlowError::Error
            })?;
        if !outcome.analysed.is_empty() {
            let buffer = buffer.make_mut();
            for analysed in &outcome.analysed {
                hoof::attach(buffer, &analysed.hoof);
            }
        }
        let timestamp = buffer.pts();
        let flows = self.report(outcome, &settings, timestamp)?;
        let mut flow = self.srcpad.push(buffer);
        let flow_pad = {
            let mut state = lock(&self.state);
            flow = state.combiner.update_pad_flow(&self.srcpad, flow);
            state.flow_pad.clone()
        };
        if let Some(pad) = flow_pad {
            for buffer in flows {
                let result = pad.push(buffer);
                flow = lock(&self.state).combiner.update_pad_flow(&pad, result);
            }
        }
        flow
    }

    /// Analyses a frame here, or gives it to be analysed and takes what is ready.
    fn analyse(
        &self,
        buffer: &gst::BufferRef,
        info: &VideoInfo,
        segment: Option<&Segment>,
        settings: &Settings,
    ) -> Result<Outcome, gst::ErrorMessage> {
        let mut outcome = Outcome::default();
        // It asks upstream whether it is live, for which nothing is locked. Nobody else makes one meanwhile.
        let is_new = lock(&self.work).worker.is_none();
        if is_new {
            let worker = self.worker(settings)?;
            lock(&self.work).worker = Some(worker);
        }
        let mut work = lock(&self.work);
        let work = &mut *work;
        if let Some(Worker::Thread(thread)) = &work.worker {
            let results = thread.take().into_iter();
            results.for_each(|result| outcome.add(result));
        }
        // Backwards, what slows down speeds up: there is nothing to be detected.
        let forward = segment.is_some_and(|segment| segment.rate() > 0.0);
        let pts = buffer.pts().filter(|_| forward);
        let Some(pts) = pts.filter(|_| !buffer.flags().contains(gst::BufferFlags::GAP)) else {
            if buffer.pts().is_none() && !std::mem::replace(&mut work.warned_of_time, true) {
                outcome.warning = Some("frames without timestamps are not analysed".to_owned());
            }
            return Ok(outcome);
        };
        if let Some(interval) = settings.interval() {
            match work.due {
                // Time that jumps back restarts it.
                Some(due) if pts + ROUNDING < due && due <= pts + interval => return Ok(outcome),
                Some(due) if due + interval > pts => work.due = Some(due + interval),
                _ => work.due = Some(pts + interval),
            }
        }
        let scaler = match &mut work.scaler {
            Some(scaler) if scaler.info() == info => scaler,
            other => other.insert(Scaler::new(info, settings.size()).map_err(|err| {
                gst::error_msg!(
                    gst::CoreError::Negotiation,
                    (
                        "cannot scale {} of {}x{}: {err}",
                        info.format(),
                        info.width(),
                        info.height()
                    )
                )
            })?),
        };
        let picture = match scaler.picture(buffer, pts) {
            Ok(picture) => picture,
            // The programme goes on.
            Err(err) => {
                lock(&self.state).counts.unreadable += 1;
                if !std::mem::replace(&mut work.warned_of_frame, true) {
                    outcome.warning = Some(format!("a frame is not analysed: {err}"));
                }
                return Ok(outcome);
            }
        };
        match &mut work.worker {
            Some(Worker::Inline(analyzer)) => {
                outcome.add(analyzer.analyse(picture).map_err(|err| err.to_string()));
            }
            Some(Worker::Thread(thread)) => outcome.skipped = thread.give(picture),
            None => (),
        }
        Ok(outcome)
    }

    /// Counts and reports what was found; returns the flows as pictures, where they are wanted.
    fn report(
        &self,
        outcome: Outcome,
        settings: &Settings,
        now: Option<gst::ClockTime>,
    ) -> Result<Vec<gst::Buffer>, gst::FlowError> {
        let obj = self.obj();
        let (counts, segment, is_wanted) = {
            let mut state = lock(&self.state);
            let counts = &mut state.counts;
            counts.skipped += outcome.skipped;
            for analysed in &outcome.analysed {
                counts.analysed += 1;
                counts.time += analysed.time;
                counts.slowest = counts.slowest.max(analysed.time);
                match analysed.hoof.status {
                    Status::Flow => (),
                    Status::First => counts.first += 1,
                    Status::Cut => counts.cuts += 1,
                    Status::Repeated => counts.repeated += 1,
                }
            }
            (
                state.counts,
                state.segment.clone(),
                state.flow_pad.is_some(),
            )
        };
        if let Some(warning) = outcome.warning {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{warning}"));
        }
        if outcome.skipped > 0 {
            gst::debug!(CAT, imp = self, "{} frames left out", outcome.skipped);
            let place = segment.as_ref().zip(now);
            let message = gst::message::Qos::builder(true)
                .running_time(place.and_then(|(segment, at)| segment.to_running_time(at)))
                .stream_time(place.and_then(|(segment, at)| segment.to_stream_time(at)))
                .timestamp(now)
                .stats(
                    gst::format::Buffers::from_u64(counts.analysed),
                    gst::format::Buffers::from_u64(counts.skipped),
                )
                .src(&*obj)
                .build();
            // Fails only without a bus.
            let _ = obj.post_message(message);
        }
        if settings.post_messages {
            for analysed in &outcome.analysed {
                let _ = obj.post_message(hoof::message(obj.upcast_ref(), &analysed.hoof));
            }
        }
        if let Some(failure) = outcome.failure {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Failed,
                ("the model has failed: {failure}")
            );
            return Err(gst::FlowError::Error);
        }
        if !is_wanted {
            return Ok(Vec::new());
        }
        let wheel = Wheel::new(settings.flow_scale as f32);
        let found = outcome.analysed.iter();
        let flows = found.map(|analysed| coloured(&analysed.hoof, &wheel));
        Ok(flows.flatten().collect())
    }

    /// Ends the analysis of the stream up to here; what is still found goes out in events.
    fn drain(&self) {
        let worker = {
            let mut work = lock(&self.work);
            work.due = None;
            work.worker.take()
        };
        let Some(Worker::Thread(thread)) = worker else {
            return;
        };
        let mut outcome = Outcome::default();
        let results = thread.finish().into_iter();
        results.for_each(|result| outcome.add(result));
        let found = outcome.analysed.iter();
        let events: Vec<_> = found.map(|analysed| hoof::event(&analysed.hoof)).collect();
        let settings = lock(&self.settings).clone();
        // An error is on the bus then, and the stream ends here anyhow.
        let flows = self.report(outcome, &settings, None).unwrap_or_default();
        for event in events {
            self.srcpad.push_event(event);
        }
        let flow_pad = lock(&self.state).flow_pad.clone();
        if let Some(pad) = flow_pad {
            for buffer in flows {
                // What is refused here is refused again by the next.
                let _ = pad.push(buffer);
            }
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{event:?}");
        let to_flow = match event.view() {
            gst::EventView::Caps(caps) => {
                let info = match VideoInfo::from_caps(caps.caps()) {
                    Ok(info) => info,
                    Err(err) => {
                        gst::element_imp_error!(
                            self,
                            gst::CoreError::Negotiation,
                            ("caps {} are not raw video: {err}", caps.caps())
                        );
                        return false;
                    }
                };
                if lock(&self.state).info.as_ref() != Some(&info) {
                    self.drain();
                    lock(&self.state).info = Some(info);
                    self.announce_flow();
                }
                false
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                if !same_timestamps(lock(&self.state).segment.as_ref(), segment.as_ref()) {
                    self.drain();
                }
                lock(&self.state).segment = segment;
                true
            }
            gst::EventView::StreamStart(_) => {
                self.drain();
                false
            }
            _ if ends_stream(&event) => {
                self.drain();
                true
            }
            gst::EventView::FlushStop(_) => {
                {
                    let mut work = lock(&self.work);
                    work.worker = None;
                    work.due = None;
                }
                let mut state = lock(&self.state);
                state.segment = None;
                state.combiner.reset();
                true
            }
            gst::EventView::FlushStart(_) | gst::EventView::Gap(_) => true,
            _ => false,
        };
        let flow_pad = lock(&self.state).flow_pad.clone();
        if to_flow && let Some(flow) = flow_pad {
            flow.push_event(event.clone());
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        // What displays the flow late says nothing about the video.
        if *pad != self.srcpad && matches!(event.view(), gst::EventView::Qos(_)) {
            return true;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn stats(&self) -> gst::Structure {
        let counts = lock(&self.state).counts;
        let mean = counts.time / counts.analysed.max(1);
        gst::Structure::builder("stats")
            .field("frames", counts.frames)
            .field("analysed", counts.analysed)
            .field("skipped", counts.skipped)
            .field("first", counts.first)
            .field("cuts", counts.cuts)
            .field("repeated", counts.repeated)
            .field("unreadable", counts.unreadable)
            .field("analysis-time-mean", mean)
            .field("analysis-time-max", counts.slowest)
            .build()
    }
}

/// The pads that carry the stream of the video: the pad `flow` has other caps.
impl HoofFlow {
    pub(super) fn linked(&self, pad: &gst::Pad) -> Vec<gst::Pad> {
        let other = if *pad == self.sinkpad {
            &self.srcpad
        } else {
            &self.sinkpad
        };
        vec![other.clone()]
    }
}

#[glib::object_subclass]
impl ObjectSubclass for HoofFlow {
    const NAME: &'static str = "GstHoofFlow";
    type Type = super::HoofFlow;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sinkpad = pads::build(class, "sink")
            .chain(Self::sink_chain)
            .event(Self::sink_event)
            .links(Self::linked)
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = pads::build(class, "src")
            .event(Self::src_event)
            .links(Self::linked)
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            model: ModelSlot::default(),
            work: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for HoofFlow {
    functions! {
        PROPERTIES of settings,
        "active-execution-provider" => |this| {
            let loaded = this.model.loaded();
            loaded.as_ref().map(Loaded::provider).to_value()
        },
        "stats" => |this| this.stats().to_value()
    }

    fn constructed(&self) {
        self.parent_constructed();
        add_pads(&*self.obj(), [&self.sinkpad, &self.srcpad]);
        lock(&self.state).combiner.add_pad(&self.srcpad);
    }
}

impl GstObjectImpl for HoofFlow {}

impl ElementImpl for HoofFlow {
    metadata!(
        "Optical flow and its histogram",
        "Filter/Analyzer/Video",
        "Measures how video moves: dense optical flow and the histogram of its orientations"
    );

    pad_templates! {
        "sink": Sink Always caps();
        "src": Src Always caps();
        "flow": Src Request gst_video::VideoCapsBuilder::new().format(FORMAT).build();
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        self.add_flow_pad(template)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.forget_flow_pad(pad);
        let _ = pad.set_active(false);
        let _ = self.obj().remove_pad(pad);
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let obj = self.obj();
        match transition {
            gst::StateChange::NullToReady => or_post(&*obj, self.find())?,
            gst::StateChange::ReadyToPaused => {
                or_post(&*obj, self.load())?;
                let mut state = lock(&self.state);
                state.counts = Counts::default();
                state.combiner.reset();
            }
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.work) = Work::default();
            // Statistics stay readable until the next start.
            let mut state = lock(&self.state);
            state.info = None;
            state.segment = None;
        }
        if transition == gst::StateChange::ReadyToNull {
            self.model.clear(&*obj);
        }
        Ok(success)
    }
}

fn caps() -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format_list(gst_video::VideoFormat::iter_raw())
        .build()
}
