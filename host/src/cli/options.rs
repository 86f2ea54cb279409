//! Options that several commands share.
use clap::Args;

use crate::distill::learners;
use crate::engine::learner::LearnerDistribution;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{LearnerConfig, Options, Part};

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, got `{text}`")),
    }
}

/// Values as a configuration holds them: numbers and booleans where they read as such.
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

/// Which learners.
#[derive(Args, Clone, Default)]
pub(super) struct LearnerArguments {
    /// Learner distribution to draw from. Repeated, as ID:WEIGHT: a mixture
    #[arg(long, value_name = "ID")]
    pub(super) learner: Vec<String>,
    /// An option of the learner, e.g. width=32-256; of a mixture ID.NAME=VALUE. May be repeated
    #[arg(long = "learner-set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) learner_set: Vec<(String, String)>,
}

impl LearnerArguments {
    /// Changes `config` to what is asked for. Options alone change those that are there.
    pub(super) fn apply(&self, config: &mut LearnerConfig) -> Result<()> {
        if !self.learner.is_empty() {
            let named = LearnerConfig::parse(&self.learner).map_err(Error::Usage)?;
            let ids = |config: &LearnerConfig| {
                config.plugins().into_iter().map(|(id, _)| id.to_owned()).collect::<Vec<_>>()
            };
            // A plugin that is named again keeps its options.
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

    /// The learners asked for in place of a dataset's own, if any are. Options alone change the dataset's own.
    pub(super) fn instead_of(
        &self,
        own: &Part,
        registry: &Registry,
    ) -> Result<Option<Box<dyn LearnerDistribution>>> {
        if self.learner.is_empty() && self.learner_set.is_empty() {
            return Ok(None);
        }
        let mut config = match self.learner.is_empty() {
            true => LearnerConfig::of_part(own).map_err(Error::Usage)?,
            false => LearnerConfig::parse(&self.learner).map_err(Error::Usage)?,
        };
        self.set_options(&mut config)?;
        learners(registry, &config).map(Some)
    }
}

/// The number of threads to use: as asked, or as many as there are.
pub(super) fn threads(asked: usize) -> Result<usize> {
    match asked {
        0 => std::thread::available_parallelism()
            .map(std::num::NonZero::get)
            .map_err(|e| Error::usage(format!("--threads: the number of cores is unknown ({e})"))),
        n => Ok(n),
    }
}
