// SPDX-License-Identifier: MPL-2.0
//! The interpreter that computes and differentiates a network, on LibTorch.

use crate::config::Precision;
use anyhow::{Context, Result, bail, ensure};
use dance_networks::network::Array;
use dance_networks::ops::{
    Binary, Compare, Conv, ConvTranspose, Dim, Gru, Init, Interpolation, Ops, Outside, PadMode,
    Reduce, Size, Unary, resolve,
};
use dance_networks::weights::{Stored, Weights};
use ndarray::{ArrayD, IxDyn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use tch::{Device, Kind, Tensor};

/// Where to compute.
///
/// # Errors
/// When CUDA is asked for and cannot be had.
pub fn device(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "cuda" => {
            load_cuda()?;
            ensure!(
                tch::Cuda::is_available(),
                "device cuda: LibTorch finds no usable GPU"
            );
            Ok(Device::Cuda(0))
        }
        "auto" => Ok(match device("cuda") {
            Ok(cuda) => cuda,
            Err(_) => Device::Cpu,
        }),
        other => bail!("device {other}: there are cpu, cuda and auto"),
    }
}

/// Loads the half of LibTorch that computes on a GPU. The binary does not link it, so that it
/// starts where there is none; loading it registers its kernels.
fn load_cuda() -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initialisers register kernels with the LibTorch that is already
    // loaded; it comes from the same place, and is asked for before any tensor is on a GPU.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }
        .context("device cuda: libtorch_cuda.so cannot be loaded")?;
    // What it registered must stay.
    std::mem::forget(library);
    Ok(())
}

/// A tensor. Its clones share its elements.
pub struct Value(Tensor);

impl Clone for Value {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Value {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

/// The interpreter.
pub struct Torch {
    device: Device,
    precision: Precision,
    source: Weights,
    trainable: bool,
    training: Cell<bool>,
    weights: RefCell<BTreeMap<String, Tensor>>,
}

impl Torch {
    /// An interpreter whose weights come from `source`, and can be learned.
    pub fn new(device: Device, precision: Precision, source: Weights) -> Self {
        Self {
            device,
            precision,
            source,
            trainable: true,
            training: Cell::new(false),
            weights: RefCell::default(),
        }
    }

    /// An interpreter on the same device with weights of its own, which are not learned.
    pub fn frozen(&self, weights: BTreeMap<String, Tensor>) -> Self {
        Self {
            device: self.device,
            precision: self.precision,
            source: Weights::Stored(Stored::new()),
            trainable: false,
            training: Cell::new(false),
            weights: RefCell::new(weights),
        }
    }

    /// Whether dropout drops.
    pub fn set_training(&self, training: bool) {
        self.training.set(training);
    }

    /// The weights asked for so far.
    pub fn weights(&self) -> BTreeMap<String, Tensor> {
        let weights = self.weights.borrow();
        weights
            .iter()
            .map(|(path, weight)| (path.clone(), weight.shallow_clone()))
            .collect()
    }

    /// An array as a tensor on the device.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn tensor(&self, array: &Array) -> Result<Value> {
        Ok(Value(match array {
            Array::Float32(array) => upload(array, self.device)?,
            Array::Int64(array) => upload(array, self.device)?,
        }))
    }

    /// A product's operand.
    fn narrow(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self.precision {
            Precision::Float32 => x.shallow_clone(),
            Precision::Bfloat16 => x.f_to_kind(Kind::BFloat16)?,
        })
    }
}

/// What must not lose precision.
fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(match x.kind() {
        Kind::BFloat16 => x.f_to_kind(Kind::Float)?,
        _ => x.shallow_clone(),
    })
}

fn upload<T: tch::kind::Element + Clone>(array: &ArrayD<T>, device: Device) -> Result<Tensor> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    let tensor = match array.as_slice() {
        Some(values) => Tensor::f_from_slice(values)?,
        None => Tensor::f_from_slice(&array.iter().cloned().collect::<Vec<_>>())?,
    };
    Ok(tensor.f_reshape(&shape)?.f_to_device(device)?)
}

/// A tensor as an array of float32.
///
/// # Errors
/// When memory runs out.
pub fn download(tensor: &Tensor) -> Result<ArrayD<f32>> {
    let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
    let tensor = tensor
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?;
    let mut values = vec![0f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(ArrayD::from_shape_vec(IxDyn(&shape), values)?)
}

fn signed(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&n| n as i64).collect()
}

fn axis_of(x: &Tensor, axis: isize) -> Result<i64> {
    Ok(resolve(axis, x.dim())? as i64)
}

impl Ops for Torch {
    type Tensor = Value;

    fn weight(&self, path: &str, shape: &[usize], init: Init) -> Result<Value> {
        if let Some(weight) = self.weights.borrow().get(path) {
            ensure!(
                weight.size() == signed(shape),
                "weight {path} is {:?} and is asked for as {shape:?}",
                weight.size()
            );
            return Ok(Value(weight.shallow_clone()));
        }
        let values = self.source.get(path, shape, init)?;
        let weight = upload(&values, self.device)?.set_requires_grad(self.trainable);
        self.weights
            .borrow_mut()
            .insert(path.into(), weight.shallow_clone());
        Ok(Value(weight))
    }

    fn constant(&self, value: ArrayD<f32>) -> Result<Value> {
        Ok(Value(upload(&value, self.device)?))
    }

    fn shape(&self, x: &Value) -> Vec<Dim> {
        x.size().iter().map(|&n| Dim::Fixed(n as usize)).collect()
    }

    fn conv(
        &self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        geometry: &Conv,
    ) -> Result<Value> {
        let rank = weight.dim().saturating_sub(2);
        let bias = bias.map(|bias| self.narrow(bias)).transpose()?;
        Ok(Value(self.narrow(x)?.f_convolution(
            &self.narrow(weight)?,
            bias,
            signed(&geometry.stride.resolve(rank)?),
            signed(&geometry.padding.resolve(rank)?),
            signed(&geometry.dilation.resolve(rank)?),
            false,
            vec![0; rank],
            geometry.groups.max(1) as i64,
        )?))
    }

    fn conv_transpose(
        &self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        geometry: &ConvTranspose,
    ) -> Result<Value> {
        let rank = weight.dim().saturating_sub(2);
        let bias = bias.map(|bias| self.narrow(bias)).transpose()?;
        Ok(Value(self.narrow(x)?.f_convolution(
            &self.narrow(weight)?,
            bias,
            signed(&geometry.stride.resolve(rank)?),
            signed(&geometry.padding.resolve(rank)?),
            signed(&geometry.dilation.resolve(rank)?),
            true,
            signed(&geometry.output_padding.resolve(rank)?),
            geometry.groups.max(1) as i64,
        )?))
    }

    fn group_norm(
        &self,
        x: &Value,
        groups: usize,
        scale: &Value,
        bias: &Value,
        epsilon: f32,
    ) -> Result<Value> {
        Ok(Value(wide(x)?.f_group_norm(
            groups as i64,
            Some(&scale.0),
            Some(&bias.0),
            epsilon.into(),
            true,
        )?))
    }

    fn instance_norm(&self, x: &Value, scale: &Value, bias: &Value, epsilon: f32) -> Result<Value> {
        Ok(Value(wide(x)?.f_instance_norm(
            Some(&scale.0),
            Some(&bias.0),
            None,
            None,
            true,
            0.0,
            epsilon.into(),
            true,
        )?))
    }

    fn layer_norm(&self, x: &Value, scale: &Value, bias: &Value, epsilon: f32) -> Result<Value> {
        let last = *x.size().last().context("layer_norm of a scalar")?;
        Ok(Value(wide(x)?.f_layer_norm(
            [last],
            Some(&scale.0),
            Some(&bias.0),
            epsilon.into(),
            true,
        )?))
    }

    fn linear(&self, x: &Value, weight: &Value, bias: Option<&Value>) -> Result<Value> {
        let y = self.matmul(x, weight)?;
        match bias {
            Some(bias) => Ok(Value(y.f_add(&bias.f_to_kind(y.kind())?)?)),
            None => Ok(y),
        }
    }

    fn matmul(&self, a: &Value, b: &Value) -> Result<Value> {
        Ok(Value(self.narrow(a)?.f_matmul(&self.narrow(b)?)?))
    }

    fn softmax(&self, x: &Value, axis: isize) -> Result<Value> {
        Ok(Value(wide(x)?.f_softmax(axis as i64, None)?))
    }

    fn grid_sample(
        &self,
        x: &Value,
        grid: &Value,
        outside: Outside,
        align_corners: bool,
    ) -> Result<Value> {
        ensure!(x.dim() == 4, "grid_sample: {:?}", x.size());
        let padding = match outside {
            Outside::Zeros => 0,
            Outside::Border => 1,
        };
        Ok(Value(wide(x)?.f_grid_sampler(
            &wide(grid)?,
            0,
            padding,
            align_corners,
        )?))
    }

    fn resize(&self, x: &Value, size: &Size, interpolation: Interpolation) -> Result<Value> {
        let shape = x.size();
        ensure!(
            (3..=4).contains(&shape.len()),
            "resize: {shape:?} has not one or two spatial axes"
        );
        let to: Vec<i64> = match size {
            Size::To(sizes) => signed(sizes),
            Size::Scale(scales) => shape[2..]
                .iter()
                .zip(scales)
                .map(|(n, &by)| n * by as i64)
                .collect(),
        };
        ensure!(
            to.len() + 2 == shape.len(),
            "resize: {size:?} for {shape:?}"
        );
        let x = wide(x)?;
        Ok(Value(match (interpolation, to.len()) {
            (Interpolation::Nearest, 1) => x.f_upsample_nearest1d(to, None)?,
            (Interpolation::Nearest, _) => x.f_upsample_nearest2d(to, None, None)?,
            (Interpolation::Linear { align_corners }, 1) => {
                x.f_upsample_linear1d(to, align_corners, None)?
            }
            (Interpolation::Linear { align_corners }, _) => {
                x.f_upsample_bilinear2d(to, align_corners, None, None)?
            }
        }))
    }

    fn pad(
        &self,
        x: &Value,
        axis: isize,
        before: usize,
        after: usize,
        mode: PadMode,
    ) -> Result<Value> {
        // LibTorch lists the padding from the last axis on.
        let axis = resolve(axis, x.dim())?;
        let mut pads = vec![0; 2 * (x.dim() - axis - 1)];
        pads.extend([before as i64, after as i64]);
        if !matches!(mode, PadMode::Constant(_)) {
            // Its other modes want all axes after batch and channels, or more.
            pads.resize(pads.len().max(2 * x.dim().saturating_sub(2)), 0);
        }
        let (word, value) = match mode {
            PadMode::Constant(value) => ("constant", Some(f64::from(value))),
            PadMode::Edge => ("replicate", None),
            PadMode::Reflect => ("reflect", None),
        };
        Ok(Value(x.f_pad(pads, word, value)?))
    }

    fn slice(&self, x: &Value, axis: isize, start: i64, end: Option<i64>) -> Result<Value> {
        let axis = axis_of(x, axis)?;
        Ok(Value(x.f_slice(axis, Some(start), end, 1)?))
    }

    fn concat(&self, xs: &[&Value], axis: isize) -> Result<Value> {
        let xs: Vec<&Tensor> = xs.iter().map(|x| &x.0).collect();
        Ok(Value(Tensor::f_cat(&xs, axis as i64)?))
    }

    fn gather(&self, x: &Value, indices: &Value, axis: isize) -> Result<Value> {
        let axis = axis_of(x, axis)? as usize;
        let mut shape = x.size();
        shape.splice(axis..=axis, indices.size());
        let flat = indices.f_reshape([-1])?;
        Ok(Value(
            x.f_index_select(axis as i64, &flat)?.f_reshape(&shape)?,
        ))
    }

    fn reduce(&self, x: &Value, reduce: Reduce, axes: &[isize], keep: bool) -> Result<Value> {
        let x = wide(x)?;
        ensure!(!axes.is_empty(), "reduce: no axes");
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        Ok(Value(match reduce {
            Reduce::Sum => x.f_sum_dim_intlist(axes, keep, None)?,
            Reduce::Mean => x.f_mean_dim(axes, keep, None)?,
            Reduce::Max => x.f_amax(axes, keep)?,
            Reduce::Min => x.f_amin(axes, keep)?,
        }))
    }

    fn transpose(&self, x: &Value, order: &[usize]) -> Result<Value> {
        Ok(Value(x.f_permute(signed(order))?))
    }

    fn reshape(&self, x: &Value, shape: &[i64]) -> Result<Value> {
        let from = x.size();
        let to: Vec<i64> = shape
            .iter()
            .enumerate()
            .map(|(i, &n)| match n {
                0 => from
                    .get(i)
                    .copied()
                    .with_context(|| format!("reshape: {from:?} to {shape:?}")),
                n => Ok(n),
            })
            .collect::<Result<_>>()?;
        Ok(Value(x.f_reshape(&to)?))
    }

    fn unflatten(&self, x: &Value, like: &Value, axes: usize) -> Result<Value> {
        let (from, model) = (x.size(), like.size());
        ensure!(
            !from.is_empty() && (1..=model.len()).contains(&axes),
            "unflatten: {from:?} into {axes} axes of {model:?}"
        );
        let to: Vec<i64> = model[..axes].iter().chain(&from[1..]).copied().collect();
        Ok(Value(x.f_reshape(&to)?))
    }

    fn unsqueeze(&self, x: &Value, axis: isize) -> Result<Value> {
        Ok(Value(x.f_unsqueeze(axis as i64)?))
    }

    fn squeeze(&self, x: &Value, axis: isize) -> Result<Value> {
        let at = axis_of(x, axis)?;
        ensure!(
            x.size()[at as usize] == 1,
            "squeeze: axis {axis} of {:?} is not 1",
            x.size()
        );
        Ok(Value(x.f_squeeze_dim(at)?))
    }

    fn expand_as(&self, x: &Value, like: &Value) -> Result<Value> {
        Ok(Value(x.f_expand_as(like)?))
    }

    fn unary(&self, x: &Value, function: Unary) -> Result<Value> {
        Ok(Value(match function {
            Unary::Relu => x.f_relu()?,
            // The binding's own has no slope; this one takes it as a weight that is not learned.
            Unary::LeakyRelu(slope) => {
                ensure!((0.0..1.0).contains(&slope), "leaky_relu: slope {slope}");
                let slope = Tensor::f_from_slice(&[slope])?.f_to_device(x.device())?;
                x.f_prelu(&slope.f_to_kind(x.kind())?)?
            }
            Unary::Gelu => x.f_gelu("none")?,
            Unary::Silu => x.f_silu()?,
            Unary::Sigmoid => wide(x)?.f_sigmoid()?,
            Unary::Tanh => x.f_tanh()?,
            Unary::Softplus => wide(x)?.f_softplus()?,
            Unary::Exp => wide(x)?.f_exp()?,
            Unary::Log => wide(x)?.f_log()?,
            Unary::Sqrt => wide(x)?.f_sqrt()?,
            Unary::Abs => x.f_abs()?,
            Unary::Neg => x.f_neg()?,
            Unary::Sin => wide(x)?.f_sin()?,
            Unary::Cos => wide(x)?.f_cos()?,
        }))
    }

    fn binary(&self, a: &Value, b: &Value, function: Binary) -> Result<Value> {
        Ok(Value(match function {
            Binary::Add => a.f_add(b)?,
            Binary::Sub => a.f_sub(b)?,
            Binary::Mul => a.f_mul(b)?,
            Binary::Div => a.f_div(b)?,
            Binary::Pow => wide(a)?.f_pow(&wide(b)?)?,
            Binary::Max => a.f_maximum(b)?,
            Binary::Min => a.f_minimum(b)?,
        }))
    }

    fn compare(&self, a: &Value, b: &Value, comparison: Compare) -> Result<Value> {
        Ok(Value(match comparison {
            Compare::Greater => a.f_gt_tensor(b)?,
            Compare::GreaterOrEqual => a.f_ge_tensor(b)?,
            Compare::Less => a.f_lt_tensor(b)?,
            Compare::LessOrEqual => a.f_le_tensor(b)?,
            Compare::Equal => a.f_eq_tensor(b)?,
        }))
    }

    fn select(&self, condition: &Value, yes: &Value, no: &Value) -> Result<Value> {
        Ok(Value(yes.f_where_self(condition, no)?))
    }

    fn clamp(&self, x: &Value, low: f32, high: f32) -> Result<Value> {
        Ok(Value(x.f_clamp(f64::from(low), f64::from(high))?))
    }

    fn gru(&self, x: &Value, h: &Value, weights: &Gru<Value>) -> Result<(Value, Value)> {
        // LibTorch orders the gates reset, update, candidate; and splits the biases.
        let n = *h.size().last().context("gru: the state is a scalar")?;
        let swap = |weight: &Tensor| -> Result<Tensor> {
            let gates = [
                weight.f_narrow(0, n, n)?,
                weight.f_narrow(0, 0, n)?,
                weight.f_narrow(0, 2 * n, n)?,
            ];
            Ok(Tensor::f_cat(&gates, 0)?)
        };
        let params = [
            swap(&weights.input)?,
            swap(&weights.recurrent)?,
            swap(&weights.bias.f_narrow(0, 0, 3 * n)?)?,
            swap(&weights.bias.f_narrow(0, 3 * n, 3 * n)?)?,
        ];
        let (all, last) = wide(x)?.f_gru(
            &wide(h)?.f_unsqueeze(0)?.f_contiguous()?,
            &params,
            true,
            1,
            0.0,
            self.training.get(),
            false,
            true,
        )?;
        Ok((Value(all), Value(last.f_squeeze_dim(0)?)))
    }

    fn dropout(&self, x: &Value, probability: f32) -> Result<Value> {
        Ok(Value(x.f_dropout(probability.into(), self.training.get())?))
    }
}
