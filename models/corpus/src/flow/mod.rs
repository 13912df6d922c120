// SPDX-License-Identifier: MPL-2.0
//! Pairs of frames with the optical flow between them: synthetic ones, and folders of pairs.

pub mod compose;
pub mod defects;
pub mod figure;
pub mod folder;
pub mod geometry;
pub mod pair;
pub mod picture;
pub mod scene;
pub mod source;
pub mod texture;
