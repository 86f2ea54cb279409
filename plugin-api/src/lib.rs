//! The contract between Potstill and its plugins, and nothing else: the WIT package (`wit/`), the C header (`include/`), spaces,
//! environment specifications, option schemas and the manifest. It knows no loader and no engine.
//!
//! # Versions
//! Three numbers that change for different reasons:
//! - the contract's, [`API_VERSION`]: what plugin and host say to each other;
//! - the `N` of an id `name-vN`: what the plugin computes, so that a published result keeps its meaning;
//! - the manifest's `version`: the release of one binary.
#![warn(missing_docs)]

pub mod abi;
mod environment;
mod id;
mod learner;
mod manifest;
mod objective;
mod option;
mod setup;
mod space;
mod version;

pub use environment::{Autoreset, EnvironmentSpec, Frame};
pub use id::{PluginId, PluginIdError};
pub use learner::{Init, LearnerShape};
pub use manifest::{LimitWishes, Manifest, ManifestError, Provided, Role};
pub use objective::{Column, Data, MetaInit, MetaParameter, Task};
pub use option::{OptionKind, OptionSchema, OptionValue};
pub use setup::{Setup, Wheel, WheelFile};
pub use space::{Space, SpaceError};
pub use version::{API_VERSION, check_api_version};
