//! OpenGL without a window, through the system's EGL. The driver is a graphics card's, or Mesa's, which also draws on the
//! CPU.
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::sync::OnceLock;

type Pointer = *mut c_void;
type Attribute = i32;

const NONE: Attribute = 0x3038;
const OPENGL_API: u32 = 0x30A2;
const EXTENSIONS: i32 = 0x3055;
const PLATFORM_DEVICE: u32 = 0x313F;
/// The configuration that MuJoCo's Python package asks for.
const CONFIGURATION: [Attribute; 17] = [
    0x3024, 8, // bits of red
    0x3023, 8, // green
    0x3022, 8, // blue
    0x3021, 8, // alpha
    0x3025, 24, // depth
    0x3026, 8, // stencil
    0x3033, 1, // surfaces off the screen
    0x3040, 8, // OpenGL
    NONE,
];
/// The most graphics devices that are tried.
const MOST_DEVICES: usize = 16;

const INSTALL: &str = "a graphics driver provides it, and so does Mesa, even without a graphics card (Debian, Ubuntu: \
                       `apt install libegl1 libgl1-mesa-dri`)";

/// The library, with a display on which contexts can be made.
struct Egl {
    functions: Functions,
    display: Pointer,
    configuration: Pointer,
}

// SAFETY: EGL's functions may be called from any thread, and displays belong to no thread.
unsafe impl Send for Egl {}
// SAFETY: as above.
unsafe impl Sync for Egl {}

struct Functions {
    get_error: unsafe extern "C" fn() -> i32,
    get_proc_address: unsafe extern "C" fn(*const c_char) -> Pointer,
    query_string: unsafe extern "C" fn(Pointer, i32) -> *const c_char,
    get_display: unsafe extern "C" fn(Pointer) -> Pointer,
    initialize: unsafe extern "C" fn(Pointer, *mut i32, *mut i32) -> u32,
    bind_api: unsafe extern "C" fn(u32) -> u32,
    choose_config: unsafe extern "C" fn(Pointer, *const Attribute, *mut Pointer, i32, *mut i32) -> u32,
    create_context: unsafe extern "C" fn(Pointer, Pointer, Pointer, *const Attribute) -> Pointer,
    destroy_context: unsafe extern "C" fn(Pointer, Pointer) -> u32,
    make_current: unsafe extern "C" fn(Pointer, Pointer, Pointer, Pointer) -> u32,
}

/// An OpenGL context that is not current in any thread.
pub(crate) struct Context {
    egl: &'static Egl,
    raw: Pointer,
}

// SAFETY: a context belongs to no thread while it is current in none, and `Current` stays in its thread.
unsafe impl Send for Context {}

/// A context that is current in this thread for as long as this value lives.
pub(crate) struct Current<'a> {
    context: &'a Context,
    /// Keeps the value in its thread.
    here: PhantomData<Pointer>,
}

/// Checks, once per process, whether contexts can be made on this machine.
///
/// # Errors
/// They cannot. The message says what was tried, and what to do.
pub(crate) fn available() -> Result<(), String> {
    Egl::of_this_process().map(|_| ())
}

impl Context {
    /// Makes a context.
    ///
    /// # Errors
    /// As [`available`], or EGL's.
    pub(crate) fn new() -> Result<Context, String> {
        let egl = Egl::of_this_process()?;
        Ok(Context { egl, raw: egl.functions.context(egl.display, egl.configuration)? })
    }

    /// Makes it current in this thread.
    ///
    /// # Errors
    /// EGL's.
    pub(crate) fn current(&mut self) -> Result<Current<'_>, String> {
        self.egl.functions.make_current(self.egl.display, self.raw)?;
        Ok(Current { context: self, here: PhantomData })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is not current in any thread.
        unsafe { (self.egl.functions.destroy_context)(self.egl.display, self.raw) };
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let egl = self.context.egl;
        // If this fails, nothing can be done.
        let _ = egl.functions.make_current(egl.display, std::ptr::null_mut());
    }
}

impl Egl {
    fn of_this_process() -> Result<&'static Egl, String> {
        static EGL: OnceLock<Result<Egl, String>> = OnceLock::new();
        EGL.get_or_init(Egl::open).as_ref().map_err(String::clone)
    }

    /// Opens the first display on which a context can be made: the graphics devices' first, then EGL's default.
    fn open() -> Result<Egl, String> {
        let functions = Functions::load()?;
        let mut tried = vec![];
        let displays =
            functions.device_displays().into_iter().enumerate().map(|(i, d)| (format!("device {i}"), d));
        // SAFETY: null stands for the default display.
        let default =
            || ("the default display".to_owned(), unsafe { (functions.get_display)(std::ptr::null_mut()) });
        for (name, display) in displays.chain(std::iter::once_with(default)) {
            match functions.try_display(display) {
                Ok(configuration) => return Ok(Egl { functions, display, configuration }),
                Err(error) => tried.push(format!("{name}: {error}")),
            }
        }
        Err(format!("EGL cannot make an OpenGL context ({}); {INSTALL}", tried.join("; ")))
    }
}

impl Functions {
    fn load() -> Result<Functions, String> {
        let library = dlopen()?;
        macro_rules! functions {
            ($($field:ident: $name:literal),*) => {
                // SAFETY: the types are those of egl.h.
                Functions { $($field: *unsafe { library.get($name) }.map_err(|error| {
                    format!("the system's EGL library lacks a function ({error}); {INSTALL}")
                })?),* }
            };
        }
        Ok(functions! {
            get_error: b"eglGetError\0",
            get_proc_address: b"eglGetProcAddress\0",
            query_string: b"eglQueryString\0",
            get_display: b"eglGetDisplay\0",
            initialize: b"eglInitialize\0",
            bind_api: b"eglBindAPI\0",
            choose_config: b"eglChooseConfig\0",
            create_context: b"eglCreateContext\0",
            destroy_context: b"eglDestroyContext\0",
            make_current: b"eglMakeCurrent\0"
        })
    }

    /// The displays of the graphics devices, or none if EGL cannot list them.
    fn device_displays(&self) -> Vec<Pointer> {
        type QueryDevices = unsafe extern "C" fn(i32, *mut Pointer, *mut i32) -> u32;
        type PlatformDisplay = unsafe extern "C" fn(u32, Pointer, *const Attribute) -> Pointer;
        // SAFETY: extensions can be queried without a display; the result is null or a string that is never freed.
        let extensions = unsafe {
            let text = (self.query_string)(std::ptr::null_mut(), EXTENSIONS);
            if text.is_null() { c"" } else { CStr::from_ptr(text) }
        }
        .to_string_lossy();
        let has = |name: &str| extensions.split(' ').any(|extension| extension == name);
        if !has("EGL_EXT_platform_device")
            || !(has("EGL_EXT_device_enumeration") || has("EGL_EXT_device_base"))
        {
            return vec![];
        }
        // SAFETY: the names are strings, and the functions are null or of the types that the extensions define.
        unsafe {
            let query = (self.get_proc_address)(c"eglQueryDevicesEXT".as_ptr());
            let display = (self.get_proc_address)(c"eglGetPlatformDisplayEXT".as_ptr());
            let query = std::mem::transmute::<Pointer, Option<QueryDevices>>(query);
            let display = std::mem::transmute::<Pointer, Option<PlatformDisplay>>(display);
            let (Some(query), Some(display)) = (query, display) else { return vec![] };
            let (mut devices, mut count) = ([std::ptr::null_mut(); MOST_DEVICES], 0);
            if query(MOST_DEVICES as i32, devices.as_mut_ptr(), &mut count) == 0 {
                return vec![];
            }
            let devices = devices.into_iter().take(usize::try_from(count).unwrap_or(0));
            devices.map(|device| display(PLATFORM_DEVICE, device, &NONE)).collect()
        }
    }

    /// Makes a context on a display and destroys it. Displays are never terminated, because other code in this process may
    /// use them.
    fn try_display(&self, display: Pointer) -> Result<Pointer, String> {
        if display.is_null() {
            return Err("there is none".into());
        }
        let (mut configuration, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: a display, attributes that end with NONE, and space for one configuration.
        unsafe {
            self.yes(
                "eglInitialize",
                (self.initialize)(display, std::ptr::null_mut(), std::ptr::null_mut()),
            )?;
            let chosen =
                (self.choose_config)(display, CONFIGURATION.as_ptr(), &mut configuration, 1, &mut count);
            self.yes("eglChooseConfig", chosen)?;
        }
        if count < 1 {
            return Err("it has no configuration for off-screen OpenGL".into());
        }
        let context = self.context(display, configuration)?;
        let made = self.make_current(display, context);
        let released = self.make_current(display, std::ptr::null_mut());
        // SAFETY: nothing uses the context.
        unsafe { (self.destroy_context)(display, context) };
        made.and(released).map(|()| configuration)
    }

    fn context(&self, display: Pointer, configuration: Pointer) -> Result<Pointer, String> {
        // SAFETY: a display and one of its configurations, no context to share with, and no attributes.
        let context = unsafe {
            self.yes("eglBindAPI", (self.bind_api)(OPENGL_API))?;
            (self.create_context)(display, configuration, std::ptr::null_mut(), &NONE)
        };
        self.yes("eglCreateContext", u32::from(!context.is_null()))?;
        Ok(context)
    }

    /// Makes `context` current without a surface, or none if it is null. MuJoCo draws into its own buffer.
    fn make_current(&self, display: Pointer, context: Pointer) -> Result<(), String> {
        let none = std::ptr::null_mut();
        // SAFETY: a display and one of its contexts, or null. The API of the thread decides which kind of context is released.
        unsafe {
            self.yes("eglBindAPI", (self.bind_api)(OPENGL_API))?;
            self.yes("eglMakeCurrent", (self.make_current)(display, none, none, context))
        }
    }

    fn yes(&self, function: &str, answer: u32) -> Result<(), String> {
        match answer {
            // SAFETY: returns this thread's last error.
            0 => Err(format!("{function} failed (error {:#x})", unsafe { (self.get_error)() })),
            _ => Ok(()),
        }
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn dlopen() -> Result<&'static libloading::Library, String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // MuJoCo searches for `eglGetProcAddress` among the process's global symbols.
    // SAFETY: the library, and its initializers, are the system's.
    let library = unsafe { Library::open(Some("libEGL.so.1"), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| format!("there is no EGL library ({error}); {INSTALL}"))?;
    // Never unloaded: drivers keep threads.
    Ok(Box::leak(Box::new(library.into())))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn dlopen() -> Result<&'static libloading::Library, String> {
    Err("there is no EGL on this system".into())
}
