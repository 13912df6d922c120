// SPDX-License-Identifier: MPL-2.0
//! A dancer before a backdrop: pictures, and what is true of each of their pixels.
//!
//! Every pixel of a frame shows a point of a triangle, or of floor or wall. The same point in
//! another frame is where its triangle's corners, or the camera, have moved it to: the flow is
//! exact to floating-point precision, also below a pixel. A point is occluded in the other frame
//! if it is outside of it or something else is seen where it lies.

use super::backdrop::{Backdrop, Surface};
use super::camera::{Camera, Movement, Projection};
use super::motion::Motion;
use super::raster::{Buffer, shares};
use super::skeleton::*;
use super::springs::Springs;
use super::wardrobe::{BOTTOM, Look, Mesh, SKIRT_SPRING, TOP};
use glam::{Mat3A, Vec3, Vec3A};
use std::sync::Arc;

/// Samples of a pixel's colour each way.
const SAMPLES: usize = 2;
/// How much farther than what is seen a point may be to be it, in metres: surfaces are seen at a
/// slant, and pixels are coarse.
const THICK: f32 = 0.03;
/// The same within one part of the body.
const THICK_PART: f32 = 0.12;

/// Light on a stage.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// To the key light.
    pub key: Vec3A,
    /// To the fill light.
    pub fill: Vec3A,
    /// Intensities of key, fill and all around.
    pub power: [Vec3A; 3],
    /// How dark shadows are, 0 … 1.
    pub shadow: f32,
}

/// A clip's stage.
pub struct Stage {
    /// The dancer's bones.
    pub figure: Figure,
    /// The dancer.
    pub mesh: Mesh,
    /// Materials.
    pub look: Look,
    /// How the dancer moves.
    pub motion: Motion,
    /// What swings.
    pub springs: Springs,
    /// Who films.
    pub camera: Camera,
    /// Before what.
    pub backdrop: Backdrop,
    /// In what light.
    pub light: Light,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Frames a second.
    pub fps: f32,
    /// Black rows above and below.
    pub bars: usize,
    /// Share of the time between frames that the shutter is open; 0 for no motion blur.
    pub shutter: f32,
}

/// A frame's geometry.
pub struct Moment {
    points: Vec<Vec3A>,
    lit: Vec<Vec3A>,
    screen: Vec<[f32; 3]>,
    projection: Projection,
    visible: Buffer,
    surfaces: Arc<Vec<Surface>>,
    /// Bones that cast shadows: from, to, thickness.
    bones: Vec<(Vec3, Vec3, f32)>,
    /// Columns and rows of the joints in pixels.
    pub joints: [[f32; 2]; JOINTS],
}

/// Buffers that are used again from frame to frame.
pub struct Brush {
    samples: Buffer,
    still: Option<Arc<Vec<Surface>>>,
    screen: Vec<[f32; 3]>,
    sum: Vec<Vec3>,
}

impl Stage {
    /// What drawing needs.
    pub fn brush(&self) -> Brush {
        let [height, width] = self.size;
        Brush {
            samples: Buffer::new(SAMPLES * width, SAMPLES * height),
            still: None,
            screen: Vec::new(),
            sum: Vec::new(),
        }
    }

    fn projection(&self, time: f32, dancer: Vec3) -> Projection {
        self.camera
            .projection(time, dancer, self.size[0], self.size[1])
    }

    fn surfaces(&self, projection: &Projection) -> Vec<Surface> {
        let [height, width] = self.size;
        let middle = |k: usize| k as f32 + 0.5;
        let pixels = (0..height * width).map(|n| (middle(n % width), middle(n / width)));
        pixels
            .map(|(x, y)| self.backdrop.surface(projection, x, y))
            .collect()
    }

    fn time(&self, frame: usize) -> f32 {
        frame as f32 / self.fps
    }

    /// The geometry of a frame.
    pub fn moment(&self, frame: usize, brush: &mut Brush) -> Moment {
        let time = self.time(frame);
        let pose = self.motion.pose(&self.figure, f64::from(time));
        let projection = self.projection(time, pose.root);
        let (points, lit) = self.skin(&pose, time);
        let screen: Vec<[f32; 3]> = points.iter().map(|&p| projection.project(p)).collect();
        let mut visible = Buffer::new(self.size[1], self.size[0]);
        visible.draw(&self.mesh.faces, &screen, 1.0);
        let surfaces = if self.camera.movement == Movement::Still {
            let still = brush
                .still
                .get_or_insert_with(|| Arc::new(self.surfaces(&projection)));
            still.clone()
        } else {
            Arc::new(self.surfaces(&projection))
        };
        let joints = self.figure.joints(&pose);
        let scale = self.figure.height() / 1.7;
        let bones = STICKS.iter().map(|&(a, b)| {
            let thick = if a < 3 && b < 4 { 0.13 } else { 0.06 };
            (joints[a], joints[b], thick * scale)
        });
        Moment {
            bones: bones.collect(),
            joints: joints.map(|p| {
                let [x, y, _] = projection.project(p.into());
                [x, y]
            }),
            points,
            lit,
            screen,
            projection,
            visible,
            surfaces,
        }
    }

    /// Where the vertices are, and how bright.
    fn skin(&self, pose: &Pose, time: f32) -> (Vec<Vec3A>, Vec<Vec3A>) {
        let bones = self.figure.skin(pose);
        let (offsets, fly) = self.springs.at(time);
        let mesh = &self.mesh;
        let count = mesh.rest.len();
        let (mut points, mut lit) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let Light {
            key, fill, power, ..
        } = self.light;
        for v in 0..count {
            let (names, weights) = (mesh.bones[v], mesh.weights[v]);
            let first = &bones[usize::from(names[0])];
            let (mut m, mut t) = (first.matrix3, first.translation);
            if weights[0] < 0.999 {
                m *= weights[0];
                t *= weights[0];
                for k in 1..4 {
                    let bone = &bones[usize::from(names[k])];
                    m = Mat3A::from_cols(
                        m.x_axis + bone.matrix3.x_axis * weights[k],
                        m.y_axis + bone.matrix3.y_axis * weights[k],
                        m.z_axis + bone.matrix3.z_axis * weights[k],
                    );
                    t += bone.translation * weights[k];
                }
            }
            let mut p = m * mesh.rest[v] + t;
            let (spring, far) = mesh.pull[v];
            if far > 0.0 {
                p += Vec3A::from(offsets[usize::from(spring)]) * far;
                if spring == SKIRT_SPRING {
                    let out = p - Vec3A::from(pose.root);
                    p += Vec3A::new(out.x, 0.3 * out.y.abs(), out.z) * (fly * far);
                }
            }
            let n = (m * mesh.normals[v]).normalize_or(Vec3A::Y);
            let wrapped = ((n.dot(key) + 0.15) / 1.15).max(0.0);
            let light = power[0] * wrapped
                + power[1] * n.dot(fill).max(0.0)
                + power[2] * (0.65 + 0.35 * n.y);
            points.push(p);
            lit.push(light * mesh.tint[v]);
        }
        (points, lit)
    }

    /// Shows a frame: linear colours, pixel by pixel. `next` is the geometry of the frame after,
    /// from which blurred motion is known.
    pub fn paint(&self, frame: usize, now: &Moment, next: &Moment, brush: &mut Brush) -> Vec<Vec3> {
        if self.shutter <= 0.0 {
            let mut picture = vec![Vec3::ZERO; self.size[0] * self.size[1]];
            let shot = Shot {
                projection: &now.projection,
                surfaces: &now.surfaces,
                bones: &now.bones,
                lit: &now.lit,
            };
            self.expose(&shot, &now.screen, &mut brush.samples, &mut picture);
            return picture;
        }
        // The shutter is open around the frame's instant; motion goes on as to the next frame.
        const SHUTS: usize = 4;
        let mut sum = std::mem::take(&mut brush.sum);
        sum.clear();
        sum.resize(self.size[0] * self.size[1], Vec3::ZERO);
        let mut screen = std::mem::take(&mut brush.screen);
        for k in 0..SHUTS {
            let part = self.shutter * ((k as f32 + 0.5) / SHUTS as f32 - 0.5);
            let still = self.camera.movement == Movement::Still;
            let time = self.time(frame) + part / self.fps;
            let root = now.bones[0].0.lerp(next.bones[0].0, part);
            let projection = if still {
                now.projection
            } else {
                self.projection(time, root)
            };
            screen.clear();
            let points = now.points.iter().zip(&next.points);
            screen.extend(points.map(|(&a, &b)| projection.project(a + (b - a) * part)));
            let bones: Vec<_> = now
                .bones
                .iter()
                .zip(&next.bones)
                .map(|(a, b)| (a.0.lerp(b.0, part), a.1.lerp(b.1, part), a.2))
                .collect();
            let surfaces = if still {
                now.surfaces.clone()
            } else {
                Arc::new(self.surfaces(&projection))
            };
            let shot = Shot {
                projection: &projection,
                surfaces: &surfaces,
                bones: &bones,
                lit: &now.lit,
            };
            self.expose(&shot, &screen, &mut brush.samples, &mut sum);
        }
        brush.screen = screen;
        let picture = sum.iter().map(|c| *c / SHUTS as f32).collect();
        brush.sum = sum;
        picture
    }

    /// Adds a picture to `sum`.
    fn expose(&self, shot: &Shot, screen: &[[f32; 3]], samples: &mut Buffer, sum: &mut [Vec3]) {
        let width = self.size[1];
        samples.draw(&self.mesh.faces, screen, SAMPLES as f32);
        let shadow = Shadow::new(shot.bones, &self.light);
        for (n, sum) in sum.iter_mut().enumerate() {
            let (x, y) = (n % width, n / width);
            if self.is_bar(y) {
                continue;
            }
            let place = &shot.surfaces[n];
            let mut behind = None;
            let mut colour = Vec3::ZERO;
            for k in 0..SAMPLES * SAMPLES {
                let (sx, sy) = (SAMPLES * x + k % SAMPLES, SAMPLES * y + k / SAMPLES);
                let face = samples.face[sy * samples.width + sx];
                colour += if face == 0 {
                    *behind.get_or_insert_with(|| {
                        let lit = if place.is_floor {
                            shadow.at(place.point)
                        } else {
                            1.0
                        };
                        place.colour * lit
                    })
                } else {
                    let middle = |s: usize| (s as f32 + 0.5) / SAMPLES as f32;
                    self.surface(face, screen, shot, middle(sx), middle(sy))
                };
            }
            *sum += colour / (SAMPLES * SAMPLES) as f32;
        }
    }

    /// The colour of a face at a place of the picture.
    #[inline]
    fn surface(&self, number: u32, screen: &[[f32; 3]], shot: &Shot, x: f32, y: f32) -> Vec3 {
        let face = &self.mesh.faces[number as usize - 1];
        let corners = face.v.map(|v| screen[v as usize]);
        let s = shares(corners, x, y);
        let [a, b, c] = face.v.map(|v| v as usize);
        let mut light = shot.lit[a] * s[0] + shot.lit[b] * s[1] + shot.lit[c] * s[2];
        if face.open {
            let [p, q, r] = corners;
            let area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
            if area > 0.0 {
                // From within.
                light *= 0.55;
            }
        }
        let rest = &self.mesh.rest;
        let at = rest[a] * s[0] + rest[b] * s[1] + rest[c] * s[2];
        let near = corners[0][2];
        // Faces are too coarse for the line between shirt and trousers.
        let material = match face.material {
            TOP | BOTTOM if at.y > self.mesh.hem => TOP,
            TOP | BOTTOM => BOTTOM,
            other => other,
        };
        let material = &self.look.materials[usize::from(material)];
        material.colour(at, 1.0 / (near * shot.projection.focal)) * Vec3::from(light)
    }

    fn is_bar(&self, row: usize) -> bool {
        row < self.bars || row >= self.size[0] - self.bars
    }

    /// The flow of every pixel from one frame to another, and whether it is occluded there.
    ///
    /// `flow` is 2×rows×columns (to the right, down; pixels), `occluded` rows×columns.
    pub fn flow(&self, from: &Moment, to: &Moment, flow: &mut [f32], occluded: &mut [bool]) {
        let [height, width] = self.size;
        let (right, down) = flow.split_at_mut(height * width);
        let still = self.camera.movement == Movement::Still;
        for n in 0..height * width {
            let (x, y) = ((n % width) as f32 + 0.5, (n / width) as f32 + 0.5);
            (right[n], down[n], occluded[n]) = (0.0, 0.0, false);
            if self.is_bar(n / width) {
                continue;
            }
            let face = from.visible.face[n];
            let goal = if face > 0 {
                let face = &self.mesh.faces[face as usize - 1];
                let s = shares(face.v.map(|v| from.screen[v as usize]), x, y);
                let [a, b, c] = face.v.map(|v| to.points[v as usize]);
                to.projection.project(a * s[0] + b * s[1] + c * s[2])
            } else if still {
                [x, y, from.surfaces[n].near]
            } else {
                to.projection.project(from.surfaces[n].point)
            };
            right[n] = goal[0] - x;
            down[n] = goal[1] - y;
            occluded[n] = !self.is_visible(to, from.visible.face[n], goal);
        }
    }

    /// Whether a point of a face (0: of the backdrop) is seen in a frame.
    fn is_visible(&self, frame: &Moment, face: u32, [x, y, near]: [f32; 3]) -> bool {
        let [height, width] = self.size;
        if !(x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32) {
            return false;
        }
        let (column, row) = (x as usize, y as usize);
        if self.is_bar(row) {
            return false;
        }
        let other = frame.visible.face[row * width + column];
        if other == 0 {
            // Nothing before it: a dancer's edge that falls between samples, or the backdrop.
            return true;
        }
        if face == 0 {
            return false;
        }
        let part = |face: u32| self.mesh.faces[face as usize - 1].part;
        let room = if part(face) == part(other) {
            THICK_PART
        } else {
            THICK
        };
        1.0 / near - 1.0 / frame.visible.near[row * width + column] < room
    }

    /// Part labels of a frame: 0 the backdrop, else 1 + the bone.
    pub fn parts(&self, now: &Moment, parts: &mut [u8]) {
        let width = self.size[1];
        for (n, part) in parts.iter_mut().enumerate() {
            *part = match now.visible.face[n] {
                0 => 0,
                _ if self.is_bar(n / width) => 0,
                face => self.mesh.faces[face as usize - 1].part,
            };
        }
    }
}

/// A picture being taken.
struct Shot<'a> {
    projection: &'a Projection,
    surfaces: &'a [Surface],
    bones: &'a [(Vec3, Vec3, f32)],
    lit: &'a [Vec3A],
}

/// Soft shadows of bones on the floor.
struct Shadow {
    /// From, to, and how far it reaches, on the floor.
    bones: Vec<([f32; 2], [f32; 2], f32, f32)>,
    middle: [f32; 2],
    radius: f32,
}

impl Shadow {
    fn new(bones: &[(Vec3, Vec3, f32)], light: &Light) -> Self {
        let slope = light.key / light.key.y.max(0.3);
        let fall = |p: Vec3| [p.x - slope.x * p.y, p.z - slope.z * p.y];
        let cast = |&(a, b, thick): &(Vec3, Vec3, f32)| {
            let high = 0.5 * (a.y + b.y).max(0.0);
            // The higher, the softer and the fainter.
            let reach = thick + 0.12 * high;
            (fall(a), fall(b), reach, light.shadow * thick / reach)
        };
        let bones: Vec<_> = bones.iter().map(cast).collect();
        let count = bones.len().max(1) as f32;
        let middle = [0, 1].map(|k| bones.iter().map(|b| b.0[k]).sum::<f32>() / count);
        let far = |p: [f32; 2]| (p[0] - middle[0]).hypot(p[1] - middle[1]);
        let radius = bones
            .iter()
            .map(|b| far(b.0).max(far(b.1)) + 2.0 * b.2)
            .fold(0.0, f32::max);
        Self {
            bones,
            middle,
            radius,
        }
    }

    /// How much light is left at a point of the floor.
    fn at(&self, p: Vec3A) -> f32 {
        let (dx, dz) = (p.x - self.middle[0], p.z - self.middle[1]);
        if dx * dx + dz * dz > self.radius * self.radius {
            return 1.0;
        }
        let mut left = 1.0;
        for &(a, b, reach, dark) in &self.bones {
            let (ux, uz) = (b[0] - a[0], b[1] - a[1]);
            let (px, pz) = (p.x - a[0], p.z - a[1]);
            let t = ((px * ux + pz * uz) / (ux * ux + uz * uz).max(1e-6)).clamp(0.0, 1.0);
            let square = (px - t * ux).powi(2) + (pz - t * uz).powi(2);
            let q = (square / (4.0 * reach * reach)).min(1.0);
            left *= 1.0 - dark * (1.0 - q) * (1.0 - q);
        }
        left
    }
}
