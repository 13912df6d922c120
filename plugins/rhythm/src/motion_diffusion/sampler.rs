// SPDX-License-Identifier: MPL-2.0
//! From noise to motion in a few steps.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::schedule::Schedule;

/// What a network says the motion without noise is.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// From the music, style and reference.
    pub conditional: Vec<f32>,
    /// From the reference alone; empty where it was not asked for.
    pub unconditional: Vec<f32>,
}

/// The network.
pub trait Denoiser {
    /// Why it could not run.
    type Error;

    /// What `noisy` is without its noise, which is that of step `step` of the schedule; with
    /// `guided` also what it would be without music and style. All are as long as `noisy`.
    ///
    /// # Errors
    /// When it cannot run.
    fn denoise(
        &mut self,
        noisy: &[f32],
        step: usize,
        guided: bool,
    ) -> Result<Predicted, Self::Error>;
}

/// How one noise level leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// J. Song, C. Meng, S. Ermon, "Denoising diffusion implicit models", ICLR 2021, eq. 12 with
    /// σ = 0.
    Ddim,
    /// C. Lu et al., "DPM-Solver++", 2022, algorithm 2: two steps are looked back at, so that few
    /// are enough.
    DpmPlusPlus,
}

/// How motion is made out of noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How noise levels follow each other.
    pub method: Method,
    /// How often the network is asked, at least once.
    pub steps: usize,
    /// How far to go from what the network says without music and style towards what it says with
    /// them, and beyond (J. Ho, T. Salimans, "Classifier-free diffusion guidance", 2022): 1 is
    /// what it says with them, for half the cost.
    pub guidance: f32,
    /// Dynamic thresholding (C. Saharia et al., "Imagen", NeurIPS 2022, §2.3): where this share of
    /// the numbers of a prediction is not within ±[`LIMIT`], they are scaled down until it is, and
    /// the rest is cut off. None does nothing.
    pub threshold: Option<f32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::DpmPlusPlus,
            steps: 10,
            guidance: 1.25,
            threshold: Some(0.995),
        }
    }
}

/// How large a number of a motion gets: tokens have a deviation of 1.
pub const LIMIT: f32 = 4.0;

/// Normal noise, always the same for the same seed and number.
pub fn noise(seed: u64, number: u64, count: usize) -> Vec<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(number);
    let mut unit = || (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut out = Vec::with_capacity(count + 1);
    // G. E. P. Box, M. E. Muller, 1958.
    while out.len() < count {
        let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * unit()).sin_cos();
        out.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    out.truncate(count);
    out
}

/// Motion made out of `noise`, as long as that.
///
/// # Errors
/// The network's.
pub fn sample<D: Denoiser>(
    network: &mut D,
    schedule: &Schedule,
    settings: &Settings,
    noise: Vec<f32>,
) -> Result<Vec<f32>, D::Error> {
    let walk = schedule.walk(settings.steps);
    let guided = settings.guidance != 1.0;
    let mut noisy = noise;
    // What the last step said, and how far it came in half the logarithm of signal over noise.
    let mut last: Option<(Vec<f32>, f64)> = None;
    for (k, &step) in walk.iter().enumerate() {
        let said = network.denoise(&noisy, step, guided)?;
        let mut clean = said.conditional;
        if guided {
            for (with, without) in clean.iter_mut().zip(&said.unconditional) {
                *with = without + settings.guidance * (*with - without);
            }
        }
        if let Some(share) = settings.threshold {
            limit(&mut clean, share);
        }
        let Some(&next) = walk.get(k + 1) else {
            return Ok(clean);
        };
        let (signal, noise) = (schedule.signal(next), schedule.noise(next));
        let (from_signal, from_noise) = (schedule.signal(step), schedule.noise(step));
        let far = (signal / noise).ln() - (from_signal / from_noise).ln();
        // How much the last prediction is gone beyond.
        let beyond = match (&last, settings.method) {
            // The last step but the one without noise is of first order, as published: it is long.
            (Some((_, before)), Method::DpmPlusPlus) => far / (2.0 * before),
            _ => 0.0,
        };
        let keep = noise / from_noise;
        let add = signal - keep * from_signal;
        for (n, x) in noisy.iter_mut().enumerate() {
            let mut towards = f64::from(clean[n]);
            if let Some((before, _)) = &last {
                towards += beyond * (towards - f64::from(before[n]));
            }
            *x = (keep * f64::from(*x) + add * towards) as f32;
        }
        last = Some((clean, far));
    }
    // A walk has one step at least, and its last one returns.
    Ok(noisy)
}

/// Dynamic thresholding.
fn limit(values: &mut [f32], share: f32) {
    let mut sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    if sizes.is_empty() {
        return;
    }
    let at = ((sizes.len() - 1) as f32 * share.clamp(0.0, 1.0)).round() as usize;
    let (_, &mut largest, _) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    if largest > LIMIT {
        for x in values {
            *x = x.clamp(-largest, largest) * (LIMIT / largest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best answer for values that are ±1 with equal chance, and where all are 0.5 without
    /// condition.
    struct Exact<'a> {
        schedule: &'a Schedule,
        asked: Vec<usize>,
    }

    impl Denoiser for Exact<'_> {
        type Error = ();

        fn denoise(&mut self, noisy: &[f32], step: usize, guided: bool) -> Result<Predicted, ()> {
            self.asked.push(step);
            let (a, s) = (self.schedule.signal(step), self.schedule.noise(step));
            Ok(Predicted {
                conditional: noisy
                    .iter()
                    .map(|&x| (a * f64::from(x) / (s * s)).tanh() as f32)
                    .collect(),
                unconditional: if guided {
                    vec![0.5; noisy.len()]
                } else {
                    Vec::new()
                },
            })
        }
    }

    fn run(settings: Settings) -> (Vec<f32>, Vec<usize>) {
        let schedule = Schedule::default();
        let mut network = Exact {
            schedule: &schedule,
            asked: Vec::new(),
        };
        let out = sample(&mut network, &schedule, &settings, noise(3, 0, 400)).unwrap();
        (out, network.asked)
    }

    #[test]
    fn both_methods_find_the_two_values_that_there_are() {
        for method in [Method::Ddim, Method::DpmPlusPlus] {
            for steps in [10, 50] {
                let (out, asked) = run(Settings {
                    method,
                    steps,
                    guidance: 1.0,
                    threshold: None,
                });
                assert_eq!(asked.len(), steps);
                let far = out.iter().filter(|x| (x.abs() - 1.0).abs() > 0.05).count();
                assert!(far < 40, "{method:?} {steps}: {far} of 400 in between");
                let positive = out.iter().filter(|x| **x > 0.0).count();
                assert!((150..250).contains(&positive), "{positive}");
            }
        }
    }

    #[test]
    fn looking_back_needs_fewer_steps() {
        // Where each number goes with many steps is where it should go.
        let go = |method, steps| {
            run(Settings {
                method,
                steps,
                guidance: 1.0,
                threshold: None,
            })
            .0
        };
        let exact = go(Method::Ddim, 1_000);
        let off = |method| {
            let out = go(method, 12);
            let sum: f32 = out.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum();
            sum / out.len() as f32
        };
        assert!(off(Method::DpmPlusPlus) < off(Method::Ddim));
    }

    #[test]
    fn guidance_goes_beyond_the_condition_and_thresholding_holds_it() {
        let settings = Settings {
            method: Method::Ddim,
            steps: 20,
            guidance: 3.0,
            threshold: None,
        };
        let (out, _) = run(settings);
        // 0.5 + 3 · (±1 − 0.5).
        let near = |x: f32| (x - 2.0).abs() < 0.1 || (x + 4.0).abs() < 0.1;
        assert!(out.iter().filter(|x| near(**x)).count() > 360);
        let (out, _) = run(Settings {
            guidance: 9.0,
            threshold: Some(0.995),
            ..settings
        });
        assert!(out.iter().all(|x| x.abs() <= LIMIT + 1e-4));
    }

    #[test]
    fn noise_is_normal_and_a_function_of_seed_and_number() {
        let a = noise(1, 2, 10_001);
        assert_eq!(a, noise(1, 2, 10_001));
        assert_ne!(a, noise(2, 2, 10_001));
        assert_ne!(a, noise(1, 3, 10_001));
        let mean = a.iter().sum::<f32>() / a.len() as f32;
        let power = a.iter().map(|x| x * x).sum::<f32>() / a.len() as f32;
        assert!(mean.abs() < 0.03 && (power - 1.0).abs() < 0.05);
    }
}
