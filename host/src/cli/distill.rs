//! `potstill distill` and `potstill rl`: from a configuration to a finished run directory.
use std::path::{Path, PathBuf};

use clap::{Arg, Args};
use potstill_plugin_api::Role;
use serde_json::json;

use super::options::{LearnerArguments, WrapperArguments, pair, threads, to_options};
use super::plugin::show_options;
use super::watch::{STOP, Watcher, catch_interrupt};
use super::{print_json, say, say_command, say_named, target, tell};
use crate::distill::{Distillation, Outcome, Prepared, Setup, directly, leave_baselines};
use crate::error::Result;
use crate::plugin::text::counted;
use crate::plugin::{Recorded, Registry};
use crate::run::{DistillConfig, RunDirectory, TeacherConfig, Transitions, Versions, write_report};

/// Distill an environment into a dataset, and score the dataset
///
/// Every option has a default that works. --config reads them from a file; the command line overrides the file. The
/// run directory holds everything: configuration, checkpoints, metrics, dataset, report. With an environment before
/// --help, the help also lists the options of the plugins that take part.
#[derive(Args)]
#[command(
    mut_args(with_default),
    after_help = "\
Examples:
  potstill distill nd-cartpole
  potstill distill nd-cartpole --set n=5 --k 6 --seed 1 --out runs/five
  potstill distill nd-cartpole --learner mlp:0.5 --learner transformer:0.5
  potstill distill --objective gradient-matching --data expert.safetensors --k 4
  potstill distill nd-cartpole --objective clone --teacher agent.safetensors
  potstill distill --config runs/five/config.toml

Every configuration key is described in docs/reference/configuration.md."
)]
pub(super) struct Distill {
    /// The environment's id, e.g. nd-cartpole (the newest version) or nd-cartpole-v1
    environment: Option<String>,
    /// Number of instances [default: ⌈c/2⌉ + 1 for c discrete actions, 64 for continuous actions]
    #[arg(long, help_heading = "Dataset")]
    k: Option<usize>,
    /// Meta-learn the first L layers with the dataset instead of teaching them (encoder rollback)
    #[arg(long, value_name = "L", help_heading = "Dataset")]
    encoder_layers: Option<usize>,
    /// Start from this dataset, a file or a run directory, instead of random numbers
    #[arg(long, value_name = "DATASET", help_heading = "Dataset")]
    start: Option<PathBuf>,
    /// The agent that an objective such as clone imitates: a file written by `potstill train`
    #[arg(long, value_name = "AGENT", help_heading = "Objective")]
    teacher: Option<PathBuf>,
    /// The transitions that an offline objective learns from: a file written by `potstill collect`
    #[arg(long, value_name = "FILE", help_heading = "Offline data")]
    data: Option<PathBuf>,
    /// Use only this share of the episodes, those with the highest returns, e.g. 0.1
    #[arg(long, value_name = "SHARE", help_heading = "Offline data")]
    top: Option<f64>,
    #[command(flatten)]
    common: Common,
}

/// Train one agent directly with PPO, as a baseline
///
/// This is `distill` with every layer in the encoder, so that no layer is left for the dataset to teach.
#[derive(Args)]
#[command(
    mut_args(with_default),
    after_help = "Examples:\n  potstill rl nd-cartpole --set n=2\n  potstill rl nd-cartpole --out runs/expert"
)]
pub(super) struct Rl {
    /// The environment's id, e.g. nd-cartpole (the newest version) or nd-cartpole-v1
    environment: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// The options that `distill` and `rl` share.
#[derive(Args)]
struct Common {
    /// Set an option of the environment, e.g. n=2. Repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Environment")]
    set: Vec<(String, String)>,
    /// Number of environment copies, stepped together
    #[arg(long, help_heading = "Environment")]
    envs: Option<usize>,
    /// Steps of each copy in a meta-epoch
    #[arg(long, help_heading = "Environment")]
    steps: Option<usize>,
    #[command(flatten)]
    wrappers: WrapperArguments,
    /// Let the loss of a life end an episode while learning; scores are of whole episodes
    #[arg(long, help_heading = "Environment")]
    episodic_life: bool,
    /// Learn from the signs of rewards; returns and scores are of the rewards themselves
    #[arg(long, help_heading = "Environment")]
    clip_rewards: bool,
    /// Let episodes go on from one meta-epoch to the next; by default each starts fresh ones
    #[arg(long, help_heading = "Environment")]
    continue_episodes: bool,
    #[command(flatten)]
    learner: LearnerArguments,
    /// Number of learners drawn in each meta-epoch; they share the environment copies
    #[arg(long, help_heading = "Learner")]
    learners: Option<usize>,
    /// The meta-objective
    #[arg(long, value_name = "ID", help_heading = "Objective")]
    objective: Option<String>,
    /// Set an option of the objective, e.g. clip=0.1. Repeatable
    #[arg(long = "objective-set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Objective")]
    objective_set: Vec<(String, String)>,
    /// Number of meta-epochs
    #[arg(long, help_heading = "Optimization")]
    meta_epochs: Option<u64>,
    /// Learning rate of the dataset, the encoder and the critic
    #[arg(long, help_heading = "Optimization")]
    lr: Option<f64>,
    /// Seed of all random numbers
    #[arg(long, help_heading = "Optimization")]
    seed: Option<u64>,
    /// The device: cpu, cuda, cuda:N, wgpu or wgpu:N
    #[arg(long, help_heading = "Machine")]
    device: Option<String>,
    /// CPU threads; 0 uses every core. Results do not depend on it
    #[arg(long, help_heading = "Machine")]
    threads: Option<usize>,
    /// Read the configuration from a TOML file, e.g. another run's config.toml
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    config: Option<PathBuf>,
    /// The run directory; by default a new one in runs/
    #[arg(long, value_name = "DIR", help_heading = "Input and output")]
    out: Option<PathBuf>,
    /// Print only the result, as JSON
    #[arg(long, help_heading = "Input and output")]
    json: bool,
}

/// Adds to the help of an option the default that its key has in a configuration.
fn with_default(argument: Arg) -> Arg {
    let config = DistillConfig::default();
    let default = match argument.get_id().as_str() {
        "encoder_layers" => config.encoder_layers.to_string(),
        "top" => config.offline.top.to_string(),
        "envs" => config.environment.envs.to_string(),
        "steps" => config.environment.steps.to_string(),
        "frame_stack" => config.environment.frame_stack.to_string(),
        "action_repeat" => config.environment.action_repeat.to_string(),
        "learner" => config.learner.plugins().into_iter().map(|(id, _)| id).collect::<Vec<_>>().join(", "),
        "learners" => format!("{}, and {RL_LEARNERS} for `rl`", config.ppo.learners),
        "objective" => config.objective.id,
        "meta_epochs" => config.meta_epochs.to_string(),
        "lr" => config.optimizer.lr.to_string(),
        "seed" => config.seed.to_string(),
        "device" => config.device,
        "threads" => config.threads.to_string(),
        _ => return argument,
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    argument.help(format!("{help} [default: {default}]"))
}

/// With `rl` all learners are the same network: drawing several averages nothing.
const RL_LEARNERS: usize = 1;

impl Common {
    /// The plugins of the run whose configuration file is named.
    fn plugins(&self) -> Vec<Recorded> {
        self.config.as_ref().map_or(vec![], |config| target::recorded(config))
    }

    /// Whether the configuration file asks to isolate native plugins.
    fn isolates(&self) -> Result<bool> {
        self.config.as_ref().map_or(Ok(false), |path| Ok(DistillConfig::load(path)?.isolate))
    }

    /// The configuration file, if one is named, overridden by the command line.
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
        self.wrappers.apply(&mut config.environment);
        config.environment.episodic_life |= self.episodic_life;
        config.environment.clip_rewards |= self.clip_rewards;
        config.environment.continue_episodes |= self.continue_episodes;
        put(&mut config.optimizer.lr, &self.lr);
        put(&mut config.optimizer.critic_lr, &self.lr);
        put(&mut config.seed, &self.seed);
        put(&mut config.device, &self.device);
        put(&mut config.threads, &self.threads);
        Ok(config)
    }

    /// Prints the options of the plugins that take part, below the command's own help.
    fn help(&self, command: &str, environment: Option<&str>, plugins: &[PathBuf]) -> Result<()> {
        let config = self.config(environment)?;
        if environment.is_none() && self.config.is_none() {
            say("")?;
            return say(&format!(
                "To see the options of the plugins too, name an environment: potstill {command} nd-cartpole --help"
            ));
        }
        let registry = Registry::discover(plugins, &self.plugins(), None)?;
        let mut named = vec![(Role::Environment, config.environment.id.as_str(), "--set", String::new())];
        let learners = config.learner.plugins();
        for (id, _) in &learners {
            let prefix = if learners.len() > 1 { format!("{id}.") } else { String::new() };
            named.push((Role::Learner, id, "--learner-set", prefix));
        }
        named.push((Role::Objective, &config.objective.id, "--objective-set", String::new()));
        for (role, id, flag, prefix) in named {
            say("")?;
            say(&format!("Options of the {role} {id}:"))?;
            show_options(&registry.options(role, id)?, &format!("  {flag} {prefix}"))?;
        }
        Ok(())
    }
}

impl Distill {
    pub(super) fn help(&self, plugins: &[PathBuf]) -> Result<()> {
        self.common.help("distill", self.environment.as_deref(), plugins)
    }

    pub(super) fn plugins(&self) -> Vec<Recorded> {
        self.common.plugins()
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
        if let Some(path) = &self.start {
            config.dataset.start = Some(target::dataset_path(path)?);
            config.dataset.start_sha256 = None;
        }
        if let Some(path) = &self.teacher {
            config.teacher = TeacherConfig { agent: Some(path.clone()), sha256: None };
        }
        if let Some(path) = &self.data {
            config.offline.sha256 = None;
            config.offline.data = Some(path.clone());
            // The data names its environment.
            if self.environment.is_none() && self.common.config.is_none() {
                let of_data = Transitions::load(path)?.info.environment;
                (config.environment.id, config.environment.settings) = (of_data.id, of_data.settings);
                config.environment.settings.extend(to_options(&self.common.set));
                config.environment.set_wrappers(&of_data.wrappers);
                self.common.wrappers.apply(&mut config.environment);
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
        self.common.help("rl", self.environment.as_deref(), plugins)
    }

    pub(super) fn plugins(&self) -> Vec<Recorded> {
        self.common.plugins()
    }

    pub(super) fn isolates(&self) -> Result<bool> {
        self.common.isolates()
    }

    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let mut config = self.common.config(self.environment.as_deref())?;
        config.ppo.learners = self.common.learners.unwrap_or(RL_LEARNERS);
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

/// Runs a distillation to the end, leaves its pictures and its report, and prints the result.
pub(super) fn finish(
    setup: &Setup<'_>,
    run: &RunDirectory,
    distillation: Distillation<'_>,
    json: bool,
) -> Result<()> {
    catch_interrupt();
    if !json {
        let d = &setup.dimensions;
        let (instances, layers) = (counted(d.k, "instance"), counted(d.encoder_layers, "layer"));
        let what = match d.encoder_layers {
            0 => instances,
            _ if setup.direct => format!("an agent of {layers}"),
            _ => format!("{instances} and an encoder of {layers}"),
        };
        let settings = setup.config.environment.settings.iter().map(|(n, v)| format!(" {n}={v}"));
        let settings: String = settings.collect();
        tell(&format!("{}{settings} → {what}, in {}", setup.environment.id, run.path().display()));
    }
    let mut watcher = Watcher::new(setup.config.meta_epochs, distillation.meta_epoch(), json);
    let outcome = distillation.run(&STOP, &mut |progress| watcher.show(&progress));
    watcher.finish();
    let outcome = outcome?;
    leave_pictures(setup, run, &outcome)?;
    report(setup, run.path(), &outcome, json)
}

/// Writes the pictures of the dataset and the report page into the run directory.
pub(super) fn leave_pictures(setup: &Setup<'_>, run: &RunDirectory, outcome: &Outcome) -> Result<()> {
    run.save_pictures(&outcome.dataset)?;
    // The run has its result, which a fault of the environment here does not change.
    if let Err(error) = leave_baselines(setup, run) {
        tell(&format!("warning: the report has no baselines: {error}"));
    }
    write_report(run, &setup.command("distill --config", &run.config_path(), ""))?;
    Ok(())
}

fn report(setup: &Setup<'_>, run: &Path, outcome: &Outcome, json: bool) -> Result<()> {
    let dataset = &outcome.dataset;
    if json {
        return print_json(&json!({
            "run": run.to_string_lossy(),
            "dataset": run.join("dataset.safetensors").to_string_lossy(),
            "environment": dataset.info.environment.id,
            "k": dataset.k(),
            "inner_lr": dataset.inner_lr,
            "scores": dataset.info.scores,
            "environment_steps": dataset.info.environment_steps,
            "seconds": outcome.seconds,
        }));
    }
    say(&match setup.direct {
        true => format!("an agent, trained in {:.0} s", outcome.seconds),
        false => format!(
            "{}, η = {:.3}, distilled in {:.0} s",
            counted(dataset.k(), "instance"),
            dataset.inner_lr,
            outcome.seconds
        ),
    })?;
    for score in &dataset.info.scores {
        say(&super::eval::line(score, 0))?;
    }
    for (what, file) in
        [("dataset", "dataset.safetensors"), ("report", "report.html"), ("picture", "dataset.png")]
    {
        say_named(what, 8, &run.join(file).display().to_string())?;
    }
    say_command("next", &setup.command("play", run, ""))?;
    say_command("", &setup.command("train", run, " --out agent.safetensors"))
}
