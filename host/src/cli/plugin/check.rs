use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use potstill_plugin_api::Role;
use serde_json::json;

use crate::author::conformance::{Finding, Report, Subject, Verdict, process, rejected, select};
use crate::cli::options::pair;
use crate::cli::{print_json, say};
use crate::error::{Error, IoContext, Result};
use crate::plugin::{Entry, Loader, Registry, resolve};

/// Check that a plugin keeps the contract, and what learning takes for granted
///
/// Each check runs by itself; those of a native plugin each in a process of their own. Exit status 0: all passed; 1: a
/// check failed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill plugin check walk\n  potstill plugin check nd-cartpole --set n=3 --only determinism"
)]
pub(in crate::cli) struct Check {
    /// A plugin's folder or file, or its id
    #[arg(value_name = "PATH|ID")]
    plugin: String,
    /// Run only this check. May be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// An option of the plugin. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Seconds that one check of native code may take (the sandbox has limits of its own)
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u32,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Run native code in this process, and print a list of reports
    #[arg(long, hide = true)]
    here: bool,
    /// Of several plugins, check this one
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
            // As one that is searched for: why it cannot be used is a finding.
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
            (None, None) => vec![rejected("it says nothing of its role")],
            (Some(role), None) => {
                let subject = Subject { registry, id: id.clone(), role, settings: self.set.clone() };
                // A typing mistake is the user's, not the plugin's.
                if let Ok(options) = registry.options(role, &subject.id) {
                    resolve(&subject.id, &options, &self.set)?;
                }
                select(role, &self.only)?.into_iter().map(|check| check.run(&subject)).collect()
            }
        };
        let (loader, path) = (entry.loader.to_string(), entry.path.clone());
        Ok(vec![Report { id, role: entry.role, loader, path, findings }])
    }

    /// Checks the plugins of a library, or only the one with this id.
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

    /// As JSON, one report is printed as it is, several as a list.
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

/// How many checks passed, failed and were skipped.
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
    let path = report.path.as_ref().map_or("inside potstill".into(), |path| path.display().to_string());
    say(&format!("{} ({} {role}, {path})", report.id, report.loader))?;
    for finding in &report.findings {
        say(&line(finding))?;
        let notes = finding.notes.iter().map(|note| format!("note: {note}"));
        for text in finding.cause.iter().cloned().chain(notes) {
            say(&format!("{INDENT}{}", text.replace('\n', &format!("\n{INDENT}"))))?;
        }
    }
    let [passed, failed, skipped] = counts(report);
    let seconds: f64 = report.findings.iter().map(|finding| finding.seconds).sum();
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s"))
}

/// As wide as a line's mark and name.
const INDENT: &str = "                    ";

/// The line of a check; what it found follows, indented.
fn line(finding: &Finding) -> String {
    let mark = match finding.verdict {
        Verdict::Passed => "✓",
        Verdict::Failed => "✗",
        Verdict::Skipped => "-",
    };
    let skipped = if finding.verdict == Verdict::Skipped { " (skipped)" } else { "" };
    format!("{mark} {:<17} {}{skipped}", finding.name, finding.about)
}

/// The plugins of the one file at `path`.
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
