// SPDX-License-Identifier: MPL-2.0
//! The public interface in metas and events: what is written is read, and what cannot be read is named.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gst::glib;
use gstdance::hoof::{self, FieldError, Hoof, Status};
use gstdance::marks::{self, Kind, Mark, MarkError};

fn init() {
    gst::init().unwrap();
    for _ in 0..2 {
        hoof::register();
        marks::register();
    }
}

fn mark(id: u64, kind: Kind) -> Mark {
    Mark {
        id,
        running_time: Some(gst::ClockTime::from_mseconds(1523)),
        strength: 1.5,
        confidence: 0.75,
        bpm: kind.is_beat().then_some(120.0),
        beat_in_bar: 1,
        predicted: true,
        ..Mark::new(kind, gst::ClockTime::from_mseconds(1523))
    }
}

/// The structure of a mark in the public interface.
fn structure(mark: Mark) -> gst::Structure {
    let event = marks::event("a", &[mark]);
    let marks: gst::ArrayRef = event.structure().unwrap().get("marks").unwrap();
    marks[0].get().unwrap()
}

#[test]
fn marks_survive_a_buffer_and_its_copy() {
    init();
    let beats = vec![mark(1, Kind::Downbeat), mark(2, Kind::Onset)];
    let mut buffer = gst::Buffer::with_size(16).unwrap();
    let writable = buffer.get_mut().unwrap();
    marks::attach(writable, "a", &beats);
    marks::attach(writable, "b", &beats[..1]);
    marks::attach(writable, "c", &[]);
    let read = marks::read(&buffer.copy());
    let found: Vec<_> = read
        .iter()
        .map(|found| (found.source.as_str(), found.marks.len()))
        .collect();
    assert_eq!(found, [("a", 2), ("b", 1)]);
    assert_eq!(read[0].marks, beats);
}

#[test]
fn marks_survive_an_event() {
    init();
    let beats = vec![mark(1, Kind::Downbeat), mark(2, Kind::Onset)];
    let read = marks::from_event(&marks::event("a", &beats)).unwrap();
    assert_eq!((read.source.as_str(), read.marks), ("a", beats));
    assert_eq!(marks::from_event(&marks::tempo_event(120.0, 1.0, 4)), None);
    let foreign = gst::Structure::builder(marks::MARKS_EVENT_NAME)
        .field("version", marks::VERSION + 1)
        .build();
    let foreign = gst::event::CustomDownstream::new(foreign);
    assert_eq!(marks::from_event(&foreign), None);
}

#[test]
fn fields_have_the_public_types() {
    init();
    let s = structure(mark(7, Kind::Beat));
    for (field, type_) in [
        ("id", glib::Type::U64),
        ("kind", glib::Type::STRING),
        ("timestamp", glib::Type::U64),
        ("running-time", glib::Type::U64),
        ("stream-time", glib::Type::U64),
        ("strength", glib::Type::F64),
        ("confidence", glib::Type::F64),
        ("bpm", glib::Type::F64),
        ("beat-in-bar", glib::Type::U32),
        ("predicted", glib::Type::BOOL),
    ] {
        assert_eq!(s.value(field).unwrap().type_(), type_, "{field}");
    }
    assert_eq!(s.get::<u64>("stream-time"), Ok(u64::MAX));
    assert!(!structure(mark(7, Kind::Onset)).has_field("bpm"));
}

#[test]
fn broken_marks_are_named_not_believed() {
    init();
    let mut s = structure(mark(7, Kind::Beat));
    s.set("strength", f64::NAN);
    assert_eq!(Mark::from_structure(&s), Err(MarkError("strength")));
    s.set("strength", 1.0);
    s.set("kind", "hiccup");
    assert_eq!(Mark::from_structure(&s), Err(MarkError("kind")));
    s.remove_field("id");
    assert_eq!(Mark::from_structure(&s), Err(MarkError("id")));
}

fn motion() -> Hoof {
    Hoof {
        interval: Some(gst::ClockTime::from_mseconds(40)),
        bins: vec![0.25, 0.5, 0.25, 0.0],
        magnitude: 1.5,
        camera: [0.5, -0.25],
        foreground: 3.0,
        moving: 0.2,
        size: [256, 192],
        flow_size: [2, 1],
        grid: [1, 2],
        cells: vec![0.125; 8],
        feature: vec![-1.0, 2.0],
        flow: Some(gst::Buffer::from_slice([0u8; 16])),
        ..Hoof::without_flow(Status::Flow, gst::ClockTime::from_seconds(1), 4)
    }
}

#[test]
fn motion_survives_a_buffer_and_its_copy() {
    init();
    let motion = motion();
    let first = Hoof::without_flow(Status::First, gst::ClockTime::ZERO, 4);
    let mut buffer = gst::Buffer::with_size(16).unwrap();
    hoof::attach(buffer.get_mut().unwrap(), &first);
    hoof::attach(buffer.get_mut().unwrap(), &motion);
    assert_eq!(hoof::read(&buffer.copy()), [first, motion]);
}

#[test]
fn motion_survives_an_event() {
    init();
    let motion = motion();
    assert_eq!(hoof::from_event(&hoof::event(&motion)), Some(motion));
    assert_eq!(hoof::from_event(&marks::tempo_event(1.0, 1.0, 4)), None);
}

#[test]
fn broken_motion_is_named_not_believed() {
    init();
    let motion = motion();
    let mut s = hoof::event(&motion).structure().unwrap().to_owned();
    assert_eq!(Hoof::from_structure(&s), Ok(motion));
    s.set("magnitude", f64::NAN);
    assert_eq!(Hoof::from_structure(&s), Err(FieldError("magnitude")));
    s.set("magnitude", 1.0);
    s.set("bins", gst::Array::new([1.0, f64::INFINITY]));
    assert_eq!(Hoof::from_structure(&s), Err(FieldError("bins")));
    s.set("bins", gst::Array::new([1.0]));
    s.set("status", "asleep");
    assert_eq!(Hoof::from_structure(&s), Err(FieldError("status")));
    s.set("version", 2u32);
    assert_eq!(Hoof::from_structure(&s), Err(FieldError("version")));
}
