// SPDX-License-Identifier: MPL-2.0
//! Synthetic textures of several kinds, so that no photographs are needed.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::defects::soften;
use super::picture::Picture;
use crate::random::Random;

/// Texels a side; a power of two.
pub const SIDE: usize = 256;

/// A square of colours, repeated as in a mirror beyond its sides.
#[derive(Debug)]
pub struct Texture(Vec<[u8; 4]>);

impl Texture {
    /// The colour at a place counted in texels, linear between the nearest; 0 to 255.
    #[inline]
    pub fn at(&self, u: f32, v: f32) -> [f32; 3] {
        let (x, y) = (floor(u), floor(v));
        let (fu, fv) = (u - x as f32, v - y as f32);
        let (x0, x1) = (mirrored(x), mirrored(x + 1));
        let (top, bottom) = (mirrored(y) * SIDE, mirrored(y + 1) * SIDE);
        let (a, b) = (self.0[top + x0], self.0[top + x1]);
        let (c, d) = (self.0[bottom + x0], self.0[bottom + x1]);
        let (upper, lower) = (
            [(1.0 - fu) * (1.0 - fv), fu * (1.0 - fv)],
            [(1.0 - fu) * fv, fu * fv],
        );
        // Written out, because this is most of the time that a pair takes.
        let blend = |i: usize| {
            f32::from(a[i]) * upper[0]
                + f32::from(b[i]) * upper[1]
                + f32::from(c[i]) * lower[0]
                + f32::from(d[i]) * lower[1]
        };
        [blend(0), blend(1), blend(2)]
    }
}

/// The standard one is a call where the processor is not known to have it.
#[inline]
fn floor(x: f32) -> i32 {
    let n = x as i32;
    n - i32::from(x < n as f32)
}

#[inline]
fn mirrored(n: i32) -> usize {
    let n = n as usize & (2 * SIDE - 1);
    if n < SIDE { n } else { 2 * SIDE - 1 - n }
}

/// Many textures, each made when it is first asked for.
#[derive(Debug)]
pub struct Textures {
    seed: u64,
    slots: Vec<OnceLock<Texture>>,
    photos: Vec<Texture>,
}

/// The share of textures that come from photographs where there are any.
const PHOTOS: f64 = 0.5;

impl Textures {
    /// `count` textures of a seed, and a square of each of the `photos`.
    ///
    /// # Errors
    /// Naming the photograph that cannot be read.
    pub fn new(seed: u64, count: usize, photos: &[PathBuf]) -> Result<Self> {
        let photos = photos.iter().enumerate().map(|(n, path)| {
            let random = &mut Random::new(seed, u64::MAX - n as u64);
            crop(&Picture::load(path)?, random)
                .with_context(|| format!("{} is too small", path.display()))
        });
        Ok(Self {
            seed,
            slots: (0..count.max(1)).map(|_| OnceLock::new()).collect(),
            photos: photos.collect::<Result<_>>()?,
        })
    }

    /// One of them.
    pub fn pick(&self, random: &mut Random) -> &Texture {
        if !self.photos.is_empty() && random.chance(PHOTOS) {
            return &self.photos[random.index(self.photos.len())];
        }
        let n = random.index(self.slots.len());
        self.slots[n].get_or_init(|| make(&mut Random::new(self.seed, n as u64)))
    }
}

/// A square of a photograph, at between its own resolution and all of it.
fn crop(photo: &Picture, random: &mut Random) -> Option<Texture> {
    let side = photo.width.min(photo.height);
    if side < 32 {
        return None;
    }
    let least = SIDE.min(side) as f64;
    let side = random.range(least, side as f64 + 1.0) as usize;
    let left = random.index(photo.width - side + 1);
    let top = random.index(photo.height - side + 1);
    let rows = photo.pixels.chunks_exact(photo.width).skip(top).take(side);
    let part = Picture {
        width: side,
        height: side,
        pixels: rows
            .flat_map(|row| row[left..left + side].iter().copied())
            .collect(),
    };
    let scaled = part.scaled(SIDE, SIDE);
    Some(Texture(
        scaled
            .pixels
            .iter()
            .map(|p| [p[0], p[1], p[2], 0])
            .collect(),
    ))
}

type Colour = [f32; 3];

fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// Colours that go together: around one hue as often as not.
fn palette(random: &mut Random, n: usize) -> Vec<Colour> {
    let base = [(); 3].map(|()| random.range(25.0, 230.0));
    let spread = if random.chance(0.5) {
        255.0
    } else {
        random.range(10.0, 90.0)
    };
    // Most of the world is greyer than chance.
    let grey = random.range(0.0, 1.0).sqrt() * 0.85;
    let mean = base.iter().sum::<f64>() / 3.0;
    let base = base.map(|c| c + (mean - c) * grey);
    (0..n)
        .map(|_| {
            let level = random.range(-0.5, 0.5) * spread;
            base.map(|c| {
                let own = random.range(-0.5, 0.5) * spread * (1.0 - grey);
                (c + level + own).clamp(0.0, 255.0) as f32
            })
        })
        .collect()
}

fn make(random: &mut Random) -> Texture {
    let mut canvas = one(random);
    if random.chance(0.35) {
        // Patterns on patterns: one shows through where a field says so.
        let other = one(random);
        let field = fractal(random, 0.5, 2);
        let hard = random.range(2.0, 12.0) as f32;
        for ((a, b), f) in canvas.iter_mut().zip(&other).zip(&field) {
            *a = mix(*a, *b, (0.5 + hard * (f - 0.5)).clamp(0.0, 1.0));
        }
    }
    if random.chance(0.6) {
        let grain = random.range(0.0, 14.0) as f32;
        for colour in &mut canvas {
            let g = grain * random.noise();
            *colour = colour.map(|c| c + g);
        }
    }
    for _ in 0..random.index(3) {
        soften(&mut canvas, SIDE);
    }
    Texture(
        canvas
            .iter()
            .map(|c| {
                let [r, g, b] = c.map(|c| c.round().clamp(0.0, 255.0) as u8);
                [r, g, b, 0]
            })
            .collect(),
    )
}

fn one(random: &mut Random) -> Vec<Colour> {
    match random.weighted(&[(3.0, 0), (4.0, 1), (2.0, 2), (1.5, 3), (1.5, 4), (1.0, 5)]) {
        0 => clouds(random),
        1 => leaves(random),
        2 => bands(random),
        3 => cells(random),
        4 => plain(random),
        _ => strokes(random),
    }
}

/// Noise whose amplitude falls by `persistence` from octave to octave, 0 to 1. The coarsest octave
/// has 2^`coarse` values a side.
fn fractal(random: &mut Random, persistence: f64, coarse: u32) -> Vec<f32> {
    let mut sum = vec![0f32; SIDE * SIDE];
    let mut amplitude = 1.0f32;
    for octave in coarse..=SIDE.ilog2() {
        let n = 1usize << octave;
        let lattice: Vec<f32> = (0..(n + 1) * (n + 1)).map(|_| random.noise()).collect();
        let step = SIDE / n;
        // Smooth in both derivatives where octaves are coarse enough to show.
        let fade: Vec<f32> = (0..step)
            .map(|i| {
                let t = i as f32 / step as f32;
                t * t * (3.0 - 2.0 * t)
            })
            .collect();
        for (y, row) in sum.chunks_exact_mut(SIDE).enumerate() {
            let (top, fy) = (y / step * (n + 1), fade[y % step]);
            for (x, value) in row.iter_mut().enumerate() {
                let (at, fx) = (top + x / step, fade[x % step]);
                let a = lattice[at] + (lattice[at + 1] - lattice[at]) * fx;
                let below = at + n + 1;
                let b = lattice[below] + (lattice[below + 1] - lattice[below]) * fx;
                *value += amplitude * (a + (b - a) * fy);
            }
        }
        amplitude *= persistence as f32;
    }
    let (low, high) = sum
        .iter()
        .fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let range = (high - low).max(1e-6);
    sum.iter().map(|x| (x - low) / range).collect()
}

/// Noise through a ramp of colours: clouds, stone, foliage, carpet.
fn clouds(random: &mut Random) -> Vec<Colour> {
    let persistence = random.range(0.35, 0.95);
    let coarse = random.index(4) as u32 + 1;
    let field = fractal(random, persistence, coarse);
    let count = 2 + random.index(4);
    let colours = palette(random, count);
    let last = colours.len() - 1;
    let steps = field.iter().map(|f| {
        let at = f * last as f32;
        let n = (at as usize).min(last - 1);
        mix(colours[n], colours[n + 1], at - n as f32)
    });
    steps.collect()
}

/// Opaque shapes fallen on one another, their sizes as objects' in photographs: the dead leaves of
/// Lee, Mumford & Huang (2001), whose statistics are those of natural pictures.
fn leaves(random: &mut Random) -> Vec<Colour> {
    let count = 3 + random.index(12);
    let colours = palette(random, count);
    let mut canvas = vec![colours[0]; SIDE * SIDE];
    let smallest = random.range(2.0, 8.0);
    let square = random.unit();
    for _ in 0..150 + random.index(500) {
        // The density of radii falls with their cube.
        let radius = (smallest / random.unit().max(1e-4).sqrt()).min(110.0);
        let [x, y] = [(); 2].map(|()| random.range(0.0, SIDE as f64) as f32);
        let (sin, cos) = random.range(0.0, std::f64::consts::TAU).sin_cos();
        let (sin, cos) = (sin as f32, cos as f32);
        let long = radius as f32;
        let wide = long * random.range(0.25, 1.0) as f32;
        let colour = random.pick(&colours);
        let other = mix(colour, random.pick(&colours), random.range(0.0, 0.6) as f32);
        let is_square = random.chance(square);
        let reach = long * 1.45;
        let span = |c: f32| (c - reach).max(0.0) as usize..((c + reach) as usize + 1).min(SIDE);
        for row in span(y) {
            for column in span(x) {
                let (dx, dy) = (column as f32 - x, row as f32 - y);
                let (u, v) = ((dx * cos + dy * sin) / long, (dy * cos - dx * sin) / wide);
                let inside = if is_square {
                    u.abs().max(v.abs()) < 1.0
                } else {
                    u * u + v * v < 1.0
                };
                if inside {
                    canvas[row * SIDE + column] = mix(colour, other, 0.5 + 0.5 * u);
                }
            }
        }
    }
    canvas
}

/// Stripes, checks, planks and tiles, a little uneven.
fn bands(random: &mut Random) -> Vec<Colour> {
    let colours = palette(random, 4);
    let period = [(); 2].map(|()| random.range(5.0, 60.0) as f32);
    let duty = random.range(0.06, 0.5) as f32;
    let soft = random.chance(0.3);
    let pattern = random.index(4);
    let [wave, tone] = [(); 2].map(|()| fractal(random, 0.5, 2));
    let uneven = random.range(0.0, 6.0) as f32;
    let level = |x: f32, period: f32| {
        let phase = (x / period).rem_euclid(1.0);
        if soft {
            0.5 + 0.5 * (std::f32::consts::TAU * phase).sin()
        } else {
            f32::from(u8::from(phase < duty))
        }
    };
    (0..SIDE * SIDE)
        .map(|at| {
            let bend = uneven * (wave[at] - 0.5);
            let (x, y) = ((at % SIDE) as f32 + bend, (at / SIDE) as f32 - bend);
            // Planks and bricks are set off from row to row.
            let row = (y / period[1]).floor();
            let offset = if pattern == 3 {
                row * 0.37 * period[0]
            } else {
                0.0
            };
            let (a, b) = (level(x + offset, period[0]), level(y, period[1]));
            let share = match pattern {
                0 => a,
                1 => (a - b).abs(),
                _ => a.max(b),
            };
            let base = mix(colours[0], colours[1], tone[at]);
            mix(base, colours[2], share)
        })
        .collect()
}

/// Cells around scattered points, with or without seams (Worley 1996).
fn cells(random: &mut Random) -> Vec<Colour> {
    let n = 4 + random.index(24);
    let size = SIDE as f32 / n as f32;
    let colours = palette(random, 6);
    let points: Vec<([f32; 2], Colour)> = (0..n * n)
        .map(|_| {
            let point = [(); 2].map(|()| random.unit() as f32);
            (point, random.pick(&colours))
        })
        .collect();
    let seam = if random.chance(0.5) {
        random.range(0.5, 3.0) as f32
    } else {
        0.0
    };
    (0..SIDE * SIDE)
        .map(|at| {
            let (x, y) = ((at % SIDE) as f32 / size, (at / SIDE) as f32 / size);
            let (mut nearest, mut next, mut colour) = (f32::MAX, f32::MAX, colours[0]);
            for cy in [-1, 0, 1].map(|d| y as i32 + d) {
                for cx in [-1, 0, 1].map(|d| x as i32 + d) {
                    let wrap = |c: i32| c.rem_euclid(n as i32) as usize;
                    let (point, own) = points[wrap(cy) * n + wrap(cx)];
                    let distance = (cx as f32 + point[0] - x).hypot(cy as f32 + point[1] - y);
                    if distance < nearest {
                        (nearest, next, colour) = (distance, nearest, own);
                    } else {
                        next = next.min(distance);
                    }
                }
            }
            if (next - nearest) * size < seam {
                colours[0]
            } else {
                colour
            }
        })
        .collect()
}

/// Almost nothing: walls, skies, skin, plain cloth.
fn plain(random: &mut Random) -> Vec<Colour> {
    let colour = palette(random, 1)[0];
    let contrast = random.range(12.0, 60.0) as f32;
    let persistence = random.range(0.2, 0.6);
    let field = fractal(random, persistence, 1);
    let shades = field
        .iter()
        .map(|f| colour.map(|c| c + contrast * (f - 0.5)));
    shades.collect()
}

/// Lines and letters' worth of strokes on a plain ground.
fn strokes(random: &mut Random) -> Vec<Colour> {
    let mut canvas = plain(random);
    let colours = palette(random, 3);
    for _ in 0..40 + random.index(160) {
        let colour = random.pick(&colours);
        let mut at = [(); 2].map(|()| random.range(0.0, SIDE as f64));
        let mut heading = random.range(0.0, std::f64::consts::TAU);
        let bend = random.range(-0.3, 0.3);
        let thick = 1 + random.index(3);
        for _ in 0..6 + random.index(40) {
            at = [at[0] + heading.cos(), at[1] + heading.sin()];
            heading += bend;
            for dy in 0..thick {
                for dx in 0..thick {
                    let [x, y] =
                        [(at[0], dx), (at[1], dy)].map(|(c, d)| mirrored(c as i32 + d as i32));
                    canvas[y * SIDE + x] = colour;
                }
            }
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textures_differ_and_are_the_same_again() {
        let random = || Random::new(5, 0);
        let [a, b] = [1, 1].map(|seed| Textures::new(seed, 8, &[]).unwrap());
        assert_eq!(a.pick(&mut random()).0, b.pick(&mut random()).0);
        let other = Textures::new(2, 8, &[]).unwrap();
        assert_ne!(a.pick(&mut random()).0, other.pick(&mut random()).0);
        for n in 0..40 {
            let texture = make(&mut Random::new(3, n));
            assert_eq!(texture.0.len(), SIDE * SIDE);
            assert!(
                texture.0.iter().any(|t| *t != texture.0[0]),
                "texture {n} is blank"
            );
        }
    }

    #[test]
    fn a_texture_is_read_between_texels_and_beyond_its_sides() {
        let texels = (0..SIDE * SIDE).map(|n| [(n % SIDE) as u8, (n / SIDE) as u8, 9, 0]);
        let texture = Texture(texels.collect());
        assert_eq!(texture.at(10.25, 20.5), [10.25, 20.5, 9.0]);
        assert_eq!(texture.at(-1.0, 0.0), [0.0, 0.0, 9.0]);
        assert_eq!(
            texture.at(SIDE as f32 + 2.0, 3.0),
            [(SIDE - 3) as f32, 3.0, 9.0]
        );
    }

    #[test]
    fn photographs_serve_where_there_are_any() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.png");
        let photo = Picture {
            width: 40,
            height: 50,
            pixels: vec![[1, 2, 3]; 2000],
        };
        photo.save(&path).unwrap();
        let textures = Textures::new(1, 4, std::slice::from_ref(&path)).unwrap();
        let random = &mut Random::new(1, 1);
        let from_photo = (0..100)
            .filter(|_| textures.pick(random).0[0] == [1, 2, 3, 0])
            .count();
        assert!((30..70).contains(&from_photo), "{from_photo}");
        let tiny = Picture {
            width: 4,
            height: 4,
            pixels: vec![[1, 2, 3]; 16],
        };
        tiny.save(&path).unwrap();
        let error = format!("{:#}", Textures::new(1, 4, &[path]).unwrap_err());
        assert!(error.contains("photo.png"), "{error}");
    }
}
