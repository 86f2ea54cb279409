//! The plugin's process, which the hidden command runs.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitCode, exit};

use potstill_plugin_api::Frame;
use potstill_plugin_api::abi::{NO_LIVES, RawTransition};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use serde::Serialize;

use super::memory::{DONE, FAILED, Memory, Part, RESET};
use super::message::{self, Next, Picture, PluginInfo, Reply, Request};
use crate::engine::environment::RenderMode;
use crate::error::not_started;
use crate::plugin::check::{FailedCall, Failure, RawEnvironments};
use crate::plugin::native::{NativeEnvironments, NativeObjective, NativePlugin, open};
use crate::plugin::trace::Ask;
use crate::plugin::traced::{RawLearner, RawLearners, RawObjective};
use crate::terminal::tell;

/// The name of the hidden command.
pub(super) const COMMAND: &str = "__host-plugin";
/// The exit status of a process whose plugin has closed the socket.
pub(super) const SOCKET_LOST: u8 = 113;

/// Runs the library for the host that started this process, until the host closes the socket.
pub(crate) fn serve(library: &Path) -> ExitCode {
    let Ok((socket, memory)) = take_over() else {
        tell(&format!("error: `{COMMAND}` is internal: potstill starts itself with it for --isolate"));
        return ExitCode::from(2);
    };
    // As long as this process lives, it has this socket.
    let socket: &'static UnixStream = Box::leak(Box::new(socket));
    let watched = end_with_the_host(socket).map_err(|e| not_started("thread", &e));
    let plugins = match watched.and_then(|()| open(library)) {
        Ok(plugins) => plugins,
        Err(cause) => {
            let _ = reply::<()>(socket, Err(Failure::Broken(cause).at("load")));
            return ExitCode::FAILURE;
        }
    };
    let Some(plugin) = plugins.first().cloned() else { return ExitCode::FAILURE };
    let description = |plugin: &NativePlugin| PluginInfo {
        id: plugin.id.clone(),
        version: plugin.version.clone(),
        summary: plugin.summary.clone(),
        role: plugin.role,
        options: plugin.options.clone(),
    };
    let descriptions: Vec<PluginInfo> = plugins.iter().map(description).collect();
    let mut served = Served {
        plugin,
        plugins,
        socket,
        file: memory,
        memory: None,
        environments: None,
        learners: BTreeMap::new(),
        drawn: 0,
        objective: None,
    };
    match reply(socket, Ok((descriptions, vec![]))).and_then(|()| served.run()) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => ExitCode::from(SOCKET_LOST),
        _ => ExitCode::SUCCESS,
    }
}

/// Takes the socket and the memory from standard input and output, where the host has put them. The plugin gets an empty
/// standard input instead, and its standard output goes to standard error.
fn take_over() -> io::Result<(UnixStream, File)> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // This fails unless it is a socket.
    socket.peer_addr()?;
    let memory = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    dup2_stdin(nothing)?;
    dup2_stdout(io::stderr())?;
    Ok((socket, memory))
}

/// Ends this process as soon as the host has ended, whatever the plugin is doing. (Linux can send a signal instead, but it
/// does so when the *thread* that started this process ends.)
fn end_with_the_host(socket: &'static UnixStream) -> io::Result<()> {
    let watch = move || -> ! {
        loop {
            let mut hung_up = [PollFd::new(socket, PollFlags::empty())];
            if poll(&mut hung_up, None).is_ok_and(|found| found > 0) {
                // Ends what it has started too, if the group is its own. SIGKILL skips the plugin's exit handlers, which
                // might never return.
                if getpgrp() == getpid() {
                    let _ = kill_current_process_group(Signal::KILL);
                }
                let _ = kill_process(getpid(), Signal::KILL);
            }
        }
    };
    std::thread::Builder::new().name("potstill-watch".into()).spawn(watch).map(drop)
}

/// Writes the reply to a call.
fn reply<T: Serialize>(socket: &UnixStream, result: Result<(T, Vec<u8>), FailedCall>) -> io::Result<()> {
    match result {
        Ok((value, body)) => message::write(socket, &Reply::Done(value), &body),
        Err(FailedCall { function, failure }) => {
            let (refused, words) = match failure {
                Failure::Refused(words) => (true, words),
                Failure::Broken(words) => (false, words),
            };
            message::write(socket, &Reply::<()>::Failed { function, refused, words }, &[])
        }
    }
}

/// The state of this process.
struct Served<'a> {
    plugin: NativePlugin,
    /// All plugins of the library.
    plugins: Vec<NativePlugin>,
    socket: &'a UnixStream,
    file: File,
    memory: Option<Memory>,
    environments: Option<NativeEnvironments>,
    /// The learners, by number.
    learners: BTreeMap<u32, Box<dyn RawLearner>>,
    /// How many learners have been drawn.
    drawn: u32,
    objective: Option<NativeObjective>,
}

impl Served<'_> {
    /// Serves the host's requests until it hangs up.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let control = self.memory.as_ref().map(Memory::control);
            // Every exchange is answered before the next one arrives, so an unanswered one is new.
            let seen = control.map_or(0, |control| control.reply.count());
            let awake = control.is_some_and(|c| c.request.watch(seen) || !c.request.lie_down(seen));
            let next = if awake { Next::Wake } else { message::read(self.socket)? };
            match next {
                Next::Wake => self.exchange()?,
                Next::Message(request, body) => {
                    if let Some(control) = control {
                        control.request.rise();
                    }
                    self.answer(request, &body)?;
                }
            }
        }
    }

    /// Runs `reset` or `step` on the shared memory.
    fn exchange(&mut self) -> io::Result<()> {
        let (Some(memory), Some(environments)) = (&self.memory, &mut self.environments) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let control = memory.control();
        let (input, observations) = (memory.part(Part::Input), memory.part(Part::Observations));
        let (function, done) = if control.request.what() == RESET {
            // SAFETY: the memory has a seed for each copy, and space for an observation of each.
            ("reset", unsafe { environments.reset_into(input.cast(), observations.cast()) })
        } else {
            memory.fill(Part::Faults, 0);
            memory.fill(Part::LivesLost, NO_LIVES);
            let mut out = RawTransition {
                struct_size: RawTransition::SIZE,
                reserved: 0,
                observations: observations.cast(),
                rewards: memory.part(Part::Rewards).cast(),
                terminated: memory.part(Part::Terminated),
                truncated: memory.part(Part::Truncated),
                final_observations: memory.part(Part::FinalObservations).cast(),
                faults: memory.part(Part::Faults),
                lives_lost: memory.part(Part::LivesLost),
            };
            // SAFETY: the memory has the actions of all copies, and space for their results.
            ("step", unsafe { environments.step_into(input.cast(), &mut out) })
        };
        let what = if done.is_ok() { DONE } else { FAILED };
        if control.reply.hand_over(what) {
            io::Write::write_all(&mut &*self.socket, &[message::WAKE])?;
        }
        done.or_else(|failure| reply::<()>(self.socket, Err(failure.at(function))))
    }

    fn answer(&mut self, request: Request, body: &[u8]) -> io::Result<()> {
        let socket = self.socket;
        let mut ask = |ask: Ask| asked(socket, ask).unwrap_or_else(|_| exit(1));
        match request {
            Request::Choose { plugin } => {
                let chosen = self.plugins.get(plugin).cloned().ok_or_else(unknown);
                reply_at(socket, "load", chosen.map(|plugin| self.plugin = plugin))
            }
            Request::MakeEnvironments { copies, settings } => {
                let made = NativeEnvironments::make(self.plugin.clone(), copies, &settings);
                let (environments, spec) = match made {
                    Ok(made) => made,
                    Err(fault) => return reply::<()>(socket, Err(fault)),
                };
                self.environments = Some(environments);
                reply(socket, Ok((spec, vec![])))
            }
            Request::Share(layout) => {
                let mapped = Memory::map(&self.file, layout).map(|memory| self.memory = Some(memory));
                let mapped = mapped.map_err(|e| Failure::Broken(format!("no shared memory: {e}")));
                reply_at(socket, "make", mapped)
            }
            Request::Render { index, text } => {
                let mode = if text { RenderMode::Text } else { RenderMode::Rgb };
                let drawn = self.environments().and_then(|e| e.render(index, mode));
                let drawn = drawn.map(|frame| match frame {
                    Frame::Rgb { width, height, pixels } => (Picture::Rgb { width, height }, pixels),
                    Frame::Text(text) => (Picture::Text(text), vec![]),
                });
                reply(socket, drawn.map_err(|failure| failure.at("render")))
            }
            Request::Snapshot => {
                let taken = self.environments().and_then(RawEnvironments::snapshot);
                let taken = taken.map(|bytes| (bytes.is_some(), bytes.unwrap_or_default()));
                reply(socket, taken.map_err(|failure| failure.at("snapshot")))
            }
            Request::Restore => {
                let done = self.environments().and_then(|e| e.restore(body));
                reply_at(socket, "restore", done)
            }
            Request::DrawLearner { settings, observation, outputs, seed } => {
                let drawn = self.plugin.draw(&settings, &observation, outputs, seed, &mut ask);
                let (learner, drawn) = match drawn {
                    Ok(drawn) => drawn,
                    Err(fault) => return reply::<()>(socket, Err(fault)),
                };
                self.drawn += 1;
                self.learners.insert(self.drawn, learner);
                reply(socket, Ok(((self.drawn, drawn), vec![])))
            }
            Request::Forward { learner, parameters, x } => {
                let learner = self.learners.get(&learner).ok_or_else(unknown);
                reply_at(socket, "forward", learner.and_then(|l| l.forward(&parameters, x, &mut ask)))
            }
            Request::DropLearner { learner } => {
                self.learners.remove(&learner);
                reply_at(socket, "destroy", Ok(()))
            }
            Request::MakeObjective { settings, task } => {
                let made = NativeObjective::make(self.plugin.clone(), &settings, &task);
                let (objective, declared) = match made {
                    Ok(made) => made,
                    Err(fault) => return reply::<()>(socket, Err(fault)),
                };
                self.objective = Some(objective);
                reply(socket, Ok((declared, vec![])))
            }
            Request::Inner { theta, fresh } => {
                let objective = self.objective.as_ref().ok_or_else(unknown);
                reply_at(socket, "inner", objective.and_then(|o| o.inner(&theta, &fresh, &mut ask)))
            }
            Request::Outer(judged) => {
                let objective = self.objective.as_ref().ok_or_else(unknown);
                reply_at(socket, "outer", objective.and_then(|o| o.outer(&judged, &mut ask)))
            }
            Request::Answer(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn environments(&mut self) -> Result<&mut NativeEnvironments, Failure> {
        self.environments.as_mut().ok_or_else(unknown)
    }
}

/// Writes the reply to a call of `function` that returns no raw bytes.
fn reply_at<T: Serialize>(socket: &UnixStream, function: &str, result: Result<T, Failure>) -> io::Result<()> {
    reply(socket, result.map(|value| (value, vec![])).map_err(|failure| failure.at(function)))
}

/// The failure for an object that the host has not made.
fn unknown() -> Failure {
    Failure::Broken("the host called an object that it has not made".into())
}

/// Asks the host a question of the plugin.
fn asked(socket: &UnixStream, ask: Ask) -> io::Result<Vec<u32>> {
    message::write(socket, &Reply::<()>::Ask(ask), &[])?;
    match message::read(socket)? {
        Next::Message(Request::Answer(numbers), _) => Ok(numbers),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
