// SPDX-License-Identifier: MPL-2.0
//! Positions of the arms by name.

use glam::Vec3;

/// Both bones of an arm, as directions in the chest's frame, x outward.
pub type Arm = [Vec3; 2];

const fn a(upper: [f32; 3], fore: [f32; 3]) -> Arm {
    [Vec3::from_array(upper), Vec3::from_array(fore)]
}

pub(super) const DOWN: Arm = a([0.3, -1.0, 0.0], [0.15, -1.0, 0.3]);
pub(super) const RUN: Arm = a([0.4, -0.9, -0.25], [0.1, 0.1, 1.0]);
pub(super) const OUT: Arm = a([1.0, -0.05, 0.1], [1.0, 0.05, 0.15]);
pub(super) const UP: Arm = a([0.35, 1.0, 0.1], [0.1, 1.0, 0.1]);
pub(super) const FRONT: Arm = a([0.2, -0.1, 1.0], [0.0, 0.1, 1.0]);
pub(super) const CROSS: Arm = a([0.3, -0.35, 0.9], [-0.9, 0.15, 0.6]);
pub(super) const HIP: Arm = a([0.8, -0.7, -0.3], [-0.65, -0.55, 0.45]);
pub(super) const GOAL: Arm = a([1.0, 0.0, 0.15], [0.15, 1.0, 0.2]);
pub(super) const HANG: Arm = a([1.0, 0.0, 0.15], [0.1, -1.0, 0.25]);
pub(super) const BEHIND: Arm = a([0.9, 0.55, -0.05], [-0.8, 0.6, -0.15]);
pub(super) const HIGH: Arm = a([0.75, 0.7, 0.25], [0.75, 0.75, 0.3]);
pub(super) const LOW: Arm = a([0.65, -0.75, 0.35], [0.6, -0.7, 0.5]);
pub(super) const CROWN: Arm = a([0.55, 0.85, 0.25], [-0.35, 0.9, 0.25]);
pub(super) const WINGS: Arm = a([0.95, -0.2, 0.3], [0.8, -0.1, 0.6]);
pub(super) const BASKET: Arm = a([0.5, -0.6, 0.7], [-0.55, -0.15, 0.9]);
pub(super) const FISTS: Arm = a([0.45, -0.75, 0.35], [-0.3, 0.65, 0.8]);
pub(super) const PALMS: Arm = a([0.4, -0.75, 0.5], [-0.75, 0.45, 0.65]);
pub(super) const CLAP: Arm = a([0.3, -0.45, 0.85], [-0.45, 0.15, 0.95]);
pub(super) const FRAME: Arm = a([0.85, -0.35, 0.35], [-0.1, 0.15, 1.0]);

/// The position of that name in data files.
pub fn named(name: &str) -> Option<Arm> {
    Some(match name {
        "down" => DOWN,
        "run" => RUN,
        "out" => OUT,
        "up" => UP,
        "front" => FRONT,
        "cross" => CROSS,
        "hip" => HIP,
        "goal" => GOAL,
        "hang" => HANG,
        "behind" => BEHIND,
        "high" => HIGH,
        "low" => LOW,
        "crown" => CROWN,
        "wings" => WINGS,
        "basket" => BASKET,
        "fists" => FISTS,
        "palms" => PALMS,
        "clap" => CLAP,
        "frame" => FRAME,
        _ => return None,
    })
}
