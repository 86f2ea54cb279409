//! Continuous control: Gymnasium's MuJoCo environments, v4.
use clap::Args;
use potstill_plugin_api::Space;

use super::{Runs, cell, seeds, unless_stopped};
use crate::cli::say;
use crate::distil::{Setup, directly};
use crate::engine::evaluate::{Acting, Faults, episodes};
use crate::engine::policy::Policy;
use crate::engine::random::stream;
use crate::error::{Error, Result, did_you_mean};
use crate::plugin::Registry;
use crate::run::{Dataset, DistillConfig};

/// Table 4: random actions, direct PPO, full distillation; median and worst of several seeds
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce mujoco --dir runs/paper --only hopper,reacher")]
pub(in crate::cli) struct Table {
    #[command(flatten)]
    runs: Runs,
    /// Trainings of each kind and environment
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Some of the environments
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
}

/// The number of instances: k = 1, 4, 16, 64, 256 on Hopper and HalfCheetah
#[derive(Args)]
#[command(after_help = "Example:\n  potstill reproduce mujoco-size --dir runs/paper --seeds 1")]
pub(in crate::cli) struct Size {
    #[command(flatten)]
    runs: Runs,
    /// Distillations of each
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Some of the environments
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "hopper,half-cheetah")]
    only: Vec<String>,
}

/// What direct PPO is run with in every environment: a million steps.
const DIRECT: &str = include_str!("../../../recipes/mujoco/direct.toml");

/// An environment, what it is distilled with, and the paper's return of full distillation where it is known to us.
struct Task {
    name: &'static str,
    recipe: &'static str,
    paper: &'static str,
}

macro_rules! tasks {
    ($($name:literal $paper:literal),* $(,)?) => {
        [$(Task {
            name: $name,
            recipe: include_str!(concat!("../../../recipes/mujoco/", $name, ".toml")),
            paper: $paper,
        }),*]
    };
}

const TASKS: [Task; 8] = tasks![
    "hopper" "2168",
    "half-cheetah" "2226",
    "walker2d" "332",
    "inverted-double-pendulum" "1235",
    "reacher" "–",
    "ant" "–",
    "humanoid" "–",
    "humanoid-standup" "–",
];

impl Task {
    fn id(&self) -> String {
        format!("mujoco/{}-v4", self.name)
    }

    fn config(&self, text: &str, seed: u64) -> Result<DistillConfig> {
        let mut config = DistillConfig::parse(text).map_err(Error::Usage)?;
        config.environment.id = self.id();
        config.seed = seed;
        Ok(config)
    }
}

/// Those that are named, or all.
fn tasks(only: &[String]) -> Result<Vec<&'static Task>> {
    if only.is_empty() {
        return Ok(TASKS.iter().collect());
    }
    let find = |name: &String| {
        TASKS.iter().find(|task| task.name == name).ok_or_else(|| {
            let hint = did_you_mean(name, TASKS.iter().map(|task| task.name));
            Error::usage(format!("--only: there is no environment `{name}`.{hint}"))
        })
    };
    only.iter().map(find).collect()
}

impl Table {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let seeds = seeds(self.seeds)?;
        say(&format!(
            "Returns of 100 learners × 10 episodes (of direct PPO one agent, 1000 episodes), median (worst) of {} \
             trainings. Random: 1000 episodes of normal actions of deviation 1.",
            self.seeds
        ))?;
        say(
            "| | random | PPO, sampled | PPO, greedy | distilled, sampled | distilled, greedy | paper, distilled |",
        )?;
        say("|---|---|---|---|---|---|---|")?;
        for task in tasks(&self.only)? {
            let random = random(task, registry)?;
            let run = |kind: &str, config: &dyn Fn(u64) -> Result<DistillConfig>| -> Result<Vec<Dataset>> {
                let run = |seed| {
                    self.runs.dataset(registry, &format!("{}-{kind}-s{seed}", task.name), config(seed)?)
                };
                seeds.clone().map(run).collect()
            };
            let direct = run("ppo", &|seed| directly(task.config(DIRECT, seed)?, registry))?;
            let distilled = run("k64", &|seed| task.config(task.recipe, seed))?;
            let cells = [
                cell(&direct, Acting::Sampled)?,
                cell(&direct, Acting::Greedy)?,
                cell(&distilled, Acting::Sampled)?,
                cell(&distilled, Acting::Greedy)?,
            ];
            say(&format!("| {} | {random:.1} | {} | {} |", task.name, cells.join(" | "), task.paper))?;
        }
        Ok(())
    }
}

/// Mean return of an untrained policy: normal actions of mean 0 and deviation 1.
fn random(task: &Task, registry: &Registry) -> Result<f64> {
    unless_stopped()?;
    let setup = Setup::new(task.config(task.recipe, 0)?, registry)?;
    let (count, at_once) = (1000, 50);
    let mut environments = setup.environments(at_once)?;
    let Space::Box { .. } = environments.spec().action else {
        return Err(Error::usage(format!("`{}` has no continuous actions", task.id())));
    };
    let size = environments.spec().action.size();
    let standard = vec![0.0; 2 * size * at_once];
    let (policy, mut random) = (Policy::Gaussian(size), stream(0, "random actions", 0));
    let watch = &mut Faults::default();
    let returns = episodes(
        environments.as_mut(),
        &|_| standard.clone(),
        policy,
        Acting::Sampled,
        count,
        &mut random,
        watch,
    )?;
    Ok(returns.iter().map(|&r| f64::from(r)).sum::<f64>() / returns.len() as f64)
}

impl Size {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let seeds = seeds(self.seeds)?;
        say(&format!(
            "Returns of 100 fresh learners × 10 episodes, median (worst) of {} distillations.",
            self.seeds
        ))?;
        say("| | k | sampled | greedy |\n|---|---|---|---|")?;
        for task in tasks(&self.only)? {
            for k in [1, 4, 16, 64, 256] {
                let run = |seed| {
                    let mut config = task.config(task.recipe, seed)?;
                    config.dataset.k = Some(k);
                    self.runs.dataset(registry, &format!("{}-k{k}-s{seed}", task.name), config)
                };
                let datasets: Vec<Dataset> = seeds.clone().map(run).collect::<Result<_>>()?;
                let (sampled, greedy) = (cell(&datasets, Acting::Sampled)?, cell(&datasets, Acting::Greedy)?);
                say(&format!("| {} | {k} | {sampled} | {greedy} |", task.name))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_a_configuration_of_its_own_environment() {
        for task in &TASKS {
            let config = DistillConfig::parse(task.recipe).unwrap();
            assert_eq!(config.environment.id, task.id());
            assert_eq!(task.config(DIRECT, 3).unwrap().seed, 3);
        }
        let wrong = tasks(&["hoper".into()]).err().unwrap().to_string();
        assert!(wrong.contains("Did you mean `hopper`?"), "{wrong}");
        assert_eq!(tasks(&["reacher".into()]).unwrap().len(), 1);
    }
}
