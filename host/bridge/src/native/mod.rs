//! The C contract (`potstill.h`), in a shared library that was opened or in code that is linked. This code is trusted and
//! runs with all the rights of the process. Its answers are checked here and in [`check`](crate::check).
mod environment;
mod graph;
mod learner;
mod objective;
mod plugin;

pub use environment::NativeEnvironments;
pub use objective::NativeObjective;
pub use plugin::{HostTable, NativePlugin};
