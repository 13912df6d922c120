// SPDX-License-Identifier: MPL-2.0
//! Parity with librosa 0.11 on fixtures that `make_librosa_fixtures.py` made.
//!
//! "Within 1e-4" is absolute where values are at most 1, and relative to the array's largest value
//! where they are not (mel power, decibels, the envelope in decibels).
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use dance_rhythm::feature::{VALUES, mudar_frames};
use dance_rhythm::mel::{BANDS, mel_spectrogram, power_to_db};
use dance_rhythm::onset::librosa::{onset_detect, onset_strength};
use dance_rhythm::onset::{Config, Detector, Event, Method};
use dance_rhythm::tempogram::{WINDOW, tempogram};
use ndarray::{Array2, Axis, Slice};

const RATES: [u32; 2] = [22_050, 16_000];

fn path(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn expected(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path(name)).unwrap();
    let values = bytes.chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn signal(rate: u32) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path(&format!("{rate}.wav"))).unwrap();
    reader
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32_768.0)
        .collect()
}

fn close(name: &str, found: impl IntoIterator<Item = f32>) {
    let expected = expected(name);
    let found: Vec<f32> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    let peak = expected.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    let worst = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs() / peak)
        .fold(0.0, f32::max);
    assert!(worst <= 1e-4, "{name}: off by {worst:e}");
}

/// Every fourth column, row by row, as the fixtures have them.
fn thinned(array: &Array2<f32>) -> Vec<f32> {
    let thin = array.slice_axis(Axis(1), Slice::new(0, None, 4));
    thin.iter().copied().collect()
}

#[test]
fn spectrograms_envelope_and_tempogram() {
    for rate in RATES {
        let samples = signal(rate);
        let mel = mel_spectrogram(&samples, f64::from(rate));
        close(&format!("{rate}.mel"), thinned(&mel));
        close(&format!("{rate}.db"), thinned(&power_to_db(&mel)));
        let envelope = onset_strength(&samples, f64::from(rate));
        let gram = tempogram(&envelope);
        close(&format!("{rate}.envelope"), envelope);
        close(&format!("{rate}.tempogram"), thinned(&gram));
    }
}

#[test]
fn onsets_are_the_same_frames() {
    for rate in RATES {
        let found = onset_detect(&signal(rate), f64::from(rate));
        assert!(found.len() > 5);
        close(&format!("{rate}.onsets"), found.iter().map(|&n| n as f32));
    }
    assert!(onset_detect(&[0.0; 22_050], 22_050.0).is_empty());
    assert!(onset_detect(&[], 22_050.0).is_empty());
}

#[test]
fn mudar_frames_hold_the_four_parts() {
    let samples = signal(16_000);
    let beats: Vec<f32> = (0..79).map(|n| f32::from(n % 16 == 0)).collect();
    let frames = mudar_frames(&samples, &beats);
    assert_eq!(frames.dim(), (1 + samples.len() / 512, VALUES));
    let part = |from: usize, to: usize| {
        let columns = frames.slice_axis(Axis(1), Slice::from(from..to));
        columns.t().to_owned()
    };
    close("16000.mel", thinned(&part(0, BANDS)));
    assert_eq!(part(BANDS, BANDS + 1).row(0).to_vec()[..79], beats[..]);
    close("16000.envelope", part(BANDS + 1, BANDS + 2));
    close(
        "16000.tempogram",
        thinned(&part(BANDS + 2, BANDS + 2 + WINDOW)),
    );
    // 8 s are 251 frames (MuDaR, section 4.1).
    assert_eq!(mudar_frames(&vec![0.0; 128_000], &[]).dim(), (251, 514));
}

/// The streaming method scales by the maximum so far; once the loudest onset is past, and for
/// onsets clear of the threshold before, it finds what the whole signal gives.
#[test]
fn the_stream_agrees_with_the_whole() {
    let rate = 22_050;
    let samples = signal(rate);
    let mut detector = Detector::new(&Config {
        rate,
        method: Method::Librosa,
        threshold: 1.0,
        debias: false,
    })
    .unwrap();
    let mut found = Vec::new();
    let mut values = Vec::new();
    let mut note = |event| match event {
        Event::Onset(onset) => found.push((onset.time * 22_050.0 / 512.0).round() as usize),
        Event::Frame(frame) => values.push(frame.time * 22_050.0 / 512.0),
    };
    detector.push(&samples, &mut note);
    detector.finish(&mut note);
    let whole = onset_detect(&samples, f64::from(rate));
    let missed = whole.iter().filter(|n| !found.contains(n)).count();
    assert_eq!(missed, 0, "{whole:?} against {found:?}");
    // The frames' instants are librosa's: two frames after the spectra that they compare.
    assert_eq!(values.len(), 1 + samples.len() / 512);
    assert!((values[0] - 2.0).abs() < 1e-9);
}
