//! Files that appear whole or not at all.
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{IoContext, Result};

/// Writes `path` through a temporary file beside it: `fill` writes, then the file is synced and renamed.
/// If anything fails, what was at `path` before is untouched and the temporary file is gone.
///
/// # Errors
/// [`crate::error::Error::Io`] naming `path`.
pub(super) fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    write(path, Durability::Disk, fill)
}

/// What a file that was written outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// The process, however it ends. After a power failure the file may be torn.
    Process,
    /// The machine.
    Disk,
}

/// As [`write_atomically`], waiting for the disk only where `durability` asks for it.
pub(super) fn write(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let temporary = temporary_beside(path);
    let written = write_and_rename(&temporary, path, durability, fill);
    if written.is_err() {
        // The write's own error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written.at(path)
}

fn write_and_rename(
    temporary: &Path,
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut writer = BufWriter::new(File::create_new(temporary)?);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(|e| e.into_error())?;
    if durability == Durability::Disk {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(temporary, path)?;
    if durability == Durability::Disk {
        sync_folder(path);
    }
    Ok(())
}

/// Makes the rename itself durable. Some file systems cannot sync a folder; the file is whole either way.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    {
        let _ = folder.sync_all();
    }
}

fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

/// Whether `name` is a temporary file of [`write_atomically`], left by a process that was killed.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |w| w.write_all(b"first")).unwrap();
        let full = write_atomically(&path, |w| {
            w.write_all(b"half of the sec")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        });
        assert!(matches!(&full, Err(Error::Io { path: p, .. }) if *p == path), "{full:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
