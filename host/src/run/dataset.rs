//! The dataset file: θ = {X, Y}, the inner learning rate η, and the metadata needed to use and judge them.
//!
//! It is a safetensors file, which any reader of that format opens:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `x` | `[k, …observation]` | the instances X |
//! | `y` | `[k, policy outputs]` | their labels Y: logits, or the mean of a continuous action |
//! | `inner_lr` | `[]` | η, the learning rate of the inner rule |
//! | `log_std` | any, with as many elements as policy outputs | the label of a Gaussian policy's log standard deviation |
//! | `theta.…` | any | further parts of θ that the objective learned |
//! | `encoder.…` | any | the parameters ξ of the learner's encoder |
//! | `normalizer.mean`, `.variance`, `.count` | `[observation]`, `[1]` | the moments that normalize observations |
//!
//! The header's metadata holds `format` = `potstill-dataset`, the JSON value `potstill` that [`DatasetInfo`] describes,
//! and `sha256`, a checksum of both and of the tensors.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use potstill_plugin_api::{EnvironmentSpec, OptionValue, Space};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::atomic::Durability;
use super::entries::Entries;
use super::tensor::{Container, Kind, MAX_FILE, NamedTensor, parse_safetensors, write_safetensors};
use crate::engine::evaluate::Score;
use crate::engine::inner::Inner;
use crate::engine::normalize::Moments;
use crate::engine::policy::LOG_STD;
use crate::engine::theta::{ENCODER, NORMALIZER};
use crate::engine::wrappers::Wrappers;
use crate::error::{Error, Result};
use crate::files;

pub(super) const KIND: Kind = Kind {
    format: "potstill-dataset",
    name: "a dataset",
    otherwise: "not a distilled dataset: a safetensors file without Potstill's metadata. To import a PyTorch dataset \
                released with the paper, give its `.pt` file",
    most: MAX_FILE,
};
/// What the names of further parts of θ start with.
const THETA: &str = "theta.";
/// The newest format. Version 2 has `inner`, without which a reader would teach otherwise; all other files have version 1, so
/// that older releases read them.
const FORMAT_VERSION: u32 = 2;

/// A distilled dataset: one batch, and what it was distilled from.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The instances X, `[k, …observation]`, named `x`.
    pub x: NamedTensor,
    /// Their labels Y, `[k, policy outputs]`, named `y`.
    pub y: NamedTensor,
    /// The learning rate η of the inner rule, which is finite and positive.
    pub inner_lr: f32,
    /// All other tensors by name: `log_std`, `theta.…`, `encoder.…`, `normalizer.…`.
    pub extra: Vec<NamedTensor>,
    /// What the dataset is for, and how good it is.
    pub info: DatasetInfo,
}

/// The metadata of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The environment that was distilled.
    pub environment: DatasetEnvironment,
    /// The learner distribution Λ that the dataset teaches.
    pub learner: PluginRecord,
    /// The meta-objective that it was distilled with.
    pub objective: PluginRecord,
    /// The inner steps in which it teaches; one step of the objective's rule on all instances is not recorded.
    #[serde(default, skip_serializing_if = "Inner::is_one_step")]
    pub inner: Inner,
    /// The scores of taught learners.
    #[serde(default)]
    pub scores: Vec<Score>,
    /// The seed of the distillation.
    pub seed: u64,
    /// The number of meta-epochs of the distillation.
    pub meta_epochs: u64,
    /// The number of environment steps of the distillation, without validations.
    pub environment_steps: u64,
    /// The program that wrote the file, e.g. `potstill 0.1.0`.
    pub software: String,
    /// Where the dataset comes from, if it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// An environment as datasets, agents and transitions record it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetEnvironment {
    /// The environment's full id, e.g. `nd-cartpole-v1`.
    pub id: String,
    /// The version of the plugin.
    pub version: String,
    /// The options of the environment.
    #[serde(default)]
    pub settings: BTreeMap<String, OptionValue>,
    /// The entries of the observation that learners see; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Entries>,
    /// The host's wrappers around the environment. Those that are for learning only are not recorded.
    #[serde(default, skip_serializing_if = "Wrappers::is_none")]
    pub wrappers: Wrappers,
    /// The SHA-256 of the plugin's file in hexadecimal; `None` for a built-in.
    #[serde(default)]
    pub plugin_sha256: Option<String>,
    /// The spaces and limits under these options. The observation space is that of what learners see: of the
    /// observed entries, in the wrappers.
    pub spec: EnvironmentSpec,
}

/// A learner or an objective as datasets and agents record it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// The plugin's id.
    pub id: String,
    /// The plugin's options by name.
    #[serde(default)]
    pub options: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    format_version: u32,
    #[serde(flatten)]
    info: DatasetInfo,
}

impl Dataset {
    /// The number k of instances.
    pub fn k(&self) -> usize {
        self.x.shape.first().copied().unwrap_or(0)
    }

    /// The part `name` of θ: `x`, `y`, `inner_lr` or another that the objective learned.
    pub fn part(&self, name: &str) -> Option<NamedTensor> {
        match name {
            "x" => Some(self.x.clone()),
            "y" => Some(self.y.clone()),
            "inner_lr" => Some(NamedTensor::scalar("inner_lr", self.inner_lr)),
            other => self.extra(&Self::name_of_part(other)).cloned(),
        }
    }

    /// The name in the file of a part of θ other than `x`, `y` and `inner_lr`.
    pub fn name_of_part(part: &str) -> String {
        if part == LOG_STD { part.to_owned() } else { format!("{THETA}{part}") }
    }

    /// The names in the file of all parts of θ other than `x`, `y` and `inner_lr`.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let names = self.extra.iter().map(|tensor| tensor.name.as_str());
        names.filter(|name| *name == LOG_STD || name.starts_with(THETA))
    }

    /// The tensor `name` of [`Dataset::extra`](Dataset#structfield.extra).
    pub fn extra(&self, name: &str) -> Option<&NamedTensor> {
        self.extra.iter().find(|tensor| tensor.name == name)
    }

    /// Reads and checks a dataset file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is not a dataset, is damaged, comes from a newer
    /// version, or is refused by [`Dataset::validate`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_hashed(path).map(|(dataset, _)| dataset)
    }

    /// As [`Dataset::load`], with the SHA-256 of the file in hexadecimal.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn load_hashed(path: impl AsRef<Path>) -> Result<(Self, String)> {
        let path = path.as_ref();
        let bytes = files::read_or_pipe(path, KIND.most)?;
        let dataset = Self::parse(&bytes).map_err(|what| Error::file(path, what))?;
        Ok((dataset, format!("{:x}", Sha256::digest(&bytes))))
    }

    /// As [`Self::load`], from the bytes of the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let dataset = Self::from_container(parse_safetensors(bytes, &KIND)?)?;
        dataset.validate()?;
        Ok(dataset)
    }

    fn from_container(container: Container) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(&container.info)
            .map_err(|e| format!("the metadata is not valid JSON ({e})"))?;
        match value.get("format_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(FORMAT_VERSION) => {
                return Err(format!(
                    "dataset format {version}; this Potstill ({}) reads up to {FORMAT_VERSION}: upgrade it",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            Some(1..) => {}
            _ => return Err("the metadata has no `format_version`".into()),
        }
        let Versioned { format_version, info } =
            serde_json::from_value(value).map_err(|e| format!("the metadata is incomplete ({e})"))?;
        if format_version == 1 && !info.inner.is_one_step() {
            return Err("dataset format 1 has no `inner`: its `format_version` must be 2".into());
        }

        let mut tensors = container.tensors;
        let found: BTreeSet<_> = tensors.iter().map(|t| t.name.clone()).collect();
        let found = found.into_iter().collect::<Vec<_>>().join(", ");
        let mut take = |name: &str| {
            let at = tensors.iter().position(|t| t.name == name);
            at.map(|at| tensors.remove(at))
                .ok_or_else(|| format!("tensor `{name}` is missing; the file holds: {found}"))
        };
        let (x, y, inner_lr) = (take("x")?, take("y")?, take("inner_lr")?);
        let inner_lr = match inner_lr.data[..] {
            [value] => value,
            _ => return Err(format!("`inner_lr` has shape {:?}; expected a scalar", inner_lr.shape)),
        };
        Ok(Dataset { x, y, inner_lr, extra: tensors, info })
    }

    /// Checks that the tensors fit the environment, that every value is finite, and that the scores are possible.
    ///
    /// # Errors
    /// Names the tensor, and says what was expected and what it holds.
    pub fn validate(&self) -> Result<(), String> {
        let spec = &self.info.environment.spec;
        self.info.environment.wrappers.check()?;
        for (name, space) in [("observation", &spec.observation), ("action", &spec.action)] {
            space.validate().map_err(|e| format!("the {name} space of `{}`: {e}", spec.id))?;
        }
        let k = match self.x.shape.first() {
            Some(0) => return Err("`x` has no instances (k = 0)".into()),
            Some(k) => *k,
            None => return Err("`x` is a scalar; expected [k, …observation]".into()),
        };
        self.info.inner.check(k)?;
        if self.x.shape[1..] != spec.observation.shape()[..] {
            return Err(format!(
                "`x` has shape {:?}; the observation space {} asks for [k, …] with instances of shape {:?}",
                self.x.shape,
                spec.observation,
                spec.observation.shape()
            ));
        }
        let outputs = spec.action.policy_outputs();
        match self.y.shape[..] {
            [rows, _] if rows != k => {
                return Err(format!(
                    "`x` has {k} instances and `y` has {rows} labels; expected one label each"
                ));
            }
            [_, width] if width == outputs => {}
            _ => {
                return Err(format!(
                    "`y` has shape {:?}; the action space {} asks for [{k}, {outputs}]",
                    self.y.shape, spec.action
                ));
            }
        }
        if let Some(log_std) = self.extra(LOG_STD) {
            if !matches!(spec.action, Space::Box { .. }) {
                return Err(format!("`log_std` is for continuous actions; these are {}", spec.action));
            } else if log_std.data.len() != outputs {
                return Err(format!("`log_std` has shape {:?}; expected {outputs} values", log_std.shape));
            }
        }
        if let Some(stray) = self.extra.iter().find(|tensor| !belongs(&tensor.name)) {
            return Err(format!(
                "tensor `{}` does not belong into a dataset; further parts of θ are named `{THETA}…`",
                stray.name
            ));
        }
        for tensor in [&self.x, &self.y].into_iter().chain(&self.extra) {
            if tensor.shape.iter().product::<usize>() != tensor.data.len() {
                return Err(format!(
                    "`{}` of shape {:?} holds {} values",
                    tensor.name,
                    tensor.shape,
                    tensor.data.len()
                ));
            }
            if let Some(at) = tensor.data.iter().position(|v| !v.is_finite()) {
                return Err(format!(
                    "`{}` holds {} at element {at}; expected finite values",
                    tensor.name, tensor.data[at]
                ));
            }
        }
        if !self.inner_lr.is_finite() || self.inner_lr <= 0.0 {
            return Err(format!("`inner_lr` is {}; expected a finite number above 0", self.inner_lr));
        }
        Moments::from_tensors(NORMALIZER, &self.extra, spec.observation.size()).map_err(|e| e.to_string())?;
        self.info.scores.iter().try_for_each(|score| score.check(spec.max_return))
    }

    /// Writes the dataset atomically: the file appears whole, or an earlier file stays as it was.
    /// The same dataset always gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; [`Error::File`] when [`Dataset::validate`] refuses the dataset.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.validate().map_err(|what| Error::file(path, format!("not written: {what}")))?;
        let format_version = if self.info.inner.is_one_step() { 1 } else { FORMAT_VERSION };
        let versioned = Versioned { format_version, info: self.info.clone() };
        let text = serde_json::to_string(&versioned)
            .map_err(|e| Error::file(path, format!("the metadata cannot be written as JSON: {e}")))?;
        let inner_lr = NamedTensor::scalar("inner_lr", self.inner_lr);
        let tensors: Vec<&NamedTensor> =
            [&self.x, &self.y, &inner_lr].into_iter().chain(&self.extra).collect();
        write_safetensors(path, &KIND, &text, &tensors, Durability::Disk)
    }

    /// Checks that the dataset was distilled from the environment `spec`.
    ///
    /// # Errors
    /// [`Error::Usage`] when the id or a space differs; the message says what the dataset was made for.
    pub fn check_environment(&self, spec: &EnvironmentSpec) -> Result<()> {
        self.info.environment.check("dataset was made for", spec)
    }
}

/// Whether a tensor of this name may be in a dataset beside `x`, `y` and `inner_lr`.
fn belongs(name: &str) -> bool {
    let moment = |name: &str| ["mean", "variance", "count"].contains(&name);
    name == LOG_STD
        || name.starts_with(THETA)
        || name.starts_with(ENCODER)
        || name.strip_prefix(NORMALIZER).and_then(|rest| rest.strip_prefix('.')).is_some_and(moment)
}

impl DatasetEnvironment {
    /// Says how the environment that a file records differs from the same one `now`; `None` if it does not.
    pub fn changes(&self, now: &DatasetEnvironment) -> Option<String> {
        let mut changes = vec![];
        if let (Some(then), Some(now)) = (&self.plugin_sha256, &now.plugin_sha256)
            && then != now
            && !now.is_empty()
        {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            changes.push(format!(
                "another file of its plugin (SHA-256 {}…, now {}…)",
                short(then),
                short(now)
            ));
        }
        for (name, then, now) in [
            ("observations", &self.spec.observation, &now.spec.observation),
            ("actions", &self.spec.action, &now.spec.action),
        ] {
            if then != now {
                changes.push(format!("other bounds of its {name}"));
            }
        }
        let limit = |steps: Option<u32>| {
            steps.map_or("no time limit".into(), |n| format!("a time limit of {n} steps"))
        };
        let (then, now) = (self.spec.max_episode_steps, now.spec.max_episode_steps);
        if then != now {
            changes.push(format!("{} (now {})", limit(then), limit(now)));
        }
        (!changes.is_empty()).then(|| format!("`{}` was another one: {}", self.id, changes.join(", ")))
    }

    /// Checks that a file that records this environment has the wrappers of another one, `now`. The error begins with
    /// `made`.
    ///
    /// # Errors
    /// [`Error::Usage`] names those that differ.
    pub(crate) fn check_wrappers(&self, made: &str, now: &Wrappers) -> Result<()> {
        let (own, now) = (self.wrappers.named(), now.named());
        match own.iter().chain(&now).find(|(name, _)| own.get(*name) != now.get(*name)) {
            None => Ok(()),
            Some((name, _)) => {
                let value = |of: &BTreeMap<_, String>| of.get(name).map_or("not set".into(), String::clone);
                Err(Error::usage(format!(
                    "`environment.{name}` is {} here; the {made} `{}` where it is {}: set it to that",
                    value(&now),
                    self.id,
                    value(&own)
                )))
            }
        }
    }

    /// Checks that a file that records this environment can be used with `spec`. The error begins with `made`, e.g.
    /// "dataset was made for".
    ///
    /// # Errors
    /// [`Error::Usage`] when the id or a space differs.
    pub(crate) fn check(&self, made: &str, spec: &EnvironmentSpec) -> Result<()> {
        let own = &self.spec;
        let settings = match self.settings.is_empty() {
            true => String::new(),
            false => {
                let settings = self.settings.iter().map(|(name, value)| format!("{name}={value}"));
                format!(" with {}", settings.collect::<Vec<_>>().join(", "))
            }
        };
        if own.id != spec.id {
            return Err(Error::usage(format!(
                "the {made} `{}`{settings}, not for `{}`: choose that environment, or another file",
                own.id, spec.id
            )));
        }
        for (name, own, other) in
            [("observation", &own.observation, &spec.observation), ("action", &own.action, &spec.action)]
        {
            if own.shape() != other.shape() || own.policy_outputs() != other.policy_outputs() {
                return Err(Error::usage(format!(
                    "the {made} `{}`{settings}, whose {name} space is {own}; here it is {other}: \
                     give the environment the same settings",
                    spec.id
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::evaluate::{Protocol, Sight};
    use crate::engine::policy::Acting;
    use potstill_plugin_api::Autoreset;
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors};
    use serde_json::json;

    pub(in crate::run) fn cartpole_spec() -> EnvironmentSpec {
        EnvironmentSpec {
            id: "cartpole-v1".into(),
            summary: "A pole on a cart.".into(),
            observation: Space::Box {
                shape: vec![4],
                low: vec![-4.8, f32::NEG_INFINITY, -0.418, f32::NEG_INFINITY],
                high: vec![4.8, f32::INFINITY, 0.418, f32::INFINITY],
            },
            action: Space::Discrete { n: 2 },
            max_episode_steps: Some(500),
            reward_threshold: Some(475.0),
            max_return: Some(500.0),
            autoreset: Autoreset::SameStep,
        }
    }

    pub(in crate::run) fn info(spec: EnvironmentSpec) -> DatasetInfo {
        DatasetInfo {
            environment: DatasetEnvironment {
                id: spec.id.clone(),
                version: "1.0.0".into(),
                settings: BTreeMap::from([("n".into(), OptionValue::Integer(1))]),
                observe: None,
                wrappers: Wrappers::default(),
                plugin_sha256: Some("ab".repeat(32)),
                spec,
            },
            learner: PluginRecord {
                id: "mlp".into(),
                options: json!({"width": 64, "depth": 2, "activation": "tanh"}),
            },
            objective: PluginRecord { id: "ppmo".into(), options: json!({"clip": 0.2}) },
            inner: Inner::default(),
            scores: vec![Score {
                protocol: Protocol {
                    acting: Acting::Sampled,
                    learners: 100,
                    episodes: 10,
                    seed: 7,
                    sight: Sight::Own,
                },
                mean_return: 499.25,
                std_return: 1.5,
                std_learners: 0.75,
                min_learner: 490.0,
                max_learner: 500.0,
                faults: 3,
            }],
            seed: 42,
            meta_epochs: 75,
            environment_steps: 307_200,
            software: "potstill 0.1.0".into(),
            origin: None,
        }
    }

    /// The environment of `spec`, without options and wrappers.
    pub(in crate::run) fn environment_of(spec: EnvironmentSpec) -> DatasetEnvironment {
        DatasetEnvironment {
            id: spec.id.clone(),
            version: "0.1.0".into(),
            settings: [].into(),
            observe: None,
            wrappers: Wrappers::default(),
            plugin_sha256: None,
            spec,
        }
    }

    pub(in crate::run) fn cartpole_dataset() -> Dataset {
        let x = vec![-0.35, 1.2, -2.4, 0.8, 0.9, -0.4, 1.7, -1.1];
        let y = vec![-1.6, 1.4, 1.5, -1.7];
        Dataset {
            x: NamedTensor::new("x", [2, 4], x).unwrap(),
            y: NamedTensor::new("y", [2, 2], y).unwrap(),
            inner_lr: 1.25,
            extra: vec![],
            info: info(cartpole_spec()),
        }
    }

    fn write(path: &Path, tensors: &[&NamedTensor], metadata: &[(&str, &str)]) {
        let metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let bytes =
            |tensor: &NamedTensor| tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let bytes: Vec<_> = tensors.iter().map(|tensor| bytes(tensor)).collect();
        let view = |(tensor, bytes): (&&NamedTensor, _)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap();
            (tensor.name.clone(), view)
        };
        let views = tensors.iter().zip(bytes.iter().map(Vec::as_slice)).map(view);
        std::fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    }

    fn refused(change: impl FnOnce(&mut Dataset)) -> String {
        let mut dataset = cartpole_dataset();
        change(&mut dataset);
        let message = dataset.validate().unwrap_err();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.safetensors");
        assert!(matches!(dataset.save(&path), Err(Error::File { .. })));
        // What `save` refuses, another program may have written: `load` must refuse it too.
        write_unchecked(&dataset, &path);
        match Dataset::load(&path) {
            Err(Error::File { path: p, what }) => {
                assert_eq!(p, path);
                assert_eq!(what, message);
            }
            other => panic!("{other:?}"),
        }
        message
    }

    fn write_unchecked(dataset: &Dataset, path: &Path) {
        let format_version = if dataset.info.inner.is_one_step() { 1 } else { FORMAT_VERSION };
        let text = serde_json::to_string(&Versioned { format_version, info: dataset.info.clone() }).unwrap();
        let inner_lr = NamedTensor::scalar("inner_lr", dataset.inner_lr);
        let tensors: Vec<_> = [&dataset.x, &dataset.y, &inner_lr].into_iter().chain(&dataset.extra).collect();
        write(path, &tensors, &[("format", KIND.format), ("potstill", &text)]);
    }

    fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.safetensors");
        cartpole_dataset().save(&path).unwrap();
        (folder, path)
    }

    fn load_error(path: &Path) -> String {
        match Dataset::load(path) {
            Err(Error::File { path: p, what }) => {
                assert_eq!(p, path);
                what
            }
            other => panic!("expected one Error::File, got {other:?}"),
        }
    }

    #[test]
    fn same_dataset_same_bytes_and_back() {
        let (folder, path) = saved();
        assert_eq!(Dataset::load(&path).unwrap(), cartpole_dataset());
        let again = folder.path().join("again.safetensors");
        cartpole_dataset().save(&again).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), std::fs::read(again).unwrap());
    }

    #[test]
    fn says_what_is_wrong_with_the_tensors() {
        let all = |shape: &[usize]| vec![0.5; shape.iter().product()];
        let tensor = |name: &str, shape: &[usize]| NamedTensor::new(name, shape, all(shape)).unwrap();
        assert!(refused(|d| d.x = tensor("x", &[0, 4])).contains("k = 0"));
        assert!(refused(|d| d.x = tensor("x", &[])).contains("scalar"));
        assert!(refused(|d| d.x = tensor("x", &[2, 5])).contains("[2, 5]"));
        assert!(refused(|d| d.y = tensor("y", &[3, 2])).contains("3 labels"));
        assert!(refused(|d| d.y = tensor("y", &[2, 3])).contains("Discrete(2)"));
        assert!(refused(|d| d.y = tensor("y", &[4])).contains("[2, 2]"));
        assert!(refused(|d| d.x.data[5] = f32::NAN).contains("NaN at element 5"));
        assert!(refused(|d| d.y.data[0] = f32::INFINITY).contains("`y` holds inf"));
        assert_eq!(refused(|d| d.info.inner.steps = 0), "`inner.steps` is 0; expected 1 to 10000");
        assert!(refused(|d| d.inner_lr = 0.0).contains("inner_lr"));
        assert!(refused(|d| d.inner_lr = f32::NAN).contains("inner_lr"));
        assert!(refused(|d| d.extra.push(tensor("log_std", &[2]))).contains("for continuous actions"));
        assert!(
            refused(|d| {
                let action = Space::unbounded([2]);
                d.info.environment.spec = EnvironmentSpec { action, ..cartpole_spec() };
                d.extra.push(tensor("log_std", &[3]));
            })
            .contains("`log_std` has shape [3]; expected 2 values")
        );
        for stray in ["z", "normalizer.sum", "encoder", "Theta.rates"] {
            let expected = format!("tensor `{stray}` does not belong into a dataset");
            assert!(refused(|d| d.extra.push(tensor(stray, &[1]))).contains(&expected), "{stray}");
        }
        for (name, value) in [("count", -5.0), ("variance", -0.25)] {
            let mut moments = Moments::new(4).to_tensors("normalizer");
            moments.iter_mut().filter(|t| t.name.ends_with(name)).for_each(|t| t.data[0] = value);
            let error = refused(|d| d.extra.extend(moments));
            assert!(error.contains(&format!("`normalizer.…` holds {value}")), "{error}");
        }
        assert!(refused(|d| d.extra.push(tensor("normalizer.mean", &[4]))).contains("incomplete"));
        let wrapped = refused(|d| d.info.environment.wrappers.frame_stack = Some(0));
        assert_eq!(wrapped, "the wrapper `frame_stack` is 0; expected 1 to 1000");
        assert!(
            refused(|d| d.info.environment.spec.action = Space::Discrete { n: 0 }).contains("action space")
        );
    }

    #[test]
    fn a_score_must_be_possible() {
        type Change = fn(&mut Score);
        let changes: [(Change, &str); 9] = [
            (|s| s.protocol.learners = 0, "0 learners × 10 episodes have no score"),
            (|s| s.protocol.episodes = 0, "100 learners × 0 episodes have no score"),
            (|s| s.faults = 1001, "1001 episodes failed, of 100 × 10"),
            (|s| s.mean_return = f64::NAN, "a mean return of NaN"),
            (|s| s.std_return = -1.0, "a mean return of 499.25 ± -1"),
            (|s| s.std_learners = f64::INFINITY, "(inf over learners)"),
            (|s| s.mean_return = 1e9, "a mean return of 1000000000, of learners from 490 to 500"),
            (|s| s.mean_return = 480.0, "a mean return of 480, of learners from 490 to 500"),
            (
                |s| s.max_learner = 501.0,
                "a learner's mean return of 501; the environment's maximum return is 500",
            ),
        ];
        for (change, expected) in changes {
            let mut dataset = cartpole_dataset();
            change(&mut dataset.info.scores[0]);
            let error = dataset.validate().unwrap_err();
            assert!(error.starts_with("an impossible score: ") && error.contains(expected), "{error}");
        }
        let mut unbounded = cartpole_dataset();
        unbounded.info.environment.spec.max_return = None;
        unbounded.info.scores[0].max_learner = 501.0;
        unbounded.validate().unwrap();
    }

    #[test]
    fn others_may_add_metadata() {
        let (_folder, path) = saved();
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let own = header.metadata().clone().unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
        let with = |key: &str, value: &str| {
            let mut metadata = own.clone();
            metadata.insert(key.into(), value.into());
            Dataset::parse(&safetensors::serialize(tensors.clone(), Some(metadata)).unwrap())
        };
        for (key, value) in [("author", "somebody"), ("format", "pt"), ("license", "CC0")] {
            assert_eq!(with(key, value).unwrap(), cartpole_dataset(), "{key}");
        }
        assert!(with("format", "potstill-agent").unwrap_err().contains("`potstill-agent` file"));
        assert!(with("sha257", "").unwrap_err().contains("unknown metadata `sha257`"));
        let changed = own["potstill"].replace("\"seed\":42", "\"seed\":43");
        assert!(with("potstill", &changed).unwrap_err().contains("does not match its checksum"));
    }

    #[test]
    fn says_what_has_changed_since() {
        let then = info(cartpole_spec()).environment;
        let mut now = then.clone();
        assert_eq!(then.changes(&now), None);
        now.version = "2.0.0".into();
        now.spec.summary = "In other words.".into();
        assert_eq!(then.changes(&now), None);
        now.plugin_sha256 = Some("cd".repeat(32));
        now.spec.observation = Space::unbounded([4]);
        now.spec.max_episode_steps = None;
        assert_eq!(
            then.changes(&now).unwrap(),
            "`cartpole-v1` was another one: another file of its plugin (SHA-256 abababababab…, now cdcdcdcdcdcd…), \
             other bounds of its observations, a time limit of 500 steps (now no time limit)"
        );
        now.plugin_sha256 = None;
        assert!(!then.changes(&now).unwrap().contains("file"), "a built-in may run natively");
    }

    #[test]
    fn says_what_the_file_is_instead() {
        let (folder, path) = saved();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(load_error(&path).contains("cut short"));
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(load_error(&path).contains("cut short"));
        std::fs::write(&path, [&whole[..], b"and more"].concat()).unwrap();
        assert!(load_error(&path).contains("something was appended"));
        std::fs::write(&path, b"").unwrap();
        assert!(load_error(&path).contains("empty"));
        std::fs::write(&path, b"PK\x03\x04 certainly not safetensors").unwrap();
        assert!(load_error(&path).contains("PyTorch file"));
        std::fs::write(&path, b"certainly not safetensors").unwrap();
        assert!(load_error(&path).contains("not a safetensors file"));

        let tensor = NamedTensor::scalar("weight", 1.0);
        write(&path, &[&tensor], &[("format", "pt")]);
        assert!(load_error(&path).contains("without Potstill's metadata"));
        write(&path, &[&tensor], &[("format", "potstill-checkpoint"), ("potstill", "{}")]);
        assert!(load_error(&path).contains("`potstill-checkpoint` file"));
        write(&path, &[&tensor], &[("format", KIND.format), ("potstill", r#"{"format_version": 3}"#)]);
        assert!(load_error(&path).contains("dataset format 3; this Potstill"));
        write(&path, &[&tensor], &[("format", KIND.format), ("potstill", r#"{"format_version": 1}"#)]);
        assert!(load_error(&path).contains("environment"));

        let mut dataset = cartpole_dataset();
        dataset.x.name = "states".into();
        write_unchecked(&dataset, &path);
        assert!(load_error(&path).contains("`x` is missing; the file holds: inner_lr, states, y"));
        assert!(matches!(Dataset::load(folder.path().join("nothing")), Err(Error::Io { .. })));
    }

    #[test]
    fn is_for_one_environment() {
        let dataset = cartpole_dataset();
        dataset.check_environment(&cartpole_spec()).unwrap();
        let other = EnvironmentSpec { id: "pong-v5".into(), ..cartpole_spec() };
        let message = dataset.check_environment(&other).unwrap_err().to_string();
        assert!(message.contains("`cartpole-v1` with n=1, not for `pong-v5`"), "{message}");
        let wider = EnvironmentSpec { action: Space::Discrete { n: 4 }, ..cartpole_spec() };
        let message = dataset.check_environment(&wider).unwrap_err().to_string();
        assert!(message.contains("Discrete(2); here it is Discrete(4)"), "{message}");
    }

    proptest! {
        #[test]
        fn round_trip_is_bit_exact(
            k in 1usize..4,
            observation in prop::collection::vec(1usize..4, 0..3),
            n in 1usize..5,
            inner_lr in (f32::MIN_POSITIVE..f32::MAX),
            values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 300),
            seed: u64,
            score in -1e9f64..1e9,
        ) {
            let mut values = values.into_iter();
            let mut tensor = |name: &str, shape: Vec<usize>| {
                let data = values.by_ref().take(shape.iter().product()).collect();
                NamedTensor::new(name, shape, data).unwrap()
            };
            let spec = EnvironmentSpec {
                observation: Space::unbounded(observation.clone()),
                action: Space::Discrete { n },
                max_return: None,
                ..cartpole_spec()
            };
            let mut dataset = Dataset {
                x: tensor("x", [&[k][..], &observation].concat()),
                y: tensor("y", vec![k, n]),
                inner_lr,
                extra: vec![tensor("theta.rates", vec![1, n]), tensor("encoder.layers.0.weight", observation)],
                info: info(spec),
            };
            dataset.info.seed = seed;
            let Score { mean_return, min_learner, max_learner, .. } = &mut dataset.info.scores[0];
            (*mean_return, *min_learner, *max_learner) = (score, score, score);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("d.safetensors");
            dataset.save(&path).unwrap();
            let loaded = Dataset::load(&path).unwrap();
            prop_assert_eq!(&loaded, &dataset);
            for (a, b) in [(&loaded.x, &dataset.x), (&loaded.y, &dataset.y)] {
                let bits = |t: &NamedTensor| t.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(a), bits(b));
            }
            prop_assert_eq!(loaded.inner_lr.to_bits(), dataset.inner_lr.to_bits());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error() {
        let (_folder, path) = saved();
        let mut bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            Dataset::parse(&bytes[..at]).unwrap_err();
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                Dataset::parse(&bytes).unwrap_err();
                bytes[at] ^= 1 << bit;
            }
        }
        Dataset::parse(&bytes).unwrap();
    }

    #[test]
    fn python_reads_it() {
        let Some(python) = std::env::var_os("POTSTILL_PYTHON") else { return };
        let (_folder, path) = saved();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python/read_dataset.py");
        let output = std::process::Command::new(python).arg(script).arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            said.starts_with("k = 2, x (2, 4), y (2, 2), η = 1.25\n") && said.contains("\"cartpole-v1\""),
            "{said}"
        );
    }

    proptest! {
        #[test]
        fn no_damage_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
            let (_folder, path) = saved();
            let whole = std::fs::read(&path).unwrap();
            let mut bytes = whole.clone();
            changes.iter().for_each(|(at, value)| bytes[at.index(whole.len())] = *value);
            std::fs::write(&path, &bytes).unwrap();
            if bytes != whole {
                load_error(&path);
            }
        }
    }
}
