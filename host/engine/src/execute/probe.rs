//! Checks for what CUDA needs before burn-cuda does, because there a missing driver causes a panic in another thread.
use std::ffi::{c_int, c_uint};
use std::path::Path;

use libloading::{Library, Symbol};

use crate::error::{Error, Result};

const DRIVER: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
const COMPILER: [&str; 4] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"];

/// Checks the driver, device number `index`, the run-time compiler and its headers.
///
/// # Errors
/// [`Error::Device`], which says what is missing and what provides it.
pub(super) fn probe(index: usize) -> Result<()> {
    let missing = |what: String| Error::Device { device: format!("cuda:{index}"), what };
    let driver = open(&DRIVER).ok_or_else(|| {
        missing(
            "no NVIDIA driver (libcuda.so.1) on this machine; install the driver, or use --device cpu".into(),
        )
    })?;
    let count = devices(&driver).map_err(missing)?;
    if index >= count {
        return Err(missing(format!("this machine has {count} CUDA device(s), numbered from 0")));
    }
    if open(&COMPILER).is_none() {
        return Err(missing(
            "the CUDA run-time compiler (libnvrtc.so) is missing; install the CUDA toolkit's nvrtc, or put \
             the folder that has it in LD_LIBRARY_PATH"
                .into(),
        ));
    }
    let root = std::env::var("CUDA_PATH").unwrap_or_else(|_| "/usr/local/cuda".into());
    if !Path::new(&root).join("include").is_dir() {
        return Err(missing(format!(
            "CUDA's headers are not in {root}/include; set CUDA_PATH to the toolkit's folder"
        )));
    }
    Ok(())
}

fn open(names: &[&str]) -> Option<Library> {
    // SAFETY: NVIDIA's libraries have no initializers that break a process.
    names.iter().find_map(|name| unsafe { Library::new(name) }.ok())
}

fn devices(driver: &Library) -> Result<usize, String> {
    let call = |name: &str, code: c_int| match code {
        0 => Ok(()),
        code => Err(format!("{name} failed with CUDA error {code}: is a GPU there, and the driver loaded?")),
    };
    // SAFETY: the signatures are those of CUDA's driver API.
    unsafe {
        let init: Symbol<'_, unsafe extern "C" fn(c_uint) -> c_int> =
            driver.get(b"cuInit\0").map_err(|e| e.to_string())?;
        call("cuInit", init(0))?;
        let count: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> =
            driver.get(b"cuDeviceGetCount\0").map_err(|e| e.to_string())?;
        let mut number = 0;
        call("cuDeviceGetCount", count(&raw mut number))?;
        Ok(usize::try_from(number).unwrap_or(0))
    }
}
