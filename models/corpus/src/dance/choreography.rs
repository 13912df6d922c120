// SPDX-License-Identifier: MPL-2.0
//! Choreography: moves put together to phrases, tied to the beats, and made into poses.

use super::arms::Arm;
use super::draft::{Count, Draft, Key, STANCE, STAND, Step};
use super::genre::Genre;
use super::moves::MOVES;
use super::pulse::Pulse;
use super::skeleton::*;
use crate::random::Random;
use glam::{EulerRot, Quat, Vec3};

/// Variations of each move.
pub const VARIATIONS: u64 = 8;

/// A stretch of the clip in which a move is danced.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// The move.
    pub name: &'static str,
    /// Its variation.
    pub variation: u64,
    /// The phrase that it stands in: A, B …
    pub section: char,
}

/// A key pose in its place; lengths in leg lengths.
#[derive(Clone, Debug)]
struct Pinned {
    time: f64,
    key: Key,
    feet: [Step; 2],
    pelvis: Vec3,
    facing: f32,
}

/// A choreography for any body.
#[derive(Clone, Debug)]
pub struct Dance {
    pins: Vec<Pinned>,
    /// Counts at each pin since the first, for the groove between.
    counts: Vec<f64>,
    snap: f32,
    flow: f32,
    bounce: f32,
    sway: f32,
    lag: [f64; 2],
    /// Moves in order.
    pub labels: Vec<Label>,
    /// Instants at which something stops that moved.
    pub beats: Vec<f64>,
}

/// The farthest that feet stand from each other, in leg lengths.
const WIDEST: f32 = 0.95;

/// How the counts of a phrase lie on the beats.
#[derive(Clone, Copy, PartialEq)]
struct Manner {
    /// Beats of a count.
    count: f64,
    /// Beats that all is late.
    late: f64,
    /// Holds still at its end.
    hold: bool,
}

fn turned(v: Vec3, facing: f32) -> Vec3 {
    Quat::from_rotation_y(facing) * v
}

impl Dance {
    /// A choreography of `genre` on `pulse` that lasts from before 0 until `end` seconds. Moves
    /// and variations are those that `allowed` says.
    pub fn new(
        genre: &Genre,
        pulse: &Pulse,
        end: f64,
        allowed: &dyn Fn(usize, u64) -> bool,
        random: &mut Random,
    ) -> Self {
        let mut pool: Vec<(usize, u64)> = Vec::new();
        for name in &genre.moves {
            let Some(index) = MOVES.iter().position(|m| m.name == *name) else {
                continue;
            };
            pool.extend(
                (0..VARIATIONS)
                    .filter(|&v| allowed(index, v))
                    .map(|v| (index, v)),
            );
        }
        if pool.is_empty() {
            // The genre has none of what is allowed: it borrows.
            for index in 0..MOVES.len() {
                pool.extend(
                    (0..VARIATIONS)
                        .filter(|&v| allowed(index, v))
                        .map(|v| (index, v)),
                );
            }
        }
        let mut dance = Self {
            pins: Vec::new(),
            counts: Vec::new(),
            snap: genre.snap * random.range(0.8, 1.2) as f32,
            flow: genre.flow,
            bounce: genre.bounce * random.range(0.7, 1.3) as f32,
            sway: random.range(0.015, 0.035) as f32,
            lag: [random.range(0.0, 0.015), random.range(0.005, 0.03)],
            labels: Vec::new(),
            beats: Vec::new(),
        };
        let size = genre.size * random.range(0.8, 1.15) as f32;
        // Phrases of eight counts: which moves each letter stands for.
        let mut phrases: Vec<Vec<(usize, u64)>> = Vec::new();
        let order = random.pick(&[[0, 0, 1, 0], [0, 1, 0, 2], [0, 1, 2, 0], [0, 0, 1, 1]]);
        let mut beat = pulse.downbeat_before(-0.5) - 2.0;
        let facing = random.range(-0.3, 0.3) as f32;
        let mut side = random.index(2);
        dance.begin(pulse.time(beat), genre, facing);
        let (mut number, mut late) = (0, 0.0f64);
        while pulse.time(beat) < end + 1.0 {
            let letter = order[number % order.len()];
            while phrases.len() <= letter {
                let count = 1 + random.index(3);
                phrases.push((0..count).map(|_| random.pick(&pool)).collect());
            }
            // After a phrase that was late, the first count comes no earlier than its last.
            let manner = {
                let next = manner(pulse, beat, random);
                Manner {
                    count: next.count.max(2.0 * late),
                    ..next
                }
            };
            late = manner.late;
            let mut counts = 0.0;
            while counts < 7.9 {
                for &(index, variation) in &phrases[letter] {
                    let start = beat;
                    dance.add(
                        (index, variation),
                        side,
                        size,
                        genre,
                        (pulse, manner),
                        &mut beat,
                    );
                    dance.labels.push(Label {
                        start: pulse.time(start),
                        end: pulse.time(beat),
                        name: MOVES[index].name,
                        variation,
                        section: char::from(b'A' + letter as u8),
                    });
                    counts += (beat - start) / manner.count;
                    side = 1 - side;
                    if counts > 7.9 {
                        break;
                    }
                }
            }
            if manner.hold {
                // Nothing but the groove for two counts.
                for _ in 0..2 {
                    beat += manner.count;
                    if let Some(last) = dance.pins.last().cloned() {
                        dance.pin(Pinned {
                            time: pulse.time(beat + manner.late),
                            ..last
                        });
                    }
                }
            }
            number += 1;
        }
        dance
    }

    fn begin(&mut self, time: f64, genre: &Genre, facing: f32) {
        let foot = |s: f32| Step {
            at: turned(Vec3::X * (s * STANCE), facing),
            yaw: facing + s * genre.turnout,
        };
        self.pins.push(Pinned {
            time,
            key: STAND,
            feet: [foot(1.0), foot(-1.0)],
            pelvis: Vec3::ZERO,
            facing,
        });
        self.counts.push(0.0);
    }

    fn pin(&mut self, pin: Pinned) {
        let count = self.counts.last().map_or(0.0, |c| c + 1.0);
        self.counts.push(count);
        self.pins.push(pin);
    }

    /// Drafts a move and pins its counts to the beats.
    fn add(
        &mut self,
        (index, variation): (usize, u64),
        side: usize,
        size: f32,
        genre: &Genre,
        (pulse, manner): (&Pulse, Manner),
        beat: &mut f64,
    ) {
        // A variation is a thing of its own: the same whoever dances it whenever.
        let own = &mut Random::new(0x00da_4ce5, index as u64 * VARIATIONS + variation);
        let size = (size * own.range(0.75, 1.2) as f32).min(1.35);
        let mut draft = Draft::new(genre, size, own);
        (MOVES[index].draft)(&mut draft, side);
        let counts = draft.counts;
        let Some(first) = self.pins.last().cloned() else {
            return;
        };
        let feet_middle = (first.feet[0].at + first.feet[1].at) * 0.5;
        let origin = Vec3::new(feet_middle.x, 0.0, feet_middle.z);
        let length = counts.last().map_or(1.0, |c| c.at);
        // The dancer comes back to the middle.
        let back = origin * -0.35;
        for count in &counts {
            let drift = back * (count.at / length);
            self.place(count, &first, origin + drift, pulse, *beat, manner);
        }
        *beat += f64::from(length) * manner.count;
    }

    fn place(
        &mut self,
        count: &Count,
        first: &Pinned,
        origin: Vec3,
        pulse: &Pulse,
        beat: f64,
        manner: Manner,
    ) {
        let Some(last) = self.pins.last() else { return };
        let facing = first.facing + count.turn;
        let centre = origin + turned(count.travel, first.facing);
        let mut feet = last.feet;
        for (side, foot) in feet.iter_mut().enumerate() {
            let s = if side == 0 { 1.0 } else { -1.0 };
            let home = centre + turned(Vec3::X * (s * STANCE), facing);
            let astray = (foot.at - home).with_y(0.0).length() > 0.42
                || (foot.yaw - facing).abs() > 1.1
                || (foot.at - centre).dot(turned(Vec3::X, facing)) * s < -0.3;
            if let Some(step) = count.steps[side] {
                *foot = Step {
                    at: centre + turned(step.at, facing),
                    yaw: facing + step.yaw,
                };
            } else if astray || foot.at.y > 0.0 && last.time > 0.0 && count.key.weight * s > 0.3 {
                *foot = Step {
                    at: home,
                    yaw: facing,
                };
            }
        }
        // No legs are spread farther than this.
        let apart = (feet[1].at - feet[0].at).with_y(0.0);
        if apart.length() > WIDEST {
            let too_far = apart * (1.0 - WIDEST / apart.length());
            match count.steps[1] {
                Some(_) => feet[1].at -= too_far,
                None => feet[0].at += too_far,
            }
        }
        // The weight is on what stands.
        let key = count.key;
        let share = match (feet[0].at.y > 0.0, feet[1].at.y > 0.0) {
            (true, false) => 0.06,
            (false, true) => 0.94,
            _ => (0.5 + 0.42 * key.weight).clamp(0.12, 0.88),
        };
        let middle = feet[1].at.lerp(feet[0].at, share).with_y(0.0);
        let pelvis = middle + turned(Vec3::Z * (key.forward - 0.03), facing);
        let time = pulse.time(beat + f64::from(count.at) * manner.count + manner.late);
        let moved = feet != last.feet || differs(&key, &last.key);
        let pin = Pinned {
            time,
            key,
            feet,
            pelvis,
            facing,
        };
        if moved {
            self.beats.push(time);
        }
        self.pin(pin);
    }

    /// The key before a time, and how far it is to the next, 0 … 1.
    fn find(&self, time: f64) -> (usize, f32) {
        let next = self.pins.partition_point(|p| p.time <= time);
        let k = next.clamp(1, self.pins.len() - 1) - 1;
        let (a, b) = (self.pins[k].time, self.pins[k + 1].time);
        (k, ((time - a) / (b - a).max(1e-6)).clamp(0.0, 1.0) as f32)
    }

    /// How far the body is on its way: it starts from rest and comes to rest, later and faster
    /// the more it snaps, never quite at rest where it flows.
    fn ease(&self, u: f32) -> f32 {
        let late = u.powf(1.0 + self.snap);
        let smooth = late * late * late * (late * (6.0 * late - 15.0) + 10.0);
        smooth + self.flow * (u - smooth)
    }

    fn key(&self, time: f64) -> (Key, usize, f32) {
        let (k, u) = self.find(time);
        let e = self.ease(u);
        (blend(&self.pins[k].key, &self.pins[k + 1].key, e), k, u)
    }

    /// The pose of a figure at a time.
    pub fn pose(&self, figure: &Figure, time: f64) -> Pose {
        let leg = figure.leg();
        let (key, k, u) = self.key(time);
        let e = self.ease(u);
        let (from, to) = (&self.pins[k], &self.pins[k + 1]);
        // The groove: sideways once in two counts, down on each.
        let count = self.counts[k] as f32 + (self.counts[k + 1] - self.counts[k]) as f32 * u;
        let turn = std::f32::consts::PI * count;
        let sway = self.sway * turn.cos();
        // Who holds still hardly bounces.
        let moves = from.feet != to.feet || differs(&from.key, &to.key);
        let up = if moves { 0.5 } else { 0.1 } * (1.0 - (2.0 * turn).cos());
        let bounce = self.bounce * (1.0 - up);
        let facing = from.facing + (to.facing - from.facing) * e;
        let mut pose = Pose::default();
        let hips = key.hips + Vec3::new(0.0, 0.0, -1.5 * sway);
        let pelvis = Quat::from_rotation_y(facing) * euler(hips);
        pose.rotation[PELVIS] = pelvis;
        let third = euler((key.chest + Vec3::new(0.0, 0.4 * bounce, 1.5 * sway)) / 3.0);
        for bone in [SPINE1, SPINE2, SPINE3] {
            pose.rotation[bone] = pose.rotation[bone - 1] * third;
        }
        let (late, ..) = self.key(time - self.lag[0]);
        let half = euler((late.head - 0.35 * Vec3::Y * key.chest.y) / 2.0);
        pose.rotation[NECK] = pose.rotation[SPINE3] * half;
        pose.rotation[HEAD] = pose.rotation[NECK] * half;
        let ground = from.pelvis.lerp(to.pelvis, e) + turned(Vec3::X * sway, facing);
        let height = figure.rest[PELVIS].y - (key.drop + bounce) * leg;
        pose.root = (ground * leg).with_y(height);
        self.legs(figure, &mut pose, (from, to), u, facing);
        let (later, ..) = self.key(time - self.lag[1]);
        arms(figure, &mut pose, &key, &later);
        pose
    }

    /// Puts the feet where they stand or swing, with the pelvis low enough to reach them.
    fn legs(
        &self,
        figure: &Figure,
        pose: &mut Pose,
        (from, to): (&Pinned, &Pinned),
        u: f32,
        facing: f32,
    ) {
        let leg = figure.leg();
        let w = self.ease(((u - 0.06) / 0.9).clamp(0.0, 1.0));
        let mut ankles = [(Vec3::ZERO, 0.0, 0.0, 0.0f32); 2];
        let far = 0.985 * leg;
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let (a, b) = (from.feet[n], to.feet[n]);
            let mut at = a.at.lerp(b.at, w);
            let way = (b.at - a.at).length();
            let grounded = a.at.y == 0.0 && b.at.y == 0.0;
            // Nobody turns a foot far without lifting it.
            if grounded && (way > 0.01 || (b.yaw - a.yaw).abs() > 0.2) {
                at.y += (0.05 + 0.12 * way) * 4.0 * w * (1.0 - w);
            }
            let yaw = a.yaw + (b.yaw - a.yaw) * w;
            let plant = at * leg;
            let drooping = (1.6 * at.y).min(0.7);
            // A foot that is far behind or aside stands on its ball, until it lifts.
            let hip = figure.hip(pose, side);
            let need = hip.distance(figure.ankle(side, plant, yaw, drooping));
            let raised = ((need / leg - 0.975) * 6.0).clamp(0.0, 0.6);
            let pitch = drooping.max(raised * (1.0 - at.y / 0.05).max(0.0));
            let ankle = figure.ankle(side, plant, yaw, pitch);
            ankles[n] = (ankle, yaw, pitch, at.y);
        }
        // The pelvis goes no farther from a foot that stands than the leg is long; as the foot
        // lifts, that lets go.
        for _ in 0..2 {
            for (n, side) in [0, SIDE].into_iter().enumerate() {
                let (ankle, _, _, air) = ankles[n];
                let way = (ankle - figure.hip(pose, side)).with_y(0.0);
                let held = (1.0 - air / 0.05).clamp(0.0, 1.0);
                let over = (1.0 - 0.75 * far / way.length().max(1e-3)).max(0.0);
                pose.root += way * (over * held);
            }
        }
        let mut lower = 0.0f32;
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let hip = figure.hip(pose, side);
            let way = ankles[n].0 - hip;
            let across = way.with_y(0.0).length().min(0.95 * far);
            let reach = (far * far - across * across).sqrt();
            lower = lower.max(-way.y - reach);
        }
        pose.root.y -= lower;
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let (ankle, yaw, pitch, air) = ankles[n];
            let pole = turned(Vec3::Z, yaw + 0.25 * (facing - yaw));
            figure.reach(pose, side, ankle, pole);
            let foot = Quat::from_rotation_y(yaw);
            pose.rotation[FOOT + side] = foot * Quat::from_rotation_x(pitch);
            let drooping = (1.6 * air).min(0.7);
            pose.rotation[BALL + side] = foot * Quat::from_rotation_x(drooping);
        }
    }

    /// Key poses of the whole in seconds.
    pub fn times(&self) -> impl Iterator<Item = f64> + '_ {
        self.pins.iter().map(|p| p.time)
    }
}

/// Half and double time, off the beat, holds; mostly none of it.
fn manner(pulse: &Pulse, beat: f64, random: &mut Random) -> Manner {
    let period = pulse.time(beat + 4.0) - pulse.time(beat + 3.0);
    let base = if period < 0.34 { 2.0 } else { 1.0 };
    let mut manner = Manner {
        count: base,
        late: 0.0,
        hold: random.chance(0.12),
    };
    match random.index(100) {
        0..12 if period * base < 0.6 => manner.count = 2.0 * base,
        12..17 if period * base > 0.66 => manner.count = 0.5 * base,
        17..20 => manner.late = 0.5 * base,
        _ => {}
    }
    manner
}

fn differs(a: &Key, b: &Key) -> bool {
    let arms = (0..2).any(|n| (0..2).any(|k| a.arms[n][k].distance(b.arms[n][k]) > 0.2));
    arms || (a.chest - b.chest).length() + (a.hips - b.hips).length() > 0.1
        || (a.weight - b.weight).abs() > 0.2
        || (a.drop - b.drop).abs() > 0.04
}

/// Turn to the left, tilt forward, roll to the right.
fn euler(v: Vec3) -> Quat {
    Quat::from_euler(EulerRot::YXZ, v.x, v.y, v.z)
}

fn blend(a: &Key, b: &Key, e: f32) -> Key {
    let mix = |x: f32, y: f32| x + (y - x) * e;
    let arm = |x: &Arm, y: &Arm| -> Arm { std::array::from_fn(|k| swing(x[k], y[k], e)) };
    Key {
        weight: mix(a.weight, b.weight),
        forward: mix(a.forward, b.forward),
        drop: mix(a.drop, b.drop),
        hips: a.hips.lerp(b.hips, e),
        chest: a.chest.lerp(b.chest, e),
        head: a.head.lerp(b.head, e),
        shoulders: std::array::from_fn(|n| mix(a.shoulders[n], b.shoulders[n])),
        arms: std::array::from_fn(|n| arm(&a.arms[n], &b.arms[n])),
        grip: std::array::from_fn(|n| mix(a.grip[n], b.grip[n])),
    }
}

/// From one direction to another on the shortest way that does not lead through the body.
fn swing(a: Vec3, b: Vec3, e: f32) -> Vec3 {
    let (a, b) = (a.normalize(), b.normalize());
    let between = a.lerp(b, e);
    // Opposite directions pass forward and outward.
    let bulge = (1.0 - a.dot(b)).max(0.0) * e * (1.0 - e);
    (between + Vec3::new(0.35, 0.0, 0.5) * bulge).normalize_or(a)
}

/// Shoulders, arms and hands; the forearm is a little later than the upper arm.
fn arms(figure: &Figure, pose: &mut Pose, key: &Key, later: &Key) {
    let chest = pose.rotation[SPINE3];
    for (n, side) in [0, SIDE].into_iter().enumerate() {
        let out = if n == 0 { 1.0 } else { -1.0 };
        let to_side = |v: Vec3| Vec3::new(v.x * out, v.y, v.z);
        let mut upper = to_side(key.arms[n][0]).normalize();
        let mut fore = to_side(later.arms[n][1]).normalize();
        // The collar bone goes up with the arm.
        let raise = key.shoulders[n] + 0.35 * upper.y.max(0.0);
        let collar = Quat::from_rotation_z(raise * out);
        keep_off_trunk(figure, side, collar, &mut upper, &mut fore);
        pose.rotation[CLAVICLE + side] = chest * collar;
        let [a, b] = arm(side, chest, chest * upper, chest * fore);
        pose.rotation[UPPER_ARM + side] = a;
        pose.rotation[LOWER_ARM + side] = b;
        pose.rotation[HAND + side] = b * Quat::from_rotation_z(-0.15 * out);
        let curl = |share: f32| Quat::from_rotation_z(-share * key.grip[n] * out);
        pose.rotation[FINGERS + side] = pose.rotation[HAND + side] * curl(1.2);
        pose.rotation[TIPS + side] = pose.rotation[FINGERS + side] * curl(1.6);
        pose.rotation[THUMB + side] = pose.rotation[HAND + side];
    }
}
