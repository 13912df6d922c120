// SPDX-License-Identifier: MPL-2.0
//! Tells how the beats of a dance lie on those of a song, before and after `dtwretarget`.
//!
//! ```sh
//! cargo run --release --package dance-examples --bin retarget-metrics -- SONG BEFORE AFTER [PATH SECONDS]
//! ```
//!
//! `SONG`, `BEFORE` and `AFTER` are marks as `marksink` writes them (JSON lines): the beats heard in the song, and those
//! seen in the original video and in the retimed one. `PATH` is what `path-location` of `dtwretarget` got, `SECONDS` the
//! length of the original video. Prints one JSON object. `before` and `after` tell how many of the song's beats have one
//! of the dance within 50 and 100 ms (`of-song`), and how many of the dance's have one of the song (`of-dance`: a dance
//! that moves on every other beat can have all of these and half of those): `hits`, from 0 to 1, what chance gives
//! (`null`, the mean over circular shifts), the distance to the nearest in seconds (`mean`, `p95`); and by how many
//! seconds the dance is late (`offset`). With `PATH`, `retiming` has the speeds, freezes and frames.
//! `pipelines/retarget-metrics.sh` sees and hears the beats first.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use dance_rhythm::metrics::alignment::Alignment;
use dance_rhythm::metrics::retarget::{Retiming, retiming};
use serde::Deserialize;
use serde_json::{Value, json};

const USAGE: &str = "usage: retarget-metrics SONG BEFORE AFTER [PATH SECONDS]";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(report) => {
            println!("{report:#}");
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!("retarget-metrics: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<Value, Box<dyn Error>> {
    let (paths, length) = match arguments.as_slice() {
        [paths @ .., path, seconds] if paths.len() == 3 => (paths, Some((path, seconds))),
        paths if paths.len() == 3 => (paths, None),
        _ => return Err(USAGE.into()),
    };
    let [song, before, after] = [0, 1, 2].map(|n| Path::new(&paths[n]));
    let song = beats(song, &["beat", "downbeat"])?;
    let [before, after] = [
        beats(before, &["visual-beat"])?,
        beats(after, &["visual-beat"])?,
    ];
    let mut report = json!({
        "before": alignment(&song, &before),
        "after": alignment(&song, &after),
    });
    if let Some((path, seconds)) = length {
        let seconds: Option<f64> = seconds.to_str().and_then(|text| text.parse().ok());
        let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        let seconds = seconds.ok_or("SECONDS is not a length")?;
        report["retiming"] = path_figures(Path::new(path), seconds)?;
    }
    Ok(report)
}

/// A mark, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mark {
    kind: String,
    timestamp: u64,
    stream_time: Option<u64>,
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    std::fs::read_to_string(path).map_err(|err| format!("{}: {err}", path.display()).into())
}

/// The instants in seconds of the marks of `kinds`, ascending.
fn beats(path: &Path, kinds: &[&str]) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::new();
    for (n, line) in read(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let mark: Mark = serde_json::from_str(line)
            .map_err(|err| format!("{}, line {}: {err}", path.display(), n + 1))?;
        if kinds.contains(&mark.kind.as_str()) {
            times.push(mark.stream_time.unwrap_or(mark.timestamp) as f64 * 1e-9);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// How both lie on each other while both go on; null without beats in common time.
fn alignment(song: &[f64], dance: &[f64]) -> Value {
    let ends = |times: &[f64]| Some([*times.first()?, *times.last()?]);
    let (Some(song_ends), Some(dance_ends)) = (ends(song), ends(dance)) else {
        return Value::Null;
    };
    // Where only one of them goes on there is nothing to meet.
    let margin = 0.5;
    let span = [
        song_ends[0].max(dance_ends[0]) - margin,
        song_ends[1].min(dance_ends[1]) + margin,
    ];
    let (Some(of_song), Some(of_dance)) = (
        Alignment::new(song, dance, span),
        Alignment::new(dance, song, span),
    ) else {
        return Value::Null;
    };
    let direction = |found: &Alignment| {
        json!({
            "beats": found.music,
            "hits-50-ms": found.hits[0],
            "null-50-ms": found.null[0],
            "hits-100-ms": found.hits[1],
            "null-100-ms": found.null[1],
            "mean": found.distance.mean,
            "p95": found.distance.p95,
        })
    };
    json!({
        "of-song": direction(&of_song),
        "of-dance": direction(&of_dance),
        "offset": of_song.offset,
    })
}

/// A path of `dtwretarget`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Course {
    path: Vec<[f64; 2]>,
    /// Of how many pictures there is one.
    every: usize,
    /// Pictures that show the frame of the one before again, and frames that none shows.
    repeated: u64,
    dropped: u64,
    /// Seconds.
    longest_freeze: f64,
}

fn path_figures(path: &Path, length: f64) -> Result<Value, Box<dyn Error>> {
    let course: Course =
        serde_json::from_str(&read(path)?).map_err(|err| format!("{}: {err}", path.display()))?;
    let mut gaps: Vec<f64> = (course.path.windows(2))
        .map(|w| w[1][0] - w[0][0])
        .collect();
    gaps.sort_by(f64::total_cmp);
    let every = course.every.max(1);
    let Some(&gap) = gaps.get(gaps.len() / 2).filter(|gap| **gap > 0.0) else {
        return Err(format!("{}: no path", path.display()).into());
    };
    let tick = gap / every as f64;
    // Those between two points lie on a line.
    let mut shown: Vec<f64> = Vec::with_capacity(course.path.len() * every);
    for (n, point) in course.path.iter().enumerate() {
        shown.push(point[1]);
        if let Some(next) = course.path.get(n + 1) {
            let share = |k: usize| k as f64 / every as f64;
            shown.extend((1..every).map(|k| point[1] + share(k) * (next[1] - point[1])));
        }
    }
    // The video comes out at the frame rate at which it went in.
    let frames: Vec<f64> = (0..(length / tick).round() as u64)
        .map(|n| n as f64 * tick)
        .collect();
    let Retiming {
        speed_p50,
        speed_p95,
        speed_max,
        outside,
        retention,
        coverage,
        ..
    } = retiming(&shown, tick, &frames);
    // What is shown between two frames shows both, which only the element knows.
    Ok(json!({
        "pictures": shown.len(),
        "speed-p50": speed_p50,
        "speed-p95": speed_p95,
        "speed-max": speed_max,
        "outside-half-to-double": outside,
        "longest-freeze": course.longest_freeze,
        "repeated": course.repeated,
        "dropped": course.dropped,
        "retention": retention,
        "coverage": coverage,
    }))
}
