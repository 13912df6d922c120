// SPDX-License-Identifier: MPL-2.0
//! The overall speed: at which the tempo of the dance is that of the music.

use std::f64::consts::TAU;

use super::{Limits, Mark};

/// Tempi of the dance that are looked for, in Hz, and the step from one to the next.
const LOWEST: f64 = 0.3;
const HIGHEST: f64 = 6.0;
const STEP: f64 = 0.01;
/// A tempo is looked for within so many seconds, in which no dancer loses it.
const WINDOW: f64 = 16.0;
/// Marks of the dance that are looked at.
const MOST: usize = 2000;
/// From one speed that is tried to the next.
const SPEED_STEP: f64 = 1.004;
/// What it costs that only every other beat of one side is met, and a speed that is e times the dance's own, as shares of
/// how steadily the best of all tempi is kept: every beat of a song is met at 1.5 rather than every other one at 0.75,
/// and every other one at 0.83 rather than every one at 1.67.
const OCTAVE: f64 = 0.15;
const OFF: f64 = 1.5;
/// Where both sides are steady, the ratio of their periods is exact; how near it has to be to what was found.
const EXACT: f64 = 0.02;

/// The period of marks in seconds: the median of their intervals.
pub(super) fn period(marks: &[Mark]) -> Option<f64> {
    let mut intervals: Vec<f64> = (marks.windows(2))
        .map(|pair| pair[1].time - pair[0].time)
        .collect();
    let middle = intervals.len() / 2;
    if intervals.is_empty() {
        return None;
    }
    Some(*intervals.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The overall speed of a dance on a song.
///
/// The median interval of what is seen tells little: a dancer leaves beats out, and moves between them. So it is asked of
/// each speed how steadily the dance would keep the song's tempo at it, or that of every other beat of either, and the
/// dance's own speed counts for as long as nothing better speaks.
pub(super) fn overall(visual: &[Mark], audio: &[Mark], limits: Limits) -> f64 {
    let own = limits.clamp(1.0);
    let (Some(seen), Some(heard)) = (period(visual), period(audio)) else {
        return own;
    };
    let kept = Steadiness::new(&visual[..visual.len().min(MOST)]);
    let steps = (limits.max() / limits.min()).ln() / SPEED_STEP.ln();
    let steps = steps.ceil().clamp(1.0, 4096.0) as i32;
    let grid = (0..=steps).map(|step| {
        let share = f64::from(step) / f64::from(steps);
        limits.min() * (limits.max() / limits.min()).powf(share)
    });
    let rated = grid.map(|speed| {
        let octaves = [(1.0, 0.0), (2.0, OCTAVE), (0.5, OCTAVE)];
        let found = octaves.map(|(octave, cost)| kept.at(octave / (heard * speed)) - cost);
        let best = found.into_iter().fold(f64::MIN, f64::max);
        (best - OFF * speed.ln().powi(2), speed)
    });
    let best = rated.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let speed = best.map_or(own, |(_, speed)| speed);
    let ratios = (-4..=4).map(|octave: i32| seen / heard * f64::from(octave).exp2());
    let exact = ratios.min_by(|a, b| (a / speed).ln().abs().total_cmp(&(b / speed).ln().abs()));
    let exact = exact.filter(|exact| (exact / speed).ln().abs() < EXACT);
    limits.clamp(exact.unwrap_or(speed))
}

/// How steadily marks keep each tempo, from 0 to 1 for the one that they keep best.
struct Steadiness(Vec<f64>);

impl Steadiness {
    fn new(marks: &[Mark]) -> Self {
        let count = ((HIGHEST - LOWEST) / STEP) as usize + 1;
        let mut sums = vec![0.0; count];
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
            return Self(sums);
        };
        let mut begin = first.time;
        loop {
            let from = marks.partition_point(|mark| mark.time < begin);
            let to = marks.partition_point(|mark| mark.time <= begin + WINDOW);
            let inside = &marks[from..to];
            if inside.len() >= 4 {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum += within(inside, begin, LOWEST + n as f64 * STEP);
                }
            }
            begin += 0.5 * WINDOW;
            if begin + 0.5 * WINDOW > last.time {
                break;
            }
        }
        let most = sums.iter().copied().fold(0.0, f64::max);
        if most > 0.0 {
            sums.iter_mut().for_each(|sum| *sum /= most);
        }
        Self(sums)
    }

    fn at(&self, tempo: f64) -> f64 {
        let place = (tempo - LOWEST) / STEP;
        if place < 0.0 {
            return 0.0;
        }
        let (low, share) = (place as usize, place.fract());
        match (self.0.get(low), self.0.get(low + 1)) {
            (Some(a), Some(b)) => a + share * (b - a),
            _ => 0.0,
        }
    }
}

/// The squared length of the mean of the marks as points on a circle that turns at `tempo`, by how many they are; those in
/// the middle of the window count most.
fn within(marks: &[Mark], begin: f64, tempo: f64) -> f64 {
    let (mut x, mut y, mut weights) = (0.0, 0.0, 0.0);
    for mark in marks {
        let place = (mark.time - begin) / WINDOW;
        let weight = 0.05 + (std::f64::consts::PI * place).sin().powi(2);
        let (sin, cos) = (TAU * tempo * mark.time).sin_cos();
        x += weight * cos;
        y += weight * sin;
        weights += weight;
    }
    (x * x + y * y) / weights
}
