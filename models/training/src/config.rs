// SPDX-License-Identifier: MPL-2.0
//! Configurations: TOML files in which nothing unknown passes.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A configuration: how to train, and the settings of the task.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config<T> {
    /// Where checkpoints and curves go; from the working directory.
    pub out: PathBuf,
    /// All random numbers come from this.
    #[serde(default)]
    pub seed: u64,
    /// How to train.
    pub training: Training,
    /// The task's own settings.
    pub task: T,
}

/// How to train.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// The number of updates.
    pub steps: u64,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// The steps over which the learning rate rises to it from zero.
    pub warm_up: u64,
    /// How it goes on from there.
    pub schedule: Schedule,
    /// The share of the learning rate that a cosine ends at.
    pub final_share: f64,
    /// AdamW's decay of the averages of gradients and of their squares.
    pub betas: [f64; 2],
    /// AdamW's ε.
    pub epsilon: f64,
    /// The decoupled decay of weights with two or more axes.
    pub weight_decay: f64,
    /// The largest norm of all gradients together; larger ones are scaled down. 0 for no limit.
    pub clip: f64,
    /// The decay of the weights' average.
    pub average: f64,
    /// `cpu`, `cuda` or `auto`.
    pub device: String,
    /// `float32` or `bfloat16`.
    pub precision: Precision,
    /// LibTorch's threads; 0 for its own choice.
    pub threads: usize,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Steps between validations.
    pub validate_every: u64,
    /// Batches in a validation.
    pub validation_batches: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Validations without a new best after which training ends. 0 for none.
    pub patience: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            steps: 10_000,
            learning_rate: 1e-3,
            warm_up: 200,
            schedule: Schedule::Cosine,
            final_share: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
            average: 0.999,
            device: "auto".into(),
            precision: Precision::Float32,
            threads: 0,
            workers: 1,
            validate_every: 500,
            validation_batches: 8,
            checkpoint_every: 500,
            patience: 0,
        }
    }
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls along half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts).
    Cosine,
}

/// The precision of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32 throughout.
    Float32,
    /// Convolutions and matrix products in bfloat16; norms, softmax, sums, powers, recurrences and
    /// the weights themselves stay float32 (Kalamkar et al. 2019).
    Bfloat16,
}

impl Training {
    fn check(&self) -> Result<()> {
        let positive = [
            ("steps", self.steps),
            ("workers", self.workers as u64),
            ("validate_every", self.validate_every),
            ("validation_batches", self.validation_batches),
            ("checkpoint_every", self.checkpoint_every),
        ];
        for (name, value) in positive {
            ensure!(value > 0, "training.{name} must be more than 0");
        }
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "training.learning_rate must be more than 0"
        );
        let shares = [
            ("final_share", self.final_share),
            ("betas", self.betas[0]),
            ("betas", self.betas[1]),
            ("average", self.average),
        ];
        for (name, value) in shares {
            ensure!(
                (0.0..1.0).contains(&value),
                "training.{name} must be in 0..1, and is {value}"
            );
        }
        let amounts = [
            ("epsilon", self.epsilon),
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
        ];
        for (name, value) in amounts {
            ensure!(
                value >= 0.0 && value.is_finite(),
                "training.{name} must not be negative"
            );
        }
        Ok(())
    }

    /// Whether so many validations without a new best end the training.
    pub fn is_exhausted(&self, validations: u64) -> bool {
        self.patience > 0 && validations >= self.patience
    }

    /// The learning rate of the update number `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.learning_rate * (step + 1) as f64 / self.warm_up as f64;
        }
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let length = self.steps.saturating_sub(self.warm_up).max(1);
                let done = ((step - self.warm_up) as f64 / length as f64).min(1.0);
                let share = (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
                self.learning_rate * (self.final_share + (1.0 - self.final_share) * share)
            }
        }
    }
}

/// A configuration from a file, and the file's text.
///
/// # Errors
/// With line and key, when the file is missing, holds something unknown, or a setting that makes
/// no sense.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<(Config<T>, String)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read configuration {}", path.display()))?;
    let config = parse(&text).with_context(|| format!("configuration {}", path.display()))?;
    Ok((config, text))
}

/// A configuration from its text.
///
/// # Errors
/// As [`load`].
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<Config<T>> {
    let config: Config<T> = toml::from_str(text)?;
    config.training.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[test]
    fn unknown_keys_and_senseless_values_are_errors() {
        let parse = |text: &str| parse::<Nothing>(text).map_err(|error| format!("{error:#}"));
        parse("out = 'x'\n[training]\n[task]\n").unwrap();
        let error = parse("out = 'x'\n[training]\nlearning_rat = 1\n[task]\n").unwrap_err();
        assert!(
            error.contains("learning_rat") && error.contains('3'),
            "{error}"
        );
        assert!(parse("out = 'x'\n[training]\n[task]\na = 1\n").is_err());
        assert!(parse("[training]\n[task]\n").is_err());
        for line in [
            "steps = 0",
            "average = 1.0",
            "learning_rate = nan",
            "betas = [0.9, 2]",
        ] {
            let error = parse(&format!("out = 'x'\n[training]\n{line}\n[task]\n")).unwrap_err();
            let key = line.split(' ').next().unwrap();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let training = Training {
            steps: 110,
            warm_up: 10,
            learning_rate: 2.0,
            final_share: 0.1,
            ..Training::default()
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(training.rate(0), 0.2);
        close(training.rate(9), 2.0);
        close(training.rate(10), 2.0);
        close(training.rate(60), 1.1);
        close(training.rate(110), 0.2);
        close(training.rate(1000), 0.2);
    }
}
