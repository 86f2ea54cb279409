use std::path::{Path, PathBuf};

use clap::Args;
use potstill_plugin_api::Role;
use serde_json::json;

use super::options::{LearnerArguments, pair, threads, to_options};
use super::plugin::show_options;
use super::watch::{STOP, Watcher, catch_interrupt};
use super::{print_json, say, tell};
use crate::distill::{Distillation, Outcome, Prepared, Setup, directly};
use crate::error::Result;
use crate::plugin::Registry;
use crate::run::{
    DistillConfig, RunDirectory, Transitions, Versions, dataset_png, dataset_svg, write_report,
};

/// Distil an environment into a dataset, and score it
///
/// Name an environment before --help, and the options of the plugins that take part are shown too. Every option has a
/// default that works; `--config` reads them from a file, and what the command line says
/// wins. The run directory holds everything: configuration, checkpoints, metrics, dataset, report.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill distill nd-cartpole\n  potstill distill nd-cartpole --set n=5 --k 6 \
                        --seed 1 --out runs/five\n  potstill distill nd-cartpole --learner mlp:0.5 --learner transformer:0.5\n  \
                        potstill distill --objective gradient-matching --data expert.safetensors --k 4\n  \
                        potstill distill --config runs/five/config.toml"
)]
pub(super) struct Distill {
    /// The environment's id, e.g. nd-cartpole (the newest version) or nd-cartpole-v1
    environment: Option<String>,
    /// Instances in the dataset; by default the least that is known to suffice
    #[arg(long)]
    k: Option<usize>,
    /// The first layers that are meta-learned instead of taught (encoder rollback)
    #[arg(long, value_name = "L")]
    encoder_layers: Option<usize>,
    /// Offline data, for objectives that learn from it: a file that `potstill collect` wrote
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Learn from the best episodes of the data only: the share of them, e.g. 0.1
    #[arg(long, value_name = "SHARE")]
    top: Option<f64>,
    #[command(flatten)]
    common: Common,
}

/// Learn the environment directly by PPO, to compare with
///
/// The same program with every layer in the encoder: nothing is left for a dataset to teach.
#[derive(Args)]
#[command(after_help = "Example:\n  potstill rl nd-cartpole --set n=2")]
pub(super) struct Rl {
    /// The environment's id
    environment: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// An option of the environment. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    learner: LearnerArguments,
    /// Meta-objective
    #[arg(long, value_name = "ID")]
    objective: Option<String>,
    /// An option of the objective, e.g. clip=0.1. May be repeated
    #[arg(long = "objective-set", value_name = "NAME=VALUE", value_parser = pair)]
    objective_set: Vec<(String, String)>,
    /// Meta-epochs
    #[arg(long)]
    meta_epochs: Option<u64>,
    /// Learners drawn in each meta-epoch
    #[arg(long)]
    learners: Option<usize>,
    /// Environments stepped together
    #[arg(long)]
    envs: Option<usize>,
    /// Steps of each environment in a meta-epoch
    #[arg(long)]
    steps: Option<usize>,
    /// Learning rate of the dataset and the critic
    #[arg(long)]
    lr: Option<f64>,
    /// Seed of everything random
    #[arg(long)]
    seed: Option<u64>,
    /// cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<String>,
    /// CPU threads; 0 for all. Results do not depend on it
    #[arg(long)]
    threads: Option<usize>,
    /// A configuration file (TOML), e.g. another run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run's directory; by default a new one in runs/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Whether its configuration file asks to isolate native plugins.
    fn isolates(&self) -> Result<bool> {
        self.config.as_ref().map_or(Ok(false), |path| Ok(DistillConfig::load(path)?.isolate))
    }

    fn config(&self, environment: Option<&str>) -> Result<DistillConfig> {
        let mut config = match &self.config {
            Some(path) => DistillConfig::load(path)?,
            None => DistillConfig::default(),
        };
        fn put<T: Clone>(place: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        if let Some(id) = environment {
            if config.environment.id != id {
                config.environment.settings.clear();
            }
            config.environment.id = id.to_owned();
        }
        config.environment.settings.extend(to_options(&self.set));
        self.learner.apply(&mut config.learner)?;
        put(&mut config.objective.id, &self.objective);
        config.objective.options.extend(to_options(&self.objective_set));
        put(&mut config.meta_epochs, &self.meta_epochs);
        put(&mut config.ppo.learners, &self.learners);
        put(&mut config.environment.envs, &self.envs);
        put(&mut config.environment.steps, &self.steps);
        put(&mut config.optimiser.lr, &self.lr);
        put(&mut config.optimiser.critic_lr, &self.lr);
        put(&mut config.seed, &self.seed);
        put(&mut config.device, &self.device);
        put(&mut config.threads, &self.threads);
        Ok(config)
    }
}

impl Common {
    /// The options of the plugins that take part, below a command's own: those of `environment` when it is named.
    fn help(&self, environment: Option<&str>, plugins: &[PathBuf]) -> Result<()> {
        let config = self.config(environment)?;
        if environment.is_none() && self.config.is_none() {
            return say("\nName an environment to see its options too: potstill distill nd-cartpole --help");
        }
        let registry = Registry::discover(plugins, &[], None)?;
        let mut named = vec![(Role::Environment, config.environment.id.as_str(), "--set", String::new())];
        let learners = config.learner.plugins();
        for (id, _) in &learners {
            let prefix = if learners.len() > 1 { format!("{id}.") } else { String::new() };
            named.push((Role::Learner, id, "--learner-set", prefix));
        }
        named.push((Role::Objective, &config.objective.id, "--objective-set", String::new()));
        for (role, id, flag, prefix) in named {
            say(&format!("\nOptions of the {role} {id}:"))?;
            show_options(&registry.options(role, id)?, &format!("  {flag} {prefix}"))?;
        }
        Ok(())
    }
}

impl Distill {
    pub(super) fn help(&self, plugins: &[PathBuf]) -> Result<()> {
        self.common.help(self.environment.as_deref(), plugins)
    }

    pub(super) fn isolates(&self) -> Result<bool> {
        self.common.isolates()
    }

    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let mut config = self.common.config(self.environment.as_deref())?;
        if self.k.is_some() {
            config.dataset.k = self.k;
        }
        if let Some(l) = self.encoder_layers {
            config.encoder_layers = l;
        }
        if let Some(path) = &self.data {
            config.offline.sha256 = None;
            config.offline.data = Some(path.clone());
            // The data knows its environment.
            if self.environment.is_none() && self.common.config.is_none() {
                let of_data = Transitions::load(path)?.info.environment;
                (config.environment.id, config.environment.settings) = (of_data.id, of_data.settings);
                config.environment.settings.extend(to_options(&self.common.set));
            }
        }
        if let Some(top) = self.top {
            config.offline.top = top;
        }
        start(&Setup::new(config, registry)?, &self.common)
    }
}

impl Rl {
    pub(super) fn help(&self, plugins: &[PathBuf]) -> Result<()> {
        self.common.help(self.environment.as_deref(), plugins)
    }

    pub(super) fn isolates(&self) -> Result<bool> {
        self.common.isolates()
    }

    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let mut config = self.common.config(self.environment.as_deref())?;
        // One network is trained: with one learner's episodes in a meta-epoch there is nothing to average.
        config.ppo.learners = self.common.learners.unwrap_or(1);
        let config = directly(config, registry)?;
        start(&Setup::new(config, registry)?, &self.common)
    }
}

fn start(setup: &Setup<'_>, common: &Common) -> Result<()> {
    let threads = threads(setup.config.threads)?;
    let prepared = Prepared::new(setup, threads)?;
    let versions = Versions::current(&setup.config.device, setup.plugins(), setup.config.seed);
    let run = match &common.out {
        Some(path) => RunDirectory::create(path, &setup.config, &versions)?,
        None => RunDirectory::create_named("runs", &setup.config, &versions)?,
    };
    finish(setup, &run, prepared.start(&run)?, common.json)
}

/// Runs to the end and says what came out.
pub(super) fn finish(
    setup: &Setup<'_>,
    run: &RunDirectory,
    distillation: Distillation<'_>,
    json: bool,
) -> Result<()> {
    catch_interrupt();
    if !json {
        let d = &setup.dimensions;
        let what = match d.encoder_layers {
            0 => format!("{} instances", d.k),
            l => format!("{} instances and an encoder of {l} layers", d.k),
        };
        let settings = setup.config.environment.settings.iter().map(|(n, v)| format!(" {n}={v}"));
        let settings: String = settings.collect();
        tell(&format!("{}{settings} → {what}, in {}", setup.environment.id, run.path().display()));
    }
    let mut watcher = Watcher::new(setup.config.meta_epochs, distillation.meta_epoch(), json);
    let outcome = distillation.run(&STOP, &mut |progress| watcher.show(&progress));
    watcher.finish();
    let outcome = outcome?;
    leave_pictures(run, &outcome)?;
    report(run.path(), &outcome, json)
}

/// Pictures of the dataset and the report page.
pub(super) fn leave_pictures(run: &RunDirectory, outcome: &Outcome) -> Result<()> {
    use crate::error::IoContext;
    let svg = run.path().join("dataset.svg");
    std::fs::write(&svg, dataset_svg(&outcome.dataset)?).at(&svg)?;
    let png = run.path().join("dataset.png");
    std::fs::write(&png, dataset_png(&outcome.dataset)?).at(&png)?;
    let reproduce = format!("potstill distill --config {}", run.config_path().display());
    write_report(run, &reproduce)?;
    Ok(())
}

fn report(run: &Path, outcome: &Outcome, json: bool) -> Result<()> {
    let dataset = &outcome.dataset;
    if json {
        return print_json(&json!({
            "run": run,
            "dataset": run.join("dataset.safetensors"),
            "environment": dataset.info.environment.id,
            "k": dataset.k(),
            "inner_lr": dataset.inner_lr,
            "scores": dataset.info.scores,
            "environment_steps": dataset.info.environment_steps,
            "seconds": outcome.seconds,
        }));
    }
    say(&format!(
        "{} instances, η = {:.3}, distilled in {:.0} s",
        dataset.k(),
        dataset.inner_lr,
        outcome.seconds
    ))?;
    for score in &dataset.info.scores {
        say(&super::eval::line(score))?;
    }
    for (what, file) in
        [("dataset", "dataset.safetensors"), ("report", "report.html"), ("picture", "dataset.png")]
    {
        say(&format!("{what:8} {}", run.join(file).display()))?;
    }
    say(&format!("next     potstill play {0}   potstill train {0} --out agent.safetensors", run.display()))
}
