//! Collects transitions for objectives that learn from offline data.
use std::sync::atomic::{AtomicBool, Ordering};

use potstill_plugin_api::Space;
use rand::Rng;

use super::setup::{find_environment, make_environments};
use super::teach::Agent;
use crate::engine::baseline::Blind;
use crate::engine::evaluate::{Faults, Watch, chosen, play};
use crate::engine::policy::Acting;
use crate::engine::random::{Stream, stream};
use crate::engine::wrappers::Wrappers;
use crate::error::{Error, Result};
use crate::plugin::{Actions, Observations, Registry, Transition};
use crate::run::{DatasetEnvironment, Options, Transitions, TransitionsInfo};

/// Who acts while transitions are collected.
pub enum Actor {
    /// A trained agent acts in its environment.
    Agent(Box<Agent>),
    /// No agent: actions are drawn uniformly at random in this environment.
    Random(Box<DatasetEnvironment>),
}

/// How an actor chooses its actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// Whether actions are drawn from the policy, or are the most probable ones.
    pub acting: Acting,
    /// The temperature of the policy, above 0 ([`Policy::temper`](crate::engine::policy::Policy::temper)).
    pub temperature: f32,
    /// The probability with which an action is replaced by a random one ([`Blind::Random`]).
    pub noise: f64,
}

/// The number of episodes that are played at a time.
const AT_ONCE: usize = 64;

impl Actor {
    /// Creates an actor that takes random actions in the environment `id` with `settings`, in `wrappers`.
    ///
    /// # Errors
    /// The id or an option is unknown, the plugin fails, or its observations cannot be stacked.
    pub fn random(registry: &Registry, id: &str, settings: &Options, wrappers: &Wrappers) -> Result<Self> {
        Ok(Actor::Random(Box::new(find_environment(registry, id, settings, None, wrappers)?)))
    }

    /// The environment that is played.
    pub fn environment(&self) -> &DatasetEnvironment {
        match self {
            Actor::Agent(agent) => agent.environment(),
            Actor::Random(environment) => environment,
        }
    }

    /// Plays `count` whole episodes and returns all transitions, episode by episode. `manner` does not change random
    /// actions. `done` is called after each episode.
    ///
    /// # Errors
    /// An error of a plugin, policy outputs that are not numbers, or actions that transitions cannot hold;
    /// [`Error::Interrupted`] once `stop` is set.
    pub fn collect(
        &self,
        registry: &Registry,
        count: usize,
        manner: Manner,
        seed: u64,
        stop: &AtomicBool,
        done: &dyn Fn(),
    ) -> Result<Transitions> {
        let environment = self.environment();
        let who = match self {
            Actor::Agent(agent) => agent.to_string(),
            Actor::Random(_) => "random actions".into(),
        };
        let space = &environment.spec.action;
        if !matches!(space, Space::Discrete { .. } | Space::Box { .. }) {
            return Err(Error::usage(format!(
                "`{}` has the action space {space}; transitions are collected with Discrete or Box actions only",
                environment.id
            )));
        }
        let copies = count.clamp(1, AT_ONCE);
        let mut environments = make_environments(registry, environment, copies, 1)?;
        let mut recorder = Recorder::new(environment, copies, done);
        let mut random = stream(seed, "collect", 0);
        let agent = match self {
            Actor::Agent(agent) => Some((agent.outputs(copies)?, agent.policy()?)),
            Actor::Random(_) => None,
        };
        let Manner { acting, temperature, noise } = match agent {
            Some(_) => manner,
            None => Manner { acting: Acting::Sampled, temperature: 1.0, noise: 0.0 },
        };
        let mut act = |seen: &Observations, random: &mut Stream| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("; nothing was written".into()));
            }
            let Some((outputs, policy)) = &agent else { return Ok(Blind::Random.act(space, copies, random)) };
            let mut described = outputs(seen);
            policy.temper(&mut described, temperature);
            let mut actions = chosen(&described, *policy, acting, random)?;
            if noise > 0.0 {
                let others = Blind::Random.act(space, copies, random);
                let replaced: Vec<bool> = (0..copies).map(|_| random.random::<f64>() < noise).collect();
                replace(&mut actions, &others, &replaced);
            }
            Ok(actions)
        };
        play(environments.as_mut(), &mut act, copies, count, &mut random, &mut recorder)?;
        let info = TransitionsInfo {
            environment: environment.clone(),
            policy: who,
            acting: Some(acting),
            temperature,
            noise,
            seed: Some(seed),
            software: format!("potstill {}", env!("CARGO_PKG_VERSION")),
            faults: recorder.faults.0,
            origin: None,
        };
        Ok(recorder.finish(info))
    }
}

/// Replaces the `actions` of the copies that are to be `replaced` by those of `others`.
fn replace(actions: &mut Actions, others: &Actions, replaced: &[bool]) {
    fn each<T: Copy>(actions: &mut [T], others: &[T], replaced: &[bool]) {
        let size = actions.len() / replaced.len();
        for (i, (action, other)) in actions.iter_mut().zip(others).enumerate() {
            if replaced[i / size] {
                *action = *other;
            }
        }
    }
    match (actions, others) {
        (Actions::Discrete(actions), Actions::Discrete(others)) => each(actions, others, replaced),
        (Actions::Continuous(actions), Actions::Continuous(others)) => each(actions, others, replaced),
        // Both are of one space.
        _ => {}
    }
}

/// Records the transitions of copies that play side by side, and puts them in order episode by episode.
struct Recorder<'a> {
    ended: &'a dyn Fn(),
    /// The number of scalars in an observation.
    width: usize,
    before: Observations,
    /// The running episode of each copy.
    running: Vec<Steps>,
    /// Steps before any are taken.
    none: Steps,
    done: Steps,
    faults: Faults,
}

#[derive(Clone)]
struct Steps {
    observations: Observations,
    actions: Actions,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    /// The last observations of the episodes that ended.
    last: Observations,
}

impl Steps {
    fn none(environment: &DatasetEnvironment) -> Self {
        let spec = &environment.spec;
        Steps {
            observations: Observations::none(&spec.observation),
            actions: match spec.action {
                Space::Box { .. } => Actions::Continuous(vec![]),
                _ => Actions::Discrete(vec![]),
            },
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            last: Observations::none(&spec.observation),
        }
    }

    /// Appends the steps of `other`.
    fn append(&mut self, other: &Steps) {
        self.observations.append(&other.observations, 0..other.observations.len());
        match (&mut self.actions, &other.actions) {
            (Actions::Discrete(own), Actions::Discrete(others)) => own.extend(others),
            (Actions::Continuous(own), Actions::Continuous(others)) => own.extend(others),
            // Both are of one space.
            _ => {}
        }
        self.rewards.extend(&other.rewards);
        self.terminated.extend(&other.terminated);
        self.truncated.extend(&other.truncated);
        self.last.append(&other.last, 0..other.last.len());
    }
}

impl<'a> Recorder<'a> {
    fn new(environment: &DatasetEnvironment, copies: usize, ended: &'a dyn Fn()) -> Self {
        let none = Steps::none(environment);
        Recorder {
            ended,
            width: environment.spec.observation.size(),
            before: none.observations.clone(),
            running: vec![none.clone(); copies],
            done: none.clone(),
            none,
            faults: Faults::default(),
        }
    }

    fn finish(self, info: TransitionsInfo) -> Transitions {
        let Steps { observations, actions, rewards, terminated, truncated, last } = self.done;
        let final_observations = Some(last);
        Transitions { observations, actions, rewards, terminated, truncated, final_observations, info }
    }
}

impl Watch for Recorder<'_> {
    fn observed(&mut self, observations: &Observations) {
        self.before = observations.clone();
    }

    fn stepped(&mut self, actions: &Actions, transition: &Transition, playing: &[bool]) {
        self.faults.stepped(actions, transition, playing);
        let copies = self.running.len();
        // The final observations are those of all copies whose episodes ended, playing or not.
        let mut finals = 0;
        for (i, steps) in self.running.iter_mut().enumerate() {
            let ended = transition.terminated[i] || transition.truncated[i];
            let last = finals * self.width..(finals + 1) * self.width;
            finals += usize::from(ended);
            if !playing[i] {
                continue;
            }
            steps.observations.append(&self.before, i * self.width..(i + 1) * self.width);
            match (&mut steps.actions, actions) {
                (Actions::Discrete(own), Actions::Discrete(actions)) => own.push(actions[i]),
                (Actions::Continuous(own), Actions::Continuous(actions)) => {
                    let size = actions.len() / copies;
                    own.extend(&actions[i * size..(i + 1) * size]);
                }
                // Both are of one space.
                _ => {}
            }
            steps.rewards.push(transition.rewards[i]);
            steps.terminated.push(transition.terminated[i]);
            steps.truncated.push(transition.truncated[i]);
            if ended {
                steps.last.append(&transition.final_observations, last);
                self.done.append(steps);
                steps.clone_from(&self.none);
                (self.ended)();
            }
        }
    }
}
