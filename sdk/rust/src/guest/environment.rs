//! Implements the environment role of the component contract for any [`Environment`].
use std::cell::RefCell;
use std::marker::PhantomData;

use potstill_plugin_api::Frame;

use super::{description, options, schemas, to_contract};
use crate::bindings::exports::potstill::plugin::environment as contract;
use crate::bindings::potstill::plugin::types;
use crate::environment::Observations;
use crate::vectorised::Vectorised;
use crate::{Actions, Environment, RenderMode, Scalar, Transition};

/// The component that [`crate::export_environment!`] exports.
pub struct Component<E>(PhantomData<E>);

/// The resource of the contract: N copies of an environment.
pub struct Copies<E: Environment>(RefCell<Vectorised<E>>);

impl<E: Environment> contract::Guest for Component<E> {
    type Environments = Copies<E>;

    fn describe() -> types::Description {
        description([E::ID, E::VERSION, E::SUMMARY])
    }

    fn options() -> Vec<types::OptionSchema> {
        schemas(E::options())
    }
}

impl<E: Environment> contract::GuestEnvironments for Copies<E> {
    fn make(num_envs: u32, settings: Vec<types::Setting>) -> Result<contract::Environments, String> {
        let copies = Vectorised::of::<E>(num_envs as usize, &options(settings))?;
        Ok(contract::Environments::new(Copies(RefCell::new(copies))))
    }

    fn spec(&self) -> contract::Spec {
        let copies = self.0.borrow();
        let spec = copies.spec();
        contract::Spec {
            observation: to_contract(&spec.observation),
            action: to_contract(&spec.action),
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
