// SPDX-License-Identifier: MPL-2.0
//! # onsetdetect
//!
//! Detects onsets, beats, downbeats and the tempo of music and marks their exact instants.
//!
//! The audio passes through bit-exact, in any rate from 8 kHz up, any layout and 1 to 64 channels;
//! the analysis works on a copy. Each mark carries the instant of the event, not of its report, in a
//! `GstRhythmMeta` on a buffer and in a `rhythm-mark` message on the bus. The tempo is sent
//! downstream as the sticky event `rhythm-tempo` and, once it is sure, as the tag
//! `beats-per-minute`, beside the tags of the stream. When the beat is lost, as within 5 s of silence, and at a new stream,
//! the event says that there is no tempo any more, with a `bpm` of 0.
//!
//! The channels are mixed down; where they cancel each other, as where right is the negative of left, the loudest one
//! is analysed.
//!
//! Three modes say when marks come:
//!
//! * `low-latency` does not delay the audio. Onsets are reported within 30 ms of the attack and
//!   beats are announced ahead from the rhythm so far (`predicted`), so a mark may ride on a buffer
//!   that lies a little before or after its instant.
//! * `aligned` delays the audio so that each mark rides on the very buffer that holds its instant;
//!   the answer to LATENCY says by how much.
//! * `offline` looks at the whole stream and sends everything at its end, in serialized
//!   `rhythm-marks` events: the best accuracy, for files.
//!
//! ## The model
//!
//! With `method=model`, a trained network detects, run by [ONNX Runtime](https://onnxruntime.ai) 1.24
//! or newer. Neither is needed to load the plugin or to use another method.
//!
//! The model is `rhythm.onnx`, with its card `rhythm.toml` beside it. Unless the property `model`
//! names a file, it is looked for
//!
//! 1. in the folders of the environment variable `GST_DANCE_MODEL_PATH`, which has colons between
//!    them,
//! 2. in the plugin's own folder,
//! 3. in `../../models` from there, the repository's where cargo has built the plugin,
//! 4. in `../../share/gst-dance/models` and `../../../share/gst-dance/models` from there, the data
//!    folder of the prefix that the plugin is installed under.
//!
//! The library of ONNX Runtime is that of the property `onnxruntime-library`, of the environment
//! variable `ORT_DYLIB_PATH`, one in the plugin's folder, or the system's, in this order; what the
//! first two name must do. A process can have only one. `pipelines/onnxruntime.sh` fetches it.
//!
//! With `method=auto` the model is used where both are found, and SuperFlux where one is not, which
//! is logged; a model or a library that is there but does not fit is reported by a warning. Who
//! sets `method=model`, or names a model, a library or another execution provider than `cpu`, gets
//! the model or an error: at READY for what is missing or does not fit, at PAUSED for what only
//! running shows. `active-method` names the method in use. A model that fails on the way, as with
//! an output that is not a number, ends the stream with an error, or with `auto` gives its place to
//! SuperFlux with a warning.
//!
//! `execution-provider` is a demand, too: a provider that is named and cannot be had is an error,
//! unless `allow-fallback` makes a warning of it. `active-execution-provider` names what really runs
//! the most of the network. Elements with the same model and the same settings share one session.
//!
//! The network is run frame by frame, 100 a second. With `offline`, and with `aligned` where the
//! audio does not come live, it is run on 16 frames at a time, which costs less; the LATENCY query
//! counts that in.
//!
//! ## Example
//!
//! ```sh
//! gst-launch-1.0 -m audiotestsrc wave=ticks num-buffers=400 ! onsetdetect ! fakesink
//! ```
//!
//! Prints a `rhythm-mark` message for every onset and beat of a metronome.

use gst::glib;

mod clock;
pub(crate) mod downmix;
mod imp;
mod network;
mod properties;
mod stream;

/// What onsets and beats are detected with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOnsetDetectMethod")]
pub enum Method {
    /// [`Method::Model`] where it can be had, else [`Method::SuperFlux`].
    #[default]
    #[enum_value(
        name = "The model where it and ONNX Runtime are found, else superflux",
        nick = "auto"
    )]
    Auto,
    /// Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013.
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
    /// A network, run by ONNX Runtime.
    #[enum_value(name = "A trained network, run by ONNX Runtime", nick = "model")]
    Model,
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
