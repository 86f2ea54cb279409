//! The external dependencies of plugins, which the user's own pip fetches (`[setup]` of a manifest, `plugin setup`).
//!
//! ```text
//! FOLDER/NAME/PACKAGE-VERSION/    the files of a wheel, and installed.json with the hash of each
//! FOLDER/.fetch-…                 a wheel that is being fetched; if killed, the next call deletes the rest
//! ```
use std::collections::BTreeMap;
use std::env::consts::{ARCH, OS};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use potstill_plugin_api::{Dependencies, Wheel};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::wasm::hex;
use crate::error::{Error, IoContext, Result};

/// The name of the record beside the files of a wheel.
const RECORD: &str = "installed.json";
const FETCHED: &str = ".fetch-";

/// The record of an unpacked wheel.
#[derive(Serialize, Deserialize)]
struct Unpacked {
    /// SHA-256 of the wheel.
    sha256: String,
    /// SHA-256 of each of its files, by path.
    files: BTreeMap<String, String>,
}

impl Unpacked {
    fn read(place: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.join(RECORD)).ok()?).ok()
    }
}

/// The folder of external dependencies: `potstill/setup` in the user's data folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    dirs::data_dir().map(|data| data.join("potstill").join("setup"))
}

/// The place of a wheel of `setup` in `folder`.
pub fn place(folder: &Path, setup: &Dependencies, wheel: &Wheel) -> PathBuf {
    folder.join(&setup.name).join(format!("{}-{}", wheel.package, wheel.version))
}

/// Whether a wheel has been unpacked whose hash is in the manifest.
pub fn is_there(folder: &Path, setup: &Dependencies, wheel: &Wheel) -> bool {
    let unpacked = Unpacked::read(&place(folder, setup, wheel));
    unpacked.is_some_and(|unpacked| wheel.files.iter().any(|file| file.sha256 == unpacked.sha256))
}

/// The packages of which no version has been unpacked.
pub fn lacking<'a>(folder: Option<&Path>, setup: &'a Dependencies) -> Vec<&'a str> {
    let versions = |package: &'a str| setup.wheels.iter().filter(move |wheel| wheel.package == package);
    let is_here = |wheel: &Wheel| folder.is_some_and(|folder| is_there(folder, setup, wheel));
    defaults(setup).map(|wheel| &*wheel.package).filter(|package| !versions(package).any(is_here)).collect()
}

/// The first wheel of each package.
fn defaults(setup: &Dependencies) -> impl Iterator<Item = &Wheel> {
    let first =
        |i: &usize| setup.wheels[..*i].iter().all(|before| before.package != setup.wheels[*i].package);
    (0..setup.wheels.len()).filter(first).map(|i| &setup.wheels[i])
}

/// One wheel of each package: the one of `version`, or the first if the package does not have that version.
///
/// # Errors
/// [`Error::Usage`]: no package has this version.
pub fn chosen<'a>(setup: &'a Dependencies, version: Option<&str>) -> Result<Vec<&'a Wheel>> {
    let named = |wheel: &&Wheel| Some(&*wheel.version) == version;
    if let Some(version) = version.filter(|_| !setup.wheels.iter().any(|wheel| named(&wheel))) {
        let known: Vec<String> =
            setup.wheels.iter().map(|w| format!("{} {}", w.package, w.version)).collect();
        let known = known.join(", ");
        return Err(Error::usage(format!("`{}` has no version `{version}`; there are {known}", setup.name)));
    }
    let of_version = |default: &'a Wheel| {
        let same = setup.wheels.iter().filter(|wheel| wheel.package == default.package).find(named);
        same.unwrap_or(default)
    };
    Ok(defaults(setup).map(of_version).collect())
}

/// A Python with pip.
pub struct Pip(PathBuf);

impl Pip {
    /// Finds the user's: `python`, or the one on the path.
    ///
    /// # Errors
    /// [`Error::Usage`]: there is none; the message says how to install it.
    pub fn find(python: Option<&Path>) -> Result<Self> {
        let candidates = match python {
            Some(python) => vec![python],
            None => vec![Path::new("python3"), Path::new("python")],
        };
        let answers = |python: &Path, module: &[&str]| {
            let mut command = Command::new(python);
            command.args(module).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if let Some(pip) = candidates.iter().find(|python| answers(python, &["-m", "pip", "--version"])) {
            return Ok(Pip(pip.to_path_buf()));
        }
        Err(Error::usage(match candidates.iter().find(|python| answers(python, &["-c", ""])) {
            Some(python) => format!(
                "{0} has no pip, which is needed to fetch the packages. Install it:\n    {0} -m ensurepip --upgrade        \
                 (Debian: apt-get install python3-pip)",
                python.display()
            ),
            None => format!(
                "{} was not found; its pip is needed to fetch the packages. Install Python (Debian: apt-get install \
                 python3 python3-pip), or name one with --python",
                candidates[0].display()
            ),
        }))
    }

    /// Fetches a wheel into `folder` and returns its path.
    fn download(&self, wheel: &Wheel, platform: Option<&str>, folder: &Path) -> Result<PathBuf> {
        let mut command = Command::new(&self.0);
        command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]);
        // Only its files are used, so that any version of Python can fetch it.
        command.args(["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]);
        for (option, value) in [("--python-version", wheel.python.as_deref()), ("--platform", platform)] {
            command.args(value.iter().flat_map(|value| [option, value]));
        }
        command.arg("--dest").arg(folder).arg(format!("{}=={}", wheel.package, wheel.version));
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().at(&self.0)?;
        if !status.success() {
            let what = format!("pip could not fetch {} {}", wheel.package, wheel.version);
            return Err(Error::Failed(format!("{what} ({status}); see its messages above")));
        }
        let fetched: Vec<PathBuf> =
            fs::read_dir(folder).at(folder)?.flatten().map(|file| file.path()).collect();
        match <[PathBuf; 1]>::try_from(fetched) {
            Ok([one]) => Ok(one),
            Err(files) => {
                Err(Error::file(folder, format!("pip wrote {} files, expected one wheel", files.len())))
            }
        }
    }
}

/// Fetches a wheel of `setup` into `folder`, unless it is there. Even if interrupted, the wheel is unpacked completely or
/// not at all.
///
/// # Errors
/// [`Error::Usage`]: there is none for this machine. [`Error::Failed`], [`Error::File`]: pip cannot fetch it, its hash is
/// not in the manifest, or it is not a wheel. [`Error::Io`].
pub fn fetch(folder: &Path, setup: &Dependencies, wheel: &Wheel, pip: &Pip) -> Result<()> {
    let Wheel { package, version, .. } = wheel;
    let Some(wanted) = wheel.file_for(OS, ARCH) else {
        let platforms: Vec<&str> = wheel.files.iter().filter_map(|file| file.platform.as_deref()).collect();
        let what = format!("there is no {package} {version} for {OS} on {ARCH}; there is one for");
        return Err(Error::usage(format!("{what} {}", platforms.join(", "))));
    };
    fs::create_dir_all(folder).at(folder)?;
    // Without the lock, two processes would fetch the same wheel.
    let lock = folder.join(".lock");
    let _locked = File::create(&lock).and_then(|file| file.lock().map(|()| file)).at(&lock)?;
    if is_there(folder, setup, wheel) {
        return Ok(());
    }
    for left in fs::read_dir(folder).at(folder)?.flatten() {
        if left.file_name().to_string_lossy().starts_with(FETCHED) {
            fs::remove_dir_all(left.path()).at(left.path())?;
        }
    }
    let scratch = tempfile::Builder::new().prefix(FETCHED).tempdir_in(folder).at(folder)?;
    let [fetched, fresh, before] = ["fetched", "fresh", "before"].map(|name| scratch.path().join(name));
    fs::create_dir(&fetched).at(&fetched)?;
    fs::create_dir(&fresh).at(&fresh)?;
    let file = pip.download(wheel, wanted.platform.as_deref(), &fetched)?;
    let sha256 = hash(&file).at(&file)?;
    if sha256 != wanted.sha256 {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        return Err(Error::Failed(format!(
            "{name}, as pip fetched it, has the SHA-256 {sha256}; the plugin's manifest says {}: nothing was installed",
            wanted.sha256
        )));
    }
    let files = unpack(&file, &fresh)?;
    let record = serde_json::to_vec_pretty(&Unpacked { sha256, files });
    let record = record.map_err(|e| Error::usage(format!("{RECORD}: {e}")))?;
    File::create_new(fresh.join(RECORD))
        .and_then(|mut file| file.write_all(&record))
        .at(fresh.join(RECORD))?;
    let place = place(folder, setup, wheel);
    fs::create_dir_all(folder.join(&setup.name)).at(folder)?;
    if place.exists() {
        fs::rename(&place, before).at(&place)?;
    }
    fs::rename(&fresh, &place).at(&place)
}

/// The files at `place` that have changed since they were unpacked, or `None` if there is no wheel.
pub fn damaged(place: &Path) -> Option<Vec<String>> {
    let sound = |name: &str, sha256: &str| hash(&place.join(name)).is_ok_and(|now| now == sha256);
    let files = Unpacked::read(place)?.files.into_iter();
    Some(files.filter(|(name, sha256)| !sound(name, sha256)).map(|(name, _)| name).collect())
}

/// Unpacks a wheel, which is a ZIP file, and returns the hash of each of its files.
fn unpack(wheel: &Path, into: &Path) -> Result<BTreeMap<String, String>> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let refused = |what: String| Error::Failed(format!("{name} {what}: nothing was installed"));
    let broken = |e: zip::result::ZipError| refused(format!("cannot be unpacked ({e})"));
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(wheel).at(wheel)?)).map_err(broken)?;
    let mut files = BTreeMap::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).map_err(broken)?;
        let path = file.name().to_owned();
        // No file may be written outside the folder.
        let stays = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if !stays || path.is_empty() || path.contains(['\\', ':', '\0']) || file.is_symlink() {
            return Err(refused(format!(
                "contains `{}`, which is not a file inside its folder",
                path.escape_debug()
            )));
        }
        let to = into.join(&path);
        if file.is_dir() {
            fs::create_dir_all(&to).at(&to)?;
            continue;
        }
        let parent = to.parent().unwrap_or(into);
        fs::create_dir_all(parent).at(parent)?;
        let copied = File::create_new(&to).and_then(|to| copy(&mut file, to));
        files.insert(
            path.clone(),
            copied.map_err(|e| refused(format!("cannot be unpacked (`{path}`: {e})")))?,
        );
    }
    Ok(files)
}

/// SHA-256 of a file, in hexadecimal.
fn hash(path: &Path) -> io::Result<String> {
    copy(&mut File::open(path)?, io::sink())
}

/// Copies everything and returns its SHA-256, in hexadecimal.
fn copy(from: &mut impl Read, mut to: impl Write) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => {
                hash.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
        }
    }
}
