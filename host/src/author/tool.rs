//! Other people's programs: finding them, running them.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, IoContext, Result};

/// What `command` printed when it succeeded; `None` where it is not there, or failed.
pub(super) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a compiler, whose messages go to standard error; gives what it printed.
///
/// # Errors
/// [`Error::File`] about `folder` when it fails.
pub(super) fn run(command: &mut Command, folder: &Path) -> Result<String> {
    let name = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().at(&name)?;
    if !output.status.success() {
        let what = format!("{} failed ({}); its messages stand above", name.display(), output.status);
        return Err(Error::file(folder, what));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first of `candidates`, each a command's words, that answers `probe`.
pub(super) fn find<const N: usize>(candidates: [Vec<PathBuf>; N], probe: &[&str]) -> Option<Vec<PathBuf>> {
    candidates.into_iter().find(|words| ask(command(words).args(probe)).is_some())
}

/// A program of the virtual environment in the plugin's folder, where there is one.
pub(super) fn in_venv(folder: &Path, program: &str) -> PathBuf {
    folder.join(".venv").join(if cfg!(windows) { "Scripts" } else { "bin" }).join(program)
}

/// A command whose first words are these.
pub(super) fn command(words: &[PathBuf]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(Path::new(""), PathBuf::as_path));
    command.args(words);
    command
}
