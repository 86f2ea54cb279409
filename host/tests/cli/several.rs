//! Tests a shared library with several plugins, one of which has a simulation that fails.
use serde_json::Value;

use crate::c::compile;
use crate::{Place, list, metrics, text};

const IDS: [&str; 3] = ["test/counter-v2", "test/counter-v3", "test/shaky-v1"];

/// Installs the library where every command finds it.
fn put(place: &Place, mode: &str) {
    let library = compile("tests/native/several.c", "several", &[&format!("-DMODE={mode}")]);
    std::fs::copy(library, place.path("libseveral.so")).unwrap();
}

#[test]
fn installed_listed_checked_and_removed_as_one() {
    let place = Place::new();
    put(&place, "GOOD");
    let value = place.json(&["plugin", "install", "libseveral.so", "--json"]);
    assert_eq!((&value["ids"], &value["id"]), (&IDS.to_vec().into(), &IDS[0].into()));
    assert_eq!(list(&place.path(".data/potstill/plugins")), ["environment.test.several"]);
    // Installing again replaces it.
    let said = place.run(&["plugin", "install", "libseveral.so"]);
    let native = "these 3 plugins are native code: they may do whatever you may";
    assert!(
        said.err.contains(native) && said.out.starts_with("id           test/counter-v2\n"),
        "{}",
        said.err
    );
    assert_eq!(list(&place.path(".data/potstill/plugins")), ["environment.test.several"]);
    std::fs::remove_file(place.path("libseveral.so")).unwrap();

    let listed = place.ok(&["plugin", "list"]);
    let found: Vec<&str> = listed.lines().filter(|line| line.contains("libseveral")).collect();
    assert!(found.len() == 3 && found.iter().zip(IDS).all(|(line, id)| line.starts_with(id)), "{listed}");
    assert_eq!(place.json(&["plugin", "info", "counter", "--json"])["spec"]["id"], IDS[0]);
    assert_eq!(place.json(&["--isolate", "plugin", "info", "shaky", "--json"])["spec"]["id"], IDS[2]);

    let report = place.json(&["plugin", "check", "counter-v3", "--only", "play", "--json"]);
    assert_eq!((&report["id"], &report["passed"]), (&IDS[1].into(), &1.into()));
    let folder = place.path(".data/potstill/plugins/environment.test.several");
    let reports = place.json(&["plugin", "check", text(&folder), "--only", "play", "--json"]);
    let ids: Vec<&Value> = reports.as_array().unwrap().iter().map(|report| &report["id"]).collect();
    assert_eq!(ids, IDS);
    let note = &reports[2]["findings"][0]["notes"][0];
    assert!(note.as_str().unwrap().ends_with("episodes ended because the simulation failed"), "{note}");

    let removed = place.ok(&["plugin", "remove", "test/counter-v3"]);
    assert!(IDS.iter().all(|id| removed.contains(id)), "{removed}");
    assert!(list(&place.path(".data/potstill/plugins")).is_empty());

    // It can be removed by the name of its folder, but not by a path that leads out of there.
    put(&place, "GOOD");
    place.ok(&["plugin", "install", "libseveral.so"]);
    place.refused(&["plugin", "remove", "../plugins/environment.test.several"], 2, "there is no plugin");
    assert!(
        place.ok(&["plugin", "remove", "environment.test.several"]).contains("id           test/shaky-v1")
    );
    assert!(list(&place.path(".data/potstill/plugins")).is_empty());
}

/// Makes a folder with the library, under another name, and a manifest that lists only these plugins.
fn part(place: &Place, name: &str, ids: &[&str]) {
    let library = compile("tests/native/several.c", "several", &["-DMODE=GOOD"]);
    std::fs::create_dir_all(place.path(name)).unwrap();
    std::fs::copy(library, place.path(name).join(format!("lib{name}.so"))).unwrap();
    let provides: Vec<String> =
        ids.iter().map(|id| format!("{{ id = \"{id}\", summary = \"s\" }}")).collect();
    let manifest = format!(
        "role = \"environment\"\nversion = \"1.0.0\"\napi = \"0.1\"\nlicense = \"MIT\"\nlibrary = \"{name}\"\nprovides = [{}]\n",
        provides.join(", ")
    );
    place.write(&format!("{name}/plugin.toml"), manifest);
}

#[test]
fn a_library_takes_over_what_it_has_from_others() {
    let place = Place::new();
    part(&place, "one", &IDS[..1]);
    part(&place, "two", &IDS[1..]);
    put(&place, "GOOD");
    place.ok(&["plugin", "install", "one"]);
    place.ok(&["plugin", "install", "two"]);
    let folder = place.path(".data/potstill/plugins");
    assert_eq!(list(&folder), ["environment-test.counter-v2", "environment.test.two"]);
    place.ok(&["plugin", "install", "libseveral.so"]);
    assert_eq!(list(&folder), ["environment.test.several"]);
    let refused = "`test/counter-v2` is installed in a library that also has `test/counter-v3`; remove that library first: `potstill plugin remove test/counter-v2`";
    place.refused(&["plugin", "install", "one"], 2, refused);
    assert_eq!(list(&folder), ["environment.test.several"]);
}

#[test]
fn a_bare_library_is_checked_without_being_loaded_here() {
    let place = Place::new();
    put(&place, "GOOD");
    let reports = place.json(&["plugin", "check", "libseveral.so", "--only", "spec", "--json"]);
    let passed: Vec<&Value> = reports.as_array().unwrap().iter().map(|report| &report["passed"]).collect();
    assert_eq!(passed, [1, 1, 1]);
    put(&place, "TWO_RELEASES");
    let differ = "its plugins differ in role or version; a manifest has one of each for all of them";
    place.refused(&["plugin", "install", "libseveral.so"], 1, differ);
    assert!(!place.path(".data/potstill/plugins").exists());
}

#[test]
fn faults_are_counted_and_end_nothing_else() {
    let place = Place::new();
    put(&place, "GOOD");
    let shaky = ["--plugin", "libseveral.so", "test/shaky"];
    let mut outcomes = vec![];
    for (out, more) in [("here", &[][..]), ("isolated", &["--isolate"])] {
        let run = place.distil(out, &[&shaky[..], more].concat());
        let values: Vec<_> =
            metrics(&run).iter().map(|record| record.get("rollout/faults").cloned()).collect();
        assert!(values.iter().flatten().any(|faults| faults.as_f64().unwrap() > 0.0), "{values:?}");
        outcomes.push(values);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    let eval = ["eval", "here", "--plugin", "libseveral.so", "--learners", "2", "--episodes", "20"];
    let score = place.json(&[&eval[..], &["--json"]].concat());
    let faults = score["faults"].as_u64().unwrap();
    assert!((1..=40).contains(&faults), "{score}");
    let line = place.ok(&eval);
    assert!(line.contains(&format!("; {faults} episode")) && line.contains("simulation failed"), "{line}");
    let play = ["play", "here", "--plugin", "libseveral.so", "--untaught", "--episodes", "40"];
    let played = place.ok(&play);
    let failed = played.matches("; 1 episode ended because its simulation failed").count();
    assert!((1..40).contains(&failed), "{played}");

    let collect = ["collect", "test/shaky", "--plugin", "libseveral.so", "--episodes", "50", "--json"];
    let faults = place.json(&collect)["faults"].as_u64().unwrap();
    // The fault happens for half of all random actions.
    assert!((10..=40).contains(&faults), "{faults}");

    // Without faults there is no such column.
    let run = place.distil("well", &["--plugin", "libseveral.so", "test/counter"]);
    assert!(metrics(&run).iter().all(|record| !record.contains_key("rollout/faults")));
    let well = ["eval", "well", "--plugin", "libseveral.so", "--learners", "2", "--episodes", "2", "--json"];
    assert!(place.json(&well).get("faults").is_none());
}
