//! `potstill import`: reads a PyTorch file released with the paper.
use std::path::PathBuf;

use clap::Args;

use super::options::{pair, to_options};
use super::{say, say_named};
use crate::distill::Setup;
use crate::error::Result;
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{DistillConfig, ImportTarget, import_pytorch};

/// Import a dataset released with the paper (a PyTorch state dictionary)
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill import distiller_sd_2dcp_b3.pt --env nd-cartpole --set n=2 --out two.safetensors"
)]
pub(super) struct Import {
    /// The .pt file
    file: PathBuf,
    /// The environment it was distilled from
    #[arg(long, value_name = "ID")]
    env: String,
    /// Set an option of the environment. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The file to write the dataset to; by default FILE with the ending .safetensors
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let mut config = DistillConfig::default();
        config.environment.id.clone_from(&self.env);
        config.environment.settings = to_options(&self.set);
        config.objective.id = "ppmo-as-published".into();
        let setup = Setup::new(config, registry)?;
        let dataset = import_pytorch(
            &self.file,
            ImportTarget {
                environment: setup.environment.clone(),
                learner: setup.learner_part(),
                objective: setup.objective_part(),
            },
        )?;
        let out = self.out.clone().unwrap_or_else(|| self.file.with_extension("safetensors"));
        dataset.save(&out)?;
        say(&format!("{}, η = {:.3}", counted(dataset.k(), "instance"), dataset.inner_lr))?;
        say_named("dataset", 8, &out.display().to_string())
    }
}
