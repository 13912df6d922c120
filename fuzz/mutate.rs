// SPDX-License-Identifier: MPL-2.0
//! Feeds a parser of foreign bytes with mutations of good files, without libFuzzer: the crates'
//! tests include this file.
//!
//! Case `n` is a pure function of the seeds and `n`, so that a failure is repeated by its number:
//! `FUZZ_CASE=n cargo test …`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Cases of an ordinary test run.
pub const FEW: u64 = 2_000;
/// Cases of the ignored tests.
pub const MANY: u64 = 1_000_000;

/// SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of 0 … `count` − 1, 0 of none.
    fn index(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

/// What text parsers stumble over.
const WORDS: [&str; 16] = [
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e308",
    "1e-320",
    "4294967296",
    "18446744073709551615",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\u{0}",
    "\u{fe0f}é",
];
/// What binary parsers stumble over.
const NUMBERS: [u32; 12] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// The seeds in `fuzz/seeds/NAME`, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Case number `n`.
fn mutated(seeds: &[Vec<u8>], n: u64) -> Vec<u8> {
    let random = &mut Random(n);
    let mut bytes = seeds[random.index(seeds.len())].clone();
    for _ in 0..=random.index(6) {
        let at = random.index(bytes.len() + 1);
        let to = at + random.index((bytes.len() - at).min(64) + 1);
        match random.index(9) {
            0 if !bytes.is_empty() => {
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 1 << random.index(8);
            }
            1 => drop(bytes.drain(at..to)),
            2 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            3 => {
                let word = WORDS[random.index(WORDS.len())].bytes();
                bytes.splice(at..to, word);
            }
            4 | 5 => {
                let number = NUMBERS[random.index(NUMBERS.len())];
                let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
                let number = if random.index(2) == 0 { little } else { big };
                let size = [1, 2, 4][random.index(3)].min(bytes.len() - at);
                bytes[at..at + size].copy_from_slice(&number[..size]);
            }
            6 => bytes.truncate(at),
            7 => {
                let other = &seeds[random.index(seeds.len())];
                let from = random.index(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            // A line or a field elsewhere.
            _ => {
                let part = bytes[at..to].to_vec();
                let at = random.index(bytes.len() + 1);
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Feeds `parser` with `cases` mutations of the seeds called `name`, or with the one that
/// `FUZZ_CASE` names.
///
/// # Panics
/// Where the parser does, with the number of the case.
pub fn feed(name: &str, cases: u64, parser: impl Fn(&[u8])) {
    let seeds = seeds(name);
    for seed in &seeds {
        parser(seed);
    }
    let one = std::env::var("FUZZ_CASE").ok().and_then(|n| n.parse().ok());
    let numbers = one.map_or(0..cases, |n: u64| n..n + 1);
    for n in numbers {
        let bytes = mutated(&seeds, n);
        if catch_unwind(AssertUnwindSafe(|| parser(&bytes))).is_err() {
            let text = String::from_utf8_lossy(&bytes);
            panic!("{name}: FUZZ_CASE={n}, {} bytes: {text:?}", bytes.len());
        }
    }
}
