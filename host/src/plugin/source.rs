//! Finds the files of plugins.
use std::fs;
use std::path::{Path, PathBuf};

use potstill_plugin_api::Manifest;

use crate::error::{Error, Result};
use crate::files;

/// A plugin on disk that has not been opened.
pub(crate) struct Candidate {
    /// The `.wasm` file or the shared library, or if there is none, the manifest or folder.
    pub(crate) path: PathBuf,
    /// The manifest, `None` for a file without one, or why this cannot be a plugin.
    pub(crate) manifest: Result<Option<Manifest>, String>,
}

pub(super) const MANIFEST: &str = "plugin.toml";

/// The most bytes of a manifest, and of the record of an installation.
pub(super) const LARGEST_MANIFEST: u64 = 1 << 20;
/// The most bytes of a component. One with a Python interpreter in it has 20 to 40 MiB.
const LARGEST_COMPONENT: u64 = 256 << 20;
/// The most bytes of a shared library, which is read to compute its hash.
const LARGEST_LIBRARY: u64 = 1 << 30;

/// Reads the `.wasm` file or shared library of a plugin.
///
/// # Errors
/// The errors of [`files::read`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    files::read(path, if is_library(path) { LARGEST_LIBRARY } else { LARGEST_COMPONENT })
}

/// Whether `path` has the extension of a shared library.
pub(crate) fn is_library(path: &Path) -> bool {
    let ending = path.extension().and_then(std::ffi::OsStr::to_str);
    ending.is_some_and(|ending| ["so", "dylib", "dll"].contains(&ending))
}

/// What is wrong with a file, where its path is said elsewhere.
pub(super) fn without_path(error: Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::File { what, .. } => what,
        other => other.to_string(),
    }
}

/// The plugins at `path`: a `.wasm` file or a shared library, a plugin's folder (one with a `plugin.toml`) or its
/// manifest, or a folder of those. They are sorted by name, so that every machine finds them in the same order.
pub(crate) fn scan(path: &Path) -> Vec<Candidate> {
    if path.is_file() {
        return vec![match path.file_name() {
            Some(name) if name == MANIFEST => with_manifest(path),
            _ => file(path),
        }];
    }
    if path.join(MANIFEST).is_file() {
        return vec![with_manifest(&path.join(MANIFEST))];
    }
    let mut children: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(e) => return vec![Candidate { path: path.into(), manifest: Err(e.to_string()) }],
    };
    children.sort();
    let plugin = |child: PathBuf| match child.join(MANIFEST) {
        manifest if manifest.is_file() => Some(with_manifest(&manifest)),
        _ if child.is_file() && child.extension().is_some_and(|e| e == "wasm") => Some(file(&child)),
        _ => None,
    };
    children.into_iter().filter_map(plugin).collect()
}

fn with_manifest(path: &Path) -> Candidate {
    let read = || -> Result<Manifest, String> {
        let text = files::read_text(path, LARGEST_MANIFEST).map_err(without_path)?;
        let manifest = Manifest::parse(&text).map_err(|e| format!("{MANIFEST}: {e}"))?;
        manifest.check_api().map_err(|e| e.to_string())?;
        Ok(manifest)
    };
    match read() {
        Ok(manifest) => {
            Candidate { path: path.with_file_name(manifest.file()), manifest: Ok(Some(manifest)) }
        }
        Err(reason) => Candidate { path: path.into(), manifest: Err(reason) },
    }
}

/// A `.wasm` file or shared library, with the manifest beside it if that names this file.
fn file(path: &Path) -> Candidate {
    let beside = path.with_file_name(MANIFEST);
    if beside.is_file() {
        let candidate = with_manifest(&beside);
        if candidate.manifest.is_err() || candidate.path == path {
            return candidate;
        }
    }
    Candidate { path: path.into(), manifest: Ok(None) }
}
