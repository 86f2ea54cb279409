//! Checks that the WIT package is well formed and contains the world of every role.
use wit_parser::Resolve;

#[test]
fn every_role_has_a_world_of_this_version() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/wit")).unwrap();
    let version = resolve.packages[package].name.version.as_ref().unwrap();
    assert_eq!(potstill_plugin_api::API_VERSION, format!("{}.{}", version.major, version.minor));
    for world in ["environment-plugin", "learner-plugin", "objective-plugin"] {
        resolve.select_world(&[package], Some(world)).unwrap();
    }
}
