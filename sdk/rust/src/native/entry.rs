//! The entry point of a native plugin, and what all roles share.
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use potstill_plugin_api::OptionSchema;
use potstill_plugin_api::abi::{self, OptionsData, Plugin, RoleKind, Setting};

use crate::Options;

/// A plugin's description with what its pointers point to.
#[doc(hidden)]
pub struct Described {
    plugin: Plugin,
    _texts: [CString; 3],
    _options: OptionsData,
}

// SAFETY: the pointers of `plugin` point into the other fields, to a static table and to another plugin that lives as
// long, which nothing changes.
unsafe impl Send for Described {}
// SAFETY: as above.
unsafe impl Sync for Described {}

/// The plugins of a library, each of which points to the next.
#[doc(hidden)]
pub struct Chain(Box<[Described]>);

impl Chain {
    /// Links them in this order.
    pub fn new<const N: usize>(plugins: [Described; N]) -> Self {
        let mut chain: Box<[Described]> = Box::new(plugins);
        // From here on they stay where they are.
        for i in 1..chain.len() {
            chain[i - 1].plugin.next = chain[i].plugin();
        }
        Chain(chain)
    }

    /// What the entry point returns.
    pub fn first(&self) -> *const Plugin {
        self.0.first().map_or(std::ptr::null(), Described::plugin)
    }
}

/// What the entry point is given, for [`crate::host`].
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

    /// The structure.
    fn plugin(&self) -> *const Plugin {
        &self.plugin
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// Whether this thread runs a call of the host, and where that call panicked.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANICKED_AT: RefCell<String> = RefCell::default();
}

extern "C" fn last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|text| text.as_ptr())
}

/// Runs a call of the host: its error and its panic become words for [`last_error`].
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
/// Runs a part of a call of the host on another thread: a panic there is heard of in the answer alone.
pub(crate) fn quietly(part: &dyn Fn()) {
    let around = GUARDED.replace(true);
    part();
    GUARDED.set(around);
}

/// A panic in a call of the host is that call's answer, and no message on standard error.
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

/// # Safety
/// `settings` points to `count` settings.
pub(super) unsafe fn options(settings: *const Setting, count: u32) -> Result<Options, String> {
    // SAFETY: the caller's promise.
    unsafe { abi::array(settings, count)?.iter().map(|setting| setting.read()).collect() }
}

/// Hands `value` out as a handle.
///
/// # Safety
/// `place` is valid for a write.
pub(super) unsafe fn hand_out<T>(value: T, place: *mut *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { *place = Box::into_raw(Box::new(value)).cast() };
}

/// The value behind a handle.
///
/// # Safety
/// `handle` is one that [`hand_out`] gave for this `T`, not destroyed, and nobody else uses it now.
pub(super) unsafe fn handle<'a, T>(handle: *mut c_void) -> &'a mut T {
    // SAFETY: the caller's promise.
    unsafe { &mut *handle.cast() }
}

/// Ends the value behind a handle.
///
/// # Safety
/// As [`handle`], for the last time.
pub(super) unsafe extern "C" fn destroy<T>(handle: *mut c_void) {
    if !handle.is_null() {
        // SAFETY: the caller's promise. A panic in a destructor must not cross.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(handle.cast::<T>()) })));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_panic_becomes_words_and_nothing_else() {
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
        // One that is nobody's error is heard.
        let _ = catch_unwind(|| panic!("elsewhere"));
        let _ = std::panic::take_hook();
        assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    }
}
