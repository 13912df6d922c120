// SPDX-License-Identifier: MPL-2.0
//! Scores the beat trackers and prints the tables.
//!
//! ```text
//! cargo run --release -p dance-tests --bin beat-accuracy -- \
//!     [--synth] [--seed N] [--bar N] [--clips] [--calibration FILE.csv] [--model FILE] [FOLDER…]
//! ```
//!
//! * `FOLDER` holds pairs of `X.wav` and `X.beats` (a line a beat: seconds, and if known its number
//!   in the bar, 1 for the downbeat); `tests/music.sh` makes two. `--bar 4`: where the numbers are
//!   missing, every 4th beat from the first is a downbeat.
//! * `--synth`: the synthetic clips that have beats, of seed 1 or `--seed`, as one more set.
//! * `--clips`: a line for each clip.
//! * `--model`: hears through this network (ONNX Runtime from `ORT_DYLIB_PATH`), not SuperFlux.
//! * `--calibration`: the share of right beats by confidence as CSV.
//!
//! **F, CMLt, AMLt** are mir_eval's (± 70 ms; beats before 5 s do not count), **down** is the F of
//! the downbeats alone, **err** the median of signed errors of matched beats in ms. Every second
//! clip of a set, in the order of names, belongs to the half that the model was tuned on (A), the
//! others to the half it was not (B).
//!
//! **Lock** is the time from the first sound of a drum pattern of steady tempo to the instant of the
//! first beat told from which on four seconds are right: each true beat has been told within ± 70 ms
//! and nothing else has. **Relock** is the same from a jump of the tempo from 90 to 135 BPM.
//! **Silence** counts all beats told before the first or from the end of the last bar of a pattern
//! between two times five seconds of silence, **noise** all told in 20 s of white noise.
//!
//! **Delay** is from a beat's instant to the moment it is told, live, with audio in pieces of 10 ms.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dance_rhythm::beat::{self, Beat, OfflineTracker, Tracker};
use dance_rhythm::metrics::{BEAT_WINDOW, FIRST_BEAT, continuity, f_measure, matches, trim};
use dance_rhythm::onset::{self, Detector, Method};
use dance_tests::network::Runner;
use dance_tests::synth::clips;
use dance_tests::synth::instruments::{Drum, Kit};
use dance_tests::synth::rng::Rng;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beat-accuracy: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Options {
    folders: Vec<PathBuf>,
    synth: bool,
    seed: u64,
    bar: Option<usize>,
    clips: bool,
    calibration: Option<PathBuf>,
    model: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            seed: 1,
            ..Self::default()
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--synth" => options.synth = true,
                "--seed" => options.seed = value()?.parse()?,
                "--bar" => options.bar = Some(value()?.parse::<usize>()?.max(1)),
                "--clips" => options.clips = true,
                "--model" => options.model = Some(value()?.into()),
                "--calibration" => options.calibration = Some(value()?.into()),
                flag if flag.starts_with('-') => return Err(format!("unknown {flag}").into()),
                folder => options.folders.push(folder.into()),
            }
        }
        Ok(options)
    }
}

/// A clip and the truth about it.
struct Clip {
    name: String,
    rate: u32,
    samples: Vec<f32>,
    beats: Vec<f64>,
    downbeats: Vec<f64>,
}

/// What was told about a clip, and when (seconds of audio heard by then).
struct Told {
    online: Vec<(Beat, f64)>,
    offline: Vec<Beat>,
    /// Tempi in BPM, live.
    tempi: Vec<(f64, f64)>,
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut report = Report::default();
    for folder in &options.folders {
        let mut scores = Vec::new();
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(|e| format!("{}: {e}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "beats"))
            .collect();
        names.sort();
        for path in names {
            let clip = read(&path, options.bar)?;
            scores.push(report.score(&clip, options)?);
        }
        if scores.is_empty() {
            return Err(format!("{}: no X.wav and X.beats", folder.display()).into());
        }
        report.print(&folder.display().to_string(), &scores);
    }
    if options.synth {
        let mut scores = Vec::new();
        for clip in clips(options.seed).filter(|clip| clip.beats.len() > 1) {
            let clip = Clip {
                name: clip.name,
                rate: clip.rate,
                samples: clip.samples,
                beats: clip.beats,
                downbeats: clip.downbeats,
            };
            scores.push(report.score(&clip, options)?);
        }
        report.print(&format!("synthetic, seed {}", options.seed), &scores);
    }
    if !report.online.is_empty() {
        report.print_delays();
        report.print_tempi();
        report.print_calibration(options.calibration.as_deref())?;
    }
    locks(options.model.as_deref())
}

/// Reads `path` (`X.beats`) and the `X.wav` beside it.
fn read(path: &Path, bar: Option<usize>) -> Result<Clip, Failure> {
    let wav = path.with_extension("wav");
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", wav.display());
    let mut reader = hound::WavReader::open(&wav).map_err(|e| fail(&e))?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
            let scaled = reader.samples::<i32>().map(|x| Ok(x? as f32 * scale));
            scaled.collect::<Result<_, hound::Error>>()
        }
    }
    .map_err(|e| fail(&e))?;
    let channels = usize::from(spec.channels);
    let samples: Vec<f32> = samples
        .chunks(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();

    let end = samples.len() as f64 / f64::from(spec.sample_rate);
    let (mut beats, mut downbeats) = (Vec::new(), Vec::new());
    let text = std::fs::read_to_string(path)?;
    for (n, line) in text.lines().filter(|l| !l.trim().is_empty()).enumerate() {
        let mut columns = line.split_whitespace();
        let time: f64 = columns
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|e| format!("{}: line {}: {e}", path.display(), n + 1))?;
        if time >= end {
            break;
        }
        let is_down = match columns.next() {
            Some(number) => number.parse::<f64>().is_ok_and(|x| x == 1.0),
            None => bar.is_some_and(|bar| n % bar == 0),
        };
        beats.push(time);
        if is_down {
            downbeats.push(time);
        }
    }
    Ok(Clip {
        name: path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default(),
        rate: spec.sample_rate,
        samples,
        beats,
        downbeats,
    })
}

fn track(samples: &[f32], rate: u32, model: Option<&Path>) -> Result<Told, Failure> {
    let config = onset::Config {
        rate,
        method: Method::SuperFlux,
        threshold: 1.0,
        debias: true,
    };
    let mut detector = match model {
        None => Detector::new(&config)?,
        Some(model) => Detector::with_network(&config, Box::new(Runner::new(model)?))?,
    };
    let config = beat::Config::new(detector.frame_rate());
    let mut tracker = Tracker::new(&config)?;
    let mut offline = OfflineTracker::new(&config)?;
    let (mut online, mut tempi) = (Vec::new(), Vec::new());
    let piece = rate as usize / 100;
    for (n, part) in samples.chunks(piece).enumerate() {
        let heard = (n * piece + part.len()) as f64 / f64::from(rate);
        detector.push(part, &mut |event| {
            if let onset::Event::Frame(frame) = event {
                offline.push(&frame);
                tracker.push(&frame, &mut |event| match event {
                    beat::Event::Beat(beat) => online.push((beat, heard)),
                    beat::Event::Tempo(tempo) => tempi.push((tempo.bpm, heard)),
                });
            }
        });
        if let Some(failure) = detector.take_failure() {
            return Err(failure);
        }
    }
    Ok(Told {
        online,
        offline: offline.decode(),
        tempi,
    })
}

fn times(beats: &[Beat]) -> Vec<f64> {
    beats.iter().map(|beat| beat.time).collect()
}

#[derive(Clone, Copy, Default)]
struct Score {
    f: f64,
    cmlt: f64,
    amlt: f64,
    down: f64,
    /// Median signed error in seconds, NaN without a match.
    error: f64,
}

impl Score {
    fn of(clip: &Clip, told: &[Beat]) -> Self {
        let all = times(told);
        let downs: Vec<f64> = told
            .iter()
            .filter(|beat| beat.beat_in_bar == 1)
            .map(|beat| beat.time)
            .collect();
        let (reference, estimate) = (trim(&clip.beats, FIRST_BEAT), trim(&all, FIRST_BEAT));
        let levels = continuity(reference, estimate);
        let mut errors: Vec<f64> = matches(reference, estimate, BEAT_WINDOW)
            .into_iter()
            .map(|(r, e)| estimate[e] - reference[r])
            .collect();
        Self {
            f: f_measure(reference, estimate, BEAT_WINDOW).f,
            cmlt: levels.cmlt,
            amlt: levels.amlt,
            down: f_measure(
                trim(&clip.downbeats, FIRST_BEAT),
                trim(&downs, FIRST_BEAT),
                BEAT_WINDOW,
            )
            .f,
            error: quantile(&mut errors, 0.5),
        }
    }

    fn mean<'a>(scores: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        let (mut count, mut errors) = (0.0, 0.0);
        for score in scores {
            count += 1.0;
            sum.f += score.f;
            sum.cmlt += score.cmlt;
            sum.amlt += score.amlt;
            sum.down += score.down;
            if score.error.is_finite() {
                errors += 1.0;
                sum.error += score.error;
            }
        }
        Self {
            f: sum.f / count,
            cmlt: sum.cmlt / count,
            amlt: sum.amlt / count,
            down: sum.down / count,
            error: sum.error / errors,
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.3} {:.3} {:.3} {:.3} {:+6.1}",
            self.f,
            self.cmlt,
            self.amlt,
            self.down,
            1e3 * self.error
        )
    }
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = values.len().saturating_sub(1) as f64 * q;
    values
        .get(place.round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

#[derive(Default)]
struct Report {
    /// Confidence and whether it was right, of every beat told.
    online: Vec<(f64, bool)>,
    offline: Vec<(f64, bool)>,
    delays: Vec<f64>,
    /// Of each clip: seconds to the first tempo, and how right the tempi reported are.
    first_tempi: Vec<(f64, TempoLevel)>,
    tempi: Vec<TempoLevel>,
    headed: bool,
}

/// Whether a tempo is that of the beats around (± 5 %), twice or half of it, or none of these.
#[derive(Clone, Copy, PartialEq)]
enum TempoLevel {
    Right,
    Octave,
    Wrong,
}

impl TempoLevel {
    fn of(bpm: f64, time: f64, beats: &[f64]) -> Self {
        let next = beats
            .partition_point(|beat| *beat < time)
            .clamp(1, beats.len() - 1);
        let near = &beats[next.saturating_sub(3)..beats.len().min(next + 3)];
        let mut intervals: Vec<f64> = near.windows(2).map(|w| w[1] - w[0]).collect();
        let ratio = bpm * quantile(&mut intervals, 0.5) / 60.0;
        let near = |level: f64| (ratio / level - 1.0).abs() < 0.05;
        if near(1.0) {
            Self::Right
        } else if near(2.0) || near(0.5) {
            Self::Octave
        } else {
            Self::Wrong
        }
    }
}

impl Report {
    fn score(&mut self, clip: &Clip, options: &Options) -> Result<[Score; 2], Failure> {
        let told = track(&clip.samples, clip.rate, options.model.as_deref())?;
        let online: Vec<Beat> = told.online.iter().map(|&(beat, _)| beat).collect();
        for (beats, pairs) in [
            (&online, &mut self.online),
            (&told.offline, &mut self.offline),
        ] {
            let hits = matches(&clip.beats, &times(beats), BEAT_WINDOW);
            let mut right = vec![false; beats.len()];
            hits.into_iter().for_each(|(_, e)| right[e] = true);
            pairs.extend(beats.iter().map(|beat| beat.confidence).zip(right));
        }
        self.delays
            .extend(told.online.iter().map(|(beat, heard)| heard - beat.time));
        if clip.beats.len() > 1 {
            let levels = told.tempi.iter().filter(|(bpm, _)| *bpm > 0.0);
            let levels = levels.map(|&(bpm, at)| (at, TempoLevel::of(bpm, at, &clip.beats)));
            let levels: Vec<_> = levels.collect();
            let start = clip.beats[0];
            let first = levels.first().map(|&(at, level)| (at - start, level));
            self.first_tempi
                .push(first.unwrap_or((f64::INFINITY, TempoLevel::Wrong)));
            self.tempi.extend(levels.iter().map(|(_, level)| *level));
        }
        let scores = [Score::of(clip, &online), Score::of(clip, &told.offline)];
        if options.clips {
            self.head();
            println!("{:42} | {} | {}", clip.name, scores[0], scores[1]);
        }
        Ok(scores)
    }

    fn head(&mut self) {
        if !std::mem::replace(&mut self.headed, true) {
            println!("{:42} | online                         | offline", "");
            let columns = "F     CMLt  AMLt  down  err ms";
            println!("{:42} | {columns} | {columns}", "");
        }
    }

    fn print(&mut self, name: &str, scores: &[[Score; 2]]) {
        self.head();
        let mean = |from: usize, step: usize, mode: usize| {
            Score::mean(scores.iter().skip(from).step_by(step).map(|s| &s[mode]))
        };
        let name: String = name.chars().rev().take(33).collect();
        let name: String = name.chars().rev().collect();
        let line = |label: &str, from, step| {
            println!(
                "{:42} | {} | {}",
                format!("{name}, {label}"),
                mean(from, step, 0),
                mean(from, step, 1)
            );
        };
        line(&format!("{} clips", scores.len()), 0, 1);
        if scores.len() > 1 {
            line("half A", 0, 2);
            line("half B", 1, 2);
        }
    }

    fn print_tempi(&mut self) {
        let share = |levels: &[TempoLevel], level| {
            levels.iter().filter(|l| **l == level).count() as f64 / levels.len().max(1) as f64
        };
        let (mut times, first): (Vec<f64>, Vec<TempoLevel>) = self.first_tempi.drain(..).unzip();
        let never = times.iter().filter(|t| t.is_infinite()).count();
        println!(
            "tempo live: first after {:.1} s (median; 90 % {:.1} s, {never} never), of {} clips {:.3} right, \
             {:.3} an octave off; of {} reports {:.3} right, {:.3} an octave off",
            quantile(&mut times, 0.5),
            quantile(&mut times, 0.9),
            first.len(),
            share(&first, TempoLevel::Right),
            share(&first, TempoLevel::Octave),
            self.tempi.len(),
            share(&self.tempi, TempoLevel::Right),
            share(&self.tempi, TempoLevel::Octave),
        );
    }

    fn print_delays(&mut self) {
        let ms = |values: &mut [f64], q| 1e3 * quantile(values, q);
        let delays = &mut self.delays;
        println!(
            "delay ms: median {:+.0}, 5 % {:+.0}, 95 % {:+.0}",
            ms(delays, 0.5),
            ms(delays, 0.05),
            ms(delays, 0.95)
        );
    }

    fn print_calibration(&self, file: Option<&Path>) -> Result<(), Failure> {
        let mut csv = String::from("mode,from,to,beats,confidence,right\n");
        for (mode, pairs) in [("online", &self.online), ("offline", &self.offline)] {
            println!("{mode}: confidence, share of right beats, beats");
            let mut error = 0.0;
            for bin in 0..10 {
                let (from, to) = (f64::from(bin) / 10.0, f64::from(bin + 1) / 10.0);
                let inside: Vec<_> = pairs
                    .iter()
                    .filter(|(c, _)| (from..to).contains(c) || (bin == 9 && *c == 1.0))
                    .collect();
                if inside.is_empty() {
                    continue;
                }
                let count = inside.len() as f64;
                let confidence = inside.iter().map(|(c, _)| c).sum::<f64>() / count;
                let right = inside.iter().filter(|(_, right)| *right).count() as f64 / count;
                error += (confidence - right).abs() * count / pairs.len() as f64;
                println!("  {from:.1} … {to:.1}: {confidence:.2} {right:.2} {count}");
                csv += &format!("{mode},{from:.1},{to:.1},{count},{confidence:.4},{right:.4}\n");
            }
            println!("  expected calibration error {error:.3}");
        }
        if let Some(file) = file {
            std::fs::write(file, csv).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        Ok(())
    }
}

const RATE: u32 = 44_100;

/// Kick, snare and hats of `bars` bars of four at `bpm` from `start` seconds on; returns its end
/// and notes the beats.
fn pattern(audio: &mut Vec<f32>, beats: &mut Vec<f64>, start: f64, bpm: f64, bars: usize) -> f64 {
    let rate = f64::from(RATE);
    let mut rng = Rng::new(5);
    let kit = Kit::new(&mut rng);
    let mut strike = |time: f64, drum: Drum, velocity: f64, until: f64| {
        let from = (time * rate).round() as usize;
        let sound = kit.strike(drum, velocity, &mut rng, rate);
        audio.resize(audio.len().max((until * rate) as usize), 0.0);
        for (out, x) in audio[from..].iter_mut().zip(sound) {
            *out += 0.3 * x as f32;
        }
    };
    let beat = 60.0 / bpm;
    let end = start + (4 * bars) as f64 * beat;
    for n in 0..4 * bars {
        let time = start + n as f64 * beat;
        beats.push(time);
        let drum = if n % 2 == 0 { Drum::Kick } else { Drum::Snare };
        strike(time, drum, 0.9, end);
        strike(time, Drum::Hat, 0.7, end);
        strike(time + 0.5 * beat, Drum::Hat, 0.5, end);
    }
    end
}

/// Seconds from `since` to the first beat told from which on four seconds are right.
fn lock(beats: &[f64], told: &[f64], since: f64) -> Option<f64> {
    let right = |from: f64| {
        let until = from + 4.0;
        let within = |list: &[f64]| -> Vec<f64> {
            let inside = |t: &&f64| (from - BEAT_WINDOW..until).contains(*t);
            list.iter().filter(inside).copied().collect()
        };
        let (truth, found) = (within(beats), within(told));
        let hits = matches(&truth, &found, BEAT_WINDOW).len();
        // One at the far end may have its partner just outside.
        hits + 1 >= truth.len().max(found.len()) && hits > 2
    };
    told.iter()
        .find(|&&t| t >= since && right(t))
        .map(|t| t - since)
}

fn locks(model: Option<&Path>) -> Result<(), Failure> {
    let online = |audio: &[f32]| -> Result<Vec<f64>, Failure> {
        Ok(track(audio, RATE, model)?
            .online
            .iter()
            .map(|(b, _)| b.time)
            .collect())
    };
    let show = |x: Option<f64>| x.map_or("never".into(), |x| format!("{x:.2} s"));
    let mut all = Vec::new();
    for bpm in [
        70.0, 80.0, 90.0, 100.0, 110.0, 120.0, 130.0, 140.0, 160.0, 180.0,
    ] {
        let (mut audio, mut beats) = (Vec::new(), Vec::new());
        pattern(&mut audio, &mut beats, 1.0, bpm, 6);
        let locked = lock(&beats, &online(&audio)?, 1.0);
        println!("lock at {bpm:3} BPM: {}", show(locked));
        all.push(locked.unwrap_or(f64::INFINITY));
    }
    println!("lock, median: {:.2} s", quantile(&mut all, 0.5));

    let (mut audio, mut beats) = (Vec::new(), Vec::new());
    let jump = pattern(&mut audio, &mut beats, 1.0, 90.0, 6);
    pattern(&mut audio, &mut beats, jump, 135.0, 8);
    let relocked = lock(&beats, &online(&audio)?, jump);
    println!("relock after 90 → 135 BPM: {}", show(relocked));

    let (mut audio, mut beats) = (Vec::new(), Vec::new());
    let end = pattern(&mut audio, &mut beats, 5.0, 120.0, 8);
    audio.resize(audio.len() + 5 * RATE as usize, 0.0);
    let told = track(&audio, RATE, model)?;
    let outside = |times: Vec<f64>| {
        let inside = 5.0 - BEAT_WINDOW..end;
        times.iter().filter(|&t| !inside.contains(t)).count()
    };
    println!(
        "beats in silence before and after music: online {}, offline {}",
        outside(told.online.iter().map(|(b, _)| b.time).collect()),
        outside(times(&told.offline))
    );
    let mut rng = Rng::new(9);
    let noise: Vec<f32> = (0..20 * RATE).map(|_| 0.1 * rng.noise() as f32).collect();
    let told = track(&noise, RATE, model)?;
    println!(
        "beats in noise: online {}, offline {}",
        told.online.len(),
        told.offline.len()
    );
    Ok(())
}
