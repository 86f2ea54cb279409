//! Options that several commands share.
use clap::Args;

use crate::distil::as_text;
use crate::engine::learner::LearnerDistribution;
use crate::error::{Error, Result};
use crate::plugin::Registry;
use crate::run::{Options, Part};

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
    /// Learner distribution to draw from
    #[arg(long, value_name = "ID")]
    pub(super) learner: Option<String>,
    /// An option of the learner, e.g. width=32-256. May be repeated
    #[arg(long = "learner-set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) learner_set: Vec<(String, String)>,
}

impl LearnerArguments {
    /// The learners asked for in place of a dataset's own, if any are. Options alone change the dataset's own.
    pub(super) fn instead_of(
        &self,
        own: &Part,
        registry: &Registry,
    ) -> Result<Option<Box<dyn LearnerDistribution>>> {
        if self.learner.is_none() && self.learner_set.is_empty() {
            return Ok(None);
        }
        let id = self.learner.as_deref().unwrap_or(&own.id);
        let mut options = Options::new();
        if self.learner.is_none() && !own.options.is_null() {
            options = serde_json::from_value(own.options.clone())
                .map_err(|e| Error::usage(format!("the dataset's options of `{id}`: {e}")))?;
        }
        options.extend(to_options(&self.learner_set));
        registry.learner(id, &as_text(&options)).map(Some)
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
