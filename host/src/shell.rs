//! Commands for the user to copy.
use std::path::Path;

/// `path` as a word of a shell's command line.
pub(crate) fn word(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), |quoted| quoted.into_owned())
}
