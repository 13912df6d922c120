// SPDX-License-Identifier: MPL-2.0
//! What is exported is what the elements' crate loads and runs.
//!
//! These tests need ONNX Runtime and are ignored without it; `models/training/parity.sh` gets it and
//! runs them.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::unwrap_used)]

use dance_corpus::Split;
use dance_inference::{Model, Runtime, Search, SessionConfig};
use dance_networks::onnx;
use dance_networks::weights::{Stored, Weights};
use dance_training::checkpoint::{Checkpoint, Meta};
use dance_training::config;
use dance_training::export;
use dance_training::selftest::{SelfTest, Settings};
use dance_training::task::Task;
use ndarray::{ArrayD, IxDyn};
use std::path::{Path, PathBuf};
use std::process::Command;

const FRAMES: usize = 6;

const CONFIG: &str = "out = 'out'\nseed = 1\n[training]\n[task]\nbatch = 1\nframes = 6\n\
                      channels = 8\nhidden = 5\n";

fn task() -> SelfTest {
    let config: config::Config<Settings> = config::parse(CONFIG).unwrap();
    SelfTest::new(config.task, config.seed).unwrap()
}

/// A checkpoint of a training that took no step.
fn checkpoint(task: &SelfTest) -> Checkpoint {
    let recorded = onnx::record(task.network(), Weights::Seeded(1)).unwrap();
    let average: Stored = recorded
        .graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_type == onnx::proto::DataType::Float as i32)
        .map(|tensor| {
            let shape: Vec<usize> = tensor.dims.iter().map(|&n| n as usize).collect();
            let values = ArrayD::from_shape_vec(IxDyn(&shape), tensor.to_float32()).unwrap();
            (tensor.name.clone(), values)
        })
        .collect();
    Checkpoint {
        meta: Meta {
            task: SelfTest::NAME.into(),
            seed: 1,
            config: CONFIG.into(),
            ..Meta::default()
        },
        average,
        ..Checkpoint::default()
    }
}

/// Exports in a process of its own: ONNX Runtime allows one environment in each, and here it is the
/// elements'.
fn export(dir: &Path, numbers: &str) -> PathBuf {
    let (config, weights) = (dir.join("config.toml"), dir.join("x.safetensors"));
    let path = dir.join(format!("{numbers}.onnx"));
    std::fs::write(&config, CONFIG).unwrap();
    checkpoint(&task()).save(&weights).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dance-train"))
        .args(["export", "selftest", "--version", "7", "--numbers", numbers])
        .args(["--config".as_ref(), config.as_os_str()])
        .args(["--checkpoint".as_ref(), weights.as_os_str()])
        .args(["--out".as_ref(), path.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    path
}

fn load(path: &Path) -> dance_inference::Result<Model> {
    let runtime = Runtime::get(&Search::new(None))?;
    Model::load(&runtime, path, "selftest", &SessionConfig::default())
}

/// The activation of the test signal, fed in pieces of this many frames.
fn activation(model: &Model, piece: usize) -> Vec<f32> {
    let batch = task().batch(Split::Test, 0).unwrap();
    let signal: Vec<f32> = batch["signal"].float32().unwrap().iter().copied().collect();
    let mut stream = model.stream(&[("batch", 1), ("time", piece)]).unwrap();
    let mut all = Vec::new();
    for piece in signal.chunks(piece) {
        stream.set("signal", piece).unwrap();
        stream.run().unwrap();
        all.extend(stream.output::<f32>("activation").unwrap().iter());
    }
    all
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn an_element_loads_and_runs_what_was_exported() {
    let dir = tempfile::tempdir().unwrap();
    for (numbers, bar) in [("float32", 1e-5), ("float16", 1e-2), ("int8", 0.1)] {
        let path = export(dir.path(), numbers);
        let model = load(&path).unwrap();
        let (card, ours) = (model.card(), export::read_card(&path).unwrap());
        assert_eq!(card.run_time().to_toml().unwrap(), run_time(&ours));
        assert_eq!(
            (card.name.as_str(), card.version.as_str()),
            ("selftest", "7")
        );
        assert_eq!(ours.sha256.as_deref(), Some(model.sha256()));
        assert_eq!(ours.figures["numbers"].as_str(), Some(numbers));
        assert!(ours.figures.contains_key("accuracy"));
        // Frame by frame, the state kept by the stream, as in one piece.
        let (whole, frames) = (activation(&model, FRAMES), activation(&model, 1));
        assert_eq!((whole.len(), frames.len()), (FRAMES, FRAMES));
        assert!(whole.iter().any(|x| x.abs() > 1e-3), "{whole:?}");
        for (a, b) in whole.iter().zip(&frames) {
            // The state is rounded between two frames, too.
            assert!((a - b).abs() <= bar, "{numbers}: {whole:?} {frames:?}");
        }
    }
}

/// The part of a card that stands in the file.
fn run_time(card: &dance_inference::Card) -> String {
    let card = dance_inference::Card {
        sha256: None,
        licence: None,
        training: toml::Table::new(),
        figures: toml::Table::new(),
        ..card.clone()
    };
    toml::to_string(&card).unwrap()
}

#[test]
#[ignore = "needs ONNX Runtime: run models/training/parity.sh"]
fn a_card_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = export(dir.path(), "float32");
    let beside = path.with_extension("toml");
    let text = std::fs::read_to_string(&beside).unwrap();
    std::fs::write(&beside, text.replace("version = \"7\"", "version = \"8\"")).unwrap();
    let error = load(&path).err().unwrap().to_string();
    assert!(error.contains("version"), "{error}");
}
