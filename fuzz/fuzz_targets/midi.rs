// SPDX-License-Identifier: MPL-2.0
#![no_main]

use dance_corpus::audio::{groove, songs};
use dance_corpus::random::Random;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = groove::parse(bytes, 1.0);
    if let Ok(Some(song)) = songs::parse("song", bytes) {
        let _ = song.perform(0.0, 2.0, &mut Random::new(1, 0));
    }
});
