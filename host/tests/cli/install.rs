//! Tests `plugin install` and `plugin remove`, and the options of plugins in `--help`.
use std::path::{Path, PathBuf};

use crate::{Place, list, read, text};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn an_installed_plugin_is_found_until_it_is_changed_or_removed() {
    let place = Place::new();
    place.refused(&["plugin", "info", "test/hostile"], 2, "there is no environment `test/hostile`");
    let value = place.json(&["plugin", "install", text(&repository("tests/hostile")), "--json"]);
    assert_eq!((&value["id"], &value["role"]), (&"test/hostile-v1".into(), &"environment".into()));
    let installed = PathBuf::from(value["path"].as_str().unwrap());
    assert_eq!(list(installed.parent().unwrap()), ["hostile.wasm", "installed.json", "plugin.toml"]);
    assert!(place.ok(&["plugin", "info", "test/hostile"]).contains(text(&installed)));

    // Installing again replaces the plugin and leaves nothing else.
    place.ok(&["plugin", "install", text(&repository("tests/hostile/hostile.wasm"))]);
    let folder = installed.parent().unwrap().parent().unwrap();
    assert_eq!(list(folder), ["environment-test.hostile-v1"]);

    let mut bytes = read(&installed);
    bytes.push(0);
    std::fs::write(&installed, bytes).unwrap();
    let changed = "its file has changed since it was installed; `potstill plugin install ";
    place.refused(&["distill", "test/hostile"], 2, changed);
    assert!(place.ok(&["plugin", "list"]).contains(&format!("rejected: {changed}")));
    place.ok(&["plugin", "remove", "test/hostile"]);
    assert!(list(folder).is_empty());
    place.refused(&["plugin", "remove", "test/hostile"], 2, "there is no plugin `test/hostile`");
    place.refused(
        &["plugin", "remove", "ppmo"],
        2,
        "`ppmo-v1` was not installed: it is built into potstill; only",
    );
}

#[test]
fn a_bare_file_gets_a_manifest() {
    let place = Place::new();
    std::fs::copy(repository("tests/hostile/hostile.wasm"), place.path("downloaded.wasm")).unwrap();
    let value = place.json(&["plugin", "install", "downloaded.wasm", "--json"]);
    assert_eq!(value["loader"], "wasm");
    std::fs::remove_file(place.path("downloaded.wasm")).unwrap();
    assert!(place.ok(&["plugin", "info", "test/hostile"]).contains("plugin.wasm"));
    let Some(rebuilt) = std::env::var_os("POTSTILL_REBUILT").map(PathBuf::from) else { return };
    let library = format!("{}potstill_mlp{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let said = place.run(&["plugin", "install", text(&rebuilt.join(library))]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("`mlp-v1` is native code: it may do whatever you may"), "{}", said.err);
    let listed = place.ok(&["plugin", "list"]);
    let mlp: Vec<&str> = listed.lines().filter(|line| line.starts_with("mlp-v1")).collect();
    assert!(mlp[0].contains("native") && mlp[1].contains("comes first in the search order"), "{listed}");
}

#[test]
fn names_of_vendors_do_not_collide() {
    let place = Place::new();
    let [bytes, manifest] = ["hostile.wasm", "plugin.toml"]
        .map(|name| std::fs::read(repository(&format!("tests/hostile/{name}"))).unwrap());
    let own = b"test/hostile-v1";
    let renamed = |bytes: &[u8], id: &str| {
        let mut bytes = bytes.to_vec();
        let found: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(own)).collect();
        assert!(!found.is_empty() && id.len() == own.len());
        found.into_iter().for_each(|i| bytes[i..i + own.len()].copy_from_slice(id.as_bytes()));
        bytes
    };
    let ids = ["tes/hosti-le-v1", "tes-hosti/le-v1"];
    std::fs::create_dir(place.path("plugin")).unwrap();
    for id in ids {
        place.write("plugin/hostile.wasm", renamed(&bytes, id));
        place.write("plugin/plugin.toml", renamed(&manifest, id));
        place.ok(&["plugin", "install", "plugin"]);
    }
    for id in ids {
        assert!(place.ok(&["plugin", "info", id]).contains(id));
    }
    // What else lies in the folder of plugins is not deleted.
    std::fs::create_dir(place.path(".data/potstill/plugins/environment-test.hostile-v1")).unwrap();
    let hostile = repository("tests/hostile");
    place.refused(&["plugin", "install", text(&hostile)], 1, "is in the way, and is no installed plugin");
}

#[test]
fn files_that_are_not_plugins_are_rejected() {
    let place = Place::new();
    place.write("junk.wasm", "junk");
    place.refused(&["plugin", "install", "junk.wasm"], 1, "junk.wasm");
    place.refused(&["plugin", "install", "missing.wasm"], 1, "missing.wasm");
    std::fs::create_dir(place.path("empty")).unwrap();
    place.refused(&["plugin", "install", "empty"], 1, "holds no `plugin.toml` and no plugin");
    let manifest = std::fs::read_to_string(repository("tests/hostile/plugin.toml")).unwrap();
    place.write("empty/plugin.toml", manifest.replace("hostile-v1", "other-v1"));
    place.refused(&["plugin", "install", "empty"], 1, "is a plugin's source, run `potstill plugin build ");
    std::fs::copy(repository("tests/hostile/hostile.wasm"), place.path("empty/hostile.wasm")).unwrap();
    place.refused(
        &["plugin", "install", "empty"],
        1,
        "the binary says id `test/hostile-v1`, expected `test/other-v1`",
    );
    assert!(!place.path(".data/potstill/plugins").exists());
}

#[test]
fn help_shows_the_options_of_the_plugins_that_are_named() {
    let place = Place::new();
    let help =
        place.ok(&["distill", "nd-cartpole", "--learner", "transformer", "--objective", "a2c", "--help"]);
    for expected in [
        "Usage: potstill distill",
        "Options of the environment nd-cartpole:\n  --set n=1  Axes to balance at once. (1..=64)",
        "--learner-set heads=2",
        "Options of the objective a2c:",
    ] {
        assert!(help.contains(expected), "{expected}: {help}");
    }
    let mixture = ["rl", "nd-cartpole", "--learner", "mlp", "--learner", "transformer:2", "--help"];
    assert!(place.ok(&mixture).contains("--learner-set transformer.heads=2"));
    assert!(place.ok(&["distill", "--help"]).contains("potstill distill nd-cartpole --help"));
    let said = place.run(&["distill", "nd-cartpol", "--help"]);
    assert!(said.out.contains("Usage:") && said.err.contains("Did you mean `nd-cartpole`?"), "{}", said.err);
}
