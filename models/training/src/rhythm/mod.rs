//! The task `rhythm`: onsets, beats and downbeats of music.
//!
//! Learns from the clips that `dance-train audio features` makes.

pub mod cache;
pub mod network;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use dance_rhythm::network::{BANDS, FRAME_RATE};
use ndarray::{Array2, Array3, ArrayD};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::checkpoint::Figures;
use crate::layers::{Scope, binary_cross_entropy};
use crate::network::{Network, Port};
use crate::ops::Ops;
use crate::task::{Batch, Split, Task, Tensors};
use crate::weights;
use cache::Example;
use network::{DELAY, LABELS, Rhythm};

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of clips to learn from.
    pub train: PathBuf,
    /// Folder of clips held out. Half of them validate, half of them test.
    pub validation: PathBuf,
    /// Clips in a batch.
    pub batch: usize,
    /// Frames of a clip in a batch; longer clips are cut at random, shorter ones refused.
    pub frames: usize,
    /// The network.
    pub network: Rhythm,
}

/// The task.
#[derive(Clone, Debug)]
pub struct Task_ {
    settings: Settings,
    seed: u64,
    train: Vec<PathBuf>,
    held_out: Vec<PathBuf>,
}
