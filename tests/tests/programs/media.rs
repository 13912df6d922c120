// SPDX-License-Identifier: MPL-2.0
//! The scripts on what real people have: phone videos, odd formats, silence, services without a home.

use std::path::Path;

use crate::support::{click_movie, click_track, fails, launch, run, script};
use gst::prelude::*;
use serde_json::Value;

/// Width, height and shape of pixels of a decoded movie, its format, and whether it is upright.
fn look(path: &Path) -> (i32, i32, gst::Fraction, String, bool) {
    gst::init().unwrap();
    let pipeline =
        gst::parse::launch("filesrc name=file ! decodebin ! appsink name=out sync=false")
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
    pipeline
        .by_name("file")
        .unwrap()
        .set_property("location", path);
    let out = pipeline.by_name("out").unwrap();
    let out = out.downcast::<gst_app::AppSink>().unwrap();
    out.set_caps(Some(&gst::Caps::new_empty_simple("video/x-raw")));
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = out.pull_sample().unwrap();
    let bus = pipeline.bus().unwrap();
    let turned = std::iter::from_fn(|| bus.pop()).any(|message| match message.view() {
        gst::MessageView::Tag(tag) => {
            let tags = tag.tags();
            let orientation = tags.get::<gst::tags::ImageOrientation>();
            orientation.is_some_and(|value| value.get() != "rotate-0")
        }
        _ => false,
    });
    let s = sample.caps().unwrap().structure(0).unwrap();
    let found = (
        s.get("width").unwrap(),
        s.get("height").unwrap(),
        s.get("pixel-aspect-ratio")
            .unwrap_or(gst::Fraction::new(1, 1)),
        s.get::<String>("format").unwrap(),
        !turned,
    );
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

/// Writes a movie of two seconds with sound, whose picture has these caps.
fn movie(path: &Path, caps: &str, mux: &str) {
    launch(
        &format!(
            "videotestsrc num-buffers=50 pattern=ball ! {caps} ! x264enc speed-preset=ultrafast ! h264parse ! queue \
             ! mux. audiotestsrc wave=ticks samplesperbuffer=441 num-buffers=200 ! voaacenc ! queue ! mux. \
             {mux} name=mux ! filesink name=file"
        ),
        path,
    );
}

/// Gives the picture of an mp4 the orientation of a phone held upright, as ISO/IEC 14496-12, 8.3.2, has it: `mp4mux`
/// of GStreamer 1.22 does not write one.
fn turn(path: &Path) {
    const MATRIX: usize = 44;
    let mut bytes = std::fs::read(path).unwrap();
    let starts: Vec<usize> = (0..bytes.len() - 4)
        .filter(|&n| &bytes[n..n + 4] == b"tkhd")
        .collect();
    let mut turned = 0;
    for start in starts {
        // Version 0, whose times have 32 bits.
        assert_eq!(bytes[start + 4], 0);
        let matrix = start + MATRIX;
        let width = u32::from_be_bytes(bytes[matrix + 36..matrix + 40].try_into().unwrap());
        if width > 0 {
            let rotated: [i32; 9] = [0, 1 << 16, 0, -(1 << 16), 0, 0, 180 << 16, 0, 1 << 30];
            for (n, value) in rotated.into_iter().enumerate() {
                bytes[matrix + 4 * n..][..4].copy_from_slice(&value.to_be_bytes());
            }
            turned += 1;
        }
    }
    assert_eq!(turned, 1);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn pictures_of_any_kind_come_out_as_they_are_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let plain = |rest: &str| format!("videoconvert ! video/x-raw,framerate=25/1,{rest}");
    let ratio = |n, d| gst::Fraction::new(n, d);
    for (name, caps, mux, expected) in [
        (
            "turned.mp4",
            plain("format=I420,width=320,height=180"),
            "mp4mux",
            (180, 320, ratio(1, 1)),
        ),
        (
            "odd.mkv",
            plain("format=Y444,width=321,height=181"),
            "matroskamux",
            (320, 180, ratio(1, 1)),
        ),
        (
            "deep.mkv",
            plain("format=I420_10LE,width=320,height=180"),
            "matroskamux",
            (320, 180, ratio(1, 1)),
        ),
        (
            "anamorphic.mp4",
            plain("format=I420,width=320,height=256,pixel-aspect-ratio=16/11"),
            "mp4mux",
            (320, 256, ratio(16, 11)),
        ),
        (
            "halves.mkv",
            "video/x-raw,framerate=50/1,width=320,height=180 ! interlace field-pattern=1:1"
                .to_owned(),
            "matroskamux",
            (320, 180, ratio(1, 1)),
        ),
    ] {
        let media = path(name);
        movie(&media, &caps, mux);
        if name == "turned.mp4" {
            turn(&media);
        }
        let mp4 = path("out.mp4");
        run(script("overlay-from-file.sh").args([&media, &mp4]));
        let (width, height, shape, format, upright) = look(&mp4);
        assert_eq!((width, height), (expected.0, expected.1), "{name}");
        // A pixel less of an odd side is made up for by its shape.
        let apart = f64::from(shape.numer())
            / f64::from(shape.denom())
            / (f64::from(expected.2.numer()) / f64::from(expected.2.denom()));
        assert!((apart - 1.0).abs() < 0.01, "{name}: {shape:?}");
        assert_eq!(format, "I420", "{name}");
        assert!(upright, "{name}");
    }
}

/// Five seconds without a sound.
fn silence(path: &Path) {
    launch(
        "audiotestsrc wave=silence samplesperbuffer=441 num-buffers=500 ! audio/x-raw,rate=44100 ! flacenc \
         ! filesink name=file",
        path,
    );
}

#[test]
fn silence_is_a_result() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("silence.flac");
    silence(&media);
    for (name, lines) in [
        ("marks.jsonl", 0),
        ("marks.csv", 1),
        ("marks.txt", 0),
        ("marks.vtt", 1),
    ] {
        let marks = dir.path().join(name);
        // As a service runs, too.
        run(script("marks-from-file.sh")
            .args([&media, &marks])
            .env_remove("HOME"));
        let text = std::fs::read_to_string(&marks).unwrap();
        assert_eq!(text.lines().count(), lines, "{name}: {text}");
    }
}

#[test]
fn a_time_out_is_called_one() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks.flac");
    click_track(&media, 2);
    let said = fails(
        script("marks-from-file.sh")
            .args([&media, &dir.path().join("never.jsonl")])
            .env("PROBE_SECONDS", "0.001"),
    );
    assert!(said.contains("no answer within 0.001 s"), "{said}");
    assert!(!said.contains("no audio"), "{said}");
}

#[test]
fn nothing_to_retime_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    click_track(&path("song.flac"), 8);
    silence(&path("silence.flac"));
    launch(
        "videotestsrc num-buffers=75 pattern=smpte75 ! video/x-raw,width=256,height=256,framerate=25/1 \
         ! x264enc ! matroskamux ! filesink name=file",
        &path("still.mkv"),
    );
    launch(
        "videotestsrc num-buffers=1 ! video/x-raw,width=256,height=256,framerate=25/1 ! x264enc ! matroskamux \
         ! filesink name=file",
        &path("one.mkv"),
    );
    for video in ["still.mkv", "one.mkv"] {
        let said =
            fails(script("retarget.sh").args([path(video), path("song.flac"), path("o.mp4")]));
        assert!(said.contains("nothing to retime: no beats"), "{said}");
        assert!(!said.contains("Wrote"), "{said}");
    }
    std::fs::write(
        path("visual"),
        "{\"kind\":\"visual-beat\",\"timestamp\":400000000,\"strength\":1.0}\n",
    )
    .unwrap();
    let said = fails(
        script("retarget.sh")
            .args([path("still.mkv"), path("silence.flac"), path("o.mp4")])
            .env("VISUAL", path("visual")),
    );
    assert!(said.contains("nothing to retime to"), "{said}");
    assert!(!path("o.mp4").exists());
}

#[test]
fn the_beats_of_a_dance_are_those_of_its_music() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // Nothing moves, and the music has its clicks.
    click_movie(&path("dance.mkv"), 10);
    click_track(&path("song.flac"), 8);
    run(script("retarget.sh")
        .args([
            path("dance.mkv"),
            path("song.flac"),
            path("o.mp4"),
            path("path"),
        ])
        .env("INTERPOLATION", "nearest"));
    let found: Value = serde_json::from_slice(&std::fs::read(path("path")).unwrap()).unwrap();
    let beats = found["visual"].as_array().unwrap();
    assert!(beats.len() >= 15, "{beats:?}");
    for beat in beats {
        let phase = (beat.as_f64().unwrap() - 0.25).rem_euclid(0.5);
        assert!(phase.min(0.5 - phase) < 0.05, "{beat}");
    }
    assert!((found["speed-p50"].as_f64().unwrap() - 1.0).abs() < 0.03);
    // Its motion, where that is asked for, has none.
    let said = fails(
        script("retarget.sh")
            .args([path("dance.mkv"), path("song.flac"), path("never.mp4")])
            .env("BEATS", "motion"),
    );
    assert!(said.contains("nothing to retime"), "{said}");
}
