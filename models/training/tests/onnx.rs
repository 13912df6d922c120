// SPDX-License-Identifier: MPL-2.0
//! What `Emit` writes: its form here, what it computes in ONNX Runtime.
//!
//! The tests that need ONNX Runtime are ignored without it; `models/training/parity.sh` gets it and
//! runs them.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod common;

use anyhow::{Context, ensure};
use common::{Visitor, extents, inputs, visit};
use dance_networks::card;
use dance_networks::layers::Scope;
use dance_networks::network::{Array, Network, Port};
use dance_networks::onnx::{self, Emit, convert, proto};
use dance_networks::ops::{Conv, Dim, Gru, Init, Ops, Outside};
use dance_networks::selftest::Small;
use dance_networks::weights::{Stored, Weights};
use dance_training::export::Numbers;
use dance_training::runtime::{self, Graph};
use ndarray::{ArrayD, Axis, IxDyn, Slice};
use prost::Message;
use std::collections::BTreeMap;

const SMALL: Small = Small {
    channels: 8,
    hidden: 6,
};

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
}

#[test]
fn a_file_says_what_it_is() {
    let bytes = card::model(&SMALL, Weights::Seeded(1)).unwrap();
    let model = proto::Model::decode(bytes.as_slice()).unwrap();
    assert_eq!(model.ir_version, 8);
    assert_eq!(model.opset_import[0].version, 18);
    let graph = model.graph.unwrap();
    let names: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    for name in ["conv.weight", "conv.bias", "gru.recurrent", "head.weight"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let shape = |value: &proto::ValueInfo| -> Vec<proto::Extent> {
        let tensor = value.r#type.as_ref().unwrap().tensor.as_ref().unwrap();
        let dims = &tensor.shape.as_ref().unwrap().dim;
        dims.iter().map(|d| d.extent.clone().unwrap()).collect()
    };
    use proto::Extent::{Param, Value};
    assert_eq!(
        shape(&graph.input[0]),
        [Param("batch".into()), Value(1), Param("time".into())]
    );
    assert_eq!(
        shape(&graph.output[0]),
        [Param("batch".into()), Param("time".into())]
    );
    let entry = &model.metadata_props[0];
    assert_eq!(entry.key, dance_inference::METADATA_KEY);
    let card: dance_inference::Card = toml::from_str(&entry.value).unwrap();
    assert_eq!(card.inputs[2].state.as_deref(), Some("hidden_next"));
    assert_eq!(card.sha256, None);
    // The same seed gives the same file.
    assert_eq!(bytes, card::model(&SMALL, Weights::Seeded(1)).unwrap());
    assert_ne!(bytes, card::model(&SMALL, Weights::Seeded(2)).unwrap());
}

#[test]
fn causal_convolutions_keep_the_name_of_time() {
    let g = Emit::new(Weights::Seeded(0));
    let dims = |dims: &[&str]| -> Vec<Dim> {
        dims.iter()
            .map(|d| {
                d.parse::<usize>()
                    .map_or_else(|_| Dim::symbol(*d), Dim::from)
            })
            .collect()
    };
    let x = g
        .input(&Port::signal("x", &dims(&["batch", "2", "time"]), ""))
        .unwrap();
    let past = g
        .input(&Port::state("past", &dims(&["batch", "2", "4"])))
        .unwrap();
    let scope = Scope::root(&g);
    let y = g.concat(&[&past, &x], -1).unwrap();
    assert_eq!(g.shape(&y)[2].to_string(), "time+4");
    let geometry = Conv {
        dilation: 2.into(),
        ..Conv::default()
    };
    let y = scope.conv(&y, 3, &[3], &geometry).unwrap();
    assert_eq!(g.shape(&y), dims(&["batch", "3", "time"]));
    let y = g
        .reshape(&g.transpose(&y, &[0, 2, 1]).unwrap(), &[-1, 3])
        .unwrap();
    assert_eq!(g.shape(&y)[0].to_string(), "batch*time");
    let y = g
        .unflatten(&y, &g.transpose(&x, &[0, 2, 1]).unwrap(), 2)
        .unwrap();
    assert_eq!(g.shape(&y), dims(&["batch", "time", "3"]));
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let g = Emit::new(Weights::Seeded(0));
    let input = |name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        g.input(&Port::signal(name, &shape, "")).unwrap()
    };
    let x = input("x", &[2, 4, 5]);
    let kernel = input("kernel", &[6, 3, 3]);
    let vector = input("vector", &[3]);
    let wide = input("wide", &[6, 4, 9]);
    let fails = |result: anyhow::Result<onnx::Value>, word: &str| {
        let error = format!("{:#}", result.err().unwrap());
        assert!(error.contains(word), "{error}");
    };
    fails(g.conv(&x, &kernel, None, &Conv::default()), "conv");
    fails(g.conv(&x, &wide, None, &Conv::default()), "larger");
    fails(g.add(&x, &vector), "[2, 4, 5] and [3]");
    fails(g.matmul(&x, &kernel), "matmul");
    fails(g.reshape(&x, &[0, 7]), "reshape");
    fails(g.reshape(&x, &[-1, 7]), "reshape");
    fails(g.group_norm(&x, 3, &vector, &vector, 1e-5), "group_norm");
    fails(g.layer_norm(&x, &vector, &vector, 1e-5), "layer_norm");
    fails(g.slice(&x, 1, 3, Some(2)), "slice");
    fails(g.transpose(&x, &[0, 1, 1]), "transpose");
    fails(g.gather(&x, &x, 0), "integers");
    fails(g.squeeze(&x, 0), "squeeze");
    fails(g.concat(&[&x, &kernel], 0), "concat");
    fails(g.softmax(&x, 3), "axis 3");
    fails(g.grid_sample(&x, &x, Outside::Zeros, true), "grid_sample");
    fails(g.weight("w", &[0], Init::ZEROS), "no elements");
    g.weight("w", &[2], Init::ZEROS).unwrap();
    fails(g.weight("w", &[3], Init::ZEROS), "weight w");
    fails(g.weight("x", &[2], Init::ZEROS), "name of an input");
    assert!(g.input(&Port::signal("x", &[1.into()], "")).is_err());
}

#[test]
fn every_operation_is_recorded() {
    struct Record;
    impl Visitor for Record {
        fn visit<N: Network>(&mut self, network: &N) {
            let recorded = onnx::record(network, Weights::Seeded(1)).unwrap();
            // One node for each output would be its name alone.
            assert!(recorded.graph.node.len() > recorded.graph.output.len());
        }
    }
    visit(Record);
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn onnx_runtime_takes_every_graph_in_every_number() {
    struct Run(Vec<String>);
    impl Visitor for &mut Run {
        fn visit<N: Network>(&mut self, network: &N) {
            if let Err(error) = numbers(network) {
                self.0.push(format!("{}: {error:#}", network.name()));
            }
        }
    }
    let mut run = Run(Vec::new());
    visit(&mut run);
    assert!(run.0.is_empty(), "{}", run.0.join("\n"));
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn weights_in_float16_halve_a_file_and_hardly_change_what_it_says() {
    let network = Small {
        channels: 32,
        hidden: 96,
    };
    let recorded = onnx::record(&network, Weights::Seeded(1)).unwrap();
    let half = convert::float16_weights(&recorded).unwrap();
    let bytes = [&recorded.graph, &half].map(|graph| onnx::encode(graph, &BTreeMap::new()));
    assert!(2 * bytes[1].len() < bytes[0].len() + 16_000);
    let [mut whole, mut half] = bytes.map(|bytes| Graph::load(&bytes).unwrap());
    for extents in extents() {
        let inputs = inputs(&network, &extents);
        let outputs = whole.run(&inputs).unwrap();
        let lost = runtime::compare(&outputs, &half.run(&inputs).unwrap()).unwrap();
        assert!(lost.relative > 0.0 && lost.relative < 2e-3, "{lost:?}");
    }
}

/// Runs a network in float32, float16 and int8.
fn numbers<N: Network>(network: &N) -> anyhow::Result<()> {
    let name = network.name();
    let recorded = onnx::record(network, Weights::Seeded(1))?;
    let load = |graph: &proto::Graph| Graph::load(&onnx::encode(graph, &BTreeMap::new()));
    let batches = extents().map(|extents| inputs(network, &extents));
    let mut graph = load(&recorded.graph)?;
    let half = convert::float16(&recorded)?;
    // ONNX Runtime may take out what is narrowed and widened again, so its results need not show it.
    let narrows =
        |a: &proto::Attribute| a.name == "to" && a.i == Some(proto::DataType::Float16 as i64);
    ensure!(
        half.node
            .iter()
            .flat_map(|node| &node.attribute)
            .any(narrows)
    );
    let mut half = load(&half).context("float16")?;
    let ranges = runtime::calibrate(&recorded, &batches)?;
    let mut small = load(&convert::int8(&recorded, &ranges)?).context("int8")?;
    let mut worst = [0f64; 2];
    for inputs in &batches {
        let outputs = graph.run(inputs)?;
        ensure!(outputs.values().flatten().all(|x| x.is_finite()));
        let lost = runtime::compare(&outputs, &half.run(inputs)?)?;
        // Half a unit in the last of eleven bits, and what a network makes of it.
        ensure!(lost.relative < 4e-3, "float16: {lost:?}");
        worst[0] = worst[0].max(lost.relative);
        let lost = runtime::compare(&outputs, &small.run(inputs)?)?;
        ensure!(lost.relative < 0.03, "int8: {lost:?}");
        worst[1] = worst[1].max(lost.relative);
    }
    println!("{name}: float16 {:.1e}, int8 {:.1e}", worst[0], worst[1]);
    Ok(())
}

/// Runs operations that were written down by a closure, with these inputs.
fn compute(
    inputs: &[(&str, ArrayD<f32>)],
    stored: Stored,
    f: impl Fn(&Emit, &[onnx::Value]) -> anyhow::Result<onnx::Value>,
) -> ArrayD<f32> {
    let g = Emit::new(Weights::Stored(stored));
    let values: Vec<onnx::Value> = inputs
        .iter()
        .map(|(name, array)| {
            let shape: Vec<Dim> = array.shape().iter().map(|&n| n.into()).collect();
            g.input(&Port::signal(name, &shape, "")).unwrap()
        })
        .collect();
    let y = f(&g, &values).unwrap();
    g.output(&Port::signal("y", &g.shape(&y), ""), &y).unwrap();
    let model = onnx::encode(&g.finish("test").graph, &BTreeMap::new());
    let feed = inputs
        .iter()
        .map(|(name, array)| (name.to_string(), Array::from(array.clone())))
        .collect();
    Graph::load(&model)
        .unwrap()
        .run(&feed)
        .unwrap()
        .remove("y")
        .unwrap()
}

fn close(a: &ArrayD<f32>, b: &ArrayD<f32>) {
    assert_eq!(a.shape(), b.shape());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() < 1e-5, "{a} is not {b}");
    }
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn operations_give_what_paper_and_pencil_give() {
    let x = array(&[1, 1, 4], &[1.0, 2.0, 4.0, 8.0]);
    let kernel = Stored::from([("w".into(), array(&[1, 1, 2], &[1.0, -10.0]))]);
    // Cross-correlation: the kernel is not mirrored.
    let y = compute(&[("x", x.clone())], kernel, |g, x| {
        g.conv(
            &x[0],
            &g.weight("w", &[1, 1, 2], Init::ZEROS)?,
            None,
            &Conv::default(),
        )
    });
    close(&y, &array(&[1, 1, 3], &[-19.0, -38.0, -76.0]));

    // Two groups of two channels: each has the mean 1 and the variance 1, or 0.
    let affine = Stored::from([
        ("s".into(), array(&[4], &[1.0, 2.0, 3.0, 4.0])),
        ("b".into(), array(&[4], &[0.0, 0.0, 5.0, 6.0])),
    ]);
    let x = array(&[1, 4, 1], &[0.0, 2.0, 7.0, 7.0]);
    let y = compute(&[("x", x)], affine, |g, x| {
        let (s, b) = (
            g.weight("s", &[4], Init::ZEROS)?,
            g.weight("b", &[4], Init::ZEROS)?,
        );
        g.group_norm(&x[0], 2, &s, &b, 1e-12)
    });
    close(&y, &array(&[1, 4, 1], &[-1.0, 2.0, 5.0, 6.0]));

    // One unit. Update gate σ(0) = ½, reset gate σ(ln 3) = ¾, candidate tanh(x + ¾·(2h + 1)).
    let ln3 = 3f32.ln();
    let unit = Stored::from([
        ("w".into(), array(&[3, 1], &[0.0, 0.0, 1.0])),
        ("r".into(), array(&[3, 1], &[0.0, 0.0, 2.0])),
        ("b".into(), array(&[6], &[0.0, ln3, 0.0, 0.0, 0.0, 1.0])),
    ]);
    let (x, h) = (array(&[1, 1, 1], &[0.25]), array(&[1, 1], &[-0.5]));
    let y = compute(&[("x", x), ("h", h)], unit, |g, x| {
        let weights = Gru {
            input: g.weight("w", &[3, 1], Init::ZEROS)?,
            recurrent: g.weight("r", &[3, 1], Init::ZEROS)?,
            bias: g.weight("b", &[6], Init::ZEROS)?,
        };
        Ok(g.gru(&x[0], &x[1], &weights)?.1)
    });
    let candidate = (0.25f32 + 0.75 * (2.0 * -0.5 + 1.0)).tanh();
    close(&y, &array(&[1, 1], &[0.5 * candidate + 0.5 * -0.5]));

    // Between the centres of four pixels, and half a pixel outside.
    let x = array(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let grid = array(&[1, 1, 2, 2], &[0.0, 0.0, 2.0, -1.0]);
    let y = compute(&[("x", x), ("grid", grid)], Stored::new(), |g, x| {
        g.grid_sample(&x[0], &x[1], Outside::Zeros, true)
    });
    close(&y, &array(&[1, 1, 1, 2], &[2.5, 1.0]));

    let x = array(&[2], &[0.0, 1.0]);
    let y = compute(&[("x", x)], Stored::new(), |g, x| g.gelu(&x[0]));
    close(&y, &array(&[2], &[0.0, 0.841_344_7]));
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn a_stream_in_pieces_gives_what_the_whole_gives() {
    let mut graph = Graph::load(&card::model(&SMALL, Weights::Seeded(4)).unwrap()).unwrap();
    let extents = BTreeMap::from([("batch".into(), 2), ("time".into(), 11)]);
    let mut feed = BTreeMap::new();
    for port in SMALL.inputs() {
        feed.insert(port.name.clone(), port.random(1, &extents).unwrap());
    }
    let whole = graph.run(&feed).unwrap();
    let signal = feed["signal"].float32().unwrap().clone();
    let mut pieces = Vec::new();
    for (from, to) in [(0, 1), (1, 5), (5, 11)] {
        let piece = signal.slice_axis(Axis(2), Slice::from(from..to)).to_owned();
        feed.insert("signal".into(), piece.into());
        let mut outputs = graph.run(&feed).unwrap();
        pieces.push(outputs.remove("activation").unwrap());
        for state in ["past", "hidden"] {
            let next = outputs.remove(&format!("{state}_next")).unwrap();
            feed.insert(state.into(), next.into());
        }
    }
    let views: Vec<_> = pieces.iter().map(|p| p.view()).collect();
    close(
        &ndarray::concatenate(Axis(1), &views).unwrap(),
        &whole["activation"],
    );
    assert_eq!(Numbers::Int8.name(), "int8");
}
