// SPDX-License-Identifier: MPL-2.0
//! Training, on the task that proves the machinery.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]
#![cfg(feature = "libtorch")]

use anyhow::{Result, ensure};
use dance_corpus::Split;
use dance_networks::layers::Scope;
use dance_networks::ops::Ops;
use dance_networks::selftest::Small;
use dance_training::checkpoint::Checkpoint;
use dance_training::config::{self, Config};
use dance_training::curve::Curve;
use dance_training::export::{self, Numbers};
use dance_training::selftest::{SelfTest, Settings};
use dance_training::task::{Batch, Task, Tensors};
use dance_training::train::{BEST, End, LAST, Plan, evaluate_checkpoint, train};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// LibTorch has one generator of random numbers for the whole process: trainings that are compared
/// must not run side by side.
static ALONE: Mutex<()> = Mutex::new(());

fn plan(out: &Path, training: &str, task: &str) -> (SelfTest, Plan) {
    let text = format!(
        "out = {out:?}\nseed = 3\n[training]\ndevice = 'cpu'\nthreads = 1\nworkers = 2\n\
         average = 0.9\nvalidation_batches = 2\n{training}\n\
         [task]\nbatch = 8\nframes = 32\nchannels = 4\nhidden = 12\n{task}\n"
    );
    let config: Config<Settings> = config::parse(&text).unwrap();
    let task = SelfTest::new(config.task, config.seed).unwrap();
    let plan = Plan {
        out: config.out,
        seed: config.seed,
        training: config.training,
        text,
        resume: false,
        limit: None,
    };
    (task, plan)
}

const TWENTY: &str = "steps = 20\nwarm_up = 5\nvalidate_every = 10\ncheckpoint_every = 10";

#[test]
fn a_training_that_was_killed_ends_where_it_would_have_ended() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    // The checkpoint it goes on from is between two validations.
    let training = TWENTY.replace("checkpoint_every = 10", "checkpoint_every = 4");
    let (task, whole) = plan(&dir.path().join("whole"), &training, "");
    assert_eq!(train(&task, &whole).unwrap(), End::Finished);
    let (task, mut halves) = plan(&dir.path().join("halves"), &training, "");
    // Dies at the batch 13, as by a kill between two checkpoints.
    let (dies, _) = plan(&dir.path().join("halves"), &training, "poison = 13");
    train(&dies, &halves).unwrap_err();
    let half = Checkpoint::load(&halves.out.join(LAST)).unwrap();
    assert_eq!(half.meta.step, 12);
    halves.resume = true;
    assert_eq!(train(&task, &halves).unwrap(), End::Finished);
    let a = Checkpoint::load(&whole.out.join(LAST)).unwrap();
    let b = Checkpoint::load(&halves.out.join(LAST)).unwrap();
    assert_eq!(a.meta.step, 20);
    assert!(a.weights == b.weights && a.first == b.first && a.second == b.second);
    assert!(a.average == b.average && a.meta.best == b.meta.best);
    assert_ne!(a.weights, half.weights);
    let curves = [&whole, &halves].map(|plan| Curve::load(&plan.out.join("curve.csv")).unwrap());
    assert_eq!(curves[0], curves[1]);
    assert_eq!(curves[0].series("validation/accuracy").len(), 2);
    assert!(whole.out.join("curve.png").exists());
}

#[test]
fn an_old_training_is_not_overwritten() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (task, mut first) = plan(dir.path(), TWENTY, "");
    train(&task, &first).unwrap();
    let error = train(&task, &first).unwrap_err().to_string();
    assert!(error.contains("--resume"), "{error}");
    first.resume = true;
    first.seed = 4;
    let error = train(&task, &first).unwrap_err().to_string();
    assert!(error.contains("seed 3"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (task, plan) = plan(dir.path(), TWENTY, "poison = 12");
    let error = format!("{:#}", train(&task, &plan).unwrap_err());
    assert!(
        error.contains("NaN") && error.contains("step 12"),
        "{error}"
    );
    assert!(error.contains("last.safetensors"), "{error}");
    let kept = Checkpoint::load(&dir.path().join(LAST)).unwrap();
    assert_eq!(kept.meta.step, 10);
    assert!(kept.weights.values().flatten().all(|x| x.is_finite()));
}

#[test]
fn a_slice_pauses_and_early_stopping_stops() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (task, mut paused) = plan(&dir.path().join("a"), TWENTY, "");
    paused.limit = Some(std::time::Duration::ZERO);
    assert_eq!(train(&task, &paused).unwrap(), End::Paused);
    assert_eq!(
        Checkpoint::load(&paused.out.join(LAST)).unwrap().meta.step,
        1
    );
    // So small a rate improves nothing that float32 could show.
    let still = "steps = 100\nwarm_up = 0\nlearning_rate = 1e-30\nweight_decay = 0.0\n\
                 validate_every = 2\npatience = 3";
    let (task, plan) = plan(&dir.path().join("b"), still, "");
    assert_eq!(train(&task, &plan).unwrap(), End::Stopped);
    assert_eq!(Checkpoint::load(&plan.out.join(LAST)).unwrap().meta.step, 8);
    assert_eq!(Checkpoint::load(&plan.out.join(BEST)).unwrap().meta.step, 2);
    // What has stopped stays so.
    let again = Plan {
        resume: true,
        ..plan
    };
    assert_eq!(train(&task, &again).unwrap(), End::Stopped);
    assert_eq!(
        Checkpoint::load(&again.out.join(LAST)).unwrap().meta.step,
        8
    );
}

#[test]
fn a_full_disk_stops_and_is_named() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (task, plan) = plan(dir.path(), TWENTY, "");
    // The device that is always full takes the place of the checkpoint about to be written.
    std::os::unix::fs::symlink("/dev/full", dir.path().join(format!("{LAST}.tmp"))).unwrap();
    let error = format!("{:#}", train(&task, &plan).unwrap_err());
    assert!(error.contains("the disk is full"), "{error}");
    assert!(!dir.path().join(LAST).exists());
    assert_eq!(
        Checkpoint::load(&dir.path().join(BEST)).unwrap().meta.step,
        10
    );
    // With room again, it trains.
    assert_eq!(train(&task, &plan).unwrap(), End::Finished);
}

/// The selftest, whose data end early.
struct Missing(SelfTest);

impl Task for Missing {
    const NAME: &'static str = SelfTest::NAME;
    type Settings = Settings;
    type Network = Small;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        Ok(Self(SelfTest::new(settings, seed)?))
    }

    fn network(&self) -> &Small {
        self.0.network()
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        ensure!(
            split != Split::Training || index < 5,
            "cannot read 0005.flac"
        );
        self.0.batch(split, index)
    }

    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        self.0.loss(scope, batch)
    }

    fn data(&self) -> String {
        self.0.data()
    }
}

#[test]
fn data_that_are_missing_are_named() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (task, plan) = plan(dir.path(), TWENTY, "");
    let error = format!("{:#}", train(&Missing(task), &plan).unwrap_err());
    assert!(
        error.contains("batch 5 of the training data") && error.contains("0005.flac"),
        "{error}"
    );
}

#[test]
fn the_rule_is_learned_and_survives_every_export() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let long = "steps = 500\nwarm_up = 20\nlearning_rate = 1e-2\nvalidate_every = 100\n\
                checkpoint_every = 500";
    let (task, plan) = plan(dir.path(), long, "");
    train(&task, &plan).unwrap();
    let checkpoint = Checkpoint::load(&plan.out.join(BEST)).unwrap();
    let figures = evaluate_checkpoint(&task, &checkpoint, "cpu", Split::Test, 8).unwrap();
    println!("{figures:?}");
    // Never answering is right in 74 % of the frames; the three samples that the convolution sees
    // suffice for 91 %, and more needs the recurrence.
    assert!(figures["accuracy"] > 0.95, "{figures:?}");
    for numbers in [Numbers::Float32, Numbers::Float16, Numbers::Int8] {
        let path = dir.path().join(format!("{}.onnx", numbers.name()));
        let report = export::export(&task, &checkpoint, numbers, "1", "MPL-2.0", &path).unwrap();
        println!("{} {report:?}", numbers.name());
        let served = report.figures.unwrap()["accuracy"];
        assert!((served - figures["accuracy"]).abs() < 0.01, "{served}");
        if let Some(lost) = report.lost {
            assert!(lost.relative > 0.0 && lost.relative < 0.05, "{lost:?}");
        }
        let card = export::read_card(&path).unwrap();
        assert!(card.sha256.is_some() && card.training.contains_key("config"));
        // Another file under the same card is found out.
        std::fs::write(&path, b"other").unwrap();
        let error = export::read_card(&path).unwrap_err().to_string();
        assert!(error.contains("SHA-256"), "{error}");
    }
}
