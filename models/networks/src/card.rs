// SPDX-License-Identifier: MPL-2.0
//! The model card of a network, and its ONNX file with the card inside.

use crate::network::{Element, Network, Port, Role};
use crate::onnx;
use crate::ops::Dim;
use crate::weights::Weights;
use anyhow::{Result, ensure};
use dance_inference::card::{self, Axis, Card, METADATA_KEY};
use std::collections::BTreeMap;

fn card_port(port: &Port, state: Option<String>) -> card::Port {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    card::Port {
        name: port.name.clone(),
        element: match port.element {
            Element::Float32 => "float32".into(),
            Element::Int64 { .. } => "int64".into(),
        },
        shape: port
            .shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(n) => Axis::Fixed(*n),
                symbol => Axis::Symbol(symbol.to_string()),
            })
            .collect(),
        state,
        unit: text(&port.unit),
        normalisation: text(&port.normalisation),
        description: None,
    }
}

/// The run-time part of a network's card.
///
/// # Errors
/// When its states among inputs and outputs do not pair.
pub fn card<N: Network>(network: &N, version: &str) -> Result<Card> {
    let (inputs, outputs, about) = (network.inputs(), network.outputs(), network.about());
    let is_state = |port: &&Port| port.role == Role::State;
    let next: Vec<&Port> = outputs.iter().filter(is_state).collect();
    let states: Vec<&Port> = inputs.iter().filter(is_state).collect();
    ensure!(
        states.len() == next.len() && states.iter().zip(&next).all(|(a, b)| a.shape == b.shape),
        "network {}: the states among its inputs and outputs do not pair",
        network.name()
    );
    let mut next = next.into_iter();
    let inputs = inputs
        .iter()
        .map(|port| {
            let state = (port.role == Role::State)
                .then(|| next.next().map(|port| port.name.clone()))
                .flatten();
            card_port(port, state)
        })
        .collect();
    Ok(Card {
        name: network.name().into(),
        version: version.into(),
        task: about.task,
        description: about.description,
        sha256: None,
        licence: None,
        frame_rate: about.frame_rate,
        labels: about.labels,
        parameters: about.parameters,
        inputs,
        outputs: outputs.iter().map(|port| card_port(port, None)).collect(),
        training: toml::Table::new(),
        figures: toml::Table::new(),
    })
}

/// The bytes of a network's file, its card inside.
///
/// # Errors
/// As [`card`] and [`onnx::record`].
pub fn model<N: Network>(network: &N, weights: Weights) -> Result<Vec<u8>> {
    let recorded = onnx::record(network, weights)?;
    file(&recorded.graph, &card(network, "test")?)
}

/// The bytes of a graph's file, its card inside.
///
/// # Errors
/// When the card is not writable as TOML.
pub fn file(graph: &onnx::proto::Graph, card: &Card) -> Result<Vec<u8>> {
    let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), toml::to_string(card)?)]);
    Ok(onnx::encode(graph, &metadata))
}
