//! # onsetdetect
//!
//! Hears onsets, beats, downbeats and the tempo of music and marks their exact instants.
//!
//! The audio passes through bit-exact, in any rate from 8 kHz up, any layout and 1 to 64 channels;
//! the analysis works on a copy. Each mark tells the instant of the event, not of its report, in a
//! `GstRhythmMeta` on a buffer and in a `rhythm-mark` message on the bus. The tempo is sent
//! downstream as the sticky event `rhythm-tempo` and, once it is sure, as the tag
//! `beats-per-minute`.
//!
//! Three modes say when marks come:
//!
//! * `low-latency` does not delay the audio. Onsets are reported within 30 ms of the attack and
//!   beats are announced ahead from the rhythm so far (`predicted`), so a mark may ride on a buffer
//!   that lies a little before or after its instant.
//! * `aligned` delays the audio so that each mark rides on the very buffer that holds its instant;
//!   the LATENCY query tells by how much.
//! * `offline` looks at the whole stream and sends everything at its end, in serialized
//!   `rhythm-marks` events: the best accuracy, for files.
//!
//! ## Example
//!
//! ```sh
//! gst-launch-1.0 -m audiotestsrc wave=ticks num-buffers=400 ! onsetdetect ! fakesink
//! ```
//!
//! Prints a `rhythm-mark` message for every onset and beat of a metronome.

use gst::glib;
use gst::prelude::*;

mod clock;
mod downmix;
mod imp;

/// Which onset function is used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOnsetDetectMethod")]
pub enum Method {
    /// Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013.
    #[default]
    #[enum_value(
        name = "SuperFlux: spectral flux with vibrato suppression",
        nick = "superflux"
    )]
    SuperFlux,
    /// MuDaR equations 1 and 2, as printed.
    #[enum_value(name = "MuDaR equations 1 and 2, as printed", nick = "mudar")]
    Mudar,
    /// `onset_strength` and `onset_detect` of librosa with their defaults.
    #[enum_value(name = "The defaults of librosa", nick = "librosa")]
    Librosa,
}

/// When marks come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOnsetDetectMode")]
pub enum Mode {
    /// The audio is not delayed; marks come late or are predicted.
    #[default]
    #[enum_value(
        name = "Audio not delayed, marks a little late or predicted",
        nick = "low-latency"
    )]
    LowLatency,
    /// The audio is delayed so that each mark rides on the buffer that holds its instant.
    #[enum_value(
        name = "Audio delayed so that each mark rides on the buffer that holds its instant",
        nick = "aligned"
    )]
    Aligned,
    /// All marks at the end of the stream, from the whole of it.
    #[enum_value(
        name = "All marks at the end of the stream, from the whole of it",
        nick = "offline"
    )]
    Offline,
}

/// Kinds of marks that are emitted.
#[glib::flags(name = "GstOnsetDetectEmit")]
pub enum Emit {
    /// Attacks of sounds.
    #[flags_value(name = "Onsets", nick = "onset")]
    ONSET = 1 << 0,
    /// Beats; downbeats too, as plain beats, where these are not asked for.
    #[flags_value(name = "Beats", nick = "beat")]
    BEAT = 1 << 1,
    /// First beats of bars.
    #[flags_value(name = "Downbeats", nick = "downbeat")]
    DOWNBEAT = 1 << 2,
}

impl Default for Emit {
    fn default() -> Self {
        Self::all()
    }
}

glib::wrapper! {
    /// The element `onsetdetect`.
    pub struct OnsetDetect(ObjectSubclass<imp::OnsetDetect>)
        @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "onsetdetect",
        gst::Rank::NONE,
        OnsetDetect::static_type(),
    )
}
