//! The `potstill` program: picks the allocator and calls [`potstill::cli::main`].
use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// The engine allocates and frees many small tensors; with glibc's allocator it loses a third of its speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` of `mimalloc.h`: how long free memory is kept before it goes back to the system, in milliseconds.
const PURGE_DELAY: c_int = 15;

fn main() -> ExitCode {
    // An update of pictures frees hundreds of megabytes and needs them again in the next one. After mimalloc's second the
    // system clears all of it anew, which took up to a seventh of the update.
    // SAFETY: a function of the allocator with these arguments. It changes one number.
    unsafe { mi_option_set_default(PURGE_DELAY, 60_000) };
    potstill::cli::main()
}
