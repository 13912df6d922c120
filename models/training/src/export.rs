//! A trained network as a file, with its card.

use crate::checkpoint::{Checkpoint, Figures};
use crate::files;
use crate::network::{Element, Network, Port, Role};
use crate::onnx::{self, Recorded, convert};
use crate::ops::Dim;
use crate::runtime::{self, Difference};
use crate::task::{Batch, Means, Split, Task};
use crate::weights::Weights;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use dance_inference::card::{self, Axis, Card, METADATA_KEY};
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
    /// int8 weights and uint8 activations in convolutions and matrix products.
    Int8,
}

impl Numbers {
    /// `float32`, `float16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        }
    }
}

fn card_port(port: &Port, state: Option<String>) -> card::Port {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    card::Port {
        name: port.name.clone(),
        element: match port.element {
            Element::Float32 => "float32".into(),
            Element::Int64 { .. } => "int64".into(),
        },
        shape: port
            .shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(n) => Axis::Fixed(*n),
                symbol => Axis::Symbol(symbol.to_string()),
            })
            .collect(),
        state,
        unit: text(&port.unit),
        normalisation: text(&port.normalisation),
        description: None,
    }
}

/// The run-time part of a network's card.
///
/// # Errors
/// When its states among inputs and outputs do not pair.
pub fn card<N: Network>(network: &N, version: &str) -> Result<Card> {
    let (inputs, outputs, about) = (network.inputs(), network.outputs(), network.about());
    let is_state = |port: &&Port| port.role == Role::State;
    let next: Vec<&Port> = outputs.iter().filter(is_state).collect();
    let states: Vec<&Port> = inputs.iter().filter(is_state).collect();
    ensure!(
        states.len() == next.len() && states.iter().zip(&next).all(|(a, b)| a.shape == b.shape),
        "network {}: the states among its inputs and outputs do not pair",
        network.name()
    );
    let mut next = next.into_iter();
    let inputs = inputs
        .iter()
        .map(|port| {
            let state = (port.role == Role::State)
                .then(|| next.next().map(|port| port.name.clone()))
                .flatten();
            card_port(port, state)
        })
        .collect();
    Ok(Card {
        name: network.name().into(),
        version: version.into(),
        task: about.task,
        description: about.description,
        sha256: None,
        licence: None,
        frame_rate: about.frame_rate,
        labels: about.labels,
        parameters: about.parameters,
        inputs,
        outputs: outputs.iter().map(|port| card_port(port, None)).collect(),
        training: toml::Table::new(),
        figures: toml::Table::new(),
    })
}

/// The bytes of a network's file, its card inside.
///
/// # Errors
/// As [`card`] and [`onnx::record`].
pub fn model<N: Network>(network: &N, weights: Weights) -> Result<Vec<u8>> {
    let recorded = onnx::record(network, weights)?;
    file(&recorded.graph, &card(network, "test")?)
}

fn file(graph: &onnx::proto::Graph, card: &Card) -> Result<Vec<u8>> {
    let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), toml::to_string(card)?)]);
    Ok(onnx::encode(graph, &metadata))
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
        Numbers::Int8 => {
            let batches = batches(task, Split::Validation)?;
            convert::int8(&recorded, &runtime::calibrate(&recorded, &batches)?)?
        }
    };
    let mut card = card(network, version)?;
    let bytes = file(&graph, &card)?;
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
