// SPDX-License-Identifier: MPL-2.0
//! The meta `GstHoofMeta`: what the motion of a picture is, from `hoofflow` to whoever follows it.
//!
//! A consumer in any language reads it with `gst_buffer_get_custom_meta (buffer, "GstHoofMeta")`. Its structure has the
//! fields of [`Hoof`]. It speaks of the frame of its own `timestamp`, which is that of the buffer it rides on where the
//! analysis kept step with the video, and of an earlier one in a live pipeline; elements that copy buffers repeat it,
//! so that a consumer drops repeats by `timestamp`.

use gst::prelude::*;

use crate::meta;

/// Version of the layout, counted up when a field changes its meaning.
pub const VERSION: u32 = 1;
/// Name under which the custom meta is registered, and of its structure.
pub const META_NAME: &str = "GstHoofMeta";

/// Name of the element message and of the event.
pub const NAME: &str = "hoof";

/// What a frame could be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The frame before it: everything is known.
    Flow,
    /// Nothing: it is the first of a stream, or the first after a gap.
    First,
    /// Another scene: there is no motion from one to the other.
    Cut,
    /// The same picture: nothing moves, as in a lower frame rate within a higher one.
    Repeated,
}

impl Status {
    const ALL: [Self; 4] = [Self::Flow, Self::First, Self::Cut, Self::Repeated];

    /// Its name in the meta.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::First => "first",
            Self::Cut => "cut",
            Self::Repeated => "repeated",
        }
    }
}

/// The motion of one frame, as it is in the meta. Lengths are pixels of the picture that was analysed, from the frame
/// before to this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Hoof {
    /// `status` (string): whether there is motion to speak of. Unless it is [`Status::Flow`], all numbers that follow
    /// from flow are 0 and there is no `flow`.
    pub status: Status,
    /// `timestamp` (uint64, ns): of the frame (PTS).
    pub timestamp: gst::ClockTime,
    /// `interval` (uint64, ns): since the frame it was compared with; `GST_CLOCK_TIME_NONE` for none.
    pub interval: Option<gst::ClockTime>,
    /// `bins` (array of double): the histogram of oriented optical flow, adding up to 1, or all 0 where nothing moves.
    /// Bin k of B is centred on the angle 2πk/B, from the right (0) by down (π/2).
    pub bins: Vec<f64>,
    /// `magnitude` (double): the mean length of the flow.
    pub magnitude: f64,
    /// `camera` (array of two doubles): the motion of the camera, to the right and down.
    pub camera: [f64; 2],
    /// `foreground` (double): the mean length of what moves beside the camera.
    pub foreground: f64,
    /// `moving` (double): the share of the picture that does.
    pub moving: f64,
    /// `width`, `height` (uint): pixels of the picture that was analysed.
    pub size: [u32; 2],
    /// `flow-width`, `flow-height` (uint): vectors of the flow.
    pub flow_size: [u32; 2],
    /// `grid-columns`, `grid-rows` (uint): cells of the grid, 0 for none.
    pub grid: [u32; 2],
    /// `cells` (array of double): the histograms of the cells, row by row, all adding up to 1 together.
    pub cells: Vec<f64>,
    /// `feature` (array of double): the mean of the coarsest features of the flow's encoder, of this frame.
    pub feature: Vec<f64>,
    /// `flow` (`GstBuffer`, may be missing): float32 in the machine's byte order; first all components to the right, row
    /// by row, then all down. It leads from the earlier frame to this one.
    pub flow: Option<gst::Buffer>,
    /// `back` (`GstBuffer`, as a rule missing): the flow from this frame to the earlier one, in the same form. Where both
    /// disagree one of the frames shows what the other one hides.
    pub back: Option<gst::Buffer>,
}

impl Hoof {
    /// A frame of which no motion is known.
    #[must_use]
    pub fn without_flow(status: Status, timestamp: gst::ClockTime, bins: usize) -> Self {
        Self {
            status,
            timestamp,
            interval: None,
            bins: vec![0.0; bins],
            magnitude: 0.0,
            camera: [0.0; 2],
            foreground: 0.0,
            moving: 0.0,
            size: [0; 2],
            flow_size: [0; 2],
            grid: [0; 2],
            cells: Vec::new(),
            feature: Vec::new(),
            flow: None,
            back: None,
        }
    }

    fn write(&self, s: &mut gst::StructureRef) {
        let array = |values: &[f64]| gst::Array::new(values);
        s.set("version", VERSION);
        s.set("status", self.status.as_str());
        s.set("timestamp", self.timestamp);
        s.set("interval", self.interval);
        s.set("bins", array(&self.bins));
        s.set("magnitude", self.magnitude);
        s.set("camera", array(&self.camera));
        s.set("foreground", self.foreground);
        s.set("moving", self.moving);
        s.set("width", self.size[0]);
        s.set("height", self.size[1]);
        s.set("flow-width", self.flow_size[0]);
        s.set("flow-height", self.flow_size[1]);
        s.set("grid-columns", self.grid[0]);
        s.set("grid-rows", self.grid[1]);
        s.set("cells", array(&self.cells));
        s.set("feature", array(&self.feature));
        for (name, flow) in [("flow", &self.flow), ("back", &self.back)] {
            if let Some(flow) = flow {
                s.set(name, flow);
            }
        }
    }

    /// The motion in a structure, which may come from anybody.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type or not finite.
    pub fn from_structure(s: &gst::StructureRef) -> Result<Self, FieldError> {
        let number = |name| {
            let value = s.get::<f64>(name).ok().filter(|v| v.is_finite());
            value.ok_or(FieldError(name))
        };
        let count = |name| s.get::<u32>(name).map_err(|_| FieldError(name));
        let numbers = |name| {
            let array = s.get::<gst::ArrayRef>(name).map_err(|_| FieldError(name))?;
            let values = array.iter().map(|value| {
                let value = value.get::<f64>().ok().filter(|v| v.is_finite());
                value.ok_or(FieldError(name))
            });
            values.collect::<Result<Vec<f64>, _>>()
        };
        if s.get::<u32>("version") != Ok(VERSION) {
            return Err(FieldError("version"));
        }
        let status = s.get::<&str>("status").map_err(|_| FieldError("status"))?;
        let status = Status::ALL.into_iter().find(|each| each.as_str() == status);
        let time = |name| s.get::<Option<gst::ClockTime>>(name).ok().flatten();
        Ok(Self {
            status: status.ok_or(FieldError("status"))?,
            timestamp: time("timestamp").ok_or(FieldError("timestamp"))?,
            interval: time("interval"),
            bins: numbers("bins")?,
            magnitude: number("magnitude")?,
            camera: numbers("camera")?
                .try_into()
                .map_err(|_| FieldError("camera"))?,
            foreground: number("foreground")?,
            moving: number("moving")?,
            size: [count("width")?, count("height")?],
            flow_size: [count("flow-width")?, count("flow-height")?],
            grid: [count("grid-columns")?, count("grid-rows")?],
            cells: numbers("cells")?,
            feature: numbers("feature")?,
            flow: s.get::<gst::Buffer>("flow").ok(),
            back: s.get::<gst::Buffer>("back").ok(),
        })
    }
}

/// A field of a foreign meta that is missing, of the wrong type or not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldError(pub &'static str);

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{META_NAME} without a usable field '{}'", self.0)
    }
}

impl std::error::Error for FieldError {}

/// The element message `hoof`: the motion of a frame but for the flow, the grid and the features.
pub fn message(element: &gst::Element, hoof: &Hoof) -> gst::Message {
    let mut s = gst::Structure::new_empty(NAME);
    Hoof {
        grid: [0; 2],
        cells: Vec::new(),
        feature: Vec::new(),
        flow: None,
        back: None,
        ..hoof.clone()
    }
    .write(&mut s);
    s.set("source", element.name());
    gst::message::Element::builder(s).src(element).build()
}

/// The serialized downstream event `hoof`: the motion of a frame that no buffer is left for.
pub fn event(hoof: &Hoof) -> gst::Event {
    let mut s = gst::Structure::new_empty(NAME);
    hoof.write(&mut s);
    gst::event::CustomDownstream::new(s)
}

/// The motion in an event `hoof`; none of any other event, and of one that cannot be read.
pub fn from_event(event: &gst::EventRef) -> Option<Hoof> {
    meta::from_event(event, NAME, Hoof::from_structure)
}

/// Registers the meta; safe to call again. As the marks' it is registered without tags, so that no converter drops it.
pub fn register() {
    static REGISTER: std::sync::Once = std::sync::Once::new();
    REGISTER.call_once(|| gst::meta::CustomMeta::register(META_NAME, &[]));
}

/// Attaches the motion of a frame to a buffer.
pub fn attach(buffer: &mut gst::BufferRef, hoof: &Hoof) {
    meta::attach(buffer, META_NAME, |s| hoof.write(s));
}

/// The motions on a buffer, in the order in which they were attached; what cannot be read is logged and passed over.
pub fn read(buffer: &gst::BufferRef) -> Vec<Hoof> {
    meta::read(buffer, META_NAME, Hoof::from_structure)
}
