//! The one error type of the host: what was wrong, where, and what to do.
use std::path::{Path, PathBuf};

/// A `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, sorted by who can fix it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be met as given, because of an unknown name or a value out of range, for example. The user
    /// can fix it.
    #[error("{0}")]
    Usage(String),
    /// A plugin failed, contradicted its own declaration or exceeded a limit.
    #[error("plugin `{plugin}`, in `{function}`: {cause}")]
    Plugin {
        /// The plugin's id, or its path before the id is known.
        plugin: String,
        /// The function of the contract that was running.
        function: String,
        /// What happened, as the host or the plugin describes it.
        cause: String,
    },
    /// A traced graph is not well formed. The message names the operation, what it expected and what it got.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// A file could not be read or written.
    #[error("{}: {}", path.display(), in_words(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A file was read, but its contents are not what they should be.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A device cannot be used.
    #[error("device `{device}`: {what}")]
    Device {
        /// The device's name, as given to `--device`.
        device: String,
        /// What is missing, and what to do.
        what: String,
    },
    /// The command ran and reports a failure.
    #[error("{0}")]
    Failed(String),
    /// The user asked to stop (Ctrl-C); the state is on disk.
    #[error("interrupted{0}")]
    Interrupted(String),
}

impl Error {
    /// An [`Error::Usage`] from anything printable.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Error::Usage(message.to_string())
    }

    /// An [`Error::File`] about `path`.
    pub fn file(path: impl AsRef<Path>, what: impl std::fmt::Display) -> Self {
        Error::File { path: path.as_ref().to_owned(), what: what.to_string() }
    }

    /// The process's exit status: 2 for a request that the user must fix, 130 for Ctrl-C, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Interrupted(_) => 130,
            _ => 1,
        }
    }
}

/// Attaches a path to an input/output error.
pub trait IoContext<T> {
    /// Names the file or folder that the operation was about.
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

/// An error of the system in words. If a limit of the user or of the machine is reached, they end with what to do.
pub fn in_words(error: &std::io::Error) -> String {
    // The numbers of EMFILE and ENFILE, the same on every Unix.
    match error.raw_os_error().filter(|_| cfg!(unix)) {
        Some(24) => format!("{error}: raise the limit (`ulimit -n`)"),
        Some(23) => format!("{error}: the limit of the whole system is reached; end other programs"),
        _ => error.to_string(),
    }
}

/// The error of starting a thread or a process, `what`, in words as [`in_words`].
pub fn not_started(what: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => format!(
            "the system refuses another {what} ({error}): end other programs, or raise the limit (`ulimit -u`)"
        ),
        _ => in_words(error),
    }
}

/// How many names an error lists at most.
const LISTED: usize = 40;

/// Text to end an error about the unknown `name`: ` Did you mean …?` with the closest of `known`, or, if none is close,
/// the list of all of them.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    // The namespace of an id may be wrong or left out.
    let alone = |id: &'a str| id.rsplit('/').next().unwrap_or(id);
    let alike = |a: &str, b: &str| {
        let distance = strsim::damerau_levenshtein(a, b);
        (distance <= 1 + a.len().max(b.len()) / 4).then_some(distance)
    };
    // A name from a file may be megabytes long: comparing it would take long, and it is no misspelling.
    let best = (name.len() <= 1000).then(|| {
        let last = name.rsplit('/').next().unwrap_or(name);
        let whole = known.iter().filter_map(|k| Some((alike(name, k)?, k))).min();
        whole.or_else(|| known.iter().filter_map(|k| Some((alike(last, alone(k))?, k))).min())
    });
    match best.flatten() {
        Some((_, k)) => format!(" Did you mean `{k}`?"),
        _ if known.is_empty() => " There are none.".into(),
        _ if known.len() > LISTED => {
            let more = known.len() - LISTED;
            format!(" Known: {} and {more} more.", known[..LISTED].join(", "))
        }
        _ => format!(" Known: {}.", known.join(", ")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Error as Io;

    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let known = ["ale/pong", "ale/breakout", "nd-cartpole"];
        let meant = |name: &str| did_you_mean(name, known);
        assert_eq!(meant("nd-cartpol"), " Did you mean `nd-cartpole`?");
        for name in ["ale/pog", "pog", "atari/pong", "gymnasium/pongg"] {
            assert_eq!(meant(name), " Did you mean `ale/pong`?", "{name}");
        }
        assert_eq!(meant("seaquest"), " Known: ale/pong, ale/breakout, nd-cartpole.");
        assert_eq!(did_you_mean("seaquest", []), " There are none.");
        let many: Vec<String> = (0..100).map(|i| format!("name-{i}")).collect();
        let long = did_you_mean("seaquest", many.iter().map(String::as_str));
        assert!(
            long.starts_with(" Known: name-0, name-1,") && long.ends_with(" name-39 and 60 more."),
            "{long}"
        );
    }

    #[test]
    fn limits_of_the_system_come_with_what_to_do() {
        let files = Error::Io { path: "a/b".into(), source: Io::from_raw_os_error(24) }.to_string();
        assert!(files.starts_with("a/b: ") && files.ends_with(": raise the limit (`ulimit -n`)"), "{files}");
        assert!(in_words(&Io::from_raw_os_error(23)).contains("the whole system"));
        let refused = not_started("thread", &Io::from(std::io::ErrorKind::WouldBlock));
        assert!(refused.starts_with("the system refuses another thread (") && refused.contains("ulimit -u"));
        let missing = Io::from_raw_os_error(2);
        assert_eq!(not_started("process", &missing), missing.to_string());
    }
}
