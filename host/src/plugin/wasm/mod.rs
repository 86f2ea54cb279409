//! The loader of sandboxed WebAssembly components.
//!
//! A plugin gets linear memory, the `log` import and, for learners and objectives, the graph. It gets nothing else: no
//! WASI, no threads, no clock. [`Limits`](super::Limits) bounds its resources: a limiter on the store bounds memory, an
//! epoch that a thread of the engine advances bounds time, a small stack bounds the depth of calls, and fuel for lifted
//! bytes bounds the size of an answer. NaNs are not canonicalized, which would halve the speed of a simulator; the host's
//! checks refuse values that are not finite.
//!
//! After a trap an instance is dead, because its memory may be half-written. A new one starts clean.

mod cache;
mod compile;
mod contract;
mod encode;
mod environment;
mod learner;
mod objective;
mod objective_exports;
mod program;
mod sandbox;
mod state;
mod structure;
mod workers;

pub(crate) use cache::hex;
#[cfg(unix)]
pub(crate) use compile::apart;
pub use compile::compile_apart;
pub(crate) use contract::types::Description as Identity;
pub(crate) use encode::encode;
pub(crate) use environment::EnvironmentWorld;
pub(crate) use learner::{LearnerWorld, WasmLearners};
pub(crate) use objective::{ObjectiveWorld, WasmObjective};
pub(crate) use program::{Program, World};
pub(crate) use sandbox::{Sandbox, role_of};
pub use state::{LogLevel, LogSink};
