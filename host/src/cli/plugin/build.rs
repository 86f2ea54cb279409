use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::author::build::build;
use crate::cli::{print_json, say};
use crate::error::{Error, Result};
use crate::plugin::Registry;

/// Make a plugin's component or shared library from its folder (Rust, C or Python), and load it
#[derive(Args)]
#[command(after_help = "Example:\n  potstill plugin build corridor")]
pub(in crate::cli) struct Build {
    /// The folder with plugin.toml and the source
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Put the file and plugin.toml here and leave the folder as it is
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(&self) -> Result<()> {
        let file = build(&self.folder, self.out.as_deref())?;
        let registry = Registry::of(&[file.parent().unwrap_or(Path::new(".")).to_owned()], &[])?;
        let [entry, ..] = registry.entries() else {
            return Err(Error::file(file, "is not found again"));
        };
        let id = entry.id.as_ref().map(ToString::to_string).unwrap_or_default();
        registry.try_out(entry).map_err(with_hint)?;
        let bytes = std::fs::metadata(&file).map_or(0, |meta| meta.len());
        if self.json {
            return print_json(&json!({ "id": id, "path": file, "bytes": bytes, "sha256": entry.sha256 }));
        }
        let shown = self.out.as_ref().unwrap_or(&self.folder).join(file.file_name().unwrap_or_default());
        for (name, value) in [
            ("id", id),
            ("file", shown.display().to_string()),
            ("size", format!("{bytes} bytes")),
            ("sha256", entry.sha256.clone()),
        ] {
            say(&format!("{name:12} {value}"))?;
        }
        Ok(())
    }
}

/// What most often keeps a component that compiled from loading.
fn with_hint(error: Error) -> Error {
    match error {
        Error::Plugin { plugin, function, cause } if cause.contains("wasi") => {
            let hint = "\nThe sandbox has no operating system: leave out what prints, reads files or the time (C: \
                        printf, assert, abort messages; use potstill_fail).";
            Error::Plugin { plugin, function, cause: cause + hint }
        }
        error => error,
    }
}
