//! Gymnasium's Reacher.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::add_uniform;
use super::options::{frame_skip, frames, number};
use crate::environment::{Judgment, Task};
use crate::numpy::sum_of_squares;
use crate::picture::View;
use crate::renderer::Camera;
use crate::simulation::{Model, Simulation};

/// An arm of two links that is rewarded for reaching a target.
pub struct Reacher<const V: u8> {
    fingertip: usize,
    target: usize,
    reward_dist_weight: f64,
    reward_control_weight: f64,
    frames: usize,
}

impl<const V: u8> Reacher<V> {
    fn way(&self, simulation: &Simulation) -> [f64; 3] {
        let (from, to) = (simulation.xpos()[self.target], simulation.xpos()[self.fingertip]);
        std::array::from_fn(|i| to[i] - from[i])
    }
}

impl<const V: u8> Task for Reacher<V> {
    const ID: &'static str = if V == 4 { "mujoco/reacher-v4" } else { "mujoco/reacher-v5" };
    const SUMMARY: &'static str = "An arm of two links reaches for a target; Gymnasium's Reacher.";
    const MODEL: &'static str = "reacher.xml";
    const SIZES: [usize; 3] = [4, 4, 2];
    const VIEW: View = View::top(0.9);
    const CAMERA: Camera = Camera::Free { distance: None, lookat: None };
    const MAX_EPISODE_STEPS: u32 = 50;
    const REWARD_THRESHOLD: Option<f32> = Some(-3.75);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![];
        if V >= 5 {
            all.push(number("reward-dist-weight", 1.0, "Weight of the distance to the target."));
            all.push(number("reward-control-weight", 1.0, "Weight of the squared action."));
        }
        all.extend(frame_skip::<V>(2));
        all
    }

    fn new(options: &Options, model: &Model) -> Result<Self, String> {
        let (reward_dist_weight, reward_control_weight) = match V {
            4 => (1.0, 1.0),
            _ => (options.number("reward-dist-weight")?, options.number("reward-control-weight")?),
        };
        Ok(Reacher {
            fingertip: model.body(c"fingertip")?,
            target: model.body(c"target")?,
            reward_dist_weight,
            reward_control_weight,
            frames: frames::<V>(options, 2)?,
        })
    }

    fn frames(&self) -> usize {
        self.frames
    }

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        let arm = qpos.len() - 2;
        add_uniform(rng, 0.1, &mut qpos[..arm]);
        let goal = loop {
            let goal: [f64; 2] = std::array::from_fn(|_| rng.uniform_in(-0.2, 0.2));
            if (goal[0] * goal[0] + goal[1] * goal[1]).sqrt() < 0.2 {
                break goal;
            }
        };
        qpos[arm..].copy_from_slice(&goal);
        add_uniform(rng, 0.005, &mut qvel[..arm]);
        qvel[arm..].fill(0.0);
    }

    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>) {
        let (angles, target) = simulation.qpos().split_at(2);
        observation.extend(angles.iter().map(|angle| angle.cos()));
        observation.extend(angles.iter().map(|angle| angle.sin()));
        observation.extend(target);
        observation.extend(&simulation.qvel()[..2]);
        // The difference in height is always 0; v5 leaves it out.
        observation.extend(&self.way(simulation)[..if V == 4 { 3 } else { 2 }]);
    }

    /// v4 rewards the distance before the step.
    fn mark(&self, simulation: &Simulation) -> f64 {
        let [x, y, z] = self.way(simulation);
        (x * x + y * y + z * z).sqrt()
    }

    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, _: f64) -> Judgment {
        let distance = if V == 4 { before } else { self.mark(simulation) };
        let control = -sum_of_squares(action) * self.reward_control_weight as f32;
        Judgment { reward: -distance * self.reward_dist_weight + f64::from(control), terminated: false }
    }
}
