//! The environment role: one environment as its author writes it, its options and its specification.
use potstill_plugin_api::{Frame, OptionSchema, OptionValue, Space};

use crate::{Rng, Rows};

/// The specification of one copy, once its options are set.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Observation space: a `Box` if [`Environment::Scalar`] is `f32`, an `Image` if it is `u8`.
    pub observation: Space,
    /// Action space: `Discrete`, `MultiDiscrete` or `Box`.
    pub action: Space,
    /// Number of steps after which the SDK truncates an episode, or `None` for no limit.
    pub max_episode_steps: Option<u32>,
    /// The return at which the environment counts as solved, if there is an agreed one.
    pub reward_threshold: Option<f32>,
    /// The highest possible return of an episode, if there is one. A run stops early once all its validations reach it.
    pub max_return: Option<f32>,
}

/// The result of one step, apart from the observation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// The reward of this step, including a step that ends the episode. Must be finite.
    pub reward: f32,
    /// Whether the episode reached a terminal state.
    pub terminated: bool,
    /// Whether the episode was cut short without reaching a terminal state. The SDK itself enforces
    /// [`Spec::max_episode_steps`].
    pub truncated: bool,
}

/// The action of one copy, which the host has checked. Its kind follows from the action space of the [`Spec`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// The choice in a `Discrete` space, less than its `n`.
    Discrete(u32),
    /// One choice per component of a `MultiDiscrete` space.
    MultiDiscrete(&'a [u32]),
    /// The values in a `Box` space, which are finite but not clamped to its bounds.
    Continuous(&'a [f32]),
}

impl Action<'_> {
    /// The choice in a `Discrete` space, or 0 in any other space.
    #[inline]
    pub fn choice(self) -> u32 {
        match self {
            Action::Discrete(choice) => choice,
            _ => 0,
        }
    }
}

/// The form in which to render a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderMode {
    /// An image of RGB pixels.
    Rgb,
    /// Lines of text for a terminal.
    Text,
}

/// The values of a plugin's options. Every declared option has a value within its limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(Vec<(String, OptionValue)>);

impl Options {
    /// The value of an integer option.
    ///
    /// # Errors
    /// Fails if the plugin declares no integer option of this name.
    pub fn integer(&self, name: &str) -> Result<i64, String> {
        self.get(name, "integer", |value| match value {
            OptionValue::Integer(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a number option.
    ///
    /// # Errors
    /// Fails if the plugin declares no number option of this name.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        self.get(name, "number", |value| match value {
            OptionValue::Number(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a boolean option.
    ///
    /// # Errors
    /// Fails if the plugin declares no boolean option of this name.
    pub fn boolean(&self, name: &str) -> Result<bool, String> {
        self.get(name, "boolean", |value| match value {
            OptionValue::Boolean(v) => Some(*v),
            _ => None,
        })
    }

    /// The value of a text option.
    ///
    /// # Errors
    /// Fails if the plugin declares no text option of this name.
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

/// One environment, as its author writes it. The SDK makes N copies of it, seeds them, resets those whose episode
/// ended, counts their steps and implements the plugin contract.
pub trait Environment: Sized + Send + 'static {
    /// The id: `name-vN` or `namespace/name-vN`. Increase `N` when dynamics, rewards or defaults change.
    const ID: &'static str;
    /// The version of this release of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// A description of the environment in one sentence.
    const SUMMARY: &'static str;

    /// The type of an observation's elements: `f32` for a `Box` space, `u8` for an `Image` space.
    type Scalar: Scalar;

    /// The options that [`Environment::new`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// The number of threads that step the copies in parallel, 0 for one per core. This pays off if a step takes about
    /// 10 µs or more. Results do not depend on it, because each copy has its own random stream. A component always has
    /// one thread.
    fn threads(options: &Options) -> usize {
        let _ = options;
        1
    }

    /// Makes one copy. [`Environment::reset`] is called before its first step.
    ///
    /// # Errors
    /// Fails if the options contradict each other; the message is shown to the user. Each option by itself has already
    /// been checked.
    fn new(options: &Options) -> Result<Self, String>;

    /// Returns the specification of the copy.
    fn spec(&self) -> Spec;

    /// Starts an episode and writes its first observation. It must draw random numbers only from `rng`, so that equal
    /// seeds give equal episodes.
    fn reset(&mut self, rng: &mut Rng, observation: &mut [Self::Scalar]);

    /// Takes one step and writes the observation after it, even if the step ends the episode.
    fn step(&mut self, action: Action<'_>, rng: &mut Rng, observation: &mut [Self::Scalar]) -> Step;

    /// Says why the simulation failed (it became unstable, for example) if that is why the last step truncated the
    /// episode. Returns `None` if the episode was truncated for another reason. Such a step must still set
    /// [`Step::truncated`] and give a finite observation and reward. The host logs each distinct message once per
    /// process. It also counts the episodes that end this way, unless the plugin is a component.
    fn fault(&mut self) -> Option<String> {
        None
    }

    /// For a game with lives, whether the last step cost one while the episode goes on. It must then be `Some` after every
    /// step. Users can let learners see that as the end of an episode (`[environment] episodic_life`). Components cannot
    /// report it.
    fn life_lost(&mut self) -> Option<bool> {
        None
    }

    /// Renders the current state of the copy.
    ///
    /// # Errors
    /// Fails if this mode is not supported; the message should say which mode is.
    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        let _ = mode;
        Err("this environment does not draw".into())
    }

    /// Appends the state of the copy to `state`. The SDK itself saves the random stream and the step count. Returns
    /// `false` if snapshots are not supported.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let _ = state;
        false
    }

    /// Restores a state that [`Environment::snapshot`] wrote.
    ///
    /// # Errors
    /// Fails if `state` is not such a state.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let _ = state;
        Err("this environment has no snapshots".into())
    }
}

/// One of many environments that share the code of an [`Environment`], as the games of an emulator do. In a library with all of
/// them ([`crate::export_environments!`]), each has only what makes it. Every [`Environment`] is a variant of itself.
pub trait Variant: 'static {
    /// What the variant is once it is made.
    type Environment: Environment;

    /// The variant's id and its description in one sentence, in place of [`Environment::ID`] and [`Environment::SUMMARY`].
    fn names() -> [&'static str; 2];

    /// The options that [`Variant::make`] reads.
    fn schemas() -> Vec<OptionSchema> {
        Self::Environment::options()
    }

    /// Makes one copy.
    ///
    /// # Errors
    /// As [`Environment::new`].
    fn make(options: &Options) -> Result<Self::Environment, String>;
}

impl<E: Environment> Variant for E {
    type Environment = E;

    fn names() -> [&'static str; 2] {
        [E::ID, E::SUMMARY]
    }

    fn make(options: &Options) -> Result<E, String> {
        E::new(options)
    }
}

/// The observations of N copies, in row-major order.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq)]
pub enum Observations {
    /// Observations of a `Box` space.
    Float(Vec<f32>),
    /// Observations of an `Image` space.
    Byte(Vec<u8>),
}

/// The type of an observation's elements: `f32` or `u8`.
pub trait Scalar: Copy + Default + Send + sealed::Sealed + 'static {
    /// Wraps observations whose elements have this type.
    fn wrap(values: Vec<Self>) -> Observations;
    /// The room, if it is for observations of this type.
    fn room(rows: Rows<'_>) -> Option<&mut [Self]>;
}

impl Scalar for f32 {
    fn wrap(values: Vec<Self>) -> Observations {
        Observations::Float(values)
    }

    fn room(rows: Rows<'_>) -> Option<&mut [Self]> {
        match rows {
            Rows::Float(values) => Some(values),
            Rows::Byte(_) => None,
        }
    }
}

impl Scalar for u8 {
    fn wrap(values: Vec<Self>) -> Observations {
        Observations::Byte(values)
    }

    fn room(rows: Rows<'_>) -> Option<&mut [Self]> {
        match rows {
            Rows::Byte(values) => Some(values),
            Rows::Float(_) => None,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
}
