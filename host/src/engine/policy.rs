//! What a policy's outputs mean: a distribution of actions.
use std::f64::consts::PI;

use potstill_plugin_api::Space;

use crate::graph::Tensor;

/// A family of distributions over actions, with the number of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Of a discrete space: outputs are n logits, an action is an index.
    Categorical(usize),
    /// Of a box: outputs are n means and n logarithms of standard deviations, an action is n numbers.
    Gaussian(usize),
}

impl Policy {
    /// The family for actions of `space`, if there is one.
    pub fn of(space: &Space) -> Option<Self> {
        match space {
            Space::Discrete { n } => Some(Policy::Categorical(*n)),
            Space::Box { .. } => Some(Policy::Gaussian(space.size())),
            Space::MultiDiscrete { .. } | Space::Image { .. } => None,
        }
    }

    /// Numbers that describe a distribution.
    pub fn outputs(self) -> usize {
        match self {
            Policy::Categorical(n) => n,
            Policy::Gaussian(n) => 2 * n,
        }
    }

    /// Means and logarithms of deviations, `[b, n]` each.
    fn gaussian(outputs: &Tensor, n: usize) -> (Tensor, Tensor) {
        (outputs.slice(-1, 0, n), outputs.slice(-1, n, n))
    }

    /// Log-probability (or its density) of `actions`, `[b, 1]`.
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

    /// Entropy, `[b, 1]`.
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

    /// Kullback-Leibler divergence `E_p[log p − log q]`, `[b, 1]`.
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
}
