//! The loader of native plugins: opens shared libraries, and provides the functions of the program that they may call.
use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::LazyLock;

use potstill_bridge::native::HostTable;
pub(crate) use potstill_bridge::native::{NativeEnvironments, NativeObjective, NativePlugin};
use potstill_plugin_api::abi;

use super::setup;
use super::text::{LONGEST_MESSAGE, tame};
use crate::terminal::tell;

static SETUP: LazyLock<CString> = LazyLock::new(|| {
    let folder = setup::folder();
    abi::c_text(folder.as_deref().and_then(Path::to_str).unwrap_or_default())
});

static HOST: LazyLock<HostTable> = LazyLock::new(|| HostTable::new(Some(log), SETUP.as_ptr()));

/// Writes warnings and errors to standard error, like those of sandboxed plugins.
unsafe extern "C" fn log(level: u32, message: *const c_char) {
    // SAFETY: by the contract it is a string.
    let text = unsafe { abi::text(message) };
    if let (2.., Ok(Some(text))) = (level, text) {
        tell(&format!("plugin: {}", tame(text, LONGEST_MESSAGE)));
    }
}

/// Loads a shared library and returns its plugins. It is never unloaded, because the library's threads and thread-local
/// values would outlive its code.
///
/// # Errors
/// It cannot be loaded, lacks the symbol, or an error of [`NativePlugin::all`].
pub(crate) fn open(path: &Path) -> Result<Vec<NativePlugin>, String> {
    // A name without a path would be searched for among the system's libraries.
    let path = path.canonicalize().map_err(|e| format!("cannot be loaded: {e}"))?;
    // SAFETY: the library's initializers run here; native plugins are trusted.
    let library = unsafe { libloading::Library::new(path) }
        .map_err(|e| format!("cannot be loaded: {}", tame(&e.to_string(), LONGEST_MESSAGE)))?;
    // SAFETY: the contract gives the symbol this type.
    let entry = unsafe { library.get::<abi::Entry>(abi::ENTRY) };
    let entry = *entry.map_err(|_| "does not export `potstill_plugin`: it is not a Potstill plugin")?;
    std::mem::forget(library);
    // SAFETY: native plugins are trusted to keep the contract.
    unsafe { NativePlugin::all(entry, &HOST) }
}

/// The plugins of a crate that is part of the program, from its entry point.
///
/// # Errors
/// As [`NativePlugin::all`].
pub(crate) fn builtin(entry: abi::Entry) -> Result<Vec<NativePlugin>, String> {
    // SAFETY: the code is part of this program, and `builtin!` of the SDK generates it.
    unsafe { NativePlugin::all(entry, &HOST) }
}
