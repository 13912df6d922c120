// SPDX-License-Identifier: MPL-2.0
//! What a task adds to the trainer: a network, data, a loss and figures.

use crate::checkpoint::Figures;
use anyhow::{Context, Result};
use dance_corpus::Split;
use dance_networks::layers::Scope;
use dance_networks::network::{Array, Network};
use dance_networks::ops::Ops;
use ndarray::ArrayD;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Arrays by name: the network's inputs, and what the loss wants beside them.
pub type Batch = BTreeMap<String, Array>;

/// Tensors by name, as the loss gets them.
pub struct Tensors<G: Ops>(BTreeMap<String, G::Tensor>);

impl<G: Ops> Tensors<G> {
    /// These tensors.
    pub fn new(tensors: BTreeMap<String, G::Tensor>) -> Self {
        Self(tensors)
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// When the batch has none.
    pub fn get(&self, name: &str) -> Result<&G::Tensor> {
        self.0
            .get(name)
            .with_context(|| format!("the batch has no {name}"))
    }

    /// The network's inputs in its order.
    ///
    /// # Errors
    /// When the batch lacks one.
    pub fn inputs<N: Network>(&self, network: &N) -> Result<Vec<G::Tensor>> {
        network
            .inputs()
            .iter()
            .map(|port| Ok(self.get(&port.name)?.clone()))
            .collect()
    }
}

/// A task. Its loss is written in the same operations as its network, so that it, too, can be
/// recorded and tested where there is no LibTorch.
pub trait Task: Sized + Sync {
    /// Its name, for the command line and for checkpoints.
    const NAME: &'static str;
    /// The `[task]` of its configuration.
    type Settings: DeserializeOwned;
    /// The network it trains.
    type Network: Network;

    /// The task with its settings. Random numbers come from `seed`.
    ///
    /// # Errors
    /// When data are missing, naming them, or a setting makes no sense.
    fn new(settings: Self::Settings, seed: u64) -> Result<Self>;

    /// The network.
    fn network(&self) -> &Self::Network;

    /// The batch number `index` of a split: the same each time it is asked for, on any thread, so
    /// that a training resumes where it was.
    ///
    /// # Errors
    /// When data cannot be read.
    fn batch(&self, split: Split, index: u64) -> Result<Batch>;

    /// The loss to be made small, a tensor without axes.
    ///
    /// # Errors
    /// As the operations it is made of.
    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor>;

    /// Figures of a batch, from what the network gave for it.
    ///
    /// # Errors
    /// When something is missing.
    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let _ = (batch, outputs);
        Ok(Figures::new())
    }

    /// What the data are and whose, with licences, for the card.
    fn data(&self) -> String;
}

/// The mean of each figure over batches.
#[derive(Default)]
pub struct Means(BTreeMap<String, (f64, u64)>);

impl Means {
    /// Counts a batch.
    pub fn add(&mut self, figures: &Figures) {
        for (name, value) in figures {
            let (sum, n) = self.0.entry(name.clone()).or_default();
            *sum += value;
            *n += 1;
        }
    }

    /// The means.
    pub fn get(self) -> Figures {
        self.0
            .into_iter()
            .map(|(name, (sum, n))| (name, sum / n as f64))
            .collect()
    }
}
