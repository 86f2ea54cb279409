//! The C contract (`potstill.h`), called in this process: by a shared library that was opened, or by code that is linked.
//! Such code is trusted, because it runs with all rights of the process. What can be checked is checked, here or in
//! [`check`](crate::check).
mod environment;
mod graph;
mod learner;
mod objective;
mod plugin;

pub use environment::NativeEnvironments;
pub use objective::NativeObjective;
pub use plugin::{HostTable, NativePlugin};
