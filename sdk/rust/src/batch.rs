//! Environments whose author steps all copies together.
use potstill_plugin_api::{Frame, OptionSchema};

use crate::{Actions, Options, RenderMode, Spec};

/// N copies of an environment that one call steps together, for a simulator that steps many copies by itself, or in other
/// processes. Seeds, automatic resets and time limits are then the author's; for everything else there is
/// [`crate::Environment`], of which the SDK makes the copies.
pub trait Batch: Sized + Send + 'static {
    /// Returns the specification of each copy. It must not change.
    fn spec(&self) -> Spec;

    /// Starts an episode in every copy. `seeds[i]` alone seeds the random stream of copy `i`: equal seeds and actions must
    /// give equal episodes, whatever the number of copies and whatever was played before. Writes the first observations
    /// `[N, size]`.
    ///
    /// # Errors
    /// The copies failed. The message is shown to the user.
    fn reset(&mut self, seeds: &[u64], observations: Rows<'_>) -> Result<(), String>;

    /// Takes one step in every copy. A copy whose episode ends starts the next one in the same step.
    ///
    /// # Errors
    /// As [`Batch::reset`].
    fn step(&mut self, actions: Actions<'_>, out: Outcomes<'_>) -> Result<(), String>;

    /// Renders copy `index`, which is less than N, and changes nothing.
    ///
    /// # Errors
    /// Fails if this mode is not supported; the message should say which mode is.
    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        let _ = (index, mode);
        Err("this environment does not draw".into())
    }

    /// The state of all copies, random streams included, or `None` if snapshots are not supported.
    fn snapshot(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Restores a state that [`Batch::snapshot`] returned.
    ///
    /// # Errors
    /// Fails if `state` is not such a state of as many copies.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let _ = state;
        Err("this environment has no snapshots".into())
    }
}

/// What makes a [`Batch`]: the environment's names and options. Export one or several with
/// [`crate::export_batches!`].
pub trait BatchVariant: 'static {
    /// The copies.
    type Batch: Batch;

    /// The version of this release of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;

    /// The id, `name-vN` or `namespace/name-vN`, and a description in one sentence.
    fn names() -> [&'static str; 2];

    /// The options that [`BatchVariant::make`] reads.
    fn schemas() -> Vec<OptionSchema>;

    /// Makes `num_envs` copies, at least 1, which wait for [`Batch::reset`].
    ///
    /// # Errors
    /// As [`crate::Environment::new`].
    fn make(num_envs: usize, options: &Options) -> Result<Self::Batch, String>;
}

/// Room for observations, `[rows, size]` in row-major order, in an array of the host.
#[derive(Debug)]
pub enum Rows<'a> {
    /// Observations of a `Box` space.
    Float(&'a mut [f32]),
    /// Observations of an `Image` space.
    Byte(&'a mut [u8]),
}

/// Room for the results of one step of N copies, in arrays of the host.
#[derive(Debug)]
pub struct Outcomes<'a> {
    /// The observations `[N, size]`. If an episode ended, the first one of the next episode.
    pub observations: Rows<'a>,
    /// The rewards `[N]`, finite.
    pub rewards: &'a mut [f32],
    /// `[N]`: 1 if the episode reached a terminal state, else 0.
    pub terminated: &'a mut [u8],
    /// `[N]`: 1 if the episode was cut short and not terminated, else 0.
    pub truncated: &'a mut [u8],
    /// `[N, size]`: the last observations of the episodes that ended, without gaps, in the order of their copies.
    pub final_observations: Rows<'a>,
    /// `[N]`, zeros: 1 if the episode was truncated because the simulation failed. `None` under a host that does not know
    /// faults.
    pub faults: Option<&'a mut [u8]>,
    /// `[N]`, [`NO_LIVES`](potstill_plugin_api::abi::NO_LIVES): for a game with lives, 1 if the step cost one while the
    /// episode goes on, else 0. `None` under a host that does not know lives.
    pub lives_lost: Option<&'a mut [u8]>,
}
