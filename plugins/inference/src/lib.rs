// SPDX-License-Identifier: MPL-2.0
//! ONNX models for streaming media: found, checked, and run as the user asked or not at all.
//!
//! This crate stands between an element and [ONNX Runtime](https://onnxruntime.ai). It knows
//! nothing of GStreamer.
//!
//! ```no_run
//! use std::path::Path;
//! use dance_inference::{Model, Runtime, Search, SessionConfig};
//!
//! # fn main() -> dance_inference::Result<()> {
//! let runtime = Runtime::get(&Search::new(None))?;
//! let config = SessionConfig { providers: "cuda,cpu".parse()?, allow_fallback: true, ..SessionConfig::default() };
//! let model = Model::load(&runtime, Path::new("rhythm.onnx"), "rhythm", &config)?;
//! for fallback in model.fallbacks() {
//!     tracing::warn!("{} is not used: {}", fallback.provider, fallback.reason);
//! }
//!
//! let mut stream = model.stream(&[("batch", 1), ("time", 1)])?;
//! stream.set("features", &[0.0_f32; 80])?;
//! stream.run()?;
//! let activations = stream.output::<f32>("activations")?;
//! # let _ = activations; Ok(())
//! # }
//! ```
//!
//! # The library
//! Nothing is linked. [`Search`] looks for the library of ONNX Runtime at an explicit path, at
//! `ORT_DYLIB_PATH`, beside the plugin, and where the dynamic linker looks; [`Runtime::get`] takes
//! it if it is [`MINIMUM_VERSION`] or newer. A process has one: its log goes where [`set_log_sink`]
//! says.
//!
//! # Honesty about providers
//! [`Providers`] is a demand. What was named and cannot be had is an error, unless the
//! configuration allows a fall-back, and then [`Model::fallbacks`] tells of it. What runs where is
//! asked of the session itself ([`Assignment`]): that a provider is built into ONNX Runtime says
//! nothing about the machine, and that it was registered nothing about the graph.
//!
//! # Cost
//! One thread and no spinning, unless asked otherwise: between two runs of a small model the
//! defaults of ONNX Runtime keep a thread on each core busy waiting. A model run six times a second
//! on two cores that had other work too cost 32.9 % of a core with those defaults, 0.6 % without
//! the spinning, and 0.4 % as we set it (`cargo run -p dance-inference --example idle_cost`, ONNX
//! Runtime 1.31.1; spinning takes what is free, so the first figure depends on the other work). The
//! benchmark `run` measures what a run costs beside the network.
//!
//! # What has been run, and what not
//! Run by the tests: everything on the processor, with every minor version from 1.24 to 1.31
//! (`tests/ort-matrix.sh`); for CUDA and TensorRT the choice, the refusal and the fall-back, on a
//! machine without a GPU, with the builds for the processor and, by hand, with the build for GPUs
//! (PyPI's onnxruntime-gpu 1.24.4), which says which of NVIDIA's libraries it misses. Not run: a
//! model on a GPU, by CUDA or by TensorRT; the engine cache; the refusal where all libraries are
//! there and the driver or the GPU is not. State is kept in the processor's memory, so a model on a
//! GPU copies it both ways at each run.

pub mod card;
mod error;
mod library;
mod lock;
mod model;
mod provider;
mod providers;
mod runtime;
mod session;
mod stream;
mod tensorrt;
mod version;

pub use card::{Axis, Card, METADATA_KEY, Port};
pub use error::{Error, Result};
pub use library::{Library, Search, own_directory};
pub use model::{Model, ModelFile, Progress};
pub use provider::ExecutionProvider;
pub use providers::{Assignment, Fallback, Providers};
pub use runtime::{
    LogLevel, LogRecord, LogSink, Runtime, set_log_level, set_log_sink, user_cache_directory,
};
pub use session::SessionConfig;
pub use stream::Stream;
pub use version::{Fault, MINIMUM_VERSION, Version};
