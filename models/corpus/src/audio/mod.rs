// SPDX-License-Identifier: MPL-2.0
//! Endless training audio with exact truth.
//!
//! A [`Generator`] makes clip number n as a pure function of its seed and n: recorded drummers
//! (Groove MIDI) and patterns on one-shot kits and soundfont drums, synthetic bands and written songs
//! through soundfonts, amplifiers, rooms, compressors, talk, noise, codecs, telephone, levels. What an
//! onset and a beat is stands in [`truth`].
//!
//! The sources are read where they are at training time and are never shipped. What trains and
//! what validates share no soundfont, no kit and no recorded take.

pub mod compose;
mod drummer;
pub mod effects;
pub mod font;
pub mod groove;
pub mod kit;
mod midi;
pub mod music;
pub mod patterns;
mod player;
pub mod repertoire;
pub mod score;
pub mod songs;
pub mod styles;
pub mod truth;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::error::read_toml;
use crate::random::Random;
use crate::{Error, Split};
use compose::compose;
use effects::{
    Amplifier, Biquad, add_noise, code, compress, crowd, duck, gain, limit_band, loudness, peak,
    reverberate, rms, talk, telephone,
};
use font::{Font, Note, Voice};
use groove::Take;
use kit::{Kit, Palette, Piece};
use music::Music;
use repertoire::Repertoire;
use songs::Song;
use truth::{Hit, Mix, OctaveBands, counted, onsets};

/// Sounds of one split.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// SoundFont 2 files with the General MIDI set.
    pub soundfonts: Vec<PathBuf>,
    /// Folders of drum kits, see [`Kit::load`].
    pub kits: Vec<PathBuf>,
}

/// What a [`Generator`] is made from.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Sounds to learn from.
    pub train: Sources,
    /// Sounds held out.
    pub validation: Sources,
    /// A folder laid out as the Groove MIDI Dataset.
    pub groove: PathBuf,
    /// A folder of MIDI songs with the folders `train` and `validation`; without one, all music is
    /// synthetic.
    pub songs: Option<PathBuf>,
    /// Length of a clip in seconds, 2 … 600.
    pub seconds: f64,
    /// Sample rate of the clips in Hz, 16000 … 96000.
    pub rate: u32,
    /// Another seed is other music.
    pub seed: u64,
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`Error::Missing`] without the file, [`Error::Broken`] with the line that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        read_toml(path)
    }
}

/// One beat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    /// Seconds since the clip's first sample.
    pub time: f64,
    /// Its number in the bar, 1 is the downbeat.
    pub bar_position: u32,
}

/// A clip and the truth about it.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Sample rate in Hz.
    pub rate: u32,
    /// Mono samples in −1 … 1.
    pub samples: Vec<f32>,
    /// Instants of all onsets in seconds, ascending, none nearer than [`truth::COMBINE`].
    pub onsets: Vec<f64>,
    /// All beats that are counted, ascending.
    pub beats: Vec<Beat>,
    /// Beats in a bar, 0 without a pulse.
    pub meter: u32,
    /// Beats per minute (median over the beats), 0 without a pulse.
    pub tempo: f64,
    /// What it was made of.
    pub recipe: String,
}

/// Makes clips; shared by threads as it is.
pub struct Generator {
    fonts: Vec<Font>,
    kits: Vec<Kit>,
    takes: Vec<Take>,
    songs: Vec<Song>,
    repertoire: &'static Repertoire,
    rate: u32,
    seconds: f64,
    seed: u64,
}

/// Seconds made before the clip begins, so that it may begin within music.
const BEFORE: f64 = 1.5;
/// Share of the clips that are written songs, where there are any.
const SONGS: f64 = 0.5;

impl Generator {
    /// Reads all sources of a split. There are two sets of sources, one to learn from and one held
    /// out, which validates and tests.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Broken`] name the source at fault, [`Error::Config`] says
    /// what of the configuration cannot be.
    pub fn new(config: &Config, split: Split) -> Result<Self, Error> {
        if !(2.0..=600.0).contains(&config.seconds) {
            let message = format!("seconds = {}: a clip has 2 to 600", config.seconds);
            return Err(Error::Config(message));
        }
        if !(16_000..=96_000).contains(&config.rate) {
            let message = format!("rate = {}: clips have 16000 to 96000 Hz", config.rate);
            return Err(Error::Config(message));
        }
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let all = |s: &Sources| -> Vec<PathBuf> {
            s.soundfonts.iter().chain(&s.kits).map(real).collect()
        };
        let held_out = all(&config.validation);
        if let Some(both) = all(&config.train).iter().find(|p| held_out.contains(p)) {
            let message = format!("{} both trains and validates", both.display());
            return Err(Error::Config(message));
        }
        let (sources, name) = match split {
            Split::Training => (&config.train, "train"),
            Split::Validation | Split::Test => (&config.validation, "validation"),
        };
        if sources.soundfonts.is_empty() || sources.kits.is_empty() {
            let message = format!("[{name}] needs at least one soundfont and one kit");
            return Err(Error::Config(message));
        }
        let rate = config.rate;
        let fonts = sources.soundfonts.iter().map(|p| Font::load(p, rate));
        let kits = sources.kits.iter().map(|p| Kit::load(p, rate));
        Ok(Self {
            fonts: fonts.collect::<Result<_, _>>()?,
            kits: kits.collect::<Result<_, _>>()?,
            takes: groove::load(&config.groove, split)?,
            songs: match &config.songs {
                Some(folder) => songs::load(&folder.join(name))?,
                None => Vec::new(),
            },
            repertoire: Repertoire::shipped()?,
            rate,
            seconds: config.seconds,
            // Splits with the same numbers must not play the same scores.
            seed: config.seed
                ^ if split == Split::Training {
                    0
                } else {
                    0x5eed_0f5e_ed00
                },
        })
    }

    /// Length of a clip in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Names of all soundfonts, kits, takes and songs in use.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let fonts = self.fonts.iter().map(|f| f.name.as_str());
        let kits = self.kits.iter().map(|k| k.name.as_str());
        let takes = self.takes.iter().map(|t| t.name.as_str());
        let songs = self.songs.iter().map(|s| s.name.as_str());
        fonts.chain(kits).chain(takes).chain(songs)
    }

    /// Clip number `index`, always the same.
    pub fn clip(&self, index: u64) -> Clip {
        let random = &mut Random::new(self.seed, index);
        let mut recipe = String::new();
        if random.chance(0.03) {
            return self.without_music(random, recipe);
        }
        let count = ((BEFORE + self.seconds) * self.rate as f64).ceil() as usize;
        let start = if random.chance(0.4) {
            // Within the music, at any point of a bar.
            BEFORE - random.range(0.0, 4.0)
        } else {
            BEFORE + random.range(0.05, 2.0)
        };
        let end = if random.chance(0.12) {
            BEFORE + self.seconds * random.range(0.5, 0.9)
        } else {
            BEFORE + self.seconds + 3.0
        };
        let music = if !self.songs.is_empty() && random.chance(SONGS) {
            let song = &self.songs[random.index(self.songs.len())];
            song.perform(start, end, random)
        } else {
            compose(self.repertoire, &self.takes, start, end, random)
        };
        let course = format!("{:?}", music.grid.course).to_lowercase();
        note(
            &mut recipe,
            format_args!(
                "{} {} {:.0} bpm {course}; {}",
                music.style, music.grid.meter.name, music.grid.bpm, music.drummer
            ),
        );
        let mut octaves = OctaveBands::new(self.rate);
        let stems = self.stems(&music, count, &mut octaves, random, &mut recipe);
        let mut sum = vec![0.0f32; count];
        for stem in &stems {
            sum.iter_mut().zip(&stem.added).for_each(|(s, x)| *s += x);
        }
        let mut master = sum.clone();
        self.master(&mut master, &music, random, &mut recipe);
        let mut all = master.clone();
        let disturbed = self.disturb(&mut all, random, &mut recipe);
        let mut clip = all.clone();
        self.transmit(&mut clip, random, &mut recipe);

        let mix = Mix {
            parts: stems
                .iter()
                .map(|s| (&s.hits[..], &s.dry[..], &s.added[..]))
                .collect(),
            sum: &sum,
            beside: disturbed.then_some((&master, &all)),
            clip: &clip,
        };
        let found = onsets(&mix, self.rate, &mut octaves);
        let seconds = |at: usize| at as f64 / f64::from(self.rate) - BEFORE;
        let times: Vec<f64> = found.into_iter().map(seconds).collect();
        let grid: Vec<(f64, u32, f64)> = music
            .grid
            .beats()
            .map(|(at, number, bar)| (at - BEFORE, number, bar))
            .collect();
        let spans: Vec<(f64, f64)> = grid.iter().map(|&(at, _, bar)| (at, bar)).collect();
        // What is played before and after the samples made still carries the beats between.
        let notes = music.parts.iter().flat_map(|p| &p.notes);
        let mut played: Vec<f64> = notes
            .map(|n| n.time)
            .chain(music.drums.iter().map(|s| s.time))
            .map(|t| t - BEFORE)
            .filter(|t| !(-BEFORE..self.seconds).contains(t))
            .chain(times.iter().copied())
            .collect();
        played.sort_by(f64::total_cmp);
        let counted = counted(&spans, &played);
        let inside = |t: f64| (0.0..self.seconds - 0.03).contains(&t);
        let beats: Vec<Beat> = grid
            .iter()
            .zip(counted)
            .filter(|&(&(time, ..), counted)| counted && inside(time))
            .map(|(&(time, bar_position, _), _)| Beat { time, bar_position })
            .collect();
        clip.drain(..(BEFORE * f64::from(self.rate)).round() as usize);
        // No grid is slower than 38 a minute: what is longer is a rest.
        let gaps = beats.windows(2).map(|w| w[1].time - w[0].time);
        let mut gaps: Vec<f64> = gaps.filter(|&gap| gap < 1.6).collect();
        gaps.sort_by(f64::total_cmp);
        let tempo = match gaps.get(gaps.len() / 2) {
            Some(gap) => 60.0 / gap,
            None if beats.is_empty() => 0.0,
            None => music.grid.bpm,
        };
        Clip {
            rate: self.rate,
            samples: clip,
            onsets: times.into_iter().filter(|&t| inside(t)).collect(),
            meter: if beats.is_empty() {
                0
            } else {
                music.grid.meter.beats
            },
            tempo,
            beats,
            recipe,
        }
    }

    /// Silence, noise or talk: nothing to be found in it.
    fn without_music(&self, random: &mut Random, mut recipe: String) -> Clip {
        let rate = f64::from(self.rate);
        let count = (self.seconds * rate).ceil() as usize;
        let kind = random.pick(&["silence", "white noise", "pink noise", "talk", "crowd"]);
        let mut samples = match kind {
            "talk" => talk(count, random, rate),
            "crowd" => crowd(count, random, rate),
            _ => vec![0.0; count],
        };
        if kind.ends_with("noise") {
            add_noise(&mut samples, 0.1, kind == "pink noise", random);
        }
        let top = peak(&samples);
        if top > 0.0 {
            let level = gain(random.range(-35.0, -3.0)) / top;
            samples.iter_mut().for_each(|x| *x *= level);
        }
        recipe.push_str(kind);
        Clip {
            rate: self.rate,
            samples,
            onsets: Vec::new(),
            beats: Vec::new(),
            meter: 0,
            tempo: 0.0,
            recipe,
        }
    }

    /// Plays every part.
    fn stems(
        &self,
        music: &Music,
        count: usize,
        octaves: &mut OctaveBands,
        random: &mut Random,
        recipe: &mut String,
    ) -> Vec<Stem> {
        let rate = f64::from(self.rate);
        let font = &self.fonts[random.index(self.fonts.len())];
        let mut stems = Vec::new();
        if !music.drums.is_empty() {
            let (dry, hits) = if random.chance(0.35) {
                let number = random.pick(&font.drums);
                note(recipe, format_args!(" on {} drums {number}", font.name));
                let strokes = music.drums.iter().map(|s| Note {
                    time: s.time,
                    seconds: 0.25,
                    key: s.piece.key(),
                    velocity: (127.0 * s.velocity) as u8,
                });
                let strokes: Vec<Note> = strokes.collect();
                font.play(Voice::Drums(number), &strokes, count, octaves)
            } else {
                self.one_shots(music, count, octaves, random, recipe)
            };
            stems.push(Stem::new(dry, hits));
            if let Some(stem) = stems.last_mut() {
                let amplifier = random.chance(0.06).then(|| Amplifier::any(random));
                stem.mix(0.0, amplifier.as_ref(), rate, random);
            }
        }
        for part in &music.parts {
            let voice = Voice::Program(part.program);
            let (dry, hits) = font.play(voice, &part.notes, count, octaves);
            note(
                recipe,
                format_args!(
                    "; {:?} {}{}",
                    part.role,
                    part.program,
                    if part.amplifier.is_some() {
                        " amplified"
                    } else {
                        ""
                    }
                ),
            );
            let mut stem = Stem::new(dry, hits);
            stem.mix(part.level, part.amplifier.as_ref(), rate, random);
            stems.push(stem);
        }
        note(recipe, format_args!("; {}", font.name));
        // The kick pumps everyone else.
        let pumping = if music.electronic { 0.35 } else { 0.03 };
        if random.chance(pumping) && stems.len() > 1 && !music.drums.is_empty() {
            let mut kicks: Vec<usize> = music
                .drums
                .iter()
                .filter(|s| s.piece == Piece::Kick && s.time >= 0.0)
                .map(|s| (s.time * rate) as usize)
                .collect();
            kicks.sort_unstable();
            let (depth, seconds) = (random.range(0.3, 0.95) as f32, random.range(0.12, 0.4));
            for stem in &mut stems[1..] {
                duck(&mut stem.added, &kicks, depth, seconds, rate);
            }
            recipe.push_str("; side chain");
        }
        stems
    }

    fn one_shots(
        &self,
        music: &Music,
        count: usize,
        octaves: &mut OctaveBands,
        random: &mut Random,
        recipe: &mut String,
    ) -> (Vec<f32>, Vec<Hit>) {
        let mut palette = Palette::new(&self.kits, self.rate, random);
        note(recipe, format_args!(" on {}", self.kits[palette.main].name));
        let mut dry = vec![0.0f32; count];
        let mut hits = Vec::with_capacity(music.drums.len());
        for stroke in music.drums.iter().filter(|s| s.time >= 0.0) {
            let start = (stroke.time * f64::from(self.rate)) as usize;
            let struck = palette.strike(stroke.piece, stroke.velocity, octaves, random);
            let (Some((strike, level)), true) = (struck, start < count) else {
                continue;
            };
            // A mixer's faders: cymbals and small things are kept lower than drums.
            let level = level
                * match stroke.piece {
                    Piece::Kick | Piece::Snare => 1.0,
                    Piece::ClosedHat | Piece::PedalHat | Piece::OpenHat | Piece::Ride => 0.35,
                    Piece::Crash | Piece::Shaker | Piece::Bell => 0.4,
                    _ => 0.75,
                };
            for (x, s) in dry[start..].iter_mut().zip(&strike.samples) {
                *x += level * s;
            }
            hits.push(Hit {
                at: start + strike.rise,
                energy: strike.spectrum.map(|e| e * level * level),
            });
        }
        (dry, hits)
    }

    /// Compressor, room, console.
    fn master(&self, mix: &mut [f32], music: &Music, random: &mut Random, recipe: &mut String) {
        let rate = f64::from(self.rate);
        if random.chance(0.45) {
            let (threshold, ratio) = (random.range(-6.0, 6.0), random.range(1.5, 8.0) as f32);
            compress(mix, threshold, ratio, random.range(0.05, 0.4), rate);
            recipe.push_str("; compressed");
        }
        if random.chance(0.5) {
            let seconds = 0.2 * 12.0f64.powf(random.unit());
            let level = gain(random.range(-26.0, -8.0));
            let bright = random.range(0.2, 0.8) as f32;
            reverberate(mix, seconds, level, bright, rate);
            note(recipe, format_args!("; room {seconds:.1} s"));
        }
        let heavy = if music.style == "metal" { 0.2 } else { 0.03 };
        if random.chance(heavy) {
            let whole = Amplifier {
                drive: gain(random.range(0.0, 15.0)),
                bias: random.range(0.0, 0.2) as f32,
                speaker: random.range(6_000.0, 16_000.0),
            };
            whole.run(mix, rate);
            recipe.push_str("; overdriven");
        }
        if random.chance(0.5) {
            let (hz, tilt) = (random.range(400.0, 3_000.0), random.range(-9.0, 9.0));
            Biquad::high_shelf(hz / rate, tilt).run(mix);
            let bell = Biquad::bell(
                60.0 * 100f64.powf(random.unit()) / rate,
                random.range(0.4, 2.0),
                random.range(-8.0, 8.0),
            );
            bell.run(mix);
        }
    }

    /// Talk and noise beside the music; says whether there is any that masks.
    fn disturb(&self, mix: &mut [f32], random: &mut Random, recipe: &mut String) -> bool {
        let rate = f64::from(self.rate);
        let level = loudness(mix, rate as f32);
        let mut any = false;
        if random.chance(0.14) {
            let people = random.chance(0.5);
            let voices = if people {
                crowd(mix.len(), random, rate)
            } else {
                talk(mix.len(), random, rate)
            };
            let db = random.range(-30.0, 0.0);
            let scale = level * gain(db) / rms(&voices).max(1e-9);
            mix.iter_mut()
                .zip(&voices)
                .for_each(|(x, v)| *x += scale * v);
            let who = if people { "crowd" } else { "talk" };
            note(recipe, format_args!("; {who} {db:.0} dB"));
            any = true;
        }
        if random.chance(0.35) {
            let db = random.range(-65.0, -12.0);
            let pink = random.chance(0.6);
            add_noise(mix, level * gain(db), pink, random);
            note(recipe, format_args!("; noise {db:.0} dB"));
            any |= db > -50.0;
        }
        any
    }

    /// Bandwidth, codec, clipping, level.
    fn transmit(&self, mix: &mut [f32], random: &mut Random, recipe: &mut String) {
        let rate = f64::from(self.rate);
        match random.index(100) {
            0..5 => {
                telephone(mix, rate);
                recipe.push_str("; telephone");
            }
            5..15 => {
                let low = random.pick(&[8_000.0, 11_025.0, 16_000.0, 22_050.0]);
                limit_band(mix, 0.45 * low, rate);
                note(recipe, format_args!("; as at {low} Hz"));
            }
            15..35 => {
                let (step, cut) = (random.range(0.2, 1.4), random.range(5_000.0, 17_000.0));
                code(mix, step as f32, cut, rate);
                note(recipe, format_args!("; codec {step:.1} below {cut:.0} Hz"));
            }
            _ => {}
        }
        let top = peak(mix);
        if random.chance(0.1) && top > 0.0 {
            let limit = top * gain(random.range(-12.0, -1.0));
            mix.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
            recipe.push_str("; clipped");
        }
        // What is cut off before the clip begins does not count.
        let begin = ((BEFORE * rate).round() as usize).min(mix.len());
        let top = peak(&mix[begin..]);
        let db = if random.chance(0.6) {
            random.range(-12.0, -1.0)
        } else {
            random.range(-35.0, -1.0)
        };
        if top > 0.0 {
            let level = gain(db) / top;
            mix.iter_mut().for_each(|x| *x *= level);
        }
        note(recipe, format_args!("; {db:.0} dBFS"));
        // What any converter leaves.
        for x in &mut *mix {
            *x = (*x + random.noise() / 32_768.0).clamp(-1.0, 1.0);
        }
    }
}

/// One part as it is played and as it goes into the mix.
struct Stem {
    dry: Vec<f32>,
    added: Vec<f32>,
    hits: Vec<Hit>,
}

impl Stem {
    fn new(dry: Vec<f32>, hits: Vec<Hit>) -> Self {
        Self {
            dry,
            added: Vec::new(),
            hits,
        }
    }

    /// Amplifier, tone and level.
    fn mix(&mut self, db: f64, amplifier: Option<&Amplifier>, rate: f64, random: &mut Random) {
        self.added.clone_from(&self.dry);
        if let Some(amplifier) = amplifier {
            amplifier.run(&mut self.added, rate);
        }
        if random.chance(0.3) {
            let hz = 80.0 * 60f64.powf(random.unit());
            Biquad::bell(hz / rate, random.range(0.5, 2.0), random.range(-9.0, 9.0))
                .run(&mut self.added);
        }
        let level = loudness(&self.added, rate as f32);
        if level > 0.0 {
            let scale = 0.1 * gain(db) / level;
            self.added.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

fn note(recipe: &mut String, text: std::fmt::Arguments) {
    // Writing into a string cannot fail.
    let _ = recipe.write_fmt(text);
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests;
