// SPDX-License-Identifier: MPL-2.0
//! Dance motion out of music by diffusion: everything but the network.
//!
//! A dance is a sequence of *tokens*, each a moment ([`Clock`]): the joints of a
//! dancer in the picture, relative to those of a reference picture ([`pose`]). A window of
//! [`TOKENS`] of them is made out of noise, from its music ([`music`]), by a network that is asked
//! at some noise levels ([`schedule`]) what the motion without noise is ([`sampler`]). The first
//! [`GIVEN`] tokens of a window are the last ones of the window before, so that dances have no end
//! ([`windows`]).
//!
//! J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020; x₀ as what
//! is predicted, as in G. Tevet et al., "Human motion diffusion model", ICLR 2023.

pub mod music;
pub mod pose;
pub mod sampler;
pub mod schedule;
pub mod windows;

/// Tokens of a window.
pub const TOKENS: usize = 80;
/// Tokens of a window that are the last ones of the window before.
pub const GIVEN: usize = 8;
/// Joints of a token, in the order of [`pose::NAMES`].
pub const JOINTS: usize = 20;
/// Numbers of a token: of each joint how far it is to the right of the reference's, then how far
/// below.
pub const COORDINATES: usize = 2 * JOINTS;
/// Tokens of a beat, where they follow the beats.
pub const PER_BEAT: usize = 10;
/// Tokens a second, where they do not.
pub const PER_SECOND: f64 = 20.0;

/// How tokens lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// [`PER_BEAT`] tokens a beat.
    Beats,
    /// [`PER_SECOND`] tokens a second.
    Seconds,
}
