// SPDX-License-Identifier: MPL-2.0
//! Figures of thin limbs that swing about their joints.

use super::geometry::{Affine, Part, Point, Shape, scale};
use super::scene::{Instant, Layer};
use super::texture::{Texture, Textures};
use crate::random::Random;

/// A joint's angle and the length of the bone after it, as a share of its true one, at the first
/// frame and what they change by until the second.
#[derive(Clone, Copy)]
struct Bone {
    length: f32,
    angle: [f32; 2],
    /// A bone that turns towards the camera looks shorter.
    shown: [f32; 2],
}

impl Bone {
    fn random(random: &mut Random, length: f32, swing: f32, angle: f32) -> Self {
        // What is fast in the picture turns by more where the bone is shorter.
        let turn = (random.normal() as f32 * swing / length.max(1.0)).clamp(-1.2, 1.2);
        let shown = random.range(0.35, 1.0) as f32;
        Self {
            length,
            angle: [angle, turn],
            shown: [
                shown,
                (shown + random.normal() as f32 * 0.08).clamp(0.3, 1.0) - shown,
            ],
        }
    }

    fn end(&self, from: Point, base: f32, t: Instant) -> (Point, f32) {
        let angle = base + self.angle[0] + self.angle[1] * t;
        let length = self.length * (self.shown[0] + self.shown[1] * t);
        let (sin, cos) = angle.sin_cos();
        // Angles count from straight down.
        ([from[0] + length * sin, from[1] + length * cos], angle)
    }
}

/// A figure: bones by number, each hanging on another's end.
struct Figure {
    hip: Point,
    by: Point,
    spine: Bone,
    /// Upper and lower: left arm, right arm, left leg, right leg.
    limbs: [[Bone; 2]; 4],
    head: f32,
    squeeze: f32,
}

impl Figure {
    fn random(random: &mut Random, width: f32, height: f32, motion: f32) -> Self {
        let tall = scale(height) * random.range(0.35, 1.15) as f32;
        let swing = motion * random.range(0.3, 1.6) as f32;
        let any = |random: &mut Random, wide: f64| random.range(-wide, wide) as f32;
        let spine_angle = std::f32::consts::PI + any(random, 0.5);
        let spine = Bone {
            shown: [random.range(0.8, 1.0) as f32, 0.0],
            ..Bone::random(random, 0.3 * tall, 0.4 * swing, spine_angle)
        };
        let arm = |random: &mut Random| {
            let angle = any(random, 2.8);
            let bend = any(random, 2.0);
            [
                Bone::random(random, 0.17 * tall, swing, angle - spine_angle),
                Bone::random(random, 0.17 * tall, swing, bend),
            ]
        };
        let arms = [arm(random), arm(random)];
        let leg = |random: &mut Random| {
            let angle = any(random, 1.1);
            let bend = any(random, 1.0);
            [
                Bone::random(random, 0.24 * tall, 0.8 * swing, angle),
                Bone::random(random, 0.24 * tall, swing, bend),
            ]
        };
        let legs = [leg(random), leg(random)];
        let [left, right] = arms;
        let [front, back] = legs;
        let drift = motion * random.range(0.0, 1.2) as f32;
        Self {
            hip: [
                width * random.range(0.15, 0.85) as f32,
                height * random.range(0.35, 0.75) as f32,
            ],
            by: [(); 2].map(|()| random.normal() as f32 * 0.7 * drift),
            spine,
            limbs: [left, right, front, back],
            head: tall * random.range(0.045, 0.075) as f32,
            // Wide pictures are squeezed into square ones.
            squeeze: if random.chance(0.5) {
                random.range(0.5, 1.0) as f32
            } else {
                1.0
            },
        }
    }

    /// The ends of spine, head and limbs at an instant, in the order of [`Figure::layers`].
    fn bones(&self, t: Instant) -> Vec<[Point; 2]> {
        let hip = [0.0, 0.0];
        let (neck, lean) = self.spine.end(hip, 0.0, t);
        let up = [lean.sin(), lean.cos()];
        let crown = [0, 1].map(|i| neck[i] + 1.6 * self.head * up[i]);
        let side = [up[1], -up[0]].map(|x| x * 0.9 * self.head);
        let mut bones = vec![[hip, neck], [neck, crown]];
        for (n, [upper, lower]) in self.limbs.iter().enumerate() {
            let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
            let (joint, base) = if n < 2 { (neck, lean) } else { (hip, 0.0) };
            let shoulder = [0, 1].map(|i| joint[i] + sign * side[i]);
            let (elbow, angle) = upper.end(shoulder, base, t);
            let (hand, _) = lower.end(elbow, angle, t);
            bones.extend([[shoulder, elbow], [elbow, hand]]);
        }
        let place = |p: Point| {
            [
                self.hip[0] + self.by[0] * t + p[0] * self.squeeze,
                self.hip[1] + self.by[1] * t + p[1],
            ]
        };
        bones.into_iter().map(|bone| bone.map(place)).collect()
    }
}

/// A random figure as layers, farthest first. `motion` is about how far its limbs go, in pixels.
pub fn layers<'a>(
    random: &mut Random,
    textures: &'a Textures,
    [width, height]: [usize; 2],
    motion: f32,
    instants: &[Instant],
    camera: &[Affine],
) -> Vec<Layer<'a>> {
    let figure = Figure::random(random, width as f32, height as f32, motion);
    let bones: Vec<Vec<[Point; 2]>> = instants.iter().map(|&t| figure.bones(t)).collect();
    let cloth = |random: &mut Random| -> (&'a Texture, [f32; 3]) {
        let tint = [(); 3].map(|()| random.range(0.6, 1.2) as f32);
        (textures.pick(random), tint)
    };
    let [skin, shirt, trousers] = [(); 3].map(|()| cloth(random));
    let bare = [random.chance(0.5), random.chance(0.3)];
    let thick = figure.head * random.range(0.35, 1.0) as f32;
    // Back arm, back leg, trunk, head, front leg, front arm; bones in pairs from 2 on.
    let order = [4, 5, 8, 9, 0, 1, 6, 7, 2, 3];
    order
        .into_iter()
        .map(|n| {
            let [a, b] = bones[0][n];
            let length = (b[0] - a[0]).hypot(b[1] - a[1]).max(0.5);
            let (radii, (texture, tint)) = match n {
                0 => ([1.3 * thick, 1.9 * thick], shirt),
                1 => ([0.6 * figure.head, figure.head], skin),
                // Arms and legs; the second bone of each is thinner.
                n => {
                    let is_arm = n < 6;
                    let radius = thick * if is_arm { 0.55 } else { 0.8 };
                    let is_bare = bare[usize::from(!is_arm)] && n % 2 == 1;
                    let own = if is_bare {
                        skin
                    } else if is_arm {
                        shirt
                    } else {
                        trousers
                    };
                    let radii = if n % 2 == 0 { [1.0, 0.8] } else { [0.8, 0.55] };
                    (radii.map(|share| share * radius), own)
                }
            };
            let radii = radii.map(|r| r.max(0.8));
            let poses = bones.iter().zip(camera).map(|(bones, camera)| {
                let [a, b] = bones[n];
                let along = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
                let size = along[0].hypot(along[1]).max(1e-3);
                let across = [-along[1] / size, along[0] / size];
                camera.after(&Affine {
                    matrix: [along[0], across[0], along[1], across[1]],
                    offset: a,
                })
            });
            Layer {
                shape: Shape::Parts(vec![Part::Capsule {
                    ends: [[0.0, 0.0], [length, 0.0]],
                    radii,
                }]),
                texture,
                fabric: Affine::turned(
                    random.range(0.0, std::f64::consts::TAU) as f32,
                    random.range(0.5, 1.2) as f32,
                    [(); 2].map(|()| random.range(0.0, 512.0) as f32),
                ),
                tint,
                round: random.range(0.2, 0.6) as f32 / radii[0],
                bend: None,
                poses: poses.collect(),
                limb: true,
            }
        })
        .collect()
}
