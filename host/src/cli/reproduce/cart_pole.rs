//! Cart-pole on N axes.
use clap::Args;
use potstill_plugin_api::OptionValue;

use super::{Runs, scores, seeds, unless_stopped};
use crate::cli::options::threads;
use crate::cli::say;
use crate::distill::Teacher;
use crate::engine::evaluate::Protocol;
use crate::engine::policy::Acting;
use crate::error::Result;
use crate::plugin::Registry;
use crate::run::{Dataset, DistillConfig};

/// N-D cart-pole for N = 1 … 5 at the paper's least k: median and worst of several seeds
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce scores --dir runs/paper --seeds 3")]
pub(in crate::cli) struct Scores {
    #[command(flatten)]
    common: Common,
    /// Distillations of each N
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

/// Table 1: ten datasets, each on six distributions of learners
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce generalization --dir runs/paper")]
pub(in crate::cli) struct Generalization {
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
pub(in crate::cli) struct MinimumSize {
    #[command(flatten)]
    common: Common,
    /// Distillations of each
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    runs: Runs,
    /// The largest N
    #[arg(long, value_name = "N", default_value_t = 5)]
    up_to: usize,
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

impl Common {
    /// The dataset of N-D cart-pole with `k` instances and `seed`.
    fn dataset(&self, registry: &Registry, n: usize, k: usize, seed: u64) -> Result<Dataset> {
        let mut config = DistillConfig { seed, ..DistillConfig::default() };
        config.environment.settings.insert("n".into(), OptionValue::Integer(n as i64));
        config.dataset.k = Some(k);
        self.runs.dataset(registry, &format!("{n}d-k{k}-s{seed}"), config)
    }
}

impl Scores {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let seeds = seeds(self.seeds)?;
        say(&format!(
            "Returns of 100 fresh learners × 100 episodes after one step, median (worst) of {} distillations.",
            self.seeds
        ))?;
        say("| N | k | sampled | greedy | paper, sampled |\n|---|---|---|---|---|")?;
        for n in 1..=self.common.up_to {
            let k = n + 1;
            let scores = scores(&seeds, |seed| self.common.dataset(registry, n, k, seed))?;
            let paper = PAPER_SAMPLED.get(n - 1).unwrap_or(&"–");
            say(&format!("| {n} | {k} | {scores} | {paper} |"))?;
        }
        Ok(())
    }
}

impl Generalization {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
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
                    let score =
                        teacher.score(&protocol, threads(self.common.runs.threads)?, &unless_stopped)?;
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
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let seeds = seeds(self.seeds)?;
        say(&format!(
            "Sampled returns of 100 fresh learners × 100 episodes, median (worst) of {} distillations. The \
             paper's least k is N + 1.",
            self.seeds
        ))?;
        say("| N | k | sampled | greedy |\n|---|---|---|---|")?;
        for n in 1..=self.common.up_to.min(3) {
            for k in 1..=n + 2 {
                let scores = scores(&seeds, |seed| self.common.dataset(registry, n, k, seed))?;
                say(&format!("| {n} | {k} | {scores} |"))?;
            }
        }
        Ok(())
    }
}
