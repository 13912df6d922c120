// SPDX-License-Identifier: MPL-2.0
//! What a frame costs in `rhythmoverlay`, with eight onsets and two beats a second:
//! drawn and attached as a meta (`attach`), or drawn and blended into the picture (`blend`).
//!
//! The rest of a frame's way, a push and a pull, is in the figures of `pass`, where nothing is shown.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use gst::ClockTime;
use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoOverlayCompositionMeta;
use gstdance::marks::{self, Kind, Mark};

struct Case {
    harness: Harness,
    frame: Option<gst::Memory>,
    n: u64,
}

impl Case {
    fn new(properties: &[(&str, &str)], format: &str, size: (u32, u32), attach: bool) -> Self {
        let mut harness = Harness::new("rhythmoverlay");
        let element = harness.element().unwrap();
        for (name, value) in properties {
            element.set_property_from_str(name, value);
        }
        if attach {
            harness.add_propose_allocation_meta(VideoOverlayCompositionMeta::meta_api(), None);
        }
        let caps = format!(
            "video/x-raw,format={format},width={},height={},framerate=30/1",
            size.0, size.1
        );
        harness.set_src_caps_str(&caps);
        let caps: gst::Caps = caps.parse().unwrap();
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        Case {
            harness,
            frame: Some(gst::Memory::from_mut_slice(vec![64_u8; info.size()])),
            n: 0,
        }
    }

    /// Sends a frame through, and takes its memory back for the next.
    fn step(&mut self) {
        let mut buffer = gst::Buffer::new();
        let b = buffer.make_mut();
        b.append_memory(self.frame.take().unwrap());
        let pts = ClockTime::from_nseconds(self.n * 1_000_000_000 / 30);
        b.set_pts(pts);
        if self.n.is_multiple_of(4) {
            let beat = self.n.is_multiple_of(16);
            let mark = Mark {
                id: self.n,
                kind: if beat { Kind::Beat } else { Kind::Onset },
                timestamp: pts,
                running_time: Some(pts),
                stream_time: None,
                strength: 1.0,
                confidence: 1.0,
                bpm: beat.then_some(112.5),
                beat_in_bar: if beat {
                    (self.n / 16 % 4) as u32 + 1
                } else {
                    0
                },
                predicted: false,
            };
            marks::attach(b, "bench", &[mark]);
        }
        self.n += 1;
        let out = self.harness.push_and_pull(buffer).unwrap();
        self.frame = out.memory(0);
    }
}

fn frames(c: &mut Criterion) {
    gst::init().unwrap();
    gstdance::plugin_register_static().unwrap();
    let hd = (1920, 1080);
    let border: &[(&str, &str)] = &[("flash-style", "border"), ("max-flashes", "0")];
    for (name, properties, format, size, attach) in [
        ("pass 1080p", &[("show", "0")][..], "I420", hd, false),
        ("attach 1080p", &[], "I420", hd, true),
        ("attach 2160p", &[], "I420", (3840, 2160), true),
        ("blend 1080p I420", &[], "I420", hd, false),
        ("blend 1080p NV12", &[], "NV12", hd, false),
        ("blend 1080p RGBx", &[], "RGBx", hd, false),
        ("blend 1080p I420_10LE", &[], "I420_10LE", hd, false),
        ("blend 720p I420", &[], "I420", (1280, 720), false),
        ("blend 2160p I420", &[], "I420", (3840, 2160), false),
        ("blend 1080p I420, border", border, "I420", hd, false),
    ] {
        let mut case = Case::new(properties, format, size, attach);
        c.bench_function(name, |b| b.iter(|| case.step()));
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
