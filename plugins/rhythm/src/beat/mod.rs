// SPDX-License-Identifier: MPL-2.0
//! Beats, downbeats and tempo from an onset function.
//!
//! A hidden Markov model of a pointer that walks through bars: its state is (beat of a bar, tempo,
//! position within the beat), see F. Krebs, S. Böck, G. Widmer, "An efficient state-space model for
//! joint tempo and meter tracking", ISMIR 2015. The likelihood of each frame of the onset
//! function depends on the position in the bar (downbeat, middle, backbeat, half-way between
//! beats, elsewhere). No neural network: the observation is log-linear with 32 numbers.
//!
//! [`Tracker`] runs the forward pass and reports each beat at about its instant, [`OfflineTracker`]
//! finds the most probable path (Viterbi) through the whole of a stream.
//!
//! **Confidence** is the share of such reports that are within ± 70 ms of a true beat: a logistic
//! function, fitted once to music, of the posterior probability of the beat and of the mean
//! onset strength on recent beats. The program `beat-accuracy` prints how it holds on any music.

mod forward;
mod observation;
mod space;
mod tracker;
mod viterbi;

pub use tracker::Tracker;
pub use viterbi::OfflineTracker;

/// The default of the slowest tempo, beats per minute.
pub const DEFAULT_MIN_BPM: f64 = 55.0;
/// The default of the fastest tempo, beats per minute.
pub const DEFAULT_MAX_BPM: f64 = 215.0;
/// The lowest `min_bpm`.
pub const LOWEST_BPM: f64 = 20.0;
/// The highest `max_bpm`.
pub const HIGHEST_BPM: f64 = 300.0;
/// The longest bar in beats.
pub const MOST_BEATS_PER_BAR: u8 = 12;

/// Onset functions slower than this many frames per second cannot tell tempi apart.
const LOWEST_FRAME_RATE: f64 = 20.0;
/// Faster ones are decimated to at most this many frames per second.
const HIGHEST_FRAME_RATE: f64 = 125.0;

/// What a [`Tracker`] or an [`OfflineTracker`] is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Frames per second of the onset function ([`crate::onset::Detector::frame_rate`]).
    pub frame_rate: f64,
    /// Slowest tempo, at least [`LOWEST_BPM`].
    pub min_bpm: f64,
    /// Fastest tempo, above `min_bpm`, at most [`HIGHEST_BPM`]. A range of less than an octave
    /// settles every question of half or double tempo.
    pub max_bpm: f64,
    /// The metres allowed, in beats per bar, each 1 … [`MOST_BEATS_PER_BAR`] and named once. With
    /// `[1]` beats are tracked and bars are not.
    pub beats_per_bar: Vec<u8>,
    /// The tempo preferred where octaves are equally likely, beats per minute.
    pub preferred_bpm: f64,
    /// Width of that preference, a standard deviation in octaves.
    pub preference_octaves: f64,
    /// Seconds before its instant that [`Tracker`] reports a beat, 0 … 0.2: more is more
    /// punctual, less is more often right.
    pub lead: f64,
}

impl Config {
    /// The defaults, for an onset function of `frame_rate` frames per second: 55–215 BPM, three or
    /// four beats in a bar.
    pub fn new(frame_rate: f64) -> Self {
        Self {
            frame_rate,
            min_bpm: DEFAULT_MIN_BPM,
            max_bpm: DEFAULT_MAX_BPM,
            beats_per_bar: vec![3, 4],
            preferred_bpm: 125.0,
            preference_octaves: 0.6,
            lead: 0.03,
        }
    }

    fn check(&self) -> Result<(), Error> {
        if !(self.frame_rate >= LOWEST_FRAME_RATE && self.frame_rate.is_finite()) {
            return Err(Error::FrameRate(self.frame_rate));
        }
        let range = LOWEST_BPM..=HIGHEST_BPM;
        if !(range.contains(&self.min_bpm)
            && range.contains(&self.max_bpm)
            && self.min_bpm < self.max_bpm)
        {
            return Err(Error::Bpm(self.min_bpm, self.max_bpm));
        }
        let metres = &self.beats_per_bar;
        let known = |(n, metre): (usize, &u8)| {
            (1..=MOST_BEATS_PER_BAR).contains(metre) && !metres[..n].contains(metre)
        };
        if metres.is_empty() || !metres.iter().enumerate().all(known) {
            return Err(Error::BeatsPerBar(metres.clone()));
        }
        if !(range.contains(&self.preferred_bpm)
            && (0.05..=10.0).contains(&self.preference_octaves))
        {
            return Err(Error::Preference(
                self.preferred_bpm,
                self.preference_octaves,
            ));
        }
        if !(0.0..=0.2).contains(&self.lead) {
            return Err(Error::Lead(self.lead));
        }
        Ok(())
    }
}

/// One beat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    /// Its instant in seconds, on the clock of the frames' `time`.
    pub time: f64,
    /// The largest onset function within 50 ms of it that was observed by the time of the report,
    /// ≥ 0.
    pub strength: f64,
    /// 0 … 1: the share of such beats that are right (see [the module](self)).
    pub confidence: f64,
    /// Tempo at this beat.
    pub bpm: f64,
    /// 1 is the downbeat; 0 while the bar is not known.
    pub beat_in_bar: u8,
    /// It was reported before its instant.
    pub predicted: bool,
}

/// The tempo from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tempo {
    /// Beats per minute; 0 when the beat is lost.
    pub bpm: f64,
    /// Confidence of the beat it was reported with; 0 when the beat is lost.
    pub confidence: f64,
    /// Beats in a bar, 0 while the bar is not known.
    pub beats_per_bar: u8,
}

/// Output of a [`Tracker`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A beat; each once, in ascending order.
    Beat(Beat),
    /// The tempo or the metre has changed, or (0 BPM, confidence 0) there is no beat any more.
    Tempo(Tempo),
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// Too few frames per second.
    FrameRate(f64),
    /// Slowest and fastest tempo.
    Bpm(f64, f64),
    /// Metres.
    BeatsPerBar(Vec<u8>),
    /// Preferred tempo and width of the preference.
    Preference(f64, f64),
    /// Lead of the reports.
    Lead(f64),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FrameRate(rate) => write!(
                f,
                "onset function of {rate} frames/s: beats need at least {LOWEST_FRAME_RATE}"
            ),
            Self::Bpm(min, max) => write!(
                f,
                "tempo from {min} to {max} BPM: it must ascend and stay within {LOWEST_BPM} … {HIGHEST_BPM}"
            ),
            Self::BeatsPerBar(metres) => write!(
                f,
                "beats per bar {metres:?}: name at least one metre of 1 … {MOST_BEATS_PER_BAR}, each once"
            ),
            Self::Preference(bpm, octaves) => write!(
                f,
                "preferred tempo {bpm} BPM ± {octaves} octaves: it must be {LOWEST_BPM} … {HIGHEST_BPM} ± 0.05 … 10"
            ),
            Self::Lead(lead) => write!(f, "beats reported {lead} s early: it must be 0 … 0.2 s"),
        }
    }
}

impl std::error::Error for Error {}

/// Below this level (dBFS), or this much below the recent maximum, a frame is silent. The level is
/// that of 16-bit dither; whatever is above it counts by how it compares with what was before, so
/// that quiet music has beats as loud music does.
const SILENCE: f32 = -92.0;
const SILENCE_BELOW_LOUDEST: f32 = 50.0;
/// The recent maximum falls by this many dB a second: the noise of a line after loud music stays
/// silent for as long as the tempo is kept.
const LOUDEST_FALLS: f32 = 2.0;

/// Separates silence from music by level.
#[derive(Clone, Copy, Debug)]
struct SilenceGate {
    loudest: f32,
}

impl SilenceGate {
    const NEW: Self = Self { loudest: -120.0 };

    /// Whether a frame of `level` dBFS is silent.
    fn is_silent(&mut self, level: f32, frame_rate: f64) -> bool {
        self.loudest = (self.loudest - LOUDEST_FALLS / frame_rate as f32).max(level);
        level < SILENCE || level < self.loudest - SILENCE_BELOW_LOUDEST
    }
}

/// 1 / (1 + exp(−x)).
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
