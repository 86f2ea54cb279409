//! `potstill baseline`: what policies score that do not look.
use clap::Args;
use serde_json::json;

use super::eval::faults;
use super::options::{WrapperArguments, pair, threads, to_options};
use super::watch::Meter;
use super::{print_json, say};
use crate::distill::{Baselining, Effort};
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::Baseline as Row;

/// Score policies that do not look: random actions, constant actions, the best distribution of actions
///
/// A score that is no better than these does not need sight. The distribution of actions is searched for by the
/// cross-entropy method, and scored on other episodes. Continuous actions are random within their bounds, or zero.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill baseline nd-cartpole\n  potstill baseline nd-cartpole --set n=2 --episodes 50 --json"
)]
pub(super) struct Baseline {
    /// The environment's id, e.g. nd-cartpole (the newest version) or nd-cartpole-v1
    environment: String,
    /// Set an option of the environment, e.g. n=2. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Environment")]
    set: Vec<(String, String)>,
    #[command(flatten)]
    wrappers: WrapperArguments,
    /// Episodes of each constant action and of each candidate of the search; the other rows have twice as many
    #[arg(long, default_value_t = 10, help_heading = "Protocol")]
    episodes: usize,
    /// Generations of the search for the best distribution of discrete actions; 0 leaves it out
    #[arg(long, default_value_t = 10, help_heading = "Protocol")]
    generations: usize,
    /// Seed of the episodes, the actions and the search
    #[arg(long, default_value_t = 0, help_heading = "Protocol")]
    seed: u64,
    /// CPU threads; 0 uses every core. Results do not depend on it
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    threads: usize,
    /// Print only the result, as JSON
    #[arg(long)]
    json: bool,
}

impl Baseline {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.episodes == 0 {
            return Err(Error::usage("--episodes must be at least 1"));
        }
        let wrappers = self.wrappers.alone()?;
        let effort = Effort { episodes: self.episodes, generations: self.generations, seed: self.seed };
        let baselines =
            Baselining::new(registry, &self.environment, &to_options(&self.set), &wrappers, effort)?;
        let threads = threads(self.threads)?;
        let meter = Meter::new("policies", baselines.policies() as u64, 0, self.json);
        let rows = baselines.play(threads, &|| meter.one_more());
        meter.finish();
        let rows = rows?;
        let search = baselines.search().map(|search| {
            json!({
                "method": "cross-entropy",
                "generations": search.generations,
                "candidates": search.candidates,
                "elite": search.elite,
                "episodes": search.episodes,
            })
        });
        if self.json {
            let environment = baselines.environment();
            return print_json(&json!({
                "environment": environment.id,
                "settings": environment.settings,
                "wrappers": environment.wrappers,
                "seed": self.seed,
                "search": search,
                "baselines": rows,
                "notes": baselines.notes(),
            }));
        }
        self.show(&rows)?;
        if let (Some(search), Some(row)) =
            (baselines.search(), rows.iter().find_map(|row| row.probabilities.as_ref()))
        {
            say(&format!(
                "best distribution: {}; found by the cross-entropy method in {} of {} × {}, scored on others",
                probable(row, &baselines.actions()),
                counted(search.generations, "generation"),
                counted(search.candidates, "candidate"),
                counted(search.episodes, "episode"),
            ))?;
        }
        baselines.notes().iter().try_for_each(|note| say(note))
    }

    /// Prints the table.
    fn show(&self, rows: &[Row]) -> Result<()> {
        let cells = |row: &Row| {
            let tally = &row.tally;
            [
                row.policy.clone(),
                format!("{:.1}", tally.mean_return),
                format!("{:.1}", tally.std_return),
                tally.episodes.to_string(),
                format!("{:.1}", tally.mean_length),
            ]
        };
        let width = |column: usize, least: usize| {
            rows.iter().map(|row| cells(row)[column].chars().count()).fold(least, usize::max)
        };
        let [policy, mean, std, episodes, length] =
            [width(0, 6), width(1, 0), width(2, 0), width(3, 8), width(4, 11)];
        // "return" stands above the mean, which may be narrower.
        let both = (mean + std + 3).max(6);
        say(&format!(
            "{:policy$}  {:both$}  {:>episodes$}  {:>length$}",
            "policy", "return", "episodes", "mean length"
        ))?;
        rows.iter().try_for_each(|row| {
            let [name, of_mean, of_std, of_episodes, of_length] = cells(row);
            let returns = format!("{of_mean:>mean$} ± {of_std}");
            let faults = faults(row.tally.faults);
            say(&format!(
                "{name:policy$}  {returns:both$}  {of_episodes:>episodes$}  {of_length:>length$}{faults}"
            ))
        })
    }
}

/// The probable actions of a distribution, the most probable first.
fn probable(probabilities: &[f64], names: &[&str]) -> String {
    let mut all: Vec<(&f64, &&str)> = probabilities.iter().zip(names).filter(|(p, _)| **p >= 0.005).collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    all.iter().map(|(p, name)| format!("{p:.2} {name}")).collect::<Vec<_>>().join(", ")
}
