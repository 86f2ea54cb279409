//! Plugins: where they come from, how they are loaded, and what the engine sees of them.
//!
//! The engine knows roles, never loaders. Between the two stand these layers, each in its own files:
//!
//! ```text
//! engine      environment.rs   trait Environments: what a role can do, in the engine's types
//!    │        check.rs         Checked: every answer of every environment is checked here, once
//!    │        declared.rs      the same for what learners and objectives say of themselves
//!    │        trace.rs         the graph that learners and objectives write, every argument checked, once
//!    │        wasm/            loader: sandboxed components                       ┐ a file for each role,
//!    │        native/          loader: the C contract, in a library or linked in  ┤ over check, trace, traced
//!    │        isolate/         loader: the C contract, in a process of its own    ┘
//!    │        builtin.rs       the plugins that are linked in
//!    ▼        registry.rs      ids → loaders; source.rs finds the files, settings.rs reads the options
//! ```
//!
//! `install.rs` keeps the user's own folder of plugins, `setup.rs` that of what they need beside themselves.
//!
//! A loader may believe whatever the plugin says: `check` turns its `check::RawEnvironments` into an [`Environments`]
//! that the engine can rely on, and the graph keeps the first mistake of a call that traces.

pub mod builtin;
mod check;
mod declared;
pub mod environment;
pub mod install;
#[cfg(unix)]
mod isolate;
mod limits;
mod native;
mod registry;
mod settings;
pub mod setup;
mod source;
pub(crate) mod text;
mod trace;
mod traced;
mod wasm;

pub use environment::{Actions, Environments, Observations, RenderMode, Transition};
pub use limits::Limits;
pub(crate) use registry::is_library;
pub use registry::{Description, Entry, Loader, Registry};
pub(crate) use settings::resolve;
pub(crate) use wasm::encode;
pub use wasm::{LogLevel, LogSink};

#[cfg(unix)]
pub(crate) use isolate::serve;
