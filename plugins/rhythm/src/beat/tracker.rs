// SPDX-License-Identifier: MPL-2.0
//! Beats as the stream runs.

use std::ops::RangeInclusive;

use super::forward::Forward;
use super::observation::{Decimator, Exponents, Observation};
use super::space::Space;
use super::{Beat, Config, Error, Event, SilenceGate, Tempo, logistic};
use crate::onset::Frame;

/// Chosen on the half of the music that is tuned on.
const EXPONENTS: Exponents = Exponents {
    beat: 0.4,
    offbeat: 0.2,
};
/// A beat is dropped this many frames after its instant, if it was not audible.
const LATE: usize = 6;
/// Tempi within this share of one another count as one.
const SAME_TEMPO: f64 = 0.04;
/// The tracker changes to another tempo when that is this many times as probable.
const TEMPO_HYSTERESIS: f32 = 2.0;
/// The position in the bar advances by one unless another is this many times as probable, and it
/// is reported for the first time when it is that much more probable than any other.
const BAR_HYSTERESIS: f32 = 1.5;
/// The next beat is searched for between these shares of an interval after the last one.
const GAP: (f64, f64) = (0.62, 1.62);
/// Posterior probability, and mean of the onset function's maxima, that a report needs.
const LEAST_POSTERIOR: f32 = 0.3;
const LEAST_BUSY: f32 = 0.05;
/// How fast that mean follows: share of the newest beat.
const FOLLOW: f32 = 0.2;
/// At this much below the recent maximum (dB), beats are reported when they are audible, and not
/// predicted.
const QUIET: f32 = 45.0;
/// Seconds of silence, and of sound without any onset, after which the beat is lost.
const LOST_IN_SILENCE: f64 = 2.5;
const LOST_WITHOUT_ONSET: f64 = 4.5;
/// An onset function below this is no onset.
const ONSET: f32 = 0.05;
/// A tempo is reported again when it has changed by this share.
const TEMPO_STEP: f64 = 0.02;
/// Share of the newest beat in the reported tempo.
const TEMPO_FOLLOW: f64 = 0.25;
/// A tempo is reported when it has held (within [`SAME_TEMPO`]) for so many beats of at least this
/// confidence. Chosen by the time to the first report against the share of wrong ones, as
/// `beat-accuracy` prints them.
const SETTLED_BEATS: u32 = 4;
const SETTLED_CONFIDENCE: f64 = 0.5;
/// Seconds around a beat whose maximum is its strength.
const AROUND: f64 = 0.05;
/// Constant and weights of (log-odds of the posterior, mean of the onset function's maxima from
/// beat to beat, mean posterior of the last beats) in the log-odds of the confidence; fitted on the
/// half tuned on.
const CONFIDENCE: [f64; 4] = [0.12, 0.44, 1.11, -0.75];

/// The online tracker: reports each beat once, in ascending order, from the forward pass alone.
///
/// A beat is normally reported [`Config::lead`] seconds before its instant, as a prediction, on the
/// clock of the frames; a frame itself reaches the tracker some milliseconds after its
/// time ([`crate::onset::Detector::delay`]). Where it is quiet (45 dB below the recent
/// maximum) nothing is predicted: there a beat is reported when it is audible, up to
/// [`Tracker::delay`] late, or not at all.
/// Two beats are at least 0.6 of the present interval apart. Between two frames the work and the
/// memory are constant, and [`Tracker::push`] does not allocate.
pub struct Tracker {
    lead: f64,
    decimator: Decimator,
    forward: Forward,
    gate: SilenceGate,
    state: State,
    /// Scratch: mass by frames until the next beat, mass by tempo and its neighbours, by slot.
    ahead: Vec<f32>,
    near: Vec<f32>,
    by_slot: Vec<f32>,
}

/// The state of a [`Tracker`] beside the distribution of the pointer.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Index of the tempo followed.
    tempo: Option<usize>,
    /// Instant of the last beat decided on, reported or not.
    last: Option<f64>,
    /// Slot of that beat, once the bar is known.
    slot: Option<usize>,
    /// Seconds per beat of the tempo followed.
    period: f64,
    /// The same, smoothed for reports.
    reported_period: f64,
    /// Beats for which that has held.
    steady: u32,
    /// The last beat reported.
    beat: Option<Beat>,
    /// The tempo reported last, unless it is lost.
    reported_tempo: Option<Tempo>,
    /// Means over the last beats of the onset function's maximum from beat to beat and of the
    /// posterior.
    busy: f32,
    sure: f32,
    /// Maximum since the last beat.
    strongest: f32,
    /// Seconds of silence and since the last onset.
    silence: f64,
    without_onset: f64,
    /// It is too quiet to predict.
    quiet: bool,
    /// The onset function of the last frames, the newest last.
    recent: [f32; 2 * LATE],
}

impl State {
    const NEW: Self = Self {
        tempo: None,
        last: None,
        slot: None,
        period: 0.5,
        reported_period: 0.0,
        steady: 0,
        beat: None,
        reported_tempo: None,
        busy: 0.0,
        sure: 0.0,
        strongest: 0.0,
        silence: f64::INFINITY,
        without_onset: f64::INFINITY,
        quiet: false,
        recent: [0.0; 2 * LATE],
    };
}

impl Tracker {
    /// A tracker at the start of a stream.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let decimator = Decimator::new(config.frame_rate);
        let space = Space::new(decimator.frame_rate(), config);
        let longest = space.intervals.last().copied().unwrap_or(0);
        Ok(Self {
            lead: config.lead,
            decimator,
            gate: SilenceGate::NEW,
            state: State::NEW,
            // A beat just past its latest report has the next one a whole interval ahead.
            ahead: vec![0.0; longest + LATE + 1],
            near: vec![0.0; space.tempi()],
            by_slot: vec![0.0; space.slots.len()],
            forward: Forward::new(space),
        })
    }

    /// The longest time in seconds between a beat and its report, on the clock of the frames.
    pub fn delay(&self) -> f64 {
        (LATE + 1) as f64 / self.decimator.frame_rate()
    }

    /// The next beat if the music goes on as it does; `None` while there is no beat.
    pub fn next_beat(&self) -> Option<Beat> {
        let (beat, last) = (self.state.beat?, self.state.last?);
        let slot = self.state.slot.map(|s| self.forward.space.slots[s].after);
        Some(Beat {
            time: last + self.state.period,
            beat_in_bar: self.beat_in_bar(slot),
            predicted: true,
            ..beat
        })
    }

    /// The tempo now, as last reported; `None` while there is none.
    pub fn tempo(&self) -> Option<Tempo> {
        self.state.reported_tempo
    }

    /// Resets to the start of a stream.
    pub fn reset(&mut self) {
        self.decimator.reset();
        self.forward.reset();
        self.gate = SilenceGate::NEW;
        self.state = State::NEW;
    }

    /// Ends the stream. Beats still ahead are not reported: they would be after its end.
    pub fn finish(&mut self, _out: &mut impl FnMut(Event)) {}

    /// Takes the next frame and reports the decisions it leads to.
    pub fn push(&mut self, frame: &Frame, out: &mut impl FnMut(Event)) {
        let Some(frame) = self.decimator.next(frame) else {
            return;
        };
        if !self.observe(&frame, out) {
            return;
        }
        self.forward.step(&Observation::new(&frame, EXPONENTS));
        let tempo = self.follow_tempo();
        if let Some((ahead, posterior)) = self.find_beat(&frame, tempo) {
            self.decide(&frame, tempo, ahead, posterior, out);
        }
    }

    /// Updates levels and maxima; returns whether there is anything to track.
    fn observe(&mut self, frame: &Frame, out: &mut impl FnMut(Event)) -> bool {
        let frame_rate = self.decimator.frame_rate();
        let silent = self.gate.is_silent(frame.level, frame_rate);
        let quiet = silent || frame.level < self.gate.loudest - QUIET;
        let state = &mut self.state;
        state.quiet = quiet;
        state.recent.rotate_left(1);
        state.recent[2 * LATE - 1] = frame.flux;
        state.strongest = state.strongest.max(frame.flux.min(1.0));
        state.silence = if silent {
            state.silence + 1.0 / frame_rate
        } else {
            0.0
        };
        state.without_onset = if frame.flux >= ONSET && !silent {
            0.0
        } else {
            state.without_onset + 1.0 / frame_rate
        };
        if state.silence < LOST_IN_SILENCE && state.without_onset < LOST_WITHOUT_ONSET {
            return true;
        }
        if state.tempo.is_some() {
            if state.reported_tempo.is_some() {
                out(Event::Tempo(Tempo::default()));
            }
            let (silence, without_onset) = (state.silence, state.without_onset);
            *state = State {
                silence,
                without_onset,
                ..State::NEW
            };
            self.forward.reset();
        }
        false
    }

    /// Takes the most probable tempo, or keeps to the one followed; returns its index.
    fn follow_tempo(&mut self) -> usize {
        for tempo in 0..self.near.len() {
            self.near[tempo] = self.forward.mass[self.alike(tempo)].iter().sum();
        }
        let near = &self.near;
        let best = (0..near.len())
            .max_by(|&a, &b| near[a].total_cmp(&near[b]))
            .unwrap_or(0);
        let mut tempo = self.state.tempo.unwrap_or(best);
        // Gradual changes: up the hill.
        while let Some(better) = [tempo.wrapping_sub(1), tempo + 1]
            .into_iter()
            .find(|&t| near.get(t).is_some_and(|&x| x > near[tempo]))
        {
            tempo = better;
        }
        if near[best] > TEMPO_HYSTERESIS * near[tempo] {
            tempo = best;
        }
        self.state.tempo = Some(tempo);
        let (mut mass, mut frames) = (0.0, 0.0);
        for t in self.alike(tempo) {
            let m = f64::from(self.forward.mass[t]);
            mass += m;
            frames += m * self.forward.space.intervals[t] as f64;
        }
        if mass > 0.0 {
            self.state.period = frames / mass / self.decimator.frame_rate();
        }
        tempo
    }

    /// The tempi that count as `tempo`.
    fn alike(&self, tempo: usize) -> RangeInclusive<usize> {
        let interval = self.forward.space.intervals[tempo] as f64;
        let reach = ((interval * SAME_TEMPO).round() as usize).max(1);
        tempo.saturating_sub(reach)..=(tempo + reach).min(self.forward.space.tempi() - 1)
    }

    /// Where the next beat is: seconds ahead, and its posterior probability. `None` while it is
    /// too early to decide.
    fn find_beat(&mut self, frame: &Frame, tempo: usize) -> Option<(f64, f32)> {
        let frame_rate = self.decimator.frame_rate();
        let (period, late) = (self.state.period, LATE as f64);
        let (mut from, mut to) = (0.0, f64::INFINITY);
        if let Some(last) = self.state.last {
            let gap = |share: f64| (last + share * period - frame.time) * frame_rate + late;
            from = gap(GAP.0).ceil().max(0.0);
            if from > late + self.lead * frame_rate {
                return None;
            }
            // Beyond the window only when it has passed: the beat was lost for a while.
            let end = gap(GAP.1).floor();
            if end >= from + 2.0 {
                to = end;
            }
        }
        let tempi = self.alike(tempo);
        self.forward.phases(tempi, LATE, &mut self.ahead);
        let ahead = &self.ahead;
        let at = |n: usize| ahead.get(n).copied().unwrap_or(0.0);
        let smooth = |n: usize| at(n.wrapping_sub(1)) + 2.0 * at(n) + at(n + 1);
        let window = from as usize..ahead.len().min((to as usize).saturating_add(1));
        let best = window.max_by(|&a, &b| smooth(a).total_cmp(&smooth(b)))?;
        // While it is quiet, a beat is decided on at the last moment.
        let quiet = self.state.quiet;
        let due = if quiet {
            best <= 1
        } else {
            best as f64 <= late + (self.lead * frame_rate).round()
        };
        let all: f32 = ahead.iter().sum();
        if !due || smooth(best) <= 0.0 {
            return None;
        }
        let reach = ((period * frame_rate * 0.08).round() as usize).max(2);
        let phase: f32 = (best.saturating_sub(reach)..=best + reach).map(at).sum();
        let total: f32 = self.forward.mass.iter().sum();
        let (mut mass, mut sum) = (0.0, 0.0);
        for n in best.saturating_sub(3)..=best + 3 {
            mass += f64::from(at(n));
            sum += f64::from(at(n)) * (n as f64 - late);
        }
        let posterior = (phase / all) * (self.near[tempo] / total).min(1.0);
        Some((
            sum / mass / frame_rate - self.forward.space.early(tempo),
            posterior,
        ))
    }

    fn decide(
        &mut self,
        frame: &Frame,
        tempo: usize,
        ahead: f64,
        posterior: f32,
        out: &mut impl FnMut(Event),
    ) {
        let frame_rate = self.decimator.frame_rate();
        let state = &self.state;
        let earliest = state.beat.map_or(f64::MIN, |b| b.time + 0.5 * state.period);
        let time = (frame.time + ahead.max(-(LATE as f64) / frame_rate)).max(earliest);

        // The bar: one slot on, unless another is much more probable.
        let d = (ahead * frame_rate).round() as isize;
        self.forward.slots(self.alike(tempo), d, &mut self.by_slot);
        let (space, state) = (&self.forward.space, &mut self.state);
        let by_slot = &self.by_slot;
        let most = |but: Option<usize>| {
            (0..by_slot.len())
                .filter(|&slot| Some(slot) != but)
                .max_by(|&a, &b| by_slot[a].total_cmp(&by_slot[b]))
        };
        let likely = most(None).unwrap_or(0);
        let rival = most(Some(likely)).map_or(0.0, |slot| by_slot[slot]);
        state.slot = match state.slot.map(|s| space.slots[s].after) {
            Some(next) if by_slot[likely] <= BAR_HYSTERESIS * by_slot[next] => Some(next),
            None if by_slot[likely] <= BAR_HYSTERESIS * rival => None,
            _ => Some(likely),
        };

        // The onset function around this beat is known in part only; the rest counts at the next
        // one.
        let around = (AROUND * frame_rate) as usize;
        let newest = state.recent.len() as f64 - 1.0 + ahead * frame_rate;
        let strength = (0..state.recent.len())
            .filter(|&n| (n as f64 - newest).abs() <= around as f64)
            .map(|n| state.recent[n])
            .fold(0.0, f32::max);
        state.busy += (state.strongest - state.busy) * FOLLOW;
        state.strongest = 0.0;
        state.sure += (posterior - state.sure) * FOLLOW;
        let confidence = confidence(posterior, state.busy, state.sure);
        let report = posterior > LEAST_POSTERIOR && state.busy > LEAST_BUSY && !state.quiet;
        // Reported or not, this beat has been decided on.
        state.last = Some(time);
        if !report {
            return;
        }
        let change = state.period / state.reported_period - 1.0;
        state.reported_period = if change.abs() < 2.0 * SAME_TEMPO {
            state.reported_period + (state.period - state.reported_period) * TEMPO_FOLLOW
        } else {
            state.period
        };
        state.steady = if confidence < SETTLED_CONFIDENCE {
            0
        } else if change.abs() < SAME_TEMPO {
            state.steady + 1
        } else {
            1
        };
        let bpm = 60.0 / state.reported_period;
        let slot = state.slot.map(|s| space.slots[s]);
        let beat = Beat {
            time,
            strength: f64::from(strength),
            confidence,
            bpm,
            beat_in_bar: slot.map_or(0, |s| if s.metre > 1 { s.beat + 1 } else { 0 }),
            predicted: time > frame.time,
        };
        let metre = slot.map_or(0, |s| if s.metre > 1 { s.metre } else { 0 });
        let news = state.reported_tempo.is_none_or(|old| {
            (bpm / old.bpm - 1.0).abs() > TEMPO_STEP || old.beats_per_bar != metre
        });
        state.beat = Some(beat);
        if news && state.steady >= SETTLED_BEATS {
            let tempo = Tempo {
                bpm,
                confidence,
                beats_per_bar: metre,
            };
            state.reported_tempo = Some(tempo);
            out(Event::Tempo(tempo));
        }
        out(Event::Beat(beat));
    }

    fn beat_in_bar(&self, slot: Option<usize>) -> u8 {
        slot.map(|s| self.forward.space.slots[s])
            .map_or(0, |s| if s.metre > 1 { s.beat + 1 } else { 0 })
    }
}

/// The confidence of a beat, see [`CONFIDENCE`].
fn confidence(posterior: f32, busy: f32, sure: f32) -> f64 {
    let p = f64::from(posterior).clamp(0.01, 0.99);
    let features = [1.0, (p / (1.0 - p)).ln(), f64::from(busy), f64::from(sure)];
    logistic(CONFIDENCE.iter().zip(features).map(|(w, x)| w * x).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tracker that follows the tempo `followed` while the mass is only at that and at `other`.
    fn followed(other_mass: f32) -> (usize, usize, usize) {
        let mut tracker = Tracker::new(&Config::new(100.0)).unwrap();
        let (followed, other) = (10, 60);
        tracker.forward.mass.fill(0.0);
        tracker.forward.mass[followed] = 1.0;
        tracker.forward.mass[other] = other_mass;
        tracker.state.tempo = Some(followed);
        (tracker.follow_tempo(), followed, other)
    }

    #[test]
    fn another_tempo_must_be_twice_as_probable() {
        for mass in [0.5, 1.1, 1.9] {
            let (now, followed, _) = followed(mass);
            assert_eq!(now, followed, "{mass}");
        }
        let (now, _, other) = followed(2.1);
        // Within the tempi that count as the same.
        assert!(now.abs_diff(other) <= 5, "{now}");
    }

    #[test]
    fn the_period_is_the_mean_of_near_tempi() {
        let mut tracker = Tracker::new(&Config::new(100.0)).unwrap();
        tracker.forward.mass.fill(0.0);
        // Frames per beat from 28 on: 50 and 52, three to one, and a tempo that is not near.
        for (tempo, mass) in [(22, 3.0), (24, 1.0), (70, 2.5)] {
            tracker.forward.mass[tempo] = mass;
        }
        tracker.follow_tempo();
        assert!((tracker.state.period - 0.505).abs() < 1e-6);
    }

    #[test]
    fn confidence_rises_with_each_kind_of_evidence() {
        let base = confidence(0.5, 0.5, 0.5);
        assert!((0.05..0.95).contains(&base), "{base}");
        assert!(confidence(0.9, 0.5, 0.5) > base + 0.1);
        assert!(confidence(0.5, 0.9, 0.5) > base + 0.05);
        for extreme in [0.0, 1.0] {
            let value = confidence(extreme, extreme, extreme);
            assert!((0.0..=1.0).contains(&value), "{value}");
        }
    }
}
