//! Tests several plugins in one shared library, which are found, named and run like any other plugin.
use std::path::{Path, PathBuf};

use potstill::plugin::{Actions, Loader, Observations, Registry, RenderMode};
use potstill_plugin_api::{Frame, Role};

use crate::c::compile;
use crate::{isolated, registry};

const IDS: [&str; 3] = ["test/counter-v2", "test/counter-v3", "test/shaky-v1"];

fn library(mode: &str) -> PathBuf {
    compile("tests/native/several.c", "several", &[&format!("-DMODE={mode}")])
}

/// Makes a folder with the library and a manifest that provides `ids`.
fn with_manifest(ids: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let library = library("GOOD");
    std::fs::copy(&library, folder.path().join(library.file_name().unwrap())).unwrap();
    let provides: Vec<String> =
        ids.iter().map(|id| format!("{{ id = \"{id}\", summary = \"s\" }}")).collect();
    let manifest = format!(
        "provides = [{}]\nrole = \"environment\"\nversion = \"1.0.0\"\napi = \"0.1\"\nlicense = \"MIT\"\nlibrary = \"several\"\n",
        provides.join(", ")
    );
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    folder
}

/// Returns registries that load the library in this process and in a separate one.
fn registries(path: &Path) -> Vec<Registry> {
    let paths = [path.to_owned()];
    if cfg!(unix) { vec![registry(&paths), isolated(&paths)] } else { vec![registry(&paths)] }
}

fn ids(registry: &Registry) -> Vec<String> {
    let native = registry.entries().iter().filter(|entry| entry.loader == Loader::Native);
    native.filter_map(|entry| entry.id.as_ref()).map(ToString::to_string).collect()
}

/// Steps until the first episode of the environment `id` ends, and returns its length.
fn length(registry: &Registry, id: &str) -> usize {
    let mut copies = registry.make_environments(id, &[], 2).unwrap();
    copies.reset(&[1, 2]).unwrap();
    (1..).find(|_| copies.step(&Actions::Discrete(vec![0, 0])).unwrap().truncated[0]).unwrap()
}

#[test]
fn every_plugin_of_a_library_can_be_used() {
    let folder = with_manifest(&IDS);
    for path in [library("GOOD"), folder.path().to_owned()] {
        for registry in registries(&path) {
            assert_eq!(ids(&registry), IDS, "{}", path.display());
            for (id, expected) in IDS.into_iter().zip([8, 5, 8]) {
                assert_eq!(length(&registry, id), expected, "{id}");
                assert_eq!(registry.describe(id, &[]).unwrap().spec.id, id);
            }
        }
    }
}

#[test]
fn a_name_without_version_means_the_first() {
    let other_order = with_manifest(&["test/counter-v3", "test/counter-v2"]);
    let meant = |path: &Path, typed: &str| {
        let registry = registry(&[path.to_owned()]);
        registry.find(Role::Environment, typed).map(|entry| entry.id.as_ref().unwrap().to_string())
    };
    for typed in ["test/counter", "counter", "test/counter-v2", "counter-v2"] {
        assert_eq!(meant(&library("GOOD"), typed).unwrap(), "test/counter-v2", "{typed}");
    }
    assert_eq!(meant(other_order.path(), "counter").unwrap(), "test/counter-v3");
    // A plugin that the manifest does not list is not available.
    let error = meant(other_order.path(), "shaky").unwrap_err().to_string();
    assert!(error.starts_with("there is no environment `shaky`."), "{error}");
    let error = meant(&library("GOOD"), "countr-v3").unwrap_err().to_string();
    assert_eq!(error, "there is no environment `countr-v3`. Did you mean `counter-v3`?");
}

#[test]
fn a_name_without_namespace_must_be_unique() {
    let folder = with_manifest(&IDS);
    let manifest = folder.path().join("plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("test/counter", "acme/counter")).unwrap();
    let registry = registry(&[library("GOOD"), folder.path().to_owned()]);
    for typed in ["counter", "counter-v2"] {
        let error = registry.find(Role::Environment, typed).unwrap_err().to_string();
        assert_eq!(error, format!("`{typed}` is ambiguous: it may be `acme/counter` or `test/counter`"));
    }
    assert!(registry.find(Role::Environment, "acme/counter").is_ok());

    // If the plugin of exactly this name is broken, one of another namespace is not used silently.
    std::fs::write(&manifest, text.replace("test/counter", "counter")).unwrap();
    let installed = folder.path().join("installed.json");
    std::fs::write(&installed, r#"{ "sha256": "00", "from": "/downloads/it", "at": 0 }"#).unwrap();
    let found = || {
        let registry = Registry::of(&[library("GOOD")], &[folder.path().to_owned()]).unwrap();
        registry.find(Role::Environment, "counter").map(|entry| entry.id.as_ref().unwrap().to_string())
    };
    let error = found().unwrap_err().to_string();
    assert!(error.contains("cannot be used: its file has changed since it was installed"), "{error}");
    std::fs::remove_file(installed).unwrap();
    assert_eq!(found().unwrap(), "counter-v2");
    let file = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    file.filter(|file| *file != manifest).for_each(|file| std::fs::remove_file(file).unwrap());
    let error = found().unwrap_err().to_string();
    assert!(error.contains("cannot be used: No such file"), "{error}");
}

#[test]
fn a_manifest_and_its_library_agree_plugin_by_plugin() {
    let folder = with_manifest(&["test/counter-v2", "test/counter-v7"]);
    for registry in registries(folder.path()) {
        assert_eq!(length(&registry, "counter-v2"), 8);
        let error = registry.make_environments("counter-v7", &[], 1).err().unwrap().to_string();
        let expected = "plugin `test/counter-v7`, in `describe`: the binary says id \
                        `test/counter-v2`, `test/counter-v3`, `test/shaky-v1`, expected `test/counter-v7`";
        assert_eq!(error, expected);
    }
}

#[test]
fn a_broken_list_of_plugins_is_one_clear_error() {
    for (mode, expected) in [
        ("CIRCLE", "has `test/counter-v2` twice, or its plugins follow each other in a circle"),
        ("SAME_ID", "has `test/counter-v2` twice, or its plugins follow each other in a circle"),
        ("SECOND_BROKEN", "after `test/counter-v2`: has the unknown role 9"),
        ("TOO_MANY", "has more than 256 plugins"),
    ] {
        let library = library(mode);
        let here = Registry::of(std::slice::from_ref(&library), &[]).err().unwrap().to_string();
        assert!(here.ends_with(&format!("in `load`: {expected}")), "{mode}: {here}");
        if cfg!(unix) {
            let program = env!("CARGO_BIN_EXE_potstill").into();
            assert_eq!(Registry::isolated(&[library], &[], program).err().unwrap().to_string(), here);
        }
    }
}

#[test]
fn a_plugin_learns_the_folder_of_its_setup() {
    let expected = potstill::plugin::setup::folder().unwrap().display().to_string();
    for registry in registries(&library("GOOD")) {
        let mut copies = registry.make_environments("shaky", &[], 1).unwrap();
        copies.reset(&[0]).unwrap();
        assert_eq!(copies.render(0, RenderMode::Text).unwrap(), Frame::Text(expected.clone()));
    }
}

#[test]
fn a_fault_ends_one_episode_and_is_reported() {
    for registry in registries(&library("GOOD")) {
        let mut copies = registry.make_environments("shaky", &[], 2).unwrap();
        copies.reset(&[1, 2]).unwrap();
        let mut flags = vec![];
        for _ in 0..8 {
            let step = copies.step(&Actions::Discrete(vec![1, 0])).unwrap();
            flags.push((step.truncated.clone(), step.faults.clone()));
            if step.faults[0] {
                assert_eq!(step.final_observations, Observations::Float(vec![3.0]));
                assert_eq!(step.observations, Observations::Float(vec![0.0, flags.len() as f32]));
            }
        }
        // The first copy fails in every third step; the second one reaches its time limit.
        let no = vec![false, false];
        let fails = (vec![true, false], vec![true, false]);
        let goes_on = (no.clone(), no.clone());
        let mut expected =
            vec![goes_on.clone(), goes_on.clone(), fails.clone(), goes_on.clone(), goes_on.clone()];
        expected.extend([fails, goes_on, (vec![false, true], no)]);
        assert_eq!(flags, expected);
    }
    for registry in registries(&library("FAULT_WITHOUT_END")) {
        let mut copies = registry.make_environments("shaky", &[], 1).unwrap();
        copies.reset(&[1]).unwrap();
        let error = copies.step(&Actions::Discrete(vec![0])).unwrap_err().to_string();
        assert!(
            error.ends_with("environment 0 reports a fault but is not truncated; a fault ends the episode"),
            "{error}"
        );
    }
}
