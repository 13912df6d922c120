//! Defines, trains and exports the networks of gst-plugins-dance.
//!
//! A [`Network`](network::Network) is one generic function over the operations of [`ops`]. The
//! interpreter [`onnx::Emit`] writes it as an ONNX graph and needs nothing native; the interpreter
//! `torch::Torch`, behind the feature `libtorch`, computes and differentiates it. What is trained
//! is therefore what is served, and `parity.sh` measures that it is.

pub mod audio;
pub mod checkpoint;
pub mod config;
pub mod corpus;
pub mod curve;
pub mod export;
pub mod files;
pub mod flow;
pub mod layers;
pub mod network;
pub mod onnx;
pub mod ops;
pub mod rhythm;
pub mod runtime;
pub mod selftest;
pub mod task;
#[cfg(feature = "libtorch")]
pub mod torch;
#[cfg(feature = "libtorch")]
pub mod train;
pub mod weights;
