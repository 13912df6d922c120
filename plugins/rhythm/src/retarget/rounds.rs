// SPDX-License-Identifier: MPL-2.0
//! A dance that is shorter than its music: it goes round, forward and backward, and turns on the beat.

use super::{Anchor, Mark, Options, TimeMap, bounded, clean, plan, tempo};

/// A dance that turns sooner than this after it has turned is not worth the turn, in seconds.
const SHORTEST: f64 = 1.0;
/// Shorter ones are taken to be so long, in seconds: a picture.
const PICTURE: f64 = 0.04;

/// One way through the dance.
#[derive(Debug, Clone, PartialEq)]
struct Round {
    /// First instant of the output.
    start: f64,
    /// First and last instant of the source; the last is the earlier one where it goes backward.
    from: f64,
    to: f64,
    /// How far it has come, in seconds of source from 0, so many seconds of output after its start.
    gone: TimeMap,
}

impl Round {
    fn is_backward(&self) -> bool {
        self.to < self.from
    }

    fn length(&self) -> f64 {
        (self.to - self.from).abs()
    }

    /// The instant of the output at which it turns.
    fn end(&self) -> f64 {
        self.start + self.gone.inverse(self.length()).max(0.0)
    }
}

/// Where in the dance an instant of the output is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Which round, from 0.
    pub round: usize,
    /// Instant of the source in seconds.
    pub source: f64,
    /// Whether it goes back from there.
    pub backward: bool,
}

/// A dance on music that goes on for longer.
///
/// Round after round is planned as a dance of its own that begins with the visual mark on which the last one has turned.
/// A round ends with the last of its marks that meets one of the music, so that it turns on the beat.
#[derive(Debug, Clone)]
pub struct Rounds {
    visual: Vec<Mark>,
    audio: Vec<Mark>,
    options: Options,
    tempo: f64,
    rounds: Vec<Round>,
}

impl Rounds {
    /// The first round of a dance of `visual` marks that is `length` seconds long, planned as [`plan`] does.
    ///
    /// Without two marks of the dance it turns at its end and its beginning.
    #[must_use]
    pub fn new(visual: &[Mark], audio: &[Mark], options: &Options, length: f64) -> Self {
        let length = length.max(PICTURE);
        let (mut visual, audio) = (clean(visual), clean(audio));
        visual.retain(|mark| (0.0..=length).contains(&mark.time));
        let found = plan(&visual, &audio, options);
        let turn = found.pairs.iter().map(|pair| pair.source);
        let turn = turn.filter(|turn| *turn <= length).fold(0.0, f64::max);
        let last = visual.last().map_or(length, |mark| mark.time);
        // Music whose beats end before the dance does has to say nothing about where it turns.
        let to = if turn >= 0.5 * last { turn } else { last };
        let to = if to >= SHORTEST { to } else { length };
        let first = Round {
            start: options.start,
            from: 0.0,
            to,
            // Of which the source may begin before 0, where the first picture waits.
            gone: found.map.later(-options.start),
        };
        Self {
            tempo: tempo::overall(&visual, &audio, options.limits),
            visual,
            audio,
            options: *options,
            rounds: vec![first],
        }
    }

    /// The instant of the output up to which rounds are planned.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.rounds.last().map_or(0.0, Round::end)
    }

    /// Where in the source it turns first.
    #[must_use]
    pub fn first_turn(&self) -> f64 {
        self.rounds.first().map_or(0.0, |round| round.to)
    }

    /// Whether the last round that is planned goes backward, and where in the source it ends.
    #[must_use]
    pub fn turn(&self) -> (bool, f64) {
        let last = self.rounds.last();
        last.map_or((false, 0.0), |round| (round.is_backward(), round.to))
    }

    /// Instants of the visual marks from which it could go forward to the turn, in seconds: those that leave half of the
    /// dance to see.
    #[must_use]
    pub fn beginnings(&self) -> Vec<f64> {
        let (_, turn) = self.turn();
        let times = self.visual.iter().map(|mark| mark.time);
        times.filter(|time| *time <= 0.5 * turn).collect()
    }

    /// Plans one more round: forward from an instant of the source, which should be a mark, or back the way it came.
    pub fn extend(&mut self, forward_from: Option<f64>) {
        let start = self.end();
        let (backward, turn) = self.turn();
        let first = self.visual.first().map_or(0.0, |mark| mark.time);
        // Where it goes from, and up to where at most.
        let (from, to) = match forward_from {
            Some(from) => (from, turn.max(from + SHORTEST)),
            None if backward => (turn, self.rounds[0].to.max(turn + SHORTEST)),
            None => (
                turn,
                first.min(turn - SHORTEST).max(0.0).min(turn - PICTURE),
            ),
        };
        let length = (to - from).abs();
        let sign = if to < from { -1.0 } else { 1.0 };
        let gone = |mark: &Mark| Mark {
            time: sign * (mark.time - from),
            ..*mark
        };
        let inside = |mark: &Mark| (-1e-6..=length + 1e-6).contains(&mark.time);
        let mut visual: Vec<Mark> = self.visual.iter().map(gone).filter(inside).collect();
        visual.sort_by(|a, b| a.time.total_cmp(&b.time));
        let most = length / self.options.limits.min() + 1.0;
        let near = |mark: &&Mark| (start - 1e-6..start + most).contains(&mark.time);
        let audio: Vec<Mark> = self.audio.iter().filter(near).copied().collect();
        let (map, met) = self.planned(&visual, &audio, start);
        let to = met
            .filter(|met| *met >= 0.5 * length && *met >= SHORTEST)
            .map_or(to, |met| from + sign * met);
        self.rounds.push(Round {
            start,
            from,
            to,
            gone: map,
        });
    }

    /// The map of a round that begins with 0 at `start`, and how far its last mark is that meets one.
    fn planned(&self, visual: &[Mark], audio: &[Mark], start: f64) -> (TimeMap, Option<f64>) {
        let limits = self.options.limits;
        let own = limits.clamp(1.0);
        let mut anchors = vec![Anchor {
            output: 0.0,
            source: 0.0,
        }];
        let found = bounded::chain_at(visual, audio, limits, start, self.tempo);
        let pairs = found.iter().map(|&(v, a)| Anchor {
            output: audio[a].time - start,
            source: visual[v].time,
        });
        // What lies too near the turn to be met after it at any speed.
        let reached = |anchor: &Anchor| {
            let speed = anchor.source / anchor.output.max(1e-9);
            anchor.output > 1e-6 && (limits.min()..=limits.max()).contains(&speed)
        };
        anchors.extend(pairs.skip_while(|anchor| !reached(anchor)));
        let met = anchors.last().map(|anchor| anchor.source);
        let met = met.filter(|_| anchors.len() > 1);
        let around = if anchors.len() > 1 { self.tempo } else { own };
        let map = TimeMap::through(&anchors, limits, [around; 2]);
        (map.blended(self.options.strength, limits), met)
    }

    /// Where an instant of the output is; of one that is not planned yet, where the last round leads.
    #[must_use]
    pub fn at(&self, output: f64) -> Place {
        let next = self.rounds.partition_point(|round| round.start <= output);
        let number = next.saturating_sub(1);
        let Some(round) = self.rounds.get(number) else {
            return Place {
                round: 0,
                source: 0.0,
                backward: false,
            };
        };
        let gone = round.gone.at(output - round.start);
        let backward = round.is_backward();
        Place {
            round: number,
            source: if backward {
                round.from - gone
            } else {
                round.from + gone
            },
            backward,
        }
    }
}
