// SPDX-License-Identifier: MPL-2.0
//! An exported network for pictures of another size.
//!
//! The weights of a flow network fit any size, its graph has one. Where the checkpoint is gone, the weights are read back
//! from the graph, and the network from the configuration on its card.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Settings;
use crate::config;
use crate::export;
use dance_networks::card;
use dance_networks::flow::Pwc;
use dance_networks::onnx;
use dance_networks::weights::{Stored, Weights};

/// The network of an exported flow graph, as the configuration on its card has it, and its weights.
///
/// # Errors
/// When the graph or its card cannot be read, or do not belong together.
pub fn read(path: &Path) -> Result<(Pwc, Stored)> {
    let card = export::read_card(path)?;
    let text = card
        .training
        .get("config")
        .and_then(|config| config.as_str())
        .with_context(|| format!("the card of {} has no training.config", path.display()))?;
    let config: config::Config<Settings> =
        config::parse(text).with_context(|| format!("the card of {}", path.display()))?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let stored = onnx::weights(&bytes).with_context(|| path.display().to_string())?;
    Ok((config.task.network, stored))
}

/// Writes an exported network for pictures of another size, with the same weights.
#[derive(clap::Args, Debug)]
pub struct Resize {
    /// The exported network, with its card beside it.
    #[arg(long, value_name = "FILE", default_value = "models/flow.onnx")]
    pub model: PathBuf,
    /// Width of its pictures.
    #[arg(long)]
    pub width: usize,
    /// Height of its pictures.
    #[arg(long)]
    pub height: usize,
    /// Which version of the network this is, for the card.
    #[arg(long)]
    pub version: String,
    /// The ONNX file to write, with its card beside it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

impl Resize {
    /// Writes it.
    ///
    /// # Errors
    /// What cannot be read or written, and what does not fit.
    pub fn run(&self) -> Result<String> {
        let (network, stored) = read(&self.model)?;
        let network = Pwc {
            width: self.width,
            height: self.height,
            ..network
        };
        network.check()?;
        let multiple = 1 << network.coarsest();
        ensure!(
            self.width.is_multiple_of(multiple) && self.height.is_multiple_of(multiple),
            "{} x {}: both must be multiples of {multiple}, as deep as the network is",
            self.width,
            self.height
        );
        let recorded = onnx::record(&network, Weights::Stored(stored))?;
        let before = export::read_card(&self.model)?;
        let mut card = card::card(&network, &self.version)?;
        card.licence = before.licence;
        card.training = before.training;
        card.figures = before.figures;
        export::write(&recorded.graph, card, &self.out)?;
        Ok(format!(
            "{}: {} x {}, {} parameters; the figures on its card are those of {}",
            self.out.display(),
            self.width,
            self.height,
            recorded.parameters,
            self.model.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dance_networks::network::Network;

    #[test]
    fn weights_come_back_from_a_graph_of_another_size() {
        let text = include_str!("../../config/flow-light.toml");
        let network = config::parse::<Settings>(text).unwrap().task.network;
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.onnx"), folder.path().join("b.onnx"));
        let recorded = onnx::record(&network, Weights::Seeded(7)).unwrap();
        let mut card = card::card(&network, "1").unwrap();
        card.training.insert("config".into(), text.into());
        export::write(&recorded.graph, card, &first).unwrap();
        let resize = Resize {
            model: first.clone(),
            width: 128,
            height: 96,
            version: "2".into(),
            out: second.clone(),
        };
        resize.run().unwrap();
        let (_, a) = read(&first).unwrap();
        let (_, b) = read(&second).unwrap();
        let own: Vec<&String> = a.keys().filter(|name| name.contains('.')).collect();
        assert!(own.len() > 40, "{own:?}");
        for name in own {
            assert_eq!(a.get(name), b.get(name), "{name}");
        }
        let card = export::read_card(&second).unwrap();
        assert_eq!(card.version, "2");
        let map = card.outputs.iter().find(|port| port.name == "map").unwrap();
        assert_eq!(map.shape[2..], [3, 4].map(dance_inference::Axis::Fixed));
        assert_eq!(network.outputs().len(), card.outputs.len());
        let odd = Resize {
            width: 100,
            ..resize
        };
        assert!(
            odd.run()
                .unwrap_err()
                .to_string()
                .contains("multiples of 32")
        );
    }
}
