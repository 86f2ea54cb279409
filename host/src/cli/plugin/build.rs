//! `potstill plugin build`: compiles a plugin from its folder and tries to load it.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::author::build::build;
use crate::cli::{print_json, say_named, tell};
use crate::error::{Error, Result};
use crate::plugin::{Entry, Registry};

/// Build a plugin's component or shared library from its folder (Rust, C or Python)
///
/// The result is loaded once, to see that it works.
#[derive(Args)]
#[command(after_help = "\
Examples:
  potstill plugin build corridor
  potstill plugin build corridor --out dist

Environment variables:
  CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS  Compilers and options for shared libraries in C and C++
  POTSTILL_WEB_RUSTC                  For components in Rust without rustup: a rustc that has the
                                      source of the standard library [default: /usr/bin/rustc]")]
pub(in crate::cli) struct Build {
    /// The folder with plugin.toml and the source
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Write the binary and plugin.toml to this folder, and leave the plugin's folder unchanged
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(&self) -> Result<()> {
        let file = build(&self.folder, self.out.as_deref())?;
        let registry = Registry::of(&[file.parent().unwrap_or(Path::new(".")).to_owned()], &[])?;
        let made: Vec<&Entry> = registry.entries().iter().filter(|entry| entry.path.is_some()).collect();
        let [entry, ..] = made[..] else {
            return Err(Error::file(file, "was built, but no plugin is found in it"));
        };
        let ids: Vec<String> = made.iter().filter_map(|e| e.id.as_ref()).map(ToString::to_string).collect();
        registry.try_out(&made, &mut tell)?;
        let bytes = std::fs::metadata(&file).map_or(0, |meta| meta.len());
        if self.json {
            let (path, sha256) = (file.to_string_lossy(), &entry.sha256);
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
            say_named(name, 12, &value)?;
        }
        Ok(())
    }
}
