//! Experience: a policy acting in N environments.
use rand::Rng;

use crate::environment::{Actions, Environments, Observations};
use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::normalize::{Moments, Sums};
use crate::policy::{Acting, Chosen, Policy, clamp};
use crate::random::Stream;

/// `steps × environments` transitions, row-major, and the episodes that ended among them.
#[derive(Debug, Default)]
pub struct Rollout {
    /// Number of environments.
    pub environments: usize,
    /// `[steps · environments, observation]`, normalised where they are for the policy.
    pub observations: Vec<f32>,
    /// Of the observations before that.
    pub seen: Option<Sums>,
    /// Indices, or numbers `[steps · environments, size]`, as they were drawn.
    pub actions: Option<Actions>,
    /// Log-probability of each action.
    pub log_probs: Vec<f32>,
    /// The policy's outputs (log-probabilities of all actions where it is categorical), `[steps · environments, outputs]`.
    pub outputs: Vec<f32>,
    /// Rewards.
    pub rewards: Vec<f32>,
    /// The state reached was terminal.
    pub terminated: Vec<bool>,
    /// The episode was cut short there.
    pub truncated: Vec<bool>,
    /// Observations after the last step, `[environments, observation]`.
    pub last_observations: Vec<f32>,
    /// Final observations of the ended episodes, in the order of steps, then environments.
    pub final_observations: Vec<f32>,
    /// Returns of the episodes that ended, undiscounted.
    pub episode_returns: Vec<f32>,
    /// Their lengths.
    pub episode_lengths: Vec<u32>,
    /// How many of them ended because their simulation failed.
    pub faults: usize,
}

/// A policy for one set of parameters.
pub struct Acts<'a> {
    /// Where it runs.
    pub device: &'a Device,
    /// [`crate::programs::act`], for as many rows as there are environments.
    pub plan: &'a Plan,
    /// The learner's parameters.
    pub parameters: &'a [Array],
    /// What its outputs mean.
    pub policy: Policy,
}

impl Acts<'_> {
    /// `[rows, outputs]`, those of a categorical policy as log-probabilities.
    pub fn outputs(&self, observations: &[f32]) -> Vec<f32> {
        let mut inputs = self.parameters.to_vec();
        inputs.push(self.device.rows(self.plan, inputs.len(), observations, None));
        self.device.run(self.plan, &inputs).first().map(|t| self.device.read(t)).unwrap_or_default()
    }
}

/// Whether `outputs` describe a policy: minus infinity is the logarithm of a probability of 0.
pub fn is_policy(outputs: &[f32], policy: Policy) -> bool {
    match policy {
        Policy::Categorical(_) => !outputs.iter().any(|v| v.is_nan()),
        // The deviation has to be a number too.
        Policy::Gaussian(_) => outputs.iter().all(|v| v.is_finite() && v.exp().is_finite()),
    }
}

/// Lets a policy act for `steps` steps from fresh episodes, sampling actions from `stream`. It sees observations
/// normalised by `moments`, where there are any.
///
/// # Errors
/// The environment's, or a policy that is not a number.
pub fn collect(
    environments: &mut dyn Environments,
    acts: &Acts<'_>,
    moments: Option<&Moments>,
    steps: usize,
    stream: &mut Stream,
) -> Result<Rollout> {
    let n = environments.len();
    let space = environments.spec().action.clone();
    let seeds: Vec<u64> = (0..n).map(|_| stream.random()).collect();
    let mut seen = moments.map(|moments| Sums::new(moments.mean.len()));
    // As the policy sees them, counted.
    let mut see = |observations: &Observations| {
        let mut numbers = as_f32(observations);
        if let (Some(seen), Some(moments)) = (&mut seen, moments) {
            seen.add(&numbers);
            moments.normalize(&mut numbers);
        }
        numbers
    };
    let mut current = see(&environments.reset(&seeds)?);
    let mut rollout = Rollout { environments: n, ..Rollout::default() };
    let mut running = vec![(0.0f32, 0u32); n];
    for _ in 0..steps {
        let outputs = acts.outputs(&current);
        if !is_policy(&outputs, acts.policy) {
            return Err(Error::usage(
                "the policy is not a number any more: the meta-optimisation diverged (try a smaller --lr)",
            ));
        }
        let Chosen { actions, log_probs } = acts.policy.choose(&outputs, Acting::Sampled, stream);
        rollout.log_probs.extend(log_probs);
        rollout.outputs.extend_from_slice(&outputs);
        rollout.observations.append(&mut current);
        let transition = environments.step(&clamp(&actions, &space))?;
        match (&mut rollout.actions, actions) {
            (Some(Actions::Discrete(all)), Actions::Discrete(new)) => all.extend(new),
            (Some(Actions::Continuous(all)), Actions::Continuous(new)) => all.extend(new),
            (all, new) => *all = Some(new),
        }
        current = see(&transition.observations);
        if !transition.final_observations.is_empty() {
            rollout.final_observations.extend(see(&transition.final_observations));
        }
        rollout.rewards.extend_from_slice(&transition.rewards);
        rollout.terminated.extend_from_slice(&transition.terminated);
        rollout.truncated.extend_from_slice(&transition.truncated);
        rollout.faults += transition.faults.iter().filter(|fault| **fault).count();
        for (i, (total, length)) in running.iter_mut().enumerate() {
            *total += transition.rewards[i];
            *length += 1;
            if transition.terminated[i] || transition.truncated[i] {
                rollout.episode_returns.push(*total);
                rollout.episode_lengths.push(*length);
                (*total, *length) = (0.0, 0);
            }
        }
    }
    rollout.last_observations = current;
    rollout.seen = seen;
    Ok(rollout)
}

impl Rollout {
    /// V of the state each step led to, from V of each state, of the last ones and of the final ones.
    pub fn next_values(&self, values: &[f32], last: &[f32], finals: &[f32]) -> Vec<f32> {
        let n = self.environments;
        let mut finals = finals.iter().copied();
        (0..values.len())
            .map(|i| {
                if self.terminated[i] || self.truncated[i] {
                    finals.next().unwrap_or(0.0)
                } else if i + n < values.len() {
                    values[i + n]
                } else {
                    last[i + n - values.len()]
                }
            })
            .collect()
    }
}

/// The observations of `Observations` as learners get them.
pub fn as_f32(observations: &Observations) -> Vec<f32> {
    let mut out = Vec::with_capacity(observations.len());
    observations.extend_f32(&mut out);
    out
}
