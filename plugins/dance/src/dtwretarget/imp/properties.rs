// SPDX-License-Identifier: MPL-2.0
//! The properties.

use std::sync::LazyLock;

use crate::dtwretarget::course::Settings;
use crate::property::{self, Properties};

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    let (second, hour) = (gst::ClockTime::SECOND, gst::ClockTime::from_seconds(3600));
    let zero = gst::ClockTime::ZERO;
    Properties::new(property::list! { Settings:
        "method", "Method", "How marks are matched; others than dtw-bounded need marks-location"
            => READY choice method;
        "min-speed", "Lowest speed", "Seconds of video in a second of output, at least"
            => READY number min_speed in 0.01..=1.0;
        "max-speed", "Highest speed", "Seconds of video in a second of output, at most"
            => READY number max_speed in 1.0..=16.0;
        "strength", "Strength", "From 0, nothing moves, to 1, beats meet" => READY number strength in 0.0..=1.0;
        "offset", "Offset", "How much later than the musical beat the visual one is to be seen, in ns"
            => READY number offset in -1_000_000_000..=1_000_000_000;
        "kinds", "Kinds", "Which marks of the music are met" => READY flags kinds;
        "interpolation", "Interpolation", "What is shown between two frames" => READY choice interpolation;
        "start", "Start", "Where the output begins; first-beat needs marks-location" => READY choice start;
        "end", "End", "When the output ends; loop needs marks-location" => READY choice end;
        "look-ahead", "Look-ahead",
            "In one pass, how far both sides have come when a picture leaves, in ns; its latency"
            => READY number look_ahead in zero..=60 * second;
        "starve-timeout", "Timeout of starvation",
            "Outside live pipelines, how long one side waits for another that shows no progress, in ns of \
             wall-clock time"
            => READY number starve_timeout in zero..=hour;
        "marks-location", "Location of marks",
            "Path of a file of JSON lines with the marks of video and music, read at READY to PAUSED"
            => READY path marks_location;
        "path-location", "Location of the path", "Path of a JSON file to write the path to at the end"
            => READY path path_location;
        use property::post_messages(
            "Post an element message retarget-status when the video begins to follow, or cannot",
            |s: &mut Settings| &mut s.post_messages,
        );
        use property::stats(
            "Since the start: pictures sent, of them repeated, frames dropped, pictures late for knowing \
             what follows, percentiles of speed and the highest, longest-freeze in ns"
        );
    })
});
