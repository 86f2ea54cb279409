//! Finds the games in the user's copy of `ale_py`, and checks them.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use md5::{Digest, Md5};
use potstill_sdk::host::setup_folder;

/// The command that installs the games.
const INSTALL: &str =
    "`potstill plugin setup ale` installs the games, and so does `python3 -m pip install ale_py==0.12.1`";

/// The file of a game, in the first of these folders that has one: `ALE_ROMS`, what `potstill plugin setup ale` installed, and
/// that of the `ale_py` that the user's Python would import.
///
/// # Errors
/// There is no such file, or its bytes are not those that `md5.json` beside it names.
pub(crate) fn find(rom: &str) -> Result<PathBuf, String> {
    let file = format!("{rom}.bin");
    let mut looked = vec![];
    let near = [
        ("ALE_ROMS", std::env::var_os("ALE_ROMS").map(PathBuf::from)),
        ("potstill plugin setup", setup_folder().map(|folder| folder.join("ale/ale_py-0.12.1/ale_py/roms"))),
    ];
    let python = std::env::var("POTSTILL_PYTHON").unwrap_or_else(|_| "python3".into());
    let far = std::iter::once_with(|| ("ale_py of Python", imported(&python)));
    for (name, folder) in near.into_iter().chain(far) {
        let Some(folder) = folder else {
            looked.push(format!("{name} (not there)"));
            continue;
        };
        let path = folder.join(&file);
        if path.is_file() {
            return check(&file, path);
        }
        looked.push(format!("{name} ({})", folder.display()));
    }
    Err(format!("the game {file} was not found in: {}; {INSTALL}", looked.join(", ")))
}

/// The folder of games of the `ale_py` that this Python would import.
fn imported(python: &str) -> Option<PathBuf> {
    // Do not import from the current folder.
    const SCRIPT: &str = "import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u, os; \
        s = u.find_spec('ale_py'); s and s.origin and print(os.path.join(os.path.dirname(s.origin), 'roms'))";
    let answer = Command::new(python).args(["-c", SCRIPT]).output().ok()?;
    let text = String::from_utf8_lossy(&answer.stdout);
    text.lines().next().map(PathBuf::from)
}

/// Compares the bytes of a game with the MD5 that its folder's `md5.json` has for it.
fn check(file: &str, path: PathBuf) -> Result<PathBuf, String> {
    let list = path.with_file_name("md5.json");
    let unreadable = |what: &std::path::Path, why: String| format!("{}: {why}; {INSTALL}", what.display());
    let text = fs::read(&list).map_err(|e| unreadable(&list, e.to_string()))?;
    let known: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| unreadable(&list, e.to_string()))?;
    let expected =
        known[file].as_str().ok_or_else(|| unreadable(&list, format!("it does not list {file}")))?;
    let bytes = fs::read(&path).map_err(|e| unreadable(&path, e.to_string()))?;
    let found: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match found == expected {
        true => Ok(path),
        false => Err(unreadable(
            &path,
            format!("the file is damaged (its MD5 is {found}, and md5.json says {expected})"),
        )),
    }
}
