// SPDX-License-Identifier: MPL-2.0
//! Scores the onset detector on the synthetic set, whose truth is exact, and prints the tables.
//!
//! ```text
//! cargo run --release -p dance-tests --bin onset-accuracy -- [--seed N] [--clips] [--model FILE] [--export DIR]
//! ```
//!
//! The set was developed on with seed 1; figures are reported with seed 2, which is the default.
//! `--clips` prints a line for each clip, `--model` adds that network (ONNX Runtime from
//! `ORT_DYLIB_PATH`), `--export` writes every clip as `NAME.wav` with
//! `NAME.onsets` beside it (seconds, one a line) instead, and what the default method found as
//! `NAME.found`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dance_rhythm::metrics::matches;
use dance_rhythm::onset::{Config, Detector, Event, Method};
use dance_tests::network::Runner;
use dance_tests::synth::{Clip, clips};

const USAGE: &str = "usage: onset-accuracy [--seed N] [--clips] [--model FILE] [--export DIR]";

struct Options {
    seed: u64,
    clips: bool,
    model: Option<PathBuf>,
    export: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seed: 2,
        clips: false,
        model: None,
        export: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--seed" => {
                let text = value()?;
                options.seed = text
                    .parse()
                    .map_err(|_| format!("{text} is not a seed\n{USAGE}"))?;
            }
            "--clips" => options.clips = true,
            "--model" => options.model = Some(value()?.into()),
            "--export" => options.export = Some(value()?.into()),
            _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let done = options().and_then(|options| match &options.export {
        Some(folder) => clips(options.seed)
            .try_for_each(|clip| export(&clip, folder))
            .map_err(|error| format!("{}: {error}", folder.display())),
        None => report(&options).map_err(|error| error.to_string()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// An onset that was reported, and when: seconds of audio heard by then.
struct Found {
    time: f64,
    confidence: f64,
    reported: f64,
}

/// What hears the onsets.
#[derive(Clone, Copy)]
enum By<'a> {
    Method(Method),
    Model(&'a Path),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn detect(clip: &Clip, by: By) -> Result<Vec<Found>, Failure> {
    let mut config = Config {
        rate: clip.rate,
        method: Method::default(),
        threshold: 1.0,
        debias: true,
    };
    let mut detector = match by {
        By::Method(method) => {
            config.method = method;
            Detector::new(&config)?
        }
        By::Model(path) => Detector::with_network(&config, Box::new(Runner::new(path)?))?,
    };
    let mut found = Vec::new();
    let mut heard = 0;
    let mut note = |event, heard: usize| {
        if let Event::Onset(onset) = event {
            found.push(Found {
                time: onset.time,
                confidence: onset.confidence,
                reported: heard as f64 / f64::from(clip.rate),
            });
        }
    };
    // A millisecond at a time, so that the delay is seen.
    for part in clip.samples.chunks(clip.rate as usize / 1_000) {
        heard += part.len();
        detector.push(part, &mut |event| note(event, heard));
    }
    detector.finish(&mut |event| note(event, heard));
    match detector.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(found),
    }
}

fn export(clip: &Clip, folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(&clip.name);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path.with_extension("wav"), spec)?;
    for sample in &clip.samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    let lines = |times: Vec<f64>| -> String { times.iter().map(|t| format!("{t:.6}\n")).collect() };
    std::fs::write(path.with_extension("onsets"), lines(clip.onsets.clone()))?;
    let found = detect(clip, By::Method(Method::SuperFlux))?;
    let times = found.iter().map(|f| f.time).collect();
    std::fs::write(path.with_extension("found"), lines(times))?;
    Ok(())
}

/// Values whose quantiles are wanted.
#[derive(Default)]
struct Spread(Vec<f64>);

impl Spread {
    /// In milliseconds.
    fn at(&mut self, quantile: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let last = self.0.len().saturating_sub(1) as f64;
        let value = self.0.get((last * quantile) as usize);
        value.copied().unwrap_or(f64::NAN) * 1e3
    }
}

fn report(options: &Options) -> Result<(), Failure> {
    let set: Vec<Clip> = clips(options.seed).collect();
    let onsets: usize = set.iter().map(|clip| clip.onsets.len()).sum();
    println!(
        "synthetic set, seed {}: {} clips, {onsets} onsets; F is the mean over clips\n",
        options.seed,
        set.len()
    );
    println!(
        "method     F ±50  F ±25  precision recall  bias, ms: drums (5 %, 95 %)  all    \
         delay, ms: median  95 %  worst"
    );
    for method in [Method::SuperFlux, Method::Mudar, Method::Librosa] {
        score(&set, By::Method(method), options.clips)?;
    }
    match &options.model {
        Some(path) => score(&set, By::Model(path), options.clips),
        None => Ok(()),
    }
}

fn score(set: &[Clip], by: By, each: bool) -> Result<(), Failure> {
    let (mut wide, mut narrow) = (0.0, 0.0);
    let (mut hits, mut reports, mut truths) = (0, 0, 0);
    let (mut drums, mut all, mut delays) =
        (Spread::default(), Spread::default(), Spread::default());
    let mut curve = [(0usize, 0.0, 0usize); 10];
    for clip in set {
        let found = detect(clip, by)?;
        let times: Vec<f64> = found.iter().map(|f| f.time).collect();
        let pairs = matches(&clip.onsets, &times, 0.050);
        let sharp = matches(&clip.onsets, &times, 0.025).len();
        // Nothing found where nothing is, is right.
        let count = (clip.onsets.len() + times.len()) as f64;
        let f = |hits: usize| {
            if count > 0.0 {
                2.0 * hits as f64 / count
            } else {
                1.0
            }
        };
        wide += f(pairs.len()) / set.len() as f64;
        narrow += f(sharp) / set.len() as f64;
        hits += pairs.len();
        reports += times.len();
        truths += clip.onsets.len();
        if each {
            println!(
                "  {:26} {:4} onsets {:4} found {:4} true  F {:.3} {:.3}",
                clip.name,
                clip.onsets.len(),
                times.len(),
                pairs.len(),
                f(pairs.len()),
                f(sharp)
            );
        }
        for &(r, e) in &pairs {
            let error = times[e] - clip.onsets[r];
            all.0.push(error);
            if clip.drums_only {
                drums.0.push(error);
            }
            delays.0.push(found[e].reported - clip.onsets[r]);
        }
        for (e, found) in found.iter().enumerate() {
            let bin = &mut curve[((found.confidence * 10.0) as usize).min(9)];
            bin.0 += 1;
            bin.1 += found.confidence;
            bin.2 += usize::from(pairs.iter().any(|&(_, k)| k == e));
        }
    }
    println!(
        "{:10} {wide:.3}  {narrow:.3}  {:.3}     {:.3}   {:+12.1} ({:+.1}, {:+.1}) {:+10.1} {:18.1} {:6.1} {:6.1}",
        match by {
            By::Method(method) => format!("{method:?}"),
            By::Model(_) => "model".to_owned(),
        },
        hits as f64 / reports.max(1) as f64,
        hits as f64 / truths.max(1) as f64,
        drums.at(0.5),
        drums.at(0.05),
        drums.at(0.95),
        all.at(0.5),
        delays.at(0.5),
        delays.at(0.95),
        delays.at(1.0)
    );
    for (count, sum, hits) in curve.into_iter().filter(|bin| bin.0 > 0) {
        println!(
            "           confidence {:.2}: {count:5} reports, {:.2} of them true",
            sum / count as f64,
            hits as f64 / count as f64
        );
    }
    Ok(())
}
