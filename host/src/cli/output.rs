//! The file that a command writes: `--out` must not destroy what the user did not mean.
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::confirmed;
use crate::error::{Error, IoContext, Result};
use crate::run::{RunDirectory, folder_of};

/// The option that answers the question before an existing file is replaced.
#[derive(Args)]
pub(super) struct Force {
    /// Replace the output file if it exists
    #[arg(long, help_heading = "Output")]
    force: bool,
}

/// What a command writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dataset,
    Agent,
    Transitions,
    Gif,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Dataset => "dataset",
            Kind::Agent => "agent",
            Kind::Transitions => "transitions",
            Kind::Gif => "GIF",
        }
    }

    /// Whether the file at `path` is of this kind, or empty.
    fn is(self, path: &Path) -> io::Result<bool> {
        let mut file = File::open(path)?;
        let mut start = vec![];
        (&mut file).take(8).read_to_end(&mut start)?;
        Ok(match (self, <[u8; 8]>::try_from(&start[..])) {
            (_, Err(_)) => start.is_empty(),
            (Kind::Gif, _) => start.starts_with(b"GIF8"),
            (kind, Ok(length)) => {
                let mut header = vec![];
                file.take(u64::from_le_bytes(length).min(LARGEST_HEADER)).read_to_end(&mut header)?;
                let header: serde_json::Value = serde_json::from_slice(&header).unwrap_or_default();
                let format = format!("potstill-{}", kind.name());
                header["__metadata__"]["format"] == *format
            }
        })
    }
}

/// The most bytes of a safetensors header that are read to learn what a file is.
const LARGEST_HEADER: u64 = 16 << 20;

/// A place to write to that was checked before the work began.
pub(super) struct Output {
    /// The path as the user gave it.
    path: PathBuf,
    /// Where a file is made: `path`, or what it links to. `None` for a device or a pipe, which is written through.
    file: Option<PathBuf>,
}

impl Output {
    /// Checks that `path` can be written: nothing is there, a device or a pipe, or a file of the same kind that the user
    /// wants to replace. It asks in a terminal, unless `force` answers.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Io`]: it is a folder, one of the `inputs`, a file of another kind or of a run, or its
    /// folder does not exist. [`Error::Usage`]: a file would be replaced, and the user does not want that.
    pub(super) fn new(path: &Path, kind: Kind, force: &Force, inputs: &[&Path]) -> Result<Self> {
        let refuse = |what: String| Err(Error::file(path, what));
        let out = |file: Option<PathBuf>| Ok(Output { path: path.to_owned(), file });
        let there = match fs::metadata(path) {
            Ok(there) => there,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let file = target_of(path).at(path)?;
                fs::read_dir(folder_of(&file)).at(path)?;
                return out(Some(file));
            }
            Err(e) => return Err(e).at(path),
        };
        if there.is_dir() {
            return refuse("is a folder; name a file in it".into());
        }
        if !there.is_file() {
            return out(None);
        }
        let file = path.canonicalize().at(path)?;
        if inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == file)) {
            return refuse("is what this command reads; write to another file".into());
        }
        if RunDirectory::inspect(folder_of(&file)).is_ok() {
            return refuse(
                "is a file of a run, which only the run itself writes; write to another file".into(),
            );
        }
        if !kind.is(&file).at(path)? {
            return refuse(format!(
                "is not a file of the kind that would replace it ({}); write to another file",
                kind.name()
            ));
        }
        if there.len() > 0 && !force.force && !may_replace(path)? {
            return Err(Error::usage(format!(
                "{} exists: --force replaces it, or write to another file",
                path.display()
            )));
        }
        out(Some(file))
    }

    /// The path as the user gave it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the output: `save` writes the file at the path that it is given.
    ///
    /// # Errors
    /// An error of `save`, or [`Error::Io`].
    pub(super) fn write<T>(&self, save: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        if let Some(file) = &self.file {
            return save(file);
        }
        let scratch = tempfile::tempdir().at(std::env::temp_dir())?;
        let whole = scratch.path().join("output");
        let saved = save(&whole)?;
        let mut from = File::open(&whole).at(&whole)?;
        let mut to = fs::OpenOptions::new().write(true).open(&self.path).at(&self.path)?;
        io::copy(&mut from, &mut to).and_then(|_| to.flush()).at(&self.path)?;
        Ok(saved)
    }
}

/// The file that a link to nothing names; any other path is itself.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many links as systems follow.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Asks whether the file at `path` is to be replaced; without a terminal the answer is no.
fn may_replace(path: &Path) -> Result<bool> {
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    Ok(asks && confirmed(&format!("{} exists. Replace it?", path.display()))?)
}
