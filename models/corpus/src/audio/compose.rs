// SPDX-License-Identifier: MPL-2.0
//! Composes music: sections of bars, chords, and who plays in them.

use super::drummer::drums;
use super::groove::Take;
use super::music::{Music, Section, Song};
use super::player::part;
use super::repertoire::Repertoire;
use super::score::{Course, Grid, Meter, rhythm};
use super::styles::Style;
use crate::random::Random;

const SCALES: &[(f64, [i32; 7])] = &[
    (4.0, [0, 2, 4, 5, 7, 9, 11]),
    (4.0, [0, 2, 3, 5, 7, 8, 10]),
    (1.0, [0, 2, 3, 5, 7, 9, 10]),
    (1.0, [0, 2, 4, 5, 7, 9, 10]),
    (0.5, [0, 1, 3, 5, 7, 8, 10]),
    (0.5, [0, 2, 3, 5, 7, 8, 11]),
];

const PROGRESSIONS: &[[i32; 4]] = &[
    [0, 4, 5, 3],
    [0, 3, 4, 0],
    [0, 5, 3, 4],
    [1, 4, 0, 0],
    [0, 6, 5, 4],
    [0, 0, 3, 4],
    [5, 3, 0, 4],
    [0, 0, 0, 0],
    [0, 3, 0, 4],
    [0, 2, 3, 3],
    [0, 6, 3, 0],
    [5, 4, 3, 4],
];

/// Music from about `start` seconds (negative: it is on already at 0) until `end`.
pub fn compose(
    repertoire: &'static Repertoire,
    takes: &[Take],
    start: f64,
    end: f64,
    random: &mut Random,
) -> Music {
    let choice: Vec<(f64, &Style)> = repertoire.styles.iter().map(|s| (s.weight, s)).collect();
    let style = random.weighted(&choice);
    let meter = random.weighted(&style.meters);
    // Compound beats are slower, eighths faster.
    let (low, high) = match meter.name {
        "6/8" | "12/8" => (40.0, 130.0f64.min(style.bpm.1.max(60.0))),
        "7/8" => (style.bpm.0.max(140.0), 215.0),
        _ if random.chance(0.08) => (40.0, 215.0),
        _ => style.bpm,
    };
    let bpm = low * (high / low).powf(random.unit());
    let electronic = style.loose < 0.002;
    let course = if random.chance(style.free) {
        random.weighted(&[
            (5.0, Course::Wandering),
            (1.0, Course::Ramp),
            (1.0, Course::Jump),
            (2.0, Course::Rubato),
        ])
    } else {
        random.weighted(&[
            (16.0, Course::Constant),
            (1.0, Course::Ramp),
            (1.5, Course::Jump),
        ])
    };
    let grid = Grid::new(meter, bpm, course, start, end, random);
    let swung = meter.division == 2 && random.chance(style.swing);
    let sections = sections(style, &grid, end, random);
    let progression = random.pick(PROGRESSIONS);
    let slow = if random.chance(0.2) { 2 } else { 1 };
    let song = Song {
        swing: if swung { random.range(0.3, 1.0) } else { 0.0 },
        unit: if bpm < 115.0 && style.name != "jazz" && random.chance(0.7) {
            0.5
        } else {
            1.0
        },
        loose: style.loose * random.range(0.3, 1.25),
        scale: random.weighted(SCALES),
        key: random.index(12) as i32,
        chords: (0..grid.bars())
            .map(|b| progression[b / slow % 4])
            .collect(),
        sections,
        end,
        grid: &grid,
    };
    let (drums, drummer) = drums(&song, style, &repertoire.patterns, takes, bpm, random);
    let mut parts = Vec::new();
    for (index, voicing) in style.voices.iter().enumerate() {
        if song.sections.iter().any(|s| s.active[index]) {
            parts.push(part(&song, index, voicing, random));
        }
    }
    Music {
        style: &style.name,
        drums,
        parts,
        drummer,
        electronic,
        grid,
    }
}

/// Cuts the bars into sections and says who plays in each.
fn sections(style: &Style, grid: &Grid, end: f64, random: &mut Random) -> Vec<Section> {
    let mut here: Vec<bool> = style
        .voices
        .iter()
        .map(|v| random.chance(v.chance))
        .collect();
    let mut drums = random.chance(style.drums);
    if !drums && !here.contains(&true) {
        match style.voices.len() {
            0 => drums = true,
            count => here[random.index(count)] = true,
        }
    }
    let intro = drums && here.contains(&true) && random.chance(0.2);
    let mut sections: Vec<Section> = Vec::new();
    let mut first = 0;
    while first < grid.bars() && grid.time((first * grid.meter.beats as usize) as f64) < end {
        let bars = random.weighted(&[(1.0, 1), (3.0, 2), (5.0, 4), (1.0, 3)]);
        let opening = sections.is_empty() && intro;
        let mut active: Vec<bool> = here.iter().map(|&h| h && random.chance(0.85)).collect();
        let beating = drums && !opening && random.chance(0.93);
        if !beating && !active.contains(&true) {
            active.clone_from(&here);
        }
        sections.push(Section {
            first,
            bars: bars.min(grid.bars() - first),
            // A style of drums alone has nothing else to rest on.
            drums: beating || (drums && !here.contains(&true)),
            active,
            stop: random.chance(0.05),
            fill: random.chance(0.4),
            riff: riff(grid.meter, random),
        });
        first += bars;
    }
    sections
}

/// A bar of power chords: instants and degrees over the chord's root.
fn riff(meter: Meter, random: &mut Random) -> Vec<(f64, i32)> {
    let beats = f64::from(meter.beats);
    let cell: &[f64] = if meter.division == 3 {
        random.pick(&[&[0.0, 1.0 / 3.0, 2.0 / 3.0][..], &[0.0, 2.0 / 3.0], &[0.0]])
    } else if meter.name == "7/8" {
        random.pick(&[&[0.0, 0.5][..], &[0.0]])
    } else {
        random.pick(&[
            &[0.0, 0.25, 0.5, 0.75][..],
            &[0.0, 0.5],
            &[0.0, 0.5],
            &[0.0, 0.5, 0.75],
            &[0.0, 0.25, 0.5],
            &[0.0],
        ])
    };
    let mut out = Vec::new();
    let broken = random
        .chance(0.5)
        .then(|| rhythm(meter, 0.7, random.range(0.0, 0.6), random));
    let instants: Vec<f64> = broken.unwrap_or_else(|| {
        (0..meter.beats)
            .flat_map(|b| cell.iter().map(move |c| f64::from(b) + c))
            .collect()
    });
    let moving = random.range(0.0, 0.4);
    for at in instants.into_iter().filter(|&a| a < beats) {
        let degree = if random.chance(moving) {
            random.pick(&[1, 2, 4, 6, 5])
        } else {
            0
        };
        out.push((at, degree));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_and_metre_comes_up_and_plays() {
        let repertoire = Repertoire::shipped().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut meters = std::collections::BTreeSet::new();
        for index in 0..600 {
            let random = &mut Random::new(5, index);
            let music = compose(repertoire, &[], 0.5, 12.0, random);
            seen.insert(music.style);
            meters.insert(music.grid.meter.name);
            let count =
                music.drums.len() + music.parts.iter().map(|p| p.notes.len()).sum::<usize>();
            assert!(count > 3, "{index} {}", music.style);
            let parts = music.parts.iter().flat_map(|p| &p.notes);
            for note in parts {
                assert!(note.time.is_finite() && note.time < 12.2 && note.seconds > 0.0);
                assert!((20..=108).contains(&note.key) && (1..=127).contains(&note.velocity));
            }
        }
        assert_eq!(seen.len(), repertoire.styles.len());
        assert_eq!(meters.len(), 7);
    }
}
