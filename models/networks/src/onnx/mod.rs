// SPDX-License-Identifier: MPL-2.0
//! Networks as ONNX files.

pub mod convert;
mod emit;
pub mod proto;

pub use emit::{Emit, Recorded, Value};

use crate::layers::Scope;
use crate::network::{Network, check_outputs};
use crate::weights::Weights;
use anyhow::{Context, Result};
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
