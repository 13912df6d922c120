// SPDX-License-Identifier: MPL-2.0
//! Marks as records of a text.

use serde::Serialize;

use super::{Mark, VERSION};

/// A mark under the names of the public interface, as JSON and CSV have it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record<'a> {
    version: u32,
    source: &'a str,
    id: u64,
    kind: &'static str,
    timestamp: u64,
    running_time: Option<u64>,
    stream_time: Option<u64>,
    strength: f64,
    confidence: f64,
    bpm: Option<f64>,
    beat_in_bar: u32,
    predicted: bool,
}

/// The fields of [`Record`], in its order.
pub(crate) const CSV_HEADER: &str = "version,source,id,kind,timestamp,running-time,stream-time,strength,\
                          confidence,bpm,beat-in-bar,predicted\n";

impl<'a> Record<'a> {
    pub(crate) fn new(source: &'a str, mark: &Mark) -> Self {
        Record {
            version: VERSION,
            source,
            id: mark.id,
            kind: mark.kind.as_str(),
            timestamp: mark.timestamp.nseconds(),
            running_time: mark.running_time.map(gst::ClockTime::nseconds),
            stream_time: mark.stream_time.map(gst::ClockTime::nseconds),
            strength: mark.strength,
            confidence: mark.confidence,
            bpm: mark.bpm,
            beat_in_bar: mark.beat_in_bar,
            predicted: mark.predicted,
        }
    }
}
