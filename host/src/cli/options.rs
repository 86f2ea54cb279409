//! Options that several commands share, and how their values are read.
use clap::Args;

use crate::distill::learners;
use crate::engine::learner::LearnerDistribution;
use crate::engine::wrappers::Wrappers;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::plugin::text::counted;
use crate::run::{DistillConfig, EnvironmentConfig, LearnerConfig, Options, PluginRecord};

/// Splits `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, got `{text}`")),
    }
}

/// Types values as a configuration would: integers, numbers and booleans where the text reads as one.
pub(super) fn to_options(pairs: &[(String, String)]) -> Options {
    use potstill_plugin_api::OptionValue;
    let value = |text: &str| match (text.parse::<i64>(), text.parse::<f64>(), text.parse::<bool>()) {
        (Ok(n), ..) => OptionValue::Integer(n),
        (_, Ok(n), _) => OptionValue::Number(n),
        (.., Ok(b)) => OptionValue::Boolean(b),
        _ => OptionValue::Text(text.to_owned()),
    };
    pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

/// The options that choose the distribution of learners.
#[derive(Args, Clone, Default, PartialEq)]
pub(super) struct LearnerArguments {
    /// The learner distribution to draw from. Repeat as ID:WEIGHT for a mixture
    #[arg(long, value_name = "ID", help_heading = "Learner")]
    pub(super) learner: Vec<String>,
    /// Set an option of the learner, e.g. width=32-256; in a mixture, ID.NAME=VALUE. Repeatable
    #[arg(long = "learner-set", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Learner")]
    pub(super) learner_set: Vec<(String, String)>,
}

/// The host's wrappers of an environment, for training and scores.
#[derive(Args)]
pub(super) struct WrapperArguments {
    /// Stack the last N observations, e.g. 4 for Atari
    #[arg(long, value_name = "N", help_heading = "Environment")]
    frame_stack: Option<usize>,
    /// Take each action for N of the environment's own steps, and sum the rewards
    #[arg(long, value_name = "N", help_heading = "Environment")]
    action_repeat: Option<usize>,
    /// Observe the maximum of the last two of these steps
    #[arg(long, help_heading = "Environment")]
    max_pool: bool,
    /// Truncate episodes after N of the environment's own steps
    #[arg(long, value_name = "N", help_heading = "Environment")]
    max_episode_steps: Option<usize>,
}

impl WrapperArguments {
    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        let numbers = [self.frame_stack, self.action_repeat, self.max_episode_steps];
        self.max_pool || numbers.iter().any(Option::is_some)
    }

    /// The wrappers asked for.
    pub(super) fn alone(&self) -> Result<Wrappers> {
        let mut environment = EnvironmentConfig::default();
        self.apply(&mut environment);
        let config = DistillConfig { environment, ..DistillConfig::default() };
        config.validate().map_err(Error::Usage)?;
        Ok(config.environment.wrappers())
    }

    /// Changes `config` as asked for.
    pub(super) fn apply(&self, config: &mut EnvironmentConfig) {
        config.frame_stack = self.frame_stack.unwrap_or(config.frame_stack);
        config.action_repeat = self.action_repeat.unwrap_or(config.action_repeat);
        config.max_pool |= self.max_pool;
        config.max_episode_steps = self.max_episode_steps.or(config.max_episode_steps);
    }
}

impl LearnerArguments {
    /// Changes `config` as asked for. Options without `--learner` change the learners that `config` names.
    pub(super) fn apply(&self, config: &mut LearnerConfig) -> Result<()> {
        if !self.learner.is_empty() {
            let named = LearnerConfig::parse(&self.learner).map_err(Error::Usage)?;
            let ids = |config: &LearnerConfig| {
                config.plugins().into_iter().map(|(id, _)| id.to_owned()).collect::<Vec<_>>()
            };
            // A plugin that is named again keeps the options it has in `config`.
            if ids(&named) != ids(config) || matches!(named, LearnerConfig::Mixture(_)) {
                *config = named;
            }
        }
        self.set_options(config)
    }

    fn set_options(&self, config: &mut LearnerConfig) -> Result<()> {
        let mut options = to_options(&self.learner_set).into_iter();
        options.try_for_each(|(name, value)| config.set(&name, value)).map_err(Error::Usage)
    }

    /// The learners asked for in place of the dataset's own; `None` if none are. Options without `--learner` change the
    /// dataset's own learners.
    pub(super) fn instead_of(
        &self,
        own: &PluginRecord,
        registry: &Registry,
    ) -> Result<Option<Box<dyn LearnerDistribution>>> {
        if self.learner.is_empty() && self.learner_set.is_empty() {
            return Ok(None);
        }
        let mut config = match self.learner.is_empty() {
            true => LearnerConfig::of_record(own).map_err(Error::Usage)?,
            false => LearnerConfig::parse(&self.learner).map_err(Error::Usage)?,
        };
        self.set_options(&mut config)?;
        learners(registry, &config).map(Some)
    }
}

/// The most threads for each core. More than one helps nobody, but a configuration may come from a larger machine.
const MOST_THREADS_PER_CORE: usize = 32;

/// The number of threads to use: as asked for, or one per core for 0.
pub(super) fn threads(asked: usize) -> Result<usize> {
    let cores = std::thread::available_parallelism()
        .map_err(|e| Error::usage(format!("--threads: the number of cores is unknown ({e})")))?
        .get();
    let most = cores.saturating_mul(MOST_THREADS_PER_CORE);
    match asked {
        0 => Ok(cores),
        n if n <= most => Ok(n),
        n => Err(Error::usage(format!(
            "`threads` is {n}; expected at most {most} on this machine, which has {}",
            counted(cores, "core")
        ))),
    }
}
