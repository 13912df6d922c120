// SPDX-License-Identifier: MPL-2.0
//! `dtwretarget` moves dancing onto music: it retimes a video so that visual beats fall on musical ones.
//!
//! The music is the master. What comes in at `audio_sink` goes out at `audio_src` untouched, the very buffers. What comes in
//! at `video_sink` goes out at `video_src` at the same frame rate, on the timeline of the music, each picture taken from the
//! instant of the video that the alignment asks for, at speeds between `min-speed` and `max-speed`. (A sink and a source
//! of an element cannot share a name, hence the endings.) Marks are those of [`GstRhythmMeta`](crate::marks):
//! `visual-beat` of the video, and of the music what `kinds` names.
//!
//! ## Two ways to run
//!
//! **In one pass**, live or not: marks come with the buffers and in `rhythm-marks` events, and the video is held until
//! both sides are `look-ahead` further. Within that, beats find each other; what is shown stays within half of
//! `look-ahead` of the instant it belongs to, since in the long run live motion cannot be faster or slower than it
//! comes. LATENCY answers with the larger of both sides' latency and `look-ahead` on top, and frames wait here for as
//! long as that takes. In a live pipeline each picture leaves at its deadline, whatever has come by then; in any other
//! one side waits for the other, and after `starve-timeout` of wall-clock time without progress a warning is posted and
//! it waits no more. Where motion has not come, the last picture stays. The music is not held: a queue behind
//! `audio_src` has to have room for the latency.
//!
//! **In two passes**: `marks-location` names a file of JSON lines, as `marksink` writes them, with the marks of both
//! (several elements' lines may be put together). The whole course is planned at the start, on the stream times of both
//! sides; the video is read once, with no more than a few frames in memory, and a seek in the music takes the video to
//! where it then belongs. No `look-ahead` is needed and none is answered.
//!
//! `end` says when the output is over. With `music`, the default, music plays to its end, and in two passes the last picture
//! stays to it; in one pass the video ends with its motion, since another stream may follow. With `shortest` both end
//! where the first of them does: where the video says how long it is to a sample, and else half a second later at most.
//! With `loop`, in two passes, a dance that is shorter goes round: it turns on a visual beat that meets one of the music,
//! and goes back the way it came; or forward again from an earlier beat, where that looks so much like the one it has
//! come to that nobody sees the leap. For that its frames are kept in the folder of temporary files (`TMPDIR`), as large
//! as they are raw.
//!
//! Where the music has no beats the dance goes at its own speed. `start=first-beat`, in two passes, leaves out what the
//! music has before its first beat.
//!
//! Music that goes on in a new segment without a flush (the next song, or the next round of a loop) takes the video
//! along; where a segment has a stop, its EOS is what ends the video, or `starve-timeout` outside live pipelines. A
//! seek is sent up both branches, and nothing leaves while only one of them has been flushed by it. Video without
//! timestamps is taken to come at its frame rate, with a warning. Without marks on one of the sides nothing moves:
//! pictures are those of their own time, and a message says so. Without a music branch, and played backwards, video
//! passes as it is.
//!
//! ## Methods
//!
//! | `method` | what meets |
//! |---|---|
//! | `dtw-bounded` | the chain of pairs that brings most marks together, strong ones with strong ones, at speeds near that at which the tempi agree (or one is twice the other) that change little |
//! | `dtw` | what dynamic time warping of the times brings together: MuDaR, equations 22 and 23 |
//! | `acceleration` | the first marks, the second ones, and so on: MuDaR 4.4 |
//! | `shift` | the first marks of the stretch with the most similar number of them: MuDaR 4.4 |
//!
//! The overall speed of `dtw-bounded` is the one at which most of what the dance keeps of a tempo is the music's, near its
//! own speed where that does nearly as well.
//!
//! All but the first need the whole, hence `marks-location`; in one pass the alignment is always bounded. Where a method
//! asks for more than the speeds allow, the video comes as near as they do and catches up later.
//!
//! `strength` is how far pictures move to where they should, from 0, not at all, to 1. `offset` is how much later than the
//! musical beat the visual one is to be seen. `interpolation` says what is shown between two frames: the nearer one; both
//! blended; or both moved along the flow in [`GstHoofMeta`](crate::hoof), where what one of them hides is taken from the
//! other; for that `hoofflow` upstream has to look both ways (`backward=true`), and what it leaves out is blended. Of two
//! scenes only the nearer frame is shown. Both need progressive frames of 8 bits a sample in plain memory; what is
//! demanded and cannot be done is an error. `auto`, the default, goes along the flow where frames carry it, and shows the
//! nearer one elsewhere.
//!
//! Pictures carry the `visual-beat` marks at their new instants; `GstHoofMeta` is taken off, as it speaks of other times.
//!
//! ## Messages, statistics, path
//!
//! With `post-messages`, an element message `retarget-status` reports when the video begins to follow, and when it cannot:
//! `status` (string) is `aligned`, `no-visual-marks`, `no-audio-marks` or `no-audio`, `visual-marks` and `audio-marks`
//! (uint64) count those known. `stats` has `pictures` sent, of them `repeated`, `dropped` frames (uint64), `speed-p50`,
//! `speed-p95`, `speed-max` (double), `longest-freeze` (uint64, ns) and `late` for pictures that left at a deadline with
//! less than was to be known. At the end, `path-location` gets a JSON object with the marks of both sides
//! (`visual`, `audio`), the `path` as pairs of output and source, all in seconds, and the statistics;
//! `pipelines/retarget-plot.sh` draws it.
//!
//! ```sh
//! gst-launch-1.0 dtwretarget name=r marks-location=marks.jsonl \
//!     filesrc location=dance.mp4 ! decodebin ! videoconvert ! deinterlace ! videoflip video-direction=auto \
//!         ! queue ! r.video_sink \
//!     filesrc location=song.ogg ! decodebin ! audioconvert ! queue ! r.audio_sink \
//!     r.video_src ! queue ! autovideosink  r.audio_src ! queue ! autoaudiosink
//! ```

use gst::glib;

mod branches;
mod course;
mod engine;
mod imp;
mod kept;
mod marksfile;
mod picture;
mod record;
mod warp;

/// How marks find each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstDtwRetargetMethod")]
pub enum Method {
    /// One shift of the whole.
    #[enum_value(name = "Align the first marks of the best window", nick = "shift")]
    Shift,
    /// The k-th mark onto the k-th mark.
    #[enum_value(name = "Make all intervals equal", nick = "acceleration")]
    Acceleration,
    /// Equations 22 and 23 of MuDaR.
    #[enum_value(name = "Dynamic time warping as MuDaR prints it", nick = "dtw")]
    Dtw,
    /// Most marks at speeds that change little.
    #[default]
    #[enum_value(name = "Dynamic time warping with bounded speed", nick = "dtw-bounded")]
    DtwBounded,
}

/// What is shown between two frames.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstDtwRetargetInterpolation")]
pub enum Interpolation {
    /// Along the flow where frames carry it, else the nearer frame.
    #[default]
    #[enum_value(
        name = "Along the flow where frames carry it, else the nearer one",
        nick = "auto"
    )]
    Auto,
    /// The nearer frame.
    #[enum_value(name = "The nearer frame", nick = "nearest")]
    Nearest,
    /// Both frames, weighted.
    #[enum_value(name = "Both frames, blended", nick = "blend")]
    Blend,
    /// Both frames, moved towards each other.
    #[enum_value(name = "Both frames, moved along the flow and blended", nick = "flow")]
    Flow,
}

/// When the output ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstDtwRetargetEnd")]
pub enum End {
    /// Both with the shorter one.
    #[enum_value(name = "Video and music with the shorter one", nick = "shortest")]
    Shortest,
    /// With the music; the last picture stays.
    #[default]
    #[enum_value(
        name = "With the music, to which the last picture stays",
        nick = "music"
    )]
    Music,
    /// With the music; the dance goes round.
    #[enum_value(name = "With the music, to which the dance goes round", nick = "loop")]
    Loop,
}

/// Where the output begins.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstDtwRetargetStart")]
pub enum Start {
    /// With the music.
    #[default]
    #[enum_value(name = "With the music", nick = "beginning")]
    Beginning,
    /// With its first beat.
    #[enum_value(name = "With the first beat of the music", nick = "first-beat")]
    FirstBeat,
}

/// Which marks of the music are met.
#[glib::flags(name = "GstDtwRetargetKinds")]
pub enum Kinds {
    /// Beats inside bars.
    #[flags_value(name = "Beats", nick = "beat")]
    BEAT = 1 << 0,
    /// First beats of bars.
    #[flags_value(name = "Downbeats", nick = "downbeat")]
    DOWNBEAT = 1 << 1,
    /// Onsets.
    #[flags_value(name = "Onsets", nick = "onset")]
    ONSET = 1 << 2,
}

glib::wrapper! {
    /// Retimes video so that visual beats fall on musical ones.
    pub struct DtwRetarget(ObjectSubclass<imp::DtwRetarget>)
        @extends gst::Element, gst::Object;
}
