use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::author::build::build;
use crate::cli::{print_json, say};
use crate::error::{Error, Result};
use crate::plugin::{Entry, Registry};

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
        let made: Vec<&Entry> = registry.entries().iter().filter(|entry| entry.path.is_some()).collect();
        let [entry, ..] = made[..] else {
            return Err(Error::file(file, "is not found again"));
        };
        let ids: Vec<String> = made.iter().filter_map(|e| e.id.as_ref()).map(ToString::to_string).collect();
        made.iter().try_for_each(|entry| registry.try_out(entry))?;
        let bytes = std::fs::metadata(&file).map_or(0, |meta| meta.len());
        if self.json {
            let (path, sha256) = (file, &entry.sha256);
            let built =
                json!({ "id": ids.first(), "ids": ids, "path": path, "bytes": bytes, "sha256": sha256 });
            return print_json(&built);
        }
        let shown = self.out.as_ref().unwrap_or(&self.folder).join(file.file_name().unwrap_or_default());
        let about = [
            ("file", shown.display().to_string()),
            ("size", format!("{bytes} bytes")),
            ("sha256", entry.sha256.clone()),
        ];
        for (name, value) in ids.into_iter().map(|id| ("id", id)).chain(about) {
            say(&format!("{name:12} {value}"))?;
        }
        Ok(())
    }
}
