//! Builds a plugin's component or shared library from its folder, with the toolchains of this machine.
use std::path::{Path, PathBuf};

use potstill_plugin_api::Manifest;
use wasmtime::Engine;

use super::{Language, c, python, rust};
use crate::error::{Error, IoContext, Result};
use crate::plugin::encode;
use crate::plugin::text::{LONGEST_MESSAGE, tame};

const MANIFEST: &str = "plugin.toml";

/// Compiles the plugin in `folder` and writes the component or shared library that its `plugin.toml` names into `out`,
/// or next to the manifest. Returns the file's path. The plugin's code is not run.
///
/// # Errors
/// [`Error::File`]: the manifest is wrong, the folder has no source, or the source does not compile.
/// [`Error::Usage`]: a tool is missing. The message says which, and how to install it.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<PathBuf> {
    // Compilers run in other folders, and cargo reports absolute paths.
    let folder = folder.canonicalize().at(folder)?;
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).at(&path)?;
    let manifest = Manifest::parse(&text).map_err(|e| Error::file(&path, e))?;
    let language = language(&folder, manifest.wasm.is_some())?;
    let place = out.unwrap_or(&folder);
    std::fs::create_dir_all(place).at(place)?;
    let place = place.canonicalize().at(place)?;
    // The file is replaced by a complete one or not at all, and a process that has opened the old library keeps it.
    let scratch = tempfile::tempdir_in(&place).at(&place)?;
    let fresh = scratch.path().join(manifest.file());
    match (language, manifest.wasm.is_some()) {
        (Language::Rust, true) => write_component(&folder, &rust::module(&folder)?, &fresh)?,
        (Language::Rust, false) => {
            let made = rust::library(&folder)?;
            std::fs::copy(&made, &fresh).at(&made)?;
        }
        (Language::C, true) => {
            let module = scratch.path().join("module");
            c::module(&folder, manifest.role, &module)?;
            write_component(&folder, &module, &fresh)?;
        }
        (Language::C, false) => c::library(&folder, scratch.path(), &fresh)?,
        (Language::Python, true) => python::component(&folder, manifest.role, &fresh)?,
        (Language::Python, false) => {
            let what =
                "Python cannot make a shared library; write `wasm = \"NAME.wasm\"` instead of `library`";
            return Err(Error::file(path, what));
        }
    }
    let made = place.join(manifest.file());
    std::fs::rename(&fresh, &made).at(&made)?;
    if let Some(out) = out {
        let copy = out.join(MANIFEST);
        std::fs::write(&copy, text).at(copy)?;
    }
    Ok(made)
}

/// Encodes `module`, the core module that a compiler made from the plugin in `folder`, as a component.
fn write_component(folder: &Path, module: &Path, component: &Path) -> Result<()> {
    let bytes = std::fs::read(module).at(module)?;
    let encoded = encode(&Engine::default(), &bytes).map_err(|cause| {
        let hint = match cause.contains("wasi") {
            true => {
                "\nThe sandbox has no operating system: remove code that prints, reads files or reads the time (in \
                 C: printf, assert and abort messages; use potstill_fail)."
            }
            false => "",
        };
        Error::file(folder, format!("what it compiles to {}{hint}", tame(&cause, LONGEST_MESSAGE)))
    })?;
    std::fs::write(component, encoded).at(component)
}

/// The language of the plugin in `folder`: `Cargo.toml` means Rust, `plugin.py` Python, and C files C. C++ files count
/// as C, but only for shared libraries.
fn language(folder: &Path, component: bool) -> Result<Language> {
    let endings = if component { &["c"][..] } else { &c::LIBRARY_ENDINGS };
    if folder.join("Cargo.toml").is_file() {
        Ok(Language::Rust)
    } else if folder.join("plugin.py").is_file() {
        Ok(Language::Python)
    } else if !c::sources(folder, endings)?.is_empty() {
        Ok(Language::C)
    } else {
        let what =
            "there is nothing to build here; expected Cargo.toml (Rust), plugin.py (Python), or C files";
        Err(Error::file(folder, what))
    }
}
