//! The command line: one file per command. [`main`] runs the whole program.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::execute::caught;
use crate::plugin::{Registry, compile_apart};
use crate::terminal::{
    confirmed, print_answer, print_bytes, print_json, say, say_below, say_command, say_named, say_row, tell,
};

mod baseline;
mod bench;
mod collect;
mod completions;
mod data;
mod distill;
mod doctor;
mod eval;
mod import;
mod man;
mod options;
mod output;
mod play;
mod plugin;
mod reproduce;
mod resume;
mod target;
mod train;
mod watch;

/// Distill a reinforcement-learning environment into a one-batch dataset
///
/// Any freshly initialized agent that takes ONE gradient step on the dataset plays the environment well.
#[derive(Parser)]
#[command(name = "potstill", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    /// Load a plugin: a .wasm file, a shared library, or a folder with a plugin.toml. Repeatable
    #[arg(long = "plugin", value_name = "PATH", global = true, help_heading = "Plugins")]
    plugins: Vec<PathBuf>,
    /// Run each native plugin in its own process, so that its crash is an error and not the end of potstill
    #[arg(long, global = true, help_heading = "Plugins")]
    isolate: bool,
    #[command(subcommand)]
    command: Command,
}

/// The end of `potstill --help`; `docs/reference/command-line.md` says more.
const AFTER_HELP: &str = "\
Examples:
  potstill distill nd-cartpole --set n=2
  potstill play runs/<the run it names>

Environment variables:
  POTSTILL_PLUGIN_PATH  Paths to search for plugins, separated by `:` (by `;` on Windows)
  POTSTILL_CACHE        Folder for compiled plugins; set it to an empty text to keep none

Exit status:
  0 success; 1 a file, a plugin, a device or a check failed; 2 the request cannot be met; 130 Ctrl-C";

/// How `--isolate` starts this program to host one plugin. It stays out of the help, the completions and the man pages.
#[cfg(unix)]
const HOST_PLUGIN: &str = "__host-plugin";

#[derive(Subcommand)]
enum Command {
    Distill(distill::Distill),
    Rl(distill::Rl),
    Resume(resume::Resume),
    Eval(eval::Eval),
    Baseline(baseline::Baseline),
    Train(train::Train),
    Play(play::Play),
    Collect(collect::Collect),
    #[command(subcommand)]
    Data(data::Data),
    Import(import::Import),
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    Reproduce(reproduce::Reproduce),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the program with the arguments of this process and returns its exit status.
pub fn main() -> ExitCode {
    // A panic is a bug in Potstill: say so in one line, without a backtrace.
    std::panic::set_hook(Box::new(|info| {
        tell(&format!(
            "error: internal fault of potstill: {info}\nPlease report it, with the command that you ran."
        ));
    }));
    #[cfg(unix)]
    match &std::env::args_os().collect::<Vec<_>>()[..] {
        [_, command, library] if command == HOST_PLUGIN => return crate::plugin::serve(library.as_ref()),
        [_, command] if command == crate::plugin::apart::COMMAND => return crate::plugin::apart::serve(),
        _ => {}
    }
    if let Ok(program) = this_program() {
        compile_apart(program);
    }
    let (done, status) = match Arguments::try_parse() {
        Ok(arguments) => (caught(|| run(&arguments)), ExitCode::SUCCESS),
        Err(answer) => {
            let help = answer.kind() == clap::error::ErrorKind::DisplayHelp;
            let done = print_answer(&answer).map(|()| {
                if help {
                    help_on_plugins()
                }
            });
            (done, if answer.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS })
        }
    };
    done.map_or_else(
        |error| {
            tell(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        },
        |()| status,
    )
}

/// After the `--help` of `distill` and `rl`: prints the options of the plugins that the command line names.
fn help_on_plugins() {
    let rest = std::env::args_os().filter(|argument| argument != "--help" && argument != "-h");
    let shown = match Arguments::try_parse_from(rest) {
        Ok(Arguments { plugins, command: Command::Distill(command), .. }) => command.help(&plugins),
        Ok(Arguments { plugins, command: Command::Rl(command), .. }) => command.help(&plugins),
        _ => Ok(()),
    };
    if let Err(error) = shown {
        tell(&format!("error: {error}"));
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // What a run made is used with the run's plugins, and a configuration may ask to isolate them.
    let (recorded, isolate) = match &arguments.command {
        Command::Resume(command) => (command.plugins(), command.isolates()),
        Command::Distill(command) => (command.plugins(), command.isolates()?),
        Command::Rl(command) => (command.plugins(), command.isolates()?),
        Command::Eval(command) => (target::recorded(&command.target), false),
        Command::Train(command) => (target::recorded(&command.target), false),
        Command::Play(command) => (target::recorded(&command.target), false),
        Command::Collect(command) => (target::recorded(command.target.as_ref()), false),
        _ => (vec![], false),
    };
    let isolate = if arguments.isolate || isolate { Some(this_program()?) } else { None };
    let registry = || Registry::discover(&arguments.plugins, &recorded, isolate);
    match &arguments.command {
        Command::Distill(command) => command.run(&registry()?),
        Command::Rl(command) => command.run(&registry()?),
        Command::Resume(command) => command.run(&registry()?),
        Command::Eval(command) => command.run(&registry()?),
        Command::Baseline(command) => command.run(&registry()?),
        Command::Train(command) => command.run(&registry()?),
        Command::Play(command) => command.run(&registry()?),
        Command::Collect(command) => command.run(&registry()?),
        Command::Data(command) => command.run(&registry()?),
        Command::Import(command) => command.run(&registry()?),
        Command::Plugin(command) => command.run(&registry()?),
        Command::Reproduce(command) => command.run(&registry()?),
        Command::Bench(command) => command.run(&registry()?),
        Command::Doctor(command) => command.run(&registry()?),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}

/// The path by which to start this program again.
fn this_program() -> Result<PathBuf> {
    // On Linux this is the running binary itself, even if the file was replaced since.
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => std::env::current_exe().map_err(|e| Error::usage(format!("--isolate: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// `command` and all commands below it.
    fn commands(command: clap::Command) -> Vec<clap::Command> {
        let below: Vec<_> = command.get_subcommands().cloned().flat_map(commands).collect();
        std::iter::once(command).chain(below).collect()
    }

    #[test]
    fn every_example_is_a_whole_command_line() {
        Arguments::command().debug_assert();
        let mut examples = 0;
        for command in commands(Arguments::command()) {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_else(|| panic!("`{name}` has no examples"));
            for example in help.to_string().lines().filter(|line| line.starts_with("  potstill ")) {
                let example = example.replace("<the run it names>", "run");
                // The shell's part of an example is not the program's.
                let words = example.split_whitespace().take_while(|word| !["|", ">"].contains(word));
                if let Err(refusal) = Arguments::try_parse_from(words) {
                    panic!("{example}: {refusal}");
                }
                examples += 1;
            }
        }
        assert!(examples > 40, "{examples}");
    }

    #[test]
    fn every_option_says_what_it_is() {
        for command in commands(Arguments::command()) {
            for argument in command.get_arguments() {
                let (command, argument, help) =
                    (command.get_name(), argument.get_id(), argument.get_help().map(ToString::to_string));
                let help = help.unwrap_or_else(|| panic!("`{command}`: `{argument}` has no help"));
                assert!(!help.ends_with('.'), "`{command}`: `{argument}`: {help}");
            }
        }
    }
}
