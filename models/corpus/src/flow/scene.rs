// SPDX-License-Identifier: MPL-2.0
//! Scenes whose motion is known: textured layers before one another, each with its own.
//!
//! A layer has coordinates of its own. Where it is at an instant is an affine transformation from
//! there to the frame, after a bend that grows from nothing at the first frame to its whole at the
//! second. The flow of a pixel of the first frame is read off the transformations of the layer that
//! is seen there: it is exact, whatever the pictures look like.

use super::geometry::{Affine, Bend, Part, Point, Shape};
use super::texture::Texture;
use crate::random::Random;

/// An instant: 0 is the first frame, 1 the second.
pub type Instant = f32;

/// A layer.
pub struct Layer<'a> {
    /// What it covers, in its own coordinates.
    pub shape: Shape,
    /// What it is covered with.
    pub texture: &'a Texture,
    /// From its coordinates to the texture's.
    pub fabric: Affine,
    /// Factor of each colour.
    pub tint: [f32; 3],
    /// How much darker it is where its shape ends, per pixel from its middle line.
    pub round: f32,
    /// How it bends.
    pub bend: Option<Bend>,
    /// From its coordinates to the frame's at each instant of the scene.
    pub poses: Vec<Affine>,
    /// Whether it is part of a figure.
    pub limb: bool,
}

/// Layers, the farthest first, at some instants.
pub struct Scene<'a> {
    /// Width of a frame in pixels.
    pub width: usize,
    /// Height of a frame in pixels.
    pub height: usize,
    /// The instants. The first two are the frames'.
    pub instants: Vec<Instant>,
    /// The layers; the first covers everything.
    pub layers: Vec<Layer<'a>>,
}

/// What is true of a scene, for every pixel of the first frame.
pub struct Truth {
    /// Where it goes, in pixels to the right and down.
    pub flow: Vec<Point>,
    /// Whether the same is seen where it goes.
    pub visible: Vec<bool>,
    /// Whether it belongs to a figure.
    pub limb: Vec<bool>,
}

impl Layer<'_> {
    /// The pixels of the frame that it may cover, as first and last column and row.
    fn window(&self, instant: usize, width: usize, height: usize) -> Option<[usize; 4]> {
        let (mut low, mut high) = ([0.0, 0.0], [width as f32 - 1.0, height as f32 - 1.0]);
        if let Some([a, b]) = self.shape.bounds() {
            let margin = 1.5 + self.bend.as_ref().map_or(0.0, |bend| bend.reach);
            let corners = [a, [b[0], a[1]], b, [a[0], b[1]]].map(|corner| {
                let grown = [0, 1].map(|i| {
                    corner[i]
                        + if corner[i] > (a[i] + b[i]) / 2.0 {
                            margin
                        } else {
                            -margin
                        }
                });
                self.poses[instant].apply(grown)
            });
            for i in 0..2 {
                let least = corners.iter().fold(f32::MAX, |m, c| m.min(c[i]));
                let most = corners.iter().fold(f32::MIN, |m, c| m.max(c[i]));
                low[i] = least.floor().max(low[i]);
                high[i] = most.ceil().min(high[i]);
            }
        }
        let seen = low[0] <= high[0] && low[1] <= high[1];
        seen.then(|| [low[0], high[0], low[1], high[1]].map(|x| x as usize))
    }

    /// Calls `paint` with the index of each pixel it touches, its own coordinates there, and how
    /// much of the pixel it covers.
    #[inline]
    fn visit(&self, scene: &Scene, instant: usize, mut paint: impl FnMut(usize, Point, f32)) {
        let Some([left, right, top, bottom]) = self.window(instant, scene.width, scene.height)
        else {
            return;
        };
        let back = self.poses[instant].inverse();
        let sharpness = self.poses[instant].determinant().abs().sqrt();
        let share = scene.instants[instant];
        for y in top..=bottom {
            for x in left..=right {
                let mut place = back.apply([x as f32, y as f32]);
                if let Some(bend) = &self.bend {
                    place = bend.back(place, share);
                }
                let cover = (0.5 - self.shape.distance(place) * sharpness).min(1.0);
                if cover > 0.0 {
                    paint(y * scene.width + x, place, cover);
                }
            }
        }
    }

    #[inline]
    fn colour(&self, place: Point) -> [f32; 3] {
        let [u, v] = self.fabric.apply(place);
        let off = self.round * place[1];
        let shade = 1.0 - (off * off).min(0.6);
        let [r, g, b] = self.texture.at(u, v);
        let [red, green, blue] = self.tint;
        [r * red * shade, g * green * shade, b * blue * shade]
    }

    /// Where what is at `place` in its coordinates is in the second frame.
    #[inline]
    fn second(&self, place: Point) -> Point {
        let place = match &self.bend {
            Some(bend) => {
                let [dx, dy] = bend.at(place);
                [place[0] + dx, place[1] + dy]
            }
            None => place,
        };
        self.poses[1].apply(place)
    }
}

impl Scene<'_> {
    /// The frame as it is seen over some of the instants: their mean. 0 to 255.
    pub fn render(&self, instants: &[usize]) -> Vec<[f32; 3]> {
        let mut sum = vec![[0f32; 3]; self.width * self.height];
        for &instant in instants {
            let mut frame = vec![[0f32; 3]; sum.len()];
            for layer in &self.layers {
                layer.visit(self, instant, |at, place, cover| {
                    let colour = layer.colour(place);
                    for (under, own) in frame[at].iter_mut().zip(colour) {
                        *under += (own - *under) * cover;
                    }
                });
            }
            let share = 1.0 / instants.len() as f32;
            for (sum, own) in sum.as_flattened_mut().iter_mut().zip(frame.as_flattened()) {
                *sum += share * own;
            }
        }
        sum
    }

    /// The layer that is seen at each pixel of a frame, and its coordinates there.
    fn seen(&self, instant: usize) -> Vec<(u16, Point)> {
        let mut seen = vec![(0, [0.0; 2]); self.width * self.height];
        for (n, layer) in self.layers.iter().enumerate() {
            layer.visit(self, instant, |at, place, cover| {
                if cover >= 0.5 {
                    seen[at] = (n as u16, place);
                }
            });
        }
        seen
    }

    /// What is true of it.
    pub fn truth(&self) -> Truth {
        let (first, second) = (self.seen(0), self.seen(1));
        let mut truth = Truth {
            flow: Vec::with_capacity(first.len()),
            visible: Vec::with_capacity(first.len()),
            limb: Vec::with_capacity(first.len()),
        };
        for (at, &(n, place)) in first.iter().enumerate() {
            let layer = &self.layers[usize::from(n)];
            let from = [(at % self.width) as f32, (at / self.width) as f32];
            let to = if layer.bend.is_none() && layer.poses[0] == layer.poses[1] {
                // What is still is exactly so.
                from
            } else {
                layer.second(place)
            };
            truth.flow.push([to[0] - from[0], to[1] - from[1]]);
            truth.limb.push(layer.limb);
            let (x, y) = (to[0].round(), to[1].round());
            let inside = x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32;
            truth
                .visible
                .push(inside && second[y as usize * self.width + x as usize].0 == n);
        }
        truth
    }
}

/// The motion of a rigid thing over the time between the frames.
#[derive(Clone, Copy, Debug)]
pub struct Rigid {
    /// Where its origin is at the first frame.
    pub from: Point,
    /// How far that goes.
    pub by: Point,
    /// The angle it has at the first frame, and how far it turns, in radians.
    pub angle: [f32; 2],
    /// Its size at the first frame, and the logarithm of how it grows.
    pub scale: [f32; 2],
}

impl Rigid {
    /// Where it is at an instant.
    pub fn pose(&self, t: Instant) -> Affine {
        Affine::turned(
            self.angle[0] + self.angle[1] * t,
            self.scale[0] * (self.scale[1] * t).exp(),
            [0, 1].map(|i| self.from[i] + self.by[i] * t),
        )
    }
}

/// A union of discs, bars and rectangles about the origin, about `size` large.
pub fn blob(random: &mut Random, size: f32) -> Shape {
    let count = 1 + random.index(4);
    let parts = (0..count).map(|n| {
        let spread = if n == 0 { 0.0 } else { 0.45 * size };
        let centre = [(); 2].map(|()| random.range(-1.0, 1.0) as f32 * spread);
        let angle = random.range(0.0, std::f64::consts::TAU) as f32;
        let (sin, cos) = angle.sin_cos();
        match random.index(3) {
            0 => Part::Rectangle {
                centre,
                half: [(); 2].map(|()| random.range(0.1, 0.5) as f32 * size),
                turn: [sin, cos],
            },
            1 => Part::Capsule {
                ends: [centre; 2],
                radii: [random.range(0.15, 0.5) as f32 * size; 2],
            },
            _ => {
                let half = random.range(0.2, 0.55) as f32 * size;
                Part::Capsule {
                    ends: [
                        [centre[0] - half * cos, centre[1] - half * sin],
                        [centre[0] + half * cos, centre[1] + half * sin],
                    ],
                    radii: [(); 2].map(|()| random.range(0.02, 0.25) as f32 * size),
                }
            }
        }
    });
    Shape::Parts(parts.collect())
}
