// SPDX-License-Identifier: MPL-2.0
//! Where weights come from: a seed, or a checkpoint.

use crate::ops::Init;
use anyhow::{Context, Result, ensure};
use ndarray::{ArrayD, IxDyn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Weights by module path.
pub type Stored = BTreeMap<String, ArrayD<f32>>;

/// Where weights come from.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Their initial values, drawn from this seed and from their own path: the same whatever is
    /// asked for first, and in every interpreter.
    Seeded(u64),
    /// These and no others.
    Stored(Stored),
}

impl Weights {
    /// The weight at a path.
    ///
    /// # Errors
    /// When it is not among the stored ones, or has another shape there.
    pub fn get(&self, path: &str, shape: &[usize], init: Init) -> Result<ArrayD<f32>> {
        match self {
            Self::Seeded(seed) => Ok(draw(*seed, path, shape, init)),
            Self::Stored(stored) => {
                let weight = stored
                    .get(path)
                    .with_context(|| format!("the checkpoint has no weight {path}"))?;
                ensure!(
                    weight.shape() == shape,
                    "weight {path} has the shape {:?} in the checkpoint, {shape:?} in the network",
                    weight.shape()
                );
                Ok(weight.clone())
            }
        }
    }
}

/// A generator for one purpose of many under one seed.
pub fn rng(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Independent normal values, by Box & Muller (1958).
pub fn normal(rng: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        // 1 - u is never zero, so its logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        values.push((radius * cos) as f32);
        values.push((radius * sin) as f32);
    }
    values.truncate(n);
    values
}

fn draw(seed: u64, path: &str, shape: &[usize], init: Init) -> ArrayD<f32> {
    let n = shape.iter().product();
    let mut rng = rng(seed, path);
    let values = match init {
        Init::Constant(value) => vec![value; n],
        Init::Normal(deviation) => normal(&mut rng, n).iter().map(|x| x * deviation).collect(),
        Init::Uniform(bound) => (0..n)
            .map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound)
            .collect(),
    };
    // The vector holds exactly as many values as the shape, so its shaping cannot fail.
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_depends_on_seed_and_path_alone() {
        let get = |seed, path| {
            Weights::Seeded(seed)
                .get(path, &[4, 100], Init::Normal(0.5))
                .unwrap()
        };
        assert_eq!(get(1, "a"), get(1, "a"));
        assert_ne!(get(1, "a"), get(2, "a"));
        assert_ne!(get(1, "a"), get(1, "b"));
        let (mean, deviation) = (get(1, "a").mean().unwrap(), get(1, "a").std(0.0));
        assert!(
            mean.abs() < 0.1 && (deviation - 0.5).abs() < 0.06,
            "{mean} {deviation}"
        );
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_is_named() {
        let stored = Weights::Stored(Stored::from([("a".into(), ArrayD::zeros(IxDyn(&[2])))]));
        let missing = stored.get("b", &[2], Init::ZEROS).unwrap_err().to_string();
        assert!(missing.contains("no weight b"), "{missing}");
        let shape = stored.get("a", &[3], Init::ZEROS).unwrap_err().to_string();
        assert!(shape.contains("[2]") && shape.contains("[3]"), "{shape}");
    }
}
