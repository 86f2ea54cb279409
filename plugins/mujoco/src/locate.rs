//! Finds MuJoCo's library and Gymnasium's models on the user's machine.
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::KNOWN;

/// A search through `MUJOCO_PATH`, what `potstill plugin setup` installed, and what the user's Python would import, in this
/// order. Python is run only if all else failed.
pub(crate) struct Search {
    near: Looked,
    pythons: Vec<String>,
    far: OnceCell<Looked>,
}

/// Places to search.
#[derive(Default)]
struct Looked {
    folders: Vec<PathBuf>,
    /// The places in words for the user.
    names: Vec<String>,
}

impl Looked {
    fn add(&mut self, name: &str, folders: Vec<PathBuf>, nothing: &str) {
        let shown: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let shown = if folders.is_empty() { nothing.to_owned() } else { shown.join(", ") };
        self.names.push(format!("{name} ({shown})"));
        self.folders.extend(folders);
    }
}

impl Search {
    /// The search of this process.
    pub(crate) fn here(setup: Option<&Path>) -> Search {
        let path = std::env::var_os("MUJOCO_PATH").map(PathBuf::from);
        let pythons = std::env::var("POTSTILL_PYTHON").into_iter().chain(["python3".into()]).collect();
        Search::new(path, setup, pythons)
    }

    pub(crate) fn new(path: Option<PathBuf>, setup: Option<&Path>, pythons: Vec<String>) -> Search {
        let mut near = Looked::default();
        near.add("MUJOCO_PATH", path.into_iter().collect(), "not set");
        if let Some(setup) = setup.map(|setup| setup.join("mujoco")) {
            near.add(&setup.display().to_string(), installed(&setup), "nothing is set up");
        }
        Search { near, pythons, far: OnceCell::new() }
    }

    /// The folders of the user's Pythons.
    fn far(&self) -> &Looked {
        self.far.get_or_init(|| {
            let mut far = Looked::default();
            for python in &self.pythons {
                match ask(python) {
                    Ok(folders) => far.add(python, folders, "it has neither mujoco nor gymnasium"),
                    Err(error) => far.add(python, vec![], &error),
                }
            }
            far
        })
    }

    /// The files of MuJoCo's shared libraries, in the order of the search.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = PathBuf> {
        // A wheel's folder, its parent, and the folders of MuJoCo's own archives.
        self.folders().filter_map(|folder| {
            let inner = || ["mujoco", "lib", "bin"].iter().find_map(|inner| library_in(&folder.join(inner)));
            library_in(folder).or_else(inner)
        })
    }

    /// The error when there is no library.
    pub(crate) fn no_library(&self) -> String {
        self.error("MuJoCo's library")
    }

    /// The path of one of Gymnasium's models.
    ///
    /// # Errors
    /// It was not found. The message says where it was searched for, and what to do.
    pub(crate) fn model(&self, file: &str) -> Result<PathBuf, String> {
        let inner = ["", "gymnasium/envs/mujoco/assets", "assets"];
        self.folders()
            .flat_map(|folder| inner.map(|inner| folder.join(inner).join(file)))
            .find(|path| path.is_file())
            .ok_or_else(|| self.error(&format!("Gymnasium's model {file}")))
    }

    /// The folders in the order of the search. Python is run when those before it are used up.
    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        let far = std::iter::once_with(|| self.far()).flat_map(|far| &far.folders);
        self.near.folders.iter().chain(far)
    }

    fn error(&self, what: &str) -> String {
        let places: Vec<&str> = self.near.names.iter().chain(&self.far().names).map(String::as_str).collect();
        format!(
            "{what} was not found in: {}; `potstill plugin setup mujoco` installs it, and so does \
             `python3 -m pip install mujoco=={} gymnasium`",
            places.join(", "),
            KNOWN[0].0,
        )
    }
}

/// The folders that `potstill plugin setup mujoco` made, with those of MuJoCo in the order of [`KNOWN`].
fn installed(setup: &Path) -> Vec<PathBuf> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(setup)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| ["mujoco-", "gymnasium-"].iter().any(|start| name(path).starts_with(start)))
        .collect();
    let place = |version: &str| KNOWN.iter().position(|(known, _)| *known == version).unwrap_or(KNOWN.len());
    folders.sort_by_key(|path| {
        (place(name(path).trim_start_matches("mujoco-")), std::cmp::Reverse(path.clone()))
    });
    folders
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

/// The folders from which this Python would import the two packages.
fn ask(python: &str) -> Result<Vec<PathBuf>, String> {
    // Do not import from the current folder.
    const SCRIPT: &str = "import sys\n\
        sys.path = [p for p in sys.path if p]\n\
        import importlib.util as u, os\n\
        for n in 'mujoco', 'gymnasium':\n    s = u.find_spec(n)\n    \
        s and s.origin and print(os.path.dirname(os.path.dirname(s.origin)))";
    let answer = Command::new(python).args(["-c", SCRIPT]).output().map_err(|e| e.to_string())?;
    if !answer.status.success() {
        return Err("it does not run".into());
    }
    let mut folders: Vec<PathBuf> =
        String::from_utf8_lossy(&answer.stdout).lines().map(PathBuf::from).collect();
    folders.dedup();
    Ok(folders)
}
