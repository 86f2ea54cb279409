//! Finds the games in the user's copy of `ale_py`, and checks them.
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use md5::{Digest, Md5};
use potstill_sdk::host::setup_folder;

/// The command that installs the games.
const INSTALL: &str =
    "`potstill plugin setup ale` installs the games, and so does `python3 -m pip install ale_py==0.12.1`";

/// The largest file that is read. Games have at most 32 KiB.
const LARGEST_FILE: u64 = 1 << 20;

/// As [`search`], once per process and game. A failure is not kept, because the user may install what is missing.
pub(crate) fn find(rom: &str) -> Result<PathBuf, String> {
    static FOUND: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.get_or_insert_default();
    if let Some(path) = found.get(rom) {
        return Ok(path.clone());
    }
    let path = search(rom)?;
    found.insert(rom.to_owned(), path.clone());
    Ok(path)
}

/// The file of a game, in the first of these folders that has one: `ALE_ROMS`, what `potstill plugin setup ale` installed, and
/// that of the `ale_py` that the user's Python would import.
///
/// # Errors
/// There is no such file, or its bytes are not those that `md5.json` beside it names.
fn search(rom: &str) -> Result<PathBuf, String> {
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
    let unreadable = |what: &Path, why: String| format!("{}: {why}; {INSTALL}", what.display());
    let text = read(&list).map_err(|e| unreadable(&list, e))?;
    let known: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| unreadable(&list, e.to_string()))?;
    let expected =
        known[file].as_str().ok_or_else(|| unreadable(&list, format!("it does not list {file}")))?;
    let bytes = read(&path).map_err(|e| unreadable(&path, e))?;
    let found: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match found == expected {
        true => Ok(path),
        false => Err(unreadable(
            &path,
            format!("the file is damaged (its MD5 is {found}, and md5.json says {expected})"),
        )),
    }
}

/// Reads a regular file of at most [`LARGEST_FILE`] bytes.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    if !path.is_file() {
        return Err("it is not a file".into());
    }
    let mut bytes = vec![];
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 > LARGEST_FILE {
        true => Err(format!("it has more than {LARGEST_FILE} bytes")),
        false => Ok(bytes),
    }
}
