//! Imports the datasets released with the paper, which are PyTorch state dictionaries.
//!
//! Those of cart-pole and Atari hold `x` `[k, …observation]`, `y` `[k, actions]` and `inner_lr` `[]`. Those of MuJoCo
//! hold them within `distiller`, with `y_mean` `[k, A]` and `y_logstd` `[1, A]` in place of `y`. The inner loss of the
//! code that made them is that of the objective `ppmo-as-published`, so that η means what it meant there.
use std::path::Path;

use potstill_plugin_api::Space;

use super::dataset::{Dataset, DatasetEnvironment, DatasetInfo, PluginRecord};
use super::pytorch::PytorchFile;
use super::tensor::NamedTensor;
use crate::engine::inner::Inner;
use crate::engine::policy::LOG_STD;
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

/// A dataset of a PyTorch file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The dataset. It has no scores, and its seed, meta-epochs and environment steps are 0.
    pub dataset: Dataset,
    /// What the names of its tensors begin with, if not as in the released files: `module.` of a model wrapped for
    /// several devices, `_orig_mod.` of a compiled one.
    pub prefix: Option<String>,
}

/// Reads a dataset of the paper from a PyTorch file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is not a PyTorch file, lacks a tensor (the message
/// lists those found), or does not fit the environment.
pub fn import_pytorch(path: impl AsRef<Path>, target: ImportTarget) -> Result<Imported> {
    let path = path.as_ref();
    let file = PytorchFile::open(path)?;
    let prefix = prefix(&file).map_err(|what| Error::file(path, what))?;
    let find = |key: &str, name: &str| -> Result<NamedTensor> {
        let found = file.tensor(&format!("{prefix}{key}"))?.ok_or_else(|| {
            let names: Vec<_> = file.names().take(40).collect();
            let found =
                if names.is_empty() { "no tensor".into() } else { format!("only: {}", names.join(", ")) };
            let what = format!("no distilled dataset: `{prefix}{key}` is missing; the file holds {found}");
            Error::file(path, what)
        })?;
        Ok(NamedTensor { name: name.to_owned(), ..found })
    };
    let x = find("x", "x")?;
    let (y, extra) = match target.environment.spec.action {
        Space::Box { .. } => {
            let log_std = find("y_logstd", LOG_STD)?;
            (find("y_mean", "y")?, vec![NamedTensor { shape: vec![1, log_std.data.len()], ..log_std }])
        }
        _ => (find("y", "y")?, vec![]),
    };
    let inner_lr = find("inner_lr", "inner_lr")?;
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
        inner: Inner::default(),
        scores: vec![],
        seed: 0,
        meta_epochs: 0,
        environment_steps: 0,
        software: format!("potstill {}", env!("CARGO_PKG_VERSION")),
        origin: Some(format!("imported from {origin}")),
    };
    let dataset = Dataset { x, y, inner_lr, extra, info };
    dataset.validate().map_err(|what| Error::file(path, what))?;
    let prefix = Some(prefix).filter(|prefix| !RELEASED.contains(&prefix.as_str()));
    Ok(Imported { dataset, prefix })
}

/// What the names of a dataset's tensors begin with in the released files.
const RELEASED: [&str; 2] = ["", "distiller."];

/// What the names of the dataset's tensors begin with in `file`.
///
/// # Errors
/// There are several datasets, none of them named as in the released files.
fn prefix(file: &PytorchFile) -> Result<String, String> {
    let prefixes = file.names().filter_map(|name| name.strip_suffix('x'));
    let prefixes =
        prefixes.filter(|p| (p.is_empty() || p.ends_with('.')) && file.has(&format!("{p}inner_lr")));
    let prefixes: Vec<&str> = prefixes.collect();
    let released = RELEASED.into_iter().find(|prefix| prefixes.contains(prefix));
    match (released, &prefixes[..]) {
        (Some(prefix), _) | (None, &[prefix]) => Ok(prefix.to_owned()),
        // The errors that follow name what is missing.
        (None, []) => {
            Ok(if file.names().any(|n| n.starts_with(RELEASED[1])) { RELEASED[1] } else { "" }.into())
        }
        (None, several) => Err(format!(
            "several datasets, whose tensors begin with `{}`: save one of them alone",
            several.join("`, `")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::dataset::tests::{cartpole_spec, info};
    use potstill_plugin_api::EnvironmentSpec;
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

    fn imported(name: &str) -> Imported {
        import_pytorch(fixture(name), target(4, Space::Discrete { n: 2 })).unwrap()
    }

    #[test]
    fn cartpole_of_both_formats() {
        for name in ["cartpole.pt", "cartpole-legacy.pt"] {
            let Imported { dataset, prefix } = imported(name);
            assert_eq!(dataset.x.data, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]);
            assert_eq!(
                (&dataset.y.shape[..], &dataset.y.data[..]),
                (&[2, 2][..], &[-1.0, 1.0, 1.0, -1.0][..])
            );
            assert_eq!((dataset.k(), dataset.inner_lr, dataset.extra.len()), (2, 1.5, 0));
            assert_eq!(prefix, None);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("dataset.safetensors");
            dataset.save(&path).unwrap();
            assert_eq!(Dataset::load(&path).unwrap(), dataset);
        }
    }

    #[test]
    fn as_people_save_them() {
        let released = imported("cartpole.pt").dataset;
        let negated = imported("negated.pt").dataset;
        let opposite: Vec<f32> = released.x.data.iter().map(|v| -v).collect();
        assert_eq!((&negated.x.data, &negated.y), (&opposite, &released.y));
        let Imported { dataset: wrapped, prefix } = imported("wrapped.pt");
        assert_eq!((&wrapped.x, prefix.as_deref()), (&released.x, Some("module.")));
        assert_eq!(imported("number.pt").dataset.inner_lr, 1.5, "η is a number, not a tensor");
    }

    #[test]
    fn mujoco_with_its_log_std() {
        let action = || Space::Box { shape: vec![2], low: vec![-1.0], high: vec![1.0] };
        let Imported { dataset, prefix } = import_pytorch(fixture("mujoco.pt"), target(3, action())).unwrap();
        assert_eq!((&dataset.x.shape[..], &dataset.y.shape[..]), (&[4, 3][..], &[4, 2][..]));
        let log_std = dataset.extra("log_std").unwrap();
        assert_eq!((&log_std.shape[..], &log_std.data[..]), (&[1, 2][..], &[-0.5, 0.5][..]));
        assert_eq!((dataset.inner_lr, prefix), (0.25, None));
        let error = import_pytorch(fixture("cartpole.pt"), target(4, action())).unwrap_err().to_string();
        assert!(error.contains("`y_logstd` is missing; the file holds only: inner_lr, x, y"), "{error}");
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
        let error = import("mujoco.pt", 2);
        assert!(
            error.contains("`distiller.y` is missing; the file holds only: distiller.inner_lr"),
            "{error}"
        );
        let error = import("bzip2.pt", 2);
        assert!(
            error.contains("is compressed with bzip2, which is not read") && error.contains("torch.save"),
            "{error}"
        );
    }
}
