//! A plugin's process from the host's side: started, called, waited for, ended.
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
use super::message::{self, Description, Next, Reply, Request};
use super::serve::SOCKET_LOST;
use crate::plugin::Limits;
use crate::plugin::check::{Failure, Fault};
use crate::plugin::text::{LONGEST_MESSAGE, tame};
use crate::plugin::traced::Answer;

/// A shared library in a process of its own.
pub(crate) struct IsolatedLibrary {
    process: Process,
    /// Of its plugins, at least one.
    pub(crate) descriptions: Vec<Description>,
}

/// A native plugin in a process of its own.
pub(crate) struct IsolatedPlugin {
    pub(super) process: Process,
    pub(crate) description: Description,
}

impl IsolatedLibrary {
    /// Starts `program`, a `potstill` of this version, to run `library`.
    ///
    /// # Errors
    /// The process cannot be started, or what [`open`](crate::plugin::native::open) finds.
    pub(crate) fn open(program: &Path, library: &Path, limits: Limits) -> Result<Self, String> {
        let mut process = Process::start(program, library, limits)
            .map_err(|e| format!("its process cannot be started ({}: {e})", program.display()))?;
        let described = process.described();
        let descriptions = described.map_err(|fault| fault.failure.into_cause())?;
        Ok(IsolatedLibrary { process, descriptions })
    }

    /// The plugin with this number: the process is its own from now on.
    ///
    /// # Errors
    /// There is none; the process ended.
    pub(crate) fn choose(self, plugin: usize) -> Result<IsolatedPlugin, String> {
        let IsolatedLibrary { mut process, mut descriptions } = self;
        if plugin >= descriptions.len() {
            return Err(format!("it has {} plugins", descriptions.len()));
        }
        if plugin > 0 {
            let chosen = process.plain::<()>("load", Limit::Start, (&Request::Choose { plugin }, &[]));
            chosen.map_err(|fault| fault.failure.into_cause())?;
        }
        Ok(IsolatedPlugin { process, description: descriptions.swap_remove(plugin) })
    }
}

/// Which of the limits holds.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    Start,
    Step,
}

/// The process, and the socket to it.
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    /// For [`Process::share`].
    memory: std::fs::File,
    limits: Limits,
    /// Why it can no longer be called.
    ended: Option<String>,
}

/// The socket, for so long.
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
            // Standard input and output carry the two over; what the plugin prints goes to standard error.
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(memory.try_clone()?))
            // Ctrl-C is for the host, which ends when its meta-epoch is done.
            .process_group(0)
            .spawn()?;
        Ok(Process { child, socket, memory, limits, ended: None })
    }

    fn described(&mut self) -> Result<Vec<Description>, Fault> {
        let mut left = self.seconds(Limit::Start);
        let reply = self.receive(&mut left, Limit::Start).map_err(|failure| failure.at("load"))?;
        Ok(self.done(reply, "load")?.0)
    }

    fn seconds(&self, limit: Limit) -> Duration {
        Duration::from_secs_f64(match limit {
            Limit::Start => self.limits.start_seconds,
            Limit::Step => self.limits.step_seconds,
        })
    }

    /// Calls `function` of the plugin: what it gives, and bytes. `answer` answers what the plugin asks meanwhile; the
    /// time that takes is not the plugin's.
    ///
    /// # Errors
    /// The plugin's, or that its process ended or was ended.
    pub(super) fn call<T: DeserializeOwned>(
        &mut self,
        function: &str,
        limit: Limit,
        (request, body): (&Request, &[u8]),
        answer: Answer<'_>,
    ) -> Result<(T, Vec<u8>), Fault> {
        let mut left = self.seconds(limit);
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

    /// [`Process::call`] of what asks nothing.
    pub(super) fn plain<T: DeserializeOwned>(
        &mut self,
        function: &str,
        limit: Limit,
        request: (&Request, &[u8]),
    ) -> Result<(T, Vec<u8>), Fault> {
        self.call(function, limit, request, &mut |_| vec![])
    }

    /// What a call that is over gave.
    fn done<T>(&mut self, reply: (Reply<T>, Vec<u8>), function: &str) -> Result<(T, Vec<u8>), Fault> {
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
        limit: Limit,
    ) -> Result<(), Failure> {
        self.usable()?;
        let written = message::write(Timed { socket: &self.socket, left }, request, body);
        written.map_err(|error| self.lost(&error, limit))
    }

    fn receive<T: DeserializeOwned>(
        &mut self,
        left: &mut Duration,
        limit: Limit,
    ) -> Result<(Reply<T>, Vec<u8>), Failure> {
        match message::read(Timed { socket: &self.socket, left }) {
            Ok(Next::Message(reply, body)) => Ok((reply, body)),
            Ok(Next::Wake) => Err(self.nonsense("a wake-up call out of turn")),
            Err(error) => Err(self.lost(&error, limit)),
        }
    }

    /// Makes memory for [`Process::exchange`].
    ///
    /// # Errors
    /// There is none; those of [`Process::call`].
    pub(super) fn share(&mut self, layout: Layout) -> Result<Memory, Failure> {
        let memory = Memory::create(&self.memory, layout)
            .map_err(|e| Failure::Broken(format!("no memory to share with its process: {e}")))?;
        let request = (&Request::Share(layout), &[][..]);
        self.plain::<()>("make", Limit::Step, request).map_err(|fault| fault.failure)?;
        Ok(memory)
    }

    /// Hands what lies in the memory over, and waits until it is done.
    ///
    /// # Errors
    /// As [`Process::call`].
    pub(super) fn exchange(&mut self, memory: &Memory, what: u32) -> Result<(), Failure> {
        self.usable()?;
        let control = memory.control();
        let seen = control.reply.count();
        let mut left = self.seconds(Limit::Step);
        let mut waited = Ok(());
        if control.request.hand_over(what) {
            waited = Timed { socket: &self.socket, left: &mut left }.write_all(&[message::WAKE]);
        }
        if waited.is_ok() && !control.reply.watch(seen) && control.reply.lie_down(seen) {
            waited = self.sleep(&mut left);
            // A host that was stopped (Ctrl-Z) wakes up late, and not because the plugin was.
            if waited.is_err() && control.reply.count() != seen {
                waited =
                    if control.reply.rise() { Ok(()) } else { self.sleep(&mut self.seconds(Limit::Step)) };
            }
        }
        waited.map_err(|error| self.lost(&error, Limit::Step))?;
        if control.reply.count() != seen.wrapping_add(1) {
            return Err(self.nonsense("a wake-up call out of turn"));
        }
        if control.reply.what() == FAILED {
            let reply = self.receive::<()>(&mut left, Limit::Step)?;
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
        self.lost(&io::Error::new(ErrorKind::InvalidData, what), Limit::Step)
    }

    /// Ends the process after the socket failed: why it did.
    fn lost(&mut self, error: &io::Error, limit: Limit) -> Failure {
        let closed = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        );
        // A process that dies closes the socket a little before it can be waited for.
        let by_itself = self.ends_within(Duration::from_secs(u64::from(closed)));
        let cause = match (self.end().filter(|_| by_itself), error.kind()) {
            (Some(status), _) => ending(status),
            (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let name = match limit {
                    Limit::Start => "start-seconds",
                    Limit::Step => "step-seconds",
                };
                let seconds = self.seconds(limit).as_secs_f64();
                format!("no answer within {seconds} s (limit `{name}`): its process was ended")
            }
            (None, ErrorKind::InvalidData) => {
                format!(
                    "its process was ended: it wrote to the host's socket, which is not its own ({error})"
                )
            }
            (None, _) if closed => CLOSED.into(),
            (None, _) => format!("its process was ended: the socket to it failed ({error})"),
        };
        self.ended = Some(cause.clone());
        Failure::Broken(cause)
    }

    /// Whether the process has ended, or does so in time. It is still to be waited for: until then its number, and its
    /// group's, are its own.
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

    /// Ends the process, and all that it started. How it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        // An error says that there is none of it any more.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process ends when there is nothing more to read, after the plugin's `destroy`, which may take its time.
        if self.ended.is_none() {
            let _ = self.socket.shutdown(std::net::Shutdown::Write);
            self.ends_within(self.seconds(Limit::Step));
            self.end();
        }
    }
}

/// What a process did that can no longer be reached.
const CLOSED: &str = "its process was ended: it closed the host's socket, which is not its own";

/// How a process ended that should not have.
fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = match Signal::from_named_raw(signal) {
                Some(Signal::ABORT) => " (abort)",
                Some(Signal::BUS) => " (bus error)",
                Some(Signal::FPE) => " (arithmetic error)",
                Some(Signal::ILL) => " (illegal instruction)",
                Some(Signal::KILL) => " (killed; the system does that when memory runs out)",
                Some(Signal::SEGV) => " (segmentation fault)",
                Some(Signal::TERM) => " (terminated)",
                _ => "",
            };
            format!("its process was ended by signal {signal}{name}")
        }
        (None, Some(code)) if code == i32::from(SOCKET_LOST) => CLOSED.into(),
        (None, Some(code)) => format!("its process exited in the middle of the call, with status {code}"),
        (None, None) => "its process ended".into(),
    }
}
