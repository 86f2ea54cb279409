//! Collects transitions for objectives that learn from offline data.
use potstill_plugin_api::Space;

use super::setup::{find_environment, make_environments};
use super::teach::Agent;
use crate::engine::evaluate::{Faults, Watch, episodes};
use crate::engine::policy::{Acting, Policy};
use crate::engine::random::stream;
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

/// A function from observations to a policy's outputs, as [`episodes`] takes it.
type Outputs<'a> = dyn Fn(&Observations) -> Vec<f32> + 'a;

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

    /// Plays `count` whole episodes and returns all transitions, episode by episode. Random actions are always sampled.
    /// `done` is called after each episode.
    ///
    /// # Errors
    /// An error of a plugin, or policy outputs that are not numbers.
    pub fn collect(
        &self,
        registry: &Registry,
        count: usize,
        acting: Acting,
        seed: u64,
        done: &dyn Fn(),
    ) -> Result<Transitions> {
        let (environment, who) = match self {
            Actor::Agent(agent) => (agent.environment(), agent.to_string()),
            Actor::Random(environment) => (&**environment, "random actions".into()),
        };
        let Space::Discrete { n: actions } = environment.spec.action else {
            return Err(Error::usage(format!(
                "`{}` has the action space {}; transitions are collected with Discrete actions only",
                environment.id, environment.spec.action
            )));
        };
        let copies = count.clamp(1, AT_ONCE);
        let mut environments = make_environments(registry, environment, copies, 1)?;
        let mut recorder = Recorder::new(environment, copies, done);
        let mut random = stream(seed, "collect", 0);
        let acting = match self {
            Actor::Agent(_) => acting,
            Actor::Random(_) => Acting::Sampled,
        };
        let outputs: Box<Outputs<'_>> = match self {
            Actor::Agent(agent) => Box::new(agent.outputs(copies)?),
            Actor::Random(_) => {
                let equal = vec![-(actions as f32).ln(); actions * copies];
                Box::new(move |_| equal.clone())
            }
        };
        let (policy, copies) = (Policy::Categorical(actions), environments.as_mut());
        episodes(copies, &*outputs, policy, acting, count, &mut random, &mut recorder)?;
        let software = format!("potstill {}", env!("CARGO_PKG_VERSION"));
        let environment = environment.clone();
        let faults = recorder.faults.0;
        Ok(recorder.finish(TransitionsInfo { environment, policy: who, acting, seed, software, faults }))
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
    done: Steps,
    faults: Faults,
}

#[derive(Clone, Default)]
struct Steps {
    observations: Observations,
    actions: Vec<i32>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
}

impl Steps {
    fn append(&mut self, other: &mut Steps) {
        let observations = std::mem::take(&mut other.observations);
        self.observations.append(&observations, 0..observations.len());
        self.actions.append(&mut other.actions);
        self.rewards.append(&mut other.rewards);
        self.terminated.append(&mut other.terminated);
        self.truncated.append(&mut other.truncated);
    }
}

impl<'a> Recorder<'a> {
    fn new(environment: &DatasetEnvironment, copies: usize, ended: &'a dyn Fn()) -> Self {
        Recorder {
            ended,
            width: environment.spec.observation.size(),
            before: Observations::Float(vec![]),
            running: vec![Steps::default(); copies],
            done: Steps::default(),
            faults: Faults::default(),
        }
    }

    fn finish(self, info: TransitionsInfo) -> Transitions {
        let Steps { observations, actions, rewards, terminated, truncated } = self.done;
        Transitions { observations, actions, rewards, terminated, truncated, info }
    }
}

impl Watch for Recorder<'_> {
    fn observed(&mut self, observations: &Observations) {
        self.before = observations.clone();
    }

    fn stepped(&mut self, actions: &Actions, transition: &Transition, playing: &[bool]) {
        self.faults.stepped(actions, transition, playing);
        // `collect` has checked that the action space is discrete.
        let Actions::Discrete(actions) = actions else { return };
        for (i, steps) in self.running.iter_mut().enumerate().filter(|(i, _)| playing[*i]) {
            steps.observations.append(&self.before, i * self.width..(i + 1) * self.width);
            steps.actions.push(actions[i] as i32);
            steps.rewards.push(transition.rewards[i]);
            steps.terminated.push(transition.terminated[i]);
            steps.truncated.push(transition.truncated[i]);
            if transition.terminated[i] || transition.truncated[i] {
                self.done.append(steps);
                (self.ended)();
            }
        }
    }
}
