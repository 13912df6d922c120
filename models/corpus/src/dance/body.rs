// SPDX-License-Identifier: MPL-2.0
//! Bodies: what skin is stretched over the bones, and the plain capsule figure.

use super::skeleton::*;
use glam::Vec3;

/// What a face belongs to before the body is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The body itself.
    Skin,
    /// A shell around it that garments are cut from.
    Shell,
    /// A skirt to the ankles.
    Skirt,
    /// Long hair.
    Hair,
    /// Eyeballs.
    Eyes,
}

/// What does not change with the shape: faces, and which bones pull at each vertex.
#[derive(Debug)]
pub struct Topology {
    /// Triangles, counter-clockwise from outside.
    pub faces: Vec<(Layer, [u32; 3])>,
    /// Up to four bones of each vertex, the strongest first.
    pub bones: Vec<[u8; 4]>,
    /// How strongly they pull; sums to 1.
    pub weights: Vec<[f32; 4]>,
}

/// A body at rest.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its bones.
    pub figure: Figure,
    /// Its vertices in metres, above a floor at y = 0.
    pub rest: Vec<Vec3>,
    /// Its faces.
    pub topology: std::sync::Arc<Topology>,
    /// Between the eyes, and the mouth, where there is a face.
    pub face: Option<[Vec3; 2]>,
}

/// Corners around a capsule.
const AROUND: usize = 12;
/// Rings of each of its round ends.
const RINGS: usize = 4;

struct Builder {
    rest: Vec<Vec3>,
    faces: Vec<(Layer, [u32; 3])>,
    bones: Vec<[u8; 4]>,
}

impl Builder {
    /// A capsule from `a` to `b`, `wide` times as wide as deep.
    fn capsule(&mut self, bone: usize, a: Vec3, b: Vec3, radii: [f32; 2], wide: f32) {
        let axis = (b - a).normalize_or(Vec3::Y);
        let side = axis.cross(Vec3::Z).normalize_or(Vec3::X);
        let front = side.cross(axis);
        let first = self.rest.len() as u32;
        let rings = 2 * RINGS;
        for ring in 0..rings {
            // From pole to pole, the equator twice: once at each end.
            let (centre, radius, turn) = if ring < RINGS {
                (a, radii[0], ring as f32 / (RINGS - 1) as f32 - 1.0)
            } else {
                (b, radii[1], (ring - RINGS) as f32 / (RINGS - 1) as f32)
            };
            let (sin, cos) = (turn * std::f32::consts::FRAC_PI_2).sin_cos();
            for k in 0..AROUND {
                let angle = std::f32::consts::TAU * k as f32 / AROUND as f32;
                // A pole is a small ring, so that no face is without area.
                let across = cos.max(0.02) * radius;
                self.rest.push(
                    centre
                        + axis * (sin * radius)
                        + side * (across * wide * angle.cos())
                        + front * (across * angle.sin()),
                );
                self.bones.push([bone as u8, 0, 0, 0]);
            }
        }
        let n = AROUND as u32;
        for ring in 0..rings as u32 - 1 {
            for k in 0..n {
                let at = |ring: u32, k: u32| first + ring * n + k % n;
                let (p, q) = (at(ring, k), at(ring, k + 1));
                let (r, s) = (at(ring + 1, k), at(ring + 1, k + 1));
                self.faces.push((Layer::Skin, [p, r, q]));
                self.faces.push((Layer::Skin, [q, r, s]));
            }
        }
        for k in 1..n - 1 {
            self.faces
                .push((Layer::Skin, [first, first + k, first + k + 1]));
            let top = first + (rings as u32 - 1) * n;
            self.faces.push((Layer::Skin, [top, top + k + 1, top + k]));
        }
    }
}

/// The figure that needs no data: capsules of a person's proportions (after the 50th percentiles
/// of Drillis & Contini 1966), `height` metres tall.
pub fn capsule(height: f32) -> Body {
    let h = height;
    let mut rest = [Vec3::ZERO; BONES];
    for (bone, y) in [
        (PELVIS, 0.545),
        (SPINE1, 0.585),
        (SPINE2, 0.635),
        (SPINE3, 0.690),
        (NECK, 0.825),
        (HEAD, 0.870),
    ] {
        rest[bone] = Vec3::new(0.0, y, 0.0) * h;
    }
    let mut ends = [Vec3::new(0.0, 1.0, 0.0) * h; 5];
    for (n, side) in [0, SIDE].into_iter().enumerate() {
        let out = if side == 0 { h } else { -h };
        for (bone, x, y, z) in [
            (CLAVICLE, 0.02, 0.805, 0.0),
            (UPPER_ARM, 0.112, 0.805, 0.0),
            (LOWER_ARM, 0.285, 0.805, 0.0),
            (HAND, 0.430, 0.805, 0.0),
            (FINGERS, 0.480, 0.805, 0.0),
            (TIPS, 0.505, 0.805, 0.0),
            (THUMB, 0.445, 0.800, 0.015),
            (THIGH, 0.052, 0.525, 0.0),
            (CALF, 0.052, 0.283, 0.005),
            (FOOT, 0.052, 0.040, -0.005),
            (BALL, 0.055, 0.012, 0.075),
        ] {
            rest[bone + side] = Vec3::new(x * out, y * h, z * h);
        }
        ends[1 + n] = Vec3::new(0.535 * out, 0.805 * h, 0.0);
        ends[3 + n] = Vec3::new(0.057 * out, 0.010 * h, 0.110 * h);
    }
    let mut build = Builder {
        rest: Vec::new(),
        faces: Vec::new(),
        bones: Vec::new(),
    };
    let at = |x: f32, y: f32, z: f32| Vec3::new(x, y, z) * h;
    let mut trunk = |bone, low: f32, high: f32, radii: [f32; 2], wide| {
        build.capsule(
            bone,
            at(0.0, low, 0.0),
            at(0.0, high, 0.0),
            radii.map(|r| r * h),
            wide,
        );
    };
    trunk(PELVIS, 0.535, 0.565, [0.056, 0.054], 1.65);
    trunk(SPINE1, 0.585, 0.620, [0.052, 0.050], 1.5);
    trunk(SPINE2, 0.640, 0.680, [0.052, 0.055], 1.5);
    trunk(SPINE3, 0.700, 0.775, [0.058, 0.050], 1.75);
    trunk(NECK, 0.800, 0.880, [0.030, 0.028], 1.0);
    trunk(HEAD, 0.910, 0.945, [0.043, 0.055], 0.85);
    for side in [0, SIDE] {
        let to = |bone: usize| rest[bone + side];
        let n = usize::from(side > 0);
        for (bone, from, goal, radii) in [
            (CLAVICLE, to(CLAVICLE), to(UPPER_ARM), [0.030, 0.034]),
            (UPPER_ARM, to(UPPER_ARM), to(LOWER_ARM), [0.032, 0.023]),
            (LOWER_ARM, to(LOWER_ARM), to(HAND), [0.023, 0.016]),
            (HAND, to(HAND), to(FINGERS), [0.016, 0.020]),
            (FINGERS, to(FINGERS), to(TIPS), [0.019, 0.015]),
            (TIPS, to(TIPS), ends[1 + n], [0.015, 0.010]),
            (
                THUMB,
                to(THUMB),
                to(THUMB) + at(0.0, -0.008, 0.03),
                [0.010, 0.008],
            ),
            (THIGH, to(THIGH), to(CALF), [0.050, 0.033]),
            (CALF, to(CALF), to(FOOT), [0.034, 0.021]),
            (
                FOOT,
                to(FOOT) - at(0.0, 0.018, 0.012),
                to(BALL),
                [0.022, 0.020],
            ),
            (BALL, to(BALL), ends[3 + n], [0.019, 0.013]),
        ] {
            build.capsule(bone + side, from, goal, radii.map(|r: f32| r * h), 1.0);
        }
    }
    // The soles stand on the floor.
    let floor = build.rest.iter().map(|p| p.y).fold(f32::MAX, f32::min);
    let up = Vec3::Y * -floor;
    rest.iter_mut()
        .chain(&mut ends)
        .chain(&mut build.rest)
        .for_each(|p| *p += up);
    let count = build.rest.len();
    Body {
        figure: Figure::new(rest, ends, [0.09 * h, 0.06 * h]),
        rest: build.rest,
        topology: std::sync::Arc::new(Topology {
            faces: build.faces,
            bones: build.bones,
            weights: vec![[1.0, 0.0, 0.0, 0.0]; count],
        }),
        face: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capsule_figure_stands_on_the_floor_closed_and_outside_out() {
        let body = capsule(1.7);
        let lowest = body.rest.iter().map(|p| p.y).fold(f32::MAX, f32::min);
        let highest = body.rest.iter().map(|p| p.y).fold(f32::MIN, f32::max);
        assert!(
            lowest.abs() < 1e-5 && (1.6..1.8).contains(&highest),
            "{lowest} {highest}"
        );
        // The divergence theorem: the volume is positive only if faces look outward.
        let volume: f32 = body
            .topology
            .faces
            .iter()
            .map(|&(_, f)| {
                let [a, b, c] = f.map(|v| body.rest[v as usize]);
                a.dot(b.cross(c)) / 6.0
            })
            .sum();
        assert!((0.03..0.12).contains(&volume), "{volume} m3");
    }
}
