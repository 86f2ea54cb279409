//! The one error type of the host: what was wrong, where, and what to do.
use std::path::{Path, PathBuf};

/// `Result` with the host's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, by who can mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be met as given: an unknown name, a value out of range. The user mends it.
    #[error("{0}")]
    Usage(String),
    /// A plugin failed, lied or overstepped its limits. Names the plugin, the function and the cause.
    #[error("plugin `{plugin}`, in `{function}`: {cause}")]
    Plugin {
        /// The plugin's id, or its path before the id is known.
        plugin: String,
        /// The function of the contract that was running.
        function: String,
        /// What happened, in the host's or the plugin's words.
        cause: String,
    },
    /// A traced graph is not well formed. Names operation, expected and got.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file was read, and does not hold what it should.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A device cannot be used. Says what is missing.
    #[error("device `{device}`: {what}")]
    Device {
        /// As given to `--device`.
        device: String,
        /// What is missing, and what to do.
        what: String,
    },
    /// What was asked for was done, and its answer is no.
    #[error("{0}")]
    Failed(String),
    /// The user asked to stop (Ctrl-C); the state is on disk.
    #[error("interrupted{0}")]
    Interrupted(String),
}

impl Error {
    /// A [`Error::Usage`] from anything printable.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Error::Usage(message.to_string())
    }

    /// A [`Error::File`] about `path`.
    pub fn file(path: impl AsRef<Path>, what: impl std::fmt::Display) -> Self {
        Error::File { path: path.as_ref().to_owned(), what: what.to_string() }
    }

    /// The process's exit status: 2 for a request to mend, 130 for Ctrl-C, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Interrupted(_) => 130,
            _ => 1,
        }
    }
}

/// Attaches the path to an input/output error.
pub trait IoContext<T> {
    /// Names the file or folder the operation was about.
    ///
    /// # Errors
    /// [`Error::Io`] with `path`.
    fn at(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.as_ref().to_owned(), source })
    }
}

/// ` Did you mean …?` with the closest of `known`, or the list of them.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let best = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    match best {
        Some((distance, k)) if distance <= 1 + name.len().max(k.len()) / 4 => format!(" Did you mean `{k}`?"),
        _ if known.is_empty() => " There are none.".into(),
        _ => format!(" Known: {}.", known.join(", ")),
    }
}
