//! `potstill resume`: continues a run from its newest whole checkpoint.
use std::path::PathBuf;

use clap::Args;

use super::distill::finish;
use super::options::threads;
use super::{target, tell};
use crate::distill::{Changed, Prepared, Setup};
use crate::error::Result;
use crate::plugin::{Recorded, Registry};
use crate::run::RunDirectory;

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
    /// Continue although the run's config.toml has changed; versions.json records the change
    #[arg(long)]
    changed_config: bool,
    /// Print only the result, as JSON
    #[arg(long)]
    json: bool,
}

impl Resume {
    /// The plugins that the run began with. Plugins that the user names precede them.
    pub(super) fn plugins(&self) -> Vec<Recorded> {
        let mut recorded = target::recorded(&self.run);
        if self.changed_plugin {
            recorded.iter_mut().for_each(|plugin| plugin.sha256 = None);
        }
        recorded
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
        let prepared = Prepared::new(&setup, threads(setup.config.threads)?)?;
        let allowed = Changed { config: self.changed_config, plugins: self.changed_plugin };
        let distillation =
            prepared.resume(&run, allowed, &mut |warning| tell(&format!("warning: {warning}")))?;
        finish(&setup, &run, distillation, self.json)
    }
}
