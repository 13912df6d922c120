// SPDX-License-Identifier: MPL-2.0
//! A rhythm model, run without GStreamer, for the programs that measure.

use std::path::Path;

use dance_inference::{Model, Runtime, Search, SessionConfig, Stream};
use dance_rhythm::network::{Activation, BANDS, Failure, Network};

/// A model on the processor, frame by frame.
pub struct Runner {
    stream: Stream,
    delay: f64,
}

impl Runner {
    /// The model in `path`, on the ONNX Runtime that `ORT_DYLIB_PATH` or the system has.
    ///
    /// # Errors
    /// What is missing, or wrong with the model.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let runtime = Runtime::get(&Search::new(None))?;
        let model = Model::load(&runtime, path, "rhythm", &SessionConfig::default())?;
        Ok(Self {
            stream: model.stream(&[("batch", 1), ("time", 1)])?,
            delay: model.card().number("delay", path)?,
        })
    }
}

impl Network for Runner {
    fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure> {
        for frame in features.chunks(BANDS) {
            self.stream.set("features", frame)?;
            self.stream.run()?;
            let activations = self.stream.output::<f32>("activations")?;
            out.push(Activation {
                onset: activations[[0, 0, 0]],
                beat: activations[[0, 0, 1]],
                downbeat: activations[[0, 0, 2]],
            });
        }
        Ok(())
    }

    fn delay(&self) -> f64 {
        self.delay
    }

    fn reset(&mut self) {
        self.stream.reset();
    }
}
