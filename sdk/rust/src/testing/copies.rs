//! Native copies of an environment.
use crate::vectorised::Vectorised;
use crate::{Actions, Environment, Frame, Options, RenderMode, Transition};

/// N copies of an environment.
pub struct Copies<E: Environment> {
    copies: Vectorised<E>,
    transition: Transition<Vec<E::Scalar>>,
}

impl<E: Environment> Copies<E> {
    /// Makes them.
    ///
    /// # Errors
    /// [`Environment::new`]'s.
    pub fn new(count: usize, options: &Options) -> Result<Self, String> {
        Ok(Copies { copies: Vectorised::new(count, options)?, transition: Transition::default() })
    }

    /// Starts an episode in every copy, each with its own seed, and gives the first observations, row by row.
    ///
    /// # Errors
    /// Not one seed for each copy.
    pub fn reset(&mut self, seeds: &[u64]) -> Result<Vec<E::Scalar>, String> {
        let mut observations = vec![];
        self.copies.reset(seeds, &mut observations)?;
        Ok(observations)
    }

    /// Takes a step in every copy.
    ///
    /// # Errors
    /// Not one action for each copy, or of another kind.
    pub fn step(&mut self, actions: Actions<'_>) -> Result<&Transition<Vec<E::Scalar>>, String> {
        self.copies.step(actions, &mut self.transition)?;
        Ok(&self.transition)
    }

    /// Draws copy `index`.
    ///
    /// # Errors
    /// The mode is not supported.
    pub fn render(&self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        self.copies.render(index, mode)
    }

    /// The whole state, where the environment has snapshots.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        self.copies.snapshot()
    }

    /// Goes back to a state of [`Copies::snapshot`].
    ///
    /// # Errors
    /// `state` is not one.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.copies.restore(state)
    }
}
