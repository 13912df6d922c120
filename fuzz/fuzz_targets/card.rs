// SPDX-License-Identifier: MPL-2.0
#![no_main]

use dance_inference::Card;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let _ = Card::parse(text, Path::new("model.onnx"));
});
