//! Tests what the author of a plugin does, in every language: templates, builds and examples. Tests whose toolchain is
//! missing are skipped with a message on standard error; continuous integration (`CI`) must have all toolchains.

// The Rust template itself: its tests run here too, and the other languages are compared with it.
#[path = "../common/component.rs"]
mod component;
mod continuous;
#[path = "../../../sdk/templates/environment/rust/src/lib.rs"]
#[allow(unreachable_pub)]
mod corridor;
mod examples;
mod faults;
#[path = "../common/key.rs"]
mod key;
mod libraries;
mod random;
mod roles;
mod templates;
mod webassembly;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use potstill::plugin::{Actions, Environments, Registry, Transition};
use potstill_plugin_api::Space;
use potstill_sdk::Rng;
use tempfile::TempDir;

use key::share_key;

/// A configuration so small that a whole run takes seconds, even in Python.
const SMALL: &str = "\
    meta_epochs = 4\n\
    threads = 1\n\
    [environment]\nenvs = 4\nsteps = 32\n\
    [ppo]\nlearners = 2\npolicy_epochs = 2\nminibatch = 32\n\
    [evaluation]\nevery = 3\nvalidation_learners = 2\nvalidation_episodes = 3\nlearners = 2\nepisodes = 3\n";

/// An empty folder in which the tests run programs.
struct Author(TempDir);

/// The output of a program, and whether it succeeded.
struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Author {
    fn new() -> Self {
        let author = Author(tempfile::tempdir().unwrap());
        author.write("small.toml", SMALL);
        author
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut command = Command::new(program);
        share_key(&self.path(".data"));
        command
            .current_dir(self.0.path())
            .env("PATH", path_with_python())
            // The tests share the dependencies of Rust plugins and the compiled Python interpreter.
            .env("CARGO_TARGET_DIR", temporary.with_file_name("authors"))
            .env("POTSTILL_CACHE", temporary.join("authors-cache"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("XDG_DATA_HOME", self.path(".data"))
            .env_remove("POTSTILL_PLUGIN_PATH")
            .env_remove("POTSTILL_SDK");
        command
    }

    fn potstill(&self, arguments: &[&str]) -> Said {
        self.command(env!("CARGO_BIN_EXE_potstill")).args(arguments).output().unwrap().into()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.potstill(arguments);
        assert!(said.ok, "{arguments:?}: {}", said.err);
        said.out
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], expected: &str) {
        let said = self.potstill(arguments);
        assert!(!said.ok && said.out.is_empty(), "{arguments:?}: {}", said.out);
        assert!(said.err.contains(expected), "expected `{expected}`: {}", said.err);
        assert!(!said.err.contains("internal fault"), "{}", said.err);
    }

    /// Builds the plugin in `folder` into `out`. Returns `false` if this machine has no toolchain for it.
    #[track_caller]
    fn build(&self, folder: &Path, out: &str) -> bool {
        let said = self.potstill(&["plugin", "build", folder.to_str().unwrap(), "--out", out]);
        if !said.ok && said.err.contains("; install") {
            missing(&said.err);
            return false;
        }
        assert!(said.ok, "{}", said.err);
        assert!(said.out.contains("sha256"), "{}", said.out);
        true
    }

    fn registry(&self, plugin: &str) -> Registry {
        Registry::of(&[self.path(plugin)], &[]).unwrap()
    }

    /// Distills `environment` for a few meta-epochs and scores the dataset.
    #[track_caller]
    fn distil(&self, plugin: &str, environment: &str, more: &[&str]) {
        let distil = ["--plugin", plugin, "distill", environment, "--config", "small.toml", "--out", "run"];
        self.ok(&[&distil, more].concat());
        let said =
            self.ok(&["--plugin", plugin, "eval", "run", "--learners", "2", "--episodes", "2", "--json"]);
        let scores: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(scores["mean_return"].as_f64().unwrap().is_finite(), "{said}");
    }
}

/// Returns the PATH, preceded by the folder of `POTSTILL_PYTHON`.
fn path_with_python() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let python = std::env::var_os("POTSTILL_PYTHON").map(PathBuf::from);
    let folder = python.as_deref().and_then(Path::parent).map(Path::to_owned);
    std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path))).unwrap()
}

/// Reports that a test is skipped because `what` is missing, which is an error in continuous integration.
#[track_caller]
fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "continuous integration must have it: {what}"
    );
    eprintln!("not tested: {what}");
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Takes `steps` random actions in copies that start from seeds 0, 1, …, and returns the transitions.
fn play(environments: &mut dyn Environments, steps: usize) -> Vec<Transition> {
    let Space::Discrete { n } = environments.spec().action else { panic!("not discrete") };
    environments.reset(&(0..environments.len() as u64).collect::<Vec<_>>()).unwrap();
    go_on(environments, n, steps)
}

fn go_on(environments: &mut dyn Environments, n: usize, steps: usize) -> Vec<Transition> {
    let mut rng = Rng::seeded(9);
    let mut step = || {
        let actions = (0..environments.len()).map(|_| rng.below(n as u64) as u32).collect();
        environments.step(&Actions::Discrete(actions)).unwrap().clone()
    };
    (0..steps).map(|_| step()).collect()
}
