// SPDX-License-Identifier: MPL-2.0
//! `dabgen eval`: whether generated dances are on the beat, beside true ones.

use super::generator::{Wish, dance, tokens};
use super::{Generate, sheet};
use crate::config;
use crate::runtime::Graph;
use crate::task::Task;
use anyhow::{Context, Result, ensure};
use dance_corpus::Split;
use dance_corpus::dance::kinetics;
use dance_corpus::dance::skeleton::STICKS;
use dance_corpus::dance::window::{Pose, Song, View, facing};
use dance_corpus::random::Random;
use dance_rhythm::motion_diffusion::pose::Reference;
use dance_rhythm::motion_diffusion::sampler::{Method, Settings};
use dance_rhythm::motion_diffusion::{COORDINATES, Clock, GIVEN, JOINTS, TOKENS};
use glam::Vec3;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Measures dances that an exported network makes for people, songs and moves that were held out.
#[derive(clap::Args, Debug)]
pub struct Eval {
    /// The configuration it was trained with.
    #[arg(long)]
    pub config: PathBuf,
    /// The exported network.
    #[arg(long)]
    pub model: PathBuf,
    /// How many dances.
    #[arg(long, default_value_t = 24)]
    pub count: usize,
    /// Windows of each dance, one after the other.
    #[arg(long, default_value_t = 3)]
    pub windows: usize,
    /// How often the network is asked for a window.
    #[arg(long, default_value_t = 10)]
    pub steps: usize,
    /// Guidance; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1.25")]
    pub guidance: Vec<f32>,
    /// DDIM instead of DPM-Solver++.
    #[arg(long)]
    pub ddim: bool,
    /// ln(speed / usual) that is asked for; as it comes unless given.
    #[arg(long, allow_negative_numbers = true)]
    pub energy: Option<f32>,
    /// Whether each dance is also made for another song, which it should follow then.
    #[arg(long)]
    pub swap: bool,
    /// Draws dances, true and generated, as stick figures into a picture (PNG).
    #[arg(long)]
    pub sheet: Option<PathBuf>,
}

/// A true dance, and what is needed to make another in its place.
struct Case {
    song: Arc<Song>,
    /// Of each token, and one more.
    instants: Vec<f64>,
    music: Vec<f32>,
    reference: Reference,
    wish: Wish,
    truth: Vec<[[f32; 2]; JOINTS]>,
    /// Lengths of [`STICKS`], as long as they would be seen from the side.
    bones: Vec<f32>,
}

/// How a dance moves.
struct Kinetics {
    /// Seconds at which it is slowest.
    stops: Vec<f64>,
    /// Mean speed of the joints in sizes of the body a second.
    speed: f64,
    /// Mean change of that speed from one hundredth of a second to the next, of each joint.
    jerk: f64,
    /// The 99th percentile of how long bones are, against how long they can be.
    stretch: f64,
}

/// A minimum of speed this near to a beat is on it, in seconds.
const NEAR: f64 = 0.05;

impl Case {
    fn new(task: &Generate, index: usize, windows: usize) -> Result<Option<Self>> {
        let songs = task.songs(Split::Test);
        let song = task.song(&songs[index % songs.len()])?;
        let random = &mut Random::new(0x6461_6e63, index as u64);
        let clock: Clock = task.network().time.into();
        let number = random.index(song.dances());
        let wanted = tokens(windows);
        let start = random.range(0.0, 2.0);
        let instants = song.instants(start, wanted, clock);
        if instants.last().is_none_or(|end| *end > song.seconds()) {
            return Ok(None);
        }
        let poses: Vec<Pose> = instants[..wanted]
            .iter()
            .map(|&t| song.pose(number, t))
            .collect();
        let from_reference = index.is_multiple_of(2);
        let reference = if from_reference {
            poses[0]
        } else {
            song.standing(number)
        };
        let path: Vec<Vec3> = poses.iter().step_by(8).map(|p| p[0]).collect();
        let view = song.view(number, facing(&reference), &path, random);
        let (joints, _) = view.joints(&reference);
        let seen = Reference::new(joints).context("the reference is no body")?;
        let mut style = vec![0.0; task.network().styles.len()];
        style[song.genres[number]] = 1.0;
        Ok(Some(Self {
            music: song.music(&instants, true),
            wish: Wish {
                reference: seen.condition(),
                style,
                energy: None,
                from_reference,
            },
            truth: poses.iter().map(|p| view.joints(p).0).collect(),
            bones: bones(&view, &reference),
            reference: seen,
            instants,
            song,
        }))
    }

    fn beats(&self) -> Vec<f64> {
        let last = self.instants.len() - 2;
        self.song
            .pulse
            .beats(self.instants[0] - NEAR, self.instants[last] + NEAR)
    }

    fn seconds(&self) -> f64 {
        self.instants[self.instants.len() - 2] - self.instants[0]
    }

    /// Kinetics of poses at `instants`.
    fn kinetics(&self, poses: &[[[f32; 2]; JOINTS]], instants: &[f64]) -> Kinetics {
        let (first, last) = (instants[0], instants[poses.len() - 1]);
        let count = ((last - first) * kinetics::RATE) as usize;
        let at = |n: usize| -> [[f32; 2]; JOINTS] {
            let time = first + n as f64 / kinetics::RATE;
            let k = instants[..poses.len()]
                .partition_point(|&t| t <= time)
                .clamp(1, poses.len() - 1)
                - 1;
            let u = ((time - instants[k]) / (instants[k + 1] - instants[k])) as f32;
            between(poses, k, u)
        };
        let size = self.reference.size();
        let mut raw = Vec::with_capacity(count);
        let (mut jerk, mut last, mut before) = (0.0f64, at(0), None::<Vec<[f32; 2]>>);
        for n in 1..count {
            let now = at(n);
            let ways: Vec<[f32; 2]> = now
                .iter()
                .zip(&last)
                .map(|(a, b)| [(a[0] - b[0]) / size, (a[1] - b[1]) / size])
                .collect();
            let far: f32 = ways.iter().map(|[x, y]| x.hypot(*y)).sum();
            raw.push(far / JOINTS as f32 * kinetics::RATE as f32);
            if let Some(before) = &before {
                let change: f32 = ways
                    .iter()
                    .zip(before)
                    .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
                    .sum();
                jerk += f64::from(change) / JOINTS as f64 * kinetics::RATE;
            }
            before = Some(ways);
            last = now;
        }
        let curve = kinetics::smooth(&raw, 0.025 * kinetics::RATE);
        let stops = kinetics::minima(&curve)
            .into_iter()
            .map(|n| first + (n as f64 + 1.0) / kinetics::RATE)
            .collect();
        let mut lengths: Vec<f32> = poses
            .iter()
            .flat_map(|pose| {
                STICKS.iter().zip(&self.bones).map(|(&(a, b), bone)| {
                    (pose[a][0] - pose[b][0]).hypot(pose[a][1] - pose[b][1]) / bone
                })
            })
            .collect();
        lengths.sort_by(f32::total_cmp);
        Kinetics {
            stops,
            speed: raw.iter().map(|x| f64::from(*x)).sum::<f64>() / raw.len().max(1) as f64,
            jerk: jerk / raw.len().max(1) as f64,
            stretch: f64::from(lengths[lengths.len() * 99 / 100]),
        }
    }
}

/// Between two poses along the curves of E. Catmull and R. Rom, 1974.
fn between(poses: &[[[f32; 2]; JOINTS]], k: usize, u: f32) -> [[f32; 2]; JOINTS] {
    let last = poses.len() - 1;
    let [a, b, c, d] =
        [k.saturating_sub(1), k, (k + 1).min(last), (k + 2).min(last)].map(|n| poses[n]);
    std::array::from_fn(|j| {
        std::array::from_fn(|x| {
            let (a, b, c, d) = (a[j][x], b[j][x], c[j][x], d[j][x]);
            let (one, two) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d);
            b + 0.5 * u * (one + u * (two + u * (3.0 * (b - c) + d - a)))
        })
    })
}

/// How long the bones of the reference are in the picture, were they all seen from the side.
fn bones(view: &View, reference: &Pose) -> Vec<f32> {
    let scale = {
        // One metre to the side at the pelvis.
        let shown = |p: Vec3| view.joints(&[p; JOINTS]).0[0];
        let up = [reference[0], reference[0] + 0.1 * Vec3::Y].map(shown);
        let across = [reference[0], reference[0] + 0.1 * Vec3::X].map(shown);
        let far = |[a, b]: [[f32; 2]; 2]| 10.0 * (a[0] - b[0]).hypot(a[1] - b[1]);
        far(up).max(far(across))
    };
    let bone = |&(a, b): &(usize, usize)| reference[a].distance(reference[b]) * scale;
    STICKS.iter().map(bone).collect()
}

/// Sums over dances.
#[derive(Default)]
struct Sums {
    hits: f64,
    null: f64,
    count: f64,
    speed: f64,
    jerk: f64,
    stretch: f64,
    stops: f64,
    dances: f64,
}

impl Sums {
    fn add(&mut self, kinetics: &Kinetics, beats: &[f64], start: f64, seconds: f64) {
        let from_start = |times: &[f64]| times.iter().map(|t| t - start).collect::<Vec<f64>>();
        let (stops, beats) = (from_start(&kinetics.stops), from_start(beats));
        if let (Some(hits), Some(null)) = (
            kinetics::hits(&stops, &beats, NEAR),
            kinetics::null(&stops, &beats, NEAR, seconds),
        ) {
            self.hits += hits;
            self.null += null;
            self.count += 1.0;
        }
        self.speed += kinetics.speed;
        self.jerk += kinetics.jerk;
        self.stretch += kinetics.stretch;
        self.stops += stops.len() as f64 / seconds;
        self.dances += 1.0;
    }

    fn lift(&self) -> f64 {
        (self.hits - self.null) / self.count.max(1.0)
    }

    fn line(&self, name: &str, truth: Option<&Self>) -> String {
        let per = |x: f64| x / self.dances.max(1.0);
        let share = |x: f64, y: f64| x / y.max(1e-9);
        let mut line = format!(
            "{name}: on the beat {:.3}, by chance {:.3}, lift {:+.3}",
            self.hits / self.count.max(1.0),
            self.null / self.count.max(1.0),
            self.lift()
        );
        if let Some(truth) = truth {
            let _ = write!(
                line,
                " ({:.0} % of the truth's), speed {:.2}, jerk {:.2} of the truth's",
                100.0 * share(self.lift(), truth.lift()),
                share(self.speed, truth.speed),
                share(self.jerk, truth.jerk)
            );
        }
        let _ = writeln!(
            line,
            ", {:.2} minima a second, mean speed {:.3}, bones {:.3}",
            per(self.stops),
            per(self.speed),
            per(self.stretch)
        );
        line
    }
}

impl Eval {
    /// Measures.
    ///
    /// # Errors
    /// When data or the network cannot be read, or the network does not run.
    pub fn run(&self) -> Result<String> {
        ensure!(
            self.count > 0 && self.windows > 0,
            "--count and --windows must be more than 0"
        );
        let (config, _) = config::load::<<Generate as Task>::Settings>(&self.config)?;
        let task = Generate::new(config.task, config.seed)?;
        let bytes = std::fs::read(&self.model)
            .with_context(|| format!("cannot read {}", self.model.display()))?;
        let mut graph = Graph::load(&bytes)?;
        let mut cases = Vec::new();
        for index in 0..20 * self.count {
            if cases.len() < self.count {
                cases.extend(Case::new(&task, index, self.windows)?);
            }
        }
        ensure!(
            cases.len() == self.count,
            "only {} dances are long enough",
            cases.len()
        );
        let mut truth = Sums::default();
        for case in &cases {
            let kinetics = case.kinetics(&case.truth, &case.instants);
            truth.add(&kinetics, &case.beats(), case.instants[0], case.seconds());
        }
        let mut text = truth.line("true dances", None);
        for &guidance in &self.guidance {
            let settings = Settings {
                steps: self.steps,
                guidance,
                method: if self.ddim {
                    Method::Ddim
                } else {
                    Method::DpmPlusPlus
                },
                ..Settings::default()
            };
            text += &self.generated(&mut graph, &cases, &settings, &truth)?;
        }
        Ok(text)
    }

    fn generated(
        &self,
        graph: &mut Graph,
        cases: &[Case],
        settings: &Settings,
        truth: &Sums,
    ) -> Result<String> {
        let (mut own, mut new, mut old) = (Sums::default(), Sums::default(), Sums::default());
        let mut seams = [0.0f64; 2];
        let mut rows = Vec::new();
        for (n, case) in cases.iter().enumerate() {
            let wish = Wish {
                energy: self.energy,
                ..case.wish.clone()
            };
            let mut make = |music: &[f32]| -> Result<Vec<[[f32; 2]; JOINTS]>> {
                let made = dance(graph, &wish, music, (self.windows, n as u64), settings)?;
                seam(&made, &mut seams);
                let tokens = made.chunks_exact(COORDINATES);
                let pose = |token| case.reference.limited(&case.reference.pose(token));
                Ok(tokens.map(pose).collect())
            };
            let poses = make(&case.music)?;
            let kinetics = case.kinetics(&poses, &case.instants);
            own.add(&kinetics, &case.beats(), case.instants[0], case.seconds());
            if self.swap {
                // To the music of the next dance; its beats are new, those of this one are old.
                let other = &cases[(n + 1) % cases.len()];
                let swapped = make(&other.music)?;
                let kinetics = case.kinetics(&swapped, &other.instants);
                let seconds = other.seconds();
                new.add(&kinetics, &other.beats(), other.instants[0], seconds);
                let late = other.instants[0] - case.instants[0];
                let beats: Vec<f64> = case.beats().iter().map(|t| t + late).collect();
                old.add(&kinetics, &beats, other.instants[0], seconds);
            }
            if self.sheet.is_some() {
                rows.push(sheet::Row {
                    reference: *case.reference.joints(),
                    truth: case.truth.clone(),
                    made: poses,
                });
            }
        }
        if let Some(path) = &self.sheet {
            sheet::draw(path, &rows)?;
        }
        let name = format!("guidance {}, {} steps", settings.guidance, settings.steps);
        let mut text = own.line(&name, Some(truth));
        let _ = writeln!(
            text,
            "  change of speed at seams {:.2} of that elsewhere",
            seams[0] / seams[1].max(1e-9)
        );
        if self.swap {
            text += &new.line("  another song, its beats", Some(truth));
            text += &old.line("  another song, the old beats", Some(truth));
        }
        Ok(text)
    }
}

/// Adds the mean change of speed from token to token where windows meet, and elsewhere.
fn seam(made: &[f32], sums: &mut [f64; 2]) {
    let count = made.len() / COORDINATES;
    let (mut at, mut all) = ([0.0f64; 2], [0usize; 2]);
    for t in 1..count - 1 {
        let change: f32 = (0..COORDINATES)
            .map(|c| {
                let x = |n: usize| made[n * COORDINATES + c];
                (x(t + 1) - 2.0 * x(t) + x(t - 1)).abs()
            })
            .sum();
        // The token before and after the last one that was given.
        let past = t + 1;
        let joins = past >= TOKENS && (past - TOKENS) % (TOKENS - GIVEN) <= 1;
        let kind = usize::from(!joins);
        at[kind] += f64::from(change);
        all[kind] += 1;
    }
    for kind in 0..2 {
        sums[kind] += at[kind] / all[kind].max(1) as f64;
    }
}
