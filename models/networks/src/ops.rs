// SPDX-License-Identifier: MPL-2.0
//! The operations a network is written in.
//!
//! A network is one generic function over [`Ops`]. Two interpreters run it: `Torch`, of the crate
//! `dance-training`, computes and differentiates; [`Emit`](crate::onnx::Emit) writes the same calls
//! down as an ONNX graph. There is no second description that could drift away from the first.
//!
//! Shapes are written `[batch, channels, …]` as in the literature on convolutional networks. An
//! axis is counted from the front, or from the back when negative.

use anyhow::{Result, bail, ensure};
use ndarray::{ArrayD, IxDyn};
use std::fmt;

/// The extent of one axis, as far as it is known before the graph runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Known when the graph is written.
    Fixed(usize),
    /// Known when the graph runs: the extent called `name`, plus `offset`.
    Symbol {
        /// The name shown in the graph, for example `batch`.
        name: String,
        /// What convolutions without padding and concatenated states have added or taken.
        offset: i64,
    },
}

impl Dim {
    /// The extent called `name`.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol {
            name: name.into(),
            offset: 0,
        }
    }

    /// The extent where it is known.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Symbol { .. } => None,
        }
    }

    /// This extent and `by` more.
    ///
    /// # Errors
    /// When nothing would be left.
    pub fn offset(&self, by: i64) -> Result<Self> {
        Ok(match self {
            Self::Fixed(n) => {
                let sum = *n as i64 + by;
                ensure!(sum >= 0, "an axis of {n} cannot lose {} elements", -by);
                Self::Fixed(sum as usize)
            }
            Self::Symbol { name, offset } => Self::Symbol {
                name: name.clone(),
                offset: offset + by,
            },
        })
    }

    /// `floor(self / by)`.
    pub fn divide(&self, by: usize) -> Self {
        match self {
            _ if by == 1 => self.clone(),
            Self::Fixed(n) => Self::Fixed(n / by),
            Self::Symbol { .. } => Self::symbol(format!("({self})/{by}")),
        }
    }

    /// `self * by`.
    pub fn multiply(&self, by: usize) -> Self {
        match self {
            _ if by == 1 => self.clone(),
            Self::Fixed(n) => Self::Fixed(n * by),
            Self::Symbol { .. } => Self::symbol(format!("({self})*{by}")),
        }
    }

    /// Whether the two can be the same extent: an unknown one can be any.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(a), Self::Fixed(b)) => a == b,
            _ => true,
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Fixed(n)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Self::symbol(name)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Symbol { name, offset: 0 } => f.write_str(name),
            Self::Symbol { name, offset } => write!(f, "{name}{offset:+}"),
        }
    }
}

/// What a weight holds before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Independent normal values with this standard deviation.
    Normal(f32),
    /// Independent uniform values in ±bound.
    Uniform(f32),
}

impl Init {
    /// All zero, for biases and for the last layer of a residual branch.
    pub const ZEROS: Self = Self::Constant(0.0);
    /// All one, for the scale of a normalisation.
    pub const ONES: Self = Self::Constant(1.0);

    /// Normal values that keep the variance through a rectifier (He et al. 2015, eq. 10).
    pub fn he(fan_in: usize) -> Self {
        Self::Normal((2.0 / fan_in.max(1) as f32).sqrt())
    }

    /// Uniform values that keep the variance through a linear layer (LeCun et al. 1998, §4.6).
    pub fn lecun(fan_in: usize) -> Self {
        Self::Uniform((3.0 / fan_in.max(1) as f32).sqrt())
    }
}

/// A number for every spatial axis, or the same number for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerAxis {
    /// The same for all.
    All(usize),
    /// One for each, first axis first.
    Each(Vec<usize>),
}

impl PerAxis {
    /// The numbers for `rank` axes.
    ///
    /// # Errors
    /// When there is not one for each.
    pub fn resolve(&self, rank: usize) -> Result<Vec<usize>> {
        match self {
            Self::All(n) => Ok(vec![*n; rank]),
            Self::Each(each) => {
                ensure!(
                    each.len() == rank,
                    "{} numbers for {rank} spatial axes",
                    each.len()
                );
                Ok(each.clone())
            }
        }
    }
}

impl From<usize> for PerAxis {
    fn from(n: usize) -> Self {
        Self::All(n)
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(each: [usize; N]) -> Self {
        Self::Each(each.to_vec())
    }
}

/// The geometry of a convolution. Padding is with zeros, the same at both ends of an axis; causal
/// networks pad one end with [`Ops::pad`] or concatenate their state instead.
#[derive(Clone, Debug)]
pub struct Conv {
    /// The step between two outputs.
    pub stride: PerAxis,
    /// The zeros at each end.
    pub padding: PerAxis,
    /// The step between two taps of the kernel.
    pub dilation: PerAxis,
    /// The number of independent groups of channels.
    pub groups: usize,
}

impl Default for Conv {
    fn default() -> Self {
        Self {
            stride: 1.into(),
            padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
        }
    }
}

/// The geometry of a transposed convolution (Zeiler et al. 2010): the adjoint of a [`Conv`] in its
/// input, with `output_padding` more elements at the far end.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    /// The step between two inputs' contributions.
    pub stride: PerAxis,
    /// What is cut off at each end.
    pub padding: PerAxis,
    /// What is added at the far end; smaller than the stride.
    pub output_padding: PerAxis,
    /// The step between two taps of the kernel.
    pub dilation: PerAxis,
    /// The number of independent groups of channels.
    pub groups: usize,
}

impl Default for ConvTranspose {
    fn default() -> Self {
        Self {
            stride: 1.into(),
            padding: 0.into(),
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
        }
    }
}

/// How values between samples are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest sample at or before the position.
    Nearest,
    /// (Bi)linear between the neighbours.
    Linear {
        /// Whether the first and last samples of input and output lie on each other, rather than
        /// the edges of their areas.
        align_corners: bool,
    },
}

/// The extent [`Ops::resize`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    /// Times a whole number, for every spatial axis.
    Scale(Vec<usize>),
    /// Exactly this, for every spatial axis.
    To(Vec<usize>),
}

/// What [`Ops::grid_sample`] reads outside the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zero.
    Zeros,
    /// The nearest sample of the border.
    Border,
}

/// What [`Ops::pad`] adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This value.
    Constant(f32),
    /// The border's own value.
    Edge,
    /// The values inside, mirrored at the border without repeating it.
    Reflect,
}

/// A reduction over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Unary {
    Relu,
    /// Slope below zero, in 0..1.
    LeakyRelu(f32),
    /// With the error function, not its approximation by tanh (Hendrycks & Gimpel 2016).
    Gelu,
    /// x·σ(x) (Elfwing et al. 2018).
    Silu,
    Sigmoid,
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
    Exp,
    Log,
    Sqrt,
    Abs,
    Neg,
    Sin,
    Cos,
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compare {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
}

/// The weights of a gated recurrent unit (Cho et al. 2014) with `hidden` units and `input`
/// features. The gates follow each other in the order update, reset, candidate, as in ONNX.
#[derive(Clone, Debug)]
pub struct Gru<T> {
    /// `[3·hidden, input]`.
    pub input: T,
    /// `[3·hidden, hidden]`.
    pub recurrent: T,
    /// `[6·hidden]`: the input's biases, then the recurrence's.
    pub bias: T,
}

/// The operations. All but [`gather`](Self::gather)'s indices and [`compare`](Self::compare)'s
/// answers are float32 tensors.
///
/// # Errors
/// Every operation fails, naming itself and the shapes, where the shapes do not fit.
pub trait Ops {
    /// A value in the interpreter.
    type Tensor: Clone;

    /// The weight at a module path such as `encoder.0.weight`; the same tensor each time the same
    /// path is asked for.
    fn weight(&self, path: &str, shape: &[usize], init: Init) -> Result<Self::Tensor>;

    /// A value that is not learned.
    fn constant(&self, value: ArrayD<f32>) -> Result<Self::Tensor>;

    /// The extents.
    fn shape(&self, x: &Self::Tensor) -> Vec<Dim>;

    /// Cross-correlation over one to three spatial axes. `x` is `[batch, in, …]`, `weight`
    /// `[out, in/groups, kernel…]`, `bias` `[out]`.
    fn conv(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        geometry: &Conv,
    ) -> Result<Self::Tensor>;

    /// Transposed convolution over one to three spatial axes. `weight` is
    /// `[in, out/groups, kernel…]`.
    fn conv_transpose(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        geometry: &ConvTranspose,
    ) -> Result<Self::Tensor>;

    /// Group normalisation (Wu & He 2018) of `[batch, channels, …]`, with `[channels]` of scale
    /// and bias.
    fn group_norm(
        &self,
        x: &Self::Tensor,
        groups: usize,
        scale: &Self::Tensor,
        bias: &Self::Tensor,
        epsilon: f32,
    ) -> Result<Self::Tensor>;

    /// Instance normalisation (Ulyanov et al. 2016) of `[batch, channels, …]`.
    fn instance_norm(
        &self,
        x: &Self::Tensor,
        scale: &Self::Tensor,
        bias: &Self::Tensor,
        epsilon: f32,
    ) -> Result<Self::Tensor>;

    /// Layer normalisation (Ba et al. 2016) over the last axis.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        scale: &Self::Tensor,
        bias: &Self::Tensor,
        epsilon: f32,
    ) -> Result<Self::Tensor>;

    /// `x·weight + bias` over the last axis. `weight` is `[in, out]`, so that it needs no
    /// transposition in the graph.
    fn linear(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
    ) -> Result<Self::Tensor>;

    /// The matrix product over the last two axes, broadcast over the others.
    fn matmul(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;

    /// The softmax along an axis.
    fn softmax(&self, x: &Self::Tensor, axis: isize) -> Result<Self::Tensor>;

    /// Bilinear samples of `x` `[batch, channels, height, width]` at `grid`
    /// `[batch, height', width', 2]` (Jaderberg et al. 2015). The grid holds (x, y) in ±1, where
    /// ±1 are the centres of the corner pixels with `align_corners`, their outer edges without.
    fn grid_sample(
        &self,
        x: &Self::Tensor,
        grid: &Self::Tensor,
        outside: Outside,
        align_corners: bool,
    ) -> Result<Self::Tensor>;

    /// `[batch, channels, …]` with other extents of its one or two spatial axes.
    fn resize(
        &self,
        x: &Self::Tensor,
        size: &Size,
        interpolation: Interpolation,
    ) -> Result<Self::Tensor>;

    /// `before` and `after` more elements along an axis. `Reflect` and `Edge` reach the last two
    /// axes of three or four.
    fn pad(
        &self,
        x: &Self::Tensor,
        axis: isize,
        before: usize,
        after: usize,
        mode: PadMode,
    ) -> Result<Self::Tensor>;

    /// The elements `start..end` of an axis. A negative bound counts from the end; no `end` means
    /// all that follow.
    fn slice(
        &self,
        x: &Self::Tensor,
        axis: isize,
        start: i64,
        end: Option<i64>,
    ) -> Result<Self::Tensor>;

    /// The tensors one after the other along an axis.
    fn concat(&self, xs: &[&Self::Tensor], axis: isize) -> Result<Self::Tensor>;

    /// The slices of `x` along an axis that the integers `indices` name; the axis is replaced by
    /// the axes of `indices`. An embedding is a gather along the first axis of a table.
    fn gather(&self, x: &Self::Tensor, indices: &Self::Tensor, axis: isize)
    -> Result<Self::Tensor>;

    /// The reduction over the axes, which keep the extent 1 with `keep` and vanish without.
    fn reduce(
        &self,
        x: &Self::Tensor,
        reduce: Reduce,
        axes: &[isize],
        keep: bool,
    ) -> Result<Self::Tensor>;

    /// The axes in another order.
    fn transpose(&self, x: &Self::Tensor, order: &[usize]) -> Result<Self::Tensor>;

    /// The elements in the same order under other axes. 0 keeps the extent of the same axis, one
    /// -1 takes what is left.
    fn reshape(&self, x: &Self::Tensor, shape: &[i64]) -> Result<Self::Tensor>;

    /// The first axis split into the first `axes` axes of `like`: undoes the merging of, say, batch
    /// and time where neither extent is known in advance.
    fn unflatten(&self, x: &Self::Tensor, like: &Self::Tensor, axes: usize)
    -> Result<Self::Tensor>;

    /// A new axis of extent 1.
    fn unsqueeze(&self, x: &Self::Tensor, axis: isize) -> Result<Self::Tensor>;

    /// Without an axis of extent 1.
    fn squeeze(&self, x: &Self::Tensor, axis: isize) -> Result<Self::Tensor>;

    /// Repeated along axes of extent 1 to the shape of `like`.
    fn expand_as(&self, x: &Self::Tensor, like: &Self::Tensor) -> Result<Self::Tensor>;

    /// The function of each element.
    fn unary(&self, x: &Self::Tensor, function: Unary) -> Result<Self::Tensor>;

    /// The function of each pair of elements, axes of extent 1 repeated as NumPy does.
    fn binary(&self, a: &Self::Tensor, b: &Self::Tensor, function: Binary) -> Result<Self::Tensor>;

    /// Whether each pair of elements compares so.
    fn compare(
        &self,
        a: &Self::Tensor,
        b: &Self::Tensor,
        comparison: Compare,
    ) -> Result<Self::Tensor>;

    /// The elements of `yes` where the condition holds, of `no` elsewhere.
    fn select(
        &self,
        condition: &Self::Tensor,
        yes: &Self::Tensor,
        no: &Self::Tensor,
    ) -> Result<Self::Tensor>;

    /// Every element no smaller than `low` and no larger than `high`.
    fn clamp(&self, x: &Self::Tensor, low: f32, high: f32) -> Result<Self::Tensor>;

    /// A gated recurrent unit over `x` `[batch, time, input]` from the state `h`
    /// `[batch, hidden]`: all outputs `[batch, time, hidden]` and the last state. The reset gate
    /// acts after the recurrent product, as in cuDNN.
    fn gru(
        &self,
        x: &Self::Tensor,
        h: &Self::Tensor,
        weights: &Gru<Self::Tensor>,
    ) -> Result<(Self::Tensor, Self::Tensor)>;

    /// While training, elements set to zero with this probability and the others scaled up for it
    /// (Srivastava et al. 2014); otherwise `x`.
    fn dropout(&self, x: &Self::Tensor, probability: f32) -> Result<Self::Tensor>;

    // What follows is composed of the above.

    /// The extent of an axis that must be known.
    fn size(&self, x: &Self::Tensor, axis: isize) -> Result<usize> {
        let shape = self.shape(x);
        match shape[resolve(axis, shape.len())?].fixed() {
            Some(n) => Ok(n),
            None => bail!("axis {axis} of {} is not fixed", display(&shape)),
        }
    }

    /// A number.
    fn scalar(&self, value: f32) -> Result<Self::Tensor> {
        self.constant(ArrayD::from_elem(IxDyn(&[]), value))
    }

    /// `x·factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Result<Self::Tensor> {
        self.mul(x, &self.scalar(factor)?)
    }

    /// `a + b`.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor> {
        self.binary(a, b, Binary::Add)
    }

    /// `a - b`.
    fn sub(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor> {
        self.binary(a, b, Binary::Sub)
    }

    /// `a·b`, element by element.
    fn mul(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor> {
        self.binary(a, b, Binary::Mul)
    }

    /// `a / b`.
    fn div(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor> {
        self.binary(a, b, Binary::Div)
    }

    /// max(x, 0).
    fn relu(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.unary(x, Unary::Relu)
    }

    /// x above zero, slope·x below.
    fn leaky_relu(&self, x: &Self::Tensor, slope: f32) -> Result<Self::Tensor> {
        self.unary(x, Unary::LeakyRelu(slope))
    }

    /// x·Φ(x).
    fn gelu(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.unary(x, Unary::Gelu)
    }

    /// x·σ(x).
    fn silu(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.unary(x, Unary::Silu)
    }

    /// 1 / (1 + e⁻ˣ).
    fn sigmoid(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.unary(x, Unary::Sigmoid)
    }

    /// The hyperbolic tangent.
    fn tanh(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.unary(x, Unary::Tanh)
    }

    /// The mean over axes.
    fn mean(&self, x: &Self::Tensor, axes: &[isize], keep: bool) -> Result<Self::Tensor> {
        self.reduce(x, Reduce::Mean, axes, keep)
    }

    /// The mean of all elements, without axes.
    fn mean_all(&self, x: &Self::Tensor) -> Result<Self::Tensor> {
        let axes: Vec<isize> = (0..self.shape(x).len() as isize).collect();
        self.mean(x, &axes, false)
    }

    /// Scaled dot-product attention (Vaswani et al. 2017, eq. 1) of queries
    /// `[…, n, width]`, keys `[…, m, width]` and values `[…, m, width']`; `mask` is added to the
    /// scores `[…, n, m]`, a large negative number where nothing may be attended to.
    fn attention(
        &self,
        queries: &Self::Tensor,
        keys: &Self::Tensor,
        values: &Self::Tensor,
        mask: Option<&Self::Tensor>,
    ) -> Result<Self::Tensor> {
        let width = self.size(queries, -1)?;
        let rank = self.shape(keys).len();
        ensure!(rank >= 2, "attention needs keys of rank 2 or more");
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        // Scaling the queries is cheaper than scaling the scores.
        let queries = self.scale(queries, 1.0 / (width as f32).sqrt())?;
        let mut scores = self.matmul(&queries, &self.transpose(keys, &order)?)?;
        if let Some(mask) = mask {
            scores = self.add(&scores, mask)?;
        }
        self.matmul(&self.softmax(&scores, -1)?, values)
    }
}

/// The axis counted from the front.
///
/// # Errors
/// When there is no such axis.
pub fn resolve(axis: isize, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis + rank as isize } else { axis };
    ensure!(
        (0..rank as isize).contains(&from_front),
        "there is no axis {axis} among {rank}"
    );
    Ok(from_front as usize)
}

/// `[batch, 3, time+2]`.
pub fn display(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}
