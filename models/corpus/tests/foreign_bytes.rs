// SPDX-License-Identifier: MPL-2.0
//! The readers of files that others made answer with an error, never with a panic.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "../../../fuzz/mutate.rs"]
mod mutate;

use dance_corpus::audio::font::{Font, Note, Voice};
use dance_corpus::audio::truth::OctaveBands;
use dance_corpus::audio::{groove, songs};
use dance_corpus::dance::bvh::Bvh;
use dance_corpus::random::Random;
use mutate::{FEW, MANY, feed};

fn bvh(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(file) = Bvh::parse(text) {
        assert!(file.frames() > 0 && file.interval > 0.0);
        for number in [0, file.frames() - 1] {
            assert_eq!(file.frame(number).len(), file.joints.len());
        }
    }
}

fn midi(bytes: &[u8]) {
    if let Ok(strokes) = groove::parse(bytes, 1.0) {
        assert!(strokes.iter().all(|s| s.position.is_finite()));
    }
    if let Ok(Some(song)) = songs::parse("song", bytes) {
        let music = song.perform(0.0, 2.0, &mut Random::new(1, 0));
        let mut notes = music.parts.iter().flat_map(|part| &part.notes);
        assert!(notes.all(|note| note.time.is_finite() && note.seconds > 0.0));
    }
}

fn soundfont(mut bytes: &[u8]) {
    let Ok(font) = Font::parse("font", &mut bytes, 16_000) else {
        return;
    };
    let note = Note {
        time: 0.0,
        seconds: 0.02,
        key: 60,
        velocity: 100,
    };
    let octaves = &mut OctaveBands::new(16_000);
    for voice in [Voice::Program(0), Voice::Drums(0)] {
        let (samples, _) = font.play(voice, &[note], 500, octaves);
        assert_eq!(samples.len(), 500);
    }
}

#[test]
fn motion_capture() {
    feed("bvh", FEW, bvh);
}

#[test]
fn midi_files() {
    feed("midi", FEW, midi);
}

#[test]
fn soundfonts() {
    feed("soundfont", FEW, soundfont);
}

#[test]
#[ignore = "a million cases: cargo test --release -p dance-corpus --test foreign_bytes -- --ignored"]
fn a_million_of_each() {
    feed("bvh", MANY, bvh);
    feed("midi", MANY, midi);
    feed("soundfont", MANY, soundfont);
}
