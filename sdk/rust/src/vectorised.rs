use potstill_plugin_api::{Autoreset, EnvironmentSpec, Frame, Space};

use crate::{Action, Environment, Options, RenderMode, Rng};

/// One action for each copy, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Actions<'a> {
    /// `Discrete`: `[N]`; `MultiDiscrete`: `[N, components]`.
    Discrete(&'a [u32]),
    /// `Box`: `[N, size]`.
    Continuous(&'a [f32]),
}

/// What a step of all copies gave, with observations in an `O`.
#[derive(Clone, Debug, Default)]
pub struct Transition<O> {
    /// `[N, size]`.
    pub observations: O,
    /// `[N]`.
    pub rewards: Vec<f32>,
    /// `[N]`, 0 or 1.
    pub terminated: Vec<u8>,
    /// `[N]`, 0 or 1.
    pub truncated: Vec<u8>,
    /// `[ended episodes, size]`.
    pub final_observations: O,
}

/// N copies of an environment.
pub(crate) struct Vectorised<E: Environment> {
    spec: EnvironmentSpec,
    size: usize,
    components: usize,
    copies: Vec<Copy<E>>,
}

struct Copy<E> {
    environment: E,
    rng: Rng,
    steps: u32,
}

/// Begins every snapshot: tells ours from others', and which layout follows.
const MAGIC: &[u8; 8] = b"PSTILL\0\x01";

impl<E: Environment> Vectorised<E> {
    pub(crate) fn new(num_envs: usize, options: &Options) -> Result<Self, String> {
        let copies = (0..num_envs)
            .map(|_| Ok(Copy { environment: E::new(options)?, rng: Rng::seeded(0), steps: 0 }))
            .collect::<Result<Vec<_>, String>>()?;
        let spec = copies.first().ok_or("at least one environment is needed")?.environment.spec();
        for space in [&spec.observation, &spec.action] {
            space.validate().map_err(|e| e.to_string())?;
        }
        Ok(Vectorised {
            size: spec.observation.size(),
            components: spec.action.size(),
            spec: EnvironmentSpec {
                id: E::ID.into(),
                summary: E::SUMMARY.into(),
                observation: spec.observation,
                action: spec.action,
                max_episode_steps: spec.max_episode_steps,
                reward_threshold: spec.reward_threshold,
                autoreset: Autoreset::SameStep,
            },
            copies,
        })
    }

    pub(crate) fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    pub(crate) fn reset(&mut self, seeds: &[u64], observations: &mut Vec<E::Scalar>) -> Result<(), String> {
        if seeds.len() != self.copies.len() {
            return Err(format!("{} seeds for {} environments", seeds.len(), self.copies.len()));
        }
        observations.clear();
        observations.resize(self.copies.len() * self.size, E::Scalar::default());
        for ((copy, seed), row) in
            self.copies.iter_mut().zip(seeds).zip(observations.chunks_exact_mut(self.size))
        {
            copy.rng = Rng::seeded(*seed);
            copy.start(row);
        }
        Ok(())
    }

    pub(crate) fn step(
        &mut self,
        actions: Actions<'_>,
        out: &mut Transition<Vec<E::Scalar>>,
    ) -> Result<(), String> {
        let given = match actions {
            Actions::Discrete(values) => values.len(),
            Actions::Continuous(values) => values.len(),
        };
        if given != self.copies.len() * self.components {
            let (n, components) = (self.copies.len(), self.components);
            return Err(format!("{given} action values for {n} environments of {components}"));
        }
        let n = self.components;
        match (actions, &self.spec.action) {
            (Actions::Discrete(values), Space::Discrete { .. }) => {
                self.each(out, |i| Action::Discrete(values[i]));
            }
            (Actions::Discrete(values), Space::MultiDiscrete { .. }) => {
                self.each(out, |i| Action::MultiDiscrete(&values[i * n..(i + 1) * n]));
            }
            (Actions::Continuous(values), Space::Box { .. }) => {
                self.each(out, |i| Action::Continuous(&values[i * n..(i + 1) * n]));
            }
            _ => return Err(format!("actions of another kind than {}", self.spec.action)),
        }
        Ok(())
    }

    #[inline]
    fn each<'a>(&mut self, out: &mut Transition<Vec<E::Scalar>>, action: impl Fn(usize) -> Action<'a>) {
        let (n, size) = (self.copies.len(), self.size);
        let limit = self.spec.max_episode_steps.unwrap_or(u32::MAX);
        out.observations.resize(n * size, E::Scalar::default());
        out.rewards.resize(n, 0.0);
        out.terminated.resize(n, 0);
        out.truncated.resize(n, 0);
        out.final_observations.clear();
        let rows = out.observations.chunks_exact_mut(size);
        let flags = out.terminated.iter_mut().zip(&mut out.truncated);
        let slots = rows.zip(&mut out.rewards).zip(flags);
        for (i, (copy, ((row, reward), (terminated, truncated)))) in
            self.copies.iter_mut().zip(slots).enumerate()
        {
            let step = copy.environment.step(action(i), &mut copy.rng, row);
            copy.steps = copy.steps.saturating_add(1);
            let cut = !step.terminated && (step.truncated || copy.steps >= limit);
            *reward = step.reward;
            *terminated = step.terminated.into();
            *truncated = cut.into();
            if step.terminated || cut {
                out.final_observations.extend_from_slice(row);
                copy.start(row);
            }
        }
    }

    pub(crate) fn render(&self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        let copy = self.copies.get(index).ok_or_else(|| format!("there is no environment {index}"))?;
        copy.environment.render(mode)
    }

    /// Little-endian: magic, `u64` copies; then for each copy `u64` random state, `u32` steps taken, `u32` length,
    /// and as many bytes of the environment's own.
    pub(crate) fn snapshot(&self) -> Option<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        out.extend((self.copies.len() as u64).to_le_bytes());
        let mut own = vec![];
        for copy in &self.copies {
            own.clear();
            if !copy.environment.snapshot(&mut own) {
                return None;
            }
            out.extend(copy.rng.state().to_le_bytes());
            out.extend(copy.steps.to_le_bytes());
            out.extend((own.len() as u32).to_le_bytes());
            out.extend_from_slice(&own);
        }
        Some(out)
    }

    pub(crate) fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let mut rest = state;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err("this is not a snapshot, or one of a newer SDK".into());
        }
        let copies = u64::from_le_bytes(array(&mut rest)?);
        if copies != self.copies.len() as u64 {
            return Err(format!("the snapshot holds {copies} environments, not {}", self.copies.len()));
        }
        for copy in &mut self.copies {
            copy.rng = Rng::from_state(u64::from_le_bytes(array(&mut rest)?));
            copy.steps = u32::from_le_bytes(array(&mut rest)?);
            let length = u32::from_le_bytes(array(&mut rest)?) as usize;
            copy.environment.restore(take(&mut rest, length)?)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("the snapshot has {} bytes too many", rest.len())) }
    }
}

impl<E: Environment> Copy<E> {
    // Rare beside a step: keep it out of the loop's code.
    #[inline(never)]
    fn start(&mut self, row: &mut [E::Scalar]) {
        self.steps = 0;
        self.environment.reset(&mut self.rng, row);
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(length).ok_or("the snapshot is cut short")?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    take(rest, N)?.try_into().map_err(|_| "the snapshot is cut short".into())
}
