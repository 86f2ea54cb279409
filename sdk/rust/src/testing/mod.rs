//! What the host does with a plugin, without the host: for its author's tests.
//!
//! [`Copies`] plays an environment. [`trace_learner`] and [`trace_objective`] trace what a learner or an objective
//! describes and check every shape where it arises; what numbers come out, only the host knows.
mod copies;
mod shapes;
mod tracer;

pub use copies::Copies;
pub use tracer::{TracedLearner, TracedObjective, trace_learner, trace_objective};
