// SPDX-License-Identifier: MPL-2.0
//! What comes back at the source pads.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{CAT, DtwRetarget};
use crate::combine::Combine;

impl DtwRetarget {
    pub(super) fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        let video = *pad == self.video_src;
        match event.view() {
            gst::EventView::Seek(_) => self.seek(event),
            // What is late of the output is not what is late of the input.
            gst::EventView::Qos(_) if video => true,
            gst::EventView::Latency(_) if video => {
                let result = self.video_sink.push_event(event.clone());
                if self.audio_sink.is_linked() && !self.audio_src.is_linked() {
                    self.audio_sink.push_event(event);
                }
                result
            }
            _ if video => self.video_sink.push_event(event),
            _ => self.audio_sink.push_event(event),
        }
    }

    /// Sends a seek up both branches once, though it comes from the sinks of both: the music to the place it names, the
    /// video to the one that is shown there.
    pub(super) fn seek(&self, event: gst::Event) -> bool {
        let seqnum = event.seqnum();
        let (map, goes_round) = {
            let state = self.state();
            if let Some((last, result)) = state.last_seek
                && last == seqnum
            {
                return result;
            }
            // What goes round is read from its beginning, wherever it is to go on.
            (state.map.clone(), state.rounds.is_some())
        };
        let both = self.audio_sink.is_linked() && self.video_sink.is_linked();
        {
            let mut state = self.state();
            state.last_seek = Some((seqnum, true));
            if let gst::EventView::Seek(seek) = event.view()
                && both
            {
                state.seeks(seek.get().1.contains(gst::SeekFlags::FLUSH), seqnum);
            }
        }
        let mut result = true;
        if self.audio_sink.is_linked() {
            result &= self.audio_sink.push_event(event.clone());
        }
        let mut moved = event.clone();
        if let (Some(map), gst::EventView::Seek(seek)) = (map, event.view()) {
            let (rate, flags, start_type, start, ..) = seek.get();
            if let (gst::GenericFormattedValue::Time(Some(start)), gst::SeekType::Set) =
                (start, start_type)
                && rate > 0.0
            {
                let there = map.at(start.nseconds() as f64 * 1e-9).max(0.0);
                let there = if goes_round { 0.0 } else { there };
                let there = gst::ClockTime::from_nseconds((there * 1e9).round() as u64);
                gst::info!(CAT, imp = self, "seek: music to {start}, video to {there}");
                moved = gst::event::Seek::builder(
                    rate,
                    flags,
                    gst::SeekType::Set,
                    there,
                    gst::SeekType::Set,
                    gst::ClockTime::NONE,
                )
                .seqnum(seqnum)
                .build();
            }
        }
        if self.video_sink.is_linked() {
            result &= self.video_sink.push_event(moved);
        }
        let mut state = self.state();
        state.last_seek = Some((seqnum, result));
        if !result {
            // Whoever refused does not flush.
            state.to_flush = [false; 2];
            state.looped = None;
            self.kick(&mut state);
        }
        result
    }

    pub(super) fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let video = *pad == self.video_src;
        // Where in the piece it is, and how long it is, are matters of the music.
        let music = self.audio_sink.is_linked() && !self.state().out.direct;
        let is_own = video || query.type_() == gst::QueryType::Scheduling;
        if let Some(answer) = is_own.then(|| self.answer(query)).flatten() {
            return answer;
        }
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) if video => {
                let mut caps = self.video_sink.peer_query_caps(None);
                if let Some(caps) = caps.get_mut() {
                    for s in caps.iter_mut() {
                        let rate = s.get::<gst::Fraction>("framerate").ok();
                        // One that is no rate becomes one.
                        if rate.is_none_or(|rate| rate.numer() == 0) {
                            s.remove_field("framerate");
                        }
                    }
                }
                let template = self.video_src.pad_template_caps();
                let mut caps = template.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
                if let Some(filter) = query.filter() {
                    caps = filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
                }
                query.set_result(&caps);
                true
            }
            gst::QueryViewMut::Position(_)
            | gst::QueryViewMut::Duration(_)
            | gst::QueryViewMut::Seeking(_)
            | gst::QueryViewMut::Segment(_)
                if video && music =>
            {
                self.audio_sink.peer_query(query)
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }
}
