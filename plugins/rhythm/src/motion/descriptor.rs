// SPDX-License-Identifier: MPL-2.0
//! The motion of a frame as the numbers that the joint network of music and dance takes.
//!
//! Speeds are in sides of the analysed square a second, so that neither the frame rate nor the size of the analysis nor
//! how large the dancer is shown matters, and compressed as ln(1 + [`GAIN`] · v). The camera's motion, the median of the
//! flow, is taken away before directions are counted.

use std::fmt;

use super::Flow;
use super::hoof::{DEFAULT_BINS, Hoof};
use super::kinetics::{Kinetics, deceleration};

/// Directions of the histogram of the whole.
pub const BINS: usize = DEFAULT_BINS;
/// Columns and rows of cells, each with its own histogram.
pub const GRID: usize = 4;
/// Directions of a cell's histogram.
pub const CELL_BINS: usize = 8;
/// Other numbers: mean speed, mean speed beside the camera, the share that moves, the camera's motion in both
/// directions, deceleration, acceleration, and whether the motion is known at all.
pub const OTHERS: usize = 8;
/// Numbers of a frame: histogram, cells row by row, others.
pub const VALUES: usize = BINS + GRID * GRID * CELL_BINS + OTHERS;
/// Speeds are compressed as ln(1 + GAIN · v).
pub const GAIN: f64 = 50.0;

/// What is faster than this beside the camera moves, in sides a second.
const MOVES: f64 = 0.04;
/// The time over which changes of speed are counted, in seconds.
const CHANGE: f64 = 0.05;

/// Describes frame after frame.
pub struct Describer {
    whole: Hoof,
    cells: Hoof,
    before: Option<Vec<f64>>,
}

impl fmt::Debug for Describer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Describer")
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

impl Describer {
    /// At the start of a stream; none if there can be no histograms, which are of fixed sizes.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self {
            whole: Hoof::new(BINS)?,
            cells: Hoof::new(CELL_BINS)?,
            before: None,
        })
    }

    /// Forgets the frame before.
    pub fn reset(&mut self) {
        self.before = None;
    }

    /// The numbers of a frame: its flow in pixels of an analysed square of `side` pixels over `seconds`, or none where
    /// no motion is known, as after a cut.
    pub fn next(&mut self, flow: Option<&Flow<'_>>, side: f64, seconds: f64) -> [f32; VALUES] {
        let mut out = [0.0; VALUES];
        let known = flow.filter(|_| side > 0.0 && seconds > 0.0);
        let Some(flow) = known else {
            self.before = None;
            return out;
        };
        // Sides a second in a pixel a frame.
        let unit = 1.0 / (side * seconds);
        let kinetics = Kinetics::new(flow);
        let [x, y] = kinetics.camera;
        let own: [Vec<f32>; 2] = [0, 1].map(|axis| {
            flow.vectors()
                .map(|v| v.map_or(f32::NAN, |v| v[axis] - kinetics.camera[axis] as f32))
                .collect()
        });
        let Some(own) = Flow::new(flow.width(), flow.height(), &own[0], &own[1]) else {
            return out;
        };
        let count = flow.vectors().count().max(1) as f64;
        let compressed = |speed: f64| (GAIN * speed).ln_1p() as f32;
        let histogram: Vec<f64> = self
            .whole
            .histogram(&own)
            .iter()
            .map(|sum| sum * unit / count)
            .collect();
        let cells = self.cells.grid(&own, [GRID, GRID]);
        let per_cell = count / (GRID * GRID) as f64;
        let (mut speed, mut moving) = (0.0, 0.0);
        for [x, y] in own.vectors().flatten() {
            let length = f64::from(x.hypot(y)) * unit;
            speed += length / count;
            moving += f64::from(u8::from(length > MOVES)) / count;
        }
        let before = self.before.as_ref().unwrap_or(&histogram);
        let rate = CHANGE / seconds;
        let others = [
            compressed(kinetics.magnitude * unit),
            compressed(speed),
            moving as f32,
            compressed(x.abs() * unit).copysign(x as f32),
            compressed(y.abs() * unit).copysign(y as f32),
            compressed(deceleration(before, &histogram) * rate),
            compressed(deceleration(&histogram, before) * rate),
            1.0,
        ];
        let values = histogram
            .iter()
            .map(|speed| compressed(*speed))
            .chain(cells.iter().map(|sum| compressed(sum * unit / per_cell)))
            .chain(others);
        for (to, from) in out.iter_mut().zip(values) {
            *to = from;
        }
        self.before = Some(histogram);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter of the picture moves down at `speed` pixels while the camera pans by `pan`.
    fn planes(speed: f32, pan: f32) -> [Vec<f32>; 2] {
        let inside = |n: usize| n % 32 < 16 && n / 32 < 16;
        [
            vec![pan; 32 * 32],
            (0..32 * 32)
                .map(|n| if inside(n) { speed } else { 0.0 })
                .collect(),
        ]
    }

    fn numbers(speed: f32, pan: f32, seconds: f64) -> [f32; VALUES] {
        let [x, y] = planes(speed, pan);
        let flow = Flow::new(32, 32, &x, &y).unwrap();
        Describer::new().unwrap().next(Some(&flow), 128.0, seconds)
    }

    #[test]
    fn speeds_are_per_second_and_the_camera_does_not_count() {
        let slow = numbers(2.0, 0.0, 1.0 / 20.0);
        let fast = numbers(1.0, 0.0, 1.0 / 40.0);
        assert_eq!(slow.len(), 152);
        for (a, b) in slow.iter().zip(&fast) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let panned = numbers(2.0, -3.0, 1.0 / 20.0);
        let others = BINS + GRID * GRID * CELL_BINS;
        for (a, b) in slow[..others].iter().zip(&panned) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        // Down is bin 4 of 16 and bin 2 of 8; the upper left cell moves, the lower right does not.
        let expected = (GAIN * 0.25 * 2.0 * 20.0 / 128.0).ln_1p() as f32;
        assert!((slow[4] - expected).abs() < 1e-3 && slow[12] == 0.0);
        let cell = |n: usize| &slow[BINS + n * CELL_BINS..][..CELL_BINS];
        assert!(cell(0)[2] > 2.0 && cell(15).iter().all(|v| *v == 0.0));
        let (still, moved) = (&slow[others..], &panned[others..]);
        assert_eq!((still[2], still[7], still[3]), (0.25, 1.0, 0.0));
        assert!(moved[3] < -2.0 && moved[4] == 0.0);
    }

    #[test]
    fn changes_are_seen_and_what_is_unknown_is_nothing() {
        let mut describer = Describer::new().unwrap();
        let others = BINS + GRID * GRID * CELL_BINS;
        let mut next = |speed: f32| {
            let [x, y] = planes(speed, 0.0);
            let flow = Flow::new(32, 32, &x, &y).unwrap();
            describer.next(Some(&flow), 128.0, 0.05)
        };
        let first = next(2.0);
        assert_eq!((first[others + 5], first[others + 6]), (0.0, 0.0));
        let faster = next(3.0);
        assert!(faster[others + 6] > 0.1 && faster[others + 5] == 0.0);
        let slower = next(1.0);
        assert!(slower[others + 5] > 0.1 && slower[others + 6] == 0.0);
        assert_eq!(describer.next(None, 128.0, 0.05), [0.0; VALUES]);
        let [x, y] = [[f32::NAN; 4]; 2];
        let flow = Flow::new(2, 2, &x, &y).unwrap();
        let blind = describer.next(Some(&flow), 128.0, 0.05);
        assert!(blind.iter().all(|v| v.is_finite()));
    }
}
