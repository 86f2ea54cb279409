//! The papers' tables, each as one command that can be killed and called again.
mod cart_pole;
mod mujoco;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};

use super::distill::leave_pictures;
use super::options::threads;
use super::tell;
use super::watch::{STOP, Watcher, catch_interrupt};
use crate::distill::{Distillation, Prepared, Setup};
use crate::engine::evaluate::Score;
use crate::engine::policy::Acting;
use crate::error::{Error, IoContext, Result};
use crate::plugin::Registry;
use crate::run::{Dataset, DistillConfig, RunDirectory, Versions};

/// Make the paper's tables again, beside the paper's figures
///
/// Distillations that are there already are not made again; a killed one goes on.
#[derive(Subcommand)]
#[command(after_help = "Example:\n  potstill reproduce scores --dir runs/paper")]
pub(super) enum Reproduce {
    Scores(cart_pole::Scores),
    Generalization(cart_pole::Generalization),
    MinimumSize(cart_pole::MinimumSize),
    Mujoco(mujoco::Table),
    MujocoSize(mujoco::Size),
    MujocoAblation(mujoco::Ablation),
}

#[derive(Args)]
struct Runs {
    /// Where the runs are kept
    #[arg(long, value_name = "DIR", default_value = "runs/paper")]
    dir: PathBuf,
    /// CPU threads; 0 for all
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl Reproduce {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        catch_interrupt();
        match self {
            Reproduce::Scores(command) => command.run(registry),
            Reproduce::Generalization(command) => command.run(registry),
            Reproduce::MinimumSize(command) => command.run(registry),
            Reproduce::Mujoco(command) => command.run(registry),
            Reproduce::MujocoSize(command) => command.run(registry),
            Reproduce::MujocoAblation(command) => command.run(registry),
        }
    }
}

impl Runs {
    /// The dataset that `config` gives: from the run directory `name`, which is made or gone on with where need be.
    fn dataset(&self, registry: &Registry, name: &str, config: DistillConfig) -> Result<Dataset> {
        let path = self.dir.join(name);
        let setup = Setup::new(config, registry)?;
        let threads = threads(self.threads)?;
        if path.join("config.toml").is_file() {
            let run = RunDirectory::inspect(&path)?;
            // Results do not depend on the number of threads.
            let was = DistillConfig { threads: setup.config.threads, ..run.config()? };
            same(&path, &Setup::new(was, registry)?.config, &setup.config)?;
            if let Some(dataset) = finished(&run.dataset_path()) {
                return Ok(dataset);
            }
            let run = RunDirectory::open(&path)?;
            let mut note = |warning: &str| tell(&format!("warning: {warning}"));
            let distillation = Prepared::new(&setup, threads)?.resume(&run, &mut note)?;
            return go(&run, &setup, distillation);
        }
        let prepared = Prepared::new(&setup, threads)?;
        std::fs::create_dir_all(&self.dir).at(&self.dir)?;
        let versions = Versions::current(&setup.config.device, setup.plugins(), setup.config.seed);
        let run = RunDirectory::create(&path, &setup.config, &versions)?;
        go(&run, &setup, prepared.start(&run)?)
    }
}

/// Refuses a run that an older recipe started: its figure is not the table's.
fn same(path: &Path, was: &DistillConfig, is: &DistillConfig) -> Result<()> {
    if was == is {
        return Ok(());
    }
    let (was, is) = (was.to_toml()?, is.to_toml()?);
    // One of the texts may only go on where the other ends.
    let lines = |text| str::lines(text).filter(|line| !line.is_empty()).chain([""]);
    let (was, is) = lines(&was).zip(lines(&is)).find(|(was, is)| was != is).unwrap_or_default();
    Err(Error::usage(format!(
        "{} holds a run with `{was}` where the table has `{is}`: move it away, or choose another --dir",
        path.display()
    )))
}

/// The dataset at `path` if its run came to the end: then it has both final scores.
fn finished(path: &Path) -> Option<Dataset> {
    Dataset::load(path).ok().filter(|dataset| dataset.info.scores.len() == 2)
}

fn go(run: &RunDirectory, setup: &Setup<'_>, distillation: Distillation<'_>) -> Result<Dataset> {
    tell(&run.path().display().to_string());
    let mut watcher = Watcher::new(setup.config.meta_epochs, distillation.meta_epoch(), false);
    let outcome = distillation.run(&STOP, &mut |progress| watcher.show(&progress));
    watcher.finish();
    let outcome = outcome?;
    leave_pictures(run, &outcome)?;
    Ok(outcome.dataset)
}

/// Ends a scoring when Ctrl-C was pressed.
fn unless_stopped() -> Result<()> {
    match STOP.load(Ordering::Relaxed) {
        true => Err(Error::Interrupted(" while scoring; the same command goes on".into())),
        false => Ok(()),
    }
}

fn score(dataset: &Dataset, acting: Acting) -> Result<&Score> {
    dataset.info.scores.iter().find(|s| s.protocol.acting == acting).ok_or_else(|| {
        Error::usage(format!("the dataset of `{}` has no {acting} score", dataset.info.environment.id))
    })
}

/// Median, and the smallest.
fn median_and_worst(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    (median, sorted[0])
}

/// Mean returns of `datasets`, as `median (worst)`.
fn cell(datasets: &[Dataset], acting: Acting) -> Result<String> {
    let means: Vec<f64> =
        datasets.iter().map(|d| Ok(score(d, acting)?.mean_return)).collect::<Result<_>>()?;
    let (median, worst) = median_and_worst(&means);
    Ok(format!("{median:.1} ({worst:.1})"))
}

/// The scores of each seed's dataset, as the cells sampled and greedy.
fn scores(seeds: &Range<u64>, dataset: impl Fn(u64) -> Result<Dataset>) -> Result<String> {
    let datasets: Vec<Dataset> = seeds.clone().map(dataset).collect::<Result<_>>()?;
    Ok(format!("{} | {}", cell(&datasets, Acting::Sampled)?, cell(&datasets, Acting::Greedy)?))
}

/// Seeds 0, 1, …, at least one.
fn seeds(count: u64) -> Result<Range<u64>> {
    match count {
        0 => Err(Error::usage("--seeds must be at least 1")),
        _ => Ok(0..count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_there_is_taken_if_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs { dir: folder.path().to_owned(), threads: 1 };
        let registry = Registry::of(&[], &[]).unwrap();
        let text = "meta_epochs = 1\n[environment]\nsteps = 8\n[ppo]\npolicy_epochs = 1\n\
                    [evaluation]\nlearners = 1\nepisodes = 1\nvalidation_learners = 1\nvalidation_episodes = 1\n";
        let dataset = |changed: &str| {
            let config = DistillConfig::parse(&format!("{changed}{text}")).unwrap();
            runs.dataset(&registry, "run", config)
        };
        let first = dataset("").unwrap();
        assert_eq!(dataset("threads = 2\n").unwrap().info.scores, first.info.scores);
        let error = dataset("seed = 1\n").unwrap_err().to_string();
        assert!(error.contains("run holds a run with `seed = 0` where the table has `seed = 1`"), "{error}");
    }
}
