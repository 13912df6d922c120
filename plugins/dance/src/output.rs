// SPDX-License-Identifier: MPL-2.0
//! Files that elements write.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

/// A file that is open for writing.
#[derive(Debug)]
pub(crate) struct Output {
    pub file: File,
    /// Whether it was made here, rather than handed over by whoever started the process.
    pub is_own: bool,
}

/// The descriptor that a path names: `-`, `/dev/stdout`, `/dev/stderr`, `/dev/fd/N`, `/proc/self/fd/N`.
fn descriptor(path: &Path) -> Option<i32> {
    let path = path.to_str()?;
    match path {
        "-" | "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => {
            let number = path
                .strip_prefix("/dev/fd/")
                .or_else(|| path.strip_prefix("/proc/self/fd/"))?;
            // Without a sign or a folder below.
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.parse().ok()).flatten()
        }
    }
}

/// Opens a path for writing: a file is made anew, a descriptor is duplicated.
///
/// To open `/dev/stdout` would be to open the file behind it a second time: it would be cut to nothing, both would write
/// over each other, and a socket, or a file of another user, cannot be opened at all.
///
/// # Errors
/// Those of the system.
pub(crate) fn create(path: &Path) -> io::Result<Output> {
    let Some(number) = descriptor(path) else {
        let file = File::create(path)?;
        return Ok(Output { file, is_own: true });
    };
    // SAFETY: takes numbers only, and fails with EBADF where no descriptor has that number.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the new descriptor is open, and nobody else knows of it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    Ok(Output {
        file: File::from(copy),
        is_own: false,
    })
}

/// Writes a whole file, or to a descriptor.
///
/// # Errors
/// Those of the system.
pub(crate) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    create(path)?.file.write_all(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_descriptors_are_descriptors() {
        for (path, expected) in [
            ("-", Some(1)),
            ("/dev/stdout", Some(1)),
            ("/dev/stderr", Some(2)),
            ("/dev/fd/17", Some(17)),
            ("/proc/self/fd/0", Some(0)),
            ("./-", None),
            ("/dev/fd/", None),
            ("/dev/fd/-1", None),
            ("/dev/fd/+1", None),
            ("/dev/fd/1/x", None),
            ("/dev/fd/99999999999999999999", None),
            ("/dev/null", None),
        ] {
            assert_eq!(descriptor(Path::new(path)), expected, "{path}");
        }
        let err = create(Path::new("/dev/fd/987654")).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::EBADF));
    }
}
