//! Generalized advantage estimation, GAE (Schulman et al. 2016).
use serde::{Deserialize, Serialize};

/// How advantages are estimated from rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// GAE as in Schulman et al. 2016: it bootstraps from the final observation after truncation, but not after
    /// termination.
    Gae,
    /// GAE as in the code published with Wilhelm & Ventura 2025: it reads the end-of-episode flags one step early and
    /// treats truncation as termination. It is meant for comparison only.
    #[serde(rename = "as-published")]
    GaeAsPublished,
}

/// The inputs of GAE. Every slice has shape `[steps, environments]`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Trajectories<'a> {
    /// The number of environments.
    pub environments: usize,
    /// The reward of each step.
    pub rewards: &'a [f32],
    /// The value V of the state in which each action was taken.
    pub values: &'a [f32],
    /// The value V of the state each action led to; where an episode ended, V of its final observation.
    pub next_values: &'a [f32],
    /// Whether the step reached a terminal state.
    pub terminated: &'a [bool],
    /// Whether the episode was cut short after the step.
    pub truncated: &'a [bool],
}

/// Estimates the advantage and the return (advantage + value) of each step, both `[steps, environments]`. `gamma` is
/// the discount and `lambda` GAE's λ.
pub fn estimate(t: &Trajectories<'_>, gamma: f32, lambda: f32, estimator: Estimator) -> (Vec<f32>, Vec<f32>) {
    let n = t.environments;
    let total = t.rewards.len();
    let done = |i: usize| t.terminated[i] || t.truncated[i];
    let mut advantages = vec![0.0; total];
    for e in 0..n {
        let mut carry = 0.0;
        for i in (e..total).step_by(n).rev() {
            // The published code reads the flag of the previous step, where GAE reads that of this step.
            let (bootstraps, continues) = match estimator {
                Estimator::Gae => (!t.terminated[i], !done(i)),
                Estimator::GaeAsPublished => {
                    let before = i >= n && done(i - n);
                    (!before, !before)
                }
            };
            let next = if bootstraps { t.next_values[i] } else { 0.0 };
            let delta = t.rewards[i] + gamma * next - t.values[i];
            carry = delta + if continues { gamma * lambda * carry } else { 0.0 };
            advantages[i] = carry;
        }
    }
    let returns = advantages.iter().zip(t.values).map(|(a, v)| a + v).collect();
    (advantages, returns)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With λ = 1 and exact bootstraps the return is the discounted sum of rewards.
    #[test]
    fn lambda_one_is_monte_carlo() {
        let rewards = [1.0, 2.0, 3.0, 4.0];
        let values = [0.3, -0.2, 0.7, 0.1];
        let next_values = [-0.2, 0.7, 0.1, 9.0];
        let terminated = [false, false, false, true];
        let t = Trajectories {
            environments: 1,
            rewards: &rewards,
            values: &values,
            next_values: &next_values,
            terminated: &terminated,
            truncated: &[false; 4],
        };
        let (_, returns) = estimate(&t, 0.9, 1.0, Estimator::Gae);
        assert!((returns[0] - (1.0 + 0.9 * 2.0 + 0.81 * 3.0 + 0.729 * 4.0)).abs() < 1e-5);
        assert!((returns[3] - 4.0).abs() < 1e-6, "a terminal state has no value");
    }

    #[test]
    fn truncation_bootstraps_and_cuts_the_sum() {
        let t = Trajectories {
            environments: 2,
            rewards: &[1.0, 1.0, 1.0, 1.0],
            values: &[0.0; 4],
            next_values: &[5.0, 5.0, 5.0, 5.0],
            terminated: &[false, true, false, false],
            truncated: &[true, false, false, false],
        };
        let (advantages, _) = estimate(&t, 0.5, 1.0, Estimator::Gae);
        assert_eq!(advantages, [1.0 + 2.5, 1.0, 3.5, 3.5]);
    }
}
