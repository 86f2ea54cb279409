//! `potstill completions`: scripts with which shells complete the command line.
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, print_bytes};
use crate::error::Result;

/// Print a completion script for a shell
///
/// The script completes commands, options and paths. Load it in your shell's start-up file, or save it where the
/// shell looks for completions.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill completions bash > ~/.local/share/bash-completion/completions/potstill\n  \
                        potstill completions zsh > ~/.zfunc/_potstill\n  \
                        potstill completions fish > ~/.config/fish/completions/potstill.fish"
)]
pub(super) struct Completions {
    /// The shell to print the script for
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<()> {
        let mut script = vec![];
        generate(self.shell, &mut Arguments::command(), "potstill", &mut script);
        print_bytes(&script)
    }
}
