//! Checks the answers of environments from any loader: their lengths against the specification, and values, flags and
//! final observations. The engine relies on these checks.
use potstill_plugin_api::abi::NO_LIVES;
use potstill_plugin_api::{EnvironmentSpec, Frame, Space};

use super::text::{LONGEST_MESSAGE, tame};
use potstill_engine::environment::{Actions, Environments, Observations, RenderMode, Transition};
use potstill_engine::error::{Error, Result};

/// N environments as a loader provides them. Their answers have not been checked.
pub trait RawEnvironments: Send {
    /// Starts an episode in every copy. There are as many seeds as copies.
    ///
    /// # Errors
    /// The plugin refused or failed.
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure>;
    /// Takes one step in every copy and writes the result to `out`.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn step(&mut self, actions: &Actions, out: &mut UncheckedTransition) -> Result<(), Failure>;
    /// Draws copy `index`.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, Failure>;
    /// The state of every copy, if the plugin supports snapshots.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure>;
    /// Restores a snapshot.
    ///
    /// # Errors
    /// The errors of [`Self::reset`].
    fn restore(&mut self, state: &[u8]) -> Result<(), Failure>;
}

/// Why a call to a plugin failed.
#[derive(Debug)]
pub enum Failure {
    /// The plugin refused, with this message.
    Refused(String),
    /// The plugin failed for this reason and cannot be called again.
    Broken(String),
}

/// A failure and the function of the contract in which it happened.
#[derive(Debug)]
pub struct FailedCall {
    /// The function of the contract.
    pub function: String,
    /// What happened in it.
    pub failure: Failure,
}

impl Failure {
    /// The failure together with the function in which it happened.
    pub fn at(self, function: impl Into<String>) -> FailedCall {
        FailedCall { function: function.into(), failure: self }
    }
}

impl FailedCall {
    /// The error that the user reads.
    pub fn error(self, plugin: &str) -> Error {
        match self.failure {
            // The options or the task do not suit the plugin: the user can fix that.
            Failure::Refused(words) if self.function == "make" => {
                Error::usage(format!("plugin `{plugin}`: {words}"))
            }
            Failure::Refused(cause) | Failure::Broken(cause) => {
                Error::Plugin { plugin: plugin.to_owned(), function: self.function, cause }
            }
        }
    }
}

/// A [`Transition`] that has not been checked.
#[derive(Debug)]
pub struct UncheckedTransition {
    /// The observations after the step, `[N, size]`.
    pub observations: Observations,
    /// The rewards, `[N]`.
    pub rewards: Vec<f32>,
    /// Whether each episode reached a terminal state, `[N]`: 0 or 1.
    pub terminated: Vec<u8>,
    /// Whether each episode was truncated, `[N]`: 0 or 1.
    pub truncated: Vec<u8>,
    /// The final observations of the copies whose episode ended, `[ended, size]`.
    pub final_observations: Observations,
    /// Whether each episode ended because its simulation failed, `[N]`: 0 or 1. Empty if the loader cannot report this.
    pub faults: Vec<u8>,
    /// Whether each step cost a life, `[N]`: 0 or 1. [`NO_LIVES`] everywhere, or empty, if the plugin does not report this.
    pub lives_lost: Vec<u8>,
}

/// The most scalars that the observations of one step may have.
const LARGEST_STEP: usize = 1 << 29;
const LARGEST_SIDE: u32 = 1 << 14;
const LONGEST_TEXT: usize = 1 << 16;

/// [`Environments`] that check every answer of [`RawEnvironments`].
pub struct Checked<R> {
    raw: R,
    spec: EnvironmentSpec,
    len: usize,
    expected: Expected,
    scratch: UncheckedTransition,
    transition: Transition,
    started: bool,
    broken: Option<(&'static str, String)>,
}

impl<R: RawEnvironments> Checked<R> {
    /// Wraps `raw`, which are `len` environments with the specification `spec`.
    ///
    /// # Errors
    /// [`Error::Plugin`]: the specification contradicts itself or the contract.
    pub fn new(raw: R, spec: EnvironmentSpec, len: usize) -> Result<Self> {
        if let Err(cause) = check_spec(&spec, len) {
            return Err(Error::Plugin { plugin: spec.id, function: "spec".into(), cause });
        }
        let scratch = UncheckedTransition {
            observations: Observations::none(&spec.observation),
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
            final_observations: Observations::none(&spec.observation),
            faults: vec![],
            lives_lost: vec![],
        };
        let transition = Transition::none(&spec.observation);
        let expected = Expected { len, size: spec.observation.size(), space: spec.observation.clone() };
        Ok(Checked { raw, spec, len, expected, scratch, transition, started: false, broken: None })
    }

    fn error(&self, function: &str, cause: &str) -> Error {
        Error::Plugin { plugin: self.spec.id.clone(), function: function.into(), cause: cause.into() }
    }

    /// Refuses a request that must not reach the plugin, which stays usable.
    fn refuse<T>(&self, function: &'static str, cause: String) -> Result<T> {
        Err(self.error(function, &cause))
    }

    fn break_down<T>(&mut self, function: &'static str, cause: String) -> Result<T> {
        let error = self.error(function, &cause);
        self.broken = Some((function, cause));
        Err(error)
    }

    fn usable(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some((function, cause)) => Err(self.error(function, cause)),
        }
    }

    fn check_actions(&self, actions: &Actions) -> Result<(), String> {
        let count = |given: usize, each: usize| {
            let expected = self.len * each;
            if given == expected {
                return Ok(());
            }
            Err(format!(
                "the host gave {given} action values, expected {} environments × {each} = {expected}",
                self.len
            ))
        };
        match (actions, &self.spec.action) {
            (Actions::Discrete(values), Space::Discrete { n }) => {
                count(values.len(), 1)?;
                match values.iter().position(|&a| a as usize >= *n) {
                    None => Ok(()),
                    Some(i) => {
                        Err(format!("the host gave environment {i} action {}, expected below {n}", values[i]))
                    }
                }
            }
            (Actions::Discrete(values), Space::MultiDiscrete { nvec }) => {
                count(values.len(), nvec.len())?;
                match values.iter().zip(nvec.iter().cycle()).position(|(&a, &n)| a as usize >= n) {
                    None => Ok(()),
                    Some(i) => Err(format!(
                        "the host gave environment {} choice {} in component {}, expected below {}",
                        i / nvec.len(),
                        values[i],
                        i % nvec.len(),
                        nvec[i % nvec.len()]
                    )),
                }
            }
            (Actions::Continuous(values), Space::Box { shape, .. }) => {
                let each = shape.iter().product();
                count(values.len(), each)?;
                match first_not_finite(values) {
                    None => Ok(()),
                    Some(i) => {
                        Err(format!("the host gave environment {} the action {}", i / each, values[i]))
                    }
                }
            }
            (Actions::Discrete(_), space) => {
                Err(format!("the host gave discrete actions, the space is {space}"))
            }
            (Actions::Continuous(_), space) => {
                Err(format!("the host gave continuous actions, the space is {space}"))
            }
        }
    }
}

impl<R: RawEnvironments> Environments for Checked<R> {
    fn spec(&self) -> &EnvironmentSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.len
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<Observations> {
        self.usable()?;
        if seeds.len() != self.len {
            return self
                .refuse("reset", format!("the host gave {} seeds, expected {}", seeds.len(), self.len));
        }
        let result = self.raw.reset(seeds).map_err(Failure::into_cause);
        match result
            .and_then(|o| check_observations(&o, "observation", &self.expected, self.len, |i| i).map(|()| o))
        {
            Ok(observations) => {
                self.started = true;
                Ok(observations)
            }
            Err(cause) => self.break_down("reset", cause),
        }
    }

    fn step(&mut self, actions: &Actions) -> Result<&Transition> {
        self.usable()?;
        if !self.started {
            return self.refuse("step", "the host stepped before the first reset".into());
        }
        if let Err(cause) = self.check_actions(actions) {
            return self.refuse("step", cause);
        }
        let result = self.raw.step(actions, &mut self.scratch).map_err(Failure::into_cause);
        let (scratch, transition) = (&mut self.scratch, &mut self.transition);
        match result.and_then(|()| accept(scratch, transition, &self.expected)) {
            Ok(()) => Ok(&self.transition),
            Err(cause) => self.break_down("step", cause),
        }
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame> {
        self.usable()?;
        if index >= self.len {
            return self.refuse("render", format!("the host asked for environment {index} of {}", self.len));
        }
        match self.raw.render(index, mode) {
            Ok(frame) => check_frame(frame, mode).or_else(|cause| self.break_down("render", cause)),
            Err(Failure::Refused(cause)) => self.refuse("render", tame(&cause, LONGEST_MESSAGE)),
            Err(Failure::Broken(cause)) => self.break_down("render", cause),
        }
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>> {
        self.usable()?;
        self.raw.snapshot().or_else(|failure| self.break_down("snapshot", failure.into_cause()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.usable()?;
        match self.raw.restore(state) {
            Ok(()) => {
                self.started = true;
                Ok(())
            }
            Err(Failure::Refused(cause)) => {
                // The plugin may have restored part of it.
                self.started = false;
                self.refuse("restore", tame(&cause, LONGEST_MESSAGE))
            }
            Err(Failure::Broken(cause)) => self.break_down("restore", cause),
        }
    }
}

impl Failure {
    /// The cause, safe for a terminal.
    pub fn into_cause(self) -> String {
        match self {
            Failure::Refused(cause) => tame(&cause, LONGEST_MESSAGE),
            Failure::Broken(cause) => cause,
        }
    }
}

fn check_spec(spec: &EnvironmentSpec, len: usize) -> Result<(), String> {
    for (name, space) in [("observation", &spec.observation), ("action", &spec.action)] {
        space.validate().map_err(|e| format!("the {name} space is wrong: {e}"))?;
    }
    if !matches!(spec.observation, Space::Box { .. } | Space::Image { .. }) {
        return Err(format!("the observation space is {}, expected a box or an image", spec.observation));
    }
    if matches!(spec.action, Space::Image { .. }) {
        return Err(format!("the action space is {}, expected a discrete one or a box", spec.action));
    }
    if spec.max_episode_steps == Some(0) {
        return Err("an episode is limited to 0 steps".into());
    }
    for (name, value) in [("reward threshold", spec.reward_threshold), ("maximum return", spec.max_return)] {
        if value.is_some_and(|r| !r.is_finite()) {
            return Err(format!("the {name} is not finite"));
        }
    }
    match len.checked_mul(spec.observation.size().max(spec.action.size())) {
        Some(scalars) if scalars <= LARGEST_STEP => Ok(()),
        _ => Err(format!(
            "{len} environments with observations {} exceed what the host allows for one step",
            spec.observation
        )),
    }
}

/// The sizes that every step is checked against.
struct Expected {
    len: usize,
    size: usize,
    space: Space,
}

/// Checks `raw` and moves it into `out`. The buffers are swapped, so that only the flags are copied.
fn accept(raw: &mut UncheckedTransition, out: &mut Transition, expected: &Expected) -> Result<(), String> {
    let len = expected.len;
    check_observations(&raw.observations, "observation", expected, len, |i| i)?;
    count("reward", raw.rewards.len(), len)?;
    if let Some(i) = first_not_finite(&raw.rewards) {
        return Err(format!("the reward of environment {i} is {}", raw.rewards[i]));
    }
    flags("terminated", &raw.terminated, &mut out.terminated, len)?;
    flags("truncated", &raw.truncated, &mut out.truncated, len)?;
    let ends = || out.terminated.iter().zip(&out.truncated).map(|(a, b)| a | b);
    if let Some(i) = out.terminated.iter().zip(&out.truncated).position(|(a, b)| *a && *b) {
        return Err(format!("environment {i} is both terminated and truncated; expected `terminated` only"));
    }
    if raw.faults.is_empty() {
        raw.faults.resize(len, 0);
    }
    flags("faults", &raw.faults, &mut out.faults, len)?;
    if let Some(i) = out.faults.iter().zip(&out.truncated).position(|(fault, cut)| *fault && !*cut) {
        return Err(format!(
            "environment {i} reports a fault but is not truncated; a fault ends the episode"
        ));
    }
    match raw.lives_lost.iter().all(|&lost| lost == NO_LIVES) {
        true => out.lives_lost.clear(),
        false => flags("lives_lost", &raw.lives_lost, &mut out.lives_lost, len)?,
    }
    let ended = ends().filter(|e| *e).count();
    check_observations(&raw.final_observations, "final observation", expected, ended, |row| {
        ends().enumerate().filter(|(_, end)| *end).nth(row).map_or(row, |(i, _)| i)
    })?;
    std::mem::swap(&mut raw.observations, &mut out.observations);
    std::mem::swap(&mut raw.final_observations, &mut out.final_observations);
    std::mem::swap(&mut raw.rewards, &mut out.rewards);
    Ok(())
}

fn check_observations(
    observations: &Observations,
    what: &str,
    expected: &Expected,
    rows: usize,
    environment: impl Fn(usize) -> usize,
) -> Result<(), String> {
    let Expected { size, space, .. } = expected;
    let expected = rows * size;
    if observations.len() != expected {
        let whose = if what == "observation" { "environments" } else { "ended episodes" };
        return Err(format!(
            "returned {} {what} values, expected {rows} {whose} × {size} = {expected}",
            observations.len()
        ));
    }
    match (observations, space) {
        (Observations::Byte(_), Space::Image { .. }) => Ok(()),
        (Observations::Float(values), Space::Box { .. }) => match first_not_finite(values) {
            None => Ok(()),
            Some(i) => Err(format!(
                "{what} {} of environment {} is {}",
                i % size,
                environment(i / size),
                if values[i].is_nan() { "NaN".into() } else { values[i].to_string() }
            )),
        },
        (Observations::Byte(_), _) => {
            Err(format!("returned bytes as {what}s, expected the numbers of {space}"))
        }
        (Observations::Float(_), _) => {
            Err(format!("returned numbers as {what}s, expected the bytes of {space}"))
        }
    }
}

fn count(what: &str, got: usize, expected: usize) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("returned {got} {what} values, expected {expected}")) }
}

fn flags(name: &str, raw: &[u8], out: &mut Vec<bool>, len: usize) -> Result<(), String> {
    count(name, raw.len(), len)?;
    if let Some(i) = raw.iter().position(|&flag| flag > 1) {
        return Err(format!("`{name}` of environment {i} is {}, expected 0 or 1", raw[i]));
    }
    out.clear();
    out.extend(raw.iter().map(|&flag| flag == 1));
    Ok(())
}

/// The position of the first NaN or infinity. If there is none, which is the common case, this is one branch-free pass.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    const EXPONENT: u32 = 0x7f80_0000;
    let bad = values.iter().fold(false, |bad, v| bad | (v.to_bits() & EXPONENT == EXPONENT));
    if bad { values.iter().position(|v| !v.is_finite()) } else { None }
}

fn check_frame(frame: Frame, mode: RenderMode) -> Result<Frame, String> {
    match (frame, mode) {
        (Frame::Rgb { width, height, pixels }, RenderMode::Rgb) => {
            if !(1..=LARGEST_SIDE).contains(&width) || !(1..=LARGEST_SIDE).contains(&height) {
                return Err(format!(
                    "drew {width} × {height} pixels, expected sides from 1 to {LARGEST_SIDE}"
                ));
            }
            let expected = 3 * width as usize * height as usize;
            count("pixel", pixels.len(), expected)?;
            Ok(Frame::Rgb { width, height, pixels })
        }
        (Frame::Text(text), RenderMode::Text) => Ok(Frame::Text(tame(&text, LONGEST_TEXT))),
        (Frame::Rgb { .. }, RenderMode::Text) => Err("drew pixels, expected text".into()),
        (Frame::Text(_), RenderMode::Rgb) => Err("drew text, expected pixels".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_value_that_is_not_finite() {
        let mut values = vec![0.5f32; 100];
        assert_eq!(first_not_finite(&values), None);
        values[70] = f32::NEG_INFINITY;
        values[64] = f32::NAN;
        assert_eq!(first_not_finite(&values), Some(64));
    }
}
