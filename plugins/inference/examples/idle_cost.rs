// SPDX-License-Identifier: MPL-2.0
//! What a small model costs that runs six times a second: the processor time of this process, with
//! the defaults of ONNX Runtime and with ours, a few seconds each.
//!
//! `cargo run --release -p dance-inference --example idle_cost` (fetches ONNX Runtime unless
//! `ORT_DYLIB_PATH` names one; Linux).
#![allow(clippy::print_stdout, reason = "a program that prints a measurement")]
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot be made should say so and stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use dance_inference::{Model, SessionConfig};
use support::{Graph, runtime};

/// Runs a second, as a model of dance on 6 frames a second.
const RATE: u32 = 6;
/// Runs of each configuration.
const RUNS: u32 = 60;

/// The processor time of all threads of this process.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to `time` only.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::dense(128, 8).write(directory.path());
    let runtime = runtime();
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "ONNX Runtime {}, {cores} cores, {RATE} runs a second",
        runtime.version()
    );
    let ours = SessionConfig::default();
    for (name, threads, spinning) in [
        ("defaults of ONNX Runtime", 0, true),
        ("its threads, without spinning", 0, false),
        ("ours", ours.intra_threads, ours.spinning),
    ] {
        let config = SessionConfig {
            intra_threads: threads,
            spinning,
            ..ours.clone()
        };
        let model = Model::load(&runtime, &path, "test", &config).unwrap();
        model.warm_up(&[], 3, &mut |_| ()).unwrap();
        let mut stream = model.stream(&[]).unwrap();
        let (start, used) = (Instant::now(), processor_time());
        let mut running = Duration::ZERO;
        for run in 1..=RUNS {
            let begin = Instant::now();
            stream.run().unwrap();
            running += begin.elapsed();
            std::thread::sleep(
                (start + run * Duration::from_secs(1) / RATE)
                    .saturating_duration_since(Instant::now()),
            );
        }
        let used = processor_time() - used;
        println!(
            "{name}: {:.1} % of one core, {:.2} ms a run",
            100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64(),
            1e3 * running.as_secs_f64() / f64::from(RUNS)
        );
    }
}
