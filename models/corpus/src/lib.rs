// SPDX-License-Identifier: MPL-2.0
//! What the networks of gst-plugins-dance learn from: synthetic music, dance and optical flow with
//! exact truth, and loaders of recorded data sets.

pub mod audio;
pub mod dance;
mod data;
mod error;
pub mod files;
pub mod flow;
pub mod random;
mod split;

pub use error::Error;
pub use split::Split;
