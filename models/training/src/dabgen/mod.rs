// SPDX-License-Identifier: MPL-2.0
//! The task `dabgen`: dance motion out of music, by diffusion.
//!
//! Learns from the songs and dances that `dance-train dabgen data` makes.

pub mod data;
pub mod eval;
pub mod generator;
pub mod sheet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use dance_rhythm::motion_diffusion::music::VALUES;
use dance_rhythm::motion_diffusion::schedule::Schedule;
use dance_rhythm::motion_diffusion::{COORDINATES, GIVEN, JOINTS, TOKENS};
use ndarray::{Array1, Array2, Array3, ArrayD};
use serde::Deserialize;

use crate::checkpoint::Figures;
use crate::task::{Batch, Task, Tensors};
use dance_corpus::Split;
use dance_corpus::dance::window::{CHANCES, Known, Song, Window};
use dance_corpus::dance::{genres, performances};
use dance_corpus::random::Random;
use dance_networks::dabgen::Motion;
use dance_networks::layers::Scope;
use dance_networks::network::Network;
use dance_networks::ops::Ops;
use dance_networks::weights;

/// The `[task]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of songs to learn from.
    pub train: PathBuf,
    /// Folder of songs held out: every other one validates, the rest test.
    pub held_out: PathBuf,
    /// Windows in a batch.
    pub batch: usize,
    /// The largest weight of a noise level is this signal-to-noise ratio (T. Hang et al.,
    /// "Efficient diffusion training via min-SNR weighting strategy", ICCV 2023).
    pub snr: f64,
    /// The smallest weight of a noise level.
    pub floor: f64,
    /// How much errors of speed count beside errors of place.
    pub velocity: f32,
    /// How much errors of depth count.
    pub depth: f32,
    /// Chance that a window is learned without music, style and energy.
    pub unconditional: f64,
    /// Chance that it is learned without style, where it is not without all of it.
    pub unstyled: f64,
    /// Chance that it is learned without energy.
    pub unenergetic: f64,
    /// The network.
    pub network: Motion,
}

/// The task.
pub struct Generate {
    settings: Settings,
    seed: u64,
    schedule: Schedule,
    /// Training, validation, test.
    songs: [Vec<PathBuf>; 3],
    /// Songs that were read; all fit into memory.
    read: Mutex<BTreeMap<PathBuf, Arc<Song>>>,
}

impl Generate {
    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The songs of a split.
    pub fn songs(&self, split: Split) -> &[PathBuf] {
        &self.songs[split as usize]
    }

    /// A song, read once.
    ///
    /// # Errors
    /// As [`performances::load`].
    pub fn song(&self, path: &Path) -> Result<Arc<Song>> {
        // A thread that panicked left the map as it was.
        let known = |task: &Self| {
            let map = task.read.lock().unwrap_or_else(PoisonError::into_inner);
            map.get(path).cloned()
        };
        if let Some(song) = known(self) {
            return Ok(song);
        }
        let song = Arc::new(performances::load(path)?);
        let mut map = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(map.entry(path.to_owned()).or_insert(song).clone())
    }

    /// One window of a split; each time another song where one has none that fits.
    fn window(&self, split: Split, index: u64, random: &mut Random) -> Result<Window> {
        let songs = self.songs(split);
        let count = songs.len();
        for k in 0..count.max(16) {
            let n = match split {
                Split::Training => random.index(count),
                Split::Validation | Split::Test => (index as usize + k) % count,
            };
            let song = self.song(&songs[n])?;
            let clock = self.settings.network.time.into();
            if let Some(window) = song.window(clock, &CHANCES, random) {
                return Ok(window);
            }
        }
        anyhow::bail!(
            "no song of the {} data has a window that fits",
            split.name()
        )
    }
}

impl Task for Generate {
    const NAME: &'static str = "dabgen";
    type Settings = Settings;
    type Network = Motion;

    fn new(settings: Settings, seed: u64) -> Result<Self> {
        let network = &settings.network;
        ensure!(
            settings.batch > 0 && network.layers > 0 && network.heads > 0,
            "task: batch, network.layers and network.heads must be more than 0"
        );
        ensure!(
            network.width.is_multiple_of(2 * network.heads),
            "task.network: width = {} must be a multiple of twice the heads",
            network.width
        );
        let names: Vec<&str> = genres::shipped()?.iter().map(|g| g.name.as_str()).collect();
        ensure!(
            network.styles == names,
            "task.network.styles are {:?}, the dances have {names:?}",
            network.styles
        );
        let train = performances::list(&settings.train)?;
        let (mut held_out, mut test) = (Vec::new(), Vec::new());
        for (n, path) in performances::list(&settings.held_out)?
            .into_iter()
            .enumerate()
        {
            if n % 2 == 0 { &mut held_out } else { &mut test }.push(path);
        }
        ensure!(
            !test.is_empty(),
            "{}: one song cannot both validate and test",
            settings.held_out.display()
        );
        Ok(Self {
            songs: [train, held_out, test],
            schedule: Schedule::default(),
            read: Mutex::default(),
            settings,
            seed,
        })
    }

    fn network(&self) -> &Motion {
        &self.settings.network
    }

    fn batch(&self, split: Split, index: u64) -> Result<Batch> {
        let settings = &self.settings;
        let count = settings.batch;
        let salt = (split as u64) << 60;
        let random = &mut Random::new(self.seed ^ salt, index);
        let styles = settings.network.styles.len();
        let mut rng = weights::rng(self.seed, &format!("{}/{index}", split.name()));
        let mut target = Array3::<f32>::zeros((count, TOKENS, COORDINATES));
        let mut noisy = target.clone();
        let mut known = target.clone();
        let mut mask = Array2::<f32>::zeros((count, TOKENS));
        let mut depth = Array3::<f32>::zeros((count, TOKENS, JOINTS));
        let mut music = Array3::<f32>::zeros((count, TOKENS, VALUES));
        let mut reference = Array2::<f32>::zeros((count, COORDINATES));
        let mut style = Array2::<f32>::zeros((count, styles));
        let mut energy = Array2::<f32>::zeros((count, 2));
        let mut timestep = Array1::<f32>::zeros(count);
        let mut condition = Array1::<f32>::ones(count);
        let mut weight = Array3::<f32>::zeros((count, 1, 1));
        let phase = random.unit();
        for n in 0..count {
            let window = self.window(split, index * count as u64 + n as u64, random)?;
            // Noise levels are spread evenly over a batch, so that its loss says more.
            let at = (phase + n as f64 / count as f64).fract();
            let step = ((at * self.schedule.len() as f64) as usize).min(self.schedule.len() - 1);
            let (signal, noise) = (self.schedule.signal(step), self.schedule.noise(step));
            let snr = self.schedule.signal_to_noise(step);
            weight[[n, 0, 0]] = snr.clamp(settings.floor, settings.snr) as f32;
            timestep[n] = step as f32;
            let first = match window.known {
                Known::Before => GIVEN,
                Known::Reference => 1,
                Known::Nothing => 0,
            };
            let normal = weights::normal(&mut rng, TOKENS * COORDINATES);
            for token in 0..TOKENS {
                mask[[n, token]] = f32::from(u8::from(token < first));
                for c in 0..COORDINATES {
                    let k = token * COORDINATES + c;
                    let x = window.tokens[k];
                    target[[n, token, c]] = x;
                    noisy[[n, token, c]] = (signal as f32) * x + (noise as f32) * normal[k];
                    if token < first {
                        known[[n, token, c]] = x;
                    }
                }
                for j in 0..JOINTS {
                    depth[[n, token, j]] = window.depth[token * JOINTS + j];
                }
                for v in 0..VALUES {
                    music[[n, token, v]] = window.music[token * VALUES + v];
                }
            }
            for (to, from) in reference.row_mut(n).iter_mut().zip(window.reference) {
                *to = from;
            }
            if random.chance(settings.unconditional) {
                condition[n] = 0.0;
            }
            if !random.chance(settings.unstyled) {
                style[[n, window.genre]] = 1.0;
            }
            if !random.chance(settings.unenergetic) {
                energy[[n, 0]] = window.energy;
                energy[[n, 1]] = 1.0;
            }
        }
        Ok(Batch::from([
            ("noisy".into(), noisy.into()),
            ("timestep".into(), timestep.into()),
            ("music".into(), music.into()),
            ("reference".into(), reference.into()),
            ("style".into(), style.into()),
            ("energy".into(), energy.into()),
            ("known".into(), known.into()),
            ("mask".into(), mask.into()),
            ("condition".into(), condition.into()),
            ("target".into(), target.into()),
            ("target depth".into(), depth.into()),
            ("weight".into(), weight.into()),
        ]))
    }

    fn loss<G: Ops>(&self, scope: &Scope<G>, batch: &Tensors<G>) -> Result<G::Tensor> {
        let g = scope.ops;
        let outputs = self
            .network()
            .forward(scope, &batch.inputs(self.network())?)?;
        let weight = batch.get("weight")?;
        let square = |x: &G::Tensor| g.mul(&g.mul(x, x)?, weight);
        // Where tokens are known there is no error, and none is counted.
        let off = g.sub(&outputs[0], batch.get("target")?)?;
        let place = g.mean_all(&square(&off)?)?;
        let now = g.slice(&off, 1, 1, None)?;
        let before = g.slice(&off, 1, 0, Some(-1))?;
        let speed = g.mean_all(&square(&g.sub(&now, &before)?)?)?;
        let behind = g.sub(&outputs[1], batch.get("target depth")?)?;
        let depth = g.mean_all(&square(&behind)?)?;
        let loss = g.add(&place, &g.scale(&speed, self.settings.velocity)?)?;
        g.add(&loss, &g.scale(&depth, self.settings.depth)?)
    }

    /// Errors of place and speed, as shares of those of a dancer that stands still as in the
    /// reference.
    fn figures(&self, batch: &Batch, outputs: &BTreeMap<String, ArrayD<f32>>) -> Result<Figures> {
        let found = outputs.get("motion").context("no motion")?;
        let truth = batch.get("target").context("no target")?.float32()?;
        let off = found - truth;
        let power = |x: &ArrayD<f32>| f64::from(x.iter().map(|v| v * v).sum::<f32>());
        let change = |x: &ArrayD<f32>| -> ArrayD<f32> {
            let axis = ndarray::Axis(1);
            let tokens = x.len_of(axis);
            let later = x.slice_axis(axis, (1..tokens).into());
            &later - &x.slice_axis(axis, (0..tokens - 1).into())
        };
        let depth = outputs.get("depth").context("no depth")?;
        let behind = batch.get("target depth").context("no depth")?.float32()?;
        let mean = |x: &ArrayD<f32>| power(x) / x.len() as f64;
        Ok(Figures::from([
            ("place error".into(), power(&off) / power(truth).max(1e-9)),
            (
                "speed error".into(),
                power(&change(&off)) / power(&change(truth)).max(1e-9),
            ),
            (
                "depth error".into(),
                power(&(depth - behind)) / power(behind).max(1e-9),
            ),
            ("variance".into(), mean(truth)),
            ("variance of speed".into(), mean(&change(truth))),
        ]))
    }

    fn data(&self) -> String {
        format!(
            "{} songs with dances made by `dance-train dabgen data`: MakeHuman bodies (CC0), moves \
             of its own, motion capture of the CMU Graphics Lab; the sources of the songs stand in \
             models/corpus/config/audio.toml",
            self.songs[0].len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dance_corpus::dance::music::Song as Music;
    use dance_corpus::dance::performance::Performance;
    use dance_corpus::dance::pulse::Pulse;
    use dance_rhythm::motion_diffusion::schedule::STEPS;
    use glam::Vec3;

    /// A song of 12 s at 120 beats a minute with two dances: somebody waves.
    fn song(folder: &Path, name: &str) {
        let beats: Vec<f64> = (0..25).map(|k| 0.5 * f64::from(k)).collect();
        let music = Arc::new(Music {
            name: name.into(),
            style: String::new(),
            rate: 16_000,
            samples: (0..12 * 16_000)
                .map(|n| if n % 8_000 < 400 { 0.5 } else { 0.0 } * (0.3 * n as f32).sin())
                .collect(),
            onsets: beats.clone(),
            beats: Vec::new(),
            meter: 4,
            tempo: 120.0,
            pulse: Pulse::new(&beats, 0, 4).unwrap(),
        });
        let pose = |turn: f32| -> [Vec3; JOINTS] {
            std::array::from_fn(|j| {
                let side = [1.0, -1.0][usize::from(j >= 12)] * f32::from(u8::from(j > 3));
                let high = [1.0, 1.3, 1.5, 1.7][j.min(3)] - 0.1 * (j % 8) as f32;
                Vec3::new(0.2 * side, high + 0.1 * turn.sin(), 0.05 * turn.cos())
            })
        };
        let dances: Vec<Performance> = (0..2)
            .map(|n| Performance {
                song: music.clone(),
                genre: 3 + n,
                person: 1,
                captured: false,
                height: 1.75,
                joints: (0..361).map(|t| pose(0.2 * t as f32)).collect(),
                standing: pose(0.0),
            })
            .collect();
        performances::save(&folder.join(format!("{name}.safetensors")), &dances).unwrap();
    }

    fn task(folder: &Path) -> Generate {
        let text = include_str!("../../config/dabgen-motion.toml");
        let mut settings = crate::config::parse::<Settings>(text).unwrap().task;
        settings.batch = 24;
        for (k, place) in [&mut settings.train, &mut settings.held_out]
            .into_iter()
            .enumerate()
        {
            *place = folder.join(format!("{k}"));
            std::fs::create_dir_all(&*place).unwrap();
            for name in ["a", "b"] {
                song(place, name);
            }
        }
        Generate::new(settings, 7).unwrap()
    }

    #[test]
    fn batches_are_what_the_network_and_its_loss_expect() {
        let folder = tempfile::tempdir().unwrap();
        let task = task(folder.path());
        let batch = task.batch(Split::Training, 5).unwrap();
        assert_eq!(batch, task.batch(Split::Training, 5).unwrap());
        assert_ne!(batch, task.batch(Split::Training, 6).unwrap());
        let extents = BTreeMap::from([("batch".to_owned(), 24)]);
        for port in task.network().inputs() {
            let shape = port.extents(&extents).unwrap();
            assert_eq!(batch[&port.name].shape(), shape, "{}", port.name);
        }
        let get = |name: &str| batch[name].float32().unwrap();
        let (target, noisy, known) = (get("target"), get("noisy"), get("known"));
        let schedule = Schedule::default();
        let mut counts = std::collections::BTreeSet::new();
        for n in 0..24 {
            let step = get("timestep")[[n]] as usize;
            assert!(step < STEPS);
            let (signal, noise) = (schedule.signal(step) as f32, schedule.noise(step) as f32);
            let mut power = 0.0;
            let mut count = 0;
            for t in 0..TOKENS {
                let given = get("mask")[[n, t]] == 1.0;
                count += usize::from(given);
                for c in 0..COORDINATES {
                    let x = target[[n, t, c]];
                    power += ((noisy[[n, t, c]] - signal * x) / noise).powi(2);
                    assert_eq!(known[[n, t, c]], if given { x } else { 0.0 });
                }
            }
            let power = power / (TOKENS * COORDINATES) as f32;
            assert!((power - 1.0).abs() < 0.15, "{power}");
            counts.insert(count);
            let style: Vec<f32> = get("style")
                .index_axis(ndarray::Axis(0), n)
                .iter()
                .copied()
                .collect();
            let on: Vec<usize> = (0..style.len()).filter(|&k| style[k] == 1.0).collect();
            assert!(on.is_empty() || on == [3] || on == [4], "{on:?}");
            let weight = get("weight")[[n, 0, 0]];
            assert!((0.1..=4.0).contains(&weight));
        }
        assert_eq!(counts, [0, 1, GIVEN].into());
    }

    #[test]
    fn a_dancer_that_is_found_has_no_error_and_one_that_stands_has_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let task = task(folder.path());
        let batch = task.batch(Split::Validation, 0).unwrap();
        let get = |name: &str| batch[name].float32().unwrap().clone();
        let outputs = |motion: ArrayD<f32>, depth: ArrayD<f32>| {
            BTreeMap::from([("motion".to_owned(), motion), ("depth".to_owned(), depth)])
        };
        let (motion, depth) = (get("target"), get("target depth"));
        let found = task
            .figures(&batch, &outputs(motion.clone(), depth.clone()))
            .unwrap();
        let still = task
            .figures(&batch, &outputs(0.0 * motion, 0.0 * depth))
            .unwrap();
        for name in ["place error", "speed error", "depth error"] {
            assert!(found[name].abs() < 1e-9 && (still[name] - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn styles_that_are_not_those_of_the_dances_are_told() {
        let text = include_str!("../../config/dabgen-motion.toml");
        let mut settings = crate::config::parse::<Settings>(text).unwrap().task;
        settings.network.styles.swap(0, 1);
        let error = Generate::new(settings, 1)
            .err()
            .map(|e| e.to_string())
            .unwrap();
        assert!(error.contains("styles"), "{error}");
    }
}
