//! Plugins from the outside: the built-in cart-pole, hostile guests, the registry.
mod conformance;
mod hostile;
mod loaders;
mod native;
mod nd_cartpole;
mod registry;

use std::path::PathBuf;

use potstill::plugin::Registry;

/// A registry that sees nothing of this machine but what the test names.
fn registry(plugins: &[PathBuf]) -> Registry {
    Registry::of(plugins, &[]).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
