// SPDX-License-Identifier: MPL-2.0
//! Endless short videos of people dancing to music, with every truth known.
//!
//! A [`Corpus`] makes clip number n as a pure function of its seed and n. A [`Scene`] is a clip
//! before it is drawn: cheap, and any frames of it can be drawn, two for optical flow or all of
//! them. What trains and what validates can be kept apart by bodies, songs, moves, genres on songs,
//! and views.
//!
//! Conventions of the truth: the pixel in column x and row y spans x … x+1 and y … y+1. Flow is in
//! pixels, first to the right, then down: the point seen in the middle of a pixel of one frame is
//! that much farther in the other frame. A pixel is *occluded* if that point is outside of the
//! other frame, or something else is seen where it lies. Parts are 0 for the backdrop, else 1 + a
//! bone of [`skeleton::NAMES`]; joints are those of [`skeleton::JOINT_NAMES`], in pixels, also where
//! something hides them or they are outside. Times are in seconds since the clip's first sample;
//! frame t shows the instant t / fps.

pub mod anny;
pub mod arms;
pub mod backdrop;
pub mod body;
pub mod bvh;
pub mod camera;
pub mod choreography;
pub mod clip;
pub mod draft;
pub mod folder;
pub mod genre;
pub mod genres;
pub mod kinetics;
pub mod lens;
pub mod media;
pub mod mocap;
pub mod motion;
pub mod moves;
pub mod music;
pub mod performance;
pub mod performances;
pub mod pulse;
pub mod raster;
pub mod recordings;
pub mod scene;
pub mod skeleton;
mod sources;
pub mod splits;
pub mod springs;
pub mod stage;
pub mod wardrobe;
pub mod window;

pub use clip::{Clip, Frames, Info, Lock};
pub use scene::Scene;
pub use sources::{Config, Music, Picture, Recorded};
pub use splits::{Factor, Share};

use crate::Error;
use sources::Sources;

/// Makes clips; shared by threads as it is.
pub struct Corpus {
    sources: Sources,
}

impl Corpus {
    /// Reads what a corpus is made from. Motion capture and photographs are looked for now and
    /// read when they are first used.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Broken`] name what is at fault, [`Error::Config`] says what
    /// of the configuration cannot be.
    pub fn new(config: Config, share: Share) -> Result<Self, Error> {
        Ok(Self {
            sources: Sources::new(config, share)?,
        })
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.sources.config
    }

    /// Clip number `index` before it is drawn, always the same.
    ///
    /// # Errors
    /// When a file that it needs cannot be read; the error names it.
    pub fn scene(&self, index: u64) -> Result<Scene, Error> {
        Scene::new(&self.sources, index)
    }

    /// Clip number `index`, always the same.
    ///
    /// # Errors
    /// As [`Corpus::scene`].
    pub fn clip(&self, index: u64) -> Result<Clip, Error> {
        Ok(self.scene(index)?.clip())
    }
}

#[cfg(test)]
mod tests;
