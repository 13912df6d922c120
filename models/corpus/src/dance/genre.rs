// SPDX-License-Identifier: MPL-2.0
//! What a dance genre is.

use super::arms::Arm;

/// A genre.
#[derive(Clone, Debug, PartialEq)]
pub struct Genre {
    /// Its name.
    pub name: String,
    /// Its moves, the more often named the more frequent.
    pub moves: Vec<String>,
    /// Positions of its arms, at least one.
    pub arms: Vec<Arm>,
    /// How late within a count the body moves: 0 evenly, 1 at the last moment.
    pub snap: f32,
    /// How little the body stops on a count.
    pub flow: f32,
    /// How high it bounces between counts, in leg lengths.
    pub bounce: f32,
    /// How deep its knees are, in leg lengths.
    pub low: f32,
    /// How far its feet are turned out, in radians.
    pub turnout: f32,
    /// Hands: 0 open, 1 fists.
    pub grip: f32,
    /// How large its moves are.
    pub size: f32,
    /// Styles of the music it is mostly danced to.
    pub music: Vec<String>,
}
