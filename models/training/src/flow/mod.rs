// SPDX-License-Identifier: MPL-2.0
//! The task `flow`: dense optical flow.
//!
//! Learns from pairs of frames that are made while it trains, with exact truth; see [`dance_corpus::flow`].

pub mod eval;
pub mod preview;
pub mod resize;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ndarray::{Array3, Array4, Array5, ArrayD, Ix4, arr0};
use serde::Deserialize;

use crate::checkpoint::Figures;
use crate::task::{Batch, Task, Tensors};
use dance_corpus::Split;
use dance_corpus::flow::compose::Recipe;
use dance_corpus::flow::pair::Pair;
use dance_corpus::flow::picture::{self, Flow, Picture};
use dance_corpus::flow::source::{Folder, Procedural, Source};
use dance_corpus::random::Random;
use dance_networks::flow::{Flows, Pwc, enlarged};
use dance_networks::layers::Scope;
use dance_networks::ops::{Binary, Ops, Unary};

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the training goes on, stage after stage; the last lasts.
    pub stages: Vec<Stage>,
    /// How scenes to learn from are.
    #[serde(default)]
    pub recipe: Recipe,
    /// How scenes that validate and test are.
    #[serde(default)]
    pub held_out: Recipe,
    /// How many textures there are to learn from.
    #[serde(default = "textures")]
    pub textures: usize,
    /// Folders of photographs to take textures from, too; none are needed.
    #[serde(default)]
    pub photos: Vec<PathBuf>,
    /// Folders of pairs to learn from, too.
    #[serde(default)]
    pub folders: Vec<Mixed>,
    /// What an error of a limb counts more than another, while it learns: limbs are thin, and in a mean over pixels
    /// hardly there.
    #[serde(default)]
    pub limbs: f32,
    /// The network.
    pub network: Pwc,
}

fn textures() -> usize {
    512
}

/// A stage of the training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The step at which the next begins.
    #[serde(default = "forever")]
    pub until: u64,
    /// Width and height of a pair in pixels.
    pub size: [usize; 2],
    /// Pairs in a batch.
    pub batch: usize,
    /// The exponent of end-point errors in the loss: 1 weighs them as they are, less forgives
    /// large ones (Sun et al. 2018, eq. 2).
    #[serde(default = "one")]
    pub exponent: f32,
}

fn forever() -> u64 {
    u64::MAX
}

fn one() -> f32 {
    1.0
}

/// A folder of pairs, and the share of the training that comes from it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// The folder; see [`dance_corpus::flow::folder::find`].
    pub path: PathBuf,
    /// The share, 0 to 1.
    pub share: f64,
}

/// Pairs in a batch that validates or tests.
const HELD_OUT_BATCH: usize = 8;

/// The weight of a level's error in the loss, half of that of the level that is twice as fine.
fn weight(level: usize, finest: usize) -> f32 {
    0.5f32.powi((level - finest) as i32 + 1)
}

/// The task.
pub struct FlowTask {
    settings: Settings,
    seed: u64,
    procedural: Procedural,
    others: Vec<(f64, Box<dyn Source>)>,
}

impl FlowTask {
    /// The source of the pair of number `index` to learn from.
    fn source(&self, index: u64) -> &dyn Source {
        let mut at = Random::new(self.seed ^ 0xd1ce, index).unit();
        for (share, source) in &self.others {
            if at < *share {
                return source.as_ref();
            }
            at -= share;
        }
        &self.procedural
    }

    /// Synthetic pairs.
    pub fn procedural(&self) -> &Procedural {
        &self.procedural
    }

    fn stage(&self, step: u64) -> Result<&Stage> {
        let mut stages = self.settings.stages.iter();
        let last = self.settings.stages.last();
        stages
            .find(|stage| step < stage.until)
            .or(last)
            .context("no stages")
    }
}

/// Frames as the network takes them: `[2, 3, height, width]`, 0 to 1.
pub fn frames(first: &Picture, second: &Picture) -> Array4<f32> {
    let pictures = [first, second];
    let shape = (2, 3, first.height, first.width);
    Array4::from_shape_fn(shape, |(n, channel, y, x)| {
        f32::from(pictures[n].pixels[y * first.width + x][channel]) / 255.0
    })
}

/// The flow of one of a batch, enlarged to the size of its frames.
///
/// # Errors
/// When the network gave something else.
pub fn flow(outputs: &ArrayD<f32>, n: usize, width: usize, height: usize) -> Result<Flow> {
    let all = outputs.view().into_dimensionality::<Ix4>()?;
    let (_, two, rows, columns) = all.dim();
    ensure!(two == 2 && n < all.dim().0, "the flow is {:?}", all.shape());
    let vectors: Vec<[f32; 2]> = (0..rows * columns)
        .map(|at| [0, 1].map(|axis| all[[n, axis, at / columns, at % columns]]))
        .collect();
    Ok(Flow {
        width,
        height,
        vectors: picture::scale(&vectors, [columns, rows], [width, height]),
    })
}

impl Task for FlowTask {
    const NAME: &'static str = "flow";
    type Settings = Settings;
    type Network = Pwc;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        settings.network.check()?;
        ensure!(
            !settings.stages.is_empty(),
            "task.stages: there must be one"
        );
        for stage in &settings.stages {
            ensure!(
                stage.batch > 0 && stage.size.iter().all(|n| (16..=4096).contains(n)),
                "task.stages: batch must be more than 0, size 16 to 4096"
            );
            let multiple = 1 << settings.network.coarsest();
            ensure!(
                stage.size.iter().all(|n| n.is_multiple_of(multiple)),
                "task.stages: size must be a multiple of {multiple}, as deep as the network is"
            );
            ensure!(
                stage.exponent > 0.0 && stage.exponent <= 1.0,
                "task.stages: exponent must be more than 0 and at most 1"
            );
        }
        let shares: f64 = settings.folders.iter().map(|f| f.share).sum();
        ensure!(
            settings.limbs >= 0.0 && settings.limbs.is_finite(),
            "task.limbs must not be negative"
        );
        ensure!(
            settings.folders.iter().all(|f| f.share >= 0.0) && shares <= 1.0,
            "task.folders: the shares must not be negative, nor more than 1 together"
        );
        let procedural = Procedural::new(
            settings.recipe.clone(),
            settings.held_out.clone(),
            seed,
            settings.textures,
            &settings.photos,
        )?;
        let others = settings.folders.iter().map(|mixed| {
            let folder = Folder::new(&mixed.path, seed, settings.recipe.defects)?;
            Ok((mixed.share, Box::new(folder) as Box<dyn Source>))
        });
        Ok(Self {
            others: others.collect::<Result<_>>()?,
            procedural,
            settings,
            seed,
        })
    }

    fn network(&self) -> &Pwc {
        &self.settings.network
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        let network = self.network();
        let ([width, height], count, exponent) = match split {
            Split::Training => {
                let stage = self.stage(index)?;
                (stage.size, stage.batch, stage.exponent)
            }
            Split::Validation | Split::Test => {
                ([network.width, network.height], HELD_OUT_BATCH, 1.0)
            }
        };
        let mut pairs: Vec<Pair> = Vec::with_capacity(count);
        for n in 0..count as u64 {
            // Stages may differ in their batches: no two share a number.
            let number = (index << 12) + n;
            let source: &dyn Source = match split {
                Split::Training => self.source(number),
                Split::Validation | Split::Test => &self.procedural,
            };
            pairs.push(source.pair(split, number, [width, height])?);
        }
        let mut inputs = Array5::zeros((count, 2, 3, height, width));
        for (mut input, pair) in inputs.outer_iter_mut().zip(&pairs) {
            input.assign(&frames(&pair.first, &pair.second));
        }
        let truth = Array4::from_shape_fn((count, 2, height, width), |(n, axis, y, x)| {
            pairs[n].flow.vectors[y * width + x][axis]
        });
        let mut batch = Batch::from([
            ("frames".into(), inputs.into()),
            ("truth".into(), truth.into()),
            ("exponent".into(), arr0(exponent).into()),
        ]);
        let mask = |of: fn(&Pair) -> &Option<Vec<bool>>| {
            Array3::from_shape_fn((count, height, width), |(n, y, x)| {
                let mask = of(&pairs[n]).as_ref();
                f32::from(mask.is_some_and(|mask| mask[y * width + x]))
            })
        };
        batch.insert("limb".into(), mask(|pair| &pair.limb).into());
        if split != Split::Training {
            batch.insert("visible".into(), mask(|pair| &pair.visible).into());
        }
        Ok(batch)
    }

    /// The mean end-point error, raised to the batch's exponent: of the finest flow, enlarged to
    /// the frames' resolution as it is for use, and of every level, at its own.
    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        let g = scope.ops;
        let frames = batch.get("frames")?;
        let (truth, exponent) = (batch.get("truth")?, batch.get("exponent")?);
        let Flows { levels, .. } = self.network().flows(scope, frames)?;
        // What each pixel counts, its mean 1.
        let limb = g.add(
            &g.scale(batch.get("limb")?, self.settings.limbs)?,
            &g.scalar(1.0)?,
        )?;
        let weights = g.div(&limb, &g.mean(&limb, &[0, 1, 2], true)?)?;
        let error =
            |flow: &G::Tensor, truth: &G::Tensor, weights: &G::Tensor| -> Result<G::Tensor> {
                let off = g.sub(flow, truth)?;
                let square = g.reduce(
                    &g.mul(&off, &off)?,
                    dance_networks::ops::Reduce::Sum,
                    &[1],
                    false,
                )?;
                // The root's slope must stay finite where there is no error.
                let length = g.unary(&g.add(&square, &g.scalar(1e-4)?)?, Unary::Sqrt)?;
                g.mean_all(&g.mul(&g.binary(&length, exponent, Binary::Pow)?, weights)?)
            };
        let finest = self.network().finest;
        let (_, last) = levels.last().context("no levels")?;
        let (height, width) = (g.size(truth, 2)?, g.size(truth, 3)?);
        let fine = crop_to(g, &enlarged(g, last, 1 << finest)?, truth)?;
        let mut loss = error(&fine, truth, &weights)?;
        for (level, flow) in &levels {
            let [rows, columns] = [2, 3].map(|axis| g.size(flow, axis));
            let (rows, columns) = (rows? as i64, columns? as i64);
            let block = 1i64 << level;
            // Over padding there is no truth.
            let is_whole = [height as i64, width as i64] == [rows * block, columns * block];
            if *level == finest || !is_whole {
                continue;
            }
            // The mean over what a vector of the level stands for.
            let blocks = g.reshape(truth, &[0, 2, rows, block, columns, block])?;
            let coarse = g.mean(&blocks, &[3, 5], false)?;
            let blocks = g.reshape(&weights, &[0, rows, block, columns, block])?;
            let own = error(flow, &coarse, &g.mean(&blocks, &[2, 4], false)?)?;
            loss = g.add(&loss, &g.scale(&own, weight(*level, finest))?)?;
        }
        Ok(loss)
    }

    /// End-point errors in pixels: of all pixels, of those that stay visible, of limbs, of those
    /// by speed; and of zero flow.
    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let found = outputs.get("flow").context("no flow")?;
        let array = |name: &str| {
            batch
                .get(name)
                .with_context(|| format!("no {name}"))?
                .float32()
        };
        let (truth, visible, limb) = (array("truth")?, array("visible")?, array("limb")?);
        let &[count, _, height, width] = truth.shape() else {
            anyhow::bail!("the truth is {:?}", truth.shape());
        };
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for n in 0..count {
            let found = flow(found, n, width, height)?;
            let truth = flow(truth, n, width, height)?;
            let errors = found.errors(&truth);
            for (at, (error, length)) in errors.iter().zip(truth.errors(&truth.still())).enumerate()
            {
                let (y, x) = (at / width, at % width);
                let speed = match length {
                    l if l < 1.0 => "EPE under 1 px",
                    l if l < 10.0 => "EPE 1 to 10 px",
                    _ => "EPE over 10 px",
                };
                for (name, counts, value) in [
                    ("EPE", true, *error),
                    ("EPE of zero flow", true, length),
                    ("EPE visible", visible[[n, y, x]] > 0.5, *error),
                    ("EPE limbs", limb[[n, y, x]] > 0.5, *error),
                    (speed, true, *error),
                ] {
                    if counts {
                        let (sum, pixels) = sums.entry(name).or_default();
                        *sum += f64::from(value);
                        *pixels += 1.0;
                    }
                }
            }
        }
        let means = sums.into_iter();
        Ok(means
            .map(|(name, (sum, pixels))| (name.to_owned(), sum / pixels))
            .collect())
    }

    fn data(&self) -> String {
        let mut text = self.procedural.about();
        for (share, source) in &self.others {
            text += &format!("; {share} of them {}", source.about());
        }
        text
    }
}

/// The part of `x` over `like`, which may be smaller.
fn crop_to<G: Ops>(g: &G, x: &G::Tensor, like: &G::Tensor) -> Result<G::Tensor> {
    let mut x = x.clone();
    for axis in [2, 3] {
        let n = g.size(like, axis)?;
        if g.size(&x, axis)? != n {
            x = g.slice(&x, axis, 0, Some(n as i64))?;
        }
    }
    Ok(x)
}

#[cfg(test)]
mod tests;
