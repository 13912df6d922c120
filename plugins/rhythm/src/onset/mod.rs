// SPDX-License-Identifier: MPL-2.0
//! Onset functions and onset detection over a stream of mono samples.

pub mod attack;
mod centred;
mod learned;
pub mod librosa;
pub mod mudar;
pub mod peak;
pub mod superflux;

use crate::network::{self, Activation, Failure, Network};
use crate::spectrum::{Framer, dot};
use attack::Locator;
use centred::Centred;
use learned::Learned;
use peak::Trigger;
use superflux::SuperFlux;

/// How onsets are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Method {
    /// SuperFlux with causal peak picking, the default: see [`superflux`].
    #[default]
    SuperFlux,
    /// The paper MuDaR's equations 1–2.
    Mudar,
    /// As librosa's `onset_strength` and `onset_detect` with their defaults.
    Librosa,
}

/// What a [`Detector`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Sample rate in Hz, at least [`MIN_RATE`].
    pub rate: u32,
    /// The onset function and its picking.
    pub method: Method,
    /// Multiplies the method's own threshold; 1.0 is its default, higher reports less.
    pub threshold: f32,
    /// Take the method's measured bias off every time; only [`Method::Librosa`] can go without.
    pub debias: bool,
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        if self.rate < MIN_RATE {
            return Err(Error::Rate(self.rate));
        }
        if !(self.threshold > 0.0 && self.threshold.is_finite()) {
            return Err(Error::Threshold(self.threshold));
        }
        Ok(())
    }
}

/// The lowest sample rate, in Hz, at which onsets can be detected.
pub const MIN_RATE: u32 = 8_000;

/// Why a [`Detector`] cannot be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The rate is below [`MIN_RATE`].
    Rate(u32),
    /// The threshold is not a positive finite number.
    Threshold(f32),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rate(rate) => write!(
                f,
                "sample rate {rate} Hz: onsets need at least {MIN_RATE} Hz"
            ),
            Self::Threshold(value) => {
                write!(f, "threshold {value}: it must be a positive finite number")
            }
        }
    }
}

impl std::error::Error for Error {}

/// One value of the onset function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Seconds since the first sample: the instant that this value belongs to, bias removed.
    pub time: f64,
    /// The onset function, ≥ 0, normalised by the stream's own recent peaks: independent of the
    /// level, about 0 in silence and in stationary noise, about 1 at a strong onset.
    pub flux: f32,
    /// The same of the band below 200 Hz.
    pub low: f32,
    /// The same of 200 Hz … 2 kHz.
    pub mid: f32,
    /// The same of the band above 2 kHz.
    pub high: f32,
    /// RMS level since the last frame in dB relative to full scale, −120 at least.
    pub level: f32,
    /// Output of the network, where there is one.
    pub activation: Option<Activation>,
}

/// One onset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    /// Seconds since the first sample: the instant of the attack, bias removed.
    pub time: f64,
    /// How strong it is, ≥ 0, in units of the normalised onset function.
    pub strength: f64,
    /// 0 … 1: the share of such reports that are true within 50 ms (calibrated on synthetic music).
    pub confidence: f64,
}

/// Output of a [`Detector`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The next value of the onset function; they come at [`Detector::frame_rate`].
    Frame(Frame),
    /// An onset, at most [`Detector::delay`] seconds after its attack.
    Onset(Onset),
}

/// The onset function before normalisation: of all bands, below 200 Hz, to 2 kHz, above.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flux {
    /// All bands.
    pub all: f32,
    /// Below 200 Hz.
    pub low: f32,
    /// 200 Hz … 2 kHz.
    pub mid: f32,
    /// Above 2 kHz.
    pub high: f32,
}

/// Output of a method, before normalisation.
enum Reported {
    /// The function's value, with its instant and level.
    Frame(Flux, Frame),
    /// An onset: instant, height above the local mean in the function's unit, and what its
    /// confidence is calibrated on.
    Onset {
        time: f64,
        value: f32,
        evidence: f32,
    },
}

/// RMS level of `samples` in dBFS, −120 at least.
fn level(samples: &[f32]) -> f32 {
    let power = dot(samples, samples) / samples.len() as f32;
    (10.0 * power.log10()).max(-120.0)
}

/// Makes a raw flux independent of the level, with zero as its baseline: subtracts the local mean,
/// divides by a slow envelope of its own peaks.
struct Normaliser {
    mean: f32,
    peak: f32,
    follow: f32,
    release: f32,
    floor: f32,
}

impl Normaliser {
    /// Peaks are remembered for about this many seconds.
    const RELEASE: f64 = 8.0;
    /// The local mean follows in this many seconds.
    const MEAN: f64 = 0.3;
    /// A new peak raises the envelope by this factor at most, so that the first sound after
    /// silence, where every band rises, does not hide what follows.
    const ATTACK: f32 = 2.0;

    fn new(frame_rate: f64, floor: f32) -> Self {
        let keep = |seconds: f64| (-1.0 / (seconds * frame_rate)).exp() as f32;
        Self {
            mean: 0.0,
            peak: floor,
            follow: 1.0 - keep(Self::MEAN),
            release: keep(Self::RELEASE),
            floor,
        }
    }

    fn reset(&mut self) {
        (self.mean, self.peak) = (0.0, self.floor);
    }

    fn next(&mut self, raw: f32) -> f32 {
        let above = (raw - Trigger::FACTOR * self.mean).max(0.0);
        self.mean += (raw - self.mean) * self.follow;
        let attack = above.min(self.peak * Self::ATTACK);
        self.peak = (self.peak * self.release).max(attack).max(self.floor);
        (above / self.peak).min(Self::ATTACK)
    }
}

/// Detects onsets in a stream of mono samples, pushed in pieces of any size.
///
/// ```
/// use dance_rhythm::onset::{Config, Detector, Event, Method};
/// let mut detector = Detector::new(&Config {
///     rate: 44_100,
///     method: Method::SuperFlux,
///     threshold: 1.0,
///     debias: true,
/// })?;
/// let mut click = vec![0.0; 44_100];
/// click[22_050..22_100].fill(0.5);
/// let mut onsets = Vec::new();
/// let mut note = |event| {
///     if let Event::Onset(onset) = event {
///         onsets.push(onset.time);
///     }
/// };
/// detector.push(&click, &mut note);
/// detector.finish(&mut note);
/// assert_eq!(onsets.len(), 1);
/// assert!((onsets[0] - 0.5).abs() < 0.005);
/// # Ok::<(), dance_rhythm::onset::Error>(())
/// ```
pub struct Detector {
    engine: Engine,
    norms: [Normaliser; 4],
    calibration: Calibration,
    invalid: u64,
}

enum Engine {
    Causal(Box<Causal>),
    Centred(Box<Centred>),
    Learned(Box<Learned>),
}

impl Engine {
    fn frame_rate(&self) -> f64 {
        match self {
            Self::Causal(_) => superflux::FRAME_RATE,
            Self::Centred(centred) => centred.frame_rate(),
            Self::Learned(_) => network::FRAME_RATE,
        }
    }
}

/// Confidence as a logistic function of the logarithm of the evidence: the probability that a
/// report is a true onset within 50 ms. Fitted to the synthetic set (seed 1) together with drum
/// kits and soundfonts rendered from MIDI; `onset-accuracy` prints the curve on the synthetic set.
struct Calibration {
    at_one: f64,
    slope: f64,
}

impl Calibration {
    fn confidence(&self, evidence: f32) -> f64 {
        let logit = self.at_one + self.slope * f64::from(evidence.max(1e-6)).ln();
        1.0 / (1.0 + (-logit).exp())
    }
}

/// SuperFlux at the stream's own rate, reporting as soon as the function rises.
struct Causal {
    rate: f64,
    framer: Framer,
    hop: usize,
    function: SuperFlux,
    trigger: Trigger,
    locator: Locator,
    delta: f32,
}

impl Causal {
    /// Seconds from an attack to the end of the frame that reports it, the median. The instant of
    /// a frame's value is this much before the frame's end; the instant of an onset is where
    /// [`Locator`] finds its attack in the samples, and this only where it finds none.
    const LEAD: f64 = 0.012;
    /// Envelope of the function's peaks at which it counts as silent, log10.
    const FLOOR: f32 = 0.12;
    /// Threshold over the local mean, in mean log10 rise of the bands.
    const DELTA: f32 = 0.014;

    fn new(config: &Config) -> Self {
        let rate = f64::from(config.rate);
        let hop = rate / superflux::FRAME_RATE;
        let function = SuperFlux::new(config.rate);
        let locator = Locator::new(rate);
        Self {
            rate,
            framer: Framer::new(function.frame_len().max(locator.span()), hop, 0),
            hop: hop.round() as usize,
            function,
            trigger: Trigger::new(),
            locator,
            delta: Self::DELTA * config.threshold,
        }
    }

    fn reset(&mut self) {
        self.framer.reset();
        self.function.reset();
        self.trigger = Trigger::new();
    }

    fn push(&mut self, samples: &[f32], out: &mut impl FnMut(Reported)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (left, frame) = self.framer.fill(rest, finite);
            rest = left;
            if frame.is_some() {
                self.hop(out);
            }
        }
    }

    fn hop(&mut self, out: &mut impl FnMut(Reported)) {
        let end = self.framer.received() as f64 / self.rate;
        let flux = self
            .function
            .next(self.framer.last(self.function.frame_len()));
        out(Reported::Frame(
            flux,
            Frame {
                time: end - Self::LEAD,
                flux: 0.0,
                low: 0.0,
                mid: 0.0,
                high: 0.0,
                level: level(self.framer.last(self.hop)),
                activation: None,
            },
        ));
        let Some(excess) = self.trigger.next(flux.all, self.delta) else {
            return;
        };
        let samples = self.framer.last(self.locator.span());
        let age = self.locator.age(samples, Self::LEAD, self.rate);
        out(Reported::Onset {
            time: (end - age).max(0.0),
            value: excess,
            evidence: excess / Self::DELTA,
        });
    }
}

/// Non-finite samples count as silence.
fn finite(x: f32) -> f32 {
    if x.is_finite() { x } else { 0.0 }
}

impl Detector {
    /// A detector at the start of a stream.
    ///
    /// # Errors
    /// [`Error::Rate`] below [`MIN_RATE`], [`Error::Threshold`] when it is not positive.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        // The floors are in the functions' own units: log10, amplitude, dB.
        let (engine, floor, calibration) = match config.method {
            Method::SuperFlux => (
                Engine::Causal(Box::new(Causal::new(config))),
                Causal::FLOOR,
                Calibration {
                    at_one: 1.93,
                    slope: 0.75,
                },
            ),
            method => (
                Engine::Centred(Box::new(Centred::new(
                    config.rate,
                    method,
                    config.threshold,
                    config.debias,
                ))),
                if method == Method::Mudar {
                    centred::MUDAR_FLOOR
                } else {
                    1.0
                },
                // The height of their peaks does not predict whether they are right: the share of
                // all.
                Calibration {
                    at_one: if method == Method::Mudar { 2.15 } else { 2.42 },
                    slope: 0.0,
                },
            ),
        };
        Ok(Self::assemble(engine, floor, calibration))
    }

    /// A detector that uses `network` instead of [`Config::method`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_network(config: &Config, network: Box<dyn Network>) -> Result<Self, Error> {
        config.check()?;
        let learned = Learned::new(config.rate, config.threshold, network);
        // A network's onset activation is its confidence.
        let calibration = Calibration {
            at_one: 0.0,
            slope: 0.0,
        };
        Ok(Self::assemble(
            Engine::Learned(Box::new(learned)),
            1.0,
            calibration,
        ))
    }

    fn assemble(engine: Engine, floor: f32, calibration: Calibration) -> Self {
        let frame_rate = engine.frame_rate();
        Self {
            engine,
            norms: std::array::from_fn(|_| Normaliser::new(frame_rate, floor)),
            calibration,
            invalid: 0,
        }
    }

    /// Frames per second.
    pub fn frame_rate(&self) -> f64 {
        self.engine.frame_rate()
    }

    /// The longest time in seconds between an attack and its report, where the attack is sharp; a
    /// slow one is reported when it has risen far enough.
    pub fn delay(&self) -> f64 {
        match &self.engine {
            Engine::Causal(_) => 0.030,
            Engine::Centred(centred) => centred.delay(),
            Engine::Learned(learned) => learned.delay(),
        }
    }

    /// Why the network stopped, once; from then on nothing is detected until [`Self::reset`].
    pub fn take_failure(&mut self) -> Option<Failure> {
        match &mut self.engine {
            Engine::Learned(learned) => learned.take_failure(),
            Engine::Causal(_) | Engine::Centred(_) => None,
        }
    }

    /// Non-finite samples so far; they count as silence.
    pub fn invalid_samples(&self) -> u64 {
        self.invalid
    }

    /// Analyses `mono`, any number of samples in −1 … 1, and reports what it found, in order.
    pub fn push(&mut self, mono: &[f32], events: &mut impl FnMut(Event)) {
        // Counting apart keeps the copy a plain vector loop.
        self.invalid += mono.iter().filter(|x| !x.is_finite()).count() as u64;
        let (norms, calibration) = (&mut self.norms, &self.calibration);
        let mut out = |reported| events(normalise(norms, calibration, reported));
        match &mut self.engine {
            // Its values are probabilities already.
            Engine::Learned(learned) => learned.push(mono, events),
            Engine::Causal(causal) => causal.push(mono, &mut out),
            Engine::Centred(centred) => {
                let mut clean = [0.0; 256];
                for part in mono.chunks(clean.len()) {
                    for (to, from) in clean.iter_mut().zip(part) {
                        *to = finite(*from);
                    }
                    centred.push(&clean[..part.len()], &mut out);
                }
            }
        }
    }

    /// Ends the stream: reports what was still held back. [`Method::SuperFlux`] holds nothing back.
    pub fn finish(&mut self, events: &mut impl FnMut(Event)) {
        let (norms, calibration) = (&mut self.norms, &self.calibration);
        match &mut self.engine {
            Engine::Causal(_) => (),
            Engine::Centred(centred) => {
                centred.finish(&mut |reported| events(normalise(norms, calibration, reported)));
            }
            Engine::Learned(learned) => learned.finish(events),
        }
    }

    /// Resets to the start of a stream; the next sample is at time 0.
    pub fn reset(&mut self) {
        match &mut self.engine {
            Engine::Causal(causal) => causal.reset(),
            Engine::Centred(centred) => centred.reset(),
            Engine::Learned(learned) => learned.reset(),
        }
        self.norms.iter_mut().for_each(Normaliser::reset);
        self.invalid = 0;
    }
}

fn normalise(norms: &mut [Normaliser; 4], calibration: &Calibration, reported: Reported) -> Event {
    let [all, low, mid, high] = norms;
    match reported {
        Reported::Frame(flux, frame) => Event::Frame(Frame {
            flux: all.next(flux.all),
            low: low.next(flux.low),
            mid: mid.next(flux.mid),
            high: high.next(flux.high),
            ..frame
        }),
        Reported::Onset {
            time,
            value,
            evidence,
        } => Event::Onset(Onset {
            time,
            strength: f64::from(value / all.peak),
            confidence: calibration.confidence(evidence),
        }),
    }
}
