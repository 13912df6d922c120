// SPDX-License-Identifier: MPL-2.0
//! The pads, and what they call.

use gst::subclass::prelude::*;

use super::DtwRetarget;
use crate::combine::Combine;
use crate::pads::{Guarded, build};

/// The sinks of video and audio, and the sources.
pub(super) fn pads(class: &<DtwRetarget as ObjectSubclass>::Class) -> [gst::Pad; 4] {
    let source = |name| {
        build(class, name)
            .event(DtwRetarget::src_event)
            .query(DtwRetarget::src_query)
            .links(DtwRetarget::linked)
    };
    let proxy = gst::PadFlags::PROXY_CAPS;
    [
        build(class, "video_sink")
            .chain(DtwRetarget::video_chain)
            .event(DtwRetarget::video_event)
            .query(DtwRetarget::video_query)
            .activate(DtwRetarget::activate_main)
            .links(DtwRetarget::linked)
            .build(),
        build(class, "audio_sink")
            .chain(DtwRetarget::audio_chain)
            .event(DtwRetarget::audio_event)
            .query(DtwRetarget::audio_query)
            .activate(DtwRetarget::activate_audio)
            .links(DtwRetarget::linked)
            .flags(proxy)
            .build(),
        source("video_src")
            .activate(DtwRetarget::activate_src)
            .build(),
        source("audio_src").flags(proxy).build(),
    ]
}

impl DtwRetarget {
    /// The pad that carries the same stream.
    fn linked(&self, pad: &gst::Pad) -> Vec<gst::Pad> {
        let pairs = [
            [&self.video_sink, &self.video_src],
            [&self.audio_sink, &self.audio_src],
        ];
        let mut other = pairs
            .into_iter()
            .filter(|pair| pair.contains(&pad))
            .flatten();
        other
            .find(|other| *other != pad)
            .cloned()
            .into_iter()
            .collect()
    }

    fn activate_audio(&self, _pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        let mut state = self.state();
        state.audio.flushing = !active;
        self.kick(&mut state);
        Ok(())
    }
}
