// SPDX-License-Identifier: MPL-2.0
//! Workspace-level tests and the material they share.

pub mod network;
pub mod synth;
