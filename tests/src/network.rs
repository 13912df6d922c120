//! A rhythm model, run without GStreamer, for the programs that measure.

use std::path::Path;

use dance_inference::{Model, Runtime, Search, SessionConfig, Stream};
use dance_rhythm::network::{Activation, BANDS, Failure, Network};

/// A model on the processor, a fixed number of frames at a time.
pub struct Runner {
    stream: Stream,
    block: usize,
    delay: f64,
}

impl Runner {
    /// The model in `path`, on the ONNX Runtime that `ORT_DYLIB_PATH` or the system has.
    ///
    /// # Errors
    /// What is missing, or wrong with the model.
    pub fn new(path: &Path, block: usize) -> Result<Self, Failure> {
        let runtime = Runtime::get(&Search::new(None))?;
        let model = Model::load(&runtime, path, "rhythm", &SessionConfig::default())?;
        let delay = model.card().parameters.get("delay");
        let delay = delay
            .and_then(|value| value.as_float())
            .ok_or_else(|| format!("{}: its card has no delay", path.display()))?;
        Ok(Self {
            stream: model.stream(&[("batch", 1), ("time", block)])?,
            block,
            delay,
        })
    }
}

impl Network for Runner {
    fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure> {
        // Only the last frames of a stream are fewer; what is added after them is not looked at.
        let mut block = features.to_vec();
        block.resize(self.block * BANDS, 0.0);
        self.stream.set("features", &block)?;
        self.stream.run()?;
        let activations = self.stream.output::<f32>("activations")?;
        let values: Vec<f32> = activations.iter().copied().collect();
        let (frames, _) = values.as_chunks();
        let frames = frames.iter().take(features.len() / BANDS);
        out.extend(frames.map(|&[onset, beat, downbeat]| Activation {
            onset,
            beat,
            downbeat,
        }));
        Ok(())
    }

    fn block(&self) -> usize {
        self.block
    }

    fn delay(&self) -> f64 {
        self.delay
    }

    fn reset(&mut self) {
        self.stream.reset();
    }
}
