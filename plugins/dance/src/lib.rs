//! GStreamer elements that hear the rhythm of music, see that of dancing, and show both.
//!
//! Loading the plugin registers elements and the meta, and does nothing else.

use gst::glib;

mod dtwretarget;
pub mod hoof;
mod hoofflow;
mod lock;
mod markcombiner;
pub mod marks;
mod marksink;
mod model;
mod onsetdetect;
mod rhythmoverlay;
mod rhythmtag;
mod sticky;
mod task;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    hoof::register();
    marks::register();
    dtwretarget::register(plugin)?;
    hoofflow::register(plugin)?;
    markcombiner::register(plugin)?;
    marksink::register(plugin)?;
    onsetdetect::register(plugin)?;
    rhythmoverlay::register(plugin)?;
    rhythmtag::register(plugin)?;
    Ok(())
}

pub use description::plugin_register_static;

// The macro's public items carry no documentation.
#[allow(missing_docs)]
mod description {
    use super::plugin_init;

    gst::plugin_define!(
        dance,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MPL-2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_REPOSITORY"),
        env!("BUILD_REL_DATE")
    );
}
