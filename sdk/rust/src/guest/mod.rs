//! Implements the component contract on WebAssembly. This module holds the conversions that all roles share.
use std::sync::Once;

use potstill_plugin_api::{API_VERSION, OptionKind, OptionSchema, OptionValue, Space};

use crate::Options;
use crate::bindings::potstill::plugin::{log, types};

pub mod environment;
pub mod learner;
pub mod objective;
pub(crate) mod tracing;

/// The plugin's own description, from its id, version and summary.
fn description([id, version, summary]: [&str; 3]) -> types::Description {
    report_panics();
    types::Description {
        id: id.into(),
        version: version.into(),
        summary: summary.into(),
        api_version: API_VERSION.into(),
    }
}

fn schemas(options: Vec<OptionSchema>) -> Vec<types::OptionSchema> {
    report_panics();
    let schema = |option: OptionSchema| types::OptionSchema {
        name: option.name,
        help: option.help,
        kind: match option.kind {
            OptionKind::Integer { min, max } => types::OptionKind::Integer(types::IntegerRange { min, max }),
            OptionKind::Number { min, max } => types::OptionKind::Number(types::NumberRange { min, max }),
            OptionKind::Boolean => types::OptionKind::Boolean,
            OptionKind::Text { choices } => types::OptionKind::Text(choices),
        },
        default: match option.default {
            OptionValue::Integer(v) => types::OptionValue::Integer(v),
            OptionValue::Number(v) => types::OptionValue::Number(v),
            OptionValue::Boolean(v) => types::OptionValue::Boolean(v),
            OptionValue::Text(v) => types::OptionValue::Text(v),
        },
    };
    options.into_iter().map(schema).collect()
}

fn options(settings: Vec<types::Setting>) -> Options {
    report_panics();
    let value = |value| match value {
        types::OptionValue::Integer(v) => OptionValue::Integer(v),
        types::OptionValue::Number(v) => OptionValue::Number(v),
        types::OptionValue::Boolean(v) => OptionValue::Boolean(v),
        types::OptionValue::Text(v) => OptionValue::Text(v),
    };
    settings.into_iter().map(|s| (s.name, value(s.value))).collect()
}

fn to_contract(space: &Space) -> types::Space {
    let dimensions = |shape: &[usize]| shape.iter().map(|&d| d as u32).collect();
    match space {
        Space::Box { shape, low, high } => types::Space::Box(types::BoxSpace {
            shape: dimensions(shape),
            low: low.clone(),
            high: high.clone(),
        }),
        Space::Discrete { n } => types::Space::Discrete(*n as u32),
        Space::MultiDiscrete { nvec } => types::Space::MultiDiscrete(dimensions(nvec)),
        Space::Image { shape } => types::Space::Image(dimensions(shape)),
    }
}

fn from_contract(space: types::Space) -> Space {
    let dimensions = |shape: Vec<u32>| shape.into_iter().map(|d| d as usize).collect();
    match space {
        types::Space::Box(b) => Space::Box { shape: dimensions(b.shape), low: b.low, high: b.high },
        types::Space::Discrete(n) => Space::Discrete { n: n as usize },
        types::Space::MultiDiscrete(nvec) => Space::MultiDiscrete { nvec: dimensions(nvec) },
        types::Space::Image(shape) => Space::Image { shape: dimensions(shape) },
    }
}

/// Logs the message of a panic, because the trap that follows carries none.
fn report_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let mut message = panic.payload_as_str().unwrap_or("with a value that is not text").to_owned();
            if let Some(location) = panic.location() {
                message += &format!(" ({location})");
            }
            log::write(log::Level::Error, &message);
        }));
    });
}
