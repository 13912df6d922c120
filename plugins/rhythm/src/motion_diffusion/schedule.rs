// SPDX-License-Identifier: MPL-2.0
//! How much noise there is at each of the steps of a diffusion.

/// Steps from motion to noise.
pub const STEPS: usize = 1_000;
/// Keeps the noise of the first steps from being too small, as published.
const OFFSET: f64 = 0.008;
/// No step adds more noise than this.
const LARGEST: f64 = 0.999;

/// The cosine schedule of A. Nichol and P. Dhariwal, "Improved denoising diffusion probabilistic
/// models", ICML 2021, eq. 17.
///
/// After step `t`, `0 … STEPS − 1`, a value is `signal(t)` · value + `noise(t)` · normal noise.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The share of the variance that is still signal after each step.
    kept: Vec<f64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::cosine(STEPS)
    }
}

impl Schedule {
    /// With `steps` steps.
    pub fn cosine(steps: usize) -> Self {
        let curve = |t: f64| {
            let angle = (t / steps as f64 + OFFSET) / (1.0 + OFFSET) * std::f64::consts::FRAC_PI_2;
            angle.cos().powi(2)
        };
        let mut kept = Vec::with_capacity(steps);
        let mut left = 1.0;
        for t in 0..steps {
            let added = (1.0 - curve(t as f64 + 1.0) / curve(t as f64)).min(LARGEST);
            left *= 1.0 - added;
            kept.push(left);
        }
        Self { kept }
    }

    /// Its number of steps.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What the motion is multiplied by after step `t`; the last step's where there are no more.
    pub fn signal(&self, t: usize) -> f64 {
        self.share(t).sqrt()
    }

    /// What the noise is multiplied by after step `t`.
    pub fn noise(&self, t: usize) -> f64 {
        (1.0 - self.share(t)).sqrt()
    }

    /// The signal's variance over the noise's.
    pub fn signal_to_noise(&self, t: usize) -> f64 {
        let share = self.share(t);
        share / (1.0 - share)
    }

    fn share(&self, t: usize) -> f64 {
        let last = self.kept.len().saturating_sub(1);
        self.kept.get(t.min(last)).copied().unwrap_or(1.0)
    }

    /// `count` steps (at least one) from the noisiest down, as far from each other as they can be;
    /// the motion without noise follows the last one.
    pub fn walk(&self, count: usize) -> Vec<usize> {
        let count = count.clamp(1, self.len().max(1));
        let step = self.len() as f64 / count as f64;
        (0..count)
            .map(|k| ((self.len() as f64 - k as f64 * step).round() as usize).max(1) - 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_grows_from_almost_none_to_almost_all() {
        let schedule = Schedule::default();
        assert_eq!(schedule.len(), STEPS);
        assert!(schedule.noise(0) < 0.01 && schedule.signal(STEPS - 1) < 1e-3);
        for t in 0..STEPS {
            let power = schedule.signal(t).powi(2) + schedule.noise(t).powi(2);
            assert!((power - 1.0).abs() < 1e-12);
            assert!(t == 0 || schedule.signal_to_noise(t) < schedule.signal_to_noise(t - 1));
        }
        // Half of the variance is noise in the middle, as the cosine says.
        assert!((schedule.signal_to_noise(STEPS / 2) - 1.0).abs() < 0.05);
        assert_eq!(schedule.signal(5_000), schedule.signal(STEPS - 1));
    }

    #[test]
    fn a_walk_goes_from_the_noisiest_step_down() {
        let schedule = Schedule::default();
        assert_eq!(schedule.walk(4), [999, 749, 499, 249]);
        assert_eq!(schedule.walk(1), [999]);
        assert_eq!(schedule.walk(0), [999]);
        let all = schedule.walk(5_000);
        assert_eq!((all.len(), all[0], all[STEPS - 1]), (STEPS, STEPS - 1, 0));
    }
}
