//! The meta-learning engine of Potstill. Read [`ppmo`] first: it is Algorithm 1 of Wilhelm & Ventura 2025.
//!
//! The engine loads no plugin, stores no file and prints nothing. It sees environments, learners and meta-objectives as
//! traits, traces them into differentiable graphs, compiles these into plans and runs the plans on a device. It also
//! builds for `wasm32-unknown-unknown`.
//!
//! Roles that plugins play:
//! - [`environment`]: N copies of an environment, stepped by one call.
//! - [`learner`]: a network that is traced, and the distribution Λ it is drawn from; [`mixture`]: several distributions
//!   as one.
//! - [`objective`]: the inner rule, which teaches a learner from θ, and the outer loss, which scores the taught
//!   learner.
//!
//! Outer loops:
//! - [`ppmo`]: proximal policy meta-optimization, on rollouts.
//! - [`offline`]: objectives that learn from a fixed set of transitions, such as gradient matching.
//! - [`training`]: the steps that both share: drawing learners, teaching them and updating θ.
//! - [`evaluate`]: k-shot learning, the protocol of every score.
//! - [`baseline`]: what policies score that do not look.
//!
//! Their parts:
//! - [`wrappers`]: frame stack, action repeat, episodic life and time limit of any environment.
//! - [`student`]: a learner whose parameters are split into ξ and φ, and the sizes that programs share.
//! - [`programs`]: the graphs of a meta-epoch (teach, act, value, update), traced and compiled.
//! - [`inner`]: many inner steps: the plan of one step in a loop, and the gradient through that loop.
//! - [`policy`]: the action distribution that a learner's outputs parametrize.
//! - [`rollout`], [`advantage`], [`normalize`]: experience, advantages, running moments of observations and rewards.
//! - [`saved`]: the state of unfinished episodes as bytes.
//! - [`theta`]: the parameters that the outer loop trains, and how they are stored.
//! - [`optimizer`]: Adam and gradient descent, as part of the graph of an update.
//! - [`random`]: reproducible random streams.
//!
//! Below them:
//! - [`graph`]: the differentiable graph.
//! - [`execute`]: plans, which run graphs on the CPU or on CUDA with burn.
//! - [`error`]: the one error type.

pub mod advantage;
pub mod baseline;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod execute;
pub mod graph;
pub mod inner;
pub mod learner;
pub mod mixture;
pub mod normalize;
pub mod objective;
pub mod offline;
pub mod optimizer;
pub mod policy;
pub mod ppmo;
pub mod programs;
pub mod random;
pub mod rollout;
pub mod saved;
pub mod student;
pub mod theta;
pub mod training;
pub mod wrappers;

pub use error::{Error, Result};
