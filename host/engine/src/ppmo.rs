//! Proximal policy meta-optimization: Algorithm 1 of Wilhelm & Ventura 2025, line by line. Algorithm 2, encoder
//! rollback, is the same loop: it differs only in which parameters are fresh ([`Student::phi_mask`]).
//!
//! | line | Algorithm 1 | code |
//! |---|---|---|
//! | 1 | while θ has not converged | the caller calls [`Ppmo::meta_epoch`] |
//! | 2 | λ_φ := Sample(Λ) | `Ppmo::teach`: φ⁰ stays the same throughout the meta-epoch |
//! | 3 | π⁰ := Train(λ_φ, θ) | `Ppmo::teach` runs the inner rule ([`programs::teach`]) |
//! | 4 | τ := PerformEpisodes(E₀, π⁰) | `Ppmo::perform_episodes`, [`rollout::collect`](crate::rollout::collect) |
//! | – | advantages (GAE) | `Ppmo::judge`, [`advantage::estimate`](crate::advantage::estimate) |
//! | 6 | for each policy epoch | the outer loop of [`Ppmo::meta_epoch`] |
//! | 7 | for each (s, a, r) ∈ τ of batch size b | `Ppmo::minibatches` |
//! | 8 | L_π, L_V := PPOLoss(π^i, π⁰, V_ψ, s, a, r) | the objective's outer loss, `plugins/ppmo`, in [`programs::update`] |
//! | 9–10 | ∇θ through the inner step, ∇ψ | [`grad`](crate::graph::grad) in [`programs::update`] |
//! | 11 | optimize θ and ψ | [`Optimizer::step`](crate::optimizer::Optimizer::step) in [`programs::update`] |
//! | 12 | π^{i+1} := Train(λ_φ, θ) | the inner rule at the start of the next [`programs::update`], from the same φ⁰ |
//!
//! Lines 8 to 12 are one compiled plan, which `Ppmo::update` runs, or a few in a loop if there are many inner steps
//! ([`inner`](crate::inner)). If a meta-epoch draws several learners, each acts
//! in its own environments, and each minibatch comes from one learner.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use potstill_plugin_api::Column;
use rand::seq::SliceRandom;

use crate::advantage::{Estimator, Trajectories, estimate};
use crate::environment::{Actions, Environments, Observations};
use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::normalize::discounted;
use crate::programs;
use crate::random::{Stream, stream};
use crate::rollout::{Acts, Rollout, Teacher, Unfinished, collect};
use crate::student::Dimensions;
#[cfg(doc)]
use crate::student::Student;
use crate::training::{DrawnLearner, Means, MetaEpochReport, Rates, Roles, Training};

/// Hyperparameters of the outer loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// The number of steps that each environment takes in a meta-epoch.
    pub steps: usize,
    /// The number of learners drawn in a meta-epoch, among which the environments are divided.
    pub learners: usize,
    /// The number of passes over the rollouts in a meta-epoch.
    pub policy_epochs: usize,
    /// The number of transitions in a minibatch.
    pub minibatch: usize,
    /// The discount γ.
    pub gamma: f32,
    /// λ of GAE.
    pub lambda: f32,
    /// How advantages are estimated.
    pub advantages: Estimator,
    /// A factor on the rewards that the critic and the advantages see. Reported returns are not scaled.
    pub reward_scale: f32,
    /// Whether the critic and the advantages see only the signs of rewards: −1, 0 or 1. Reported returns are of the rewards
    /// themselves.
    pub clip_rewards: bool,
    /// Whether episodes go on from one meta-epoch to the next, with its learners. If not, each meta-epoch starts fresh ones.
    pub continue_episodes: bool,
}

impl Default for Hyperparameters {
    /// The program's defaults, which suit cart-pole.
    fn default() -> Self {
        Hyperparameters {
            steps: 512,
            learners: 4,
            policy_epochs: 4,
            minibatch: 1024,
            gamma: 0.99,
            lambda: 0.95,
            advantages: Estimator::Gae,
            reward_scale: 1.0,
            clip_rewards: false,
            continue_episodes: false,
        }
    }
}

/// One distillation in progress.
pub struct Ppmo<'a> {
    /// What this loop trains.
    pub training: Training<'a>,
    hyper: Hyperparameters,
    teacher: Option<Box<Teacher<'a>>>,
    /// For each learner: the episodes that the next meta-epoch goes on with. If there are none, it starts fresh ones.
    unfinished: Vec<Unfinished>,
    /// The plans that act ([`programs::act`]), by the architecture's name.
    act_plans: HashMap<String, Arc<Plan>>,
    /// The plans that compute the critic's values ([`programs::value`]), by the number of rows.
    value_plans: HashMap<usize, Plan>,
}

/// A learner after its inner step: the policy π⁰.
struct TaughtLearner {
    learner: DrawnLearner,
    /// All of its parameters, after the inner step.
    parameters: Vec<Array>,
    /// The plan from observations to the policy's outputs.
    act: Arc<Plan>,
    /// The learner's number, which selects its random streams.
    number: u64,
}

/// A learner's rollout τ with its advantages.
struct Experience {
    learner: DrawnLearner,
    rollout: Rollout,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    values: Vec<f32>,
}

impl<'a> Ppmo<'a> {
    /// Starts a distillation from the initial θ that the objective declares (X, Y ~ N(0, 1), for example).
    ///
    /// # Errors
    /// An error of tracing the learner or the critic.
    pub fn new(
        device: Device,
        roles: Roles<'a>,
        rates: Rates,
        hyper: Hyperparameters,
        seed: u64,
    ) -> Result<Self> {
        let training = Training::new(device, roles, rates, seed)?;
        Ok(Ppmo {
            training,
            hyper,
            teacher: None,
            unfinished: vec![],
            act_plans: HashMap::new(),
            value_plans: HashMap::new(),
        })
    }

    /// Lets `teacher` label every observation of the rollouts, for an objective that reads [`Column::Teacher`].
    pub fn with_teacher(self, teacher: Box<Teacher<'a>>) -> Self {
        Ppmo { teacher: Some(teacher), ..self }
    }

    /// Rolls the encoder back to so many layers: learners have those behind them fresh from now on.
    ///
    /// # Errors
    /// An error of tracing the learner.
    pub fn roll_back(&mut self, encoder_layers: usize) -> Result<()> {
        self.act_plans.clear();
        self.training.roll_back(encoder_layers)
    }

    /// Runs one meta-epoch of Algorithm 1. `environments` has one group for each learner.
    ///
    /// # Errors
    /// An error of the environment, an error of tracing a plugin, or θ is no longer finite.
    pub fn meta_epoch(&mut self, environments: &mut [Box<dyn Environments>]) -> Result<MetaEpochReport> {
        let learners = self.teach(environments)?; // lines 2 and 3
        let rollouts = self.perform_episodes(learners, environments)?; // line 4
        self.update_reward_statistics(&rollouts);
        let experience = self.judge(rollouts)?;
        let mut shuffle = stream(self.training.seed, "shuffle", self.training.meta_epoch);
        let mut metrics = Means::default();
        for _ in 0..self.hyper.policy_epochs {
            // line 6
            for (experience, rows) in self.minibatches(&experience, &mut shuffle) {
                // line 7
                metrics.add(self.update(experience, &rows)?); // lines 8 to 12
            }
        }
        let report = self.training.end_meta_epoch(metrics)?;
        self.update_observation_statistics(&experience);
        Ok(with_returns(report, &experience))
    }

    /// The state of the episodes that the next meta-epoch goes on with, for each learner's group of environments: none if
    /// it starts fresh ones.
    ///
    /// # Errors
    /// An error of the environment, or it has no snapshots.
    pub fn episodes(&self, environments: &mut [Box<dyn Environments>]) -> Result<Vec<Vec<u8>>> {
        let save = |(unfinished, environments): (&Unfinished, &mut Box<dyn Environments>)| {
            let snapshot = environments.snapshot()?.ok_or_else(|| no_snapshots(&environments.spec().id))?;
            Ok(unfinished.save(&snapshot))
        };
        self.unfinished.iter().zip(environments).map(save).collect()
    }

    /// Goes on with the episodes that [`Self::episodes`] saved.
    ///
    /// # Errors
    /// An error of the environment, or the state is of other environments.
    pub fn restore_episodes(
        &mut self,
        environments: &mut [Box<dyn Environments>],
        states: &[Vec<u8>],
    ) -> Result<()> {
        let other = || Error::usage("the saved episodes are of other environments");
        if !states.is_empty() && states.len() != environments.len() {
            return Err(other());
        }
        let load = |(state, environments): (&Vec<u8>, &mut Box<dyn Environments>)| {
            let space = &environments.spec().observation;
            let (unfinished, snapshot) =
                Unfinished::load(state, space, environments.len()).ok_or_else(other)?;
            environments.restore(snapshot)?;
            Ok(unfinished)
        };
        self.unfinished = states.iter().zip(environments).map(load).collect::<Result<_>>()?;
        Ok(())
    }

    /// Lines 2 and 3: draws a learner for each group of environments and takes the inner step on θ.
    fn teach(&mut self, environments: &[Box<dyn Environments>]) -> Result<Vec<TaughtLearner>> {
        let first = self.training.meta_epoch * self.hyper.learners as u64;
        let mut learners = vec![];
        for (environments, number) in environments.iter().zip(first..) {
            let learner = self.training.draw(number)?;
            let parameters = self.training.teach(&learner);
            let act = match self.act_plans.entry(learner.architecture.clone()) {
                Entry::Occupied(plan) => plan.get().clone(),
                Entry::Vacant(place) => {
                    let student = self.training.student(&learner);
                    let d = &self.training.dimensions;
                    place.insert(Arc::new(programs::act(student, d, environments.len())?)).clone()
                }
            };
            learners.push(TaughtLearner { learner, parameters, act, number });
        }
        Ok(learners)
    }

    /// Line 4: every learner acts with π⁰ in its own environments.
    fn perform_episodes(
        &mut self,
        learners: Vec<TaughtLearner>,
        environments: &mut [Box<dyn Environments>],
    ) -> Result<Vec<(DrawnLearner, Rollout)>> {
        let Training { device, dimensions, normalizer, seed, .. } = &self.training;
        let (policy, steps) = (dimensions.policy, self.hyper.steps);
        let teacher = self.teacher.as_deref();
        let mut unfinished = std::mem::take(&mut self.unfinished).into_iter();
        let acting = learners
            .into_iter()
            .zip(environments)
            .map(|(taught, environments)| (taught, environments, unfinished.next()))
            .collect();
        let collected = device.each(acting, |device, (taught, environments, unfinished)| {
            let TaughtLearner { learner, parameters, act, number } = taught;
            let acts = Acts { device, plan: &act, parameters: &parameters, policy };
            let mut actions = stream(*seed, "rollout", number);
            let moments = normalizer.as_ref();
            let environments = environments.as_mut();
            let rollout = collect(environments, &acts, moments, teacher, unfinished, steps, &mut actions)?;
            Ok((learner, rollout))
        });
        let mut rollouts: Vec<(DrawnLearner, Rollout)> = collected.into_iter().collect::<Result<_>>()?;
        if self.hyper.continue_episodes {
            self.unfinished = rollouts.iter_mut().map(|(_, r)| std::mem::take(&mut r.unfinished)).collect();
        }
        if self.hyper.clip_rewards {
            // Returns were summed before.
            rollouts
                .iter_mut()
                .flat_map(|(_, r)| &mut r.rewards)
                .for_each(|reward| *reward = clipped(*reward));
        }
        self.training.steps += rollouts.iter().map(|(_, r)| r.rewards.len() as u64).sum::<u64>();
        Ok(rollouts)
    }

    /// Updates the reward statistics, which happens before advantages are computed.
    fn update_reward_statistics(&mut self, rollouts: &[(DrawnLearner, Rollout)]) {
        let Some(moments) = &mut self.training.reward_normalizer else { return };
        for (_, rollout) in rollouts {
            let ended = |i: usize| rollout.terminated[i] || rollout.truncated[i];
            moments.update(&discounted(&rollout.rewards, ended, rollout.environments, self.hyper.gamma));
        }
    }

    /// Updates the observation statistics. This happens after the last update of θ, so that a policy learns on the same
    /// numbers it acted on.
    fn update_observation_statistics(&mut self, experience: &[Experience]) {
        let Some(moments) = &mut self.training.normalizer else { return };
        experience.iter().filter_map(|e| e.rollout.seen.as_ref()).for_each(|seen| moments.update(seen));
    }

    /// Computes the advantages of all rollouts by GAE on the critic's values, if there is a critic.
    fn judge(&mut self, rollouts: Vec<(DrawnLearner, Rollout)>) -> Result<Vec<Experience>> {
        let deviation =
            self.training.reward_normalizer.as_ref().map(|moments| (moments.variance[0] + 1e-8).sqrt());
        let scale = self.hyper.reward_scale / deviation.unwrap_or(1.0);
        let Hyperparameters { gamma, lambda, advantages: estimator, .. } = self.hyper;
        let has_critic = self.training.critic.is_some();
        let mut judge = |(learner, rollout): (DrawnLearner, Rollout)| {
            if !has_critic {
                let (advantages, returns, values) = (vec![], vec![], vec![]);
                return Ok(Experience { learner, rollout, advantages, returns, values });
            }
            let values = self.values(&rollout.observations)?;
            let last = self.values(&rollout.last_observations)?;
            let finals = self.values(&rollout.final_observations)?;
            let trajectories = Trajectories {
                environments: rollout.environments,
                rewards: &rollout.rewards.iter().map(|r| r * scale).collect::<Vec<f32>>(),
                values: &values,
                next_values: &rollout.next_values(&values, &last, &finals),
                terminated: &rollout.terminated,
                truncated: &rollout.truncated,
            };
            let (advantages, returns) = estimate(&trajectories, gamma, lambda, estimator);
            Ok(Experience { learner, rollout, advantages, returns, values })
        };
        rollouts.into_iter().map(&mut judge).collect()
    }

    /// The critic's values of `observations` `[rows, observation]`: `[rows]`.
    fn values(&mut self, observations: &Observations) -> Result<Vec<f32>> {
        let Training { device, dimensions: d, critic: Some(critic), .. } = &self.training else {
            return Ok(vec![]);
        };
        let rows = observations.len() / d.observation.size();
        let mut values = Vec::with_capacity(rows);
        for first in (0..rows).step_by(value_rows(d)) {
            let end = rows.min(first + value_rows(d));
            // The number of episodes that end varies. Batches are padded, so that a few plans serve all sizes.
            let padded = (end - first).next_multiple_of(PADDED);
            let index: Vec<usize> = (first..first + padded).map(|row| row.min(end - 1)).collect();
            let plan = match self.value_plans.entry(padded) {
                Entry::Occupied(plan) => plan.into_mut(),
                Entry::Vacant(place) => place.insert(programs::value(critic, d, padded)?),
            };
            let mut inputs = self.training.critic_parameters().to_vec();
            inputs.push(observations.upload(device, plan, inputs.len(), Some(&index)));
            let outputs = device.run(plan, &inputs);
            values.extend(outputs.first().map(|t| device.read(t)).unwrap_or_default());
            values.truncate(end);
        }
        Ok(values)
    }

    /// Line 7: the minibatches of one policy epoch in random order. Each is a set of rows of one learner's experience.
    fn minibatches<'e>(
        &self,
        experience: &'e [Experience],
        shuffle: &mut Stream,
    ) -> Vec<(&'e Experience, Vec<usize>)> {
        let mut minibatches = vec![];
        for experience in experience {
            let mut rows: Vec<usize> = (0..experience.rollout.rewards.len()).collect();
            rows.shuffle(shuffle);
            minibatches.extend(rows.chunks(self.hyper.minibatch).map(|rows| (experience, rows.to_vec())));
        }
        if experience.len() > 1 {
            minibatches.shuffle(shuffle);
        }
        minibatches
    }

    /// Lines 8 to 12: makes one outer update of θ, ξ and the critic on a minibatch and returns its metrics.
    fn update(&mut self, experience: &Experience, rows: &[usize]) -> Result<Vec<(String, f32)>> {
        let Experience { learner, rollout, advantages, returns, values } = experience;
        let (objective, has_critic) = (self.training.roles.objective, self.training.critic.is_some());
        let reads = |column: Column| objective.columns().contains(&column);
        let columns = [
            Some(&rollout.log_probs),
            has_critic.then_some(advantages),
            has_critic.then_some(returns),
            reads(Column::Outputs).then_some(&rollout.outputs),
            reads(Column::Values).then_some(values),
            reads(Column::Teacher).then_some(&rollout.teacher),
        ];
        self.training.update(learner, rows.len(), |device, plan, first| {
            let mut inputs = vec![rollout.observations.upload(device, plan, first, Some(rows))];
            inputs.extend(rollout.actions.as_ref().map(|actions| match actions {
                Actions::Discrete(indices) => {
                    device.int_rows(plan, first + 1, bytemuck::cast_slice(indices), Some(rows))
                }
                Actions::Continuous(numbers) => device.rows(plan, first + 1, numbers, Some(rows)),
            }));
            for column in columns.into_iter().flatten() {
                inputs.push(device.rows(plan, first + inputs.len(), column, Some(rows)));
            }
            inputs
        })
    }
}

/// The error for episodes that should go on in an environment whose state cannot be saved.
pub fn no_snapshots(id: &str) -> Error {
    Error::usage(format!(
        "`environment.continue_episodes`: `{id}` has no snapshots, so that a run could not be resumed; leave it out, and \
         each meta-epoch starts fresh episodes"
    ))
}

/// The sign of a reward: −1, 0 or 1.
pub fn clipped(reward: f32) -> f32 {
    if reward == 0.0 { 0.0 } else { reward.signum() }
}

/// The rows of a batch of critic's values are a multiple of this.
const PADDED: usize = 64;

/// The most numbers of the observations in a batch of critic's values. Larger rollouts are judged in several batches, so
/// that pictures, which rollouts hold as bytes, are not all numbers at once.
const BATCH_NUMBERS: usize = 1 << 24;

/// The most rows of a batch of critic's values, which is a multiple of 64.
pub fn value_rows(d: &Dimensions) -> usize {
    (BATCH_NUMBERS / d.observation.size() / PADDED).max(1) * PADDED
}

/// Adds the returns and lengths of the episodes that ended to `report`.
fn with_returns(report: MetaEpochReport, experience: &[Experience]) -> MetaEpochReport {
    let mean = |values: &mut dyn Iterator<Item = f32>| {
        let (sum, count) = values.fold((0.0, 0), |(s, c), v| (s + v, c + 1));
        (count > 0).then(|| sum / count as f32)
    };
    let rollouts = || experience.iter().map(|experience| &experience.rollout);
    MetaEpochReport {
        mean_return: mean(&mut rollouts().flat_map(|r| r.episode_returns.iter().copied())),
        mean_length: mean(&mut rollouts().flat_map(|r| r.episode_lengths.iter().map(|&l| l as f32))),
        episodes: rollouts().map(|r| r.episode_returns.len()).sum(),
        faults: rollouts().map(|r| r.faults).sum(),
        ..report
    }
}
