// SPDX-License-Identifier: MPL-2.0
//! Speed of the synthetic pairs that optical flow is learned from, on one thread.
//!
//! `cargo bench -p dance-corpus --bench flow`
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_corpus::Split;
use dance_corpus::flow::compose::Recipe;
use dance_corpus::flow::source::{Procedural, Source};

fn pairs(criterion: &mut Criterion) {
    let recipe = Recipe::default();
    let source = Procedural::new(recipe.clone(), recipe, 1, 64, &[]).expect("no files are needed");
    for size in [128, 192, 256] {
        // The textures are made before the clock runs.
        let pair = |n: u64| source.pair(Split::Training, n % 200, [size, size]);
        (0..200).for_each(|n| drop(pair(n)));
        let mut n = 0;
        criterion.bench_function(&format!("a pair of {size}²"), |bencher| {
            bencher.iter(|| {
                n += 1;
                black_box(pair(n).expect("no files are read"))
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = pairs
}
criterion_main!(benches);
