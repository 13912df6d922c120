// SPDX-License-Identifier: MPL-2.0
use super::*;

/// Comes to rest every half second, and turns round; `fps` frames a second.
fn dance(fps: f64, seconds: f64) -> Vec<(f64, f64, Vec<f64>)> {
    (1..(seconds * fps) as usize)
        .map(|n| {
            let time = n as f64 / fps;
            let middle = (time - 0.5 / fps) / 0.5;
            let speed = (std::f64::consts::PI * middle).sin().abs();
            let mut histogram = vec![0.0; 16];
            histogram[if (middle as u64).is_multiple_of(2) {
                2
            } else {
                10
            }] = speed / fps;
            (time, speed, histogram)
        })
        .collect()
}

fn detect(config: Config, frames: &[(f64, f64, Vec<f64>)], scale: f64) -> Vec<(f64, Beat)> {
    let mut detector = Detector::new(config).unwrap();
    let mut found = Vec::new();
    let mut last = 0.0;
    for (time, speed, histogram) in frames {
        let frame = Frame {
            time: *time,
            motion: FrameMotion::Measured {
                interval: time - last,
                histogram,
                moving: 0.2 * speed,
                foreground: 100.0 * scale * speed * (time - last),
            },
        };
        last = *time;
        detector.push(frame, &mut |beat| found.push((*time, beat)));
        if let Some(known) = detector.decided_until() {
            // The frame that this is compared with, and the first frame begin the curves.
            assert!(known > time - DELAY - 0.101, "{known} at {time}");
        }
    }
    detector.finish(&mut |beat| found.push((last, beat)));
    found
}

fn assert_beats(found: &[(f64, Beat)], count: usize, near: f64) {
    assert_eq!(found.len(), count, "{found:?}");
    for (n, (_, beat)) in found.iter().enumerate() {
        assert!(
            (beat.time - 0.5 * (n + 1) as f64).abs() < near,
            "{n} {beat:?}"
        );
    }
}

#[test]
fn rests_are_beats_at_any_frame_rate_and_size() {
    for offline in [false, true] {
        for (fps, near) in [(12.5, 0.08), (25.0, 0.05), (29.97, 0.05), (60.0, 0.05)] {
            for scale in [0.3, 1.0, 4.0] {
                let config = Config {
                    offline,
                    ..Config::default()
                };
                let found = detect(config, &dance(fps, 12.2), scale);
                assert_beats(&found, 24, near);
                for (time, beat) in &found[..22] {
                    let late = time - beat.time;
                    assert!(offline || late <= DELAY + 2.0 / fps + 1e-9, "{fps}: {late}");
                }
                let tempo = found[20].1.tempo.unwrap();
                assert!((tempo.bpm - 120.0).abs() < 1.5, "{tempo:?}");
            }
        }
    }
}

#[test]
fn a_gap_restarts_and_so_does_time_that_goes_back() {
    let mut frames = dance(25.0, 5.2);
    let later: Vec<_> = frames
        .iter()
        .map(|(t, s, h)| (t + 20.0, *s, h.clone()))
        .collect();
    frames.extend(later);
    frames.extend(dance(25.0, 5.2));
    let found = detect(Config::default(), &frames, 1.0);
    assert_eq!(found.len(), 30, "{found:?}");
    for (n, (_, beat)) in found.iter().enumerate() {
        let start = if n / 10 == 1 { 20.0 } else { 0.0 };
        let expected = start + 0.5 * (n % 10 + 1) as f64;
        assert!((beat.time - expected).abs() < 0.06, "{n} {beat:?}");
    }
}

#[test]
fn a_higher_threshold_reports_less_and_non_finite_frames_nothing() {
    let mut frames = dance(25.0, 10.2);
    let strict = Config {
        threshold: 20.0,
        ..Config::default()
    };
    assert!(detect(strict, &frames, 1.0).is_empty());
    for frame in &mut frames {
        frame.1 = f64::NAN;
    }
    let mut detector = Detector::new(Config::default()).unwrap();
    for (time, speed, histogram) in &frames {
        let motion = FrameMotion::Measured {
            interval: 0.04,
            histogram,
            moving: *speed,
            foreground: *speed,
        };
        let none = &mut |beat| panic!("{beat:?}");
        detector.push(
            Frame {
                time: *time,
                motion,
            },
            none,
        );
        detector.push(
            Frame {
                time: f64::NAN,
                motion,
            },
            none,
        );
    }
    detector.finish(&mut |beat| panic!("{beat:?}"));
}

#[test]
fn settings_out_of_range_are_errors() {
    let bad = |config| Detector::new(config).unwrap_err();
    let threshold = Config {
        threshold: 0.0,
        ..Config::default()
    };
    assert_eq!(bad(threshold), Error::Threshold(0.0));
    let tempos = Config {
        min_bpm: 200.0,
        max_bpm: 100.0,
        ..Config::default()
    };
    assert_eq!(bad(tempos), Error::Tempos(200.0, 100.0));
}
