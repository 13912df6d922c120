// SPDX-License-Identifier: MPL-2.0
//! What comes back at the source pad.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::MarkCombiner;
use crate::combine::Combine;
use crate::markcombiner::engine::CAT;

impl MarkCombiner {
    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        match event.view() {
            gst::EventView::Seek(seek) => {
                let (_, flags, ..) = seek.get();
                if flags.contains(gst::SeekFlags::FLUSH) {
                    self.state().marks.seeks(event.seqnum());
                }
                // Branches of one demuxer know a seek that comes twice by its number.
                let result = self.media.push_event(event.clone());
                if !self.marks.push_event(event) {
                    let mut state = self.state();
                    state.marks.seeking = false;
                    self.kick(&mut state);
                }
                result
            }
            gst::EventView::Latency(_) => {
                let result = self.media.push_event(event.clone());
                if self.marks.is_linked() {
                    self.marks.push_event(event);
                }
                result
            }
            _ => self.media.push_event(event),
        }
    }

    pub(super) fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let Some(answer) = self.answer(query) {
            return answer;
        }
        if self.media.is_linked() {
            return self.media.peer_query(query);
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }
}
