// SPDX-License-Identifier: MPL-2.0
//! `rhythmoverlay` draws rhythm onto video: beat flash, bar counter, tempo and onset strip.
//!
//! The marks are those of the meta `GstRhythmMeta` on the video's buffers, where `markcombiner`
//! puts them, and the tempo also that of the sticky event `rhythm-tempo`. On a plate in a corner
//! of the safe area the overlay shows a lamp that flashes on each beat, the tempo, the beats of
//! the bar with the present one lit (the first in the accent color), and a strip on which the
//! marks of the last seconds go by: onsets low, beats higher, downbeats over the full height,
//! beats of the dancing hanging from above; a key below says so. On a picture that is higher than wide the plate keeps
//! away from the controls of players, and less of the picture shines through it.
//!
//! `show` with `rose` adds the flow rose: a petal for each direction, longer the more of what moves
//! goes there, from the `GstHoofMeta` of `hoofflow` upstream.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=song.ogg ! decodebin ! audioconvert ! tee name=t \
//!     t. ! queue ! onsetdetect ! combiner.marks \
//!     videotestsrc is-live=true num-buffers=300 ! video/x-raw,width=1920,height=1080 ! combiner.media \
//!     markcombiner name=combiner ! rhythmoverlay ! videoconvert ! autovideosink \
//!     t. ! queue ! autoaudiosink
//! ```
//!
//! ## Timing
//!
//! A flash begins on the frame that covers the instant of its mark, compared in running time
//! where the mark has one and in timestamps otherwise, and fades from that instant. Marks may
//! come early (up to 1024 wait for their frame) or late (then the flash shows as far as it has
//! faded by then). A frame that neither has a duration nor a frame rate covers only the instant
//! at which it begins. Frames without timestamps pass through undrawn.
//!
//! ## Flashes
//!
//! At most `max-flashes` flashes begin in any second, by default the three that WCAG 2.3.1
//! allows. Where the tempo is too fast for that, downbeats win: of a bar with an even number of
//! beats every other beat flashes, and if that is still too much, or the number is odd, its
//! first beat alone. Where tempo or metre are not known, or wrong, flashes that would be one too
//! many are left out as they come, downbeats too. The bar counter always moves on.
//!
//! ## Negotiation
//!
//! Where downstream takes `GstVideoOverlayComposition` metas, the picture is left as it is and
//! gets such a meta; a meta that is there already is extended. Elsewhere the overlay is blended
//! into the picture in place, in any raw format but UYVP and those of palettes and tiles, which
//! the caps refuse. GStreamer blends into YCbCr with the matrix of ITU-R BT.709 and the limited range,
//! whatever the video's: on full-range video the overlay is a little paler than its colors say.

use gst::glib;

mod blend;
mod canvas;
mod caps;
mod draw;
mod imp;
mod properties;
mod timeline;

pub use flags::Show;

// The macro's public items carry no documentation.
#[allow(missing_docs)]
mod flags {
    use gst::glib;

    /// What of the overlay is shown.
    #[glib::flags(name = "GstRhythmOverlayShow")]
    pub enum Show {
        /// A flash on each beat, in the form that `flash-style` names.
        #[flags_value(name = "Beat flash", nick = "flash")]
        FLASH = 1 << 0,
        /// The beats of the bar, with the present one lit.
        #[flags_value(name = "Bar counter", nick = "bar")]
        BAR = 1 << 1,
        /// The tempo in beats per minute.
        #[flags_value(name = "Tempo readout", nick = "bpm")]
        BPM = 1 << 2,
        /// The marks of the last seconds, scrolling by.
        #[flags_value(name = "Onset strip", nick = "onsets")]
        ONSETS = 1 << 3,
        /// The flow rose: where the picture moves to, from the motion that `hoofflow` attaches.
        #[flags_value(name = "Flow rose", nick = "rose")]
        ROSE = 1 << 4,
    }
}

/// The form of the beat flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstRhythmOverlayFlashStyle")]
pub enum FlashStyle {
    /// A lamp on the plate.
    #[default]
    #[enum_value(name = "A lamp on the plate", nick = "pip")]
    Pip,
    /// Light that falls into the picture from its four sides, outside the safe area.
    #[enum_value(name = "Light from the sides of the picture", nick = "border")]
    Border,
}

/// Where in the safe area the plate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstRhythmOverlayPosition")]
#[allow(missing_docs)]
pub enum Position {
    #[enum_value(name = "Top left", nick = "top-left")]
    TopLeft,
    #[enum_value(name = "Top, centered", nick = "top")]
    Top,
    #[enum_value(name = "Top right", nick = "top-right")]
    TopRight,
    #[default]
    #[enum_value(name = "Bottom left", nick = "bottom-left")]
    BottomLeft,
    #[enum_value(name = "Bottom, centered", nick = "bottom")]
    Bottom,
    #[enum_value(name = "Bottom right", nick = "bottom-right")]
    BottomRight,
}

impl Position {
    /// Share of the free room that lies to the left of the plate, and above it.
    fn alignment(self) -> (f32, f32) {
        match self {
            Position::TopLeft => (0.0, 0.0),
            Position::Top => (0.5, 0.0),
            Position::TopRight => (1.0, 0.0),
            Position::BottomLeft => (0.0, 1.0),
            Position::Bottom => (0.5, 1.0),
            Position::BottomRight => (1.0, 1.0),
        }
    }
}

glib::wrapper! {
    /// Draws rhythm onto video.
    pub struct RhythmOverlay(ObjectSubclass<imp::RhythmOverlay>)
        @extends gst::Element, gst::Object;
}
