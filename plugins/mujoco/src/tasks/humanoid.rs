//! Gymnasium's Humanoid, and the observation that both humanoids share.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::add_uniform;
use super::options::{
    Health, boolean, exclude_positions, frame_skip, frames, noise, number, range, read_range, within,
};
use crate::environment::{Judgment, Task};
use crate::numpy::{sum, sum_of_squares};
use crate::picture::View;
use crate::simulation::{Model, Simulation};

/// The observation of both humanoids, which includes much of what MuJoCo computes.
pub(super) struct Senses<const V: u8> {
    exclude_positions: bool,
    cinert: bool,
    cvel: bool,
    qfrc_actuator: bool,
    cfrc_ext: bool,
}

impl<const V: u8> Senses<V> {
    pub(super) fn options() -> Vec<OptionSchema> {
        if V < 5 {
            return vec![];
        }
        let include = |name: &str, what: &str| {
            boolean(&format!("include-{name}-in-observation"), true, &format!("Observe {what}."))
        };
        vec![
            include("cinert", "the bodies' inertia about the center of mass"),
            include("cvel", "the bodies' velocities about the center of mass"),
            include("qfrc-actuator", "the forces of the actuators"),
            include("cfrc-ext", "the forces on the bodies from contacts"),
        ]
    }

    pub(super) fn new(options: &Options, exclude_positions: bool) -> Result<Self, String> {
        let include = |name: &str| match V {
            4 => Ok(true),
            _ => options.boolean(&format!("include-{name}-in-observation")),
        };
        Ok(Senses {
            exclude_positions,
            cinert: include("cinert")?,
            cvel: include("cvel")?,
            qfrc_actuator: include("qfrc-actuator")?,
            cfrc_ext: include("cfrc-ext")?,
        })
    }

    pub(super) fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>) {
        // v5 leaves out what is always 0: the world's entries, and the actuator forces on the free joint.
        let (bodies, joints) = if V == 4 { (0, 0) } else { (1, 6) };
        observation.extend(&simulation.qpos()[if self.exclude_positions { 2 } else { 0 }..]);
        observation.extend(simulation.qvel());
        if self.cinert {
            observation.extend(simulation.cinert()[bodies..].as_flattened());
        }
        if self.cvel {
            observation.extend(simulation.cvel()[bodies..].as_flattened());
        }
        if self.qfrc_actuator {
            observation.extend(&simulation.qfrc_actuator()[joints..]);
        }
        if self.cfrc_ext {
            observation.extend(simulation.cfrc_ext()[bodies..].as_flattened());
        }
    }
}

/// A humanoid that is rewarded for walking forward.
pub struct Humanoid<const V: u8> {
    forward_reward_weight: f64,
    ctrl_cost_weight: f64,
    contact_cost_weight: f64,
    contact_cost: [f64; 2],
    health: Health,
    healthy_z: [f64; 2],
    reset_noise_scale: f64,
    senses: Senses<V>,
    frames: usize,
}

impl<const V: u8> Task for Humanoid<V> {
    const ID: &'static str = if V == 4 { "mujoco/humanoid-v4" } else { "mujoco/humanoid-v5" };
    const SUMMARY: &'static str = "A humanoid with 17 joints walks forward; Gymnasium's Humanoid.";
    const MODEL: &'static str = "humanoid.xml";
    const SIZES: [usize; 3] = [24, 23, 17];
    const VIEW: View = View::oblique(3.6, 1.0);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![
            number("forward-reward-weight", 1.25, "Weight of the speed forward in the reward."),
            number("ctrl-cost-weight", 0.1, "Weight of the squared action in the cost."),
        ];
        if V >= 5 {
            all.push(number(
                "contact-cost-weight",
                5e-7,
                "Weight of the squared contact forces in the cost.",
            ));
            all.extend(range("contact-cost", [f64::NEG_INFINITY, 10.0], "cost of the contact forces"));
        }
        all.extend(Health::options(5.0));
        all.extend(range("healthy-z", [1.0, 2.0], "height of a healthy body, in m"));
        all.extend([noise(1e-2), exclude_positions()]);
        all.extend(Senses::<V>::options());
        all.extend(frame_skip::<V>(5));
        all
    }

    fn new(options: &Options, _: &Model) -> Result<Self, String> {
        let exclude_positions = options.boolean("exclude-current-positions-from-observation")?;
        let (contact_cost_weight, contact_cost) = match V {
            4 => (0.0, [0.0; 2]),
            _ => (options.number("contact-cost-weight")?, read_range(options, "contact-cost")?),
        };
        Ok(Humanoid {
            forward_reward_weight: options.number("forward-reward-weight")?,
            ctrl_cost_weight: options.number("ctrl-cost-weight")?,
            contact_cost_weight,
            contact_cost,
            health: Health::new(options)?,
            healthy_z: read_range(options, "healthy-z")?,
            reset_noise_scale: options.number("reset-noise-scale")?,
            senses: Senses::new(options, exclude_positions)?,
            frames: frames::<V>(options, 5)?,
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
        self.senses.observe(simulation, observation);
    }

    /// The position of the center of mass in the forward direction.
    fn mark(&self, simulation: &Simulation) -> f64 {
        let mass = simulation.model.body_mass();
        let moments = mass.iter().zip(simulation.xipos()).map(|(mass, position)| mass * position[0]);
        moments.sum::<f64>() / sum(mass)
    }

    fn judge(&self, simulation: &Simulation, _: &[f32], before: f64, seconds: f64) -> Judgment {
        let healthy = within(self.healthy_z, simulation.qpos()[2]);
        let velocity = (self.mark(simulation) - before) / seconds;
        let rewards = self.forward_reward_weight * velocity + self.health.reward::<V>(healthy);
        let mut costs = self.ctrl_cost_weight * sum_of_squares(simulation.ctrl());
        if V >= 5 {
            let forces = simulation.cfrc_ext().as_flattened();
            let [low, high] = self.contact_cost;
            costs += (self.contact_cost_weight * sum_of_squares(forces)).max(low).min(high);
        }
        Judgment { reward: rewards - costs, terminated: self.health.terminated(healthy) }
    }
}
