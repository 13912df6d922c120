// SPDX-License-Identifier: MPL-2.0
//! Files that are there whole or not at all, and folders of them.

use crate::Error;
use anyhow::{Context, Result, anyhow};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file under another name, and gives it its own only when every byte is on the disk: a
/// kill or a full disk leaves what was there before.
///
/// # Errors
/// Saying so when the disk is full.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?
        .to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // What is half written would only take more room; that it cannot be removed is secondary.
        let _ = fs::remove_file(&temporary);
        if error.kind() == io::ErrorKind::StorageFull {
            anyhow!(
                "the disk is full: {} ({} bytes) was not written, and what was there before still is",
                path.display(),
                bytes.len()
            )
        } else {
            anyhow!("cannot write {}: {error}", path.display())
        }
    })
}

/// Writes red, green and blue, row by row, as a PNG.
///
/// # Errors
/// As [`write`], and when there are not three bytes for each of the `width` × `height` pixels.
pub fn write_png(path: &Path, width: usize, height: usize, pixels: &[u8]) -> Result<()> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    write(path, &bytes)
}

/// Files of a folder and the folders in it that have one of some endings, sorted.
///
/// # Errors
/// [`Error::Missing`] without the folder, [`Error::Broken`] when it cannot be read or has none.
pub(crate) fn list(
    folder: &Path,
    what: &'static str,
    endings: &[&str],
) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() {
        return Err(Error::Missing {
            what,
            path: folder.to_owned(),
        });
    }
    let (mut out, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(here) = open.pop() {
        let failed = |e| Error::broken(&here, e);
        for entry in fs::read_dir(&here).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // Links to folders are not followed: they may lead round in a circle.
            if entry.file_type().map_err(failed)?.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| endings.iter().any(|x| e.eq_ignore_ascii_case(x)))
            {
                out.push(path);
            }
        }
    }
    if out.is_empty() {
        return Err(Error::broken(
            folder,
            format!("no {} in it", endings.join(", ")),
        ));
    }
    out.sort();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_harms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.safetensors");
        write(&path, b"good").unwrap();
        // The device that is always full takes the place of the file about to be written.
        std::os::unix::fs::symlink("/dev/full", dir.path().join("last.safetensors.tmp")).unwrap();
        let error = write(&path, &[0; 10_000]).unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
