// SPDX-License-Identifier: MPL-2.0
//! `marksink`: what it writes, and how it fails.

// Helpers fail a test as it does itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;
#[path = "marksink/editors.rs"]
mod editors;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gstdance::marks::{self, Kind, Mark};

fn sink(path: &Path, format: &str) -> gst::Element {
    init();
    gst::ElementFactory::make("marksink")
        .property("location", path.to_str().unwrap())
        .property_from_str("format", format)
        .build()
        .unwrap()
}

fn harness(sink: &gst::Element) -> Harness {
    let mut harness = Harness::with_element(sink, Some("sink"), None);
    harness.set_src_caps_str("audio/x-raw");
    harness
}

/// What is in the file after these buffers and EOS.
fn written(format: &str, buffers: &[gst::Buffer]) -> String {
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, format);
    let mut harness = harness(&sink);
    for buffer in buffers {
        harness.push(buffer.clone()).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    sink.set_state(gst::State::Null).unwrap();
    read(&path)
}

#[test]
fn defaults_suit_a_file_of_marks() {
    init();
    let sink = gst::ElementFactory::make("marksink").build().unwrap();
    assert!(!sink.property::<bool>("sync"));
    assert!(!sink.property::<bool>("enable-last-sample"));
    assert_eq!(sink.property::<Option<String>>("location"), None);
    assert_eq!(stat(&sink, "marks"), 0);
}

#[test]
fn json_lines_have_every_field() {
    let beat = Mark {
        predicted: true,
        stream_time: None,
        beat_in_bar: 3,
        ..mark(7, Kind::Beat, gst::ClockTime::from_nseconds(1_523_000_001))
    };
    let buffers = [
        buffer(ms(1500), ms(100), &[beat, onset(8, ms(1540))]),
        buffer(ms(1600), ms(100), &[]),
    ];
    assert_eq!(
        written("jsonl", &buffers),
        concat!(
            r#"{"version":1,"source":"ear","id":7,"kind":"beat","timestamp":1523000001,"#,
            r#""running-time":1523000001,"stream-time":null,"strength":1.25,"confidence":0.5,"#,
            r#""bpm":120.0,"beat-in-bar":3,"predicted":true}"#,
            "\n",
            r#"{"version":1,"source":"ear","id":8,"kind":"onset","timestamp":1540000000,"#,
            r#""running-time":1540000000,"stream-time":1540000000,"strength":1.25,"#,
            r#""confidence":0.5,"bpm":null,"beat-in-bar":0,"predicted":false}"#,
            "\n",
        )
    );
}

#[test]
fn json_lines_survive_any_source() {
    let source = "a \"b\"\\\n\u{1}é";
    let mut carrier = buffer(ms(0), ms(10), &[]);
    marks::attach(carrier.make_mut(), source, &[onset(u64::MAX, ms(0))]);
    let text = written("jsonl", &[carrier]);
    let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert_eq!(value["source"], source);
    assert_eq!(value["id"], u64::MAX);
}

#[test]
fn csv_is_read_back() {
    let source = "a,\"b\"\nc";
    let mut carrier = buffer(ms(0), ms(10), &[mark(1, Kind::Downbeat, ms(5))]);
    marks::attach(
        carrier.make_mut(),
        source,
        &[Mark {
            running_time: None,
            ..onset(2, ms(6))
        }],
    );
    let text = written("csv", &[carrier]);
    assert!(
        text.contains("\"a,\"\"b\"\"\nc\""),
        "quoted by RFC 4180: {text}"
    );
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(
        reader.headers().unwrap(),
        vec![
            "version",
            "source",
            "id",
            "kind",
            "timestamp",
            "running-time",
            "stream-time",
            "strength",
            "confidence",
            "bpm",
            "beat-in-bar",
            "predicted"
        ]
    );
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let beat = ["1", "ear", "1", "downbeat", "5000000", "5000000", "5000000"];
    let tail = ["1.25", "0.5", "120.0", "1", "false"];
    assert_eq!(rows[0], [&beat[..], &tail].concat());
    let onset = ["1", source, "2", "onset", "6000000", "", "6000000"];
    let tail = ["1.25", "0.5", "", "0", "false"];
    assert_eq!(rows[1], [&onset[..], &tail].concat());
    assert_eq!(rows.len(), 2);
}

#[test]
fn audacity_labels_have_stream_time() {
    let beat = Mark {
        stream_time: Some(gst::ClockTime::from_nseconds(61_000_000_500)),
        ..mark(1, Kind::Downbeat, ms(5))
    };
    assert_eq!(
        written(
            "audacity",
            &[buffer(ms(0), ms(10), &[beat, onset(2, ms(6))])]
        ),
        "61.000001\t61.000001\tdownbeat 1 120.0 BPM\n0.006000\t0.006000\tonset\n"
    );
}

/// Start and end in ms, identifier and text of the cues of a WebVTT file, which has to be valid.
fn cues(text: &str) -> Vec<(u64, u64, String, String)> {
    fn time(text: &str) -> u64 {
        let (hms, ms) = text.split_once('.').unwrap();
        let parts: Vec<&str> = hms.split(':').collect();
        let [h, m, s] = parts[..] else {
            panic!("{text}")
        };
        assert!(h.len() >= 2 && m.len() == 2 && s.len() == 2 && ms.len() == 3);
        let [h, m, s, ms] = [h, m, s, ms].map(|n| n.parse::<u64>().unwrap());
        assert!(m < 60 && s < 60);
        ((h * 60 + m) * 60 + s) * 1000 + ms
    }
    let mut blocks = text.split("\n\n");
    assert_eq!(blocks.next().unwrap().trim_end(), "WEBVTT");
    let cues: Vec<_> = blocks
        .map(|block| {
            let lines: Vec<_> = block.trim_end().split('\n').collect();
            let [id, times, payload] = lines[..] else {
                panic!("{block}")
            };
            assert!(!id.contains("-->") && !payload.contains("-->"));
            let (start, end) = times.split_once(" --> ").unwrap();
            (time(start), time(end), id.to_owned(), payload.to_owned())
        })
        .collect();
    for (start, end, ..) in &cues {
        assert!(end > start, "a cue lasts");
    }
    for pair in cues.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "cues are ordered: {pair:?}");
        assert!(
            pair[0].0 == pair[1].0 || pair[0].1 <= pair[1].0,
            "until the next: {pair:?}"
        );
    }
    cues
}

#[test]
fn webvtt_cues_are_ordered_and_end_at_the_next() {
    let hour = gst::ClockTime::from_seconds(3600);
    // A predicted beat comes first, an onset late, and two are at one instant.
    let buffers = [
        buffer(ms(0), ms(100), &[mark(1, Kind::Beat, ms(600))]),
        buffer(ms(100), ms(100), &[onset(2, ms(80))]),
        buffer(ms(500), ms(100), &[onset(3, ms(501)), onset(4, ms(600))]),
        buffer(hour, ms(100), &[onset(5, hour)]),
    ];
    let text = written("webvtt", &buffers);
    let expected = [
        (80, 280, "ear 2", "onset"),
        (501, 600, "ear 3", "onset"),
        (600, 800, "ear 1", "beat 1 120.0 BPM"),
        (600, 800, "ear 4", "onset"),
        (3_600_000, 3_600_200, "ear 5", "onset"),
    ]
    .map(|(start, end, id, text)| (start, end, id.to_owned(), text.to_owned()));
    assert_eq!(cues(&text), expected);
}

#[test]
fn webvtt_is_written_as_the_stream_goes_on() {
    let dir = Dir::new();
    let path = dir.file("marks.vtt");
    let sink = sink(&path, "webvtt");
    let bus = gst::Bus::new();
    let mut harness = harness(&sink);
    sink.set_bus(Some(&bus));
    assert_eq!(read(&path), "WEBVTT\n");
    harness
        .push(buffer(ms(0), ms(100), &[onset(1, ms(50))]))
        .unwrap();
    assert!(cues(&read(&path)).is_empty(), "something earlier may come");
    assert!(harness.push_event(gst::event::Gap::new(ms(100), ms(400))));
    assert!(cues(&read(&path)).is_empty());
    assert!(harness.push_event(gst::event::Gap::new(ms(500), ms(50))));
    assert_eq!(cues(&read(&path)).len(), 1);
    // Far too late for an ordered file: counted, and warned of once.
    harness
        .push(buffer(
            ms(550),
            ms(50),
            &[onset(2, ms(10)), onset(3, ms(20))],
        ))
        .unwrap();
    assert_eq!((stat(&sink, "out-of-order"), stat(&sink, "marks")), (2, 1));
    assert!(message(&bus, gst::MessageType::Warning).is_some());
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    harness
        .push(buffer(ms(600), ms(50), &[onset(4, ms(600))]))
        .unwrap();
    sink.set_bus(None);
    // Without an EOS the rest comes when the file is closed.
    sink.set_state(gst::State::Ready).unwrap();
    assert_eq!(cues(&read(&path)).len(), 2);
    sink.set_state(gst::State::Null).unwrap();
}

#[test]
fn webvtt_identifiers_are_one_line_without_an_arrow() {
    let mut carrier = buffer(ms(0), ms(10), &[]);
    marks::attach(carrier.make_mut(), "a --> b\n\nc", &[onset(1, ms(0))]);
    let cues = cues(&written("webvtt", &[carrier]));
    assert_eq!(cues.len(), 1);
    assert_eq!(cues[0].2, "a - b  c 1");
}

#[test]
fn each_mark_is_in_the_file_at_once() {
    for format in ["jsonl", "csv", "audacity"] {
        let dir = Dir::new();
        let path = dir.file("marks");
        let sink = sink(&path, format);
        let mut harness = harness(&sink);
        let header = read(&path).lines().count();
        for id in 0..3 {
            let at = ms(10 * id);
            harness.push(buffer(at, ms(10), &[onset(id, at)])).unwrap();
            assert_eq!(read(&path).lines().count(), header + 1 + id as usize);
            assert!(read(&path).ends_with('\n'));
        }
    }
}

#[test]
fn repeats_are_dropped_and_kinds_are_counted() {
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "jsonl");
    let mut harness = harness(&sink);
    let found = [
        mark(1, Kind::Beat, ms(0)),
        mark(2, Kind::Downbeat, ms(1)),
        onset(3, ms(2)),
        onset(4, ms(3)),
    ];
    for pts in [0, 10, 20] {
        harness.push(buffer(ms(pts), ms(10), &found)).unwrap();
    }
    // The same id of another source is another mark.
    let mut other = buffer(ms(30), ms(10), &[]);
    marks::attach(
        other.make_mut(),
        "eye",
        &[mark(1, Kind::VisualBeat, ms(30))],
    );
    harness.push(other).unwrap();
    let counts = [
        "marks",
        "duplicates",
        "beat",
        "downbeat",
        "onset",
        "visual-beat",
    ]
    .map(|name| stat(&sink, name));
    assert_eq!(counts, [5, 8, 1, 1, 2, 1]);
    assert_eq!(read(&path).lines().count(), 5);
}

#[test]
fn marks_come_in_events_too() {
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "jsonl");
    let mut harness = harness(&sink);
    harness
        .push(buffer(ms(0), ms(10), &[onset(1, ms(0))]))
        .unwrap();
    let late = [onset(1, ms(0)), onset(2, ms(5))];
    assert!(harness.push_event(marks::event("ear", &late)));
    assert!(harness.push_event(marks::tempo_event(120.0, 1.0, 4)));
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(read(&path).lines().count(), 2);
    assert_eq!(stat(&sink, "duplicates"), 1);
}

#[test]
fn the_stream_may_be_of_any_kind() {
    // Without timestamps, out of the segment, of no duration, empty, in a list, in two segments.
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "jsonl");
    let mut harness = harness(&sink);
    assert!(harness.push_event(gst::event::Segment::new(&segment(ms(1000)))));
    harness
        .push(buffer(None, None, &[onset(1, ms(1))]))
        .unwrap();
    harness
        .push(buffer(ms(10), ms(10), &[onset(2, ms(2))]))
        .unwrap();
    let mut empty = gst::Buffer::new();
    marks::attach(empty.get_mut().unwrap(), "ear", &[onset(3, ms(3))]);
    harness.push(empty).unwrap();
    assert!(harness.push_event(gst::event::Segment::new(&segment(ms(5000)))));
    let mut list = gst::BufferList::new();
    for id in 4..6 {
        let at = ms(5000 + id);
        list.get_mut()
            .unwrap()
            .add(buffer(at, None, &[onset(id, at)]));
    }
    harness.srcpad().unwrap().push_list(list).unwrap();
    assert!(harness.push_event(gst::event::Gap::new(ms(6000), None)));
    let bytes = gst::FormattedSegment::<gst::format::Bytes>::new();
    assert!(harness.push_event(gst::event::Segment::new(&bytes)));
    harness
        .push(buffer(ms(0), None, &[onset(6, ms(0))]))
        .unwrap();
    assert_eq!(stat(&sink, "marks"), 6);
    assert_eq!(read(&path).lines().count(), 6);
}

#[test]
fn a_flush_carries_the_file_on() {
    for format in ["jsonl", "webvtt"] {
        let dir = Dir::new();
        let path = dir.file("marks");
        let sink = sink(&path, format);
        let mut harness = harness(&sink);
        harness
            .push(buffer(ms(0), ms(10), &[onset(1, ms(0))]))
            .unwrap();
        assert!(harness.push_event(gst::event::FlushStart::new()));
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        assert!(harness.push_event(gst::event::Segment::new(&segment(ms(1000)))));
        // Ids may begin anew.
        harness
            .push(buffer(ms(1000), ms(10), &[onset(1, ms(1000))]))
            .unwrap();
        assert!(harness.push_event(gst::event::Eos::new()));
        assert_eq!(read(&path).matches("onset").count(), 2, "{format}");
    }
}

/// The error, and the state change that it fails.
fn open_error(path: Option<&str>, format: &str) -> gst::glib::Error {
    init();
    let sink = gst::ElementFactory::make("marksink")
        .property("location", path)
        .property_from_str("format", format)
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    sink.set_state(gst::State::Ready).unwrap();
    assert!(sink.set_state(gst::State::Paused).is_err());
    let error = error(&bus);
    // Put right, it works.
    let dir = Dir::new();
    let good = dir.file("marks");
    sink.set_property("location", good.to_str());
    sink.set_state(gst::State::Paused).unwrap();
    assert!(good.is_file());
    sink.set_state(gst::State::Null).unwrap();
    sink.set_bus(None);
    error
}

#[test]
fn a_file_that_cannot_be_had_is_named() {
    for path in [None, Some("")] {
        let error = open_error(path, "jsonl");
        assert!(error.matches(gst::ResourceError::NotFound), "{error:?}");
        assert!(error.message().contains("'location'"), "{error}");
    }
    for (path, reason) in [
        ("/nonexistent/marks", "os error 2"),
        ("/tmp", "os error 21"),
    ] {
        let error = open_error(Some(path), "jsonl");
        assert!(error.matches(gst::ResourceError::OpenWrite), "{error:?}");
        assert!(error.message().contains(path), "{error}");
        assert!(error.message().contains(reason), "{error}");
    }
    let error = open_error(Some("/dev/full"), "csv");
    assert!(error.matches(gst::ResourceError::NoSpaceLeft), "{error:?}");
}

#[test]
fn a_full_disk_is_an_error_once() {
    let sink = sink(Path::new("/dev/full"), "jsonl");
    let bus = gst::Bus::new();
    let mut harness = harness(&sink);
    sink.set_bus(Some(&bus));
    harness.push(buffer(ms(0), ms(10), &[])).unwrap();
    for id in 0..3 {
        let result = harness.push(buffer(ms(10), ms(10), &[onset(id, ms(10))]));
        assert_eq!(result, Err(gst::FlowError::Error));
    }
    assert!(!harness.push_event(gst::event::Eos::new()));
    let error = error(&bus);
    assert!(error.matches(gst::ResourceError::NoSpaceLeft), "{error:?}");
    assert!(error.message().contains("/dev/full"), "{error}");
    let more = [gst::MessageType::Error, gst::MessageType::Eos];
    assert!(bus.pop_filtered(&more).is_none());
    assert_eq!(stat(&sink, "marks"), 0);
    sink.set_bus(None);
}

#[test]
fn what_a_full_disk_cut_short_is_taken_back() {
    if !is_child() {
        // A limit of the shell on the size of files cuts a write short as a full disk does.
        let name = "what_a_full_disk_cut_short_is_taken_back";
        let output = run_alone(name, "trap '' XFSZ; ulimit -f 4;", &[]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        return;
    }
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "jsonl");
    let bus = gst::Bus::new();
    let mut harness = harness(&sink);
    sink.set_bus(Some(&bus));
    let failed = (0..100)
        .find(|id| {
            let buffer = buffer(ms(*id), ms(1), &[onset(*id, ms(*id))]);
            harness.push(buffer).is_err()
        })
        .expect("the limit does not hold");
    assert!(error(&bus).matches(gst::ResourceError::Write));
    let text = read(&path);
    assert!(text.len() < 2048 && text.ends_with('\n'), "{text}");
    let ids: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64())
        .collect();
    assert_eq!(ids, (0..failed).map(Some).collect::<Vec<_>>());
    assert_eq!(stat(&sink, "marks"), failed);
    sink.set_bus(None);
}

#[test]
fn a_descriptor_is_written_after_what_is_there() {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    let dir = Dir::new();
    let path = dir.file("log");
    let mut log = std::fs::File::create(&path).unwrap();
    log.write_all(b"before\n").unwrap();
    let location = format!("/dev/fd/{}", log.as_raw_fd());
    let marks = [buffer(ms(0), ms(100), &[onset(1, ms(20))])];
    let write = |location: &str| {
        let sink = sink(Path::new(location), "audacity");
        let mut harness = harness(&sink);
        harness.push(marks[0].clone()).unwrap();
        assert!(harness.push_event(gst::event::Eos::new()));
        sink.set_state(gst::State::Null).unwrap();
    };
    write(&location);
    // Both go on where the other one was.
    log.write_all(b"between\n").unwrap();
    write(&location);
    let label = "0.020000\t0.020000\tonset\n";
    assert_eq!(read(&path), format!("before\n{label}between\n{label}"));

    // A socket has no path that could be opened.
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    write(&format!("/dev/fd/{}", ours.as_raw_fd()));
    drop(ours);
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, label);
}

#[test]
fn the_location_stays_while_the_file_is_open() {
    let dir = Dir::new();
    let path = dir.file("first");
    let sink = sink(&path, "jsonl");
    let bus = gst::Bus::new();
    let mut harness = harness(&sink);
    sink.set_bus(Some(&bus));
    sink.set_property("location", dir.file("second").to_str());
    sink.set_property_from_str("format", "csv");
    for _ in 0..2 {
        assert!(message(&bus, gst::MessageType::Warning).is_some());
    }
    harness
        .push(buffer(ms(0), ms(10), &[onset(1, ms(0))]))
        .unwrap();
    assert!(read(&path).starts_with('{'));
    assert_eq!(
        sink.property::<Option<String>>("location").as_deref(),
        path.to_str()
    );
    assert!(!dir.file("second").exists());
    sink.set_bus(None);
    sink.set_state(gst::State::Ready).unwrap();
    sink.set_property("location", dir.file("second").to_str());
    sink.set_state(gst::State::Paused).unwrap();
    assert!(dir.file("second").exists());
    sink.set_state(gst::State::Null).unwrap();
}

#[test]
fn the_file_is_made_at_paused_and_closed_at_ready() {
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "csv");
    for _ in 0..50 {
        sink.set_state(gst::State::Ready).unwrap();
        assert!(!path.exists());
        let mut harness = harness(&sink);
        harness
            .push(buffer(ms(0), ms(10), &[onset(1, ms(0))]))
            .unwrap();
        assert_eq!((stat(&sink, "marks"), stat(&sink, "duplicates")), (1, 0));
        drop(harness);
        sink.set_state(gst::State::Null).unwrap();
        assert_eq!(read(&path).lines().count(), 2);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn flushes_from_another_thread_do_no_harm() {
    let dir = Dir::new();
    let path = dir.file("marks");
    let sink = sink(&path, "jsonl");
    let mut harness = harness(&sink);
    let pad = harness.srcpad().unwrap();
    let pushing = Arc::new(Mutex::new(()));
    let flusher = {
        let pushing = pushing.clone();
        std::thread::spawn(move || flush_storm(&pad, &pushing, 200))
    };
    let mut id = 0;
    while !flusher.is_finished() {
        let _pushing = pushing.lock().unwrap();
        let _ = harness.push(buffer(ms(0), ms(10), &[onset(id, ms(0))]));
        id += 1;
    }
    flusher.join().unwrap();
    harness
        .push(buffer(ms(0), ms(10), &[onset(id, ms(0))]))
        .unwrap();
    let lines = read(&path);
    assert_eq!(lines.lines().count() as u64, stat(&sink, "marks"));
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn a_pipeline_ends_and_leaks_nothing() {
    assert_no_leaks("a_pipeline_ends_and_leaks_nothing", || {
        let dir = Dir::new();
        for (media, format) in [("audio", "jsonl"), ("video", "webvtt")] {
            let path = dir.file(format);
            let pipeline = gst::parse::launch(&format!(
                "{media}testsrc num-buffers=5 ! identity name=i ! marksink location={} format={format}",
                path.to_str().unwrap()
            ))
            .unwrap();
            let identity = pipeline
                .downcast_ref::<gst::Bin>()
                .unwrap()
                .by_name("i")
                .unwrap();
            identity
                .static_pad("src")
                .unwrap()
                .add_probe(gst::PadProbeType::BUFFER, |_, info| {
                    let buffer = info.buffer_mut().unwrap();
                    let pts = buffer.pts().unwrap();
                    marks::attach(buffer.make_mut(), "ear", &[onset(pts.nseconds(), pts)]);
                    gst::PadProbeReturn::Ok
                });
            pipeline.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.bus().unwrap();
            let done = [gst::MessageType::Eos, gst::MessageType::Error];
            let message = bus
                .timed_pop_filtered(gst::ClockTime::from_seconds(10), &done)
                .unwrap();
            assert_eq!(message.type_(), gst::MessageType::Eos);
            pipeline.set_state(gst::State::Null).unwrap();
            assert_eq!(read(&path).matches("onset").count(), 5);
        }
    });
}
