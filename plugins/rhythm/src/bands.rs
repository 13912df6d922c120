// SPDX-License-Identifier: MPL-2.0
//! A coarse spectrum for lights: 16 bands, level and strongest frequency, 50 times a second.

use crate::spectrum::{Framer, Spectrum, fft_friendly, hann};

/// Number of bands.
pub const BANDS: usize = 16;
/// Lower edge of the first and upper edge of the last band in Hz; the bands between are equally wide
/// in octaves.
pub const RANGE: (f64, f64) = (43.0, 9259.0);
/// Seconds between two spectra.
pub const HOP: f64 = 0.02;
/// Seconds of audio under one spectrum, before rounding to a length the FFT likes.
const WINDOW: f64 = 0.0464;
/// Level in dB below full scale that is shown as 0.
const FLOOR_DB: f32 = 60.0;

/// One spectrum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bands {
    /// RMS of the window, full scale 1.
    pub level: f32,
    /// Amplitude of each band as a sine would have it, 0 (60 dB below full scale or less) to 255 (full
    /// scale), linear in decibels.
    pub bands: [u8; BANDS],
    /// Amplitude of the strongest bin as a sine would have it, full scale 1.
    pub magnitude: f32,
    /// Frequency of the strongest bin in Hz; 0 in silence.
    pub peak: f32,
}

/// Cuts a stream into spectra.
pub struct BandAnalyzer {
    framer: Framer,
    spectrum: Spectrum,
    power: Vec<f32>,
    /// First bin of each band, and the one after the last.
    edges: [usize; BANDS + 1],
    rate: f64,
}

impl BandAnalyzer {
    /// For mono audio of `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        let length = fft_friendly(WINDOW * rate);
        let spectrum = Spectrum::new(hann(length));
        let bins = spectrum.bins();
        let bin = |hz: f64| ((hz * length as f64 / rate).round() as usize).clamp(1, bins);
        let octaves = (RANGE.1 / RANGE.0).log2();
        let mut edges = [0; BANDS + 1];
        for (k, edge) in edges.iter_mut().enumerate() {
            *edge = bin(RANGE.0 * (octaves * k as f64 / BANDS as f64).exp2());
        }
        Self {
            framer: Framer::new(length, (HOP * rate).max(1.0), 0),
            power: vec![0.0; bins],
            spectrum,
            edges,
            rate,
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.framer.reset();
    }

    /// Takes mono samples, and gives each spectrum with the number of samples of this call that it
    /// ends after. What is not finite counts as silence.
    pub fn push(&mut self, samples: &[f32], mut found: impl FnMut(usize, Bands)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (after, frame) = self
                .framer
                .fill(rest, |x| if x.is_finite() { x } else { 0.0 });
            rest = after;
            if frame.is_some() {
                let bands = self.spectrum();
                found(samples.len() - rest.len(), bands);
            }
        }
    }

    fn spectrum(&mut self) -> Bands {
        let length = self.spectrum.frame_len();
        let frame = self.framer.last(length);
        let energy: f32 = frame.iter().map(|x| x * x).sum();
        self.spectrum.power(frame, &mut self.power);
        // A sine of amplitude a has its energy in the bins around it: under a Hann window their power
        // sums up to a² · length² · 3/32, and the middle one has a² · length² / 16.
        let area = (length * length) as f32;
        let mut bands = [0; BANDS];
        for (value, edge) in bands.iter_mut().zip(self.edges.windows(2)) {
            let (from, to) = (edge[0].min(self.power.len() - 1), edge[1]);
            // A band of low notes may be narrower than a bin, and shows that one.
            let power: f32 = self.power[from..to.max(from + 1)].iter().sum();
            let db = 10.0 * (power * 32.0 / 3.0 / area).max(1e-12).log10();
            *value = (255.0 * (1.0 + db / FLOOR_DB)).clamp(0.0, 255.0).round() as u8;
        }
        let strongest = self.power[1..]
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .filter(|(_, power)| **power > 0.0);
        Bands {
            level: (energy / length as f32).sqrt(),
            bands,
            magnitude: strongest.map_or(0.0, |(_, power)| (power * 16.0 / area).sqrt()),
            peak: strongest.map_or(0.0, |(k, _)| {
                ((k + 1) as f64 * self.rate / length as f64) as f32
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, amplitude: f64, seconds: f64) -> Vec<f32> {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        (0..(seconds * f64::from(rate)) as usize)
            .map(|n| (amplitude * (step * n as f64).sin()) as f32)
            .collect()
    }

    #[test]
    fn a_sine_shows_in_its_band_at_its_level() {
        for rate in [8_000, 22_050, 44_100, 48_000, 96_000] {
            for (hz, amplitude) in [(60.0, 1.0), (440.0, 0.5), (3000.0, 0.1)] {
                let mut analyzer = BandAnalyzer::new(rate);
                let mut last = Bands::default();
                analyzer.push(&sine(rate, hz, amplitude, 0.5), |_, bands| last = bands);
                let loudest = (0..BANDS).max_by_key(|k| last.bands[*k]).unwrap();
                let wanted = 16.0 * (hz / RANGE.0).log2() / (RANGE.1 / RANGE.0).log2();
                assert!(
                    (loudest as f64 + 0.5 - wanted).abs() < 1.6,
                    "{rate} {hz}: band {loudest}, wanted {wanted}"
                );
                let db = (f64::from(last.bands[loudest]) / 255.0 - 1.0) * 60.0;
                let wanted = 20.0 * amplitude.log10();
                assert!(
                    (db - wanted).abs() < 3.5,
                    "{rate} {hz}: {db} dB, wanted {wanted}"
                );
                assert!((f64::from(last.peak) - hz).abs() < 25.0, "{}", last.peak);
                let rms = amplitude / std::f64::consts::SQRT_2;
                assert!(
                    (f64::from(last.level) / rms - 1.0).abs() < 0.15,
                    "{}",
                    last.level
                );
                assert!((f64::from(last.magnitude) / amplitude - 1.0).abs() < 0.2);
            }
        }
    }

    #[test]
    fn silence_and_what_is_not_finite_show_nothing() {
        let mut analyzer = BandAnalyzer::new(44_100);
        let mut count = 0;
        let mut samples = vec![0.0; 22_050];
        samples.extend([f32::NAN, f32::INFINITY].repeat(11_025));
        analyzer.push(&samples, |_, bands| {
            assert_eq!(bands, Bands::default());
            count += 1;
        });
        assert_eq!(count, 50);
    }

    #[test]
    fn spectra_do_not_depend_on_chunks() {
        let signal = sine(44_100, 330.0, 0.7, 0.3);
        let run = |chunk: usize| {
            let mut analyzer = BandAnalyzer::new(44_100);
            let mut all = Vec::new();
            for (n, part) in signal.chunks(chunk).enumerate() {
                analyzer.push(part, |end, bands| all.push((n * chunk + end, bands)));
            }
            all
        };
        assert_eq!(run(7), run(signal.len()));
        assert_eq!(run(1000)[0].0, 882);
    }
}
