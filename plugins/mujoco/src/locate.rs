//! Finds MuJoCo's library and Gymnasium's models on the user's machine.
use std::path::{Path, PathBuf};

use potstill_sdk::packages::{Packages, Wanted};

use crate::layout::KNOWN;

/// MuJoCo and Gymnasium, as `MUJOCO_PATH`, `potstill plugin setup mujoco` and pip install them.
pub(crate) const WANTED: Wanted = Wanted {
    variable: "MUJOCO_PATH",
    setup: "mujoco",
    packages: &[("mujoco", &VERSIONS), ("gymnasium", &[])],
    modules: &["mujoco", "gymnasium"],
};

const VERSIONS: [&str; KNOWN.len()] = {
    let mut versions = [""; KNOWN.len()];
    let mut i = 0;
    while i < versions.len() {
        versions[i] = KNOWN[i].0;
        i += 1;
    }
    versions
};

/// The files of MuJoCo's shared libraries, in the order of the search.
pub(crate) fn libraries(packages: &Packages) -> impl Iterator<Item = PathBuf> {
    // A wheel's folder, its parent, and the folders of MuJoCo's own archives.
    packages.folders().filter_map(|folder| {
        let inner = || ["mujoco", "lib", "bin"].iter().find_map(|inner| library_in(&folder.join(inner)));
        library_in(folder).or_else(inner)
    })
}

/// The path of one of Gymnasium's models.
///
/// # Errors
/// It was not found. The message says where it was searched for, and what to do.
pub(crate) fn model(packages: &Packages, file: &str) -> Result<PathBuf, String> {
    let inner = ["", "gymnasium/envs/mujoco/assets", "assets"];
    packages
        .folders()
        .flat_map(|folder| inner.map(|inner| folder.join(inner).join(file)))
        .find(|path| path.is_file())
        .ok_or_else(|| packages.missing(&format!("Gymnasium's model {file}")))
}

/// Finds `libmujoco.so.2.3.7`, `libmujoco.3.3.7.dylib` or `mujoco.dll` in this folder, or as this file.
pub(crate) fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.starts_with("libmujoco.so")
                || (name.starts_with("libmujoco.") && name.ends_with(".dylib"))
                || name == "mujoco.dll"
        })
    };
    if folder.is_file() && is_library(folder) {
        return Some(folder.to_owned());
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_library(path))
        .collect();
    files.sort();
    files.pop()
}
