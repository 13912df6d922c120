// SPDX-License-Identifier: MPL-2.0
//! What every method of the onset detector promises: see `dance_rhythm::onset::Detector`.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use dance_rhythm::onset::{Config, Detector, Error, Event, Frame, Method, Onset};

const METHODS: [Method; 3] = [Method::SuperFlux, Method::Mudar, Method::Librosa];

fn config(rate: u32, method: Method) -> Config {
    Config {
        rate,
        method,
        threshold: 1.0,
        debias: true,
    }
}

fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Decaying noise bursts at known instants in near silence.
fn bursts(rate: u32, times: &[f64], seconds: f64, gain: f32) -> Vec<f32> {
    let mut next = noise(7);
    let mut out: Vec<f32> = (0..(seconds * f64::from(rate)) as usize)
        .map(|_| 1e-5 * next())
        .collect();
    for &time in times {
        let start = (time * f64::from(rate)).round() as usize;
        for (n, x) in out[start..].iter_mut().enumerate() {
            *x += gain * next() * (-(n as f32) / (0.03 * rate as f32)).exp();
        }
    }
    out
}

fn detect(detector: &mut Detector, samples: &[f32], chunk: usize) -> (Vec<Onset>, Vec<Frame>) {
    let (mut onsets, mut frames) = (Vec::new(), Vec::new());
    let mut note = |event| match event {
        Event::Onset(onset) => onsets.push(onset),
        Event::Frame(frame) => frames.push(frame),
    };
    for part in samples.chunks(chunk) {
        detector.push(part, &mut note);
        detector.push(&[], &mut note);
    }
    detector.finish(&mut note);
    (onsets, frames)
}

const TIMES: [f64; 6] = [0.412, 0.803, 1.1987, 1.5031, 2.0119, 2.4402];

#[test]
fn superflux_is_exact_at_every_rate() {
    for rate in [
        8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000,
    ] {
        let mut detector = Detector::new(&config(rate, Method::SuperFlux)).unwrap();
        let (onsets, frames) = detect(&mut detector, &bursts(rate, &TIMES, 3.0, 0.5), 1_024);
        assert_eq!(onsets.len(), TIMES.len(), "{rate} Hz");
        for (onset, time) in onsets.iter().zip(TIMES) {
            assert!(
                (onset.time - time).abs() < 0.003,
                "{rate} Hz: {} for {time}",
                onset.time
            );
            assert!(onset.strength > 0.0 && (0.5..=1.0).contains(&onset.confidence));
        }
        assert_eq!(frames.len(), 300, "{rate} Hz");
        assert_eq!(detector.frame_rate(), 100.0);
    }
}

#[test]
fn the_other_methods_are_exact_to_a_frame() {
    for method in [Method::Mudar, Method::Librosa] {
        for rate in [8_000, 22_050, 44_100, 96_000] {
            let mut detector = Detector::new(&config(rate, method)).unwrap();
            let (onsets, _) = detect(&mut detector, &bursts(rate, &TIMES, 3.0, 0.5), 1_024);
            for time in TIMES {
                let near = onsets.iter().any(|o| (o.time - time).abs() < 0.030);
                assert!(near, "{method:?} at {rate} Hz: {time} in {onsets:?}");
            }
            // Until the first burst has set the scale, the noise before it counts for much.
            let since = onsets.iter().filter(|o| o.time > TIMES[0] - 0.1).count();
            assert!(
                since <= TIMES.len() + 1,
                "{method:?} at {rate} Hz: {onsets:?}"
            );
        }
    }
}

#[test]
fn chunks_do_not_matter() {
    let samples = bursts(11_025, &TIMES, 3.0, 0.5);
    for method in METHODS {
        let run = |chunk| {
            detect(
                &mut Detector::new(&config(11_025, method)).unwrap(),
                &samples,
                chunk,
            )
        };
        let whole = run(samples.len());
        for chunk in [1, 100, 1_023] {
            assert_eq!(run(chunk), whole, "{method:?} in chunks of {chunk}");
        }
        // A detector that was reset is as new.
        let mut used = Detector::new(&config(11_025, method)).unwrap();
        detect(&mut used, &bursts(11_025, &[0.3], 0.7, 0.9), 512);
        used.reset();
        assert_eq!(
            detect(&mut used, &samples, 512),
            whole,
            "{method:?} after reset"
        );
    }
}

#[test]
fn reports_come_within_the_delay() {
    let rate = 44_100;
    let samples = bursts(rate, &TIMES, 3.0, 0.5);
    for method in METHODS {
        let mut detector = Detector::new(&config(rate, method)).unwrap();
        let mut reported = Vec::new();
        for (n, part) in samples.chunks(44).enumerate() {
            detector.push(part, &mut |event| {
                if let Event::Onset(_) = event {
                    reported.push((n + 1) as f64 * 44.0 / f64::from(rate));
                }
            });
        }
        for time in TIMES {
            let late = reported
                .iter()
                .map(|at| at - time)
                .filter(|late| *late > 0.0)
                .fold(f64::MAX, f64::min);
            assert!(
                late <= detector.delay(),
                "{method:?}: {late} s after {time}, promised {}",
                detector.delay()
            );
        }
    }
    let causal = Detector::new(&config(rate, Method::SuperFlux)).unwrap();
    assert!(causal.delay() <= 0.030);
}

#[test]
fn the_level_does_not_matter() {
    let rate = 44_100;
    // −1 … −35 dBFS.
    let reference = bursts(rate, &TIMES, 3.0, 0.9);
    let detect_at = |gain: f32| {
        let samples: Vec<f32> = reference.iter().map(|x| x * gain).collect();
        detect(
            &mut Detector::new(&config(rate, Method::SuperFlux)).unwrap(),
            &samples,
            1_024,
        )
    };
    let (onsets, frames) = detect_at(1.0);
    let peak = |frames: &[Frame]| frames.iter().fold(0.0f32, |m, f| m.max(f.flux));
    for gain in [0.5, 0.1, 0.02] {
        let (quiet, quiet_frames) = detect_at(gain);
        assert_eq!(quiet.len(), onsets.len(), "gain {gain}");
        for (a, b) in quiet.iter().zip(&onsets) {
            assert!((a.time - b.time).abs() < 0.002);
        }
        let ratio = peak(&quiet_frames) / peak(&frames);
        assert!((0.7..1.4).contains(&ratio), "gain {gain}: {ratio}");
    }
}

#[test]
fn silence_and_noise_have_next_to_no_onsets() {
    let rate = 44_100;
    for method in METHODS {
        let mut detector = Detector::new(&config(rate, method)).unwrap();
        let (onsets, frames) = detect(&mut detector, &vec![0.0; rate as usize * 3], 1_024);
        assert!(onsets.is_empty(), "{method:?}: {onsets:?}");
        assert!(frames.iter().all(|f| f.flux == 0.0 && f.level == -120.0));
    }
    let mut next = noise(3);
    let hiss: Vec<f32> = (0..rate * 10).map(|_| 0.1 * next()).collect();
    let mut detector = Detector::new(&config(rate, Method::SuperFlux)).unwrap();
    let (onsets, frames) = detect(&mut detector, &hiss, 1_024);
    // Its start is an onset; a chance one in five seconds is let pass.
    assert!(onsets.len() <= 3, "{onsets:?}");
    let settled = &frames[100..];
    let mean = settled.iter().map(|f| f.flux).sum::<f32>() / settled.len() as f32;
    assert!(mean < 0.01, "{mean}");
    assert!(
        (settled[0].level + 24.8).abs() < 1.0,
        "{}",
        settled[0].level
    );
}

#[test]
fn non_finite_samples_are_silence_and_counted() {
    let rate = 16_000;
    let clean = bursts(rate, &TIMES, 3.0, 0.5);
    for method in METHODS {
        let mut dirty = clean.clone();
        let mut silent = clean.clone();
        for (k, bad) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
            .into_iter()
            .enumerate()
        {
            dirty[10_000 + 37 * k] = bad;
            silent[10_000 + 37 * k] = 0.0;
        }
        let mut detector = Detector::new(&config(rate, method)).unwrap();
        let heard = detect(&mut detector, &dirty, 333);
        assert_eq!(detector.invalid_samples(), 3);
        let mut detector = Detector::new(&config(rate, method)).unwrap();
        assert_eq!(heard, detect(&mut detector, &silent, 333));
        assert_eq!(detector.invalid_samples(), 0);
    }
    // Numbers far beyond full scale stay numbers.
    let mut detector = Detector::new(&config(rate, Method::SuperFlux)).unwrap();
    let (_, frames) = detect(&mut detector, &[f32::MAX; 16_000], 512);
    assert!(frames.iter().all(|f| f.flux.is_finite()));
}

#[test]
fn a_threshold_is_obeyed_and_bad_settings_are_named() {
    let rate = 22_050;
    let mut samples = bursts(rate, &TIMES, 3.0, 0.5);
    let mut next = noise(5);
    samples.iter_mut().for_each(|x| *x += 0.05 * next());
    let count = |threshold| {
        let settings = Config {
            threshold,
            ..config(rate, Method::SuperFlux)
        };
        detect(&mut Detector::new(&settings).unwrap(), &samples, 512)
            .0
            .len()
    };
    assert!(count(1.0) >= TIMES.len());
    assert!(count(100.0) < count(1.0));
    let refused = |rate, threshold| {
        Detector::new(&Config {
            threshold,
            ..config(rate, Method::SuperFlux)
        })
        .err()
    };
    assert_eq!(refused(4_000, 1.0), Some(Error::Rate(4_000)));
    assert_eq!(refused(8_000, 0.0), Some(Error::Threshold(0.0)));
    assert!(matches!(
        refused(8_000, f32::NAN),
        Some(Error::Threshold(_))
    ));
    assert!(Error::Rate(4_000).to_string().contains("4000 Hz"));
}

#[test]
fn librosa_keeps_its_bias_when_asked() {
    let samples = bursts(22_050, &TIMES, 3.0, 0.5);
    let times = |debias| {
        let settings = Config {
            debias,
            ..config(22_050, Method::Librosa)
        };
        let (onsets, _) = detect(&mut Detector::new(&settings).unwrap(), &samples, 512);
        onsets.iter().map(|o| o.time).collect::<Vec<_>>()
    };
    let (with, without) = (times(false), times(true));
    assert_eq!(with.len(), without.len());
    for (a, b) in with.iter().zip(&without) {
        assert!((a - b - 0.030).abs() < 1e-9);
    }
}

#[test]
fn the_confidence_of_an_onset_rises_with_its_height() {
    // In audible noise, half of the bursts rise far out of it and the others hardly.
    let rate = 22_050;
    let mut next = noise(3);
    let strong: Vec<f64> = (0..15).map(|n| 0.5 + 0.6 * f64::from(n)).collect();
    let mut samples = bursts(rate, &strong, 10.0, 0.5);
    for (n, weak) in bursts(rate, &strong, 10.0, 0.03).into_iter().enumerate() {
        let later = n + (0.3 * f64::from(rate)) as usize;
        if let Some(sample) = samples.get_mut(later) {
            *sample += weak;
        }
    }
    samples.iter_mut().for_each(|x| *x += 0.01 * next());
    let mut detector = Detector::new(&config(rate, Method::SuperFlux)).unwrap();
    let (onsets, _) = detect(&mut detector, &samples, 1_024);
    let mean = |from: f64| {
        let near = |onset: &&Onset| {
            strong
                .iter()
                .any(|time| (onset.time - time - from).abs() < 0.03)
        };
        let found: Vec<f64> = onsets.iter().filter(near).map(|o| o.confidence).collect();
        assert!(found.len() >= 8, "{} at {from}", found.len());
        found.iter().sum::<f64>() / found.len() as f64
    };
    let (strong, weak) = (mean(0.0), mean(0.3));
    assert!(strong > weak + 0.03, "{strong} {weak}");
}
