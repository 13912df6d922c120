//! The networks are as published, and compute what they say.

use super::*;
use crate::config;
use crate::flow::Settings;
use crate::onnx::{self, Recorded};
use crate::weights::Weights;

fn published() -> Pwc {
    let text = include_str!("../../../config/flow-pwc.toml");
    config::parse::<Settings>(text).unwrap().task.network
}

fn light() -> Pwc {
    let text = include_str!("../../../config/flow-light.toml");
    config::parse::<Settings>(text).unwrap().task.network
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
        let [flow, feature] = &network.outputs()[..] else {
            panic!("two outputs");
        };
        assert_eq!(flow.shape[2..], [at[1].into(), at[0].into()]);
        assert_eq!(feature.shape[1], 196.into());
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

#[cfg(feature = "libtorch")]
mod computed {
    use super::*;
    use crate::config::Precision;
    use crate::network::Array;
    use crate::torch::{Torch, Value, download};
    use ndarray::Array4;

    fn torch() -> Torch {
        Torch::new(tch::Device::Cpu, Precision::Float32, Weights::Seeded(1))
    }

    fn noise(seed: u64, shape: [usize; 4]) -> Array4<f32> {
        let mut rng = crate::weights::rng(seed, "noise");
        let values = crate::weights::normal(&mut rng, shape.iter().product());
        Array4::from_shape_vec(shape, values).unwrap()
    }

    fn tensor(torch: &Torch, array: &Array4<f32>) -> Value {
        torch.tensor(&Array::from(array.clone())).unwrap()
    }

    #[test]
    fn costs_are_means_of_products_with_displaced_features() {
        let (batch, channels, height, width) = (2, 5, 6, 9);
        let shape = [batch, channels, height, width];
        let (a, b) = (noise(1, shape), noise(2, shape));
        for reach in [1, 3] {
            let torch = torch();
            let found = cost_volume(&torch, &tensor(&torch, &a), &tensor(&torch, &b), reach);
            let found = download(&found.unwrap()).unwrap();
            let n = 2 * reach + 1;
            assert_eq!(found.shape(), [batch, n * n, height, width]);
            for (at, value) in found.indexed_iter() {
                let (dy, dx) = (at[1] / n, at[1] % n);
                let (y, x) = (at[2] + dy, at[3] + dx);
                let inside = y >= reach && x >= reach;
                let mut sum = 0.0;
                for c in 0..channels {
                    let there = inside
                        .then(|| b.get([at[0], c, y - reach, x - reach]))
                        .flatten();
                    sum += a[[at[0], c, at[2], at[3]]] * there.copied().unwrap_or(0.0);
                }
                let right = sum / channels as f32;
                assert!((value - right).abs() < 1e-5, "{at:?}: {value} {right}");
            }
        }
    }

    #[test]
    fn warping_reads_where_the_flow_leads() {
        let torch = torch();
        let x = noise(3, [1, 2, 5, 7]);
        let flow = Array4::from_shape_fn((1, 2, 5, 7), |(_, axis, _, _)| [2.0, -1.0][axis]);
        let found = warp(&torch, &tensor(&torch, &x), &tensor(&torch, &flow), 0.5).unwrap();
        let found = download(&found).unwrap();
        // One pixel to the right, half a pixel up.
        for (y, x0) in [(1, 0), (3, 4), (4, 5)] {
            let right = (x[[0, 1, y, x0 + 1]] + x[[0, 1, y - 1, x0 + 1]]) / 2.0;
            assert!((found[[0, 1, y, x0]] - right).abs() < 1e-5);
        }
        assert_eq!(found[[0, 0, 2, 6]], 0.0);
    }
}
