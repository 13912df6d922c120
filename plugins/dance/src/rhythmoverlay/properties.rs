// SPDX-License-Identifier: MPL-2.0
//! The properties, and the settings behind them.

use std::sync::LazyLock;

use super::draw::Style;
use super::{FlashStyle, Position, Show};
use crate::property::{self, Properties};

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub style: Style,
    pub max_flashes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            style: Style {
                // Motion is shown to those who ask for it: without `hoofflow` there is none.
                show: Show::ROSE.complement(),
                show_idle: true,
                flash_style: FlashStyle::default(),
                position: Position::default(),
                scale: 1.0,
                opacity: 1.0,
                color: 0xfff4f6fa,
                accent_color: 0xffffb020,
                plate_color: 0xc80b0e14,
                // Graphics-safe area of EBU R 95 and safe title area of SMPTE ST 2046-1: 90 % of either side.
                margin_x: 0.05,
                margin_y: 0.05,
                onset_window: gst::ClockTime::from_seconds(4),
            },
            // The threshold of WCAG 2.3.1, "three flashes or below".
            max_flashes: 3,
        }
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    Properties::new(property::list! { Settings:
        "show", "Show", "Parts of the overlay that are shown" => PLAYING flags style.show;
        "show-idle", "Show idle", "Show the overlay before anything has been detected"
            => PLAYING switch style.show_idle;
        "flash-style", "Flash style", "Form of the beat flash" => PLAYING choice style.flash_style;
        "max-flashes", "Maximum flashes",
            "Most flashes that begin in a second, where downbeats win over other beats \
             (0 = no limit; more than 3 endanger people with photosensitive epilepsy)"
            => PLAYING number max_flashes in 0..=60;
        "position", "Position", "Place of the plate in the safe area" => PLAYING choice style.position;
        "scale", "Scale",
            "Size of the plate, as a multiple of that which goes with the size of the picture, \
             as far as the safe area holds it"
            => PLAYING number style.scale in 0.25..=4.0;
        "opacity", "Opacity", "Opacity of the whole overlay, from 0 to 1"
            => PLAYING number style.opacity in 0.0..=1.0;
        "color", "Color", "Color of text, beats and ticks (ARGB)" => PLAYING number style.color in 0..=u32::MAX;
        "accent-color", "Accent color", "Color of downbeats (ARGB)"
            => PLAYING number style.accent_color in 0..=u32::MAX;
        "plate-color", "Plate color", "Color of the plate (ARGB)"
            => PLAYING number style.plate_color in 0..=u32::MAX;
        "margin-x", "Horizontal margin",
            "Margin of the safe area left and right, as a share of the picture's width"
            => PLAYING number style.margin_x in 0.0..=0.45;
        "margin-y", "Vertical margin",
            "Margin of the safe area above and below, as a share of the picture's height"
            => PLAYING number style.margin_y in 0.0..=0.45;
        "onset-window", "Onset window", "Time that the onset strip shows, in nanoseconds"
            => PLAYING number style.onset_window
            in gst::ClockTime::from_mseconds(500)..=gst::ClockTime::from_seconds(60);
    })
});
