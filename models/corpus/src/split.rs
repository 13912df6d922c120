// SPDX-License-Identifier: MPL-2.0
//! The parts of a data set.

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What is learned from.
    Training,
    /// What decides when to stop, and which weights are the best.
    Validation,
    /// What is reported and decides nothing.
    Test,
}

impl Split {
    /// `training`, `validation`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}
