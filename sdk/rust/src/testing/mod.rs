//! Test helpers for plugin authors, which drive a plugin as the host would.
//!
//! [`Copies`] runs copies of an environment, and [`assert_provides`] compares a library of several with its manifest. [`trace_learner`] and [`trace_objective`] trace the graph of a learner or an
//! objective and check the shape of every operation. They do not compute values: only the host does.
mod copies;
mod provided;
mod shapes;
mod tracer;

pub use copies::{Copies, options};
pub use provided::assert_provides;
pub use tracer::{TracedLearner, TracedObjective, trace_learner, trace_objective};
