//! The resolved configuration of a distillation: every value a run depends on, as `config.toml` holds it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use potstill_plugin_api::OptionValue;
use serde::{Deserialize, Serialize};

use super::atomic::write_atomically;
use super::entries::Entries;
use super::learners::LearnerConfig;
use crate::engine::advantage::Estimator;
use crate::engine::optimiser::Schedule;
use crate::error::{Error, IoContext, Result, did_you_mean};

/// A plugin's options by name.
pub type Options = BTreeMap<String, OptionValue>;

/// Everything a distillation is run with. Defaults are those of PPMO on cart-pole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Outer updates of θ: each is one rollout and the policy epochs on it.
    pub meta_epochs: u64,
    /// l, how many of the learner's first layers are kept and meta-learned with θ: 0 is full distillation, all
    /// layers is direct PPO.
    pub encoder_layers: usize,
    /// `cpu`, `cuda`, `cuda:1`.
    pub device: String,
    /// CPU threads; 0 for as many as there are.
    pub threads: usize,
    /// Run native plugins in processes of their own, so that their crash is not the run's.
    pub isolate: bool,
    /// Meta-epochs from one checkpoint to the next; 0 for none but the last.
    pub checkpoint_every: u64,
    /// The environment that is distilled.
    pub environment: EnvironmentConfig,
    /// The dataset's size.
    pub dataset: DatasetConfig,
    /// The learners it has to teach.
    pub learner: LearnerConfig,
    /// The meta-objective.
    pub objective: PluginConfig,
    /// The critic of the outer loop.
    pub critic: PluginConfig,
    /// The outer optimiser.
    pub optimiser: OptimiserConfig,
    /// The reinforcement learning of the outer loop.
    pub ppo: PpoConfig,
    /// Whether observations and rewards are brought to a common size.
    pub normalize: NormalizeConfig,
    /// The fixed transitions that an offline objective learns from, in place of reinforcement learning.
    pub offline: OfflineConfig,
    /// How the dataset is scored.
    pub evaluation: EvaluationConfig,
}

/// The environment and how much of it is seen in a meta-epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentConfig {
    /// `name-vN` or `namespace/name-vN`.
    pub id: String,
    /// The plugin's options.
    pub settings: Options,
    /// Options that are others while learners act for the outer loop, such as shorter episodes or the levels to train on;
    /// scores are those of `settings`.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub training: Options,
    /// The entries of the observation that learners see: `0-44`. None: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe: Option<Entries>,
    /// Environments stepped together.
    pub envs: usize,
    /// Steps of each environment in a meta-epoch.
    pub steps: usize,
}

/// θ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetConfig {
    /// Number of instances. None: ⌈c/2⌉ + 1 for c discrete actions (the paper's minimum), 64 for continuous
    /// ones; a resolved configuration always has a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// η to start from. None: the objective's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_lr: Option<f64>,
}

/// A plugin and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin's id.
    pub id: String,
    /// The plugin's options.
    pub options: Options,
}

/// Which optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimiserKind {
    /// Adam.
    Adam,
    /// Gradient descent with momentum.
    Sgd,
}

/// The outer optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// `adam` or `sgd`.
    pub kind: OptimiserKind,
    /// Learning rate of θ and the encoder.
    pub lr: f64,
    /// Learning rate of the critic.
    pub critic_lr: f64,
    /// How both fall over the run: `constant`, `linear`, `cosine`.
    pub schedule: Schedule,
    /// Adam: added to the root of the second moment.
    pub eps: f64,
    /// Adam: decay of the first and the second moment, each in `[0, 1)`.
    pub betas: [f64; 2],
    /// Gradient descent: decay of the velocity, in `[0, 1)`.
    pub momentum: f64,
    /// The gradient's norm is clipped to this.
    pub max_grad_norm: f64,
    /// Clip θ, ξ and the critic by their joint norm, as published, instead of θ with ξ and the critic apart.
    pub joint_norm: bool,
    /// Weight of the critic's loss; matters under a joint norm.
    pub value_coefficient: f64,
    /// Learning rates of parts of θ (`x`, `y`, `inner_lr`, …) as multiples of `lr`; 1 for those not named, but 0.1 for
    /// the `log_std` of continuous actions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<String, f64>,
}

/// The reinforcement learning of the outer loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Learners drawn in a meta-epoch; the environments are shared out among them.
    pub learners: usize,
    /// Passes over the rollouts.
    pub policy_epochs: usize,
    /// Rows of a minibatch, all of one learner.
    pub minibatch: usize,
    /// Discount, in `(0, 1]`.
    pub gamma: f64,
    /// λ of the generalised advantage estimate, in `[0, 1]`.
    pub lambda: f64,
    /// How advantages are estimated: `gae` (Schulman et al. 2016), or `as-published`, with the mistake of the code released
    /// with Wilhelm & Ventura 2025. None: `as-published` for the objective `ppmo-as-published`, `gae` for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advantages: Option<Estimator>,
    /// Rewards are multiplied by this before they are learned from (never in reported returns).
    pub reward_scale: f64,
}

/// Normalisation by running moments, which the dataset file carries. None: for continuous actions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Observations to mean 0 and variance 1, element by element, within ±10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observations: Option<bool>,
    /// Rewards divided by the deviation of their discounted sums, for learning (never in reported returns).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewards: Option<bool>,
}

/// Learning from a fixed set of transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfflineConfig {
    /// A file that `potstill collect` wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// SHA-256 of that file, in hexadecimal: a resolved configuration has it, and no other file serves then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The share of the episodes, those with the highest returns, that is learned from, in `(0, 1]`.
    pub top: f64,
    /// Outer updates in a meta-epoch, each with a fresh learner.
    pub updates: usize,
    /// Transitions of a batch.
    pub minibatch: usize,
    /// Draw every action equally often, however rare it is in the data.
    pub balanced: bool,
}

/// How the dataset is scored: fresh learners, one inner step, whole episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Meta-epochs from one validation to the next; the best θ by validation becomes the dataset. 0: the last.
    pub every: u64,
    /// Ends the run after so many validations in a row whose every episode reached the environment's maximal
    /// return, when it has one. 0: never.
    pub saturated: u64,
    /// Learners of a validation.
    pub validation_learners: usize,
    /// Episodes of each.
    pub validation_episodes: usize,
    /// Learners of the final evaluation.
    pub learners: usize,
    /// Episodes of each.
    pub episodes: usize,
}

impl Default for DistillConfig {
    fn default() -> Self {
        DistillConfig {
            seed: 0,
            meta_epochs: 1000,
            encoder_layers: 0,
            device: "cpu".into(),
            threads: 0,
            isolate: false,
            checkpoint_every: 1,
            environment: EnvironmentConfig::default(),
            dataset: DatasetConfig::default(),
            learner: LearnerConfig::default(),
            objective: PluginConfig { id: "ppmo".into(), options: Options::new() },
            critic: PluginConfig {
                options: [("output-gain".to_owned(), OptionValue::Number(1.0))].into(),
                ..PluginConfig::default()
            },
            optimiser: OptimiserConfig::default(),
            ppo: PpoConfig::default(),
            normalize: NormalizeConfig::default(),
            offline: OfflineConfig::default(),
            evaluation: EvaluationConfig::default(),
        }
    }
}

impl Default for EnvironmentConfig {
    fn default() -> Self {
        EnvironmentConfig {
            id: "nd-cartpole-v1".into(),
            settings: Options::new(),
            training: Options::new(),
            observe: None,
            envs: 8,
            steps: 512,
        }
    }
}

impl Default for PluginConfig {
    fn default() -> Self {
        PluginConfig { id: "mlp".into(), options: Options::new() }
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        OptimiserConfig {
            kind: OptimiserKind::Adam,
            lr: 3.5e-3,
            critic_lr: 3.5e-3,
            schedule: Schedule::Linear,
            eps: 1e-5,
            betas: [0.9, 0.999],
            momentum: 0.5,
            max_grad_norm: 0.5,
            joint_norm: false,
            value_coefficient: 0.5,
            scale: BTreeMap::new(),
        }
    }
}

impl Default for PpoConfig {
    fn default() -> Self {
        PpoConfig {
            learners: 4,
            policy_epochs: 4,
            minibatch: 1024,
            gamma: 0.99,
            lambda: 0.95,
            advantages: None,
            reward_scale: 1.0,
        }
    }
}

impl Default for OfflineConfig {
    fn default() -> Self {
        OfflineConfig { data: None, sha256: None, top: 1.0, updates: 10, minibatch: 256, balanced: true }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        EvaluationConfig {
            every: 50,
            saturated: 10,
            validation_learners: 50,
            validation_episodes: 4,
            learners: 100,
            episodes: 100,
        }
    }
}

/// Tables whose keys belong to plugins, or to θ.
const FREE: [&str; 6] = [
    "environment.settings",
    "environment.training",
    "learner.options",
    "objective.options",
    "critic.options",
    "optimiser.scale",
];

impl DistillConfig {
    /// Reads a configuration file; what it does not mention has its default.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::File`] when it is not TOML, has an unknown key (with the
    /// nearest known one), a value of the wrong type, or one that [`DistillConfig::validate`] refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).at(path)?;
        Self::parse(&text).map_err(|what| Error::file(path, what))
    }

    /// Reads a configuration from text, as [`DistillConfig::load`] does.
    ///
    /// # Errors
    /// Says which key or value is wrong, and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        // Keys that a default leaves out are known too.
        let dataset = DatasetConfig { k: Some(1), inner_lr: Some(1.0) };
        let normalize = NormalizeConfig { observations: Some(true), rewards: Some(true) };
        let offline = OfflineConfig {
            data: Some(PathBuf::new()),
            sha256: Some(String::new()),
            ..OfflineConfig::default()
        };
        let scale = [("x".to_owned(), 1.0)].into();
        let optimiser = OptimiserConfig { scale, ..OptimiserConfig::default() };
        let ppo = PpoConfig { advantages: Some(Estimator::Gae), ..PpoConfig::default() };
        let training = [("steps".to_owned(), OptionValue::Integer(1))].into();
        let observe = Entries::try_from("0".to_owned()).ok();
        let environment = EnvironmentConfig { training, observe, ..EnvironmentConfig::default() };
        let complete = DistillConfig {
            environment,
            dataset,
            normalize,
            offline,
            optimiser,
            ppo,
            ..DistillConfig::default()
        };
        let known = toml::Table::try_from(complete).map_err(|e| e.to_string())?;
        refuse_unknown(&table, &known, "")?;
        // From the text again: a value of the wrong type is shown in its line.
        let mut config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        // A table that names no plugin means the one that has this place by default, with the options it has there.
        let default = DistillConfig::default();
        let places = [
            ("objective", &mut config.objective, default.objective),
            ("critic", &mut config.critic, default.critic),
        ];
        for (key, given, default) in places {
            if table.get(key).and_then(|given| given.get("id")).is_none() {
                given.id = default.id;
                default.options.into_iter().for_each(|(name, value)| {
                    given.options.entry(name).or_insert(value);
                });
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML: every value, also those left at their default.
    ///
    /// # Errors
    /// [`Error::Usage`] for a whole number beyond TOML's 64-bit range.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|e| Error::usage(format!("the configuration cannot be written as TOML: {e}")))
    }

    /// Writes the configuration atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; those of [`DistillConfig::to_toml`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = self.to_toml()?;
        write_atomically(path.as_ref(), |file| file.write_all(text.as_bytes()))
    }

    /// Checks every value that can be judged without a plugin.
    ///
    /// # Errors
    /// Names the key, what was expected and what there is.
    pub fn validate(&self) -> Result<(), String> {
        let Self { environment, dataset, optimiser, ppo, offline, evaluation, .. } = self;
        at_least_one("meta_epochs", self.meta_epochs)?;
        size("environment.envs", environment.envs as u64)?;
        size("environment.steps", environment.steps as u64)?;
        size("dataset.k", dataset.k.unwrap_or(1) as u64)?;
        at_least_one("ppo.learners", ppo.learners as u64)?;
        at_least_one("ppo.policy_epochs", ppo.policy_epochs as u64)?;
        at_least_one("ppo.minibatch", ppo.minibatch as u64)?;
        size("offline.updates", offline.updates as u64)?;
        size("offline.minibatch", offline.minibatch as u64)?;
        at_least_one("evaluation.learners", evaluation.learners as u64)?;
        at_least_one("evaluation.episodes", evaluation.episodes as u64)?;
        at_least_one("evaluation.validation_learners", evaluation.validation_learners as u64)?;
        at_least_one("evaluation.validation_episodes", evaluation.validation_episodes as u64)?;
        for (key, id) in [
            ("environment.id", &environment.id),
            ("objective.id", &self.objective.id),
            ("critic.id", &self.critic.id),
            ("device", &self.device),
        ] {
            check(key, id, !id.is_empty(), "a name")?;
        }
        self.learner.validate()?;
        // TOML's whole numbers are signed: a larger seed could not be written to the run directory.
        check("seed", self.seed, i64::try_from(self.seed).is_ok(), "at most 9223372036854775807")?;
        let shared_out = environment.envs.is_multiple_of(ppo.learners);
        check(
            "environment.envs",
            environment.envs,
            shared_out,
            &format!("a multiple of the {} learners (`ppo.learners`)", ppo.learners),
        )?;
        let positive =
            |key, value: f64| check(key, value, value.is_finite() && value > 0.0, "a number above 0");
        let not_negative =
            |key: &str, value: f64| check(key, value, value.is_finite() && value >= 0.0, "0 or more");
        positive("dataset.inner_lr", dataset.inner_lr.unwrap_or(1.0))?;
        positive("optimiser.lr", optimiser.lr)?;
        positive("optimiser.critic_lr", optimiser.critic_lr)?;
        positive("optimiser.eps", optimiser.eps)?;
        for beta in optimiser.betas {
            check("optimiser.betas", beta, (0.0..1.0).contains(&beta), "numbers from 0 to below 1")?;
        }
        let momentum = optimiser.momentum;
        check("optimiser.momentum", momentum, (0.0..1.0).contains(&momentum), "a number from 0 to below 1")?;
        check(
            "offline.top",
            offline.top,
            offline.top > 0.0 && offline.top <= 1.0,
            "a number above 0 and at most 1",
        )?;
        positive("optimiser.max_grad_norm", optimiser.max_grad_norm)?;
        for (part, &scale) in &optimiser.scale {
            not_negative(&format!("optimiser.scale.{part}"), scale)?;
        }
        not_negative("optimiser.value_coefficient", optimiser.value_coefficient)?;
        check("ppo.gamma", ppo.gamma, ppo.gamma > 0.0 && ppo.gamma <= 1.0, "a number above 0 and at most 1")?;
        check("ppo.lambda", ppo.lambda, (0.0..=1.0).contains(&ppo.lambda), "a number from 0 to 1")?;
        positive("ppo.reward_scale", ppo.reward_scale)
    }
}

/// Sizes that memory is taken for: a slip of the finger must not take all of it.
fn size(key: &str, value: u64) -> Result<(), String> {
    at_least_one(key, value)?;
    check(key, value, value <= 1_000_000, "at most 1000000")
}

fn at_least_one(key: &str, value: u64) -> Result<(), String> {
    check(key, value, value >= 1, "at least 1")
}

fn check(key: &str, value: impl std::fmt::Display, holds: bool, expected: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(format!("`{key}` is {value}; expected {expected}")),
    }
}

fn refuse_unknown(table: &toml::Table, known: &toml::Table, prefix: &str) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match (known.get(key), value) {
            (None, _) => {
                let hint = did_you_mean(key, known.keys().map(String::as_str));
                return Err(format!("unknown key `{name}`.{hint}"));
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(value)) if !FREE.contains(&&name[..]) => {
                refuse_unknown(value, known, &format!("{name}."))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut config = DistillConfig::default();
        config.environment.settings.insert("n".into(), OptionValue::Integer(2));
        config.environment.settings.insert("gravity".into(), OptionValue::Number(9.0));
        config.learner.set("hidden", OptionValue::Text("64,64".into())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        config.save(&path).unwrap();
        assert_eq!(DistillConfig::load(&path).unwrap(), config);
        assert_eq!(DistillConfig::parse("").unwrap(), DistillConfig::default());
    }

    #[test]
    fn a_table_without_id_is_of_the_plugin_that_has_its_place() {
        let text = "[objective.options]\nclip = 0.1\n[critic.options]\nwidth = '32'";
        let config = DistillConfig::parse(text).unwrap();
        assert_eq!((&config.objective.id[..], &config.critic.id[..]), ("ppmo", "mlp"));
        assert_eq!(config.objective.options.len(), 1);
        let names: Vec<&str> = config.critic.options.keys().map(String::as_str).collect();
        assert_eq!(names, ["output-gain", "width"]);
        assert!(DistillConfig::parse("[critic]\nid = 'transformer'").unwrap().critic.options.is_empty());
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("sede = 3", "unknown key `sede`. Did you mean `seed`?"),
            ("[ppo]\ngama = 0.9", "unknown key `ppo.gama`. Did you mean `gamma`?"),
            ("[environment]\nid = 3", "id = 3"),
            ("[environment]\nobserve = '4-0'", "`4-0` is not a choice of entries"),
            ("seed = -1", "seed = -1"),
            ("[dataset]\nk = 0", "`dataset.k` is 0; expected at least 1"),
            ("[environment]\nenvs = 0", "`environment.envs`"),
            ("[ppo]\ngamma = 1.5", "`ppo.gamma` is 1.5; expected a number above 0 and at most 1"),
            ("[ppo]\ngamma = nan", "`ppo.gamma` is NaN"),
            ("[ppo]\nlambda = inf", "`ppo.lambda` is inf"),
            (
                "[ppo]\nadvantages = 'as-publishd'",
                "unknown variant `as-publishd`, expected `gae` or `as-published`",
            ),
            ("[ppo]\nlearners = 3", "a multiple of the 3 learners"),
            ("[optimiser]\nlr = 0.0", "`optimiser.lr` is 0"),
            ("[optimiser]\nkind = \"lion\"", "unknown variant `lion`, expected `adam` or `sgd`"),
            ("[offline]\ntop = 0.0", "`offline.top` is 0"),
            ("[offline]\ndta = 'x'", "unknown key `offline.dta`. Did you mean `data`?"),
            ("[optimiser.scale]\ny = -1.0", "`optimiser.scale.y` is -1; expected 0 or more"),
            ("[optimiser]\nbetas = [0.9, 1.0]", "`optimiser.betas` is 1"),
            ("[dataset]\ninner_lr = 0.0", "`dataset.inner_lr`"),
            ("seed =", "TOML parse error at line 1"),
        ] {
            let message = DistillConfig::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        DistillConfig::parse("[environment.settings]\nwhatever = true").unwrap();
        let config = DistillConfig { seed: u64::MAX, ..DistillConfig::default() };
        assert!(config.validate().unwrap_err().contains("`seed`"));
    }
}
