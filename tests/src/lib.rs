//! Workspace-level tests and the material they share.

pub mod network;
pub mod synth;
