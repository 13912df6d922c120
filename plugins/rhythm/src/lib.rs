// SPDX-License-Identifier: MPL-2.0
//! The rhythm of music and of dance as plain signal processing.
//!
//! Plain arrays in, plain values out: this crate knows neither GStreamer nor ONNX Runtime.
#![forbid(unsafe_code)]

pub mod analyzer;
pub mod bands;
pub mod beat;
pub mod conceal;
pub mod feature;
pub mod mel;
pub mod metrics;
pub mod motion;
pub mod motion_diffusion;
pub mod network;
pub mod onset;
pub mod resample;
pub mod retarget;
pub mod spectrum;
pub mod tempogram;
pub mod visual;
