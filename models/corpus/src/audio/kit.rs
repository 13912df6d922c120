// SPDX-License-Identifier: MPL-2.0
//! Drum kits of one-shot samples: Hydrogen kits (`drumkit.xml`) and plain folders of samples
//! whose names say what they are. A clip plays a [`Palette`]: a kit whose pieces are tuned,
//! damped, coloured and sometimes borrowed from another kit.

use std::collections::HashMap;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::effects::Biquad;
use super::truth::{OctaveBands, Spectrum, attack};
use crate::Error;
use crate::random::Random;

/// What can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Bass drum.
    Kick,
    /// Snare drum.
    Snare,
    /// Rim, side stick, claves.
    Rim,
    /// Hand clap or finger snap.
    Clap,
    /// Closed hi-hat.
    ClosedHat,
    /// Hi-hat by its pedal.
    PedalHat,
    /// Open hi-hat.
    OpenHat,
    /// Floor tom.
    LowTom,
    /// Middle tom.
    MidTom,
    /// High tom.
    HighTom,
    /// Crash, splash or china cymbal.
    Crash,
    /// Ride cymbal.
    Ride,
    /// Bell of a ride, cowbell, agogo.
    Bell,
    /// Shaker, maracas, tambourine.
    Shaker,
    /// High hand drum: bongo, conga, djembe slap, tabla.
    HighHand,
    /// Low hand drum.
    LowHand,
}

impl Piece {
    /// The piece on a key of the General MIDI drum map or of Roland's kits (their hat and tom rims).
    pub fn of_key(key: u8) -> Option<Self> {
        Some(match key {
            35 | 36 => Self::Kick,
            38 | 40 => Self::Snare,
            37 | 75 => Self::Rim,
            39 => Self::Clap,
            42 | 22 => Self::ClosedHat,
            44 => Self::PedalHat,
            46 | 26 => Self::OpenHat,
            41 | 43 | 58 => Self::LowTom,
            45 | 47 => Self::MidTom,
            48 | 50 => Self::HighTom,
            49 | 52 | 55 | 57 => Self::Crash,
            51 | 59 => Self::Ride,
            53 | 56 => Self::Bell,
            54 | 69 | 70 | 82 => Self::Shaker,
            60 | 62 | 63 | 65 => Self::HighHand,
            61 | 64 | 66 => Self::LowHand,
            _ => return None,
        })
    }

    /// A key of the General MIDI drum map.
    pub fn key(self) -> u8 {
        match self {
            Self::Kick => 36,
            Self::Snare => 38,
            Self::Rim => 37,
            Self::Clap => 39,
            Self::ClosedHat => 42,
            Self::PedalHat => 44,
            Self::OpenHat => 46,
            Self::LowTom => 43,
            Self::MidTom => 47,
            Self::HighTom => 50,
            Self::Crash => 49,
            Self::Ride => 51,
            Self::Bell => 56,
            Self::Shaker => 70,
            Self::HighHand => 63,
            Self::LowHand => 64,
        }
    }

    /// The piece a sample or instrument is named after.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
        // Rolls, loops and the like are more than one stroke.
        if has(&["loop", "roll", "flam", "mute", "free", "fill"]) {
            return None;
        }
        Some(if has(&["bell", "agogo"]) {
            Self::Bell
        } else if has(&["clap", "snap"]) {
            Self::Clap
        } else if has(&["rim", "stick", "clave"]) {
            Self::Rim
        } else if has(&["kick", "bassdrum", "bass drum", "drum_bass", "bd_"]) {
            Self::Kick
        } else if has(&["snare", "sn_"]) {
            Self::Snare
        } else if has(&["pedal"]) {
            Self::PedalHat
        } else if has(&["open"]) {
            Self::OpenHat
        } else if has(&["hat", "hh", "closed"]) {
            Self::ClosedHat
        } else if has(&["ride"]) {
            Self::Ride
        } else if has(&["crash", "cymbal", "splash", "china"]) {
            Self::Crash
        } else if has(&["tom"]) {
            if has(&["low", "lo_", "floor"]) {
                Self::LowTom
            } else if has(&["hi"]) {
                Self::HighTom
            } else {
                Self::MidTom
            }
        } else if has(&["shaker", "maraca", "tamb"]) {
            Self::Shaker
        } else if has(&["slap", "tabla_t", "tabla_na", "bongo"]) {
            Self::HighHand
        } else if has(&["head hit", "conga", "tabla_g", "tabla_k", "djembe"]) {
            Self::LowHand
        } else {
            return None;
        })
    }

    /// What stands in where a kit has no such piece.
    fn substitute(self) -> Self {
        match self {
            Self::PedalHat | Self::Shaker => Self::ClosedHat,
            Self::OpenHat | Self::Ride => Self::Crash,
            Self::Crash => Self::OpenHat,
            Self::LowTom | Self::HighTom => Self::MidTom,
            Self::MidTom | Self::LowHand => Self::Kick,
            Self::HighHand | Self::Clap => Self::Snare,
            Self::Bell | Self::ClosedHat => Self::Rim,
            Self::Rim => Self::Snare,
            Self::Kick | Self::Snare => Self::LowTom,
        }
    }
}

/// One piece of one kit: layers from soft to loud.
struct OneShot {
    piece: Piece,
    /// Highest velocity of the layer, and its samples.
    layers: Vec<(f32, Vec<f32>)>,
}

/// A kit in memory.
pub struct Kit {
    /// Its folder's name.
    pub name: String,
    shots: Vec<OneShot>,
}

/// No stroke is longer than this many seconds.
const LONGEST: f64 = 2.0;

impl Kit {
    /// Reads a folder at `rate` Hz: a Hydrogen kit where it has a `drumkit.xml`, otherwise
    /// every `.flac`, `.wav` and `.aiff` in it whose name says what it is.
    ///
    /// # Errors
    /// [`Error::Missing`] without the folder, [`Error::Broken`] when a file in it cannot be read
    /// or it has neither a kick nor a snare nor a hand drum.
    pub fn load(folder: &Path, rate: u32) -> Result<Self, Error> {
        if !folder.is_dir() {
            return Err(Error::Missing {
                what: "drum kit",
                path: folder.to_owned(),
            });
        }
        let description = folder.join("drumkit.xml");
        let mut shots = if description.is_file() {
            hydrogen(&description, rate)?
        } else {
            samples(folder, rate)?
        };
        shots.retain(|shot| !shot.layers.is_empty());
        for shot in &mut shots {
            let peak = shot
                .layers
                .iter()
                .flat_map(|l| &l.1)
                .fold(0.0f32, |m, x| m.max(x.abs()));
            for x in shot.layers.iter_mut().flat_map(|l| &mut l.1) {
                *x /= peak;
            }
        }
        if !shots
            .iter()
            .any(|s| matches!(s.piece, Piece::Kick | Piece::Snare | Piece::HighHand))
        {
            return Err(Error::broken(
                folder,
                "neither a kick nor a snare nor a hand drum",
            ));
        }
        let name = folder.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            shots,
        })
    }
}

fn hydrogen(description: &Path, rate: u32) -> Result<Vec<OneShot>, Error> {
    let folder = description.parent().unwrap_or(Path::new("."));
    let text = std::fs::read_to_string(description).map_err(|e| Error::broken(description, e))?;
    let document = roxmltree::Document::parse(&text).map_err(|e| Error::broken(description, e))?;
    let child = |node: roxmltree::Node, tag: &str| {
        node.children()
            .find(|c| c.has_tag_name(tag) || c.tag_name().name() == tag)
            .and_then(|c| c.text().map(str::to_owned))
    };
    let named = |node: &roxmltree::Node, tag: &str| node.tag_name().name() == tag;
    let mut shots = Vec::new();
    for instrument in document.descendants().filter(|n| named(n, "instrument")) {
        let name = child(instrument, "name").unwrap_or_default();
        let Some(piece) = Piece::named(&name) else {
            continue;
        };
        let mut layers = Vec::new();
        let listed: Vec<_> = instrument
            .descendants()
            .filter(|n| named(n, "layer"))
            .collect();
        // Old kits name one file beside the instrument's name, and no layers.
        let listed = if listed.is_empty() {
            vec![instrument]
        } else {
            listed
        };
        for layer in listed {
            let number =
                |tag, default: f32| child(layer, tag).map_or(Some(default), |t| t.parse().ok());
            let (Some(top), Some(gain)) = (number("max", 1.0), number("gain", 1.0)) else {
                return Err(Error::broken(description, format!("a layer of {name}")));
            };
            let Some(file) = child(layer, "filename") else {
                continue;
            };
            if let Some(mut samples) = one_shot(&folder.join(file), rate)? {
                samples.iter_mut().for_each(|x| *x *= gain);
                layers.push((top, samples));
            }
        }
        layers.sort_by(|a, b| a.0.total_cmp(&b.0));
        shots.push(OneShot { piece, layers });
    }
    Ok(shots)
}

fn samples(folder: &Path, rate: u32) -> Result<Vec<OneShot>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::broken(folder, e))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(|e| Error::broken(folder, e))?.path());
    }
    // The order of a folder is its file system's; clips must not depend on it.
    files.sort();
    let mut shots = Vec::new();
    for file in files {
        let known = ["flac", "wav", "aiff"];
        let ending = file
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let stem = file
            .file_stem()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        if let Some(piece) = Piece::named(stem).filter(|_| known.contains(&ending))
            && let Some(samples) = one_shot(&file, rate)?
        {
            let layers = vec![(1.0, samples)];
            shots.push(OneShot { piece, layers });
        }
    }
    Ok(shots)
}

/// A mono sample at `rate` Hz, `None` when it is silent.
fn one_shot(path: &Path, rate: u32) -> Result<Option<Vec<f32>>, Error> {
    let (mono, own) = decode(path)?;
    let mut out = resample(&mono, f64::from(own) / f64::from(rate));
    out.truncate((LONGEST * f64::from(rate)) as usize);
    let fade = (0.05 * f64::from(rate)) as usize;
    let count = fade.min(out.len());
    for (n, x) in out.iter_mut().rev().take(count).enumerate() {
        *x *= n as f32 / fade as f32;
    }
    Ok(out.iter().any(|x| x.abs() > 1e-4).then_some(out))
}

fn decode(path: &Path) -> Result<(Vec<f32>, u32), Error> {
    let broken = |e: symphonia::core::errors::Error| Error::broken(path, e);
    let file = std::fs::File::open(path).map_err(|e| Error::broken(path, e))?;
    let mut hint = Hint::new();
    if let Some(ending) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(ending);
    }
    let mut format = symphonia::default::get_probe()
        .probe(
            &hint,
            MediaSourceStream::new(Box::new(file), Default::default()),
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(broken)?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or_else(|| Error::broken(path, "no audio in it"))?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio());
    let parameters = parameters.ok_or_else(|| Error::broken(path, "no codec in it"))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(broken)?;
    let (mut mono, mut part, mut rate) = (Vec::new(), Vec::<f32>::new(), 0);
    while let Some(packet) = format.next_packet().map_err(broken)? {
        if packet.track_id != id {
            continue;
        }
        let buffer = decoder.decode(&packet).map_err(broken)?;
        let channels = buffer.num_planes().max(1);
        rate = buffer.spec().rate();
        buffer.copy_to_vec_interleaved(&mut part);
        mono.extend(
            part.chunks(channels)
                .map(|frame| frame.iter().sum::<f32>() / channels as f32),
        );
        // No one-shot needs more; a whole song named "kick" must not fill the memory.
        if mono.len() > 60 * rate as usize {
            break;
        }
    }
    if rate == 0 {
        return Err(Error::broken(path, "no audio in it"));
    }
    Ok((mono, rate))
}

/// Every `ratio`-th sample, by cubic interpolation (E. Catmull, R. Rom 1974); above 1 a low-pass
/// keeps off what would fold.
pub fn resample(samples: &[f32], ratio: f64) -> Vec<f32> {
    if ratio == 1.0 || samples.is_empty() {
        return samples.to_owned();
    }
    let filtered;
    let source = if ratio > 1.05 {
        let mut low = [
            Biquad::low(0.45 / ratio, 0.54),
            Biquad::low(0.45 / ratio, 1.31),
        ];
        filtered = samples
            .iter()
            .map(|&x| low.iter_mut().fold(x, |x, f| f.next(x)))
            .collect::<Vec<f32>>();
        &filtered
    } else {
        samples
    };
    let at = |k: isize| source[k.clamp(0, source.len() as isize - 1) as usize];
    let count = (source.len() as f64 / ratio) as usize;
    (0..count)
        .map(|n| {
            let position = n as f64 * ratio;
            let k = position as isize;
            let t = (position - k as f64) as f32;
            let (a, b, c, d) = (at(k - 1), at(k), at(k + 1), at(k + 2));
            let (m0, m1) = (0.5 * (c - a), 0.5 * (d - b));
            let cube = 2.0 * (b - c) + m0 + m1;
            let square = 3.0 * (c - b) - 2.0 * m0 - m1;
            ((cube * t + square) * t + m0) * t + b
        })
        .collect()
}

/// One stroke as a clip plays it.
pub struct Strike {
    /// Mono samples of a stroke at velocity 1.
    pub samples: Vec<f32>,
    /// Samples from its start to its onset.
    pub rise: usize,
    /// Energy from the onset on.
    pub spectrum: Spectrum,
}

/// How a clip changes one piece.
struct Choice<'a> {
    shot: &'a OneShot,
    ratio: f64,
    /// Seconds in which it is damped by a factor e, if it is.
    damping: Option<f64>,
    /// Cut-off in cycles a sample.
    low: Option<f64>,
}

/// The kit of one clip.
pub struct Palette<'a> {
    kits: &'a [Kit],
    /// Index of its main kit.
    pub main: usize,
    choices: HashMap<Piece, Option<Choice<'a>>>,
    strikes: HashMap<(Piece, usize), Option<Strike>>,
    tuning: f64,
    rate: f64,
}

impl<'a> Palette<'a> {
    /// A palette around one of `kits`, which is not empty.
    pub fn new(kits: &'a [Kit], rate: u32, random: &mut Random) -> Self {
        Self {
            kits,
            main: random.index(kits.len()),
            choices: HashMap::new(),
            strikes: HashMap::new(),
            tuning: random.range(-3.0, 3.0),
            rate: f64::from(rate),
        }
    }

    /// The stroke and its gain; `None` where no kit has anything like it.
    pub fn strike(
        &mut self,
        piece: Piece,
        velocity: f32,
        octaves: &mut OctaveBands,
        random: &mut Random,
    ) -> Option<(&Strike, f32)> {
        if !self.choices.contains_key(&piece) {
            let choice = self.choose(piece, random);
            self.choices.insert(piece, choice);
        }
        let choice = self.choices.get(&piece)?.as_ref()?;
        let layers = &choice.shot.layers;
        let layer = layers
            .iter()
            .position(|l| velocity <= l.0)
            .unwrap_or(layers.len() - 1);
        let rate = self.rate;
        let strike = self
            .strikes
            .entry((piece, layer))
            .or_insert_with(|| render(choice, layer, rate, octaves));
        strike.as_ref().map(|s| (s, velocity.max(0.02).powf(1.3)))
    }

    fn choose(&self, piece: Piece, random: &mut Random) -> Option<Choice<'a>> {
        let kits = self.kits;
        let borrowed = if random.chance(0.25) {
            random.index(kits.len())
        } else {
            self.main
        };
        let find = |kit: &'a Kit, piece: Piece| -> Vec<&'a OneShot> {
            kit.shots.iter().filter(|s| s.piece == piece).collect()
        };
        let mut wanted = piece;
        // Their own, then other kits', then whatever is like it.
        for _ in 0..3 {
            let turn = random.index(kits.len());
            let others = (0..kits.len()).map(|k| (k + turn) % kits.len());
            for kit in [borrowed, self.main].into_iter().chain(others) {
                let found = find(&kits[kit], wanted);
                if !found.is_empty() {
                    let shot = random.pick(&found);
                    let tuned = self.tuning + random.range(-2.0, 2.0);
                    let cymbal = matches!(
                        wanted,
                        Piece::ClosedHat | Piece::OpenHat | Piece::PedalHat | Piece::Ride
                    );
                    return Some(Choice {
                        shot,
                        ratio: 2f64.powf(if cymbal { 0.5 } else { 1.0 } * tuned / 12.0),
                        damping: random.chance(0.3).then(|| random.range(0.04, 0.4)),
                        low: random.chance(0.2).then(|| random.range(0.08, 0.35)),
                    });
                }
            }
            wanted = wanted.substitute();
        }
        None
    }
}

fn render(choice: &Choice, layer: usize, rate: f64, octaves: &mut OctaveBands) -> Option<Strike> {
    let mut samples = resample(&choice.shot.layers[layer].1, choice.ratio);
    if let Some(hz) = choice.low {
        let mut filter = Biquad::low(hz, 0.7);
        samples.iter_mut().for_each(|x| *x = filter.next(*x));
    }
    let rise = attack(&samples)?;
    if let Some(seconds) = choice.damping {
        let shrink = (-1.0 / (seconds * rate)).exp() as f32;
        let mut gain = 1.0;
        for x in &mut samples[rise..] {
            *x *= gain;
            gain *= shrink;
        }
        let audible = samples.iter().rposition(|x| x.abs() > 1e-4).unwrap_or(0);
        samples.truncate(audible + 1);
    }
    // Damping may have taken the peak, and with it the measure of the attack.
    let rise = attack(&samples)?;
    let spectrum = octaves.energy(&samples, rise);
    Some(Strike {
        samples,
        rise,
        spectrum,
    })
}
