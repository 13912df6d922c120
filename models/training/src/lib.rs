//! Data, networks, losses and export of the learned models.

pub mod audio;
