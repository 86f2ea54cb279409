//! Rollouts: the experience of a policy that acts in N environments.
use rand::Rng;

use crate::environment::{Actions, Environments, Observations};
use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::normalize::{Moments, Sums};
use crate::policy::{Acting, Chosen, Policy, clamp};
use crate::random::Stream;

/// The transitions of a rollout, `[steps · environments]` row-major by step, and the episodes that ended during it.
#[derive(Debug, Default)]
pub struct Rollout {
    /// The number of environments.
    pub environments: usize,
    /// The observation before each step, `[steps · environments, observation]`, as the policy saw it: normalized if the
    /// policy's observations are. Pictures are bytes.
    pub observations: Observations,
    /// The sums of the observations before normalization, if they are normalized.
    pub seen: Option<Sums>,
    /// The actions as they were drawn: indices `[steps · environments]` or numbers `[steps · environments, size]`.
    pub actions: Option<Actions>,
    /// The log-probability (or log-density) of each action.
    pub log_probs: Vec<f32>,
    /// The policy's outputs, `[steps · environments, outputs]`; for a categorical policy, the log-probabilities of all
    /// actions.
    pub outputs: Vec<f32>,
    /// The teacher's outputs for the same observations, `[steps · environments, outputs]`; empty without a teacher.
    pub teacher: Vec<f32>,
    /// The reward of each step.
    pub rewards: Vec<f32>,
    /// Whether each step reached a terminal state.
    pub terminated: Vec<bool>,
    /// Whether the episode was cut short after each step.
    pub truncated: Vec<bool>,
    /// The observations after the last step, `[environments, observation]`.
    pub last_observations: Observations,
    /// The final observations of the episodes that ended, `[ended, observation]`, ordered by step, then environment.
    pub final_observations: Observations,
    /// The undiscounted returns of the episodes that ended.
    pub episode_returns: Vec<f32>,
    /// The lengths of these episodes, in steps.
    pub episode_lengths: Vec<u32>,
    /// How many of these episodes ended because their simulation failed.
    pub faults: usize,
    /// The episodes that had not ended after the last step.
    pub unfinished: Unfinished,
}

/// Episodes that have not ended, one in each environment. With the environments' own state, they can go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unfinished {
    /// The newest observations `[environments, observation]`, before normalization.
    pub observations: Observations,
    /// The undiscounted returns so far.
    pub returns: Vec<f32>,
    /// The steps so far.
    pub lengths: Vec<u32>,
}

/// A policy that can act: a plan with one set of parameters.
pub struct Acts<'a> {
    /// The device the plan runs on.
    pub device: &'a Device,
    /// The plan of [`crate::programs::act`], for as many rows as there are environments.
    pub plan: &'a Plan,
    /// The learner's parameters.
    pub parameters: &'a [Array],
    /// The distribution that its outputs describe.
    pub policy: Policy,
}

impl Acts<'_> {
    /// The policy's outputs for `observations`, `[rows, outputs]`; those of a categorical policy are log-probabilities.
    pub fn outputs(&self, observations: &Observations) -> Vec<f32> {
        let mut inputs = self.parameters.to_vec();
        inputs.push(observations.upload(self.device, self.plan, inputs.len(), None));
        self.device.run(self.plan, &inputs).first().map(|t| self.device.read(t)).unwrap_or_default()
    }
}

/// A teacher, which labels what learners observe: a function from the observations of all copies of one learner's
/// environment, which are not normalized and may be [privileged](Environments::privileged), to a policy's outputs
/// `[copies, outputs]`, as [`Acts::outputs`].
pub type Teacher<'a> = dyn Fn(&Observations) -> Vec<f32> + Send + Sync + 'a;

/// Whether `outputs` describe a valid policy. Log-probabilities may be −∞, which means a probability of 0.
pub fn is_policy(outputs: &[f32], policy: Policy) -> bool {
    match policy {
        Policy::Categorical(_) => !outputs.iter().any(|v| v.is_nan()),
        // The standard deviation must be finite too, not only its logarithm.
        Policy::Gaussian(_) => outputs.iter().all(|v| v.is_finite() && v.exp().is_finite()),
    }
}

/// Lets a policy act for `steps` steps, in the `unfinished` episodes of these environments or else in fresh ones. `stream`
/// gives the seeds of fresh episodes and samples the actions. If there are `moments`, the policy sees observations normalized
/// by them. If there is a `teacher`, it labels every observation.
///
/// # Errors
/// An error of the environment, or outputs of the policy or the teacher that are not numbers.
pub fn collect(
    environments: &mut dyn Environments,
    acts: &Acts<'_>,
    moments: Option<&Moments>,
    teacher: Option<&Teacher<'_>>,
    unfinished: Option<Unfinished>,
    steps: usize,
    stream: &mut Stream,
) -> Result<Rollout> {
    let n = environments.len();
    let space = environments.spec().action.clone();
    let Unfinished { observations: mut newest, mut returns, mut lengths } = match unfinished {
        Some(unfinished) => unfinished,
        None => {
            let seeds: Vec<u64> = (0..n).map(|_| stream.random()).collect();
            let observations = environments.reset(&seeds)?;
            Unfinished { observations, returns: vec![0.0; n], lengths: vec![0; n] }
        }
    };
    let mut seen = moments.map(|moments| Sums::new(moments.mean.len()));
    // Observations as the policy sees them. If they are normalized, they are also added to the sums.
    let mut see = |observations: &Observations| {
        let (Some(seen), Some(moments)) = (&mut seen, moments) else { return observations.clone() };
        let mut numbers = as_f32(observations);
        seen.add(&numbers);
        moments.normalize(&mut numbers);
        Observations::Float(numbers)
    };
    let label = |observations: &Observations| -> Result<Vec<f32>> {
        let outputs = teacher.map(|teacher| teacher(observations)).unwrap_or_default();
        match is_policy(&outputs, acts.policy) {
            true => Ok(outputs),
            false => Err(Error::usage("the teacher's outputs are not numbers: train another one")),
        }
    };
    let mut current = see(&newest);
    let mut labels = label(environments.privileged().unwrap_or(&newest))?;
    let mut rollout = Rollout { environments: n, ..Rollout::default() };
    for _ in 0..steps {
        let outputs = acts.outputs(&current);
        if !is_policy(&outputs, acts.policy) {
            return Err(Error::usage(
                "the policy's outputs are no longer numbers: the meta-optimization diverged; start a new run with a smaller \
                 --lr",
            ));
        }
        let Chosen { actions, log_probs } = acts.policy.choose(&outputs, Acting::Sampled, stream);
        rollout.log_probs.extend(log_probs);
        rollout.outputs.extend_from_slice(&outputs);
        rollout.teacher.append(&mut labels);
        rollout.observations.append(&current, 0..current.len());
        let transition = environments.step(&clamp(&actions, &space))?;
        match (&mut rollout.actions, actions) {
            (Some(Actions::Discrete(all)), Actions::Discrete(new)) => all.extend(new),
            (Some(Actions::Continuous(all)), Actions::Continuous(new)) => all.extend(new),
            (all, new) => *all = Some(new),
        }
        newest.clone_from(&transition.observations);
        current = see(&newest);
        if !transition.final_observations.is_empty() {
            let finals = see(&transition.final_observations);
            rollout.final_observations.append(&finals, 0..finals.len());
        }
        rollout.rewards.extend_from_slice(&transition.rewards);
        rollout.terminated.extend_from_slice(&transition.terminated);
        rollout.truncated.extend_from_slice(&transition.truncated);
        rollout.faults += transition.faults.iter().filter(|fault| **fault).count();
        for (i, (total, length)) in returns.iter_mut().zip(&mut lengths).enumerate() {
            *total += transition.rewards[i];
            *length = length.saturating_add(1);
            if transition.terminated[i] || transition.truncated[i] {
                rollout.episode_returns.push(*total);
                rollout.episode_lengths.push(*length);
                (*total, *length) = (0.0, 0);
            }
        }
        labels = label(environments.privileged().unwrap_or(&newest))?;
    }
    rollout.last_observations = current;
    rollout.seen = seen;
    rollout.unfinished = Unfinished { observations: newest, returns, lengths };
    Ok(rollout)
}

impl Rollout {
    /// The value V of the state that each step led to, `[steps · environments]`, where an episode ended that of its
    /// final observation. `values`, `last` and `finals` are V of `observations`, `last_observations` and
    /// `final_observations`.
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

/// Observations as a learner gets them ([`Observations::extend_f32`]).
pub fn as_f32(observations: &Observations) -> Vec<f32> {
    let mut out = Vec::with_capacity(observations.len());
    observations.extend_f32(&mut out);
    out
}
