// SPDX-License-Identifier: MPL-2.0
//! Which triangle is seen at each sample of a picture.
//!
//! A rasteriser of our own: `euc` and its like shade fragments, whereas exact flow needs to know
//! for each pixel which point of which triangle it shows, to follow that point to another frame.

use super::wardrobe::Face;

/// What is seen at each sample.
pub struct Buffer {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 + the number of the face, or 0.
    pub face: Vec<u32>,
    /// 1/distance of it, or 0.
    pub near: Vec<f32>,
}

impl Buffer {
    /// Nothing is seen.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            face: vec![0; width * height],
            near: vec![0.0; width * height],
        }
    }

    /// Draws faces. `points` are columns and rows in pixels and 1/distance; there are `scale`
    /// samples to a pixel each way, in the middle of their part of it.
    pub fn draw(&mut self, faces: &[Face], points: &[[f32; 3]], scale: f32) {
        self.face.fill(0);
        self.near.fill(0.0);
        let (width, height) = (self.width as f32, self.height as f32);
        for (number, face) in faces.iter().enumerate() {
            let [a, b, c] = face.v.map(|v| {
                let [x, y, near] = points[v as usize];
                // Samples lie at whole numbers.
                [x * scale - 0.5, y * scale - 0.5, near]
            });
            let (bx, by) = (b[0] - a[0], b[1] - a[1]);
            let (cx, cy) = (c[0] - a[0], c[1] - a[1]);
            let area = bx * cy - by * cx;
            // Outward faces turn to the left, which in rows that count downward is negative.
            if area >= 0.0 && (!face.open || area == 0.0) || area.is_nan() {
                continue;
            }
            let left = a[0].min(b[0]).min(c[0]).ceil().max(0.0);
            let right = a[0].max(b[0]).max(c[0]).floor().min(width - 1.0);
            let top = a[1].min(b[1]).min(c[1]).ceil().max(0.0);
            let bottom = a[1].max(b[1]).max(c[1]).floor().min(height - 1.0);
            if left > right || top > bottom {
                continue;
            }
            let inverse = 1.0 / area;
            // Barycentric coordinates of b and c, and 1/distance, are linear in the picture.
            let (ux, uy) = (cy * inverse, -cx * inverse);
            let (vx, vy) = (-by * inverse, bx * inverse);
            let (nb, nc) = (b[2] - a[2], c[2] - a[2]);
            let (nx, ny) = (ux * nb + vx * nc, uy * nb + vy * nc);
            for y in top as usize..=bottom as usize {
                let dy = y as f32 - a[1];
                let row = y * self.width;
                for x in left as usize..=right as usize {
                    let dx = x as f32 - a[0];
                    let (u, v) = (ux * dx + uy * dy, vx * dx + vy * dy);
                    // A sample on an edge belongs to both faces: the nearer, else the first, has it.
                    if u < 0.0 || v < 0.0 || u + v > 1.0 {
                        continue;
                    }
                    let near = a[2] + nx * dx + ny * dy;
                    let at = row + x;
                    if near > self.near[at] {
                        self.near[at] = near;
                        self.face[at] = number as u32 + 1;
                    }
                }
            }
        }
    }
}

/// Shares of the corners of a face in the point of it that is seen at a place of the picture.
#[inline]
pub fn shares([a, b, c]: [[f32; 3]; 3], x: f32, y: f32) -> [f32; 3] {
    let (bx, by) = (b[0] - a[0], b[1] - a[1]);
    let (cx, cy) = (c[0] - a[0], c[1] - a[1]);
    let inverse = 1.0 / (bx * cy - by * cx);
    let (dx, dy) = (x - a[0], y - a[1]);
    let u = (cy * dx - cx * dy) * inverse;
    let v = (bx * dy - by * dx) * inverse;
    // What is linear in the picture is so over distance in the world.
    let (p, q, r) = ((1.0 - u - v) * a[2], u * b[2], v * c[2]);
    let whole = 1.0 / (p + q + r);
    [p * whole, q * whole, r * whole]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(v: [u32; 3]) -> Face {
        Face {
            v,
            material: 0,
            part: 1,
            open: false,
        }
    }

    #[test]
    fn the_nearer_face_is_seen_and_backs_are_not() {
        // Left-turning in rows that count downward.
        let points = [
            [0.0, 0.0, 1.0],
            [0.0, 8.0, 1.0],
            [8.0, 0.0, 1.0],
            [0.0, 0.0, 2.0],
            [0.0, 4.0, 2.0],
            [4.0, 0.0, 2.0],
        ];
        let mut buffer = Buffer::new(8, 8);
        buffer.draw(
            &[face([0, 1, 2]), face([3, 4, 5]), face([0, 2, 1])],
            &points,
            1.0,
        );
        assert_eq!(buffer.face[0], 2);
        assert_eq!(buffer.face[5], 1);
        assert_eq!(buffer.face[63], 0);
        assert!((buffer.near[0] - 2.0).abs() < 1e-6);
        let seen = buffer.face.iter().filter(|&&f| f > 0).count();
        assert!((28..=36).contains(&seen), "{seen}");
    }

    #[test]
    fn faces_that_share_an_edge_leave_no_hole() {
        let mut points = vec![[16.3, 15.7, 1.0]];
        let count = 23;
        for k in 0..count {
            let angle = std::f32::consts::TAU * k as f32 / count as f32;
            points.push([16.3 + 13.0 * angle.cos(), 15.7 + 13.0 * angle.sin(), 1.0]);
        }
        let faces: Vec<Face> = (0..count)
            .map(|k| face([0, (k + 1) % count + 1, k + 1]))
            .collect();
        let mut buffer = Buffer::new(32, 32);
        buffer.draw(&faces, &points, 1.0);
        for y in 0..32 {
            for x in 0..32 {
                let r = ((x as f32 + 0.5 - 16.3).powi(2) + (y as f32 + 0.5 - 15.7).powi(2)).sqrt();
                assert!(r > 12.7 || buffer.face[32 * y + x] > 0, "{x} {y}");
            }
        }
    }

    #[test]
    fn shares_follow_perspective() {
        // From a corner 1 m away to one 3 m away: half way in the picture is a quarter there.
        let s = shares(
            [[0.0, 0.0, 1.0], [10.0, 0.0, 1.0 / 3.0], [0.0, 10.0, 1.0]],
            5.0,
            0.0,
        );
        assert!(
            (s[0] - 0.75).abs() < 1e-6 && (s[1] - 0.25).abs() < 1e-6,
            "{s:?}"
        );
    }
}
