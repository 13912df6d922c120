// SPDX-License-Identifier: MPL-2.0
//! The request pad `flow`: the flow as a picture.

use dance_rhythm::motion::{Flow, colour::Wheel};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::VideoInfo;

use super::imp::{CAT, HoofFlow};
use crate::hoof::Hoof;
use crate::lock::lock;
use crate::pads::Guarded;

/// The format of the pad.
pub(super) const FORMAT: gst_video::VideoFormat = gst_video::VideoFormat::Rgbx;

impl HoofFlow {
    /// Adds the pad, if there is none.
    pub(super) fn add_flow_pad(&self, template: &gst::PadTemplate) -> Option<gst::Pad> {
        let pad = gst::Pad::builder_from_template(template)
            .name("flow")
            .event(Self::src_event)
            .links(Self::linked)
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
            self.forget_flow_pad(&pad);
            return None;
        }
        self.announce_flow();
        Some(pad)
    }

    pub(super) fn forget_flow_pad(&self, pad: &gst::Pad) {
        let mut state = lock(&self.state);
        state.combiner.remove_pad(pad);
        state.flow_pad = state.flow_pad.take().filter(|known| known != pad);
    }

    /// Gives the pad what a stream begins with; it is sent before the next buffer.
    pub(super) fn announce_flow(&self) {
        let (pad, info) = {
            let state = lock(&self.state);
            (state.flow_pad.clone(), state.info.clone())
        };
        let (Some(pad), Some(info), Some(loaded)) = (pad, info, self.model.loaded()) else {
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

/// A flow in colours; white where there is none.
pub(super) fn coloured(hoof: &Hoof, wheel: &Wheel) -> Option<gst::Buffer> {
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
