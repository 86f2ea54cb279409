//! The objective role: the rule that teaches a learner from θ, and the loss that judges the taught one.
use serde_json::Value;

use super::learner::{Learner, Parameter, apply};
use crate::graph::Tensor;

/// θ as tensors of a graph.
#[derive(Clone, Debug)]
pub struct Theta {
    /// Instances, `[k, …observation]`.
    pub x: Tensor,
    /// Labels, `[k, outputs]`.
    pub y: Tensor,
    /// The learned inner learning rate η, a scalar.
    pub inner_lr: Tensor,
}

/// The learner as a function of its parameters.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    pub(super) learner: &'a dyn Learner,
    pub(super) parameters: &'a [Parameter],
    pub(super) outputs: usize,
}

impl Network<'_> {
    /// `[batch, …]` to `[batch, outputs]` with `values` for the parameters.
    pub fn apply(&self, values: &[Tensor], observations: &Tensor) -> Tensor {
        apply(self.learner, self.parameters, values, observations, self.outputs)
    }
}

/// What the inner rule works with.
pub struct Inner<'a> {
    /// θ.
    pub theta: &'a Theta,
    /// The learner.
    pub network: Network<'a>,
    /// All parameters before the step: ξ for layers before l, φ for the others.
    pub initial: &'a [Tensor],
    /// Which of `initial` the step teaches (those of φ).
    pub taught: &'a [bool],
}

/// A minibatch of rollouts, `b` rows.
pub struct Batch {
    /// `[b, …observation]`.
    pub observations: Tensor,
    /// Actions as indices, `[b, 1]`.
    pub actions: Tensor,
    /// Log-probability each action had when it was taken, `[b, 1]`.
    pub log_probs: Tensor,
    /// Advantage estimates, not normalised, `[b, 1]`.
    pub advantages: Tensor,
}

/// What a meta-objective gives back.
pub struct Outer {
    /// What θ (and ξ) descends, a scalar.
    pub loss: Tensor,
    /// Scalars to log, by name.
    pub metrics: Vec<(&'static str, Tensor)>,
}

/// How advantages are estimated from rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// Schulman et al. 2016: truncation bootstraps from the final observation, termination does not.
    Gae,
    /// As published with Wilhelm & Ventura 2025: the end flags read one step early, truncation counted as
    /// termination. For comparison only.
    GaeAsPublished,
}

/// A meta-objective.
pub trait Objective: Send + Sync {
    /// The plugin's id, e.g. `ppmo`.
    fn id(&self) -> &str;

    /// What is needed to make this objective again.
    fn specification(&self) -> Value;

    /// How the engine estimates advantages for it.
    fn estimator(&self) -> Estimator {
        Estimator::Gae
    }

    /// φ → φ′: the parameters after learning from θ, in the order of `inner.initial`.
    fn inner(&self, inner: &Inner<'_>) -> Vec<Tensor>;

    /// The loss of the policy's `outputs` `[b, n]` (logits) for `batch`.
    fn outer(&self, outputs: &Tensor, batch: &Batch) -> Outer;
}
