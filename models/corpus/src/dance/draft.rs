// SPDX-License-Identifier: MPL-2.0
//! Drafting of moves, count by count. Lengths are in leg lengths, angles in radians; x is outward
//! for arms and to the dancer's left otherwise, y up, z forward.

use super::arms::{Arm, DOWN};
use super::genre::Genre;
use crate::random::Random;
use glam::Vec3;

/// Where a foot is at a count, from the dancer's centre and facing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// To the left, up (0 on the floor), forward.
    pub at: Vec3,
    /// Turned to the left.
    pub yaw: f32,
}

/// The body at a count.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The weight's place: −1 right foot, 1 left foot.
    pub weight: f32,
    /// The pelvis forward of the feet.
    pub forward: f32,
    /// The pelvis lower than standing.
    pub drop: f32,
    /// The pelvis' turn to the left, tilt forward, roll to the right.
    pub hips: Vec3,
    /// The chest against the pelvis: the same.
    pub chest: Vec3,
    /// The head against the chest: the same.
    pub head: Vec3,
    /// Left and right shoulder raised.
    pub shoulders: [f32; 2],
    /// Left and right.
    pub arms: [Arm; 2],
    /// Left and right hand: 0 open, 1 a fist.
    pub grip: [f32; 2],
}

/// Standing relaxed.
pub const STAND: Key = Key {
    weight: 0.0,
    forward: 0.0,
    drop: 0.04,
    hips: Vec3::ZERO,
    chest: Vec3::ZERO,
    head: Vec3::ZERO,
    shoulders: [0.0; 2],
    arms: [DOWN; 2],
    grip: [0.35; 2],
};

/// A move in the making.
pub struct Draft<'a> {
    /// How large.
    pub size: f32,
    /// Hands of the genre.
    arms: &'a [Arm],
    /// How far the genre bends its knees and turns its feet out.
    pub(super) drop: f32,
    pub(super) turnout: f32,
    pub(super) random: &'a mut Random,
    pub(super) key: Key,
    pub(super) steps: [Option<Step>; 2],
    pub(super) travel: Vec3,
    pub(super) turn: f32,
    at: f32,
    /// What was drafted.
    pub counts: Vec<Count>,
}

/// One count of a move.
#[derive(Clone, Debug)]
pub struct Count {
    /// Counts since the move began.
    pub at: f32,
    /// The body.
    pub key: Key,
    /// Feet that go somewhere, left and right; the other stays where it is.
    pub steps: [Option<Step>; 2],
    /// Where the centre has got to since the move began.
    pub travel: Vec3,
    /// How far the facing has turned since the move began.
    pub turn: f32,
}

/// Half the distance of the feet.
pub const STANCE: f32 = 0.15;

/// The sign of a side: 0 left, 1 right.
pub(super) fn sign(side: usize) -> f32 {
    if side == 0 { 1.0 } else { -1.0 }
}

impl<'a> Draft<'a> {
    /// An empty draft.
    pub fn new(genre: &'a Genre, size: f32, random: &'a mut Random) -> Self {
        let mut key = STAND;
        key.drop += genre.low;
        key.grip = [genre.grip; 2];
        key.arms = [random.pick(&genre.arms); 2];
        Draft {
            size,
            arms: &genre.arms,
            drop: key.drop,
            turnout: genre.turnout,
            random,
            key,
            steps: [None; 2],
            travel: Vec3::ZERO,
            turn: 0.0,
            at: 0.0,
            counts: Vec::new(),
        }
    }

    /// The next key pose, `counts` after the one before.
    pub(super) fn hit(&mut self, counts: f32) {
        self.at += counts;
        self.counts.push(Count {
            at: self.at,
            key: self.key,
            steps: std::mem::take(&mut self.steps),
            travel: self.travel,
            turn: self.turn,
        });
    }

    /// Puts a foot out of its stance by x outward and z forward, the weight going with it.
    pub(super) fn step(&mut self, side: usize, x: f32, z: f32) {
        self.touch(side, x, z);
        self.key.weight = 0.7 * sign(side);
    }

    /// Puts a foot without weight.
    pub(super) fn touch(&mut self, side: usize, x: f32, z: f32) {
        let at = Vec3::new(sign(side) * (STANCE + x * self.size), 0.0, z * self.size);
        let yaw = sign(side) * self.turnout;
        self.steps[side] = Some(Step { at, yaw });
        self.key.weight = -0.6 * sign(side);
    }

    /// Holds a foot in the air.
    pub(super) fn raise(&mut self, side: usize, x: f32, y: f32, z: f32) {
        self.touch(side, x, z);
        if let Some(step) = &mut self.steps[side] {
            step.at.y = y * self.size;
        }
        self.key.weight = -0.95 * sign(side);
    }

    pub(super) fn arms(&mut self, left: Arm, right: Arm) {
        self.key.arms = [left, right];
    }

    pub(super) fn arm(&mut self, side: usize, arm: Arm) {
        self.key.arms[side] = arm;
    }

    /// One of the genre's hands.
    pub(super) fn own(&mut self) -> Arm {
        self.random.pick(self.arms)
    }

    pub(super) fn low(&mut self, more: f32) {
        self.key.drop = self.drop + more * self.size;
    }

    /// Tilts hips and, the other way, chest towards a side.
    pub(super) fn sway(&mut self, side: usize, much: f32) {
        let s = -sign(side) * much * self.size;
        self.key.hips.z = 0.6 * s;
        self.key.chest.z = -s;
    }

    /// Turns the chest towards a side, the head with it.
    pub(super) fn twist(&mut self, side: usize, much: f32) {
        self.key.chest.x = sign(side) * much * self.size;
        self.key.head.x = 0.4 * self.key.chest.x;
    }

    /// Puts a foot back in its stance.
    pub(super) fn step_down(&mut self, side: usize) {
        let weight = self.key.weight;
        self.touch(side, 0.0, 0.0);
        self.key.weight = weight;
    }
}
