//! The pads, and what they call.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{CAT, DtwRetarget};
use crate::lock::lock;

/// The sinks of video and audio, and the sources.
pub(super) fn pads(klass: &<DtwRetarget as ObjectSubclass>::Class) -> [gst::Pad; 4] {
    // Static pads of templates that `pad_templates` names.
    #[allow(clippy::unwrap_used)]
    let builder = |name| gst::Pad::builder_from_template(&klass.pad_template(name).unwrap());
    let video_sink = builder("video_sink")
        .chain_function(|_, parent, buffer| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || Err(gst::FlowError::Error),
                |this| this.video_chain(buffer),
            )
        })
        .event_function(|_, parent, event| {
            DtwRetarget::catch_panic_pad_function(parent, || false, |this| this.video_event(event))
        })
        .query_function(|_, parent, query| {
            DtwRetarget::catch_panic_pad_function(parent, || false, |this| this.video_query(query))
        })
        .activatemode_function(|_, parent, _, active| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || Ok(()),
                |this| {
                    {
                        let mut state = lock(&this.state);
                        state.video.side.flushing = !active;
                        this.kick(&state);
                    }
                    if active {
                        this.start_task();
                    }
                    Ok(())
                },
            )
        })
        .iterate_internal_links_function(|_, parent| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || gst::Iterator::from_vec(vec![]),
                |this| gst::Iterator::from_vec(vec![this.video_src.clone()]),
            )
        })
        .build();
    let audio_sink = builder("audio_sink")
        .chain_function(|_, parent, buffer| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || Err(gst::FlowError::Error),
                |this| this.audio_chain(buffer),
            )
        })
        .event_function(|_, parent, event| {
            DtwRetarget::catch_panic_pad_function(parent, || false, |this| this.audio_event(event))
        })
        .activatemode_function(|_, parent, _, active| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || Ok(()),
                |this| {
                    let mut state = lock(&this.state);
                    state.audio.flushing = !active;
                    this.kick(&state);
                    Ok(())
                },
            )
        })
        .iterate_internal_links_function(|_, parent| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || gst::Iterator::from_vec(vec![]),
                |this| gst::Iterator::from_vec(vec![this.audio_src.clone()]),
            )
        })
        .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
        .build();
    let source = |name| {
        builder(name)
            .event_function(|pad, parent, event| {
                DtwRetarget::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.src_event(pad, event),
                )
            })
            .query_function(|pad, parent, query| {
                DtwRetarget::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.src_query(pad, query),
                )
            })
    };
    let video_src = source("video_src")
        .activatemode_function(|pad, parent, mode, active| {
            if mode != gst::PadMode::Push {
                return Err(gst::loggable_error!(CAT, "{mode:?} mode on {}", pad.name()));
            }
            DtwRetarget::catch_panic_pad_function(
                parent,
                || Ok(()),
                |this| this.activate_src(active),
            )
        })
        .iterate_internal_links_function(|_, parent| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || gst::Iterator::from_vec(vec![]),
                |this| gst::Iterator::from_vec(vec![this.video_sink.clone()]),
            )
        })
        .build();
    let audio_src = source("audio_src")
        .iterate_internal_links_function(|_, parent| {
            DtwRetarget::catch_panic_pad_function(
                parent,
                || gst::Iterator::from_vec(vec![]),
                |this| gst::Iterator::from_vec(vec![this.audio_sink.clone()]),
            )
        })
        .flags(gst::PadFlags::PROXY_CAPS)
        .build();
    [video_sink, audio_sink, video_src, audio_src]
}
