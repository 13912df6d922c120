// SPDX-License-Identifier: MPL-2.0
//! A video that goes round: where it turns, and the pictures of what was shown before.

use super::{Next, Out, State, Step};
use crate::dtwretarget::branches::{Frame, Item};
use crate::dtwretarget::course::{self, Settings};
use crate::dtwretarget::kept::Frames;

/// Frames so much after the first turn are never shown, in seconds.
const BEYOND: f64 = 0.5;

impl State {
    /// Plans the first round of a video of that length; where that is not known, it turns with its last mark.
    pub(super) fn go_round(&mut self, settings: &Settings, length: Option<f64>) {
        let Some(file) = &self.file else {
            return;
        };
        let last = file.visual.iter().map(|mark| mark.time).reduce(f64::max);
        let length = length.or(last).unwrap_or(f64::MAX);
        self.rounds = Some(course::rounds(file, settings, self.limits, length));
    }

    /// The video has ended before it was to turn: it turns here.
    pub(super) fn turn_at_the_end(&mut self, settings: &Settings) {
        let end = self.frames.as_ref().map(Frames::end);
        let turn = self.rounds.as_ref().map(|rounds| rounds.turn());
        if let (Some(end), Some((false, turn))) = (end, turn)
            && end < turn
        {
            self.go_round(settings, Some(end));
        }
    }

    /// Keeps a frame that may be shown again.
    ///
    /// # Errors
    /// If it cannot be kept; says why.
    pub(in crate::dtwretarget) fn keep(
        &mut self,
        frame: &Frame,
        info: Option<gst_video::VideoInfo>,
    ) -> Result<(), String> {
        if self
            .rounds
            .as_ref()
            .is_some_and(|rounds| frame.at > rounds.first_turn() + BEYOND)
        {
            return Ok(());
        }
        let info = info.ok_or("end=loop keeps frames, which need to be in plain memory")?;
        let failed = |err: std::io::Error| {
            format!(
                "end=loop keeps frames in the folder {}: {err}",
                std::env::temp_dir().display()
            )
        };
        let frames = match &mut self.frames {
            Some(frames) => frames,
            none => none.insert(Frames::new(info.clone()).map_err(failed)?),
        };
        if !frames.takes(&info) {
            return Err(
                "end=loop: the format of the video changes, and its frames cannot be shown again"
                    .into(),
            );
        }
        frames.add(frame).map_err(failed)
    }

    /// Plans on where the rounds are over at that instant; what to wait for before that can be done.
    pub(super) fn turn(&mut self, output: f64) -> Option<Next> {
        loop {
            let rounds = self.rounds.as_ref()?;
            if output < rounds.end() {
                return None;
            }
            let (backward, turn) = rounds.turn();
            let mut forward_from = None;
            if !backward {
                if let Some(wait) = self.read_up_to(turn) {
                    return Some(wait);
                }
                let beginnings = self.rounds.as_ref()?.beginnings();
                let frames = self.frames.as_ref();
                forward_from = frames.and_then(|frames| frames.alike(turn, &beginnings));
            }
            self.rounds.as_mut()?.extend(forward_from);
        }
    }

    /// Takes frames in until those around an instant of the video are kept; what to wait for meanwhile.
    fn read_up_to(&mut self, at: f64) -> Option<Next> {
        let is_there = self
            .frames
            .as_ref()
            .is_some_and(|frames| frames.goes_beyond(at));
        if is_there || self.video.side.eos {
            return None;
        }
        if let Some(Item::Frame(_)) = self.video.queue.front()
            && let Some(Item::Frame(frame)) = self.video.queue.pop_front()
        {
            self.video.current = Some(frame);
            return Some(Next::Again);
        }
        Some(Next::Change)
    }

    /// Shows the picture that is due, of frames that were there before.
    pub(super) fn picture_of_round(&mut self, step: Step, settings: &Settings) -> Next {
        if let Some(wait) = self.read_up_to(step.source) {
            return wait;
        }
        let found = self.frames.as_mut().map(|frames| frames.at(step.source));
        let (first, next) = match found {
            Some(Ok(Some(found))) => found,
            Some(Err(err)) => {
                let text = format!("a frame that was kept cannot be read: {err}");
                return Next::Push(vec![Out::Error(text)]);
            }
            _ => return Next::Push(vec![Out::Error("end=loop: no frame was kept".into())]),
        };
        let Some(next) = next else {
            return self.shown(step, first, None, settings);
        };
        let share = ((step.source - first.at) / (next.at - first.at).max(1e-9)).clamp(0.0, 1.0);
        match self.between(first, next, share, settings) {
            Err(text) => Next::Push(vec![Out::Error(text)]),
            Ok((frame, other)) => self.shown(step, frame, other, settings),
        }
    }
}
