// SPDX-License-Identifier: MPL-2.0
//! The properties, and the settings behind them.

use std::sync::LazyLock;

use dance_rhythm::visual::{self, Config, Detector, Error};

use super::Method;
use crate::delay::Mode;
use crate::property::{self, Properties};

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub method: Method,
    pub mode: Mode,
    pub min_bpm: f64,
    pub max_bpm: f64,
    pub threshold: f32,
    pub offset: i64,
    pub post_messages: bool,
    pub interval: gst::ClockTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            mode: Mode::default(),
            min_bpm: visual::DEFAULT_MIN_BPM,
            max_bpm: visual::DEFAULT_MAX_BPM,
            threshold: 1.0,
            offset: 0,
            post_messages: true,
            interval: gst::ClockTime::from_seconds(5),
        }
    }
}

impl Settings {
    pub fn detector(&self) -> Result<Detector, Error> {
        Detector::new(Config {
            threshold: self.threshold.into(),
            min_bpm: self.min_bpm,
            max_bpm: self.max_bpm,
            offline: self.mode == Mode::Offline,
        })
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    let tempi = visual::LOWEST_BPM..=visual::HIGHEST_BPM;
    let more = "; beats are no closer than two thirds of its period";
    Properties::new(property::list! { Settings:
        "method", "Method", "What beats are detected with" => READY choice method;
        "mode", "Mode", "When marks come and whether the video waits for them" => READY choice mode;
        use property::tempo_range("the motion", more, &tempi, |s: &mut Settings| &mut s.min_bpm, |s| &mut s.max_bpm);
        "threshold", "Threshold",
            "Factor on how much motion must end: above 1 detects fewer beats, below 1 more"
            => READY number threshold in 0.01..=100.0;
        use property::offset(|s: &mut Settings| &mut s.offset);
        use property::post_messages(
            "Post a rhythm-mark element message on the bus for every mark",
            |s: &mut Settings| &mut s.post_messages,
        );
        "interval", "Interval",
            "With the pad audio: nanoseconds of the stream between rhythm-alignment messages, 0 = only at the end"
            => PLAYING number interval in gst::ClockTime::ZERO..=gst::ClockTime::from_seconds(3600);
        use property::tempo("Tempo of the motion now in beats per minute, 0 = none");
        use property::stats(
            "Counts of buffers, of frames whose motion was analysed, of marks, and of what went wrong; the tempo"
        );
    })
});
