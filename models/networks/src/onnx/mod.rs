// SPDX-License-Identifier: MPL-2.0
//! Networks as ONNX files.

pub mod convert;
mod emit;
pub mod proto;

pub use emit::{Emit, Recorded, Value};

use crate::layers::Scope;
use crate::network::{Network, check_outputs};
use crate::weights::{Stored, Weights};
use anyhow::{Context, Result};
use ndarray::{ArrayD, IxDyn};
use prost::Message;
use std::collections::BTreeMap;

/// Records a network with the given weights.
///
/// # Errors
/// When a weight is missing, shapes do not fit, or an output is not what the network promises.
pub fn record<N: Network>(network: &N, weights: Weights) -> Result<Recorded> {
    let emit = Emit::new(weights);
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let values: Vec<Value> = inputs
        .iter()
        .map(|port| emit.input(port))
        .collect::<Result<_>>()?;
    let results = network
        .forward(&Scope::root(&emit), &values)
        .with_context(|| format!("network {}", network.name()))?;
    check_outputs(&emit, &outputs, &results)?;
    for (port, value) in outputs.iter().zip(&results) {
        emit.output(port, value)?;
    }
    Ok(emit.finish(network.name()))
}

/// The float32 constants of an exported graph by name: its weights are among them, by their paths.
///
/// # Errors
/// When the bytes are no ONNX file, or a constant does not have its own size.
pub fn weights(model: &[u8]) -> Result<Stored> {
    let model = proto::Model::decode(model).context("no ONNX file")?;
    let graph = model.graph.context("an ONNX file without a graph")?;
    let mut stored = Stored::new();
    for tensor in &graph.initializer {
        if tensor.data_type != proto::DataType::Float as i32 {
            continue;
        }
        let shape = tensor
            .dims
            .iter()
            .map(|&n| Ok(usize::try_from(n)?))
            .collect::<Result<Vec<usize>>>()?;
        let values = ArrayD::from_shape_vec(IxDyn(&shape), tensor.to_float32())
            .with_context(|| tensor.name.clone())?;
        stored.insert(tensor.name.clone(), values);
    }
    Ok(stored)
}

/// The bytes of an ONNX file.
pub fn encode(graph: &proto::Graph, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    proto::Model {
        ir_version: proto::IR_VERSION,
        producer_name: "gst-plugins-dance".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: String::new(),
        graph: Some(graph.clone()),
        opset_import: vec![proto::OperatorSet {
            domain: String::new(),
            version: proto::OPSET,
        }],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| proto::Entry {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
    }
    .encode_to_vec()
}
