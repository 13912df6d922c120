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
//! buffers repeat metas, so that a consumer drops what it has seen by (`source`, `id`), for which
//! [`Deduplicator`] serves.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use gst::glib::value::FromValue;
use gst::prelude::*;

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

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("marks", gst::DebugColorFlags::empty(), Some("Rhythm marks"))
});

/// What happened at the instant of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The attack of a note or of any other sound.
    Onset,
    /// A beat that does not begin a bar, or whose place in the bar is not known.
    Beat,
    /// The first beat of a bar.
    Downbeat,
    /// A beat of the dancing, seen in the picture.
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
    /// Whether the mark was announced from the rhythm so far, before its sound was heard.
    pub predicted: bool,
}

impl Mark {
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
    if !gst::meta::CustomMeta::is_registered(META_NAME) {
        gst::meta::CustomMeta::register(META_NAME, &[]);
    }
}

/// Attaches marks of one source to a buffer, as a meta of its own.
pub fn attach(buffer: &mut gst::BufferRef, source: &str, marks: &[Mark]) {
    if marks.is_empty() {
        return;
    }
    match gst::meta::CustomMeta::add(buffer, META_NAME) {
        Ok(mut meta) => {
            write_structure(meta.mut_structure(), source, marks);
        }
        // Only an unregistered meta ends here, and the plugin registers it at load.
        Err(err) => gst::error!(CAT, "could not attach {} marks: {err}", marks.len()),
    }
}

/// The marks on a buffer, source by source; what cannot be read is logged and passed over.
pub fn read(buffer: &gst::BufferRef) -> Vec<SourceMarks> {
    buffer
        .iter_meta::<gst::Meta>()
        .filter_map(|meta| {
            let s = meta.try_as_custom_meta()?.structure();
            (s.name() == META_NAME).then(|| read_structure(s)).flatten()
        })
        .collect()
}

/// The serialized downstream event `rhythm-marks`: marks of one source that no buffer is left for.
pub fn event(source: &str, marks: &[Mark]) -> gst::Event {
    let mut s = gst::Structure::new_empty(MARKS_EVENT_NAME);
    write_structure(&mut s, source, marks);
    gst::event::CustomDownstream::new(s)
}

/// The marks in an event `rhythm-marks`; `None` of any other event, and of one that cannot be read.
pub fn from_event(event: &gst::EventRef) -> Option<SourceMarks> {
    let gst::EventView::CustomDownstream(event) = event.view() else {
        return None;
    };
    let s = event.structure()?;
    (s.name() == MARKS_EVENT_NAME)
        .then(|| read_structure(s))
        .flatten()
}

fn write_structure(s: &mut gst::StructureRef, source: &str, marks: &[Mark]) {
    s.set("version", VERSION);
    s.set("source", source);
    s.set(
        "marks",
        gst::Array::new(marks.iter().map(|mark| mark.to_structure("mark"))),
    );
}

fn read_structure(s: &gst::StructureRef) -> Option<SourceMarks> {
    match s.get::<u32>("version") {
        Ok(VERSION) => (),
        found => {
            gst::warning!(
                CAT,
                "passing over marks of version {found:?}, not {VERSION}"
            );
            return None;
        }
    }
    let source = s.get::<String>("source").ok()?;
    let array = s.get::<gst::ArrayRef>("marks").ok()?;
    let marks = array
        .iter()
        .filter_map(|value| {
            let s = value.get::<gst::Structure>().ok()?;
            Mark::from_structure(&s)
                .inspect_err(|err| gst::warning!(CAT, "from '{source}': {err}"))
                .ok()
        })
        .collect();
    Some(SourceMarks { source, marks })
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

/// Drops marks that have been seen before, by (source, id), in bounded memory.
///
/// Marks may come late and out of order, within [`Deduplicator::WINDOW`] ids of the newest.
#[derive(Debug, Default)]
pub struct Deduplicator {
    seen: HashMap<String, BTreeSet<u64>>,
}

impl Deduplicator {
    /// How many ids are remembered for each source; anything older counts as seen.
    pub const WINDOW: usize = 4096;
    /// How many sources are remembered; one more, and all are forgotten.
    pub const SOURCES: usize = 256;

    /// Whether the mark is seen for the first time.
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
    use gst::glib;

    fn mark(id: u64, kind: Kind) -> Mark {
        Mark {
            id,
            kind,
            timestamp: gst::ClockTime::from_mseconds(1523),
            running_time: Some(gst::ClockTime::from_mseconds(1523)),
            stream_time: None,
            strength: 1.5,
            confidence: 0.75,
            bpm: kind.is_beat().then_some(120.0),
            beat_in_bar: 1,
            predicted: true,
        }
    }

    fn init() {
        gst::init().unwrap();
        register();
        register();
    }

    #[test]
    fn marks_survive_a_buffer_and_its_copy() {
        init();
        let beats = vec![mark(1, Kind::Downbeat), mark(2, Kind::Onset)];
        let mut buffer = gst::Buffer::with_size(16).unwrap();
        attach(buffer.get_mut().unwrap(), "a", &beats);
        attach(buffer.get_mut().unwrap(), "b", &beats[..1]);
        attach(buffer.get_mut().unwrap(), "c", &[]);
        let copy = buffer.copy();
        let read = read(&copy);
        assert_eq!(
            read.iter()
                .map(|s| (s.source.as_str(), s.marks.len()))
                .collect::<Vec<_>>(),
            [("a", 2), ("b", 1)]
        );
        assert_eq!(read[0].marks, beats);
    }

    #[test]
    fn marks_survive_an_event() {
        init();
        let beats = vec![mark(1, Kind::Downbeat), mark(2, Kind::Onset)];
        let read = from_event(&event("a", &beats)).unwrap();
        assert_eq!((read.source.as_str(), read.marks), ("a", beats));
        assert_eq!(from_event(&tempo_event(120.0, 1.0, 4)), None);
        let foreign = gst::Structure::builder(MARKS_EVENT_NAME)
            .field("version", VERSION + 1)
            .build();
        assert_eq!(
            from_event(&gst::event::CustomDownstream::new(foreign)),
            None
        );
    }

    #[test]
    fn fields_have_the_public_types() {
        init();
        let s = mark(7, Kind::Beat).to_structure("mark");
        for (field, type_) in [
            ("id", glib::Type::U64),
            ("kind", glib::Type::STRING),
            ("timestamp", glib::Type::U64),
            ("running-time", glib::Type::U64),
            ("stream-time", glib::Type::U64),
            ("strength", glib::Type::F64),
            ("confidence", glib::Type::F64),
            ("bpm", glib::Type::F64),
            ("beat-in-bar", glib::Type::U32),
            ("predicted", glib::Type::BOOL),
        ] {
            assert_eq!(s.value(field).unwrap().type_(), type_, "{field}");
        }
        assert_eq!(s.get::<u64>("stream-time"), Ok(u64::MAX));
        assert!(!mark(7, Kind::Onset).to_structure("mark").has_field("bpm"));
    }

    #[test]
    fn broken_marks_are_named_not_believed() {
        init();
        let mut s = mark(7, Kind::Beat).to_structure("mark");
        s.set("strength", f64::NAN);
        assert_eq!(Mark::from_structure(&s), Err(MarkError("strength")));
        s.set("strength", 1.0);
        s.set("kind", "hiccup");
        assert_eq!(Mark::from_structure(&s), Err(MarkError("kind")));
        s.remove_field("id");
        assert_eq!(Mark::from_structure(&s), Err(MarkError("id")));
    }

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
            "older than the window counts as seen"
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
