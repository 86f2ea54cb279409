//! The environment role as the engine sees it: N environments stepped by one call, whoever loaded them.
use std::ops::Range;

use potstill_plugin_api::{EnvironmentSpec, Frame};

use crate::error::Result;

/// One action for each environment.
#[derive(Clone, Debug, PartialEq)]
pub enum Actions {
    /// `Discrete`: `[N]`, or `MultiDiscrete`: `[N, components]`, row by row.
    Discrete(Vec<u32>),
    /// `Box`: `[N, size]`, row by row.
    Continuous(Vec<f32>),
}

/// Observations of N environments, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// From a `Box` space: `[N, size]`.
    Float(Vec<f32>),
    /// From an `Image` space: `[N, size]`.
    Byte(Vec<u8>),
}

/// What one step of N environments gave. The host has checked lengths, values and flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// `[N, size]`: where an episode ended, the first observation of the next one.
    pub observations: Observations,
    /// `[N]`.
    pub rewards: Vec<f32>,
    /// `[N]`: the episode reached a terminal state.
    pub terminated: Vec<bool>,
    /// `[N]`: the episode was cut short (time limit) without reaching one.
    pub truncated: Vec<bool>,
    /// Last observations of the episodes that ended in this step, in the order of their environments.
    pub final_observations: Observations,
    /// `[N]`: the episode was cut short because its simulation failed. Components cannot say so.
    pub faults: Vec<bool>,
}

impl Observations {
    /// Appends the observations as `f32` (bytes scaled to 0–1, as a learner gets them).
    pub fn extend_f32(&self, out: &mut Vec<f32>) {
        self.extend_f32_of(0..self.len(), out);
    }

    /// As [`Self::extend_f32`], of the scalars in `place`.
    pub fn extend_f32_of(&self, place: Range<usize>, out: &mut Vec<f32>) {
        match self {
            Observations::Float(values) => out.extend_from_slice(&values[place]),
            Observations::Byte(values) => out.extend(values[place].iter().map(|&v| f32::from(v) / 255.0)),
        }
    }

    /// Number of scalars.
    pub fn len(&self) -> usize {
        match self {
            Observations::Float(values) => values.len(),
            Observations::Byte(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What [`Environments::render`] draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderMode {
    /// Pixels.
    Rgb,
    /// Lines for a terminal.
    Text,
}

/// N independent copies of an environment, stepped together.
///
/// Every error is a [`crate::Error::Plugin`]. After one the value is poisoned and answers with the same error, except
/// where the plugin was not at fault: it has the right to refuse a `render` or a `restore` (which must then be
/// followed by a `reset`), and a request that the host checks and does not pass on changes nothing.
pub trait Environments: Send {
    /// What each copy is.
    fn spec(&self) -> &EnvironmentSpec;

    /// N.
    fn len(&self) -> usize;

    /// Whether N is 0 (it never is).
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a new episode in every copy, seeding copy `i`'s random stream with `seeds[i]`, and gives the
    /// first observations. Later automatic resets go on with the same streams.
    ///
    /// # Errors
    /// The plugin failed or gave observations that break its own specification.
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations>;

    /// Takes one step in every copy.
    ///
    /// # Errors
    /// As [`Self::reset`].
    fn step(&mut self, actions: &Actions) -> Result<&Transition>;

    /// Draws copy `index` as it is now.
    ///
    /// # Errors
    /// As [`Self::reset`], or when the plugin cannot draw in this mode.
    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame>;

    /// The whole state of every copy as bytes, or `None` where the plugin has no snapshots.
    ///
    /// # Errors
    /// As [`Self::reset`].
    fn snapshot(&mut self) -> Result<Option<Vec<u8>>>;

    /// Goes back to a state from [`Self::snapshot`].
    ///
    /// # Errors
    /// As [`Self::reset`], or when `state` is not one of this plugin's.
    fn restore(&mut self, state: &[u8]) -> Result<()>;
}
