//! Helpers that the tests of learners share: those of the engine, and the program's plugins.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]

#[path = "../../engine/tests/common/meta.rs"]
pub mod meta;
#[path = "../../engine/tests/common/numbers.rs"]
mod numbers;

pub use numbers::*;
use potstill::plugin::Registry;

/// Returns a registry of the program's own plugins.
pub fn registry() -> Registry {
    Registry::of(&[], &[]).unwrap()
}

/// Converts options from the form in which a user writes them.
pub fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
