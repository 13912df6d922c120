// SPDX-License-Identifier: MPL-2.0
//! A process that used ONNX Runtime ends with the exit code it chose, whatever it still holds.
#![allow(
    clippy::exit,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, as tests may"
)]

mod support;

use std::process::{Command, Output};

use dance_inference::{Model, SessionConfig, Stream};
use support::{Graph, runtime};

fn used(threads: usize) -> (Model, Stream) {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::dense(64, 2).write(directory.path());
    let config = SessionConfig {
        intra_threads: threads,
        ..SessionConfig::default()
    };
    let model = Model::load(&runtime(), &path, "test", &config).unwrap();
    let mut stream = model.stream(&[]).unwrap();
    stream.run().unwrap();
    (model, stream)
}

// The children; each is one process.

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child_that_lets_go() {
    drop(used(1));
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child_that_keeps_everything() {
    std::mem::forget(used(1));
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child_that_keeps_a_pool_of_threads() {
    std::mem::forget(used(2));
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child_that_exits_from_another_thread() {
    std::thread::spawn(|| {
        let _kept = used(1);
        std::process::exit(42);
    })
    .join()
    .unwrap();
}

fn run(child: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env("ORT_DYLIB_PATH", support::library())
        .output()
        .unwrap()
}

#[track_caller]
fn assert_exit(child: &str, code: i32) {
    let output = run(child);
    let text = format!(
        "{child}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(
        output.stderr.is_empty(),
        "nothing is printed by a library: {text}"
    );
}

#[test]
fn a_process_that_let_go_ends_well() {
    assert_exit("child_that_lets_go", 0);
}

#[test]
fn a_process_that_keeps_its_session_ends_well() {
    assert_exit("child_that_keeps_everything", 0);
}

#[test]
fn a_process_that_keeps_a_pool_of_threads_ends_well() {
    assert_exit("child_that_keeps_a_pool_of_threads", 0);
}

#[test]
fn a_process_that_exits_in_the_midst_ends_with_its_code() {
    assert_exit("child_that_exits_from_another_thread", 42);
}
