use serde::{Deserialize, Serialize};

use crate::Space;

/// What an objective is told about the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Space of one observation.
    pub observation: Space,
    /// Space of one action.
    pub action: Space,
    /// k: synthetic instances to learn.
    pub instances: usize,
    /// Outputs of the policy for each observation.
    pub outputs: usize,
}

/// How a part of θ starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetaInit {
    /// All this value.
    Constant(f64),
    /// Mean 0 and this standard deviation.
    Normal(f64),
    /// `[k, classes]`: row i is 1 at class i modulo the number of classes, else 0.
    Labels,
}

/// A part of θ, the dataset that is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaParameter {
    /// Its key in the dataset.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: MetaInit,
    /// Whether it is learned, or stays as it starts.
    pub learned: bool,
    /// Whether it is learned as its logarithm.
    pub positive: bool,
}

impl MetaParameter {
    /// One that is learned.
    pub fn new(name: &str, shape: &[usize], init: MetaInit) -> Self {
        MetaParameter { name: name.into(), shape: shape.to_vec(), init, learned: true, positive: false }
    }

    /// One that stays as it starts.
    pub fn fixed(self) -> Self {
        MetaParameter { learned: false, ..self }
    }

    /// One that is above 0, and learned as its logarithm.
    pub fn positive(self) -> Self {
        MetaParameter { positive: true, ..self }
    }
}

/// Where the transitions that a loss is computed on come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// The taught learner's own rollouts, with the advantages that the host estimates.
    #[default]
    Rollouts,
    /// A fixed set of transitions.
    Offline,
}

/// A tensor of the batch: one row for each of its `b` transitions, but for [`Column::Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Column {
    /// `[b, …]`.
    Observations,
    /// `[b, 1]` indices, or `[b, size]`.
    Actions,
    /// Log-probability each action had when it was taken, `[b, 1]`. Of rollouts.
    LogProbs,
    /// The policy's outputs when the action was taken, `[b, outputs]`. Of rollouts.
    Outputs,
    /// Advantage estimates, not normalised, `[b, 1]`. Of rollouts.
    Advantages,
    /// Advantage plus value, `[b, 1]`. Of rollouts.
    Returns,
    /// The critic's, `[b, 1]`. Of rollouts.
    Values,
    /// The share of the run's meta-epochs that is done, in `[0, 1)`, `[1, 1]`.
    Progress,
}

impl Column {
    /// All there are.
    pub const ALL: [Column; 8] = [
        Column::Observations,
        Column::Actions,
        Column::LogProbs,
        Column::Outputs,
        Column::Advantages,
        Column::Returns,
        Column::Values,
        Column::Progress,
    ];

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Column::Observations => "observations",
            Column::Actions => "actions",
            Column::LogProbs => "log_probs",
            Column::Outputs => "outputs",
            Column::Advantages => "advantages",
            Column::Returns => "returns",
            Column::Values => "values",
            Column::Progress => "progress",
        }
    }

    /// The column with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Column::ALL.into_iter().find(|column| column.name() == name)
    }
}
