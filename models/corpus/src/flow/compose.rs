// SPDX-License-Identifier: MPL-2.0
//! Random scenes.

use serde::Deserialize;

use super::figure;
use super::geometry::{Affine, Bend, Shape, scale};
use super::scene::{Instant, Layer, Rigid, Scene, blob};
use super::texture::Textures;
use crate::random::Random;

/// How scenes are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// The median of how far a scene's things go from frame to frame, in pixels.
    pub motion: f64,
    /// The deviation of its logarithm: how heavy the tails are, of fast scenes and of slow ones.
    pub tail: f64,
    /// The share of scenes whose camera stands still.
    pub still_camera: f64,
    /// The share of scenes with figures.
    pub figures: f64,
    /// The share of scenes whose frames are exposed while things move.
    pub blur: f64,
    /// The share of scenes with each of the other defects of real pictures.
    pub defects: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            motion: 9.0,
            tail: 0.9,
            still_camera: 0.35,
            figures: 0.7,
            blur: 0.3,
            defects: 0.35,
        }
    }
}

/// Instants of an exposure.
const EXPOSURES: usize = 4;
/// The largest motion of a scene as a share of its width.
const FASTEST: f64 = 0.25;

/// A random scene.
pub fn scene<'a>(
    random: &mut Random,
    textures: &'a Textures,
    recipe: &Recipe,
    [width, height]: [usize; 2],
) -> Scene<'a> {
    let (w, h) = (width as f32, height as f32);
    let far = recipe.motion * (recipe.tail * random.normal()).exp();
    let motion = far.min(FASTEST * f64::from(w.max(h))) as f32;
    let mut instants: Vec<Instant> = vec![0.0, 1.0];
    if random.chance(recipe.blur) {
        let shutter = random.range(0.15, 0.9) as f32;
        for frame in [0.0, 1.0] {
            let steps = (0..EXPOSURES).map(|n| (n as f32 + 0.5) / EXPOSURES as f32 - 0.5);
            instants.extend(steps.map(|share| frame + share * shutter));
        }
    }
    let is_still = random.chance(recipe.still_camera);
    let camera = camera(random, is_still, motion, [w, h]);
    let poses = |pose: &dyn Fn(Instant) -> Affine| -> Vec<Affine> {
        instants
            .iter()
            .map(|&t| camera(t).after(&pose(t)))
            .collect()
    };
    let mut layers = vec![Layer {
        shape: Shape::Plane,
        bend: (!is_still && random.chance(0.5))
            .then(|| Bend::random(random, [[0.0, 0.0], [w, h]], 0.3 * motion)),
        poses: poses(&|_| Affine::IDENTITY),
        ..covered(random, textures)
    }];
    if random.chance(0.4) {
        // A floor or a wall, nearer or farther than the rest.
        let angle = if random.chance(0.7) {
            0.0
        } else {
            random.range(-1.5, 1.5) as f32
        };
        let (sin, cos) = angle.sin_cos();
        let height = h * random.range(0.3, 0.9) as f32;
        let nearer = if is_still {
            0.0
        } else {
            random.range(-0.6, 0.6) as f32
        };
        let (mx, my) = (
            random.normal() as f32 * nearer * motion,
            random.normal() as f32 * nearer * motion * 0.4,
        );
        layers.push(Layer {
            shape: Shape::Half([sin, cos, height]),
            poses: poses(&|t| Affine {
                offset: [mx * t, my * t],
                ..Affine::IDENTITY
            }),
            ..covered(random, textures)
        });
    }
    // Things of all sizes, behind and before the figures.
    let has_figures = random.chance(recipe.figures);
    let things = if has_figures {
        random.index(5)
    } else {
        2 + random.index(6)
    };
    let behind = random.index(things + 1);
    for n in 0..=things {
        if n == behind && has_figures {
            let camera: Vec<Affine> = instants.iter().map(|&t| camera(t)).collect();
            for _ in 0..1 + usize::from(random.chance(0.3)) {
                let size = [width, height];
                layers.extend(figure::layers(
                    random, textures, size, motion, &instants, &camera,
                ));
            }
        }
        if n < things {
            layers.push(thing(random, textures, [w, h], motion, &instants, &camera));
        }
    }
    Scene {
        width,
        height,
        instants,
        layers,
    }
}

fn thing<'a>(
    random: &mut Random,
    textures: &'a Textures,
    [w, h]: [f32; 2],
    motion: f32,
    instants: &[Instant],
    camera: &dyn Fn(Instant) -> Affine,
) -> Layer<'a> {
    // Many small things and few large ones.
    let size = scale(w.max(h)) * 0.06 * random.range(0.0, 2.4).exp() as f32;
    let speed = motion * (random.normal() * 0.7 - 0.2).exp() as f32;
    let heading = random.range(0.0, std::f64::consts::TAU) as f32;
    let rests = random.chance(0.2);
    let go = if rests { 0.0 } else { 1.0 };
    let rigid = Rigid {
        from: [w, h].map(|n| n * random.range(-0.05, 1.05) as f32),
        by: [heading.cos(), heading.sin()].map(|x| go * speed * x),
        angle: [
            random.range(0.0, std::f64::consts::TAU) as f32,
            go * (random.normal() as f32 * 0.5 * motion / size).clamp(-0.8, 0.8),
        ],
        scale: [
            1.0,
            go * (random.normal() as f32 * 0.2 * motion / size).clamp(-0.3, 0.3),
        ],
    };
    let shape = blob(random, size);
    let bend = match shape.bounds() {
        Some(bounds) if !rests && random.chance(0.35) => {
            Some(Bend::random(random, bounds, 0.3 * motion.min(size)))
        }
        _ => None,
    };
    Layer {
        shape,
        bend,
        poses: instants
            .iter()
            .map(|&t| camera(t).after(&rigid.pose(t)))
            .collect(),
        ..covered(random, textures)
    }
}

/// A layer that is everywhere and still, with a texture.
fn covered<'a>(random: &mut Random, textures: &'a Textures) -> Layer<'a> {
    let light = random.range(0.6, 1.15) as f32;
    Layer {
        shape: Shape::Plane,
        texture: textures.pick(random),
        fabric: Affine::turned(
            random.range(0.0, std::f64::consts::TAU) as f32,
            random.range(0.45, 1.25) as f32,
            [(); 2].map(|()| random.range(0.0, 512.0) as f32),
        ),
        tint: [(); 3].map(|()| light * random.range(0.85, 1.15) as f32),
        round: 0.0,
        bend: None,
        poses: Vec::new(),
        limb: false,
    }
}

/// How the camera's motion moves the frame.
fn camera(
    random: &mut Random,
    is_still: bool,
    motion: f32,
    size: [f32; 2],
) -> impl Fn(Instant) -> Affine + use<> {
    let go = if is_still { 0.0 } else { motion };
    let heading = random.range(0.0, std::f64::consts::TAU) as f32;
    let pan = go * random.range(0.05, 1.0) as f32;
    let by = [heading.cos() * pan, 0.6 * heading.sin() * pan];
    let reach = size[0].max(size[1]) / 2.0;
    let [roll, zoom] = [0.15, 0.2].map(|share| share * go * random.normal() as f32 / reach);
    let centre = size.map(|n| n * random.range(0.3, 0.7) as f32);
    move |t| {
        if is_still {
            return Affine::IDENTITY;
        }
        Affine::turned(roll * t, (zoom * t).exp(), by.map(|x| x * t)).about(centre)
    }
}
