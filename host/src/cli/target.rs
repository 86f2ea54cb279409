//! Loads what a path on the command line names: a dataset file, a run directory or an agent file.
use std::path::{Path, PathBuf};

use super::tell;
use crate::distill::{Agent, Teacher};
use crate::engine::learner::LearnerDistribution;
use crate::error::{Error, Result};
use crate::plugin::{Recorded, Registry};
use crate::run::{AgentFile, AgentOrDataset, Dataset, PluginVersion, RunDirectory};

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
            "this run has no dataset; `potstill resume` continues it until there is one, or restores a lost one, unless it \
             ended with an error that asks for a new run",
        )),
    }
}

/// Loads the agent file `path`, or the dataset that `path` names.
pub(super) fn load(path: &Path) -> Result<AgentOrDataset> {
    AgentOrDataset::load(dataset_path(path)?)
}

/// Makes the agent of the file `path`, and warns if its environment has changed since it was made.
pub(super) fn of_file(path: &Path, file: AgentFile, registry: &Registry) -> Result<Agent> {
    let agent = Agent::from_file(file, registry)?;
    warn(path, agent.changes());
    Ok(agent)
}

/// Loads the agent file `path`, or trains a learner, initialized with `seed`, on the dataset that `path` names. With
/// `untaught` the learner stays as it was initialized.
pub(super) fn agent(path: &Path, registry: &Registry, seed: u64, untaught: bool) -> Result<Agent> {
    let mut dataset = match load(path)? {
        AgentOrDataset::Dataset(dataset) => dataset,
        AgentOrDataset::Agent(_) if untaught => {
            return Err(Error::usage(
                "--untaught needs a dataset or a run: the agent of an agent file is already trained",
            ));
        }
        AgentOrDataset::Agent(file) => return of_file(path, file, registry),
    };
    if untaught {
        // A step of no length leaves the learner as it was initialized.
        dataset.inner_lr = f32::MIN_POSITIVE;
    }
    teacher(path, &dataset, registry, None)?.train(seed)
}

/// Finds the plugins that the dataset of `path` names, and warns if its environment has changed since it was made.
pub(super) fn teacher<'a>(
    path: &Path,
    dataset: &Dataset,
    registry: &'a Registry,
    learner: Option<Box<dyn LearnerDistribution>>,
) -> Result<Teacher<'a>> {
    let teacher = Teacher::of_dataset(dataset, registry, learner)?;
    warn(path, teacher.changes(dataset).as_deref());
    Ok(teacher)
}

/// Warns that an environment is not what it was when the file of `path` was made.
fn warn(path: &Path, changes: Option<&str>) {
    if let Some(changes) = changes {
        tell(&format!("warning: {}: when it was made, {changes}. Scores may differ", path.display()));
    }
}
