// SPDX-License-Identifier: MPL-2.0
//! The element contract of `hoofflow`, clause by clause.
//!
//! The models are of the real interface, written here by `dance-networks`, with a rule instead of
//! trained weights: what becomes brighter from one picture to the next goes to the right.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{
    Dir, Playing, assert_no_leaks, assert_refused, error, init, library, message, ms, stat,
};
use dance_inference::ModelFile;
use dance_networks::card;
use dance_networks::layers::Scope;
use dance_networks::network::{About, Network, Port};
use dance_networks::ops::{Ops, Unary};
use dance_networks::weights::Weights;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoInterlaceMode};
use gstdance::hoof::{self, Hoof, Status};

/// Side of the pictures that the models see, and of their flow.
const SIDE: usize = 64;
const FLOW: usize = SIDE / 4;

/// Flow to the right of `gain` pixels for each unit that a block becomes brighter.
#[derive(Clone)]
struct Brighter {
    gain: f32,
    /// No number comes out where a picture is brighter than this.
    limit: f32,
    side: usize,
    task: &'static str,
    /// Multiplications that cost time and change nothing.
    toil: usize,
}

impl Default for Brighter {
    fn default() -> Self {
        Self {
            gain: 10.0,
            limit: 2.0,
            side: SIDE,
            task: "optical-flow",
            toil: 0,
        }
    }
}

impl Network for Brighter {
    fn name(&self) -> &str {
        "brighter"
    }

    fn inputs(&self) -> Vec<Port> {
        let (two, three): (usize, usize) = (2, 3);
        vec![Port::signal(
            "frames",
            &[
                "batch".into(),
                two.into(),
                three.into(),
                self.side.into(),
                self.side.into(),
            ],
            "",
        )]
    }

    fn outputs(&self) -> Vec<Port> {
        let (axes, side, features): (usize, usize, usize) = (2, self.side / 4, 3);
        vec![
            Port::signal(
                "flow",
                &["batch".into(), axes.into(), side.into(), side.into()],
                "",
            ),
            Port::signal("feature", &["batch".into(), features.into()], ""),
        ]
    }

    fn about(&self) -> About {
        About {
            task: self.task.into(),
            labels: ["x", "y"].map(String::from).to_vec(),
            ..About::default()
        }
    }

    fn forward<G: Ops>(
        &self,
        scope: &Scope<G>,
        inputs: &[G::Tensor],
    ) -> anyhow::Result<Vec<G::Tensor>> {
        let [frames] = inputs else {
            anyhow::bail!("{} inputs", inputs.len());
        };
        let g = scope.ops;
        let blocks = (self.side / 4) as i64;
        let cut = g.reshape(frames, &[-1, 2, 3, blocks, 4, blocks, 4])?;
        let grey = g.mean(&cut, &[2, 4, 6], false)?;
        let (first, second) = (
            g.slice(&grey, 1, 0, Some(1))?,
            g.slice(&grey, 1, 1, Some(2))?,
        );
        let mut right = g.scale(&g.sub(&second, &first)?, self.gain)?;
        for _ in 0..self.toil {
            let matrix = g.reshape(frames, &[-1, 6, self.side as i64, self.side as i64])?;
            let product = g.scale(&g.mean_all(&g.matmul(&matrix, &matrix)?)?, 0.0)?;
            right = g.add(&right, &product)?;
        }
        let below = g.sub(&g.scalar(self.limit)?, &second)?;
        let number = g.scale(&g.unary(&below, Unary::Sqrt)?, 0.0)?;
        let right = g.add(&right, &number)?;
        let down = g.scale(&right, 0.0)?;
        let colours = g.mean(frames, &[3, 4], false)?;
        let feature = g.squeeze(&g.slice(&colours, 1, 1, Some(2))?, 1)?;
        Ok(vec![g.concat(&[&right, &down], 1)?, feature])
    }
}

impl Brighter {
    fn write(&self, folder: &Dir) -> PathBuf {
        let path = folder.file("flow.onnx");
        let _ = std::fs::remove_file(path.with_extension("toml"));
        std::fs::write(&path, card::model(self, Weights::Seeded(1)).unwrap()).unwrap();
        path
    }
}

/// Properties that ask for a model of this size.
fn through(model: &Path) -> String {
    format!(
        "analysis-width={SIDE} analysis-height={SIDE} model={} onnxruntime-library={}",
        model.display(),
        library().display()
    )
}

struct Run {
    harness: Harness,
    bus: gst::Bus,
    info: VideoInfo,
    _folder: Dir,
}

impl Run {
    fn new(properties: &str, info: &VideoInfo) -> Self {
        Self::with(&Brighter::default(), properties, info, false)
    }

    fn with(model: &Brighter, properties: &str, info: &VideoInfo, live: bool) -> Self {
        init();
        let folder = Dir::new();
        let model = model.write(&folder);
        let element =
            gst::parse::launch(&format!("hoofflow {} {properties}", through(&model))).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        // The harness would end the whole process.
        if element.set_state(gst::State::Paused).is_err() {
            element.set_state(gst::State::Null).unwrap();
            panic!("{}", error(&bus));
        }
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_live(live);
        harness.play();
        harness.set_src_caps(info.to_caps().unwrap());
        Self {
            harness,
            bus,
            info: info.clone(),
            _folder: folder,
        }
    }

    fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    fn push(&mut self, at: gst::ClockTime, level: u8) -> Result<gst::FlowSuccess, gst::FlowError> {
        let buffer = frame(&self.info, at, level);
        self.harness.push(buffer)
    }

    /// What is known of the motion of every buffer that came out.
    fn seen(&mut self) -> Vec<Vec<Hoof>> {
        let mut all = Vec::new();
        while let Some(buffer) = self.harness.try_pull() {
            all.push(hoof::read(&buffer));
        }
        all
    }

    /// The one motion of each buffer.
    fn each(&mut self) -> Vec<Hoof> {
        let seen = self.seen().into_iter();
        seen.map(|mut motions| {
            assert_eq!(motions.len(), 1);
            motions.remove(0)
        })
        .collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.bus.set_flushing(true);
    }
}

/// A frame of one brightness, whatever its format.
fn frame(info: &VideoInfo, at: gst::ClockTime, level: u8) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![level; info.size()]);
    buffer.get_mut().unwrap().set_pts(at);
    buffer
}

fn rgb(width: u32, height: u32) -> VideoInfo {
    init();
    VideoInfo::builder(VideoFormat::Rgb, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap()
}

fn status(seen: &[Hoof]) -> Vec<Status> {
    seen.iter().map(|hoof| hoof.status).collect()
}

#[test]
fn the_motion_rides_on_its_frame_and_the_video_is_the_same_memory() {
    let info = rgb(120, 90);
    let mut run = Run::new("grid=2 bins=8", &info);
    let mut pushed = Vec::new();
    for (n, level) in [100u8, 120, 110].into_iter().enumerate() {
        let buffer = frame(&info, ms(40 * n as u64), level);
        pushed.push(buffer.map_readable().unwrap().as_ptr());
        run.harness.push(buffer).unwrap();
    }
    let mut seen = Vec::new();
    for pointer in pushed {
        let buffer = run.harness.pull().unwrap();
        assert_eq!(buffer.map_readable().unwrap().as_ptr(), pointer);
        seen.extend(hoof::read(&buffer));
    }
    assert_eq!(status(&seen), [Status::First, Status::Flow, Status::Flow]);
    let [first, right, left] = &seen[..] else {
        panic!()
    };
    assert_eq!(
        (first.magnitude, first.interval, first.flow.is_none()),
        (0.0, None, true)
    );
    for (hoof, at, change, bin) in [(right, 40, 20.0, 0), (left, 80, -10.0, 4)] {
        assert_eq!(hoof.timestamp, ms(at));
        assert_eq!(hoof.interval, Some(ms(40)));
        let expected = 10.0 * change / 255.0;
        assert!(
            (hoof.magnitude - f64::abs(expected)).abs() < 1e-4,
            "{}",
            hoof.magnitude
        );
        assert!((hoof.camera[0] - expected).abs() < 1e-4 && hoof.camera[1] == 0.0);
        // Straight to the side: the bin there and its neighbours, a third each.
        let mut bins = vec![0.0; 8];
        for k in [bin + 7, bin, bin + 1] {
            bins[k % 8] = 1.0 / 3.0;
        }
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(&hoof.bins, &bins), "{:?}", hoof.bins);
        assert_eq!((hoof.grid, hoof.cells.len()), ([2, 2], 32));
        let cell: Vec<f64> = bins.iter().map(|bin| bin / 4.0).collect();
        assert!(hoof.cells.chunks(8).all(|found| near(found, &cell)));
        assert_eq!(
            (hoof.size, hoof.flow_size),
            ([SIDE as u32; 2], [FLOW as u32; 2])
        );
        assert_eq!(hoof.flow.as_ref().unwrap().size(), 2 * FLOW * FLOW * 4);
        let level = if at == 40 { 120.0 } else { 110.0 };
        assert!(
            hoof.feature
                .iter()
                .all(|value| (value - level / 255.0).abs() < 1e-3)
        );
    }
    assert_eq!(
        run.element()
            .property::<Option<String>>("active-execution-provider")
            .as_deref(),
        Some("cpu")
    );
}

#[test]
fn messages_say_what_the_meta_says() {
    let info = rgb(64, 64);
    let mut run = Run::new("", &info);
    run.push(ms(0), 100).unwrap();
    run.push(ms(40), 120).unwrap();
    let seen = run.each();
    for hoof in &seen {
        let message = message(&run.bus, gst::MessageType::Element).unwrap();
        let s = message.structure().unwrap();
        assert_eq!(s.name(), hoof::NAME);
        assert_eq!(s.get::<String>("source").unwrap(), run.element().name());
        let told = Hoof::from_structure(s).unwrap();
        assert_eq!(
            (told.status, told.timestamp, &told.bins),
            (hoof.status, hoof.timestamp, &hoof.bins)
        );
        assert!(told.flow.is_none() && told.feature.is_empty());
    }
    let mut run = Run::new("post-messages=false", &info);
    run.push(ms(0), 100).unwrap();
    assert!(run.bus.pop_filtered(&[gst::MessageType::Element]).is_none());
}

#[test]
fn every_raw_format_of_odd_size_is_seen() {
    init();
    let mut tried = 0;
    for format in VideoFormat::iter_raw() {
        let Ok(info) = VideoInfo::builder(format, 37, 23).build() else {
            continue;
        };
        let mut run = Run::new("", &info);
        for n in 0..3u64 {
            // Noise, the same at first and in the end.
            let noise = |k: usize| (k * 31 + k / 7 * 13 + (n % 2) as usize * 97) as u8;
            let data: Vec<u8> = (0..info.size()).map(noise).collect();
            let mut buffer = gst::Buffer::from_mut_slice(data.clone());
            buffer.get_mut().unwrap().set_pts(ms(40 * n));
            run.harness.push(buffer).unwrap();
            let out = run.harness.pull().unwrap();
            assert_eq!(out.map_readable().unwrap().as_slice(), data, "{format}");
            assert_eq!(hoof::read(&out).len(), 1, "{format}");
        }
        assert_eq!(
            (
                stat(&run.element(), "analysed"),
                stat(&run.element(), "unreadable")
            ),
            (3, 0),
            "{format}"
        );
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn lines_that_are_longer_than_they_look_are_read_right() {
    let info = rgb(50, 40);
    let mut run = Run::new("", &info);
    for (n, level) in [100u8, 120].into_iter().enumerate() {
        let stride = 50 * 3 + 77;
        // What lies beyond the lines is very bright.
        let data = (0..stride * 40).map(|k| if k % stride < 150 { level } else { 255 });
        let mut buffer = gst::Buffer::from_mut_slice(data.collect::<Vec<u8>>());
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(ms(40 * n as u64));
        gst_video::VideoMeta::add_full(
            writable,
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Rgb,
            50,
            40,
            &[0],
            &[stride],
        )
        .unwrap();
        run.harness.push(buffer).unwrap();
    }
    let seen = run.each();
    assert!(
        (seen[1].magnitude - 200.0 / 255.0).abs() < 1e-4,
        "{}",
        seen[1].magnitude
    );
    assert!(
        seen[1]
            .feature
            .iter()
            .all(|value| (value - 120.0 / 255.0).abs() < 1e-3)
    );
}

#[test]
fn absurd_sizes_and_interlaced_video_are_seen() {
    let interlaced = VideoInfo::builder(VideoFormat::I420, 720, 576)
        .interlace_mode(VideoInterlaceMode::Interleaved)
        .build();
    let huge = VideoInfo::builder(VideoFormat::Gray8, 7680, 4320).build();
    for info in [rgb(1, 1), rgb(1, 3000), huge.unwrap(), interlaced.unwrap()] {
        let mut run = Run::new("", &info);
        run.push(ms(0), 100).unwrap();
        let mut second = frame(&info, ms(40), 130);
        // Some say it in a meta, too.
        if info.is_interlaced() {
            let flags = gst_video::VideoFrameFlags::INTERLACED | gst_video::VideoFrameFlags::TFF;
            let writable = second.get_mut().unwrap();
            gst_video::VideoMeta::add(writable, flags, info.format(), info.width(), info.height())
                .unwrap();
        }
        run.harness.push(second).unwrap();
        let seen = run.each();
        assert_eq!(status(&seen), [Status::First, Status::Flow], "{info:?}");
        assert!(seen[1].camera[0] > 0.5, "{info:?}: {:?}", seen[1].camera);
    }
}

#[test]
fn firsts_cuts_and_repetitions_say_so() {
    let info = rgb(64, 64);
    let mut run = Run::new("", &info);
    let mut pattern = |at, base: usize, shift: usize| {
        // Another scene has other contrasts.
        let data = (0..info.size()).map(|k| {
            let (x, y) = (k / 3 % 64 + shift, k / 192);
            let pattern = if base < 100 {
                x % 32
            } else {
                5 * (y / 8 % 2) * 8
            };
            (base + 2 * pattern + y % 16) as u8
        });
        let mut buffer = gst::Buffer::from_mut_slice(data.collect::<Vec<u8>>());
        buffer.get_mut().unwrap().set_pts(ms(at));
        run.harness.push(buffer).unwrap();
    };
    pattern(0, 10, 0);
    pattern(40, 10, 4);
    pattern(80, 10, 4);
    pattern(120, 10, 8);
    pattern(160, 110, 0);
    pattern(200, 112, 4);
    // Too long for any motion.
    pattern(2000, 110, 8);
    let seen = run.each();
    use Status::{Cut, First, Flow, Repeated};
    assert_eq!(
        status(&seen),
        [First, Flow, Repeated, Flow, Cut, Flow, First]
    );
    assert_eq!(seen[2].feature, seen[1].feature);
    assert!(seen[2].flow.is_none() && seen[2].magnitude == 0.0);
    // It has moved since it was first shown.
    assert_eq!(seen[3].interval, Some(ms(80)));
    assert_eq!(seen[5].interval, Some(ms(40)));
    let element = run.element();
    assert_eq!(
        ["first", "cuts", "repeated"].map(|name| stat(&element, name)),
        [2, 1, 1]
    );
}

#[test]
fn a_still_picture_is_repeated_for_ever() {
    let mut run = Run::new("", &rgb(64, 64));
    for n in 0..50 {
        run.push(ms(40 * n), 90).unwrap();
    }
    let seen = run.each();
    assert!(
        status(&seen)[1..]
            .iter()
            .all(|status| *status == Status::Repeated)
    );
    // What moves then has moved just now.
    run.push(ms(40 * 50), 120).unwrap();
    assert!(run.each()[0].interval.unwrap() <= ms(120));
}

#[test]
fn fewer_frames_are_analysed_where_that_is_asked_for() {
    for (fps, of, count) in [
        ("15/1", 30.0, 45),
        ("10/1", 25.0, 30),
        ("60/1", 25.0, 75),
        ("0/1", 50.0, 150),
    ] {
        let mut run = Run::new(&format!("analysis-fps={fps}"), &rgb(32, 32));
        for n in 0..(3.0 * of) as u64 {
            let at = gst::ClockTime::from_nseconds((n as f64 * 1e9 / of) as u64);
            run.push(at, (60 + n % 100) as u8).unwrap();
        }
        let seen = run.seen();
        assert_eq!(seen.len(), (3.0 * of) as usize);
        let analysed = seen.iter().flatten().count();
        assert!(analysed.abs_diff(count) <= 1, "{fps} of {of}: {analysed}");
        assert_eq!(stat(&run.element(), "analysed"), analysed as u64);
    }
    // Once a second is no gap.
    let mut run = Run::new("analysis-fps=1/1", &rgb(32, 32));
    for n in 0..4 {
        run.push(ms(1000 * n), (60 + 10 * n) as u8).unwrap();
    }
    assert_eq!(status(&run.each())[1..], [Status::Flow; 3]);
}

#[test]
fn a_flush_new_caps_and_a_new_segment_restart() {
    let info = rgb(64, 64);
    let mut run = Run::new("", &info);
    let flush: fn(&mut Run) = |run| {
        run.harness.push_event(gst::event::FlushStart::new());
        run.harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        run.harness.push_event(gst::event::Segment::new(&segment));
    };
    let caps: fn(&mut Run) = |run| {
        run.info = rgb(32, 96);
        let caps = run.info.to_caps().unwrap();
        run.harness.push_event(gst::event::Caps::new(&caps));
    };
    let segment: fn(&mut Run) = |run| {
        let segment = common::segment(ms(10));
        run.harness.push_event(gst::event::Segment::new(&segment));
    };
    for restart in [flush, caps, segment] {
        run.push(ms(10), 100).unwrap();
        run.push(ms(50), 120).unwrap();
        restart(&mut run);
        run.push(ms(90), 100).unwrap();
        assert_eq!(run.each().last().unwrap().status, Status::First);
    }
}

#[test]
fn what_cannot_be_analysed_passes_all_the_same() {
    let info = rgb(64, 64);
    let mut run = Run::new("", &info);
    run.push(ms(0), 100).unwrap();
    // Too short, without a time, empty on purpose.
    let mut short = gst::Buffer::with_size(100).unwrap();
    short.get_mut().unwrap().set_pts(ms(40));
    run.harness.push(short).unwrap();
    let mut timeless = frame(&info, ms(80), 120);
    timeless.get_mut().unwrap().set_pts(None);
    run.harness.push(timeless).unwrap();
    let mut gap = frame(&info, ms(120), 120);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    run.harness.push(gap).unwrap();
    run.push(ms(160), 120).unwrap();
    let counts: Vec<usize> = run.seen().iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 0, 0, 0, 1]);
    assert_eq!(stat(&run.element(), "unreadable"), 1);
    assert!(message(&run.bus, gst::MessageType::Warning).is_some());
    assert!(run.bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    // Backwards.
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(ms(1000));
    run.harness.push_event(gst::event::Segment::new(&segment));
    run.push(ms(900), 120).unwrap();
    run.push(ms(860), 130).unwrap();
    assert!(run.seen().iter().all(Vec::is_empty));
}

#[test]
fn live_video_waits_for_nothing_and_nothing_is_lost() {
    live_video_is_complete_at(gst::event::Eos::new());
}

#[test]
fn live_motion_leaves_before_the_end_of_a_segment() {
    live_video_is_complete_at(gst::event::SegmentDone::new(ms(2_400)));
}

fn live_video_is_complete_at(end: gst::Event) {
    let slow = Brighter {
        toil: 400,
        ..Brighter::default()
    };
    let mut run = Run::with(&slow, "", &rgb(64, 64), true);
    const FRAMES: u64 = 60;
    for n in 0..FRAMES {
        run.push(ms(40 * n), (60 + n) as u8).unwrap();
    }
    // All of them have passed, while most wait or were left out.
    assert_eq!(run.harness.buffers_received(), FRAMES as u32);
    let type_ = end.type_();
    run.harness.push_event(end);
    let mut motions: Vec<Hoof> = run.seen().into_iter().flatten().collect();
    while let Some(event) = run.harness.try_pull_event() {
        // Whatever comes after the end comes too late.
        if event.type_() == type_ {
            break;
        }
        motions.extend(hoof::from_event(&event));
    }
    let element = run.element();
    let [frames, analysed, skipped] =
        ["frames", "analysed", "skipped"].map(|name| stat(&element, name));
    assert_eq!((frames, analysed + skipped), (FRAMES, FRAMES));
    assert_eq!(motions.len() as u64, analysed);
    assert!(
        skipped > 0,
        "{analysed} frames were analysed while they were pushed"
    );
    // The newest is never left out.
    assert_eq!(motions.last().unwrap().timestamp, ms(40 * (FRAMES - 1)));
    assert!(
        motions
            .windows(2)
            .all(|pair| pair[0].timestamp < pair[1].timestamp)
    );
    let qos = message(&run.bus, gst::MessageType::Qos).expect("no QoS message");
    let gst::MessageView::Qos(qos) = qos.view() else {
        unreachable!()
    };
    assert!(qos.get().0);
}

#[test]
fn a_live_stream_that_is_flushed_or_stopped_does_not_hang() {
    let slow = Brighter {
        toil: 400,
        ..Brighter::default()
    };
    let mut run = Run::with(&slow, "", &rgb(64, 64), true);
    for n in 0..5 {
        run.push(ms(40 * n), (60 + n) as u8).unwrap();
    }
    run.harness.push_event(gst::event::FlushStart::new());
    run.harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    run.harness.push_event(gst::event::Segment::new(&segment));
    for n in 0..5 {
        run.push(ms(40 * n), (60 + n) as u8).unwrap();
    }
    run.element().set_state(gst::State::Null).unwrap();
}

#[test]
fn the_flow_is_shown_in_colours() {
    init();
    let folder = Dir::new();
    let model = Brighter::default().write(&folder);
    let playing = Playing::new(&format!(
        "appsrc name=in format=time caps=video/x-raw,format=RGB,width=64,height=32,framerate=25/1 \
         ! hoofflow name=eye {} flow-scale=1 ! queue ! fakesink \
         eye.flow ! queue ! appsink name=out sync=false",
        through(&model)
    ));
    let source: gst::Element = playing.by_name("in").unwrap();
    let sink: gst::Element = playing.by_name("out").unwrap();
    playing.set_state(gst::State::Playing).unwrap();
    let info = rgb(64, 32);
    for (n, level) in [100u8, 120, 140, 120].into_iter().enumerate() {
        let buffer = frame(&info, ms(40 * n as u64), level);
        let flow = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
        assert_eq!(flow, gst::FlowReturn::Ok);
    }
    let _ = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
    let mut colours = Vec::new();
    while let Some(sample) =
        sink.emit_by_name::<Option<gst::Sample>>("try-pull-sample", &[&20_000_000_000u64])
    {
        let caps = sample.caps().unwrap();
        let info = VideoInfo::from_caps(caps).unwrap();
        assert_eq!(
            (info.width(), info.height(), info.fps(), info.par()),
            // As wide as the video looks.
            (16, 16, gst::Fraction::new(25, 1), gst::Fraction::new(2, 1))
        );
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.pts(), Some(ms(40 * colours.len() as u64)));
        let map = buffer.map_readable().unwrap();
        assert!(map.chunks(4).all(|pixel| pixel[..3] == map[..3]));
        colours.push([map[0], map[1], map[2]]);
    }
    // Still, twice 0.78 pixels to the right, and back.
    assert_eq!(colours[0], [255; 3]);
    assert_eq!(colours[1], colours[2]);
    assert!(
        colours[1][0] == 255 && colours[1][1] < 70 && colours[1][2] < 70,
        "{colours:?}"
    );
    assert!(
        colours[3][0] < 100 && colours[3][1] > 100 && colours[3][2] > 240,
        "{colours:?}"
    );
    assert_eq!(colours.len(), 4);
}

/// What these tests start.
const ELEMENT: &str = "hoofflow";

#[test]
fn models_that_will_not_do_are_refused_with_reasons() {
    let folder = Dir::new();
    let model = Brighter::default().write(&folder);
    let none = folder.file("none.onnx");
    assert_refused(
        ELEMENT,
        &through(&none),
        gst::ResourceError::NotFound,
        &["none.onnx"],
    );
    // A sound model of another task, with its card.
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/rhythm.onnx");
    assert_refused(
        ELEMENT,
        &through(&sound),
        gst::ResourceError::Settings,
        &["rhythm", "optical-flow"],
    );
    // The right one, made for other pictures.
    let other = Brighter {
        side: 32,
        ..Brighter::default()
    };
    assert_refused(
        ELEMENT,
        &through(&other.write(&folder)),
        gst::ResourceError::Settings,
        &["32x32", "64x64", "analysis-width"],
    );
    let task = Brighter {
        task: "rhythm",
        ..Brighter::default()
    };
    assert_refused(
        ELEMENT,
        &through(&task.write(&folder)),
        gst::ResourceError::Settings,
        &["rhythm"],
    );
    let broken = folder.file("broken.onnx");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    assert_refused(
        ELEMENT,
        &through(&broken),
        gst::ResourceError::Settings,
        &["broken.onnx"],
    );
    // A library that is none.
    let library = format!(
        "model={} onnxruntime-library={}",
        model.display(),
        broken.display()
    );
    assert_refused(ELEMENT, &library, gst::LibraryError::Init, &["broken.onnx"]);
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_or_a_warning() {
    let folder = Dir::new();
    let model = Brighter::default().write(&folder);
    let gpu = format!("{} execution-provider=cuda device=63", through(&model));
    assert_refused(ELEMENT, &gpu, gst::ResourceError::NotFound, &["cuda"]);
    let mut run = Run::new(
        "execution-provider=cuda,cpu device=63 allow-fallback=true",
        &rgb(64, 64),
    );
    assert!(message(&run.bus, gst::MessageType::Warning).is_some());
    run.push(ms(0), 100).unwrap();
    assert_eq!(run.each().len(), 1);
}

#[test]
fn what_is_no_number_ends_the_stream_with_an_error() {
    let model = Brighter {
        limit: 0.45,
        ..Brighter::default()
    };
    for live in [false, true] {
        let mut run = Run::with(&model, "", &rgb(64, 64), live);
        run.push(ms(0), 100).unwrap();
        let mut result = run.push(ms(40), 120);
        // Live, the news come with a later frame.
        for n in 2..1000 {
            if result.is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            result = run.push(ms(40 * n), 121);
        }
        assert_eq!(result, Err(gst::FlowError::Error), "live: {live}");
        let error = error(&run.bus);
        assert!(error.matches(gst::LibraryError::Failed), "{error:?}");
        assert!(error.message().contains("flow"), "{error}");
    }
}

#[test]
fn a_mended_property_is_enough_to_start_again() {
    let folder = Dir::new();
    let model = Brighter::default().write(&folder);
    init();
    let element =
        gst::parse::launch(&format!("hoofflow {}", through(&folder.file("none.onnx")))).unwrap();
    assert!(element.set_state(gst::State::Ready).is_err());
    element.set_property("model", model.to_str().unwrap());
    element.set_state(gst::State::Paused).unwrap();
    // A model is kept in READY, and replaced where another is wanted.
    element.set_state(gst::State::Ready).unwrap();
    element.set_property("model", folder.file("none.onnx").to_str().unwrap());
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn the_defined_network_fits() {
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/training/config/flow-light.toml");
    let config: toml::Table = toml::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    let network = dance_networks::flow::Pwc {
        width: SIDE,
        height: SIDE,
        ..config["task"]["network"].clone().try_into().unwrap()
    };
    let folder = Dir::new();
    let path = folder.file("flow.onnx");
    std::fs::write(&path, card::model(&network, Weights::Seeded(1)).unwrap()).unwrap();
    let mut card = card::card(&network, "test").unwrap();
    card.sha256 = Some(
        ModelFile::open(&path, &card.task)
            .unwrap()
            .sha256()
            .to_owned(),
    );
    std::fs::write(path.with_extension("toml"), toml::to_string(&card).unwrap()).unwrap();
    init();
    let playing = Playing::new(&format!(
        "videotestsrc pattern=ball num-buffers=10 ! hoofflow {} ! fakesink",
        through(&path)
    ));
    playing.set_state(gst::State::Playing).unwrap();
    assert_eq!(playing.end().type_(), gst::MessageType::Eos);
}

#[test]
fn nothing_leaks() {
    assert_no_leaks("nothing_leaks", || {
        let folder = Dir::new();
        let model = Brighter::default().write(&folder);
        for live in ["", "is-live=true"] {
            let playing = Playing::new(&format!(
                "videotestsrc {live} pattern=ball num-buffers=10 ! video/x-raw,framerate=100/1 \
                 ! hoofflow name=eye {} ! queue ! fakesink eye.flow ! queue ! fakesink",
                through(&model)
            ));
            playing.set_state(gst::State::Playing).unwrap();
            assert_eq!(playing.end().type_(), gst::MessageType::Eos);
        }
    });
}
