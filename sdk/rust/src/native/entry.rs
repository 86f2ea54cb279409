//! The entry point of a native plugin, and the handles, errors and options that all roles share.
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use potstill_plugin_api::OptionSchema;
use potstill_plugin_api::abi::{self, OptionsData, Plugin, RoleKind, Setting};

use crate::Options;

/// A plugin's description, which owns the data that its pointers point to.
#[doc(hidden)]
pub struct Described {
    plugin: Plugin,
    _texts: [CString; 3],
    _options: OptionsData,
}

// SAFETY: the pointers in `plugin` point into the other fields, to a static table and to the next plugin of the same
// chain. All of these live as long as `plugin` and never change.
unsafe impl Send for Described {}
// SAFETY: as for `Send`: the data is only read.
unsafe impl Sync for Described {}

/// The plugins of a library, as a linked list in a boxed slice.
#[doc(hidden)]
pub struct Chain(Box<[Described]>);

impl Chain {
    /// Links the plugins in the given order.
    pub fn new<const N: usize>(plugins: [Described; N]) -> Self {
        let mut chain: Box<[Described]> = Box::new(plugins);
        // The box keeps the plugins in place from here on, so their addresses are stable.
        for i in 1..chain.len() {
            chain[i - 1].plugin.next = chain[i].plugin();
        }
        Chain(chain)
    }

    /// The first plugin, which the entry point returns.
    pub fn first(&self) -> *const Plugin {
        self.0.first().map_or(std::ptr::null(), Described::plugin)
    }
}

/// Keeps the host that the entry point was given, for [`crate::host`].
#[doc(hidden)]
pub fn remember(host: *const abi::Host) {
    crate::host::remember(host);
}

impl Described {
    pub(super) fn new(
        role: RoleKind,
        [id, version, summary]: [&str; 3],
        options: &[OptionSchema],
        functions: *const c_void,
    ) -> Self {
        let texts = [id, version, summary].map(abi::c_text);
        let options = OptionsData::new(options);
        let plugin = Plugin {
            magic: abi::MAGIC,
            abi_major: abi::ABI_MAJOR,
            abi_minor: abi::ABI_MINOR,
            struct_size: Plugin::SIZE,
            role: role as u32,
            id: texts[0].as_ptr(),
            version: texts[1].as_ptr(),
            summary: texts[2].as_ptr(),
            options: options.raw().as_ptr(),
            option_count: options.raw().len() as u32,
            reserved: 0,
            functions,
            last_error: Some(last_error),
            next: std::ptr::null(),
        };
        Described { plugin, _texts: texts, _options: options }
    }

    /// A pointer to the C structure.
    fn plugin(&self) -> *const Plugin {
        &self.plugin
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// Whether this thread is running a call from the host.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The source location at which that call panicked.
    static PANICKED_AT: RefCell<String> = RefCell::default();
}

extern "C" fn last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|text| text.as_ptr())
}

/// Runs a call from the host and returns its result code. The message of an error or a panic goes to [`last_error`].
pub(super) fn guarded(call: impl FnOnce() -> Result<(), String>) -> i32 {
    report_panics();
    let around = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(around);
    let (code, message) = match done {
        Ok(Ok(())) => return abi::OK,
        Ok(Err(message)) => (abi::REFUSED, message),
        Err(panic) => (abi::FAILED, panic_message(&*panic)),
    };
    LAST_ERROR.with_borrow_mut(|text| *text = abi::c_text(&message));
    code
}

#[cfg(not(target_family = "wasm"))]
/// Runs a part of a call from the host on another thread. A panic there is reported only as the call's error, not on
/// standard error.
pub(crate) fn quietly(part: &dyn Fn()) {
    let around = GUARDED.replace(true);
    part();
    GUARDED.set(around);
}

/// Installs a panic hook that prints nothing for a panic in a call from the host: that panic becomes the call's error.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| match (GUARDED.get(), panic.location()) {
            (false, _) => before(panic),
            (true, Some(place)) => PANICKED_AT.set(format!(" ({}:{})", place.file(), place.line())),
            (true, None) => PANICKED_AT.set(String::new()),
        }));
    });
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}{}", message.unwrap_or("no message"), PANICKED_AT.take())
}

/// Reads the options that the host passes.
///
/// # Safety
/// `settings` must point to `count` valid settings.
pub(super) unsafe fn options(settings: *const Setting, count: u32) -> Result<Options, String> {
    // SAFETY: the caller guarantees `count` valid settings.
    unsafe { abi::array(settings, count)?.iter().map(|setting| setting.read()).collect() }
}

/// Moves `value` to the heap and writes its handle to `place`.
///
/// # Safety
/// `place` must be valid for a write.
pub(super) unsafe fn hand_out<T>(value: T, place: *mut *mut c_void) {
    // SAFETY: the caller guarantees that `place` can be written.
    unsafe { *place = Box::into_raw(Box::new(value)).cast() };
}

/// Returns the value behind a handle.
///
/// # Safety
/// `handle` must come from [`hand_out`] for this `T`, must not be destroyed yet, and must not be in use elsewhere.
pub(super) unsafe fn handle<'a, T>(handle: *mut c_void) -> &'a mut T {
    // SAFETY: the caller guarantees a live `T` that nobody else uses.
    unsafe { &mut *handle.cast() }
}

/// Drops the value behind a handle.
///
/// # Safety
/// As for [`handle`], and the handle must not be used afterwards.
pub(super) unsafe extern "C" fn destroy<T>(handle: *mut c_void) {
    if !handle.is_null() {
        // SAFETY: the caller guarantees a live `T` that came from `Box::into_raw`. A panic in its destructor must not
        // unwind into the host.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle.cast::<T>()) })));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_panic_in_a_call_becomes_its_error_and_prints_nothing() {
        static HEARD: AtomicU32 = AtomicU32::new(0);
        std::panic::set_hook(Box::new(|_| {
            HEARD.fetch_add(1, Ordering::SeqCst);
        }));
        let code = guarded(|| panic!("a wheel came off"));
        let words = LAST_ERROR.with_borrow(|text| text.to_string_lossy().into_owned());
        assert_eq!((code, HEARD.load(Ordering::SeqCst)), (abi::FAILED, 0));
        assert!(
            words.starts_with("it panicked: a wheel came off (") && words.contains("entry.rs:"),
            "{words}"
        );
        // A panic outside any call from the host still reaches the hook that was there before.
        let _ = catch_unwind(|| panic!("elsewhere"));
        let _ = std::panic::take_hook();
        assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    }
}
