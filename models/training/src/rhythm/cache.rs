// SPDX-License-Identifier: MPL-2.0
//! Clips of training audio as the network takes them, kept in a folder.
//!
//! To make audio takes longer than to learn from it, so it is made once: each clip is a
//! safetensors file with its features (float16, frames × [`BANDS`]) and its truth in seconds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dance_rhythm::network::{BANDS, FRAME_RATE, LogBands};
use dance_rhythm::spectrum::Framer;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::commands::audio::Choice;
use dance_corpus::audio::Clip;

/// A clip as it is learned from.
#[derive(Clone, Debug)]
pub struct Example {
    /// Features, frames × [`BANDS`]; frame `n` ends at second (n + 1) / [`FRAME_RATE`].
    pub features: Vec<f32>,
    /// Onsets in seconds.
    pub onsets: Vec<f32>,
    /// Beats in seconds.
    pub beats: Vec<f32>,
    /// Those of them that begin a bar.
    pub downbeats: Vec<f32>,
}

impl Example {
    /// The features and the truth of `clip`.
    pub fn new(clip: &Clip) -> Self {
        let mut bands = LogBands::new(clip.rate);
        let mut framer = Framer::new(bands.frame_len(), f64::from(clip.rate) / FRAME_RATE, 0);
        let mut features = Vec::new();
        let mut rest = &clip.samples[..];
        while !rest.is_empty() {
            let (left, frame) = framer.fill(rest, |x| x);
            rest = left;
            if frame.is_some() {
                let at = features.len();
                features.resize(at + BANDS, 0.0);
                bands.next(framer.last(bands.frame_len()), &mut features[at..]);
            }
        }
        let beats = clip.beats.iter();
        Self {
            features,
            onsets: clip.onsets.iter().map(|&t| t as f32).collect(),
            beats: beats.clone().map(|beat| beat.time as f32).collect(),
            downbeats: beats
                .filter(|beat| beat.bar_position == 1)
                .map(|beat| beat.time as f32)
                .collect(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Naming the file that is missing or is not such a one.
    pub fn load(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let bytes = fs::read(path)?;
            let file = SafeTensors::deserialize(&bytes)?;
            let floats = |name: &str| -> Result<Vec<f32>> {
                let data = file.tensor(name)?;
                ensure!(data.dtype() == Dtype::F32, "{name} is no float32");
                let (values, _) = data.data().as_chunks();
                Ok(values.iter().map(|&b| f32::from_le_bytes(b)).collect())
            };
            let features = file.tensor("features")?;
            ensure!(
                features.dtype() == Dtype::F16 && features.shape().last() == Some(&BANDS),
                "the features are not float16 of {BANDS} bands: make the folder again"
            );
            let (values, _) = features.data().as_chunks();
            Ok(Self {
                features: values
                    .iter()
                    .map(|&b| f16::from_le_bytes(b).to_f32())
                    .collect(),
                onsets: floats("onsets")?,
                beats: floats("beats")?,
                downbeats: floats("downbeats")?,
            })
        };
        read().with_context(|| path.display().to_string())
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let features: Vec<u8> = self
            .features
            .iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect();
        let bytes =
            |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let truth = [
            ("onsets", bytes(&self.onsets)),
            ("beats", bytes(&self.beats)),
            ("downbeats", bytes(&self.downbeats)),
        ];
        let frames = self.features.len() / BANDS;
        let mut tensors = vec![(
            "features",
            TensorView::new(Dtype::F16, vec![frames, BANDS], &features)?,
        )];
        for (name, bytes) in &truth {
            tensors.push((
                name,
                TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?,
            ));
        }
        let partial = path.with_extension("partial");
        fs::write(&partial, serialize(tensors, None)?)
            .and_then(|()| fs::rename(&partial, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The clips in a folder, in the order of their names.
///
/// # Errors
/// When there is none, saying how they are made.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                files.push(path);
            }
        }
    }
    files.sort();
    ensure!(
        !files.is_empty(),
        "{} holds no training audio: make some with dance-train audio features",
        folder.display()
    );
    Ok(files)
}

/// `audio features`: makes the folder that the task `rhythm` learns from.
#[derive(clap::Args, Debug)]
pub struct Features {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// Where the files go; clips that are there already are kept.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many clips.
    #[arg(long)]
    pub count: u64,
}

impl Features {
    /// Makes the clips.
    ///
    /// # Errors
    /// What is missing, or what the file system says.
    pub fn run(&self) -> Result<String> {
        let generator = self.choice.generator()?;
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let mut made = 0;
        for index in self.choice.first..self.choice.first + self.count {
            let path = self.out.join(format!("{index:06}.safetensors"));
            if !path.exists() {
                Example::new(&generator.clip(index)).save(&path)?;
                made += 1;
            }
        }
        Ok(format!(
            "{}: {made} clips made, {} there, {:.2} h in all",
            self.out.display(),
            self.count - made,
            self.count as f64 * generator.seconds() / 3600.0
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dance_corpus::audio::Beat;

    fn click() -> Clip {
        let mut samples = vec![0.0; 44_100];
        samples[22_050..22_100].fill(0.5);
        Clip {
            rate: 44_100,
            samples,
            onsets: vec![0.5],
            beats: vec![
                Beat {
                    time: 0.25,
                    bar_position: 4,
                },
                Beat {
                    time: 0.5,
                    bar_position: 1,
                },
            ],
            meter: 4,
            tempo: 120.0,
            recipe: String::new(),
        }
    }

    #[test]
    fn a_clip_comes_back_as_it_was_but_for_half_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000000.safetensors");
        let example = Example::new(&click());
        assert_eq!(example.features.len(), 100 * BANDS);
        assert_eq!(example.downbeats, [0.5]);
        example.save(&path).unwrap();
        let back = Example::load(&path).unwrap();
        assert_eq!(
            (&back.onsets, &back.beats, &back.downbeats),
            (&example.onsets, &example.beats, &example.downbeats)
        );
        for (a, b) in back.features.iter().zip(&example.features) {
            assert!((a - b).abs() <= 1e-3 * b.abs() + 1e-4);
        }
        // The click is first in the frame that ends after it.
        let level = |n: usize| back.features[n * BANDS..][..BANDS].iter().sum::<f32>();
        assert!(
            level(49) < 1.0 && level(50) > 10.0,
            "{} {}",
            level(49),
            level(50)
        );
        assert_eq!(list(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn what_is_no_clip_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = list(folder.path()).unwrap_err().to_string();
        assert!(none.contains("audio features"), "{none}");
        let path = folder.path().join("x.safetensors");
        fs::write(&path, b"nothing").unwrap();
        let broken = format!("{:#}", Example::load(&path).unwrap_err());
        assert!(broken.contains("x.safetensors"), "{broken}");
    }
}
