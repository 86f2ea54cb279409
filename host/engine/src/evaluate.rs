//! k-shot evaluation, which produces every score: fresh learners are taught from θ and play many episodes.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use potstill_pool::MOST_THREADS;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::environment::{Actions, Environments, Observations, Transition};
use crate::error::{Error, Result};
use crate::execute::{Array, Device};
use crate::inner::Teaching;
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
    /// What the learners see.
    #[serde(default, skip_serializing_if = "Sight::is_own")]
    pub sight: Sight,
}

impl Protocol {
    /// The number of environment copies with which at most `at_once` episodes are played at a time.
    pub fn copies(&self, at_once: usize) -> usize {
        let at_once = self.episodes.clamp(1, at_once.max(1));
        match self.sight {
            Sight::Own | Sight::Frozen => at_once,
            // Each episode is played on what a second copy sees.
            Sight::Other => 2 * at_once,
        }
    }
}

/// What learners see while they are scored. A learner that needs its sight scores less without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// The observations of the episode that they play.
    #[default]
    Own,
    /// Always the first observation of their first episode.
    Frozen,
    /// The observations of another episode, with another seed, which the same learner plays sighted at the same time. When
    /// that ends, those of the next one.
    Other,
}

impl std::fmt::Display for Sight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Sight::Own => "sighted",
            Sight::Frozen => "frozen",
            Sight::Other => "other",
        })
    }
}

impl Sight {
    fn is_own(&self) -> bool {
        *self == Sight::Own
    }
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

pub(crate) fn is_zero(count: &usize) -> bool {
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
        let teaching = Teaching::new(&student, *objective, d)?;
        let mut initialization = stream(protocol.seed, "evaluation learner", number);
        let batches = derived(protocol.seed, "evaluation inner batches", number);
        let parameters = distilled.teach(&device, &teaching, &student, &mut initialization, batches);
        let plan = programs::act(&student, d, environments.len())?;
        let acts = Acts { device: &device, plan: &plan, parameters: &parameters, policy: d.policy };
        let outputs = |seen: &Observations| acts.outputs(&normalized(distilled.normalizer.as_ref(), seen));
        perform(environments, &outputs, d.policy, protocol, number, watch)
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
        let faults = AtomicUsize::new(0);
        let copies = Copies::new(make);
        let returns = shared_out(protocol.learners, threads, &|number| {
            let mut seen = Faults::default();
            let returns =
                copies.lend(|environments| self.play(environments, protocol, number as u64, &mut seen))?;
            faults.fetch_add(seen.0, Ordering::Relaxed);
            done()?;
            Ok(returns)
        })?;
        Ok(Score { faults: faults.into_inner(), ..Score::new(*protocol, &returns) })
    }
}

/// Environments that one thread after the other uses. As many are made as are used at the same time.
pub(crate) struct Copies<'a> {
    make: &'a (dyn Fn() -> Result<Box<dyn Environments>> + Sync),
    idle: Mutex<Vec<Box<dyn Environments>>>,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(make: &'a (dyn Fn() -> Result<Box<dyn Environments>> + Sync)) -> Self {
        Copies { make, idle: Mutex::default() }
    }

    /// Lends environments to `work`. Those of a failed call are not used again.
    pub(crate) fn lend<T>(&self, work: impl FnOnce(&mut dyn Environments) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = idle().pop();
        let mut environments = lent.map_or_else(self.make, Ok)?;
        let result = work(environments.as_mut())?;
        idle().push(environments);
        Ok(result)
    }
}

/// Calls `work` for each number below `count`, shared out over at most `threads` threads, and returns the results in order.
///
/// # Errors
/// An error of `work`. Its thread then stops; the others share out the rest first.
pub(crate) fn shared_out<T: Send>(
    count: usize,
    threads: usize,
    work: &(dyn Fn(usize) -> Result<T> + Sync),
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, T)>> {
        let mut all = vec![];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(all);
            }
            all.push((number, work(number)?));
        }
    };
    // The calling thread works too, so that one thread starts no other: some targets have no threads, and a system
    // may refuse more.
    let others = threads.clamp(1, count.clamp(1, MOST_THREADS)) - 1;
    let mut results = std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, worker).ok();
        let handles: Vec<_> = (0..others).map_while(start).collect();
        let mut all = worker();
        for handle in handles {
            match handle.join() {
                Ok(worked) => {
                    all = all.and_then(|mut all| {
                        all.extend(worked?);
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
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

impl Distilled {
    /// All parameters of a fresh `student` after the inner steps of `teaching`. `batches` is the seed of the instances that
    /// the steps see.
    pub fn teach(
        &self,
        device: &Device,
        teaching: &Teaching,
        student: &Student,
        initialization: &mut Stream,
        batches: u64,
    ) -> Vec<Array> {
        let meta_learned: Vec<Array> =
            self.tensors.iter().map(|t| device.tensor(&t.data, &t.shape)).collect();
        let fresh = programs::sample(student, device, initialization);
        teaching.run(device, &meta_learned, &fresh, batches)
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
    let at_once = environments.len();
    let mut act = |seen: &Observations, random: &mut Stream| chosen(&outputs(seen), policy, acting, random);
    play(environments, &mut act, at_once, count, random, watch)
}

/// Plays the episodes of learner `number` of `protocol` in [`Protocol::copies`] environments, and returns their undiscounted
/// returns. `outputs` computes the outputs of `policy` from the observations of all environments.
///
/// # Errors
/// An error of the environment, policy outputs that are not numbers, an episode that does not end, or no second copy for
/// [`Sight::Other`].
pub fn perform(
    environments: &mut dyn Environments,
    outputs: &dyn Fn(&Observations) -> Vec<f32>,
    policy: Policy,
    protocol: &Protocol,
    number: u64,
    watch: &mut impl Watch,
) -> Result<Vec<f32>> {
    let Protocol { acting, episodes: count, sight, .. } = *protocol;
    let copies = environments.len();
    let at_once = match sight {
        Sight::Own | Sight::Frozen => copies,
        Sight::Other if copies.is_multiple_of(2) => copies / 2,
        Sight::Other => {
            return Err(Error::usage(format!(
                "learners that see another episode need an even number of environment copies; got {copies}"
            )));
        }
    };
    let mut frozen: Option<Vec<f32>> = None;
    let mut act = |seen: &Observations, random: &mut Stream| {
        let described = match sight {
            Sight::Own => outputs(seen),
            // What a learner puts out depends only on what it sees, so that the outputs can stand for the observations.
            Sight::Frozen => {
                let of_first = || {
                    let mut first = outputs(seen);
                    first.truncate(policy.outputs());
                    first.repeat(copies)
                };
                frozen.get_or_insert_with(of_first).clone()
            }
            // The second half of the copies is played sighted, and the first half on what the second sees.
            Sight::Other => {
                let mut described = outputs(seen);
                described.split_off(described.len() / 2).repeat(2)
            }
        };
        chosen(&described, policy, acting, random)
    };
    let mut random = stream(protocol.seed, "evaluation episodes", number);
    play(environments, &mut act, at_once, count, &mut random, watch)
}

/// The actions that `policy` chooses by its outputs `described`, `[rows, outputs]`. Those of a categorical policy are
/// log-probabilities.
///
/// # Errors
/// The outputs are not numbers.
pub fn chosen(described: &[f32], policy: Policy, acting: Acting, random: &mut Stream) -> Result<Actions> {
    match is_policy(described, policy) {
        true => Ok(policy.choose(described, acting, random).actions),
        false => Err(Error::usage(
            "the learner's policy outputs are not numbers: this dataset cannot teach this learner",
        )),
    }
}

/// A function from the observations of all environments to their actions, which may draw random numbers.
pub type Act<'a> = dyn FnMut(&Observations, &mut Stream) -> Result<Actions> + 'a;

/// Plays `count` episodes and returns their undiscounted returns. All environments act, and of each that is among the first
/// `at_once` one episode counts; then all begin anew. `random` gives the seeds of the episodes too.
///
/// # Errors
/// An error of the environment or of `act`, or an episode that does not end.
pub fn play(
    environments: &mut dyn Environments,
    act: &mut Act<'_>,
    at_once: usize,
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
        let wanted = at_once.min(count - returns.len());
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
            let actions = act(&observations, random)?;
            let actions = clamp(&actions, &space);
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

/// The mean of `values` and their population standard deviation.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64;
    (mean, variance.sqrt())
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
        let all: Vec<f64> = returns.iter().flatten().map(|&r| f64::from(r)).collect();
        let learners: Vec<f64> = returns
            .iter()
            .map(|r| r.iter().map(|&v| f64::from(v)).sum::<f64>() / r.len().max(1) as f64)
            .collect();
        let (mean_return, std_return) = mean_and_deviation(&all);
        let (_, std_learners) = mean_and_deviation(&learners);
        let min_learner = learners.iter().copied().fold(f64::INFINITY, f64::min);
        let max_learner = learners.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Score { protocol, mean_return, std_return, std_learners, min_learner, max_learner, faults: 0 }
    }
}
