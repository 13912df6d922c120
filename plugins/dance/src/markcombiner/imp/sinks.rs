// SPDX-License-Identifier: MPL-2.0
//! What comes in at the sink pads.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::MarkCombiner;
use crate::combine::Combine;
use crate::lock::lock;
use crate::markcombiner::engine::{Aside, CAT, Item, State, end_of_gap};
use crate::markcombiner::pending::Pending;
use crate::markcombiner::span::running_times;
use crate::marks::{self, SourceMarks};
use crate::sticky;

impl MarkCombiner {
    // The branch on `media`.

    pub(super) fn media_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let latency = lock(&self.settings).latency;
        let mut state = self.state();
        loop {
            if state.media.flushing {
                return Err(gst::FlowError::Flushing);
            }
            state.pace.flow?;
            let known = state.pace.latency;
            let (limit, live) =
                known.map_or((latency, false), |latency| (latency.min, latency.live));
            if state.media.has_room(limit, live) {
                break;
            }
            state = self.wait(state);
        }
        let span = state.media.spans.of(&buffer);
        gst::log!(CAT, imp = self, "media {buffer:?} covers {span:?}");
        state.media.push(Item::Buffer(buffer, span));
        self.kick(&mut state);
        Ok(gst::FlowSuccess::Ok)
    }

    pub(super) fn media_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        match event.view() {
            gst::EventView::FlushStart(_) => self.begin_flush(event),
            gst::EventView::FlushStop(_) => {
                let result = self.src.push_event(event);
                let flushed = {
                    let mut state = self.state();
                    state.media.flushing = false;
                    state.pace.waiting = None;
                    state.marks.pending.clear_carried();
                    state.media.flush()
                };
                let events = flushed.into_iter().filter_map(|item| match item {
                    Item::Event(event) => Some(event),
                    Item::Buffer(..) => None,
                });
                sticky::keep(&self.src, events);
                self.start_task();
                result
            }
            _ if event.is_serialized() => self.queue_event(event),
            _ => self.src.push_event(event),
        }
    }

    fn queue_event(&self, event: gst::Event) -> bool {
        let mut state = self.state();
        if state.media.flushing {
            return false;
        }
        match event.view() {
            gst::EventView::Segment(segment) => {
                state.media.spans.set_segment(segment.segment());
            }
            gst::EventView::Caps(caps) => state.media.spans.set_caps(caps.caps()),
            _ => (),
        }
        self.enqueue(state, event)
    }

    pub(super) fn media_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if query.is_serialized() {
            let mut state = self.state();
            while !state.media.queue.is_empty() || state.media.busy {
                if state.media.flushing || state.pace.flow.is_err() {
                    return false;
                }
                // Media may wait for marks that come from the same thread, which must not wait for it in turn.
                if state.media.buffers > 0 {
                    match query.type_() {
                        gst::QueryType::Allocation => return false,
                        gst::QueryType::Drain => return true,
                        _ => (),
                    }
                }
                state = self.wait(state);
            }
        }
        let is_caps =
            query.type_() == gst::QueryType::Caps || query.type_() == gst::QueryType::AcceptCaps;
        if is_caps && !self.src.is_linked() {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        }
        self.src.peer_query(query)
    }

    // The branch on `marks`.

    pub(super) fn marks_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let found = marks::read(&buffer);
        let (pts, duration) = (buffer.pts(), buffer.duration());
        gst::log!(
            CAT,
            imp = self,
            "{} sources in marks {buffer:?}",
            found.len()
        );
        // Its memory may be wanted upstream.
        drop(buffer);
        self.take_marks(found)?;
        let mut state = self.state();
        if state.marks.flushing {
            return Err(gst::FlowError::Flushing);
        }
        let before = state.marks.position;
        match (&state.marks.segment, pts) {
            (Some(segment), Some(pts)) => {
                let end = pts.saturating_add(duration.unwrap_or_default());
                if let Some((_, end)) = running_times(segment, pts, end) {
                    state.marks.came_to(end);
                }
            }
            _ => state.marks.untimed = true,
        }
        if state.marks.position != before || state.marks.untimed {
            self.kick(&mut state);
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn take_marks(&self, found: Vec<SourceMarks>) -> Result<(), gst::FlowError> {
        if found.is_empty() {
            return Ok(());
        }
        let pad_offset = self.marks.offset();
        let timeout = lock(&self.settings).starve_timeout.into();
        let media_linked = self.media.is_linked();
        let mut state = self.state();
        for SourceMarks { source, marks } in found {
            for mark in marks {
                state = self.make_room(state, timeout, media_linked);
                let State {
                    marks,
                    stats,
                    media,
                    ..
                } = &mut *state;
                if marks.flushing {
                    return Err(gst::FlowError::Flushing);
                }
                stats.received += 1;
                if !marks.seen.is_new(&source, mark.id) {
                    stats.duplicates += 1;
                    continue;
                }
                let Some(time) = marks.running_time(&mark, pad_offset) else {
                    gst::debug!(CAT, imp = self, "outside the segment: {mark:?}");
                    stats.outside_segment += 1;
                    continue;
                };
                if media.eos {
                    stats.unattached += 1;
                    continue;
                }
                gst::trace!(CAT, imp = self, "{source} at {time}: {mark:?}");
                marks.pending.push(&source, time, mark);
            }
        }
        Ok(())
    }

    /// Holds the marks branch up while too many marks wait for the media, if that is of use.
    fn make_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        timeout: Duration,
        media_linked: bool,
    ) -> MutexGuard<'a, State> {
        let mut since = Instant::now();
        let mut end = state.media.end;
        while state.marks.pending.is_full() && !state.marks.flushing {
            let live = state.pace.latency.is_some_and(|latency| latency.live);
            let left = timeout.saturating_sub(since.elapsed());
            let hopeless = live || !media_linked || state.media.eos;
            if hopeless || left.is_zero() {
                state.marks.pending.drop_oldest();
                state.stats.dropped += 1;
                if state.stats.dropped == 1 {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "{} marks wait for media: dropping the oldest",
                        Pending::LIMIT
                    );
                }
                continue;
            }
            state = self.wait_for(state, left);
            // Media that moves, or may not move, will make room.
            if state.media.end != end || !state.pace.playing {
                end = state.media.end;
                since = Instant::now();
            }
        }
        state
    }

    pub(super) fn marks_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = pad, "{event:?}");
        if let Some(found) = marks::from_event(&event) {
            return self.take_marks(vec![found]).is_ok();
        }
        let mut state = self.state();
        let marks = &mut state.marks;
        match event.view() {
            gst::EventView::FlushStart(_) => marks.flushing = true,
            gst::EventView::FlushStop(_) => {
                marks.flush();
                marks.flushing = false;
                marks.flushed_by = Some(event.seqnum());
            }
            _ if event.is_serialized() && marks.flushing => return false,
            gst::EventView::StreamStart(_) => {
                marks.eos = false;
                marks.ids_restart();
            }
            gst::EventView::Segment(event) => {
                let segment = event.segment().downcast_ref::<gst::ClockTime>().cloned();
                let first = segment.as_ref().and_then(|segment| {
                    let backwards = segment.rate() < 0.0;
                    let first = if backwards {
                        segment.stop()
                    } else {
                        segment.start()
                    };
                    segment.to_running_time(first?)
                });
                marks.segment = segment;
                if let Some(first) = first {
                    marks.came_to(first);
                }
            }
            gst::EventView::Gap(gap) => {
                if let Some(end) = end_of_gap(marks.segment.as_ref(), gap) {
                    marks.came_to(end);
                }
            }
            gst::EventView::Eos(_) => marks.eos = true,
            gst::EventView::Tag(event) => {
                if let Some(bpm) = event.tag().get::<gst::tags::BeatsPerMinute>() {
                    marks.push_aside(Aside::Bpm(bpm.get()));
                }
            }
            gst::EventView::CustomDownstreamSticky(view)
                if view
                    .structure()
                    .is_some_and(|s| s.name() == marks::TEMPO_EVENT_NAME) =>
            {
                marks.push_aside(Aside::Tempo(event.clone()));
            }
            _ => (),
        }
        self.kick(&mut state);
        true
    }

    pub(super) fn marks_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Drain(_) => true,
            // The buffers end here, in whatever memory upstream likes.
            gst::QueryViewMut::Allocation(_) => false,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }
}
