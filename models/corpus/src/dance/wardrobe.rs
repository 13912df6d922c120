// SPDX-License-Identifier: MPL-2.0
//! Skin, hair and clothes: makes a body into a mesh with materials.

use super::body::{Body, Layer};
use super::skeleton::*;
use crate::random::Random;
use glam::{Vec3, Vec3A};

/// What a surface looks like.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// Linear red, green and blue.
    pub colours: [Vec3; 2],
    /// How the two colours lie.
    pub pattern: Pattern,
    /// Metres of a repetition.
    pub scale: f32,
}

/// How two colours lie on a surface, from where its points are at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The first only.
    Plain,
    /// Upright stripes.
    Stripes,
    /// Level stripes.
    Hoops,
    /// Both, woven.
    Checks,
    /// Dots.
    Dots,
    /// Blots.
    Blots,
    /// Left and right of the middle.
    Halves,
}

impl Material {
    fn plain(colour: Vec3) -> Self {
        Self {
            colours: [colour; 2],
            pattern: Pattern::Plain,
            scale: 1.0,
        }
    }

    /// The colour at a point of the body at rest, when a pixel there is `pixel` metres wide: what
    /// is finer than a pixel is not seen.
    #[inline]
    pub fn colour(&self, p: Vec3A, pixel: f32) -> Vec3 {
        if self.pattern == Pattern::Plain {
            return self.colours[0];
        }
        let k = std::f32::consts::TAU / self.scale;
        let wave = |x: f32| {
            // Edges a pixel wide; a quarter of the wave is the least that can be drawn.
            let soft = (0.9 * self.scale / (k * pixel * self.scale).max(0.4)).min(8.0);
            (x.sin() * soft).clamp(-1.0, 1.0)
        };
        let fade = ((self.scale / pixel - 2.0) / 2.0).clamp(0.0, 1.0);
        let side = p.x + 0.7 * p.z;
        let share = match self.pattern {
            Pattern::Plain => -1.0,
            Pattern::Stripes => wave(k * side),
            Pattern::Hoops => wave(k * p.y),
            Pattern::Checks => 0.5 * (wave(k * side) + wave(k * p.y)),
            Pattern::Dots => wave((k * side).sin() * (k * p.y).sin() - 0.25),
            Pattern::Blots => {
                let q = p * k;
                let warp = (0.6 * q.x + 1.3 * q.y).sin() + (0.9 * q.y - 0.7 * q.z + 1.0).sin();
                wave(0.5 * warp + (0.5 * q.x + 0.8 * q.z).sin())
            }
            Pattern::Halves => wave((p.x * 9.0).clamp(-1.0, 1.0)),
        };
        self.colours[0].lerp(self.colours[1], 0.5 + 0.5 * share * fade)
    }
}

/// Numbers of the materials.
pub const SKIN: u8 = 0;
/// Shirt.
pub const TOP: u8 = 1;
/// Trousers.
pub const BOTTOM: u8 = 2;
/// Shoes.
pub const SHOES: u8 = 3;
/// Hair.
pub const HAIR: u8 = 4;
/// Eyes.
pub const EYES: u8 = 5;
/// Skirt.
pub const SKIRT: u8 = 6;
/// Number of materials.
pub const MATERIALS: usize = 7;

/// What swings: skirt, hair, sleeves, trouser legs.
pub const SPRINGS: usize = 6;

/// Number of the skirt's spring.
pub const SKIRT_SPRING: u8 = 0;
const HAIR_SPRING: u8 = 1;
const SLEEVE_SPRING: u8 = 2;
const TROUSER_SPRING: u8 = 4;

/// The bone that carries each spring.
pub const CARRIER: [usize; SPRINGS] =
    [PELVIS, HEAD, LOWER_ARM, LOWER_ARM + SIDE, CALF, CALF + SIDE];

/// What somebody looks like and wears.
#[derive(Clone, Debug)]
pub struct Look {
    /// By number.
    pub materials: [Material; MATERIALS],
    /// Sleeves end here: 0 shoulder, 1 elbow, 2 wrist; none below 0 is a sleeveless top.
    pub sleeves: f32,
    /// Trousers end here: 0 hip, 1 knee, 2 ankle.
    pub trousers: f32,
    /// How wide sleeves and trousers are, in metres off the skin.
    pub width: [f32; 2],
    /// The skirt ends here: a share of the leg from the hip; 0 for none.
    pub skirt: f32,
    /// Hair is as thick on the head, in metres, and as long below the eyes; 0 for none.
    pub hair: [f32; 2],
    /// With shoes.
    pub shod: bool,
}

fn hsv(h: f32, s: f32, v: f32) -> Vec3 {
    let part = |n: f32| {
        let k = (n + 6.0 * h).rem_euclid(6.0);
        v - v * s * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    Vec3::new(part(5.0), part(3.0), part(1.0))
}

fn cloth(random: &mut Random) -> Vec3 {
    let grey = random.chance(0.35);
    let saturation = if grey { 0.05 } else { random.range(0.3, 0.95) };
    let value = if random.chance(0.3) {
        random.range(0.04, 0.15)
    } else {
        random.range(0.15, 0.95)
    };
    let c = hsv(random.unit() as f32, saturation as f32, value as f32);
    c * c
}

impl Look {
    /// Anybody: skin and hair from `who`, clothes from `today`.
    pub fn any(who: &mut Random, today: &mut Random) -> Self {
        let tone = who.unit() as f32;
        let light = Vec3::new(0.75, 0.48, 0.36);
        let dark = Vec3::new(0.09, 0.04, 0.025);
        let red = Vec3::new(0.01, 0.0, -0.01) * who.range(-1.0, 1.0) as f32;
        let skin = light.lerp(dark, tone.powf(0.8)) + red;
        let dyed = hsv(who.unit() as f32, 0.8, 0.6);
        let hair_colour = who.weighted(&[
            (5.0, Vec3::new(0.012, 0.009, 0.008)),
            (3.0, Vec3::new(0.06, 0.03, 0.015)),
            (1.0, Vec3::new(0.45, 0.28, 0.1)),
            (0.6, Vec3::new(0.25, 0.06, 0.02)),
            (0.6, Vec3::new(0.45, 0.45, 0.45)),
            (0.4, dyed),
        ]);
        let hair = who.weighted(&[
            (1.0, [0.0, 0.0]),
            (4.0, [0.010, 0.0]),
            (2.0, [0.028, 0.0]),
            (2.0, [0.014, 0.16]),
            (3.0, [0.014, 0.42]),
        ]);
        let mut fabric = || {
            let colours = [cloth(today), cloth(today)];
            let pattern = today.weighted(&[
                (4.0, Pattern::Plain),
                (1.0, Pattern::Stripes),
                (1.5, Pattern::Hoops),
                (1.0, Pattern::Checks),
                (0.7, Pattern::Dots),
                (1.0, Pattern::Blots),
                (0.5, Pattern::Halves),
            ]);
            Material {
                colours,
                pattern,
                scale: today.range(0.06, 0.25) as f32,
            }
        };
        let mut materials = [Material::plain(skin); MATERIALS];
        for index in [TOP, BOTTOM, SKIRT] {
            materials[usize::from(index)] = fabric();
        }
        materials[usize::from(SHOES)] = Material::plain(cloth(today));
        materials[usize::from(HAIR)] = Material::plain(hair_colour);
        materials[usize::from(EYES)] = Material::plain(Vec3::splat(0.7));
        let mut skirt = 0.0;
        let mut trousers = today.weighted(&[(1.0, 0.25), (1.5, 0.9), (1.0, 1.4), (5.0, 1.93)]);
        if today.chance(0.25) {
            skirt = today.range(0.3, 1.0) as f32;
            trousers = today.pick(&[0.12, 0.12, 1.93]);
            if today.chance(0.5) {
                materials[usize::from(SKIRT)] = materials[usize::from(TOP)];
            }
        } else if today.chance(0.15) {
            materials[usize::from(BOTTOM)] = materials[usize::from(TOP)];
        }
        let loose = |random: &mut Random| {
            if random.chance(0.45) {
                random.range(0.02, 0.055)
            } else {
                random.range(0.004, 0.012)
            }
        };
        let width = [
            loose(today) as f32,
            if skirt > 0.0 {
                0.003
            } else {
                loose(today) as f32
            },
        ];
        Self {
            materials,
            sleeves: today.weighted(&[
                (1.0, -0.1),
                (0.7, 0.25),
                (3.0, 0.6),
                (1.0, 1.2),
                (3.0, 1.9),
            ]),
            trousers,
            width,
            skirt,
            hair,
            shod: today.chance(0.85),
        }
    }
}

/// A triangle of a mesh.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    /// Its corners.
    pub v: [u32; 3],
    /// Its material.
    pub material: u8,
    /// Its part label: 1 + the bone it hangs on most.
    pub part: u8,
    /// Seen from behind, too.
    pub open: bool,
}

/// Somebody dressed, at rest.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// Vertices.
    pub rest: Vec<Vec3A>,
    /// Their normals.
    pub normals: Vec<Vec3A>,
    /// Their bones.
    pub bones: Vec<[u8; 4]>,
    /// Their bones' weights.
    pub weights: Vec<[f32; 4]>,
    /// Their colour against the material's.
    pub tint: Vec<Vec3A>,
    /// The spring that each vertex follows, and how far.
    pub pull: Vec<(u8, f32)>,
    /// Faces.
    pub faces: Vec<Face>,
    /// Height at which the shirt ends and the trousers begin.
    pub hem: f32,
}

/// Where on the body a vertex is, for the tailor.
#[derive(Clone, Copy, PartialEq)]
enum Zone {
    Head,
    Neck,
    /// Height.
    Trunk(f32),
    /// 0 shoulder, 1 elbow, 2 wrist.
    Arm(f32),
    Hand,
    /// 0 hip, 1 knee, 2 ankle.
    Leg(f32),
    Foot,
}

fn zone(figure: &Figure, bone: usize, p: Vec3) -> Zone {
    let side = if bone >= CLAVICLE + SIDE { SIDE } else { 0 };
    let along = |from: usize, to: usize| {
        let (a, b) = (figure.rest[from + side], figure.rest[to + side]);
        (p - a).dot(b - a) / (b - a).length_squared()
    };
    match bone - side {
        PELVIS..=SPINE3 | CLAVICLE => Zone::Trunk(p.y),
        NECK => Zone::Neck,
        HEAD => Zone::Head,
        UPPER_ARM => Zone::Arm(along(UPPER_ARM, LOWER_ARM).clamp(-0.2, 1.0)),
        LOWER_ARM => Zone::Arm(1.0 + along(LOWER_ARM, HAND).clamp(0.0, 1.1)),
        THIGH => Zone::Leg(along(THIGH, CALF).clamp(-0.2, 1.0)),
        CALF => Zone::Leg(1.0 + along(CALF, FOOT).clamp(0.0, 1.1)),
        FOOT | BALL => Zone::Foot,
        _ => Zone::Hand,
    }
}

/// Smooth from 0 at `a` to 1 at `b`.
fn ramp(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The garment at a zone, and how far inside it, in lengths of a bone.
fn garment(look: &Look, hem: f32, zone: Zone) -> Option<(u8, f32)> {
    match zone {
        Zone::Trunk(y) if y >= hem => Some((TOP, 1.0)),
        Zone::Trunk(_) => Some((BOTTOM, 1.0)),
        Zone::Arm(a) if a <= look.sleeves => Some((TOP, look.sleeves - a)),
        Zone::Leg(l) if l <= look.trousers => Some((BOTTOM, look.trousers - l)),
        _ => None,
    }
}

/// Dresses a body.
pub fn dress(body: &Body, look: &Look) -> Mesh {
    let figure = &body.figure;
    let topology = &body.topology;
    let hem = figure.rest[PELVIS].y + 0.15 * (figure.rest[SPINE1].y - figure.rest[PELVIS].y);
    let skirt_end = figure.rest[THIGH].y - look.skirt * 0.93 * figure.leg();
    let zones: Vec<Zone> = body
        .rest
        .iter()
        .zip(&topology.bones)
        .map(|(&p, b)| zone(figure, usize::from(b[0]), p))
        .collect();
    let shelled = topology.faces.iter().any(|f| f.0 == Layer::Shell);
    let eyes = body.face.map(|f| f[0]);
    let hairy = |v: u32| {
        let p = body.rest[v as usize];
        let Some(eye) = eyes else {
            return p.y > figure.ends[0].y - 0.1 || p.z < -0.02;
        };
        let q = p - eye;
        // Over the forehead, and behind the ears down to the nape.
        zones[v as usize] == Zone::Head
            && (q.y > 0.062 - 0.35 * q.x.abs() && q.z < 0.06 || q.z < -0.085 && q.y > -0.06)
            && q.z + 0.5 * q.y < 0.06
    };
    let mut faces = Vec::new();
    for &(layer, v) in &topology.faces {
        let worn = v.map(|v| garment(look, hem, zones[v as usize]));
        let covered = worn.iter().all(Option::is_some);
        let deep = worn.iter().flatten().map(|w| w.1).fold(f32::MAX, f32::min);
        let lowest = v
            .map(|v| body.rest[v as usize].y)
            .into_iter()
            .fold(f32::MAX, f32::min);
        let cut = worn[0].map_or(BOTTOM, |w| w.0);
        let material = match layer {
            Layer::Skin if v.iter().all(|&v| hairy(v)) && look.hair[0] > 0.0 => HAIR,
            Layer::Skin if zones[v[0] as usize] == Zone::Foot && look.shod => SHOES,
            // Bare under the hem, so that nothing gapes there.
            Layer::Skin if covered && shelled && deep > 0.12 => continue,
            Layer::Skin if covered && !shelled => cut,
            Layer::Skin => SKIN,
            Layer::Shell if covered => cut,
            Layer::Skirt if look.skirt > 0.0 && lowest > skirt_end => SKIRT,
            Layer::Hair
                if look.hair[1] > 0.0 && eyes.is_some_and(|e| lowest > e.y - look.hair[1]) =>
            {
                HAIR
            }
            Layer::Eyes => EYES,
            _ => continue,
        };
        faces.push(Face {
            v,
            material,
            part: topology.bones[v[0] as usize][0] + 1,
            open: matches!(layer, Layer::Shell | Layer::Skirt | Layer::Hair),
        });
    }
    let mut mesh = compact(body, faces);
    let (kept, mut mesh) = (std::mem::take(&mut mesh.1), mesh.0);
    let normals = normals(&mesh.rest, &mesh.faces);
    let mut layer = vec![None; body.rest.len()];
    for face in &mesh.faces {
        face.v
            .iter()
            .for_each(|&v| layer[kept[v as usize] as usize] = Some((face.material, face.open)));
    }
    for (n, &old) in kept.iter().enumerate() {
        let (zone, p) = (zones[old as usize], body.rest[old as usize]);
        let (off, pull) = match layer[old as usize] {
            Some((TOP | BOTTOM, true)) => drape(look, zone, topology.bones[old as usize][0]),
            Some((SKIRT, _)) => {
                let down = ramp(figure.rest[SPINE1].y, skirt_end, p.y);
                (0.012 + 0.05 * down, (SKIRT_SPRING, down))
            }
            Some((HAIR, open)) => {
                let down = eyes.map_or(0.0, |e| ramp(e.y, e.y - 0.4, p.y));
                (look.hair[0], (HAIR_SPRING, if open { down } else { 0.0 }))
            }
            Some((SHOES, _)) => (0.006, (0, 0.0)),
            _ => (0.0, (0, 0.0)),
        };
        mesh.rest[n] += normals[n] * off;
        mesh.pull[n] = pull;
        mesh.tint[n] = features(body, layer[old as usize].map(|l| l.0), zone, p);
    }
    mesh.normals = self::normals(&mesh.rest, &mesh.faces);
    mesh.hem = hem;
    mesh
}

/// How far a garment is off the skin, and what it swings with.
fn drape(look: &Look, zone: Zone, bone: u8) -> (f32, (u8, f32)) {
    let right = u8::from(usize::from(bone) >= CLAVICLE + SIDE);
    match zone {
        Zone::Arm(a) => {
            let wide = look.width[0] * ramp(-0.2, look.sleeves.max(0.1), a);
            (0.006 + wide, (SLEEVE_SPRING + right, 14.0 * wide))
        }
        Zone::Leg(l) => {
            let wide = look.width[1] * ramp(-0.2, look.trousers.max(0.1), l);
            (0.006 + wide, (TROUSER_SPRING + right, 8.0 * wide))
        }
        _ => (0.006 + 0.3 * look.width[0].min(0.03), (0, 0.0)),
    }
}

/// Lips, brows, pupils.
fn features(body: &Body, material: Option<u8>, zone: Zone, p: Vec3) -> Vec3A {
    let Some([eyes, mouth]) = body.face else {
        return Vec3A::ONE;
    };
    if zone != Zone::Head {
        return Vec3A::ONE;
    }
    let (q, m) = (p - eyes, p - mouth);
    if material == Some(EYES) {
        let iris = q.z > 0.006 && (q.x.abs() - 0.031).abs() < 0.007 && q.y.abs() < 0.007;
        return if iris { Vec3A::splat(0.05) } else { Vec3A::ONE };
    }
    let brow = (q.y - 0.022).abs() < 0.005 && (0.012..0.052).contains(&q.x.abs()) && q.z > -0.01;
    let lip = (m.x / 0.026).powi(2) + (m.y / 0.010).powi(2) < 1.0 && m.z > 0.0;
    if material == Some(SKIN) && brow {
        Vec3A::splat(0.3)
    } else if material == Some(SKIN) && lip {
        Vec3A::new(0.9, 0.55, 0.55)
    } else {
        Vec3A::ONE
    }
}

/// The vertices that faces use, and which they were.
fn compact(body: &Body, mut faces: Vec<Face>) -> (Mesh, Vec<u32>) {
    let mut new = vec![u32::MAX; body.rest.len()];
    let mut kept = Vec::new();
    for face in &mut faces {
        for v in &mut face.v {
            let slot = &mut new[*v as usize];
            if *slot == u32::MAX {
                *slot = kept.len() as u32;
                kept.push(*v);
            }
            *v = *slot;
        }
    }
    let of = |v: &u32| *v as usize;
    let mesh = Mesh {
        rest: kept.iter().map(|v| body.rest[of(v)].into()).collect(),
        normals: Vec::new(),
        bones: kept.iter().map(|v| body.topology.bones[of(v)]).collect(),
        weights: kept.iter().map(|v| body.topology.weights[of(v)]).collect(),
        tint: vec![Vec3A::ONE; kept.len()],
        pull: vec![(0, 0.0); kept.len()],
        faces,
        hem: 0.0,
    };
    (mesh, kept)
}

/// Normals of vertices, each face counting as its area.
fn normals(rest: &[Vec3A], faces: &[Face]) -> Vec<Vec3A> {
    let mut out = vec![Vec3A::ZERO; rest.len()];
    for face in faces {
        let [a, b, c] = face.v.map(|v| rest[v as usize]);
        let normal = (b - a).cross(c - a);
        face.v.iter().for_each(|&v| out[v as usize] += normal);
    }
    out.into_iter().map(|n| n.normalize_or(Vec3A::Y)).collect()
}
