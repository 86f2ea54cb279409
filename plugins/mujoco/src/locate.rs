//! Where MuJoCo's library and Gymnasium's models are: both are the user's own, nothing of them is shipped.
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::KNOWN;

/// What to look at, in this order: `MUJOCO_PATH`, what `potstill plugin setup` installed, what the user's Python would
/// import. Python is asked when all else failed.
pub(crate) struct Search {
    near: Looked,
    pythons: Vec<String>,
    far: OnceCell<Looked>,
}

/// Places to look at.
#[derive(Default)]
struct Looked {
    folders: Vec<PathBuf>,
    /// The places as a user would name them.
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

    /// What the user's Pythons have.
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

    /// The file of MuJoCo's shared library.
    ///
    /// # Errors
    /// There is none; says where it was looked for, and what to do.
    pub(crate) fn library(&self) -> Result<PathBuf, String> {
        // A wheel's folder, what contains it, and the folders of MuJoCo's own archives.
        self.find(|folder| {
            let inner = || ["mujoco", "lib", "bin"].iter().find_map(|inner| library_in(&folder.join(inner)));
            library_in(folder).or_else(inner)
        })
        .ok_or_else(|| self.error("MuJoCo's library"))
    }

    /// The folder of Gymnasium's models, which has this file.
    ///
    /// # Errors
    /// As [`Search::library`].
    pub(crate) fn model(&self, file: &str) -> Result<PathBuf, String> {
        self.find(|folder| {
            ["", "gymnasium/envs/mujoco/assets", "assets"]
                .iter()
                .map(|inner| folder.join(inner).join(file))
                .find(|path| path.is_file())
        })
        .ok_or_else(|| self.error(&format!("Gymnasium's model {file}")))
    }

    fn find(&self, look: impl Fn(&Path) -> Option<PathBuf>) -> Option<PathBuf> {
        let mut found = self.near.folders.iter().find_map(|folder| look(folder));
        if found.is_none() {
            found = self.far().folders.iter().find_map(|folder| look(folder));
        }
        found
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

/// The folders that `potstill plugin setup mujoco` made, those of MuJoCo in the order of [`KNOWN`].
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

/// `libmujoco.so.2.3.7`, `libmujoco.3.3.7.dylib` or `mujoco.dll` in this folder, or this file.
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
    // Not from the folder that the user happens to be in.
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
