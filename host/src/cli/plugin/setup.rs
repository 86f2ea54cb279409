//! `potstill plugin setup`: fetches the external dependencies of a plugin.
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use potstill_plugin_api::{Dependencies, PluginId, Wheel};
use serde_json::json;

use crate::cli::{confirmed, print_json, say_named};
use crate::error::{Error, IoContext, Result};
use crate::plugin::setup::{self, Pip};
use crate::plugin::{Entry, Registry};

/// Fetch a plugin's external dependencies, such as a simulator and its models
///
/// The plugin's manifest names the Python packages that contain them. Your own pip downloads the packages; their files
/// are checked against the manifest's hashes and unpacked into your data folder, where the plugin finds them. They are
/// not installed in Python, and no Python code in them runs.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin setup mujoco\n  potstill plugin setup mujoco/hopper --yes --python .venv/bin/python\n  \
                        potstill plugin setup mujoco --check"
)]
pub(in crate::cli) struct Fetch {
    /// The plugin's id or namespace, or the name of its setup
    name: String,
    /// Do not ask before fetching
    #[arg(long)]
    yes: bool,
    /// Fetch this version of a package, of those in the manifest; other versions stay [default: the first]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The Python whose pip downloads the packages [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Check that the files are as they were unpacked, and fetch nothing
    #[arg(long, conflicts_with_all = ["yes", "version", "python", "remove"])]
    check: bool,
    /// Remove all versions
    #[arg(long, conflicts_with_all = ["yes", "version", "python"])]
    remove: bool,
    /// Print the installed packages as JSON
    #[arg(long)]
    json: bool,
}

impl Fetch {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let none = || Error::usage("this user has no data folder; set HOME, or XDG_DATA_HOME");
        let folder = setup::folder().ok_or_else(none)?;
        if self.remove {
            return self.remove(registry, &folder);
        }
        let setup = find(registry, &self.name)?;
        match self.check {
            true => self.check(setup, &folder)?,
            false => self.fetch(setup, &folder)?,
        }
        if !self.json {
            return Ok(());
        }
        let there = setup.wheels.iter().filter(|wheel| setup::is_there(&folder, setup, wheel));
        let object = |wheel: &Wheel| {
            let path = setup::place(&folder, setup, wheel);
            json!({ "package": wheel.package, "version": wheel.version, "path": path.to_string_lossy() })
        };
        print_json(&there.map(object).collect::<Vec<_>>())
    }

    /// Prints what is said about a package, unless JSON was asked for.
    fn line(&self, wheel: &Wheel, what: &str) -> Result<()> {
        let name = format!("{} {}", wheel.package, wheel.version);
        if self.json { Ok(()) } else { say_named(&name, 21, what) }
    }

    fn fetch(&self, setup: &Dependencies, folder: &Path) -> Result<()> {
        let wheels = setup::chosen(setup, self.version.as_deref())?;
        let (there, missing): (Vec<&Wheel>, _) =
            wheels.into_iter().partition(|wheel| setup::is_there(folder, setup, wheel));
        for wheel in &there {
            self.line(wheel, &format!("is there: {}", setup::place(folder, setup, wheel).display()))?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        let pip = Pip::find(self.python.as_deref())?;
        for wheel in &missing {
            let file = wheel.file_for(std::env::consts::OS, std::env::consts::ARCH);
            let size = file.and_then(|file| file.size);
            let size = size.map_or(String::new(), |bytes| format!(" ({:.1} MB)", bytes as f64 / 1e6));
            let place = setup::place(folder, setup, wheel);
            self.line(wheel, &format!("will be fetched by pip{size} into {}", place.display()))?;
        }
        if !self.yes {
            agreed(!self.json)?;
        }
        for wheel in missing {
            setup::fetch(folder, setup, wheel, &pip)?;
            self.line(wheel, "is there now")?;
        }
        Ok(())
    }

    fn check(&self, setup: &Dependencies, folder: &Path) -> Result<()> {
        let mut sound = 0;
        for wheel in &setup.wheels {
            let place = setup::place(folder, setup, wheel);
            let Some(damaged) = setup::damaged(&place) else { continue };
            if let [first, ..] = &damaged[..] {
                let changed = match damaged.len() {
                    1 => format!("`{first}` is not as it was unpacked"),
                    n => format!("{n} files are not as they were unpacked, `{first}` for one"),
                };
                let (place, name) = (place.display(), &setup.name);
                let again =
                    format!("`potstill plugin setup {name} --remove`, then `potstill plugin setup {name}`");
                return Err(Error::Failed(format!("{place}: {changed}; {again}")));
            }
            sound += 1;
            self.line(wheel, "is as it was unpacked")?;
        }
        match sound {
            0 => Err(Error::Failed(format!(
                "`{0}` is not set up; `potstill plugin setup {0}` does it",
                setup.name
            ))),
            _ => Ok(()),
        }
    }

    fn remove(&self, registry: &Registry, folder: &Path) -> Result<()> {
        // The plugin may be gone; its setup is then found by the name of its folder.
        let own = folder.join(&self.name);
        let place = match own.file_name() == Some(self.name.as_ref()) && own.is_dir() {
            true => own,
            false => folder.join(&find(registry, &self.name)?.name),
        };
        if !place.is_dir() {
            return Err(Error::usage(format!(
                "`{}` is not set up: there is no {}",
                self.name,
                place.display()
            )));
        }
        std::fs::remove_dir_all(&place).at(&place)?;
        match self.json {
            true => print_json(&json!([])),
            false => say_named("removed", 21, &place.display().to_string()),
        }
    }
}

/// Finds a setup by its own name, by the namespace of its plugins or by the id of one of them.
fn find<'a>(registry: &'a Registry, name: &str) -> Result<&'a Dependencies> {
    let usable = || registry.entries().iter().filter(|entry| entry.rejected.is_none());
    let named = |entry: &&Entry| {
        let namespace = entry.id.as_ref().and_then(PluginId::namespace);
        entry.setup.as_ref().is_some_and(|setup| setup.name == name || namespace == Some(name))
    };
    if let Some(setup) = usable().find(named).and_then(|entry| entry.setup.as_ref()) {
        return Ok(setup);
    }
    let entry = registry.named(name)?;
    if let Some(why) = &entry.rejected {
        return Err(Error::usage(format!("plugin `{name}` cannot be used: {why}")));
    }
    let nothing = || Error::usage(format!("plugin `{name}` has no external dependencies"));
    entry.setup.as_ref().ok_or_else(nothing)
}

/// Asks the user whether to go on. With `read` false the user was not shown what will be fetched.
fn agreed(read: bool) -> Result<()> {
    if !read || !std::io::stdin().is_terminal() {
        return Err(Error::usage("nobody can be asked here; say --yes to fetch this"));
    }
    match confirmed("Go on?")? {
        true => Ok(()),
        false => Err(Error::Failed("nothing was fetched".into())),
    }
}

/// Describes a setup: the packages that are installed, or the command that fetches those that are missing.
pub(in crate::cli) fn state(setup: &Dependencies) -> Result<String, String> {
    let folder = setup::folder();
    let there = |wheel: &&Wheel| folder.as_ref().is_some_and(|folder| setup::is_there(folder, setup, wheel));
    let lacking = setup::lacking(folder.as_deref(), setup);
    if lacking.is_empty() {
        let there = setup.wheels.iter().filter(there).map(|w| format!("{} {}", w.package, w.version));
        return Ok(there.collect::<Vec<_>>().join(", "));
    }
    Err(format!("{} not here; set it up:\n    potstill plugin setup {}", lacking.join(", "), setup.name))
}
