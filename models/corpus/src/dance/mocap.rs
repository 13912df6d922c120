// SPDX-License-Identifier: MPL-2.0
//! Captured motion: on any body, warped in time so that it stops where the music beats.

use super::bvh::Bvh;
use super::kinetics::{RATE, minima, speeds};
use super::pulse::Pulse;
use super::skeleton::*;
use crate::Error;
use crate::random::Random;
use glam::{Quat, Vec3};
use std::path::Path;
use std::sync::Arc;

/// Frames a second that takes are kept at.
const KEPT: f64 = 60.0;
/// An ankle this little over its lowest, and this slow, stands; leg lengths, and those a second.
const STANDING: [f32; 2] = [0.07, 0.35];
/// Seconds in which a foot goes over into standing.
const LANDING: f32 = 0.08;

/// One moment of a take; lengths in leg lengths, from the floor.
#[derive(Clone, Debug)]
struct Frame {
    root: Vec3,
    rotation: [Quat; BONES],
    ankles: [Vec3; 2],
}

/// A recording.
#[derive(Debug)]
pub struct Take {
    /// Its file's name.
    pub name: String,
    frames: Vec<Frame>,
    /// Instants at which it comes to rest or turns round.
    stops: Vec<f64>,
}

/// Names that rigs give to the bones of the trunk and of a side.
const TRUNK: [(usize, &[&str]); 5] = [
    (PELVIS, &["hip", "hips", "pelvis", "root"]),
    (SPINE1, &["abdomen", "spine", "spine1", "lowerback"]),
    (
        SPINE3,
        &["chest", "spine2", "spine3", "upperback", "thorax"],
    ),
    (NECK, &["neck", "neck1"]),
    (HEAD, &["head"]),
];
const LIMBS: [(usize, [&[&str]; 2]); 7] = [
    (
        CLAVICLE,
        [
            &["lcollar", "leftshoulder", "leftcollar", "lclavicle"],
            &["rcollar", "rightshoulder", "rightcollar", "rclavicle"],
        ],
    ),
    (
        UPPER_ARM,
        [
            &["lshldr", "leftarm", "lhumerus", "leftuparm"],
            &["rshldr", "rightarm", "rhumerus", "rightuparm"],
        ],
    ),
    (
        LOWER_ARM,
        [
            &["lforearm", "leftforearm", "lradius", "leftlowarm"],
            &["rforearm", "rightforearm", "rradius", "rightlowarm"],
        ],
    ),
    (HAND, [&["lhand", "lefthand"], &["rhand", "righthand"]]),
    (
        THIGH,
        [
            &["lthigh", "leftupleg", "lfemur"],
            &["rthigh", "rightupleg", "rfemur"],
        ],
    ),
    (
        CALF,
        [
            &["lshin", "leftleg", "ltibia", "leftlowleg"],
            &["rshin", "rightleg", "rtibia", "rightlowleg"],
        ],
    ),
    (FOOT, [&["lfoot", "leftfoot"], &["rfoot", "rightfoot"]]),
];

impl Take {
    /// Reads a BVH file; `rate` is its true frame rate where its header is wrong.
    ///
    /// # Errors
    /// As [`Bvh::read`], and when it has not the joints of a person.
    pub fn read(path: &Path, rate: Option<f64>) -> Result<Self, Error> {
        let bvh = Bvh::read(path)?;
        let rate = rate.unwrap_or(1.0 / bvh.interval);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::new(name.into_owned(), &bvh, rate).map_err(|reason| Error::broken(path, reason))
    }

    fn new(name: String, bvh: &Bvh, rate: f64) -> Result<Self, String> {
        let mut source = [None; BONES];
        for (bone, names) in TRUNK {
            source[bone] = bvh.find(names);
        }
        for (bone, sides) in LIMBS {
            source[bone] = bvh.find(sides[0]);
            source[bone + SIDE] = bvh.find(sides[1]);
        }
        let need = |bone: usize| source[bone].ok_or(format!("no joint is the {}", NAMES[bone]));
        let leg: f32 = [CALF, FOOT]
            .into_iter()
            .map(|b| Ok(bvh.joints[need(b)?].offset.length()))
            .sum::<Result<f32, String>>()?;
        for bone in [
            PELVIS,
            HEAD,
            UPPER_ARM,
            UPPER_ARM + SIDE,
            LOWER_ARM,
            LOWER_ARM + SIDE,
            THIGH,
            THIGH + SIDE,
        ] {
            need(bone)?;
        }
        let (left, right) = (need(FOOT)?, need(FOOT + SIDE)?);
        if leg.is_nan() || leg <= 0.0 {
            return Err("legs without length".into());
        }
        // From the T-pose to the file's own rest.
        let mut rest = [Quat::IDENTITY; BONES];
        for side in [0, SIDE] {
            let out = if side == 0 { Vec3::X } else { Vec3::NEG_X };
            for (bone, next, goal) in [(UPPER_ARM, LOWER_ARM, out), (LOWER_ARM, HAND, out)] {
                if let Some(next) = source[next + side] {
                    let along = bvh.joints[next].offset.normalize_or(goal);
                    rest[bone + side] = Quat::from_rotation_arc(goal, along);
                }
            }
            rest[HAND + side] = rest[LOWER_ARM + side];
        }
        let step = rate / KEPT;
        let count = (bvh.frames() as f64 / step) as usize;
        let mut frames = Vec::with_capacity(count);
        // The first frame of many files is the calibration's T-pose.
        for n in 1..count {
            let joints = bvh.frame(((n as f64 * step) as usize).min(bvh.frames() - 1));
            let mut rotation = [Quat::IDENTITY; BONES];
            for bone in 0..BONES {
                rotation[bone] = match source[bone] {
                    Some(joint) => joints[joint].1 * rest[bone],
                    None => rotation[PARENT[bone]],
                };
            }
            rotation[SPINE2] = rotation[SPINE1].slerp(rotation[SPINE3], 0.5);
            frames.push(Frame {
                root: joints[need(PELVIS)?].0 / leg,
                ankles: [joints[left].0 / leg, joints[right].0 / leg],
                rotation,
            });
        }
        if frames.len() < 2 * KEPT as usize {
            return Err(format!("{:.1} s are too short", frames.len() as f64 / KEPT));
        }
        stand(&mut frames);
        let mut take = Self {
            name,
            frames,
            stops: Vec::new(),
        };
        let figure = super::body::capsule(1.7).figure;
        let curve = speeds(&figure, &|t| take.pose(&figure, t), 0.0, take.seconds());
        take.stops = minima(&curve)
            .into_iter()
            .map(|n| n as f64 / RATE)
            .collect();
        if take.stops.len() < 4 {
            return Err("the motion hardly ever stops".into());
        }
        Ok(take)
    }

    /// Its length.
    pub fn seconds(&self) -> f64 {
        (self.frames.len() - 1) as f64 / KEPT
    }

    fn at(&self, time: f64) -> (&Frame, &Frame, f32) {
        let place = (time * KEPT).clamp(0.0, (self.frames.len() - 2) as f64);
        let n = place as usize;
        (
            &self.frames[n],
            &self.frames[n + 1],
            (place - n as f64).min(1.0) as f32,
        )
    }

    fn root(&self, time: f64) -> Vec3 {
        let (a, b, u) = self.at(time);
        a.root.lerp(b.root, u)
    }

    /// The pose of a figure at a time of the take.
    fn pose(&self, figure: &Figure, time: f64) -> Pose {
        let (a, b, u) = self.at(time);
        let (leg, ankle) = (figure.leg(), figure.rest[FOOT].y);
        let world = |p: Vec3| p * leg + Vec3::Y * ankle;
        let mut pose = Pose {
            root: world(a.root.lerp(b.root, u)),
            rotation: std::array::from_fn(|n| a.rotation[n].slerp(b.rotation[n], u)),
        };
        // The hips of the file are not at the height of ours.
        pose.root.y = pose.root.y.min(figure.rest[PELVIS].y + 0.25 * leg);
        let ankles: [Vec3; 2] = std::array::from_fn(|n| world(a.ankles[n].lerp(b.ankles[n], u)));
        let far = 0.995 * leg;
        let mut lower = 0.0f32;
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let way = ankles[n] - figure.hip(&pose, side);
            let across = way.with_y(0.0).length().min(0.95 * far);
            lower = lower.max(-way.y - (far * far - across * across).sqrt());
        }
        pose.root.y -= lower.min(0.3 * leg);
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let pole = pose.rotation[THIGH + side] * Vec3::Z;
            figure.reach(&mut pose, side, ankles[n], pole);
            keep_off_floor(figure, &mut pose, side);
        }
        pose
    }
}

/// Toes do not go through the floor.
fn keep_off_floor(figure: &Figure, pose: &mut Pose, side: usize) {
    let heads = figure.heads(pose);
    let ball = heads[BALL + side];
    let low = figure.rest[BALL + side].y;
    if ball.y < low {
        let from = heads[FOOT + side];
        let flat = (ball - from).with_y(0.0).normalize_or(Vec3::Z);
        let length = ball.distance(from);
        let down = (low - from.y).clamp(-length, length);
        let goal = flat * (length * length - down * down).sqrt() + Vec3::Y * down;
        let turn =
            Quat::from_rotation_arc((ball - from).normalize_or(flat), goal.normalize_or(flat));
        pose.rotation[FOOT + side] = turn * pose.rotation[FOOT + side];
        pose.rotation[BALL + side] = turn * pose.rotation[BALL + side];
    }
}

/// Puts the floor at 0, and holds feet that stand where they are.
fn stand(frames: &mut [Frame]) {
    let mut heights: Vec<f32> = frames
        .iter()
        .map(|f| f.ankles[0].y.min(f.ankles[1].y))
        .collect();
    heights.sort_by(f32::total_cmp);
    let floor = heights[heights.len() / 50];
    for frame in frames.iter_mut() {
        frame.root.y -= floor;
        frame
            .ankles
            .iter_mut()
            .for_each(|a| a.y = (a.y - floor).max(0.0));
    }
    let dt = 1.0 / KEPT as f32;
    let ramp = (LANDING / dt) as usize;
    for side in 0..2 {
        let place: Vec<Vec3> = frames.iter().map(|f| f.ankles[side]).collect();
        let speed = |n: usize| place[n + 1].distance(place[n]) / dt;
        let stands = |n: usize| place[n].y < STANDING[0] && speed(n) < STANDING[1];
        let mut n = 0;
        while n + 1 < place.len() {
            let start = n;
            while n + 1 < place.len() && stands(n) {
                n += 1;
            }
            if n - start > 2 * ramp {
                let middle = place[start..n].iter().sum::<Vec3>() / (n - start) as f32;
                // Before and after, the foot comes and goes smoothly.
                for k in start.saturating_sub(ramp)..(n + ramp).min(place.len()) {
                    let out = start.saturating_sub(k).max((k + 1).saturating_sub(n)) as f32;
                    let held = (1.0 - out / (ramp + 1) as f32).clamp(0.0, 1.0);
                    let held = held * held * (3.0 - 2.0 * held);
                    let to = middle.with_y(place[k].y.min(middle.y + place[k].y * (1.0 - held)));
                    frames[k].ankles[side] = frames[k].ankles[side].lerp(to, held);
                }
            }
            n = n.max(start + 1);
        }
    }
}

/// A take on the beats of music.
#[derive(Clone, Debug)]
pub struct Capture {
    take: Arc<Take>,
    /// Instants of the clip and those of the take that they show.
    anchors: Vec<(f64, f64)>,
    middle: Vec3,
    facing: Quat,
    /// Instants of the clip at which the motion stops.
    pub beats: Vec<f64>,
}

/// Speeds against the recording's that still look like a person.
const SPEEDS: [f64; 2] = [0.55, 1.8];
/// How much slower than between them the motion is at beats: 0 not, 1 at rest.
const DWELL: f64 = 0.45;

impl Capture {
    /// Warps a take so that its stops fall on the beats of `pulse`, from before 0 until `end`.
    pub fn new(take: Arc<Take>, pulse: &Pulse, end: f64, random: &mut Random) -> Self {
        let mut best: Option<(f64, Self)> = None;
        // Of some beginnings, the one that fits best and strays least.
        for _ in 0..8 {
            let first = random.index(take.stops.len() - 2);
            let (anchors, strain) = warp(&take.stops, first, pulse, end);
            let capture = Self::on(take.clone(), anchors, end);
            let strays = (0..=20).map(|k| {
                let p = take.root(capture.source(end * f64::from(k) / 20.0)) - capture.middle;
                f64::from(p.with_y(0.0).length())
            });
            let cost = strain + strays.fold(0.0, f64::max);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, capture));
            }
        }
        match best {
            Some((_, capture)) => capture,
            None => Self::on(take, vec![(-1.0, 0.0), (end + 1.0, 1.0)], end),
        }
    }

    fn on(take: Arc<Take>, anchors: Vec<(f64, f64)>, end: f64) -> Self {
        let beats = anchors.iter().map(|a| a.0).collect();
        let mut capture = Self {
            take,
            anchors,
            middle: Vec3::ZERO,
            facing: Quat::IDENTITY,
            beats,
        };
        let (mut middle, mut ahead) = (Vec3::ZERO, Vec3::ZERO);
        for k in 0..=20 {
            let (frame, ..) = capture.take.at(capture.source(end * f64::from(k) / 20.0));
            middle += frame.root / 21.0;
            ahead += frame.rotation[PELVIS] * Vec3::Z;
        }
        capture.middle = middle.with_y(0.0);
        capture.facing = Quat::from_rotation_y(-ahead.x.atan2(ahead.z));
        capture
    }

    /// The instant of the take that an instant of the clip shows.
    fn source(&self, time: f64) -> f64 {
        let last = self.anchors.len() - 1;
        let n = self.anchors.partition_point(|a| a.0 <= time).clamp(1, last) - 1;
        let ((a, from), (b, to)) = (self.anchors[n], self.anchors[n + 1]);
        let u = ((time - a) / (b - a)).clamp(0.0, 1.0);
        let smooth = u * u * (3.0 - 2.0 * u);
        from + (to - from) * (u + DWELL * (smooth - u))
    }

    /// The recording's name.
    pub fn name(&self) -> &str {
        &self.take.name
    }

    /// The pose of a figure at a time of the clip.
    pub fn pose(&self, figure: &Figure, time: f64) -> Pose {
        let mut pose = self.take.pose(figure, self.source(time));
        pose.root = self.facing * (pose.root - self.middle * figure.leg());
        pose.rotation.iter_mut().for_each(|r| *r = self.facing * *r);
        pose
    }
}

/// Stops of a recording on beats, beginning with the stop number `first`, and how much that
/// strains it: each time that stop and that number of beats are next that change its speed least.
fn warp(stops: &[f64], first: usize, pulse: &Pulse, end: f64) -> (Vec<(f64, f64)>, f64) {
    let mut beat = pulse.position(-0.8).floor();
    let mut at = first;
    let mut forward = true;
    let mut anchors = vec![(pulse.time(beat), stops[at])];
    let mut strain = 0.0;
    while pulse.time(beat) < end + 1.0 {
        let mut best: Option<(f64, usize, f64)> = None;
        for skip in 1..=4usize {
            let next = if forward {
                at + skip
            } else {
                at.wrapping_sub(skip)
            };
            let Some(&stop) = stops.get(next) else { break };
            let taken = (stop - stops[at]).abs();
            for beats in 1..=8 {
                let lasts = pulse.time(beat + f64::from(beats)) - pulse.time(beat);
                let speed = taken / lasts;
                let mut cost = speed.ln().abs() + 0.5 * (skip - 1) as f64;
                if !(SPEEDS[0]..SPEEDS[1]).contains(&speed) {
                    cost += 3.0;
                }
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, next, f64::from(beats)));
                }
            }
        }
        let Some((cost, next, beats)) = best else {
            // The recording ends: it goes back the way it came.
            forward = !forward;
            strain += 0.5;
            continue;
        };
        strain += 0.3 * cost;
        beat += beats;
        at = next;
        anchors.push((pulse.time(beat), stops[at]));
    }
    (anchors, strain)
}
