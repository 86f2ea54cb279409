//! The user's key, with which the program recognizes what it wrote itself for this user: compiled components in the cache, and
//! the state of native environments in checkpoints.
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The bytes of a key.
pub(crate) const BYTES: usize = 32;

/// A key.
pub(crate) type Key = [u8; BYTES];

const NAME: &str = "cache-key";

/// The key in the user's data folder; `None` if there can be none.
pub(crate) fn of_this_user() -> Option<Key> {
    of_user(&dirs::data_dir()?.join("potstill"))
}

/// The tag of `parts` under this name, which only the holder of the key can make. The tag of another name does not do.
pub(crate) fn authenticated<'a>(
    key: &Key,
    name: &str,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Option<Hmac<Sha256>> {
    let mut tag = Hmac::<Sha256>::new_from_slice(key).ok()?.chain_update(name).chain_update([0]);
    for part in parts {
        tag.update(&(part.len() as u64).to_le_bytes());
        tag.update(part);
    }
    Some(tag)
}

/// The key in `folder`, which is made if there is none. `None` if it cannot be made, or if others could have written or
/// read it.
fn of_user(folder: &Path) -> Option<Key> {
    make_private(folder)?;
    let path = folder.join(NAME);
    match read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        read => return read.ok(),
    }
    let mut key = [0; BYTES];
    getrandom::fill(&mut key).ok()?;
    // Only this user can read a temporary file.
    let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
    file.write_all(&key).ok()?;
    match file.persist_noclobber(&path) {
        Ok(_) => Some(key),
        // Another process was faster.
        Err(_) => read(&path).ok(),
    }
}

/// Makes `folder`, if there is none, so that no other user can write to it.
pub(crate) fn make_private(folder: &Path) -> Option<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).ok()
}

fn read(path: &Path) -> std::io::Result<Key> {
    let mut file = open(path)?;
    if !is_private(&file.metadata()?) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let mut key = [0; BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    // A link could lead to a file that this user owns and others know. Opening a pipe must not wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    metadata.is_file() && own && metadata.mode() & 0o077 == 0 && metadata.nlink() == 1
}

#[cfg(not(unix))]
fn is_private(metadata: &fs::Metadata) -> bool {
    // The user's data folder is private by inheritance.
    metadata.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("data/potstill");
        let key = of_user(&own).unwrap();
        assert_eq!(of_user(&own), Some(key));
        assert_ne!(of_user(&folder.path().join("other")), Some(key));
        fs::write(own.join(NAME), "short").unwrap();
        assert_eq!(of_user(&own), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_know_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, kept) = (folder.path().join(NAME), folder.path().join("kept"));
        let key = of_user(folder.path()).unwrap();
        for (mode, expected) in [(0o644, None), (0o620, None), (0o600, Some(key))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(of_user(folder.path()), expected, "{mode:o}");
        }
        fs::hard_link(&path, &kept).unwrap();
        assert_eq!(of_user(folder.path()), None);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&kept, &path).unwrap();
        assert_eq!(of_user(folder.path()), None);
    }
}
