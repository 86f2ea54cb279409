//! Gymnasium's InvertedDoublePendulum.
use potstill_sdk::{OptionSchema, Options, Rng};

use super::options::{frame_skip, frames, noise, number};
use super::{add_normal, add_uniform, clipped};
use crate::environment::{Judgment, Task};
use crate::picture::View;
use crate::renderer::Camera;
use crate::simulation::{Model, Simulation};

/// A cart that balances two poles, one on the other.
pub struct InvertedDoublePendulum<const V: u8> {
    healthy_reward: f64,
    reset_noise_scale: f64,
    frames: usize,
}

impl<const V: u8> Task for InvertedDoublePendulum<V> {
    const ID: &'static str =
        if V == 4 { "mujoco/inverted-double-pendulum-v4" } else { "mujoco/inverted-double-pendulum-v5" };
    const SUMMARY: &'static str =
        "A cart balances two poles, one on the other; Gymnasium's InvertedDoublePendulum.";
    const MODEL: &'static str = "inverted_double_pendulum.xml";
    const SIZES: [usize; 3] = [3, 3, 1];
    const VIEW: View = View::side(3.2, 0.5, false);
    // v5 does not apply its `DEFAULT_CAMERA_CONFIG`.
    const CAMERA: Camera = match V {
        4 => Camera::Free { distance: Some(4.1225), lookat: Some([0.0, 0.0, 0.12250000000000005]) },
        _ => Camera::Free { distance: None, lookat: None },
    };
    const REWARD_THRESHOLD: Option<f32> = Some(9100.0);

    fn options() -> Vec<OptionSchema> {
        let mut all = vec![];
        if V >= 5 {
            all.push(number("healthy-reward", 10.0, "Reward of a step in which the poles stand."));
            all.push(noise(0.1));
        }
        all.extend(frame_skip::<V>(5));
        all
    }

    fn new(options: &Options, model: &Model) -> Result<Self, String> {
        model.needs_a_site()?;
        let (healthy_reward, reset_noise_scale) = match V {
            4 => (10.0, 0.1),
            _ => (options.number("healthy-reward")?, options.number("reset-noise-scale")?),
        };
        Ok(InvertedDoublePendulum { healthy_reward, reset_noise_scale, frames: frames::<V>(options, 5)? })
    }

    fn frames(&self) -> usize {
        self.frames
    }

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(rng, self.reset_noise_scale, qpos);
        add_normal(rng, self.reset_noise_scale, qvel);
    }

    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>) {
        let (cart, angles) = simulation.qpos().split_at(1);
        observation.extend(cart);
        observation.extend(angles.iter().map(|angle| angle.sin()));
        observation.extend(angles.iter().map(|angle| angle.cos()));
        observation.extend(clipped(simulation.qvel()));
        let forces = simulation.qfrc_constraint();
        // The forces on the poles are always 0; v5 leaves them out.
        observation.extend(clipped(if V == 4 { forces } else { &forces[..1] }));
    }

    fn mark(&self, _: &Simulation) -> f64 {
        0.0
    }

    fn judge(&self, simulation: &Simulation, _: &[f32], _: f64, _: f64) -> Judgment {
        let [x, _, y] = simulation.site_xpos()[0];
        let (v1, v2) = (simulation.qvel()[1], simulation.qvel()[2]);
        let distance = 0.01 * (x * x) + (y - 2.0) * (y - 2.0);
        let velocity = 1e-3 * (v1 * v1) + 5e-3 * (v2 * v2);
        let terminated = y <= 1.0;
        let alive = if terminated && V >= 5 { 0.0 } else { self.healthy_reward };
        Judgment { reward: alive - distance - velocity, terminated }
    }
}
