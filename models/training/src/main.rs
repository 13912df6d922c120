//! Trains, exports and looks at what is trained on.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dance_training::audio::preview::Preview;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Training audio.
    #[command(subcommand)]
    Audio(Audio),
}

#[derive(Subcommand)]
enum Audio {
    /// Writes clips with their truth, pictures, and how SuperFlux does on them.
    Preview(Preview),
}

fn main() -> ExitCode {
    let Task::Audio(Audio::Preview(preview)) = Cli::parse().task;
    match preview.run() {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dance-train: {error}");
            ExitCode::FAILURE
        }
    }
}
