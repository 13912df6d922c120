// SPDX-License-Identifier: MPL-2.0
//! Finds the shared library of ONNX Runtime and makes sure that it is new enough, before `ort` sees
//! it.

use std::{
    ffi::{CStr, OsStr, OsString},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    version::{Fault, MINIMUM_VERSION, Version},
};

/// The newest minor version whose library is looked for under its own name,
/// `libonnxruntime.so.1.N`, as Debian names it; newer ones are still found under the plain names.
const NEWEST_NAMED_MINOR: u32 = 60;

/// A library that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The file, absolute, links resolved.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

/// Where to look for the library, in this order. What the user named must do: an explicit path that
/// fails is an error, and nothing else is tried in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The property `onnxruntime-library`.
    pub property: Option<PathBuf>,
    /// The environment variable `ORT_DYLIB_PATH`.
    pub environment: Option<PathBuf>,
    /// The directory of the plugin.
    pub beside: Option<PathBuf>,
    /// Whether the dynamic linker's own directories are searched.
    pub system: bool,
}

impl Search {
    /// The search an element makes: `property` (nothing if empty), `ORT_DYLIB_PATH`, the directory
    /// of the shared object this code is in, the system.
    #[must_use]
    pub fn new(property: Option<&Path>) -> Self {
        let given = |path: &Path| !path.as_os_str().is_empty();
        Self {
            property: property.filter(|path| given(path)).map(Path::to_owned),
            environment: std::env::var_os("ORT_DYLIB_PATH")
                .map(PathBuf::from)
                .filter(|path| given(path)),
            beside: own_directory(),
            system: true,
        }
    }

    /// Finds the library and checks it.
    ///
    /// # Errors
    /// [`Error::LibraryUnusable`] if one was named and will not do, [`Error::LibraryNotFound`] if
    /// none was named and none was found.
    pub fn find(&self) -> Result<Library> {
        let named = [
            (&self.property, "the property onnxruntime-library"),
            (&self.environment, "the environment variable ORT_DYLIB_PATH"),
        ];
        for (path, origin) in named {
            if let Some(path) = path {
                return check_file(path).map_err(|fault| Error::LibraryUnusable {
                    path: path.clone(),
                    origin,
                    fault,
                });
            }
        }

        let mut searched = Vec::new();
        if let Some(directory) = &self.beside {
            let files = libraries_in(directory);
            if files.is_empty() {
                searched.push(format!(
                    "`{}` has no libonnxruntime.so*",
                    directory.display()
                ));
            }
            for file in files {
                match check_file(&file) {
                    Ok(library) => return Ok(library),
                    Err(fault) => searched.push(format!("`{}`: {fault}", file.display())),
                }
            }
        }
        if self.system {
            let mut found = false;
            for name in system_names() {
                match check(name.as_ref()) {
                    Ok(library) => return Ok(library),
                    Err(Fault::Missing) => {}
                    Err(fault) => {
                        found = true;
                        searched.push(format!("`{name}` of the system: {fault}"));
                    }
                }
            }
            if !found {
                searched.push("the system's directories have no libonnxruntime.so*".to_owned());
            }
        }
        Err(Error::LibraryNotFound {
            searched: if searched.is_empty() {
                "nowhere".to_owned()
            } else {
                searched.join("; ")
            },
        })
    }
}

/// Every `libonnxruntime.so*` in a directory: the plain name first, then the newest version first.
fn libraries_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<(Option<Vec<u32>>, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let suffix = name.to_str()?.strip_prefix("libonnxruntime.so")?;
            let numbers = if suffix.is_empty() {
                None
            } else {
                // None would be the plain name; a suffix that is no version (`.bak`) is no library
                // of ours.
                Some(
                    suffix
                        .strip_prefix('.')?
                        .split('.')
                        .map(|part| part.parse().ok())
                        .collect::<Option<Vec<u32>>>()?,
                )
            };
            Some((numbers, entry.path()))
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| match (a, b) {
        (None, _) | (_, None) => a.is_some().cmp(&b.is_some()),
        (Some(a), Some(b)) => b.cmp(a),
    });
    files.into_iter().map(|(_, path)| path).collect()
}

/// The names under which distributions install the library: upstream's, the development link,
/// Debian's.
fn system_names() -> impl Iterator<Item = String> {
    let named = (MINIMUM_VERSION.minor..=NEWEST_NAMED_MINOR)
        .rev()
        .map(|minor| format!("libonnxruntime.so.1.{minor}"));
    [
        "libonnxruntime.so.1".to_owned(),
        "libonnxruntime.so".to_owned(),
    ]
    .into_iter()
    .chain(named)
}

/// Checks a file that was named by its path, without loading what cannot be a library.
fn check_file(path: &Path) -> std::result::Result<Library, Fault> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::NotLoadable(error.to_string()),
    };
    // An absolute path: the dynamic linker would search its own directories for a bare file name.
    let path = std::fs::canonicalize(path).map_err(unreadable)?;
    if path.is_dir() {
        return Err(Fault::Directory);
    }
    if cfg!(target_os = "linux") {
        let file = File::open(&path).map_err(unreadable)?;
        check_elf(&file)
            .map_err(unreadable)?
            .map_err(|reason| Fault::NotLoadable(reason.to_owned()))?;
    }
    check(path.as_os_str())
}

/// Checks that a file is ELF, and as long as it says it is: the dynamic linker maps the segments of
/// a file that was cut short all the same, and the process dies of SIGBUS at the first touch of
/// what is missing.
///
/// Layout: System V ABI, chapters 4 (ELF header) and 5 (program header), 64 bits; the rest is the
/// linker's to judge.
fn check_elf(file: &File) -> std::io::Result<std::result::Result<(), &'static str>> {
    const LOAD_SEGMENT: u32 = 1;
    const CUT_SHORT: &str = "the file was cut short";
    let field = |bytes: &[u8], at: usize, size: usize| -> u64 {
        let bytes = bytes.iter().skip(at).take(size);
        if cfg!(target_endian = "big") {
            bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
        } else {
            bytes
                .rev()
                .fold(0, |value, &byte| value << 8 | u64::from(byte))
        }
    };

    let mut header = Vec::new();
    file.take(64).read_to_end(&mut header)?;
    if !header.starts_with(b"\x7fELF") {
        return Ok(Err("it is not an ELF file"));
    }
    let sixty_four_bits = header.get(4) == Some(&2);
    if !sixty_four_bits {
        return Ok(if header.len() < 52 {
            Err(CUT_SHORT)
        } else {
            Ok(())
        });
    }
    let length = file.metadata()?.len();
    let (offset, size, count) = (
        field(&header, 0x20, 8),
        field(&header, 0x36, 2),
        field(&header, 0x38, 2),
    );
    // Both factors are 16 bits, so this product cannot overflow.
    if header.len() < 64 || offset.saturating_add(size * count) > length {
        return Ok(Err(CUT_SHORT));
    }
    if size < 56 {
        return Ok(Err("its ELF header is corrupt"));
    }
    let mut table = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.take(size * count).read_to_end(&mut table)?;
    let entry = usize::try_from(size).unwrap_or(usize::MAX);
    let complete = table
        .chunks_exact(entry)
        .filter(|entry| field(entry, 0, 4) == u64::from(LOAD_SEGMENT))
        .all(|entry| field(entry, 0x08, 8).saturating_add(field(entry, 0x20, 8)) <= length);
    Ok(if complete { Ok(()) } else { Err(CUT_SHORT) })
}

/// Loads a library, by absolute path or by a name the dynamic linker searches for, and asks for its
/// version.
///
/// `ort` panics at the first use of a library that is too old, and such a library prints to the
/// standard error when asked for an interface it lacks; so the version is read first, and the
/// interface asked for only then.
fn check(name: &OsStr) -> std::result::Result<Library, Fault> {
    // SAFETY: loading runs the library's initialisers. The user or the system names this file as
    // ONNX Runtime, whose initialisers need nothing from us; there is no way to look inside without
    // loading.
    let library =
        unsafe { libloading::Library::new(name) }.map_err(|error| linker_fault(name, &error))?;
    // SAFETY: OrtGetApiBase has had this signature since the first release with a C interface.
    let get_base = unsafe {
        library
            .get::<unsafe extern "system" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase\0")
    }
    .map_err(|_| Fault::NotOnnxRuntime)?;
    // SAFETY: the function takes nothing and returns a pointer to a static or null.
    let base = unsafe { get_base().as_ref() }.ok_or(Fault::NotOnnxRuntime)?;
    // SAFETY: both entries of the base are set in every release.
    let text = unsafe { (base.GetVersionString)() };
    if text.is_null() {
        return Err(Fault::StrangeVersion(String::new()));
    }
    // SAFETY: not null, and documented as a null-terminated string that lives as long as the
    // library.
    let text = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    let version = text
        .parse::<Version>()
        .ok()
        .filter(|version| version.major == MINIMUM_VERSION.major)
        .ok_or(Fault::StrangeVersion(text))?;
    if version < MINIMUM_VERSION {
        return Err(Fault::TooOld(version));
    }
    // SAFETY: takes any number and answers with null if it does not know it.
    if unsafe { (base.GetApi)(ort::MINOR_VERSION) }.is_null() {
        return Err(Fault::NoInterface(version));
    }
    let path = file_of(std::ptr::from_ref(base).cast()).unwrap_or_else(|| PathBuf::from(name));
    Ok(Library { path, version })
}

/// Tells "not there" from "there, but will not load"; the dynamic linker says both in prose. When
/// it is a library that this one needs that is missing, the message begins with the name of that
/// one.
fn linker_fault(name: &OsStr, error: &libloading::Error) -> Fault {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        text = source.to_string();
    }
    let missing = text.contains("cannot open shared object file: No such file");
    if missing
        && text
            .trim_start()
            .starts_with(name.to_string_lossy().as_ref())
    {
        Fault::Missing
    } else {
        Fault::NotLoadable(text)
    }
}

/// The directory of the shared object (or program) that this code was linked into, links resolved:
/// of the plugin.
#[must_use]
pub fn own_directory() -> Option<PathBuf> {
    file_of(own_directory as *const libc::c_void)?
        .parent()
        .map(Path::to_owned)
}

/// The file that the memory at `address` was mapped from.
fn file_of(address: *const libc::c_void) -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr takes any address and only writes to `info`.
    if unsafe { libc::dladdr(address, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: zeroed is a valid value of this plain structure, and dladdr succeeded.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr succeeded: a null-terminated string owned by the dynamic linker.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let name: OsString = std::os::unix::ffi::OsStringExt::from_vec(name.to_bytes().to_vec());
    std::fs::canonicalize(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_a_directory_come_plain_first_then_newest() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.24.1",
            "libonnxruntime.so",
            "libonnxruntime.so.bak",
            "libonnxruntime_providers_shared.so",
        ] {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = libraries_in(directory.path())
            .into_iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "libonnxruntime.so",
                "libonnxruntime.so.1.24.1",
                "libonnxruntime.so.1.9.0"
            ]
        );
    }

    #[test]
    fn own_directory_is_that_of_the_running_object() {
        let expected = std::env::current_exe().unwrap();
        assert_eq!(
            own_directory().as_deref(),
            std::fs::canonicalize(expected).unwrap().parent()
        );
    }
}
