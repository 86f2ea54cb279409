//! `potstill collect`: writes transitions of whole episodes, for offline objectives.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::options::{WrapperArguments, pair, to_options};
use super::output::{Force, Kind, Output};
use super::watch::Meter;
use super::{print_json, say, say_named, target};
use crate::distill::Actor;
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{DistillConfig, EnvironmentConfig};

/// Collect offline data: whole episodes of an agent, or of random actions
///
/// `potstill distill --objective gradient-matching --data FILE` learns from the file.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill rl nd-cartpole --out runs/expert\n  potstill collect runs/expert --episodes 200 \
                        --out expert.safetensors\n  potstill collect nd-cartpole --set n=2 --out random.safetensors"
)]
pub(super) struct Collect {
    /// An agent file, a dataset file, a run directory, or the id of an environment for random actions
    pub(super) target: String,
    /// Set an option of the environment, for random actions. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Environment")]
    set: Vec<(String, String)>,
    #[command(flatten)]
    wrappers: WrapperArguments,
    /// Number of episodes
    #[arg(long, default_value_t = 100, help_heading = "Episodes")]
    episodes: usize,
    /// Take the most probable action instead of sampling
    #[arg(long, help_heading = "Episodes")]
    greedy: bool,
    /// Seed of the episodes, the actions and, for a dataset, the learner that it teaches
    #[arg(long, default_value_t = 0, help_heading = "Episodes")]
    seed: u64,
    /// The file to write the transitions to
    #[arg(long, value_name = "FILE", default_value = "transitions.safetensors", help_heading = "Output")]
    out: PathBuf,
    #[command(flatten)]
    force: Force,
    /// Print only the result, as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Collect {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.episodes == 0 {
            return Err(Error::usage("--episodes must be at least 1"));
        }
        let path = Path::new(&self.target);
        let actor = match path.exists() {
            true if !self.set.is_empty() || self.wrappers.any() => {
                let what = if self.set.is_empty() { "a wrapper" } else { "--set" };
                return Err(Error::usage(format!(
                    "{what} is for random actions: an agent acts in the environment that it was trained for"
                )));
            }
            true => Actor::Agent(Box::new(target::agent(path, registry, self.seed, false)?)),
            false if self.greedy => {
                return Err(Error::usage("--greedy needs an agent: random actions are all equally probable"));
            }
            false => {
                let mut environment = EnvironmentConfig::default();
                self.wrappers.apply(&mut environment);
                let config = DistillConfig { environment, ..DistillConfig::default() };
                config.validate().map_err(Error::Usage)?;
                let wrappers = config.environment.wrappers();
                Actor::random(registry, &self.target, &to_options(&self.set), &wrappers)?
            }
        };
        let out = Output::new(&self.out, Kind::Transitions, &self.force, &[path])?;
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let meter = Meter::new("episodes", self.episodes as u64, 0, self.json);
        let transitions = actor.collect(registry, self.episodes, acting, self.seed, &|| meter.one_more());
        meter.finish();
        let transitions = transitions?;
        out.write(|path| transitions.save(path))?;
        let returns: Vec<f64> = transitions.episodes().iter().map(|(_, r)| f64::from(*r)).collect();
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let best = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.json {
            return print_json(&json!({
                "data": self.out.to_string_lossy(),
                "environment": transitions.info.environment.id,
                "policy": transitions.info.policy,
                "transitions": transitions.len(),
                "episodes": returns.len(),
                "mean_return": mean,
                "best_return": best,
                "faults": transitions.info.faults,
            }));
        }
        say(&format!(
            "{} of {} of {} ({}): return {mean:.1}, best {best:.1}{}",
            counted(transitions.len(), "transition"),
            counted(returns.len(), "episode"),
            transitions.info.environment.id,
            transitions.info.policy,
            super::eval::faults(transitions.info.faults),
        ))?;
        say_named("data", 8, &self.out.display().to_string())
    }
}
