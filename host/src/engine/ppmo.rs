//! Proximal policy meta-optimization: Algorithm 1 of Wilhelm & Ventura 2025 (and Algorithm 2, its encoder
//! rollback, which differs only in which parameters are fresh).
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use potstill_plugin_api::{Column, Data};
use rand::seq::SliceRandom;

use super::advantage::{Estimator, Trajectories, estimate};
use super::learner::LearnerDistribution;
use super::objective::Objective;
use super::programs::{self, Dimensions, Student, Trained, Update, UpdateRule};
use super::random::{derived, stream};
use super::rollout::{Policy, Rollout, collect};
use crate::error::{Error, Result};
use crate::execute::{Device, Plan, Tensor};
use crate::plugin::environment::Environments;

/// Hyperparameters of the outer loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// Steps each environment takes in a meta-epoch.
    pub steps: usize,
    /// Learners drawn in a meta-epoch; environments are shared out among them.
    pub learners: usize,
    /// Times the rollouts are gone through.
    pub policy_epochs: usize,
    /// Rows of a minibatch.
    pub minibatch: usize,
    /// Discount.
    pub gamma: f32,
    /// λ of GAE.
    pub lambda: f32,
    /// Learning rate of θ and ξ at meta-epoch `e` of `total`, see [`Schedule`].
    pub lr: f32,
    /// Learning rate of the critic.
    pub critic_lr: f32,
    /// How both fall.
    pub schedule: Schedule,
    /// Meta-epochs the schedule is stretched over.
    pub meta_epochs: u64,
    /// Initial η, where it is not the objective's own.
    pub inner_lr: Option<f32>,
    /// How gradients become updates.
    pub rule: UpdateRule,
    /// Multiplies rewards for the critic and the advantages (not for reported returns).
    pub reward_scale: f32,
}

/// How learning rates fall over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// They do not.
    Constant,
    /// In a straight line to 0.
    Linear,
    /// As half a cosine to 0.
    Cosine,
}

impl Schedule {
    /// The factor at meta-epoch `epoch` of `total`.
    pub fn factor(self, epoch: u64, total: u64) -> f32 {
        let done = epoch as f32 / total.max(1) as f32;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - done).max(0.0),
            Schedule::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * done.min(1.0)).cos()),
        }
    }
}

/// The plans of one architecture.
struct Programs {
    student: Student,
    teach: Plan,
    act: Plan,
    updates: HashMap<usize, Update>,
}

/// One distillation in progress.
pub struct Ppmo<'a> {
    device: Device,
    dimensions: Dimensions,
    hyper: Hyperparameters,
    distribution: &'a dyn LearnerDistribution,
    objective: &'a dyn Objective,
    critic: Student,
    seed: u64,
    /// Layout of `state`.
    pub trained: Trained,
    /// Trained values, first moments, second moments.
    state: Vec<Tensor>,
    /// Meta-epochs done.
    pub meta_epoch: u64,
    /// Outer updates done.
    pub updates: u64,
    /// Environment steps taken.
    pub steps: u64,
    programs: HashMap<String, Programs>,
    judges: HashMap<usize, Plan>,
}

/// What is computed from a rollout, a number for each transition.
struct Columns {
    advantages: Vec<f32>,
    returns: Vec<f32>,
    values: Vec<f32>,
}

/// What one meta-epoch reports.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Mean undiscounted return of the episodes that ended, if any did.
    pub mean_return: Option<f32>,
    /// Their mean length.
    pub mean_length: Option<f32>,
    /// How many ended.
    pub episodes: usize,
    /// η.
    pub inner_lr: f32,
    /// Means over the updates, by name.
    pub metrics: Vec<(String, f32)>,
}

impl<'a> Ppmo<'a> {
    /// Starts a distillation from a random θ: X, Y ~ N(0, 1).
    ///
    /// # Errors
    /// The learner's or the critic's tracing error.
    pub fn new(
        device: Device,
        dimensions: Dimensions,
        hyper: Hyperparameters,
        distribution: &'a dyn LearnerDistribution,
        critic: &dyn LearnerDistribution,
        objective: &'a dyn Objective,
        seed: u64,
    ) -> Result<Self> {
        let architecture = derived(seed, "architecture", 0);
        let first = distribution.draw(&dimensions.observation, dimensions.outputs(), architecture)?;
        let first = Student::new(first, &dimensions)?;
        let architecture = derived(seed, "critic architecture", 0);
        let critic = Student::critic(critic.draw(&dimensions.observation, 1, architecture)?, &dimensions)?;
        let trained = Trained::new(&first, &critic, objective.theta());
        let mut state = vec![];
        let size = |shape: &[usize]| shape.iter().product();
        for part in objective.theta() {
            let start = match hyper.inner_lr.filter(|_| part.name == "inner_lr") {
                Some(rate) if part.positive => vec![rate.ln()],
                Some(rate) => vec![rate],
                None => programs::initial(part, seed),
            };
            state.push(device.tensor(&start, &part.shape));
        }
        let mut encoder_stream = stream(seed, "encoder", 0);
        state.extend(first.encoder().map(|p| device.tensor(&p.sample(&mut encoder_stream), &p.shape)));
        let mut critic_stream = stream(seed, "critic", 0);
        state.extend(
            critic.parameters().iter().map(|p| device.tensor(&p.sample(&mut critic_stream), &p.shape)),
        );
        for _ in 0..2 {
            state.extend(trained.shapes.iter().map(|s| device.tensor(&vec![0.0; size(s)], s)));
        }
        Ok(Ppmo {
            device,
            dimensions,
            hyper,
            distribution,
            objective,
            critic,
            seed,
            trained,
            state,
            meta_epoch: 0,
            updates: 0,
            steps: 0,
            programs: HashMap::new(),
            judges: HashMap::new(),
        })
    }

    /// One meta-epoch: fresh learners learn from θ in one step, act, and θ is updated through that step.
    ///
    /// # Errors
    /// The environment's, a plugin's tracing error, or a θ that is not a number any more.
    pub fn meta_epoch(&mut self, environments: &mut [Box<dyn Environments>]) -> Result<Report> {
        let epoch = self.meta_epoch;
        let mut report = Report::default();
        let mut batches = vec![];
        for (i, environments) in environments.iter_mut().enumerate() {
            // A new learner; its initialisation φ⁰ stays the same through the meta-epoch.
            let number = epoch * self.hyper.learners as u64 + i as u64;
            let key = self.architecture(number, environments.len())?;
            let programs = &self.programs[&key];
            let mut learner_stream = stream(self.seed, "learner", number);
            let fresh = programs::sample(&programs.student, &self.device, &mut learner_stream);
            // π⁰: the learner after one inner step on θ. All rollouts are its.
            let taught = self.teach(programs, &fresh);
            let policy = Policy {
                device: &self.device,
                plan: &programs.act,
                parameters: &taught,
                actions: self.dimensions.outputs(),
            };
            let mut rollout_stream = stream(self.seed, "rollout", number);
            let rollout = collect(environments.as_mut(), &policy, self.hyper.steps, &mut rollout_stream)?;
            self.steps += rollout.rewards.len() as u64;
            let columns = self.columns(&rollout)?;
            report.episodes += rollout.episode_returns.len();
            batches.push((key, fresh, rollout, columns));
        }
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (sum, count) = values.fold((0.0, 0), |(s, c), v| (s + v, c + 1));
            (count > 0).then(|| sum / count as f32)
        };
        report.mean_return = mean(&mut batches.iter().flat_map(|b| b.2.episode_returns.iter().copied()));
        report.mean_length =
            mean(&mut batches.iter().flat_map(|b| b.2.episode_lengths.iter().map(|&l| l as f32)));

        let factor = self.hyper.schedule.factor(epoch, self.hyper.meta_epochs);
        let mut shuffle = stream(self.seed, "shuffle", epoch);
        let mut sums: Vec<(String, f32, u32)> = vec![];
        for _ in 0..self.hyper.policy_epochs {
            let mut minibatches = vec![];
            for (b, batch) in batches.iter().enumerate() {
                let mut rows: Vec<usize> = (0..batch.2.rewards.len()).collect();
                rows.shuffle(&mut shuffle);
                minibatches.extend(rows.chunks(self.hyper.minibatch).map(|rows| (b, rows.to_vec())));
            }
            if batches.len() > 1 {
                minibatches.shuffle(&mut shuffle);
            }
            for (b, rows) in minibatches {
                let (key, fresh, rollout, columns) = &batches[b];
                let metrics = self.update(key, fresh, rollout, columns, &rows, factor)?;
                for (name, value) in metrics {
                    match sums.iter_mut().find(|s| s.0 == name) {
                        Some(sum) => (sum.1, sum.2) = (sum.1 + value, sum.2 + 1),
                        None => sums.push((name, value, 1)),
                    }
                }
            }
        }
        report.metrics = sums.into_iter().map(|(name, sum, count)| (name, sum / count as f32)).collect();
        report.inner_lr = self.inner_lr();
        if !report.inner_lr.is_finite() || report.metrics.iter().any(|(_, v)| !v.is_finite()) {
            return Err(Error::usage(format!(
                "meta-epoch {epoch}: θ is not finite any more, the optimisation diverged (try a smaller --lr)"
            )));
        }
        self.meta_epoch += 1;
        Ok(report)
    }

    /// Draws the architecture of learner `number` and makes sure its programs are there.
    fn architecture(&mut self, number: u64, rows: usize) -> Result<String> {
        let seed = derived(self.seed, "architecture", number);
        let d = &self.dimensions;
        let learner = self.distribution.draw(&d.observation, d.outputs(), seed)?;
        let key = learner.name().to_owned();
        match self.programs.entry(key.clone()) {
            Entry::Vacant(place) => {
                let student = Student::new(learner, &self.dimensions)?;
                let teach = programs::teach(&student, self.objective, &self.dimensions)?;
                let act = programs::act(&student, &self.dimensions, rows)?;
                place.insert(Programs { student, teach, act, updates: HashMap::new() });
            }
            Entry::Occupied(known) if known.get().student.parameters() != learner.parameters() => {
                return Err(Error::Plugin {
                    plugin: self.distribution.id().to_owned(),
                    function: "name".into(),
                    cause: format!("it called two architectures of other parameters `{key}`"),
                });
            }
            Entry::Occupied(_) => {}
        }
        Ok(key)
    }

    fn teach(&self, programs: &Programs, fresh: &[Tensor]) -> Vec<Tensor> {
        let mut inputs = self.state[..self.trained.of_theta].to_vec();
        inputs.extend_from_slice(fresh);
        self.device.run(&programs.teach, &inputs)
    }

    /// V of `observations`, in one batch.
    fn values(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        let width = self.dimensions.observation.size();
        let rows = observations.len() / width;
        if rows == 0 {
            return Ok(vec![]);
        }
        // How many episodes ended varies: rows are filled up, so that a few plans serve all.
        let filled = rows.next_multiple_of(64);
        let mut batch = observations.to_vec();
        batch.resize(filled * width, 0.0);
        let plan = match self.judges.entry(filled) {
            Entry::Occupied(plan) => plan.into_mut(),
            Entry::Vacant(place) => place.insert(programs::judge(&self.critic, &self.dimensions, filled)?),
        };
        let mut inputs = self.state[self.trained.of_theta..self.trained.names.len()].to_vec();
        inputs.push(self.device.rows(plan, inputs.len(), &batch, None));
        let outputs = self.device.run(plan, &inputs);
        let mut values = outputs.first().map(|t| self.device.read(t)).unwrap_or_default();
        values.truncate(rows);
        Ok(values)
    }

    /// What the objective may read of a rollout beside what was seen and done.
    fn columns(&mut self, rollout: &Rollout) -> Result<Columns> {
        let values = self.values(&rollout.observations)?;
        let last = self.values(&rollout.last_observations)?;
        let finals = self.values(&rollout.final_observations)?;
        let next_values = rollout.next_values(&values, &last, &finals);
        let rewards: Vec<f32> = rollout.rewards.iter().map(|r| r * self.hyper.reward_scale).collect();
        let trajectories = Trajectories {
            environments: rollout.environments,
            rewards: &rewards,
            values: &values,
            next_values: &next_values,
            terminated: &rollout.terminated,
            truncated: &rollout.truncated,
        };
        let estimator = match self.objective.data() {
            Data::RolloutsAsPublished => Estimator::GaeAsPublished,
            _ => Estimator::Gae,
        };
        let (advantages, returns) = estimate(&trajectories, self.hyper.gamma, self.hyper.lambda, estimator);
        Ok(Columns { advantages, returns, values })
    }

    /// η.
    fn inner_lr(&self) -> f32 {
        let parts = self.objective.theta().iter().zip(&self.state);
        let mut rate = parts.filter(|(part, _)| part.name == "inner_lr").map(|(part, tensor)| {
            let value = self.device.read(tensor)[0];
            if part.positive { value.exp() } else { value }
        });
        rate.next().unwrap_or(f32::NAN)
    }

    /// One outer update of θ, ξ and the critic on the rows `rows` of a rollout.
    fn update(
        &mut self,
        key: &str,
        fresh: &[Tensor],
        rollout: &Rollout,
        columns: &Columns,
        rows: &[usize],
        factor: f32,
    ) -> Result<Vec<(String, f32)>> {
        let Some(programs) = self.programs.get_mut(key) else { return Ok(vec![]) };
        let (student, d) = (&programs.student, &self.dimensions);
        let rule = &self.hyper.rule;
        let Update { plan, metrics } = match programs.updates.entry(rows.len()) {
            Entry::Occupied(update) => update.into_mut(),
            Entry::Vacant(place) => {
                let update = programs::update(student, &self.critic, self.objective, rule, d, rows.len())?;
                place.insert(update)
            }
        };
        self.updates += 1;
        let [correction1, correction2] = rule.adam.corrections(self.updates);
        let scalars = [self.hyper.lr * factor, self.hyper.critic_lr * factor, correction1, correction2];
        let mut inputs = self.state.clone();
        inputs.extend_from_slice(fresh);
        inputs.extend(scalars.map(|v| self.device.tensor(&[v], &[])));
        let at = inputs.len();
        inputs.push(self.device.rows(plan, at, &rollout.observations, Some(rows)));
        inputs.push(self.device.int_rows(plan, at + 1, &rollout.actions, Some(rows)));
        let reads = |column: Column| self.objective.columns().contains(&column);
        let further = [
            Some(&rollout.log_probs),
            Some(&columns.advantages),
            Some(&columns.returns),
            reads(Column::Outputs).then_some(&rollout.outputs),
            reads(Column::Values).then_some(&columns.values),
        ];
        for (i, column) in further.into_iter().flatten().enumerate() {
            inputs.push(self.device.rows(plan, at + 2 + i, column, Some(rows)));
        }
        let mut outputs = self.device.run(plan, &inputs);
        let values = outputs.split_off(self.state.len());
        self.state = outputs;
        Ok(metrics.iter().zip(values).map(|(name, t)| (name.clone(), self.device.read(&t)[0])).collect())
    }

    /// Everything that is trained, with Adam's moments: name, shape, numbers.
    pub fn state(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let prefixes = ["", "first_moment/", "second_moment/"];
        let count = self.trained.names.len();
        self.state
            .iter()
            .enumerate()
            .map(|(i, tensor)| {
                let name = format!("{}{}", prefixes[i / count], self.trained.names[i % count]);
                (name, tensor.shape().to_vec(), self.device.read(tensor))
            })
            .collect()
    }

    /// Goes on from what [`Self::state`] gave.
    ///
    /// # Errors
    /// A missing tensor, or one of another shape.
    pub fn restore(&mut self, tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<()> {
        let restored: Result<Vec<Tensor>> = self
            .state()
            .iter()
            .map(|(name, shape, _)| match tensors.iter().find(|t| t.0 == *name) {
                Some((_, found, data)) if found == shape => Ok(self.device.tensor(data, shape)),
                Some((_, found, _)) => Err(Error::usage(format!(
                    "checkpoint tensor `{name}` has shape {found:?}, expected {shape:?}"
                ))),
                None => Err(Error::usage(format!("the checkpoint has no tensor `{name}`"))),
            })
            .collect();
        self.state = restored?;
        Ok(())
    }
}
