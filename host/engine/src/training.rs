//! What all outer loops share: drawing learners, teaching them from θ, and updating θ through that inner step.
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use potstill_plugin_api::Column;

use crate::error::{Error, Result};
use crate::evaluate::Distilled;
use crate::execute::{Array, Device, Plan};
use crate::inner::{Teaching, Updating};
use crate::learner::{LearnerDistribution, Parameter};
use crate::normalize::Moments;
use crate::objective::Objective;
use crate::optimizer::Schedule;
use crate::programs::{self, UpdateRule};
use crate::random::{derived, stream};
use crate::student::{Dimensions, Student};
use crate::theta::{Layout, NORMALIZER, NamedTensor, REWARD_NORMALIZER, Theta, current_name};

/// Hyperparameters of the updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of θ and ξ.
    pub lr: f32,
    /// Learning rate of the critic.
    pub critic_lr: f32,
    /// How both learning rates decay over the run.
    pub schedule: Schedule,
    /// The number of meta-epochs over which the schedule runs.
    pub meta_epochs: u64,
    /// The initial η, if it is not the objective's own.
    pub inner_lr: Option<f32>,
    /// Whether observations are normalized to mean 0 and variance 1.
    pub normalize_observations: bool,
    /// Whether rewards are divided by the running standard deviation of their discounted sums.
    pub normalize_rewards: bool,
    /// How gradients are turned into updates.
    pub rule: UpdateRule,
}

impl Default for Rates {
    /// The program's defaults, which suit cart-pole.
    fn default() -> Self {
        Rates {
            lr: 3.5e-3,
            critic_lr: 3.5e-3,
            schedule: Schedule::Linear,
            meta_epochs: 1000,
            inner_lr: None,
            normalize_observations: false,
            normalize_rewards: false,
            rule: UpdateRule::default(),
        }
    }
}

/// The roles of a distillation, as plugins fill them, with the sizes they share.
#[derive(Clone, Copy)]
pub struct Roles<'a> {
    /// The sizes of θ, the observations and the policy.
    pub dimensions: &'a Dimensions,
    /// The distribution Λ that learners are drawn from.
    pub learner: &'a dyn LearnerDistribution,
    /// The distribution that the critic is drawn from, once.
    pub critic: &'a dyn LearnerDistribution,
    /// The meta-objective.
    pub objective: &'a dyn Objective,
}

/// The state of training: θ, the encoder ξ and the critic, and the programs of every architecture drawn so far.
pub struct Training<'a> {
    pub(crate) device: Device,
    pub(crate) roles: Roles<'a>,
    /// The sizes of `roles`, with the layers that the encoder has now.
    pub(crate) dimensions: Dimensions,
    /// The critic, if the objective [needs](programs::needs_critic) one.
    pub(crate) critic: Option<Student>,
    /// The seed of every random stream.
    pub(crate) seed: u64,
    rates: Rates,
    /// The order of everything that is trained.
    pub layout: Layout,
    /// The trained values, then their first and second moments, each in the order of `layout`.
    state: Vec<Array>,
    /// The moments of the observations, if these are normalized.
    pub normalizer: Option<Moments>,
    /// The moments of the discounted sums of rewards, if rewards are normalized.
    pub reward_normalizer: Option<Moments>,
    /// The number of meta-epochs completed.
    pub meta_epoch: u64,
    /// The number of outer updates made.
    pub updates: u64,
    /// The number of environment steps taken, summed over all copies.
    pub steps: u64,
    programs: HashMap<String, Programs>,
}

/// The plans of one architecture.
struct Programs {
    /// The parameters as the learner declared them. Another learner of the same name must declare the same.
    declared: Vec<Parameter>,
    student: Student,
    teach: Teaching,
    /// The outer updates, by the number of rows of a minibatch.
    updates: HashMap<usize, Updating>,
}

/// A learner that was drawn from Λ.
pub(crate) struct DrawnLearner {
    /// The name of its architecture. Learners with equal names share programs.
    pub(crate) architecture: String,
    /// φ⁰, with initial values for the encoder's parameters, which the plans ignore.
    fresh: Vec<Array>,
    /// The seed of the instances that its inner steps see.
    batches: u64,
}

/// The summary of one meta-epoch.
#[derive(Clone, Debug, Default)]
pub struct MetaEpochReport {
    /// The mean undiscounted return of the episodes that ended, if any did.
    pub mean_return: Option<f32>,
    /// The mean length of these episodes.
    pub mean_length: Option<f32>,
    /// The number of episodes that ended.
    pub episodes: usize,
    /// The number of episodes that ended because their simulation failed.
    pub faults: usize,
    /// η after the last update.
    pub inner_lr: f32,
    /// Metrics by name, averaged over the updates.
    pub metrics: Vec<(String, f32)>,
}

/// Running means by name, in the order in which the names first appeared.
#[derive(Default)]
pub(crate) struct Means(Vec<(String, f32, u32)>);

impl Means {
    pub(crate) fn add(&mut self, values: Vec<(String, f32)>) {
        for (name, value) in values {
            match self.0.iter_mut().find(|sum| sum.0 == name) {
                Some(sum) => (sum.1, sum.2) = (sum.1 + value, sum.2 + 1),
                None => self.0.push((name, value, 1)),
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<(String, f32)> {
        self.0.into_iter().map(|(name, sum, count)| (name, sum / count as f32)).collect()
    }
}

impl<'a> Training<'a> {
    /// Starts from the initial θ that the objective declares.
    ///
    /// # Errors
    /// An error of tracing the learner or the critic.
    pub fn new(device: Device, roles: Roles<'a>, rates: Rates, seed: u64) -> Result<Self> {
        let Roles { dimensions: d, learner, critic, objective } = roles;
        let architecture = derived(seed, "architecture", 0);
        let first = Student::new(learner.draw(&d.observation, d.network_outputs(), architecture)?, d)?;
        let critic = match programs::needs_critic(objective) {
            true => {
                let architecture = derived(seed, "critic architecture", 0);
                Some(Student::critic(critic.draw(&d.observation, 1, architecture)?, d)?)
            }
            false => None,
        };
        let layout = Layout::new(Theta::new(objective, d), &first, critic.as_ref());
        let mut values = layout.theta.initial(seed, rates.inner_lr);
        let (mut encoder_stream, mut critic_stream) = (stream(seed, "encoder", 0), stream(seed, "critic", 0));
        values.extend(first.encoder().map(|p| p.sample(&mut encoder_stream)));
        values.extend(critic.iter().flat_map(Student::parameters).map(|p| p.sample(&mut critic_stream)));
        let mut state: Vec<Array> =
            values.iter().zip(&layout.shapes).map(|(data, shape)| device.tensor(data, shape)).collect();
        for _ in 0..2 {
            let zeros = |shape: &Vec<usize>| device.tensor(&vec![0.0; shape.iter().product()], shape);
            state.extend(layout.shapes.iter().map(zeros));
        }
        Ok(Training {
            device,
            roles,
            dimensions: d.clone(),
            critic,
            seed,
            layout,
            state,
            normalizer: rates.normalize_observations.then(|| Moments::new(d.observation.size())),
            reward_normalizer: rates.normalize_rewards.then(|| Moments::new(1)),
            rates,
            meta_epoch: 0,
            updates: 0,
            steps: 0,
            programs: HashMap::new(),
        })
    }

    /// Replaces the initial θ and ξ, and the moments of observations if they are normalized, by those of `start`.
    ///
    /// # Errors
    /// [`Error::Usage`]: `start` lacks a layer of the encoder, or only one of the two normalizes observations.
    pub fn start_from(&mut self, start: Distilled) -> Result<()> {
        let normalizes = |is: bool| if is { "normalized" } else { "not normalized" };
        let (of_start, of_run) = (start.normalizer.is_some(), self.normalizer.is_some());
        if of_start != of_run {
            return Err(Error::usage(format!(
                "the observations of the dataset to start from are {}, and those of this run are {}: set \
                 `normalize.observations` to {of_start}",
                normalizes(of_start),
                normalizes(of_run)
            )));
        }
        // Layers of the dataset's encoder that are not in this run's are left out: that is a rollback.
        let Layout { theta, names, shapes, meta_learned, .. } = &self.layout;
        for (i, (array, shape)) in self.state.iter_mut().zip(shapes).enumerate().take(*meta_learned) {
            let found = match i < theta.parts.len() {
                true => start.tensors.get(i),
                false => start.tensors.iter().find(|tensor| tensor.name == names[i]),
            };
            let found = found.filter(|tensor| tensor.shape == *shape).ok_or_else(|| {
                Error::usage(
                    "the dataset to start from has another encoder than this run: give both the same learner, and this \
                     run no more `encoder_layers`",
                )
            })?;
            *array = self.device.tensor(&found.data, shape);
        }
        self.normalizer = start.normalizer;
        Ok(())
    }

    /// The layers that the encoder has now.
    pub fn encoder_layers(&self) -> usize {
        self.dimensions.encoder_layers
    }

    /// Takes the last layers from the encoder until it has `encoder_layers`: learners have them fresh from now on. Everything
    /// else that is trained goes on, with the optimizer's moments.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn roll_back(&mut self, encoder_layers: usize) -> Result<()> {
        let Roles { learner, objective, .. } = self.roles;
        let d = Dimensions { encoder_layers, ..self.dimensions.clone() };
        let architecture = derived(self.seed, "architecture", 0);
        let first = Student::new(learner.draw(&d.observation, d.network_outputs(), architecture)?, &d)?;
        let layout = Layout::new(Theta::new(objective, &d), &first, self.critic.as_ref());
        let stays: Vec<bool> = self.layout.names.iter().map(|name| layout.names.contains(name)).collect();
        let state = std::mem::take(&mut self.state).into_iter().zip(stays.iter().cycle());
        self.state = state.filter(|(_, stays)| **stays).map(|(array, _)| array).collect();
        (self.layout, self.dimensions) = (layout, d);
        self.programs.clear();
        Ok(())
    }

    /// Draws learner `number` from Λ: an architecture, whose programs are traced if it is new, and φ⁰.
    pub(crate) fn draw(&mut self, number: u64) -> Result<DrawnLearner> {
        let (Roles { learner, objective, .. }, d) = (self.roles, &self.dimensions);
        let drawn =
            learner.draw(&d.observation, d.network_outputs(), derived(self.seed, "architecture", number))?;
        let architecture = drawn.name().to_owned();
        let programs = match self.programs.entry(architecture.clone()) {
            Entry::Occupied(known) if known.get().declared != drawn.parameters() => {
                return Err(Error::Plugin {
                    plugin: learner.id().to_owned(),
                    function: "name".into(),
                    cause: format!("it called two architectures with different parameters `{architecture}`"),
                });
            }
            Entry::Occupied(programs) => programs.into_mut(),
            Entry::Vacant(place) => {
                let declared = drawn.parameters().to_vec();
                let student = Student::new(drawn, d)?;
                let teach = Teaching::new(&student, objective, d)?;
                place.insert(Programs { declared, student, teach, updates: HashMap::new() })
            }
        };
        let mut initialization = stream(self.seed, "learner", number);
        let fresh = programs::sample(&programs.student, &self.device, &mut initialization);
        let batches = derived(self.seed, "inner batches", number);
        Ok(DrawnLearner { architecture, fresh, batches })
    }

    /// The network of a drawn learner.
    pub(crate) fn student(&self, learner: &DrawnLearner) -> &Student {
        &self.programs[&learner.architecture].student
    }

    /// All parameters of a learner after the inner rule on the current θ.
    pub(crate) fn teach(&self, learner: &DrawnLearner) -> Vec<Array> {
        let DrawnLearner { architecture, fresh, batches } = learner;
        let meta_learned = &self.state[..self.layout.meta_learned];
        self.programs[architecture].teach.run(&self.device, meta_learned, fresh, *batches)
    }

    /// The critic's parameters.
    pub(crate) fn critic_parameters(&self) -> &[Array] {
        &self.state[self.layout.meta_learned..self.layout.len()]
    }

    /// Makes one outer update of θ, ξ and the critic with a learner, on a batch of `rows` transitions, and returns the
    /// update's metrics. `batch(device, plan, first)` returns the batch as inputs of the plan, from number `first` on.
    pub(crate) fn update(
        &mut self,
        learner: &DrawnLearner,
        rows: usize,
        batch: impl FnOnce(&Device, &Plan, usize) -> Vec<Array>,
    ) -> Result<Vec<(String, f32)>> {
        let Some(Programs { student, updates, .. }) = self.programs.get_mut(&learner.architecture) else {
            return Ok(vec![]);
        };
        let Rates { lr, critic_lr, schedule, meta_epochs, rule, .. } = &self.rates;
        let update = match updates.entry(rows) {
            Entry::Occupied(update) => update.into_mut(),
            Entry::Vacant(place) => {
                let (objective, d) = (self.roles.objective, &self.dimensions);
                place.insert(Updating::new(student, self.critic.as_ref(), objective, rule, d, rows)?)
            }
        };
        self.updates += 1;
        let factor = schedule.factor(self.meta_epoch, *meta_epochs);
        let [correction1, correction2] = rule.optimizer.corrections(self.updates);
        let scalars = [lr * factor, critic_lr * factor, correction1, correction2];
        let progress = self.meta_epoch as f32 / *meta_epochs as f32;
        let reads_progress = self.roles.objective.columns().contains(&Column::Progress);
        let batch = |device: &Device, plan: &Plan, first: usize| {
            let mut inputs = batch(device, plan, first);
            inputs.extend(reads_progress.then(|| device.tensor(&[progress], &[1, 1])));
            inputs
        };
        let DrawnLearner { fresh, batches, .. } = learner;
        let (state, values) = update.run(&self.device, &self.state, fresh, *batches, scalars, batch);
        self.state = state;
        let metrics = update.metrics().iter().zip(values);
        Ok(metrics.map(|(name, value)| (name.clone(), self.device.read(&value)[0])).collect())
    }

    /// Ends a meta-epoch, counts it and summarizes it.
    ///
    /// # Errors
    /// [`Error::Usage`]: η or a metric is not finite, or η has shrunk to 0, which means that the optimization diverged.
    pub(crate) fn end_meta_epoch(&mut self, metrics: Means) -> Result<MetaEpochReport> {
        let report = MetaEpochReport {
            inner_lr: self.inner_lr(),
            metrics: metrics.finish(),
            ..MetaEpochReport::default()
        };
        if report.inner_lr == 0.0 {
            return Err(self.diverged("the inner learning rate has shrunk to 0"));
        } else if !report.inner_lr.is_finite() || report.metrics.iter().any(|(_, v)| !v.is_finite()) {
            return Err(self.diverged("θ is no longer finite"));
        }
        self.meta_epoch += 1;
        Ok(report)
    }

    /// The error that ends a run in which the optimization diverged. To go on with the run would repeat it.
    pub fn diverged(&self, how: &str) -> Error {
        Error::usage(format!(
            "meta-epoch {}: {how}: the optimization diverged; start a new run with a smaller --lr",
            self.meta_epoch
        ))
    }

    /// The current inner learning rate η, or NaN if θ has none.
    fn inner_lr(&self) -> f32 {
        let mut parts = self.layout.theta.parts.iter().zip(&self.state);
        let rate = parts.find(|(part, _)| part.name() == "inner_lr");
        rate.map_or(f32::NAN, |(part, trained)| part.to_value(self.device.read(trained))[0])
    }

    /// The name of tensor `i` of the state: of its value, or of one of the optimizer's moments.
    fn name(&self, i: usize) -> String {
        let prefix = ["", "first_moment/", "second_moment/"][i / self.layout.len()];
        format!("{prefix}{}", self.layout.names[i % self.layout.len()])
    }

    /// Tensor `i` of the state, on the host.
    fn tensor(&self, i: usize) -> NamedTensor {
        let array = &self.state[i];
        NamedTensor { name: self.name(i), shape: array.shape().to_vec(), data: self.device.read(array) }
    }

    /// The values of θ and the parameters of ξ, as a dataset file holds them.
    pub fn theta_and_encoder(&self) -> (Vec<NamedTensor>, Vec<NamedTensor>) {
        let Layout { theta, meta_learned, .. } = &self.layout;
        let values = theta.to_values(self.state.iter().map(|trained| self.device.read(trained)));
        (values, (theta.parts.len()..*meta_learned).map(|i| self.tensor(i)).collect())
    }

    /// The current θ and ξ, ready to teach learners.
    pub fn distilled(&self) -> Distilled {
        let tensors = (0..self.layout.meta_learned).map(|i| self.tensor(i)).collect();
        Distilled { tensors, normalizer: self.normalizer.clone() }
    }

    /// All tensors of a checkpoint: everything that is trained, the optimizer's moments, then the moments of
    /// observations and rewards.
    pub fn state(&self) -> Vec<NamedTensor> {
        let trained = (0..self.state.len()).map(|i| self.tensor(i));
        let normalizer = self.normalizer.iter().flat_map(|moments| moments.to_tensors(NORMALIZER));
        let rewards = self.reward_normalizer.iter().flat_map(|moments| moments.to_tensors(REWARD_NORMALIZER));
        trained.chain(normalizer).chain(rewards).collect()
    }

    /// Restores the tensors that [`Self::state`] returned, in this version or an earlier one.
    ///
    /// # Errors
    /// [`Error::Usage`]: a tensor is missing or has another shape.
    pub fn restore(&mut self, mut tensors: Vec<NamedTensor>) -> Result<()> {
        tensors.iter_mut().for_each(|tensor| tensor.name = current_name(&tensor.name));
        let missing = |name: &str| Error::usage(format!("the checkpoint has no tensor `{name}`"));
        let mut restored = vec![];
        for (i, array) in self.state.iter().enumerate() {
            let (name, shape) = (self.name(i), array.shape());
            let found = tensors.iter().find(|t| t.name == name).ok_or_else(|| missing(&name))?;
            // Older checkpoints hold the moments' count as a scalar.
            let both_single = found.data.len() == 1 && shape.iter().product::<usize>() == 1;
            if found.shape != *shape && !both_single {
                return Err(Error::usage(format!(
                    "checkpoint tensor `{name}` has shape {:?}, expected {shape:?}",
                    found.shape
                )));
            }
            restored.push(self.device.tensor(&found.data, shape));
        }
        self.state = restored;
        for (prefix, moments) in
            [(NORMALIZER, &mut self.normalizer), (REWARD_NORMALIZER, &mut self.reward_normalizer)]
        {
            if let Some(moments) = moments {
                let found = Moments::from_tensors(prefix, &tensors, moments.mean.len())?;
                *moments = found.ok_or_else(|| missing(prefix))?;
            }
        }
        Ok(())
    }
}
