//! `potstill reproduce` runs an experiment file and prints its table. It can be killed and run again.
mod builtin;
mod experiment;
mod key;
mod rows;
mod runs;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;

use self::experiment::{Experiment, Training};
use self::rows::{Filter, Row, Trained};
use self::runs::{Runs, unless_stopped};
use self::table::Table;
use super::options::threads;
use super::watch::catch_interrupt;
use super::{say, say_row};
use crate::error::{Error, Result, did_you_mean};
use crate::plugin::Registry;
use crate::run::Dataset;

/// Run an experiment and print its table: one of the papers', or your own
///
/// An experiment file names a configuration, what is varied, seeds, columns and published figures
/// (docs/experiments.md). Trainings that are done are not repeated, and one that was killed goes on. The table is
/// Markdown on standard output; progress goes to standard error.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill reproduce\n  potstill reproduce scores --dir runs/paper --seeds 3\n  \
                        potstill reproduce mujoco-ablation --only hopper --rows recipe,norm-5\n  \
                        potstill reproduce my.toml"
)]
pub(super) struct Reproduce {
    /// A built-in experiment, or the path of an experiment file; without it, the built-in ones are listed
    experiment: Option<String>,
    /// List the built-in experiments
    #[arg(long)]
    list: bool,
    /// Where the run directories are; by default runs/paper, and runs/NAME for a file NAME.toml
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// CPU threads; 0 for all. Results do not depend on it
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Trainings of each kind, with seeds 0, 1, …; by default as many as the experiment says
    #[arg(long)]
    seeds: Option<u64>,
    /// Only these points of the axes, e.g. hopper,reacher or k=64
    #[arg(long, value_name = "NAMES", value_delimiter = ',', visible_alias = "rows")]
    only: Vec<String>,
    /// Only the points of the first axis up to this number
    #[arg(long, value_name = "N")]
    up_to: Option<u64>,
    /// Meta-epochs of each training, instead of the experiment's
    #[arg(long)]
    meta_epochs: Option<u64>,
    /// Fresh learners of each column that scores anew
    #[arg(long)]
    learners: Option<usize>,
    /// Episodes of each of them
    #[arg(long)]
    episodes: Option<usize>,
}

impl Reproduce {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let Some(name) = self.experiment.as_deref().filter(|_| !self.list) else {
            return list();
        };
        catch_interrupt();
        let (mut experiment, folder) = if is_path(name) {
            let path = Path::new(name);
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (Experiment::load(path, &stem)?, Path::new("runs").join(stem))
        } else {
            let text = builtin::experiment(name).ok_or_else(|| {
                let hint = did_you_mean(name, builtin::names());
                Error::usage(format!(
                    "there is no experiment `{name}`.{hint} A file of your own ends in .toml, e.g. ./{name}.toml"
                ))
            })?;
            (Experiment::builtin(name, text)?, PathBuf::from("runs/paper"))
        };
        self.change(&mut experiment)?;
        let rows = experiment.rows(&Filter { only: &self.only, up_to: self.up_to }, self.meta_epochs)?;
        let runs = Runs {
            dir: self.dir.clone().unwrap_or(folder),
            threads: threads(self.threads)?,
            seeds: experiment.seeds,
        };
        let mut table = Table::new(&experiment, &rows, &runs, registry)?;
        table.begin()?;
        for row in &rows {
            table.row(row, &train(row, &runs, registry)?)?;
        }
        table.end()
    }

    /// Puts what the command line says in place of what the file says.
    fn change(&self, experiment: &mut Experiment) -> Result<()> {
        for (flag, count) in [
            ("--seeds", self.seeds),
            ("--meta-epochs", self.meta_epochs),
            ("--learners", self.learners.map(|n| n as u64)),
            ("--episodes", self.episodes.map(|n| n as u64)),
        ] {
            if count == Some(0) {
                return Err(Error::usage(format!("{flag} must be at least 1")));
            }
        }
        experiment.seeds = self.seeds.unwrap_or(experiment.seeds);
        let evaluate = &mut experiment.evaluate;
        match evaluate {
            Some(evaluate) => {
                evaluate.learners = self.learners.unwrap_or(evaluate.learners);
                evaluate.episodes = self.episodes.unwrap_or(evaluate.episodes);
            }
            None if self.learners.is_some() || self.episodes.is_some() => {
                return Err(Error::usage(format!(
                    "--learners and --episodes: `{}` scores each dataset once, as its configuration says",
                    experiment.name
                )));
            }
            None => {}
        }
        Ok(())
    }
}

/// Whether `name` is the path of a file and no name of a built-in experiment.
fn is_path(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(['/', '\\'])
}

fn list() -> Result<()> {
    let width = builtin::names().map(str::len).max().unwrap_or(0);
    for name in builtin::names() {
        let text = builtin::experiment(name).unwrap_or_default();
        say_row(&format!("{name:width$}"), &Experiment::builtin(name, text)?.about)?;
    }
    say("")?;
    say(
        "Run one: potstill reproduce NAME. Or one of your own: potstill reproduce my.toml (docs/experiments.md)",
    )
}

/// The datasets of a row: of each training, one for each seed.
fn train(row: &Row, runs: &Runs, registry: &Registry) -> Result<Vec<Vec<Dataset>>> {
    let of_training = |training: &Trained| {
        let dataset = |seed| {
            unless_stopped()?;
            let mut config = training.with_seed(seed, registry)?;
            let earlier = |name: &Option<String>| {
                let training = name.as_ref().and_then(|name| row.training(name));
                training.map(|training| row.run(training, seed)).transpose()
            };
            if let Some(Training { start, teacher, .. }) = training.training {
                if let Some(run) = earlier(start)? {
                    config.dataset.start = Some(runs.dataset_path(&run));
                }
                if let Some(run) = earlier(teacher)? {
                    config.teacher.agent = Some(runs.agent(registry, &run)?);
                }
            }
            runs.dataset(registry, &row.run(training, seed)?, config)
        };
        (0..runs.seeds).map(dataset).collect()
    };
    row.trainings.iter().map(of_training).collect()
}
