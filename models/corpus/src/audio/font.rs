// SPDX-License-Identifier: MPL-2.0
//! Notes through a SoundFont, each with its measured attack.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustysynth::{SoundFont, Synthesizer, SynthesizerSettings};

use super::truth::{Hit, OctaveBands, Spectrum, attack};
use crate::Error;

/// Notes start on blocks of this many samples (1.5 ms at 44.1 kHz), so that a note rendered alone
/// and one rendered among others are the same samples.
const BLOCK: usize = 64;
/// Seconds of sounding after which a note is measured: the longest of these within its length.
const LENGTHS: [f64; 4] = [0.06, 0.2, 0.5, 1.0];
/// Seconds rendered after a measured note's end.
const TAIL: f64 = 0.1;

/// A sound of the font.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Voice {
    /// A General MIDI program, 0 … 127.
    Program(u8),
    /// A program of the percussion bank.
    Drums(u8),
}

/// One note to play.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// Seconds of its note-on.
    pub time: f64,
    /// Seconds until its note-off.
    pub seconds: f64,
    /// MIDI key.
    pub key: u8,
    /// MIDI velocity, 1 … 127; played in steps of 8 so that measurements are shared.
    pub velocity: u8,
}

/// A measured note: samples from note-on to onset, and the energy from there.
type Tone = Option<(usize, Spectrum)>;

/// A SoundFont in memory and what was measured of it.
pub struct Font {
    /// Its file's name.
    pub name: String,
    font: Arc<SoundFont>,
    /// Programs of the percussion bank.
    pub drums: Vec<u8>,
    rate: u32,
    tones: Mutex<HashMap<(Voice, u8, u8, usize), Tone>>,
}

impl Font {
    /// Reads a SoundFont 2 file, to be played at `rate` Hz.
    ///
    /// # Errors
    /// [`Error::Missing`] without the file, [`Error::Broken`] for what is no SoundFont, has
    /// neither programs nor drums, or cannot be played at this rate (16 … 192 kHz can).
    pub fn load(path: &Path, rate: u32) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Missing {
                what: "soundfont",
                path: path.to_owned(),
            });
        }
        let file = std::fs::File::open(path).map_err(|e| Error::broken(path, e))?;
        let name = path.file_name().unwrap_or_default();
        let mut reader = std::io::BufReader::new(file);
        Self::parse(&name.to_string_lossy(), &mut reader, rate)
            .map_err(|reason| Error::broken(path, reason))
    }

    /// Reads the bytes of a SoundFont 2 file, to be played at `rate` Hz.
    ///
    /// # Errors
    /// What is wrong with it, as [`Font::load`].
    pub fn parse(name: &str, reader: &mut impl Read, rate: u32) -> Result<Self, String> {
        let font = SoundFont::new(reader).map_err(|e| e.to_string())?;
        let bank = |bank: i32| -> Vec<u8> {
            let presets = font.get_presets().iter();
            presets
                .filter(|p| p.get_bank_number() == bank)
                .filter_map(|p| u8::try_from(p.get_patch_number()).ok())
                .collect()
        };
        let mut drums = bank(128);
        drums.sort_unstable();
        if bank(0).is_empty() || drums.is_empty() {
            return Err("not a General MIDI set with drums".into());
        }
        let font = Self {
            name: name.to_owned(),
            font: Arc::new(font),
            drums,
            rate,
            tones: Mutex::default(),
        };
        font.synthesizer().map_err(|e| e.to_string())?;
        Ok(font)
    }

    fn synthesizer(&self) -> Result<Synthesizer, rustysynth::SynthesizerError> {
        let mut settings = SynthesizerSettings::new(self.rate as i32);
        settings.block_size = BLOCK;
        settings.maximum_polyphony = 48;
        // Rooms are added later, to dry music.
        settings.enable_reverb_and_chorus = false;
        Synthesizer::new(&self.font, &settings)
    }

    /// `count` mono samples of `notes` in any order, and the attack of each that sounds at all.
    pub fn play(
        &self,
        voice: Voice,
        notes: &[Note],
        count: usize,
        octaves: &mut OctaveBands,
    ) -> (Vec<f32>, Vec<Hit>) {
        let mut out = vec![0.0; count];
        let mut hits = Vec::with_capacity(notes.len());
        // `load` made one with the same settings, so that this cannot fail.
        let Ok(mut synthesizer) = self.synthesizer() else {
            return (out, hits);
        };
        let blocks =
            |seconds: f64| (seconds * f64::from(self.rate) / BLOCK as f64).round() as usize;
        let mut played: Vec<(u8, usize, &Note)> = notes
            .iter()
            .filter(|n| n.time >= 0.0)
            .map(|n| (n.key, blocks(n.time), n))
            .filter(|&(_, on, _)| on * BLOCK < count)
            .collect();
        played.sort_by_key(|&(key, on, _)| (key, on));
        // Two players on one key at once are one note.
        played.dedup_by_key(|&mut (key, on, _)| (key, on));
        // Block, off before on, key, velocity.
        let mut events: Vec<(usize, bool, u8, u8)> = Vec::with_capacity(2 * played.len());
        for (n, &(key, on, note)) in played.iter().enumerate() {
            let velocity = (note.velocity & !7 | 4).min(124);
            // The next stroke of a key ends this one, and its note-off must not end the next.
            let next = played
                .get(n + 1)
                .filter(|p| p.0 == key)
                .map_or(usize::MAX, |p| p.1);
            let off = (on + blocks(note.seconds).max(1)).min(next);
            events.push((on, true, key, velocity));
            events.push((off, false, key, velocity));
            let tone = self.tone(&mut synthesizer, voice, note, velocity, octaves);
            if let Some((rise, energy)) = tone {
                let at = on * BLOCK + rise;
                hits.push(Hit { at, energy });
            }
        }
        events.sort_unstable();

        set(&mut synthesizer, voice);
        let (mut left, mut right) = ([0.0; BLOCK], [0.0; BLOCK]);
        let mut next = 0;
        for (block, part) in out.chunks_mut(BLOCK).enumerate() {
            while let Some(&(_, on, key, velocity)) = events.get(next).filter(|e| e.0 <= block) {
                if on {
                    synthesizer.note_on(channel(voice), i32::from(key), i32::from(velocity));
                } else {
                    synthesizer.note_off(channel(voice), i32::from(key));
                }
                next += 1;
            }
            synthesizer.render(&mut left, &mut right);
            for ((x, l), r) in part.iter_mut().zip(&left).zip(&right) {
                *x = 0.5 * (l + r);
            }
        }
        (out, hits)
    }

    fn tone(
        &self,
        synthesizer: &mut Synthesizer,
        voice: Voice,
        note: &Note,
        velocity: u8,
        octaves: &mut OctaveBands,
    ) -> Tone {
        let class = LENGTHS.partition_point(|&l| l <= note.seconds).max(1) - 1;
        let class = if matches!(voice, Voice::Drums(_)) {
            1
        } else {
            class
        };
        let key = (voice, note.key, velocity, class);
        let known = |tones: &Mutex<HashMap<_, Tone>>| {
            let tones = tones.lock().unwrap_or_else(PoisonError::into_inner);
            tones.get(&key).copied()
        };
        if let Some(tone) = known(&self.tones) {
            return tone;
        }
        // Measured without the lock: two threads may do the same, with the same result.
        set(synthesizer, voice);
        let (on, off) = (LENGTHS[class], LENGTHS[class] + TAIL);
        let samples = |seconds: f64| {
            let blocks = (seconds * f64::from(self.rate) / BLOCK as f64).ceil();
            blocks as usize * BLOCK
        };
        let (on, off) = (samples(on), samples(off));
        let (mut left, mut right) = (vec![0.0; off], vec![0.0; off]);
        let (channel, number) = (channel(voice), i32::from(note.key));
        synthesizer.note_on(channel, number, i32::from(velocity));
        synthesizer.render(&mut left[..on], &mut right[..on]);
        synthesizer.note_off(channel, number);
        synthesizer.render(&mut left[on..], &mut right[on..]);
        let mono: Vec<f32> = left
            .iter()
            .zip(&right)
            .map(|(l, r)| 0.5 * (l + r))
            .collect();
        let tone = attack(&mono).map(|rise| (rise, octaves.energy(&mono, rise)));
        let mut tones = self.tones.lock().unwrap_or_else(PoisonError::into_inner);
        tones.insert(key, tone);
        tone
    }
}

fn channel(voice: Voice) -> i32 {
    match voice {
        Voice::Program(_) => 0,
        Voice::Drums(_) => Synthesizer::PERCUSSION_CHANNEL as i32,
    }
}

/// Silences it and chooses the voice.
fn set(synthesizer: &mut Synthesizer, voice: Voice) {
    synthesizer.reset();
    let (Voice::Program(number) | Voice::Drums(number)) = voice;
    synthesizer.process_midi_message(channel(voice), 0xc0, i32::from(number), 0);
}
