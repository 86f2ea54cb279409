//! Episodes that can be compared: everything that each copy of an environment returned, step by step, under random
//! actions that depend only on the copy's seed.
use potstill_plugin_api::Space;
use rand::Rng;

use crate::engine::random::{Stream, stream};
use crate::error::Result;
use crate::plugin::{Actions, Environments, Observations};

/// What one copy returned for one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) observation: Observations,
    pub(super) reward: f32,
    pub(super) terminated: bool,
    pub(super) truncated: bool,
    /// Whether the simulation failed.
    pub(super) fault: bool,
    /// The final observation, if an episode ended in this step.
    pub(super) last: Option<Observations>,
}

/// What one copy returned: its first observation, if it was reset, and the steps from there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trajectory {
    pub(super) start: Option<Observations>,
    pub(super) moments: Vec<Moment>,
}

/// Chooses random actions for each copy from the copy's own random stream.
#[derive(Clone)]
pub(super) struct Actor(Vec<Stream>);

impl Actor {
    /// Makes a stream for each of `seeds`. Copies with equal seeds take equal actions.
    pub(super) fn new(seeds: &[u64]) -> Self {
        Actor(seeds.iter().map(|&seed| stream(seed, "conformance", 0)).collect())
    }

    /// Draws an action for each copy.
    pub(super) fn act(&mut self, space: &Space) -> Actions {
        let streams = self.0.iter_mut();
        match space {
            Space::Box { low, high, .. } => {
                // Without a bound, stay in a range that an untrained policy might try.
                let bound = |bounds: &[f32], i: usize| bounds[i % bounds.len()].clamp(-10.0, 10.0);
                let one = |stream: &mut Stream, i: usize| {
                    let (low, high) = (bound(low, i), bound(high, i));
                    low + (high - low) * stream.random::<f32>()
                };
                let values = streams.flat_map(|s| (0..space.size()).map(|i| one(s, i)).collect::<Vec<_>>());
                Actions::Continuous(values.collect())
            }
            _ => {
                let choices = choices(space);
                let one = |stream: &mut Stream| {
                    choices.iter().map(|&n| stream.random_range(0..n) as u32).collect::<Vec<_>>()
                };
                Actions::Discrete(streams.flat_map(one).collect())
            }
        }
    }
}

/// The number of choices in each component of a discrete space.
pub(super) fn choices(space: &Space) -> Vec<usize> {
    match space {
        Space::Discrete { n } => vec![*n],
        Space::MultiDiscrete { nvec } => nvec.clone(),
        Space::Box { .. } | Space::Image { .. } => vec![],
    }
}

/// Starts an episode in every copy and takes `steps` steps. Returns a trajectory for each copy.
pub(super) fn play(
    environments: &mut dyn Environments,
    seeds: &[u64],
    actor: &mut Actor,
    steps: usize,
) -> Result<Vec<Trajectory>> {
    let first = environments.reset(seeds)?;
    let mut all = go_on(environments, actor, steps)?;
    for (i, trajectory) in all.iter_mut().enumerate() {
        trajectory.start = Some(row(&first, i, environments.spec().observation.size()));
    }
    Ok(all)
}

/// Takes `steps` more steps from the current state.
pub(super) fn go_on(
    environments: &mut dyn Environments,
    actor: &mut Actor,
    steps: usize,
) -> Result<Vec<Trajectory>> {
    let spec = environments.spec().clone();
    let size = spec.observation.size();
    let mut all = vec![Trajectory::default(); environments.len()];
    for _ in 0..steps {
        let step = environments.step(&actor.act(&spec.action))?;
        let mut ended = 0;
        for (i, trajectory) in all.iter_mut().enumerate() {
            let ends = step.terminated[i] || step.truncated[i];
            trajectory.moments.push(Moment {
                observation: row(&step.observations, i, size),
                reward: step.rewards[i],
                terminated: step.terminated[i],
                truncated: step.truncated[i],
                fault: step.faults[i],
                last: ends.then(|| row(&step.final_observations, ended, size)),
            });
            ended += usize::from(ends);
        }
    }
    Ok(all)
}

fn row(observations: &Observations, i: usize, size: usize) -> Observations {
    match observations {
        Observations::Float(values) => Observations::Float(values[i * size..(i + 1) * size].to_vec()),
        Observations::Byte(values) => Observations::Byte(values[i * size..(i + 1) * size].to_vec()),
    }
}

/// The numbers of an observation, unscaled.
pub(super) fn numbers(observation: &Observations) -> Vec<f32> {
    match observation {
        Observations::Float(values) => values.clone(),
        Observations::Byte(values) => values.iter().map(|&v| f32::from(v)).collect(),
    }
}

impl Trajectory {
    /// Describes the first difference from `other`, if there is one.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if let (Some(a), Some(b)) = (&self.start, &other.start)
            && let Some(what) = first_difference(a, b)
        {
            return Some(format!("at the start, {what}"));
        }
        for (step, (a, b)) in self.moments.iter().zip(&other.moments).enumerate() {
            let what = if a.reward != b.reward {
                Some(format!("the reward is {} and then {}", a.reward, b.reward))
            } else if (a.terminated, a.truncated) != (b.terminated, b.truncated) {
                Some("the episode ends in one and not in the other".into())
            } else {
                match (&a.last, &b.last) {
                    (Some(a), Some(b)) => first_difference(a, b).map(|what| format!("at the end, {what}")),
                    _ => None,
                }
                .or_else(|| first_difference(&a.observation, &b.observation))
            };
            if let Some(what) = what {
                return Some(format!("in step {}, {what}", step + 1));
            }
        }
        None
    }
}

fn first_difference(a: &Observations, b: &Observations) -> Option<String> {
    let (a, b) = (numbers(a), numbers(b));
    let at = a.iter().zip(&b).position(|(a, b)| a != b)?;
    Some(format!("observation {at} is {} and then {}", a[at], b[at]))
}
