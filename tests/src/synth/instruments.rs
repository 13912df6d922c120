// SPDX-License-Identifier: MPL-2.0
//! The instruments: each renders one dry note as mono samples, deterministic by its generator.

use std::f64::consts::{PI, TAU};

use super::rng::Rng;

/// A two-pole filter (R. Bristow-Johnson's cookbook formulas).
pub struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    x: [f64; 2],
    y: [f64; 2],
}

impl Biquad {
    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self {
            b: b.map(|v| v / a[0]),
            a: [a[1] / a[0], a[2] / a[0]],
            x: [0.0; 2],
            y: [0.0; 2],
        }
    }

    fn angle(hz: f64, rate: f64, q: f64) -> (f64, f64) {
        let w = TAU * hz.min(0.45 * rate) / rate;
        (w.cos(), w.sin() / (2.0 * q))
    }

    /// Low-pass.
    pub fn low(hz: f64, q: f64, rate: f64) -> Self {
        let (c, alpha) = Self::angle(hz, rate, q);
        let b = (1.0 - c) / 2.0;
        Self::new([b, 2.0 * b, b], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// High-pass.
    pub fn high(hz: f64, q: f64, rate: f64) -> Self {
        let (c, alpha) = Self::angle(hz, rate, q);
        let b = (1.0 + c) / 2.0;
        Self::new([b, -2.0 * b, b], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// Band-pass with unit gain at its centre.
    pub fn band(hz: f64, q: f64, rate: f64) -> Self {
        let (c, alpha) = Self::angle(hz, rate, q);
        Self::new([alpha, 0.0, -alpha], [1.0 + alpha, -2.0 * c, 1.0 - alpha])
    }

    /// The next output.
    pub fn next(&mut self, x: f64) -> f64 {
        let y = self.b[0] * x + self.b[1] * self.x[0] + self.b[2] * self.x[1]
            - self.a[0] * self.y[0]
            - self.a[1] * self.y[1];
        self.x = [x, self.x[0]];
        self.y = [y, self.y[0]];
        y
    }
}

fn length(seconds: f64, rate: f64) -> usize {
    (seconds * rate).ceil() as usize
}

/// Adds a decaying sine to `out`: amplitude, Hz, seconds to fall by a factor e.
fn partial(out: &mut [f64], amplitude: f64, hz: f64, tau: f64, phase: f64, rate: f64) {
    if hz > 0.45 * rate {
        return;
    }
    let shrink = (-1.0 / (tau * rate)).exp();
    let (s, c) = (TAU * hz / rate).sin_cos();
    let (s, c) = (s * shrink, c * shrink);
    let (mut im, mut re) = phase.sin_cos();
    im *= amplitude;
    re *= amplitude;
    for x in out {
        *x += im;
        (re, im) = (re * c - im * s, re * s + im * c);
    }
}

/// Multiplies the first `seconds` by a raised-cosine rise and the last `release` by a fall.
fn shape(out: &mut [f64], seconds: f64, release: f64, rate: f64) {
    let count = length(seconds, rate).clamp(1, out.len());
    for (n, x) in out[..count].iter_mut().enumerate() {
        *x *= 0.5 - 0.5 * (PI * n as f64 / count as f64).cos();
    }
    let count = length(release, rate).clamp(1, out.len());
    for (n, x) in out.iter_mut().rev().take(count).enumerate() {
        *x *= 0.5 - 0.5 * (PI * n as f64 / count as f64).cos();
    }
}

/// How a drum kit is built; every kit differs in all of them.
#[derive(Clone, Debug)]
pub struct Kit {
    kick: [f64; 4],
    snare: [f64; 4],
    hat: [f64; 2],
    tom: f64,
    electronic: bool,
}

/// The pieces of a kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drum {
    /// Bass drum.
    Kick,
    /// Snare drum.
    Snare,
    /// Snare with brushes or a very soft stroke.
    Ghost,
    /// Closed hi-hat.
    Hat,
    /// Open hi-hat.
    OpenHat,
    /// Ride cymbal.
    Ride,
    /// Crash cymbal.
    Crash,
    /// High tom.
    HighTom,
    /// Low tom.
    LowTom,
    /// Cowbell.
    Cowbell,
    /// Hand clap.
    Clap,
    /// Shaker: noise with a soft rise.
    Shaker,
    /// Rim or side stick.
    Rim,
}

impl Kit {
    /// A kit chosen by `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            // end Hz, sweep ratio, decay s, click
            kick: [
                rng.range(42.0, 65.0),
                rng.range(1.8, 5.0),
                rng.range(0.09, 0.28),
                rng.range(0.05, 0.5),
            ],
            // body Hz, decay s, wires Hz, wires decay s
            snare: [
                rng.range(165.0, 240.0),
                rng.range(0.05, 0.12),
                rng.range(1_800.0, 4_500.0),
                rng.range(0.07, 0.18),
            ],
            // high-pass Hz, decay s
            hat: [rng.range(5_500.0, 9_000.0), rng.range(0.02, 0.06)],
            tom: rng.range(90.0, 130.0),
            electronic: rng.chance(0.4),
        }
    }

    /// One stroke at `velocity` 0 … 1; softer strokes are darker too.
    pub fn strike(&self, drum: Drum, velocity: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
        let gain = velocity.powf(1.4);
        let bright = 0.4 + 0.6 * velocity;
        let mut out = match drum {
            Drum::Kick => self.membrane(self.kick[0], self.kick[1], self.kick[2], rng, rate),
            Drum::HighTom => self.membrane(self.tom * 1.6, 1.35, 0.18, rng, rate),
            Drum::LowTom => self.membrane(self.tom, 1.4, 0.26, rng, rate),
            Drum::Snare | Drum::Ghost => self.snare(bright, rng, rate),
            Drum::Hat => self.metal(self.hat[0], self.hat[1], rng, rate),
            Drum::OpenHat => self.metal(self.hat[0] * 0.9, 0.22, rng, rate),
            Drum::Ride => {
                let mut out = self.metal(4_200.0, 0.5, rng, rate);
                for _ in 0..6 {
                    let hz = rng.range(2_500.0, 7_000.0);
                    partial(&mut out, 0.12, hz, rng.range(0.15, 0.5), 0.0, rate);
                }
                out
            }
            Drum::Crash => self.metal(2_600.0, 0.8, rng, rate),
            Drum::Cowbell => {
                let mut out = vec![0.0; length(0.4, rate)];
                for (hz, level) in [(540.0, 0.5), (810.0, 0.4)] {
                    for k in [1.0, 3.0, 5.0] {
                        partial(&mut out, level / k, hz * k, 0.07, 0.0, rate);
                    }
                }
                out
            }
            Drum::Clap => {
                let mut out = vec![0.0; length(0.3, rate)];
                let mut filter = Biquad::band(1_300.0, 1.2, rate);
                let starts = [0.0, 0.009, 0.019].map(|t| length(t, rate));
                for (n, x) in out.iter_mut().enumerate() {
                    let t = |start: usize| (n - start) as f64 / rate;
                    let bursts: f64 = starts
                        .iter()
                        .filter(|&&s| n >= s)
                        .map(|&s| (-t(s) / 0.006).exp())
                        .sum();
                    let tail = if n >= starts[2] {
                        0.7 * (-t(starts[2]) / 0.06).exp()
                    } else {
                        0.0
                    };
                    *x = filter.next(rng.noise()) * (bursts + tail) * 2.0;
                }
                out
            }
            Drum::Shaker => {
                let mut out = self.metal(5_000.0, 0.03, rng, rate);
                let count = length(0.018, rate);
                for (n, x) in out[..count].iter_mut().enumerate() {
                    *x *= (n as f64 / count as f64).powi(2);
                }
                out
            }
            Drum::Rim => {
                let mut out = vec![0.0; length(0.12, rate)];
                for (hz, level) in [(420.0, 0.4), (1_700.0, 0.6), (3_100.0, 0.3)] {
                    let tau = rng.range(0.008, 0.02);
                    partial(&mut out, level, hz * rng.range(0.98, 1.02), tau, 0.5, rate);
                }
                out
            }
        };
        if drum == Drum::Ghost {
            let mut low = Biquad::low(2_500.0, 0.7, rate);
            out.iter_mut().for_each(|x| *x = 0.35 * low.next(*x));
        }
        // Even a click takes the head a fraction of a millisecond.
        shape(&mut out, 0.0004, 0.01, rate);
        out.iter_mut().for_each(|x| *x *= gain);
        out
    }

    /// A drum head: a sine that falls from `hz · sweep` to `hz`, with the beater's click.
    fn membrane(&self, hz: f64, sweep: f64, tau: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
        let mut out = vec![0.0; length(tau * 6.0, rate)];
        let mut phase = 0.0;
        let mut click = Biquad::band(rng.range(1_800.0, 4_000.0), 0.8, rate);
        let fall = if self.electronic { 0.035 } else { 0.015 };
        for (n, x) in out.iter_mut().enumerate() {
            let t = n as f64 / rate;
            phase += TAU * hz * (1.0 + (sweep - 1.0) * (-t / fall).exp()) / rate;
            let body = phase.sin() * (-t / tau).exp();
            *x = 0.9 * body + self.kick[3] * click.next(rng.noise()) * (-t / 0.004).exp();
        }
        out
    }

    fn snare(&self, bright: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
        let [hz, tau, wires, decay] = self.snare;
        let mut out = vec![0.0; length(decay * 6.0, rate)];
        partial(&mut out, 0.5, hz, tau, 0.3, rate);
        partial(&mut out, 0.3, hz * 1.78, tau * 0.7, 0.1, rate);
        let mut high = Biquad::high(wires * 0.5 * bright, 0.7, rate);
        let mut peak = Biquad::band(wires * bright, 0.7, rate);
        for (n, x) in out.iter_mut().enumerate() {
            let t = n as f64 / rate;
            let noise = rng.noise();
            let hiss = 0.4 * high.next(noise) + 0.8 * peak.next(noise);
            *x += hiss * bright * (0.7 * (-t / decay).exp() + 0.8 * (-t / 0.008).exp());
        }
        out
    }

    /// Cymbals: a noise and six inharmonic squares, high-passed.
    fn metal(&self, hz: f64, tau: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
        let mut out = vec![0.0; length(tau * 6.0 + 0.02, rate)];
        let mut first = Biquad::high(hz, 0.9, rate);
        let mut second = Biquad::high(hz, 0.7, rate);
        let tones = [1.0, 1.483, 1.932, 2.546, 2.63, 3.897].map(|k| k * 347.0 / rate);
        let hard = if self.electronic { 0.12 } else { 0.05 };
        for (n, x) in out.iter_mut().enumerate() {
            let t = n as f64 / rate;
            let squares: f64 = tones
                .iter()
                .map(|f| {
                    if (f * n as f64).fract() < 0.5 {
                        hard
                    } else {
                        -hard
                    }
                })
                .sum();
            let stick = 1.0 + (-t / 0.003).exp();
            let noise = 0.6 * rng.noise() + squares;
            *x = second.next(first.next(noise)) * (-t / tau).exp() * stick;
        }
        out
    }
}

/// MIDI note number to Hz.
pub fn pitch(note: f64) -> f64 {
    440.0 * 2f64.powf((note - 69.0) / 12.0)
}

/// A plucked string (Karplus and Strong 1983, fractional delay by an all-pass).
pub fn plucked(hz: f64, seconds: f64, velocity: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
    let period = rate / hz - 0.5;
    let whole = (period - 0.1).floor().max(2.0);
    let fraction = period - whole;
    let allpass = (1.0 - fraction) / (1.0 + fraction);
    let mut line = vec![0.0; whole as usize];
    // The plectrum: noise, darker when played softly, with a comb at the plucking point.
    let mut tone = Biquad::low(800.0 + 6_000.0 * velocity, 0.7, rate);
    for x in &mut line {
        *x = tone.next(rng.noise());
    }
    let mean = line.iter().sum::<f64>() / line.len() as f64;
    line.iter_mut().for_each(|x| *x -= mean);
    let loss = 0.5f64
        .powf(1.0 / (hz * rng.range(0.5, 1.2) * (220.0 / hz).sqrt()))
        .min(0.9995);
    let mut out = vec![0.0; length(seconds + 0.05, rate)];
    let (mut at, mut last, mut state) = (0, 0.0, 0.0);
    for x in &mut out {
        let y = line[at];
        let mixed = loss * (0.5 * y + 0.5 * last);
        last = y;
        let passed = allpass * mixed + state;
        state = mixed - allpass * passed;
        line[at] = passed;
        at = (at + 1) % line.len();
        *x = y * velocity;
    }
    // The pick's way over the string, then the damping finger.
    shape(&mut out, 0.003, 0.05, rate);
    out
}

/// Electric or synthesiser bass: a low-passed saw with a plucked envelope.
pub fn bass(hz: f64, seconds: f64, velocity: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
    let mut out = vec![0.0; length(seconds + 0.04, rate)];
    let partials = ((2_200.0 / hz) as usize).clamp(4, 24);
    let dark = rng.range(0.5, 1.0);
    for k in 1..=partials {
        let kf = k as f64;
        let level = velocity / kf.powf(1.3 - 0.4 * velocity);
        let tau = 0.9 / (1.0 + 0.5 * dark * kf);
        partial(&mut out, level, hz * kf, tau, rng.range(0.0, TAU), rate);
    }
    shape(&mut out, rng.range(0.003, 0.009), 0.04, rate);
    out
}

/// Piano-like: stretched partials that die the faster the higher, and the hammer's thump.
pub fn piano(hz: f64, seconds: f64, velocity: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
    let mut out = vec![0.0; length(seconds + 0.12, rate)];
    let stretch = 0.0004 * (hz / 220.0);
    let partials = ((6_000.0 / hz) as usize).clamp(3, 18);
    for k in 1..=partials {
        let kf = k as f64;
        let f = hz * kf * (1.0 + stretch * kf * kf).sqrt();
        let level = velocity * (-kf * (0.55 - 0.38 * velocity)).exp() * rng.range(0.6, 1.2);
        let tau = 1.4 * (220.0 / hz).sqrt() / (1.0 + 0.35 * kf);
        partial(&mut out, level, f, tau, rng.range(0.0, TAU), rate);
    }
    let mut thump = Biquad::band(350.0, 0.8, rate);
    for (n, x) in out.iter_mut().enumerate() {
        let t = n as f64 / rate;
        *x += 0.5 * velocity * velocity * thump.next(rng.noise()) * (-t / 0.012).exp();
    }
    shape(&mut out, 0.002 + 0.003 * (1.0 - velocity), 0.12, rate);
    out
}

/// How a sustained note is played.
#[derive(Clone, Copy, Debug)]
pub struct Bow {
    /// Seconds of the rise.
    pub attack: f64,
    /// Seconds of the fall, after the note's length.
    pub release: f64,
    /// Vibrato: Hz and cents (peak).
    pub vibrato: (f64, f64),
    /// How fast the partials fall: 1 is a saw, 2 is soft.
    pub slope: f64,
    /// Noise of bow or breath beside the tone.
    pub breath: f64,
}

/// A sustained tone with vibrato that passes through the resonances of a body, so that the
/// vibrato moves the partials' amplitudes as well as their frequencies.
pub fn bowed(hz: f64, seconds: f64, velocity: f64, bow: Bow, rng: &mut Rng, rate: f64) -> Vec<f64> {
    let mut out = vec![0.0; length(seconds + bow.release, rate)];
    let partials = ((7_000.0f64.min(0.4 * rate) / hz) as usize).clamp(3, 28);
    // A body: broad resonances, the same for a given note.
    let body: Vec<(f64, f64)> = (0..partials)
        .map(|k| {
            let f = hz * (k + 1) as f64;
            let colour = 1.0 + 0.6 * (f / 310.0).sin() + 0.4 * (f / 117.0).cos();
            let slope = 0.6 * (f / 310.0).cos() * f / 310.0 - 0.4 * (f / 117.0).sin() * f / 117.0;
            let level = ((k + 1) as f64).powf(-bow.slope);
            (level * colour.max(0.1), level * slope)
        })
        .collect();
    let mut phase = rng.range(0.0, TAU);
    let start = rng.range(0.0, TAU);
    let (speed, cents) = bow.vibrato;
    let mut noise = Biquad::band((hz * 4.0).min(5_000.0), 0.7, rate);
    let mut drift = 0.0;
    for (n, x) in out.iter_mut().enumerate() {
        let t = n as f64 / rate;
        // Vibrato sets in after the attack, as players do.
        let depth = cents / 1_200.0 * std::f64::consts::LN_2 * ((t - 0.15) / 0.25).clamp(0.0, 1.0);
        drift += (rng.noise() * 0.02 - drift) * 0.001;
        let bend = depth * (TAU * speed * t + start).sin() + drift * 0.02;
        phase += TAU * hz * (1.0 + bend) / rate;
        let (s1, c1) = phase.sin_cos();
        let (mut s0, mut s) = (0.0, s1);
        let mut sum = 0.0;
        for (level, slope) in &body {
            sum += s * (level + slope * bend);
            (s0, s) = (s, 2.0 * c1 * s - s0);
        }
        *x = velocity * (0.5 * sum + bow.breath * noise.next(rng.noise()));
    }
    shape(&mut out, bow.attack, bow.release, rate);
    out
}

/// A speaker: a jittered glottal pulse through three moving formants, syllable by syllable, with
/// hissed consonants between. `seconds` of speech.
pub fn speech(seconds: f64, rng: &mut Rng, rate: f64) -> Vec<f64> {
    const VOWELS: [[f64; 3]; 6] = [
        [730.0, 1_090.0, 2_440.0],
        [270.0, 2_290.0, 3_010.0],
        [300.0, 870.0, 2_240.0],
        [530.0, 1_840.0, 2_480.0],
        [570.0, 840.0, 2_410.0],
        [440.0, 1_020.0, 2_240.0],
    ];
    let total = length(seconds, rate);
    let mut out = vec![0.0; total];
    let base = rng.range(95.0, 190.0);
    let mut at = 0;
    while at < total {
        let count = length(rng.range(0.12, 0.3), rate);
        let vowel = rng.pick(&VOWELS);
        let mut formants = [
            Biquad::band(vowel[0], 6.0, rate),
            Biquad::band(vowel[1], 9.0, rate),
            Biquad::band(vowel[2], 10.0, rate),
        ];
        let (f0, level) = (base * rng.range(0.85, 1.2), rng.range(0.4, 1.0));
        let glide = rng.range(-0.15, 0.1);
        let hiss = rng.chance(0.45);
        let mut sibilant = Biquad::band(rng.range(3_000.0, 7_000.0), 1.0, rate);
        let mut phase = 0.0;
        let mut syllable = vec![0.0; count];
        for (n, x) in syllable.iter_mut().enumerate() {
            let u = n as f64 / count as f64;
            phase += f0 * (1.0 + glide * u + 0.01 * rng.noise()) / rate;
            let pulse = if phase >= 1.0 {
                phase -= 1.0;
                1.0
            } else {
                0.0
            };
            let source = pulse * 12.0 + 0.05 * rng.noise();
            let voiced: f64 = formants.iter_mut().map(|f| f.next(source)).sum();
            let noise = if hiss && u < 0.35 {
                0.5 * sibilant.next(rng.noise()) * (PI * u / 0.35).sin()
            } else {
                0.0
            };
            *x = level * voiced + noise;
        }
        shape(&mut syllable, rng.range(0.02, 0.06), 0.05, rate);
        for (x, s) in out[at..].iter_mut().zip(&syllable) {
            *x += s;
        }
        at += count;
        if rng.chance(0.25) {
            at += length(rng.range(0.1, 0.5), rate);
        }
    }
    out
}
