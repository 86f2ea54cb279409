//! A key for the cache of compiled components, so that tests with data folders of their own share one cache.
use std::io::Write;
use std::path::Path;

/// Puts the tests' key into the data folder `data`.
pub(crate) fn share_key(data: &Path) {
    let folder = data.join("potstill");
    let path = folder.join("cache-key");
    if path.exists() {
        return;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Another test may be faster.
    if let Ok(mut file) = options.open(path) {
        file.write_all(&[7; 32]).unwrap();
    }
}
