// SPDX-License-Identifier: MPL-2.0
//! `corpus preview`: contact sheets to look at; `corpus write`: clips in a folder; `corpus pairs`:
//! frames with the flow between them; `corpus import`: clips cut out of recorded videos.

use anyhow::Context as _;
use dance_corpus::dance::recordings::{DABFUSION, Layout, MUDAR, Recordings};
use dance_corpus::dance::skeleton::{self, STICKS};
use dance_corpus::dance::{Clip, Config, Corpus, Factor, Frames, Info, Share, folder, kinetics};
use dance_corpus::flow::pair::Pair;
use dance_corpus::flow::picture as flow;
use dance_corpus::{Error, Split, files};
use epaint_default_fonts::UBUNTU_LIGHT;
use ndarray::{Array3, Axis, s};
use plotters::prelude::*;
use plotters::style::register_font;
use std::path::PathBuf;

/// Which clips a command makes, from what.
#[derive(clap::Args, Clone, Debug)]
pub struct Choice {
    /// Configuration of the corpus (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Body data, instead of the configuration's.
    #[arg(long, value_name = "FOLDER", conflicts_with = "capsules")]
    pub bodies: Option<PathBuf>,
    /// Capsule figures, which need no body data.
    #[arg(long)]
    pub capsules: bool,
    /// Folder of motion capture, instead of the configuration's.
    #[arg(long, value_name = "FOLDER")]
    pub mocap: Option<PathBuf>,
    /// Folder laid out as the Groove MIDI Dataset, instead of the configuration's.
    #[arg(long, value_name = "FOLDER")]
    pub groove: Option<PathBuf>,
    /// Folder of recordings to dance to.
    #[arg(long, value_name = "FOLDER")]
    pub music: Option<PathBuf>,
    /// Folder of photographs for backdrops.
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
    /// Rows and columns, instead of the configuration's.
    #[arg(long, value_name = "PIXELS")]
    pub side: Option<usize>,
    /// Clean pictures: no blur, noise, compression, exposure or letterbox.
    #[arg(long)]
    pub clean: bool,
    /// The first clip's number.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// The split.
    #[arg(long, value_enum, default_value = "training")]
    pub split: Name,
    /// What the split holds out; everything unless given.
    #[arg(long, value_delimiter = ',')]
    pub hold_out: Vec<Factor>,
}

/// A split, on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Name {
    /// To learn from.
    Training,
    /// To measure on while learning.
    Validation,
    /// To report.
    Test,
}

impl From<Name> for Split {
    fn from(name: Name) -> Self {
        match name {
            Name::Training => Self::Training,
            Name::Validation => Self::Validation,
            Name::Test => Self::Test,
        }
    }
}

impl Choice {
    /// The corpus of these clips.
    ///
    /// # Errors
    /// As [`Config::read`] and [`Corpus::new`].
    pub fn corpus(&self) -> Result<Corpus, Error> {
        self.corpus_at(None)
    }

    /// The corpus of these clips at another frame rate.
    fn corpus_at(&self, fps: Option<f32>) -> Result<Corpus, Error> {
        self.corpus_with(|config| {
            if let Some(fps) = fps {
                // Clips last as long as before, as their songs do.
                let frames = config.seconds() * f64::from(fps);
                config.picture.frames = frames.round() as usize;
                config.picture.fps = fps;
            }
        })
    }

    /// The corpus of these clips with another configuration than that of the file.
    ///
    /// # Errors
    /// As [`Config::read`] and [`Corpus::new`].
    pub fn corpus_with(&self, change: impl FnOnce(&mut Config)) -> Result<Corpus, Error> {
        let mut config = Config::read(&self.config)?;
        change(&mut config);
        if self.capsules {
            config.bodies = None;
        }
        for (given, place) in [
            (&self.bodies, &mut config.bodies),
            (&self.mocap, &mut config.mocap),
            (&self.groove, &mut config.music.groove),
            (&self.music, &mut config.music.folder),
            (&self.photos, &mut config.photos),
        ] {
            if given.is_some() {
                place.clone_from(given);
            }
        }
        if let Some(side) = self.side {
            (config.picture.height, config.picture.width) = (side, side);
        }
        config.lens &= !self.clean;
        let mut share = Share::all(self.split.into());
        if !self.hold_out.is_empty() {
            share.held_out.clone_from(&self.hold_out);
        }
        Corpus::new(config, share)
    }
}

/// Writes a contact sheet.
#[derive(clap::Args, Debug)]
pub struct Preview {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// The picture (PNG).
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How many clips.
    #[arg(long, default_value_t = 6)]
    pub count: u64,
    /// Frames of each clip.
    #[arg(long, default_value_t = 8)]
    pub columns: usize,
}

/// Writes clips into a folder.
#[derive(clap::Args, Debug)]
pub struct Write {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// Where a folder for each clip goes.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many clips.
    #[arg(long, default_value_t = 10)]
    pub count: u64,
}

impl Write {
    /// Makes the clips.
    ///
    /// # Errors
    /// As [`Choice::corpus`] and [`folder::write`].
    pub fn run(&self) -> anyhow::Result<String> {
        let corpus = self.choice.corpus()?;
        for index in self.choice.first..self.choice.first + self.count {
            let clip = corpus.clip(index)?;
            folder::write(&clip, &self.out.join(format!("{index:06}")))?;
        }
        Ok(format!("{} clips: {}", self.count, self.out.display()))
    }
}

/// Writes pairs of neighbouring frames and the flow between them, for optical flow to learn from or
/// to be measured on, as `flow pairs` does. Limbs are the arms and legs, where they move.
#[derive(clap::Args, Debug)]
pub struct Pairs {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// Where to.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many pairs.
    #[arg(long, default_value_t = 100)]
    pub count: u64,
    /// Pairs of each clip.
    #[arg(long, default_value_t = 4)]
    pub each: u64,
    /// Frames a second, instead of the configuration's: fewer move farther.
    #[arg(long)]
    pub fps: Option<f32>,
}

impl Pairs {
    /// Makes the pairs.
    ///
    /// # Errors
    /// As [`Choice::corpus`] and [`Pair::save`].
    pub fn run(&self) -> anyhow::Result<String> {
        let corpus = self.choice.corpus_at(self.fps)?;
        let each = self
            .each
            .clamp(1, corpus.config().picture.frames as u64 - 1);
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let mut scene = None;
        for n in 0..self.count {
            if n % each == 0 {
                scene = Some(corpus.scene(self.choice.first + n / each)?);
            }
            let Some(scene) = &scene else { continue };
            // As far apart as they can be.
            let t = (n % each) as usize * (scene.len() - 1) / each as usize;
            pair(&scene.pair(t)).save(&self.out, self.choice.first * each + n)?;
        }
        Ok(format!("{} pairs: {}", self.count, self.out.display()))
    }
}

/// Cuts clips out of recordings, as `corpus write` writes synthetic ones.
#[derive(clap::Args, Debug)]
pub struct Import {
    /// Folder of videos.
    pub folder: PathBuf,
    /// How the set lies in it.
    #[arg(long, default_value = "folder")]
    pub layout: Layout,
    /// The split.
    #[arg(long, value_enum, default_value = "training")]
    pub split: Name,
    /// As DabFusion (4 s, 10 frames a second, 128²) instead of MuDaR (8 s, 8 a second, 256²).
    #[arg(long)]
    pub dabfusion: bool,
    /// Where a folder for each clip goes.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

impl Import {
    /// Makes the clips.
    ///
    /// # Errors
    /// As [`Recordings::open`], [`Recordings::clip`] and [`folder::write`].
    pub fn run(&self) -> anyhow::Result<String> {
        let cut = if self.dabfusion { DABFUSION } else { MUDAR };
        let recordings = Recordings::open(&self.folder, self.layout, self.split.into(), cut)?;
        for index in 0..recordings.list().len() as u64 {
            folder::write(
                &recordings.clip(index)?,
                &self.out.join(format!("{index:06}")),
            )?;
        }
        Ok(format!(
            "{} clips: {}",
            recordings.list().len(),
            self.out.display()
        ))
    }
}

/// Two frames as a pair.
fn pair(frames: &Frames) -> Pair {
    let (_, height, width, _) = frames.pixels.dim();
    let picture = |t| {
        let pixels = frames.pixels.index_axis(Axis(0), t);
        let places = (0..height * width).map(|at| (at / width, at % width));
        flow::Picture {
            width,
            height,
            pixels: places
                .map(|(y, x)| [0, 1, 2].map(|c| pixels[[y, x, c]]))
                .collect(),
        }
    };
    let forward = frames.forward.index_axis(Axis(0), 0);
    let places = || (0..height * width).map(|at| (at / width, at % width));
    let vectors: Vec<[f32; 2]> = places()
        .map(|(y, x)| [0, 1].map(|axis| forward[[axis, y, x]]))
        .collect();
    let limb = places().map(|(y, x)| {
        let [u, v] = vectors[y * width + x];
        let part = usize::from(frames.parts[[0, y, x]]);
        part > 0 && is_limb(part - 1) && u.hypot(v) > 0.5
    });
    Pair {
        first: picture(0),
        second: picture(1),
        limb: Some(limb.collect()),
        visible: Some(places().map(|(y, x)| !frames.occluded[[0, y, x]]).collect()),
        flow: flow::Flow {
            width,
            height,
            vectors,
        },
    }
}

/// Whether a bone belongs to an arm or a leg.
fn is_limb(bone: usize) -> bool {
    let name = skeleton::NAMES[bone];
    (name.starts_with("l-") || name.starts_with("r-")) && !name.ends_with("clavicle")
}

/// Rows of a clip's title and of its strip of time.
const TITLE: usize = 18;
const STRIP: usize = 46;
const SPACE: usize = 6;

impl Preview {
    /// Makes the sheet.
    ///
    /// # Errors
    /// As [`Choice::corpus`], and when the file cannot be written.
    pub fn run(&self) -> anyhow::Result<String> {
        register_font("sans-serif", FontStyle::Normal, UBUNTU_LIGHT)
            .map_err(|_| anyhow::anyhow!("the built-in font is damaged"))?;
        let corpus = self.choice.corpus()?;
        let picture = corpus.config().picture;
        let columns = self.columns.clamp(1, picture.frames - 1);
        let (height, width) = (picture.height, picture.width);
        let row = TITLE + 2 * height + STRIP + SPACE;
        let size = [row * self.count as usize, columns * width];
        let mut sheet = Array3::from_elem((size[0], size[1], 3), 255u8);
        let mut lines = Vec::new();
        for n in 0..self.count as usize {
            let scene = corpus.scene(self.choice.first + n as u64)?;
            let stops = scene.stops();
            let figure = scene.stage.figure.clone();
            let pose = |t: f64| scene.stage.motion.pose(&figure, t);
            let speed = kinetics::speeds(&figure, &pose, 0.0, corpus.config().seconds());
            let clip = scene.clip();
            lines.push(title(&clip.info));
            let top = n * row + TITLE;
            for k in 0..columns {
                let t = k * (picture.frames - 1) / columns;
                let left = k * width;
                let mut place = sheet.slice_mut(s![top..top + height, left..left + width, ..]);
                place.assign(&clip.frames.pixels.index_axis(Axis(0), t));
                let mut place =
                    sheet.slice_mut(s![top + height..top + 2 * height, left..left + width, ..]);
                place.assign(&truth(&clip, t));
            }
            let mut strip = sheet.slice_mut(s![top + 2 * height..top + 2 * height + STRIP, .., ..]);
            draw_strip(&clip, &speed, &stops, &mut strip);
        }
        write_titles(&mut sheet, &lines, row)?;
        let pixels: Vec<u8> = sheet.iter().copied().collect();
        files::write_png(&self.out, size[1], size[0], &pixels)?;
        Ok(format!("{} clips: {}", self.count, self.out.display()))
    }
}

fn title(info: &Info) -> String {
    let moves: Vec<&str> = info.moves.iter().map(|m| m.name.as_str()).collect();
    format!(
        "{}  {}  {}  {:.0} bpm {}  {:.2?}  person {}  view {}  {}  {}",
        info.index,
        info.genre,
        moves.join(" "),
        info.tempo,
        info.style,
        info.lock,
        info.person,
        info.view,
        info.camera,
        info.backdrop
    )
}

/// The flow in colour where it is not occluded, over the dancer's outline, with the joints.
fn truth(clip: &Clip, t: usize) -> Array3<u8> {
    let frames = &clip.frames;
    let flow = frames.forward.index_axis(Axis(0), t);
    let (height, width) = (flow.dim().1, flow.dim().2);
    let longest = flow.axis_iter(Axis(1)).flat_map(|row| {
        (0..row.dim().1)
            .map(move |x| row[[0, x]].hypot(row[[1, x]]))
            .collect::<Vec<_>>()
    });
    let most = longest.fold(2.0f32, f32::max);
    let mut out = Array3::zeros((height, width, 3));
    for y in 0..height {
        for x in 0..width {
            let mut colour = wheel(flow[[0, y, x]] / most, flow[[1, y, x]] / most);
            if frames.occluded[[t, y, x]] {
                colour = [60; 3];
            } else if frames.parts[[t, y, x]] == 0 {
                colour = colour.map(|c| c - c / 5);
            }
            (0..3).for_each(|k| out[[y, x, k]] = colour[k]);
        }
    }
    for (a, b) in STICKS {
        let at = |j: usize| [0, 1].map(|k| frames.joints[[t, j, k]]);
        let (p, q) = (at(a), at(b));
        for k in 0..=2 * height {
            let u = k as f32 / (2 * height) as f32;
            let [x, y] = [0, 1].map(|k| p[k] + (q[k] - p[k]) * u);
            if x >= 0.0 && y >= 0.0 && (x as usize) < width && (y as usize) < height {
                (0..3).for_each(|k| out[[y as usize, x as usize, k]] = 0);
            }
        }
    }
    out
}

/// Direction as hue, length as saturation; white is no flow.
fn wheel(u: f32, v: f32) -> [u8; 3] {
    let hue = v.atan2(u) / std::f32::consts::TAU * 6.0 + 3.0;
    let much = u.hypot(v).min(1.0).sqrt();
    [5.0f32, 3.0, 1.0].map(|n| {
        let k = (n + hue).rem_euclid(6.0);
        let full = 1.0 - k.min(4.0 - k).clamp(0.0, 1.0);
        (255.0 * (1.0 - much * (1.0 - full))) as u8
    })
}

/// Time from left to right: onsets below in green; beats from above in yellow, downbeats in red;
/// visual beats in blue, and below the speed of the motion with its minima.
fn draw_strip(clip: &Clip, speed: &[f32], stops: &[f64], strip: &mut ndarray::ArrayViewMut3<u8>) {
    let width = strip.dim().1;
    strip.fill(24);
    let info = &clip.info;
    let frames = clip.frames.pixels.dim().0;
    let seconds = frames as f64 / f64::from(info.fps);
    let mut mark = |time: f64, rows: std::ops::Range<usize>, colour: [u8; 3], wide: usize| {
        let x = (time / seconds * width as f64) as usize;
        for y in rows {
            for x in x..(x + wide).min(width) {
                (0..3).for_each(|k| strip[[y, x, k]] = colour[k]);
            }
        }
    };
    for &t in &info.onsets {
        mark(t, STRIP - 9..STRIP, [60, 200, 60], 1);
    }
    for beat in &info.beats {
        let first = beat.bar_position == 1;
        mark(
            beat.time,
            0..12,
            if first { [255, 60, 40] } else { [250, 220, 60] },
            2,
        );
    }
    for &t in &info.visual_beats {
        mark(t, 12..22, [90, 160, 255], 2);
    }
    let most = speed.iter().copied().fold(1e-6, f32::max);
    let rows = STRIP - 9 - 22;
    for x in 0..width {
        let at = (x as f64 / width as f64 * seconds * kinetics::RATE) as usize;
        let value = speed.get(at).copied().unwrap_or_default() / most;
        let y = STRIP - 10 - (value * (rows - 1) as f32) as usize;
        mark(
            (x as f64 + 0.5) / width as f64 * seconds,
            y..y + 1,
            [230; 3],
            1,
        );
    }
    for &t in stops {
        mark(t, STRIP - 15..STRIP - 9, [255, 120, 220], 2);
    }
}

fn write_titles(sheet: &mut Array3<u8>, lines: &[String], row: usize) -> anyhow::Result<()> {
    let (height, width) = (sheet.dim().0 as u32, sheet.dim().1 as u32);
    let Some(pixels) = sheet.as_slice_mut() else {
        anyhow::bail!("a sheet that is not contiguous");
    };
    let root = BitMapBackend::with_buffer(pixels, (width, height)).into_drawing_area();
    let wrong = |error: &dyn std::fmt::Display| anyhow::anyhow!("cannot draw the sheet: {error}");
    for (n, line) in lines.iter().enumerate() {
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        root.draw_text(line, &style, (3, (n * row) as i32 + 3))
            .map_err(|e| wrong(&e))?;
    }
    root.present().map_err(|e| wrong(&e))
}
