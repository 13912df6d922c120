// SPDX-License-Identifier: MPL-2.0
//! A trained network as a file, with its card.

use crate::checkpoint::{Checkpoint, Figures};
use crate::runtime::{self, Difference};
use crate::task::{Batch, Means, Task};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use dance_corpus::{Split, files};
use dance_inference::card::Card;
use dance_networks::card;
use dance_networks::network::Network;
use dance_networks::onnx::{self, Recorded, convert};
use dance_networks::weights::Weights;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The numbers of an exported graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Numbers {
    /// As trained.
    Float32,
    /// float16 where that is safe; inputs and outputs stay float32.
    Float16,
    /// float16 weights, everything computed in float32: half the file, no faster.
    #[value(name = "float16-weights")]
    Float16Weights,
    /// int8 weights and uint8 activations in convolutions and matrix products.
    Int8,
}

impl Numbers {
    /// `float32`, `float16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Float16Weights => "float16 weights",
            Self::Int8 => "int8",
        }
    }
}

/// What an export was, for people.
#[derive(Debug)]
pub struct Report {
    /// The bytes of the file.
    pub bytes: usize,
    /// The number of learned elements.
    pub parameters: usize,
    /// What the conversion lost, measured over the test split, where there was a conversion.
    pub lost: Option<Difference>,
    /// The task's figures of the file over the test split, where ONNX Runtime is there.
    pub figures: Option<Figures>,
}

/// The batches that calibrate int8, and as many others that measure the file.
const BATCHES: u64 = 8;

/// Exports the average of a checkpoint's weights to `path` with its card beside it.
///
/// # Errors
/// When the checkpoint is another task's or does not fit, a file cannot be written, or ONNX Runtime
/// refuses the graph. float16 and int8 need it, to calibrate and measure; float32 is measured where
/// it is there.
pub fn export<T: Task>(
    task: &T,
    checkpoint: &Checkpoint,
    numbers: Numbers,
    version: &str,
    licence: &str,
    path: &Path,
) -> Result<Report> {
    let meta = &checkpoint.meta;
    ensure!(
        meta.task == T::NAME,
        "the checkpoint is of the task {}, not {}",
        meta.task,
        T::NAME
    );
    let network = task.network();
    let weights = Weights::Stored(checkpoint.average.clone());
    let recorded = onnx::record(network, weights)?;
    let graph = match numbers {
        Numbers::Float32 => recorded.graph.clone(),
        Numbers::Float16 => convert::float16(&recorded)?,
        Numbers::Float16Weights => convert::float16_weights(&recorded)?,
        Numbers::Int8 => {
            let batches = batches(task, Split::Validation)?;
            convert::int8(&recorded, &runtime::calibrate(&recorded, &batches)?)?
        }
    };
    let mut card = card::card(network, version)?;
    let bytes = card::file(&graph, &card)?;
    let lost = match numbers {
        Numbers::Float32 => None,
        _ => Some(lost(task, &recorded, &bytes)?),
    };
    let figures = match std::env::var_os(runtime::LIBRARY) {
        Some(_) => Some(evaluate(task, &bytes, Split::Test, BATCHES)?),
        None => None,
    };
    card.sha256 = Some(hash(&bytes)?);
    card.licence = Some(licence.into());
    let mut training = toml::Table::new();
    training.insert("command".into(), format!("dance-train {}", T::NAME).into());
    training.insert("data".into(), task.data().into());
    training.insert("seed".into(), signed(meta.seed)?);
    training.insert("steps".into(), signed(meta.step)?);
    training.insert("hours".into(), round(meta.seconds / 3600.0).into());
    training.insert("parameters".into(), signed(recorded.parameters as u64)?);
    training.insert("config".into(), meta.config.clone().into());
    card.training = training;
    card.figures.insert("numbers".into(), numbers.name().into());
    for (name, value) in figures.iter().flatten() {
        card.figures.insert(name.clone(), round(*value).into());
    }
    if let Some(lost) = lost {
        card.figures
            .insert("conversion_max_error".into(), round(lost.max).into());
        card.figures.insert(
            "conversion_relative_error".into(),
            round(lost.relative).into(),
        );
    }
    files::write(path, &bytes)?;
    files::write(
        &path.with_extension("toml"),
        toml::to_string(&card)?.as_bytes(),
    )?;
    Ok(Report {
        bytes: bytes.len(),
        parameters: recorded.parameters,
        lost,
        figures,
    })
}

/// Writes a graph and its card, whose hash becomes that of the graph. The bytes of the graph.
///
/// # Errors
/// What the file system says.
pub fn write(graph: &onnx::proto::Graph, mut card: Card, path: &Path) -> Result<usize> {
    // The hash and the story of the training stand beside the graph, what an element needs in it.
    let inner = Card {
        sha256: None,
        licence: None,
        training: toml::Table::new(),
        figures: toml::Table::new(),
        ..card.clone()
    };
    let bytes = card::file(graph, &inner)?;
    card.sha256 = Some(hash(&bytes)?);
    files::write(path, &bytes)?;
    files::write(
        &path.with_extension("toml"),
        toml::to_string(&card)?.as_bytes(),
    )?;
    Ok(bytes.len())
}

fn signed(value: u64) -> Result<toml::Value> {
    Ok(match i64::try_from(value) {
        Ok(value) => value.into(),
        // TOML has no larger numbers.
        Err(_) => value.to_string().into(),
    })
}

/// To four digits: what is beyond them was not measured.
fn round(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The network's inputs alone, from batches of a split.
fn batches<T: Task>(task: &T, split: Split) -> Result<Vec<Batch>> {
    (0..BATCHES)
        .map(|index| Ok(feed(task, task.batch(split, index)?)))
        .collect()
}

/// What of a batch the network takes.
fn feed<T: Task>(task: &T, mut batch: Batch) -> Batch {
    let inputs = task.network().inputs();
    batch.retain(|name, _| inputs.iter().any(|port| port.name == *name));
    batch
}

fn lost<T: Task>(task: &T, recorded: &Recorded, converted: &[u8]) -> Result<Difference> {
    let mut reference = runtime::Graph::load(&onnx::encode(&recorded.graph, &BTreeMap::new()))?;
    let mut converted = runtime::Graph::load(converted)?;
    let mut worst = Difference::default();
    for batch in batches(task, Split::Test)? {
        let difference = runtime::compare(&reference.run(&batch)?, &converted.run(&batch)?)?;
        worst.max = worst.max.max(difference.max);
        worst.relative = worst.relative.max(difference.relative);
    }
    ensure!(
        worst.max.is_finite(),
        "the converted graph gives values that are no numbers"
    );
    Ok(worst)
}

/// A task's figures of a file over the first batches of a split.
///
/// # Errors
/// When ONNX Runtime is not there or refuses the file, and as the task's.
pub fn evaluate<T: Task>(task: &T, model: &[u8], split: Split, batches: u64) -> Result<Figures> {
    let mut graph = runtime::Graph::load(model)?;
    let mut means = Means::default();
    for index in 0..batches {
        let batch = task.batch(split, index)?;
        let outputs = graph.run(&feed(task, batch.clone()))?;
        means.add(&task.figures(&batch, &outputs)?);
    }
    Ok(means.get())
}

/// SHA-256 in hexadecimal.
///
/// # Errors
/// Never in practice: writing to a string.
fn hash(bytes: &[u8]) -> Result<String> {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Reads the card beside a file and checks it against the file.
///
/// # Errors
/// When either is missing, the card is none, or the file is another one than the card describes.
pub fn read_card(path: &Path) -> Result<Card> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let beside = path.with_extension("toml");
    let text = std::fs::read_to_string(&beside)
        .with_context(|| format!("cannot read {}", beside.display()))?;
    let card: Card = toml::from_str(&text).with_context(|| beside.display().to_string())?;
    let found = hash(&bytes)?;
    match &card.sha256 {
        Some(sha256) if *sha256 == found => Ok(card),
        Some(sha256) => bail!(
            "{} has the SHA-256 {found}, its card says {sha256}",
            path.display()
        ),
        None => bail!("{} has no sha256", beside.display()),
    }
}
