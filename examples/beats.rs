// SPDX-License-Identifier: MPL-2.0
//! Prints the beats of a file or URI, as the elements report them on the bus.
//!
//! ```sh
//! cargo run --release --package dance-examples --bin beats -- song.ogg
//! ```
//!
//! One line for each beat: seconds, place in the bar (`-` where it is not known), tempo, confidence.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use gst::MessageView;
use gst::prelude::*;
use gstdance::marks::{MESSAGE_NAME, Mark};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("beats: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(media), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: beats FILE-OR-URI".into());
    };
    gst::init()?;
    gstdance::plugin_register_static()?;

    let uri = match media.to_str() {
        Some(uri) if uri.contains("://") => uri.to_owned(),
        _ => {
            let path = std::path::absolute(Path::new(&media))?;
            gst::glib::filename_to_uri(path, None)?.into()
        }
    };
    // Without `offline` the beats would be those of a live run: sooner, and less sure.
    let pipeline = gst::parse::launch(
        "uridecodebin name=media caps=audio/x-raw expose-all-streams=false \
         ! audioconvert ! onsetdetect mode=offline emit=beat+downbeat ! fakesink",
    )?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "the description is no pipeline")?;
    pipeline
        .by_name("media")
        .ok_or("no element media")?
        .set_property("uri", &uri);

    let result = play(&pipeline);
    // Whatever happened, the pipeline has to stop before it is dropped.
    pipeline.set_state(gst::State::Null)?;
    result
}

/// Runs the pipeline to its end and prints the beats on the way.
fn play(pipeline: &gst::Pipeline) -> Result<(), Box<dyn Error>> {
    let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
    // Why this failed stands on the bus, so the loop below tells it.
    let _ = pipeline.set_state(gst::State::Playing);
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            MessageView::Element(element) => {
                let Some(s) = element.structure().filter(|s| s.name() == MESSAGE_NAME) else {
                    continue;
                };
                print(&Mark::from_structure(s)?);
            }
            MessageView::Eos(_) => return Ok(()),
            MessageView::Error(err) => {
                let source = err.src().map(|s| s.path_string()).unwrap_or_default();
                return Err(format!("{source}: {}", err.error()).into());
            }
            _ => (),
        }
    }
    Err("the bus closed before the end".into())
}

fn print(mark: &Mark) {
    let bpm = mark.bpm.map_or("-".into(), |bpm| format!("{bpm:.1}"));
    let place = match mark.beat_in_bar {
        0 => "-".into(),
        place => place.to_string(),
    };
    println!(
        "{:.3}\t{place}\t{bpm}\t{:.2}",
        mark.timestamp.nseconds() as f64 / 1e9,
        mark.confidence
    );
}
