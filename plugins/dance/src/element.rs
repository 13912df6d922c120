// SPDX-License-Identifier: MPL-2.0
//! What every element declares, without the ceremony.

use gst::glib;
use gst::prelude::*;

/// A category of the debug log.
pub(crate) fn category(name: &str, description: &str) -> gst::DebugCategory {
    gst::DebugCategory::new(name, gst::DebugColorFlags::empty(), Some(description))
}

/// Registers the element `T` under `name`.
///
/// # Errors
/// If another element of that name cannot be replaced.
pub(crate) fn register<T: StaticType>(
    plugin: &gst::Plugin,
    name: &str,
) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), name, gst::Rank::NONE, T::static_type())
}

/// The function `metadata` of an `ElementImpl`: name, class and description of the element.
macro_rules! metadata {
    ($name:literal, $class:literal, $description:literal) => {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
                std::sync::LazyLock::new(|| {
                    let author = env!("CARGO_PKG_AUTHORS");
                    gst::subclass::ElementMetadata::new($name, $class, $description, author)
                });
            Some(&METADATA)
        }
    };
}

/// The function `pad_templates` of an `ElementImpl`, from rows of name, direction, presence and caps.
macro_rules! pad_templates {
    ($($name:literal: $direction:ident $presence:ident $caps:expr;)*) => {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
                std::sync::LazyLock::new(|| {
                    let templates = [$(gst::PadTemplate::new(
                        $name,
                        gst::PadDirection::$direction,
                        gst::PadPresence::$presence,
                        &$caps,
                    )),*];
                    // A template fails only if its name does not fit its presence.
                    templates.into_iter().filter_map(Result::ok).collect()
                });
            &TEMPLATES
        }
    };
}

pub(crate) use {metadata, pad_templates};

/// Adds the static pads of an element that has just been constructed.
pub(crate) fn add_pads<'a>(
    element: &impl IsA<gst::Element>,
    pads: impl IntoIterator<Item = &'a gst::Pad>,
) {
    for pad in pads {
        if let Err(err) = element.add_pad(pad) {
            gst::error!(gst::CAT_RUST, obj = pad, "could not add the pad: {err}");
        }
    }
}

/// Posts the error of a state change that fails.
///
/// # Errors
/// If `result` is one.
pub(crate) fn or_post(
    element: &impl IsA<gst::Element>,
    result: Result<(), gst::ErrorMessage>,
) -> Result<(), gst::StateChangeError> {
    result.map_err(|message| {
        element.as_ref().post_error_message(message);
        gst::StateChangeError
    })
}

/// Announces that the element's latency has changed; no lock may be held, since the application may answer at once.
pub(crate) fn post_latency(element: &impl IsA<gst::Element>) {
    let message = gst::message::Latency::builder()
        .src(element.upcast_ref::<gst::Element>())
        .build();
    // Fails only without a bus.
    let _ = element.post_message(message);
}
