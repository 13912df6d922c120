// SPDX-License-Identifier: MPL-2.0
#![no_main]

use dance_corpus::dance::bvh::Bvh;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(file) = Bvh::parse(text) {
        let _ = file.frame(file.frames() - 1);
    }
});
