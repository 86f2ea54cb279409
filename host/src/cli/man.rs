//! `potstill man`: man pages, made from the same text as `--help`.
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::{Man as Page, generate_to};

use super::{Arguments, print_bytes, say};
use crate::error::{IoContext, Result};

/// Print the man page, or write a page for each command
#[derive(Args)]
#[command(after_help = "Examples:\n  potstill man | man -l -\n  potstill man --out ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Write potstill.1 and a page for each command into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<()> {
        let Some(folder) = &self.out else {
            let mut page = vec![];
            Page::new(Arguments::command()).render(&mut page).at("standard output")?;
            return print_bytes(&page);
        };
        std::fs::create_dir_all(folder).at(folder)?;
        generate_to(Arguments::command(), folder).at(folder)?;
        say(&format!("man pages in {}", folder.display()))
    }
}
