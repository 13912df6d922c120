// SPDX-License-Identifier: MPL-2.0
//! Where the output begins and ends, how a dance goes round, and demands that cannot be met.

use gst::prelude::*;
use gstdance::marks::Kind;

use super::common::*;
use super::{FPS, Play, Seen, audio, file, lines, mean_error, video};

/// Plays a dance and a song of so many seconds, with beats at (first, period) in ms, from a file of marks.
fn played(
    properties: &str,
    seconds: [u64; 2],
    beats: [(u64, u64); 2],
    prepare: impl Fn(&Play),
) -> (Seen, Vec<String>) {
    let dir = Dir::new();
    let marks = dir.file("marks");
    let text = lines(
        "eye",
        Kind::VisualBeat,
        beats[0].0,
        beats[0].1,
        1000 * seconds[0],
    ) + &lines("ear", Kind::Beat, beats[1].0, beats[1].1, 1000 * seconds[1]);
    std::fs::write(&marks, text).unwrap();
    let properties = format!("marks-location={} {properties}", marks.display());
    let play = Play::new(
        &properties,
        &video(seconds[0]),
        &audio(seconds[1]),
        [None; 2],
    );
    prepare(&play);
    play.finish()
}

#[test]
fn the_shorter_side_ends_both() {
    for known in [true, false] {
        let beats = [(400, 600), (200, 500)];
        let (seen, _) = played("end=shortest", [6, 20], beats, |play| {
            if known {
                return;
            }
            // A file that does not say how long it is.
            let pad = play.element().static_pad("video_sink").unwrap();
            pad.add_probe(gst::PadProbeType::QUERY_UPSTREAM, |_, info| {
                match info.query().map(|query| query.type_()) {
                    Some(gst::QueryType::Duration) => gst::PadProbeReturn::Drop,
                    _ => gst::PadProbeReturn::Ok,
                }
            });
        });
        let picture = seen.pictures.last().unwrap().0 + ms(40);
        let sound = seen.heard.last().unwrap().1 + ms(10);
        // 6 s of the dance at 1.2 of its speed.
        assert!((ms(4600)..=ms(5400)).contains(&picture), "{picture}");
        let apart = picture.max(sound) - picture.min(sound);
        let most = if known { ms(45) } else { ms(600) };
        assert!(apart <= most, "picture {picture}, sound {sound}");
    }
    // And the song, where that is the shorter one.
    let (seen, _) = played("end=shortest", [20, 4], [(400, 600), (200, 500)], |_| ());
    assert_eq!(seen.heard.len(), 400);
    assert!(
        (100..=101).contains(&seen.pictures.len()),
        "{}",
        seen.pictures.len()
    );
}

#[test]
fn the_last_picture_stays_to_the_end_of_the_music() {
    let (seen, _) = played("end=music", [4, 10], [(400, 600), (200, 500)], |_| ());
    assert_eq!(seen.heard.len(), 1000);
    assert!(
        (250..=251).contains(&seen.pictures.len()),
        "{}",
        seen.pictures.len()
    );
    assert!(seen.pictures[120..].iter().all(|(_, frame)| *frame == 99));
}

#[test]
fn a_short_dance_goes_back_on_the_beat() {
    let (dance, song) = ((400, 600), (200, 500));
    let (seen, words) = played("end=loop", [4, 30], [dance, song], |_| ());
    assert_eq!(words, ["aligned"]);
    assert_eq!(seen.heard.len(), 3000);
    assert!(
        (750..=751).contains(&seen.pictures.len()),
        "{}",
        seen.pictures.len()
    );
    let steps: Vec<i64> = (seen.pictures.windows(2))
        .map(|pair| pair[1].1 as i64 - pair[0].1 as i64)
        .collect();
    // No leap, and as much backward as forward.
    assert!(steps.iter().all(|step| step.abs() <= 3), "{steps:?}");
    let back = steps.iter().filter(|step| **step < 0).count();
    assert!((250..450).contains(&back), "{back} of {}", steps.len());
    let error = mean_error(&seen.pictures, dance, song, (2_000, 29_000));
    // A frame is 40 ms.
    assert!(error <= 30.0, "{error}");
    // It turns where a beat of the dance is at one of the song.
    let mut turns = 0;
    let mut way = 1;
    for (pair, step) in seen.pictures.windows(2).zip(&steps) {
        if step.signum() * way < 0 {
            way = step.signum();
            turns += 1;
            let beat = (pair[0].0.mseconds() as f64 - 200.0) / 500.0;
            assert!((beat - beat.round()).abs() < 0.2, "turns at {}", pair[0].0);
        }
    }
    assert!((8..=14).contains(&turns), "{turns}");
}

#[test]
fn a_dance_that_comes_back_to_its_beginning_goes_on_from_there() {
    // The pictures repeat every 128 frames, and so do the beats with them.
    let (dance, song) = ((320, 640), (200, 500));
    let (seen, _) = played("end=loop", [10, 30], [dance, song], |_| ());
    let mut leaps = 0;
    for pair in seen.pictures.windows(2) {
        let (before, after) = (pair[0].1, pair[1].1);
        if after.abs_diff(before) > 3 {
            leaps += 1;
            // To a picture that looks like the one that was to come.
            let apart = (before + 128 - after % 128) % 128;
            assert!(apart <= 3 || apart >= 125, "{before} to {after}");
        }
        assert!(
            after + 3 >= before || before.abs_diff(after) > 30,
            "backward at {before}"
        );
    }
    assert!(leaps >= 2, "{leaps}");
    let error = mean_error(&seen.pictures, dance, song, (2_000, 29_000));
    // A frame is 40 ms.
    assert!(error <= 30.0, "{error}");
}

#[test]
fn an_intro_is_skipped_or_danced_at_its_own_speed() {
    let dir = Dir::new();
    let marks = dir.file("marks");
    let beats = lines("ear", Kind::Beat, 8000, 500, 16_000);
    std::fs::write(
        &marks,
        lines("eye", Kind::VisualBeat, 400, 600, 30_000) + &beats,
    )
    .unwrap();
    let properties = |start| format!("marks-location={} start={start}", marks.display());
    let play = |start| {
        Play::new(&properties(start), &video(30), &audio(16), [None; 2])
            .finish()
            .0
    };
    let seen = play("beginning");
    // 8 s without a beat, in which nothing freezes or crawls.
    for (pts, frame) in &seen.pictures[..190] {
        let late = pts.mseconds() as f64 - *frame as f64 * 1000.0 / FPS as f64;
        assert!(late.abs() < 500.0, "frame {frame} at {pts}");
    }
    assert!(mean_error(&seen.pictures, (400, 600), (8000, 500), (9_000, 15_500)) < 25.0);
    let seen = play("first-beat");
    assert_eq!(seen.pictures[0].0, ms(7950));
    assert_eq!(seen.heard[0].1, ms(7950));
    assert!(seen.pictures[0].1 < 30, "frame {}", seen.pictures[0].1);
    assert!(mean_error(&seen.pictures, (400, 600), (8000, 500), (9_000, 15_500)) < 25.0);
}

#[test]
fn a_demand_that_cannot_be_met_is_an_error() {
    for demand in ["end=loop", "start=first-beat"] {
        let play = Play::new(demand, &video(1), &audio(1), [None; 2]);
        assert!(play.pipeline.set_state(gst::State::Playing).is_err());
        let error = error(&play.pipeline.bus().unwrap());
        assert!(error.message().contains("marks-location"), "{error}");
    }
    let dir = Dir::new();
    let marks = dir.file("marks");
    file(&marks, Some((400, 600)), Some((200, 500)), 8);
    let deep = video(8).replace("GRAY8", "GRAY16_LE");
    let halves = video(8).replace("GRAY8", "GRAY8,interlace-mode=interleaved");
    for (interpolation, video, words) in [
        ("flow", &video(8), "put hoofflow before"),
        ("flow", &deep, "GRAY16_LE"),
        ("blend", &deep, "GRAY16_LE"),
        ("blend", &halves, "interleaved"),
    ] {
        let properties = format!(
            "marks-location={} interpolation={interpolation}",
            marks.display()
        );
        let play = Play::new(&properties, video, &audio(8), [None; 2]);
        play.pipeline.set_state(gst::State::Playing).unwrap();
        let end = play.pipeline.end();
        let gst::MessageView::Error(error) = end.view() else {
            panic!("{end:?} instead of an error: {words}");
        };
        let error = error.error();
        assert!(error.message().contains(words), "{error}");
    }
    // What is not demanded is done as well as it can be.
    for video in [&deep, &halves] {
        let properties = format!("marks-location={}", marks.display());
        let (_, words) = Play::new(&properties, video, &audio(6), [None; 2]).finish();
        assert_eq!(words, ["aligned"]);
    }
}
