//! What a plugin may ask of the program that runs it, at any time and from any thread.
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is off.
    Warn,
    /// The plugin is about to fail.
    Error,
}

/// Writes `text` into the host's log, which shows warnings and errors to the user. Nothing happens where there is no
/// host, in a test.
pub fn log(level: Level, text: &str) {
    program::log(level, text);
}

/// The folder into which `potstill plugin setup` puts what plugins need, `NAME/PACKAGE-VERSION` in it; it need not exist.
/// None in a component, in a test, where the user has no data folder, and under a host that is older than it.
pub fn setup_folder() -> Option<PathBuf> {
    program::setup_folder()
}

/// Different messages that [`log_once`] remembers.
const MOST_MESSAGES: usize = 64;

/// As [`log`], for what may happen again and again: the same words are written once a process, and no more than a few
/// different ones.
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

    /// Keeps what the entry point was given.
    pub(crate) fn remember(host: *const Host) {
        HOST.store(host.cast_mut(), Ordering::Release);
    }

    fn host() -> Option<Host> {
        let host = HOST.load(Ordering::Acquire).cast_const();
        // SAFETY: what a host hands over is valid for ever, by the contract.
        if host.is_null() { None } else { unsafe { Host::read(host) }.ok() }
    }

    pub(super) fn log(level: Level, text: &str) {
        if let Some(write) = host().and_then(|host| host.log) {
            // SAFETY: a text that lives through the call.
            unsafe { write(level as u32, abi::c_text(text).as_ptr()) };
        }
    }

    pub(super) fn setup_folder() -> Option<PathBuf> {
        // SAFETY: null, or a text that is valid for ever.
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

    /// The sandbox has no files.
    pub(super) fn setup_folder() -> Option<PathBuf> {
        None
    }
}
