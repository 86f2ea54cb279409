//! Tests plugins through the public interface: the built-in cart-pole, hostile guests, native libraries and the registry.
mod conformance;
mod frozen;
mod hostile;
#[cfg(unix)]
mod isolate;
mod loaders;
mod native;
mod nd_cartpole;
mod registry;
mod several;

#[path = "../common/c.rs"]
mod c;
#[path = "../common/component.rs"]
mod component;
#[path = "../common/hurried.rs"]
mod hurried;

use std::path::PathBuf;

use potstill::plugin::Registry;

/// Makes a registry that knows only the plugins that the test names, and none that are installed on this machine.
fn registry(plugins: &[PathBuf]) -> Registry {
    Registry::of(plugins, &[]).unwrap()
}

/// Makes the same registry, but with native plugins in separate processes.
fn isolated(plugins: &[PathBuf]) -> Registry {
    Registry::isolated(plugins, &[], env!("CARGO_BIN_EXE_potstill").into()).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
