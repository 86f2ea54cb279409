//! The component: the contract's exports, for any [`Environment`].
use std::{cell::RefCell, marker::PhantomData, sync::Once};

use potstill_plugin_api::{API_VERSION, Frame, OptionKind, OptionValue, Space};

use crate::bindings::exports::potstill::plugin::environment as contract;
use crate::bindings::potstill::plugin::{log, types};
use crate::vectorised::Vectorised;
use crate::{Actions, Environment, Observations, Options, RenderMode, Scalar, Transition};

/// What [`crate::export_environment!`] exports.
pub struct Component<E>(PhantomData<E>);

/// N copies behind the resource's handle.
pub struct Copies<E: Environment>(RefCell<Vectorised<E>>);

impl<E: Environment> contract::Guest for Component<E> {
    type Environments = Copies<E>;

    fn describe() -> types::Description {
        report_panics();
        types::Description {
            id: E::ID.into(),
            version: E::VERSION.into(),
            summary: E::SUMMARY.into(),
            api_version: API_VERSION.into(),
        }
    }

    fn options() -> Vec<types::OptionSchema> {
        report_panics();
        let schema = |option: potstill_plugin_api::OptionSchema| types::OptionSchema {
            name: option.name,
            help: option.help,
            kind: match option.kind {
                OptionKind::Integer { min, max } => {
                    types::OptionKind::Integer(types::IntegerRange { min, max })
                }
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
        E::options().into_iter().map(schema).collect()
    }
}

impl<E: Environment> contract::GuestEnvironments for Copies<E> {
    fn make(num_envs: u32, settings: Vec<types::Setting>) -> Result<contract::Environments, String> {
        report_panics();
        let value = |value| match value {
            types::OptionValue::Integer(v) => OptionValue::Integer(v),
            types::OptionValue::Number(v) => OptionValue::Number(v),
            types::OptionValue::Boolean(v) => OptionValue::Boolean(v),
            types::OptionValue::Text(v) => OptionValue::Text(v),
        };
        let options: Options = settings.into_iter().map(|s| (s.name, value(s.value))).collect();
        let copies = Vectorised::<E>::new(num_envs as usize, &options)?;
        Ok(contract::Environments::new(Copies(RefCell::new(copies))))
    }

    fn spec(&self) -> contract::Spec {
        let copies = self.0.borrow();
        let spec = copies.spec();
        contract::Spec {
            observation: space(&spec.observation),
            action: space(&spec.action),
            max_episode_steps: spec.max_episode_steps,
            reward_threshold: spec.reward_threshold,
            max_return: spec.max_return,
            autoreset: contract::Autoreset::SameStep,
        }
    }

    fn reset(&self, seeds: Vec<u64>) -> Result<contract::Observations, String> {
        let mut values = vec![];
        self.0.borrow_mut().reset(&seeds, &mut values)?;
        Ok(observations(values))
    }

    fn step(&self, actions: contract::Actions) -> Result<contract::Transition, String> {
        let actions = match &actions {
            contract::Actions::Discrete(values) => Actions::Discrete(values),
            contract::Actions::Continuous(values) => Actions::Continuous(values),
        };
        let mut out = Transition::default();
        self.0.borrow_mut().step(actions, &mut out)?;
        Ok(contract::Transition {
            observations: observations(out.observations),
            rewards: out.rewards,
            terminated: out.terminated,
            truncated: out.truncated,
            final_observations: observations(out.final_observations),
        })
    }

    fn render(&self, index: u32, mode: contract::RenderMode) -> Result<contract::Frame, String> {
        let mode = match mode {
            contract::RenderMode::Rgb => RenderMode::Rgb,
            contract::RenderMode::Text => RenderMode::Text,
        };
        Ok(match self.0.borrow().render(index as usize, mode)? {
            Frame::Rgb { width, height, pixels } => {
                contract::Frame::Rgb(contract::Picture { width, height, pixels })
            }
            Frame::Text(text) => contract::Frame::Text(text),
        })
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        self.0.borrow().snapshot()
    }

    fn restore(&self, state: Vec<u8>) -> Result<(), String> {
        self.0.borrow_mut().restore(&state)
    }
}

fn observations<T: Scalar>(values: Vec<T>) -> contract::Observations {
    match T::wrap(values) {
        Observations::Float(values) => contract::Observations::Float(values),
        Observations::Byte(values) => contract::Observations::Byte(values),
    }
}

fn space(space: &Space) -> types::Space {
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

/// A panic becomes a trap, which carries no message: send it ahead.
fn report_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let mut message = panic.payload_as_str().unwrap_or("with a value that is no text").to_owned();
            if let Some(location) = panic.location() {
                message += &format!(" ({location})");
            }
            log::write(log::Level::Error, &message);
        }));
    });
}
