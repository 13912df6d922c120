//! Onset functions and onset detection over a stream of mono samples.

pub mod peak;
pub mod superflux;

use crate::spectrum::Framer;
use peak::{Params, Picker};
use superflux::SuperFlux;

/// How onsets are heard.
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

/// The lowest sample rate, in Hz, that onsets are heard at.
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
    /// Seconds since the first sample: the instant that this value speaks about, bias removed.
    pub time: f64,
    /// The onset function, ≥ 0, normalised by the stream's own recent peaks: alike at any level,
    /// about 0 in silence and in stationary noise, about 1 at a strong onset.
    pub flux: f32,
    /// The same of the band below 200 Hz.
    pub low: f32,
    /// The same of 200 Hz … 2 kHz.
    pub mid: f32,
    /// The same of the band above 2 kHz.
    pub high: f32,
    /// RMS level since the last frame in dB relative to full scale, −120 at least.
    pub level: f32,
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

/// What a [`Detector`] says.
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

/// Turns a raw flux into one that is alike at any level and rests at zero: subtracts the local
/// mean, divides by a slow envelope of its own peaks.
struct Normaliser {
    mean: f32,
    peak: f32,
}

impl Normaliser {
    /// Peaks are remembered for about this many seconds.
    const RELEASE: f64 = 8.0;
    const MEAN: f64 = 0.3;
    const FLOOR: f32 = 0.12;

    fn new() -> Self {
        Self {
            mean: 0.0,
            peak: Self::FLOOR,
        }
    }

    fn next(&mut self, raw: f32, frame_rate: f64) -> f32 {
        let release = (-1.0 / (Self::RELEASE * frame_rate)).exp() as f32;
        let follow = 1.0 - (-1.0 / (Self::MEAN * frame_rate)).exp() as f32;
        let above = (raw - 1.5 * self.mean).max(0.0);
        self.mean += (raw - self.mean) * follow;
        self.peak = (self.peak * release).max(above).max(Self::FLOOR);
        above / self.peak
    }
}

/// Hears onsets in a stream of mono samples, pushed in pieces of any size.
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
    rate: f64,
    framer: Framer,
    hop: usize,
    function: SuperFlux,
    picker: Picker,
    delta: f32,
    norms: [Normaliser; 4],
    invalid: u64,
}

/// Seconds from the attack to the end of the frame whose flux is largest.
const LEAD: f64 = 0.012;

impl Detector {
    /// A detector at the start of a stream.
    ///
    /// # Errors
    /// [`Error::Rate`] below [`MIN_RATE`], [`Error::Threshold`] when it is not positive.
    pub fn new(config: &Config) -> Result<Self, Error> {
        if config.rate < MIN_RATE {
            return Err(Error::Rate(config.rate));
        }
        if !(config.threshold > 0.0 && config.threshold.is_finite()) {
            return Err(Error::Threshold(config.threshold));
        }
        let rate = f64::from(config.rate);
        let hop = rate / superflux::FRAME_RATE;
        let function = SuperFlux::new(config.rate);
        let params = Params {
            pre_max: 3,
            post_max: 1,
            pre_avg: 10,
            delta: 0.06 * config.threshold,
            combine: 3,
        };
        Ok(Self {
            rate,
            framer: Framer::new(function.frame_len(), hop, 0),
            hop: hop.ceil() as usize,
            function,
            picker: Picker::new(params),
            delta: params.delta,
            norms: std::array::from_fn(|_| Normaliser::new()),
            invalid: 0,
        })
    }

    /// Frames per second.
    pub fn frame_rate(&self) -> f64 {
        superflux::FRAME_RATE
    }

    /// The longest time in seconds between an attack and its report.
    pub fn delay(&self) -> f64 {
        0.030
    }

    /// Samples so far that were not finite and were taken as silence.
    pub fn invalid_samples(&self) -> u64 {
        self.invalid
    }

    /// Hears `mono`, any number of samples in −1 … 1, and says what it found, in order.
    pub fn push(&mut self, mono: &[f32], events: &mut impl FnMut(Event)) {
        // Counting apart keeps the copy a plain vector loop.
        self.invalid += mono.iter().filter(|x| !x.is_finite()).count() as u64;
        let mut rest = mono;
        while !rest.is_empty() {
            let (left, frame) = self
                .framer
                .fill(rest, |x| if x.is_finite() { x } else { 0.0 });
            rest = left;
            if let Some(n) = frame {
                self.hop(n, events);
            }
        }
    }

    /// Ends the stream: says what was still held back.
    pub fn finish(&mut self, events: &mut impl FnMut(Event)) {
        let silence = vec![0.0; self.hop * 4];
        let invalid = self.invalid;
        self.push(&silence, events);
        self.invalid = invalid;
    }

    /// Forgets the stream; the next sample is at time 0.
    pub fn reset(&mut self) {
        self.framer.reset();
        self.function.reset();
        self.picker.reset();
        self.norms = std::array::from_fn(|_| Normaliser::new());
        self.invalid = 0;
    }

    fn hop(&mut self, n: u64, events: &mut impl FnMut(Event)) {
        let flux = self
            .function
            .next(self.framer.last(self.function.frame_len()));
        let power = self
            .framer
            .last(self.hop)
            .iter()
            .map(|x| x * x)
            .sum::<f32>()
            / self.hop as f32;
        let end = ((n + 1) as f64 * self.rate / superflux::FRAME_RATE).round() / self.rate;
        let [all, low, mid, high] = &mut self.norms;
        let fps = superflux::FRAME_RATE;
        let frame = Frame {
            time: end - LEAD,
            flux: all.next(flux.all, fps),
            low: low.next(flux.low, fps),
            mid: mid.next(flux.mid, fps),
            high: high.next(flux.high, fps),
            level: (10.0 * power.log10()).max(-120.0),
        };
        events(Event::Frame(frame));
        if let Some(peak) = self.picker.next(flux.all, self.delta) {
            let time = end - LEAD - (peak.age as f64 - f64::from(peak.shift)) / fps;
            events(Event::Onset(Onset {
                time: time.max(0.0),
                strength: f64::from(peak.excess),
                confidence: f64::from(1.0 - (-peak.excess / self.delta).exp()),
            }));
        }
    }
}
