//! Plugins that are part of the program, found without a path and updated with it.
//!
//! A built-in environment runs as a component in the sandbox, like any other environment, so that the same code runs on
//! every machine. Learners and objectives only trace a graph, so theirs is native code, behind the same C contract as a
//! shared library's.
use potstill_plugin_api::abi;

/// A plugin inside the program.
pub struct Builtin {
    /// Its `plugin.toml`.
    pub manifest: &'static str,
    /// Its component, if it runs in the sandbox (unless [`prefer_native`](super::Registry::prefer_native) is set).
    pub wasm: Option<&'static [u8]>,
    /// The entry point of the same source, compiled as native code.
    pub native: abi::Entry,
}

// Leaves out the component's bytes.
impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builtin").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

inventory::collect!(Builtin);

/// Registers a first-party plugin by its folder and its crate.
macro_rules! builtin {
    ($folder:literal, $crate_name:ident $(, $wasm:literal)?) => {
        inventory::submit! {
            Builtin {
                manifest: include_str!(concat!("../../../plugins/", $folder, "/plugin.toml")),
                wasm: builtin!(@wasm $folder $($wasm)?),
                native: $crate_name::builtin,
            }
        }
    };
    (@wasm $folder:literal) => { None };
    (@wasm $folder:literal $wasm:literal) => {
        Some(include_bytes!(concat!("../../../plugins/", $folder, "/", $wasm)))
    };
}

builtin!("nd-cartpole", potstill_nd_cartpole, "nd-cartpole.wasm");
builtin!("a2c", potstill_a2c);
builtin!("clone", potstill_clone);
builtin!("gradient-matching", potstill_gradient_matching);
builtin!("hard-label", potstill_hard_label);
builtin!("impala-cnn", potstill_impala_cnn);
builtin!("mlp", potstill_mlp);
builtin!("nature-cnn", potstill_nature_cnn);
builtin!("ppmo", potstill_ppmo);
builtin!("ppmo-as-published", potstill_ppmo_as_published);
builtin!("ppmo-kl", potstill_ppmo_kl);
builtin!("transformer", potstill_transformer);
builtin!("unrolled", potstill_unrolled);
