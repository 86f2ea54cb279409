//! Potstill distils a reinforcement-learning environment into a one-batch supervised dataset: any freshly
//! initialised agent that takes one gradient step on it plays the environment well.
//!
//! - [`graph`]: the differentiable graph that learners and objectives describe themselves in.
//! - [`execute`]: runs graphs on burn, on the CPU or CUDA.
//! - [`engine`]: PPMO and k-shot evaluation.
//! - [`plugin`]: environments, learners and objectives: how they are found, loaded and checked.
//! - [`author`]: plugins started from templates, and built.
//! - [`run`]: the files: configuration, run directory, checkpoints, datasets, agents, pictures.
//! - [`distil`]: whole tasks.
//! - [`cli`]: the command line.

pub mod author;
pub mod cli;
pub mod distil;
pub mod engine;
pub mod error;
pub mod execute;
pub mod graph;
pub mod plugin;
pub mod run;

pub use error::{Error, Result};
