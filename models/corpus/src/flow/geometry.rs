// SPDX-License-Identifier: MPL-2.0
//! Where things are and how they bend.

use crate::random::Random;

/// A place or displacement in the plane, in pixels to the right and down.
pub type Point = [f32; 2];

/// x ↦ A·x + b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// A, row by row.
    pub matrix: [f32; 4],
    /// b.
    pub offset: Point,
}

impl Affine {
    /// Nothing moves.
    pub const IDENTITY: Self = Self {
        matrix: [1.0, 0.0, 0.0, 1.0],
        offset: [0.0, 0.0],
    };

    /// Turned by `angle` and scaled, then moved.
    pub fn turned(angle: f32, scale: f32, offset: Point) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self {
            matrix: [cos, -sin, sin, cos].map(|x| x * scale),
            offset,
        }
    }

    /// This transformation about `centre` instead of about the origin.
    pub fn about(self, centre: Point) -> Self {
        let moved = self.apply(centre);
        Self {
            offset: [0, 1].map(|i| 2.0 * self.offset[i] + centre[i] - moved[i]),
            ..self
        }
    }

    /// Where a place goes.
    #[inline]
    pub fn apply(&self, [x, y]: Point) -> Point {
        let ([a, b, c, d], [e, f]) = (self.matrix, self.offset);
        [a * x + b * y + e, c * x + d * y + f]
    }

    /// First `other`, then this.
    pub fn after(&self, other: &Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.matrix, other.matrix);
        Self {
            matrix: [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h],
            offset: self.apply(other.offset),
        }
    }

    /// How much areas grow.
    pub fn determinant(&self) -> f32 {
        let [a, b, c, d] = self.matrix;
        a * d - b * c
    }

    /// The transformation back. A flattened plane goes back to somewhere, not to nowhere.
    pub fn inverse(&self) -> Self {
        let ([a, b, c, d], [e, f]) = (self.matrix, self.offset);
        let determinant = self.determinant();
        let by = 1.0
            / if determinant.abs() < 1e-6 {
                1e-6
            } else {
                determinant
            };
        let matrix = [d * by, -b * by, -c * by, a * by];
        let back = Self {
            matrix,
            offset: [0.0; 2],
        };
        Self {
            matrix,
            offset: back.apply([-e, -f]),
        }
    }
}

/// Cells a side of the lattice on which a [`Bend`] is kept.
const CELLS: usize = 16;
/// How much neighbouring places may be displaced differently, in pixels per pixel: far enough
/// below 1 that nothing folds and the way back is found in few steps.
const STEEPEST: f32 = 0.35;

/// A thin-plate spline (Duchon 1977, Bookstein 1989) as a smooth displacement, kept on a lattice
/// and bilinear between: the lattice is the truth, in both directions.
#[derive(Clone, Debug)]
pub struct Bend {
    corner: Point,
    per_cell: Point,
    nodes: Vec<Point>,
    /// The largest displacement along an axis.
    pub reach: f32,
}

impl Bend {
    /// A spline through 5 to 9 random points of the area, displaced by about `strength` pixels.
    pub fn random(random: &mut Random, [low, high]: [Point; 2], strength: f32) -> Self {
        let n = 5 + random.index(5);
        let size = [0, 1].map(|i| (high[i] - low[i]).max(1.0));
        let points: Vec<[f64; 2]> = (0..n).map(|_| [(); 2].map(|()| random.unit())).collect();
        let mut nodes = vec![[0.0; 2]; (CELLS + 1) * (CELLS + 1)];
        for axis in 0..2 {
            let values: Vec<f64> = (0..n)
                .map(|_| random.normal() * f64::from(strength))
                .collect();
            let Some(weights) = spline(&points, &values) else {
                continue;
            };
            for (at, node) in nodes.iter_mut().enumerate() {
                let place = [at % (CELLS + 1), at / (CELLS + 1)].map(|c| c as f64 / CELLS as f64);
                let mut value = weights[n] + weights[n + 1] * place[0] + weights[n + 2] * place[1];
                for (weight, point) in weights.iter().zip(&points) {
                    value += weight * kernel(place, *point);
                }
                node[axis] = value as f32;
            }
        }
        let per_cell = size.map(|s| s / CELLS as f32);
        let mut steepest = 0f32;
        for y in 0..=CELLS {
            for x in 0..=CELLS {
                let at = y * (CELLS + 1) + x;
                let neighbours = [
                    (x < CELLS, at + 1, per_cell[0]),
                    (y < CELLS, at + CELLS + 1, per_cell[1]),
                ];
                for (there, next, step) in neighbours {
                    if there {
                        for (a, b) in nodes[next].iter().zip(nodes[at]) {
                            steepest = steepest.max((a - b).abs() / step);
                        }
                    }
                }
            }
        }
        if steepest > STEEPEST {
            for node in &mut nodes {
                *node = node.map(|x| x * STEEPEST / steepest);
            }
        }
        Self {
            corner: low,
            per_cell: per_cell.map(|x| 1.0 / x),
            reach: nodes.as_flattened().iter().fold(0.0, |m, x| m.max(x.abs())),
            nodes,
        }
    }

    /// The displacement at a place; beyond the lattice, that of its border.
    #[inline]
    pub fn at(&self, place: Point) -> Point {
        let last = CELLS as f32 - 1e-3;
        let x = ((place[0] - self.corner[0]) * self.per_cell[0]).clamp(0.0, last);
        let y = ((place[1] - self.corner[1]) * self.per_cell[1]).clamp(0.0, last);
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = row * (CELLS + 1) + column;
        let (a, b) = (self.nodes[at], self.nodes[at + 1]);
        let (c, d) = (self.nodes[at + CELLS + 1], self.nodes[at + CELLS + 2]);
        let blend = |i: usize| {
            let (top, bottom) = (a[i] + (b[i] - a[i]) * fx, c[i] + (d[i] - c[i]) * fx);
            top + (bottom - top) * fy
        };
        [blend(0), blend(1)]
    }

    /// The place that `share` of the displacement brings to `place`.
    #[inline]
    pub fn back(&self, place: Point, share: f32) -> Point {
        let mut from = place;
        // Each step leaves a third of the error at most.
        for _ in 0..8 {
            let there = self.at(from);
            let next = [place[0] - share * there[0], place[1] - share * there[1]];
            let change = (next[0] - from[0]).abs() + (next[1] - from[1]).abs();
            from = next;
            if change < 0.02 {
                break;
            }
        }
        from
    }
}

/// r²·ln r of two places.
fn kernel(a: [f64; 2], b: [f64; 2]) -> f64 {
    let square = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    if square > 0.0 {
        0.5 * square * square.ln()
    } else {
        0.0
    }
}

/// The spline's weights and its plane, by Gaussian elimination; none where points coincide.
fn spline(points: &[[f64; 2]], values: &[f64]) -> Option<Vec<f64>> {
    let n = points.len();
    let m = n + 3;
    let mut rows = vec![vec![0.0; m + 1]; m];
    for (i, point) in points.iter().enumerate() {
        for (j, other) in points.iter().enumerate() {
            // A little smoothing keeps near points from pulling the plane apart.
            rows[i][j] = kernel(*point, *other) + if i == j { 1e-3 } else { 0.0 };
        }
        for (k, value) in [1.0, point[0], point[1]].into_iter().enumerate() {
            rows[i][n + k] = value;
            rows[n + k][i] = value;
        }
        rows[i][m] = values[i];
    }
    for column in 0..m {
        let pivot =
            (column..m).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        let lead = rows[column].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            if i != column {
                let factor = row[column] / lead[column];
                for (value, lead) in row.iter_mut().zip(&lead).skip(column) {
                    *value -= factor * lead;
                }
            }
        }
    }
    Some(
        rows.iter()
            .enumerate()
            .map(|(i, row)| row[m] / row[i])
            .collect(),
    )
}

/// A shape as the union of simple parts, in its own coordinates.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Everything.
    Plane,
    /// What is under a line: `[a, b, c]` with a·x + b·y ≥ c, (a, b) of length 1.
    Half([f32; 3]),
    /// Any of these.
    Parts(Vec<Part>),
}

/// A part of a shape.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// Two discs of the radii, and what lies between.
    Capsule {
        /// Their centres.
        ends: [Point; 2],
        /// Their radii.
        radii: [f32; 2],
    },
    /// A rectangle about a centre, half as large as `half`, turned by sine and cosine.
    Rectangle {
        /// Its centre.
        centre: Point,
        /// Half its sides.
        half: Point,
        /// Sine and cosine of the angle it is turned by.
        turn: [f32; 2],
    },
}

impl Part {
    /// How far a place is outside; negative inside.
    #[inline]
    fn distance(&self, [x, y]: Point) -> f32 {
        match self {
            Self::Capsule {
                ends: [a, b],
                radii,
            } => {
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let (px, py) = (x - a[0], y - a[1]);
                let square = dx * dx + dy * dy;
                let along = if square > 0.0 {
                    ((px * dx + py * dy) / square).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let (ox, oy) = (px - along * dx, py - along * dy);
                (ox * ox + oy * oy).sqrt() - (radii[0] + (radii[1] - radii[0]) * along)
            }
            Self::Rectangle {
                centre,
                half,
                turn: [sin, cos],
            } => {
                let (px, py) = (x - centre[0], y - centre[1]);
                let u = (px * cos + py * sin).abs() - half[0];
                let v = (py * cos - px * sin).abs() - half[1];
                let outside = (u.max(0.0).powi(2) + v.max(0.0).powi(2)).sqrt();
                outside + u.max(v).min(0.0)
            }
        }
    }

    fn bounds(&self) -> [Point; 2] {
        let around = |c: Point, r: f32| [c.map(|x| x - r), c.map(|x| x + r)];
        match self {
            Self::Capsule { ends, radii } => {
                let [a, b] = [0, 1].map(|i| around(ends[i], radii[i]));
                join(a, b)
            }
            Self::Rectangle { centre, half, .. } => around(*centre, half[0].hypot(half[1])),
        }
    }
}

fn join([a, b]: [Point; 2], [c, d]: [Point; 2]) -> [Point; 2] {
    [
        [a[0].min(c[0]), a[1].min(c[1])],
        [b[0].max(d[0]), b[1].max(d[1])],
    ]
}

impl Shape {
    /// How far a place is outside; negative inside.
    #[inline]
    pub fn distance(&self, place: Point) -> f32 {
        match self {
            Self::Plane => f32::MIN,
            Self::Half([a, b, c]) => c - a * place[0] - b * place[1],
            Self::Parts(parts) => parts
                .iter()
                .fold(f32::MAX, |least, part| least.min(part.distance(place))),
        }
    }

    /// A rectangle that holds it; none where it has no end.
    pub fn bounds(&self) -> Option<[Point; 2]> {
        let Self::Parts(parts) = self else {
            return None;
        };
        parts.iter().map(Part::bounds).reduce(join)
    }
}

/// The size of the picture that things are to fit: smaller frames are rather parts of one than
/// smaller ones.
pub fn scale(extent: f32) -> f32 {
    (extent + 256.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Point, b: Point, bar: f32) {
        assert!((a[0] - b[0]).hypot(a[1] - b[1]) < bar, "{a:?} {b:?}");
    }

    #[test]
    fn transformations_compose_and_invert() {
        let a = Affine::turned(0.7, 1.3, [5.0, -2.0]);
        let b = Affine {
            matrix: [1.0, 0.2, -0.1, 0.8],
            offset: [3.0, 4.0],
        };
        let place = [17.0, -9.0];
        close(a.after(&b).apply(place), a.apply(b.apply(place)), 1e-4);
        close(a.inverse().apply(a.apply(place)), place, 1e-4);
        let turn = Affine::turned(1.0, 2.0, [0.0; 2]).about(place);
        close(turn.apply(place), place, 1e-4);
    }

    #[test]
    fn a_spline_goes_through_its_points() {
        let points = [[0.1, 0.2], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.8, 0.9]];
        let values = [1.0, -2.0, 0.5, 3.0, 0.0];
        let weights = spline(&points, &values).unwrap();
        for (point, value) in points.iter().zip(values) {
            let mut found = weights[5] + weights[6] * point[0] + weights[7] * point[1];
            for (weight, other) in weights.iter().zip(&points) {
                found += weight * kernel(*point, *other);
            }
            assert!((found - value).abs() < 0.1, "{found} {value}");
        }
        assert!(spline(&[[0.5, 0.5]; 2], &[0.0; 2]).is_none());
    }

    #[test]
    fn a_bend_is_undone() {
        for seed in 0..50 {
            let random = &mut Random::new(seed, 0);
            let bend = Bend::random(random, [[0.0, 0.0], [200.0, 100.0]], 20.0);
            for share in [0.3, 1.0] {
                for n in 0..50 {
                    let from = [n as f32 * 4.0, (n * 37 % 100) as f32];
                    let there = bend.at(from);
                    let to = [0, 1].map(|i| from[i] + share * there[i]);
                    close(bend.back(to, share), from, 0.05);
                }
            }
        }
    }

    #[test]
    fn shapes_know_in_from_out() {
        let capsule = Part::Capsule {
            ends: [[0.0, 0.0], [10.0, 0.0]],
            radii: [2.0, 4.0],
        };
        let turn = std::f32::consts::FRAC_1_SQRT_2;
        let square = Part::Rectangle {
            centre: [30.0, 0.0],
            half: [5.0, 5.0],
            turn: [turn, turn],
        };
        let shape = Shape::Parts(vec![capsule, square]);
        for (place, distance) in [
            ([0.0, 3.0], 1.0),
            ([10.0, 1.0], -3.0),
            ([30.0, 0.0], -5.0),
            ([30.0, 50f32.sqrt() + 1.0], 1.0),
        ] {
            let found = shape.distance(place);
            assert!(
                (found - distance).abs() < 0.01,
                "{place:?}: {found} {distance}"
            );
        }
        let [low, high] = shape.bounds().unwrap();
        for n in 0..1000 {
            let place = [(n % 50) as f32 - 5.0, (n / 50) as f32 - 10.0];
            let inside = (0..2).all(|i| place[i] >= low[i] && place[i] <= high[i]);
            assert!(inside || shape.distance(place) > 0.0, "{place:?}");
        }
    }
}
