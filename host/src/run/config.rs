//! The configuration of a distillation: every value that a run depends on, as `config.toml` holds it.
//!
//! `docs/reference/configuration.md` is made from this file: the comment of a field is the description of its key.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use potstill_plugin_api::{OptionValue, toml_error};
use serde::{Deserialize, Serialize};

use super::atomic::write_atomically;
use super::entries::Entries;
use super::learners::LearnerConfig;
use crate::engine::advantage::Estimator;
use crate::engine::inner::{Inner, MOST_STEPS};
use crate::engine::optimizer::Schedule;
use crate::engine::wrappers::{LONGEST_LIMIT, MOST_FRAMES, Wrappers};
use crate::error::{Error, Result, did_you_mean};
use crate::files;

/// The options of a plugin, by name.
pub type Options = BTreeMap<String, OptionValue>;

/// The configuration of a distillation. The defaults are those of PPMO on cart-pole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of meta-epochs. With an objective that learns from rollouts, each is one rollout and the policy epochs on
    /// it; with an offline objective, `offline.updates` updates.
    pub meta_epochs: u64,
    /// How many of the learner's first layers form the encoder, which is meta-learned with θ: 0 is full distillation, all
    /// layers is direct PPO.
    pub encoder_layers: usize,
    /// The numbers of completed meta-epochs after each of which the encoder loses its last layer, so that one run goes from
    /// `encoder_layers` to fewer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollback: Vec<u64>,
    /// The device that runs the updates: `cpu`; `cuda` or `cuda:N` for NVIDIA's GPU number N; `wgpu` or `wgpu:N` for GPUs
    /// of any maker. A run whose updates are too small for a GPU computes on the CPU, and says so.
    pub device: String,
    /// The number of CPU threads; 0 uses every core. Results do not depend on it.
    pub threads: usize,
    /// Whether each native plugin runs in its own process, so that its crash does not end the run.
    pub isolate: bool,
    /// The number of meta-epochs between checkpoints; 0 writes none but the last.
    pub checkpoint_every: u64,
    /// The environment that is distilled.
    pub environment: EnvironmentConfig,
    /// The dataset θ.
    pub dataset: DatasetConfig,
    /// How often the objective's inner rule is applied to teach a learner, and how its steps are taken.
    pub inner: InnerConfig,
    /// The learner distribution Λ that the dataset has to teach. Several `[[learner]]` tables form a mixture.
    pub learner: LearnerConfig,
    /// The meta-objective.
    pub objective: PluginConfig,
    /// The critic of the outer loop.
    pub critic: PluginConfig,
    /// The outer optimizer.
    #[serde(alias = "optimiser")]
    pub optimizer: OptimizerConfig,
    /// Rollouts, advantages and policy epochs of the outer loop.
    pub ppo: PpoConfig,
    /// Normalization by running moments, which the dataset file carries.
    pub normalize: NormalizeConfig,
    /// The fixed transitions that an offline objective learns from, in place of rollouts.
    pub offline: OfflineConfig,
    /// The agent whose outputs an objective such as `clone` learns from.
    pub teacher: TeacherConfig,
    /// Validation and the final evaluation.
    pub evaluation: EvaluationConfig,
}

/// The environment, and how much of it each meta-epoch sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentConfig {
    /// The environment's id, `name-vN` or `namespace/name-vN`. Version and namespace may be left out.
    pub id: String,
    /// Options of the environment.
    pub settings: Options,
    /// Options for training rollouts only, such as shorter episodes or a choice of levels. Observations and actions must
    /// stay the same. Validation and scores use `settings`.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub training: Options,
    /// The entries of the observation that learners and critic see, counted from 0 in row-major order: `0-44` or `0-7,12`.
    /// By default they see all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe: Option<Entries>,
    /// The number of environment copies, which are stepped together. It must be a multiple of `ppo.learners`.
    pub envs: usize,
    /// The steps of each copy in a meta-epoch.
    pub steps: usize,
    /// The number of the environment's own steps after which an episode is truncated, also in scores; the environment's own
    /// limit still holds. By default there is no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<usize>,
    /// The number of the environment's own steps that each action is taken for, with the sum of their rewards. All other
    /// keys and figures count steps of the agent.
    pub action_repeat: usize,
    /// Whether an observation is the maximum of the last two that an action led to, as Atari's sprites flicker. It needs an
    /// `action_repeat` of at least 2.
    pub max_pool: bool,
    /// Whether the loss of a life ends an episode, as terminal, while learners collect rollouts. Scores are of whole
    /// episodes. The environment must report lives.
    pub episodic_life: bool,
    /// Whether learning sees only the sign of each reward: −1, 0 or 1. Returns and scores are of the rewards themselves.
    pub clip_rewards: bool,
    /// Whether episodes go on from one meta-epoch to the next, with its fresh learners, as in the code released with
    /// Wilhelm & Ventura 2025: long episodes are then seen beyond their first `steps` steps. The environment must have
    /// snapshots. By default each meta-epoch starts fresh episodes.
    pub continue_episodes: bool,
    /// The number of observations that are stacked, the newest last. `[c, h, w]` becomes `[n · c, h, w]`, any other shape
    /// gets an axis in front. A stack begins with n times the first observation of its episode.
    pub frame_stack: usize,
}

/// The dataset θ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetConfig {
    /// The number of instances. The default is ⌈c/2⌉ + 1 for c discrete actions, the paper's minimum, and 64 for continuous
    /// actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// The initial inner learning rate η. The default is the objective's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_lr: Option<f64>,
    /// A dataset file to start from: its X, Y, η and whatever else is learned, with the moments that normalize observations.
    /// By default the objective draws them at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The SHA-256 of that file in hexadecimal. If it is set, no other file is accepted; a run records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_sha256: Option<String>,
}

/// What takes the steps of the inner loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InnerOptimizer {
    /// The objective's rule.
    Rule,
    /// Adam on the rule's step.
    Adam,
}

/// The inner loop, which teaches a learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InnerConfig {
    /// How many times the objective's inner rule is applied, each time to the parameters that the last one gave.
    pub steps: usize,
    /// `rule` takes the steps of the rule itself; `adam` takes the rule's step φ − φ′ for the gradient, and descends it with
    /// Adam (β = 0.9 and 0.999, ε = 10⁻⁸). Its moments begin at 0 with each learner.
    pub optimizer: InnerOptimizer,
    /// For `adam`: the learning rate.
    pub lr: f64,
    /// How many instances each step sees. They are drawn without replacement: each pass over the k instances, in a new order,
    /// gives as many whole batches as it can. By default each step sees all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

/// A plugin and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin's id.
    pub id: String,
    /// Options of the plugin.
    pub options: Options,
}

/// The kind of the outer optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam.
    Adam,
    /// Gradient descent with momentum.
    Sgd,
}

/// The outer optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Adam, or gradient descent with momentum.
    pub kind: OptimizerKind,
    /// The learning rate of θ and the encoder.
    pub lr: f64,
    /// The learning rate of the critic.
    pub critic_lr: f64,
    /// How both learning rates decay over the run.
    pub schedule: Schedule,
    /// For Adam: the number added to the root of the second moment.
    pub eps: f64,
    /// For Adam: the decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// For gradient descent: the decay rate of the velocity.
    pub momentum: f64,
    /// The norm to which gradients are clipped.
    pub max_grad_norm: f64,
    /// Whether θ, encoder and critic are clipped by their joint norm, as published. By default the critic is clipped apart
    /// from θ and the encoder.
    pub joint_norm: bool,
    /// The weight of the critic's loss. It matters only with `joint_norm`.
    pub value_coefficient: f64,
    /// Learning rates of parts of θ (`x`, `y`, `inner_lr`, …) as multiples of `lr`. Parts that are not named have 1, but
    /// the `log_std` of continuous actions has 0.1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<String, f64>,
}

/// The reinforcement learning of the outer loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// The number of learners drawn in each meta-epoch. They share the environment copies equally. `potstill rl` draws 1,
    /// unless `--learners` says otherwise.
    pub learners: usize,
    /// The number of passes over the rollouts of a meta-epoch.
    pub policy_epochs: usize,
    /// The transitions of a minibatch, which all belong to one learner.
    pub minibatch: usize,
    /// The discount factor γ.
    pub gamma: f64,
    /// The λ of generalized advantage estimation.
    pub lambda: f64,
    /// How advantages are estimated: `gae` (Schulman et al. 2016), or `as-published`, with the mistake of the code released
    /// with Wilhelm & Ventura 2025. The default is `as-published` for the objective `ppmo-as-published` and `gae` for all
    /// others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advantages: Option<Estimator>,
    /// The factor by which rewards are multiplied for learning. Reported returns are not scaled.
    pub reward_scale: f64,
}

/// Normalization by running moments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Whether each entry of the observations is normalized to mean 0 and variance 1, and clipped to ±10. The default is
    /// `true` for continuous actions, unless observations are images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observations: Option<bool>,
    /// Whether rewards are divided by the standard deviation of their discounted sums for learning. Reported returns are
    /// not normalized. The default is `true` for continuous actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewards: Option<bool>,
}

/// Learning from a fixed set of transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfflineConfig {
    /// The file of transitions, as `potstill collect` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The SHA-256 of that file in hexadecimal. If it is set, no other file is accepted; a run records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The share of the episodes to learn from, those with the highest returns.
    pub top: f64,
    /// The number of outer updates in a meta-epoch, each with a fresh learner.
    pub updates: usize,
    /// The transitions of a batch.
    pub minibatch: usize,
    /// Whether a batch draws every action equally often, however rare it is in the data. Continuous actions are never
    /// balanced.
    pub balanced: bool,
}

/// The teacher: an agent that sees every observation of the rollouts, and whose outputs label it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherConfig {
    /// The agent file, as `potstill train` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<PathBuf>,
    /// The SHA-256 of that file in hexadecimal. If it is set, no other file is accepted; a run records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Validation and the final evaluation: fresh learners are taught from θ and play whole episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// The number of meta-epochs between validations. The best θ by validation becomes the dataset. With 0 only the last θ
    /// is validated.
    pub every: u64,
    /// Ends the run after this many validations in a row in which every episode reached the environment's maximal return,
    /// if it has one; 0 never does.
    pub saturated: u64,
    /// The learners of a validation.
    pub validation_learners: usize,
    /// The episodes that each learner plays in a validation.
    pub validation_episodes: usize,
    /// The learners of the final evaluation.
    pub learners: usize,
    /// The episodes that each learner plays in the final evaluation.
    pub episodes: usize,
}

impl Default for DistillConfig {
    fn default() -> Self {
        DistillConfig {
            seed: 0,
            meta_epochs: 1000,
            encoder_layers: 0,
            rollback: vec![],
            device: "cpu".into(),
            threads: 0,
            isolate: false,
            checkpoint_every: 1,
            environment: EnvironmentConfig::default(),
            dataset: DatasetConfig::default(),
            inner: InnerConfig::default(),
            learner: LearnerConfig::default(),
            objective: PluginConfig { id: "ppmo".into(), options: Options::new() },
            critic: PluginConfig {
                options: [("output-gain".to_owned(), OptionValue::Number(1.0))].into(),
                ..PluginConfig::default()
            },
            optimizer: OptimizerConfig::default(),
            ppo: PpoConfig::default(),
            normalize: NormalizeConfig::default(),
            offline: OfflineConfig::default(),
            teacher: TeacherConfig::default(),
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
            max_episode_steps: None,
            action_repeat: 1,
            max_pool: false,
            episodic_life: false,
            clip_rewards: false,
            continue_episodes: false,
            frame_stack: 1,
        }
    }
}

impl EnvironmentConfig {
    /// The wrappers of the environment that is scored: all but those for learning.
    pub fn wrappers(&self) -> Wrappers {
        Wrappers {
            max_episode_steps: self.max_episode_steps,
            action_repeat: (self.action_repeat > 1).then_some(self.action_repeat),
            max_pool: self.max_pool,
            episodic_life: false,
            frame_stack: (self.frame_stack > 1).then_some(self.frame_stack),
        }
    }

    /// Sets the wrappers to those that a file records.
    pub fn set_wrappers(&mut self, wrappers: &Wrappers) {
        self.max_episode_steps = wrappers.max_episode_steps;
        self.action_repeat = wrappers.action_repeat.unwrap_or(1);
        self.max_pool = wrappers.max_pool;
        self.frame_stack = wrappers.frame_stack.unwrap_or(1);
    }
}

impl Default for PluginConfig {
    fn default() -> Self {
        PluginConfig { id: "mlp".into(), options: Options::new() }
    }
}

impl Default for InnerConfig {
    fn default() -> Self {
        InnerConfig { steps: 1, optimizer: InnerOptimizer::Rule, lr: 5e-3, instances: None }
    }
}

impl InnerConfig {
    /// The inner steps for a dataset of `k` instances.
    pub fn of(&self, k: usize) -> Inner {
        Inner {
            steps: self.steps,
            adam: (self.optimizer == InnerOptimizer::Adam).then_some(self.lr),
            instances: self.instances.filter(|batch| *batch != k),
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            kind: OptimizerKind::Adam,
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

/// Tables whose keys are options of plugins, or parts of θ.
const FREE: [&str; 6] = [
    "environment.settings",
    "environment.training",
    "learner.options",
    "objective.options",
    "critic.options",
    "optimizer.scale",
];

impl DistillConfig {
    /// Reads a configuration file. Keys that are not in the file have their defaults.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is not TOML, has an unknown key (the message names
    /// the nearest known one), a value of the wrong type, or one that [`DistillConfig::validate`] refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = files::read_or_pipe(path, LARGEST_CONFIG)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not text in UTF-8"))?;
        Self::parse(&text).map_err(|what| Error::file(path, what))
    }

    /// Reads a configuration from text, as [`DistillConfig::load`] does.
    ///
    /// # Errors
    /// Names the key or the value, and says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| toml_error(&e))?;
        // Older configurations spell the table `optimiser`.
        if let Some(older) = table.remove("optimiser") {
            table.entry("optimizer").or_insert(older);
        }
        // Keys that are not serialized at their defaults are known too.
        let (path, sha256) = (Some(PathBuf::new()), Some(String::new()));
        let dataset = DatasetConfig {
            k: Some(1),
            inner_lr: Some(1.0),
            start: path.clone(),
            start_sha256: sha256.clone(),
        };
        let inner = InnerConfig { instances: Some(1), ..InnerConfig::default() };
        let teacher = TeacherConfig { agent: path.clone(), sha256: sha256.clone() };
        let normalize = NormalizeConfig { observations: Some(true), rewards: Some(true) };
        let offline = OfflineConfig { data: path, sha256, ..OfflineConfig::default() };
        let scale = [("x".to_owned(), 1.0)].into();
        let optimizer = OptimizerConfig { scale, ..OptimizerConfig::default() };
        let ppo = PpoConfig { advantages: Some(Estimator::Gae), ..PpoConfig::default() };
        let training = [("steps".to_owned(), OptionValue::Integer(1))].into();
        let observe = Entries::try_from("0".to_owned()).ok();
        let max_episode_steps = Some(1);
        let environment =
            EnvironmentConfig { training, observe, max_episode_steps, ..EnvironmentConfig::default() };
        let complete = DistillConfig {
            rollback: vec![1],
            environment,
            dataset,
            inner,
            normalize,
            offline,
            teacher,
            optimizer,
            ppo,
            ..DistillConfig::default()
        };
        let known = toml::Table::try_from(complete).map_err(|e| e.to_string())?;
        refuse_unknown(&table, &known, "")?;
        // Read from the text again, so that an error shows the line of a value of the wrong type.
        let mut config: Self = toml::from_str(text).map_err(|e| toml_error(&e))?;
        // A table without `id` means the default plugin of that table, with its default options.
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

    /// The layers of the encoder in the meta-epoch before which `done` others are completed.
    pub fn encoder_layers_in(&self, done: u64) -> usize {
        self.encoder_layers - self.rollback.iter().filter(|at| **at <= done).count().min(self.encoder_layers)
    }

    /// The configuration as TOML, with every value that is set, also those at their defaults.
    ///
    /// # Errors
    /// [`Error::Usage`] for an integer beyond TOML's 64-bit range.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|e| Error::usage(format!("the configuration cannot be written as TOML: {e}")))
    }

    /// Writes the configuration atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; [`Error::File`] when it is longer than what [`DistillConfig::load`] reads; the errors of
    /// [`DistillConfig::to_toml`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = self.to_toml()?;
        files::check_length(path.as_ref(), text.len(), LARGEST_CONFIG)?;
        write_atomically(path.as_ref(), |file| file.write_all(text.as_bytes()))
    }

    /// Checks every value that can be checked without loading a plugin.
    ///
    /// # Errors
    /// Names the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), String> {
        let Self { environment, dataset, inner, optimizer, ppo, offline, evaluation, .. } = self;
        at_least_one("meta_epochs", self.meta_epochs)?;
        let rollback = &self.rollback;
        check(
            "rollback",
            format_args!("{rollback:?}"),
            rollback.is_sorted_by(|one, next| one < next)
                && rollback.iter().all(|at| (1..self.meta_epochs).contains(at))
                && rollback.len() <= self.encoder_layers,
            "rising numbers from 1 to below `meta_epochs`, no more of them than `encoder_layers`",
        )?;
        size("environment.envs", environment.envs as u64)?;
        size("environment.steps", environment.steps as u64)?;
        let limit = environment.max_episode_steps.unwrap_or(1);
        within("environment.max_episode_steps", limit as u64, LONGEST_LIMIT as u64)?;
        within("environment.action_repeat", environment.action_repeat as u64, MOST_FRAMES as u64)?;
        within("environment.frame_stack", environment.frame_stack as u64, MOST_FRAMES as u64)?;
        check(
            "environment.max_pool",
            environment.max_pool,
            !environment.max_pool || environment.action_repeat > 1,
            "false, unless `environment.action_repeat` is at least 2",
        )?;
        size("dataset.k", dataset.k.unwrap_or(1) as u64)?;
        within("inner.steps", inner.steps as u64, MOST_STEPS as u64)?;
        size("inner.instances", inner.instances.unwrap_or(1) as u64)?;
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
        // TOML's integers are signed: a larger seed could not be written to the run directory.
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
        positive("inner.lr", inner.lr)?;
        positive("optimizer.lr", optimizer.lr)?;
        positive("optimizer.critic_lr", optimizer.critic_lr)?;
        positive("optimizer.eps", optimizer.eps)?;
        for beta in optimizer.betas {
            check("optimizer.betas", beta, (0.0..1.0).contains(&beta), "numbers from 0 to below 1")?;
        }
        let momentum = optimizer.momentum;
        check("optimizer.momentum", momentum, (0.0..1.0).contains(&momentum), "a number from 0 to below 1")?;
        check(
            "offline.top",
            offline.top,
            offline.top > 0.0 && offline.top <= 1.0,
            "a number above 0 and at most 1",
        )?;
        positive("optimizer.max_grad_norm", optimizer.max_grad_norm)?;
        for (part, &scale) in &optimizer.scale {
            not_negative(&format!("optimizer.scale.{part}"), scale)?;
        }
        not_negative("optimizer.value_coefficient", optimizer.value_coefficient)?;
        check("ppo.gamma", ppo.gamma, ppo.gamma > 0.0 && ppo.gamma <= 1.0, "a number above 0 and at most 1")?;
        check("ppo.lambda", ppo.lambda, (0.0..=1.0).contains(&ppo.lambda), "a number from 0 to 1")?;
        positive("ppo.reward_scale", ppo.reward_scale)
    }
}

/// The most bytes of a configuration.
const LARGEST_CONFIG: u64 = 1 << 20;

/// The largest size for which memory is allocated, so that a typing mistake does not take all of it.
const LARGEST_SIZE: u64 = 1_000_000;

/// Checks a size for which memory is allocated.
fn size(key: &str, value: u64) -> Result<(), String> {
    within(key, value, LARGEST_SIZE)
}

/// Checks a number from 1 to `most`.
fn within(key: &str, value: u64, most: u64) -> Result<(), String> {
    at_least_one(key, value)?;
    check(key, value, value <= most, &format!("at most {most}"))
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

/// Refuses the first key of `table` that `known` does not have; `prefix` is the path of the two.
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
    fn the_older_spelling_of_a_table_is_read() {
        let now = DistillConfig::parse("[optimizer]\nlr = 0.5\n").unwrap();
        assert_eq!(DistillConfig::parse("[optimiser]\nlr = 0.5\n").unwrap(), now);
        assert!(now.to_toml().unwrap().contains("[optimizer]"));
        let both = DistillConfig::parse("[optimiser]\nlr = 0.5\n[optimizer]\nlr = 0.5\n").unwrap_err();
        assert!(both.contains("duplicate field"), "{both}");
    }

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
            ("[inner]\nsteps = 0", "`inner.steps` is 0; expected at least 1"),
            ("[inner]\nsteps = 10001", "`inner.steps` is 10001; expected at most 10000"),
            ("[inner]\noptimizer = 'sgd'", "unknown variant `sgd`, expected `rule` or `adam`"),
            ("[inner]\nlr = 0.0", "`inner.lr` is 0; expected a number above 0"),
            ("[inner]\ninstances = 0", "`inner.instances` is 0; expected at least 1"),
            ("[inner]\ninstance = 2", "unknown key `inner.instance`. Did you mean `instances`?"),
            ("[environment]\nenvs = 0", "`environment.envs`"),
            ("[environment]\nframe_stack = 0", "`environment.frame_stack` is 0; expected at least 1"),
            ("[environment]\nframe_stack = 9999", "`environment.frame_stack` is 9999; expected at most 1000"),
            ("[environment]\naction_repeat = 0", "`environment.action_repeat` is 0; expected at least 1"),
            ("[environment]\naction_repeat = 1001", "`environment.action_repeat` is 1001; expected at most"),
            (
                "[environment]\nmax_episode_steps = 0",
                "`environment.max_episode_steps` is 0; expected at least",
            ),
            ("[environment]\nmax_pool = true", "`environment.max_pool` is true; expected false, unless"),
            (
                "[environment]\nframe_stak = 4",
                "unknown key `environment.frame_stak`. Did you mean `frame_stack`?",
            ),
            ("[ppo]\ngamma = 1.5", "`ppo.gamma` is 1.5; expected a number above 0 and at most 1"),
            ("[ppo]\ngamma = nan", "`ppo.gamma` is NaN"),
            ("[ppo]\nlambda = inf", "`ppo.lambda` is inf"),
            (
                "[ppo]\nadvantages = 'as-publishd'",
                "unknown variant `as-publishd`, expected `gae` or `as-published`",
            ),
            ("[ppo]\nlearners = 3", "a multiple of the 3 learners"),
            ("[optimizer]\nlr = 0.0", "`optimizer.lr` is 0"),
            ("[optimizer]\nkind = \"lion\"", "unknown variant `lion`, expected `adam` or `sgd`"),
            ("[offline]\ntop = 0.0", "`offline.top` is 0"),
            ("[offline]\ndta = 'x'", "unknown key `offline.dta`. Did you mean `data`?"),
            ("[optimizer.scale]\ny = -1.0", "`optimizer.scale.y` is -1; expected 0 or more"),
            ("[optimizer]\nbetas = [0.9, 1.0]", "`optimizer.betas` is 1"),
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

    #[test]
    fn a_value_of_a_wrong_type_is_named_in_a_users_words() {
        let mut keys = vec![];
        for (name, value) in
            toml::from_str::<toml::Table>(&DistillConfig::default().to_toml().unwrap()).unwrap()
        {
            match value.as_table() {
                Some(table) => keys.extend(table.keys().map(|key| (format!("[{name}]\n"), key.clone()))),
                None => keys.push((String::new(), name)),
            }
        }
        keys.extend(["k", "inner_lr"].map(|key| ("[dataset]\n".to_owned(), key.to_owned())));
        keys.push(("[offline]\n".into(), "data".into()));
        for (table, key) in &keys {
            for value in ["-1", "1.5", "true", "'one'", "[[]]", "{ a = [] }"] {
                let text = format!("{table}{key} = {value}");
                let Err(error) = DistillConfig::parse(&text) else { continue };
                for word in
                    ["u64", "usize", "f64", "i64", "struct", "enum", "map", "sequence", "invalid type"]
                {
                    assert!(!error.contains(word), "{text}: {error}");
                }
            }
        }
        for (text, expected) in [
            ("seed = 'one'", "\nexpected a whole number of at least 0, got \"one\""),
            ("seed = 1.5", "\nexpected a whole number of at least 0, got `1.5`"),
            ("[optimizer]\nlr = true", "\nexpected a number, got `true`"),
            ("[optimizer]\njoint_norm = 1", "\nexpected true or false, got `1`"),
            ("device = 1", "\nexpected a text in quotes, got `1`"),
        ] {
            let error = DistillConfig::parse(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("line "), "{error}");
        }
    }
}
