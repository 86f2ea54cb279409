//! The command line: one file a command. [`main`] is the whole program.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::plugin::Registry;

mod bench;
mod collect;
mod distill;
mod doctor;
mod eval;
mod import;
mod options;
mod play;
mod plugin;
mod reproduce;
mod resume;
mod target;
mod train;
mod watch;

/// Distils a reinforcement-learning environment into a one-batch dataset.
///
/// Any freshly initialised agent that takes ONE gradient step on the dataset plays the environment.
#[derive(Parser)]
#[command(name = "potstill", version, about, long_about = None, max_term_width = 100)]
#[command(
    after_help = "Example:\n  potstill distill nd-cartpole --set n=2\n  potstill play runs/<the run it names>"
)]
struct Arguments {
    /// A plugin: a .wasm file, or a folder with a plugin.toml. May be repeated
    #[arg(long = "plugin", value_name = "PATH", global = true)]
    plugins: Vec<PathBuf>,
    /// Run native plugins in processes of their own: their crash is an error, not the end of potstill
    #[arg(long, global = true)]
    isolate: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Distill(distill::Distill),
    Rl(distill::Rl),
    Resume(resume::Resume),
    Eval(eval::Eval),
    Train(train::Train),
    Play(play::Play),
    Collect(collect::Collect),
    Import(import::Import),
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    Reproduce(reproduce::Reproduce),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    /// The process of an isolated plugin
    #[cfg(unix)]
    #[command(name = "__host-plugin", hide = true)]
    HostPlugin {
        library: PathBuf,
    },
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    // A panic is a fault of Potstill: say so in one line instead of a backtrace.
    std::panic::set_hook(Box::new(|info| {
        tell(&format!(
            "error: internal fault of potstill: {info}\nPlease report it with the command you ran."
        ));
    }));
    let arguments = Arguments::try_parse().unwrap_or_else(|refusal| {
        let help = refusal.kind() == clap::error::ErrorKind::DisplayHelp;
        let _ = refusal.print();
        if help {
            help_on_plugins();
        }
        std::process::exit(refusal.exit_code())
    });
    #[cfg(unix)]
    if let Command::HostPlugin { library } = &arguments.command {
        return crate::plugin::serve(library);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// After a command's `--help`: the options of the plugins that the rest of the command line names, if it names any.
fn help_on_plugins() {
    let rest = std::env::args_os().filter(|argument| argument != "--help" && argument != "-h");
    let Ok(arguments) = Arguments::try_parse_from(rest) else { return };
    let shown = match &arguments.command {
        Command::Distill(command) => command.help(&arguments.plugins),
        Command::Rl(command) => command.help(&arguments.plugins),
        _ => Ok(()),
    };
    if let Err(error) = shown {
        tell(&format!("error: {error}"));
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // A run goes on with the plugins it began with, and a configuration may ask to isolate them.
    let (recorded, isolate) = match &arguments.command {
        Command::Resume(command) => (command.plugins(), command.isolates()),
        Command::Distill(command) => (vec![], command.isolates()?),
        Command::Rl(command) => (vec![], command.isolates()?),
        _ => (vec![], false),
    };
    let isolate = if arguments.isolate || isolate { Some(this_program()?) } else { None };
    let registry = Registry::discover(&arguments.plugins, &recorded, isolate)?;
    match &arguments.command {
        Command::Distill(command) => command.run(&registry),
        Command::Rl(command) => command.run(&registry),
        Command::Resume(command) => command.run(&registry),
        Command::Eval(command) => command.run(&registry),
        Command::Train(command) => command.run(&registry),
        Command::Play(command) => command.run(&registry),
        Command::Collect(command) => command.run(&registry),
        Command::Import(command) => command.run(&registry),
        Command::Plugin(command) => command.run(&registry),
        Command::Reproduce(command) => command.run(&registry),
        Command::Bench(command) => command.run(&registry),
        Command::Doctor(command) => command.run(&registry),
        #[cfg(unix)]
        Command::HostPlugin { .. } => Err(Error::usage("it needs no registry")),
    }
}

/// This program, to start it again.
fn this_program() -> Result<PathBuf> {
    // The very same, even if another has taken its place in the file system.
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => std::env::current_exe().map_err(|e| Error::usage(format!("--isolate: {e}"))),
    }
}

/// Prints `value` as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::usage(format!("JSON: {e}")))?;
    say(&text)
}

/// Tells the user something beside the result. Where nobody listens (`2>&1 | head`) the work goes on.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line; a closed pipe (`| head`) ends the program quietly.
fn say(line: &str) -> Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::Io { path: "standard output".into(), source: error }),
        Ok(()) => Ok(()),
    }
}
