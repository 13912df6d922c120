// SPDX-License-Identifier: MPL-2.0
//! `marksink` writes the marks that ride on a stream into a file.
//!
//! It takes any caps and ends the branch: the buffers themselves are dropped. Marks are read from
//! [`GstRhythmMeta`](crate::marks) and from `rhythm-marks` events, written in the order of arrival,
//! and repeats, which elements that split buffers make, are dropped by (source, id). A flush or a
//! new stream begins a new run of ids, and the file is carried on.
//!
//! | `format` | each mark |
//! |---|---|
//! | `jsonl` | one JSON object on a line, fields named as in the meta, times in integer ns; a time or tempo that is not known is `null` |
//! | `csv` | one row under a header with the same names, quoted as RFC 4180 says, lines ended by LF; what is not known is empty |
//! | `audacity` | a point label: seconds, tab, seconds, tab, label |
//! | `webvtt` | a cue that lasts until the next one or 200 ms; the cues are ordered, so each waits 500 ms of the stream for earlier marks, and what comes later still is left out, counted and warned of once |
//!
//! Editors' documents are written whole at the end of the stream, and again, with what came since, when
//! the element goes back to READY:
//!
//! | `format` | document |
//! |---|---|
//! | `resolve-edl` | markers of DaVinci Resolve (File, Import, Timeline Markers from EDL), a colour for each kind |
//! | `fcpxml` | FCPXML 1.9: markers on a gap |
//! | `otio` | OpenTimelineIO: markers on a timeline, all fields as metadata |
//! | `reaper` | markers in a project of Reaper, in seconds |
//! | `midi-tempo` | a MIDI file whose tempo map puts each beat on a quarter note, with a marker; exact to 4 µs |
//! | `midi-clip` | the same with notes: downbeat 36, beat 37, onset 38, visual beat 39, as a clip for a sequencer |
//!
//! The first three count frames of `frame-rate`: each mark is at the frame nearest to it, and its
//! comment says by how much it was moved. Their timeline begins at `timecode`, 01:00:00:00 unless said
//! otherwise, as editors have it; no frame numbers are dropped.
//!
//! All but `jsonl` and `csv` have the place in the file (stream time) as their time.
//!
//! The file is created when the element goes from READY to PAUSED. Each record goes to the system
//! in one write, so that `tail -f` follows the marks; what a full disk cut short is taken back, so
//! that the file holds whole records only. `-` and `/dev/stdout` are standard output, `/dev/fd/N`
//! is a descriptor that the process was started with: they are written to as they are, after what is there already, and
//! never cut. A pause is not held
//! up until a buffer comes, since none may come on a side branch of a player.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=song.ogg ! decodebin ! audioconvert ! onsetdetect ! \
//!     marksink location=song.jsonl
//! ```

use gst::glib;

mod editors;
mod imp;
mod smf;
mod writer;

/// In which form marks are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMarkSinkFormat")]
pub enum Format {
    /// JSON lines.
    #[default]
    #[enum_value(name = "JSON lines, one object for each mark", nick = "jsonl")]
    JsonLines,
    /// Comma-separated values with a header.
    #[enum_value(name = "Comma-separated values with a header", nick = "csv")]
    Csv,
    /// A label track of Audacity.
    #[enum_value(name = "Label track of Audacity", nick = "audacity")]
    Audacity,
    /// WebVTT cues.
    #[enum_value(name = "WebVTT cues", nick = "webvtt")]
    WebVtt,
    /// An EDL of markers, as DaVinci Resolve imports it.
    #[enum_value(name = "Marker EDL of DaVinci Resolve", nick = "resolve-edl")]
    ResolveEdl,
    /// FCPXML 1.9.
    #[enum_value(name = "FCPXML 1.9, for Final Cut Pro and others", nick = "fcpxml")]
    FcpXml,
    /// OpenTimelineIO.
    #[enum_value(name = "OpenTimelineIO", nick = "otio")]
    Otio,
    /// A project of Reaper.
    #[enum_value(name = "Markers in a project of Reaper", nick = "reaper")]
    Reaper,
    /// A standard MIDI file with a tempo map.
    #[enum_value(name = "MIDI file: tempo map and markers", nick = "midi-tempo")]
    MidiTempo,
    /// A standard MIDI file with notes.
    #[enum_value(
        name = "MIDI file: a note for each mark, and the tempo map",
        nick = "midi-clip"
    )]
    MidiClip,
}

glib::wrapper! {
    /// Writes marks into a file.
    pub struct MarkSink(ObjectSubclass<imp::MarkSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}
