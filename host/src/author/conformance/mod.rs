//! Does a plugin keep the contract, and what a learning algorithm takes for granted beyond it? `potstill plugin check`.
//!
//! What the host checks at every call ends a run with an error; here an author learns of it before anybody runs the
//! plugin, and of what no single call shows: episodes that depend on more than their seed, a snapshot that forgets
//! something, a gradient that is zero. After Gymnasium's `check_env` and clap-validator.
//!
//! - `description`, `environment`, `learner`, `objective`: the checks, those of every plugin first.
//! - `trajectory`: episodes that can be compared; `gradient`: derivatives that can be.
//! - `process`: a native plugin's checks, each in a process of its own.
//!
//! Each check makes its own instances, so that none spoils another.
mod description;
mod environment;
mod gradient;
mod learner;
mod objective;
pub mod process;
mod trajectory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use potstill_plugin_api::Role;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, did_you_mean};
use crate::plugin::{Environments, Registry};

/// The plugin that is checked.
pub struct Subject<'a> {
    /// Where it is found, with the built-in plugins that some checks need beside it.
    pub registry: &'a Registry,
    /// Its id.
    pub id: String,
    /// What it adds.
    pub role: Role,
    /// Options that are not at their defaults.
    pub settings: Vec<(String, String)>,
}

impl Subject<'_> {
    fn environments(&self, count: usize) -> Result<Box<dyn Environments>> {
        self.registry.make_environments(&self.id, &self.settings, count)
    }

    /// What it refused something in, without its name, which the report's head says.
    fn words<'a>(&self, error: &'a str) -> &'a str {
        error.strip_prefix(&format!("plugin `{}`: ", self.id)).unwrap_or(error)
    }

    /// The settings with `name` at `value`.
    fn with(&self, name: &str, value: String) -> Vec<(String, String)> {
        let others = self.settings.iter().filter(|(known, _)| known != name).cloned();
        others.chain([(name.to_owned(), value)]).collect()
    }
}

/// Something that is looked at, by itself.
pub struct Check {
    /// What `--only` takes.
    pub name: &'static str,
    /// What holds when it passes, in a few words.
    pub about: &'static str,
    run: fn(&Subject<'_>) -> Outcome,
}

/// What a check found that is worth knowing and no fault, or why it did not pass.
type Outcome = Result<Vec<String>, Stop>;

/// Why a check did not pass.
enum Stop {
    Failed(String),
    /// The plugin does not have what would be checked.
    Skipped(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

impl From<crate::graph::GraphError> for Stop {
    fn from(error: crate::graph::GraphError) -> Self {
        Stop::Failed(error.to_string())
    }
}

fn failed<T>(cause: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(cause.into()))
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// There was nothing to check.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it failed or was skipped.
    pub cause: Option<String>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// The findings about one plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The plugin's id; empty when that is not known.
    pub id: String,
    /// What it adds, unless that is not known.
    pub role: Option<Role>,
    /// What carries its code.
    pub loader: String,
    /// Where it lies; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many checks ended with `verdict`.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

/// The checks for plugins of `role`, in their order.
pub fn checks(role: Role) -> Vec<&'static Check> {
    let own = match role {
        Role::Environment => environment::CHECKS,
        Role::Learner => learner::CHECKS,
        Role::Objective => objective::CHECKS,
    };
    description::CHECKS.iter().chain(own).collect()
}

/// Those of them that `only` names, all when it names none.
///
/// # Errors
/// [`Error::Usage`]: there is no such check for this role.
pub fn select(role: Role, only: &[String]) -> Result<Vec<&'static Check>> {
    let all = checks(role);
    if let Some(name) = only.iter().find(|name| !all.iter().any(|check| check.name == **name)) {
        let known = did_you_mean(name, all.iter().map(|check| check.name));
        return Err(Error::usage(format!("{role} plugins have no check `{name}`.{known}")));
    }
    Ok(all.into_iter().filter(|c| only.is_empty() || only.iter().any(|name| name == c.name)).collect())
}

/// The check whether a plugin can be opened at all: without it there are no others.
pub const FIRST: &str = "description";

impl Check {
    /// Runs this check.
    pub fn run(&self, subject: &Subject<'_>) -> Finding {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(subject)));
        let (verdict, cause, notes) = match outcome {
            Ok(Ok(notes)) => (Verdict::Passed, None, notes),
            Ok(Err(Stop::Failed(cause))) => (Verdict::Failed, Some(cause), vec![]),
            Ok(Err(Stop::Skipped(cause))) => (Verdict::Skipped, Some(cause), vec![]),
            // The panic's hook has said where.
            Err(_) => (Verdict::Failed, Some("internal fault of potstill".into()), vec![]),
        };
        self.finding(verdict, cause, notes, started)
    }

    fn finding(
        &self,
        verdict: Verdict,
        cause: Option<String>,
        notes: Vec<String>,
        started: Instant,
    ) -> Finding {
        let seconds = started.elapsed().as_secs_f64();
        Finding { name: self.name.into(), about: self.about.into(), verdict, cause, notes, seconds }
    }
}

/// The finding about a plugin that was found and cannot be used.
pub fn rejected(reason: &str) -> Finding {
    let check = &description::CHECKS[0];
    check.finding(Verdict::Failed, Some(reason.to_owned()), vec![], Instant::now())
}
