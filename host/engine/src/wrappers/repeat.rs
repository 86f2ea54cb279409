//! Action repeat and time limit, for copies that are stepped apart from each other.
use std::sync::Mutex;
use std::time::Duration;

use potstill_plugin_api::{EnvironmentSpec, Frame, Space};
use potstill_pool::{Helpers, Pool};

use super::Wrappers;
use crate::environment::{Actions, Environments, Observations, RenderMode, Transition};
use crate::error::{Error, Result};
use crate::random::derived;
use crate::saved::{join, not_of_these, split};

/// Helpers spin for about as long as it takes to wake a thread, and then sleep to free the core.
const HELPERS: Helpers = Helpers { name: "copies", watch: Duration::from_micros(30), around: |part| part() };

/// Environments that take each action for several of their own steps, with the sum of the rewards, as Gymnasium's
/// `MaxAndSkipObservation`, and whose episodes are truncated after a number of their own steps, as its `TimeLimit`.
///
/// The episode of one copy may end in the middle of a repetition, where the copy has to wait for the others. A step of
/// all copies cannot leave one out, so each copy is an instance of its own. They are stepped in parallel.
pub(super) struct Repeat {
    copies: Vec<Copy>,
    rules: Rules,
    /// The threads that step the copies, if there are more than one.
    pool: Option<Pool>,
    spec: EnvironmentSpec,
    transition: Transition,
}

/// What is done with each copy.
#[derive(Clone, Copy)]
struct Rules {
    repeat: usize,
    max_pool: bool,
    limit: Option<usize>,
}

/// One copy.
struct Copy {
    environment: Box<dyn Environments>,
    action: Actions,
    /// The seed that it was reset with, and the number of resets by the host's time limit since then.
    seed: u64,
    resets: u64,
    /// The environment's own steps in this episode.
    steps: usize,
}

/// The result of a step of one copy.
struct Done {
    observation: Observations,
    /// The last observation of the episode, if it ended.
    last: Option<Observations>,
    reward: f32,
    terminated: bool,
    truncated: bool,
    fault: bool,
    /// Whether a life was lost, if the environment reports that.
    life_lost: Option<bool>,
}

impl Repeat {
    /// Wraps `copies`, each of which is one copy of the same environment, and steps them on at most `threads` threads.
    /// Results do not depend on their number.
    ///
    /// # Errors
    /// There are no copies.
    pub(super) fn new(
        copies: Vec<Box<dyn Environments>>,
        wrappers: &Wrappers,
        threads: usize,
    ) -> Result<Self> {
        let Some(first) = copies.first() else { return Err(Error::usage("there are no environments")) };
        let spec = wrappers.unstacked(first.spec().clone());
        let action = match spec.action {
            Space::Box { .. } => Actions::Continuous(vec![]),
            _ => Actions::Discrete(vec![]),
        };
        let threads = threads.min(copies.len());
        let copy = |environment| Copy { environment, action: action.clone(), seed: 0, resets: 0, steps: 0 };
        Ok(Repeat {
            copies: copies.into_iter().map(copy).collect(),
            rules: Rules {
                repeat: wrappers.repeat(),
                max_pool: wrappers.max_pool,
                limit: wrappers.max_episode_steps,
            },
            pool: (threads > 1).then(|| Pool::new(threads, HELPERS)),
            transition: Transition::none(&spec.observation),
            spec,
        })
    }
}

/// The larger of each two elements, at the places of `a`.
fn maximum(a: &mut Observations, b: &Observations) {
    match (a, b) {
        (Observations::Float(a), Observations::Float(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.max(*b));
        }
        (Observations::Byte(a), Observations::Byte(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = (*a).max(*b));
        }
        _ => unreachable!("the observations of an environment are of one type"),
    }
}

/// Appends all of `others`.
fn extend(out: &mut Observations, others: &Observations) {
    out.append(others, 0..others.len());
}

impl Copy {
    /// Takes the action for several steps.
    fn step(&mut self, Rules { repeat, max_pool, limit }: Rules) -> Result<Done> {
        let (mut reward, mut life_lost) = (0.0, None);
        let mut before: Option<Observations> = None;
        let mut step = 0;
        loop {
            step += 1;
            // A checkpoint may give any number.
            self.steps = self.steps.saturating_add(1);
            let taken = self.environment.step(&self.action)?;
            reward += taken.rewards[0];
            if let Some(lost) = taken.lives_lost.first() {
                life_lost = Some(*lost || life_lost == Some(true));
            }
            let ended = taken.terminated[0] || taken.truncated[0];
            let cut = !ended && limit.is_some_and(|limit| self.steps >= limit);
            if !ended && !cut && step < repeat {
                before = max_pool.then(|| taken.observations.clone());
                continue;
            }
            let mut reached = if ended { &taken.final_observations } else { &taken.observations }.clone();
            if let Some(before) = &before {
                maximum(&mut reached, before);
            }
            let (terminated, truncated) = (taken.terminated[0], taken.truncated[0] || cut);
            let fault = taken.faults[0];
            let next = ended.then(|| taken.observations.clone());
            if ended || cut {
                self.steps = 0;
            }
            let (observation, last) = match next {
                Some(next) => (next, Some(reached)),
                None if cut => {
                    self.resets = self.resets.wrapping_add(1);
                    let seed = derived(self.seed, "time limit", self.resets);
                    (self.environment.reset(&[seed])?, Some(reached))
                }
                None => (reached, None),
            };
            return Ok(Done { observation, last, reward, terminated, truncated, fault, life_lost });
        }
    }
}

impl Environments for Repeat {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.copies.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        if seeds.len() != self.copies.len() {
            return Err(Error::usage(format!("{} seeds for {} environments", seeds.len(), self.len())));
        }
        let mut observations = Observations::none(&self.spec.observation);
        for (copy, &seed) in self.copies.iter_mut().zip(seeds) {
            (copy.seed, copy.resets, copy.steps) = (seed, 0, 0);
            extend(&mut observations, &copy.environment.reset(&[seed])?);
        }
        Ok(observations)
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        let (n, each) = (self.len(), self.spec.action.size());
        let given = match actions {
            Actions::Discrete(values) => values.len(),
            Actions::Continuous(values) => values.len(),
        };
        if given != n * each {
            return Err(Error::usage(format!("{given} action values for {n} environments × {each}")));
        }
        for (i, copy) in self.copies.iter_mut().enumerate() {
            let own = i * each..(i + 1) * each;
            copy.action = match actions {
                Actions::Discrete(values) => Actions::Discrete(values[own].to_vec()),
                Actions::Continuous(values) => Actions::Continuous(values[own].to_vec()),
            };
        }
        let rules = self.rules;
        let done: Vec<Result<Done>> = match &self.pool {
            None => self.copies.iter_mut().map(|copy| copy.step(rules)).collect(),
            Some(pool) => {
                let places: Vec<_> = self.copies.iter_mut().map(|copy| Mutex::new((copy, None))).collect();
                pool.run(n, &|i| {
                    // The lock is taken once, by the thread that takes this copy.
                    if let Ok(mut place) = places[i].lock() {
                        let (copy, done) = &mut *place;
                        *done = Some(copy.step(rules));
                    }
                });
                places.into_iter().filter_map(|place| place.into_inner().ok()?.1).collect()
            }
        };
        let out = &mut self.transition;
        *out = Transition::none(&self.spec.observation);
        for done in done {
            let done = done?;
            extend(&mut out.observations, &done.observation);
            done.last.iter().for_each(|last| extend(&mut out.final_observations, last));
            out.rewards.push(done.reward);
            out.terminated.push(done.terminated);
            out.truncated.push(done.truncated);
            out.faults.push(done.fault);
            out.lives_lost.extend(done.life_lost);
        }
        Ok(&self.transition)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        let mut states = vec![];
        for copy in &mut self.copies {
            let Some(state) = copy.environment.snapshot()? else { return Ok(None) };
            let numbers = [copy.seed, copy.resets, copy.steps as u64];
            let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            states.push(join(&[&numbers, &state]));
        }
        Ok(Some(join(&states.iter().map(Vec::as_slice).collect::<Vec<_>>())))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let states = split(state, self.copies.len()).ok_or_else(not_of_these)?;
        for (copy, state) in self.copies.iter_mut().zip(states) {
            let parts = split(state, 2).ok_or_else(not_of_these)?;
            let &[seed, resets, steps] = parts[0].as_chunks::<8>().0 else { return Err(not_of_these()) };
            let [seed, resets, steps] = [seed, resets, steps].map(u64::from_le_bytes);
            copy.environment.restore(parts[1])?;
            (copy.seed, copy.resets, copy.steps) = (seed, resets, steps as usize);
        }
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame> {
        match self.copies.get_mut(index) {
            Some(copy) => copy.environment.render(0, mode),
            None => Err(Error::usage(format!("there is no environment {index}"))),
        }
    }
}
