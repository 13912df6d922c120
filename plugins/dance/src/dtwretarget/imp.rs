use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::branches::{Axis, Frame, Item, rate_of, time_of};
use super::course::{Settings, planned};
use super::engine::{Latency, Next, Out, State};
use super::{Kinds, Method, marksfile};
use crate::lock::lock;
use crate::{marks, sticky};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dtwretarget",
        gst::DebugColorFlags::empty(),
        Some("Retimes video so that visual beats fall on musical ones"),
    )
});

const STATUS_NAME: &str = "retarget-status";
/// How soon an unanswered LATENCY query is asked again.
const LATENCY_RETRY: Duration = Duration::from_millis(50);

pub struct DtwRetarget {
    video_sink: gst::Pad,
    audio_sink: gst::Pad,
    video_src: gst::Pad,
    audio_src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether `video_src` is active. Held while its task is started or stopped, so that a flush from another thread
    /// cannot start it on a pad that is being shut down.
    task: Mutex<bool>,
}

impl DtwRetarget {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, timeout)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Has everybody look at the state again.
    fn kick(&self, state: &State) {
        self.changed.notify_all();
        if let Some(id) = &state.clock_id {
            id.unschedule();
        }
    }

    // The video.

    fn video_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        let pad_offset = self.video_sink.offset();
        let found = marks::read(&buffer);
        let mut state = lock(&self.state);
        loop {
            if state.video.side.flushing {
                return Err(gst::FlowError::Flushing);
            }
            state.flow?;
            if state.has_room(&settings) {
                break;
            }
            state = self.wait(state);
        }
        let axis = state.axis;
        let new = state.video.side.take(found, None, axis, pad_offset);
        state.note_marks(0, new);
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
        state.video.side.came_to(frame.end);
        state.video.queue.push_back(Item::Frame(frame));
        self.kick(&state);
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

    fn video_event(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.video_sink, "{event:?}");
        match event.view() {
            gst::EventView::FlushStart(_) => {
                {
                    let mut state = lock(&self.state);
                    state.video.side.flushing = true;
                    state.flow = Err(gst::FlowError::Flushing);
                    self.kick(&state);
                }
                let result = self.video_src.push_event(event);
                // Waits for the task to come to rest; there is none on an inactive pad.
                let _ = self.video_src.pause_task();
                result
            }
            gst::EventView::FlushStop(_) => {
                let seqnum = event.seqnum();
                let result = self.video_src.push_event(event);
                let events: Vec<_> = {
                    let mut state = lock(&self.state);
                    state.video.side.flushing = false;
                    if state.audio.flushed_by == Some(seqnum) {
                        // What was shown of the music since its own flush went with this one.
                        state.begin_anew();
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
        let is_eos = event.type_() == gst::EventType::Eos;
        let pad_offset = self.video_sink.offset();
        let failed = {
            let mut state = lock(&self.state);
            if state.video.side.flushing {
                return false;
            }
            let axis = state.axis;
            if let Some(found) = marks::from_event(&event) {
                let new = state.video.side.take(vec![found], None, axis, pad_offset);
                state.note_marks(0, new);
                self.kick(&state);
                return true;
            }
            match event.view() {
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                    state.video.side.segment = segment.cloned();
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
                    self.kick(&state);
                    return true;
                }
                gst::EventView::Eos(_) => state.video.side.eos = true,
                _ => (),
            }
            let begins = matches!(
                event.type_(),
                gst::EventType::StreamStart | gst::EventType::Segment
            );
            if begins && state.flow == Err(gst::FlowError::Eos) {
                // What was too much for the last segment may not be for the next one.
                state.begin_anew();
                drop(state);
                self.start_task();
                state = lock(&self.state);
            }
            match state.flow {
                Ok(_) => {
                    state.video.queue.push_back(Item::Event(event));
                    self.kick(&state);
                    return true;
                }
                Err(err) => err,
            }
        };
        // Upstream sends nothing after an EOS to which it could be told.
        if is_eos {
            self.report_flow(failed);
        }
        false
    }

    fn report_flow(&self, err: gst::FlowError) {
        if !matches!(err, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error"),
                ["streaming stopped, reason {err}"]
            );
        }
    }

    fn video_query(&self, query: &mut gst::QueryRef) -> bool {
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
            _ => gst::Pad::query_default(&self.video_sink, Some(&*self.obj()), query),
        }
    }

    // The music.

    fn audio_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let kinds = lock(&self.settings).kinds;
        let found = marks::read(&buffer);
        let pad_offset = self.audio_sink.offset();
        {
            let mut state = lock(&self.state);
            if state.audio.flushing {
                return Err(gst::FlowError::Flushing);
            }
            let axis = state.axis;
            let new = state.audio.take(found, Some(kinds), axis, pad_offset);
            state.note_marks(1, new);
            state.music_came(buffer.pts(), buffer.duration());
            self.kick(&state);
        }
        if !self.audio_src.is_linked() {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.audio_src.push(buffer)
    }

    fn audio_event(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, obj = self.audio_sink, "{event:?}");
        let kinds = lock(&self.settings).kinds;
        let pad_offset = self.audio_sink.offset();
        {
            let mut state = lock(&self.state);
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
                    state.heard = false;
                    state.songs.clear();
                    state.flushed(1);
                    state.begin_anew();
                }
                gst::EventView::StreamStart(_) => state.audio.new_stream(),
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                    state.music_begins(segment.cloned(), event.seqnum());
                }
                gst::EventView::Gap(gap) => {
                    let (pts, duration) = gap.get();
                    state.music_came(Some(pts), duration);
                }
                gst::EventView::Eos(_) => state.audio.eos = true,
                _ => (),
            }
            self.kick(&state);
        }
        // A pad that is not linked yet keeps what a stream begins with.
        let is_linked = self.audio_src.is_linked();
        self.audio_src.push_event(event) || !is_linked
    }

    // The source pads.

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
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
    fn seek(&self, event: gst::Event) -> bool {
        let seqnum = event.seqnum();
        let map = {
            let state = lock(&self.state);
            if let Some((last, result)) = state.last_seek
                && last == seqnum
            {
                return result;
            }
            state.map.clone()
        };
        let both = self.audio_sink.is_linked() && self.video_sink.is_linked();
        {
            let mut state = lock(&self.state);
            state.last_seek = Some((seqnum, true));
            if let gst::EventView::Seek(seek) = event.view()
                && seek.get().1.contains(gst::SeekFlags::FLUSH)
                && both
            {
                state.to_be_flushed();
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
        let mut state = lock(&self.state);
        state.last_seek = Some((seqnum, result));
        if !result {
            // Whoever refused does not flush.
            state.to_flush = [false; 2];
            self.kick(&state);
        }
        result
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let video = *pad == self.video_src;
        // Where in the piece it is, and how long it is, are matters of the music.
        let music = self.audio_sink.is_linked() && !lock(&self.state).out.direct;
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) if video => {
                let Some(latency) = self.query_latency() else {
                    return false;
                };
                query.set(latency.live, latency.min, latency.max);
                true
            }
            gst::QueryViewMut::Scheduling(query) => {
                query.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                query.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
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

    /// Asks both branches for their latency, and keeps what follows from it.
    fn query_latency(&self) -> Option<Latency> {
        let settings = lock(&self.settings).clone();
        let ask = |pad: &gst::Pad| {
            let mut query = gst::query::Latency::new();
            pad.peer_query(&mut query).then(|| query.result())
        };
        let linked = self.audio_sink.is_linked();
        let video = ask(&self.video_sink);
        let audio = linked.then(|| ask(&self.audio_sink)).flatten();
        let (video_live, video_min, video_max) = video.unwrap_or_default();
        let (audio_live, audio_min, _) = audio.unwrap_or_default();
        // Frames wait for music that comes later than they do.
        let behind = if video_live || audio_live {
            audio_min.saturating_sub(video_min)
        } else {
            gst::ClockTime::ZERO
        };
        let own = match settings.marks_location {
            None if linked => settings.look_ahead,
            _ => gst::ClockTime::ZERO,
        };
        let latency = Latency {
            live: video_live || audio_live,
            min: video_min.max(audio_min) + own,
            // The frames that wait here.
            max: video_max.map(|max| max + own + behind),
            behind,
            sure: video.is_some() && audio.is_some() == linked,
        };
        gst::debug!(CAT, imp = self, "{latency:?}");
        {
            let mut state = lock(&self.state);
            state.latency = Some(latency);
            self.kick(&state);
        }
        video.map(|_| latency)
    }

    fn audio_linked(&self, linked: bool) {
        {
            let mut state = lock(&self.state);
            // Music that is linked late is followed all the same, from where it is then.
            if linked && !state.audio.linked {
                state.audio.flush();
                state.heard = false;
                state.songs.clear();
                state.begin_anew();
            }
            state.audio.linked = linked;
            state.audio.eos = false;
            state.latency = None;
            self.kick(&state);
        }
        let obj = self.obj();
        // Posted without any lock held: the application may answer from a sync handler.
        let _ = obj.post_message(gst::message::Latency::builder().src(&*obj).build());
    }

    // The task of `video_src`.

    fn start_task(&self) {
        let active = lock(&self.task);
        if !*active {
            return;
        }
        lock(&self.state).flow = Ok(gst::FlowSuccess::Ok);
        let element = self.obj().downgrade();
        let result = self.video_src.start_task(move || {
            if let Some(element) = element.upgrade() {
                element.imp().iterate();
            }
        });
        if let Err(err) = result {
            gst::error!(CAT, imp = self, "no task for the source pad: {err}");
        }
    }

    fn activate_src(&self, active: bool) -> Result<(), gst::LoggableError> {
        if active {
            *lock(&self.task) = true;
            self.start_task();
            return Ok(());
        }
        {
            let mut state = lock(&self.state);
            state.flow = Err(gst::FlowError::Flushing);
            self.kick(&state);
        }
        *lock(&self.task) = false;
        (self.video_src.stop_task())
            .map_err(|err| gst::loggable_error!(CAT, "no end of the source pad's task: {err}"))
    }

    /// Lets out what is next.
    fn iterate(&self) {
        let Some(outs) = self.next() else {
            // Flushing, ended or failed: a flush or a new start begins again.
            let _ = self.video_src.pause_task();
            return;
        };
        let mut result = Ok(gst::FlowSuccess::Ok);
        for out in outs {
            match out {
                Out::Buffer(buffer) => result = self.video_src.push(buffer),
                Out::Event(event) => {
                    // What a refused event means comes back with the next buffer.
                    self.video_src.push_event(event);
                }
                Out::Status(status, counts) => self.post_status(status, counts),
                Out::Warning(text) => {
                    gst::element_imp_warning!(self, gst::StreamError::Failed, ("{text}"));
                }
                Out::End => self.write_path(),
            }
        }
        let failed = {
            let mut state = lock(&self.state);
            let failed = match result {
                // A flush in the meantime outranks what came of the push.
                Err(err) if state.flow.is_ok() => {
                    state.flow = Err(err);
                    state.video.side.eos.then_some(err)
                }
                _ => None,
            };
            self.changed.notify_all();
            failed
        };
        if let Some(err) = failed {
            self.report_flow(err);
        }
    }

    /// What to push next, in order; `None` where nothing is to be pushed any more.
    fn next(&self) -> Option<Vec<Out>> {
        let settings = lock(&self.settings).clone();
        let mut state = lock(&self.state);
        let mut overdue = false;
        loop {
            state.flow.ok()?;
            let next = state.next(&settings, std::mem::take(&mut overdue));
            match next {
                Next::Push(outs) => {
                    self.changed.notify_all();
                    return Some(outs);
                }
                Next::Blend(blend) => {
                    let epoch = state.epoch;
                    drop(state);
                    let made = blend.make();
                    state = lock(&self.state);
                    // After a flush in the meantime that picture has no place any more.
                    if state.flow.is_ok() && state.epoch == epoch {
                        self.changed.notify_all();
                        return Some(state.blended(*blend, made));
                    }
                }
                // Frames may have been taken.
                Next::Again => self.changed.notify_all(),
                Next::Change => {
                    self.changed.notify_all();
                    state = self.wait(state);
                }
                Next::ChangeOr(timeout) => state = self.wait_for(state, timeout),
                Next::Clock(running_time) => {
                    let obj = self.obj();
                    let (Some(clock), Some(base_time)) = (obj.clock(), obj.base_time()) else {
                        state = self.wait(state);
                        continue;
                    };
                    let deadline = base_time.saturating_add(running_time);
                    if clock.time() >= deadline {
                        overdue = true;
                        continue;
                    }
                    let id = clock.new_single_shot_id(deadline);
                    state.clock_id = Some(id.clone());
                    drop(state);
                    let _ = id.wait();
                    state = lock(&self.state);
                    state.clock_id = None;
                }
                Next::Latency => {
                    // Where there was no answer yet, it is asked for again a little later.
                    if state.latency.is_some() {
                        state = self.wait_for(state, LATENCY_RETRY);
                    }
                    drop(state);
                    self.query_latency();
                    state = lock(&self.state);
                }
            }
        }
    }

    fn set_playing(&self, playing: bool) {
        let mut state = lock(&self.state);
        state.playing = playing;
        // Time spent in another state does not count.
        state.out.waiting = None;
        self.kick(&state);
    }

    fn post_status(&self, status: &str, [visual, audio]: [u64; 2]) {
        gst::info!(
            CAT,
            imp = self,
            "{status}: {visual} visual marks, {audio} of the music"
        );
        if !lock(&self.settings).post_messages {
            return;
        }
        let s = gst::Structure::builder(STATUS_NAME)
            .field("status", status)
            .field("visual-marks", visual)
            .field("audio-marks", audio)
            .build();
        let obj = self.obj();
        let message = gst::message::Element::builder(s).src(&*obj).build();
        let _ = obj.post_message(message);
    }

    fn write_path(&self) {
        let settings = lock(&self.settings).clone();
        let Some(path) = settings.path_location else {
            return;
        };
        let (record, marks) = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.path_written, true) {
                return;
            }
            let times = |marks: &[dance_rhythm::retarget::Mark]| -> Vec<f64> {
                marks.iter().map(|mark| mark.time).collect()
            };
            let marks = match &state.file {
                Some(file) => [times(&file.visual), times(&file.audio)],
                None => state.path_marks.clone(),
            };
            (state.record.clone(), marks)
        };
        let json = record.json(settings.method.name(), &marks[0], &marks[1]);
        let json = json.map_err(std::io::Error::other);
        if let Err(err) = json.and_then(|json| std::fs::write(&path, json)) {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Write,
                ("Could not write the path to '{}': {err}", path.display())
            );
        }
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let Some(limits) = settings.limits() else {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "min-speed {} is above max-speed {}",
                    settings.min_speed,
                    settings.max_speed
                )
            ));
        };
        let file = match &settings.marks_location {
            None => None,
            Some(path) => Some(marksfile::read(path, settings.kinds).map_err(|err| {
                gst::error_msg!(
                    gst::ResourceError::Read,
                    ("Could not read marks from '{}': {err}", path.display())
                )
            })?),
        };
        let map = file.as_ref().map(|file| planned(file, &settings, limits));
        if file.is_none() && settings.method != Method::DtwBounded {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "The method '{}' needs marks-location: aligning by 'dtw-bounded'",
                    settings.method.name()
                )
            );
        }
        let mut state = lock(&self.state);
        let linked = state.audio.linked;
        *state = State {
            axis: if file.is_some() {
                Axis::Stream
            } else {
                Axis::Running
            },
            limits,
            file,
            map,
            ..State::default()
        };
        state.audio.linked = linked;
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let record = &state.record;
        gst::Structure::builder("stats")
            .field("pictures", record.pictures)
            .field("repeated", record.repeated)
            .field("dropped", record.dropped)
            .field("late", record.late)
            .field("speed-p50", record.speed(0.5))
            .field("speed-p95", record.speed(0.95))
            .field("speed-max", record.fastest())
            .field("longest-freeze", record.longest_freeze)
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for DtwRetarget {
    const NAME: &'static str = "GstDtwRetarget";
    type Type = super::DtwRetarget;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        // Static pads of templates that `pad_templates` names.
        #[allow(clippy::unwrap_used)]
        let builder = |name| gst::Pad::builder_from_template(&klass.pad_template(name).unwrap());
        let video_sink = builder("video_sink")
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.video_chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.video_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.video_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Ok(()),
                    |this| {
                        let mut state = lock(&this.state);
                        state.video.side.flushing = !active;
                        this.kick(&state);
                        Ok(())
                    },
                )
            })
            .iterate_internal_links_function(|_, parent| {
                Self::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(vec![]),
                    |this| gst::Iterator::from_vec(vec![this.video_src.clone()]),
                )
            })
            .build();
        let audio_sink = builder("audio_sink")
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.audio_chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.audio_event(event))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
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
                Self::catch_panic_pad_function(
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
                    Self::catch_panic_pad_function(
                        parent,
                        || false,
                        |this| this.src_event(pad, event),
                    )
                })
                .query_function(|pad, parent, query| {
                    Self::catch_panic_pad_function(
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
                Self::catch_panic_pad_function(parent, || Ok(()), |this| this.activate_src(active))
            })
            .iterate_internal_links_function(|_, parent| {
                Self::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(vec![]),
                    |this| gst::Iterator::from_vec(vec![this.video_sink.clone()]),
                )
            })
            .build();
        let audio_src = source("audio_src")
            .iterate_internal_links_function(|_, parent| {
                Self::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(vec![]),
                    |this| gst::Iterator::from_vec(vec![this.audio_sink.clone()]),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        DtwRetarget {
            video_sink,
            audio_sink,
            video_src,
            audio_src,
            settings: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            task: Mutex::default(),
        }
    }
}

impl ObjectImpl for DtwRetarget {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            let path = |name, nick, blurb| {
                glib::ParamSpecString::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            };
            let speed = |name, nick, blurb, low, high, default| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(low)
                    .maximum(high)
                    .default_value(default)
                    .mutable_ready()
                    .build()
            };
            let time = |name, nick, blurb, most: gst::ClockTime, default: gst::ClockTime| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .maximum(most.nseconds())
                    .default_value(default.nseconds())
                    .mutable_ready()
                    .build()
            };
            vec![
                glib::ParamSpecEnum::builder_with_default("method", default.method)
                    .nick("Method")
                    .blurb("How marks find each other; others than dtw-bounded need marks-location")
                    .mutable_ready()
                    .build(),
                speed(
                    "min-speed",
                    "Lowest speed",
                    "Seconds of video in a second of output, at least",
                    0.01,
                    1.0,
                    default.min_speed,
                ),
                speed(
                    "max-speed",
                    "Highest speed",
                    "Seconds of video in a second of output, at most",
                    1.0,
                    16.0,
                    default.max_speed,
                ),
                speed(
                    "strength",
                    "Strength",
                    "From 0, nothing moves, to 1, beats meet",
                    0.0,
                    1.0,
                    default.strength,
                ),
                glib::ParamSpecInt64::builder("offset")
                    .nick("Offset")
                    .blurb("How much later than the musical beat the visual one is to be seen, in ns")
                    .minimum(-1_000_000_000)
                    .maximum(1_000_000_000)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecFlags::builder::<Kinds>("kinds")
                    .nick("Kinds")
                    .blurb("Which marks of the music are met")
                    .default_value(default.kinds)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("interpolation", default.interpolation)
                    .nick("Interpolation")
                    .blurb("What is shown between two frames")
                    .mutable_ready()
                    .build(),
                time(
                    "look-ahead",
                    "Look-ahead",
                    "In one pass, how far both sides have come when a picture leaves, in ns; its latency",
                    gst::ClockTime::from_seconds(60),
                    default.look_ahead,
                ),
                time(
                    "starve-timeout",
                    "Timeout of starvation",
                    "Outside live pipelines, how long one side waits for another that shows no progress, in ns of \
                     wall-clock time",
                    gst::ClockTime::from_seconds(3600),
                    default.starve_timeout,
                ),
                path(
                    "marks-location",
                    "Location of marks",
                    "Path of a file of JSON lines with the marks of video and music, read at READY to PAUSED",
                ),
                path(
                    "path-location",
                    "Location of the path",
                    "Path of a JSON file to write the path to at the end",
                ),
                glib::ParamSpecBoolean::builder("post-messages")
                    .nick("Post messages")
                    .blurb("Post an element message retarget-status when the video begins to follow, or cannot")
                    .default_value(default.post_messages)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb(
                        "Since the start: pictures sent, of them repeated, frames dropped, pictures late for knowing \
                         what follows, percentiles of speed and the highest, longest-freeze in ns",
                    )
                    .read_only()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [
            &self.video_sink,
            &self.audio_sink,
            &self.video_src,
            &self.audio_src,
        ] {
            if let Err(err) = obj.add_pad(pad) {
                gst::error!(CAT, imp = self, "no pad {}: {err}", pad.name());
            }
        }
        for (linked, connect) in [(true, "linked"), (false, "unlinked")] {
            let element = obj.downgrade();
            self.audio_sink.connect(connect, false, move |_| {
                if let Some(element) = element.upgrade() {
                    element.imp().audio_linked(linked);
                }
                None
            });
        }
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let path = || {
            let path = value.get::<Option<std::path::PathBuf>>().ok().flatten();
            path.filter(|path| !path.as_os_str().is_empty())
        };
        let time = || value.get().map(gst::ClockTime::from_nseconds);
        let number = || value.get::<f64>().ok().filter(|number| number.is_finite());
        let default = Settings::default();
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "method" => settings.method = value.get().unwrap_or_default(),
            "min-speed" => settings.min_speed = number().unwrap_or(default.min_speed),
            "max-speed" => settings.max_speed = number().unwrap_or(default.max_speed),
            "strength" => settings.strength = number().unwrap_or(default.strength),
            "offset" => settings.offset = value.get().unwrap_or_default(),
            "kinds" => settings.kinds = value.get().unwrap_or(default.kinds),
            "interpolation" => settings.interpolation = value.get().unwrap_or_default(),
            "look-ahead" => settings.look_ahead = time().unwrap_or(default.look_ahead),
            "starve-timeout" => settings.starve_timeout = time().unwrap_or(default.starve_timeout),
            "marks-location" => settings.marks_location = path(),
            "path-location" => settings.path_location = path(),
            "post-messages" => settings.post_messages = value.get().unwrap_or(true),
            // GObject hands over the properties above only.
            _ => unreachable!(),
        }
        gst::info!(CAT, imp = self, "{settings:?}");
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match pspec.name() {
            "method" => settings.method.to_value(),
            "min-speed" => settings.min_speed.to_value(),
            "max-speed" => settings.max_speed.to_value(),
            "strength" => settings.strength.to_value(),
            "offset" => settings.offset.to_value(),
            "kinds" => settings.kinds.to_value(),
            "interpolation" => settings.interpolation.to_value(),
            "look-ahead" => settings.look_ahead.nseconds().to_value(),
            "starve-timeout" => settings.starve_timeout.nseconds().to_value(),
            "marks-location" => settings.marks_location.to_value(),
            "path-location" => settings.path_location.to_value(),
            "post-messages" => settings.post_messages.to_value(),
            "stats" => self.stats().to_value(),
            _ => unreachable!(),
        }
    }
}

impl GstObjectImpl for DtwRetarget {}

impl ElementImpl for DtwRetarget {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Dance retargeter",
                "Filter/Effect/Video",
                "Retimes video so that visual beats fall on musical ones",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = |name: &str| gst::Caps::builder(name).any_features().build();
            [
                ("video_sink", gst::PadDirection::Sink, "video/x-raw"),
                ("audio_sink", gst::PadDirection::Sink, "audio/x-raw"),
                ("video_src", gst::PadDirection::Src, "video/x-raw"),
                ("audio_src", gst::PadDirection::Src, "audio/x-raw"),
            ]
            .into_iter()
            .filter_map(|(name, direction, media)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps(media)).ok()
            })
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start().map_err(|err| {
                self.post_error_message(err);
                gst::StateChangeError
            })?,
            gst::StateChange::PlayingToPaused => self.set_playing(false),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToPlaying => self.set_playing(true),
            gst::StateChange::PausedToReady => {
                self.write_path();
                let mut state = lock(&self.state);
                let linked = state.audio.linked;
                // The statistics of what has ended can still be read.
                let record = state.record.clone();
                *state = State {
                    record,
                    path_written: true,
                    ..State::default()
                };
                state.audio.linked = linked;
            }
            _ => (),
        }
        Ok(success)
    }
}
