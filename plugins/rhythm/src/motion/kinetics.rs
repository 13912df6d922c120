// SPDX-License-Identifier: MPL-2.0
//! How fast things move, and how suddenly they stop.

use super::Flow;

/// Vectors that differ from the camera's by more than this are of something that moves, in pixels.
const MOVES: f32 = 0.5;

/// The motion of one frame as a few numbers, in pixels per frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Kinetics {
    /// The mean length of all vectors.
    pub magnitude: f64,
    /// The motion of the camera, to the right and down: the median of either component.
    pub camera: [f64; 2],
    /// The mean length of what moves beside the camera, less the camera's own motion; 0 where
    /// nothing does.
    pub foreground: f64,
    /// The share of the picture that moves beside the camera.
    pub moving: f64,
}

impl Kinetics {
    /// The kinetics of a flow. Unknown vectors count as no motion.
    #[must_use]
    pub fn new(flow: &Flow<'_>) -> Self {
        let vectors: Vec<[f32; 2]> = flow.vectors().flatten().collect();
        if vectors.is_empty() {
            return Self::default();
        }
        let count = vectors.len() as f64;
        let camera = [0, 1].map(|axis| {
            let mut values: Vec<f32> = vectors.iter().map(|vector| vector[axis]).collect();
            let middle = values.len() / 2;
            *values.select_nth_unstable_by(middle, f32::total_cmp).1
        });
        let (mut magnitude, mut foreground, mut moving) = (0.0, 0.0, 0.0);
        for [x, y] in vectors {
            magnitude += f64::from((x * x + y * y).sqrt());
            let (x, y) = (x - camera[0], y - camera[1]);
            let own = (x * x + y * y).sqrt();
            if own > MOVES {
                foreground += f64::from(own);
                moving += 1.0;
            }
        }
        Self {
            magnitude: magnitude / count,
            camera: camera.map(f64::from),
            foreground: if moving > 0.0 {
                foreground / moving
            } else {
                0.0
            },
            moving: moving / count,
        }
    }
}

/// How much motion ends from one frame to the next: what each direction loses, added up over the
/// directions, so that a turn counts as much as a stop (Davis & Agrawala, "Visual Rhythm and Beat",
/// SIGGRAPH 2018, for which they have the name of directional deceleration). Both are histograms of
/// [`super::hoof::Hoof`].
#[must_use]
pub fn deceleration(before: &[f64], now: &[f64]) -> f64 {
    let losses = before.iter().zip(now).map(|(before, now)| before - now);
    losses.filter(|loss| *loss > 0.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dancer_is_separated_from_the_camera() {
        // A pan to the left; a quarter of the picture goes down.
        let (x, y): (Vec<f32>, Vec<f32>) = (0..64)
            .map(|n| if n % 4 == 0 { (-3.0, 4.0) } else { (-3.0, 0.0) })
            .unzip();
        let found = Kinetics::new(&Flow::new(8, 8, &x, &y).unwrap());
        assert_eq!(found.camera, [-3.0, 0.0]);
        assert_eq!((found.foreground, found.moving), (4.0, 0.25));
        assert_eq!(found.magnitude, 3.0 * 0.75 + 5.0 * 0.25);
    }

    #[test]
    fn unknown_and_still_are_nothing() {
        let nan = [f32::NAN; 4];
        assert_eq!(
            Kinetics::new(&Flow::new(2, 2, &nan, &nan).unwrap()),
            Kinetics::default()
        );
        let zero = [0.0; 4];
        let still = Kinetics::new(&Flow::new(2, 2, &zero, &zero).unwrap());
        assert_eq!(still, Kinetics::default());
    }

    #[test]
    fn stops_and_turns_decelerate_and_starts_do_not() {
        let right = [2.0, 0.0, 0.0, 0.0];
        let down = [0.0, 2.0, 0.0, 0.0];
        assert_eq!(deceleration(&right, &[0.0; 4]), 2.0);
        assert_eq!(deceleration(&right, &down), 2.0);
        assert_eq!(deceleration(&[0.0; 4], &right), 0.0);
    }
}
