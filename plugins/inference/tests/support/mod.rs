// SPDX-License-Identifier: MPL-2.0
//! What the tests, the benchmark and the example share: tiny graphs, written here so that no binary
//! fixture is needed, and the ONNX Runtime they run on.
#![allow(dead_code, reason = "each of them uses a part")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here should stop the test and say so"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock},
};

use dance_inference::{Axis, Card, METADATA_KEY, Port, Runtime, Search};

/// The library to test with: `ORT_DYLIB_PATH`, or what `pipelines/onnxruntime.sh` fetches.
///
/// Panics, with what to do, if there is none: a test that needs ONNX Runtime must not pass without
/// it.
pub fn library() -> PathBuf {
    static LIBRARY: LazyLock<PathBuf> =
        LazyLock::new(|| match std::env::var_os("ORT_DYLIB_PATH") {
            Some(path) if !path.is_empty() => path.into(),
            _ => fetch(&[]),
        });
    LIBRARY.clone()
}

/// The library of ONNX Runtime 1.22.1, from before what this crate needs.
pub fn old_library() -> PathBuf {
    fetch(&["1.22.1"])
}

fn fetch(arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/onnxruntime.sh");
    let output = Command::new(&script)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    assert!(
        output.status.success(),
        "these tests need ONNX Runtime; set ORT_DYLIB_PATH to its library, or make this work: {} {}\n{}",
        script.display(),
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A search that finds only [`library`].
pub fn search() -> Search {
    Search {
        environment: Some(library()),
        ..Search::default()
    }
}

/// The ONNX Runtime of this test process.
pub fn runtime() -> Arc<Runtime> {
    Runtime::get(&search()).unwrap()
}

/// The card of a model with these ports, for the task `test`.
pub fn card(name: &str, inputs: &[Port], outputs: &[Port]) -> Card {
    Card {
        name: name.to_owned(),
        version: "1".to_owned(),
        task: "test".to_owned(),
        description: String::new(),
        sha256: None,
        licence: None,
        frame_rate: None,
        labels: Vec::new(),
        parameters: toml::Table::new(),
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
        training: toml::Table::new(),
        figures: toml::Table::new(),
    }
}

/// A float32 port; a number in the shape is a length, anything else a name.
pub fn port(name: &str, shape: &[&str]) -> Port {
    Port {
        name: name.to_owned(),
        element: "float32".to_owned(),
        shape: shape
            .iter()
            .map(|axis| {
                axis.parse()
                    .map_or_else(|_| Axis::Symbol((*axis).to_owned()), Axis::Fixed)
            })
            .collect(),
        state: None,
        unit: None,
        normalisation: None,
        description: None,
    }
}

/// An input that is state.
pub fn state(name: &str, shape: &[&str], source: &str) -> Port {
    Port {
        state: Some(source.to_owned()),
        ..port(name, shape)
    }
}

/// A graph of float32 tensors in opset 18.
pub struct Graph {
    /// Operator, inputs, outputs.
    pub nodes: Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)>,
    /// Name, shape, values.
    pub weights: Vec<(&'static str, Vec<i64>, Vec<f32>)>,
    pub card: Card,
}

impl Graph {
    /// `y = factor · x` for `x` of `[batch, 4]`.
    pub fn scale(factor: f32) -> Self {
        Self {
            nodes: vec![("Mul", vec!["x", "factor"], vec!["y"])],
            weights: vec![("factor", vec![1], vec![factor])],
            card: card(
                "scale",
                &[port("x", &["batch", "4"])],
                &[port("y", &["batch", "4"])],
            ),
        }
    }

    /// `s' = s + x`, `y = 2 s'`: remembers all it was given.
    pub fn accumulate() -> Self {
        Self {
            nodes: vec![
                ("Add", vec!["s", "x"], vec!["s_next"]),
                ("Mul", vec!["s_next", "two"], vec!["y"]),
            ],
            weights: vec![("two", vec![1], vec![2.0])],
            card: card(
                "accumulate",
                &[
                    port("x", &["batch", "3"]),
                    state("s", &["batch", "3"], "s_next"),
                ],
                &[port("y", &["batch", "3"]), port("s_next", &["batch", "3"])],
            ),
        }
    }

    /// `y = √x`, and the state is a sum of roots: not a number for a negative x.
    pub fn root() -> Self {
        Self {
            nodes: vec![
                ("Sqrt", vec!["x"], vec!["y"]),
                ("Add", vec!["s", "y"], vec!["s_next"]),
            ],
            weights: Vec::new(),
            card: card(
                "root",
                &[port("x", &["2"]), state("s", &["2"], "s_next")],
                &[port("y", &["2"]), port("s_next", &["2"])],
            ),
        }
    }

    /// `y = w · x`, element by element, of `size` numbers: much memory and little work.
    pub fn wide(size: usize) -> Self {
        let shape = size.to_string();
        Self {
            nodes: vec![("Mul", vec!["x", "w"], vec!["y"])],
            weights: vec![("w", vec![size as i64], vec![1.0; size])],
            card: card("wide", &[port("x", &[&shape])], &[port("y", &[&shape])]),
        }
    }

    /// `layers` products of a `size × size` matrix: work that more than one thread would share.
    pub fn dense(size: usize, layers: usize) -> Self {
        // Names must be 'static; a test process makes few of these.
        let name = |layer: usize| -> &'static str {
            match layer {
                0 => "x",
                _ if layer == layers => "y",
                _ => Box::leak(format!("x{layer}").into_boxed_str()),
            }
        };
        let side = size.to_string();
        let weight =
            (0..size * size).map(|i| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) / size as f32);
        Self {
            nodes: (0..layers)
                .map(|layer| ("MatMul", vec![name(layer), "w"], vec![name(layer + 1)]))
                .collect(),
            weights: vec![("w", vec![size as i64, size as i64], weight.collect())],
            card: card(
                "dense",
                &[port("x", &[&side, &side])],
                &[port("y", &[&side, &side])],
            ),
        }
    }

    /// The ONNX file: a `ModelProto`, field numbers as in onnx.proto3, with the card in its
    /// metadata.
    pub fn to_onnx(&self) -> Vec<u8> {
        let metadata = self.card.run_time().to_toml().unwrap();
        self.to_onnx_with(&[(METADATA_KEY, &metadata)])
    }

    /// The same with other metadata.
    pub fn to_onnx_with(&self, metadata: &[(&str, &str)]) -> Vec<u8> {
        let mut graph = Message::default();
        for (index, (operator, inputs, outputs)) in self.nodes.iter().enumerate() {
            let mut node = Message::default();
            inputs
                .iter()
                .for_each(|input| node.bytes(1, input.as_bytes()));
            outputs
                .iter()
                .for_each(|output| node.bytes(2, output.as_bytes()));
            node.bytes(3, format!("node{index}").as_bytes());
            node.bytes(4, operator.as_bytes());
            graph.message(1, &node);
        }
        graph.bytes(2, self.card.name.as_bytes());
        for (name, shape, values) in &self.weights {
            let mut tensor = Message::default();
            shape.iter().for_each(|&size| tensor.number(1, size as u64));
            tensor.number(2, FLOAT);
            tensor.bytes(8, name.as_bytes());
            tensor.bytes(
                9,
                &values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect::<Vec<_>>(),
            );
            graph.message(5, &tensor);
        }
        for (field, ports) in [(11, &self.card.inputs), (12, &self.card.outputs)] {
            ports
                .iter()
                .for_each(|port| graph.message(field, &value_info(port)));
        }

        let mut opset = Message::default();
        opset.bytes(1, b"");
        opset.number(2, 18);
        let mut model = Message::default();
        model.number(1, 8);
        model.message(7, &graph);
        model.message(8, &opset);
        for (key, value) in metadata {
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes());
            entry.bytes(2, value.as_bytes());
            model.message(14, &entry);
        }
        model.0
    }

    /// Writes `NAME.onnx` into a directory.
    pub fn write(&self, directory: &Path) -> PathBuf {
        write(directory, &self.card.name, &self.to_onnx())
    }

    /// Writes `NAME.onnx` and its card's file.
    pub fn write_with_card(&self, directory: &Path, change: impl FnOnce(&mut Card)) -> PathBuf {
        use sha2::Digest;
        let path = self.write(directory);
        let hash = sha2::Sha256::digest(std::fs::read(&path).unwrap());
        let mut card = self.card.clone();
        card.sha256 = Some(hash.iter().map(|byte| format!("{byte:02x}")).collect());
        change(&mut card);
        std::fs::write(path.with_extension("toml"), card.to_toml().unwrap()).unwrap();
        path
    }
}

/// Writes `NAME.onnx` into a directory.
pub fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name).with_extension("onnx");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;

fn value_info(port: &Port) -> Message {
    let mut shape = Message::default();
    for axis in &port.shape {
        let mut dimension = Message::default();
        match axis {
            Axis::Fixed(size) => dimension.number(1, *size as u64),
            Axis::Symbol(name) => dimension.bytes(2, name.as_bytes()),
        }
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT);
    tensor.message(2, &shape);
    let mut ty = Message::default();
    ty.message(1, &tensor);
    let mut info = Message::default();
    info.bytes(1, port.name.as_bytes());
    info.message(2, &ty);
    info
}

/// A protobuf message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}
