//! Picking onsets from an onset function, causally.

/// Parameters of a [`Picker`], in frames and in units of the onset function.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// A peak is the maximum of this many frames before it …
    pub pre_max: usize,
    /// … and of this many after it: the look-ahead.
    pub post_max: usize,
    /// It exceeds the mean of this many frames before it …
    pub pre_avg: usize,
    /// … by this much.
    pub delta: f32,
    /// Two reports are more than this many frames apart.
    pub combine: usize,
}

/// A peak that was found: how many frames ago, how high, and by how much of a frame the maximum
/// of the parabola through it and its neighbours lies later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Frames between the peak and the newest one.
    pub age: usize,
    /// Value of the onset function.
    pub value: f32,
    /// Value above the local mean.
    pub excess: f32,
    /// −0.5 … 0.5 frames.
    pub shift: f32,
}

/// Causal peak picking: local maximum, above the local mean plus a threshold, not too soon after
/// the last one (Böck, Krebs, Schedl, "Evaluating the online capabilities of onset detection
/// methods", ISMIR 2012).
pub struct Picker {
    params: Params,
    /// The newest value last.
    values: Vec<f32>,
    since: usize,
}

impl Picker {
    /// An empty picker; before the first value the function counts as zero.
    pub fn new(params: Params) -> Self {
        let span = params.pre_max.max(params.pre_avg).max(1) + params.post_max + 1;
        Self {
            params,
            values: vec![0.0; span],
            since: usize::MAX,
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.values.fill(0.0);
        self.since = usize::MAX;
    }

    /// Takes the next value; says whether the frame `post_max` frames ago was an onset. `delta`
    /// is the threshold now.
    pub fn next(&mut self, value: f32, delta: f32) -> Option<Peak> {
        let Params {
            pre_max,
            post_max,
            pre_avg,
            combine,
            ..
        } = self.params;
        self.values.rotate_left(1);
        let end = self.values.len();
        self.values[end - 1] = value;
        self.since = self.since.saturating_add(1);

        let at = end - 1 - post_max;
        let peak = self.values[at];
        let before = &self.values[at - pre_max..at];
        let after = &self.values[at + 1..];
        if before.iter().any(|&v| v > peak) || after.iter().any(|&v| v > peak) {
            return None;
        }
        let mean = self.values[at - pre_avg..at].iter().sum::<f32>() / pre_avg.max(1) as f32;
        if peak < mean + delta || self.since <= combine {
            return None;
        }
        self.since = 0;
        let left = self.values[at - 1];
        let right = after.first().copied().unwrap_or(left);
        let curve = left - 2.0 * peak + right;
        let shift = if curve < 0.0 {
            (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
        } else {
            0.0
        };
        Some(Peak {
            age: post_max,
            value: peak,
            excess: peak - mean,
            shift,
        })
    }
}
