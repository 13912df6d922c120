//! Where in the video the output is.

use dance_rhythm::retarget::{Limits, Options, Planner, TimeMap, plan};

use super::marksfile::FileMarks;
use super::{Interpolation, Kinds, Method};

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
    /// Found step by step.
    Live(Planner),
}

/// The whole course, from the marks of a file.
pub(super) fn planned(marks: &FileMarks, settings: &Settings, limits: Limits) -> TimeMap {
    let offset = settings.offset as f64 * 1e-9;
    let mut audio = marks.audio.clone();
    for mark in &mut audio {
        mark.time += offset;
    }
    // Whatever the file says: nothing can be met before the music begins.
    audio.retain(|mark| mark.time >= 0.0);
    let options = Options {
        method: settings.method.rhythm(),
        limits,
        strength: settings.strength,
        ..Options::default()
    };
    plan(&marks.visual, &audio, &options).map
}
