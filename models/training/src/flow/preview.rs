// SPDX-License-Identifier: MPL-2.0
//! `flow preview` and `flow pairs`: pairs to look at, and pairs as files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::eval::{Errors, Model};
use super::{FlowTask, Settings};
use crate::config;
use crate::task::Task;
use dance_corpus::Split;
use dance_corpus::flow::folder;
use dance_corpus::flow::pair::Pair;
use dance_corpus::flow::picture::Picture;
use dance_corpus::flow::source::Source;

/// Which synthetic pairs.
#[derive(clap::Args, Debug)]
pub struct Choice {
    /// How many.
    #[arg(long, default_value_t = 12)]
    pub count: u64,
    /// The number of the first.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// Those to learn from; those held out unless given.
    #[arg(long)]
    pub training: bool,
}

impl Choice {
    fn pairs(&self, config: &Path) -> Result<Vec<Pair>> {
        let (config, _) = config::load::<Settings>(config)?;
        let size = [config.task.network.width, config.task.network.height];
        let task = FlowTask::new(config.task, config.seed)?;
        let split = if self.training {
            Split::Training
        } else {
            Split::Test
        };
        (self.first..self.first + self.count)
            .map(|index| task.procedural().pair(split, index, size))
            .collect()
    }
}

/// `flow pairs`: writes pairs, as [`Pair::save`] does.
#[derive(clap::Args, Debug)]
pub struct Pairs {
    /// The configuration of the training.
    #[arg(long)]
    pub config: PathBuf,
    /// Which.
    #[command(flatten)]
    pub choice: Choice,
    /// Where to.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

impl Pairs {
    /// Writes them.
    ///
    /// # Errors
    /// What is missing, or what the file system says.
    pub fn run(&self) -> Result<String> {
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let pairs = self.choice.pairs(&self.config)?;
        let mut length = 0.0;
        for (n, pair) in pairs.iter().enumerate() {
            pair.save(&self.out, self.choice.first + n as u64)?;
            let mut errors = Errors::default();
            errors.add(&pair.flow.still(), pair);
            length += errors.mean() / pairs.len() as f64;
        }
        Ok(format!(
            "{}: {} pairs, mean |flow| {length:.2} px",
            self.out.display(),
            pairs.len()
        ))
    }
}

/// `flow preview`: a sheet with a line for each pair: first frame, second frame, flow, and the flow
/// that a network finds. In the flow the hue is the direction (right is red, left cyan), white is
/// still, and the deepest colour is the pair's own fastest.
#[derive(clap::Args, Debug)]
pub struct Preview {
    /// The configuration whose pairs to show.
    #[arg(long, required_unless_present = "folder")]
    pub config: Option<PathBuf>,
    /// A folder whose pairs to show instead.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Which of them.
    #[command(flatten)]
    pub choice: Choice,
    /// An exported network; needs ONNX Runtime.
    #[arg(long, value_name = "ONNX")]
    pub model: Option<PathBuf>,
    /// The PNG to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// Width of a picture on the sheet, in pixels.
const TILE: usize = 256;

impl Preview {
    fn pairs(&self) -> Result<Vec<Pair>> {
        if let Some(folder) = &self.folder {
            let entries = folder::find(folder)?;
            let some = entries
                .iter()
                .skip(self.choice.first as usize)
                .take(self.choice.count as usize);
            return some.map(folder::Entry::load).collect();
        }
        let config = self
            .config
            .as_deref()
            .context("a configuration or a folder is needed")?;
        self.choice.pairs(config)
    }

    /// Draws it.
    ///
    /// # Errors
    /// What is missing, or what the file system says.
    pub fn run(&self) -> Result<String> {
        let pairs = self.pairs()?;
        let mut model = self.model.as_deref().map(Model::load).transpose()?;
        ensure!(!pairs.is_empty(), "there are no pairs to show");
        let mut pixels = Vec::new();
        let mut lines = Vec::new();
        let columns = if model.is_some() { 4 } else { 3 };
        for (n, pair) in pairs.iter().enumerate() {
            let lengths = pair.flow.errors(&pair.flow.still());
            let longest = lengths
                .iter()
                .copied()
                .filter(|l| l.is_finite())
                .fold(1.0, f32::max);
            let mut row = vec![
                pair.first.clone(),
                pair.second.clone(),
                pair.flow.colours(longest),
            ];
            let mut errors = Errors::default();
            errors.add(&pair.flow.still(), pair);
            let mut line = format!(
                "{:>6}  mean |flow| {:6.2} px, fastest {longest:6.1}",
                self.choice.first + n as u64,
                errors.mean()
            );
            if let Some(model) = &mut model {
                let found = model.flow(pair)?;
                row.push(found.colours(longest));
                let mut errors = Errors::default();
                errors.add(&found, pair);
                line += &format!(", EPE {:6.2}", errors.mean());
            }
            lines.push(line);
            let height = (TILE * pair.first.height / pair.first.width).max(1);
            let tiles: Vec<Picture> = row.iter().map(|tile| tile.scaled(TILE, height)).collect();
            for y in 0..height {
                for tile in &tiles {
                    pixels.extend_from_slice(&tile.pixels[y * TILE..(y + 1) * TILE]);
                }
            }
        }
        let width = columns * TILE;
        let sheet = Picture {
            width,
            height: pixels.len() / width,
            pixels,
        };
        sheet.save(&self.out)?;
        lines.push(self.out.display().to_string());
        Ok(lines.join("\n"))
    }
}
