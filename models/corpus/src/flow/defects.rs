// SPDX-License-Identifier: MPL-2.0
//! What becomes of pictures between the light and us: unsharpness, light that changes, gamma, noise
//! and compression.

use super::picture::Picture;
use crate::random::Random;

/// The defects of a pair of frames.
#[derive(Clone, Debug, Default)]
pub struct Defects {
    /// How often each frame is made unsharp.
    blur: [usize; 2],
    /// The factors and offsets of each frame's light.
    light: [[f32; 2]; 2],
    /// The exponent of each frame.
    gamma: [f32; 2],
    /// Factors of light on a lattice over each frame.
    shade: Option<[Vec<f32>; 2]>,
    /// The deviation of the noise, of 255.
    noise: f32,
    /// The step of the coarsest quantisation of a block's cosines, of 255.
    compression: Option<f32>,
}

/// Nodes a side of the lattice of shades.
const SHADES: usize = 5;

impl Defects {
    /// None at all.
    pub fn none() -> Self {
        Self {
            light: [[1.0, 0.0]; 2],
            gamma: [1.0; 2],
            ..Self::default()
        }
    }

    /// Each with a probability.
    pub fn random(random: &mut Random, probability: f64) -> Self {
        let mut own = Self::none();
        if random.chance(probability) {
            let n = 1 + random.index(2);
            own.blur = [
                n,
                if random.chance(0.25) {
                    random.index(3)
                } else {
                    n
                },
            ];
        }
        if random.chance(probability) {
            let gamma = random.range(0.65, 1.5) as f32;
            own.gamma = [gamma, gamma * random.range(0.93, 1.07) as f32];
        }
        if random.chance(probability) {
            let strength = random.range(0.0, 0.25);
            own.light[1] = [
                1.0 + random.range(-strength, strength) as f32,
                random.range(-40.0, 40.0) as f32 * strength as f32,
            ];
        }
        if random.chance(probability) {
            let strength = random.range(0.0, 0.45);
            let change = random.range(0.0, 0.25) * strength;
            let first: Vec<f32> = (0..SHADES * SHADES)
                .map(|_| 1.0 - random.range(0.0, strength) as f32)
                .collect();
            let second = first
                .iter()
                .map(|x| x + random.range(-change, change) as f32);
            own.shade = Some([first.clone(), second.collect()]);
        }
        if random.chance(1.5 * probability) {
            own.noise = (9.0 * random.unit() * random.unit()) as f32;
        }
        if random.chance(probability) {
            own.compression = Some(random.range(4.0, 36.0) as f32);
        }
        own
    }

    /// Frame 0 or 1 as it is recorded. `pixels` are 0 to 255.
    pub fn record(
        &self,
        mut pixels: Vec<[f32; 3]>,
        frame: usize,
        [width, height]: [usize; 2],
        random: &mut Random,
    ) -> Picture {
        if let Some(shade) = &self.shade {
            let lattice: Vec<[f32; 1]> = shade[frame].iter().map(|&x| [x]).collect();
            let factors = super::picture::scale(&lattice, [SHADES; 2], [width, height]);
            for (pixel, [factor]) in pixels.iter_mut().zip(factors) {
                *pixel = pixel.map(|x| x * factor);
            }
        }
        for _ in 0..self.blur[frame] {
            soften(&mut pixels, width);
        }
        let [gain, offset] = self.light[frame];
        let curve: Vec<f32> = (0..=255)
            .map(|n| {
                255.0
                    * ((gain * n as f32 + offset).clamp(0.0, 255.0) / 255.0).powf(self.gamma[frame])
            })
            .collect();
        if self.gamma[frame] != 1.0 || gain != 1.0 || offset != 0.0 {
            for x in pixels.as_flattened_mut() {
                let at = x.clamp(0.0, 254.99);
                let n = at as usize;
                *x = curve[n] + (curve[n + 1] - curve[n]) * (at - n as f32);
            }
        }
        if self.noise > 0.0 {
            let by = self.noise;
            for x in pixels.as_flattened_mut() {
                *x += by * random.bell();
            }
        }
        if let Some(step) = self.compression {
            compress(&mut pixels, width, height, step);
        }
        Picture {
            width,
            height,
            pixels: pixels
                .iter()
                .map(|&[r, g, b]| [byte(r), byte(g), byte(b)])
                .collect(),
        }
    }
}

/// The nearest of 0 to 255.
#[inline]
fn byte(x: f32) -> u8 {
    // The conversion itself stays within bounds.
    (x + 0.5) as u8
}

/// Each pixel the mean of itself and its neighbours, weighted 1 2 1 along both axes.
pub fn soften(pixels: &mut [[f32; 3]], width: usize) {
    let weighted = |a: [f32; 3], b: [f32; 3], c: [f32; 3]| {
        let mean = |i: usize| 0.25 * (a[i] + 2.0 * b[i] + c[i]);
        [mean(0), mean(1), mean(2)]
    };
    for row in pixels.chunks_exact_mut(width) {
        let mut before = row[0];
        for x in 0..width {
            let (here, after) = (row[x], row[(x + 1).min(width - 1)]);
            row[x] = weighted(before, here, after);
            before = here;
        }
    }
    let mut before = pixels[..width].to_vec();
    let height = pixels.len() / width;
    for y in 0..height {
        let next = (y + 1).min(height - 1) * width;
        for (x, before) in before.iter_mut().enumerate() {
            let (here, after) = (pixels[y * width + x], pixels[next + x]);
            pixels[y * width + x] = weighted(*before, here, after);
            *before = here;
        }
    }
}

/// Pixels a side of a block.
const BLOCK: usize = 8;

/// Rounds the cosines of blocks of brightness, and of colour at half the resolution, the finer the
/// coarser: what JPEG and the video codecs do to a frame.
fn compress(pixels: &mut [[f32; 3]], width: usize, height: usize, step: f32) {
    let basis = basis();
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut brightness: Vec<f32> = pixels
        .iter()
        .map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b)
        .collect();
    let mut colours = [(); 2].map(|()| vec![0f32; half_width * half_height]);
    let mut counts = vec![0f32; half_width * half_height];
    for (at, (pixel, y)) in pixels.iter().zip(&brightness).enumerate() {
        let place = at / width / 2 * half_width + at % width / 2;
        colours[0][place] += pixel[0] - y;
        colours[1][place] += pixel[2] - y;
        counts[place] += 1.0;
    }
    for colour in &mut colours {
        for (value, count) in colour.iter_mut().zip(&counts) {
            *value /= count;
        }
        blocks(colour, half_width, half_height, 1.5 * step, &basis);
    }
    blocks(&mut brightness, width, height, step, &basis);
    for (at, (pixel, y)) in pixels.iter_mut().zip(&brightness).enumerate() {
        let place = at / width / 2 * half_width + at % width / 2;
        let (red, blue) = (colours[0][place], colours[1][place]);
        *pixel = [y + red, y - (0.299 * red + 0.114 * blue) / 0.587, y + blue];
    }
}

/// The orthonormal cosines of a block (Ahmed, Natarajan & Rao 1974).
fn basis() -> [[f32; BLOCK]; BLOCK] {
    let n = BLOCK as f32;
    std::array::from_fn(|k| {
        let scale = if k == 0 {
            (1.0 / n).sqrt()
        } else {
            (2.0 / n).sqrt()
        };
        std::array::from_fn(|x| {
            scale * (std::f32::consts::PI * (x as f32 + 0.5) * k as f32 / n).cos()
        })
    })
}

fn blocks(
    plane: &mut [f32],
    width: usize,
    height: usize,
    step: f32,
    basis: &[[f32; BLOCK]; BLOCK],
) {
    // What does not fill a block stays as it is.
    for top in (0..height / BLOCK * BLOCK).step_by(BLOCK) {
        for left in (0..width / BLOCK * BLOCK).step_by(BLOCK) {
            let mut block = [[0f32; BLOCK]; BLOCK];
            for (y, row) in block.iter_mut().enumerate() {
                let at = (top + y) * width + left;
                row.copy_from_slice(&plane[at..at + BLOCK]);
            }
            // B·X·Bᵀ, rounded, and back.
            let mut cosines = turned(&turned(&block, basis), basis);
            for (v, row) in cosines.iter_mut().enumerate() {
                for (u, value) in row.iter_mut().enumerate() {
                    let size = step * (0.4 + 0.3 * (u + v) as f32);
                    *value = (*value / size).round() * size;
                }
            }
            let back: [[f32; BLOCK]; BLOCK] =
                std::array::from_fn(|x| std::array::from_fn(|k| basis[k][x]));
            let block = turned(&turned(&cosines, &back), &back);
            for (y, row) in block.iter().enumerate() {
                let at = (top + y) * width + left;
                plane[at..at + BLOCK].copy_from_slice(row);
            }
        }
    }
}

/// (B·X)ᵀ.
fn turned(x: &[[f32; BLOCK]; BLOCK], b: &[[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
    let mut out = [[0f32; BLOCK]; BLOCK];
    for (k, weights) in b.iter().enumerate() {
        let mut row = [0f32; BLOCK];
        for (weight, values) in weights.iter().zip(x) {
            for (sum, value) in row.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
        for (line, value) in out.iter_mut().zip(row) {
            line[k] = value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Vec<[f32; 3]> {
        (0..32 * 24)
            .map(|n| {
                [
                    (n % 32) as f32 * 6.0,
                    (n / 32) as f32 * 9.0,
                    50.0 + (n * 7 % 60) as f32,
                ]
            })
            .collect()
    }

    #[test]
    fn no_defects_change_nothing() {
        let picture = Defects::none().record(ramp(), 1, [32, 24], &mut Random::new(1, 0));
        for (a, b) in picture.pixels.iter().zip(ramp()) {
            assert_eq!(*a, b.map(|x| x.round() as u8));
        }
    }

    #[test]
    fn fine_compression_is_fine_and_coarse_is_coarse() {
        let error = |step| {
            let mut pixels: Vec<[f32; 3]> = ramp().iter().map(|p| [p[0]; 3]).collect();
            let before = pixels.clone();
            compress(&mut pixels, 32, 24, step);
            let sum: f32 = pixels
                .iter()
                .zip(&before)
                .map(|(a, b)| (a[0] - b[0]).abs())
                .sum();
            sum / before.len() as f32
        };
        assert!(error(0.01) < 0.01, "{}", error(0.01));
        assert!((1.0..30.0).contains(&error(60.0)), "{}", error(60.0));
    }

    #[test]
    fn every_defect_is_seen() {
        let clean = Defects::none();
        let of = |defects: Defects, frame| {
            let picture = defects.record(ramp(), frame, [32, 24], &mut Random::new(1, 0));
            let clean = clean.record(ramp(), frame, [32, 24], &mut Random::new(1, 0));
            picture
                .pixels
                .iter()
                .zip(&clean.pixels)
                .filter(|(a, b)| a != b)
                .count()
        };
        let base = Defects::none;
        assert!(
            of(
                Defects {
                    blur: [1, 1],
                    ..base()
                },
                0
            ) > 300
        );
        assert!(
            of(
                Defects {
                    light: [[1.0, 0.0], [1.1, 0.0]],
                    ..base()
                },
                1
            ) > 300
        );
        assert!(
            of(
                Defects {
                    gamma: [1.3, 1.0],
                    ..base()
                },
                0
            ) > 300
        );
        assert!(
            of(
                Defects {
                    gamma: [1.3, 1.0],
                    ..base()
                },
                1
            ) == 0
        );
        assert!(
            of(
                Defects {
                    noise: 5.0,
                    ..base()
                },
                0
            ) > 300
        );
        assert!(
            of(
                Defects {
                    compression: Some(20.0),
                    ..base()
                },
                0
            ) > 300
        );
        let shade = Some([vec![0.7; SHADES * SHADES], vec![1.0; SHADES * SHADES]]);
        assert!(
            of(
                Defects {
                    shade: shade.clone(),
                    ..base()
                },
                0
            ) > 300
        );
        assert!(of(Defects { shade, ..base() }, 1) == 0);
    }
}
