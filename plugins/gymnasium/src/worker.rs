//! A Python process that steps copies of environments, and the conversation with it.
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};

/// The program that a worker runs. It needs Gymnasium and NumPy.
const PROGRAM: &str = include_str!("worker.py");

/// The most bytes that are kept of what a worker writes to standard error.
const LAST_WORDS: usize = 4096;

/// The most bytes of an answer. The largest are pictures.
const LARGEST_ANSWER: u64 = 1 << 30;

/// How long a worker that closed its answers may take to end.
const TO_END: Duration = Duration::from_secs(2);

/// What a worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Task {
    /// Make a group of copies; the answer is their specification in JSON.
    Make = b'm' as isize,
    /// Map the group's shared memory.
    Attach = b'a' as isize,
    Reset = b'r' as isize,
    Step = b's' as isize,
    Draw = b'd' as isize,
    /// Close the group's copies.
    Close = b'c' as isize,
}

/// Why a worker did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The copy whose environment raised the error, counted in its group, if it was one.
    pub(crate) copy: Option<usize>,
    pub(crate) message: String,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Failed { copy: None, message }
    }
}

/// A worker. It is killed when it is dropped, and ends by itself when this process does.
pub(crate) struct Worker {
    child: Child,
    commands: ChildStdin,
    answers: ChildStdout,
    /// Standard error, until it is closed.
    errors: Option<ChildStderr>,
    said: Vec<u8>,
    /// A pipe that only this process can write to; its end is the worker's.
    _life: PipeWriter,
    /// Why it cannot be asked any more.
    broken: Option<String>,
}

impl Worker {
    /// Starts a worker, which then imports Gymnasium. Its first answer, without a command, is Gymnasium's version.
    ///
    /// # Errors
    /// The system cannot start this Python.
    pub(crate) fn start(python: &str) -> io::Result<Worker> {
        let (ends, life) = pipe()?;
        let ends = OwnedFd::from(ends);
        let mut command = Command::new(python);
        command
            .args(["-u", "-c", PROGRAM, &ends.as_raw_fd().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("PYGAME_HIDE_SUPPORT_PROMPT", "1");
        // A worker draws into memory, and has one core.
        for (name, value) in
            [("SDL_VIDEODRIVER", "dummy"), ("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")]
        {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        let inherited = ends.as_raw_fd();
        // SAFETY: the closure makes one system call, on a descriptor that `ends` keeps open until the worker has started.
        unsafe {
            command.pre_exec(move || {
                let ends = std::os::fd::BorrowedFd::borrow_raw(inherited);
                Ok(fcntl_setfd(ends, FdFlags::empty())?)
            });
        }
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe to it is missing");
        let commands = child.stdin.take().ok_or_else(missing)?;
        let answers = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take();
        Ok(Worker { child, commands, answers, errors, said: vec![], _life: life, broken: None })
    }

    /// Whether it can be asked.
    pub(crate) fn works(&self) -> bool {
        self.broken.is_none()
    }

    /// The worker's process.
    #[cfg(test)]
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks the worker for something about a group of copies. [`Worker::answer`] must follow.
    ///
    /// # Errors
    /// The worker has ended.
    pub(crate) fn ask(&mut self, task: Task, group: u32, payload: &[u8]) -> Result<(), Failed> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone().into());
        }
        let mut message = vec![task as u8];
        message.extend(group.to_le_bytes());
        message.extend((payload.len() as u64).to_le_bytes());
        message.extend(payload);
        self.commands.write_all(&message).map_err(|_| self.ended())
    }

    /// Waits for the answer to what was asked.
    ///
    /// # Errors
    /// An environment raised an error; the worker has ended; or there is no answer after `limit`, whereupon the worker is
    /// killed.
    pub(crate) fn answer(&mut self, asked: Instant, limit: Duration) -> Result<Vec<u8>, Failed> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone().into());
        }
        let end = asked + limit;
        let mut header = [0; 9];
        self.fill(&mut header, end, limit)?;
        let (failed, length) =
            (header[0] != 0, u64::from_le_bytes(*header[1..].as_array().expect("8 bytes")));
        if length > LARGEST_ANSWER {
            return Err(self.give_up(format!("a worker answered with {length} bytes")));
        }
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload, end, limit)?;
        if !failed {
            return Ok(payload);
        }
        let (copy, message) = payload.split_at(payload.len().min(4));
        let copy = copy.as_array().map_or(-1, |copy| i32::from_le_bytes(*copy));
        Err(Failed {
            copy: usize::try_from(copy).ok(),
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }

    /// Reads as many bytes of the answer as `buffer` has, and meanwhile what is said on standard error.
    fn fill(&mut self, mut buffer: &mut [u8], end: Instant, limit: Duration) -> Result<(), Failed> {
        while !buffer.is_empty() {
            match self.wait(end) {
                Ok(true) => match self.answers.read(buffer) {
                    Ok(0) | Err(_) => return Err(self.ended()),
                    Ok(count) => buffer = &mut std::mem::take(&mut buffer)[count..],
                },
                Ok(false) => {
                    let seconds = limit.as_secs_f64();
                    let late = format!(
                        "a worker did not answer within {seconds} s and was stopped; if its environment is that slow, \
                         raise the option `timeout`"
                    );
                    return Err(self.give_up(late));
                }
                Err(error) => return Err(self.give_up(format!("a worker cannot be heard: {error}"))),
            }
        }
        Ok(())
    }

    /// Waits until there is something to read of an answer. Returns `false` once it is `end`.
    fn wait(&mut self, end: Instant) -> io::Result<bool> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answers = PollFd::new(&self.answers, PollFlags::IN);
            let mut all = vec![answers];
            all.extend(self.errors.as_ref().map(|errors| PollFd::new(errors, PollFlags::IN)));
            let time = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            match poll(&mut all, Some(&time)) {
                Ok(0) => return Ok(false),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let (answered, said) =
                (!all[0].revents().is_empty(), all.get(1).is_some_and(|e| !e.revents().is_empty()));
            drop(all);
            if said {
                self.listen();
            }
            if answered {
                return Ok(true);
            }
        }
    }

    /// Reads what there is on standard error.
    fn listen(&mut self) {
        let mut text = [0; LAST_WORDS];
        match self.errors.as_mut().map(|errors| errors.read(&mut text)) {
            Some(Ok(count @ 1..)) => {
                self.said.extend(&text[..count]);
                self.said.drain(..self.said.len().saturating_sub(LAST_WORDS));
            }
            _ => self.errors = None,
        }
    }

    /// The error that the worker has ended, and how.
    fn ended(&mut self) -> Failed {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if since.elapsed() < TO_END => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(status)) => break status.to_string(),
                _ => break "its answers ended".into(),
            }
        };
        // Only what is there: a process that the environment started may keep it open.
        let ready = |errors: &ChildStderr| {
            let mut one = [PollFd::from_borrowed_fd(errors.as_fd(), PollFlags::IN)];
            poll(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
        };
        while self.errors.as_ref().is_some_and(ready) {
            self.listen();
        }
        let said = String::from_utf8_lossy(&self.said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!("; it said last: {}", line.trim())).unwrap_or_default();
        self.give_up(format!("a worker (process {}) ended: {status}{last}", self.child.id()))
    }

    /// Kills the worker, for this reason.
    fn give_up(&mut self, reason: String) -> Failed {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.broken = Some(reason.clone());
        reason.into()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
