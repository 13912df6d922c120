// SPDX-License-Identifier: MPL-2.0
//! Windows of a dance in the picture, as the network learns them.

use super::camera::Projection;
use super::pulse::Pulse;
use super::skeleton::JOINTS;
use crate::random::Random;
use dance_rhythm::motion_diffusion::music::{self, Position, VALUES};
use dance_rhythm::motion_diffusion::pose::{MIRRORED, Reference};
use dance_rhythm::motion_diffusion::{COORDINATES, Clock, PER_BEAT, PER_SECOND, TOKENS};
use glam::{Mat3, Vec3, Vec3A};
use half::f16;
use std::f32::consts::{PI, TAU};

/// Joints in the world, in metres.
pub type Pose = [Vec3; JOINTS];

/// A song with dances to it.
pub struct Song {
    /// Frames of sound, see [`music::Listener`].
    pub sound: Vec<f16>,
    /// Its beats.
    pub pulse: Pulse,
    /// Dances × `length` × joints × 3, in metres.
    pub joints: Vec<f16>,
    /// Dances × joints × 3.
    pub standing: Vec<f16>,
    /// Frames of a dance, [`FPS`](super::performances::FPS) a second.
    pub length: usize,
    /// What is danced, index into [`genres::shipped`](super::genres::shipped).
    pub genres: Vec<usize>,
    /// Height of the dancers.
    pub heights: Vec<f32>,
}

/// Beats shorter than this are counted in twos, as dancers do.
const FASTEST: f64 = 0.34;
/// Nobody turns farther from the reference than this: a picture does not show its back.
const FARTHEST: f32 = 70.0 * PI / 180.0;
/// Mean speed of the joints of a usual dance, in sizes of the body a second.
pub const USUAL_SPEED: f32 = 0.45;

impl Song {
    /// Dances to it.
    pub fn dances(&self) -> usize {
        self.genres.len()
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        self.length.saturating_sub(1) as f64 / super::performances::FPS
    }

    /// Beats that a dancer counts as one.
    fn count(&self) -> f64 {
        if self.pulse.period() < FASTEST {
            2.0
        } else {
            1.0
        }
    }

    /// Where an instant is in the music that is counted.
    pub fn position(&self, time: f64) -> Position {
        let (beat, meter) = self.pulse.in_bars(time);
        let next = self.pulse.time(self.pulse.position(time) + 1.0);
        let count = self.count();
        Position {
            beat: beat / count,
            bar: beat / meter,
            tempo: 60.0 / ((next - time) * count),
        }
    }

    /// The instants of `tokens` tokens from `start` on, and one more.
    pub fn instants(&self, start: f64, tokens: usize, clock: Clock) -> Vec<f64> {
        match clock {
            Clock::Seconds => (0..=tokens)
                .map(|n| start + n as f64 / PER_SECOND)
                .collect(),
            Clock::Beats => {
                let (first, step) = (self.pulse.position(start), self.count() / PER_BEAT as f64);
                (0..=tokens)
                    .map(|n| self.pulse.time(first + n as f64 * step))
                    .collect()
            }
        }
    }

    /// What the network hears at each of the instants but the last.
    pub fn music(&self, instants: &[f64], beats: bool) -> Vec<f32> {
        let (Some(first), Some(last)) = (instants.first(), instants.last()) else {
            return Vec::new();
        };
        // Only what is looked at is made float32.
        let frame = |t: f64| ((t * 100.0) as usize) * music::SOUND;
        let from = frame((first - 1.0).max(0.0)).min(self.sound.len());
        let to = frame((last + 1.0).max(0.0)).clamp(from, self.sound.len());
        let frames: Vec<f32> = self.sound[from..to].iter().map(|x| x.to_f32()).collect();
        let skipped = (from / music::SOUND) as f64 / 100.0;
        instants
            .windows(2)
            .flat_map(|pair| {
                let position = beats.then(|| self.position(pair[0]));
                music::token(&frames, pair[0] - skipped, pair[1] - pair[0], position)
            })
            .collect()
    }

    fn frame(&self, dance: usize, t: i64) -> Pose {
        let t = t.clamp(0, self.length as i64 - 1) as usize;
        unpack(&self.joints[(dance * self.length + t) * JOINTS * 3..])
    }

    /// The dancer before the dance.
    pub fn standing(&self, dance: usize) -> Pose {
        unpack(&self.standing[dance * JOINTS * 3..])
    }

    /// The joints at an instant: between frames along the curves of E. Catmull and R. Rom, 1974.
    pub fn pose(&self, dance: usize, time: f64) -> Pose {
        let at = time * super::performances::FPS;
        let k = at.floor();
        let u = (at - k) as f32;
        let [a, b, c, d] = [-1, 0, 1, 2].map(|n| self.frame(dance, k as i64 + n));
        std::array::from_fn(|j| {
            let (a, b, c, d) = (a[j], b[j], c[j], d[j]);
            let (one, two) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d);
            b + 0.5 * u * (one + u * (two + u * (3.0 * (b - c) + d - a)))
        })
    }
}

fn unpack(values: &[f16]) -> Pose {
    std::array::from_fn(|j| Vec3::from([0, 1, 2].map(|axis| values[3 * j + axis].to_f32())))
}

/// Which way the trunk faces on the floor: 0 along z, to the dancer's left from there on.
pub fn facing(pose: &Pose) -> f32 {
    // Hips and shoulders, from right to left.
    let across = pose[8] - pose[16] + pose[4] - pose[12];
    let ahead = across.cross(Vec3::Y);
    ahead.x.atan2(ahead.z)
}

/// The angle between −π and π.
fn wrapped(angle: f32) -> f32 {
    angle - TAU * (angle / TAU).round()
}

/// A camera that stands, for one dancer.
pub struct View {
    projection: Projection,
    mirrored: bool,
}

impl View {
    /// A camera that looks at `target` from `azimuth` and `elevation`, so that a dancer of a height
    /// takes `share` of the picture's; its vertical angle is `angle`. All angles are in radians.
    /// Pictures are one unit high.
    pub fn new(
        target: Vec3,
        [azimuth, elevation, angle]: [f32; 3],
        height: f32,
        share: f32,
        mirrored: bool,
    ) -> Self {
        let distance = height / (2.0 * share * (0.5 * angle).tan());
        let out = Vec3::new(
            azimuth.sin() * elevation.cos(),
            elevation.sin(),
            azimuth.cos() * elevation.cos(),
        );
        let ahead = -out;
        let right = ahead.cross(Vec3::Y).normalize_or(Vec3::X);
        let axes = Mat3::from_cols(right, -right.cross(ahead), ahead);
        Self {
            projection: Projection {
                position: Vec3A::from(target + out * distance),
                axes: [axes.x_axis.into(), axes.y_axis.into(), axes.z_axis.into()],
                focal: 0.5 / (0.5 * angle).tan(),
                centre: [0.5, 0.5],
            },
            mirrored,
        }
    }

    /// Columns and rows of the joints, and how far each is behind the pelvis in units of the
    /// picture there.
    pub fn joints(&self, pose: &Pose) -> ([[f32; 2]; JOINTS], [f32; JOINTS]) {
        let seen = pose.map(|p| self.projection.project(p.into()));
        let near = seen[0][2];
        let at = |j: usize| if self.mirrored { MIRRORED[j] } else { j };
        (
            std::array::from_fn(|j| {
                let [x, y, _] = seen[at(j)];
                [if self.mirrored { 1.0 - x } else { x }, y]
            }),
            std::array::from_fn(|j| {
                (1.0 / seen[at(j)][2] - 1.0 / near) * self.projection.focal * near
            }),
        )
    }
}

/// What of a window is known before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// The first token, which is the reference.
    Reference,
    /// The last tokens of the window before.
    Before,
}

/// A window.
pub struct Window {
    /// Index into the genres.
    pub genre: usize,
    /// [`TOKENS`] × [`COORDINATES`].
    pub tokens: Vec<f32>,
    /// [`TOKENS`] × joints: how far each joint is behind the pelvis, in sizes of the body.
    pub depth: Vec<f32>,
    /// [`TOKENS`] × [`VALUES`].
    pub music: Vec<f32>,
    /// [`COORDINATES`].
    pub reference: [f32; COORDINATES],
    /// ln(mean speed of the joints / [`USUAL_SPEED`]).
    pub energy: f32,
    /// What is known.
    pub known: Known,
}

/// Chances of what a window is like.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// That the last tokens of the window before are known, that the reference is the first token;
    /// else nothing is known.
    pub known: [f64; 2],
    /// That the reference stands and has not begun to dance, where it is not the first token.
    pub standing: f64,
    /// That the reference is not quite where it is seen.
    pub unsure: f64,
    /// That there are no beats.
    pub unmetered: f64,
}

/// As windows of training are.
pub const CHANCES: Chances = Chances {
    known: [0.6, 0.2],
    standing: 0.35,
    unsure: 0.5,
    unmetered: 0.05,
};

/// How often a window is looked for in which nobody turns away.
const TRIES: usize = 24;

impl Song {
    /// Chooses a camera that stands, for a dance whose reference faces `ahead` in the middle of
    /// `path`.
    pub fn view(&self, dance: usize, ahead: f32, path: &[Vec3], random: &mut Random) -> View {
        let height = self.heights[dance];
        let middle = path.iter().sum::<Vec3>() / path.len().max(1) as f32;
        let aside = (25f64.to_radians() * random.normal()).clamp(-1.2, 1.2) as f32;
        let angles = [
            ahead + aside,
            random.range(-0.03, 0.25) as f32,
            random.range(20.0, 50.0).to_radians() as f32,
        ];
        let share = random.range(0.55, 0.9) as f32;
        let target = middle.with_y(0.52 * height);
        View::new(target, angles, height, share, random.chance(0.5))
    }

    /// A window of one of the dances, chosen at random; none where all that was tried turns away
    /// from the camera, or is too short.
    pub fn window(&self, clock: Clock, chances: &Chances, random: &mut Random) -> Option<Window> {
        for _ in 0..TRIES {
            let dance = random.index(self.dances());
            let room = self.seconds() - if clock == Clock::Seconds { 4.1 } else { 2.7 };
            let instants = self.instants(random.range(0.0, room.max(0.1)), TOKENS, clock);
            if instants.last().is_none_or(|end| *end > self.seconds()) {
                continue;
            }
            let known = match random.unit() {
                x if x < chances.known[0] => Known::Before,
                x if x < chances.known[0] + chances.known[1] => Known::Reference,
                _ => Known::Nothing,
            };
            let poses: Vec<Pose> = instants[..TOKENS]
                .iter()
                .map(|&t| self.pose(dance, t))
                .collect();
            let reference = match known {
                Known::Reference => poses[0],
                _ if random.chance(chances.standing) => self.standing(dance),
                _ => self.pose(dance, random.range(0.0, self.seconds())),
            };
            let ahead = facing(&reference);
            if poses
                .iter()
                .any(|p| wrapped(facing(p) - ahead).abs() > FARTHEST)
            {
                continue;
            }
            let path: Vec<Vec3> = poses.iter().step_by(8).map(|p| p[0]).collect();
            let view = self.view(dance, ahead, &path, random);
            return self.seen(
                dance,
                &view,
                (&reference, &poses),
                &instants,
                known,
                chances,
                random,
            );
        }
        None
    }

    #[allow(clippy::too_many_arguments)]
    fn seen(
        &self,
        dance: usize,
        view: &View,
        (reference, poses): (&Pose, &[Pose]),
        instants: &[f64],
        known: Known,
        chances: &Chances,
        random: &mut Random,
    ) -> Option<Window> {
        let (mut joints, _) = view.joints(reference);
        if known != Known::Reference && random.chance(chances.unsure) {
            // Joints are found to a few per cent of the body.
            let far = random.range(0.0, 0.015) as f32;
            for x in joints.iter_mut().flatten() {
                *x += far * random.bell();
            }
        }
        let reference = Reference::new(joints)?;
        let (mut tokens, mut depth) = (Vec::new(), Vec::new());
        let (mut moved, mut last) = (0.0, None::<[[f32; 2]; JOINTS]>);
        for pose in poses {
            let (joints, behind) = view.joints(pose);
            tokens.extend(reference.token(&joints));
            depth.extend(behind.map(|x| x / reference.size()));
            if let Some(last) = last {
                let ways = joints.iter().zip(&last);
                moved += ways
                    .map(|([ax, ay], [bx, by])| (ax - bx).hypot(ay - by))
                    .sum::<f32>();
            }
            last = Some(joints);
        }
        let seconds = (instants[poses.len() - 1] - instants[0]) as f32;
        let speed = moved / JOINTS as f32 / reference.size() / seconds;
        Some(Window {
            genre: self.genres[dance],
            tokens,
            depth,
            music: self.music(instants, !random.chance(chances.unmetered)),
            reference: reference.condition(),
            energy: (speed / USUAL_SPEED).max(1e-3).ln().clamp(-1.5, 1.5),
            known,
        })
    }
}

/// Numbers of a window's music.
pub const MUSIC: usize = TOKENS * VALUES;

#[cfg(test)]
mod tests {
    use super::super::performance::Figures;
    use super::super::performances::{FPS, load, save};
    use super::super::splits::Share;
    use super::super::tests::{config, small};
    use super::*;
    use crate::Split;

    fn song() -> Song {
        let mut config = config();
        config.off = 0.0;
        // Eight beats of slow music last eight seconds.
        config.music.seconds = 14.0;
        let small = small(config, Share::all(Split::Training));
        let figures = Figures::default();
        let dance = small.corpus.performance(0, FPS, &figures).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.safetensors");
        save(&path, &[dance]).unwrap();
        load(&path).unwrap()
    }

    #[test]
    fn a_mirror_shows_the_other_side_and_sizes_do_not_matter() {
        let song = song();
        let (standing, height) = (song.standing(0), song.heights[0]);
        let middle = standing[0].with_y(0.52 * height);
        let view = |share, mirrored| View::new(middle, [0.0, 0.1, 0.6], height, share, mirrored);
        let (joints, depth) = view(0.8, false).joints(&standing);
        // The camera is in front: the dancer's left is on the right.
        assert!(joints[4][0] > joints[12][0] && joints[3][1] < joints[10][1]);
        let tall = joints[10][1].max(joints[18][1]) - joints[3][1];
        assert!((0.6..0.9).contains(&tall), "{tall}");
        assert_eq!(depth[0], 0.0);
        let (mirror, _) = view(0.8, true).joints(&standing);
        for (n, other) in MIRRORED.into_iter().enumerate() {
            assert!((mirror[n][0] - (1.0 - joints[other][0])).abs() < 1e-5);
            assert!((mirror[n][1] - joints[other][1]).abs() < 1e-5);
        }
        // Toes are nearer to the camera than heels.
        assert!(depth[11] < depth[10]);
        let condition = |share| {
            let (joints, _) = view(share, false).joints(&standing);
            Reference::new(joints).unwrap().condition()
        };
        for (a, b) in condition(0.6).iter().zip(condition(0.9)) {
            assert!((a - b).abs() < 0.05, "{a} {b}");
        }
    }

    #[test]
    fn windows_are_what_they_say() {
        let song = song();
        for clock in [Clock::Seconds, Clock::Beats] {
            let mut seen = [0; 3];
            for n in 0..60 {
                let make = || song.window(clock, &CHANCES, &mut Random::new(4, n));
                let Some(window) = make() else { continue };
                assert_eq!(window.tokens.len(), TOKENS * COORDINATES);
                assert_eq!(window.depth.len(), TOKENS * JOINTS);
                assert_eq!(window.music.len(), MUSIC);
                let all = window
                    .tokens
                    .iter()
                    .chain(&window.depth)
                    .chain(&window.music);
                assert!(all.clone().all(|x| x.is_finite() && x.abs() < 60.0));
                assert_eq!(window.tokens, make().unwrap().tokens);
                if window.known == Known::Reference {
                    assert!(window.tokens[..COORDINATES].iter().all(|x| x.abs() < 1e-4));
                }
                seen[window.known as usize] += 1;
            }
            assert!(seen.iter().all(|&n| n > 0), "{clock:?} {seen:?}");
        }
    }

    #[test]
    fn tokens_lie_on_beats() {
        let song = song();
        let instants = song.instants(song.pulse.time(2.0), 40, Clock::Beats);
        for k in 0..4 {
            let (at, beat) = (
                instants[10 * k],
                song.pulse.time(2.0 + k as f64 * song.count()),
            );
            assert!((at - beat).abs() < 1e-9, "{at} {beat}");
        }
        let music = song.music(&instants, true);
        let phase = |n: usize| music[n * VALUES + music::SOUND + 1];
        assert!((phase(0) - 1.0).abs() < 1e-3 && (phase(5) + 1.0).abs() < 1e-3);
        let silent = song.music(&instants, false);
        assert!(silent.chunks(VALUES).all(|v| v[music::SOUND..] == [0.0; 5]));
        assert!((wrapped(3.5) - (3.5 - TAU)).abs() < 1e-6);
        assert!(facing(&song.standing(0)).abs() < 0.1);
    }
}
