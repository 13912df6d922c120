// SPDX-License-Identifier: MPL-2.0
//! Models: a file, checked against its card and its task, and a session to run it with.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::{
    card::{Card, METADATA_KEY, describe_all},
    error::{Error, Result},
    lock::lock,
    providers::{Assignment, Fallback, Providers},
    runtime::Runtime,
    session::{LOAD_MODEL, SessionConfig, SharedSession, session_for},
    stream::Stream,
};

/// The largest ONNX file: what one protobuf message can be.
const MAX_MODEL_SIZE: u64 = (1 << 31) - 1;

/// The largest card file that is read.
const MAX_CARD_SIZE: u64 = 1 << 20;

/// What loading is at; a GPU can take minutes over the second and third.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// ONNX Runtime reads and optimises the graph; TensorRT builds engines here for graphs of fixed
    /// shapes.
    Building {
        /// What the session is made for.
        providers: Providers,
    },
    /// A run on zeros, so that the first real one is as fast as the others; TensorRT builds engines
    /// here for graphs of open shapes.
    WarmingUp {
        /// This run, from 0.
        run: usize,
        /// Of so many.
        runs: usize,
    },
    /// Done.
    Ready,
}

/// A model's file, read and hashed, and its card's file, if there is one: what can be checked
/// without ONNX Runtime.
pub struct ModelFile {
    path: PathBuf,
    bytes: Vec<u8>,
    sha256: String,
    task: String,
    card: Option<Card>,
}

impl fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFile")
            .field("path", &self.path)
            .field("size", &self.bytes.len())
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl ModelFile {
    /// Reads `path` and the card beside it, `NAME.toml`, and checks the hash, and that `task` is
    /// what the card says.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::BadModel`] for an empty file, [`Error::BadCard`],
    /// [`Error::WrongHash`], [`Error::WrongTask`].
    pub fn open(path: &Path, task: &str) -> Result<Self> {
        let bytes = read(path, MAX_MODEL_SIZE)?;
        if bytes.is_empty() {
            return Err(Error::BadModel {
                path: path.to_owned(),
                size: 0,
                reason: "it is empty".to_owned(),
            });
        }
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();

        let card_path = path.with_extension("toml");
        let card = if card_path != path && card_path.exists() {
            let text = String::from_utf8(read(&card_path, MAX_CARD_SIZE)?).map_err(|_| {
                Error::BadCard {
                    path: card_path.clone(),
                    reason: "it is not UTF-8 text".to_owned(),
                }
            })?;
            let card = Card::parse(&text, &card_path)?;
            let expected = card.sha256.as_deref().ok_or_else(|| Error::BadCard {
                path: card_path.clone(),
                reason: "it has no `sha256` of its model".to_owned(),
            })?;
            if !expected.eq_ignore_ascii_case(&sha256) {
                return Err(Error::WrongHash {
                    path: path.to_owned(),
                    card: card_path,
                    found: sha256,
                    expected: expected.to_owned(),
                });
            }
            check_task(&card, path, task)?;
            Some(card)
        } else {
            None
        };
        Ok(Self {
            path: path.to_owned(),
            bytes,
            sha256,
            task: task.to_owned(),
            card,
        })
    }

    /// SHA-256 of the model, in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The card's file; a model without one still has the card in its metadata, which only
    /// [`load`](Self::load) reads.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// Makes a session, or joins that of another user of the same model and configuration, and
    /// checks card, metadata and graph against each other.
    ///
    /// # Errors
    /// [`Error::BadModel`] if the file is corrupt or not ONNX, [`Error::ProviderUnavailable`] and
    /// [`Error::ProviderIdle`] if the configuration cannot be met, [`Error::NoCard`],
    /// [`Error::BadCard`], [`Error::CardMismatch`] and [`Error::WrongTask`] if the model is not
    /// what is needed.
    pub fn load(
        self,
        runtime: &Arc<Runtime>,
        config: &SessionConfig,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Model> {
        progress(Progress::Building {
            providers: config.providers.clone(),
        });
        let shared =
            session_for(runtime, &self.bytes, &self.sha256, config).map_err(
                |error| match error {
                    Error::Runtime {
                        action: LOAD_MODEL,
                        reason,
                    } => Error::BadModel {
                        path: self.path.clone(),
                        size: self.bytes.len() as u64,
                        reason,
                    },
                    error => error,
                },
            )?;
        let card = {
            let session = lock(&shared.session);
            let metadata = session
                .metadata()
                .map_err(Error::runtime("read the model's metadata"))?
                .custom(METADATA_KEY)
                .ok_or_else(|| Error::NoCard {
                    path: self.path.clone(),
                    key: METADATA_KEY,
                    task: self.task.clone(),
                    graph: format!(
                        "inputs {}; outputs {}",
                        describe_all(session.inputs()),
                        describe_all(session.outputs())
                    ),
                })?;
            let card = Card::parse(&metadata, &self.path)?;
            let mismatch = |reason| Error::CardMismatch {
                path: self.path.clone(),
                reason,
            };
            if let Some(difference) = self.card.as_ref().and_then(|file| file.difference(&card)) {
                return Err(mismatch(difference));
            }
            check_task(&card, &self.path, &self.task)?;
            card.check_graph(session.inputs(), session.outputs())
                .map_err(mismatch)?;
            card
        };
        Ok(Model {
            path: self.path,
            sha256: self.sha256,
            card: Arc::new(self.card.unwrap_or(card)),
            shared,
        })
    }
}

fn check_task(card: &Card, path: &Path, task: &str) -> Result<()> {
    if card.task == task {
        return Ok(());
    }
    Err(Error::WrongTask {
        path: path.to_owned(),
        found: card.task.clone(),
        expected: task.to_owned(),
    })
}

/// Reads a whole regular file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let unreadable = |reason: String| Error::Unreadable {
        path: path.to_owned(),
        reason,
    };
    // Not opened before it is known to be a file: opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    let too_large = |size: u64| unreadable(format!("it has {size} bytes; {limit} is the most"));
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    let size = bytes.len() as u64;
    if size > limit {
        Err(too_large(size))
    } else {
        Ok(bytes)
    }
}

/// A model that is loaded and checked. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Model {
    path: PathBuf,
    sha256: String,
    card: Arc<Card>,
    shared: Arc<SharedSession>,
}

impl Model {
    /// [`ModelFile::open`] and [`ModelFile::load`] in one.
    ///
    /// # Errors
    /// As those two.
    pub fn load(
        runtime: &Arc<Runtime>,
        path: &Path,
        task: &str,
        config: &SessionConfig,
    ) -> Result<Self> {
        ModelFile::open(path, task)?.load(runtime, config, &mut |_| ())
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of that file, in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its card: that of the file if there is one, else that of the metadata, which says the same.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The provider that runs the most nodes of the graph: what the property
    /// `active-execution-provider` says.
    #[must_use]
    pub fn active_execution_provider(&self) -> &str {
        self.shared.assignment.main_provider()
    }

    /// How many nodes run on which provider.
    #[must_use]
    pub fn assignment(&self) -> &Assignment {
        &self.shared.assignment
    }

    /// The providers that were named and are not used, which only a configuration that allows it
    /// leaves so; worth a warning to the user.
    #[must_use]
    pub fn fallbacks(&self) -> &[Fallback] {
        &self.shared.fallbacks
    }

    /// The ONNX Runtime it runs on.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// Whether both run on one session.
    #[must_use]
    pub fn shares_session_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A user of the model with tensors and state of its own; `sizes` gives every axis its length
    /// that the card only names.
    ///
    /// # Errors
    /// [`Error::BadSize`] if one is missing, unknown or zero; [`Error::BadTensor`] for an element
    /// type that cannot be fed from here; [`Error::Runtime`] if there is no memory.
    pub fn stream(&self, sizes: &[(&str, usize)]) -> Result<Stream> {
        Stream::new(self.card.clone(), self.shared.clone(), sizes)
    }

    /// Runs the model `runs` times on zeros of these sizes, so that the first real run is as fast
    /// as the others.
    ///
    /// # Errors
    /// As [`stream`](Self::stream) and [`Stream::run`], but zeros in may be no numbers out.
    pub fn warm_up(
        &self,
        sizes: &[(&str, usize)],
        runs: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let mut stream = self.stream(sizes)?;
        for run in 0..runs {
            progress(Progress::WarmingUp { run, runs });
            match stream.run() {
                Ok(()) | Err(Error::NotANumber { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        progress(Progress::Ready);
        Ok(())
    }
}
