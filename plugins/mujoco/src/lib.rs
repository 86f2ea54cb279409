//! Gymnasium's MuJoCo environments, v4 and v5, by the user's own MuJoCo: the library is loaded from where the user has
//! it, and so are Gymnasium's models. Nothing of either is part of this plugin.

mod egl;
mod environment;
mod layout;
mod library;
mod locate;
mod numpy;
mod painter;
mod picture;
mod renderer;
mod simulation;
mod tasks;
#[cfg(test)]
mod tests;

pub use environment::Mujoco;
pub use tasks::{
    Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Reacher, Walker2d,
};

// v4 before v5: it is what a name without version means.
potstill_sdk::export_environments!(
    Mujoco<Ant<4>>,
    Mujoco<HalfCheetah<4>>,
    Mujoco<Hopper<4>>,
    Mujoco<Humanoid<4>>,
    Mujoco<HumanoidStandup<4>>,
    Mujoco<InvertedDoublePendulum<4>>,
    Mujoco<Reacher<4>>,
    Mujoco<Walker2d<4>>,
    Mujoco<Ant<5>>,
    Mujoco<HalfCheetah<5>>,
    Mujoco<Hopper<5>>,
    Mujoco<Humanoid<5>>,
    Mujoco<HumanoidStandup<5>>,
    Mujoco<InvertedDoublePendulum<5>>,
    Mujoco<Reacher<5>>,
    Mujoco<Walker2d<5>>,
);
