//! Gymnasium's environments, one file each. `V` is Gymnasium's version of an environment, 4 or 5.
mod ant;
mod half_cheetah;
mod hopper;
mod humanoid;
mod humanoid_standup;
mod inverted_double_pendulum;
mod options;
mod reacher;
mod walker2d;

pub use ant::Ant;
pub use half_cheetah::HalfCheetah;
pub use hopper::Hopper;
pub use humanoid::Humanoid;
pub use humanoid_standup::HumanoidStandup;
pub use inverted_double_pendulum::InvertedDoublePendulum;
pub use reacher::Reacher;
pub use walker2d::Walker2d;

use potstill_sdk::Rng;

use crate::numpy::sum_of_squares;

/// The cost of an action. NumPy 2 keeps the product of a Python number and `f32`s in `f32`.
fn control_cost(weight: f64, action: &[f32]) -> f64 {
    f64::from(weight as f32 * sum_of_squares(action))
}

/// Adds uniform noise between `-scale` and `scale` to each number.
fn add_uniform(rng: &mut Rng, scale: f64, values: &mut [f64]) {
    values.iter_mut().for_each(|value| *value += rng.uniform_in(-scale, scale));
}

/// Adds normal noise with this standard deviation to each number (Box and Muller, 1958).
fn add_normal(rng: &mut Rng, deviation: f64, values: &mut [f64]) {
    for value in values {
        let radius = (-2.0 * (1.0 - rng.uniform()).ln()).sqrt();
        *value += deviation * radius * (std::f64::consts::TAU * rng.uniform()).cos();
    }
}

fn clipped(values: &[f64]) -> impl Iterator<Item = f64> {
    values.iter().map(|value| value.clamp(-10.0, 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_distribution() {
        let (mut rng, mut normal, mut uniform) = (Rng::seeded(1), vec![1.0; 100_000], vec![1.0; 100_000]);
        add_normal(&mut rng, 0.5, &mut normal);
        add_uniform(&mut rng, 0.5, &mut uniform);
        for (values, variance) in [(&normal, 0.25), (&uniform, 1.0 / 12.0)] {
            let mean = values.iter().sum::<f64>() / 1e5;
            let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
            assert!((mean - 1.0).abs() < 0.01 && (spread / variance - 1.0).abs() < 0.02, "{mean} {spread}");
        }
        let beyond = normal.iter().filter(|v| (**v - 1.0).abs() > 1.0).count();
        assert!(beyond.abs_diff(4550) < 300, "{beyond} of 100000 beyond two deviations");
        assert!(uniform.iter().all(|v| (0.5..1.5).contains(v)));
    }
}
