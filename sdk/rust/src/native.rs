//! The same source without a sandbox: what [`crate::export_environment!`] makes on a machine's own target, and
//! what Potstill's built-in loader runs.
use potstill_plugin_api::{EnvironmentSpec, Frame, OptionSchema};

use crate::vectorised::Vectorised;
use crate::{Actions, Environment, Options, RenderMode, Scalar, Transition};

/// Observations of N copies, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// Of a `Box` space.
    Float(Vec<f32>),
    /// Of an `Image` space.
    Byte(Vec<u8>),
}

impl Default for Observations {
    fn default() -> Self {
        Observations::Float(vec![])
    }
}

/// N copies of some environment, with its type erased.
pub trait DynEnvironments: Send {
    /// What each copy is.
    fn spec(&self) -> &EnvironmentSpec;

    /// Starts an episode in every copy with its own seed.
    ///
    /// # Errors
    /// Not one seed for each copy.
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, String>;

    /// Takes a step in every copy, into buffers that are reused from call to call.
    ///
    /// # Errors
    /// Not one action for each copy, or of another kind.
    fn step(&mut self, actions: Actions<'_>, out: &mut Transition<Observations>) -> Result<(), String>;

    /// Draws copy `index`.
    ///
    /// # Errors
    /// The mode is not supported.
    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, String>;

    /// The whole state, where the environment has snapshots.
    fn snapshot(&mut self) -> Option<Vec<u8>>;

    /// Goes back to a state from [`DynEnvironments::snapshot`].
    ///
    /// # Errors
    /// `state` is not one.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

impl<E: Environment> DynEnvironments for Vectorised<E> {
    fn spec(&self) -> &EnvironmentSpec {
        self.spec()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, String> {
        let mut observations = vec![];
        self.reset(seeds, &mut observations)?;
        Ok(E::Scalar::wrap(observations))
    }

    fn step(&mut self, actions: Actions<'_>, out: &mut Transition<Observations>) -> Result<(), String> {
        let mut typed = Transition {
            observations: E::Scalar::take(&mut out.observations),
            rewards: std::mem::take(&mut out.rewards),
            terminated: std::mem::take(&mut out.terminated),
            truncated: std::mem::take(&mut out.truncated),
            final_observations: E::Scalar::take(&mut out.final_observations),
        };
        let result = self.step(actions, &mut typed);
        *out = Transition {
            observations: E::Scalar::wrap(typed.observations),
            rewards: typed.rewards,
            terminated: typed.terminated,
            truncated: typed.truncated,
            final_observations: E::Scalar::wrap(typed.final_observations),
        };
        result
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        Vectorised::render(self, index, mode)
    }

    fn snapshot(&mut self) -> Option<Vec<u8>> {
        Vectorised::snapshot(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.restore(state)
    }
}

/// An environment as a value: who it is and how to make copies.
#[derive(Clone, Copy, Debug)]
pub struct NativeEnvironment {
    /// `name-vN` or `namespace/name-vN`.
    pub id: &'static str,
    /// Release of the plugin.
    pub version: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The options that `make` reads.
    pub options: fn() -> Vec<OptionSchema>,
    /// Makes N copies.
    pub make: Make,
}

/// Makes N copies with these options, or says why not.
pub type Make = fn(usize, &Options) -> Result<Box<dyn DynEnvironments>, String>;

impl NativeEnvironment {
    /// The environment `E`.
    pub const fn of<E: Environment>() -> Self {
        NativeEnvironment {
            id: E::ID,
            version: E::VERSION,
            summary: E::SUMMARY,
            options: E::options,
            make: |num_envs, options| Ok(Box::new(Vectorised::<E>::new(num_envs, options)?)),
        }
    }
}
