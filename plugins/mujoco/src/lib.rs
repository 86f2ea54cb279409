//! Gymnasium's MuJoCo environments, v4 and v5, on the user's own MuJoCo. The plugin loads MuJoCo's library and Gymnasium's
//! models from where the user has installed them, and contains nothing of either.

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

// v4 comes before v5, so that a name without a version means v4.
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
