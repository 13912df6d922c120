// SPDX-License-Identifier: MPL-2.0
//! `mudar features`: makes the folder that the joint network learns from.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::analysis::Analysis;
use super::example::{Example, Music};
use crate::commands::corpus::Choice;
use dance_corpus::dance::{Config, Corpus};

/// Makes features of made-up clips.
#[derive(clap::Args, Debug)]
pub struct Features {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// A flow network for square pictures.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Where the files go; clips that are there already are kept.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many clips.
    #[arg(long)]
    pub count: u64,
    /// Length of a clip.
    #[arg(long, default_value_t = 8.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Frames a second.
    #[arg(long, default_value_t = 20.0)]
    pub fps: f32,
    /// Share of the work, as `K/N`: process K of N, counted from 0. Clips of one song stay together.
    #[arg(long, default_value = "0/1", value_parser = part)]
    pub part: (u64, u64),
}

fn part(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/');
    let numbers = parts.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    numbers
        .filter(|(k, n)| k < n)
        .ok_or_else(|| format!("{text}: K/N with K less than N"))
}

impl Features {
    /// Makes the clips.
    ///
    /// # Errors
    /// What is missing, or what the file system says.
    pub fn run(&self) -> Result<String> {
        let corpus = self.corpus()?;
        let group = corpus.config().music.clips;
        let mut analysis = Analysis::new(&self.model)?;
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let (mut made, mut there) = (0u64, 0u64);
        let begin = Instant::now();
        let (part, parts) = self.part;
        let first = self.choice.first;
        for index in (first..first + self.count).filter(|n| n / group % parts == part) {
            let path = self.out.join(format!("{index:06}.safetensors"));
            if path.exists() {
                there += 1;
                continue;
            }
            let scene = corpus.scene(index)?;
            let music = Music::new(scene.music(), scene.info.rate)?;
            let pictures = scene.pictures();
            // Half of the clips are watched from their beginning, the others as from the middle of a video.
            let known = index / group % 2 == 1;
            let motion = analysis.run(&pictures.view(), f64::from(self.fps), known)?;
            let info = scene.info;
            Example {
                info,
                music,
                motion,
            }
            .save(&path)?;
            made += 1;
        }
        Ok(format!(
            "{}: {made} clips made in {:.0} s, {there} were there",
            self.out.display(),
            begin.elapsed().as_secs_f64()
        ))
    }

    fn corpus(&self) -> Result<Corpus> {
        let seconds = self.seconds;
        ensure!(
            (2.0..=60.0).contains(&seconds),
            "--seconds {seconds}: 2 to 60"
        );
        let change = |config: &mut Config| {
            config.picture.fps = self.fps;
            config.picture.frames = (seconds * f64::from(self.fps)).round() as usize;
            config.music.seconds = config.music.seconds.max(seconds + 4.0);
        };
        Ok(self.choice.corpus_with(change)?)
    }
}
