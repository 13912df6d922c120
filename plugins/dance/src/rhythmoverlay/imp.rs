// SPDX-License-Identifier: MPL-2.0
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{VideoOverlayComposition, VideoOverlayCompositionMeta};

use super::caps::TEMPLATE_CAPS;
use super::draw::{Frame, Renderer};
use super::properties::{PROPERTIES, Settings};
use super::timeline::{Event, Timeline};
use crate::delay::Segment;
use crate::element::{add_pads, category, metadata, pad_templates};
use crate::hoof;
use crate::lock::lock;
use crate::marks::{self, Deduplicator};
use crate::pads::{self, Guarded};
use crate::property::functions;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| category("rhythmoverlay", "Rhythm overlay"));

/// Everything about the stream, dropped when it stops.
#[derive(Default)]
pub(super) struct State {
    info: Option<gst_video::VideoInfo>,
    segment: Option<Segment>,
    /// Whether the overlay goes downstream as a meta, instead of into the picture.
    pub attach: bool,
    timeline: Timeline,
    seen: Deduplicator,
    renderer: Renderer,
    warned_of_time: bool,
    warned_of_overflow: bool,
}

impl State {
    /// Forgets the marks, as after a seek.
    fn reset_marks(&mut self) {
        self.timeline = Timeline::default();
        self.seen.clear();
    }
}

pub struct RhythmOverlay {
    pub(super) sink_pad: gst::Pad,
    pub(super) src_pad: gst::Pad,
    settings: Mutex<Settings>,
    pub(super) state: Mutex<State>,
}

impl RhythmOverlay {
    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::log!(CAT, obj = pad, "event {event:?}");
        match event.view() {
            gst::EventView::Caps(e) => {
                let caps = e.caps_owned();
                let info = match gst_video::VideoInfo::from_caps(&caps) {
                    Ok(info) => info,
                    Err(err) => {
                        gst::error!(CAT, imp = self, "cannot use {caps}: {err}");
                        return false;
                    }
                };
                lock(&self.state).info = Some(info);
                // The answer to what comes now holds for the caps that it was asked with.
                self.src_pad.check_reconfigure();
                return self.negotiate(&caps).is_ok();
            }
            gst::EventView::Segment(e) => {
                let segment = e.segment().downcast_ref::<gst::ClockTime>().cloned();
                if segment.is_none() {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "no overlay: {:?} is not in time",
                        e.segment()
                    );
                }
                lock(&self.state).segment = segment;
            }
            gst::EventView::StreamStart(_) | gst::EventView::FlushStop(_) => {
                lock(&self.state).reset_marks();
            }
            gst::EventView::CustomDownstreamSticky(e) => {
                if let Some(s) = e
                    .structure()
                    .filter(|s| s.name() == marks::TEMPO_EVENT_NAME)
                {
                    match (s.get::<f64>("bpm"), s.get::<u32>("beats-per-bar")) {
                        (Ok(bpm), Ok(beats)) => {
                            gst::debug!(CAT, imp = self, "{bpm} beats per minute, {beats} a bar");
                            lock(&self.state).timeline.set_tempo(bpm, beats);
                        }
                        _ => gst::warning!(CAT, imp = self, "tempo without usable fields: {s}"),
                    }
                }
            }
            _ => (),
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_chain(
        &self,
        _pad: &gst::Pad,
        mut buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::log!(CAT, imp = self, "frame {buffer:?}");
        if self.src_pad.check_reconfigure() {
            let caps = self.sink_pad.current_caps();
            self.negotiate(&caps.ok_or(gst::FlowError::NotNegotiated)?)?;
        }
        let settings = *lock(&self.settings);
        let mut guard = lock(&self.state);
        let info = guard.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let composition = self.compose(&mut guard, &settings, &buffer, &info);
        let attach = guard.attach;
        // Mapping, blending and pushing may take their time, or come back to us.
        drop(guard);
        if let Some(composition) = composition {
            if attach {
                attach_composition(buffer.make_mut(), &composition);
            } else {
                self.blend(buffer.make_mut(), &info, &composition)?;
            }
        }
        self.src_pad.push(buffer)
    }

    /// The overlay for this frame, if there is one to be drawn.
    fn compose(
        &self,
        state: &mut State,
        settings: &Settings,
        buffer: &gst::BufferRef,
        info: &gst_video::VideoInfo,
    ) -> Option<VideoOverlayComposition> {
        let segment = state.segment.as_ref()?;
        let Some(pts) = buffer.pts() else {
            if !std::mem::replace(&mut state.warned_of_time, true) {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Failed,
                    ["no overlay on frames without timestamps"]
                );
            }
            return None;
        };
        let (start, end) = running_times(segment, pts, frame_duration(buffer, info))?;
        state.timeline.begin(start);
        for marks::SourceMarks { source, marks } in marks::read(buffer) {
            for mark in marks {
                if !state.seen.is_new(&source, mark.id) {
                    continue;
                }
                let time = mark
                    .running_time
                    .or_else(|| segment.to_running_time(mark.timestamp));
                let Some(time) = time else {
                    gst::debug!(CAT, imp = self, "outside the segment: {mark:?}");
                    continue;
                };
                gst::trace!(CAT, imp = self, "{source}: {mark:?}");
                let fits = state.timeline.add(Event {
                    time,
                    kind: mark.kind,
                    place: mark.beat_in_bar,
                    bpm: mark.bpm,
                });
                if !fits && !std::mem::replace(&mut state.warned_of_overflow, true) {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "too many early marks, the last are dropped"
                    );
                }
            }
        }
        for hoof in hoof::read(buffer) {
            state.timeline.set_rose(&hoof);
        }
        let style = &settings.style;
        (state.timeline).advance(end, style.onset_window, settings.max_flashes);
        state
            .renderer
            .draw(style, Frame::from(info), &state.timeline)
    }

    fn blend(
        &self,
        buffer: &mut gst::BufferRef,
        info: &gst_video::VideoInfo,
        composition: &VideoOverlayComposition,
    ) -> Result<(), gst::FlowError> {
        let size = buffer.size();
        gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info)
            .and_then(|mut frame| super::blend::blend(&mut frame, composition))
            .map_err(|err| {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    [
                        "cannot draw on a frame of {size} bytes, {} expected: {err}",
                        info.size()
                    ]
                );
                gst::FlowError::Error
            })
    }
}

/// How long a frame lasts, by its own word or by the frame rate.
fn frame_duration(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let by_rate = || {
        let fps = info.fps();
        let (n, d) = (u64::try_from(fps.numer()), u64::try_from(fps.denom()));
        let (Ok(n @ 1..), Ok(d @ 1..)) = (n, d) else {
            return None;
        };
        gst::ClockTime::SECOND.mul_div_round(d, n)
    };
    buffer
        .duration()
        .filter(|duration| !duration.is_zero())
        .or_else(by_rate)
}

/// When a frame begins and ends in running time, where timestamps may run backwards.
fn running_times(
    segment: &Segment,
    pts: gst::ClockTime,
    duration: Option<gst::ClockTime>,
) -> Option<(gst::ClockTime, Option<gst::ClockTime>)> {
    let Some(stop) = duration.map(|duration| pts.saturating_add(duration)) else {
        return Some((segment.to_running_time(pts)?, None));
    };
    let (pts, stop) = segment.clip(pts, stop)?;
    let (a, b) = (
        segment.to_running_time(pts?)?,
        segment.to_running_time(stop?)?,
    );
    Some((a.min(b), Some(a.max(b))))
}

/// Adds the overlay to the buffer's own, or gives it one.
fn attach_composition(buffer: &mut gst::BufferRef, composition: &VideoOverlayComposition) {
    if let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() {
        let mut both = meta.overlay_owned();
        let there = both.make_mut();
        for rectangle in composition.iter() {
            there.add_rectangle(&rectangle);
        }
        meta.set_overlay(&both);
    } else {
        VideoOverlayCompositionMeta::add(buffer, composition);
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RhythmOverlay {
    const NAME: &'static str = "GstRhythmOverlay";
    type Type = super::RhythmOverlay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sink_pad = pads::build(class, "sink")
            .chain(Self::sink_chain)
            .event(Self::sink_event)
            .query(Self::query)
            .flags(gst::PadFlags::PROXY_ALLOCATION)
            .build();
        RhythmOverlay {
            sink_pad,
            src_pad: pads::build(class, "src").query(Self::query).build(),
            settings: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for RhythmOverlay {
    functions! { PROPERTIES of settings }

    fn constructed(&self) {
        self.parent_constructed();
        add_pads(&*self.obj(), [&self.sink_pad, &self.src_pad]);
    }
}

impl GstObjectImpl for RhythmOverlay {}

impl ElementImpl for RhythmOverlay {
    metadata!(
        "Rhythm overlay",
        "Filter/Editor/Video",
        "Draws the beat, the bar, the tempo and the onsets of music onto video"
    );

    pad_templates! {
        "sink": Sink Always TEMPLATE_CAPS;
        "src": Src Always TEMPLATE_CAPS;
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.state) = State::default();
        }
        Ok(success)
    }
}
