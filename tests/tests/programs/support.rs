// SPDX-License-Identifier: MPL-2.0
//! The built plugin, music to hear, and runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use gst::prelude::*;

/// Where the repository lies.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder in which cargo puts what it builds with the profile of this test.
pub fn built() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().to_owned();
        let profile = match folder.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        // cargo builds the plugin and the examples for no test of another crate.
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--locked", "--quiet", "--profile", profile])
            .args(["-p", "gst-plugin-dance", "-p", "dance-examples"])
            .env("CARGO_TARGET_DIR", folder.parent().unwrap())
            .current_dir(root())
            .status()
            .unwrap();
        assert!(status.success(), "could not build the plugin");
        folder
    });
    &BUILT
}

/// A folder that holds the plugin and nothing else.
pub fn plugin_dir() -> &'static Path {
    static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(dir) = std::env::var_os("GSTDANCE_PLUGIN_DIR") {
            return dir.into();
        }
        let dir = built().join("gstreamer-1.0");
        std::fs::create_dir_all(&dir).unwrap();
        let link = dir.join("libgstdance.so");
        // Another test may be making it too: whoever comes last wins, with the same link.
        let new = dir.join(format!(".{}", std::process::id()));
        std::os::unix::fs::symlink(built().join("libgstdance.so"), &new).unwrap();
        std::fs::rename(&new, &link).unwrap();
        dir
    });
    &DIR
}

/// A program that sees the plugin, stopped after `seconds`.
pub fn command(seconds: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &seconds.to_string()])
        .arg(program)
        .env("GSTDANCE_PLUGIN_DIR", plugin_dir())
        .env("GSTDANCE_PROGRAM_DIR", built())
        .env("GST_PLUGIN_PATH", plugin_dir())
        .env("TEST", "1")
        .env_remove("DISPLAY")
        .stdin(Stdio::null());
    command
}

/// One of the scripts in `pipelines/`.
pub fn script(name: &str) -> Command {
    command(120, root().join("pipelines").join(name))
}

/// Runs to the end, which has to be a good one; the output is shown where it is not.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// Runs to the end, which has to be an error in time, and gives what was said.
#[track_caller]
pub fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = texts(&output);
    let code = output.status.code();
    assert!(
        code.is_some_and(|code| code != 0 && code != 124 && code != 137),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stderr
}

fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into(),
        String::from_utf8_lossy(&output.stderr).into(),
    )
}

/// Samples a second of what is heard.
const RATE: u32 = 44_100;

/// Instants of the clicks of [`click_track`], in seconds: 120 a minute, none at the very edges.
pub fn clicks(seconds: u32) -> Vec<f64> {
    (0..seconds * 2)
        .map(|n| f64::from(n) / 2.0 + 0.25)
        .collect()
}

/// Writes the metronome as a WAV file: sudden bursts that die away, every fourth twice as loud.
pub fn click_wav(path: &Path, seconds: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut samples = vec![0i16; (seconds * RATE) as usize];
    for (n, instant) in clicks(seconds).into_iter().enumerate() {
        let level = if n % 4 == 0 { 8000.0 } else { 4000.0 };
        let start = (instant * f64::from(RATE)).round() as usize;
        for (n, sample) in samples[start..]
            .iter_mut()
            .take(RATE as usize / 16)
            .enumerate()
        {
            let t = n as f64 / f64::from(RATE);
            let tone = [180.0, 720.0, 1930.0, 3100.0]
                .iter()
                .map(|f| (std::f64::consts::TAU * f * t).cos())
                .sum::<f64>();
            *sample = (level * tone * (-t / 0.012).exp()) as i16;
        }
    }
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        wav.write_sample(sample).unwrap();
    }
    wav.finalize().unwrap();
}

/// Writes the metronome through the rest of a pipeline, whose element `file` writes.
fn encode(rest: &str, path: &Path, seconds: u32) {
    let dir = tempfile::tempdir().unwrap();
    let wav = dir.path().join("clicks.wav");
    click_wav(&wav, seconds);
    launch(
        &format!(
            "filesrc location={} ! wavparse ! audioconvert ! {rest}",
            wav.display()
        ),
        path,
    );
}

/// Writes the metronome as a FLAC file.
pub fn click_track(path: &Path, seconds: u32) {
    encode("flacenc ! filesink name=file", path, seconds);
}

/// Writes the metronome as an Ogg Vorbis file.
pub fn click_song(path: &Path, seconds: u32) {
    encode("vorbisenc ! oggmux ! filesink name=file", path, seconds);
}

/// Writes the metronome with a plain grey picture of 25 frames a second.
pub fn click_movie(path: &Path, seconds: u32) {
    encode(
        &format!(
            "flacenc ! queue max-size-time=0 max-size-buffers=0 ! mux. \
             videotestsrc pattern=solid-color foreground-color=0xff404040 num-buffers={} \
             ! video/x-raw,width=640,height=360,framerate=25/1 \
             ! x264enc speed-preset=ultrafast ! h264parse ! queue max-size-time=0 ! mux. \
             matroskamux name=mux ! filesink name=file",
            seconds * 25
        ),
        path,
        seconds,
    );
}

/// Side of the pictures of [`step_movie`].
const SIDE: i32 = 256;

/// Writes a silent video of 25 frames a second in which a patch steps to and fro before a wall: it comes to rest every
/// `period` seconds, from `first` on.
pub fn step_movie(path: &Path, seconds: u32, first: f64, period: f64) {
    // Any picture with detail at all scales will do; what moves has another.
    let grain = |x: i32, y: i32, seed: i32| {
        let at = |step: i32| {
            let n = (x.div_euclid(step) * 7919 + y.div_euclid(step) * 104_729 + seed * 31) as u32;
            let n = (n ^ (n >> 13)).wrapping_mul(0x5bd1_e995);
            (n >> 24) / 4
        };
        (at(2) + at(5) + at(11) + 30) as u8
    };
    let mut frames = Vec::new();
    for n in 0..seconds * 25 {
        let steps = (f64::from(n) / 25.0 - first) / period;
        // Half of each step is rest, the other half a smooth way to the other side.
        let gone = ((steps - steps.floor() - 0.5) * 2.0).clamp(0.0, 1.0);
        let gone = 0.5 - 0.5 * (std::f64::consts::PI * gone).cos();
        let side = (steps.floor() as i64).rem_euclid(2) as f64;
        let left = 70 + (80.0 * (side + (1.0 - 2.0 * side) * gone)).round() as i32;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let inside = (left..left + 50).contains(&x) && (60..200).contains(&y);
                frames.push(if inside {
                    grain(x - left, y, 5)
                } else {
                    grain(x, y, 3) / 2
                });
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    std::fs::write(&raw, frames).unwrap();
    launch(
        &format!(
            "filesrc location={} blocksize={} \
             ! rawvideoparse format=gray8 width={SIDE} height={SIDE} framerate=25/1 ! videoconvert \
             ! x264enc speed-preset=ultrafast ! h264parse ! matroskamux ! filesink name=file",
            raw.display(),
            SIDE * SIDE
        ),
        path,
    );
}

/// Runs a pipeline whose element `file` writes to the path.
pub fn launch(description: &str, path: &Path) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(description)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    pipeline
        .by_name("file")
        .unwrap()
        .set_property("location", path);
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("the pipeline ends");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

/// What [`missed`] says when all is well.
pub const NONE: [f64; 0] = [];

/// Says which of the instants have nothing heard within the tolerance, all in seconds.
pub fn missed(instants: &[f64], heard: &[f64], tolerance: f64) -> Vec<f64> {
    instants
        .iter()
        .copied()
        .filter(|t| !heard.iter().any(|h| (h - t).abs() <= tolerance))
        .collect()
}
