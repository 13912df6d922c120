//! Hears the onsets of a 16-bit WAV file on one thread and prints them, one a line: what
//! `tests/peers.sh` times. Reading and the downmix are part of it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::process::ExitCode;

use dance_rhythm::onset::{Config, Detector, Event, Method};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: onset-speed FILE.wav");
        return ExitCode::FAILURE;
    };
    match hear(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hear(path: &str) -> Result<(), Box<dyn Error>> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    let mut detector = Detector::new(&Config {
        rate: spec.sample_rate,
        method: Method::SuperFlux,
        threshold: 1.0,
        debias: true,
    })?;
    let mut note = |event| {
        if let Event::Onset(onset) = event {
            println!("{:.6}", onset.time);
        }
    };
    let scale = 1.0 / (32_768.0 * channels as f32);
    let (mut mono, mut sum, mut filled) = (Vec::with_capacity(4_096), 0.0, 0);
    for sample in reader.samples::<i16>() {
        sum += f32::from(sample?);
        filled += 1;
        if filled == channels {
            mono.push(sum * scale);
            (sum, filled) = (0.0, 0);
            if mono.len() == mono.capacity() {
                detector.push(&mono, &mut note);
                mono.clear();
            }
        }
    }
    detector.push(&mono, &mut note);
    detector.finish(&mut note);
    Ok(())
}
