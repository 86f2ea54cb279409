//! Valid files to start from: those that the program itself writes, and the fixtures.
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use potstill::run::Dataset;
use tempfile::TempDir;

use crate::repository;

const CONFIG: &str = "\
    meta_epochs = 2\n\
    threads = 1\n\
    [environment]\nenvs = 2\nsteps = 8\n\
    [learner.options]\nwidth = 4\n\
    [critic.options]\nwidth = 4\n\
    [ppo]\nlearners = 2\npolicy_epochs = 1\nminibatch = 8\n\
    [evaluation]\nevery = 1\nvalidation_learners = 1\nvalidation_episodes = 1\nlearners = 1\nepisodes = 1\n";

/// A folder with a run, one with an encoder and a normalizer, an agent and transitions.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let encoder = format!("encoder_layers = 1\n{CONFIG}[normalize]\nobservations = true\n");
        std::fs::write(folder.path().join("run.toml"), CONFIG).unwrap();
        std::fs::write(folder.path().join("encoder.toml"), encoder).unwrap();
        for command in [
            "distill --config run.toml --out run",
            "distill --config encoder.toml --out encoder",
            "train run --out agent.safetensors",
            "collect nd-cartpole --episodes 2 --out transitions.safetensors",
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_potstill"))
                .args(command.split(' '))
                .current_dir(&folder)
                .env("POTSTILL_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-cache"))
                .env("HOME", folder.path())
                .env("XDG_DATA_HOME", folder.path())
                .env_remove("POTSTILL_PLUGIN_PATH")
                .output()
                .unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
        folder
    };
    FOLDER.get_or_init(make).path()
}

/// A file that the program made.
pub(crate) fn made(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A dataset that the program made.
pub(crate) fn dataset() -> Dataset {
    Dataset::load(folder().join("run/dataset.safetensors")).unwrap()
}

/// A file of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(repository("tests/fixtures").join(name)).unwrap()
}
