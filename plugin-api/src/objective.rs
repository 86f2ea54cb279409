//! What the host and an objective tell each other: the task, the parts of θ, and the columns of a batch.
use serde::{Deserialize, Serialize};

use crate::Space;

/// The task that an objective is made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The space of one observation.
    pub observation: Space,
    /// The space of one action.
    pub action: Space,
    /// The number k of synthetic instances to learn.
    pub instances: usize,
    /// The number of outputs of the policy per observation.
    pub outputs: usize,
}

/// How a part of θ is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetaInit {
    /// Every element has this value.
    Constant(f64),
    /// Elements are normal with mean 0 and this standard deviation.
    Normal(f64),
    /// One-hot rows `[k, classes]`: row i is 1 at class i modulo the number of classes, else 0.
    Labels,
}

/// A part of the meta-parameters θ, which are the learned dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaParameter {
    /// The name, which is its key in the dataset.
    pub name: String,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The initialization.
    pub init: MetaInit,
    /// Whether it is learned. Otherwise it keeps its initial value.
    pub learned: bool,
    /// Whether it is kept positive, by learning its logarithm.
    pub positive: bool,
}

impl MetaParameter {
    /// Makes a learned part.
    pub fn new(name: &str, shape: &[usize], init: MetaInit) -> Self {
        MetaParameter { name: name.into(), shape: shape.to_vec(), init, learned: true, positive: false }
    }

    /// Makes the part keep its initial value.
    pub fn fixed(self) -> Self {
        MetaParameter { learned: false, ..self }
    }

    /// Keeps the part positive, by learning its logarithm.
    pub fn positive(self) -> Self {
        MetaParameter { positive: true, ..self }
    }
}

/// The source of the transitions that an outer loss is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// Rollouts of the taught learner, with advantages that the host estimates.
    #[default]
    Rollouts,
    /// A fixed dataset of transitions.
    Offline,
}

/// A tensor of the batch. It has one row for each of the batch's `b` transitions, except for [`Column::Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Column {
    /// The observations, `[b, …observation]`.
    Observations,
    /// The actions: indices `[b, 1]` for a `Discrete` space, else `[b, size]`.
    Actions,
    /// The log-probability of each action when it was taken, `[b, 1]`. Only for rollouts.
    LogProbs,
    /// The policy's outputs when the action was taken, `[b, outputs]`. Only for rollouts.
    Outputs,
    /// The advantage estimates, not normalized, `[b, 1]`. Only for rollouts.
    Advantages,
    /// The return estimates, which are advantage plus value, `[b, 1]`. Only for rollouts.
    Returns,
    /// The critic's values, `[b, 1]`. Only for rollouts.
    Values,
    /// The outputs of the teacher, an agent that the user names, for the same observations, `[b, outputs]`: the
    /// log-probabilities of all actions, or means and log standard deviations. Only for rollouts.
    Teacher,
    /// The fraction of the run's meta-epochs that is done, in `[0, 1)`, `[1, 1]`.
    Progress,
}

impl Column {
    /// All columns.
    pub const ALL: [Column; 9] = [
        Column::Observations,
        Column::Actions,
        Column::LogProbs,
        Column::Outputs,
        Column::Advantages,
        Column::Returns,
        Column::Values,
        Column::Teacher,
        Column::Progress,
    ];

    /// Returns the name of the column in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Column::Observations => "observations",
            Column::Actions => "actions",
            Column::LogProbs => "log_probs",
            Column::Outputs => "outputs",
            Column::Advantages => "advantages",
            Column::Returns => "returns",
            Column::Values => "values",
            Column::Teacher => "teacher",
            Column::Progress => "progress",
        }
    }

    /// Returns the column with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Column::ALL.into_iter().find(|column| column.name() == name)
    }
}
