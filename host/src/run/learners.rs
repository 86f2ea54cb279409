//! The learners that a configuration names: one plugin, or a mixture of several.
use std::fmt;

use potstill_plugin_api::{OptionValue, PluginId};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::config::{Options, PluginConfig};
use super::dataset::PluginRecord;
use crate::engine::mixture::Mixture;

/// The learner distribution Λ: `[learner]` is one plugin, `[[learner]]` is a mixture of several.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LearnerConfig {
    /// Every learner is drawn from one plugin.
    One(PluginConfig),
    /// Each learner is drawn from one of these plugins, in proportion to their weights.
    Mixture(Vec<WeightedPlugin>),
}

/// One plugin of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedPlugin {
    /// The plugin's id.
    pub id: String,
    /// In a mixture, how often this plugin is drawn from, relative to the other weights.
    #[serde(default = "one")]
    pub weight: f64,
    /// The plugin's options.
    #[serde(default)]
    pub options: Options,
}

fn one() -> f64 {
    1.0
}

/// How the options of a mixture read in a dataset or agent file.
#[derive(Serialize, Deserialize)]
struct Specification {
    of: Vec<WeightedPlugin>,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        LearnerConfig::One(PluginConfig::default())
    }
}

impl LearnerConfig {
    /// Reads the values of `--learner`: one `ID`, or several `ID:WEIGHT` for a mixture.
    ///
    /// # Errors
    /// Says which value is wrong.
    pub fn parse(named: &[String]) -> Result<Self, String> {
        let part = |text: &String| {
            let (id, weight) = match text.rsplit_once(':') {
                Some((id, weight)) => {
                    (id, weight.parse().map_err(|_| format!("expected ID or ID:WEIGHT, got `{text}`"))?)
                }
                None => (text.as_str(), 1.0),
            };
            Ok(WeightedPlugin { id: id.to_owned(), weight, options: Options::new() })
        };
        let mut parts = named.iter().map(part).collect::<Result<Vec<_>, String>>()?;
        let config = match parts.pop() {
            Some(WeightedPlugin { id, options, .. }) if parts.is_empty() => {
                LearnerConfig::One(PluginConfig { id, options })
            }
            last => LearnerConfig::Mixture(parts.into_iter().chain(last).collect()),
        };
        config.validate()?;
        Ok(config)
    }

    /// The learners that a dataset or an agent file records.
    ///
    /// # Errors
    /// The recorded options are not options.
    pub fn of_record(record: &PluginRecord) -> Result<Self, String> {
        let wrong = |e: serde_json::Error| format!("the options of learner `{}`: {e}", record.id);
        let options = record.options.clone();
        match (record.id.as_str(), options) {
            (Mixture::ID, options) => {
                let Specification { of } = serde_json::from_value(options).map_err(wrong)?;
                let mixture = LearnerConfig::Mixture(of);
                mixture.validate()?;
                Ok(mixture)
            }
            (id, serde_json::Value::Null) => {
                Ok(LearnerConfig::One(PluginConfig { id: id.into(), options: Options::new() }))
            }
            (id, options) => {
                let options = serde_json::from_value(options).map_err(wrong)?;
                Ok(LearnerConfig::One(PluginConfig { id: id.into(), options }))
            }
        }
    }

    /// Sets the option `name`; in a mixture, `name` is `ID.NAME`.
    ///
    /// # Errors
    /// The mixture has no plugin of that id, or `name` has no id.
    pub fn set(&mut self, name: &str, value: OptionValue) -> Result<(), String> {
        let parts = match self {
            LearnerConfig::One(plugin) => {
                plugin.options.insert(name.to_owned(), value);
                return Ok(());
            }
            LearnerConfig::Mixture(parts) => parts,
        };
        let is = |id: &str, wanted: &str| {
            id == wanted || id.parse::<PluginId>().is_ok_and(|known| known.base() == wanted)
        };
        let place = name.split_once('.');
        match place.and_then(|(id, option)| Some((parts.iter_mut().find(|part| is(&part.id, id))?, option))) {
            Some((part, option)) => {
                part.options.insert(option.to_owned(), value);
                Ok(())
            }
            None => {
                let ids: Vec<_> = parts.iter().map(|part| part.id.as_str()).collect();
                Err(format!(
                    "learner option `{name}`: several learners take part; write ID.NAME=VALUE, with one of {}",
                    ids.join(", ")
                ))
            }
        }
    }

    /// The id and the options of every plugin.
    pub fn plugins(&self) -> Vec<(&str, &Options)> {
        match self {
            LearnerConfig::One(plugin) => vec![(&plugin.id, &plugin.options)],
            LearnerConfig::Mixture(parts) => {
                parts.iter().map(|part| (part.id.as_str(), &part.options)).collect()
            }
        }
    }

    /// Checks every value that can be checked without loading a plugin.
    ///
    /// # Errors
    /// Names the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), String> {
        if self.plugins().iter().any(|(id, _)| id.is_empty()) {
            return Err("`learner.id` is empty; expected a name".into());
        }
        match self {
            LearnerConfig::Mixture(parts) if parts.is_empty() => Err("`learner` names no plugin".into()),
            LearnerConfig::Mixture(parts) => {
                match parts.iter().find(|part| !part.weight.is_finite() || part.weight <= 0.0) {
                    Some(part) => Err(format!(
                        "the weight of learner `{}` is {}; expected a number above 0",
                        part.id, part.weight
                    )),
                    None => Ok(()),
                }
            }
            LearnerConfig::One(_) => Ok(()),
        }
    }
}

/// Written by hand because serde's untagged enums do not say what is wrong in the file.
impl<'de> Deserialize<'de> for LearnerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = LearnerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table [learner], or tables [[learner]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LearnerConfig, A::Error> {
                PluginConfig::deserialize(MapAccessDeserializer::new(map)).map(LearnerConfig::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<LearnerConfig, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(LearnerConfig::Mixture)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::DistillConfig;
    use super::*;

    #[test]
    fn one_or_a_mixture() {
        let parse =
            |named: &[&str]| LearnerConfig::parse(&named.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parse(&["mlp"]).unwrap(), LearnerConfig::default());
        let mut mixture = parse(&["mlp-v1:0.5", "acme/gru:2"]).unwrap();
        mixture.set("mlp.width", OptionValue::Integer(8)).unwrap();
        let error = mixture.set("width", OptionValue::Integer(8)).unwrap_err();
        assert!(error.contains("ID.NAME=VALUE, with one of mlp-v1, acme/gru"), "{error}");
        let config = DistillConfig { learner: mixture.clone(), ..DistillConfig::default() };
        let text = config.to_toml().unwrap();
        assert!(text.contains("[[learner]]\nid = \"mlp-v1\"\nweight = 0.5"), "{text}");
        assert_eq!(DistillConfig::parse(&text).unwrap(), config);
        for (named, expected) in [
            (&["mlp:0", "mlp:1"][..], "the weight of learner `mlp` is 0"),
            (&["mlp:x"], "expected ID or ID:WEIGHT, got `mlp:x`"),
            (&["mlp", ":1"], "`learner.id` is empty"),
        ] {
            assert!(parse(named).unwrap_err().contains(expected), "{named:?}");
        }
        for (text, expected) in [
            ("[[learner]]\nid = \"mlp\"\nwieght = 1.0", "unknown field `wieght`"),
            ("learner = 3", "expected a table [learner], or tables [[learner]]"),
            ("learner = []", "names no plugin"),
        ] {
            let error = DistillConfig::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
