// SPDX-License-Identifier: MPL-2.0
//! Speed of the alignment of an hour of dance (two beats a second, unsteady, some missing) with an
//! hour of music, and of one step of the planner of live streams.
//!
//! `cargo bench -p dance-rhythm --bench retarget`
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dance_rhythm::retarget::{Limits, Mark, Method, Options, Planner, plan};

/// Marks about every `period` seconds for `length` seconds, of which one in twenty is missing.
fn marks(period: f64, length: f64, mut state: u32) -> Vec<Mark> {
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let mut time = 0.3;
    let mut marks = Vec::new();
    while time < length {
        if random() > 0.05 {
            marks.push(Mark {
                time,
                strength: random(),
            });
        }
        time += period * (0.9 + 0.2 * random());
    }
    marks
}

fn retarget(c: &mut Criterion) {
    let (dance, song) = (marks(0.55, 3600.0, 1), marks(0.48, 3600.0, 2));
    let mut group = c.benchmark_group("an hour on an hour");
    group.sample_size(10);
    for method in [
        Method::DtwBounded,
        Method::Dtw,
        Method::Shift,
        Method::Acceleration,
    ] {
        let options = Options {
            method,
            ..Options::default()
        };
        group.bench_function(format!("{method:?}"), |b| {
            b.iter(|| black_box(plan(&dance, &song, &options).pairs.len()));
        });
    }
    group.finish();
    let (dance, song) = (marks(0.55, 5.0, 3), marks(0.48, 5.0, 4));
    c.bench_function("a minute of live steps at 30 a second", |b| {
        b.iter(|| {
            let mut planner = Planner::new(Limits::default(), 1.0, 1.0, 0.0);
            let mut at = 0.0;
            for n in 1..=1800 {
                // Five seconds over and over, since a planner considers no more.
                let base = f64::from(n / 60) * 2.0;
                let moved = |marks: &[Mark]| -> Vec<Mark> {
                    let moved = |mark: &Mark| Mark {
                        time: mark.time + base,
                        ..*mark
                    };
                    marks.iter().map(moved).collect()
                };
                at = planner.step(
                    f64::from(n) / 30.0,
                    &moved(&dance),
                    &moved(&song),
                    base + 5.0,
                );
            }
            black_box(at)
        });
    });
}

criterion_group!(benches, retarget);
criterion_main!(benches);
