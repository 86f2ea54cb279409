//! k-shot learning: fresh learners, one inner step each, many episodes. The protocol of every score.
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::environment::{Actions, Environments, Observations, Transition};
use crate::error::{Error, Result};
use crate::execute::{Device, Tensor};
use crate::learner::LearnerDistribution;
use crate::normalize::{Moments, normalized};
use crate::objective::Objective;
use crate::policy::{Acting, Policy, clamp};
use crate::programs::{self, Dimensions, Student};
use crate::random::{Stream, derived, stream};
use crate::rollout::{Acts, as_f32, is_policy};

/// Who is scored, and on how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// How actions are chosen.
    pub acting: Acting,
    /// Fresh learners.
    pub learners: usize,
    /// Episodes of each.
    pub episodes: usize,
    /// Seed of learners, episodes and actions.
    pub seed: u64,
}

/// A score, with its protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Who was scored.
    #[serde(flatten)]
    pub protocol: Protocol,
    /// Mean return over all episodes.
    pub mean_return: f64,
    /// Standard deviation over all episodes.
    pub std_return: f64,
    /// Standard deviation of the learners' means.
    pub std_learners: f64,
    /// The worst learner's mean.
    pub min_learner: f64,
    /// The best learner's mean.
    pub max_learner: f64,
    /// Episodes that ended because their simulation failed; their returns count like the others'.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub faults: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A θ on the host, ready to teach.
#[derive(Clone, Debug, Default)]
pub struct Taught {
    /// θ as it is trained ([`programs::trained_name`]), then ξ's parameters: shape and numbers.
    pub tensors: Vec<(Vec<usize>, Vec<f32>)>,
    /// By which observations are normalised, where they are.
    pub observed: Option<Moments>,
}

/// Teaches learner number `number` of `protocol` and lets it play; gives the returns of its episodes.
///
/// # Errors
/// The environment's or the learner's.
#[allow(clippy::too_many_arguments)]
pub fn play_learner(
    taught: &Taught,
    dimensions: &Dimensions,
    distribution: &dyn LearnerDistribution,
    objective: &dyn Objective,
    environments: &mut dyn Environments,
    protocol: &Protocol,
    number: u64,
    watch: &mut impl Watch,
) -> Result<Vec<f32>> {
    let device = Device::cpu(1);
    let seed = derived(protocol.seed, "evaluation architecture", number);
    let learner = distribution.draw(&dimensions.observation, dimensions.network_outputs(), seed)?;
    let student = Student::new(learner, dimensions)?;
    let fresh = programs::sample(&student, &device, &mut stream(protocol.seed, "evaluation learner", number));
    let mut inputs: Vec<Tensor> = taught.tensors.iter().map(|(s, data)| device.tensor(data, s)).collect();
    inputs.extend(fresh);
    let parameters = device.run(&programs::teach(&student, objective, dimensions)?, &inputs);
    let n = environments.len();
    let plan = programs::act(&student, dimensions, n)?;
    let policy = dimensions.policy;
    let acts = Acts { device: &device, plan: &plan, parameters: &parameters, policy };
    let outputs = |observations: &[f32]| acts.outputs(&normalized(taught.observed.as_ref(), observations));
    let mut random = stream(protocol.seed, "evaluation episodes", number);
    episodes(environments, &outputs, policy, protocol.acting, protocol.episodes, &mut random, watch)
}

/// Steps after which an episode is taken to be endless: a full game of Atari has 108 000.
const LONGEST_EPISODE: usize = 200_000;

/// Sees episodes being played.
pub trait Watch {
    /// What every copy observes, before its next step.
    fn observed(&mut self, observations: &Observations);
    /// What every copy did and what came of it; only those that are `playing` count.
    fn stepped(&mut self, actions: &Actions, transition: &Transition, playing: &[bool]);
}

/// Nobody watches.
impl Watch for () {
    fn observed(&mut self, _: &Observations) {}
    fn stepped(&mut self, _: &Actions, _: &Transition, _: &[bool]) {}
}

/// Counts the episodes that ended because their simulation failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults(pub usize);

impl Watch for Faults {
    fn observed(&mut self, _: &Observations) {}
    fn stepped(&mut self, _: &Actions, transition: &Transition, playing: &[bool]) {
        self.0 +=
            transition.faults.iter().zip(playing).filter(|(fault, playing)| **fault && **playing).count();
    }
}

/// Plays `count` episodes, as many at a time as there are environments, and gives their returns. `outputs` are
/// those of `policy` for the observations of all environments.
///
/// # Errors
/// The environment's, a policy that is not a number, or an episode without end.
pub fn episodes(
    environments: &mut dyn Environments,
    outputs: &dyn Fn(&[f32]) -> Vec<f32>,
    policy: Policy,
    acting: Acting,
    count: usize,
    random: &mut Stream,
    watch: &mut impl Watch,
) -> Result<Vec<f32>> {
    let n = environments.len();
    let space = environments.spec().action.clone();
    let mut returns = Vec::with_capacity(count);
    while returns.len() < count {
        let seeds: Vec<u64> = (0..n).map(|_| random.random()).collect();
        let first = environments.reset(&seeds)?;
        watch.observed(&first);
        let mut observations = as_f32(&first);
        // Each environment plays one episode: those that end early are not played twice, which would
        // count short episodes more often.
        let wanted = n.min(count - returns.len());
        let mut totals = vec![0.0f32; n];
        let mut playing = vec![true; n];
        playing[wanted..].fill(false);
        let mut steps = 0;
        while playing.contains(&true) {
            if steps == LONGEST_EPISODE {
                return Err(Error::usage(format!(
                    "an episode of `{}` has not ended after {LONGEST_EPISODE} steps: there is no return to score",
                    environments.spec().id
                )));
            }
            steps += 1;
            let described = outputs(&observations);
            if !is_policy(&described, policy) {
                return Err(Error::usage(
                    "the learner's policy is not a number: this dataset does not teach it",
                ));
            }
            let chosen = policy.choose(&described, acting, random);
            let actions = clamp(&chosen.actions, &space);
            let transition = environments.step(&actions)?;
            watch.stepped(&actions, transition, &playing);
            watch.observed(&transition.observations);
            for i in 0..n {
                if playing[i] {
                    totals[i] += transition.rewards[i];
                    playing[i] = !(transition.terminated[i] || transition.truncated[i]);
                }
            }
            observations = as_f32(&transition.observations);
        }
        returns.extend_from_slice(&totals[..wanted]);
    }
    Ok(returns)
}

impl Score {
    /// Summarises the returns of each learner's episodes.
    pub fn new(protocol: Protocol, returns: &[Vec<f32>]) -> Self {
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            let variance =
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64;
            (mean, variance.sqrt())
        };
        let all: Vec<f64> = returns.iter().flatten().map(|&r| f64::from(r)).collect();
        let learners: Vec<f64> = returns
            .iter()
            .map(|r| r.iter().map(|&v| f64::from(v)).sum::<f64>() / r.len().max(1) as f64)
            .collect();
        let (mean_return, std_return) = moments(&all);
        let (_, std_learners) = moments(&learners);
        let min_learner = learners.iter().copied().fold(f64::INFINITY, f64::min);
        let max_learner = learners.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Score { protocol, mean_return, std_return, std_learners, min_learner, max_learner, faults: 0 }
    }
}

/// Scores `taught` by `protocol`, learners shared out over `threads`. `make` gives each thread its own
/// environments; `done` is told after each learner, and its error ends the evaluation.
///
/// # Errors
/// The first error of any learner, or of `done`.
#[allow(clippy::too_many_arguments)]
pub fn evaluate(
    taught: &Taught,
    dimensions: &Dimensions,
    distribution: &dyn LearnerDistribution,
    objective: &dyn Objective,
    make: &(dyn Fn() -> Result<Box<dyn Environments>> + Sync),
    protocol: &Protocol,
    threads: usize,
    done: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Score> {
    let next = std::sync::atomic::AtomicU64::new(0);
    let faults = std::sync::atomic::AtomicUsize::new(0);
    let worker = || -> Result<Vec<(u64, Vec<f32>)>> {
        let mut environments = make()?;
        let mut played = vec![];
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= protocol.learners as u64 {
                return Ok(played);
            }
            let mut seen = Faults::default();
            let returns = play_learner(
                taught,
                dimensions,
                distribution,
                objective,
                environments.as_mut(),
                protocol,
                number,
                &mut seen,
            )?;
            faults.fetch_add(seen.0, std::sync::atomic::Ordering::Relaxed);
            played.push((number, returns));
            done()?;
        }
    };
    let mut results = std::thread::scope(|scope| {
        let handles: Vec<_> =
            (0..threads.clamp(1, protocol.learners.max(1))).map(|_| scope.spawn(worker)).collect();
        let mut all = vec![];
        for handle in handles {
            match handle.join() {
                Ok(played) => all.extend(played?),
                // It has said what happened.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, Error>(all)
    })?;
    results.sort_by_key(|(number, _)| *number);
    let returns: Vec<Vec<f32>> = results.into_iter().map(|(_, r)| r).collect();
    Ok(Score { faults: faults.into_inner(), ..Score::new(*protocol, &returns) })
}
