//! The host's state for one instance: its limits, its log, and the functions that it may import.
use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::contract::{graph, log, network, types};
use crate::plugin::text::{LONGEST_MESSAGE, tame};
use crate::plugin::{Limits, trace};

/// Why the host refused a plugin's call of an import. It is the cause of the trap that follows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// The severity of a plugin's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A message for the plugin's author.
    Debug,
    /// A message worth knowing.
    Info,
    /// A warning: something is wrong.
    Warn,
    /// The plugin is about to fail.
    Error,
}

/// Receives a plugin's messages: the plugin's id, the level, and the text, shortened and without control characters.
pub type LogSink = Arc<dyn Fn(&str, LogLevel, &str) + Send + Sync>;

/// The most messages that one call may log. The rest is dropped, so that a plugin cannot flood the terminal.
const MESSAGES_PER_CALL: u32 = 20;

/// The host's state for one instance.
pub(crate) struct State {
    pub(super) plugin: String,
    pub(super) limits: Limits,
    /// The last error that it logged in this call, which explains a trap that follows.
    pub(super) last_words: Option<String>,
    /// Whether it requested more memory than its limit in this call.
    pub(super) memory_refused: bool,
    messages: u32,
    memory: usize,
    table_elements: usize,
    log: LogSink,
}

impl State {
    pub(super) fn new(plugin: &str, limits: Limits, log: LogSink) -> Self {
        State {
            plugin: plugin.to_owned(),
            limits,
            last_words: None,
            memory_refused: false,
            messages: 0,
            memory: 0,
            table_elements: 0,
            log,
        }
    }

    /// Resets what belongs to the previous call.
    pub(super) fn begin_call(&mut self) {
        self.last_words = None;
        self.memory_refused = false;
        self.messages = 0;
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let message = tame(&message, LONGEST_MESSAGE);
        self.messages += 1;
        if self.messages <= MESSAGES_PER_CALL && level != LogLevel::Error {
            (self.log)(&self.plugin, level, &message);
        }
        if level == LogLevel::Error {
            // The user sees it as the cause of the error that follows.
            self.last_words = Some(message);
        }
    }
}

/// A tensor's number, or a trap after an error.
fn made(tensor: u32) -> wasmtime::Result<u32> {
    if tensor == 0 { Err(Refused(trace::mistake()).into()) } else { Ok(tensor) }
}

impl graph::Host for State {
    fn operation(
        &mut self,
        op: u32,
        inputs: Vec<u32>,
        integers: Vec<i64>,
        numbers: Vec<f64>,
    ) -> wasmtime::Result<u32> {
        made(trace::operation(op, &inputs, &integers, &numbers))
    }

    fn at(&mut self, file: String, line: u32) -> wasmtime::Result<()> {
        trace::at(Some(tame(&format!("{file}:{line}"), LONGEST_MESSAGE)));
        Ok(())
    }

    fn shape(&mut self, tensor: u32) -> wasmtime::Result<Vec<u32>> {
        let shape = trace::shape(tensor).ok_or_else(|| Refused(trace::mistake()))?;
        Ok(shape.into_iter().map(|d| u32::try_from(d).unwrap_or(u32::MAX)).collect())
    }

    fn gradients(&mut self, loss: u32, wrt: Vec<u32>) -> wasmtime::Result<Vec<u32>> {
        trace::gradients(loss, &wrt).into_iter().map(made).collect()
    }
}

impl network::Host for State {
    fn apply(&mut self, parameters: Vec<u32>, observations: u32) -> wasmtime::Result<u32> {
        made(trace::network_apply(&parameters, observations))
    }

    fn log_probability(&mut self, outputs: u32, actions: u32) -> wasmtime::Result<u32> {
        made(trace::network_log_probability(outputs, actions))
    }

    fn entropy(&mut self, outputs: u32) -> wasmtime::Result<u32> {
        made(trace::network_entropy(outputs))
    }

    fn divergence(&mut self, p: u32, q: u32) -> wasmtime::Result<u32> {
        made(trace::network_divergence(p, q))
    }
}

/// The most elements in all of an instance's tables.
const MOST_TABLE_ELEMENTS: usize = 1 << 20;

// wasmtime's own StoreLimits bounds each memory separately, and does not report that it refused one.
impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        if memory > (self.limits.memory_mib as usize) << 20 || maximum.is_some_and(|m| desired > m) {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > MOST_TABLE_ELEMENTS {
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        10
    }
}
