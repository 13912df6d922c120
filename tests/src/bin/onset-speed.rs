// SPDX-License-Identifier: MPL-2.0
//! Hears the onsets of a 16-bit WAV file on one thread and prints them, one a line: what
//! `tests/peers.sh` times. Reading and the downmix are part of it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::io::Read;
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
    let reader = hound::WavReader::open(path)?;
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
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return Err("not 16-bit samples".into());
    }
    // hound's reader takes longer for the samples, one by one, than hearing them does.
    let mut left = reader.duration() as usize * channels * 2;
    let mut file = reader.into_inner();
    let scale = 1.0 / (32_768.0 * channels as f32);
    let mut bytes = vec![0; 4_096 * channels * 2];
    let mut mono = Vec::with_capacity(4_096);
    while left > 0 {
        let now = left.min(bytes.len());
        file.read_exact(&mut bytes[..now])?;
        left -= now;
        mono.clear();
        mono.extend(bytes[..now].chunks_exact(channels * 2).map(|frame| {
            let values = frame.chunks_exact(2);
            let sum: i32 = values
                .map(|b| i32::from(i16::from_le_bytes([b[0], b[1]])))
                .sum();
            sum as f32 * scale
        }));
        detector.push(&mono, &mut note);
    }
    detector.finish(&mut note);
    Ok(())
}
