//! Any environment of the user's own Gymnasium, in Python processes that this plugin starts: one per core, each of which steps
//! its share of the copies. Observations, actions and rewards are in shared memory.
// Workers end with this process by means that other systems lack.
#![cfg(unix)]

mod catalog;
mod copies;
mod crew;
mod environment;
mod shared;
#[cfg(test)]
mod tests;
mod worker;

pub use environment::{Gymnasium, Known, Make};
