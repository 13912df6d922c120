// SPDX-License-Identifier: MPL-2.0
//! Songs: the synthetic bands of [`crate::audio`], or a folder of the user's music.

use super::media;
use super::pulse::Pulse;
use crate::Error;
use crate::audio::{Beat, Generator};
use dance_rhythm::analyzer::{self, Analyzer, Event};
use dance_rhythm::onset::{self, Method};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Music and when it beats.
#[derive(Debug)]
pub struct Song {
    /// Which.
    pub name: String,
    /// Style, as the band calls it; empty for recordings.
    pub style: String,
    /// Hz.
    pub rate: u32,
    /// Mono.
    pub samples: Vec<f32>,
    /// Seconds.
    pub onsets: Vec<f64>,
    /// All beats.
    pub beats: Vec<Beat>,
    /// Beats in a bar.
    pub meter: u32,
    /// Beats a minute.
    pub tempo: f64,
    /// The ruler that dances are laid along.
    pub pulse: Pulse,
}

impl Song {
    /// Its length.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    fn new(
        name: String,
        style: String,
        rate: u32,
        samples: Vec<f32>,
        (onsets, beats): (Vec<f64>, Vec<Beat>),
        meter: u32,
        tempo: f64,
    ) -> Option<Self> {
        let times: Vec<f64> = beats.iter().map(|b| b.time).collect();
        let downbeat = beats.iter().position(|b| b.bar_position == 1).unwrap_or(0);
        let pulse = Pulse::new(&times, downbeat, meter)?;
        Some(Self {
            name,
            style,
            rate,
            samples,
            onsets,
            beats,
            meter,
            tempo,
            pulse,
        })
    }
}

/// Tempi that can be danced to.
const TEMPI: std::ops::RangeInclusive<f64> = 60.0..=216.0;
/// Songs that are remembered: consecutive clips share them.
const REMEMBERED: usize = 8;
/// Pieces of the band from which a song that beats is looked for.
const TRIES: u64 = 16;
/// So much of a recording is read, in seconds.
const LONGEST: f64 = 240.0;

enum Source {
    Band(Box<Generator>),
    Folder(Vec<PathBuf>),
}

/// A song once it is made: threads that want it wait for the one that makes it.
type Slot = Mutex<Option<Arc<Song>>>;

/// Songs by number.
pub struct Songs {
    source: Source,
    rate: u32,
    recent: Mutex<VecDeque<(u64, Arc<Slot>)>>,
}

/// Endings of files that are music.
const ENDINGS: [&str; 9] = [
    "wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "aif", "aiff",
];

impl Songs {
    /// From a band.
    pub fn band(generator: Generator, rate: u32) -> Self {
        Self::new(Source::Band(Box::new(generator)), rate)
    }

    /// From a folder of recordings.
    ///
    /// # Errors
    /// [`Error::Missing`] without the folder, [`Error::Broken`] when there is no music in it.
    pub fn folder(folder: &Path, rate: u32) -> Result<Self, Error> {
        let files = crate::files::list(folder, "folder of music", &ENDINGS)?;
        Ok(Self::new(Source::Folder(files), rate))
    }

    fn new(source: Source, rate: u32) -> Self {
        Self {
            source,
            rate,
            recent: Mutex::default(),
        }
    }

    /// How many there are; none for as many as one likes.
    pub fn count(&self) -> Option<u64> {
        match &self.source {
            Source::Band(_) => None,
            Source::Folder(files) => Some(files.len() as u64),
        }
    }

    /// The song of a number.
    ///
    /// # Errors
    /// When a recording cannot be decoded or does not beat.
    pub fn song(&self, number: u64) -> Result<Arc<Song>, Error> {
        let slot = {
            // A thread that panicked left the list as it was.
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, slot)) = recent.iter().find(|s| s.0 == number) {
                slot.clone()
            } else {
                if recent.len() >= REMEMBERED {
                    recent.pop_front();
                }
                let slot = Arc::<Slot>::default();
                recent.push_back((number, slot.clone()));
                slot
            }
        };
        let mut made = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(song) = &*made {
            return Ok(song.clone());
        }
        let song = Arc::new(match &self.source {
            Source::Band(generator) => played(generator, number, self.rate)?,
            Source::Folder(files) => {
                recorded(&files[(number % files.len() as u64) as usize], self.rate)?
            }
        });
        *made = Some(song.clone());
        Ok(song)
    }
}

/// The first piece of the number's that beats throughout.
fn played(generator: &Generator, number: u64, rate: u32) -> Result<Song, Error> {
    for k in 0..TRIES {
        let index = number * TRIES + k;
        let clip = generator.clip(index);
        let style = clip.recipe.split(' ').next().unwrap_or_default().to_owned();
        let enough = clip.beats.len() as f64 > 0.6 * generator.seconds() * clip.tempo / 60.0;
        if !TEMPI.contains(&clip.tempo) || !enough {
            continue;
        }
        let (name, samples) = (format!("band {index}"), clip.samples);
        let song = Song::new(
            name,
            style,
            rate,
            samples,
            (clip.onsets, clip.beats),
            clip.meter,
            clip.tempo,
        );
        if let Some(song) = song {
            return Ok(song);
        }
    }
    Err(Error::Config(format!(
        "none of {TRIES} pieces of the band's number {number} beats"
    )))
}

/// A recording, with the onsets and beats that the rhythm analyser finds in the whole of it.
fn recorded(path: &Path, rate: u32) -> Result<Song, Error> {
    let samples = media::audio(path, rate, 0.0, LONGEST)?;
    let (onsets, beats) = analyse(&samples, rate).map_err(|e| Error::broken(path, e))?;
    let meter = beats
        .iter()
        .map(|b| b.bar_position)
        .max()
        .unwrap_or(4)
        .max(1);
    let mut gaps: Vec<f64> = beats.windows(2).map(|w| w[1].time - w[0].time).collect();
    gaps.sort_by(f64::total_cmp);
    let tempo = gaps.get(gaps.len() / 2).map_or(0.0, |gap| 60.0 / gap);
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Song::new(
        name,
        String::new(),
        rate,
        samples,
        (onsets, beats),
        meter,
        tempo,
    )
    .ok_or_else(|| Error::broken(path, "no beat was found in it"))
}

/// Onsets and beats of samples, detected offline.
///
/// # Errors
/// When the rate is too low.
pub fn analyse(samples: &[f32], rate: u32) -> Result<(Vec<f64>, Vec<Beat>), analyzer::Error> {
    let config = analyzer::Config {
        onset: onset::Config {
            rate,
            method: Method::SuperFlux,
            threshold: 1.0,
            debias: true,
        },
        beats: Some(analyzer::Beats {
            min_bpm: 55.0,
            max_bpm: 215.0,
            beats_per_bar: Vec::new(),
        }),
        offline: true,
    };
    let mut analyzer = Analyzer::new(&config)?;
    let (mut onsets, mut beats) = (Vec::new(), Vec::new());
    let mut listen = |event| match event {
        Event::Onset(onset) => onsets.push(onset.time),
        Event::Beat(beat) => beats.push(Beat {
            time: beat.time,
            bar_position: u32::from(beat.beat_in_bar),
        }),
        Event::Tempo(_) => {}
    };
    analyzer.push(samples, &mut listen);
    analyzer.finish(&mut listen);
    Ok((onsets, beats))
}
