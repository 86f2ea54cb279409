//! Plugins: how they are found, loaded and checked before the engine uses them.
//!
//! The engine knows roles, never loaders. These layers lie between the two:
//!
//! ```text
//! potstill-engine              defines the traits of the three roles
//!    │     potstill-bridge     for all loaders: checks answers, traces graphs, calls the C contract
//!    │        wasm/            loader: sandboxed components
//!    │        native.rs        loader: shared libraries, through the C contract
//!    │        isolate/         loader: shared libraries, each in a separate process
//!    │        builtin.rs       the plugins that are linked into the program
//!    ▼        registry.rs      ids → loaders; source.rs finds files, settings.rs parses options
//! ```
//!
//! `install.rs` manages the user's folder of plugins, `setup.rs` the folder of their external dependencies.
//!
//! Loaders pass on whatever a plugin answers; the bridge turns the answers into roles that the engine can rely on.

pub mod builtin;
mod gymnasium;
pub mod install;
#[cfg(unix)]
mod isolate;
mod limits;
mod log;
mod native;
mod recorded;
mod registry;
pub mod setup;
mod source;
mod wasm;

pub(crate) use potstill_bridge::settings::resolve;
pub(crate) use potstill_bridge::text;
use potstill_bridge::{check, declared, settings, trace, traced};

pub use crate::engine::environment::{Actions, Environments, Observations, RenderMode, Transition};
pub use limits::Limits;
pub use recorded::Recorded;
pub use registry::{Description, Entry, Loader, Registry};
pub(crate) use source::is_library;
#[cfg(unix)]
pub(crate) use wasm::apart;
pub(crate) use wasm::encode;
pub(crate) use wasm::hex;
pub use wasm::{LogLevel, LogSink, compile_apart};

#[cfg(unix)]
pub(crate) use isolate::serve;
