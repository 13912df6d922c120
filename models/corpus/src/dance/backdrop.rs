// SPDX-License-Identifier: MPL-2.0
//! Where the dancing is: a floor and a wall, from studio white to photographs.

use super::camera::Projection;
use crate::random::Random;
use glam::{Vec2, Vec3, Vec3A, Vec3Swizzles};
use std::sync::Arc;

/// Side of a texture in pixels.
const SIDE: usize = 256;

/// A square picture that repeats, with its halvings.
pub struct Texture {
    levels: Vec<Vec<Vec3>>,
    /// Metres of a side.
    size: f32,
}

impl Texture {
    /// From a function of places 0 … 1 that repeats.
    fn new(size: f32, colour: impl Fn(f32, f32) -> Vec3) -> Self {
        let at = |k: usize| (k as f32 + 0.5) / SIDE as f32;
        let first = (0..SIDE * SIDE).map(|n| colour(at(n % SIDE), at(n / SIDE)));
        Self::halved(first.collect(), size)
    }

    fn halved(first: Vec<Vec3>, size: f32) -> Self {
        let mut levels = vec![first];
        let mut side = SIDE;
        while side > 1 {
            let fine = &levels[levels.len() - 1];
            let half = side / 2;
            let coarse = (0..half * half).map(|n| {
                let at = 2 * (n / half) * side + 2 * (n % half);
                0.25 * (fine[at] + fine[at + 1] + fine[at + side] + fine[at + side + 1])
            });
            let coarse = coarse.collect();
            levels.push(coarse);
            side = half;
        }
        Self { levels, size }
    }

    /// A photograph, `size` metres wide, squeezed into a square.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn photo(bytes: &[u8], size: f32) -> Result<Self, image::ImageError> {
        let picture = image::load_from_memory(bytes)?;
        let side = SIDE as u32;
        let small = picture.resize_exact(side, side, image::imageops::FilterType::Triangle);
        let linear = |v: u8| (f32::from(v) / 255.0).powf(2.2);
        let pixels = small.to_rgb8();
        let first = pixels.pixels().map(|p| Vec3::from(p.0.map(linear)));
        Ok(Self::halved(first.collect(), size))
    }

    /// The colour at a place in metres, when a pixel there is `pixel` metres wide.
    fn at(&self, p: Vec2, pixel: f32) -> Vec3 {
        let texel = self.size / SIDE as f32;
        // Rather too soft than too fine: a sample in between must look as its neighbours say.
        let level = (2.4 * pixel / texel).max(1.0).log2();
        let base = (level as usize).min(self.levels.len() - 2);
        let mix = (level - base as f32).clamp(0.0, 1.0);
        self.level(base, p).lerp(self.level(base + 1, p), mix)
    }

    fn level(&self, level: usize, p: Vec2) -> Vec3 {
        let side = SIDE >> level;
        let q = p * (side as f32 / self.size) - 0.5;
        let (floor, f) = (q.floor(), q - q.floor());
        let mask = side as i32 - 1;
        let pixels = &self.levels[level];
        let at = |dx: i32, dy: i32| {
            let x = (floor.x as i32 + dx) & mask;
            let y = (floor.y as i32 + dy) & mask;
            pixels[(y as usize) * side + x as usize]
        };
        at(0, 0)
            .lerp(at(1, 0), f.x)
            .lerp(at(0, 1).lerp(at(1, 1), f.x), f.y)
    }

    fn mean(&self) -> Vec3 {
        self.levels[self.levels.len() - 1][0]
    }
}

/// Smooth noise that repeats after `period` cells.
fn noise(x: f32, y: f32, period: i32, seed: u32) -> f32 {
    let value = |x: i32, y: i32| {
        let (x, y) = (x.rem_euclid(period) as u32, y.rem_euclid(period) as u32);
        let mut h = seed ^ x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
    };
    let (fx, fy) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - fx), ease(y - fy));
    let (x, y) = (fx as i32, fy as i32);
    let row = |y: i32| value(x, y) + (value(x + 1, y) - value(x, y)) * u;
    row(y) + (row(y + 1) - row(y)) * v
}

fn clouds(x: f32, y: f32, cells: i32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut gain, mut whole) = (0.0, 1.0, 0.0);
    for n in 0..octaves {
        let period = cells << n;
        sum += gain * noise(x * period as f32, y * period as f32, period, seed + n);
        whole += gain;
        gain *= 0.55;
    }
    sum / whole
}

/// A material of floors and walls.
fn texture(random: &mut Random) -> Texture {
    let colour = |random: &mut Random| {
        let grey = random.range(0.08, 0.8) as f32;
        let hue = [(); 3].map(|()| random.range(0.7, 1.2) as f32);
        Vec3::from(hue) * grey
    };
    let (a, b) = (colour(random), colour(random));
    let seed = random.index(1 << 20) as u32;
    let cells = random.pick(&[4, 6, 8, 12]);
    let size = random.range(1.0, 4.0) as f32;
    let joint = |x: f32, wide: f32| {
        let d = (x - x.round()).abs();
        ((d - wide) / 0.02).clamp(0.0, 1.0)
    };
    match random.index(6) {
        0 => Texture::new(size, move |x, y| a.lerp(b, clouds(x, y, cells, 4, seed))),
        // Planks.
        1 => Texture::new(size, move |x, y| {
            let plank = (y * cells as f32).floor();
            let grain = clouds(x, y * 6.0, 3, 3, seed + plank as u32);
            let tone = 0.7 + 0.3 * noise(plank + 0.5, 0.5, cells, seed);
            a * (0.6 + 0.6 * grain) * tone * (0.4 + 0.6 * joint(y * cells as f32, 0.02))
        }),
        // Tiles.
        2 => Texture::new(size, move |x, y| {
            let n = cells as f32;
            let odd = ((x * n).floor() + (y * n).floor()) as i32 % 2 == 0;
            let gap = joint(x * n, 0.02) * joint(y * n, 0.02);
            let tile = if odd { a } else { b };
            tile * (0.85 + 0.3 * clouds(x, y, 8, 3, seed)) * (0.5 + 0.5 * gap)
        }),
        // Bricks.
        3 => Texture::new(size, move |x, y| {
            let rows = 2.0 * cells as f32;
            let row = (y * rows).floor();
            let across = x * cells as f32 + 0.5 * (row as i32 % 2) as f32;
            let gap = joint(across, 0.04) * joint(y * rows, 0.06);
            let tone = 0.6 + 0.8 * noise(across.floor() + 0.5, row + 0.5, 2 * cells, seed);
            b.lerp(a * tone, gap) * (0.8 + 0.4 * clouds(x, y, 16, 2, seed))
        }),
        // Curtain or panels.
        4 => Texture::new(size, move |x, y| {
            let fold = (std::f32::consts::TAU
                * (x * cells as f32 + 0.3 * noise(x * 8.0, y * 2.0, 8, seed)))
            .sin();
            a * (0.65 + 0.35 * fold) + 0.05 * b
        }),
        // Speckled.
        _ => Texture::new(size, move |x, y| {
            let n = clouds(x, y, 32, 3, seed);
            let big = clouds(x, y, 4, 2, seed + 9);
            a.lerp(b, ((n - 0.45) * 4.0).clamp(0.0, 1.0)) * (0.7 + 0.6 * big)
        }),
    }
}

enum Paint {
    /// From the floor to three metres up.
    Gradient([Vec3; 2]),
    Texture(Arc<Texture>),
}

impl Paint {
    fn at(&self, p: Vec2, pixel: f32) -> Vec3 {
        match self {
            Self::Gradient([low, high]) => low.lerp(*high, (p.y / 3.0).clamp(0.0, 1.0)),
            // Rows of a picture go down.
            Self::Texture(texture) => texture.at(Vec2::new(p.x, -p.y), pixel),
        }
    }
}

/// Height of the floor: the soles stand on 0, with shoes a little lower.
const FLOOR: f32 = -0.008;

/// A floor and a wall.
pub struct Backdrop {
    /// What kind.
    pub name: &'static str,
    floor: Paint,
    wall: Paint,
    /// From the dancer to the wall, level; and how far.
    normal: Vec3A,
    across: Vec3A,
    distance: f32,
    /// How softly floor and wall go over into each other, in metres.
    cove: f32,
    light: f32,
}

/// What a pixel of the backdrop shows.
#[derive(Clone, Copy)]
pub struct Surface {
    /// Where.
    pub point: Vec3A,
    /// 1/distance along the axis.
    pub near: f32,
    /// Linear colour.
    pub colour: Vec3,
    /// Shadows fall on it.
    pub is_floor: bool,
}

impl Backdrop {
    /// One behind a dancer that is filmed from `direction`, `distance` metres away. `photos` gives
    /// a photograph, where there are any.
    pub fn new(
        direction: Vec3,
        distance: f32,
        photo: Option<Texture>,
        random: &mut Random,
    ) -> Self {
        let tilt = random.range(-0.3, 0.3) as f32;
        let normal = glam::Quat::from_rotation_y(tilt) * -direction;
        let grey = |v: f64| Vec3::splat(v as f32);
        let hue = Vec3::from([(); 3].map(|()| random.range(0.5, 1.0) as f32));
        let (name, floor, wall, cove) = match photo {
            Some(photo) => {
                let ground = photo.mean() * random.range(0.5, 1.1) as f32;
                let floor = if random.chance(0.5) {
                    Paint::Gradient([ground; 2])
                } else {
                    Paint::Texture(Arc::new(texture(random)))
                };
                ("photo", floor, Paint::Texture(Arc::new(photo)), 0.05)
            }
            None => match random.index(10) {
                0..2 => {
                    let white = grey(random.range(0.7, 0.95));
                    (
                        "white",
                        Paint::Gradient([white; 2]),
                        Paint::Gradient([white, white * 0.95]),
                        1.5,
                    )
                }
                2 => {
                    let black = grey(random.range(0.003, 0.03));
                    (
                        "black",
                        Paint::Gradient([black * 2.0; 2]),
                        Paint::Gradient([black; 2]),
                        0.8,
                    )
                }
                3..5 => {
                    let (a, b) = (
                        hue * random.range(0.1, 0.8) as f32,
                        hue.yzx() * random.range(0.05, 0.9) as f32,
                    );
                    (
                        "gradient",
                        Paint::Gradient([a; 2]),
                        Paint::Gradient([a, b]),
                        1.0,
                    )
                }
                5..7 => {
                    let a = hue * random.range(0.2, 0.8) as f32;
                    (
                        "room",
                        Paint::Texture(Arc::new(texture(random))),
                        Paint::Gradient([a, a * 0.9]),
                        0.05,
                    )
                }
                _ => {
                    let (floor, wall) = (texture(random), texture(random));
                    (
                        "texture",
                        Paint::Texture(Arc::new(floor)),
                        Paint::Texture(Arc::new(wall)),
                        0.05,
                    )
                }
            },
        };
        Self {
            name,
            floor,
            wall,
            normal: normal.into(),
            across: normal.cross(Vec3::Y).into(),
            // Behind all that the dancer does, and not much farther than the camera.
            distance: random.range(1.6, 2.0 + f64::from(distance)) as f32,
            cove,
            light: random.range(0.8, 1.05) as f32,
        }
    }

    /// What is seen at a place of the picture.
    #[inline]
    pub fn surface(&self, projection: &Projection, x: f32, y: f32) -> Surface {
        let ray = projection.ray(x, y);
        let towards = ray.dot(self.normal);
        let to_wall = if towards > 1e-3 {
            (self.distance - projection.position.dot(self.normal)) / towards
        } else {
            // Beside the wall: at the horizon.
            60.0
        };
        let to_floor = if ray.y < -1e-4 {
            (FLOOR - projection.position.y) / ray.y
        } else {
            f32::MAX
        };
        let is_floor = to_floor < to_wall;
        let depth = to_wall.min(to_floor).clamp(0.1, 60.0);
        let point = projection.position + ray * depth;
        let pixel = depth / projection.focal;
        let along = point.dot(self.across);
        let colour = if is_floor {
            // At a flat angle a pixel covers more of the floor.
            let long = pixel / (-ray.y / ray.length()).max(0.05);
            let away = point.dot(self.normal);
            let own = self.floor.at(Vec2::new(along, away), long);
            let to_edge = ((self.distance - away) / self.cove).clamp(0.0, 1.0);
            let wall = self.wall.at(Vec2::new(along, 0.0), pixel);
            wall.lerp(own, to_edge * to_edge * (3.0 - 2.0 * to_edge))
        } else {
            self.wall.at(Vec2::new(along, point.y), pixel)
        };
        Surface {
            point,
            near: 1.0 / depth,
            colour: colour * self.light,
            is_floor,
        }
    }
}
