// SPDX-License-Identifier: MPL-2.0
//! Dense optical flow.

use anyhow::{Context, Result, bail, ensure};
use ndarray::{Array4, ArrayD, IxDyn};
use serde::Deserialize;

use crate::layers::Scope;
use crate::network::{About, Network, Port};
use crate::ops::{Conv, ConvTranspose, Dim, Init, Interpolation, Ops, Outside, PadMode, Size};

/// The slope of every rectifier below zero (Sun et al. 2018, §4).
const SLOPE: f32 = 0.1;
/// Input pixels that one unit of flow stands for inside a network whose decoders are not shared.
const UNIT: f32 = 20.0;

/// A network of the family of PWC-Net: D. Sun, X. Yang, M.-Y. Liu and J. Kautz, "PWC-Net: CNNs for
/// optical flow using pyramid, warping, and cost volume", CVPR 2018. From the coarsest level of a
/// pyramid of features down, the second frame's features are warped by the flow so far, compared
/// with the first frame's over a small neighbourhood, and a decoder says the flow of the level.
///
/// With [`shared`](Decoder::shared) it is lighter: one decoder serves all levels and adds to the
/// flow, after J. Hur and S. Roth, "Iterative residual refinement for joint optical flow and
/// occlusion estimation", CVPR 2019, and features are normalised before they are compared, after
/// R. Jonschkowski et al., "What matters in unsupervised optical flow", ECCV 2020, §3.
///
/// The weights fit any size. The exported graph has one, because the sampling positions of the
/// warping are then constants of the graph, and because TensorRT and ONNX Runtime plan memory and
/// kernels for static shapes only; an element has one analysis size anyhow. Other sizes are other
/// exports of the same checkpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pwc {
    /// The name of the graph.
    pub name: String,
    /// Width of a frame, in pixels.
    pub width: usize,
    /// Height of a frame, in pixels.
    pub height: usize,
    /// The channels of the 3 × 3 convolutions of each level of the encoder. Level n, counted from
    /// 1, has 1/2ⁿ of the input's resolution; its first convolution has the stride 2.
    pub encoder: Vec<Vec<usize>>,
    /// The level whose resolution the flow has.
    pub finest: usize,
    /// The largest displacement compared at each level, in its pixels and each direction.
    pub reach: usize,
    /// What says the flow of a level.
    pub decoder: Decoder,
    /// Channels and dilations of the convolutions that correct the finest flow; none for none.
    #[serde(default)]
    pub context: Vec<[usize; 2]>,
}

/// What says the flow of a level.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// The channels of its 3 × 3 convolutions.
    pub channels: Vec<usize>,
    /// Their dilations; 1 where none are given.
    #[serde(default)]
    pub dilations: Vec<usize>,
    /// Whether each convolution takes the inputs and outputs of all before it (Huang et al. 2017).
    #[serde(default)]
    pub dense: bool,
    /// What makes one decoder serve all levels; none for a decoder for each.
    #[serde(default)]
    pub shared: Option<Shared>,
}

/// What features of any level are brought to for a decoder that serves all levels.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// Channels that are compared. Warping takes as long as they are many.
    pub keys: usize,
    /// Channels of the first frame that the decoder takes. ONNX Runtime is fastest where these, two
    /// of flow and the (2·reach + 1)² costs are a multiple of 16 together.
    pub features: usize,
}

/// The forward pass before anything is scaled to be an output.
pub struct Flows<T> {
    /// The flow in input pixels, with its level, coarsest first: `[batch, 2, h, w]`, x then y.
    pub levels: Vec<(usize, T)>,
    /// The mean of the second frame's coarsest features over the picture: `[batch, channels]`.
    pub feature: T,
    /// The second frame's coarsest features: `[batch, channels, h, w]`.
    pub map: T,
}

impl Pwc {
    /// The coarsest level.
    pub fn coarsest(&self) -> usize {
        self.encoder.len()
    }

    /// Width and height of the flow of frames of this size.
    pub fn output(&self, width: usize, height: usize) -> [usize; 2] {
        [width, height].map(|n| n.div_ceil(1 << self.finest))
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// Naming the setting that makes no sense.
    pub fn check(&self) -> Result<()> {
        let Decoder {
            channels,
            dilations,
            ..
        } = &self.decoder;
        ensure!(
            !self.name.is_empty() && self.name.chars().all(|c| c.is_ascii_graphic() && c != '/'),
            "task.network.name {:?} names no file",
            self.name
        );
        ensure!(
            [self.width, self.height]
                .iter()
                .all(|n| (16..=4096).contains(n)),
            "task.network: width and height must be 16 to 4096"
        );
        ensure!(
            (2..=8).contains(&self.encoder.len())
                && self
                    .encoder
                    .iter()
                    .all(|level| !level.is_empty() && !level.contains(&0)),
            "task.network.encoder must have 2 to 8 levels, each with channels"
        );
        ensure!(
            (1..=self.coarsest()).contains(&self.finest),
            "task.network.finest must be one of the {} levels",
            self.coarsest()
        );
        ensure!(
            (1..=16).contains(&self.reach),
            "task.network.reach must be 1 to 16"
        );
        ensure!(
            !channels.is_empty()
                && !channels.contains(&0)
                && self
                    .decoder
                    .shared
                    .is_none_or(|s| s.keys > 0 && s.features > 0),
            "task.network.decoder: channels must be more than 0"
        );
        ensure!(
            dilations.is_empty() || dilations.len() == channels.len() && !dilations.contains(&0),
            "task.network.decoder.dilations must be as many as its channels, each more than 0"
        );
        ensure!(
            self.context.iter().flatten().all(|&n| n > 0),
            "task.network.context must be pairs of channels and dilation, each more than 0"
        );
        Ok(())
    }

    /// Input pixels in a unit of flow at a level.
    fn unit(&self, level: usize) -> f32 {
        match self.decoder.shared {
            // A decoder that serves all levels must take the same shapes at each.
            Some(_) => (1 << level) as f32,
            None => UNIT,
        }
    }

    /// The flow of each level from `frames` `[batch, 2, 3, height, width]`, of any size.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn flows<G: Ops>(&self, scope: &Scope<G>, frames: &G::Tensor) -> Result<Flows<G::Tensor>> {
        let g = scope.ops;
        let (height, width) = (g.size(frames, 3)?, g.size(frames, 4)?);
        // Both frames go through the encoder as one batch.
        let x = g.reshape(frames, &[-1, 3, height as i64, width as i64])?;
        let x = fill(g, &x, 1 << self.coarsest())?;
        let pyramid = self.encode(&scope.at("encoder"), &x)?;
        let [_, coarsest] = pyramid.last().context("no levels")?;
        let feature = g.mean(coarsest, &[2, 3], false)?;
        let map = coarsest.clone();

        let mut levels: Vec<(usize, G::Tensor)> = Vec::new();
        // The flow so far in units of the level to come, and what its decoder hands down.
        let mut coarser: Option<(G::Tensor, Option<G::Tensor>)> = None;
        for level in (self.finest..=self.coarsest()).rev() {
            let [first, second] = &pyramid[level - 1];
            let prefix = match self.decoder.shared {
                Some(_) => scope.at("decoder"),
                None => scope.at(format!("decoder{level}")),
            };
            let input = self.compare(scope, level, first, second, coarser.as_ref())?;
            let hidden = self.hidden(&prefix, input)?;
            let mut flow = head(&prefix.at("flow"), &hidden)?;
            if self.decoder.shared.is_some()
                && let Some((before, _)) = &coarser
            {
                flow = g.add(&flow, before)?;
            }
            if level == self.finest {
                if !self.context.is_empty() {
                    let change = self.refine(&scope.at("context"), &hidden)?;
                    flow = g.add(&flow, &change)?;
                }
            } else {
                coarser = Some(self.hand_down(&prefix, level, &flow, &hidden)?);
            }
            levels.push((level, g.scale(&flow, self.unit(level))?));
        }
        Ok(Flows {
            levels,
            feature,
            map,
        })
    }

    /// The features of the first and of the second frame at each level, finest first.
    fn encode<G: Ops>(&self, scope: &Scope<G>, x: &G::Tensor) -> Result<Vec<[G::Tensor; 2]>> {
        let g = scope.ops;
        let mut x = x.clone();
        let mut pyramid = Vec::new();
        for (n, convolutions) in self.encoder.iter().enumerate() {
            for (m, &channels) in convolutions.iter().enumerate() {
                let geometry = Conv {
                    stride: if m == 0 { 2 } else { 1 }.into(),
                    padding: 1.into(),
                    ..Conv::default()
                };
                let scope = scope.at(n + 1).at(m);
                x = g.leaky_relu(&scope.conv(&x, channels, &[3, 3], &geometry)?, SLOPE)?;
            }
            let [channels, height, width] = [1, 2, 3].map(|axis| g.size(&x, axis));
            let shape = [-1, 2, channels? as i64, height? as i64, width? as i64];
            let both = g.reshape(&x, &shape)?;
            let one = |n| g.squeeze(&g.slice(&both, 1, n, Some(n + 1))?, 1);
            pyramid.push([one(0)?, one(1)?]);
        }
        Ok(pyramid)
    }

    /// What a decoder takes: costs, the first frame's features, and the coarser level's flow.
    fn compare<G: Ops>(
        &self,
        scope: &Scope<G>,
        level: usize,
        first: &G::Tensor,
        second: &G::Tensor,
        coarser: Option<&(G::Tensor, Option<G::Tensor>)>,
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let (mut a, mut b, mut features) = (first.clone(), second.clone(), first.clone());
        if let Some(shared) = self.decoder.shared {
            let one = Conv::default();
            let key = scope.at("key").at(level);
            let keys = |x| normalised(g, &key.conv(x, shared.keys, &[1, 1], &one)?);
            (a, b) = (keys(first)?, keys(second)?);
            let mix = scope.at("mix").at(level);
            features = mix.conv(first, shared.features, &[1, 1], &one)?;
            features = g.leaky_relu(&features, SLOPE)?;
        }
        if let Some((flow, _)) = coarser {
            b = warp(g, &b, flow, self.unit(level) / (1 << level) as f32)?;
        }
        let costs = g.leaky_relu(&cost_volume(g, &a, &b, self.reach)?, SLOPE)?;
        let nothing;
        let mut parts = vec![&costs];
        match (coarser, self.decoder.shared) {
            (Some((flow, handed)), _) => {
                parts.extend([&features, flow]);
                parts.extend(handed);
            }
            (None, Some(_)) => {
                // A decoder that serves all levels takes a flow of zero at the coarsest.
                nothing = g.scale(&g.slice(first, 1, 0, Some(2))?, 0.0)?;
                parts.extend([&features, &nothing]);
            }
            (None, None) => {}
        }
        g.concat(&parts, 1)
    }

    /// What a decoder thinks, before it says the flow.
    fn hidden<G: Ops>(&self, scope: &Scope<G>, input: G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        let mut x = input;
        for (n, &channels) in self.decoder.channels.iter().enumerate() {
            let dilation = self.decoder.dilations.get(n).copied().unwrap_or(1);
            let y = scope.at(n).conv(&x, channels, &[3, 3], &around(dilation))?;
            let y = g.leaky_relu(&y, SLOPE)?;
            x = if self.decoder.dense {
                g.concat(&[&y, &x], 1)?
            } else {
                y
            };
        }
        Ok(x)
    }

    /// A change of the finest flow from a wider neighbourhood.
    fn refine<G: Ops>(&self, scope: &Scope<G>, hidden: &G::Tensor) -> Result<G::Tensor> {
        let mut x = hidden.clone();
        for (n, &[channels, dilation]) in self.context.iter().enumerate() {
            let y = scope.at(n).conv(&x, channels, &[3, 3], &around(dilation))?;
            x = scope.ops.leaky_relu(&y, SLOPE)?;
        }
        head(&scope.at("flow"), &x)
    }

    /// The flow in the units and at the resolution of the next level, and features beside it.
    fn hand_down<G: Ops>(
        &self,
        scope: &Scope<G>,
        level: usize,
        flow: &G::Tensor,
        hidden: &G::Tensor,
    ) -> Result<(G::Tensor, Option<G::Tensor>)> {
        if self.decoder.shared.is_some() {
            let factor = self.unit(level) / self.unit(level - 1);
            let flow = enlarged(scope.ops, flow, 2)?;
            return Ok((scope.ops.scale(&flow, factor)?, None));
        }
        let twice = ConvTranspose {
            stride: 2.into(),
            padding: 1.into(),
            ..ConvTranspose::default()
        };
        let up = |name, x| scope.at(name).conv_transpose(x, 2, &[4, 4], &twice);
        Ok((up("up_flow", flow)?, Some(up("up_features", hidden)?)))
    }
}

impl Network for Pwc {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> Vec<Port> {
        let shape: [Dim; 5] = [
            "batch".into(),
            2.into(),
            3.into(),
            self.height.into(),
            self.width.into(),
        ];
        vec![
            Port::signal("frames", &shape, "coded RGB, 0 to 1")
                .normalised("8-bit values over 255; the earlier frame first"),
        ]
    }

    fn outputs(&self) -> Vec<Port> {
        let [width, height] = self.output(self.width, self.height);
        let channels = self
            .encoder
            .last()
            .and_then(|level| level.last())
            .copied()
            .unwrap_or_default();
        let flow: [Dim; 4] = ["batch".into(), 2.into(), height.into(), width.into()];
        let [columns, rows] = [self.width, self.height].map(|n| n.div_ceil(1 << self.coarsest()));
        vec![
            Port::signal(
                "flow",
                &flow,
                "input pixels to the right and down, from the first frame to the second",
            ),
            Port::signal(
                "feature",
                &["batch".into(), channels.into()],
                "mean over the second frame of the encoder's coarsest level",
            ),
            Port::signal(
                "map",
                &["batch".into(), channels.into(), rows.into(), columns.into()],
                "the second frame at the encoder's coarsest level",
            ),
        ]
    }

    fn about(&self) -> About {
        About {
            task: "optical-flow".into(),
            description: "Dense optical flow from one frame to the next".into(),
            labels: vec!["x".into(), "y".into()],
            parameters: toml::Table::from_iter([
                ("flow_stride".to_owned(), (1i64 << self.finest).into()),
                ("feature_level".to_owned(), (self.coarsest() as i64).into()),
            ]),
            ..About::default()
        }
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [frames] = inputs else {
            bail!("{} inputs, not 1", inputs.len());
        };
        let g = scope.ops;
        let (height, width) = (g.size(frames, 3)?, g.size(frames, 4)?);
        let Flows {
            levels,
            feature,
            map,
        } = self.flows(scope, frames)?;
        let (_, flow) = levels.last().context("no levels")?;
        let [width, height] = self.output(width, height);
        // What lies over the padding is nobody's.
        let flow = cut(g, &cut(g, flow, 2, height)?, 3, width)?;
        Ok(vec![flow, feature, map])
    }
}

/// A 3 × 3 convolution that keeps the size.
fn around(dilation: usize) -> Conv {
    Conv {
        padding: dilation.into(),
        dilation: dilation.into(),
        ..Conv::default()
    }
}

/// A flow from features. It begins near zero, so that nothing is warped far before anything is
/// learned.
fn head<G: Ops>(scope: &Scope<G>, x: &G::Tensor) -> Result<G::Tensor> {
    let channels = scope.ops.size(x, 1)?;
    let weight = scope.weight("weight", &[2, channels, 3, 3], Init::Normal(0.01))?;
    let bias = scope.weight("bias", &[2], Init::ZEROS)?;
    scope.ops.conv(x, &weight, Some(&bias), &around(1))
}

/// The border repeated below and to the right until `multiple` divides height and width.
fn fill<G: Ops>(g: &G, x: &G::Tensor, multiple: usize) -> Result<G::Tensor> {
    let mut x = x.clone();
    for axis in [2, 3] {
        let n = g.size(&x, axis)?;
        let missing = n.next_multiple_of(multiple) - n;
        if missing > 0 {
            x = g.pad(&x, axis, 0, missing, PadMode::Edge)?;
        }
    }
    Ok(x)
}

fn cut<G: Ops>(g: &G, x: &G::Tensor, axis: isize, n: usize) -> Result<G::Tensor> {
    if g.size(x, axis)? == n {
        return Ok(x.clone());
    }
    g.slice(x, axis, 0, Some(n as i64))
}

/// `[batch, channels, h, w]` at `by` times the resolution.
///
/// # Errors
/// As [`Ops::resize`].
pub fn enlarged<G: Ops>(g: &G, x: &G::Tensor, by: usize) -> Result<G::Tensor> {
    let interpolation = Interpolation::Linear {
        align_corners: false,
    };
    g.resize(x, &Size::Scale(vec![by, by]), interpolation)
}

/// The features of each pixel with the mean 0 and the mean square 1 over the channels.
fn normalised<G: Ops>(g: &G, x: &G::Tensor) -> Result<G::Tensor> {
    let x = g.sub(x, &g.mean(x, &[1], true)?)?;
    let square = g.mean(&g.mul(&x, &x)?, &[1], true)?;
    let size = g.unary(&g.add(&square, &g.scalar(1e-4)?)?, crate::ops::Unary::Sqrt)?;
    g.div(&x, &size)
}

/// `x` `[batch, channels, h, w]` read at each pixel plus its `flow` `[batch, 2, h, w]` of units of
/// `unit` pixels; 0 outside.
pub fn warp<G: Ops>(g: &G, x: &G::Tensor, flow: &G::Tensor, unit: f32) -> Result<G::Tensor> {
    let (height, width) = (g.size(x, 2)?, g.size(x, 3)?);
    // ±1 are the centres of the corner pixels.
    let per_pixel = [width, height].map(|n| 2.0 / n.saturating_sub(1).max(1) as f32);
    let still = Array4::from_shape_fn((1, height, width, 2), |(_, y, x, axis)| {
        [x, y][axis] as f32 * per_pixel[axis] - 1.0
    });
    let factor = per_pixel.map(|step| step * unit).to_vec();
    let factor = g.constant(ArrayD::from_shape_vec(IxDyn(&[2]), factor)?)?;
    let moved = g.mul(&g.transpose(flow, &[0, 2, 3, 1])?, &factor)?;
    let grid = g.add(&moved, &g.constant(still.into_dyn())?)?;
    g.grid_sample(x, &grid, Outside::Zeros, true)
}

/// The mean over channels of `a` times `b` displaced by −`reach` … `reach`, rows of displacements
/// first: `[batch, (2·reach + 1)², h, w]` from twice `[batch, channels, h, w]`.
///
/// For each vertical displacement, one product of matrices compares every pixel of a row with every
/// pixel of a row of `b`; what is wanted of it lies along its diagonal. That is several times what
/// is needed, and still far faster than one product of pictures for each displacement, because
/// nothing as large as channels × displacements is ever stored, forward or backward. The diagonal is
/// read without gathering: read in rows one longer than they were written in, a diagonal is a column.
///
/// # Errors
/// As the operations it is made of.
pub fn cost_volume<G: Ops>(g: &G, a: &G::Tensor, b: &G::Tensor, reach: usize) -> Result<G::Tensor> {
    let [channels, height, width] = [1, 2, 3].map(|axis| g.size(a, axis));
    let (channels, height, width) = (channels?, height?, width?);
    let (n, wide) = (2 * reach + 1, width + 2 * reach);
    // batch × height × (width + n) × channels: as many rows as make the product's rows fit twice.
    let a = g.scale(&g.transpose(a, &[0, 2, 3, 1])?, 1.0 / channels as f32)?;
    let a = g.pad(&a, 2, 0, n, PadMode::Constant(0.0))?;
    // batch × (height + 2 reach) × channels × wide.
    let b = g.pad(b, 3, reach, reach, PadMode::Constant(0.0))?;
    let b = g.pad(&b, 2, reach, reach, PadMode::Constant(0.0))?;
    let b = g.transpose(&b, &[0, 2, 1, 3])?;
    let costs = (0..n)
        .map(|dy| {
            let rows = g.slice(&b, 1, dy as i64, Some((dy + height) as i64))?;
            let products = g.matmul(&a, &rows)?;
            let skewed = g.reshape(&products, &[0, 0, wide as i64, wide as i64 + 1])?;
            let columns = g.slice(&skewed, 3, 0, Some(n as i64))?;
            g.slice(&columns, 2, 0, Some(width as i64))
        })
        .collect::<Result<Vec<_>>>()?;
    let costs = g.concat(&costs.iter().collect::<Vec<_>>(), 3)?;
    g.transpose(&costs, &[0, 3, 1, 2])
}

#[cfg(test)]
mod tests;
