// SPDX-License-Identifier: MPL-2.0
//! Loading and unloading a model again and again costs no memory that stays. A process of its own,
//! whose memory nothing else moves.
#![cfg(target_os = "linux")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, as tests may"
)]

mod support;

use dance_inference::{Model, SessionConfig};
use support::{Graph, runtime};

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    1024 * line
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
}

#[test]
fn fifty_cycles_leave_the_memory_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    // 4 MB of weights: were a session or a model's bytes kept, fifty would be 200 MB.
    let path = Graph::wide(1 << 20).write(directory.path());
    let cycle = || {
        let model = Model::load(&runtime(), &path, "test", &SessionConfig::default()).unwrap();
        let mut stream = model.stream(&[]).unwrap();
        stream.run().unwrap();
    };
    // The allocators find their size in the first few.
    (0..10).for_each(|_| cycle());
    let before = resident();
    (0..50).for_each(|_| cycle());
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more after 50 cycles");
}
