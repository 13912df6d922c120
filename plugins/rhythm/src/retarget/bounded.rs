// SPDX-License-Identifier: MPL-2.0
//! The bounded alignment: of all chains of pairs (visual mark, audio mark) that go forward on both
//! sides at speeds inside the limits, the one that brings most marks together, strong ones with
//! strong ones, at speeds that change little.
//!
//! A chain gains 1 for each pair, a little more or less by how the accents agree, so that a mark
//! left out on either side costs what its pair would have gained. It pays for the distance of its
//! speeds from that at which the tempi agree, for changes of speed, and for a beginning that skips
//! a part of the source or has to wait for it.
//!
//! Dynamic programming over the visual marks as rows and, in each row, a band of audio marks about
//! where the best chains so far lead. A chain may leave out any number of audio marks, and of
//! visual marks as many as the longest interval of the music can make it run past. What is kept is
//! the band: 12 bytes for each of its cells.

use super::tempo::period;
use super::{Limits, Mark, accents};

/// Audio marks in the band of a row.
const BAND: usize = 32;
/// Visual marks that may be left out in a row, whatever the music; more where it has a gap.
const REACH: usize = 3;
const MOST_REACH: usize = 255;
/// How much agreeing accents gain, and opposite ones lose.
pub(super) const ACCENT: f32 = 0.3;
/// What a speed costs that is e times the overall one, and one that is e times the one before. The first keeps a chain from
/// slipping by a beat to meet marks that are none.
const UNNATURAL: f32 = 6.0;
pub(super) const UNSTEADY: f32 = 2.0;
/// Periods without a pair that are a silence.
pub(super) const SILENCE: f32 = 4.5;
/// What a period of the dance costs that is skipped at the beginning, and one for which the first picture has to wait.
const SKIPPED: f64 = 0.25;
const HELD: f64 = 3.0;

/// About the square of ln `ratio`, without a logarithm: off by 8 % at twice or half.
pub(super) fn square_of_log(ratio: f32) -> f32 {
    (ratio - 1.0) * (ratio - 1.0) / ratio
}

#[derive(Clone, Copy)]
struct Cell {
    score: f32,
    /// At which the pair was reached.
    speed: f32,
    /// Rows back to the pair before, 0 for none, and its place in the band there.
    rows: u8,
    place: u8,
}

/// The pairs (visual, audio) of the best chain about an overall speed, `tempo`. `start` is the first instant of the output.
pub(super) fn chain_at(
    visual: &[Mark],
    audio: &[Mark],
    limits: Limits,
    start: f64,
    tempo: f64,
) -> Vec<(usize, usize)> {
    let mut grid = Grid {
        visual,
        audio,
        accents: [accents(visual), accents(audio)],
        limits,
        tempo,
        start,
        own: limits.clamp(1.0),
        period: period(visual).unwrap_or(0.5),
        beat: period(audio).unwrap_or(0.5),
        cells: Vec::with_capacity(visual.len() * BAND),
        firsts: Vec::with_capacity(visual.len()),
    };
    if visual.is_empty() || audio.is_empty() {
        return Vec::new();
    }
    grid.fill();
    grid.trace()
}

/// A cell to come from, and what its speeds cost from there.
struct Start {
    time: f64,
    score: f32,
    fast: f32,
    slow: f32,
}

struct Grid<'a> {
    visual: &'a [Mark],
    audio: &'a [Mark],
    accents: [Vec<f32>; 2],
    limits: Limits,
    tempo: f64,
    start: f64,
    /// The speed at which nothing is changed, as far as the limits allow.
    own: f64,
    /// The period of the dance, and of the music.
    period: f64,
    beat: f64,
    /// The bands of all rows, one after the other.
    cells: Vec<Cell>,
    /// The first audio mark of each row's band.
    firsts: Vec<usize>,
}

impl Grid<'_> {
    fn width(&self) -> usize {
        BAND.min(self.audio.len())
    }

    fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.width()..][..self.width()]
    }

    /// The audio marks of a row's band.
    fn band(&self, row: usize) -> &[Mark] {
        &self.audio[self.firsts[row]..][..self.width()]
    }

    fn fill(&mut self) {
        for row in 0..self.visual.len() {
            let first = self.first_of(row);
            self.firsts.push(first);
            let mut cells: Vec<Cell> = (first..first + self.width())
                .map(|column| self.beginning(row, column))
                .collect();
            self.reach(row, &mut cells);
            let gains = self.accents[1][first..].iter();
            for (cell, accent) in cells.iter_mut().zip(gains) {
                cell.score += 1.0 + ACCENT * self.accents[0][row] * accent;
            }
            self.cells.extend(cells);
        }
    }

    /// Where the band of the row lies: about where the best chain of the last rows would come to.
    fn first_of(&self, row: usize) -> usize {
        let time = self.visual[row].time;
        let recent = row.saturating_sub(REACH)..row;
        let best = recent
            .flat_map(|row| {
                let cells = self.row(row).iter().enumerate();
                cells.map(move |(place, cell)| (cell.score, row, place))
            })
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        let expected = match best {
            Some((_, before, place)) => {
                let from = self.band(before)[place].time;
                from + (time - self.visual[before].time) / self.tempo
            }
            None => self.start + time / self.tempo,
        };
        let middle = (self.audio).partition_point(|mark| mark.time < expected);
        let first = middle.saturating_sub(self.width() / 2);
        // Never backwards, which the pairs do not go either.
        let first = first.max(self.firsts.last().copied().unwrap_or(0));
        first.min(self.audio.len() - self.width())
    }

    /// A chain that begins with this pair.
    fn beginning(&self, row: usize, column: usize) -> Cell {
        let source = self.visual[row].time;
        let output = self.audio[column].time - self.start;
        if output > f64::from(SILENCE) * self.beat {
            return self.beginning_after_silence(source, output);
        }
        let speed = source / output.max(1e-3);
        let lead = self.limits.clamp(speed);
        let skipped = (source - self.limits.max() * output.max(0.0)).max(0.0);
        let held = (self.limits.min() * output - source).max(0.0);
        let cost = SKIPPED * skipped / self.period
            + HELD * held / self.limits.min() / self.period
            // A speed that would have been needed longer weighs no more than one between two marks.
            + f64::from(0.5 * square_of_log((lead / self.tempo) as f32));
        Cell {
            // What lies before the beginning of the output cannot be met any more.
            score: if output < 0.0 { -1e9 } else { -cost as f32 },
            speed: self.tempo as f32,
            rows: 0,
            place: 0,
        }
    }

    /// Where the music has no beats yet the dance goes at its own speed, so that it is met where it has come to by then.
    fn beginning_after_silence(&self, source: f64, output: f64) -> Cell {
        let come = self.own * output;
        let skipped = (source - come).max(0.0) / self.period;
        let held = (come - source).max(0.0) / self.period;
        Cell {
            score: -(SKIPPED * skipped + HELD * held) as f32,
            speed: self.tempo as f32,
            rows: 0,
            place: 0,
        }
    }

    /// Lets the cells of a row be reached from those of rows before, where that is better.
    fn reach(&self, row: usize, cells: &mut [Cell]) {
        let band = self.band(row);
        let before = self.firsts[row].saturating_sub(1);
        let ends = &self.audio[before..self.firsts[row] + band.len()];
        let gap = (ends.windows(2))
            .map(|pair| pair[1].time - pair[0].time)
            .fold(0.0, f64::max);
        let (min, max) = (self.limits.min(), self.limits.max());
        let mut starts: Vec<Start> = Vec::with_capacity(band.len());
        for back in 1..=row.min(MOST_REACH) {
            let length = self.visual[row].time - self.visual[row - back].time;
            if back > REACH && length > max * gap {
                break;
            }
            // A speed is the worse the longer it lasts, and where a side is silent there is no
            // evidence for it. If that cost less than a pair for each period, a chain could run
            // ahead of the best one, and the band with it.
            let periods = (length / self.period).max(1.0) as f32;
            let (silent, usual) = if periods > SILENCE {
                (3.0, self.own as f32)
            } else {
                (1.0, self.tempo as f32)
            };
            let unnatural = UNNATURAL * periods * silent;
            // With square_of_log(r) = r + 1/r − 2, what a pair pays is linear in its speed and in
            // the inverse of it.
            let cells_before = self.row(row - back).iter().zip(self.band(row - back));
            starts.clear();
            starts.extend(cells_before.map(|(cell, mark)| Start {
                time: mark.time,
                score: cell.score + 2.0 * (unnatural + UNSTEADY),
                fast: unnatural / usual + UNSTEADY / cell.speed,
                slow: unnatural * usual + UNSTEADY * cell.speed,
            }));
            // The audio marks before that are neither too near nor too far.
            let (mut low, mut high) = (0, 0);
            let inverse = (1.0 / length) as f32;
            for (cell, mark) in cells.iter_mut().zip(band) {
                let nearest = mark.time - length / max;
                let farthest = mark.time - length / min;
                while low < starts.len() && starts[low].time < farthest {
                    low += 1;
                }
                while high < starts.len() && starts[high].time <= nearest {
                    high += 1;
                }
                for (place, start) in (low..).zip(&starts[low..high]) {
                    let slowness = (mark.time - start.time) as f32 * inverse;
                    let speed = 1.0 / slowness;
                    let score = start.score - speed * start.fast - slowness * start.slow;
                    if score > cell.score {
                        *cell = Cell {
                            score,
                            speed,
                            rows: back as u8,
                            place: place as u8,
                        };
                    }
                }
            }
        }
    }

    /// The best chain, from its first pair to its last.
    fn trace(&self) -> Vec<(usize, usize)> {
        let scores = self.cells.iter().enumerate();
        let best = scores.reduce(|best, next| {
            if next.1.score > best.1.score {
                next
            } else {
                best
            }
        });
        let Some((index, _)) = best.filter(|(_, cell)| cell.score > -1e8) else {
            return Vec::new();
        };
        let (mut row, mut place) = (index / self.width(), index % self.width());
        let mut pairs = Vec::new();
        loop {
            pairs.push((row, self.firsts[row] + place));
            let cell = self.row(row)[place];
            if cell.rows == 0 {
                break;
            }
            row -= usize::from(cell.rows);
            place = usize::from(cell.place);
        }
        pairs.reverse();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs of the best chain at a natural speed of 1.
    fn pairs(visual: &[Mark], audio: &[Mark]) -> Vec<(usize, usize)> {
        let mut grid = Grid {
            visual,
            audio,
            accents: [accents(visual), accents(audio)],
            limits: Limits::default(),
            tempo: 1.0,
            start: 0.0,
            own: 1.0,
            period: 0.5,
            beat: 0.5,
            cells: Vec::new(),
            firsts: Vec::new(),
        };
        grid.fill();
        grid.trace()
    }

    /// Twenty steady beats of the dance, and a song with a weak mark on each and a strong one
    /// `apart` seconds before or after every second: to meet the strong ones, the speed has to change.
    fn accents_beside_the_beat(apart: f64) -> (Vec<Mark>, Vec<Mark>) {
        let mark = |time: f64, strength: f64| Mark { time, strength };
        let (mut visual, mut audio) = (Vec::new(), Vec::new());
        for n in 0..20 {
            let time = 1.0 + 0.5 * f64::from(n);
            visual.push(mark(time, if n % 2 == 0 { 2.0 } else { 1.0 }));
            audio.push(mark(time, 1.0));
            if n % 2 == 0 {
                let side = if n % 4 == 0 { apart } else { -apart };
                audio.push(mark(time + side, 2.0));
            }
        }
        audio.sort_by(|a, b| a.time.total_cmp(&b.time));
        (visual, audio)
    }

    #[test]
    fn a_steady_chain_is_better_than_one_that_jerks() {
        let strong = |audio: &[Mark], pairs: &[(usize, usize)]| {
            pairs
                .iter()
                .filter(|(_, a)| audio[*a].strength > 1.5)
                .count()
        };
        let (visual, audio) = accents_beside_the_beat(0.12);
        let found = pairs(&visual, &audio);
        assert_eq!(found.len(), 20);
        assert!(strong(&audio, &found) <= 1, "{found:?}");
        // Strong marks next to the beat are worth a small change of speed.
        let (visual, audio) = accents_beside_the_beat(0.035);
        let found = pairs(&visual, &audio);
        assert_eq!(found.len(), 20);
        assert!(strong(&audio, &found) >= 9, "{found:?}");
    }

    #[test]
    fn the_square_of_a_logarithm_is_near_enough() {
        for ratio in [0.5f32, 0.7, 0.95, 1.0, 1.05, 1.4, 2.0] {
            let exact = ratio.ln() * ratio.ln();
            let found = square_of_log(ratio);
            assert!((found - exact).abs() <= 0.08 * exact, "{ratio}: {found}");
        }
    }
}
