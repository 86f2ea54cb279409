//! Potstill distils a reinforcement-learning environment into a one-batch supervised dataset: any freshly
//! initialized agent that takes one gradient step on it plays the environment well.
//!
//! - [`engine`]: PPMO and k-shot evaluation, with its [`graph`] and what runs it ([`execute`]): a crate of its own.
//! - [`plugin`]: environments, learners and objectives: how they are found, loaded and checked.
//! - [`author`]: plugins started from templates, and built.
//! - [`run`]: the files: configuration, run directory, checkpoints, datasets, agents, pictures.
//! - [`distill`]: whole tasks.
//! - [`cli`]: the command line. Whatever the program prints passes through `terminal`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod author;
pub mod cli;
pub mod distill;
mod files;
mod key;
pub mod plugin;
pub mod run;
mod shell;
mod terminal;

pub use potstill_engine as engine;
pub use potstill_engine::{Error, Result, error, execute, graph};
