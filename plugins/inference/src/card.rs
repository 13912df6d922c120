// SPDX-License-Identifier: MPL-2.0
//! Model cards: what a model is, in a form that people read and elements run on.
//!
//! A model `NAME.onnx` has its card beside it, `NAME.toml`. What an element needs at run time
//! (task, rates, labels, inputs, outputs, parameters) also stands inside the model, as the same
//! TOML under the metadata key [`METADATA_KEY`], and that is what is read; the file adds the hash,
//! the licence, how the model was trained and how good it is. Where both are there they must agree,
//! and both must agree with the graph.
//!
//! ```toml
//! name = "rhythm"
//! version = "1"
//! task = "rhythm"                # which element it is for
//! description = "Onset, beat and downbeat activations of music, causal"
//! frame_rate = 100.0             # frames a second
//! labels = ["onset", "beat", "downbeat"]
//! sha256 = "5752bd50…"           # of the ONNX file; this line and the next stand in the card's file only
//! licence = "MPL-2.0"
//!
//! [parameters]                   # constants of this task, by name
//! look_ahead = 2
//!
//! [[input]]
//! name = "features"
//! type = "float32"
//! shape = ["batch", "time", 80]  # a number is fixed, a name is chosen when the model is run
//! unit = "log10(1 + magnitude)"
//! normalisation = "none"
//!
//! [[input]]
//! name = "h"
//! type = "float32"
//! shape = ["batch", 64]
//! state = "h_next"               # the output whose value is this input's at the next run; zero at first
//!
//! [[output]]
//! name = "activations"
//! type = "float32"
//! shape = ["batch", "time", 3]
//!
//! [[output]]
//! name = "h_next"
//! type = "float32"
//! shape = ["batch", 64]
//!
//! [training]                     # command, data, seed, hours, in free form; in the card's file only
//! seed = 1
//!
//! [figures]                      # what was measured, and how, in free form; in the card's file only
//! parity = 3e-6
//! ```

use std::{fmt, path::Path};

use ort::value::{Outlet, TensorElementType, ValueType};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The key of the ONNX file's metadata (`metadata_props`) under which the card's run-time part
/// stands, as TOML.
pub const METADATA_KEY: &str = "gst-dance.card";

/// A model card; the [module](self) shows one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What the model is called.
    pub name: String,
    /// Which of its trainings this is.
    pub version: String,
    /// What it does, as the element that runs it asks for it: `rhythm`, `optical-flow` …
    pub task: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// SHA-256 of the ONNX file, in hexadecimal; in the card's file only, where it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SPDX expression; in the card's file only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Frames a second that the model was trained on, where it has such a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
    /// What the elements of the last axis of the main output are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Constants of the task, which an element reads by name.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub parameters: toml::Table,
    /// What goes in, in the graph's order.
    #[serde(rename = "input")]
    pub inputs: Vec<Port>,
    /// What comes out, in the graph's order.
    #[serde(rename = "output")]
    pub outputs: Vec<Port>,
    /// How it was trained: command, data, seed, hours; in the card's file only.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub training: toml::Table,
    /// What was measured, and with what command; in the card's file only.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub figures: toml::Table,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Its element type as ONNX Runtime writes it: `float32`, `int64`, `uint8` …
    #[serde(rename = "type")]
    pub element: String,
    /// Its axes.
    pub shape: Vec<Axis>,
    /// For an input that is state: the output whose value it takes at the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The unit of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How the values are to be normalised, or were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<String>,
    /// Anything else people should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The length of an axis: fixed in the graph, or chosen when the model is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// This long.
    Fixed(usize),
    /// As long as every other axis of this name.
    Symbol(String),
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Symbol(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Port {
    /// `features float32[batch, time, 80]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[", self.name, self.element)?;
        for (index, axis) in self.shape.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{axis}")?;
        }
        f.write_str("]")
    }
}

impl Card {
    /// Reads a card from TOML and checks that it makes sense by itself. `path` is where the text is
    /// from, for errors.
    ///
    /// # Errors
    /// [`Error::BadCard`] with what is wrong, and with the line if the TOML itself is.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadCard {
            path: path.to_owned(),
            reason,
        };
        let card: Self =
            toml::from_str(text).map_err(|error| bad(error.to_string().trim_end().to_owned()))?;
        card.check().map_err(bad)?;
        Ok(card)
    }

    fn check(&self) -> std::result::Result<(), String> {
        for (field, value) in [
            ("name", &self.name),
            ("version", &self.version),
            ("task", &self.task),
        ] {
            if value.is_empty() {
                return Err(format!("`{field}` is empty"));
            }
        }
        if let Some(rate) = self.frame_rate
            && !(rate.is_finite() && rate > 0.0)
        {
            return Err(format!(
                "`frame_rate` is {rate}; a positive number is needed"
            ));
        }
        if self.outputs.is_empty() {
            return Err("it has no output".to_owned());
        }
        let mut fed = Vec::new();
        for input in &self.inputs {
            let Some(source) = &input.state else { continue };
            let output = self
                .outputs
                .iter()
                .find(|output| &output.name == source)
                .ok_or_else(|| {
                    format!(
                        "the state `{}` is fed by `{source}`, which is no output",
                        input.name
                    )
                })?;
            if (&output.element, &output.shape) != (&input.element, &input.shape) {
                return Err(format!(
                    "the state `{input}` is fed by `{output}`, of another type or shape"
                ));
            }
            if fed.contains(&source) {
                return Err(format!("the output `{source}` feeds two states"));
            }
            fed.push(source);
        }
        if let Some(output) = self.outputs.iter().find(|output| output.state.is_some()) {
            return Err(format!(
                "the output `{}` has `state`, which belongs to the input it feeds",
                output.name
            ));
        }
        Ok(())
    }

    /// The part an element needs at run time: what stands inside the model.
    #[must_use]
    pub fn run_time(&self) -> Self {
        Self {
            sha256: None,
            licence: None,
            training: toml::Table::new(),
            figures: toml::Table::new(),
            ..self.clone()
        }
    }

    /// The card as TOML: of the whole card for the file, of its [run-time part](Self::run_time) for
    /// the metadata.
    ///
    /// # Errors
    /// [`Error::BadCard`] if a table holds something that TOML cannot say.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::BadCard {
            path: format!("{}.toml", self.name).into(),
            reason: error.to_string(),
        })
    }

    /// A number from `parameters`, whole or not.
    ///
    /// # Errors
    /// [`Error::BadCard`] if it is not there or is no number; `path` is the model, for the message.
    pub fn number(&self, parameter: &str, path: &Path) -> Result<f64> {
        let value = self.parameters.get(parameter);
        value
            .and_then(|value| {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "TOML writes 100.0 as 100 too; counts are far below 2^52"
                )]
                value
                    .as_float()
                    .or_else(|| value.as_integer().map(|value| value as f64))
            })
            .ok_or_else(|| Error::BadCard {
                path: path.to_owned(),
                reason: match value {
                    Some(value) => {
                        format!("the parameter `{parameter}` is {value}; a number is needed")
                    }
                    None => format!(
                        "it has no parameter `{parameter}`, which the task `{}` needs",
                        self.task
                    ),
                },
            })
    }

    /// The first difference to another card's run-time part, `self` being the card's file.
    pub(crate) fn difference(&self, metadata: &Self) -> Option<String> {
        let (file, metadata) = (self.run_time(), metadata.run_time());
        if file == metadata {
            return None;
        }
        // As TOML, so that every field there is or will be is named without a list of fields.
        let (Ok(file), Ok(metadata)) = (
            toml::Table::try_from(&file),
            toml::Table::try_from(&metadata),
        ) else {
            return Some("the card's file and the model's metadata differ".to_owned());
        };
        let show =
            |value: Option<&toml::Value>| value.map_or("nothing".to_owned(), ToString::to_string);
        file.keys()
            .chain(metadata.keys())
            .find(|key| file.get(*key) != metadata.get(*key))
            .map(|key| {
                format!(
                    "`{key}` is {} in the card's file, and {} in the model's metadata",
                    show(file.get(key)),
                    show(metadata.get(key))
                )
            })
    }

    /// Compares the card with the inputs and outputs of the graph: names in order, types, shapes.
    pub(crate) fn check_graph(
        &self,
        inputs: &[Outlet],
        outputs: &[Outlet],
    ) -> std::result::Result<(), String> {
        for (kind, ports, outlets) in [
            ("input", &self.inputs, inputs),
            ("output", &self.outputs, outputs),
        ] {
            for (port, outlet) in ports.iter().zip(outlets) {
                if !port.describes(outlet) {
                    return Err(format!(
                        "the {kind} `{port}` of the card is `{}` in the graph",
                        describe(outlet)
                    ));
                }
            }
            if ports.len() != outlets.len() {
                return Err(format!(
                    "the card has {} {kind}s, the graph {}: {}",
                    ports.len(),
                    outlets.len(),
                    describe_all(outlets)
                ));
            }
        }
        Ok(())
    }
}

impl Port {
    fn describes(&self, outlet: &Outlet) -> bool {
        let ValueType::Tensor {
            ty,
            shape,
            dimension_symbols,
        } = outlet.dtype()
        else {
            return false;
        };
        self.name == outlet.name()
            && element_type(&self.element) == Some(*ty)
            && self.shape.len() == shape.len()
            && self
                .shape
                .iter()
                .zip(shape.iter().zip(dimension_symbols.iter()))
                .all(|(axis, (&size, symbol))| match axis {
                    Axis::Fixed(length) => i64::try_from(*length) == Ok(size),
                    // ONNX Runtime forgets the names of some axes that it infers; a name that is
                    // there must be right.
                    Axis::Symbol(name) => size < 0 && (symbol.is_empty() || symbol == name),
                })
    }
}

const ELEMENT_TYPES: [(&str, TensorElementType); 12] = [
    ("bool", TensorElementType::Bool),
    ("float16", TensorElementType::Float16),
    ("float32", TensorElementType::Float32),
    ("float64", TensorElementType::Float64),
    ("int8", TensorElementType::Int8),
    ("int16", TensorElementType::Int16),
    ("int32", TensorElementType::Int32),
    ("int64", TensorElementType::Int64),
    ("uint8", TensorElementType::Uint8),
    ("uint16", TensorElementType::Uint16),
    ("uint32", TensorElementType::Uint32),
    ("uint64", TensorElementType::Uint64),
];

pub(crate) fn element_type(name: &str) -> Option<TensorElementType> {
    ELEMENT_TYPES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, ty)| *ty)
}

pub(crate) fn element_name(ty: TensorElementType) -> String {
    ELEMENT_TYPES
        .iter()
        .find(|(_, known)| *known == ty)
        .map_or_else(|| ty.to_string(), |(name, _)| (*name).to_owned())
}

fn describe(outlet: &Outlet) -> String {
    let ValueType::Tensor {
        ty,
        shape,
        dimension_symbols,
    } = outlet.dtype()
    else {
        return format!("{} {}", outlet.name(), outlet.dtype());
    };
    let port = Port {
        name: outlet.name().to_owned(),
        element: element_name(*ty),
        shape: shape
            .iter()
            .zip(dimension_symbols.iter())
            .map(|(&size, symbol)| match usize::try_from(size) {
                Ok(size) => Axis::Fixed(size),
                Err(_) if symbol.is_empty() => Axis::Symbol("?".to_owned()),
                Err(_) => Axis::Symbol(symbol.clone()),
            })
            .collect(),
        state: None,
        unit: None,
        normalisation: None,
        description: None,
    };
    port.to_string()
}

pub(crate) fn describe_all(outlets: &[Outlet]) -> String {
    // A stranger's model may have hundreds; the first few tell what it is.
    const SHOWN: usize = 6;
    let mut text = outlets
        .iter()
        .take(SHOWN)
        .map(describe)
        .collect::<Vec<_>>()
        .join(", ");
    if outlets.len() > SHOWN {
        text.push_str(", …");
    }
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"
name = "tiny"
version = "1"
task = "test"
sha256 = "00"
frame_rate = 100

[parameters]
look_ahead = 2
mel = "slaney"

[[input]]
name = "h"
type = "float32"
shape = ["batch", 4]
state = "h_next"

[[output]]
name = "h_next"
type = "float32"
shape = ["batch", 4]

[training]
seed = 1
"#;

    fn parse(text: &str) -> Result<Card> {
        Card::parse(text, Path::new("tiny.toml"))
    }

    #[test]
    fn a_card_survives_writing_and_reading() {
        let card = parse(CARD).unwrap();
        assert_eq!(parse(&card.to_toml().unwrap()).unwrap(), card);
        let run_time = card.run_time();
        assert_eq!(parse(&run_time.to_toml().unwrap()).unwrap(), run_time);
        assert!(run_time.sha256.is_none() && run_time.training.is_empty());
        assert_eq!(card.difference(&run_time), None);
    }

    #[test]
    fn senseless_cards_are_refused_with_their_reason() {
        for (from, to, part) in [
            ("task = \"test\"", "", "missing field `task`"),
            ("task = \"test\"", "task = \"\"", "`task` is empty"),
            (
                "task = \"test\"",
                "task = \"test\"\ntaks = 1",
                "unknown field `taks`",
            ),
            ("frame_rate = 100", "frame_rate = -1", "`frame_rate` is -1"),
            (
                "state = \"h_next\"",
                "state = \"x\"",
                "`x`, which is no output",
            ),
            (
                "shape = [\"batch\", 4]\nstate",
                "shape = [\"batch\", 5]\nstate",
                "of another type or shape",
            ),
            (
                "shape = [\"batch\", 4]\nstate",
                "shape = [-4]\nstate",
                "shape",
            ),
            ("[[output]]", "[[output", "line 18"),
        ] {
            let error = parse(&CARD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(
                error.contains("`tiny.toml`") && error.contains(part),
                "{to:?}: {error}"
            );
        }
    }

    #[test]
    fn differences_name_the_field_and_both_sides() {
        let file = parse(CARD).unwrap();
        let mut metadata = file.run_time();
        metadata.frame_rate = None;
        assert_eq!(
            file.difference(&metadata).as_deref(),
            Some("`frame_rate` is 100.0 in the card's file, and nothing in the model's metadata")
        );
    }

    #[test]
    fn parameters_are_read_as_numbers_or_refused() {
        let card = parse(CARD).unwrap();
        let path = Path::new("tiny.onnx");
        assert!((card.number("look_ahead", path).unwrap() - 2.0).abs() < f64::EPSILON);
        let error = card.number("mel", path).unwrap_err().to_string();
        assert!(
            error.contains("`mel` is \"slaney\"; a number is needed"),
            "{error}"
        );
        let error = card.number("hop", path).unwrap_err().to_string();
        assert!(
            error.contains("no parameter `hop`, which the task `test` needs"),
            "{error}"
        );
    }
}
