// SPDX-License-Identifier: MPL-2.0
//! Cameras: nine views as of the AIST studio, and some that move.

use super::skeleton::Figure;
use crate::random::Random;
use glam::{Mat3, Vec3, Vec3A};

/// Number of views: eight around the dancer, the ninth from above its front.
pub const VIEWS: usize = 9;

/// How a camera moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Movement {
    /// Not at all.
    Still,
    /// Turns with the dancer.
    Pan,
    /// Around the dancer, in radians per second.
    Orbit(f32),
    /// Nearer or farther, in shares per second.
    Dolly(f32),
    /// In somebody's hands: how far it shakes, in radians.
    Hand(f32),
}

/// A camera during a clip.
#[derive(Clone, Debug)]
pub struct Camera {
    /// 0 … 8: the angle from the dancer's front is 45° each, to the dancer's left.
    pub view: usize,
    /// How it moves.
    pub movement: Movement,
    /// Share of the frame's height that the dancer's takes.
    pub share: f32,
    /// Vertical angle of view in radians.
    pub angle: f32,
    distance: f32,
    azimuth: f32,
    elevation: f32,
    target: Vec3,
    phases: [f32; 4],
    middle: f32,
}

/// A camera at an instant, for pictures of a size.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Where it is.
    pub position: Vec3A,
    /// To the right, down and away in the picture.
    pub axes: [Vec3A; 3],
    /// Focal length in pixels.
    pub focal: f32,
    /// Middle of the picture in pixels.
    pub centre: [f32; 2],
}

impl Projection {
    /// Column and row in pixels from the upper left corner, and 1/distance along the axis.
    #[inline]
    pub fn project(&self, p: Vec3A) -> [f32; 3] {
        let d = p - self.position;
        let near = 1.0 / d.dot(self.axes[2]).max(0.05);
        let scale = self.focal * near;
        [
            self.centre[0] + scale * d.dot(self.axes[0]),
            self.centre[1] + scale * d.dot(self.axes[1]),
            near,
        ]
    }

    /// The direction through a place of the picture; 1 along the axis.
    #[inline]
    pub fn ray(&self, x: f32, y: f32) -> Vec3A {
        let (u, v) = (
            (x - self.centre[0]) / self.focal,
            (y - self.centre[1]) / self.focal,
        );
        self.axes[0] * u + self.axes[1] * v + self.axes[2]
    }
}

impl Camera {
    /// A camera at a view that has the dancer in the picture for the whole clip: `path` is where the
    /// dancer is, in the order of time. `room` is the share of the frame's height that is shown.
    pub fn new(
        view: usize,
        figure: &Figure,
        path: &[Vec3],
        seconds: f32,
        room: f32,
        random: &mut Random,
    ) -> Self {
        let count = path.len().max(1) as f32;
        let middle = path.iter().sum::<Vec3>() / count;
        let high = view == 8;
        let azimuth = if high {
            0.0
        } else {
            view as f32 * std::f32::consts::FRAC_PI_4
        };
        let share = room * random.range(0.40, 0.95) as f32;
        let angle = random.range(22.0, 50.0).to_radians() as f32;
        let tall = figure.height();
        // Who goes far is filmed from farther.
        let strays = path.iter().map(|p| (*p - middle).with_y(0.0).length());
        let share = (share / (1.0 + 0.6 * strays.fold(0.0, f32::max))).max(0.4 * room);
        let movement = random.weighted(&[(5.0, 0), (1.5, 1), (1.0, 2), (1.0, 3), (1.0, 4)]);
        let signed = |random: &mut Random, low: f64, high: f64| {
            (random.range(low, high) * random.pick(&[-1.0, 1.0])) as f32
        };
        let movement = match movement {
            0 => Movement::Still,
            1 => Movement::Pan,
            // A turn of 40° at most, so that the wall stays behind the dancer.
            2 => Movement::Orbit(signed(random, 0.05, 0.3).clamp(-0.7 / seconds, 0.7 / seconds)),
            3 => Movement::Dolly(signed(random, 0.02, 0.1).clamp(-0.3 / seconds, 0.3 / seconds)),
            _ => Movement::Hand(random.range(0.003, 0.02) as f32),
        };
        let elevation = if high {
            random.range(0.45, 0.7)
        } else {
            random.range(-0.02, 0.22)
        };
        let target = if movement == Movement::Pan {
            Vec3::ZERO
        } else {
            middle
        };
        Self {
            view,
            movement,
            share,
            angle,
            // A little off the nominal angle: no studio is built to a degree.
            azimuth: azimuth + random.range(-0.12, 0.12) as f32,
            elevation: elevation as f32,
            distance: tall / (2.0 * share * (0.5 * angle).tan()),
            target: target.with_y(0.52 * tall),
            phases: [(); 4].map(|()| random.range(0.0, std::f64::consts::TAU) as f32),
            middle: 0.5 * seconds,
        }
    }

    /// The camera at a time, the dancer being at `dancer`, for pictures of a height and width.
    pub fn projection(&self, time: f32, dancer: Vec3, height: usize, width: usize) -> Projection {
        let (mut azimuth, mut distance) = (self.azimuth, self.distance);
        let mut shake = [0.0f32; 2];
        let since = time - self.middle;
        match self.movement {
            Movement::Still | Movement::Pan => {}
            Movement::Orbit(speed) => azimuth += speed * since,
            Movement::Dolly(speed) => distance *= 1.0 + speed * since,
            Movement::Hand(much) => {
                let p = self.phases;
                shake = [
                    much * ((2.1 * time + p[0]).sin() + 0.5 * (5.3 * time + p[1]).sin()),
                    much * ((1.7 * time + p[2]).sin() + 0.4 * (6.1 * time + p[3]).sin()),
                ];
            }
        }
        let out = Vec3::new(
            azimuth.sin() * self.elevation.cos(),
            self.elevation.sin(),
            azimuth.cos() * self.elevation.cos(),
        );
        let position = self.target + out * distance;
        let mut look = self.target;
        if self.movement == Movement::Pan {
            look += dancer.with_y(0.0);
        }
        let mut ahead = (look - position).normalize_or(Vec3::NEG_Z);
        let across = ahead.cross(Vec3::Y).normalize_or(Vec3::X);
        ahead = (ahead + across * shake[0] + across.cross(ahead) * shake[1]).normalize();
        let right = ahead.cross(Vec3::Y).normalize_or(Vec3::X);
        let axes = Mat3::from_cols(right, -right.cross(ahead), ahead);
        Projection {
            position: position.into(),
            axes: [axes.x_axis.into(), axes.y_axis.into(), axes.z_axis.into()],
            focal: 0.5 * height as f32 / (0.5 * self.angle).tan(),
            centre: [0.5 * width as f32, 0.5 * height as f32],
        }
    }

    /// From the dancer to the camera, on the floor.
    pub fn direction(&self) -> Vec3 {
        Vec3::new(self.azimuth.sin(), 0.0, self.azimuth.cos())
    }

    /// Metres between them.
    pub fn distance(&self) -> f32 {
        self.distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_go_through_what_is_projected_and_the_dancer_is_in_the_picture() {
        let figure = super::super::body::capsule(1.7).figure;
        for n in 0..100 {
            let random = &mut Random::new(1, n);
            let path = [Vec3::new(0.3, 0.9, 0.1), Vec3::new(-0.3, 0.9, 0.1)];
            let camera = Camera::new(n as usize % VIEWS, &figure, &path, 4.0, 1.0, random);
            let projection = camera.projection(1.0, path[0], 128, 160);
            let p = Vec3A::new(0.1, 1.2, -0.2);
            let [x, y, near] = projection.project(p);
            let back = projection.position + projection.ray(x, y) / near;
            assert!(back.distance(p) < 1e-3, "{back} {p}");
            let top = projection.project(Vec3A::new(0.0, 1.7, 0.0));
            let foot = projection.project(Vec3A::ZERO);
            let tall = (foot[1] - top[1]) / 128.0;
            assert!(tall > 0.25 && tall < 1.15, "{tall} {camera:?}");
            assert!(foot[0] > -20.0 && foot[0] < 180.0);
        }
    }
}
