//! Tests native plugins that violate the contract: each leads to one clear error, and the host continues. Plugins that crash
//! the process are tested in `isolate.rs`.
use std::path::PathBuf;

use potstill::plugin::{Actions, RenderMode};
use potstill_plugin_api::Role;

use crate::c::compile;
use crate::{registry, settings};

pub(crate) fn hostile(mode: &str) -> PathBuf {
    compile("tests/hostile-native/plugin.c", mode, &[&format!("-DMODE={mode}")])
}

/// Loads the plugin, makes copies, plays and renders. Returns the first error.
fn first_error(mode: &str) -> Option<String> {
    let path = hostile(mode);
    let load = || -> potstill::Result<()> {
        let registry = potstill::plugin::Registry::of(&[path], &[])?;
        let mut environments = registry.make_environments("test/native", &[], 1)?;
        environments.reset(&[1])?;
        for _ in 0..3 {
            environments.step(&Actions::Discrete(vec![0]))?;
        }
        if ["NULL_PICTURE", "HUGE_PICTURE"].contains(&mode) {
            environments.render(0, RenderMode::Rgb)?;
        }
        Ok(())
    };
    load().err().map(|error| error.to_string())
}

#[test]
fn each_violation_is_one_clear_error() {
    assert_eq!(first_error("GOOD"), None);
    for (mode, expected) in [
        ("WRONG_MAGIC", "is not a Potstill plugin (its magic number is wrong)"),
        ("NEWER_MAJOR", "was built against version 99.1 of the C contract; this Potstill supports 0.1"),
        ("NEWER_MINOR", "was built against version 0.99 of the C contract; this Potstill supports 0.1"),
        ("SHORT_DESCRIPTION", "its description has 24 bytes"),
        ("UNKNOWN_ROLE", "unknown role 9"),
        ("NO_ID", "has no id"),
        ("BAD_UTF8", "not UTF-8"),
        ("NO_FUNCTIONS", "has no functions"),
        ("SHORT_TABLE", "table of functions is too short"),
        ("NULL_STEP", "no function `step`"),
        ("HALF_SNAPSHOT", "one of `snapshot` and `restore`"),
        ("NULL_DESCRIPTION", "needs a newer Potstill"),
        ("NULL_OPTIONS", "an array of 1 elements is NULL"),
        ("BAD_OPTION", "is called `Bad Name`; expected 1 to 64 lower-case letters, digits and `-`"),
        ("NO_HANDLE", "in `make`: it returned OK but no handle"),
        ("REFUSES", "plugin `test/native-v1`: these are my words"),
        ("FAILS", "in `make`: these are my words"),
        ("UNKNOWN_CODE", "it returned 77"),
        ("NO_WORDS", "no reason given"),
        ("UNKNOWN_SPACE", "a space has the unknown kind 9"),
        ("NULL_SHAPE", "an array of 1 elements is NULL"),
        ("HUGE_SPACE", "the observation space is wrong"),
        ("NAN_REWARD", "in `step`"),
        ("NAN_OBSERVATION", "in `reset`"),
        ("BAD_FLAG", "in `step`"),
        ("BOTH_FLAGS", "in `step`"),
        ("STEP_FAILS", "in `step`: these are my words"),
        ("NULL_PICTURE", "it drew 4 × 4 pixels"),
        ("HUGE_PICTURE", "pixels"),
    ] {
        let error = first_error(mode).unwrap_or_else(|| panic!("{mode} was not noticed"));
        assert!(error.contains(expected), "{mode}: {error}");
    }
}

#[test]
fn a_library_that_is_not_a_plugin_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("libgarbage.so");
    std::fs::write(&garbage, b"not a library").unwrap();
    let error = |path| potstill::plugin::Registry::of(&[path], &[]).err().unwrap().to_string();
    assert!(error(garbage).contains("cannot be loaded"));
    let empty = folder.path().join("empty.c");
    std::fs::write(&empty, "int x;").unwrap();
    let library = compile(empty.to_str().unwrap(), "empty", &[]);
    assert!(error(library).contains("does not export `potstill_plugin`"));
}

/// The manifest is checked before any code runs, and the binary must agree with it.
#[test]
fn a_library_needs_a_manifest_that_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let manifest = |id: &str| {
        format!(
            "id = \"{id}\"\nrole = \"environment\"\nversion = \"0.1.0\"\napi = \"0.1\"\nsummary = \"s\"\n\
             license = \"MIT\"\nlibrary = \"it\"\n"
        )
    };
    std::fs::copy(hostile("OTHER_ID"), folder.path().join(format!("{prefix}it{suffix}"))).unwrap();
    std::fs::write(folder.path().join("plugin.toml"), manifest("test/native-v1")).unwrap();
    let registry_of = || registry(&[folder.path().to_owned()]);
    let error = registry_of().make_environments("test/native", &[], 1).err().unwrap().to_string();
    assert!(error.contains("the binary says id `test/other-v1`, expected `test/native-v1`"), "{error}");
    std::fs::write(folder.path().join("plugin.toml"), manifest("test/other-v1")).unwrap();
    registry_of().make_environments("test/other", &[], 1).unwrap();
}

/// The example in plain C follows Gymnasium's formula.
#[test]
fn the_mountain_car_in_c() {
    let library = compile("examples/mountain-car/mountain_car.c", "mountain_car", &[]);
    let registry = registry(&[library]);
    let mut cars =
        registry.make_environments("acme/mountain-car", &settings(&[("force", "0.002")]), 2).unwrap();
    let potstill::plugin::Observations::Float(start) = cars.reset(&[1, 2]).unwrap() else { panic!("bytes") };
    assert!(start[0] != start[2] && start[1] == 0.0 && (-0.6..-0.4).contains(&start[0]));
    let (mut position, mut velocity) = (f64::from(start[0]), 0.0f64);
    let mut ended = 0;
    for i in 0..450u32 {
        let action = i / 10 % 3;
        let transition = cars.step(&Actions::Discrete(vec![action, 1])).unwrap();
        let potstill::plugin::Observations::Float(seen) = &transition.observations else { panic!("bytes") };
        ended += u32::from(transition.truncated[1]);
        if ended == 0 && !transition.terminated[0] {
            velocity += (f64::from(action) - 1.0) * 0.002 - 0.0025 * (3.0 * position).cos();
            velocity = velocity.clamp(-0.07, 0.07);
            position = (position + velocity).clamp(-1.2, 0.6);
            if position == -1.2 && velocity < 0.0 {
                velocity = 0.0;
            }
            // The initial state was rounded to single precision once.
            assert!((f64::from(seen[0]) - position).abs() < 1e-5, "step {i}");
        }
    }
    assert_eq!(ended, 2, "the idle car is stopped every 200 steps");
    assert_eq!(registry.find(Role::Environment, "acme/mountain-car").unwrap().loader.to_string(), "native");
}
