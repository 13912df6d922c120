// SPDX-License-Identifier: MPL-2.0
//! Streams that are fed pad by pad, so that the test decides what comes when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gstdance::marks::Kind;

use super::common::*;

/// What a test waits for something at most, on a machine however slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is given to a mistake to be made.
const CHANCE: Duration = Duration::from_millis(200);

/// What left at `video_src`.
#[derive(Clone)]
enum Left {
    Picture(Picture),
    Event(gst::Event),
}

#[derive(Debug, Clone, PartialEq)]
struct Picture {
    pts: gst::ClockTime,
    duration: gst::ClockTime,
    /// What the first byte says.
    number: u8,
    size: usize,
}

/// Whether live, minimum and maximum.
type Latency = (bool, gst::ClockTime, Option<gst::ClockTime>);

/// The element between pads of the test.
struct Rig {
    element: gst::Element,
    bus: gst::Bus,
    video: gst::Pad,
    audio: gst::Pad,
    screen: gst::Pad,
    left: Arc<Mutex<Vec<Left>>>,
}

fn source(name: &str, latency: Latency) -> gst::Pad {
    let pad = gst::Pad::builder(gst::PadDirection::Src)
        .name(name)
        .event_function(|_, _, _| true)
        .query_function(move |pad, parent, query| match query.view_mut() {
            gst::QueryViewMut::Latency(query) => {
                query.set(latency.0, latency.1, latency.2);
                true
            }
            _ => gst::Pad::query_default(pad, parent, query),
        })
        .build();
    pad.set_active(true).unwrap();
    pad
}

impl Rig {
    fn new(properties: &str) -> Self {
        let not_live = (false, ms(0), None);
        Self::with_latency(properties, [not_live; 2])
    }

    fn with_latency(properties: &str, latency: [Latency; 2]) -> Self {
        let rig = Self::without_music(properties, latency);
        rig.link_music();
        rig
    }

    /// With a video that has begun.
    fn without_music(properties: &str, latency: [Latency; 2]) -> Self {
        init();
        let element = gst::parse::launch(&format!("dtwretarget {properties}")).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let left = Arc::new(Mutex::new(Vec::new()));
        let (pictures, events) = (left.clone(), left.clone());
        let screen = gst::Pad::builder(gst::PadDirection::Sink)
            .name("screen")
            .chain_function(move |_, _, buffer| {
                let picture = Picture {
                    pts: buffer.pts().unwrap(),
                    duration: buffer.duration().unwrap_or_default(),
                    number: buffer.map_readable().unwrap()[0],
                    size: buffer.size(),
                };
                pictures.lock().unwrap().push(Left::Picture(picture));
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                events.lock().unwrap().push(Left::Event(event));
                true
            })
            .query_function(|pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::AcceptCaps(query) => {
                    query.set_result(true);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .build();
        screen.set_active(true).unwrap();
        let [video, audio] = [("video", latency[0]), ("audio", latency[1])]
            .map(|(name, latency)| source(name, latency));
        let pad = |name| element.static_pad(name).unwrap();
        video.link(&pad("video_sink")).unwrap();
        pad("video_src").link(&screen).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        video.push_event(gst::event::StreamStart::new("video"));
        Self {
            element,
            bus,
            video,
            audio,
            screen,
            left,
        }
    }

    fn link_music(&self) {
        let sink = self.element.static_pad("audio_sink").unwrap();
        self.audio.link(&sink).unwrap();
        self.audio.push_event(gst::event::StreamStart::new("audio"));
        let caps = "audio/x-raw,format=U8,rate=1000,channels=1,layout=interleaved";
        self.audio
            .push_event(gst::event::Caps::new(&caps.parse().unwrap()));
    }

    fn caps(&self, width: u32, rate: &str) {
        let caps = format!("video/x-raw,format=GRAY8,width={width},height=8,{rate}");
        let caps: gst::Caps = caps.parse().unwrap();
        assert!(self.video.push_event(gst::event::Caps::new(&caps)));
    }

    /// Caps of 25 frames a second, and a segment from zero.
    fn plain_video(&self) {
        self.caps(16, "framerate=25/1");
        self.video
            .push_event(gst::event::Segment::new(&segment(ms(0))));
    }

    /// Frames of 25 a second.
    fn frames(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.frame(number, ms(40) * number, ms(40), 16);
        }
    }

    fn frame(&self, number: u64, pts: gst::ClockTime, duration: gst::ClockTime, width: usize) {
        // After the end of the music no more are wanted.
        let pushed = self.video.push(frame(number, pts, duration, width));
        assert!(
            matches!(pushed, Ok(_) | Err(gst::FlowError::Eos)),
            "{pushed:?}"
        );
    }

    /// Music of a segment, in pieces of 100 ms.
    fn music(&self, from: u64, to: u64) {
        for at in (from..to).step_by(100) {
            let length = ms(100.min(to - at));
            self.audio.push(buffer(ms(at), length, &[])).unwrap();
        }
    }

    fn end(&self) {
        self.audio.push_event(gst::event::Eos::new());
        self.video.push_event(gst::event::Eos::new());
        until(|| self.has_ended());
    }

    fn has_ended(&self) -> bool {
        self.ends() > 0
    }

    fn ends(&self) -> usize {
        let left = self.left.lock().unwrap();
        let is_end = |left: &&Left| matches!(left, Left::Event(event) if event.type_() == gst::EventType::Eos);
        left.iter().filter(is_end).count()
    }

    fn left(&self) -> Vec<Left> {
        self.left.lock().unwrap().clone()
    }

    fn pictures(&self) -> Vec<Picture> {
        let left = self.left();
        let pictures = left.into_iter().filter_map(|left| match left {
            Left::Picture(picture) => Some(picture),
            Left::Event(_) => None,
        });
        pictures.collect()
    }

    /// PTS in ms and number of each picture.
    fn shown(&self) -> Vec<(u64, u8)> {
        let pictures = self.pictures().into_iter();
        pictures
            .map(|picture| (picture.pts.mseconds(), picture.number))
            .collect()
    }

    fn flush(&self, pad: &gst::Pad, seqnum: gst::Seqnum) {
        pad.push_event(gst::event::FlushStart::builder().seqnum(seqnum).build());
        pad.push_event(gst::event::FlushStop::builder(true).seqnum(seqnum).build());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        self.bus.set_flushing(true);
    }
}

fn frame(number: u64, pts: gst::ClockTime, duration: gst::ClockTime, width: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![number as u8; width * 8]);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(pts);
    writable.set_duration(duration);
    buffer
}

#[track_caller]
fn until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it does not come to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A segment whose running time begins at `base`.
fn song(start: u64, stop: Option<u64>, base: u64) -> gst::Event {
    let mut segment = segment(ms(start));
    segment.set_stop(stop.map(ms));
    segment.set_base(ms(base));
    gst::event::Segment::new(&segment)
}

#[test]
fn music_on_a_new_segment_goes_on() {
    // With and without an end that is known, and of lengths that are none of frames.
    for (length, stop) in [(1000, true), (1000, false), (1010, true), (1030, true)] {
        let rig = Rig::new("look-ahead=100000000");
        rig.plain_video();
        rig.audio.push_event(song(0, stop.then_some(length), 0));
        rig.music(0, length);
        // All that the first song has a place for.
        std::thread::scope(|scope| {
            let frames = scope.spawn(|| rig.frames(0..75));
            if stop {
                until(|| rig.shown().len() >= 22);
                std::thread::sleep(CHANCE);
                assert!(!rig.has_ended(), "more music may come");
            }
            rig.audio.push_event(song(5000, Some(6000), length));
            rig.music(5000, 6000);
            rig.audio.push_event(gst::event::Eos::new());
            until(|| rig.has_ended());
            frames.join().unwrap();
        });
        let pictures = rig.pictures();
        let second = pictures.partition_point(|picture| picture.pts < ms(5000));
        assert_eq!(second as u64, (length + 20) / 40, "{length}: {pictures:?}");
        for (n, picture) in pictures[..second].iter().enumerate() {
            assert_eq!((picture.pts, picture.number), (ms(40) * n as u64, n as u8));
            // No picture lasts into the next song.
            assert!(picture.pts + picture.duration <= ms(length) + ms(1));
        }
        assert_eq!(pictures.len() - second, 25, "{pictures:?}");
        for (n, picture) in pictures[second..].iter().enumerate() {
            assert_eq!(picture.pts, ms(5000) + ms(40) * n as u64);
            let expected = (length + 40 * n as u64) as f64 / 40.0;
            assert!(
                (f64::from(picture.number) - expected).abs() <= 0.76,
                "{picture:?}"
            );
        }
        let segments = rig.left().into_iter().filter_map(|left| match left {
            Left::Event(event) if event.type_() == gst::EventType::Segment => Some(event),
            _ => None,
        });
        let starts = segments.map(|event| match event.view() {
            gst::EventView::Segment(segment) => segment.segment().start(),
            _ => unreachable!(),
        });
        let expected = [ms(0), ms(5000)].map(gst::GenericFormattedValue::from);
        assert_eq!(starts.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_end_of_the_music_ends_the_video_at_its_segments_stop() {
    let rig = Rig::new("look-ahead=39000000");
    rig.plain_video();
    rig.audio.push_event(song(0, Some(400), 0));
    rig.music(0, 400);
    rig.frames(0..11);
    until(|| rig.shown().len() == 10);
    rig.audio.push_event(gst::event::Eos::new());
    until(|| rig.has_ended());
    assert_eq!(rig.shown().len(), 10);
}

#[test]
fn a_long_last_frame_is_shown_to_its_end() {
    for look_ahead in [39_000_000u64, 2_000_000_000] {
        let rig = Rig::new(&format!("look-ahead={look_ahead}"));
        rig.caps(16, "framerate=0/1,max-framerate=25/1");
        rig.video
            .push_event(gst::event::Segment::new(&segment(ms(0))));
        rig.audio.push_event(song(0, None, 0));
        rig.music(0, 5000);
        rig.frames(0..10);
        rig.frame(10, ms(400), ms(1000), 16);
        rig.end();
        let shown = rig.shown();
        let expected: Vec<_> = (0..35).map(|n| (n * 40, n.min(10) as u8)).collect();
        assert_eq!(shown, expected);
    }
}

#[test]
fn video_waits_for_music_that_comes_later() {
    let rig = Rig::with_latency(
        "look-ahead=200000000",
        [(true, ms(10), Some(ms(20))), (true, ms(1000), None)],
    );
    rig.element.set_state(gst::State::Paused).unwrap();
    rig.plain_video();
    let mut query = gst::query::Latency::new();
    assert!(rig.screen.peer_query(&mut query));
    // What the video has to wait for, and what is held for that.
    let expected = (true, ms(1200), Some(ms(20 + 990 + 200)));
    assert_eq!(query.result(), expected);
    let accepted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100 {
                if rig
                    .video
                    .push(frame(number, ms(40) * number, ms(40), 16))
                    .is_err()
                {
                    break;
                }
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let needed = (990 + 200) / 40 + 1;
        let start = std::time::Instant::now();
        while accepted.load(Ordering::Relaxed) < needed && start.elapsed() < PATIENCE / 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let count = accepted.load(Ordering::Relaxed);
        rig.element.set_state(gst::State::Null).unwrap();
        assert!(count >= needed, "{count} frames, not {needed}");
    });
}

/// Where the mapping of a frame is held up, and what it was.
struct Gate {
    /// Whether it is closed, and how many wait there.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

static GATE: Gate = Gate {
    state: Mutex::new((true, 0)),
    changed: Condvar::new(),
};

type Map = unsafe extern "C" fn(
    *mut gst_video::ffi::GstVideoMeta,
    u32,
    *mut gst::ffi::GstMapInfo,
    *mut glib::ffi::gpointer,
    *mut i32,
    gst::ffi::GstMapFlags,
) -> glib::ffi::gboolean;

static MAP: OnceLock<Map> = OnceLock::new();

unsafe extern "C" fn gated(
    meta: *mut gst_video::ffi::GstVideoMeta,
    plane: u32,
    info: *mut gst::ffi::GstMapInfo,
    data: *mut glib::ffi::gpointer,
    stride: *mut i32,
    flags: gst::ffi::GstMapFlags,
) -> glib::ffi::gboolean {
    let mut state = GATE.state.lock().unwrap();
    state.1 += 1;
    GATE.changed.notify_all();
    while state.0 {
        state = GATE.changed.wait(state).unwrap();
    }
    drop(state);
    // SAFETY: the arguments are those that the function was called with.
    unsafe { MAP.get().unwrap()(meta, plane, info, data, stride, flags) }
}

/// Opens the gate, also for a test that fails.
struct Opened;

impl Drop for Opened {
    fn drop(&mut self) {
        GATE.state.lock().unwrap().0 = false;
        GATE.changed.notify_all();
    }
}

/// A frame whose pixels can be read when the gate is open.
fn gated_frame(number: u64, pts: gst::ClockTime) -> gst::Buffer {
    let mut buffer = frame(number, pts, ms(40), 16);
    let (flags, format) = (
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::Gray8,
    );
    let mut meta =
        gst_video::VideoMeta::add(buffer.get_mut().unwrap(), flags, format, 16, 8).unwrap();
    let meta = meta.as_mut_ptr();
    // SAFETY: the metadata is alive, and nobody else has the buffer yet.
    unsafe {
        MAP.get_or_init(|| (*meta).map.unwrap());
        (*meta).map = Some(gated);
    }
    buffer
}

#[test]
fn a_picture_that_is_being_made_holds_nobody_up() {
    let rig = Rig::new("look-ahead=39000000 interpolation=blend");
    rig.plain_video();
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 500);
    std::thread::scope(|scope| {
        let open = Opened;
        // Every picture lies between two frames.
        for number in 0..4 {
            let frame = gated_frame(number, ms(20) + ms(40) * number);
            rig.video.push(frame).unwrap();
        }
        until(|| GATE.state.lock().unwrap().1 > 0);
        let before = rig.shown();
        let (sender, done) = mpsc::channel();
        let upstream = &rig;
        scope.spawn(move || {
            // Neither upstream nor the application waits for the picture, nor does a flush of the music.
            upstream.music(500, 1000);
            upstream.element.property::<gst::Structure>("stats");
            upstream.flush(&upstream.audio, gst::Seqnum::next());
            upstream.audio.push_event(song(100_000, None, 0));
            upstream.music(100_000, 100_500);
            let _ = sender.send(());
        });
        let free = done.recv_timeout(PATIENCE / 2).is_ok();
        drop(open);
        assert!(free, "upstream waits for a picture");
        rig.end();
        // The picture had its place in music that is gone.
        let after = rig.shown().split_off(before.len());
        assert!(after.iter().all(|(pts, _)| *pts >= 100_000), "{after:?}");
        assert!(!after.is_empty());
    });
}

fn rate(caps: &gst::CapsRef) -> gst::Fraction {
    caps.structure(0).unwrap().get("framerate").unwrap()
}

#[test]
fn what_a_flush_overtakes_is_kept() {
    let rig = Rig::new("look-ahead=39000000 interpolation=blend");
    rig.plain_video();
    // No music yet, so that all this waits.
    rig.frames(0..2);
    rig.video.push_event(gst::event::StreamStart::new("second"));
    rig.caps(32, "framerate=0/1,max-framerate=50/1");
    let mut tags = gst::TagList::new();
    (tags.get_mut().unwrap()).add::<gst::tags::Title>(&"dance", gst::TagMergeMode::Append);
    rig.video.push_event(gst::event::Tag::new(tags));
    rig.flush(&rig.video, gst::Seqnum::next());
    let pad = rig.element.static_pad("video_src").unwrap();
    let start = pad.sticky_event::<gst::event::StreamStart>(0).unwrap();
    assert_eq!(start.stream_id(), "second");
    let tags = pad.sticky_event::<gst::event::Tag>(0).unwrap();
    assert_eq!(tags.tag().get::<gst::tags::Title>().unwrap().get(), "dance");
    // As if they had waited for their turn.
    let caps = pad.current_caps().unwrap();
    assert_eq!(rate(&caps), gst::Fraction::new(50, 1));
    assert!(!caps.structure(0).unwrap().has_field("max-framerate"));
    // What follows is read as what it is.
    rig.video
        .push_event(gst::event::Segment::new(&segment(ms(0))));
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 1000);
    for number in 0..20 {
        let pts = ms(10) + ms(20) * number;
        rig.frame(2 * number, pts, ms(20), 32);
    }
    rig.end();
    let pictures = rig.pictures();
    assert!((19..=22).contains(&pictures.len()), "{pictures:?}");
    for (n, picture) in pictures.iter().enumerate() {
        assert_eq!((picture.pts, picture.size), (ms(20) * n as u64, 256));
        if (1..19).contains(&n) {
            // Half of one and half of the next.
            assert_eq!(usize::from(picture.number), 2 * n - 1);
        }
    }
}

#[test]
fn each_caps_have_their_own_rate() {
    let rig = Rig::new("look-ahead=39000000");
    rig.caps(16, "framerate=0/1,max-framerate=25/1");
    rig.video
        .push_event(gst::event::Segment::new(&segment(ms(0))));
    rig.frames(0..2);
    // All of it waits when the rate changes.
    rig.caps(32, "framerate=50/1");
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 1000);
    for number in 0..10 {
        rig.frame(number, ms(80) + ms(20) * number, ms(20), 32);
    }
    rig.end();
    let mut now = None;
    let mut seen = Vec::new();
    for left in rig.left() {
        match left {
            Left::Event(event) => {
                if let gst::EventView::Caps(caps) = event.view() {
                    now = Some(rate(caps.caps()));
                }
            }
            Left::Picture(picture) => {
                seen.push((
                    picture.size,
                    now.unwrap().numer(),
                    picture.duration.mseconds(),
                ));
            }
        }
    }
    let count = |what| seen.iter().filter(|seen| **seen == what).count();
    assert_eq!(
        (count((128, 25, 40)), count((256, 50, 20))),
        (2, 10),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 12, "{seen:?}");
}

#[test]
fn a_rate_that_changes_is_not_hidden_where_video_passes() {
    let rig = Rig::without_music("look-ahead=39000000", [(false, ms(0), None); 2]);
    rig.caps(16, "framerate=0/1,max-framerate=25/1");
    rig.video
        .push_event(gst::event::Segment::new(&segment(ms(0))));
    rig.frames(0..5);
    until(|| rig.shown().len() == 5);
    let caps = rig.element.static_pad("video_src").unwrap().current_caps();
    assert_eq!(rate(&caps.unwrap()), gst::Fraction::new(0, 1));
    // Music that is linked later is followed, at an even rate.
    rig.link_music();
    rig.audio.push_event(song(200, None, 200));
    rig.music(200, 1000);
    rig.frames(5..10);
    rig.end();
    let caps = rig.element.static_pad("video_src").unwrap().current_caps();
    assert_eq!(rate(&caps.unwrap()), gst::Fraction::new(25, 1));
    assert_eq!(
        rig.shown().split_off(5),
        [(200, 5), (240, 6), (280, 7), (320, 8), (360, 9)]
    );
}

/// PTS in ms and number of the pictures after the last FLUSH_STOP.
fn after_flush(left: &[Left]) -> Vec<(u64, u8)> {
    let is_stop = |left: &Left| matches!(left, Left::Event(event) if event.type_() == gst::EventType::FlushStop);
    let stop = left.iter().rposition(is_stop).expect("no flush");
    let pictures = left[stop..].iter().filter_map(|left| match left {
        Left::Picture(picture) => Some((picture.pts.mseconds(), picture.number)),
        Left::Event(_) => None,
    });
    pictures.collect()
}

/// A video that has come beyond its music, both at their beginning.
fn before_seek() -> Rig {
    let rig = Rig::new("look-ahead=39000000 starve-timeout=60000000000");
    rig.plain_video();
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 400);
    rig.frames(0..12);
    until(|| rig.shown().len() >= 10);
    rig
}

fn seek_event() -> gst::Event {
    let (flags, set) = (gst::SeekFlags::FLUSH, gst::SeekType::Set);
    gst::event::Seek::new(1.0, flags, set, ms(4000), set, gst::ClockTime::NONE)
}

fn music_of_seek(rig: &Rig) {
    rig.audio.push_event(song(4000, None, 0));
    rig.music(4000, 4400);
}

#[test]
fn either_branch_is_flushed_first_by_a_seek() {
    let expected: Vec<_> = (0..10).map(|n| (4000 + 40 * n, 100 + n as u8)).collect();
    for (music_first, through) in [(true, true), (false, true), (true, false)] {
        let rig = before_seek();
        let seek = seek_event();
        let seqnum = seek.seqnum();
        if through {
            assert!(rig.screen.push_event(seek));
        }
        let before = rig.shown().len();
        if music_first {
            rig.flush(&rig.audio, seqnum);
            music_of_seek(&rig);
            std::thread::sleep(CHANCE);
            if through {
                assert_eq!(rig.shown().len(), before, "old video with new music");
            }
            rig.flush(&rig.video, seqnum);
        } else {
            rig.flush(&rig.video, seqnum);
        }
        rig.video.push_event(song(4000, None, 0));
        rig.frames(100..102);
        if !music_first {
            std::thread::sleep(CHANCE);
            assert_eq!(rig.shown().len(), before, "new video with old music");
            rig.flush(&rig.audio, seqnum);
            music_of_seek(&rig);
        }
        rig.frames(102..110);
        rig.end();
        let left = rig.left();
        assert_eq!(after_flush(&left), expected, "music first: {music_first}");
    }
}

#[test]
fn a_branch_that_a_seek_does_not_flush_is_not_waited_for() {
    let rig = Rig::new("look-ahead=39000000 starve-timeout=300000000");
    rig.plain_video();
    rig.audio.push_event(song(0, None, 0));
    // For ten pictures and no more, however long it is waited for.
    rig.music(0, 400);
    rig.frames(0..10);
    until(|| rig.shown().len() == 10);
    let seek = seek_event();
    let seqnum = seek.seqnum();
    assert!(rig.screen.push_event(seek));
    rig.flush(&rig.video, seqnum);
    rig.video
        .push_event(gst::event::Segment::new(&segment(ms(0))));
    rig.music(400, 1000);
    rig.frames(10..20);
    rig.end();
    // The music is where it was.
    let expected: Vec<_> = (10..20).map(|n| (n * 40, n as u8)).collect();
    assert_eq!(after_flush(&rig.left()), expected);
}

#[test]
fn both_branches_loop_without_a_flush() {
    let dir = Dir::new();
    // Marks of one side: the video is shown at its own pace.
    let marks = dir.file("marks");
    std::fs::write(
        &marks,
        super::lines("eye", Kind::VisualBeat, 200, 500, 1000),
    )
    .unwrap();
    // The video comes to its new round later or sooner than the music.
    for frames in [40, 15] {
        let rig = Rig::new(&format!("marks-location={}", marks.display()));
        rig.plain_video();
        rig.audio.push_event(song(0, Some(1000), 0));
        let (flags, set) = (gst::SeekFlags::SEGMENT, gst::SeekType::Set);
        let seek = gst::event::Seek::new(1.0, flags, set, ms(0), set, ms(1000));
        let again = |stop| {
            let mut segment = segment(ms(0));
            segment.set_stop(stop);
            segment.set_base(ms(1000));
            gst::event::Segment::builder(&segment)
                .seqnum(seek.seqnum())
                .build()
        };
        assert!(rig.screen.push_event(seek.clone()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                rig.frames(0..frames);
                rig.video.push_event(again(None));
                rig.frames(0..20);
                rig.video.push_event(gst::event::Eos::new());
            });
            rig.music(0, 600);
            until(|| rig.shown().len() >= 14);
            std::thread::sleep(CHANCE);
            rig.music(600, 1000);
            rig.audio.push_event(again(Some(ms(1000))));
            rig.music(0, 400);
            rig.audio.push_event(gst::event::Eos::new());
            until(|| rig.has_ended());
        });
        let first = (0..25).map(|n| (n * 40, n.min(frames - 1) as u8));
        let second = (0..10).map(|n| (n * 40, n as u8));
        let expected: Vec<_> = first.chain(second).collect();
        let mut shown = rig.shown();
        // One picture may be ahead of the music.
        assert!(shown.len() <= expected.len() + 1, "{shown:?}");
        shown.truncate(expected.len());
        assert_eq!(shown, expected, "{frames} frames");
    }
}

#[test]
fn music_that_stalls_does_not_let_the_video_run_away() {
    let rig = Rig::new("look-ahead=39000000 starve-timeout=100000000");
    rig.plain_video();
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 400);
    rig.frames(0..10);
    let warnings = [gst::MessageType::Warning];
    let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
    assert!(rig.bus.timed_pop_filtered(patience, &warnings).is_some());
    // Neither side comes.
    std::thread::sleep(CHANCE);
    assert!(rig.shown().len() <= 10, "{:?}", rig.shown());
    // The video alone leads on.
    rig.frames(10..20);
    rig.video.push_event(gst::event::Eos::new());
    until(|| rig.has_ended());
    let shown = rig.shown();
    assert!((20..=21).contains(&shown.len()), "{shown:?}");
    for (n, shown) in shown.into_iter().take(20).enumerate() {
        assert_eq!(shown, (40 * n as u64, n as u8));
    }
}

/// Pixels that are counted while they are in use.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn frames_without_time_do_not_pile_up() {
    // Without any timestamp, and with the same one over and over.
    for timed in [false, true] {
        let rig = Rig::new("look-ahead=100000000 starve-timeout=60000000000");
        rig.plain_video();
        let (alive, most) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let all = 300;
        std::thread::scope(|scope| {
            let frames = scope.spawn(|| {
                for number in 0..all {
                    let count = alive.fetch_add(1, Ordering::Relaxed) + 1;
                    most.fetch_max(count, Ordering::Relaxed);
                    let pixels = Counted(vec![number as u8; 128], alive.clone());
                    let mut buffer = gst::Buffer::from_slice(pixels);
                    if timed {
                        buffer.get_mut().unwrap().set_pts(ms(0));
                    }
                    rig.video.push(buffer).unwrap();
                }
            });
            // The music comes later than they all could.
            let start = std::time::Instant::now();
            while !frames.is_finished() && start.elapsed() < 2 * CHANCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            rig.audio.push_event(song(0, None, 0));
            rig.music(0, 20_000);
            rig.audio.push_event(gst::event::Eos::new());
            frames.join().unwrap();
        });
        rig.end();
        // What the look-ahead needs is seven.
        let most = most.load(Ordering::Relaxed);
        assert!(most < 40, "{most} frames at once");
        let texts: Vec<_> = (rig.bus.iter())
            .filter_map(|message| match message.view() {
                gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
                _ => None,
            })
            .collect();
        if timed {
            continue;
        }
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains("without timestamps"), "{texts:?}");
        // One after the other, as the caps say.
        let expected: Vec<_> = (0..all).map(|n| (n * 40, n as u8)).collect();
        assert_eq!(rig.shown(), expected);
    }
}

#[test]
fn after_an_end_another_stream_begins() {
    for drained in [true, false] {
        let rig = Rig::new("look-ahead=1000000000");
        rig.plain_video();
        rig.audio.push_event(song(0, None, 0));
        rig.music(0, if drained { 2000 } else { 100 });
        rig.frames(0..10);
        rig.video.push_event(gst::event::Eos::new());
        if drained {
            until(|| rig.has_ended());
        }
        // The same again, on a segment later on; its music comes only now where the first stream has not left yet.
        rig.video.push_event(gst::event::StreamStart::new("more"));
        rig.caps(16, "framerate=25/1");
        rig.video.push_event(song(0, None, 400));
        let frames = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                rig.frame(100 + number, ms(40) * number, ms(40), 16);
            }
            rig.video.push_event(gst::event::Eos::new());
        };
        std::thread::scope(|scope| {
            let frames = scope.spawn(|| frames(0..10));
            if !drained {
                rig.music(100, 2000);
            }
            until(|| rig.shown().iter().any(|(_, number)| *number == 109));
            frames.join().unwrap();
        });
        let ended = 1 + usize::from(drained);
        until(|| rig.ends() == ended);
        let numbers: Vec<_> = rig.shown().iter().map(|(_, number)| *number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        for number in (0..10).chain(100..110) {
            assert!(numbers.contains(&number), "{number} of {numbers:?}");
        }
        let left = rig.left();
        let is = |left: &Left, type_| matches!(left, Left::Event(event) if event.type_() == type_);
        let starts = left
            .iter()
            .filter(|left| is(left, gst::EventType::StreamStart));
        assert_eq!(starts.count(), 2);
    }
}

#[test]
fn music_after_its_end_begins_again() {
    let rig = Rig::new("look-ahead=39000000");
    rig.plain_video();
    rig.audio.push_event(song(0, None, 0));
    rig.music(0, 400);
    rig.audio.push_event(gst::event::Eos::new());
    rig.frames(0..11);
    until(|| rig.has_ended());
    rig.audio.push_event(gst::event::StreamStart::new("more"));
    rig.audio.push_event(song(0, None, 400));
    rig.video.push_event(gst::event::StreamStart::new("more"));
    rig.video.push_event(song(0, None, 400));
    rig.music(0, 400);
    rig.frames(0..10);
    rig.end();
    until(|| rig.shown().len() >= 20);
    let second = rig.shown().split_off(10);
    let expected: Vec<_> = (0..10).map(|n| (n * 40, n as u8)).collect();
    assert_eq!(second, expected);
}

#[test]
fn music_that_was_given_up_is_followed_when_it_comes() {
    let rig = Rig::new("look-ahead=39000000 starve-timeout=50000000");
    rig.plain_video();
    rig.frames(0..3);
    until(|| rig.shown().len() == 3);
    let status = || {
        let message = rig.bus.timed_pop_filtered(
            gst::ClockTime::try_from(PATIENCE).unwrap(),
            &[gst::MessageType::Element],
        );
        let message = message.expect("a status");
        message
            .structure()
            .unwrap()
            .get::<String>("status")
            .unwrap()
    };
    assert_eq!(status(), "no-audio");
    rig.audio.push_event(song(120, None, 120));
    rig.music(120, 1000);
    rig.frames(3..20);
    until(|| rig.shown().len() >= 16);
    let segments = rig.left().into_iter().filter_map(|left| match left {
        Left::Event(event) => match event.view() {
            gst::EventView::Segment(segment) => Some(segment.segment().start()),
            _ => None,
        },
        Left::Picture(_) => None,
    });
    let starts: Vec<_> = segments.collect();
    assert_eq!(
        starts.last().unwrap(),
        &gst::GenericFormattedValue::from(Some(ms(120)))
    );
    rig.end();
}

#[test]
fn gaps_of_a_video_that_passes_leave() {
    let not_live = (false, ms(0), None);
    let rig = Rig::without_music("", [not_live; 2]);
    rig.plain_video();
    let gap = |at| gst::event::Gap::builder(ms(at)).duration(ms(40)).build();
    rig.video.push_event(gap(0));
    let gaps = || {
        let is = |left: &Left| matches!(left, Left::Event(event) if event.type_() == gst::EventType::Gap);
        rig.left().iter().filter(|left| is(left)).count()
    };
    until(|| gaps() == 1);
    rig.frames(1..2);
    rig.video.push_event(gap(80));
    until(|| gaps() == 2);
    assert_eq!(rig.shown(), [(40, 1)]);
}

#[test]
fn a_stream_without_a_frame_has_its_format() {
    let rig = Rig::new("");
    rig.plain_video();
    rig.video.push_event(gst::event::Eos::new());
    until(|| rig.has_ended());
    let events: Vec<_> = rig
        .left()
        .into_iter()
        .filter_map(|left| match left {
            Left::Event(event) => Some(event.type_()),
            Left::Picture(_) => None,
        })
        .collect();
    use gst::EventType::{Caps, Eos, Segment, StreamStart};
    assert_eq!(events, [StreamStart, Caps, Segment, Eos]);
}
