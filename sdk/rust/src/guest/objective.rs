//! Implements the objective role of the component contract for any [`Objective`].
use std::marker::PhantomData;

use super::tracing::Network;
use super::{description, from_contract, options, schemas};
use crate::bindings::of_objective::exports::potstill::plugin::objective as contract;
use crate::bindings::potstill::plugin::types;
use crate::objective::{Objective, Outer, Theta};
use crate::{Column, Data, MetaInit, MetaParameter, Task, Tensor};

/// The component that [`crate::export_objective!`] exports.
pub struct Component<O>(PhantomData<O>);

/// The resource of the contract: an objective for one task.
pub struct Instance<O> {
    objective: O,
    theta: Vec<MetaParameter>,
    columns: Vec<Column>,
}

impl<O: Objective> contract::Guest for Component<O> {
    type Instance = Instance<O>;

    fn describe() -> types::Description {
        description([O::ID, O::VERSION, O::SUMMARY])
    }

    fn options() -> Vec<types::OptionSchema> {
        schemas(O::options())
    }
}

impl<O> Instance<O> {
    fn named(&self, theta: Vec<u32>) -> Theta {
        Theta(self.theta.iter().zip(theta).map(|(part, t)| (part.name.clone(), Tensor(t))).collect())
    }
}

fn tensors(numbers: Vec<u32>) -> Vec<Tensor> {
    numbers.into_iter().map(Tensor).collect()
}

impl<O: Objective> contract::GuestInstance for Instance<O> {
    fn make(task: contract::Task, settings: Vec<types::Setting>) -> Result<contract::Instance, String> {
        let task = Task {
            observation: from_contract(task.observation),
            action: from_contract(task.action),
            instances: task.instances as usize,
            outputs: task.outputs as usize,
        };
        let objective = O::new(&task, &options(settings))?;
        let (theta, columns) = (objective.theta(&task), objective.columns());
        Ok(contract::Instance::new(Instance { objective, theta, columns }))
    }

    fn data(&self) -> contract::DataSource {
        match self.objective.data() {
            Data::Rollouts => contract::DataSource::Rollouts,
            Data::Offline => contract::DataSource::Offline,
        }
    }

    fn meta_parameters(&self) -> Vec<contract::MetaParameter> {
        let part = |part: &MetaParameter| contract::MetaParameter {
            name: part.name.clone(),
            shape: part.shape.iter().map(|&d| d as u32).collect(),
            init: match part.init {
                MetaInit::Constant(v) => contract::MetaInit::Constant(v),
                MetaInit::Normal(v) => contract::MetaInit::Normal(v),
                MetaInit::Labels => contract::MetaInit::Labels,
            },
            learned: part.learned,
            positive: part.positive,
        };
        self.theta.iter().map(part).collect()
    }

    fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name().to_owned()).collect()
    }

    fn inner(&self, theta: Vec<u32>, fresh: Vec<u32>) -> Vec<u32> {
        let taught = self.objective.inner(&self.named(theta), &Network(()), &tensors(fresh));
        taught.into_iter().map(|t| t.0).collect()
    }

    fn outer(&self, judged: contract::Judged) -> contract::Outcome {
        let outcome = self.objective.outer(&Outer {
            theta: &self.named(judged.theta),
            network: &Network(()),
            fresh: &tensors(judged.fresh),
            taught: &tensors(judged.taught),
            columns: self.columns.iter().copied().zip(tensors(judged.columns)).collect(),
        });
        let metric = |(name, value): (&str, Tensor)| contract::Metric { name: name.into(), value: value.0 };
        contract::Outcome { loss: outcome.loss.0, metrics: outcome.metrics.into_iter().map(metric).collect() }
    }
}
