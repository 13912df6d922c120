// SPDX-License-Identifier: MPL-2.0
//! Trains, exports and evaluates the networks of gst-plugins-dance.
//!
//! A [`Task`](task::Task) joins a network of `dance-networks` to data of `dance-corpus`, with a loss
//! and figures. The interpreter `torch::Torch`, behind the feature `libtorch`, computes and
//! differentiates the network; what is exported is the same definition, and `parity.sh` measures
//! that both compute the same.

pub mod checkpoint;
pub mod commands;
pub mod config;
pub mod curve;
pub mod dabgen;
pub mod export;
pub mod flow;
pub mod mudar;
pub mod rhythm;
pub mod runtime;
pub mod selftest;
pub mod task;
#[cfg(feature = "libtorch")]
pub mod torch;
#[cfg(feature = "libtorch")]
pub mod train;
