// SPDX-License-Identifier: MPL-2.0
//! `markcombiner`: which buffer carries which mark, and what waits for what.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use gstdance::marks::{self, Kind, Mark};

const VIDEO: &str = "video/x-raw,format=GRAY8,width=2,height=5,framerate=25/1";
const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au";

/// The element between a media branch, which goes on to a sink, and a marks branch.
struct Rig {
    element: gst::Element,
    media: Harness,
    marks: Harness,
    bus: gst::Bus,
}

impl Rig {
    fn new(live: bool, caps: &str) -> Self {
        init();
        let element = gst::ElementFactory::make("markcombiner").build().unwrap();
        let mut media = Harness::with_element(&element, Some("media"), Some("src"));
        let mut marks = Harness::with_element(&element, Some("marks"), None);
        media.set_live(live);
        marks.set_live(live);
        media.set_src_caps_str(caps);
        marks.set_src_caps_str("audio/x-raw");
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        Rig {
            element,
            media,
            marks,
            bus,
        }
    }

    fn file() -> Self {
        Self::new(false, VIDEO)
    }

    /// Both branches play these segments.
    fn segments(
        &mut self,
        media: &gst::FormattedSegment<gst::ClockTime>,
        marks: &gst::FormattedSegment<gst::ClockTime>,
    ) {
        assert!(self.media.push_event(gst::event::Segment::new(media)));
        assert!(self.marks.push_event(gst::event::Segment::new(marks)));
    }

    /// A media buffer without marks.
    fn frame(
        &mut self,
        pts: impl Into<Option<gst::ClockTime>>,
        duration: impl Into<Option<gst::ClockTime>>,
    ) {
        self.media.push(buffer(pts, duration, &[])).unwrap();
    }

    /// The marks branch goes on to `to`, where it brings these marks.
    fn marks_come_to(&mut self, to: gst::ClockTime, found: &[Mark]) {
        self.marks.push(buffer(to, ms(0), found)).unwrap();
    }

    /// Ids on the next buffer.
    fn pull(&mut self) -> Vec<u64> {
        ids(&self.media.pull().unwrap())
    }

    fn stat(&self, name: &str) -> u64 {
        stat(&self.element, name)
    }

    /// Nothing leaves without further notice.
    fn assert_waits(&self) {
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(self.media.buffers_in_queue(), 0, "a buffer left too early");
    }

    /// The events that have left, from the first of that type.
    fn pull_event(&mut self, type_: gst::EventType) -> gst::Event {
        loop {
            let event = self.media.pull_event().unwrap();
            if event.type_() == type_ {
                return event;
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.element.set_bus(None);
    }
}

fn ids(buffer: &gst::Buffer) -> Vec<u64> {
    marks::read(buffer)
        .into_iter()
        .flat_map(|found| found.marks)
        .map(|mark| mark.id)
        .collect()
}

/// The one mark on a buffer.
fn only(buffer: &gst::Buffer) -> Mark {
    let mut found = marks::read(buffer);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].source, "ear");
    assert_eq!(found[0].marks.len(), 1);
    found.remove(0).marks.remove(0)
}

fn seek() -> gst::Event {
    gst::event::Seek::new(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        ms(0),
        gst::SeekType::None,
        gst::ClockTime::NONE,
    )
}

fn flush(harness: &mut Harness) {
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    assert!(harness.push_event(gst::event::Segment::new(&segment(ms(0)))));
}

#[test]
fn marks_ride_on_the_frame_that_covers_them() {
    let ns = gst::ClockTime::from_nseconds;
    for (numer, denom) in [(25, 1), (30_000, 1001), (60, 1)] {
        let pts = |n: u64| ns(n * denom * 1_000_000_000 / numer);
        // At both borders of each frame, and inside.
        let instants: Vec<_> = (0..50)
            .flat_map(|n| {
                let (start, next) = (pts(n), pts(n + 1));
                [(start, n), ((start + next) / 2, n), (next - ns(1), n)]
            })
            .collect();
        for marks_first in [true, false] {
            let mut rig = Rig::file();
            let mut due = instants.iter().enumerate().peekable();
            if marks_first {
                let found: Vec<_> = due
                    .by_ref()
                    .map(|(id, (at, _))| onset(id as u64, *at))
                    .collect();
                rig.marks_come_to(pts(60), &found);
            }
            for n in 0..50 {
                rig.frame(pts(n), pts(n + 1) - pts(n));
                // Each mark is reported 30 ms after its instant, on buffers of 10 ms.
                let limit = pts(n + 1) + ms(60);
                while let Some((id, (at, _))) = due.next_if(|(_, (at, _))| *at + ms(30) < limit) {
                    let mark = onset(id as u64, *at);
                    let carrying = buffer(*at + ms(30), ms(10), &[mark]);
                    rig.marks.push(carrying).unwrap();
                }
                rig.marks_come_to(limit, &[]);
                let out = rig.media.pull().unwrap();
                let expected: Vec<_> = instants
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, frame))| *frame == n)
                    .map(|(id, _)| id as u64)
                    .collect();
                assert_eq!(ids(&out), expected, "frame {n} at {numer}/{denom}");
                assert_eq!(out.pts(), Some(pts(n)));
            }
            assert_eq!((rig.stat("late"), rig.stat("attached")), (0, 150));
        }
    }
}

#[test]
fn media_waits_for_the_marks_and_their_delay() {
    let mut rig = Rig::file();
    rig.element.set_property("marks-delay", ms(30).nseconds());
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    rig.marks_come_to(ms(69), &[]);
    rig.assert_waits();
    // The last instant at which a mark of this frame may come.
    rig.marks_come_to(ms(70), &[onset(1, ms(39))]);
    assert_eq!(rig.pull(), [1]);
    // A gap is news as well.
    rig.frame(ms(40), ms(40));
    assert!(rig.marks.push_event(gst::event::Gap::new(ms(70), ms(40))));
    assert!(rig.pull().is_empty());
    rig.frame(ms(80), ms(40));
    rig.assert_waits();
    // And so is a segment that begins later.
    let mut later = segment(ms(500));
    later.set_base(ms(500));
    assert!(rig.marks.push_event(gst::event::Segment::new(&later)));
    assert!(rig.pull().is_empty());
}

#[test]
fn early_marks_wait_for_their_frame() {
    let mut rig = Rig::file();
    let beat = Mark {
        predicted: true,
        ..mark(1, Kind::Beat, ms(100))
    };
    rig.marks_come_to(ms(0), std::slice::from_ref(&beat));
    rig.marks_come_to(ms(500), &[]);
    for (pts, expected) in [(0, false), (40, false), (80, true), (120, false)] {
        rig.frame(ms(pts), ms(40));
        let out = rig.media.pull().unwrap();
        assert_eq!(!ids(&out).is_empty(), expected, "at {pts}");
        if expected {
            assert_eq!(only(&out), beat);
        }
    }
    assert_eq!(rig.stat("pending"), 0);
}

#[test]
fn late_marks_ride_on_the_next_frame() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(200), &[]);
    rig.frame(ms(0), ms(40));
    assert!(rig.pull().is_empty());
    rig.marks_come_to(ms(210), &[onset(1, ms(20)), onset(2, ms(50))]);
    rig.frame(ms(40), ms(40));
    let out = rig.media.pull().unwrap();
    assert_eq!(ids(&out), [1, 2]);
    assert_eq!(marks::read(&out)[0].marks[0].timestamp, ms(20));
    assert_eq!((rig.stat("late"), rig.stat("attached")), (1, 2));
}

#[test]
fn times_are_those_of_the_media() {
    // The media starts at 10 s of its file, a second into the running time; the marks at 100 s of
    // theirs, at once.
    let mut rig = Rig::file();
    let mut media = segment(ms(10_000));
    media.set_base(ms(1000));
    rig.segments(&media, &segment(ms(100_000)));
    let found = Mark {
        running_time: Some(ms(1025)),
        stream_time: Some(ms(101_025)),
        ..mark(1, Kind::Downbeat, ms(101_025))
    };
    // One without a running time is placed by the segment of its buffer.
    let bare = Mark {
        id: 2,
        running_time: None,
        timestamp: ms(101_050),
        stream_time: None,
        ..found.clone()
    };
    rig.marks_come_to(ms(105_000), &[found.clone(), bare]);
    rig.frame(ms(10_000), ms(40));
    let expected = Mark {
        timestamp: ms(10_025),
        stream_time: Some(ms(10_025)),
        ..found
    };
    assert_eq!(only(&rig.media.pull().unwrap()), expected);
    rig.frame(ms(10_040), ms(40));
    let out = only(&rig.media.pull().unwrap());
    assert_eq!(
        (out.id, out.timestamp, out.running_time),
        (2, ms(10_050), Some(ms(1050)))
    );
}

#[test]
fn segments_of_any_rate_and_offset_meet_in_running_time() {
    // Twice the speed: the running time 500 ms is 1 s of the media.
    let mut fast = segment(ms(0));
    fast.set_rate(2.0);
    // The first 200 ms of the segment are skipped.
    let mut offset = segment(ms(0));
    offset.set_offset(ms(200));
    // Backwards from 2 s.
    let mut backwards = segment(ms(0));
    backwards.set_rate(-1.0);
    backwards.set_stop(ms(2000));
    for (media, pts, timestamp) in [
        (fast, ms(960), ms(1000)),
        (offset, ms(680), ms(700)),
        (backwards, ms(1480), ms(1500)),
    ] {
        let mut rig = Rig::file();
        rig.segments(&media, &segment(ms(0)));
        rig.marks_come_to(ms(3000), &[onset(1, ms(500))]);
        rig.frame(pts, ms(60));
        let out = only(&rig.media.pull().unwrap());
        assert_eq!(
            (out.timestamp, out.running_time),
            (timestamp, Some(ms(500))),
            "{media:?}"
        );
        assert_eq!(out.stream_time, media.to_stream_time(timestamp));
    }
}

#[test]
fn an_offset_of_the_marks_pad_moves_the_marks() {
    for (offset, pts) in [(100_000_000, 120), (-100_000_000, 0)] {
        let mut rig = Rig::file();
        let pad = rig.element.static_pad("marks").unwrap();
        pad.set_offset(offset);
        assert!(
            rig.marks
                .push_event(gst::event::Segment::new(&segment(ms(0))))
        );
        rig.marks_come_to(ms(1000), &[onset(1, ms(120))]);
        let pts = if offset > 0 { ms(220) } else { ms(pts + 20) };
        rig.frame(pts, ms(1));
        assert_eq!(only(&rig.media.pull().unwrap()).timestamp, pts);
    }
}

#[test]
fn marks_outside_their_segment_are_counted() {
    let mut rig = Rig::file();
    rig.segments(&segment(ms(0)), &segment(ms(1000)));
    let before = Mark {
        running_time: None,
        ..onset(1, ms(500))
    };
    rig.marks_come_to(ms(3000), &[before]);
    rig.frame(ms(0), ms(40));
    assert!(rig.pull().is_empty());
    assert_eq!((rig.stat("outside-segment"), rig.stat("received")), (1, 1));
}

#[test]
fn nothing_else_of_the_media_changes() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(1000), &[onset(1, ms(0))]);
    let mut frame = buffer(ms(0), ms(40), &[]);
    {
        let frame = frame.get_mut().unwrap();
        frame.set_dts(ms(0));
        frame.set_offset(17);
        frame.set_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::DELTA_UNIT);
        marks::attach(frame, "eye", &[mark(9, Kind::VisualBeat, ms(3))]);
        gst::ReferenceTimestampMeta::add(
            frame,
            &gst::Caps::new_empty_simple("timestamp/x-ntp"),
            ms(1),
            gst::ClockTime::NONE,
        );
    }
    // A second owner, as after a tee, keeps what it has.
    let other = frame.clone();
    rig.media.push(frame).unwrap();
    let out = rig.media.pull().unwrap();
    assert_eq!(marks::read(&other).len(), 1);
    assert_eq!(
        marks::read(&out)
            .iter()
            .map(|found| found.source.as_str())
            .collect::<Vec<_>>(),
        ["eye", "ear"]
    );
    assert!(out.meta::<gst::ReferenceTimestampMeta>().is_some());
    assert_eq!(
        (
            out.pts(),
            out.dts(),
            out.duration(),
            out.offset(),
            out.flags()
        ),
        (
            other.pts(),
            other.dts(),
            other.duration(),
            other.offset(),
            other.flags()
        )
    );
    // The payload is shared, not copied.
    assert_eq!(
        out.map_readable().unwrap().as_ptr(),
        other.map_readable().unwrap().as_ptr()
    );
    // And without marks it is the very buffer.
    let frame = buffer(ms(40), ms(40), &[]);
    let pointer = frame.as_ptr();
    rig.media.push(frame).unwrap();
    assert_eq!(rig.media.pull().unwrap().as_ptr(), pointer);
}

#[test]
fn reordered_frames_are_covered_by_pts() {
    // Decoded in the order I P B B I, where the second B covers the mark.
    let frames = [(0, 40), (40, 160), (80, 80), (120, 120), (160, 200)];
    for with_dts in [true, false] {
        let mut rig = Rig::new(false, H264);
        rig.marks_come_to(ms(2000), &[onset(1, ms(130)), onset(2, ms(170))]);
        let mut carried = Vec::new();
        for (dts, pts) in frames {
            let mut frame = buffer(ms(pts), ms(40), &[]);
            if with_dts {
                frame.get_mut().unwrap().set_dts(ms(dts));
            }
            rig.media.push(frame).unwrap();
            carried.push(rig.pull());
        }
        assert_eq!(carried, [vec![], vec![2], vec![], vec![1], vec![]]);
        assert_eq!(rig.stat("late"), 0);
    }
}

#[test]
fn late_marks_of_reordered_frames_are_not_lost() {
    for with_dts in [true, false] {
        let mut rig = Rig::new(false, H264);
        rig.marks_come_to(ms(20_000), &[]);
        let push = |rig: &mut Rig, dts: u64| {
            let mut frame = buffer(ms(dts + 40), ms(40), &[]);
            if with_dts {
                frame.get_mut().unwrap().set_dts(ms(dts));
            }
            rig.media.push(frame).unwrap();
            rig.pull()
        };
        assert!(push(&mut rig, 0).is_empty());
        rig.marks_come_to(ms(20_001), &[onset(1, ms(50))]);
        let carrier = (1..30).find(|n| push(&mut rig, 40 * n) == [1]);
        // By DTS nothing that follows the frame of DTS 80 can cover 50; without it H.264 leaves
        // 16 frames of doubt.
        assert_eq!(carrier, Some(if with_dts { 2 } else { 16 }));
        assert_eq!(rig.stat("late"), 1);
    }
}

#[test]
fn a_missing_duration_is_found() {
    // By the frame rate, by the size of the audio, and by the distance of the buffers before.
    let audio = "audio/x-raw,format=U8,rate=1000,channels=1,layout=interleaved";
    for (caps, step) in [(VIDEO, 40), (audio, 10), ("text/x-raw,format=utf8", 70)] {
        let mut rig = Rig::new(false, caps);
        for n in 0..3u64 {
            rig.frame(ms(n * step), None);
            rig.marks_come_to(ms((n + 1) * step + 55), &[]);
            assert!(rig.pull().is_empty(), "{caps}");
        }
        rig.frame(ms(3 * step), None);
        rig.assert_waits();
        let last = ms(4 * step) - gst::ClockTime::NSECOND;
        rig.marks_come_to(ms(4 * step + 50), &[onset(1, last), onset(2, ms(4 * step))]);
        assert_eq!(rig.pull(), [1], "{caps}");
    }
}

#[test]
fn buffers_without_timestamps_do_not_wait() {
    let mut rig = Rig::file();
    let mut header = buffer(None, None, &[]);
    header
        .get_mut()
        .unwrap()
        .set_flags(gst::BufferFlags::HEADER);
    rig.marks_come_to(ms(10), &[onset(1, ms(0))]);
    rig.media.push(header).unwrap();
    assert!(rig.pull().is_empty(), "a header has no instant");
    // Nothing has a place, so that the first is as good as any.
    rig.frame(None, None);
    assert_eq!(rig.pull(), [1]);
    // Among buffers that have one, it takes what is late.
    rig.marks_come_to(ms(1000), &[onset(2, ms(130))]);
    rig.frame(ms(0), ms(40));
    assert!(rig.pull().is_empty());
    rig.marks_come_to(ms(1001), &[onset(3, ms(30))]);
    rig.frame(None, None);
    assert_eq!(rig.pull(), [3]);
    assert_eq!(rig.stat("late"), 1);
    // Without time in the segment as well.
    let bytes = gst::FormattedSegment::<gst::format::Bytes>::new();
    assert!(rig.media.push_event(gst::event::Segment::new(&bytes)));
    rig.frame(ms(0), None);
    assert!(rig.pull().is_empty());
}

#[test]
fn buffers_outside_the_segment_carry_nothing() {
    let mut rig = Rig::file();
    rig.segments(&segment(ms(1000)), &segment(ms(0)));
    rig.marks_come_to(ms(500), &[onset(1, ms(0))]);
    rig.frame(ms(500), ms(40));
    assert!(rig.pull().is_empty());
    // The part of a buffer that is inside counts.
    rig.frame(ms(980), ms(40));
    assert_eq!(rig.pull(), [1]);
}

#[test]
fn marks_without_timestamps_hold_nothing_up() {
    let mut rig = Rig::file();
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    let untimed = buffer(None, None, &[onset(1, ms(20))]);
    rig.marks.push(untimed).unwrap();
    assert_eq!(rig.pull(), [1]);
}

#[test]
fn audio_of_any_size_carries_marks() {
    let audio = "audio/x-raw,format=U8,rate=1000,channels=1,layout=interleaved";
    for size in [1, 7, 480, 3000] {
        let mut rig = Rig::new(false, audio);
        let instants = [0, 1, 6, 479, 480, 2999];
        let found: Vec<_> = instants.iter().map(|at| onset(*at, ms(*at))).collect();
        rig.marks_come_to(ms(10_000), &found);
        let mut pts = 0;
        while pts < 3000 {
            rig.frame(ms(pts), ms(size));
            let expected: Vec<_> = instants
                .iter()
                .copied()
                .filter(|at| (pts..pts + size).contains(at))
                .collect();
            assert_eq!(rig.pull(), expected, "{size} at {pts}");
            pts += size;
        }
    }
}

#[test]
fn sparse_media_carries_what_was_missed() {
    let mut rig = Rig::new(false, "text/x-raw,format=utf8");
    rig.marks_come_to(
        ms(60_000),
        &[
            onset(1, ms(1000)),
            onset(2, ms(20_500)),
            onset(3, ms(30_000)),
        ],
    );
    rig.frame(ms(0), ms(500));
    assert!(rig.pull().is_empty());
    assert!(
        rig.media
            .push_event(gst::event::Gap::new(ms(500), ms(19_500)))
    );
    let gap = rig.pull_event(gst::EventType::Gap);
    let gst::EventView::Gap(gap) = gap.view() else {
        unreachable!()
    };
    assert_eq!(gap.get(), (ms(500), Some(ms(19_500))));
    rig.frame(ms(20_000), ms(2000));
    assert_eq!(rig.pull(), [1, 2]);
    assert_eq!(rig.stat("late"), 1);
    // The mark that a gap covered leaves at the end.
    assert!(
        rig.media
            .push_event(gst::event::Gap::new(ms(22_000), ms(10_000)))
    );
    assert!(rig.media.push_event(gst::event::Eos::new()));
    let event = rig.pull_event(gst::EventType::CustomDownstream);
    assert_eq!(marks::from_event(&event).unwrap().marks[0].id, 3);
}

#[test]
fn repeats_are_dropped() {
    let mut rig = Rig::file();
    for to in [100, 110, 120] {
        rig.marks_come_to(ms(to), &[onset(1, ms(10)), onset(2, ms(50))]);
    }
    // A mark that the media carries already.
    let frame = buffer(ms(0), ms(40), &[onset(1, ms(10))]);
    rig.media.push(frame).unwrap();
    assert_eq!(rig.pull(), [1]);
    rig.frame(ms(40), ms(30));
    assert_eq!(rig.pull(), [2]);
    assert_eq!((rig.stat("duplicates"), rig.stat("received")), (5, 6));
}

#[test]
fn the_tempo_comes_over_in_its_place() {
    let mut rig = Rig::file();
    let tempo = |bpm| marks::tempo_event(bpm, 0.9, 4);
    assert!(rig.marks.push_event(tempo(90.0)));
    rig.marks_come_to(ms(100), &[]);
    assert!(rig.marks.push_event(tempo(120.0)));
    rig.marks_come_to(ms(1000), &[]);
    rig.frame(ms(0), ms(40));
    rig.frame(ms(80), ms(40));
    for _ in 0..2 {
        rig.media.pull().unwrap();
    }
    assert!(rig.media.push_event(gst::event::Eos::new()));
    let mut seen = Vec::new();
    loop {
        let event = rig.media.pull_event().unwrap();
        match event.view() {
            gst::EventView::CustomDownstreamSticky(e) => {
                let s = e.structure().unwrap();
                assert_eq!(s.name(), marks::TEMPO_EVENT_NAME);
                seen.push(s.get::<f64>("bpm").unwrap());
            }
            gst::EventView::Segment(_) => seen.push(0.0),
            gst::EventView::Eos(_) => break,
            _ => (),
        }
    }
    assert_eq!(seen, [0.0, 90.0, 120.0]);
    // Late joiners have it.
    let pad = rig.element.static_pad("src").unwrap();
    let mut sticky = Vec::new();
    pad.sticky_events_foreach(|event| {
        sticky.push(event.type_());
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    assert!(sticky.contains(&gst::EventType::CustomDownstreamSticky));
}

#[test]
fn the_tempo_tag_joins_those_of_the_media() {
    fn tags(title: Option<&str>, bpm: Option<f64>) -> gst::Event {
        let mut tags = gst::TagList::new();
        let writable = tags.make_mut();
        if let Some(title) = title {
            writable.add::<gst::tags::Title>(&title, gst::TagMergeMode::Append);
        }
        if let Some(bpm) = bpm {
            writable.add::<gst::tags::BeatsPerMinute>(&bpm, gst::TagMergeMode::Append);
        }
        gst::event::Tag::new(tags)
    }
    let mut rig = Rig::file();
    let next = |rig: &mut Rig| {
        let event = rig.pull_event(gst::EventType::Tag);
        let gst::EventView::Tag(tag) = event.view() else {
            unreachable!()
        };
        (
            tag.tag()
                .get::<gst::tags::Title>()
                .map(|t| t.get().to_owned()),
            tag.tag()
                .get::<gst::tags::BeatsPerMinute>()
                .map(|b| b.get()),
        )
    };
    assert!(rig.media.push_event(tags(Some("a"), None)));
    assert_eq!(next(&mut rig), (Some("a".to_owned()), None));
    // Other tags of the marks branch, such as its codec, are its own.
    assert!(rig.marks.push_event(tags(Some("song"), Some(128.0))));
    rig.marks_come_to(ms(1000), &[]);
    rig.frame(ms(0), ms(40));
    rig.pull();
    assert_eq!(next(&mut rig), (Some("a".to_owned()), Some(128.0)));
    assert!(rig.media.push_event(tags(Some("b"), None)));
    assert_eq!(next(&mut rig), (Some("b".to_owned()), Some(128.0)));
}

#[test]
fn media_runs_free_after_the_end_of_the_marks() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(10), &[onset(1, ms(90))]);
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    assert!(rig.marks.push_event(gst::event::Eos::new()));
    assert!(rig.pull().is_empty());
    for (n, expected) in [(1, vec![]), (2, vec![1]), (3, vec![])] {
        rig.frame(ms(40 * n), ms(40));
        assert_eq!(rig.pull(), expected);
    }
    // A new stream is waited for again.
    assert!(rig.marks.push_event(gst::event::StreamStart::new("again")));
    assert!(
        rig.marks
            .push_event(gst::event::Segment::new(&segment(ms(0))))
    );
    rig.frame(ms(160), ms(40));
    rig.assert_waits();
    rig.marks_come_to(ms(250), &[onset(1, ms(170))]);
    assert_eq!(rig.pull(), [1]);
}

#[test]
fn the_end_of_the_media_is_the_end() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(200), &[]);
    rig.frame(ms(0), ms(40));
    rig.pull();
    // One too late for any buffer, one beyond the end.
    rig.marks_come_to(ms(300), &[onset(1, ms(20)), onset(2, ms(70))]);
    assert!(rig.media.push_event(gst::event::Eos::new()));
    let event = rig.pull_event(gst::EventType::CustomDownstream);
    let found = marks::from_event(&event).unwrap();
    assert_eq!(
        (found.source.as_str(), found.marks),
        ("ear", vec![onset(1, ms(20))])
    );
    assert_eq!(rig.media.pull_event().unwrap().type_(), gst::EventType::Eos);
    // The marks branch is drained for as long as it lasts.
    for id in 3..50 {
        rig.marks_come_to(ms(100 * id), &[onset(id, ms(100 * id))]);
    }
    assert!(rig.marks.push_event(gst::event::Eos::new()));
    assert_eq!(
        ["late", "attached", "unattached", "pending"].map(|name| rig.stat(name)),
        [1, 1, 48, 0]
    );
}

#[test]
fn events_bring_marks_too() {
    let mut rig = Rig::file();
    let found = [onset(1, ms(10)), onset(2, ms(50))];
    assert!(rig.marks.push_event(marks::event("ear", &found)));
    assert!(rig.marks.push_event(gst::event::Eos::new()));
    rig.frame(ms(0), ms(40));
    assert_eq!(rig.pull(), [1]);
    rig.frame(ms(40), ms(40));
    assert_eq!(rig.pull(), [2]);
}

#[test]
fn media_without_a_marks_branch_passes() {
    init();
    let element = gst::ElementFactory::make("markcombiner").build().unwrap();
    let mut media = Harness::with_element(&element, Some("media"), Some("src"));
    media.set_src_caps_str(VIDEO);
    media.set_upstream_latency(ms(20));
    assert_eq!(media.query_latency(), Some(ms(20)));
    for n in 0..20 {
        media.push(buffer(ms(40 * n), ms(40), &[])).unwrap();
        assert_eq!(media.pull().unwrap().pts(), Some(ms(40 * n)));
    }
    // Linked in the middle, and unlinked while media waits.
    let mut marks = Harness::with_element(&element, Some("marks"), None);
    media.set_live(false);
    marks.set_live(false);
    media.query_latency();
    media.push(buffer(ms(800), ms(40), &[])).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(media.buffers_in_queue(), 0);
    let pad = marks.srcpad().unwrap();
    pad.unlink(&element.static_pad("marks").unwrap()).unwrap();
    media.pull().unwrap();
}

#[test]
fn a_starving_branch_does_not_hold_the_media_up() {
    let mut rig = Rig::file();
    rig.element
        .set_property("starve-timeout", ms(100).nseconds());
    // It never starts.
    rig.frame(ms(0), ms(40));
    assert!(rig.pull().is_empty());
    let warning = message(&rig.bus, gst::MessageType::Warning).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!()
    };
    assert!(warning.error().matches(gst::StreamError::Failed));
    for n in 1..50 {
        rig.frame(ms(40 * n), ms(40));
        rig.pull();
    }
    assert_eq!(rig.stat("starvations"), 1, "one for all of these");
    // It shows life, and media waits again; what is late is not lost.
    rig.marks_come_to(ms(1990), &[onset(1, ms(5)), onset(2, ms(2010))]);
    rig.frame(ms(2000), ms(40));
    rig.assert_waits();
    rig.marks_come_to(ms(2100), &[]);
    assert_eq!(rig.pull(), [1, 2]);
    // It stops in the middle.
    rig.frame(ms(2080), ms(40));
    assert!(rig.pull().is_empty());
    // Timestamps that stand still are no progress.
    rig.marks_come_to(ms(2200), &[]);
    rig.frame(ms(2300), ms(40));
    let pad = rig.marks.srcpad().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let standing = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                pad.push(buffer(ms(5), ms(0), &[])).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    rig.pull();
    stop.store(true, Ordering::Relaxed);
    standing.join().unwrap();
    assert_eq!(rig.stat("starvations"), 3);
}

#[test]
fn one_thread_may_bring_both_branches() {
    // A demuxer without queues, whose branches are a second apart.
    let mut rig = Rig::file();
    for second in 0..5 {
        let start = 1000 * second;
        for n in 0..25 {
            rig.frame(ms(start + 40 * n), ms(40));
        }
        for n in 0..10 {
            let at = start + 100 * n;
            rig.marks_come_to(ms(at + 100), &[onset(at, ms(at))]);
        }
    }
    assert!(rig.marks.push_event(gst::event::Eos::new()));
    for n in 0..125 {
        let pts = 40 * n;
        let out = rig.media.pull().unwrap();
        assert_eq!(out.pts(), Some(ms(pts)));
        let expected: Vec<_> = (pts..pts + 40).filter(|at| at % 100 == 0).collect();
        assert_eq!(ids(&out), expected);
    }
    assert_eq!(rig.stat("starvations"), 0);
}

#[test]
fn the_queue_is_bounded() {
    let rig = Rig::file();
    let pad = rig.media.srcpad().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let pusher = std::thread::spawn(move || {
        while pad
            .push(buffer(ms(40 * count.load(Ordering::Relaxed)), ms(40), &[]))
            .is_ok()
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    // Two seconds, and the one that was on its way.
    assert_eq!(sent.load(Ordering::Relaxed), 51);
    rig.element.set_state(gst::State::Null).unwrap();
    pusher.join().unwrap();
}

#[test]
fn a_pause_is_no_starvation() {
    let mut rig = Rig::file();
    rig.element
        .set_property("starve-timeout", ms(100).nseconds());
    rig.marks_come_to(ms(95), &[]);
    rig.frame(ms(0), ms(40));
    rig.pull();
    rig.frame(ms(80), ms(40));
    rig.element.set_state(gst::State::Paused).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(rig.stat("starvations"), 0);
    rig.element.set_state(gst::State::Playing).unwrap();
    rig.marks_come_to(ms(300), &[onset(1, ms(90))]);
    assert_eq!(rig.pull(), [1]);
    assert_eq!(rig.stat("starvations"), 0);
}

/// LATENCY as downstream of the element sees it.
fn latency(rig: &Rig) -> (bool, gst::ClockTime, Option<gst::ClockTime>) {
    let mut query = gst::query::Latency::new();
    assert!(rig.media.sinkpad().unwrap().peer_query(&mut query));
    query.result()
}

#[test]
fn latency_is_answered_truthfully() {
    let mut rig = Rig::new(true, VIDEO);
    rig.element.set_property("latency", ms(70).nseconds());
    // The marks' way is longer than that of the media, or not.
    for (media, marks, min) in [(0, 0, 70), (20, 10, 80), (200, 10, 200)] {
        rig.media.set_upstream_latency(ms(media));
        rig.marks.set_upstream_latency(ms(marks));
        assert_eq!(latency(&rig), (true, ms(min), None));
    }
    while rig.bus.pop().is_some() {}
    rig.element.set_property("latency", ms(300).nseconds());
    assert!(message(&rig.bus, gst::MessageType::Latency).is_some());
    assert_eq!(latency(&rig), (true, ms(310), None));
    rig.media.set_live(false);
    rig.marks.set_live(false);
    assert!(!latency(&rig).0);
    // One live branch makes the pipeline live.
    rig.marks.set_live(true);
    assert!(latency(&rig).0);
}

#[test]
fn live_media_leaves_at_its_deadline() {
    let mut rig = Rig::new(true, VIDEO);
    rig.element.set_property("latency", ms(90).nseconds());
    rig.media.set_upstream_latency(ms(40));
    rig.marks.set_upstream_latency(ms(10));
    let clock = rig.media.testclock().unwrap();
    rig.frame(ms(0), ms(40));
    let id = clock.wait_for_next_pending_id();
    assert_eq!(id.time(), ms(100), "latency of the marks and own");
    clock.set_time(ms(99));
    rig.assert_waits();
    clock.set_time(ms(100));
    clock.process_next_clock_id();
    assert!(rig.pull().is_empty());
    assert_eq!(rig.stat("deadlines-missed"), 1);
    // The mark that came too late rides on the next buffer; one in time lets it go early.
    rig.frame(ms(40), ms(40));
    assert_eq!(clock.wait_for_next_pending_id().time(), ms(140));
    rig.marks_come_to(ms(130), &[onset(1, ms(30)), onset(2, ms(60))]);
    assert_eq!(rig.pull(), [1, 2]);
    assert_eq!((rig.stat("deadlines-missed"), rig.stat("late")), (1, 1));
    // Media that is late itself does not wait at all.
    clock.set_time(ms(5000));
    rig.frame(ms(200), ms(40));
    assert!(rig.pull().is_empty());
    assert_eq!(clock.peek_id_count(), 0);
}

#[test]
fn live_branches_may_end_or_be_cut() {
    let mut rig = Rig::new(true, VIDEO);
    let clock = rig.media.testclock().unwrap();
    rig.frame(ms(0), ms(40));
    clock.wait_for_next_pending_id();
    assert!(rig.marks.push_event(gst::event::Eos::new()));
    rig.pull();
    // Media ahead of the clock, in PAUSED, waits for the clock to run.
    let mut rig = Rig::new(true, VIDEO);
    rig.element.set_state(gst::State::Paused).unwrap();
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    rig.element.set_state(gst::State::Playing).unwrap();
    let clock = rig.media.testclock().unwrap();
    assert_eq!(clock.wait_for_next_pending_id().time(), ms(100));
    // Stopping does not wait for the clock.
    rig.element.set_state(gst::State::Null).unwrap();
}

#[test]
fn live_queues_hold_the_latency() {
    let mut rig = Rig::new(true, VIDEO);
    rig.element.set_property("latency", ms(200).nseconds());
    latency(&rig);
    // Six frames are 200 ms and one in hand; none of these pushes may block.
    for n in 0..6 {
        rig.frame(ms(40 * n), ms(40));
    }
    rig.marks_come_to(ms(1000), &[]);
    for _ in 0..6 {
        rig.pull();
    }
}

#[test]
fn a_flush_restarts() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(5000), &[onset(7, ms(4000))]);
    rig.frame(ms(0), ms(40));
    rig.pull();
    flush(&mut rig.marks);
    flush(&mut rig.media);
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    // Ids may restart as well.
    rig.marks_come_to(ms(100), &[onset(7, ms(0))]);
    assert_eq!(rig.pull(), [7]);
    assert_eq!(rig.stat("pending"), 0);
    // A flush lets go whoever waits.
    rig.frame(ms(200), ms(40));
    rig.frame(ms(240), ms(40));
    let pad = rig.media.srcpad().unwrap();
    let blocked = std::thread::spawn(move || {
        (0..100).find_map(|n| pad.push(buffer(ms(280 + 40 * n), ms(40), &[])).err())
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(rig.media.push_event(gst::event::FlushStart::new()));
    assert_eq!(blocked.join().unwrap(), Some(gst::FlowError::Flushing));
    assert!(rig.media.push_event(gst::event::FlushStop::new(true)));
    assert!(
        rig.media
            .push_event(gst::event::Segment::new(&segment(ms(0))))
    );
    rig.frame(ms(0), ms(40));
    assert!(rig.pull().is_empty());
}

#[test]
fn a_flush_keeps_what_every_stream_begins_with() {
    // Held up behind a buffer that waits, there are a tag and caps, which nobody sends again.
    let mut rig = Rig::file();
    rig.frame(ms(0), ms(40));
    assert!(rig.media.push_event(title()));
    let caps = gst::Caps::builder("video/x-raw").field("width", 3).build();
    assert!(rig.media.push_event(gst::event::Caps::new(&caps)));
    flush(&mut rig.media);
    rig.frame(ms(0), ms(40));
    rig.marks_come_to(ms(100), &[]);
    rig.pull();
    let pad = rig.media.sinkpad().unwrap();
    assert_eq!(pad.current_caps(), Some(caps));
    assert!(pad.sticky_event::<gst::event::Tag>(0).is_some());
}

#[test]
fn a_seek_goes_up_both_branches() {
    let mut rig = Rig::file();
    rig.marks_come_to(ms(60_000), &[onset(1, ms(50_000))]);
    rig.frame(ms(0), ms(40));
    rig.pull();
    let seek = seek();
    let seqnum = seek.seqnum();
    rig.media.push_upstream_event(seek);
    for harness in [&mut rig.media, &mut rig.marks] {
        let seen = std::iter::from_fn(|| harness.try_pull_upstream_event())
            .filter(|event| event.type_() == gst::EventType::Seek)
            .map(|event| event.seqnum())
            .collect::<Vec<_>>();
        assert_eq!(seen, [seqnum]);
    }
    // The media is there first: what the marks branch said before is not about this.
    flush(&mut rig.media);
    rig.frame(ms(0), ms(40));
    rig.assert_waits();
    flush(&mut rig.marks);
    rig.assert_waits();
    rig.marks_come_to(ms(200), &[onset(2, ms(0))]);
    assert_eq!(rig.pull(), [2]);
}

#[test]
fn queries_go_through_to_the_media() {
    let mut rig = Rig::file();
    let filter = gst::Caps::new_empty_simple("audio/x-raw");
    // The marks branch takes anything.
    let marks = rig.marks.srcpad().unwrap();
    let mut query = gst::query::Caps::new(Some(&filter));
    assert!(marks.peer_query(&mut query));
    assert_eq!(query.result(), Some(filter.as_ref()));
    // The media branch what downstream takes, and its allocation.
    rig.media
        .add_propose_allocation_meta(gst_video::VideoMeta::meta_api(), None);
    let media = rig.media.srcpad().unwrap();
    rig.media.set_sink_caps_str("video/x-raw,format=GRAY8");
    assert!(media.peer_query_caps(Some(&filter)).is_empty());
    let caps = media.peer_query_caps(None);
    assert_eq!(
        caps.structure(0).unwrap().get::<&str>("format"),
        Ok("GRAY8")
    );
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(media.peer_query(&mut query));
    assert!(
        query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some()
    );
    // Downstream pushes are behind a queue.
    let mut query = gst::query::Scheduling::new();
    assert!(rig.media.sinkpad().unwrap().peer_query(&mut query));
    assert!(query.has_scheduling_mode(gst::PadMode::Push));
    assert!(!query.has_scheduling_mode(gst::PadMode::Pull));
}

#[test]
fn errors_of_downstream_reach_upstream() {
    init();
    let element = gst::ElementFactory::make("markcombiner").build().unwrap();
    let mut media = Harness::with_element(&element, Some("media"), None);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    media.set_src_caps_str(VIDEO);
    let result = (0..1000)
        .find_map(|n| {
            std::thread::sleep(Duration::from_millis(1));
            media.push(buffer(ms(40 * n), ms(40), &[])).err()
        })
        .unwrap();
    assert_eq!(result, gst::FlowError::NotLinked);
    // Nothing but an error on the bus can follow an EOS.
    assert!(!media.push_event(gst::event::Eos::new()));
    assert!(error(&bus).matches(gst::StreamError::Failed));
    element.set_bus(None);
}

#[test]
fn waiting_marks_are_bounded() {
    let mut rig = Rig::new(true, VIDEO);
    latency(&rig);
    let limit = 65_536;
    let count = limit + 1000;
    for first in (0..count).step_by(1024) {
        let found: Vec<_> = (first..count.min(first + 1024))
            .map(|id| onset(id, ms(id)))
            .collect();
        rig.marks_come_to(ms(0), &found);
    }
    assert_eq!((rig.stat("pending"), rig.stat("dropped")), (limit, 1000));
    // In a file the branch waits for room, which media makes.
    let mut rig = Rig::file();
    let (half, rest): (Vec<_>, Vec<_>) = (0..limit + 10)
        .map(|id| onset(id, ms(id)))
        .partition(|mark| mark.id < limit);
    rig.marks_come_to(ms(limit), &half);
    let pad = rig.marks.srcpad().unwrap();
    let waiting = std::thread::spawn(move || pad.push(buffer(ms(limit + 100), ms(0), &rest)));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    rig.frame(ms(0), ms(40));
    assert_eq!(rig.pull().len(), 40);
    waiting.join().unwrap().unwrap();
    assert_eq!((rig.stat("pending"), rig.stat("dropped")), (limit - 30, 0));
}

#[test]
fn it_can_be_cycled() {
    init();
    let element = gst::ElementFactory::make("markcombiner").build().unwrap();
    for n in 0..50 {
        let mut media = Harness::with_element(&element, Some("media"), Some("src"));
        let mut marks = Harness::with_element(&element, Some("marks"), None);
        media.set_live(n % 2 == 0);
        marks.set_live(n % 2 == 0);
        media.set_src_caps_str(VIDEO);
        marks.set_src_caps_str("audio/x-raw");
        marks
            .push(buffer(ms(100), ms(0), &[onset(1, ms(20))]))
            .unwrap();
        media.push(buffer(ms(0), ms(40), &[])).unwrap();
        assert_eq!(ids(&media.pull().unwrap()), [1]);
        // It stops while media waits.
        media.push(buffer(ms(200), ms(40), &[])).unwrap();
        assert_eq!(stat(&element, "attached"), 1);
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn flushes_from_other_threads_do_no_harm() {
    let mut rig = Rig::file();
    rig.media.set_drop_buffers(true);
    let stop = Arc::new(AtomicBool::new(false));
    let (flushers, pushers): (Vec<_>, Vec<_>) = [rig.media.srcpad(), rig.marks.srcpad()]
        .map(|pad| {
            let pad = pad.unwrap();
            let pushing = Arc::new(Mutex::new(()));
            let flusher = {
                let (pad, pushing) = (pad.clone(), pushing.clone());
                std::thread::spawn(move || flush_storm(&pad, &pushing, 300))
            };
            let stop = stop.clone();
            let pusher = std::thread::spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let at = ms(40 * (n % 50));
                    let _pushing = pushing.lock().unwrap();
                    let _ = pad.push(buffer(at, ms(40), &[onset(n, at)]));
                    n += 1;
                }
            });
            (flusher, pusher)
        })
        .into_iter()
        .unzip();
    for flusher in flushers {
        flusher.join().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    // A pusher may be waiting for the other branch: a last flush of both lets it go.
    for harness in [&mut rig.media, &mut rig.marks] {
        assert!(harness.push_event(gst::event::FlushStart::new()));
    }
    for pusher in pushers {
        pusher.join().unwrap();
    }
    for harness in [&mut rig.media, &mut rig.marks] {
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        assert!(harness.push_event(gst::event::Segment::new(&segment(ms(0)))));
    }
    rig.media.set_drop_buffers(false);
    while rig.media.try_pull().is_some() {}
    rig.marks_come_to(ms(1000), &[onset(u64::MAX, ms(10))]);
    rig.frame(ms(0), ms(40));
    assert_eq!(rig.pull(), [u64::MAX]);
}

/// A pipeline whose element `ear` lets a mark ride on the buffer at each 100 ms.
struct Play {
    pipeline: Playing,
    /// Marks that came to `out`: id, instant, and the PTS of the buffer.
    found: Arc<Mutex<Vec<(u64, gst::ClockTime, gst::ClockTime)>>>,
    /// Id of the first mark that `ear` made.
    first: Arc<AtomicU64>,
}

impl Play {
    fn new(description: &str) -> Self {
        let pipeline = Playing::new(description);
        let ear = pipeline.by_name("ear").unwrap().static_pad("src").unwrap();
        let first = Arc::new(AtomicU64::new(u64::MAX));
        let carrying = first.clone();
        ear.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer_mut().unwrap();
            let (pts, duration) = (buffer.pts().unwrap(), buffer.duration().unwrap());
            let n = (pts + ms(100) - gst::ClockTime::NSECOND) / ms(100);
            let at = ms(100) * n;
            if at < pts + duration {
                carrying.fetch_min(n, Ordering::Relaxed);
                let mark = Mark {
                    running_time: None,
                    ..onset(n, at)
                };
                marks::attach(buffer.make_mut(), "ear", &[mark]);
            }
            gst::PadProbeReturn::Ok
        });
        let found = Arc::new(Mutex::new(Vec::new()));
        let out = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
        let seen = found.clone();
        // What was there before a seek does not count after it.
        out.add_probe(gst::PadProbeType::EVENT_FLUSH, {
            let found = found.clone();
            move |_, info| {
                if info.event().unwrap().type_() == gst::EventType::FlushStop {
                    found.lock().unwrap().clear();
                }
                gst::PadProbeReturn::Ok
            }
        });
        out.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            for mark in marks::read(buffer)
                .into_iter()
                .flat_map(|found| found.marks)
            {
                let pts = buffer.pts().unwrap();
                seen.lock().unwrap().push((mark.id, mark.timestamp, pts));
            }
            gst::PadProbeReturn::Ok
        });
        Play {
            pipeline,
            found,
            first,
        }
    }

    fn combiner(&self) -> gst::Element {
        self.pipeline.by_name("c").unwrap()
    }

    fn to_state(&self, state: gst::State) {
        self.pipeline.set_state(state).unwrap();
        let (result, ..) = self.pipeline.state(gst::ClockTime::from_seconds(10));
        result.expect("the pipeline hangs");
    }

    /// Plays to the end and returns the marks since the start or the last seek.
    fn finish(self) -> Vec<(u64, gst::ClockTime, gst::ClockTime)> {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        let message = self.pipeline.end();
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        assert_eq!(stat(&self.combiner(), "starvations"), 0);
        self.pipeline.set_state(gst::State::Null).unwrap();
        std::mem::take(&mut *self.found.lock().unwrap())
    }
}

/// Every mark from `first` on is there, on the frame of 25 a second or more that covers it.
fn assert_complete(found: &[(u64, gst::ClockTime, gst::ClockTime)], first: u64, count: usize) {
    assert_eq!(found.len(), count);
    for (n, (id, at, pts)) in (first..).zip(found) {
        assert_eq!((*id, *at), (n, ms(100) * n));
        assert!(pts <= at && *at < *pts + ms(40), "{at} on {pts}");
    }
}

#[test]
fn a_file_pipeline_puts_every_mark_on_its_frame() {
    // With queues and without, and with both branches from one thread.
    for (branches, count) in [
        (
            "videotestsrc num-buffers=100 ! video/x-raw,framerate=30000/1001 ! queue ! c.media \
             audiotestsrc samplesperbuffer=441 ! identity name=ear ! queue ! c.marks",
            34,
        ),
        (
            "videotestsrc num-buffers=100 ! video/x-raw,framerate=25/1 ! c.media \
             audiotestsrc num-buffers=300 samplesperbuffer=441 ! identity name=ear ! c.marks",
            30,
        ),
        (
            "videotestsrc num-buffers=100 ! video/x-raw,framerate=50/1 ! tee name=t ! c.media \
             t. ! identity name=ear ! c.marks",
            20,
        ),
    ] {
        let found = Play::new(&format!(
            "markcombiner name=c ! fakesink name=out {branches}"
        ));
        assert_complete(&found.finish(), 0, count);
    }
}

#[test]
fn a_pipeline_can_be_paused_and_sought() {
    // The music is played as well, through queues of no more than a second.
    let play = Play::new(
        "markcombiner name=c starve-timeout=2000000000 ! fakesink name=out sync=true \
         videotestsrc ! video/x-raw,framerate=25/1 ! queue ! c.media \
         audiotestsrc samplesperbuffer=441 ! identity name=ear ! tee name=t \
         t. ! queue ! fakesink sync=true  t. ! queue ! c.marks",
    );
    play.to_state(gst::State::Playing);
    std::thread::sleep(Duration::from_millis(200));
    play.to_state(gst::State::Paused);
    // Longer than a starvation takes; shorter timeouts than that are met by a busy machine.
    std::thread::sleep(Duration::from_millis(2_300));
    for n in 0..20 {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let (start, stop) = (ms(9300 - 10 * n), ms(10_000));
        let set = gst::SeekType::Set;
        play.pipeline
            .seek(1.0, flags, set, start, set, stop)
            .unwrap();
        if n % 3 == 0 {
            play.to_state(gst::State::Playing);
        }
    }
    let found = play.finish();
    // From 9,110 ms, which the frame of 9,080 ms covers, to the last frame at 9,960 ms.
    assert_complete(&found, 92, 8);
}

#[test]
fn a_live_pipeline_loses_no_mark() {
    let play = Play::new(
        "markcombiner name=c ! fakesink name=out sync=true \
         videotestsrc is-live=true num-buffers=30 ! video/x-raw,framerate=30/1 ! c.media \
         audiotestsrc is-live=true ! identity name=ear ! c.marks",
    );
    let first = play.first.clone();
    let found = play.finish();
    let first = first.load(Ordering::Relaxed);
    // How busy the machine is decides on which frame, and whether the last one is in time.
    let ids: Vec<_> = found.iter().map(|(id, ..)| *id).collect();
    assert!(ids.len() >= 8, "{found:?}");
    let last = first + ids.len() as u64;
    assert_eq!(ids, (first..last).collect::<Vec<_>>());
}

#[test]
fn it_leaks_nothing() {
    assert_no_leaks("it_leaks_nothing", || {
        let play = Play::new(
            "markcombiner name=c ! fakesink name=out \
             videotestsrc num-buffers=20 ! c.media \
             audiotestsrc ! identity name=ear ! queue ! c.marks",
        );
        play.finish();
        let mut rig = Rig::file();
        rig.marks_come_to(ms(100), &[onset(1, ms(20)), onset(2, ms(900))]);
        rig.frame(ms(0), ms(40));
        rig.pull();
        rig.frame(ms(200), ms(40));
        assert!(rig.marks.push_event(marks::tempo_event(120.0, 1.0, 4)));
        flush(&mut rig.media);
        rig.frame(ms(200), ms(40));
    });
}
