// SPDX-License-Identifier: MPL-2.0
//! What moves the bones: a choreography, or motion that was captured.

use super::choreography::Dance;
use super::mocap::Capture;
use super::skeleton::{Figure, Pose};

/// A motion of a clip.
#[derive(Clone, Debug)]
pub enum Motion {
    /// Out of the move grammar.
    Dance(Dance),
    /// Out of a recording, warped onto beats.
    Capture(Capture),
}

impl Motion {
    /// The pose of a figure at a time in seconds.
    pub fn pose(&self, figure: &Figure, time: f64) -> Pose {
        match self {
            Self::Dance(dance) => dance.pose(figure, time),
            Self::Capture(capture) => capture.pose(figure, time),
        }
    }

    /// Instants at which the motion stops or turns round, ascending.
    pub fn beats(&self) -> &[f64] {
        match self {
            Self::Dance(dance) => &dance.beats,
            Self::Capture(capture) => &capture.beats,
        }
    }
}
