//! The environment role as the engine sees it: N copies of an environment, stepped by one call, however they were
//! loaded.
use std::ops::Range;

use potstill_plugin_api::{EnvironmentSpec, Frame, Space};

use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan, scaled};

/// One action for each of N environments.
#[derive(Clone, Debug, PartialEq)]
pub enum Actions {
    /// Actions of a `Discrete` space, `[N]`, or of a `MultiDiscrete` space, `[N, components]`, row-major.
    Discrete(Vec<u32>),
    /// Actions of a `Box` space, `[N, size]`, row-major.
    Continuous(Vec<f32>),
}

/// Observations of N environments, row-major. Pictures stay bytes, one a pixel, until a plan reads them
/// ([`Observations::upload`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// Observations from a `Box` space, `[N, size]`.
    Float(Vec<f32>),
    /// Observations from an `Image` space, `[N, size]`.
    Byte(Vec<u8>),
}

/// The result of one step of N environments. The host has checked lengths, values and flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The observations after the step, `[N, size]`; where an episode ended, the first observation of the next one.
    pub observations: Observations,
    /// The rewards, `[N]`.
    pub rewards: Vec<f32>,
    /// Whether the episode reached a terminal state, `[N]`.
    pub terminated: Vec<bool>,
    /// Whether the episode was cut short without reaching a terminal state (by a time limit, for example), `[N]`.
    pub truncated: Vec<bool>,
    /// The last observations of the episodes that ended in this step, `[ended, size]`, in the order of their
    /// environments.
    pub final_observations: Observations,
    /// Whether the episode was cut short because its simulation failed, `[N]`. Components cannot report this.
    pub faults: Vec<bool>,
    /// Whether the step cost a life and the episode goes on, `[N]`; empty if the environment does not report lives, as
    /// components cannot.
    pub lives_lost: Vec<bool>,
}

impl Transition {
    /// Takes over all of `other` but the observations, for a wrapper that changes these.
    pub fn follow(&mut self, other: &Transition) {
        self.rewards.clone_from(&other.rewards);
        self.terminated.clone_from(&other.terminated);
        self.truncated.clone_from(&other.truncated);
        self.faults.clone_from(&other.faults);
        self.lives_lost.clone_from(&other.lives_lost);
    }

    /// A transition of no copies, for observations of `space`: buffers to be filled.
    pub fn none(space: &Space) -> Self {
        Transition {
            observations: Observations::none(space),
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            final_observations: Observations::none(space),
            faults: vec![],
            lives_lost: vec![],
        }
    }
}

impl Default for Observations {
    fn default() -> Self {
        Observations::Float(vec![])
    }
}

impl Observations {
    /// No observations, of the type that `space` has.
    pub fn none(space: &Space) -> Self {
        match space {
            Space::Image { .. } => Observations::Byte(vec![]),
            _ => Observations::Float(vec![]),
        }
    }

    /// Appends the observations to `out` as a learner gets them: as `f32`, with bytes scaled to 0–1.
    pub fn extend_f32(&self, out: &mut Vec<f32>) {
        match self {
            Observations::Float(values) => out.extend_from_slice(values),
            Observations::Byte(values) => out.extend(values.iter().copied().map(scaled)),
        }
    }

    /// Uploads the rows `index` (all rows for `None`) as input number `input` of `plan`, as a learner gets them:
    /// [`Device::rows`], or [`Device::byte_rows`], which scales bytes to 0–1.
    pub fn upload(&self, device: &Device, plan: &Plan, input: usize, index: Option<&[usize]>) -> Array {
        match self {
            Observations::Float(values) => device.rows(plan, input, values, index),
            Observations::Byte(values) => device.byte_rows(plan, input, values, index),
        }
    }

    /// Appends the scalars in the range `place` of `others`.
    ///
    /// # Panics
    /// If there are scalars of the other type here already, which is a bug of the host: the observations of an
    /// environment are of one type.
    pub fn append(&mut self, others: &Observations, place: Range<usize>) {
        match (self, others) {
            (Observations::Float(values), Observations::Float(others)) => {
                values.extend_from_slice(&others[place]);
            }
            (Observations::Byte(values), Observations::Byte(others)) => {
                values.extend_from_slice(&others[place]);
            }
            (values, others) => {
                assert!(values.is_empty(), "observations of two types");
                *values = others.cut(place);
            }
        }
    }

    /// A copy of the scalars in the range `place`.
    pub fn cut(&self, place: Range<usize>) -> Observations {
        match self {
            Observations::Float(values) => Observations::Float(values[place].to_vec()),
            Observations::Byte(values) => Observations::Byte(values[place].to_vec()),
        }
    }

    /// The number of scalars in all observations.
    pub fn len(&self) -> usize {
        match self {
            Observations::Float(values) => values.len(),
            Observations::Byte(values) => values.len(),
        }
    }

    /// Whether there are no scalars.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The form in which [`Environments::render`] draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderMode {
    /// An image of RGB pixels.
    Rgb,
    /// Lines of text for a terminal.
    Text,
}

/// N independent copies of an environment, stepped together.
///
/// Every error is a [`crate::Error::Plugin`]. After an error the value is poisoned: every later call returns the same
/// error. There are two exceptions. A plugin may refuse a `render` or a `restore` (call `reset` after a refused
/// `restore`), and a request that the host refuses before it reaches the plugin changes nothing.
pub trait Environments: Send {
    /// The description of the environment, which is the same for each copy.
    fn spec(&self) -> &EnvironmentSpec;

    /// The number of copies, N.
    fn len(&self) -> usize;

    /// Whether there are no copies; this is always false.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a new episode in every copy and returns the first observations, `[N, size]`. Copy `i` seeds its random
    /// stream with `seeds[i]`; later automatic resets continue the same streams.
    ///
    /// # Errors
    /// The plugin failed, or returned observations that contradict its own specification.
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations>;

    /// Takes one step in every copy. A copy whose episode ends is reset automatically.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn step(&mut self, actions: &Actions) -> Result<&Transition>;

    /// The newest observations `[N, size]` with all that the host hides from learners, for a teacher that sees more; `None` if
    /// nothing is hidden.
    fn privileged(&self) -> Option<&Observations> {
        None
    }

    /// Draws the current state of copy `index`.
    ///
    /// # Errors
    /// The errors of [`Self::reset`], or the plugin cannot draw in this mode.
    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame>;

    /// The whole state of every copy as bytes, or `None` if the plugin does not support snapshots.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Restores a state that [`Self::snapshot`] returned.
    ///
    /// # Errors
    /// The errors of [`Self::reset`], or `state` is not a snapshot of this plugin.
    fn restore(&mut self, _state: &[u8]) -> Result<()> {
        Err(Error::Plugin {
            plugin: self.spec().id.clone(),
            function: "restore".into(),
            cause: "this environment has no snapshots".into(),
        })
    }
}
