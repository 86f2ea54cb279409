//! Procgen's shared library behind gym3's C interface (`libenv.h`, version 1): one game in one handle, which writes into buffers
//! of ours.
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use potstill_sdk::packages::{Packages, Wanted};

/// Height and width of what a learner sees.
pub(crate) const SIDE: usize = 64;
/// Height and width of the picture for people.
pub(crate) const LARGE: usize = 512;
/// The number of actions: nine directions, and six buttons.
pub(crate) const ACTIONS: usize = 15;
/// The most bytes of a saved state, as in Procgen's Python package.
const MOST_STATE: usize = 1 << 20;
/// The version of the interface.
const VERSION: c_int = 1;

/// The packages that contain the library and its pictures.
pub(crate) const WANTED: Wanted = Wanted {
    variable: "PROCGEN_PATH",
    setup: "procgen",
    packages: &[("procgen_mirror", &["0.10.7"])],
    modules: &["procgen"],
};

type Handle = *mut c_void;

/// `libenv_option`.
#[repr(C)]
struct RawOption {
    name: [u8; 128],
    dtype: c_int,
    count: c_int,
    data: *const c_void,
}

/// `libenv_options`.
#[repr(C)]
struct RawOptions {
    items: *const RawOption,
    count: c_int,
}

/// `libenv_tensortype`.
#[repr(C)]
#[derive(Clone, Copy)]
struct TensorType {
    name: [u8; 128],
    scalar: c_int,
    dtype: c_int,
    shape: [c_int; 16],
    ndim: c_int,
    low: u32,
    high: u32,
}

/// `libenv_buffers`.
#[repr(C)]
struct RawBuffers {
    observations: *mut *mut c_void,
    reward: *mut f32,
    first: *mut u8,
    info: *mut *mut c_void,
    actions: *mut *mut c_void,
}

const OBSERVATION: c_int = 1;
const ACTION: c_int = 2;
const INFO: c_int = 3;
const U8: c_int = 1;
const I32: c_int = 2;

/// The functions of the library.
pub(crate) struct Library {
    make: unsafe extern "C" fn(c_int, RawOptions) -> Handle,
    types: unsafe extern "C" fn(Handle, c_int, *mut TensorType) -> c_int,
    set_buffers: unsafe extern "C" fn(Handle, *mut RawBuffers),
    observe: unsafe extern "C" fn(Handle),
    act: unsafe extern "C" fn(Handle),
    close: unsafe extern "C" fn(Handle),
    get_state: unsafe extern "C" fn(Handle, c_int, *mut u8, c_int) -> c_int,
    set_state: unsafe extern "C" fn(Handle, c_int, *const u8, c_int),
    /// The folder of its pictures, with a separator at its end.
    assets: String,
}

/// The value of an option.
pub(crate) enum Value {
    Text(String),
    Flag(bool),
    Number(i32),
}

impl Library {
    /// Opens the library that is found first, once per process.
    ///
    /// # Errors
    /// There is none, or it cannot be loaded.
    pub(crate) fn find() -> Result<&'static Library, String> {
        static OPEN: Mutex<Option<&Library>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = *open {
            return Ok(library);
        }
        let path = locate(&Packages::search(WANTED))?;
        // Never unloaded: games may outlive the first caller.
        let library: &'static Library = Box::leak(Box::new(load(&path)?));
        *open = Some(library);
        Ok(library)
    }
}

/// The file of the library, in the first folder that has one: a package, its parent, or the folder of the file itself.
pub(crate) fn locate(packages: &Packages) -> Result<PathBuf, String> {
    let inner = ["procgen/data/prebuilt", "data/prebuilt", "prebuilt", ""];
    packages
        .folders()
        .flat_map(|folder| inner.map(|inner| folder.join(inner)))
        .flat_map(|folder| ["libenv.so", "libenv.dylib", "env.dll"].map(|name| folder.join(name)))
        .find(|path| path.is_file())
        .ok_or_else(|| packages.missing("Procgen's library"))
}

#[cfg(unix)]
fn dlopen(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // Its own copies of Qt and of the C++ runtime come before those of the process.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    const OWN_FIRST: c_int = 8;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    const OWN_FIRST: c_int = 0;
    // SAFETY: the library's initializers are Procgen's and Qt's, which only fill tables.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | OWN_FIRST) }.map(Into::into)
}

#[cfg(not(unix))]
fn dlopen(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: as above.
    unsafe { libloading::Library::new(path) }
}

fn load(path: &Path) -> Result<Library, String> {
    let shown = path.display();
    let handle = dlopen(path).map_err(|e| {
        format!(
            "{shown} cannot be loaded as Procgen's library: {e}; on Debian it needs libgl1 and libglib2.0-0"
        )
    })?;
    let handle: &'static libloading::Library = Box::leak(Box::new(handle));
    let assets = path.parent().and_then(Path::parent).map(|data| data.join("assets"));
    let assets = assets.filter(|assets| assets.is_dir());
    let assets =
        assets.ok_or_else(|| format!("{shown}: the folder of its pictures, ../assets, is missing"))?;
    let assets = assets.to_str().ok_or_else(|| format!("{shown}: the path is not text"))?;
    macro_rules! symbol {
        ($name:literal) => {
            // SAFETY: the types are those of libenv.h, and of Procgen's Python package for states.
            *unsafe { handle.get(concat!($name, "\0").as_bytes()) }
                .map_err(|_| format!("{shown} is not Procgen's library: it has no `{}`", $name))?
        };
    }
    let version: unsafe extern "C" fn() -> c_int = symbol!("libenv_version");
    // SAFETY: it takes nothing and has no conditions.
    match unsafe { version() } {
        VERSION => {}
        other => return Err(format!("{shown} has version {other} of gym3's interface; expected {VERSION}")),
    }
    Ok(Library {
        make: symbol!("libenv_make"),
        types: symbol!("libenv_get_tensortypes"),
        set_buffers: symbol!("libenv_set_buffers"),
        observe: symbol!("libenv_observe"),
        act: symbol!("libenv_act"),
        close: symbol!("libenv_close"),
        get_state: symbol!("get_state"),
        set_state: symbol!("set_state"),
        assets: format!("{assets}{}", std::path::MAIN_SEPARATOR),
    })
}

/// A running game. The library writes into its buffers, which therefore never move.
pub(crate) struct Machine {
    library: &'static Library,
    handle: Handle,
    /// What the library reads and writes.
    buffers: Box<Buffers>,
}

/// The places that the library knows.
struct Buffers {
    raw: RawBuffers,
    places: [Vec<*mut c_void>; 3],
    /// `[64, 64, 3]`
    observation: Vec<u8>,
    reward: f32,
    first: u8,
    action: i32,
    /// The picture for people, `[512, 512, 3]`, if it is drawn.
    large: Vec<u8>,
    /// The other numbers that the library gives, by name.
    numbers: HashMap<String, Box<i32>>,
}

// SAFETY: a game has no state outside its handle and buffers but the library's pictures, which are only read, and `&mut`
// keeps it to one thread at a time.
unsafe impl Send for Machine {}

impl Machine {
    /// Makes a game with these options. The library ends the process if one is wrong, so the caller has checked them.
    ///
    /// # Errors
    /// The library is of another kind.
    pub(crate) fn new(library: &'static Library, options: &[(&str, Value)]) -> Result<Self, String> {
        // The first game of a process loads the pictures.
        static MAKING: Mutex<()> = Mutex::new(());
        let own = [("resource_root", Value::Text(library.assets.clone())), ("num_threads", Value::Number(0))];
        let options: Vec<&(&str, Value)> = options.iter().chain(&own).collect();
        let raw: Vec<RawOption> = options.iter().map(|(name, value)| raw_option(name, value)).collect();
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the options live until the call is over.
        let handle =
            unsafe { (library.make)(1, RawOptions { items: raw.as_ptr(), count: raw.len() as c_int }) };
        drop(making);
        if handle.is_null() {
            return Err("Procgen's library made no game".into());
        }
        let buffers = Box::new(Buffers {
            raw: RawBuffers {
                observations: ptr::null_mut(),
                reward: ptr::null_mut(),
                first: ptr::null_mut(),
                info: ptr::null_mut(),
                actions: ptr::null_mut(),
            },
            places: Default::default(),
            observation: vec![0; SIDE * SIDE * 3],
            reward: 0.0,
            first: 0,
            action: 0,
            large: vec![],
            numbers: HashMap::new(),
        });
        let mut machine = Machine { library, handle, buffers };
        machine.give_buffers()?;
        Ok(machine)
    }

    /// Gives the library places for all that it writes.
    fn give_buffers(&mut self) -> Result<(), String> {
        let unknown =
            |name: &str| format!("Procgen's library has a tensor `{name}` that this plugin does not know");
        let spaces = [OBSERVATION, ACTION, INFO].map(|space| self.tensors(space));
        let [observations, actions, infos] = spaces;
        let buffers = &mut *self.buffers;
        for (name, dtype, shape) in observations {
            if (&*name, dtype, &shape[..]) != ("rgb", U8, &[SIDE, SIDE, 3]) {
                return Err(unknown(&name));
            }
            buffers.places[0].push(buffers.observation.as_mut_ptr().cast());
        }
        for (name, dtype, shape) in actions {
            if (&*name, dtype, &shape[..]) != ("action", I32, &[]) {
                return Err(unknown(&name));
            }
            buffers.places[1].push((&raw mut buffers.action).cast());
        }
        for (name, dtype, shape) in infos {
            buffers.places[2].push(match (dtype, &shape[..]) {
                (U8, [LARGE, LARGE, 3]) => {
                    buffers.large.resize(LARGE * LARGE * 3, 0);
                    buffers.large.as_mut_ptr().cast()
                }
                // A byte has room in a number.
                (U8 | I32, []) => {
                    let place: &mut i32 = buffers.numbers.entry(name).or_default();
                    ptr::from_mut(place).cast()
                }
                _ => return Err(unknown(&name)),
            });
        }
        let [observations, actions, infos] = &mut buffers.places;
        buffers.raw = RawBuffers {
            observations: observations.as_mut_ptr(),
            reward: &raw mut buffers.reward,
            first: &raw mut buffers.first,
            info: infos.as_mut_ptr(),
            actions: actions.as_mut_ptr(),
        };
        // SAFETY: a live handle, and buffers of the types that it asked for, which live as long.
        unsafe {
            (self.library.set_buffers)(self.handle, &raw mut buffers.raw);
            (self.library.observe)(self.handle);
        }
        Ok(())
    }

    /// The tensors of a space: names, types and shapes.
    fn tensors(&self, space: c_int) -> Vec<(String, c_int, Vec<usize>)> {
        // SAFETY: a live handle; null asks for the number of tensors.
        let count = unsafe { (self.library.types)(self.handle, space, ptr::null_mut()) };
        let none =
            TensorType { name: [0; 128], scalar: 0, dtype: 0, shape: [0; 16], ndim: 0, low: 0, high: 0 };
        let mut types = vec![none; usize::try_from(count).unwrap_or(0)];
        // SAFETY: there is room for so many.
        unsafe { (self.library.types)(self.handle, space, types.as_mut_ptr()) };
        let read = |of: TensorType| {
            let end = of.name.iter().position(|&byte| byte == 0).unwrap_or(of.name.len());
            let shape = of.shape.iter().take(of.ndim.clamp(0, 16) as usize).map(|&n| n.max(0) as usize);
            (String::from_utf8_lossy(&of.name[..end]).into_owned(), of.dtype, shape.collect())
        };
        types.into_iter().map(read).collect()
    }

    /// What a learner sees, `[64, 64, 3]`. After the end of an episode, it is the start of the next one.
    pub(crate) fn observation(&self) -> &[u8] {
        &self.buffers.observation
    }

    /// The picture for people, `[512, 512, 3]`, if it is drawn.
    pub(crate) fn large(&self) -> Option<&[u8]> {
        Some(&self.buffers.large[..]).filter(|large| !large.is_empty())
    }

    /// The number of the level that is played.
    #[cfg(test)]
    pub(crate) fn level(&self) -> Option<i32> {
        self.buffers.numbers.get("level_seed").map(|number| **number)
    }

    /// Takes a step. Returns its reward, and whether it ended the episode.
    pub(crate) fn act(&mut self, action: i32) -> (f32, bool) {
        self.buffers.action = action;
        // SAFETY: a live handle whose buffers are in place.
        unsafe {
            (self.library.act)(self.handle);
            (self.library.observe)(self.handle);
        }
        (self.buffers.reward, self.buffers.first != 0)
    }

    /// The state of the game.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut state = vec![0; MOST_STATE];
        // SAFETY: a live handle, and room for so many bytes.
        let length =
            unsafe { (self.library.get_state)(self.handle, 0, state.as_mut_ptr(), MOST_STATE as c_int) };
        state.truncate(usize::try_from(length).unwrap_or(0));
        state
    }

    /// Restores a state that [`Self::save`] returned for the same game. The library trusts it.
    pub(crate) fn restore(&mut self, state: &[u8]) {
        // SAFETY: a live handle, and a state that it saved, which the caller has checked.
        unsafe {
            (self.library.set_state)(self.handle, 0, state.as_ptr(), state.len() as c_int);
            (self.library.observe)(self.handle);
        }
    }
}

fn raw_option(name: &str, value: &Value) -> RawOption {
    let mut own = [0; 128];
    own[..name.len()].copy_from_slice(name.as_bytes());
    let (dtype, count, data): (c_int, usize, *const c_void) = match value {
        Value::Text(text) => (U8, text.len(), text.as_ptr().cast()),
        Value::Flag(flag) => (U8, 1, ptr::from_ref(flag).cast()),
        Value::Number(number) => (I32, 1, ptr::from_ref(number).cast()),
    };
    RawOption { name: own, dtype, count: count as c_int, data }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and nothing uses it any more.
        unsafe { (self.library.close)(self.handle) }
    }
}
