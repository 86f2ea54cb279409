//! The plugins that a run directory records, and the rule by which they are used.
//!
//! A run directory is data, possibly from someone else. It may say where a plugin was, but it must not make anything run
//! that the sandbox does not hold: a recorded component is used if its file is still the one that the run began with, a
//! recorded shared library is never opened.
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::source::{self, Candidate, is_library, scan};
use super::wasm::hex;

/// A plugin's file as a run directory records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The plugin's id.
    pub id: String,
    /// Where its file was.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal; with `None` any content is accepted.
    pub sha256: Option<String>,
}

impl Recorded {
    /// The recorded file, which may be used. Nothing of it has run.
    ///
    /// # Errors
    /// Says why it may not be used, and what to do.
    pub(super) fn candidate(&self) -> Result<Candidate, String> {
        if is_library(&self.path) {
            return Err(
                "the run used this shared library, which runs only if you name it: add --plugin with \
                        its path"
                    .into(),
            );
        }
        let bytes = source::read(&self.path).map_err(|e| {
            let why = source::without_path(e);
            format!("the run used this file, which cannot be read ({why}); if it has moved, add --plugin with its new path")
        })?;
        let now = hex(&Sha256::digest(bytes));
        match &self.sha256 {
            Some(then) if *then != now => {
                return Err("its file has changed since the run began: restore it, or use it \
                as it is (`potstill resume` with --changed-plugin, other commands with --plugin and its path)"
                    .into());
            }
            _ => {}
        }
        match scan(&self.path).pop() {
            Some(Candidate { manifest: Err(reason), .. }) => Err(reason),
            // A manifest would lead to another file, which was not compared.
            Some(candidate) if candidate.path == self.path => Ok(candidate),
            _ => {
                Err("the run recorded a file that is no component: add --plugin with the plugin's path"
                    .into())
            }
        }
    }
}
