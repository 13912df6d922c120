// SPDX-License-Identifier: MPL-2.0
//! Versions of ONNX Runtime, and what can be wrong with a library of it.

use std::{fmt, str::FromStr};

/// The oldest ONNX Runtime that will do: the first that tells which provider each node was given
/// to.
pub const MINIMUM_VERSION: Version = Version {
    major: 1,
    minor: ort::MINOR_VERSION,
    patch: 0,
};

/// A version of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Always 1 so far.
    pub major: u32,
    /// Counts the releases; the version of the C interface too.
    pub minor: u32,
    /// Counts the repairs of a release.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads `1.24.1`, and `1.25.0-dev` or `1.25.0+local` as 1.25.0.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let numbers = text.split(['-', '+']).next().unwrap_or(text);
        let mut parts = numbers
            .split('.')
            .map(|part| part.parse::<u32>().map_err(|_| ()));
        let version = Self {
            major: parts.next().ok_or(())??,
            minor: parts.next().ok_or(())??,
            patch: parts.next().unwrap_or(Ok(0))?,
        };
        Ok(version)
    }
}

/// Why a file is no usable ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is nothing there.
    #[error("there is no such file")]
    Missing,
    /// There is a directory; the library's file was wanted.
    #[error("it is a directory; the library's file is needed (libonnxruntime.so…)")]
    Directory,
    /// The dynamic linker would not load it, with its words.
    #[error("it is not a shared library that can be loaded here: {0}")]
    NotLoadable(String),
    /// It loads, but is some other library.
    #[error("it is a shared library, but not ONNX Runtime: it does not export OrtGetApiBase")]
    NotOnnxRuntime,
    /// It is ONNX Runtime, of a version that says nothing to us.
    #[error(
        "it calls itself ONNX Runtime `{0}`, which is no version known here; {MINIMUM_VERSION} or newer is needed"
    )]
    StrangeVersion(String),
    /// It is an ONNX Runtime from before the minimum.
    #[error("it is ONNX Runtime {0}, too old; {MINIMUM_VERSION} or newer is needed")]
    TooOld(Version),
    /// The version would do, but the library has no such interface: a reduced or broken build.
    #[error(
        "it is ONNX Runtime {0}, but does not offer version {api} of the C interface",
        api = ort::MINOR_VERSION
    )]
    NoInterface(Version),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered_by_number() {
        let version = |text: &str| text.parse::<Version>();
        assert_eq!(
            version("1.24.1"),
            Ok(Version {
                major: 1,
                minor: 24,
                patch: 1
            })
        );
        assert_eq!(
            version("1.25.0-dev+3f2a"),
            Ok(Version {
                major: 1,
                minor: 25,
                patch: 0
            })
        );
        assert_eq!(version("1.24"), Ok(MINIMUM_VERSION));
        assert!(version("1.9.0").unwrap() < version("1.24.0").unwrap());
        for strange in ["", "1", "one.two", "1.x.3", "1.24.x", "-1.2"] {
            assert_eq!(version(strange), Err(()), "{strange:?}");
        }
    }
}
