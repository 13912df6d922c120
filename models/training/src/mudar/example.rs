// SPDX-License-Identifier: MPL-2.0
//! A clip as the joint network learns from it, in a file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dance_rhythm::feature::{self, mudar_frames};
use dance_rhythm::mel::HOP;
use dance_rhythm::motion::region::Region;
use dance_rhythm::resample::Resampler;
use half::f16;
use ndarray::{Array2, Array4, ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::analysis::{Motion, Status};
use dance_corpus::dance::Info;
use dance_corpus::dance::music::analyse;
use dance_corpus::files;

/// Music: frames and what was detected in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Music {
    /// Frames × [`feature::VALUES`], [`feature::RATE`] / [`HOP`] a second.
    pub frames: Array2<f32>,
    /// Onsets that `dance-rhythm` detects, in seconds.
    pub onsets: Vec<f32>,
    /// Beats that it detects.
    pub beats: Vec<f32>,
}

impl Music {
    /// Of mono samples.
    ///
    /// # Errors
    /// When the rate is too low.
    pub fn new(samples: &[f32], rate: u32) -> Result<Self> {
        let (onsets, beats) = analyse(samples, rate)?;
        let mut resampled = Vec::with_capacity(samples.len() / 2);
        let mut resampler = Resampler::new(rate, feature::RATE)?;
        let mut keep = |part: &[f32]| resampled.extend_from_slice(part);
        resampler.push(samples, &mut keep);
        resampler.finish(&mut keep);
        let mut activation = vec![0.0; resampled.len() / HOP + 1];
        for beat in &beats {
            let frame = (beat.time * f64::from(feature::RATE) / HOP as f64).round() as usize;
            if let Some(value) = activation.get_mut(frame) {
                *value = 1.0;
            }
        }
        Ok(Self {
            frames: mudar_frames(&resampled, &activation),
            onsets: onsets.iter().map(|t| *t as f32).collect(),
            beats: beats.iter().map(|b| b.time as f32).collect(),
        })
    }
}

/// A clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What is known of the whole. Where the truth is not known its lists are empty.
    pub info: Info,
    /// Its music.
    pub music: Music,
    /// Its dance.
    pub motion: Motion,
}

/// The key of the clip's description among the metadata of its file.
const KEY: &str = "info";
/// Mel power spans more than float16 has: files hold ln(1 + x · 10⁴).
const MEL: f32 = 1e4;

impl Example {
    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let halves = |values: &mut dyn Iterator<Item = f32>| -> Vec<u8> {
            values
                .flat_map(|x| f16::from_f32(x).to_le_bytes())
                .collect()
        };
        let floats = |values: &mut dyn Iterator<Item = f32>| -> Vec<u8> {
            values.flat_map(f32::to_le_bytes).collect()
        };
        let Self {
            info,
            music,
            motion,
        } = self;
        let bands = dance_rhythm::mel::BANDS;
        let mut frames = music.frames.clone();
        frames
            .slice_mut(ndarray::s![.., ..bands])
            .mapv_inplace(|x| (x * MEL).ln_1p());
        let regions = motion.regions.iter().flat_map(|r| [r.left, r.top, r.side]);
        let status = motion.status.iter().map(|s| *s as u8).collect();
        let list = |values: &[f32]| (vec![values.len()], floats(&mut values.iter().copied()));
        let (onsets, beats) = (list(&music.onsets), list(&music.beats));
        let tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = vec![
            (
                "audio",
                Dtype::F16,
                frames.shape().to_vec(),
                halves(&mut frames.iter().copied()),
            ),
            (
                "flow",
                Dtype::F16,
                motion.flow.shape().to_vec(),
                halves(&mut motion.flow.iter().copied()),
            ),
            (
                "map",
                Dtype::F16,
                motion.map.shape().to_vec(),
                halves(&mut motion.map.iter().copied()),
            ),
            (
                "regions",
                Dtype::F32,
                vec![motion.regions.len(), 3],
                floats(&mut regions.into_iter()),
            ),
            ("status", Dtype::U8, vec![motion.status.len()], status),
            ("onsets", Dtype::F32, onsets.0, onsets.1),
            ("beats", Dtype::F32, beats.0, beats.1),
        ];
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let meta = HashMap::from([(KEY.to_owned(), serde_json::to_string(info)?)]);
        files::write(path, &serialize(views, Some(meta))?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Naming the file that is missing or is not such a one.
    pub fn load(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let bytes = fs::read(path)?;
            let (_, header) = SafeTensors::read_metadata(&bytes)?;
            let info = header.metadata().as_ref().and_then(|meta| meta.get(KEY));
            let info: Info = serde_json::from_str(info.context("no description of the clip")?)?;
            let file = SafeTensors::deserialize(&bytes)?;
            let halves = |name: &str| -> Result<ArrayD<f32>> {
                let data = file.tensor(name)?;
                ensure!(data.dtype() == Dtype::F16, "{name} is no float16");
                let (values, _) = data.data().as_chunks();
                let values = values.iter().map(|&b| f16::from_le_bytes(b).to_f32());
                Ok(ArrayD::from_shape_vec(
                    IxDyn(data.shape()),
                    values.collect(),
                )?)
            };
            let floats = |name: &str| -> Result<Vec<f32>> {
                let data = file.tensor(name)?;
                ensure!(data.dtype() == Dtype::F32, "{name} is no float32");
                let (values, _) = data.data().as_chunks();
                Ok(values.iter().map(|&b| f32::from_le_bytes(b)).collect())
            };
            let mut frames: Array2<f32> = halves("audio")?.into_dimensionality()?;
            let bands = dance_rhythm::mel::BANDS;
            ensure!(
                frames.ncols() == feature::VALUES,
                "{} values a frame of music, not {}",
                frames.ncols(),
                feature::VALUES
            );
            frames
                .slice_mut(ndarray::s![.., ..bands])
                .mapv_inplace(|x| x.exp_m1() / MEL);
            let regions = floats("regions")?;
            let (regions, _) = regions.as_chunks::<3>();
            let regions = regions
                .iter()
                .map(|&[left, top, side]| Region { left, top, side });
            let status = file.tensor("status")?.data().iter().map(|&n| {
                let status = Status::ALL.get(usize::from(n)).copied();
                status.with_context(|| format!("status {n}"))
            });
            let motion = Motion {
                status: status.collect::<Result<_>>()?,
                regions: regions.collect(),
                flow: halves("flow")?.into_dimensionality()?,
                map: halves("map")?.into_dimensionality()?,
            };
            let count = |all: &Array4<f32>| all.dim().0;
            ensure!(
                [
                    motion.regions.len(),
                    count(&motion.flow),
                    count(&motion.map)
                ] == [motion.status.len(); 3],
                "its tensors do not have the same number of frames"
            );
            Ok(Self {
                info,
                music: Music {
                    frames,
                    onsets: floats("onsets")?,
                    beats: floats("beats")?,
                },
                motion,
            })
        };
        read().with_context(|| path.display().to_string())
    }
}

/// The clips in a folder, in the order of their names.
///
/// # Errors
/// When there is none, saying how they are made.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(
        !found.is_empty(),
        "{} holds no clips: make some with dance-train mudar features",
        folder.display()
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dance_corpus::dance::{Lock, clip::Beat};

    fn info() -> Info {
        Info {
            index: 3,
            seed: 1,
            split: "training".into(),
            genre: "waltz".into(),
            lock: Lock::Shifted(0.2),
            moves: Vec::new(),
            sections: Vec::new(),
            visual_beats: vec![0.5],
            onsets: vec![0.25],
            beats: vec![Beat {
                time: 0.5,
                bar_position: 1,
            }],
            tempo: 90.0,
            meter: 3,
            song: "band 1".into(),
            style: String::new(),
            offset: 1.5,
            person: 7,
            view: 2,
            camera: String::new(),
            backdrop: String::new(),
            captured: false,
            shape: [2, 64, 64],
            fps: 20.0,
            rate: 44_100,
        }
    }

    #[test]
    fn a_clip_comes_back_as_it_was_but_for_half_precision() {
        // Two seconds with clicks twice a second.
        let mut samples = vec![0.0f32; 88_200];
        for click in samples.chunks_mut(22_050) {
            click[..400].fill(0.7);
        }
        let music = Music::new(&samples, 44_100).unwrap();
        assert_eq!(music.frames.dim(), (1 + 32_000 / HOP, feature::VALUES));
        let map = Array4::from_shape_fn((2, 3, 4, 4), |(t, c, y, x)| (t + c * y) as f32 - x as f32);
        let example = Example {
            info: info(),
            motion: Motion {
                status: vec![Status::First, Status::Flow],
                regions: vec![
                    Region::whole([64, 48]),
                    Region {
                        left: 3.5,
                        top: 0.0,
                        side: 30.0,
                    },
                ],
                flow: Array4::from_elem((2, 2, 8, 8), 0.125),
                map,
            },
            music,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000003.safetensors");
        example.save(&path).unwrap();
        let back = Example::load(&path).unwrap();
        assert_eq!((&back.info, &back.motion), (&example.info, &example.motion));
        assert_eq!(back.music.onsets, example.music.onsets);
        let (a, b) = (&example.music.frames, &back.music.frames);
        assert!(a.iter().any(|x| *x > 1.0));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 0.01 * a.abs() + 1e-3, "{a} {b}");
        }
        assert_eq!(list(folder.path()).unwrap(), std::slice::from_ref(&path));
        fs::write(&path, b"nothing").unwrap();
        let broken = format!("{:#}", Example::load(&path).unwrap_err());
        assert!(broken.contains("000003.safetensors"), "{broken}");
        fs::remove_file(&path).unwrap();
        let none = list(folder.path()).unwrap_err().to_string();
        assert!(none.contains("mudar features"), "{none}");
    }
}
