// SPDX-License-Identifier: MPL-2.0
//! Marks as a standard MIDI file: beats lie on quarter notes, and the tempo map says when these sound.

use std::io;

use midly::num::{u4, u7, u15, u24, u28};
use midly::{Header, MetaMessage, MidiMessage, Smf, Timing, TrackEvent, TrackEventKind};

use crate::marks::Kind;

/// Ticks of a quarter note.
const QUARTER: u32 = 960;
/// The longest quarter that a tempo can say, in µs: 3.6 beats a minute.
const LONGEST: u64 = 0xFF_FFFF;
/// Tempo where there are no beats, in µs a quarter: 120 a minute.
const DEFAULT: u64 = 500_000;
/// Length of a note in ticks.
const LENGTH: u32 = QUARTER / 8;
/// General MIDI's percussion channel, and its kick, stick, snare and clap.
const CHANNEL: u4 = u4::new(9);
const NOTES: [(Kind, u8); 4] = [
    (Kind::Downbeat, 36),
    (Kind::Beat, 37),
    (Kind::Onset, 38),
    (Kind::VisualBeat, 39),
];

/// A mark.
pub(super) struct Event {
    pub(super) ns: u64,
    pub(super) kind: Kind,
    pub(super) beat_in_bar: u32,
    pub(super) strength: f64,
    pub(super) label: String,
}

/// A stretch of one tempo.
struct Stretch {
    /// Where it begins, in ticks and in µs.
    tick: u64,
    us: u64,
    /// µs a quarter.
    tempo: u64,
}

/// The tempo map of beats at `beats`, in µs, rising: each beat is a whole number of quarters after the
/// one before.
fn tempo_map(beats: &[u64]) -> Vec<Stretch> {
    let mut map: Vec<Stretch> = Vec::new();
    // Where the map is by its own rounded tempi, so that errors do not add up.
    let (mut tick, mut us) = (0, 0);
    let intervals = beats.windows(2).map(|pair| pair[1] - pair[0]);
    let usual = {
        let mut sorted: Vec<_> = intervals.collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(DEFAULT)
    };
    for (n, beat) in beats.iter().enumerate() {
        let left = beat.saturating_sub(us);
        if left == 0 {
            continue;
        }
        // Before the first beat, and where beats are missing, as many quarters as there is room for.
        let quarters = if n == 0 {
            (left as f64 / usual as f64).round().max(1.0) as u64
        } else {
            1
        }
        .max(left.div_ceil(LONGEST));
        let tempo = (left as f64 / quarters as f64).round().max(1.0) as u64;
        map.push(Stretch { tick, us, tempo });
        tick += quarters * u64::from(QUARTER);
        us += quarters * tempo;
    }
    map.push(Stretch {
        tick,
        us,
        tempo: usual.clamp(1, LONGEST),
    });
    map
}

/// The tick nearest to a time.
fn tick_at(map: &[Stretch], us: u64) -> u64 {
    let after = map.partition_point(|stretch| stretch.us <= us);
    // The first begins at 0.
    let Some(stretch) = map.get(after.saturating_sub(1)) else {
        return 0;
    };
    let ticks = (us - stretch.us) as f64 * f64::from(QUARTER) / stretch.tempo as f64;
    stretch.tick + ticks.round() as u64
}

/// The file: tempo map and markers of the beats; with `notes` also a note for each mark.
///
/// # Errors
/// If the times are too far apart for the format.
pub(super) fn write(events: &[Event], notes: bool) -> io::Result<Vec<u8>> {
    let micros = |event: &Event| (event.ns + 500) / 1000;
    let mut beats: Vec<_> = events
        .iter()
        .filter(|event| event.kind.is_beat())
        .map(micros)
        .collect();
    beats.dedup();
    let map = tempo_map(&beats);
    let mut all: Vec<(u64, TrackEventKind)> = Vec::new();
    for stretch in &map {
        let tempo = MetaMessage::Tempo(u24::new(stretch.tempo as u32));
        all.push((stretch.tick, TrackEventKind::Meta(tempo)));
    }
    for event in events {
        let tick = tick_at(&map, micros(event));
        if event.kind.is_beat() {
            let marker = MetaMessage::Marker(event.label.as_bytes());
            all.push((tick, TrackEventKind::Meta(marker)));
        }
        if notes {
            let key = NOTES.iter().find(|(kind, _)| *kind == event.kind);
            let key = u7::new(key.map_or(38, |(_, key)| *key));
            let share = event.strength / (1.0 + event.strength);
            let velocity = if event.kind.is_beat() { 1.0 } else { share };
            let vel = u7::new((127.0 * velocity).round().clamp(1.0, 127.0) as u8);
            let note = |message| TrackEventKind::Midi {
                channel: CHANNEL,
                message,
            };
            all.push((tick, note(MidiMessage::NoteOn { key, vel })));
            let off = MidiMessage::NoteOff {
                key,
                vel: u7::new(0),
            };
            all.push((tick + u64::from(LENGTH), note(off)));
        }
    }
    let bar = bar_length(events);
    // A time signature, where bars are known: 24 clocks a click, 8 thirty-seconds a quarter.
    if let Some(bar) = bar {
        let meter = MetaMessage::TimeSignature(bar, 2, 24, 8);
        let first = events.iter().find(|event| event.kind == Kind::Downbeat);
        let tick = first.map_or(0, |event| tick_at(&map, micros(event)));
        all.push((tick, TrackEventKind::Meta(meter)));
    }
    all.sort_by_key(|(tick, _)| *tick);
    let mut track = Vec::with_capacity(all.len() + 1);
    let mut last = 0;
    for (tick, kind) in all {
        let delta = u32::try_from(tick - last)
            .ok()
            .and_then(u28::try_from)
            .ok_or_else(|| io::Error::other("marks are too far apart for a MIDI file"))?;
        last = tick;
        track.push(TrackEvent { delta, kind });
    }
    track.push(TrackEvent {
        delta: u28::new(0),
        kind: TrackEventKind::Meta(MetaMessage::EndOfTrack),
    });
    let timing = Timing::Metrical(u15::new(QUARTER as u16));
    let mut smf = Smf::new(Header::new(midly::Format::SingleTrack, timing));
    smf.tracks.push(track);
    let mut bytes = Vec::new();
    smf.write_std(&mut bytes)?;
    Ok(bytes)
}

/// The length of most bars, as far as places in the bar are known.
fn bar_length(events: &[Event]) -> Option<u8> {
    let mut counts = [0usize; 17];
    let mut longest = 0;
    let beats = events.iter().filter(|event| event.kind.is_beat());
    for place in beats.map(|event| event.beat_in_bar as usize) {
        if place == 1 && longest > 0 {
            counts[longest] += 1;
        }
        longest = if place < counts.len() { place } else { 0 };
    }
    let (bar, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    (*count > 0).then_some(bar as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beat_lies_on_a_quarter_at_its_time() {
        let mut beats = vec![731_234];
        for n in 0..5000u64 {
            let last = beats[beats.len() - 1];
            beats.push(last + 480_000 + 7919 * n % 40_001);
        }
        // A pause longer than any tempo.
        beats.push(beats[5000] + 60_000_000);
        let map = tempo_map(&beats);
        assert_eq!(map.len(), beats.len() + 1);
        for (stretch, beat) in map[1..].iter().zip(&beats) {
            assert_eq!(stretch.tick % u64::from(QUARTER), 0);
            assert!(stretch.us.abs_diff(*beat) <= 4, "{} for {beat}", stretch.us);
            assert_eq!(tick_at(&map, stretch.us), stretch.tick);
        }
    }

    #[test]
    fn without_beats_the_tempo_is_120() {
        let map = tempo_map(&[]);
        assert_eq!((map.len(), map[0].tempo, map[0].tick), (1, DEFAULT, 0));
        assert_eq!(tick_at(&map, 250_000), u64::from(QUARTER) / 2);
    }
}
