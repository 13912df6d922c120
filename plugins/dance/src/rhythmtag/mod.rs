// SPDX-License-Identifier: MPL-2.0
//! # rhythmtag
//!
//! Detects the beats of dancing and marks their exact instants.
//!
//! The video passes as it is, of any format, size and kind of memory. It must carry `GstHoofMeta`, the motion that
//! `hoofflow` measures: without, a warning is posted once, and nothing is marked. A visual beat is the instant at
//! which the body comes to rest or turns round; each is a mark of kind `visual-beat`, in a `GstRhythmMeta` on a buffer
//! and in a `rhythm-mark` message on the bus. Its `strength` is how much motion ended, in octaves; its `confidence`
//! is the share of beats of that strength that were right on the dance corpus; its `bpm` is the tempo of the
//! motion, by autocorrelation, where there is one. The tempo of the motion is not that of the music, and is sent as no
//! event or tag.
//!
//! Three modes say when marks come:
//!
//! * `low-latency` does not delay the video. A beat is known within 250 ms and two frames after its instant, since
//!   rest is known only once it lasts; its mark rides on the buffer that is there then.
//! * `aligned` delays the video so that each mark rides on the very buffer that holds its instant; the answer to LATENCY
//!   says by how much: 250 ms, two frames, and as much as the motion comes later than its frames. Marks of motion
//!   that comes still later ride on the next buffer, and are counted as `late`.
//! * `offline` looks at the whole stream and sends everything at its end, in serialized `rhythm-marks` events.
//!
//! A lower frame rate in a higher one, and frames at uneven distances, are handled as what they are. A cut of the
//! picture is no beat. Played backwards, the video passes without marks. A gap in the stream of over 250 ms ends the
//! analysis, which restarts after it.
//!
//! ## Whether the dance follows the music
//!
//! Music with the marks of `onsetdetect` may pass through the request pad `audio` to `audio_src`, as it is. The
//! element message `rhythm-alignment` then reports how the visual beats lie on the beats: every `interval` over the last
//! 30 s (not with `mode=offline`), and at the end over all of it, with `final` true.
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `start`, `end` | uint64, ns | what it is about, in running time |
//! | `final` | boolean | whether both streams have ended |
//! | `music-beats`, `visual-beats` | uint | how many there are |
//! | `offset` | double, ms | by how much the dance is late; missing where no two beats are near |
//! | `hit-rate-50`, `hit-rate-100` | double | share of the beats with a visual beat within 50 and 100 ms |
//! | `null-50`, `null-100` | double | what the same visual beats score on average when they are slid past the music |
//! | `mean-distance`, `p95-distance` | double, ms | from a beat to the nearest visual beat |
//!
//! A hit rate means nothing without its null: who moves often enough hits every beat. The last fields are missing
//! where there are no beats of one kind.
//!
//! ## Example
//!
//! ```sh
//! gst-launch-1.0 -m filesrc location=dance.mp4 ! decodebin ! videoconvert ! deinterlace ! videoflip video-direction=auto ! hoofflow ! rhythmtag ! \
//!     fakesink
//! ```
//!
//! Prints a `rhythm-mark` message for every beat of the dancing.

use gst::glib;

mod alignment;
mod imp;
mod properties;
mod stream;

/// What beats are detected with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstRhythmTagMethod")]
pub enum Method {
    /// The motion alone.
    #[default]
    #[enum_value(
        name = "Motion that comes to rest or turns round, by GstHoofMeta",
        nick = "motion"
    )]
    Motion,
}

glib::wrapper! {
    /// The element `rhythmtag`.
    pub struct RhythmTag(ObjectSubclass<imp::RhythmTag>)
        @extends gst::Element, gst::Object;
}
