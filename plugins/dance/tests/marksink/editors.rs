// SPDX-License-Identifier: MPL-2.0
//! Documents of editors: what they say, and that the editors' own libraries read the same.

use std::process::Command;

use gst::prelude::*;
use gst_check::Harness;
use gstdance::marks::{Kind, Mark};
use serde_json::Value;

use super::common::*;

/// A minute of beats whose tempo wanders, with onsets between them, in no order.
fn song() -> Vec<Mark> {
    let mut all = Vec::new();
    let mut at = 1_234_567_891;
    for n in 0..120 {
        let kind = [Kind::Downbeat, Kind::Beat][usize::from(n % 4 > 0)];
        let beat = Mark {
            beat_in_bar: (n % 4) as u32 + 1,
            ..mark(2 * n, kind, gst::ClockTime::from_nseconds(at))
        };
        let interval = 480_000_000 + 7_654_321 * (n * n % 11);
        all.push(onset(
            2 * n + 1,
            gst::ClockTime::from_nseconds(at + interval / 3),
        ));
        all.push(beat);
        at += interval;
    }
    all
}

fn in_order(marks: &[Mark]) -> Vec<&Mark> {
    let mut sorted: Vec<_> = marks.iter().collect();
    sorted.sort_by_key(|mark| mark.timestamp);
    sorted
}

fn written(path: &std::path::Path, format: &str, rate: gst::Fraction, marks: &[Mark]) {
    let sink = super::sink(path, format);
    sink.set_property("frame-rate", rate);
    let mut harness = Harness::with_element(&sink, Some("sink"), None);
    harness.set_src_caps_str("audio/x-raw");
    for marks in marks.chunks(7) {
        harness.push(buffer(ms(0), ms(10), marks)).unwrap();
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    // It is there at the end of the stream, not only when the element is put away.
    assert!(std::fs::metadata(path).unwrap().len() > 0);
    sink.set_state(gst::State::Null).unwrap();
}

/// What the library of the format reads, or none where it is missing here.
fn read_back(format: &str, path: &std::path::Path, rate: gst::Fraction) -> Option<Vec<Value>> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/marksink/read_back.py");
    let output = Command::new(&python)
        .arg(script)
        .arg(format)
        .arg(path)
        .arg(format!("{}/{}", rate.numer(), rate.denom()))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        println!("not read back as {format}: {python} {errors}");
        return None;
    }
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

#[test]
fn libraries_of_editors_read_the_times() {
    let dir = Dir::new();
    let song = song();
    for (numer, denom) in [(25, 1), (30_000, 1001)] {
        let rate = gst::Fraction::new(numer, denom);
        let frame = f64::from(denom) / f64::from(numer);
        for (format, name, tolerance) in [
            ("resolve-edl", "marks.edl", frame / 2.0),
            ("fcpxml", "marks.fcpxml", frame / 2.0),
            ("otio", "marks.otio", frame / 2.0),
            ("reaper", "marks.rpp", 1e-9),
            ("midi-tempo", "marks.mid", 1e-5),
            ("midi-clip", "clip.mid", 1e-3),
        ] {
            let path = dir.file(name);
            written(&path, format, rate, &song);
            let Some(found) = read_back(format, &path, rate) else {
                continue;
            };
            let marks = in_order(&song);
            let beats = marks.iter().filter(|mark| mark.kind.is_beat());
            let expected: Vec<&Mark> = match format {
                "midi-tempo" => beats.copied().collect(),
                // A marker and a note for each beat, a note for each onset.
                "midi-clip" => marks
                    .iter()
                    .flat_map(|mark| vec![*mark; 1 + usize::from(mark.kind.is_beat())])
                    .collect(),
                _ => marks,
            };
            assert_eq!(found.len(), expected.len(), "{format}");
            for (found, mark) in found.iter().zip(expected) {
                let time = found["time"].as_f64().unwrap();
                let exact = mark.timestamp.nseconds() as f64 / 1e9;
                assert!(
                    (time - exact).abs() <= tolerance + 1e-6,
                    "{format} {numer}/{denom}: {time} for {exact}"
                );
                if let Some(comment) = found["comment"].as_str() {
                    let moved = format!("rounded by {:+.1} ms", (time - exact) * 1e3);
                    assert!(comment.contains(&moved), "{comment}: {moved}");
                }
                if let (Some(name), "otio" | "fcpxml" | "reaper") = (found["name"].as_str(), format)
                {
                    assert!(name.starts_with(mark.kind.as_str()), "{name}");
                }
            }
        }
    }
}

#[test]
fn an_edl_has_the_fields_of_resolve() {
    let dir = Dir::new();
    let path = dir.file("marks.edl");
    let marks = [mark(1, Kind::Downbeat, ms(61_050)), onset(2, ms(999))];
    written(&path, "resolve-edl", gst::Fraction::new(25, 1), &marks);
    assert_eq!(
        read(&path),
        "TITLE: marks\nFCM: NON-DROP FRAME\n\n\
         001  001      V     C        01:00:01:00 01:00:01:01 01:00:01:00 01:00:01:01\n\
         ear 2, confidence 0.50, rounded by +1.0 ms |C:ResolveColorYellow |M:onset |D:1\n\n\
         002  001      V     C        01:01:01:01 01:01:01:02 01:01:01:01 01:01:01:02\n\
         ear 1, confidence 0.50, rounded by -10.0 ms |C:ResolveColorRed |M:downbeat 1 120.0 BPM |D:1\n"
    );
}

#[test]
fn a_midi_file_puts_beats_on_quarters() {
    use midly::{MetaMessage, Smf, Timing, TrackEventKind};
    let dir = Dir::new();
    let path = dir.file("marks.mid");
    written(&path, "midi-clip", gst::Fraction::new(25, 1), &song());
    let bytes = std::fs::read(&path).unwrap();
    let smf = Smf::parse(&bytes).unwrap();
    let Timing::Metrical(quarter) = smf.header.timing else {
        panic!("{:?}", smf.header)
    };
    let (mut tick, mut markers, mut meter) = (0u64, 0, None);
    for event in &smf.tracks[0] {
        tick += u64::from(event.delta.as_int());
        match event.kind {
            TrackEventKind::Meta(MetaMessage::Marker(_)) => {
                markers += 1;
                assert_eq!(tick % u64::from(quarter.as_int()), 0);
            }
            TrackEventKind::Meta(MetaMessage::TimeSignature(beats, ..)) => meter = Some(beats),
            _ => (),
        }
    }
    assert_eq!((markers, meter), (120, Some(4)));
}

#[test]
fn a_document_without_marks_is_whole_and_one_goes_on_after_its_end() {
    let dir = Dir::new();
    for format in [
        "resolve-edl",
        "fcpxml",
        "otio",
        "reaper",
        "midi-tempo",
        "midi-clip",
    ] {
        let path = dir.file(format);
        written(&path, format, gst::Fraction::new(25, 1), &[]);
        assert!(std::fs::metadata(&path).unwrap().len() > 10, "{format}");
    }
    let path = dir.file("twice");
    let sink = super::sink(&path, "otio");
    let mut harness = Harness::with_element(&sink, Some("sink"), None);
    harness.set_src_caps_str("audio/x-raw");
    let count = || {
        let document: Value = serde_json::from_str(&read(&path)).unwrap();
        document["tracks"]["markers"].as_array().unwrap().len()
    };
    harness
        .push(buffer(ms(0), ms(10), &[onset(1, ms(5))]))
        .unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(count(), 1);
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(harness.push_event(gst::event::Segment::new(&segment(ms(0)))));
    harness
        .push(buffer(ms(0), ms(10), &[onset(1, ms(7))]))
        .unwrap();
    sink.set_state(gst::State::Null).unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn a_timecode_of_another_rate_is_refused() {
    assert_refused(
        "marksink",
        "location=/dev/null format=resolve-edl timecode=01:00:00:30",
        gst::ResourceError::Settings,
        &["'timecode'", "01:00:00:30", "25"],
    );
}
