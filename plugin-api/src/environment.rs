//! The specification of an environment, and the frames that it renders.
use serde::{Deserialize, Serialize};

use crate::Space;

/// When a vectorized environment starts the next episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Autoreset {
    /// In the same step that ends an episode, as Gymnasium's `SAME_STEP`. The step's observation is the first one of the
    /// next episode, and `final_observations` holds the last one of the episode that ended.
    SameStep,
}

/// The specification of an environment, once its options are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// The id, `name-vN` or `namespace/name-vN` as in Gymnasium. `N` increases when dynamics or rewards change.
    pub id: String,
    /// A description in one sentence.
    pub summary: String,
    /// The observation space of one environment.
    pub observation: Space,
    /// The action space of one environment.
    pub action: Space,
    /// The number of steps after which an episode is truncated, or `None` for no limit.
    pub max_episode_steps: Option<u32>,
    /// The return at which the environment counts as solved, if there is an agreed one.
    pub reward_threshold: Option<f32>,
    /// The highest possible return of an episode, if there is one. A run stops early once all its validations reach it.
    pub max_return: Option<f32>,
    /// When an environment whose episode ended is reset.
    pub autoreset: Autoreset,
}

/// A rendered frame of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An image of `height × width` RGB pixels, in row-major order from the top left.
    Rgb {
        /// The number of pixels per row.
        width: u32,
        /// The number of rows.
        height: u32,
        /// The pixels, `3 · width · height` bytes.
        pixels: Vec<u8>,
    },
    /// Lines of text for a terminal.
    Text(String),
}
