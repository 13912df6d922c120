// SPDX-License-Identifier: MPL-2.0
//! `markcombiner` carries marks from one branch to the buffers of another.
//!
//! The branch on `marks`, as a rule the music behind an `onsetdetect`, is read for its
//! [`GstRhythmMeta`](crate::marks)s and its `rhythm-marks` events, and its buffers end here. The
//! branch on `media`, of any caps, goes out at `src` with each mark on the buffer that covers the
//! mark's instant: PTS ≤ instant < PTS + duration. Payload, timestamps, flags and metas of the media
//! stay as they are. The common axis is running time; `timestamp` and `stream-time` of an attached
//! mark are those of the media's segment, its source, id and other fields are kept. The sticky
//! event `rhythm-tempo` and the tag `beats-per-minute` come over as well.
//!
//! **Synchronisation.** A media buffer leaves when the marks branch has come `marks-delay` past
//! its end, by buffers, GAP events or EOS. It does not wait for longer than this:
//!
//! * In a live pipeline to its deadline on the clock, which is its start plus the larger of the
//!   media's latency and the sum of the marks' latency and `latency`. LATENCY says so.
//! * In any other pipeline until the marks branch has shown no progress for `starve-timeout` of
//!   wall-clock time. A warning is posted, and media runs free until the branch goes on. This
//!   resolves what would be a deadlock, as when one thread brings both branches, more than 2 s or
//!   16 MiB of media apart. Being paused is no lack of progress.
//! * If `marks` is not linked, has ended or has no timestamps, not at all.
//!
//! **Early and late marks.** A mark ahead of the media, as a predicted beat is, waits for its
//! buffer. A mark whose buffer has left rides on the next one with its true timestamp and is
//! counted as `late`; in video with reordered frames, that is the first buffer after which no frame
//! can cover it (by DTS, or 16 frames later where there is none). Late marks for which no buffer
//! follows leave in a `rhythm-marks` event before the EOS. What lies beyond the end of the media
//! is counted as `unattached`. At most 65,536 marks wait; then the marks branch is held up, or, where
//! that is of no use, the oldest are dropped and counted.
//!
//! A seek is sent up both branches, and after its flush media waits for marks from its new place. The queries ALLOCATION and
//! DRAIN are answered at once, without downstream, while media waits.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=dance.mp4 ! decodebin name=d \
//!     markcombiner name=c ! videoconvert ! rhythmoverlay ! autovideosink \
//!     d. ! queue ! videoconvert ! c.media \
//!     d. ! queue ! audioconvert ! onsetdetect ! tee name=t \
//!     t. ! queue ! c.marks \
//!     t. ! queue ! autoaudiosink
//! ```

use gst::glib;

// Not built on `GstAggregator`: that waits for a buffer on every pad, or for its deadline, while most buffers of the media
// wait here for a position of the other branch that no buffer need mark; it holds one buffer a pad, where one thread may
// bring both branches far apart; it has no time-out outside live pipelines; and it ends where the media ends only if
// all pads do. What is shared with `dtwretarget` stands in `combine`.
mod engine;
mod imp;
mod pending;
mod properties;
mod span;

glib::wrapper! {
    /// Carries marks from one branch to the buffers of another.
    pub struct MarkCombiner(ObjectSubclass<imp::MarkCombiner>)
        @extends gst::Element, gst::Object;
}
