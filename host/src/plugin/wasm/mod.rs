//! The loader of sandboxed WebAssembly components.
//!
//! A plugin gets linear memory, the `log` import, for learners and objectives the graph, and nothing else: no WASI, no threads, no clock. What it may take is
//! bounded by [`Limits`](super::Limits): memory by a limiter on the store, time by an epoch that a thread of the
//! engine advances, calls by a small stack, and what an answer may carry by a fuel on lifted bytes. NaN is not made
//! canonical, which would halve the speed of a simulator: no value that is not finite passes the host's checks.
//!
//! After a trap the instance is dead, as its memory may be half-written; a new one starts clean.

mod cache;
mod contract;
mod encode;
mod engine;
mod environment;
mod learner;
mod objective;
mod objective_exports;
mod program;
mod state;

pub(crate) use cache::hex;
pub(crate) use contract::types::Description;
pub(crate) use encode::encode;
pub(crate) use engine::{Sandbox, role_of};
pub(crate) use environment::EnvironmentWorld;
pub(crate) use learner::{LearnerWorld, WasmLearners};
pub(crate) use objective::{ObjectiveWorld, WasmObjective};
pub(crate) use program::{Program, World};
pub use state::{LogLevel, LogSink};
