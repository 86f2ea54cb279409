//! Checks a component with third-party tools.
use std::path::Path;

use wit_component::DecodedWasm;

/// Checks that the file is a valid component of the contract's world for `role`: it exports the role's interface, and
/// imports only interfaces of the contract.
#[track_caller]
pub(crate) fn assert_component(path: &Path, role: &str) {
    let bytes = std::fs::read(path).unwrap();
    // A component begins with the magic number, version 13 and layer 1. A core module has version 1 and layer 0.
    assert_eq!(bytes[..8], *b"\0asm\x0d\0\x01\0", "{}", path.display());
    wasmparser::Validator::new().validate_all(&bytes).unwrap();
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes).unwrap() else {
        panic!("{} is a WIT package", path.display())
    };
    let world = &resolve.worlds[world];
    let interface = |name: &str| format!("potstill:plugin/{name}@{}.0", potstill_plugin_api::API_VERSION);
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key));
    // componentize-py exports another interface, `exports`, which belongs to no package.
    let exports: Vec<String> = exports.filter(|name| name.contains(':')).collect();
    assert_eq!(exports, [interface(role)]);
    let allowed = ["types", "log", "graph", "network"].map(interface);
    for import in world.imports.keys().map(|key| resolve.name_world_key(key)) {
        assert!(allowed.contains(&import), "{import}");
    }
}
