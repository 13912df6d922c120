// SPDX-License-Identifier: MPL-2.0
//! The histogram of oriented optical flow: MuDaR equations 3 and 4, after Chaudhry et al., CVPR
//! 2009.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use super::Flow;

/// Bins unless asked otherwise.
pub const DEFAULT_BINS: usize = 16;
/// The fewest bins: with fewer, each would hold every direction.
pub const FEWEST_BINS: usize = 4;
/// The most bins that are of any use.
pub const MOST_BINS: usize = 360;

/// Vectors whose angle differs from a bin's centre by less than this, in radians, point there.
const EDGE: f32 = 1e-6;

/// Sums the magnitudes of flow by direction.
///
/// Bin `k` of `B` is centred on the angle θ = 2πk/B, from the right (0) by down (π/2), as the rows
/// of a picture go. As equation 4 is printed, |θ − φ| ≤ 2π/B, it reaches from the centre of the bin
/// before to that of the bin after, ends included: each vector counts in two bins, or in three
/// where it points at the very centre of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Hoof {
    /// The directions of the centres: cosine and sine.
    centres: Vec<[f32; 2]>,
}

impl Hoof {
    /// A histogram of so many bins; none unless they are [`FEWEST_BINS`] to [`MOST_BINS`].
    #[must_use]
    pub fn new(bins: usize) -> Option<Self> {
        let centre = |k: usize| {
            let angle = std::f64::consts::TAU * k as f64 / bins as f64;
            [angle.cos() as f32, angle.sin() as f32]
        };
        (FEWEST_BINS..=MOST_BINS).contains(&bins).then(|| Self {
            centres: (0..bins).map(centre).collect(),
        })
    }

    /// How many bins there are.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.centres.len()
    }

    /// H(n, k) of equation 3: for each bin the sum of magnitudes in pixels.
    #[must_use]
    pub fn histogram(&self, flow: &Flow<'_>) -> Vec<f64> {
        self.grid(flow, [1, 1])
    }

    /// The histograms of the cells of a grid of `[columns, rows]`, cell by cell, row by row:
    /// `rows × columns × bins` values, which add up to [`histogram`](Self::histogram). Without columns or
    /// rows there are none.
    #[must_use]
    pub fn grid(&self, flow: &Flow<'_>, [columns, rows]: [usize; 2]) -> Vec<f64> {
        let bins = self.bins();
        let mut sums = vec![0.0; rows * columns * bins];
        if flow.width == 0 || sums.is_empty() {
            return sums;
        }
        for (at, vector) in flow.vectors().enumerate() {
            let Some(vector) = vector else { continue };
            let column = at % flow.width * columns / flow.width;
            let row = at / flow.width * rows / flow.height;
            let first = (row * columns + column) * bins;
            if let Some(cell) = sums.get_mut(first..first + bins) {
                self.count(vector, cell);
            }
        }
        sums
    }

    fn count(&self, [x, y]: [f32; 2], sums: &mut [f64]) {
        let magnitude = (x * x + y * y).sqrt();
        // Also what is too large to be squared, and no motion.
        if magnitude == 0.0 || !magnitude.is_finite() {
            return;
        }
        let bins = self.bins();
        let nearest = (angle(x, y) * bins as f32 / TAU + 0.5) as usize % bins;
        let Some([cos, sin]) = self.centres.get(nearest) else {
            return;
        };
        // On which side of the centre it points is exact, whatever the angle's rounding: half-way
        // between two centres either is as good a neighbour of the other.
        let side = (cos * y - sin * x) / magnitude;
        let (first, count) = match side {
            side if side.abs() < EDGE => (nearest + bins - 1, 3),
            side if side > 0.0 => (nearest, 2),
            _ => (nearest + bins - 1, 2),
        };
        for k in first..first + count {
            if let Some(sum) = sums.get_mut(k % bins) {
                *sum += f64::from(magnitude);
            }
        }
    }
}

/// The angle of a vector, 0 to 2π, to within 2e-5: a polynomial for the arctangent (Abramowitz &
/// Stegun 4.4.49), several times as fast as the exact one.
fn angle(x: f32, y: f32) -> f32 {
    let (a, b) = (x.abs(), y.abs());
    let ratio = a.min(b) / a.max(b);
    let square = ratio * ratio;
    let mut angle = ratio
        * (0.999_866
            + square
                * (-0.330_299_5
                    + square * (0.180_141 + square * (-0.085_133 + square * 0.020_835_1))));
    if b > a {
        angle = FRAC_PI_2 - angle;
    }
    if x < 0.0 {
        angle = PI - angle;
    }
    if y < 0.0 { TAU - angle } else { angle }
}

/// A histogram of which the bins add up to 1; all zero where nothing moves.
#[must_use]
pub fn normalised(histogram: &[f64]) -> Vec<f64> {
    let sum: f64 = histogram.iter().sum();
    let factor = if sum > 0.0 { 1.0 / sum } else { 0.0 };
    histogram.iter().map(|value| value * factor).collect()
}

/// The sum of the cells' histograms.
#[must_use]
pub fn whole(cells: &[f64], bins: usize) -> Vec<f64> {
    let sum = |k| cells.iter().skip(k).step_by(bins.max(1)).sum();
    (0..bins).map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAU: f64 = std::f64::consts::TAU;

    /// Equation 4, word for word, over every bin.
    fn printed(bins: usize, flow: &Flow<'_>) -> Vec<f64> {
        let mut sums = vec![0.0; bins];
        for [x, y] in flow.vectors().flatten() {
            let (x, y) = (f64::from(x), f64::from(y));
            for (k, sum) in sums.iter_mut().enumerate() {
                let off = (y.atan2(x) - TAU * k as f64 / bins as f64).rem_euclid(TAU);
                if off.min(TAU - off) <= TAU / bins as f64 + 1e-6 {
                    *sum += x.hypot(y);
                }
            }
        }
        sums
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()))
    }

    /// Vectors of all directions and lengths, those along the axes and diagonals among them.
    fn spiral(count: usize) -> (Vec<f32>, Vec<f32>) {
        let vector = |n: usize| match n % 9 {
            m @ 0..8 => {
                let angle = m as f64 * TAU / 8.0;
                (angle.cos().round() as f32, angle.sin().round() as f32)
            }
            _ => {
                let angle = n as f64 * 0.754_877;
                let length = 0.01 * n as f64;
                ((length * angle.cos()) as f32, (length * angle.sin()) as f32)
            }
        };
        (0..count).map(vector).unzip()
    }

    #[test]
    fn bins_are_as_printed() {
        let (x, y) = spiral(600);
        let flow = Flow::new(30, 20, &x, &y).unwrap();
        for bins in [4, 5, 8, 16, 31, 360] {
            let hoof = Hoof::new(bins).unwrap();
            assert!(
                close(&hoof.histogram(&flow), &printed(bins, &flow)),
                "{bins}"
            );
        }
        assert!(Hoof::new(3).is_none() && Hoof::new(361).is_none());
    }

    #[test]
    fn the_angle_is_near_enough() {
        for n in 0..3600 {
            let expected = n as f64 / 3600.0 * TAU;
            let off = f64::from(angle(expected.cos() as f32, expected.sin() as f32)) - expected;
            assert!(off.abs().min((off.abs() - TAU).abs()) < 2e-5, "{n} {off}");
        }
    }

    #[test]
    fn directions_are_those_of_a_picture() {
        let hoof = Hoof::new(16).unwrap();
        // Right, down, left, up.
        for (vector, bin) in [
            ([2.0, 0.0], 0),
            ([0.0, 2.0], 4),
            ([-2.0, 0.0], 8),
            ([0.0, -2.0], 12),
        ] {
            let found = hoof.histogram(&Flow::new(1, 1, &vector[..1], &vector[1..]).unwrap());
            let mut expected = vec![0.0; 16];
            for k in [bin + 15, bin, bin + 1] {
                expected[k % 16] = 2.0;
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn cells_add_up_to_the_whole() {
        let (x, y) = spiral(35 * 21);
        let flow = Flow::new(35, 21, &x, &y).unwrap();
        let hoof = Hoof::new(16).unwrap();
        let cells = hoof.grid(&flow, [4, 3]);
        assert_eq!(cells.len(), 4 * 3 * 16);
        assert!(close(&whole(&cells, 16), &hoof.histogram(&flow)));
        assert!(hoof.grid(&flow, [0, 3]).is_empty());
        // More cells than vectors leave some without any.
        assert!(close(
            &hoof.grid(&Flow::new(1, 1, &[1.0], &[0.5]).unwrap(), [2, 2])[..16],
            &hoof.histogram(&Flow::new(1, 1, &[1.0], &[0.5]).unwrap())
        ));
    }

    #[test]
    fn what_is_not_known_counts_nowhere() {
        let x = [1.0, f32::NAN, f32::INFINITY, 0.0];
        let y = [1.0, 0.0, 0.0, 0.0];
        let hoof = Hoof::new(16).unwrap();
        let sums = hoof.histogram(&Flow::new(2, 2, &x, &y).unwrap());
        let alone = hoof.histogram(&Flow::new(1, 1, &x[..1], &y[..1]).unwrap());
        assert_eq!(sums, alone);
        assert!(Flow::new(2, 3, &x, &y).is_none());
        assert!(
            hoof.histogram(&Flow::new(0, 0, &[], &[]).unwrap())
                .iter()
                .all(|&v| v == 0.0)
        );
    }

    #[test]
    fn the_normalised_sums_to_one() {
        let sum: f64 = normalised(&[1.0, 3.0, 0.0]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(normalised(&[0.0; 3]), [0.0; 3]);
    }
}
