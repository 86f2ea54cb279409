//! MuJoCo's shared library, with its errors as values and its warnings in the log.
use std::any::Any;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use potstill_sdk::host::{Level, log_once};

use crate::layout::{KNOWN, Layout};

/// A pointer to `mjModel`, `mjData` or one of the renderer's structures.
pub(crate) type Raw = *mut c_void;

/// `mjrRect`: a rectangle in a picture, in pixels.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Rectangle {
    pub(crate) left: c_int,
    pub(crate) bottom: c_int,
    pub(crate) width: c_int,
    pub(crate) height: c_int,
}

/// The functions that the plugin uses. They unwind when the library raises an error: see [`guarded`].
pub(crate) struct Library {
    /// The name of its release, one of [`KNOWN`].
    pub(crate) version: &'static str,
    pub(crate) layout: &'static Layout,
    pub(crate) load_xml: unsafe extern "C-unwind" fn(*const c_char, Raw, *mut c_char, c_int) -> Raw,
    pub(crate) delete_model: unsafe extern "C-unwind" fn(Raw),
    pub(crate) make_data: unsafe extern "C-unwind" fn(Raw) -> Raw,
    pub(crate) copy_data: unsafe extern "C-unwind" fn(Raw, Raw, Raw) -> Raw,
    pub(crate) delete_data: unsafe extern "C-unwind" fn(Raw),
    pub(crate) reset_data: unsafe extern "C-unwind" fn(Raw, Raw),
    pub(crate) forward: unsafe extern "C-unwind" fn(Raw, Raw),
    pub(crate) step: unsafe extern "C-unwind" fn(Raw, Raw),
    pub(crate) rne_post_constraint: unsafe extern "C-unwind" fn(Raw, Raw),
    pub(crate) state_size: unsafe extern "C-unwind" fn(Raw, c_uint) -> c_int,
    pub(crate) get_state: unsafe extern "C-unwind" fn(Raw, Raw, *mut f64, c_uint),
    pub(crate) set_state: unsafe extern "C-unwind" fn(Raw, Raw, *const f64, c_uint),
    pub(crate) name_to_id: unsafe extern "C-unwind" fn(Raw, c_int, *const c_char) -> c_int,
    pub(crate) default_option: unsafe extern "C-unwind" fn(Raw),
    pub(crate) default_camera: unsafe extern "C-unwind" fn(Raw),
    pub(crate) default_scene: unsafe extern "C-unwind" fn(Raw),
    pub(crate) make_scene: unsafe extern "C-unwind" fn(Raw, Raw, c_int),
    pub(crate) free_scene: unsafe extern "C-unwind" fn(Raw),
    pub(crate) update_scene: unsafe extern "C-unwind" fn(Raw, Raw, Raw, Raw, Raw, c_int, Raw),
    pub(crate) default_context: unsafe extern "C-unwind" fn(Raw),
    pub(crate) make_context: unsafe extern "C-unwind" fn(Raw, Raw, c_int),
    pub(crate) free_context: unsafe extern "C-unwind" fn(Raw),
    pub(crate) set_buffer: unsafe extern "C-unwind" fn(c_int, Raw),
    pub(crate) render: unsafe extern "C-unwind" fn(Rectangle, Raw, Raw),
    pub(crate) read_pixels: unsafe extern "C-unwind" fn(*mut u8, *mut f32, Rectangle, Raw),
}

/// The payload that unwinds from MuJoCo's error handler to [`guarded`].
struct MujocoError(String);

type Handler = unsafe extern "C-unwind" fn(*const c_char);

// Without a handler the library writes MUJOCO_LOG.TXT and ends the process. It does not expect the handler to return, so
// the handler unwinds through the C frames, which the unwind tables of every supported platform describe.
unsafe extern "C-unwind" fn on_error(message: *const c_char) {
    // SAFETY: the library passes a text.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().trim().to_owned();
    resume_unwind(Box::new(MujocoError(text)));
}

// Without a handler the library writes MUJOCO_LOG.TXT. The environment reports an unstable simulation itself. MuJoCo, and
// Gymnasium with it, continues after all other warnings, such as a full contact buffer.
unsafe extern "C-unwind" fn on_warning(message: *const c_char) {
    // SAFETY: the library passes a text.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    // The rest of the message says when.
    let first = text.split(". ").next().unwrap_or_default().trim();
    if !first.starts_with("Nan, Inf or huge value") {
        log_once(Level::Warn, &format!("MuJoCo warns and continues: {first}"));
    }
}

/// Calls the library. An error of MuJoCo's becomes an `Err` with its message, and the `mjData` that was used may then only
/// be deleted.
pub(crate) fn guarded<T>(calls: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(calls)).map_err(|payload: Box<dyn Any + Send>| {
        match payload.downcast::<MujocoError>() {
            Ok(error) => error.0,
            Err(panic) => resume_unwind(panic),
        }
    })
}

impl Library {
    /// Loads the library at `path`, once per process.
    ///
    /// # Errors
    /// It cannot be loaded, is not MuJoCo, or is of a version whose structures are not known.
    pub(crate) fn open(path: &Path) -> Result<&'static Library, String> {
        static OPEN: Mutex<Vec<(PathBuf, &'static Library)>> = Mutex::new(vec![]);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, library)) = open.iter().find(|(known, _)| known == path) {
            return Ok(library);
        }
        // Never unloaded: simulations may outlive the first caller.
        let library = Box::leak(Box::new(load(path)?));
        open.push((path.to_owned(), library));
        Ok(library)
    }
}

#[cfg(unix)]
fn dlopen(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the library's initializers are MuJoCo's, which only fill tables.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn dlopen(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: as above.
    unsafe { libloading::Library::new(path) }
}

fn load(path: &Path) -> Result<Library, String> {
    let shown = path.display();
    let handle = Box::leak(Box::new(
        dlopen(path).map_err(|e| format!("{shown} cannot be loaded as MuJoCo's library: {e}"))?,
    ));
    // SAFETY: the types are those of mujoco.h, for all known versions (`int` and `unsigned` flags alike).
    unsafe {
        let version: unsafe extern "C-unwind" fn() -> c_int = symbol(handle, path, c"mj_version")?;
        let release: unsafe extern "C-unwind" fn() -> *const c_char =
            symbol(handle, path, c"mj_versionString")?;
        let version = version();
        let known = KNOWN.iter().find(|(_, layout)| layout.version == version);
        let (version, layout) = known.ok_or_else(|| {
            format!(
                "{shown} is MuJoCo {}, which this plugin does not support (it supports {}); \
                 `potstill plugin setup mujoco` installs {} beside it",
                CStr::from_ptr(release()).to_string_lossy(),
                KNOWN.map(|(name, _)| name).join(", "),
                KNOWN[0].0,
            )
        })?;
        *symbol::<*mut Option<Handler>>(handle, path, c"mju_user_error")? = Some(on_error);
        *symbol::<*mut Option<Handler>>(handle, path, c"mju_user_warning")? = Some(on_warning);
        Ok(Library {
            version,
            layout,
            load_xml: symbol(handle, path, c"mj_loadXML")?,
            delete_model: symbol(handle, path, c"mj_deleteModel")?,
            make_data: symbol(handle, path, c"mj_makeData")?,
            copy_data: symbol(handle, path, c"mj_copyData")?,
            delete_data: symbol(handle, path, c"mj_deleteData")?,
            reset_data: symbol(handle, path, c"mj_resetData")?,
            forward: symbol(handle, path, c"mj_forward")?,
            step: symbol(handle, path, c"mj_step")?,
            rne_post_constraint: symbol(handle, path, c"mj_rnePostConstraint")?,
            state_size: symbol(handle, path, c"mj_stateSize")?,
            get_state: symbol(handle, path, c"mj_getState")?,
            set_state: symbol(handle, path, c"mj_setState")?,
            name_to_id: symbol(handle, path, c"mj_name2id")?,
            default_option: symbol(handle, path, c"mjv_defaultOption")?,
            default_camera: symbol(handle, path, c"mjv_defaultCamera")?,
            default_scene: symbol(handle, path, c"mjv_defaultScene")?,
            make_scene: symbol(handle, path, c"mjv_makeScene")?,
            free_scene: symbol(handle, path, c"mjv_freeScene")?,
            update_scene: symbol(handle, path, c"mjv_updateScene")?,
            default_context: symbol(handle, path, c"mjr_defaultContext")?,
            make_context: symbol(handle, path, c"mjr_makeContext")?,
            free_context: symbol(handle, path, c"mjr_freeContext")?,
            set_buffer: symbol(handle, path, c"mjr_setBuffer")?,
            render: symbol(handle, path, c"mjr_render")?,
            read_pixels: symbol(handle, path, c"mjr_readPixels")?,
        })
    }
}

/// Looks up a function or variable of the library.
///
/// # Safety
/// `T` is the pointer type of this symbol.
unsafe fn symbol<T: Copy>(handle: &libloading::Library, path: &Path, name: &CStr) -> Result<T, String> {
    // SAFETY: the caller's promise.
    unsafe { handle.get::<T>(name.to_bytes_with_nul()) }.map(|symbol| *symbol).map_err(|_| {
        format!(
            "{} has no function {}: it is not MuJoCo or is too old",
            path.display(),
            name.to_string_lossy()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mujoco_is_refused() {
        let not = Library::open(Path::new("/nowhere/libmujoco.so")).err().unwrap();
        assert!(not.starts_with("/nowhere/libmujoco.so cannot be loaded as MuJoCo's library: "), "{not}");
    }
}
