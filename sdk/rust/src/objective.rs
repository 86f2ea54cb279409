//! The objective role: the inner rule that trains a learner on θ, and the outer loss that evaluates the trained learner.
use potstill_plugin_api::{Column, Data, MetaInit, MetaParameter, OptionSchema, Task};

use crate::{Options, Tensor, loss};

/// The meta-parameters θ, which are the learned dataset: tensors by name.
#[derive(Clone, Debug)]
pub struct Theta(pub(crate) Vec<(String, Tensor)>);

impl Theta {
    /// Returns the part `name` of θ.
    ///
    /// # Panics
    /// Panics if [`Objective::theta`] does not declare this part.
    pub fn get(&self, name: &str) -> &Tensor {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, tensor)) => tensor,
            None => panic!("the objective reads `{name}` of theta, which it does not declare"),
        }
    }

    /// The synthetic observations X, `[k, …observation]`.
    pub fn x(&self) -> &Tensor {
        self.get("x")
    }

    /// The synthetic labels Y, `[k, outputs]`.
    pub fn y(&self) -> &Tensor {
        self.get("y")
    }

    /// The inner learning rate η, a scalar.
    pub fn inner_lr(&self) -> &Tensor {
        self.get("inner_lr")
    }
}

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
pub use crate::guest::tracing::Network;
#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
pub use crate::native::tracing::Network;

/// The inputs of [`Objective::outer`].
#[derive(Debug)]
pub struct Outer<'a> {
    /// The meta-parameters θ.
    pub theta: &'a Theta,
    /// The learner as a function of its parameters.
    pub network: &'a Network,
    /// The learner's parameters before the inner rule, φ.
    pub fresh: &'a [Tensor],
    /// The learner's parameters after the inner rule, φ′.
    pub taught: &'a [Tensor],
    pub(crate) columns: Vec<(Column, Tensor)>,
}

impl Outer<'_> {
    /// Returns a column of the batch.
    ///
    /// # Panics
    /// Panics if [`Objective::columns`] does not request this column.
    pub fn batch(&self, column: Column) -> &Tensor {
        match self.columns.iter().find(|(known, _)| *known == column) {
            Some((_, tensor)) => tensor,
            None => {
                panic!("the objective reads {column:?} of the batch, which it does not request in `columns`")
            }
        }
    }

    /// Computes the outputs `[b, outputs]` of the taught learner for the observations of the batch.
    pub fn outputs(&self) -> Tensor {
        self.network.apply(self.taught, self.batch(Column::Observations))
    }
}

/// A loss, with metrics to log.
#[derive(Debug)]
pub struct Outcome {
    /// The loss, a scalar to minimize.
    pub loss: Tensor,
    /// The metrics: scalars by name.
    pub metrics: Vec<(&'static str, Tensor)>,
}

/// A meta-objective for one task: θ, the inner rule and the outer loss.
pub trait Objective: Sized + Send + 'static {
    /// The id: `name-vN` or `namespace/name-vN`. Increase `N` when the results change.
    const ID: &'static str;
    /// The version of this release of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// A description of the objective in one sentence.
    const SUMMARY: &'static str;

    /// The options that [`Objective::new`] reads.
    fn options() -> Vec<OptionSchema> {
        vec![]
    }

    /// Makes the objective for one task.
    ///
    /// # Errors
    /// Fails if the task or the options are not supported; the message is shown to the user.
    fn new(task: &Task, options: &Options) -> Result<Self, String>;

    /// The source of the transitions that the outer loss is computed on.
    fn data(&self) -> Data {
        Data::Rollouts
    }

    /// The parts of θ. They must include `x` `[k, …observation]`, `y` `[k, outputs]` and `inner_lr` `[]`; an objective may
    /// add others. The default follows the paper: X, Y ~ N(0, 1), and a learned inner learning rate that starts at 1
    /// unless the user sets another value.
    fn theta(&self, task: &Task) -> Vec<MetaParameter> {
        default_theta(task)
    }

    /// The columns of the batch that [`Objective::outer`] reads.
    fn columns(&self) -> Vec<Column>;

    /// The inner rule φ → φ′: returns the learner's parameters after training on θ, with the same number and shapes as
    /// `fresh`. The default is [`loss::inner_step`].
    fn inner(&self, theta: &Theta, network: &Network, fresh: &[Tensor]) -> Vec<Tensor> {
        loss::inner_step(theta, network, fresh)
    }

    /// The outer loss of the taught learner on a batch.
    fn outer(&self, outer: &Outer<'_>) -> Outcome;
}

/// The default parts of θ: X, Y ~ N(0, 1) and a learned inner learning rate that starts at 1.
pub fn default_theta(task: &Task) -> Vec<MetaParameter> {
    let x: Vec<usize> = std::iter::once(task.instances).chain(task.observation.shape()).collect();
    vec![
        MetaParameter::new("x", &x, MetaInit::Normal(1.0)),
        MetaParameter::new("y", &[task.instances, task.outputs], MetaInit::Normal(1.0)),
        MetaParameter::new("inner_lr", &[], MetaInit::Constant(1.0)).positive(),
    ]
}
