//! Plugins: where they come from, how they are loaded, and what the engine sees of them.
//!
//! The engine knows roles, never loaders. Between the two stand these layers, each in its own files:
//!
//! ```text
//! potstill-engine              the traits of the three roles
//!    │     potstill-bridge     every answer checked, every graph traced, the C contract called: for all loaders
//!    │        wasm/            loader: sandboxed components
//!    │        native.rs        loader: shared libraries, through the C contract
//!    │        isolate/         loader: shared libraries, each in a process of its own
//!    │        builtin.rs       the plugins that are linked in
//!    ▼        registry.rs      ids → loaders; source.rs finds the files, settings.rs reads the options
//! ```
//!
//! `install.rs` keeps the user's own folder of plugins, `setup.rs` that of what they need beside themselves.
//!
//! A loader need not check what a plugin says: the bridge turns its answers into roles that the engine can rely on.

pub mod builtin;
pub mod install;
#[cfg(unix)]
mod isolate;
mod limits;
mod native;
mod registry;
pub mod setup;
mod source;
mod wasm;

pub(crate) use potstill_bridge::settings::resolve;
use potstill_bridge::{check, declared, settings, text, trace, traced};

pub use crate::engine::environment::{Actions, Environments, Observations, RenderMode, Transition};
pub use limits::Limits;
pub(crate) use registry::is_library;
pub use registry::{Description, Entry, Loader, Registry};
pub use wasm::{LogLevel, LogSink};

#[cfg(unix)]
pub(crate) use isolate::serve;
