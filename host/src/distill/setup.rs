//! Resolves a configuration: fills in every default, and finds the plugins and files that it names.
use std::collections::BTreeMap;
use std::path::Path;

use potstill_plugin_api::{Column, Data, OptionKind, OptionSchema, OptionValue, Role, Space, Task};

use super::fit;
use super::observe::{Observed, reduced};
use super::teach::Agent;
use crate::engine::advantage::Estimator;
use crate::engine::learner::LearnerDistribution;
use crate::engine::mixture::Mixture;
use crate::engine::objective::Objective;
use crate::engine::optimizer::{Adam, Optimizer};
use crate::engine::policy::{LOG_STD, clamp};
use crate::engine::programs::UpdateRule;
use crate::engine::random::derived;
use crate::engine::student::{Dimensions, Student};
use crate::engine::theta::{Part, Theta};
use crate::engine::training::{Rates, Roles};
use crate::engine::wrappers::Wrappers;
use crate::engine::{offline, ppmo, rollout};
use crate::error::{Error, IoContext, Result, did_you_mean};
use crate::plugin::text::counted;
use crate::plugin::{Actions, Description, Entry, Environments, Loader, Registry};
use crate::run::{
    AgentFile, Dataset, DatasetConfig, DatasetEnvironment, DistillConfig, Entries, EnvironmentConfig,
    InnerConfig, LearnerConfig, OfflineConfig, OptimizerKind, Options, PluginConfig, PluginRecord,
    PluginVersion, TeacherConfig, Transitions,
};
use crate::shell;

/// A resolved configuration with its plugins.
pub struct Setup<'a> {
    /// The resolved configuration: options at their defaults are written out, `k` is a number, and ids have their
    /// version.
    pub config: DistillConfig,
    /// The environment of validation and scores, as a dataset records it.
    pub environment: DatasetEnvironment,
    /// The environment in which learners collect rollouts for the outer loop.
    training: DatasetEnvironment,
    /// The sizes that the engine's programs share.
    pub dimensions: Dimensions,
    /// Whether the encoder covers the whole learner in every meta-epoch: direct PPO, with nothing left for a dataset to teach.
    pub direct: bool,
    /// The distribution Λ that learners are drawn from.
    pub learner: Box<dyn LearnerDistribution>,
    /// The distribution that the critic is drawn from.
    pub critic: Box<dyn LearnerDistribution>,
    /// The meta-objective.
    pub objective: Box<dyn Objective>,
    /// The data that an offline objective learns from.
    pub transitions: Option<Transitions>,
    /// The agent that labels observations, for an objective that reads its outputs.
    pub teacher: Option<Agent>,
    /// The dataset that the run starts from.
    pub start: Option<Dataset>,
    registry: &'a Registry,
}

impl<'a> Setup<'a> {
    /// Resolves `config` against the plugins of `registry`.
    ///
    /// # Errors
    /// A value is out of range, a plugin or option is unknown, a plugin fails, or the run does not fit this machine's memory.
    pub fn new(mut config: DistillConfig, registry: &'a Registry) -> Result<Self> {
        config.validate().map_err(Error::Usage)?;
        let EnvironmentConfig { id, settings, observe, .. } = &config.environment;
        let wrappers = config.environment.wrappers();
        let environment = find_environment(registry, id, settings, observe.as_ref(), &wrappers)?;
        config.isolate = registry.isolates();
        config.environment.id.clone_from(&environment.id);
        config.environment.settings.clone_from(&environment.settings);
        let spec = &environment.spec;
        let training = training(registry, &environment, &mut config.environment)?;
        let continuous = matches!(spec.action, Space::Box { .. });
        let normalize = &mut config.normalize;
        normalize.rewards.get_or_insert(continuous);
        let bytes = matches!(spec.observation, Space::Image { .. });
        normalize.observations.get_or_insert(continuous && !bytes);
        let start = start(&mut config.dataset, &environment)?;
        let k = start.as_ref().map_or_else(|| least_instances(&spec.action), Dataset::k);
        let k = *config.dataset.k.get_or_insert(k);
        let inner = config.inner.of(k);
        inner.check(k).map_err(Error::Usage)?;
        let dimensions =
            Dimensions { encoder_layers: config.encoder_layers, inner, ..Dimensions::new(spec, k)? };
        let learner = learners(registry, &config.learner)?;
        let critic = registry.learner(&config.critic.id, &as_text(&config.critic.options))?;
        let task = dimensions.task(&spec.action);
        let objective =
            registry.objective(&config.objective.id, &as_text(&config.objective.options), &task)?;
        let transitions = transitions(&*objective, &mut config.offline, &environment)?;
        let teacher = teacher(&*objective, &mut config.teacher, &environment, registry)?;
        let for_rollouts = [
            ("training", !config.environment.training.is_empty()),
            ("episodic_life", config.environment.episodic_life),
            ("clip_rewards", config.environment.clip_rewards),
            ("continue_episodes", config.environment.continue_episodes),
        ];
        if let Some((key, _)) = for_rollouts.iter().find(|(_, set)| *set && transitions.is_some()) {
            return Err(Error::usage(format!(
                "`environment.{key}`: no learner acts while objective `{}` learns from offline data",
                objective.id()
            )));
        }
        config.learner = LearnerConfig::of_record(&part_of(&*learner)).map_err(Error::Usage)?;
        config.critic = resolved(critic.id(), &critic.specification())?;
        config.objective = resolved(objective.id(), &objective.specification())?;
        config.ppo.advantages.get_or_insert_with(|| advantages_for(objective.id()));
        let direct = check_encoder(&*learner, &dimensions, config.seed)? && config.rollback.is_empty();
        if continuous {
            // At the full learning rate, standard deviations would shrink before the means are any good.
            config.optimizer.scale.entry(LOG_STD.into()).or_insert(0.1);
        }
        check_scale(&config.optimizer.scale, &*objective, &dimensions)?;
        let setup = Setup {
            config,
            environment,
            training,
            dimensions,
            direct,
            learner,
            critic,
            objective,
            transitions,
            teacher,
            start,
            registry,
        };
        fit::check(&setup)?;
        Ok(setup)
    }

    /// Makes `count` copies of the environment.
    ///
    /// # Errors
    /// An error of the plugin.
    pub fn environments(&self, count: usize) -> Result<Box<dyn Environments>> {
        make_environments(self.registry, &self.environment, count, 1)
    }

    /// The labels of the teacher, if there is one, for `copies` copies of the environment: its outputs for its own part of
    /// their observations, which may be more than learners see.
    ///
    /// # Errors
    /// An error of tracing the teacher, or of the plugin.
    pub(super) fn labels(&self, copies: usize) -> Result<Option<Box<rollout::Teacher<'_>>>> {
        let Some(agent) = &self.teacher else { return Ok(None) };
        let outputs = agent.outputs(copies)?;
        // In a frame stack, learners and teacher see the same.
        let stacked = self.environment.wrappers.frame_stack.is_some();
        let Some(entries) = agent.environment().observe.as_ref().filter(|_| !stacked) else {
            return Ok(Some(Box::new(outputs)));
        };
        Ok(Some(Box::new(move |whole| outputs(&entries.choose(whole, whole.len() / copies)))))
    }

    /// Makes `count` copies of the environment in which learners collect rollouts for the outer loop. Copies that are
    /// stepped apart ([`Wrappers::make_unstacked`]) have `threads` threads.
    ///
    /// # Errors
    /// An error of the plugin.
    pub fn training_environments(&self, count: usize, threads: usize) -> Result<Box<dyn Environments>> {
        make_environments(self.registry, &self.training, count, threads)
    }

    /// Whether the environment is a shared library, or may be one.
    pub(super) fn is_native(&self) -> bool {
        let entry = self.registry.find(Role::Environment, &self.environment.id);
        !entry.is_ok_and(|entry| entry.loader != Loader::Native)
    }

    /// The roles in the form that the engine takes.
    pub fn roles(&self) -> Roles<'_> {
        Roles {
            dimensions: &self.dimensions,
            learner: &*self.learner,
            critic: &*self.critic,
            objective: &*self.objective,
        }
    }

    /// The hyperparameters of the updates.
    pub fn rates(&self) -> Rates {
        let optimizer = &self.config.optimizer;
        Rates {
            lr: optimizer.lr as f32,
            critic_lr: optimizer.critic_lr as f32,
            schedule: optimizer.schedule,
            meta_epochs: self.config.meta_epochs,
            inner_lr: self.config.dataset.inner_lr.map(|rate| rate as f32),
            normalize_observations: self.config.normalize.observations == Some(true),
            normalize_rewards: self.config.normalize.rewards == Some(true),
            rule: UpdateRule {
                optimizer: match optimizer.kind {
                    OptimizerKind::Adam => {
                        let [beta1, beta2] = optimizer.betas;
                        Optimizer::Adam(Adam { beta1, beta2, eps: optimizer.eps })
                    }
                    OptimizerKind::Sgd => Optimizer::Sgd { momentum: optimizer.momentum },
                },
                max_grad_norm: optimizer.max_grad_norm,
                joint_norm: optimizer.joint_norm,
                value_coefficient: optimizer.value_coefficient,
                scale: optimizer.scale.clone(),
            },
        }
    }

    /// The hyperparameters of the outer loop over rollouts.
    pub fn rollouts(&self) -> ppmo::Hyperparameters {
        let DistillConfig { environment, ppo, .. } = &self.config;
        ppmo::Hyperparameters {
            steps: environment.steps,
            learners: ppo.learners,
            policy_epochs: ppo.policy_epochs,
            minibatch: ppo.minibatch,
            gamma: ppo.gamma as f32,
            lambda: ppo.lambda as f32,
            advantages: ppo.advantages.unwrap_or(Estimator::Gae),
            reward_scale: ppo.reward_scale as f32,
            clip_rewards: environment.clip_rewards,
            continue_episodes: environment.continue_episodes,
        }
    }

    /// The hyperparameters of the outer loop over offline data.
    pub fn offline(&self) -> offline::Hyperparameters {
        let OfflineConfig { updates, minibatch, balanced, .. } = self.config.offline;
        offline::Hyperparameters { updates, minibatch, balanced }
    }

    /// The role and the id of every plugin that the run uses.
    fn used(&self) -> Vec<(Role, String)> {
        let learners = |config: &LearnerConfig| -> Vec<String> {
            config.plugins().into_iter().map(|(id, _)| id.to_owned()).collect()
        };
        let mut used = vec![(Role::Environment, self.environment.id.clone())];
        used.extend(learners(&self.config.learner).into_iter().map(|id| (Role::Learner, id)));
        used.push((Role::Objective, self.objective.id().to_owned()));
        let of_teacher =
            self.teacher.iter().filter_map(|agent| LearnerConfig::of_record(agent.learner()).ok());
        let of_teacher = of_teacher.flat_map(|config| learners(&config));
        for id in std::iter::once(self.critic.id().to_owned()).chain(of_teacher) {
            let learner = (Role::Learner, id);
            if !used.contains(&learner) {
                used.push(learner);
            }
        }
        used
    }

    /// A command line that goes on with the file or folder `path` of this run, for the user to copy. It names the plugins
    /// that potstill would not find or not run without `--plugin`.
    pub fn command(&self, before: &str, path: &Path, after: &str) -> String {
        let mut line = format!("potstill {before} {}{after}", shell::word(path));
        let mut named: Vec<&Path> = vec![];
        for (role, id) in self.used() {
            let Ok(Entry { loader: Loader::Native, on_command_line: true, path: Some(path), .. }) =
                self.registry.find(role, &id)
            else {
                continue;
            };
            if !named.contains(&&**path) {
                named.push(path);
                line += &format!(" --plugin {}", shell::word(path));
            }
        }
        line
    }

    /// The plugins that the run uses, for `versions.json`.
    pub fn plugins(&self) -> Vec<PluginVersion> {
        let recorded = |role: Role, id: &str| {
            let entry = self.registry.find(role, id).ok();
            PluginVersion {
                id: id.to_owned(),
                version: entry.map(|entry| entry.version.clone()).unwrap_or_default(),
                sha256: entry.map(|entry| entry.sha256.clone()).filter(|hash| !hash.is_empty()),
                // JSON holds only paths in UTF-8; the user has to name any other again.
                path: entry
                    .and_then(|entry| entry.path.as_ref()?.canonicalize().ok())
                    .filter(|path| path.to_str().is_some()),
            }
        };
        // The environment's hash is that of the binary that described it.
        let environment = PluginVersion {
            version: self.environment.version.clone(),
            sha256: self.environment.plugin_sha256.clone(),
            ..recorded(Role::Environment, &self.environment.id)
        };
        let others = self.used().into_iter().skip(1).map(|(role, id)| recorded(role, &id));
        std::iter::once(environment).chain(others).collect()
    }

    /// The plugins that the setup was resolved against.
    pub(super) fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// The learner distribution Λ as a dataset records it.
    pub fn learner_part(&self) -> PluginRecord {
        part_of(&*self.learner)
    }

    /// The objective as a dataset records it.
    pub fn objective_part(&self) -> PluginRecord {
        PluginRecord { id: self.objective.id().into(), options: self.objective.specification() }
    }
}

/// Changes `config` for direct PPO: every layer of the learner belongs to the encoder, and nothing is left for θ to
/// teach.
///
/// # Errors
/// The errors of [`Setup::new`].
pub fn directly(mut config: DistillConfig, registry: &Registry) -> Result<DistillConfig> {
    let setup = Setup::new(config.clone(), registry)?;
    let (d, seed) = (&setup.dimensions, derived(config.seed, "architecture", 0));
    let learner = setup.learner.draw(&d.observation, d.network_outputs(), seed)?;
    config.encoder_layers = Student::new(learner, d)?.layers();
    config.dataset.k = Some(1);
    config.inner = InnerConfig::default();
    Ok(config)
}

/// Checks that `scale` names parts of θ.
fn check_scale(scale: &BTreeMap<String, f64>, objective: &dyn Objective, d: &Dimensions) -> Result<()> {
    let theta = Theta::new(objective, d);
    let parts: Vec<&str> = theta.parts.iter().map(Part::name).collect();
    match scale.keys().find(|name| !parts.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let hint = did_you_mean(unknown, parts);
            Err(Error::usage(format!("`optimizer.scale.{unknown}`: θ has no such part.{hint}")))
        }
    }
}

/// Finds the environment `id` with `settings` and every other option at its default, in `wrappers`. Learners see only the
/// entries `observe` of its observations, if given; a frame stack is made of these.
///
/// # Errors
/// The id or an option is unknown, a value is out of range, an entry does not exist, the plugin fails, or its observations
/// cannot be stacked.
pub(super) fn find_environment(
    registry: &Registry,
    id: &str,
    settings: &Options,
    observe: Option<&Entries>,
    wrappers: &Wrappers,
) -> Result<DatasetEnvironment> {
    let Description { entry, options, spec, sha256 } = registry.describe(id, &as_text(settings))?;
    let all = options.iter().map(|option| {
        let value = settings.get(&option.name).map(|value| typed(option, value));
        (option.name.clone(), value.unwrap_or_else(|| option.default.clone()))
    });
    let settings = all.collect();
    wrappers.check().map_err(|why| Error::usage(format!("`{}`: {why}", spec.id)))?;
    let mut spec = wrappers.unstacked(spec);
    if let Some(entries) = observe {
        spec = reduced(spec, entries)?;
    }
    let spec = wrappers.stacked(spec)?;
    Ok(DatasetEnvironment {
        id: spec.id.clone(),
        version: entry.version,
        settings,
        observe: observe.cloned(),
        wrappers: wrappers.clone(),
        plugin_sha256: Some(sha256),
        spec,
    })
}

/// Finds an environment that a file records.
///
/// # Errors
/// The errors of [`find_environment`].
pub(super) fn find_recorded(registry: &Registry, of_file: &DatasetEnvironment) -> Result<DatasetEnvironment> {
    let DatasetEnvironment { id, settings, observe, wrappers, .. } = of_file;
    find_environment(registry, id, settings, observe.as_ref(), wrappers)
}

/// The environment for training rollouts: `environment` with the options and wrappers that `config` has for them alone.
/// The options' values are converted to the options' types.
///
/// # Errors
/// The errors of [`find_environment`]; the changed environment has other spaces, or reports no lives.
fn training(
    registry: &Registry,
    environment: &DatasetEnvironment,
    config: &mut EnvironmentConfig,
) -> Result<DatasetEnvironment> {
    let mut training = with_options(registry, environment, &mut config.training)?;
    if config.episodic_life {
        training.wrappers.episodic_life = true;
        // One step shows whether the environment reports lives.
        let mut environments = make_environments(registry, &training, 1, 1)?;
        let action = &training.spec.action;
        let zeros = match action {
            Space::Box { .. } => Actions::Continuous(vec![0.0; action.size()]),
            _ => Actions::Discrete(vec![0; action.size()]),
        };
        environments.reset(&[0])?;
        environments.step(&clamp(&zeros, action))?;
    }
    Ok(training)
}

/// `environment` with other values of the options `changes`.
fn with_options(
    registry: &Registry,
    environment: &DatasetEnvironment,
    changes: &mut Options,
) -> Result<DatasetEnvironment> {
    if changes.is_empty() {
        return Ok(environment.clone());
    }
    let mut settings = environment.settings.clone();
    settings.extend(changes.clone());
    let DatasetEnvironment { id, observe, wrappers, .. } = environment;
    let training = find_environment(registry, id, &settings, observe.as_ref(), wrappers)?;
    for (name, value) in changes {
        value.clone_from(&training.settings[name]);
    }
    let (of_training, of_scores) = (&training.spec, &environment.spec);
    if (&of_training.observation, &of_training.action) != (&of_scores.observation, &of_scores.action) {
        return Err(Error::usage(
            "`environment.training`: these options change the observation or action space; choose others",
        ));
    }
    Ok(training)
}

/// Converts `value` to the option's type: a configuration file may say `gravity = 9` where a float is expected.
fn typed(option: &OptionSchema, value: &OptionValue) -> OptionValue {
    match (&option.kind, value) {
        (OptionKind::Number { .. }, OptionValue::Integer(n)) => OptionValue::Number(*n as f64),
        _ => option.parse(&value.to_string()).unwrap_or_else(|_| value.clone()),
    }
}

/// Makes `count` copies of an environment that a dataset or a setup records. Copies that are stepped apart have `threads`
/// threads.
pub(super) fn make_environments(
    registry: &Registry,
    environment: &DatasetEnvironment,
    count: usize,
    threads: usize,
) -> Result<Box<dyn Environments>> {
    let DatasetEnvironment { id, settings, observe, wrappers, .. } = environment;
    let settings = as_text(settings);
    let make = |count: usize| registry.make_environments(id, &settings, count);
    let mut environments = wrappers.make_unstacked(&make, count, threads)?;
    if let Some(entries) = observe {
        environments = Box::new(Observed::new(environments, entries)?);
    }
    wrappers.stack(environments)
}

pub(crate) fn as_text(settings: &BTreeMap<String, OptionValue>) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// The default number of instances k: the paper's minimum ⌈c/2⌉ + 1 for c soft-labeled classes, and its number for
/// MuJoCo for continuous actions.
fn least_instances(action: &Space) -> usize {
    match action {
        Space::Discrete { n } => n.div_ceil(2) + 1,
        _ => 64,
    }
}

/// The default advantage estimate: correct GAE, except for the objective that reproduces the code of Wilhelm & Ventura
/// 2025. Its runs from before the key existed can thus be resumed unchanged.
fn advantages_for(objective: &str) -> Estimator {
    match objective {
        "ppmo-as-published-v1" => Estimator::GaeAsPublished,
        _ => Estimator::Gae,
    }
}

/// Whether the encoder covers the whole learner. Refuses one with more layers than the learner has, or one that would
/// have to fit several architectures.
fn check_encoder(learner: &dyn LearnerDistribution, d: &Dimensions, seed: u64) -> Result<bool> {
    if d.encoder_layers == 0 {
        return Ok(false);
    }
    let draw =
        |number| learner.draw(&d.observation, d.network_outputs(), derived(seed, "architecture", number));
    let first = Student::new(draw(0)?, d)?;
    if d.encoder_layers > first.layers() {
        return Err(Error::usage(format!(
            "`encoder_layers` is {}; the learner has {}",
            d.encoder_layers,
            counted(first.layers(), "layer")
        )));
    }
    let name = first.learner.name();
    match (1..32).all(|number| draw(number).is_ok_and(|other| other.name() == name)) {
        true => Ok(d.encoder_layers == first.layers()),
        false => Err(Error::usage(format!(
            "an encoder needs learners of one architecture; the options of `{}` make them differ",
            learner.id()
        ))),
    }
}

/// The configuration of a plugin with every option written out.
fn resolved(id: &str, specification: &serde_json::Value) -> Result<PluginConfig> {
    let options = serde_json::from_value(specification.clone())
        .map_err(|e| Error::usage(format!("the options of `{id}`: {e}")))?;
    Ok(PluginConfig { id: id.to_owned(), options })
}

/// Makes the learner distribution that a configuration names.
pub(crate) fn learners(registry: &Registry, config: &LearnerConfig) -> Result<Box<dyn LearnerDistribution>> {
    let one = |id: &str, options: &Options| registry.learner(id, &as_text(options));
    match config {
        LearnerConfig::One(plugin) => one(&plugin.id, &plugin.options),
        LearnerConfig::Mixture(parts) => {
            let part = |p: &crate::run::WeightedPlugin| Ok((p.weight, one(&p.id, &p.options)?));
            Ok(Box::new(Mixture::new(parts.iter().map(part).collect::<Result<_>>()?)))
        }
    }
}

/// The learner distribution Λ as files record it.
pub(super) fn part_of(learner: &dyn LearnerDistribution) -> PluginRecord {
    PluginRecord { id: learner.id().into(), options: learner.specification() }
}

/// Makes the learner distribution that a dataset or an agent names.
pub(super) fn learner_of(registry: &Registry, part: &PluginRecord) -> Result<Box<dyn LearnerDistribution>> {
    learners(registry, &LearnerConfig::of_record(part).map_err(Error::Usage)?)
}

/// Loads the offline data, if `objective` learns from them, and records the file's path and hash in the configuration.
fn transitions(
    objective: &dyn Objective,
    config: &mut OfflineConfig,
    environment: &DatasetEnvironment,
) -> Result<Option<Transitions>> {
    let path: &Path = match (objective.data(), &config.data) {
        (Data::Offline, Some(path)) => path,
        (Data::Offline, None) => {
            return Err(Error::usage(format!(
                "objective `{}` learns from offline data: name a file with --data (`potstill collect` writes one)",
                objective.id()
            )));
        }
        (_, Some(path)) => {
            return Err(Error::usage(format!(
                "objective `{}` learns from its own rollouts and does not read {}; --data is for objectives that \
                 learn from offline data, e.g. --objective gradient-matching or --objective clone --objective-set \
                 data=offline",
                objective.id(),
                path.display()
            )));
        }
        (_, None) => return Ok(None),
    };
    let path = path.canonicalize().at(path)?;
    let (transitions, sha256) = Transitions::load_hashed(&path)?;
    transitions.check_environment(environment)?;
    same_file(&path, config.sha256.as_ref(), &sha256)?;
    (config.data, config.sha256) = (Some(path), Some(sha256));
    Ok(Some(transitions))
}

/// Loads the teacher, if `objective` reads its outputs, and records the file's path and hash in the configuration.
fn teacher(
    objective: &dyn Objective,
    config: &mut TeacherConfig,
    environment: &DatasetEnvironment,
    registry: &Registry,
) -> Result<Option<Agent>> {
    let path = match (objective.columns().contains(&Column::Teacher), &config.agent) {
        (true, Some(path)) => path,
        (true, None) => {
            return Err(Error::usage(format!(
                "objective `{}` learns from a teacher: name an agent file with --teacher (`potstill train` writes one, of a \
                 dataset or of a run of `potstill rl`)",
                objective.id()
            )));
        }
        (false, Some(path)) => {
            return Err(Error::usage(format!(
                "objective `{}` reads no teacher, and {} is one; --teacher is for objectives that do, e.g. --objective clone",
                objective.id(),
                path.display()
            )));
        }
        (false, None) => return Ok(None),
    };
    let path = path.canonicalize().at(path)?;
    let (agent, sha256) = AgentFile::load_hashed(&path)?;
    let own = &agent.environment;
    if own.id == environment.id {
        own.check_wrappers("teacher was trained for", &environment.wrappers)?;
    }
    if own.observe != environment.observe && environment.wrappers.frame_stack.is_some() {
        return Err(Error::usage(
            "`environment.observe`: the teacher sees other entries of the observations, which it cannot where \
             `environment.frame_stack` is set; give both the same",
        ));
    }
    if own.observe == environment.observe {
        own.check("teacher was trained for", &environment.spec)?;
    } else {
        let DatasetEnvironment { id, settings, wrappers, .. } = environment;
        let seen = find_environment(registry, id, settings, own.observe.as_ref(), wrappers)?;
        own.check("teacher was trained for", &seen.spec)?;
    }
    same_file(&path, config.sha256.as_ref(), &sha256)?;
    (config.agent, config.sha256) = (Some(path), Some(sha256));
    Agent::from_file(agent, registry).map(Some)
}

/// Loads the dataset to start from, if one is named, and records the file's path and hash in the configuration.
fn start(config: &mut DatasetConfig, environment: &DatasetEnvironment) -> Result<Option<Dataset>> {
    let Some(path) = &config.start else { return Ok(None) };
    if config.inner_lr.is_some() {
        return Err(Error::usage(
            "`dataset.inner_lr`: the dataset to start from has its own η; leave this out",
        ));
    }
    let path = path.canonicalize().at(path)?;
    let (dataset, sha256) = Dataset::load_hashed(&path)?;
    let own = &dataset.info.environment;
    if own.id == environment.id {
        own.check_wrappers("dataset was made for", &environment.wrappers)?;
    }
    dataset.check_environment(&environment.spec)?;
    same_file(&path, config.start_sha256.as_ref(), &sha256)?;
    (config.start, config.start_sha256) = (Some(path), Some(sha256));
    Ok(Some(dataset))
}

/// Refuses a file whose hash is not the `expected` one.
fn same_file(path: &Path, expected: Option<&String>, sha256: &str) -> Result<()> {
    match expected.is_none_or(|expected| expected == sha256) {
        true => Ok(()),
        false => Err(Error::file(path, "is not the file that this run or configuration began with")),
    }
}

/// Makes the objective that a dataset names.
pub(super) fn objective_of(
    registry: &Registry,
    part: &PluginRecord,
    task: &Task,
) -> Result<Box<dyn Objective>> {
    registry.objective(&part.id, &part_options(part)?, task)
}

fn part_options(part: &PluginRecord) -> Result<Vec<(String, String)>> {
    match &part.options {
        serde_json::Value::Null => Ok(vec![]),
        value => Ok(as_text(&resolved(&part.id, value)?.options)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_has_the_defaults_of_configurations() {
        let registry = Registry::of(&[], &[]).unwrap();
        let setup = Setup::new(DistillConfig::default(), &registry).unwrap();
        assert_eq!(setup.rates(), Rates::default());
        assert_eq!(setup.rollouts(), ppmo::Hyperparameters::default());
    }
}
