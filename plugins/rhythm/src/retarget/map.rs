// SPDX-License-Identifier: MPL-2.0
//! Time maps: which instant of the source is shown at each instant of the output.

/// The speeds a map may have: seconds of source per second of output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    min: f64,
    max: f64,
}

impl Default for Limits {
    /// Half and double speed, beyond which motion no longer looks natural.
    fn default() -> Self {
        Self { min: 0.5, max: 2.0 }
    }
}

impl Limits {
    /// Speeds from `min` to `max`; none unless 0 < min ≤ max and both are finite.
    #[must_use]
    pub fn new(min: f64, max: f64) -> Option<Self> {
        (min > 0.0 && min <= max && max.is_finite()).then_some(Self { min, max })
    }

    /// The slowest.
    #[must_use]
    pub fn min(self) -> f64 {
        self.min
    }

    /// The fastest.
    #[must_use]
    pub fn max(self) -> f64 {
        self.max
    }

    /// The speed nearest to `speed` that is allowed.
    #[must_use]
    pub fn clamp(self, speed: f64) -> f64 {
        speed.clamp(self.min, self.max)
    }
}

/// An instant of the output and the instant of the source that is shown there, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    /// Instant of the output.
    pub output: f64,
    /// Instant of the source.
    pub source: f64,
}

/// From one anchor to the next: the speed goes in two straight lines from the first of `speeds`
/// over the second, half way, to the third.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    start: Anchor,
    length: f64,
    speeds: [f64; 3],
}

impl Piece {
    fn at(&self, output: f64) -> f64 {
        let (half, t) = (0.5 * self.length, output - self.start.output);
        let [first, middle, last] = self.speeds;
        let line = |from: f64, to: f64, t: f64| from * t + (to - from) * t * t / (2.0 * half);
        if t <= half {
            self.start.source + line(first, middle, t)
        } else {
            self.start.source + line(first, middle, half) + line(middle, last, t - half)
        }
    }

    fn speed(&self, output: f64) -> f64 {
        let t = 2.0 * (output - self.start.output) / self.length;
        let [first, middle, last] = self.speeds;
        if t <= 1.0 {
            first + (middle - first) * t
        } else {
            middle + (last - middle) * (t - 1.0)
        }
    }
}

/// A continuous map from output to source that always goes forward, at speeds inside its
/// [`Limits`].
#[derive(Debug, Clone, PartialEq)]
pub struct TimeMap {
    pieces: Vec<Piece>,
    first: Anchor,
    last: Anchor,
    /// Speeds before the first and after the last anchor.
    outer: [f64; 2],
}

impl TimeMap {
    /// The map that leaves everything as it is, as far as the limits allow.
    #[must_use]
    pub fn identity(limits: Limits) -> Self {
        let origin = Anchor {
            output: 0.0,
            source: 0.0,
        };
        Self {
            pieces: Vec::new(),
            first: origin,
            last: origin,
            outer: [limits.clamp(1.0); 2],
        }
    }

    /// The map through `anchors`, with `lead` and `tail` as speeds before and after them.
    ///
    /// Where limits stand in the way of an anchor, the map passes it as near as they allow and
    /// catches up later. The speed is continuous unless limits forbid that: a stretch that needs
    /// the highest speed throughout begins and ends at it. Anchors that are not finite, or not
    /// after the one before, count nothing; without any, the map is the identity.
    #[must_use]
    pub fn through(anchors: &[Anchor], limits: Limits, [lead, tail]: [f64; 2]) -> Self {
        let mut kept: Vec<Anchor> = Vec::with_capacity(anchors.len());
        for anchor in anchors {
            if !(anchor.output.is_finite() && anchor.source.is_finite()) {
                continue;
            }
            let Some(last) = kept.last() else {
                kept.push(*anchor);
                continue;
            };
            let length = anchor.output - last.output;
            // Shorter stretches would lose their speed in the rounding of long times.
            if length >= 1e-6 {
                let speed = limits.clamp((anchor.source - last.source) / length);
                kept.push(Anchor {
                    output: anchor.output,
                    source: last.source + speed * length,
                });
            }
        }
        let (Some(&first), Some(&last)) = (kept.first(), kept.last()) else {
            return Self::identity(limits);
        };
        let outer = [limits.clamp(lead), limits.clamp(tail)];
        let mean = |pair: &[Anchor]| {
            limits.clamp((pair[1].source - pair[0].source) / (pair[1].output - pair[0].output))
        };
        let means: Vec<f64> = kept.windows(2).map(mean).collect();
        let around = |k: usize| {
            let before = if k == 0 { outer[0] } else { means[k - 1] };
            0.5 * (before + means.get(k).copied().unwrap_or(outer[1]))
        };
        let pieces = kept.windows(2).zip(&means).enumerate();
        let pieces = pieces.map(|(k, (pair, &mean))| {
            // The speed half way, 2·mean − (first + last) / 2, is to lie inside the limits as well.
            let low = (2.0 * mean - limits.max).max(limits.min);
            let high = (2.0 * mean - limits.min).min(limits.max);
            let [first, last] = [around(k), around(k + 1)].map(|v| v.max(low).min(high));
            let middle = limits.clamp(2.0 * mean - 0.5 * (first + last));
            Piece {
                start: pair[0],
                length: pair[1].output - pair[0].output,
                speeds: [first, middle, last],
            }
        });
        Self {
            pieces: pieces.collect(),
            first,
            last,
            outer,
        }
    }

    /// The map between this one (`strength` 1) and the identity (0), whose speeds stay inside the
    /// same limits.
    #[must_use]
    pub fn blended(&self, strength: f64, limits: Limits) -> Self {
        let k = if strength.is_finite() {
            strength.clamp(0.0, 1.0)
        } else {
            1.0
        };
        let speed = limits.clamp(1.0);
        let mix = |v: f64| speed + k * (v - speed);
        let anchor = |a: Anchor| Anchor {
            output: a.output,
            source: speed * a.output + k * (a.source - speed * a.output),
        };
        let piece = |piece: &Piece| Piece {
            start: anchor(piece.start),
            length: piece.length,
            speeds: piece.speeds.map(mix),
        };
        Self {
            pieces: self.pieces.iter().map(piece).collect(),
            first: anchor(self.first),
            last: anchor(self.last),
            outer: self.outer.map(mix),
        }
    }

    /// The same map `by` seconds of output later.
    #[must_use]
    pub(super) fn later(mut self, by: f64) -> Self {
        for piece in &mut self.pieces {
            piece.start.output += by;
        }
        self.first.output += by;
        self.last.output += by;
        self
    }

    /// The instant of the source that is shown at an instant of the output.
    #[must_use]
    pub fn at(&self, output: f64) -> f64 {
        match self.piece(output) {
            Some(piece) => piece.at(output),
            None if output < self.first.output => {
                self.first.source + self.outer[0] * (output - self.first.output)
            }
            None => self.last.source + self.outer[1] * (output - self.last.output),
        }
    }

    /// Seconds of source per second of output there.
    #[must_use]
    pub fn speed(&self, output: f64) -> f64 {
        match self.piece(output) {
            Some(piece) => piece.speed(output),
            None => self.outer[usize::from(output >= self.first.output)],
        }
    }

    /// The instant of the output at which an instant of the source is shown.
    #[must_use]
    pub fn inverse(&self, source: f64) -> f64 {
        if source < self.first.source {
            return self.first.output + (source - self.first.source) / self.outer[0];
        }
        let next = (self.pieces).partition_point(|piece| piece.start.source <= source);
        let piece = next.checked_sub(1).map(|at| self.pieces[at]);
        let Some(piece) = piece.filter(|_| source < self.last.source) else {
            return self.last.output + (source - self.last.source) / self.outer[1];
        };
        let mut range = [piece.start.output, piece.start.output + piece.length];
        // Halved to less than a nanosecond, of pieces that last years.
        for _ in 0..60 {
            let middle = 0.5 * (range[0] + range[1]);
            range[usize::from(piece.at(middle) > source)] = middle;
        }
        range[0]
    }

    fn piece(&self, output: f64) -> Option<&Piece> {
        let next = (self.pieces).partition_point(|piece| piece.start.output <= output);
        let piece = self.pieces.get(next.checked_sub(1)?)?;
        (output < self.last.output).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(points: &[(f64, f64)]) -> Vec<Anchor> {
        let anchor = |&(output, source)| Anchor { output, source };
        points.iter().map(anchor).collect()
    }

    #[test]
    fn a_map_meets_its_anchors_and_comes_back() {
        let limits = Limits::default();
        let points = anchors(&[(1.0, 2.0), (2.0, 3.5), (3.0, 4.4), (4.0, 5.4)]);
        let map = TimeMap::through(&points, limits, [1.0, 0.7]);
        for anchor in &points {
            assert!((map.at(anchor.output) - anchor.source).abs() < 1e-9);
        }
        for n in 0..60 {
            let output = f64::from(n) * 0.1;
            assert!(
                (map.inverse(map.at(output)) - output).abs() < 1e-9,
                "{output}"
            );
        }
        assert!((map.at(5.0) - 6.1).abs() < 1e-9);
        // No jump of speed at anchors which leave room for that.
        let jump = (map.speed(2.0 - 1e-9) - map.speed(2.0 + 1e-9)).abs();
        assert!(jump < 1e-6, "{jump}");
    }

    #[test]
    fn limits_hold_where_anchors_ask_for_more() {
        let limits = Limits::default();
        let points = anchors(&[(0.0, 0.0), (1.0, 5.0), (2.0, 5.1), (9.0, 11.0)]);
        let map = TimeMap::through(&points, limits, [9.0, 0.0]);
        for n in -10..1000 {
            let output = f64::from(n) * 0.01;
            let speed = map.speed(output);
            assert!((0.5..=2.0).contains(&speed), "{speed} at {output}");
            let step = map.at(output + 0.01) - map.at(output);
            assert!((0.005 - 1e-9..=0.02 + 1e-9).contains(&step));
        }
        // Later it has caught up.
        assert!((map.at(9.0) - 11.0).abs() < 1e-9);
    }

    #[test]
    fn strength_leads_from_nothing_to_all() {
        let limits = Limits::default();
        let points = anchors(&[(1.0, 2.0), (2.0, 3.5)]);
        let map = TimeMap::through(&points, limits, [1.0; 2]);
        for output in [0.0, 1.2, 1.9, 4.0] {
            let [none, half, all] = [0.0, 0.5, 1.0].map(|k| map.blended(k, limits).at(output));
            assert!((none - output).abs() < 1e-12);
            assert!((all - map.at(output)).abs() < 1e-12);
            assert!((half - 0.5 * (none + all)).abs() < 1e-12);
        }
    }
}
