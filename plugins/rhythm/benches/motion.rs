// SPDX-License-Identifier: MPL-2.0
//! What motion costs beside the network: one frame of 256 × 256 pixels, of which networks give a
//! flow of a quarter.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_rhythm::motion::colour::Wheel;
use dance_rhythm::motion::hoof::{DEFAULT_BINS, Hoof, whole};
use dance_rhythm::motion::kinetics::Kinetics;
use dance_rhythm::motion::{Flow, cut};

const SIDE: usize = 256;

fn motion(c: &mut Criterion) {
    let mut group = c.benchmark_group("motion");
    for side in [SIDE / 4, SIDE] {
        let wave = |n: usize, turn: f32| (n as f32 * 0.013 + turn).sin() * 8.0;
        let x: Vec<f32> = (0..side * side).map(|n| wave(n, 0.0)).collect();
        let y: Vec<f32> = (0..side * side).map(|n| wave(n, 1.0)).collect();
        let hoof = Hoof::new(DEFAULT_BINS).unwrap();
        group.bench_function(
            format!("hoof, grid of 4x4 and kinetics, flow {side}x{side}"),
            |b| {
                b.iter(|| {
                    let flow = Flow::new(side, side, black_box(&x), black_box(&y)).unwrap();
                    let cells = hoof.grid(&flow, [4, 4]);
                    (whole(&cells, DEFAULT_BINS), cells, Kinetics::new(&flow))
                });
            },
        );
        let wheel = Wheel::new(16.0);
        group.bench_function(format!("colours, flow {side}x{side}"), |b| {
            b.iter(|| {
                let flow = Flow::new(side, side, black_box(&x), black_box(&y)).unwrap();
                wheel.paint(&flow).map(|c| u64::from(c[0])).sum::<u64>()
            });
        });
    }
    let picture = |turn: f32| -> Vec<f32> {
        (0..3 * SIDE * SIDE)
            .map(|n| 0.5 + 0.5 * (n as f32 * 0.37 + turn).sin())
            .collect()
    };
    let (before, now) = (picture(0.0), picture(2.0));
    group.bench_function("cut, the slow way, 256x256", |b| {
        b.iter(|| cut::change(black_box(&before), black_box(&now), SIDE));
    });
    group.finish();
}

criterion_group!(benches, motion);
criterion_main!(benches);
