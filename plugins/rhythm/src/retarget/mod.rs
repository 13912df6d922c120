// SPDX-License-Identifier: MPL-2.0
//! Motion moved onto music: which instant of a video is to be shown at each instant of a song.
//!
//! The three patterns of MuDaR (section 4.4; H. Wu et al., 2022) as printed, which pay no heed to
//! speed, and a bounded alignment that does; of all of them the [`TimeMap`] stays inside the
//! [`Limits`].

mod bounded;
mod classic;
mod map;
mod online;
mod rounds;
mod tempo;

pub use map::{Anchor, Limits, TimeMap};
pub use online::Planner;
pub use rounds::{Place, Rounds};

/// A mark of either side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Its instant in seconds.
    pub time: f64,
    /// How strong it is, ≥ 0, in a unit of its own side.
    pub strength: f64,
}

/// How marks find each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// One shift of the whole, by windows of as many marks.
    Shift,
    /// The k-th mark onto the k-th mark.
    Acceleration,
    /// Dynamic time warping of the times themselves (equations 22 and 23).
    Dtw,
    /// The chain of pairs that brings most marks together at speeds that change little.
    #[default]
    DtwBounded,
}

/// What a plan is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How marks find each other.
    pub method: Method,
    /// The speeds that the map may have.
    pub limits: Limits,
    /// From 0, nothing moves, to 1, marks that found each other meet.
    pub strength: f64,
    /// The first instant of the output in seconds.
    pub start: f64,
    /// Duration of the source in seconds where it is known.
    pub source_end: Option<f64>,
    /// End of the output in seconds where it is known.
    pub output_end: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::default(),
            limits: Limits::default(),
            strength: 1.0,
            start: 0.0,
            source_end: None,
            output_end: None,
        }
    }
}

/// A map and the pairs of marks it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which instant of the source is shown when.
    pub map: TimeMap,
    /// The marks that were brought together: instants of source (visual) and output (audio) in
    /// seconds.
    pub pairs: Vec<Anchor>,
}

/// Plans which instant of a video is shown at each instant of a song, from the marks of both.
///
/// Times that are not finite count nothing, strengths that are not count 0, and the order of the
/// marks is of no matter. Without marks on either side nothing moves.
#[must_use]
pub fn plan(visual: &[Mark], audio: &[Mark], options: &Options) -> Plan {
    let Options { limits, .. } = *options;
    let (visual, audio) = (clean(visual), clean(audio));
    let times = |marks: &[Mark]| -> Vec<f64> { marks.iter().map(|mark| mark.time).collect() };
    let (v, a) = (times(&visual), times(&audio));
    let (Some(&last_visual), Some(&last_audio)) = (v.last(), a.last()) else {
        return Plan {
            map: TimeMap::identity(limits),
            pairs: Vec::new(),
        };
    };
    let ends = [
        options.source_end.unwrap_or(last_visual).max(last_visual),
        options.output_end.unwrap_or(last_audio).max(last_audio),
    ];
    let mut tempo = limits.clamp(1.0);
    let pairs: Vec<(usize, usize)> = match options.method {
        Method::Shift => {
            let by = classic::shift(&v, &a, [ends[0], ends[1] - options.start]).unwrap_or(0.0);
            let anchor = Anchor {
                output: options.start,
                source: options.start + by,
            };
            let map = TimeMap::through(&[anchor], limits, [1.0; 2]);
            return Plan {
                map: map.blended(options.strength, limits),
                pairs: vec![anchor],
            };
        }
        Method::Acceleration => (0..v.len().min(a.len())).map(|k| (k, k)).collect(),
        Method::Dtw => classic::pairs(&classic::path(&v, &a), &v, &a),
        Method::DtwBounded => {
            tempo = tempo::overall(&visual, &audio, limits);
            bounded::chain_at(&visual, &audio, limits, options.start, tempo)
        }
    };
    let silence = f64::from(bounded::SILENCE) * tempo::period(&audio).unwrap_or(0.5);
    let before = audio.first().map_or(0.0, |first| first.time) - options.start;
    let is_over = before > silence && last_visual < limits.clamp(1.0) * before;
    // The dance is over before the music has its first beat.
    if options.method == Method::DtwBounded && is_over {
        return Plan {
            map: TimeMap::identity(limits),
            pairs: Vec::new(),
        };
    }
    let anchor = |&(v, a): &(usize, usize)| Anchor {
        output: audio[a].time,
        source: visual[v].time,
    };
    let pairs: Vec<Anchor> = pairs.iter().map(anchor).collect();
    let map = with_ends(&pairs, tempo, silence, ends, options);
    Plan {
        map: map.blended(options.strength, limits),
        pairs,
    }
}

/// How much faster than its own the dance may go before the first beat, so that nothing of it is skipped: as much as nobody
/// sees.
const HASTE: f64 = 1.05;

/// The map through all pairs, which leads to the first so that as much as possible of the source is seen, and from the
/// last so that the source lasts to the end of the output, as far as speeds near `tempo` do either. Where the music has no
/// beats for long, `silence` seconds, the source goes at its own speed.
fn with_ends(
    pairs: &[Anchor],
    tempo: f64,
    silence: f64,
    ends: [f64; 2],
    options: &Options,
) -> TimeMap {
    let limits = options.limits;
    let own = limits.clamp(1.0);
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else {
        return TimeMap::identity(limits);
    };
    let before = first.output - options.start;
    let lead = if before > silence {
        limits.clamp((first.source / before).clamp(own / HASTE, own * HASTE))
    } else if before > 1e-6 {
        limits.clamp((first.source / before).min(1.25 * tempo))
    } else {
        tempo
    };
    let known = options.source_end.is_some() && options.output_end.is_some();
    let after = ends[1] - last.output;
    let tail = if after > silence {
        own
    } else if known && after > 1e-6 {
        limits.clamp(((ends[0] - last.source) / after).min(tempo))
    } else {
        tempo
    };
    let start = Anchor {
        output: options.start,
        source: first.source - lead * before,
    };
    let mut anchors = Vec::with_capacity(pairs.len() + 2);
    if before > 1e-6 {
        anchors.push(start);
    }
    anchors.extend_from_slice(pairs);
    TimeMap::through(&anchors, limits, [lead, tail])
}

/// Marks nearer than this are one: no dance and no music has more, and viewers cannot separate
/// them.
const SPACING: f64 = 0.03;

/// The marks in order and apart from each other, of those too near the stronger.
fn clean(marks: &[Mark]) -> Vec<Mark> {
    let finite = marks.iter().filter(|mark| mark.time.is_finite());
    let mut marks: Vec<Mark> = finite
        .map(|mark| Mark {
            time: mark.time,
            strength: if mark.strength.is_finite() {
                mark.strength
            } else {
                0.0
            },
        })
        .collect();
    marks.sort_by(|a, b| a.time.total_cmp(&b.time));
    marks.dedup_by(|next, before| {
        let near = next.time - before.time < SPACING;
        if near && next.strength > before.strength {
            *before = *next;
        }
        near
    });
    marks
}

/// The strengths as ranks from −1 (weakest) to 1, equal ones alike: sides of different units can be
/// compared.
fn accents(marks: &[Mark]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|&a, &b| marks[a].strength.total_cmp(&marks[b].strength));
    let mut accents = vec![0.0; marks.len()];
    let mut at = 0;
    while at < order.len() {
        let strength = marks[order[at]].strength;
        let alike = (order[at..].iter()).take_while(|&&k| marks[k].strength == strength);
        let count = alike.count().max(1);
        let middle = at as f32 + 0.5 * (count as f32 - 1.0);
        for &k in &order[at..at + count] {
            accents[k] = (2.0 * middle + 1.0) / marks.len() as f32 - 1.0;
        }
        at += count;
    }
    accents
}

#[cfg(test)]
mod tests;
