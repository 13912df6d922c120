//! The task of a source pad behind a queue.

use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;

use crate::lock::lock;

/// Starts and rests the task of one pad. Both happen under one lock, so that neither overtakes the other, and a flush
/// from another thread cannot start it on a pad that is being shut down.
#[derive(Default)]
pub(crate) struct Task {
    /// Whether the pad is active.
    active: Mutex<bool>,
}

impl Task {
    /// From `false` on nobody starts it.
    pub(crate) fn set_active(&self, active: bool) {
        *lock(&self.active) = active;
    }

    /// Starts it on an active pad where `begins` finds something to do.
    ///
    /// # Errors
    /// If there can be no task.
    pub(crate) fn start(
        &self,
        pad: &gst::Pad,
        begins: impl FnOnce() -> bool,
        work: impl FnMut() + Send + 'static,
    ) -> Result<(), glib::BoolError> {
        let active = lock(&self.active);
        if *active && begins() {
            pad.start_task(work)?;
        }
        Ok(())
    }

    /// Rests, called by the task itself, unless `is_over` finds that it has been started again just now.
    pub(crate) fn rest(&self, pad: &gst::Pad, is_over: impl FnOnce() -> bool) {
        let _starts = lock(&self.active);
        if is_over() {
            let _ = pad.pause_task();
        }
    }
}
