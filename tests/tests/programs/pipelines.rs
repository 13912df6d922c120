// SPDX-License-Identifier: MPL-2.0
//! The scripts in `pipelines/`, each run as a user would run it, on music whose truth is known.

use std::path::Path;

use crate::support::{
    NONE, click_movie, click_track, clicks, command, fails, launch, missed, root, run, script,
    step_movie,
};
use gst::prelude::*;
use serde_json::Value;

/// Marks may be this far from the click, in seconds.
const TOLERANCE: f64 = 0.015;
/// A name that breaks scripts that quote carelessly.
const ODD_NAME: &str = "it's 100% \"odd\" \\ $(name) ü.flac";

struct Marks(Vec<Value>);

impl Marks {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let marks = Self(
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        );
        let mut ids = Vec::new();
        for mark in &marks.0 {
            assert_eq!(mark["version"], 1, "{mark}");
            assert!(mark["source"].is_string(), "{mark}");
            assert!(mark["timestamp"].is_u64(), "{mark}");
            ids.push(mark["id"].as_u64().unwrap());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), marks.0.len(), "each mark once");
        marks
    }

    fn of(&self, kinds: &[&str]) -> Vec<&Value> {
        self.0
            .iter()
            .filter(|mark| kinds.contains(&mark["kind"].as_str().unwrap()))
            .collect()
    }

    fn seconds(&self, kinds: &[&str]) -> Vec<f64> {
        self.of(kinds)
            .iter()
            .map(|mark| mark["timestamp"].as_u64().unwrap() as f64 / 1e9)
            .collect()
    }

    /// Every click is heard as an onset and, from `lock` seconds on, as a beat; nothing else is.
    fn check(&self, seconds: u32, lock: f64) {
        self.check_at(&clicks(seconds), lock);
    }

    fn check_at(&self, clicks: &[f64], lock: f64) {
        let onsets = self.seconds(&["onset"]);
        let beats = self.seconds(&["beat", "downbeat"]);
        assert_eq!(missed(clicks, &onsets, TOLERANCE), NONE, "{onsets:?}");
        assert_eq!(
            missed(&onsets, clicks, TOLERANCE),
            NONE,
            "onsets of nothing"
        );
        let due = clicks
            .iter()
            .copied()
            .filter(|t| *t >= lock)
            .collect::<Vec<_>>();
        assert_eq!(missed(&due, &beats, TOLERANCE), NONE, "{beats:?}");
        // The beat after the last click may have been announced.
        let wrong = missed(&beats, clicks, TOLERANCE);
        assert!(
            wrong.iter().all(|t| *t > clicks[clicks.len() - 1]),
            "beats of nothing: {wrong:?}"
        );
        for (beat, seconds) in self.of(&["beat", "downbeat"]).iter().zip(&beats) {
            let bpm = beat["bpm"].as_f64().unwrap();
            assert!(*seconds < lock || (bpm - 120.0).abs() < 2.0, "{beat}");
        }
    }
}

/// What a decoded movie holds.
#[derive(Debug, Default)]
struct Movie {
    /// Instant of each frame in seconds and its mean brightness, 0 to 255.
    frames: Vec<(f64, f64)>,
    /// Seconds of sound.
    sound: f64,
}

/// Decodes every frame and all sound.
fn decode(path: &Path) -> Movie {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin name=d \
         d. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! videoconvert \
         ! video/x-raw,format=GRAY8 ! appsink name=video sync=false \
         d. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! audioconvert \
         ! audio/x-raw,format=S16LE ! appsink name=audio sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let element = |name| pipeline.by_name(name).unwrap();
    element("file").set_property("location", path);
    let video = element("video").downcast::<gst_app::AppSink>().unwrap();
    let audio = element("audio").downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();

    let mut movie = Movie::default();
    while let Ok(sample) = video.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let seconds = sample
            .segment()
            .unwrap()
            .downcast_ref::<gst::ClockTime>()
            .unwrap()
            .to_stream_time(buffer.pts())
            .unwrap()
            .nseconds() as f64
            / 1e9;
        let map = buffer.map_readable().unwrap();
        let sum = map.iter().map(|v| u64::from(*v)).sum::<u64>();
        movie.frames.push((seconds, sum as f64 / map.len() as f64));
    }
    while let Ok(sample) = audio.pull_sample() {
        movie.sound += sample
            .buffer()
            .unwrap()
            .duration()
            .map_or(0.0, |d| d.nseconds() as f64 / 1e9);
    }
    let error = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::ZERO, &[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(error.is_none(), "{path:?}: {error:?}");
    movie
}

#[test]
fn marks_come_from_a_file_in_each_format() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("an odd 'folder'");
    std::fs::create_dir(&odd).unwrap();
    let media = odd.join(ODD_NAME);
    click_track(&media, 20);
    let jsonl = odd.join("marks of \"it\".jsonl");
    run(script("marks-from-file.sh").arg(&media).arg(&jsonl));
    let marks = Marks::read(&jsonl);
    marks.check(20, 0.0);

    let lines = marks.0.len();
    for (name, head, extra) in [
        ("marks.csv", "", 1),
        ("marks.txt", "", 0),
        ("marks.vtt", "WEBVTT", 0),
    ] {
        let path = odd.join(name);
        run(script("marks-from-file.sh").arg(&media).arg(&path));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(head), "{text}");
        let found = if head.is_empty() {
            text.lines().count()
        } else {
            text.matches("-->").count()
        };
        assert_eq!(found, lines + extra, "{name}:\n{text}");
    }
}

#[test]
fn marks_of_a_live_run_come_from_a_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks.flac");
    click_track(&media, 12);
    // The name is made from the media's, in the folder where the user stands.
    run(script("marks-from-file.sh")
        .arg(&media)
        .env("MODE", "low-latency")
        .current_dir(dir.path()));
    Marks::read(&dir.path().join("clicks.flac.jsonl")).check(12, 3.0);
}

/// The frames at which the picture becomes much brighter at once, as seconds.
fn flashes(movie: &Movie) -> Vec<f64> {
    let rises = movie
        .frames
        .windows(2)
        .map(|pair| (pair[1].0, pair[1].1 - pair[0].1))
        .collect::<Vec<_>>();
    let largest = rises.iter().map(|rise| rise.1).fold(0.0, f64::max);
    rises
        .iter()
        // The first second brings the counters onto the panel.
        .filter(|rise| rise.0 > 1.0 && rise.1 > largest / 3.0)
        .map(|rise| rise.0)
        .collect()
}

#[test]
fn the_overlay_is_on_the_frame_of_the_beat() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks.mkv");
    click_movie(&media, 14);
    let (mp4, jsonl) = (dir.path().join("o.mp4"), dir.path().join("o.jsonl"));
    run(script("overlay-from-file.sh")
        .args([&media, &mp4, &jsonl])
        .env("MODE", "aligned")
        // Clicks have no bars. SuperFlux tells none; a network makes some up, and the flash of a
        // downbeat is of another colour, which on grey is hardly brighter.
        .env("GST_DANCE_MODEL_PATH", dir.path())
        .env_remove("ORT_DYLIB_PATH"));
    Marks::read(&jsonl).check(14, 3.0);

    let movie = decode(&mp4);
    assert_eq!(movie.frames.len(), 14 * 25);
    assert!((movie.sound - 14.0).abs() < 0.1, "{} s", movie.sound);
    let flashes = flashes(&movie);
    let due = clicks(14)
        .into_iter()
        .filter(|t| *t >= 3.0)
        .collect::<Vec<_>>();
    let frame = 1.0 / 25.0 + 1e-3;
    assert_eq!(missed(&due, &flashes, frame), NONE, "{flashes:?}");
    assert_eq!(missed(&flashes, &clicks(14), frame), NONE, "{flashes:?}");
}

#[test]
fn sound_without_a_picture_is_shown_as_its_spectrum() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks.flac");
    click_track(&media, 6);
    let mp4 = dir.path().join("o.mp4");
    run(script("overlay-from-file.sh").args([&media, &mp4]));
    let movie = decode(&mp4);
    assert!(
        (6 * 30 - 2..=6 * 30 + 1).contains(&movie.frames.len()),
        "{} frames",
        movie.frames.len()
    );
    assert!((movie.sound - 6.0).abs() < 0.1, "{} s", movie.sound);
}

/// The mean of red less that of blue in the half of a movie that shows its flow, 0 to 255.
fn redness(mp4: &Path) -> f64 {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(
        "filesrc name=file ! decodebin ! videoconvert ! videocrop left=640 \
         ! video/x-raw,format=RGBx,width=640,height=360 ! appsink name=video sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let file = pipeline.by_name("file").unwrap();
    file.set_property("location", mp4);
    let video = pipeline.by_name("video").unwrap();
    let video = video.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut sum, mut pixels) = (0.0, 0.0);
    while let Ok(sample) = video.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        for pixel in map.chunks_exact(4) {
            sum += f64::from(pixel[0]) - f64::from(pixel[2]);
            pixels += 1.0;
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(pixels > 0.0, "no picture in {mp4:?}");
    sum / pixels
}

#[test]
fn motion_is_shown_in_the_colour_of_its_direction() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // What goes by itself to the left of the picture, and to the right.
    let found = [5, -5].map(|speed| {
        let media = path("moving.mkv");
        launch(
            &format!(
                "videotestsrc pattern=smpte100 horizontal-speed={speed} num-buffers=12 \
                 ! video/x-raw,width=320,height=180,framerate=25/1 \
                 ! x264enc ! matroskamux ! filesink name=file"
            ),
            &media,
        );
        let mp4 = path("flow.mp4");
        run(script("flow-from-file.sh").args([&media, &mp4]));
        redness(&mp4)
    });
    assert!(found[0] < -10.0 && found[1] > 10.0, "{found:?}");
    click_track(&path("clicks.flac"), 1);
    let said = fails(script("flow-from-file.sh").args([path("clicks.flac"), path("never.mp4")]));
    assert!(said.contains("no video in"), "{said}");
}

#[test]
fn the_live_overlay_runs_on_test_sources() {
    let dir = tempfile::tempdir().unwrap();
    let jsonl = dir.path().join("live.jsonl");
    run(script("overlay-live.sh").arg(&jsonl).env("DURATION", "8"));
    // A live source's first sample comes some time after the start, and its clicks with it.
    let marks = Marks::read(&jsonl);
    let onsets = marks.seconds(&["onset"]);
    let late = onsets[onsets.len() / 2] % 0.5;
    let late = if late > 0.25 { late - 0.5 } else { late };
    assert!(late.abs() < 0.2, "{onsets:?}");
    let (first, last) = (onsets[0] - TOLERANCE, onsets[onsets.len() - 1] + TOLERANCE);
    let clicks = (0..18)
        .map(|n| f64::from(n) / 2.0 + late)
        .filter(|t| (first..last).contains(t))
        .collect::<Vec<_>>();
    assert!(clicks.len() >= 15, "{onsets:?}");
    marks.check_at(&clicks, 3.0);
}

#[test]
fn the_live_stream_is_a_movie() {
    let dir = tempfile::tempdir().unwrap();
    let flv = dir.path().join("live.flv");
    run(script("stream-live.sh").arg(&flv).envs([
        ("DURATION", "6"),
        ("WIDTH", "640"),
        ("HEIGHT", "360"),
    ]));
    let movie = decode(&flv);
    assert!(movie.frames.len() >= 5 * 30, "{}", movie.frames.len());
    assert!(movie.sound > 5.0, "{} s", movie.sound);
    let said = fails(script("stream-live.sh").arg("gopher://example.org/live"));
    assert!(said.contains("unknown protocol"), "{said}");
}

#[test]
fn the_demo_leaves_a_movie_marks_and_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join(ODD_NAME);
    click_track(&media, 12);
    let out = dir.path().join("what comes out");
    let said = run(script("demo.sh").arg(&media).env("OUT", &out));

    let stem = ODD_NAME.strip_suffix(".flac").unwrap();
    let made = |ending| out.join(format!("{stem}-dance.{ending}"));
    let marks = Marks::read(&made("jsonl"));
    marks.check(12, 3.0);
    let (beats, onsets) = (marks.of(&["beat", "downbeat"]), marks.of(&["onset"]));
    let tempo = said.strip_prefix("tempo:  ").unwrap();
    let (bpm, _) = tempo.split_once(" BPM").unwrap();
    assert!((bpm.parse::<f64>().unwrap() - 120.0).abs() < 1.0, "{said}");
    assert!(said.contains(&format!("{} beats", beats.len())), "{said}");
    assert!(said.contains(&format!("{} onsets", onsets.len())), "{said}");
    for ending in ["mp4", "jsonl", "png"] {
        let path = made(ending);
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
    assert!(decode(&made("mp4")).frames.len() >= 12 * 30 - 2);
    let png = std::fs::read(made("png")).unwrap();
    // Width and height in the header of the picture.
    assert_eq!(&png[1..4], b"PNG");
    assert_eq!(png[16..24], [0, 0, 5, 0, 0, 0, 2, 0xd0]);
}

#[test]
fn a_dance_is_retimed_onto_a_song() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (video, song) = (path("dance.mkv"), path(ODD_NAME));
    click_movie(&video, 12);
    click_track(&song, 8);
    // The dance beats every 600 ms, the song every 500.
    let beats = (0..18u64).map(|n| 400_000_000 + n * 600_000_000);
    let lines = beats
        .map(|at| format!("{{\"kind\":\"visual-beat\",\"timestamp\":{at},\"strength\":1.0}}\n"));
    std::fs::write(path("visual"), lines.collect::<String>()).unwrap();
    let (mp4, json) = (path("o.mp4"), path("path.json"));
    run(script("retarget.sh")
        .args([&video, &song, &mp4, &json])
        .env("VISUAL", path("visual")));
    let movie = decode(&mp4);
    let frames = movie.frames.len();
    assert!((8 * 25 - 2..=8 * 25 + 2).contains(&frames), "{frames}");
    assert!((movie.sound - 8.0).abs() < 0.1, "{} s", movie.sound);

    let found: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let shown = found["path"].as_array().unwrap();
    for click in clicks(7).into_iter().filter(|click| *click > 3.0) {
        let at = shown
            .iter()
            .find(|point| number(&point[0]) >= click)
            .unwrap();
        let phase = (number(&at[1]) - 0.4).rem_euclid(0.6);
        assert!(phase.min(0.6 - phase) < 0.07, "{at} at {click}");
    }
    let png = path("path.png");
    run(script("retarget-plot.sh").args([&json, &png]));
    assert_eq!(&std::fs::read(png).unwrap()[1..4], b"PNG");
}

#[test]
fn before_and_after_are_shown_side_by_side_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (video, song) = (path("dance.mkv"), path(ODD_NAME));
    // Every 600 ms, and 150 ms beside the clicks, which come every 500 from 250 on.
    step_movie(&video, 8, 0.4, 0.6);
    click_track(&song, 6);
    let mp4 = path("side by side.mp4");
    // It sees four videos through the network, on whatever else runs.
    let demo = root().join("pipelines/retarget-demo.sh");
    let figures = run(command(600, demo).args([&video, &song, &mp4]));
    let figures: Value = serde_json::from_str(&figures).unwrap();
    let of = |when: &str, what: &str| figures[when]["of-dance"][what].as_f64().unwrap();
    assert!(of("after", "hits-50-ms") > 0.8, "{figures:#}");
    assert!(of("before", "hits-50-ms") < 0.5, "{figures:#}");
    assert!(
        of("after", "hits-50-ms") > 2.0 * of("after", "null-50-ms"),
        "{figures:#}"
    );
    let speed = figures["retiming"]["speed-p50"].as_f64().unwrap();
    assert!((speed - 1.2).abs() < 0.1, "{figures:#}");
    let movie = decode(&mp4);
    // It ends with what was made, at 30 frames a second.
    let frames = movie.frames.len();
    assert!((6 * 30 - 6..=6 * 30 + 2).contains(&frames), "{frames}");
    assert!((movie.sound - 6.0).abs() < 0.1, "{} s", movie.sound);
    assert!(path("side by side.path.json").exists());
    assert_eq!(
        &std::fs::read(path("side by side.path.png")).unwrap()[1..4],
        b"PNG"
    );

    let text = fails(script("retarget-metrics.sh").args([&video, &song, &path("absent.mp4")]));
    assert!(text.contains("no such file"), "{text}");
}

#[test]
fn bad_input_is_named_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("text.mp3"), "no music here\n".repeat(100)).unwrap();
    std::fs::write(path("empty.wav"), "").unwrap();
    launch(
        "videotestsrc num-buffers=30 ! x264enc ! mp4mux ! filesink name=file",
        &path("silent.mp4"),
    );
    click_track(&path("clicks.flac"), 1);
    std::fs::create_dir(path("folder.jsonl")).unwrap();
    let before = std::fs::read_dir(dir.path()).unwrap().count();

    for (media, reason) in [
        ("absent.mp3", "no such file"),
        ("text.mp3", "no audio in"),
        ("empty.wav", "no audio in"),
        ("silent.mp4", "no audio in"),
        ("folder.jsonl", "cannot read"),
    ] {
        for name in ["marks-from-file.sh", "overlay-from-file.sh", "demo.sh"] {
            let mut command = script(name);
            command.arg(path(media)).env("OUT", path("."));
            match name {
                "marks-from-file.sh" => command.arg(path("never.jsonl")),
                "overlay-from-file.sh" => command.arg(path("never.mp4")),
                _ => &mut command,
            };
            let said = fails(&mut command);
            assert!(said.contains(reason), "{name} {media}: {said}");
        }
    }
    let clicks = path("clicks.flac");
    for (target, reason) in [
        ("folder.jsonl", "a folder stands"),
        ("clicks.flac/never.jsonl", "cannot make the folder"),
        ("never.docx", "unknown kind of marks file"),
    ] {
        let said = fails(script("marks-from-file.sh").args([&clicks, &path(target)]));
        assert!(said.contains(reason), "{target}: {said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
}
