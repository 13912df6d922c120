// SPDX-License-Identifier: MPL-2.0
//! Onsets, beats and tempo of one stream of audio, in one object.

use crate::conceal::Concealer;
use crate::network::{Failure, Network};
use crate::{beat, onset};

/// What is detected, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The onset function, from which beats are decoded as well.
    pub onset: onset::Config,
    /// How beats are decoded; `None` detects onsets only.
    pub beats: Option<Beats>,
    /// Decode beats from the whole stream and report them at its end, instead of as it runs.
    pub offline: bool,
}

/// How beats are decoded.
#[derive(Debug, Clone)]
pub struct Beats {
    /// Slowest tempo in beats per minute.
    pub min_bpm: f64,
    /// Fastest tempo in beats per minute.
    pub max_bpm: f64,
    /// Metres to choose from; empty for the usual ones.
    pub beats_per_bar: Vec<u8>,
}

/// What was detected, with instants in seconds since the first sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// The attack of a sound.
    Onset(onset::Onset),
    /// A beat of the music.
    Beat(beat::Beat),
    /// The tempo has changed.
    Tempo(beat::Tempo),
}

/// Why an [`Analyzer`] cannot be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// Of the onsets.
    Onset(onset::Error),
    /// Of the beats.
    Beat(beat::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Onset(err) => err.fmt(f),
            Self::Beat(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

enum BeatStage {
    Off,
    Online(Box<beat::Tracker>),
    Offline(Box<beat::OfflineTracker>),
}

/// Detects onsets and beats in mono samples, pushed in pieces of any size.
pub struct Analyzer {
    detector: onset::Detector,
    beats: BeatStage,
    invalid_taken: u64,
    concealer: Concealer,
    rate: f64,
    /// Samples since the start of the stream.
    samples: u64,
}

impl Analyzer {
    /// An analyzer at the start of a stream.
    ///
    /// # Errors
    /// When the rate is too low or a setting is out of range.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Self::with_network(config, None)
    }

    /// An analyzer that uses `network`, where there is one, instead of the onset function of
    /// `config`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_network(config: &Config, network: Option<Box<dyn Network>>) -> Result<Self, Error> {
        let detector = match network {
            None => onset::Detector::new(&config.onset),
            Some(network) => onset::Detector::with_network(&config.onset, network),
        };
        let detector = detector.map_err(Error::Onset)?;
        let beats = match &config.beats {
            None => BeatStage::Off,
            Some(beats) => {
                let mut beat_config = beat::Config::new(detector.frame_rate());
                beat_config.min_bpm = beats.min_bpm;
                beat_config.max_bpm = beats.max_bpm;
                if !beats.beats_per_bar.is_empty() {
                    beat_config.beats_per_bar.clone_from(&beats.beats_per_bar);
                }
                if config.offline {
                    BeatStage::Offline(Box::new(
                        beat::OfflineTracker::new(&beat_config).map_err(Error::Beat)?,
                    ))
                } else {
                    BeatStage::Online(Box::new(
                        beat::Tracker::new(&beat_config).map_err(Error::Beat)?,
                    ))
                }
            }
        };
        Ok(Self {
            detector,
            beats,
            invalid_taken: 0,
            concealer: Concealer::new(config.onset.rate),
            rate: f64::from(config.onset.rate),
            samples: 0,
        })
    }

    /// The longest time in seconds between an event and its report, beyond the samples pushed.
    pub fn delay(&self) -> f64 {
        match &self.beats {
            BeatStage::Online(tracker) => self.detector.delay() + tracker.delay(),
            BeatStage::Off | BeatStage::Offline(_) => self.detector.delay(),
        }
    }

    /// Number of non-finite samples since the last call.
    pub fn take_invalid_samples(&mut self) -> u64 {
        let all = self.detector.invalid_samples();
        all - std::mem::replace(&mut self.invalid_taken, all)
    }

    /// Why the network stopped, once; from then on nothing is detected until [`Self::reset`].
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.detector.take_failure()
    }

    /// Analyses `mono`, full scale ±1.
    pub fn push(&mut self, mono: &[f32], out: &mut impl FnMut(Event)) {
        self.samples += mono.len() as u64;
        let Self {
            detector,
            beats,
            concealer,
            ..
        } = self;
        concealer.push(mono, &mut |mono| {
            detector.push(mono, &mut |event| pass(event, beats, out));
        });
    }

    /// Goes on over `count` samples that were lost, see [`Concealer`].
    pub fn push_lost(&mut self, count: u64, out: &mut impl FnMut(Event)) {
        self.samples += count;
        let Self {
            detector,
            beats,
            concealer,
            ..
        } = self;
        concealer.lose(count, &mut |mono| {
            detector.push(mono, &mut |event| pass(event, beats, out));
        });
    }

    /// Ends the stream: reports everything that is still held back.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        let Self {
            detector, beats, ..
        } = self;
        detector.finish(&mut |event| pass(event, beats, out));
        match beats {
            BeatStage::Off => (),
            BeatStage::Online(tracker) => tracker.finish(&mut |event| out(event.into())),
            BeatStage::Offline(offline) => {
                let end = self.samples as f64 / self.rate;
                let mut beats = offline.decode();
                beats.retain_mut(|beat| {
                    // The bias of an onset function may move the first beat before the stream.
                    beat.time = beat.time.max(0.0);
                    beat.time < end
                });
                if let Some(tempo) = middle_tempo(&beats) {
                    out(Event::Tempo(tempo));
                }
                for beat in beats {
                    out(Event::Beat(beat));
                }
            }
        }
    }

    /// Resets to the start of a stream.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.invalid_taken = 0;
        self.samples = 0;
        self.concealer.reset();
        match &mut self.beats {
            BeatStage::Off => (),
            BeatStage::Online(tracker) => tracker.reset(),
            BeatStage::Offline(offline) => offline.reset(),
        }
    }
}

/// The median tempo of beats with its beat's confidence, and the bar that most of them are in.
fn middle_tempo(beats: &[beat::Beat]) -> Option<beat::Tempo> {
    let mut by_tempo: Vec<&beat::Beat> = beats.iter().collect();
    by_tempo.sort_by(|a, b| a.bpm.total_cmp(&b.bpm));
    let middle = by_tempo.get(by_tempo.len() / 2)?;
    // The length of a bar is the number of its last beat, the one before the next downbeat.
    let mut bars = [0usize; beat::MOST_BEATS_PER_BAR as usize + 1];
    for pair in beats.windows(2).filter(|pair| pair[1].beat_in_bar == 1) {
        bars[usize::from(pair[0].beat_in_bar).min(bars.len() - 1)] += 1;
    }
    let beats_per_bar = (1..bars.len())
        .max_by_key(|beats| (bars[*beats], std::cmp::Reverse(*beats)))
        .filter(|beats| bars[*beats] > 0)
        .unwrap_or(0);
    Some(beat::Tempo {
        bpm: middle.bpm,
        confidence: middle.confidence,
        beats_per_bar: beats_per_bar as u8,
    })
}

impl From<beat::Event> for Event {
    fn from(event: beat::Event) -> Self {
        match event {
            beat::Event::Beat(beat) => Self::Beat(beat),
            beat::Event::Tempo(tempo) => Self::Tempo(tempo),
        }
    }
}

fn pass(event: onset::Event, beats: &mut BeatStage, out: &mut impl FnMut(Event)) {
    match event {
        onset::Event::Onset(onset) => out(Event::Onset(onset)),
        onset::Event::Frame(frame) => match beats {
            BeatStage::Off => (),
            BeatStage::Online(tracker) => tracker.push(&frame, &mut |event| out(event.into())),
            BeatStage::Offline(offline) => offline.push(&frame),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats of bars of `metre` from the second of a bar on, at 120 BPM but for every fifth.
    fn beats(metre: u8, count: u8) -> Vec<beat::Beat> {
        let beat = |n: u8| beat::Beat {
            time: f64::from(n) * 0.5,
            strength: 1.0,
            confidence: f64::from(n) / 100.0,
            bpm: if n % 5 == 4 {
                60.0
            } else {
                120.0 + f64::from(n)
            },
            beat_in_bar: (n + 1) % metre + 1,
            predicted: false,
        };
        (0..count).map(beat).collect()
    }

    #[test]
    fn the_tempo_of_a_file_has_the_bar_of_its_beats() {
        for metre in [2, 3, 4, 5] {
            let mut beats = beats(metre, 20);
            let tempo = middle_tempo(&beats).unwrap();
            assert_eq!(tempo.beats_per_bar, metre);
            // Sorted: four of 60 BPM, then those at 120 and up, of which the seventh is in the middle.
            assert_eq!((tempo.bpm, tempo.confidence), (127.0, 0.07));
            // One bar that ends early does not change it.
            beats[9].beat_in_bar = 1;
            assert_eq!(middle_tempo(&beats).unwrap().beats_per_bar, metre);
            beats.iter_mut().for_each(|beat| beat.beat_in_bar = 0);
            assert_eq!(middle_tempo(&beats).unwrap().beats_per_bar, 0);
        }
        assert_eq!(middle_tempo(&[]), None);
    }
}
