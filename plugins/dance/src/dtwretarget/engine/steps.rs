// SPDX-License-Identifier: MPL-2.0
//! Where the next picture lies in the video, and what is shown there.

use super::{Next, Out, State, Step};
use crate::dtwretarget::Interpolation;
use crate::dtwretarget::branches::{Axis, Frame, Item};
use crate::dtwretarget::course::{Course, Settings};
use crate::dtwretarget::picture::{self, Way};
use crate::hoof;
use crate::marks::{self, SourceMarks};

/// Shares of a frame nearer than this to one of its ends are that end.
const NEAR: f64 = 0.02;
/// Without visual marks for so long, in seconds of the stream, the dance is taken to stand still.
const STATIC: f64 = 5.0;

/// A picture between two frames.
struct Blend {
    step: Step,
    from: Frame,
    to: Frame,
    share: f64,
    along: bool,
    /// Where frames can be blended at all.
    info: Option<gst_video::VideoInfo>,
}

impl Blend {
    /// Makes it, which takes its time; `None` if the frames cannot be blended.
    fn make(&self) -> Option<gst::Buffer> {
        let (from, to) = (&self.from.buffer, &self.to.buffer);
        picture::between(from, to, self.share, self.along, self.info.as_ref()?)
    }
}

impl State {
    /// Finds the next picture's place in the video.
    pub(super) fn step(&mut self, settings: &Settings, overdue: bool) -> Next {
        let (Some(begun), Some(gone), Some(then)) = (
            &self.out.begun,
            self.video.after(self.out.count),
            self.video.after(self.out.count + 1),
        ) else {
            return self.pass();
        };
        let pts = begun.first + gone;
        let Some(output) = self.axis.of(&begun.segment, pts) else {
            return self.end();
        };
        let end = self.axis.of(&begun.segment, begun.first + then);
        let mut time = end.map_or(0.0, |end| end - output);
        let mut duration = then - gone;
        let past = begun.segment.stop().is_some_and(|stop| pts >= stop);
        // The music that follows, if there is some, and where this one is over.
        let song = self.songs.get(1).filter(|song| song.first.is_some());
        let here = self.songs.front().and_then(|song| song.end);
        let (here, over) = match self.axis {
            Axis::Running => (
                self.audio.arrived,
                song.and_then(|song| song.start(self.axis)),
            ),
            Axis::Stream => (here, song.and(here)),
        };
        let follows = song.is_some();
        if let Some(over) = over {
            if past || output > over - 0.5 * time {
                return self.next_song();
            }
            if over < output + time {
                let share = (over - output) / time;
                let cut = share * duration.nseconds() as f64;
                duration = gst::ClockTime::from_nseconds(cut as u64);
                time = over - output;
            }
        }
        if (self.out.over).is_some_and(|over| output >= over - 0.5 * time) {
            return self.end();
        }
        let ends = self.audio.eos && !follows;
        if ends && (past || here.is_none_or(|end| output >= end - 1e-6)) {
            return self.end();
        }
        if past {
            // More music may follow, and what has a place in this one has been shown.
            if !self.audio.linked {
                return self.end();
            }
            let wait = if overdue {
                Some(Next::Change)
            } else {
                self.wait(output, [false, true], settings)
            };
            return wait.unwrap_or_else(|| self.end());
        }
        let ahead = match self.axis {
            Axis::Running => settings.look_ahead.seconds_f64(),
            // One picture ahead of the music is no harm, and keeps a multiplexer going that takes turns; not two.
            Axis::Stream => 1e-6 - time,
        };
        let offset = settings.offset as f64 * 1e-9;
        let come = here.is_some_and(|here| here >= output + ahead);
        let music =
            self.audio.eos || !self.audio.linked || follows && self.axis == Axis::Stream || come;
        let video = self.axis == Axis::Stream
            || self.video.side.has(output + ahead)
            || !self.has_room(settings);
        let starved = self.out.starved;
        self.out.starved = [starved[0] && !video, starved[1] && !music];
        if !(video && music) {
            if !overdue && let Some(wait) = self.wait(output, [!video, !music], settings) {
                return wait;
            }
            self.record.late += 1;
        }
        if let Some(wait) = self.turn(output) {
            return wait;
        }
        self.take_step(pts, duration, output, time, offset)
    }

    fn take_step(
        &mut self,
        pts: gst::ClockTime,
        duration: gst::ClockTime,
        output: f64,
        time: f64,
        offset: f64,
    ) -> Next {
        let mut round = 0;
        let source = match &mut self.out.course {
            None => output,
            Some(Course::Rounds) => {
                let place = self.rounds.as_ref().map(|rounds| rounds.at(output));
                round = place.map_or(0, |place| place.round);
                place.map_or(output, |place| place.source)
            }
            Some(Course::Map(map)) => map.at(output),
            Some(Course::Live(planner)) => {
                let visual = self.video.side.for_planner();
                let mut audio = self.audio.for_planner();
                audio.iter_mut().for_each(|mark| mark.time += offset);
                let frames = self.video.queue.iter().rev().find_map(|item| match item {
                    Item::Frame(frame) => Some(frame),
                    Item::Event(_) => None,
                });
                // Until when it is known what the video shows.
                let newest = frames.or(self.video.current.as_ref());
                let newest = newest.map_or(0.0, |frame| frame.end.max(frame.at));
                // Beyond that it is over.
                let rest = if self.video.side.eos { 2.0 * time } else { 0.0 };
                planner.step(output, &visual, &audio, newest + rest)
            }
        };
        if round != std::mem::replace(&mut self.out.last_round, round) {
            self.out.last_source = None;
            self.record.leap();
        }
        let speed = match self.out.last_source {
            Some(before) if time > 0.0 => (source - before) / time,
            _ => 1.0,
        };
        self.out.last_source = Some(source);
        self.out.last_end = Some(output + time);
        self.out.step = Some(Step {
            pts,
            duration,
            output,
            source,
            speed,
            round,
        });
        // Marks of the music that lie behind are of no use any more.
        while self
            .audio
            .marks
            .front()
            .is_some_and(|mark| mark.at + offset < output - 1.0)
        {
            self.audio.marks.pop_front();
        }
        Next::Again
    }

    /// Shows the picture that is due.
    pub(super) fn picture(&mut self, step: Step, settings: &Settings) -> Next {
        if step.round > 0 {
            return self.picture_of_round(step, settings);
        }
        let half = 0.5 * step.duration.seconds_f64();
        while let Some(Item::Frame(next)) = self.video.queue.front()
            && next.at <= step.source + 1e-9
        {
            if self.video.current.is_some() && !self.out.current_shown {
                self.record.dropped += 1;
            }
            let Some(Item::Frame(next)) = self.video.queue.pop_front() else {
                break;
            };
            self.video.current = Some(next);
            self.out.current_shown = std::mem::take(&mut self.out.next_shown);
        }
        // An event goes before the frame after it, and the frame before it goes first.
        let is_early = self.is_early();
        let is_last = !is_early
            && self.video.queue.front().is_some_and(
                |item| matches!(item, Item::Event(event) if event.type_() != gst::EventType::Eos),
            );
        if is_last && (self.out.current_shown || self.video.current.is_none()) {
            return Next::Again;
        }
        let is_held = is_last || is_early;
        let next = self.video.next_frame().filter(|_| !is_held).cloned();
        if next.is_none() && !is_held && !self.video.side.eos && self.axis == Axis::Stream {
            return Next::Change;
        }
        let current = self.video.current.clone();
        let (frame, other) = match (current, next) {
            (None, None) => return Next::Change,
            (None, Some(next)) => {
                // Nothing has been there so far; files begin with their first frame all the same.
                if self.axis == Axis::Running && next.at > step.source + 2.0 * half {
                    self.out.step = None;
                    self.out.count += 1;
                    return Next::Again;
                }
                (next, None)
            }
            (Some(current), None) => {
                let is_over = step.source >= current.end.max(current.at + half) - 1e-6;
                if self.video.side.eos
                    && !is_held
                    && is_over
                    && let Some(end) = self.motion_ends(step, settings)
                {
                    return end;
                }
                (current, None)
            }
            (Some(current), Some(next)) => {
                let share = (step.source - current.at) / (next.at - current.at).max(1e-9);
                match self.between(current, next, share, settings) {
                    Err(text) => return Next::Push(vec![Out::Error(text)]),
                    Ok(shown) => shown,
                }
            }
        };
        self.shown(step, frame, other, settings)
    }

    /// Shows a frame, or makes a picture of it and another one.
    pub(super) fn shown(
        &mut self,
        step: Step,
        frame: Frame,
        other: Option<(Frame, f64)>,
        settings: &Settings,
    ) -> Next {
        let Some((next, share)) = other else {
            return Next::Push(self.show(step, frame.buffer.copy(), frame.at, false));
        };
        let blend = Blend {
            step,
            from: frame,
            to: next,
            share,
            along: settings.interpolation != Interpolation::Blend,
            info: self.video.info.clone(),
        };
        let epoch = self.epoch;
        Next::Work(Box::new(move || {
            let made = blend.make();
            // After a flush in the meantime that picture has no place any more.
            Box::new(move |state: &mut State| {
                (state.epoch == epoch).then(|| state.blended(blend, made))
            })
        }))
    }

    /// What is shown `share` of the way from one frame to the next.
    ///
    /// # Errors
    /// Where it cannot be made as the settings demand.
    pub(super) fn between(
        &self,
        current: Frame,
        next: Frame,
        share: f64,
        settings: &Settings,
    ) -> Result<(Frame, Option<(Frame, f64)>), String> {
        let one = |share: f64, first: Frame, second: Frame| {
            (if share > 0.5 { second } else { first }, None)
        };
        if settings.interpolation == Interpolation::Nearest {
            return Ok(one(share, current, next));
        }
        let way = picture::way(&current.buffer, &next.buffer);
        // Nothing lies between two scenes.
        if way == Way::Leap {
            return Ok(one(share, current, next));
        }
        let demanded = settings.interpolation != Interpolation::Auto;
        if !self.video.info.as_ref().is_some_and(picture::can_blend) {
            let format = self.video.info.as_ref();
            let format = format.map_or("frames in this memory".to_owned(), |info| {
                format!(
                    "{} frames of {}",
                    info.interlace_mode().to_str(),
                    info.format()
                )
            });
            return if demanded {
                Err(format!(
                    "interpolation={} cannot be done with {format}: needs progressive frames of 8 bits a sample in \
                     plain memory",
                    settings.interpolation.name()
                ))
            } else {
                Ok(one(share, current, next))
            };
        }
        if way == Way::Unknown {
            match settings.interpolation {
                Interpolation::Auto => return Ok(one(share, current, next)),
                Interpolation::Flow if !self.has_motion => {
                    return Err(
                        "interpolation=flow needs frames that carry their motion: put hoofflow before video_sink"
                            .to_owned(),
                    );
                }
                _ => (),
            }
        }
        Ok(if (NEAR..=1.0 - NEAR).contains(&share) {
            (current, Some((next, share)))
        } else {
            one(share, current, next)
        })
    }

    /// Shows the picture between two frames, or the nearer one where none could be made.
    fn blended(&mut self, blend: Blend, made: Option<gst::Buffer>) -> Vec<Out> {
        let step = blend.step;
        if let Some(made) = made {
            return self.show(step, made, step.source, true);
        }
        let nearer = if blend.share > 0.5 {
            blend.to
        } else {
            blend.from
        };
        // Frames that turn out to be unreadable.
        self.show(step, nearer.buffer.copy(), nearer.at, false)
    }

    /// Shows a picture of the instant `at` of the video, one that was `made` or a frame.
    fn show(&mut self, step: Step, mut buffer: gst::Buffer, at: f64, made: bool) -> Vec<Out> {
        self.out.step = None;
        self.out.count += 1;
        let is_current = (self.video.current.as_ref()).is_some_and(|current| current.at == at);
        if made || is_current {
            self.out.current_shown = true;
        }
        if made || !is_current {
            self.out.next_shown = true;
        }
        let repeated = !made && self.out.shown == Some(at);
        self.out.shown = Some(at);
        let Step {
            output,
            source,
            duration,
            ..
        } = step;
        self.record.picture(output, source, duration, repeated);
        self.dress(&mut buffer, step);
        self.out.started = true;
        self.pace.waiting = None;
        let mut outs = Vec::new();
        if self.map.is_none() {
            outs.extend(self.live_status(step.output));
        }
        outs.push(Out::Buffer(buffer));
        outs
    }

    /// Reports when marks begin to be followed, and when there are none.
    fn live_status(&mut self, output: f64) -> Option<Out> {
        let begun = self.out.begun.as_ref()?;
        let since = output - self.axis.of(&begun.segment, begun.first)?;
        match self.counts() {
            [visual, audio] if visual > 0 && audio > 0 => self.status("aligned"),
            [0, _] if since >= STATIC => self.status("no-visual-marks"),
            [_, 0] if since >= STATIC => self.status("no-audio-marks"),
            _ => None,
        }
    }

    /// Gives a picture its place on the timeline, and the marks that fall into it.
    fn dress(&mut self, buffer: &mut gst::Buffer, step: Step) {
        if step.round > 0 {
            // They were told when they were first shown.
            self.video.side.marks.clear();
        }
        let end = step.source + step.speed.max(0.0) * step.duration.seconds_f64();
        let mut found: Vec<SourceMarks> = Vec::new();
        while let Some(mark) = self.video.side.marks.front()
            && mark.at < end
            && let Some(placed) = self.video.side.marks.pop_front()
        {
            let share = (placed.at - step.source) / (end - step.source).max(1e-9);
            let share = share.clamp(0.0, 1.0 - 1e-6);
            let into = (share * step.duration.nseconds() as f64) as u64;
            let pts = step.pts + gst::ClockTime::from_nseconds(into);
            let segment = self.out.begun.as_ref().map(|begun| &begun.segment);
            let mark = marks::Mark {
                timestamp: pts,
                running_time: segment.and_then(|segment| segment.to_running_time(pts)),
                stream_time: segment.and_then(|segment| segment.to_stream_time(pts)),
                ..placed.mark
            };
            match found.iter_mut().find(|found| found.source == placed.source) {
                Some(found) => found.marks.push(mark),
                None => found.push(SourceMarks {
                    source: placed.source,
                    marks: vec![mark],
                }),
            }
        }
        let discont = !self.out.started;
        let buffer = buffer.make_mut();
        buffer.foreach_meta_mut(|meta| {
            use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
            let name = meta
                .try_as_custom_meta()
                .map(|meta| meta.structure().name().to_string());
            let stale = [marks::META_NAME, hoof::META_NAME];
            let stale = name.is_some_and(|name| stale.contains(&name.as_str()));
            std::ops::ControlFlow::Continue(if stale { Remove } else { Keep })
        });
        buffer.set_pts(step.pts);
        buffer.set_dts(gst::ClockTime::NONE);
        buffer.set_duration(step.duration);
        buffer.set_offset(u64::MAX);
        buffer.set_offset_end(u64::MAX);
        if discont {
            buffer.set_flags(gst::BufferFlags::DISCONT);
        } else {
            buffer.unset_flags(gst::BufferFlags::DISCONT);
        }
        for SourceMarks { source, marks } in &found {
            marks::attach(buffer, source, marks);
        }
    }
}
