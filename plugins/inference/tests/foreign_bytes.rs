// SPDX-License-Identifier: MPL-2.0
//! A model card that somebody else wrote is read or refused, never a panic.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "../../../fuzz/mutate.rs"]
mod mutate;

use dance_inference::Card;
use mutate::{FEW, MANY, feed};
use std::path::Path;

fn card(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let path = Path::new("model.onnx");
    if let Ok(card) = Card::parse(text, path) {
        // What was read is written, and read again as the same.
        let again = Card::parse(&card.to_toml().unwrap(), path).unwrap();
        assert_eq!(again.outputs, card.outputs);
        let _ = card.number("delay", path);
    }
}

#[test]
fn cards() {
    feed("card", FEW, card);
}

#[test]
#[ignore = "a million cases: cargo test --release -p dance-inference --test foreign_bytes -- --ignored"]
fn a_million_cards() {
    feed("card", MANY, card);
}
