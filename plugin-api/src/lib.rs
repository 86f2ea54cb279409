//! The contract between Potstill and its plugins: the WIT package (`wit/`), the C header (`include/`), spaces,
//! environment specifications, option schemas and the manifest. It contains no loader and no engine.
//!
//! # Versions
//! Three version numbers change for different reasons:
//! - [`API_VERSION`] is the version of the contract, the interface between plugin and host.
//! - The `N` of an id `name-vN` changes when the plugin computes something else, so that published results keep their
//!   meaning.
//! - The manifest's `version` identifies the release of one binary.
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
mod toml_error;
mod version;

pub use environment::{Autoreset, EnvironmentSpec, Frame};
pub use id::{PluginId, PluginIdError};
pub use learner::{Init, LearnerShape};
pub use manifest::{LimitWishes, Manifest, ManifestError, Provided, Role};
pub use objective::{Column, Data, MetaInit, MetaParameter, Task};
pub use option::{OptionKind, OptionSchema, OptionValue};
pub use setup::{Dependencies, Wheel, WheelFile};
pub use space::{Space, SpaceError};
pub use toml_error::toml_error;
pub use version::{API_VERSION, check_api_version};
