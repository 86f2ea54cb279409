//! Loader: the C contract (`potstill.h`), in a shared library or linked into the program. Such code is trusted: it
//! runs with all rights of the process. What can be checked is; what is not, [`crate::plugin::check`] checks.
mod environment;
mod graph;
mod learner;
mod library;
mod objective;

pub(crate) use environment::NativeEnvironments;
pub(crate) use library::NativePlugin;
pub(crate) use objective::NativeObjective;
