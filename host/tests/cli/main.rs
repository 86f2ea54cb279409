//! Tests the program as a user runs it: whole commands, what they print and what they write to disk.
mod advantages;
mod baselines;
mod book;
mod commands;
mod doctor;
mod format;
mod inner;
mod install;
mod interruption;
#[cfg(unix)]
mod isolation;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kills;
mod learning;
#[cfg(target_os = "linux")]
mod limits;
mod lost;
mod minari;
mod offline;
mod outputs;
mod pixels;
mod python;
mod reference;
mod refusals;
mod reproduce;
mod run;
mod search;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod several;
mod teacher;
mod terminal;
#[cfg(unix)]
mod trust;
mod wrappers;

#[path = "../common/c.rs"]
mod c;
#[path = "../common/hurried.rs"]
mod hurried;
#[path = "../common/key.rs"]
mod key;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use key::share_key;

/// A configuration so small that a whole run takes a fraction of a second.
const SMALL: &str = "\
    meta_epochs = 8\n\
    threads = 1\n\
    [environment]\nenvs = 4\nsteps = 32\n\
    [ppo]\nlearners = 2\npolicy_epochs = 2\nminibatch = 32\n\
    [evaluation]\nevery = 3\nvalidation_learners = 2\nvalidation_episodes = 3\nlearners = 4\nepisodes = 3\n";

/// Returns `config` with more meta-epochs than any machine finishes. What a run learns does not depend on the number of
/// meta-epochs to come.
fn endless(config: &str) -> String {
    assert!(config.contains("meta_epochs = 8\n"));
    let endless = config
        .replace("meta_epochs = 8\n", "meta_epochs = 1000000000\n")
        .replace("[evaluation]\n", "[evaluation]\nsaturated = 0\n");
    endless + "[optimizer]\nschedule = \"constant\"\n"
}

/// Resumes a run after a change of its configuration.
const RESUME_CHANGED: [&str; 3] = ["resume", "run", "--changed-config"];

/// Changes the configuration of a run, which then resumes with `--changed-config`.
fn reconfigure(run: &Path, from: &str, to: &str) {
    let path = run.join("config.toml");
    let config = String::from_utf8(read(&path)).unwrap();
    assert_eq!(config.matches(from).count(), 1, "{config}");
    std::fs::write(path, config.replace(from, to)).unwrap();
}

/// Reconfigures a run with an [`endless`] configuration to end after `meta_epochs`.
fn end_after(run: &Path, meta_epochs: u64) {
    reconfigure(run, "meta_epochs = 1000000000\n", &format!("meta_epochs = {meta_epochs}\n"));
}

/// Waits until the condition `holds`. This takes milliseconds; the limit ends a test that would hang otherwise.
#[track_caller]
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(600), "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns the meta-epoch of the newest checkpoint, or 0 if there is none.
fn epoch(run: &Path) -> u64 {
    let checkpoints = run.join("checkpoints");
    let names = if checkpoints.is_dir() { list(&checkpoints) } else { vec![] };
    let number = |name: &String| name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok();
    names.iter().filter_map(number).max().unwrap_or(0)
}

/// An empty folder to run the program in, isolated from the user's files and settings.
struct Place(TempDir);

/// The output and exit code of a command.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("small.toml", SMALL);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Returns the names of the files here, except for the configuration and the data folder that every place has.
    fn names(&self) -> Vec<String> {
        let mut names = list(self.0.path());
        names.retain(|name| name != "small.toml" && name != ".data");
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_potstill"));
        command.args(arguments);
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut Command) {
        // The tests share compiled plugins, because compiling one takes longer than most tests.
        share_key(&self.path(".data"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache");
        command
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("POTSTILL_CACHE", cache)
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.path(".data"))
            .env_remove("POTSTILL_PLUGIN_PATH");
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a command that must succeed, and returns its standard output.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
        said.out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(arguments);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
    }

    /// Runs a command that must fail with this exit code and a single error that contains `expected`.
    #[track_caller]
    fn refused(&self, arguments: &[&str], code: i32, expected: &str) -> Said {
        let said = self.run(arguments);
        said.refused(code, expected);
        said
    }

    /// Distills `small.toml` into the folder `out`, with additional `arguments`.
    #[track_caller]
    fn distil(&self, out: &str, arguments: &[&str]) -> PathBuf {
        self.ok(&[&["distill", "--config", "small.toml", "--out", out], arguments].concat());
        self.path(out)
    }
}

impl Said {
    #[track_caller]
    fn refused(&self, code: i32, expected: &str) {
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        assert!(self.err.contains(expected), "expected `{expected}`: {}", self.err);
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert_eq!(self.out, "");
        for noise in ["panicked at", "internal fault", "RUST_BACKTRACE"] {
            assert!(!self.err.contains(noise), "{}", self.err);
        }
    }
}

fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// Returns the newest checkpoint of a run.
fn newest_checkpoint(run: &Path) -> PathBuf {
    let folder = run.join("checkpoints");
    folder.join(list(&folder).iter().rfind(|name| !name.starts_with('.')).unwrap())
}

fn metrics(run: &Path) -> Vec<BTreeMap<String, Value>> {
    let text = String::from_utf8(read(run.join("metrics.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The results that two runs must share bit for bit if they are equal.
#[derive(PartialEq)]
struct Outcome {
    dataset: Vec<u8>,
    checkpoint: (String, Vec<u8>),
    metrics: Vec<BTreeMap<String, Value>>,
}

impl Outcome {
    fn of(run: &Path) -> Self {
        let newest = newest_checkpoint(run);
        let mut metrics = metrics(run);
        for record in &mut metrics {
            assert!(record.remove("wall_time").is_some() && record.remove("seconds").is_some());
        }
        Outcome {
            dataset: read(run.join("dataset.safetensors")),
            checkpoint: (newest.file_name().unwrap().to_string_lossy().into_owned(), read(&newest)),
            metrics,
        }
    }

    #[track_caller]
    fn assert_same(&self, other: &Outcome) {
        assert_eq!(self.metrics, other.metrics);
        assert!(self.dataset == other.dataset, "the datasets differ");
        assert!(self.checkpoint == other.checkpoint, "the checkpoints differ");
    }
}

/// A finished run that the tests share and must never change.
fn finished_run() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let run = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-finished-run");
        if run.exists() {
            std::fs::remove_dir_all(&run).unwrap();
        }
        Place::new().ok(&["distill", "--config", "small.toml", "--out", text(&run)]);
        run
    })
}
