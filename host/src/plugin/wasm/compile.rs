//! Compiles components. The compiler can be kept busy for hours by a few KiB of code, and cannot be interrupted: the program
//! starts itself as a process with limits of time and memory for it. Without a program, in a library, only the
//! [`structure`] of the code limits it.
use std::path::PathBuf;
use std::sync::OnceLock;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::structure;
use super::workers::with_workers;

/// The program that compiles.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on, this process has its components compiled by processes of the program `potstill`, which must be of this
/// version. A component that needs too much time or memory is then refused. The first call counts. On systems other than
/// Unix it has no effect.
pub fn compile_apart(potstill: PathBuf) {
    let _ = PROGRAM.set(potstill);
}

/// Compiles a component.
///
/// # Errors
/// It is none, or would take too much time or memory.
pub(super) fn compile(engine: &Engine, component: &[u8]) -> Result<Component, String> {
    structure::check(component)?;
    #[cfg(unix)]
    if let Some(program) = PROGRAM.get() {
        let code = apart::compile(program, component)?;
        // SAFETY: a process of this program, with the same engine, made this code from `component`.
        return unsafe { Component::deserialize(engine, code) }.map_err(|e| format!("{e:#}"));
    }
    with_workers(|| Component::new(engine, component)).map_err(|e| format!("does not compile: {e:#}"))
}

#[cfg(unix)]
pub(crate) mod apart {
    //! The process that compiles: it reads the component from standard input, and writes the code, or what is wrong with
    //! the component, to standard output.
    use std::io::{Read, Write, stdin, stdout};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Command, ExitCode, Output, Stdio};

    use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

    use crate::error::not_started;
    use crate::plugin::wasm::sandbox::engine;
    use crate::plugin::wasm::workers::with_workers;

    /// The name of the hidden command.
    pub(crate) const COMMAND: &str = "__compile-component";
    /// The exit status if the component is wrong.
    const WRONG: u8 = 2;

    /// The most seconds of computing, of all threads together. The largest components, those in Python, take one second
    /// for each MiB.
    const MOST_SECONDS: u64 = 20;
    /// The most seconds more for each MiB of the component.
    const MOST_SECONDS_PER_MIB: u64 = 5;
    /// The most memory.
    const MOST_MEMORY: u64 = 2 << 30;
    /// The most memory more for each byte of the component.
    const MOST_MEMORY_PER_BYTE: u64 = 32;
    /// The most threads: each has a stack, and a function that it compiles.
    const MOST_THREADS: usize = 8;

    fn seconds(size: usize) -> u64 {
        MOST_SECONDS + MOST_SECONDS_PER_MIB * (size as u64 >> 20)
    }

    fn memory(size: usize) -> u64 {
        MOST_MEMORY + MOST_MEMORY_PER_BYTE * size as u64
    }

    /// Has `program` compile.
    pub(super) fn compile(program: &Path, component: &[u8]) -> Result<Vec<u8>, String> {
        let lost = |e: std::io::Error| {
            let why = not_started("process", &e);
            format!("cannot be compiled: the process for it failed ({}: {why})", program.display())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let mut child = Command::new(program)
            .arg(COMMAND)
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(lost)?;
        if let Some(mut stdin) = child.stdin.take() {
            // It reads everything before it writes. If it ends early, its status says why.
            let _ = stdin.write_all(component);
        }
        result(child.wait_with_output().map_err(lost)?, component.len())
    }

    /// What the process made of a component of this size.
    fn result(Output { status, stdout, .. }: Output, size: usize) -> Result<Vec<u8>, String> {
        match (status.code(), status.signal().and_then(Signal::from_named_raw)) {
            (Some(0), _) => Ok(stdout),
            (Some(code), _) if code == i32::from(WRONG) => {
                Err(format!("does not compile: {}", String::from_utf8_lossy(&stdout)))
            }
            (_, Some(Signal::XCPU)) => Err(format!(
                "takes more than {} s to compile, the most for a component of its size",
                seconds(size)
            )),
            // Rust aborts when there is no memory.
            (_, Some(Signal::ABORT)) => Err(format!(
                "takes more than {} MiB of memory to compile, the most for a component of its size",
                memory(size) >> 20
            )),
            _ => Err(format!("cannot be compiled: the process for it ended unexpectedly ({status})")),
        }
    }

    /// Runs the hidden command.
    pub(crate) fn serve() -> ExitCode {
        let mut component = vec![];
        if stdin().read_to_end(&mut component).is_err() {
            return ExitCode::FAILURE;
        }
        for (resource, most) in [
            (Resource::Cpu, seconds(component.len())),
            (Resource::As, memory(component.len())),
            (Resource::Core, 0),
        ] {
            let Rlimit { maximum, .. } = getrlimit(resource);
            let current = Some(maximum.map_or(most, |maximum| most.min(maximum)));
            if setrlimit(resource, Rlimit { current, maximum }).is_err() {
                return ExitCode::FAILURE;
            }
        }
        let compiled = with_workers(|| engine().and_then(|engine| engine.precompile_component(&component)));
        let (answer, code) = match compiled {
            Ok(code) => (code, ExitCode::SUCCESS),
            Err(e) => (format!("{e:#}").into_bytes(), ExitCode::from(WRONG)),
        };
        let mut out = stdout();
        match out.write_all(&answer).and_then(|()| out.flush()) {
            Ok(()) => code,
            Err(_) => ExitCode::FAILURE,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::process::ExitStatus;

        #[test]
        fn how_the_process_ended_says_what_is_wrong() {
            let ended = |status: i32, said: &str| {
                let output =
                    Output { status: ExitStatus::from_raw(status), stdout: said.into(), stderr: vec![] };
                result(output, 3 << 20)
            };
            assert_eq!(ended(0, "code").unwrap(), b"code");
            for (status, expected) in [
                (2 << 8, "does not compile: too odd"),
                (
                    Signal::XCPU.as_raw(),
                    "takes more than 35 s to compile, the most for a component of its size",
                ),
                (
                    Signal::ABORT.as_raw(),
                    "takes more than 2144 MiB of memory to compile, the most for a component of its size",
                ),
                (
                    Signal::KILL.as_raw(),
                    "cannot be compiled: the process for it ended unexpectedly (signal: 9 (SIGKILL))",
                ),
            ] {
                assert_eq!(ended(status, "too odd").unwrap_err(), expected);
            }
        }
    }
}
