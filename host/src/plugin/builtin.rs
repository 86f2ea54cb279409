//! Plugins that are part of the program: found without a path, updated with the program.
//!
//! A built-in environment carries its component and is sandboxed like any other, so that what runs is the same for
//! everybody. Learners and objectives compute nothing while they run, so theirs is native code, behind the same C
//! contract as a shared library's.
use potstill_plugin_api::abi;

/// A plugin inside the program.
pub struct Builtin {
    /// Its `plugin.toml`.
    pub manifest: &'static str,
    /// Its component, where it runs in the sandbox unless [`prefer_native`](super::Registry::prefer_native) is set.
    pub wasm: Option<&'static [u8]>,
    /// The same source as native code.
    pub native: abi::Entry,
}

// Without the component's bytes.
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
