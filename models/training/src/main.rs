// SPDX-License-Identifier: MPL-2.0
//! Trains, exports, evaluates and describes the networks of gst-plugins-dance.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use dance_corpus::Split;
use dance_training::checkpoint::{Checkpoint, Figures};
use dance_training::commands::audio::Preview;
use dance_training::commands::corpus;
use dance_training::commands::report::Report;
use dance_training::config;
use dance_training::dabgen::{Generate, data as dabgen_data, eval as dabgen_eval};
use dance_training::export::{self, Numbers};
use dance_training::flow::resize::Resize;
use dance_training::flow::{FlowTask, eval as flow_eval, preview as flow_preview};
use dance_training::mudar;
use dance_training::rhythm::RhythmTask;
use dance_training::rhythm::cache::Features;
use dance_training::selftest::SelfTest;
use dance_training::task::Task;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Training audio.
    #[command(subcommand)]
    Audio(Audio),
    /// Clips of dancing with exact truth.
    #[command(subcommand)]
    Corpus(Corpus),
    /// Train the small network that proves the machinery.
    Selftest(Train),
    /// Train the network of onsets, beats and downbeats.
    Rhythm(Train),
    /// Optical flow.
    #[command(subcommand)]
    Flow(Flow),
    /// The joint network of music and dance.
    #[command(subcommand)]
    Mudar(Mudar),
    /// Dance motion out of music.
    #[command(subcommand)]
    Dabgen(Dabgen),
    /// Write a trained network as ONNX, with its model card beside it.
    Export(Export),
    /// Measure a checkpoint or an exported network.
    Eval(Eval),
    /// Check an exported network against its model card, and print the card.
    Card {
        /// The ONNX file.
        model: PathBuf,
    },
}

#[derive(Subcommand)]
enum Audio {
    /// Write clips with their truth, pictures, and how SuperFlux does on them.
    Preview(Preview),
    /// Make the clips that the task rhythm learns from.
    Features(Features),
}

#[derive(Subcommand)]
enum Corpus {
    /// Write a contact sheet: frames, flow in colour, labels, and time with its beats.
    Preview(corpus::Preview),
    /// Write clips with all their truth into a folder.
    Write(corpus::Write),
    /// Write pairs of frames with the flow between them.
    Pairs(corpus::Pairs),
    /// Cut clips out of recorded videos: AIST++, Let's Dance, Dance-50, any folder.
    Import(corpus::Import),
    /// Measure the clips: rhythm, truth, variety, speed.
    Report(Report),
}

#[derive(Subcommand)]
enum Flow {
    /// Train a network of optical flow.
    Train(Train),
    /// Measure end-point errors over a folder of pairs, beside zero flow.
    Eval(flow_eval::Eval),
    /// List the pairs of a folder.
    List(flow_eval::List),
    /// Write synthetic pairs as files.
    Pairs(flow_preview::Pairs),
    /// Draw a sheet of pairs and their flow.
    Preview(flow_preview::Preview),
    /// Write an exported network for pictures of another size, with the same weights.
    Resize(Resize),
}

#[derive(Subcommand)]
enum Mudar {
    /// Make the features that the joint network learns from: music and motion of clips.
    Features(mudar::features::Features),
    /// Train it.
    Train(Train),
    /// Write its three graphs, with their model cards.
    Export(mudar::export::Export),
    /// Measure visual beats over a folder of features, by the motion method and by the network.
    Eval(mudar::eval::Eval),
}

#[derive(Subcommand)]
enum Dabgen {
    /// Make the songs and dances that the task dabgen learns from.
    Data(dabgen_data::Data),
    /// Train the network that makes dance motion.
    Train(Train),
    /// Measure dances that an exported network makes.
    Eval(dabgen_eval::Eval),
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Selftest,
    Rhythm,
    Flow,
    Dabgen,
}

#[derive(Args)]
struct Train {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// Go on from the newest checkpoint, where there is one.
    #[arg(long)]
    resume: bool,
    /// Pause after this time, with a checkpoint and exit status 3.
    #[arg(long, value_name = "SECONDS")]
    pause_after: Option<u64>,
}

#[derive(Args)]
struct Export {
    /// What was trained.
    task: Name,
    /// The configuration it was trained with.
    #[arg(long)]
    config: PathBuf,
    /// The checkpoint; the best of the configuration's directory unless given.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The ONNX file to write.
    #[arg(long)]
    out: PathBuf,
    /// The numbers in it.
    #[arg(long, value_enum, default_value = "float32")]
    numbers: Numbers,
    /// Which training of the network this is, for the card.
    #[arg(long, default_value = "1")]
    version: String,
    /// SPDX expression, for the card.
    #[arg(long, default_value = "MPL-2.0")]
    licence: String,
}

#[derive(Args)]
struct Eval {
    /// What was trained.
    task: Name,
    /// The configuration it was trained with.
    #[arg(long)]
    config: PathBuf,
    /// An exported network (.onnx), or a checkpoint; the best checkpoint of the configuration's
    /// directory unless given.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Batches of the test split.
    #[arg(long, default_value_t = 32)]
    batches: u64,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do when even the error cannot be written.
            let _ = writeln!(std::io::stderr(), "dance-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Audio(Audio::Features(features)) => say(&features.run()?),
        Command::Audio(Audio::Preview(preview)) => say(&preview.run()?.to_string()),
        Command::Corpus(Corpus::Preview(preview)) => say(&preview.run()?),
        Command::Corpus(Corpus::Write(write)) => say(&write.run()?),
        Command::Corpus(Corpus::Pairs(pairs)) => say(&pairs.run()?),
        Command::Corpus(Corpus::Import(import)) => say(&import.run()?),
        Command::Corpus(Corpus::Report(report)) => say(&report.run()?),
        Command::Selftest(args) => train::<SelfTest>(&args),
        Command::Rhythm(args) => train::<RhythmTask>(&args),
        Command::Flow(Flow::Train(args)) => train::<FlowTask>(&args),
        Command::Flow(Flow::Eval(eval)) => say(&eval.run()?),
        Command::Flow(Flow::List(list)) => say(&list.run()?),
        Command::Flow(Flow::Pairs(pairs)) => say(&pairs.run()?),
        Command::Flow(Flow::Preview(preview)) => say(&preview.run()?),
        Command::Flow(Flow::Resize(resize)) => say(&resize.run()?),
        Command::Mudar(Mudar::Features(features)) => say(&features.run()?),
        Command::Mudar(Mudar::Train(args)) => train::<mudar::MudarTask>(&args),
        Command::Mudar(Mudar::Export(export)) => say(&export.run()?),
        Command::Mudar(Mudar::Eval(eval)) => say(&eval.run()?),
        Command::Dabgen(Dabgen::Data(data)) => say(&data.run()?),
        Command::Dabgen(Dabgen::Eval(eval)) => say(&eval.run()?),
        Command::Dabgen(Dabgen::Train(args)) => train::<Generate>(&args),
        Command::Export(args) => match args.task {
            Name::Selftest => export::<SelfTest>(&args),
            Name::Rhythm => export::<RhythmTask>(&args),
            Name::Flow => export::<FlowTask>(&args),
            Name::Dabgen => export::<Generate>(&args),
        },
        Command::Eval(args) => match args.task {
            Name::Selftest => eval::<SelfTest>(&args),
            Name::Rhythm => eval::<RhythmTask>(&args),
            Name::Flow => eval::<FlowTask>(&args),
            Name::Dabgen => eval::<Generate>(&args),
        },
        Command::Card { model } => {
            let card = export::read_card(&model)?;
            say(&toml::to_string(&card)?)
        }
    }
}

fn say(text: &str) -> Result<ExitCode> {
    writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "libtorch"))]
fn train<T: Task>(args: &Train) -> Result<ExitCode> {
    // A wrong configuration is reported before what would be missing to run it.
    config::load::<T::Settings>(&args.config)?;
    anyhow::bail!(WITHOUT)
}

#[cfg(not(feature = "libtorch"))]
const WITHOUT: &str = "this dance-train was built without LibTorch: build it with --features \
                       libtorch in the environment of models/training/setup-libtorch.sh";

#[cfg(feature = "libtorch")]
fn train<T: Task>(args: &Train) -> Result<ExitCode> {
    use dance_training::train::{End, Plan, train};
    let (config, text) = config::load::<T::Settings>(&args.config)?;
    let task = T::new(config.task, config.seed)?;
    let plan = Plan {
        out: config.out,
        seed: config.seed,
        training: config.training,
        text,
        resume: args.resume,
        limit: args.pause_after.map(std::time::Duration::from_secs),
    };
    let end = train(&task, &plan)?;
    let out = plan.out.display();
    say(&match end {
        End::Finished => format!("finished: {out}"),
        End::Stopped => format!("stopped early, the validation loss no longer falls: {out}"),
        End::Paused => format!("paused, --resume goes on: {out}"),
    })?;
    Ok(match end {
        End::Paused => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    })
}

/// A directory stands for its best checkpoint.
fn checkpoint(given: Option<&Path>, out: &Path) -> Result<Checkpoint> {
    let path = given.unwrap_or(out);
    if path.is_dir() {
        Checkpoint::load(&path.join("best.safetensors"))
    } else {
        Checkpoint::load(path)
    }
}

fn export<T: Task>(args: &Export) -> Result<ExitCode> {
    let (config, _) = config::load::<T::Settings>(&args.config)?;
    let checkpoint = checkpoint(args.checkpoint.as_deref(), &config.out)?;
    let task = T::new(config.task, config.seed)?;
    let report = export::export(
        &task,
        &checkpoint,
        args.numbers,
        &args.version,
        &args.licence,
        &args.out,
    )?;
    let mut text = format!(
        "{}: {} bytes, {} parameters\n",
        args.out.display(),
        report.bytes,
        report.parameters
    );
    if let Some(lost) = report.lost {
        text += &format!(
            "{} differs from float32 by at most {:.3e}, {:.3e} of its size\n",
            args.numbers.name(),
            lost.max,
            lost.relative
        );
    }
    match &report.figures {
        Some(figures) => text += &list(figures),
        None => text += "not measured: ORT_DYLIB_PATH names no ONNX Runtime\n",
    }
    say(&text)
}

fn list(figures: &Figures) -> String {
    let lines = figures
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}\n"));
    lines.collect()
}

fn eval<T: Task>(args: &Eval) -> Result<ExitCode> {
    let (config, _) = config::load::<T::Settings>(&args.config)?;
    let task = T::new(config.task, config.seed)?;
    if let Some(path) = &args.model
        && path
            .extension()
            .is_some_and(|extension| extension == "onnx")
    {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let figures = export::evaluate(&task, &bytes, Split::Test, args.batches)?;
        return say(&list(&figures));
    }
    let checkpoint = checkpoint(args.model.as_deref(), &config.out)?;
    eval_checkpoint(&task, &checkpoint, &config.training.device, args.batches)
}

#[cfg(feature = "libtorch")]
fn eval_checkpoint<T: Task>(
    task: &T,
    checkpoint: &Checkpoint,
    device: &str,
    batches: u64,
) -> Result<ExitCode> {
    use dance_training::train::evaluate_checkpoint;
    let figures = evaluate_checkpoint(task, checkpoint, device, Split::Test, batches)?;
    say(&list(&figures))
}

#[cfg(not(feature = "libtorch"))]
fn eval_checkpoint<T: Task>(_: &T, _: &Checkpoint, _: &str, _: u64) -> Result<ExitCode> {
    anyhow::bail!("{WITHOUT}; an exported network (.onnx) can be measured without")
}
