// SPDX-License-Identifier: MPL-2.0
//! The task `rhythm`: onsets, beats and downbeats of music.
//!
//! Learns from the clips that `dance-train audio features` makes.

pub mod cache;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use dance_rhythm::metrics::{BEAT_WINDOW, FIRST_BEAT, f_measure, trim};
use dance_rhythm::network::{BANDS, FRAME_RATE};
use ndarray::{Array, Array3, ArrayD, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::checkpoint::Figures;
use crate::task::{Batch, Task, Tensors};
use cache::Example;
use dance_corpus::Split;
use dance_networks::layers::{Scope, binary_cross_entropy};
use dance_networks::network::{Network, Role};
use dance_networks::ops::Ops;
use dance_networks::rhythm::{DELAY, LABELS, Rhythm};
use dance_networks::weights;

/// Frames beside the true one are half true: no listener places a beat within 10 ms.
const BESIDE: f32 = 0.5;
/// Bands that a training clip is shifted up or down by, at most; 12 are an octave.
const SHIFT: i64 = 2;
/// How far the gain of a training clip's features bends over the bands.
const BEND: f32 = 0.15;

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of clips to learn from.
    pub train: PathBuf,
    /// Folder of clips held out: every other one validates, the rest test.
    pub held_out: PathBuf,
    /// Clips in a batch.
    pub batch: usize,
    /// Frames of a clip in a batch; longer clips are cut at random.
    pub frames: usize,
    /// The network.
    pub network: Rhythm,
}

/// The task.
#[derive(Clone, Debug)]
pub struct RhythmTask {
    settings: Settings,
    seed: u64,
    train: Vec<PathBuf>,
    held_out: [Vec<PathBuf>; 2],
}

impl RhythmTask {
    fn clips(&self, split: Split) -> &[PathBuf] {
        match split {
            Split::Training => &self.train,
            Split::Validation => &self.held_out[0],
            Split::Test => &self.held_out[1],
        }
    }

    /// Another clip that sounds as likely: shifted by some bands, and played through another
    /// loudspeaker.
    fn vary(features: &mut [f32], rng: &mut ChaCha8Rng) {
        let shift = rng.random_range(-SHIFT..=SHIFT);
        let [first, second] = [(); 2].map(|()| rng.random_range(-BEND..=BEND));
        let gains: Vec<f32> = (0..BANDS)
            .map(|band| {
                let at = band as f32 / (BANDS - 1) as f32;
                1.0 + first * (2.0 * at - 1.0) + second * (std::f32::consts::TAU * at).sin()
            })
            .collect();
        let mut source = [0.0; BANDS];
        for frame in features.chunks_exact_mut(BANDS) {
            source.copy_from_slice(frame);
            for (band, (value, gain)) in frame.iter_mut().zip(&gains).enumerate() {
                let from = (band as i64 - shift).clamp(0, BANDS as i64 - 1);
                *value = source[from as usize] * gain;
            }
        }
    }
}

impl Task for RhythmTask {
    const NAME: &'static str = "rhythm";
    type Settings = Settings;
    type Network = Rhythm;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        ensure!(
            settings.batch > 0 && settings.frames > 0,
            "task: batch and frames must be more than 0"
        );
        let network = &settings.network;
        ensure!(
            network.front > 1
                && network.channels > 0
                && network.memory > 0
                && (1..=12).contains(&network.blocks),
            "task.network: front must be more than 1, channels and memory more than 0, blocks 1 \
             to 12"
        );
        let train = cache::list(&settings.train)?;
        let (mut held_out, mut test) = (Vec::new(), Vec::new());
        for (n, path) in cache::list(&settings.held_out)?.into_iter().enumerate() {
            if n % 2 == 0 { &mut held_out } else { &mut test }.push(path);
        }
        ensure!(
            !test.is_empty(),
            "{}: one clip cannot both validate and test",
            settings.held_out.display()
        );
        Ok(Self {
            train,
            held_out: [held_out, test],
            settings,
            seed,
        })
    }

    fn network(&self) -> &Rhythm {
        &self.settings.network
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        let Settings { batch, frames, .. } = self.settings;
        let clips = self.clips(split);
        let mut rng = weights::rng(self.seed, &format!("{}/{index}", split.name()));
        let mut features = Vec::with_capacity(batch * frames * BANDS);
        let mut targets = Array3::zeros((batch, frames, LABELS.len()));
        for (n, mut targets) in targets.outer_iter_mut().enumerate() {
            let path = &clips[match split {
                Split::Training => rng.random_range(0..clips.len()),
                Split::Validation | Split::Test => (index as usize * batch + n) % clips.len(),
            }];
            let mut example = Example::load(path)?;
            let there = example.features.len() / BANDS;
            ensure!(
                there >= frames,
                "{} has {there} frames, fewer than {frames}",
                path.display()
            );
            let first = match split {
                Split::Training => rng.random_range(0..=there - frames),
                Split::Validation | Split::Test => 0,
            };
            let part = &mut example.features[first * BANDS..][..frames * BANDS];
            if split == Split::Training {
                Self::vary(part, &mut rng);
            }
            features.extend_from_slice(part);
            for (label, times) in [&example.onsets, &example.beats, &example.downbeats]
                .into_iter()
                .enumerate()
            {
                for &time in times {
                    // The frame whose activation speaks of the instant nearest to it.
                    let frame = ((f64::from(time) + DELAY) * FRAME_RATE).round() as i64 - 1;
                    for (off, value) in [(-1, BESIDE), (0, 1.0), (1, BESIDE)] {
                        let at = frame + off - first as i64;
                        if (0..frames as i64).contains(&at) {
                            let target: &mut f32 = &mut targets[[at as usize, label]];
                            *target = target.max(value);
                        }
                    }
                }
            }
        }
        let features = Array3::from_shape_vec((batch, frames, BANDS), features)?;
        let mut arrays = Batch::from([
            ("features".into(), features.into()),
            ("targets".into(), targets.into()),
        ]);
        let extents = BTreeMap::from([("batch".into(), batch), ("time".into(), frames)]);
        for port in self.network().inputs() {
            if port.role == Role::State {
                let zeros = ArrayD::<f32>::zeros(port.extents(&extents)?);
                arrays.insert(port.name, zeros.into());
            }
        }
        Ok(arrays)
    }

    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        let (logits, _) = self
            .network()
            .logits(scope, &batch.inputs(self.network())?)?;
        binary_cross_entropy(scope.ops, &logits, batch.get("targets")?, None)
    }

    /// F of the onsets (± 25 and 50 ms) and of the beats and downbeats (± 70 ms, from 5 s on) that
    /// peak, with no model of tempo behind: how clear the activations are.
    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let found = outputs.get("activations").context("no activations")?;
        let truth = batch.get("targets").context("no targets")?.float32()?;
        let mut sums = [0.0; 4];
        let rows = found.axis_iter(Axis(0)).zip(truth.axis_iter(Axis(0)));
        let mut count = 0.0f64;
        for (found, truth) in rows {
            count += 1.0;
            let times = |of: &ndarray::ArrayViewD<f32>, label: usize, threshold: f32| {
                peaks(of.index_axis(Axis(1), label).iter().copied(), threshold)
            };
            let onsets = (times(&truth, 0, 0.9), times(&found, 0, 0.4));
            sums[0] += f(&onsets.0, &onsets.1, 0.025);
            sums[1] += f(&onsets.0, &onsets.1, 0.05);
            for label in [1, 2] {
                let (truth, found) = (times(&truth, label, 0.9), times(&found, label, 0.2));
                let (truth, found) = (trim(&truth, FIRST_BEAT), trim(&found, FIRST_BEAT));
                sums[1 + label] += f(truth, found, BEAT_WINDOW);
            }
        }
        let names = ["onset F ±25 ms", "onset F ±50 ms", "beat F", "downbeat F"];
        Ok(names
            .into_iter()
            .zip(sums)
            .map(|(name, sum)| (name.to_owned(), sum / count.max(1.0)))
            .collect())
    }

    fn data(&self) -> String {
        format!(
            "{} clips made by `dance-train audio features`; its sources and their licences stand \
             in models/corpus/config/audio.toml",
            self.train.len()
        )
    }
}

/// F, which is 1 where nothing was to be found and nothing was.
fn f(truth: &[f64], found: &[f64], window: f64) -> f64 {
    if truth.is_empty() && found.is_empty() {
        1.0
    } else {
        f_measure(truth, found, window).f
    }
}

/// Seconds at which an activation has a local maximum of `threshold` or more.
fn peaks(values: impl Iterator<Item = f32>, threshold: f32) -> Vec<f64> {
    let values: Array<f32, _> = values.collect();
    let at = |n: usize| values.get(n).copied().unwrap_or(0.0);
    (0..values.len())
        .filter(|&n| at(n) >= threshold && at(n) >= at(n.wrapping_sub(1)) && at(n) > at(n + 1))
        .map(|n| n as f64 / FRAME_RATE)
        .collect()
}
