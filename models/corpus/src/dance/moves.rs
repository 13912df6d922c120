// SPDX-License-Identifier: MPL-2.0
//! The move grammar: what a dancer does on each count of each move.

use super::arms::*;
use super::draft::*;
use glam::Vec3;

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
