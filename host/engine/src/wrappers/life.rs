//! Episodic life: the loss of a life ends an episode.
use potstill_plugin_api::{EnvironmentSpec, Frame};

use super::push_row;
use crate::environment::{Actions, Environments, Observations, RenderMode, Transition};
use crate::error::{Error, Result};

/// The environments `inner`, where the loss of a life ends an episode, as terminal. The game goes on: the next episode
/// begins with the observation that the last one ended with, as in EnvPool. Stable-Baselines3 takes a step without an
/// action in between, which a step of all copies cannot.
pub(super) struct EpisodicLife {
    inner: Box<dyn Environments>,
    id: String,
    transition: Transition,
}

impl EpisodicLife {
    pub(super) fn new(inner: Box<dyn Environments>) -> Self {
        let spec = inner.spec();
        EpisodicLife { transition: Transition::none(&spec.observation), id: spec.id.clone(), inner }
    }
}

impl Environments for EpisodicLife {
    fn spec(&self) -> &EnvironmentSpec {
        self.inner.spec()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        self.inner.reset(seeds)
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        let size = self.inner.spec().observation.size();
        let inner = self.inner.step(actions)?;
        if inner.lives_lost.is_empty() {
            return Err(Error::usage(format!(
                "`environment.episodic_life`: `{}` does not report when a life is lost",
                self.id
            )));
        }
        let out = &mut self.transition;
        out.observations.clone_from(&inner.observations);
        out.follow(inner);
        out.final_observations = inner.observations.cut(0..0);
        let mut finals = 0;
        for i in 0..out.rewards.len() {
            if out.terminated[i] || out.truncated[i] {
                push_row(&mut out.final_observations, &inner.final_observations, finals, size);
                finals += 1;
            } else if out.lives_lost[i] {
                out.terminated[i] = true;
                push_row(&mut out.final_observations, &inner.observations, i, size);
            }
        }
        Ok(&self.transition)
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame> {
        self.inner.render(index, mode)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.inner.restore(state)
    }
}
