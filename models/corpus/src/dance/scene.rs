// SPDX-License-Identifier: MPL-2.0
//! A clip before it is drawn.

use super::anny::Shape;
use super::backdrop::{Backdrop, Texture};
use super::body;
use super::camera::Camera;
use super::choreography::Dance;
use super::clip::{Beat, Clip, Frames, Info, Lock, Span};
use super::genres;
use super::kinetics;
use super::lens::Lens;
use super::mocap::{Capture, Take};
use super::motion::Motion;
use super::music::Song;
use super::pulse::Pulse;
use super::sources::Sources;
use super::splits::Factor;
use super::springs::Springs;
use super::stage::{Light, Stage};
use super::wardrobe::{Look, dress};
use crate::Error;
use crate::random::Random;
use glam::{Vec3, Vec3A};
use ndarray::{Array4, Axis, s};
use std::sync::Arc;

/// Everything of a clip but its pictures.
pub struct Scene {
    /// What is true of the whole.
    pub info: Info,
    /// The dancer and the camera.
    pub stage: Stage,
    /// What happens to the pictures.
    pub lens: Lens,
    song: Arc<Song>,
    frames: usize,
    seed: u64,
}

/// Seeds of things that are the same in every clip.
pub(super) const PEOPLE: u64 = 0x7065_6f70_6c65;

impl Scene {
    pub(super) fn new(sources: &Sources, index: u64) -> Result<Self, Error> {
        let config = &sources.config;
        let share = &sources.share;
        let random = &mut sources.random(index);
        let seconds = config.seconds();
        let finite = sources.songs.count();
        let group = index / config.music.clips;
        let number = |group| {
            share.song(
                group,
                finite.unwrap_or(config.music.songs),
                finite.is_some(),
            )
        };
        let song = sources.songs.song(number(group)?)?;
        let room = song.seconds() - seconds;
        if room < 0.0 {
            return Err(Error::Config(format!(
                "{}: {:.2} s of music are shorter than a clip of {seconds:.2} s",
                song.name,
                song.seconds()
            )));
        }
        let offset = random.range(0.0, room);
        let genre = genre(sources, number(group)?, &song, random)?;
        let (lock, pulse) = {
            let songs = [number(group)?, number(group + 1)?];
            lock(sources, &song, songs, offset, random)?
        };

        let person = share.person(config.people, random)?;
        let who = &mut Random::new(config.seed ^ PEOPLE, person);
        let body = match &sources.bodies {
            Some(anny) => anny.body(&Shape::any(who))?,
            None => body::capsule(who.range(1.5, 1.95) as f32),
        };
        let today = &mut Random::new(config.seed ^ PEOPLE ^ 1, index);
        let look = Look::any(who, today);
        let figure = body.figure.clone();
        let motion = motion(sources, genre, &pulse, seconds, random)?;
        let springs = Springs::new(
            &figure,
            &motion,
            seconds as f32 + 0.3,
            random.range(1.8, 3.2) as f32,
        );

        let size = [config.picture.height, config.picture.width];
        let lens = if config.lens {
            Lens::any(random)
        } else {
            Lens::clean()
        };
        let letterbox = config.lens && random.chance(0.08);
        let bars = if letterbox {
            (size[0] as f64 * random.range(0.06, 0.14)) as usize
        } else {
            0
        };
        let shutter = if config.lens && random.chance(0.25) {
            random.range(0.2, 0.7) as f32
        } else {
            0.0
        };
        let path: Vec<Vec3> = (0..=12)
            .map(|k| motion.pose(&figure, seconds * f64::from(k) / 12.0).root)
            .collect();
        let shown = (size[0] - 2 * bars) as f32 / size[0] as f32;
        let view = random.pick(&share.views());
        let camera = Camera::new(view, &figure, &path, seconds as f32, shown, random);
        let backdrop = backdrop(sources, &camera, random)?;
        let info = info(
            sources,
            index,
            (&song, offset),
            (&genres::shipped()?[genre].name, lock),
            &motion,
            person,
            (&camera, &backdrop),
        );
        Ok(Self {
            stage: Stage {
                mesh: dress(&body, &look),
                light: light(random),
                figure,
                look,
                motion,
                springs,
                camera,
                backdrop,
                size,
                fps: config.picture.fps,
                bars,
                shutter,
            },
            info,
            lens,
            song,
            frames: config.picture.frames,
            seed: config.seed ^ index.wrapping_mul(0x9e37_79b9),
        })
    }

    /// How many frames the clip has.
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Never: a clip has two frames at least.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The music of the clip, mono.
    pub fn music(&self) -> &[f32] {
        let rate = f64::from(self.song.rate);
        let first = (self.info.offset * rate).round() as usize;
        let count = (self.frames as f64 / f64::from(self.info.fps) * rate).round() as usize;
        let all = &self.song.samples;
        &all[first.min(all.len())..(first + count).min(all.len())]
    }

    /// The whole clip.
    pub fn clip(self) -> Clip {
        Clip {
            frames: self.draw(0, self.frames),
            music: self.music().to_vec(),
            info: self.info,
        }
    }

    /// Frames `t` and `t` + 1 with the flow between them: as those of the whole clip, for the cost
    /// of two.
    pub fn pair(&self, t: usize) -> Frames {
        self.draw(t, 2)
    }

    /// The pictures alone of all frames, T×H×W×3: what [`draw`](Self::draw) shows, for a good half of the cost.
    pub fn pictures(&self) -> Array4<u8> {
        let stage = &self.stage;
        let [height, width] = stage.size;
        let mut pictures = Array4::zeros((self.frames, height, width, 3));
        let mut brush = stage.brush();
        let mut now = stage.moment(0, &mut brush);
        for (frame, mut pixels) in pictures.outer_iter_mut().enumerate() {
            let next = stage.moment(frame + 1, &mut brush);
            let picture = stage.paint(frame, &now, &next, &mut brush);
            if let Some(pixels) = pixels.as_slice_mut() {
                let time = frame as f32 / stage.fps;
                let seed = self.seed.wrapping_add(frame as u64);
                self.lens.develop(&picture, stage.size, time, seed, pixels);
            }
            now = next;
        }
        pictures
    }

    /// `count` frames from frame `first` on.
    pub fn draw(&self, first: usize, count: usize) -> Frames {
        let stage = &self.stage;
        let mut frames = Frames::new(count, stage.size);
        let mut brush = stage.brush();
        if count == 0 {
            return frames;
        }
        let mut now = stage.moment(first, &mut brush);
        for k in 0..count {
            // Beyond the last frame only blurred motion goes on.
            let last = k + 1 == count;
            let next =
                (!last || stage.shutter > 0.0).then(|| stage.moment(first + k + 1, &mut brush));
            let frame = first + k;
            let picture = stage.paint(frame, &now, next.as_ref().unwrap_or(&now), &mut brush);
            let time = frame as f32 / stage.fps;
            let mut pixels = frames.pixels.index_axis_mut(Axis(0), k);
            if let Some(pixels) = pixels.as_slice_mut() {
                let seed = self.seed.wrapping_add(frame as u64);
                self.lens.develop(&picture, stage.size, time, seed, pixels);
            }
            if let Some(parts) = frames.parts.index_axis_mut(Axis(0), k).as_slice_mut() {
                stage.parts(&now, parts);
            }
            for (j, place) in now.joints.iter().enumerate() {
                frames
                    .joints
                    .slice_mut(s![k, j, ..])
                    .assign(&ndarray::arr1(place));
            }
            let Some(next) = next else { break };
            if !last {
                let ways = [
                    (&now, &next, &mut frames.forward, &mut frames.occluded),
                    (&next, &now, &mut frames.backward, &mut frames.uncovered),
                ];
                for (from, to, flow, hidden) in ways {
                    let mut flow = flow.index_axis_mut(Axis(0), k);
                    let mut hidden = hidden.index_axis_mut(Axis(0), k);
                    if let (Some(flow), Some(hidden)) = (flow.as_slice_mut(), hidden.as_slice_mut())
                    {
                        stage.flow(from, to, flow, hidden);
                    }
                }
            }
            now = next;
        }
        frames
    }

    /// Instants at which the motion, sampled finely, is slowest: what its rhythm is measured by.
    pub fn stops(&self) -> Vec<f64> {
        let end = self.frames as f64 / f64::from(self.info.fps);
        let figure = &self.stage.figure;
        let curve = kinetics::speeds(figure, &|t| self.stage.motion.pose(figure, t), 0.0, end);
        let times = kinetics::minima(&curve)
            .into_iter()
            .map(|n| n as f64 / kinetics::RATE);
        times.collect()
    }
}

/// A genre that suits the song mostly, of those that are danced to it.
pub(super) fn genre(
    sources: &Sources,
    number: u64,
    song: &Song,
    random: &mut Random,
) -> Result<usize, Error> {
    let genres = genres::shipped()?;
    let weight = |g: usize| {
        if song.style.is_empty() || genres[g].music.contains(&song.style) {
            4.0
        } else {
            1.0
        }
    };
    let all = (0..genres.len()).filter(|&g| sources.share.pairs(g, number));
    let choice: Vec<(f64, usize)> = all.map(|g| (weight(g), g)).collect();
    if choice.is_empty() {
        // A song without a genre held out on it lends what it has.
        return match sources.share.class(Factor::GenresBySong) {
            crate::Split::Training => Err(Error::Config(format!(
                "{}: no genre is danced to it",
                song.name
            ))),
            _ => Ok((number % genres.len() as u64) as usize),
        };
    }
    Ok(random.weighted(&choice))
}

/// Whether the dance follows the music, and the beats that it follows, in the clip's time.
pub(super) fn lock(
    sources: &Sources,
    song: &Song,
    [number, other]: [u64; 2],
    offset: f64,
    random: &mut Random,
) -> Result<(Lock, Pulse), Error> {
    let here = song.pulse.moved(-offset, 1.0);
    if !random.chance(sources.config.off) {
        return Ok((Lock::Matched, here));
    }
    Ok(match random.index(3) {
        0 if other != number => {
            let wrong = sources.songs.song(other)?;
            let late = random.range(0.0, (wrong.seconds() - sources.config.seconds()).max(0.0));
            (Lock::WrongSong, wrong.pulse.moved(-late, 1.0))
        }
        0 | 1 => {
            let late = here.period() * random.range(0.2, 0.45) * random.pick(&[-1.0, 1.0]);
            (Lock::Shifted(late), here.moved(late, 1.0))
        }
        _ => {
            let (fast, slow) = (random.range(0.8, 0.92), random.range(1.09, 1.25));
            let stretch = random.pick(&[fast, slow]);
            (Lock::Stretched(stretch), here.moved(0.0, stretch))
        }
    })
}

pub(super) fn motion(
    sources: &Sources,
    genre: usize,
    pulse: &Pulse,
    seconds: f64,
    random: &mut Random,
) -> Result<Motion, Error> {
    let takes: Vec<_> = sources.takes.iter().filter(|t| t.0 == genre).collect();
    if !takes.is_empty() && random.chance(sources.config.captured) {
        let (_, rate, take) = takes[random.index(takes.len())];
        let take = take.get(|path| {
            Take::read(path, *rate).map_err(|e| match e {
                Error::Broken { reason, .. } => reason,
                other => other.to_string(),
            })
        })?;
        return Ok(Motion::Capture(Capture::new(take, pulse, seconds, random)));
    }
    let allowed = |m, v| sources.share.allows(m, v);
    Ok(Motion::Dance(Dance::new(
        &genres::shipped()?[genre],
        pulse,
        seconds,
        &allowed,
        random,
    )))
}

fn backdrop(sources: &Sources, camera: &Camera, random: &mut Random) -> Result<Backdrop, Error> {
    let mut photo = None;
    if !sources.photos.is_empty() && random.chance(sources.config.photographed) {
        let file = &sources.photos[random.index(sources.photos.len())];
        let bytes = file.get(|path| std::fs::read(path).map_err(|e| e.to_string()))?;
        let wide = random.range(4.0, 9.0) as f32;
        photo = Some(Texture::photo(&bytes, wide).map_err(|e| Error::broken(&file.path, e))?);
    }
    Ok(Backdrop::new(
        camera.direction(),
        camera.distance(),
        photo,
        random,
    ))
}

fn light(random: &mut Random) -> Light {
    let from = |random: &mut Random, low: f64, high: f64| {
        let (azimuth, height) = (
            random.range(0.0, std::f64::consts::TAU) as f32,
            random.range(low, high) as f32,
        );
        Vec3A::new(
            azimuth.sin() * height.cos(),
            height.sin(),
            azimuth.cos() * height.cos(),
        )
    };
    let colour = |random: &mut Random, power: f64| {
        Vec3A::from([(); 3].map(|()| random.range(0.9, 1.1) as f32)) * power as f32
    };
    let key = random.range(0.35, 0.8);
    Light {
        key: from(random, 0.6, 1.3),
        fill: from(random, 0.0, 0.8),
        power: [
            colour(random, key),
            colour(random, 0.3 * key),
            colour(random, 1.0 - 0.75 * key),
        ],
        shadow: random.range(0.25, 0.75) as f32,
    }
}

/// The truth that needs no pictures.
fn info(
    sources: &Sources,
    index: u64,
    (song, offset): (&Song, f64),
    (genre, lock): (&str, Lock),
    motion: &Motion,
    person: u64,
    (camera, backdrop): (&Camera, &Backdrop),
) -> Info {
    let seconds = sources.config.seconds();
    let inside = |t: &f64| (0.0..seconds).contains(t);
    let span = |start: f64, end: f64, name: String| {
        (end > 0.0 && start < seconds).then(|| Span {
            start: start.max(0.0),
            end: end.min(seconds),
            name,
        })
    };
    let (mut moves, mut sections): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
    match motion {
        Motion::Dance(dance) => {
            for label in &dance.labels {
                moves.extend(span(
                    label.start,
                    label.end,
                    format!("{}/{}", label.name, label.variation),
                ));
                let letter = label.section.to_string();
                match sections.last_mut().filter(|s| s.name == letter) {
                    Some(last) => last.end = label.end.min(seconds).max(last.end),
                    None => sections.extend(span(label.start, label.end, letter)),
                }
            }
        }
        Motion::Capture(capture) => moves.extend(span(0.0, seconds, capture.name().to_owned())),
    }
    let beats = song.beats.iter().map(|b| Beat {
        time: b.time - offset,
        bar_position: b.bar_position,
    });
    Info {
        index,
        seed: sources.config.seed,
        split: sources.share.split.name().to_owned(),
        genre: genre.to_owned(),
        lock,
        moves,
        sections,
        visual_beats: motion.beats().iter().copied().filter(inside).collect(),
        onsets: song
            .onsets
            .iter()
            .map(|t| t - offset)
            .filter(inside)
            .collect(),
        beats: beats.filter(|b| inside(&b.time)).collect(),
        tempo: song.tempo,
        meter: song.meter,
        song: song.name.clone(),
        style: song.style.clone(),
        offset,
        person,
        view: camera.view,
        camera: format!(
            "{:.2?}, {:.0} % of the height, {:.0}°",
            camera.movement,
            100.0 * camera.share,
            camera.angle.to_degrees()
        ),
        backdrop: backdrop.name.to_owned(),
        captured: matches!(motion, Motion::Capture(_)),
        shape: {
            let picture = &sources.config.picture;
            [picture.frames, picture.height, picture.width]
        },
        fps: sources.config.picture.fps,
        rate: song.rate,
    }
}
