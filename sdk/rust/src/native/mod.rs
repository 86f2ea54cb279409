//! The same source without a sandbox: the C contract, for a shared library or for a host that links the crate.
mod entry;
mod environment;
mod learner;
mod objective;
pub(crate) mod tracing;

#[cfg(not(target_family = "wasm"))]
pub(crate) use entry::quietly;
pub use entry::{Chain, Described, remember};
pub use environment::environment;
pub use learner::learner;
pub use objective::objective;
