//! Policies: the distributions over actions that a learner's outputs describe.
use std::borrow::Cow;
use std::f64::consts::PI;

use potstill_plugin_api::{Init, Space};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::environment::Actions;
use crate::error::Result;
use crate::graph::Tensor;
use crate::learner::{Learner, Parameter};
use crate::random::Stream;

/// How actions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acting {
    /// Actions are drawn from the policy.
    Sampled,
    /// The most probable action is chosen.
    Greedy,
}

impl std::fmt::Display for Acting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Acting::Sampled => "sampled",
            Acting::Greedy => "greedy",
        })
    }
}

/// A family of distributions over actions, with the size n of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A categorical distribution for a discrete space: the outputs are n logits, and an action is an index.
    Categorical(usize),
    /// A diagonal Gaussian for a box: the outputs are n means and n log standard deviations, and an action is n
    /// numbers.
    Gaussian(usize),
}

impl Policy {
    /// The family for the action space `space`, if there is one.
    pub fn of(space: &Space) -> Option<Self> {
        match space {
            Space::Discrete { n } => Some(Policy::Categorical(*n)),
            Space::Box { .. } => Some(Policy::Gaussian(space.size())),
            Space::MultiDiscrete { .. } | Space::Image { .. } => None,
        }
    }

    /// The number of outputs of a learner drawn from Λ: n logits or n means. The log standard deviations of a Gaussian
    /// do not depend on the state, so the network does not output them; see [`Gaussian`].
    pub fn network_outputs(self) -> usize {
        match self {
            Policy::Categorical(n) | Policy::Gaussian(n) => n,
        }
    }

    /// The number of outputs that describe a distribution: n logits, or n means and n log standard deviations.
    pub fn outputs(self) -> usize {
        match self {
            Policy::Categorical(n) => n,
            Policy::Gaussian(n) => 2 * n,
        }
    }

    /// Splits `outputs` `[b, 2n]` into means and log standard deviations, `[b, n]` each.
    fn gaussian(outputs: &Tensor, n: usize) -> (Tensor, Tensor) {
        (outputs.slice(-1, 0, n), outputs.slice(-1, n, n))
    }

    /// The log-probability, or log-density, of `actions`: `[b, 1]` from `outputs` `[b, outputs]`.
    pub fn log_prob(self, outputs: &Tensor, actions: &Tensor) -> Tensor {
        match self {
            Policy::Categorical(_) => outputs.log_softmax(-1).gather(-1, actions),
            Policy::Gaussian(n) => {
                let (mean, log_std) = Self::gaussian(outputs, n);
                let distance = (actions - mean) * (-&log_std).exp();
                let each = distance.square() * -0.5 - log_std - 0.5 * (2.0 * PI).ln();
                each.sum_keep(&[-1])
            }
        }
    }

    /// The entropy, `[b, 1]`.
    pub fn entropy(self, outputs: &Tensor) -> Tensor {
        match self {
            Policy::Categorical(_) => {
                let log_policy = outputs.log_softmax(-1);
                -(log_policy.exp() * &log_policy).sum_keep(&[-1])
            }
            Policy::Gaussian(n) => {
                let (_, log_std) = Self::gaussian(outputs, n);
                (log_std + 0.5 * (1.0 + (2.0 * PI).ln())).sum_keep(&[-1])
            }
        }
    }

    /// The Kullback-Leibler divergence `E_p[log p − log q]` between the policies with outputs `p` and `q`, `[b, 1]`.
    pub fn divergence(self, p: &Tensor, q: &Tensor) -> Tensor {
        match self {
            Policy::Categorical(_) => {
                let (p, q) = (p.log_softmax(-1), q.log_softmax(-1));
                (p.exp() * (&p - q)).sum_keep(&[-1])
            }
            Policy::Gaussian(n) => {
                let ((p_mean, p_std), (q_mean, q_std)) = (Self::gaussian(p, n), Self::gaussian(q, n));
                let ratio = ((&p_std - &q_std) * 2.0).exp();
                let distance = ((p_mean - q_mean) * (-&q_std).exp()).square();
                ((ratio + distance - 1.0) * 0.5 - p_std + q_std).sum_keep(&[-1])
            }
        }
    }

    /// Changes `outputs` `[rows, outputs]` to those at a `temperature` above 0, where 1 changes nothing: probabilities are
    /// raised to the power of 1 / `temperature` and normalized, and standard deviations are multiplied by it. For a
    /// categorical policy, `outputs` are log-probabilities, before and after.
    pub fn temper(self, outputs: &mut [f32], temperature: f32) {
        if temperature == 1.0 {
            return;
        }
        for row in outputs.chunks_exact_mut(self.outputs()) {
            match self {
                Policy::Categorical(_) => {
                    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    row.iter_mut().for_each(|v| *v = (*v - most) / temperature);
                    let all = row.iter().map(|v| v.exp()).sum::<f32>().ln();
                    row.iter_mut().for_each(|v| *v -= all);
                }
                Policy::Gaussian(n) => row[n..].iter_mut().for_each(|v| *v += temperature.ln()),
            }
        }
    }

    /// Chooses an action for each row of `outputs` `[rows, outputs]`. For a categorical policy, `outputs` are
    /// log-probabilities.
    pub fn choose(self, outputs: &[f32], acting: Acting, random: &mut Stream) -> Chosen {
        let rows = outputs.chunks_exact(self.outputs());
        let mut log_probs = Vec::with_capacity(rows.len());
        let actions = match self {
            Policy::Categorical(_) => {
                let mut actions = Vec::with_capacity(rows.len());
                for row in rows {
                    let action = match acting {
                        Acting::Sampled => sample(row, random),
                        Acting::Greedy => greedy(row),
                    };
                    log_probs.push(row[action]);
                    actions.push(action as u32);
                }
                Actions::Discrete(actions)
            }
            Policy::Gaussian(n) => {
                let mut actions = Vec::with_capacity(rows.len() * n);
                for row in rows {
                    let (means, log_stds) = row.split_at(n);
                    let mut log_prob = 0.0;
                    for (mean, log_std) in means.iter().zip(log_stds) {
                        let noise: f32 = match acting {
                            Acting::Sampled => StandardNormal.sample(random),
                            Acting::Greedy => 0.0,
                        };
                        actions.push(mean + log_std.exp() * noise);
                        log_prob -= 0.5 * noise * noise + log_std + 0.5 * (2.0 * PI).ln() as f32;
                    }
                    log_probs.push(log_prob);
                }
                Actions::Continuous(actions)
            }
        };
        Chosen { actions, log_probs }
    }
}

/// Actions with their log-probabilities (or log-densities), one for each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The actions as they were drawn, not clamped to the bounds of their space.
    pub actions: Actions,
    /// The log-probability or log-density of each action.
    pub log_probs: Vec<f32>,
}

/// Clamps continuous actions to the bounds of their box, for the environment. The policy learns from the actions as
/// it drew them.
pub fn clamp<'a>(actions: &'a Actions, space: &Space) -> Cow<'a, Actions> {
    let (Actions::Continuous(numbers), Space::Box { low, high, .. }) = (actions, space) else {
        return Cow::Borrowed(actions);
    };
    // There is one bound for all elements, or one for each.
    let bound = |bounds: &[f32], i: usize| bounds[i % bounds.len()];
    let size = space.size();
    let clamped =
        numbers.iter().enumerate().map(|(i, v)| v.max(bound(low, i % size)).min(bound(high, i % size)));
    Cow::Owned(Actions::Continuous(clamped.collect()))
}

/// Draws an index from log-probabilities.
fn sample(log_probs: &[f32], random: &mut Stream) -> usize {
    let mut left: f32 = random.random();
    for (i, log_prob) in log_probs.iter().enumerate() {
        left -= log_prob.exp();
        if left < 0.0 {
            return i;
        }
    }
    // Because of rounding, the probabilities may not quite sum to 1: the rest belongs to the last possible action.
    log_probs.iter().rposition(|&p| p > f32::NEG_INFINITY).unwrap_or(0)
}

/// The index of the largest log-probability; the first of them, if several are equal.
fn greedy(log_probs: &[f32]) -> usize {
    (0..log_probs.len()).max_by(|&a, &b| log_probs[a].total_cmp(&log_probs[b]).then(b.cmp(&a))).unwrap_or(0)
}

/// A learner for Gaussian policies: a network for the means, and log standard deviations that are learned but do not
/// depend on the state. As in the code published with Wilhelm & Ventura 2025 (and in CleanRL), these start at 0 and
/// belong to the last layer.
pub struct Gaussian {
    means: Box<dyn Learner>,
    parameters: Vec<Parameter>,
}

impl Gaussian {
    /// Adds `n` log standard deviations to the network `means`, which has `n` outputs.
    pub fn new(means: Box<dyn Learner>, n: usize) -> Self {
        let mut parameters = means.parameters().to_vec();
        let layer = parameters.iter().map(|p| p.layer).max().unwrap_or(0);
        let log_std = Parameter { name: LOG_STD.into(), shape: vec![1, n], init: Init::Constant(0.0), layer };
        parameters.push(log_std);
        Gaussian { means, parameters }
    }
}

/// The name of the log standard deviations, both as a parameter and as a label.
pub const LOG_STD: &str = "log_std";

impl Learner for Gaussian {
    fn name(&self) -> &str {
        self.means.name()
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        let Some((log_std, own)) = parameters.split_last() else {
            return self.means.forward(parameters, observations);
        };
        let means = self.means.forward(own, observations)?;
        let log_stds = log_std.broadcast_to(&means.shape());
        Ok(Tensor::concat(&[&means, &log_stds], -1).unwrap_or(means))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn temperatures_sharpen_and_flatten() {
        let probabilities = |temperature: f32| -> Vec<f32> {
            let mut row = [0.8f32, 0.2, 0.0].map(f32::ln);
            Policy::Categorical(3).temper(&mut row, temperature);
            row.iter().map(|v| v.exp()).collect()
        };
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&probabilities(1.0), &[0.8, 0.2, 0.0]));
        // The squares of 0.8 and 0.2, and their square roots, are in proportion 16 to 1 and 2 to 1.
        assert!(near(&probabilities(0.5), &[16.0 / 17.0, 1.0 / 17.0, 0.0]));
        assert!(near(&probabilities(2.0), &[2.0 / 3.0, 1.0 / 3.0, 0.0]));
        assert!(near(&probabilities(1e-4), &[1.0, 0.0, 0.0]));
        let mut row = [0.5f32, -2.0, 0.0, 1.0];
        Policy::Gaussian(2).temper(&mut row, 0.5);
        let half = -std::f32::consts::LN_2;
        assert!(near(&row, &[0.5, -2.0, half, 1.0 + half]));
    }

    #[test]
    fn gaussian_actions_have_their_moments_and_densities() {
        let policy = Policy::Gaussian(2);
        let row = [0.5f32, -2.0, 0.0, -1.0];
        let outputs = row.repeat(4000);
        let Chosen { actions: Actions::Continuous(drawn), log_probs } =
            policy.choose(&outputs, Acting::Sampled, &mut stream(1, "test", 0))
        else {
            panic!("a Gaussian policy draws continuous actions")
        };
        for i in 0..2 {
            let values: Vec<f64> = drawn.iter().skip(i).step_by(2).map(|&v| f64::from(v)).collect();
            let mean = values.iter().sum::<f64>() / 4000.0;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0).sqrt();
            let expected = f64::from(row[2 + i].exp());
            assert!((mean - f64::from(row[i])).abs() < 0.07 && (deviation / expected - 1.0).abs() < 0.05);
        }
        // The density of the normal distribution, by definition.
        let density = |x: f32, mean: f32, std: f32| -> f64 {
            let z = f64::from((x - mean) / std);
            (-0.5 * z * z).exp() / (f64::from(std) * (2.0 * PI).sqrt())
        };
        for (action, log_prob) in drawn.chunks(2).zip(&log_probs).take(50) {
            let both = density(action[0], 0.5, 1.0) * density(action[1], -2.0, (-1.0f32).exp());
            assert!((f64::from(*log_prob) - both.ln()).abs() < 1e-4);
        }
        let greedy = policy.choose(&row, Acting::Greedy, &mut stream(1, "test", 0)).actions;
        assert_eq!(greedy, Actions::Continuous(vec![0.5, -2.0]));
        let space = Space::Box { shape: vec![2], low: vec![-1.0], high: vec![0.25, 9.0] };
        assert_eq!(*clamp(&greedy, &space), Actions::Continuous(vec![0.25, -1.0]));
    }
}
