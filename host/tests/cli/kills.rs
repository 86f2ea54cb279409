//! Kills a run before each system call that changes its files, and finishes it: it ends as if nothing had happened.
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_long, pid_t};

use crate::{Outcome, Place, SMALL, read};

/// How a traced program ended.
#[derive(Debug, PartialEq)]
enum End {
    /// It was killed before the chosen system call.
    Killed,
    /// It made fewer such calls, and exited with this status.
    Exited(c_int),
}

/// Runs `command` and kills it before the call number `at`, from 0, of its first thread that may change a file.
///
/// # Errors
/// The system does not let one process trace another.
fn killed_before(command: &mut Command, at: usize) -> io::Result<End> {
    // SAFETY: between fork and exec, this only makes a system call.
    unsafe {
        command.pre_exec(|| done(libc::ptrace(libc::PTRACE_TRACEME)));
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = child.id() as pid_t;
    let mut calls = 0;
    // The first stop is that of the new program, before its first instruction.
    let mut status = wait(pid)?;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    // SAFETY: the child is stopped, and traced by this thread.
    done(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options) })?;
    while libc::WIFSTOPPED(status) {
        let signal = match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => {
                if changes_a_file(pid)? {
                    if calls == at {
                        child.kill()?;
                        child.wait()?;
                        return Ok(End::Killed);
                    }
                    calls += 1;
                }
                0
            }
            libc::SIGTRAP => 0,
            signal => signal,
        };
        // SAFETY: as above.
        done(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, signal) })?;
        status = wait(pid)?;
    }
    Ok(End::Exited(libc::WEXITSTATUS(status)))
}

fn done(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until the process stops or ends.
fn wait(pid: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    done(unsafe { libc::waitpid(pid, &mut status, 0) }.into())?;
    Ok(status)
}

/// Whether the process has stopped before a system call that may change a file, and not after it.
fn changes_a_file(pid: pid_t) -> io::Result<bool> {
    // SAFETY: all zeros is a value of this structure, which the call fills at most up to the size it is told.
    let info = unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = size_of_val(&info);
        done(libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &mut info))?;
        info
    };
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(false);
    }
    // SAFETY: this is the member of a stop before a call.
    let (number, arguments) = unsafe { (info.u.entry.nr as c_long, info.u.entry.args) };
    let creates = |flags: u64| flags & (libc::O_CREAT | libc::O_TRUNC) as u64 != 0;
    let beyond_the_terminal = arguments[0] > 2;
    Ok(match number {
        libc::SYS_open => creates(arguments[1]),
        libc::SYS_openat => creates(arguments[2]),
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 | libc::SYS_pwritev => beyond_the_terminal,
        libc::SYS_mkdir | libc::SYS_mkdirat | libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => true,
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => true,
        libc::SYS_link | libc::SYS_linkat | libc::SYS_symlink | libc::SYS_symlinkat => true,
        libc::SYS_truncate | libc::SYS_ftruncate | libc::SYS_fallocate | libc::SYS_copy_file_range => true,
        libc::SYS_fsync | libc::SYS_fdatasync => true,
        _ => false,
    })
}

#[test]
fn a_run_killed_before_any_change_of_its_files_ends_the_same() {
    let config = SMALL.replace("meta_epochs = 8", "meta_epochs = 3").replace("every = 3", "every = 2");
    let place = || {
        let place = Place::new();
        place.write("small.toml", &config);
        place
    };
    let begin = ["distill", "--config", "small.toml", "--out", "run"];
    let first = place();
    first.ok(&begin);
    let whole = Outcome::of(&first.path("run"));

    if let Err(refused) = killed_before(&mut first.command(&["--version"]), usize::MAX) {
        eprintln!("skipped: this system does not let one process trace another ({refused})");
        return;
    }
    let next = AtomicUsize::new(0);
    let kill_at_each = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let place = place();
            let run = place.path("run");
            let end = killed_before(&mut place.command(&begin), at).unwrap();
            if end != End::Killed {
                assert_eq!(end, End::Exited(0), "{at}");
                return;
            }
            // Without both, it is no run yet.
            let begun = run.join("config.toml").exists() && run.join("versions.json").exists();
            let said = place.run(if begun { &["resume", "run"] } else { &begin });
            assert_eq!(said.code, Some(0), "killed before change {at}: {}", said.err);
            assert!(!said.err.contains("warning"), "killed before change {at}: {}", said.err);
            whole.assert_same(&Outcome::of(&run));
            crate::interruption::assert_no_litter(&run);
            let page = String::from_utf8(read(run.join("report.html"))).unwrap();
            assert!(page.ends_with("</html>\n"), "killed before change {at}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(kill_at_each);
        }
    });
    // Three checkpoints of several writes each, and the other files.
    let kills = next.into_inner();
    assert!(kills > 60, "{kills}");
}
