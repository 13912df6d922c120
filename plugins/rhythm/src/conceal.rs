// SPDX-License-Identifier: MPL-2.0
//! Concealment of lost samples.

/// Fills in for samples that were lost, so that neither the loss nor what follows it is an onset.
///
/// A gap is filled with the samples before it, backwards, forwards and so on, which joins without a
/// step, and fades out; the first samples after it are faded in over that.
#[derive(Debug, Clone)]
pub struct Concealer {
    /// The last samples that came, the newest last.
    history: Vec<f32>,
    keep: usize,
    /// Samples at full level, and those after which there is silence.
    fade: [usize; 2],
    cross: usize,
    /// Samples since the gap began, while its end is not yet passed by `cross`.
    lost: Option<u64>,
    /// Samples of the fade-in that came.
    back: usize,
}

impl Concealer {
    /// Seconds of samples that a gap is filled with, seconds at full level and until silence, and
    /// seconds of the fade-in.
    const KEEP: f64 = 0.02;
    const FADE: [f64; 2] = [0.02, 0.06];
    const CROSS: f64 = 0.005;
    /// Samples handed out at once.
    const PIECE: usize = 256;

    /// For a stream of `rate` samples a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(rate)).round().max(1.0) as usize;
        let keep = samples(Self::KEEP);
        Self {
            history: Vec::with_capacity(keep),
            keep,
            fade: Self::FADE.map(samples),
            cross: samples(Self::CROSS),
            lost: None,
            back: 0,
        }
    }

    /// Resets to the start of a stream.
    pub fn reset(&mut self) {
        self.history.clear();
        self.lost = None;
    }

    /// Passes samples on, the first ones after a gap faded in.
    pub fn push(&mut self, mut samples: &[f32], out: &mut impl FnMut(&[f32])) {
        while let Some(lost) = self.lost.filter(|_| !samples.is_empty()) {
            let mut faded = [0.0; Self::PIECE];
            let count = samples.len().min(Self::PIECE).min(self.cross - self.back);
            let (now, rest) = samples.split_at(count);
            for (n, (to, from)) in faded.iter_mut().zip(now).enumerate() {
                let share = (self.back + n + 1) as f32 / (self.cross + 1) as f32;
                *to = share * from + (1.0 - share) * self.filling(lost + n as u64);
            }
            out(&faded[..count]);
            samples = rest;
            self.back += count;
            self.lost = (self.back < self.cross).then_some(lost + count as u64);
            if self.lost.is_none() {
                // The fade itself is not what another gap should repeat.
                self.history.clear();
            }
        }
        if samples.is_empty() {
            return;
        }
        let newest = &samples[samples.len().saturating_sub(self.keep)..];
        let surplus = (self.history.len() + newest.len()).saturating_sub(self.keep);
        self.history.drain(..surplus);
        self.history.extend_from_slice(newest);
        out(samples);
    }

    /// Fills in for `count` samples.
    pub fn lose(&mut self, count: u64, out: &mut impl FnMut(&[f32])) {
        let mut from = self.lost.unwrap_or(0);
        let end = from + count;
        self.back = 0;
        while from < end {
            let mut filled = [0.0; Self::PIECE];
            let count = (end - from).min(Self::PIECE as u64) as usize;
            for (n, to) in filled[..count].iter_mut().enumerate() {
                *to = self.filling(from + n as u64);
            }
            out(&filled[..count]);
            from += count as u64;
        }
        self.lost = (count > 0).then_some(end).or(self.lost);
    }

    /// The sample `n` after the gap began.
    fn filling(&self, n: u64) -> f32 {
        let [full, silent] = self.fade;
        let length = self.history.len() as u64;
        if length == 0 || n >= silent as u64 {
            return 0.0;
        }
        let there = n % (2 * length);
        let place = if there < length {
            length - 1 - there
        } else {
            there - length
        };
        let gain = (silent as u64 - n) as f32 / (silent - full) as f32;
        gain.min(1.0) * self.history[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    /// A tone of 440 Hz, of which `lost` samples from `at` on are lost.
    fn tone_with_a_gap(at: usize, lost: usize, chunk: usize) -> Vec<f32> {
        let tone: Vec<f32> = (0..RATE)
            .map(|n| (f64::from(n) / f64::from(RATE) * 440.0 * std::f64::consts::TAU).sin() as f32)
            .collect();
        let mut concealer = Concealer::new(RATE);
        let mut out = Vec::new();
        let mut note = |samples: &[f32]| out.extend_from_slice(samples);
        for part in tone[..at].chunks(chunk) {
            concealer.push(part, &mut note);
        }
        concealer.lose(lost as u64, &mut note);
        for part in tone[at + lost..].chunks(chunk) {
            concealer.push(part, &mut note);
        }
        assert_eq!(out.len(), tone.len());
        for (n, (a, b)) in out.iter().zip(&tone).enumerate() {
            if !(at..at + lost + 40).contains(&n) {
                assert_eq!(a, b, "{n}");
            }
        }
        out
    }

    #[test]
    fn a_gap_leaves_no_step_and_keeps_the_count_of_samples() {
        for (at, lost) in [(3_001, 80), (2_950, 7), (4_444, 300), (3_000, 2_000)] {
            let whole = tone_with_a_gap(at, lost, 8_000);
            // The largest step of the tone itself is 0.34.
            let step = whole.windows(2).map(|w| (w[1] - w[0]).abs());
            let step = step.fold(0.0, f32::max);
            assert!(step < 0.4, "{at} {lost}: {step}");
            for chunk in [1, 13, 256] {
                assert_eq!(tone_with_a_gap(at, lost, chunk), whole);
            }
            // At its full level for 20 ms, silent after 60.
            let level = |part: &[f32]| part.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            if lost == 2_000 {
                assert!(level(&whole[at..at + 160]) > 0.9);
                assert_eq!(level(&whole[at + 480..at + 2_000]), 0.0);
            }
        }
    }

    #[test]
    fn a_stream_that_begins_with_a_loss_begins_with_silence() {
        let mut concealer = Concealer::new(RATE);
        let mut out = Vec::new();
        concealer.lose(100, &mut |samples| out.extend_from_slice(samples));
        assert_eq!(out, [0.0; 100]);
        concealer.lose(0, &mut |_| panic!("nothing was lost"));
        concealer.push(&[1.0; 100], &mut |samples| out.extend_from_slice(samples));
        assert_eq!(out.len(), 200);
        assert_eq!(out[199], 1.0);
        concealer.reset();
        concealer.push(&[1.0], &mut |samples| assert_eq!(samples, [1.0]));
    }
}
