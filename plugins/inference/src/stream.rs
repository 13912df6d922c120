// SPDX-License-Identifier: MPL-2.0
//! Running a model again and again: tensors bound once, state carried from run to run.

use std::{collections::BTreeSet, sync::Arc};

use ndarray::{ArrayViewD, ArrayViewMutD};
use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::IoBinding,
    value::{DynTensor, DynValue, PrimitiveTensorElementType, TensorElementType},
};

use crate::{
    card::{Axis, Card, Port, element_name, element_type},
    error::{Error, Result},
    lock::lock,
    session::SharedSession,
};

/// One user's tensors and state of a model.
///
/// Inputs and outputs are allocated once, for the sizes given, and bound to the session; a run on
/// the processor allocates nothing on our side that grows with the tensors. State is a pair of
/// tensors for each input that the card calls state: one is read and the other written, and they
/// change places after every run that succeeded. So a run that failed, or gave "not a number",
/// leaves the state as it was.
///
/// Several streams may share a session; their runs then follow each other.
pub struct Stream {
    card: Arc<Card>,
    shared: Arc<SharedSession>,
    inputs: Vec<Tensor>,
    outputs: Vec<Output>,
    states: Vec<[DynTensor; 2]>,
    /// Bindings that read the first and write the second of each pair, and the reverse; only the
    /// first without state.
    bindings: Vec<IoBinding>,
    /// Which binding is next.
    phase: usize,
    /// Whether the outputs are of a run that succeeded.
    ran: bool,
}

struct Tensor {
    name: String,
    value: DynTensor,
}

struct Output {
    name: String,
    /// Allocated by us, where the shape is known before the run.
    value: Option<DynTensor>,
    /// Allocated by ONNX Runtime in the last run, where it is not.
    found: Option<DynValue>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("model", &self.card.name)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(
        card: Arc<Card>,
        shared: Arc<SharedSession>,
        sizes: &[(&str, usize)],
    ) -> Result<Self> {
        check_sizes(&card, sizes)?;
        let allocator = Allocator::default();
        let allocate = |port: &Port, shape: Vec<usize>| -> Result<DynTensor> {
            let element = supported(port)?;
            elements(port, &shape)?;
            DynTensor::new(&allocator, element, shape).map_err(Error::runtime("allocate a tensor"))
        };

        let mut inputs = Vec::new();
        let mut states = Vec::new();
        let mut fed = Vec::new();
        for port in &card.inputs {
            let shape = resolve(port, sizes).ok_or_else(|| Error::BadSize {
                reason: format!("the input `{port}` has an axis without a size"),
            })?;
            match &port.state {
                Some(source) => {
                    let mut pair = [allocate(port, shape.clone())?, allocate(port, shape)?];
                    pair.iter_mut().try_for_each(zero)?;
                    fed.push((port.name.clone(), source.clone()));
                    states.push(pair);
                }
                None => inputs.push(Tensor {
                    name: port.name.clone(),
                    value: allocate(port, shape)?,
                }),
            }
        }
        let mut outputs = Vec::new();
        for port in &card.outputs {
            supported(port)?;
            if fed.iter().any(|(_, source)| source == &port.name) {
                continue;
            }
            let value = resolve(port, sizes)
                .map(|shape| allocate(port, shape))
                .transpose()?;
            outputs.push(Output {
                name: port.name.clone(),
                value,
                found: None,
            });
        }

        let mut bindings = Vec::new();
        {
            let session = lock(&shared.session);
            for phase in 0..if states.is_empty() { 1 } else { 2 } {
                let mut binding = session
                    .create_binding()
                    .map_err(Error::runtime("bind tensors"))?;
                for input in &inputs {
                    bind_input(&mut binding, &input.name, &input.value)?;
                }
                for ((state, source), pair) in fed.iter().zip(&mut states) {
                    let [first, second] = pair;
                    let (read, written) = if phase == 0 {
                        (first, second)
                    } else {
                        (second, first)
                    };
                    bind_input(&mut binding, state, read)?;
                    bind_output(&mut binding, source, written)?;
                }
                for output in &mut outputs {
                    match &mut output.value {
                        Some(value) => bind_output(&mut binding, &output.name, value)?,
                        None => bind_open(&mut binding, &output.name)?,
                    }
                }
                bindings.push(binding);
            }
        }
        Ok(Self {
            card,
            shared,
            inputs,
            outputs,
            states,
            bindings,
            phase: 0,
            ran: false,
        })
    }

    /// The values of an input, to be written before a run; zero at first, and then what was last
    /// written.
    ///
    /// # Errors
    /// [`Error::BadTensor`] if there is no such input, if it is state, or if its elements are no
    /// `T`.
    pub fn input<T: PrimitiveTensorElementType>(
        &mut self,
        name: &str,
    ) -> Result<ArrayViewMutD<'_, T>> {
        let Self { card, inputs, .. } = self;
        let input = inputs
            .iter_mut()
            .find(|input| input.name == name)
            .ok_or_else(|| no_tensor(card, "input", &card.inputs, name))?;
        check_type::<T>(name, *input.value.data_type())?;
        input
            .value
            .try_extract_array_mut()
            .map_err(Error::runtime("open a tensor"))
    }

    /// Writes a whole input, row-major.
    ///
    /// # Errors
    /// As [`input`](Self::input), and if the number of values is not that of the input.
    pub fn set<T: PrimitiveTensorElementType + Copy>(
        &mut self,
        name: &str,
        values: &[T],
    ) -> Result<()> {
        let mut input = self.input::<T>(name)?;
        if values.len() != input.len() {
            return Err(Error::BadTensor {
                reason: format!(
                    "the input `{name}` takes {} values, as {:?}; {} were given",
                    input.len(),
                    input.shape(),
                    values.len()
                ),
            });
        }
        // What `ort` allocates is contiguous.
        for (to, from) in input.iter_mut().zip(values) {
            *to = *from;
        }
        Ok(())
    }

    /// Runs the model on the inputs and the state.
    ///
    /// # Errors
    /// [`Error::Runtime`] if ONNX Runtime fails, [`Error::NotANumber`] if an output or the next
    /// state has a NaN; the state is then as before, and the outputs cannot be read.
    pub fn run(&mut self) -> Result<()> {
        self.ran = false;
        let failed = || Error::runtime("run the model");
        let Some(binding) = self.bindings.get_mut(self.phase) else {
            return Ok(());
        };
        // ONNX Runtime copies an input to a GPU when it is bound, so there it must be bound again
        // for each run.
        if !self.shared.on_processor() {
            for input in &self.inputs {
                bind_input(binding, &input.name, &input.value)?;
            }
        }
        // An output that the last run allocated would be taken for one of ours, of that shape.
        for output in self
            .outputs
            .iter_mut()
            .filter(|output| output.value.is_none())
        {
            output.found = None;
            bind_open(binding, &output.name)?;
        }
        {
            let mut session = lock(&self.shared.session);
            let mut results = session.run_binding(binding).map_err(failed())?;
            for output in self
                .outputs
                .iter_mut()
                .filter(|output| output.value.is_none())
            {
                output.found = results.remove(&output.name);
            }
        }
        if !self.shared.on_processor() {
            binding.synchronize_outputs().map_err(failed())?;
        }

        for output in &self.outputs {
            let index = match (&output.value, &output.found) {
                (Some(value), _) => first_nan(value),
                (None, Some(value)) => first_nan(value),
                (None, None) => None,
            };
            not_a_number(index, &output.name)?;
        }
        let fed = self
            .card
            .inputs
            .iter()
            .filter_map(|port| port.state.as_deref());
        for (source, pair) in fed.zip(&self.states) {
            if let Some(written) = pair.get(1 - self.phase) {
                not_a_number(first_nan(written), source)?;
            }
        }
        if !self.states.is_empty() {
            self.phase = 1 - self.phase;
        }
        self.ran = true;
        Ok(())
    }

    /// The values of an output of the last run.
    ///
    /// # Errors
    /// [`Error::BadTensor`] if there is no such output, if it feeds state, if its elements are no
    /// `T`, or if the last run failed or there was none.
    pub fn output<T: PrimitiveTensorElementType>(&self, name: &str) -> Result<ArrayViewD<'_, T>> {
        let output = self
            .outputs
            .iter()
            .find(|output| output.name == name)
            .ok_or_else(|| no_tensor(&self.card, "output", &self.card.outputs, name))?;
        let unread = || Error::BadTensor {
            reason: format!(
                "the output `{name}` has no values: the last run failed, or there was none"
            ),
        };
        if !self.ran {
            return Err(unread());
        }
        let failed = Error::runtime("open a tensor");
        match (&output.value, &output.found) {
            (Some(value), _) => {
                check_type::<T>(name, *value.data_type())?;
                value.try_extract_array().map_err(failed)
            }
            (None, Some(value)) => {
                if let Some(ty) = value.dtype().tensor_type() {
                    check_type::<T>(name, ty)?;
                }
                value.try_extract_array().map_err(failed)
            }
            (None, None) => Err(unread()),
        }
    }

    /// Takes over the state of another stream of the same model, so that one signal can be run in
    /// pieces of several sizes, each through a stream of its own.
    ///
    /// # Errors
    /// [`Error::BadTensor`] if the states are not alike: the streams are of two models, or of sizes
    /// that the state has too.
    pub fn copy_state(&mut self, from: &Self) -> Result<()> {
        let alike = self.states.len() == from.states.len()
            && self
                .states
                .iter()
                .flatten()
                .zip(from.states.iter().flatten())
                .all(|(to, from)| (to.data_type(), to.shape()) == (from.data_type(), from.shape()));
        if !alike {
            return Err(Error::BadTensor {
                reason: format!(
                    "the state of this stream of `{}` is not like that of the other, of `{}`",
                    self.card.name, from.card.name
                ),
            });
        }
        for (to, pair) in self.states.iter_mut().zip(&from.states) {
            if let (Some(to), Some(from)) = (to.get_mut(self.phase), pair.get(from.phase)) {
                copy(from, to)?;
            }
        }
        Ok(())
    }

    /// Forgets everything heard or seen: the state is zero again, as before the first run. Inputs
    /// stay as written.
    pub fn reset(&mut self) {
        self.phase = 0;
        self.ran = false;
        for value in self.states.iter_mut().flatten() {
            // The type was checked when the state was made.
            let zeroed = zero(value);
            debug_assert!(zeroed.is_ok(), "{zeroed:?}");
        }
    }
}

impl SharedSession {
    /// Whether every node runs on the processor, whose memory the tensors are in.
    fn on_processor(&self) -> bool {
        self.assignment.only_processor()
    }
}

fn bind_input(binding: &mut IoBinding, name: &str, value: &DynTensor) -> Result<()> {
    binding
        .bind_input(name, value)
        .map_err(Error::runtime("bind an input"))
}

fn bind_output(binding: &mut IoBinding, name: &str, value: &mut DynTensor) -> Result<()> {
    binding
        .bind_output(name, value)
        .map_err(Error::runtime("bind an output"))
}

/// Binds an output whose shape only the run tells, to be allocated in the processor's memory.
fn bind_open(binding: &mut IoBinding, name: &str) -> Result<()> {
    MemoryInfo::new(
        AllocationDevice::CPU,
        0,
        AllocatorType::Device,
        MemoryType::Default,
    )
    .and_then(|memory| binding.bind_output_to_device(name, &memory))
    .map_err(Error::runtime("bind an output"))
}

/// Every named axis of the inputs has one size, not zero, and every size is of such an axis.
fn check_sizes(card: &Card, sizes: &[(&str, usize)]) -> Result<()> {
    let bad = |reason: String| Err(Error::BadSize { reason });
    let symbols: BTreeSet<&str> = card
        .inputs
        .iter()
        .flat_map(|port| &port.shape)
        .filter_map(|axis| match axis {
            Axis::Symbol(name) => Some(name.as_str()),
            Axis::Fixed(_) => None,
        })
        .collect();
    for (index, (name, size)) in sizes.iter().enumerate() {
        if !symbols.contains(name) {
            let known = Vec::from_iter(symbols).join(", ");
            return bad(format!(
                "no input has an axis `{name}`; the axes with names are: {known}"
            ));
        }
        if *size == 0 {
            return bad(format!("the axis `{name}` is given the size 0"));
        }
        if sizes.iter().take(index).any(|(other, _)| other == name) {
            return bad(format!("the axis `{name}` is given two sizes"));
        }
    }
    match symbols
        .iter()
        .find(|symbol| !sizes.iter().any(|(name, _)| name == *symbol))
    {
        Some(symbol) => bad(format!("the axis `{symbol}` is given no size")),
        None => Ok(()),
    }
}

/// The shape with every name replaced by its size, if each has one.
fn resolve(port: &Port, sizes: &[(&str, usize)]) -> Option<Vec<usize>> {
    port.shape
        .iter()
        .map(|axis| match axis {
            Axis::Fixed(size) => Some(*size),
            Axis::Symbol(symbol) => sizes
                .iter()
                .find(|(name, _)| name == symbol)
                .map(|(_, size)| *size),
        })
        .collect()
}

/// The number of elements, if it is one that could ever be allocated.
fn elements(port: &Port, shape: &[usize]) -> Result<usize> {
    // Eight bytes an element at most; ONNX Runtime would meet the overflow later, in one place or
    // another.
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&count| count <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::BadSize {
            reason: format!("`{port}` as {shape:?} is larger than the memory of any machine"),
        })
}

/// The element type, if `zero`, `first_nan` and the callers can handle it.
fn supported(port: &Port) -> Result<TensorElementType> {
    use TensorElementType::{
        Bool, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
    };
    element_type(&port.element)
        .filter(|ty| {
            matches!(
                ty,
                Bool | Float32 | Float64 | Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64
            )
        })
        .ok_or_else(|| Error::BadTensor {
            reason: format!("`{port}` has elements that cannot be fed from here; export the model with float32 there"),
        })
}

fn check_type<T: PrimitiveTensorElementType>(name: &str, found: TensorElementType) -> Result<()> {
    let asked = T::into_tensor_element_type();
    if asked == found {
        return Ok(());
    }
    Err(Error::BadTensor {
        reason: format!(
            "`{name}` has elements of type {}, not {}",
            element_name(found),
            element_name(asked)
        ),
    })
}

fn no_tensor(card: &Card, kind: &str, ports: &[Port], name: &str) -> Error {
    let state = card.inputs.iter().any(|port| {
        port.state.is_some() && (port.name == name || port.state.as_deref() == Some(name))
    });
    Error::BadTensor {
        reason: if state {
            format!(
                "`{name}` is state of the model `{}`, which the stream owns",
                card.name
            )
        } else {
            let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
            format!(
                "the model `{}` has no {kind} `{name}`; it has: {}",
                card.name,
                names.join(", ")
            )
        },
    }
}

/// The instance of a generic function for a tensor's element type, one of those that [`supported`]
/// lets pass.
macro_rules! for_elements_of {
    ($tensor:expr, $function:ident) => {
        match $tensor.data_type() {
            TensorElementType::Bool => $function::<bool>,
            TensorElementType::Float32 => $function::<f32>,
            TensorElementType::Float64 => $function::<f64>,
            TensorElementType::Int8 => $function::<i8>,
            TensorElementType::Int16 => $function::<i16>,
            TensorElementType::Int32 => $function::<i32>,
            TensorElementType::Int64 => $function::<i64>,
            TensorElementType::Uint8 => $function::<u8>,
            TensorElementType::Uint16 => $function::<u16>,
            TensorElementType::Uint32 => $function::<u32>,
            _ => $function::<u64>,
        }
    };
}

fn zero(tensor: &mut DynTensor) -> Result<()> {
    fn fill<T: PrimitiveTensorElementType + Default + Clone>(
        tensor: &mut DynTensor,
    ) -> std::result::Result<(), ort::Error> {
        tensor
            .try_extract_tensor_mut::<T>()
            .map(|(_, values)| values.fill(T::default()))
    }
    let fill = for_elements_of!(tensor, fill);
    fill(tensor).map_err(Error::runtime("zero the state"))
}

/// Copies between tensors of one type and shape.
fn copy(from: &DynTensor, to: &mut DynTensor) -> Result<()> {
    fn assign<T: PrimitiveTensorElementType + Copy>(
        from: &DynTensor,
        to: &mut DynTensor,
    ) -> std::result::Result<(), ort::Error> {
        let (_, from) = from.try_extract_tensor::<T>()?;
        let (_, to) = to.try_extract_tensor_mut::<T>()?;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(())
    }
    let assign = for_elements_of!(from, assign);
    assign(from, to).map_err(Error::runtime("copy the state"))
}

fn first_nan<M: ort::value::TensorValueTypeMarker + ?Sized>(
    value: &ort::value::Value<M>,
) -> Option<usize> {
    // A scan that does not end early becomes one of vectors; a large state is looked at after every
    // run.
    if let Ok((_, values)) = value.try_extract_tensor::<f32>() {
        let any = values.iter().fold(false, |any, value| any | value.is_nan());
        return any.then(|| values.iter().position(|value| value.is_nan()))?;
    }
    let (_, values) = value.try_extract_tensor::<f64>().ok()?;
    values.iter().position(|value| value.is_nan())
}

fn not_a_number(index: Option<usize>, output: &str) -> Result<()> {
    index.map_or(Ok(()), |index| {
        Err(Error::NotANumber {
            output: output.to_owned(),
            index,
        })
    })
}
