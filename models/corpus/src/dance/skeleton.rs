// SPDX-License-Identifier: MPL-2.0
//! A dancer's bones: one skeleton for every body, every move and every motion capture.
//!
//! Metres, y up; the dancer looks along +z and has its left at +x. A pose gives each bone's
//! rotation against the T-pose in world axes, so that it means the same on every body.

use glam::{Affine3A, Mat3, Quat, Vec3};

/// Number of bones.
pub const BONES: usize = 28;
/// Bones of the trunk; each follows the one before it.
pub const PELVIS: usize = 0;
/// Waist.
pub const SPINE1: usize = 1;
/// Loin.
pub const SPINE2: usize = 2;
/// Chest.
pub const SPINE3: usize = 3;
/// Neck.
pub const NECK: usize = 4;
/// Head.
pub const HEAD: usize = 5;
/// Bones of a side: the left ones start here, the right ones [`SIDE`] later.
pub const CLAVICLE: usize = 6;
/// Shoulder to elbow.
pub const UPPER_ARM: usize = 7;
/// Elbow to wrist.
pub const LOWER_ARM: usize = 8;
/// Palm.
pub const HAND: usize = 9;
/// First joints of the four fingers.
pub const FINGERS: usize = 10;
/// The rest of them.
pub const TIPS: usize = 11;
/// Thumb.
pub const THUMB: usize = 12;
/// Hip to knee.
pub const THIGH: usize = 13;
/// Knee to ankle.
pub const CALF: usize = 14;
/// Foot.
pub const FOOT: usize = 15;
/// Toes.
pub const BALL: usize = 16;
/// From a left bone to the right one.
pub const SIDE: usize = 11;

/// What each bone hangs on; the pelvis on itself.
pub const PARENT: [usize; BONES] = [
    0, 0, 1, 2, 3, 4, 3, 6, 7, 8, 9, 10, 9, 0, 13, 14, 15, 3, 17, 18, 19, 20, 21, 20, 0, 24, 25, 26,
];

/// Names of the bones, which are the part labels 1 … [`BONES`] of the truth.
pub const NAMES: [&str; BONES] = [
    "pelvis",
    "waist",
    "loin",
    "chest",
    "neck",
    "head",
    "l-clavicle",
    "l-upper-arm",
    "l-lower-arm",
    "l-hand",
    "l-fingers",
    "l-tips",
    "l-thumb",
    "l-thigh",
    "l-calf",
    "l-foot",
    "l-ball",
    "r-clavicle",
    "r-upper-arm",
    "r-lower-arm",
    "r-hand",
    "r-fingers",
    "r-tips",
    "r-thumb",
    "r-thigh",
    "r-calf",
    "r-foot",
    "r-ball",
];

/// The joints of the truth, as those of a token of [`motion_diffusion`](dance_rhythm::motion_diffusion): their number,
/// their names, and the lines between them that draw a stick figure.
pub use dance_rhythm::motion_diffusion::JOINTS;
pub use dance_rhythm::motion_diffusion::pose::{NAMES as JOINT_NAMES, STICKS};

/// A body's bones at rest.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Start of each bone, above a floor at y = 0.
    pub rest: [Vec3; BONES],
    /// Ends that no bone starts at: crown, left and right finger tips, left and right toes.
    pub ends: [Vec3; 5],
    /// From the rest pose to the T-pose.
    pub straighten: [Quat; BONES],
    /// Half width and half depth of the trunk, for arms to stay out of.
    pub trunk: [f32; 2],
}

/// Bones of a moment.
#[derive(Clone, Debug)]
pub struct Pose {
    /// Where the pelvis is.
    pub root: Vec3,
    /// World rotation of each bone against the T-pose.
    pub rotation: [Quat; BONES],
}

impl Default for Pose {
    fn default() -> Self {
        Self {
            root: Vec3::ZERO,
            rotation: [Quat::IDENTITY; BONES],
        }
    }
}

impl Figure {
    /// A figure from where its bones start.
    pub fn new(rest: [Vec3; BONES], ends: [Vec3; 5], trunk: [f32; 2]) -> Self {
        let mut straighten = [Quat::IDENTITY; BONES];
        for side in [0, SIDE] {
            let out = if side == 0 { Vec3::X } else { Vec3::NEG_X };
            let turn = |from: usize, to: usize, goal: Vec3| {
                let along = (rest[to + side] - rest[from + side]).normalize_or(goal);
                Quat::from_rotation_arc(along, goal)
            };
            straighten[UPPER_ARM + side] = turn(UPPER_ARM, LOWER_ARM, out);
            straighten[THIGH + side] = turn(THIGH, CALF, Vec3::NEG_Y);
            straighten[CALF + side] = turn(CALF, FOOT, Vec3::NEG_Y);
            // The hand goes with the forearm.
            for bone in LOWER_ARM..=THUMB {
                straighten[bone + side] = turn(LOWER_ARM, HAND, out);
            }
        }
        Self {
            rest,
            ends,
            straighten,
            trunk,
        }
    }

    fn length(&self, from: usize, to: usize) -> f32 {
        self.rest[from].distance(self.rest[to])
    }

    /// Hip to ankle.
    pub fn leg(&self) -> f32 {
        self.length(THIGH, CALF) + self.length(CALF, FOOT)
    }

    /// Shoulder to wrist.
    pub fn arm(&self) -> f32 {
        self.length(UPPER_ARM, LOWER_ARM) + self.length(LOWER_ARM, HAND)
    }

    /// Height of the whole.
    pub fn height(&self) -> f32 {
        self.ends[0].y
    }

    /// Where each bone starts.
    pub fn heads(&self, pose: &Pose) -> [Vec3; BONES] {
        let mut heads = [pose.root; BONES];
        for bone in 1..BONES {
            let parent = PARENT[bone];
            heads[bone] = heads[parent]
                + pose.rotation[parent]
                    * (self.straighten[parent] * (self.rest[bone] - self.rest[parent]));
        }
        heads
    }

    /// The transform of each bone's skin from rest to the pose.
    pub fn skin(&self, pose: &Pose) -> [Affine3A; BONES] {
        let heads = self.heads(pose);
        std::array::from_fn(|bone| {
            let turn = pose.rotation[bone] * self.straighten[bone];
            Affine3A::from_rotation_translation(turn, heads[bone] - turn * self.rest[bone])
        })
    }

    /// The joints of the truth in the world, as [`JOINT_NAMES`].
    pub fn joints(&self, pose: &Pose) -> [Vec3; JOINTS] {
        let heads = self.heads(pose);
        let end = |n: usize, bone: usize| {
            heads[bone]
                + pose.rotation[bone] * (self.straighten[bone] * (self.ends[n] - self.rest[bone]))
        };
        let mut out = [Vec3::ZERO; JOINTS];
        out[..4].copy_from_slice(&[heads[PELVIS], heads[SPINE3], heads[NECK], end(0, HEAD)]);
        for (n, side) in [0, SIDE].into_iter().enumerate() {
            let at = 4 + 8 * n;
            for (k, bone) in [UPPER_ARM, LOWER_ARM, HAND].into_iter().enumerate() {
                out[at + k] = heads[bone + side];
            }
            out[at + 3] = end(1 + n, TIPS + side);
            for (k, bone) in [THIGH, CALF, FOOT].into_iter().enumerate() {
                out[at + 4 + k] = heads[bone + side];
            }
            out[at + 7] = end(3 + n, BALL + side);
        }
        out
    }

    /// Turns a leg so that its ankle is at `ankle` (or as near as it reaches), the knee towards
    /// `pole`, by the law of cosines.
    pub fn reach(&self, pose: &mut Pose, side: usize, ankle: Vec3, pole: Vec3) {
        let hip = self.hip(pose, side);
        let upper = self.length(THIGH + side, CALF + side);
        let lower = self.length(CALF + side, FOOT + side);
        let way = ankle - hip;
        let distance = way
            .length()
            .clamp(0.3 * (upper + lower), 0.9995 * (upper + lower));
        let along = way.normalize_or(Vec3::NEG_Y);
        let hinge = (-along).cross(pole).normalize_or(Vec3::X);
        let cosine =
            |a: f32, b: f32, c: f32| ((a * a + b * b - c * c) / (2.0 * a * b)).clamp(-1.0, 1.0);
        let at_hip = cosine(upper, distance, lower).acos();
        let at_knee = std::f32::consts::PI - cosine(upper, lower, distance).acos();
        // Against the hinge the knee goes forward, with it the calf goes back.
        let thigh = Quat::from_axis_angle(hinge, -at_hip) * along;
        let calf = Quat::from_axis_angle(hinge, at_knee - at_hip) * along;
        for (bone, down) in [(THIGH, thigh), (CALF, calf)] {
            let axes = Mat3::from_cols(hinge, -down, hinge.cross(-down));
            pose.rotation[bone + side] = Quat::from_mat3(&axes);
        }
    }

    /// Where a hip is.
    pub fn hip(&self, pose: &Pose, side: usize) -> Vec3 {
        pose.root + pose.rotation[PELVIS] * (self.rest[THIGH + side] - self.rest[PELVIS])
    }

    /// Where the ankle is over a foot that stands at `plant` on the floor, turned by `yaw`, its
    /// heel raised by `pitch`, the ball staying where it is.
    pub fn ankle(&self, side: usize, plant: Vec3, yaw: f32, pitch: f32) -> Vec3 {
        let ankle = self.rest[FOOT + side];
        let ball = self.rest[BALL + side] - ankle;
        let flat = Quat::from_rotation_y(yaw);
        let raised = flat * Quat::from_rotation_x(pitch);
        plant + Vec3::Y * ankle.y + flat * ball - raised * ball
    }
}

/// Rotations of an arm's bones from where the upper arm and the forearm point, in the world.
///
/// The elbow is a hinge: both turn about the same axis. A straight arm leaves it open, and takes
/// that of an arm turned down, up or forward the shortest way.
pub fn arm(side: usize, frame: Quat, upper: Vec3, fore: Vec3) -> [Quat; 2] {
    let out = if side == 0 { 1.0 } else { -1.0 };
    let at_rest = frame * (Vec3::X * out);
    let reference = Quat::from_rotation_arc(at_rest, upper) * (frame * Vec3::Y);
    let hinge = fore.cross(upper) * out + 0.2 * reference;
    [upper, fore].map(|along| {
        let hinge = (hinge - along * hinge.dot(along)).normalize_or(reference);
        let x = along * out;
        Quat::from_mat3(&Mat3::from_cols(x, hinge, x.cross(hinge)))
    })
}

/// Keeps elbow and hand out of the trunk, an upright elliptic cylinder.
pub fn keep_off_trunk(
    figure: &Figure,
    side: usize,
    collar: Quat,
    upper: &mut Vec3,
    fore: &mut Vec3,
) {
    let rest = |bone: usize| figure.rest[bone + side];
    let root = figure.rest[CLAVICLE + side];
    let shoulder = root + collar * (rest(UPPER_ARM) - root);
    let lengths = [
        rest(UPPER_ARM).distance(rest(LOWER_ARM)),
        rest(LOWER_ARM).distance(rest(HAND)),
    ];
    let axis = Vec3::new(0.0, 0.0, figure.rest[SPINE2].z);
    let pushed = |p: Vec3, room: f32| {
        let (a, b) = (figure.trunk[0] + room, figure.trunk[1] + room);
        let from = p - axis;
        let inside = ((from.x / a).powi(2) + (from.z / b).powi(2)).sqrt();
        // Over the shoulders there is only a neck.
        let high = ((p.y - shoulder.y + 0.05) / 0.15).clamp(0.0, 1.0);
        let scale = (1.0 / inside.max(1e-3)).clamp(1.0, 3.0);
        let scale = 1.0 + (scale - 1.0) * (1.0 - high);
        axis + Vec3::new(from.x * scale, from.y, from.z * scale)
    };
    let elbow = pushed(shoulder + *upper * lengths[0], 0.035);
    *upper = (elbow - shoulder).normalize_or(*upper);
    let elbow = shoulder + *upper * lengths[0];
    // The hand is longer than the forearm: its palm stays out, too.
    let wrist = pushed(elbow + *fore * (1.3 * lengths[1]), 0.05);
    *fore = (wrist - elbow).normalize_or(*fore);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_reaches_where_it_is_told_with_its_bones_as_long_as_at_rest() {
        let figure = super::super::body::capsule(1.7).figure;
        let mut pose = Pose {
            root: figure.rest[PELVIS] - Vec3::Y * 0.15,
            ..Pose::default()
        };
        for side in [0, SIDE] {
            let goal = figure.ankle(side, Vec3::new(0.2, 0.0, 0.1), 0.3, 0.4);
            figure.reach(&mut pose, side, goal, Vec3::Z);
            let heads = figure.heads(&pose);
            assert!(heads[FOOT + side].distance(goal) < 1e-4);
            assert!(heads[CALF + side].z > 0.5 * (heads[THIGH + side].z + goal.z));
        }
    }

    #[test]
    fn arms_point_where_they_are_told_and_bend_at_a_hinge() {
        let figure = super::super::body::capsule(1.7).figure;
        for side in [0, SIDE] {
            let mut pose = Pose::default();
            let (upper, fore) = (Vec3::new(0.3, -0.9, 0.2).normalize(), Vec3::Z);
            let [a, b] = arm(side, Quat::IDENTITY, upper, fore);
            pose.rotation[UPPER_ARM + side] = a;
            for bone in LOWER_ARM..=THUMB {
                pose.rotation[bone + side] = b;
            }
            let heads = figure.heads(&pose);
            let is = (heads[LOWER_ARM + side] - heads[UPPER_ARM + side]).normalize();
            assert!(is.distance(upper) < 1e-4, "{is}");
            let is = (heads[HAND + side] - heads[LOWER_ARM + side]).normalize();
            assert!(is.distance(fore) < 1e-4, "{is}");
            let hinges = [a * Vec3::Y, b * Vec3::Y];
            assert!(hinges[0].dot(hinges[1]) > 0.9, "{hinges:?}");
        }
    }
}
