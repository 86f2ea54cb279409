//! A cache of compiled components on disk, so that each plugin is compiled once per machine.
//!
//! Compiled code runs with the host's rights, so the cache reads only files that nobody but this user can have written:
//! it makes its folder private, and does not use one that others can write to. A file contains its own hash, because a
//! damaged one must never run and is compiled again. An error in the cache only costs time.
use std::path::{Path, PathBuf};
use std::{fs, io::Write};

use sha2::{Digest, Sha256};

/// The cache's folder, and the hash of everything except the plugin that determines the compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    compiler: [u8; 32],
}

impl Cache {
    /// Opens the cache in `POTSTILL_CACHE`, or in `potstill` in the user's cache folder. `None` if it cannot be used.
    pub(super) fn open(engine: &wasmtime::Engine) -> Option<Self> {
        let folder = match std::env::var_os("POTSTILL_CACHE") {
            Some(folder) if folder.is_empty() => return None,
            Some(folder) => PathBuf::from(folder),
            None => dirs::cache_dir()?.join("potstill"),
        };
        Self::at(folder.join("wasm"), engine)
    }

    pub(super) fn at(folder: PathBuf, engine: &wasmtime::Engine) -> Option<Self> {
        make_private(&folder)?;
        let mut hash = HashOfHash(Sha256::new());
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hash);
        hash.0.update(env!("CARGO_PKG_VERSION"));
        Some(Cache { folder, compiler: hash.0.finalize().into() })
    }

    /// The code that [`Cache::put`] stored for this plugin and compiler.
    pub(super) fn get(&self, plugin: &[u8; 32]) -> Option<Vec<u8>> {
        let path = self.path(plugin);
        if !is_private(&path) {
            return None;
        }
        let mut file = fs::read(path).ok()?;
        let (hash, code) = file.split_at_checked(32)?;
        if hash != Sha256::digest(code).as_slice() {
            return None;
        }
        file.drain(..32);
        Some(file)
    }

    /// Stores `code`, completely or not at all.
    pub(super) fn put(&self, plugin: &[u8; 32], code: &[u8]) {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&Sha256::digest(code))?;
            file.write_all(code)?;
            file.persist(self.path(plugin))?;
            Ok(())
        };
        // If the disk is full or read-only, the next start compiles again.
        let _ = write();
    }

    fn path(&self, plugin: &[u8; 32]) -> PathBuf {
        let key = Sha256::new().chain_update(self.compiler).chain_update(plugin).finalize();
        self.folder.join(format!("{}.cwasm", hex(&key)))
    }
}

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Feeds what the engine hashes into SHA-256.
struct HashOfHash(Sha256);

impl std::hash::Hasher for HashOfHash {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> Option<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
    is_private(folder).then_some(())
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // A symbolic link could lead out of the private folder.
    fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_symlink() && meta.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> Option<()> {
    fs::create_dir_all(folder).ok()
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    // The user's cache folder is private by inheritance.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path) -> Option<Cache> {
        Cache::at(folder.join("wasm"), &wasmtime::Engine::default())
    }

    #[test]
    fn gives_back_what_was_put_and_nothing_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path()).unwrap();
        let plugin = [7; 32];
        assert_eq!(cache.get(&plugin), None);
        cache.put(&plugin, b"code");
        assert_eq!(cache.get(&plugin).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&[8; 32]), None);
        for damage in [&b""[..], b"short", &[0; 40]] {
            fs::write(cache.path(&plugin), damage).unwrap();
            assert_eq!(cache.get(&plugin), None);
        }
    }

    #[cfg(unix)]
    #[test]
    fn uses_no_folder_and_no_file_that_others_can_write() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let open = cache(folder.path()).unwrap();
        open.put(&[7; 32], b"code");
        fs::set_permissions(open.path(&[7; 32]), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(open.get(&[7; 32]), None);
        fs::set_permissions(&open.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(cache(folder.path()).is_none());
    }
}
