//! Cart-pole on N axes: N carts, each with a pole, of which each action pushes one. At N = 1 it is Gymnasium's
//! CartPole-v1, step for step.
//!
//! Action `a` pushes the cart of axis `a / 2` with +10 N if `a` is odd and −10 N if it is even; the other carts
//! roll on. The episode ends when any cart is beyond 2.4 m or any pole beyond 12°. The reward is 1 per step.

mod physics;
mod picture;
mod trigonometry;

use potstill_sdk::{
    Action, Environment, Frame, OptionKind, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step,
    builtin,
};

pub use physics::Axis;

/// One copy of the environment: the state of its axes.
#[derive(Clone, Debug)]
pub struct NdCartPole {
    axes: Vec<Axis>,
}

fn observe(axis: &Axis, observation: &mut [f32; 4]) {
    *observation = axis.state().map(|value| value as f32);
}

impl Environment for NdCartPole {
    const ID: &'static str = "nd-cartpole-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Cart-pole on N axes at once; at N = 1 Gymnasium's CartPole-v1.";

    type Scalar = f32;

    fn options() -> Vec<OptionSchema> {
        vec![OptionSchema {
            name: "n".into(),
            help: "Axes to balance at once.".into(),
            kind: OptionKind::Integer { min: 1, max: 64 },
            default: 1i64.into(),
        }]
    }

    fn new(options: &Options) -> Result<Self, String> {
        let n = usize::try_from(options.integer("n")?).map_err(|e| e.to_string())?;
        Ok(NdCartPole { axes: vec![Axis::default(); n] })
    }

    fn spec(&self) -> Spec {
        let n = self.axes.len();
        // Twice the range that ends an episode, as in Gymnasium.
        let high = [2.0 * physics::POSITION_LIMIT, f64::INFINITY, 2.0 * physics::ANGLE_LIMIT, f64::INFINITY];
        let high: Vec<f32> = high.map(|value| value as f32).repeat(n);
        Spec {
            observation: Space::Box {
                shape: vec![4 * n],
                low: high.iter().map(|value| -value).collect(),
                high,
            },
            action: Space::Discrete { n: 2 * n },
            max_episode_steps: Some(500),
            reward_threshold: Some(475.0),
            max_return: Some(500.0),
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [f32]) {
        for (axis, out) in self.axes.iter_mut().zip(observation.as_chunks_mut().0) {
            *axis = Axis::from_state(std::array::from_fn(|_| rng.uniform_in(-0.05, 0.05)));
            observe(axis, out);
        }
    }

    #[inline]
    fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
        let choice = action.choice() as usize;
        let push = if choice % 2 == 1 { physics::FORCE } else { -physics::FORCE };
        let mut fell = false;
        for (i, (axis, out)) in self.axes.iter_mut().zip(observation.as_chunks_mut().0).enumerate() {
            axis.step(if i == choice / 2 { push } else { 0.0 });
            fell |= axis.is_out();
            observe(axis, out);
        }
        Step { reward: 1.0, terminated: fell, truncated: false }
    }

    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        Ok(match mode {
            RenderMode::Rgb => picture::pixels(&self.axes),
            RenderMode::Text => picture::text(&self.axes),
        })
    }

    /// Writes the position, velocity, angle and angular velocity of each axis as little-endian `f64`s.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        state.extend(self.axes.iter().flat_map(Axis::state).flat_map(f64::to_le_bytes));
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (numbers, rest) = state.as_chunks::<8>();
        if numbers.len() != 4 * self.axes.len() || !rest.is_empty() {
            return Err(format!("the snapshot has {} bytes for {} axes of 32", state.len(), self.axes.len()));
        }
        for (axis, numbers) in self.axes.iter_mut().zip(numbers.chunks_exact(4)) {
            let state: [f64; 4] = std::array::from_fn(|i| f64::from_le_bytes(numbers[i]));
            if !state.iter().all(|value| value.is_finite()) {
                return Err("the snapshot holds a number that is not finite".into());
            }
            *axis = Axis::from_state(state);
        }
        Ok(())
    }
}

builtin!(environment NdCartPole);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_environment!(NdCartPole);
