// SPDX-License-Identifier: MPL-2.0
//! `mudar export`: the three graphs of the joint network, with their cards.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::pick;
use super::task::{MudarTask, Settings};
use crate::checkpoint::{Checkpoint, Figures};
use crate::config;
use crate::export;
use crate::task::Task;
use dance_corpus::Split;
use dance_networks::mudar::{DanceTower, MusicTower, RhythmHead};
use dance_networks::network::Network;
use dance_networks::weights::Weights;
use dance_networks::{card, onnx};

/// Writes the three graphs.
#[derive(clap::Args, Debug)]
pub struct Export {
    /// The configuration it was trained with.
    #[arg(long)]
    pub config: PathBuf,
    /// The checkpoint; the best of the configuration's directory unless given.
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// The folder to write mudar-music.onnx, mudar-dance.onnx and mudar-rhythm.onnx into.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Which training of the network this is, for the cards.
    #[arg(long, default_value = "1")]
    pub version: String,
    /// SPDX expression, for the cards.
    #[arg(long, default_value = "MPL-2.0")]
    pub licence: String,
    /// Batches of the test split that are measured.
    #[arg(long, default_value_t = 1)]
    pub batches: u64,
}

impl Export {
    /// Writes them.
    ///
    /// # Errors
    /// When the checkpoint does not fit, and what the file system says.
    pub fn run(&self) -> Result<String> {
        let (config, _) = config::load::<Settings>(&self.config)?;
        let path = match &self.checkpoint {
            Some(path) => path.clone(),
            None => config.out.join("best.safetensors"),
        };
        let checkpoint = Checkpoint::load(&path)?;
        ensure!(
            checkpoint.meta.task == MudarTask::NAME,
            "{} is of the task {}, not {}",
            path.display(),
            checkpoint.meta.task,
            MudarTask::NAME
        );
        let size = config.task.network.clone();
        let task = MudarTask::new(config.task, config.seed)?;
        let joint = onnx::record(task.network(), Weights::Stored(checkpoint.average.clone()))?;
        let bytes = onnx::encode(&joint.graph, &Default::default());
        let figures = export::evaluate(&task, &bytes, Split::Test, self.batches)?;
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let mut text = String::new();
        let mut write = |written: (PathBuf, usize)| {
            text += &format!("{}: {} bytes\n", written.0.display(), written.1);
        };
        let of = |words: &[&str]| -> Figures {
            let is_of = |name: &String| words.iter().any(|word| name.starts_with(word));
            figures
                .iter()
                .filter(|(name, _)| is_of(name))
                .map(|(name, value)| (name.clone(), *value))
                .collect()
        };
        let retrieval = ["R@"];
        write(self.graph(
            &MusicTower(size.clone()),
            (&checkpoint, &task),
            of(&[&retrieval[..], &["class by music"]].concat()),
        )?);
        write(self.graph(
            &DanceTower(size.clone()),
            (&checkpoint, &task),
            of(&[&retrieval[..], &["class by dance"]].concat()),
        )?);
        write(self.graph(&RhythmHead(size), (&checkpoint, &task), of(&["F"]))?);
        for (name, value) in &figures {
            text += &format!("{name} {value:.4}\n");
        }
        Ok(text)
    }

    fn graph<N: Network>(
        &self,
        network: &N,
        (checkpoint, task): (&Checkpoint, &MudarTask),
        figures: Figures,
    ) -> Result<(PathBuf, usize)> {
        let recorded = onnx::record(network, Weights::Stored(checkpoint.average.clone()))?;
        let mut card = card::card(network, &self.version)?;
        card.licence = Some(self.licence.clone());
        card.parameters
            .insert("threshold".into(), f64::from(pick::THRESHOLD).into());
        let meta = &checkpoint.meta;
        card.training = toml::Table::from_iter([
            ("command".to_owned(), "dance-train mudar train".into()),
            ("data".to_owned(), task.data().into()),
            ("seed".to_owned(), i64::try_from(meta.seed)?.into()),
            ("steps".to_owned(), i64::try_from(meta.step)?.into()),
            ("hours".to_owned(), round(meta.seconds / 3600.0).into()),
            (
                "parameters".to_owned(),
                i64::try_from(recorded.parameters)?.into(),
            ),
            ("config".to_owned(), meta.config.clone().into()),
        ]);
        card.figures = figures
            .iter()
            .map(|(name, value)| (name.clone(), round(*value).into()))
            .collect();
        let path = self.out.join(format!("{}.onnx", network.name()));
        let bytes = export::write(&recorded.graph, card, Path::new(&path))?;
        Ok((path, bytes))
    }
}

/// Three digits.
fn round(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
