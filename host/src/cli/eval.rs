//! `potstill eval`: k-shot evaluation of a dataset.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::options::{LearnerArguments, threads};
use super::{print_json, say, target, watch};
use crate::engine::evaluate::{Protocol, Score};
use crate::engine::policy::Acting;
use crate::error::{Error, Result};
use crate::plugin::Registry;

/// Score a dataset: fresh learners take one gradient step each and play whole episodes
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill eval runs/five\n  potstill eval runs/five/dataset.safetensors --greedy --json\n  \
                        potstill eval runs/five --learner-set width=32-256"
)]
pub(super) struct Eval {
    /// A dataset file or a run directory
    pub(super) target: PathBuf,
    /// Take the most probable action instead of sampling
    #[arg(long, help_heading = "Protocol")]
    greedy: bool,
    /// Number of fresh learners
    #[arg(long, default_value_t = 100, help_heading = "Protocol")]
    learners: usize,
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
        if self.learners == 0 || self.episodes == 0 {
            return Err(Error::usage("--learners and --episodes must be at least 1"));
        }
        let dataset = target::dataset(&self.target)?;
        let learner = self.learner.instead_of(&dataset.info.learner, registry)?;
        let teacher = target::teacher(&self.target, &dataset, registry, learner)?;
        let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
        let protocol = Protocol { acting, learners: self.learners, episodes: self.episodes, seed: self.seed };
        let bar = watch::learners(self.learners, self.json);
        let score = teacher.score(&protocol, threads(self.threads)?, &|| {
            bar.inc(1);
            Ok(())
        });
        bar.finish_and_clear();
        let score = score?;
        if self.json {
            let mut value = json!(score);
            value["environment"] = json!(dataset.info.environment.id);
            value["settings"] = json!(dataset.info.environment.settings);
            value["k"] = json!(dataset.k());
            return print_json(&value);
        }
        say(&line(&score))
    }
}

/// Formats a score and its protocol in one line.
pub(super) fn line(score: &Score) -> String {
    let Protocol { acting, learners, episodes, seed } = score.protocol;
    format!(
        "{acting:7} return {:.1} ± {:.1} (worst learner {:.1}; {learners} learners × {episodes} episodes, seed {seed}){}",
        score.mean_return,
        score.std_return,
        score.min_learner,
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
