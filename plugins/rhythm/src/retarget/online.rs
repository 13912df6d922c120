// SPDX-License-Identifier: MPL-2.0
//! The alignment of streams that are still coming in: a map that is only ever carried forward.

use super::bounded::{ACCENT, UNSTEADY, square_of_log};
use super::{Limits, Mark, accents, clean};

/// What a speed costs that is e times the dance's own.
const UNNATURAL: f32 = 1.0;
/// What a pair costs whose marks are as far apart as the drift allows: a little, so that of two ways as good the nearer
/// one is taken.
const DRIFT: f32 = 0.4;
/// How fast the speed changes, in speed per second: as a dancer gains or loses it.
const SLEW: f64 = 6.0;
/// Without marks to meet, this much of the drift is corrected in a second, at speeds that are not
/// noticed.
const RETURN: f64 = 0.5;
const CALM: f64 = 0.1;
/// Marks of each side that are considered: more than a look-ahead of seconds holds.
const MOST: [usize; 2] = [16, 48];

/// Carries a map forward, step by step, from what is known of both sides.
///
/// Source and output are on one axis, seconds, on which the source comes in as the output goes:
/// nothing can be shown much earlier than it came, nor be kept for long. The map therefore stays
/// within a `drift` of the identity, and beats move to those of the music that are near.
#[derive(Debug, Clone)]
pub struct Planner {
    limits: Limits,
    drift: f64,
    strength: f64,
    output: f64,
    /// Where full alignment is, and its speed.
    source: f64,
    speed: f64,
    /// What is shown, between that and the identity.
    shown: f64,
    /// The pair to meet next, and for which marks it was chosen.
    next: Option<[f64; 2]>,
    known: Vec<u64>,
}

impl Planner {
    /// A planner that begins with the identity at `output` seconds. Neither `drift` (seconds) nor
    /// `strength` (0 to 1) need be in range.
    #[must_use]
    pub fn new(limits: Limits, drift: f64, strength: f64, output: f64) -> Self {
        Self {
            limits,
            drift: if drift.is_finite() {
                drift.max(0.0)
            } else {
                0.0
            },
            strength: if strength.is_finite() {
                strength.clamp(0.0, 1.0)
            } else {
                1.0
            },
            output,
            source: output,
            speed: limits.clamp(1.0),
            shown: output,
            next: None,
            known: Vec::new(),
        }
    }

    /// Goes on to the instant `output`, and returns the instant of the source to be shown there.
    ///
    /// `visual` and `audio` are the marks known so far (older ones count nothing), `arrived` is how
    /// far the source has come. Nothing after that is ever returned, and nothing before the step
    /// before: where the source is late, the return stays the same.
    pub fn step(&mut self, output: f64, visual: &[Mark], audio: &[Mark], arrived: f64) -> f64 {
        let time = output - self.output;
        if !(time > 0.0 && time.is_finite()) {
            return self.shown;
        }
        self.replan(visual, audio);
        let wanted = self.wanted(time);
        let change = SLEW * time;
        self.speed = self
            .limits
            .clamp(wanted.clamp(self.speed - change, self.speed + change));
        self.output = output;
        // What has not come cannot be shown; what is shown does not go back.
        self.source = (self.source + self.speed * time).min(arrived.max(self.source));
        let mixed = output + self.strength * (self.source - output);
        // The bounds of the mix are those of its parts, save where one was held up.
        let low = self.shown + self.limits.min() * time;
        let high = self.shown + self.limits.max() * time;
        self.shown = mixed.clamp(low, high).min(arrived).max(self.shown);
        self.shown
    }

    /// The speed that meets the next pair, or leads back to the identity.
    fn wanted(&self, time: f64) -> f64 {
        let drift = self.source - self.output;
        match self.next {
            Some([visual, audio]) if audio - self.output > 0.5 * time => self
                .limits
                .clamp((visual - self.source) / (audio - self.output)),
            _ if drift.abs() > self.drift => self.limits.clamp(1.0 - drift),
            _ => (self.limits).clamp(1.0 - (RETURN * drift).clamp(-CALM, CALM)),
        }
    }

    /// Chooses the next pair again when the marks are not those it was chosen for.
    fn replan(&mut self, visual: &[Mark], audio: &[Mark]) {
        let ahead = |marks: &[Mark], from: f64, most: usize| -> Vec<Mark> {
            let ahead = marks.iter().filter(|mark| mark.time > from).copied();
            let mut marks = clean(&ahead.collect::<Vec<_>>());
            marks.truncate(most);
            marks
        };
        let visual = ahead(visual, self.source, MOST[0]);
        let audio = ahead(audio, self.output, MOST[1]);
        let both = visual.iter().chain(&audio);
        let known: Vec<u64> = both.map(|mark| mark.time.to_bits()).collect();
        if known == self.known {
            return;
        }
        self.known = known;
        self.next = self.first_of_best_chain(&visual, &audio);
    }

    fn first_of_best_chain(&self, visual: &[Mark], audio: &[Mark]) -> Option<[f64; 2]> {
        let accents = [accents(visual), accents(audio)];
        let (min, max) = (self.limits.min(), self.limits.max());
        // The pairs that may meet, as score of the best chain that ends there, its last speed and
        // its first pair.
        let mut chains: Vec<(f32, f64, [usize; 2], [usize; 2])> = Vec::new();
        for (v, a) in (0..visual.len()).flat_map(|v| (0..audio.len()).map(move |a| (v, a))) {
            let (source, output) = (visual[v].time, audio[a].time);
            let apart = (source - output).abs();
            if apart > self.drift {
                continue;
            }
            let cost = |source_before: f64, output_before: f64, speed_before: f64| {
                let speed = (source - source_before) / (output - output_before);
                (speed >= min && speed <= max).then(|| {
                    let natural = UNNATURAL * square_of_log(speed as f32);
                    let steady = UNSTEADY * square_of_log((speed / speed_before) as f32);
                    (speed, natural + steady)
                })
            };
            let gain = 1.0 + ACCENT * accents[0][v] * accents[1][a]
                - DRIFT * ((apart / self.drift.max(1e-9)) as f32).powi(2);
            let direct = cost(self.source, self.output, self.speed);
            let mut best = direct.map(|(speed, cost)| (gain - cost, speed, [v, a], [v, a]));
            for &(score, speed, [before_v, before_a], first) in &chains {
                if before_v >= v || before_a >= a {
                    continue;
                }
                let (from, to) = (visual[before_v].time, audio[before_a].time);
                if let Some((speed, cost)) = cost(from, to, speed)
                    && best.is_none_or(|best| score + gain - cost > best.0)
                {
                    best = Some((score + gain - cost, speed, [v, a], first));
                }
            }
            chains.extend(best);
        }
        let best = chains
            .into_iter()
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, _, _, [v, a])| [visual[v].time, audio[a].time])
    }
}
