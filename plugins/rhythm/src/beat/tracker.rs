//! The online tracker.
use super::forward::Forward;
use super::observation::Observation;
use super::space::Space;
use super::{Beat, Config, Error, Event, Tempo};
use crate::onset::Frame;

const LATE: usize = 6;

/// Online.
pub struct Tracker {
    config: Config,
    forward: Forward,
    hist: Vec<f32>,
    cluster: Option<usize>,
    last: Option<f64>,
    period: f64,
    loud: f32,
    ev: f32,
    peakf: f32,
    silent: u32,
    score: Vec<f32>,
    slots: Vec<f32>,
    /// debugging
    pub debug: bool,
    bar: Vec<f32>,
}

impl Tracker {
    /// New.
    pub fn new(c: &Config) -> Result<Self, Error> {
        let space = Space::new(c.frame_rate, (c.min_bpm, c.max_bpm), &c.beats_per_bar, &c.model);
        let longest = *space.intervals.last().unwrap();
        let n = space.tempi();
        let ns = space.slots.len();
        Ok(Self { forward: Forward::new(space, &c.model), config: c.clone(), hist: vec![0.0; longest + LATE + 20], cluster: None, last: None, period: 0.5, loud: -120.0, ev: 0.0, peakf: 0.0, silent: 0, score: vec![0.0; n], slots: vec![0.0; ns], debug: false, bar: vec![0.0; ns] })
    }
    fn range(&self, c: usize) -> std::ops::RangeInclusive<usize> {
        let t = self.forward.space.intervals[c];
        let w = ((t as f64 * 0.04).round() as usize).max(1);
        c.saturating_sub(w)..=(c + w).min(self.forward.space.tempi() - 1)
    }
    /// Push.
    pub fn push(&mut self, f: &Frame, out: &mut impl FnMut(Event)) {
        let m = self.config.model.clone();
        let o = Observation::new(f, &m);
        self.forward.step(&o);
        let fps = self.config.frame_rate;
        // level gate
        self.loud = (self.loud - 0.05).max(f.level);
        let quiet = f.level < -60.0 || f.level < self.loud - 50.0;
        self.silent = if quiet { self.silent + 1 } else { 0 };
        self.peakf = self.peakf.max(f.flux);
        // tempo cluster
        let n = self.forward.space.tempi();
        let total: f32 = self.forward.mass.iter().sum();
        for i in 0..n { let r = self.range(i); self.score[i] = self.forward.mass[r].iter().sum::<f32>() / total; }
        let best = (0..n).max_by(|&a, &b| self.score[a].total_cmp(&self.score[b])).unwrap();
        let mut c = self.cluster.unwrap_or(best);
        // hill climb
        loop {
            let mut b = c;
            if c > 0 && self.score[c - 1] > self.score[b] { b = c - 1 }
            if c + 1 < n && self.score[c + 1] > self.score[b] { b = c + 1 }
            if b == c { break }
            c = b;
        }
        let hysteresis = if m.x[0] > 0.0 { m.x[0] as f32 } else { 2.0 };
        if self.score[best] > hysteresis * self.score[c] { c = best }
        self.cluster = Some(c);
        let range = self.range(c);
        let (mut w, mut s) = (0.0f64, 0.0f64);
        for i in range.clone() { w += self.forward.mass[i] as f64; s += self.forward.mass[i] as f64 * self.forward.space.intervals[i] as f64; }
        let tau = if w > 0.0 { s / w } else { self.forward.space.intervals[c] as f64 };
        self.period = tau / fps;

        let lead = (self.config.lead * fps).round() as isize;
        let min_gap = 0.62;
        if let Some(last) = self.last {
            if f.time + self.config.lead < last + min_gap * self.period { return }
        }
        let lo = match self.last { Some(last) => (((last + min_gap * self.period - f.time) * fps).ceil() as isize).max(-(LATE as isize)), None => -(LATE as isize) };
        let hi = match self.last { Some(last) => ((last + 1.62 * self.period - f.time) * fps).floor() as isize, None => isize::MAX };
        let hi = if hi < lo + 2 { isize::MAX } else { hi };
        let mut hist = std::mem::take(&mut self.hist);
        self.forward.phases(range.clone(), LATE, &mut hist);
        let z: f32 = hist.iter().sum();
        let at = |d: usize| -> f32 { let a = |k: usize| hist.get(k).copied().unwrap_or(0.0); a(d) * 2.0 + if d > 0 { a(d - 1) } else { 0.0 } + a(d + 1) };
        let (mut bd, mut bv) = (0usize, -1.0f32);
        for d in 0..hist.len() {
            let real = d as isize - LATE as isize;
            if real < lo || real > hi { continue }
            let v = at(d);
            if v > bv { bv = v; bd = d }
        }
        let real = bd as isize - LATE as isize;
        let sounding = self.silent < 8;
        if bv > 0.0 && real <= lead && (sounding || real <= 1 - LATE as isize) {
            // mass near
            let wd = ((tau * 0.08).round() as usize).max(2);
            let near: f32 = hist[bd.saturating_sub(wd)..(bd + wd + 1).min(hist.len())].iter().sum();
            let phase = near / z;
            let conf = phase * self.score[c];
            // centroid
            let (mut a, mut b) = (0.0f64, 0.0f64);
            for d in bd.saturating_sub(3)..(bd + 4).min(hist.len()) { a += hist[d] as f64; b += hist[d] as f64 * (d as f64 - LATE as f64); }
            let time = f.time + if a > 0.0 { b / a / fps } else { real as f64 / fps };
            self.ev += (self.peakf - self.ev) * 0.2;
            self.peakf = 0.0;
            let thr = if m.x[1] > 0.0 { m.x[1] as f32 } else { 0.3 };
            let ok = conf > thr && sounding && self.ev > 0.05;
            if self.debug { eprintln!("{:.2} beat {:.2} bpm {:.1} conf {:.3} score {:.3} phase {:.3} ev {:.2} best {:.1} {}", f.time, time, 60.0/self.period, conf, self.score[c], phase, self.ev, 60.0*fps/self.forward.space.intervals[best] as f64, ok); }
            if ok {
                let mut sl = std::mem::take(&mut self.slots);
                self.forward.slots_at(range, real, &mut sl);
                let k = (0..sl.len()).max_by(|&a, &b| sl[a].total_cmp(&sl[b])).unwrap_or(0);
                self.slots = sl;
                let slot = self.forward.space.slots[k];
                out(Event::Beat(Beat { time, strength: self.peakf as f64, confidence: conf as f64, bpm: 60.0 / self.period, beat_in_bar: slot.beat + 1, predicted: time > f.time }));
            }
            // Whether reported or not, this beat has been spoken about.
            self.last = Some(time);
        }
        self.hist = hist;
    }
    /// Finish.
    pub fn finish(&mut self, _out: &mut impl FnMut(Event)) {}
    /// Tempo.
    pub fn tempo(&self) -> Option<Tempo> { None }
}
