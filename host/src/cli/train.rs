use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::options::LearnerArguments;
use super::{print_json, say, target};
use crate::distill::Teacher;
use crate::error::Result;
use crate::plugin::Registry;

/// Train one agent: initialise it, and take one gradient step on the dataset
#[derive(Args)]
#[command(after_help = "Example:\n  potstill train runs/five --seed 3 --out agent.safetensors")]
pub(super) struct Train {
    /// A dataset file or a run directory
    target: PathBuf,
    /// Where to write the agent
    #[arg(long, value_name = "FILE", default_value = "agent.safetensors")]
    out: PathBuf,
    /// Seed of the initialisation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    learner: LearnerArguments,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

impl Train {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let dataset = target::dataset(&self.target)?;
        let learner = self.learner.instead_of(&dataset.info.learner, registry)?;
        let agent = Teacher::of_dataset(&dataset, registry, learner)?.train(self.seed)?;
        agent.to_file().save(&self.out)?;
        let milliseconds = agent.time.as_secs_f64() * 1e3;
        if self.json {
            return print_json(
                &json!({ "agent": self.out, "milliseconds": milliseconds, "seed": self.seed }),
            );
        }
        say(&format!(
            "one gradient step on {} instances: {milliseconds:.2} ms (initialisation included)\nagent    {}",
            dataset.k(),
            self.out.display()
        ))
    }
}
