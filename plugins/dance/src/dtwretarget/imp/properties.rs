//! The properties, and the settings behind them.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use crate::dtwretarget::Kinds;
use crate::dtwretarget::course::Settings;

pub(super) fn list() -> &'static [glib::ParamSpec] {
    static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
        let default = Settings::default();
        let path = |name, nick, blurb| {
            glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .mutable_ready()
                .build()
        };
        let speed = |name, nick, blurb, low, high, default| {
            glib::ParamSpecDouble::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(default)
                .mutable_ready()
                .build()
        };
        let time = |name, nick, blurb, most: gst::ClockTime, default: gst::ClockTime| {
            glib::ParamSpecUInt64::builder(name)
                .nick(nick)
                .blurb(blurb)
                .maximum(most.nseconds())
                .default_value(default.nseconds())
                .mutable_ready()
                .build()
        };
        vec![
            glib::ParamSpecEnum::builder_with_default("method", default.method)
                .nick("Method")
                .blurb("How marks find each other; others than dtw-bounded need marks-location")
                .mutable_ready()
                .build(),
            speed(
                "min-speed",
                "Lowest speed",
                "Seconds of video in a second of output, at least",
                0.01,
                1.0,
                default.min_speed,
            ),
            speed(
                "max-speed",
                "Highest speed",
                "Seconds of video in a second of output, at most",
                1.0,
                16.0,
                default.max_speed,
            ),
            speed(
                "strength",
                "Strength",
                "From 0, nothing moves, to 1, beats meet",
                0.0,
                1.0,
                default.strength,
            ),
            glib::ParamSpecInt64::builder("offset")
                .nick("Offset")
                .blurb("How much later than the musical beat the visual one is to be seen, in ns")
                .minimum(-1_000_000_000)
                .maximum(1_000_000_000)
                .mutable_ready()
                .build(),
            glib::ParamSpecFlags::builder::<Kinds>("kinds")
                .nick("Kinds")
                .blurb("Which marks of the music are met")
                .default_value(default.kinds)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("interpolation", default.interpolation)
                .nick("Interpolation")
                .blurb("What is shown between two frames")
                .mutable_ready()
                .build(),
            time(
                "look-ahead",
                "Look-ahead",
                "In one pass, how far both sides have come when a picture leaves, in ns; its latency",
                gst::ClockTime::from_seconds(60),
                default.look_ahead,
            ),
            time(
                "starve-timeout",
                "Timeout of starvation",
                "Outside live pipelines, how long one side waits for another that shows no progress, in ns of \
                 wall-clock time",
                gst::ClockTime::from_seconds(3600),
                default.starve_timeout,
            ),
            path(
                "marks-location",
                "Location of marks",
                "Path of a file of JSON lines with the marks of video and music, read at READY to PAUSED",
            ),
            path(
                "path-location",
                "Location of the path",
                "Path of a JSON file to write the path to at the end",
            ),
            glib::ParamSpecBoolean::builder("post-messages")
                .nick("Post messages")
                .blurb("Post an element message retarget-status when the video begins to follow, or cannot")
                .default_value(default.post_messages)
                .mutable_playing()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "Since the start: pictures sent, of them repeated, frames dropped, pictures late for knowing \
                     what follows, percentiles of speed and the highest, longest-freeze in ns",
                )
                .read_only()
                .build(),
        ]
    });
    PROPERTIES.as_ref()
}

pub(super) fn set(settings: &mut Settings, value: &glib::Value, pspec: &glib::ParamSpec) {
    let path = || {
        let path = value.get::<Option<std::path::PathBuf>>().ok().flatten();
        path.filter(|path| !path.as_os_str().is_empty())
    };
    let time = || value.get().map(gst::ClockTime::from_nseconds);
    let number = || value.get::<f64>().ok().filter(|number| number.is_finite());
    let default = Settings::default();
    match pspec.name() {
        "method" => settings.method = value.get().unwrap_or_default(),
        "min-speed" => settings.min_speed = number().unwrap_or(default.min_speed),
        "max-speed" => settings.max_speed = number().unwrap_or(default.max_speed),
        "strength" => settings.strength = number().unwrap_or(default.strength),
        "offset" => settings.offset = value.get().unwrap_or_default(),
        "kinds" => settings.kinds = value.get().unwrap_or(default.kinds),
        "interpolation" => settings.interpolation = value.get().unwrap_or_default(),
        "look-ahead" => settings.look_ahead = time().unwrap_or(default.look_ahead),
        "starve-timeout" => settings.starve_timeout = time().unwrap_or(default.starve_timeout),
        "marks-location" => settings.marks_location = path(),
        "path-location" => settings.path_location = path(),
        "post-messages" => settings.post_messages = value.get().unwrap_or(true),
        // GObject hands over the properties above only.
        _ => unreachable!(),
    }
}

/// Of all but `stats`.
pub(super) fn get(settings: &Settings, pspec: &glib::ParamSpec) -> glib::Value {
    match pspec.name() {
        "method" => settings.method.to_value(),
        "min-speed" => settings.min_speed.to_value(),
        "max-speed" => settings.max_speed.to_value(),
        "strength" => settings.strength.to_value(),
        "offset" => settings.offset.to_value(),
        "kinds" => settings.kinds.to_value(),
        "interpolation" => settings.interpolation.to_value(),
        "look-ahead" => settings.look_ahead.nseconds().to_value(),
        "starve-timeout" => settings.starve_timeout.nseconds().to_value(),
        "marks-location" => settings.marks_location.to_value(),
        "path-location" => settings.path_location.to_value(),
        "post-messages" => settings.post_messages.to_value(),
        _ => unreachable!(),
    }
}
