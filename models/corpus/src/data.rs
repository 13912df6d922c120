// SPDX-License-Identifier: MPL-2.0
//! Tables that are data: TOML files beside the code, embedded, in which nothing unknown passes.

use crate::Error;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::path::Path;

/// Reads the text of the data file called `file`.
///
/// # Errors
/// [`Error::Broken`] with the file, the line and the key that is missing, unknown or of another type.
pub fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|e| Error::broken(Path::new(file), e.to_string().trim_end()))
}

/// That the value of a key makes no sense: `key` from the top of the file.
pub fn wrong(file: &str, key: impl Display, reason: impl Display) -> Error {
    Error::broken(Path::new(file), format!("{key}: {reason}"))
}

/// Checks that a probability or share is one.
///
/// # Errors
/// As [`wrong`].
pub fn share(file: &str, key: impl Display, value: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(wrong(file, key, format!("{value} is not within 0 … 1")))
    }
}
