// SPDX-License-Identifier: MPL-2.0
//! Measures the pictures that `dtwretarget` makes between two frames: every other frame of a clip is left out, made again
//! half-way between its neighbours, and compared with what it was.
//!
//! ```sh
//! cargo run --release -p dance-tests --bin interpolation-accuracy -- CLIPS [FPS]
//! ```
//!
//! `CLIPS` is a folder of clips that `dance-train corpus write` wrote, `FPS` (25) their frame rate. `GST_PLUGIN_PATH`,
//! `GST_DANCE_MODEL_PATH` and `ORT_DYLIB_PATH` are those of the plugin. Prints the peak signal-to-noise ratio of brightness in
//! dB, mean over clips, of the whole picture and of where it moves: where both neighbours differ by more than 12 of 255
//! within two pixels.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gst::prelude::*;

/// What is compared: a name, what precedes the element, and its setting.
const WAYS: [(&str, &str, &str); 5] = [
    ("nearest", "", "nearest"),
    ("blend", "", "blend"),
    ("flow, one way", "! hoofflow post-messages=false", "flow"),
    (
        "flow",
        "! hoofflow backward=true post-messages=false",
        "flow",
    ),
    (
        "auto",
        "! hoofflow backward=true post-messages=false",
        "auto",
    ),
];
/// Neighbours that differ by more than this are in motion, and pixels so near to such.
const MOVES: u8 = 12;
const NEAR: usize = 2;

type Failure = Box<dyn Error>;

/// The brightness of a clip's frames, and the frames as they go in.
struct Clip {
    size: [usize; 2],
    caps: gst::Caps,
    frames: Vec<gst::Buffer>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("interpolation-accuracy: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, fps) = match arguments.as_slice() {
        [folder] => (folder, 25),
        [folder, fps] => (folder, fps.parse::<u64>()?),
        _ => return Err("usage: interpolation-accuracy CLIPS [FPS]".into()),
    };
    gst::init()?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|err| format!("{folder}: {err}"))?
        .filter_map(|entry| Some(entry.ok()?.path().join("frames")))
        .filter(|frames| frames.is_dir())
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Err(format!("{folder}: no clips with a folder of frames").into());
    }
    let mut sums = [[0.0; 2]; WAYS.len()];
    for frames in &folders {
        let clip = read(frames, fps).map_err(|err| format!("{}: {err}", frames.display()))?;
        for (sums, (name, before, interpolation)) in sums.iter_mut().zip(WAYS) {
            let found = measure(&clip, fps, before, interpolation)
                .map_err(|err| format!("{}, {name}: {err}", frames.display()))?;
            sums[0] += found[0];
            sums[1] += found[1];
        }
    }
    println!("dB of {} clips | whole | where it moves", folders.len());
    let count = folders.len() as f64;
    for (sums, (name, ..)) in sums.iter().zip(WAYS) {
        println!(
            "{name:14} | {:5.2} | {:5.2}",
            sums[0] / count,
            sums[1] / count
        );
    }
    Ok(())
}

/// Runs a pipeline to its end, and gives what its element `out` got.
fn collect(pipeline: &gst::Pipeline) -> Result<(Option<gst::Caps>, Vec<gst::Buffer>), Failure> {
    let out = pipeline.by_name("out").ok_or("no sink")?;
    let out = out
        .downcast::<gst_app::AppSink>()
        .map_err(|_| "no appsink")?;
    out.set_property("sync", false);
    let (mut caps, mut buffers) = (None, Vec::new());
    while let Ok(sample) = out.pull_sample() {
        caps = caps.or_else(|| sample.caps_owned());
        buffers.extend(sample.buffer_owned());
    }
    let bus = pipeline.bus().ok_or("no bus")?;
    let error = bus.pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null)?;
    match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string().into()),
        _ => Ok((caps, buffers)),
    }
}

fn parse(description: &str) -> Result<gst::Pipeline, Failure> {
    let pipeline = gst::parse::launch(description)?;
    pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline".into())
}

fn read(frames: &Path, fps: u64) -> Result<Clip, Failure> {
    let pipeline = parse(&format!(
        "multifilesrc location=\"{}/%04d.png\" caps=image/png,framerate={fps}/1 ! pngdec ! videoconvert \
         ! video/x-raw,format=I420 ! appsink name=out",
        frames.display()
    ))?;
    pipeline.set_state(gst::State::Playing)?;
    let (caps, frames) = collect(&pipeline)?;
    let caps = caps.ok_or("no frames")?;
    let s = caps.structure(0).ok_or("no format")?;
    let size = [
        s.get::<i32>("width")? as usize,
        s.get::<i32>("height")? as usize,
    ];
    Ok(Clip { size, caps, frames })
}

/// PSNR of the whole and of where it moves.
fn measure(clip: &Clip, fps: u64, before: &str, interpolation: &str) -> Result<[f64; 2], Failure> {
    let pipeline = parse(&format!(
        "dtwretarget name=r strength=0 interpolation={interpolation} \
         appsrc name=in format=time ! queue {before} ! queue ! r.video_sink \
         audiotestsrc name=music samplesperbuffer=441 ! audio/x-raw,rate=44100,channels=1 ! queue ! r.audio_sink \
         r.video_src ! appsink name=out r.audio_src ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 \
         ! fakesink async=false"
    ))?;
    let seconds = clip.frames.len() as u64 / fps + 1;
    let music = pipeline.by_name("music").ok_or("no music")?;
    music.set_property("num-buffers", i32::try_from(seconds * 100)?);
    let source = pipeline.by_name("in").ok_or("no source")?;
    let source = source
        .downcast::<gst_app::AppSrc>()
        .map_err(|_| "no appsrc")?;
    source.set_caps(Some(&clip.caps));
    source.set_property("max-bytes", 0u64);
    let time = |n: usize| gst::ClockTime::SECOND.mul_div_round(n as u64, fps);
    pipeline.set_state(gst::State::Playing)?;
    for (n, frame) in clip.frames.iter().enumerate().step_by(2) {
        let mut frame = frame.copy();
        let buffer = frame.make_mut();
        buffer.set_pts(time(n));
        buffer.set_duration(time(1));
        source.push_buffer(frame)?;
    }
    source.end_of_stream()?;
    let (_, made) = collect(&pipeline)?;
    let [width, height] = clip.size;
    let luma = |buffer: &gst::Buffer| -> Result<Vec<u8>, Failure> {
        let map = buffer.map_readable()?;
        // Rows are padded to four bytes.
        let stride = width.next_multiple_of(4);
        let rows = map.chunks(stride).take(height);
        Ok(rows.flat_map(|row| row[..width].to_vec()).collect())
    };
    let mut errors = [0.0f64; 2];
    let mut counts = [0.0f64; 2];
    for made in &made {
        let pts = made.pts().ok_or("a picture without time")?;
        let n = ((pts.nseconds() * fps) as f64 * 1e-9).round() as usize;
        if n.is_multiple_of(2) || n + 1 >= clip.frames.len() {
            continue;
        }
        let [truth, made, earlier, later] = [
            luma(&clip.frames[n])?,
            luma(made)?,
            luma(&clip.frames[n - 1])?,
            luma(&clip.frames[n + 1])?,
        ];
        let changes: Vec<bool> = earlier
            .iter()
            .zip(&later)
            .map(|(a, b)| a.abs_diff(*b) > MOVES)
            .collect();
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                let error = f64::from(truth[at].abs_diff(made[at])).powi(2);
                let rows = y.saturating_sub(NEAR)..(y + NEAR + 1).min(height);
                let columns = x.saturating_sub(NEAR)..(x + NEAR + 1).min(width);
                let moves = rows.into_iter().any(|y| {
                    changes[y * width + columns.start..y * width + columns.end].contains(&true)
                });
                errors[0] += error;
                counts[0] += 1.0;
                if moves {
                    errors[1] += error;
                    counts[1] += 1.0;
                }
            }
        }
    }
    if counts[1] == 0.0 {
        return Err("nothing moves, or nothing came out".into());
    }
    Ok([0, 1].map(|k| 10.0 * (255.0f64.powi(2) * counts[k] / errors[k].max(1e-9)).log10()))
}
