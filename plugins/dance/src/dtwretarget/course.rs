// SPDX-License-Identifier: MPL-2.0
//! Where in the video the output is.

use dance_rhythm::retarget::{Limits, Mark, Options, Planner, Rounds, TimeMap, plan};

use super::marksfile::FileMarks;
use super::{End, Interpolation, Kinds, Method, Start};

/// Seconds by which what is shown may be off its own time, as a share of the look-ahead.
pub(super) const DRIFT: f64 = 0.5;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub method: Method,
    pub min_speed: f64,
    pub max_speed: f64,
    pub strength: f64,
    /// ns.
    pub offset: i64,
    pub kinds: Kinds,
    pub interpolation: Interpolation,
    pub start: Start,
    pub end: End,
    pub look_ahead: gst::ClockTime,
    pub starve_timeout: gst::ClockTime,
    pub marks_location: Option<std::path::PathBuf>,
    pub path_location: Option<std::path::PathBuf>,
    pub post_messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            min_speed: 0.5,
            max_speed: 2.0,
            strength: 1.0,
            offset: 0,
            kinds: Kinds::BEAT | Kinds::DOWNBEAT,
            interpolation: Interpolation::default(),
            start: Start::default(),
            end: End::default(),
            look_ahead: gst::ClockTime::from_seconds(2),
            starve_timeout: gst::ClockTime::from_seconds(5),
            marks_location: None,
            path_location: None,
            post_messages: true,
        }
    }
}

impl Settings {
    /// `None` where the slowest is faster than the fastest.
    pub(super) fn limits(&self) -> Option<Limits> {
        Limits::new(self.min_speed, self.max_speed)
    }

    /// Seconds that what is shown may be off its own time.
    pub(super) fn drift(&self) -> f64 {
        DRIFT * self.look_ahead.nseconds() as f64 * 1e-9
    }
}

impl Interpolation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Nearest => "nearest",
            Self::Blend => "blend",
            Self::Flow => "flow",
        }
    }
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Acceleration => "acceleration",
            Self::Dtw => "dtw",
            Self::DtwBounded => "dtw-bounded",
        }
    }

    fn rhythm(self) -> dance_rhythm::retarget::Method {
        use dance_rhythm::retarget::Method as Rhythm;
        match self {
            Self::Shift => Rhythm::Shift,
            Self::Acceleration => Rhythm::Acceleration,
            Self::Dtw => Rhythm::Dtw,
            Self::DtwBounded => Rhythm::DtwBounded,
        }
    }
}

/// Which instant of the video is shown when.
pub(crate) enum Course {
    /// Planned as a whole.
    Map(TimeMap),
    /// Round after round, which the state has.
    Rounds,
    /// Found step by step.
    Live(Planner),
}

/// The music begins so much before its first beat, in seconds, for the attack to be whole.
const UPBEAT: f64 = 0.05;

/// The marks of the music where they are to be met, of those of a file.
fn met(marks: &FileMarks, settings: &Settings) -> Vec<Mark> {
    let offset = settings.offset as f64 * 1e-9;
    let mut audio = marks.audio.clone();
    for mark in &mut audio {
        mark.time += offset;
    }
    // Whatever the file says: nothing can be met before the music begins.
    audio.retain(|mark| mark.time >= 0.0);
    audio
}

/// Where the output begins, in seconds of the music.
pub(super) fn start(marks: &FileMarks, settings: &Settings) -> f64 {
    if settings.start == Start::Beginning {
        return 0.0;
    }
    let times = marks.audio.iter().map(|mark| mark.time);
    let first = times.filter(|time| *time >= 0.0).reduce(f64::min);
    first.map_or(0.0, |first| (first - UPBEAT).max(0.0))
}

/// The whole course, from the marks of a file.
pub(super) fn planned(marks: &FileMarks, settings: &Settings, limits: Limits) -> TimeMap {
    plan(
        &marks.visual,
        &met(marks, settings),
        &options(marks, settings, limits),
    )
    .map
}

/// The first round of a video of `length` seconds that goes round.
pub(super) fn rounds(
    marks: &FileMarks,
    settings: &Settings,
    limits: Limits,
    length: f64,
) -> Rounds {
    let options = options(marks, settings, limits);
    Rounds::new(&marks.visual, &met(marks, settings), &options, length)
}

fn options(marks: &FileMarks, settings: &Settings, limits: Limits) -> Options {
    Options {
        method: settings.method.rhythm(),
        limits,
        strength: settings.strength,
        start: start(marks, settings),
        ..Options::default()
    }
}
