//! The offline pass.
use super::observation::{Observation, Place, place};
use super::space::Space;
use super::{Beat, Config, Error};
use crate::onset::Frame;

/// Offline.
pub struct Offline { config: Config, space: Space, frames: Vec<Frame> }

impl Offline {
    /// New.
    pub fn new(c: &Config) -> Result<Self, Error> {
        Ok(Self { space: Space::new(c.frame_rate, (c.min_bpm, c.max_bpm), &c.beats_per_bar, &c.model), config: c.clone(), frames: vec![] })
    }
    /// Push.
    pub fn push(&mut self, f: &Frame) { self.frames.push(*f) }
    /// Decode.
    pub fn decode(&mut self) -> Vec<Beat> {
        let m = &self.config.model;
        let sp = &self.space;
        let (n, ns) = (sp.tempi(), sp.slots.len());
        let mut p = vec![0.0f32; ns * sp.cells];
        for s in 0..ns { for i in 0..n { let b = s * sp.cells + sp.base[i]; for v in &mut p[b..b + sp.intervals[i]] { *v = (sp.prior[i] / sp.intervals[i] as f32 / ns as f32).ln(); } } }
        let mut head = vec![0usize; n];
        let logw: Vec<Vec<f32>> = sp.sources.iter().map(|s| s.weights.iter().map(|w| w.ln()).collect()).collect();
        let logprior: Vec<f32> = sp.prior.iter().map(|x| (x * m.jump as f32).ln()).collect();
        let pull: Vec<f32> = sp.intervals.iter().map(|&t| { let o = (6000.0 / t as f64 / m.centre_bpm).log2() / m.spread; (-0.5 * m.pull * o * o) as f32 }).collect();
        let mut bp: Vec<u8> = Vec::with_capacity(self.frames.len() * ns * n);
        let mut bpm_: Vec<u8> = Vec::new(); // source slot for each slot per frame
        let mut leaving = vec![0.0f32; ns * n];
        let mut source = vec![0.0f32; n];
        let mc = if sp.starts.len() > 1 { m.metre_change } else { 0.0 };
        for f in &self.frames {
            let o = Observation::new(f, m);
            for (i, &t) in sp.intervals.iter().enumerate() { head[i] = (head[i] + t - 1) % t; }
            for s in 0..ns { for i in 0..n { leaving[s * n + i] = p[s * sp.cells + sp.base[i] + head[i]]; } }
            for (s, slot) in sp.slots.iter().enumerate() {
                let mut from = slot.before;
                if slot.beat == 0 && mc > 0.0 {
                    let top = |q: usize| leaving[q * n..(q + 1) * n].iter().copied().fold(f32::MIN, f32::max);
                    let mut b = top(from) + (1.0 - mc as f32).ln();
                    let mut pen = (1.0 - mc as f32).ln();
                    for &st in &sp.starts { if st != s { let q = sp.slots[st].before; let w = (mc as f32 / (sp.starts.len() as f32 - 1.0)).ln(); if top(q) + w > b { b = top(q) + w; from = q; pen = w; } } }
                    for i in 0..n { source[i] = leaving[from * n + i] + pen; }
                } else { source.copy_from_slice(&leaving[from * n..(from + 1) * n]); }
                bpm_.push(from as u8);
                let (mut ji, mut jv) = (0, f32::MIN);
                for i in 0..n { if source[i] > jv { jv = source[i]; ji = i; } }
                let gain = o.0[place(slot.beat, slot.metre) as usize];
                let half = o.0[Place::Half as usize];
                for j in 0..n {
                    let (mut x, mut from) = (jv + logprior[j], ji);
                    let first = sp.sources[j].first;
                    for (q, w) in logw[j].iter().enumerate() { let v = source[first + q] + w; if v > x { x = v; from = first + q; } }
                    bp.push(from as u8);
                    let t = sp.intervals[j];
                    let b = s * sp.cells + sp.base[j];
                    let ring = &mut p[b..b + t];
                    ring[head[j]] = x + pull[j];
                    let region = sp.region[j];
                    for (start, gain) in [(head[j], gain), (head[j] + t / 2, half)] {
                        let start = if start >= t { start - t } else { start };
                        let a = region.min(t - start);
                        for v in &mut ring[start..start + a] { *v += gain; }
                        for v in &mut ring[..region - a] { *v += gain; }
                    }
                }
            }
        }
        // traceback
        let (mut bs, mut bi, mut bk, mut bv) = (0, 0, 0, f32::MIN);
        for s in 0..ns { for i in 0..n { let t = sp.intervals[i]; for k in 0..t { let v = p[s * sp.cells + sp.base[i] + (head[i] + k) % t]; if v > bv { bv = v; bs = s; bi = i; bk = k; } } } }
        let mut beats = vec![];
        let mut frame = self.frames.len() as isize - 1 - bk as isize;
        let (mut s, mut i) = (bs, bi);
        while frame >= 0 {
            let r = sp.region[i];
            // centroid of the flux in the region
            let (mut a, mut b) = (1e-6f64, 0.0f64);
            let mut best = 0.0f32;
            for q in 0..r { if let Some(f) = self.frames.get(frame as usize + q) { let w = (f.flux as f64).powi(2); a += w; b += w * f.time; best = best.max(f.flux); } }
            let c = self.frames[0].time + (frame as f64 + (r as f64 - 1.0) / 2.0) / self.config.frame_rate;
            b += 1e-6 * c;
            beats.push(Beat { time: b / a, strength: best as f64, confidence: 1.0, bpm: 60.0 * self.config.frame_rate / sp.intervals[i] as f64, beat_in_bar: sp.slots[s].beat + 1, predicted: false });
            let q = (frame as usize * ns + s) * n + i;
            let ns_ = bpm_[frame as usize * ns + s] as usize;
            i = bp[q] as usize;
            s = ns_;
            frame -= sp.intervals[i] as isize;
        }
        beats.reverse();
        beats
    }
}
