//! `potstill plugin`: lists and describes plugins. The commands that make, check and install them are in `plugin/`.
use std::borrow::Cow;
use std::path::Path;

use clap::{Args, Subcommand};
use potstill_plugin_api::{OptionKind, OptionSchema, Role};
use serde_json::json;

use super::options::pair;
use super::{print_json, say_below, say_named, say_row, tell};
use crate::error::Result;
use crate::plugin::{Entry, Registry};

mod build;
mod check;
mod install;
mod new;
pub(super) mod setup;

/// List, describe, make, check and install plugins
#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  potstill plugin info nd-cartpole --set n=3\n  potstill plugin new acme/corridor --lang python"
)]
pub(super) enum Plugin {
    List(List),
    Info(Info),
    New(new::New),
    Build(build::Build),
    Install(install::Install),
    Remove(install::Remove),
    Check(check::Check),
    Setup(setup::Fetch),
}

/// List every plugin with its id, role, loader, version and path, or why it cannot be used
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin list\n  potstill plugin list --json --plugin libwalk.so"
)]
pub(super) struct List {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Show a plugin's options and hash, and the spaces of an environment
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin info nd-cartpole --set n=3 --json\n  potstill plugin info ppmo"
)]
pub(super) struct Info {
    /// The plugin's id
    id: String,
    /// Set an option of the environment, which its spaces may depend on. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Plugin {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        match self {
            Plugin::List(list) => list.run(registry),
            Plugin::Info(info) => info.run(registry),
            Plugin::New(new) => new.run(),
            Plugin::Build(build) => build.run(),
            Plugin::Install(install) => install.run(),
            Plugin::Remove(remove) => remove.run(registry),
            Plugin::Check(check) => check.run(registry),
            Plugin::Setup(fetch) => fetch.run(registry),
        }
    }
}

impl List {
    fn run(&self, registry: &Registry) -> Result<()> {
        let mut rows: Vec<[String; 6]> = vec![];
        for entry in registry.entries() {
            rows.push([
                entry.id.as_ref().map_or("?".into(), ToString::to_string),
                entry.role.map_or("?".into(), |role| format!("{role:?}").to_lowercase()),
                entry.loader.to_string(),
                entry.version.clone(),
                entry.path.as_ref().map_or("-".into(), |p| p.display().to_string()),
                entry.rejected.as_ref().map_or(entry.summary.clone(), |why| format!("rejected: {why}")),
            ]);
        }
        if self.json {
            let names = ["id", "role", "loader", "version", "path", "summary"];
            let objects = rows
                .iter()
                .map(|row| names.into_iter().zip(row.clone()).collect::<std::collections::BTreeMap<_, _>>());
            return print_json(&objects.collect::<Vec<_>>());
        }
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            say_row(&cells.join("  "), &row[5])?;
        }
        Ok(())
    }
}

impl Info {
    fn run(&self, registry: &Registry) -> Result<()> {
        let role = registry.role_of(&self.id);
        if let Some(role @ (Role::Learner | Role::Objective)) = role {
            return self.without_spaces(registry, role);
        }
        let description = match registry.describe(&self.id, &self.set) {
            Ok(description) => description,
            Err(error) => match registry.find(Role::Environment, &self.id) {
                // Without its external dependencies the plugin cannot describe itself.
                Ok(entry) if entry.lacks_setup() => {
                    tell(&format!("its spaces are not known yet: {error}"));
                    return self.without_spaces(registry, Role::Environment);
                }
                _ => return Err(error),
            },
        };
        let (entry, spec) = (&description.entry, &description.spec);
        if self.json {
            return print_json(&json!({
                "spec": spec,
                "options": description.options,
                "loader": entry.loader.to_string(),
                "version": entry.version,
                "path": path_of(entry),
                "permissions": entry.permissions(),
                "setup": entry.setup,
                "sha256": description.sha256,
            }));
        }
        let steps = spec.max_episode_steps.map_or("none".into(), |n| n.to_string());
        for (name, value) in [
            ("id", spec.id.clone()),
            ("summary", spec.summary.clone()),
            ("observation", spec.observation.to_string()),
            ("action", spec.action.to_string()),
            ("step limit", steps),
            ("loader", format!("{} {}", entry.loader, entry.version)),
            ("path", entry.path.as_ref().map_or("inside potstill".into(), |p| p.display().to_string())),
            ("may", entry.permissions()),
            ("sha256", description.sha256.clone()),
        ] {
            say_named(name, 12, &value)?;
        }
        show_setup(entry)?;
        show_options(&description.options, "--set ")
    }

    /// Describes a plugin without spaces: a learner, an objective, or an environment that cannot be made yet.
    fn without_spaces(&self, registry: &Registry, role: Role) -> Result<()> {
        let entry = registry.find(role, &self.id)?;
        let options = registry.options(role, &self.id)?;
        let id = entry.id.as_ref().map_or_else(String::new, ToString::to_string);
        if self.json {
            return print_json(&json!({
                "id": id,
                "role": role,
                "summary": entry.summary,
                "options": options,
                "loader": entry.loader.to_string(),
                "version": entry.version,
                "path": path_of(entry),
                "permissions": entry.permissions(),
                "setup": entry.setup,
                "sha256": entry.sha256,
            }));
        }
        for (name, value) in [
            ("id", id),
            ("role", role.to_string()),
            ("summary", entry.summary.clone()),
            ("loader", format!("{} {}", entry.loader, entry.version)),
            ("path", entry.path.as_ref().map_or("inside potstill".into(), |p| p.display().to_string())),
            ("may", entry.permissions()),
        ] {
            say_named(name, 12, &value)?;
        }
        show_setup(entry)?;
        match role {
            Role::Environment => show_options(&options, "--set "),
            role => show_options(&options, &format!("--{role}-set ")),
        }
    }
}

/// The path of a plugin's file as JSON can hold it.
fn path_of(entry: &Entry) -> Option<Cow<'_, str>> {
    entry.path.as_deref().map(Path::to_string_lossy)
}

/// Prints the external dependencies of a plugin and whether they are installed; nothing where it has none.
fn show_setup(entry: &Entry) -> Result<()> {
    let Some(setup) = &entry.setup else { return Ok(()) };
    let (Ok(state) | Err(state)) = setup::state(setup);
    say_below(&format!("{:12} ", "setup"), &state)
}

/// Prints one line per option: how to set it, its default, its meaning and its values.
pub(super) fn show_options(options: &[OptionSchema], flag: &str) -> Result<()> {
    let set = |option: &OptionSchema| format!("{flag}{}={}", option.name, option.default);
    let width = options.iter().map(|option| set(option).chars().count()).max().unwrap_or(0);
    for option in options {
        let values = match &option.kind {
            OptionKind::Integer { min, max } => format!("{min}..={max}"),
            OptionKind::Number { min, max } => format!("{min}..={max}"),
            OptionKind::Boolean => "true, false".into(),
            OptionKind::Text { choices } if choices.is_empty() => "text".into(),
            OptionKind::Text { choices } => choices.join(", "),
        };
        say_row(&format!("{:width$}", set(option)), &format!("{} ({values})", option.help))?;
    }
    Ok(())
}
