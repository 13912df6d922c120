// SPDX-License-Identifier: MPL-2.0
//! The two interpreters give the same numbers: ONNX Runtime runs what `Emit` wrote, LibTorch runs
//! the same definition, on random weights and inputs, with two batch sizes and lengths.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]
#![cfg(feature = "libtorch")]

mod common;

use anyhow::Result;
use common::{Visitor, extents, inputs, visit};
use dance_networks::layers::Scope;
use dance_networks::mudar::{DanceTower, Joint, MusicTower, RhythmHead};
use dance_networks::network::{Array, Network, check_outputs};
use dance_networks::onnx;
use dance_networks::ops::Ops;
use dance_networks::selftest::Small;
use dance_networks::weights::{self, Stored, Weights};
use dance_training::config::{self, Precision};
use dance_training::dabgen;
use dance_training::flow::Settings;
use dance_training::mudar;
use dance_training::runtime::{self, Difference, Graph};
use dance_training::torch::{Torch, download};
use ndarray::ArrayD;
use std::collections::BTreeMap;
use tch::Device;

const SEED: u64 = 5;

fn torch<N: Network>(
    network: &N,
    precision: Precision,
    inputs: &BTreeMap<String, Array>,
) -> Result<BTreeMap<String, ArrayD<f32>>> {
    let torch = Torch::new(Device::Cpu, precision, Weights::Seeded(SEED));
    let values = network
        .inputs()
        .iter()
        .map(|port| torch.tensor(&inputs[&port.name]))
        .collect::<Result<Vec<_>>>()?;
    let outputs = network.forward(&Scope::root(&torch), &values)?;
    check_outputs(&torch, &network.outputs(), &outputs)?;
    network
        .outputs()
        .iter()
        .zip(&outputs)
        .map(|(port, output)| Ok((port.name.clone(), download(output)?)))
        .collect()
}

fn parity<N: Network>(network: &N) -> Result<Difference> {
    let recorded = onnx::record(network, Weights::Seeded(SEED))?;
    let mut graph = Graph::load(&onnx::encode(&recorded.graph, &BTreeMap::new()))?;
    let mut worst = Difference::default();
    for extents in extents() {
        let inputs = inputs(network, &extents);
        let reference = torch(network, Precision::Float32, &inputs)?;
        let difference = runtime::compare(&reference, &graph.run(&inputs)?)?;
        worst.max = worst.max.max(difference.max);
        worst.relative = worst.relative.max(difference.relative);
    }
    Ok(worst)
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn every_operation_is_the_same_in_both() {
    struct Compare(Vec<String>);
    impl Visitor for &mut Compare {
        fn visit<N: Network>(&mut self, network: &N) {
            let name = network.name();
            let bar = if name.starts_with("network") {
                1e-4
            } else {
                1e-5
            };
            let found = parity(network).map(|difference| difference.max);
            if let Ok(max) = &found {
                println!("{name}: {max:.1e}");
            }
            // What is no number is no success, either.
            if !found.as_ref().is_ok_and(|max| *max <= bar) {
                self.0.push(format!("{name}: {found:?}"));
            }
        }
    }
    let mut compare = Compare(Vec::new());
    visit(&mut compare);
    assert!(compare.0.is_empty(), "{}", compare.0.join("\n"));
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn the_selftest_network_is_the_same_in_both() {
    let difference = parity(&Small {
        channels: 8,
        hidden: 16,
    })
    .unwrap();
    println!("selftest: {:.1e}", difference.max);
    assert!(difference.max <= 1e-4, "{difference:?}");
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn the_networks_of_optical_flow_are_the_same_in_both() {
    for (text, size) in [
        (include_str!("../config/flow-light.toml"), [256, 256]),
        // Sizes that the levels do not divide.
        (include_str!("../config/flow-light.toml"), [90, 70]),
        (include_str!("../config/flow-pwc.toml"), [100, 72]),
    ] {
        let mut network = config::parse::<Settings>(text).unwrap().task.network;
        [network.width, network.height] = size;
        let difference = parity(&network).unwrap();
        println!("{} at {size:?}: {:.1e}", network.name, difference.max);
        assert!(difference.max <= 1e-4, "{}: {difference:?}", network.name);
    }
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn the_joint_network_is_the_same_in_both() {
    let text = include_str!("../config/mudar.toml");
    let config = config::parse::<mudar::task::Settings>(text).unwrap();
    let mut size = config.task.network;
    for injector in [true, false] {
        size.injector = injector;
        for difference in [
            parity(&MusicTower(size.clone())),
            parity(&DanceTower(size.clone())),
            parity(&RhythmHead(size.clone())),
            parity(&Joint(size.clone())),
        ] {
            let difference = difference.unwrap();
            println!("joint network: {:.1e}", difference.max);
            assert!(difference.max <= 1e-4, "{difference:?}");
        }
    }
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn the_network_of_dance_motion_is_the_same_in_both() {
    let text = include_str!("../config/dabgen-motion.toml");
    let network = config::parse::<dabgen::Settings>(text)
        .unwrap()
        .task
        .network;
    // Before training its last layers are silent: with these weights they are not.
    let extents = BTreeMap::from([("batch".to_owned(), 2)]);
    let inputs = inputs(&network, &extents);
    let torch = Torch::new(Device::Cpu, Precision::Float32, Weights::Seeded(SEED));
    let values: Vec<_> = network
        .inputs()
        .iter()
        .map(|port| torch.tensor(&inputs[&port.name]).unwrap())
        .collect();
    network.forward(&Scope::root(&torch), &values).unwrap();
    let stored: Stored = torch
        .weights()
        .iter()
        .map(|(path, weight)| {
            let mut array = download(weight).unwrap();
            let mut rng = weights::rng(SEED, path);
            for (x, by) in array
                .iter_mut()
                .zip(weights::normal(&mut rng, weight.numel()))
            {
                *x += 0.02 * by;
            }
            (path.clone(), array)
        })
        .collect();
    let torch = Torch::new(
        Device::Cpu,
        Precision::Float32,
        Weights::Stored(stored.clone()),
    );
    let outputs = network.forward(&Scope::root(&torch), &values).unwrap();
    check_outputs(&torch, &network.outputs(), &outputs).unwrap();
    let reference: BTreeMap<String, ArrayD<f32>> = network
        .outputs()
        .iter()
        .zip(&outputs)
        .map(|(port, output)| (port.name.clone(), download(output).unwrap()))
        .collect();
    assert!(reference.values().all(|y| y.iter().any(|x| x.abs() > 0.01)));
    let recorded = onnx::record(&network, Weights::Stored(stored)).unwrap();
    let mut graph = Graph::load(&onnx::encode(&recorded.graph, &BTreeMap::new())).unwrap();
    let difference = runtime::compare(&reference, &graph.run(&inputs).unwrap()).unwrap();
    println!("{}: {:.1e}", network.name(), difference.max);
    assert!(difference.max <= 1e-4, "{difference:?}");
}

#[test]
fn bfloat16_is_near_and_not_the_same() {
    struct Compare;
    impl Visitor for Compare {
        fn visit<N: Network>(&mut self, network: &N) {
            if !network.name().starts_with("network") {
                return;
            }
            let inputs = inputs(network, &extents()[1]);
            let reference = torch(network, Precision::Float32, &inputs).unwrap();
            let narrow = torch(network, Precision::Bfloat16, &inputs).unwrap();
            let difference = runtime::compare(&reference, &narrow).unwrap();
            assert!(
                difference.relative > 1e-5 && difference.relative < 0.03,
                "{}: {difference:?}",
                network.name()
            );
        }
    }
    visit(Compare);
}

#[test]
fn gradients_reach_every_weight() {
    struct Check;
    impl Visitor for Check {
        fn visit<N: Network>(&mut self, network: &N) {
            let torch = Torch::new(Device::Cpu, Precision::Float32, Weights::Seeded(SEED));
            let inputs = inputs(network, &extents()[1]);
            let values: Vec<_> = network
                .inputs()
                .iter()
                .map(|port| torch.tensor(&inputs[&port.name]).unwrap())
                .collect();
            let mut loss = torch.scalar(0.0).unwrap();
            for y in network.forward(&Scope::root(&torch), &values).unwrap() {
                let square = torch.mul(&y, &torch.tanh(&y).unwrap()).unwrap();
                loss = torch
                    .add(&loss, &torch.mean_all(&square).unwrap_or(square))
                    .unwrap();
            }
            if torch.weights().is_empty() {
                return;
            }
            loss.backward();
            for (path, weight) in torch.weights() {
                let gradient = weight.grad();
                assert!(gradient.defined(), "{} {path}", network.name());
                assert!(
                    download(&gradient).unwrap().iter().any(|x| *x != 0.0),
                    "{} {path} has no gradient",
                    network.name()
                );
            }
        }
    }
    visit(Check);
}
