// SPDX-License-Identifier: MPL-2.0
//! Sticky events that a flush would lose.

use gst::prelude::*;

/// Keeps on a source pad what waited for its place in the stream when it was flushed: nobody would send these again, and
/// they go out before the next buffer. Segment and EOS are of the stream that was flushed.
pub(crate) fn keep(pad: &gst::Pad, events: impl IntoIterator<Item = gst::Event>) {
    for event in events {
        let is_old = matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos);
        if event.is_sticky() && !is_old {
            let _ = pad.store_sticky_event(&event);
        }
    }
}
