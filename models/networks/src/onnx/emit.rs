// SPDX-License-Identifier: MPL-2.0
//! The interpreter that writes a network down as an ONNX graph.

use super::proto::{self, Attribute, DataType, Dimension, Extent, Node, Tensor, ValueInfo};
use crate::network::{Element, Port};
use crate::ops::{
    Binary, Compare, Conv, ConvTranspose, Dim, Gru, Init, Interpolation, Ops, Outside, PadMode,
    PerAxis, Reduce, Size, Unary, display, resolve,
};
use crate::weights::Weights;
use anyhow::{Context, Result, bail, ensure};
use ndarray::ArrayD;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value of the graph.
#[derive(Clone, Debug)]
pub struct Value(Rc<Info>);

#[derive(Debug)]
struct Info {
    name: String,
    shape: Vec<Dim>,
    data_type: DataType,
}

/// A graph as it was recorded, with what the conversions of [`convert`](super::convert) need to
/// know beyond what its file says.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The graph.
    pub graph: proto::Graph,
    /// The type of every value.
    pub types: BTreeMap<String, DataType>,
    /// The number of learned elements.
    pub parameters: usize,
}

#[derive(Default)]
struct State {
    recorded: Recorded,
    weights: BTreeMap<String, Value>,
    count: usize,
}

/// The interpreter. It computes nothing, follows shapes as far as they are known, and needs nothing
/// native.
pub struct Emit {
    weights: Weights,
    state: RefCell<State>,
}

impl Emit {
    /// An empty graph, whose weights come from `weights`.
    pub fn new(weights: Weights) -> Self {
        Self {
            weights,
            state: RefCell::default(),
        }
    }

    /// An input of the graph.
    ///
    /// # Errors
    /// When there is one of that name already.
    pub fn input(&self, port: &Port) -> Result<Value> {
        let data_type = match port.element {
            Element::Float32 => DataType::Float,
            Element::Int64 { .. } => DataType::Int64,
        };
        let mut state = self.state.borrow_mut();
        let taken = state.recorded.types.insert(port.name.clone(), data_type);
        ensure!(taken.is_none(), "the graph has two inputs {}", port.name);
        state.recorded.graph.input.push(info(port, data_type));
        Ok(Value(Rc::new(Info {
            name: port.name.clone(),
            shape: port.shape.clone(),
            data_type,
        })))
    }

    /// Makes a value an output of the graph.
    ///
    /// # Errors
    /// When a value of that name exists already.
    pub fn output(&self, port: &Port, value: &Value) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let data_type = value.0.data_type;
        let taken = state.recorded.types.insert(port.name.clone(), data_type);
        ensure!(
            taken.is_none(),
            "the graph has a value {} already",
            port.name
        );
        state.recorded.graph.node.push(Node {
            input: vec![value.0.name.clone()],
            output: vec![port.name.clone()],
            name: format!("Output_{}", port.name),
            op_type: "Identity".into(),
            attribute: Vec::new(),
        });
        state.recorded.graph.output.push(info(port, data_type));
        Ok(())
    }

    /// The graph under its name.
    pub fn finish(self, name: &str) -> Recorded {
        let mut recorded = self.state.into_inner().recorded;
        recorded.graph.name = name.into();
        recorded
    }

    fn initializer(&self, tensor: Tensor, shape: Vec<Dim>, data_type: DataType) -> Value {
        let name = tensor.name.clone();
        let mut state = self.state.borrow_mut();
        state.recorded.types.insert(name.clone(), data_type);
        state.recorded.graph.initializer.push(tensor);
        Value(Rc::new(Info {
            name,
            shape,
            data_type,
        }))
    }

    fn fresh(&self, prefix: &str) -> String {
        let mut state = self.state.borrow_mut();
        state.count += 1;
        format!("{prefix}_{}", state.count)
    }

    fn integers(&self, values: impl IntoIterator<Item = i64>) -> Value {
        let values: Vec<i64> = values.into_iter().collect();
        let n = values.len();
        let tensor = Tensor::int64(&self.fresh("constant"), &[n], values);
        self.initializer(tensor, vec![n.into()], DataType::Int64)
    }

    fn floats(&self, shape: &[usize], values: impl IntoIterator<Item = f32>) -> Value {
        let tensor = Tensor::float32(&self.fresh("constant"), shape, values);
        let shape = shape.iter().map(|&n| n.into()).collect();
        self.initializer(tensor, shape, DataType::Float)
    }

    /// A node with one output.
    fn node(
        &self,
        op: &str,
        inputs: &[Option<&Value>],
        attribute: Vec<Attribute>,
        shape: Vec<Dim>,
        data_type: DataType,
    ) -> Value {
        let mut outputs = self.nodes(op, inputs, attribute, vec![shape], data_type);
        outputs.swap_remove(0)
    }

    fn nodes(
        &self,
        op: &str,
        inputs: &[Option<&Value>],
        attribute: Vec<Attribute>,
        shapes: Vec<Vec<Dim>>,
        data_type: DataType,
    ) -> Vec<Value> {
        let name = self.fresh(op);
        let outputs: Vec<Value> = shapes
            .into_iter()
            .enumerate()
            .map(|(i, shape)| {
                Value(Rc::new(Info {
                    name: if i == 0 {
                        name.clone()
                    } else {
                        format!("{name}.{i}")
                    },
                    shape,
                    data_type,
                }))
            })
            .collect();
        let mut state = self.state.borrow_mut();
        for output in &outputs {
            state
                .recorded
                .types
                .insert(output.0.name.clone(), data_type);
        }
        state.recorded.graph.node.push(Node {
            input: inputs
                .iter()
                .map(|value| value.map_or(String::new(), |v| v.0.name.clone()))
                .collect(),
            output: outputs.iter().map(|v| v.0.name.clone()).collect(),
            name,
            op_type: op.into(),
            attribute,
        });
        outputs
    }

    /// A node whose output is like its first input.
    fn like(&self, op: &str, inputs: &[Option<&Value>], attribute: Vec<Attribute>) -> Value {
        let (shape, data_type) = match inputs.first() {
            Some(Some(x)) => (x.0.shape.clone(), x.0.data_type),
            _ => (Vec::new(), DataType::Float),
        };
        self.node(op, inputs, attribute, shape, data_type)
    }

    /// The extents `start..end` as a value of the graph.
    fn shape_of(&self, x: &Value, start: usize, end: usize) -> Value {
        self.node(
            "Shape",
            &[Some(x)],
            vec![
                Attribute::int("start", start as i64),
                Attribute::int("end", end as i64),
            ],
            vec![end.saturating_sub(start).into()],
            DataType::Int64,
        )
    }

    /// `y`, which has as many elements as `like` and its first extent, in the shape of `like`.
    fn restore(&self, y: &Value, like: &Value) -> Value {
        let shape = &like.0.shape;
        let unknown = shape.iter().skip(1).filter(|d| d.fixed().is_none()).count();
        let target = if unknown <= 1 {
            self.integers(shape.iter().enumerate().map(|(i, dim)| match dim.fixed() {
                Some(n) => n as i64,
                None if i == 0 => 0,
                None => -1,
            }))
        } else {
            self.shape_of(like, 0, shape.len())
        };
        self.node(
            "Reshape",
            &[Some(y), Some(&target)],
            Vec::new(),
            shape.clone(),
            y.0.data_type,
        )
    }

    /// `[channels]` as `[channels, 1, …]`, to be broadcast over `rank - 2` axes.
    fn per_channel(&self, x: &Value, rank: usize) -> Value {
        let mut shape = x.0.shape.clone();
        shape.resize(rank - 1, Dim::Fixed(1));
        let target = self.integers(shape.iter().map(|d| d.fixed().map_or(-1, |n| n as i64)));
        self.node(
            "Reshape",
            &[Some(x), Some(&target)],
            Vec::new(),
            shape,
            DataType::Float,
        )
    }

    fn check_channels(&self, x: &Value, weights: &[&Value]) -> Result<()> {
        ensure!(
            x.0.shape.len() >= 2,
            "{} has no channels",
            display(&x.0.shape)
        );
        for weight in weights {
            ensure!(
                weight.0.shape.len() == 1 && weight.0.shape[0].agrees(&x.0.shape[1]),
                "{} does not scale the channels of {}",
                display(&weight.0.shape),
                display(&x.0.shape)
            );
        }
        Ok(())
    }
}

fn info(port: &Port, data_type: DataType) -> ValueInfo {
    let dim = port.shape.iter().map(|dim| Dimension {
        extent: Some(match dim {
            Dim::Fixed(n) => Extent::Value(*n as i64),
            symbol => Extent::Param(symbol.to_string()),
        }),
    });
    ValueInfo {
        name: port.name.clone(),
        r#type: Some(proto::Type {
            tensor: Some(proto::TensorType {
                elem_type: data_type as i32,
                shape: Some(proto::Shape { dim: dim.collect() }),
            }),
        }),
        doc_string: port.unit.clone(),
    }
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let one = Dim::Fixed(1);
    let at = |shape: &[Dim], i: usize| -> Dim {
        (i + shape.len())
            .checked_sub(rank)
            .map_or(&one, |j| &shape[j])
            .clone()
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, Dim::Fixed(1)) => Ok(x),
            (Dim::Fixed(1), y) => Ok(y),
            (x, y) => {
                ensure!(x.agrees(&y), "{} and {} do not fit", display(a), display(b));
                Ok(if y.fixed().is_some() { y } else { x })
            }
        })
        .collect()
}

struct Geometry {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    padding: Vec<usize>,
    dilation: Vec<usize>,
}

impl Geometry {
    fn new(
        x: &Value,
        weight: &Value,
        stride: &PerAxis,
        padding: &PerAxis,
        dilation: &PerAxis,
    ) -> Result<Self> {
        let shape = &weight.0.shape;
        ensure!(
            (3..=5).contains(&shape.len()) && x.0.shape.len() == shape.len(),
            "{} is no kernel for {}",
            display(shape),
            display(&x.0.shape)
        );
        let rank = shape.len() - 2;
        let kernel = shape[2..]
            .iter()
            .map(|dim| dim.fixed().context("a kernel of unknown extent"));
        let geometry = Self {
            kernel: kernel.collect::<Result<_>>()?,
            stride: stride.resolve(rank)?,
            padding: padding.resolve(rank)?,
            dilation: dilation.resolve(rank)?,
        };
        ensure!(
            !geometry.stride.contains(&0) && !geometry.dilation.contains(&0),
            "a stride or dilation of zero"
        );
        Ok(geometry)
    }

    fn attributes(&self, groups: usize) -> Vec<Attribute> {
        let pads = self.padding.iter().chain(&self.padding).copied();
        vec![
            Attribute::ints("kernel_shape", self.kernel.iter().copied()),
            Attribute::ints("strides", self.stride.iter().copied()),
            Attribute::ints("pads", pads),
            Attribute::ints("dilations", self.dilation.iter().copied()),
            Attribute::int("group", groups as i64),
        ]
    }
}

impl Ops for Emit {
    type Tensor = Value;

    fn weight(&self, path: &str, shape: &[usize], init: Init) -> Result<Value> {
        if let Some(value) = self.state.borrow().weights.get(path) {
            let dims: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
            ensure!(
                value.0.shape == dims,
                "weight {path} is asked for as {} and as {}",
                display(&value.0.shape),
                display(&dims)
            );
            return Ok(value.clone());
        }
        ensure!(
            !self.state.borrow().recorded.types.contains_key(path),
            "weight {path} has the name of an input"
        );
        let data = self.weights.get(path, shape, init)?;
        ensure!(!data.is_empty(), "weight {path} has no elements");
        let tensor = Tensor::float32(path, shape, data.iter().copied());
        let dims = shape.iter().map(|&n| n.into()).collect();
        let value = self.initializer(tensor, dims, DataType::Float);
        let mut state = self.state.borrow_mut();
        state.recorded.parameters += data.len();
        state.weights.insert(path.into(), value.clone());
        Ok(value)
    }

    fn constant(&self, value: ArrayD<f32>) -> Result<Value> {
        ensure!(!value.is_empty(), "a constant without elements");
        Ok(self.floats(value.shape(), value.iter().copied()))
    }

    fn shape(&self, x: &Value) -> Vec<Dim> {
        x.0.shape.clone()
    }

    fn conv(
        &self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        geometry: &Conv,
    ) -> Result<Value> {
        let groups = geometry.groups.max(1);
        let shape = Geometry::new(
            x,
            weight,
            &geometry.stride,
            &geometry.padding,
            &geometry.dilation,
        )?;
        let (inputs, kernel) = (&x.0.shape, &weight.0.shape);
        let channels = kernel[1].multiply(groups);
        ensure!(
            channels.agrees(&inputs[1]) && kernel[0].fixed().is_some_and(|n| n % groups == 0),
            "conv: a kernel {} in {groups} groups does not fit {}",
            display(kernel),
            display(inputs)
        );
        let mut out = vec![inputs[0].clone(), kernel[0].clone()];
        for (i, dim) in inputs[2..].iter().enumerate() {
            let reach = shape.dilation[i] as i64 * (shape.kernel[i] as i64 - 1);
            let room = dim
                .offset(2 * shape.padding[i] as i64 - reach - 1)
                .context("conv: the kernel is larger than the input")?;
            out.push(room.divide(shape.stride[i]).offset(1)?);
        }
        let attributes = shape.attributes(groups);
        Ok(self.node(
            "Conv",
            &[Some(x), Some(weight), bias],
            attributes,
            out,
            DataType::Float,
        ))
    }

    fn conv_transpose(
        &self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        geometry: &ConvTranspose,
    ) -> Result<Value> {
        let groups = geometry.groups.max(1);
        let shape = Geometry::new(
            x,
            weight,
            &geometry.stride,
            &geometry.padding,
            &geometry.dilation,
        )?;
        let (inputs, kernel) = (&x.0.shape, &weight.0.shape);
        let extra = geometry.output_padding.resolve(inputs.len() - 2)?;
        ensure!(
            kernel[0].agrees(&inputs[1]) && inputs[1].fixed().is_none_or(|n| n % groups == 0),
            "conv_transpose: a kernel {} in {groups} groups does not fit {}",
            display(kernel),
            display(inputs)
        );
        let mut out = vec![inputs[0].clone(), kernel[1].multiply(groups)];
        for (i, dim) in inputs[2..].iter().enumerate() {
            let reach = shape.dilation[i] as i64 * (shape.kernel[i] as i64 - 1);
            let spread = dim.offset(-1)?.multiply(shape.stride[i]);
            let by = reach + extra[i] as i64 + 1 - 2 * shape.padding[i] as i64;
            out.push(spread.offset(by)?);
        }
        let mut attributes = shape.attributes(groups);
        attributes.push(Attribute::ints("output_padding", extra));
        Ok(self.node(
            "ConvTranspose",
            &[Some(x), Some(weight), bias],
            attributes,
            out,
            DataType::Float,
        ))
    }

    fn group_norm(
        &self,
        x: &Value,
        groups: usize,
        scale: &Value,
        bias: &Value,
        epsilon: f32,
    ) -> Result<Value> {
        self.check_channels(x, &[scale, bias])
            .context("group_norm")?;
        let channels = self.size(x, 1)?;
        ensure!(
            groups > 0 && channels % groups == 0,
            "group_norm: {groups} groups of {channels} channels"
        );
        let grouped = self.reshape(x, &[0, groups as i64, -1])?;
        let one = self.floats(&[groups], vec![1.0; groups]);
        let zero = self.floats(&[groups], vec![0.0; groups]);
        let normal = self.instance_norm(&grouped, &one, &zero, epsilon)?;
        let normal = self.restore(&normal, x);
        let rank = x.0.shape.len();
        let scaled = self.mul(&normal, &self.per_channel(scale, rank))?;
        self.add(&scaled, &self.per_channel(bias, rank))
    }

    fn instance_norm(&self, x: &Value, scale: &Value, bias: &Value, epsilon: f32) -> Result<Value> {
        self.check_channels(x, &[scale, bias])
            .context("instance_norm")?;
        Ok(self.like(
            "InstanceNormalization",
            &[Some(x), Some(scale), Some(bias)],
            vec![Attribute::float("epsilon", epsilon)],
        ))
    }

    fn layer_norm(&self, x: &Value, scale: &Value, bias: &Value, epsilon: f32) -> Result<Value> {
        let n = x.0.shape.last().context("layer_norm of a scalar")?;
        for weight in [scale, bias] {
            ensure!(
                weight.0.shape.len() == 1 && weight.0.shape[0].agrees(n),
                "layer_norm: {} does not scale the last axis of {}",
                display(&weight.0.shape),
                display(&x.0.shape)
            );
        }
        Ok(self.like(
            "LayerNormalization",
            &[Some(x), Some(scale), Some(bias)],
            vec![
                Attribute::int("axis", -1),
                Attribute::float("epsilon", epsilon),
            ],
        ))
    }

    fn linear(&self, x: &Value, weight: &Value, bias: Option<&Value>) -> Result<Value> {
        ensure!(
            weight.0.shape.len() == 2,
            "linear: {} is no matrix",
            display(&weight.0.shape)
        );
        let y = self.matmul(x, weight)?;
        match bias {
            Some(bias) => self.add(&y, bias),
            None => Ok(y),
        }
    }

    fn matmul(&self, a: &Value, b: &Value) -> Result<Value> {
        let (x, y) = (&a.0.shape, &b.0.shape);
        ensure!(
            x.len() >= 2 && y.len() >= 2 && x[x.len() - 1].agrees(&y[y.len() - 2]),
            "matmul: {} times {}",
            display(x),
            display(y)
        );
        let mut shape = broadcast(&x[..x.len() - 2], &y[..y.len() - 2])?;
        shape.push(x[x.len() - 2].clone());
        shape.push(y[y.len() - 1].clone());
        Ok(self.node(
            "MatMul",
            &[Some(a), Some(b)],
            Vec::new(),
            shape,
            DataType::Float,
        ))
    }

    fn softmax(&self, x: &Value, axis: isize) -> Result<Value> {
        let axis = resolve(axis, x.0.shape.len())?;
        Ok(self.like(
            "Softmax",
            &[Some(x)],
            vec![Attribute::int("axis", axis as i64)],
        ))
    }

    fn grid_sample(
        &self,
        x: &Value,
        grid: &Value,
        outside: Outside,
        align_corners: bool,
    ) -> Result<Value> {
        let (picture, at) = (&x.0.shape, &grid.0.shape);
        ensure!(
            picture.len() == 4
                && at.len() == 4
                && at[3].agrees(&Dim::Fixed(2))
                && at[0].agrees(&picture[0]),
            "grid_sample: {} at {}",
            display(picture),
            display(at)
        );
        let shape = vec![
            picture[0].clone(),
            picture[1].clone(),
            at[1].clone(),
            at[2].clone(),
        ];
        let padding = match outside {
            Outside::Zeros => "zeros",
            Outside::Border => "border",
        };
        Ok(self.node(
            "GridSample",
            &[Some(x), Some(grid)],
            vec![
                Attribute::string("mode", "bilinear"),
                Attribute::string("padding_mode", padding),
                Attribute::int("align_corners", align_corners.into()),
            ],
            shape,
            DataType::Float,
        ))
    }

    fn resize(&self, x: &Value, size: &Size, interpolation: Interpolation) -> Result<Value> {
        let shape = &x.0.shape;
        let (Size::Scale(axes) | Size::To(axes)) = size;
        ensure!(
            (3..=4).contains(&shape.len()) && axes.len() == shape.len() - 2 && !axes.contains(&0),
            "resize: {axes:?} for {}",
            display(shape)
        );
        let mut out = shape[..2].to_vec();
        let mut inputs = vec![Some(x.clone()), None];
        match size {
            Size::Scale(scales) => {
                let factors = [1, 1].iter().chain(scales).map(|&n| n as f32);
                inputs.push(Some(self.floats(&[shape.len()], factors)));
                out.extend(shape[2..].iter().zip(scales).map(|(d, &n)| d.multiply(n)));
            }
            Size::To(sizes) => {
                let wanted = self.integers(sizes.iter().map(|&n| n as i64));
                let kept = match (shape[0].fixed(), shape[1].fixed()) {
                    (Some(a), Some(b)) => self.integers([a as i64, b as i64]),
                    _ => self.shape_of(x, 0, 2),
                };
                let all = self.node(
                    "Concat",
                    &[Some(&kept), Some(&wanted)],
                    vec![Attribute::int("axis", 0)],
                    vec![shape.len().into()],
                    DataType::Int64,
                );
                inputs.extend([None, Some(all)]);
                out.extend(sizes.iter().map(|&n| Dim::Fixed(n)));
            }
        }
        let attributes = match interpolation {
            Interpolation::Nearest => vec![
                Attribute::string("mode", "nearest"),
                Attribute::string("coordinate_transformation_mode", "asymmetric"),
                Attribute::string("nearest_mode", "floor"),
            ],
            Interpolation::Linear { align_corners } => vec![
                Attribute::string("mode", "linear"),
                Attribute::string(
                    "coordinate_transformation_mode",
                    if align_corners {
                        "align_corners"
                    } else {
                        "half_pixel"
                    },
                ),
            ],
        };
        let inputs: Vec<Option<&Value>> = inputs.iter().map(Option::as_ref).collect();
        Ok(self.node("Resize", &inputs, attributes, out, DataType::Float))
    }

    fn pad(
        &self,
        x: &Value,
        axis: isize,
        before: usize,
        after: usize,
        mode: PadMode,
    ) -> Result<Value> {
        let rank = x.0.shape.len();
        let axis = resolve(axis, rank)?;
        let mut pads = vec![0; 2 * rank];
        (pads[axis], pads[rank + axis]) = (before as i64, after as i64);
        let mut shape = x.0.shape.clone();
        shape[axis] = shape[axis].offset((before + after) as i64)?;
        let (word, value) = match mode {
            PadMode::Constant(value) => ("constant", Some(self.scalar(value)?)),
            PadMode::Edge => ("edge", None),
            PadMode::Reflect => ("reflect", None),
        };
        let pads = self.integers(pads);
        let mut inputs = vec![Some(x), Some(&pads)];
        inputs.extend(value.as_ref().map(Some));
        Ok(self.node(
            "Pad",
            &inputs,
            vec![Attribute::string("mode", word)],
            shape,
            x.0.data_type,
        ))
    }

    fn slice(&self, x: &Value, axis: isize, start: i64, end: Option<i64>) -> Result<Value> {
        let axis = resolve(axis, x.0.shape.len())?;
        let mut shape = x.0.shape.clone();
        shape[axis] = match &shape[axis] {
            Dim::Fixed(n) => {
                let n = *n as i64;
                let clip = |i: i64| (if i < 0 { i + n } else { i }).clamp(0, n);
                let (from, to) = (clip(start), end.map_or(n, clip));
                ensure!(from < to, "slice: nothing in {start}..{end:?} of {n}");
                Dim::Fixed((to - from) as usize)
            }
            symbol => match (start, end) {
                (s, None) if s >= 0 => symbol.offset(-s)?,
                (s, None) => Dim::Fixed(s.unsigned_abs() as usize),
                (s, Some(e)) if s >= 0 && e < 0 => symbol.offset(e - s)?,
                (s, Some(e)) if (s < 0) == (e < 0) && e > s => Dim::Fixed((e - s) as usize),
                _ => bail!("slice: {start}..{end:?} of {symbol} has no known extent"),
            },
        };
        let (from, to) = (
            self.integers([start]),
            self.integers([end.unwrap_or(i64::MAX)]),
        );
        let axes = self.integers([axis as i64]);
        Ok(self.node(
            "Slice",
            &[Some(x), Some(&from), Some(&to), Some(&axes)],
            Vec::new(),
            shape,
            x.0.data_type,
        ))
    }

    fn concat(&self, xs: &[&Value], axis: isize) -> Result<Value> {
        let first = xs.first().context("concat of nothing")?;
        let axis = resolve(axis, first.0.shape.len())?;
        let mut shape = first.0.shape.clone();
        for x in &xs[1..] {
            let other = &x.0.shape;
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || shape[i].agrees(&other[i]));
            ensure!(
                fits,
                "concat: {} and {} along axis {axis}",
                display(&shape),
                display(other)
            );
            shape[axis] = match (&shape[axis], &other[axis]) {
                (a, Dim::Fixed(n)) => a.offset(*n as i64)?,
                (Dim::Fixed(n), b) => b.offset(*n as i64)?,
                (a, b) => Dim::symbol(format!("({a}+{b})")),
            };
        }
        let inputs: Vec<Option<&Value>> = xs.iter().map(|x| Some(*x)).collect();
        let attributes = vec![Attribute::int("axis", axis as i64)];
        Ok(self.node("Concat", &inputs, attributes, shape, first.0.data_type))
    }

    fn gather(&self, x: &Value, indices: &Value, axis: isize) -> Result<Value> {
        ensure!(
            indices.0.data_type == DataType::Int64,
            "gather: the indices are not integers"
        );
        let axis = resolve(axis, x.0.shape.len())?;
        let mut shape = x.0.shape.clone();
        shape.splice(axis..=axis, indices.0.shape.iter().cloned());
        Ok(self.node(
            "Gather",
            &[Some(x), Some(indices)],
            vec![Attribute::int("axis", axis as i64)],
            shape,
            x.0.data_type,
        ))
    }

    fn reduce(&self, x: &Value, reduce: Reduce, axes: &[isize], keep: bool) -> Result<Value> {
        let rank = x.0.shape.len();
        let axes: Vec<usize> = axes
            .iter()
            .map(|&axis| resolve(axis, rank))
            .collect::<Result<_>>()?;
        // Neither library agrees with the other about what a reduction over no axes is.
        ensure!(!axes.is_empty(), "reduce: no axes");
        let shape =
            x.0.shape
                .iter()
                .enumerate()
                .filter_map(|(i, dim)| match (axes.contains(&i), keep) {
                    (true, true) => Some(Dim::Fixed(1)),
                    (true, false) => None,
                    (false, _) => Some(dim.clone()),
                });
        let op = match reduce {
            Reduce::Sum => "ReduceSum",
            Reduce::Mean => "ReduceMean",
            Reduce::Max => "ReduceMax",
            Reduce::Min => "ReduceMin",
        };
        let over = self.integers(axes.iter().map(|&axis| axis as i64));
        Ok(self.node(
            op,
            &[Some(x), Some(&over)],
            vec![Attribute::int("keepdims", keep.into())],
            shape.collect(),
            DataType::Float,
        ))
    }

    fn transpose(&self, x: &Value, order: &[usize]) -> Result<Value> {
        let rank = x.0.shape.len();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        ensure!(
            sorted.iter().copied().eq(0..rank),
            "transpose: {order:?} does not order {rank} axes"
        );
        let shape = order.iter().map(|&i| x.0.shape[i].clone()).collect();
        let attributes = vec![Attribute::ints("perm", order.iter().copied())];
        Ok(self.node("Transpose", &[Some(x)], attributes, shape, x.0.data_type))
    }

    fn reshape(&self, x: &Value, shape: &[i64]) -> Result<Value> {
        let from = &x.0.shape;
        let wrong = || format!("reshape: {} to {shape:?}", display(from));
        let mut out = Vec::new();
        let mut copied = vec![false; from.len()];
        for (i, &n) in shape.iter().enumerate() {
            out.push(match n {
                0 => {
                    *copied.get_mut(i).with_context(wrong)? = true;
                    from[i].clone()
                }
                -1 => Dim::symbol("?"),
                n => Dim::Fixed(usize::try_from(n).with_context(wrong)?),
            });
        }
        // What is left on both sides when the axes kept are taken away.
        let rest: Vec<&Dim> = (0..from.len())
            .filter(|&i| !copied[i])
            .map(|i| &from[i])
            .collect();
        let have: usize = rest.iter().filter_map(|dim| dim.fixed()).product();
        let unknown: Vec<&&Dim> = rest.iter().filter(|dim| dim.fixed().is_none()).collect();
        let want: usize = shape
            .iter()
            .filter(|&&n| n > 0)
            .map(|&n| n as usize)
            .product();
        match shape.iter().filter(|&&n| n == -1).count() {
            0 => ensure!(!unknown.is_empty() || have == want, wrong()),
            1 => {
                let open = shape.iter().position(|&n| n == -1).with_context(wrong)?;
                let whole = match unknown.as_slice() {
                    [] => {
                        ensure!(have.is_multiple_of(want), wrong());
                        Dim::Fixed(1)
                    }
                    [one] => (**one).clone(),
                    many => {
                        let names: Vec<String> = many.iter().map(|d| d.to_string()).collect();
                        Dim::symbol(names.join("*"))
                    }
                };
                out[open] = if have.is_multiple_of(want) {
                    whole.multiply(have / want)
                } else {
                    whole.multiply(have).divide(want)
                };
            }
            _ => bail!(wrong()),
        }
        let target = self.integers(shape.iter().copied());
        Ok(self.node(
            "Reshape",
            &[Some(x), Some(&target)],
            Vec::new(),
            out,
            x.0.data_type,
        ))
    }

    fn unflatten(&self, x: &Value, like: &Value, axes: usize) -> Result<Value> {
        let (from, model) = (&x.0.shape, &like.0.shape);
        ensure!(
            !from.is_empty() && axes >= 1 && axes <= model.len(),
            "unflatten: {} into {axes} axes of {}",
            display(from),
            display(model)
        );
        let shape: Vec<Dim> = model[..axes].iter().chain(&from[1..]).cloned().collect();
        let mut target = self.shape_of(like, 0, axes);
        if from.len() > 1 {
            let rest = self.shape_of(x, 1, from.len());
            target = self.node(
                "Concat",
                &[Some(&target), Some(&rest)],
                vec![Attribute::int("axis", 0)],
                vec![shape.len().into()],
                DataType::Int64,
            );
        }
        Ok(self.node(
            "Reshape",
            &[Some(x), Some(&target)],
            Vec::new(),
            shape,
            x.0.data_type,
        ))
    }

    fn unsqueeze(&self, x: &Value, axis: isize) -> Result<Value> {
        let axis = resolve(axis, x.0.shape.len() + 1)?;
        let mut shape = x.0.shape.clone();
        shape.insert(axis, Dim::Fixed(1));
        let axes = self.integers([axis as i64]);
        Ok(self.node(
            "Unsqueeze",
            &[Some(x), Some(&axes)],
            Vec::new(),
            shape,
            x.0.data_type,
        ))
    }

    fn squeeze(&self, x: &Value, axis: isize) -> Result<Value> {
        let axis = resolve(axis, x.0.shape.len())?;
        let mut shape = x.0.shape.clone();
        let gone = shape.remove(axis);
        ensure!(
            gone.agrees(&Dim::Fixed(1)),
            "squeeze: axis {axis} of {} is not 1",
            display(&x.0.shape)
        );
        let axes = self.integers([axis as i64]);
        Ok(self.node(
            "Squeeze",
            &[Some(x), Some(&axes)],
            Vec::new(),
            shape,
            x.0.data_type,
        ))
    }

    fn expand_as(&self, x: &Value, like: &Value) -> Result<Value> {
        let shape = like.0.shape.clone();
        broadcast(&x.0.shape, &shape).context("expand_as")?;
        let target = self.shape_of(like, 0, shape.len());
        Ok(self.node(
            "Expand",
            &[Some(x), Some(&target)],
            Vec::new(),
            shape,
            x.0.data_type,
        ))
    }

    fn unary(&self, x: &Value, function: Unary) -> Result<Value> {
        let op = match function {
            Unary::Relu => "Relu",
            Unary::LeakyRelu(slope) => {
                let attributes = vec![Attribute::float("alpha", slope)];
                return Ok(self.like("LeakyRelu", &[Some(x)], attributes));
            }
            // Gelu is an operator from opset 20 on only.
            Unary::Gelu => {
                let scaled = self.scale(x, std::f32::consts::FRAC_1_SQRT_2)?;
                let erf = self.like("Erf", &[Some(&scaled)], Vec::new());
                let gate = self.add(&erf, &self.scalar(1.0)?)?;
                return self.mul(&self.scale(x, 0.5)?, &gate);
            }
            Unary::Silu => {
                let gate = self.sigmoid(x)?;
                return self.mul(x, &gate);
            }
            Unary::Sigmoid => "Sigmoid",
            Unary::Tanh => "Tanh",
            Unary::Softplus => "Softplus",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sqrt => "Sqrt",
            Unary::Abs => "Abs",
            Unary::Neg => "Neg",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
        };
        Ok(self.like(op, &[Some(x)], Vec::new()))
    }

    fn binary(&self, a: &Value, b: &Value, function: Binary) -> Result<Value> {
        let op = match function {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Pow => "Pow",
            Binary::Max => "Max",
            Binary::Min => "Min",
        };
        let shape = broadcast(&a.0.shape, &b.0.shape).context(op)?;
        Ok(self.node(op, &[Some(a), Some(b)], Vec::new(), shape, DataType::Float))
    }

    fn compare(&self, a: &Value, b: &Value, comparison: Compare) -> Result<Value> {
        let op = match comparison {
            Compare::Greater => "Greater",
            Compare::GreaterOrEqual => "GreaterOrEqual",
            Compare::Less => "Less",
            Compare::LessOrEqual => "LessOrEqual",
            Compare::Equal => "Equal",
        };
        let shape = broadcast(&a.0.shape, &b.0.shape).context(op)?;
        Ok(self.node(op, &[Some(a), Some(b)], Vec::new(), shape, DataType::Bool))
    }

    fn select(&self, condition: &Value, yes: &Value, no: &Value) -> Result<Value> {
        ensure!(
            condition.0.data_type == DataType::Bool,
            "select: the condition is no comparison"
        );
        let shape = broadcast(&yes.0.shape, &no.0.shape).context("select")?;
        let shape = broadcast(&condition.0.shape, &shape).context("select")?;
        Ok(self.node(
            "Where",
            &[Some(condition), Some(yes), Some(no)],
            Vec::new(),
            shape,
            yes.0.data_type,
        ))
    }

    fn clamp(&self, x: &Value, low: f32, high: f32) -> Result<Value> {
        let (low, high) = (self.scalar(low)?, self.scalar(high)?);
        Ok(self.like("Clip", &[Some(x), Some(&low), Some(&high)], Vec::new()))
    }

    fn gru(&self, x: &Value, h: &Value, weights: &Gru<Value>) -> Result<(Value, Value)> {
        let (batch, hidden) = (x.0.shape.first(), self.size(h, -1)?);
        let fits = |weight: &Value, shape: &[usize]| -> Result<()> {
            let wanted: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
            ensure!(
                weight.0.shape == wanted,
                "gru: a weight is {}, not {}",
                display(&weight.0.shape),
                display(&wanted)
            );
            Ok(())
        };
        ensure!(
            x.0.shape.len() == 3
                && h.0.shape.len() == 2
                && batch.is_some_and(|b| b.agrees(&h.0.shape[0])),
            "gru: {} from the state {}",
            display(&x.0.shape),
            display(&h.0.shape)
        );
        fits(&weights.input, &[3 * hidden, self.size(x, -1)?])?;
        fits(&weights.recurrent, &[3 * hidden, hidden])?;
        fits(&weights.bias, &[6 * hidden])?;
        // ONNX counts time first, and the directions of the recurrence.
        let time_first = self.transpose(x, &[1, 0, 2])?;
        let state = self.unsqueeze(h, 0)?;
        let (w, r, b) = (
            self.unsqueeze(&weights.input, 0)?,
            self.unsqueeze(&weights.recurrent, 0)?,
            self.unsqueeze(&weights.bias, 0)?,
        );
        let (time, batch) = (x.0.shape[1].clone(), x.0.shape[0].clone());
        let outputs = self.nodes(
            "GRU",
            &[
                Some(&time_first),
                Some(&w),
                Some(&r),
                Some(&b),
                None,
                Some(&state),
            ],
            vec![
                Attribute::int("hidden_size", hidden as i64),
                Attribute::int("linear_before_reset", 1),
            ],
            vec![
                vec![time, Dim::Fixed(1), batch.clone(), Dim::Fixed(hidden)],
                vec![Dim::Fixed(1), batch, Dim::Fixed(hidden)],
            ],
            DataType::Float,
        );
        let [all, last] = outputs.as_slice() else {
            bail!("gru: two outputs were recorded as {}", outputs.len());
        };
        let all = self.transpose(&self.squeeze(all, 1)?, &[1, 0, 2])?;
        Ok((all, self.squeeze(last, 0)?))
    }

    fn dropout(&self, x: &Value, _probability: f32) -> Result<Value> {
        Ok(x.clone())
    }
}
