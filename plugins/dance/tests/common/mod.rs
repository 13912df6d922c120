// SPDX-License-Identifier: MPL-2.0
//! What the tests of elements that handle marks share.

// Helpers fail a test as it does itself, and each test binary uses its share of them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, Once};

use gst::glib;
use gst::prelude::*;
use gstdance::marks::{self, Kind, Mark};

/// Registers the plugin; warnings of GLib and GStreamer end the test, as with
/// `G_DEBUG=fatal_warnings`.
pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_ERROR
                | glib::LogLevels::LEVEL_CRITICAL
                | glib::LogLevels::LEVEL_WARNING,
        );
        gstdance::plugin_register_static().unwrap();
    });
}

/// The library of ONNX Runtime: `ORT_DYLIB_PATH`, or what `pipelines/onnxruntime.sh` fetches.
pub fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return path.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/onnxruntime.sh");
        let output = Command::new(&script).output().unwrap();
        assert!(
            output.status.success(),
            "these tests need ONNX Runtime: set ORT_DYLIB_PATH to its library, or make this work: {}\n{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().into()
    });
    &LIBRARY
}

pub fn ms(ms: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(ms)
}

/// A mark as a detector on a stream without offsets makes it.
pub fn mark(id: u64, kind: Kind, at: gst::ClockTime) -> Mark {
    Mark {
        id,
        kind,
        timestamp: at,
        running_time: Some(at),
        stream_time: Some(at),
        strength: 1.25,
        confidence: 0.5,
        bpm: kind.is_beat().then_some(120.0),
        beat_in_bar: u32::from(kind.is_beat()),
        predicted: false,
    }
}

pub fn onset(id: u64, at: gst::ClockTime) -> Mark {
    mark(id, Kind::Onset, at)
}

/// A pipeline that ends with its owner, so that a failed test fails alone: one dropped in PLAYING
/// is a fatal warning, which would end the process and hide what failed.
pub struct Playing(gst::Pipeline);

impl Playing {
    /// From a description, in NULL.
    pub fn new(description: &str) -> Self {
        init();
        Self(gst::parse::launch(description).unwrap().downcast().unwrap())
    }

    /// Waits for the first end or error.
    pub fn end(&self) -> gst::Message {
        let done = [gst::MessageType::Eos, gst::MessageType::Error];
        let bus = self.0.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &done)
            .expect("the pipeline hangs")
    }
}

impl std::ops::Deref for Playing {
    type Target = gst::Pipeline;

    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// A buffer of ten bytes with marks of the source `ear`.
pub fn buffer(
    pts: impl Into<Option<gst::ClockTime>>,
    duration: impl Into<Option<gst::ClockTime>>,
    found: &[Mark],
) -> gst::Buffer {
    init();
    let mut buffer = gst::Buffer::from_slice([0u8; 10]);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(pts);
    writable.set_duration(duration);
    marks::attach(writable, "ear", found);
    buffer
}

pub fn segment(start: gst::ClockTime) -> gst::FormattedSegment<gst::ClockTime> {
    let mut segment = gst::FormattedSegment::new();
    segment.set_start(start);
    segment.set_time(start);
    segment
}

/// A tag that is sent once.
pub fn title() -> gst::Event {
    let mut tags = gst::TagList::new();
    tags.make_mut()
        .add::<gst::tags::Title>(&"a", gst::TagMergeMode::Append);
    gst::event::Tag::new(tags)
}

/// Flushes a pad and its peer over and over while another thread pushes, which it does under the
/// lock, as data is not to come between FLUSH_STOP and SEGMENT.
pub fn flush_storm(pad: &gst::Pad, pushing: &Mutex<()>, count: usize) {
    for _ in 0..count {
        pad.push_event(gst::event::FlushStart::new());
        let _pushing = pushing.lock().unwrap();
        pad.push_event(gst::event::FlushStop::new(true));
        pad.push_event(gst::event::Segment::new(&segment(ms(0))));
    }
}

/// A number of an element's `stats`.
pub fn stat(element: &gst::Element, name: &str) -> u64 {
    element
        .property::<gst::Structure>("stats")
        .get(name)
        .unwrap()
}

/// The first message of that type on the bus, or none within a second.
pub fn message(bus: &gst::Bus, type_: gst::MessageType) -> Option<gst::Message> {
    bus.timed_pop_filtered(gst::ClockTime::SECOND, &[type_])
}

/// The error on the bus.
pub fn error(bus: &gst::Bus) -> glib::Error {
    let message = message(bus, gst::MessageType::Error).expect("no error on the bus");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    error.error()
}

/// The error with which the start of an element with these properties fails.
pub fn refusal(name: &str, properties: &str) -> glib::Error {
    init();
    let element = gst::parse::launch(&format!("{name} {properties}")).unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(
        element.set_state(gst::State::Paused).is_err(),
        "{properties}"
    );
    let error = error(&bus);
    element.set_state(gst::State::Null).unwrap();
    bus.set_flushing(true);
    error
}

/// That a start fails, with an error of this kind that says these things.
#[track_caller]
pub fn assert_refused(
    name: &str,
    properties: &str,
    kind: impl glib::error::ErrorDomain,
    parts: &[&str],
) {
    let error = refusal(name, properties);
    assert!(error.matches(kind), "{error:?}");
    for part in parts {
        assert!(
            error.message().contains(part),
            "`{part}` is not in: {error}"
        );
    }
}

/// A directory that is gone at the end of the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gstdance-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Environment variable that says to a test that it runs in a process of its own.
const CHILD: &str = "GSTDANCE_TEST_CHILD";

/// Whether this process was started by [`run_alone`].
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test `name` of this binary in a process of its own.
pub fn run_alone(name: &str, shell_prefix: &str, environment: &[(&str, &str)]) -> Output {
    Command::new("sh")
        .args(["-c", &format!("{shell_prefix} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Runs `work` in a process under the leaks tracer, and fails if any object outlives it.
pub fn assert_no_leaks(name: &str, work: impl FnOnce()) {
    if is_child() {
        init();
        work();
        // SAFETY: nothing of GStreamer is used after this, the process ends here.
        unsafe { gst::deinit() };
        return;
    }
    let output = run_alone(
        name,
        "",
        &[
            ("GST_TRACERS", "leaks"),
            ("GST_DEBUG", "GST_TRACER:7"),
            ("GST_DEBUG_NO_COLOR", "1"),
        ],
    );
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("GST_TRACER"), "the tracer did not run: {log}");
    let leaks: Vec<_> = log
        .lines()
        .filter(|line| line.contains("object-alive, ") && !line.contains("new format string"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}
