// SPDX-License-Identifier: MPL-2.0
//! The one ONNX Runtime of the process, and its log.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use ort::environment::Environment;

use crate::{
    error::{Error, Result},
    library::{Library, Search},
    lock::lock,
    version::Version,
};

/// How grave a message of ONNX Runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// Everything, for the people who write ONNX Runtime.
    Verbose,
    /// What it does.
    Info,
    /// What may be wrong; the default.
    Warning,
    /// What is wrong.
    Error,
    /// What it cannot go on from.
    Fatal,
}

impl From<LogLevel> for ort::logging::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Verbose => Self::Verbose,
            LogLevel::Info => Self::Info,
            LogLevel::Warning => Self::Warning,
            LogLevel::Error => Self::Error,
            LogLevel::Fatal => Self::Fatal,
        }
    }
}

impl From<ort::logging::LogLevel> for LogLevel {
    fn from(level: ort::logging::LogLevel) -> Self {
        match level {
            ort::logging::LogLevel::Verbose => Self::Verbose,
            ort::logging::LogLevel::Info => Self::Info,
            ort::logging::LogLevel::Warning => Self::Warning,
            ort::logging::LogLevel::Error => Self::Error,
            ort::logging::LogLevel::Fatal => Self::Fatal,
        }
    }
}

/// One message of ONNX Runtime.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// How grave it is.
    pub level: LogLevel,
    /// Its part of ONNX Runtime, usually `onnxruntime`.
    pub category: &'a str,
    /// File, line and function there.
    pub location: &'a str,
    /// The message.
    pub message: &'a str,
}

/// Takes the log of ONNX Runtime, from any thread. It must not panic, nor call into this crate.
pub type LogSink = dyn Fn(LogRecord<'_>) + Send + Sync;

// The first logger that ONNX Runtime is given stays for the life of the process, so it is given one
// that never changes, and what changes is here.
static LOG_SINK: Mutex<Option<Arc<LogSink>>> = Mutex::new(None);
static LOG_LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Warning as u8);

/// Sends the log of ONNX Runtime to `sink` from now on; without one it goes to `tracing`.
pub fn set_log_sink(sink: Option<Arc<LogSink>>) {
    *lock(&LOG_SINK) = sink;
}

/// Sets from which level on messages are made. A session keeps the level at which it was created.
pub fn set_log_level(level: LogLevel) {
    LOG_LEVEL.store(level as u8, Ordering::Relaxed);
    if let Some(runtime) = lock(&RUNTIME).as_ref() {
        runtime.environment.set_log_level(level.into());
    }
}

fn log_level() -> LogLevel {
    match LOG_LEVEL.load(Ordering::Relaxed) {
        0 => LogLevel::Verbose,
        1 => LogLevel::Info,
        2 => LogLevel::Warning,
        3 => LogLevel::Error,
        _ => LogLevel::Fatal,
    }
}

fn log(level: ort::logging::LogLevel, category: &str, location: &str, message: &str) {
    let level = LogLevel::from(level);
    // The environment starts at its most talkative, before a level can be set.
    if level < log_level() {
        return;
    }
    // Cloned, so that a sink may be replaced while another thread is in it.
    let sink = lock(&LOG_SINK).clone();
    match sink {
        Some(sink) => sink(LogRecord {
            level,
            category,
            location,
            message,
        }),
        None => match level {
            LogLevel::Verbose => tracing::trace!(target: "onnxruntime", location, "{message}"),
            LogLevel::Info => tracing::info!(target: "onnxruntime", location, "{message}"),
            LogLevel::Warning => tracing::warn!(target: "onnxruntime", location, "{message}"),
            LogLevel::Error | LogLevel::Fatal => {
                tracing::error!(target: "onnxruntime", location, "{message}")
            }
        },
    }
}

// Never dropped: ONNX Runtime cannot be unloaded and loaded again in one process, and a static's
// destructor does not run, so its environment outlives every session.
static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

/// ONNX Runtime, loaded, checked, and set up; there is one in a process.
#[derive(Debug)]
pub struct Runtime {
    library: Library,
    environment: Environment,
}

impl Runtime {
    /// The ONNX Runtime of this process, loaded by the first call that succeeds.
    ///
    /// A call that fails leaves nothing behind: name another library and call again. Once one is
    /// loaded it stays, and later calls return it, wherever their search would have led, unless
    /// they name another file by property.
    ///
    /// # Errors
    /// [`Error::LibraryNotFound`] and [`Error::LibraryUnusable`] as [`Search::find`],
    /// [`Error::OtherLibrary`] if another file was named than the one that is loaded,
    /// [`Error::Runtime`] if ONNX Runtime fails to start.
    pub fn get(search: &Search) -> Result<Arc<Self>> {
        let mut runtime = lock(&RUNTIME);
        if let Some(runtime) = runtime.as_ref() {
            if let Some(wanted) = &search.property
                && std::fs::canonicalize(wanted).ok().as_ref() != Some(&runtime.library.path)
            {
                // Its own fault first: "too old" says more than "another one".
                let wanted = Search {
                    property: Some(wanted.clone()),
                    ..Search::default()
                }
                .find()?
                .path;
                return Err(Error::OtherLibrary {
                    loaded: runtime.library.path.clone(),
                    wanted,
                });
            }
            return Ok(runtime.clone());
        }

        let library = search.find()?;
        let environment = ort::init_from(&library.path)
            .map_err(|error| Error::Runtime {
                action: "load",
                reason: error.to_string(),
            })?
            .with_name("gst-dance")
            .with_telemetry(false)
            .with_logger(Arc::new(
                |level, category: &str, _id: &str, location: &str, message: &str| {
                    log(level, category, location, message);
                },
            ))
            .build()
            .map_err(Error::runtime("start"))?;
        environment.set_log_level(log_level().into());
        Ok(runtime
            .insert(Arc::new(Self {
                library,
                environment,
            }))
            .clone())
    }

    /// The ONNX Runtime of this process, if one is loaded already.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        lock(&RUNTIME).clone()
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.library.path
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.library.version
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The directory for what can be made again: `$XDG_CACHE_HOME/gst-dance`, or `~/.cache/gst-dance`.
#[must_use]
pub fn user_cache_directory() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .and_then(absolute)
        .or_else(|| Some(absolute(PathBuf::from(std::env::var_os("HOME")?))?.join(".cache")))?;
    Some(base.join("gst-dance"))
}
