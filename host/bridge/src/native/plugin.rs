//! Native plugins: reads their descriptions, and makes environments, learners and objectives from them.
use std::ffi::{c_char, c_void};

use potstill_engine::environment::Environments;
use potstill_engine::error::Error;
use potstill_engine::learner::LearnerDistribution;
use potstill_engine::objective::Objective;
use potstill_plugin_api::abi::{self, Grows, Host, Plugin, RoleKind};
use potstill_plugin_api::{OptionSchema, Role, Task};

use super::{NativeEnvironments, NativeObjective};
use crate::check::{Checked, Failure};
use crate::settings::resolve;
use crate::text::{LONGEST_MESSAGE, tame};
use crate::traced::{TracedLearners, TracedObjective};

/// A native plugin that was opened. It stays loaded as long as the process lives.
#[derive(Clone)]
pub struct NativePlugin {
    raw: Plugin,
    /// The id, e.g. `acme/walk-v1`.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// One line about the plugin.
    pub summary: String,
    /// The plugin's role.
    pub role: Role,
    /// The options that users may set.
    pub options: Vec<OptionSchema>,
}

// SAFETY: the description is constant, and its functions may be called from any thread.
unsafe impl Send for NativePlugin {}
// SAFETY: as above.
unsafe impl Sync for NativePlugin {}

/// The table of the host's functions for plugins; see `potstill.h`.
pub struct HostTable(Host);
// SAFETY: the table is constant, and so is what its pointers refer to.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

impl HostTable {
    /// Makes a table with the function that receives log messages and the folder of external dependencies (NULL or
    /// empty if there is none).
    pub const fn new(
        log: Option<unsafe extern "C" fn(level: u32, message: *const c_char)>,
        setup: *const c_char,
    ) -> Self {
        HostTable(Host {
            magic: abi::MAGIC,
            abi_major: abi::ABI_MAJOR,
            abi_minor: abi::ABI_MINOR,
            struct_size: Host::SIZE,
            reserved: 0,
            version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
            log,
            setup,
        })
    }
}

/// The most plugins in one library.
const MOST: usize = 256;

impl NativePlugin {
    /// The plugins that `entry` returns, at least one.
    ///
    /// # Safety
    /// `entry` keeps the contract.
    ///
    /// # Errors
    /// Says what is wrong with a description, or with the number of descriptions.
    pub unsafe fn all(entry: abi::Entry, host: &'static HostTable) -> Result<Vec<Self>, String> {
        // SAFETY: the caller says that the library keeps the contract.
        let mut next = unsafe { entry(&host.0) };
        if next.is_null() {
            return Err(format!("needs a newer Potstill than {}", env!("CARGO_PKG_VERSION")));
        }
        let mut plugins: Vec<Self> = vec![];
        while !next.is_null() {
            // SAFETY: the entry, or the description before, gave it.
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

    /// The plugin that `entry` returns, which a crate of the program defines with the SDK's `builtin!`. Its log
    /// messages are dropped.
    ///
    /// # Safety
    /// `entry` keeps the contract, as what `builtin!` defines does.
    ///
    /// # Errors
    /// [`Error::Plugin`]: the errors of [`Self::all`].
    pub unsafe fn linked(entry: abi::Entry) -> Result<Self, Error> {
        static SILENT: HostTable = HostTable::new(None, std::ptr::null());
        // SAFETY: the caller's promise.
        let found = unsafe { Self::all(entry, &SILENT) };
        let first = found.and_then(|plugins| plugins.into_iter().next().ok_or("has no plugin".into()));
        let error = |cause| Error::Plugin { plugin: "linked".into(), function: "load".into(), cause };
        first.map_err(error)
    }

    /// Makes `len` environments with the user's settings.
    ///
    /// # Errors
    /// [`Error::Usage`]: an invalid option, or `len` is 0. [`Error::Plugin`]: the plugin has another role, failed, or
    /// broke the contract.
    pub fn environments(
        self,
        settings: &[(String, String)],
        len: usize,
    ) -> Result<Box<dyn Environments>, Error> {
        if len == 0 {
            return Err(Error::usage(format!("plugin `{}`: at least one environment is needed", self.id)));
        }
        self.expect(Role::Environment)?;
        let (id, settings) = (self.id.clone(), resolve(&self.id, &self.options, settings)?);
        let (raw, spec) = NativeEnvironments::make(self, len, &settings).map_err(|fault| fault.error(&id))?;
        Ok(Box::new(Checked::new(raw, spec, len)?))
    }

    /// Makes a distribution of learners with the user's settings.
    ///
    /// # Errors
    /// The errors of [`Self::environments`].
    pub fn learner(self, settings: &[(String, String)]) -> Result<Box<dyn LearnerDistribution>, Error> {
        self.expect(Role::Learner)?;
        let (id, settings) = (self.id.clone(), resolve(&self.id, &self.options, settings)?);
        Ok(Box::new(TracedLearners::new(&id, self, settings)))
    }

    /// Makes an objective for `task` with the user's settings.
    ///
    /// # Errors
    /// The errors of [`Self::environments`].
    pub fn objective(self, settings: &[(String, String)], task: &Task) -> Result<Box<dyn Objective>, Error> {
        self.expect(Role::Objective)?;
        let (id, settings) = (self.id.clone(), resolve(&self.id, &self.options, settings)?);
        let make = |settings: &[_], task: &_| NativeObjective::make(self, settings, task);
        Ok(Box::new(TracedObjective::new(&id, settings, task, make)?))
    }

    fn expect(&self, role: Role) -> Result<(), Error> {
        if self.role == role {
            return Ok(());
        }
        let cause = format!("its role is {}, expected {role}", self.role);
        Err(Error::Plugin { plugin: self.id.clone(), function: "load".into(), cause })
    }

    /// Reads the description of one plugin.
    ///
    /// # Safety
    /// The description keeps the contract.
    ///
    /// # Errors
    /// Says what is wrong with the description.
    unsafe fn described(described: *const Plugin) -> Result<Self, String> {
        // SAFETY: the offsets of these fields never change, whatever the version.
        let (magic, version) = unsafe {
            let version =
                ((&raw const (*described).abi_major).read(), (&raw const (*described).abi_minor).read());
            ((&raw const (*described).magic).read(), version)
        };
        if magic != abi::MAGIC {
            return Err("is not a Potstill plugin (its magic number is wrong)".into());
        }
        if version.0 != abi::ABI_MAJOR || version.1 > abi::ABI_MINOR {
            return Err(format!(
                "was built against version {}.{} of the C contract; this Potstill supports {}.{}",
                version.0,
                version.1,
                abi::ABI_MAJOR,
                abi::ABI_MINOR
            ));
        }
        // SAFETY: it is a description of this major version, which says itself how long it is.
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
                text(raw.summary, "summary")?,
                options.iter().map(|option| option.read()).collect::<Result<Vec<_>, String>>()?,
            )
        };
        crate::declared::check_description(&[&id, &version, &summary])?;
        crate::settings::check_options(&options)?;
        let summary = tame(&summary, 200);
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

    /// The role's table of functions, if it is at least as long as in its first version.
    pub(super) fn functions<T: Grows>(&self) -> Option<T> {
        // SAFETY: it is not null; by the contract it is valid forever and as long as it says.
        unsafe { T::read(self.raw.functions.cast()) }.ok()
    }

    /// The failure of a call that did not return OK.
    pub(super) fn failure(&self, code: i32) -> Failure {
        let words = self.raw.last_error.map(|last_error| {
            // SAFETY: by the contract it is a string, valid until the next call.
            let text = unsafe { abi::text(last_error()) };
            text.ok().flatten().unwrap_or("no reason given").to_owned()
        });
        let words = tame(&words.unwrap_or_default(), LONGEST_MESSAGE);
        match code {
            abi::REFUSED => Failure::Refused(words),
            abi::FAILED => Failure::Broken(words),
            other => {
                Failure::Broken(format!("it returned {other}, which is not a code of the contract ({words})"))
            }
        }
    }

    /// Turns the code that a call returned into a result.
    pub(super) fn checked(&self, code: i32) -> Result<(), Failure> {
        if code == abi::OK { Ok(()) } else { Err(self.failure(code)) }
    }
}

/// The failure for a function that the plugin's table had when it was loaded and no longer has.
pub(super) fn absent() -> Failure {
    Failure::Broken("its table of functions changed".into())
}

/// A handle that `make` returned, which is destroyed on drop.
pub(super) struct Handle {
    pub(super) pointer: *mut c_void,
    destroy: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: by the contract any thread may call a handle, one at a time.
unsafe impl Send for Handle {}

impl Handle {
    /// Takes over a handle that `make` wrote.
    pub(super) fn new(
        pointer: *mut c_void,
        destroy: unsafe extern "C" fn(*mut c_void),
    ) -> Result<Self, Failure> {
        if pointer.is_null() {
            return Err(Failure::Broken("it returned OK but no handle".into()));
        }
        Ok(Handle { pointer, destroy })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is this plugin's, and this is its last use.
        unsafe { (self.destroy)(self.pointer) };
    }
}
