//! The forward pass: the distribution of the bar pointer given all frames so far.

use super::observation::{Observation, Place, place};
use super::space::Space;
use super::Model;

/// The forward pass. Positions move one a frame, so each tempo keeps its positions in a ring and
/// only turns it; what costs time is the start of a beat (the tempo changes) and the region in
/// which it sounds (the observation). The rest of a beat is the observation's reference, 1.
pub(crate) struct Forward {
    pub space: Space,
    /// P(state), by slot, tempo and place in the ring; sums to about 1.
    p: Vec<f32>,
    /// Place in the ring of each tempo's position 0.
    head: Vec<usize>,
    /// Mass of each tempo over all slots and positions.
    pub mass: Vec<f32>,
    /// Scratch: mass that leaves its beat, by slot and tempo; mass that enters a slot.
    leaving: Vec<f32>,
    source: Vec<f32>,
    pull: Vec<f32>,
    frames: u32,
    jump: f32,
    metre_change: f32,
}

impl Forward {
    pub fn new(space: Space, model: &Model) -> Self {
        let n = space.tempi();
        let pull = space.intervals.iter().map(|&t| {
            let o = (6000.0 / t as f64 / model.centre_bpm).log2() / model.spread;
            (-0.5 * model.pull * o * o).exp() as f32
        }).collect();
        let mut forward = Self {
            p: vec![0.0; space.slots.len() * space.cells],
            head: vec![0; n],
            mass: vec![0.0; n],
            leaving: vec![0.0; space.slots.len() * n],
            source: vec![0.0; n],
            pull,
            frames: 0,
            jump: model.jump as f32,
            metre_change: if space.starts.len() > 1 { model.metre_change as f32 } else { 0.0 },
            space,
        };
        forward.reset();
        forward
    }

    pub fn reset(&mut self) {
        let slots = self.space.slots.len() as f32;
        for s in 0..self.space.slots.len() {
            for (i, &t) in self.space.intervals.iter().enumerate() {
                let start = s * self.space.cells + self.space.base[i];
                self.p[start..start + t].fill(self.space.prior[i] / (t as f32 * slots));
            }
        }
        self.mass.copy_from_slice(&self.space.prior);
        self.head.fill(0);
        self.frames = 0;
    }

    pub fn step(&mut self, o: &Observation) {
        let space = &self.space;
        let n = space.tempi();
        for (i, &t) in space.intervals.iter().enumerate() {
            self.head[i] = (self.head[i] + t - 1) % t;
        }
        for s in 0..space.slots.len() {
            let from = s * space.cells;
            for i in 0..n {
                self.leaving[s * n + i] = self.p[from + space.base[i] + self.head[i]];
            }
        }
        let metres = space.starts.len() as f32;
        for (s, slot) in space.slots.iter().enumerate() {
            let before = &self.leaving[slot.before * n..(slot.before + 1) * n];
            self.source.copy_from_slice(before);
            if slot.beat == 0 && self.metre_change > 0.0 {
                for x in &mut self.source { *x *= 1.0 - self.metre_change; }
                for &start in &space.starts {
                    if start != s {
                        let last = space.slots[start].before;
                        let w = self.metre_change / (metres - 1.0);
                        for (x, y) in self.source.iter_mut().zip(&self.leaving[last * n..(last + 1) * n]) { *x += w * y; }
                    }
                }
            }
            let jump = self.jump * self.source.iter().sum::<f32>();
            let gain = o.0[place(slot.beat, slot.metre) as usize].exp();
            let half = o.0[Place::Half as usize].exp();
            for j in 0..n {
                let src = &space.sources[j];
                let mut x = jump * space.prior[j];
                for (w, y) in src.weights.iter().zip(&self.source[src.first..]) { x += w * y; }
                x *= self.pull[j];
                let t = space.intervals[j];
                let start = s * space.cells + space.base[j];
                let ring = &mut self.p[start..start + t];
                let head = self.head[j];
                self.mass[j] += x - ring[head];
                ring[head] = x;
                let region = space.region[j];
                let mut change = 0.0;
                for (start, gain) in [(head, gain), (head + t / 2, half)] {
                    let start = if start >= t { start - t } else { start };
                    let first = region.min(t - start);
                    for v in &mut ring[start..start + first] { change += *v * (gain - 1.0); *v *= gain; }
                    for v in &mut ring[..region - first] { change += *v * (gain - 1.0); *v *= gain; }
                }
                self.mass[j] += change;
            }
        }
        self.frames += 1;
        let total: f32 = self.mass.iter().sum();
        if self.frames % 32 == 0 || !(1e-3..1e3).contains(&total) {
            self.normalise();
        }
    }

    fn normalise(&mut self) {
        let total: f32 = self.p.iter().sum();
        if !(total > 0.0 && total.is_finite()) { self.reset(); return }
        let scale = 1.0 / total;
        self.mass.fill(0.0);
        let space = &self.space;
        for s in 0..space.slots.len() {
            for (i, &t) in space.intervals.iter().enumerate() {
                let start = s * space.cells + space.base[i];
                let mut sum = 0.0;
                for v in &mut self.p[start..start + t] { *v *= scale; sum += *v; }
                self.mass[i] += sum;
            }
        }
    }

    /// Adds to `hist[d + late]` the mass of tempi `range` whose next beat is d frames ahead (−late ≤ d).
    pub fn phases(&self, range: std::ops::RangeInclusive<usize>, late: usize, hist: &mut [f32]) {
        hist.fill(0.0);
        let space = &self.space;
        for i in range {
            let t = space.intervals[i];
            let h = space.region[i] / 2;
            let head = self.head[i];
            for s in 0..space.slots.len() {
                let start = s * space.cells + space.base[i];
                let ring = &self.p[start..start + t];
                // position k is at (head + k) % t
                for k in 0..t {
                    let q = if head + k >= t { head + k - t } else { head + k };
                    let d = if k <= h + late { h + late - k } else { t - k + h + late };
                    if let Some(x) = hist.get_mut(d) { *x += ring[q]; }
                }
            }
        }
    }

    /// Mass by slot, of tempi `range`, of the beat whose region centre is d frames ahead ± 2.
    pub fn slots_at(&self, range: std::ops::RangeInclusive<usize>, d: isize, out: &mut [f32]) {
        out.fill(0.0);
        let space = &self.space;
        for i in range {
            let t = space.intervals[i] as isize;
            let h = (space.region[i] / 2) as isize;
            for s in 0..space.slots.len() {
                let start = s * space.cells + space.base[i];
                for e in -2..=2 {
                    let k = h - (d + e);
                    let (k, ahead) = if k < 0 { (k + t, true) } else { (k, false) };
                    if k < 0 || k >= t { continue }
                    let q = (self.head[i] as isize + k) % t;
                    let v = self.p[start + q as usize];
                    // ahead: the slot that follows
                    if ahead {
                        for (s2, sl) in space.slots.iter().enumerate() { if sl.before == s { out[s2] += v; } }
                    } else { out[s] += v; }
                }
            }
        }
    }
}
