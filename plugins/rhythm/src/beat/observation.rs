// SPDX-License-Identifier: MPL-2.0
//! The likelihood of a frame of the onset function, given the position in the bar.

use crate::network::Activation;
use crate::onset::Frame;

use super::HIGHEST_FRAME_RATE;

/// The positions in a bar with a likelihood of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The first beat.
    Downbeat,
    /// The beat half-way through a bar of an even number of beats.
    MidBar,
    /// Any other beat.
    Backbeat,
    /// Half-way between two beats (the eighth).
    Offbeat,
}

impl Position {
    /// The position of `beat` (0 is the downbeat) of a bar of `metre` beats.
    pub fn of(beat: u8, metre: u8) -> Self {
        if beat == 0 {
            Self::Downbeat
        } else if metre > 2 && 2 * beat == metre {
            Self::MidBar
        } else {
            Self::Backbeat
        }
    }
}

/// Weights of (1, flux, low, mid, high, low·mid, low·high, mid·high), the square roots of the onset
/// functions, in log P(frame | position) − log P(frame | elsewhere), for each [`Position`].
///
/// Fitted by multinomial logistic regression (classes of equal weight, each recording of equal
/// weight) to the half of the music that is tuned on, synthetic music and drummers' performances.
/// A kick makes the downbeat more likely, snare and hats the backbeat.
const WEIGHTS: [[f32; 8]; 4] = [
    [-0.84, 1.62, 1.81, 1.07, 1.68, -0.67, 0.49, -0.09],
    [-0.64, 1.70, 1.29, 1.25, 1.79, -0.67, -0.11, -0.50],
    [-0.72, 1.91, 0.18, 0.76, 2.05, 0.09, 0.33, 0.43],
    [-0.38, 1.12, 0.59, 0.91, 1.70, 0.65, -0.87, -0.15],
];
/// Share of the frames that are downbeats and other beats, in the music a network learns from.
const DOWNBEATS: f32 = 0.01;
const BEATS: f32 = 0.03;
/// A network separates beats better than downbeats: this share of a beat's probability counts for
/// the downbeat too, and the reverse.
const EITHER: f32 = 0.1;
/// Probabilities below this count as this.
const LEAST: f32 = 1e-4;
/// Weight of a network's log odds beside the onset function, and the range they are limited to;
/// chosen on the half of the music that is tuned on.
const NETWORK_WEIGHT: f32 = 0.1;
const NETWORK_RANGE: (f32, f32) = (-3.0, 6.0);

/// Exponents of the likelihoods of beats and of offbeats: the frames of one beat are far from
/// independent, and so are the beats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exponents {
    pub beat: f32,
    pub offbeat: f32,
}

/// log P(frame | position) − log P(frame | elsewhere), by [`Position`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation([f32; 4]);

impl Observation {
    pub fn new(frame: &Frame, exponents: Exponents) -> Self {
        let root = |x: f32| x.clamp(0.0, 1.0).sqrt();
        let (all, low) = (root(frame.flux), root(frame.low));
        let (mid, high) = (root(frame.mid), root(frame.high));
        let features = [1.0, all, low, mid, high, low * mid, low * high, mid * high];
        let mut ratios = WEIGHTS
            .map(|row| exponents.beat * row.iter().zip(&features).map(|(w, x)| w * x).sum::<f32>());
        ratios[Position::Offbeat as usize] *= exponents.offbeat / exponents.beat;
        if let Some(activation) = frame.activation {
            let [down, back] = of_network(activation);
            ratios[Position::Downbeat as usize] += down;
            ratios[Position::MidBar as usize] += back;
            ratios[Position::Backbeat as usize] += back;
        }
        Self(ratios)
    }

    /// The logarithm of the likelihood ratio of `position`.
    pub fn log(&self, position: Position) -> f32 {
        self.0[position as usize]
    }

    /// The likelihood ratio of `position`.
    pub fn ratio(&self, position: Position) -> f32 {
        self.0[position as usize].exp()
    }
}

/// log P(frame | position) − log P(frame | elsewhere) of the downbeat and of other beats: a
/// network's probabilities, over what they are on average, are likelihoods up to a factor.
fn of_network(activation: Activation) -> [f32; 2] {
    let downbeat = activation.downbeat.min(activation.beat);
    let beat = activation.beat - downbeat;
    let rest = (1.0 - activation.beat).max(LEAST);
    let ratio = |p: f32, share: f32| {
        let (low, high) = NETWORK_RANGE;
        NETWORK_WEIGHT * (p.max(LEAST) / rest / share).ln().clamp(low, high)
    };
    [
        ratio(downbeat + EITHER * beat, DOWNBEATS),
        ratio(beat + EITHER * downbeat, BEATS),
    ]
}

/// Reduces the rate of an onset function: takes the maximum of each few frames.
#[derive(Clone, Debug)]
pub(crate) struct Decimator {
    factor: u32,
    frame_rate: f64,
    held: Option<Frame>,
    count: u32,
}

impl Decimator {
    pub fn new(frame_rate: f64) -> Self {
        let factor = (frame_rate / HIGHEST_FRAME_RATE).ceil().max(1.0);
        Self {
            factor: factor as u32,
            frame_rate: frame_rate / factor,
            held: None,
            count: 0,
        }
    }

    /// Frames per second that are left.
    pub fn frame_rate(&self) -> f64 {
        self.frame_rate
    }

    pub fn reset(&mut self) {
        self.held = None;
        self.count = 0;
    }

    /// Takes a frame; gives one for every `factor`, whose time is their mean time and whose values
    /// are their maxima. Non-finite values count as zero.
    pub fn next(&mut self, frame: &Frame) -> Option<Frame> {
        let finite = |x: f32| if x.is_finite() { x.max(0.0) } else { 0.0 };
        let frame = Frame {
            time: frame.time,
            // Non-finite activations are an error where the network runs.
            activation: frame.activation,
            flux: finite(frame.flux),
            low: finite(frame.low),
            mid: finite(frame.mid),
            high: finite(frame.high),
            level: if frame.level.is_finite() {
                frame.level
            } else {
                -120.0
            },
        };
        let all = match self.held {
            None => frame,
            Some(held) => Frame {
                time: held.time + frame.time,
                flux: held.flux.max(frame.flux),
                low: held.low.max(frame.low),
                mid: held.mid.max(frame.mid),
                high: held.high.max(frame.high),
                level: held.level.max(frame.level),
                activation: frame.activation,
            },
        };
        self.count += 1;
        if self.count < self.factor {
            self.held = Some(all);
            return None;
        }
        self.reset();
        Some(Frame {
            time: all.time / f64::from(self.factor),
            ..all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(beat: f32, downbeat: f32) -> [f32; 2] {
        of_network(Activation {
            onset: 0.0,
            beat,
            downbeat,
        })
    }

    #[test]
    fn a_network_favours_the_position_it_detects() {
        let [down, back] = ratios(0.9, 0.8);
        assert!(down > back && back > 0.0, "{down} {back}");
        let [down, back] = ratios(0.9, 0.05);
        assert!(back > down && down > 0.0, "{down} {back}");
        let [down, back] = ratios(0.001, 0.0);
        assert!(down < 0.0 && back < 0.0, "{down} {back}");
        // The extremes give finite ratios, too.
        for p in [0.0, 1.0] {
            assert!(ratios(p, p).iter().all(|x| x.is_finite()));
        }
    }
}
