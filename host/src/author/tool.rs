//! Finds and runs external programs, such as compilers.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::error::{Error, IoContext, Result};

/// Runs `command` and returns what it printed; `None` if it does not exist or fails.
pub(super) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a compiler, whose messages go to standard error, and returns what it printed to standard output.
///
/// # Errors
/// [`Error::File`] about `folder`: the compiler failed.
pub(super) fn run(command: &mut Command, folder: &Path) -> Result<String> {
    run_explained(command.stderr(Stdio::inherit()), folder, |_| None)
}

/// Runs a program as [`run`] does. If it fails, and `explained` makes an error of what it printed to standard error, this
/// error takes the place of its messages.
///
/// # Errors
/// As [`run`].
pub(super) fn run_explained(
    command: &mut Command,
    folder: &Path,
    explained: impl Fn(&str) -> Option<String>,
) -> Result<String> {
    let name = PathBuf::from(command.get_program());
    let output =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().and_then(Child::wait_with_output);
    let Output { status, stdout, stderr } = output.at(&name)?;
    let said = String::from_utf8_lossy(&stderr);
    if !status.success()
        && let Some(cause) = explained(&said)
    {
        return Err(Error::file(folder, cause));
    }
    let _ = std::io::stderr().write_all(said.as_bytes());
    match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => {
            let what = format!("{} failed ({status}); see its messages above", name.display());
            Err(Error::file(folder, what))
        }
    }
}

/// The first of `candidates`, each the words of a command, that succeeds with the arguments `probe`.
pub(super) fn find<const N: usize>(candidates: [Vec<PathBuf>; N], probe: &[&str]) -> Option<Vec<PathBuf>> {
    candidates.into_iter().find(|words| ask(command(words).args(probe)).is_some())
}

/// The path of a program in the virtual environment in the plugin's folder, whether there is one or not.
pub(super) fn in_venv(folder: &Path, program: &str) -> PathBuf {
    folder.join(".venv").join(if cfg!(windows) { "Scripts" } else { "bin" }).join(program)
}

/// A command that begins with these words.
pub(super) fn command(words: &[PathBuf]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(Path::new(""), PathBuf::as_path));
    command.args(words);
    command
}
