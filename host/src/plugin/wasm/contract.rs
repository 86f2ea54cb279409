//! wasmtime's bindings of the contract, and conversions between its types and the host's.
#![allow(missing_docs, unreachable_pub)]
use potstill_plugin_api::{OptionKind, OptionSchema, OptionValue, Space};

use crate::engine::environment::Observations;

wasmtime::component::bindgen!({ path: "../plugin-api/wit", world: "environment-plugin" });

/// The learner role's world.
pub(crate) mod of_learner {
    wasmtime::component::bindgen!({
        path: "../plugin-api/wit",
        world: "learner-plugin",
        with: {
            "potstill:plugin/types": super::potstill::plugin::types,
            "potstill:plugin/log": super::potstill::plugin::log,
        },
        imports: { "potstill:plugin/graph": trappable },
    });
}

/// The objective role's world.
pub(crate) mod of_objective {
    wasmtime::component::bindgen!({
        path: "../plugin-api/wit",
        world: "objective-plugin",
        with: {
            "potstill:plugin/types": super::potstill::plugin::types,
            "potstill:plugin/log": super::potstill::plugin::log,
            "potstill:plugin/graph": super::of_learner::potstill::plugin::graph,
        },
        imports: { "potstill:plugin/network": trappable },
    });
}

pub(crate) use self::exports::potstill::plugin::environment as role;
pub(crate) use self::of_learner::potstill::plugin::graph;
pub(crate) use self::of_objective::potstill::plugin::network;
pub(crate) use self::potstill::plugin::{log, types};

impl From<types::OptionSchema> for OptionSchema {
    fn from(option: types::OptionSchema) -> Self {
        OptionSchema {
            name: option.name,
            help: option.help,
            kind: match option.kind {
                types::OptionKind::Integer(range) => OptionKind::Integer { min: range.min, max: range.max },
                types::OptionKind::Number(range) => OptionKind::Number { min: range.min, max: range.max },
                types::OptionKind::Boolean => OptionKind::Boolean,
                types::OptionKind::Text(choices) => OptionKind::Text { choices },
            },
            default: match option.default {
                types::OptionValue::Integer(v) => OptionValue::Integer(v),
                types::OptionValue::Number(v) => OptionValue::Number(v),
                types::OptionValue::Boolean(v) => OptionValue::Boolean(v),
                types::OptionValue::Text(v) => OptionValue::Text(v),
            },
        }
    }
}

pub(super) fn setting((name, value): &(String, OptionValue)) -> types::Setting {
    let value = match value {
        OptionValue::Integer(v) => types::OptionValue::Integer(*v),
        OptionValue::Number(v) => types::OptionValue::Number(*v),
        OptionValue::Boolean(v) => types::OptionValue::Boolean(*v),
        OptionValue::Text(v) => types::OptionValue::Text(v.clone()),
    };
    types::Setting { name: name.clone(), value }
}

impl From<types::Space> for Space {
    fn from(space: types::Space) -> Self {
        let dimensions = |shape: Vec<u32>| shape.into_iter().map(|d| d as usize).collect();
        match space {
            types::Space::Box(b) => Space::Box { shape: dimensions(b.shape), low: b.low, high: b.high },
            types::Space::Discrete(n) => Space::Discrete { n: n as usize },
            types::Space::MultiDiscrete(nvec) => Space::MultiDiscrete { nvec: dimensions(nvec) },
            types::Space::Image(shape) => Space::Image { shape: dimensions(shape) },
        }
    }
}

impl From<role::Observations> for Observations {
    fn from(observations: role::Observations) -> Self {
        match observations {
            role::Observations::Float(values) => Observations::Float(values),
            role::Observations::Byte(values) => Observations::Byte(values),
        }
    }
}

pub(super) fn space(space: &Space) -> types::Space {
    let dimensions = |shape: &[usize]| shape.iter().map(|&d| d as u32).collect::<Vec<u32>>();
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
