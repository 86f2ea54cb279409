//! Imports the datasets released with the paper, which are PyTorch state dictionaries.
//!
//! Those of cart-pole and Atari hold `x` `[k, …observation]`, `y` `[k, actions]` and `inner_lr` `[]`. Those of MuJoCo
//! hold them within `distiller`, with `y_mean` `[k, A]` and `y_logstd` `[1, A]` in place of `y`.
use std::path::Path;

use super::dataset::{Dataset, DatasetEnvironment, DatasetInfo, PluginRecord};
use super::pytorch::PytorchFile;
use super::tensor::NamedTensor;
use crate::error::{Error, Result};

/// The facts about a dataset that its PyTorch file does not contain.
#[derive(Clone, Debug)]
pub struct ImportTarget {
    /// The environment that was distilled.
    pub environment: DatasetEnvironment,
    /// The learners that the dataset teaches.
    pub learner: PluginRecord,
    /// The meta-objective that it was distilled with.
    pub objective: PluginRecord,
}

/// Reads a dataset of the paper from a PyTorch file. The dataset has no scores, and its seed, meta-epochs and
/// environment steps are 0.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is not a PyTorch file, lacks a tensor (the message
/// lists those found), or does not fit the environment.
pub fn import_pytorch(path: impl AsRef<Path>, target: ImportTarget) -> Result<Dataset> {
    let path = path.as_ref();
    let file = PytorchFile::open(path)?;
    let prefix = if file.names().any(|name| name.starts_with("distiller.")) { "distiller." } else { "" };
    let find = |key: &str, name: &str| -> Result<Option<NamedTensor>> {
        let found = file.tensor(&format!("{prefix}{key}"))?;
        Ok(found.map(|tensor| NamedTensor { name: name.to_owned(), ..tensor }))
    };
    let missing = |key: &str| {
        let names: Vec<_> = file.names().take(40).collect();
        let found = if names.is_empty() { "no tensor".into() } else { format!("only: {}", names.join(", ")) };
        Error::file(path, format!("no distilled dataset: `{prefix}{key}` is missing; the file holds {found}"))
    };
    let x = find("x", "x")?.ok_or_else(|| missing("x"))?;
    let (y, extra) = match find("y", "y")? {
        Some(y) => (y, vec![]),
        None => {
            let y = find("y_mean", "y")?.ok_or_else(|| missing("y"))?;
            (y, vec![find("y_logstd", "log_std")?.ok_or_else(|| missing("y_logstd"))?])
        }
    };
    let inner_lr = find("inner_lr", "inner_lr")?.ok_or_else(|| missing("inner_lr"))?;
    let inner_lr = match inner_lr.data[..] {
        [value] => value,
        _ => {
            return Err(Error::file(
                path,
                format!("`inner_lr` has shape {:?}; expected a scalar", inner_lr.shape),
            ));
        }
    };
    let origin = path.file_name().unwrap_or_default().to_string_lossy();
    let info = DatasetInfo {
        environment: target.environment,
        learner: target.learner,
        objective: target.objective,
        scores: vec![],
        seed: 0,
        meta_epochs: 0,
        environment_steps: 0,
        software: format!("potstill {}", env!("CARGO_PKG_VERSION")),
        origin: Some(format!("imported from {origin}")),
    };
    let dataset = Dataset { x, y, inner_lr, extra, info };
    dataset.validate().map_err(|what| Error::file(path, what))?;
    Ok(dataset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::dataset::tests::{cartpole_spec, info};
    use potstill_plugin_api::{EnvironmentSpec, Space};
    use std::path::PathBuf;

    fn target(observation: usize, action: Space) -> ImportTarget {
        let spec =
            EnvironmentSpec { observation: Space::unbounded([observation]), action, ..cartpole_spec() };
        let DatasetInfo { environment, learner, objective, .. } = info(spec);
        ImportTarget { environment, learner, objective }
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
    }

    #[test]
    fn cartpole_of_both_formats() {
        for name in ["cartpole.pt", "cartpole-legacy.pt"] {
            let dataset = import_pytorch(fixture(name), target(4, Space::Discrete { n: 2 })).unwrap();
            assert_eq!(dataset.x.data, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]);
            assert_eq!(
                (&dataset.y.shape[..], &dataset.y.data[..]),
                (&[2, 2][..], &[-1.0, 1.0, 1.0, -1.0][..])
            );
            assert_eq!((dataset.k(), dataset.inner_lr, dataset.extra.len()), (2, 1.5, 0));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("dataset.safetensors");
            dataset.save(&path).unwrap();
            assert_eq!(Dataset::load(&path).unwrap(), dataset);
        }
    }

    #[test]
    fn mujoco_with_its_log_std() {
        let action = Space::Box { shape: vec![2], low: vec![-1.0], high: vec![1.0] };
        let dataset = import_pytorch(fixture("mujoco.pt"), target(3, action)).unwrap();
        assert_eq!((&dataset.x.shape[..], &dataset.y.shape[..]), (&[4, 3][..], &[4, 2][..]));
        assert_eq!(dataset.extra("log_std").unwrap().data, [-0.5, 0.5]);
        assert_eq!(dataset.inner_lr, 0.25);
    }

    #[test]
    fn says_what_is_missing_or_does_not_fit() {
        let import = |name, n| {
            import_pytorch(fixture(name), target(4, Space::Discrete { n })).unwrap_err().to_string()
        };
        let error = import("views.pt", 2);
        assert!(
            error.contains("views.pt: no distilled dataset: `x` is missing") && error.contains("transposed"),
            "{error}"
        );
        let error = import("cartpole.pt", 4);
        assert!(error.contains("`y` has shape [2, 2]"), "{error}");
    }
}
