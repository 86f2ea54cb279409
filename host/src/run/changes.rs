//! What differs between the configuration of a checkpoint and the one that a run is resumed with.
use std::collections::BTreeSet;
use std::fmt;

use super::config::DistillConfig;
use crate::error::{Error, Result};

/// A key whose value differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key, e.g. `optimizer.lr`.
    pub key: String,
    from: Option<toml::Value>,
    to: Option<toml::Value>,
}

/// Keys on which the scores of validations depend: after a change, earlier scores cannot be compared with later ones.
const OF_VALIDATION: [&str; 9] = [
    "seed",
    "environment.id",
    "environment.settings",
    "environment.observe",
    "learner",
    "objective",
    "inner",
    "evaluation.validation_learners",
    "evaluation.validation_episodes",
];

/// `config` with every key that no result depends on at its default. The data of an offline objective, the teacher and the
/// dataset to start from are known by their hashes.
pub fn essential(config: &DistillConfig) -> DistillConfig {
    let DistillConfig { threads, isolate, checkpoint_every, .. } = DistillConfig::default();
    let mut essential = DistillConfig { threads, isolate, checkpoint_every, ..config.clone() };
    (essential.offline.data, essential.teacher.agent, essential.dataset.start) = (None, None, None);
    essential
}

/// The keys of two resolved configurations that differ and that results depend on.
///
/// # Errors
/// [`Error::Usage`] for a configuration that TOML cannot hold.
pub fn changes(from: &DistillConfig, to: &DistillConfig) -> Result<Vec<Change>> {
    let table = |config: &DistillConfig| {
        toml::Table::try_from(essential(config)).map_err(|e| Error::usage(format!("the configuration: {e}")))
    };
    let mut found = vec![];
    compare("", &table(from)?, &table(to)?, &mut found);
    Ok(found)
}

fn compare(prefix: &str, from: &toml::Table, to: &toml::Table, found: &mut Vec<Change>) {
    for name in from.keys().chain(to.keys()).collect::<BTreeSet<_>>() {
        let key = format!("{prefix}{name}");
        match (from.get(name), to.get(name)) {
            (Some(toml::Value::Table(from)), Some(toml::Value::Table(to))) => {
                compare(&format!("{key}."), from, to, found);
            }
            (from, to) if from != to => found.push(Change { key, from: from.cloned(), to: to.cloned() }),
            _ => {}
        }
    }
}

/// The changes in one line.
pub fn listed(changed: &[Change]) -> String {
    changed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Change {
    /// Whether scores of validations from before and after the change cannot be compared.
    pub fn affects_validation(&self) -> bool {
        let within = |key: &&str| {
            self.key.strip_prefix(*key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        OF_VALIDATION.iter().any(within)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<toml::Value>| value.as_ref().map_or("unset".into(), ToString::to_string);
        write!(f, "{}: {} → {}", self.key, text(&self.from), text(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_keys_that_differ() {
        let from = DistillConfig::default();
        assert_eq!(changes(&from, &from).unwrap(), []);
        let text = "seed = 8\nthreads = 3\nisolate = true\n[dataset]\nk = 4\n[optimizer]\nlr = 0.5\n\
                    [environment.settings]\nn = 2\n";
        let to = DistillConfig::parse(text).unwrap();
        let found = changes(&from, &to).unwrap();
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = [
            ("dataset.k: unset → 4", false),
            ("environment.settings.n: unset → 2", true),
            ("optimizer.lr: 0.0035 → 0.5", false),
            ("seed: 0 → 8", true),
        ];
        assert_eq!(said, expected.map(|(text, _)| text));
        for (change, (_, affects)) in found.iter().zip(expected) {
            assert_eq!(change.affects_validation(), affects, "{change}");
        }
    }

    #[test]
    fn a_mixture_differs_from_one_learner() {
        let to = DistillConfig::parse("[[learner]]\nid = 'mlp'\n[[learner]]\nid = 'transformer'\n").unwrap();
        let found = changes(&DistillConfig::default(), &to).unwrap();
        assert!(found.len() == 1 && found[0].key == "learner" && found[0].affects_validation(), "{found:?}");
    }
}
