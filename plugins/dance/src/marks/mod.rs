// SPDX-License-Identifier: MPL-2.0
//! Marks: the plugin's public interface, the same fields in buffer meta, bus message, event and file.
//!
//! A mark is one rhythmic event: an onset, a beat, a downbeat or a visual beat. A consumer in any
//! language reads it with `gst_buffer_get_custom_meta (buffer, "GstRhythmMeta")` and needs no
//! header of ours. Marks that no buffer is left for, as at the end of a stream, travel in a custom
//! downstream event `rhythm-marks`. The structures of both have the fields
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `version` | uint | [`VERSION`] of this layout |
//! | `source` | string | name of the element that made the marks |
//! | `marks` | array of structures `mark` | the marks |
//!
//! and a `mark` has those of [`Mark`]. Times are absolute: elements that split, copy or encode
//! buffers repeat metas, so that a consumer drops repeats by (`source`, `id`), for which
//! [`Deduplicator`] serves.

pub(crate) mod record;

use std::collections::{BTreeSet, HashMap};

use gst::glib::value::FromValue;
use gst::prelude::*;

use crate::meta;

/// Version of the layout of marks, counted up when a field changes its meaning.
pub const VERSION: u32 = 1;
/// Name under which the custom meta is registered, and of its structure.
pub const META_NAME: &str = "GstRhythmMeta";
/// Name of the element message that carries one mark.
pub const MESSAGE_NAME: &str = "rhythm-mark";
/// Name of the serialized downstream event that carries marks which no buffer is left for.
pub const MARKS_EVENT_NAME: &str = "rhythm-marks";
/// Name of the sticky downstream event that carries the tempo to late joiners.
pub const TEMPO_EVENT_NAME: &str = "rhythm-tempo";

/// What happened at the instant of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The attack of a note or of any other sound.
    Onset,
    /// A beat that does not begin a bar, or whose place in the bar is not known.
    Beat,
    /// The first beat of a bar.
    Downbeat,
    /// A beat of the dancing, detected in the picture.
    VisualBeat,
}

impl Kind {
    /// Every kind, in the order in which marks of one instant are listed.
    pub const ALL: [Kind; 4] = [Kind::Onset, Kind::Beat, Kind::Downbeat, Kind::VisualBeat];

    /// Name of the kind in the public interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Onset => "onset",
            Kind::Beat => "beat",
            Kind::Downbeat => "downbeat",
            Kind::VisualBeat => "visual-beat",
        }
    }

    /// The kind of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether the mark is a beat of the music, at the head of a bar or inside it.
    pub const fn is_beat(self) -> bool {
        matches!(self, Kind::Beat | Kind::Downbeat)
    }
}

/// One rhythmic event with the instant at which it happened.
///
/// All times are those of the event itself, never of its report. In structures they are uint64
/// nanoseconds, with `GST_CLOCK_TIME_NONE` where a time is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Counts up by one from mark to mark of one source.
    pub id: u64,
    /// What happened.
    pub kind: Kind,
    /// Instant in the timestamps of the buffers (PTS).
    pub timestamp: gst::ClockTime,
    /// Instant in running time, where the segment has one.
    pub running_time: Option<gst::ClockTime>,
    /// Instant in stream time, where the segment has one.
    pub stream_time: Option<gst::ClockTime>,
    /// How strong the event is, ≥ 0, in the unit of the detector that found it.
    pub strength: f64,
    /// How sure the detector is, 0 to 1: the share of such marks that are right.
    pub confidence: f64,
    /// Tempo in beats per minute, of beats only.
    pub bpm: Option<f64>,
    /// Place in the bar counted from 1, or 0 where it is not known.
    pub beat_in_bar: u32,
    /// Whether the mark was announced from the rhythm so far, before its sound was there.
    pub predicted: bool,
}

impl Mark {
    /// A mark of that kind at that instant of the media; nothing else is known of it.
    #[must_use]
    pub const fn new(kind: Kind, timestamp: gst::ClockTime) -> Self {
        Self {
            id: 0,
            kind,
            timestamp,
            running_time: None,
            stream_time: None,
            strength: 0.0,
            confidence: 0.0,
            bpm: None,
            beat_in_bar: 0,
            predicted: false,
        }
    }

    /// The mark in the form of the public interface: a structure `name` with the mark's fields.
    fn to_structure(&self, name: &str) -> gst::Structure {
        let mut s = gst::Structure::builder(name)
            .field("id", self.id)
            .field("kind", self.kind.as_str())
            .field("timestamp", self.timestamp)
            .field("running-time", self.running_time)
            .field("stream-time", self.stream_time)
            .field("strength", self.strength)
            .field("confidence", self.confidence)
            .field("beat-in-bar", self.beat_in_bar)
            .field("predicted", self.predicted)
            .build();
        if let Some(bpm) = self.bpm {
            s.set("bpm", bpm);
        }
        s
    }

    /// The mark in a structure, which may come from anybody.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type or out of range.
    pub fn from_structure(s: &gst::StructureRef) -> Result<Self, MarkError> {
        fn field<'a, T>(s: &'a gst::StructureRef, name: &'static str) -> Result<T, MarkError>
        where
            T: FromValue<'a>,
        {
            s.get(name).map_err(|_| MarkError(name))
        }
        fn number(s: &gst::StructureRef, name: &'static str) -> Result<f64, MarkError> {
            s.get::<f64>(name)
                .ok()
                .filter(|v| v.is_finite())
                .ok_or(MarkError(name))
        }
        fn time(s: &gst::StructureRef, name: &'static str) -> Option<gst::ClockTime> {
            s.get::<Option<gst::ClockTime>>(name).ok().flatten()
        }
        Ok(Mark {
            id: field(s, "id")?,
            kind: Kind::from_name(field(s, "kind")?).ok_or(MarkError("kind"))?,
            timestamp: time(s, "timestamp").ok_or(MarkError("timestamp"))?,
            running_time: time(s, "running-time"),
            stream_time: time(s, "stream-time"),
            strength: number(s, "strength")?,
            confidence: number(s, "confidence")?,
            bpm: number(s, "bpm").ok(),
            beat_in_bar: field(s, "beat-in-bar")?,
            predicted: field(s, "predicted")?,
        })
    }

    /// The element message `rhythm-mark` with the mark's fields, `version` and `source`.
    pub fn to_message(&self, source: &gst::Element) -> gst::Message {
        let mut s = self.to_structure(MESSAGE_NAME);
        s.set("version", VERSION);
        s.set("source", source.name());
        gst::message::Element::builder(s).src(source).build()
    }
}

/// A field of a foreign mark that is missing, of the wrong type or out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkError(pub &'static str);

impl std::fmt::Display for MarkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mark without a usable field '{}'", self.0)
    }
}

impl std::error::Error for MarkError {}

/// The marks that one source left on a buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceMarks {
    /// Name of the element that made the marks.
    pub source: String,
    /// The marks, in the order in which they were attached.
    pub marks: Vec<Mark>,
}

/// Registers the meta; safe to call again.
///
/// It is registered without tags: `audioconvert` and `audioresample` drop metas with two or more.
pub fn register() {
    static REGISTER: std::sync::Once = std::sync::Once::new();
    REGISTER.call_once(|| gst::meta::CustomMeta::register(META_NAME, &[]));
}

/// Attaches marks of one source to a buffer, as a meta of its own.
pub fn attach(buffer: &mut gst::BufferRef, source: &str, marks: &[Mark]) {
    if !marks.is_empty() {
        meta::attach(buffer, META_NAME, |s| write_structure(s, source, marks));
    }
}

/// The marks on a buffer, source by source; what cannot be read is logged and passed over.
pub fn read(buffer: &gst::BufferRef) -> Vec<SourceMarks> {
    meta::read(buffer, META_NAME, read_structure)
}

/// The serialized downstream event `rhythm-marks`: marks of one source that no buffer is left for.
pub fn event(source: &str, marks: &[Mark]) -> gst::Event {
    let mut s = gst::Structure::new_empty(MARKS_EVENT_NAME);
    write_structure(&mut s, source, marks);
    gst::event::CustomDownstream::new(s)
}

/// The marks in an event `rhythm-marks`; `None` of any other event, and of one that cannot be read.
pub fn from_event(event: &gst::EventRef) -> Option<SourceMarks> {
    meta::from_event(event, MARKS_EVENT_NAME, read_structure)
}

fn write_structure(s: &mut gst::StructureRef, source: &str, marks: &[Mark]) {
    s.set("version", VERSION);
    s.set("source", source);
    s.set(
        "marks",
        gst::Array::new(marks.iter().map(|mark| mark.to_structure("mark"))),
    );
}

fn read_structure(s: &gst::StructureRef) -> Result<SourceMarks, MarkError> {
    if s.get::<u32>("version") != Ok(VERSION) {
        return Err(MarkError("version"));
    }
    let source = s.get("source").map_err(|_| MarkError("source"))?;
    let array: gst::ArrayRef = s.get("marks").map_err(|_| MarkError("marks"))?;
    let structures = array.iter().filter_map(|value| value.get().ok());
    let marks = structures.filter_map(|s: gst::Structure| meta::or_log(Mark::from_structure(&s)));
    Ok(SourceMarks {
        source,
        marks: marks.collect(),
    })
}

/// The sticky event `rhythm-tempo`: tempo in beats per minute, confidence 0 to 1, beats in a bar
/// (0 where not known). A tempo of 0 says that there is none any more.
pub fn tempo_event(bpm: f64, confidence: f64, beats_per_bar: u32) -> gst::Event {
    gst::event::CustomDownstreamSticky::new(
        gst::Structure::builder(TEMPO_EVENT_NAME)
            .field("bpm", bpm)
            .field("confidence", confidence)
            .field("beats-per-bar", beats_per_bar)
            .build(),
    )
}

/// Drops repeated marks, by (source, id), in bounded memory.
///
/// Marks may come late and out of order, within [`Deduplicator::WINDOW`] ids of the newest.
#[derive(Debug, Default)]
pub struct Deduplicator {
    seen: HashMap<String, BTreeSet<u64>>,
}

impl Deduplicator {
    /// How many ids are remembered for each source; anything older counts as repeated.
    pub const WINDOW: usize = 4096;
    /// How many sources are remembered; one more, and all are forgotten.
    pub const SOURCES: usize = 256;

    /// Whether the mark comes for the first time.
    pub fn is_new(&mut self, source: &str, id: u64) -> bool {
        // `entry` would allocate the name for every mark.
        if !self.seen.contains_key(source) {
            if self.seen.len() >= Self::SOURCES {
                self.seen.clear();
            }
            self.seen.insert(source.to_owned(), BTreeSet::new());
        }
        let Some(ids) = self.seen.get_mut(source) else {
            return true;
        };
        let full = ids.len() >= Self::WINDOW;
        if full && ids.first().is_some_and(|oldest| id < *oldest) {
            return false;
        }
        let new = ids.insert(id);
        if new && full {
            ids.pop_first();
        }
        new
    }

    /// Forgets everything, for a new stream.
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_dropped_in_bounded_memory() {
        let mut dedup = Deduplicator::default();
        for id in (0..20_000).rev() {
            dedup.is_new("reversed", id);
        }
        for id in 0..20_000 {
            assert!(dedup.is_new("a", id));
            assert!(!dedup.is_new("a", id));
            assert!(dedup.is_new("b", id));
        }
        assert!(
            !dedup.is_new("a", 3),
            "older than the window counts as repeated"
        );
        assert!(
            dedup
                .seen
                .values()
                .all(|ids| ids.len() <= Deduplicator::WINDOW)
        );
        dedup.clear();
        assert!(dedup.is_new("a", 3));
        for source in 0..3 * Deduplicator::SOURCES {
            assert!(dedup.is_new(&source.to_string(), 0));
            assert!(dedup.seen.len() <= Deduplicator::SOURCES);
        }
    }
}
