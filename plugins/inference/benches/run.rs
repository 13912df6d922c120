// SPDX-License-Identifier: MPL-2.0
//! What a run costs beside the network: a graph of two nodes on three numbers, with state.
//!
//! `cargo bench -p dance-inference` (fetches ONNX Runtime unless `ORT_DYLIB_PATH` names one).
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say so and stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_inference::{Model, SessionConfig};
use support::{Graph, runtime};

fn run(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = Graph::accumulate().write(directory.path());
    let model = Model::load(&runtime(), &path, "test", &SessionConfig::default()).unwrap();
    let mut stream = model.stream(&[("batch", 1)]).unwrap();
    criterion.bench_function("stream, bound tensors", |bencher| {
        bencher.iter(|| {
            stream.set("x", black_box(&[1e-3_f32, 0.0, -1e-3])).unwrap();
            stream.run().unwrap();
            black_box(stream.output::<f32>("y").unwrap()[[0, 0]])
        });
    });

    let path = Graph::scale(2.0).write(directory.path());
    criterion.bench_function("load, run once, unload", |bencher| {
        bencher.iter(|| {
            let model = Model::load(&runtime(), &path, "test", &SessionConfig::default()).unwrap();
            model.stream(&[("batch", 1)]).unwrap().run().unwrap();
        });
    });
}

criterion_group!(benches, run);
criterion_main!(benches);
