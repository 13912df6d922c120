// SPDX-License-Identifier: MPL-2.0
//! What of the played is an onset or a beat.
//!
//! **Onset**: the measured attack of a note, never its note-on. Each note is rendered dry and
//! alone, and its onset is where its envelope first reaches [`ATTACK`] of its peak. Onsets nearer
//! together than [`COMBINE`] are one, at the first of them. These are the definitions of the
//! synthetic test set in this repository's `tests`.
//!
//! **Masked notes are none.** In a window of about 23 ms from its onset a note has a share of the
//! energy of each octave band of the whole sound: the share it has of its part's dry signal,
//! times the share that part has (after its amplifier and gain) of the music, times the share the
//! music has beside speech and noise. Bands that the finished clip holds more than [`FLOOR`]
//! below its loudest onset do not count. An onset is audible when its notes together have
//! [`AUDIBLE`] of some band and the clip rises there: what they bring to that band is at least
//! [`RISE`] times what it held in the 23 ms before. A note below [`FAINT`] in every band does not
//! take part in an onset.
//!
//! With [`RISE`] = 1 a note among others that play on lifts its octave by 3 dB or more, as it
//! takes to be noticed; one that takes the place of another in the same octave (a melody played
//! legato) need only be as strong as that was.
//!
//! **Beat**: an instant of the score's grid with onsets on both sides (or on it), each no further
//! than a bar and [`COUNTED`] seconds away. So there are none before the music, after it, or in a
//! long rest, while short rests are counted through.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// A note's onset is where its envelope first reaches this share of its peak (−20 dB).
pub const ATTACK: f32 = 0.1;
/// Onsets nearer to each other than this many seconds are one.
pub const COMBINE: f64 = 0.030;
/// An onset has this share of some octave's energy (−6 dB).
pub const AUDIBLE: f32 = 0.25;
/// An onset brings this many times the energy that some octave held just before.
pub const RISE: f32 = 1.0;
/// A note with less than this share of every octave (−13 dB) is no part of an onset.
pub const FAINT: f32 = 0.05;
/// Octaves weaker than this part of the loudest onset's energy (−45 dB) are not audible.
pub const FLOOR: f32 = 3.2e-5;
/// A rest is counted through for this many seconds at most.
pub const COUNTED: f64 = 2.5;

/// Octave bands: below 100 Hz, then octaves, the last above 12.8 kHz.
pub const BANDS: usize = 9;
/// Energy in each octave band.
pub type Spectrum = [f32; BANDS];

/// Index of the onset of a dry note: the first sample whose magnitude reaches [`ATTACK`] of the
/// largest (the running maximum of an envelope reaches a level where the samples do). `None` for
/// silence.
pub fn attack(note: &[f32]) -> Option<usize> {
    let peak = note.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    (peak > 1e-6)
        .then(|| note.iter().position(|x| x.abs() >= ATTACK * peak))
        .flatten()
}

/// Measures octave bands of short windows.
pub struct OctaveBands {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    input: Vec<f32>,
    output: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    /// First bin of each band and one past the last.
    edges: [usize; BANDS + 1],
}

impl OctaveBands {
    /// For `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let length = (0.018 * f64::from(rate)) as usize;
        let length = length.next_power_of_two();
        let fft = RealFftPlanner::new().plan_fft_forward(length);
        let bins = length / 2 + 1;
        let bin = f64::from(rate) / length as f64;
        let edges = std::array::from_fn(|band| match band {
            0 => 0,
            BANDS => bins,
            _ => ((100.0 * 2f64.powi(band as i32 - 1) / bin).round() as usize).min(bins),
        });
        // Rises fast and falls slowly: attacks are at its beginning.
        let rise = length / 8;
        let window = (0..length).map(|n| {
            let u = if n < rise {
                n as f32 / rise as f32
            } else {
                (length - n) as f32 / (length - rise) as f32
            };
            (0.5 * std::f32::consts::PI * u).sin()
        });
        Self {
            window: window.collect(),
            input: fft.make_input_vec(),
            output: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            edges,
        }
    }

    /// Energy of the window that ends at `end`, silence before the first sample.
    pub fn before(&mut self, samples: &[f32], end: usize) -> Spectrum {
        match end.checked_sub(self.window.len()) {
            Some(start) => self.energy(samples, start),
            None => [0.0; BANDS],
        }
    }

    /// Energy of the window that begins at `start`, silence where there are no samples.
    pub fn energy(&mut self, samples: &[f32], start: usize) -> Spectrum {
        let part = samples.get(start..).unwrap_or_default();
        for (n, (x, w)) in self.input.iter_mut().zip(&self.window).enumerate() {
            *x = part.get(n).map_or(0.0, |s| s * w);
        }
        let (input, output) = (&mut self.input, &mut self.output);
        // All three lengths come from the plan itself, so that it cannot refuse them.
        if self
            .fft
            .process_with_scratch(input, output, &mut self.scratch)
            .is_err()
        {
            return [0.0; BANDS];
        }
        std::array::from_fn(|band| {
            self.output[self.edges[band]..self.edges[band + 1]]
                .iter()
                .map(|c| c.norm_sqr())
                .sum()
        })
    }
}

/// One note's attack.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Sample of its onset.
    pub at: usize,
    /// Energy of the dry note from there on, in the scale of its part's dry signal.
    pub energy: Spectrum,
}

/// The signals that decide whether an onset is audible, all of one length.
pub struct Mix<'a> {
    /// Parts: their attacks, their dry signal, and what they add to the music.
    pub parts: Vec<(&'a [Hit], &'a [f32], &'a [f32])>,
    /// The sum of what the parts add.
    pub sum: &'a [f32],
    /// The music, and the music beside speech and noise; `None` when it is alone.
    pub beside: Option<(&'a [f32], &'a [f32])>,
    /// The finished clip.
    pub clip: &'a [f32],
}

/// Samples of the onsets, ascending.
pub fn onsets(mix: &Mix, rate: u32, octaves: &mut OctaveBands) -> Vec<usize> {
    // Every note's share of the sound at its onset, and when that is.
    let mut notes: Vec<(usize, Spectrum)> = Vec::new();
    let mut sums: std::collections::HashMap<usize, (Spectrum, Spectrum)> = Default::default();
    for &(hits, dry, added) in &mix.parts {
        for hit in hits.iter().filter(|h| h.at < mix.clip.len()) {
            let own = octaves.energy(dry, hit.at);
            let part = octaves.energy(added, hit.at);
            let (sum, beside) = *sums.entry(hit.at).or_insert_with(|| {
                let sum = octaves.energy(mix.sum, hit.at);
                let beside = mix.beside.map_or([1.0; BANDS], |(music, all)| {
                    let music = octaves.energy(music, hit.at);
                    let all = octaves.energy(all, hit.at);
                    std::array::from_fn(|b| share(music[b], all[b]))
                });
                (sum, beside)
            });
            let shares: Spectrum = std::array::from_fn(|b| {
                share(hit.energy[b], own[b]) * share(part[b], sum[b]) * beside[b]
            });
            notes.push((hit.at, shares));
        }
    }
    notes.sort_by_key(|n| n.0);

    // What the clip itself holds there, and held just before.
    let mut levels: Vec<(usize, Spectrum, Spectrum)> = Vec::new();
    for &(at, _) in &notes {
        if levels.last().is_none_or(|l| l.0 != at) {
            let after = octaves.energy(mix.clip, at);
            levels.push((at, after, octaves.before(mix.clip, at)));
        }
    }
    let loudest = levels
        .iter()
        .map(|l| l.1.iter().sum::<f32>())
        .fold(0.0, f32::max);
    let floor = FLOOR * loudest;
    let level = |at: usize| {
        let found = levels.binary_search_by_key(&at, |l| l.0);
        found.map_or(([0.0; BANDS], [0.0; BANDS]), |n| (levels[n].1, levels[n].2))
    };
    for (at, shares) in &mut notes {
        for (share, energy) in shares.iter_mut().zip(level(*at).0) {
            if energy <= floor {
                *share = 0.0;
            }
        }
    }
    notes.retain(|n| n.1.iter().any(|&s| s >= FAINT));

    let near = (COMBINE * f64::from(rate)) as usize;
    let mut found: Vec<usize> = Vec::new();
    let mut rest = notes.as_slice();
    while let Some(&(first, _)) = rest.first() {
        let count = rest.iter().take_while(|n| n.0 < first + near).count();
        let (cluster, later) = rest.split_at(count);
        let before = level(first).1;
        // What is loud enough alone, and what comes up over what was there.
        let is_audible = (0..BANDS).any(|b| {
            let share: f32 = cluster.iter().map(|n| n.1[b]).sum();
            let brought: f32 = cluster.iter().map(|n| n.1[b] * level(n.0).0[b]).sum();
            share >= AUDIBLE && brought >= RISE * before[b]
        });
        if is_audible {
            found.push(first);
            rest = later;
        } else {
            // The first alone is not audible: the others may be, with those after them.
            rest = &rest[1..];
        }
    }
    found
}

/// A part of a whole, 0 … 1, 0 of nothing.
fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.0 {
        (part / whole).min(1.0)
    } else {
        0.0
    }
}

/// Which of `beats` (ascending instants and the lengths of their bars, in seconds) are counted,
/// given the onsets in seconds.
pub fn counted(beats: &[(f64, f64)], onsets: &[f64]) -> Vec<bool> {
    beats
        .iter()
        .map(|&(time, bar)| {
            let reach = bar.min(COUNTED) + 0.05;
            let next = onsets.partition_point(|&o| o < time - 0.07);
            let before = onsets.partition_point(|&o| o <= time + 0.07);
            next < onsets.len()
                && onsets[next] <= time + reach
                && before > 0
                && onsets[before - 1] >= time - reach
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 44_100;

    fn burst(signal: &mut [f32], at: usize, level: f32, period: usize) {
        for (n, x) in signal[at..].iter_mut().take(4_000).enumerate() {
            let phase = (n % period) as f32 / period as f32;
            *x += level * (std::f32::consts::TAU * phase).sin() * (-(n as f32) / 1_500.0).exp();
        }
    }

    fn detected(bursts: &[(usize, f32, usize)]) -> Vec<usize> {
        let mut octaves = OctaveBands::new(RATE);
        let mut parts = Vec::new();
        let mut sum = vec![0.0; 44_100];
        for &(at, level, period) in bursts {
            let mut dry = vec![0.0; 44_100];
            burst(&mut dry, at, level, period);
            sum.iter_mut().zip(&dry).for_each(|(s, x)| *s += x);
            let energy = octaves.energy(&dry, at);
            parts.push((vec![Hit { at, energy }], dry));
        }
        let mix = Mix {
            parts: parts
                .iter()
                .map(|(h, d)| (&h[..], &d[..], &d[..]))
                .collect(),
            sum: &sum,
            beside: None,
            clip: &sum,
        };
        onsets(&mix, RATE, &mut octaves)
    }

    #[test]
    fn near_onsets_are_one_and_masked_ones_none() {
        assert_eq!(detected(&[(4_000, 0.5, 100), (4_900, 0.5, 50)]), [4_000]);
        assert_eq!(
            detected(&[(4_000, 0.5, 100), (6_000, 0.5, 50)]),
            [4_000, 6_000]
        );
        // 30 dB below in the same octave is masked, in another it is not.
        assert_eq!(detected(&[(4_000, 0.5, 100), (5_500, 0.01, 95)]), [4_000]);
        assert_eq!(
            detected(&[(4_000, 0.5, 100), (5_500, 0.01, 9)]),
            [4_000, 5_500]
        );
        // A faint note before a loud one does not pull the onset forward.
        assert_eq!(detected(&[(4_100, 0.001, 100), (4_900, 0.5, 100)]), [4_900]);
    }

    #[test]
    fn what_does_not_rise_over_what_rings_is_none() {
        // One tone from the start to `end`, another of `level` from 20000 on, in one octave.
        let second = |end: usize, level: f32| {
            let mut octaves = OctaveBands::new(RATE);
            let tone = |from: usize, to: usize, level: f32, period: usize| -> Vec<f32> {
                // Ends without a click, which would be audible in every octave.
                let fade = |n: usize| n.saturating_sub(from).min(to.saturating_sub(n)) as f32;
                (0..44_100)
                    .map(|n| {
                        let x = (std::f32::consts::TAU * n as f32 / period as f32).sin();
                        (fade(n) / 200.0).min(1.0) * level * x
                    })
                    .collect()
            };
            let dry = [tone(4_000, end, 0.5, 80), tone(20_000, 44_100, level, 70)];
            let hits: Vec<Hit> = [4_000, 20_000]
                .into_iter()
                .zip(&dry)
                .map(|(at, dry)| Hit {
                    at,
                    energy: octaves.energy(dry, at),
                })
                .collect();
            let sum: Vec<f32> = dry[0].iter().zip(&dry[1]).map(|(a, b)| a + b).collect();
            let mix = Mix {
                parts: (0..2)
                    .map(|n| (&hits[n..=n], &dry[n][..], &dry[n][..]))
                    .collect(),
                sum: &sum,
                beside: None,
                clip: &sum,
            };
            onsets(&mix, RATE, &mut octaves)
        };
        // A third of the energy, but hardly a rise; then one that rises over what goes on.
        assert_eq!(second(44_100, 0.35), [4_000]);
        assert_eq!(second(44_100, 0.7), [4_000, 20_000]);
        // Legato, as strong as the tone before and weaker.
        assert_eq!(second(20_000, 0.6), [4_000, 20_000]);
        assert_eq!(second(20_000, 0.35), [4_000]);
    }

    #[test]
    fn the_attack_is_at_a_tenth_of_the_peak() {
        let ramp: Vec<f32> = (0..1_000).map(|n| n as f32 / 1_000.0).collect();
        assert_eq!(attack(&ramp), Some(100));
        assert_eq!(attack(&[0.0; 100]), None);
    }

    #[test]
    fn long_rests_have_no_beats() {
        let beats: Vec<(f64, f64)> = (0..20).map(|k| (0.5 * f64::from(k), 2.0)).collect();
        let onsets = [1.0, 1.5, 2.0, 2.5, 7.0, 7.5, 8.0];
        let counted = counted(&beats, &onsets);
        let times: Vec<f64> = beats
            .iter()
            .zip(&counted)
            .filter(|(_, c)| **c)
            .map(|(b, _)| b.0)
            .collect();
        assert_eq!(times, [1.0, 1.5, 2.0, 2.5, 7.0, 7.5, 8.0]);
    }
}
