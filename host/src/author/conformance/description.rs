//! Checks for every plugin: its identity and its options.
use potstill_plugin_api::{OptionKind, OptionSchema, Role, Space, Task};

use super::{Check, FIRST, Outcome, Stop, Subject, failed};
use crate::error::{Error, Result};

pub(super) const CHECKS: &[Check] = &[
    Check { name: FIRST, about: "it loads, and agrees with its manifest", run: description },
    Check {
        name: "options",
        about: "its options are declared correctly, and are the same in every instance",
        run: options,
    },
    Check {
        name: "option-values",
        about: "every option accepts its limits and choices, or refuses them with a message",
        run: option_values,
    },
];

fn description(subject: &Subject<'_>) -> Outcome {
    // Opening a plugin compares the binary's own description with the manifest.
    subject.registry.options(subject.role, &subject.id)?;
    Ok(vec![])
}

fn options(subject: &Subject<'_>) -> Outcome {
    let options = subject.registry.options(subject.role, &subject.id)?;
    if options != subject.registry.options(subject.role, &subject.id)? {
        return failed("two instances declare different options");
    }
    let without_help = options.iter().filter(|option| option.help.trim().is_empty());
    Ok(without_help.map(|option| format!("option `{}` has no help", option.name)).collect())
}

fn option_values(subject: &Subject<'_>) -> Outcome {
    let options = subject.registry.options(subject.role, &subject.id)?;
    if options.is_empty() {
        return Err(Stop::Skipped("it has no options".into()));
    }
    for option in &options {
        for value in extremes(option) {
            match make(subject, &subject.with(&option.name, value.clone())) {
                // A limit of one option may be incompatible with the other options' values; a plugin may then refuse
                // it.
                Ok(()) | Err(Error::Usage(_)) => {}
                Err(error) => return failed(format!("with {}={value}: {error}", option.name)),
            }
        }
    }
    Ok(vec![])
}

fn extremes(option: &OptionSchema) -> Vec<String> {
    match &option.kind {
        OptionKind::Integer { min, max } => vec![min.to_string(), max.to_string()],
        OptionKind::Number { min, max } => vec![min.to_string(), max.to_string()],
        OptionKind::Boolean => vec!["false".into(), "true".into()],
        OptionKind::Text { choices } => choices.clone(),
    }
}

/// Makes an instance with `settings`, and uses it as little as possible.
fn make(subject: &Subject<'_>, settings: &[(String, String)]) -> Result<()> {
    let (registry, id) = (subject.registry, &subject.id);
    match subject.role {
        Role::Environment => registry.make_environments(id, settings, 1)?.reset(&[0]).map(drop),
        Role::Learner => {
            let learners = registry.learner(id, settings)?;
            // A learner for images may refuse vectors, and vice versa.
            for space in [Space::unbounded([4]), Space::Image { shape: vec![1, 36, 36] }] {
                match learners.draw(&space, 2, 0) {
                    Ok(_) | Err(Error::Usage(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }
        Role::Objective => {
            let task = Task {
                observation: Space::unbounded([4]),
                action: Space::Discrete { n: 2 },
                instances: 4,
                outputs: 2,
            };
            registry.objective(id, settings, &task).map(drop)
        }
    }
}
