// SPDX-License-Identifier: MPL-2.0
//! Marks as the bytes of each format, and the file they go to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use super::Format;
use super::editors::{Document, Timeline};
use crate::marks::Mark;
use crate::marks::record::{CSV_HEADER, Record};
use crate::output::{self, Output};

/// Place of the mark in the file it was detected in, as far as it is known.
fn media_time(mark: &Mark) -> gst::ClockTime {
    mark.stream_time
        .or(mark.running_time)
        .unwrap_or(mark.timestamp)
}

/// What a person reads at the mark: `downbeat 1 120.0 BPM`.
fn label(mark: &Mark) -> String {
    let mut label = mark.kind.as_str().to_owned();
    if mark.beat_in_bar > 0 {
        label += &format!(" {}", mark.beat_in_bar);
    }
    if let Some(bpm) = mark.bpm {
        label += &format!(" {bpm:.1} BPM");
    }
    label
}

/// Turns marks into whole records of a format.
pub(super) enum Encoder {
    JsonLines,
    Csv,
    Audacity,
    WebVtt(Cues),
    Document(Document),
}

impl Encoder {
    pub(super) fn new(format: Format, timeline: Timeline) -> Self {
        match format {
            Format::JsonLines => Encoder::JsonLines,
            Format::Csv => Encoder::Csv,
            Format::Audacity => Encoder::Audacity,
            Format::WebVtt => Encoder::WebVtt(Cues::default()),
            Format::ResolveEdl
            | Format::FcpXml
            | Format::Otio
            | Format::Reaper
            | Format::MidiTempo
            | Format::MidiClip => Encoder::Document(Document::new(format, timeline)),
        }
    }

    /// What the file begins with.
    pub(super) fn header(&self) -> &'static str {
        match self {
            Encoder::JsonLines | Encoder::Audacity | Encoder::Document(_) => "",
            Encoder::Csv => CSV_HEADER,
            Encoder::WebVtt(_) => "WEBVTT\n",
        }
    }

    /// The records that the mark completes; `None` if it came too late for its place in an ordered
    /// format.
    ///
    /// # Errors
    /// If the mark cannot be serialized.
    pub(super) fn push(&mut self, source: &str, mark: &Mark) -> io::Result<Option<Vec<u8>>> {
        match self {
            Encoder::JsonLines => {
                let mut line = serde_json::to_vec(&Record::new(source, mark))?;
                line.push(b'\n');
                Ok(Some(line))
            }
            Encoder::Csv => {
                let mut writer = csv::WriterBuilder::new()
                    .has_headers(false)
                    .from_writer(Vec::new());
                writer
                    .serialize(Record::new(source, mark))
                    .map_err(io::Error::other)?;
                writer
                    .into_inner()
                    .map(Some)
                    .map_err(|err| err.into_error())
            }
            Encoder::Audacity => {
                let us = (media_time(mark).nseconds() + 500) / 1000;
                let seconds = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
                let line = format!("{seconds}\t{seconds}\t{}\n", label(mark));
                Ok(Some(line.into_bytes()))
            }
            Encoder::WebVtt(cues) => Ok(cues.push(source, mark)),
            Encoder::Document(document) => {
                let ns = media_time(mark).nseconds();
                let fits = document.push(source, mark, ns, label(mark));
                Ok(fits.then(Vec::new))
            }
        }
    }

    /// The records that are complete once the stream has come to `position`.
    pub(super) fn advance(&mut self, position: gst::ClockTime) -> Vec<u8> {
        match self {
            Encoder::WebVtt(cues) => {
                cues.emit_before(position.mseconds().saturating_sub(Cues::PATIENCE_MS - 1))
            }
            _ => Vec::new(),
        }
    }

    /// All records that were held back: the stream ends or goes on elsewhere.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        match self {
            Encoder::WebVtt(cues) => cues.emit_before(u64::MAX),
            _ => Vec::new(),
        }
    }

    /// The whole file, of formats that are written whole.
    ///
    /// # Errors
    /// If the marks cannot be put into the format.
    pub(super) fn document(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Encoder::Document(document) => document.bytes().map(Some),
            _ => Ok(None),
        }
    }
}

/// Cues of WebVTT, held back until nothing earlier is to be expected: the format wants them
/// ordered by their start, and each ends where the next one starts.
#[derive(Default)]
pub(super) struct Cues {
    /// Identifier and text of the cues by their start in ms, to which WebVTT is exact.
    pending: BTreeMap<u64, Vec<(String, String)>>,
    /// Start of the last cue that was written.
    last_start: u64,
}

impl Cues {
    /// Longest cue.
    const LENGTH_MS: u64 = 200;
    /// How far the stream goes on before a cue is written.
    const PATIENCE_MS: u64 = 500;
    /// How many starts are held back at most, for streams that do not say where they are.
    const LIMIT: usize = 4096;

    fn push(&mut self, source: &str, mark: &Mark) -> Option<Vec<u8>> {
        let start = (media_time(mark).nseconds() + 500_000) / 1_000_000;
        if start < self.last_start {
            return None;
        }
        // An identifier is one line without an arrow.
        let id = format!("{source} {}", mark.id)
            .replace(['\n', '\r'], " ")
            .replace("-->", "-");
        self.pending
            .entry(start)
            .or_default()
            .push((id, label(mark)));
        let limit = (self.pending.len() > Self::LIMIT)
            .then(|| self.pending.keys().nth(self.pending.len() - Self::LIMIT))
            .flatten()
            .copied();
        Some(limit.map_or_else(Vec::new, |start| self.emit_before(start)))
    }

    fn emit_before(&mut self, limit: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(entry) = self.pending.first_entry()
            && *entry.key() < limit
        {
            let (start, cues) = entry.remove_entry();
            let longest = start + Self::LENGTH_MS;
            let end = self
                .pending
                .first_key_value()
                .map_or(longest, |(next, _)| longest.min(*next));
            for (id, text) in cues {
                out.extend_from_slice(
                    format!(
                        "\n{id}\n{} --> {}\n{}\n",
                        cue_time(start),
                        cue_time(end),
                        escape(&text)
                    )
                    .as_bytes(),
                );
            }
            self.last_start = start;
        }
        out
    }
}

fn cue_time(ms: u64) -> String {
    let seconds = ms / 1000;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1000
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A file that holds whole records only.
pub(super) struct Records {
    file: File,
    /// Length of what was written whole, of files that can be cut back to it.
    whole: Option<u64>,
}

impl Records {
    /// # Errors
    /// Those of the system.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let Output { file, is_own } = output::create(path)?;
        // What stands in a file that others write to as well is not ours to cut.
        let whole = (is_own && file.metadata()?.is_file()).then_some(0);
        Ok(Records { file, whole })
    }

    /// Writes a whole file in place of what is there.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn replace(&mut self, document: &[u8]) -> io::Result<()> {
        if self.whole.is_some_and(|length| length > 0) {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.whole = Some(0);
        }
        self.write(document)
    }

    /// Writes whole records, or nothing.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(records);
        if let Some(whole) = &mut self.whole {
            match &result {
                Ok(()) => *whole += records.len() as u64,
                // The first error is the one to report, whether the cut succeeds or not.
                Err(_) => drop(self.file.set_len(*whole)),
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Kind;

    fn mark(id: u64, ms: u64) -> Mark {
        Mark {
            id,
            kind: Kind::Onset,
            timestamp: gst::ClockTime::from_mseconds(ms),
            running_time: None,
            stream_time: None,
            strength: 1.0,
            confidence: 1.0,
            bpm: None,
            beat_in_bar: 0,
            predicted: false,
        }
    }

    #[test]
    fn header_names_the_fields_of_a_record() {
        let value = serde_json::to_string(&Record::new("a", &mark(0, 0))).unwrap();
        let names: Vec<_> = CSV_HEADER.trim_end().split(',').collect();
        let mut rest = value.as_str();
        for name in names {
            let at = rest.find(&format!("\"{name}\":")).unwrap();
            rest = &rest[at + name.len()..];
        }
        assert_eq!(value.matches(':').count(), CSV_HEADER.split(',').count());
    }

    #[test]
    fn cues_are_held_in_bounded_memory() {
        let mut cues = Cues::default();
        let mut written = Vec::new();
        for id in 0..3 * Cues::LIMIT as u64 {
            written.extend(cues.push("a", &mark(id, 10 * id)).unwrap());
            assert!(cues.pending.len() <= Cues::LIMIT);
        }
        assert!(cues.push("a", &mark(99_999, 0)).is_none(), "out of order");
        written.extend(cues.emit_before(u64::MAX));
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text.matches("-->").count(), 3 * Cues::LIMIT);
    }

    #[test]
    fn cue_times_have_hours() {
        assert_eq!(cue_time(0), "00:00:00.000");
        assert_eq!(cue_time(3_600_000 * 123 + 59_999), "123:00:59.999");
    }
}
