// SPDX-License-Identifier: MPL-2.0
//! Writes one frame of the overlay as a PNG, to look at it over any picture.
//!
//! ```console
//! cargo run --example overlay_still -- \
//!     "videotestsrc pattern=smpte ! video/x-raw,width=1920,height=1080" still.png 5.5 position=top
//! ```
//!
//! The arguments are a source of video, the file, the second of the frame, and properties of the
//! element. The music is a bar of four at 124 beats per minute with onsets on the eighths.

use std::error::Error;

use gst::prelude::*;
use gstdance::marks::{self, Kind, Mark};

const BPM: f64 = 124.0;

fn mark(eighth: u64) -> Mark {
    let timestamp = gst::ClockTime::from_nseconds((eighth as f64 * 30e9 / BPM) as u64);
    let beat = eighth / 2 % 4;
    Mark {
        id: eighth,
        kind: match (eighth % 2, beat) {
            (0, 0) => Kind::Downbeat,
            (0, _) => Kind::Beat,
            _ => Kind::Onset,
        },
        timestamp,
        running_time: Some(timestamp),
        stream_time: None,
        strength: 1.0,
        confidence: 1.0,
        bpm: eighth.is_multiple_of(2).then_some(BPM),
        beat_in_bar: if eighth.is_multiple_of(2) {
            beat as u32 + 1
        } else {
            0
        },
        predicted: false,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, file, second, properties @ ..] = args.as_slice() else {
        return Err("arguments: SOURCE FILE.png SECOND [PROPERTY=VALUE]...".into());
    };
    let second = gst::ClockTime::try_from_seconds_f64(second.parse()?)?;
    gst::init()?;
    gstdance::plugin_register_static()?;
    let pipeline = gst::parse::launch(&format!(
        "{source} ! rhythmoverlay name=overlay {} ! videoconvert ! pngenc snapshot=true \
         ! filesink location=\"{file}\"",
        properties.join(" ")
    ))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "not a pipeline")?;
    let overlay = pipeline.by_name("overlay").ok_or("no overlay")?;
    let pad = |name| overlay.static_pad(name).ok_or("no pad");

    pad("sink")?.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let first = buffer.pts().unwrap_or_default();
            let last = first + buffer.duration().unwrap_or(gst::ClockTime::SECOND);
            let new: Vec<_> = (0..)
                .map(mark)
                .skip_while(|mark| mark.timestamp < first)
                .take_while(|mark| mark.timestamp < last)
                .collect();
            marks::attach(buffer.make_mut(), "music", &new);
        }
        gst::PadProbeReturn::Ok
    });
    pad("src")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        if pts < Some(second) {
            gst::PadProbeReturn::Drop
        } else {
            gst::PadProbeReturn::Ok
        }
    });

    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(()),
        Some(gst::MessageView::Error(err)) => Err(err.error().into()),
        _ => Err("no frame within a minute".into()),
    }
}
