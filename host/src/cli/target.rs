//! `DATASET-OR-RUN`: what a path on the command line stands for.
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::run::{Dataset, RunDirectory};

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
