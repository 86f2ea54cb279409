//! The objective role: the rule that teaches a learner from θ, and the loss that judges the taught one.
use potstill_plugin_api::{Column, Data, MetaInit, MetaParameter, OptionSchema, Task};

use crate::{Options, Tensor, loss};

/// θ: its parts by name.
#[derive(Clone, Debug)]
pub struct Theta(pub(crate) Vec<(String, Tensor)>);

impl Theta {
    /// The part `name`, which [`Objective::theta`] declared.
    ///
    /// # Panics
    /// It did not.
    pub fn get(&self, name: &str) -> &Tensor {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, tensor)) => tensor,
            None => panic!("the objective reads `{name}` of theta, which it does not declare"),
        }
    }

    /// X, `[k, …observation]`.
    pub fn x(&self) -> &Tensor {
        self.get("x")
    }

    /// Y, `[k, outputs]`.
    pub fn y(&self) -> &Tensor {
        self.get("y")
    }

    /// η, the inner learning rate, a scalar.
    pub fn inner_lr(&self) -> &Tensor {
        self.get("inner_lr")
    }
}

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
pub use crate::guest::tracing::Network;
#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
pub use crate::native::tracing::Network;

/// What [`Objective::outer`] judges.
#[derive(Debug)]
pub struct Outer<'a> {
    /// θ.
    pub theta: &'a Theta,
    /// The learner as a function.
    pub network: &'a Network,
    /// Its parameters before the inner rule.
    pub fresh: &'a [Tensor],
    /// And after it.
    pub taught: &'a [Tensor],
    pub(crate) columns: Vec<(Column, Tensor)>,
}

impl Outer<'_> {
    /// A tensor of the batch, which [`Objective::columns`] asked for.
    ///
    /// # Panics
    /// It did not.
    pub fn batch(&self, column: Column) -> &Tensor {
        match self.columns.iter().find(|(known, _)| *known == column) {
            Some((_, tensor)) => tensor,
            None => panic!("the objective reads {column:?} of the batch, which it does not ask for"),
        }
    }

    /// The taught learner's outputs for the batch's observations, `[b, outputs]`.
    pub fn outputs(&self) -> Tensor {
        self.network.apply(self.taught, self.batch(Column::Observations))
    }
}

/// A loss with what to log.
#[derive(Debug)]
pub struct Outcome {
    /// A scalar, to be made small.
    pub loss: Tensor,
    /// Scalars by name.
    pub metrics: Vec<(&'static str, Tensor)>,
}

/// A meta-objective.
pub trait Objective: Sized + Send + 'static {
    /// `name-vN` or `namespace/name-vN`; a change of what is computed is a new `N`.
    const ID: &'static str;
    /// Release of the plugin; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;

    /// The options that [`Objective::new`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// Makes the objective for one task.
    ///
    /// # Errors
    /// This task or these options are not supported, in words for the user.
    fn new(task: &Task, options: &Options) -> Result<Self, String>;

    /// What it learns from.
    fn data(&self) -> Data {
        Data::Rollouts
    }

    /// θ. It has `x` `[k, …observation]`, `y` `[k, outputs]` and `inner_lr` `[]`; what else there is, the objective
    /// decides. The default is the published one: X, Y ~ N(0, 1), a learned rate that starts at 1 unless the user sets another.
    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        default_theta(task)
    }

    /// What of the batch [`Objective::outer`] reads.
    fn columns(&self) -> Vec<Column>;

    /// φ → φ′: the parameters after learning from θ, as many as `fresh` and shaped alike. The default is
    /// [`loss::inner_step`].
    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        loss::inner_step(theta, network, fresh)
    }

    /// The loss of the taught learner on a batch.
    fn outer(&self, outer: &Outer<'_>) -> Outcome;
}

/// X, Y ~ N(0, 1) and a learned inner learning rate.
pub fn default_theta(task: &Task) -> Vec<MetaParameter> {
    let x: Vec<usize> = std::iter::once(task.instances).chain(task.observation.shape()).collect();
    vec![
        MetaParameter::new("x", &x, MetaInit::Normal(1.0)),
        MetaParameter::new("y", &[task.instances, task.outputs], MetaInit::Normal(1.0)),
        MetaParameter::new("inner_lr", &[], MetaInit::Constant(1.0)).positive(),
    ]
}
