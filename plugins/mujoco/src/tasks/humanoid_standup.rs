//! Gymnasium's HumanoidStandup.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::add_uniform;
use super::humanoid::Senses;
use super::options::{exclude_positions, frame_skip, frames, noise, number, range, read_range};
use crate::environment::{Judgment, Task};
use crate::numpy::sum_of_squares;
use crate::picture::View;
use crate::simulation::{Model, Simulation};

/// A humanoid on its back that is rewarded for its height.
pub struct HumanoidStandup<const V: u8> {
    ctrl_cost_weight: f64,
    impact_cost_weight: f64,
    impact_cost: [f64; 2],
    reset_noise_scale: f64,
    senses: Senses<V>,
    frames: usize,
}

impl<const V: u8> Task for HumanoidStandup<V> {
    const ID: &'static str = if V == 4 { "mujoco/humanoid-standup-v4" } else { "mujoco/humanoid-standup-v5" };
    const SUMMARY: &'static str = "A humanoid on its back stands up; Gymnasium's HumanoidStandup.";
    const MODEL: &'static str = "humanoidstandup.xml";
    const SIZES: [usize; 3] = [24, 23, 17];
    const VIEW: View = View::oblique(3.6, 0.8);

    // Gymnasium's `uph_cost_weight` is left out because it has no effect there.
    fn options() -> Vec<OptionSchema> {
        if V < 5 {
            return vec![];
        }
        let mut all = vec![
            number("ctrl-cost-weight", 0.1, "Weight of the squared action in the cost."),
            number("impact-cost-weight", 0.5e-6, "Weight of the squared contact forces in the cost."),
        ];
        all.extend(range("impact-cost", [f64::NEG_INFINITY, 10.0], "cost of the contact forces"));
        all.extend([noise(1e-2), exclude_positions()]);
        all.extend(Senses::<V>::options());
        all.extend(frame_skip::<V>(5));
        all
    }

    fn new(options: &Options, _: &Model) -> Result<Self, String> {
        if V < 5 {
            return Ok(HumanoidStandup {
                ctrl_cost_weight: 0.1,
                impact_cost_weight: 0.5e-6,
                impact_cost: [f64::NEG_INFINITY, 10.0],
                reset_noise_scale: 0.01,
                senses: Senses::new(options, true)?,
                frames: 5,
            });
        }
        let exclude_positions = options.boolean("exclude-current-positions-from-observation")?;
        Ok(HumanoidStandup {
            ctrl_cost_weight: options.number("ctrl-cost-weight")?,
            impact_cost_weight: options.number("impact-cost-weight")?,
            impact_cost: read_range(options, "impact-cost")?,
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

    fn mark(&self, _: &Simulation) -> f64 {
        0.0
    }

    fn judge(&self, simulation: &Simulation, _: &[f32], _: f64, _: f64) -> Judgment {
        let up = simulation.qpos()[2] / simulation.model.timestep();
        let control = self.ctrl_cost_weight * sum_of_squares(simulation.ctrl());
        let [low, high] = self.impact_cost;
        let impact = self.impact_cost_weight * sum_of_squares(simulation.cfrc_ext().as_flattened());
        Judgment { reward: up - control - impact.max(low).min(high) + 1.0, terminated: false }
    }
}
