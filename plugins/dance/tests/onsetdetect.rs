// SPDX-License-Identifier: MPL-2.0
//! The element contract of `onsetdetect`, clause by clause.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "onsetdetect/model.rs"]
mod model;

use common::{Dir, Playing, assert_no_leaks, error, init, stat, title};
use gst::prelude::*;
use gst_check::Harness;
use gstdance::marks::{self, Kind, Mark};

const SECOND: f64 = 1e9;

fn info(
    format: gst_audio::AudioFormat,
    rate: u32,
    channels: u32,
    layout: gst_audio::AudioLayout,
) -> gst_audio::AudioInfo {
    init();
    let builder = gst_audio::AudioInfo::builder(format, rate, channels).layout(layout);
    if channels > 8 {
        let positions = vec![gst_audio::AudioChannelPosition::None; channels as usize];
        builder.positions(&positions).build().unwrap()
    } else {
        builder.build().unwrap()
    }
}

fn mono_f32(rate: u32) -> gst_audio::AudioInfo {
    info(
        gst_audio::AUDIO_FORMAT_F32,
        rate,
        1,
        gst_audio::AudioLayout::Interleaved,
    )
}

/// A drum-like burst at each instant: sudden, then dying away within 60 ms.
fn clicks(rate: u32, seconds: f64, instants: &[f64]) -> Vec<f64> {
    let mut samples = vec![0.0; (seconds * f64::from(rate)) as usize];
    for instant in instants {
        let start = (instant * f64::from(rate)).round() as usize;
        let end = samples.len().min(start + (0.06 * f64::from(rate)) as usize);
        for (n, sample) in samples[start..end].iter_mut().enumerate() {
            let t = n as f64 / f64::from(rate);
            let tone = [180.0, 720.0, 1930.0, 3100.0]
                .iter()
                .map(|f| (std::f64::consts::TAU * f * t).cos())
                .sum::<f64>();
            *sample += 0.15 * tone * (-t / 0.012).exp();
        }
    }
    samples
}

/// A kick on the first of four beats at 120 BPM, a hat on each.
fn march(rate: u32, seconds: f64) -> Vec<f64> {
    let mut samples = clicks(rate, seconds, &every(0.5, 0.5, seconds));
    for start in every(2.0, 0.5, seconds) {
        let start = (start * f64::from(rate)) as usize;
        for (n, sample) in samples[start..]
            .iter_mut()
            .take(rate as usize / 5)
            .enumerate()
        {
            let t = n as f64 / f64::from(rate);
            *sample += 0.6 * (std::f64::consts::TAU * 70.0 * t).cos() * (-t / 0.06).exp();
        }
    }
    samples
}

fn every(interval: f64, from: f64, to: f64) -> Vec<f64> {
    (0..)
        .map(|n| from + f64::from(n) * interval)
        .take_while(|t| *t < to)
        .collect()
}

/// The samples on every channel, in the format of `info`.
fn buffer(info: &gst_audio::AudioInfo, mono: &[f64], pts: Option<u64>) -> gst::Buffer {
    let format = info.format_info();
    let channels = info.channels() as usize;
    let pack = |samples: &[f64]| {
        let mut bytes = vec![0; samples.len() * (info.width() / 8) as usize];
        let unpacked: Vec<u8> = if format.is_integer() {
            samples
                .iter()
                .flat_map(|v| ((v * 2147483647.0) as i32).to_ne_bytes())
                .collect()
        } else {
            samples.iter().flat_map(|v| v.to_ne_bytes()).collect()
        };
        format.pack(gst_audio::AudioPackFlags::empty(), &mut bytes, &unpacked);
        bytes
    };
    let bytes = match info.layout() {
        gst_audio::AudioLayout::NonInterleaved => pack(mono).repeat(channels),
        _ => {
            let frames: Vec<f64> = mono
                .iter()
                .flat_map(|v| std::iter::repeat_n(*v, channels))
                .collect();
            pack(&frames)
        }
    };
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
        if info.layout() == gst_audio::AudioLayout::NonInterleaved {
            gst_audio::AudioMeta::add(buffer, info, mono.len(), &[]).unwrap();
        }
    }
    buffer
}

/// Cuts `samples` into buffers of `frames`, the first at `start` nanoseconds.
fn buffers<'a>(
    info: &'a gst_audio::AudioInfo,
    samples: &'a [f64],
    frames: usize,
    start: u64,
) -> impl Iterator<Item = gst::Buffer> + 'a {
    samples.chunks(frames).enumerate().map(move |(n, chunk)| {
        let rate = f64::from(info.rate());
        let pts = start + ((n * frames) as f64 / rate * SECOND).round() as u64;
        let mut buffer = buffer(info, chunk, Some(pts));
        buffer
            .get_mut()
            .unwrap()
            .set_duration(gst::ClockTime::from_nseconds(
                (chunk.len() as f64 / rate * SECOND).round() as u64,
            ));
        buffer
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
        init();
        let element = gst::parse::launch(&format!("onsetdetect name=od {properties}")).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.play();
        Run {
            harness,
            bus,
            out: Vec::new(),
        }
    }

    fn caps(mut self, info: &gst_audio::AudioInfo) -> Self {
        self.harness.set_src_caps(info.to_caps().unwrap());
        self
    }

    fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    fn push(&mut self, buffers: impl Iterator<Item = gst::Buffer>) {
        for buffer in buffers {
            self.harness.push(buffer).unwrap();
            self.out
                .extend(std::iter::from_fn(|| self.harness.try_pull()));
        }
    }

    fn event(&mut self, event: gst::Event) {
        assert!(self.harness.push_event(event));
        self.out
            .extend(std::iter::from_fn(|| self.harness.try_pull()));
    }

    fn eos(&mut self) {
        self.event(gst::event::Eos::new());
    }

    /// Marks that rode on buffers, each with its buffer.
    fn on_buffers(&self) -> Vec<(Mark, &gst::Buffer)> {
        self.out
            .iter()
            .flat_map(|buffer| {
                marks::read(buffer)
                    .into_iter()
                    .flat_map(|source| source.marks)
                    .map(move |mark| (mark, buffer))
            })
            .collect()
    }

    /// Events that came downstream so far.
    fn events(&mut self) -> Vec<gst::Event> {
        std::iter::from_fn(|| self.harness.try_pull_event()).collect()
    }

    /// Marks posted on the bus since the last call.
    fn posted(&self) -> Vec<Mark> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| {
                let s = message.structure()?;
                (s.name() == marks::MESSAGE_NAME).then(|| Mark::from_structure(s).unwrap())
            })
            .collect()
    }

    fn stat(&self, field: &str) -> u64 {
        stat(&self.element(), field)
    }

    /// The first error or warning on the bus, with its text.
    fn complaint(&self) -> Option<(gst::glib::Error, bool)> {
        std::iter::from_fn(|| self.bus.pop()).find_map(|message| match message.view() {
            gst::MessageView::Error(err) => Some((err.error(), true)),
            gst::MessageView::Warning(warning) => Some((warning.error(), false)),
            _ => None,
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Also after a failed assertion, or its message drowns in that of the library.
        let _ = self.element().set_state(gst::State::Null);
        // Messages on the bus hold the element, which holds the bus; a pipeline does this itself.
        self.bus.set_flushing(true);
    }
}

fn of_kind(marks: &[Mark], kind: Kind) -> Vec<f64> {
    marks
        .iter()
        .filter(|mark| mark.kind == kind)
        .map(|mark| mark.timestamp.nseconds() as f64 / SECOND)
        .collect()
}

/// Every instant has its onset within `tolerance` seconds, and there is no other.
fn assert_onsets(marks: &[Mark], instants: &[f64], tolerance: f64) {
    let found = of_kind(marks, Kind::Onset);
    assert_eq!(found.len(), instants.len(), "{found:?} for {instants:?}");
    for (found, instant) in found.iter().zip(instants) {
        assert!(
            (found - instant).abs() <= tolerance,
            "{found} for {instant}"
        );
    }
}

#[test]
fn every_format_passes_bit_exact_and_is_heard() {
    let instants = [0.5, 1.0, 1.31, 1.8];
    for format in [
        gst_audio::AudioFormat::S16le,
        gst_audio::AudioFormat::S16be,
        gst_audio::AudioFormat::S24le,
        gst_audio::AudioFormat::S2432le,
        gst_audio::AudioFormat::S32le,
        gst_audio::AudioFormat::F32le,
        gst_audio::AudioFormat::F64le,
        gst_audio::AudioFormat::U8,
    ] {
        for layout in [
            gst_audio::AudioLayout::Interleaved,
            gst_audio::AudioLayout::NonInterleaved,
        ] {
            for channels in [1, 2, 3, 64] {
                let info = info(format, 16_000, channels, layout);
                let samples = clicks(16_000, 2.2, &instants);
                let sent: Vec<_> = buffers(&info, &samples, 333, 0).collect();
                let mut run = Run::new("emit=onset").caps(&info);
                run.push(sent.iter().cloned());
                run.eos();
                assert_eq!(sent.len(), run.out.len());
                for (sent, got) in sent.iter().zip(&run.out) {
                    assert_eq!(sent.map_readable().unwrap(), got.map_readable().unwrap());
                    assert_eq!(sent.pts(), got.pts());
                    assert_eq!(sent.duration(), got.duration());
                    assert_eq!(sent.flags(), got.flags());
                }
                assert_onsets(&run.posted(), &instants, 0.006);
            }
        }
    }
}

#[test]
fn every_rate_gives_the_same_instants() {
    let instants = [0.5, 1.0, 1.31, 1.8, 2.4];
    for rate in [
        8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000, 768_000,
    ] {
        let info = mono_f32(rate);
        let samples = clicks(rate, 2.8, &instants);
        let mut run = Run::new("emit=onset").caps(&info);
        run.push(buffers(&info, &samples, rate as usize / 100, 0));
        run.eos();
        assert_onsets(&run.posted(), &instants, 0.005);
    }
}

#[test]
fn buffer_size_does_not_matter() {
    let instants = every(0.4, 0.5, 4.0);
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 5.0, &instants);
    let found: Vec<Vec<Mark>> = [64, 441, 1024, 44_100, 220_500]
        .into_iter()
        .map(|frames| {
            let mut run = Run::new("").caps(&info);
            run.push(buffers(&info, &samples, frames, 0));
            run.eos();
            run.posted()
        })
        .collect();
    assert!(!found[0].is_empty());
    for other in &found[1..] {
        assert_eq!(&found[0], other);
    }
}

#[test]
fn beats_of_a_metronome_are_on_its_ticks() {
    let beats = every(0.5, 0.25, 20.0);
    let info = mono_f32(48_000);
    let samples = clicks(48_000, 20.0, &beats);
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("mode={mode}")).caps(&info);
        run.push(buffers(&info, &samples, 480, 0));
        run.eos();
        let marks = run.posted();
        let ticks: Vec<f64> = marks
            .iter()
            .filter(|mark| mark.kind.is_beat())
            .map(|mark| mark.timestamp.nseconds() as f64 / SECOND)
            .collect();
        assert!(ticks.len() >= 34, "{mode}: {} of 40 beats", ticks.len());
        for tick in ticks.iter().filter(|t| **t > 5.0) {
            let off = beats
                .iter()
                .map(|beat| (beat - tick).abs())
                .fold(1.0, f64::min);
            assert!(off < 0.02, "{mode}: beat at {tick}");
        }
        for mark in marks.iter().filter(|mark| mark.kind.is_beat()) {
            assert!((mark.bpm.unwrap() - 120.0).abs() < 12.0, "{mode}: {mark:?}");
            assert_eq!(mark.kind == Kind::Downbeat, mark.beat_in_bar == 1);
        }
        let tempo = run
            .events()
            .into_iter()
            .filter_map(|event| Some(event.structure()?.to_owned()))
            .filter(|s| s.name() == marks::TEMPO_EVENT_NAME)
            .map(|s| s.get::<f64>("bpm").unwrap())
            .find(|bpm| (bpm - 120.0).abs() < 2.0);
        assert!(tempo.is_some(), "{mode}: no tempo of 120");
    }
}

#[test]
fn tag_and_property_have_the_tempo() {
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 20.0, &every(0.5, 0.0, 20.0));
    let mut run = Run::new("").caps(&info);
    run.push(buffers(&info, &samples, 1024, 0));
    let tempo: f64 = run.element().property("tempo");
    assert!((tempo - 120.0).abs() < 2.0, "{tempo}");
    let tags: Vec<f64> = run
        .events()
        .iter()
        .filter_map(|event| match event.view() {
            gst::EventView::Tag(tag) => tag
                .tag()
                .get::<gst::tags::BeatsPerMinute>()
                .map(|bpm| bpm.get()),
            _ => None,
        })
        .collect();
    assert!(!tags.is_empty());
    assert!(tags.iter().all(|bpm| (bpm - 120.0).abs() < 3.0), "{tags:?}");
}

#[test]
fn aligned_marks_ride_on_the_buffer_that_holds_them() {
    let instants = every(0.37, 0.4, 8.0);
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 9.0, &instants);
    let sent: Vec<_> = buffers(&info, &samples, 441, 5_000_000_000).collect();
    let mut run = Run::new("mode=aligned").caps(&info);
    run.push(sent.iter().cloned());
    let held = sent.len() - run.out.len();
    run.eos();
    assert_eq!(run.out.len(), sent.len());
    for (sent, got) in sent.iter().zip(&run.out) {
        assert_eq!(sent.pts(), got.pts());
        assert_eq!(sent.map_readable().unwrap(), got.map_readable().unwrap());
    }
    let marks = run.on_buffers();
    let onsets = marks.iter().filter(|(m, _)| m.kind == Kind::Onset).count();
    assert_eq!(onsets, instants.len());
    for (mark, buffer) in &marks {
        let start = buffer.pts().unwrap();
        let end = start + buffer.duration().unwrap();
        assert!(
            (start..end).contains(&mark.timestamp),
            "{mark:?} on {start}..{end}"
        );
    }
    assert_eq!(run.stat("late"), 0);
    // What was held back is what the latency says.
    let latency = run.harness.query_latency().unwrap();
    assert_eq!(latency, gst::ClockTime::from_mseconds(10) * held as u64);
    assert!(latency > gst::ClockTime::ZERO);
}

#[test]
fn latency_is_answered_as_it_is() {
    let info = mono_f32(48_000);
    let upstream = gst::ClockTime::from_mseconds(7);
    for (mode, zero) in [("low-latency", true), ("offline", true), ("aligned", false)] {
        let mut run = Run::new(&format!("mode={mode}")).caps(&info);
        run.harness.set_live(true);
        run.harness.set_upstream_latency(upstream);
        run.push(buffers(&info, &[0.0; 9600], 480, 0));
        let own = run.harness.query_latency().unwrap() - upstream;
        assert_eq!(own.is_zero(), zero, "{mode}: {own}");
        let reposted = run.bus.pop_filtered(&[gst::MessageType::Latency]).is_some();
        assert_eq!(reposted, !zero, "{mode}");
        if mode == "aligned" {
            // Larger buffers are let go later, and a mark moved back is known later.
            run.push(buffers(&info, &[0.0; 14_000], 7000, 200_000_000));
            assert!(run.harness.query_latency().unwrap() - upstream > own);
            let before = run.harness.query_latency().unwrap();
            run.element().set_property("offset", -500_000_000i64);
            assert!(
                run.harness.query_latency().unwrap() >= before + gst::ClockTime::from_mseconds(400)
            );
        }
    }
}

#[test]
fn offline_marks_come_at_the_end_in_order() {
    let info = mono_f32(44_100);
    let samples = march(44_100, 20.0);
    let mut run = Run::new("mode=offline").caps(&info);
    run.push(buffers(&info, &samples, 4410, 0));
    assert!(run.posted().is_empty());
    assert!(run.on_buffers().is_empty());
    run.events();
    run.eos();
    let events = run.events();
    assert!(matches!(
        events.last().map(|e| e.type_()),
        Some(gst::EventType::Eos)
    ));
    let marks: Vec<Mark> = events
        .iter()
        .filter_map(|event| marks::from_event(event))
        .flat_map(|source| {
            assert_eq!(source.source, "od");
            source.marks
        })
        .collect();
    assert_eq!(marks, run.posted());
    assert!(marks.iter().any(|mark| mark.kind == Kind::Downbeat));
    assert!(marks.iter().any(|mark| mark.kind == Kind::Beat));
    for pair in marks.windows(2) {
        assert!(pair[0].timestamp <= pair[1].timestamp);
        assert_eq!(pair[0].id + 1, pair[1].id);
    }
}

#[test]
fn only_the_kinds_asked_for_are_emitted() {
    let info = mono_f32(44_100);
    let samples = march(44_100, 20.0);
    for (emit, kinds) in [
        ("onset", &[Kind::Onset][..]),
        ("beat", &[Kind::Beat]),
        ("downbeat", &[Kind::Downbeat]),
        ("beat+downbeat", &[Kind::Beat, Kind::Downbeat]),
    ] {
        let mut run = Run::new(&format!("emit={emit} mode=offline")).caps(&info);
        run.push(buffers(&info, &samples, 4410, 0));
        run.eos();
        let marks = run.posted();
        for kind in kinds {
            assert!(marks.iter().any(|m| m.kind == *kind), "{emit}: no {kind:?}");
        }
        assert!(marks.iter().all(|m| kinds.contains(&m.kind)), "{emit}");
    }
    let mut run = Run::new("post-messages=false").caps(&info);
    run.push(buffers(&info, &samples, 4410, 0));
    assert!(run.posted().is_empty());
    assert!(!run.on_buffers().is_empty());
}

#[test]
fn times_are_those_of_the_segment_and_the_offset() {
    let info = mono_f32(44_100);
    let instants = [0.5, 1.0];
    let samples = clicks(44_100, 2.0, &instants);
    let mut run = Run::new("emit=onset offset=-10000000").caps(&info);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(10));
    segment.set_time(gst::ClockTime::from_seconds(3));
    segment.set_base(gst::ClockTime::from_seconds(100));
    run.event(gst::event::Segment::new(&segment));
    run.push(buffers(&info, &samples, 441, 10_000_000_000));
    run.eos();
    let marks = run.posted();
    assert_onsets(&marks, &[10.49, 10.99], 0.005);
    for mark in marks {
        let since = mark.timestamp - gst::ClockTime::from_seconds(10);
        assert_eq!(
            mark.running_time,
            Some(gst::ClockTime::from_seconds(100) + since)
        );
        assert_eq!(
            mark.stream_time,
            Some(gst::ClockTime::from_seconds(3) + since)
        );
    }
}

#[test]
fn the_last_marks_come_before_the_end() {
    let info = mono_f32(44_100);
    // This method reports an onset only when it has analysed well past it.
    let samples = clicks(44_100, 1.0, &[0.5, 0.93]);
    for mode in ["low-latency", "aligned"] {
        let mut run = Run::new(&format!("emit=onset method=mudar mode={mode}")).caps(&info);
        run.push(buffers(&info, &samples, 441, 0));
        run.events();
        run.eos();
        let events = run.events();
        let at = |found: &dyn Fn(&gst::Event) -> bool| events.iter().position(found);
        assert_onsets(&run.posted(), &[0.5, 0.93], 0.04);
        if mode == "low-latency" {
            let marks = at(&|event| marks::from_event(event).is_some());
            let eos = at(&|event| event.type_() == gst::EventType::Eos);
            assert!(marks.is_some() && marks < eos);
        } else {
            assert_eq!(run.on_buffers().len(), 2);
        }
        assert_eq!(run.out.len(), 100);
    }
}

#[test]
fn a_flush_forgets_everything() {
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 10.0, &every(0.5, 0.5, 10.0));
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("mode={mode}")).caps(&info);
        run.push(buffers(&info, &samples, 441, 0));
        let before = run.posted().len();
        assert_eq!(before == 0, mode == "offline");
        run.event(gst::event::FlushStart::new());
        run.event(gst::event::FlushStop::new(true));
        assert_eq!(run.element().property::<f64>("tempo"), 0.0);
        run.out.clear();
        run.event(gst::event::Segment::new(&gst::FormattedSegment::<
            gst::ClockTime,
        >::new()));
        run.push(buffers(
            &info,
            &clicks(44_100, 1.0, &[0.4]),
            441,
            60_000_000_000,
        ));
        run.eos();
        let marks = run.posted();
        assert_onsets(&marks, &[60.4], 0.005);
        let start = gst::ClockTime::from_seconds(60);
        assert!(marks.iter().all(|mark| mark.timestamp >= start), "{mode}");
        let beats = marks.iter().filter(|mark| mark.kind.is_beat()).count();
        assert!(beats <= 2, "{mode}: {beats} beats of one stroke");
        assert_eq!(run.out.len(), 100, "{mode}: nothing is lost");
        assert!(marks.iter().all(|mark| mark.id >= before as u64));
    }
}

#[test]
fn a_flush_keeps_the_tags_that_were_held() {
    let info = mono_f32(44_100);
    let mut run = Run::new("mode=aligned").caps(&info);
    run.push(buffers(&info, &clicks(44_100, 1.0, &[0.4]), 441, 0));
    run.event(title());
    let source = run.element().static_pad("src").unwrap();
    assert!(
        source.sticky_event::<gst::event::Tag>(0).is_none(),
        "it is held"
    );
    run.event(gst::event::FlushStart::new());
    run.event(gst::event::FlushStop::new(true));
    assert!(source.sticky_event::<gst::event::Tag>(0).is_some());
}

#[test]
fn a_new_segment_drains_first() {
    let info = mono_f32(44_100);
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("emit=onset mode={mode}")).caps(&info);
        run.push(buffers(&info, &clicks(44_100, 1.0, &[0.5, 0.985]), 441, 0));
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(20));
        segment.set_base(gst::ClockTime::from_seconds(1));
        run.event(gst::event::Segment::new(&segment));
        assert_eq!(run.out.len(), 100, "{mode}");
        let first = run.posted();
        assert_onsets(&first, &[0.5, 0.985], 0.005);
        run.push(buffers(
            &info,
            &clicks(44_100, 1.0, &[0.25]),
            441,
            20_000_000_000,
        ));
        run.eos();
        let second = run.posted();
        assert_onsets(&second, &[20.25], 0.005);
        let running = second[0].running_time.unwrap().nseconds() as f64 / SECOND;
        assert!((running - 1.25).abs() < 0.005);
        assert_eq!(run.out.len(), 200, "{mode}");
    }
}

#[test]
fn new_caps_drain_first_and_the_same_caps_do_not() {
    let slow = mono_f32(22_050);
    let fast = info(
        gst_audio::AUDIO_FORMAT_S16,
        48_000,
        2,
        gst_audio::AudioLayout::Interleaved,
    );
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("emit=onset mode={mode}")).caps(&slow);
        run.push(buffers(&slow, &clicks(22_050, 1.0, &[0.5, 0.985]), 441, 0));
        let posted = run.posted().len();
        run.event(gst::event::Caps::new(&slow.to_caps().unwrap()));
        assert!(run.posted().is_empty(), "{mode}");
        run.event(gst::event::Caps::new(&fast.to_caps().unwrap()));
        assert_eq!(posted + run.posted().len(), 2, "{mode}");
        run.push(buffers(
            &fast,
            &clicks(48_000, 1.0, &[0.25]),
            480,
            1_000_000_000,
        ));
        run.eos();
        assert_onsets(&run.posted(), &[1.25], 0.005);
        assert_eq!(run.out.len(), 150, "{mode}");
    }
}

#[test]
fn short_gaps_are_silence_and_long_ones_restart() {
    let info = mono_f32(44_100);
    for mode in ["low-latency", "aligned"] {
        let mut run = Run::new(&format!("emit=onset mode={mode}")).caps(&info);
        run.push(buffers(&info, &clicks(44_100, 1.0, &[0.5]), 441, 0));
        run.event(
            gst::event::Gap::builder(gst::ClockTime::from_seconds(1))
                .duration(gst::ClockTime::from_mseconds(500))
                .build(),
        );
        run.push(buffers(
            &info,
            &clicks(44_100, 1.0, &[0.3]),
            441,
            1_500_000_000,
        ));
        run.event(
            gst::event::Gap::builder(gst::ClockTime::from_mseconds(2500))
                .duration(gst::ClockTime::from_seconds(3600))
                .build(),
        );
        assert_eq!(run.out.len(), 200, "{mode}: a gap holds nothing back");
        run.push(buffers(
            &info,
            &clicks(44_100, 1.0, &[0.3]),
            441,
            3_602_500_000_000,
        ));
        run.eos();
        assert_onsets(&run.posted(), &[0.5, 1.8, 3602.8], 0.005);
        let gaps = run
            .events()
            .iter()
            .filter(|event| event.type_() == gst::EventType::Gap)
            .count();
        assert_eq!(gaps, 2);
    }
}

#[test]
fn jumps_of_the_timestamps_restart() {
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 1.0, &[0.5, 0.985]);
    for start in [100_000_000_000, 500_000_000] {
        let mut run = Run::new("emit=onset mode=aligned").caps(&info);
        run.push(buffers(&info, &samples, 441, 50_000_000_000));
        run.push(buffers(&info, &samples, 441, start));
        run.eos();
        let s = start as f64 / SECOND;
        assert_onsets(&run.posted(), &[50.5, 50.985, s + 0.5, s + 0.985], 0.005);
        assert_eq!(run.stat("discontinuities"), 1);
        assert_eq!(run.out.len(), 200);
    }
}

#[test]
fn audio_played_backwards_passes_unheard() {
    let info = mono_f32(44_100);
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("mode={mode}")).caps(&info);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(-1.0);
        segment.set_stop(gst::ClockTime::from_seconds(1));
        run.event(gst::event::Segment::new(&segment));
        let mut sent: Vec<_> = buffers(&info, &clicks(44_100, 1.0, &[0.5]), 441, 0).collect();
        sent.reverse();
        run.push(sent.into_iter());
        assert_eq!(run.out.len(), 100, "{mode}");
        run.eos();
        assert!(run.posted().is_empty(), "{mode}");
    }
}

#[test]
fn wandering_timestamps_are_followed() {
    let info = mono_f32(44_100);
    let instants = every(0.5, 0.5, 10.0);
    let samples = clicks(44_100, 10.0, &instants);
    let mut run = Run::new("emit=onset").caps(&info);
    // A clock that runs one per cent fast, as far as the timestamps know.
    run.push(buffers(&info, &samples, 441, 0).map(|mut buffer| {
        let pts = buffer.pts().unwrap().nseconds() as f64 * 1.01;
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_nseconds(pts as u64));
        buffer
    }));
    run.eos();
    let stretched: Vec<f64> = instants.iter().map(|t| t * 1.01).collect();
    assert_onsets(&run.posted(), &stretched, 0.006);
    assert_eq!(run.stat("discontinuities"), 0);
}

#[test]
fn buffers_without_timestamps_are_counted_from_zero() {
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 2.0, &[0.5, 1.5]);
    let mut run = Run::new("emit=onset").caps(&info);
    run.push(buffers(&info, &samples, 441, 0).map(|mut buffer| {
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::NONE);
        buffer
    }));
    run.eos();
    assert_onsets(&run.posted(), &[0.5, 1.5], 0.005);
    assert!(run.out.iter().all(|buffer| buffer.pts().is_none()));
}

#[test]
fn empty_and_gap_buffers_pass() {
    let info = mono_f32(44_100);
    for mode in ["low-latency", "aligned", "offline"] {
        let mut run = Run::new(&format!("emit=onset mode={mode}")).caps(&info);
        run.push(std::iter::once(buffer(&info, &[], Some(0))));
        let samples = clicks(44_100, 1.0, &[0.5]);
        run.push(buffers(&info, &samples, 441, 0).map(|mut buffer| {
            buffer.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
            buffer
        }));
        run.push(std::iter::once(buffer(&info, &[], Some(1_000_000_000))));
        run.eos();
        assert_eq!(run.out.len(), 102, "{mode}");
        assert!(run.posted().is_empty(), "a gap buffer is silence");
        assert_eq!(run.stat("samples"), 44_100);
    }
}

#[test]
fn samples_that_are_no_numbers_are_counted_and_warned_of_once() {
    let info = mono_f32(44_100);
    let mut samples = clicks(44_100, 3.0, &[0.5, 2.5]);
    for (n, bad) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
        .iter()
        .enumerate()
    {
        samples[44_100 + 500 * n] = *bad;
    }
    let sent: Vec<_> = buffers(&info, &samples, 441, 0).collect();
    let mut run = Run::new("emit=onset post-messages=false").caps(&info);
    run.push(sent.iter().cloned());
    run.eos();
    for (sent, got) in sent.iter().zip(&run.out) {
        assert_eq!(sent.map_readable().unwrap(), got.map_readable().unwrap());
    }
    assert_eq!(run.stat("invalid-samples"), 3);
    let (warning, fatal) = run.complaint().unwrap();
    assert!(
        !fatal && warning.matches(gst::StreamError::Format),
        "{warning}"
    );
    assert!(run.complaint().is_none());
    let found: Vec<_> = run.on_buffers().into_iter().map(|(mark, _)| mark).collect();
    assert_onsets(&found, &[0.5, 2.5], 0.005);
}

#[test]
fn audio_without_usable_caps_is_an_error() {
    for caps in [
        None,
        Some("audio/x-raw,format=F32LE,layout=interleaved,rate=4000,channels=1"),
        Some(
            "audio/x-raw,format=F32LE,layout=interleaved,rate=44100,channels=65,channel-mask=(bitmask)0",
        ),
        Some("video/x-raw,format=I420,width=16,height=16,framerate=25/1"),
    ] {
        init();
        let element = gst::ElementFactory::make("onsetdetect").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_state(gst::State::Playing).unwrap();
        let pad = element.static_pad("sink").unwrap();
        assert!(pad.send_event(gst::event::StreamStart::new("x")));
        if let Some(caps) = caps {
            let caps: gst::Caps = caps.parse().unwrap();
            assert!(!pad.send_event(gst::event::Caps::new(&caps)));
        }
        assert!(
            pad.send_event(gst::event::Segment::new(&gst::FormattedSegment::<
                gst::ClockTime,
            >::new()))
        );
        assert_eq!(
            pad.chain(gst::Buffer::with_size(400).unwrap()),
            Err(gst::FlowError::NotNegotiated)
        );
        let error = error(&bus);
        assert!(error.matches(gst::CoreError::Negotiation));
        assert!(error.to_string().contains("8000"), "{error}");
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn settings_that_contradict_are_an_error_before_any_data() {
    init();
    let element = gst::ElementFactory::make("onsetdetect")
        .property("min-bpm", 180.0)
        .property("max-bpm", 90.0)
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Playing).is_err());
    assert!(error(&bus).matches(gst::LibraryError::Settings));
    element.set_state(gst::State::Null).unwrap();
    element.set_property("min-bpm", 60.0);
    element.set_state(gst::State::Playing).unwrap();
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn broken_frames_pass_and_are_warned_of_once() {
    let info = info(
        gst_audio::AUDIO_FORMAT_S16,
        44_100,
        2,
        gst_audio::AudioLayout::Interleaved,
    );
    let mut run = Run::new("").caps(&info);
    for _ in 0..3 {
        run.harness
            .push(gst::Buffer::with_size(401).unwrap())
            .unwrap();
        assert_eq!(run.harness.pull().unwrap().size(), 401);
    }
    assert_eq!(run.stat("broken-buffers"), 3);
    let (warning, fatal) = run.complaint().unwrap();
    assert!(!fatal && warning.matches(gst::StreamError::Format));
    assert!(run.complaint().is_none());
}

#[test]
fn it_starts_and_stops_fifty_times() {
    init();
    let info = mono_f32(44_100);
    let samples = clicks(44_100, 1.0, &[0.5]);
    let element = gst::ElementFactory::make("onsetdetect")
        .property_from_str("mode", "aligned")
        .property_from_str("emit", "onset")
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let pad = element.static_pad("sink").unwrap();
    let mut ids = Vec::new();
    for n in 0..50 {
        let state = [gst::State::Null, gst::State::Ready][n % 2];
        element.set_state(gst::State::Playing).unwrap();
        assert!(pad.send_event(gst::event::StreamStart::new("x")));
        assert!(pad.send_event(gst::event::Caps::new(&info.to_caps().unwrap())));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(pad.send_event(gst::event::Segment::new(&segment)));
        for buffer in buffers(&info, &samples, 4410, 0) {
            // Nothing is linked downstream, which is no concern of the analysis.
            let _ = pad.chain(buffer);
        }
        while let Some(message) = bus.pop() {
            if let Some(s) = message
                .structure()
                .filter(|s| s.has_name(marks::MESSAGE_NAME))
            {
                let mark = Mark::from_structure(s).unwrap();
                assert_onsets(std::slice::from_ref(&mark), &[0.5], 0.005);
                ids.push(mark.id);
            }
        }
        element.set_state(state).unwrap();
    }
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(ids, (0..50).collect::<Vec<_>>(), "ids never repeat");
}

#[test]
fn a_storm_of_flushes_does_no_harm() {
    let pipeline = Playing::new(
        "audiotestsrc wave=ticks tick-interval=200000000 samplesperbuffer=441 ! onsetdetect mode=aligned name=od ! fakesink name=sink",
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..200 {
        let start = gst::ClockTime::from_mseconds(n * 37);
        assert!(pipeline.seek_simple(gst::SeekFlags::FLUSH, start).is_ok() || n < 3);
        if n % 10 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let error = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
    // Each seek lets the sink preroll again. GStreamer may bring a sink that has just done so to
    // PLAYING after the pipeline was set to NULL.
    let (settled, ..) = pipeline.state(gst::ClockTime::from_seconds(20));
    settled.expect("the pipeline hangs");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Runs a pipeline to its end or its error, whichever comes; a minute is a hang.
fn run_pipeline(description: &str) -> (Result<(), String>, Vec<Mark>) {
    let pipeline = Playing::new(description);
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut marks = Vec::new();
    let result = loop {
        let Some(message) = bus.timed_pop(gst::ClockTime::from_seconds(60)) else {
            panic!("neither end nor error: {description}");
        };
        match message.view() {
            gst::MessageView::Eos(_) => break Ok(()),
            gst::MessageView::Error(err) => break Err(err.error().to_string()),
            gst::MessageView::Element(element) => {
                let s = element
                    .structure()
                    .filter(|s| s.has_name(marks::MESSAGE_NAME));
                marks.extend(s.map(|s| Mark::from_structure(s).unwrap()));
            }
            _ => (),
        }
    };
    (result, marks)
}

#[test]
fn truncated_and_corrupt_files_end_without_a_hang() {
    let folder = Dir::new();
    let whole = folder.file("whole.ogg");
    let (result, _) = run_pipeline(&format!(
        "audiotestsrc wave=ticks tick-interval=500000000 num-buffers=430 ! audioconvert ! vorbisenc ! oggmux ! filesink location={}",
        whole.display()
    ));
    result.unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let play = |bytes: &[u8]| {
        let path = folder.file("broken.ogg");
        std::fs::write(&path, bytes).unwrap();
        run_pipeline(&format!(
            "filesrc location={} ! oggdemux ! vorbisdec ! onsetdetect emit=onset ! fakesink",
            path.display()
        ))
    };
    let (result, all) = play(&bytes);
    result.unwrap();
    assert!(all.len() >= 17, "{}", all.len());
    // What is there is analysed, whatever comes after it.
    let (_, half) = play(&bytes[..bytes.len() / 2]);
    assert!(half.len() >= 5 && half.len() < all.len(), "{}", half.len());
    let mut corrupt = bytes.clone();
    for n in (bytes.len() / 3..bytes.len()).step_by(97) {
        corrupt[n] ^= 0x5a;
    }
    // The demuxer may give up at the first broken page or skip it.
    let (_, marks) = play(&corrupt);
    assert!(
        !marks.is_empty() && marks.len() <= 2 * all.len(),
        "{}",
        marks.len()
    );
    let (result, marks) = play(&bytes[..100]);
    assert!(result.is_err() || marks.is_empty());
    let (result, marks) = play(&[]);
    assert!(result.is_err() && marks.is_empty());
}

#[test]
fn live_audio_is_in_time_in_every_mode() {
    let frames = |mode: &str| {
        let pipeline = Playing::new(&format!(
            "audiotestsrc is-live=true num-buffers=60 samplesperbuffer=882 ! onsetdetect mode={mode} ! fakesink name=sink sync=true qos=true max-lateness=60000000",
        ));
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = pipeline.end();
        assert_eq!(end.type_(), gst::MessageType::Eos, "{mode}: {end:?}");
        let sink = pipeline.by_name("sink").unwrap();
        ["rendered", "dropped"].map(|name| stat(&sink, name))
    };
    for mode in ["low-latency", "aligned", "offline"] {
        // A busy machine is late now and then; a latency that is not true is late each time, by more than what is let pass.
        let mut tries = Vec::new();
        while tries.len() < 5 && !tries.contains(&[60, 0]) {
            tries.push(frames(mode));
        }
        assert!(tries.contains(&[60, 0]), "{mode}: {tries:?}");
    }
}

#[test]
fn it_leaks_nothing() {
    assert_no_leaks("it_leaks_nothing", || {
        let info = mono_f32(44_100);
        let samples = clicks(44_100, 10.0, &every(0.5, 0.5, 10.0));
        for mode in ["low-latency", "aligned", "offline"] {
            let mut run = Run::new(&format!("mode={mode}")).caps(&info);
            run.push(buffers(&info, &samples, 441, 0));
            run.eos();
        }
    });
}
