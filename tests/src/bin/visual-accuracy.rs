// SPDX-License-Identifier: MPL-2.0
//! Scores the visual beats on clips of the dance corpus, whose flow and beats are exact, and prints the tables.
//!
//! ```text
//! dance-train corpus write … --out FOLDER
//! cargo run --release -p dance-tests --bin visual-accuracy -- [--quarter] [--noise PX] [--outliers SHARE]
//!     [--threshold X] [--clips] FOLDER…
//! ```
//!
//! A folder is a clip or holds clips. Of a clip it reads `clip.json` and the tensor `forward` (T−1×2×H×W, float32,
//! pixels) of `truth.safetensors`, which may be any network's flow, too, at any resolution. `--quarter` takes the mean
//! of four by four vectors, `--noise` adds normal errors of that deviation to each component, and `--outliers` errors
//! of 5 pixels to a share of the vectors. Beats are matched one to one within ± 100 ms; the null is the mean over
//! circular shifts of what was found, and must be beaten.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dance_rhythm::metrics::alignment::{NARROW, WIDE, shift_null};
use dance_rhythm::metrics::{f_measure, matches};
use dance_rhythm::motion::Flow;
use dance_rhythm::motion::hoof::{DEFAULT_BINS, Hoof};
use dance_rhythm::motion::kinetics::Kinetics;
use dance_rhythm::visual::{Config, Detector, Frame, FrameMotion};
use dance_tests::synth::rng::Rng;

const USAGE: &str = "usage: visual-accuracy [--quarter] [--noise PX] [--outliers SHARE] [--threshold X] [--clips] FOLDER...";
/// Length of a vector's error that is an outlier, in pixels.
const OUTLIER: f32 = 5.0;

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Options {
    quarter: bool,
    noise: f32,
    outliers: f64,
    threshold: f64,
    clips: bool,
    folders: Vec<PathBuf>,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        threshold: 1.0,
        ..Options::default()
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--quarter" => options.quarter = true,
            "--noise" => options.noise = value()?.parse()?,
            "--outliers" => options.outliers = value()?.parse()?,
            "--threshold" => options.threshold = value()?.parse()?,
            "--clips" => options.clips = true,
            _ if arg.starts_with("--") => {
                return Err(format!("unknown argument {arg}\n{USAGE}").into());
            }
            _ => options.folders.push(arg.into()),
        }
    }
    if options.folders.is_empty() {
        return Err(USAGE.into());
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| report(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The motion of a frame.
struct Motion {
    time: f64,
    histogram: Vec<f64>,
    kinetics: Kinetics,
}

struct Clip {
    name: String,
    fps: f64,
    length: f64,
    /// In seconds.
    beats: Vec<f64>,
    motions: Vec<Motion>,
}

/// The clips in a folder, or the one that it is.
fn clips(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if folder.join("clip.json").is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let named = |err| format!("{}: {err}", folder.display());
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(named)?.collect();
    let mut found: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    found.retain(|path| path.join("clip.json").is_file());
    found.sort();
    if found.is_empty() {
        return Err(format!("{}: no clip in it", folder.display()).into());
    }
    Ok(found)
}

fn read(path: &Path, options: &Options) -> Result<Clip, Failure> {
    let info: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("clip.json"))?)?;
    let number = |name: &str| info[name].as_f64().ok_or(format!("no {name} in clip.json"));
    let fps = number("fps")?;
    let beats = info["visual_beats"].as_array();
    let beats = beats.ok_or("no visual_beats in clip.json")?;
    let beats: Vec<f64> = beats.iter().filter_map(serde_json::Value::as_f64).collect();
    let bytes = std::fs::read(path.join("truth.safetensors"))?;
    let tensors = safetensors::SafeTensors::deserialize(&bytes)?;
    let forward = tensors.tensor("forward")?;
    let [pairs, 2, height, width] = *forward.shape() else {
        return Err(format!("forward has the shape {:?}", forward.shape()).into());
    };
    let mut rng = Rng::new(info["index"].as_u64().unwrap_or(0) + 1);
    let hoof = Hoof::new(DEFAULT_BINS).ok_or("no bins")?;
    let mut motions = Vec::with_capacity(pairs);
    for (n, frame) in forward.data().chunks_exact(8 * height * width).enumerate() {
        let values: Vec<f32> = (frame.as_chunks().0.iter())
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let (mut x, mut y) = (
            values[..height * width].to_vec(),
            values[height * width..].to_vec(),
        );
        let (mut rows, mut columns) = (height, width);
        if options.quarter {
            x = quarter(&x, width);
            y = quarter(&y, width);
            (rows, columns) = (height / 4, width / 4);
        }
        for vector in x.iter_mut().zip(y.iter_mut()) {
            disturb(vector, options, &mut rng);
        }
        let flow = Flow::new(columns, rows, &x, &y).ok_or("flow of another size")?;
        motions.push(Motion {
            time: (n + 1) as f64 / fps,
            histogram: hoof.histogram(&flow),
            kinetics: Kinetics::new(&flow),
        });
    }
    Ok(Clip {
        name: format!(
            "{} {}",
            path.display(),
            info["genre"].as_str().unwrap_or("")
        ),
        fps,
        length: (pairs + 1) as f64 / fps,
        beats,
        motions,
    })
}

/// The means of four by four values of rows of `width`.
fn quarter(values: &[f32], width: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks_exact(width).collect();
    let cell = |rows: &[&[f32]], at: usize| -> f32 {
        rows.iter()
            .flat_map(|row| &row[4 * at..4 * at + 4])
            .sum::<f32>()
            / 16.0
    };
    let bands = rows.chunks_exact(4);
    bands
        .flat_map(|rows| (0..width / 4).map(|at| cell(rows, at)))
        .collect()
}

fn disturb((x, y): (&mut f32, &mut f32), options: &Options, rng: &mut Rng) {
    let outlier = if rng.chance(options.outliers) {
        OUTLIER
    } else {
        0.0
    };
    let deviation = options.noise + outlier;
    if deviation > 0.0 {
        *x += deviation * rng.normal() as f32;
        *y += deviation * rng.normal() as f32;
    }
}

/// A beat that was found, and the time of the frame by which it was.
struct Found {
    time: f64,
    reported: f64,
    confidence: f64,
    strength: f64,
    bpm: Option<f64>,
}

fn detect(clip: &Clip, options: &Options, offline: bool) -> Result<Vec<Found>, Failure> {
    let mut detector = Detector::new(Config {
        threshold: options.threshold,
        offline,
        ..Config::default()
    })?;
    let mut found = Vec::new();
    let mut note = |beat: dance_rhythm::visual::Beat, reported| {
        found.push(Found {
            time: beat.time,
            reported,
            confidence: beat.confidence,
            strength: beat.strength,
            bpm: beat.tempo.map(|tempo| tempo.bpm),
        });
    };
    detector.push(
        Frame {
            time: 0.0,
            motion: FrameMotion::Unknown,
        },
        &mut |beat| note(beat, 0.0),
    );
    for motion in &clip.motions {
        let frame = Frame {
            time: motion.time,
            motion: FrameMotion::Measured {
                interval: 1.0 / clip.fps,
                histogram: &motion.histogram,
                moving: motion.kinetics.moving,
                foreground: motion.kinetics.foreground,
            },
        };
        detector.push(frame, &mut |beat| note(beat, motion.time));
    }
    detector.finish(&mut |beat| note(beat, clip.length));
    Ok(found)
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = (values.len().saturating_sub(1) as f64 * share) as usize;
    values.get(n).copied().unwrap_or(f64::NAN)
}

fn report(options: &Options) -> Result<(), Failure> {
    let mut set = Vec::new();
    for folder in &options.folders {
        for path in clips(folder)? {
            let named = |err| format!("{}: {err}", path.display());
            set.push(read(&path, options).map_err(named)?);
        }
    }
    let beats: usize = set.iter().map(|clip| clip.beats.len()).sum();
    println!(
        "{} clips, {beats} visual beats; F is the mean over clips\n",
        set.len()
    );
    println!(
        "mode     F ±100  null   F ±50  precision recall  error, ms: median  5 %   95 %   \
         known after, ms: median  worst  tempo ±4 %  or octave"
    );
    score(&set, options, true)?;
    score(&set, options, false)
}

fn score(set: &[Clip], options: &Options, offline: bool) -> Result<(), Failure> {
    let [mut wide, mut null, mut narrow] = [0.0; 3];
    let (mut hits, mut reports) = (0, 0);
    let (mut errors, mut delays) = (Vec::new(), Vec::new());
    let [mut tempos, mut right, mut octave] = [0.0; 3];
    let mut curve = [(0usize, 0.0, 0usize, 0.0); 10];
    for clip in set {
        let found = detect(clip, options, offline)?;
        let times: Vec<f64> = found.iter().map(|found| found.time).collect();
        let f = |times: &[f64], window| match (clip.beats.len(), times.len()) {
            // Nothing found where nothing is, is right.
            (0, 0) => 1.0,
            _ => f_measure(&clip.beats, times, window).f,
        };
        let (this, chance) = (
            f(&times, WIDE),
            shift_null(&times, [0.0, clip.length], |times| Some(f(times, WIDE))).unwrap_or(0.0),
        );
        wide += this / set.len() as f64;
        null += chance / set.len() as f64;
        narrow += f(&times, NARROW) / set.len() as f64;
        let pairs = matches(&clip.beats, &times, WIDE);
        hits += pairs.len();
        reports += times.len();
        for &(r, e) in &pairs {
            errors.push((times[e] - clip.beats[r]) * 1e3);
            delays.push((found[e].reported - times[e]) * 1e3);
        }
        let mut gaps: Vec<f64> = clip
            .beats
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        let truth = 60.0 / quantile(&mut gaps, 0.5);
        for (e, found) in found.iter().enumerate() {
            let bin = &mut curve[((found.confidence * 10.0) as usize).min(9)];
            bin.0 += 1;
            bin.1 += found.confidence;
            bin.2 += usize::from(pairs.iter().any(|&(_, k)| k == e));
            bin.3 += found.strength;
            if let Some(bpm) = found.bpm.filter(|_| truth.is_finite()) {
                let near = |of: f64| f64::from((bpm / (truth * of) - 1.0).abs() <= 0.04);
                tempos += 1.0;
                right += near(1.0);
                octave += near(1.0).max(near(2.0)).max(near(0.5));
            }
        }
        if options.clips {
            println!(
                "  {:40} {:3} beats {:3} found {:3} true  F {this:.2} null {chance:.2}",
                clip.name,
                clip.beats.len(),
                times.len(),
                pairs.len()
            );
        }
    }
    let truths: usize = set.iter().map(|clip| clip.beats.len()).sum();
    println!(
        "{:8} {wide:.3}   {null:.3}  {narrow:.3}  {:.3}     {:.3}   {:+17.0} {:+5.0} {:+6.0}   {:23.0} {:6.0}  {:10.2} {:9.2}",
        if offline { "offline" } else { "causal" },
        hits as f64 / f64::max(reports as f64, 1.0),
        hits as f64 / f64::max(truths as f64, 1.0),
        quantile(&mut errors, 0.5),
        quantile(&mut errors, 0.05),
        quantile(&mut errors, 0.95),
        quantile(&mut delays, 0.5),
        quantile(&mut delays, 1.0),
        right / tempos,
        octave / tempos,
    );
    for (count, sum, hits, strength) in curve.into_iter().filter(|bin| bin.0 > 0) {
        println!(
            "           confidence {:.2}: {count:5} beats of strength {:.2}, {:.2} of them true",
            sum / count as f64,
            strength / count as f64,
            hits as f64 / count as f64
        );
    }
    Ok(())
}
