//! Services that the host offers a plugin: logging and the folder of installed packages. A plugin may use them at any
//! time and from any thread.
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The severity of a log message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for the author of the plugin.
    Debug,
    /// Information for the user.
    Info,
    /// Something is wrong, but the plugin can go on.
    Warn,
    /// The plugin is about to fail.
    Error,
}

/// Writes `text` to the host's log, which shows warnings and errors to the user. It does nothing if there is no host, as
/// in a unit test.
pub fn log(level: Level, text: &str) {
    program::log(level, text);
}

/// The folder in which `potstill plugin setup` installs packages for plugins, each in `NAME/PACKAGE-VERSION`. It may not
/// exist yet. Returns `None` in a component, in a unit test, if the user has no data folder, and if the host predates
/// this function.
pub fn setup_folder() -> Option<PathBuf> {
    program::setup_folder()
}

/// How many distinct messages [`log_once`] writes at most.
const MOST_MESSAGES: usize = 64;

/// Writes `text` to the log as [`log`] does, but each distinct text only once per process, and 64 distinct texts at
/// most. Use it for events that may repeat often.
pub fn log_once(level: Level, text: &str) {
    static WRITTEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    if written.len() < MOST_MESSAGES && written.insert(text.to_owned()) {
        drop(written);
        log(level, text);
    }
}

#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
pub(crate) use program::remember;

#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
mod program {
    use std::path::PathBuf;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use potstill_plugin_api::abi::{self, Grows, Host};

    use super::Level;

    static HOST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

    /// Keeps the host that the entry point was given.
    pub(crate) fn remember(host: *const Host) {
        HOST.store(host.cast_mut(), Ordering::Release);
    }

    fn host() -> Option<Host> {
        let host = HOST.load(Ordering::Acquire).cast_const();
        // SAFETY: the contract says that the host structure stays valid as long as the process runs.
        if host.is_null() { None } else { unsafe { Host::read(host) }.ok() }
    }

    pub(super) fn log(level: Level, text: &str) {
        if let Some(write) = host().and_then(|host| host.log) {
            // SAFETY: the text is NUL-terminated and outlives the call.
            unsafe { write(level as u32, abi::c_text(text).as_ptr()) };
        }
    }

    pub(super) fn setup_folder() -> Option<PathBuf> {
        // SAFETY: the contract says that this is null or a text that stays valid as long as the process runs.
        let folder = unsafe { abi::text(host()?.setup) }.ok().flatten()?;
        (!folder.is_empty()).then(|| PathBuf::from(folder))
    }
}

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
mod program {
    use std::path::PathBuf;

    use super::Level;
    use crate::bindings::potstill::plugin::log as contract;

    pub(super) fn log(level: Level, text: &str) {
        let level = match level {
            Level::Debug => contract::Level::Debug,
            Level::Info => contract::Level::Info,
            Level::Warn => contract::Level::Warn,
            Level::Error => contract::Level::Error,
        };
        contract::write(level, text);
    }

    /// Returns `None`, because the sandbox has no file system.
    pub(super) fn setup_folder() -> Option<PathBuf> {
        None
    }
}
