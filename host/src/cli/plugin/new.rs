//! `potstill plugin new`: starts a plugin from a template.
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::author::{Language, template};
use crate::cli::{say, say_command};
use crate::error::Result;
use crate::shell;

/// Start a new plugin: a folder that builds, passes its tests and runs as it is
#[derive(Args)]
#[command(after_help = "\
Examples:
  potstill plugin new acme/corridor --lang python
  potstill plugin new acme/loss --role objective --lang python

Environment variables:
  POTSTILL_SDK  The default of --sdk")]
pub(in crate::cli) struct New {
    /// The plugin's `name` or `namespace/name`; the folder is called `name`
    name: String,
    /// The role of the plugin
    #[arg(long, default_value = "environment", value_parser = PossibleValuesParser::new(template::roles()))]
    role: String,
    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Language,
    /// Rust: depend on the crate potstill-sdk in this folder (`sdk/rust` in Potstill's source) instead of a copy of it
    /// [default: POTSTILL_SDK]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

impl New {
    pub(super) fn run(&self) -> Result<()> {
        let variable = || std::env::var_os("POTSTILL_SDK").filter(|path| !path.is_empty()).map(PathBuf::from);
        let sdk = if self.lang == Language::Rust { self.sdk.clone().or_else(variable) } else { None };
        let made = template::create(Path::new(""), &self.name, &self.role, self.lang, sdk.as_deref())?;
        let folder = shell::word(&made.folder);
        let test = match self.lang {
            Language::Rust => "cargo test",
            Language::C => "make test",
            Language::Python => "python3 -m unittest",
        };
        say(&format!("{} is in {folder}; its README.md says what to do", made.id))?;
        say_command("test", &format!("cd {folder} && {test}"))?;
        say_command("build", &format!("potstill plugin build {folder}"))?;
        say_command("check", &format!("potstill plugin check {folder}"))?;
        let arguments = match self.role.as_str() {
            "environment" => made.id.base().to_owned(),
            role => format!("nd-cartpole --{role} {}", made.id.base()),
        };
        say_command("distill", &format!("potstill --plugin {folder} distill {arguments}"))
    }
}
