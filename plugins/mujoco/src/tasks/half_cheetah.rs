//! Gymnasium's HalfCheetah.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::options::{exclude_positions, frame_skip, frames, noise, number};
use super::{add_normal, add_uniform, control_cost};
use crate::environment::{Judgment, Task};
use crate::picture::View;
use crate::simulation::{Model, Simulation};

/// A planar cheetah that is rewarded for running forward.
pub struct HalfCheetah<const V: u8> {
    forward_reward_weight: f64,
    ctrl_cost_weight: f64,
    reset_noise_scale: f64,
    exclude_positions: bool,
    frames: usize,
}

impl<const V: u8> Task for HalfCheetah<V> {
    const ID: &'static str = if V == 4 { "mujoco/half-cheetah-v4" } else { "mujoco/half-cheetah-v5" };
    const SUMMARY: &'static str = "A cheetah of two legs runs forward in a plane; Gymnasium's HalfCheetah.";
    const MODEL: &'static str = "half_cheetah.xml";
    const SIZES: [usize; 3] = [9, 9, 6];
    const VIEW: View = View::side(4.0, 0.9, true);
    const REWARD_THRESHOLD: Option<f32> = Some(4800.0);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![
            number("forward-reward-weight", 1.0, "Weight of the speed forward in the reward."),
            number("ctrl-cost-weight", 0.1, "Weight of the squared action in the cost."),
            noise(0.1),
            exclude_positions(),
        ];
        all.extend(frame_skip::<V>(5));
        all
    }

    fn new(options: &Options, _: &Model) -> Result<Self, String> {
        Ok(HalfCheetah {
            forward_reward_weight: options.number("forward-reward-weight")?,
            ctrl_cost_weight: options.number("ctrl-cost-weight")?,
            reset_noise_scale: options.number("reset-noise-scale")?,
            exclude_positions: options.boolean("exclude-current-positions-from-observation")?,
            frames: frames::<V>(options, 5)?,
        })
    }

    fn frames(&self) -> usize {
        self.frames
    }

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, qpos);
        add_normal(rng, self.reset_noise_scale, qvel);
    }

    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>) {
        observation.extend(&simulation.qpos()[usize::from(self.exclude_positions)..]);
        observation.extend(simulation.qvel());
    }

    fn mark(&self, simulation: &Simulation) -> f64 {
        simulation.qpos()[0]
    }

    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, seconds: f64) -> Judgment {
        let velocity = (self.mark(simulation) - before) / seconds;
        let reward = self.forward_reward_weight * velocity - control_cost(self.ctrl_cost_weight, action);
        Judgment { reward, terminated: false }
    }
}
