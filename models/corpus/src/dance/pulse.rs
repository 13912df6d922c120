// SPDX-License-Identifier: MPL-2.0
//! The beats of music as a ruler for motion: any position in beats has its instant.

/// Beats without gaps, and bars.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// Instants of whole beats in seconds, ascending, at least two.
    times: Vec<f64>,
    /// The number of a beat that begins a bar, and beats in a bar.
    bar: (i64, i64),
}

impl Pulse {
    /// From the instants of beats, which of them is the first of a bar, and how many a bar has.
    /// Where the music rests, the pulse goes on. None from fewer than four beats, or beats that do
    /// not ascend.
    pub fn new(beats: &[f64], downbeat: usize, meter: u32) -> Option<Self> {
        let mut gaps: Vec<f64> = beats.windows(2).map(|w| w[1] - w[0]).collect();
        if gaps.len() < 3 || gaps.iter().any(|&g| g.is_nan() || g <= 0.05) {
            return None;
        }
        gaps.sort_by(f64::total_cmp);
        let median = gaps[gaps.len() / 2];
        let mut times = vec![beats[0]];
        let mut first = 0;
        for (n, pair) in beats.windows(2).enumerate() {
            let parts = ((pair[1] - pair[0]) / median).round().max(1.0);
            for k in 1..=parts as usize {
                times.push(pair[0] + (pair[1] - pair[0]) * k as f64 / parts);
            }
            if n < downbeat {
                first = times.len() as i64 - 1;
            }
        }
        Some(Self {
            times,
            bar: (first, i64::from(meter.max(1))),
        })
    }

    /// The instant of a position in beats; before the first and after the last beat the tempo
    /// stays.
    pub fn time(&self, position: f64) -> f64 {
        let last = self.times.len() - 2;
        let k = (position.floor().max(0.0) as usize).min(last);
        let (a, b) = (self.times[k], self.times[k + 1]);
        a + (b - a) * (position - k as f64)
    }

    /// The position of an instant.
    pub fn position(&self, time: f64) -> f64 {
        let last = self.times.len() - 2;
        let k = self
            .times
            .partition_point(|&t| t <= time)
            .clamp(1, last + 1)
            - 1;
        let (a, b) = (self.times[k], self.times[k + 1]);
        k as f64 + (time - a) / (b - a)
    }

    /// The position of the last downbeat not after an instant.
    pub fn downbeat_before(&self, time: f64) -> f64 {
        let position = self.position(time).floor() as i64;
        let (first, meter) = self.bar;
        (position - (position - first).rem_euclid(meter)) as f64
    }

    /// Whole beats from one instant to another, those of a continued pulse too.
    pub fn beats(&self, from: f64, to: f64) -> Vec<f64> {
        let first = self.position(from).ceil() as i64;
        let times = (first..).map(|k| self.time(k as f64));
        times.take_while(|&t| t < to).collect()
    }

    /// The same later by `late` seconds, or slower by `stretch`.
    pub fn moved(&self, late: f64, stretch: f64) -> Self {
        Self {
            times: self.times.iter().map(|t| t * stretch + late).collect(),
            bar: self.bar,
        }
    }

    /// The instants of its whole beats, and the number of one that begins a bar with the beats in
    /// a bar: what [`restored`](Self::restored) takes.
    pub fn parts(&self) -> (&[f64], [i64; 2]) {
        (&self.times, [self.bar.0, self.bar.1])
    }

    /// From [`parts`](Self::parts). None where the instants do not ascend, or a bar has no beats.
    pub fn restored(times: Vec<f64>, [first, meter]: [i64; 2]) -> Option<Self> {
        let ascends = times.len() > 1 && times.windows(2).all(|w| w[0] < w[1]);
        (ascends && meter > 0).then_some(Self {
            times,
            bar: (first, meter),
        })
    }

    /// Beats since the first known downbeat, and beats in a bar.
    pub fn in_bars(&self, time: f64) -> (f64, f64) {
        (self.position(time) - self.bar.0 as f64, self.bar.1 as f64)
    }

    /// Seconds of a beat, the median.
    pub fn period(&self) -> f64 {
        let mut gaps: Vec<f64> = self.times.windows(2).map(|w| w[1] - w[0]).collect();
        gaps.sort_by(f64::total_cmp);
        gaps[gaps.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_instants_are_each_other_s_inverse_and_rests_are_counted_through() {
        let pulse = Pulse::new(&[0.3, 0.8, 1.3, 2.8, 3.3], 1, 4).unwrap();
        for position in [-3.2, 0.0, 0.5, 2.0, 3.7, 9.1] {
            assert!((pulse.position(pulse.time(position)) - position).abs() < 1e-9);
        }
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(pulse.time(4.0), 2.3);
        close(pulse.time(7.0), 3.8);
        assert_eq!(pulse.downbeat_before(1.0), 1.0);
        assert_eq!(pulse.downbeat_before(0.5), -3.0);
        assert_eq!(pulse.beats(0.0, 1.0), [0.3, 0.8]);
        close(pulse.moved(0.1, 2.0).time(0.0), 0.7);
        assert!(Pulse::new(&[0.0, 1.0, 0.5, 2.0], 0, 4).is_none());
        assert!(Pulse::new(&[0.0, 1.0], 0, 4).is_none());
    }
}
