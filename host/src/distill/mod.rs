//! Whole tasks: a configuration, the plugins it names, the engine and the files, brought together. What the
//! command line does, a program can do with these.
//!
//! - `collect`: transitions for objectives that learn from offline data.
//! - `setup`: a configuration resolved against the plugins.
//! - `distillation`: the run, from the first meta-epoch to the scored dataset, interruptible and resumable.
//! - `observe`: an environment of which learners see a part.
//! - `teach`: what a dataset is for: scores, and trained agents.

mod collect;
mod distillation;
mod observe;
mod setup;
mod teach;

pub use collect::Actor;
pub use distillation::{Distillation, Outcome, Prepared, Progress};
pub(crate) use setup::learners;
pub use setup::{Setup, directly};
pub use teach::{Agent, Teacher};
