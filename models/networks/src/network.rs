// SPDX-License-Identifier: MPL-2.0
//! What a network is: ports and a forward pass.

use crate::layers::Scope;
use crate::ops::{Dim, Ops};
use crate::weights;
use anyhow::{Context, Result, bail, ensure};
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;

/// The type of a port's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Signals and states.
    Float32,
    /// Indices, below this limit.
    Int64 {
        /// How many indices there are.
        limit: usize,
    },
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// New with every call.
    Signal,
    /// Handed from one call to the next, zeros before the first. The n-th state among the outputs
    /// is the next value of the n-th state among the inputs.
    State,
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct Port {
    /// The name in the graph.
    pub name: String,
    /// The extents. Those that differ from call to call are symbols such as `batch` and `time`.
    pub shape: Vec<Dim>,
    /// The type of the elements.
    pub element: Element,
    /// What the port is for.
    pub role: Role,
    /// The unit of the values, for people.
    pub unit: String,
    /// How the values are to be normalised, or were; for people, empty where they are not.
    pub normalisation: String,
}

impl Port {
    /// A signal of float32.
    pub fn signal(name: &str, shape: &[Dim], unit: &str) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            element: Element::Float32,
            role: Role::Signal,
            unit: unit.into(),
            normalisation: String::new(),
        }
    }

    /// A state.
    pub fn state(name: &str, shape: &[Dim]) -> Self {
        Self {
            role: Role::State,
            ..Self::signal(name, shape, "")
        }
    }

    /// A signal of indices below `limit`.
    pub fn indices(name: &str, shape: &[Dim], limit: usize) -> Self {
        Self {
            element: Element::Int64 { limit },
            ..Self::signal(name, shape, "index")
        }
    }

    /// With its normalisation.
    pub fn normalised(mut self, how: &str) -> Self {
        self.normalisation = how.into();
        self
    }

    /// Random contents for a test: normal values or indices, under a seed, with `extents` for the
    /// symbols.
    ///
    /// # Errors
    /// When a symbol has no extent.
    pub fn random(&self, seed: u64, extents: &BTreeMap<String, usize>) -> Result<Array> {
        use rand::RngExt;
        let shape = self.extents(extents)?;
        let n: usize = shape.iter().product();
        let mut rng = weights::rng(seed, &self.name);
        Ok(match self.element {
            Element::Float32 => Array::Float32(ArrayD::from_shape_vec(
                IxDyn(&shape),
                weights::normal(&mut rng, n),
            )?),
            Element::Int64 { limit } => Array::Int64(ArrayD::from_shape_vec(
                IxDyn(&shape),
                (0..n)
                    .map(|_| rng.random_range(0..limit.max(1) as i64))
                    .collect(),
            )?),
        })
    }

    /// The shape with `extents` for its symbols.
    ///
    /// # Errors
    /// When a symbol has no extent, or a negative one results.
    pub fn extents(&self, extents: &BTreeMap<String, usize>) -> Result<Vec<usize>> {
        self.shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(n) => Ok(*n),
                Dim::Symbol { name, offset } => {
                    let n = extents
                        .get(name)
                        .with_context(|| format!("no extent for {name} of {}", self.name))?;
                    Ok(usize::try_from(*n as i64 + offset)?)
                }
            })
            .collect()
    }
}

/// The contents of a port.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Signals and states.
    Float32(ArrayD<f32>),
    /// Indices.
    Int64(ArrayD<i64>),
}

impl Array {
    /// The extents.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Float32(array) => array.shape(),
            Self::Int64(array) => array.shape(),
        }
    }

    /// The numbers.
    ///
    /// # Errors
    /// When they are indices.
    pub fn float32(&self) -> Result<&ArrayD<f32>> {
        match self {
            Self::Float32(array) => Ok(array),
            Self::Int64(_) => bail!("integers where float32 was expected"),
        }
    }
}

impl<D: ndarray::Dimension> From<ndarray::Array<f32, D>> for Array {
    fn from(array: ndarray::Array<f32, D>) -> Self {
        Self::Float32(array.into_dyn())
    }
}

/// What an element must know to feed a graph and to read it. It stands on the model's card and in
/// the file itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// What the element asks for: `rhythm`, `optical-flow` …
    pub task: String,
    /// One sentence for people.
    pub description: String,
    /// Frames a second that the network was trained on, where there is such a rate.
    pub frame_rate: Option<f64>,
    /// What the elements of the last axis of the first output are.
    pub labels: Vec<String>,
    /// Constants of the task.
    pub parameters: toml::Table,
}

/// A network: written once, computed by one interpreter and exported by the other.
pub trait Network {
    /// The name of the graph and of its files.
    fn name(&self) -> &str;

    /// The inputs, in the order in which [`forward`](Self::forward) takes them.
    fn inputs(&self) -> Vec<Port>;

    /// The outputs, in the order in which [`forward`](Self::forward) gives them.
    fn outputs(&self) -> Vec<Port>;

    /// What an element and people must know about the network.
    fn about(&self) -> About;

    /// The forward pass.
    ///
    /// # Errors
    /// As the operations it is made of.
    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>>;
}

/// Checks that what the forward pass gave has the shapes that the network promises.
///
/// # Errors
/// Naming the port that differs.
pub fn check_outputs<G: Ops>(g: &G, ports: &[Port], outputs: &[G::Tensor]) -> Result<()> {
    ensure!(
        ports.len() == outputs.len(),
        "the forward pass gives {} outputs, the network promises {}",
        outputs.len(),
        ports.len()
    );
    for (port, output) in ports.iter().zip(outputs) {
        let shape = g.shape(output);
        ensure!(
            shape.len() == port.shape.len()
                && shape.iter().zip(&port.shape).all(|(a, b)| a.agrees(b)),
            "output {} is {}, promised as {}",
            port.name,
            crate::ops::display(&shape),
            crate::ops::display(&port.shape)
        );
    }
    Ok(())
}
