// SPDX-License-Identifier: MPL-2.0
//! Sound and pictures out of any file, through GStreamer's tools.
//!
//! `gst-launch-1.0` and `gst-discoverer-1.0` are run as programs: what trains on synthetic clips
//! needs no GStreamer, neither to build nor to run, and what reads recordings has every codec that
//! the system has. A crate of codecs would know fewer, the bindings would link GStreamer for all.

use crate::Error;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a file has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct About {
    /// Its length in seconds.
    pub seconds: f64,
    /// Whether there is sound.
    pub audio: bool,
    /// Whether there are pictures that move.
    pub video: bool,
}

/// A path within a description of a pipeline.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path
        .to_str()
        .ok_or_else(|| Error::broken(path, "its name is not UTF-8"))?;
    Ok(format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

fn started(command: &mut Command, path: &Path) -> Result<Child, Error> {
    command.stdin(Stdio::null());
    command.spawn().map_err(|e| {
        let program = command.get_program().to_string_lossy().into_owned();
        match e.kind() {
            ErrorKind::NotFound => Error::broken(path, format!("{program} is not installed (Debian: gstreamer1.0-tools, gstreamer1.0-plugins-base-apps), which decodes it")),
            _ => Error::broken(path, format!("{program}: {e}")),
        }
    })
}

fn check(path: &Path) -> Result<(), Error> {
    if path.is_file() {
        return Ok(());
    }
    Err(Error::Missing {
        what: "recording",
        path: path.to_owned(),
    })
}

/// What a file has in it.
///
/// # Errors
/// When it is missing or nothing that GStreamer knows.
pub fn about(path: &Path) -> Result<About, Error> {
    check(path)?;
    let mut command = Command::new("gst-discoverer-1.0");
    // Its texts are translated, what is read here is not.
    command
        .env("LC_ALL", "C")
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = started(&mut command, path)?
        .wait_with_output()
        .map_err(|e| Error::broken(path, e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let duration = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("Duration:"));
    let seconds = duration.and_then(|d| {
        let parts: Option<Vec<f64>> = d.trim().split(':').map(|p| p.parse().ok()).collect();
        parts.map(|p| p.iter().fold(0.0, |sum, x| 60.0 * sum + x))
    });
    let Some(seconds) = seconds else {
        let messages = text
            .lines()
            .chain(std::str::from_utf8(&output.stderr).unwrap_or("").lines());
        let mut messages = messages
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with("Analyzing") && !l.starts_with("Done"));
        return Err(Error::broken(
            path,
            messages.next().unwrap_or("GStreamer finds nothing in it"),
        ));
    };
    let has = |kind: &str| {
        text.lines().any(|l| {
            let l = l.trim_start();
            l.starts_with(&format!("{kind}:")) || l.starts_with(&format!("{kind} #"))
        })
    };
    Ok(About {
        seconds,
        audio: has("audio"),
        video: has("video"),
    })
}

/// Runs a pipeline that writes to its standard output, and reads of that from byte `skip` on at
/// most `most` bytes.
fn piped(path: &Path, description: &str, skip: u64, most: u64) -> Result<Vec<u8>, Error> {
    let mut command = Command::new("gst-launch-1.0");
    command
        .arg("-q")
        .args(["filesrc", &format!("location={}", quoted(path)?), "!"]);
    command.args(description.split_ascii_whitespace());
    command
        .args(["!", "fdsink", "fd=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = started(&mut command, path)?;
    let (Some(mut out), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::broken(path, "no pipe to gst-launch-1.0"));
    };
    // Errors are read beside, so that neither pipe fills up.
    let messages = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read of it is all there is to report.
        let _ = errors.by_ref().take(65_536).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let read = |out: &mut dyn Read| -> std::io::Result<Vec<u8>> {
        std::io::copy(&mut out.take(skip), &mut std::io::sink())?;
        let mut bytes = Vec::new();
        out.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(&mut out);
    let enough = matches!(&bytes, Ok(b) if b.len() as u64 == most);
    drop(out);
    if enough {
        // The rest is not wanted; that it is already over is as good.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| Error::broken(path, e))?;
    let messages = messages.join().unwrap_or_default();
    let bytes = bytes.map_err(|e| Error::broken(path, e))?;
    if !enough && (!status.success() || messages.contains("ERROR")) {
        let line = messages
            .lines()
            .find(|l| l.contains("ERROR"))
            .unwrap_or("gst-launch-1.0 failed");
        return Err(Error::broken(path, line.trim()));
    }
    Ok(bytes)
}

/// Mono samples from `start` seconds on, `seconds` of them at most.
///
/// # Errors
/// When there is no sound in it, or it cannot be decoded.
pub fn audio(path: &Path, rate: u32, start: f64, seconds: f64) -> Result<Vec<f32>, Error> {
    if !about(path)?.audio {
        return Err(Error::broken(path, "no audio in it"));
    }
    let description = format!(
        "! decodebin ! audioconvert ! audioresample ! audio/x-raw,format=F32LE,rate={rate},channels=1"
    );
    let at = |s: f64| 4 * (s.max(0.0) * f64::from(rate)).round() as u64;
    let bytes = piped(
        path,
        description.trim_start_matches("! "),
        at(start),
        at(seconds),
    )?;
    let sample = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let samples: Vec<f32> = bytes.chunks_exact(4).map(sample).collect();
    if samples.is_empty() {
        return Err(Error::broken(path, "its audio is empty"));
    }
    Ok(samples)
}

/// Frames from `start` seconds on, `count` of them at most, `fps` a second, `side` pixels square,
/// the picture whole within black borders: red, green and blue.
///
/// # Errors
/// When there is no video in it, or it cannot be decoded.
pub fn video(
    path: &Path,
    side: usize,
    fps: u32,
    start: f64,
    count: usize,
) -> Result<Vec<u8>, Error> {
    if !about(path)?.video {
        return Err(Error::broken(path, "no video in it"));
    }
    // Rows of GStreamer's RGB are padded to four bytes: sides that are multiples of 4 have none.
    if !side.is_multiple_of(4) {
        return Err(Error::Config(format!(
            "side = {side}: a multiple of 4 is needed"
        )));
    }
    let description = format!(
        "decodebin ! videoconvert ! videoscale add-borders=true ! videorate ! \
         video/x-raw,format=RGB,width={side},height={side},framerate={fps}/1,pixel-aspect-ratio=1/1"
    );
    let frame = (3 * side * side) as u64;
    let first = (start.max(0.0) * f64::from(fps)).round() as u64;
    let mut bytes = piped(path, &description, first * frame, count as u64 * frame)?;
    bytes.truncate(bytes.len() / frame as usize * frame as usize);
    if bytes.is_empty() {
        return Err(Error::broken(path, "its video is empty"));
    }
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn quote(path: &Path) -> String {
        let quoted = quoted(path).unwrap();
        assert!(!quoted.contains(' '), "{quoted}");
        quoted
    }

    #[test]
    fn names_are_quoted() {
        let path = Path::new("/a\\b \"c\".mp4");
        assert_eq!(quoted(path).unwrap(), "\"/a\\\\b \\\"c\\\".mp4\"");
        let error = audio(Path::new("/nowhere.wav"), 16_000, 0.0, 1.0).unwrap_err();
        assert!(error.to_string().contains("/nowhere.wav"));
    }
}
