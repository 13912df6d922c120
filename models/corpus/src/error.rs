// SPDX-License-Identifier: MPL-2.0
//! What can be wrong with the sources and the configuration of a corpus.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Why a corpus cannot be made.
#[derive(Clone, Debug)]
pub enum Error {
    /// A source is not where the configuration says.
    Missing {
        /// What kind of source.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A source is there but cannot be used.
    Broken {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The configuration contradicts itself.
    Config(String),
}

impl Error {
    /// That what is at `path` cannot be used.
    pub fn broken(path: &Path, reason: impl Display) -> Self {
        Self::Broken {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { what, path } => write!(f, "{}: no such {what}", path.display()),
            Self::Broken { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Config(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

/// A configuration in a TOML file.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    if !path.is_file() {
        return Err(Error::Missing {
            what: "configuration",
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::broken(path, e))?;
    toml::from_str(&text).map_err(|e| Error::broken(path, e))
}
