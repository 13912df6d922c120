//! Scores the onset detector on the synthetic set with exact truth and prints the table.
//!
//! `cargo run --release -p dance-tests --bin onset-accuracy -- [--seed N] [--clips]`
#![allow(clippy::print_stdout)]

use dance_rhythm::onset::{Config, Detector, Event, Method};
use dance_tests::synth::{Clip, clips};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seed = args
        .iter()
        .position(|a| a == "--seed")
        .and_then(|k| args.get(k + 1))
        .and_then(|v| v.parse().ok())
        .unwrap_or(1);
    let mut sums = [0.0; 2];
    let mut count = 0.0;
    let mut errors = Vec::new();
    let mut delays = Vec::new();
    for clip in clips(seed) {
        let found = detect(&clip);
        let times: Vec<f64> = found.iter().map(|f| f.time).collect();
        let wide = matches(&clip.onsets, &times, 0.050);
        let narrow = matches(&clip.onsets, &times, 0.025);
        let f = |m: usize| {
            if clip.onsets.is_empty() && times.is_empty() {
                1.0
            } else {
                2.0 * m as f64 / (clip.onsets.len() + times.len()) as f64
            }
        };
        println!(
            "{:26} n {:4} found {:4} tp {:4}  F50 {:.3} F25 {:.3}",
            clip.name,
            clip.onsets.len(),
            times.len(),
            wide.len(),
            f(wide.len()),
            f(narrow.len())
        );
        sums[0] += f(wide.len());
        sums[1] += f(narrow.len());
        count += 1.0;
        for &(r, e) in &wide {
            if clip.drums_only {
                errors.push(times[e] - clip.onsets[r]);
            }
            delays.push(found[e].reported - clip.onsets[r]);
        }
    }
    errors.sort_by(f64::total_cmp);
    delays.sort_by(f64::total_cmp);
    let at = |v: &[f64], q: f64| 1e3 * v[((v.len() - 1) as f64 * q) as usize];
    println!(
        "mean F50 {:.3} F25 {:.3}; drums bias {:.1} ms (5 % {:.1}, 95 % {:.1}); delay median {:.1} 95 % {:.1} max {:.1}",
        sums[0] / count,
        sums[1] / count,
        at(&errors, 0.5),
        at(&errors, 0.05),
        at(&errors, 0.95),
        at(&delays, 0.5),
        at(&delays, 0.95),
        at(&delays, 1.0)
    );
}

struct Found {
    time: f64,
    reported: f64,
}

fn detect(clip: &Clip) -> Vec<Found> {
    let mut detector = Detector::new(&Config {
        rate: clip.rate,
        method: Method::SuperFlux,
        threshold: 1.0,
        debias: true,
    })
    .expect("a supported rate");
    let mut found = Vec::new();
    let mut heard = 0;
    let step = clip.rate as usize / 1000;
    for part in clip.samples.chunks(step) {
        heard += part.len();
        detector.push(part, &mut |event| {
            if let Event::Onset(onset) = event {
                found.push(Found {
                    time: onset.time,
                    reported: heard as f64 / f64::from(clip.rate),
                });
            }
        });
    }
    found
}

/// Largest one-to-one matching within `window`: greedy from the left is optimal on a line.
fn matches(reference: &[f64], estimated: &[f64], window: f64) -> Vec<(usize, usize)> {
    let (mut r, mut e) = (0, 0);
    let mut pairs = Vec::new();
    while r < reference.len() && e < estimated.len() {
        let distance = estimated[e] - reference[r];
        if distance.abs() <= window {
            pairs.push((r, e));
            r += 1;
            e += 1;
        } else if distance < 0.0 {
            e += 1;
        } else {
            r += 1;
        }
    }
    pairs
}
