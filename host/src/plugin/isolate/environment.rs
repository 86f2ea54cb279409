//! Environments in a separate process.
use potstill_plugin_api::{EnvironmentSpec, Frame, OptionValue, Space};

use super::memory::{Layout, Memory, Part, RESET, STEP};
use super::message::{Picture, Request};
use super::process::{IsolatedPlugin, Process};
use crate::engine::environment::{Actions, Observations, RenderMode};
use crate::plugin::check::{FailedCall, Failure, RawEnvironments, UncheckedTransition};
use crate::plugin::limits::TimeLimit;

/// N environments in a separate process.
pub(crate) struct IsolatedEnvironments {
    process: Process,
    layout: Layout,
    bytes: bool,
    /// Mapped on first use, after the specification has been checked.
    memory: Option<Memory>,
}

impl IsolatedEnvironments {
    /// Makes `len` environments.
    ///
    /// # Errors
    /// The plugin refused or failed, or its process ended.
    pub(crate) fn make(
        plugin: IsolatedPlugin,
        len: usize,
        settings: &[(String, OptionValue)],
    ) -> Result<(Self, EnvironmentSpec), FailedCall> {
        let mut process = plugin.process;
        let request = Request::MakeEnvironments { copies: len, settings: settings.to_vec() };
        let (spec, _) = process.plain::<EnvironmentSpec>("make", TimeLimit::Start, (&request, &[]))?;
        // The size of an invalid space could overflow. `check` refuses such a space next.
        let size = |space: &Space| space.validate().map_or(0, |()| space.size().max(1));
        let bytes = matches!(spec.observation, Space::Image { .. });
        let scalar = if bytes { 1 } else { size_of::<f32>() };
        let layout = Layout {
            copies: len,
            input: len * (size(&spec.action) * size_of::<f32>()).max(size_of::<u64>()),
            observation: size(&spec.observation) * scalar,
        };
        Ok((IsolatedEnvironments { process, layout, bytes, memory: None }, spec))
    }

    /// Runs `reset` or `step` with `input`.
    fn exchange<T: bytemuck::Pod>(&mut self, what: u32, input: &[T]) -> Result<&Memory, Failure> {
        let memory = match self.memory.take() {
            Some(memory) => memory,
            None => self.process.share(self.layout)?,
        };
        memory.write(Part::Input, input);
        let done = self.process.exchange(&memory, what);
        let memory = self.memory.insert(memory);
        done.map(|()| &*memory)
    }

    /// Reads the first `rows` observations of a part.
    fn observations(&self, part: Part, rows: usize, out: &mut Observations) {
        let Some(memory) = &self.memory else { return };
        match out {
            Observations::Byte(values) if self.bytes => {
                memory.read(part, rows * self.layout.observation, values);
            }
            Observations::Float(values) if !self.bytes => {
                memory.read(part, rows * self.layout.observation / size_of::<f32>(), values);
            }
            other => {
                *other = if self.bytes { Observations::Byte(vec![]) } else { Observations::Float(vec![]) };
                self.observations(part, rows, other);
            }
        }
    }
}

impl RawEnvironments for IsolatedEnvironments {
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure> {
        self.exchange(RESET, seeds)?;
        let mut observations = Observations::Float(vec![]);
        self.observations(Part::Observations, self.layout.copies, &mut observations);
        Ok(observations)
    }

    fn step(&mut self, actions: &Actions, out: &mut UncheckedTransition) -> Result<(), Failure> {
        let copies = self.layout.copies;
        let memory = match actions {
            Actions::Discrete(values) => self.exchange(STEP, values)?,
            Actions::Continuous(values) => self.exchange(STEP, values)?,
        };
        memory.read(Part::Rewards, copies, &mut out.rewards);
        memory.read(Part::Terminated, copies, &mut out.terminated);
        memory.read(Part::Truncated, copies, &mut out.truncated);
        memory.read(Part::Faults, copies, &mut out.faults);
        memory.read(Part::LivesLost, copies, &mut out.lives_lost);
        let ended = out.terminated.iter().zip(&out.truncated).filter(|&(&a, &b)| a != 0 || b != 0).count();
        self.observations(Part::Observations, copies, &mut out.observations);
        self.observations(Part::FinalObservations, ended, &mut out.final_observations);
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, Failure> {
        let request = Request::Render { index, text: mode == RenderMode::Text };
        let drawn = self.process.plain("render", TimeLimit::Step, (&request, &[]));
        Ok(match drawn.map_err(|fault| fault.failure)? {
            (Picture::Rgb { width, height }, pixels) => Frame::Rgb { width, height, pixels },
            (Picture::Text(text), _) => Frame::Text(text),
        })
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let taken = self.process.plain("snapshot", TimeLimit::Step, (&Request::Snapshot, &[]));
        let (is_some, bytes) = taken.map_err(|fault| fault.failure)?;
        Ok(if is_some { Some(bytes) } else { None })
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let done = self.process.plain::<()>("restore", TimeLimit::Step, (&Request::Restore, state));
        done.map(|_| ()).map_err(|fault| fault.failure)
    }
}
