// SPDX-License-Identifier: MPL-2.0
//! Smaller numbers: float16, and int8 between QuantizeLinear and DequantizeLinear.

use super::Recorded;
use super::proto::{Attribute, DataType, Graph, Node, Tensor};
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// The smallest and largest value where an activation enters a product.
pub type Ranges = BTreeMap<String, (f32, f32)>;

/// What stays in float32 in a float16 graph: GridSample's coordinates need it, and sums of many
/// terms or of powers leave the range or the precision of float16.
const FLOAT32_ONLY: &[&str] = &[
    "Erf",
    "Exp",
    "GRU",
    "GridSample",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "Pow",
    "ReduceMean",
    "ReduceSum",
    "Resize",
    "Softmax",
    "Softplus",
    "Sqrt",
];

/// The graph in float16. Its inputs and outputs stay float32, as do the operations that need it.
///
/// # Errors
/// When a weight is beyond the range of float16.
pub fn float16(recorded: &Recorded) -> Result<Graph> {
    let Recorded { graph, types, .. } = recorded;
    let is_float = |name: &str| types.get(name) == Some(&DataType::Float);
    let mut out = Graph {
        name: graph.name.clone(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        ..Graph::default()
    };
    let mut casts = Casts::default();
    let initializers: BTreeMap<&str, &Tensor> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let mut added = BTreeSet::new();
    for node in &graph.node {
        let output =
            node.op_type == "Identity" && graph.output.iter().any(|o| node.output[0] == o.name);
        let wide = output || FLOAT32_ONLY.contains(&node.op_type.as_str());
        let mut node = node.clone();
        for input in &mut node.input {
            if !is_float(input) {
                if let Some(tensor) = initializers.get(input.as_str())
                    && added.insert(input.clone())
                {
                    out.initializer.push((*tensor).clone());
                }
            } else if let Some(tensor) = initializers.get(input.as_str()) {
                if wide {
                    *input = format!("{input}.float32");
                    if added.insert(input.clone()) {
                        let mut tensor = (*tensor).clone();
                        tensor.name.clone_from(input);
                        out.initializer.push(tensor);
                    }
                } else if added.insert(input.clone()) {
                    out.initializer.push(half(tensor)?);
                }
            } else {
                let from_input = graph.input.iter().any(|i| i.name == *input);
                if wide && !from_input {
                    *input = casts.add(&mut out.node, input, DataType::Float);
                } else if !wide && from_input {
                    *input = casts.add(&mut out.node, input, DataType::Float16);
                }
            }
        }
        let mut after = Vec::new();
        if wide && !output {
            for name in &mut node.output {
                if is_float(name) {
                    let narrow = std::mem::replace(name, format!("{name}.wide"));
                    after.push(cast(name, &narrow, DataType::Float16));
                }
            }
        }
        out.node.push(node);
        out.node.extend(after);
    }
    Ok(out)
}

#[derive(Default)]
struct Casts(BTreeSet<String>);

impl Casts {
    fn add(&mut self, nodes: &mut Vec<Node>, from: &str, to: DataType) -> String {
        let name = match to {
            DataType::Float16 => format!("{from}.float16"),
            _ => format!("{from}.float32"),
        };
        if self.0.insert(name.clone()) {
            nodes.push(cast(from, &name, to));
        }
        name
    }
}

fn cast(from: &str, to: &str, data_type: DataType) -> Node {
    Node {
        input: vec![from.into()],
        output: vec![to.into()],
        name: format!("Cast_{to}"),
        op_type: "Cast".into(),
        attribute: vec![Attribute::int("to", data_type as i64)],
    }
}

/// Weights with fewer elements are not worth a cast.
const SMALL: usize = 1_024;

/// The graph with its large weights stored as float16 and everything computed in float32: half the
/// file, and as fast as before, as ONNX Runtime casts the weights once when it loads them.
///
/// # Errors
/// When a weight is beyond the range of float16.
pub fn float16_weights(recorded: &Recorded) -> Result<Graph> {
    let mut graph = recorded.graph.clone();
    let mut casts = Vec::new();
    for tensor in &mut graph.initializer {
        let count: i64 = tensor.dims.iter().product();
        if tensor.data_type == DataType::Float as i32 && count as usize >= SMALL {
            let name = tensor.name.clone();
            *tensor = half(tensor)?;
            tensor.name = format!("{name}.float16");
            casts.push(cast(&tensor.name, &name, DataType::Float));
        }
    }
    casts.append(&mut graph.node);
    graph.node = casts;
    Ok(graph)
}

fn half(tensor: &Tensor) -> Result<Tensor> {
    let values = tensor.to_float32();
    for value in &values {
        ensure!(
            !value.is_finite() || value.abs() <= f32::from(half::f16::MAX),
            "{value} in {} is beyond the range of float16",
            tensor.name
        );
    }
    let shape: Vec<usize> = tensor.dims.iter().map(|&n| n as usize).collect();
    Ok(Tensor::new(
        &tensor.name,
        &shape,
        DataType::Float16,
        values,
        |x| half::f16::from_f32(x).to_le_bytes(),
    ))
}

/// The activations that enter a product with a weight: those whose ranges [`int8`] wants to know.
pub fn activations(recorded: &Recorded) -> BTreeSet<String> {
    let weights = quantisable(recorded);
    let products = recorded.graph.node.iter().filter(|node| {
        node.input
            .get(1)
            .is_some_and(|weight| weights.contains_key(&(node.op_type.clone(), weight.clone())))
    });
    products.map(|node| node.input[0].clone()).collect()
}

/// The graph with these values as further outputs.
pub fn with_outputs(recorded: &Recorded, names: &BTreeSet<String>) -> Graph {
    let mut graph = recorded.graph.clone();
    for name in names {
        let named = |values: &[super::proto::ValueInfo]| values.iter().any(|v| v.name == *name);
        if !named(&graph.output) && !named(&graph.input) {
            graph.output.push(super::proto::ValueInfo {
                name: name.clone(),
                r#type: Some(super::proto::Type {
                    tensor: Some(super::proto::TensorType {
                        elem_type: DataType::Float as i32,
                        shape: None,
                    }),
                }),
                doc_string: String::new(),
            });
        }
    }
    graph
}

/// The weights of convolutions and matrix products by (operation, name), with the axis of their
/// output channels.
fn quantisable(recorded: &Recorded) -> BTreeMap<(String, String), usize> {
    let tensors: BTreeMap<&str, &Tensor> = recorded
        .graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let mut found = BTreeMap::new();
    for node in &recorded.graph.node {
        let axis = match node.op_type.as_str() {
            "Conv" => 0,
            "MatMul" => 1,
            _ => continue,
        };
        if let Some(tensor) = node
            .input
            .get(1)
            .and_then(|name| tensors.get(name.as_str()))
            && (axis == 0 || tensor.dims.len() == 2)
        {
            found.insert((node.op_type.clone(), tensor.name.clone()), axis);
        }
    }
    found
}

/// The graph with int8 weights, symmetric for each output channel, and with uint8 activations,
/// asymmetric, where their range is known (Jacob et al. 2018, §2). Convolutions and matrix products
/// are quantised; recurrences and transposed convolutions stay float32.
///
/// # Errors
/// When a weight is not finite.
pub fn int8(recorded: &Recorded, ranges: &Ranges) -> Result<Graph> {
    let weights = quantisable(recorded);
    let mut graph = recorded.graph.clone();
    let tensors: BTreeMap<String, Tensor> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.clone(), tensor.clone()))
        .collect();
    let mut nodes = Vec::new();
    let mut made = BTreeSet::new();
    for mut node in std::mem::take(&mut graph.node) {
        let key = (
            node.op_type.clone(),
            node.input.get(1).cloned().unwrap_or_default(),
        );
        let Some(&axis) = weights.get(&key) else {
            nodes.push(node);
            continue;
        };
        let weight = &tensors[&key.1];
        let (quantised, scales) = symmetric(weight, axis)?;
        node.input[1] = format!("{}.dequantized", weight.name);
        if made.insert(node.input[1].clone()) {
            let zeros = Tensor::new(
                &format!("{}.zero", weight.name),
                &[scales.len()],
                DataType::Int8,
                vec![0i8; scales.len()],
                |x| x.to_le_bytes(),
            );
            let scale = Tensor::float32(
                &format!("{}.scale", weight.name),
                &[scales.len()],
                scales.iter().copied(),
            );
            nodes.push(linear(
                "DequantizeLinear",
                [&quantised.name, &scale.name, &zeros.name],
                &node.input[1],
                Some(axis),
            ));
            graph.initializer.extend([quantised, scale, zeros]);
        }
        if let Some(&(low, high)) = ranges.get(&node.input[0]) {
            let activation = node.input[0].clone();
            let (step, zero) = asymmetric(low, high);
            node.input[0] = format!("{activation}.dequantized");
            if made.insert(node.input[0].clone()) {
                let scale = Tensor::float32(&format!("{activation}.scale"), &[], [step]);
                let zero = Tensor::new(
                    &format!("{activation}.zero"),
                    &[],
                    DataType::Uint8,
                    [zero],
                    |x| x.to_le_bytes(),
                );
                let quantised = format!("{activation}.quantized");
                nodes.push(linear(
                    "QuantizeLinear",
                    [&activation, &scale.name, &zero.name],
                    &quantised,
                    None,
                ));
                nodes.push(linear(
                    "DequantizeLinear",
                    [&quantised, &scale.name, &zero.name],
                    &node.input[0],
                    None,
                ));
                graph.initializer.extend([scale, zero]);
            }
            // An integer kernel adds its bias to the accumulator, whose step is the product of
            // both steps.
            if let Some(bias) = node.input.get(2).and_then(|name| tensors.get(name)) {
                let name = format!("{}.{activation}", bias.name);
                let steps: Vec<f32> = scales.iter().map(|s| s * step).collect();
                let values = bias.to_float32();
                let values = values
                    .iter()
                    .zip(&steps)
                    .map(|(b, s)| (b / s).round() as i32);
                let quantised = Tensor::new(
                    &format!("{name}.quantized"),
                    &[steps.len()],
                    DataType::Int32,
                    values,
                    |x| x.to_le_bytes(),
                );
                node.input[2] = format!("{name}.dequantized");
                if made.insert(node.input[2].clone()) {
                    let n = steps.len();
                    let scale = Tensor::float32(&format!("{name}.scale"), &[n], steps);
                    let zero = Tensor::new(
                        &format!("{name}.zero"),
                        &[n],
                        DataType::Int32,
                        vec![0i32; n],
                        |x| x.to_le_bytes(),
                    );
                    nodes.push(linear(
                        "DequantizeLinear",
                        [&quantised.name, &scale.name, &zero.name],
                        &node.input[2],
                        Some(0),
                    ));
                    graph.initializer.extend([quantised, scale, zero]);
                }
            }
        }
        nodes.push(node);
    }
    graph.node = nodes;
    let used: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph
        .initializer
        .retain(|tensor| used.contains(&tensor.name));
    Ok(graph)
}

fn linear(op: &str, inputs: [&str; 3], output: &str, axis: Option<usize>) -> Node {
    Node {
        input: inputs.iter().map(|name| name.to_string()).collect(),
        output: vec![output.into()],
        name: format!("{op}_{output}"),
        op_type: op.into(),
        attribute: axis
            .map(|axis| Attribute::int("axis", axis as i64))
            .into_iter()
            .collect(),
    }
}

/// The weight in steps of its channels' own size, in ±127, and those steps.
fn symmetric(weight: &Tensor, axis: usize) -> Result<(Tensor, Vec<f32>)> {
    let shape: Vec<usize> = weight.dims.iter().map(|&n| n as usize).collect();
    let values = weight.to_float32();
    let inner: usize = shape[axis + 1..].iter().product();
    let channel = |i: usize| i / inner % shape[axis];
    let mut scales = vec![0f32; shape[axis]];
    for (i, value) in values.iter().enumerate() {
        ensure!(
            value.is_finite(),
            "{} holds {value}, which has no int8",
            weight.name
        );
        let scale = &mut scales[channel(i)];
        *scale = scale.max(value.abs());
    }
    for scale in &mut scales {
        *scale = if *scale > 0.0 { *scale / 127.0 } else { 1.0 };
    }
    let steps = values
        .iter()
        .enumerate()
        .map(|(i, x)| (x / scales[channel(i)]).round().clamp(-127.0, 127.0) as i8);
    let quantised = Tensor::new(
        &format!("{}.quantized", weight.name),
        &shape,
        DataType::Int8,
        steps,
        |x| x.to_le_bytes(),
    );
    Ok((quantised, scales))
}

/// The step and the zero point of uint8 over a range, which is widened to hold zero: padding must
/// stay exact.
fn asymmetric(low: f32, high: f32) -> (f32, u8) {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let step = if high > low {
        (high - low) / 255.0
    } else {
        1.0
    };
    (step, (-low / step).round().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_of_a_weight_has_its_own_step() {
        let weight = Tensor::float32("w", &[2, 2], [1.0, 100.0, -0.5, 0.0]);
        let (quantised, scales) = symmetric(&weight, 1).unwrap();
        assert_eq!(scales, [1.0 / 127.0, 100.0 / 127.0]);
        // -63.5 rounds away from zero.
        assert_eq!(quantised.raw_data, [127i8, 127, -64, 0].map(|x| x as u8));
        let (_, scales) = symmetric(&weight, 0).unwrap();
        assert_eq!(scales, [100.0 / 127.0, 0.5 / 127.0]);
        assert!(symmetric(&Tensor::float32("w", &[1, 1], [f32::NAN]), 0).is_err());
    }

    #[test]
    fn zero_is_exact_among_activations() {
        assert_eq!(asymmetric(0.0, 2.55), (0.01, 0));
        assert_eq!(asymmetric(1.0, 2.55), (0.01, 0));
        assert_eq!(asymmetric(-1.275, 1.275).1, 128);
        assert_eq!(asymmetric(0.0, 0.0), (1.0, 0));
    }

    #[test]
    fn a_weight_beyond_float16_is_an_error() {
        let error = half(&Tensor::float32("w", &[1], [7e4])).unwrap_err();
        assert!(error.to_string().contains("70000 in w"), "{error}");
    }
}
