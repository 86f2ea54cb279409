//! Proximal policy meta-optimization: Algorithm 1 of Wilhelm & Ventura 2025 (and Algorithm 2, its encoder
//! rollback, which differs only in which parameters are fresh).
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use potstill_plugin_api::Column;
use rand::seq::SliceRandom;

use super::advantage::{Estimator, Trajectories, estimate};
use super::normalize::discounted;
use super::programs;
use super::random::stream;
use super::rollout::{Acts, Rollout, collect};
use super::training::{Drawn, Means, Parts, Rates, Report, Training};
use crate::error::Result;
use crate::execute::{Device, Plan, Tensor};
use crate::plugin::environment::{Actions, Environments};

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
    /// How advantages are estimated.
    pub advantages: Estimator,
    /// Multiplies rewards for the critic and the advantages (not for reported returns).
    pub reward_scale: f32,
}

/// One distillation in progress.
pub struct Ppmo<'a> {
    /// What it trains.
    pub training: Training<'a>,
    hyper: Hyperparameters,
    /// How each architecture acts.
    policies: HashMap<String, Arc<Plan>>,
    /// How the critic judges, by the number of rows.
    judges: HashMap<usize, Plan>,
}

/// A learner after its inner step.
struct Taught {
    learner: Drawn,
    /// All of them.
    parameters: Vec<Tensor>,
    /// From observations to the policy's outputs.
    acts: Arc<Plan>,
    /// Names its random stream.
    number: u64,
}

/// The experience of one learner.
struct Batch {
    learner: Drawn,
    rollout: Rollout,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    values: Vec<f32>,
}

impl<'a> Ppmo<'a> {
    /// Starts a distillation from a random θ: X, Y ~ N(0, 1).
    ///
    /// # Errors
    /// The learner's or the critic's tracing error.
    pub fn new(
        device: Device,
        parts: Parts<'a>,
        rates: Rates,
        hyper: Hyperparameters,
        seed: u64,
    ) -> Result<Self> {
        let training = Training::new(device, parts, rates, true, seed)?;
        Ok(Ppmo { training, hyper, policies: HashMap::new(), judges: HashMap::new() })
    }

    /// One meta-epoch: fresh learners learn from θ in one step, act, and θ is updated through that step.
    ///
    /// # Errors
    /// The environment's, a plugin's tracing error, or a θ that is not a number any more.
    pub fn meta_epoch(&mut self, environments: &mut [Box<dyn Environments>]) -> Result<Report> {
        let (epoch, seed) = (self.training.meta_epoch, self.training.seed);
        let mut learners = vec![];
        for (environments, number) in environments.iter_mut().zip(epoch * self.hyper.learners as u64..) {
            learners.push((self.taught(environments.len(), number)?, environments));
        }
        let Training { device, parts, observed, .. } = &self.training;
        let collected = device.each(learners, |device, (taught, environments)| {
            let Taught { learner, parameters, acts, number } = taught;
            let policy = parts.dimensions.policy;
            let acts = Acts { device, plan: &acts, parameters: &parameters, policy };
            let mut actions = stream(seed, "rollout", number);
            let rollout =
                collect(environments.as_mut(), &acts, observed.as_ref(), self.hyper.steps, &mut actions)?;
            Ok((learner, rollout))
        });
        let experience: Vec<(Drawn, Rollout)> = collected.into_iter().collect::<Result<_>>()?;
        self.training.steps += experience.iter().map(|(_, r)| r.rewards.len() as u64).sum::<u64>();
        // What rewards are worth is known better with those of this meta-epoch.
        if let Some(rewarded) = &mut self.training.rewarded {
            for (_, rollout) in &experience {
                let ended = |i: usize| rollout.terminated[i] || rollout.truncated[i];
                let sums = discounted(&rollout.rewards, ended, rollout.environments, self.hyper.gamma);
                rewarded.update(&sums);
            }
        }
        let batches = experience
            .into_iter()
            .map(|(learner, rollout)| self.judged(learner, rollout))
            .collect::<Result<Vec<_>>>()?;

        let mut shuffle = stream(seed, "shuffle", epoch);
        let mut metrics = Means::default();
        for _ in 0..self.hyper.policy_epochs {
            let mut minibatches = vec![];
            for batch in &batches {
                let mut rows: Vec<usize> = (0..batch.rollout.rewards.len()).collect();
                rows.shuffle(&mut shuffle);
                minibatches.extend(rows.chunks(self.hyper.minibatch).map(|rows| (batch, rows.to_vec())));
            }
            if batches.len() > 1 {
                minibatches.shuffle(&mut shuffle);
            }
            for (batch, rows) in minibatches {
                metrics.add(self.update(batch, &rows)?);
            }
        }

        let report = self.training.end_meta_epoch(metrics)?;
        if let Some(observed) = &mut self.training.observed {
            batches
                .iter()
                .filter_map(|batch| batch.rollout.seen.as_ref())
                .for_each(|seen| observed.update(seen));
        }
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (sum, count) = values.fold((0.0, 0), |(s, c), v| (s + v, c + 1));
            (count > 0).then(|| sum / count as f32)
        };
        let rollouts = || batches.iter().map(|batch| &batch.rollout);
        Ok(Report {
            mean_return: mean(&mut rollouts().flat_map(|r| r.episode_returns.iter().copied())),
            mean_length: mean(&mut rollouts().flat_map(|r| r.episode_lengths.iter().map(|&l| l as f32))),
            episodes: rollouts().map(|r| r.episode_returns.len()).sum(),
            faults: rollouts().map(|r| r.faults).sum(),
            ..report
        })
    }

    /// π⁰: learner `number` after one inner step on θ. All its rollouts are this policy's, in `rows` environments.
    fn taught(&mut self, rows: usize, number: u64) -> Result<Taught> {
        // A new learner; its initialisation φ⁰ stays the same through the meta-epoch.
        let learner = self.training.draw(number)?;
        let parameters = self.training.teach(&learner);
        let acts = match self.policies.entry(learner.architecture.clone()) {
            Entry::Occupied(plan) => plan.get().clone(),
            Entry::Vacant(place) => {
                let student = self.training.student(&learner);
                place.insert(Arc::new(programs::act(student, self.training.parts.dimensions, rows)?)).clone()
            }
        };
        Ok(Taught { learner, parameters, acts, number })
    }

    /// What was good about a learner's experience, by the critic.
    fn judged(&mut self, learner: Drawn, rollout: Rollout) -> Result<Batch> {
        let values = self.values(&rollout.observations)?;
        let last = self.values(&rollout.last_observations)?;
        let finals = self.values(&rollout.final_observations)?;
        let next_values = rollout.next_values(&values, &last, &finals);
        let deviation = self.training.rewarded.as_ref().map(|rewarded| (rewarded.variance[0] + 1e-8).sqrt());
        let scale = self.hyper.reward_scale / deviation.unwrap_or(1.0);
        let rewards: Vec<f32> = rollout.rewards.iter().map(|r| r * scale).collect();
        let trajectories = Trajectories {
            environments: rollout.environments,
            rewards: &rewards,
            values: &values,
            next_values: &next_values,
            terminated: &rollout.terminated,
            truncated: &rollout.truncated,
        };
        let Hyperparameters { gamma, lambda, advantages, .. } = self.hyper;
        let (advantages, returns) = estimate(&trajectories, gamma, lambda, advantages);
        Ok(Batch { learner, rollout, advantages, returns, values })
    }

    /// V of `observations`, in one batch.
    fn values(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        let Training { device, parts, critic: Some(critic), .. } = &self.training else { return Ok(vec![]) };
        let width = parts.dimensions.observation.size();
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
            Entry::Vacant(place) => place.insert(programs::judge(critic, parts.dimensions, filled)?),
        };
        let mut inputs = self.training.critic_parameters().to_vec();
        inputs.push(device.rows(plan, inputs.len(), &batch, None));
        let outputs = device.run(plan, &inputs);
        let mut values = outputs.first().map(|t| device.read(t)).unwrap_or_default();
        values.truncate(rows);
        Ok(values)
    }

    /// One outer update of θ, ξ and the critic on the rows `rows` of a learner's experience.
    fn update(&mut self, batch: &Batch, rows: &[usize]) -> Result<Vec<(String, f32)>> {
        let Batch { learner, rollout, advantages, returns, values } = batch;
        let objective = self.training.parts.objective;
        let reads = |column: Column| objective.columns().contains(&column);
        let columns = [
            Some(&rollout.log_probs),
            Some(advantages),
            Some(returns),
            reads(Column::Outputs).then_some(&rollout.outputs),
            reads(Column::Values).then_some(values),
        ];
        self.training.update(learner, rows.len(), |device, plan, first| {
            let mut inputs: Vec<Tensor> = vec![device.rows(plan, first, &rollout.observations, Some(rows))];
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
