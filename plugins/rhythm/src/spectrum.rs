// SPDX-License-Identifier: MPL-2.0
//! Windowed spectra of a stream: framing at a fractional hop, windows, the real FFT.

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

/// The even length closest to `target` samples that the FFT is fast at: 2^a · 3^b with a ≥ 4.
pub fn fft_friendly(target: f64) -> usize {
    let mut best = 16usize;
    for threes in [1usize, 3, 9] {
        for power in 4..=20 {
            let length = threes << power;
            if (length as f64 - target).abs() < (best as f64 - target).abs() {
                best = length;
            }
        }
    }
    best
}

/// The periodic Hann window of `length` samples (the field's DFT-even form).
pub fn hann(length: usize) -> Vec<f32> {
    (0..length)
        .map(|n| (0.5 - 0.5 * (TAU * n as f64 / length as f64).cos()) as f32)
        .collect()
}

/// The periodic Hamming window of `length` samples.
pub fn hamming(length: usize) -> Vec<f32> {
    (0..length)
        .map(|n| (0.54 - 0.46 * (TAU * n as f64 / length as f64).cos()) as f32)
        .collect()
}

/// Magnitude of a band of [`Spectrum::of_attacks`] (1 is a full-scale sine) that counts as none:
/// the 16-bit dither of a silent track stays below it at all rates.
pub(crate) const DITHER: f32 = 8e-6;
/// Length of [`attack_window`]s in seconds, before rounding to a length the FFT likes.
const ATTACK_WINDOW: f64 = 0.0464;

/// A window that rises slowly and falls fast (two halves of Hann windows), so that an attack
/// shows as soon as it has entered, while low notes still get their resolution. Of `length`
/// samples, 30 % are the falling side.
pub fn attack_window(length: usize) -> Vec<f32> {
    let fall = (length as f64 * 0.3).round();
    let rise = length as f64 - fall;
    (0..length)
        .map(|n| {
            let n = n as f64;
            let phase = if n < rise {
                n / rise
            } else {
                1.0 + (n - rise) / fall
            };
            (0.5 - 0.5 * (PI * phase).cos()) as f32
        })
        .collect()
}

/// One windowed real FFT, its buffers allocated once.
pub struct Spectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    input: Vec<f32>,
    output: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Spectrum {
    /// The spectrum of the causal onset functions for audio of `rate` Hz: 46 ms through an
    /// [`attack_window`].
    pub fn of_attacks(rate: u32) -> Self {
        let length = fft_friendly(ATTACK_WINDOW * f64::from(rate));
        Self::new(attack_window(length))
    }

    /// A transform of `window.len()` samples, each frame multiplied by `window`.
    pub fn new(window: Vec<f32>) -> Self {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(window.len());
        Self {
            input: fft.make_input_vec(),
            output: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            window,
        }
    }

    /// Samples in a frame.
    pub fn frame_len(&self) -> usize {
        self.window.len()
    }

    /// Bins in a spectrum: `frame_len() / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.output.len()
    }

    /// The spectrum of `frame` (exactly [`Self::frame_len`] samples; a shorter one is zero-padded).
    fn transform(&mut self, frame: &[f32]) -> &[Complex32] {
        self.input.fill(0.0);
        for ((x, s), w) in self.input.iter_mut().zip(frame).zip(&self.window) {
            *x = s * w;
        }
        // It fails on wrong lengths only, and these buffers were made by the transform itself.
        let done =
            self.fft
                .process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch);
        debug_assert!(done.is_ok());
        &self.output
    }

    /// Magnitude |X| of every bin of `frame` into `out` ([`Self::bins`] values).
    pub fn magnitude(&mut self, frame: &[f32], out: &mut [f32]) {
        for (m, x) in out.iter_mut().zip(self.transform(frame)) {
            *m = (x.re * x.re + x.im * x.im).sqrt();
        }
    }

    /// Power |X|² of every bin of `frame` into `out` ([`Self::bins`] values).
    pub fn power(&mut self, frame: &[f32], out: &mut [f32]) {
        for (p, x) in out.iter_mut().zip(self.transform(frame)) {
            *p = x.re * x.re + x.im * x.im;
        }
    }
}

/// The sum of products, in eight partial sums: one alone would wait for each addition in turn.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    let mut sums = [0.0f32; 8];
    for (x, y) in a.zip(b) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    rest + sums.iter().sum::<f32>()
}

/// Triangular (or any) bands over the bins of a spectrum, stored as the runs of weights that are
/// not zero.
#[derive(Clone, Debug, Default)]
pub struct Filterbank {
    bands: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<f32>,
}

impl Filterbank {
    /// Adds a band that weighs the bins from `first` on.
    pub fn push(&mut self, first: usize, weights: impl IntoIterator<Item = f32>) {
        let from = self.weights.len();
        self.weights.extend(weights);
        self.bands.push((first, from..self.weights.len()));
    }

    /// Number of bands.
    pub fn len(&self) -> usize {
        self.bands.len()
    }

    /// Whether there is no band.
    pub fn is_empty(&self) -> bool {
        self.bands.is_empty()
    }

    /// The weighted sums of `bins` into `out` ([`Self::len`] values).
    pub fn apply(&self, bins: &[f32], out: &mut [f32]) {
        for (value, (first, range)) in out.iter_mut().zip(&self.bands) {
            let weights = &self.weights[range.clone()];
            let bins = &bins[*first..*first + weights.len()];
            // The lower half of the bands is one or two bins wide.
            *value = if weights.len() < 8 {
                bins.iter().zip(weights).map(|(x, w)| x * w).sum()
            } else {
                dot(bins, weights)
            };
        }
    }
}

/// The last samples of a stream, cut into overlapping frames at a hop that need not be whole.
///
/// Frame `n` ends just before sample `round((n + 1) · hop) + ahead`; samples before the stream's
/// first count as zero. The memory is fixed at construction.
pub struct Framer {
    buffer: Vec<f32>,
    /// Samples in `buffer` that are valid.
    filled: usize,
    /// Absolute index of the sample after the last valid one.
    end: u64,
    keep: usize,
    hop: f64,
    ahead: u64,
    frames: u64,
    next_end: u64,
}

impl Framer {
    /// Keeps at least the last `keep` samples in view of each frame; frames are `hop` samples
    /// apart (≥ 1) and the first one ends `ahead` samples after its hop.
    pub fn new(keep: usize, hop: f64, ahead: u64) -> Self {
        let mut framer = Self {
            // Room for several hops, so that the tail is moved to the front rarely.
            buffer: vec![0.0; keep * 2 + (hop.ceil() as usize) * 8],
            filled: 0,
            end: 0,
            keep,
            hop,
            ahead,
            frames: 0,
            next_end: 0,
        };
        framer.reset();
        framer
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.buffer[..self.keep].fill(0.0);
        self.filled = self.keep;
        self.end = 0;
        self.frames = 0;
        self.next_end = self.frame_end(0);
    }

    fn frame_end(&self, n: u64) -> u64 {
        ((n + 1) as f64 * self.hop).round() as u64 + self.ahead
    }

    /// Takes samples from the front of `input` up to the end of the next frame. Returns the
    /// rest of `input`, and the frame's index when it is complete: then [`Self::last`] shows it.
    /// `map` is applied to each sample on its way in.
    pub fn fill<'a>(
        &mut self,
        input: &'a [f32],
        map: impl Fn(f32) -> f32,
    ) -> (&'a [f32], Option<u64>) {
        let wanted = (self.next_end - self.end).min(input.len() as u64) as usize;
        let (mut now, rest) = input.split_at(wanted);
        while !now.is_empty() {
            if self.filled == self.buffer.len() {
                self.buffer.copy_within(self.filled - self.keep.., 0);
                self.filled = self.keep;
            }
            let part = now.len().min(self.buffer.len() - self.filled);
            let (head, tail) = now.split_at(part);
            for (slot, x) in self.buffer[self.filled..].iter_mut().zip(head) {
                *slot = map(*x);
            }
            self.filled += part;
            now = tail;
        }
        self.end += wanted as u64;
        if self.end < self.next_end {
            return (rest, None);
        }
        let n = self.frames;
        self.frames += 1;
        self.next_end = self.frame_end(self.frames);
        (rest, Some(n))
    }

    /// The last `count` samples (at most `keep`).
    pub fn last(&self, count: usize) -> &[f32] {
        &self.buffer[self.filled - count..self.filled]
    }

    /// Samples received since the start of the stream.
    pub fn received(&self) -> u64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_depend_on_chunks() {
        let signal: Vec<f32> = (0..10_000).map(|n| n as f32 + 1.0).collect();
        let run = |chunk: usize| {
            let mut framer = Framer::new(300, 70.3, 5);
            let mut seen = Vec::new();
            for part in signal.chunks(chunk) {
                let mut rest = part;
                while !rest.is_empty() {
                    let (left, frame) = framer.fill(rest, |x| x);
                    rest = left;
                    if let Some(n) = frame {
                        seen.push((n, framer.last(300).to_vec()));
                    }
                }
            }
            seen
        };
        let whole = run(10_000);
        for chunk in [1, 7, 300, 4096] {
            assert_eq!(run(chunk), whole, "chunks of {chunk}");
        }
        for (n, frame) in whole {
            let end = ((n + 1) as f64 * 70.3).round() + 5.0;
            assert_eq!(f64::from(frame[299]), end);
        }
    }

    #[test]
    fn a_sine_fills_its_bin() {
        let n = 1024;
        let mut spectrum = Spectrum::new(hann(n));
        let sine: Vec<f32> = (0..n)
            .map(|t| (TAU * 37.0 * t as f64 / n as f64).sin() as f32)
            .collect();
        let mut magnitude = vec![0.0; spectrum.bins()];
        spectrum.magnitude(&sine, &mut magnitude);
        // A Hann window sums to n/2; half of the amplitude lies at the negative frequency.
        assert!((magnitude[37] - n as f32 / 4.0).abs() < 1e-2);
        assert!(magnitude[41] < 1e-2);
    }

    #[test]
    fn friendly_lengths() {
        assert_eq!(fft_friendly(0.0464 * 44_100.0), 2048);
        assert_eq!(fft_friendly(0.0464 * 8_000.0), 384);
        assert_eq!(fft_friendly(0.0464 * 48_000.0), 2304);
    }
}
