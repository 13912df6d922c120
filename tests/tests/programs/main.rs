// SPDX-License-Identifier: MPL-2.0
//! What a user runs, run as a user would: scripts, examples, the pipelines on the pages.

// So that the lints know all of this for a test.
#![cfg(test)]

mod examples;
mod media;
mod pages;
mod pipelines;
mod support;
