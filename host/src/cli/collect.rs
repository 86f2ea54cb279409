//! `potstill collect`: writes transitions of whole episodes, for offline objectives.
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::options::{WrapperArguments, pair, to_options};
use super::output::{Force, Kind, Output};
use super::watch::{Meter, STOP, stop_on_interrupt};
use super::{print_json, say, say_named, target, tell};
use crate::distill::{Actor, Manner};
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::Transitions;

/// Collect offline data: whole episodes of an agent, or of random actions
///
/// `potstill distill --objective gradient-matching --data FILE` learns from the file.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill rl nd-cartpole --out runs/expert\n  potstill collect runs/expert --episodes 200 \
                        --out expert.safetensors\n  potstill collect nd-cartpole --set n=2 --out random.safetensors\n  potstill \
                        collect runs/expert --temperature 2 --noise 0.1 --out mixed.safetensors"
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
    /// Sample at this temperature: below 1 closer to the most probable action, above 1 more evenly. Standard deviations of
    /// continuous actions are multiplied by it
    #[arg(
        long,
        value_name = "T",
        default_value_t = 1.0,
        conflicts_with = "greedy",
        help_heading = "Episodes"
    )]
    temperature: f32,
    /// Replace an action with this probability by one that is uniformly random within its bounds
    #[arg(long, value_name = "P", default_value_t = 0.0, help_heading = "Episodes")]
    noise: f64,
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
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::usage(format!(
                "--temperature is {}; expected a number above 0 (--greedy takes the most probable action)",
                self.temperature
            )));
        }
        if !(0.0..=1.0).contains(&self.noise) {
            return Err(Error::usage(format!("--noise is {}; expected a probability, 0 to 1", self.noise)));
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
            false if self.greedy || self.temperature != 1.0 || self.noise != 0.0 => {
                let option = match (self.greedy, self.noise != 0.0) {
                    (true, _) => "--greedy",
                    (_, true) => "--noise",
                    _ => "--temperature",
                };
                return Err(Error::usage(format!(
                    "{option} needs an agent: random actions are all equally probable"
                )));
            }
            false => Actor::random(registry, &self.target, &to_options(&self.set), &self.wrappers.alone()?)?,
        };
        let out = Output::new(&self.out, Kind::Transitions, &self.force, &[path])?;
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let manner = Manner { acting, temperature: self.temperature, noise: self.noise };
        stop_on_interrupt("stopping without a file");
        let meter = Meter::new("episodes", self.episodes as u64, 0, self.json);
        let transitions =
            actor.collect(registry, self.episodes, manner, self.seed, &STOP, &|| meter.one_more());
        meter.finish();
        let transitions = transitions?;
        out.write(|path| transitions.save(path))?;
        summarize(&transitions, &self.out, self.json)
    }
}

/// Prints what transitions were written to `path`.
pub(super) fn summarize(transitions: &Transitions, path: &Path, json: bool) -> Result<()> {
    let info = &transitions.info;
    let returns: Vec<f64> = transitions.episodes().iter().map(|(_, r)| f64::from(*r)).collect();
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let best = returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let unused = transitions.unused();
    if json {
        return print_json(&json!({
            "data": path.to_string_lossy(),
            "environment": info.environment.id,
            "policy": info.policy,
            "transitions": transitions.len(),
            "episodes": returns.len(),
            "mean_return": mean,
            "best_return": best,
            "faults": info.faults,
            "unused_actions": unused,
        }));
    }
    say(&format!(
        "{} of {} of {} ({}): return {mean:.1}, best {best:.1}{}",
        counted(transitions.len(), "transition"),
        counted(returns.len(), "episode"),
        info.environment.id,
        info.policy,
        super::eval::faults(info.faults),
    ))?;
    if let [first, others @ ..] = &unused[..] {
        let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        tell(&format!(
            "note: action {first}{others} never occurs in the data, so that nothing can be learned about it"
        ));
    }
    say_named("data", 8, &path.display().to_string())
}
