//! Frame stack: an observation is the last n observations, as Gymnasium's `FrameStackObservation`.
use potstill_plugin_api::{EnvironmentSpec, Frame};

use crate::environment::{Actions, Environments, Observations, RenderMode, Transition};
use crate::error::Result;
use crate::saved::{join, not_of_these, of_observations, split, to_observations};

/// The environments `inner`, whose last n observations are stacked, the newest last. A stack begins with n times the first
/// observation of its episode, so that it never mixes two episodes.
pub(super) struct FrameStack {
    inner: Box<dyn Environments>,
    spec: EnvironmentSpec,
    /// The length n of a stack.
    n: usize,
    /// The transition, whose observations are the stacks, `[N, n · size]`.
    transition: Transition,
}

impl FrameStack {
    /// Stacks `n` observations. `spec` is the specification of `inner` with the stacked space.
    pub(super) fn new(inner: Box<dyn Environments>, n: usize, spec: EnvironmentSpec) -> Self {
        FrameStack { transition: Transition::none(&spec.observation), inner, spec, n }
    }
}

/// The stacks of all copies, after a step to the observations `frames` `[N, size]`. `finals` are the last observations of
/// the episodes that `ended`, whose last stacks are appended to `final_stacks`.
fn push<T: Copy>(
    stacks: &mut [T],
    size: usize,
    frames: &[T],
    ended: impl Iterator<Item = bool>,
    finals: &[T],
    final_stacks: &mut Vec<T>,
) {
    let mut finals = finals.chunks_exact(size);
    let stacks = stacks.chunks_exact_mut(stacks.len() * size / frames.len());
    for ((stack, frame), ended) in stacks.zip(frames.chunks_exact(size)).zip(ended) {
        if ended {
            final_stacks.extend_from_slice(&stack[size..]);
            final_stacks.extend_from_slice(finals.next().unwrap_or(frame));
            fill(stack, frame);
        } else {
            stack.copy_within(size.., 0);
            let newest = stack.len() - size;
            stack[newest..].copy_from_slice(frame);
        }
    }
}

/// Fills a stack with the first observation of an episode.
fn fill<T: Copy>(stack: &mut [T], frame: &[T]) {
    stack.chunks_exact_mut(frame.len()).for_each(|place| place.copy_from_slice(frame));
}

/// The stacks `[N, n · size]` at the start of episodes with the first observations `frames` `[N, size]`.
fn filled<T: Copy>(frames: &[T], n: usize, size: usize) -> Vec<T> {
    frames.chunks_exact(size).flat_map(|frame| frame.repeat(n)).collect()
}

impl Environments for FrameStack {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        let (n, size) = (self.n, self.inner.spec().observation.size());
        let stacks = match self.inner.reset(seeds)? {
            Observations::Float(frames) => Observations::Float(filled(&frames, n, size)),
            Observations::Byte(frames) => Observations::Byte(filled(&frames, n, size)),
        };
        self.transition.observations.clone_from(&stacks);
        Ok(stacks)
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        let inner = self.inner.step(actions)?;
        let (size, out) = (self.spec.observation.size() / self.n, &mut self.transition);
        let ended = inner.terminated.iter().zip(&inner.truncated).map(|(a, b)| *a || *b);
        out.final_observations = Observations::none(&self.spec.observation);
        match (
            &mut out.observations,
            &inner.observations,
            &inner.final_observations,
            &mut out.final_observations,
        ) {
            (
                Observations::Float(stacks),
                Observations::Float(frames),
                Observations::Float(finals),
                Observations::Float(final_stacks),
            ) => push(stacks, size, frames, ended, finals, final_stacks),
            (
                Observations::Byte(stacks),
                Observations::Byte(frames),
                Observations::Byte(finals),
                Observations::Byte(final_stacks),
            ) => push(stacks, size, frames, ended, finals, final_stacks),
            _ => unreachable!("the observations of an environment are of one type"),
        }
        out.follow(inner);
        Ok(&self.transition)
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame> {
        self.inner.render(index, mode)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        let stacks = of_observations(&self.transition.observations);
        Ok(self.inner.snapshot()?.map(|inner| join(&[&inner, &stacks])))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let parts = split(state, 2).and_then(|parts| {
            Some((parts[0], to_observations(parts[1], &self.spec.observation, self.inner.len())?))
        });
        let (inner, stacks) = parts.ok_or_else(not_of_these)?;
        self.transition.observations = stacks;
        self.inner.restore(inner)
    }
}
