//! Positions of arms by name, and the sets of them that genres use.

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
