// SPDX-License-Identifier: MPL-2.0
//! What synthetic bands play from: styles and patterns, read once.

use super::patterns::{self, Pattern};
use super::styles::{self, Style};
use crate::Error;
use std::sync::LazyLock;

/// Styles and patterns.
#[derive(Debug)]
pub struct Repertoire {
    /// The styles of music.
    pub styles: Vec<Style>,
    /// The drum patterns.
    pub patterns: Vec<Pattern>,
}

impl Repertoire {
    /// What ships.
    ///
    /// # Errors
    /// Naming the data file and the key that is wrong.
    pub fn shipped() -> Result<&'static Self, Error> {
        static SHIPPED: LazyLock<Result<Repertoire, Error>> = LazyLock::new(|| {
            let patterns = patterns::read()?;
            Ok(Repertoire {
                styles: styles::read(&patterns)?,
                patterns,
            })
        });
        SHIPPED.as_ref().map_err(Clone::clone)
    }
}
