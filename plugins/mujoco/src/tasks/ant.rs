//! Gymnasium's Ant.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::options::{
    Health, boolean, exclude_positions, frame_skip, frames, noise, number, range, read_range,
};
use super::{add_normal, add_uniform, control_cost};
use crate::environment::{Judgment, Task};
use crate::numpy::sum_of_squares;
use crate::picture::View;
use crate::simulation::{Model, Simulation};

/// A four-legged ant that is rewarded for moving forward.
pub struct Ant<const V: u8> {
    torso: usize,
    forward_reward_weight: f64,
    ctrl_cost_weight: f64,
    contact_cost_weight: f64,
    health: Health,
    healthy_z: [f64; 2],
    contact_force: [f64; 2],
    reset_noise_scale: f64,
    exclude_positions: bool,
    /// Whether contact forces are observed, and in v4 also whether they cost.
    contact_forces: bool,
    frames: usize,
}

impl<const V: u8> Ant<V> {
    const CONTACTS: &'static str =
        if V == 4 { "use-contact-forces" } else { "include-cfrc-ext-in-observation" };

    fn forces(&self, simulation: &Simulation) -> Vec<f64> {
        let [low, high] = self.contact_force;
        // Not `clamp`, which panics if the user's limits are in the wrong order; NumPy returns the upper one.
        simulation.cfrc_ext().as_flattened().iter().map(|force| force.max(low).min(high)).collect()
    }
}

impl<const V: u8> Task for Ant<V> {
    const ID: &'static str = if V == 4 { "mujoco/ant-v4" } else { "mujoco/ant-v5" };
    const SUMMARY: &'static str = "Four legs with eight joints walk forward; Gymnasium's Ant.";
    const MODEL: &'static str = "ant.xml";
    const SIZES: [usize; 3] = [15, 14, 8];
    const VIEW: View = View::oblique(4.0, 0.6);
    const REWARD_THRESHOLD: Option<f32> = Some(6000.0);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![];
        if V >= 5 {
            all.push(number("forward-reward-weight", 1.0, "Weight of the speed forward in the reward."));
        }
        all.push(number("ctrl-cost-weight", 0.5, "Weight of the squared action in the cost."));
        all.push(number("contact-cost-weight", 5e-4, "Weight of the squared contact forces in the cost."));
        all.extend(Health::options(1.0));
        all.extend(range("healthy-z", [0.2, 1.0], "height of a healthy body, in m"));
        all.extend(range("contact-force", [-1.0, 1.0], "contact force, beyond which it is clipped"));
        all.extend([noise(0.1), exclude_positions()]);
        all.push(match V {
            4 => boolean(Self::CONTACTS, false, "Observe the contact forces and count their cost."),
            _ => boolean(Self::CONTACTS, true, "Observe the contact forces."),
        });
        all.extend(frame_skip::<V>(5));
        all
    }

    fn new(options: &Options, model: &Model) -> Result<Self, String> {
        Ok(Ant {
            torso: model.body(c"torso")?,
            forward_reward_weight: if V == 4 { 1.0 } else { options.number("forward-reward-weight")? },
            ctrl_cost_weight: options.number("ctrl-cost-weight")?,
            contact_cost_weight: options.number("contact-cost-weight")?,
            health: Health::new(options)?,
            healthy_z: read_range(options, "healthy-z")?,
            contact_force: read_range(options, "contact-force")?,
            reset_noise_scale: options.number("reset-noise-scale")?,
            exclude_positions: options.boolean("exclude-current-positions-from-observation")?,
            contact_forces: options.boolean(Self::CONTACTS)?,
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
        observation.extend(&simulation.qpos()[if self.exclude_positions { 2 } else { 0 }..]);
        observation.extend(simulation.qvel());
        if self.contact_forces {
            // The first six, on the world, are always 0; v5 leaves them out.
            observation.extend(&self.forces(simulation)[if V == 4 { 0 } else { 6 }..]);
        }
    }

    fn mark(&self, simulation: &Simulation) -> f64 {
        simulation.xpos()[self.torso][0]
    }

    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, seconds: f64) -> Judgment {
        let z = simulation.qpos()[2];
        let healthy = self.healthy_z[0] <= z
            && z <= self.healthy_z[1]
            && simulation.qpos().iter().chain(simulation.qvel()).all(|value| value.is_finite());
        let velocity = (self.mark(simulation) - before) / seconds;
        let rewards = velocity * self.forward_reward_weight + self.health.reward::<V>(healthy);
        let mut costs = control_cost(self.ctrl_cost_weight, action);
        if V >= 5 || self.contact_forces {
            costs += self.contact_cost_weight * sum_of_squares(&self.forces(simulation));
        }
        Judgment { reward: rewards - costs, terminated: self.health.terminated(healthy) }
    }
}
