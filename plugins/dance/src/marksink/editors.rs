// SPDX-License-Identifier: MPL-2.0
//! Marks as the documents of video and audio editors, which are written whole.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Format;
use super::smf;
use crate::marks::{Kind, Mark};

/// Frames of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRate {
    pub(super) numer: u32,
    pub(super) denom: u32,
}

/// The frame that a time was rounded to, and by how much, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rounded {
    frame: u64,
    error: i64,
}

impl FrameRate {
    fn round(self, ns: u64) -> Rounded {
        let (numer, denom) = (
            u128::from(self.numer),
            u128::from(self.denom) * 1_000_000_000,
        );
        let frame = (u128::from(ns) * numer + denom / 2) / denom;
        let exact = (frame * denom + numer / 2) / numer;
        Rounded {
            frame: frame as u64,
            error: (exact as i128 - i128::from(ns)) as i64,
        }
    }

    /// Frames that a timecode counts as a second: it numbers them as if the rate were whole.
    fn nominal(self) -> u64 {
        u64::from(self.numer.div_ceil(self.denom))
    }

    /// `HH:MM:SS:FF`, no frame numbers dropped.
    fn timecode(self, frame: u64) -> String {
        let base = self.nominal();
        let seconds = frame / base;
        format!(
            "{:02}:{:02}:{:02}:{:02}",
            seconds / 3600 % 100,
            seconds / 60 % 60,
            seconds % 60,
            frame % base
        )
    }

    /// The frame of a timecode `HH:MM:SS:FF`.
    fn frame(self, timecode: &str) -> Option<u64> {
        let parts: Vec<u64> = timecode
            .split(':')
            .map(|part| {
                let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| part.parse().ok()).flatten()
            })
            .collect::<Option<_>>()?;
        let [hours, minutes, seconds, frames] = parts[..] else {
            return None;
        };
        let valid = minutes < 60 && seconds < 60 && frames < self.nominal();
        valid.then(|| ((hours * 60 + minutes) * 60 + seconds) * self.nominal() + frames)
    }

    fn per_second(self) -> f64 {
        f64::from(self.numer) / f64::from(self.denom)
    }
}

/// How documents count time.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    rate: FrameRate,
    /// Frame number of the start.
    start: u64,
}

impl Timeline {
    /// # Errors
    /// If the rate is none, or the timecode is not one of this rate.
    pub(super) fn new(rate: FrameRate, timecode: &str) -> Result<Self, String> {
        if rate.numer == 0 || rate.denom == 0 || rate.nominal() > 1000 {
            return Err(format!(
                "'frame-rate' is {}/{}; it must be more than 0 and at most 1000",
                rate.numer, rate.denom
            ));
        }
        let start = rate.frame(timecode).ok_or_else(|| {
            format!(
                "'timecode' is '{timecode}'; it must be HH:MM:SS:FF with FF less than {}",
                rate.nominal()
            )
        })?;
        Ok(Self { rate, start })
    }
}

/// A mark in the order of its time.
struct Entry {
    ns: u64,
    source: String,
    label: String,
    mark: Mark,
}

/// Collects marks for a document.
pub(super) struct Document {
    format: Format,
    timeline: Timeline,
    entries: Vec<Entry>,
}

impl Document {
    /// Most marks of a document: ten hours of music, and still little memory.
    const LIMIT: usize = 200_000;

    pub(super) fn new(format: Format, timeline: Timeline) -> Self {
        Self {
            format,
            timeline,
            entries: Vec::new(),
        }
    }

    /// Takes a mark; `false` if there is no room left.
    pub(super) fn push(&mut self, source: &str, mark: &Mark, ns: u64, label: String) -> bool {
        let fits = self.entries.len() < Self::LIMIT;
        if fits {
            self.entries.push(Entry {
                ns,
                source: source.to_owned(),
                label,
                mark: mark.clone(),
            });
        }
        fits
    }

    /// The document with all marks so far.
    ///
    /// # Errors
    /// If it cannot be put into the format.
    pub(super) fn bytes(&mut self) -> std::io::Result<Vec<u8>> {
        self.entries.sort_by_key(|entry| entry.ns);
        Ok(match self.format {
            Format::ResolveEdl => self.resolve().into_bytes(),
            Format::FcpXml => self.fcpxml().into_bytes(),
            Format::Otio => serde_json::to_vec_pretty(&self.otio())?,
            Format::Reaper => self.reaper().into_bytes(),
            Format::MidiTempo => smf::write(&self.grid(), false)?,
            Format::MidiClip => smf::write(&self.grid(), true)?,
            // The others are written line by line.
            _ => Vec::new(),
        })
    }

    fn grid(&self) -> Vec<smf::Event> {
        let event = |entry: &Entry| smf::Event {
            ns: entry.ns,
            kind: entry.mark.kind,
            beat_in_bar: entry.mark.beat_in_bar,
            strength: entry.mark.strength,
            label: entry.label.clone(),
        };
        self.entries.iter().map(event).collect()
    }

    /// What was rounded, and what else is known of the mark.
    fn comment(entry: &Entry, rounded: Rounded) -> String {
        format!(
            "{} {}, confidence {:.2}, rounded by {:+.1} ms",
            entry.source,
            entry.mark.id,
            entry.mark.confidence,
            rounded.error as f64 / 1e6
        )
    }

    /// Frames up to the end of the last mark.
    fn length(&self) -> u64 {
        self.entries
            .last()
            .map_or(1, |entry| self.timeline.rate.round(entry.ns).frame + 1)
    }

    /// The EDL in which DaVinci Resolve exports and imports markers of a timeline.
    fn resolve(&self) -> String {
        let Timeline { rate, start } = self.timeline;
        let mut out = String::from("TITLE: marks\nFCM: NON-DROP FRAME\n");
        for (n, entry) in self.entries.iter().enumerate() {
            let rounded = rate.round(entry.ns);
            let from = rate.timecode(start + rounded.frame);
            let to = rate.timecode(start + rounded.frame + 1);
            let color = match entry.mark.kind {
                Kind::Downbeat => "ResolveColorRed",
                Kind::Beat => "ResolveColorBlue",
                Kind::Onset => "ResolveColorYellow",
                Kind::VisualBeat => "ResolveColorGreen",
            };
            // The bars part the fields.
            let plain = |text: &str| text.replace(['|', '\n', '\r'], " ");
            let _ = write!(
                out,
                "\n{:03}  001      V     C        {from} {to} {from} {to}\n{} |C:{color} |M:{} |D:1\n",
                n + 1,
                plain(&Self::comment(entry, rounded)),
                plain(&entry.label),
            );
        }
        out
    }

    /// FCPXML 1.9: markers on a gap as long as they need.
    fn fcpxml(&self) -> String {
        let Timeline { rate, start } = self.timeline;
        let time = |frames: u64| {
            let numer = frames * u64::from(rate.denom);
            match rate.numer {
                1 => format!("{numer}s"),
                denom => format!("{numer}/{denom}s"),
            }
        };
        let (one, length) = (time(1), time(self.length()));
        let begin = time(start);
        let mut out = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE fcpxml>
<fcpxml version="1.9">
  <resources>
    <format id="r1" frameDuration="{one}" width="1920" height="1080"/>
  </resources>
  <library>
    <event name="marks">
      <project name="marks">
        <sequence format="r1" duration="{length}" tcStart="{begin}" tcFormat="NDF">
          <spine>
            <gap name="Gap" offset="{begin}" start="{begin}" duration="{length}">
"#
        );
        for entry in &self.entries {
            let rounded = rate.round(entry.ns);
            let _ = writeln!(
                out,
                r#"              <marker start="{}" duration="{one}" value="{}" note="{}"/>"#,
                time(start + rounded.frame),
                xml(&entry.label),
                xml(&Self::comment(entry, rounded)),
            );
        }
        out += r"            </gap>
          </spine>
        </sequence>
      </project>
    </event>
  </library>
</fcpxml>
";
        out
    }

    /// OpenTimelineIO: markers on the stack of a timeline.
    fn otio(&self) -> Value {
        let Timeline { rate, start } = self.timeline;
        let time = |frames: u64| json!({"OTIO_SCHEMA": "RationalTime.1", "rate": rate.per_second(), "value": frames as f64});
        let range = |from: u64, duration: u64| json!({"OTIO_SCHEMA": "TimeRange.1", "start_time": time(from), "duration": time(duration)});
        let markers: Vec<_> = self
            .entries
            .iter()
            .map(|entry| {
                let rounded = rate.round(entry.ns);
                let color = match entry.mark.kind {
                    Kind::Downbeat => "RED",
                    Kind::Beat => "BLUE",
                    Kind::Onset => "YELLOW",
                    Kind::VisualBeat => "GREEN",
                };
                json!({
                    "OTIO_SCHEMA": "Marker.2",
                    "metadata": {"dance": {
                        "id": entry.mark.id,
                        "source": entry.source,
                        "kind": entry.mark.kind.as_str(),
                        "time": entry.ns,
                        "bpm": entry.mark.bpm,
                        "beat-in-bar": entry.mark.beat_in_bar,
                        "strength": entry.mark.strength,
                        "confidence": entry.mark.confidence,
                    }},
                    "name": entry.label,
                    "color": color,
                    "comment": Self::comment(entry, rounded),
                    "marked_range": range(rounded.frame, 1),
                })
            })
            .collect();
        let item = |schema: &str, name: &str| {
            json!({
                "OTIO_SCHEMA": schema, "metadata": {}, "name": name, "source_range": null,
                "effects": [], "markers": [], "enabled": true,
            })
        };
        let mut gap = item("Gap.1", "");
        gap["source_range"] = range(0, self.length());
        let mut track = item("Track.1", "V1");
        track["kind"] = json!("Video");
        track["children"] = json!([gap]);
        let mut stack = item("Stack.1", "tracks");
        stack["markers"] = json!(markers);
        stack["children"] = json!([track]);
        json!({
            "OTIO_SCHEMA": "Timeline.1", "metadata": {}, "name": "marks",
            "global_start_time": time(start), "tracks": stack,
        })
    }

    /// A project of Reaper with markers, exact to the nanosecond.
    fn reaper(&self) -> String {
        let mut out = String::from("<REAPER_PROJECT 0.1 \"6.0\" 0\n");
        for (n, entry) in self.entries.iter().enumerate() {
            let (seconds, rest) = (entry.ns / 1_000_000_000, entry.ns % 1_000_000_000);
            // Quotes cannot be escaped, only chosen.
            let label = entry.label.replace(['"', '\n', '\r'], " ");
            let _ = writeln!(out, "  MARKER {} {seconds}.{rest:09} \"{label}\" 0", n + 1);
        }
        out + ">\n"
    }
}

fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // XML 1.0 has no place for these, escaped or not.
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_the_nearest_frame() {
        let film = FrameRate {
            numer: 24_000,
            denom: 1001,
        };
        for ns in [
            0,
            1,
            20_854_166,
            20_854_167,
            1_523_000_000,
            36_000_000_000_000,
        ] {
            let Rounded { frame, error } = film.round(ns);
            let exact = ns as f64 * 24_000.0 / 1001.0 / 1e9;
            assert!(
                (frame as f64 - exact).abs() <= 0.500_001,
                "{ns}: {frame} for {exact}"
            );
            let back = frame as f64 * 1001.0 / 24_000.0 * 1e9;
            assert!(
                (back - ns as f64 - error as f64).abs() < 8.0,
                "{ns}: {error}"
            );
        }
    }

    #[test]
    fn timecodes_are_read_as_they_are_written() {
        for (numer, denom) in [(25, 1), (30_000, 1001), (60, 1)] {
            let rate = FrameRate { numer, denom };
            for frame in [0, 24, 25, 89_999, 107_892, 5_000_000] {
                assert_eq!(rate.frame(&rate.timecode(frame)), Some(frame));
            }
        }
        let rate = FrameRate {
            numer: 25,
            denom: 1,
        };
        assert_eq!(rate.timecode(90_000), "01:00:00:00");
        for bad in [
            "",
            "1:00:00:00",
            "01:00:00:25",
            "01:60:00:00",
            "01:00:00",
            "0a:00:00:00",
        ] {
            assert_eq!(rate.frame(bad), None, "{bad}");
        }
    }
}
