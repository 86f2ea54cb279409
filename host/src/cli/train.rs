//! `potstill train`: trains one agent on a dataset, with one gradient step or as many as the dataset says.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::options::LearnerArguments;
use super::output::{Force, Kind, Output};
use super::{print_json, say, say_named, target};
use crate::error::Result;
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::Dataset;

/// Train one agent: initialize a learner and take the dataset's inner steps, by default one
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill train runs/five\n  potstill train runs/five --seed 3 --out agent.safetensors"
)]
pub(super) struct Train {
    /// A dataset file or a run directory
    pub(super) target: PathBuf,
    /// The file to write the agent to
    #[arg(long, value_name = "FILE", default_value = "agent.safetensors", help_heading = "Output")]
    out: PathBuf,
    #[command(flatten)]
    force: Force,
    /// Seed of the initialization
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    learner: LearnerArguments,
    /// Print only the result, as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Train {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let path = target::dataset_path(&self.target)?;
        let out = Output::new(&self.out, Kind::Agent, &self.force, &[&path])?;
        let dataset = Dataset::load(path)?;
        let learner = self.learner.instead_of(&dataset.info.learner, registry)?;
        let agent = target::teacher(&self.target, &dataset, registry, learner)?.train(self.seed)?;
        out.write(|path| agent.to_file().save(path))?;
        let milliseconds = agent.time.as_secs_f64() * 1e3;
        if self.json {
            return print_json(
                &json!({ "agent": self.out.to_string_lossy(), "milliseconds": milliseconds, "seed": self.seed }),
            );
        }
        let instances = counted(dataset.k(), "instance");
        let steps = match dataset.info.inner.steps {
            1 => "one gradient step".to_owned(),
            steps => counted(steps, "inner step"),
        };
        say(&format!("{steps} on {instances}: {milliseconds:.2} ms (initialization included)"))?;
        say_named("agent", 8, &self.out.display().to_string())
    }
}
