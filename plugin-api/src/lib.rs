//! The contract between Potstill and its plugins, and nothing else: the WIT package (`wit/`), spaces,
//! environment specifications, option schemas and the manifest. It knows no loader and no engine.
#![warn(missing_docs)]

mod environment;
mod option;
mod space;

pub use environment::{Autoreset, EnvironmentSpec, Frame};
pub use option::{OptionKind, OptionSchema, OptionValue};
pub use space::{Space, SpaceError};
