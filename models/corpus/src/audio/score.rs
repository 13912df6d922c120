// SPDX-License-Identifier: MPL-2.0
//! When the beats are: metres and tempo.

use crate::random::Random;

/// A metre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    /// As it is written.
    pub name: &'static str,
    /// Beats in a bar.
    pub beats: u32,
    /// Into how many a beat falls: 2, or 3 in compound metres.
    pub division: u32,
}

impl Meter {
    /// Four quarters.
    pub const FOUR: Self = Self::new("4/4", 4, 2);
    /// Three quarters.
    pub const THREE: Self = Self::new("3/4", 3, 2);
    /// Two quarters.
    pub const TWO: Self = Self::new("2/4", 2, 2);
    /// Two dotted quarters.
    pub const SIX_EIGHT: Self = Self::new("6/8", 2, 3);
    /// Four dotted quarters.
    pub const TWELVE_EIGHT: Self = Self::new("12/8", 4, 3);
    /// Five quarters.
    pub const FIVE: Self = Self::new("5/4", 5, 2);
    /// Seven, counted in eighths.
    pub const SEVEN: Self = Self::new("7/8", 7, 2);

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FOUR,
        Self::THREE,
        Self::TWO,
        Self::SIX_EIGHT,
        Self::TWELVE_EIGHT,
        Self::FIVE,
        Self::SEVEN,
    ];

    /// The metre that is written so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.name == name)
    }

    const fn new(name: &'static str, beats: u32, division: u32) -> Self {
        Self {
            name,
            beats,
            division,
        }
    }

    /// How strong an instant of the bar is: 1 on its first beat, less on others, least between.
    pub fn weight(&self, position: f64) -> f64 {
        let close = |x: f64| (x - x.round()).abs() < 0.01;
        if position < 0.01 {
            1.0
        } else if self.beats == 4 && close(position / 2.0) {
            0.85
        } else if close(position) {
            0.7
        } else if close(position * f64::from(self.division)) {
            0.4
        } else {
            0.15
        }
    }
}

/// How the tempo goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// One tempo.
    Constant,
    /// Players without a click: the tempo wanders by some percent.
    Wandering,
    /// A straight line to another tempo.
    Ramp,
    /// Another tempo from some bar on.
    Jump,
    /// Slows and hurries within phrases.
    Rubato,
}

/// The beats of a clip.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The metre.
    pub meter: Meter,
    /// Beats per minute at the start.
    pub bpm: f64,
    /// How it goes on.
    pub course: Course,
    /// Start and length in seconds of each beat; the first is the first of a bar. A fermata makes
    /// a gap between a beat's end and the next start.
    beats: Vec<(f64, f64)>,
}

impl Grid {
    /// Beats from `start` seconds until after `end`.
    pub fn new(
        meter: Meter,
        bpm: f64,
        course: Course,
        start: f64,
        end: f64,
        random: &mut Random,
    ) -> Self {
        let slow_enough = |bpm: f64| bpm.clamp(38.0, 220.0);
        let target =
            slow_enough(bpm * 2f64.powf(random.pick(&[-1.0, 1.0]) * random.range(0.15, 0.8)));
        let bar = 60.0 / bpm * f64::from(meter.beats);
        let bars = (((end - start) / bar) as usize).max(2);
        let jump = 1 + random.index(bars - 1);
        // Rarely the music stands still for a while.
        let stop = random.chance(0.08).then(|| 1 + random.index(bars - 1));
        let depth = random.range(0.05, 0.2);
        let phrase = random.pick(&[2.0, 4.0]) * f64::from(meter.beats);
        let loose = random.range(0.002, 0.015);
        let (mut at, mut wander) = (start, 0.0);
        let mut beats: Vec<(f64, f64)> = Vec::new();
        while at < end + 4.0 {
            let count = beats.len();
            let along = ((at - start) / (end - start)).clamp(0.0, 1.0);
            let now = match course {
                Course::Constant => bpm,
                Course::Wandering => {
                    wander = 0.95 * wander + loose * random.normal();
                    bpm * (1.0 + wander)
                }
                Course::Ramp => bpm + (target - bpm) * along,
                Course::Jump if count >= jump * meter.beats as usize => target,
                Course::Jump => bpm,
                Course::Rubato => {
                    let turn = std::f64::consts::TAU * count as f64 / phrase;
                    bpm * (1.0 - depth * turn.cos() + 1.5 * loose * random.normal())
                }
            };
            let length = 60.0 / slow_enough(now);
            beats.push((at, length));
            at += length;
            if stop.is_some_and(|s| beats.len() == s * meter.beats as usize) {
                at += random.range(0.5, 4.0);
            }
        }
        Self {
            meter,
            bpm,
            course,
            beats,
        }
    }

    /// Whole bars.
    pub fn bars(&self) -> usize {
        self.beats.len() / self.meter.beats as usize
    }

    /// Seconds at a position in beats since the first bar.
    pub fn time(&self, position: f64) -> f64 {
        let beat = (position.max(0.0) as usize).min(self.beats.len() - 1);
        let (start, length) = self.beats[beat];
        start + (position - beat as f64) * length
    }

    /// Start in seconds, number in the bar from 1, and length of its bar, of every beat.
    pub fn beats(&self) -> impl Iterator<Item = (f64, u32, f64)> + '_ {
        let count = self.meter.beats;
        self.beats
            .iter()
            .enumerate()
            .map(move |(n, &(at, length))| (at, n as u32 % count + 1, length * f64::from(count)))
    }
}

/// Which instants of a bar are struck: the stronger the likelier, or the other way round with
/// `syncopation`.
pub(super) fn rhythm(
    meter: Meter,
    density: f64,
    syncopation: f64,
    random: &mut Random,
) -> Vec<f64> {
    let fine = if meter.name == "7/8" { 1 } else { 2 };
    let steps = if meter.division == 3 { 3 } else { 2 * fine };
    let count = meter.beats * steps;
    let mut out: Vec<f64> = (0..count)
        .map(|k| f64::from(k) / f64::from(steps))
        .filter(|&p| {
            let w = meter.weight(p);
            let w = w + syncopation * (0.9 - 1.6 * w) * if w < 0.3 { 0.4 } else { 1.0 };
            random.chance(density * 1.4 * w)
        })
        .collect();
    if out.is_empty() {
        out.push(f64::from(random.index(meter.beats as usize) as u32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_forward_in_every_course() {
        let courses = [
            Course::Constant,
            Course::Wandering,
            Course::Ramp,
            Course::Jump,
            Course::Rubato,
        ];
        for (n, course) in courses.into_iter().enumerate() {
            for seed in 0..40 {
                let random = &mut Random::new(seed, n as u64);
                let grid = Grid::new(Meter::FIVE, 93.0, course, -1.0, 12.0, random);
                let times: Vec<f64> = (0..grid.bars() * 20)
                    .map(|k| grid.time(f64::from(k as u32) * 0.25))
                    .collect();
                assert!(times.is_sorted());
                assert!(grid.time((grid.bars() * 5) as f64) > 12.0);
                assert_eq!(grid.beats().nth(6).unwrap().1, 2);
            }
        }
    }
}
