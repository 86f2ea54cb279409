//! A cache of compiled components on disk, so that each plugin is compiled once per machine.
//!
//! Compiled code runs with the host's rights, so the cache reads only what this user has written. Its folder is not
//! trusted: a variable can name one that others own. Instead every file begins with a tag that only the holder of a key
//! can make; the key is in the user's data folder, beside the plugins that are trusted anyway. A file with another tag,
//! because it is damaged or someone else's, is compiled again. An error in the cache only costs time.
use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::files;
use crate::key::{self, Key};

/// The bytes of a tag.
const TAG: usize = 32;
/// The largest file of compiled code that is read.
const LARGEST_CODE: u64 = 1 << 30;

/// The cache's folder, its key, and the hash of everything except the plugin that determines the compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: Key,
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
        Self::at(folder.join("wasm"), key::of_this_user()?, engine)
    }

    fn at(folder: PathBuf, key: Key, engine: &wasmtime::Engine) -> Option<Self> {
        key::make_private(&folder)?;
        let mut hash = HashOfHash(Sha256::new());
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hash);
        hash.0.update(env!("CARGO_PKG_VERSION"));
        Some(Cache { folder, key, compiler: hash.0.finalize().into() })
    }

    /// The folder of the files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The code that [`Cache::put`] stored for this plugin and compiler.
    pub(super) fn get(&self, plugin: &[u8; 32]) -> Option<Vec<u8>> {
        let name = self.name(plugin);
        let mut file = files::read(&self.folder.join(&name), LARGEST_CODE).ok()?;
        let (tag, code) = file.split_at_checked(TAG)?;
        key::authenticated(&self.key, &name, [code])?.verify_slice(tag).ok()?;
        file.drain(..TAG);
        Some(file)
    }

    /// Stores `code`, completely or not at all.
    pub(super) fn put(&self, plugin: &[u8; 32], code: &[u8]) {
        let name = self.name(plugin);
        let Some(tag) = key::authenticated(&self.key, &name, [code]) else { return };
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&tag.finalize().into_bytes())?;
            file.write_all(code)?;
            file.persist(self.folder.join(&name))?;
            Ok(())
        };
        // If the disk is full or read-only, the next start compiles again.
        let _ = write();
    }

    fn name(&self, plugin: &[u8; 32]) -> String {
        let hash = Sha256::new().chain_update(self.compiler).chain_update(plugin).finalize();
        format!("{}.cwasm", hex(&hash))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn cache(folder: &Path, key: u8) -> Cache {
        Cache::at(folder.join("wasm"), [key; key::BYTES], &wasmtime::Engine::default()).unwrap()
    }

    #[test]
    fn gives_back_what_was_put_and_nothing_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1);
        let plugin = [7; 32];
        assert_eq!(cache.get(&plugin), None);
        cache.put(&plugin, b"code");
        assert_eq!(cache.get(&plugin).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&[8; 32]), None);
        for damage in [&b""[..], b"short", &[0; 40]] {
            fs::write(cache.folder.join(cache.name(&plugin)), damage).unwrap();
            assert_eq!(cache.get(&plugin), None);
        }
    }

    #[test]
    fn refuses_what_another_user_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (cache(folder.path(), 1), cache(folder.path(), 2));
        theirs.put(&[7; 32], b"code");
        assert!(theirs.get(&[7; 32]).is_some());
        assert_eq!(ours.get(&[7; 32]), None);
        // Code of ours in the place of another plugin's is refused as well.
        ours.put(&[7; 32], b"code");
        let [from, to] = [[7; 32], [8; 32]].map(|plugin| ours.folder.join(ours.name(&plugin)));
        fs::copy(from, to).unwrap();
        assert!(ours.get(&[7; 32]).is_some());
        assert_eq!(ours.get(&[8; 32]), None);
    }
}
