// SPDX-License-Identifier: MPL-2.0
//! The beat trackers on onset functions whose beats are known.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use dance_rhythm::beat::{Beat, Config, Error, Event, OfflineTracker, Tempo, Tracker};
use dance_rhythm::metrics::{continuity, f_measure};
use dance_rhythm::onset::Frame;

const FPS: f64 = 100.0;

/// Frames of the strokes (seconds; low, mid, high) over `seconds` of music or silence.
fn frames(seconds: f64, level: f32, strokes: &[(f64, [f32; 3])]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = (0..(seconds * FPS) as usize)
        .map(|n| Frame {
            time: n as f64 / FPS,
            flux: 0.0,
            low: 0.0,
            mid: 0.0,
            high: 0.0,
            level,
            activation: None,
        })
        .collect();
    for &(time, bands) in strokes {
        let centre = time * FPS;
        let first = (centre - 1.0).ceil().max(0.0) as usize;
        for n in first..=(centre + 1.0) as usize {
            let Some(frame) = frames.get_mut(n) else {
                continue;
            };
            let share = (1.0 - (n as f64 - centre).abs()).max(0.0) as f32;
            frame.low = frame.low.max(share * bands[0]);
            frame.mid = frame.mid.max(share * bands[1]);
            frame.high = frame.high.max(share * bands[2]);
            frame.flux = frame.flux.max(share * bands.iter().sum::<f32>() / 3.0);
            frame.level = -15.0;
        }
    }
    frames
}

/// Kick on the odd, snare on the even beats of four, or a kick and two hats of three; hats between.
fn pattern(from: f64, bpm: f64, metre: usize, beats: usize) -> Vec<(f64, [f32; 3])> {
    let beat = 60.0 / bpm;
    (0..beats)
        .flat_map(|n| {
            let bands = match (metre, n % metre) {
                (_, 0) => [1.0, 0.9, 0.6],
                (4, 2) => [0.8, 0.6, 0.5],
                (4, _) => [0.3, 0.9, 1.0],
                _ => [0.1, 0.4, 0.8],
            };
            let time = from + n as f64 * beat;
            [(time, bands), (time + beat / 2.0, [0.0, 0.1, 0.5])]
        })
        .collect()
}

fn truth(from: f64, bpm: f64, beats: usize) -> Vec<f64> {
    (0..beats).map(|n| from + n as f64 * 60.0 / bpm).collect()
}

fn online(config: &Config, frames: &[Frame]) -> (Vec<Beat>, Vec<Tempo>) {
    let mut tracker = Tracker::new(config).unwrap();
    let (mut beats, mut tempi) = (Vec::new(), Vec::new());
    let mut note = |event| match event {
        Event::Beat(beat) => beats.push(beat),
        Event::Tempo(tempo) => tempi.push(tempo),
    };
    for frame in frames {
        tracker.push(frame, &mut note);
    }
    tracker.finish(&mut note);
    (beats, tempi)
}

fn offline(config: &Config, frames: &[Frame]) -> Vec<Beat> {
    let mut offline = OfflineTracker::new(config).unwrap();
    frames.iter().for_each(|frame| offline.push(frame));
    offline.decode()
}

fn times(beats: &[Beat]) -> Vec<f64> {
    beats.iter().map(|beat| beat.time).collect()
}

#[test]
fn steady_tempi_are_followed() {
    for bpm in [62.0, 75.0, 90.0, 111.0, 128.0, 150.0, 174.0] {
        let beats = (20.0 * bpm / 60.0) as usize;
        let truth = truth(0.5, bpm, beats);
        let frames = frames(20.5, -30.0, &pattern(0.5, bpm, 4, beats));
        // An octave is to be had; it is not what is tested.
        let mut config = Config::new(FPS);
        config.min_bpm = bpm / 1.4;
        config.max_bpm = bpm * 1.4;
        let (reported, _) = online(&config, &frames);
        let late: Vec<f64> = truth.iter().copied().filter(|t| *t > 3.0).collect();
        let found: Vec<f64> = times(&reported).into_iter().filter(|t| *t > 2.93).collect();
        assert!(f_measure(&late, &found, 0.025).f > 0.97, "{bpm}: {found:?}");
        assert!(
            (reported.last().unwrap().bpm / bpm - 1.0).abs() < 0.015,
            "{bpm}"
        );
        let path = offline(&config, &frames);
        assert!(f_measure(&truth, &times(&path), 0.025).f > 0.96, "{bpm}");
        assert!((path[path.len() / 2].bpm / bpm - 1.0).abs() < 0.005);
    }
}

#[test]
fn bars_of_three_and_four_are_distinguished() {
    for metre in [3usize, 4] {
        let frames = frames(30.0, -30.0, &pattern(0.0, 120.0, metre, 58));
        let path = offline(&Config::new(FPS), &frames);
        let right = path
            .iter()
            .filter(|b| (b.time / 0.5).round() as usize % metre + 1 == usize::from(b.beat_in_bar))
            .count();
        assert!(
            right * 10 > path.len() * 9,
            "{metre}: {right} of {}",
            path.len()
        );
        let (reported, tempi) = online(&Config::new(FPS), &frames);
        let last = &reported[reported.len() - 12..];
        for beat in last {
            let number = (beat.time / 0.5).round() as usize % metre + 1;
            assert_eq!(
                usize::from(beat.beat_in_bar),
                number,
                "{metre}: {}",
                beat.time
            );
        }
        assert_eq!(usize::from(tempi.last().unwrap().beats_per_bar), metre);
    }
}

#[test]
fn beats_come_in_order_and_at_their_time() {
    let config = Config::new(FPS);
    let frames = frames(20.0, -30.0, &pattern(0.3, 117.0, 4, 38));
    let mut tracker = Tracker::new(&config).unwrap();
    let mut last: Option<Beat> = None;
    let mut next: Option<Beat> = None;
    let mut count = 0;
    for frame in &frames {
        tracker.push(frame, &mut |event| {
            let Event::Beat(beat) = event else { return };
            count += 1;
            if let Some(last) = last {
                assert!(beat.time - last.time > 0.5 * 60.0 / beat.bpm);
            }
            assert!(beat.time > frame.time - tracker_delay());
            assert!(beat.time < frame.time + config.lead + 0.03);
            assert_eq!(beat.predicted, beat.time > frame.time);
            if let Some(next) = next.filter(|_| count > 8) {
                assert!((next.time - beat.time).abs() < 0.03);
            }
            last = Some(beat);
        });
        next = tracker.next_beat();
    }
    assert!(count > 30);
    fn tracker_delay() -> f64 {
        Tracker::new(&Config::new(FPS)).unwrap().delay() + 1e-9
    }
}

#[test]
fn a_jump_of_the_tempo_is_followed() {
    let mut strokes = pattern(0.0, 90.0, 4, 20);
    let jump = 20.0 * 60.0 / 90.0;
    strokes.extend(pattern(jump, 135.0, 4, 30));
    let frames = frames(jump + 13.0, -30.0, &strokes);
    let (reported, tempi) = online(&Config::new(FPS), &frames);
    let truth: Vec<f64> = truth(jump, 135.0, 28)
        .into_iter()
        .filter(|t| *t > jump + 3.5)
        .collect();
    let found: Vec<f64> = times(&reported)
        .into_iter()
        .filter(|t| *t > jump + 3.4 && *t < jump + 12.5)
        .collect();
    let scores = continuity(&truth, &found);
    assert!(scores.cmlt > 0.9, "{scores:?}");
    // Reported when it changes, not at every beat.
    assert!(tempi.len() < 12, "{tempi:?}");
    assert!((tempi.last().unwrap().bpm / 135.0 - 1.0).abs() < 0.025);
}

#[test]
fn there_are_no_beats_in_silence_nor_without_onsets() {
    let music = pattern(10.0, 120.0, 4, 32);
    let end = 26.0;
    let mut sounding = frames(60.0, -120.0, &music);
    for frame in &mut sounding {
        if (10.0..end - 0.2).contains(&frame.time) {
            frame.level = frame.level.max(-30.0);
        }
    }
    let (reported, tempi) = online(&Config::new(FPS), &sounding);
    let path = offline(&Config::new(FPS), &sounding);
    for beats in [&reported, &path] {
        assert!(beats.len() > 26);
        assert!(beats.iter().all(|b| b.time > 9.9 && b.time < end));
    }
    // The end of the tempo is reported once.
    assert_eq!(tempi.iter().filter(|t| t.confidence == 0.0).count(), 1);
    assert_eq!(tempi.last().unwrap().confidence, 0.0);

    let mut state = 1u32;
    let mut noise = frames(60.0, -20.0, &[]);
    for frame in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        frame.flux = (state >> 8) as f32 / (1u32 << 24) as f32 * 0.04;
    }
    assert_eq!(online(&Config::new(FPS), &noise).0, []);
    assert_eq!(offline(&Config::new(FPS), &noise), []);
}

#[test]
fn rests_do_not_stop_a_rhythm_whose_sounds_are_short() {
    // Every stroke ends in silence; nothing is predicted then, but all audible beats are reported.
    let frames = frames(20.0, -120.0, &pattern(0.0, 100.0, 4, 33));
    let mut config = Config::new(FPS);
    config.max_bpm = 180.0;
    let (reported, _) = online(&config, &frames);
    let truth: Vec<f64> = truth(0.0, 100.0, 33)
        .into_iter()
        .filter(|t| *t > 3.0)
        .collect();
    let found: Vec<f64> = times(&reported).into_iter().filter(|t| *t > 2.9).collect();
    assert!(f_measure(&truth, &found, 0.03).f > 0.97, "{found:?}");
}

#[test]
fn long_streams_are_decided_in_parts() {
    // 40 minutes; the way back covers five.
    let beats = 40 * 120;
    let frames = frames(2_400.0, -30.0, &pattern(0.25, 120.0, 4, beats));
    let path = offline(&Config::new(FPS), &frames);
    let scores = continuity(&truth(0.25, 120.0, beats), &times(&path));
    assert!(scores.cmlc > 0.99, "{scores:?}");
}

#[test]
fn a_tracker_that_was_reset_is_new() {
    let config = Config::new(FPS);
    let frames = frames(15.0, -30.0, &pattern(0.2, 100.0, 3, 20));
    let mut tracker = Tracker::new(&config).unwrap();
    let mut path = OfflineTracker::new(&config).unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut events = Vec::new();
        for frame in &frames {
            tracker.push(frame, &mut |event| events.push(event));
            path.push(frame);
        }
        tracker.reset();
        assert_eq!((tracker.tempo(), tracker.next_beat()), (None, None));
        runs.push((events, path.decode()));
    }
    assert!(!runs[0].0.is_empty() && !runs[0].1.is_empty());
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn any_frame_rate_and_any_values_are_taken() {
    for frame_rate in [31.25, 86.13, 100.0, 200.0, 441.0] {
        let mut config = Config::new(frame_rate);
        config.beats_per_bar = vec![2, 5, 7, 12];
        let mut tracker = Tracker::new(&config).unwrap();
        let mut path = OfflineTracker::new(&config).unwrap();
        let values = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e30, 0.5];
        for n in 0..(6.0 * frame_rate) as usize {
            let value = values[n % values.len()];
            let frame = Frame {
                time: n as f64 / frame_rate,
                flux: value,
                low: values[(n + 1) % 6],
                mid: value,
                high: value,
                level: value,
                activation: None,
            };
            tracker.push(&frame, &mut |event| {
                if let Event::Beat(beat) = event {
                    assert!((0.0..=1.0).contains(&beat.confidence));
                    assert!(beat.time.is_finite() && beat.bpm > 0.0);
                }
            });
            path.push(&frame);
        }
        for beat in path.decode() {
            assert!(beat.time.is_finite() && beat.bpm > 0.0);
        }
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let check = |change: &dyn Fn(&mut Config), error: Error| {
        let mut config = Config::new(FPS);
        change(&mut config);
        assert_eq!(Tracker::new(&config).err(), Some(error.clone()));
        assert_eq!(OfflineTracker::new(&config).err(), Some(error));
    };
    check(&|c| c.frame_rate = 10.0, Error::FrameRate(10.0));
    check(&|c| c.min_bpm = 10.0, Error::Bpm(10.0, 215.0));
    check(&|c| c.max_bpm = 50.0, Error::Bpm(55.0, 50.0));
    check(&|c| c.beats_per_bar.clear(), Error::BeatsPerBar(vec![]));
    check(
        &|c| c.beats_per_bar = vec![4, 4],
        Error::BeatsPerBar(vec![4, 4]),
    );
    check(
        &|c| c.beats_per_bar = vec![13],
        Error::BeatsPerBar(vec![13]),
    );
    check(
        &|c| c.preference_octaves = 0.0,
        Error::Preference(125.0, 0.0),
    );
    check(&|c| c.lead = -1.0, Error::Lead(-1.0));
}

/// Numbers from 0 to 1, the same in every run.
fn random(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1u32 << 24) as f32
    }
}

/// Steady drums, and strokes at random: frames and the true beats, of which the latter have none.
fn with_and_without_a_beat() -> Vec<(Vec<Frame>, Vec<f64>)> {
    (0..10)
        .map(|n| {
            let mut next = random(n + 1);
            if n % 2 == 0 {
                let bpm = 80.0 + 90.0 * f64::from(next());
                let count = (20.0 * bpm / 60.0) as usize;
                let mut strokes = pattern(0.3, bpm, 4, count);
                for (time, _) in &mut strokes {
                    *time += 0.02 * f64::from(next() - 0.5);
                }
                (frames(20.5, -30.0, &strokes), truth(0.3, bpm, count))
            } else {
                let strokes: Vec<(f64, [f32; 3])> = (0..60)
                    .map(|_| (20.0 * f64::from(next()), [next(), next(), next()]))
                    .collect();
                (frames(20.5, -30.0, &strokes), Vec::new())
            }
        })
        .collect()
}

#[test]
fn confidence_is_worth_more_than_the_share_of_right_beats() {
    let config = Config::new(FPS);
    let mut judged: [Vec<(f64, f64)>; 2] = Default::default();
    for (frames, truth) in with_and_without_a_beat() {
        let found = [online(&config, &frames).0, offline(&config, &frames)];
        for (judged, beats) in judged.iter_mut().zip(found) {
            for beat in beats {
                let right = truth.iter().any(|t| (t - beat.time).abs() < 0.07);
                judged.push((beat.confidence, f64::from(u8::from(right))));
            }
        }
    }
    for judged in judged {
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| {
            judged.iter().map(of).sum::<f64>() / judged.len() as f64
        };
        let share = mean(&|j| j.1);
        assert!((0.3..0.9).contains(&share), "{share}");
        // The Brier score of a constant, the best there is, is the variance of the outcome.
        let (brier, constant) = (mean(&|j| (j.0 - j.1).powi(2)), share * (1.0 - share));
        assert!(brier < 0.95 * constant, "{brier}, constant {constant}");
        let part = |right: f64| {
            let part: Vec<f64> = judged
                .iter()
                .filter(|j| j.1 == right)
                .map(|j| j.0)
                .collect();
            part.iter().sum::<f64>() / part.len() as f64
        };
        assert!(part(1.0) > part(0.0) + 0.05, "{} {}", part(1.0), part(0.0));
    }
}

#[test]
fn the_tempo_ends_within_five_seconds_of_the_music() {
    let music = pattern(0.2, 120.0, 4, 40);
    let end = 0.2 + 20.0;
    // Digital silence, the noise of a line, and a held sound without onsets.
    for level in [-120.0, -75.0, -25.0] {
        let mut all = frames(30.0, level, &music);
        for frame in all.iter_mut().filter(|frame| frame.time < end) {
            frame.level = frame.level.max(-30.0);
        }
        let mut tracker = Tracker::new(&Config::new(FPS)).unwrap();
        let mut ended = None;
        for frame in &all {
            tracker.push(frame, &mut |event| match event {
                Event::Tempo(tempo) if tempo.bpm == 0.0 => {
                    assert_eq!(tempo, Tempo::default());
                    ended = ended.or(Some(frame.time));
                }
                _ => (),
            });
        }
        let ended = ended.unwrap_or_else(|| panic!("at {level} dB it does not end"));
        assert!((end + 1.0..end + 5.0).contains(&ended), "{level}: {ended}");
        assert_eq!(tracker.tempo(), None);
    }
}
