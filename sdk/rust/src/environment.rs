use potstill_plugin_api::{Frame, OptionSchema, OptionValue, Space};

use crate::Rng;

/// What one copy is, once its options are set.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Observation space: a `Box` where [`Environment::Scalar`] is `f32`, an `Image` where it is `u8`.
    pub observation: Space,
    /// Action space: `Discrete`, `MultiDiscrete` or `Box`.
    pub action: Space,
    /// Steps after which the SDK truncates an episode, when there is a limit.
    pub max_episode_steps: Option<u32>,
    /// The return that counts as solved, when the field has agreed on one.
    pub reward_threshold: Option<f32>,
    /// The return no episode exceeds, when there is one: a run whose validations all reach it is done.
    pub max_return: Option<f32>,
}

/// What one step gave, beside the observation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Finite; of this step, also where the episode ended.
    pub reward: f32,
    /// The episode reached a terminal state.
    pub terminated: bool,
    /// The episode was cut short without reaching one. Leave the limit of [`Spec::max_episode_steps`] to the SDK.
    pub truncated: bool,
}

/// The action of one copy, of the kind that the specification's action space says. The host has checked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// In a `Discrete` space: below its `n`.
    Discrete(u32),
    /// In a `MultiDiscrete` space: one choice per component.
    MultiDiscrete(&'a [u32]),
    /// In a `Box` space: finite, and not clamped to the bounds.
    Continuous(&'a [f32]),
}

impl Action<'_> {
    /// The choice in a `Discrete` space (0 in any other).
    #[inline]
    pub fn choice(self) -> u32 {
        match self {
            Action::Discrete(choice) => choice,
            _ => 0,
        }
    }
}

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderMode {
    /// Pixels.
    Rgb,
    /// Lines for a terminal.
    Text,
}

/// The options of a copy: every one of [`Environment::options`], within its limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(Vec<(String, OptionValue)>);

impl Options {
    /// The value of an integer option.
    ///
    /// # Errors
    /// No integer option of this name was declared.
    pub fn integer(&self, name: &str) -> Result<i64, String> {
        self.get(name, "integer", |value| match value {
            OptionValue::Integer(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a number option.
    ///
    /// # Errors
    /// No number option of this name was declared.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        self.get(name, "number", |value| match value {
            OptionValue::Number(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a boolean option.
    ///
    /// # Errors
    /// No boolean option of this name was declared.
    pub fn boolean(&self, name: &str) -> Result<bool, String> {
        self.get(name, "boolean", |value| match value {
            OptionValue::Boolean(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a text option.
    ///
    /// # Errors
    /// No text option of this name was declared.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.get(name, "text", |value| match value {
            OptionValue::Text(v) => Some(v.as_str()),
            _ => None,
        })
    }

    fn get<'a, T>(
        &'a self,
        name: &str,
        kind: &str,
        read: impl Fn(&'a OptionValue) -> Option<T>,
    ) -> Result<T, String> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| read(value))
            .ok_or_else(|| format!("the plugin reads {kind} option `{name}`, which it does not declare"))
    }
}

impl FromIterator<(String, OptionValue)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, OptionValue)>>(settings: I) -> Self {
        Options(settings.into_iter().collect())
    }
}

/// One environment, as its author writes it. The SDK makes N copies of it, seeds them, resets those that end,
/// counts steps and speaks the contract.
pub trait Environment: Sized + Send + 'static {
    /// `name-vN` or `namespace/name-vN`; a change of dynamics, rewards or defaults is a new `N`.
    const ID: &'static str;
    /// Release of the plugin; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;

    /// `f32` for a `Box` of observations, `u8` for an `Image`.
    type Scalar: Scalar;

    /// The options that [`Environment::new`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// Threads that may step the copies at once, 0 for as many as there are cores; worth it where a step takes some 10 µs
    /// or more. Results do not depend on it: a copy has its own random stream. Components have one thread.
    fn threads(options: &Options) -> usize {
        let _ = options;
        1
    }

    /// Makes one copy, which waits for its first [`Environment::reset`].
    ///
    /// # Errors
    /// The options do not go together, in words for the user. Each by itself has been checked.
    fn new(options: &Options) -> Result<Self, String>;

    /// What the copy is.
    fn spec(&self) -> Spec;

    /// Starts an episode and writes its first observation. Draws only from `rng`, so that equal seeds give
    /// equal episodes.
    fn reset(&mut self, rng: &mut Rng, observation: &mut [Self::Scalar]);

    /// Takes one step and writes the observation after it, also where the episode ends.
    fn step(&mut self, action: Action<'_>, rng: &mut Rng, observation: &mut [Self::Scalar]) -> Step;

    /// Why the step that was just taken had to cut the episode short (it says [`Step::truncated`], and its observation
    /// and reward are finite all the same): the simulation failed, it became unstable, say. None where the episode was
    /// cut for another reason. The words go into the host's log, the same ones once a process; the host counts the
    /// episodes that end so, unless this is a component.
    fn fault(&mut self) -> Option<String> {
        None
    }

    /// Draws the copy as it is now.
    ///
    /// # Errors
    /// This mode is not supported; say which is.
    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        let _ = mode;
        Err("this environment does not draw".into())
    }

    /// Appends the copy's state, without its random stream and step count, which the SDK adds. `false` where
    /// snapshots are not supported.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let _ = state;
        false
    }

    /// Goes back to a state of [`Environment::snapshot`].
    ///
    /// # Errors
    /// `state` is not one.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let _ = state;
        Err("this environment has no snapshots".into())
    }
}

/// Observations of N copies, row by row.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// Of a `Box` space.
    Float(Vec<f32>),
    /// Of an `Image` space.
    Byte(Vec<u8>),
}

/// An element of an observation: `f32` or `u8`.
pub trait Scalar: Copy + Default + Send + sealed::Sealed + 'static {
    /// Wraps observations of this element.
    fn wrap(values: Vec<Self>) -> Observations;
}

impl Scalar for f32 {
    fn wrap(values: Vec<Self>) -> Observations {
        Observations::Float(values)
    }
}

impl Scalar for u8 {
    fn wrap(values: Vec<Self>) -> Observations {
        Observations::Byte(values)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
}
