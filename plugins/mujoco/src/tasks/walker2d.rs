//! Gymnasium's Walker2d.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::options::{
    Health, exclude_positions, frame_skip, frames, noise, number, range, read_range, within,
};
use super::{add_uniform, clipped, control_cost};
use crate::environment::{Judgment, Task};
use crate::picture::View;
use crate::simulation::{Model, Simulation};

/// A two-legged walker that is rewarded for moving forward.
pub struct Walker2d<const V: u8> {
    forward_reward_weight: f64,
    ctrl_cost_weight: f64,
    health: Health,
    healthy_z: [f64; 2],
    healthy_angle: [f64; 2],
    reset_noise_scale: f64,
    exclude_positions: bool,
    frames: usize,
}

impl<const V: u8> Task for Walker2d<V> {
    const ID: &'static str = if V == 4 { "mujoco/walker2d-v4" } else { "mujoco/walker2d-v5" };
    const SUMMARY: &'static str = "Two legs with six joints walk forward in a plane; Gymnasium's Walker2d.";
    // v5 corrects the friction of a foot.
    const MODEL: &'static str = if V == 4 { "walker2d.xml" } else { "walker2d_v5.xml" };
    const SIZES: [usize; 3] = [9, 9, 6];
    const VIEW: View = View::side(3.6, 1.0, true);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![
            number("forward-reward-weight", 1.0, "Weight of the speed forward in the reward."),
            number("ctrl-cost-weight", 1e-3, "Weight of the squared action in the cost."),
        ];
        all.extend(Health::options(1.0));
        all.extend(range("healthy-z", [0.8, 2.0], "height of a healthy body, in m"));
        all.extend(range("healthy-angle", [-1.0, 1.0], "angle of a healthy body, in rad"));
        all.extend([noise(5e-3), exclude_positions()]);
        all.extend(frame_skip::<V>(4));
        all
    }

    fn new(options: &Options, _: &Model) -> Result<Self, String> {
        Ok(Walker2d {
            forward_reward_weight: options.number("forward-reward-weight")?,
            ctrl_cost_weight: options.number("ctrl-cost-weight")?,
            health: Health::new(options)?,
            healthy_z: read_range(options, "healthy-z")?,
            healthy_angle: read_range(options, "healthy-angle")?,
            reset_noise_scale: options.number("reset-noise-scale")?,
            exclude_positions: options.boolean("exclude-current-positions-from-observation")?,
            frames: frames::<V>(options, 4)?,
        })
    }

    fn frames(&self) -> usize {
        self.frames
    }

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, qpos);
        add_uniform(rng, self.reset_noise_scale, qvel);
    }

    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>) {
        observation.extend(&simulation.qpos()[usize::from(self.exclude_positions)..]);
        observation.extend(clipped(simulation.qvel()));
    }

    fn mark(&self, simulation: &Simulation) -> f64 {
        simulation.qpos()[0]
    }

    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, seconds: f64) -> Judgment {
        let qpos = simulation.qpos();
        let healthy = within(self.healthy_z, qpos[1]) && within(self.healthy_angle, qpos[2]);
        let velocity = (self.mark(simulation) - before) / seconds;
        let rewards = self.forward_reward_weight * velocity + self.health.reward::<V>(healthy);
        Judgment {
            reward: rewards - control_cost(self.ctrl_cost_weight, action),
            terminated: self.health.terminated(healthy),
        }
    }
}
