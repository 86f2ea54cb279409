//! Baselines: what policies score that do not look. A score that is no better than theirs does not need sight.
use potstill_plugin_api::Space;
use rand::Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::environment::{Actions, Environments, Observations, Transition};
use crate::error::{Error, Result};
use crate::evaluate::{Copies, Faults, Watch, mean_and_deviation, play, shared_out};
use crate::policy::{Acting, Policy, clamp};
use crate::random::{Stream, stream};

/// The most actions, or combinations of choices, that are played one by one.
pub const MOST_ACTIONS: usize = 256;

/// A policy that does not look: its actions do not depend on the observations.
#[derive(Clone, Debug, PartialEq)]
pub enum Blind {
    /// All actions of the space are equally probable. Where a bound is infinite, numbers are drawn as Gymnasium's
    /// `Box.sample` draws them: from the standard normal distribution or, beside one finite bound, from an exponential one.
    Random,
    /// Always this action, of one environment.
    Constant(Actions),
    /// Action i of [`actions`] with probability i of these, `[actions]`.
    Mixed(Vec<f64>),
}

/// The actions of a discrete space in row-major order: its choices, or all combinations of them. `None` for a box, or if
/// there are more than [`MOST_ACTIONS`].
pub fn actions(space: &Space) -> Option<Vec<Actions>> {
    let choices = choices(space)?;
    let count = choices.iter().try_fold(1usize, |all, n| all.checked_mul(*n))?;
    (count <= MOST_ACTIONS)
        .then(|| (0..count).map(|number| Actions::Discrete(combination(&choices, number))).collect())
}

/// The number of choices of each component of a discrete space.
fn choices(space: &Space) -> Option<Vec<usize>> {
    match space {
        Space::Discrete { n } => Some(vec![*n]),
        Space::MultiDiscrete { nvec } => Some(nvec.clone()),
        Space::Box { .. } | Space::Image { .. } => None,
    }
}

/// Combination `number` of `choices`, in row-major order.
fn combination(choices: &[usize], mut number: usize) -> Vec<u32> {
    let mut action = vec![0; choices.len()];
    for (choice, n) in action.iter_mut().zip(choices).rev() {
        *choice = (number % n) as u32;
        number /= n;
    }
    action
}

/// The action of zeros, or the nearest to it within the bounds of the box `space`.
pub fn zero(space: &Space) -> Actions {
    clamp(&Actions::Continuous(vec![0.0; space.size()]), space).into_owned()
}

/// Draws number `i` of an action of the box `space`.
fn drawn(space: &Space, i: usize, random: &mut Stream) -> f32 {
    let Space::Box { low, high, .. } = space else { return 0.0 };
    // There is one bound for all elements, or one for each.
    let [low, high] = [low, high].map(|bounds| f64::from(bounds[i % bounds.len()]));
    let number = match (low.is_finite(), high.is_finite()) {
        (true, true) => low + (high - low) * random.random::<f64>(),
        (true, false) => low + <Exp1 as Distribution<f64>>::sample(&Exp1, random),
        (false, true) => high - <Exp1 as Distribution<f64>>::sample(&Exp1, random),
        (false, false) => StandardNormal.sample(random),
    };
    number as f32
}

/// The episodes that a policy has played.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// Their undiscounted returns.
    pub returns: Vec<f32>,
    /// The number of steps of all of them.
    pub steps: usize,
    /// How many of them ended because their simulation failed.
    pub faults: usize,
}

impl Played {
    /// Adds the episodes of `other`.
    pub fn add(&mut self, other: Played) {
        self.returns.extend(other.returns);
        self.steps += other.steps;
        self.faults += other.faults;
    }

    /// The mean return.
    pub fn mean(&self) -> f64 {
        self.tally().mean_return
    }

    /// Summarizes the episodes.
    pub fn tally(&self) -> Tally {
        let returns: Vec<f64> = self.returns.iter().map(|&r| f64::from(r)).collect();
        let (mean_return, std_return) = mean_and_deviation(&returns);
        let episodes = returns.len();
        let mean_length = self.steps as f64 / episodes.max(1) as f64;
        Tally { mean_return, std_return, episodes, mean_length, faults: self.faults }
    }
}

/// A summary of episodes. Returns are undiscounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The mean return.
    pub mean_return: f64,
    /// The standard deviation of the return over episodes.
    pub std_return: f64,
    /// The number of episodes.
    pub episodes: usize,
    /// The mean length of an episode, in steps of the agent.
    pub mean_length: f64,
    /// The number of episodes that ended because their simulation failed.
    #[serde(default, skip_serializing_if = "crate::evaluate::is_zero")]
    pub faults: usize,
}

/// Counts the steps and the faults of episodes.
#[derive(Default)]
struct Counts {
    steps: usize,
    faults: Faults,
}

impl Watch for Counts {
    fn observed(&mut self, _: &Observations) {}

    fn stepped(&mut self, actions: &Actions, transition: &Transition, playing: &[bool]) {
        self.steps += playing.iter().filter(|playing| **playing).count();
        self.faults.stepped(actions, transition, playing);
    }
}

impl Blind {
    /// Actions of `space` for `copies` environments.
    pub fn act(&self, space: &Space, copies: usize, random: &mut Stream) -> Actions {
        match self {
            Blind::Random => match choices(space) {
                Some(choices) => {
                    let each = choices.repeat(copies).into_iter();
                    Actions::Discrete(each.map(|n| random.random_range(0..n) as u32).collect())
                }
                None => {
                    let size = space.size();
                    Actions::Continuous((0..copies * size).map(|i| drawn(space, i % size, random)).collect())
                }
            },
            Blind::Constant(Actions::Discrete(action)) => Actions::Discrete(action.repeat(copies)),
            Blind::Constant(Actions::Continuous(action)) => Actions::Continuous(action.repeat(copies)),
            Blind::Mixed(probabilities) => {
                let row: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
                let policy = Policy::Categorical(row.len());
                let numbers = policy.choose(&row.repeat(copies), Acting::Sampled, random).actions;
                match (numbers, choices(space)) {
                    (Actions::Discrete(numbers), Some(choices)) => Actions::Discrete(
                        numbers.into_iter().flat_map(|n| combination(&choices, n as usize)).collect(),
                    ),
                    (numbers, _) => numbers,
                }
            }
        }
    }

    /// Plays `count` whole episodes, as many at a time as there are environments.
    ///
    /// # Errors
    /// An error of the environment, or an episode that does not end.
    pub fn play(
        &self,
        environments: &mut dyn Environments,
        count: usize,
        random: &mut Stream,
    ) -> Result<Played> {
        self.play_unless(environments, count, random, &mut || Ok(()))
    }

    /// Plays `count` whole episodes, as [`Self::play`], if the steps of all environments are no more than `left`, from which
    /// they are subtracted; `None` if they are more.
    ///
    /// # Errors
    /// An error of the environment.
    pub fn play_within(
        &self,
        left: &mut usize,
        environments: &mut dyn Environments,
        count: usize,
        random: &mut Stream,
    ) -> Result<Option<Played>> {
        let (copies, mut used_up) = (environments.len(), false);
        let mut before_step = || match left.checked_sub(copies) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => {
                used_up = true;
                Err(Error::usage("no steps are left"))
            }
        };
        match self.play_unless(environments, count, random, &mut before_step) {
            Err(_) if used_up => Ok(None),
            played => played.map(Some),
        }
    }

    /// As [`Self::play`], unless an error of `before_step` ends it.
    fn play_unless(
        &self,
        environments: &mut dyn Environments,
        count: usize,
        random: &mut Stream,
        before_step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Played> {
        let (space, copies) = (environments.spec().action.clone(), environments.len());
        let mut act = |_: &Observations, random: &mut Stream| {
            before_step()?;
            Ok(self.act(&space, copies, random))
        };
        let mut counts = Counts::default();
        let returns = play(environments, &mut act, copies, count, random, &mut counts)?;
        Ok(Played { returns, steps: counts.steps, faults: counts.faults.0 })
    }
}

/// Plays policies on several threads. Results do not depend on their number.
pub struct Player<'a> {
    copies: Copies<'a>,
    seed: u64,
    threads: usize,
    done: &'a (dyn Fn() + Sync),
}

impl<'a> Player<'a> {
    /// Each of at most `threads` threads calls `make` for environments of its own. `done` is called after each policy.
    pub fn new(
        make: &'a (dyn Fn() -> Result<Box<dyn Environments>> + Sync),
        seed: u64,
        threads: usize,
        done: &'a (dyn Fn() + Sync),
    ) -> Self {
        Player { copies: Copies::new(make), seed, threads, done }
    }

    /// Plays `episodes` episodes of each policy. Stream `number` for `purpose` is that of each, so that all play episodes of
    /// the same seeds.
    ///
    /// # Errors
    /// An error of the environment, or an episode that does not end.
    pub fn play(
        &self,
        policies: &[Blind],
        episodes: usize,
        purpose: &str,
        number: u64,
    ) -> Result<Vec<Played>> {
        shared_out(policies.len(), self.threads, &|i| {
            let mut random = stream(self.seed, purpose, number);
            let played = self.copies.lend(|all| policies[i].play(all, episodes, &mut random))?;
            (self.done)();
            Ok(played)
        })
    }
}

/// The cross-entropy method (Rubinstein 1999) over distributions of actions: the logits of candidates are normally
/// distributed, and the best candidates of a generation give the mean and the deviation of each logit of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossEntropy {
    /// The number of generations.
    pub generations: usize,
    /// The number of candidates in each.
    pub candidates: usize,
    /// How many of them the next generation learns from.
    pub elite: usize,
    /// The number of episodes that each candidate plays.
    pub episodes: usize,
}

/// The deviation of the logits in the first generation: wide enough that one action can be nearly certain.
const WIDTH: f64 = 2.0;

impl CrossEntropy {
    /// The number of policies that [`Self::search`] plays.
    pub fn policies(&self) -> usize {
        self.generations * self.candidates
    }

    /// Searches for the distribution over `actions` actions that returns most; `None` without generations. The result is the
    /// mean of the last elite, `[actions]`.
    ///
    /// # Errors
    /// The errors of [`Player::play`].
    pub fn search(&self, player: &Player<'_>, actions: usize) -> Result<Option<Vec<f64>>> {
        let (mut means, mut widths) = (vec![0.0; actions], vec![WIDTH; actions]);
        for generation in 0..self.generations as u64 {
            let mut random = stream(player.seed, "baseline candidates", generation);
            let logits: Vec<Vec<f64>> = (0..self.candidates)
                .map(|_| {
                    let logit = |(mean, width): (&f64, &f64)| {
                        let noise: f64 = StandardNormal.sample(&mut random);
                        mean + width * noise
                    };
                    means.iter().zip(&widths).map(logit).collect()
                })
                .collect();
            let policies: Vec<Blind> = logits.iter().map(|row| Blind::Mixed(softmax(row))).collect();
            let played = player.play(&policies, self.episodes, "baseline search", generation)?;
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| played[b].mean().total_cmp(&played[a].mean()));
            order.truncate(self.elite);
            (means, widths) = (0..actions)
                .map(|action| {
                    let elite: Vec<f64> = order.iter().map(|&i| logits[i][action]).collect();
                    mean_and_deviation(&elite)
                })
                .unzip();
        }
        Ok((self.generations > 0).then(|| softmax(&means)))
    }
}

/// The probabilities with these logits.
fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_an_action() {
        let numbers = |space: &Space| -> Vec<Vec<u32>> {
            let all = actions(space).unwrap().into_iter();
            all.map(|action| match action {
                Actions::Discrete(action) => action,
                Actions::Continuous(_) => panic!("a number of a discrete space"),
            })
            .collect()
        };
        assert_eq!(numbers(&Space::Discrete { n: 3 }), [[0], [1], [2]]);
        let several = Space::MultiDiscrete { nvec: vec![2, 3] };
        assert_eq!(numbers(&several), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        let last = Blind::Mixed(vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let drawn = last.act(&several, 2, &mut stream(0, "test", 0));
        assert_eq!(drawn, Actions::Discrete(vec![1, 2, 1, 2]));
        assert_eq!(actions(&Space::Discrete { n: MOST_ACTIONS + 1 }), None);
        assert_eq!(actions(&Space::MultiDiscrete { nvec: vec![usize::MAX, usize::MAX] }), None);
        assert_eq!(actions(&Space::unbounded(vec![2])), None);
    }

    #[test]
    fn random_actions_are_within_their_bounds() {
        let inf = f32::INFINITY;
        let low = vec![-1.0, 3.0, -inf, -inf];
        let space = Space::Box { shape: vec![4], low, high: vec![2.0, inf, -5.0, inf] };
        assert_eq!(zero(&space), Actions::Continuous(vec![0.0, 3.0, -5.0, 0.0]));
        let Actions::Continuous(drawn) = Blind::Random.act(&space, 4000, &mut stream(1, "test", 0)) else {
            panic!("a number of a box")
        };
        let column = |i: usize| drawn.iter().skip(i).step_by(4).copied().map(f64::from);
        let mean = |i: usize| column(i).sum::<f64>() / 4000.0;
        assert!(column(0).all(|v| (-1.0..=2.0).contains(&v)) && (mean(0) - 0.5).abs() < 0.05);
        assert!(column(1).all(|v| v >= 3.0) && (mean(1) - 4.0).abs() < 0.1);
        assert!(column(2).all(|v| v <= -5.0) && (mean(2) + 6.0).abs() < 0.1);
        assert!(mean(3).abs() < 0.1);
        let several = Space::MultiDiscrete { nvec: vec![1, 4] };
        let Actions::Discrete(drawn) = Blind::Random.act(&several, 400, &mut stream(1, "test", 0)) else {
            panic!("a choice of a discrete space")
        };
        assert!(drawn.chunks(2).all(|action| action[0] == 0 && action[1] < 4) && drawn.contains(&3));
    }
}
