// SPDX-License-Identifier: MPL-2.0
//! Synthetic music with exact truth: the onsets, beats and downbeats of every clip are known.
//!
//! **What an onset is.** Not the note-on: each note is rendered dry and alone, its envelope is
//! measured, and its onset is where that envelope first reaches [`ATTACK`] of its peak (see
//! [`attack`]). Bowed notes so begin tens of milliseconds after their note-on, drums a fraction of
//! one. Onsets nearer together than [`COMBINE`] (a chord, a kick under a hat) are one, at the
//! first of them, as in the ground truth of the field's databases.
//!
//! Speech mixed over music is a disturbance: its syllables are not onsets.

pub mod instruments;
pub mod rng;

use instruments::{Bow, Drum, Kit, bass, bowed, piano, pitch, plucked, speech};
use rng::Rng;

/// A note's onset is where its envelope first reaches this share of its peak (−20 dB).
pub const ATTACK: f64 = 0.1;
/// Onsets nearer to each other than this many seconds are one.
pub const COMBINE: f64 = 0.030;

/// A piece of music and the truth about it.
#[derive(Clone, Debug)]
pub struct Clip {
    /// What it is, unique within a set.
    pub name: String,
    /// Sample rate in Hz.
    pub rate: u32,
    /// Mono samples in −1 … 1.
    pub samples: Vec<f32>,
    /// Instants of all onsets in seconds, ascending.
    pub onsets: Vec<f64>,
    /// Instants of all beats in seconds, ascending; empty where there is no pulse.
    pub beats: Vec<f64>,
    /// Instants of the first beats of bars.
    pub downbeats: Vec<f64>,
    /// Beats in a bar, 0 where there is no pulse.
    pub beats_per_bar: u32,
    /// Tempo in beats per minute at the start and at the end, 0 where there is no pulse.
    pub bpm: [f64; 2],
    /// Everything in it is a drum: the onsets are as sharp as they get.
    pub drums_only: bool,
}

impl Clip {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}

/// Seconds from the start of a dry note to its onset: where the envelope (the largest |sample|
/// of the 3 ms before) first reaches [`ATTACK`] of its peak. `None` for silence.
pub fn attack(note: &[f64], rate: f64) -> Option<f64> {
    // The running maximum first reaches a level where the samples do.
    let peak = note.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    (peak > 0.0)
        .then(|| note.iter().position(|x| x.abs() >= ATTACK * peak))
        .flatten()
        .map(|n| n as f64 / rate)
}

/// Who plays the notes beside the drums.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Voice {
    Piano,
    Guitar,
    /// Through an amplifier that clips softly.
    Distorted,
    Organ,
    /// Bowed strings with vibrato.
    Violin,
    /// Slow swells that run into each other.
    Pad,
    Flute,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Beat {
    Rock,
    Floor,
    Swing,
    Latin,
    /// Kick on the groups, snare between, hats on every unit: any metre.
    Odd,
    /// Two dotted beats of three.
    Compound,
    /// Kick and snare with many soft strokes between.
    Funk,
}

/// What a clip is made from.
#[derive(Clone, Debug)]
struct Plan {
    name: &'static str,
    rate: u32,
    seconds: f64,
    bpm: [f64; 2],
    metre: u32,
    drums: Option<Beat>,
    bass: bool,
    comp: Option<Voice>,
    lead: Option<Voice>,
    /// Off-beat eighths are this share of a sixth of a beat late.
    swing: f64,
    /// Deviation of the players' timing in seconds.
    loose: f64,
    /// Peak in dBFS.
    level: f64,
    /// Reverberation time in seconds and its level.
    reverb: Option<(f64, f64)>,
    /// Speech over it, relative to the music's RMS, dB.
    speech: Option<f64>,
    /// Noise relative to full scale, dB.
    noise: f64,
}

const PLAIN: Plan = Plan {
    name: "",
    rate: 44_100,
    seconds: 16.0,
    bpm: [120.0, 120.0],
    metre: 4,
    drums: None,
    bass: false,
    comp: None,
    lead: None,
    swing: 0.0,
    loose: 0.004,
    level: -3.0,
    reverb: None,
    speech: None,
    noise: -85.0,
};

fn plans() -> Vec<Plan> {
    use Beat::*;
    use Voice::*;
    let at = |bpm: f64| [bpm, bpm];
    vec![
        Plan {
            name: "drums-rock-110",
            bpm: at(110.0),
            drums: Some(Rock),
            ..PLAIN
        },
        Plan {
            name: "drums-floor-128-loud",
            bpm: at(128.0),
            drums: Some(Floor),
            level: -1.0,
            loose: 0.0,
            ..PLAIN
        },
        Plan {
            name: "drums-swing-160",
            bpm: at(160.0),
            drums: Some(Swing),
            swing: 1.0,
            reverb: Some((0.5, 0.12)),
            ..PLAIN
        },
        Plan {
            name: "drums-funk-95",
            bpm: at(95.0),
            drums: Some(Funk),
            loose: 0.007,
            ..PLAIN
        },
        Plan {
            name: "drums-latin-180-48k",
            rate: 48_000,
            bpm: at(180.0),
            drums: Some(Latin),
            ..PLAIN
        },
        Plan {
            name: "drums-quiet-35dB",
            bpm: at(100.0),
            drums: Some(Rock),
            level: -35.0,
            noise: -90.0,
            ..PLAIN
        },
        Plan {
            name: "rock-distorted-140",
            bpm: at(140.0),
            drums: Some(Rock),
            bass: true,
            comp: Some(Distorted),
            ..PLAIN
        },
        Plan {
            name: "metal-distorted-200",
            bpm: at(200.0),
            drums: Some(Rock),
            bass: true,
            comp: Some(Distorted),
            level: -1.0,
            ..PLAIN
        },
        Plan {
            name: "pop-piano-80",
            bpm: at(80.0),
            drums: Some(Rock),
            bass: true,
            comp: Some(Piano),
            reverb: Some((1.0, 0.15)),
            ..PLAIN
        },
        Plan {
            name: "dance-organ-128",
            bpm: at(128.0),
            drums: Some(Floor),
            bass: true,
            comp: Some(Organ),
            loose: 0.0,
            ..PLAIN
        },
        Plan {
            name: "bass-120",
            bpm: at(120.0),
            bass: true,
            ..PLAIN
        },
        Plan {
            name: "bass-drums-70-24dB",
            bpm: at(70.0),
            bass: true,
            drums: Some(Funk),
            level: -24.0,
            ..PLAIN
        },
        Plan {
            name: "guitar-plucked-100",
            bpm: at(100.0),
            comp: Some(Guitar),
            lead: Some(Guitar),
            ..PLAIN
        },
        Plan {
            name: "guitar-plucked-60-hall",
            bpm: at(60.0),
            lead: Some(Guitar),
            bass: true,
            reverb: Some((1.8, 0.25)),
            ..PLAIN
        },
        Plan {
            name: "piano-solo-72",
            bpm: at(72.0),
            comp: Some(Piano),
            lead: Some(Piano),
            loose: 0.010,
            reverb: Some((1.2, 0.12)),
            ..PLAIN
        },
        Plan {
            name: "violin-vibrato-66",
            bpm: at(66.0),
            lead: Some(Violin),
            reverb: Some((1.5, 0.15)),
            ..PLAIN
        },
        Plan {
            name: "violin-piano-84",
            bpm: at(84.0),
            lead: Some(Violin),
            comp: Some(Piano),
            ..PLAIN
        },
        Plan {
            name: "violin-drums-150",
            bpm: at(150.0),
            lead: Some(Violin),
            drums: Some(Rock),
            bass: true,
            ..PLAIN
        },
        Plan {
            name: "flute-guitar-90-22k",
            rate: 22_050,
            bpm: at(90.0),
            lead: Some(Flute),
            comp: Some(Guitar),
            ..PLAIN
        },
        Plan {
            name: "pads-drums-115",
            bpm: at(115.0),
            comp: Some(Pad),
            drums: Some(Floor),
            reverb: Some((1.0, 0.2)),
            ..PLAIN
        },
        Plan {
            name: "pads-legato-50",
            bpm: at(50.0),
            comp: Some(Pad),
            ..PLAIN
        },
        Plan {
            name: "speech-over-band-105",
            bpm: at(105.0),
            drums: Some(Rock),
            bass: true,
            comp: Some(Piano),
            speech: Some(-6.0),
            ..PLAIN
        },
        Plan {
            name: "speech-over-guitar-88",
            bpm: at(88.0),
            comp: Some(Guitar),
            bass: true,
            speech: Some(-8.0),
            ..PLAIN
        },
        Plan {
            name: "jazz-swing-170",
            bpm: at(170.0),
            drums: Some(Swing),
            bass: true,
            comp: Some(Piano),
            swing: 1.0,
            loose: 0.008,
            reverb: Some((0.8, 0.12)),
            ..PLAIN
        },
        Plan {
            name: "ramp-90-to-150",
            bpm: [90.0, 150.0],
            drums: Some(Rock),
            bass: true,
            comp: Some(Organ),
            ..PLAIN
        },
        Plan {
            name: "ramp-130-to-75",
            bpm: [130.0, 75.0],
            drums: Some(Funk),
            bass: true,
            ..PLAIN
        },
        Plan {
            name: "waltz-165",
            bpm: at(165.0),
            metre: 3,
            drums: Some(Odd),
            bass: true,
            comp: Some(Piano),
            ..PLAIN
        },
        Plan {
            name: "six-eight-75",
            bpm: at(75.0),
            metre: 2,
            drums: Some(Compound),
            bass: true,
            comp: Some(Guitar),
            ..PLAIN
        },
        Plan {
            name: "five-four-132",
            bpm: at(132.0),
            metre: 5,
            drums: Some(Odd),
            bass: true,
            comp: Some(Piano),
            swing: 0.6,
            ..PLAIN
        },
        Plan {
            name: "seven-eight-190",
            bpm: at(190.0),
            metre: 7,
            drums: Some(Odd),
            bass: true,
            comp: Some(Distorted),
            ..PLAIN
        },
        Plan {
            name: "telephone-band-118-8k",
            rate: 8_000,
            bpm: at(118.0),
            drums: Some(Rock),
            bass: true,
            comp: Some(Guitar),
            level: -12.0,
            noise: -50.0,
            ..PLAIN
        },
        Plan {
            name: "noise",
            seconds: 10.0,
            noise: -20.0,
            ..PLAIN
        },
        Plan {
            name: "silence",
            seconds: 10.0,
            noise: -300.0,
            ..PLAIN
        },
    ]
}

/// The whole set, one clip after the other; another `seed` is other music of the same kinds.
pub fn clips(seed: u64) -> impl Iterator<Item = Clip> {
    plans().into_iter().enumerate().map(move |(n, plan)| {
        perform(
            &plan,
            &mut Rng::new(seed.wrapping_mul(1_000_003) + n as u64),
        )
    })
}

/// The samples so far and the onsets of all that was played.
struct Stage {
    rate: f64,
    bus: Vec<f64>,
    /// What goes through the amplifier.
    amplified: Vec<f64>,
    onsets: Vec<f64>,
}

impl Stage {
    fn play(&mut self, time: f64, note: &[f64], gain: f64, amplified: bool) {
        let start = (time.max(0.0) * self.rate).round() as usize;
        // A note cut off by the end of the clip may not have begun yet.
        let last = self.bus.len() as f64 / self.rate - 0.1;
        let Some(rise) = attack(note, self.rate).filter(|_| time < last) else {
            return;
        };
        self.onsets.push(start as f64 / self.rate + rise);
        let bus = if amplified {
            &mut self.amplified
        } else {
            &mut self.bus
        };
        for (x, s) in bus[start..].iter_mut().zip(note) {
            *x += gain * s;
        }
    }
}

/// The instants of the beats: tempo moves in a straight line from first to last.
fn grid(plan: &Plan, start: f64) -> Vec<f64> {
    let mut beats = vec![start];
    let mut at = start;
    while at < plan.seconds + 8.0 {
        let along = ((at - start) / (plan.seconds - start)).clamp(0.0, 1.0);
        at += 60.0 / (plan.bpm[0] + (plan.bpm[1] - plan.bpm[0]) * along);
        beats.push(at);
    }
    beats
}

/// The strokes of one bar: beat within the bar, drum, velocity.
fn bar(beat: Beat, metre: u32, index: usize, rng: &mut Rng) -> Vec<(f64, Drum, f64)> {
    let mut bar = Vec::new();
    let metre = f64::from(metre);
    let mut add = |at: f64, drum, velocity: f64| {
        if at < metre - 0.01 {
            bar.push((at, drum, velocity));
        }
    };
    let steps = |step: f64| (0..(metre / step + 0.01) as usize).map(move |k| k as f64 * step);
    let fill = index % 4 == 3 && metre >= 3.0;
    match beat {
        Beat::Rock => {
            for at in steps(0.5) {
                add(at, Drum::Hat, if at.fract() == 0.0 { 0.55 } else { 0.4 });
            }
            for at in [0.0, 2.0, 2.5] {
                add(at, Drum::Kick, 0.95);
            }
            if rng.chance(0.4) {
                add(1.5, Drum::Kick, 0.7);
            }
            add(1.0, Drum::Snare, 0.85);
            if !fill {
                add(3.0, Drum::Snare, 0.9);
            }
        }
        Beat::Floor => {
            for at in steps(1.0) {
                add(at, Drum::Kick, 1.0);
                add(at + 0.5, Drum::OpenHat, 0.5);
            }
            add(1.0, Drum::Clap, 0.7);
            add(3.0, Drum::Clap, 0.7);
            if rng.chance(0.5) {
                add(2.75, Drum::Shaker, 0.6);
            }
        }
        Beat::Swing => {
            for at in [0.0, 1.0, 1.5, 2.0, 3.0, 3.5] {
                add(at, Drum::Ride, 0.55);
            }
            add(1.0, Drum::Hat, 0.4);
            add(3.0, Drum::Hat, 0.4);
            if rng.chance(0.6) {
                add(rng.pick(&[0.5, 1.5, 2.0, 3.5]), Drum::Kick, 0.6);
            }
            if rng.chance(0.6) {
                add(rng.pick(&[0.5, 2.5, 3.5]), Drum::Snare, 0.45);
            }
        }
        Beat::Latin => {
            for at in steps(0.5) {
                add(at, Drum::Cowbell, if at.fract() == 0.0 { 0.6 } else { 0.4 });
            }
            for at in [0.0, 1.5, 3.0] {
                add(at, Drum::Rim, 0.7);
            }
            add(0.0, Drum::Kick, 0.8);
            add(2.0, Drum::Kick, 0.8);
            add(rng.pick(&[1.0, 2.5, 3.5]), Drum::HighTom, 0.7);
            add(rng.pick(&[3.0, 3.5]), Drum::LowTom, 0.7);
        }
        Beat::Odd => {
            for at in steps(1.0) {
                add(at, Drum::Hat, 0.5);
                // Groups of two after a first of three, where the metre is odd.
                let strong = at == 0.0 || (at >= 3.0 && ((metre - at) as u32).is_multiple_of(2));
                if strong {
                    add(at, Drum::Kick, if at == 0.0 { 1.0 } else { 0.75 });
                } else {
                    add(at, Drum::Snare, if at == metre - 1.0 { 0.7 } else { 0.5 });
                }
            }
        }
        Beat::Compound => {
            for at in steps(1.0) {
                for third in 0..3 {
                    let velocity = if third == 0 { 0.6 } else { 0.4 };
                    add(at + f64::from(third) / 3.0, Drum::Hat, velocity);
                }
                let drum = if (at as u32).is_multiple_of(2) {
                    Drum::Kick
                } else {
                    Drum::Snare
                };
                add(at, drum, 0.9);
                if rng.chance(0.3) {
                    add(at + 2.0 / 3.0, Drum::Kick, 0.6);
                }
            }
        }
        Beat::Funk => {
            for at in steps(0.25) {
                add(at, Drum::Hat, if at.fract() == 0.0 { 0.5 } else { 0.3 });
            }
            for at in [0.0, 0.75, 2.5] {
                add(at, Drum::Kick, 0.9);
            }
            add(1.0, Drum::Snare, 0.9);
            add(3.0, Drum::Snare, 0.9);
            for at in [1.75, 2.25, 3.75] {
                if rng.chance(0.6) {
                    add(at, Drum::Ghost, 0.5);
                }
            }
        }
    }
    if index.is_multiple_of(4) {
        add(0.0, Drum::Crash, 0.5);
    }
    if fill && beat != Beat::Odd {
        for k in 0..4 {
            let drum = [Drum::Snare, Drum::HighTom, Drum::HighTom, Drum::LowTom][k];
            add(metre - 1.0 + 0.25 * k as f64, drum, 0.7 + 0.05 * k as f64);
        }
    }
    bar
}

fn note(voice: Voice, hz: f64, seconds: f64, velocity: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
    let bow = |attack, release, vibrato, slope, breath| Bow {
        attack,
        release,
        vibrato,
        slope,
        breath,
    };
    match voice {
        Voice::Piano => piano(hz, seconds, velocity, rng, rate),
        Voice::Guitar | Voice::Distorted => plucked(hz, seconds, velocity, rng, rate),
        Voice::Organ => {
            let bow = bow(rng.range(0.006, 0.012), 0.03, (0.0, 0.0), 1.4, 0.0);
            bowed(hz, seconds, 0.5 * velocity, bow, rng, rate)
        }
        Voice::Violin => {
            let vibrato = (rng.range(5.0, 6.5), rng.range(20.0, 45.0));
            let bow = bow(rng.range(0.03, 0.10), 0.06, vibrato, 1.1, 0.03);
            bowed(hz, seconds, velocity, bow, rng, rate)
        }
        Voice::Flute => {
            let vibrato = (rng.range(4.5, 5.5), rng.range(10.0, 25.0));
            let bow = bow(rng.range(0.03, 0.07), 0.05, vibrato, 2.2, 0.15);
            bowed(hz, seconds, velocity, bow, rng, rate)
        }
        Voice::Pad => {
            let bow = bow(rng.range(0.25, 0.5), 0.5, (0.4, 6.0), 1.8, 0.01);
            bowed(hz, seconds, 0.5 * velocity, bow, rng, rate)
        }
    }
}

fn perform(plan: &Plan, rng: &mut Rng) -> Clip {
    let rate = f64::from(plan.rate);
    let count = (plan.seconds * rate) as usize;
    let mut stage = Stage {
        rate,
        bus: vec![0.0; count],
        amplified: vec![0.0; count],
        onsets: Vec::new(),
    };
    let musical = plan.drums.is_some() || plan.bass || plan.comp.is_some() || plan.lead.is_some();
    let beats = if musical {
        grid(plan, rng.range(0.3, 0.9))
    } else {
        Vec::new()
    };
    if musical {
        play(plan, &beats, &mut stage, rng);
    }

    let mut mix = stage.bus;
    if plan.comp == Some(Voice::Distorted) {
        amplify(&mut stage.amplified, rate);
        for (x, s) in mix.iter_mut().zip(&stage.amplified) {
            *x += s;
        }
    }
    if let Some((seconds, level)) = plan.reverb {
        reverberate(&mut mix, seconds, level, rate);
    }
    if let Some(db) = plan.speech {
        let voice = speech(plan.seconds, rng, rate);
        let rms = |x: &[f64]| (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64).sqrt();
        let gain = 10f64.powf(db / 20.0) * rms(&mix) / rms(&voice).max(1e-9);
        for (x, s) in mix.iter_mut().zip(&voice) {
            *x += gain * s;
        }
    }
    let peak = mix.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let gain = if peak > 0.0 {
        10f64.powf(plan.level / 20.0) / peak
    } else {
        0.0
    };
    let noise = 10f64.powf(plan.noise / 20.0);
    let samples = mix.iter().map(|x| (x * gain + noise * rng.noise()) as f32);

    let mut onsets = stage.onsets;
    // Noise without music starts with the clip, and that is an onset.
    if !musical && plan.noise > -100.0 {
        onsets.push(0.0);
    }
    onsets.sort_by(f64::total_cmp);
    onsets.dedup_by(|later, earlier| *later - *earlier < COMBINE);
    let end = plan.seconds - 0.1;
    let beats: Vec<f64> = beats.into_iter().filter(|&t| t < end).collect();
    Clip {
        name: plan.name.to_owned(),
        rate: plan.rate,
        samples: samples.collect(),
        onsets,
        downbeats: beats.iter().copied().step_by(plan.metre as usize).collect(),
        beats_per_bar: if musical { plan.metre } else { 0 },
        bpm: if musical { plan.bpm } else { [0.0; 2] },
        drums_only: plan.drums.is_some()
            && !plan.bass
            && plan.comp.is_none()
            && plan.lead.is_none(),
        beats,
    }
}

/// Plays all bars of `plan` onto the stage.
fn play(plan: &Plan, beats: &[f64], stage: &mut Stage, rng: &mut Rng) {
    let kit = Kit::new(rng);
    let rate = stage.rate;
    let metre = plan.metre as usize;
    let loose = plan.loose;
    // Where a position in beats lies in time, the off-beats late by the swing.
    let when = |position: f64| {
        let whole = position.floor();
        let part = position - whole;
        let late = (1.0 - (2.0 * part - 1.0).abs()) * plan.swing / 6.0;
        let k = (whole as usize).min(beats.len() - 2);
        beats[k] + (beats[k + 1] - beats[k]) * (part + late)
    };
    let late = |rng: &mut Rng| loose * rng.normal();
    let key = rng.range(0.0, 12.0).floor();
    let progression = rng.pick(&[[0, 5, 7, 0], [0, 9, 5, 7], [9, 5, 0, 7], [2, 7, 0, 9]]);
    let scale = [0.0, 2.0, 4.0, 7.0, 9.0, 12.0, 14.0, 16.0, 19.0];
    let mut step = 4i32;
    let mut lead_at = 0.0;
    let mut pad_free = 0.0;
    let swell = |b: usize| beats[(b).min(beats.len() - 1)];

    let mut first = 0;
    for index in 0.. {
        if first + 1 >= beats.len() || swell(first) > plan.seconds {
            break;
        }
        let base = first as f64;
        if let Some(style) = plan.drums {
            for (at, drum, velocity) in bar(style, plan.metre, index, rng) {
                let velocity = (velocity + 0.08 * rng.normal()).clamp(0.15, 1.0);
                let stroke = kit.strike(drum, velocity, rng, rate);
                stage.play(when(base + at) + late(rng), &stroke, 1.0, false);
            }
        }
        let root = f64::from(progression[index % 4]) + key;
        let minor = matches!(progression[index % 4], 2 | 9);
        let third = if minor { 3.0 } else { 4.0 };
        if plan.bass {
            let rhythm: &[f64] = if plan.drums == Some(Beat::Swing) {
                &[0.0, 1.0, 2.0, 3.0]
            } else {
                rng.pick(&[
                    &[0.0, 1.0, 2.0, 3.0][..],
                    &[0.0, 1.5, 2.0, 3.5],
                    &[0.0, 0.5, 1.5, 2.5, 3.0],
                ])
            };
            for (k, &at) in rhythm
                .iter()
                .enumerate()
                .filter(|&(_, &at)| at < metre as f64)
            {
                let next = rhythm.get(k + 1).copied().unwrap_or(4.0).min(metre as f64);
                let interval = if k == 0 {
                    0.0
                } else {
                    rng.pick(&[0.0, 0.0, 7.0, 12.0, third])
                };
                let hz = pitch(28.0 + root % 12.0 + interval);
                let (from, to) = (when(base + at), when(base + next));
                let velocity = rng.range(0.6, 0.9);
                let tone = bass(hz, (to - from) * rng.range(0.6, 0.97), velocity, rng, rate);
                stage.play(from + late(rng), &tone, 0.55, false);
            }
        }
        if let Some(voice) = plan.comp {
            let whole = metre as f64;
            let rhythm: &[f64] = match voice {
                Voice::Pad => &[0.0],
                Voice::Distorted => rng.pick(&[
                    &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5][..],
                    &[0.0, 1.5, 3.0],
                ]),
                Voice::Organ => &[0.5, 1.5, 2.5, 3.5],
                _ => rng.pick(&[
                    &[0.0, 2.0][..],
                    &[0.0, 1.5, 3.0],
                    &[0.0, 1.0, 2.0, 3.0],
                    &[1.0, 2.5],
                ]),
            };
            for (k, &at) in rhythm.iter().enumerate().filter(|&(_, &at)| at < whole) {
                let next = rhythm.get(k + 1).copied().unwrap_or(whole).min(whole);
                let (from, to) = (when(base + at), when(base + next));
                let intervals: &[f64] = match voice {
                    Voice::Distorted => &[0.0, 7.0, 12.0],
                    _ => &[0.0, third, 7.0, 12.0],
                };
                let seconds = (to - from)
                    * if voice == Voice::Pad {
                        1.0
                    } else {
                        rng.range(0.7, 1.0)
                    };
                let octave = if voice == Voice::Distorted {
                    40.0
                } else {
                    52.0
                };
                // A chord is one movement of a hand: a strum spreads by a few milliseconds.
                let spread = match voice {
                    Voice::Guitar => 0.006,
                    Voice::Pad | Voice::Organ => 0.0,
                    _ => 0.002,
                };
                let start = from + late(rng);
                let velocity = rng.range(0.5, 0.85);
                for (string, interval) in intervals.iter().enumerate() {
                    let tone = note(
                        voice,
                        pitch(octave + root % 12.0 + interval),
                        seconds,
                        velocity,
                        rng,
                        rate,
                    );
                    let gain = if voice == Voice::Pad { 0.12 } else { 0.22 };
                    let time = if voice == Voice::Pad {
                        from.max(pad_free)
                    } else {
                        start
                    };
                    stage.play(
                        time + spread * string as f64,
                        &tone,
                        gain,
                        voice == Voice::Distorted,
                    );
                }
                pad_free = from;
            }
        }
        if let Some(voice) = plan.lead {
            while lead_at < base + metre as f64 {
                let slow = matches!(voice, Voice::Violin | Voice::Flute);
                let beats_long: f64 = if slow {
                    rng.pick(&[1.0, 1.0, 2.0, 0.5, 1.5])
                } else {
                    rng.pick(&[0.5, 0.5, 1.0, 0.25, 0.75])
                };
                step = (step + rng.pick(&[-2, -1, -1, 1, 1, 2, 3, -3]))
                    .clamp(0, scale.len() as i32 - 1);
                let hz = pitch(60.0 + key + scale[step as usize]);
                let (from, to) = (when(lead_at), when(lead_at + beats_long));
                if !rng.chance(0.1) {
                    let seconds = (to - from) * rng.range(0.8, 1.0);
                    let tone = note(voice, hz, seconds, rng.range(0.5, 0.9), rng, rate);
                    stage.play(from + late(rng), &tone, 0.4, false);
                }
                lead_at += beats_long;
            }
        }
        first += metre;
    }
}

/// A guitar amplifier: drive, soft clipping, the loudspeaker's narrow band.
fn amplify(bus: &mut [f64], rate: f64) {
    let mut pre = instruments::Biquad::high(90.0, 0.7, rate);
    let mut speaker = instruments::Biquad::low(4_500.0, 0.9, rate);
    let peak = bus.iter().fold(1e-9f64, |m, x| m.max(x.abs()));
    for x in bus {
        *x = 0.35 * speaker.next((12.0 * pre.next(*x) / peak).tanh());
    }
}

/// A room: eight damped combs in parallel and four all-passes (M. R. Schroeder 1962).
fn reverberate(bus: &mut [f64], seconds: f64, level: f64, rate: f64) {
    let mut wet = vec![0.0; bus.len()];
    for delay in [
        0.0297, 0.0371, 0.0411, 0.0437, 0.0253, 0.0269, 0.0317, 0.0353,
    ] {
        let mut line = vec![0.0; (delay * rate) as usize];
        let gain = 10f64.powf(-3.0 * delay / seconds);
        let (mut at, mut damped) = (0, 0.0);
        for (w, x) in wet.iter_mut().zip(&*bus) {
            let y = line[at];
            damped += (y - damped) * 0.6;
            line[at] = x + gain * damped;
            at = (at + 1) % line.len();
            *w += y;
        }
    }
    for delay in [0.0051, 0.0126, 0.01, 0.0017] {
        let mut line = vec![0.0; (delay * rate) as usize + 1];
        let mut at = 0;
        for w in &mut wet {
            let y = line[at];
            let x = *w + 0.5 * y;
            line[at] = x;
            *w = y - 0.5 * x;
            at = (at + 1) % line.len();
        }
    }
    for (x, w) in bus.iter_mut().zip(&wet) {
        *x += level * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_performance_and_truth_is_in_order() {
        let once: Vec<Clip> = clips(1).collect();
        assert!(once.len() >= 24);
        for (a, b) in once.iter().zip(clips(1).take(3)) {
            assert_eq!(a.samples, b.samples, "{}", a.name);
            assert_eq!(a.onsets, b.onsets, "{}", a.name);
        }
        for a in &once {
            assert!(a.samples.iter().all(|x| x.abs() <= 1.0), "{}", a.name);
            for times in [&a.onsets, &a.beats, &a.downbeats] {
                assert!(times.is_sorted());
                assert!(times.iter().all(|&t| t < a.seconds()));
            }
            if a.beats_per_bar > 0 {
                assert!(a.onsets.len() > 5 && a.beats.len() > 5, "{}", a.name);
            }
        }
        let other = clips(2).next().unwrap();
        assert_ne!(other.samples, once[0].samples);
    }

    #[test]
    fn the_attack_is_heard_not_the_note_on() {
        let rng = &mut Rng::new(3);
        let kit = Kit::new(rng);
        let kick = kit.strike(Drum::Kick, 0.9, rng, 44_100.0);
        assert!(attack(&kick, 44_100.0).unwrap() < 0.003);
        let violin = note(Voice::Violin, 440.0, 0.5, 0.8, rng, 44_100.0);
        assert!(attack(&violin, 44_100.0).unwrap() > 0.005);
        assert_eq!(attack(&[0.0; 10], 44_100.0), None);
    }
}
