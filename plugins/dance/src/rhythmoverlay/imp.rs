use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as META_FEATURE, VideoOverlayComposition,
    VideoOverlayCompositionMeta,
};

use super::draw::{Artist, Frame, Style};
use super::timeline::{Event, Timeline};
use super::{FlashStyle, Position, Show};
use crate::hoof;
use crate::lock::lock;
use crate::marks::{self, Deduplicator};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rhythmoverlay",
        gst::DebugColorFlags::empty(),
        Some("Rhythm overlay"),
    )
});

/// Motion is shown to those who ask for it: without `hoofflow` there is none.
const DEFAULT_SHOW: Show = Show::ROSE.complement();
const DEFAULT_SCALE: f64 = 1.0;
const DEFAULT_OPACITY: f64 = 1.0;
const DEFAULT_COLOR: u32 = 0xfff4f6fa;
const DEFAULT_ACCENT_COLOR: u32 = 0xffffb020;
const DEFAULT_PLATE_COLOR: u32 = 0xc80b0e14;
/// Graphics-safe area of EBU R 95 and safe title area of SMPTE ST 2046-1: 90 % of either side.
const DEFAULT_MARGIN: f64 = 0.05;
const DEFAULT_ONSET_WINDOW: gst::ClockTime = gst::ClockTime::from_seconds(4);
/// The threshold of WCAG 2.3.1, "three flashes or below".
const DEFAULT_MAX_FLASHES: u32 = 3;

#[derive(Debug, Clone, Copy)]
struct Settings {
    style: Style,
    max_flashes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            style: Style {
                show: DEFAULT_SHOW,
                show_idle: true,
                flash_style: FlashStyle::default(),
                position: Position::default(),
                scale: DEFAULT_SCALE,
                opacity: DEFAULT_OPACITY,
                color: DEFAULT_COLOR,
                accent_color: DEFAULT_ACCENT_COLOR,
                plate_color: DEFAULT_PLATE_COLOR,
                margin_x: DEFAULT_MARGIN,
                margin_y: DEFAULT_MARGIN,
                onset_window: DEFAULT_ONSET_WINDOW,
            },
            max_flashes: DEFAULT_MAX_FLASHES,
        }
    }
}

/// Everything about the stream, dropped when it stops.
#[derive(Default)]
struct State {
    info: Option<gst_video::VideoInfo>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Whether the overlay goes downstream as a meta, instead of into the picture.
    attach: bool,
    timeline: Timeline,
    seen: Deduplicator,
    artist: Artist,
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
    sink_pad: gst::Pad,
    src_pad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

/// Formats that the overlay can be blended into; kept for good, which the leaks tracer is told.
static BLEND_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| {
    let mut caps = gst_video::VideoCapsBuilder::new()
        .format_list(gst_video::VideoFormat::iter_raw().filter(|format| can_blend(*format)))
        .build();
    caps.make_mut().mark_may_be_leaked();
    caps
});
static TEMPLATE_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| {
    let mut caps = BLEND_CAPS.copy();
    caps.merge(gst_video::VideoCapsBuilder::new().any_features().build());
    caps
});

/// `gst_video_blend()` unpacks lines and packs them again. A palette or a tile does not survive that,
/// and the packing of UYVP writes past the end of lines of odd length (GStreamer 1.22).
pub(super) fn can_blend(format: gst_video::VideoFormat) -> bool {
    let info = gst_video::VideoFormatInfo::from_format(format);
    !info.has_palette()
        && !info.flags().contains(gst_video::VideoFormatFlags::TILED)
        && format != gst_video::VideoFormat::Uyvp
}

/// The caps with the feature of overlay compositions added, of structures that lack it.
fn with_meta(caps: &gst::CapsRef) -> gst::Caps {
    caps.iter_with_features()
        .map(|(s, features)| {
            let mut features = features.to_owned();
            if !features.is_any() && !features.contains(META_FEATURE) {
                features.add(META_FEATURE);
            }
            (s.to_owned(), features)
        })
        .collect()
}

/// The caps with the feature of overlay compositions removed.
fn without_meta(caps: &gst::CapsRef) -> gst::Caps {
    caps.iter_with_features()
        .map(|(s, features)| {
            let mut features = features.to_owned();
            if !features.is_any() {
                features.remove(META_FEATURE);
            }
            (s.to_owned(), features)
        })
        .collect()
}

impl RhythmOverlay {
    /// What may come in: what downstream takes with metas, with or without metas, and what it takes
    /// without them and can be blended into.
    fn sink_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let wanted = filter.map(|filter| {
            let mut wanted = with_meta(filter);
            wanted.merge(filter.to_owned());
            wanted
        });
        let peer = self.src_pad.peer_query_caps(wanted.as_ref());
        let template = self.sink_pad.pad_template_caps();
        let mut caps = gst::Caps::new_empty();
        if peer.is_any() {
            caps.merge(template);
        } else {
            let (metas, plain) = split(&peer);
            caps.merge(metas.intersect_with_mode(&template, gst::CapsIntersectMode::First));
            let bare = without_meta(&metas);
            caps.merge(bare.intersect_with_mode(&template, gst::CapsIntersectMode::First));
            caps.merge(plain.intersect_with_mode(&BLEND_CAPS, gst::CapsIntersectMode::First));
        }
        filtered(caps, filter)
    }

    /// What may go out: what upstream has, with metas, or without if it can be blended into.
    fn src_caps(&self, filter: Option<&gst::CapsRef>) -> gst::Caps {
        let wanted = filter.map(|filter| {
            let mut wanted = filter.to_owned();
            wanted.merge(without_meta(filter));
            wanted
        });
        let peer = self.sink_pad.peer_query_caps(wanted.as_ref());
        let template = self.src_pad.pad_template_caps();
        let mut caps = gst::Caps::new_empty();
        if peer.is_any() {
            caps.merge(template);
        } else {
            caps.merge(
                with_meta(&peer).intersect_with_mode(&template, gst::CapsIntersectMode::First),
            );
            caps.merge(peer.intersect_with_mode(&BLEND_CAPS, gst::CapsIntersectMode::First));
        }
        filtered(caps, filter)
    }

    fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Caps(q) = query.view_mut() {
            let caps = if *pad == self.sink_pad {
                self.sink_caps(q.filter())
            } else {
                self.src_caps(q.filter())
            };
            gst::log!(CAT, obj = pad, "caps {caps:?}");
            q.set_result(&caps);
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    /// Agrees with downstream whether the overlay is attached or blended, and sends it the caps.
    ///
    /// As the overlays of GStreamer do it: metas go to who lists them in its answer to the allocation
    /// query, and only where blending is impossible to who accepts them in caps alone.
    fn negotiate(&self, caps: &gst::Caps) -> Result<(), gst::FlowError> {
        let upstream_has_meta = caps
            .features(0)
            .is_some_and(|features| features.contains(META_FEATURE));
        let can_blend = caps.is_subset(&BLEND_CAPS);
        let meta_caps = with_meta(caps);
        let takes_meta = upstream_has_meta
            || !self
                .src_pad
                .peer_query_caps(Some(&meta_caps))
                .intersect(&meta_caps)
                .is_empty();
        let mut attach = upstream_has_meta || (takes_meta && !can_blend);
        let mut sent = false;
        if takes_meta {
            // Filters answer the allocation query only when they know the caps.
            sent = self.src_pad.push_event(gst::event::Caps::new(&meta_caps));
            let mut query = gst::query::Allocation::new(Some(&meta_caps), false);
            if sent && self.src_pad.peer_query(&mut query) {
                attach |= query
                    .find_allocation_meta::<VideoOverlayCompositionMeta>()
                    .is_some();
            }
        }
        if !attach {
            sent = can_blend && self.src_pad.push_event(gst::event::Caps::new(caps));
        }
        if !sent {
            self.src_pad.mark_reconfigure();
            if self.src_pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
                return Err(gst::FlowError::Flushing);
            }
            gst::warning!(CAT, imp = self, "downstream takes no {caps}");
            return Err(gst::FlowError::NotNegotiated);
        }
        gst::info!(
            CAT,
            imp = self,
            "the overlay is {} {caps}",
            if attach {
                "attached to"
            } else {
                "blended into"
            },
        );
        lock(&self.state).attach = attach;
        Ok(())
    }

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

    fn sink_chain(&self, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
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
        state.artist.draw(style, Frame::from(info), &state.timeline)
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

/// The structures with the feature of overlay compositions or with any, and the others.
fn split(caps: &gst::Caps) -> (gst::Caps, gst::Caps) {
    let (metas, plain): (Vec<_>, Vec<_>) = caps
        .iter_with_features()
        .map(|(s, features)| (s.to_owned(), features.to_owned()))
        .partition(|(_, features)| features.is_any() || features.contains(META_FEATURE));
    (metas.into_iter().collect(), plain.into_iter().collect())
}

fn filtered(caps: gst::Caps, filter: Option<&gst::CapsRef>) -> gst::Caps {
    match filter {
        Some(filter) => filter
            .to_owned()
            .intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
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
    segment: &gst::FormattedSegment<gst::ClockTime>,
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
        let pad = |name: &str| {
            class
                .pad_template(name)
                .map(|template| gst::Pad::builder_from_template(&template))
        };
        let query = |pad: &gst::Pad, parent: Option<&gst::Object>, query: &mut gst::QueryRef| {
            RhythmOverlay::catch_panic_pad_function(
                parent,
                || false,
                |overlay| overlay.query(pad, query),
            )
        };
        let sink_pad = pad("sink")
            .unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Sink).name("sink"))
            .chain_function(|_pad, parent, buffer| {
                RhythmOverlay::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |overlay| overlay.sink_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                RhythmOverlay::catch_panic_pad_function(
                    parent,
                    || false,
                    |overlay| overlay.sink_event(pad, event),
                )
            })
            .query_function(query)
            .flags(gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let src_pad = pad("src")
            .unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Src).name("src"))
            .query_function(query)
            .build();
        RhythmOverlay {
            sink_pad,
            src_pad,
            settings: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for RhythmOverlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let color = |name, nick, blurb, default| {
                glib::ParamSpecUInt::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .default_value(default)
                    .mutable_playing()
                    .build()
            };
            let share = |name, nick, blurb| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(0.0)
                    .maximum(0.45)
                    .default_value(DEFAULT_MARGIN)
                    .mutable_playing()
                    .build()
            };
            vec![
                glib::ParamSpecFlags::builder::<Show>("show")
                    .nick("Show")
                    .blurb("Parts of the overlay that are shown")
                    .default_value(DEFAULT_SHOW)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("show-idle")
                    .nick("Show idle")
                    .blurb("Show the overlay before anything has been heard")
                    .default_value(true)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<FlashStyle>("flash-style")
                    .nick("Flash style")
                    .blurb("Form of the beat flash")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("max-flashes")
                    .nick("Maximum flashes")
                    .blurb(
                        "Most flashes that begin in a second, where downbeats win over other beats \
                         (0 = no limit; more than 3 endanger people with photosensitive epilepsy)",
                    )
                    .maximum(60)
                    .default_value(DEFAULT_MAX_FLASHES)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<Position>("position")
                    .nick("Position")
                    .blurb("Place of the plate in the safe area")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("scale")
                    .nick("Scale")
                    .blurb(
                        "Size of the plate, as a multiple of that which goes with the size of the \
                         picture, as far as the safe area holds it",
                    )
                    .minimum(0.25)
                    .maximum(4.0)
                    .default_value(DEFAULT_SCALE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("opacity")
                    .nick("Opacity")
                    .blurb("Opacity of the whole overlay, from 0 to 1")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(DEFAULT_OPACITY)
                    .mutable_playing()
                    .build(),
                color(
                    "color",
                    "Color",
                    "Color of text, beats and ticks (ARGB)",
                    DEFAULT_COLOR,
                ),
                color(
                    "accent-color",
                    "Accent color",
                    "Color of downbeats (ARGB)",
                    DEFAULT_ACCENT_COLOR,
                ),
                color(
                    "plate-color",
                    "Plate color",
                    "Color of the plate (ARGB)",
                    DEFAULT_PLATE_COLOR,
                ),
                share(
                    "margin-x",
                    "Horizontal margin",
                    "Margin of the safe area left and right, as a share of the picture's width",
                ),
                share(
                    "margin-y",
                    "Vertical margin",
                    "Margin of the safe area above and below, as a share of the picture's height",
                ),
                glib::ParamSpecUInt64::builder("onset-window")
                    .nick("Onset window")
                    .blurb("Time that the onset strip shows, in nanoseconds")
                    .minimum(gst::ClockTime::from_mseconds(500).nseconds())
                    .maximum(gst::ClockTime::from_seconds(60).nseconds())
                    .default_value(DEFAULT_ONSET_WINDOW.nseconds())
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        /// GObject has checked the type of the value.
        fn set<'a, T: glib::value::FromValue<'a>>(field: &mut T, value: &'a glib::Value) {
            if let Ok(value) = value.get() {
                *field = value;
            }
        }
        gst::info!(CAT, imp = self, "{} = {value:?}", pspec.name());
        let mut settings = lock(&self.settings);
        let style = &mut settings.style;
        match pspec.name() {
            "show" => set(&mut style.show, value),
            "show-idle" => set(&mut style.show_idle, value),
            "flash-style" => set(&mut style.flash_style, value),
            "max-flashes" => set(&mut settings.max_flashes, value),
            "position" => set(&mut style.position, value),
            "scale" => set(&mut style.scale, value),
            "opacity" => set(&mut style.opacity, value),
            "color" => set(&mut style.color, value),
            "accent-color" => set(&mut style.accent_color, value),
            "plate-color" => set(&mut style.plate_color, value),
            "margin-x" => set(&mut style.margin_x, value),
            "margin-y" => set(&mut style.margin_y, value),
            "onset-window" => {
                let mut window = DEFAULT_ONSET_WINDOW.nseconds();
                set(&mut window, value);
                style.onset_window = gst::ClockTime::from_nseconds(window);
            }
            name => gst::error!(CAT, imp = self, "no property '{name}'"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let Settings { style, max_flashes } = *lock(&self.settings);
        match pspec.name() {
            "show" => style.show.to_value(),
            "show-idle" => style.show_idle.to_value(),
            "flash-style" => style.flash_style.to_value(),
            "max-flashes" => max_flashes.to_value(),
            "position" => style.position.to_value(),
            "scale" => style.scale.to_value(),
            "opacity" => style.opacity.to_value(),
            "color" => style.color.to_value(),
            "accent-color" => style.accent_color.to_value(),
            "plate-color" => style.plate_color.to_value(),
            "margin-x" => style.margin_x.to_value(),
            "margin-y" => style.margin_y.to_value(),
            "onset-window" => style.onset_window.nseconds().to_value(),
            name => {
                gst::error!(CAT, imp = self, "no property '{name}'");
                pspec.default_value().clone()
            }
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [&self.sink_pad, &self.src_pad] {
            if let Err(err) = obj.add_pad(pad) {
                gst::error!(CAT, imp = self, "could not add a pad: {err}");
            }
        }
    }
}

impl GstObjectImpl for RhythmOverlay {}

impl ElementImpl for RhythmOverlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Rhythm overlay",
                "Filter/Editor/Video",
                "Draws the beat, the bar, the tempo and the onsets of music onto video",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .into_iter()
            .filter_map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &TEMPLATE_CAPS)
                    .ok()
            })
            .collect()
        });
        &TEMPLATES
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
