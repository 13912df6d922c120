// SPDX-License-Identifier: MPL-2.0
//! Sample-rate conversion of a mono stream, for what must run at a rate of its own.
//!
//! A windowed sinc (rubato, 256 taps, Blackman-Harris), not soxr as in `librosa.load`: the two
//! differ in the last few per cent below half of the lower rate.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, ResamplerConstructionError, SincInterpolationParameters, WindowFunction,
};

/// Converts a mono stream from one rate to another; no allocation after construction. The output
/// begins at the input's first sample: the filter's delay is removed.
pub struct Resampler {
    inner: Async<f32>,
    input: Vec<f32>,
    filled: usize,
    output: Vec<f32>,
    ratio: f64,
    /// Samples of the filter's delay still to drop.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    const CHUNK: usize = 256;
    const TAPS: usize = 256;

    /// From `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// When a rate is 0.
    pub fn new(from: u32, to: u32) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(to) / f64::from(from);
        let parameters =
            SincInterpolationParameters::new(Self::TAPS, WindowFunction::BlackmanHarris2);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, Self::CHUNK, 1, FixedAsync::Input)?;
        let mut resampler = Self {
            output: vec![0.0; rubato::Resampler::output_frames_max(&inner)],
            inner,
            input: vec![0.0; Self::CHUNK],
            filled: 0,
            ratio,
            skip: 0,
            taken: 0,
            given: 0,
        };
        resampler.reset();
        Ok(resampler)
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        rubato::Resampler::reset(&mut self.inner);
        // Half of the filter, less the one sample that rubato is ahead of it; what is left is
        // under half a sample.
        self.skip = (Self::TAPS as f64 / 2.0 * self.ratio - 1.0)
            .round()
            .max(0.0) as usize;
        (self.filled, self.taken, self.given) = (0, 0, 0);
    }

    /// The longest time in seconds that a sample is held, at an input rate of `rate` Hz.
    pub fn delay(&self, rate: f64) -> f64 {
        (Self::CHUNK + Self::TAPS / 2) as f64 / rate
    }

    /// Takes samples, hands out converted ones.
    pub fn push(&mut self, mut samples: &[f32], out: &mut impl FnMut(&[f32])) {
        self.taken += samples.len() as u64;
        while !samples.is_empty() {
            let (now, rest) = samples.split_at(samples.len().min(Self::CHUNK - self.filled));
            self.input[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            samples = rest;
            if self.filled == Self::CHUNK {
                self.convert(u64::MAX, out);
            }
        }
    }

    /// Hands out what is still held: after it, `round(samples · to / from)` came out in all.
    pub fn finish(&mut self, out: &mut impl FnMut(&[f32])) {
        let total = (self.taken as f64 * self.ratio).round() as u64;
        while self.given < total {
            self.input[self.filled..].fill(0.0);
            self.convert(total, out);
        }
    }

    fn convert(&mut self, total: u64, out: &mut impl FnMut(&[f32])) {
        self.filled = 0;
        let size = self.output.len();
        let (Ok(from), Ok(mut to)) = (
            InterleavedSlice::new(&self.input, 1, Self::CHUNK),
            InterleavedSlice::new_mut(&mut self.output, 1, size),
        ) else {
            return;
        };
        let made = rubato::Resampler::process_into_buffer(&mut self.inner, &from, &mut to, None);
        // It fails on wrong sizes only, and these are its own.
        debug_assert!(made.is_ok());
        let made = made.map_or(0, |(_, made)| made);
        let dropped = self.skip.min(made);
        self.skip -= dropped;
        let wanted = ((made - dropped) as u64).min(total - self.given) as usize;
        self.given += wanted as u64;
        out(&self.output[dropped..dropped + wanted]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_stays_where_it_was() {
        for (from, to) in [
            (44_100, 22_050),
            (8_000, 22_050),
            (48_000, 16_000),
            (44_101, 22_050),
        ] {
            let mut resampler = Resampler::new(from, to).unwrap();
            let tone = |rate: u32| {
                (0..rate).map(move |n| {
                    (std::f64::consts::TAU * 1_000.0 * f64::from(n) / f64::from(rate)).sin() as f32
                })
            };
            let input: Vec<f32> = tone(from).collect();
            let mut output = Vec::new();
            for part in input.chunks(1_000) {
                resampler.push(part, &mut |s| output.extend_from_slice(s));
            }
            resampler.finish(&mut |s| output.extend_from_slice(s));
            assert_eq!(output.len(), to as usize);
            // Against a sine and a cosine: amplitude, and lag in samples of the output.
            let (mut re, mut im, mut count) = (0.0, 0.0, 0.0);
            for (n, x) in output
                .iter()
                .enumerate()
                .take(to as usize - 1_000)
                .skip(1_000)
            {
                let phase = std::f64::consts::TAU * 1_000.0 * n as f64 / f64::from(to);
                re += f64::from(*x) * phase.sin();
                im += f64::from(*x) * phase.cos();
                count += 0.5;
            }
            assert!((re.hypot(im) / count - 1.0).abs() < 1e-2, "{from} to {to}");
            let lag = im.atan2(re) / std::f64::consts::TAU * f64::from(to) / 1_000.0;
            assert!(lag.abs() < 0.51, "{from} to {to}: {lag} samples");
        }
    }
}
