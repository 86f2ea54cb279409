//! Run directories of an experiment: created, resumed, or reused as they are.
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::cli::distill::leave_pictures;
use crate::cli::tell;
use crate::cli::watch::{STOP, Watcher};
use crate::distill::{Changed, Distillation, Prepared, Setup, Teacher};
use crate::error::{Error, IoContext, Result};
use crate::plugin::Registry;
use crate::run::{
    Dataset, DistillConfig, MetricsRecord, RunDirectory, Versions, changes, listed, read_metrics,
};

/// Where an experiment's runs are, and how they are made.
pub(super) struct Runs {
    /// The folder of the run directories.
    pub(super) dir: PathBuf,
    /// CPU threads.
    pub(super) threads: usize,
    /// Runs of each training, with seeds 0, 1, ….
    pub(super) seeds: u64,
}

impl Runs {
    /// The dataset that `config` gives, in the run directory `name`: reused if the run is done, resumed if it was
    /// stopped, created if there is none.
    pub(super) fn dataset(&self, registry: &Registry, name: &str, config: DistillConfig) -> Result<Dataset> {
        let path = self.dir.join(name);
        let setup = Setup::new(config, registry)?;
        if path.join("config.toml").is_file() {
            let run = RunDirectory::inspect(&path)?;
            same(&path, &Setup::new(run.config()?, registry)?.config, &setup.config)?;
            if let Some(dataset) = finished(&run.dataset_path()) {
                return Ok(dataset);
            }
            let run = RunDirectory::open(&path)?;
            let mut note = |warning: &str| tell(&format!("warning: {warning}"));
            let distillation =
                Prepared::new(&setup, self.threads)?.resume(&run, Changed::default(), &mut note)?;
            return go(&run, &setup, distillation);
        }
        let prepared = Prepared::new(&setup, self.threads)?;
        std::fs::create_dir_all(&self.dir).at(&self.dir)?;
        let versions = Versions::current(&setup.config.device, setup.plugins(), setup.config.seed);
        let run = RunDirectory::create(&path, &setup.config, &versions)?;
        go(&run, &setup, prepared.start(&run)?)
    }

    /// The file of the dataset that the run `name` gave.
    pub(super) fn dataset_path(&self, name: &str) -> PathBuf {
        self.dir.join(name).join("dataset.safetensors")
    }

    /// The file of an agent that the dataset of the run `name` taught, beside it.
    pub(super) fn agent(&self, registry: &Registry, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name).join("agent.safetensors");
        if !path.exists() {
            let dataset = Dataset::load(self.dataset_path(name))?;
            Teacher::of_dataset(&dataset, registry, None)?.train(0)?.to_file().save(&path)?;
        }
        Ok(path)
    }

    /// The metrics of the run `name`.
    pub(super) fn metrics(&self, name: &str) -> Result<Vec<MetricsRecord>> {
        read_metrics(self.dir.join(name).join("metrics.jsonl"))
    }
}

/// Refuses a run with another configuration, because its figure does not belong in the table.
fn same(path: &Path, was: &DistillConfig, is: &DistillConfig) -> Result<()> {
    let changed = changes(was, is)?;
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "{} holds a run whose configuration is not the experiment's ({}): move it away, or choose another --dir",
            path.display(),
            listed(&changed)
        ))),
    }
}

/// The dataset at `path`, if its run is finished. It then has both final scores.
fn finished(path: &Path) -> Option<Dataset> {
    Dataset::load(path).ok().filter(|dataset| dataset.info.scores.len() == 2)
}

fn go(run: &RunDirectory, setup: &Setup<'_>, distillation: Distillation<'_>) -> Result<Dataset> {
    tell(&run.path().display().to_string());
    let mut watcher = Watcher::new(setup.config.meta_epochs, distillation.meta_epoch(), false);
    let outcome = distillation.run(&STOP, &mut |progress| watcher.show(&progress));
    watcher.finish();
    let outcome = outcome?;
    leave_pictures(setup, run, &outcome)?;
    Ok(outcome.dataset)
}

/// Ends the command between two pieces of work if Ctrl-C was pressed.
pub(super) fn unless_stopped() -> Result<()> {
    match STOP.load(Ordering::Relaxed) {
        true => Err(Error::Interrupted("; run the same command again to continue".into())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_there_is_taken_if_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs { dir: folder.path().to_owned(), threads: 1, seeds: 1 };
        let registry = Registry::of(&[], &[]).unwrap();
        let text = "meta_epochs = 1\n[environment]\nsteps = 8\n[ppo]\npolicy_epochs = 1\n\
                    [evaluation]\nlearners = 1\nepisodes = 1\nvalidation_learners = 1\nvalidation_episodes = 1\n";
        let dataset = |changed: &str| {
            let config = DistillConfig::parse(&format!("{changed}{text}")).unwrap();
            runs.dataset(&registry, "run", config)
        };
        let first = dataset("").unwrap();
        assert_eq!(dataset("threads = 2\n").unwrap().info.scores, first.info.scores);
        let error = dataset("seed = 1\n").unwrap_err().to_string();
        let expected = "run holds a run whose configuration is not the experiment's (seed: 0 → 1)";
        assert!(error.contains(expected), "{error}");
    }
}
