//! k-shot evaluation, which produces every score: fresh learners take one inner step each and play many episodes.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use potstill_pool::MOST_THREADS;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::environment::{Actions, Environments, Observations, Transition};
use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::learner::LearnerDistribution;
use crate::normalize::{Moments, normalized};
use crate::objective::Objective;
use crate::policy::{Acting, Policy, clamp};
use crate::programs;
use crate::random::{Stream, derived, stream};
use crate::rollout::{Acts, is_policy};
use crate::student::{Dimensions, Student};
use crate::theta::NamedTensor;

/// How a dataset is scored: on how many learners and episodes, and how these act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// How actions are chosen.
    pub acting: Acting,
    /// The number of fresh learners.
    pub learners: usize,
    /// The number of episodes that each learner plays.
    pub episodes: usize,
    /// The seed of learners, episodes and actions.
    pub seed: u64,
}

/// A score with its protocol. Returns are undiscounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How the dataset was scored.
    #[serde(flatten)]
    pub protocol: Protocol,
    /// The mean return over all episodes.
    pub mean_return: f64,
    /// The standard deviation of the return over all episodes.
    pub std_return: f64,
    /// The standard deviation of the learners' mean returns.
    pub std_learners: f64,
    /// The worst learner's mean return.
    pub min_learner: f64,
    /// The best learner's mean return.
    pub max_learner: f64,
    /// The number of episodes that ended because their simulation failed; their returns count like all others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub faults: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A distilled dataset, ready to teach learners.
#[derive(Clone, Debug, Default)]
pub struct Distilled {
    /// θ in its trained form ([`Theta::from_values`](crate::theta::Theta::from_values)), followed by the parameters of
    /// ξ.
    pub tensors: Vec<NamedTensor>,
    /// The moments that normalize observations, if they are normalized.
    pub normalizer: Option<Moments>,
}

/// The inputs of k-shot evaluation: a dataset, the learners it teaches, and the inner rule that teaches them.
#[derive(Clone, Copy)]
pub struct KShot<'a> {
    /// The dataset: θ and ξ.
    pub distilled: &'a Distilled,
    /// The sizes of θ, the observations and the policy.
    pub dimensions: &'a Dimensions,
    /// The distribution Λ that learners are drawn from.
    pub learner: &'a dyn LearnerDistribution,
    /// The objective, whose inner rule teaches.
    pub objective: &'a dyn Objective,
}

impl KShot<'_> {
    /// Teaches learner `number` of `protocol`, lets it play, and returns the returns of its episodes.
    ///
    /// # Errors
    /// An error of the environment or the learner.
    fn play(
        &self,
        environments: &mut dyn Environments,
        protocol: &Protocol,
        number: u64,
        watch: &mut impl Watch,
    ) -> Result<Vec<f32>> {
        let KShot { distilled, dimensions: d, learner, objective } = self;
        let device = Device::cpu(1);
        let seed = derived(protocol.seed, "evaluation architecture", number);
        let student = Student::new(learner.draw(&d.observation, d.network_outputs(), seed)?, d)?;
        let plan = programs::teach(&student, *objective, d)?;
        let mut initialization = stream(protocol.seed, "evaluation learner", number);
        let parameters = distilled.teach(&device, &plan, &student, &mut initialization);
        let plan = programs::act(&student, d, environments.len())?;
        let acts = Acts { device: &device, plan: &plan, parameters: &parameters, policy: d.policy };
        let outputs = |seen: &Observations| acts.outputs(&normalized(distilled.normalizer.as_ref(), seen));
        let mut random = stream(protocol.seed, "evaluation episodes", number);
        episodes(environments, &outputs, d.policy, protocol.acting, protocol.episodes, &mut random, watch)
    }

    /// Scores the dataset by `protocol`, with the learners shared out over at most `threads` threads. Each thread calls
    /// `make` for environments of its own. `done` is called after each learner, and an error it returns ends the evaluation.
    ///
    /// # Errors
    /// The first error of `make`, of any learner, or of `done`.
    pub fn evaluate(
        &self,
        make: &(dyn Fn() -> Result<Box<dyn Environments>> + Sync),
        protocol: &Protocol,
        threads: usize,
        done: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Score> {
        let next = AtomicU64::new(0);
        let faults = AtomicUsize::new(0);
        let worker = || -> Result<Vec<(u64, Vec<f32>)>> {
            let mut environments = make()?;
            let mut played = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= protocol.learners as u64 {
                    return Ok(played);
                }
                let mut seen = Faults::default();
                let returns = self.play(environments.as_mut(), protocol, number, &mut seen)?;
                faults.fetch_add(seen.0, Ordering::Relaxed);
                played.push((number, returns));
                done()?;
            }
        };
        // The calling thread works too, so that one thread starts no other: some targets have no threads, and a system
        // may refuse more.
        let others = threads.clamp(1, protocol.learners.clamp(1, MOST_THREADS)) - 1;
        let mut results = std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, worker).ok();
            let handles: Vec<_> = (0..others).map_while(start).collect();
            let mut all = worker();
            for handle in handles {
                match handle.join() {
                    Ok(played) => {
                        all = all.and_then(|mut all| {
                            all.extend(played?);
                            Ok(all)
                        });
                    }
                    // The panic has printed its message already.
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        })?;
        results.sort_by_key(|(number, _)| *number);
        let returns: Vec<Vec<f32>> = results.into_iter().map(|(_, r)| r).collect();
        Ok(Score { faults: faults.into_inner(), ..Score::new(*protocol, &returns) })
    }
}

impl Distilled {
    /// All parameters of a fresh `student` after the inner rule, which `plan` computes ([`programs::teach`]).
    pub fn teach(
        &self,
        device: &Device,
        plan: &Plan,
        student: &Student,
        initialization: &mut Stream,
    ) -> Vec<Array> {
        let mut inputs: Vec<Array> = self.tensors.iter().map(|t| device.tensor(&t.data, &t.shape)).collect();
        inputs.extend(programs::sample(student, device, initialization));
        device.run(plan, &inputs)
    }
}

/// The number of steps after which an episode counts as endless. A full game of Atari has 108 000.
const LONGEST_EPISODE: usize = 200_000;

/// An observer of the episodes that [`episodes`] plays.
pub trait Watch {
    /// Receives the observations of all copies before their next step.
    fn observed(&mut self, observations: &Observations);
    /// Receives the actions of all copies and the transition they led to. Only copies that are `playing` count.
    fn stepped(&mut self, actions: &Actions, transition: &Transition, playing: &[bool]);
}

/// Watches nothing.
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

/// Plays `count` episodes, as many at a time as there are environments, and returns their undiscounted returns.
/// `outputs` computes the outputs of `policy` from the observations of all environments.
///
/// # Errors
/// An error of the environment, policy outputs that are not numbers, or an episode that does not end.
pub fn episodes(
    environments: &mut dyn Environments,
    outputs: &dyn Fn(&Observations) -> Vec<f32>,
    policy: Policy,
    acting: Acting,
    count: usize,
    random: &mut Stream,
    watch: &mut impl Watch,
) -> Result<Vec<f32>> {
    let n = environments.len();
    let space = environments.spec().action.clone();
    let mut returns = vec![];
    while returns.len() < count {
        let seeds: Vec<u64> = (0..n).map(|_| random.random()).collect();
        let mut observations = environments.reset(&seeds)?;
        watch.observed(&observations);
        // Each environment plays one episode. One that ends early does not play another, which would overweight
        // short episodes.
        let wanted = n.min(count - returns.len());
        let mut totals = vec![0.0f32; n];
        let mut playing = vec![true; n];
        playing[wanted..].fill(false);
        let mut steps = 0;
        while playing.contains(&true) {
            if steps == LONGEST_EPISODE {
                return Err(Error::usage(format!(
                    "an episode of `{}` has not ended after {LONGEST_EPISODE} steps, so there is no return to score; \
                     the environment needs a time limit (`environment.max_episode_steps`)",
                    environments.spec().id
                )));
            }
            steps += 1;
            let described = outputs(&observations);
            if !is_policy(&described, policy) {
                return Err(Error::usage(
                    "the learner's policy outputs are not numbers: this dataset cannot teach this learner",
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
            observations.clone_from(&transition.observations);
        }
        returns.extend_from_slice(&totals[..wanted]);
    }
    Ok(returns)
}

impl Score {
    /// Checks that these numbers can be a score, where no return is above `max_return`.
    ///
    /// # Errors
    /// Says which number cannot be.
    pub fn check(&self, max_return: Option<f32>) -> Result<(), String> {
        let Score { protocol, mean_return, std_return, std_learners, min_learner, max_learner, faults } =
            self;
        let numbers = [mean_return, std_return, std_learners, min_learner, max_learner];
        // Sums of rewards in single precision are rounded.
        let above = |a: f64, b: f64| a > b + 1e-3 * b.abs().max(1.0);
        let wrong = if protocol.learners == 0 || protocol.episodes == 0 {
            format!("{} learners × {} episodes have no score", protocol.learners, protocol.episodes)
        } else if *faults > protocol.learners.saturating_mul(protocol.episodes) {
            format!("{faults} episodes failed, of {} × {}", protocol.learners, protocol.episodes)
        } else if numbers.iter().any(|number| !number.is_finite()) || *std_return < 0.0 || *std_learners < 0.0
        {
            format!("a mean return of {mean_return} ± {std_return} ({std_learners} over learners)")
        } else if above(*min_learner, *mean_return) || above(*mean_return, *max_learner) {
            format!("a mean return of {mean_return}, of learners from {min_learner} to {max_learner}")
        } else if let Some(most) = max_return.map(f64::from).filter(|most| above(*max_learner, *most)) {
            format!("a learner's mean return of {max_learner}; the environment's maximum return is {most}")
        } else {
            return Ok(());
        };
        Err(format!("an impossible score: {wrong}"))
    }

    /// Summarizes `returns`, which holds the returns of each learner's episodes.
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
