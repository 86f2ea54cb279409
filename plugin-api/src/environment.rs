use serde::{Deserialize, Serialize};

use crate::Space;

/// When a vectorised environment starts the next episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Autoreset {
    /// In the step that ends an episode: the observation is the next episode's first, and the ended
    /// episode's last observation comes beside it (`final_observations`). Gymnasium's `SAME_STEP`.
    SameStep,
}

/// What an environment is, once its options are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// `name-vN`, or `namespace/name-vN`, as in Gymnasium: a change of dynamics or reward is a new version.
    pub id: String,
    /// One sentence.
    pub summary: String,
    /// Observation space of one environment.
    pub observation: Space,
    /// Action space of one environment.
    pub action: Space,
    /// Steps after which an episode is truncated, when there is a limit.
    pub max_episode_steps: Option<u32>,
    /// The return that counts as solved, when the field has agreed on one.
    pub reward_threshold: Option<f32>,
    /// The return no episode exceeds, when there is one: a run whose validations all reach it is done.
    pub max_return: Option<f32>,
    /// When ended episodes are reset.
    pub autoreset: Autoreset,
}

/// A picture of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `height × width` pixels of three bytes, row by row from the top left.
    Rgb {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// `3 · width · height` bytes.
        pixels: Vec<u8>,
    },
    /// Lines for a terminal.
    Text(String),
}
