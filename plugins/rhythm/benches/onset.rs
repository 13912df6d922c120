// SPDX-License-Identifier: MPL-2.0
//! Speed of the onset detector on one thread: a minute of stereo at 44.1 kHz, downmix included.
//!
//! `cargo bench -p dance-rhythm --bench onset`: times real time is 60 s over the time shown.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_rhythm::onset::{Config, Detector, Event, Method};

const RATE: u32 = 44_100;

/// A minute of decaying bursts twice a second over a hum: something to find in every frame.
fn stereo() -> Vec<[f32; 2]> {
    let mut state = 1u32;
    (0..60 * RATE)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let t = (n % (RATE / 2)) as f32 / RATE as f32;
            let hum = (n as f32 * 0.02).sin() * 0.1;
            let x = noise * (-t * 20.0).exp() * 0.5;
            [x + hum, x - hum]
        })
        .collect()
}

fn onsets(c: &mut Criterion) {
    let input = stereo();
    let mut group = c.benchmark_group("a minute of stereo 44.1 kHz");
    group.sample_size(20);
    for method in [Method::SuperFlux, Method::Mudar, Method::Librosa] {
        group.bench_function(format!("{method:?}"), |b| {
            let config = Config {
                rate: RATE,
                method,
                threshold: 1.0,
                debias: true,
            };
            let mut detector = Detector::new(&config).expect("a supported rate");
            let mut mono = Vec::with_capacity(1024);
            b.iter(|| {
                detector.reset();
                let mut count = 0;
                let mut note = |event| count += usize::from(matches!(event, Event::Onset(_)));
                for part in input.chunks(1024) {
                    mono.clear();
                    mono.extend(part.iter().map(|[l, r]| 0.5 * (l + r)));
                    detector.push(&mono, &mut note);
                }
                detector.finish(&mut note);
                black_box(count)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, onsets);
criterion_main!(benches);
