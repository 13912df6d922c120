// SPDX-License-Identifier: MPL-2.0
//! Visual rhythm: beats of a motion, where the body comes to rest or turns round, and their tempo.
//!
//! What is followed is **stillness**: the share of the picture that moves beside the camera, with
//! its speed, on a logarithmic scale, so that neither the size of the picture or of the dancer nor
//! the frame rate matters; plus how little the directions of motion (HOOF) before and after have in
//! common, by which a turn shows that does not slow down. Motion that decelerates makes it rise;
//! its peaks are the beats, and how far it rose is their strength. This is the visual impact of
//! Davis & Agrawala ("Visual Rhythm and Beat", SIGGRAPH 2018), integrated: a stop counts when it
//! has come, by how much motion it ended, and not when the deceleration is largest, which is
//! earlier by an unknown time.
//!
//! On 30 held-out clips of the dance corpus (`corpus write --split test`, 128×128, 25 frames a
//! second, 10 s each) with their exact flow, `visual-accuracy` of the tests measures F .875 of a
//! whole and .863 of a stream at ± 100 ms, where circular shifts score .325; .850 and .857 through
//! `models/flow.onnx` (20 clips of 256×256 coded as H.264); .70 and .63 with the mean of four by
//! four vectors, normal errors of 0.25 pixels and 2 % outliers of 5; at errors of 0.5 pixels .40
//! and .26, since most of the motion is slower than that. Where errors hide the motion, it reports
//! few beats rather than many.

mod envelope;
mod pick;
mod tempo;

pub use tempo::Tempo;

use std::collections::VecDeque;

use envelope::{Envelope, Point, RATE};
use pick::{Peak, Picker, Rule};
use tempo::tempo;

/// The slowest tempo unless asked otherwise, in beats a minute.
pub const DEFAULT_MIN_BPM: f64 = 55.0;
/// The fastest tempo unless asked otherwise, in beats a minute.
pub const DEFAULT_MAX_BPM: f64 = 215.0;
/// The slowest tempo that there can be.
pub const LOWEST_BPM: f64 = 20.0;
/// The fastest tempo that there can be.
pub const HIGHEST_BPM: f64 = 300.0;
/// Seconds from the instant of a beat to its report, in a stream: see [`Detector::decided_until`].
pub const DELAY: f64 = 0.25;

/// Values after its beginning at which a peak is known.
const WAIT: i64 = 12;
/// A beat is a peak that rises by this share of what the curve spans …
const RISE: f64 = 0.2;
/// … and by so many octaves of motion at least.
const LEAST: f64 = 0.25;
/// A peak is known before that when the curve has fallen by this share of the rise.
const FALL: f64 = 0.5;
/// A rest begins when stillness is within this share of the rise.
const FLAT: f64 = 0.2;
/// Seconds that a peak is later than the rest as bodies have it.
const BIAS: f64 = 0.01;
/// Motion that does not count: a share of its mean …
const SHARE: f64 = 0.1;
/// … and as much in all, a few thousandths of the picture at 5 pixels a second.
const FLOOR: f64 = 5e-3;
/// The share of the least motion (its 5th percentile) that counts as errors of the flow.
const NOISE: f64 = 0.8;
/// How much a turn counts against a stop, and the share of directions in common that is like none.
const TURN: (f64, f64) = (0.3, 0.05);
/// Octaves that a curve is assumed to span at its start.
const SPAN: f64 = 2.0;
/// Seconds over which the mean of the motion is taken, in a stream and around an instant of a
/// whole.
const MEAN: (f64, f64) = (4.0, 10.0);
/// The same for what the curve spans.
const SPANNED: (f64, f64) = (6.0, 20.0);
/// Seconds over which the tempo is sought, in a stream and around an instant of a whole.
const TEMPO: (f64, f64) = (8.0, 12.0);
/// Values after which spans and tempo are renewed.
const RENEW: (i64, i64) = (10, 50);

/// What is wrong with a [`Config`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Error {
    /// The threshold is not a positive number.
    Threshold(f64),
    /// The range of tempos is empty, or not within 20 to 300.
    Tempos(f64, f64),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threshold(value) => write!(f, "threshold {value} is not a positive number"),
            Self::Tempos(min, max) => write!(
                f,
                "tempos from {min} to {max} beats a minute: need min < max, from 20 to 300"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// How visual beats are detected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Factor on the rise of a peak: above 1 fewer beats are reported, below 1 more.
    pub threshold: f64,
    /// The slowest tempo, in beats a minute.
    pub min_bpm: f64,
    /// The fastest tempo, in beats a minute. Beats are no closer than two thirds of its period.
    pub max_bpm: f64,
    /// Report everything at the end, from the whole video, rather than as it runs.
    pub offline: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold: 1.0,
            min_bpm: DEFAULT_MIN_BPM,
            max_bpm: DEFAULT_MAX_BPM,
            offline: false,
        }
    }
}

/// An analysed frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame<'a> {
    /// Seconds.
    pub time: f64,
    /// Its motion.
    pub motion: FrameMotion<'a>,
}

/// The motion of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrameMotion<'a> {
    /// Not known: it is the first, or of another scene.
    Unknown,
    /// It is the same picture as the one before.
    Repeated,
    /// What moved since the frame before.
    Measured {
        /// Seconds since then.
        interval: f64,
        /// Motion by direction, in any unit: [`super::motion::hoof`].
        histogram: &'a [f64],
        /// Share of the picture that moves beside the camera: [`super::motion::kinetics`].
        moving: f64,
        /// Mean length in pixels of what does.
        foreground: f64,
    },
}

/// A visual beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// The instant at which the motion came to rest or turned round, in seconds.
    pub time: f64,
    /// How much motion ended: octaves by which it became less.
    pub strength: f64,
    /// The share of beats of such strength that are right, 0 to 1, on the dance corpus.
    pub confidence: f64,
    /// The tempo around it, where there is one.
    pub tempo: Option<Tempo>,
}

/// Detects visual beats, frame by frame.
#[derive(Debug)]
pub struct Detector {
    config: Config,
    envelope: Envelope,
    /// All of a whole, and of a stream what its means are taken over; numbered from `first` on.
    points: VecDeque<Point>,
    /// Stillness at the points, in a stream.
    curve: VecDeque<f64>,
    /// Number of the next value.
    next: i64,
    sum: f64,
    /// Motion that is always there.
    least: f64,
    /// What the curve spans.
    span: f64,
    picker: Picker,
    tempo: Option<Tempo>,
    last: Option<f64>,
}

impl Detector {
    /// Before the first frame.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(config: Config) -> Result<Self, Error> {
        if !(config.threshold.is_finite() && config.threshold > 0.0) {
            return Err(Error::Threshold(config.threshold));
        }
        let (min, max) = (config.min_bpm, config.max_bpm);
        let possible = LOWEST_BPM..=HIGHEST_BPM;
        if !(min < max && possible.contains(&min) && possible.contains(&max)) {
            return Err(Error::Tempos(min, max));
        }
        Ok(Self {
            config,
            envelope: Envelope::default(),
            points: VecDeque::new(),
            curve: VecDeque::new(),
            next: 0,
            sum: 0.0,
            least: 0.0,
            span: SPAN,
            picker: Picker::default(),
            tempo: None,
            last: None,
        })
    }

    /// The tempo now, in a stream.
    #[must_use]
    pub fn tempo(&self) -> Option<Tempo> {
        self.tempo
    }

    /// Takes the next frame; reports the beats that are complete with it.
    ///
    /// A frame that is not later than the one before, or much later, ends what was before as
    /// [`finish`](Self::finish) does. Non-finite values make the motion of a frame unknown; a frame
    /// with a non-finite time is dropped.
    pub fn push(&mut self, mut frame: Frame<'_>, report: &mut dyn FnMut(Beat)) {
        if !frame.time.is_finite() {
            return;
        }
        if self.envelope.is_gap(frame.time) {
            self.finish(report);
        }
        if let FrameMotion::Measured {
            interval,
            histogram,
            moving,
            foreground,
        } = frame.motion
        {
            let numbers = [interval, moving, foreground];
            let mut all = numbers.iter().chain(histogram);
            if !all.all(|v| v.is_finite()) {
                frame.motion = FrameMotion::Unknown;
            }
        }
        if frame.motion == FrameMotion::Unknown {
            // Another scene, of other motion: continuing would make a stop or a start of the cut.
            self.end_scene(report);
        }
        self.envelope.push(&frame);
        self.advance(report);
    }

    /// Reports the beats that are left; a stream keeps its level and tempo.
    fn end_scene(&mut self, report: &mut dyn FnMut(Beat)) {
        self.envelope.finish();
        self.advance(report);
        if self.config.offline {
            self.decode_offline(report);
            self.points.clear();
        } else if let Some(peak) = self.picker.finish(&self.rule(self.span)) {
            self.report(peak, self.tempo, report);
        }
        self.envelope = Envelope::default();
        self.picker = Picker::default();
    }

    fn advance(&mut self, report: &mut dyn FnMut(Beat)) {
        while let Some((at, point)) = self.envelope.next() {
            self.points.push_back(point);
            self.next = at + 1;
            if !self.config.offline {
                self.follow(at, point, report);
            }
        }
    }

    /// Up to which instant in seconds all beats have been reported, in a stream: no more than
    /// [`DELAY`] before the last frame but one, unless frames are repeated. None before anything is
    /// known.
    #[must_use]
    pub fn decided_until(&self) -> Option<f64> {
        let any = !self.config.offline && !self.points.is_empty();
        any.then(|| (self.next - 1 - WAIT) as f64 / RATE - BIAS)
    }

    /// Reports the beats that are left, and restarts.
    pub fn finish(&mut self, report: &mut dyn FnMut(Beat)) {
        self.end_scene(report);
        self.reset();
    }

    /// Resets to the state before the first frame.
    pub fn reset(&mut self) {
        self.envelope = Envelope::default();
        self.points.clear();
        self.curve.clear();
        self.sum = 0.0;
        self.least = 0.0;
        self.span = SPAN;
        self.picker = Picker::default();
        self.tempo = None;
        self.last = None;
    }

    fn rule(&self, span: f64) -> Rule {
        let rise = (RISE * span).max(LEAST) * self.config.threshold;
        Rule {
            rise,
            fall: FALL * rise,
            wait: WAIT,
            flat: FLAT * rise,
        }
    }

    /// Advances by one value of a stream.
    fn follow(&mut self, at: i64, point: Point, report: &mut dyn FnMut(Beat)) {
        self.sum += point.motion;
        let longest = [MEAN.0, SPANNED.0, TEMPO.0].map(values);
        if let Some(out) = self.points.len().checked_sub(longest[0] + 1) {
            self.sum -= self.points.get(out).map_or(0.0, |point| point.motion);
        }
        let mean = self.sum.max(0.0) / self.points.len().min(longest[0]) as f64;
        if at % RENEW.0 == 0 {
            let from = self.points.len().saturating_sub(longest[1]);
            self.least = least(self.points.range(from..).copied(), longest[1]);
        }
        self.curve.push_back(stillness(point, mean, self.least));
        let keep = longest.into_iter().max().unwrap_or_default();
        if self.points.len() > keep {
            self.points.pop_front();
            self.curve.pop_front();
        }
        if at % RENEW.0 == 0 {
            let from = self.curve.len().saturating_sub(longest[1]);
            self.span = spanned(self.curve.range(from..).copied(), longest[1]);
        }
        if at % RENEW.1 == 0 {
            let range = [self.config.min_bpm, self.config.max_bpm];
            self.tempo = tempo(self.curve.make_contiguous(), range);
        }
        let rule = self.rule(self.span);
        let value = self.curve.back().copied().unwrap_or_default();
        if let Some(peak) = self.picker.next(at, value, &rule) {
            let tempo = self.tempo;
            self.report(peak, tempo, report);
        }
    }

    /// Decodes everything since the start or the last gap.
    fn decode_offline(&mut self, report: &mut dyn FnMut(Beat)) {
        let count = self.points.len();
        let first = self.next - count as i64;
        let mut sums = Vec::with_capacity(count + 1);
        sums.push(0.0);
        let mut sum = 0.0;
        for point in &self.points {
            sum += point.motion;
            sums.push(sum);
        }
        let around = |n: usize, seconds: f64| {
            let reach = values(0.5 * seconds);
            n.saturating_sub(reach)..(n + reach).min(count)
        };
        let mean = |n: usize| {
            let part = around(n, MEAN.1);
            (sums[part.end] - sums[part.start]) / part.len().max(1) as f64
        };
        let mut errors = 0.0;
        let mut curve = Vec::with_capacity(count);
        for (n, point) in self.points.iter().enumerate() {
            if n as i64 % RENEW.1 == 0 {
                let part = self.points.range(around(n, SPANNED.1));
                errors = least(part.copied(), values(SPANNED.1));
            }
            curve.push(stillness(*point, mean(n), errors));
        }
        let mut span = SPAN;
        let mut current = None;
        for (n, value) in curve.iter().enumerate() {
            let at = first + n as i64;
            // Less often, since it takes more values.
            if n as i64 % RENEW.1 == 0 {
                let part = around(n, SPANNED.1);
                span = spanned(curve[part].iter().copied(), values(SPANNED.1));
                let range = [self.config.min_bpm, self.config.max_bpm];
                current = tempo(&curve[around(n, TEMPO.1)], range);
            }
            let rule = self.rule(span);
            if let Some(peak) = self.picker.next(at, *value, &rule) {
                self.report(peak, current, report);
            }
        }
        if let Some(peak) = self.picker.finish(&self.rule(span)) {
            self.report(peak, current, report);
        }
    }

    fn report(&mut self, peak: Peak, tempo: Option<Tempo>, report: &mut dyn FnMut(Beat)) {
        let time = peak.at as f64 / RATE - BIAS;
        let closest = 2.0 / 3.0 * 60.0 / self.config.max_bpm;
        if time < 0.0 || self.last.is_some_and(|last| time - last < closest) {
            return;
        }
        self.last = Some(time);
        report(Beat {
            time,
            strength: peak.depth,
            confidence: confidence(peak.depth),
            tempo,
        });
    }
}

fn values(seconds: f64) -> usize {
    (seconds * RATE) as usize
}

/// Octaves by which there is less motion than the mean, where `least` is always there.
fn stillness(point: Point, mean: f64, least: f64) -> f64 {
    let errors = NOISE * least;
    let motion = (point.motion - errors).max(0.0);
    let floor = SHARE * (mean - errors).max(0.0) + FLOOR;
    // What hardly moves has no direction to turn from.
    let turned = (1.0 - point.alike) * motion / (motion + floor);
    -(motion + floor).log2() - TURN.0 * (1.0 - turned + TURN.1).log2()
}

/// The 5th and the 95th percentile of the values, and how many there are.
fn span(values: impl Iterator<Item = f64>) -> ([f64; 2], usize) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let n = (share * sorted.len().saturating_sub(1) as f64) as usize;
        sorted.get(n).copied().unwrap_or_default()
    };
    ([at(0.05), at(0.95)], sorted.len())
}

/// What the values span; before there are many of the `whole`, partly what is usual.
fn spanned(values: impl Iterator<Item = f64>, whole: usize) -> f64 {
    let ([low, high], count) = span(values);
    let share = (count as f64 / (0.5 * whole as f64)).min(1.0);
    share * (high - low) + (1.0 - share) * SPAN
}

/// The least motion of the points; before there are many of the `whole`, less.
fn least(points: impl Iterator<Item = Point>, whole: usize) -> f64 {
    let ([low, _], count) = span(points.map(|point| point.motion));
    (count as f64 / (0.5 * whole as f64)).min(1.0) * low
}

/// The share of beats of a strength that are right: a curve through what was measured on training
/// clips of the dance corpus, the mean of exact flow and of that of a small network.
fn confidence(strength: f64) -> f64 {
    const MOST: f64 = 0.9;
    const SCALE: f64 = 0.9;
    MOST * (1.0 - (-(strength.max(0.0) / SCALE).powf(1.5)).exp())
}

#[cfg(test)]
mod tests;
