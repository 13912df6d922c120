// SPDX-License-Identifier: MPL-2.0
//! `mudar eval`: visual beats of a folder of features, by the motion method of `rhythmtag` and by the joint network.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dance_networks::mudar::{CHANNELS, FRAME_RATE, SIDE};
use dance_networks::network::Array;
use dance_rhythm::feature;
use dance_rhythm::metrics::matches;
use dance_rhythm::motion::descriptor;
use dance_rhythm::motion::hoof::{DEFAULT_BINS, Hoof};
use dance_rhythm::motion::kinetics::Kinetics;
use dance_rhythm::motion::{Flow, hoof};
use dance_rhythm::visual::{Config, Detector, Frame, FrameMotion};
use ndarray::{Array2, Array3, Array5, ArrayD, s};

use super::analysis::{Motion, Status};
use super::data::{Clip, MUSIC_RATE};
use super::example::{self, Example};
use super::pick::{self, WINDOW};
use crate::runtime::Graph;

/// Measures visual beats.
#[derive(clap::Args, Debug)]
pub struct Eval {
    /// Folder of features.
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Folder of mudar-music.onnx and mudar-rhythm.onnx; the motion method alone without.
    #[arg(long, value_name = "FOLDER")]
    pub models: Option<PathBuf>,
    /// At most so many clips.
    #[arg(long)]
    pub count: Option<usize>,
}

/// A mark: seconds, and how sure it is.
type Mark = (f64, f64);

/// Counts over clips.
#[derive(Default)]
struct Score {
    right: usize,
    found: usize,
    there: usize,
    chance: f64,
    clips: usize,
    offsets: Vec<f64>,
    /// Marks in tenths of their confidence: how many, how many right, the sum of confidences.
    bins: [(usize, usize, f64); 10],
}

impl Score {
    fn add(&mut self, truth: &[f64], marks: &[Mark], seconds: f64) {
        let times: Vec<f64> = marks.iter().map(|mark| mark.0).collect();
        let pairs = matches(truth, &times, WINDOW);
        self.right += pairs.len();
        self.found += times.len();
        self.there += truth.len();
        self.clips += 1;
        self.chance += pick::chance(truth, &times, seconds);
        let mut is_right = vec![false; times.len()];
        for &(at, by) in &pairs {
            self.offsets.push(times[by] - truth[at]);
            is_right[by] = true;
        }
        for (mark, right) in marks.iter().zip(is_right) {
            let bin = &mut self.bins[((mark.1 * 10.0) as usize).min(9)];
            *bin = (bin.0 + 1, bin.1 + usize::from(right), bin.2 + mark.1);
        }
    }

    fn f(&self) -> f64 {
        2.0 * self.right as f64 / (self.found + self.there).max(1) as f64
    }

    /// The mean distance between the confidence of marks and the share of them that is right, in tenths.
    fn calibration(&self) -> f64 {
        let off = |bin: &(usize, usize, f64)| (bin.2 - bin.1 as f64).abs();
        self.bins.iter().map(off).sum::<f64>() / self.found.max(1) as f64
    }

    fn line(&self, name: &str) -> String {
        let mut offsets = self.offsets.clone();
        offsets.sort_by(f64::total_cmp);
        let median = offsets.get(offsets.len() / 2).copied().unwrap_or(0.0);
        let share = |of: usize| self.right as f64 / of.max(1) as f64;
        format!(
            "{name:<24} F {:.3}  by chance {:.3}  precision {:.3}  recall {:.3}  median {:+.0} ms  calibration error {:.3}\n",
            self.f(),
            self.chance / self.clips.max(1) as f64,
            share(self.found),
            share(self.there),
            1000.0 * median,
            self.calibration()
        )
    }
}

impl Eval {
    /// Measures.
    ///
    /// # Errors
    /// Naming the file that cannot be read, or as ONNX Runtime.
    pub fn run(&self) -> Result<String> {
        let mut files = example::list(&self.folder)?;
        files.truncate(self.count.unwrap_or(usize::MAX));
        let mut models = self.models.as_deref().map(Models::load).transpose()?;
        let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
        let mut genres: BTreeMap<(String, &str), Score> = BTreeMap::new();
        for path in &files {
            let example = Example::load(path)?;
            let truth = example.info.visual_beats.clone();
            let genre = example.info.genre.clone();
            let fps = f64::from(example.info.fps);
            let seconds = example.motion.status.len() as f64 / fps;
            let mut found = vec![
                ("motion, whole", motion(&example.motion, fps, true)?),
                ("motion, stream", motion(&example.motion, fps, false)?),
            ];
            if let Some(models) = &mut models {
                let clip = Clip::new(example)?;
                let [with, without] = models
                    .marks(&clip)
                    .with_context(|| path.display().to_string())?;
                found.push(("model with music", with));
                found.push(("model", without));
            }
            for (name, marks) in found {
                scores.entry(name).or_default().add(&truth, &marks, seconds);
                let of_genre = genres.entry((genre.clone(), name)).or_default();
                of_genre.add(&truth, &marks, seconds);
            }
        }
        let mut text = format!("{}: {} clips\n", self.folder.display(), files.len());
        for (name, score) in &scores {
            text += &score.line(name);
        }
        for ((genre, name), score) in &genres {
            let _ = writeln!(text, "{genre:<12} {name:<20} F {:.3}", score.f());
        }
        Ok(text)
    }
}

/// The marks of the motion method, of a whole or of a stream.
fn motion(motion: &Motion, fps: f64, offline: bool) -> Result<Vec<Mark>> {
    let mut detector = Detector::new(Config {
        offline,
        ..Config::default()
    })?;
    let directions = Hoof::new(DEFAULT_BINS).context("no histogram")?;
    let (_, _, height, width) = motion.flow.dim();
    let mut marks = Vec::new();
    for (t, status) in motion.status.iter().enumerate() {
        let plane = |axis: usize| -> Vec<f32> {
            let plane = motion.flow.slice(s![t, axis, .., ..]);
            plane.iter().copied().collect()
        };
        let (x, y) = (plane(0), plane(1));
        let flow = Flow::new(width, height, &x, &y).context("a flow without a size")?;
        let kinetics = Kinetics::new(&flow);
        let histogram: Vec<f64> = hoof::normalised(&directions.histogram(&flow))
            .iter()
            .map(|bin| bin * kinetics.magnitude)
            .collect();
        let content = match status {
            Status::Flow => FrameMotion::Measured {
                interval: 1.0 / fps,
                histogram: &histogram,
                moving: kinetics.moving,
                foreground: kinetics.foreground,
            },
            Status::Repeated => FrameMotion::Repeated,
            Status::First | Status::Cut => FrameMotion::Unknown,
        };
        let frame = Frame {
            time: t as f64 / fps,
            motion: content,
        };
        detector.push(frame, &mut |beat| marks.push((beat.time, beat.confidence)));
    }
    detector.finish(&mut |beat| marks.push((beat.time, beat.confidence)));
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(marks)
}

/// The graphs.
struct Models {
    music: Graph,
    rhythm: Graph,
}

impl Models {
    fn load(folder: &Path) -> Result<Self> {
        let load = |name: &str| -> Result<Graph> {
            let path = folder.join(name);
            let bytes =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Graph::load(&bytes).with_context(|| path.display().to_string())
        };
        Ok(Self {
            music: load("mudar-music.onnx")?,
            rhythm: load("mudar-rhythm.onnx")?,
        })
    }

    /// The marks of a clip with its music, and without.
    fn marks(&mut self, clip: &Clip) -> Result<[Vec<Mark>; 2]> {
        let frames = clip.frames;
        let heard = (frames as f64 / clip.fps * MUSIC_RATE) as usize;
        let (numbers, heard_at) = clip.music(0.0, heard);
        let times = Array2::from_shape_fn((1, frames), |(_, t)| (t as f64 / clip.fps) as f32);
        let music = Array3::from_shape_vec((1, heard, feature::VALUES), numbers)?;
        let heard_at = Array2::from_shape_vec((1, heard), heard_at)?;
        let outputs = self.music.run(
            &[
                ("music".to_owned(), Array::from(music)),
                ("music_times".to_owned(), heard_at.into()),
                ("times".to_owned(), times.clone().into()),
            ]
            .into(),
        )?;
        let features = outputs.get("features").context("no features")?;
        let map = Array5::from_shape_vec(
            (1, frames, CHANNELS, SIDE, SIDE),
            clip.map(0, frames).collect(),
        )?;
        let motion = Array3::from_shape_vec(
            (1, frames, descriptor::VALUES),
            clip.motion(0, frames).iter().copied().collect(),
        )?;
        let mut found = Vec::new();
        for flag in [1.0, 0.0] {
            let outputs = self.rhythm.run(
                &[
                    ("map".to_owned(), Array::from(map.clone())),
                    ("motion".to_owned(), motion.clone().into()),
                    ("times".to_owned(), times.clone().into()),
                    (
                        "music_features".to_owned(),
                        Array::Float32(features.clone()),
                    ),
                    (
                        "has_music".to_owned(),
                        Array2::from_elem((1, 1), flag).into(),
                    ),
                ]
                .into(),
            )?;
            let rhythm: &ArrayD<f32> = outputs.get("rhythm").context("no rhythm")?;
            let rhythm: Vec<f32> = rhythm.iter().copied().collect();
            let peaks = pick::peaks(&rhythm, pick::THRESHOLD);
            let kept = pick::marks(&peaks, FRAME_RATE);
            found.push(kept);
        }
        let without = found.pop().unwrap_or_default();
        Ok([found.pop().unwrap_or_default(), without])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_count_what_is_right_and_how_sure_it_was() {
        let mut score = Score::default();
        let truth = [1.0, 2.0, 3.0, 4.0];
        let marks = [(1.02, 0.9), (2.3, 0.3), (2.96, 0.9), (4.01, 0.8)];
        score.add(&truth, &marks, 5.0);
        assert_eq!((score.right, score.found, score.there), (3, 4, 4));
        assert!((score.f() - 0.75).abs() < 1e-9);
        // Two of two at .9, none of one at .3, one of one at .8.
        let expected = (0.2 + 0.3 + 0.2) / 4.0;
        assert!((score.calibration() - expected).abs() < 1e-9);
        assert!(score.line("x").contains("F 0.750"), "{}", score.line("x"));
    }

    #[test]
    fn the_motion_method_finds_where_motion_ends() {
        // The dancer swings twice a second and stands still where it turns.
        let count = 160;
        let mut flow = ndarray::Array4::zeros((count, 2, 32, 32));
        for t in 0..count {
            let speed = (std::f32::consts::TAU * t as f32 / 20.0).sin().abs();
            flow.slice_mut(s![t, 0, 8..24, 8..24]).fill(3.0 * speed);
        }
        let mut status = vec![Status::Flow; count];
        status[0] = Status::First;
        let motion_of = Motion {
            status,
            regions: vec![dance_rhythm::motion::region::Region::whole([128, 128]); count],
            flow,
            map: ndarray::Array4::zeros((count, 1, 1, 1)),
        };
        let marks = motion(&motion_of, 20.0, true).unwrap();
        assert!((12..=17).contains(&marks.len()), "{marks:?}");
        // What still rises at the end is none that can be measured.
        for (time, _) in marks.iter().filter(|mark| mark.0 < 7.7) {
            let off = (time + 0.025 + 0.25).rem_euclid(0.5) - 0.25;
            assert!(off.abs() < 0.08, "{time}");
        }
    }
}
