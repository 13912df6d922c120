// SPDX-License-Identifier: MPL-2.0
//! `dtwretarget`: which frame is shown at which instant of the music.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "dtwretarget/ends.rs"]
mod ends;
#[path = "dtwretarget/streams.rs"]
mod streams;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::*;
use gst::glib;
use gst::prelude::*;
use gstdance::marks::{self, Kind};

/// Frames a second of the test videos; with the number of each frame in its pixels.
const FPS: u64 = 25;

/// What came out of the element.
#[derive(Default)]
struct Seen {
    /// PTS and number of each picture.
    pictures: Vec<(gst::ClockTime, u64)>,
    /// Visual beats on pictures.
    beats: Vec<(gst::ClockTime, gst::ClockTime)>,
    /// Pointer and size of each audio buffer's memory, before and after.
    sent: Vec<(usize, gst::ClockTime)>,
    heard: Vec<(usize, gst::ClockTime)>,
}

/// A pipeline of a video whose frames are numbered, and a song.
struct Play {
    pipeline: Playing,
    seen: Arc<Mutex<Seen>>,
}

fn number(buffer: &gst::BufferRef) -> u64 {
    let map = buffer.map_readable().unwrap();
    u64::from(map[0]) | u64::from(map[1]) << 8
}

fn memory(buffer: &gst::BufferRef) -> usize {
    buffer.peek_memory(0).as_ptr() as usize
}

/// Calls `work` with every buffer that passes a pad.
fn probe(pad: &gst::Pad, work: impl Fn(&mut gst::Buffer) + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            work(buffer);
        }
        gst::PadProbeReturn::Ok
    });
}

impl Play {
    /// `video` and `audio` describe the branches up to the element; `properties` are the element's. Beats of the dance
    /// and of the song are given as periods and first instants in ms, and ride on the buffers.
    fn new(properties: &str, video: &str, audio: &str, beats: [Option<(u64, u64)>; 2]) -> Self {
        let pipeline = Playing::new(&format!(
            "dtwretarget name=r {properties} \
             {video} ! identity name=eye ! queue name=vq ! r.video_sink \
             {audio} ! identity name=ear ! queue ! r.audio_sink \
             r.video_src ! fakesink name=screen async=false \
             r.audio_src ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! fakesink name=speaker async=false"
        ));
        let seen = Arc::new(Mutex::new(Seen::default()));
        for (side, (name, beats)) in ["eye", "ear"].into_iter().zip(beats).enumerate() {
            let pad = pipeline.by_name(name).unwrap().static_pad("src").unwrap();
            let seen = seen.clone();
            probe(&pad, move |buffer| {
                let (start, end) = (
                    buffer.pts().unwrap(),
                    buffer.pts().unwrap() + buffer.duration().unwrap(),
                );
                if side == 0 {
                    // The element may show frames in any order but backwards: they tell their number themselves.
                    let frame = (start.nseconds() + 1_000_000) * FPS / 1_000_000_000;
                    let buffer = buffer.make_mut();
                    let mut map = buffer.map_writable().unwrap();
                    map[0] = frame as u8;
                    map[1] = (frame >> 8) as u8;
                    // Frames look the less alike the farther they are apart, up to 128 of them.
                    map[2..].fill((2 * frame) as u8);
                } else {
                    seen.lock().unwrap().sent.push((memory(buffer), start));
                }
                let Some((first, period)) = beats else {
                    return;
                };
                let kind = if side == 0 {
                    Kind::VisualBeat
                } else {
                    Kind::Beat
                };
                let found: Vec<_> = (0..2000)
                    .map(|n| (n, ms(first + n * period)))
                    .filter(|(_, at)| (start..end).contains(at))
                    .map(|(n, at)| mark(n, kind, at))
                    .collect();
                let source = if side == 0 { "eye" } else { "ear" };
                marks::attach(buffer.make_mut(), source, &found);
            });
        }
        let screen = pipeline
            .by_name("screen")
            .unwrap()
            .static_pad("sink")
            .unwrap();
        let pictures = seen.clone();
        probe(&screen, move |buffer| {
            let mut seen = pictures.lock().unwrap();
            let pts = buffer.pts().unwrap();
            seen.pictures.push((pts, number(buffer)));
            for found in marks::read(buffer) {
                for mark in found.marks {
                    assert_eq!(mark.kind, Kind::VisualBeat);
                    seen.beats.push((mark.timestamp, pts));
                }
            }
        });
        let speaker = pipeline
            .by_name("speaker")
            .unwrap()
            .static_pad("sink")
            .unwrap();
        let heard = seen.clone();
        probe(&speaker, move |buffer| {
            let buffer = (memory(buffer), buffer.pts().unwrap());
            heard.lock().unwrap().heard.push(buffer);
        });
        Self { pipeline, seen }
    }

    fn element(&self) -> gst::Element {
        self.pipeline.by_name("r").unwrap()
    }

    /// Runs to the end, and returns what came out and the words on the bus.
    fn finish(&self) -> (Seen, Vec<String>) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        self.rest()
    }

    fn rest(&self) -> (Seen, Vec<String>) {
        let bus = self.pipeline.bus().unwrap();
        let types = [
            gst::MessageType::Eos,
            gst::MessageType::Error,
            gst::MessageType::Element,
            gst::MessageType::Warning,
        ];
        let mut words = Vec::new();
        loop {
            let message = bus
                .timed_pop_filtered(gst::ClockTime::from_seconds(60), &types)
                .expect("the pipeline hangs");
            match message.view() {
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Error(error) => panic!("{error:?}"),
                gst::MessageView::Warning(_) => words.push("warning".into()),
                _ => {
                    let s = message.structure().unwrap();
                    if s.name() == "retarget-status" {
                        words.push(s.get::<String>("status").unwrap());
                    }
                }
            }
        }
        (std::mem::take(&mut *self.seen.lock().unwrap()), words)
    }
}

fn video(seconds: u64) -> String {
    format!(
        "videotestsrc num-buffers={} ! video/x-raw,format=GRAY8,width=16,height=8,framerate={FPS}/1",
        seconds * FPS
    )
}

fn audio(seconds: u64) -> String {
    format!(
        "audiotestsrc samplesperbuffer=441 num-buffers={}",
        seconds * 100
    )
}

/// A line of `marksink` for each beat from `first` on, every `period`, in ms, before `end`.
fn lines(source: &str, kind: Kind, first: u64, period: u64, end: u64) -> String {
    let line = |(id, at): (usize, u64)| {
        let (at, kind) = (at * 1_000_000, kind.as_str());
        format!(
            "{{\"version\":1,\"source\":\"{source}\",\"id\":{id},\"kind\":\"{kind}\",\"timestamp\":{at},\
             \"running-time\":{at},\"stream-time\":{at},\"strength\":1.0,\"confidence\":0.5,\"bpm\":null,\
             \"beat-in-bar\":0,\"predicted\":false}}\n"
        )
    };
    (first..end)
        .step_by(period as usize)
        .enumerate()
        .map(line)
        .collect()
}

/// A file of the beats of a dance and a song, each as first instant and period in ms.
fn file(path: &Path, dance: Option<(u64, u64)>, song: Option<(u64, u64)>, seconds: u64) {
    let side = |source, kind, beats: Option<(u64, u64)>| {
        beats.map_or_else(String::new, |(first, period)| {
            lines(source, kind, first, period, seconds * 1000)
        })
    };
    let text = side("eye", Kind::VisualBeat, dance) + &side("ear", Kind::Beat, song);
    std::fs::write(path, text).unwrap();
}

/// Pictures come at the frame rate from `first` on, frames never go back, and speed stays in its bounds, of which a frame
/// more or less is the rounding.
fn assert_sound(pictures: &[(gst::ClockTime, u64)], first: gst::ClockTime) {
    for (n, (pts, _)) in pictures.iter().enumerate() {
        assert_eq!(*pts, first + ms(1000 / FPS) * n as u64);
    }
    for (a, b) in pictures.windows(2).map(|pair| (pair[0].1, pair[1].1)) {
        assert!(b >= a && b - a <= 3, "frame {b} after {a}");
    }
    for (a, b) in pictures
        .windows(26)
        .map(|window| (window[0].1, window[25].1))
    {
        assert!(
            (12..=51).contains(&(b - a)),
            "{} frames in a second: {pictures:?}",
            b - a
        );
    }
}

/// Mean distance in ms from each beat of the song in a range (ms) to the nearest beat of the dance as it is shown.
fn mean_error(
    pictures: &[(gst::ClockTime, u64)],
    dance: (u64, u64),
    song: (u64, u64),
    range: (u64, u64),
) -> f64 {
    let beats = (0..1000).map(|n| song.0 + n * song.1);
    let errors = beats
        .filter(|at| (range.0..range.1).contains(at))
        .map(|at| {
            let index = pictures.partition_point(|(pts, _)| pts.mseconds() < at);
            let (_, frame) = pictures[index.min(pictures.len() - 1)];
            let shown = frame as f64 * 1000.0 / FPS as f64;
            let phase = (shown - dance.0 as f64).rem_euclid(dance.1 as f64);
            phase.min(dance.1 as f64 - phase)
        });
    let errors: Vec<f64> = errors.collect();
    errors.iter().sum::<f64>() / errors.len() as f64
}

#[test]
fn a_file_of_marks_brings_a_dance_onto_a_song() {
    let dir = Dir::new();
    let (dance, song) = ((400, 600), (200, 500));
    file(&dir.file("marks"), Some(dance), Some(song), 30);
    let location = dir.file("marks");
    let path = dir.file("path");
    let properties = format!(
        "marks-location={} path-location={}",
        location.display(),
        path.display()
    );
    let play = Play::new(&properties, &video(30), &audio(20), [None; 2]);
    let (seen, words) = play.finish();
    assert_eq!(words, ["aligned"]);
    assert_sound(&seen.pictures, ms(0));
    // As long as the music, which is shorter.
    assert!(
        (498..=501).contains(&seen.pictures.len()),
        "{}",
        seen.pictures.len()
    );
    let error = mean_error(&seen.pictures, dance, song, (1000, 19_000));
    assert!(error <= 25.0, "{error}");
    let untouched: Vec<_> = (0..500).map(|n| (ms(40) * n, n)).collect();
    assert!(mean_error(&untouched, dance, song, (1000, 19_000)) > 100.0);
    // The music is what it was, memory and all.
    assert_eq!(seen.sent, seen.heard);
    assert_eq!(seen.heard.len(), 2000);
    // The path tells the same.
    let json: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
    assert_eq!(json["method"], "dtw-bounded");
    assert_eq!(json["pictures"], seen.pictures.len());
    assert_eq!(json["visual"].as_array().unwrap().len(), 50);
    let points = json["path"].as_array().unwrap();
    assert_eq!(points.len(), seen.pictures.len());
    for (point, (pts, frame)) in points.iter().zip(&seen.pictures) {
        assert!((point[0].as_f64().unwrap() - pts.mseconds() as f64 / 1000.0).abs() < 1e-6);
        assert!((point[1].as_f64().unwrap() * FPS as f64 - *frame as f64).abs() <= 0.51);
    }
    let stats = play.element().property::<gst::Structure>("stats");
    assert_eq!(
        stats.get::<u64>("pictures").unwrap(),
        seen.pictures.len() as u64
    );
    // Those before the first picture too.
    let dropped = seen.pictures[0].1
        + (seen.pictures.windows(2))
            .map(|p| (p[1].1 - p[0].1).saturating_sub(1))
            .sum::<u64>();
    assert_eq!(stats.get::<u64>("dropped").unwrap(), dropped);
    let repeated = seen
        .pictures
        .windows(2)
        .filter(|p| p[1].1 == p[0].1)
        .count() as u64;
    assert_eq!(stats.get::<u64>("repeated").unwrap(), repeated);
    let p50 = stats.get::<f64>("speed-p50").unwrap();
    assert!((1.1..=1.3).contains(&p50), "{p50}");
}

#[test]
fn ten_minutes_later_both_are_still_together() {
    let dir = Dir::new();
    let path = dir.file("marks");
    // All of them on a frame.
    let (dance, song) = ((520, 680), (320, 600));
    file(&path, Some(dance), Some(song), 720);
    let properties = format!("marks-location={}", path.display());
    let music = "audiotestsrc samplesperbuffer=4410 num-buffers=6000";
    let (seen, words) = Play::new(&properties, &video(720), music, [None; 2]).finish();
    assert_eq!(words, ["aligned"]);
    // On the timeline of the music to the nanosecond, which goes out as it came in.
    assert_sound(&seen.pictures, ms(0));
    // One may be ahead of the music when it ends.
    let count = seen.pictures.len() as u64;
    assert!((600 * FPS..=600 * FPS + 1).contains(&count), "{count}");
    assert_eq!(seen.sent, seen.heard);
    for minute in [0, 5, 9] {
        let range = (minute * 60_000 + 2_000, minute * 60_000 + 58_000);
        let error = mean_error(&seen.pictures, dance, song, range);
        assert!(error < 1.0, "minute {minute}: {error} ms");
    }
}

#[test]
fn every_method_keeps_its_bounds() {
    let dir = Dir::new();
    let location = dir.file("marks");
    file(&location, Some((300, 700)), Some((250, 430)), 12);
    for method in ["shift", "acceleration", "dtw", "dtw-bounded"] {
        for interpolation in ["nearest", "blend"] {
            let properties = format!(
                "marks-location={} method={method} interpolation={interpolation}",
                location.display()
            );
            let play = Play::new(&properties, &video(12), &audio(8), [None; 2]);
            let (seen, words) = play.finish();
            assert_eq!(words, ["aligned"], "{method}");
            assert!(
                seen.pictures.len() > 100,
                "{method}: {}",
                seen.pictures.len()
            );
            if interpolation == "nearest" {
                assert_sound(&seen.pictures, ms(0));
            }
            let stats = play.element().property::<gst::Structure>("stats");
            let fastest = stats.get::<f64>("speed-max").unwrap();
            assert!(fastest <= 2.0 + 1e-6, "{method}: {fastest}");
        }
    }
}

#[test]
fn one_pass_pulls_beats_together() {
    let (dance, song) = ((350, 500), (200, 500));
    let play = Play::new("", &video(20), &audio(20), [Some(dance), Some(song)]);
    let (seen, words) = play.finish();
    assert_eq!(words, ["aligned"]);
    assert_sound(&seen.pictures, ms(0));
    assert!(
        (495..=501).contains(&seen.pictures.len()),
        "{}",
        seen.pictures.len()
    );
    let error = mean_error(&seen.pictures, dance, song, (2000, 18_000));
    assert!(error <= 25.0, "{error}");
    // The marks have moved along, and lie on the pictures that cover them.
    let beats: Vec<_> = seen.beats.iter().filter(|(at, _)| *at > ms(2000)).collect();
    assert!(beats.len() >= 33, "{}", beats.len());
    for (at, pts) in beats {
        assert!(pts <= at && *at < *pts + ms(40), "{at} on {pts}");
        let phase = (at.mseconds() as f64 - song.0 as f64).rem_euclid(500.0);
        assert!(phase.min(500.0 - phase) <= 40.0, "a beat at {at}");
    }
    assert_eq!(seen.sent, seen.heard);
}

#[test]
fn without_marks_on_a_side_nothing_moves() {
    let beats = Some((350, 500));
    for (beats, expected) in [
        ([None, beats], "no-visual-marks"),
        ([beats, None], "no-audio-marks"),
        ([None, None], "no-visual-marks"),
    ] {
        // In one pass, and from a file.
        let dir = Dir::new();
        file(&dir.file("marks"), beats[0], beats[1], 8);
        let location = format!("marks-location={}", dir.file("marks").display());
        for (properties, riding) in [("", beats), (location.as_str(), [None; 2])] {
            let play = Play::new(properties, &video(8), &audio(8), riding);
            let (seen, words) = play.finish();
            assert_eq!(words, [expected]);
            let expected: Vec<_> = (0..200).map(|n| (ms(40) * n, n)).collect();
            assert_eq!(seen.pictures, expected);
        }
    }
}

#[test]
fn one_mark_is_enough() {
    let dir = Dir::new();
    let location = dir.file("marks");
    // One of the dance at 3 s; the first beats of the song are nearest.
    let text = lines("eye", Kind::VisualBeat, 3000, 10_000, 8000)
        + &lines("ear", Kind::Beat, 200, 700, 8000);
    std::fs::write(&location, text).unwrap();
    let properties = format!("marks-location={}", location.display());
    let (seen, _) = Play::new(&properties, &video(8), &audio(8), [None; 2]).finish();
    assert_sound(&seen.pictures, ms(0));
    let (at, _) = seen
        .pictures
        .iter()
        .find(|(_, frame)| *frame >= 75)
        .unwrap();
    let phase = (at.mseconds() as f64 - 200.0).rem_euclid(700.0);
    assert!(phase.min(700.0 - phase) <= 40.0, "{at}");
}

#[test]
fn the_shorter_side_ends_the_video_and_the_music_plays_on() {
    for (seconds, song) in [(2, 20), (20, 2)] {
        let play = Play::new(
            "",
            &video(seconds),
            &audio(song),
            [Some((350, 500)), Some((200, 500))],
        );
        let (seen, _) = play.finish();
        let end = seen.pictures.last().unwrap().0;
        assert!((ms(1700)..=ms(2400)).contains(&end), "{end}");
        assert_eq!(seen.heard.len() as u64, song * 100);
    }
}

#[test]
fn a_start_elsewhere_is_the_start_of_the_music() {
    // Frames from 100 s of their file, sound from 50 s of its own, at the same running time.
    let play = Play::new(
        "",
        &format!("{} ! identity name=later", video(6)),
        &format!("{} ! identity name=sooner", audio(6)),
        [None, None],
    );
    for (name, start) in [("later", 100_000), ("sooner", 50_000)] {
        let pad = (play.pipeline.by_name(name).unwrap().static_pad("src")).unwrap();
        probe(&pad, move |buffer| {
            let pts = buffer.pts().unwrap() + ms(start);
            buffer.make_mut().set_pts(pts);
        });
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &mut info.data
                && event.type_() == gst::EventType::Segment
            {
                *event = gst::event::Segment::new(&segment(ms(start)));
            }
            gst::PadProbeReturn::Ok
        });
    }
    let (seen, _) = play.finish();
    let expected: Vec<_> = (0..150)
        .map(|n| (ms(50_000) + ms(40) * n, 2500 + n))
        .collect();
    assert_eq!(seen.pictures, expected);
}

#[test]
fn frames_of_any_distance_come_out_evenly() {
    // Every third frame is missing, and the caps know no rate.
    let video = format!("{} ! identity name=thin", video(8));
    let play = Play::new("", &video, &audio(8), [None, Some((200, 500))]);
    let pad = play
        .pipeline
        .by_name("thin")
        .unwrap()
        .static_pad("src")
        .unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        let frame = info.buffer().unwrap().pts().unwrap().mseconds() / 40;
        if frame % 3 == 1 {
            gst::PadProbeReturn::Drop
        } else {
            gst::PadProbeReturn::Ok
        }
    });
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
        {
            let mut caps = caps.caps_owned();
            let writable = caps.make_mut();
            writable.set("max-framerate", gst::Fraction::new(FPS as i32, 1));
            writable.set("framerate", gst::Fraction::new(0, 1));
            *event = gst::event::Caps::new(&caps);
        }
        gst::PadProbeReturn::Ok
    });
    let (seen, _) = play.finish();
    assert_sound(&seen.pictures, ms(0));
    for (pts, frame) in &seen.pictures {
        assert!(
            (frame * 40).abs_diff(pts.mseconds()) <= 40,
            "{frame} at {pts}"
        );
        assert_ne!(frame % 3, 1);
    }
    let screen = play
        .pipeline
        .by_name("screen")
        .unwrap()
        .static_pad("sink")
        .unwrap();
    let caps = screen.current_caps().unwrap();
    let rate = caps
        .structure(0)
        .unwrap()
        .get::<gst::Fraction>("framerate")
        .unwrap();
    assert_eq!(rate, gst::Fraction::new(FPS as i32, 1));
}

#[test]
fn each_picture_goes_out_under_its_own_caps() {
    for interpolation in ["nearest", "blend"] {
        let caps =
            |width| format!("video/x-raw,format=GRAY8,width={width},height=8,framerate={FPS}/1");
        let play = Play::new(
            &format!("interpolation={interpolation}"),
            &format!(
                "videotestsrc num-buffers=150 ! capsfilter name=size caps={}",
                caps(16)
            ),
            &audio(6),
            [Some((300, 600)), Some((250, 500))],
        );
        let size = play.pipeline.by_name("size").unwrap();
        let eye = play
            .pipeline
            .by_name("eye")
            .unwrap()
            .static_pad("sink")
            .unwrap();
        let wide = caps(32);
        probe(&eye, move |buffer| {
            if buffer.pts() == Some(ms(2000)) {
                size.set_property_from_str("caps", &wide);
            }
        });
        let screen = play.pipeline.by_name("screen").unwrap();
        let screen = screen.static_pad("sink").unwrap();
        let widths = Arc::new(Mutex::new(Vec::new()));
        let found = widths.clone();
        let pad = screen.downgrade();
        probe(&screen, move |buffer| {
            let caps = pad.upgrade().unwrap().current_caps().unwrap();
            let width: i32 = caps.structure(0).unwrap().get("width").unwrap();
            found
                .lock()
                .unwrap()
                .push((width as usize * 8, buffer.size()));
        });
        let (_, words) = play.finish();
        assert!(!words.contains(&"warning".to_owned()), "{words:?}");
        let widths = widths.lock().unwrap();
        assert!(
            widths.iter().all(|(caps, buffer)| caps == buffer),
            "{widths:?}"
        );
        for size in [128, 256] {
            let count = widths.iter().filter(|(caps, _)| *caps == size).count();
            assert!(count > 30, "{count} of {size} bytes");
        }
    }
}

#[test]
fn tempi_an_octave_apart_meet() {
    let dir = Dir::new();
    for song in [(200, 300), (200, 1200)] {
        let dance = (400, 600);
        file(&dir.file("marks"), Some(dance), Some(song), 24);
        let properties = format!("marks-location={}", dir.file("marks").display());
        let (seen, _) = Play::new(&properties, &video(24), &audio(20), [None; 2]).finish();
        assert_sound(&seen.pictures, ms(0));
        // Every beat of the dance, or of the song, whichever has fewer.
        let error = if song.1 > dance.1 {
            mean_error(&seen.pictures, dance, song, (2000, 18_000))
        } else {
            mean_error(&seen.pictures, dance, song, (2000, 18_000)) - 150.0
        };
        assert!(error <= 25.0, "{error} at {song:?}");
        let frames = seen.pictures[400].1 - seen.pictures[100].1;
        assert!((280..=320).contains(&frames), "{frames}");
    }
}

#[test]
fn a_seek_goes_to_where_the_video_belongs() {
    let dir = Dir::new();
    let (dance, song) = ((400, 600), (200, 500));
    file(&dir.file("marks"), Some(dance), Some(song), 40);
    let properties = format!("marks-location={}", dir.file("marks").display());
    let video =
        format!("videotestsrc ! video/x-raw,format=GRAY8,width=16,height=8,framerate={FPS}/1");
    let play = Play::new(
        &properties,
        &video,
        "audiotestsrc samplesperbuffer=441",
        [None; 2],
    );
    play.pipeline
        .by_name("screen")
        .unwrap()
        .set_property("sync", true);
    play.pipeline.set_state(gst::State::Paused).unwrap();
    let (result, ..) = play.pipeline.state(gst::ClockTime::from_seconds(30));
    result.unwrap();
    let set = gst::SeekType::Set;
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    for _ in 0..3 {
        play.pipeline
            .seek(1.0, flags, set, ms(12_000), set, ms(20_000))
            .unwrap();
    }
    play.seen.lock().unwrap().pictures.clear();
    play.pipeline
        .by_name("screen")
        .unwrap()
        .set_property("sync", false);
    let (result, ..) = play.pipeline.state(gst::ClockTime::from_seconds(30));
    result.unwrap();
    let (seen, _) = play.finish();
    let after: Vec<_> = seen
        .pictures
        .iter()
        .copied()
        .filter(|(pts, _)| *pts >= ms(12_000))
        .collect();
    assert!(after.len() >= 195, "{}", after.len());
    assert!((ms(19_900)..=ms(20_000)).contains(&after.last().unwrap().0));
    // 12 s of the song are 14.4 s of the dance.
    let (_, frame) = after[after.len() - 150];
    let expected = 14.4 * FPS as f64 + 50.0 * 1.2;
    assert!(
        (frame as f64 - expected).abs() < 12.0,
        "frame {frame}, not {expected}"
    );
    let error = mean_error(&after, dance, song, (13_000, 19_500));
    assert!(error <= 25.0, "{error}");
}

#[test]
fn live_latency_is_the_look_ahead() {
    let play = Play::new(
        "look-ahead=300000000",
        &format!(
            "videotestsrc is-live=true num-buffers=50 ! video/x-raw,format=GRAY8,width=16,height=8,framerate={FPS}/1"
        ),
        "audiotestsrc is-live=true num-buffers=200 samplesperbuffer=441",
        [Some((350, 500)), Some((200, 500))],
    );
    play.pipeline
        .by_name("screen")
        .unwrap()
        .set_property("sync", true);
    let (seen, _) = play.finish();
    let mut query = gst::query::Latency::new();
    assert!(
        play.element()
            .static_pad("video_src")
            .unwrap()
            .query(&mut query)
    );
    let (live, min, _) = query.result();
    assert!(live && min >= ms(300), "{min}");
    // How busy the machine is decides on how many are in time, but none comes twice or goes back.
    assert!(seen.pictures.len() > 10, "{}", seen.pictures.len());
    for pair in seen.pictures.windows(2) {
        assert!(pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
    }
    assert_eq!(seen.sent.len(), seen.heard.len());
}

#[test]
fn a_video_without_music_passes() {
    let pipeline = Playing::new(&format!(
        "dtwretarget name=r {} ! r.video_sink r.video_src ! fakesink name=screen",
        video(2)
    ));
    let count = Arc::new(Mutex::new(Vec::new()));
    let seen = count.clone();
    let pad = pipeline
        .by_name("screen")
        .unwrap()
        .static_pad("sink")
        .unwrap();
    probe(&pad, move |buffer| {
        seen.lock().unwrap().push(buffer.pts().unwrap())
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    assert_eq!(pipeline.end().type_(), gst::MessageType::Eos);
    let expected: Vec<_> = (0..50).map(|n| ms(40) * n).collect();
    assert_eq!(*count.lock().unwrap(), expected);
}

#[test]
fn music_that_does_not_come_holds_nothing_up_for_ever() {
    let pipeline = Playing::new(&format!(
        "dtwretarget name=r starve-timeout=300000000 {} ! r.video_sink \
         appsrc name=silent format=time is-live=false ! audio/x-raw,format=U8,rate=1000,channels=1,layout=interleaved \
         ! r.audio_sink r.video_src ! fakesink name=screen async=false",
        video(4)
    ));
    let count = Arc::new(Mutex::new(Vec::new()));
    let seen = count.clone();
    let pad = (pipeline.by_name("screen").unwrap().static_pad("sink")).unwrap();
    probe(&pad, move |buffer| {
        seen.lock().unwrap().push(number_of_time(buffer));
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let warning = message_within(&bus, gst::MessageType::Warning);
    assert!(warning.is_some(), "no warning of what is missing");
    assert_eq!(wait_eos(&pad), ms(4000) - ms(40));
    assert_eq!(*count.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

fn number_of_time(buffer: &gst::BufferRef) -> u64 {
    buffer.pts().unwrap().mseconds() * FPS / 1000
}

/// The first message of that type, on a machine however slow.
fn message_within(bus: &gst::Bus, type_: gst::MessageType) -> Option<gst::Message> {
    bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &[type_])
}

/// Waits until a pad has an EOS; returns the PTS of the last buffer its sink had.
fn wait_eos(pad: &gst::Pad) -> gst::ClockTime {
    for _ in 0..6000 {
        if pad.pad_flags().contains(gst::PadFlags::EOS) {
            let sink = pad.parent_element().unwrap();
            let sample = sink.property::<gst::Sample>("last-sample");
            return sample.buffer().unwrap().pts().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no end of the video");
}

#[test]
fn a_multiplexer_that_takes_turns_is_fed() {
    // It holds one buffer of each side, so that neither may wait for the other to come far. Where the music has a stop, its
    // EOS waits behind its last buffer, and that for video.
    let dir = Dir::new();
    file(&dir.file("marks"), Some((400, 600)), Some((200, 500)), 10);
    for stop in [None, Some(ms(8000))] {
        let pipeline = Playing::new(&format!(
            "dtwretarget name=r starve-timeout=300000000 marks-location={} \
             {} ! r.video_sink {} ! identity name=ear ! r.audio_sink \
             matroskamux name=mux ! fakesink name=out \
             r.video_src ! videoconvert ! video/x-raw,format=I420 ! mux. r.audio_src ! mux.",
            dir.file("marks").display(),
            video(10),
            audio(8)
        ));
        let ear = (pipeline.by_name("ear").unwrap().static_pad("src")).unwrap();
        ear.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &mut info.data
                && event.type_() == gst::EventType::Segment
            {
                let mut segment = segment(ms(0));
                segment.set_stop(stop);
                *event = gst::event::Segment::new(&segment);
            }
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        assert_eq!(pipeline.end().type_(), gst::MessageType::Eos);
        let pictures = stat(&pipeline.by_name("r").unwrap(), "pictures");
        assert!((199..=202).contains(&pictures), "{pictures}");
    }
}

#[test]
fn an_error_of_downstream_reaches_upstream() {
    let play = Play::new(
        "",
        "videotestsrc ! video/x-raw,format=GRAY8,width=16,height=8,framerate=25/1",
        "audiotestsrc",
        [None; 2],
    );
    let screen = (play.pipeline.by_name("screen").unwrap().static_pad("sink")).unwrap();
    // A sink that fails after some pictures.
    screen.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().unwrap().pts().unwrap() < ms(1000) {
            return gst::PadProbeReturn::Ok;
        }
        info.flow_res = Err(gst::FlowError::NotNegotiated);
        gst::PadProbeReturn::Handled
    });
    play.pipeline.set_state(gst::State::Playing).unwrap();
    let end = play.pipeline.end();
    assert_eq!(end.type_(), gst::MessageType::Error);
}

#[test]
fn it_can_be_paused_sought_and_cycled() {
    let dir = Dir::new();
    file(&dir.file("marks"), Some((400, 600)), Some((200, 500)), 60);
    let location = format!("marks-location={}", dir.file("marks").display());
    for properties in ["", &location] {
        let play = Play::new(
            properties,
            "videotestsrc ! video/x-raw,format=GRAY8,width=16,height=8,framerate=25/1",
            "audiotestsrc samplesperbuffer=441",
            [None; 2],
        );
        for round in 0..3u64 {
            play.pipeline.set_state(gst::State::Playing).unwrap();
            for n in 0..15 {
                let (flags, set) = (gst::SeekFlags::FLUSH, gst::SeekType::Set);
                let start = ms(20_000 - 700 * n);
                // While it comes to its end or is still starting, a seek may be refused.
                let _ = play.pipeline.seek(1.0, flags, set, start, set, ms(22_000));
                std::thread::sleep(std::time::Duration::from_millis(3 * (n + round) % 7));
                let state = if n % 3 == 0 {
                    gst::State::Paused
                } else {
                    gst::State::Playing
                };
                play.pipeline.set_state(state).unwrap();
            }
            let (flags, set) = (gst::SeekFlags::FLUSH, gst::SeekType::Set);
            play.pipeline.set_state(gst::State::Playing).unwrap();
            let bus = play.pipeline.bus().unwrap();
            let done = [gst::MessageType::AsyncDone, gst::MessageType::Eos];
            let _ = bus.timed_pop_filtered(ms(200), &done);
            let _ = play
                .pipeline
                .seek(1.0, flags, set, ms(10_000), set, ms(12_000));
            let _ = play.rest();
            play.pipeline.set_state(gst::State::Null).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_is_told() {
    let dir = Dir::new();
    let broken = dir.file("broken");
    std::fs::write(
        &broken,
        "{\"kind\":\"beat\",\"timestamp\":1}\n{\"kind\":\"thud\",\"timestamp\":2}\n",
    )
    .unwrap();
    for (properties, words) in [
        (
            format!("marks-location={}", dir.file("nowhere").display()),
            "No such file",
        ),
        (
            format!("marks-location={}", broken.display()),
            "line 2: unknown kind 'thud'",
        ),
    ] {
        let play = Play::new(&properties, &video(1), &audio(1), [None; 2]);
        assert!(play.pipeline.set_state(gst::State::Playing).is_err());
        let error: glib::Error = error(&play.pipeline.bus().unwrap());
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn it_leaks_nothing() {
    assert_no_leaks("it_leaks_nothing", || {
        let play = Play::new(
            "",
            &video(2),
            &audio(2),
            [Some((350, 500)), Some((200, 500))],
        );
        play.finish();
    });
}
