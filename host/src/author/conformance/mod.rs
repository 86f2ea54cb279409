//! `potstill plugin check`: checks whether a plugin keeps the contract, and what else learning algorithms rely on.
//!
//! What the host checks at every call ends a run with an error. These checks tell an author about it before anybody
//! runs the plugin. They also find what no single call shows: episodes that depend on more than their seed, a snapshot
//! that loses something, or a gradient that is zero. They are modeled on Gymnasium's `check_env` and on clap-validator.
//!
//! - `description`: the checks for every plugin; `environment`, `learner`, `objective`: those for each role.
//! - `trajectory`: episodes that can be compared; `gradient`: derivatives that can be compared.
//! - `process`: runs each check of a native plugin in a separate process.
//!
//! Each check makes its own instances, so that no check affects another.
mod description;
mod environment;
mod gradient;
mod learner;
mod objective;
pub mod process;
mod trajectory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use potstill_plugin_api::Role;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, did_you_mean};
use crate::plugin::{Environments, Registry};

/// The plugin that is checked.
pub struct Subject<'a> {
    /// The registry that contains it, and the built-in plugins that some checks need too.
    pub registry: &'a Registry,
    /// Its id.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// The options that are not at their defaults.
    pub settings: Vec<(String, String)>,
}

impl Subject<'_> {
    fn environments(&self, count: usize) -> Result<Box<dyn Environments>> {
        self.registry.make_environments(&self.id, &self.settings, count)
    }

    /// The message of `error` without the plugin's name, which the head of the report shows.
    fn words<'a>(&self, error: &'a str) -> &'a str {
        error.strip_prefix(&format!("plugin `{}`: ", self.id)).unwrap_or(error)
    }

    /// The settings, with the option `name` set to `value`.
    fn with(&self, name: &str, value: String) -> Vec<(String, String)> {
        let others = self.settings.iter().filter(|(known, _)| known != name).cloned();
        others.chain([(name.to_owned(), value)]).collect()
    }
}

/// One check, which is independent of the others.
pub struct Check {
    /// The name that `--only` takes.
    pub name: &'static str,
    /// What is true of a plugin that passes, in a few words.
    pub about: &'static str,
    run: fn(&Subject<'_>) -> Outcome,
}

/// The result of a check: notes that are worth knowing but not faults, or why it did not pass.
type Outcome = Result<Vec<String>, Stop>;

/// Why a check did not pass.
enum Stop {
    Failed(String),
    /// The plugin does not have what the check is about.
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
    /// The plugin passed.
    Passed,
    /// The plugin failed.
    Failed,
    /// There was nothing to check.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// What the check is about.
    pub about: String,
    /// How the check ended.
    pub verdict: Verdict,
    /// Why the check failed or was skipped.
    pub cause: Option<String>,
    /// Notes that are worth knowing but not faults.
    pub notes: Vec<String>,
    /// How long the check took, in seconds.
    pub seconds: f64,
}

/// The findings about one plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The plugin's id; empty if it is not known.
    pub id: String,
    /// The plugin's role, if it is known.
    pub role: Option<Role>,
    /// The form of the plugin's code, which decides its loader.
    pub loader: String,
    /// The path of the plugin, as it is shown; `None` for a built-in.
    pub path: Option<String>,
    /// The findings, in the order of the checks.
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

/// The checks for plugins of `role` that `only` names; all if it is empty.
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

/// The name of the check that opens a plugin. If it fails, no other check can run.
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
            // The panic hook has already printed where it happened.
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

/// The finding about a plugin that was found but cannot be used.
pub fn rejected(reason: &str) -> Finding {
    let check = &description::CHECKS[0];
    check.finding(Verdict::Failed, Some(reason.to_owned()), vec![], Instant::now())
}
