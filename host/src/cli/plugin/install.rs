//! `potstill plugin install` and `potstill plugin remove`: the user's own folder of plugins.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::plugin::path_of;
use crate::cli::{print_json, say_named, tell};
use crate::error::{Error, IoContext, Result};
use crate::plugin::{Entry, Loader, Registry, install};

/// Install a plugin, so that it is found by its id
///
/// The file and its manifest are copied into your data folder, with the file's hash. A file that changes there is not
/// run. Plugins with the same ids, or of the same library, are replaced.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin install corridor\n  potstill plugin install downloads/hill.wasm"
)]
pub(in crate::cli) struct Install {
    /// A .wasm file, a shared library, or the folder with plugin.toml
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Remove an installed plugin, and with it the others of its library
#[derive(Args)]
#[command(after_help = "Examples:\n  potstill plugin remove acme/corridor-v1")]
pub(in crate::cli) struct Remove {
    /// The plugin's id, or the name of its folder in your data folder
    #[arg(value_name = "ID|FOLDER")]
    id: String,
}

/// The user's own folder of plugins.
fn folder() -> Result<PathBuf> {
    install::folder().ok_or_else(|| Error::usage("this user has no data folder; set HOME, or XDG_DATA_HOME"))
}

impl Install {
    pub(super) fn run(&self) -> Result<()> {
        let entries = install::install(&self.path, &folder()?, &mut tell)?;
        let [entry, ..] = &entries[..] else { return Ok(()) };
        let ids = ids(&entries);
        if self.json {
            return print_json(&json!({
                "id": ids.first(), "ids": ids, "role": entry.role, "loader": entry.loader.to_string(),
                "version": entry.version, "path": path_of(entry), "sha256": entry.sha256,
            }));
        }
        if entry.loader == Loader::Native {
            tell(&match &ids[..] {
                [id] => format!("`{id}` is native code: it may do whatever you may"),
                all => format!("these {} plugins are native code: they may do whatever you may", all.len()),
            });
        }
        let path = entry.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let role = entry.role.map(|role| role.to_string()).unwrap_or_default();
        if let (Some(setup), true) = (&entry.setup, entry.lacks_setup()) {
            tell(&format!("before its first run: potstill plugin setup {}", setup.name));
        }
        let ids = ids.into_iter().map(|id| ("id", id));
        for (name, value) in ids.chain([("role", role), ("path", path), ("sha256", entry.sha256.clone())]) {
            say_named(name, 12, &value)?;
        }
        Ok(())
    }
}

fn ids<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<String> {
    entries.into_iter().filter_map(|entry| entry.id.as_ref()).map(ToString::to_string).collect()
}

impl Remove {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let folder = folder()?;
        let place = match install::called(&self.id, &folder) {
            Some(place) => place,
            None => install::place_of(registry.named(&self.id)?, &folder)?,
        };
        let gone = |entry: &&Entry| entry.path.as_deref().and_then(Path::parent) == Some(&*place);
        let gone = ids(registry.entries().iter().filter(gone));
        std::fs::remove_dir_all(&place).at(&place)?;
        if let [_, _, ..] = &gone[..] {
            gone.iter().try_for_each(|id| say_named("id", 12, id))?;
        }
        say_named("removed", 12, &place.display().to_string())
    }
}
