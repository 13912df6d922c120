//! The move grammar: what a dancer does on each count of each move.
//!
//! A move is drafted count by count. Lengths are in leg lengths, angles in radians; x is outward
//! for arms and to the dancer's left otherwise, y up, z forward.

use crate::audio::random::Random;
use glam::Vec3;

/// Both bones of an arm, as directions in the chest's frame, x outward.
pub type Arm = [Vec3; 2];

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

const fn a(upper: [f32; 3], fore: [f32; 3]) -> Arm {
    [Vec3::from_array(upper), Vec3::from_array(fore)]
}

const DOWN: Arm = a([0.3, -1.0, 0.0], [0.15, -1.0, 0.3]);
const RUN: Arm = a([0.4, -0.9, -0.25], [0.1, 0.1, 1.0]);
const OUT: Arm = a([1.0, -0.05, 0.1], [1.0, 0.05, 0.15]);
const UP: Arm = a([0.35, 1.0, 0.1], [0.1, 1.0, 0.1]);
const FRONT: Arm = a([0.2, -0.1, 1.0], [0.0, 0.1, 1.0]);
const CROSS: Arm = a([0.3, -0.35, 0.9], [-0.9, 0.15, 0.6]);
const HIP: Arm = a([0.8, -0.7, -0.3], [-0.65, -0.55, 0.45]);
const GOAL: Arm = a([1.0, 0.0, 0.15], [0.15, 1.0, 0.2]);
const HANG: Arm = a([1.0, 0.0, 0.15], [0.1, -1.0, 0.25]);
const BEHIND: Arm = a([0.9, 0.55, -0.05], [-0.8, 0.6, -0.15]);
const HIGH: Arm = a([0.75, 0.7, 0.25], [0.75, 0.75, 0.3]);
const LOW: Arm = a([0.65, -0.75, 0.35], [0.6, -0.7, 0.5]);
const CROWN: Arm = a([0.55, 0.85, 0.25], [-0.35, 0.9, 0.25]);
const WINGS: Arm = a([0.95, -0.2, 0.3], [0.8, -0.1, 0.6]);
const BASKET: Arm = a([0.5, -0.6, 0.7], [-0.55, -0.15, 0.9]);
const FISTS: Arm = a([0.45, -0.75, 0.35], [-0.3, 0.65, 0.8]);
const PALMS: Arm = a([0.4, -0.75, 0.5], [-0.75, 0.45, 0.65]);
const CLAP: Arm = a([0.3, -0.45, 0.85], [-0.45, 0.15, 0.95]);
const FRAME: Arm = a([0.85, -0.35, 0.35], [-0.1, 0.15, 1.0]);

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
    arms: &'static [Arm],
    /// How far the genre bends its knees and turns its feet out.
    drop: f32,
    turnout: f32,
    random: &'a mut Random,
    key: Key,
    steps: [Option<Step>; 2],
    travel: Vec3,
    turn: f32,
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
fn sign(side: usize) -> f32 {
    if side == 0 { 1.0 } else { -1.0 }
}

impl<'a> Draft<'a> {
    /// An empty draft.
    pub fn new(genre: &super::genre::Genre, size: f32, random: &'a mut Random) -> Self {
        let mut key = STAND;
        key.drop += genre.low;
        key.grip = [genre.grip; 2];
        key.arms = [random.pick(genre.arms); 2];
        Draft {
            size,
            arms: genre.arms,
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
    fn hit(&mut self, counts: f32) {
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
    fn step(&mut self, side: usize, x: f32, z: f32) {
        self.touch(side, x, z);
        self.key.weight = 0.7 * sign(side);
    }

    /// Puts a foot without weight.
    fn touch(&mut self, side: usize, x: f32, z: f32) {
        let at = Vec3::new(sign(side) * (STANCE + x * self.size), 0.0, z * self.size);
        let yaw = sign(side) * self.turnout;
        self.steps[side] = Some(Step { at, yaw });
        self.key.weight = -0.6 * sign(side);
    }

    /// Holds a foot in the air.
    fn raise(&mut self, side: usize, x: f32, y: f32, z: f32) {
        self.touch(side, x, z);
        if let Some(step) = &mut self.steps[side] {
            step.at.y = y * self.size;
        }
        self.key.weight = -0.95 * sign(side);
    }

    fn arms(&mut self, left: Arm, right: Arm) {
        self.key.arms = [left, right];
    }

    fn arm(&mut self, side: usize, arm: Arm) {
        self.key.arms[side] = arm;
    }

    /// One of the genre's hands.
    fn own(&mut self) -> Arm {
        self.random.pick(self.arms)
    }

    fn low(&mut self, more: f32) {
        self.key.drop = self.drop + more * self.size;
    }

    /// Tilts hips and, the other way, chest towards a side.
    fn sway(&mut self, side: usize, much: f32) {
        let s = -sign(side) * much * self.size;
        self.key.hips.z = 0.6 * s;
        self.key.chest.z = -s;
    }

    /// Turns the chest towards a side, the head with it.
    fn twist(&mut self, side: usize, much: f32) {
        self.key.chest.x = sign(side) * much * self.size;
        self.key.head.x = 0.4 * self.key.chest.x;
    }
}

/// A move: its name, the counts it takes, and its drafting.
pub struct Move {
    /// Its name, which is its label.
    pub name: &'static str,
    /// Drafts it, beginning on a side.
    pub draft: fn(&mut Draft, usize),
}

const fn m(name: &'static str, draft: fn(&mut Draft, usize)) -> Move {
    Move { name, draft }
}

/// All moves.
pub const MOVES: &[Move] = &[
    m("bounce", |d, side| {
        let hands = [d.own(), d.own()];
        for n in 0..4 {
            let s = (side + n) % 2;
            d.sway(s, 0.2);
            d.key.weight = 0.6 * sign(s);
            d.low(if n % 2 == 0 { 0.1 } else { 0.04 });
            d.key.head.y = if n % 2 == 0 { 0.2 } else { -0.05 };
            d.arms(hands[n % 2], hands[n % 2]);
            d.hit(1.0);
        }
    }),
    m("step-touch", |d, side| {
        let (open, close) = (d.own(), d.own());
        for n in 0..2 {
            let s = (side + n) % 2;
            d.step(s, 0.35, 0.0);
            d.sway(s, 0.12);
            d.arms(open, open);
            d.hit(1.0);
            d.touch(1 - s, -0.2, 0.0);
            d.sway(1 - s, 0.1);
            d.arms(close, close);
            d.low(0.06);
            d.hit(1.0);
            d.low(0.0);
        }
    }),
    m("sway", |d, side| {
        let hands = [d.own(), d.own()];
        d.step(side, 0.2, 0.0);
        for n in 0..4 {
            let s = (side + n) % 2;
            d.key.weight = 0.75 * sign(s);
            d.sway(s, 0.4);
            d.low(0.05);
            d.arm(s, hands[0]);
            d.arm(1 - s, hands[1]);
            d.hit(1.0);
        }
    }),
    m("march", |d, side| {
        for n in 0..4 {
            let s = (side + n) % 2;
            d.raise(s, 0.0, 0.38, 0.22);
            d.step_down(1 - s);
            d.arm(s, RUN);
            d.arm(1 - s, FISTS);
            d.twist(s, 0.25);
            d.hit(1.0);
        }
        d.step(1 - (side + 1) % 2, 0.0, 0.0);
        d.step_down((side + 3) % 2);
        d.hit(1.0);
    }),
    m("kick", |d, side| {
        for n in 0..2 {
            let s = (side + n) % 2;
            d.raise(s, 0.0, 0.3, 0.55);
            d.key.chest.y = -0.12;
            d.arm(s, LOW);
            d.arm(1 - s, FRONT);
            d.hit(1.0);
            d.step(s, 0.0, 0.05);
            d.key.chest.y = 0.1;
            let hand = d.own();
            d.arms(hand, hand);
            d.low(0.1);
            d.hit(1.0);
            d.low(0.0);
        }
    }),
    m("grapevine", |d, side| {
        let hands = [d.own(), OUT];
        let go = sign(side) * 0.3 * d.size;
        for n in 0..4 {
            d.travel.x += if n < 3 { go } else { 0.0 };
            match n {
                0 | 2 => d.step(side, 0.1, 0.0),
                1 => d.step(1 - side, -0.35, -0.22),
                _ => d.touch(1 - side, -0.1, 0.05),
            }
            d.twist(side, if n == 1 { -0.4 } else { 0.15 });
            d.arms(hands[n % 2], hands[n % 2]);
            d.hit(1.0);
        }
    }),
    m("turn", |d, side| {
        let arms = if d.random.chance(0.5) {
            [CROWN, BASKET]
        } else {
            [OUT, CROSS]
        };
        for n in 0..4 {
            d.turn += sign(side) * std::f32::consts::FRAC_PI_2;
            let s = (side + n) % 2;
            d.step(s, 0.02, 0.0);
            if n == 3 {
                d.step_down(1 - s);
            }
            d.key.head.x = if n < 3 { sign(side) * 0.5 } else { 0.0 };
            d.arms(arms[n % 2], arms[n % 2]);
            d.hit(1.0);
        }
    }),
    m("raise", |d, side| {
        let (high, low) = (if d.random.chance(0.5) { UP } else { HIGH }, d.own());
        for n in 0..4 {
            let s = (side + n) % 2;
            let (here, there) = if n % 2 == 0 { (high, low) } else { (low, high) };
            d.arm(s, here);
            d.arm(1 - s, if d.size > 1.0 { here } else { there });
            d.sway(s, 0.15);
            d.low(if n % 2 == 0 { 0.0 } else { 0.12 });
            d.key.weight = 0.5 * sign(s);
            d.key.head.y = if n % 2 == 0 { -0.2 } else { 0.15 };
            d.hit(1.0);
        }
    }),
    m("point", |d, side| {
        d.step(side, 0.25, 0.0);
        for n in 0..4 {
            let s = if n < 2 { side } else { 1 - side };
            d.arm(s, if n % 2 == 0 { HIGH } else { LOW });
            d.arm(1 - s, HIP);
            d.key.weight = if n % 2 == 0 { 0.6 } else { -0.6 } * sign(s);
            d.twist(s, if n % 2 == 0 { 0.35 } else { -0.3 });
            d.sway(if n % 2 == 0 { s } else { 1 - s }, 0.3);
            d.hit(1.0);
        }
    }),
    m("lock", |d, side| {
        d.step(side, 0.2, 0.0);
        d.arms(GOAL, GOAL);
        d.hit(1.0);
        d.arms(HANG, HANG);
        d.low(0.22);
        d.key.chest.y = 0.35;
        d.hit(1.0);
        // Locked: nothing but the groove moves.
        d.hit(1.0);
        d.arm(side, FRONT);
        d.arm(1 - side, HIP);
        d.key.chest.y = -0.1;
        d.low(0.02);
        d.hit(1.0);
    }),
    m("pop", |d, side| {
        for n in 0..4 {
            let s = (side + n) % 2;
            d.key.chest.y = if n % 2 == 0 { -0.3 } else { 0.25 } * d.size;
            d.key.shoulders = if n % 2 == 0 { [0.25; 2] } else { [-0.05; 2] };
            d.arm(s, if n < 2 { HANG } else { GOAL });
            let hand = d.own();
            d.arm(1 - s, hand);
            d.twist(s, 0.35);
            d.low(if n % 2 == 0 { 0.02 } else { 0.1 });
            d.hit(1.0);
        }
        d.key.shoulders = [0.0; 2];
    }),
    m("waack", |d, side| {
        d.step(1 - side, 0.15, 0.0);
        for n in 0..4 {
            let s = if n < 2 { side } else { 1 - side };
            let (one, other) = if n % 2 == 0 {
                (BEHIND, OUT)
            } else {
                (OUT, BEHIND)
            };
            d.arm(s, one);
            d.arm(1 - s, other);
            d.key.weight = 0.6 * sign((s + n) % 2);
            d.sway((s + n) % 2, 0.3);
            d.key.head.x = 0.4 * sign(s);
            d.hit(1.0);
        }
    }),
    m("twist", |d, side| {
        for n in 0..4 {
            let s = (side + n) % 2;
            d.key.hips.x = 0.5 * sign(s) * d.size;
            d.key.chest.x = -0.9 * sign(s) * d.size;
            d.low(0.14);
            d.arm(s, RUN);
            d.arm(1 - s, BASKET);
            d.key.weight = 0.3 * sign(s);
            d.hit(1.0);
        }
    }),
    m("lunge", |d, side| {
        for n in 0..2 {
            let s = (side + n) % 2;
            d.step(s, 0.5, 0.05);
            d.low(0.2);
            d.sway(s, -0.25);
            d.arm(s, OUT);
            d.arm(1 - s, HIGH);
            d.key.head.x = 0.5 * sign(s);
            d.hit(1.0);
            d.step(s, 0.0, 0.0);
            d.key.weight = 0.0;
            d.low(0.0);
            d.key.head.x = 0.0;
            let hand = d.own();
            d.arms(hand, hand);
            d.hit(1.0);
        }
    }),
    m("salsa", |d, side| {
        for n in 0..2 {
            let (s, z) = ((side + n) % 2, if n == 0 { 0.32 } else { -0.32 });
            d.step(s, -0.05, z);
            d.sway(s, 0.35);
            d.twist(1 - s, 0.2);
            d.arms(FRAME, FRAME);
            d.hit(1.0);
            d.key.weight = -0.7 * sign(s);
            d.sway(1 - s, 0.35);
            d.twist(s, 0.2);
            d.hit(1.0);
            d.step(s, -0.02, 0.0);
            d.sway(s, 0.35);
            let hand = d.own();
            d.arm(s, hand);
            d.hit(1.0);
            // The slow one: the hips go on alone.
            d.key.weight = -0.3 * sign(s);
            d.sway(1 - s, 0.2);
            d.hit(1.0);
        }
    }),
    m("box", |d, side| {
        let hands = [d.own(), d.own()];
        for n in 0..2 {
            let (s, go) = ((side + n) % 2, if n == 0 { 0.3 } else { -0.3 });
            d.travel.z += go * d.size;
            d.step(s, -0.05, 0.0);
            d.low(0.1);
            d.key.chest.z = 0.1 * sign(s);
            d.arms(hands[0], hands[0]);
            d.hit(1.0);
            d.travel.x -= 0.25 * sign(s) * d.size * if n == 0 { 1.0 } else { -1.0 };
            d.step(1 - s, 0.05, 0.0);
            d.low(-0.02);
            d.arms(hands[1], hands[1]);
            d.hit(1.0);
            d.step(s, -0.1, 0.0);
            d.key.chest.z = -0.1 * sign(s);
            d.hit(1.0);
        }
    }),
    m("stomp", |d, side| {
        for n in 0..2 {
            let s = (side + n) % 2;
            d.raise(s, 0.12, 0.45, 0.25);
            d.arm(s, HIGH);
            d.arm(1 - s, GOAL);
            d.key.chest.y = -0.3;
            d.hit(1.0);
            d.step(s, 0.25, 0.1);
            d.low(0.2);
            d.key.chest.y = 0.45;
            d.arm(s, LOW);
            d.arm(1 - s, RUN);
            d.key.head.y = 0.25;
            d.hit(1.0);
            d.low(0.05);
            d.key.head.y = 0.0;
        }
    }),
    m("jack", |d, side| {
        for n in 0..4 {
            let s = (side + n) % 2;
            let back = n % 2 == 1;
            d.key.chest.y = if back { 0.4 } else { -0.2 } * d.size;
            d.key.hips.y = if back { -0.2 } else { 0.2 };
            d.low(if back { 0.14 } else { 0.06 });
            d.step(s, 0.05, if back { -0.1 } else { 0.1 });
            d.arms(
                if back { RUN } else { FRAME },
                if back { RUN } else { FRAME },
            );
            d.hit(1.0);
        }
        d.key.hips.y = 0.0;
    }),
    m("shuffle", |d, side| {
        for n in 0..4 {
            let s = (side + n) % 2;
            d.raise(s, 0.0, 0.3, 0.1);
            d.steps[1 - s] = Some(Step {
                at: Vec3::new(-sign(s) * STANCE, 0.0, -0.25 * d.size),
                yaw: 0.0,
            });
            d.key.chest.y = 0.15;
            d.arm(s, FISTS);
            d.arm(1 - s, RUN);
            d.hit(1.0);
        }
        d.step((side + 1) % 2, 0.0, 0.0);
        d.step_down(side);
        d.hit(1.0);
    }),
    m("toprock", |d, side| {
        for n in 0..2 {
            let s = (side + n) % 2;
            d.step(s, -0.38, 0.22);
            d.twist(1 - s, 0.5);
            d.arms(CROSS, CROSS);
            d.low(0.1);
            d.hit(1.0);
            d.step(s, 0.15, -0.02);
            d.twist(s, 0.15);
            d.arms(OUT, OUT);
            d.low(0.04);
            d.hit(1.0);
        }
    }),
    m("roll", |d, side| {
        for (n, (hips, chest, drop)) in [(-0.25, 0.4, 0.12), (0.2, -0.4, 0.04)]
            .into_iter()
            .cycle()
            .take(4)
            .enumerate()
        {
            d.key.hips.y = hips;
            d.key.chest.y = chest * d.size;
            d.key.head.y = -0.5 * chest;
            d.low(drop);
            let hand = d.own();
            d.arm((side + n) % 2, hand);
            d.key.weight = 0.4 * sign((side + n / 2) % 2);
            d.hit(1.0);
        }
        d.key.hips.y = 0.0;
    }),
    m("low", |d, side| {
        d.step(side, 0.3, 0.0);
        d.low(0.3);
        d.key.chest.y = 0.3;
        d.arms(RUN, RUN);
        d.hit(1.0);
        d.sway(side, 0.25);
        d.key.weight = 0.5 * sign(side);
        d.arm(side, LOW);
        d.hit(1.0);
        d.sway(1 - side, 0.25);
        d.key.weight = -0.5 * sign(side);
        d.arm(1 - side, LOW);
        d.hit(1.0);
        d.low(0.0);
        d.key.chest.y = -0.05;
        d.touch(side, 0.0, 0.0);
        d.key.weight = 0.0;
        d.arms(HIGH, HIGH);
        d.hit(1.0);
    }),
    m("jump", |d, side| {
        d.low(0.25);
        d.key.chest.y = 0.3;
        d.arms(RUN, RUN);
        d.hit(1.0);
        // The highest point between the counts, the landing on the next one.
        d.low(-0.26);
        d.key.chest.y = -0.05;
        d.raise(0, 0.15, 0.22, 0.0);
        d.raise(1, 0.15, 0.22, 0.0);
        d.key.weight = 0.0;
        let hand = d.own();
        d.arms(hand, hand);
        d.hit(0.5);
        d.touch(0, 0.15, 0.0);
        d.touch(1, 0.15, 0.0);
        d.key.weight = 0.0;
        d.low(0.18);
        d.hit(0.5);
        d.low(0.0);
        d.step(side, 0.0, 0.0);
        d.arm(side, HIGH);
        d.hit(1.0);
        d.step(1 - side, 0.0, 0.0);
        d.arm(1 - side, OUT);
        d.hit(1.0);
    }),
    m("extend", |d, side| {
        let back = d.random.chance(0.5);
        d.step(1 - side, 0.0, 0.1);
        d.low(0.12);
        d.arms(BASKET, BASKET);
        d.hit(1.0);
        d.low(-0.03);
        d.raise(
            side,
            if back { 0.0 } else { 0.55 },
            0.55,
            if back { -0.6 } else { 0.15 },
        );
        d.key.chest.y = if back { 0.35 } else { -0.05 };
        d.arm(side, WINGS);
        d.arm(1 - side, CROWN);
        d.hit(1.0);
        d.key.chest.y = 0.0;
        d.step(side, 0.0, -0.15);
        d.low(0.08);
        d.arms(WINGS, WINGS);
        d.hit(1.0);
        d.step(1 - side, 0.0, 0.0);
        d.low(0.0);
        d.arms(CROWN, CROWN);
        d.hit(1.0);
    }),
    m("stamp", |d, side| {
        d.key.drop = d.drop.max(0.2);
        for n in 0..4 {
            let s = (side + n) % 2;
            if n % 2 == 0 {
                d.raise(s, 0.1, 0.22, 0.1);
            } else {
                d.step(1 - s, 0.12, 0.0);
                d.key.weight = 0.0;
            }
            let hand = d.own();
            d.arm(s, hand);
            d.key.chest.z = -0.2 * sign(s);
            d.key.head = Vec3::new(0.35 * sign(s), 0.0, 0.15 * sign(s));
            d.hit(1.0);
        }
        d.key.head = Vec3::ZERO;
    }),
    m("clap", |d, side| {
        for n in 0..4 {
            let s = (side + n / 2) % 2;
            if n % 2 == 0 {
                d.step(s, 0.25, 0.0);
                d.arms(OUT, OUT);
            } else {
                d.touch(1 - s, -0.15, 0.0);
                d.arms(CLAP, CLAP);
            }
            d.key.grip = [0.0; 2];
            d.low(if n % 2 == 0 { 0.0 } else { 0.08 });
            d.sway(s, 0.15);
            d.hit(1.0);
        }
    }),
    m("bow", |d, side| {
        d.arms(PALMS, PALMS);
        d.step(side, 0.0, 0.0);
        d.low(0.08);
        d.hit(1.0);
        d.key.chest.y = 0.5;
        d.key.head.y = 0.3;
        d.hit(1.0);
        d.key.chest.y = 0.0;
        d.key.head.y = 0.0;
        d.arms(WINGS, WINGS);
        d.low(0.0);
        d.hit(1.0);
        let hand = d.own();
        d.arm(side, hand);
        d.sway(side, 0.2);
        d.hit(1.0);
    }),
];

impl Draft<'_> {
    /// Puts a foot back in its stance.
    fn step_down(&mut self, side: usize) {
        let weight = self.key.weight;
        self.touch(side, 0.0, 0.0);
        self.key.weight = weight;
    }
}

/// Sets of arms for the genres.
pub mod hands {
    use super::*;

    /// Loose, at the sides and before the body.
    pub const STREET: &[Arm] = &[DOWN, RUN, FISTS, BASKET, LOW, HIP];
    /// Hits and angles.
    pub const HITS: &[Arm] = &[GOAL, HANG, FRONT, CROSS, FISTS, HIGH];
    /// Long lines behind and out.
    pub const LINES: &[Arm] = &[OUT, BEHIND, HIGH, CROWN, HIP, UP];
    /// Round.
    pub const ROUND: &[Arm] = &[CROWN, WINGS, BASKET, WINGS];
    /// A couple's frame.
    pub const COUPLE: &[Arm] = &[FRAME, HIP, HIGH, BASKET];
    /// Wide and strong.
    pub const POWER: &[Arm] = &[RUN, GOAL, HIGH, LOW, FISTS];
    /// Hands before the chest and to the side.
    pub const TEMPLE: &[Arm] = &[PALMS, OUT, FRAME, HIP, BASKET, CROWN];
}
