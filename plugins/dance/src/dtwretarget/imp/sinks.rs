// SPDX-License-Identifier: MPL-2.0
//! What comes in at the sink pads.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{CAT, DtwRetarget};
use crate::combine::Combine;
use crate::dtwretarget::End;
use crate::dtwretarget::branches::{Axis, Frame, Item, Segment, in_plain_memory, rate_of, time_of};
use crate::dtwretarget::course::Settings;
use crate::dtwretarget::engine::State;
use crate::lock::lock;
use crate::{hoof, marks, sticky};

impl DtwRetarget {
    // The video.

    pub(super) fn video_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        let pad_offset = self.video_sink.offset();
        let found = marks::read(&buffer);
        let info = (settings.end == End::Loop)
            .then(|| self.plain_info())
            .flatten();
        let has_motion = !hoof::read(&buffer).is_empty();
        let mut state = self.state();
        loop {
            if state.video.side.flushing {
                return Err(gst::FlowError::Flushing);
            }
            state.pace.flow?;
            if state.has_room(&settings) {
                break;
            }
            state = self.wait(state);
        }
        let axis = state.axis;
        let new = state.video.side.take(found, None, axis, pad_offset);
        state.note_marks(0, new);
        state.has_motion |= has_motion;
        let timed = state.video.side.segment.is_some();
        let mut warn = false;
        let frame = match state.video.frame(buffer.clone(), axis) {
            Some(frame) => frame,
            // Without a place in time it comes after the one before.
            None if !timed || buffer.pts().is_none() => {
                let at = state.video.side.arrived.unwrap_or(0.0);
                warn = timed && !state.out.direct && !std::mem::replace(&mut state.untimed, true);
                Frame {
                    buffer,
                    at,
                    end: at + state.video.usual.seconds_f64(),
                }
            }
            None => {
                gst::log!(CAT, imp = self, "outside the segment: {buffer:?}");
                return Ok(gst::FlowSuccess::Ok);
            }
        };
        if settings.end == End::Loop && state.axis == Axis::Stream {
            let kept = state.keep(&frame, info);
            if let Err(text) = kept {
                state.pace.flow = Err(gst::FlowError::Error);
                self.kick(&mut state);
                drop(state);
                gst::element_imp_error!(self, gst::ResourceError::Write, ("{text}"));
                return Err(gst::FlowError::Error);
            }
        }
        state.video.side.came_to(frame.end);
        state.video.queue.push_back(Item::Frame(frame));
        self.kick(&mut state);
        drop(state);
        if warn {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("Video without timestamps cannot be retimed: it is taken to come at its frame rate")
            );
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The format of the video where it lies in plain memory.
    fn plain_info(&self) -> Option<gst_video::VideoInfo> {
        let caps = self.video_sink.current_caps()?;
        in_plain_memory(&caps)
            .then(|| gst_video::VideoInfo::from_caps(&caps).ok())
            .flatten()
    }

    pub(super) fn video_event(&self, _pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.video_sink, "{event:?}");
        match event.view() {
            gst::EventView::FlushStart(_) => self.begin_flush(event),
            gst::EventView::FlushStop(_) => {
                let seqnum = event.seqnum();
                let result = self.video_src.push_event(event);
                let events: Vec<_> = {
                    let mut state = self.state();
                    state.video.side.flushing = false;
                    state.video.side.flushed_by = Some(seqnum);
                    if state.audio.flushed_by == Some(seqnum) {
                        // What was shown of the music since its own flush went with this one.
                        state.restart();
                    } else {
                        state.go_on_later();
                    }
                    state.flushed(0);
                    let flushed = state.video.flush().into_iter();
                    let events = flushed.filter_map(|item| match item {
                        Item::Event(event) => Some(state.caps(event)),
                        Item::Frame(..) => None,
                    });
                    events.collect()
                };
                sticky::keep(&self.video_src, events);
                self.start_task();
                result
            }
            _ if event.is_serialized() => self.queue_event(event),
            _ => self.video_src.push_event(event),
        }
    }

    fn queue_event(&self, event: gst::Event) -> bool {
        let pad_offset = self.video_sink.offset();
        let mut state = self.state();
        if state.video.side.flushing {
            return false;
        }
        let axis = state.axis;
        if let Some(found) = marks::from_event(&event) {
            let new = state.video.side.take(vec![found], None, axis, pad_offset);
            state.note_marks(0, new);
            self.kick(&mut state);
            return true;
        }
        match event.view() {
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                state.video.side.begin_segment(segment.cloned());
            }
            gst::EventView::Caps(caps) => {
                let rate = rate_of(caps.caps());
                state.video.usual = time_of(1, rate).unwrap_or_default();
            }
            gst::EventView::StreamStart(_) => state.video.side.new_stream(),
            gst::EventView::Gap(gap) => {
                let (pts, duration) = gap.get();
                let end = pts.saturating_add(duration.unwrap_or_default());
                let segment = state.video.side.segment.as_ref();
                if let Some(end) = segment.and_then(|segment| axis.of(segment, end)) {
                    state.video.side.came_to(end);
                }
                if !state.may_pass() {
                    self.kick(&mut state);
                    return true;
                }
            }
            gst::EventView::Eos(_) => state.video.side.eos = true,
            _ => (),
        }
        self.enqueue(state, event)
    }

    pub(super) fn video_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                // A rate that changes on the way in does not on the way out.
                let mut caps = self.video_src.peer_query_caps(None);
                let variable: gst::Caps = caps
                    .iter_with_features()
                    .map(|(s, features)| {
                        let mut s = s.to_owned();
                        s.set("framerate", gst::Fraction::new(0, 1));
                        s.remove_field("max-framerate");
                        (s, features.to_owned())
                    })
                    .collect();
                caps.merge(variable);
                let template = self.video_sink.pad_template_caps();
                let mut caps = template.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
                if let Some(filter) = query.filter() {
                    caps = filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
                }
                query.set_result(&caps);
                true
            }
            // Frames wait here: a pool of downstream's would run dry.
            gst::QueryViewMut::Allocation(_) => false,
            gst::QueryViewMut::Drain(_) => true,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    // The music.

    pub(super) fn audio_chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        let kinds = settings.kinds;
        let found = marks::read(&buffer);
        let pad_offset = self.audio_sink.offset();
        let part = {
            let mut state = self.state();
            if state.audio.flushing {
                return Err(gst::FlowError::Flushing);
            }
            let axis = state.axis;
            let new = state.audio.take(found, Some(kinds), axis, pad_offset);
            state.note_marks(1, new);
            state.music_came(buffer.pts(), buffer.duration());
            self.kick(&mut state);
            if settings.end == End::Shortest && self.video_sink.is_linked() {
                state = self.wait_for_the_end(state, &buffer, &settings);
                if state.audio.flushing {
                    return Err(gst::FlowError::Flushing);
                }
            }
            let part = state.part_of_music(&buffer);
            if part.is_last {
                state.audio.eos = true;
            }
            self.kick(&mut state);
            part
        };
        let linked = self.audio_src.is_linked();
        let mut result = Ok(gst::FlowSuccess::Ok);
        if let Some(segment) = part.clip
            && let Some(buffer) = self.clipped(buffer, &segment)
            && linked
        {
            result = self.audio_src.push(buffer);
        }
        if part.is_last {
            self.end_music();
            return Err(gst::FlowError::Eos);
        }
        result
    }

    /// Waits until it is known whether the output ends before a buffer of music does, or the video is not far behind.
    fn wait_for_the_end<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        buffer: &gst::BufferRef,
        settings: &Settings,
    ) -> MutexGuard<'a, State> {
        let timeout: Duration = settings.starve_timeout.into();
        let until = Instant::now() + timeout;
        while !state.audio.flushing && state.may_end_before(buffer) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Once is enough.
                state.out.unbound = true;
                break;
            }
            state = self.wait_for(state, left);
        }
        state
    }

    /// What of a buffer of music lies in a segment: all of it is the buffer itself.
    fn clipped(&self, buffer: gst::Buffer, segment: &Segment) -> Option<gst::Buffer> {
        let (Some(pts), Some(duration)) = (buffer.pts(), buffer.duration()) else {
            return Some(buffer);
        };
        let inside = segment.start().is_none_or(|start| pts >= start)
            && segment.stop().is_none_or(|stop| pts + duration <= stop);
        if inside {
            return Some(buffer);
        }
        let caps = self.audio_sink.current_caps()?;
        let info = gst_audio::AudioInfo::from_caps(&caps).ok()?;
        gst_audio::audio_buffer_clip(buffer, segment.upcast_ref(), info.rate(), info.bpf())
    }

    /// Ends the music once.
    fn end_music(&self) {
        let is_first = !std::mem::replace(&mut self.state().music_ended, true);
        if is_first {
            self.audio_src.push_event(gst::event::Eos::new());
        }
    }

    pub(super) fn audio_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            // Both would wait for a queue behind `audio_src` that is full for as long as the video waits for this music.
            gst::QueryViewMut::Allocation(_) => false,
            gst::QueryViewMut::Drain(_) => true,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    pub(super) fn audio_event(&self, _pad: &gst::Pad, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.audio_sink, "{event:?}");
        let event = self.starting_at_beat(event);
        let kinds = lock(&self.settings).kinds;
        let pad_offset = self.audio_sink.offset();
        let mut ended = false;
        {
            let mut state = self.state();
            let axis = state.axis;
            if let Some(found) = marks::from_event(&event) {
                let new = state.audio.take(vec![found], Some(kinds), axis, pad_offset);
                state.note_marks(1, new);
            }
            match event.view() {
                gst::EventView::FlushStart(_) => state.audio.flushing = true,
                gst::EventView::FlushStop(_) => {
                    state.audio.flush();
                    state.audio.flushing = false;
                    state.audio.flushed_by = Some(event.seqnum());
                    state.has_music = false;
                    state.music_ended = false;
                    state.songs.clear();
                    state.flushed(1);
                    state.restart();
                }
                gst::EventView::StreamStart(_) => {
                    state.audio.new_stream();
                    state.music_ended = false;
                }
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                    state.music_begins(segment.cloned(), event.seqnum());
                }
                gst::EventView::Gap(gap) => {
                    let (pts, duration) = gap.get();
                    state.music_came(Some(pts), duration);
                }
                gst::EventView::Eos(_) => {
                    state.audio.eos = true;
                    ended = std::mem::replace(&mut state.music_ended, true);
                }
                _ => (),
            }
            self.kick(&mut state);
        }
        if ended {
            return true;
        }
        // A pad that is not linked yet keeps what a stream begins with.
        let is_linked = self.audio_src.is_linked();
        self.audio_src.push_event(event) || !is_linked
    }

    /// A segment of the music, which begins where the output does.
    fn starting_at_beat(&self, event: gst::Event) -> gst::Event {
        let begins = self.state().begins;
        let gst::EventView::Segment(view) = event.view() else {
            return event;
        };
        let Some(segment) = view.segment().downcast_ref::<gst::ClockTime>() else {
            return event;
        };
        let time = gst::ClockTime::from_nseconds((begins * 1e9).round() as u64);
        let start = segment.position_from_stream_time(time);
        let Some(start) = start.filter(|start| {
            segment.rate() > 0.0 && segment.start().is_some_and(|before| *start > before)
        }) else {
            return event;
        };
        let mut segment = segment.clone();
        segment.set_start(start);
        segment.set_time(time);
        segment.set_position(start);
        gst::event::Segment::builder(&segment)
            .seqnum(event.seqnum())
            .running_time_offset(event.running_time_offset())
            .build()
    }
}
