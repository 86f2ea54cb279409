//! What a path on the command line stands for: a dataset, a run, an agent.
use std::path::{Path, PathBuf};

use crate::distill::{Agent, Teacher};
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{AgentFile, Dataset, RunDirectory};

/// The dataset file that `path` names: itself, or the dataset of the run directory it is.
pub(super) fn dataset_path(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let dataset = RunDirectory::inspect(path)?.dataset_path();
    match dataset.is_file() {
        true => Ok(dataset),
        false => Err(Error::file(
            path,
            "this run has no dataset yet; `potstill resume` goes on with it until it has",
        )),
    }
}

/// The dataset that `path` names.
pub(super) fn dataset(path: &Path) -> Result<Dataset> {
    Dataset::load(dataset_path(path)?)
}

/// The agent that `path` holds, or one that is initialised by `seed` and taught on the spot from the dataset that it
/// names. `untaught`: it stays as it was initialised.
pub(super) fn agent(path: &Path, registry: &Registry, seed: u64, untaught: bool) -> Result<Agent> {
    if !path.is_dir() && AgentFile::is_agent(path) {
        if untaught {
            return Err(Error::usage("--untaught needs a dataset or a run: an agent file is a taught agent"));
        }
        return Agent::from_file(AgentFile::load(path)?, registry);
    }
    let mut dataset = dataset(path)?;
    if untaught {
        // A step of no length: the learner as it was initialised.
        dataset.inner_lr = f32::MIN_POSITIVE;
    }
    Teacher::of_dataset(&dataset, registry, None)?.train(seed)
}
