//! Implements the C contract, for a plugin that is a shared library or that is linked into the host.
mod entry;
mod environment;
mod learner;
mod objective;
pub(crate) mod tracing;

#[cfg(not(target_family = "wasm"))]
pub(crate) use entry::quietly;
pub use entry::{Chain, Described, remember};
pub use environment::{batch, environment};
pub use learner::learner;
pub use objective::objective;
