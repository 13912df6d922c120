// SPDX-License-Identifier: MPL-2.0
//! What the overlay shows at an instant: the marks put in order of time, and the flashes counted.

use std::collections::VecDeque;

use gst::ClockTime;

use crate::hoof::{Hoof, Status};
use crate::marks::Kind;

/// Marks that may wait for their frame; a minute of a very busy stream.
const MAX_PENDING: usize = 1024;
/// Marks that may be on the onset strip at once, more than it has pixels to tell apart.
const MAX_TICKS: usize = 512;
/// The longest bar that is counted.
pub(super) const MAX_BEATS: u32 = 16;
/// Segments of the bar counter as long as the metre is not known.
const DEFAULT_BEATS: u32 = 4;
/// How long a flash takes to fade, from the instant of its beat.
const FADE: ClockTime = ClockTime::from_mseconds(280);
/// Beats older than this, or than 2.5 beats of a slow tempo, no longer count as going on.
const LIVE: ClockTime = ClockTime::from_seconds(2);
/// A jump back that is more than jitter begins a new time line.
const JUMP: ClockTime = ClockTime::SECOND;
/// Tempo must move this far from the number on show to change it, lest it flicker between two.
const BPM_HYSTERESIS: f64 = 0.6;
/// Tempi outside these are not believed: the readout has three digits.
const BPM: std::ops::RangeInclusive<f64> = 1.0..=999.0;
/// Share of `max-flashes` up to which a tempo counts as slow enough for a flash on every beat: at
/// the limit itself the least jitter would put one beat too many into a second.
const FLASH_HEADROOM: f64 = 0.97;

/// The longest petals of the rose are for so much motion, in widths of the picture a second: of the whole picture, and of
/// what moves in it, which has to be so large a share of it to count as more than noise.
const LONGEST_PETAL: f64 = 0.02;
const LONGEST_OF_MOVING: f64 = 0.4;
const MOVING: f64 = 0.02;

/// A mark in the running time of the video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Event {
    pub time: ClockTime,
    pub kind: Kind,
    /// Place in the bar from 1, or 0 where not known.
    pub place: u32,
    pub bpm: Option<f64>,
}

impl Event {
    fn is_downbeat(&self) -> bool {
        self.kind == Kind::Downbeat || (self.kind == Kind::Beat && self.place == 1)
    }
}

/// A mark on the onset strip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tick {
    pub time: ClockTime,
    pub kind: Kind,
}

/// A flash as it looks at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flash {
    /// 1 at the instant of the beat, fading to 0.
    pub intensity: f32,
    pub downbeat: bool,
}

/// The last beat.
#[derive(Debug, Clone, Copy)]
struct Beat {
    time: ClockTime,
    place: Option<u32>,
}

/// Everything that the marks so far mean for the picture.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Marks whose frame has not come, earliest first.
    pending: VecDeque<Event>,
    ticks: VecDeque<Tick>,
    beat: Option<Beat>,
    flash: Option<(ClockTime, bool)>,
    /// When the flashes of the last second began.
    flashes: VecDeque<ClockTime>,
    now: Option<ClockTime>,
    bpm: Option<f64>,
    shown_bpm: Option<u32>,
    /// Beats in a bar by the tempo event.
    announced_beats: Option<u32>,
    /// Beats in the last complete bar.
    counted_beats: Option<u32>,
    /// The length of each petal of the flow rose, 0 to 1, and the frame that it is of.
    rose: Vec<f32>,
    rose_time: Option<ClockTime>,
}

impl Timeline {
    /// Opens the frame that begins at `now`; a jump back in time forgets the marks, not the tempo.
    pub fn begin(&mut self, now: ClockTime) {
        if self.now.is_some_and(|last| now.saturating_add(JUMP) < last) {
            *self = Timeline {
                bpm: self.bpm,
                shown_bpm: self.shown_bpm,
                announced_beats: self.announced_beats,
                counted_beats: self.counted_beats,
                ..Default::default()
            };
        }
        self.now = Some(now);
    }

    /// Takes the motion of a frame for the rose; that of an older frame, and of one that only repeats another, does not
    /// change it.
    pub fn set_rose(&mut self, hoof: &Hoof) {
        let is_new = self
            .rose_time
            .is_none_or(|last| hoof.timestamp > last || hoof.timestamp.saturating_add(JUMP) < last);
        if !is_new || hoof.status == Status::Repeated {
            return;
        }
        self.rose_time = Some(hoof.timestamp);
        let seconds = hoof.interval.map_or(0.0, |t| t.nseconds() as f64 / 1e9);
        let across = seconds * f64::from(hoof.size[0]);
        let amount = if across > 0.0 {
            // A dancer fills little of the picture, and is what it is about.
            let moving = hoof.foreground * (hoof.moving / MOVING).min(1.0) / LONGEST_OF_MOVING;
            (hoof.magnitude / LONGEST_PETAL).max(moving) / across
        } else {
            0.0
        };
        // The area of a petal shows how much goes there.
        let petal = |share: &f64| (share * amount).sqrt().min(1.0) as f32;
        self.rose = hoof.bins.iter().map(petal).collect();
    }

    /// The lengths of the rose's petals, 0 to 1, from the right by down; none without any motion so far.
    pub fn rose(&self) -> &[f32] {
        &self.rose
    }

    /// Queues a mark for its frame. `false` if the queue is full, and the latest mark dropped.
    pub fn add(&mut self, event: Event) -> bool {
        let at = self.pending.partition_point(|e| e.time <= event.time);
        self.pending.insert(at, event);
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_back();
            return false;
        }
        true
    }

    /// Takes the marks of the frame that was begun and ends at `end`, where its end is known.
    ///
    /// A frame whose end is not known covers only the instant at which it begins. Marks older than
    /// `window` are forgotten, and at most `max_flashes` flashes begin in a second (0: no limit).
    pub fn advance(&mut self, end: Option<ClockTime>, window: ClockTime, max_flashes: u32) {
        let Some(now) = self.now else { return };
        let mut flash: Option<Event> = None;
        while let Some(event) = self.pending.front().copied() {
            if event.time > now && end.is_none_or(|end| event.time >= end) {
                break;
            }
            self.pending.pop_front();
            // Marks that come late are not always the latest.
            let at = self.ticks.partition_point(|tick| tick.time <= event.time);
            let Event { time, kind, .. } = event;
            self.ticks.insert(at, Tick { time, kind });
            if kind.is_beat() && self.beat.is_none_or(|beat| beat.time <= time) {
                self.take_beat(event);
                if now.saturating_sub(time) < FADE
                    && flash.is_none_or(|flash| !flash.is_downbeat() || event.is_downbeat())
                {
                    flash = Some(event);
                }
            }
        }
        while self.ticks.len() > MAX_TICKS
            || (self.ticks.front()).is_some_and(|tick| tick.time.saturating_add(window) < now)
        {
            self.ticks.pop_front();
        }
        while (self.flashes.front())
            .is_some_and(|start| start.saturating_add(ClockTime::SECOND) <= now)
        {
            self.flashes.pop_front();
        }
        if let Some(event) = flash
            && self.may_flash(&event, max_flashes)
        {
            self.flash = Some((event.time, event.is_downbeat()));
            if max_flashes > 0 {
                self.flashes.push_back(now);
            }
        }
    }

    fn take_beat(&mut self, event: Event) {
        let place = match event.place {
            0 if event.kind == Kind::Downbeat => Some(1),
            0 => None,
            place => Some(place.min(MAX_BEATS)),
        };
        if place == Some(1)
            && let Some(last) = self.beat.and_then(|beat| beat.place)
        {
            self.counted_beats = Some(last);
        }
        self.beat = Some(Beat {
            time: event.time,
            place,
        });
        if let Some(bpm) = event.bpm {
            self.set_bpm(bpm);
        }
    }

    fn set_bpm(&mut self, bpm: f64) {
        if !BPM.contains(&bpm) {
            return;
        }
        self.bpm = Some(bpm);
        if (self.shown_bpm).is_none_or(|shown| (bpm - f64::from(shown)).abs() > BPM_HYSTERESIS) {
            self.shown_bpm = Some(bpm.round() as u32);
        }
    }

    /// Takes the tempo that holds from now on; 0 beats per minute says that there is none.
    pub fn set_tempo(&mut self, bpm: f64, beats_per_bar: u32) {
        if bpm > 0.0 {
            self.set_bpm(bpm);
            if beats_per_bar > 0 {
                self.announced_beats = Some(beats_per_bar.min(MAX_BEATS));
            }
        } else {
            self.bpm = None;
            self.shown_bpm = None;
            self.announced_beats = None;
            self.counted_beats = None;
        }
    }

    /// Beats that would be one too many are thinned by metre, which looks steadier than dropping
    /// whichever comes fourth, and then counted, since a tempo may be wrong or unknown.
    fn may_flash(&self, event: &Event, max_flashes: u32) -> bool {
        if max_flashes == 0 {
            return true;
        }
        let limit = f64::from(max_flashes) * FLASH_HEADROOM;
        if let Some(bpm) = self.bpm
            && event.place > 0
            && bpm / 60.0 > limit
            && !event.is_downbeat()
        {
            let halves = self.beats().is_multiple_of(2) && bpm / 120.0 <= limit;
            if !halves || event.place.is_multiple_of(2) {
                return false;
            }
        }
        self.flashes.len() < max_flashes as usize
    }

    /// The flash at the frame that was begun, if one is visible.
    pub fn flash(&self) -> Option<Flash> {
        let (time, downbeat) = self.flash?;
        let age = self.now?.saturating_sub(time);
        if age >= FADE {
            return None;
        }
        // Quadratic ease-out: bright on the frame of the beat, then gently into the ground.
        let left = 1.0 - age.nseconds() as f32 / FADE.nseconds() as f32;
        Some(Flash {
            intensity: left * left,
            downbeat,
        })
    }

    /// Whether beats are going on.
    pub fn is_live(&self) -> bool {
        let (Some(now), Some(beat)) = (self.now, self.beat) else {
            return false;
        };
        let patience = (self.bpm)
            .map(|bpm| ClockTime::from_nseconds((2.5 * 60e9 / bpm) as u64))
            .map_or(LIVE, |beats| beats.clamp(LIVE, LIVE * 5));
        now.saturating_sub(beat.time) < patience
    }

    /// Place of the present beat in its bar from 1, while beats are going on.
    pub fn place(&self) -> Option<u32> {
        self.beat.filter(|_| self.is_live())?.place
    }

    /// Number of beats in a bar: by the tempo event, as counted, or 4, and never less than the present place.
    pub fn beats(&self) -> u32 {
        let place = self.beat.and_then(|beat| beat.place).unwrap_or(1);
        let beats = self.announced_beats.or(self.counted_beats);
        beats.unwrap_or(DEFAULT_BEATS).max(place)
    }

    /// The tempo to show, in whole beats per minute.
    pub fn bpm(&self) -> Option<u32> {
        self.shown_bpm
    }

    /// The marks of the last seconds, earliest first.
    pub fn ticks(&self) -> impl Iterator<Item = &Tick> {
        self.ticks.iter()
    }

    /// Where the frame that was begun lies in running time.
    pub fn now(&self) -> Option<ClockTime> {
        self.now
    }

    /// Whether any mark or tempo has come so far.
    pub fn is_idle(&self) -> bool {
        self.shown_bpm.is_none()
            && self.beat.is_none()
            && self.ticks.is_empty()
            && self.rose.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: ClockTime = ClockTime::from_seconds(4);
    const FRAME: ClockTime = ClockTime::from_mseconds(20);

    fn beat(time: ClockTime, place: u32, bpm: f64) -> Event {
        Event {
            time,
            kind: if place == 1 {
                Kind::Downbeat
            } else {
                Kind::Beat
            },
            place,
            bpm: (bpm > 0.0).then_some(bpm),
        }
    }

    /// Frames at which a flash began, and whether on a downbeat, with beats given ahead.
    fn flashes(beats: &[Event], frames: u64, max_flashes: u32) -> Vec<(ClockTime, bool)> {
        let mut timeline = Timeline::default();
        let mut starts = Vec::new();
        let mut last = None;
        for n in 0..frames {
            let now = FRAME * n;
            timeline.begin(now);
            if n == 0 {
                beats.iter().for_each(|beat| {
                    timeline.add(*beat);
                });
            }
            timeline.advance(Some(now + FRAME), WINDOW, max_flashes);
            if timeline.flash != last {
                last = timeline.flash;
                starts.extend(last.map(|(_, downbeat)| (now, downbeat)));
            }
        }
        starts
    }

    fn bars(bpm: f64, beats: u32, count: u32, told: bool) -> Vec<Event> {
        (0..count)
            .map(|n| {
                let time = ClockTime::from_nseconds((60e9 / bpm * f64::from(n)) as u64);
                beat(time, n % beats + 1, if told { bpm } else { 0.0 })
            })
            .collect()
    }

    fn most_in_a_second(starts: &[(ClockTime, bool)]) -> usize {
        starts
            .iter()
            .map(|(first, _)| {
                starts
                    .iter()
                    .filter(|(t, _)| t >= first && *t < *first + ClockTime::SECOND)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn every_beat_of_a_walking_tempo_flashes() {
        let starts = flashes(&bars(120.0, 4, 16, true), 500, 3);
        assert_eq!(starts.len(), 16);
        assert_eq!(starts.iter().filter(|(_, downbeat)| *downbeat).count(), 4);
    }

    #[test]
    fn fast_beats_are_thinned_by_metre_and_downbeats_win() {
        for (bpm, beats) in [(200.0, 4), (240.0, 4), (300.0, 3), (480.0, 4), (480.0, 7)] {
            let starts = flashes(&bars(bpm, beats, 64, true), 1000, 3);
            assert!(most_in_a_second(&starts) <= 3, "{bpm}, {beats}: {starts:?}");
            assert_eq!(
                starts.iter().filter(|(_, downbeat)| *downbeat).count(),
                64_usize.div_ceil(beats as usize),
                "{bpm} in {beats}"
            );
        }
        assert_eq!(flashes(&bars(240.0, 4, 64, true), 1000, 3).len(), 32);
        assert_eq!(flashes(&bars(240.0, 4, 64, true), 1000, 0).len(), 64);
    }

    #[test]
    fn the_limit_holds_without_a_tempo_and_against_downbeats() {
        let storm = bars(600.0, 1, 100, false);
        for max in 1..5 {
            let starts = flashes(&storm, 600, max);
            assert_eq!(most_in_a_second(&starts), max as usize);
        }
    }

    #[test]
    fn a_flash_begins_with_the_frame_that_holds_its_instant() {
        for (ns, frame) in [
            (19_999_999, 0),
            (20_000_000, 1),
            (39_999_999, 1),
            (40_000_000, 2),
        ] {
            let starts = flashes(&[beat(ClockTime::from_nseconds(ns), 1, 0.0)], 10, 3);
            assert_eq!(starts, [(FRAME * frame, true)], "{ns} ns");
        }
    }

    #[test]
    fn late_marks_fade_from_their_instant_and_very_late_ones_do_not_flash() {
        let mut timeline = Timeline::default();
        timeline.begin(ClockTime::SECOND);
        timeline.add(beat(ClockTime::from_mseconds(860), 2, 120.0));
        timeline.advance(Some(ClockTime::SECOND + FRAME), WINDOW, 3);
        let flash = timeline.flash().unwrap();
        assert!((flash.intensity - 0.25).abs() < 1e-6);
        assert_eq!(timeline.place(), Some(2));

        timeline.begin(ClockTime::from_seconds(2));
        timeline.add(beat(ClockTime::from_mseconds(1700), 3, 120.0));
        timeline.add(beat(ClockTime::from_mseconds(400), 1, 60.0));
        timeline.advance(None, WINDOW, 3);
        assert_eq!(timeline.flash(), None);
        assert_eq!(timeline.place(), Some(3), "an older beat moves nothing");
        assert_eq!(timeline.bpm(), Some(120));
        assert!(timeline.ticks().is_sorted_by_key(|tick| tick.time));
    }

    #[test]
    fn the_tempo_readout_does_not_flicker() {
        let mut timeline = Timeline::default();
        for bpm in [120.4, 120.55, 119.5, 120.5] {
            timeline.set_tempo(bpm, 0);
            assert_eq!(timeline.bpm(), Some(120), "{bpm}");
        }
        timeline.set_tempo(120.7, 3);
        assert_eq!((timeline.bpm(), timeline.beats()), (Some(121), 3));
        timeline.set_tempo(f64::NAN, 0);
        assert_eq!((timeline.bpm(), timeline.beats()), (None, 4));
        timeline.set_tempo(1e9, u32::MAX);
        assert_eq!((timeline.bpm(), timeline.beats()), (None, MAX_BEATS));
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut timeline = Timeline::default();
        timeline.begin(ClockTime::ZERO);
        let mut kept = 0;
        for n in 0..10_000_u64 {
            let time = ClockTime::from_nseconds(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20);
            kept += usize::from(timeline.add(beat(time, 0, 0.0)));
        }
        assert!(kept >= MAX_PENDING && timeline.pending.len() == MAX_PENDING);
        timeline.begin(ClockTime::from_seconds(20_000));
        timeline.advance(None, ClockTime::from_seconds(100_000), 0);
        assert!(timeline.pending.is_empty() && timeline.ticks.len() == MAX_TICKS);
    }

    #[test]
    fn a_jump_back_forgets_marks_and_keeps_the_tempo() {
        let mut timeline = Timeline::default();
        timeline.begin(ClockTime::from_seconds(100));
        timeline.add(beat(ClockTime::from_seconds(100), 1, 97.0));
        timeline.add(beat(ClockTime::from_seconds(101), 2, 97.0));
        timeline.advance(None, WINDOW, 3);
        timeline.begin(ClockTime::SECOND);
        timeline.advance(None, WINDOW, 3);
        assert_eq!(timeline.ticks().count() + timeline.pending.len(), 0);
        assert_eq!((timeline.bpm(), timeline.flash()), (Some(97), None));
    }
}
