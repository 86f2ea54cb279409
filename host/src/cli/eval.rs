//! `potstill eval`: k-shot evaluation of a dataset, or the score of one agent.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::options::{LearnerArguments, threads};
use super::watch::Meter;
use super::{print_json, say, target};
use crate::distill::Agent;
use crate::engine::evaluate::{Protocol, Score};
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{AgentOrDataset, DatasetEnvironment};

/// Score a dataset: fresh learners take one gradient step each and play whole episodes
///
/// An agent file is scored on the episodes that its one agent plays.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill eval runs/five\n  potstill eval runs/five/dataset.safetensors --greedy --json\n  \
                        potstill eval runs/five --learner-set width=32-256\n  potstill eval agent.safetensors"
)]
pub(super) struct Eval {
    /// A dataset file, a run directory or an agent file
    pub(super) target: PathBuf,
    /// Take the most probable action instead of sampling
    #[arg(long, help_heading = "Protocol")]
    greedy: bool,
    /// Number of fresh learners [default: 100]
    #[arg(long, help_heading = "Protocol")]
    learners: Option<usize>,
    /// Episodes that each learner plays
    #[arg(long, default_value_t = 100, help_heading = "Protocol")]
    episodes: usize,
    /// Seed of the learners, the episodes and the actions
    #[arg(long, default_value_t = 0, help_heading = "Protocol")]
    seed: u64,
    #[command(flatten)]
    learner: LearnerArguments,
    /// CPU threads; 0 uses every core. Results do not depend on it
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    threads: usize,
    /// Print only the score, as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.learners == Some(0) || self.episodes == 0 {
            return Err(Error::usage("--learners and --episodes must be at least 1"));
        }
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let learners = self.learners.unwrap_or(100);
        let protocol = Protocol { acting, learners, episodes: self.episodes, seed: self.seed };
        let dataset = match target::load(&self.target)? {
            AgentOrDataset::Dataset(dataset) => dataset,
            AgentOrDataset::Agent(file) => {
                let agent = target::of_file(&self.target, file, registry)?;
                return self.agent(&agent, registry, protocol);
            }
        };
        let learner = self.learner.instead_of(&dataset.info.learner, registry)?;
        let teacher = target::teacher(&self.target, &dataset, registry, learner)?;
        let meter = Meter::new("learners", learners as u64, 0, self.json);
        let score = teacher.score(&protocol, threads(self.threads)?, &|| {
            meter.one_more();
            Ok(())
        });
        meter.finish();
        let score = score?;
        if self.json {
            let mut value = Self::value(&score, &dataset.info.environment);
            value["k"] = json!(dataset.k());
            return print_json(&value);
        }
        say(&line(&score))
    }

    fn agent(&self, agent: &Agent, registry: &Registry, protocol: Protocol) -> Result<()> {
        if self.learners.is_some() || self.learner != LearnerArguments::default() {
            return Err(Error::usage(
                "--learners, --learner and --learner-set are for datasets: an agent file holds one trained agent",
            ));
        }
        let score = agent.score(registry, &protocol)?;
        if self.json {
            return print_json(&Self::value(&score, agent.environment()));
        }
        let episodes = counted(self.episodes, "episode");
        say(&format!("{} ({episodes}, seed {}){}", returns(&score), self.seed, faults(score.faults)))
    }

    fn value(score: &Score, environment: &DatasetEnvironment) -> serde_json::Value {
        let mut value = json!(score);
        value["environment"] = json!(environment.id);
        value["settings"] = json!(environment.settings);
        value
    }
}

fn returns(score: &Score) -> String {
    format!("{:7} return {:.1} ± {:.1}", score.protocol.acting, score.mean_return, score.std_return)
}

/// Formats a score and its protocol in one line.
pub(super) fn line(score: &Score) -> String {
    let Protocol { learners, episodes, seed, .. } = score.protocol;
    format!(
        "{} (worst learner {:.1}; {} × {}, seed {seed}){}",
        returns(score),
        score.min_learner,
        counted(learners, "learner"),
        counted(episodes, "episode"),
        faults(score.faults)
    )
}

/// Says how many episodes ended because their simulation failed; nothing if none did.
pub(super) fn faults(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 episode ended because its simulation failed".into(),
        n => format!("; {n} episodes ended because their simulation failed"),
    }
}
