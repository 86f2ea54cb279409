use std::path::{Path, PathBuf};
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
    /// Run native code in this process
    #[arg(long, hide = true)]
    here: bool,
}

impl Check {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let path = Path::new(&self.plugin);
        let report = if !path.exists() {
            let role = registry.role_of(&self.plugin).unwrap_or(Role::Environment);
            self.check(registry, registry.find(role, &self.plugin)?)?
        } else if crate::plugin::is_library(path) && !self.here {
            self.in_processes(path)?
        } else {
            // As one that is searched for: why it cannot be used is a finding.
            let registry = Registry::of(&[], &[path.to_owned()])?;
            self.check(&registry, single(path, &registry)?)?
        };
        self.show(&report)?;
        match report.count(Verdict::Failed) {
            0 => Ok(()),
            failed => Err(Error::Failed(format!("{failed} of {} checks failed", report.findings.len()))),
        }
    }

    fn check(&self, registry: &Registry, entry: &Entry) -> Result<Report> {
        let id = entry.id.as_ref().map(ToString::to_string).unwrap_or_default();
        if let (Loader::Native, false, Some(path)) = (entry.loader, self.here, &entry.path) {
            return self.in_processes(path);
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
        Ok(Report { id, role: entry.role, loader, path, findings })
    }

    fn in_processes(&self, library: &Path) -> Result<Report> {
        let program = std::env::current_exe().at("this program")?;
        let longest = Duration::from_secs(self.timeout.into());
        process::check(library, &self.only, longest, || {
            let mut command = Command::new(&program);
            command.args(["plugin", "check", "--json", "--here"]);
            for (name, value) in &self.set {
                command.arg("--set").arg(format!("{name}={value}"));
            }
            command.arg(library);
            command
        })
    }

    fn show(&self, report: &Report) -> Result<()> {
        let counted =
            [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|verdict| report.count(verdict));
        if self.json {
            let mut value = serde_json::to_value(report).map_err(|e| Error::usage(format!("JSON: {e}")))?;
            for (name, count) in ["passed", "failed", "skipped"].into_iter().zip(counted) {
                value[name] = json!(count);
            }
            return print_json(&value);
        }
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
        let [passed, failed, skipped] = counted;
        let seconds: f64 = report.findings.iter().map(|finding| finding.seconds).sum();
        say(&format!("{passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s"))
    }
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

/// The one plugin at `path`.
fn single<'a>(path: &Path, registry: &'a Registry) -> Result<&'a Entry> {
    let found: Vec<&Entry> = registry.entries().iter().filter(|entry| entry.path.is_some()).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(Error::usage(format!("{}: holds no `plugin.toml` and no plugin", path.display()))),
        _ => {
            let paths: Vec<String> = found
                .iter()
                .filter_map(|e| e.path.as_ref())
                .map(|p: &PathBuf| p.display().to_string())
                .collect();
            Err(Error::usage(format!(
                "{}: several plugins; name one of {}",
                path.display(),
                paths.join(", ")
            )))
        }
    }
}
