//! Tests how plugins are found and named.
use std::fs;
use std::path::{Path, PathBuf};

use potstill::plugin::{Loader, Registry};
use potstill_plugin_api::{OptionKind, Role, Space};

use crate::{registry, repository, settings};

fn error(result: potstill::Result<impl Sized>) -> String {
    result.err().expect("an error").to_string()
}

fn copy(from: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in ["plugin.toml", "hostile.wasm"] {
        fs::copy(repository(from).join(file), to.join(file)).unwrap();
    }
}

#[test]
fn finds_the_built_in_by_both_names() {
    let r = registry(&[]);
    for id in ["nd-cartpole-v1", "nd-cartpole"] {
        let entry = r.find(Role::Environment, id).unwrap();
        assert_eq!(entry.id.as_ref().unwrap().to_string(), "nd-cartpole-v1");
        assert_eq!((entry.loader, entry.role), (Loader::Builtin, Some(Role::Environment)));
        assert_eq!((entry.path.as_ref(), entry.sha256.len()), (None, 64));
    }
    let description = r.describe("nd-cartpole", &settings(&[("n", "3")])).unwrap();
    assert_eq!(description.spec.action, Space::Discrete { n: 6 });
    assert_eq!(description.spec.max_episode_steps, Some(500));
    assert_eq!(description.options[0].kind, OptionKind::Integer { min: 1, max: 64 });
    assert_eq!(description.sha256, description.entry.sha256);
    assert!(!description.spec.summary.is_empty());
}

#[test]
fn suggests_similar_names() {
    let r = registry(&[]);
    assert_eq!(
        error(r.options(Role::Environment, "nd-cartpol")),
        "there is no environment `nd-cartpol`. Did you mean `nd-cartpole`?"
    );
    assert_eq!(
        error(r.options(Role::Environment, "nd-cartpole-v2")),
        "there is no environment `nd-cartpole-v2`. Did you mean `nd-cartpole-v1`?"
    );
    let make = |pairs: &[(&str, &str)]| error(r.make_environments("nd-cartpole", &settings(pairs), 1));
    assert_eq!(make(&[("m", "1")]), "plugin `nd-cartpole-v1` has no option `m`. Did you mean `n`?");
    assert!(make(&[("n", "65")]).contains("option `n`: expected a whole number from 1 to 64, got `65`"));
    assert!(error(r.make_environments("nd-cartpole", &[], 0)).contains("at least one environment"));
}

#[test]
fn finds_plugins_in_folders_files_and_folders_of_folders() {
    let home = tempfile::tempdir().unwrap();
    let plugin = home.path().join("a");
    copy("tests/hostile", &plugin);
    let bare = home.path().join("bare.wasm");
    fs::copy(plugin.join("hostile.wasm"), &bare).unwrap();
    let paths: [PathBuf; 5] = [
        plugin.clone(),
        plugin.join("plugin.toml"),
        plugin.join("hostile.wasm"),
        bare,
        home.path().to_owned(),
    ];
    for path in paths {
        let r = registry(std::slice::from_ref(&path));
        let entry = r.find(Role::Environment, "test/hostile").unwrap();
        assert_eq!((entry.loader, entry.version.as_str()), (Loader::Wasm, "0.1.0"), "{}", path.display());
        r.make_environments("test/hostile-v1", &[], 1).unwrap();
    }
}

#[test]
fn the_first_found_wins_and_the_others_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("1"), home.path().join("2"));
    copy("tests/hostile", &first);
    copy("tests/hostile", &second);
    let r = Registry::of(std::slice::from_ref(&first), std::slice::from_ref(&second)).unwrap();
    let [a, b, ..] = r.entries() else { panic!("{:?}", r.entries()) };
    assert_eq!((a.rejected.as_ref(), a.path.as_deref()), (None, Some(&*first.join("hostile.wasm"))));
    assert!(b.rejected.as_ref().unwrap().contains("comes first in the search order"));
}

#[test]
fn a_broken_plugin_is_rejected_and_the_others_work() {
    let home = tempfile::tempdir().unwrap();
    let plugin = home.path().join("p");
    copy("tests/hostile", &plugin);
    let manifest = fs::read_to_string(plugin.join("plugin.toml")).unwrap();
    let rejected = |manifest: &str, wasm: Option<&[u8]>| {
        let folder = home.path().join("broken");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
        if let Some(wasm) = wasm {
            fs::write(folder.join("hostile.wasm"), wasm).unwrap();
        }
        Registry::of(&[], &[folder]).unwrap()
    };
    for (from, to, reason) in [
        ("api = \"0.1\"", "api = \"0.9\"", "upgrade Potstill"),
        ("[limits]", "[limit]", "unknown field `limit`"),
        ("hostile.wasm", "gone.wasm", "No such file"),
    ] {
        let r = rejected(&manifest.replace(from, to), Some(b""));
        let reasons: Vec<_> = r.entries().iter().filter_map(|e| e.rejected.as_ref()).collect();
        assert!(matches!(reasons[..], [r] if r.contains(reason)), "{reasons:?}");
        r.make_environments("nd-cartpole", &[], 1).unwrap();
    }
    // This manifest claims another role than the component has.
    let wasm = fs::read(plugin.join("hostile.wasm")).unwrap();
    for role in [Role::Learner, Role::Objective] {
        let claims = manifest.replace("\"environment\"", &format!("\"{role}\""));
        let r = rejected(&claims, Some(&wasm));
        let error = error(r.options(role, "test/hostile-v1"));
        assert!(
            error.contains("in `load`: does not fit the sandbox") && error.contains(&role.to_string()),
            "{error}"
        );
    }

    for (wasm, cause) in [
        (&b"garbage"[..], "in `load`: is not WebAssembly"),
        (b"\0asm\x01\0\0\0", "in `load`: "),
        (b"\0asm\x0d\0\x01\0", "in `load`: does not fit the sandbox: "),
        (b"\0asm\x0d\0\x01\0junk", "in `load`: does not compile: "),
    ] {
        let message = error(rejected(&manifest, Some(wasm)).options(Role::Environment, "test/hostile"));
        assert!(message.contains(cause), "{message}");
    }
    let wasm = fs::read(plugin.join("hostile.wasm")).unwrap();
    for (from, to, cause) in [
        (
            "test/hostile-v1",
            "test/friendly-v1",
            "the binary says id `test/hostile-v1`, expected `test/friendly-v1`",
        ),
        ("version = \"0.1.0\"", "version = \"0.2.0\"", "the binary says version `0.1.0`, expected `0.2.0`"),
    ] {
        let r = rejected(&manifest.replace(from, to), Some(&wasm));
        let id = r.entries()[0].id.as_ref().unwrap().to_string();
        assert!(error(r.options(Role::Environment, &id)).contains(cause));
    }
    for (path, what) in [("gone", "gone: "), (".", "holds no `plugin.toml` and no plugin")] {
        let empty = tempfile::tempdir().unwrap();
        let message = error(Registry::of(&[empty.path().join(path)], &[]));
        assert!(message.starts_with("--plugin ") && message.contains(what), "{message}");
    }
}
