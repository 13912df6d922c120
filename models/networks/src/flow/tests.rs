// SPDX-License-Identifier: MPL-2.0
//! The networks are as published, and compute what they say.

use super::*;
use crate::onnx::{self, Recorded};
use crate::weights::Weights;

/// The network of a configuration of the training.
fn network(text: &str) -> Pwc {
    let config: toml::Table = toml::from_str(text).unwrap();
    config["task"]["network"].clone().try_into().unwrap()
}

fn published() -> Pwc {
    network(include_str!("../../../training/config/flow-pwc.toml"))
}

fn light() -> Pwc {
    network(include_str!("../../../training/config/flow-light.toml"))
}

fn record(network: &Pwc) -> Recorded {
    network.check().unwrap();
    onnx::record(network, Weights::Seeded(1)).unwrap()
}

#[test]
fn pwc_net_is_as_published() {
    let recorded = record(&published());
    assert_eq!(recorded.parameters, 9_374_274);
    let shape = |name: &str| -> Vec<i64> {
        let weights = &recorded.graph.initializer;
        weights
            .iter()
            .find(|w| w.name == name)
            .unwrap()
            .dims
            .clone()
    };
    for (name, dims) in [
        ("encoder.1.0.weight", vec![16, 3, 3, 3]),
        ("encoder.6.2.weight", vec![196, 196, 3, 3]),
        // Costs alone at the coarsest level; then features, two of flow and two handed down.
        ("decoder6.0.weight", vec![128, 81, 3, 3]),
        ("decoder5.0.weight", vec![128, 81 + 128 + 4, 3, 3]),
        ("decoder3.0.weight", vec![128, 81 + 64 + 4, 3, 3]),
        ("decoder2.0.weight", vec![128, 81 + 32 + 4, 3, 3]),
        ("decoder2.flow.weight", vec![2, 81 + 32 + 4 + 448, 3, 3]),
        ("decoder6.up_flow.weight", vec![2, 2, 4, 4]),
        ("decoder6.up_features.weight", vec![81 + 448, 2, 4, 4]),
        ("context.0.weight", vec![128, 565, 3, 3]),
        ("context.5.weight", vec![32, 64, 3, 3]),
    ] {
        assert_eq!(shape(name), dims, "{name}");
    }
    // A quarter of the resolution, also where 64 does not divide the size.
    for (width, height, at) in [(256, 256, [64, 64]), (1024, 436, [256, 109])] {
        let network = Pwc {
            width,
            height,
            ..published()
        };
        assert_eq!(network.output(width, height), at);
        let [flow, feature, map] = &network.outputs()[..] else {
            panic!("three outputs");
        };
        assert_eq!(flow.shape[2..], [at[1].into(), at[0].into()]);
        assert_eq!(feature.shape[1], 196.into());
        let coarsest = [width, height].map(|n: usize| n.div_ceil(64));
        assert_eq!(map.shape[2..], [coarsest[1].into(), coarsest[0].into()]);
    }
}

#[test]
fn the_light_network_is_light() {
    let recorded = record(&light());
    assert!(
        (350_000..600_000).contains(&recorded.parameters),
        "{}",
        recorded.parameters
    );
    assert_eq!(light().output(256, 256), [64, 64]);
    // Few nodes, and none that other runtimes read differently.
    assert!(
        recorded.graph.node.len() < 400,
        "{}",
        recorded.graph.node.len()
    );
    let shared = light().decoder.shared.unwrap();
    let costs = (2 * light().reach + 1).pow(2);
    assert_eq!((costs + shared.features + 2) % 16, 0);
    // The decoder is there once, whatever the level.
    let decoders = recorded
        .graph
        .initializer
        .iter()
        .filter(|w| w.name == "decoder.0.weight");
    assert_eq!(decoders.count(), 1);
}

#[test]
fn senseless_networks_are_refused() {
    for (wrong, word) in [
        (
            Pwc {
                width: 8,
                ..light()
            },
            "width",
        ),
        (
            Pwc {
                reach: 0,
                ..light()
            },
            "reach",
        ),
        (
            Pwc {
                finest: 6,
                ..light()
            },
            "finest",
        ),
        (
            Pwc {
                encoder: vec![vec![16], vec![]],
                ..light()
            },
            "encoder",
        ),
        (
            Pwc {
                name: "a/b".into(),
                ..light()
            },
            "name",
        ),
        (
            Pwc {
                context: vec![[0, 1]],
                ..light()
            },
            "context",
        ),
        (
            Pwc {
                decoder: Decoder {
                    dilations: vec![1],
                    ..light().decoder
                },
                ..light()
            },
            "dilations",
        ),
    ] {
        let error = wrong.check().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
