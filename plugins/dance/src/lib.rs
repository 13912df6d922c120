//! The `dance` plugin.
