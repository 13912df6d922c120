// SPDX-License-Identifier: MPL-2.0
//! The joint network of music and dance, in the order of the paper (section 3).
//!
//! J. Yu, J. Pu, Y. Cheng, R. Feng and Y. Shan, "Self-Supervised Learning of Music-Dance Representation through
//! Explicit-Implicit Rhythm Synchronization" (MuDaR).
//!
//! Three graphs of one set of weights: [`MusicTower`] and [`DanceTower`] (section 3.2, implicit synchronisation) and
//! [`RhythmHead`] (section 3.1.2, explicit synchronisation). [`Joint`] is all three at once, as they are trained.
//!
//! Shapes: b clips, t frames of video, n frames of music, d the width. Positions are in seconds since the beginning of a
//! window, so that one graph serves any frame rate.

use anyhow::{Result, bail, ensure};
use dance_rhythm::feature;
use dance_rhythm::mel::{BANDS, HOP};
use dance_rhythm::motion::descriptor;
use ndarray::Array3;
use serde::Deserialize;

use crate::layers::Scope;
use crate::network::{About, Network, Port};
use crate::ops::{Conv, Dim, Ops, Reduce, Unary};

/// Frames a second that the network is trained on.
pub const FRAME_RATE: f64 = 20.0;
/// Channels of the map of the flow network's encoder.
pub const CHANNELS: usize = 96;
/// Columns and rows of the map.
pub const SIDE: usize = 4;
/// Taps of the convolutions over time.
const TAPS: usize = 5;
/// Angular frequencies of the positions, in number.
const WAVES: usize = 16;
/// Channels of the audio encoder's convolutions; each halves the bands.
const BAND_CHANNELS: [usize; 4] = [12, 16, 24, 32];

/// The size of the network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// d: features of a frame.
    pub width: usize,
    /// K: layers of each transformer.
    pub layers: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Numbers of an embedding.
    pub embedding: usize,
    /// Residual convolutions over time before each transformer and in the head; the paper has none.
    pub convolutions: usize,
    /// Whether the head sees pictures (the RGB injector) beside motion.
    pub injector: bool,
    /// Whether the head sees the music itself, beside what it makes of the pictures; in the paper it does not.
    pub fused: bool,
    /// Share of the activations that training drops.
    pub dropout: f32,
    /// Names of the classes of dance.
    pub classes: Vec<String>,
}

impl Size {
    /// Checks what cannot be seen from the types.
    ///
    /// # Errors
    /// Naming the setting that makes no sense.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.heads > 0 && self.width > 0 && self.width.is_multiple_of(self.heads),
            "task.network: {} heads do not divide a width of {}",
            self.heads,
            self.width
        );
        ensure!(
            self.embedding > 0 && (0.0..1.0).contains(&self.dropout),
            "task.network: embedding must be more than 0, dropout 0 to 1"
        );
        ensure!(
            !self.classes.is_empty(),
            "task.network.classes must name one at least"
        );
        Ok(())
    }

    /// Sines and cosines of the times of frames, b×t in seconds: b×t×d.
    fn positions<G: Ops>(&self, scope: &Scope<G>, times: &G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        // Periods of 16 s down to a tenth of a second.
        let wave = |k: usize| {
            let share = k as f32 / (WAVES - 1) as f32;
            std::f32::consts::TAU / (16.0 * (0.1f32 / 16.0).powf(share))
        };
        let waves = Array3::from_shape_fn((1, 1, WAVES), |(_, _, k)| wave(k));
        let angles = g.mul(&g.unsqueeze(times, -1)?, &g.constant(waves.into_dyn())?)?;
        let (sin, cos) = (g.unary(&angles, Unary::Sin)?, g.unary(&angles, Unary::Cos)?);
        scope.linear(&g.concat(&[&sin, &cos], -1)?, self.width)
    }

    /// Residual convolutions over time.
    fn local<G: Ops>(&self, scope: &Scope<G>, x: &G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        let mut x = x.clone();
        for n in 0..self.convolutions {
            let scope = scope.at(n);
            let y = scope.at("norm").layer_norm(&x)?;
            let around = Conv {
                padding: (TAPS / 2).into(),
                ..Conv::default()
            };
            let y = g.transpose(&y, &[0, 2, 1])?;
            let y = scope.at("conv").conv(&y, self.width, &[TAPS], &around)?;
            let y = g.silu(&g.transpose(&y, &[0, 2, 1])?)?;
            let y = scope
                .at("mix")
                .linear(&g.dropout(&y, self.dropout)?, self.width)?;
            x = g.add(&x, &y)?;
        }
        Ok(x)
    }

    /// One layer of a transformer's encoder (Vaswani et al. 2017, §3.1), normalised before each part.
    fn layer<G: Ops>(&self, scope: &Scope<G>, x: &G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        let y = scope.at("norm0").layer_norm(x)?;
        let y = scope.at("attention").attention(&y, &y, self.heads, None)?;
        let x = g.add(x, &g.dropout(&y, self.dropout)?)?;
        let y = scope.at("norm1").layer_norm(&x)?;
        let y = g.gelu(&scope.at("up").linear(&y, 2 * self.width)?)?;
        let y = scope
            .at("down")
            .linear(&g.dropout(&y, self.dropout)?, self.width)?;
        g.add(&x, &y)
    }

    /// K layers over b×t×d at the given times.
    fn transformer<G: Ops>(
        &self,
        scope: &Scope<G>,
        x: &G::Tensor,
        times: &G::Tensor,
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let mut x = g.add(x, &self.positions(&scope.at("positions"), times)?)?;
        for n in 0..self.layers {
            x = self.layer(&scope.at(n), &x)?;
        }
        scope.at("norm").layer_norm(&x)
    }

    /// What a tower gives of its refined features b×t×d: those, what is compared frame by frame, the embedding of the
    /// window, and logits of its class.
    fn tower<G: Ops>(&self, scope: &Scope<G>, x: G::Tensor) -> Result<Vec<G::Tensor>> {
        let g = scope.ops;
        let frames = unit(g, &scope.at("frames").linear(&x, self.embedding)?)?;
        let mean = g.mean(&x, &[1], false)?;
        let top = g.reduce(&x, Reduce::Max, &[1], false)?;
        let whole = g.concat(&[&mean, &top], -1)?;
        let embedding = unit(g, &scope.at("embedding").linear(&whole, self.embedding)?)?;
        let hidden = g.relu(&scope.at("class0").linear(&whole, self.width)?)?;
        let hidden = g.dropout(&hidden, self.dropout)?;
        let classes = scope.at("class1").linear(&hidden, self.classes.len())?;
        Ok(vec![x, frames, embedding, classes])
    }

    /// The audio encoder and its transformer: `music` b×n×514 at `heard` b×n, for video at `times` b×t.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn music<G: Ops>(
        &self,
        scope: &Scope<G>,
        [music, heard, times]: [&G::Tensor; 3],
    ) -> Result<Vec<G::Tensor>> {
        let g = scope.ops;
        // Mel power spans many decades, the onset strength two.
        let part = |from: usize, to: usize| g.slice(music, 2, from as i64, Some(to as i64));
        let log = |x: &G::Tensor, gain: f32, by: f32| -> Result<G::Tensor> {
            let x = g.add(&g.scale(&g.relu(x)?, gain)?, &g.scalar(1.0)?)?;
            g.scale(&g.unary(&x, Unary::Log)?, by)
        };
        let mel = log(&part(0, BANDS)?, 1e4, 0.2)?;
        let beat = part(BANDS, BANDS + 1)?;
        let onset = log(&part(BANDS + 1, BANDS + 2)?, 1.0, 0.3)?;
        let tempo = part(BANDS + 2, feature::VALUES)?;
        // Convolutions over time and frequency: b×1×n×128 to b×32×n×8.
        let mut x = g.unsqueeze(&mel, 1)?;
        for (n, channels) in BAND_CHANNELS.into_iter().enumerate() {
            let halved = Conv {
                stride: [1, 2].into(),
                padding: 1.into(),
                ..Conv::default()
            };
            let y = scope
                .at("conv")
                .at(n)
                .conv(&x, channels, &[3, 3], &halved)?;
            x = g.silu(&y)?;
        }
        let flat = g.size(&x, 1)? * g.size(&x, 3)?;
        let x = g.reshape(&g.transpose(&x, &[0, 2, 1, 3])?, &[0, 0, flat as i64])?;
        let x = g.concat(&[&x, &beat, &onset, &tempo], -1)?;
        let x = scope.at("mix").linear(&x, self.width)?;
        let x = self.local(&scope.at("local"), &x)?;
        let x = self.transformer(&scope.at("transformer"), &x, heard)?;
        // To the frames of the video: the frames of music around each, by their nearness.
        let rate = f64::from(feature::RATE) / HOP as f64;
        let off = g.sub(&g.unsqueeze(times, -1)?, &g.unsqueeze(heard, 1)?)?;
        let off = g.scale(&g.unary(&off, Unary::Abs)?, -rate as f32)?;
        let near = g.relu(&g.add(&off, &g.scalar(1.0)?)?)?;
        let sum = g.add(&g.reduce(&near, Reduce::Sum, &[2], true)?, &g.scalar(1e-4)?)?;
        let x = g.matmul(&g.div(&near, &sum)?, &x)?;
        self.tower(scope, x)
    }

    /// The positions of the map, b×t×96×4×4, side by side: b×t×16×96.
    fn places<G: Ops>(&self, g: &G, map: &G::Tensor) -> Result<G::Tensor> {
        let flat = g.reshape(map, &[0, 0, CHANNELS as i64, (SIDE * SIDE) as i64])?;
        g.transpose(&flat, &[0, 1, 3, 2])
    }

    /// The visual stream and its transformer: `map` b×t×96×4×4, `motion` b×t×152, `times` b×t.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn dance<G: Ops>(
        &self,
        scope: &Scope<G>,
        [map, motion, times]: [&G::Tensor; 3],
    ) -> Result<Vec<G::Tensor>> {
        let g = scope.ops;
        let map = self.tiled(&scope.at("map"), map)?;
        let motion = scope.at("motion").linear(motion, self.width)?;
        let x = self.local(&scope.at("local"), &g.add(&map, &motion)?)?;
        let x = self.transformer(&scope.at("transformer"), &x, times)?;
        self.tower(scope, x)
    }

    /// Equation 12: the map tiled and projected, b×t×d. Two linear layers, so that the projection of 1,536 numbers is
    /// not most of the network.
    fn tiled<G: Ops>(&self, scope: &Scope<G>, map: &G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        let x = scope.at("norm").layer_norm(&self.places(g, map)?)?;
        let narrow = CHANNELS / 4;
        let x = g.relu(&scope.at("narrow").linear(&x, narrow)?)?;
        let x = g.reshape(&x, &[0, 0, (SIDE * SIDE * narrow) as i64])?;
        scope
            .at("project")
            .linear(&g.dropout(&x, self.dropout)?, self.width)
    }

    /// Equations 5 to 8: the map b×t×96×4×4 as the music b×t×d guides it, b×t×96.
    fn guided<G: Ops>(
        &self,
        scope: &Scope<G>,
        map: &G::Tensor,
        music: &G::Tensor,
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let layer = |name: &str, x: &G::Tensor, out: usize| -> Result<G::Tensor> {
            g.relu(&scope.at(name).linear(x, out)?)
        };
        let hidden = self.width / 2;
        let rgb = scope.at("norm").layer_norm(&self.places(g, map)?)?;
        // (5) w = σ(W₁ U₁(ρ(fₐ ⊙ U(f_rgb)))), ρ the mean over positions.
        let heard = g.unsqueeze(&layer("channel_music", music, hidden)?, 2)?;
        let seen = layer("channel_rgb", &rgb, hidden)?;
        let pooled = g.mean(&g.mul(&heard, &seen)?, &[2], false)?;
        let pooled = layer("channel_pooled", &pooled, hidden)?;
        let weights = g.sigmoid(&scope.at("channel").linear(&pooled, CHANNELS)?)?;
        // (6) each channel by its weight.
        let rgb = g.mul(&rgb, &g.unsqueeze(&weights, 2)?)?;
        // (7) w = softmax(tanh(W₂(Uₐ(fₐ) ⊙ U(f_rgb)))) over positions.
        let heard = g.unsqueeze(&layer("space_music", music, hidden)?, 2)?;
        let seen = layer("space_rgb", &rgb, hidden)?;
        let scores = scope.at("space").linear(&g.mul(&heard, &seen)?, 1)?;
        let weights = g.softmax(&g.tanh(&scores)?, 2)?;
        // (8) the sum over positions by their weights.
        g.reduce(&g.mul(&rgb, &weights)?, Reduce::Sum, &[2], false)
    }

    /// The visual rhythm: logits b×t from `map`, `motion`, `times`, the music's features b×t×d, and `has_music` b×1,
    /// which is 1 where there is music, else 0.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn rhythm<G: Ops>(
        &self,
        scope: &Scope<G>,
        [map, motion, times, music, has_music]: [&G::Tensor; 5],
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let there = g.unsqueeze(has_music, -1)?;
        let mut streams = Vec::new();
        if self.injector {
            // (9) to (13): with music the guided map, without it the tiled one.
            let guided = self.guided(&scope.at("guide"), map, music)?;
            let guided = scope.at("guide").at("out").linear(&guided, self.width)?;
            let tiled = self.tiled(&scope.at("tile"), map)?;
            let rgb = g.add(&tiled, &g.mul(&there, &g.sub(&guided, &tiled)?)?)?;
            // (14) self-attention.
            let x = g.add(&rgb, &self.positions(&scope.at("positions"), times)?)?;
            let y = scope.at("norm").layer_norm(&x)?;
            let y = scope.at("attention").attention(&y, &y, self.heads, None)?;
            streams.push(("injected", g.add(&x, &y)?));
        }
        let moved = g.relu(&scope.at("motion").linear(motion, self.width)?)?;
        streams.push(("moved", self.local(&scope.at("local"), &moved)?));
        // (15) first differences, each through a layer of its own.
        let mut parts = Vec::new();
        for (name, stream) in &streams {
            let scope = scope.at(name);
            let change = difference(g, stream)?;
            let both = g.concat(&[&change, stream], -1)?;
            parts.push(g.relu(&scope.linear(&both, self.width)?)?);
        }
        if self.fused {
            let music = g.relu(&scope.at("music").linear(music, self.width)?)?;
            parts.push(g.mul(&music, &there)?);
        }
        let x = g.concat(&parts.iter().collect::<Vec<_>>(), -1)?;
        let mut x = scope
            .at("join")
            .linear(&g.dropout(&x, self.dropout)?, self.width)?;
        if self.convolutions > 0 {
            x = self.local(&scope.at("late"), &x)?;
            x = self.layer(&scope.at("context"), &x)?;
        }
        let x = scope.at("last").layer_norm(&x)?;
        g.squeeze(&scope.at("classifier").linear(&x, 1)?, -1)
    }
}

/// Vectors along the last axis with the length 1.
fn unit<G: Ops>(g: &G, x: &G::Tensor) -> Result<G::Tensor> {
    let square = g.reduce(&g.mul(x, x)?, Reduce::Sum, &[-1], true)?;
    let length = g.unary(&g.add(&square, &g.scalar(1e-6)?)?, Unary::Sqrt)?;
    g.div(x, &length)
}

/// From each frame of b×t×d to the next; the first has none before it, and differs by nothing.
fn difference<G: Ops>(g: &G, x: &G::Tensor) -> Result<G::Tensor> {
    let first = g.slice(x, 1, 0, Some(1))?;
    let before = g.slice(x, 1, 0, Some(-1))?;
    g.sub(x, &g.concat(&[&first, &before], 1)?)
}

fn batch() -> Dim {
    "batch".into()
}

fn music_ports() -> Vec<Port> {
    vec![
        Port::signal(
            "music",
            &[batch(), "frames".into(), feature::VALUES.into()],
            "128 bands of mel power, whether there is a beat, onset strength, tempogram of 384 lags",
        )
        .normalised("as librosa computes them at 16 kHz, window 2048, hop 512"),
        Port::signal(
            "music_times",
            &[batch(), "frames".into()],
            "seconds since the beginning of the window",
        ),
    ]
}

fn dance_ports() -> Vec<Port> {
    let time = || Dim::symbol("time");
    vec![
        Port::signal(
            "map",
            &[batch(), time(), CHANNELS.into(), SIDE.into(), SIDE.into()],
            "coarsest features of the flow network's encoder",
        ),
        Port::signal(
            "motion",
            &[batch(), time(), descriptor::VALUES.into()],
            "histograms of the flow and its kinematics, in ln(1 + 50 · sides of the region a second)",
        ),
    ]
}

fn times_port() -> Port {
    Port::signal(
        "times",
        &[batch(), "time".into()],
        "seconds since the beginning of the window",
    )
}

fn tower_ports(size: &Size, prefix: &str) -> Vec<Port> {
    let port = |name: &str, shape: &[Dim], unit: &str| {
        Port::signal(&format!("{prefix}{name}"), shape, unit)
    };
    vec![
        port(
            "features",
            &[batch(), "time".into(), size.width.into()],
            "refined features of each frame",
        ),
        port(
            "frames",
            &[batch(), "time".into(), size.embedding.into()],
            "of length 1; near those of the other tower where both are in time",
        ),
        port(
            "embedding",
            &[batch(), size.embedding.into()],
            "of length 1; near that of the other tower where both belong together",
        ),
        port(
            "classes",
            &[batch(), size.classes.len().into()],
            "logits of the dance's class",
        ),
    ]
}

fn about(size: &Size, task: &str, description: &str) -> About {
    About {
        task: task.into(),
        description: description.into(),
        frame_rate: Some(FRAME_RATE),
        labels: size.classes.clone(),
        parameters: toml::Table::new(),
    }
}

/// Music to features at video rate, frames to compare, an embedding, and a class.
#[derive(Clone, Debug)]
pub struct MusicTower(pub Size);

impl Network for MusicTower {
    fn name(&self) -> &str {
        "mudar-music"
    }

    fn inputs(&self) -> Vec<Port> {
        [music_ports(), vec![times_port()]].concat()
    }

    fn outputs(&self) -> Vec<Port> {
        tower_ports(&self.0, "")
    }

    fn about(&self) -> About {
        about(
            &self.0,
            "mudar-music",
            "Music as the joint network of music and dance hears it",
        )
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [music, heard, times] = inputs else {
            bail!("{} inputs, not 3", inputs.len());
        };
        self.0.music(&scope.at("music"), [music, heard, times])
    }
}

/// Dance to features, frames to compare, an embedding, and a class.
#[derive(Clone, Debug)]
pub struct DanceTower(pub Size);

impl Network for DanceTower {
    fn name(&self) -> &str {
        "mudar-dance"
    }

    fn inputs(&self) -> Vec<Port> {
        [dance_ports(), vec![times_port()]].concat()
    }

    fn outputs(&self) -> Vec<Port> {
        tower_ports(&self.0, "")
    }

    fn about(&self) -> About {
        about(
            &self.0,
            "mudar-dance",
            "Dance as the joint network of music and dance sees it",
        )
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [map, motion, times] = inputs else {
            bail!("{} inputs, not 3", inputs.len());
        };
        self.0.dance(&scope.at("dance"), [map, motion, times])
    }
}

/// The visual rhythm, with music or without.
#[derive(Clone, Debug)]
pub struct RhythmHead(pub Size);

impl Network for RhythmHead {
    fn name(&self) -> &str {
        "mudar-rhythm"
    }

    fn inputs(&self) -> Vec<Port> {
        let music = Port::signal(
            "music_features",
            &[batch(), "time".into(), self.0.width.into()],
            "features of the music tower; anything where there is no music",
        );
        let has_music = Port::signal("has_music", &[batch(), 1.into()], "1 with music, 0 without");
        [dance_ports(), vec![times_port(), music, has_music]].concat()
    }

    fn outputs(&self) -> Vec<Port> {
        let shape = [batch(), "time".into()];
        vec![Port::signal(
            "rhythm",
            &shape,
            "probability of a visual beat",
        )]
    }

    fn about(&self) -> About {
        let about = about(
            &self.0,
            "mudar-rhythm",
            "Visual beats of dance, with its music or without",
        );
        About {
            labels: vec!["visual-beat".into()],
            ..about
        }
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [map, motion, times, music, has_music] = inputs else {
            bail!("{} inputs, not 5", inputs.len());
        };
        let logits = self
            .0
            .rhythm(&scope.at("rhythm"), [map, motion, times, music, has_music])?;
        Ok(vec![scope.ops.sigmoid(&logits)?])
    }
}

/// What [`Joint`] computes.
pub struct Outputs<T> {
    /// Features, frames, embedding and class logits of the music.
    pub music: Vec<T>,
    /// Those of the dance.
    pub dance: Vec<T>,
    /// Logits of visual beats with the music where `has_music` says so, and without.
    pub rhythm: [T; 2],
}

/// All three at once.
#[derive(Clone, Debug)]
pub struct Joint(pub Size);

impl Joint {
    /// The forward pass before anything is scaled to be an output.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn run<G: Ops>(
        &self,
        scope: &Scope<G>,
        inputs: &[G::Tensor],
    ) -> Result<Outputs<G::Tensor>> {
        let [music, heard, map, motion, times, has_music] = inputs else {
            bail!("{} inputs, not 6", inputs.len());
        };
        let g = scope.ops;
        let size = &self.0;
        let of_music = size.music(&scope.at("music"), [music, heard, times])?;
        let of_dance = size.dance(&scope.at("dance"), [map, motion, times])?;
        let without = g.scale(has_music, 0.0)?;
        let rhythm = |flag: &G::Tensor| {
            let features = &of_music[0];
            size.rhythm(&scope.at("rhythm"), [map, motion, times, features, flag])
        };
        let rhythm = [rhythm(has_music)?, rhythm(&without)?];
        Ok(Outputs {
            music: of_music,
            dance: of_dance,
            rhythm,
        })
    }
}

impl Network for Joint {
    fn name(&self) -> &str {
        "mudar"
    }

    fn inputs(&self) -> Vec<Port> {
        let has_music = Port::signal("has_music", &[batch(), 1.into()], "1 with music, 0 without");
        [music_ports(), dance_ports(), vec![times_port(), has_music]].concat()
    }

    fn outputs(&self) -> Vec<Port> {
        let shape = [batch(), "time".into()];
        let rhythm = |name: &str| Port::signal(name, &shape, "probability of a visual beat");
        [
            tower_ports(&self.0, "music_"),
            tower_ports(&self.0, "dance_"),
            vec![rhythm("rhythm"), rhythm("rhythm_alone")],
        ]
        .concat()
    }

    fn about(&self) -> About {
        about(&self.0, "mudar", "The joint network of music and dance")
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let outputs = self.run(scope, inputs)?;
        let g = scope.ops;
        let [with, without] = &outputs.rhythm;
        let rhythm = vec![g.sigmoid(with)?, g.sigmoid(without)?];
        Ok([outputs.music, outputs.dance, rhythm].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx;
    use crate::weights::Weights;
    use std::collections::BTreeMap;

    fn size() -> Size {
        Size {
            width: 32,
            layers: 2,
            heads: 4,
            embedding: 16,
            convolutions: 1,
            injector: true,
            fused: true,
            dropout: 0.1,
            classes: ["waltz", "house", "salsa"].map(String::from).into(),
        }
    }

    /// Names and shapes of the learned weights.
    fn learned<N: Network>(network: &N) -> BTreeMap<String, Vec<i64>> {
        let recorded = onnx::record(network, Weights::Seeded(1)).unwrap();
        recorded
            .graph
            .initializer
            .iter()
            .filter(|tensor| tensor.name.contains('.'))
            .map(|tensor| (tensor.name.clone(), tensor.dims.clone()))
            .collect()
    }

    #[test]
    fn the_three_graphs_are_the_joint_network() {
        let all = learned(&Joint(size()));
        let (music, dance, rhythm) = (
            learned(&MusicTower(size())),
            learned(&DanceTower(size())),
            learned(&RhythmHead(size())),
        );
        assert!(music.len() > 30 && dance.len() > 30 && rhythm.len() > 30);
        assert_eq!(all.len(), music.len() + dance.len() + rhythm.len());
        for (name, shape) in music.iter().chain(&dance).chain(&rhythm) {
            assert_eq!(all.get(name), Some(shape), "{name}");
        }
        // Both towers end in the same space.
        let of = |names: &BTreeMap<String, Vec<i64>>, name: &str| names[name].clone();
        for part in ["frames.weight", "embedding.weight", "class1.weight"] {
            let pair = [
                of(&music, &format!("music.{part}")),
                of(&dance, &format!("dance.{part}")),
            ];
            assert_eq!(pair[0], pair[1], "{part}");
        }
    }

    #[test]
    fn ablations_lack_what_they_are_without() {
        let blind = RhythmHead(Size {
            injector: false,
            ..size()
        });
        let without = learned(&blind);
        assert!(
            without
                .keys()
                .all(|name| !name.contains("guide") && !name.contains("tile"))
        );
        let paper = RhythmHead(Size {
            convolutions: 0,
            fused: false,
            ..size()
        });
        let paper = learned(&paper);
        assert!(
            paper
                .keys()
                .all(|name| !name.contains("late") && !name.contains("context"))
        );
        assert!(paper.contains_key("rhythm.guide.channel.weight"));
    }

    #[test]
    fn wrong_sizes_are_named() {
        let odd = Size { heads: 5, ..size() };
        assert!(odd.check().unwrap_err().to_string().contains("5 heads"));
        let none = Size {
            classes: Vec::new(),
            ..size()
        };
        assert!(none.check().unwrap_err().to_string().contains("classes"));
    }
}
