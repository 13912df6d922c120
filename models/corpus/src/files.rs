//! Files that are there whole or not at all.

use anyhow::{Context, Result, anyhow};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

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
