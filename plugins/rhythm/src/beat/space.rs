// SPDX-License-Identifier: MPL-2.0
//! The states of the bar pointer and how they follow each other.
//!
//! F. Krebs, S. Böck, G. Widmer, "An efficient state-space model for joint tempo and meter
//! tracking", ISMIR 2015. A state is (beat of a bar, tempo, position in the beat). One tempo is one
//! whole number of frames τ per beat, and has τ positions, so that the pointer moves by exactly one
//! position a frame. Tempo changes at the start of a beat only; there
//! P(τ → τ') ∝ exp(−λ |τ'/τ − 1|), here with a small share of jumps to any tempo, so that a model
//! that has locked on to the wrong one is able to let go.

use super::Config;
use super::observation::Position;

/// λ of the tempo changes.
const LAMBDA: f64 = 100.0;
/// Share of beats after which any tempo may follow.
const JUMP: f64 = 1e-4;
/// Share of bars after which another metre follows.
const METRE_CHANGE: f64 = 0.002;
/// The metre preferred where others fit as well, and what a beat of another costs (log).
const COMMON: u8 = 4;
const RARE: f32 = 0.03;
/// Share of a beat, at its start, in which its onset is observed.
const REGION: f64 = 0.08;
/// Share of tempo changes too improbable to be followed one by one.
const NEGLIGIBLE: f64 = 1e-6;

/// One beat of one metre.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// 0 is the downbeat.
    pub beat: u8,
    /// Beats in the bar.
    pub metre: u8,
    pub position: Position,
    /// What a beat of this metre counts, a factor and its logarithm.
    pub weight: f32,
    pub log_weight: f32,
    /// The slot before this one in a bar of the same metre, round its end.
    pub before: usize,
    /// The slot after it, likewise.
    pub after: usize,
}

/// How the tempo changes from beat to beat, by the diagonals of the matrix: one goes over all tempi
/// at once, which vectorises.
pub(crate) struct TempoTransitions {
    /// Tempi that a beat's may come from lie at most this far on either side.
    pub reach: usize,
    /// By `from + reach − to`, then by `to`: P(from → to), 0 where there is no such tempo.
    pub diagonals: Vec<Vec<f32>>,
}

impl TempoTransitions {
    /// Room for a value of each of `n` tempi with `nothing` around them, for the diagonals to run
    /// over.
    pub fn padded(&self, n: usize, nothing: f32) -> Vec<f32> {
        vec![nothing; n + 2 * self.reach]
    }

    /// Where in it the values are.
    pub fn inner(&self, n: usize) -> std::ops::Range<usize> {
        self.reach..self.reach + n
    }
}

/// The state space. States are numbered by slot, tempo, position.
pub(crate) struct Space {
    pub frame_rate: f64,
    pub slots: Vec<Slot>,
    /// Frames per beat of each tempo, ascending: the fastest is first.
    pub intervals: Vec<usize>,
    /// Where the positions of each tempo start within a slot.
    base: Vec<usize>,
    /// States in a slot.
    cells: usize,
    /// Number of positions at the start of a beat, of each tempo, in which the onset of the beat is
    /// observed.
    pub region: Vec<usize>,
    /// Where a tempo may come from.
    pub changes: TempoTransitions,
    /// Distribution of tempi when nothing is known; sums to 1.
    pub prior: Vec<f32>,
    /// The same times the share of jumps.
    pub jumps: Vec<f32>,
    /// First slots of the metres.
    pub starts: Vec<usize>,
    /// Probability that another metre follows, 0 where there is only one.
    pub metre_change: f32,
}

impl Space {
    /// At `frame_rate`; `config` has been checked.
    pub fn new(frame_rate: f64, config: &Config) -> Self {
        let shortest = (60.0 * frame_rate / config.max_bpm).round().max(4.0) as usize;
        let longest = ((60.0 * frame_rate / config.min_bpm).round() as usize).max(shortest + 1);
        let intervals: Vec<usize> = (shortest..=longest).collect();
        let mut base = Vec::with_capacity(intervals.len());
        let mut cells = 0;
        for &interval in &intervals {
            base.push(cells);
            cells += interval;
        }
        let region = intervals
            .iter()
            .map(|&t| ((t as f64 * REGION).round() as usize).clamp(2, t / 2))
            .collect();

        let mut slots = Vec::new();
        let mut starts = Vec::new();
        for &metre in &config.beats_per_bar {
            let first = slots.len();
            let beats = usize::from(metre);
            starts.push(first);
            let log_weight = if metre == COMMON { 0.0 } else { -RARE };
            for beat in 0..beats {
                slots.push(Slot {
                    beat: beat as u8,
                    metre,
                    position: Position::of(beat as u8, metre),
                    weight: log_weight.exp(),
                    log_weight,
                    before: first + (beat + beats - 1) % beats,
                    after: first + (beat + 1) % beats,
                });
            }
        }

        let prior = prior(&intervals, frame_rate, config);
        Self {
            frame_rate,
            metre_change: if starts.len() > 1 {
                METRE_CHANGE as f32
            } else {
                0.0
            },
            slots,
            base,
            cells,
            region,
            changes: changes(&intervals),
            jumps: prior.iter().map(|p| p * JUMP as f32).collect(),
            prior,
            intervals,
            starts,
        }
    }

    /// Number of tempi.
    pub fn tempi(&self) -> usize {
        self.intervals.len()
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.slots.len() * self.cells
    }

    /// The states of one slot and tempo.
    pub fn ring(&self, slot: usize, tempo: usize) -> std::ops::Range<usize> {
        let start = slot * self.cells + self.base[tempo];
        start..start + self.intervals[tempo]
    }

    /// Seconds that the instant of a beat lies before the position `region / 2` of tempo `tempo`,
    /// which stands for it: an even region has its centre between two positions.
    pub fn early(&self, tempo: usize) -> f64 {
        let region = self.region[tempo];
        ((region / 2) as f64 - (region as f64 - 1.0) / 2.0) / self.frame_rate
    }
}

fn prior(intervals: &[usize], frame_rate: f64, config: &Config) -> Vec<f32> {
    let mut prior: Vec<f64> = intervals
        .iter()
        .map(|&t| {
            let octaves = (60.0 * frame_rate / t as f64 / config.preferred_bpm).log2();
            // 1/t: as many tempi to an octave everywhere.
            (-0.5 * (octaves / config.preference_octaves).powi(2)).exp() / t as f64
        })
        .collect();
    let total: f64 = prior.iter().sum();
    prior
        .iter_mut()
        .for_each(|p| *p /= total.max(f64::MIN_POSITIVE));
    prior.iter().map(|&p| p as f32).collect()
}

fn changes(intervals: &[usize]) -> TempoTransitions {
    let change = |from: usize, to: usize| (-LAMBDA * (to as f64 / from as f64 - 1.0).abs()).exp();
    // What leaves a tempo sums to 1 − JUMP.
    let totals: Vec<f64> = intervals
        .iter()
        .map(|&from| intervals.iter().map(|&to| change(from, to)).sum())
        .collect();
    let weight = |from: usize, to: usize| {
        let share = change(intervals[from], intervals[to]) / totals[from] * (1.0 - JUMP);
        if share > NEGLIGIBLE {
            share as f32
        } else {
            0.0
        }
    };
    let n = intervals.len();
    let reach = (0..n * n)
        .filter(|k| weight(k / n, k % n) > 0.0)
        .map(|k| (k / n).abs_diff(k % n))
        .max()
        .unwrap_or(0);
    let diagonals = (0..=2 * reach)
        .map(|k| {
            let from = |to: usize| (to + k).checked_sub(reach).filter(|&from| from < n);
            (0..n)
                .map(|to| from(to).map_or(0.0, |from| weight(from, to)))
                .collect()
        })
        .collect();
    TempoTransitions { reach, diagonals }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_at_a_beat() {
        let space = Space::new(100.0, &Config::new(100.0));
        assert_eq!((space.intervals[0], space.tempi()), (28, 82));
        for from in 0..space.tempi() {
            let changes = &space.changes;
            let out: f32 = (0..space.tempi())
                .map(|to| {
                    let diagonal = (from + changes.reach).checked_sub(to);
                    let diagonal = diagonal.and_then(|k| changes.diagonals.get(k));
                    // Jumps: the share of the prior, once.
                    diagonal.map_or(0.0, |d| d[to]) + space.jumps[to]
                })
                .sum();
            assert!((out - 1.0).abs() < 1e-3, "{out}");
        }
        assert!((space.prior.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_diagonal_has_a_number_below_that_of_a_jump() {
        let config = Config {
            min_bpm: crate::beat::LOWEST_BPM,
            ..Config::new(crate::beat::HIGHEST_FRAME_RATE)
        };
        let space = Space::new(crate::beat::HIGHEST_FRAME_RATE, &config);
        let count = space.changes.diagonals.len();
        assert!((1..usize::from(u8::MAX)).contains(&count), "{count}");
    }
}
