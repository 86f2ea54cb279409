//! Where MuJoCo's library and Gymnasium's models are: both are the user's own, nothing of them is shipped.
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::KNOWN;

/// A place that was looked at, as the user would name it.
struct Place {
    name: String,
    folder: PathBuf,
}

/// What to look at, in this order: `MUJOCO_PATH`, what `potstill plugin setup` installed, what Python would import.
pub(crate) struct Search {
    places: Vec<Place>,
    /// Why a place could not be looked at.
    missing: Vec<String>,
}

impl Search {
    /// The search of this process.
    pub(crate) fn here(setup: Option<&Path>) -> Search {
        let path = std::env::var_os("MUJOCO_PATH").map(PathBuf::from);
        let python = std::env::var("POTSTILL_PYTHON").unwrap_or_else(|_| "python3".into());
        Search::new(path, setup, &python)
    }

    pub(crate) fn new(path: Option<PathBuf>, setup: Option<&Path>, python: &str) -> Search {
        let (mut places, mut missing) = (vec![], vec![]);
        match path {
            Some(folder) => {
                places.push(Place { name: format!("MUJOCO_PATH ({})", folder.display()), folder });
            }
            None => missing.push("MUJOCO_PATH (not set)".into()),
        }
        if let Some(setup) = setup.map(|setup| setup.join("mujoco")) {
            let installed = installed(&setup);
            if installed.is_empty() {
                missing.push(format!("{} (nothing is set up)", setup.display()));
            }
            places.extend(
                installed.into_iter().map(|folder| Place { name: folder.display().to_string(), folder }),
            );
        }
        match ask(python) {
            Ok(folders) if folders.is_empty() => {
                missing.push(format!("{python} (it has neither mujoco nor gymnasium)"));
            }
            Ok(folders) => places.extend(
                folders
                    .into_iter()
                    .map(|folder| Place { name: format!("{python} ({})", folder.display()), folder }),
            ),
            Err(error) => missing.push(format!("{python} ({error})")),
        }
        Search { places, missing }
    }

    /// The file of MuJoCo's shared library.
    ///
    /// # Errors
    /// There is none; says where it was looked for, and what to do.
    pub(crate) fn library(&self) -> Result<PathBuf, String> {
        // A wheel's folder, what contains it, and the folders of MuJoCo's own archives.
        self.find(|folder| {
            ["", "mujoco", "lib", "bin"].iter().find_map(|inner| library_in(&folder.join(inner)))
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
        self.places.iter().find_map(|place| look(&place.folder))
    }

    fn error(&self, what: &str) -> String {
        let places: Vec<&str> = self
            .places
            .iter()
            .map(|place| place.name.as_str())
            .chain(self.missing.iter().map(String::as_str))
            .collect();
        format!(
            "{what} was not found in: {}; `potstill plugin setup mujoco` installs it, and so does \
             `python3 -m pip install mujoco=={} gymnasium`",
            places.join(", "),
            KNOWN[0].0,
        )
    }
}

/// The folders that `potstill plugin setup mujoco` made, `mujoco-2.3.7` before other versions of it.
fn installed(setup: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(setup)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    let first = format!("mujoco-{}", KNOWN[0].0);
    folders.sort_by_key(|path| (!path.ends_with(&first), std::cmp::Reverse(path.clone())));
    folders
}

/// `libmujoco.so.2.3.7`, `libmujoco.3.3.7.dylib`, `mujoco.dll`.
pub(crate) fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |name: &str| {
        name.starts_with("libmujoco.so")
            || (name.starts_with("libmujoco.") && name.ends_with(".dylib"))
            || name == "mujoco.dll"
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_library))
        .collect();
    files.sort();
    files.pop()
}

/// The folders from which this Python would import the two packages.
fn ask(python: &str) -> Result<Vec<PathBuf>, String> {
    const SCRIPT: &str = "import importlib.util as u, os\n\
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
