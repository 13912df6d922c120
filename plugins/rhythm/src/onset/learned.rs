// SPDX-License-Identifier: MPL-2.0
//! Onsets and activations by a network, see [`crate::network`].

use super::attack::Locator;
use super::superflux::SuperFlux;
use super::{Causal, Event, Flux, Frame, Normaliser, Onset, finite, level};
use crate::network::{Activation, BANDS, FRAME_RATE, Failure, LogBands, Network};
use crate::spectrum::Framer;

/// Activation that an onset needs.
const THRESHOLD: f32 = 0.4;
/// Frames of silence that the network gets before the first: without them it cannot know that an
/// attack at the start of a stream is one.
const LEAD_IN: usize = 32;
/// Frames after an onset in which there is no other.
const COMBINE: u32 = 3;

/// A frame whose activation is still to come.
struct Waiting {
    /// Samples of the stream up to its end.
    end: u64,
    level: f32,
    flux: Flux,
}

/// Runs a network over a stream at the stream's own rate.
pub(super) struct Learned {
    rate: f64,
    hop: usize,
    framer: Framer,
    features: LogBands,
    /// Supports the network in styles that were not in its training data.
    function: SuperFlux,
    norms: [Normaliser; 4],
    network: Box<dyn Network>,
    block: usize,
    threshold: f32,
    /// Features of the frames that wait, and the frames.
    pending_features: Vec<f32>,
    waiting: Vec<Waiting>,
    activations: Vec<Activation>,
    picker: Picker,
    locator: Locator,
    /// The network has had its lead-in.
    started: bool,
    /// Why the network stopped; nothing is detected from then on.
    failure: Option<Failure>,
    failed: bool,
}

impl Learned {
    pub fn new(rate: u32, threshold: f32, network: Box<dyn Network>) -> Self {
        let features = LogBands::new(rate);
        let function = SuperFlux::new(rate);
        let rate = f64::from(rate);
        let hop = rate / FRAME_RATE;
        let locator = Locator::new(rate);
        let block = network.block().max(1);
        // An onset is reported two frames after its own, and a block is processed at its end.
        let behind = (hop.ceil() as usize) * (block + 2);
        Self {
            framer: Framer::new(features.frame_len().max(locator.span() + behind), hop, 0),
            rate,
            hop: hop.round() as usize,
            pending_features: Vec::with_capacity(block * BANDS),
            waiting: Vec::with_capacity(block),
            activations: Vec::with_capacity(block.max(LEAD_IN)),
            features,
            function,
            norms: std::array::from_fn(|_| Normaliser::new(FRAME_RATE, Causal::FLOOR)),
            network,
            block,
            threshold: (THRESHOLD * threshold).min(0.99),
            picker: Picker::NEW,
            locator,
            started: false,
            failure: None,
            failed: false,
        }
    }

    pub fn reset(&mut self) {
        self.framer.reset();
        self.features.reset();
        self.function.reset();
        self.norms.iter_mut().for_each(Normaliser::reset);
        self.network.reset();
        self.pending_features.clear();
        self.waiting.clear();
        self.picker = Picker::NEW;
        self.started = false;
        self.failure = None;
        self.failed = false;
    }

    /// Seconds from the attack to its report: to the end of its frame, and one more to confirm
    /// the maximum; longer where frames wait for their block.
    pub fn delay(&self) -> f64 {
        self.network.delay() + (1.0 + self.block as f64) / FRAME_RATE
    }

    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    pub fn push(&mut self, samples: &[f32], events: &mut impl FnMut(Event)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (left, frame) = self.framer.fill(rest, finite);
            rest = left;
            if frame.is_none() {
                continue;
            }
            let at = self.pending_features.len();
            self.pending_features.resize(at + BANDS, 0.0);
            let frame = self.framer.last(self.function.frame_len());
            let flux = self.function.next(frame);
            // Both use the same spectrum.
            let magnitude = self.function.magnitude();
            self.features
                .of_magnitude(magnitude, &mut self.pending_features[at..]);
            let [all, low, mid, high] = &mut self.norms;
            self.waiting.push(Waiting {
                flux: Flux {
                    all: all.next(flux.all),
                    low: low.next(flux.low),
                    mid: mid.next(flux.mid),
                    high: high.next(flux.high),
                },
                end: self.framer.received(),
                level: level(self.framer.last(self.hop)),
            });
            if self.waiting.len() == self.block {
                self.run(events);
            }
        }
    }

    /// Processes the frames that still wait for their block.
    pub fn finish(&mut self, events: &mut impl FnMut(Event)) {
        if !self.waiting.is_empty() {
            self.run(events);
        }
    }

    fn run_network(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.started, true) {
            self.network
                .run(&[0.0; LEAD_IN * BANDS], &mut self.activations)?;
            self.activations.clear();
        }
        self.network
            .run(&self.pending_features, &mut self.activations)
    }

    fn run(&mut self, events: &mut impl FnMut(Event)) {
        self.activations.clear();
        if !self.failed
            && let Err(failure) = self.run_network()
        {
            self.failure = Some(failure);
            self.failed = true;
            self.activations.clear();
        }
        let delay = self.network.delay();
        for (frame, activation) in self.waiting.drain(..).zip(&self.activations) {
            let end = frame.end as f64 / self.rate;
            events(Event::Frame(Frame {
                time: end - delay,
                flux: frame.flux.all,
                low: frame.flux.low,
                mid: frame.flux.mid,
                high: frame.flux.high,
                level: frame.level,
                activation: Some(*activation),
            }));
            let Some(height) = self.picker.next(activation.onset, self.threshold) else {
                continue;
            };
            // The frame before this one was the peak.
            let age = delay + 1.0 / FRAME_RATE;
            let span = self.locator.span();
            let behind = (self.framer.received() - frame.end) as usize;
            let samples = &self.framer.last(span + behind)[..span];
            let age = self.locator.age(samples, age, self.rate);
            events(Event::Onset(Onset {
                time: (end - age).max(0.0),
                strength: f64::from(height),
                confidence: f64::from(height),
            }));
        }
        self.pending_features.clear();
    }
}

/// Finds the peaks of an activation, one frame late.
struct Picker {
    /// The last two values, the newest last.
    before: [f32; 2],
    since: u32,
}

impl Picker {
    const NEW: Self = Self {
        before: [0.0; 2],
        since: COMBINE,
    };

    /// Takes the next value; the height of the one before where that was a peak.
    fn next(&mut self, value: f32, threshold: f32) -> Option<f32> {
        let [first, middle] = self.before;
        self.before = [middle, value];
        self.since = self.since.saturating_add(1);
        if middle < threshold || middle < first || middle < value || self.since <= COMBINE {
            return None;
        }
        self.since = 0;
        Some(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports an onset where the features rise, and fails at frame `until`.
    struct Rises {
        block: usize,
        /// Not known before the first frame, as in a network whose state is zero.
        before: Option<f32>,
        until: usize,
    }

    impl Network for Rises {
        fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure> {
            for frame in features.chunks(BANDS) {
                self.until = self.until.checked_sub(1).ok_or("it stops")?;
                let level: f32 = frame.iter().sum();
                out.push(Activation {
                    onset: ((level - self.before.unwrap_or(level)) / 40.0).clamp(0.0, 1.0),
                    ..Activation::default()
                });
                self.before = Some(level);
            }
            Ok(())
        }

        fn block(&self) -> usize {
            self.block
        }

        fn delay(&self) -> f64 {
            0.015
        }

        fn reset(&mut self) {
            self.before = None;
        }
    }

    fn detect(block: usize, until: usize) -> (Learned, Vec<Event>) {
        // A click each 310 ms.
        let samples: Vec<f32> = (0..88_200)
            .map(|n| if n % 13_671 < 40 { 0.5 } else { 0.0 })
            .collect();
        let network = Rises {
            block,
            before: None,
            until,
        };
        let mut learned = Learned::new(44_100, 1.0, Box::new(network));
        let mut events = Vec::new();
        learned.push(&samples, &mut |event| events.push(event));
        learned.finish(&mut |event| events.push(event));
        (learned, events)
    }

    #[test]
    fn blocks_change_when_and_not_what() {
        let (_, one) = detect(1, usize::MAX);
        let frames = one.iter().filter(|e| matches!(e, Event::Frame(_))).count();
        let onsets: Vec<f64> = one
            .iter()
            .filter_map(|event| match event {
                Event::Onset(onset) => Some(onset.time),
                Event::Frame(_) => None,
            })
            .collect();
        assert_eq!((frames, onsets.len()), (200, 7), "{onsets:?}");
        for (n, time) in onsets.iter().enumerate() {
            assert!((time - 0.31 * n as f64).abs() < 0.01, "{onsets:?}");
        }
        assert_eq!(detect(16, usize::MAX).1, one);
    }

    #[test]
    fn a_network_that_fails_reports_the_reason_once() {
        let (mut learned, events) = detect(1, LEAD_IN + 50);
        assert_eq!(
            events
                .iter()
                .filter(|e| matches!(e, Event::Frame(_)))
                .count(),
            50
        );
        let why = learned.take_failure().map(|failure| failure.to_string());
        assert_eq!(why.as_deref(), Some("it stops"));
        assert!(learned.take_failure().is_none());
    }

    #[test]
    fn a_peak_is_reported_once_one_frame_late() {
        let mut picker = Picker::NEW;
        let mut seen = Vec::new();
        for n in 0..40 {
            let value = match n {
                10 => 0.4,
                11 => 0.9,
                12 => 0.6,
                13 => 0.7,
                30 => 0.45,
                _ => 0.0,
            };
            if picker.next(value, 0.5).is_some() {
                seen.push(n);
            }
        }
        assert_eq!(seen, [12]);
    }

    #[test]
    fn two_peaks_need_more_than_the_combination_time_between_them() {
        let count = |apart: usize| {
            let mut picker = Picker::NEW;
            (0..40)
                .filter(|n| {
                    let value = if *n == 10 || *n == 10 + apart {
                        0.9
                    } else {
                        0.0
                    };
                    picker.next(value, 0.5).is_some()
                })
                .count()
        };
        let combine = COMBINE as usize;
        assert_eq!((count(combine), count(combine + 1)), (1, 2));
        // The threshold itself is enough.
        let mut picker = Picker::NEW;
        let found: Vec<f32> = [0.0, 0.5, 0.0]
            .into_iter()
            .filter_map(|value| picker.next(value, 0.5))
            .collect();
        assert_eq!(found, [0.5]);
    }
}
