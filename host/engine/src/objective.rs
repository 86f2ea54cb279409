//! The objective role: the rule that teaches a learner from θ, and the loss that judges the taught one.
use potstill_plugin_api::{Column, Data, MetaParameter};
use serde_json::Value;

use crate::error::Result;
use crate::graph::Tensor;
use crate::learner::Learner;
use crate::policy::Policy;

/// The learner as a function of the parameters that are taught: those of its encoder, if it has one, are bound.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The learner.
    pub learner: &'a dyn Learner,
    /// Which of its parameters belong to φ, in order.
    pub phi_mask: &'a [bool],
    /// The others (ξ), in order.
    pub encoder: &'a [Tensor],
    /// What its outputs mean.
    pub policy: Policy,
}

impl Network<'_> {
    /// `[batch, …]` to `[batch, outputs]`, with `parameters` for those that are taught.
    ///
    /// # Errors
    /// The learner's.
    pub fn apply(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        self.learner.forward(&merge(self.phi_mask, self.encoder, parameters), observations)
    }
}

/// All parameters of a learner from those of its encoder (ξ) and the taught ones (φ).
pub(crate) fn merge(phi_mask: &[bool], encoder: &[Tensor], phi: &[Tensor]) -> Vec<Tensor> {
    let (mut encoder, mut phi) = (encoder.iter(), phi.iter());
    let pick = |&is_phi: &bool| if is_phi { phi.next() } else { encoder.next() };
    phi_mask.iter().filter_map(pick).cloned().collect()
}

/// What [`Objective::outer`] judges.
pub struct Judged<'a> {
    /// θ, in the order of [`Objective::theta`].
    pub theta: &'a [Tensor],
    /// φ.
    pub fresh: &'a [Tensor],
    /// φ′.
    pub taught: &'a [Tensor],
    /// The batch, in the order of [`Objective::columns`].
    pub columns: &'a [Tensor],
}

/// What a meta-objective gives back.
pub struct Outer {
    /// What θ (and ξ) descends, a scalar.
    pub loss: Tensor,
    /// Scalars to log, by name.
    pub metrics: Vec<(String, Tensor)>,
}

/// A meta-objective for one task.
pub trait Objective: Send + Sync {
    /// The plugin's id, e.g. `ppmo-v1`.
    fn id(&self) -> &str;

    /// What is needed to make this objective again: its options.
    fn specification(&self) -> Value;

    /// What it learns from.
    fn data(&self) -> Data;

    /// θ: `x`, `y`, `inner_lr`, and what else it learns.
    fn theta(&self) -> &[MetaParameter];

    /// What of a batch [`Self::outer`] reads.
    fn columns(&self) -> &[Column];

    /// φ → φ′: the parameters after learning from θ, in the order of `fresh`.
    ///
    /// # Errors
    /// The plugin failed. Mistakes of tracing are the graph's.
    fn inner(&self, network: &Network<'_>, theta: &[Tensor], fresh: &[Tensor]) -> Result<Vec<Tensor>>;

    /// The loss of the taught learner on a batch.
    ///
    /// # Errors
    /// As [`Self::inner`].
    fn outer(&self, network: &Network<'_>, judged: &Judged<'_>) -> Result<Outer>;
}
