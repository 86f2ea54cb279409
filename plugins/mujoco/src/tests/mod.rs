//! Tests against real libraries of MuJoCo and Gymnasium's own Python, which `tests/setup` installs.
mod faults;
mod parity;
mod pictures;
mod search;
mod versions;
#[cfg(target_os = "linux")]
mod without_opengl;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use potstill_sdk::{Environment, Options};

use crate::environment::{Mujoco, Task};
use crate::layout::KNOWN;
use crate::library::Library;
use crate::simulation::Model;

/// The folder of `tests/setup`, or `None`, with a message, if it has not been run. If `CI` is set, that is an error.
fn installed() -> Option<PathBuf> {
    let folder = std::env::var_os("POTSTILL_MUJOCO").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mujoco-python"),
        PathBuf::from,
    );
    if folder.join("v5/complete").exists() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "{} is missing: run plugins/mujoco/tests/setup",
        folder.display()
    );
    eprintln!("SKIPPED: {} is missing: run plugins/mujoco/tests/setup", folder.display());
    None
}

/// The folder from which the Python of the stack `v4` or `v5` imports.
fn site(stack: &Path) -> PathBuf {
    let lib = std::fs::read_dir(stack.join("lib")).unwrap();
    lib.map(|entry| entry.unwrap().path().join("site-packages")).find(|path| path.exists()).unwrap()
}

/// The folders of all supported versions of MuJoCo.
fn versions(folder: &Path) -> impl Iterator<Item = (&'static str, PathBuf)> {
    KNOWN.iter().map(move |(version, _)| {
        let packages = match *version {
            "2.3.7" => site(&folder.join("v4")),
            "3.3.7" => site(&folder.join("v5")),
            other => folder.join(other),
        };
        (*version, packages.join("mujoco"))
    })
}

fn library(folder: &Path) -> &'static Library {
    Library::open(&crate::locate::library_in(folder).unwrap()).unwrap()
}

/// The model of a task, from Gymnasium's files for v5, which include those for v4.
fn model<T: Task>(folder: &Path, library: &'static Library) -> Arc<Model> {
    let assets = site(&folder.join("v5")).join("gymnasium/envs/mujoco/assets");
    Model::load(library, &assets.join(T::MODEL)).unwrap()
}

fn defaults<T: Task>() -> Options {
    Mujoco::<T>::options().into_iter().map(|option| (option.name, option.default)).collect()
}

/// A folder for one test.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("potstill-mujoco-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
