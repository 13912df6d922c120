// SPDX-License-Identifier: MPL-2.0
#![no_main]

use dance_corpus::audio::font::Font;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Font::parse("font", &mut &*bytes, 16_000);
});
