//! Finds the games in the user's copy of `ale_py`, and checks them.
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use md5::{Digest, Md5};
use potstill_sdk::packages::{Packages, Wanted};

pub(crate) const WANTED: Wanted =
    Wanted { variable: "ALE_ROMS", setup: "ale", packages: &[("ale_py", &["0.12.1"])], modules: &["ale_py"] };

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
    let path = search(&Packages::search(WANTED), rom)?;
    found.insert(rom.to_owned(), path.clone());
    Ok(path)
}

/// The file of a game, in the first folder that has one: `ALE_ROMS`, then where `ale_py` is.
///
/// # Errors
/// There is no such file, or its bytes are not those that `md5.json` beside it names.
pub(crate) fn search(packages: &Packages, rom: &str) -> Result<PathBuf, String> {
    let file = format!("{rom}.bin");
    packages
        .folders()
        .flat_map(|folder| [folder.join(&file), folder.join("ale_py/roms").join(&file)])
        .find(|path| path.is_file())
        .ok_or_else(|| packages.missing(&format!("the game {file}")))
        .and_then(|path| check(&file, path).map_err(|error| format!("{error}; {}", packages.install())))
}

/// Compares the bytes of a game with the MD5 that its folder's `md5.json` has for it.
fn check(file: &str, path: PathBuf) -> Result<PathBuf, String> {
    let list = path.with_file_name("md5.json");
    let unreadable = |what: &Path, why: String| format!("{}: {why}", what.display());
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
