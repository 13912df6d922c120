// SPDX-License-Identifier: MPL-2.0
//! The commands that make and measure data.

pub mod audio;
pub mod corpus;
pub mod report;
