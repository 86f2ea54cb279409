//! Gymnasium's MuJoCo environments, v4 and v5, by the user's own MuJoCo: the library is loaded from where the user has
//! it, and so are Gymnasium's models. Nothing of either is part of this plugin.

mod environment;
mod layout;
mod library;
mod locate;
mod numpy;
mod simulation;
mod tasks;
#[cfg(test)]
mod tests;

pub use environment::Mujoco;
pub use tasks::{
    Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Reacher, Walker2d,
};

#[cfg(feature = "hopper")]
potstill_sdk::export_environment!(Mujoco<Hopper<4>>);
#[cfg(feature = "half_cheetah")]
potstill_sdk::export_environment!(Mujoco<HalfCheetah<4>>);
#[cfg(feature = "walker2d")]
potstill_sdk::export_environment!(Mujoco<Walker2d<4>>);
#[cfg(feature = "inverted_double_pendulum")]
potstill_sdk::export_environment!(Mujoco<InvertedDoublePendulum<4>>);
#[cfg(feature = "reacher")]
potstill_sdk::export_environment!(Mujoco<Reacher<4>>);
