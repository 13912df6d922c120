// SPDX-License-Identifier: MPL-2.0
//! The time of seeing visual beats, for each frame and for a whole of ten minutes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dance_rhythm::visual::{Config, Detector, Frame, FrameMotion};

const FPS: f64 = 30.0;

fn watch(detector: &mut Detector, frames: usize) -> usize {
    let mut beats = 0;
    let mut histogram = [0.0; 16];
    for n in 0..frames {
        let time = n as f64 / FPS;
        let speed = (std::f64::consts::TAU * time).sin();
        histogram[2] = speed.max(0.0);
        histogram[10] = (-speed).max(0.0);
        let motion = FrameMotion::Measured {
            interval: 1.0 / FPS,
            histogram: &histogram,
            moving: 0.2 * speed.abs(),
            foreground: 4.0 * speed.abs(),
        };
        detector.push(Frame { time, motion }, &mut |_| beats += 1);
    }
    detector.finish(&mut |_| beats += 1);
    beats
}

fn visual(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("visual");
    for (name, offline, frames) in [("stream", false, 900), ("whole", true, 18_000)] {
        let config = Config {
            offline,
            ..Config::default()
        };
        group.throughput(Throughput::Elements(frames as u64));
        group.sample_size(20);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Ok(mut detector) = Detector::new(config) else {
                    return 0;
                };
                watch(black_box(&mut detector), frames)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, visual);
criterion_main!(benches);
