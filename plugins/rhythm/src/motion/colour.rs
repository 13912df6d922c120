// SPDX-License-Identifier: MPL-2.0
//! Flow in colours: the wheel of the Middlebury benchmark (Baker et al., "A Database and Evaluation
//! Methodology for Optical Flow", IJCV 2011). White is still, red is to the right, yellow down,
//! blue and violet to the left and up.

use super::Flow;

/// Colours between two corners of the wheel, and how the corner begins and what changes: red to
/// yellow and on.
const ARCS: [(usize, [f32; 3], [f32; 3]); 6] = [
    (15, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
    (6, [1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]),
    (4, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]),
    (11, [0.0, 1.0, 1.0], [0.0, -1.0, 0.0]),
    (13, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]),
    (6, [1.0, 0.0, 1.0], [0.0, 0.0, -1.0]),
];

/// Turns vectors into colours.
#[derive(Debug, Clone)]
pub struct Wheel {
    colours: Vec<[f32; 3]>,
    /// The length in pixels of the deepest colours.
    longest: f32,
}

impl Wheel {
    /// Vectors of `longest` pixels have the deepest colours, longer ones darker ones.
    #[must_use]
    pub fn new(longest: f32) -> Self {
        let mut colours = Vec::new();
        for (count, corner, change) in ARCS {
            for n in 0..count {
                let share = n as f32 / count as f32;
                colours.push([0, 1, 2].map(|c| corner[c] + share * change[c]));
            }
        }
        Self {
            colours,
            longest: longest.max(f32::MIN_POSITIVE),
        }
    }

    /// The colour of a vector: red, green, blue. Black where it is not known.
    #[must_use]
    pub fn colour(&self, [x, y]: [f32; 2]) -> [u8; 3] {
        let length = x.hypot(y) / self.longest;
        if !length.is_finite() {
            return [0; 3];
        }
        let count = self.colours.len();
        // Red is to the right.
        let turn = y.atan2(x).rem_euclid(std::f32::consts::TAU) / std::f32::consts::TAU;
        let at = turn * count as f32;
        let first = at as usize % count;
        let share = at - at.floor();
        let pick = |n: usize| self.colours.get(n % count).copied().unwrap_or([1.0; 3]);
        let (a, b) = (pick(first), pick(first + 1));
        [0, 1, 2].map(|c| {
            let full = a[c] + share * (b[c] - a[c]);
            let value = if length <= 1.0 {
                1.0 - length * (1.0 - full)
            } else {
                0.75 * full
            };
            (255.0 * value).round() as u8
        })
    }

    /// All of a flow, row by row.
    pub fn paint<'a>(&'a self, flow: &'a Flow<'_>) -> impl Iterator<Item = [u8; 3]> + 'a {
        flow.vectors()
            .map(|vector| vector.map_or([0; 3], |vector| self.colour(vector)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_is_the_benchmarks() {
        let wheel = Wheel::new(4.0);
        assert_eq!(wheel.colours.len(), 55);
        assert_eq!(wheel.colour([0.0, 0.0]), [255; 3]);
        assert_eq!(wheel.colour([4.0, 0.0]), [255, 0, 0]);
        assert_eq!(wheel.colour([f32::NAN, 0.0]), [0; 3]);
        // Half as long is half as deep; too long is darker.
        assert_eq!(wheel.colour([2.0, 0.0]), [255, 128, 128]);
        assert_eq!(wheel.colour([9.0, 0.0]), [191, 0, 0]);
        // A quarter turn down is 13.75 of 55 colours on, just before yellow.
        let down = wheel.colour([0.0, 4.0]);
        assert!(down[0] == 255 && down[1] > 225 && down[2] == 0, "{down:?}");
    }

    #[test]
    fn neighbours_look_alike() {
        let wheel = Wheel::new(1.0);
        let of = |n: usize| {
            let angle = n as f32 / 360.0 * std::f32::consts::TAU;
            wheel.colour([angle.cos(), angle.sin()]).map(i32::from)
        };
        for n in 0..360 {
            let (a, b) = (of(n), of(n + 1));
            assert!((0..3).all(|c| (a[c] - b[c]).abs() < 50), "{n} {a:?} {b:?}");
        }
    }
}
