//! Atari games as reinforcement-learning environments, on the Arcade Learning Environment. The plugin contains its core, compiled
//! from the sources that the user's pip fetched; the games are read from the user's own copy of `ale_py`.

mod environment;
mod frame;
mod machine;
mod roms;
mod starts;
#[cfg(test)]
mod tests;

// The core is linked with it.
use libz_sys as _;

pub use environment::Atari;

/// A game as an environment.
pub(crate) struct Game {
    /// The name of its file, without `.bin`.
    pub(crate) rom: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    /// Whether actions are repeated at random, as in Gymnasium's `-v5`.
    pub(crate) sticky: bool,
}

include!(concat!(env!("OUT_DIR"), "/games.rs"));
