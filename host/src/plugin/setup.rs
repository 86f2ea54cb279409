//! What plugins need beside themselves, fetched by the user's own package manager: `plugin setup`.
use std::path::PathBuf;

/// Where it lies: `potstill/setup` in the user's data folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    dirs::data_dir().map(|data| data.join("potstill").join("setup"))
}
