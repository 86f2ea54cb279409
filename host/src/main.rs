//! The `potstill` program: picks the allocator and calls [`potstill::cli::main`].
use std::process::ExitCode;

/// The engine allocates and frees many small tensors; with glibc's allocator it loses a third of its speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    potstill::cli::main()
}
