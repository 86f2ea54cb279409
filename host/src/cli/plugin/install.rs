use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{print_json, say, tell};
use crate::error::{Error, Result};
use crate::plugin::{Loader, Registry, install};

/// Install a plugin for yourself: it is found by its id from then on
///
/// The file and its manifest are copied into your data folder with the file's hash; a file that is changed there is
/// not run. A plugin of the same id and role is replaced.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin install corridor\n  potstill plugin install downloads/hill.wasm"
)]
pub(in crate::cli) struct Install {
    /// A .wasm file, a shared library, or the folder with its plugin.toml
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Remove a plugin that was installed
#[derive(Args)]
#[command(after_help = "Example:\n  potstill plugin remove acme/corridor-v1")]
pub(in crate::cli) struct Remove {
    /// The plugin's id
    id: String,
}

fn folder() -> Result<PathBuf> {
    install::folder().ok_or_else(|| Error::usage("this user has no data folder; set HOME, or XDG_DATA_HOME"))
}

impl Install {
    pub(super) fn run(&self) -> Result<()> {
        let entry = install::install(&self.path, &folder()?)?;
        let id = entry.id.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.json {
            return print_json(&json!({
                "id": id, "role": entry.role, "loader": entry.loader.to_string(), "version": entry.version,
                "path": entry.path, "sha256": entry.sha256,
            }));
        }
        if entry.loader == Loader::Native {
            tell(&format!("`{id}` is native code: it may do whatever you may"));
        }
        let path = entry.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let role = entry.role.map(|role| role.to_string()).unwrap_or_default();
        for (name, value) in [("id", id), ("role", role), ("path", path), ("sha256", entry.sha256)] {
            say(&format!("{name:12} {value}"))?;
        }
        Ok(())
    }
}

impl Remove {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let entry = registry.named(&self.id)?;
        let path = install::remove(entry, &folder()?)?;
        say(&format!("removed      {}", path.display()))
    }
}
