// SPDX-License-Identifier: MPL-2.0
//! The network of `method=model`: whether it fits, and how it runs.

use std::path::Path;

use dance_inference::{Axis, Card, Model, Progress};
use dance_rhythm::network::{Activation, BANDS, FEATURES, FRAME_RATE, Failure, Network};

use crate::model::{Error, Need, same, signals};

/// What the card of a model for this element says it is for.
const TASK: &str = "rhythm";
/// What the card must call the numbers of an activation.
const LABELS: [&str; 3] = ["onset", "beat", "downbeat"];
/// The model of this element.
pub(super) const NEED: Need = Need {
    task: TASK,
    file: "rhythm.onnx",
    check: |card, path| check(card, path).map(|_| ()),
};

/// Seconds that a model may look ahead; an onset must be reported within 30 ms.
const LONGEST_DELAY: f64 = 0.02;
/// Frames in one run where nobody waits for the first of them.
pub(super) const BLOCK: usize = 16;

/// Whether a model takes what this element gives, and gives what it takes; returns the seconds from
/// the instant that an activation speaks of to the end of its frame.
fn check(card: &Card, path: &Path) -> Result<f64, Error> {
    let same = |what, found: String, needed: String| same((TASK, path), what, &found, &needed);
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
    same(
        "the frame rate",
        or_nothing(card.frame_rate.map(|rate| rate.to_string())),
        FRAME_RATE.to_string(),
    )?;
    same(
        "the parameter `features`",
        or_nothing(card.parameters.get("features").map(ToString::to_string)),
        format!("\"{FEATURES}\""),
    )?;
    same("the labels", card.labels.join(", "), LABELS.join(", "))?;
    same(
        "the input",
        signals(card, &card.inputs),
        format!("features float32[batch, time, {BANDS}]"),
    )?;
    same(
        "the output",
        signals(card, &card.outputs),
        format!("activations float32[batch, time, {}]", LABELS.len()),
    )?;
    // One state goes through runs of several lengths.
    let of_time = card.inputs.iter().find(|input| {
        input.state.is_some() && input.shape.contains(&Axis::Symbol("time".to_owned()))
    });
    if let Some(input) = of_time {
        same(
            "a state",
            input.to_string(),
            "a shape without `time`".to_owned(),
        )?;
    }
    let delay = card.number("delay", path)?;
    if !(0.0..=LONGEST_DELAY).contains(&delay) {
        let needed = format!("0 to {LONGEST_DELAY} seconds");
        same("the parameter `delay`", delay.to_string(), needed)?;
    }
    Ok(delay)
}

fn sizes(frames: usize) -> [(&'static str, usize); 2] {
    [("batch", 1), ("time", frames)]
}

/// A model that is ready to run.
#[derive(Debug)]
pub(super) struct Loaded {
    model: Model,
    delay: f64,
}

impl Loaded {
    /// A model that was found to fit.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn new(model: Model) -> Result<Self, Error> {
        let delay = check(model.card(), model.path())?;
        Ok(Self { model, delay })
    }

    /// Runs a model once in each size that it will be run in.
    ///
    /// # Errors
    /// As running it.
    pub(super) fn warm_up(model: &Model, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        for frames in [1, BLOCK] {
            model.warm_up(&sizes(frames), 1, progress)?;
        }
        Ok(())
    }

    /// What it runs on.
    pub(super) fn provider(&self) -> &str {
        self.model.active_execution_provider()
    }

    /// The network at the start of a stream, run on up to `frames` frames at a time.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn network(&self, frames: usize) -> Result<Box<dyn Network>, Error> {
        let mut streams = vec![(1, self.model.stream(&sizes(1))?)];
        if frames > 1 {
            streams.insert(0, (frames, self.model.stream(&sizes(frames))?));
        }
        Ok(Box::new(Streams {
            current: 0,
            delay: self.delay,
            streams,
        }))
    }
}

/// One stream of features, run in the largest pieces there are tensors for.
struct Streams {
    /// Frames in a run, and the tensors for it; the last for one frame.
    streams: Vec<(usize, dance_inference::Stream)>,
    /// Which one has the state.
    current: usize,
    delay: f64,
}

impl Streams {
    fn run_in_pieces(
        &mut self,
        features: &[f32],
        out: &mut Vec<Activation>,
    ) -> Result<(), Failure> {
        let mut rest = features;
        while !rest.is_empty() {
            let fitting = self
                .streams
                .iter()
                .position(|(frames, _)| frames * BANDS <= rest.len());
            let Some(next) = fitting else {
                return Err(format!("{} values are no whole frame of {BANDS}", rest.len()).into());
            };
            // An error where the two are one, which has the state already.
            if let Ok([(_, from), (_, to)]) = self.streams.get_disjoint_mut([self.current, next]) {
                to.copy_state(from)?;
            }
            self.current = next;
            let Some((frames, stream)) = self.streams.get_mut(next) else {
                return Ok(());
            };
            let (piece, after) = rest.split_at(*frames * BANDS);
            rest = after;
            stream.set("features", piece)?;
            stream.run()?;
            let activations = stream.output::<f32>("activations")?;
            let mut values = activations.iter().copied();
            while let (Some(onset), Some(beat), Some(downbeat)) =
                (values.next(), values.next(), values.next())
            {
                for value in [onset, beat, downbeat] {
                    if !(0.0..=1.0).contains(&value) {
                        return Err(format!("the model gives {value} for a probability").into());
                    }
                }
                out.push(Activation {
                    onset,
                    beat,
                    downbeat,
                });
            }
        }
        Ok(())
    }
}

impl Network for Streams {
    fn block(&self) -> usize {
        self.streams.first().map_or(1, |(frames, _)| *frames)
    }

    fn delay(&self) -> f64 {
        self.delay
    }

    fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure> {
        let before = out.len();
        let result = self.run_in_pieces(features, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn reset(&mut self) {
        for (_, stream) in &mut self.streams {
            stream.reset();
        }
    }
}
