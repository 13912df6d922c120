// SPDX-License-Identifier: MPL-2.0
//! Definitions of the networks that gst-plugins-dance runs, and their ONNX files.
//!
//! A [`Network`](network::Network) is one generic function over the operations of [`ops`]. The
//! interpreter [`onnx::Emit`] writes it as an ONNX graph; another, in the crate `dance-training`,
//! computes and differentiates it with LibTorch. What is trained is therefore what is served.
//! Nothing here needs a native library, and any test gets a small model from [`card::model`].

pub mod card;
pub mod dabgen;
pub mod flow;
pub mod layers;
pub mod mudar;
pub mod network;
pub mod onnx;
pub mod ops;
pub mod rhythm;
pub mod selftest;
pub mod weights;
