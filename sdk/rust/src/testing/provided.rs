//! Compares a library with its manifest.
use potstill_plugin_api::abi::{self, Plugin};
use potstill_plugin_api::{Manifest, Provided};

/// Checks that a library of several environments contains what its manifest says, in the same order. `plugin` is what the
/// library's `potstill_plugin` returns.
///
/// # Panics
/// An id, a summary, the version or the number of plugins differs.
///
/// # Safety
/// `plugin` is null, or it and those behind it are descriptions as the contract says.
pub unsafe fn assert_provides(mut plugin: *const Plugin, manifest: &Manifest) {
    for Provided { id, summary } in &manifest.provides {
        // SAFETY: the caller's.
        let described = unsafe { plugin.as_ref() }.unwrap_or_else(|| panic!("the library has no {id}"));
        // SAFETY: the texts of a description are C strings.
        let text = |text| unsafe { abi::text(text) }.expect("a text is UTF-8").expect("a text is there");
        assert_eq!((text(described.id), text(described.summary)), (&*id.to_string(), &**summary));
        assert_eq!(text(described.version), manifest.version);
        plugin = described.next;
    }
    assert!(plugin.is_null(), "the library has plugins that are not in its manifest");
}
