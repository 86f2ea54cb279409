//! Gymnasium's Pendulum-v1: swing a pendulum up and hold it there, with a torque too weak to lift it in one go.
use std::f64::consts::PI;

use potstill_sdk::{Action, Environment, Options, Rng, Space, Spec, Step, export_environment};

const GRAVITY: f64 = 10.0;
const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
const SECONDS_PER_STEP: f64 = 0.05;

/// The angle from upright, in radians and not wrapped, and its change per second. Length and mass are 1.
#[derive(Default)]
pub struct Pendulum {
    angle: f64,
    speed: f64,
}

impl Pendulum {
    fn observe(&self, observation: &mut [f32]) {
        let state = [libm::cos(self.angle), libm::sin(self.angle), self.speed];
        observation.copy_from_slice(&state.map(|value| value as f32));
    }
}

impl Environment for Pendulum {
    const ID: &'static str = "examples/pendulum-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Swing a pendulum up and hold it there: Gymnasium's Pendulum-v1.";
    type Scalar = f32;

    fn new(_: &Options) -> Result<Self, String> {
        Ok(Pendulum::default())
    }

    fn spec(&self) -> Spec {
        let high = vec![1.0, 1.0, MAX_SPEED as f32];
        Spec {
            observation: Space::Box { shape: vec![3], low: high.iter().map(|v| -v).collect(), high },
            action: Space::Box { shape: vec![1], low: vec![-MAX_TORQUE], high: vec![MAX_TORQUE] },
            max_episode_steps: Some(200),
            reward_threshold: None,
            max_return: None,
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [f32]) {
        *self = Pendulum { angle: rng.uniform_in(-PI, PI), speed: rng.uniform_in(-1.0, 1.0) };
        self.observe(observation);
    }

    fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
        let Action::Continuous(&[torque]) = action else { panic!("one torque was expected, got {action:?}") };
        // The host does not clamp actions to the bounds. The torque's terms are in single precision, as in Gymnasium.
        let torque = torque.clamp(-MAX_TORQUE, MAX_TORQUE);
        let off = (self.angle + PI).rem_euclid(2.0 * PI) - PI;
        let cost = off * off + 0.1 * (self.speed * self.speed) + f64::from(0.001 * (torque * torque));
        let acceleration = 1.5 * GRAVITY * libm::sin(self.angle) + f64::from(3.0 * torque);
        self.speed = (self.speed + acceleration * SECONDS_PER_STEP).clamp(-MAX_SPEED, MAX_SPEED);
        self.angle += self.speed * SECONDS_PER_STEP;
        self.observe(observation);
        Step { reward: -cost as f32, terminated: false, truncated: false }
    }

    /// Writes the angle and the speed as little-endian `f64`s.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        state.extend([self.angle, self.speed].into_iter().flat_map(f64::to_le_bytes));
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (&[angle, speed], []) = state.as_chunks::<8>() else { return Err("not 16 bytes".into()) };
        *self = Pendulum { angle: f64::from_le_bytes(angle), speed: f64::from_le_bytes(speed) };
        Ok(())
    }
}

export_environment!(Pendulum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangs_still_without_torque_and_falls_from_the_top() {
        let mut pendulum = Pendulum { angle: PI, speed: 0.0 };
        let mut observation = [0.0; 3];
        let step = pendulum.step(Action::Continuous(&[0.0]), &mut Rng::seeded(0), &mut observation);
        assert!(observation[0] < -0.999 && observation[2].abs() < 1e-6, "{observation:?}");
        assert_eq!(step.reward, (-PI * PI) as f32);
        pendulum = Pendulum { angle: 0.1, speed: 0.0 };
        pendulum.step(Action::Continuous(&[0.0]), &mut Rng::seeded(0), &mut observation);
        assert!(pendulum.angle > 0.1 && observation[2] > 0.0);
    }
}
