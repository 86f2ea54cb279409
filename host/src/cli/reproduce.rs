//! The papers' tables, each as one command that can be killed and called again.
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};

use super::distill::leave_pictures;
use super::options::threads;
use super::watch::{STOP, Watcher, catch_interrupt};
use super::{say, tell};
use crate::distil::{Distillation, Prepared, Setup, Teacher};
use crate::engine::evaluate::{Acting, Protocol, Score};
use crate::error::{Error, IoContext, Result};
use crate::plugin::Registry;
use crate::run::{Dataset, DistillConfig, RunDirectory, Versions};

/// Make the paper's tables again, beside the paper's figures
///
/// Distillations that are there already are not made again; a killed one goes on.
#[derive(Subcommand)]
#[command(after_help = "Example:\n  potstill reproduce scores --dir runs/paper")]
pub(super) enum Reproduce {
    Scores(Scores),
    Generalization(Generalization),
    MinimumSize(MinimumSize),
}

/// N-D cart-pole for N = 1 … 5 at the paper's least k: median and worst of several seeds
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce scores --dir runs/paper --seeds 3")]
pub(super) struct Scores {
    #[command(flatten)]
    common: Common,
    /// Distillations of each N
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

/// Table 1: ten datasets, each on six distributions of learners
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce generalization --dir runs/paper")]
pub(super) struct Generalization {
    #[command(flatten)]
    common: Common,
    /// Fresh learners of each distribution
    #[arg(long, default_value_t = 100)]
    learners: usize,
    /// Episodes of each
    #[arg(long, default_value_t = 20)]
    episodes: usize,
}

/// The least number of instances: k = 1 … k_min + 1 for N = 1 … 3
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce minimum-size --dir runs/paper")]
pub(super) struct MinimumSize {
    #[command(flatten)]
    common: Common,
    /// Distillations of each
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

#[derive(Args)]
struct Common {
    /// Where the runs are kept
    #[arg(long, value_name = "DIR", default_value = "runs/paper")]
    dir: PathBuf,
    /// The largest N
    #[arg(long, value_name = "N", default_value_t = 5)]
    up_to: usize,
    /// CPU threads; 0 for all
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Sampled returns of the paper at k = N + 1.
const PAPER_SAMPLED: [&str; 5] = ["500", "365", "264", "127", "87.5"];
/// The six distributions of learners of the paper's Table 1: options of `mlp`.
const DISTRIBUTIONS: [(&str, &[(&str, &str)]); 6] = [
    ("default", &[]),
    ("orthogonal-1", &[("gain", "1"), ("output-gain", "1")]),
    ("xavier", &[("weights", "xavier-normal")]),
    ("xavier-1", &[("weights", "xavier-normal"), ("gain", "1"), ("output-gain", "1")]),
    ("random-width", &[("width", "32-256")]),
    ("random-depth", &[("depth", "1-6")]),
];
/// The large size of the paper's Table 1.
const LARGE: usize = 512;

impl Reproduce {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        catch_interrupt();
        match self {
            Reproduce::Scores(command) => command.run(registry),
            Reproduce::Generalization(command) => command.run(registry),
            Reproduce::MinimumSize(command) => command.run(registry),
        }
    }
}

impl Common {
    /// The dataset of N-D cart-pole with `k` instances and `seed`: from its run directory, which is made or
    /// gone on with where need be.
    fn dataset(&self, registry: &Registry, n: usize, k: usize, seed: u64) -> Result<Dataset> {
        let path = self.dir.join(format!("{n}d-k{k}-s{seed}"));
        let threads = threads(self.threads)?;
        if path.join("config.toml").is_file() {
            let done = RunDirectory::inspect(&path)?.dataset_path();
            if let Some(dataset) = finished(&done) {
                return Ok(dataset);
            }
            let run = RunDirectory::open(&path)?;
            let setup = Setup::new(run.config()?, registry)?;
            let mut note = |warning: &str| tell(&format!("warning: {warning}"));
            let distillation = Prepared::new(&setup, threads)?.resume(&run, &mut note)?;
            return go(&run, &setup, distillation);
        }
        let mut config = DistillConfig::default();
        config.environment.settings.insert("n".into(), potstill_plugin_api::OptionValue::Integer(n as i64));
        config.dataset.k = Some(k);
        config.seed = seed;
        let setup = Setup::new(config, registry)?;
        let prepared = Prepared::new(&setup, threads)?;
        std::fs::create_dir_all(&self.dir).at(&self.dir)?;
        let versions = Versions::current(&setup.config.device, setup.plugins(), seed);
        let run = RunDirectory::create(&path, &setup.config, &versions)?;
        go(&run, &setup, prepared.start(&run)?)
    }
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

impl Scores {
    fn run(&self, registry: &Registry) -> Result<()> {
        if self.seeds == 0 {
            return Err(Error::usage("--seeds must be at least 1"));
        }
        say(&format!(
            "Returns of 100 fresh learners × 100 episodes after one step, median (worst) of {} distillations.",
            self.seeds
        ))?;
        say("| N | k | sampled | greedy | paper, sampled |\n|---|---|---|---|---|")?;
        for n in 1..=self.common.up_to {
            let k = n + 1;
            let datasets: Vec<Dataset> = (0..self.seeds)
                .map(|seed| self.common.dataset(registry, n, k, seed))
                .collect::<Result<_>>()?;
            let cell = |acting: Acting| -> Result<String> {
                let means: Vec<f64> =
                    datasets.iter().map(|d| Ok(score(d, acting)?.mean_return)).collect::<Result<_>>()?;
                let (median, worst) = median_and_worst(&means);
                Ok(format!("{median:.1} ({worst:.1})"))
            };
            let paper = PAPER_SAMPLED.get(n - 1).unwrap_or(&"–");
            say(&format!(
                "| {n} | {k} | {} | {} | {paper} |",
                cell(Acting::Sampled)?,
                cell(Acting::Greedy)?
            ))?;
        }
        Ok(())
    }
}

impl Generalization {
    fn run(&self, registry: &Registry) -> Result<()> {
        say(&format!(
            "Sampled returns of {} fresh learners × {} episodes after one step, ± deviation over episodes. \
             Every dataset was distilled with `default` learners, seed 0.",
            self.learners, self.episodes
        ))?;
        let columns = DISTRIBUTIONS.map(|(name, _)| name).join(" | ");
        say(&format!("| N | k | {columns} | paper, default |\n|{}", "---|".repeat(DISTRIBUTIONS.len() + 3)))?;
        for n in 1..=self.common.up_to {
            for k in [n + 1, LARGE] {
                let dataset = self.common.dataset(registry, n, k, 0)?;
                let mut cells = vec![];
                for (_, options) in DISTRIBUTIONS {
                    let options: Vec<_> =
                        options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
                    let learner = registry.learner("mlp", &options)?;
                    let teacher = Teacher::of_dataset(&dataset, registry, Some(learner))?;
                    let protocol = Protocol {
                        acting: Acting::Sampled,
                        learners: self.learners,
                        episodes: self.episodes,
                        seed: 0,
                    };
                    let score = teacher.score(&protocol, threads(self.common.threads)?, &unless_stopped)?;
                    cells.push(format!("{:.1} ± {:.1}", score.mean_return, score.std_return));
                }
                let paper = PAPER_SAMPLED.get(n - 1).filter(|_| k != LARGE).unwrap_or(&"–");
                say(&format!("| {n} | {k} | {} | {paper} |", cells.join(" | ")))?;
            }
        }
        Ok(())
    }
}

impl MinimumSize {
    fn run(&self, registry: &Registry) -> Result<()> {
        if self.seeds == 0 {
            return Err(Error::usage("--seeds must be at least 1"));
        }
        say(&format!(
            "Sampled returns of 100 fresh learners × 100 episodes, median (worst) of {} distillations. The \
             paper's least k is N + 1.",
            self.seeds
        ))?;
        say("| N | k | sampled | greedy |\n|---|---|---|---|")?;
        for n in 1..=self.common.up_to.min(3) {
            for k in 1..=n + 2 {
                let datasets: Vec<Dataset> = (0..self.seeds)
                    .map(|seed| self.common.dataset(registry, n, k, seed))
                    .collect::<Result<_>>()?;
                let cell = |acting: Acting| -> Result<String> {
                    let means: Vec<f64> =
                        datasets.iter().map(|d| Ok(score(d, acting)?.mean_return)).collect::<Result<_>>()?;
                    let (median, worst) = median_and_worst(&means);
                    Ok(format!("{median:.1} ({worst:.1})"))
                };
                say(&format!("| {n} | {k} | {} | {} |", cell(Acting::Sampled)?, cell(Acting::Greedy)?))?;
            }
        }
        Ok(())
    }
}
