use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::options::{pair, to_options};
use super::{print_json, say, target};
use crate::distill::Actor;
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;

/// Collect offline data: whole episodes that an agent plays, or that random actions make
///
/// `distill --objective gradient-matching --data FILE` learns from it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill rl nd-cartpole --out runs/expert\n  potstill collect runs/expert --episodes 200 \
                        --out expert.safetensors\n  potstill collect nd-cartpole --set n=2 --out random.safetensors"
)]
pub(super) struct Collect {
    /// An agent file, a dataset file, a run directory, or the id of an environment for random actions
    target: String,
    /// An option of the environment, where random actions are collected. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Whole episodes
    #[arg(long, default_value_t = 100)]
    episodes: usize,
    /// Take the most probable action instead of drawing from the policy
    #[arg(long)]
    greedy: bool,
    /// Seed of the learner that a dataset teaches, of episodes and actions
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the transitions
    #[arg(long, value_name = "FILE", default_value = "transitions.safetensors")]
    out: PathBuf,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

impl Collect {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.episodes == 0 {
            return Err(Error::usage("--episodes must be at least 1"));
        }
        let path = Path::new(&self.target);
        let actor = match path.exists() {
            true if !self.set.is_empty() => {
                return Err(Error::usage(
                    "--set is for random actions; an agent acts in the environment that it was taught for",
                ));
            }
            true => Actor::Agent(Box::new(target::agent(path, registry, self.seed, false)?)),
            false if self.greedy => {
                return Err(Error::usage("--greedy needs an agent: of random actions none is more probable"));
            }
            false => Actor::random(registry, &self.target, &to_options(&self.set))?,
        };
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let transitions = actor.collect(registry, self.episodes, acting, self.seed)?;
        transitions.save(&self.out)?;
        let returns: Vec<f64> = transitions.episodes().iter().map(|(_, r)| f64::from(*r)).collect();
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let best = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.json {
            return print_json(&json!({
                "data": self.out,
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
            "{} transitions of {} episodes of {} ({}): return {mean:.1}, best {best:.1}{}\ndata     {}",
            transitions.len(),
            returns.len(),
            transitions.info.environment.id,
            transitions.info.policy,
            super::eval::faults(transitions.info.faults),
            self.out.display()
        ))
    }
}
