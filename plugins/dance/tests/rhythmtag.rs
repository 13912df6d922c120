// SPDX-License-Identifier: MPL-2.0
//! The element contract of `rhythmtag`, clause by clause, on synthetic motion.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Playing, assert_no_leaks, error, flush_storm, init, ms, onset, segment, stat, title};
use gst::prelude::*;
use gst_check::Harness;
use gstdance::hoof::{self, Hoof, Status};
use gstdance::marks::{self, Kind, Mark};

const VIDEO: &str = "video/x-raw,format=GRAY8,width=4,height=4,framerate=25/1";
/// Of [`VIDEO`].
const FRAME: u64 = 40;
/// A beat of [`dance`] in milliseconds.
const BEAT: u64 = 500;
/// What marks may be off by, in milliseconds.
const NEAR: f64 = 60.0;

/// The motion of the frame at `end` ms since the one at `start`: it comes to rest every [`BEAT`], and turns round.
fn dance(start: u64, end: u64) -> Hoof {
    let middle = (start + end) as f64 / 2.0 / BEAT as f64;
    let speed = (std::f64::consts::PI * middle).sin().abs();
    let bin = if (middle as u64).is_multiple_of(2) {
        2
    } else {
        10
    };
    let mut bins = vec![0.0; 16];
    for k in [bin - 1, bin, bin + 1] {
        bins[k] = 1.0 / 3.0;
    }
    moving(
        end,
        end - start,
        bins,
        0.25 * speed,
        0.1 * (end - start) as f64 * speed,
    )
}

fn moving(at: u64, interval: u64, bins: Vec<f64>, share: f64, foreground: f64) -> Hoof {
    Hoof {
        interval: Some(ms(interval)),
        magnitude: share * foreground,
        foreground,
        moving: share,
        bins,
        size: [256, 192],
        flow_size: [64, 48],
        ..Hoof::without_flow(Status::Flow, ms(at), 16)
    }
}

fn frame(at: u64, motions: &[Hoof]) -> gst::Buffer {
    init();
    let mut buffer = gst::Buffer::from_slice([at as u8; 16]);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(ms(at));
    writable.set_duration(ms(FRAME));
    for motion in motions {
        hoof::attach(writable, motion);
    }
    buffer
}

/// Frames of a dance from `start` to `end` ms.
fn dancing(start: u64, end: u64) -> impl Iterator<Item = gst::Buffer> {
    (start / FRAME..end / FRAME).map(move |n| {
        let at = n * FRAME;
        let motion = if at == start {
            Hoof::without_flow(Status::First, ms(at), 16)
        } else {
            dance(at - FRAME, at)
        };
        frame(at, &[motion])
    })
}

/// An element under test with everything that came out of it.
struct Run {
    harness: Harness,
    bus: gst::Bus,
    out: Vec<gst::Buffer>,
}

impl Run {
    fn new(properties: &str) -> Self {
        Self::with_caps(properties, VIDEO)
    }

    fn with_caps(properties: &str, caps: &str) -> Self {
        init();
        let element = gst::parse::launch(&format!("rhythmtag name=eye {properties}")).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.play();
        harness.set_src_caps_str(caps);
        Run {
            harness,
            bus,
            out: Vec::new(),
        }
    }

    fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    fn push(&mut self, buffers: impl Iterator<Item = gst::Buffer>) {
        for buffer in buffers {
            self.harness.push(buffer).unwrap();
            self.pull();
        }
    }

    fn pull(&mut self) {
        self.out
            .extend(std::iter::from_fn(|| self.harness.try_pull()));
    }

    fn event(&mut self, event: gst::Event) {
        assert!(self.harness.push_event(event));
        self.pull();
    }

    fn eos(&mut self) {
        self.event(gst::event::Eos::new());
    }

    fn flush(&mut self) {
        self.event(gst::event::FlushStart::new());
        self.event(gst::event::FlushStop::new(true));
        self.event(gst::event::Segment::new(&segment(ms(0))));
    }

    /// Marks that rode on buffers, each with its buffer.
    fn on_buffers(&self) -> Vec<(Mark, &gst::Buffer)> {
        let mut all = Vec::new();
        for buffer in &self.out {
            for found in marks::read(buffer) {
                assert_eq!(found.source, "eye");
                all.extend(found.marks.into_iter().map(|mark| (mark, buffer)));
            }
        }
        all
    }

    fn marks(&self) -> Vec<Mark> {
        self.on_buffers()
            .into_iter()
            .map(|(mark, _)| mark)
            .collect()
    }

    /// Marks in events that came downstream so far.
    fn in_events(&mut self) -> Vec<Mark> {
        let events = std::iter::from_fn(|| self.harness.try_pull_event());
        events
            .filter_map(|event| marks::from_event(&event))
            .flat_map(|found| found.marks)
            .collect()
    }

    /// Messages of that name that were posted since the last call.
    fn posted(&self, name: &str) -> Vec<gst::Structure> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| message.structure().map(|s| s.to_owned()))
            .filter(|s| s.name() == name)
            .collect()
    }

    fn warnings(&self) -> usize {
        std::iter::from_fn(|| self.bus.pop())
            .filter(|message| message.type_() == gst::MessageType::Warning)
            .count()
    }

    fn stat(&self, field: &str) -> u64 {
        stat(&self.element(), field)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.element().set_state(gst::State::Null);
        // Messages on the bus hold the element, which holds the bus.
        self.bus.set_flushing(true);
    }
}

/// There is one mark at every beat from `first` to `last` ms, and no other.
fn assert_beats(marks: &[Mark], first: u64, last: u64) {
    let found: Vec<f64> = (marks.iter())
        .map(|mark| mark.timestamp.nseconds() as f64 / 1e6)
        .collect();
    let beats: Vec<f64> = (first / BEAT..=last / BEAT)
        .map(|n| (n * BEAT) as f64)
        .collect();
    assert_eq!(found.len(), beats.len(), "{found:?} for {beats:?}");
    for (found, beat) in found.iter().zip(&beats) {
        assert!((found - beat).abs() <= NEAR, "{found} for {beat}");
    }
}

#[test]
fn rests_are_marked_and_the_video_passes_as_it_is() {
    for caps in [
        VIDEO,
        "video/x-raw(memory:DMABuf),format=NV12,width=64,height=64,framerate=0/1",
        "video/x-raw(memory:GLMemory),format=RGBA,width=64,height=64,framerate=25/1",
    ] {
        let mut run = Run::with_caps("", caps);
        let sent: Vec<_> = dancing(0, 10_200).collect();
        run.push(sent.iter().cloned());
        assert_beats(&run.marks(), 500, 9_500);
        assert_eq!(sent.len(), run.out.len());
        for (sent, got) in sent.iter().zip(&run.out) {
            assert_eq!(sent.peek_memory(0).as_ptr(), got.peek_memory(0).as_ptr());
            assert_eq!(
                (sent.pts(), sent.duration(), sent.flags()),
                (got.pts(), got.duration(), got.flags())
            );
            assert_eq!(hoof::read(sent), hoof::read(got));
        }
        // No later than is promised: 250 ms and two frames.
        for (mark, buffer) in run.on_buffers() {
            let late = buffer.pts().unwrap() - mark.timestamp;
            assert!(late <= ms(250 + 2 * FRAME), "{late}");
        }
        let marks = run.marks();
        assert!(
            marks
                .iter()
                .enumerate()
                .all(|(n, mark)| mark.id == n as u64)
        );
        assert!(
            marks
                .iter()
                .all(|mark| mark.kind == Kind::VisualBeat && !mark.predicted)
        );
        assert!(
            marks
                .iter()
                .all(|mark| mark.running_time == Some(mark.timestamp))
        );
        assert!(
            marks
                .iter()
                .all(|mark| mark.strength > 0.5 && (0.0..=1.0).contains(&mark.confidence))
        );
        for mark in &marks[14..] {
            assert!((mark.bpm.unwrap() - 120.0).abs() < 2.0, "{mark:?}");
        }
        let tempo: f64 = run.element().property("tempo");
        assert!((tempo - 120.0).abs() < 2.0, "{tempo}");
        let posted = run.posted(marks::MESSAGE_NAME);
        let posted: Vec<_> = posted
            .iter()
            .map(|s| Mark::from_structure(s).unwrap())
            .collect();
        assert_eq!(posted, marks);
        assert_eq!(run.stat("visual-beats"), marks.len() as u64);
        assert_eq!(run.stat("frames"), sent.len() as u64);
    }
}

#[test]
fn aligned_marks_ride_on_their_frame_and_the_latency_says_so() {
    let mut run = Run::new("mode=aligned");
    run.harness.set_live(true);
    run.harness.set_upstream_latency(ms(20));
    for (n, buffer) in dancing(0, 10_200).enumerate() {
        run.push(std::iter::once(buffer));
        // 250 ms and two frames, in whole frames.
        assert_eq!(run.out.len(), n.saturating_sub(8), "{n}");
    }
    let latency = run.harness.query_latency();
    assert_eq!(latency, Some(ms(20 + 9 * FRAME)));
    run.event(gst::event::Tag::new(gst::TagList::new()));
    run.eos();
    assert_eq!(run.out.len(), 255);
    assert_beats(&run.marks(), 500, 10_000);
    for (mark, buffer) in run.on_buffers() {
        let start = buffer.pts().unwrap();
        assert!(
            start <= mark.timestamp && mark.timestamp < start + ms(FRAME),
            "{mark:?}"
        );
    }
    assert_eq!(run.stat("late"), 0);
}

#[test]
fn offline_marks_come_at_the_end_in_order() {
    let mut run = Run::new("mode=offline");
    run.push(dancing(0, 10_200));
    assert_eq!(run.out.len(), 255);
    assert!(run.posted(marks::MESSAGE_NAME).is_empty());
    run.eos();
    let marks = run.in_events();
    assert_beats(&marks, 500, 10_000);
    assert!(run.marks().is_empty());
    assert!(
        marks
            .iter()
            .enumerate()
            .all(|(n, mark)| mark.id == n as u64)
    );
    assert!(
        marks
            .iter()
            .all(|mark| (mark.bpm.unwrap() - 120.0).abs() < 2.0)
    );
    assert_eq!(run.posted(marks::MESSAGE_NAME).len(), marks.len());
}

#[test]
fn motion_may_come_late_and_twice() {
    let motions: Vec<Hoof> = dancing(0, 10_200)
        .flat_map(|buffer| hoof::read(&buffer))
        .collect();
    let late = |n: usize| {
        let from = n.saturating_sub(4);
        // The last of it again, as a copied buffer has it.
        let to = n.saturating_sub(2);
        frame(n as u64 * FRAME, &motions[from..to])
    };
    let mut run = Run::new("mode=aligned");
    run.push((0..motions.len()).map(late));
    run.eos();
    assert_beats(&run.marks(), 500, 10_000);
    for (mark, buffer) in run.on_buffers() {
        let start = buffer.pts().unwrap();
        assert!(
            start <= mark.timestamp && mark.timestamp < start + ms(FRAME),
            "{mark:?}"
        );
    }
    assert!(run.stat("duplicates") > 200);
    assert_eq!(run.stat("late"), 0);
}

#[test]
fn video_without_motion_is_told_once_and_passes() {
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("mode={mode}"));
        run.push((0..200).map(|n| frame(n * FRAME, &[])));
        assert_eq!(run.warnings(), 1);
        run.eos();
        assert_eq!((run.out.len(), run.warnings()), (200, 0));
        assert!(run.marks().is_empty());
        assert_eq!(run.stat("without-motion"), 200);
        // A short one, too.
        let mut run = Run::new(&format!("mode={mode}"));
        run.push((0..3).map(|n| frame(n * FRAME, &[])));
        assert_eq!(run.warnings(), 0);
        run.eos();
        assert_eq!((run.out.len(), run.warnings()), (3, 1));
    }
}

#[test]
fn what_does_not_move_has_no_beats() {
    let mut noise = 1u32;
    let mut next = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(noise >> 8) / f64::from(1 << 24)
    };
    for mode in ["low-latency", "offline"] {
        for kind in 0..3 {
            let mut run = Run::new(&format!("mode={mode}"));
            run.push((0..250).map(|n| {
                let at = n * FRAME;
                let motion = match kind {
                    0 => Hoof::without_flow(Status::Repeated, ms(at), 16),
                    1 => moving(at, FRAME, vec![0.0; 16], 0.0, 0.0),
                    // The errors of a flow: a vector in thousands.
                    _ => moving(at, FRAME, vec![1.0 / 16.0; 16], 0.0005 * next(), 0.6),
                };
                frame(at, &[motion])
            }));
            run.eos();
            assert_eq!(run.stat("visual-beats"), 0, "{mode} {kind}");
            assert_eq!((run.out.len(), run.warnings()), (250, 0));
        }
    }
}

#[test]
fn a_cut_is_no_beat() {
    // Motion as fast as ever, and every second another scene that fills more or less of the picture.
    let mut run = Run::new("");
    run.push((0..250).map(|n| {
        let at = n * FRAME;
        let share = [0.4, 0.1][(n / 25 % 2) as usize];
        let motion = if n % 25 == 0 {
            Hoof::without_flow(Status::Cut, ms(at), 16)
        } else {
            moving(at, FRAME, vec![1.0 / 16.0; 16], share, 2.0)
        };
        frame(at, &[motion])
    }));
    run.eos();
    assert_eq!(run.stat("cuts"), 10);
    // The longest rest that there is is where less moves.
    assert!(
        run.stat("visual-beats") <= 5,
        "{}",
        run.stat("visual-beats")
    );
}

#[test]
fn a_low_frame_rate_in_a_high_one_is_seen_as_what_it_is() {
    let mut run = Run::new("");
    run.push((0..510).map(|n| {
        let at = n * FRAME / 2;
        let motion = match n {
            0 => Hoof::without_flow(Status::First, ms(at), 16),
            n if n % 2 == 1 => Hoof::without_flow(Status::Repeated, ms(at), 16),
            // The flow since the frame before, which shows what is 40 ms old.
            _ => Hoof {
                interval: Some(ms(FRAME / 2)),
                ..dance(at - FRAME, at)
            },
        };
        frame(at, &[motion])
    }));
    assert_beats(&run.marks(), 500, 9_500);
    assert_eq!(run.stat("repeated"), 255);
}

#[test]
fn frames_may_be_uneven() {
    let mut run = Run::with_caps(
        "",
        "video/x-raw,format=GRAY8,width=4,height=4,framerate=0/1",
    );
    let mut before = 0;
    let steps = [20, 60, 30, 50, 40];
    run.push((0..250).map(|n| {
        let at = before + steps[n % 5];
        let motion = dance(before, at);
        before = at;
        frame(at, &[motion])
    }));
    run.eos();
    let mut all = run.marks();
    all.extend(run.in_events());
    assert_beats(&all, 500, 9_500);
}

#[test]
fn a_flush_forgets_what_was() {
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("mode={mode}"));
        run.push(dancing(0, 3_300));
        run.flush();
        assert_eq!(run.element().property::<f64>("tempo"), 0.0);
        run.out.clear();
        run.in_events();
        let before = run.stat("visual-beats");
        // From the start again, as after a seek.
        run.push(dancing(0, 5_200));
        run.eos();
        assert_eq!(run.out.len(), 130, "{mode}");
        let mut marks = run.marks();
        marks.extend(run.in_events());
        assert_beats(&marks, 500, 5_000);
        // Ids go on.
        assert!(marks[0].id >= if mode == "offline" { 0 } else { before });
    }
}

#[test]
fn a_flush_keeps_the_tags_that_were_held() {
    let mut run = Run::new("mode=aligned");
    run.push(dancing(0, 2_000));
    run.event(title());
    let source = run.element().static_pad("src").unwrap();
    assert!(
        source.sticky_event::<gst::event::Tag>(0).is_none(),
        "it is held"
    );
    run.flush();
    run.push(dancing(0, 2_000));
    assert!(source.sticky_event::<gst::event::Tag>(0).is_some());
}

#[test]
fn flushes_at_any_time_do_no_harm() {
    let mut run = Run::new("mode=aligned");
    run.push(dancing(0, 400));
    let pad = run.element().static_pad("sink").unwrap().peer().unwrap();
    let pushing = std::sync::Mutex::new(());
    std::thread::scope(|scope| {
        scope.spawn(|| flush_storm(&pad, &pushing, 200));
        for buffer in dancing(0, 8_000) {
            let _pushing = pushing.lock().unwrap();
            let _ = pad.push(buffer);
        }
    });
    run.flush();
    run.out.clear();
    while run.harness.try_pull().is_some() {}
    run.push(dancing(0, 2_000));
    run.eos();
    assert_eq!(run.out.len(), 50);
}

#[test]
fn segments_and_caps_drain_first() {
    let mut run = Run::new("mode=aligned");
    run.push(dancing(0, 5_200));
    assert!(run.out.len() < 130);
    let mut later = gst::FormattedSegment::<gst::ClockTime>::new();
    later.set_start(ms(20_000));
    later.set_base(ms(5_200));
    later.set_time(ms(1_000));
    run.event(gst::event::Segment::new(&later));
    assert_eq!(run.out.len(), 130);
    run.push(dancing(20_000, 25_200));
    let caps = gst::Caps::builder("video/x-raw").field("width", 8).build();
    run.event(gst::event::Caps::new(&caps));
    assert_eq!(run.out.len(), 260);
    run.eos();
    let marks = run.marks();
    let (first, second) = marks.split_at(10);
    assert_beats(first, 500, 5_000);
    assert_beats(second, 20_500, 25_000);
    for mark in second {
        assert_eq!(mark.running_time, Some(mark.timestamp - ms(14_800)));
        assert_eq!(mark.stream_time, Some(mark.timestamp - ms(19_000)));
    }
}

#[test]
fn a_long_gap_begins_anew_and_a_short_one_keeps_its_place() {
    let mut run = Run::new("mode=aligned");
    run.push(dancing(0, 3_000));
    let short = gst::event::Gap::builder(ms(3_000))
        .duration(ms(FRAME))
        .build();
    run.event(short);
    assert!(run.out.len() < 75);
    assert!(run.harness.events_in_queue() < 5);
    run.push(dancing(3_000, 5_200));
    run.event(
        gst::event::Gap::builder(ms(5_200))
            .duration(ms(4_800))
            .build(),
    );
    assert_eq!(run.out.len(), 130);
    run.push(dancing(10_000, 13_200));
    run.eos();
    let marks: Vec<_> = run.marks();
    assert!(
        marks
            .iter()
            .all(|mark| !(ms(5_300)..ms(10_000)).contains(&mark.timestamp))
    );
    assert!(
        marks
            .iter()
            .filter(|mark| mark.timestamp > ms(10_000))
            .count()
            >= 5
    );
    // A gap that nobody speaks of.
    assert_eq!(run.stat("discontinuities"), 0);
    run.flush();
    run.push(dancing(0, 2_000).chain(dancing(9_000, 11_000)));
    assert_eq!(run.stat("discontinuities"), 1);
}

#[test]
fn backwards_the_video_passes() {
    let mut run = Run::new("mode=aligned");
    let mut back = segment(ms(0));
    back.set_rate(-1.0);
    back.set_stop(ms(4_000));
    run.event(gst::event::Segment::new(&back));
    let mut frames: Vec<_> = dancing(0, 4_000).collect();
    frames.reverse();
    run.push(frames.into_iter());
    assert_eq!(run.out.len(), 100);
    run.eos();
    assert_eq!((run.stat("visual-beats"), run.warnings()), (0, 0));
}

#[test]
fn an_offset_moves_the_marks() {
    for (offset, mode) in [(-200, "aligned"), (300, "aligned"), (300, "low-latency")] {
        let mut run = Run::new(&format!("mode={mode} offset={}", offset * 1_000_000i64));
        run.push(dancing(0, 5_200));
        run.eos();
        let mut marks = run.marks();
        if mode == "aligned" {
            assert!(run.on_buffers().iter().all(|(mark, buffer)| {
                let start = buffer.pts().unwrap();
                start <= mark.timestamp && mark.timestamp < start + ms(FRAME)
            }));
        }
        marks.extend(run.in_events());
        for mark in &mut marks {
            let moved = mark
                .timestamp
                .nseconds()
                .saturating_add_signed(-offset * 1_000_000);
            mark.timestamp = gst::ClockTime::from_nseconds(moved);
        }
        assert_beats(&marks, 500, 5_000);
    }
}

#[test]
fn settings_that_cannot_be_are_errors() {
    init();
    let element = gst::parse::launch("rhythmtag min-bpm=150 max-bpm=90").unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Ready).is_err());
    assert!(error(&bus).matches(gst::LibraryError::Settings));
    element.set_property("max-bpm", 180.0);
    assert!(element.set_state(gst::State::Ready).is_ok());
    element.set_state(gst::State::Null).unwrap();
    element.set_bus(None);
}

/// Music beside a run of the video.
struct Music {
    harness: Harness,
    out: usize,
}

impl Music {
    fn new(run: &Run) -> Self {
        let mut harness = Harness::with_element(&run.element(), Some("audio"), Some("audio_src"));
        harness
            .set_src_caps_str("audio/x-raw,format=S16LE,rate=8000,channels=1,layout=interleaved");
        Self { harness, out: 0 }
    }

    /// A tenth of a second with a beat on it every [`BEAT`], `late` ms after the dance's.
    fn push(&mut self, from: u64, late: u64) {
        let mut buffer = gst::Buffer::from_slice([7u8; 1600]);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(ms(from));
        writable.set_duration(ms(100));
        if (from + 100 - late).is_multiple_of(BEAT)
            || (from - late % 100).is_multiple_of(BEAT) && from >= late
        {
            let beat = Mark {
                kind: Kind::Beat,
                ..onset(from / BEAT, ms(from / BEAT * BEAT + late))
            };
            marks::attach(writable, "ear", std::slice::from_ref(&beat));
            // As elements that split buffers do.
            marks::attach(writable, "ear", &[beat]);
        }
        let sent = buffer.clone();
        self.harness.push(buffer).unwrap();
        let got = self.harness.pull().unwrap();
        assert_eq!(sent.as_ptr(), got.as_ptr());
        self.out += 1;
    }
}

#[test]
fn music_and_motion_are_compared() {
    let mut run = Run::new("interval=4000000000");
    let mut music = Music::new(&run);
    let frames: Vec<_> = dancing(0, 20_000).collect();
    for (n, part) in frames.chunks(5).enumerate() {
        run.push(part.iter().cloned());
        for half in 0..2 {
            music.push((2 * n as u64 + half) * 100, 0);
        }
    }
    let reports = run.posted("rhythm-alignment");
    assert_eq!(reports.len(), 4, "{reports:?}");
    assert!(reports.iter().all(|s| s.get::<bool>("final") == Ok(false)));
    run.eos();
    assert!(
        run.posted("rhythm-alignment").is_empty(),
        "the music goes on"
    );
    assert!(music.harness.push_event(gst::event::Eos::new()));
    let reports = run.posted("rhythm-alignment");
    assert_eq!(reports.len(), 1);
    let s = &reports[0];
    let number = |name: &str| s.get::<f64>(name).unwrap();
    assert_eq!(s.get::<bool>("final"), Ok(true));
    assert_eq!(s.get::<gst::ClockTime>("end"), Ok(ms(20_000)));
    assert_eq!(s.get::<u32>("music-beats"), Ok(40));
    assert!((38..=40).contains(&s.get::<u32>("visual-beats").unwrap()));
    assert!(number("offset").abs() <= NEAR, "{s:?}");
    assert!(number("hit-rate-100") > 0.9 && number("hit-rate-50") <= number("hit-rate-100"));
    // Windows of 0.2 s every 0.5 s.
    assert!((number("null-100") - 0.4).abs() < 0.06, "{s:?}");
    assert!((number("null-50") - 0.2).abs() < 0.06, "{s:?}");
    assert!(number("mean-distance") < NEAR && number("p95-distance") < 600.0);
    // Another run of the same pads.
    run.flush();
    music.harness.push_event(gst::event::FlushStart::new());
    music.harness.push_event(gst::event::FlushStop::new(true));
    music
        .harness
        .push_event(gst::event::Segment::new(&segment(ms(0))));
    run.push(dancing(0, 400));
    run.eos();
    music.harness.push_event(gst::event::Eos::new());
    let reports = run.posted("rhythm-alignment");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].get::<u32>("music-beats"), Ok(0));
    assert!(!reports[0].has_field("hit-rate-100") && !reports[0].has_field("offset"));
}

#[test]
fn how_late_the_dance_is_is_reported() {
    let mut run = Run::new("interval=0");
    let mut music = Music::new(&run);
    run.push(dancing(0, 20_000));
    for n in 4..200 {
        music.push(n * 100, 300);
    }
    assert!(run.posted("rhythm-alignment").is_empty());
    music.harness.push_event(gst::event::Eos::new());
    run.eos();
    let reports = run.posted("rhythm-alignment");
    assert_eq!(reports.len(), 1);
    // The music beats 300 ms after the dance, which is 200 ms before its next beat.
    let offset: f64 = reports[0].get("offset").unwrap();
    assert!((offset - 200.0).abs() <= NEAR, "{offset}");
    assert!(reports[0].get::<f64>("hit-rate-100").unwrap() < 0.1);
}

#[test]
fn there_is_one_audio_pad_and_it_can_go() {
    init();
    let element = gst::parse::launch("rhythmtag").unwrap();
    for _ in 0..3 {
        let pad = element.request_pad_simple("audio").unwrap();
        assert_eq!(pad.name(), "audio");
        assert!(element.static_pad("audio_src").is_some());
        element.release_request_pad(&pad);
        assert!(element.static_pad("audio").is_none() && element.static_pad("audio_src").is_none());
    }
}

const PIPELINE: &str = "rhythmtag name=eye mode=aligned \
    videotestsrc num-buffers=100 pattern=black ! video/x-raw,framerate=25/1,width=16,height=16 ! queue ! eye.sink eye.src ! queue ! fakesink \
    audiotestsrc num-buffers=100 wave=ticks ! audio/x-raw,rate=22050 ! onsetdetect method=superflux ! queue ! eye.audio eye.audio_src ! queue ! fakesink";

#[test]
fn both_streams_run_in_a_pipeline() {
    let pipeline = Playing::new(PIPELINE);
    pipeline.set_state(gst::State::Playing).unwrap();
    assert_eq!(pipeline.end().type_(), gst::MessageType::Eos);
    let eye = pipeline.by_name("eye").unwrap();
    assert_eq!(stat(&eye, "buffers"), 100);
    assert_eq!(stat(&eye, "without-motion"), 100);
}

#[test]
fn nothing_leaks() {
    assert_no_leaks("nothing_leaks", || {
        let pipeline = Playing::new(PIPELINE);
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline.end();
    });
}
