//! Losses and inner update rules that several objectives share.
use potstill_plugin_api::{Column, MetaInit, MetaParameter, OptionSchema, Task};

use crate::{Network, Options, Outcome, Outer, Tensor, Theta, default_theta, grad};

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

/// Learning rates of the inner step for single parameter tensors: the option `inner-rates` of objectives.
///
/// With n > 1, the part `inner_rates` `[n]` of θ has factors of η, which are learned. The first belongs to the last tensor, the
/// second to the one before it, and so on; the n-th applies to all remaining tensors. Rates are counted from the end so that
/// they mean the same in networks of different depths.
#[derive(Clone, Copy, Debug)]
pub struct InnerRates(usize);

impl InnerRates {
    /// The schema of the option.
    pub fn option() -> OptionSchema {
        OptionSchema::integer(
            "inner-rates",
            "Number of parameter tensors, counted from the last, with their own inner learning rate; 1: one rate for all.",
            1..=64,
            1,
        )
    }

    /// Reads the option.
    ///
    /// # Errors
    /// The objective does not declare it.
    pub fn new(options: &Options) -> Result<Self, String> {
        Ok(InnerRates(options.integer("inner-rates")? as usize))
    }

    /// The parts of θ: those of [`default_theta`], and the rates if there are several.
    pub fn theta(self, task: &Task) -> Vec<MetaParameter> {
        let mut theta = default_theta(task);
        if self.0 > 1 {
            theta.push(MetaParameter::new("inner_rates", &[self.0], MetaInit::Constant(1.0)).positive());
        }
        theta
    }

    /// Takes an [`inner_step`] with these rates.
    pub fn step(self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        let taught = inner_step(theta, network, fresh);
        if self.0 == 1 {
            return taught;
        }
        let rates = theta.get("inner_rates");
        let from_end = (0..fresh.len()).rev();
        let taught = fresh.iter().zip(&taught).zip(from_end);
        taught.map(|((p, moved), i)| p + rates.slice(0, i.min(self.0 - 1), 1) * (moved - p)).collect()
    }
}

/// Computes the cross-entropy `[b, 1]` of each row of logits `[b, n]` with labels `[b, n]` that sum to 1.
pub fn cross_entropy(outputs: &Tensor, labels: &Tensor) -> Tensor {
    -(outputs.log_softmax(-1) * labels).sum_keep(&[-1])
}
