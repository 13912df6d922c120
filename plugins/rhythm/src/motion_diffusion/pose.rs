// SPDX-License-Identifier: MPL-2.0
//! Joints in a picture, and tokens.
//!
//! A token says how far each joint is from where it is in the reference picture, in sizes of the
//! reference's body ([`Reference::size`]) times [`SCALE`], so that neither the picture's size nor
//! the dancer's matters, and every number has a deviation of about 1.

use super::{COORDINATES, JOINTS};

/// Name of the tokens, as it stands on the model's card; other tokens have another name.
pub const TOKEN: &str = "joints-20-1";

/// The joints of a token.
pub const NAMES: [&str; JOINTS] = [
    "pelvis",
    "chest",
    "neck",
    "crown",
    "l-shoulder",
    "l-elbow",
    "l-wrist",
    "l-fingers",
    "l-hip",
    "l-knee",
    "l-ankle",
    "l-toes",
    "r-shoulder",
    "r-elbow",
    "r-wrist",
    "r-fingers",
    "r-hip",
    "r-knee",
    "r-ankle",
    "r-toes",
];

/// Lines between joints that draw a stick figure.
pub const STICKS: [(usize, usize); 19] = [
    (0, 1),
    (1, 2),
    (2, 3),
    (2, 4),
    (4, 5),
    (5, 6),
    (6, 7),
    (0, 8),
    (8, 9),
    (9, 10),
    (10, 11),
    (2, 12),
    (12, 13),
    (13, 14),
    (14, 15),
    (0, 16),
    (16, 17),
    (17, 18),
    (18, 19),
];

/// The joint that is where a joint is in a mirror.
pub const MIRRORED: [usize; JOINTS] = [
    0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 19, 4, 5, 6, 7, 8, 9, 10, 11,
];

/// What distances from the reference are multiplied by, for each joint: one over their deviation in
/// sizes of the body, over the training data.
pub const SCALE: [f32; JOINTS] = [
    10.0, 9.0, 8.0, 7.5, 8.0, 5.0, 3.5, 3.0, 10.0, 9.0, 8.0, 7.0, 8.0, 5.0, 3.5, 3.0, 10.0, 9.0,
    8.0, 7.0,
];

/// Mean lengths of [`STICKS`] in sizes of the body, over 1,200 dancers of the training data who
/// stand.
const LENGTHS: [f32; STICKS.len()] = [
    0.139, 0.198, 0.158, 0.126, 0.155, 0.147, 0.117, 0.066, 0.240, 0.266, 0.124, 0.126, 0.155,
    0.147, 0.117, 0.066, 0.240, 0.266, 0.124,
];
/// Bones look this much longer than they are where they come near to the camera.
const NEAR: f32 = 1.08;

/// From joint to joint up the trunk, and down a leg: what a body's size is measured along.
const TRUNK: [usize; 4] = [0, 1, 2, 3];
const LEGS: [[usize; 3]; 2] = [[8, 9, 10], [16, 17, 18]];

/// The joints of the reference picture: columns and rows, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    joints: [[f32; 2]; JOINTS],
    size: f32,
}

impl Reference {
    /// From the joints of a picture. None where they are no body: a number is not finite, or all
    /// are in one place.
    pub fn new(joints: [[f32; 2]; JOINTS]) -> Option<Self> {
        let along = |path: &[usize]| -> f32 {
            path.windows(2)
                .map(|pair| {
                    let ([ax, ay], [bx, by]) = (joints[pair[0]], joints[pair[1]]);
                    (ax - bx).hypot(ay - by)
                })
                .sum()
        };
        // A leg that is drawn up or points at the camera looks short: the longer one counts.
        let legs = LEGS.map(|leg| along(&leg));
        let size = along(&TRUNK) + legs[0].max(legs[1]);
        let finite = joints.iter().flatten().all(|x| x.is_finite());
        (finite && size > f32::EPSILON).then_some(Self { joints, size })
    }

    /// Length of the trunk with the head and of a leg down to the ankle, in the picture: about the
    /// height of somebody who stands.
    pub fn size(&self) -> f32 {
        self.size
    }

    /// The joints.
    pub fn joints(&self) -> &[[f32; 2]; JOINTS] {
        &self.joints
    }

    /// The reference as the network sees it: [`COORDINATES`] numbers, where each joint is from the
    /// pelvis, in sizes of the body.
    pub fn condition(&self) -> [f32; COORDINATES] {
        let root = self.joints[0];
        std::array::from_fn(|n| (self.joints[n / 2][n % 2] - root[n % 2]) / self.size)
    }

    /// The token of a pose.
    pub fn token(&self, joints: &[[f32; 2]; JOINTS]) -> [f32; COORDINATES] {
        std::array::from_fn(|n| {
            let (joint, axis) = (n / 2, n % 2);
            (joints[joint][axis] - self.joints[joint][axis]) / self.size * SCALE[joint]
        })
    }

    /// A pose in which no bone is longer than one can be: bones that are too long are shortened
    /// from the pelvis outward, and what hangs on them moves along.
    pub fn limited(&self, joints: &[[f32; 2]; JOINTS]) -> [[f32; 2]; JOINTS] {
        let mut out = *joints;
        for (&(parent, child), usual) in STICKS.iter().zip(LENGTHS) {
            let between = |of: &[[f32; 2]; JOINTS]| [0, 1].map(|x| of[child][x] - of[parent][x]);
            let seen = between(&self.joints);
            let longest = NEAR * (usual * self.size).max(seen[0].hypot(seen[1]));
            let way = between(joints);
            let share = (longest / way[0].hypot(way[1]).max(f32::MIN_POSITIVE)).min(1.0);
            out[child] = [0, 1].map(|x| out[parent][x] + share * way[x]);
        }
        out
    }

    /// The pose of a token, which has [`COORDINATES`] numbers; what is missing is as in the
    /// reference.
    pub fn pose(&self, token: &[f32]) -> [[f32; 2]; JOINTS] {
        std::array::from_fn(|joint| {
            std::array::from_fn(|axis| {
                let moved = token.get(2 * joint + axis).copied().unwrap_or(0.0);
                self.joints[joint][axis] + moved * self.size / SCALE[joint]
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> [[f32; 2]; JOINTS] {
        std::array::from_fn(|n| [100.0 + 3.0 * (n as f32).sin(), 200.0 - 10.0 * n as f32])
    }

    #[test]
    fn a_token_is_its_pose_whatever_the_size_of_the_picture() {
        let reference = Reference::new(standing()).unwrap();
        let pose = standing().map(|[x, y]| [x + 7.0, y * 0.9]);
        let token = reference.token(&pose);
        for (a, b) in reference
            .pose(&token)
            .iter()
            .flatten()
            .zip(pose.iter().flatten())
        {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let twice = |joints: [[f32; 2]; JOINTS]| joints.map(|[x, y]| [2.0 * x + 5.0, 2.0 * y]);
        let larger = Reference::new(twice(standing())).unwrap();
        for (a, b) in larger.token(&twice(pose)).iter().zip(token) {
            assert!((a - b).abs() < 1e-4);
        }
        for (a, b) in larger.condition().iter().zip(reference.condition()) {
            assert!((a - b).abs() < 1e-4);
        }
        assert_eq!(reference.token(&standing()), [0.0; COORDINATES]);
    }

    #[test]
    fn bones_that_are_too_long_are_shortened_and_others_stay() {
        let reference = Reference::new(standing()).unwrap();
        let near = |a: [[f32; 2]; JOINTS], b: [[f32; 2]; JOINTS]| {
            a.iter()
                .flatten()
                .zip(b.iter().flatten())
                .all(|(a, b)| (a - b).abs() < 1e-3)
        };
        assert!(near(reference.limited(&standing()), standing()));
        // An elbow far away takes its hand along, and comes back with it.
        let mut torn = standing();
        for joint in [5, 6, 7] {
            torn[joint][0] += 500.0;
        }
        let limited = reference.limited(&torn);
        let far = |pose: [[f32; 2]; JOINTS], (a, b): (usize, usize)| {
            (pose[a][0] - pose[b][0]).hypot(pose[a][1] - pose[b][1])
        };
        for (bone, length) in STICKS.into_iter().zip(LENGTHS) {
            let longest = (length * reference.size()).max(far(standing(), bone));
            assert!(far(limited, bone) < NEAR * longest + 1e-3, "{bone:?}");
        }
        assert!((far(limited, (5, 6)) - far(torn, (5, 6))).abs() < 1e-3);
        assert!(limited[6][0] > standing()[6][0] && limited[6][0] < torn[6][0]);
    }

    #[test]
    fn what_is_no_body_is_no_reference() {
        assert!(Reference::new([[3.0, 4.0]; JOINTS]).is_none());
        let mut broken = standing();
        broken[5][1] = f32::NAN;
        assert!(Reference::new(broken).is_none());
    }

    #[test]
    fn a_mirror_of_a_mirror_is_what_it_was() {
        for n in 0..JOINTS {
            assert_eq!(MIRRORED[MIRRORED[n]], n);
            let other = NAMES[MIRRORED[n]];
            let expected = match NAMES[n].split_at(2) {
                ("l-", rest) => format!("r-{rest}"),
                ("r-", rest) => format!("l-{rest}"),
                _ => NAMES[n].to_owned(),
            };
            assert_eq!(other, expected);
        }
    }
}
