// SPDX-License-Identifier: MPL-2.0
//! Where within a frame an attack lies: its instant in the time domain.

/// Finds the steepest rise of the energy in the last 55 ms, to a millisecond.
///
/// A spectral frame locates the attack to about its hop. The samples locate it better: for
/// every millisecond, the energy of the next four is set against that of the twelve before, for
/// the signal and for its first difference (where a soft attack over a loud bass still shows), and
/// the largest mean of the two logarithms wins.
pub struct Locator {
    /// Samples in a block of about one millisecond.
    block: usize,
    raw: [f32; Self::BLOCKS],
    slope: [f32; Self::BLOCKS],
}

/// The instant of an attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attack {
    /// Samples from the attack to the end of the input.
    pub age: usize,
    /// Natural logarithm of the rise of energy there.
    pub rise: f32,
}

impl Locator {
    const BLOCKS: usize = 55;
    const BEFORE: usize = 12;
    const AFTER: usize = 4;
    /// Attacks are searched for in this range of blocks before the end.
    const RANGE: std::ops::RangeInclusive<usize> = 2..=36;
    /// Share of the mean energy that is added to both sides, against ratios of nearly nothing.
    const GROUND: f32 = 0.01;
    /// Rise of energy, as its natural logarithm, from which the position found in the samples is
    /// used, and from which it alone is.
    const TRUSTED: (f32, f32) = (0.3, 1.0);
    /// How much each squared millisecond off the expected age costs.
    const STRAY: f32 = 0.002;

    /// For audio at `rate` Hz.
    pub fn new(rate: f64) -> Self {
        Self {
            block: (rate / 1_000.0).round().max(1.0) as usize,
            raw: [0.0; Self::BLOCKS],
            slope: [0.0; Self::BLOCKS],
        }
    }

    /// Samples that [`Self::locate`] needs.
    pub fn span(&self) -> usize {
        self.block * Self::BLOCKS + 1
    }

    /// Seconds from the attack in `samples` ([`Self::span`] of them at `rate` Hz) to their end: as
    /// found in the samples, or `expected` where they show no clear rise.
    pub fn age(&mut self, samples: &[f32], expected: f64, rate: f64) -> f64 {
        let attack = self.locate(samples, expected * rate);
        let (from, to) = Self::TRUSTED;
        let trust = f64::from(((attack.rise - from) / (to - from)).clamp(0.0, 1.0));
        trust * attack.age as f64 / rate + (1.0 - trust) * expected
    }

    /// The attack in `samples` ([`Self::span`] of them), `expected` of them before the end.
    pub fn locate(&mut self, samples: &[f32], expected: f64) -> Attack {
        let blocks = self.raw.iter_mut().zip(&mut self.slope);
        for (k, (raw, slope)) in blocks.enumerate() {
            let part = &samples[k * self.block..=(k + 1) * self.block];
            *raw = part.iter().map(|x| x * x).sum();
            *slope = part.windows(2).map(|w| (w[1] - w[0]) * (w[1] - w[0])).sum();
        }
        let expected = expected as f32 / self.block as f32;
        let mut best = (f32::MIN, 0, 0.0);
        for age in Self::RANGE {
            let at = Self::BLOCKS - age;
            let rise = 0.5 * (Self::rise(&self.raw, at) + Self::rise(&self.slope, at));
            let off = age as f32 - expected;
            let score = rise - Self::STRAY * off * off;
            if score > best.0 {
                best = (score, age, rise);
            }
        }
        Attack {
            age: best.1 * self.block,
            rise: best.2,
        }
    }

    fn rise(energy: &[f32; Self::BLOCKS], at: usize) -> f32 {
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        let ground = Self::GROUND * mean(energy) + 1e-12;
        let after = mean(&energy[at..(at + Self::AFTER).min(Self::BLOCKS)]);
        let before = mean(&energy[at - Self::BEFORE..at]);
        ((after + ground) / (before + ground)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_to_the_millisecond() {
        for rate in [8_000.0, 44_100.0, 192_000.0] {
            let mut locator = Locator::new(rate);
            for milliseconds in [3.0, 10.0, 25.0] {
                let age = (milliseconds * rate / 1_000.0) as usize;
                let mut samples = vec![0.0; locator.span()];
                let count = samples.len();
                for (n, x) in samples[count - age..].iter_mut().enumerate() {
                    *x = if n % 2 == 0 { 0.5 } else { -0.3 };
                }
                let found = locator.locate(&samples, age as f64);
                assert!(found.age.abs_diff(age) as f64 <= rate / 1_000.0);
                assert!(found.rise > 3.0);
            }
        }
    }
}
