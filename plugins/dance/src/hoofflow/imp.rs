use std::sync::{LazyLock, Mutex};

use dance_rhythm::motion::hoof::{DEFAULT_BINS, FEWEST_BINS, MOST_BINS};
use dance_rhythm::motion::{Flow, colour::Wheel};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::UniqueFlowCombiner;
use gst_video::VideoInfo;

use super::analysis::{self, Analyst, Apart, Config, Loaded, Place, Seen};
use super::picture::Scaler;
use crate::hoof::{self, Hoof, Status};
use crate::lock::lock;
use crate::model;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "hoofflow",
        gst::DebugColorFlags::empty(),
        Some("Optical flow and its histograms"),
    )
});

const DEFAULT_SIZE: u32 = 256;
const DEFAULT_GRID: u32 = 0;
const MOST_CELLS: u32 = 16;
const DEFAULT_SCALE: f64 = 16.0;
const DEFAULT_THREADS: u32 = 1;
const DEFAULT_POST_MESSAGES: bool = true;

/// Timestamps of a frame rate are rounded; a frame this much early is in time.
const ROUNDING: gst::ClockTime = gst::ClockTime::from_mseconds(1);

#[derive(Debug, Clone)]
struct Settings {
    model: model::Settings,
    size: [u32; 2],
    fps: gst::Fraction,
    bins: u32,
    grid: u32,
    flow_scale: f64,
    post_messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: model::Settings::default(),
            size: [DEFAULT_SIZE; 2],
            fps: gst::Fraction::new(0, 1),
            bins: DEFAULT_BINS as u32,
            grid: DEFAULT_GRID,
            flow_scale: DEFAULT_SCALE,
            post_messages: DEFAULT_POST_MESSAGES,
        }
    }
}

impl Settings {
    fn config(&self) -> Config {
        Config {
            size: self.size,
            bins: self.bins as usize,
            grid: [self.grid; 2],
            interval: self.interval(),
        }
    }

    /// The time from one analysed frame to the next; none where all are.
    fn interval(&self) -> Option<gst::ClockTime> {
        let (number, of) = (
            u64::try_from(self.fps.numer()).ok()?,
            u64::try_from(self.fps.denom()).ok()?,
        );
        (number > 0)
            .then(|| gst::ClockTime::SECOND.mul_div_round(of, number))
            .flatten()
    }
}

/// How far the model is.
#[derive(Default)]
enum Eye {
    /// Nothing was looked for.
    #[default]
    Closed,
    /// From READY on.
    Found(Box<model::Found>),
    /// From PAUSED on, and still in READY after it, so that the next start is a fast one.
    Loaded(Loaded),
}

#[derive(Default)]
struct Sight {
    /// What was wanted when this was found.
    wanted: Option<(model::Settings, [u32; 2])>,
    eye: Eye,
}

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
    place: Option<Place>,
    /// The next frame before this is not analysed.
    due: Option<gst::ClockTime>,
    warned_of_time: bool,
    warned_of_frame: bool,
}

#[derive(Default)]
struct State {
    info: Option<VideoInfo>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    counts: Counts,
    flow_pad: Option<gst::Pad>,
    combiner: UniqueFlowCombiner,
}

pub struct HoofFlow {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    sight: Mutex<Sight>,
    work: Mutex<Work>,
    state: Mutex<State>,
}

/// What a buffer brings about, once nothing is locked.
#[derive(Default)]
struct Outcome {
    seen: Vec<Seen>,
    skipped: u64,
    failure: Option<String>,
    warning: Option<String>,
}

impl Outcome {
    fn add(&mut self, result: Result<Seen, String>) {
        match result {
            Ok(seen) => self.seen.push(seen),
            Err(failure) => self.failure = Some(failure),
        }
    }
}

impl HoofFlow {
    /// Finds the model and the runtime, by cheap checks, unless that is done already.
    fn find(&self) -> Result<(), gst::ErrorMessage> {
        let wanted = {
            let settings = lock(&self.settings);
            (settings.model.clone(), settings.size)
        };
        if lock(&self.sight).wanted.as_ref() == Some(&wanted) {
            return Ok(());
        }
        self.close();
        let found = model::find(&analysis::NEED, &wanted.0).map_err(|err| err.message())?;
        *lock(&self.sight) = Sight {
            wanted: Some(wanted),
            eye: Eye::Found(Box::new(found)),
        };
        Ok(())
    }

    /// Makes what was found ready to run.
    fn load(&self) -> Result<(), gst::ErrorMessage> {
        // The properties can be changed in READY.
        self.find()?;
        let (found, size) = {
            let mut sight = lock(&self.sight);
            let size = sight.wanted.as_ref().map_or([0; 2], |(_, size)| *size);
            match std::mem::take(&mut sight.eye) {
                Eye::Found(found) => (found, size),
                eye => {
                    sight.eye = eye;
                    return Ok(());
                }
            }
        };
        let loaded = found
            .load(self.obj().upcast_ref(), analysis::warm_up)
            .and_then(|model| Loaded::new(model, size));
        match loaded {
            Ok(loaded) => {
                lock(&self.sight).eye = Eye::Loaded(loaded);
                self.obj().notify("active-execution-provider");
                Ok(())
            }
            Err(err) => {
                self.close();
                Err(err.message())
            }
        }
    }

    /// Forgets the model.
    fn close(&self) {
        let before = std::mem::take(&mut *lock(&self.sight));
        if let Eye::Loaded(_) = before.eye {
            self.obj().notify("active-execution-provider");
        }
    }

    fn loaded(&self) -> Option<Loaded> {
        match &lock(&self.sight).eye {
            Eye::Loaded(loaded) => Some(loaded.clone()),
            _ => None,
        }
    }

    /// Whether the pictures come as they happen, so that they must not wait.
    fn is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.sinkpad.peer_query(&mut query) && query.result().0
    }

    /// A fresh analysis, in a thread of its own where the pictures must not wait.
    fn place(&self, settings: &Settings) -> Result<Place, gst::ErrorMessage> {
        let unready = || gst::error_msg!(gst::LibraryError::Init, ("there is no model"));
        let loaded = self.loaded().ok_or_else(unready)?;
        let mut analyst = Analyst::new(&loaded, &settings.config())
            .map_err(|err| err.message())?
            .ok_or_else(unready)?;
        if !self.is_live() {
            return Ok(Place::Here(Box::new(analyst)));
        }
        gst::info!(CAT, imp = self, "live: the analysis goes beside the video");
        let see = move |picture| analyst.see(picture).map_err(|err| err.to_string());
        let apart = Apart::new(see).map_err(|err| {
            gst::error_msg!(
                gst::ResourceError::Failed,
                ("could not start the thread of the analysis: {err}")
            )
        })?;
        Ok(Place::Apart(apart))
    }

    fn sink_chain(&self, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
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
        if !outcome.seen.is_empty() {
            let buffer = buffer.make_mut();
            for seen in &outcome.seen {
                hoof::attach(buffer, &seen.hoof);
            }
        }
        let timestamp = buffer.pts();
        let flows = self.tell(outcome, &settings, timestamp)?;
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
        segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
        settings: &Settings,
    ) -> Result<Outcome, gst::ErrorMessage> {
        let mut outcome = Outcome::default();
        // It asks upstream whether it is live, for which nothing is locked. Nobody else makes one meanwhile.
        let is_new = lock(&self.work).place.is_none();
        if is_new {
            let place = self.place(settings)?;
            lock(&self.work).place = Some(place);
        }
        let mut work = lock(&self.work);
        let work = &mut *work;
        if let Some(Place::Apart(apart)) = &work.place {
            apart
                .take()
                .into_iter()
                .for_each(|result| outcome.add(result));
        }
        // Backwards, what slows down speeds up: there is nothing to be seen.
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
                // Time that jumps back begins anew.
                Some(due) if pts + ROUNDING < due && due <= pts + interval => return Ok(outcome),
                Some(due) if due + interval > pts => work.due = Some(due + interval),
                _ => work.due = Some(pts + interval),
            }
        }
        let scaler = match &mut work.scaler {
            Some(scaler) if scaler.info() == info => scaler,
            other => other.insert(Scaler::new(info, settings.size).map_err(|err| {
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
        let Some(place) = &mut work.place else {
            return Ok(outcome);
        };
        match place {
            Place::Here(analyst) => {
                outcome.add(analyst.see(picture).map_err(|err| err.to_string()));
            }
            Place::Apart(apart) => outcome.skipped = apart.give(picture),
        }
        Ok(outcome)
    }

    /// Counts and tells what was seen; returns the flows as pictures, where they are wanted.
    fn tell(
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
            for seen in &outcome.seen {
                counts.analysed += 1;
                counts.time += seen.time;
                counts.slowest = counts.slowest.max(seen.time);
                match seen.hoof.status {
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
            let time = |get: fn(
                &gst::FormattedSegment<gst::ClockTime>,
                gst::ClockTime,
            ) -> Option<gst::ClockTime>| { get(segment.as_ref()?, now?) };
            let message = gst::message::Qos::builder(true)
                .running_time(time(|segment, at| segment.to_running_time(at)))
                .stream_time(time(|segment, at| segment.to_stream_time(at)))
                .timestamp(now)
                .stats(
                    gst::format::Buffers::from_u64(counts.analysed),
                    gst::format::Buffers::from_u64(counts.skipped),
                )
                .src(&*obj)
                .build();
            // Without a bus there is nobody to tell.
            let _ = obj.post_message(message);
        }
        if settings.post_messages {
            for seen in &outcome.seen {
                let _ = obj.post_message(hoof::message(obj.upcast_ref(), &seen.hoof));
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
        let flows = outcome.seen.iter().map(|seen| coloured(&seen.hoof, &wheel));
        Ok(flows.flatten().collect())
    }

    /// Ends the analysis of the stream up to here; what it still has to say goes out in events.
    fn drain(&self) {
        let place = {
            let mut work = lock(&self.work);
            work.due = None;
            work.place.take()
        };
        let Some(Place::Apart(apart)) = place else {
            return;
        };
        let mut outcome = Outcome::default();
        apart
            .finish()
            .into_iter()
            .for_each(|result| outcome.add(result));
        let events: Vec<_> = outcome
            .seen
            .iter()
            .map(|seen| hoof::event(&seen.hoof))
            .collect();
        let settings = lock(&self.settings).clone();
        // An error is on the bus then, and the stream ends here anyhow.
        let flows = self.tell(outcome, &settings, None).unwrap_or_default();
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
                if lock(&self.state).segment != segment {
                    self.drain();
                    lock(&self.state).segment = segment;
                }
                true
            }
            gst::EventView::Eos(_) => {
                self.drain();
                true
            }
            gst::EventView::FlushStop(_) => {
                {
                    let mut work = lock(&self.work);
                    work.place = None;
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

    /// Gives the pad `flow` what a stream begins with; it is sent before the next buffer.
    fn announce_flow(&self) {
        let (pad, info) = {
            let state = lock(&self.state);
            (state.flow_pad.clone(), state.info.clone())
        };
        let (Some(pad), Some(info), Some(loaded)) = (pad, info, self.loaded()) else {
            return;
        };
        let settings = lock(&self.settings).clone();
        let obj = self.obj();
        let mut events = Vec::new();
        if pad.sticky_event::<gst::event::StreamStart>(0).is_none() {
            let id = pad.create_stream_id(&*obj, Some("flow"));
            let mut start = gst::event::StreamStart::builder(&id);
            let upstream = self.sinkpad.sticky_event::<gst::event::StreamStart>(0);
            if let Some(group) = upstream.and_then(|event| event.group_id()) {
                start = start.group_id(group);
            }
            events.push(start.build());
        }
        let fps = if settings.fps.numer() > 0 {
            settings.fps
        } else {
            info.fps()
        };
        let [width, height] = loaded.flow_size();
        let caps = VideoInfo::builder(FORMAT, width, height)
            .fps(fps)
            .par(shape(&info, [width, height]))
            .build()
            .and_then(|info| info.to_caps());
        match caps {
            Ok(caps) => events.push(gst::event::Caps::new(&caps)),
            Err(err) => gst::error!(CAT, imp = self, "no caps of the flow: {err}"),
        }
        if let Some(segment) = self.sinkpad.sticky_event::<gst::event::Segment>(0) {
            events.push(gst::event::Segment::new(segment.segment()));
        }
        for event in events {
            if let Err(err) = pad.store_sticky_event(&event) {
                gst::warning!(CAT, obj = pad, "{event:?} is not kept: {err}");
            }
        }
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
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

/// The shape of a flow's pixels with which it looks as wide as the video.
fn shape(info: &VideoInfo, [width, height]: [u32; 2]) -> gst::Fraction {
    let par = info.par();
    let across = i64::from(info.width()) * i64::from(par.numer()) * i64::from(height);
    let down = i64::from(info.height()) * i64::from(par.denom()) * i64::from(width);
    let (mut a, mut b) = (across.max(1), down.max(1));
    while b > 0 {
        (a, b) = (b, a % b);
    }
    match (i32::try_from(across / a), i32::try_from(down / a)) {
        (Ok(across @ 1..), Ok(down @ 1..)) => gst::Fraction::new(across, down),
        _ => gst::Fraction::new(1, 1),
    }
}

/// The format of the pad `flow`.
const FORMAT: gst_video::VideoFormat = gst_video::VideoFormat::Rgbx;

/// A flow in colours; white where there is none.
fn coloured(hoof: &Hoof, wheel: &Wheel) -> Option<gst::Buffer> {
    let [width, height] = hoof.flow_size.map(|n| n as usize);
    let mut pixels = vec![255u8; 4 * width * height];
    if let Some(map) = hoof.flow.as_ref().and_then(|flow| flow.map_readable().ok()) {
        let (numbers, _) = map.as_chunks();
        let values: Vec<f32> = numbers
            .iter()
            .map(|bytes| f32::from_ne_bytes(*bytes))
            .collect();
        let (x, y) = values.split_at(values.len() / 2);
        let flow = Flow::new(width, height, x, y)?;
        for (to, colour) in pixels.chunks_exact_mut(4).zip(wheel.paint(&flow)) {
            to[..3].copy_from_slice(&colour);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(pixels);
    let writable = buffer.get_mut()?;
    writable.set_pts(hoof.timestamp);
    Some(buffer)
}

#[glib::object_subclass]
impl ObjectSubclass for HoofFlow {
    const NAME: &'static str = "GstHoofFlow";
    type Type = super::HoofFlow;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let pad = |name: &str| {
            klass
                .pad_template(name)
                .map(|template| gst::Pad::builder_from_template(&template))
        };
        // The pad `flow` speaks other caps: only the other two are one link.
        let other = |parent: Option<&gst::Object>, sink: bool| {
            let element = parent.and_then(|parent| parent.downcast_ref::<super::HoofFlow>());
            let pads = element.map(|element| {
                let imp = element.imp();
                if sink {
                    imp.srcpad.clone()
                } else {
                    imp.sinkpad.clone()
                }
            });
            gst::Iterator::from_vec(pads.into_iter().collect())
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
            .iterate_internal_links_function(move |_, parent| other(parent, true))
            .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = pad("src")
            .unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Src))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_event(pad, event))
            })
            .iterate_internal_links_function(move |_, parent| other(parent, false))
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            sight: Mutex::default(),
            work: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for HoofFlow {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let side = |name: &str, nick: &str, what: &str| {
                glib::ParamSpecUInt::builder(name)
                    .nick(nick)
                    .blurb(&format!(
                        "{what} in pixels of the picture that is analysed; the model must be made for it"
                    ))
                    .minimum(16)
                    .maximum(4096)
                    .default_value(DEFAULT_SIZE)
                    .mutable_ready()
                    .build()
            };
            let mut all = model::Settings::properties(analysis::NEED.file);
            all.extend([
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads that the model runs on, 0 = one a core")
                    .maximum(256)
                    .default_value(DEFAULT_THREADS)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("active-execution-provider")
                    .nick("Active execution provider")
                    .blurb("What the model really runs on, from PAUSED on")
                    .read_only()
                    .build(),
                side("analysis-width", "Width of the analysis", "Width"),
                side("analysis-height", "Height of the analysis", "Height"),
                gst::ParamSpecFraction::builder("analysis-fps")
                    .nick("Frame rate of the analysis")
                    .blurb("Frames that are analysed in a second, 0 = all of them")
                    .minimum(gst::Fraction::new(0, 1))
                    .maximum(gst::Fraction::new(1000, 1))
                    .default_value(gst::Fraction::new(0, 1))
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("bins")
                    .nick("Bins")
                    .blurb("Directions of the histogram")
                    .minimum(FEWEST_BINS as u32)
                    .maximum(MOST_BINS as u32)
                    .default_value(DEFAULT_BINS as u32)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("grid")
                    .nick("Grid")
                    .blurb("Columns and rows of cells that have histograms of their own, 0 = none")
                    .maximum(MOST_CELLS)
                    .default_value(DEFAULT_GRID)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecDouble::builder("flow-scale")
                    .nick("Scale of the flow")
                    .blurb("Pixels from one analysed frame to the next that have the deepest colours on the pad flow")
                    .minimum(0.01)
                    .maximum(4096.0)
                    .default_value(DEFAULT_SCALE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("post-messages")
                    .nick("Post messages")
                    .blurb("Post a hoof element message on the bus for every analysed frame")
                    .default_value(DEFAULT_POST_MESSAGES)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counts of frames, of those analysed and left out, of cuts and repetitions, and times in nanoseconds")
                    .read_only()
                    .build(),
            ]);
            all
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        /// GObject has checked type and range.
        fn set<'a, T: glib::value::FromValue<'a>>(field: &mut T, value: &'a glib::Value) {
            if let Ok(value) = value.get() {
                *field = value;
            }
        }
        gst::info!(CAT, imp = self, "{} = {value:?}", pspec.name());
        let mut settings = lock(&self.settings);
        let settings = &mut *settings;
        match pspec.name() {
            "threads" => {
                let mut threads = DEFAULT_THREADS;
                set(&mut threads, value);
                settings.model.threads = threads as usize;
            }
            "analysis-width" => set(&mut settings.size[0], value),
            "analysis-height" => set(&mut settings.size[1], value),
            "analysis-fps" => set(&mut settings.fps, value),
            "bins" => set(&mut settings.bins, value),
            "grid" => set(&mut settings.grid, value),
            "flow-scale" => set(&mut settings.flow_scale, value),
            "post-messages" => set(&mut settings.post_messages, value),
            name => {
                settings.model.set(name, value);
            }
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match pspec.name() {
            "threads" => (settings.model.threads as u32).to_value(),
            "active-execution-provider" => {
                let loaded = self.loaded();
                loaded.as_ref().map(Loaded::provider).to_value()
            }
            "analysis-width" => settings.size[0].to_value(),
            "analysis-height" => settings.size[1].to_value(),
            "analysis-fps" => settings.fps.to_value(),
            "bins" => settings.bins.to_value(),
            "grid" => settings.grid.to_value(),
            "flow-scale" => settings.flow_scale.to_value(),
            "post-messages" => settings.post_messages.to_value(),
            "stats" => self.stats().to_value(),
            name => (settings.model.get(name)).unwrap_or_else(|| pspec.default_value().clone()),
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
        lock(&self.state).combiner.add_pad(&self.srcpad);
    }
}

impl GstObjectImpl for HoofFlow {}

impl ElementImpl for HoofFlow {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Optical flow and its histogram",
                "Filter/Analyzer/Video",
                "Sees how video moves: dense optical flow and the histogram of its orientations",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new()
                .format_list(gst_video::VideoFormat::iter_raw())
                .build();
            let flow = gst_video::VideoCapsBuilder::new().format(FORMAT).build();
            let (sink, src) = (gst::PadDirection::Sink, gst::PadDirection::Src);
            [
                ("sink", sink, gst::PadPresence::Always, &caps),
                ("src", src, gst::PadPresence::Always, &caps),
                ("flow", src, gst::PadPresence::Request, &flow),
            ]
            .into_iter()
            .filter_map(|(name, direction, presence, caps)| {
                gst::PadTemplate::new(name, direction, presence, caps).ok()
            })
            .collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let pad = gst::Pad::builder_from_template(template)
            .name("flow")
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_event(pad, event))
            })
            .iterate_internal_links_function(|_, parent| {
                let element = parent.and_then(|parent| parent.downcast_ref::<super::HoofFlow>());
                let pads = element.map(|element| element.imp().sinkpad.clone());
                gst::Iterator::from_vec(pads.into_iter().collect())
            })
            .build();
        {
            let mut state = lock(&self.state);
            if state.flow_pad.is_some() {
                return None;
            }
            state.flow_pad = Some(pad.clone());
            state.combiner.add_pad(&pad);
        }
        // In a pipeline that runs the pad must be ready when it appears.
        let active = pad.set_active(true);
        if active.is_err() || self.obj().add_pad(&pad).is_err() {
            gst::error!(CAT, imp = self, "could not add the pad flow");
            self.forget_flow(&pad);
            return None;
        }
        self.announce_flow();
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.forget_flow(pad);
        let _ = pad.set_active(false);
        let _ = self.obj().remove_pad(pad);
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let or_post = |result: Result<(), gst::ErrorMessage>| {
            result.map_err(|message| {
                self.post_error_message(message);
                gst::StateChangeError
            })
        };
        match transition {
            gst::StateChange::NullToReady => or_post(self.find())?,
            gst::StateChange::ReadyToPaused => {
                or_post(self.load())?;
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
            self.close();
        }
        Ok(success)
    }
}

impl HoofFlow {
    fn forget_flow(&self, pad: &gst::Pad) {
        let mut state = lock(&self.state);
        state.combiner.remove_pad(pad);
        state.flow_pad = state.flow_pad.take().filter(|known| known != pad);
    }
}
