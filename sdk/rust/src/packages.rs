//! Finds Python packages that the user has installed, for plugins that load a simulator or its data from them.
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::setup_folder;

/// What a plugin searches for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The environment variable with which users name a folder, e.g. `MUJOCO_PATH`.
    pub variable: &'static str,
    /// The name under which `potstill plugin setup` installs the packages: `name` in the manifest's `[setup]`.
    pub setup: &'static str,
    /// The packages, by the names that pip knows, each with the versions that the plugin works with, the preferred one
    /// first. Versions that are not listed come last.
    pub packages: &'static [(&'static str, &'static [&'static str])],
    /// The modules that they contain, by the names that Python imports.
    pub modules: &'static [&'static str],
}

/// A search through the folder that the user names, what `potstill plugin setup` installed, and what the user's Python would
/// import, in this order. Python is run only once all else is used up.
#[derive(Debug)]
pub struct Packages {
    wanted: Wanted,
    near: Looked,
    pythons: Vec<String>,
    far: OnceCell<Looked>,
}

/// Places that were searched.
#[derive(Debug, Default)]
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

impl Packages {
    /// The search of this process: `$POTSTILL_PYTHON`, then `python3`, are the user's Python.
    pub fn search(wanted: Wanted) -> Packages {
        let named = std::env::var_os(wanted.variable).map(PathBuf::from);
        Packages::among(wanted, named, setup_folder().as_deref(), pythons())
    }

    /// A search with these in place of the environment variable, the folder of `potstill plugin setup` and the user's
    /// Pythons, for tests.
    pub fn among(
        wanted: Wanted,
        named: Option<PathBuf>,
        setup: Option<&Path>,
        pythons: Vec<String>,
    ) -> Packages {
        let mut near = Looked::default();
        near.add(wanted.variable, named.into_iter().collect(), "not set");
        if let Some(setup) = setup.map(|setup| setup.join(wanted.setup)) {
            near.add(&setup.display().to_string(), installed(&setup, &wanted), "nothing is set up");
        }
        Packages { wanted, near, pythons, far: OnceCell::new() }
    }

    /// The folders in the order of the search. They are what Python would search for modules, so that a module is in a folder of
    /// its name, but the one that the user names may be any.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let far = std::iter::once_with(|| self.far()).flat_map(|far| &far.folders);
        self.near.folders.iter().chain(far).map(PathBuf::as_path)
    }

    /// The error when `what` is in none of them: where it was searched for, and what installs it.
    pub fn missing(&self, what: &str) -> String {
        let places: Vec<&str> = self.near.names.iter().chain(&self.far().names).map(String::as_str).collect();
        format!("{what} was not found in: {}; {}", places.join(", "), self.install())
    }

    /// What installs the packages, in words: `` `potstill plugin setup …` installs it, and so does … ``.
    pub fn install(&self) -> String {
        let Wanted { setup, packages, .. } = self.wanted;
        let packages: Vec<String> = packages
            .iter()
            .map(|(name, versions)| versions.first().map_or((*name).into(), |v| format!("{name}=={v}")))
            .collect();
        let packages = packages.join(" ");
        format!(
            "`potstill plugin setup {setup}` installs it, and so does `python3 -m pip install {packages}`"
        )
    }

    /// The folders of the user's Pythons.
    fn far(&self) -> &Looked {
        self.far.get_or_init(|| {
            let mut far = Looked::default();
            let names = self.wanted.modules;
            for python in &self.pythons {
                match ask(python, names) {
                    Ok(folders) => {
                        far.add(python, folders, &format!("it does not have {}", names.join(" or ")));
                    }
                    Err(error) => far.add(python, vec![], &error),
                }
            }
            far
        })
    }
}

/// The user's Pythons, in the order of the search: `$POTSTILL_PYTHON`, then `python3`.
pub fn pythons() -> Vec<String> {
    std::env::var("POTSTILL_PYTHON").into_iter().chain(["python3".into()]).collect()
}

/// The folders that `potstill plugin setup` made, in the order of the packages and of their versions.
fn installed(setup: &Path, wanted: &Wanted) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(setup).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    let of_package = |(name, versions): &(&str, &[&str])| {
        let version = |path: &Path| {
            let folder = path.file_name()?.to_str()?;
            folder.strip_prefix(name)?.strip_prefix('-').map(str::to_owned)
        };
        let mut found: Vec<(String, PathBuf)> =
            entries.iter().filter_map(|path| Some((version(path)?, path.clone()))).collect();
        let place = |version: &str| versions.iter().position(|known| *known == version);
        found.sort_by_key(|(version, _)| {
            (place(version).unwrap_or(versions.len()), std::cmp::Reverse(version.clone()))
        });
        found.into_iter().map(|(_, path)| path)
    };
    wanted.packages.iter().flat_map(of_package).collect()
}

/// The folders from which this Python would import the modules.
fn ask(python: &str, modules: &[&str]) -> Result<Vec<PathBuf>, String> {
    // Do not import from the current folder.
    const SCRIPT: &str = "import sys\n\
        sys.path = [p for p in sys.path if p]\n\
        import importlib.util as u, os\n\
        for n in sys.argv[1:]:\n    s = u.find_spec(n)\n    \
        s and s.origin and print(os.path.dirname(os.path.dirname(s.origin)))";
    let answer =
        Command::new(python).args(["-c", SCRIPT]).args(modules).output().map_err(|e| e.to_string())?;
    if !answer.status.success() {
        return Err("it does not run".into());
    }
    let mut folders: Vec<PathBuf> =
        String::from_utf8_lossy(&answer.stdout).lines().map(PathBuf::from).collect();
    folders.dedup();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted {
        variable: "PENDULUM_PATH",
        setup: "pendulum",
        packages: &[("pendulum", &["2.0", "1.0"]), ("models", &[])],
        modules: &["pendulum", "models"],
    };

    fn search(named: Option<&Path>, setup: Option<&Path>, python: &str) -> Packages {
        Packages::among(WANTED, named.map(Path::to_owned), setup, vec![python.into()])
    }

    #[test]
    fn what_is_missing_is_said_with_what_installs_it() {
        let packages = search(None, Some(Path::new("/nowhere")), "no-such-python");
        assert_eq!(packages.folders().count(), 0);
        assert_eq!(
            packages.missing("the pendulum's library"),
            "the pendulum's library was not found in: PENDULUM_PATH (not set), /nowhere/pendulum (nothing is set up), \
             no-such-python (No such file or directory (os error 2)); `potstill plugin setup pendulum` installs it, and \
             so does `python3 -m pip install pendulum==2.0 models`"
        );
    }

    #[test]
    fn folders_come_in_order() {
        let setup = tempfile::tempdir().unwrap();
        let folder = setup.path().join("pendulum");
        for name in ["models-1.5", "pendulum-1.0", "pendulum-3.0", "pendulum-2.0", "pendulums-2.0", "other-1"]
        {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let packages = search(Some(Path::new("/mine")), Some(setup.path()), "no-such-python");
        let found: Vec<&Path> = packages.folders().collect();
        let expected =
            ["pendulum-2.0", "pendulum-1.0", "pendulum-3.0", "models-1.5"].map(|name| folder.join(name));
        assert_eq!(found[0], Path::new("/mine"));
        assert_eq!(found[1..], expected);
    }

    #[cfg(unix)]
    #[test]
    fn python_is_run_last_and_not_in_this_folder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (python, ran) = (folder.path().join("python"), folder.path().join("ran"));
        std::fs::write(&python, format!("#!/bin/sh\ntouch {}\necho /site\necho /site\n", ran.display()))
            .unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let packages = search(Some(Path::new("/mine")), None, python.to_str().unwrap());
        let mut folders = packages.folders();
        assert_eq!(folders.next(), Some(Path::new("/mine")));
        assert!(!ran.exists());
        assert_eq!(folders.collect::<Vec<_>>(), [Path::new("/site")]);
        assert!(ran.exists());
    }
}
