// SPDX-License-Identifier: MPL-2.0
//! The task `mudar`, the joint network of music and dance: J. Yu, J. Pu, Y. Cheng, R. Feng and Y. Shan, "Self-Supervised Learning of
//! Music-Dance Representation through Explicit-Implicit Rhythm Synchronization".

pub mod analysis;
pub mod data;
pub mod eval;
pub mod example;
pub mod export;
pub mod features;
pub mod pick;
pub mod task;

pub use task::MudarTask;
