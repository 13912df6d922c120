// SPDX-License-Identifier: MPL-2.0
//! The methods with centred frames and look-ahead: MuDaR's and librosa's.

use super::librosa;
use super::mudar::{self, Envelope};
use super::peak::{Params, StreamPicker};
use super::{Flux, Frame, Method, Reported};
use crate::mel::{self, Mel};
use crate::resample::Resampler;
use crate::spectrum::Framer;

/// librosa's bias, in seconds: how late its median onset is, by `onset-accuracy` on the synthetic
/// set, whose truth is the attack at −20 dB.
const LIBROSA_BIAS: f64 = 0.030;
/// The same of equation 2 with its peaks at their frames' centres.
const MUDAR_BIAS: f64 = -0.0035;
/// Sum of rises below which MuDaR's envelope is not scaled up: about −90 dBFS.
pub(super) const MUDAR_FLOOR: f32 = 3e-5;

enum Function {
    Mudar(Envelope),
    Librosa {
        mel: Mel,
        /// The present spectrum and the one before, in dB.
        db: [Vec<f32>; 2],
        /// First band above 200 Hz and above 2 kHz.
        split: [usize; 2],
        loudest: f32,
    },
}

/// A detector over centred frames.
pub(super) struct Centred {
    resampler: Option<Resampler>,
    framer: Framer,
    function: Function,
    picker: StreamPicker,
    rate: f64,
    source_rate: f64,
    hop: f64,
    look_ahead: usize,
    bias: f64,
    /// Largest value so far, which the values are scaled by: librosa takes the whole signal's.
    scale: f32,
}

impl Centred {
    pub(super) fn new(rate: u32, method: Method, threshold: f32, debias: bool) -> Self {
        let source_rate = f64::from(rate);
        let (rate_in, hop, function, bias) = if method == Method::Librosa {
            let mel = Mel::new(f64::from(librosa::RATE), mel::FRAME, mel::BANDS);
            let db = std::array::from_fn(|_| vec![-100.0; mel.bands()]);
            let split = [200.0, 2_000.0].map(|hz| mel.first_above(hz));
            let function = Function::Librosa {
                mel,
                db,
                split,
                loudest: f32::MIN,
            };
            let bias = if debias { LIBROSA_BIAS } else { 0.0 };
            (librosa::RATE, mel::HOP as f64, function, bias)
        } else {
            let function = Function::Mudar(Envelope::new(source_rate));
            (rate, mudar::HOP * source_rate, function, MUDAR_BIAS)
        };
        let resampler = (rate_in != rate)
            .then(|| Resampler::new(rate, rate_in).ok())
            .flatten();
        let rate = f64::from(rate_in);
        let frame = match &function {
            Function::Mudar(envelope) => envelope.frame_len(),
            Function::Librosa { .. } => mel::FRAME,
        };
        // Frame n is centred on n hops.
        let ahead = (frame / 2) as u64 - hop.round() as u64;
        let params = match method {
            Method::Librosa => Params::librosa(rate / hop),
            _ => mudar::PEAKS,
        };
        let look_ahead = params.look_ahead();
        let picker = StreamPicker::new(Params {
            delta: params.delta * threshold,
            ..params
        });
        Self {
            resampler,
            framer: Framer::new(frame, hop, ahead),
            function,
            picker,
            rate,
            source_rate,
            hop,
            look_ahead,
            bias,
            scale: 0.0,
        }
    }

    pub(super) fn frame_rate(&self) -> f64 {
        self.rate / self.hop
    }

    /// Half a window, the look-ahead, and two hops for an attack between frames.
    pub(super) fn delay(&self) -> f64 {
        let samples = self.frame_len() as f64 / 2.0 + (self.look_ahead + 2) as f64 * self.hop;
        let held = self
            .resampler
            .as_ref()
            .map_or(0.0, |r| r.delay(self.source_rate));
        samples / self.rate + held
    }

    fn frame_len(&self) -> usize {
        match &self.function {
            Function::Mudar(envelope) => envelope.frame_len(),
            Function::Librosa { .. } => mel::FRAME,
        }
    }

    pub(super) fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.framer.reset();
        self.picker.reset();
        self.scale = 0.0;
        match &mut self.function {
            Function::Mudar(envelope) => envelope.reset(),
            Function::Librosa { loudest, .. } => *loudest = f32::MIN,
        }
    }

    pub(super) fn push(&mut self, samples: &[f32], out: &mut impl FnMut(Reported)) {
        match self.resampler.take() {
            None => self.analyse(samples, out),
            Some(mut resampler) => {
                resampler.push(samples, &mut |converted| self.analyse(converted, out));
                self.resampler = Some(resampler);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut impl FnMut(Reported)) {
        if let Some(mut resampler) = self.resampler.take() {
            resampler.finish(&mut |converted| self.analyse(converted, out));
            self.resampler = Some(resampler);
        }
        // Zeros complete the frames that are centred inside the signal.
        let mut missing = self.frame_len() / 2;
        let zeros = [0.0; 256];
        while missing > 0 {
            let part = missing.min(zeros.len());
            self.analyse(&zeros[..part], out);
            missing -= part;
        }
        while self.picker.pending() > 0 {
            let found = self.picker.decide(self.scale);
            self.report(found, out);
        }
    }

    fn analyse(&mut self, samples: &[f32], out: &mut impl FnMut(Reported)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (left, frame) = self.framer.fill(rest, |x| x);
            rest = left;
            if let Some(n) = frame {
                self.hop(n, out);
            }
        }
    }

    fn hop(&mut self, n: u64, out: &mut impl FnMut(Reported)) {
        let frame = self.framer.last(self.frame_len());
        let hop = self.hop as usize;
        let middle = (frame.len() - hop) / 2;
        let level = super::level(&frame[middle..middle + hop]);
        let (flux, late) = match &mut self.function {
            Function::Mudar(envelope) => {
                self.scale = self.scale.max(MUDAR_FLOOR);
                (envelope.next(frame), 0)
            }
            Function::Librosa {
                mel,
                db,
                split,
                loudest,
            } => {
                db.swap(0, 1);
                let [now, before] = db;
                mel.next(frame, now);
                for x in now.iter_mut() {
                    *x = mel::decibel(*x);
                    *loudest = loudest.max(*x);
                }
                let floor = *loudest - mel::TOP_DB;
                let rise = |range: std::ops::Range<usize>| -> f32 {
                    let pairs = now[range.clone()].iter().zip(&before[range]);
                    pairs
                        .map(|(a, b)| (a.max(floor) - b.max(floor)).max(0.0))
                        .sum()
                };
                let bands = now.len();
                let [low, mid] = *split;
                let [low, mid, high] = [rise(0..low), rise(low..mid), rise(mid..bands)];
                let per = |sum: f32| sum / bands as f32;
                let mut flux = Flux {
                    all: per(low + mid + high),
                    low: per(low),
                    mid: per(mid),
                    high: per(high),
                };
                if n == 0 {
                    // librosa shifts the envelope late by its lag and half a window.
                    flux = Flux::default();
                    for _ in 1..librosa::SHIFT {
                        let found = self.picker.next(0.0, self.scale);
                        debug_assert!(found.is_none());
                    }
                }
                (flux, librosa::SHIFT - 1)
            }
        };
        self.scale = self.scale.max(flux.all);
        let index = n + late as u64;
        out(Reported::Frame(
            flux,
            Frame {
                time: index as f64 * self.hop / self.rate - self.bias,
                flux: 0.0,
                low: 0.0,
                mid: 0.0,
                high: 0.0,
                level,
                activation: None,
            },
        ));
        let found = self.picker.next(flux.all, self.scale);
        self.report(found, out);
    }

    fn report(&self, found: Option<(u64, f32)>, out: &mut impl FnMut(Reported)) {
        // Silence so far has no scale, and nothing to report.
        if let Some((index, value)) = found.filter(|&(_, value)| value > 0.0) {
            out(Reported::Onset {
                time: (index as f64 * self.hop / self.rate - self.bias).max(0.0),
                value,
                evidence: value / self.scale,
            });
        }
    }
}
