// SPDX-License-Identifier: MPL-2.0
//! Exported graphs in ONNX Runtime, to measure what they lost.
//!
//! The library is loaded when it is first needed, from the path in `ORT_DYLIB_PATH`; nothing but
//! these measurements and the calibration of int8 needs it.

use anyhow::{Context, Result, anyhow, bail, ensure};
use dance_networks::network::Array;
use dance_networks::onnx::convert::{self, Ranges};
use dance_networks::onnx::{Recorded, encode};
use ndarray::{ArrayD, IxDyn};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The variable that holds the path of the library.
pub const LIBRARY: &str = "ORT_DYLIB_PATH";

/// ONNX Runtime, loaded once for the life of the process.
///
/// # Errors
/// When the path is not given, or what is there is no ONNX Runtime of a fitting version.
pub fn environment() -> Result<&'static Environment> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let path: PathBuf = std::env::var_os(LIBRARY)
                .ok_or_else(|| {
                    format!(
                        "ONNX Runtime is needed: set {LIBRARY} to the path of libonnxruntime.so, \
                         1.24 or newer (pipelines/onnxruntime.sh gets one)"
                    )
                })?
                .into();
            let wrong = |error: &dyn std::fmt::Display| {
                format!("no ONNX Runtime 1.24 in {}: {error}", path.display())
            };
            ort::init_from(&path)
                .map_err(|error| wrong(&error))?
                .with_telemetry(false)
                .build()
                .map_err(|error| wrong(&error))
        })
        .as_ref()
        .map_err(|message| anyhow!(message.clone()))
}

/// A loaded graph.
pub struct Graph {
    session: Session,
    outputs: Vec<String>,
}

impl Graph {
    /// Loads the bytes of an ONNX file.
    ///
    /// # Errors
    /// When ONNX Runtime is not there or refuses the graph.
    pub fn load(model: &[u8]) -> Result<Self> {
        let session = Session::builder(environment()?)
            .and_then(|builder| Ok(builder.with_intra_threads(1)?))
            .and_then(|mut builder| builder.commit_from_memory(model))
            .map_err(|error| anyhow!("ONNX Runtime refuses the graph: {error}"))?;
        let outputs = session
            .outputs()
            .iter()
            .map(|output| output.name().to_owned())
            .collect();
        Ok(Self { session, outputs })
    }

    /// The extents of an input, -1 where they differ from call to call; none where there is no such
    /// input.
    pub fn input_shape(&self, name: &str) -> Option<Vec<i64>> {
        let input = self.session.inputs().iter().find(|i| i.name() == name)?;
        match input.dtype() {
            ValueType::Tensor { shape, .. } => Some(shape.to_vec()),
            _ => None,
        }
    }

    /// The float32 outputs by name.
    ///
    /// # Errors
    /// When an input does not fit, or the run fails.
    pub fn run(
        &mut self,
        inputs: &BTreeMap<String, Array>,
    ) -> Result<BTreeMap<String, ArrayD<f32>>> {
        let mut values: Vec<(String, DynValue)> = Vec::new();
        for (name, array) in inputs {
            let value = match array {
                Array::Float32(array) => tensor(array)?,
                Array::Int64(array) => tensor(array)?,
            };
            values.push((name.clone(), value));
        }
        let outputs = self
            .session
            .run(values)
            .map_err(|error| anyhow!("ONNX Runtime: {error}"))?;
        let mut found = BTreeMap::new();
        for name in &self.outputs {
            let value = outputs
                .get(name)
                .with_context(|| format!("no output {name}"))?;
            if !matches!(
                value.dtype(),
                ValueType::Tensor {
                    ty: TensorElementType::Float32,
                    ..
                }
            ) {
                bail!("output {name} is not float32");
            }
            let (shape, data) = value
                .try_extract_tensor::<f32>()
                .map_err(|error| anyhow!("{name}: {error}"))?;
            let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
            found.insert(
                name.clone(),
                ArrayD::from_shape_vec(IxDyn(&shape), data.to_vec())?,
            );
        }
        Ok(found)
    }
}

fn tensor<T>(array: &ArrayD<T>) -> Result<DynValue>
where
    T: ort::value::PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    let data: Vec<T> = array.iter().cloned().collect();
    Ok(Tensor::from_array((shape, data))
        .map_err(|error| anyhow!("{error}"))?
        .into_dyn())
}

/// How far two sets of outputs are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// The largest difference of two elements.
    pub max: f64,
    /// The root of the mean squared difference, over the root of the mean square of the first set.
    pub relative: f64,
}

/// Compares outputs of the same names and shapes. A difference that is no number counts as
/// infinite, so that no bar lets it pass.
///
/// # Errors
/// When the names or shapes differ.
pub fn compare(
    reference: &BTreeMap<String, ArrayD<f32>>,
    other: &BTreeMap<String, ArrayD<f32>>,
) -> Result<Difference> {
    ensure!(
        reference.keys().eq(other.keys()) && !reference.is_empty(),
        "the outputs are {:?} and {:?}",
        reference.keys(),
        other.keys()
    );
    let (mut max, mut error, mut power) = (0f64, 0f64, 0f64);
    for (name, a) in reference {
        let b = &other[name];
        ensure!(
            a.shape() == b.shape(),
            "{name} is {:?} and {:?}",
            a.shape(),
            b.shape()
        );
        for (&a, &b) in a.iter().zip(b) {
            let difference = (f64::from(a) - f64::from(b)).abs();
            let difference = if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            };
            max = max.max(difference);
            error += difference * difference;
            power += f64::from(a) * f64::from(a);
        }
    }
    Ok(Difference {
        max,
        relative: (error / power.max(f64::MIN_POSITIVE)).sqrt(),
    })
}

/// The ranges of the activations that [`convert::int8`] quantises, over all the inputs given.
///
/// # Errors
/// When ONNX Runtime is not there, or a run fails.
pub fn calibrate<'a>(
    recorded: &Recorded,
    inputs: impl IntoIterator<Item = &'a BTreeMap<String, Array>>,
) -> Result<Ranges> {
    let names = convert::activations(recorded);
    let graph = convert::with_outputs(recorded, &names);
    let mut session = Graph::load(&encode(&graph, &BTreeMap::new()))?;
    let mut ranges = Ranges::new();
    for batch in inputs {
        let outputs = session.run(batch)?;
        for name in &names {
            let values: &ArrayD<f32> = match outputs.get(name) {
                Some(values) => values,
                None => batch
                    .get(name)
                    .with_context(|| format!("no values of {name}"))?
                    .float32()?,
            };
            let (low, high) = ranges.entry(name.clone()).or_insert((0.0, 0.0));
            for &value in values {
                ensure!(value.is_finite(), "{name} holds {value}");
                *low = low.min(value);
                *high = high.max(value);
            }
        }
    }
    Ok(ranges)
}
