//! The `potstill` program.
use std::process::ExitCode;

/// The engine allocates and frees many small tensors: glibc's allocator costs it a third of its speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    potstill::cli::main()
}
