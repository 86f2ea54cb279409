//! Implements the learner role of the component contract for any [`Learner`].
use std::cell::RefCell;
use std::marker::PhantomData;

use super::{description, from_contract, options, schemas};
use crate::bindings::of_learner::exports::potstill::plugin::learner as contract;
use crate::bindings::potstill::plugin::types;
use crate::learner::{Declared, Parameters};
use crate::{Init, Learner, LearnerShape, Rng, Tensor};

/// The component that [`crate::export_learner!`] exports.
pub struct Component<L>(PhantomData<L>);

/// The resource of the contract: one architecture.
pub struct Architecture<L> {
    learner: L,
    shape: LearnerShape,
    declared: RefCell<Option<Vec<Declared>>>,
}

impl<L: Learner> contract::Guest for Component<L> {
    type Architecture = Architecture<L>;

    fn describe() -> types::Description {
        description([L::ID, L::VERSION, L::SUMMARY])
    }

    fn options() -> Vec<types::OptionSchema> {
        schemas(L::options())
    }
}

impl<L: Learner> Architecture<L> {
    fn declared(&self) -> Vec<Declared> {
        let declare = || {
            let batch: Vec<usize> = std::iter::once(1).chain(self.shape.observation.shape()).collect();
            let mut parameters = Parameters::declare();
            self.learner.forward(&mut parameters, &Tensor::full(0.0, &batch));
            parameters.declared
        };
        self.declared.borrow_mut().get_or_insert_with(declare).clone()
    }
}

impl<L: Learner> contract::GuestArchitecture for Architecture<L> {
    fn make(
        observation: types::Space,
        outputs: u32,
        settings: Vec<types::Setting>,
        seed: u64,
    ) -> Result<contract::Architecture, String> {
        let shape = LearnerShape { observation: from_contract(observation), outputs: outputs as usize };
        let learner = L::draw(&shape, &options(settings), &mut Rng::seeded(seed))?;
        Ok(contract::Architecture::new(Architecture { learner, shape, declared: RefCell::default() }))
    }

    fn name(&self) -> String {
        self.learner.name()
    }

    fn parameters(&self) -> Vec<contract::Parameter> {
        let parameter = |declared: Declared| contract::Parameter {
            name: declared.name,
            shape: declared.shape,
            init: match declared.init {
                Init::Constant(v) => contract::Init::Constant(v),
                Init::Uniform(v) => contract::Init::Uniform(v),
                Init::Normal(v) => contract::Init::Normal(v),
                Init::Orthogonal(v) => contract::Init::Orthogonal(v),
            },
            layer: declared.layer,
        };
        self.declared().into_iter().map(parameter).collect()
    }

    fn forward(&self, parameters: Vec<u32>, observations: u32) -> u32 {
        let values = parameters.into_iter().map(Tensor).collect();
        let mut parameters = Parameters::give(self.declared(), values);
        let output = self.learner.forward(&mut parameters, &Tensor(observations));
        if let Some(error) = parameters.error {
            panic!("{error}");
        }
        output.0
    }
}
