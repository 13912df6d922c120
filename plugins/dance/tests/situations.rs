// SPDX-License-Identifier: MPL-2.0
//! Situations of real files, players and programmes, each with what must come of it; `docs/tested-with.md` lists them.

// Helpers fail a test as it does itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::{Dir, Playing, init, ms, read, stat};
use gst::prelude::*;

/// Well below the time after which an element gives up waiting.
const SOON: Duration = Duration::from_secs(3);

/// The number of lines in a file of marks, each a mark, and the last instant.
fn written(path: &Path) -> (usize, u64) {
    let marks: Vec<serde_json::Value> = read(path)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = marks.iter().map(|mark| mark["timestamp"].as_u64().unwrap());
    (marks.len(), last.max().unwrap_or(0))
}

/// Plays to the end.
fn play(description: &str) -> Playing {
    let pipeline = Playing::new(description);
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = pipeline.end();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline
}

/// Counts the buffers that come to a pad.
fn counted(pad: &gst::Pad) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    count
}

fn sink_pad(pipeline: &gst::Pipeline, name: &str) -> gst::Pad {
    let element = pipeline.by_name(name).unwrap();
    element.static_pad("sink").unwrap()
}

fn wait_until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

// Marks and tags.

fn an_offset_past_the_end_loses_nothing(mode: &str) {
    let dir = Dir::new();
    let path = dir.file("marks.jsonl");
    let [plain, moved] = [0, 600_000_000].map(|offset| {
        play(&format!(
            "audiotestsrc wave=ticks num-buffers=900 samplesperbuffer=441 ! audio/x-raw,rate=44100 ! \
             onsetdetect method=superflux emit=onset mode={mode} offset={offset} ! marksink location={}",
            path.display()
        ));
        written(&path)
    });
    // Ticks at 0, 1 … 8 s and the end of the sound; the file ends at 9 s.
    assert!(
        plain.0 >= 9 && moved.1 > 8_590_000_000,
        "{plain:?} {moved:?}"
    );
    assert_eq!(moved, (plain.0, plain.1 + 600_000_000));
}

#[test]
fn an_offset_past_the_end_loses_no_mark_in_low_latency() {
    an_offset_past_the_end_loses_nothing("low-latency");
}

#[test]
fn an_offset_past_the_end_loses_no_mark_in_aligned() {
    an_offset_past_the_end_loses_nothing("aligned");
}

#[test]
fn an_offset_past_the_end_loses_no_mark_in_offline() {
    an_offset_past_the_end_loses_nothing("offline");
}

#[test]
fn tags_of_the_stream_stay_beside_the_tempo() {
    for mode in ["low-latency", "aligned"] {
        let pipeline = play(&format!(
            "audiotestsrc wave=ticks tick-interval=500000000 num-buffers=2000 samplesperbuffer=441 ! \
             audio/x-raw,rate=44100 ! taginject tags=audio-codec=foo ! \
             onsetdetect method=superflux mode={mode} ! fakesink name=out"
        ));
        let tag = sink_pad(&pipeline, "out").sticky_event::<gst::event::Tag>(0);
        let tags = tag.unwrap().tag_owned();
        let codec = tags.get::<gst::tags::AudioCodec>();
        assert_eq!(
            codec.map(|codec| codec.get().to_owned()).as_deref(),
            Some("foo")
        );
        let bpm = tags
            .get::<gst::tags::BeatsPerMinute>()
            .expect("no tempo")
            .get();
        assert!((bpm - 120.0).abs() < 3.0, "{bpm}");
    }
}

#[test]
fn tags_of_the_stream_pass_the_visual_beats() {
    let pipeline = play(
        "videotestsrc num-buffers=20 ! taginject tags=video-codec=foo ! rhythmtag mode=aligned ! \
         fakesink name=out",
    );
    let tag = sink_pad(&pipeline, "out").sticky_event::<gst::event::Tag>(0);
    let tags = tag.unwrap().tag_owned();
    let codec = tags.get::<gst::tags::VideoCodec>();
    assert_eq!(
        codec.map(|codec| codec.get().to_owned()).as_deref(),
        Some("foo")
    );
}

// Seeks in a player.

/// A short film with ticks for music.
fn film(dir: &Dir, muxer: &str) -> std::path::PathBuf {
    let path = dir.file("film");
    play(&format!(
        "{muxer} name=m ! filesink location={} \
         videotestsrc num-buffers=200 ! video/x-raw,width=64,height=64,framerate=25/1 ! jpegenc ! queue ! m. \
         audiotestsrc wave=ticks num-buffers=800 samplesperbuffer=441 ! \
         audio/x-raw,format=S16LE,rate=44100,channels=1 ! queue ! m.",
        path.display()
    ));
    path
}

fn a_seek_goes_on_at_once(muxer: &str, demuxer: &str, sound_first: bool, state: gst::State) {
    let dir = Dir::new();
    let sound = "t. ! queue ! fakesink name=sound sync=true";
    let picture = "c. ! fakesink name=out sync=true";
    let [first, last] = if sound_first {
        [sound, picture]
    } else {
        [picture, sound]
    };
    let pipeline = Playing::new(&format!(
        "markcombiner name=c tee name=t {first} {last} filesrc location={} ! {demuxer} name=d \
         d.video_0 ! queue ! c.media \
         d.audio_0 ! queue ! audioconvert ! onsetdetect method=superflux ! t. t. ! queue ! c.marks",
        film(&dir, muxer).display()
    ));
    pipeline.set_state(state).unwrap();
    let soon = gst::ClockTime::from_seconds(10);
    pipeline.state(soon).0.expect("no preroll");
    let frames = counted(&sink_pad(&pipeline, "out"));
    for n in 1..4 {
        let before = frames.load(Ordering::Relaxed);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        let at = gst::ClockTime::from_seconds(n);
        pipeline.seek_simple(flags, at).unwrap();
        wait_until("the picture is frozen after the seek", || {
            frames.load(Ordering::Relaxed) > before
        });
        assert!(pipeline.state(soon).0.is_ok());
    }
    assert_eq!(stat(&pipeline.by_name("c").unwrap(), "starvations"), 0);
}

/// One test a cell.
macro_rules! seeks {
    ($($name:ident: $muxer:literal $demuxer:literal $first:literal $state:ident;)*) => {
        $(#[test]
        fn $name() {
            a_seek_goes_on_at_once($muxer, $demuxer, $first, gst::State::$state);
        })*
    };
}

seeks! {
    a_seek_in_mkv_goes_on_playing_with_sound_first: "matroskamux" "matroskademux" true Playing;
    a_seek_in_mkv_goes_on_playing_with_sound_last: "matroskamux" "matroskademux" false Playing;
    a_seek_in_mkv_goes_on_paused_with_sound_first: "matroskamux" "matroskademux" true Paused;
    a_seek_in_mkv_goes_on_paused_with_sound_last: "matroskamux" "matroskademux" false Paused;
    a_seek_in_mov_goes_on_playing_with_sound_first: "qtmux" "qtdemux" true Playing;
    a_seek_in_mov_goes_on_playing_with_sound_last: "qtmux" "qtdemux" false Playing;
    a_seek_in_mov_goes_on_paused_with_sound_first: "qtmux" "qtdemux" true Paused;
    a_seek_in_mov_goes_on_paused_with_sound_last: "qtmux" "qtdemux" false Paused;
}

fn a_retargeted_film_goes_on_after_a_seek(sound_first: bool) {
    let dir = Dir::new();
    let sound = "t. ! queue ! fakesink name=sound sync=true";
    let picture = "r.video_src ! fakesink name=out sync=true";
    let [first, last] = if sound_first {
        [sound, picture]
    } else {
        [picture, sound]
    };
    let pipeline = Playing::new(&format!(
        "dtwretarget name=r look-ahead=200000000 tee name=t {first} {last} \
         r.audio_src ! queue ! fakesink sync=true \
         filesrc location={} ! matroskademux name=d \
         d.video_0 ! queue ! jpegdec ! r.video_sink \
         d.audio_0 ! queue ! audioconvert ! t. t. ! queue ! r.audio_sink",
        film(&dir, "matroskamux").display()
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    let soon = gst::ClockTime::from_seconds(10);
    pipeline.state(soon).0.expect("no preroll");
    let frames = counted(&sink_pad(&pipeline, "out"));
    for n in 1..3 {
        let before = frames.load(Ordering::Relaxed);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        let at = gst::ClockTime::from_seconds(n);
        pipeline.seek_simple(flags, at).unwrap();
        wait_until("the picture is frozen after the seek", || {
            frames.load(Ordering::Relaxed) > before
        });
    }
}

#[test]
fn a_seek_in_a_retargeted_film_goes_on_with_sound_first() {
    a_retargeted_film_goes_on_after_a_seek(true);
}

#[test]
fn a_seek_in_a_retargeted_film_goes_on_with_sound_last() {
    a_retargeted_film_goes_on_after_a_seek(false);
}

// Pausing and waiting.

#[test]
fn a_player_with_a_marksink_on_the_side_pauses_and_goes_on() {
    let dir = Dir::new();
    let pipeline = Playing::new(&format!(
        "audiotestsrc wave=ticks samplesperbuffer=441 ! onsetdetect method=superflux ! tee name=t \
         t. ! queue max-size-buffers=2 ! fakesink name=out sync=true  t. ! queue ! marksink location={}",
        dir.file("marks.jsonl").display()
    ));
    let out = counted(&sink_pad(&pipeline, "out"));
    for _ in 0..3 {
        pipeline.set_state(gst::State::Playing).unwrap();
        let before = out.load(Ordering::Relaxed);
        wait_until("it does not play", || {
            out.load(Ordering::Relaxed) > before + 5
        });
        pipeline.set_state(gst::State::Paused).unwrap();
        let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(3));
        assert_eq!(
            result,
            Ok(gst::StateChangeSuccess::Success),
            "it does not pause"
        );
    }
}

/// Asks a pad of an element whose downstream is blocked; the answer, or none within [`SOON`].
fn answer(pad: &gst::Pad, mut query: gst::Query) -> Option<bool> {
    let (sender, answer) = mpsc::channel();
    let pad = pad.clone();
    std::thread::spawn(move || sender.send(pad.query(query.make_mut())));
    answer.recv_timeout(SOON).ok()
}

#[test]
fn a_decoder_of_the_music_does_not_wait_for_what_is_downstream() {
    init();
    let element = gst::ElementFactory::make("dtwretarget").build().unwrap();
    let audio = gst_check::Harness::with_element(&element, Some("audio_sink"), Some("audio_src"));
    let passed = Arc::new(AtomicUsize::new(0));
    let count = passed.clone();
    let source = element.static_pad("audio_src").unwrap();
    source.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let is_serialized = info.query().is_some_and(|query| query.is_serialized());
        count.fetch_add(usize::from(is_serialized), Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let pad = audio.element().unwrap().static_pad("audio_sink").unwrap();
    let caps = gst::Caps::new_empty_simple("audio/x-raw");
    let query = gst::query::Allocation::new(Some(&caps), true);
    assert_eq!(answer(&pad, query.into()), Some(false));
    assert_eq!(answer(&pad, gst::query::Drain::new().into()), Some(true));
    assert_eq!(passed.load(Ordering::Relaxed), 0);
}

#[test]
fn media_that_waits_for_marks_answers_at_once() {
    init();
    let element = gst::ElementFactory::make("markcombiner").build().unwrap();
    let mut media = gst_check::Harness::with_element(&element, Some("media"), Some("src"));
    let mut marks = gst_check::Harness::with_element(&element, Some("marks"), None);
    media.set_live(false);
    marks.set_live(false);
    media.set_src_caps_str("video/x-raw,format=GRAY8,width=2,height=5,framerate=25/1");
    marks.set_src_caps_str("audio/x-raw");
    media.push(common::buffer(ms(0), ms(40), &[])).unwrap();
    let pad = element.static_pad("media").unwrap();
    let caps = pad.current_caps().unwrap();
    let query = gst::query::Allocation::new(Some(&caps), true);
    assert_eq!(answer(&pad, query.into()), Some(false));
    assert_eq!(answer(&pad, gst::query::Drain::new().into()), Some(true));
}

// Properties at the wrong time.

#[test]
fn properties_of_ready_are_refused_in_playing() {
    init();
    let dir = Dir::new();
    let location = format!("location={}", dir.file("marks.jsonl").display());
    for (name, settings) in [
        ("onsetdetect", "method=superflux"),
        ("rhythmtag", ""),
        ("rhythmoverlay", ""),
        ("markcombiner", ""),
        ("marksink", location.as_str()),
        ("dtwretarget", ""),
    ] {
        let element = gst::parse::launch(&format!("{name} {settings}")).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        element.set_state(gst::State::Paused).unwrap();
        let specs = element.list_properties();
        let ours = specs.iter().filter(|spec| {
            spec.owner_type() == element.type_()
                && spec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY)
        });
        let wrong: Vec<String> = ours
            .filter(|spec| {
                let before = format!("{:?}", element.property_value(spec.name()));
                element.set_property_from_value(spec.name(), spec.default_value());
                let after = format!("{:?}", element.property_value(spec.name()));
                let warning = bus.pop_filtered(&[gst::MessageType::Warning]);
                let text = warning.map_or(String::new(), |message| match message.view() {
                    gst::MessageView::Warning(warning) => warning.error().to_string(),
                    _ => String::new(),
                });
                before != after || !text.contains(spec.name())
            })
            .map(|spec| format!("{name}.{}", spec.name()))
            .collect();
        element.set_state(gst::State::Null).unwrap();
        bus.set_flushing(true);
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn setting_the_mode_while_playing_loses_no_media() {
    let pipeline = Playing::new(
        "audiotestsrc num-buffers=400 samplesperbuffer=441 ! \
         onsetdetect name=e method=superflux mode=aligned ! fakesink name=out",
    );
    let out = counted(&sink_pad(&pipeline, "out"));
    let element = pipeline.by_name("e").unwrap();
    let source = counted(&element.static_pad("sink").unwrap());
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_until("it does not play", || source.load(Ordering::Relaxed) > 20);
    element.set_property_from_str("mode", "low-latency");
    assert_eq!(pipeline.end().type_(), gst::MessageType::Eos);
    assert_eq!(out.load(Ordering::Relaxed), 400);
}

// Ends and beginnings of segments and streams.

/// Sends ten seconds of ticks into `onsetdetect` and then the events; what has come out of it.
struct Ticks {
    harness: gst_check::Harness,
    sent: u64,
    bus: gst::Bus,
}

impl Ticks {
    fn new(properties: &str) -> Self {
        init();
        let description = format!("onsetdetect method=superflux {properties}");
        let element = gst::parse::launch(&description).unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.play();
        harness
            .set_src_caps_str("audio/x-raw,format=F32LE,layout=interleaved,rate=44100,channels=2");
        Self {
            harness,
            sent: 0,
            bus,
        }
    }

    /// Pushes `count` buffers of 10 ms with a click every half a second, if there is `music`; right is left times `right`.
    fn push(&mut self, count: u64, music: bool, right: f32) {
        for _ in 0..count {
            let samples = (0..441u64).flat_map(|n| {
                let at = (self.sent * 441 + n) % 22_050;
                let t = at as f32 / 44_100.0;
                let tone: f32 = [180.0, 720.0, 1930.0, 3100.0]
                    .iter()
                    .map(|f| (std::f32::consts::TAU * f * t).cos())
                    .sum();
                let value = if music {
                    0.15 * tone * (-t / 0.012).exp()
                } else {
                    0.0
                };
                [value, right * value]
            });
            let bytes: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let writable = buffer.get_mut().unwrap();
            writable.set_pts(ms(10 * self.sent));
            writable.set_duration(ms(10));
            self.harness.push(buffer).unwrap();
            self.sent += 1;
        }
    }

    fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    fn tempo(&self) -> f64 {
        self.element().property("tempo")
    }

    /// The tempo that late joiners would have.
    fn sticky_tempo(&self) -> Option<f64> {
        let pad = self.element().static_pad("src").unwrap();
        let mut tempo = None;
        pad.sticky_events_foreach(|event| {
            if let Some(s) = event.structure()
                && s.name() == "rhythm-tempo"
            {
                tempo = s.get::<f64>("bpm").ok();
            }
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        tempo
    }
}

#[test]
fn aligned_media_leaves_before_the_end_of_a_segment() {
    for event in [
        gst::event::SegmentDone::new(ms(3_000)),
        gst::event::StreamGroupDone::new(gst::GroupId::next()),
    ] {
        let mut ticks = Ticks::new("mode=aligned");
        ticks.push(300, true, 1.0);
        let type_ = event.type_();
        assert!(ticks.harness.push_event(event));
        assert_eq!(ticks.harness.buffers_received(), 300, "{type_:?}");
    }
}

#[test]
fn late_marks_leave_before_the_end_of_a_segment() {
    init();
    let element = gst::ElementFactory::make("markcombiner").build().unwrap();
    let mut media = gst_check::Harness::with_element(&element, Some("media"), Some("src"));
    let mut marks = gst_check::Harness::with_element(&element, Some("marks"), None);
    media.set_live(false);
    marks.set_live(false);
    media.set_src_caps_str("video/x-raw,format=GRAY8,width=2,height=5,framerate=25/1");
    marks.set_src_caps_str("audio/x-raw");
    marks.push(common::buffer(ms(0), ms(200), &[])).unwrap();
    media.push(common::buffer(ms(0), ms(40), &[])).unwrap();
    media.pull().unwrap();
    let late = common::onset(1, ms(20));
    marks
        .push(common::buffer(ms(200), ms(10), &[late]))
        .unwrap();
    media.push_event(gst::event::SegmentDone::new(ms(40)));
    let mut types = Vec::new();
    while types.last() != Some(&gst::EventType::SegmentDone) {
        types.push(media.pull_event().unwrap().type_());
    }
    assert!(
        types.contains(&gst::EventType::CustomDownstream),
        "{types:?}"
    );
}

#[test]
fn offline_marks_leave_before_the_next_stream() {
    let mut ticks = Ticks::new("mode=offline");
    ticks.push(300, true, 1.0);
    while ticks.harness.try_pull_event().is_some() {}
    ticks
        .harness
        .push_event(gst::event::StreamStart::new("another"));
    let events = std::iter::from_fn(|| ticks.harness.try_pull_event());
    let types: Vec<_> = events.map(|event| event.type_()).collect();
    let start = types
        .iter()
        .position(|type_| *type_ == gst::EventType::StreamStart);
    let marks = types
        .iter()
        .position(|type_| *type_ == gst::EventType::CustomDownstream);
    assert!(marks.is_some() && marks < start, "{types:?}");
}

#[test]
fn a_segment_that_only_says_where_it_is_restarts_nothing() {
    let mut ticks = Ticks::new("");
    ticks.push(600, true, 1.0);
    assert!(ticks.tempo() > 0.0);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_position(ms(6_000));
    segment.set_duration(ms(60_000));
    while ticks.bus.pop().is_some() {}
    ticks.harness.push_event(gst::event::Segment::new(&segment));
    ticks.push(100, true, 1.0);
    let messages = std::iter::from_fn(|| ticks.bus.pop());
    let beats = messages.filter(|message| {
        let kind = message
            .structure()
            .and_then(|s| s.get::<String>("kind").ok());
        kind.is_some_and(|kind| kind.ends_with("beat"))
    });
    assert!(beats.count() >= 2, "beats are silenced");
    assert_eq!(stat(&ticks.element(), "discontinuities"), 0);
}

#[test]
fn the_tempo_is_none_after_the_music() {
    let mut ticks = Ticks::new("");
    ticks.push(800, true, 1.0);
    assert!((ticks.tempo() - 120.0).abs() < 3.0, "{}", ticks.tempo());
    ticks.push(500, false, 1.0);
    assert_eq!((ticks.tempo(), ticks.sticky_tempo()), (0.0, Some(0.0)));
    ticks.push(800, true, 1.0);
    assert!((ticks.tempo() - 120.0).abs() < 3.0, "{}", ticks.tempo());
}

#[test]
fn the_tempo_is_none_in_a_new_stream() {
    let mut ticks = Ticks::new("");
    ticks.push(800, true, 1.0);
    assert!(ticks.tempo() > 0.0);
    ticks
        .harness
        .push_event(gst::event::StreamStart::new("another"));
    assert_eq!((ticks.tempo(), ticks.sticky_tempo()), (0.0, Some(0.0)));
}

// Sound as it comes.

#[test]
fn channels_that_cancel_each_other_are_detected() {
    let plain = {
        let mut ticks = Ticks::new("mode=aligned");
        ticks.push(800, true, 1.0);
        ticks.harness.push_event(gst::event::Eos::new());
        stat(&ticks.element(), "onsets")
    };
    let mut ticks = Ticks::new("mode=aligned");
    ticks.push(800, true, -1.0);
    ticks.harness.push_event(gst::event::Eos::new());
    assert!(plain >= 15, "{plain}");
    assert_eq!(stat(&ticks.element(), "onsets"), plain);
}
