//! PPMO (Wilhelm & Ventura 2025, Algorithm 1): PPO's loss, judged through one inner gradient step.
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::objective::{Batch, Estimator, Inner, Objective, Outer};
use crate::graph::{Tensor, grad};

/// PPMO with the clipped surrogate loss of PPO (Schulman et al. 2017).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ppmo {
    /// ε of the clipped ratio.
    pub clip: f64,
    /// Weight of the entropy bonus.
    pub entropy: f64,
    /// Normalise advantages to mean 0 and deviation 1 in each minibatch.
    pub normalize_advantages: bool,
}

impl Default for Ppmo {
    fn default() -> Self {
        Ppmo { clip: 0.2, entropy: 0.01, normalize_advantages: true }
    }
}

/// One step of gradient descent on the mean squared error between raw outputs and labels:
/// `φ′ = φ − η ∇φ mse(f(φ, X), Y)`.
pub fn inner_step(inner: &Inner<'_>) -> Vec<Tensor> {
    let predictions = inner.network.apply(inner.initial, &inner.theta.x);
    let loss = (predictions - &inner.theta.y).square().mean();
    let gradients = grad(&loss, inner.initial);
    let step = |(i, (p, g)): (usize, (&Tensor, &Tensor))| {
        if inner.taught[i] { p - &inner.theta.inner_lr * g } else { p.clone() }
    };
    inner.initial.iter().zip(&gradients).enumerate().map(step).collect()
}

/// Mean 0, deviation 1.
fn normalized(advantages: &Tensor) -> Tensor {
    let centred = advantages - advantages.mean();
    let deviation = centred.square().mean().sqrt();
    centred / (deviation + 1e-8)
}

impl Objective for Ppmo {
    fn id(&self) -> &str {
        "ppmo"
    }

    fn specification(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn inner(&self, inner: &Inner<'_>) -> Vec<Tensor> {
        inner_step(inner)
    }

    fn outer(&self, outputs: &Tensor, batch: &Batch) -> Outer {
        let log_policy = outputs.log_softmax(-1);
        let log_ratio = log_policy.gather(-1, &batch.actions) - &batch.log_probs;
        let ratio = log_ratio.exp();
        let advantages =
            if self.normalize_advantages { normalized(&batch.advantages) } else { batch.advantages.clone() };
        let surrogate = &ratio * &advantages;
        let clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * &advantages;
        let policy_loss = -surrogate.min(&clipped).mean();
        let entropy = -(log_policy.exp() * &log_policy).sum_axes(&[-1]).mean();
        let distance = (&ratio - 1.0).abs();
        let limit = outputs.graph().full(self.clip, &distance.shape());
        Outer {
            loss: &policy_loss - &entropy * self.entropy,
            metrics: vec![
                ("policy_loss", policy_loss),
                ("entropy", entropy),
                // Schulman's low-variance estimator: E[(r − 1) − log r].
                ("approx_kl", ((&ratio - 1.0) - log_ratio).mean()),
                ("clip_fraction", limit.less(&distance).mean()),
            ],
        }
    }
}

/// PPMO as the authors' released code computes it, faults included, to compare with:
/// the ratio sets a raw logit against an old *log-softmax* (it starts near the number of actions, not 1),
/// the entropy bonus carries no gradient, and advantages come from [`Estimator::GaeAsPublished`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PpmoAsPublished {
    /// ε of the clipped ratio.
    pub clip: f64,
}

impl Default for PpmoAsPublished {
    fn default() -> Self {
        PpmoAsPublished { clip: 0.2 }
    }
}

impl Objective for PpmoAsPublished {
    fn id(&self) -> &str {
        "ppmo-as-published"
    }

    fn specification(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn estimator(&self) -> Estimator {
        Estimator::GaeAsPublished
    }

    fn inner(&self, inner: &Inner<'_>) -> Vec<Tensor> {
        inner_step(inner)
    }

    fn outer(&self, outputs: &Tensor, batch: &Batch) -> Outer {
        let ratio = (outputs.gather(-1, &batch.actions) - &batch.log_probs).exp();
        let advantages = normalized(&batch.advantages);
        let clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * &advantages;
        let policy_loss = -(&ratio * &advantages).min(&clipped).mean();
        let log_policy = outputs.log_softmax(-1);
        let entropy = -(log_policy.exp() * &log_policy).sum_axes(&[-1]).mean();
        Outer {
            loss: policy_loss.clone(),
            metrics: vec![("policy_loss", policy_loss), ("entropy", entropy), ("ratio", ratio.mean())],
        }
    }
}
