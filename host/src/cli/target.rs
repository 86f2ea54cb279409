//! Loads what a path on the command line names: a dataset file, a run directory or an agent file.
use std::path::{Path, PathBuf};

use crate::distill::{Agent, Teacher};
use crate::error::{Error, Result};
use crate::plugin::{Recorded, Registry};
use crate::run::{AgentFile, Dataset, PluginVersion, RunDirectory};

/// The plugins that a run recorded and its configuration names; none if `path` is neither a run directory nor in one.
pub(super) fn recorded(path: &Path) -> Vec<Recorded> {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let plugins = folder.map(|folder| RunDirectory::inspect(folder).and_then(|run| run.plugins()));
    let plugins = plugins.and_then(Result::ok).unwrap_or_default().into_iter();
    plugins
        .filter_map(|PluginVersion { id, path, sha256, .. }| {
            Some(Recorded { id, path: path?, sha256: Some(sha256?) })
        })
        .collect()
}

/// The dataset file that `path` names: `path` itself, or the dataset in the run directory `path`.
pub(super) fn dataset_path(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let dataset = RunDirectory::inspect(path)?.dataset_path();
    match dataset.is_file() {
        true => Ok(dataset),
        false => Err(Error::file(
            path,
            "this run has no dataset; `potstill resume` continues it until there is one, or restores a lost one",
        )),
    }
}

/// Loads the dataset that `path` names.
pub(super) fn dataset(path: &Path) -> Result<Dataset> {
    Dataset::load(dataset_path(path)?)
}

/// Loads the agent file `path`, or trains a learner, initialized with `seed`, on the dataset that `path` names. With
/// `untaught` the learner stays as it was initialized.
pub(super) fn agent(path: &Path, registry: &Registry, seed: u64, untaught: bool) -> Result<Agent> {
    if !path.is_dir() && AgentFile::is_agent(path) {
        if untaught {
            return Err(Error::usage(
                "--untaught needs a dataset or a run: the agent of an agent file is already trained",
            ));
        }
        return Agent::from_file(AgentFile::load(path)?, registry);
    }
    let mut dataset = dataset(path)?;
    if untaught {
        // A step of no length leaves the learner as it was initialized.
        dataset.inner_lr = f32::MIN_POSITIVE;
    }
    Teacher::of_dataset(&dataset, registry, None)?.train(seed)
}
