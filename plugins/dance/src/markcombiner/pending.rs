// SPDX-License-Identifier: MPL-2.0
//! The marks that wait for the media buffer that covers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::span::{Covered, Segment, Span};
use crate::marks::{self, Deduplicator, Mark, SourceMarks};

/// A mark and its source.
#[derive(Debug)]
struct Waiting {
    source: Arc<str>,
    mark: Mark,
    /// How many buffers have passed that may have been followed by the one it belongs to.
    passed: u8,
}

/// What became of the marks that a buffer took.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub attached: u64,
    pub late: u64,
    pub duplicates: u64,
}

/// Marks by their running time and, at the same instant, by their order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    marks: BTreeMap<(gst::ClockTime, u64), Waiting>,
    arrivals: u64,
    /// Sources are few; each mark shares its name.
    source: Option<Arc<str>>,
    /// What the media carries already.
    carried: Deduplicator,
}

impl Pending {
    /// How many marks may wait.
    pub(super) const LIMIT: usize = 65_536;
    /// How many frames H.264 and H.265 may hold back to reorder them.
    const REORDERED_FRAMES: u8 = 16;

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.marks.len() >= Self::LIMIT
    }

    pub(super) fn drop_oldest(&mut self) {
        self.marks.pop_first();
    }

    /// Forgets all marks, and returns how many.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.marks.len() as u64;
        self.marks.clear();
        count
    }

    /// Forgets what the media carried: its ids restart.
    pub(super) fn clear_carried(&mut self) {
        self.carried.clear();
    }

    pub(super) fn push(&mut self, source: &str, running_time: gst::ClockTime, mark: Mark) {
        let source = match &self.source {
            Some(last) if **last == *source => last.clone(),
            _ => self.source.insert(source.into()).clone(),
        };
        self.marks.insert(
            (running_time, self.arrivals),
            Waiting {
                source,
                mark,
                passed: 0,
            },
        );
        self.arrivals += 1;
    }

    /// Moves the marks that belong on the buffer onto it.
    ///
    /// `end` is how far the media has come before it, in running time.
    pub(super) fn attach_to(
        &mut self,
        buffer: &mut gst::Buffer,
        span: Span,
        end: Option<gst::ClockTime>,
        segment: Option<&Segment>,
    ) -> Taken {
        let mut taken = Taken::default();
        for found in marks::read(buffer) {
            for mark in found.marks {
                self.carried.is_new(&found.source, mark.id);
            }
        }
        let (limit, covered) = match (span, end) {
            (Span::Outside, _) => return taken,
            (Span::Timed(covered), _) => (covered.limit(), Some(covered)),
            // Without a place of its own it takes what came too late for the buffers before it,
            // or, where no buffer has a place, all there is.
            (Span::Untimed, Some(end)) => (end, None),
            (Span::Untimed, None) => (gst::ClockTime::MAX, None),
        };
        let keys: Vec<_> = self
            .marks
            .range_mut(..(limit, 0))
            .filter_map(|(key, waiting)| belongs(key.0, waiting, covered).then_some(*key))
            .collect();
        let mut found: Vec<SourceMarks> = Vec::new();
        for key in keys {
            let Some(Waiting { source, mark, .. }) = self.marks.remove(&key) else {
                continue;
            };
            if !self.carried.is_new(&source, mark.id) {
                taken.duplicates += 1;
                continue;
            }
            taken.attached += 1;
            let late = match covered {
                Some(covered) => key.0 < covered.start,
                None => end.is_some(),
            };
            taken.late += u64::from(late);
            collect(&mut found, &source, in_segment(mark, key.0, segment));
        }
        if !found.is_empty() {
            // A new buffer of the same memory if anybody else has it.
            let buffer = buffer.make_mut();
            for SourceMarks { source, marks } in &found {
                marks::attach(buffer, source, marks);
            }
        }
        taken
    }

    /// Takes the marks before `end`, for which no buffer follows.
    pub(super) fn take_before(
        &mut self,
        end: gst::ClockTime,
        segment: Option<&Segment>,
    ) -> Vec<SourceMarks> {
        let later = self.marks.split_off(&(end, 0));
        let mut found = Vec::new();
        for ((time, _), Waiting { source, mark, .. }) in std::mem::replace(&mut self.marks, later) {
            if self.carried.is_new(&source, mark.id) {
                collect(&mut found, &source, in_segment(mark, time, segment));
            }
        }
        found
    }
}

/// Whether the mark, which no buffer has covered so far, goes onto a buffer that covers `covered`.
fn belongs(time: gst::ClockTime, waiting: &mut Waiting, covered: Option<Covered>) -> bool {
    let Some(Covered { start, bound, .. }) = covered else {
        return true;
    };
    if time >= start {
        return true;
    }
    match bound {
        Some(bound) => time < bound,
        None => {
            waiting.passed += 1;
            waiting.passed >= Pending::REORDERED_FRAMES
        }
    }
}

fn collect(found: &mut Vec<SourceMarks>, source: &str, mark: Mark) {
    match found.iter_mut().find(|found| found.source == source) {
        Some(found) => found.marks.push(mark),
        None => found.push(SourceMarks {
            source: source.to_owned(),
            marks: vec![mark],
        }),
    }
}

/// The mark with the times of the media's segment.
fn in_segment(mut mark: Mark, running_time: gst::ClockTime, segment: Option<&Segment>) -> Mark {
    let Some(segment) = segment else {
        return mark;
    };
    mark.running_time = Some(running_time);
    // A late mark may lie before the segment, and before the first timestamp there is.
    if let Some(gst::Signed::Positive(position)) =
        segment.position_from_running_time_full(running_time)
    {
        mark.timestamp = position;
        mark.stream_time = segment.to_stream_time(position);
    }
    mark
}
