//! The host's side of a plugin's process: starts, calls, awaits and ends it.
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::de::DeserializeOwned;

use super::memory::{FAILED, Layout, Memory, nameless_file};
use super::message::{self, Next, PluginInfo, Reply, Request};
use super::serve::SOCKET_LOST;
use crate::error::not_started;
use crate::plugin::check::{FailedCall, Failure};
use crate::plugin::limits::{Limits, TimeLimit};
use crate::plugin::text::{LONGEST_MESSAGE, tame};
use crate::plugin::traced::Answer;

/// A shared library in a separate process.
pub(crate) struct IsolatedLibrary {
    process: Process,
    /// The descriptions of its plugins, at least one.
    pub(crate) descriptions: Vec<PluginInfo>,
}

/// A native plugin in a separate process.
pub(crate) struct IsolatedPlugin {
    pub(super) process: Process,
    pub(crate) description: PluginInfo,
}

impl IsolatedLibrary {
    /// Starts `program`, a `potstill` of this version, which loads `library`.
    ///
    /// # Errors
    /// The process cannot be started, or an error of [`open`](crate::plugin::native::open).
    pub(crate) fn open(program: &Path, library: &Path, limits: Limits) -> Result<Self, String> {
        let mut process = Process::start(program, library, limits).map_err(|e| {
            format!("its process cannot be started ({}: {})", program.display(), not_started("process", &e))
        })?;
        let described = process.described();
        let descriptions = described.map_err(|fault| fault.failure.into_cause())?;
        Ok(IsolatedLibrary { process, descriptions })
    }

    /// Selects the plugin with this index, which then has the process to itself.
    ///
    /// # Errors
    /// There is no such plugin, or the process ended.
    pub(crate) fn choose(self, plugin: usize) -> Result<IsolatedPlugin, String> {
        let IsolatedLibrary { mut process, mut descriptions } = self;
        if plugin >= descriptions.len() {
            return Err(format!("it has {} plugins", descriptions.len()));
        }
        if plugin > 0 {
            let chosen = process.plain::<()>("load", TimeLimit::Start, (&Request::Choose { plugin }, &[]));
            chosen.map_err(|fault| fault.failure.into_cause())?;
        }
        Ok(IsolatedPlugin { process, description: descriptions.swap_remove(plugin) })
    }
}

/// A process and the socket to it.
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    /// The memory that [`Process::share`] maps.
    memory: std::fs::File,
    limits: Limits,
    /// Why the process can no longer be called.
    ended: Option<String>,
}

/// A socket with the time that is left for reading and writing it.
struct Timed<'a> {
    socket: &'a UnixStream,
    left: &'a mut Duration,
}

impl Timed<'_> {
    fn within<T>(
        &mut self,
        set: fn(&UnixStream, Option<Duration>) -> io::Result<()>,
        action: impl FnOnce(&UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        set(self.socket, Some(*self.left))?;
        let started = Instant::now();
        let result = action(self.socket);
        *self.left = self.left.saturating_sub(started.elapsed());
        result
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.within(UnixStream::set_read_timeout, |mut socket| socket.read(bytes))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.within(UnixStream::set_write_timeout, |mut socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Process {
    fn start(program: &Path, library: &Path, limits: Limits) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let memory = nameless_file()?;
        let child = Command::new(program)
            .arg(super::serve::COMMAND)
            .arg(std::path::absolute(library)?)
            // Standard input and output pass on the socket and the memory. What the plugin prints goes to standard error.
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(memory.try_clone()?))
            // In its own group, the process does not receive Ctrl-C: the host ends it when the meta-epoch is done.
            .process_group(0)
            .spawn()?;
        Ok(Process { child, socket, memory, limits, ended: None })
    }

    fn described(&mut self) -> Result<Vec<PluginInfo>, FailedCall> {
        let mut left = self.limits.time(TimeLimit::Start);
        let reply = self.receive(&mut left, TimeLimit::Start).map_err(|failure| failure.at("load"))?;
        Ok(self.done(reply, "load")?.0)
    }

    /// Calls a `function` of the plugin and returns the reply's value and raw bytes. `answer` answers the plugin's questions;
    /// its time does not count against the limit.
    ///
    /// # Errors
    /// The plugin's; its process ended or had to be killed.
    pub(super) fn call<T: DeserializeOwned>(
        &mut self,
        function: &str,
        limit: TimeLimit,
        (request, body): (&Request, &[u8]),
        answer: Answer<'_>,
    ) -> Result<(T, Vec<u8>), FailedCall> {
        let mut left = self.limits.time(limit);
        let at = |failure: Failure| failure.at(function);
        self.send(request, body, &mut left, limit).map_err(at)?;
        loop {
            let reply = self.receive(&mut left, limit).map_err(at)?;
            if let (Reply::Ask(ask), _) = reply {
                let numbers = answer(ask);
                self.send(&Request::Answer(numbers), &[], &mut left, limit).map_err(at)?;
            } else {
                return self.done(reply, function);
            }
        }
    }

    /// Calls a function that asks no questions, as [`Process::call`] does.
    pub(super) fn plain<T: DeserializeOwned>(
        &mut self,
        function: &str,
        limit: TimeLimit,
        request: (&Request, &[u8]),
    ) -> Result<(T, Vec<u8>), FailedCall> {
        self.call(function, limit, request, &mut |_| vec![])
    }

    /// The result of a call that has ended.
    fn done<T>(&mut self, reply: (Reply<T>, Vec<u8>), function: &str) -> Result<(T, Vec<u8>), FailedCall> {
        match reply {
            (Reply::Done(value), body) => Ok((value, body)),
            (Reply::Failed { function, refused, words }, _) => {
                let words = tame(&words, LONGEST_MESSAGE);
                let failure = if refused { Failure::Refused(words) } else { Failure::Broken(words) };
                Err(failure.at(tame(&function, 40)))
            }
            (Reply::Ask(_), _) => Err(self.nonsense("a question out of turn").at(function)),
        }
    }

    fn send(
        &mut self,
        request: &Request,
        body: &[u8],
        left: &mut Duration,
        limit: TimeLimit,
    ) -> Result<(), Failure> {
        self.usable()?;
        let written = message::write(Timed { socket: &self.socket, left }, request, body);
        written.map_err(|error| self.lost(&error, limit))
    }

    fn receive<T: DeserializeOwned>(
        &mut self,
        left: &mut Duration,
        limit: TimeLimit,
    ) -> Result<(Reply<T>, Vec<u8>), Failure> {
        match message::read(Timed { socket: &self.socket, left }) {
            Ok(Next::Message(reply, body)) => Ok((reply, body)),
            Ok(Next::Wake) => Err(self.nonsense("a wake-up call out of turn")),
            Err(error) => Err(self.lost(&error, limit)),
        }
    }

    /// Creates the shared memory for [`Process::exchange`].
    ///
    /// # Errors
    /// It cannot be created; the errors of [`Process::call`].
    pub(super) fn share(&mut self, layout: Layout) -> Result<Memory, Failure> {
        let memory = Memory::create(&self.memory, layout)
            .map_err(|e| Failure::Broken(format!("cannot create shared memory for its process: {e}")))?;
        let request = (&Request::Share(layout), &[][..]);
        self.plain::<()>("make", TimeLimit::Step, request).map_err(|fault| fault.failure)?;
        Ok(memory)
    }

    /// Runs `reset` or `step` on the shared memory, and waits until it is done.
    ///
    /// # Errors
    /// As [`Process::call`].
    pub(super) fn exchange(&mut self, memory: &Memory, what: u32) -> Result<(), Failure> {
        self.usable()?;
        let control = memory.control();
        let seen = control.reply.count();
        let mut left = self.limits.time(TimeLimit::Step);
        let mut waited = Ok(());
        if control.request.hand_over(what) {
            waited = Timed { socket: &self.socket, left: &mut left }.write_all(&[message::WAKE]);
        }
        if waited.is_ok() && !control.reply.watch(seen) && control.reply.lie_down(seen) {
            waited = self.sleep(&mut left);
            // If the host was stopped (Ctrl-Z), the time has run out although the plugin may have answered in time.
            if waited.is_err() && control.reply.count() != seen {
                waited = if control.reply.rise() {
                    Ok(())
                } else {
                    self.sleep(&mut self.limits.time(TimeLimit::Step))
                };
            }
        }
        waited.map_err(|error| self.lost(&error, TimeLimit::Step))?;
        if control.reply.count() != seen.wrapping_add(1) {
            return Err(self.nonsense("a wake-up call out of turn"));
        }
        if control.reply.what() == FAILED {
            let reply = self.receive::<()>(&mut left, TimeLimit::Step)?;
            self.done(reply, "step").map_err(|fault| fault.failure)?;
        }
        Ok(())
    }

    /// Waits for a wake-up call.
    fn sleep(&self, left: &mut Duration) -> io::Result<()> {
        match message::read::<Reply<()>>(Timed { socket: &self.socket, left })? {
            Next::Wake => Ok(()),
            Next::Message(..) => Err(io::Error::new(ErrorKind::InvalidData, "a message out of turn")),
        }
    }

    fn usable(&self) -> Result<(), Failure> {
        self.ended.as_ref().map_or(Ok(()), |cause| Err(Failure::Broken(cause.clone())))
    }

    fn nonsense(&mut self, what: &str) -> Failure {
        self.lost(&io::Error::new(ErrorKind::InvalidData, what), TimeLimit::Step)
    }

    /// Kills the process after the socket failed, and returns why it failed.
    fn lost(&mut self, error: &io::Error, limit: TimeLimit) -> Failure {
        let closed = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        );
        // A dying process closes the socket a little before it can be awaited.
        let by_itself = self.ends_within(Duration::from_secs(u64::from(closed)));
        let cause = match (self.end().filter(|_| by_itself), error.kind()) {
            (Some(status), _) => ending(status),
            (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let (seconds, name) = (self.limits.seconds(limit), limit.name());
                format!("no answer within {seconds} s (limit `{name}`): its process was killed")
            }
            (None, ErrorKind::InvalidData) => {
                format!("its process was killed: it wrote to the host's socket ({error})")
            }
            (None, _) if closed => CLOSED.into(),
            (None, _) => format!("its process was killed: the socket to it failed ({error})"),
        };
        self.ended = Some(cause.clone());
        Failure::Broken(cause)
    }

    /// Whether the process ends within `longest`. It is not reaped yet, so that its id, and its group's, stay its own.
    fn ends_within(&self, longest: Duration) -> bool {
        let started = Instant::now();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            if !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None)) {
                return true;
            }
            if started.elapsed() >= longest {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the process and everything it started. Returns how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        // An error says that there is none of it any more.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process ends at the end of the socket, after the plugin's `destroy`, which may take a while.
        if self.ended.is_none() {
            let _ = self.socket.shutdown(std::net::Shutdown::Write);
            self.ends_within(self.limits.time(TimeLimit::Step));
            self.end();
        }
    }
}

/// The cause of an error when a process closed the socket.
const CLOSED: &str = "its process was killed: it closed the host's socket";

/// How a process ended that ended unexpectedly.
fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = match Signal::from_named_raw(signal) {
                Some(Signal::ABORT) => " (abort)",
                Some(Signal::BUS) => " (bus error)",
                Some(Signal::FPE) => " (arithmetic error)",
                Some(Signal::ILL) => " (illegal instruction)",
                Some(Signal::KILL) => " (SIGKILL, which the system sends when memory runs out)",
                Some(Signal::SEGV) => " (segmentation fault)",
                Some(Signal::TERM) => " (terminated)",
                _ => "",
            };
            format!("its process was killed by signal {signal}{name}")
        }
        (None, Some(code)) if code == i32::from(SOCKET_LOST) => CLOSED.into(),
        (None, Some(code)) => format!("its process exited in the middle of the call, with status {code}"),
        (None, None) => "its process ended".into(),
    }
}
