//! An environment of whose observations learners see only some entries (`[environment] observe`).
use potstill_plugin_api::{EnvironmentSpec, Frame};

use crate::engine::saved::{join, not_of_these, of_observations, split, to_observations};
use crate::error::{Error, Result};
use crate::plugin::{Actions, Environments, Observations, RenderMode, Transition};
use crate::run::Entries;

/// The environments `inner`, whose observations are reduced to some entries.
pub(super) struct Observed {
    inner: Box<dyn Environments>,
    /// The specification of `inner`, with the reduced observation space.
    spec: EnvironmentSpec,
    entries: Entries,
    /// The newest observations of `inner`, whole.
    whole: Observations,
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
            entries: entries.clone(),
            whole: Observations::none(&inner.spec().observation),
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

impl Environments for Observed {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        self.whole = self.inner.reset(seeds)?;
        Ok(self.entries.choose(&self.whole, self.inner.spec().observation.size()))
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        let size = self.inner.spec().observation.size();
        let whole = self.inner.step(actions)?;
        self.transition.follow(whole);
        self.whole.clone_from(&whole.observations);
        self.transition.observations = self.entries.choose(&self.whole, size);
        self.transition.final_observations = self.entries.choose(&whole.final_observations, size);
        Ok(&self.transition)
    }

    fn privileged(&self) -> Option<&Observations> {
        Some(&self.whole)
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame> {
        self.inner.render(index, mode)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.inner.snapshot()?.map(|inner| join(&[&inner, &of_observations(&self.whole)])))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let parts = split(state, 2).and_then(|parts| {
            Some((parts[0], to_observations(parts[1], &self.inner.spec().observation, self.inner.len())?))
        });
        let (inner, whole) = parts.ok_or_else(not_of_these)?;
        self.whole = whole;
        self.inner.restore(inner)
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
            let of_whole = whole.step(&actions).unwrap();
            let of_part = part.step(&actions).unwrap();
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
                assert_eq!(part.privileged(), Some(&of_whole.observations));
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
