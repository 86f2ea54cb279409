//! Tests of machines without EGL, or with one that does not work, which are faked by libraries that shadow the system's.
use std::ffi::c_char;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use potstill_plugin_api::abi::{self, Host};

use super::pictures::{drawn, flat, options};
use super::{defaults, installed, library, model, scratch, site};
use crate::Walker2d;
use crate::environment::Mujoco;

/// The messages that the plugin logged.
static LOG: Mutex<Vec<(u32, String)>> = Mutex::new(vec![]);

unsafe extern "C" fn log(level: u32, text: *const c_char) {
    // SAFETY: the SDK hands over a C string.
    let text = unsafe { abi::text(text) }.unwrap().unwrap();
    LOG.lock().unwrap().push((level, text.to_owned()));
}

/// On such a machine copies are drawn flat, and `render=gl` is refused. Prints the messages.
fn draw(folder: &Path) {
    unsafe extern "C" {
        fn potstill_plugin(host: *const Host) -> *const abi::Plugin;
    }
    let host = Box::leak(Box::new(Host { struct_size: Host::SIZE, log: Some(log), ..Host::zeroed() }));
    // SAFETY: the host lives as long as the process.
    unsafe { potstill_plugin(host) };
    let model = model::<Walker2d<4>>(folder, library(&site(&folder.join("v4")).join("mujoco")));
    for _ in 0..2 {
        let copy = Mujoco::<Walker2d<4>>::with(model.clone(), &defaults::<Walker2d<4>>()).unwrap();
        assert!(drawn(&copy) == flat(&copy) && drawn(&copy) == flat(&copy));
    }
    let error = Mujoco::<Walker2d<4>>::with(model, &options::<Walker2d<4>>("gl")).err().unwrap();
    let log = LOG.lock().unwrap();
    let [(level, said)] = &log[..] else { panic!("said once: {log:?}") };
    println!("SAID {level} {said}");
    println!("REFUSED {error}");
}

/// An EGL with one display or none, and without any function of OpenGL.
const EGL: &str = "
void *eglGetDisplay(void *native) { return (void *)DISPLAY; }
int eglGetError(void) { return 0x3000; }
const char *eglQueryString(void *display, int name) { return 0; }
void *eglGetProcAddress(const char *name) { return 0; }
unsigned eglInitialize(void *display, int *major, int *minor) { return 1; }
unsigned eglBindAPI(unsigned api) { return 1; }
unsigned eglChooseConfig(void *display, const int *wanted, void **found, int room, int *count) { return *count = 1; }
void *eglCreateContext(void *display, void *config, void *shared, const int *wanted) { return (void *)1; }
unsigned eglDestroyContext(void *display, void *context) { return 1; }
unsigned eglMakeCurrent(void *display, void *draw, void *read, void *context) { return 1; }
";

#[test]
fn pictures_are_flat_and_it_is_said_why() {
    const CHILD: &str = "POTSTILL_TEST_WITHOUT_OPENGL";
    let Some(folder) = installed() else { return };
    if std::env::var_os(CHILD).is_some() {
        return draw(&folder);
    }
    let scratch = scratch("egl");
    let (info, warn) = (1, 2);
    for (name, code, level, why) in [
        ("no-library", None, info, "there is no EGL library ("),
        ("no-function", Some("int nothing;"), info, "the system's EGL library lacks a function ("),
        (
            "DISPLAY=0",
            Some(EGL),
            info,
            "EGL cannot make an OpenGL context (the default display: there is none); a graphics driver provides it, ",
        ),
        // MuJoCo's own error, from inside `mjr_makeContext`.
        ("DISPLAY=1", Some(EGL), warn, "MuJoCo cannot draw with this OpenGL: gladLoadGL error"),
    ] {
        let folder = scratch.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let library = folder.join("libEGL.so.1");
        if let Some(code) = code {
            let source = folder.join("egl.c");
            std::fs::write(&source, code).unwrap();
            let mut cc = Command::new("cc");
            cc.arg(format!("-D{name}")).args(["-w", "-shared", "-fPIC", "-o"]).args([&library, &source]);
            assert!(cc.status().unwrap().success());
        } else {
            std::fs::write(&library, "").unwrap();
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        let this =
            concat!(module_path!(), "::pictures_are_flat_and_it_is_said_why").split_once("::").unwrap().1;
        child.args(["--exact", this, "--nocapture"]).env(CHILD, "1").env("LD_LIBRARY_PATH", folder);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        for start in [
            format!("SAID {level} pictures show flat shapes: {why}"),
            format!("REFUSED render=gl is not available: {why}"),
        ] {
            assert!(text.contains(&start), "{name}: {start}: {text}");
        }
    }
    std::fs::remove_dir_all(scratch).unwrap();
}
