//! Potstill's host.
pub mod builtin;
pub mod engine;
pub mod error;
pub mod execute;
pub mod graph;
pub mod plugin;

pub use error::{Error, Result};
