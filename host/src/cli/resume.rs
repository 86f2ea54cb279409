//! `potstill resume`: continues a run from its newest whole checkpoint.
use std::path::PathBuf;

use clap::Args;

use super::distill::finish;
use super::options::threads;
use super::tell;
use crate::distill::{Prepared, Setup};
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{RunDirectory, Versions};

/// Continue a run that was interrupted or killed
///
/// The run continues from its newest whole checkpoint. On the CPU the result is that of an uninterrupted run, bit for
/// bit.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill resume runs/five\n  potstill resume runs/five --threads 2 --json"
)]
pub(super) struct Resume {
    /// The run directory
    run: PathBuf,
    /// CPU threads; 0 uses every core. Results do not depend on it
    #[arg(long, help_heading = "Machine")]
    threads: Option<usize>,
    /// Continue although the file of a plugin has changed since the run began
    #[arg(long)]
    changed_plugin: bool,
    /// Print only the result, as JSON
    #[arg(long)]
    json: bool,
}

impl Resume {
    /// The files of the plugins that the run began with, if they still exist. Plugins that the user names precede them.
    pub(super) fn plugins(&self) -> Vec<PathBuf> {
        let versions = RunDirectory::inspect(&self.run).and_then(|run| run.versions());
        let paths = versions.map(|versions| versions.plugins).unwrap_or_default().into_iter();
        paths.filter_map(|plugin| plugin.path.filter(|path| path.is_file())).collect()
    }

    /// Whether the run isolates native plugins.
    pub(super) fn isolates(&self) -> bool {
        let config = RunDirectory::inspect(&self.run).and_then(|run| run.config());
        config.is_ok_and(|config| config.isolate)
    }

    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let run = RunDirectory::open(&self.run)?;
        let mut config = run.config()?;
        config.threads = self.threads.unwrap_or(config.threads);
        let setup = Setup::new(config, registry)?;
        let (then, now) = (run.versions()?, setup.plugins());
        let changed = then.plugins.iter().find(|p| now.iter().any(|n| n.id == p.id && n.sha256 != p.sha256));
        if let Some(plugin) = changed.filter(|_| !self.changed_plugin) {
            return Err(Error::usage(format!(
                "plugin `{}` is not the file this run began with; restore it, or go on with --changed-plugin",
                plugin.id
            )));
        }
        let threads = threads(setup.config.threads)?;
        let prepared = Prepared::new(&setup, threads)?;
        if changed.is_some() {
            run.save_versions(&Versions { plugins: now, ..then })?;
        }
        let distillation = prepared.resume(&run, &mut |warning| tell(&format!("warning: {warning}")))?;
        finish(&setup, &run, distillation, self.json)
    }
}
