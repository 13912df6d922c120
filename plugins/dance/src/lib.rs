// SPDX-License-Identifier: MPL-2.0
//! GStreamer elements that detect the rhythm of music and of dancing, align the two, and show both.
//!
//! Loading the plugin registers elements and the meta, and does nothing else.

use gst::glib;

use crate::element::register;

mod combine;
mod delay;
mod dtwretarget;
mod element;
pub mod hoof;
mod hoofflow;
mod lock;
mod markcombiner;
mod marknetsink;
pub mod marks;
mod marksink;
mod meta;
mod model;
mod onsetdetect;
mod output;
mod pads;
mod property;
mod rhythmoverlay;
mod rhythmtag;
mod sticky;
mod tags;
mod upstream;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    hoof::register();
    marks::register();
    register::<dtwretarget::DtwRetarget>(plugin, "dtwretarget")?;
    register::<hoofflow::HoofFlow>(plugin, "hoofflow")?;
    register::<markcombiner::MarkCombiner>(plugin, "markcombiner")?;
    register::<marknetsink::MarkNetSink>(plugin, "marknetsink")?;
    register::<marksink::MarkSink>(plugin, "marksink")?;
    register::<onsetdetect::OnsetDetect>(plugin, "onsetdetect")?;
    register::<rhythmoverlay::RhythmOverlay>(plugin, "rhythmoverlay")?;
    register::<rhythmtag::RhythmTag>(plugin, "rhythmtag")?;
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
