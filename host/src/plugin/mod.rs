//! Plugins.
pub mod environment;
