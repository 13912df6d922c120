// SPDX-License-Identifier: MPL-2.0
//! The task `mudar`: what the joint network learns (section 3.3), and how it is measured while it does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use dance_rhythm::feature;
use dance_rhythm::metrics::f_measure;
use dance_rhythm::motion::descriptor;
use ndarray::{Array2, Array3, Array5, ArrayD, Axis, Ix2, arr0};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::data::{self, Clip, MUSIC_RATE};
use super::pick::{self, WINDOW};
use crate::checkpoint::Figures;
use crate::task::{Batch, Task, Tensors};
use dance_corpus::Split;
use dance_networks::layers::Scope;
use dance_networks::mudar::{CHANNELS, FRAME_RATE, Joint, SIDE, Size};
use dance_networks::ops::{Binary, Ops, Reduce, Unary};
use dance_networks::weights;

/// What a visual beat is while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// The true visual beats of made-up clips.
    Visual,
    /// The onsets detected in the music, as in the paper: no truth is needed.
    Onsets,
}

/// How visual beats are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Focal loss (19).
    Focal,
    /// Binary cross entropy.
    Bce,
    /// The squared distance to the label's curve.
    Regression,
}

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of features to learn from.
    pub train: PathBuf,
    /// Folder of features that validate.
    pub validation: PathBuf,
    /// Folder of features that test.
    pub test: PathBuf,
    /// At most so many clips to learn from.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Clips in a batch.
    pub batch: usize,
    /// Clips in a batch that validates or tests.
    pub held_out_batch: usize,
    /// Length of a window to learn from, in seconds; shorter than the clips, so that music can be shifted.
    pub window: f64,
    /// The step from which negatives are shifted music (AVTS) instead of other music (AVC).
    pub shifts_from: u64,
    /// What a visual beat is.
    pub labels: Labels,
    /// How it is learned.
    pub loss: Loss,
    /// α of the focal loss: what positives weigh, negatives the rest.
    pub alpha: f32,
    /// γ of the focal loss.
    pub gamma: f32,
    /// p of the audio dropout: the share of a batch whose rhythm is seen without its music.
    pub audio_dropout: f64,
    /// α of the triplet loss.
    pub margin: f32,
    /// α of equation 16.
    pub similar: f32,
    /// Share of an eighth note that a shift must be away from its multiples.
    pub tolerance: f64,
    /// λ₁ and λ₂: weights of the implicit and of the explicit loss.
    pub implicit: f32,
    /// See `implicit`.
    pub explicit: f32,
    /// Weight of telling each clip's music among all of its batch, which the paper does not do.
    pub contrast: f32,
    /// Temperature of that.
    pub temperature: f32,
    /// Weight of the dance's class.
    pub classes: f32,
    /// The network.
    pub network: Size,
}

/// The task.
pub struct MudarTask {
    settings: Settings,
    network: Joint,
    seed: u64,
    clips: [OnceLock<Result<Vec<Clip>, String>>; 3],
}

/// Frames of music in a window.
fn frames_of(seconds: f64) -> usize {
    (seconds * MUSIC_RATE).floor() as usize
}

impl MudarTask {
    /// The clips of a split, read when they are first asked for.
    ///
    /// # Errors
    /// As [`data::load`].
    pub fn clips(&self, split: Split) -> Result<&[Clip]> {
        let settings = &self.settings;
        let (slot, folder, limit) = match split {
            Split::Training => (0, &settings.train, settings.limit),
            Split::Validation => (1, &settings.validation, None),
            Split::Test => (2, &settings.test, None),
        };
        let found = self.clips[slot]
            .get_or_init(|| data::load(folder, limit).map_err(|error| format!("{error:#}")));
        let clips = found.as_ref().map_err(|error| anyhow!(error.clone()))?;
        ensure!(
            clips.iter().all(|c| (c.fps - FRAME_RATE).abs() < 0.01),
            "{}: not all clips have {FRAME_RATE} frames a second",
            folder.display()
        );
        Ok(clips)
    }

    /// Music that does not belong to a window of a clip: another's, or its own at another time.
    fn negative(
        &self,
        clips: &[Clip],
        (clip, start, seconds): (&Clip, f64, f64),
        shifted: bool,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<f32>, Vec<f32>) {
        let count = frames_of(seconds);
        let length = clip.frames as f64 / clip.fps;
        let room = length - seconds;
        if shifted && room > 0.2 {
            for _ in 0..20 {
                let other = rng.random_range(0.0..=room);
                let shift = other - start;
                if shift.abs() > 0.1
                    && data::is_off_the_beat(shift, clip.info.tempo, self.settings.tolerance)
                {
                    return clip.music(other, count);
                }
            }
        }
        let frames = (seconds * clip.fps) as usize;
        let own = clip.labels(&clip.heard_onsets(), (start * clip.fps) as usize, frames);
        let mut found = clip;
        for _ in 0..20 {
            found = &clips[rng.random_range(0..clips.len())];
            let theirs = found.labels(&found.heard_onsets(), 0, frames);
            if found.info.song != clip.info.song
                && data::differs(&own, &theirs, self.settings.similar)
            {
                break;
            }
        }
        found.music(0.0, count)
    }
}

impl Task for MudarTask {
    const NAME: &'static str = "mudar";
    type Settings = Settings;
    type Network = Joint;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        settings.network.check()?;
        ensure!(
            settings.batch > 1 && settings.held_out_batch > 1,
            "task: batch and held_out_batch must be more than 1"
        );
        ensure!(
            (2.0..=30.0).contains(&settings.window),
            "task.window must be 2 to 30 seconds"
        );
        ensure!(
            (0.0..=1.0).contains(&settings.audio_dropout),
            "task.audio_dropout must be 0 to 1"
        );
        Ok(Self {
            network: Joint(settings.network.clone()),
            settings,
            seed,
            clips: Default::default(),
        })
    }

    fn network(&self) -> &Joint {
        &self.network
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        let settings = &self.settings;
        let clips = self.clips(split)?;
        let mut rng = weights::rng(self.seed, &format!("{}/{index}", split.name()));
        let training = split == Split::Training;
        let count = if training {
            settings.batch
        } else {
            settings.held_out_batch.min(clips.len())
        };
        let shortest = clips.iter().map(|c| c.frames).min().unwrap_or_default();
        let frames = if training {
            shortest.min((settings.window * FRAME_RATE) as usize)
        } else {
            shortest
        };
        let seconds = frames as f64 / FRAME_RATE;
        let heard = frames_of(seconds);
        let shifted = training && index >= settings.shifts_from;
        let (mut music, mut music_times) = (Vec::new(), Vec::new());
        let (mut negative, mut negative_times) = (Vec::new(), Vec::new());
        let (mut map, mut motion) = (Vec::new(), Vec::new());
        let (mut target, mut truth) = (Vec::new(), Vec::new());
        let mut chosen: Vec<&Clip> = Vec::new();
        for n in 0..count {
            let clip = &clips[if training {
                rng.random_range(0..clips.len())
            } else {
                (index as usize * count + n) % clips.len()
            }];
            let first = if training {
                rng.random_range(0..=clip.frames - frames)
            } else {
                0
            };
            let start = first as f64 / FRAME_RATE;
            let (numbers, times) = clip.music(start, heard);
            music.extend(numbers);
            music_times.extend(times);
            let (numbers, times) = self.negative(clips, (clip, start, seconds), shifted, &mut rng);
            negative.extend(numbers);
            negative_times.extend(times);
            map.extend(clip.map(first, frames));
            motion.extend(clip.motion(first, frames).iter().copied());
            let events = match settings.labels {
                Labels::Visual => clip.info.visual_beats.clone(),
                Labels::Onsets => clip.heard_onsets(),
            };
            target.extend(clip.labels(&events, first, frames));
            truth.extend(clip.labels(&clip.info.visual_beats, first, frames));
            chosen.push(clip);
        }
        let with = ((1.0 - settings.audio_dropout) * count as f64).round() as usize;
        let flag = |yes: bool| if yes { 1.0f32 } else { 0.0 };
        let has_music = Array2::from_shape_fn((count, 1), |(n, _)| flag(!training || n < with));
        let times = Array2::from_shape_fn((count, frames), |(_, t)| t as f32 / FRAME_RATE as f32);
        let matched = Array2::from_shape_fn((count, 1), |(n, _)| flag(chosen[n].is_matched()));
        // Two dances to one song are no negatives of each other.
        let allowed = Array2::from_shape_fn((count, count), |(a, b)| {
            flag(a == b || chosen[a].info.song != chosen[b].info.song)
        });
        let names = &settings.network.classes;
        let class = Array2::from_shape_fn((count, names.len()), |(n, c)| {
            flag(chosen[n].info.genre == names[c])
        });
        let music_shape = (count, heard, feature::VALUES);
        let rows = |values: Vec<f32>, n: usize| Array2::from_shape_vec((count, n), values);
        let maps = (count, frames, CHANNELS, SIDE, SIDE);
        let motions = (count, frames, descriptor::VALUES);
        let mut batch = Batch::from([
            (
                "music".into(),
                Array3::from_shape_vec(music_shape, music)?.into(),
            ),
            ("music_times".into(), rows(music_times, heard)?.into()),
            ("map".into(), Array5::from_shape_vec(maps, map)?.into()),
            (
                "motion".into(),
                Array3::from_shape_vec(motions, motion)?.into(),
            ),
            ("times".into(), times.into()),
            ("has_music".into(), has_music.into()),
            (
                "negative".into(),
                Array3::from_shape_vec(music_shape, negative)?.into(),
            ),
            ("negative_times".into(), rows(negative_times, heard)?.into()),
            ("target".into(), rows(target, frames)?.into()),
            ("matched".into(), matched.into()),
            ("allowed".into(), allowed.into()),
            ("class".into(), class.into()),
        ]);
        batch.insert("is_other".into(), arr0(flag(!shifted)).into());
        if !training {
            batch.insert("truth".into(), rows(truth, frames)?.into());
        }
        Ok(batch)
    }

    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        let g = scope.ops;
        let settings = &self.settings;
        let outputs = self.network.run(scope, &batch.inputs(&self.network)?)?;
        let matched = batch.get("matched")?;
        let share = g.add(&g.mean_all(matched)?, &g.scalar(1e-3)?)?;
        // The mean over the clips whose dance follows their music.
        let among = |x: &G::Tensor| -> Result<G::Tensor> {
            g.div(&g.mean_all(&g.mul(x, matched)?)?, &share)
        };

        // (18) over frames and over embeddings, with offline negatives.
        let negative = settings.network.music(
            &scope.at("music"),
            [
                batch.get("negative")?,
                batch.get("negative_times")?,
                batch.get("times")?,
            ],
        )?;
        let apart = |a: &G::Tensor, b: &G::Tensor| -> Result<G::Tensor> {
            let off = g.sub(a, b)?;
            g.reduce(&g.mul(&off, &off)?, Reduce::Sum, &[-1], true)
        };
        let triplet = |visual: &G::Tensor, near: &G::Tensor, far: &G::Tensor| {
            g.sub(&apart(visual, near)?, &apart(visual, far)?)
        };
        let frames = triplet(&outputs.dance[1], &outputs.music[1], &negative[1])?;
        let frames = g.mean(&frames, &[1], false)?;
        let margin = g.scalar(settings.margin)?;
        let mut loss = among(&g.relu(&g.add(&frames, &margin)?)?)?;
        let whole = triplet(&outputs.dance[2], &outputs.music[2], &negative[2])?;
        let whole = among(&g.relu(&g.add(&whole, &margin)?)?)?;
        // As a whole, shifted music belongs to the dance as much as the unshifted does.
        loss = g.add(&loss, &g.mul(&whole, batch.get("is_other")?)?)?;
        loss = g.scale(&loss, settings.implicit)?;

        // Each clip's music among all of the batch.
        if settings.contrast > 0.0 {
            let allowed = batch.get("allowed")?;
            let out = g.scale(&g.sub(allowed, &g.scalar(1.0)?)?, 1e4)?;
            let n = g.size(allowed, 0)?;
            let same = g.constant(Array2::from_diag_elem(n, 1.0f32).into_dyn())?;
            for (k, gain) in [(1, 4.0), (2, 1.0)] {
                let flat = |x: &G::Tensor| g.reshape(x, &[0, -1]);
                let (a, b) = (flat(&outputs.dance[k])?, flat(&outputs.music[k])?);
                let count = g.size(&a, 1)? / settings.network.embedding;
                let products = g.matmul(&a, &g.transpose(&b, &[1, 0])?)?;
                let by = gain / (settings.temperature * count as f32);
                let scores = g.add(&g.scale(&products, by)?, &out)?;
                for axis in [0, 1] {
                    let shares = g.softmax(&scores, axis)?;
                    let shares = g.unary(&g.add(&shares, &g.scalar(1e-8)?)?, Unary::Log)?;
                    let own = g.reduce(&g.mul(&shares, &same)?, Reduce::Sum, &[1], true)?;
                    let part = among(&g.scale(&own, -0.25 * settings.contrast)?)?;
                    loss = g.add(&loss, &part)?;
                }
            }
        }

        // (19), of which the audio dropout has chosen who sees the music.
        let explicit = self.explicit(g, &outputs.rhythm[0], batch.get("target")?)?;
        loss = g.add(&loss, &g.scale(&explicit, settings.explicit)?)?;

        if settings.classes > 0.0 {
            for (logits, weight) in [(&outputs.dance[3], 1.0), (&outputs.music[3], 0.3)] {
                let shares = g.softmax(logits, -1)?;
                let shares = g.unary(&g.add(&shares, &g.scalar(1e-8)?)?, Unary::Log)?;
                let own = g.mul(&shares, batch.get("class")?)?;
                let part = g.reduce(&own, Reduce::Sum, &[1], false)?;
                let part = g.scale(&g.mean_all(&part)?, -settings.classes * weight)?;
                loss = g.add(&loss, &part)?;
            }
        }
        Ok(loss)
    }

    /// F of visual beats within 100 ms with music and without, what it would be by chance, and retrieval among the
    /// batch.
    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let truth = batch.get("truth").context("no truth")?.float32()?;
        let matched = batch.get("matched").context("no matched")?.float32()?;
        let allowed = batch.get("allowed").context("no allowed")?.float32()?;
        let mut figures = Figures::new();
        for (name, of) in [("", "rhythm"), (" alone", "rhythm_alone")] {
            let found = outputs.get(of).with_context(|| format!("no {of}"))?;
            let (mut f, mut chance, mut count) = (0.0, 0.0, 0.0);
            for (found, truth) in found.axis_iter(Axis(0)).zip(truth.axis_iter(Axis(0))) {
                let found: Vec<f32> = found.iter().copied().collect();
                let times = pick::times(&pick::peaks(&found, pick::THRESHOLD), FRAME_RATE);
                let truth = pick::exact(truth.iter().copied(), FRAME_RATE);
                if truth.is_empty() {
                    continue;
                }
                count += 1.0;
                f += f_measure(&truth, &times, WINDOW).f;
                chance += pick::chance(&truth, &times, found.len() as f64 / FRAME_RATE);
            }
            let mean = |sum: f64| sum / f64::max(count, 1.0);
            figures.insert(format!("F{name}"), mean(f));
            figures.insert(format!("F{name} by chance"), mean(chance));
        }
        let array = |name: &str| -> Result<Array2<f32>> {
            let found = outputs.get(name).with_context(|| format!("no {name}"))?;
            let (n, length) = (found.shape()[0], found.len() / found.shape()[0].max(1));
            let flat: Vec<f32> = found.iter().copied().collect();
            Ok(Array2::from_shape_vec((n, length), flat)?)
        };
        for what in ["embedding", "frames"] {
            let (dance, music) = (
                array(&format!("dance_{what}"))?,
                array(&format!("music_{what}"))?,
            );
            let scores = music.dot(&dance.t());
            let (mut first, mut five, mut count) = (0.0, 0.0, 0.0);
            for n in 0..scores.nrows() {
                if matched[[n, 0]] < 0.5 {
                    continue;
                }
                let own = scores[[n, n]];
                let better = (0..scores.ncols())
                    .filter(|&k| allowed[[n, k]] > 0.5 && scores[[n, k]] > own)
                    .count();
                count += 1.0;
                first += f64::from(u8::from(better == 0));
                five += f64::from(u8::from(better < 5));
            }
            figures.insert(format!("R@1 {what}"), first / f64::max(count, 1.0));
            figures.insert(format!("R@5 {what}"), five / f64::max(count, 1.0));
        }
        let class = batch.get("class").context("no class")?.float32()?;
        let class = class.view().into_dimensionality::<Ix2>()?;
        for of in ["dance", "music"] {
            let logits = array(&format!("{of}_classes"))?;
            let right = logits
                .outer_iter()
                .zip(class.outer_iter())
                .filter(|(a, b)| {
                    let top = |x: &ndarray::ArrayView1<f32>| {
                        let best = x.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                        best.map(|(n, _)| n)
                    };
                    top(a) == top(b)
                });
            let share = right.count() as f64 / logits.nrows().max(1) as f64;
            figures.insert(format!("class by {of}"), share);
        }
        Ok(figures)
    }

    fn data(&self) -> String {
        let count = self.clips(Split::Training).map_or(0, <[Clip]>::len);
        format!(
            "{count} clips of 8 s made by `dance-train mudar features`; their sources and licences stand in \
             models/training/README.md"
        )
    }
}

impl MudarTask {
    /// The explicit loss of logits against labels in 0 … 1.
    fn explicit<G: Ops>(&self, g: &G, logits: &G::Tensor, target: &G::Tensor) -> Result<G::Tensor> {
        let settings = &self.settings;
        let p = g.sigmoid(logits)?;
        if settings.loss == Loss::Regression {
            let off = g.sub(&p, target)?;
            return g.mean_all(&g.mul(&off, &off)?);
        }
        // −log p and −log(1 − p) from the logits, without overflow.
        let yes = g.unary(&g.unary(logits, Unary::Neg)?, Unary::Softplus)?;
        let no = g.unary(logits, Unary::Softplus)?;
        let one = g.scalar(1.0)?;
        let rest = g.sub(&one, target)?;
        if settings.loss == Loss::Bce {
            let sum = g.add(&g.mul(target, &yes)?, &g.mul(&rest, &no)?)?;
            return g.mean_all(&sum);
        }
        // Labels beside an event are a half: the modulating factor is how far p is from the label (Li et al. 2020,
        // "Generalized focal loss", eq. 5, which is (19) for labels of 0 and 1).
        let off = g.unary(&g.sub(&p, target)?, Unary::Abs)?;
        let factor = g.binary(
            &g.add(&off, &g.scalar(1e-4)?)?,
            &g.scalar(settings.gamma)?,
            Binary::Pow,
        )?;
        let yes = g.scale(&g.mul(target, &yes)?, 2.0 * settings.alpha)?;
        let no = g.scale(&g.mul(&rest, &no)?, 2.0 * (1.0 - settings.alpha))?;
        let sum = g.mul(&factor, &g.add(&yes, &no)?)?;
        // The factor makes the loss small; as much as it does at p = ½ is given back.
        g.scale(&g.mean_all(&sum)?, 2f32.powf(settings.gamma))
    }
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
