// SPDX-License-Identifier: MPL-2.0
//! What happens to music on its way: amplifiers, rooms, compressors, codecs, talk and noise.
//!
//! Frequencies of filters are in cycles a sample. All filters are causal and short, so that the
//! attacks stay where they were measured (the steepest band limit moves them by under 1 ms).

use std::f32::consts::{FRAC_1_SQRT_2, PI, TAU};

use realfft::RealFftPlanner;

use crate::random::Random;

/// A two-pole filter (R. Bristow-Johnson's cookbook formulas), transposed direct form II.
#[derive(Clone, Debug)]
pub struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    s: [f32; 2],
}

impl Biquad {
    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self {
            b: b.map(|v| (v / a[0]) as f32),
            a: [(a[1] / a[0]) as f32, (a[2] / a[0]) as f32],
            s: [0.0; 2],
        }
    }

    fn angle(hz: f64, q: f64) -> (f64, f64) {
        let w = std::f64::consts::TAU * hz.clamp(1e-4, 0.48);
        (w.cos(), w.sin() / (2.0 * q))
    }

    /// Low-pass.
    pub fn low(hz: f64, q: f64) -> Self {
        let (c, alpha) = Self::angle(hz, q);
        let b = (1.0 - c) / 2.0;
        Self::new([b, 2.0 * b, b], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// High-pass.
    pub fn high(hz: f64, q: f64) -> Self {
        let (c, alpha) = Self::angle(hz, q);
        let b = (1.0 + c) / 2.0;
        Self::new([b, -2.0 * b, b], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// Band-pass with unit gain at its centre.
    pub fn band(hz: f64, q: f64) -> Self {
        let (c, alpha) = Self::angle(hz, q);
        Self::new([alpha, 0.0, -alpha], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// A bell of `db`.
    pub fn bell(hz: f64, q: f64, db: f64) -> Self {
        let (c, alpha) = Self::angle(hz, q);
        let a = 10f64.powf(db / 40.0);
        Self::new(
            [1.0 + alpha * a, -2.0 * c, 1.0 - alpha * a],
            [1.0 + alpha / a, -2.0 * c, 1.0 - alpha / a],
        )
    }

    /// A shelf of `db` above `hz`.
    pub fn high_shelf(hz: f64, db: f64) -> Self {
        let (c, alpha) = Self::angle(hz, 0.707);
        let a = 10f64.powf(db / 40.0);
        let r = 2.0 * a.sqrt() * alpha;
        Self::new(
            [
                a * ((a + 1.0) + (a - 1.0) * c + r),
                -2.0 * a * ((a - 1.0) + (a + 1.0) * c),
                a * ((a + 1.0) + (a - 1.0) * c - r),
            ],
            [
                (a + 1.0) - (a - 1.0) * c + r,
                2.0 * ((a - 1.0) - (a + 1.0) * c),
                (a + 1.0) - (a - 1.0) * c - r,
            ],
        )
    }

    /// The next output.
    pub fn next(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.s[0];
        self.s[0] = self.b[1] * x - self.a[0] * y + self.s[1];
        self.s[1] = self.b[2] * x - self.a[1] * y;
        y
    }

    /// Filters in place.
    pub fn run(mut self, signal: &mut [f32]) {
        for x in signal {
            *x = self.next(*x);
        }
    }
}

/// Decibels to amplitude.
pub fn gain(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

/// Root mean square.
pub fn rms(signal: &[f32]) -> f32 {
    let sum: f64 = signal.iter().map(|&x| f64::from(x * x)).sum();
    (sum / signal.len().max(1) as f64).sqrt() as f32
}

/// Largest magnitude.
pub fn peak(signal: &[f32]) -> f32 {
    signal.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// Level where it sounds: the RMS of the louder half of its tenths of a second.
pub fn loudness(signal: &[f32], rate: f32) -> f32 {
    let mut levels: Vec<f32> = signal.chunks((0.1 * rate) as usize + 1).map(rms).collect();
    levels.sort_by(f32::total_cmp);
    let top = levels.last().copied().unwrap_or(0.0);
    let from = levels.partition_point(|&l| l < 0.05 * top);
    let sounding = &levels[from..];
    rms(&sounding[sounding.len() / 2..])
}

/// tanh to 3 % (a Padé approximant), and one division only.
fn soft(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    let s = x * x;
    x * (27.0 + s) / (27.0 + 9.0 * s)
}

/// A valve amplifier and its loudspeaker: tight low end, drive, lopsided soft clipping (the bias
/// makes even harmonics), a narrow band. Keeps the loudness.
pub struct Amplifier {
    /// Gain before clipping over the signal's RMS.
    pub drive: f32,
    /// Offset before clipping.
    pub bias: f32,
    /// The loudspeaker's upper limit in Hz.
    pub speaker: f64,
}

impl Amplifier {
    /// Any amplifier, from barely warm to metal.
    pub fn any(random: &mut Random) -> Self {
        Self {
            drive: gain(random.range(3.0, 36.0)),
            bias: random.range(0.0, 0.4) as f32,
            speaker: random.range(3_500.0, 7_500.0),
        }
    }

    /// Amplifies in place.
    pub fn run(&self, signal: &mut [f32], rate: f64) {
        let level = loudness(signal, rate as f32);
        if level <= 0.0 {
            return;
        }
        let mut tight = Biquad::high(110.0 / rate, 0.7);
        let mut mids = Biquad::bell(750.0 / rate, 0.6, 5.0);
        let mut block = Biquad::high(60.0 / rate, 0.7);
        let mut bite = Biquad::bell(2_600.0 / rate, 1.0, 4.0);
        let mut cone = Biquad::low(self.speaker / rate, 0.9);
        let mut edge = Biquad::low(self.speaker * 1.2 / rate, 0.6);
        let scale = self.drive / level;
        let rest = soft(self.bias);
        for x in signal.iter_mut() {
            let driven = soft(scale * mids.next(tight.next(*x)) + self.bias) - rest;
            *x = edge.next(cone.next(bite.next(block.next(driven))));
        }
        let now = loudness(signal, rate as f32).max(1e-9);
        signal.iter_mut().for_each(|x| *x *= level / now);
    }
}

/// A room added to `signal`: eight delay lines that feed each other through a Householder matrix
/// (J.-M. Jot, A. Chaigne 1991), damped at the top. `seconds` to fall by 60 dB, `level` of the
/// room beside the dry sound.
pub fn reverberate(signal: &mut [f32], seconds: f64, level: f32, bright: f32, rate: f64) {
    struct Line {
        delayed: Vec<f32>,
        at: usize,
        gain: f32,
        damped: f32,
    }
    let mut lines = [
        0.0233, 0.0277, 0.0319, 0.0373, 0.0419, 0.0487, 0.0541, 0.0613,
    ]
    .map(|delay| Line {
        delayed: vec![0.0; (delay * rate) as usize + 1],
        at: 0,
        gain: 10f64.powf(-3.0 * delay / seconds) as f32,
        damped: 0.0,
    });
    for x in signal {
        let mut sum = 0.0;
        for line in &mut lines {
            line.damped += bright * (line.delayed[line.at] - line.damped);
            sum += line.gain * line.damped;
        }
        for line in &mut lines {
            line.delayed[line.at] = *x + line.gain * line.damped - 0.25 * sum;
            line.at += 1;
            if line.at == line.delayed.len() {
                line.at = 0;
            }
        }
        *x += level * sum;
    }
}

/// A bus compressor: above the threshold (relative to the loudness) levels are divided by `ratio`.
pub fn compress(signal: &mut [f32], threshold: f64, ratio: f32, release: f64, rate: f64) {
    const STEP: usize = 32;
    let knee = loudness(signal, rate as f32) * gain(threshold);
    if knee <= 0.0 {
        return;
    }
    let rise = 1.0 - (-(STEP as f64) / (0.005 * rate)).exp() as f32;
    let fall = 1.0 - (-(STEP as f64) / (release * rate)).exp() as f32;
    let (mut level, mut last) = (0.0f32, 1.0f32);
    for part in signal.chunks_mut(STEP) {
        let now = peak(part);
        level += (now - level) * if now > level { rise } else { fall };
        let next = (level / knee).max(1.0).powf(1.0 / ratio - 1.0);
        let slope = (next - last) / part.len() as f32;
        for x in part {
            last += slope;
            *x *= last;
        }
        last = next;
    }
}

/// A side chain: at each of `hits` (samples) the gain falls by `depth` (0 … 1) and recovers.
pub fn duck(signal: &mut [f32], hits: &[usize], depth: f32, seconds: f64, rate: f64) {
    let length = (seconds * rate) as usize;
    for (n, &hit) in hits.iter().enumerate() {
        let until = hits.get(n + 1).copied().unwrap_or(usize::MAX);
        let end = (hit + length).min(until).min(signal.len());
        for (k, x) in signal.iter_mut().take(end).skip(hit).enumerate() {
            let u = k as f32 / length as f32;
            // A few milliseconds to close, so that it does not click.
            let close = (k as f32 / (0.004 * rate as f32)).min(1.0);
            *x *= 1.0 - depth * close * (0.5 + 0.5 * (PI * u).cos());
        }
    }
}

/// Keeps what is below `hz`: eight poles (S. Butterworth).
pub fn limit_band(signal: &mut [f32], hz: f64, rate: f64) {
    if hz < 0.47 * rate {
        for q in [0.5098, 0.6013, 0.9, 2.5629] {
            Biquad::low(hz / rate, q).run(signal);
        }
    }
}

/// A telephone: 300 … 3400 Hz, levels squeezed as by μ-law and quantised to 8 bits.
pub fn telephone(signal: &mut [f32], rate: f64) {
    for _ in 0..2 {
        Biquad::high(300.0 / rate, 0.8).run(signal);
    }
    limit_band(signal, 3_400.0, rate);
    let top = peak(signal).max(1e-9);
    let mu = 255f32;
    for x in signal {
        let u = *x / top;
        let squeezed = (1.0 + mu * u.abs()).ln() / (1.0 + mu).ln();
        let code = (squeezed * 127.0).round() / 127.0;
        *x = ((1.0 + mu).powf(code) - 1.0) / mu * u.signum() * top;
    }
}

/// What a lossy codec does, without being one: spectra of short windows are quantised band by
/// band, coarsely where little is audible, and the top is cut. `step` is the quantiser's step
/// relative to each band's RMS; like a codec it smears a little noise before attacks.
pub fn code(signal: &mut [f32], step: f32, cut: f64, rate: f64) {
    const LENGTH: usize = 1_024;
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(LENGTH);
    let inverse = planner.plan_fft_inverse(LENGTH);
    let window: Vec<f32> = (0..LENGTH)
        .map(|n| (PI * (n as f32 + 0.5) / LENGTH as f32).sin())
        .collect();
    let mut edges = vec![1usize];
    while let Some(&edge) = edges.last().filter(|&&e| e < LENGTH / 2) {
        edges.push((edge + (edge / 5).max(4)).min(LENGTH / 2));
    }
    let last = ((cut / rate * LENGTH as f64) as usize).min(LENGTH / 2 - 1);
    let mut out = vec![0.0; signal.len()];
    let (mut time, mut bins) = (forward.make_input_vec(), forward.make_output_vec());
    let mut scratch =
        vec![Default::default(); forward.get_scratch_len().max(inverse.get_scratch_len())];
    let mut start = -(LENGTH as isize / 2);
    while start < signal.len() as isize {
        for (n, (x, w)) in time.iter_mut().zip(&window).enumerate() {
            let at = start + n as isize;
            *x = usize::try_from(at)
                .ok()
                .and_then(|at| signal.get(at))
                .map_or(0.0, |s| s * w);
        }
        // The lengths are the plans' own; a refusal would leave the frame silent, not wrong.
        let forth = forward.process_with_scratch(&mut time, &mut bins, &mut scratch);
        for pair in edges.windows(2) {
            let band = &mut bins[pair[0]..pair[1]];
            let energy: f32 = band.iter().map(|c| c.norm_sqr()).sum();
            let q = step * (energy / band.len() as f32).sqrt() * FRAC_1_SQRT_2;
            if q > 0.0 {
                for c in band {
                    c.re = (c.re / q).round() * q;
                    c.im = (c.im / q).round() * q;
                }
            }
        }
        for c in &mut bins[last..] {
            *c = Default::default();
        }
        bins[0].im = 0.0;
        let back = inverse.process_with_scratch(&mut bins, &mut time, &mut scratch);
        if forth.is_ok() && back.is_ok() {
            for (n, (x, w)) in time.iter().zip(&window).enumerate() {
                if let Ok(at) = usize::try_from(start + n as isize)
                    && let Some(o) = out.get_mut(at)
                {
                    *o += x * w / LENGTH as f32;
                }
            }
        }
        start += LENGTH as isize / 2;
    }
    signal.copy_from_slice(&out);
}

/// Adds noise of RMS `level`: white, or pink (P. Kellet's three-pole filter) where `pink`.
pub fn add_noise(signal: &mut [f32], level: f32, pink: bool, random: &mut Random) {
    let (mut b, white) = ([0.0f32; 3], level * 3f32.sqrt());
    for x in signal {
        let w = random.noise();
        if pink {
            b[0] = 0.99765 * b[0] + w * 0.099046;
            b[1] = 0.963 * b[1] + w * 0.2965164;
            b[2] = 0.57 * b[2] + w * 1.0526913;
            *x += level * 0.9 * (b[0] + b[1] + b[2] + 0.1848 * w);
        } else {
            *x += white * w;
        }
    }
}

/// One who talks: a buzz with a falling melody through three gliding resonances, hisses between,
/// pauses between phrases. RMS about 0.1 where it talks.
pub fn talk(count: usize, random: &mut Random, rate: f64) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let voice = random.range(85.0, 260.0);
    // A longer throat is a deeper voice.
    let throat = random.range(0.85, 1.2);
    let mut formants = [500.0, 1_500.0, 2_500.0];
    let (mut at, mut phase, mut left) = (0usize, 0.0f64, random.index(12) + 4);
    while at < count {
        let length = ((random.range(0.09, 0.32) * rate) as usize).min(count - at);
        let target = [
            random.range(270.0, 850.0) * throat,
            random.range(850.0, 2_300.0) * throat,
            random.range(2_200.0, 3_100.0) * throat,
        ];
        let from = formants;
        formants = target;
        let pitch = voice * random.range(0.85, 1.15);
        let hiss = random.chance(0.35);
        let loud = random.range(0.4, 1.0) as f32;
        let mut hissing = Biquad::band(random.range(3_500.0, 7_000.0) / rate, 1.2);
        let mut states = [[0.0f32; 2]; 3];
        for (piece, part) in out[at..at + length].chunks_mut(64).enumerate() {
            let u = (piece * 64) as f64 / length as f64;
            // Two-pole resonators, their poles moved every 64 samples.
            let poles: [[f32; 3]; 3] = std::array::from_fn(|k| {
                let hz = from[k] + (target[k] - from[k]) * (u * 3.0).min(1.0);
                let r = (-std::f64::consts::PI * (50.0 + 30.0 * k as f64) / rate).exp();
                let a = 2.0 * r * (std::f64::consts::TAU * hz / rate).cos();
                [
                    a as f32,
                    -(r * r) as f32,
                    (1.0 - r) as f32 * [1.0, 0.7, 0.4][k],
                ]
            });
            let swell = (PI * u as f32).sin().sqrt();
            for x in part {
                phase += pitch * (1.1 - 0.2 * u) / rate;
                let noise = random.noise();
                let mut source = 0.02 * noise;
                if phase >= 1.0 {
                    phase -= 1.0;
                    source += 8.0;
                }
                let mut sum = 0.0;
                for (s, p) in states.iter_mut().zip(&poles) {
                    let y = p[2] * source + p[0] * s[0] + p[1] * s[1];
                    *s = [y, s[0]];
                    sum += y;
                }
                if hiss && u < 0.3 {
                    sum = 0.4 * hissing.next(noise);
                }
                *x += 0.3 * loud * swell * sum;
            }
        }
        at += length;
        left -= 1;
        if left == 0 {
            left = random.index(12) + 4;
            at += (random.range(0.2, 0.9) * rate) as usize;
        }
    }
    out
}

/// Many who talk: coloured noise that swells and ebbs in three bands, and one voice in front.
pub fn crowd(count: usize, random: &mut Random, rate: f64) -> Vec<f32> {
    let mut out = talk(count, random, rate);
    out.iter_mut().for_each(|x| *x *= 0.3);
    for (hz, level) in [(450.0, 1.0f32), (1_200.0, 0.6), (2_600.0, 0.35)] {
        let mut filter = Biquad::band(hz / rate, 1.0);
        let (speed, start) = (random.range(0.5, 3.0) as f32, random.range(0.0, 6.0) as f32);
        for (n, part) in out.chunks_mut(64).enumerate() {
            let t = (n * 64) as f32 / rate as f32;
            let swell = 0.6 + 0.4 * (TAU * speed * t + start + (1.7 * t).sin()).sin();
            for x in part {
                *x += level * swell * filter.next(0.4 * random.noise());
            }
        }
    }
    out
}
