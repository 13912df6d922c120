//! What a user runs, run as a user would: scripts, examples, the pipelines on the pages.

mod examples;
mod pages;
mod pipelines;
mod support;
