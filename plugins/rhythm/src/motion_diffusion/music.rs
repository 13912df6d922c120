// SPDX-License-Identifier: MPL-2.0
//! Music as the network hears it: [`VALUES`] numbers for each token.

use super::super::network::{BANDS, FRAME_RATE, LogBands};
use super::super::spectrum::Framer;

/// Name of the numbers, as it stands on the model's card; others have another name.
pub const FEATURES: &str = "dance-music-1";
/// Numbers of a frame: flux, then [`GROUPS`] of bands.
pub const SOUND: usize = 1 + GROUPS;
/// Groups of neighbouring bands.
pub const GROUPS: usize = 16;
/// Numbers of a token: those of the sound, then sine and cosine of the position in the beat and of
/// that in the bar, and the tempo; all five are 0 where nothing beats.
pub const VALUES: usize = SOUND + 5;

/// Frames between the two that flux compares.
const LAG: usize = 2;
/// Brings flux to the size of the other numbers.
const FLUX: f32 = 8.0;

/// Where in the beat and the bar an instant is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Beats since some beat.
    pub beat: f64,
    /// Bars since some downbeat.
    pub bar: f64,
    /// Beats a minute.
    pub tempo: f64,
}

/// Hears one stream: makes [`FRAME_RATE`] frames a second of [`SOUND`] numbers, which hardly
/// depend on how loud the music is recorded.
pub struct Listener {
    bands: LogBands,
    framer: Framer,
    /// The last frames of bands, the newest last.
    past: [[f32; BANDS]; LAG],
}

impl Listener {
    /// For mono audio at `rate` Hz (≥ 8000).
    pub fn new(rate: u32) -> Self {
        let bands = LogBands::new(rate);
        Self {
            framer: Framer::new(bands.frame_len(), f64::from(rate) / FRAME_RATE, 0),
            bands,
            past: [[0.0; BANDS]; LAG],
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.bands.reset();
        self.framer.reset();
        self.past = [[0.0; BANDS]; LAG];
    }

    /// Hears samples, and appends a frame for each that is complete to `frames`; frame `n` of a
    /// stream ends at second (n + 1) / [`FRAME_RATE`].
    pub fn push(&mut self, mut samples: &[f32], frames: &mut Vec<f32>) {
        while !samples.is_empty() {
            let (rest, frame) = self.framer.fill(samples, |x| x);
            samples = rest;
            if frame.is_none() {
                continue;
            }
            let mut now = [0.0f32; BANDS];
            self.bands
                .next(self.framer.last(self.bands.frame_len()), &mut now);
            let risen = now.iter().zip(&self.past[0]).map(|(a, b)| (a - b).max(0.0));
            frames.push(FLUX * risen.sum::<f32>() / BANDS as f32);
            let groups = now.chunks_exact(BANDS / GROUPS);
            frames.extend(groups.map(|group| group.iter().sum::<f32>() / group.len() as f32));
            self.past.rotate_left(1);
            self.past[LAG - 1] = now;
        }
    }
}

/// How late a frame ends after the instant that it tells most of, in seconds.
const LATE: f64 = 0.015;

/// The numbers of a token at second `time` that lasts `span` seconds, out of the frames of a stream
/// from its beginning; frames that are missing count as silence.
pub fn token(frames: &[f32], time: f64, span: f64, position: Option<Position>) -> [f32; VALUES] {
    let mut out = [0.0f32; VALUES];
    let count = frames.len() / SOUND;
    let frame = |t: f64| ((t + LATE) * FRAME_RATE - 1.0).round();
    let first = frame(time - 0.5 * span);
    let last = frame(time + 0.5 * span).max(first + 1.0);
    let inside = |n: f64| (n.max(0.0) as usize).min(count);
    let (from, to) = (inside(first), inside(last));
    for values in frames[from * SOUND..to * SOUND].chunks_exact(SOUND) {
        // An attack counts as a whole, wherever in the token it is.
        out[0] = out[0].max(values[0]);
        for (sum, x) in out[1..SOUND].iter_mut().zip(&values[1..]) {
            *sum += x;
        }
    }
    let all = (last - first) as f32;
    out[1..SOUND].iter_mut().for_each(|x| *x /= all);
    if let Some(position) = position {
        let turn = |x: f64| (std::f64::consts::TAU * x).sin_cos();
        let ((beat_sin, beat_cos), (bar_sin, bar_cos)) = (turn(position.beat), turn(position.bar));
        let tempo = (position.tempo / 120.0).max(1e-3).log2();
        let beats = [beat_sin, beat_cos, bar_sin, bar_cos, tempo];
        for (to, from) in out[SOUND..].iter_mut().zip(beats) {
            *to = from as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clicks(rate: u32, gain: f32) -> Vec<f32> {
        let mut samples = vec![0.0; 2 * rate as usize];
        for (k, at) in [0.5, 1.0, 1.5].iter().enumerate() {
            let start = (at * f64::from(rate)) as usize;
            for (n, x) in samples[start..start + rate as usize / 50]
                .iter_mut()
                .enumerate()
            {
                let t = n as f32 / rate as f32;
                *x = gain * (1_000.0 * (k + 1) as f32 * std::f32::consts::TAU * t).sin();
            }
        }
        samples
    }

    fn heard(samples: &[f32], rate: u32, block: usize) -> Vec<f32> {
        let (mut listener, mut frames) = (Listener::new(rate), Vec::new());
        for part in samples.chunks(block) {
            listener.push(part, &mut frames);
        }
        frames
    }

    #[test]
    fn flux_is_where_the_attacks_are_whatever_the_blocks_and_the_level() {
        let frames = heard(&clicks(44_100, 0.5), 44_100, 44_100);
        assert_eq!(frames.len(), 200 * SOUND);
        assert_eq!(frames, heard(&clicks(44_100, 0.5), 44_100, 777));
        let tokens: Vec<f32> = (0..40)
            .map(|n| token(&frames, 0.05 * f64::from(n), 0.05, None)[0])
            .collect();
        for (n, flux) in tokens.iter().enumerate() {
            assert_eq!([10, 20, 30].contains(&n), *flux > 0.5, "{n} {flux}");
        }
        // What is hardly above the dither counts less the quieter it is.
        let quiet = heard(&clicks(44_100, 0.25), 44_100, 44_100);
        for (a, b) in frames.iter().zip(&quiet) {
            assert!((a - b).abs() < 0.02 + 0.05 * a, "{a} {b}");
        }
    }

    #[test]
    fn positions_are_angles_and_silence_is_zero() {
        let at = |beat, bar| {
            token(
                &[],
                3.0,
                0.05,
                Some(Position {
                    beat,
                    bar,
                    tempo: 240.0,
                }),
            )
        };
        let on = at(7.0, 2.0);
        assert!(on[..SOUND].iter().all(|x| *x == 0.0));
        let expected = [0.0, 1.0, 0.0, 1.0, 1.0];
        for (a, b) in on[SOUND..].iter().zip(expected) {
            assert!((a - b).abs() < 1e-5);
        }
        let off = at(7.25, 2.5);
        let expected = [1.0, 0.0, 0.0, -1.0, 1.0];
        for (a, b) in off[SOUND..].iter().zip(expected) {
            assert!((a - b).abs() < 1e-5);
        }
        assert_eq!(token(&[], 1.0, 0.05, None), [0.0; VALUES]);
    }
}
