//! The states of the bar pointer and how they follow each other.
//!
//! F. Krebs, S. Böck, G. Widmer, "An efficient state-space model for joint tempo and meter
//! tracking", ISMIR 2015. A state is (beat of a bar, tempo, position in the beat). One tempo is one
//! whole number of frames τ per beat, and has τ positions, so that the pointer moves by exactly one
//! position a frame. Tempo changes at the start of a beat only; there
//! P(τ → τ') ∝ exp(−λ |τ'/τ − 1|) (the paper's eq. 9), here with a small share of jumps to any
//! tempo, so that a model that has locked on to the wrong one is able to let go.

use super::Model;

/// Share of tempo changes too improbable to be followed one by one.
const NEGLIGIBLE: f64 = 1e-6;

/// One beat of one metre.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// 0 is the downbeat.
    pub beat: u8,
    /// Beats in the bar.
    pub metre: u8,
    /// The slot before this one in the same bar, or the last of it.
    pub before: usize,
}

/// The tempi that a beat of one tempo may come from, as consecutive indices and probabilities.
pub(crate) struct Sources {
    pub first: usize,
    pub weights: Vec<f32>,
}

/// The state space.
pub(crate) struct Space {
    pub slots: Vec<Slot>,
    /// Frames per beat of each tempo, ascending: the fastest is first.
    pub intervals: Vec<usize>,
    /// Where the positions of each tempo start within a slot.
    pub base: Vec<usize>,
    /// Positions of all tempi: states in a slot.
    pub cells: usize,
    /// Number of positions at the start of the beat in which the beat sounds.
    pub region: Vec<usize>,
    /// Where a tempo may come from, by its index.
    pub sources: Vec<Sources>,
    /// Distribution of tempi when nothing is known; sums to 1.
    pub prior: Vec<f32>,
    /// First slots of the bars, which a bar may be followed by.
    pub starts: Vec<usize>,
}

impl Space {
    pub fn new(frame_rate: f64, bpm: (f64, f64), metres: &[u8], model: &Model) -> Self {
        let shortest = (60.0 * frame_rate / bpm.1).round().max(4.0) as usize;
        let longest = ((60.0 * frame_rate / bpm.0).round() as usize).max(shortest);
        let intervals: Vec<usize> = (shortest..=longest).collect();
        let mut base = Vec::with_capacity(intervals.len());
        let mut cells = 0;
        for &interval in &intervals {
            base.push(cells);
            cells += interval;
        }
        let region = intervals
            .iter()
            .map(|&t| ((t as f64 * model.region).round() as usize).clamp(2, t / 2))
            .collect();

        let mut slots = Vec::new();
        let mut starts = Vec::new();
        for &metre in metres {
            let first = slots.len();
            starts.push(first);
            for beat in 0..metre {
                let before = if beat == 0 {
                    first + usize::from(metre) - 1
                } else {
                    slots.len() - 1
                };
                slots.push(Slot {
                    beat,
                    metre,
                    before,
                });
            }
        }

        let octaves = |t: usize| (60.0 * frame_rate / t as f64 / model.centre_bpm).log2();
        let mut prior: Vec<f64> = intervals
            .iter()
            .map(|&t| (-0.5 * (octaves(t) / model.spread).powi(2)).exp() / t as f64)
            .collect();
        let total: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|p| *p /= total);

        // Row by row (from), normalised over the tempi it may go to, then turned into columns.
        let count = intervals.len();
        let mut columns = vec![vec![0.0f64; count]; count];
        for (i, &from) in intervals.iter().enumerate() {
            let likes: Vec<f64> = intervals
                .iter()
                .map(|&to| (-model.lambda * (to as f64 / from as f64 - 1.0).abs()).exp())
                .collect();
            let total: f64 = likes.iter().sum();
            for (j, like) in likes.iter().enumerate() {
                columns[j][i] = like / total * (1.0 - model.jump);
            }
        }
        let sources = columns
            .iter()
            .map(|column| {
                let first = column.iter().position(|&w| w > NEGLIGIBLE).unwrap_or(0);
                let last = column.iter().rposition(|&w| w > NEGLIGIBLE).unwrap_or(0);
                Sources {
                    first,
                    weights: column[first..=last].iter().map(|&w| w as f32).collect(),
                }
            })
            .collect();
        Self {
            slots,
            intervals,
            base,
            cells,
            region,
            sources,
            prior: prior.iter().map(|&p| p as f32).collect(),
            starts,
        }
    }

    pub fn tempi(&self) -> usize {
        self.intervals.len()
    }
}
