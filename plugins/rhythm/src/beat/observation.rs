//! What a frame of the onset function says about where in the bar it is.

use crate::network::Activation;
use crate::onset::Frame;

use super::HIGHEST_FRAME_RATE;

/// The places of a bar that sound unlike the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first beat.
    Down,
    /// The beat half-way through a bar of an even number of beats.
    Middle,
    /// Any other beat.
    Back,
    /// Half-way between two beats.
    Half,
}

impl Place {
    /// The place of `beat` (0 is the downbeat) of a bar of `metre` beats.
    pub fn of(beat: u8, metre: u8) -> Self {
        if beat == 0 {
            Self::Down
        } else if metre > 2 && 2 * beat == metre {
            Self::Middle
        } else {
            Self::Back
        }
    }
}

/// Weights of (1, flux, low, mid, high, low·mid, low·high, mid·high), the square roots of the onset
/// functions, in log P(frame | place) − log P(frame | elsewhere), for each [`Place`].
///
/// Fitted by multinomial logistic regression (classes of equal weight, each recording of equal
/// weight) to the half of the music that is tuned on, synthetic music and drummers' performances.
/// A kick speaks for the downbeat, snare and hats for the backbeat.
const WEIGHTS: [[f32; 8]; 4] = [
    [-0.84, 1.62, 1.81, 1.07, 1.68, -0.67, 0.49, -0.09],
    [-0.64, 1.70, 1.29, 1.25, 1.79, -0.67, -0.11, -0.50],
    [-0.72, 1.91, 0.18, 0.76, 2.05, 0.09, 0.33, 0.43],
    [-0.38, 1.12, 0.59, 0.91, 1.70, 0.65, -0.87, -0.15],
];
/// Share of the frames that are downbeats and other beats, in the music a network learns from.
const DOWNBEATS: f32 = 0.01;
const BEATS: f32 = 0.03;
/// A network is surer of beats than of downbeats: this share of a beat's probability counts for
/// the downbeat too, and the reverse.
const EITHER: f32 = 0.1;
/// Probabilities below this are all alike.
const LEAST: f32 = 1e-4;
/// How much of a network's log odds counts beside the onset function, and from and up to where;
/// chosen on the half of the music that is tuned on.
const NETWORK_TEMPER: f32 = 0.1;
const NETWORK_RANGE: (f32, f32) = (-3.0, 6.0);

/// How much of that counts, of beats and of half-beats: the frames of one beat are far from
/// independent, and so are the beats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    pub beat: f32,
    pub half: f32,
}

/// log P(frame | place) − log P(frame | elsewhere), by [`Place`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation([f32; 4]);

impl Observation {
    pub fn new(frame: &Frame, temper: Temper) -> Self {
        let root = |x: f32| x.clamp(0.0, 1.0).sqrt();
        let (all, low) = (root(frame.flux), root(frame.low));
        let (mid, high) = (root(frame.mid), root(frame.high));
        let features = [1.0, all, low, mid, high, low * mid, low * high, mid * high];
        let mut ratios = WEIGHTS
            .map(|row| temper.beat * row.iter().zip(&features).map(|(w, x)| w * x).sum::<f32>());
        ratios[Place::Half as usize] *= temper.half / temper.beat;
        if let Some(heard) = frame.activation {
            let [down, back] = of_network(heard);
            ratios[Place::Down as usize] += down;
            ratios[Place::Middle as usize] += back;
            ratios[Place::Back as usize] += back;
        }
        Self(ratios)
    }

    /// The logarithm of the likelihood ratio of `place`.
    pub fn log(&self, place: Place) -> f32 {
        self.0[place as usize]
    }

    /// The likelihood ratio of `place`.
    pub fn ratio(&self, place: Place) -> f32 {
        self.0[place as usize].exp()
    }
}

/// log P(frame | place) − log P(frame | elsewhere) of the downbeat and of other beats: a network's
/// probabilities, over what they are on average, are likelihoods up to a factor.
fn of_network(heard: Activation) -> [f32; 2] {
    let downbeat = heard.downbeat.min(heard.beat);
    let beat = heard.beat - downbeat;
    let rest = (1.0 - heard.beat).max(LEAST);
    let ratio = |p: f32, share: f32| {
        let (low, high) = NETWORK_RANGE;
        NETWORK_TEMPER * (p.max(LEAST) / rest / share).ln().clamp(low, high)
    };
    [
        ratio(downbeat + EITHER * beat, DOWNBEATS),
        ratio(beat + EITHER * downbeat, BEATS),
    ]
}

/// Makes an onset function slow enough: takes the strongest of each few frames.
#[derive(Clone, Debug)]
pub(crate) struct Thinner {
    factor: u32,
    frame_rate: f64,
    held: Option<Frame>,
    count: u32,
}

impl Thinner {
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
    /// are their maxima. What is not a finite number counts as nothing heard.
    pub fn next(&mut self, frame: &Frame) -> Option<Frame> {
        let finite = |x: f32| if x.is_finite() { x.max(0.0) } else { 0.0 };
        let frame = Frame {
            time: frame.time,
            // What is not finite is caught where the network runs.
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

    fn heard(beat: f32, downbeat: f32) -> [f32; 2] {
        of_network(Activation {
            onset: 0.0,
            beat,
            downbeat,
        })
    }

    #[test]
    fn a_network_speaks_for_the_place_it_hears() {
        let [down, back] = heard(0.9, 0.8);
        assert!(down > back && back > 0.0, "{down} {back}");
        let [down, back] = heard(0.9, 0.05);
        assert!(back > down && down > 0.0, "{down} {back}");
        let [down, back] = heard(0.001, 0.0);
        assert!(down < 0.0 && back < 0.0, "{down} {back}");
        // Sure of all or of nothing, it still says something finite.
        for p in [0.0, 1.0] {
            assert!(heard(p, p).iter().all(|x| x.is_finite()));
        }
    }
}
