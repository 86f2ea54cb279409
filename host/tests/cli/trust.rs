//! Tests who may cause which code to run: a run directory is data.
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::c::compile;
use crate::{Outcome, Place, SMALL, Said, list, newest_checkpoint, read, repository, text};

/// The commands that use a run directory `run`.
const USES: [&[&str]; 6] = [
    &["resume", "run"],
    &["eval", "run", "--learners", "1", "--episodes", "1"],
    &["train", "run", "--force"],
    &["play", "run", "--quiet", "--steps", "9"],
    &["collect", "run", "--episodes", "1", "--force"],
    &["distill", "--config", "run/config.toml", "--out", "again"],
];

/// Changes the plugins that a run has recorded.
fn record(run: &Path, change: impl FnOnce(&mut Vec<Value>)) {
    let path = run.join("versions.json");
    let mut versions: Value = serde_json::from_slice(&read(&path)).unwrap();
    change(versions["plugins"].as_array_mut().unwrap());
    std::fs::write(path, versions.to_string()).unwrap();
}

/// Copies a component that is not built in, with its manifest, into the folder `to`.
fn copy_component(to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    let from = repository("tests/hostile");
    for name in list(&from).into_iter().filter(|name| name.ends_with(".wasm") || name == "plugin.toml") {
        std::fs::copy(from.join(&name), to.join(name)).unwrap();
    }
    to.to_owned()
}

#[test]
fn a_run_directory_opens_no_library() {
    let place = Place::new();
    let library = compile("tests/hostile-native/constructor.c", "constructor", &[]);
    let (library, mark) = (library.canonicalize().unwrap(), place.path("mark"));
    let run = place.distil("run", &[]);
    let evil = |id: &str, path: &Path| {
        let said = Command::new("sha256sum").arg(path).output().unwrap().stdout;
        let hash = String::from_utf8(said).unwrap().split_whitespace().next().unwrap_or_default().to_owned();
        serde_json::json!({ "id": id, "version": "0.1.0", "sha256": hash, "path": path })
    };
    let marked = |arguments: &[&str]| -> (Said, bool) {
        let said = place.command(arguments).env("POTSTILL_TEST_MARK", &mark).output().unwrap().into();
        (said, mark.exists())
    };
    // The library does leave its mark where the user names it.
    assert!(marked(&["plugin", "list", "--plugin", text(&library)]).1);
    std::fs::remove_file(&mark).unwrap();

    // A plugin that the configuration does not name; one in place of a plugin that it names; a library by another name.
    let disguised = place.path("disguised.wasm");
    std::fs::copy(&library, &disguised).unwrap();
    let folder = place.path("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&library, folder.join("library.so")).unwrap();
    // A manifest, whose hash is right and which names a library beside it.
    let manifest = place.path("manifest");
    std::fs::create_dir(&manifest).unwrap();
    let name = format!("{}evil{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::fs::copy(&library, manifest.join(name)).unwrap();
    let manifest = manifest.join("plugin.toml");
    let text = "id = \"nd-cartpole-v1\"\nrole = \"environment\"\nversion = \"0.1.0\"\napi = \"0.1\"\n\
                summary = \"Evil.\"\nlicense = \"MIT\"\nauthors = []\nlibrary = \"evil\"\n";
    std::fs::write(&manifest, text).unwrap();
    for (id, path) in [
        ("acme/other-v1", &library),
        ("nd-cartpole-v1", &library),
        ("mlp-v1", &library),
        ("nd-cartpole-v1", &disguised),
        ("nd-cartpole-v1", &folder),
        ("nd-cartpole-v1", &manifest),
    ] {
        record(&run, |plugins| {
            plugins.retain(|plugin| plugin["id"] != id);
            plugins.push(evil(id, path));
        });
        for arguments in USES {
            let (said, opened) = marked(arguments);
            assert!(!opened, "{id} {arguments:?}: {}", said.err);
            assert!([Some(0), Some(2)].contains(&said.code), "{id} {arguments:?}: {}", said.err);
        }
        let _ = std::fs::remove_dir_all(place.path("again"));
    }
}

#[test]
fn what_a_run_made_is_used_with_the_runs_components() {
    let place = Place::new();
    let folder = copy_component(&place.path("plug in"));
    let begin = ["test/hostile-v1", "--plugin", "plug in", "--set", "mode=walk"];
    let run = place.distil("run", &begin);
    let whole = Outcome::of(&run);
    for arguments in USES {
        place.ok(arguments);
    }
    whole.assert_same(&Outcome::of(&place.path("again")));
    std::fs::remove_dir_all(place.path("again")).unwrap();
    // Of a dataset alone nobody knows where its plugin was.
    std::fs::copy(run.join("dataset.safetensors"), place.path("alone")).unwrap();
    place.refused(&["eval", "alone"], 2, "there is no environment `test/hostile-v1`");

    // The component has changed.
    let component = folder.join(list(&folder).into_iter().find(|name| name.ends_with(".wasm")).unwrap());
    let original = read(&component);
    std::fs::write(&component, [&original[..], &[0, 3, 1, b'x', 0]].concat()).unwrap();
    for arguments in USES {
        place.refused(
            arguments,
            2,
            "its file has changed since the run began: restore it, or use it as it is",
        );
    }
    place.ok(&["eval", "run", "--learners", "1", "--episodes", "1", "--plugin", "plug in"]);
    std::fs::remove_file(newest_checkpoint(&run)).unwrap();
    place.ok(&["resume", "run", "--changed-plugin"]);
    place.ok(&["resume", "run"]);

    // It has moved, or became something that cannot be read.
    std::fs::rename(&folder, place.path("moved")).unwrap();
    for arguments in USES {
        let said = place.refused(arguments, 2, "if it has moved, add --plugin with its new path");
        assert!(said.err.contains("plug in/"), "{}", said.err);
    }
    place.ok(&["resume", "run", "--plugin", "moved"]);
    std::fs::create_dir(&folder).unwrap();
    symlink("/dev/zero", &component).unwrap();
    place.refused(USES[1], 2, "is a device; expected a file");
}

#[test]
fn a_run_names_commands_that_work() {
    let place = Place::new();
    let folder = copy_component(&place.path("plugin"));
    let distill = ["distill", "test/hostile-v1", "--config", "small.toml", "--plugin", text(&folder)];
    let said = place.ok(&[&distill[..], &["--set", "mode=walk", "--out", "my run"]].concat());
    let commands: Vec<String> = said
        .lines()
        .filter_map(|line| line.trim_start_matches("next").trim_start().strip_prefix("potstill "))
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(commands, ["play 'my run'", "train 'my run' --out agent.safetensors"], "{said}");
    let report = String::from_utf8(read(place.path("my run/report.html"))).unwrap();
    assert!(report.contains("<pre>potstill distill --config &#39;my run/config.toml&#39;</pre>"), "{report}");
    let mut all: Vec<String> = commands;
    all.push("distill --config 'my run/config.toml' --out again".into());
    for command in all {
        let mut shell = Command::new("sh");
        place.settle(&mut shell);
        let said: Said = shell
            .args(["-c", &format!("exec \"$0\" {command}")])
            .arg(env!("CARGO_BIN_EXE_potstill"))
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, Some(0), "{command}: {}", said.err);
    }
}

#[test]
fn a_run_is_not_written_through_links() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let victim = place.path("victim");
    for name in [
        "lock",
        "metrics.jsonl",
        "dataset.png",
        "dataset.safetensors",
        "report.html",
        "config.toml",
        "baseline.json",
    ] {
        let (path, kept) = (run.join(name), place.path("kept"));
        std::fs::rename(&path, &kept).unwrap();
        std::fs::copy(&kept, &victim).unwrap();
        symlink(&victim, &path).unwrap();
        place.refused(&["resume", "run"], 1, &format!("run/{name}: is a symbolic link"));
        assert_eq!(read(&victim), read(&kept), "{name}");
        std::fs::rename(&kept, &path).unwrap();
    }
    for name in ["checkpoints", "tensorboard"] {
        std::fs::rename(run.join(name), place.path(name)).unwrap();
        symlink(place.path(name), run.join(name)).unwrap();
        place.refused(&["resume", "run"], 1, &format!("run/{name}: is a symbolic link"));
        std::fs::remove_file(run.join(name)).unwrap();
        std::fs::rename(place.path(name), run.join(name)).unwrap();
    }
    // A hard link cannot be told from a file, but a file that is not a lock can.
    std::fs::write(&victim, "thesis").unwrap();
    std::fs::remove_file(run.join("lock")).unwrap();
    std::fs::hard_link(&victim, run.join("lock")).unwrap();
    place.refused(&["resume", "run"], 1, "run/lock: is not the lock of a run");
    assert_eq!(read(&victim), b"thesis");
    std::fs::remove_file(run.join("lock")).unwrap();
    place.ok(&["resume", "run"]);
}

#[test]
fn compiled_code_of_others_is_not_run() {
    let place = Place::new();
    let folder = copy_component(&place.path("plugin"));
    let cache = place.path("cache");
    let info = |key: Option<[u8; 32]>| {
        let mut command = place.command(&["plugin", "info", "test/hostile-v1", "--plugin", text(&folder)]);
        if let Some(key) = key {
            std::fs::write(place.path(".data/potstill/cache-key"), key).unwrap();
        }
        let said: Said = command.env("POTSTILL_CACHE", &cache).output().unwrap().into();
        assert_eq!(said.code, Some(0), "{}", said.err);
    };
    let compiled = || -> Vec<Vec<u8>> {
        let folder = cache.join("wasm");
        list(&folder).iter().map(|name| read(folder.join(name))).collect()
    };
    info(Some([1; 32]));
    let theirs = compiled();
    assert!(!theirs.is_empty());
    // The files carry the tag of another key: they are compiled again, and replaced.
    info(Some([2; 32]));
    let ours = compiled();
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| ours[..32] != theirs[..32]));
    info(None);
    assert!(compiled() == ours);
}

/// A native plugin trusts the state that it restores, so that it gets none from somebody else's checkpoint.
#[test]
fn episodes_that_others_saved_start_anew() {
    let place = Place::new();
    let library = compile("tests/frozen/0.1/environment.c", "walk", &[]);
    let plugin = ["--plugin", text(&library)];
    let small = SMALL
        .replace("[environment]\n", "[environment]\nid = \"frozen/corridor\"\ncontinue_episodes = true\n");
    place.write("small.toml", small);
    let run = place.path("run");
    place.ok(&[&plugin[..], &["distill", "--config", "small.toml", "--out", "run"]].concat());
    let whole = Outcome::of(&run);
    let newest = run.join("checkpoints/checkpoint-00000008.safetensors");
    let resume = |user: &str| {
        std::fs::remove_file(&newest).unwrap();
        let mut command = place.command(&[&plugin[..], &["resume", "run"]].concat());
        let said = Said::from(command.env("XDG_DATA_HOME", place.path(user)).output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.err.contains("the episodes that were going on start anew")
    };
    assert!(!resume(".data"));
    whole.assert_same(&Outcome::of(&run));
    // Another user has another key.
    assert!(resume("other"));
}
