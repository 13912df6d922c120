// SPDX-License-Identifier: MPL-2.0
//! Sessions: made as the user asked or not at all, and shared by everybody who asked for the same.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use ort::{
    ep::{self, ExecutionProvider as _},
    session::{Session, builder::SessionBuilder},
};

use crate::{
    error::{Error, Result},
    lock::lock,
    provider::ExecutionProvider,
    providers::{Assignment, Fallback, Providers},
    runtime::{Runtime, user_cache_directory},
    tensorrt::engine_directory,
};

/// How a model is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionConfig {
    /// What it shall run on.
    pub providers: Providers,
    /// Whether a provider that cannot be had, or that would run nothing, is passed over instead of
    /// an error.
    pub allow_fallback: bool,
    /// Which GPU, as CUDA counts them.
    pub device: u32,
    /// Threads that one node is split over; 0 leaves it to ONNX Runtime, which takes one a core.
    pub intra_threads: usize,
    /// Whether threads that wait for work burn their core meanwhile.
    pub spinning: bool,
    /// Where TensorRT keeps the engines it builds; without it, the user's cache directory.
    pub cache_directory: Option<PathBuf>,
}

impl Default for SessionConfig {
    /// The processor, one thread, no spinning: a live pipeline runs a small model a few times a
    /// second, beside much else, and must not heat a core between two runs.
    fn default() -> Self {
        Self {
            providers: Providers::default(),
            allow_fallback: false,
            device: 0,
            intra_threads: 1,
            spinning: false,
            cache_directory: None,
        }
    }
}

/// A session that several users may hold; they run it one after the other.
#[derive(Debug)]
pub(crate) struct SharedSession {
    /// ONNX Runtime means `Run` to be thread-safe, `ort` has seen that it is not with every
    /// provider; so one at a time.
    pub(crate) session: Mutex<Session>,
    pub(crate) assignment: Assignment,
    pub(crate) fallbacks: Vec<Fallback>,
    /// Keeps the environment's owner alive and tells which library this is of.
    pub(crate) runtime: Arc<Runtime>,
}

type Slot = Arc<Mutex<Weak<SharedSession>>>;

/// Sessions by the model's hash and the configuration. Each has a slot with a lock of its own: two
/// users that ask for the same wait for one session, and nobody else waits with them (TensorRT may
/// take minutes).
static SESSIONS: Mutex<Option<HashMap<(String, SessionConfig), Slot>>> = Mutex::new(None);

/// The session for a model, shared if there is one already.
pub(crate) fn session_for(
    runtime: &Arc<Runtime>,
    model: &[u8],
    sha256: &str,
    config: &SessionConfig,
) -> Result<Arc<SharedSession>> {
    let slot = {
        let mut sessions = lock(&SESSIONS);
        let sessions = sessions.get_or_insert_default();
        // Slots that nobody holds and whose session is gone.
        sessions.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot
                    .try_lock()
                    .map_or(true, |session| session.strong_count() > 0)
        });
        sessions
            .entry((sha256.to_owned(), config.clone()))
            .or_default()
            .clone()
    };
    let mut slot = lock(&slot);
    if let Some(session) = slot.upgrade() {
        return Ok(session);
    }
    let session = Arc::new(create(runtime, model, sha256, config)?);
    *slot = Arc::downgrade(&session);
    Ok(session)
}

/// Makes a session with the providers named; see [`Providers`] for what that promises.
fn create(
    runtime: &Arc<Runtime>,
    model: &[u8],
    sha256: &str,
    config: &SessionConfig,
) -> Result<SharedSession> {
    let mut fallbacks = Vec::new();
    let mut wanted: Vec<_> = config.providers.iter().collect();
    let session = loop {
        let mut builder = builder(runtime, config)?;
        let mut refused = Vec::new();
        for &provider in &wanted {
            if let Err(reason) = register(&mut builder, provider, runtime, sha256, config) {
                if !config.allow_fallback {
                    return Err(Error::ProviderUnavailable { provider, reason });
                }
                refused.push(provider);
                fallbacks.push(Fallback { provider, reason });
            }
        }
        wanted.retain(|provider| !refused.contains(provider));

        let error = match builder.commit_from_memory(model) {
            Ok(session) => break session,
            Err(error) => error,
        };
        let accelerator = wanted
            .iter()
            .copied()
            .find(|&provider| provider != ExecutionProvider::Cpu);
        let Some(provider) = accelerator else {
            return Err(bad_model(&error));
        };
        // The model's fault or the provider's? A registered provider may still find no device. The
        // processor takes every sound model, so it is asked.
        let reason = error.message().to_owned();
        if !config.allow_fallback {
            return Err(
                match self::builder(runtime, config)?.commit_from_memory(model) {
                    Ok(_) => Error::ProviderUnavailable { provider, reason },
                    Err(error) => bad_model(&error),
                },
            );
        }
        wanted.retain(|&other| other != provider);
        fallbacks.push(Fallback { provider, reason });
    };

    let assignment = Assignment::of(&session)?;
    let first = config.providers.first();
    if !assignment.serves(first) && !fallbacks.iter().any(|fallback| fallback.provider == first) {
        if !config.allow_fallback {
            return Err(Error::ProviderIdle {
                provider: first,
                assigned: assignment.to_string(),
            });
        }
        fallbacks.push(Fallback {
            provider: first,
            reason: format!("it would run no part of this model ({assignment})"),
        });
    }
    Ok(SharedSession {
        session: Mutex::new(session),
        assignment,
        fallbacks,
        runtime: runtime.clone(),
    })
}

/// The caller, who knows the file, makes [`Error::BadModel`] of it.
fn bad_model(error: &ort::Error) -> Error {
    Error::Runtime {
        action: LOAD_MODEL,
        reason: error.message().to_owned(),
    }
}

pub(crate) const LOAD_MODEL: &str = "load the model";

fn builder(runtime: &Runtime, config: &SessionConfig) -> Result<SessionBuilder> {
    let build = || -> std::result::Result<SessionBuilder, ort::Error> {
        Ok(Session::builder(runtime.environment())?
            .with_intra_threads(config.intra_threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(config.spinning)?
            .with_inter_op_spinning(config.spinning)?
            // Without this the session cannot tell what runs where.
            .with_config_entry("session.record_ep_graph_assignment_info", "1")?)
    };
    build().map_err(Error::runtime("take the session's options"))
}

/// Adds one provider to a session's options, or says why it cannot be had.
fn register(
    builder: &mut SessionBuilder,
    provider: ExecutionProvider,
    runtime: &Runtime,
    sha256: &str,
    config: &SessionConfig,
) -> std::result::Result<(), String> {
    // Only whether this build of ONNX Runtime has it, not whether it would work; but the message
    // can say so better.
    let built_in = match provider {
        ExecutionProvider::Cpu => return Ok(()),
        ExecutionProvider::Cuda => ep::CUDA::is_available(),
        ExecutionProvider::TensorRt => ep::TensorRT::is_available(),
    };
    if !built_in.unwrap_or(false) {
        return Err(format!(
            "ONNX Runtime {} at `{}` was built without it",
            runtime.version(),
            runtime.path().display()
        ));
    }
    let device = i32::try_from(config.device)
        .map_err(|_| format!("there is no device {}", config.device))?;
    let provider = match provider {
        ExecutionProvider::Cpu => return Ok(()),
        ExecutionProvider::Cuda => ep::CUDA::default().with_device_id(device).build(),
        ExecutionProvider::TensorRt => {
            let base = config
                .cache_directory
                .clone()
                .or_else(user_cache_directory)
                .ok_or(
                    "there is no directory for its engines: neither XDG_CACHE_HOME nor HOME is set",
                )?;
            let directory = engine_directory(base, sha256, runtime.version(), config.device);
            std::fs::create_dir_all(&directory).map_err(|error| {
                format!(
                    "cannot make the directory `{}`: {error}",
                    directory.display()
                )
            })?;
            ep::TensorRT::default()
                .with_device_id(device)
                .with_engine_cache(true)
                .with_engine_cache_path(directory.display())
                .with_timing_cache(true)
                .with_timing_cache_path(directory.display())
                .build()
        }
    };
    provider
        .error_on_failure()
        .register(builder)
        .map_err(|error| error.message().to_owned())
}
