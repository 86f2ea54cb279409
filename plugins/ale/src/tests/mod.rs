//! Tests with the games that `tests/setup` installed.
mod faults;
mod parity;
mod plays;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use potstill_sdk::{OptionValue, Options, testing};

use crate::environment::{Play, options};
use crate::{GAMES, Game};

/// The Python with Gymnasium and the games. If there is none, that is an error if `CI` is set.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ale-python");
            if !folder.join("complete").exists() {
                let missing = format!("{} is missing: run plugins/ale/tests/setup", folder.display());
                assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{missing}");
                eprintln!("SKIPPED: {missing}");
                return None;
            }
            let python = folder.join("bin/python");
            // SAFETY: every test waits for this before it does anything else.
            unsafe { std::env::set_var("ALE_ROMS", roms(&python)) };
            Some(python)
        })
        .as_deref()
}

/// The folder of this Python's games.
fn roms(python: &Path) -> PathBuf {
    let libraries = python.parent().and_then(Path::parent).unwrap().join("lib");
    let site = std::fs::read_dir(libraries).unwrap().next().unwrap().unwrap().path();
    site.join("site-packages/ale_py/roms")
}

/// The game of this environment.
fn game(id: &str) -> &'static Game {
    GAMES.iter().find(|game| game.id == id).unwrap()
}

/// The options of a game, with these values.
fn set(game: &Game, values: &[(&str, OptionValue)]) -> Options {
    testing::options(options(game.sticky), values)
}

/// One copy of a game.
fn play(id: &str, values: &[(&str, OptionValue)]) -> Result<Play, String> {
    Play::new(game(id), &set(game(id), values))
}
