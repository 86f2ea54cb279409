//! Loads what a path on the command line names: a dataset file, a run directory or an agent file.
use std::path::{Path, PathBuf};

use crate::distill::{Agent, Teacher};
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{AgentFile, Dataset, RunDirectory};

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
            "this run has no dataset yet; `potstill resume` goes on with it until there is one",
        )),
    }
}

/// Loads the dataset that `path` names.
pub(super) fn dataset(path: &Path) -> Result<Dataset> {
    Dataset::load(dataset_path(path)?)
}

/// Loads the agent file `path`; `None` if it is something else.
pub(super) fn agent_file(path: &Path) -> Result<Option<AgentFile>> {
    match !path.is_dir() && AgentFile::is_agent(path) {
        true => AgentFile::load(path).map(Some),
        false => Ok(None),
    }
}

/// Loads the agent file `path`, or trains a learner, initialized with `seed`, on the dataset that `path` names. With
/// `untaught` the learner stays as it was initialized.
pub(super) fn agent(path: &Path, registry: &Registry, seed: u64, untaught: bool) -> Result<Agent> {
    if let Some(file) = agent_file(path)? {
        if untaught {
            return Err(Error::usage(
                "--untaught needs a dataset or a run: the agent of an agent file is already trained",
            ));
        }
        return Agent::from_file(file, registry);
    }
    let mut dataset = dataset(path)?;
    if untaught {
        // A step of no length leaves the learner as it was initialized.
        dataset.inner_lr = f32::MIN_POSITIVE;
    }
    Teacher::of_dataset(&dataset, registry, None)?.train(seed)
}
