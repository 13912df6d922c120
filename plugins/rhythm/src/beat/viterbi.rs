// SPDX-License-Identifier: MPL-2.0
//! Beats of a whole stream.

use super::observation::{Decimator, Exponents, Observation, Position};
use super::space::Space;
use super::{Beat, Config, Error, SILENCE, SilenceGate, logistic};
use crate::onset::Frame;

/// Chosen on the half of the music that is tuned on.
const EXPONENTS: Exponents = Exponents {
    beat: 0.3,
    offbeat: 0.27,
};
/// Memory for the way back through the states, in bytes, as long as [`FEWEST_FRAMES`] fit.
const BUDGET: usize = 16 << 20;
/// The way back is kept for at least and at most this many frames.
const FEWEST_FRAMES: usize = 2_000;
const MOST_FRAMES: usize = 30_000;
/// Seconds of silence after which frames are not observed.
const SILENCE_IGNORED: f64 = 1.2;
/// Seconds of silence in which no beats are reported; beats continue through shorter rests.
const LONG_SILENCE: f64 = 4.0;
/// A beat this many seconds before the first sound or after the last belongs to it; one that is
/// farther away is none.
const EDGE: f64 = 0.07;
/// Seconds after its instant by which a beat is audible.
const SOUNDS: f64 = 0.05;
/// A beat of this strength is audible.
const AUDIBLE: f64 = 0.1;
/// Of its neighbours at least this many, and this share, must be audible.
const FEWEST_AUDIBLE: usize = 3;
const LEAST_AUDIBLE: f64 = 0.1;
/// Neighbours on either side that count for that.
const FAR: usize = 16;
/// The same for the confidence and the tempo.
const NEIGHBOURS: usize = 6;
/// Intervals within this share of the middle one make the tempo.
const STEADY: f64 = 0.1;
/// Constant and weights of (mean strength of the neighbours, share of them that are audible, how
/// much better beats fit than half-beats) in the log-odds of the confidence; fitted on the half
/// tuned on.
const CONFIDENCE: [f64; 4] = [-1.27, 3.4, 1.91, -0.44];

/// In place of a diagonal, of which there are fewer: a jump.
const JUMPED: u8 = u8::MAX;

/// A frame that may still be part of a beat.
#[derive(Clone, Copy, Debug, Default)]
struct StoredFrame {
    time: f64,
    flux: f32,
    silent: bool,
    /// How much better it fits a beat than a half-beat, averaged over places.
    beat: f32,
}

/// The instants of the first and of the last frame at each level, in dB.
#[derive(Clone, Debug)]
struct Levels([Option<[f64; 2]>; Self::COUNT]);

impl Levels {
    /// From −120 dBFS up.
    const LOWEST: f32 = -120.0;
    const COUNT: usize = 128;
    /// A frame this much below the loudest is silent: music may fade in and ring out for long.
    const BELOW_LOUDEST: f32 = 65.0;
    const NEW: Self = Self([None; Self::COUNT]);

    fn add(&mut self, time: f64, level: f32) {
        let place = (level - Self::LOWEST).max(0.0) as usize;
        let [_, last] = self.0[place.min(Self::COUNT - 1)].get_or_insert([time, time]);
        *last = time;
    }

    /// From the first to the last frame that is not silent beside the loudest of the stream.
    fn sound(&self) -> Option<[f64; 2]> {
        let loudest = self.0.iter().rposition(Option::is_some)?;
        let lowest = (loudest as f32 - Self::BELOW_LOUDEST).max(SILENCE - Self::LOWEST);
        let audible = self.0.iter().skip(lowest.ceil() as usize).flatten();
        audible
            .copied()
            .reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
    }
}

/// A beat on the path.
#[derive(Clone, Copy, Debug)]
struct DecodedBeat {
    /// Number of the frame at which it starts; the first beat may start before the first frame.
    start: i64,
    time: f64,
    strength: f64,
    slot: usize,
    /// How well its frames fit a beat, and those half-way to the next one.
    fit: f64,
    silent: bool,
}

/// The offline tracker: the most probable path through all frames.
///
/// What it keeps is bounded but for the beats found (at most 1.5 MB an hour): the way back through
/// the states covers the last frames that fit 16 MiB (five minutes with the default settings), and
/// what is older is decided by the best path at that moment. Time per frame is constant.
pub struct OfflineTracker {
    decimator: Decimator,
    gate: SilenceGate,
    space: Space,
    log_diagonals: Vec<Vec<f32>>,
    log_jumps: Vec<f32>,
    log_stay: f32,
    log_change: f32,
    /// log P of the best path to each state, up to a constant.
    score: Vec<f32>,
    head: Vec<usize>,
    leaving: Vec<f32>,
    /// Score of what enters one slot, by the tempo it had, with room on both sides, …
    source: Vec<f32>,
    /// … by the tempo it has from then on, and which tempo or diagonal that came from.
    entering: Vec<f32>,
    came: Vec<u32>,
    /// By frame modulo `window`: the diagonal that each slot and tempo came by, …
    back: Vec<u8>,
    /// … the tempo that jumps to each slot come from, …
    back_jump: Vec<u16>,
    /// … the slot that each metre's first slot came from, …
    back_slot: Vec<u8>,
    /// … and the frame itself.
    stored: Vec<StoredFrame>,
    window: usize,
    frames: u64,
    silence: f64,
    levels: Levels,
    decided: Vec<DecodedBeat>,
}

impl OfflineTracker {
    /// At the start of a stream.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let decimator = Decimator::new(config.frame_rate);
        let space = Space::new(decimator.frame_rate(), config);
        let (n, slots) = (space.tempi(), space.slots.len());
        let window = (BUDGET / (n * slots)).clamp(FEWEST_FRAMES, MOST_FRAMES);
        let others = space.starts.len().saturating_sub(1).max(1) as f32;
        let mut offline = Self {
            decimator,
            gate: SilenceGate::NEW,
            log_diagonals: space
                .changes
                .diagonals
                .iter()
                .map(|d| d.iter().map(|w| w.ln()).collect())
                .collect(),
            log_jumps: space
                .jumps
                .iter()
                .map(|p| p.max(f32::MIN_POSITIVE).ln())
                .collect(),
            log_stay: (1.0 - space.metre_change).ln(),
            log_change: (space.metre_change / others).ln(),
            score: vec![0.0; space.states()],
            head: vec![0; n],
            leaving: vec![0.0; slots * n],
            source: space.changes.padded(n, f32::NEG_INFINITY),
            entering: vec![0.0; n],
            came: vec![0; n],
            back: vec![0; window * slots * n],
            back_jump: vec![0; window * slots],
            back_slot: vec![0; window * space.starts.len()],
            stored: vec![StoredFrame::default(); window],
            window,
            frames: 0,
            silence: 0.0,
            levels: Levels::NEW,
            decided: Vec::new(),
            space,
        };
        offline.reset();
        Ok(offline)
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.decimator.reset();
        self.gate = SilenceGate::NEW;
        self.head.fill(0);
        self.frames = 0;
        self.silence = 0.0;
        self.levels = Levels::NEW;
        self.decided.clear();
        for slot in 0..self.space.slots.len() {
            for tempo in 0..self.space.tempi() {
                let ring = self.space.ring(slot, tempo);
                let share = self.space.prior[tempo] / ring.len() as f32;
                self.score[ring].fill(share.max(f32::MIN_POSITIVE).ln());
            }
        }
    }

    /// Takes the next frame.
    pub fn push(&mut self, frame: &Frame) {
        let Some(frame) = self.decimator.next(frame) else {
            return;
        };
        if self.frames - self.oldest() == self.window as u64 {
            // A quarter of the window is what the future may still change.
            self.decide(Some((self.frames - self.window as u64 / 4) as i64));
            self.rescale();
        }
        let frame_rate = self.decimator.frame_rate();
        let silent = self.gate.is_silent(frame.level, frame_rate);
        self.levels.add(frame.time, frame.level);
        self.silence = if silent {
            self.silence + 1.0 / frame_rate
        } else {
            0.0
        };
        let observed = Observation::new(&frame, EXPONENTS);
        let place = (self.frames % self.window as u64) as usize;
        self.stored[place] = StoredFrame {
            time: frame.time,
            flux: frame.flux,
            silent,
            beat: observed
                .log(Position::Backbeat)
                .max(observed.log(Position::Downbeat)),
        };
        // Long silence is no evidence about the pointer.
        let observed = (self.silence < SILENCE_IGNORED).then_some(&observed);
        self.step(place, observed);
        self.frames += 1;
    }

    /// All beats, ascending; the next frame starts a new stream.
    pub fn decode(&mut self) -> Vec<Beat> {
        if self.frames > 0 {
            self.decide(None);
        }
        let beats = self.beats();
        self.reset();
        beats
    }

    /// Number of the oldest frame whose way back is needed.
    fn oldest(&self) -> u64 {
        let decided = self.decided.last().map_or(0, |beat| beat.start.max(0));
        (decided as u64).max(self.frames.saturating_sub(self.window as u64))
    }

    fn step(&mut self, place: usize, observed: Option<&Observation>) {
        let space = &self.space;
        let n = space.tempi();
        for (head, &interval) in self.head.iter_mut().zip(&space.intervals) {
            *head = if *head == 0 { interval } else { *head } - 1;
        }
        for slot in 0..space.slots.len() {
            for tempo in 0..n {
                self.leaving[slot * n + tempo] =
                    self.score[space.ring(slot, tempo).start + self.head[tempo]];
            }
        }
        let best = |scores: &[f32]| {
            scores
                .iter()
                .enumerate()
                .fold((0, f32::NEG_INFINITY), |best, (n, &x)| {
                    if x > best.1 { (n, x) } else { best }
                })
        };
        let half = observed.map_or(0.0, |o| o.log(Position::Offbeat));
        let mut metre = 0;
        for (s, slot) in space.slots.iter().enumerate() {
            let mut from = slot.before;
            let mut penalty = 0.0;
            if slot.beat == 0 {
                if space.metre_change > 0.0 {
                    penalty = self.log_stay;
                    let mut top = best(&self.leaving[from * n..][..n]).1 + penalty;
                    for &start in space.starts.iter().filter(|&&start| start != s) {
                        let last = space.slots[start].before;
                        let other = best(&self.leaving[last * n..][..n]).1 + self.log_change;
                        if other > top {
                            (top, from, penalty) = (other, last, self.log_change);
                        }
                    }
                }
                self.back_slot[place * space.starts.len() + metre] = from as u8;
                metre += 1;
            }
            let source = &mut self.source[space.changes.inner(n)];
            for (x, y) in source.iter_mut().zip(&self.leaving[from * n..][..n]) {
                *x = y + penalty + slot.log_weight;
            }
            let (jump_from, jump) = best(source);
            for (x, w) in self.entering.iter_mut().zip(&self.log_jumps) {
                *x = jump + w;
            }
            self.back_jump[place * space.slots.len() + s] = jump_from as u16;
            self.came.fill(u32::from(JUMPED));
            for (k, diagonal) in self.log_diagonals.iter().enumerate() {
                let (entering, sources) = (self.entering.iter_mut(), &self.source[k..][..n]);
                for (((x, came), w), y) in entering.zip(&mut self.came).zip(diagonal).zip(sources) {
                    // Without branches, so that it vectorises.
                    *came = if w + y > *x { k as u32 } else { *came };
                    *x = x.max(w + y);
                }
            }
            let back = &mut self.back[(place * space.slots.len() + s) * n..][..n];
            for (back, &came) in back.iter_mut().zip(&self.came) {
                *back = came as u8;
            }
            let on = observed.map_or(0.0, |o| o.log(slot.position));
            for tempo in 0..n {
                let ring = &mut self.score[space.ring(s, tempo)];
                let (head, region) = (self.head[tempo], space.region[tempo]);
                ring[head] = self.entering[tempo];
                add(ring, head, region, on);
                add(ring, head + ring.len() / 2, region, half);
            }
        }
    }

    /// Keeps the scores near 0, where an f32 is precise.
    fn rescale(&mut self) {
        let top = self.score.iter().copied().fold(f32::MIN, f32::max);
        self.score.iter_mut().for_each(|x| *x -= top);
    }

    /// Follows the best path back and keeps its beats, those that start before frame `until` if
    /// there is one.
    fn decide(&mut self, until: Option<i64>) {
        let space = &self.space;
        let n = space.tempi();
        let (mut slot, mut tempo, mut position, mut top) = (0, 0, 0, f32::NEG_INFINITY);
        for s in 0..space.slots.len() {
            for t in 0..n {
                let ring = &self.score[space.ring(s, t)];
                for (place, &x) in ring.iter().enumerate() {
                    if x > top {
                        let from_head = place + ring.len() - self.head[t];
                        (slot, tempo, position, top) = (s, t, from_head % ring.len(), x);
                    }
                }
            }
        }
        let floor = self.oldest();
        let known = self.decided.len();
        let min_start = self.decided.last().map(|beat| beat.start);
        let mut start = self.frames as i64 - 1 - position as i64;
        let keep_from = self.frames.saturating_sub(self.window as u64);
        let oldest = floor.max(keep_from) as i64;
        loop {
            let interval = space.intervals[tempo] as i64;
            // Another path may have been the best when the beats before were decided.
            if min_start.is_some_and(|m| start < m + interval / 2) {
                break;
            }
            // A beat at the first sample starts before the first frame, whose centre it has.
            let is_first = oldest == 0 && start < 0 && start + space.region[tempo] as i64 > 0;
            if (start >= oldest || is_first) && until.is_none_or(|until| start < until) {
                let beat = self.beat(start, slot, tempo);
                self.decided.push(beat);
            }
            if start < oldest {
                break;
            }
            let place = (start as u64 % self.window as u64) as usize;
            let turn = place * space.slots.len() + slot;
            tempo = match self.back[turn * n + tempo] {
                JUMPED => usize::from(self.back_jump[turn]),
                diagonal => tempo + usize::from(diagonal) - space.changes.reach,
            };
            slot = match space.starts.iter().position(|&s| s == slot) {
                Some(metre) => usize::from(self.back_slot[place * space.starts.len() + metre]),
                None => space.slots[slot].before,
            };
            start -= space.intervals[tempo] as i64;
        }
        self.decided[known..].reverse();
    }

    fn at(&self, frame: i64) -> Option<&StoredFrame> {
        let frame = u64::try_from(frame).ok()?;
        (frame < self.frames && frame + self.window as u64 >= self.frames)
            .then(|| &self.stored[(frame % self.window as u64) as usize])
    }

    /// The beat that starts at frame `start`; its instant is where in its region the onset function
    /// is, or its centre.
    fn beat(&self, start: i64, slot: usize, tempo: usize) -> DecodedBeat {
        let frame_rate = self.decimator.frame_rate();
        let region = self.space.region[tempo] as i64;
        let half = start + self.space.intervals[tempo] as i64 / 2;
        let before = start.min(0) as f64 / frame_rate;
        let first = self.at(start.max(0)).map_or(0.0, |frame| frame.time) + before;
        let centre = (region as f64 - 1.0) / 2.0 / frame_rate;
        let (mut weights, mut offsets, mut strength) = (1e-3, 1e-3 * centre, 0.0f32);
        let (mut fit, mut fit_half) = (f32::MIN, f32::MIN);
        for n in 0..region {
            if let Some(frame) = self.at(start + n) {
                let weight = f64::from(frame.flux).powi(2);
                weights += weight;
                offsets += weight * (frame.time - first);
                strength = strength.max(frame.flux);
                fit = fit.max(frame.beat);
            }
            if let Some(frame) = self.at(half + n) {
                fit_half = fit_half.max(frame.beat);
            }
        }
        let sounds = start + region / 2 + (SOUNDS * frame_rate) as i64;
        let long = (LONG_SILENCE * frame_rate) as i64;
        let silent = |n: i64| self.at(n).is_some_and(|frame| frame.silent);
        let after = (sounds..sounds + long).take_while(|&n| silent(n)).count();
        let before = (sounds - long..sounds)
            .rev()
            .take_while(|&n| silent(n))
            .count();
        DecodedBeat {
            start,
            time: first + offsets / weights,
            strength: f64::from(strength),
            slot,
            fit: f64::from(fit) - f64::from(fit_half.max(-10.0)),
            silent: silent(sounds)
                && f64::from(strength) < AUDIBLE
                && (after + before) as i64 >= long,
        }
    }

    fn beats(&self) -> Vec<Beat> {
        let decided = &self.decided;
        let around =
            |n: usize, reach: usize| n.saturating_sub(reach)..(n + reach + 1).min(decided.len());
        let mut intervals = Vec::with_capacity(2 * NEIGHBOURS);
        let mut beats: Vec<Beat> = Vec::with_capacity(decided.len());
        let Some([first, last]) = self.levels.sound() else {
            return beats;
        };
        // A frame has the level of its whole hop, of which the sound may be a part.
        let first = first + 1.0 / self.decimator.frame_rate();
        for (n, beat) in decided.iter().enumerate() {
            // At the very end, the path goes on into a beat that would come next.
            let is_next = beat.time > last - EDGE && beat.strength < AUDIBLE;
            if beat.time < first - EDGE || beat.time > last + EDGE || is_next {
                continue;
            }
            let near = &decided[around(n, NEIGHBOURS)];
            let mean = |of: &dyn Fn(&DecodedBeat) -> f64| {
                near.iter().map(of).sum::<f64>() / near.len() as f64
            };
            let strength = mean(&|b| b.strength);
            let far = &decided[around(n, FAR)];
            let audible = far.iter().filter(|b| b.strength > AUDIBLE).count();
            if beat.silent
                || audible < FEWEST_AUDIBLE
                || (audible as f64) < LEAST_AUDIBLE * far.len() as f64
            {
                continue;
            }
            let features = [
                1.0,
                strength,
                mean(&|b| f64::from(u8::from(b.strength > AUDIBLE))),
                mean(&|b| b.fit),
            ];
            intervals.clear();
            intervals.extend(near.windows(2).map(|pair| pair[1].time - pair[0].time));
            let slot = self.space.slots[beat.slot];
            beats.push(Beat {
                time: beat.time.clamp(first.min(last), last.max(first)),
                strength: beat.strength,
                confidence: logistic(CONFIDENCE.iter().zip(features).map(|(w, x)| w * x).sum()),
                bpm: steady(&mut intervals).map_or(0.0, |interval| 60.0 / interval),
                beat_in_bar: if slot.metre > 1 { slot.beat + 1 } else { 0 },
                predicted: false,
            });
        }
        // One beat alone has no tempo and is no beat.
        beats.retain(|beat| beat.bpm > 0.0);
        beats
    }
}

/// Mean of the `intervals` near their median; `None` without any.
fn steady(intervals: &mut [f64]) -> Option<f64> {
    intervals.sort_by(f64::total_cmp);
    let middle = *intervals.get(intervals.len() / 2)?;
    let (mut sum, mut count) = (0.0, 0.0);
    for &x in intervals.iter() {
        if (x / middle - 1.0).abs() < STEADY {
            sum += x;
            count += 1.0;
        }
    }
    (count > 0.0 && sum > 0.0).then(|| sum / count)
}

/// Adds `value` to `count` values of a ring from `start` on.
fn add(ring: &mut [f32], start: usize, count: usize, value: f32) {
    let start = if start >= ring.len() {
        start - ring.len()
    } else {
        start
    };
    let first = count.min(ring.len() - start);
    ring[start..start + first]
        .iter_mut()
        .for_each(|x| *x += value);
    ring[..count - first].iter_mut().for_each(|x| *x += value);
}
