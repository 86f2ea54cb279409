//! Helpers that the engine's tests share.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]

pub mod array;
pub mod meta;
mod numbers;
mod plugins;
pub mod program;

pub use numbers::*;
pub use plugins::*;
