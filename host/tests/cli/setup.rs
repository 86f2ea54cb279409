//! Tests `plugin setup`, which installs a plugin's external dependencies with the user's own pip. The tests use a folder of
//! wheels instead of the network.
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use crate::c::compile;
use crate::{Place, Said, list, read, text};

/// Returns a Python with pip. If there is none, it says so, which is an error in continuous integration.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("POTSTILL_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain(["python3".into(), "python".into()]);
    let has_pip = |python: &PathBuf| {
        let asked = Command::new(python).args(["-m", "pip", "--version"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(has_pip);
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no Python with pip");
    if found.is_none() {
        eprintln!("there is no Python with pip: nothing is tested");
    }
    found
}

/// Makes a wheel of the package `tiny` with one more file.
fn wheel(place: &Path, version: &str, more: &str) -> PathBuf {
    let path = place.join("wheels").join(format!("tiny-{version}-py3-none-any.whl"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let about = format!("tiny-{version}.dist-info");
    for (name, content) in [
        ("tiny/data.txt".to_owned(), format!("data of {version}\n").repeat(1000)),
        (format!("{about}/METADATA"), format!("Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")),
        (format!("{about}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into()),
        (format!("{about}/RECORD"), String::new()),
        (more.to_owned(), "more".into()),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn hash(path: &Path) -> String {
    Sha256::digest(read(path)).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Installs three plugins that need `tiny`, of which the manifest lists these versions and hashes.
fn install(place: &Place, versions: &[(&str, &str)], platform: &str) -> Said {
    let library = compile("tests/native/several.c", "several", &["-DMODE=NEEDS_SETUP"]);
    std::fs::create_dir_all(place.path("plugin")).unwrap();
    std::fs::copy(library, place.path("plugin/libseveral.so")).unwrap();
    let mut manifest = String::from(
        "role = \"environment\"\nversion = \"1.0.0\"\napi = \"0.1\"\nlicense = \"MIT\"\nlibrary = \"several\"\n\
         provides = [{ id = \"test/counter-v2\", summary = \"s\" }, { id = \"test/counter-v3\", summary = \"s\" }, \
         { id = \"test/shaky-v1\", summary = \"s\" }]\n[setup]\nname = \"tiny\"\n",
    );
    for (version, sha256) in versions {
        manifest += &format!(
            "[[setup.wheel]]\npackage = \"tiny\"\nversion = \"{version}\"\nfile = [{{ sha256 = \"{sha256}\"{platform} }}]\n"
        );
    }
    place.write("plugin/plugin.toml", manifest);
    place.run(&["plugin", "install", "plugin"])
}

/// Runs `plugin setup` with `arguments`, with packages only from the folder of wheels.
fn setup(place: &Place, python: &Path, arguments: &[&str]) -> Said {
    let mut command = place.command(&["plugin", "setup"]);
    command.args(arguments).arg("--python").arg(python);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", place.path("wheels"));
    command.output().unwrap().into()
}

#[track_caller]
fn works(said: &Said) {
    assert_eq!(said.code, Some(0), "{}", said.err);
}

/// Returns the names in the folder of setups, except for its lock.
fn set_up(place: &Place) -> Vec<String> {
    let folder = place.path(".data/potstill/setup");
    let mut all = if folder.is_dir() { list(&folder) } else { vec![] };
    all.retain(|name| name != ".lock");
    all
}

#[test]
fn packages_are_downloaded_once_and_work_without_a_network() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let hash = hash(&wheel(place.0.path(), "1.0", "tiny/more/deep.txt"));
    let said = install(&place, &[("1.0", &hash)], "");
    works(&said);
    assert!(said.err.contains("before its first run: potstill plugin setup tiny"), "{}", said.err);
    let said = place.run(&["plugin", "info", "counter"]);
    works(&said);
    let (missing, command) = ("setup        tiny not here; set it up:", "potstill plugin setup tiny");
    assert!(said.out.contains(missing) && said.out.contains(command), "{}", said.out);
    assert!(
        said.err.contains("its spaces are not known yet: plugin `test/counter-v2`: no data"),
        "{}",
        said.err
    );
    assert!(place.ok(&["doctor"]).contains("– setup of tiny         tiny not here; set it up:"));
    place.refused(&["distill", "test/counter"], 2, "no data; `potstill plugin setup tiny` fetches it");
    place.refused(
        &["plugin", "setup", "tiny", "--check"],
        1,
        "`tiny` is not set up; `potstill plugin setup tiny`",
    );

    let asked = setup(&place, &python, &["tiny"]);
    assert_eq!(asked.code, Some(2), "{}", asked.err);
    assert!(asked.err.contains("nobody can be asked here; say --yes"), "{}", asked.err);
    assert!(asked.out.contains("tiny 1.0") && asked.out.contains("will be fetched by pip"), "{}", asked.out);
    // The setup can be named by its own name, its namespace or the id of a plugin.
    let said = setup(&place, &python, &["test/shaky", "--yes"]);
    works(&said);
    assert!(said.out.contains("is there now"), "{}", said.out);
    let wheel = place.path(".data/potstill/setup/tiny/tiny-1.0");
    assert_eq!(list(&wheel), ["installed.json", "tiny", "tiny-1.0.dist-info"]);
    assert_eq!(list(&wheel.join("tiny")), ["data.txt", "more"]);
    assert_eq!(read(wheel.join("tiny/data.txt")), b"data of 1.0\n".repeat(1000));

    for name in ["tiny", "test", "test/counter-v3"] {
        // Nothing needs pip, a network or a question to the user.
        let out = place.ok(&["plugin", "setup", name, "--python", "/nowhere"]);
        assert!(out.contains(&format!("is there: {}", wheel.display())), "{out}");
    }
    let there = place.json(&["plugin", "setup", "tiny", "--json"]);
    assert_eq!((&there[0]["version"], &there[0]["path"]), (&"1.0".into(), &text(&wheel).into()));
    assert!(place.ok(&["plugin", "info", "counter"]).contains("setup        tiny 1.0"));
    assert!(place.ok(&["doctor"]).contains("✓ setup of tiny         tiny 1.0"));
    assert_eq!(set_up(&place), ["tiny"]);

    let sound = place.ok(&["plugin", "setup", "tiny", "--check"]);
    assert!(sound.starts_with("tiny 1.0") && sound.ends_with("is as it was unpacked\n"), "{sound}");
    std::fs::write(wheel.join("tiny/more/deep.txt"), "less").unwrap();
    place.refused(
        &["plugin", "setup", "tiny", "--check"],
        1,
        "tiny-1.0: `tiny/more/deep.txt` is not as it was unpacked; `potstill plugin setup tiny --remove`, then",
    );
    std::fs::remove_file(wheel.join("tiny/data.txt")).unwrap();
    place.refused(&["plugin", "setup", "tiny", "--check"], 1, "2 files are not as they were");

    // Removing a plugin keeps the setup, which can still be removed afterwards.
    place.ok(&["plugin", "remove", "counter"]);
    assert!(wheel.is_dir());
    place.refused(&["plugin", "setup", "tiny"], 2, "there is no plugin `tiny`");
    place.refused(&["plugin", "setup", "../setup/tiny", "--remove"], 2, "there is no plugin");
    assert!(place.ok(&["plugin", "setup", "tiny", "--remove"]).contains(".data/potstill/setup/tiny"));
    assert!(set_up(&place).is_empty());
}

#[test]
fn a_file_with_another_hash_is_rejected() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let hash = hash(&wheel(place.0.path(), "1.0", "tiny/more.txt"));
    let other = "0".repeat(64);
    works(&install(&place, &[("1.0", &other)], ""));
    let expected =
        format!("has the SHA-256 {hash}; the plugin's manifest says {other}: nothing was installed");
    let said = setup(&place, &python, &["tiny", "--yes"]);
    assert!(said.code == Some(1) && said.err.contains(&expected), "{}", said.err);
    assert!(set_up(&place).is_empty());
    // The messages of pip come before ours.
    std::fs::remove_dir_all(place.path("wheels")).unwrap();
    std::fs::create_dir(place.path("wheels")).unwrap();
    let said = setup(&place, &python, &["tiny", "--yes"]);
    let ours = said.err.find("error: pip could not fetch tiny 1.0").unwrap();
    assert!(said.err[..ours].contains("tiny==1.0"), "{}", said.err);
    assert!(set_up(&place).is_empty());

    // A package that no longer matches a newer manifest is downloaded again.
    let first = wheel(place.0.path(), "1.0", "tiny/first.txt");
    works(&install(&place, &[("1.0", &self::hash(&first))], ""));
    works(&setup(&place, &python, &["tiny", "--yes"]));
    let second = wheel(place.0.path(), "1.0", "tiny/second.txt");
    works(&install(&place, &[("1.0", &self::hash(&second))], ""));
    works(&setup(&place, &python, &["tiny", "--yes"]));
    assert_eq!(list(&place.path(".data/potstill/setup/tiny/tiny-1.0/tiny")), ["data.txt", "second.txt"]);
}

#[test]
fn a_wheel_that_would_write_outside_its_folder_is_rejected() {
    let Some(python) = python() else { return };
    for bad in ["../../../evil.txt", "/tmp/potstill-evil.txt", "tiny\\..\\evil.txt", "tiny/../../evil.txt"] {
        let place = Place::new();
        let hash = hash(&wheel(place.0.path(), "1.0", bad));
        works(&install(&place, &[("1.0", &hash)], ""));
        let said = setup(&place, &python, &["tiny", "--yes"]);
        let expected = "which is not a file inside its folder: nothing was installed";
        assert!(said.code == Some(1) && said.err.contains(expected), "{bad}: {}", said.err);
        assert!(set_up(&place).is_empty() && !Path::new("/tmp/potstill-evil.txt").exists(), "{bad}");
        assert_eq!(list(&place.path(".data/potstill")), ["cache-key", "plugins", "setup"]);
    }
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_that_looks_complete() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let hash = hash(&wheel(place.0.path(), "1.0", "tiny/more.txt"));
    works(&install(&place, &[("1.0", &hash)], ""));
    // This pip writes half a file, and potstill is killed before it can clean up.
    place.write("kills", "#!/bin/sh\ncase \"$*\" in *--version*) exit 0;; esac\n\
                          while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && echo half > \"$2/half.whl\"; shift; done\n\
                          kill -9 $PPID\n");
    std::fs::set_permissions(place.path("kills"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = setup(&place, &place.path("kills"), &["tiny", "--yes"]);
    assert_eq!(said.code, None, "{}", said.err);
    let left = set_up(&place);
    assert!(left.len() == 1 && left[0].starts_with(".fetch-"), "{left:?}");
    assert!(place.ok(&["plugin", "info", "counter"]).contains("tiny not here"));
    works(&setup(&place, &python, &["tiny", "--yes"]));
    assert_eq!(set_up(&place), ["tiny"]);
}

#[test]
fn versions_are_installed_side_by_side() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let hashes = ["1.0", "2.0"].map(|version| hash(&wheel(place.0.path(), version, "tiny/more.txt")));
    works(&install(&place, &[("1.0", &hashes[0]), ("2.0", &hashes[1])], ""));
    place.refused(
        &["plugin", "setup", "tiny", "--version", "3.0"],
        2,
        "`tiny` has no version `3.0`; there are tiny 1.0, tiny 2.0",
    );
    works(&setup(&place, &python, &["tiny", "--version", "2.0", "--yes"]));
    assert!(place.ok(&["doctor"]).contains("✓ setup of tiny         tiny 2.0"));
    works(&setup(&place, &python, &["tiny", "--yes"]));
    assert_eq!(list(&place.path(".data/potstill/setup/tiny")), ["tiny-1.0", "tiny-2.0"]);
    works(&place.run(&["plugin", "setup", "tiny", "--check"]));
}

#[test]
fn says_what_is_missing() {
    let place = Place::new();
    works(&install(&place, &[("1.0", &"0".repeat(64))], ", platform = \"win_amd64\""));
    place.write("no-pip", "#!/bin/sh\n[ \"$1\" = -c ]\n");
    std::fs::set_permissions(place.path("no-pip"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let no_pip = place.path("no-pip");
    let said = setup(&place, &no_pip, &["tiny", "--yes"]);
    let expected = format!(
        "{} has no pip, which is needed to fetch the packages. Install it:\n      {0} -m ensurepip",
        no_pip.display()
    );
    assert!(said.code == Some(2) && said.err.contains(&expected), "{}", said.err);
    let bare = place.command(&["plugin", "setup", "tiny", "--yes"]).env("PATH", "").output().unwrap();
    Said::from(bare)
        .refused(2, "python3 was not found; its pip is needed to fetch the packages. Install Python");
    place.refused(
        &["plugin", "setup", "nd-cartpole"],
        2,
        "plugin `nd-cartpole` has no external dependencies",
    );
    place.refused(&["plugin", "setup", "tinny"], 2, "there is no plugin `tinny`");
    let Some(python) = python() else { return };
    let said = setup(&place, &python, &["tiny", "--yes"]);
    assert!(said.code == Some(2) && said.err.contains("; there is one for win_amd64"), "{}", said.err);
}
