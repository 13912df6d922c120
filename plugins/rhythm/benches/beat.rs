// SPDX-License-Identifier: MPL-2.0
//! Speed of the beat trackers on one thread, over a minute of the onset function, and of onsets and
//! beats together over a minute of stereo at 44.1 kHz, downmix included.
//!
//! `cargo bench -p dance-rhythm --bench beat`: times real time is 60 s over the time shown.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_rhythm::beat::{Config, Event, OfflineTracker, Tracker};
use dance_rhythm::onset::{self, Detector, Frame, Method};

const RATE: u32 = 44_100;

/// A minute of decaying bursts twice a second over a hum.
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

fn each_frame(detector: &mut Detector, input: &[[f32; 2]], mut note: impl FnMut(&Frame)) {
    let mut mono = Vec::with_capacity(1024);
    detector.reset();
    for part in input.chunks(1024) {
        mono.clear();
        mono.extend(part.iter().map(|[l, r]| 0.5 * (l + r)));
        detector.push(&mono, &mut |event| {
            if let onset::Event::Frame(frame) = event {
                note(&frame);
            }
        });
    }
}

fn beats(c: &mut Criterion) {
    let input = stereo();
    let mut detector = Detector::new(&onset::Config {
        rate: RATE,
        method: Method::SuperFlux,
        threshold: 1.0,
        debias: true,
    })
    .expect("a supported rate");
    let mut frames = Vec::new();
    each_frame(&mut detector, &input, |frame| frames.push(*frame));
    let config = Config::new(detector.frame_rate());
    let mut tracker = Tracker::new(&config).expect("the defaults");
    let mut offline = OfflineTracker::new(&config).expect("the defaults");
    let count_beat = |count: &mut usize, event| {
        *count += usize::from(matches!(event, Event::Beat(_)));
    };

    let mut group = c.benchmark_group("a minute");
    group.sample_size(20);
    group.bench_function("Tracker, frames", |b| {
        b.iter(|| {
            tracker.reset();
            let mut count = 0;
            for frame in &frames {
                tracker.push(frame, &mut |event| count_beat(&mut count, event));
            }
            black_box(count)
        });
    });
    group.bench_function("OfflineTracker, frames", |b| {
        b.iter(|| {
            frames.iter().for_each(|frame| offline.push(frame));
            black_box(offline.decode().len())
        });
    });
    group.bench_function("onsets and Tracker, stereo 44.1 kHz", |b| {
        b.iter(|| {
            tracker.reset();
            let mut count = 0;
            each_frame(&mut detector, &input, |frame| {
                tracker.push(frame, &mut |event| count_beat(&mut count, event));
            });
            black_box(count)
        });
    });
    group.finish();
}

criterion_group!(benches, beats);
criterion_main!(benches);
