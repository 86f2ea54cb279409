//! Files that appear whole or not at all.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{IoContext, Result};

/// Writes `path` through a temporary file beside it: `fill` writes, then the file is synced and renamed.
/// If anything fails, what was at `path` before is untouched and the temporary file is gone.
///
/// # Errors
/// [`crate::error::Error::Io`] naming `path`.
pub(crate) fn write_atomically(
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
    try_write(path, durability, fill).at(path)
}

fn try_write(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Dropped before it is persisted, it removes its file. Opened by the standard library, it has the permissions of
    // any new file.
    let mut temporary = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(TEMPORARY)
        .make_in(folder_of(path), |name| File::create_new(name))?;
    let mut writer = BufWriter::new(temporary.as_file_mut());
    fill(&mut writer)?;
    writer.into_inner().map_err(|e| e.into_error())?;
    if durability == Durability::Disk {
        temporary.as_file().sync_all()?;
    }
    temporary.persist(path).map_err(|e| e.error)?;
    if durability == Durability::Disk {
        sync_folder(path);
    }
    Ok(())
}

/// Where the names of temporary files end.
const TEMPORARY: &str = ".tmp";

/// The folder of `path`, which is this one for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the rename itself durable. Some file systems cannot sync a folder; the file is whole either way.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

/// Whether `name` is a temporary file of [`write_atomically`], left by a process that was killed.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(TEMPORARY)
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    /// Others may read it, unless the user's mask says otherwise.
    #[cfg(unix)]
    #[test]
    fn it_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, path) = (folder.path().join("plain"), folder.path().join("file"));
        fs::write(&plain, b"").unwrap();
        write_atomically(&path, |w| w.write_all(b"")).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn temporary_files_are_known_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        write_atomically(&folder.path().join("file"), |_| {
            let names: Vec<_> =
                fs::read_dir(folder.path())?.map(|entry| entry.unwrap().file_name()).collect();
            assert!(matches!(&names[..], [name] if is_temporary(&name.to_string_lossy())), "{names:?}");
            Ok(())
        })
        .unwrap();
        assert!(!is_temporary("file") && folder.path().join("file").exists());
    }
}
