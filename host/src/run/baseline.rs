//! `baseline.json`: what policies that do not look score in the environment of a run.
use serde::{Deserialize, Serialize};

use super::dataset::DatasetEnvironment;
use crate::engine::baseline::{Played, Tally};

/// The name of random actions.
pub const RANDOM: &str = "random";

/// What a policy scores that does not look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The name of the policy, e.g. `random` or `action 3`.
    pub policy: String,
    /// The episodes that it played.
    #[serde(flatten)]
    pub tally: Tally,
    /// The probabilities of all actions, `[actions]`, if it draws actions from a distribution that was searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Vec<f64>>,
}

impl Baseline {
    /// The baseline of the policy of this name, which has `played`.
    pub fn new(policy: &str, played: &Played) -> Self {
        Baseline { policy: policy.to_owned(), tally: played.tally(), probabilities: None }
    }

    /// Whether it is of a constant action.
    pub fn is_constant(&self) -> bool {
        self.probabilities.is_none() && self.policy != RANDOM
    }
}

/// The content of `baseline.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The environment of validation and scores.
    pub environment: DatasetEnvironment,
    /// The seed of episodes and actions.
    pub seed: u64,
    /// The most steps that were to be taken in all.
    pub most_steps: usize,
    /// The number of constant actions that were played.
    pub constants: usize,
    /// Random actions and the best constant action; none if one episode of each policy takes too many steps.
    pub baselines: Vec<Baseline>,
}
