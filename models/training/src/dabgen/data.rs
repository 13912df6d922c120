// SPDX-License-Identifier: MPL-2.0
//! `dabgen data`: the songs and dances that the task `dabgen` learns from.

use crate::commands::corpus::Choice;
use anyhow::{Context, Result};
use dance_corpus::dance::performance::Figures;
use dance_corpus::dance::performances::{FPS, save};
use std::path::PathBuf;

/// Makes the folder.
#[derive(clap::Args, Debug)]
pub struct Data {
    /// Which dances; `music.clips` of the configuration says how many share a song.
    #[command(flatten)]
    pub choice: Choice,
    /// Where the files go; songs that are there already are kept.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many songs.
    #[arg(long)]
    pub count: u64,
    /// Makes only every so manieth song, counted from --first, so that several processes share the
    /// work.
    #[arg(long, default_value_t = 1)]
    pub stride: u64,
}

impl Data {
    /// Makes the files.
    ///
    /// # Errors
    /// What is missing, or what the file system says.
    pub fn run(&self) -> Result<String> {
        let corpus = self.choice.corpus()?;
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let figures = Figures::default();
        let each = corpus.config().music.clips;
        let (mut made, mut there) = (0, 0);
        let last = self.choice.first + self.count;
        for number in (self.choice.first..last).step_by(self.stride.max(1) as usize) {
            let path = self.out.join(format!("{number:06}.safetensors"));
            if path.exists() {
                there += 1;
                continue;
            }
            let dances = (number * each..(number + 1) * each)
                .map(|index| Ok(corpus.performance(index, FPS, &figures)?))
                .collect::<Result<Vec<_>>>()?;
            save(&path, &dances)?;
            made += 1;
        }
        Ok(format!(
            "{}: {made} songs made, {there} there, {each} dances each",
            self.out.display()
        ))
    }
}
