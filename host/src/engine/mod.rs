//! The meta-learning engine. [`ppmo`] is Algorithm 1; read it first.
//!
//! - `learner`, `objective`: the two roles that plugins play here; `mixture`: several distributions of learners as one.
//! - `policy`: what a learner's outputs mean.
//! - `programs`: the graphs of one meta-epoch (teach, act, judge, update), traced and compiled.
//! - `training`: what is trained, learners drawn and taught, one update: what every outer loop does.
//! - `offline`: the outer loop of objectives that learn from a fixed set of transitions.
//! - `optimiser`: Adam and gradient descent, as part of the update's graph.
//! - `rollout`, `advantage`: experience and what was good about it.
//! - `normalize`: running moments of observations and rewards.
//! - `evaluate`: k-shot learning, the protocol of every score.
//! - `random`: reproducible random streams.

pub mod advantage;
pub mod evaluate;
pub mod learner;
pub mod mixture;
pub mod normalize;
pub mod objective;
pub mod offline;
pub mod optimiser;
pub mod policy;
pub mod ppmo;
pub mod programs;
pub mod random;
pub mod rollout;
pub mod training;
