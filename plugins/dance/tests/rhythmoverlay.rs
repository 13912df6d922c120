// SPDX-License-Identifier: MPL-2.0
//! `rhythmoverlay` against its contract: what is drawn, where, on which frame, and what is not.

// Helpers of tests are tests to clippy only inside of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst::{ClockTime, glib};
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoOverlayComposition, VideoOverlayCompositionMeta};
use gstdance::hoof::{self, Hoof, Status};
use gstdance::marks::{self, Kind, Mark};

const META: &str = "meta:GstVideoOverlayComposition";

fn init() {
    use std::sync::Once;
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        // What GLib or GStreamer find fault with fails the test, as with G_DEBUG=fatal_warnings.
        let faults = glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_WARNING;
        glib::log_set_always_fatal(faults | glib::LogLevels::LEVEL_ERROR);
        gstdance::plugin_register_static().unwrap();
    });
}

fn beat(id: u64, time: ClockTime) -> Mark {
    Mark {
        id,
        kind: Kind::Downbeat,
        timestamp: time,
        running_time: Some(time),
        stream_time: None,
        strength: 1.0,
        confidence: 1.0,
        bpm: None,
        beat_in_bar: 1,
        predicted: false,
    }
}

fn caps(format: VideoFormat, width: u32, height: u32, fps: (i32, i32)) -> gst::Caps {
    init();
    gst_video::VideoCapsBuilder::new()
        .format(format)
        .width(width as i32)
        .height(height as i32)
        .framerate(gst::Fraction::new(fps.0, fps.1))
        .build()
}

/// `rhythmoverlay` between two test pads, and whether downstream asks for metas.
struct Rig {
    harness: Harness,
    info: VideoInfo,
    takes_meta: Arc<AtomicBool>,
    bus: gst::Bus,
}

impl Rig {
    fn new(properties: &str, caps: gst::Caps) -> Self {
        init();
        let mut harness = Harness::new("rhythmoverlay");
        let element = harness.element().unwrap();
        for property in properties.split_whitespace() {
            let (name, value) = property.split_once('=').unwrap();
            element.set_property_from_str(name, value);
        }
        let takes_meta = Arc::new(AtomicBool::new(false));
        let takes = takes_meta.clone();
        harness.sinkpad().unwrap().add_probe(
            gst::PadProbeType::QUERY_DOWNSTREAM,
            move |_, info| {
                if let Some(gst::QueryViewMut::Allocation(query)) =
                    info.query_mut().map(|query| query.view_mut())
                    && takes.load(Ordering::SeqCst)
                {
                    query.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
                    return gst::PadProbeReturn::Handled;
                }
                gst::PadProbeReturn::Ok
            },
        );
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let info = VideoInfo::from_caps(&caps).unwrap();
        harness.set_src_caps(caps);
        Rig {
            harness,
            info,
            takes_meta,
            bus,
        }
    }

    /// The same, with downstream taking metas from the beginning.
    fn attaching(properties: &str, caps: gst::Caps) -> Self {
        let mut rig = Rig::new(properties, caps);
        rig.take_meta(true);
        rig
    }

    fn take_meta(&mut self, takes: bool) {
        self.takes_meta.store(takes, Ordering::SeqCst);
        self.harness
            .push_upstream_event(gst::event::Reconfigure::new());
    }

    /// A black frame (in RGB), not backed by its pixels where those do not matter.
    fn frame(&self, pts: Option<ClockTime>, marks: &[Mark], size: usize) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0_u8; size]);
        let b = buffer.get_mut().unwrap();
        b.set_pts(pts);
        marks::attach(b, "test", marks);
        buffer
    }

    fn push(&mut self, pts: ClockTime, marks: &[Mark]) -> gst::Buffer {
        let frame = self.frame(Some(pts), marks, self.info.size());
        self.harness.push_and_pull(frame).unwrap()
    }

    /// Rectangles of the overlay that is attached to a frame, with their pixels.
    fn push_for_rectangles(&mut self, pts: ClockTime, marks: &[Mark]) -> Vec<Drawn> {
        let frame = self.frame(Some(pts), marks, 1);
        rectangles(&self.harness.push_and_pull(frame).unwrap())
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    x: i32,
    y: i32,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

fn rectangles(buffer: &gst::BufferRef) -> Vec<Drawn> {
    let Some(meta) = buffer.meta::<VideoOverlayCompositionMeta>() else {
        return Vec::new();
    };
    meta.overlay()
        .iter()
        .map(|rectangle| {
            let (x, y, width, height) = rectangle.render_rectangle();
            let pixels = rectangle
                .pixels_unscaled_raw(gst_video::VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA);
            Drawn {
                x,
                y,
                width,
                height,
                pixels: pixels.map_readable().unwrap().to_vec(),
            }
        })
        .collect()
}

fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

fn rgb(width: u32, height: u32) -> gst::Caps {
    caps(VideoFormat::Bgrx, width, height, (25, 1))
}

const FRAME: ClockTime = ClockTime::from_mseconds(40);

/// One frame of a test picture in a format.
fn picture(format: VideoFormat, width: u32, height: u32) -> gst::Buffer {
    let mut source = Harness::new_parse(&format!(
        "videotestsrc num-buffers=1 ! videoconvert ! \
         capsfilter caps=video/x-raw,format={format},width={width},height={height}"
    ));
    source.play();
    source.pull().unwrap()
}

#[test]
fn every_format_is_drawn_on_and_left_alone_elsewhere() {
    init();
    let (width, height) = (322, 242);
    let template = gst::ElementFactory::find("rhythmoverlay")
        .unwrap()
        .static_pad_templates()
        .iter()
        .find(|template| template.direction() == gst::PadDirection::Sink)
        .unwrap()
        .caps();
    let formats: Vec<VideoFormat> = template
        .structure(0)
        .unwrap()
        .get::<gst::List>("format")
        .unwrap()
        .iter()
        .map(|name| name.get::<&str>().unwrap().parse().unwrap())
        .collect();
    use VideoFormat::*;
    for needed in [
        I420, Nv12, Yuy2, Rgbx, I42010le, P01010le, Rgba, V210, Gray8,
    ] {
        assert!(formats.contains(&needed), "{needed}");
    }
    assert!(!formats.contains(&Rgb8p));

    let mut rig = Rig::attaching("", rgb(width, height));
    let drawn = rig.push_for_rectangles(ClockTime::ZERO, &[beat(0, ClockTime::ZERO)]);
    let (left, top, right, bottom) = bounds(&drawn);
    for format in formats {
        let mut rig = Rig::new("", caps(format, width, height, (25, 1)));
        let mut before = picture(format, width, height);
        marks::attach(before.make_mut(), "test", &[beat(0, ClockTime::ZERO)]);
        let after = rig
            .harness
            .push_and_pull(before.copy_deep().unwrap())
            .unwrap();
        assert!(after.meta::<VideoOverlayCompositionMeta>().is_none());
        let info = &rig.info;
        let before = gst_video::VideoFrame::from_buffer_readable(before, info).unwrap();
        let after = gst_video::VideoFrame::from_buffer_readable(after, info).unwrap();
        let facts = info.format_info();
        let mut changed = 0;
        for plane in 0..info.n_planes() {
            let component = (0..info.n_components())
                .find(|c| info.comp_plane(*c as u8) == plane)
                .unwrap() as usize;
            let (sub_x, sub_y) = (facts.w_sub()[component], facts.h_sub()[component]);
            let step = facts.pixel_stride()[component] as usize;
            let stride = info.stride()[plane as usize] as usize;
            let rows = before.plane_data(plane).unwrap().chunks(stride);
            for (y, (a, b)) in rows
                .zip(after.plane_data(plane).unwrap().chunks(stride))
                .enumerate()
            {
                let inside = (top >> sub_y..=bottom >> sub_y).contains(&(y as i32));
                // Packed groups of pixels have no step.
                let (first, last) = match step {
                    0 => (0, stride),
                    _ => (
                        (left as usize >> sub_x) * step,
                        ((right as usize >> sub_x) + 1) * step,
                    ),
                };
                for (x, (a, b)) in a.iter().zip(b).enumerate() {
                    if a != b {
                        changed += 1;
                        assert!(
                            inside && (first..last).contains(&x),
                            "{format}: byte {x} of line {y} of plane {plane}: {a} to {b}"
                        );
                    }
                }
            }
        }
        assert!(changed > 1000, "{format}: {changed} bytes changed");
    }
}

#[test]
fn padding_is_not_taken_for_opacity() {
    use VideoFormat::*;
    for (format, padding) in [(Rgbx, 3), (Bgrx, 3), (Xrgb, 0), (Xbgr, 0)] {
        let colors = [0_u8, 255].map(|fill| {
            let mut rig = Rig::new("", caps(format, 320, 240, (25, 1)));
            let pixels = (0..320 * 240 * 4).map(|i| if i % 4 == padding { fill } else { 90 });
            let mut frame = gst::Buffer::from_mut_slice(pixels.collect::<Vec<_>>());
            frame.get_mut().unwrap().set_pts(ClockTime::ZERO);
            let mut out = bytes(&rig.harness.push_and_pull(frame).unwrap());
            out.iter_mut().skip(padding).step_by(4).for_each(|b| *b = 0);
            out
        });
        assert!(colors[0] == colors[1], "{format}");
    }
}

/// The least rectangle that holds all: left, top, right, bottom, the latter two just outside.
fn bounds(drawn: &[Drawn]) -> (i32, i32, i32, i32) {
    assert!(!drawn.is_empty());
    drawn.iter().fold(
        (i32::MAX, i32::MAX, i32::MIN, i32::MIN),
        |(l, t, r, b), d| {
            (
                l.min(d.x),
                t.min(d.y),
                r.max(d.x + d.width as i32),
                b.max(d.y + d.height as i32),
            )
        },
    )
}

/// Frames on which a flash begins: those on which the corner of the picture gets brighter.
fn flash_frames(
    caps: gst::Caps,
    properties: &str,
    pts: impl Iterator<Item = (ClockTime, Option<ClockTime>)>,
    mut marks_of: impl FnMut(usize) -> Vec<Mark>,
) -> Vec<usize> {
    let mut rig = Rig::new(&format!("show=flash flash-style=border {properties}"), caps);
    let mut last = 0;
    let mut frames = Vec::new();
    for (n, (pts, duration)) in pts.enumerate() {
        let mut frame = rig.frame(Some(pts), &marks_of(n), rig.info.size());
        frame.get_mut().unwrap().set_duration(duration);
        let out = rig.harness.push_and_pull(frame).unwrap();
        let light = bytes(&out)[..3].iter().copied().max().unwrap();
        if light > last {
            frames.push(n);
        }
        last = light;
    }
    frames
}

#[test]
fn a_flash_begins_on_the_frame_that_covers_its_instant() {
    for (n, d) in [(24, 1), (25, 1), (30000, 1001), (50, 1), (60000, 1001)] {
        let time = |frame: u64| {
            ClockTime::SECOND
                .mul_div_floor(frame * d as u64, n as u64)
                .unwrap()
        };
        // Instants at both ends and in the middle of frames; announced early, in time and late.
        for (frame, into, early) in [
            (7_u64, 0, 0_i64),
            (7, 0, 5),
            (8, 1, 0),
            (11, 9_000_000, 2),
            (13, time(14).nseconds() - time(13).nseconds() - 1, 0),
            (13, time(14).nseconds() - time(13).nseconds() - 1, 13),
            (9, 5_000_000, -1),
        ] {
            let mark = beat(1, time(frame) + ClockTime::from_nseconds(into));
            let bearer = (frame as i64 - early) as usize;
            let seen = flash_frames(
                caps(VideoFormat::Bgrx, 64, 64, (n, d)),
                "",
                (0..40).map(|f| (time(f), Some(time(f + 1) - time(f)))),
                |f| {
                    if f == bearer {
                        vec![mark.clone()]
                    } else {
                        vec![]
                    }
                },
            );
            let expected = (frame as i64).max(bearer as i64) as usize;
            assert_eq!(
                seen,
                [expected],
                "{n}/{d}: {into} ns into {frame}, {early} early"
            );
        }
    }
}

#[test]
fn frames_of_any_length_are_compared_with_what_they_cover() {
    let starts = [0_u64, 10, 110, 120, 400, 401, 500].map(ClockTime::from_mseconds);
    let mark = |_| vec![beat(1, ClockTime::from_mseconds(399))];
    let variable = caps(VideoFormat::Bgrx, 64, 64, (0, 1));
    let with_durations = starts
        .windows(2)
        .map(|pair| (pair[0], Some(pair[1] - pair[0])));
    assert_eq!(
        flash_frames(variable.clone(), "", with_durations, mark),
        [3]
    );
    // Without a duration nobody knows that frame 3 will still be there at the instant.
    let without = starts.iter().map(|start| (*start, None));
    assert_eq!(flash_frames(variable, "", without, mark), [4]);
}

#[test]
fn running_time_counts_and_timestamps_where_there_is_none() {
    for (with_running_time, rate) in [(true, 1.0), (false, 1.0), (false, 2.0), (true, -1.0)] {
        let mut rig = Rig::new("show=flash flash-style=border", rgb(64, 64));
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_start(ClockTime::from_seconds(10));
        segment.set_stop(ClockTime::from_seconds(20));
        segment.set_base(ClockTime::from_seconds(100));
        segment.set_rate(rate);
        rig.harness.push_event(gst::event::Segment::new(&segment));
        let pts = |n: u64| match rate {
            r if r < 0.0 => ClockTime::from_seconds(20) - FRAME * (n + 1),
            _ => ClockTime::from_seconds(10) + FRAME * n,
        };
        let mut mark = beat(1, pts(5) + ClockTime::from_mseconds(20));
        mark.running_time = with_running_time
            .then(|| ClockTime::from_seconds(100) + FRAME * 5 + ClockTime::from_mseconds(20));
        if with_running_time {
            // Of another stream, whose timestamps are not ours.
            mark.timestamp = ClockTime::from_seconds(3);
        }
        for n in 0..8 {
            let out = rig.push(
                pts(n),
                if n == 0 {
                    std::slice::from_ref(&mark)
                } else {
                    &[]
                },
            );
            let lit = bytes(&out)[..3] != [0, 0, 0];
            assert_eq!(lit, n >= 5, "frame {n}, {with_running_time}, {rate}");
        }
    }
}

#[test]
fn no_second_has_more_flashes_than_allowed() {
    // Five downbeats a second.
    for (property, limit) in [("", 3), ("max-flashes=1", 1), ("max-flashes=0", 5)] {
        let seen = flash_frames(
            caps(VideoFormat::Bgrx, 64, 64, (25, 1)),
            property,
            (0..250).map(|n| (FRAME * n, None)),
            |n| match n % 5 {
                0 => vec![beat(n as u64, FRAME * n as u64)],
                _ => vec![],
            },
        );
        let in_second = |first| {
            let second = first..first + 25;
            seen.iter().filter(|n| second.contains(*n)).count()
        };
        let most = (0..250).map(in_second).max().unwrap();
        assert_eq!(most, limit, "{property}: {seen:?}");
        assert!(seen.len() >= limit * 10, "{property}: {seen:?}");
    }
}

#[test]
fn the_overlay_is_attached_where_downstream_takes_it() {
    let mut rig = Rig::attaching("", rgb(640, 360));
    let mut frame = rig.frame(
        Some(ClockTime::ZERO),
        &[beat(1, ClockTime::ZERO)],
        rig.info.size(),
    );
    // Somebody else's overlay comes first, and stays.
    let mut logo = gst::Buffer::from_mut_slice(vec![255_u8; 16]);
    gst_video::VideoMeta::add(
        logo.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        VideoFormat::Bgra,
        2,
        2,
    )
    .unwrap();
    let logo = gst_video::VideoOverlayRectangle::new_raw(
        &logo,
        1,
        2,
        2,
        2,
        gst_video::VideoOverlayFormatFlags::empty(),
    );
    let logo = VideoOverlayComposition::new([&logo]).unwrap();
    VideoOverlayCompositionMeta::add(frame.get_mut().unwrap(), &logo);
    let out = rig.harness.push_and_pull(frame).unwrap();
    assert!(bytes(&out).iter().all(|byte| *byte == 0));
    assert_eq!(out.iter_meta::<VideoOverlayCompositionMeta>().count(), 1);
    let drawn = rectangles(&out);
    assert!(drawn.len() >= 5);
    assert_eq!((drawn[0].x, drawn[0].y, drawn[0].width), (1, 2, 2));
    let features = rig.harness.sinkpad().unwrap().current_caps().unwrap();
    assert!(features.features(0).unwrap().contains(META));
    // Marks travel on.
    assert_eq!(marks::read(&out)[0].marks.len(), 1);
}

#[test]
fn downstream_may_change_its_mind() {
    let mut rig = Rig::new("", rgb(640, 360));
    for (n, takes) in [false, true, true, false, true].into_iter().enumerate() {
        rig.take_meta(takes);
        let out = rig.push(FRAME * n as u64, &[]);
        assert_eq!(!rectangles(&out).is_empty(), takes, "{n}");
        assert_eq!(bytes(&out).iter().all(|byte| *byte == 0), takes, "{n}");
        let caps = rig.harness.sinkpad().unwrap().current_caps().unwrap();
        assert_eq!(caps.features(0).unwrap().contains(META), takes, "{n}");
    }
}

#[test]
fn downstream_that_refuses_the_feature_gets_plain_caps() {
    init();
    let mut harness = Harness::new("rhythmoverlay");
    harness.set_caps_str(
        "video/x-raw,format=I420,width=640,height=360,framerate=25/1",
        "video/x-raw",
    );
    let info = VideoInfo::builder(VideoFormat::I420, 640, 360)
        .build()
        .unwrap();
    let mut frame = gst::Buffer::with_size(info.size()).unwrap();
    frame.get_mut().unwrap().set_pts(ClockTime::ZERO);
    assert!(rectangles(&harness.push_and_pull(frame).unwrap()).is_empty());
    let mut caps_seen = 0;
    while let Some(event) = harness.try_pull_event() {
        if let gst::EventView::Caps(e) = event.view() {
            caps_seen += 1;
            assert!(!e.caps().features(0).unwrap().contains(META));
        }
    }
    assert_eq!(caps_seen, 1);
}

#[test]
fn formats_that_cannot_be_blended_need_somebody_who_takes_metas() {
    init();
    let mut harness = Harness::new("rhythmoverlay");
    harness.set_sink_caps_str("video/x-raw");
    let sink = harness.element().unwrap().static_pad("sink").unwrap();
    let palette = caps(VideoFormat::Rgb8p, 64, 64, (25, 1));
    assert!(!sink.query_accept_caps(&palette));
    assert!(sink.query_accept_caps(&caps(VideoFormat::I420, 64, 64, (25, 1))));
    // Not video at all.
    assert!(!sink.query_accept_caps(&gst::Caps::new_empty_simple("audio/x-raw")));

    let mut harness = Harness::new("rhythmoverlay");
    harness.set_sink_caps_str("video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition)");
    let sink = harness.element().unwrap().static_pad("sink").unwrap();
    assert!(sink.query_accept_caps(&palette));
    harness.set_src_caps(palette);
    let mut frame = gst::Buffer::with_size(64 * 64 + 1024).unwrap();
    frame.get_mut().unwrap().set_pts(ClockTime::ZERO);
    assert!(!rectangles(&harness.push_and_pull(frame).unwrap()).is_empty());
}

#[test]
fn nothing_is_drawn_outside_the_safe_area() {
    let marks = [beat(1, ClockTime::ZERO)];
    for (width, height) in [
        (1920, 1080),
        (1280, 720),
        (3840, 2160),
        (1080, 1920),
        (720, 577),
        (64, 64),
        (17, 5),
        (1, 1),
        (7680, 4320),
        (16, 4000),
        (30000, 2),
    ] {
        for (position, margin, scale) in [
            ("bottom-right", 0.05, 1.0),
            ("top-left", 0.1, 4.0),
            ("bottom", 0.0, 0.25),
            ("top", 0.45, 1.0),
            ("top-right", 0.05, 1.5),
        ] {
            let mut rig = Rig::attaching(
                &format!("position={position} margin-x={margin} margin-y={margin} scale={scale}"),
                rgb(width, height),
            );
            let drawn = rig.push_for_rectangles(ClockTime::ZERO, &marks);
            if drawn.is_empty() {
                assert!(width < 20 || height < 20, "nothing on {width}x{height}");
                continue;
            }
            let (l, t, r, b) = bounds(&drawn);
            let (w, h) = (f64::from(width), f64::from(height));
            let context = format!("{width}x{height} {position} {margin} {scale}");
            assert!(f64::from(l) >= w * margin, "{context}: {l}");
            assert!(f64::from(t) >= h * margin, "{context}: {t}");
            assert!(f64::from(r) <= w * (1.0 - margin), "{context}: {r}");
            assert!(f64::from(b) <= h * (1.0 - margin), "{context}: {b}");
            assert!(drawn.iter().all(is_premultiplied), "{context}");
        }
    }
}

/// No channel is brighter than its pixel is opaque.
fn is_premultiplied(drawn: &Drawn) -> bool {
    let (alpha, colors) = if cfg!(target_endian = "little") {
        (3, 0..3)
    } else {
        (0, 1..4)
    };
    (drawn.pixels.chunks_exact(4)).all(|p| p[colors.clone()].iter().all(|c| *c <= p[alpha]))
}

#[test]
fn a_flashing_border_is_four_thin_rectangles() {
    let mut rig = Rig::attaching("show=flash flash-style=border", rgb(1920, 1080));
    assert!(rig.push_for_rectangles(ClockTime::ZERO, &[]).is_empty());
    let drawn = rig.push_for_rectangles(FRAME, &[beat(1, FRAME)]);
    let covered: u32 = drawn.iter().map(|d| d.width * d.height).sum();
    assert_eq!(drawn.len(), 4);
    assert!(covered < 1920 * 1080 / 8);
    assert_eq!(bounds(&drawn), (0, 0, 1920, 1080));
    assert!(drawn.iter().all(is_premultiplied));
}

#[test]
fn a_flashing_border_is_seen_on_any_ground() {
    // The least and the most of brightness in the upper rows, with and without a flash.
    let extremes = |level: u8| {
        let mut rig = Rig::new(
            "show=flash flash-style=border",
            caps(VideoFormat::Gray8, 640, 360, (25, 1)),
        );
        let mut frame = rig.frame(
            Some(ClockTime::ZERO),
            &[beat(1, ClockTime::ZERO)],
            640 * 360,
        );
        frame.get_mut().unwrap().map_writable().unwrap().fill(level);
        let out = bytes(&rig.harness.push_and_pull(frame).unwrap());
        let row = |y: usize| out[y * 640 + 320];
        let rows: Vec<u8> = (0..12).map(row).collect();
        (*rows.iter().min().unwrap(), *rows.iter().max().unwrap())
    };
    for level in [16u8, 128, 235] {
        let (darkest, brightest) = extremes(level);
        let most = level.abs_diff(darkest).max(level.abs_diff(brightest));
        assert!(most > 60, "{darkest} to {brightest} on {level}");
    }
}

#[test]
fn on_a_portrait_picture_the_plate_is_higher_and_denser() {
    let plate = |width, height| {
        let mut rig = Rig::attaching("position=bottom", rgb(width, height));
        let drawn = rig.push_for_rectangles(ClockTime::ZERO, &[]);
        let (_, _, _, bottom) = bounds(&drawn);
        let plate = &drawn[0];
        let middle = (plate.height / 2 * plate.width + plate.width / 2) as usize * 4 + 3;
        (f64::from(bottom) / f64::from(height), plate.pixels[middle])
    };
    let (landscape, portrait) = (plate(1920, 1080), plate(1080, 1920));
    assert!(
        portrait.0 <= 0.85 && landscape.0 > 0.9,
        "{landscape:?} {portrait:?}"
    );
    assert!(portrait.1 > landscape.1 + 20, "{landscape:?} {portrait:?}");
}

#[test]
fn a_small_dancer_fills_the_rose() {
    // A twentieth of the picture moves by 4 of 256 pixels.
    let mut rig = Rig::attaching("show=rose", rgb(1280, 720));
    let light = |rig: &mut Rig, n: u64, moving: f64| {
        let mut hoof = Hoof::without_flow(Status::Flow, FRAME * n, 16);
        hoof.bins[0] = 1.0;
        (hoof.size, hoof.interval) = ([256; 2], Some(FRAME));
        (hoof.foreground, hoof.moving, hoof.magnitude) = (4.0, moving, 4.0 * moving);
        let mut frame = rig.frame(Some(FRAME * n), &[], 1);
        hoof::attach(frame.get_mut().unwrap(), &hoof);
        let drawn = rectangles(&rig.harness.push_and_pull(frame).unwrap());
        let rose = drawn.last().unwrap();
        let (width, row) = (rose.width as usize, rose.height as usize / 2);
        // How far to the right the petal goes, of half the rose.
        let bright = |x: &usize| rose.pixels[(row * width + x) * 4 + 3] > 128;
        let far = (width / 2..width).filter(bright).max().unwrap_or(0);
        2.0 * far as f64 / width as f64 - 1.0
    };
    assert!(light(&mut rig, 1, 0.05) > 0.8);
    // Grain that moves here and there does not.
    assert!(light(&mut rig, 2, 0.0005) < 0.35);
}

#[test]
fn the_lamp_is_round_whatever_the_shape_of_pixels() {
    let widths = [(1, 1), (2, 1), (1, 2)].map(|(n, d)| {
        let mut caps = rgb(1024, 576);
        caps.make_mut()
            .set("pixel-aspect-ratio", gst::Fraction::new(n, d));
        let mut rig = Rig::attaching("show=flash scale=2", caps);
        let drawn = rig.push_for_rectangles(ClockTime::ZERO, &[beat(1, ClockTime::ZERO)]);
        let lamp = &drawn[1];
        (lamp.width * n as u32).div_ceil(d as u32) as f32 / lamp.height as f32
    });
    for ratio in widths {
        assert!((ratio - 1.0).abs() < 0.04, "{widths:?}");
    }
}

#[test]
fn only_what_changes_is_drawn_again() {
    let mut rig = Rig::attaching("", rgb(1280, 720));
    let composition = |rig: &mut Rig, n: u64, marks: &[Mark]| {
        let frame = rig.frame(Some(FRAME * n), marks, 1);
        let out = rig.harness.push_and_pull(frame).unwrap();
        out.meta::<VideoOverlayCompositionMeta>()
            .unwrap()
            .overlay_owned()
    };
    let seqnums =
        |c: &VideoOverlayComposition| -> Vec<u32> { c.iter().map(|r| r.seqnum()).collect() };
    let idle = composition(&mut rig, 0, &[]);
    assert_eq!(idle.seqnum(), composition(&mut rig, 1, &[]).seqnum());
    let flash = composition(&mut rig, 2, &[beat(1, FRAME * 2)]);
    let fading = composition(&mut rig, 3, &[]);
    let kept = seqnums(&flash)
        .iter()
        .filter(|seqnum| seqnums(&fading).contains(seqnum))
        .count();
    // The lamp fades and the strip moves; plate, tempo and bar counter stay.
    assert_eq!(kept, seqnums(&flash).len() - 2);
}

#[test]
fn properties_work_while_playing() {
    let mut rig = Rig::attaching("", rgb(1280, 720));
    let element = rig.harness.element().unwrap();
    let mut pts = ClockTime::ZERO;
    let mut id = 0;
    let mut look = |rig: &mut Rig| {
        pts += ClockTime::SECOND;
        id += 1;
        rig.push_for_rectangles(pts, &[beat(id, pts)])
    };
    let usual = look(&mut rig);
    for (name, value, usually) in [
        ("show", "bar+bpm", "flash+bar+bpm+onsets"),
        ("flash-style", "border", "pip"),
        ("position", "top-right", "bottom-left"),
        ("scale", "0.5", "1"),
        ("opacity", "0.5", "1"),
        ("color", "0xff00ff00", "0xfff4f6fa"),
        ("accent-color", "0xffff0000", "0xffffb020"),
        ("plate-color", "0x80ffffff", "0xc80b0e14"),
        ("margin-x", "0.2", "0.05"),
        ("margin-y", "0.2", "0.05"),
    ] {
        element.set_property_from_str(name, value);
        assert_ne!(look(&mut rig)[..2], usual[..2], "{name}");
        element.set_property_from_str(name, usually);
        assert_eq!(look(&mut rig)[..2], usual[..2], "{name}");
    }
    element.set_property_from_str("show", "0");
    assert!(look(&mut rig).is_empty());
}

#[test]
fn an_idle_overlay_can_be_hidden() {
    for takes_meta in [false, true] {
        let mut rig = Rig::new("show-idle=false", rgb(640, 360));
        rig.take_meta(takes_meta);
        let out = rig.push(ClockTime::ZERO, &[]);
        assert!(rectangles(&out).is_empty() && bytes(&out).iter().all(|byte| *byte == 0));
        let out = rig.push(FRAME, &[beat(1, FRAME)]);
        assert_eq!(rectangles(&out).is_empty(), !takes_meta);
        assert_eq!(bytes(&out).iter().all(|byte| *byte == 0), takes_meta);
    }
}

#[test]
fn the_rose_points_where_the_picture_moves() {
    let mut rig = Rig::attaching("show=rose", rgb(1280, 720));
    // Light in the right, lower, left and upper part of the rose, of the frame that moves there.
    let draw = |rig: &mut Rig, n: u64, status, bin: Option<usize>| {
        let mut hoof = Hoof::without_flow(status, FRAME * n, 16);
        if let Some(bin) = bin {
            hoof.bins[bin] = 1.0;
            (hoof.magnitude, hoof.size, hoof.interval) = (1.0, [256; 2], Some(FRAME));
        }
        let mut frame = rig.frame(Some(FRAME * n), &[], 1);
        hoof::attach(frame.get_mut().unwrap(), &hoof);
        let drawn = rectangles(&rig.harness.push_and_pull(frame).unwrap());
        let rose = drawn.last().unwrap();
        let (side, height) = (rose.width as usize, rose.height as usize);
        assert!(side.abs_diff(height) <= 1, "{side}x{height}");
        let mut light = [0u64; 4];
        for (at, pixel) in rose.pixels.chunks(4).enumerate() {
            let x = (at % side) as f64 - side as f64 / 2.0;
            let y = (at / side) as f64 - side as f64 / 2.0;
            let part = ((y.atan2(x) / std::f64::consts::FRAC_PI_2).round() as i64).rem_euclid(4);
            light[part as usize] += u64::from(pixel[3]);
        }
        light
    };
    let still = draw(&mut rig, 0, Status::First, None);
    for (n, part) in (1..).zip(0..4) {
        let light = draw(&mut rig, n, Status::Flow, Some(4 * part));
        for (other, (now, before)) in light.iter().zip(still).enumerate() {
            let more = *now as f64 / before as f64;
            assert_eq!(
                more > 1.5,
                other == part,
                "{part}: {light:?} after {still:?}"
            );
        }
    }
    // The same picture again has the same rose; another scene has none.
    let up = draw(&mut rig, 5, Status::Flow, Some(12));
    assert_eq!(draw(&mut rig, 6, Status::Repeated, None), up);
    assert_eq!(draw(&mut rig, 7, Status::Cut, None), still);
}

#[test]
fn late_joiners_learn_the_tempo_from_the_sticky_event() {
    let mut rig = Rig::attaching("show=bpm", rgb(640, 360));
    let idle = rig.push_for_rectangles(ClockTime::ZERO, &[]);
    assert!(rig.harness.push_event(marks::tempo_event(128.0, 0.9, 4)));
    let told = rig.push_for_rectangles(FRAME, &[]);
    assert_ne!(told, idle);
    assert_eq!(rig.push_for_rectangles(FRAME * 2, &[]), told);
    assert!(rig.harness.push_event(marks::tempo_event(0.0, 0.0, 0)));
    assert_eq!(rig.push_for_rectangles(FRAME * 3, &[]), idle);
    let mut forwarded = 0;
    while let Some(event) = rig.harness.try_pull_event() {
        let name = event.structure().map(|s| s.name().to_string());
        forwarded += usize::from(name.as_deref() == Some(marks::TEMPO_EVENT_NAME));
    }
    assert_eq!(forwarded, 2);
}

#[test]
fn repeated_marks_count_once_and_again_after_a_flush() {
    let mut rig = Rig::attaching("show=flash flash-style=border", rgb(640, 360));
    let lit = |rig: &mut Rig, pts: ClockTime, id: u64| {
        !rig.push_for_rectangles(pts, &[beat(id, pts)]).is_empty()
    };
    assert!(lit(&mut rig, ClockTime::ZERO, 7));
    // The same mark, as an element that splits buffers would repeat it, were its time another.
    assert!(!lit(&mut rig, ClockTime::from_seconds(1), 7));
    assert!(lit(&mut rig, ClockTime::from_seconds(2), 8));
    // A seek: the same marks come again, and what was announced before it is forgotten.
    rig.push_for_rectangles(
        ClockTime::from_seconds(3),
        &[beat(20, ClockTime::from_seconds(5))],
    );
    rig.harness.push_event(gst::event::FlushStart::new());
    rig.harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<ClockTime>::new();
    rig.harness.push_event(gst::event::Segment::new(&segment));
    assert!(
        rig.push_for_rectangles(ClockTime::from_mseconds(5010), &[])
            .is_empty()
    );
    assert!(lit(&mut rig, ClockTime::from_seconds(7), 7));
}

#[test]
fn a_new_size_moves_the_overlay() {
    let mut rig = Rig::new("", rgb(640, 360));
    for (width, height) in [(640, 360), (320, 200), (1280, 720), (64, 64)] {
        let caps = rgb(width, height);
        rig.info = VideoInfo::from_caps(&caps).unwrap();
        rig.harness.set_src_caps(caps);
        let out = rig.push(ClockTime::ZERO, &[]);
        assert_eq!(out.size(), rig.info.size());
        assert!(bytes(&out).iter().any(|byte| *byte != 0));
        let sent = rig.harness.sinkpad().unwrap().current_caps().unwrap();
        assert_eq!(VideoInfo::from_caps(&sent).unwrap().width(), width);
    }
}

#[test]
fn strides_and_shared_memory_are_respected() {
    let mut rig = Rig::new("", caps(VideoFormat::Gray8, 200, 200, (25, 1)));
    let mut frame = gst::Buffer::from_mut_slice(vec![7_u8; 256 * 200]);
    {
        let b = frame.get_mut().unwrap();
        b.set_pts(ClockTime::ZERO);
        gst_video::VideoMeta::add_full(
            b,
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Gray8,
            200,
            200,
            &[0],
            &[256],
        )
        .unwrap();
    }
    let kept = frame.clone();
    let out = bytes(&rig.harness.push_and_pull(frame).unwrap());
    let drawn: Vec<_> = out
        .chunks(256)
        .map(|row| row[..200].iter().any(|b| *b != 7))
        .collect();
    assert!(drawn.iter().any(|drawn| *drawn) && !drawn[0] && !drawn[199]);
    assert!(
        out.chunks(256)
            .all(|row| row[200..].iter().all(|b| *b == 7))
    );
    assert!(
        bytes(&kept).iter().all(|b| *b == 7),
        "another branch's picture"
    );
}

#[test]
fn frames_without_timestamps_pass_with_one_warning() {
    let mut rig = Rig::new("", rgb(64, 64));
    for _ in 0..3 {
        let frame = rig.frame(None, &[beat(1, ClockTime::ZERO)], rig.info.size());
        let out = rig.harness.push_and_pull(frame).unwrap();
        assert!(bytes(&out).iter().all(|byte| *byte == 0));
    }
    let messages: Vec<_> = std::iter::from_fn(|| rig.bus.pop())
        .filter(|message| message.type_() == gst::MessageType::Warning)
        .collect();
    assert_eq!(messages.len(), 1);
}

#[test]
fn frames_too_short_for_their_caps_are_an_error() {
    let mut rig = Rig::new("", rgb(640, 360));
    let frame = rig.frame(Some(ClockTime::ZERO), &[], 100);
    assert_eq!(rig.harness.push(frame), Err(gst::FlowError::Error));
    let message = rig.bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(err) = message.view() else {
        unreachable!()
    };
    assert!(err.error().matches(gst::StreamError::Format));
}

#[test]
fn frames_before_caps_are_refused() {
    init();
    let mut harness = Harness::new("rhythmoverlay");
    harness.play();
    harness.push_event(gst::event::StreamStart::new("test"));
    let segment = gst::FormattedSegment::<ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    let frame = gst::Buffer::with_size(10).unwrap();
    assert_eq!(harness.push(frame), Err(gst::FlowError::NotNegotiated));
}

#[test]
fn a_storm_of_marks_does_no_harm() {
    let mut rig = Rig::attaching("", rgb(640, 360));
    for n in 0..50 {
        let marks: Vec<Mark> = (0..200)
            .map(|i| {
                let mut mark = beat(n * 200 + i, FRAME * (i * i % 977));
                mark.kind = Kind::ALL[i as usize % 4];
                mark.beat_in_bar = [0, 1, 99, u32::MAX][n as usize % 4];
                mark.bpm = Some([-3.0, 0.0, 1e300, f64::MIN_POSITIVE, 133.0][i as usize % 5]);
                if i % 3 == 0 {
                    mark.running_time = Some(ClockTime::MAX);
                }
                mark
            })
            .collect();
        assert!(!rig.push_for_rectangles(FRAME * n, &marks).is_empty());
    }
    let last = ClockTime::from_nseconds(u64::MAX - 2);
    rig.push_for_rectangles(last, &[beat(1_000_000, last)]);
}

#[test]
fn eos_and_latency_pass() {
    let mut rig = Rig::new("", rgb(64, 64));
    rig.harness
        .set_upstream_latency(ClockTime::from_mseconds(33));
    assert_eq!(
        rig.harness.query_latency(),
        Some(ClockTime::from_mseconds(33))
    );
    rig.push(ClockTime::ZERO, &[]);
    assert!(rig.harness.push_event(gst::event::Eos::new()));
    let last = std::iter::from_fn(|| rig.harness.try_pull_event()).last();
    assert_eq!(last.unwrap().type_(), gst::EventType::Eos);
}

#[test]
fn states_cycle() {
    init();
    let pipeline = gst::parse::launch(
        "videotestsrc is-live=false ! video/x-raw,width=160,height=120 ! rhythmoverlay ! fakesink",
    )
    .unwrap();
    for n in 0..50 {
        let state = [gst::State::Paused, gst::State::Playing, gst::State::Ready][n % 3];
        pipeline.set_state(state).unwrap();
        let (done, ..) = pipeline.state(ClockTime::from_seconds(10));
        done.unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_flush_storm_from_another_thread_ends() {
    let mut rig = Rig::attaching("", rgb(320, 240));
    rig.harness.set_drop_buffers(true);
    let sink = rig.harness.element().unwrap().static_pad("sink").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // Sources hold this between a flush and the segment that follows it.
    let stream = Arc::new(Mutex::new(()));
    let storm = std::thread::spawn({
        let (stop, stream) = (stop.clone(), stream.clone());
        move || {
            let mut flushes = 0;
            while !stop.load(Ordering::SeqCst) {
                sink.send_event(gst::event::FlushStart::new());
                let _stream = stream.lock().unwrap();
                sink.send_event(gst::event::FlushStop::new(true));
                let segment = gst::FormattedSegment::<ClockTime>::new();
                sink.send_event(gst::event::Segment::new(&segment));
                flushes += 1;
            }
            flushes
        }
    });
    for n in 0..2000 {
        let frame = rig.frame(Some(FRAME * n), &[beat(n, FRAME * n)], 1);
        let _stream = stream.lock().unwrap();
        match rig.harness.push(frame) {
            Ok(_) | Err(gst::FlowError::Flushing) => (),
            Err(err) => panic!("{err}"),
        }
    }
    stop.store(true, Ordering::SeqCst);
    assert!(storm.join().unwrap() > 0);
}

#[test]
fn it_runs_between_real_elements() {
    init();
    for chain in [
        "rhythmoverlay ! textoverlay text=x ! videoconvert ! fakesink",
        "textoverlay text=x ! rhythmoverlay ! queue ! videoscale ! fakesink",
        "rhythmoverlay ! rhythmoverlay position=top ! fakesink",
    ] {
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=20 ! video/x-raw,format=NV12,width=320,height=240 ! {chain}"
        ))
        .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let message = pipeline.bus().unwrap().timed_pop_filtered(
            ClockTime::from_seconds(20),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos, "{chain}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
