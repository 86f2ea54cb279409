//! Tests `--isolate`: after a crash of a native plugin the run can be resumed with the same result.
use std::process::Stdio;

use serde_json::Value;

use crate::c::{compile, processes_with};
use crate::{Outcome, Place, SMALL, endless, epoch, newest_checkpoint, read, text, wait_for};

const SOURCE: &str = "tests/hostile-native/crashing_car.c";
const ISOLATED: [&str; 4] = ["--plugin", "plugin/libcar.so", "acme/mountain-car", "--isolate"];

/// Installs a plugin that crashes in its step number `crash` (0 for never) where the runs in `place` find it.
fn put(place: &Place, crash: u32) {
    let library = compile(SOURCE, &format!("car_{crash}"), &[&format!("-DCRASH={crash}")]);
    std::fs::create_dir_all(place.path("plugin")).unwrap();
    std::fs::copy(library, place.path("plugin/libcar.so")).unwrap();
}

/// The path of the library as it appears in the command lines of the processes that host it.
fn library(place: &Place) -> std::path::PathBuf {
    place.path("plugin/libcar.so").canonicalize().unwrap()
}

#[test]
fn a_crash_in_the_middle_costs_one_meta_epoch() {
    let place = Place::new();
    put(&place, 0);
    let whole = Outcome::of(&place.distil("whole", &ISOLATED));
    whole.assert_same(&Outcome::of(&place.distil("in-process", &ISOLATED[..3])));

    put(&place, 80);
    let begin = [&["distill", "--config", "small.toml", "--out", "run"], &ISOLATED[..]].concat();
    let said = place.run(&begin);
    let crashed = "error: plugin `acme/mountain-car-v1`, in `step`: its process was killed by signal 11 (segmentation fault)";
    said.refused(1, crashed);
    let goes_on = "once the plugin is fixed, `potstill resume run --changed-plugin --plugin plugin/libcar.so` continues";
    assert!(said.err.contains(goes_on), "{}", said.err);
    // A meta-epoch takes 32 steps.
    let run = place.path("run");
    assert!(newest_checkpoint(&run).ends_with("checkpoint-00000002.safetensors"));
    assert!(String::from_utf8(read(run.join("config.toml"))).unwrap().contains("isolate = true"));
    assert_eq!(processes_with(&library(&place)), 0);

    // Resume without `--isolate`: the run remembers the setting. It also remembers the library, but does not load it.
    let resume = ["resume", "run", "--plugin", "plugin/libcar.so"];
    place.refused(&resume, 1, crashed);
    place.refused(&["resume", "run"], 2, "this shared library, which runs only if you name it: add --plugin");
    put(&place, 0);
    place.refused(&resume, 2, "plugin `acme/mountain-car-v1` is not the file this run began with");
    place.ok(&[&resume[..], &["--changed-plugin"]].concat());
    whole.assert_same(&Outcome::of(&run));
    for arguments in [&["eval", "run", "--learners", "2", "--episodes", "2"][..], &["play", "run", "--quiet"]]
    {
        let arguments = [arguments, &["--plugin", "plugin/libcar.so", "--isolate"]].concat();
        place.ok(&arguments);
    }
    place.ok(&["train", "run", "--plugin", "plugin/libcar.so", "--isolate"]);
    assert_eq!(processes_with(&library(&place)), 0);
}

#[test]
fn output_of_a_plugin_does_not_mix_with_the_results() {
    let place = Place::new();
    put(&place, 0);
    place.write("isolated.toml", format!("isolate = true\n{SMALL}"));
    let begin =
        [&["distill", "--config", "isolated.toml", "--out", "run", "--json"], &ISOLATED[..3]].concat();
    let said = place.run(&begin);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(serde_json::from_str::<Value>(&said.out).is_ok(), "{}", said.out);
    assert!(said.err.contains("brumm"), "{}", said.err);
}

#[test]
fn the_plugin_dies_with_the_host() {
    let place = Place::new();
    put(&place, 0);
    place.write("long.toml", endless(SMALL));
    let begin = [&["distill", "--config", "long.toml", "--out", "run"], &ISOLATED[..]].concat();
    let mut child = place.command(&begin).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let library = library(&place);
    wait_for("a checkpoint", || epoch(&place.path("run")) > 0);
    // The host's own command line has the path as it was typed, so it does not count.
    assert!(processes_with(&library) >= 2, "{}", text(&library));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("its end", || processes_with(&library) == 0);
}
