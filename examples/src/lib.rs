//! Applications that embed the plugin.
