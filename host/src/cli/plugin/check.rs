//! `potstill plugin check`: runs the conformance checks on a plugin.
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use potstill_plugin_api::Role;
use serde_json::json;

use crate::author::conformance::{Finding, Report, Subject, Verdict, process, rejected, select};
use crate::cli::options::pair;
use crate::cli::{print_json, say, say_below};
use crate::error::{Error, IoContext, Result};
use crate::plugin::{Entry, Loader, Registry, resolve};

/// Check that a plugin keeps the contract and the assumptions of training
///
/// The checks are independent; each check of a native plugin runs in its own process. The exit status is 0 if all
/// checks passed and 1 if one failed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin check walk\n  potstill plugin check nd-cartpole --set n=3 --only determinism"
)]
pub(in crate::cli) struct Check {
    /// The plugin's folder, file or id
    #[arg(value_name = "PATH|ID")]
    plugin: String,
    /// Run only this check. Repeatable
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Set an option of the plugin. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Stop a check of native code after this many seconds (the sandbox has its own limits)
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u32,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Run native code in this process, and print a list of reports
    #[arg(long, hide = true)]
    here: bool,
    /// Check only this one of the library's plugins
    #[arg(long, hide = true)]
    id: Option<String>,
}

impl Check {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let path = Path::new(&self.plugin);
        let reports = if !path.exists() {
            let role = registry.role_of(&self.plugin).unwrap_or(Role::Environment);
            self.check(registry, registry.find(role, &self.plugin)?)?
        } else if crate::plugin::is_library(path) && !self.here {
            self.in_processes(path, None)?
        } else {
            // Searched for, not named: then the reason why it cannot be used becomes a finding.
            let registry = Registry::of(&[], &[path.to_owned()])?;
            let entries = of_one_file(path, &registry)?.into_iter().filter(|entry| self.is_asked_for(entry));
            let reports = entries.map(|entry| self.check(&registry, entry)).collect::<Result<Vec<_>>>()?;
            reports.concat()
        };
        self.show(&reports)?;
        let failed: usize = reports.iter().map(|report| report.count(Verdict::Failed)).sum();
        let all: usize = reports.iter().map(|report| report.findings.len()).sum();
        if failed > 0 { Err(Error::Failed(format!("{failed} of {all} checks failed"))) } else { Ok(()) }
    }

    fn is_asked_for(&self, entry: &Entry) -> bool {
        let asked = |id: &String| entry.id.as_ref().is_some_and(|known| known.to_string() == *id);
        self.id.as_ref().is_none_or(asked)
    }

    fn check(&self, registry: &Registry, entry: &Entry) -> Result<Vec<Report>> {
        let id = entry.id.as_ref().map(ToString::to_string).unwrap_or_default();
        if let (Loader::Native, false, Some(path)) = (entry.loader, self.here, &entry.path)
            && path.exists()
        {
            return self.in_processes(path, Some(&id).filter(|id| !id.is_empty()));
        }
        let findings = match (entry.role, &entry.rejected) {
            (_, Some(reason)) => vec![rejected(reason)],
            (None, None) => vec![rejected("it does not say which role it has")],
            (Some(role), None) => {
                let subject = Subject { registry, id: id.clone(), role, settings: self.set.clone() };
                // A wrong option is the user's mistake and no finding about the plugin.
                if let Ok(options) = registry.options(role, &subject.id) {
                    resolve(&subject.id, &options, &self.set)?;
                }
                select(role, &self.only)?.into_iter().map(|check| check.run(&subject)).collect()
            }
        };
        let path = entry.path.as_ref().map(|path| path.display().to_string());
        let loader = entry.loader.to_string();
        Ok(vec![Report { id, role: entry.role, loader, path, findings }])
    }

    /// Checks every plugin of a library, or only the one with this id, each check in its own process.
    fn in_processes(&self, library: &Path, id: Option<&String>) -> Result<Vec<Report>> {
        let program = std::env::current_exe().at("this program")?;
        let longest = Duration::from_secs(self.timeout.into());
        process::check(library, &self.only, longest, |one| {
            let mut command = Command::new(&program);
            command.args(["plugin", "check", "--json", "--here"]);
            for (name, value) in &self.set {
                command.arg("--set").arg(format!("{name}={value}"));
            }
            if let Some(id) = one.or(id.map(String::as_str)) {
                command.args(["--id", id]);
            }
            command.arg(library);
            command
        })
    }

    /// Prints the reports. As JSON, one report is an object and several are a list.
    fn show(&self, reports: &[Report]) -> Result<()> {
        if !self.json {
            return reports.iter().try_for_each(lines);
        }
        let values = reports.iter().map(value).collect::<Result<Vec<_>>>()?;
        match &values[..] {
            [one] if !self.here => print_json(one),
            several => print_json(&several),
        }
    }
}

/// The numbers of checks that passed, failed and were skipped.
fn counts(report: &Report) -> [usize; 3] {
    [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|verdict| report.count(verdict))
}

fn value(report: &Report) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(report).map_err(|e| Error::usage(format!("JSON: {e}")))?;
    for (name, count) in ["passed", "failed", "skipped"].into_iter().zip(counts(report)) {
        value[name] = json!(count);
    }
    Ok(value)
}

fn lines(report: &Report) -> Result<()> {
    let role = report.role.map_or("plugin".into(), |role| role.to_string());
    let path = report.path.as_deref().unwrap_or("inside potstill");
    say(&format!("{} ({} {role}, {path})", report.id, report.loader))?;
    for finding in &report.findings {
        say(&line(finding))?;
        let notes = finding.notes.iter().map(|note| format!("note: {note}"));
        for text in finding.cause.iter().cloned().chain(notes) {
            say_below(INDENT, &text)?;
        }
    }
    let [passed, failed, skipped] = counts(report);
    let seconds: f64 = report.findings.iter().map(|finding| finding.seconds).sum();
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s"))
}

/// As wide as the mark and the name at the start of a check's line.
const INDENT: &str = "                    ";

/// The line of a check. Its cause and notes follow, indented.
fn line(finding: &Finding) -> String {
    let mark = match finding.verdict {
        Verdict::Passed => "✓",
        Verdict::Failed => "✗",
        Verdict::Skipped => "-",
    };
    let skipped = if finding.verdict == Verdict::Skipped { " (skipped)" } else { "" };
    format!("{mark} {:<17} {}{skipped}", finding.name, finding.about)
}

/// The plugins at `path`, which must all be in one file.
fn of_one_file<'a>(path: &Path, registry: &'a Registry) -> Result<Vec<&'a Entry>> {
    let found: Vec<&Entry> = registry.entries().iter().filter(|entry| entry.path.is_some()).collect();
    match found[..] {
        [] => Err(Error::usage(format!("{}: holds no `plugin.toml` and no plugin", path.display()))),
        [first, ref others @ ..] if others.iter().all(|other| other.path == first.path) => Ok(found),
        _ => {
            let paths: BTreeSet<&Path> = found.iter().filter_map(|entry| entry.path.as_deref()).collect();
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            Err(Error::usage(format!(
                "{}: several plugins; name one of {}",
                path.display(),
                paths.join(", ")
            )))
        }
    }
}
