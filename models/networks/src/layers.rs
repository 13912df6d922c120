// SPDX-License-Identifier: MPL-2.0
//! Layers: operations that ask for their own weights.

use crate::ops::{Conv, ConvTranspose, Gru, Init, Ops};
use anyhow::Result;
use std::fmt::Display;

/// A place in the tree of modules: an interpreter, and the path that its weights' names begin with.
pub struct Scope<'a, G: Ops> {
    /// The interpreter.
    pub ops: &'a G,
    path: String,
}

impl<'a, G: Ops> Scope<'a, G> {
    /// The root of the tree.
    pub fn root(ops: &'a G) -> Self {
        Self {
            ops,
            path: String::new(),
        }
    }

    /// The module called `name` below this one.
    pub fn at(&self, name: impl Display) -> Self {
        Self {
            ops: self.ops,
            path: self.join(name),
        }
    }

    fn join(&self, name: impl Display) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The weight called `name` of this module.
    ///
    /// # Errors
    /// As [`Ops::weight`].
    pub fn weight(&self, name: &str, shape: &[usize], init: Init) -> Result<G::Tensor> {
        self.ops.weight(&self.join(name), shape, init)
    }

    /// A convolution to `out` channels with a bias, over as many spatial axes as `kernel` has.
    ///
    /// # Errors
    /// As [`Ops::conv`].
    pub fn conv(
        &self,
        x: &G::Tensor,
        out: usize,
        kernel: &[usize],
        geometry: &Conv,
    ) -> Result<G::Tensor> {
        let channels = self.ops.size(x, 1)? / geometry.groups.max(1);
        let fan_in = channels * kernel.iter().product::<usize>();
        let shape: Vec<usize> = [out, channels].iter().chain(kernel).copied().collect();
        let weight = self.weight("weight", &shape, Init::he(fan_in))?;
        let bias = self.weight("bias", &[out], Init::ZEROS)?;
        self.ops.conv(x, &weight, Some(&bias), geometry)
    }

    /// A transposed convolution to `out` channels with a bias.
    ///
    /// # Errors
    /// As [`Ops::conv_transpose`].
    pub fn conv_transpose(
        &self,
        x: &G::Tensor,
        out: usize,
        kernel: &[usize],
        geometry: &ConvTranspose,
    ) -> Result<G::Tensor> {
        let channels = self.ops.size(x, 1)?;
        let per_group = out / geometry.groups.max(1);
        let fan_in = channels / geometry.groups.max(1) * kernel.iter().product::<usize>();
        let shape: Vec<usize> = [channels, per_group]
            .iter()
            .chain(kernel)
            .copied()
            .collect();
        let weight = self.weight("weight", &shape, Init::he(fan_in))?;
        let bias = self.weight("bias", &[out], Init::ZEROS)?;
        self.ops.conv_transpose(x, &weight, Some(&bias), geometry)
    }

    /// A linear layer to `out` features.
    ///
    /// # Errors
    /// As [`Ops::linear`].
    pub fn linear(&self, x: &G::Tensor, out: usize) -> Result<G::Tensor> {
        let features = self.ops.size(x, -1)?;
        let weight = self.weight("weight", &[features, out], Init::lecun(features))?;
        let bias = self.weight("bias", &[out], Init::ZEROS)?;
        self.ops.linear(x, &weight, Some(&bias))
    }

    /// Layer normalisation over the last axis.
    ///
    /// # Errors
    /// As [`Ops::layer_norm`].
    pub fn layer_norm(&self, x: &G::Tensor) -> Result<G::Tensor> {
        let n = self.ops.size(x, -1)?;
        let (scale, bias) = self.affine(n)?;
        self.ops.layer_norm(x, &scale, &bias, 1e-5)
    }

    /// Group normalisation of the channels.
    ///
    /// # Errors
    /// As [`Ops::group_norm`].
    pub fn group_norm(&self, x: &G::Tensor, groups: usize) -> Result<G::Tensor> {
        let n = self.ops.size(x, 1)?;
        let (scale, bias) = self.affine(n)?;
        self.ops.group_norm(x, groups, &scale, &bias, 1e-5)
    }

    /// Instance normalisation of the channels.
    ///
    /// # Errors
    /// As [`Ops::instance_norm`].
    pub fn instance_norm(&self, x: &G::Tensor) -> Result<G::Tensor> {
        let n = self.ops.size(x, 1)?;
        let (scale, bias) = self.affine(n)?;
        self.ops.instance_norm(x, &scale, &bias, 1e-5)
    }

    fn affine(&self, n: usize) -> Result<(G::Tensor, G::Tensor)> {
        Ok((
            self.weight("weight", &[n], Init::ONES)?,
            self.weight("bias", &[n], Init::ZEROS)?,
        ))
    }

    /// A gated recurrent unit over `[batch, time, features]` from the state `h`
    /// `[batch, hidden]`; the outputs and the last state.
    ///
    /// # Errors
    /// As [`Ops::gru`].
    pub fn gru(&self, x: &G::Tensor, h: &G::Tensor) -> Result<(G::Tensor, G::Tensor)> {
        let (features, hidden) = (self.ops.size(x, -1)?, self.ops.size(h, -1)?);
        let weights = Gru {
            input: self.weight("input", &[3 * hidden, features], Init::lecun(features))?,
            recurrent: self.weight("recurrent", &[3 * hidden, hidden], Init::lecun(hidden))?,
            bias: self.weight("bias", &[6 * hidden], Init::ZEROS)?,
        };
        self.ops.gru(x, h, &weights)
    }

    /// Multi-head attention (Vaswani et al. 2017, §3.2.2) of `x` `[batch, n, width]` over `memory`
    /// `[batch, m, width']`, with projections in and out.
    ///
    /// # Errors
    /// When `heads` does not divide the width, and as the operations it is made of.
    pub fn attention(
        &self,
        x: &G::Tensor,
        memory: &G::Tensor,
        heads: usize,
        mask: Option<&G::Tensor>,
    ) -> Result<G::Tensor> {
        let g = self.ops;
        let width = g.size(x, -1)?;
        anyhow::ensure!(
            heads > 0 && width % heads == 0,
            "{heads} heads do not divide a width of {width}"
        );
        // [batch, n, width] to [batch, heads, n, width / heads].
        let split = |y: &G::Tensor| -> Result<G::Tensor> {
            let y = g.reshape(y, &[0, 0, heads as i64, (width / heads) as i64])?;
            g.transpose(&y, &[0, 2, 1, 3])
        };
        let queries = split(&self.at("query").linear(x, width)?)?;
        let keys = split(&self.at("key").linear(memory, width)?)?;
        let values = split(&self.at("value").linear(memory, width)?)?;
        let y = g.attention(&queries, &keys, &values, mask)?;
        let y = g.reshape(&g.transpose(&y, &[0, 2, 1, 3])?, &[0, 0, width as i64])?;
        self.at("out").linear(&y, width)
    }
}

/// The mean binary cross entropy of logits against targets in 0..1, each weighted, in the form
/// that neither overflows nor loses small values: max(x, 0) − x·y + ln(1 + e^−|x|).
///
/// # Errors
/// As the operations it is made of.
pub fn binary_cross_entropy<G: Ops>(
    g: &G,
    logits: &G::Tensor,
    targets: &G::Tensor,
    weights: Option<&G::Tensor>,
) -> Result<G::Tensor> {
    use crate::ops::Unary;
    let tail = g.unary(
        &g.unary(&g.unary(logits, Unary::Abs)?, Unary::Neg)?,
        Unary::Softplus,
    )?;
    let mut loss = g.add(&g.sub(&g.relu(logits)?, &g.mul(logits, targets)?)?, &tail)?;
    if let Some(weights) = weights {
        loss = g.mul(&loss, weights)?;
    }
    g.mean_all(&loss)
}
