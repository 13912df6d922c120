// SPDX-License-Identifier: MPL-2.0
//! Which instants a buffer covers, in running time.

use gst::prelude::MulDiv;

pub(crate) type Segment = gst::FormattedSegment<gst::ClockTime>;
/// What a media buffer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Timed(Covered),
    /// It has no place in time.
    Untimed,
    /// It lies outside its segment and will be clipped away, or is a header.
    Outside,
}

/// The instants `start ≤ t < end`, and at least `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    pub start: gst::ClockTime,
    pub end: gst::ClockTime,
    /// No buffer that follows covers anything earlier; not known of reordered video without DTS.
    pub bound: Option<gst::ClockTime>,
}

impl Covered {
    /// The first instant after what is covered.
    pub(super) fn limit(&self) -> gst::ClockTime {
        self.end.max(self.start + gst::ClockTime::NSECOND)
    }
}

/// The running times of two positions clipped to the segment, earlier one first; `None` if nothing
/// is left.
pub(super) fn running_times(
    segment: &Segment,
    start: gst::ClockTime,
    end: gst::ClockTime,
) -> Option<(gst::ClockTime, gst::ClockTime)> {
    let (start, end) = segment.clip(start, end)?;
    let start = segment.to_running_time(start?)?;
    let end = segment.to_running_time(end?)?;
    // Played backwards, a buffer's end comes first.
    Some((start.min(end), start.max(end)))
}

/// Finds the spans of the buffers of a stream.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    segment: Option<Segment>,
    rhythm: Rhythm,
    reordered: bool,
    last_pts: Option<gst::ClockTime>,
    last_step: Option<gst::ClockTime>,
}

/// What the caps say about the duration of a buffer.
#[derive(Debug, Default)]
enum Rhythm {
    #[default]
    Unknown,
    Audio {
        rate: u64,
        bytes_per_frame: u64,
    },
    Video {
        frame: gst::ClockTime,
    },
}

impl Spans {
    /// A longer distance of two buffers says nothing about how long they last.
    const LONGEST_STEP: gst::ClockTime = gst::ClockTime::SECOND;

    pub(super) fn set_segment(&mut self, segment: &gst::Segment) {
        self.segment = segment.downcast_ref::<gst::ClockTime>().cloned();
        self.last_pts = None;
    }

    /// Forgets the segment; caps stay over a flush.
    pub(super) fn flush(&mut self) {
        self.segment = None;
        self.last_pts = None;
    }

    pub(super) fn set_caps(&mut self, caps: &gst::CapsRef) {
        self.last_step = None;
        self.rhythm = Rhythm::Unknown;
        self.reordered = false;
        let Some(s) = caps.structure(0) else {
            return;
        };
        self.reordered = s.name().starts_with("video/") && s.name() != "video/x-raw";
        if s.name() == "audio/x-raw"
            && let Ok(info) = gst_audio::AudioInfo::from_caps(caps)
        {
            self.rhythm = Rhythm::Audio {
                rate: info.rate().into(),
                bytes_per_frame: info.bpf().into(),
            };
        } else if let Ok(rate) = s.get::<gst::Fraction>("framerate")
            && rate.numer() > 0
            && rate.denom() > 0
            && let Some(frame) = gst::ClockTime::SECOND.mul_div_round(
                rate.denom().unsigned_abs().into(),
                rate.numer().unsigned_abs().into(),
            )
        {
            self.rhythm = Rhythm::Video { frame };
        }
    }

    /// How long the buffer lasts: as it says, by the caps, or as the last two were apart.
    fn duration(&mut self, buffer: &gst::BufferRef, pts: gst::ClockTime) -> gst::ClockTime {
        if let Some(last) = self.last_pts.replace(pts)
            && pts > last
            && pts - last <= Self::LONGEST_STEP
        {
            self.last_step = Some(pts - last);
        }
        buffer
            .duration()
            .or_else(|| match self.rhythm {
                Rhythm::Audio {
                    rate,
                    bytes_per_frame,
                } => gst::ClockTime::SECOND
                    .mul_div_floor(buffer.size() as u64 / bytes_per_frame.max(1), rate.max(1)),
                Rhythm::Video { frame } => Some(frame),
                Rhythm::Unknown => self.last_step,
            })
            .unwrap_or_default()
    }

    pub(super) fn of(&mut self, buffer: &gst::BufferRef) -> Span {
        if buffer.pts().is_none() && buffer.flags().contains(gst::BufferFlags::HEADER) {
            return Span::Outside;
        }
        let Some(pts) = buffer.pts().filter(|_| self.segment.is_some()) else {
            return Span::Untimed;
        };
        let duration = self.duration(buffer, pts);
        let Some(segment) = &self.segment else {
            return Span::Untimed;
        };
        let Some((start, end)) = running_times(segment, pts, pts.saturating_add(duration)) else {
            return Span::Outside;
        };
        let bound = match buffer.dts() {
            // A DTS before the segment has no running time; then nothing can be ruled out.
            Some(dts) if segment.rate() > 0.0 => {
                Some(start.min(segment.to_running_time(dts).unwrap_or_default()))
            }
            _ if self.reordered => None,
            _ => Some(start),
        };
        Span::Timed(Covered { start, end, bound })
    }
}
