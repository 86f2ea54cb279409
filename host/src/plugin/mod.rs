//! Plugins: where they come from, how they are loaded, and what the engine sees of them.
//!
//! The engine knows roles, never loaders. Between the two stand four layers, each in its own files:
//!
//! ```text
//! engine      environment.rs   trait Environments: what a role can do, in the engine's types
//!    │        check.rs         Checked: every answer of every loader is checked here, once
//!    │        wasm/            loader: sandboxed components      ┐ each implements
//!    │        builtin.rs       loader: code linked into the host ┘ check::RawEnvironments
//!    ▼        registry.rs      ids → loaders; source.rs finds the files, settings.rs reads the options
//! ```
//!
//! A loader turns a file into a `check::RawEnvironments` and may believe whatever the plugin says; `check`
//! turns that into an [`Environments`] that the engine can rely on. A loader of dynamic libraries is one more file
//! and one more arm where the registry opens an entry.

pub mod builtin;
mod check;
pub mod environment;
mod limits;
mod native;
mod registry;
mod settings;
mod source;
mod text;
mod trace;
mod wasm;

pub use environment::{Actions, Environments, Observations, RenderMode, Transition};
pub use limits::Limits;
pub use registry::{Description, Entry, Loader, Registry};
pub use wasm::{LogLevel, LogSink};
