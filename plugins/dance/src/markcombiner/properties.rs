// SPDX-License-Identifier: MPL-2.0
//! The properties, and the settings behind them.

use std::sync::LazyLock;

use crate::property::{self, Properties};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub marks_delay: gst::ClockTime,
    pub latency: gst::ClockTime,
    pub starve_timeout: gst::ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            // Detectors report an onset up to 30 ms after its attack, at the end of an analysis window.
            marks_delay: gst::ClockTime::from_mseconds(50),
            // A frame of 24 frames a second, and the delay of the marks.
            latency: gst::ClockTime::from_mseconds(100),
            starve_timeout: gst::ClockTime::from_seconds(5),
        }
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    let range = gst::ClockTime::ZERO..=gst::ClockTime::from_seconds(3600);
    Properties::new(property::list! { Settings:
        "marks-delay", "Delay of the marks",
            "How late after its instant a mark may come on the marks branch, in ns: media \
             waits for the branch to be this far ahead of it"
            => PLAYING number marks_delay in range.clone();
        "latency", "Latency",
            "In live pipelines, how long after the start of a media buffer its marks may \
             come, on top of the marks' own latency, in ns: the duration of a buffer and \
             marks-delay"
            => PLAYING number latency in range.clone();
        "starve-timeout", "Timeout of starvation",
            "In other pipelines, how long media waits for a marks branch that shows no \
             progress, in ns of wall-clock time"
            => PLAYING number starve_timeout in range;
        use property::stats(
            "Counts since READY: media-buffers sent; marks received, of them attached \
             (late ones too), late, duplicates, outside-segment, dropped for want of \
             room, unattached for want of media, pending; deadlines-missed and \
             starvations"
        );
    })
});
