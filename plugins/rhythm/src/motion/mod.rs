// SPDX-License-Identifier: MPL-2.0
//! Features of dense optical flow: its histogram of orientations ([`hoof`]), its kinematics
//! ([`kinetics`]), its colours ([`colour`]), where it means nothing ([`cut`]), which part of a picture to
//! look for it in ([`region`]), and the numbers of it that a network takes ([`descriptor`]).

pub mod colour;
pub mod cut;
pub mod descriptor;
pub mod hoof;
pub mod kinetics;
pub mod region;

/// A dense flow from one picture to the next, in the two planes that networks give it in.
///
/// Vectors are pixels of the analysed picture per pair of frames, to the right and down. Those that
/// are not finite are not known, and count nowhere.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    width: usize,
    height: usize,
    x: &'a [f32],
    y: &'a [f32],
}

impl<'a> Flow<'a> {
    /// A flow of `height` rows of `width` vectors; none if the planes are not of that size.
    #[must_use]
    pub fn new(width: usize, height: usize, x: &'a [f32], y: &'a [f32]) -> Option<Self> {
        let fits = width.checked_mul(height) == Some(x.len()) && x.len() == y.len();
        fits.then_some(Self {
            width,
            height,
            x,
            y,
        })
    }

    /// Vectors in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// All vectors row by row, those that are not known as none.
    pub fn vectors(&self) -> impl Iterator<Item = Option<[f32; 2]>> + 'a {
        let known = |(&x, &y): (&f32, &f32)| (x.is_finite() && y.is_finite()).then_some([x, y]);
        self.x.iter().zip(self.y).map(known)
    }
}
