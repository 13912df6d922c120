// SPDX-License-Identifier: MPL-2.0
//! Beats of whole songs, from samples to beats.
// The helpers of a test may stop it, as the test itself may.
#![allow(clippy::unwrap_used)]

use dance_rhythm::analyzer::{Analyzer, Beats, Config, Event};
use dance_rhythm::beat::{Beat, Tempo};
use dance_rhythm::onset::{self, Method};

const RATE: u32 = 16_000;
const BPM: f64 = 120.0;

/// Kick, snare and hats with a bass, exactly at 120 BPM from the first sample on; full scale is 1.
fn song(beats: usize, metre: usize) -> Vec<f32> {
    let rate = f64::from(RATE);
    let mut state = 1u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let period = 60.0 / BPM;
    let mut out = vec![0.0; (beats as f64 * period * rate) as usize];
    let mut add = |time: f64, length: f64, sound: &mut dyn FnMut(f64) -> f64| {
        let start = (time * rate).round() as usize;
        let end = out.len().min(start + (length * rate) as usize);
        for (n, x) in out[start.min(end)..end].iter_mut().enumerate() {
            *x += sound(n as f64 / rate) as f32;
        }
    };
    let tone = |hz: f64, t: f64| (std::f64::consts::TAU * hz * t).sin();
    for n in 0..beats {
        let time = n as f64 * period;
        match n % metre {
            0 => add(time, 0.25, &mut |t| {
                0.6 * tone(60.0 - 40.0 * t, t) * (-12.0 * t).exp()
            }),
            2 if metre == 4 => {
                add(time, 0.25, &mut |t| 0.5 * tone(60.0, t) * (-12.0 * t).exp());
            }
            _ => add(time, 0.18, &mut |t| {
                (0.4 * noise() + 0.2 * tone(190.0, t)) * (-22.0 * t).exp()
            }),
        }
        for hat in [time, time + 0.5 * period] {
            add(hat, 0.05, &mut |t| 0.12 * noise() * (-90.0 * t).exp());
        }
        let hz = [55.0, 65.4, 49.0][n / metre % 3];
        add(time, 0.9 * period, &mut |t| {
            0.2 * tone(hz, t) * (100.0 * t).min(1.0) * (-3.0 * t).exp()
        });
    }
    let peak = out.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    out.iter_mut().for_each(|x| *x *= 0.7 / peak);
    out
}

fn analyse(samples: &[f32], offline: bool, method: Method) -> (Vec<Beat>, Vec<Tempo>) {
    let mut analyzer = Analyzer::new(&Config {
        onset: onset::Config {
            rate: RATE,
            method,
            threshold: 1.0,
            debias: true,
        },
        beats: Some(Beats {
            min_bpm: 55.0,
            max_bpm: 215.0,
            beats_per_bar: Vec::new(),
        }),
        offline,
    })
    .unwrap();
    let (mut beats, mut tempi) = (Vec::new(), Vec::new());
    let mut note = |event| match event {
        Event::Beat(beat) => beats.push(beat),
        Event::Tempo(tempo) => tempi.push(tempo),
        Event::Onset(_) => (),
    };
    for part in samples.chunks(441) {
        analyzer.push(part, &mut note);
    }
    analyzer.finish(&mut note);
    (beats, tempi)
}

fn seconds(samples: &[f32]) -> f64 {
    samples.len() as f64 / f64::from(RATE)
}

#[test]
fn there_are_no_beats_before_the_first_sound_nor_after_the_last() {
    let song = song(40, 4);
    for before in [0.0, 0.3, 1.0, 2.2, 3.8] {
        for after in [0.0, 2.5] {
            let silence = |time: f64| vec![0.0; (time * f64::from(RATE)) as usize];
            let all = [silence(before), song.clone(), silence(after)].concat();
            let (beats, _) = analyse(&all, true, Method::SuperFlux);
            let first = beats.first().unwrap().time;
            // The beat of the first attack is found, at 0 as well.
            assert!((first - before).abs() < 0.03, "{before}: {first}");
            let end = before + seconds(&song);
            let last = beats.last().unwrap().time;
            assert!(last < end && last < seconds(&all), "{before}: {last}");
            assert_eq!(beats.len(), 40, "{before} {after}");
        }
    }
}

#[test]
fn a_file_that_is_cut_at_a_beat_has_none_at_its_end() {
    let song = song(30, 4);
    for missing in [0, 1, 300] {
        let cut = &song[..song.len() - missing];
        for method in [Method::SuperFlux, Method::Mudar, Method::Librosa] {
            let (beats, _) = analyse(cut, true, method);
            let inside = |beat: &Beat| (0.0..seconds(cut)).contains(&beat.time);
            assert!(beats.iter().all(inside), "{method:?} {missing}");
            // The other methods' envelopes make half the tempo of this song.
            let least = if method == Method::SuperFlux { 29 } else { 14 };
            assert!(
                (least..=30).contains(&beats.len()),
                "{method:?} {}",
                beats.len()
            );
        }
    }
}

#[test]
fn quiet_music_has_the_beats_of_loud_music() {
    let song = song(40, 4);
    for offline in [false, true] {
        let (loud, _) = analyse(&song, offline, Method::SuperFlux);
        assert!(loud.len() >= 34, "{}", loud.len());
        // Peaks of −20 and of −66 dBFS, as 16-bit samples have them.
        for gain in [0.1f32, 5e-4] {
            let quiet: Vec<f32> = song
                .iter()
                .map(|x| (x / 0.7 * gain * 32_768.0).round() / 32_768.0)
                .collect();
            let (beats, tempi) = analyse(&quiet, offline, Method::SuperFlux);
            assert!(
                beats.len().abs_diff(loud.len()) <= 1,
                "{gain}: {}",
                beats.len()
            );
            let near = |beat: &&Beat| loud.iter().any(|l| (l.time - beat.time).abs() < 0.03);
            assert!(beats.iter().filter(near).count() + 1 >= beats.len());
            assert!((tempi.last().unwrap().bpm / BPM - 1.0).abs() < 0.02);
        }
    }
}

#[test]
fn dither_and_silence_have_no_beats() {
    // Triangular dither of 16 bits for 20 s.
    let mut state = 5u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let dither: Vec<f32> = (0..20 * RATE)
        .map(|_| ((next() - next()).round() / 32_768.0) as f32)
        .collect();
    for samples in [dither, vec![0.0; 20 * RATE as usize]] {
        for offline in [false, true] {
            let (beats, tempi) = analyse(&samples, offline, Method::SuperFlux);
            assert_eq!((beats.len(), tempi.len()), (0, 0), "offline {offline}");
        }
    }
}

#[test]
fn a_waltz_is_three_in_a_bar_in_a_file_as_in_a_stream() {
    let waltz = song(60, 3);
    for offline in [false, true] {
        let (_, tempi) = analyse(&waltz, offline, Method::SuperFlux);
        assert_eq!(tempi.last().unwrap().beats_per_bar, 3, "offline {offline}");
    }
}
