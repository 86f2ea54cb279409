//! Losses and inner update rules that several objectives share.
use crate::{Column, Network, Outcome, Outer, Tensor, Theta, grad};

/// Normalizes advantages to mean 0 and standard deviation 1 over the batch.
pub fn normalized(advantages: &Tensor) -> Tensor {
    let centered = advantages - advantages.mean();
    let deviation = centered.square().mean().sqrt();
    centered / (deviation + 1e-8)
}

/// Computes PPO's clipped surrogate loss (Schulman et al. 2017, equation 7) of the taught learner, with an entropy bonus.
/// It uses `advantages` `[b, 1]` as they are, without normalizing them, and reads [`Column::Observations`],
/// [`Column::Actions`] and [`Column::LogProbs`]. `entropy_weight` is a number or a scalar tensor.
pub fn clipped_surrogate(
    outer: &Outer<'_>,
    advantages: &Tensor,
    clip: f64,
    entropy_weight: impl Into<Tensor>,
) -> Outcome {
    let outputs = outer.outputs();
    let log_prob = outer.network.log_prob(&outputs, outer.batch(Column::Actions));
    let log_ratio = log_prob - outer.batch(Column::LogProbs);
    let ratio = log_ratio.exp();
    let clipped = ratio.clamp(1.0 - clip, 1.0 + clip) * advantages;
    let policy_loss = -(&ratio * advantages).min(&clipped).mean();
    let entropy = outer.network.entropy(&outputs).mean();
    let clip_fraction = Tensor::constant(clip).less(&(&ratio - 1.0).abs()).mean();
    Outcome {
        loss: &policy_loss - &entropy * entropy_weight.into(),
        metrics: vec![
            ("policy_loss", policy_loss),
            ("entropy", entropy),
            // Schulman's low-variance estimator: E[(r − 1) − log r].
            ("approx_kl", ((&ratio - 1.0) - log_ratio).mean()),
            ("clip_fraction", clip_fraction),
        ],
    }
}

/// Takes one step of gradient descent on the mean squared error between the learner's raw outputs and the labels:
/// `φ′ = φ − η ∇φ mse(f(φ, X), Y)`.
pub fn inner_step(theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
    let loss = (network.apply(fresh, theta.x()) - theta.y()).square().mean();
    gradient_step(&loss, theta.inner_lr(), fresh)
}

/// Takes one step of gradient descent on `loss`, a scalar, with the learning rate `rate`.
pub fn gradient_step(loss: &Tensor, rate: &Tensor, parameters: &[Tensor]) -> Vec<Tensor> {
    let gradients = grad(loss, parameters);
    parameters.iter().zip(&gradients).map(|(p, g)| p - rate * g).collect()
}

/// Takes an [`inner_step`] with a separate learning rate for each parameter tensor: η times an entry of the part
/// `inner_rates` `[n]` of θ. The first entry belongs to the last tensor, the second to the one before it, and so on; the
/// n-th applies to all remaining tensors. Rates are counted from the end so that they mean the same in networks of
/// different depths.
pub fn inner_step_by_tensor(theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
    let rates = theta.get("inner_rates");
    let last = rates.shape()[0] - 1;
    let taught = inner_step(theta, network, fresh);
    let from_end = (0..fresh.len()).rev();
    let taught = fresh.iter().zip(&taught).zip(from_end);
    taught.map(|((p, moved), i)| p + rates.slice(0, i.min(last), 1) * (moved - p)).collect()
}

/// Computes the cross-entropy `[b, 1]` of each row of logits `[b, n]` with labels `[b, n]` that sum to 1.
pub fn cross_entropy(outputs: &Tensor, labels: &Tensor) -> Tensor {
    -(outputs.log_softmax(-1) * labels).sum_keep(&[-1])
}
