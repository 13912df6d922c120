// SPDX-License-Identifier: MPL-2.0
//! What the task `mudar` gives its trainer: batches, a loss, figures.

use super::*;
use crate::config;
use crate::mudar::analysis::{Motion, Status};
use crate::mudar::example::{Example, Music};
use dance_corpus::dance::{Info, Lock};
use dance_networks::network::{Array, Port};
use dance_networks::onnx::Emit;
use dance_networks::weights::Weights;
use dance_rhythm::motion::region::Region;
use ndarray::Array4;
use std::path::Path;

/// Frames of a clip: 4 s.
const FRAMES: usize = 80;

fn example(n: usize) -> Example {
    let beat = 0.5 + 0.07 * n as f32;
    let events: Vec<f64> = (1..6).map(|k| f64::from(beat) * f64::from(k)).collect();
    let mut status = vec![Status::Flow; FRAMES];
    status[0] = Status::First;
    Example {
        info: Info {
            index: n as u64,
            seed: 1,
            split: "training".into(),
            genre: ["waltz", "house"][n % 2].into(),
            lock: if n == 3 {
                Lock::WrongSong
            } else {
                Lock::Matched
            },
            moves: Vec::new(),
            sections: Vec::new(),
            visual_beats: events.clone(),
            onsets: Vec::new(),
            beats: Vec::new(),
            tempo: 60.0 / f64::from(beat),
            meter: 4,
            // The first two are danced to one song.
            song: format!("band {}", n.max(1)),
            style: String::new(),
            offset: 0.0,
            person: 1,
            view: 0,
            camera: String::new(),
            backdrop: String::new(),
            captured: false,
            shape: [FRAMES, 128, 128],
            fps: 20.0,
            rate: 44_100,
        },
        music: Music {
            frames: Array2::from_shape_fn((126, feature::VALUES), |(t, k)| {
                if k == 0 { (t + 200 * n) as f32 } else { 0.5 }
            }),
            onsets: events.iter().map(|t| *t as f32).collect(),
            beats: Vec::new(),
        },
        motion: Motion {
            status,
            regions: vec![Region::whole([128, 128]); FRAMES],
            flow: Array4::from_elem((FRAMES, 2, 32, 32), 0.5),
            map: Array4::from_elem((FRAMES, CHANNELS, SIDE, SIDE), 0.25),
        },
    }
}

fn task(folder: &Path) -> MudarTask {
    for n in 0..6 {
        let path = folder.join(format!("{n:06}.safetensors"));
        example(n).save(&path).unwrap();
    }
    let text = include_str!("../../config/mudar.toml")
        .replace("width = 128", "width = 16")
        .replace("heads = 8", "heads = 2")
        .replace("embedding = 64", "embedding = 8")
        .replace("convolutions = 2", "convolutions = 1")
        .replace("window = 6.0", "window = 2.5")
        .replace("\nbatch = 16", "\nbatch = 4");
    let config = config::parse::<Settings>(&text).unwrap();
    let settings = Settings {
        train: folder.to_owned(),
        validation: folder.to_owned(),
        test: folder.to_owned(),
        ..config.task
    };
    MudarTask::new(settings, 1).unwrap()
}

fn numbers<'a>(batch: &'a Batch, name: &str) -> &'a ArrayD<f32> {
    batch[name].float32().unwrap()
}

#[test]
fn a_batch_has_windows_negatives_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(folder.path());
    let early = task.batch(Split::Training, 0).unwrap();
    let late = task.batch(Split::Training, 2_000).unwrap();
    assert_eq!(numbers(&early, "map").shape(), [4, 50, 96, 4, 4]);
    assert_eq!(numbers(&early, "motion").shape(), [4, 50, 152]);
    assert_eq!(numbers(&early, "music").shape(), [4, 78, 514]);
    // Half of the batch has its music.
    let has: Vec<f32> = numbers(&early, "has_music").iter().copied().collect();
    assert_eq!(has, [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(numbers(&early, "is_other").sum(), 1.0);
    assert_eq!(numbers(&late, "is_other").sum(), 0.0);
    // The first number of a frame of music says which clip it is of, and when.
    let first = |batch: &Batch, name: &str, n: usize| numbers(batch, name)[[n, 0, 0]];
    for n in 0..4 {
        let clip = |x: f32| (x / 200.0) as usize;
        let (own, other) = (first(&early, "music", n), first(&early, "negative", n));
        assert_ne!(clip(own).max(1), clip(other).max(1), "{own} {other}");
        let (own, shifted) = (first(&late, "music", n), first(&late, "negative", n));
        assert_eq!(clip(own), clip(shifted), "{own} {shifted}");
        assert!((own - shifted).abs() > 2.0, "{own} {shifted}");
    }
    let labels = numbers(&early, "target");
    assert!(labels.iter().any(|v| *v == 1.0) && labels.iter().any(|v| *v == 0.5));
    // The same each time.
    assert_eq!(early, task.batch(Split::Training, 0).unwrap());
    let held_out = task.batch(Split::Validation, 0).unwrap();
    let allowed = numbers(&held_out, "allowed");
    assert_eq!(
        (allowed[[0, 1]], allowed[[0, 0]], allowed[[1, 2]]),
        (0.0, 1.0, 1.0)
    );
    let matched: Vec<f32> = numbers(&held_out, "matched").iter().copied().collect();
    assert_eq!(matched, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn every_loss_can_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path());
    for (loss, labels) in [
        (Loss::Focal, Labels::Visual),
        (Loss::Bce, Labels::Onsets),
        (Loss::Regression, Labels::Onsets),
    ] {
        (task.settings.loss, task.settings.labels) = (loss, labels);
        let batch = task.batch(Split::Training, 0).unwrap();
        let emit = Emit::new(Weights::Seeded(1));
        let tensors = batch.iter().map(|(name, array)| {
            let shape: Vec<_> = array.shape().iter().map(|&n| n.into()).collect();
            let value = match array {
                Array::Float32(_) => emit.input(&Port::signal(name, &shape, "")).unwrap(),
                Array::Int64(_) => panic!("{name}: no indices are expected"),
            };
            (name.clone(), value)
        });
        let tensors = Tensors::new(tensors.collect());
        let value = task.loss(&Scope::root(&emit), &tensors).unwrap();
        assert!(emit.shape(&value).is_empty(), "{loss:?}");
    }
}

#[test]
fn figures_are_of_marks_and_of_what_is_near() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(folder.path());
    let batch = task.batch(Split::Validation, 0).unwrap();
    let truth = numbers(&batch, "truth").clone();
    let n = truth.shape()[0];
    // Everything is found with the music, nothing without; each embedding is its own clip's but the fifth.
    let near = Array2::from_shape_fn((n, n), |(a, b)| {
        let right = if a == 4 { 5 } else { a };
        if b == right { 1.0 } else { 0.0 }
    });
    let own = Array2::from_diag_elem(n, 1.0f32);
    let classes = numbers(&batch, "class").clone();
    let outputs = BTreeMap::from([
        ("rhythm".to_owned(), truth.clone()),
        ("rhythm_alone".to_owned(), truth.mapv(|_| 0.1)),
        ("dance_embedding".to_owned(), own.clone().into_dyn()),
        ("music_embedding".to_owned(), near.into_dyn()),
        ("dance_frames".to_owned(), own.clone().into_dyn()),
        ("music_frames".to_owned(), own.into_dyn()),
        ("dance_classes".to_owned(), classes.clone()),
        ("music_classes".to_owned(), classes.mapv(|x| -x)),
    ]);
    let figures = task.figures(&batch, &outputs).unwrap();
    assert!((figures["F"] - 1.0).abs() < 1e-9, "{figures:?}");
    assert!(figures["F by chance"] < 0.8 && figures["F alone"] == 0.0);
    // Five of six clips are danced to their music; of those the fifth finds another.
    assert!((figures["R@1 embedding"] - 0.8).abs() < 1e-9, "{figures:?}");
    assert_eq!(
        (figures["R@1 frames"], figures["class by dance"]),
        (1.0, 1.0)
    );
    assert_eq!(figures["class by music"], 0.0);
}
