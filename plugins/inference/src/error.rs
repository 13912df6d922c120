// SPDX-License-Identifier: MPL-2.0
//! The one error type: each message says what was found, where, and what was needed.

use std::path::PathBuf;

use crate::{
    provider::ExecutionProvider,
    version::{Fault, MINIMUM_VERSION},
};

/// What can go wrong between a path to a model and a number from it.
///
/// The messages are written for the person at the command line: they name the file, what was found
/// and what would have been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None of the places searched has a usable ONNX Runtime; the text lists every one with its
    /// fault.
    #[error(
        "no ONNX Runtime {minimum} or newer was found; name its library with the property onnxruntime-library or the \
         environment variable ORT_DYLIB_PATH. Searched: {searched}",
        minimum = MINIMUM_VERSION
    )]
    LibraryNotFound {
        /// Every place, and why nothing there would do.
        searched: String,
    },

    /// The library the user named, by property or environment, cannot be used.
    #[error("cannot use `{}`, named by {origin}, as ONNX Runtime: {fault}", path.display())]
    LibraryUnusable {
        /// The file that was named.
        path: PathBuf,
        /// Who named it.
        origin: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },

    /// A process has one ONNX Runtime, and another library already is it.
    #[error(
        "cannot use `{}` as ONNX Runtime: this process already runs the one at `{}`, and a process can have only one",
        wanted.display(),
        loaded.display()
    )]
    OtherLibrary {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        wanted: PathBuf,
    },

    /// ONNX Runtime refused something that it should not have.
    #[error("ONNX Runtime failed to {action}: {reason}")]
    Runtime {
        /// What was tried.
        action: &'static str,
        /// What ONNX Runtime said.
        reason: String,
    },

    /// The model, or its card, cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },

    /// The file is not a model that ONNX Runtime can load: corrupt, truncated, or something else.
    #[error("`{}` ({size} bytes) is not a sound ONNX model: {reason}", path.display())]
    BadModel {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// What ONNX Runtime said.
        reason: String,
    },

    /// The file is not the one the card was written for.
    #[error(
        "`{}` is not the model its card was written for: its SHA-256 is {found}, the card `{}` says {expected}",
        path.display(),
        card.display()
    )]
    WrongHash {
        /// The model.
        path: PathBuf,
        /// The card.
        card: PathBuf,
        /// The hash of the file.
        found: String,
        /// The hash in the card.
        expected: String,
    },

    /// A card is not in the form that this crate reads.
    #[error("the model card in `{}` is wrong: {reason}", path.display())]
    BadCard {
        /// The card's file, or the model that carries the card in its metadata.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// The card says one thing, the graph another.
    #[error("the card of `{}` does not describe its graph: {reason}", path.display())]
    CardMismatch {
        /// The model.
        path: PathBuf,
        /// The first difference, both sides.
        reason: String,
    },

    /// A sound ONNX model without a card: some other model from somewhere.
    #[error(
        "`{}` is a sound ONNX model, but not one made for this element: it has no metadata `{key}` that says what it \
         is for, and a model for `{task}` is needed. Its graph: {graph}",
        path.display()
    )]
    NoCard {
        /// The model.
        path: PathBuf,
        /// The metadata that a model of ours has.
        key: &'static str,
        /// The task that was needed.
        task: String,
        /// Inputs and outputs of the graph.
        graph: String,
    },

    /// A sound model of ours, but for another element.
    #[error("`{}` is a model for `{found}`; a model for `{expected}` is needed here", path.display())]
    WrongTask {
        /// The model.
        path: PathBuf,
        /// The task in its card.
        found: String,
        /// The task that was needed.
        expected: String,
    },

    /// A list of execution providers that means nothing.
    #[error("bad list of execution providers `{list}`: {reason}")]
    BadProviders {
        /// The list as given.
        list: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A provider that was named cannot be had on this machine or with this build of ONNX Runtime.
    #[error(
        "the execution provider `{provider}` cannot be had: {reason}. Install what is missing, choose another \
         execution-provider, or set allow-fallback=true to go on without it"
    )]
    ProviderUnavailable {
        /// The provider.
        provider: ExecutionProvider,
        /// Why not.
        reason: String,
    },

    /// The provider that was named first was registered, but no part of the graph runs on it.
    #[error(
        "the execution provider `{provider}` would run no part of this model ({assigned}); choose another \
         execution-provider, or set allow-fallback=true to go on all the same"
    )]
    ProviderIdle {
        /// The provider named first.
        provider: ExecutionProvider,
        /// What runs where instead.
        assigned: String,
    },

    /// A stream was asked for with sizes that do not fit the model.
    #[error("cannot size the model's tensors: {reason}")]
    BadSize {
        /// What is missing or superfluous.
        reason: String,
    },

    /// A tensor was addressed that is not there, or by the wrong type or length.
    #[error("{reason}")]
    BadTensor {
        /// Which one, what was given, what was needed.
        reason: String,
    },

    /// The model gave "not a number".
    #[error(
        "the model's output `{output}` is not a number at element {index}; its state was left as it was"
    )]
    NotANumber {
        /// The output.
        output: String,
        /// The first such element, in row-major order.
        index: usize,
    },
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn runtime<R>(action: &'static str) -> impl FnOnce(ort::Error<R>) -> Self {
        move |error| Self::Runtime {
            action,
            reason: error.message().to_owned(),
        }
    }
}
