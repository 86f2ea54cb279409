//! An environment of whose observations learners see only some entries (`[environment] observe`).
use potstill_plugin_api::{EnvironmentSpec, Frame};

use crate::error::{Error, Result};
use crate::plugin::{Actions, Environments, Observations, RenderMode, Transition};
use crate::run::Entries;

/// The environments `inner`, whose observations are reduced to some entries.
pub(super) struct Observed {
    inner: Box<dyn Environments>,
    /// The specification of `inner`, with the reduced observation space.
    spec: EnvironmentSpec,
    entries: Vec<usize>,
    /// The number of entries of a whole observation.
    size: usize,
    transition: Transition,
}

impl Observed {
    /// Reduces the observations of `inner` to `entries`.
    ///
    /// # Errors
    /// An entry does not exist.
    pub(super) fn new(inner: Box<dyn Environments>, entries: &Entries) -> Result<Self> {
        let spec = reduced(inner.spec().clone(), entries)?;
        Ok(Observed {
            entries: entries.indices().collect(),
            size: inner.spec().observation.size(),
            inner,
            transition: Transition::none(&spec.observation),
            spec,
        })
    }
}

/// `spec` with only the `entries` of its observations.
///
/// # Errors
/// An entry does not exist.
pub(super) fn reduced(mut spec: EnvironmentSpec, entries: &Entries) -> Result<EnvironmentSpec> {
    let refuse = |why| Error::usage(format!("`environment.observe` of `{}`: {why}", spec.id));
    spec.observation = entries.of(&spec.observation).map_err(refuse)?;
    Ok(spec)
}

/// The chosen `entries` of each row of `size` entries.
fn choose(observations: &Observations, size: usize, entries: &[usize]) -> Observations {
    fn of<T: Copy>(values: &[T], size: usize, entries: &[usize]) -> Vec<T> {
        values.chunks_exact(size).flat_map(|row| entries.iter().map(|&i| row[i])).collect()
    }
    match observations {
        Observations::Float(values) => Observations::Float(of(values, size, entries)),
        Observations::Byte(values) => Observations::Byte(of(values, size, entries)),
    }
}

impl Environments for Observed {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        Ok(choose(&self.inner.reset(seeds)?, self.size, &self.entries))
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        let whole = self.inner.step(actions)?;
        self.transition.follow(whole);
        self.transition.observations = choose(&whole.observations, self.size, &self.entries);
        self.transition.final_observations = choose(&whole.final_observations, self.size, &self.entries);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::setup::{find_environment, make_environments};
    use crate::engine::wrappers::Wrappers;
    use crate::plugin::Registry;
    use crate::run::Options;

    fn floats(observations: &Observations) -> Vec<f32> {
        let mut all = vec![];
        observations.extend_f32(&mut all);
        all
    }

    #[test]
    fn it_is_the_same_environment_with_less_to_see() {
        let registry = Registry::of(&[], &[]).unwrap();
        let entries = Entries::try_from("0,2-3".to_owned()).unwrap();
        let make = |entries: Option<&Entries>| {
            let found =
                find_environment(&registry, "nd-cartpole", &Options::new(), entries, &Wrappers::default());
            let found = found.unwrap();
            make_environments(&registry, &found, 3, 1).unwrap()
        };
        let (mut whole, mut part) = (make(None), make(Some(&entries)));
        assert_eq!((part.len(), part.spec().observation.size()), (3, 3));
        assert_eq!(part.spec().observation, entries.of(&whole.spec().observation).unwrap());
        let left = |all: &Observations| -> Vec<f32> {
            floats(all).chunks(4).flat_map(|row| [row[0], row[2], row[3]]).collect()
        };
        assert_eq!(floats(&part.reset(&[1, 2, 3]).unwrap()), left(&whole.reset(&[1, 2, 3]).unwrap()));
        let (mut ends, mut saved) = (0, None);
        for step in 0..200_u32 {
            let actions = Actions::Discrete((0..3).map(|i| (step / (i + 1)) % 2).collect());
            let (of_whole, of_part) = (whole.step(&actions).unwrap(), part.step(&actions).unwrap());
            assert_eq!(floats(&of_part.observations), left(&of_whole.observations));
            assert_eq!(floats(&of_part.final_observations), left(&of_whole.final_observations));
            assert_eq!(of_part.rewards, of_whole.rewards);
            assert_eq!(
                (&of_part.terminated, &of_part.truncated),
                (&of_whole.terminated, &of_whole.truncated)
            );
            ends += of_part.terminated.iter().filter(|end| **end).count();
            if step == 100 {
                saved = part.snapshot().unwrap();
                assert_eq!(saved, whole.snapshot().unwrap());
            }
        }
        assert!(ends > 3, "{ends} episodes ended");
        part.restore(&saved.unwrap()).unwrap();
        let beyond = Entries::try_from("4".to_owned()).unwrap();
        let none = Wrappers::default();
        let found = find_environment(&registry, "nd-cartpole", &Options::new(), Some(&beyond), &none);
        let error = found.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("`environment.observe` of `nd-cartpole-v1`: there is no entry 4"), "{error}");
    }
}
