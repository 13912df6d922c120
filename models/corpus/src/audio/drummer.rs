// SPDX-License-Identifier: MPL-2.0
//! What the drummer plays: a recorded take, or patterns and fills.

use super::groove::Take;
use super::kit::Piece;
use super::music::{Song, Stroke};
use super::patterns::Pattern;
use super::styles::Style;
use crate::random::Random;

/// All strokes, and who plays them.
pub(super) fn drums(
    song: &Song,
    style: &Style,
    patterns: &[Pattern],
    takes: &[Take],
    bpm: f64,
    random: &mut Random,
) -> (Vec<Stroke>, String) {
    let meter = song.grid.meter;
    let mut out: Vec<Stroke> = Vec::new();
    if !song.sections.iter().any(|s| s.drums) {
        return (out, "no drums".to_owned());
    }
    // A take is sped up or slowed down by a third at most, unless nothing else is there.
    let fitting: Vec<&Take> = takes
        .iter()
        .filter(|t| !t.fill && t.meter == meter.name && style.takes.contains(&t.style))
        .collect();
    let close: Vec<&Take> = fitting
        .iter()
        .copied()
        .filter(|t| (t.bpm / bpm).log2().abs() < 0.5)
        .collect();
    let fills: Vec<&Take> = takes
        .iter()
        .filter(|t| t.fill && t.meter == meter.name)
        .collect();
    let any = if close.is_empty() && random.chance(0.3) {
        &fitting
    } else {
        &close
    };
    let recorded = if style.name == "drums" { 0.75 } else { 0.5 };
    let take = (!any.is_empty() && random.chance(recorded)).then(|| random.pick(any));
    let patterns: Vec<&Pattern> = {
        let fits = |p: &&Pattern| {
            p.beats == meter.beats && p.steps.is_multiple_of(3) == (meter.division == 3)
        };
        let own: Vec<&Pattern> = patterns
            .iter()
            .filter(|p| fits(p) && style.patterns.contains(&p.style))
            .collect();
        if own.is_empty() {
            patterns.iter().filter(fits).collect()
        } else {
            own
        }
    };
    let beats = f64::from(meter.beats);
    let lag = 0.4 * song.loose * random.normal();
    let offset = take.map_or(0, |t| random.index(t.bars as usize));
    let mut pattern = random.pick(&patterns);
    for section in song.sections.iter().filter(|s| s.drums) {
        if random.chance(0.3) {
            pattern = random.pick(&patterns);
        }
        let crash = random.chance(0.4);
        for bar in section.first..section.first + section.bars {
            let base = bar as f64 * beats;
            let last = bar + 1 == section.first + section.bars;
            if last && section.stop {
                for piece in [Piece::Kick, Piece::Crash] {
                    let (time, velocity) = (song.grid.time(base) + lag, 0.9);
                    out.push(Stroke {
                        time,
                        piece,
                        velocity,
                    });
                }
                continue;
            }
            let mut hit = |position: f64, piece, velocity: f64| {
                out.push(Stroke {
                    time: position,
                    piece,
                    velocity: velocity.clamp(0.05, 1.0) as f32,
                });
            };
            // From here on the bar is a fill.
            let from = if last && section.fill && take.is_none() {
                beats - random.pick(&[1.0, 2.0, 0.5f64]).min(beats)
            } else {
                beats
            };
            let borrowed = (last && section.fill && !fills.is_empty() && random.chance(0.5))
                .then(|| (random.pick(&fills), 0));
            if let Some((take, at)) =
                borrowed.or(take.map(|t| (t, (bar + offset) % t.bars as usize)))
            {
                let start = at as f64 * beats;
                for s in &take.strokes {
                    if s.position >= start - 0.1 && s.position < start + beats - 0.1 {
                        let time = song.grid.time((base + s.position - start).max(0.0));
                        hit(time, s.piece, f64::from(s.velocity));
                    }
                }
                continue;
            }
            for (piece, line) in &pattern.lines {
                for (n, symbol) in line.bytes().enumerate() {
                    let at = n as f64 / f64::from(pattern.steps);
                    let velocity = match symbol {
                        b'X' => 0.95,
                        b'x' => 0.72,
                        b'o' => 0.38,
                        b'?' if random.chance(0.4) => 0.55,
                        _ => continue,
                    };
                    if at < from {
                        let time = song.time(base + at) + lag + 0.7 * song.loose * random.normal();
                        hit(time, *piece, velocity + 0.06 * random.normal());
                    }
                }
            }
            let per = if meter.division == 3 {
                3.0
            } else {
                random.pick(&[4.0, 4.0, 2.0, 3.0])
            };
            let mut at = from;
            while at < beats - 0.01 {
                let along = (at - from) / (beats - from);
                let piece = if along < 0.35 {
                    random.pick(&[Piece::Snare, Piece::HighTom])
                } else if along < 0.7 {
                    random.pick(&[Piece::Snare, Piece::MidTom])
                } else {
                    random.pick(&[Piece::LowTom, Piece::Snare])
                };
                let time = song.time(base + at) + lag + song.loose * random.normal();
                if !random.chance(0.12) {
                    hit(time, piece, 0.6 + 0.35 * along + 0.06 * random.normal());
                }
                at += 1.0 / per;
            }
            if crash && bar == section.first {
                hit(song.grid.time(base) + lag, Piece::Crash, 0.8);
            }
        }
    }
    out.retain(|s| s.time < song.end);
    let drummer = take.map_or_else(|| format!("pattern {}", pattern.style), |t| t.name.clone());
    (out, drummer)
}
