//! Whole tasks, which combine a configuration, the plugins it names, the engine and the files. The command line calls
//! these, and so can any other program.
//!
//! - `baseline`: plays policies that do not look, for comparison.
//! - `collect`: collects transitions for objectives that learn from offline data.
//! - `setup`: resolves a configuration against the plugins.
//! - `distillation`: runs a distillation from the first meta-epoch to the scored dataset. It can be interrupted and
//!   resumed.
//! - `device`: chooses the device that a run computes on.
//! - `fit`: refuses what does not fit this machine's memory.
//! - `normalizer`: estimates the moments of observations for a dataset that lacks them.
//! - `observe`: hides a part of the observations of an environment.
//! - `teach`: uses a dataset, to score it or to train an agent.

mod baseline;
mod collect;
mod device;
mod distillation;
mod fit;
mod normalizer;
mod observe;
mod setup;
mod teach;

pub use baseline::{Baselining, Effort, leave_baselines};
pub use collect::{Actor, Manner};
pub use distillation::{Changed, Distillation, Outcome, Prepared, Progress};
pub(crate) use setup::learners;
pub use setup::{Setup, directly};
pub use teach::{Agent, Teacher};
