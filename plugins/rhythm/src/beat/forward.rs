// SPDX-License-Identifier: MPL-2.0
//! The forward pass: the distribution of the bar pointer given all frames so far.

use std::ops::RangeInclusive;

use super::observation::{Observation, Position};
use super::space::Space;

/// Frames between two full normalisations, unless the scale drifts faster.
const NORMALISE_EVERY: u32 = 32;

/// The forward pass. Positions move by one a frame, so each tempo keeps its positions in a ring
/// and only turns it; what costs time are the starts of beats (where the tempo changes) and the
/// positions where beats sound (observed relative to the rest, whose likelihood is 1).
pub(crate) struct Forward {
    pub space: Space,
    /// P(state) up to a factor.
    p: Vec<f32>,
    /// Position in the ring of each tempo's position 0.
    head: Vec<usize>,
    /// Mass of each tempo over all slots and positions, up to the same factor.
    pub mass: Vec<f32>,
    /// Mass that leaves its beat, by slot and tempo.
    leaving: Vec<f32>,
    /// Mass that enters one slot, by the tempo it had, with room on both sides, …
    source: Vec<f32>,
    /// … and by the tempo it has from then on.
    entering: Vec<f32>,
    frames: u32,
}

impl Forward {
    pub fn new(space: Space) -> Self {
        let n = space.tempi();
        let mut forward = Self {
            p: vec![0.0; space.states()],
            head: vec![0; n],
            mass: vec![0.0; n],
            leaving: vec![0.0; space.slots.len() * n],
            source: space.changes.padded(n, 0.0),
            entering: vec![0.0; n],
            frames: 0,
            space,
        };
        forward.reset();
        forward
    }

    /// Back to knowing nothing.
    pub fn reset(&mut self) {
        let slots = self.space.slots.len();
        for slot in 0..slots {
            for tempo in 0..self.space.tempi() {
                let ring = self.space.ring(slot, tempo);
                let share = self.space.prior[tempo] / (ring.len() * slots) as f32;
                self.p[ring].fill(share);
            }
        }
        self.mass.copy_from_slice(&self.space.prior);
        self.head.fill(0);
        self.frames = 0;
    }

    /// Moves on by a frame, `observed`.
    pub fn step(&mut self, observed: &Observation) {
        let space = &self.space;
        let n = space.tempi();
        // Turned back by one, the rings' last positions come to stand at the heads.
        for (head, &interval) in self.head.iter_mut().zip(&space.intervals) {
            *head = if *head == 0 { interval } else { *head } - 1;
        }
        for slot in 0..space.slots.len() {
            for tempo in 0..n {
                self.leaving[slot * n + tempo] =
                    self.p[space.ring(slot, tempo).start + self.head[tempo]];
            }
        }
        let half = observed.ratio(Position::Offbeat);
        for (s, slot) in space.slots.iter().enumerate() {
            let source = &mut self.source[space.changes.inner(n)];
            source.copy_from_slice(&self.leaving[slot.before * n..][..n]);
            if slot.beat == 0 && space.metre_change > 0.0 {
                let other = space.metre_change / (space.starts.len() - 1) as f32;
                source
                    .iter_mut()
                    .for_each(|x| *x *= 1.0 - space.metre_change);
                for &start in space.starts.iter().filter(|&&start| start != s) {
                    let last = space.slots[start].before;
                    for (x, y) in source.iter_mut().zip(&self.leaving[last * n..][..n]) {
                        *x += other * y;
                    }
                }
            }
            let all = source.iter().sum::<f32>();
            let on = observed.ratio(slot.position);
            for (x, jump) in self.entering.iter_mut().zip(&space.jumps) {
                *x = all * jump;
            }
            for (k, diagonal) in space.changes.diagonals.iter().enumerate() {
                let sources = &self.source[k..][..n];
                for ((x, w), y) in self.entering.iter_mut().zip(diagonal).zip(sources) {
                    *x += w * y;
                }
            }
            for tempo in 0..n {
                let entering = self.entering[tempo] * slot.weight;
                let ring = &mut self.p[space.ring(s, tempo)];
                let (head, region) = (self.head[tempo], space.region[tempo]);
                let mut change = entering - ring[head];
                ring[head] = entering;
                change += scale(ring, head, region, on);
                change += scale(ring, head + ring.len() / 2, region, half);
                self.mass[tempo] += change;
            }
        }
        self.frames += 1;
        let total: f32 = self.mass.iter().sum();
        if self.frames.is_multiple_of(NORMALISE_EVERY) || !(1e-3..1e3).contains(&total) {
            self.normalise();
        }
    }

    fn normalise(&mut self) {
        let total: f32 = self.p.iter().sum();
        if !(total > f32::MIN_POSITIVE && total.is_finite()) {
            self.reset();
            return;
        }
        let factor = 1.0 / total;
        self.mass.fill(0.0);
        for slot in 0..self.space.slots.len() {
            for tempo in 0..self.space.tempi() {
                let ring = &mut self.p[self.space.ring(slot, tempo)];
                ring.iter_mut().for_each(|p| *p *= factor);
                self.mass[tempo] += ring.iter().sum::<f32>();
            }
        }
    }

    /// Fills `ahead[d + late]` with the mass of the `tempi` whose next beat is d frames ahead; one
    /// that was at most `late` frames ago still counts as the next.
    pub fn phases(&self, tempi: RangeInclusive<usize>, late: usize, ahead: &mut [f32]) {
        ahead.fill(0.0);
        for tempo in tempi {
            let interval = self.space.intervals[tempo];
            let centre = self.space.region[tempo] / 2 + late;
            for slot in 0..self.space.slots.len() {
                let ring = &self.p[self.space.ring(slot, tempo)];
                let (before, after) = ring.split_at(self.head[tempo]);
                for (position, p) in after.iter().chain(before).enumerate() {
                    let d = if position <= centre {
                        centre - position
                    } else {
                        interval + centre - position
                    };
                    if let Some(sum) = ahead.get_mut(d) {
                        *sum += p;
                    }
                }
            }
        }
    }

    /// Fills `by_slot` with the mass of the `tempi` whose beat of that slot is `d` ± 2 frames
    /// ahead.
    pub fn slots(&self, tempi: RangeInclusive<usize>, d: isize, by_slot: &mut [f32]) {
        by_slot.fill(0.0);
        for tempo in tempi {
            let interval = self.space.intervals[tempo] as isize;
            let centre = (self.space.region[tempo] / 2) as isize;
            for (s, slot) in self.space.slots.iter().enumerate() {
                let ring = self.space.ring(s, tempo);
                for position in centre - d - 2..=centre - d + 2 {
                    // Before the start of a beat, the pointer is still in the one before.
                    let of = if position < 0 { slot.after } else { s };
                    let place = self.head[tempo] as isize + position.rem_euclid(interval);
                    by_slot[of] += self.p[ring.start + (place % interval) as usize];
                }
            }
        }
    }
}

/// Multiplies `count` values of a ring from `start` on by `factor`; returns by how much their sum
/// has grown.
fn scale(ring: &mut [f32], start: usize, count: usize, factor: f32) -> f32 {
    let start = if start >= ring.len() {
        start - ring.len()
    } else {
        start
    };
    let first = count.min(ring.len() - start);
    let mut sum = 0.0;
    for p in &mut ring[start..start + first] {
        sum += *p;
        *p *= factor;
    }
    for p in &mut ring[..count - first] {
        sum += *p;
        *p *= factor;
    }
    sum * (factor - 1.0)
}
