// SPDX-License-Identifier: MPL-2.0
//! A task that proves the machinery: a small network learns a rule that needs both its parts.
//!
//! The signal is noise. The label of a frame is 1 where the signal rises and its running mean is
//! positive: the convolution can find the rise, only the recurrence can know the mean.

use crate::checkpoint::Figures;
use crate::task::{Batch, Task, Tensors};
use anyhow::{Context, Result, ensure};
use dance_corpus::Split;
use dance_networks::layers::{Scope, binary_cross_entropy};
use dance_networks::network::{Array, Network};
use dance_networks::ops::Ops;
use dance_networks::selftest::{KERNEL, Small};
use dance_networks::weights;
use ndarray::{Array2, Array3, ArrayD};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Sequences in a batch.
    pub batch: usize,
    /// Frames in a sequence.
    pub frames: usize,
    /// See [`Small::channels`].
    pub channels: usize,
    /// See [`Small::hidden`].
    pub hidden: usize,
    /// From this batch on the signal is not a number, to test that the trainer stops.
    #[serde(default)]
    pub poison: Option<u64>,
}

/// The task.
#[derive(Clone, Debug)]
pub struct SelfTest {
    settings: Settings,
    seed: u64,
    network: Small,
}

impl Task for SelfTest {
    const NAME: &'static str = "selftest";
    type Settings = Settings;
    type Network = Small;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        ensure!(
            settings.batch > 0
                && settings.frames > 0
                && settings.hidden > 0
                && settings.channels > 0,
            "task: batch, frames, channels and hidden must be more than 0"
        );
        Ok(Self {
            network: Small {
                channels: settings.channels,
                hidden: settings.hidden,
            },
            settings,
            seed,
        })
    }

    fn network(&self) -> &Small {
        &self.network
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        let (n, frames) = (self.settings.batch, self.settings.frames);
        let mut rng = weights::rng(self.seed, &format!("{}/{index}", split.name()));
        let mut signal =
            Array3::from_shape_vec((n, 1, frames), weights::normal(&mut rng, n * frames))?;
        let mut label = Array2::zeros((n, frames));
        for (mut row, signal) in label.outer_iter_mut().zip(signal.outer_iter()) {
            let (mut mean, mut before) = (0.0, 0.0);
            for (label, &x) in row.iter_mut().zip(signal.iter()) {
                mean = 0.8 * mean + 0.2 * x;
                *label = f32::from(mean > 0.0 && x > before);
                before = x;
            }
        }
        if split == Split::Training && self.settings.poison.is_some_and(|from| index >= from) {
            signal.fill(f32::NAN);
        }
        let state = |rows: usize| Array::from(Array2::<f32>::zeros((n, rows)));
        Ok(Batch::from([
            ("signal".into(), signal.into()),
            ("past".into(), Array3::zeros((n, 1, KERNEL - 1)).into()),
            ("hidden".into(), state(self.settings.hidden)),
            ("label".into(), label.into()),
        ]))
    }

    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        let outputs = self.network.forward(scope, &batch.inputs(&self.network)?)?;
        let logits = outputs.first().context("no output")?;
        binary_cross_entropy(scope.ops, logits, batch.get("label")?, None)
    }

    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let logits = outputs.get("activation").context("no activation")?;
        let labels = batch.get("label").context("no label")?.float32()?;
        let right = logits
            .iter()
            .zip(labels)
            .filter(|&(&x, &y)| (x > 0.0) == (y > 0.5))
            .count();
        let share = right as f64 / labels.len() as f64;
        Ok(Figures::from([("accuracy".into(), share)]))
    }

    fn data(&self) -> String {
        "noise, made while training".into()
    }
}
