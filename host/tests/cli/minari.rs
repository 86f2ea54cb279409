//! Tests `data import` and `data export` against Minari itself, in the Python that `POTSTILL_PYTHON` names.
use std::path::{Path, PathBuf};
use std::process::Command;

use potstill::plugin::{Actions, Observations};
use potstill::run::{DistillConfig, Transitions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::c::compile;
use crate::{Place, Said, list, read, repository, text};

/// Whether `POTSTILL_PYTHON` has Minari, which it must in continuous integration.
fn has_minari() -> bool {
    let python = std::env::var_os("POTSTILL_PYTHON");
    let found = python.is_some_and(|python| {
        Command::new(python)
            .args(["-c", "import minari, h5py, pyarrow, PIL"])
            .status()
            .is_ok_and(|s| s.success())
    });
    assert!(
        found || std::env::var_os("CI").is_none(),
        "POTSTILL_PYTHON has no Minari; tests/run installs it"
    );
    if !found {
        eprintln!("there is no Minari: nothing is tested");
    }
    found
}

/// A place with a folder of Minari datasets.
struct Sets(Place);

impl Sets {
    fn new() -> Self {
        Sets(Place::new())
    }

    /// Runs the program, which finds the datasets in the folder `sets`.
    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.0.command(arguments);
        command.env("MINARI_DATASETS_PATH", self.0.path("sets")).output().unwrap().into()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said
    }

    /// Runs `tests/python/minari_sets.py`.
    #[track_caller]
    fn minari(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(std::env::var_os("POTSTILL_PYTHON").unwrap());
        command.arg(repository("tests/python/minari_sets.py")).args(arguments);
        command.env("MINARI_DATASETS_PATH", self.0.path("sets")).env("HOME", self.0.path("."));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn load(&self, name: &str) -> Transitions {
        Transitions::load(self.0.path(name)).unwrap()
    }
}

/// The numbers in little-endian bytes, and the name of their type in NumPy.
fn as_bytes(observations: &Observations) -> (Vec<u8>, &str) {
    match observations {
        Observations::Float(values) => (values.iter().flat_map(|v| v.to_le_bytes()).collect(), "float32"),
        Observations::Byte(values) => (values.clone(), "uint8"),
    }
}

/// What `minari_sets.py read` prints of each episode.
fn expected(data: &Transitions) -> Vec<Value> {
    let spec = &data.info.environment.spec;
    let size = spec.observation.size();
    let ends = |flags: &[bool]| (0..flags.len()).filter(|&i| flags[i]).collect::<Vec<_>>();
    let episodes = data.episodes().into_iter().enumerate();
    let episode = |(number, (rows, _)): (usize, (std::ops::Range<usize>, f32))| {
        let mut seen = data.observations.cut(rows.start * size..rows.end * size);
        let last = data.final_observations.as_ref().unwrap();
        seen.append(last, number * size..(number + 1) * size);
        let (bytes, kind) = as_bytes(&seen);
        let mut observations = vec![json!(kind), json!(rows.len() + 1)];
        observations.extend(spec.observation.shape().into_iter().map(|d| json!(d)));
        let actions: Vec<f64> = match &data.actions {
            Actions::Discrete(actions) => actions[rows.clone()].iter().map(|&a| f64::from(a)).collect(),
            Actions::Continuous(actions) => {
                let size = spec.action.size();
                actions[rows.start * size..rows.end * size].iter().map(|&a| f64::from(a)).collect()
            }
        };
        json!({
            "steps": rows.len(),
            "observations": observations,
            "sha256": format!("{:x}", Sha256::digest(&bytes)),
            "actions": actions,
            "rewards": data.rewards[rows.clone()].iter().map(|&r| f64::from(r)).collect::<Vec<_>>(),
            "terminated": ends(&data.terminated[rows.clone()]),
            "truncated": ends(&data.truncated[rows]),
        })
    };
    episodes.map(episode).collect()
}

/// Minari reads what was collected, in both formats and for every kind of space, and it comes back to the bit.
#[test]
fn what_is_exported_comes_back() {
    if !has_minari() {
        return;
    }
    let sets = Sets::new();
    let pendulum = compile("tests/continuous/pendulum.c", "pendulum", &[]);
    let pixels = compile("tests/pixels/pixels.c", "pixels", &[]);
    // A shape that Minari compresses unless it is told not to.
    let large = compile("tests/pixels/pixels.c", "large", &["-DSIDE=32", "-DCHANNELS=40"]);
    for (environment, plugin, episodes) in [
        ("nd-cartpole", None, "70"),
        ("test/pendulum", Some(&pendulum), "3"),
        ("test/pixels", Some(&pixels), "4"),
        ("test/pixels", Some(&large), "2"),
    ] {
        let plugin: Vec<&str> = plugin.iter().flat_map(|path| ["--plugin", text(path)]).collect();
        let collect = ["collect", environment, "--episodes", episodes, "--out", "data", "--force"];
        sets.ok(&[&plugin[..], &collect].concat());
        let data = sets.load("data");
        for format in ["hdf5", "arrow"] {
            let name = "potstill/test-v0";
            let said = sets.ok(&["data", "export", "data", "--name", name, "--format", format]);
            assert!(said.out.contains(&format!("of {episodes} episodes")), "{}", said.out);
            let lines = sets.minari(&["read", name]);
            let seen: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(seen, expected(&data), "{environment}, {format}");
            let import = ["data", "import", name, "--env", environment, "--out", "back", "--force"];
            let said = sets.ok(&[&plugin[..], &import].concat());
            assert!(!said.err.contains("note:"), "{}", said.err);
            let back = sets.load("back");
            let info = &back.info;
            assert_eq!((&*info.policy, info.acting, info.seed), ("random actions", None, None));
            let origin = info.origin.as_deref().unwrap();
            assert!(origin.starts_with("the Minari dataset `potstill/test-v0` (Minari "), "{origin}");
            assert_eq!(back, Transitions { info: info.clone(), ..data.clone() });
            // Nothing is left beside the dataset and the mark of its namespace.
            assert_eq!(list(&sets.0.path("sets")), ["potstill"]);
            let folder = sets.0.path("sets/potstill");
            assert_eq!(list(&folder), ["namespace_metadata.json", "test-v0"]);
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn an_imported_dataset_is_distilled() {
    if !has_minari() {
        return;
    }
    let sets = Sets::new();
    sets.minari(&["make", "plain-v0", "plain", "hdf5"]);
    let said = sets.ok(&["data", "import", "plain-v0", "--env", "nd-cartpole", "--out", "data"]);
    let note = "note: its observations are float64 and were rounded to float32";
    assert!(said.err.contains(note), "{}", said.err);
    assert!(
        said.out
            .contains("8 transitions of 2 episodes of nd-cartpole-v1 (unknown policy): return 4.0, best 5.0")
    );
    sets.0.write("clone.toml", "meta_epochs = 2\nthreads = 1\n[environment]\nid = \"nd-cartpole\"\n[objective]\nid = \"clone\"\n[objective.options]\ndata = \"offline\"\n[offline]\nupdates = 2\nminibatch = 8\n[evaluation]\nvalidation_learners = 2\nvalidation_episodes = 2\nlearners = 2\nepisodes = 2\n");
    sets.ok(&["distill", "--config", "clone.toml", "--data", "data", "--out", "run"]);
    let config = DistillConfig::load(sets.0.path("run/config.toml")).unwrap();
    assert_eq!(config.offline.data.unwrap(), sets.0.path("data").canonicalize().unwrap());
    // By its folder, in the other format.
    sets.minari(&["make", "other-v0", "plain", "arrow"]);
    let value =
        sets.ok(&["data", "import", "sets/other-v0", "--env", "nd-cartpole", "--out", "other", "--json"]).out;
    let value: Value = serde_json::from_str(&value).unwrap();
    assert_eq!((&value["transitions"], &value["mean_return"]), (&8.into(), &4.0.into()));
    let (a, b) = (sets.load("data"), sets.load("other"));
    assert_eq!(a, Transitions { info: a.info.clone(), ..b });
}

#[test]
fn datasets_that_do_not_fit_are_refused() {
    if !has_minari() {
        return;
    }
    let sets = Sets::new();
    let import =
        |name: &str| sets.run(&["data", "import", name, "--env", "nd-cartpole", "--out", "data", "--force"]);
    let cases = [
        ("nan", "nan-v0: episode 1, step 2: its rewards hold nan; expected finite numbers"),
        ("goes-on", "goes-on-v0: episode 0 goes on after it ended in step 1 of 5"),
        (
            "nested",
            "its observation space is Dict, and only Box and Discrete are read; flatten it in Minari first",
        ),
        ("several", "its action space is MultiDiscrete"),
        ("jpeg", "its pictures are kept as JPEG, which has changed their pixels"),
    ];
    for (kind, expected) in cases {
        for format in ["hdf5", "arrow"] {
            sets.minari(&["make", &format!("{kind}-v0"), kind, format]);
            import(&format!("{kind}-v0")).refused(1, expected);
            std::fs::remove_dir_all(sets.0.path("sets")).unwrap();
        }
    }
    for kind in ["plain", "single", "shifted", "unfinished"] {
        sets.minari(&["make", &format!("{kind}-v0"), kind, "hdf5"]);
    }
    import("plan-v0").refused(2, "Did you mean `plain-v0`?");
    let notes = import("single-v0").err;
    assert!(notes.contains("note: it holds a single episode"), "{notes}");
    let notes = import("unfinished-v0").err;
    assert!(notes.contains("note: 1 of 2 episodes neither terminated nor was truncated"), "{notes}");
    let data = sets.load("data");
    assert_eq!((data.terminated[2], data.truncated[2], data.truncated[7]), (true, false, true));
    assert_eq!(import("shifted-v0").code, Some(0));
    assert_eq!(sets.load("data").actions, Actions::Discrete(vec![0, 1, 1]));

    let other = ["data", "import", "plain-v0", "--env", "nd-cartpole", "--set", "n=2", "--out", "x"];
    let said = "the dataset's observation space is Box([4], -inf..inf); that of `nd-cartpole-v1` is Box([8]";
    sets.run(&other).refused(2, said);
    sets.run(&["data", "import", "plain-v0", "--env", "nd-cartpol"])
        .refused(2, "Did you mean `nd-cartpole`?");
    import("small.toml").refused(2, "there is no Minari dataset `small.toml`");
    std::fs::create_dir(sets.0.path("empty")).unwrap();
    import("empty").refused(1, "empty: it is not the folder of a Minari dataset");
    let file = sets.0.path("sets/plain-v0/data/main_data.hdf5");
    let whole = read(&file);
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    import("plain-v0").refused(1, "plain-v0: Minari cannot do it: OSError");
    assert!(!sets.0.path("x").exists());
    assert!(!sets.0.names().iter().any(|name| name.starts_with(".minari-")), "{:?}", sets.0.names());
}

#[test]
fn exports_that_cannot_be_are_refused() {
    if !has_minari() {
        return;
    }
    let sets = Sets::new();
    sets.ok(&["collect", "nd-cartpole", "--episodes", "3", "--out", "data"]);
    let export =
        |name: &str, more: &[&str]| sets.run(&[&["data", "export", "data", "--name", name], more].concat());
    export("cartpole", &[]).refused(2, "`cartpole` cannot be the name of a Minari dataset");
    export("cartpole-v0", &["--gymnasium", "CartPol-v1"])
        .refused(1, "Gymnasium does not know the environment of --gymnasium");
    export("cartpole-v0", &["--format", "csv"]).refused(2, "invalid value 'csv'");
    assert_eq!(export("cartpole-v0", &["--out", "elsewhere", "--gymnasium", "CartPole-v1"]).code, Some(0));
    assert_eq!(list(&sets.0.path("elsewhere")), ["cartpole-v0"]);
    export("cartpole-v0", &["--out", "elsewhere"]).refused(1, "cartpole-v0 exists; choose another --name");
    let metadata: Value =
        serde_json::from_slice(&read(sets.0.path("elsewhere/cartpole-v0/data/metadata.json"))).unwrap();
    assert!(metadata["env_spec"].as_str().unwrap().contains("CartPole-v1"), "{metadata}");
    assert!(
        metadata["description"].as_str().unwrap().starts_with("Episodes of nd-cartpole-v1, "),
        "{metadata}"
    );
    sets.run(&["data", "export", "small.toml", "--name", "a-v0"]).refused(1, "small.toml");
}

/// Writes a Python that answers the search for Minari, and is then as `script` says.
#[cfg(unix)]
fn pretender(place: &Place, search: u8, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.path("python");
    std::fs::write(&path, format!("#!/bin/sh\ncase \"$2\" in *find_spec*) exit {search};; esac\n{script}\n"))
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn a_python_that_lacks_or_fails_is_one_error() {
    let place = Place::new();
    let run = |python: &Path| -> Said {
        let mut command = place.command(&["data", "import", "a-v0", "--env", "nd-cartpole", "--out", "data"]);
        command.env("POTSTILL_PYTHON", python).env("PATH", place.path("nowhere")).output().unwrap().into()
    };
    run(&place.path("no-python")).refused(2, "no Python was found, and Minari runs in one");
    let python = pretender(&place, 3, "");
    run(&python).refused(2, "python -m pip install minari h5py pyarrow pillow");
    let lacking = "echo '{\"lacking\": \"No module named h5py\"}'; exit 1";
    run(&pretender(&place, 0, lacking)).refused(2, "lacks what Minari needs (No module named h5py)");
    let crash = "echo 'Segmentation \u{1b}[31mfault' >&2; exit 139";
    let said = run(&pretender(&place, 0, crash));
    said.refused(1, "a-v0: Python failed (exit status: 139): Segmentation");
    assert!(!said.err.contains('\u{1b}'), "{}", said.err);
    run(&pretender(&place, 0, "echo hello")).refused(1, "a-v0: not an answer");
    run(&pretender(&place, 0, "exit 0")).refused(1, "a-v0: Python ended without an answer");
    assert!(!place.names().iter().any(|name| name.starts_with('.')), "{:?}", place.names());
}

#[cfg(unix)]
#[test]
fn interrupted_imports_leave_nothing() {
    use std::process::Stdio;
    let place = Place::new();
    // It says when it is asked to stop.
    let python = pretender(
        &place,
        0,
        "trap 'touch stopped; exit 130' INT\ntouch started\nwhile :; do sleep 0.05; done",
    );
    let mut command = place.command(&["data", "import", "a-v0", "--env", "nd-cartpole", "--out", "data"]);
    command.env("POTSTILL_PYTHON", python).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    crate::wait_for("the import", || place.path("started").exists());
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let said = Said::from(child.wait_with_output().unwrap());
    said.refused(130, "interrupted; nothing was written");
    let mut names = place.names();
    names.retain(|name| !["python", "started"].contains(&&**name));
    assert_eq!(names, ["stopped"]);
}
