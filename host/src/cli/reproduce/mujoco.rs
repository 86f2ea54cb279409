//! Continuous control: Gymnasium's MuJoCo environments, v4.
use std::ops::Range;

use clap::Args;
use clap::builder::PossibleValuesParser;
use potstill_plugin_api::{OptionValue, Space};

use super::{Runs, median_and_worst, scores, seeds, unless_stopped};
use crate::cli::say;
use crate::distill::{Setup, directly};
use crate::engine::evaluate::{Faults, episodes};
use crate::engine::policy::{Acting, Policy};
use crate::engine::random::stream;
use crate::error::{Error, IoContext, Result, did_you_mean};
use crate::plugin::Registry;
use crate::run::{DistillConfig, EvaluationConfig, Line, MetricsRecord, curves_svg, read_metrics};

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

/// What each part of the recipe does: one is changed, the others stay
#[derive(Args)]
#[command(
    after_help = "Example:\n  potstill reproduce mujoco-ablation --dir runs --only hopper --rows norm-5"
)]
pub(in crate::cli) struct Ablation {
    #[command(flatten)]
    runs: Runs,
    /// Distillations of each
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Some of the environments
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "hopper,half-cheetah")]
    only: Vec<String>,
    /// Some of the rows
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = PossibleValuesParser::new(CHANGES.map(|c| c.0)))]
    rows: Vec<String>,
    /// Meta-epochs of each distillation
    #[arg(long, default_value_t = 300)]
    meta_epochs: u64,
}

/// What direct PPO is run with in every environment, for a million steps; discount and what is observed are the recipe's.
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

    /// The name of a run directory.
    fn run(&self, kind: &str, seed: u64) -> String {
        format!("{}-{kind}-s{seed}", self.name)
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
            "Returns of fresh learners × episodes (of direct PPO one agent, as many episodes), median (worst) of {} \
             trainings. Random: as many episodes of normal actions of deviation 1.",
            self.seeds
        ))?;
        say(
            "| | episodes | random | PPO, sampled | PPO, greedy | distilled, sampled | distilled, greedy | paper, distilled | distilled in |",
        )?;
        say("|---|---|---|---|---|---|---|---|---|")?;
        for task in tasks(&self.only)? {
            let recipe = task.config(task.recipe, 0)?;
            let EvaluationConfig { learners, episodes, .. } = recipe.evaluation;
            let random = random(recipe.clone(), registry)?;
            let direct = scores(&seeds, |seed| {
                let mut config = task.config(DIRECT, seed)?;
                config.ppo.gamma = recipe.ppo.gamma;
                config.environment.observe.clone_from(&recipe.environment.observe);
                config.evaluation.clone_from(&recipe.evaluation);
                self.runs.dataset(registry, &task.run("ppo", seed), directly(config, registry)?)
            })?;
            let distilled = scores(&seeds, |seed| {
                self.runs.dataset(registry, &task.run("k64", seed), task.config(task.recipe, seed)?)
            })?;
            let direct_metrics = self.metrics(task, "ppo", &seeds)?;
            let metrics = self.metrics(task, "k64", &seeds)?;
            self.draw(task, &[("direct PPO", &direct_metrics), ("distilled, k = 64", &metrics)])?;
            let median = |of: fn(&[MetricsRecord]) -> f64| {
                median_and_worst(&metrics.iter().map(|run| of(run)).collect::<Vec<_>>()).0
            };
            say(&format!(
                "| {} | {learners} × {episodes} | {random:.1} | {direct} | {distilled} | {} | {:.1} M steps, {:.0} min |",
                task.name,
                task.paper,
                median(steps),
                median(minutes),
            ))?;
        }
        Ok(())
    }

    /// What the run of each seed went through.
    fn metrics(&self, task: &Task, kind: &str, seeds: &Range<u64>) -> Result<Vec<Vec<MetricsRecord>>> {
        let read = |seed| read_metrics(self.runs.dir.join(task.run(kind, seed)).join("metrics.jsonl"));
        seeds.clone().map(read).collect()
    }

    /// The learning curves of every seed, beside the runs: validations with sampled actions.
    fn draw(&self, task: &Task, kinds: &[(&'static str, &[Vec<MetricsRecord>])]) -> Result<()> {
        let point = |record: &MetricsRecord| {
            Some((record.values.get("environment_steps")? / 1e6, *record.values.get("validation/return")?))
        };
        let line = |records: &Vec<MetricsRecord>| -> Line { records.iter().filter_map(point).collect() };
        let curves: Vec<(&str, Vec<Line>)> =
            kinds.iter().map(|(name, runs)| (*name, runs.iter().map(line).collect())).collect();
        let path = self.runs.dir.join(format!("{}.svg", task.name));
        std::fs::write(&path, curves_svg("million environment steps", &curves, None)).at(&path)
    }
}

/// Millions of environment steps that a run took.
fn steps(records: &[MetricsRecord]) -> f64 {
    records.last().and_then(|last| last.values.get("environment_steps")).map_or(0.0, |steps| steps / 1e6)
}

/// Minutes from the first meta-epoch to the last, without those in which the run was stopped.
fn minutes(records: &[MetricsRecord]) -> f64 {
    let gaps = records.windows(2).map(|pair| pair[1].wall_time - pair[0].wall_time);
    gaps.filter(|seconds| *seconds < 120.0).sum::<f64>() / 60.0
}

/// Mean return of an untrained policy, normal actions of mean 0 and deviation 1, over as many episodes as a dataset's
/// score has.
fn random(recipe: DistillConfig, registry: &Registry) -> Result<f64> {
    unless_stopped()?;
    let (count, at_once) = (recipe.evaluation.learners * recipe.evaluation.episodes, 50);
    let setup = Setup::new(recipe, registry)?;
    let mut environments = setup.environments(at_once)?;
    let Space::Box { .. } = environments.spec().action else {
        return Err(Error::usage(format!("`{}` has no continuous actions", environments.spec().id)));
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
            "Returns of fresh learners × episodes, median (worst) of {} distillations.",
            self.seeds
        ))?;
        say("| | episodes | k | sampled | greedy |\n|---|---|---|---|---|")?;
        for task in tasks(&self.only)? {
            let EvaluationConfig { learners, episodes, .. } = task.config(task.recipe, 0)?.evaluation;
            for k in [1, 4, 16, 64, 256] {
                let scores = scores(&seeds, |seed| {
                    let mut config = task.config(task.recipe, seed)?;
                    config.dataset.k = Some(k);
                    self.runs.dataset(registry, &task.run(&format!("k{k}"), seed), config)
                })?;
                say(&format!("| {} | {learners} × {episodes} | {k} | {scores} |", task.name))?;
            }
        }
        Ok(())
    }
}

/// A change of a recipe: the name of its runs, what it is, and how it is made.
type Change = (&'static str, &'static str, fn(&mut DistillConfig));

const CHANGES: [Change; 19] = [
    ("recipe", "the recipe", |_| ()),
    ("gamma-0.97", "discount 0.97", |c| c.ppo.gamma = 0.97),
    ("gamma-0.99", "discount 0.99", |c| c.ppo.gamma = 0.99),
    ("gamma-0.995", "discount 0.995", |c| c.ppo.gamma = 0.995),
    ("epochs-4", "4 policy epochs of one minibatch", |c| (c.ppo.policy_epochs, c.ppo.minibatch) = (4, 1024)),
    ("epochs-10", "10 policy epochs of two minibatches", |c| {
        (c.ppo.policy_epochs, c.ppo.minibatch) = (10, 500)
    }),
    ("pace-1", "deviations at full pace", |c| c.optimiser.scale = [("log_std".into(), 1.0)].into()),
    ("entropy-0", "no entropy bonus", |c| entropy(c, 0.0, false)),
    ("entropy-0.01", "entropy bonus 0.01 to the end", |c| entropy(c, 0.01, false)),
    ("entropy-annealed", "entropy bonus from 0.01 to 0", |c| entropy(c, 0.01, true)),
    ("learners-1", "one learner a meta-epoch", |c| c.ppo.learners = 1),
    ("steps-2000", "twice the steps, half the meta-epochs", |c| {
        c.environment.steps *= 2;
        c.ppo.minibatch *= 2;
        c.meta_epochs = c.meta_epochs.div_ceil(2);
    }),
    ("whole-episodes", "episodes of their own length while learning", |c| c.environment.training.clear()),
    ("inner-lr-0.1", "an inner learning rate that starts at 0.1", |c| c.dataset.inner_lr = Some(0.1)),
    ("inner-lr-slow", "an inner learning rate at a tenth of the pace", |c| {
        c.optimiser.scale.insert("inner_lr".into(), 0.1);
    }),
    ("inner-rates", "an inner learning rate for each tensor", |c| {
        c.objective.options.insert("inner-rates".into(), OptionValue::Integer(7));
    }),
    ("advantages-raw", "no entropy bonus, advantages not normalised", |c| {
        entropy(c, 0.0, false);
        c.objective.options.insert("normalize-advantages".into(), OptionValue::Boolean(false));
    }),
    ("observe-all", "learners see the whole observation", |c| c.environment.observe = None),
    ("norm-5", "gradient's norm at most 5", |c| c.optimiser.max_grad_norm = 5.0),
];

/// Of each learner. Learners differ more than episodes do, and the rows are many.
const ABLATION_EPISODES: usize = 2;

fn entropy(config: &mut DistillConfig, weight: f64, anneal: bool) {
    let options = &mut config.objective.options;
    options.insert("entropy".into(), OptionValue::Number(weight));
    options.remove("anneal-entropy");
    options.extend(anneal.then(|| ("anneal-entropy".into(), OptionValue::Boolean(true))));
}

impl Ablation {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let seeds = seeds(self.seeds)?;
        say(&format!(
            "Returns of 100 fresh learners × {ABLATION_EPISODES} episodes, median (worst) of {} distillations of {} meta-epochs.",
            self.seeds, self.meta_epochs
        ))?;
        say("| | | sampled | greedy |\n|---|---|---|---|")?;
        for task in tasks(&self.only)? {
            let recipe = task.config(task.recipe, 0)?;
            let wanted = |name: &str| self.rows.is_empty() || self.rows.iter().any(|row| row == name);
            for (name, what, change) in CHANGES.into_iter().filter(|(name, ..)| wanted(name)) {
                let mut changed = recipe.clone();
                change(&mut changed);
                if name != "recipe" && changed == recipe {
                    continue;
                }
                let scores = scores(&seeds, |seed| {
                    let mut config = task.config(task.recipe, seed)?;
                    config.meta_epochs = self.meta_epochs;
                    config.evaluation.episodes = ABLATION_EPISODES;
                    change(&mut config);
                    self.runs.dataset(registry, &task.run(name, seed), config)
                })?;
                say(&format!("| {} | {what} | {scores} |", task.name))?;
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
            for (name, _, change) in CHANGES {
                let mut changed = config.clone();
                change(&mut changed);
                assert_eq!(changed.validate(), Ok(()), "{name}");
                // Twice is as once, but for what is doubled: a change that a recipe has already is none.
                let once = changed.clone();
                change(&mut changed);
                assert_eq!(changed == once, name != "steps-2000", "{name}");
            }
        }
        let wrong = tasks(&["hoper".into()]).err().unwrap().to_string();
        assert!(wrong.contains("Did you mean `hopper`?"), "{wrong}");
        assert_eq!(tasks(&["reacher".into()]).unwrap().len(), 1);
    }
}
