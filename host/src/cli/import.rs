//! `potstill import`: reads a PyTorch file released with the paper.
use std::path::PathBuf;

use clap::Args;
use potstill_plugin_api::Space;

use super::options::{pair, to_options};
use super::output::{Force, Kind, Output};
use super::{say, say_named, tell};
use crate::distill::{Setup, Teacher};
use crate::engine::theta::NORMALIZER;
use crate::error::Result;
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{Dataset, DistillConfig, ImportTarget, Imported, import_pytorch};

/// The seed of the episodes in which moments are estimated.
const SEED: u64 = 0;

/// Import a dataset released with the paper (a PyTorch state dictionary)
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill import distiller_sd_2dcp_b3.pt --env nd-cartpole --set n=2 --out two.safetensors\n  \
                        potstill import half_cheetah.pt --env mujoco/half-cheetah-v4 --estimate-normalizer"
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
    /// Let learners play EPISODES (100) to estimate the moments by which observations are normalized
    #[arg(long, value_name = "EPISODES", num_args = 0..=1, default_missing_value = "100",
        value_parser = clap::value_parser!(u32).range(1..))]
    estimate_normalizer: Option<u32>,
    /// The file to write the dataset to; by default FILE with the ending .safetensors
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

impl Import {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let out = self.out.clone().unwrap_or_else(|| self.file.with_extension("safetensors"));
        let out = Output::new(&out, Kind::Dataset, &self.force, &[&self.file])?;
        let mut config = DistillConfig::default();
        config.environment.id.clone_from(&self.env);
        config.environment.settings = to_options(&self.set);
        config.objective.id = "ppmo-as-published".into();
        let setup = Setup::new(config, registry)?;
        let Imported { mut dataset, prefix } = import_pytorch(
            &self.file,
            ImportTarget {
                environment: setup.environment.clone(),
                learner: setup.learner_part(),
                objective: setup.objective_part(),
            },
        )?;
        if let Some(prefix) = prefix {
            tell(&format!(
                "note: took the tensors whose names begin with `{prefix}`, as in a model saved in its wrapper"
            ));
        }
        match self.estimate_normalizer {
            Some(episodes) => estimate(&mut dataset, registry, episodes)?,
            None if matches!(setup.environment.spec.action, Space::Box { .. }) => tell(
                "note: the file has no moments of observations, by which the published code normalizes them for \
                 continuous actions; --estimate-normalizer lets learners play to estimate them",
            ),
            None => {}
        }
        out.write(|path| dataset.save(path))?;
        say(&format!("{}, η = {:.3}", counted(dataset.k(), "instance"), dataset.inner_lr))?;
        say_named("dataset", 8, &out.path().display().to_string())
    }
}

/// Adds the moments of observations to `dataset`, from episodes that learners play.
fn estimate(dataset: &mut Dataset, registry: &Registry, episodes: u32) -> Result<()> {
    let moments =
        Teacher::of_dataset(dataset, registry, None)?.estimate_normalizer(episodes as usize, SEED)?;
    dataset.extra.extend(moments.to_tensors(NORMALIZER));
    let origin = dataset.info.origin.take().unwrap_or_default();
    dataset.info.origin = Some(format!("{origin}; moments of observations estimated in {episodes} episodes"));
    Ok(())
}
