//! Steps N copies of an environment: seeds, automatic resets, time limits, threads and snapshots.
use potstill_plugin_api::abi::NO_LIVES;
use potstill_plugin_api::{Autoreset, EnvironmentSpec, Frame, Space};
#[cfg(not(target_family = "wasm"))]
use potstill_pool::{Helpers, Pool};

use crate::host::{Level, log_once};
use crate::{Action, Environment, Options, RenderMode, Rng, Variant};

/// One action per copy, in row-major order.
#[derive(Clone, Copy, Debug)]
pub enum Actions<'a> {
    /// Choices: `[N]` for a `Discrete` space, `[N, components]` for a `MultiDiscrete` space.
    Discrete(&'a [u32]),
    /// Values for a `Box` space, `[N, size]`.
    Continuous(&'a [f32]),
}

/// The result of one step of all copies. `O` is the container of the observations.
#[derive(Clone, Debug, Default)]
pub struct Transition<O> {
    /// Observations `[N, size]`. If an episode ended, this is the first observation of the next one.
    pub observations: O,
    /// Rewards `[N]`.
    pub rewards: Vec<f32>,
    /// `[N]`: 1 if the episode reached a terminal state, else 0.
    pub terminated: Vec<u8>,
    /// `[N]`: 1 if the episode was cut short, else 0.
    pub truncated: Vec<u8>,
    /// The last observations of the episodes that ended, `[ended episodes, size]`, in the order of their copies.
    pub final_observations: O,
    /// `[N]`: 1 if the episode was truncated because the simulation failed ([`Environment::fault`]), else 0.
    pub faults: Vec<u8>,
    /// `[N]`: 1 if the step cost a life ([`Environment::life_lost`]), 0 if not, [`NO_LIVES`] if the environment has none.
    pub lives_lost: Vec<u8>,
}

/// Helpers spin for about as long as it takes to wake a thread, and then sleep to free the core.
#[cfg(not(target_family = "wasm"))]
const HELPERS: Helpers =
    Helpers { name: "copies", watch: std::time::Duration::from_micros(30), around: crate::native::quietly };

/// N copies of an environment, with their buffers and threads.
pub(crate) struct Vectorised<E: Environment> {
    spec: EnvironmentSpec,
    size: usize,
    components: usize,
    copies: Vec<Copy<E>>,
    /// `[N, size]`: the last observation of an episode that ended, kept while its copy starts the next episode.
    ended: Vec<E::Scalar>,
    /// The threads that step the copies, if there is more than one.
    #[cfg(not(target_family = "wasm"))]
    pool: Option<Pool>,
}

/// The arrays of one step of all copies. Each thread works on its own rows.
struct Rows<'a, E: Environment> {
    id: &'a str,
    copies: *mut Copy<E>,
    observations: *mut E::Scalar,
    ended: *mut E::Scalar,
    rewards: *mut f32,
    terminated: *mut u8,
    truncated: *mut u8,
    faults: *mut u8,
    lives_lost: *mut u8,
    actions: Actions<'a>,
    single: bool,
    size: usize,
    components: usize,
    limit: u32,
}

// SAFETY: no two threads use the same rows, and the environments are `Send`.
unsafe impl<E: Environment> Sync for Rows<'_, E> {}

/// One copy, with its random stream and the number of steps of its current episode.
struct Copy<E> {
    environment: E,
    rng: Rng,
    steps: u32,
}

/// The first bytes of every snapshot, which identify the format and its version.
const MAGIC: &[u8; 8] = b"PSTILL\0\x01";

impl<E: Environment> Vectorised<E> {
    /// `num_envs` copies of a variant.
    pub(crate) fn of<V: Variant<Environment = E>>(
        num_envs: usize,
        options: &Options,
    ) -> Result<Self, String> {
        let made = (0..num_envs).map(|_| V::make(options)).collect::<Result<_, _>>()?;
        Self::new(V::names(), made, options)
    }

    fn new([id, summary]: [&str; 2], made: Vec<E>, options: &Options) -> Result<Self, String> {
        let num_envs = made.len();
        let copies: Vec<_> =
            made.into_iter().map(|environment| Copy { environment, rng: Rng::seeded(0), steps: 0 }).collect();
        let spec = copies.first().ok_or("at least one environment is needed")?.environment.spec();
        for space in [&spec.observation, &spec.action] {
            space.validate().map_err(|e| e.to_string())?;
        }
        // A component has one thread.
        #[cfg(target_family = "wasm")]
        let _ = options;
        #[cfg(not(target_family = "wasm"))]
        let pool = match threads(E::threads(options)).min(num_envs) {
            0 | 1 => None,
            threads => Some(Pool::new(threads, HELPERS)),
        };
        Ok(Vectorised {
            ended: vec![E::Scalar::default(); num_envs * spec.observation.size()],
            #[cfg(not(target_family = "wasm"))]
            pool,
            size: spec.observation.size(),
            components: spec.action.size(),
            spec: EnvironmentSpec {
                id: id.into(),
                summary: summary.into(),
                observation: spec.observation,
                action: spec.action,
                max_episode_steps: spec.max_episode_steps,
                reward_threshold: spec.reward_threshold,
                max_return: spec.max_return,
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
        let (n, size, components) = (self.copies.len(), self.size, self.components);
        if given != n * components {
            return Err(format!(
                "{given} action values for {n} environments, expected {components} for each"
            ));
        }
        let single = match (actions, &self.spec.action) {
            (Actions::Discrete(_), Space::Discrete { .. }) => true,
            (Actions::Discrete(_), Space::MultiDiscrete { .. })
            | (Actions::Continuous(_), Space::Box { .. }) => false,
            _ => {
                return Err(format!(
                    "the actions are of the wrong kind for the action space {}",
                    self.spec.action
                ));
            }
        };
        let limit = self.spec.max_episode_steps.unwrap_or(u32::MAX);
        out.observations.resize(n * size, E::Scalar::default());
        out.rewards.resize(n, 0.0);
        out.terminated.resize(n, 0);
        out.truncated.resize(n, 0);
        out.final_observations.clear();
        out.faults.clear();
        out.faults.resize(n, 0);
        out.lives_lost.resize(n, NO_LIVES);
        let rows = Rows::<E> {
            id: &self.spec.id,
            copies: self.copies.as_mut_ptr(),
            observations: out.observations.as_mut_ptr(),
            ended: self.ended.as_mut_ptr(),
            rewards: out.rewards.as_mut_ptr(),
            terminated: out.terminated.as_mut_ptr(),
            truncated: out.truncated.as_mut_ptr(),
            faults: out.faults.as_mut_ptr(),
            lives_lost: out.lives_lost.as_mut_ptr(),
            actions,
            single,
            size,
            components,
            limit,
        };
        // SAFETY: all arrays have N rows, and the calls below step each row once.
        let step = |first: usize, count: usize| unsafe { rows.step(first, count) };
        #[cfg(not(target_family = "wasm"))]
        match &self.pool {
            Some(pool) => pool.run(n, &|i| step(i, 1)),
            None => step(0, n),
        }
        #[cfg(target_family = "wasm")]
        step(0, n);
        for (i, row) in self.ended.chunks_exact(size).enumerate() {
            if out.terminated[i] != 0 || out.truncated[i] != 0 {
                out.final_observations.extend_from_slice(row);
            }
        }
        Ok(())
    }

    pub(crate) fn render(&self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        let copy = self.copies.get(index).ok_or_else(|| format!("there is no environment {index}"))?;
        copy.environment.render(mode)
    }

    /// Serializes all copies, in little-endian order: the magic and a `u64` with the number of copies; then for each copy
    /// its random state as `u64`, its step count as `u32`, and the environment's own state as a `u32` length and bytes.
    /// Returns `None` if the environment does not support snapshots.
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
            return Err("this is not a snapshot, or it was written by a newer SDK".into());
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

impl<E: Environment> Rows<'_, E> {
    /// Steps `count` copies, starting with copy `first`.
    ///
    /// # Safety
    /// The arrays must have these rows, and no other thread may use them during the call.
    // This is never inlined, so that the environment's `step` has a single caller and is inlined here: one loop serves all
    // kinds of actions, one copy or many.
    #[inline(never)]
    unsafe fn step(&self, first: usize, count: usize) {
        use std::slice::from_raw_parts_mut as rows;
        let (size, components) = (self.size, self.components);
        // SAFETY: the caller guarantees that these rows exist and that nobody else uses them.
        let (copies, observations, ended, rewards, terminated, truncated, faults, lives_lost) = unsafe {
            (
                rows(self.copies.add(first), count),
                rows(self.observations.add(first * size), count * size),
                rows(self.ended.add(first * size), count * size),
                rows(self.rewards.add(first), count),
                rows(self.terminated.add(first), count),
                rows(self.truncated.add(first), count),
                rows(self.faults.add(first), count),
                rows(self.lives_lost.add(first), count),
            )
        };
        let slots =
            observations.chunks_exact_mut(size).zip(rewards).zip(terminated.iter_mut().zip(truncated));
        for (i, (copy, ((row, reward), (terminated, truncated)))) in copies.iter_mut().zip(slots).enumerate()
        {
            let at = (first + i) * components;
            let action = match self.actions {
                Actions::Discrete(values) if self.single => Action::Discrete(values[at]),
                Actions::Discrete(values) => Action::MultiDiscrete(&values[at..][..components]),
                Actions::Continuous(values) => Action::Continuous(&values[at..][..components]),
            };
            let step = copy.environment.step(action, &mut copy.rng, row);
            copy.steps = copy.steps.saturating_add(1);
            let cut = !step.terminated && (step.truncated || copy.steps >= self.limit);
            *reward = step.reward;
            *terminated = step.terminated.into();
            *truncated = cut.into();
            let lost = copy.environment.life_lost();
            lives_lost[i] = lost.map_or(NO_LIVES, |lost| (lost && !step.terminated && !cut).into());
            if step.terminated || cut {
                ended[i * size..][..size].copy_from_slice(row);
                faults[i] = (cut && step.truncated && copy.failed(self.id)).into();
                copy.start(row);
            }
        }
    }
}

impl<E: Environment> Copy<E> {
    // Resets are rare compared with steps, so keep them out of the hot loop.
    #[inline(never)]
    fn start(&mut self, row: &mut [E::Scalar]) {
        self.steps = 0;
        self.environment.reset(&mut self.rng, row);
    }

    /// Returns whether the simulation failed, and logs why.
    #[inline(never)]
    fn failed(&mut self, id: &str) -> bool {
        let fault = self.environment.fault();
        if let Some(why) = &fault {
            let ended = format!("`{id}`: an episode was ended early, because its simulation failed: {why}");
            log_once(Level::Warn, &ended);
        }
        fault.is_some()
    }
}

/// The number of threads to use: `asked`, or one per core if that is 0.
#[cfg(not(target_family = "wasm"))]
fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        asked => asked,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Rng, Spec, Step};

    /// An environment whose observation is its step count and a random number. It terminates after `length` steps.
    struct Counter {
        length: u8,
        count: u8,
    }

    impl Environment for Counter {
        const ID: &'static str = "test/counter-v1";
        const VERSION: &'static str = "0.0.0";
        const SUMMARY: &'static str = "Counts.";
        type Scalar = u8;

        fn threads(options: &Options) -> usize {
            options.integer("threads").map_or(1, |threads| threads as usize)
        }

        fn new(options: &Options) -> Result<Self, String> {
            Ok(Counter { length: options.integer("length")? as u8, count: 0 })
        }

        fn spec(&self) -> Spec {
            Spec {
                observation: Space::Image { shape: vec![2] },
                action: Space::MultiDiscrete { nvec: vec![2, 9] },
                max_episode_steps: Some(5),
                reward_threshold: None,
                max_return: None,
            }
        }

        fn reset(&mut self, rng: &mut Rng, observation: &mut [u8]) {
            self.count = 0;
            observation.copy_from_slice(&[0, rng.below(200) as u8]);
        }

        fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [u8]) -> Step {
            let Action::MultiDiscrete(&[stop, reward]) = action else { panic!("another action") };
            self.count += 1;
            observation.copy_from_slice(&[self.count, 255]);
            Step { reward: reward as f32, terminated: self.count >= self.length, truncated: stop == 1 }
        }

        fn snapshot(&self, state: &mut Vec<u8>) -> bool {
            state.push(self.count);
            true
        }

        fn restore(&mut self, state: &[u8]) -> Result<(), String> {
            let [count] = state else { return Err("not one byte".into()) };
            self.count = *count;
            Ok(())
        }
    }

    fn counters(length: i64, n: usize) -> Vectorised<Counter> {
        let options = [("length".to_owned(), length.into())].into_iter().collect();
        Vectorised::of::<Counter>(n, &options).unwrap()
    }

    #[test]
    fn resets_in_the_step_that_ends_an_episode_and_keeps_the_last_observation() {
        let mut copies = counters(3, 2);
        let mut observations = vec![];
        copies.reset(&[1, 2], &mut observations).unwrap();
        let mut out = Transition::default();
        copies.step(Actions::Discrete(&[0, 7, 1, 8]), &mut out).unwrap();
        assert_eq!(
            (&out.rewards[..], &out.terminated[..], &out.truncated[..]),
            (&[7.0, 8.0][..], &[0, 0][..], &[0, 1][..])
        );
        assert_eq!(out.final_observations, [1, 255]);
        assert_eq!((&out.observations[..2], out.observations[2]), (&[1, 255][..], 0));
        copies.step(Actions::Discrete(&[0; 4]), &mut out).unwrap();
        assert!(out.final_observations.is_empty());
        // If an episode terminates and is truncated in the same step, only `terminated` is set.
        copies.step(Actions::Discrete(&[1, 0, 0, 0]), &mut out).unwrap();
        assert_eq!((&out.terminated[..], &out.truncated[..]), (&[1, 0][..], &[0, 0][..]));
        assert_eq!(out.final_observations, [3, 255]);
    }

    #[test]
    fn threads_change_nothing() {
        let run = |threads: i64| {
            let options = [("length".to_owned(), 4i64.into()), ("threads".to_owned(), threads.into())];
            let mut copies = Vectorised::of::<Counter>(7, &options.into_iter().collect()).unwrap();
            assert_eq!(copies.pool.is_some(), threads > 1);
            let (mut observations, mut out, mut all) = (vec![], Transition::default(), vec![]);
            copies.reset(&[1, 2, 3, 4, 5, 6, 7], &mut observations).unwrap();
            for step in 0..100 {
                let actions: Vec<u32> =
                    (0..7).flat_map(|i| [u32::from((step + i) % 3 == 0), i % 9]).collect();
                copies.step(Actions::Discrete(&actions), &mut out).unwrap();
                all.push(format!("{out:?}"));
            }
            all
        };
        let alone = run(1);
        assert!(alone.iter().any(|step| step.contains("truncated: [1, 0")), "{}", alone[0]);
        assert_eq!(run(2), alone);
        assert_eq!(run(16), alone);
    }

    #[test]
    fn enforces_the_time_limit_in_every_episode() {
        let mut copies = counters(99, 1);
        copies.reset(&[1], &mut vec![]).unwrap();
        let mut out = Transition::default();
        let cut: Vec<u8> = (0..11)
            .map(|_| {
                copies.step(Actions::Discrete(&[0, 0]), &mut out).unwrap();
                out.truncated[0]
            })
            .collect();
        assert_eq!(cut, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn rejects_a_wrong_number_or_kind_of_actions_and_missing_options() {
        let mut copies = counters(9, 2);
        assert!(copies.reset(&[1], &mut vec![]).is_err());
        let mut out = Transition::default();
        assert!(copies.step(Actions::Discrete(&[0; 3]), &mut out).is_err());
        assert!(copies.step(Actions::Continuous(&[0.0; 4]), &mut out).is_err());
        let Err(error) = Vectorised::of::<Counter>(1, &Options::default()) else {
            panic!("made without options")
        };
        assert!(error.contains("reads integer option `length`, which it does not declare"));
    }

    proptest! {
        #[test]
        fn restoring_corrupt_bytes_never_panics(at in 0usize..200, value: u8, cut in 0usize..200) {
            let mut copies = counters(9, 3);
            copies.reset(&[1, 2, 3], &mut vec![]).unwrap();
            let mut state = copies.snapshot().unwrap();
            copies.restore(&state).unwrap();
            if let Some(byte) = state.get_mut(at) {
                *byte = value;
            }
            let whole = state.len();
            state.truncate(cut);
            prop_assert!(copies.restore(&state).is_err() || cut >= whole);
        }
    }
}
