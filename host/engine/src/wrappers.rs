//! Wrappers of environments, as Gymnasium and Stable-Baselines3 have them, so that no plugin writes them again.
//!
//! They compose in the order of Stable-Baselines3's `AtariWrapper` and `VecFrameStack`, from the environment outwards:
//! time limit, action repeat with the maximum over the last two frames, episodic life, frame stack. Rewards are clipped
//! last, where learners read them ([`crate::ppmo::Hyperparameters::clip_rewards`]), so that returns stay the environment's.
mod life;
mod repeat;
mod stack;

use std::collections::BTreeMap;

use potstill_plugin_api::{EnvironmentSpec, Space};
use serde::{Deserialize, Serialize};

use crate::environment::{Environments, Observations};
use crate::error::{Error, Result};
use life::EpisodicLife;
use repeat::Repeat;
use stack::FrameStack;

/// The wrappers of an environment, as configurations and files name them. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wrappers {
    /// The number of the environment's own steps after which an episode is truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<usize>,
    /// The number of the environment's own steps that each action is taken for; rewards are summed. An episode that ends
    /// earlier ends the repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_repeat: Option<usize>,
    /// Whether an observation is the maximum, element by element, of the last two that an action led to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub max_pool: bool,
    /// Whether the loss of a life ends an episode, as terminal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub episodic_life: bool,
    /// The number of observations that are stacked, the newest last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_stack: Option<usize>,
}

/// The most frames of a stack, and of a repeated action.
pub const MOST_FRAMES: usize = 1000;

/// The longest time limit, in steps.
pub const LONGEST_LIMIT: usize = 1_000_000_000;

/// Makes copies of an environment, as many as it is told.
pub type Make<'a> = &'a dyn Fn(usize) -> Result<Box<dyn Environments>>;

impl Wrappers {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Wrappers::default()
    }

    /// Checks the numbers, which may come from somebody else's file.
    ///
    /// # Errors
    /// Names the wrapper, its value and what was expected.
    pub fn check(&self) -> Result<(), String> {
        for (name, value, most) in [
            ("max_episode_steps", self.max_episode_steps, LONGEST_LIMIT),
            ("action_repeat", self.action_repeat, MOST_FRAMES),
            ("frame_stack", self.frame_stack, MOST_FRAMES),
        ] {
            if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
                return Err(format!("the wrapper `{name}` is {value}; expected 1 to {most}"));
            }
        }
        Ok(())
    }

    /// Those that are set, by name, e.g. `frame_stack` with `4`.
    pub fn named(&self) -> BTreeMap<&'static str, String> {
        let number = |value: Option<usize>| value.map(|v| v.to_string());
        let flag = |value: bool| value.then(|| "true".to_owned());
        let all = [
            ("max_episode_steps", number(self.max_episode_steps)),
            ("action_repeat", number(self.action_repeat)),
            ("max_pool", flag(self.max_pool)),
            ("episodic_life", flag(self.episodic_life)),
            ("frame_stack", number(self.frame_stack)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The number of the environment's own steps that each action is taken for.
    fn repeat(&self) -> usize {
        self.action_repeat.unwrap_or(1)
    }

    /// The specification of an environment in all wrappers but the frame stack, of `spec` without any. Its steps are those
    /// of the agent. With a time limit that is shorter than the environment's own, no return counts as solved or highest.
    pub fn unstacked(&self, mut spec: EnvironmentSpec) -> EnvironmentSpec {
        let own = spec.max_episode_steps.map(|steps| steps as usize);
        let limit = [own, self.max_episode_steps].into_iter().flatten().min();
        if limit != own {
            (spec.max_return, spec.reward_threshold) = (None, None);
        }
        let steps = limit.map(|steps| steps.div_ceil(self.repeat()));
        spec.max_episode_steps = steps.map(|steps| u32::try_from(steps).unwrap_or(u32::MAX));
        spec
    }

    /// The specification of an environment in the frame stack, of `spec` without it. An observation `[c, h, w]` becomes
    /// `[n · c, h, w]`, as learners of pictures read it; any other shape gets an axis of length n in front.
    ///
    /// # Errors
    /// [`Error::Usage`]: the observations are no box or image, or the stack is too large for a space.
    pub fn stacked(&self, mut spec: EnvironmentSpec) -> Result<EnvironmentSpec> {
        let Some(n) = self.frame_stack else { return Ok(spec) };
        let refuse =
            |why: String| Error::usage(format!("`environment.frame_stack` is {n}, for `{}`: {why}", spec.id));
        let shape = |shape: &[usize]| match shape {
            [channels, height, width] => vec![n.saturating_mul(*channels), *height, *width],
            shape => std::iter::once(n).chain(shape.iter().copied()).collect(),
        };
        let stacked = match &spec.observation {
            Space::Image { shape: of_one } => Space::Image { shape: shape(of_one) },
            Space::Box { shape: of_one, low, high } => {
                let bounds = |bounds: &Vec<f32>| match bounds.len() {
                    1 => bounds.clone(),
                    _ => bounds.repeat(n),
                };
                Space::Box { shape: shape(of_one), low: bounds(low), high: bounds(high) }
            }
            other => return Err(refuse(format!("it stacks a box or an image, not {other}"))),
        };
        stacked.validate().map_err(|e| refuse(e.to_string()))?;
        spec.observation = stacked;
        Ok(spec)
    }

    /// Makes `count` copies in all wrappers but the frame stack. A time limit and an action repeat need copies that are
    /// stepped and reset apart from the others, so each is then made by a call of `make` of its own, and they are stepped on
    /// at most `threads` threads.
    ///
    /// # Errors
    /// An error of `make`.
    pub fn make_unstacked(
        &self,
        make: Make<'_>,
        count: usize,
        threads: usize,
    ) -> Result<Box<dyn Environments>> {
        let mut environments = match self.max_episode_steps.is_some() || self.repeat() > 1 {
            true => {
                let copies = (0..count).map(|_| make(1)).collect::<Result<Vec<_>>>()?;
                Box::new(Repeat::new(copies, self, threads)?)
            }
            false => make(count)?,
        };
        if self.episodic_life {
            environments = Box::new(EpisodicLife::new(environments));
        }
        Ok(environments)
    }

    /// Adds the frame stack to `environments`.
    ///
    /// # Errors
    /// Those of [`Self::stacked`].
    pub fn stack(&self, environments: Box<dyn Environments>) -> Result<Box<dyn Environments>> {
        match self.frame_stack {
            None => Ok(environments),
            Some(n) => {
                let spec = self.stacked(environments.spec().clone())?;
                Ok(Box::new(FrameStack::new(environments, n, spec)))
            }
        }
    }

    /// Makes `count` copies in all wrappers.
    ///
    /// # Errors
    /// Those of [`Self::make_unstacked`] and [`Self::stack`].
    pub fn make(&self, make: Make<'_>, count: usize, threads: usize) -> Result<Box<dyn Environments>> {
        self.stack(self.make_unstacked(make, count, threads)?)
    }
}

/// The observation of row `row` of `observations`, whose rows have `size` scalars, at the end of `out`.
fn push_row(out: &mut Observations, observations: &Observations, row: usize, size: usize) {
    out.append(observations, row * size..(row + 1) * size);
}

#[cfg(test)]
mod tests;
