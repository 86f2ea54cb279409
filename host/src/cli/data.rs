//! `potstill data`: offline data of others, and for others.
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::collect::summarize;
use super::options::{WrapperArguments, pair, to_options};
use super::output::{Force, Kind, Output};
use super::watch::{Meter, STOP, stop_on_interrupt};
use super::{print_json, say, say_named, tell};
use crate::distill::Actor;
use crate::error::Result;
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{FromMinari, Minari, ToMinari, Transitions, folder_of};

/// Exchange offline data with Minari, in your own Python
///
/// Minari is the dataset format of the Farama Foundation, which maintains Gymnasium. Install it in the Python that
/// POTSTILL_PYTHON names, or in python3: python3 -m pip install minari h5py pyarrow pillow
#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  potstill data export random.safetensors --name potstill/cartpole-random-v0\n  potstill data \
                        import potstill/cartpole-random-v0 --env nd-cartpole --out random.safetensors"
)]
pub(super) enum Data {
    Import(Import),
    Export(Export),
}

/// Read a Minari dataset into a file of transitions, for `distill --data`
///
/// Box observations, and Discrete or Box actions. Pictures stay as they are: a dataset that keeps them as JPEG is refused.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill data import potstill/cartpole-random-v0 --env nd-cartpole --out random.safetensors\n  \
                        minari download mujoco/hopper/expert-v0\n  potstill data import mujoco/hopper/expert-v0 --env \
                        mujoco/hopper-v5 --out hopper.safetensors"
)]
pub(super) struct Import {
    /// The name of a dataset in Minari's folder (MINARI_DATASETS_PATH), or the folder of one
    source: String,
    /// The environment that was recorded, e.g. nd-cartpole. The spaces must be the same
    #[arg(long, value_name = "ID", help_heading = "Environment")]
    env: String,
    /// Set an option of the environment. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Environment")]
    set: Vec<(String, String)>,
    #[command(flatten)]
    wrappers: WrapperArguments,
    /// The file to write the transitions to
    #[arg(long, value_name = "FILE", default_value = "transitions.safetensors", help_heading = "Output")]
    out: PathBuf,
    #[command(flatten)]
    force: Force,
    /// Print only the result, as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Write a file of transitions as a Minari dataset, which `minari.load_dataset` reads
///
/// Minari reads the dataset back, and every number is compared, before it appears in its folder.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill collect nd-cartpole --out random.safetensors\n  potstill data export random.safetensors \
                        --name potstill/cartpole-random-v0 --gymnasium CartPole-v1"
)]
pub(super) struct Export {
    /// The file of transitions
    file: PathBuf,
    /// The name of the dataset: NAMESPACE/NAME-v0, or NAME-v0
    #[arg(long)]
    name: String,
    /// The format to keep the data in
    #[arg(long, value_parser = ["hdf5", "arrow"], default_value = "hdf5")]
    format: String,
    /// The same environment's id in Gymnasium, e.g. CartPole-v1, for `recover_environment`
    #[arg(long, value_name = "ID")]
    gymnasium: Option<String>,
    /// The folder of datasets to write it to; by default Minari's own (MINARI_DATASETS_PATH, or ~/.minari/datasets)
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Print only the result, as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Data {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        stop_on_interrupt("stopping");
        match self {
            Data::Import(import) => import.run(registry),
            Data::Export(export) => export.run(),
        }
    }
}

/// Shows the episodes that are done; how many there are is known with the first.
struct Episodes {
    meter: Option<Meter>,
    quiet: bool,
}

impl Episodes {
    fn show(&mut self, done: usize, total: usize) {
        let quiet = self.quiet;
        let meter = self.meter.get_or_insert_with(|| Meter::new("episodes", total as u64, 0, quiet));
        meter.show(done as u64, "");
    }

    fn finish(&self) {
        self.meter.iter().for_each(Meter::finish);
    }
}

impl Import {
    fn run(&self, registry: &Registry) -> Result<()> {
        let wrappers = self.wrappers.alone()?;
        let actor = Actor::random(registry, &self.env, &to_options(&self.set), &wrappers)?;
        let out = Output::new(&self.out, Kind::Transitions, &self.force, &[Path::new(&self.source)])?;
        let mut shown = Episodes { meter: None, quiet: self.json };
        let folder = folder_of(&self.out);
        let read =
            Minari::find()?.read(&self.source, actor.environment(), folder, &STOP, &mut |done, total| {
                shown.show(done, total);
            });
        shown.finish();
        let FromMinari { transitions, notes } = read?;
        out.write(|path| transitions.save(path))?;
        if let Some(origin) = transitions.info.origin.as_ref().filter(|_| !self.json) {
            say_named("from", 8, origin)?;
        }
        notes.iter().for_each(|note| tell(&format!("note: {note}")));
        summarize(&transitions, &self.out, self.json)
    }
}

impl Export {
    fn run(&self) -> Result<()> {
        let transitions = Transitions::load(&self.file)?;
        let to = ToMinari {
            file: &self.file,
            name: &self.name,
            folder: self.out.as_deref(),
            format: &self.format,
            gymnasium: self.gymnasium.as_deref(),
        };
        let mut shown = Episodes { meter: None, quiet: self.json };
        let folder =
            Minari::find()?.write(&transitions, &to, &STOP, &mut |done, total| shown.show(done, total));
        shown.finish();
        let folder = folder?;
        let episodes = transitions.episodes().len();
        if self.json {
            return print_json(&json!({
                "dataset": self.name,
                "folder": folder.to_string_lossy(),
                "format": self.format,
                "transitions": transitions.len(),
                "episodes": episodes,
            }));
        }
        say(&format!(
            "{} of {} of {}, as Minari reads them",
            counted(transitions.len(), "transition"),
            counted(episodes, "episode"),
            transitions.info.environment.id
        ))?;
        say_named("dataset", 8, &self.name)?;
        say_named("folder", 8, &folder.display().to_string())
    }
}
