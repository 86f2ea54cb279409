//! Opens a native plugin and reads who it is.
use std::ffi::{CString, c_char, c_void};
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use potstill_plugin_api::abi::{self, Grows, Host, Plugin, RoleKind};
use potstill_plugin_api::{OptionSchema, Role};

use crate::plugin::check::Failure;
use crate::plugin::setup;
use crate::plugin::text::{LONGEST_MESSAGE, tame};

/// A native plugin that was opened. It stays so as long as the process lives.
#[derive(Clone)]
pub(crate) struct NativePlugin {
    raw: Plugin,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) role: Role,
    pub(crate) options: Vec<OptionSchema>,
}

// SAFETY: the description is constant, and its functions may be called from any thread.
unsafe impl Send for NativePlugin {}
// SAFETY: as above.
unsafe impl Sync for NativePlugin {}

/// What plugins may call of the host.
struct HostTable(Host);
// SAFETY: constant, and its pointers are to what is.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

static SETUP: LazyLock<CString> = LazyLock::new(|| {
    let folder = setup::folder();
    abi::c_text(folder.as_deref().and_then(Path::to_str).unwrap_or_default())
});

static HOST: LazyLock<HostTable> = LazyLock::new(|| {
    HostTable(Host {
        magic: abi::MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        struct_size: Host::SIZE,
        reserved: 0,
        version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
        log: Some(log),
        setup: SETUP.as_ptr(),
    })
});

/// Warnings and errors go to standard error, as those of the sandbox's plugins do.
unsafe extern "C" fn log(level: u32, message: *const c_char) {
    // SAFETY: the contract's: a text.
    let text = unsafe { abi::text(message) };
    if let (2.., Ok(Some(text))) = (level, text) {
        let _ = writeln!(std::io::stderr(), "plugin: {}", tame(text, LONGEST_MESSAGE));
    }
}

/// Plugins that one library may hold.
const MOST: usize = 256;

impl NativePlugin {
    /// The plugins behind `entry`, at least one.
    ///
    /// # Safety
    /// `entry` keeps the contract.
    ///
    /// # Errors
    /// What is wrong with a description, or with their number.
    pub(crate) unsafe fn all(entry: abi::Entry) -> Result<Vec<Self>, String> {
        // SAFETY: the caller's promise, here and below.
        let mut next = unsafe { entry(&HOST.0) };
        if next.is_null() {
            return Err(format!("needs a newer Potstill than {}", env!("CARGO_PKG_VERSION")));
        }
        let mut plugins: Vec<Self> = vec![];
        while !next.is_null() {
            let plugin = match (unsafe { Self::described(next) }, plugins.last()) {
                (Ok(plugin), _) => plugin,
                (Err(what), None) => return Err(what),
                (Err(what), Some(before)) => return Err(format!("after `{}`: {what}", before.id)),
            };
            if plugins.iter().any(|before| before.id == plugin.id) {
                return Err(format!(
                    "has `{}` twice, or its plugins follow each other in a circle",
                    plugin.id
                ));
            }
            if plugins.len() == MOST {
                return Err(format!("has more than {MOST} plugins"));
            }
            next = plugin.raw.next;
            plugins.push(plugin);
        }
        Ok(plugins)
    }

    /// The plugin of one description.
    ///
    /// # Safety
    /// It keeps the contract.
    ///
    /// # Errors
    /// What is wrong with it.
    unsafe fn described(described: *const Plugin) -> Result<Self, String> {
        // The first fields lie where they always will.
        let (magic, version) = unsafe {
            let version =
                ((&raw const (*described).abi_major).read(), (&raw const (*described).abi_minor).read());
            ((&raw const (*described).magic).read(), version)
        };
        if magic != abi::MAGIC {
            return Err("is no Potstill plugin (its magic number is wrong)".into());
        }
        if version.0 != abi::ABI_MAJOR || version.1 > abi::ABI_MINOR {
            return Err(format!(
                "was built against version {}.{} of the C contract; this Potstill speaks {}.{}",
                version.0,
                version.1,
                abi::ABI_MAJOR,
                abi::ABI_MINOR
            ));
        }
        let raw = unsafe { Plugin::read(described) };
        let raw = raw.map_err(|size| {
            format!("its description has {size} bytes, expected at least {}", Plugin::FIRST)
        })?;
        let role = match RoleKind::from_number(raw.role) {
            Some(RoleKind::Environment) => Role::Environment,
            Some(RoleKind::Learner) => Role::Learner,
            Some(RoleKind::Objective) => Role::Objective,
            None => return Err(format!("has the unknown role {}", raw.role)),
        };
        if raw.functions.is_null() || raw.last_error.is_none() {
            return Err("has no functions".into());
        }
        // SAFETY: the caller's promise.
        let (id, version, summary, options) = unsafe {
            let text = |field: *const c_char, name: &str| {
                abi::text(field)?.map(str::to_owned).ok_or(format!("has no {name}"))
            };
            let options = abi::array(raw.options, raw.option_count)?;
            (
                text(raw.id, "id")?,
                text(raw.version, "version")?,
                tame(&text(raw.summary, "summary")?, 200),
                options.iter().map(|option| option.read()).collect::<Result<Vec<_>, String>>()?,
            )
        };
        crate::plugin::settings::check_options(&options)?;
        let plugin = NativePlugin { raw, id, version, summary, role, options };
        let missing = match role {
            Role::Environment => super::environment::missing(&plugin),
            Role::Learner => super::learner::missing(&plugin),
            Role::Objective => super::objective::missing(&plugin),
        };
        match missing {
            Some(what) => Err(what),
            None => Ok(plugin),
        }
    }

    /// The plugins in a shared library, which is loaded and never unloaded: the library's threads and thread-local
    /// values would outlive its code.
    ///
    /// # Errors
    /// It cannot be loaded, lacks the symbol, or what [`Self::all`] finds.
    pub(crate) fn open(path: &Path) -> Result<Vec<Self>, String> {
        // A bare name would be looked for among the system's libraries.
        let path = path.canonicalize().map_err(|e| format!("cannot be loaded: {e}"))?;
        // SAFETY: initialisers of the library run here; native plugins are trusted.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|e| format!("cannot be loaded: {}", tame(&e.to_string(), LONGEST_MESSAGE)))?;
        // SAFETY: the contract gives the symbol this type.
        let entry = unsafe { library.get::<abi::Entry>(abi::ENTRY) };
        let entry = *entry.map_err(|_| "does not export `potstill_plugin`: it is no Potstill plugin")?;
        std::mem::forget(library);
        // SAFETY: native plugins are trusted to keep the contract.
        unsafe { Self::all(entry) }
    }

    /// The role's table of functions, if it is at least as long as its first version.
    pub(super) fn functions<T: Grows>(&self) -> Option<T> {
        // SAFETY: not null; valid for ever and as long as it says, by the contract.
        unsafe { T::read(self.raw.functions.cast()) }.ok()
    }

    /// The words for a call that did not return OK.
    pub(super) fn failure(&self, code: i32) -> Failure {
        let words = self.raw.last_error.map(|last_error| {
            // SAFETY: the contract's: a text, valid until the next call.
            let text = unsafe { abi::text(last_error()) };
            text.ok().flatten().unwrap_or("no reason given").to_owned()
        });
        let words = tame(&words.unwrap_or_default(), LONGEST_MESSAGE);
        match code {
            abi::REFUSED => Failure::Refused(words),
            abi::FAILED => Failure::Broken(words),
            other => Failure::Broken(format!("it returned {other}, which means nothing ({words})")),
        }
    }

    /// `Ok` for an OK code.
    pub(super) fn checked(&self, code: i32) -> Result<(), Failure> {
        if code == abi::OK { Ok(()) } else { Err(self.failure(code)) }
    }
}

/// A function that the plugin's table had when it was loaded is gone.
pub(super) fn absent() -> Failure {
    Failure::Broken("its table of functions changed".into())
}

/// What `make` gave, destroyed at the end.
pub(super) struct Handle {
    pub(super) pointer: *mut c_void,
    destroy: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: the contract lets any thread call a handle, one at a time.
unsafe impl Send for Handle {}

impl Handle {
    /// Takes over what `make` wrote.
    pub(super) fn new(
        pointer: *mut c_void,
        destroy: unsafe extern "C" fn(*mut c_void),
    ) -> Result<Self, Failure> {
        if pointer.is_null() {
            return Err(Failure::Broken("it said OK and gave no handle".into()));
        }
        Ok(Handle { pointer, destroy })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is the plugin's, and this is its last use.
        unsafe { (self.destroy)(self.pointer) };
    }
}
