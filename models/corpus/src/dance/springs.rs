// SPDX-License-Identifier: MPL-2.0
//! What swings behind a body: skirts, hair, sleeves, trouser legs, each as one damped spring.

use super::motion::Motion;
use super::skeleton::*;
use super::wardrobe::{CARRIER, SPRINGS};
use glam::Vec3;

/// Steps a second: far above the springs' own 2–3 Hz.
const RATE: f32 = 120.0;
/// Seconds before the clip in which they settle.
const BEFORE: f32 = 0.5;

/// How far each spring is off its place during a clip.
#[derive(Clone, Debug)]
pub struct Springs {
    /// Offsets, and how far a skirt flies out, from −[`BEFORE`] on.
    steps: Vec<([Vec3; SPRINGS], f32)>,
}

impl Springs {
    /// Lets them swing with a motion until `end` seconds; `hz` is how fast they swing.
    pub fn new(figure: &Figure, motion: &Motion, end: f32, hz: f32) -> Self {
        let count = ((BEFORE + end) * RATE).ceil() as usize + 2;
        let (k, damping) = (
            (std::f32::consts::TAU * hz).powi(2),
            2.0 * 0.35 * std::f32::consts::TAU * hz,
        );
        let dt = 1.0 / RATE;
        let mut steps = Vec::with_capacity(count);
        let mut state: Option<([Vec3; SPRINGS], [Vec3; SPRINGS])> = None;
        let (mut fly, mut before) = (0.0f32, 0.0f32);
        for step in 0..count {
            let time = step as f32 * dt - BEFORE;
            let pose = motion.pose(figure, f64::from(time));
            let heads = figure.heads(&pose);
            // The end of the carrier is what swings most.
            let goals: [Vec3; SPRINGS] = std::array::from_fn(|n| {
                let bone = CARRIER[n];
                let reach = match n {
                    0 => Vec3::new(0.0, -0.4, 0.0),
                    1 => Vec3::new(0.0, -0.1, -0.1),
                    _ => Vec3::ZERO,
                };
                heads[bone] + pose.rotation[bone] * reach
            });
            let (place, speed) = state.get_or_insert((goals, [Vec3::ZERO; SPRINGS]));
            let mut offsets = [Vec3::ZERO; SPRINGS];
            for n in 0..SPRINGS {
                let pull = (goals[n] - place[n]) * k - speed[n] * damping;
                speed[n] += pull * dt;
                place[n] += speed[n] * dt;
                offsets[n] = (place[n] - goals[n]).clamp_length_max(0.16);
            }
            let ahead = pose.rotation[PELVIS] * Vec3::Z;
            let yaw = ahead.x.atan2(ahead.z);
            let mut spin = yaw - before;
            spin -= std::f32::consts::TAU * (spin / std::f32::consts::TAU).round();
            before = yaw;
            if step > 0 {
                let goal = (0.02 * (spin / dt).powi(2)).min(0.5);
                fly += (goal - fly) * dt * 6.0;
            }
            steps.push((offsets, fly));
        }
        Self { steps }
    }

    /// The offsets at a time, and how far a skirt flies out as a share of its length.
    pub fn at(&self, time: f32) -> ([Vec3; SPRINGS], f32) {
        let place = ((time + BEFORE) * RATE).clamp(0.0, (self.steps.len() - 2) as f32);
        let (n, part) = (place as usize, place.fract());
        let (a, b) = (&self.steps[n], &self.steps[n + 1]);
        let offsets = std::array::from_fn(|k| a.0[k].lerp(b.0[k], part));
        (offsets, a.1 + (b.1 - a.1) * part)
    }
}
