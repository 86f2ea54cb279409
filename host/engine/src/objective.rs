//! The objective role: the inner rule, which teaches a learner from θ, and the outer loss, which scores the taught
//! learner.
use potstill_plugin_api::{Column, Data, MetaParameter};
use serde_json::Value;

use crate::error::Result;
use crate::graph::Tensor;
use crate::learner::Learner;
use crate::policy::Policy;

/// The learner as a function of φ, the parameters that are taught. Those of its encoder ξ, if it has one, are bound.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The learner.
    pub learner: &'a dyn Learner,
    /// For each of its parameters, whether it belongs to φ.
    pub phi_mask: &'a [bool],
    /// The other parameters, ξ, in the learner's order.
    pub encoder: &'a [Tensor],
    /// What its outputs mean.
    pub policy: Policy,
}

impl Network<'_> {
    /// Traces the learner on `observations` `[batch, …]`, with `parameters` for φ. The result is `[batch, outputs]`.
    ///
    /// # Errors
    /// An error of the learner.
    pub fn apply(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        self.learner.forward(&merge(self.phi_mask, self.encoder, parameters), observations)
    }
}

/// Merges the parameters of the encoder (ξ) and the taught ones (φ) in the learner's order.
pub(crate) fn merge<T: Clone>(phi_mask: &[bool], encoder: &[T], phi: &[T]) -> Vec<T> {
    let (mut encoder, mut phi) = (encoder.iter(), phi.iter());
    let pick = |&is_phi: &bool| if is_phi { phi.next() } else { encoder.next() };
    phi_mask.iter().filter_map(pick).cloned().collect()
}

/// The inputs of the outer loss, [`Objective::outer`].
pub struct Judged<'a> {
    /// θ, in the order of [`Objective::theta`].
    pub theta: &'a [Tensor],
    /// φ, the parameters before the inner rule.
    pub fresh: &'a [Tensor],
    /// φ′, the parameters after the inner rule.
    pub taught: &'a [Tensor],
    /// The batch, in the order of [`Objective::columns`].
    pub columns: &'a [Tensor],
}

/// The result of the outer loss.
pub struct Outer {
    /// The loss that θ and ξ descend, a scalar.
    pub loss: Tensor,
    /// Scalars to log, by name.
    pub metrics: Vec<(String, Tensor)>,
}

/// A meta-objective for one task.
pub trait Objective: Send + Sync {
    /// The plugin's id, e.g. `ppmo-v1`.
    fn id(&self) -> &str;

    /// The options that recreate this objective.
    fn specification(&self) -> Value;

    /// Whether it learns from rollouts or from offline data.
    fn data(&self) -> Data;

    /// The parts of θ: `x`, `y`, `inner_lr`, and whatever else the objective learns.
    fn theta(&self) -> &[MetaParameter];

    /// The columns of a batch that [`Self::outer`] reads.
    fn columns(&self) -> &[Column];

    /// Traces the inner rule φ → φ′: returns the parameters after learning from θ, in the order and shapes of `fresh`.
    ///
    /// # Errors
    /// The plugin failed. Errors of tracing are recorded in the graph.
    fn inner(&self, network: &Network<'_>, theta: &[Tensor], fresh: &[Tensor]) -> Result<Vec<Tensor>>;

    /// Traces the outer loss of the taught learner on a batch.
    ///
    /// # Errors
    /// The errors of [`Self::inner`].
    fn outer(&self, network: &Network<'_>, judged: &Judged<'_>) -> Result<Outer>;
}
