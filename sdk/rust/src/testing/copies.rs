//! Copies of an environment for tests, stepped as the host would step them.
use potstill_plugin_api::{OptionSchema, OptionValue};

use crate::vectorised::Vectorised;
use crate::{Actions, Environment, Frame, Options, RenderMode, Transition, Variant};

/// Options at their defaults, but for those in `set`.
pub fn options(schemas: Vec<OptionSchema>, set: &[(&str, OptionValue)]) -> Options {
    let value = |option: OptionSchema| {
        let value = set.iter().find(|(name, _)| *name == option.name).map(|(_, value)| value.clone());
        (option.name, value.unwrap_or(option.default))
    };
    schemas.into_iter().map(value).collect()
}

/// N native copies of an environment.
pub struct Copies<E: Environment> {
    copies: Vectorised<E>,
    transition: Transition<Vec<E::Scalar>>,
}

impl<E: Environment> Copies<E> {
    /// Makes `count` copies with these options.
    ///
    /// # Errors
    /// Fails if [`Environment::new`] does, if `count` is 0, or if a space is not valid.
    pub fn new(count: usize, options: &Options) -> Result<Self, String> {
        Self::of::<E>(count, options)
    }

    /// Makes `count` copies of a variant with these options.
    ///
    /// # Errors
    /// As [`Copies::new`].
    pub fn of<V: Variant<Environment = E>>(count: usize, options: &Options) -> Result<Self, String> {
        Ok(Copies { copies: Vectorised::of::<V>(count, options)?, transition: Transition::default() })
    }

    /// Starts an episode in every copy, each with its own seed, and returns the first observations `[N, size]` in
    /// row-major order.
    ///
    /// # Errors
    /// Fails unless there is one seed per copy.
    pub fn reset(&mut self, seeds: &[u64]) -> Result<Vec<E::Scalar>, String> {
        let mut observations = vec![];
        self.copies.reset(seeds, &mut observations)?;
        Ok(observations)
    }

    /// Takes one step in every copy.
    ///
    /// # Errors
    /// Fails unless there is one action per copy, of the kind of the action space.
    pub fn step(&mut self, actions: Actions<'_>) -> Result<&Transition<Vec<E::Scalar>>, String> {
        self.copies.step(actions, &mut self.transition)?;
        Ok(&self.transition)
    }

    /// Renders copy `index`.
    ///
    /// # Errors
    /// Fails if there is no such copy or the mode is not supported.
    pub fn render(&self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        self.copies.render(index, mode)
    }

    /// Returns the whole state, or `None` if the environment does not support snapshots.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        self.copies.snapshot()
    }

    /// Restores a state that [`Copies::snapshot`] returned.
    ///
    /// # Errors
    /// Fails if `state` is not such a state.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.copies.restore(state)
    }
}
